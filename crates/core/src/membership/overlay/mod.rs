//! Chooses the nodes to link with and the addresses to dial, and starts the dials.
//!
//! Up to [`full_mesh`](super::Config::full_mesh) nodes, every node links with every other. Above that, a node keeps about
//! [`degree_target`](super::Config::degree_target) links, counted both ways (`plan`). It links to its two successors on a ring of
//! hashed ids (`ring`), so that the network is certainly connected. The rest are, in turn, links to random nodes (an expander)
//! and to near ones. Missing nodes and their addresses are in [`candidates`], the dials under way in `dials`, and the growth of
//! the network in `growth`.
//!
//! This owner reads the view and the links, and changes neither: it returns a [`Plan`].

mod addresses;
pub(super) mod candidates;
mod contacts;
mod dial_table;
mod dials;
mod growth;
mod guests;
mod luck;
mod plan;
mod rests;
mod ring;
mod strangers;
mod turns;
mod ways;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use super::Time;
use super::interface::Config;
use super::links::Links;
use super::members::Members;
use super::out::Out;
use super::tuning::Tuning;
use super::view::{Flip, View};
use crate::record::PublishedAddr;
use crate::wire::NodeId;
use candidates::Candidates;
use contacts::Contacts;
use dial_table::Dials;
pub use dial_table::MAX_QUEUE;
use growth::Growth;
pub(super) use guests::Admission;
use luck::Luck;
use rests::Rests;
use ring::{Ring, SUCCESSORS};
pub(super) use strangers::Strangers;
pub(super) use ways::ways;

/// Slots below the cap that are kept for ring links.
const RING_SLOTS: usize = 2 * SUCCESSORS;

/// The input of a plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) now: Time,
    pub(super) members: &'a Members,
    pub(super) view: &'a View,
    pub(super) links: &'a Links,
    /// When our record last published a lost link, or will.
    pub(super) last_loss: Option<Time>,
}

impl Seen<'_> {
    /// Whether a node is no member any more, as far as we know: it is not dialed.
    fn is_barred(&self, id: &NodeId) -> bool {
        let in_view = || self.view.index(&id.abbreviated());
        self.members.is_closed()
            && (self.members.is_revoked(id)
                || (!self.members.dials_strangers()
                    && in_view().is_some_and(|index| self.view.is_barred(index))))
    }
}

/// The result of a look at the neighbour set, except the dials.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The links that this node could do without, if that was checked.
    pub(super) superfluous: Option<BTreeSet<NodeId>>,
    /// The links to give up now, since both ends could do without them.
    pub(super) give_up: Vec<NodeId>,
}

/// How a link ended, as far as the next one depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkEnd {
    /// It was judged down; its connection is kept for a while.
    Parked,
    /// Its connection is gone; it had been listed or not, and had not lasted.
    Broken { was_listed: bool, short_lived: bool },
    /// Neither end needed it.
    GivenUp,
    /// The peer gave its slot to another node; there are other links.
    Evicted,
    /// The peer left.
    PeerLeft,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Overlay {
    me: NodeId,
    config: Arc<Config>,
    tuning: Arc<Tuning>,
    candidates: Candidates,
    dials: Dials,
    ring: Ring,
    growth: Growth,
    rests: Rests,
    strangers: Strangers,
    luck: Luck,
    contacts: Contacts,
    /// What this node publishes of itself: it tells which addresses of others are near.
    own_addrs: Vec<PublishedAddr>,
    /// Where a rendezvous said that nodes are, for the next dial of each.
    met: BTreeMap<NodeId, Vec<SocketAddr>>,
    /// Every node links with every other at present.
    full_mesh: bool,
    /// When the neighbour set must be looked at.
    plan_due: Option<Time>,
    /// No link is given up before.
    prune_due: Time,
    /// The peers that were refused lately, and may come back.
    refused: BTreeMap<NodeId, Time>,
}

