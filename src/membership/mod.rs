//! The core: membership without I/O.
//!
//! Events go in ([`Core::handle`]), actions come out ([`Core::poll_action`]), and the caller asks when to come back
//! ([`Core::poll_timeout`]). The core never reads a clock, never draws entropy and never touches a socket: the time is an
//! argument, the random generator is seeded, settings and identity are passed in. The same core runs in the node and in a
//! simulator, and replays to the byte.
//!
//! Use it in one way: mutate, then drain to empty.
//!
//! The parts, each an own module:
//! - `interface`: what goes in and comes out;
//! - [`database`]: the newest record of every node, and digests;
//! - [`change`]: what a newer record changes;
//! - [`ids`]: where nodes stand in tables;
//! - `reach`: who is up;
//! - [`detector`]: is this link alive;
//! - `loss`: how many misses in a row a link's loss explains;
//! - [`rtt`]: how long is its path;
//! - [`pool`]: what is missing, and where it might be;
//! - `addresses`: where nodes can be dialed;
//! - `backlog`: what neighbours may still lack;
//! - `connections`: they come, go, and compete for being *the* link to a peer;
//! - `links`: the link to a peer, while it stands;
//! - `spread`: records between neighbours;
//! - `exchange`: they compare their views;
//! - `tree`: which links carry records, and which only words of them;
//! - `publish`: our own record;
//! - `neighbors`: whom to link with;
//! - `ring`: who is next to us on the ring of hashed ids;
//! - `picture`: the snapshot.

mod addresses;
mod backlog;
pub mod change;
mod connections;
pub mod database;
pub mod detector;
mod exchange;
pub mod ids;
mod interface;
mod links;
mod loss;
mod neighbors;
mod picture;
pub mod pool;
mod publish;
mod reach;
mod ring;
pub mod rtt;
mod spread;
mod tree;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::record::{Record, Signer};
use crate::snapshot::Changes;
use crate::wire::{Message, NodeId, ShortId, ViewDigest};
use backlog::{Backlog, Waiting};
use change::Change;
use connections::{Contest, Flaps};
use database::{Database, Index};
use ids::Ids;
pub use interface::{
    Action, Closed, Config, ConnId, Connected, DialError, DialId, Event, Input, Tables,
};
use links::Link;
pub use neighbors::MAX_QUEUE as MAX_DIAL_QUEUE;
use pool::{Candidate, Pool};
use publish::OwnRecord;
use ring::Ring;

/// The time since the node's start. One clock for all of the core; it never goes back.
pub type Time = Duration;

/// How late our own loop may run before nothing that was pending counts against a link any more.
const TOO_LATE: Duration = Duration::from_millis(500);

/// In a network that is not small, who is up is derived no more often than this: changes that come together make one picture.
const DERIVE_SPACING: Duration = Duration::from_millis(100);

/// A node that came into view has its record passed on after this time: most likely that was done when it came.
const CAME_UP: Duration = Duration::from_millis(50);

/// A queue that is empty keeps room for so many.
const ROOM_KEPT: usize = 32;

/// How late it may run before what is pending is given that much more time.
const RATHER_LATE: Duration = Duration::from_millis(30);

/// Takes the first thing out of a queue, and gives the room of a large one back once it is empty: when a network comes into view, there
/// is an event for every node, and never again as many.
fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if first.is_none() && queue.capacity() > ROOM_KEPT {
        *queue = VecDeque::new();
    }
    first
}

/// A dial under way.
#[derive(Debug)]
struct Dialing {
    candidate: Candidate,
    /// How many refusals led here.
    hops: u32,
    since: Time,
}

