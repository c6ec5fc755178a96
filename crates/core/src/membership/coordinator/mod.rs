//! The coordinator: the only part of the core that knows all owners. It hands each input to its owner, and tells the others the
//! result.

/// What a plan is made from: the view and the links as they are now. It borrows no other owner.
macro_rules! seen {
    ($core:expr, $now:expr) => {
        Seen {
            now: $now,
            members: &$core.members,
            view: &$core.view,
            links: &$core.links,
            last_loss: $core.own.last_loss(),
        }
    };
}

mod connections;
mod echoes;
mod links;
mod meetings;
mod membership;
mod penalties;
mod picture;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::Time;
use super::echo::Echoes;
use super::figures::Figures;
use super::gossip::Gossip;
use super::interface::{Action, Config, Event, Input, LinkNews, Remembered, Tables};
use super::links::{Link, Links};
use super::meet::Rendezvous;
use super::members::Members;
use super::out::Out;
use super::overlay::{Overlay, Seen};
use super::own_record::{Around, OwnRecord};
use super::view::{Bound, Derived, Ids, Index, View};
use crate::record::{Record, Signer};
use crate::snapshot::Changes;
use crate::wire::{CloseCode, Message, NodeId, ViewDigest};
use penalties::Penalties;

/// See the module's documentation.
pub struct Core {
    config: Arc<Config>,
    rng: ChaCha8Rng,
    view: View,
    links: Links,
    gossip: Gossip,
    overlay: Overlay,
    own: OwnRecord,
    figures: Figures,
    meet: Rendezvous,
    echoes: Echoes,
    penalties: Penalties,
    members: Members,
    out: Out,
    /// What `poll_timeout` said last: being called much later means that we were away.
    promised: Option<Time>,
}

impl Core {
    /// A core at time zero. It dials its targets as soon as it is first called.
    #[must_use]
    pub fn new(config: Config, signer: Arc<dyn Signer>) -> Self {
        let me = signer.node_id();
        let ids = config.ids.clone().unwrap_or_else(|| {
            let secret = config.seed.first_chunk().expect("32 bytes hold eight");
            Arc::new(Ids::new(u64::from_le_bytes(*secret)))
        });
        let config = Arc::new(config);
        let own = OwnRecord::new(config.clone(), signer.clone());
        let figures = Figures::new(config.clone(), signer);
        let tuning = config.tuning.clone();
        Self {
            rng: ChaCha8Rng::from_seed(config.seed),
            view: {
                let vouchers = tuning.view.vouchers.min(config.degree_target / 2).max(1);
                let (most, fresh_per_s) = (config.claims, tuning.view.fresh_claims_per_s);
                let view = View::with_ids(own.record().clone(), ids, tuning.clone());
                view.with_bound(Bound {
                    most,
                    vouchers,
                    fresh_per_s,
                })
            },
            links: Links::new(me, config.probe_interval, tuning.clone()),
            gossip: Gossip::new(me, config.network.clone(), tuning),
            overlay: {
                let mut overlay = Overlay::new(me, config.clone());
                overlay.hear_own_addrs(own.addrs());
                overlay
            },
            own,
            figures,
            meet: Rendezvous::new(me, config.tuning.clone()),
            echoes: Echoes::new(me, config.tuning.clone()),
            penalties: Penalties::default(),
            members: Members::new(config.charter.clone()),
            out: Out::new(),
            promised: None,
            config,
        }
    }

