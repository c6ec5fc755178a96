//! The world: nodes, time, the queue of what happens next, and the faults.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use area_net::identity::Identity;
use area_net::membership::{Action, Config, ConnId, Core, DialId, Event, Input, Time};
use area_net::record::{Record, Signer};
use area_net::wire::{CloseCode, NodeId};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::path::{Packet, Pair, Side};

pub(crate) const NETWORK: &str = "simulated";
/// After farewell a node waits for its last messages to leave, but no longer than this.
const FAREWELL: Duration = Duration::from_secs(1);
/// A node may not be woken more often than this in one millisecond.
const WAKES_PER_MS: u32 = 1000;

/// Runs a scenario with several seeds; a failure names the seed. With `SIM_SEEDS=n` in the environment, n times as many.
pub(crate) fn with_seeds(seeds: std::ops::Range<u64>, scenario: impl Fn(u64)) {
    let more = std::env::var("SIM_SEEDS").map_or(1, |more| more.parse().unwrap());
    let until = seeds.start + (seeds.end - seeds.start) * more;
    for seed in seeds.start..until {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            panic!("seed {seed}: {}", said.unwrap_or("panicked"));
        }
    }
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What happens at a time.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A core asked to be called.
    Wake(usize),
    /// A packet that is sent until it arrives is sent (again).
    Transmit {
        pair: usize,
        to: Side,
        packet: Packet,
        attempt: u32,
    },
    /// A packet arrives.
    Arrive {
        pair: usize,
        to: Side,
        packet: Packet,
    },
    /// The transport takes the next message.
    Flushed(usize, u32, ConnId),
    /// A dial has taken too long.
    DialTimeout(usize),
    /// QUIC's idle timeout may be over at this end.
    Idle(usize, Side),
    /// A node that leaves goes, flushed or not.
    Gone(usize, u32),
}

/// One direction between two nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    pub(crate) loss: f64,
}

/// A place in the network: an address, and a node that runs there, or doesn't.
pub(crate) struct Node {
    pub(crate) identity: Arc<Identity>,
    pub(crate) id: NodeId,
    pub(crate) config: Config,
    pub(crate) core: Option<Core>,
    /// Counts the starts.
    pub(crate) life: u32,
    pub(crate) started: Time,
    pub(crate) stopped: Time,
    pub(crate) paused: bool,
    /// What waits while the node is paused.
    held: Vec<Happening>,
    wake: Option<(Time, u64)>,
    wakes: (u128, u32),
    pub(crate) conns: BTreeMap<ConnId, (usize, Side)>,
    pub(crate) next_conn: u64,
    pub(crate) leaving: bool,
    /// Who is up, as told by events.
    pub(crate) shown: BTreeSet<NodeId>,
    pub(crate) own: Option<Arc<Record>>,
    pub(crate) actions: u64,
    pub(crate) dials: Vec<(Time, SocketAddr)>,
    /// Unix time minus virtual time at this node, in ms: clocks differ.
    pub(crate) clock_ms: u64,
}