/// See the module's documentation.
pub struct Core {
    config: Config,
    signer: Arc<dyn Signer>,
    rng: ChaCha8Rng,
    me: NodeId,
    database: Database,
    own: OwnRecord,
    links: BTreeMap<NodeId, Link>,
    conns: BTreeMap<ConnId, NodeId>,
    contests: BTreeMap<NodeId, Contest>,
    flaps: BTreeMap<NodeId, Flaps>,
    /// Connections that lost, closed a little later, when both ends have seen both.
    closing: Vec<(Time, ConnId)>,
    pool: Pool,
    dials: BTreeMap<DialId, Dialing>,
    dial_queue: VecDeque<(Candidate, u32)>,
    dial_counter: u64,
    ring: Ring,
    /// When a node may be dialed again as a wanted neighbour, and how often that failed in a row.
    retries: BTreeMap<NodeId, (Time, u32)>,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    changes: Changes,
    rejected: BTreeMap<&'static str, u64>,
    /// News that nobody has looked at yet, with the neighbours that brought it.
    unverified: BTreeMap<NodeId, Vec<(Arc<Record>, NodeId)>>,
    /// They are due at once, but behind the inputs that wait already.
    unverified_since: Option<Time>,
    /// Records that neighbours told of and that were asked for, and when to look at them.
    asked: BTreeMap<ShortId, tree::Asked>,
    ask_due: Option<Time>,
    /// One of them did not come, and was given up, then: the views are compared with the next that differs.
    asked_in_vain: Option<Time>,
    flood: tree::Flood,
    /// Records that are to be passed on.
    waiting: Waiting,
    /// A link that brings a lost part of the network back is passed on at that time.
    bridge: Option<Time>,
    /// What each neighbour may lack.
    backlog: Backlog,
    outvoted: exchange::Outvoted,
    /// Something happened that links may have to look at: a deadline may have moved.
    stirred: bool,
    /// Something may be there to send.
    to_send: bool,
    /// The first deadline of the links, while it is known; without links, never.
    links_due: Option<Time>,
    /// Who is up must be derived anew, at this time.
    derive_due: Option<Time>,
    derived: Option<Time>,
    /// The set of wanted neighbours must be looked at, at this time.
    plan_due: Option<Time>,
    prune_due: Time,
    /// The most nodes that the last Hello spoke of.
    heard_of: usize,
    /// When a node last came into view, and since when they come without a pause.
    grew: Time,
    grows_since: Time,
    /// When a good part of the network went out of view last.
    collapsed: Option<Time>,
    /// Everybody links with everybody, for now.
    full_mesh: bool,
    forget_due: Time,
    /// What `poll_timeout` said last: being called much later means that we were away.
    promised: Option<Time>,
    was_linked: bool,
    leaving: bool,
}

impl Core {
    /// A core at time zero. It dials its targets as soon as it is first called.
    #[must_use]
    pub fn new(config: Config, signer: Arc<dyn Signer>) -> Self {
        let me = signer.node_id();
        let own = OwnRecord::new(&config, &*signer);
        let ids = config.ids.clone().unwrap_or_else(|| {
            let secret = config.seed.first_chunk().expect("32 bytes hold eight");
            Arc::new(Ids::new(u64::from_le_bytes(*secret)))
        });
        let pool = Pool::new(&config.targets, config.remembered.clone());
        let dial_queue = pool
            .first_dials()
            .into_iter()
            .map(|candidate| (candidate, 0))
            .collect();
        Self {
            rng: ChaCha8Rng::from_seed(config.seed),
            me,
            database: Database::with_ids(own.record(), ids),
            own,
            links: BTreeMap::new(),
            conns: BTreeMap::new(),
            contests: BTreeMap::new(),
            flaps: BTreeMap::new(),
            closing: Vec::new(),
            pool,
            dials: BTreeMap::new(),
            dial_queue,
            dial_counter: 0,
            ring: Ring::new(&me),
            retries: BTreeMap::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            changes: Changes {
                shape: 1,
                figures: 0,
            },
            rejected: BTreeMap::new(),
            unverified: BTreeMap::new(),
            asked: BTreeMap::new(),
            ask_due: None,
            asked_in_vain: None,
            flood: tree::Flood::new(),
            waiting: Waiting::default(),
            bridge: None,
            backlog: Backlog::default(),
            outvoted: exchange::Outvoted::default(),
            stirred: true,
            to_send: true,
            links_due: None,
            unverified_since: None,
            derive_due: None,
            derived: None,
            plan_due: None,
            prune_due: Time::ZERO,
            heard_of: 0,
            grew: Time::ZERO,
            grows_since: Time::ZERO,
            collapsed: None,
            full_mesh: true,
            forget_due: Time::ZERO,
            promised: None,
            was_linked: false,
            leaving: false,
            config,
            signer,
        }
    }