    /// Takes an input in, and does all that is due by `now`.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.make_up_for_lateness(now);
        // Records and what is about them touch no link but their own, or say so: a large network's start is made of them.
        let of_records = matches!(
            input,
            Input::Message(_, Message::Records(_) | Message::Have(_)) | Input::Flushed(..)
        );
        if !of_records {
            self.links.touch();
        }
        match input {
            Input::Timeout => self.open_inbox(now),
            Input::Connected(connected) => self.handle_connected(now, *connected),
            Input::DialFailed(dial, why) => {
                let seen = seen!(self, now);
                self.overlay
                    .handle_dial_failed(&seen, dial, &why, &mut self.out);
            }
            Input::AddrFailed(dial, addr, why) => {
                self.overlay.handle_addr_failed(now, dial, addr, &why);
            }
            Input::Closed(conn, why) => {
                // A leave message comes just before the end, and counts.
                self.open_inbox(now);
                self.handle_closed(now, conn, &why);
            }
            Input::Message(conn, message) => self.handle_message(now, conn, message),
            Input::Flushed(conn, room) => {
                if let Some(peer) = self.links.peer(conn) {
                    self.links.hear_room(&peer, room);
                    self.gossip.handle_flushed(&peer, room);
                }
            }
            Input::Probe(conn, probe) => self.handle_probe(now, conn, &probe),
            Input::Answer(conn, answer, rtt_us) => self.handle_answer(now, conn, &answer, rtt_us),
            Input::Unreachable(conn) => self.handle_unreachable(now, conn),
            Input::Moved(conn, remote) => self.handle_moved(now, conn, remote),
            Input::OwnAddrs { advertised, local } => self.own.set_addrs(now, &advertised, &local),
            Input::Targets(addrs) => {
                let seen = seen!(self, now);
                self.overlay.set_targets(&seen, &addrs);
            }
            Input::Found(id, addr) => {
                let seen = seen!(self, now);
                self.overlay.found(&seen, id, addr);
            }
            Input::PathLost(conn) => self.handle_path_lost(now, conn),
            Input::Redial(conn) => self.handle_redial(now, conn),
            Input::Opened { nonce, from } => self.meet.heard(now, nonce, from),
            Input::Echo(conn, echo) => self.handle_echo(now, conn, echo),
            Input::Ping { number, path } => self.ping(now, number, &path),
            Input::Authorities(authorities) => self.members.set_authorities(now, authorities),
            Input::Certificate(certificate) => {
                self.members.set_certificate(certificate.clone());
                self.own.set_certificate(now, certificate);
            }
            Input::Revocations(revocations) => {
                self.hear_revocations(now, &revocations, None);
            }
            Input::Origin(unix_s) => self.members.set_origin(now, unix_s),
            Input::Leave => self.leave(now),
        }
        self.advance(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.out.poll_action()
    }