/// The world.
pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) rng: ChaCha8Rng,
    queue: BTreeMap<(Time, u64), Happening>,
    count: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) path: Path,
    pub(crate) paths: BTreeMap<(usize, usize), Path>,
    /// Nodes of different groups don't reach each other.
    pub(crate) groups: BTreeMap<usize, u32>,
    /// Directions in which nothing arrives.
    pub(crate) dead: BTreeSet<(usize, usize)>,
    /// Every message goes through its bytes.
    pub(crate) encoded: bool,
    /// Nobody may show a node as unreachable that runs.
    pub(crate) strict: bool,
    /// No link may go missing from a record once it is in.
    pub(crate) never_unlisted: bool,
    /// After this time nobody may show a node that is gone.
    pub(crate) bound: Duration,
    pub(crate) events: Vec<(Time, usize, Event)>,
    pub(crate) trace: Option<u64>,
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            rng: ChaCha8Rng::seed_from_u64(seed),
            queue: BTreeMap::new(),
            count: 0,
            nodes: Vec::new(),
            pairs: Vec::new(),
            path: Path {
                delay: Duration::from_micros(100),
                jitter: Duration::from_micros(50),
                loss: 0.0,
            },
            paths: BTreeMap::new(),
            groups: BTreeMap::new(),
            dead: BTreeSet::new(),
            encoded: false,
            strict: true,
            never_unlisted: false,
            bound: secs(5),
            events: Vec::new(),
            trace: None,
        }
    }

    /// A place for a node with that key, which dials those places first.
    pub(crate) fn add_with_key(&mut self, key: u16, targets: &[usize]) -> usize {
        let place = self.nodes.len();
        let mut seed = [7; 32];
        seed[..2].copy_from_slice(&key.to_be_bytes());
        let identity = Arc::new(Identity::from_seed(&seed));
        let config = Config {
            network: NETWORK.into(),
            label: format!("node {place}").into(),
            addrs: vec![addr(place)],
            targets: targets.iter().map(|&target| addr(target)).collect(),
            remembered: Vec::new(),
            run_id: 0,
            epoch: 0,
            seed: [0; 32],
            start_unix_ms: 0,
            probe_interval: ms(1500),
            full_mesh: 16,
            degree_target: 8,
            degree_cap: 16,
            dials_at_once: 8,
            refresh_bytes_per_s: 64,
            forget_after: secs(600),
        };
        self.nodes.push(Node {
            id: identity.node_id(),
            identity,
            config,
            core: None,
            life: 0,
            started: Duration::ZERO,
            stopped: Duration::ZERO,
            paused: false,
            held: Vec::new(),
            wake: None,
            wakes: (0, 0),
            conns: BTreeMap::new(),
            next_conn: 1,
            leaving: false,
            shown: BTreeSet::new(),
            own: None,
            actions: 0,
            dials: Vec::new(),
            clock_ms: 1_700_000_000_000,
        });
        place
    }

    pub(crate) fn add(&mut self, targets: &[usize]) -> usize {
        let key = u16::try_from(self.nodes.len()).unwrap();
        self.add_with_key(key, targets)
    }

    /// Starts a node; one that ran before has the addresses and the epoch that it kept on disk.
    pub(crate) fn start(&mut self, place: usize) {
        let (run_id, seed) = (self.rng.random(), self.rng.random());
        let now = self.now;
        let node = &mut self.nodes[place];
        assert!(node.core.is_none(), "node {place} runs already");
        let unix_ms = node.clock_ms + u64::try_from(now.as_millis()).unwrap();
        node.config.run_id = run_id;
        node.config.seed = seed;
        node.config.start_unix_ms = unix_ms;
        node.config.epoch = unix_ms.max(node.config.epoch + 1);
        node.life += 1;
        node.started = now;
        node.leaving = false;
        node.next_conn = 1;
        node.shown.clear();
        node.own = None;
        node.core = Some(Core::new(node.config.clone(), node.identity.clone()));
        self.give(place, Input::Timeout);
    }

    pub(crate) fn start_all(&mut self) {
        for place in 0..self.nodes.len() {
            if self.nodes[place].core.is_none() {
                self.start(place);
            }
        }
    }

    /// Stops a node without a word.
    pub(crate) fn kill(&mut self, place: usize) {
        let now = self.now;
        let node = &mut self.nodes[place];
        let core = node.core.take().expect("only a running node is killed");
        node.config.epoch = core.epoch();
        let remembered = core.remembered();
        node.config.remembered = remembered
            .iter()
            .map(|(id, node)| (*id, node.clone()))
            .collect();
        node.stopped = now;
        node.paused = false;
        node.held.clear();
        node.conns.clear();
        if let Some(wake) = node.wake.take() {
            self.queue.remove(&wake);
        }
    }

    pub(crate) fn leave(&mut self, place: usize) {
        self.nodes[place].leaving = true;
        let life = self.nodes[place].life;
        self.at(FAREWELL, Happening::Gone(place, life));
        self.give(place, Input::Leave);
    }

    pub(crate) fn pause(&mut self, place: usize) {
        self.nodes[place].paused = true;
    }

    pub(crate) fn resume(&mut self, place: usize) {
        let mut held = std::mem::take(&mut self.nodes[place].held);
        self.nodes[place].paused = false;
        // Whether a program that goes on sees its timers or its packets first is anybody's guess.
        if self.rng.random_bool(0.5) {
            held.sort_by_key(|happening| !matches!(happening, Happening::Wake(_)));
        }
        for happening in held {
            self.happen(happening);
        }
    }

    pub(crate) fn is_running(&self, place: usize) -> bool {
        self.nodes[place].core.is_some()
    }

    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|&place| self.is_running(place))
            .collect()
    }

    pub(crate) fn group(&self, place: usize) -> u32 {
        self.groups.get(&place).copied().unwrap_or(0)
    }

    pub(crate) fn at(&mut self, after: Duration, happening: Happening) -> (Time, u64) {
        self.count += 1;
        let key = (self.now + after, self.count);
        self.queue.insert(key, happening);
        key
    }

    /// Lets the world go on for a while.
    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(first) = self.queue.first_entry() {
            if first.key().0 > until {
                break;
            }
            let ((now, _), happening) = first.remove_entry();
            self.now = now;
            self.happen(happening);
        }
        self.now = until;
        self.check_ghosts();
    }

    fn happen(&mut self, happening: Happening) {
        if let Some(place) = self.whose(&happening)
            && self.nodes[place].paused
        {
            self.nodes[place].held.push(happening);
            return;
        }
        match happening {
            Happening::Wake(place) => self.wake(place),
            Happening::Transmit {
                pair,
                to,
                packet,
                attempt,
            } => self.transmit(pair, to, packet, attempt),
            Happening::Arrive { pair, to, packet } => self.arrive(pair, to, packet),
            Happening::Flushed(place, life, conn) => {
                if self.runs(place, life) {
                    self.flushed(place, conn);
                }
            }
            Happening::DialTimeout(pair) => self.dial_timeout(pair),
            Happening::Idle(pair, side) => self.idle(pair, side),
            Happening::Gone(place, life) => {
                if self.runs(place, life) {
                    self.go(place);
                }
            }
        }
    }

    /// The node that has to run for this to happen.
    fn whose(&self, happening: &Happening) -> Option<usize> {
        match happening {
            Happening::Wake(place) | Happening::Flushed(place, ..) | Happening::Gone(place, _) => {
                Some(*place)
            }
            Happening::Transmit { pair, to, .. } => {
                Some(self.pairs[*pair].ends[to.other().at()].node)
            }
            Happening::Arrive { pair, to, .. } | Happening::Idle(pair, to) => {
                Some(self.pairs[*pair].ends[to.at()].node)
            }
            Happening::DialTimeout(pair) => Some(self.pairs[*pair].ends[0].node),
        }
    }

    pub(crate) fn runs(&self, place: usize, life: u32) -> bool {
        self.is_running(place) && self.nodes[place].life == life
    }

    fn wake(&mut self, place: usize) {
        let now = self.now;
        let node = &mut self.nodes[place];
        node.wake = None;
        let tick = now.as_millis();
        node.wakes = if node.wakes.0 == tick {
            (tick, node.wakes.1 + 1)
        } else {
            (tick, 1)
        };
        assert!(
            node.wakes.1 <= WAKES_PER_MS,
            "node {place} is busy for nothing at {now:?}"
        );
        self.give(place, Input::Timeout);
    }

    /// Hands a core an input and does what it wants.
    pub(crate) fn give(&mut self, place: usize, input: Input) {
        let now = self.now;
        let node = &mut self.nodes[place];
        let Some(core) = node.core.as_mut() else {
            return;
        };
        core.handle(now - node.started, input);
        while let Some(action) = self.nodes[place].core.as_mut().and_then(Core::poll_action) {
            self.nodes[place].actions += 1;
            self.note(place, &format_args!("{action:?}"));
            self.perform(place, action);
        }
        while let Some(event) = self.nodes[place].core.as_mut().and_then(Core::poll_event) {
            self.note(place, &format_args!("{event:?}"));
            self.hear(place, event);
        }
        self.check_own(place);
        let node = &mut self.nodes[place];
        let core = node.core.as_mut().expect("it runs");
        let due = core.poll_timeout() + node.started;
        let flushed = core.is_flushed();
        if let Some(wake) = node.wake.take() {
            self.queue.remove(&wake);
        }
        let wake = self.at(due.saturating_sub(now), Happening::Wake(place));
        self.nodes[place].wake = Some(wake);
        if self.nodes[place].leaving && flushed {
            let life = self.nodes[place].life;
            self.at(Duration::ZERO, Happening::Gone(place, life));
        }
    }

    fn perform(&mut self, place: usize, action: Action) {
        match action {
            Action::Dial {
                dial,
                addr,
                expect,
                replaces,
                ..
            } => {
                self.nodes[place].dials.push((self.now, addr));
                self.dial(place, dial, addr, expect, replaces);
            }
            Action::Send(conn, message) => self.send(place, conn, message),
            Action::Probe(conn, probe) => self.probe(place, conn, probe),
            Action::Close(conn, code, alternatives) => {
                if let Some((pair, side)) = self.nodes[place].conns.remove(&conn) {
                    self.close(pair, side, code, alternatives);
                }
            }
        }
    }

    /// The farewell of a node is over.
    fn go(&mut self, place: usize) {
        let conns = std::mem::take(&mut self.nodes[place].conns);
        for (pair, side) in conns.into_values() {
            self.close(pair, side, CloseCode::Leaving, Vec::new());
        }
        self.kill(place);
    }

    /// Folds something into the trace, where one is kept.
    fn note(&mut self, place: usize, what: &std::fmt::Arguments<'_>) {
        if let Some(trace) = &mut self.trace {
            let line = format!("{:?} {place} {what}", self.now);
            // FNV-1a.
            for byte in line.bytes() {
                *trace = (*trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }

    /// The first address is the node's own; where a slot is addressed that nobody ever had, nobody answers.
    pub(crate) fn place_of(&self, addr: SocketAddr) -> Option<usize> {
        self.nodes
            .iter()
            .position(|node| node.config.addrs.first() == Some(&addr))
    }

    pub(crate) fn next_conn(&mut self, place: usize) -> ConnId {
        let node = &mut self.nodes[place];
        node.next_conn += 1;
        ConnId(node.next_conn)
    }

    pub(crate) fn dial_failed(
        &mut self,
        pair: usize,
        dial: DialId,
        why: area_net::membership::DialError,
    ) {
        let end = &self.pairs[pair].ends[0];
        let (place, life) = (end.node, end.life);
        if self.runs(place, life) {
            self.give(place, Input::DialFailed(dial, why));
        }
    }
}

/// Where the node of a place listens.
pub(crate) fn addr(place: usize) -> SocketAddr {
    SocketAddr::from((
        [0, 0, 0, 0, 0, 0, 0, 1],
        8000 + u16::try_from(place).unwrap(),
    ))
}