    /// Takes an event in, and does all that is due by `now`.
    pub fn handle(&mut self, now: Time, input: Input) {
        let late = self
            .promised
            .take()
            .map_or(Time::ZERO, |promised| now.saturating_sub(promised));
        if late > TOO_LATE {
            self.forgive(now);
        } else if late > RATHER_LATE {
            for link in self.links.values_mut() {
                link.detector.extend(late);
            }
        }
        // Records and what is about them touch no link but their own, or say so: a large network's start is made of them.
        let of_records = matches!(
            input,
            Input::Message(_, Message::Records(_) | Message::Have(_)) | Input::Flushed(_)
        );
        self.stirred |= !of_records;
        match input {
            Input::Timeout => self.take_unverified(now),
            Input::Connected(connected) => self.handle_connected(now, *connected),
            Input::DialFailed(dial, why) => self.handle_dial_failed(now, dial, &why),
            Input::Closed(conn, why) => {
                // A farewell comes just before the end, and counts.
                self.take_unverified(now);
                self.handle_closed(now, conn, &why);
            }
            Input::Message(conn, message) => self.handle_message(now, conn, message),
            Input::Flushed(conn) => self.handle_flushed(conn),
            Input::Probe(conn, probe) => self.handle_probe(now, conn, probe),
            Input::Answer(conn, answer, rtt_us) => self.handle_answer(now, conn, answer, rtt_us),
            Input::Unreachable(conn) => self.handle_unreachable(now, conn),
            Input::Leave => self.leave(now),
        }
        self.advance(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_action(&mut self) -> Option<Action> {
        pop(&mut self.actions)
    }

    /// The next thing to tell a person, until there is none.
    pub fn poll_event(&mut self) -> Option<Event> {
        pop(&mut self.events)
    }

    /// When to call [`Self::handle`] with [`Input::Timeout`], if nothing else happens before.
    pub fn poll_timeout(&mut self) -> Time {
        let links = *self.links_due.get_or_insert_with(|| {
            self.links
                .values()
                .map(|link| link.deadline(&self.backlog))
                .min()
                .unwrap_or(Time::MAX)
        });
        // After farewell nobody is looked for any more.
        let look = if self.leaving {
            None
        } else {
            Some(self.pool.deadline())
        };
        let rest = [
            look,
            Some(links),
            self.own.deadline(),
            self.waiting.next_due(),
            self.ask_due,
            self.derive_due,
            self.plan_due.filter(|_| !self.leaving),
            Some(self.forget_due),
            self.contests.values().map(|contest| contest.deadline).min(),
            self.closing.iter().map(|(due, _)| *due).min(),
        ];
        let next = rest
            .into_iter()
            .flatten()
            .min()
            .expect("forgetting always has a deadline");
        self.promised = Some(next);
        self.unverified_since.map_or(next, |since| since.min(next))
    }

    /// What changed since the start.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.changes
    }

    /// The digest of the view, for the transport's answers.
    #[must_use]
    pub fn digest(&self) -> ViewDigest {
        self.database.digest()
    }

    /// The newest record of this node, for the transport's Hellos.
    #[must_use]
    pub fn own_record(&self) -> Arc<Record> {
        self.own.record()
    }

    /// This run's id.
    #[must_use]
    pub fn run_id(&self) -> u64 {
        self.config.run_id
    }

    /// How many nodes are up in this node's view, itself included.
    #[must_use]
    pub fn up_count(&self) -> usize {
        self.database.up_count()
    }

    /// The records of all nodes that are up in this node's view, its own among them, in no order that means anything.
    pub fn records_up(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.database.records_up()
    }

    /// How much there is in the core's tables, each of which has a limit.
    #[must_use]
    pub fn tables(&self) -> Tables {
        Tables {
            nodes: self.database.count(),
            remembered: self.pool.nodes().len(),
            links: self.links.len(),
            conns: self.conns.len(),
            dials: self.dials.len(),
            dial_queue: self.dial_queue.len(),
        }
    }

    /// The peers of all connections, those that compete among them: a peer with two connections comes twice.
    pub fn connected(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.conns.values().copied()
    }

    /// The highest epoch in use, to be kept on disk.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.own.epoch()
    }

    /// The newest record of a node, where it is known.
    #[must_use]
    pub fn record(&self, id: &NodeId) -> Option<&Arc<Record>> {
        self.database.record(id)
    }

    /// A node's label, where it is known, for the log.
    #[must_use]
    pub fn label(&self, id: &NodeId) -> Option<Arc<str>> {
        self.record(id).map(|record| record.body().label.clone())
    }

