//! The world: places and the nodes that run there, virtual time, and the queue of what happens next. Of the nodes, either the cores
//! are real, or all of them is.
//!
//! [`World::step`] lets one thing happen and says when; what nodes tell meanwhile waits in [`World::poll_news`]. Everything
//! that is left to chance comes from one generator, and of two things at one time the one that was thought of first
//! happens first: same seed, same run, to the byte.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::key::Key;
use super::lines::{Lines, Terrain};
use super::path::{Conn, ConnRef, Flight, Side};
use super::whole::{CoreRef, Running, Whole};
use crate::membership::ids::Ids;
use crate::membership::{Action, Config, ConnId, Core, DialId, Event, Input, Time};
use crate::record::{Record, Signer};
use crate::settings::Settings;
use crate::wire::{CloseCode, NodeId};

/// The name of every simulated network.
pub const NETWORK: &str = "simulated";
/// The most places: each has a port of its own.
pub const MAX_PLACES: usize = 32_768;
/// After its farewell a node waits for its last messages to leave, but no longer than this.
const FAREWELL: Duration = Duration::from_secs(1);
/// A core that is woken more often than this in one millisecond is busy for nothing.
const WAKES_PER_MS: u32 = 1000;
/// Where the first place listens.
const FIRST_PORT: u16 = 8000;

/// Where the node of a place listens, unless it was told otherwise.
///
/// # Panics
/// From [`MAX_PLACES`] on: there are no more ports.
#[must_use]
pub fn addr(place: usize) -> SocketAddr {
    let place = u16::try_from(place).expect("there are fewer places than ports");
    SocketAddr::from((Ipv6Addr::LOCALHOST, FIRST_PORT + place))
}

/// The settings of the core as the program has them by default, for the node of a place.
#[must_use]
pub fn default_config(place: usize, targets: &[usize]) -> Config {
    Config {
        network: NETWORK.into(),
        label: format!("node {place}").into(),
        addrs: vec![addr(place)],
        targets: targets.iter().map(|&target| addr(target)).collect(),
        remembered: Vec::new(),
        run_id: 0,
        epoch: 0,
        seed: [0; 32],
        start_unix_ms: 0,
        probe_interval: Duration::from_millis(1500),
        full_mesh: 16,
        degree_target: 8,
        degree_cap: 16,
        dials_at_once: 8,
        refresh_bytes_per_s: 64,
        forget_after: Duration::from_secs(600),
        ids: None,
    }
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A core asked to be called.
    Wake(u32),
    /// What was lost of a flight is sent again.
    Transmit(u32),
    /// A flight arrives.
    Arrive(u32),
    /// The transport takes the next message.
    Flushed(ConnRef, Side),
    /// A dial has taken too long.
    DialTimeout(ConnRef),
    /// QUIC's idle timeout may be over at this end.
    Idle(ConnRef, Side),
    /// A node that leaves goes, flushed or not.
    Gone(u32, u32),
    /// A datagram of a whole node arrives.
    Packet(u32),
}

/// Something that happens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Time,
    number: u64,
    pub(super) what: What,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A place in the network: an address, and a node that runs there, or doesn't.
pub struct Node {
    pub(super) key: Arc<Key>,
    id: NodeId,
    /// What its core is told at the next start.
    pub config: Config,
    pub(super) body: Option<Body>,
    /// Counts the starts.
    life: u32,
    started: Time,
    stopped: Time,
    paused: bool,
    leaving: bool,
    /// What waits while the node is paused.
    held: Vec<Due>,
    /// When the core wants to be called, and the time of the wake-up that is queued.
    due: Time,
    armed: Option<Time>,
    wakes: (u128, u32),
    /// The connections, and attempts at one, that it has an end of.
    pub(super) conns: Vec<u32>,
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

/// What a node did since the world began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that it sent, with all headers down to IPv6.
    pub bytes: u64,
    /// Of these, what records took.
    pub record_bytes: u64,
    /// Control messages that it sent.
    pub messages: u64,
    /// Records that it was sent, its own in Hellos aside.
    pub records_in: u64,
    /// Probes that it sent.
    pub probes: u64,
    /// Dials that it began.
    pub dials: u64,
    /// All that its core wanted done.
    pub actions: u64,
}