    /// The next thing to tell a person, until there is none.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.poll_event()
    }

    /// When to call [`Self::handle`] with [`Input::Timeout`], if nothing else happens before.
    pub fn poll_timeout(&mut self) -> Time {
        let gossip = self.gossip.deadline(&self.links);
        let links = self.links.deadline(|peer| self.gossip.holds_until(peer));
        // Once we said that we leave, nobody is looked for any more.
        let stays = !self.own.is_leaving();
        let overlay = stays.then(|| self.overlay.deadline());
        let others = [
            overlay,
            self.own.deadline(),
            self.figures.deadline(),
            self.meet.deadline().filter(|_| stays),
            self.members.deadline(),
            self.echoes.deadline(),
            self.links.collision_deadline(),
        ];
        let next = others
            .into_iter()
            .flatten()
            .fold(links.min(gossip).min(self.view.deadline()), Time::min);
        self.promised = Some(next);
        let inbox = self.gossip.inbox_since();
        inbox.map_or(next, |since| since.min(next))
    }

    /// What changed since the start.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.out.changes()
    }

    /// The digest of the view, for the transport's answers.
    #[must_use]
    pub fn digest(&self) -> ViewDigest {
        self.view.digest()
    }

    /// The newest record of this node, for the transport's Hellos.
    #[must_use]
    pub fn own_record(&self) -> Arc<Record> {
        self.own.record().clone()
    }

    /// This run's id.
    #[must_use]
    pub fn run_id(&self) -> u64 {
        self.config.run_id
    }

    /// How many nodes are up in this node's view, itself included.
    #[must_use]
    pub fn up_count(&self) -> usize {
        self.view.up_count()
    }

    /// Whether that node is up in this node's view.
    #[must_use]
    pub fn is_up(&self, id: &NodeId) -> bool {
        self.view.is_up(id)
    }

    /// Whether that node counts by itself in this node's view, and not on the word of another.
    #[must_use]
    pub fn counts_by_itself(&self, id: &NodeId) -> bool {
        self.view.counts_alone(id)
    }

    /// The records of all nodes that are up in this node's view, its own among them, in no order that means anything.
    pub fn records_up(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.view.records_up()
    }

    /// How much there is in the core's tables, each of which has a limit.
    #[must_use]
    pub fn tables(&self) -> Tables {
        let (dials, dial_queue, remembered) = self.overlay.tables();
        Tables {
            nodes: self.view.count(),
            bytes: self.view.bytes(),
            remembered,
            links: self.links.len(),
            conns: self.links.connected().count(),
            dials,
            dial_queue,
        }
    }

    /// The peers of all connections, those that compete among them: a peer with two connections comes twice.
    pub fn connected(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.links.connected()
    }

    /// The highest epoch in use, to be kept on disk.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.own.epoch()
    }

    /// What is remembered of nodes, to be kept on disk; of too many, those seen last.
    #[must_use]
    pub fn remembered(&self) -> BTreeMap<NodeId, Remembered> {
        let mut nodes = self.overlay.remembered(&self.view);
        if self.members.number() > 0 {
            nodes.retain(|id, _| !self.members.is_revoked(id));
        }
        nodes
    }

    /// The newest record of a node, where it is known.
    #[must_use]
    pub fn record(&self, id: &NodeId) -> Option<&Arc<Record>> {
        self.view.record(id)
    }

    /// A node's label, where it is known, for the log.
    #[must_use]
    pub fn label(&self, id: &NodeId) -> Option<Arc<str>> {
        self.record(id).map(|record| record.body().label.clone())
    }

    /// Whether everything handed to the transport so far has left: after it said that it leaves, the node may go. What a link that was
    /// judged down would still need goes nowhere, and does not count.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.gossip.is_flushed(&self.links)
    }

    /// How long to wait, after all is handed to the transport, before the connections may be closed: on a lossy link the last message
    /// may have to be sent again.
    #[must_use]
    pub fn leave_patience(&self) -> Duration {
        if self.links.have_lost() {
            self.config.tuning.coordinator.leave_patience
        } else {
            Duration::ZERO
        }
    }

    /// When this node was away (stopped, starved, asleep), what was pending does not count against anybody, or not yet.
    fn make_up_for_lateness(&mut self, now: Time) {
        let late = self.promised.take();
        let late = late.map_or(Time::ZERO, |promised| now.saturating_sub(promised));
        let tuning = &self.config.tuning.coordinator;
        if late > tuning.too_late {
            self.links.forgive(now);
            self.gossip.forgive(now);
        } else if late > tuning.rather_late {
            self.links.extend(late);
        }
    }

    /// Everything that is due.
    fn advance(&mut self, now: Time) {
        self.advance_collisions(now);
        self.remove_ended(now);
        if self.links.needs_look(now) || self.gossip.needs_look(now) {
            self.links.touch();
            self.advance_links(now);
        }
        let listed = self.links.listed().map(Link::peer);
        if let Some(derived) = self.view.derive_if_due(now, listed) {
            self.handle_derived(now, &derived);
        }
        for account in self.view.take_over_bound() {
            let id = self.view.record_at(account).id();
            let why = format!(
                "more than {} nodes have links only with it, or with each other; the others are not shown",
                self.config.claims
            );
            self.out.reject("claims_over_limit", id, why);
        }
        if !self.own.is_leaving() {
            self.advance_overlay(now);
        }
        if self.own.is_due(now)
            && let Some(record) = self.own.publish_if_due(now, self.around(), &self.links)
        {
            self.handle_published(now, record);
        }
        self.tell_figures(now);
        self.end_pings(now);
        self.forget(now);
        self.gossip.release(now, &self.view);
        self.gossip.request_again(now, &self.view, &self.links);
        let looked = self.links.end_look();
        self.gossip.flush(
            now,
            looked,
            (&self.view, &self.figures),
            &self.links,
            &mut self.out,
        );
    }

    /// Looks at the neighbour set, and dials.
    fn advance_overlay(&mut self, now: Time) {
        let seen = seen!(self, now);
        let plan = self.overlay.plan(&seen, &mut self.rng);
        self.gossip.use_tree(!self.overlay.is_full_mesh());
        if let Some(superfluous) = plan.superfluous {
            for (peer, mark) in self.links.mark(&superfluous) {
                self.gossip.tell_superfluous(&peer, mark);
            }
        }
        for peer in plan.give_up {
            if let Some(conn) = self.links.get(&peer).map(Link::conn) {
                self.close(now, peer, conn, CloseCode::Superfluous);
            }
        }
        self.hold_meetings(now);
        let seen = seen!(self, now);
        self.overlay.dial(&seen, &mut self.rng, &mut self.out);
        for peer in self.overlay.take_unanswered(now) {
            self.ask_to_meet(now, peer);
        }
    }

    /// Nodes came into view, or went.
    fn handle_derived(&mut self, now: Time, derived: &Derived) {
        self.out.shape_changed();
        let flips = &derived.flips;
        self.overlay
            .handle_flips(now, flips, &self.view, &mut self.rng);
        if derived.cut_off {
            self.out.tell(Event::CutOff);
        }
        for flip in flips {
            let record = self.view.record_at(flip.index);
            let (id, left) = (record.id(), record.body().leaving);
            let barred = self.view.is_barred(flip.index);
            if !flip.up {
                // A link that was held while there were other ways is the only one now.
                self.links.end_hold(now, &id);
            }
            if flip.up {
                self.gossip.came_up(now, flip.index, &self.view);
                self.out.tell(Event::Up(id));
            } else if barred {
                self.tell_removed(now, flip.index);
            } else if left {
                self.out.tell(Event::Left(id));
            } else if !derived.cut_off {
                self.out.tell(Event::Unreachable(id));
            }
        }
    }

    fn forget(&mut self, now: Time) {
        let is_linked = |id: &NodeId| self.links.get(id).is_some();
        let gone = self
            .view
            .forget_if_due(now, self.config.forget_after, is_linked);
        if !gone.is_empty() {
            self.out.shape_changed();
            let gone: BTreeSet<Index> = gone.into_iter().collect();
            self.gossip.forget(&gone);
            self.figures.forget(&gone);
        }
    }

    fn leave(&mut self, now: Time) {
        self.own.leave();
        if let Some(record) = self.own.publish(now, &self.links) {
            self.handle_published(now, record);
        }
    }

    /// The next version of our own record is signed.
    fn handle_published(&mut self, now: Time, record: Arc<Record>) {
        self.out.shape_changed();
        let up = self.view.up_count();
        let around = (up, self.overlay.shaped(up));
        self.figures.published(now, &record, around, &mut self.rng);
        if self.overlay.hear_own_addrs(&record.body().addrs) {
            // Packets that could not leave from the old addresses may leave from the new ones.
            for peer in self.links.lost_paths() {
                self.replace(now, peer);
            }
        }
        if self.config.tells_links {
            let before = self.view.record_at(self.view.me()).body();
            let news = LinkNews::between(Some(before), record.body(), None);
            self.out.tell_links(news);
        }
        self.gossip.publish(now, record, &mut self.view);
        self.view.derive_soon(now, false);
    }

    /// Reachability and the neighbour set may change.
    fn look_soon(&mut self, now: Time, loss: bool) {
        self.view.derive_soon(now, loss);
        self.overlay.plan_soon(now, self.view.up_count());
    }

    fn around(&self) -> Around {
        let up = self.view.up_count();
        Around {
            up,
            readers: self.overlay.readers(up),
            shaped: self.overlay.shaped(up),
        }
    }
}
