//! A place in the network, and the node there with all that is its own: its core, its ends of connections, the lines that lead
//! away from it, its chance, and the queue of what happens to it next.
//!
//! In a [window](super::window) nothing here reads or writes another node. What goes to others waits in an outbox, and what is
//! told, in a list; the [world](super::world) takes both when the window is over.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::key::Key;
use super::liar::Liar;
use super::lines::Lines;
use super::news::{Told, Traffic};
use super::path::{End, EndRef, Flight, Wanted};
use super::queue::{Due, Queue};
use super::whole::{CoreRef, Running};
use super::window::{NEVER, Scene, Window};
use crate::membership::{Action, Config, Core, DialError, DialId, Input, Time};
use crate::record::{Record, Signer};
use crate::settings::{CoreStart, Settings};
use crate::wire::{CloseCode, Message, NodeId};

/// After its farewell a node waits for its last messages to leave, but no longer than this.
const FAREWELL: Duration = Duration::from_secs(1);
/// A core that is woken more often than this in one millisecond is busy for nothing.
const WAKES_PER_MS: u32 = 1000;
/// Streams of the world's generator that are not those of places.
const STREAMS_BEFORE: u64 = 2;

/// What happens to a node. That its core asked to be called is no such thing: there is one time for it, and it is not queued.
#[derive(Debug)]
pub(super) enum What {
    /// What was lost of a flight is sent again.
    Transmit(Box<Flight>),
    /// A flight arrives.
    Arrive(Box<Flight>),
    /// The peer acknowledges so many bytes of the stream.
    Acked(EndRef, usize),
    /// What waits for a silent peer is tried again.
    ProbePath(EndRef, u32),
    /// The peer has got something of that.
    Heard(EndRef),
    /// The transport takes the next message.
    Flushed(EndRef),
    /// A dial has taken too long.
    DialTimeout(EndRef),
    /// QUIC's idle timeout may be over at this end.
    Idle(EndRef),
    /// This end closed long enough ago.
    Forget(EndRef),
    /// A node that leaves goes, flushed or not.
    Gone,
}

/// A place in the network: an address, and a node that runs there, or doesn't.
pub struct Node {
    pub(super) place: u32,
    pub(super) key: Arc<Key>,
    id: NodeId,
    /// Its settings, as of the next start.
    pub settings: Settings,
    /// What its core is told beside them at the next start.
    pub start: CoreStart,
    /// Datagrams to this address reach the node; `None` for the first published one. A whole node that publishes none is bound to
    /// the unspecified address and learns its own from its peers.
    pub reached_at: Option<SocketAddr>,
    /// Where it listens, or did when it ran last.
    pub(super) listens: Option<SocketAddr>,
    pub(super) body: Option<Body>,
    /// Counts the starts.
    life: u32,
    started: Time,
    stopped: Time,
    paused: bool,
    went_on: Time,
    leaving: bool,
    liar: Option<Box<Liar>>,
    /// When that happens which happens to it now, or happened last.
    pub(super) now: Time,
    pub(super) queue: Queue<What>,
    /// Counts what it thought of.
    count: u64,
    /// How much happened to it since the world asked last.
    pub(super) happened: u64,
    /// When the core wants to be called.
    due: Time,
    wakes: (u128, u32),
    pub(super) ends: BTreeMap<EndRef, End>,
    pub(super) dial_count: u32,
    pub(super) lines: Lines,
    pub(super) rng: ChaCha8Rng,
    /// What goes to others, or to itself the long way, and to whom.
    pub(super) outbox: Vec<(u32, Due<What>)>,
    /// What it tells, and when: at one time it may tell of thousands of nodes, and what is put in order with the news of others is then one
    /// thing.
    pub(super) news: Vec<(Time, Vec<Told>)>,
    pub(super) log: Vec<(Time, String)>,
    own: Option<Arc<Record>>,
    /// Unix time minus virtual time at this node, in ms: clocks differ.
    pub clock_ms: u64,
    /// What it did since the world began.
    pub traffic: Traffic,
}