impl Traffic {
    /// Adds what another one did.
    pub fn add(&mut self, other: &Self) {
        let Self {
            bytes,
            record_bytes,
            messages,
            records_in,
            probes,
            dials,
            actions,
        } = other;
        self.bytes += bytes;
        self.record_bytes += record_bytes;
        self.messages += messages;
        self.records_in += records_in;
        self.probes += probes;
        self.dials += dials;
        self.actions += actions;
    }
}

impl Node {
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

    /// The settings of a whole node.
    fn settings(&self, dial_timeout: Duration) -> Settings {
        let config = &self.config;
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Settings {
            label: config.label.to_string(),
            network: config.network.to_string(),
            targets: config.targets.clone(),
            probe_interval_ms: u16::try_from(ms(config.probe_interval)).unwrap_or(u16::MAX),
            full_mesh: config.full_mesh,
            degree_target: config.degree_target,
            degree_cap: config.degree_cap,
            dials_at_once: config.dials_at_once,
            dial_timeout_ms: ms(dial_timeout),
            refresh_bytes_per_s: config.refresh_bytes_per_s,
            forget_after_s: config.forget_after.as_secs(),
            ..Settings::default()
        }
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

    /// It has said farewell, and is about to go.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }
}

/// What a node tells.
#[derive(Debug)]
pub struct News {
    /// When.
    pub at: Time,
    /// Which node.
    pub place: usize,
    /// What.
    pub what: Told,
}

/// The kinds of [`News`].
#[derive(Debug)]
pub enum Told {
    /// It was started.
    Started,
    /// It ended.
    Stopped,
    /// The core has something for the log.
    Event(Event),
    /// It signed a new record; with the one before, if there was one in this life.
    Published(Arc<Record>, Option<Arc<Record>>),
    /// It dials.
    Dialed(SocketAddr),
}

/// Takes lines of a log: when, at which place, what.
pub type Tap = Box<dyn FnMut(Time, usize, &fmt::Arguments<'_>)>;

/// See the module's documentation.
pub struct World {
    pub(super) now: Time,
    /// All chance comes from here.
    pub rng: ChaCha8Rng,
    pub(super) queue: BinaryHeap<Reverse<Due>>,
    count: u64,
    /// The places.
    pub nodes: Vec<Node>,
    /// Where nodes stand in the tables of all cores: those of this world at the places that they have in it.
    ids: Arc<Ids>,
    pub(super) conns: Vec<Option<Conn>>,
    pub(super) free_conns: Vec<u32>,
    pub(super) dial_count: u32,
    pub(super) flights: Vec<Option<Flight>>,
    pub(super) free_flights: Vec<u32>,
    pub(super) lines: Lines,
    news: VecDeque<News>,
    pub(super) steps: u64,
    /// Where whole nodes run, if they do.
    pub(super) whole: Option<Whole>,
    /// When a dial is given up.
    pub dial_timeout: Duration,
    /// Every message goes through its bytes, which a test may want.
    pub encoded: bool,
    /// Is told all that cores do and tell.
    pub tap: Option<Tap>,
}

impl World {
    /// An empty world for whole nodes.
    #[must_use]
    pub fn of_whole_nodes(seed: u64) -> Self {
        Self {
            whole: Some(Whole::new()),
            ..Self::new(seed)
        }
    }

    /// An empty world for cores.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            rng: ChaCha8Rng::seed_from_u64(seed),
            queue: BinaryHeap::new(),
            count: 0,
            nodes: Vec::new(),
            ids: Arc::new(Ids::new(seed)),
            conns: Vec::new(),
            free_conns: Vec::new(),
            dial_count: 0,
            flights: Vec::new(),
            free_flights: Vec::new(),
            lines: Lines::default(),
            news: VecDeque::new(),
            steps: 0,
            whole: None,
            dial_timeout: Duration::from_millis(2900),
            encoded: false,
            tap: None,
        }
    }

    /// The time since the world began.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// How many things have happened.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Who reaches whom, and how.
    #[must_use]
    pub fn terrain(&self) -> &Terrain {
        self.lines.terrain()
    }

    /// Changes who reaches whom, and how. What is under way arrives.
    pub fn change_terrain(&mut self, change: impl FnOnce(&mut Terrain)) {
        self.lines.change(change);
    }