impl Overlay {
    /// At time zero, configured targets and the nodes seen last wait to be dialed.
    pub(super) fn new(me: NodeId, config: Arc<Config>) -> Self {
        let tuning = config.tuning.clone();
        let remembered = config.remembered.clone();
        let candidates = Candidates::new(&config.targets, remembered, tuning.clone());
        Self {
            me,
            dials: Dials::new(candidates.first_dials(), tuning.clone()),
            candidates,
            ring: Ring::new(&me),
            growth: Growth::default(),
            rests: Rests::new(tuning.clone()),
            strangers: Strangers::new(&config.targets, tuning.clone()),
            luck: Luck::default(),
            contacts: Contacts::default(),
            own_addrs: Vec::new(),
            met: BTreeMap::new(),
            full_mesh: true,
            plan_due: None,
            prune_due: Time::ZERO,
            refused: BTreeMap::new(),
            tuning,
            config,
        }
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Time {
        let draw = self.candidates.deadline();
        let due = self.plan_due.map_or(draw, |plan| plan.min(draw));
        self.dials.next_unanswered().map_or(due, |at| at.min(due))
    }

    pub(super) fn is_full_mesh(&self) -> bool {
        self.full_mesh
    }

    /// The sizes of the tables: dials under way, dials in the queue, nodes remembered.
    pub(super) fn tables(&self) -> (usize, usize, usize) {
        let remembered = self.candidates.nodes().len();
        (self.dials.under_way(), self.dials.queued(), remembered)
    }

    /// A neighbour said in its Hello how many nodes it knows.
    pub(super) fn hear_known(&mut self, known: u32) {
        self.growth.hear(known);
    }

    /// How many nodes will read our record, if `up` nodes are up.
    pub(super) fn readers(&self, up: usize) -> usize {
        self.growth.readers(up)
    }

    /// When the network will have made most of its links, if it stops growing.
    pub(super) fn shaped(&self, up: usize) -> Time {
        self.growth.shaped(up, &self.tuning)
    }

    /// Looks at the neighbour set soon: at once in a small network, a little later in a large one, where a look is expensive.
    pub(super) fn plan_soon(&mut self, now: Time, up: usize) {
        self.plan_by(now + self.tuning.pace.plan_wait(up));
    }

    fn plan_by(&mut self, at: Time) {
        self.plan_due = Some(self.plan_due.map_or(at, |due| due.min(at)));
    }

    /// Handles the nodes that came into view and those that went.
    pub(super) fn handle_flips(
        &mut self,
        now: Time,
        flips: &[Flip],
        view: &View,
        rng: &mut ChaCha8Rng,
    ) {
        let up = view.up_count();
        self.ring.follow(view, flips);
        let died = |flip: &&Flip| !flip.up && !view.has_left(flip.index);
        let deaths = flips.iter().filter(died).count();
        self.growth.note_deaths(now, deaths, &self.tuning.overlay);
        self.look_for_lost(now, up);
        self.candidates.reach_changed(now, up, rng);
        self.plan_soon(now, up);
        self.growth.note(now, flips, up, &self.tuning);
        for flip in flips {
            self.remember_flip(now, flip.index, view);
            if flip.up {
                // Dials that failed while the node was away say nothing about now.
                self.dials.forgive(&view.record_at(flip.index).id());
            }
        }
    }

    /// Where nearly all of the network is missing, it is looked for more often.
    fn look_for_lost(&mut self, now: Time, up: usize) {
        let turn_s = self.torn_turn(now, up);
        self.candidates.sweep(turn_s, turn_s.is_some());
    }

    fn torn_turn(&self, now: Time, up: usize) -> Option<f64> {
        let shortest_s = self.shortest_turn();
        self.growth
            .sweep_turn(now, up, shortest_s, &self.tuning.overlay)
    }

    /// The time between two dials to dead addresses that the slots allow, in seconds. It bounds dials that fail at once as well.
    fn shortest_turn(&self) -> f64 {
        self.config.dial_timeout.as_secs_f64() / self.config.dials_at_once.max(1) as f64
    }

    /// A link ended.
    pub(super) fn link_ended(&mut self, now: Time, peer: NodeId, end: LinkEnd, view: &View) {
        self.plan_soon(now, view.up_count());
        match end {
            LinkEnd::Parked => {}
            LinkEnd::Broken { short_lived, .. } => {
                if short_lived {
                    self.dials.back_off(now, peer);
                } else {
                    self.dials.forgive(&peer);
                }
            }
            LinkEnd::GivenUp => {}
            LinkEnd::Evicted => self.dials.back_off(now, peer),
            LinkEnd::PeerLeft => self.candidates.left(&peer),
        }
        let is_lost = match end {
            LinkEnd::Parked => true,
            LinkEnd::Broken { was_listed, .. } => was_listed,
            LinkEnd::GivenUp | LinkEnd::Evicted | LinkEnd::PeerLeft => false,
        };
        if is_lost {
            self.keep(peer, view);
            self.candidates.lost(peer, now);
        }
    }

    /// The slots under the cap that are taken: by links, and by dials under way, each of which may become one. A dial to a peer that is
    /// linked already, or to `peer` itself, takes no slot of its own.
    fn slots_taken(&self, links: &Links, peer: Option<&NodeId>) -> usize {
        let is_new = |id: &NodeId| {
            let link = links.get(id);
            Some(id) != peer && link.is_none_or(|link| link.is_parked())
        };
        let dials = self.dials.candidates();
        let new = dials.filter(|candidate| candidate.id.as_ref().is_none_or(is_new));
        links.degree() + new.count()
    }

    /// Draws from the candidates, if that is due, and starts the dials that wait for their turn.
    pub(super) fn dial(&mut self, seen: &Seen<'_>, rng: &mut ChaCha8Rng, out: &mut Out) {
        if self.candidates.deadline() <= seen.now {
            self.draw(seen, rng);
        }
        self.start_dials(seen, out);
    }
}

#[cfg(test)]
mod tests;