/// What runs at a place.
pub(super) enum Body {
    Core(Box<Core>),
    Whole(Running),
}

impl Node {
    /// The node of a place in the world of a seed.
    pub(super) fn new(
        seed: u64,
        place: u32,
        key: u64,
        settings: Settings,
        addr: SocketAddr,
    ) -> Self {
        let key = Arc::new(Key::new(key));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(STREAMS_BEFORE + u64::from(place));
        Self {
            place,
            id: key.node_id(),
            key,
            settings,
            start: CoreStart {
                published: vec![addr],
                ..CoreStart::default()
            },
            reached_at: None,
            listens: None,
            body: None,
            life: 0,
            started: Duration::ZERO,
            stopped: Duration::ZERO,
            paused: false,
            went_on: Duration::ZERO,
            leaving: false,
            liar: None,
            now: Duration::ZERO,
            queue: Queue::default(),
            count: 0,
            happened: 0,
            due: NEVER,
            wakes: (0, 0),
            ends: BTreeMap::new(),
            dial_count: 0,
            lines: Lines::new(place as usize),
            rng,
            outbox: Vec::new(),
            news: Vec::new(),
            log: Vec::new(),
            own: None,
            clock_ms: 1_700_000_000_000,
            traffic: Traffic::default(),
        }
    }

    /// Who is at home here.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// What signs its records.
    #[must_use]
    pub fn signer(&self) -> Arc<dyn Signer> {
        self.key.clone()
    }