    /// One more place, for a node with the key of that number.
    ///
    /// # Panics
    /// When there are [`MAX_PLACES`] already.
    pub fn add(&mut self, key: u64, mut config: Config) -> usize {
        let place = self.nodes.len();
        assert!(place < MAX_PLACES, "there are no more ports");
        let key = Arc::new(Key::new(key));
        self.ids.hold(&key.node_id());
        config.ids = Some(self.ids.clone());
        self.nodes.push(Node {
            id: key.node_id(),
            key,
            config,
            body: None,
            life: 0,
            started: Duration::ZERO,
            stopped: Duration::ZERO,
            paused: false,
            leaving: false,
            held: Vec::new(),
            due: Duration::ZERO,
            armed: None,
            wakes: (0, 0),
            conns: Vec::new(),
            own: None,
            clock_ms: 1_700_000_000_000,
            traffic: Traffic::default(),
        });
        place
    }

    /// Starts a node; one that ran before has the addresses and the epoch that it kept on disk.
    ///
    /// # Panics
    /// When it runs already.
    pub fn start(&mut self, place: usize) {
        let (run_id, seed) = (self.rng.random(), self.rng.random());
        let now = self.now;
        let node = &mut self.nodes[place];
        assert!(node.body.is_none(), "node {place} runs already");
        let since = u64::try_from(now.as_millis()).expect("a run is shorter than the world");
        let unix_ms = node.clock_ms + since;
        node.config.run_id = run_id;
        node.config.seed = seed;
        node.config.start_unix_ms = unix_ms;
        node.config.epoch = unix_ms.max(node.config.epoch + 1);
        node.life += 1;
        node.started = now;
        node.leaving = false;
        node.own = None;
        let Some(whole) = &mut self.whole else {
            let core = Core::new(node.config.clone(), node.key.clone());
            node.body = Some(Body::Core(Box::new(core)));
            self.tell(place, Told::Started);
            return self.give(place, Input::Timeout);
        };
        let settings = node.settings(self.dial_timeout);
        let running = whole.start(place, node.key.identity(), settings, &node.config);
        node.body = Some(Body::Whole(running));
        self.tell(place, Told::Started);
        self.settle(place);
    }

    /// Stops a node without a word. Its host is silent from then on.
    ///
    /// # Panics
    /// When it doesn't run.
    pub fn kill(&mut self, place: usize) {
        let now = self.now;
        self.keep_memory(place);
        let node = &mut self.nodes[place];
        let body = node.body.take().expect("only a running node is killed");
        if let (Body::Whole(running), Some(whole)) = (body, &mut self.whole) {
            whole.kill(running);
        }
        node.stopped = now;
        node.paused = false;
        let held = std::mem::take(&mut node.held);
        node.armed = None;
        for due in held {
            self.drop_flight(due.what);
        }
        for slot in self.nodes[place].conns.clone() {
            self.release(slot);
        }
        self.tell(place, Told::Stopped);
    }

    /// What a node has on disk.
    fn keep_memory(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let Some(core) = node.core() else { return };
        let (epoch, remembered) = (core.epoch(), core.remembered().into_iter().collect());
        drop(core);
        node.config.epoch = epoch;
        node.config.remembered = remembered;
    }

    /// A node says farewell, and goes when that has left.
    pub fn leave(&mut self, place: usize) {
        self.keep_memory(place);
        self.nodes[place].leaving = true;
        if let Some(Body::Whole(running)) = &mut self.nodes[place].body {
            return running.leave();
        }
        let life = self.nodes[place].life;
        self.at(FAREWELL, What::Gone(small(place), life));
        self.give(place, Input::Leave);
    }

    /// A node stands still; what would happen to it waits.
    pub fn pause(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        node.paused = true;
        if let (Some(Body::Whole(running)), Some(whole)) = (&node.body, &self.whole) {
            whole.executor.pause(running.host);
        }
    }

    /// A node goes on.
    pub fn resume(&mut self, place: usize) {
        let mut held = std::mem::take(&mut self.nodes[place].held);
        let node = &mut self.nodes[place];
        node.paused = false;
        if let (Some(Body::Whole(running)), Some(whole)) = (&node.body, &self.whole) {
            return whole.executor.resume(running.host);
        }
        // Whether a program that goes on sees its timers or its packets first is anybody's guess.
        if self.rng.random_bool(0.5) {
            held.sort_by_key(|due| !matches!(due.what, What::Wake(_)));
        }
        for due in held {
            self.happen(due);
        }
    }