    /// Whether everything handed to the transport so far has left: after farewell, the node may go.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        // What a link that was judged down would still need goes nowhere.
        self.links
            .values()
            .filter(|link| matches!(link.phase, links::LinkPhase::Live { .. }))
            .all(|link| link.in_flight.is_none() && self.backlog.is_empty(link.slot))
    }

    /// How long to wait, after all is handed to the transport, before the connections may be closed: on a lossy link the
    /// farewell may have to be sent again.
    #[must_use]
    pub fn farewell_patience(&self) -> Duration {
        let lossy = self.links.values().any(|link| link.detector.loss_250() > 0);
        if lossy {
            Duration::from_millis(250)
        } else {
            Duration::ZERO
        }
    }

    /// Everything that is due.
    fn advance(&mut self, now: Time) {
        self.advance_contests(now);
        if self.stirred || self.links_due.is_some_and(|due| due <= now) {
            self.stirred = true;
            self.advance_links(now);
        }
        if self.derive_due.is_some_and(|due| due <= now) {
            self.derive(now);
        }
        if !self.leaving {
            self.advance_neighbors(now);
        }
        self.advance_own_record(now);
        if self.forget_due <= now {
            self.forget_due = now + Duration::from_secs(10);
            self.forget(now);
        }
        self.release(now);
        if self.ask_due.is_some_and(|due| due <= now) {
            self.ask_again(now);
        }
        let (stirred, to_send) = (
            std::mem::take(&mut self.stirred),
            std::mem::take(&mut self.to_send),
        );
        if stirred || to_send {
            self.keep_a_branch();
            let due = self.flush_links(now);
            self.links_due = self.links_due.filter(|_| !stirred).map(|at| at.min(due));
        }
        // Keeping a branch posts a message, which has been sent by now.
        self.to_send = false;
    }

    /// This node was away (stopped, starved, asleep): nothing that was pending counts against anybody.
    fn forgive(&mut self, now: Time) {
        for link in self.links.values_mut() {
            link.detector.forgive(now);
            link.in_flight = link.in_flight.map(|_| now);
        }
        for contest in self.contests.values_mut() {
            contest.deadline = contest.deadline.max(now + connections::CONTEST);
        }
    }

    fn derive(&mut self, now: Time) {
        self.derive_due = None;
        self.derived = Some(now);
        let live: Vec<Index> = self
            .links
            .values()
            .filter(|link| link.is_listed())
            .filter_map(|link| self.database.index(&link.peer.abbreviated()))
            .collect();
        let flips = self.database.derive_up(now, &live);
        if flips.is_empty() {
            return;
        }
        self.changes.shape += 1;
        self.ring.follow(&self.database, &flips);
        self.pool
            .reach_changed(now, self.database.up_count(), &mut self.rng);
        self.plan_soon(now);
        let cut_off = live.is_empty() && self.was_linked;
        self.was_linked = !live.is_empty();
        if cut_off {
            self.events.push_back(Event::CutOff);
        }
        if flips.iter().any(|flip| flip.up) {
            if now >= self.grew + self.growing() {
                self.grows_since = now;
            }
            self.grew = now;
        }
        self.note_gone(now, flips.iter().filter(|flip| !flip.up).count());
        for flip in flips {
            let record = self.database.record_at(flip.index).clone();
            let (id, left) = (record.id(), record.body().leaving);
            self.remember_flip(now, flip.index);
            if flip.up {
                // What failed while it was away says nothing about now.
                self.retries.remove(&id);
                self.pass_on(now, flip.index, Change::Figures, CAME_UP);
                self.events.push_back(Event::Up(id));
            } else if left {
                self.events.push_back(Event::Left(id));
            } else if !cut_off {
                self.events.push_back(Event::Unreachable(id));
            }
        }
    }

    fn forget(&mut self, now: Time) {
        let after = self.config.forget_after;
        let gone: BTreeSet<Index> = self.database.forget_older(now, after).into_iter().collect();
        if gone.is_empty() {
            return;
        }
        self.changes.shape += 1;
        self.backlog.forget(&gone);
    }

    /// Asks for a new derivation of who is up. Losses are looked at now, gains may wait for company where there are many of them.
    fn derive_soon(&mut self, now: Time, loss: bool) {
        let (wait, spacing) = match self.database.up_count() {
            0..=32 => (Duration::ZERO, Duration::ZERO),
            33..=256 if loss => (Duration::ZERO, DERIVE_SPACING),
            33..=256 => (Duration::from_millis(25), DERIVE_SPACING),
            _ => (Duration::from_millis(100), DERIVE_SPACING),
        };
        let due = (now + wait).max(self.derived.map_or(now, |at| at + spacing));
        self.derive_due = Some(self.derive_due.map_or(due, |before| before.min(due)));
    }

    fn unix_ms(&self, now: Time) -> u64 {
        self.config.start_unix_ms
            + u64::try_from(now.as_millis()).expect("fits for an age of the earth")
    }

    fn reject(&mut self, what: &'static str, peer: NodeId, why: String) {
        *self.rejected.entry(what).or_default() += 1;
        self.changes.figures += 1;
        self.events.push_back(Event::Rejected { what, peer, why });
    }
}