    /// The core, while it runs. That of a whole node is not to be seen any more once the node says farewell.
    #[must_use]
    pub fn core(&self) -> Option<CoreRef<'_>> {
        match self.body.as_ref()? {
            Body::Core(core) => Some(CoreRef::Bare(core)),
            Body::Whole(running) => running.core(),
        }
    }

    /// The core, where it runs by itself.
    fn bare(&mut self) -> Option<&mut Core> {
        match self.body.as_mut()? {
            Body::Core(core) => Some(core),
            Body::Whole(_) => None,
        }
    }

    /// What its core is told at the next start.
    #[must_use]
    pub fn config(&self) -> Config {
        self.settings.core(self.start.clone())
    }

    /// Its newest record, or its last one.
    #[must_use]
    pub fn own(&self) -> Option<&Arc<Record>> {
        self.own.as_ref()
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.body.is_some()
    }

    /// How often it was started.
    #[must_use]
    pub fn life(&self) -> u32 {
        self.life
    }

    /// When it was started last.
    #[must_use]
    pub fn started(&self) -> Time {
        self.started
    }

    /// When it ended last.
    #[must_use]
    pub fn stopped(&self) -> Time {
        self.stopped
    }

    /// It runs, but nothing happens to it.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// When it went on last, after it had stood still.
    #[must_use]
    pub fn went_on(&self) -> Time {
        self.went_on
    }

    /// It has said farewell, and is about to go.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// It says what is not so.
    #[must_use]
    pub fn is_lying(&self) -> bool {
        self.liar.is_some()
    }

    /// A new life begins, with that run id and that seed of its core.
    pub(super) fn begin(&mut self, run_id: u64, seed: [u8; 32]) {
        assert!(self.body.is_none(), "node {} runs already", self.place);
        let since = u64::try_from(self.now.as_millis()).expect("a run is shorter than the world");
        let unix_ms = self.clock_ms + since;
        self.start.run_id = run_id;
        self.start.seed = seed;
        self.start.unix_ms = unix_ms;
        self.start.epoch = unix_ms.max(self.start.epoch + 1);
        self.life += 1;
        self.started = self.now;
        self.leaving = false;
        self.own = None;
    }

    /// Starts a core in the life that has begun.
    pub(super) fn start_core(&mut self, scene: &Scene<'_>) {
        let core = Core::new(self.config(), self.key.clone());
        self.body = Some(Body::Core(Box::new(core)));
        self.tell(Told::Started);
        self.give(scene, Input::Timeout);
    }

    /// It is gone without a word, and its host silent from now on.
    pub(super) fn stop(&mut self, scene: &Scene<'_>) -> Body {
        self.keep_memory(scene);
        let body = self.body.take().expect("only a running node is killed");
        self.stopped = self.now;
        self.paused = false;
        self.liar = None;
        self.due = NEVER;
        self.ends.clear();
        // What was its own ends with it; what others sent finds its next life here, or nobody.
        let now = self.now;
        self.queue
            .retain(|due| matches!(due.what, What::Arrive(_)) && due.at > now);
        self.tell(Told::Stopped);
        body
    }

    /// What it has on disk, where somebody will ever read it: of each node of a large network that is the whole network.
    fn keep_memory(&mut self, scene: &Scene<'_>) {
        if !scene.restarts {
            return;
        }
        let Some(core) = self.core() else { return };
        let (epoch, remembered) = (core.epoch(), core.remembered().into_iter().collect());
        drop(core);
        self.start.epoch = epoch;
        self.start.remembered = remembered;
    }

    /// It says farewell, and goes when that has left.
    pub(super) fn leave(&mut self, scene: &Scene<'_>) {
        self.keep_memory(scene);
        self.leaving = true;
        if let Some(Body::Whole(running)) = &mut self.body {
            return running.leave();
        }
        self.at(FAREWELL, What::Gone);
        self.give(scene, Input::Leave);
    }

    /// It begins to lie, or is honest again.
    pub(super) fn lie(&mut self, lies: bool) {
        self.liar = lies.then(|| Box::new(Liar::by_lot(&mut self.rng)));
    }

    /// What it says in place of that.
    fn twisted(&mut self, message: Message) -> Message {
        let Self {
            liar,
            own,
            key,
            rng,
            ..
        } = self;
        match (liar, own) {
            (Some(liar), Some(own)) => liar.twist(message, own, key, rng),
            (Some(_) | None, _) => message,
        }
    }

    /// It stands still.
    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    /// It goes on, with all that would have happened meanwhile. Whether a program that goes on sees its timers or its packets first
    /// is anybody's guess.
    pub(super) fn resume(&mut self, scene: &Scene<'_>, timers_first: bool) {
        self.paused = false;
        let now = self.now;
        self.went_on = now;
        if timers_first && self.due <= now {
            self.wake(scene);
        }
        while let Some(due) = self.queue.pop_by(now) {
            self.happened += 1;
            self.happen(scene, due.what);
        }
        if self.due <= now {
            self.wake(scene);
        }
        self.queue.trim();
    }

    /// When something happens to it next.
    pub(super) fn next(&self) -> Time {
        if self.paused {
            return NEVER;
        }
        self.queue.first().map_or(self.due, |at| at.min(self.due))
    }

    /// Lets everything happen to it that is due in a window.
    pub(super) fn run(&mut self, scene: &Scene<'_>, window: &Window) {
        loop {
            let next = self.next();
            if !window.holds(next) {
                break;
            }
            self.now = next;
            // A timer goes off after whatever else is at its time.
            match self.queue.pop_by(next) {
                Some(due) => {
                    self.happened += 1;
                    self.happen(scene, due.what);
                }
                None => self.wake(scene),
            }
        }
        self.queue.trim();
    }

    fn happen(&mut self, scene: &Scene<'_>, what: What) {
        match what {
            What::Transmit(flight) => self.transmit(scene, flight),
            What::Arrive(flight) => self.arrive(scene, *flight),
            What::Acked(end, bytes) => self.acked(end, bytes),
            What::ProbePath(end, count) => self.probe_path(scene, end, count),
            What::Heard(end) => self.heard(end),
            What::Flushed(end) => self.flushed(scene, end),
            What::DialTimeout(end) => self.dial_timeout(scene, end),
            What::Idle(end) => self.idle(scene, end),
            What::Forget(end) => self.forget(end),
            What::Gone => {
                if self.is_running() {
                    self.hang_up_all(scene, CloseCode::Leaving);
                    self.stop(scene);
                }
            }
        }
    }

    fn wake(&mut self, scene: &Scene<'_>) {
        self.happened += 1;
        let tick = self.now.as_millis();
        self.wakes = if self.wakes.0 == tick {
            (tick, self.wakes.1 + 1)
        } else {
            (tick, 1)
        };
        assert!(
            self.wakes.1 <= WAKES_PER_MS,
            "node {} is busy for nothing at {:?}",
            self.place,
            self.now
        );
        self.give(scene, Input::Timeout);
    }

    /// Something happens to it after a while.
    pub(super) fn at(&mut self, after: Duration, what: What) {
        let due = self.due_at(self.now + after, what);
        self.queue.push(due);
    }

    /// Something happens to a node then, itself perhaps, but not within this window.
    pub(super) fn post(&mut self, to: u32, at: Time, what: What) {
        let due = self.due_at(at, what);
        self.outbox.push((to, due));
    }

    fn due_at(&mut self, at: Time, what: What) -> Due<What> {
        self.count += 1;
        Due {
            at,
            origin: self.place,
            number: self.count,
            what,
        }
    }

    pub(super) fn tell(&mut self, what: Told) {
        match self.news.last_mut() {
            Some((at, told)) if *at == self.now => told.push(what),
            _ => self.news.push((self.now, vec![what])),
        }
    }

    /// Writes to the log, where one is kept.
    pub(super) fn note(&mut self, scene: &Scene<'_>, what: fmt::Arguments<'_>) {
        if scene.logs {
            self.log.push((self.now, what.to_string()));
        }
    }

    /// Hands the core an input and does what it wants.
    pub(super) fn give(&mut self, scene: &Scene<'_>, input: Input) {
        let (now, started) = (self.now, self.started);
        if let Input::Closed(_, why) = &input {
            self.tell(Told::Closed(why.clone()));
        }
        let Some(core) = self.bare() else { return };
        core.handle(now - started, input);
        while let Some(action) = self.bare().and_then(Core::poll_action) {
            self.traffic.actions += 1;
            self.note(scene, format_args!("{action:?}"));
            self.perform(scene, action);
        }
        while let Some(event) = self.bare().and_then(Core::poll_event) {
            self.note(scene, format_args!("{event:?}"));
            self.tell(Told::Event(event));
        }
        let core = self.bare().expect("it runs");
        let due = (core.poll_timeout() + started).max(now);
        let own = core.own_record();
        self.due = due;
        let known = self.own.as_ref();
        if known.is_none_or(|before| !Arc::ptr_eq(before, &own)) {
            self.published(own);
        }
        if self.leaving && self.bare().is_some_and(|core| core.is_flushed()) {
            self.at(Duration::ZERO, What::Gone);
        }
    }

    fn perform(&mut self, scene: &Scene<'_>, action: Action) {
        match action {
            Action::Dial {
                dial,
                addr,
                expect,
                replaces,
                eager,
            } => {
                self.traffic.dials += 1;
                self.tell(Told::Dialed(addr));
                let wanted = Wanted {
                    dial,
                    addr,
                    expect,
                    replaces,
                    eager,
                };
                self.dial(scene, wanted);
            }
            Action::Send(conn, message) => {
                let message = self.twisted(message);
                self.send(scene, conn, message);
            }
            Action::Probe(conn, probe) => self.probe(scene, conn, probe),
            Action::Close(conn, code, alternatives) => {
                self.hang_up(scene, conn, code, alternatives);
            }
        }
    }

    /// It has another record of its own than before.
    pub(super) fn published(&mut self, own: Arc<Record>) {
        let before = self.own.replace(own.clone());
        self.tell(Told::Published(own, before));
    }

    pub(super) fn dial_failed(&mut self, scene: &Scene<'_>, dial: DialId, why: DialError) {
        self.give(scene, Input::DialFailed(dial, why));
    }
}