    /// Whether the node of a place runs.
    #[must_use]
    pub fn is_running(&self, place: usize) -> bool {
        self.nodes[place].is_running()
    }

    /// Whether a node runs in the life of that number.
    pub(super) fn runs(&self, place: u32, life: u32) -> bool {
        let node = &self.nodes[place as usize];
        node.body.is_some() && node.life == life
    }

    /// The places whose nodes run.
    pub fn running(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|&place| self.nodes[place].is_running())
    }

    /// The next thing that a node told, until there is none.
    pub fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    pub(super) fn tell(&mut self, place: usize, what: Told) {
        let at = self.now;
        self.news.push_back(News { at, place, what });
    }

    pub(super) fn at(&mut self, after: Duration, what: What) {
        let at = self.now + after;
        self.at_time(at, what);
    }

    pub(super) fn at_time(&mut self, at: Time, what: What) {
        self.count += 1;
        let number = self.count;
        self.queue.push(Reverse(Due { at, number, what }));
    }

    /// Lets the next thing happen, if that is not after `until`; if it is, time goes on to `until`, and `false` is returned.
    pub fn step(&mut self, until: Time) -> bool {
        if self.whole.is_some() {
            return self.step_whole(until);
        }
        match self.queue.peek() {
            Some(Reverse(first)) if first.at <= until => {}
            Some(_) | None => {
                self.now = self.now.max(until);
                return false;
            }
        }
        let Reverse(due) = self.queue.pop().expect("it was just looked at");
        self.now = due.at;
        self.steps += 1;
        self.happen(due);
        true
    }

    pub(super) fn happen(&mut self, due: Due) {
        let what = due.what;
        if let What::Packet(packet) = what {
            return self.land(packet);
        }
        match self.whose(what) {
            Some(place) if self.nodes[place as usize].paused => {
                self.nodes[place as usize].held.push(due);
                return;
            }
            Some(_) => {}
            None => return self.drop_flight(what),
        }
        match what {
            What::Wake(place) => self.wake(place, due.at),
            What::Transmit(flight) => self.transmit(flight),
            What::Arrive(flight) => self.arrive(flight),
            What::Flushed(conn, side) => self.flushed(conn, side),
            What::DialTimeout(conn) => self.dial_timeout(conn),
            What::Idle(conn, side) => self.idle(conn, side),
            What::Packet(_) => {}
            What::Gone(place, life) => {
                if self.runs(place, life) {
                    self.go(place as usize);
                }
            }
        }
    }

    /// The node that has to run for this to happen; `None` if the connection is gone that this is about.
    fn whose(&self, what: What) -> Option<u32> {
        let end = |conn, side: Side| Some(self.conn(conn)?.ends[side.at()].node);
        match what {
            // It is a matter of the socket, which the kernel keeps for a node that stands still.
            What::Packet(_) => None,
            What::Wake(place) | What::Gone(place, _) => Some(place),
            What::Transmit(flight) => {
                let flight = self.flight(flight);
                end(flight.conn, flight.to.other())
            }
            What::Arrive(flight) => {
                let flight = self.flight(flight);
                end(flight.conn, flight.to)
            }
            What::Flushed(conn, side) | What::Idle(conn, side) => end(conn, side),
            What::DialTimeout(conn) => end(conn, Side::Dialer),
        }
    }

    fn wake(&mut self, place: u32, at: Time) {
        let node = &mut self.nodes[place as usize];
        // A wake-up that was queued before an earlier one, or for an earlier life.
        if node.armed != Some(at) || node.body.is_none() {
            return;
        }
        node.armed = None;
        if node.due > self.now {
            let due = node.due;
            node.armed = Some(due);
            return self.at_time(due, What::Wake(place));
        }
        let tick = self.now.as_millis();
        node.wakes = if node.wakes.0 == tick {
            (tick, node.wakes.1 + 1)
        } else {
            (tick, 1)
        };
        assert!(
            node.wakes.1 <= WAKES_PER_MS,
            "node {place} is busy for nothing at {:?}",
            self.now
        );
        self.give(place as usize, Input::Timeout);
    }

    /// Hands a core an input and does what it wants.
    pub(super) fn give(&mut self, place: usize, input: Input) {
        let now = self.now;
        let node = &mut self.nodes[place];
        let started = node.started;
        let Some(core) = node.bare() else {
            return;
        };
        core.handle(now - started, input);
        while let Some(action) = self.nodes[place].bare().and_then(Core::poll_action) {
            self.nodes[place].traffic.actions += 1;
            self.note(place, format_args!("{action:?}"));
            self.perform(place, action);
        }
        while let Some(event) = self.nodes[place].bare().and_then(Core::poll_event) {
            self.note(place, format_args!("{event:?}"));
            self.tell(place, Told::Event(event));
        }
        self.note_record(place);
        let node = &mut self.nodes[place];
        let core = node.bare().expect("it runs");
        let due = (core.poll_timeout() + started).max(now);
        let flushed = core.is_flushed();
        let gone = flushed && node.leaving;
        node.due = due;
        let life = node.life;
        if node.armed.is_none_or(|armed| due < armed) {
            node.armed = Some(due);
            self.at_time(due, What::Wake(small(place)));
        }
        if gone {
            self.at(Duration::ZERO, What::Gone(small(place), life));
        }
    }

    fn perform(&mut self, place: usize, action: Action) {
        match action {
            Action::Dial {
                dial,
                addr,
                expect,
                replaces,
                eager,
            } => {
                self.nodes[place].traffic.dials += 1;
                self.tell(place, Told::Dialed(addr));
                let wanted = super::path::Wanted {
                    dial,
                    addr,
                    expect,
                    replaces,
                    eager,
                };
                self.dial(place, wanted);
            }
            Action::Send(conn, message) => self.send(place, conn, message),
            Action::Probe(conn, probe) => self.probe(place, conn, probe),
            Action::Close(conn, code, alternatives) => {
                self.hang_up(place, conn, code, alternatives)
            }
        }
    }

    /// The node's own record, where it is another one than before.
    fn note_record(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let own = node.core().expect("it runs").own_record();
        let known = node.own.as_ref();
        if known.is_none_or(|before| !Arc::ptr_eq(before, &own)) {
            self.published(place, own);
        }
    }

    pub(super) fn published(&mut self, place: usize, own: Arc<Record>) {
        let node = &mut self.nodes[place];
        let before = node.own.replace(own.clone());
        self.tell(place, Told::Published(own, before));
    }

    /// The farewell of a node is over.
    fn go(&mut self, place: usize) {
        self.hang_up_all(place, CloseCode::Leaving);
        self.kill(place);
    }

    /// Writes to the log, where one is kept.
    pub(super) fn note(&mut self, place: usize, what: fmt::Arguments<'_>) {
        if let Some(tap) = &mut self.tap {
            tap(self.now, place, &what);
        }
    }

    /// Whose first address this is.
    #[must_use]
    pub fn place_of(&self, addr: SocketAddr) -> Option<usize> {
        let listens = |node: &Node| node.config.addrs.first() == Some(&addr);
        let usual = usize::from(addr.port().wrapping_sub(FIRST_PORT));
        if self.nodes.get(usual).is_some_and(listens) {
            return Some(usual);
        }
        self.nodes.iter().position(listens)
    }

    pub(super) fn dial_failed(
        &mut self,
        place: u32,
        life: u32,
        dial: DialId,
        why: crate::membership::DialError,
    ) {
        if self.runs(place, life) {
            self.give(place as usize, Input::DialFailed(dial, why));
        }
    }
}

/// A place as it is kept.
pub(super) fn small(place: usize) -> u32 {
    u32::try_from(place).expect("there are at most MAX_PLACES")
}

/// Whom a core means by a connection's number.
pub(super) fn conn_of(id: ConnId) -> (ConnRef, Side) {
    let side = if id.0 & 1 == 0 {
        Side::Dialer
    } else {
        Side::Listener
    };
    let slot = u32::try_from((id.0 >> 1) & 0x7fff_ffff).expect("31 bits fit");
    let number = u32::try_from(id.0 >> 32).expect("32 bits fit");
    (ConnRef { slot, number }, side)
}

/// The number under which a core knows its end of a connection.
pub(super) fn conn_id(conn: ConnRef, side: Side) -> ConnId {
    let side = u64::from(side == Side::Listener);
    ConnId((u64::from(conn.number) << 32) | (u64::from(conn.slot) << 1) | side)
}
