//! One node at its place in the network, with everything that belongs to it: its core, its ends of connections, its outgoing
//! lines, its random generator, and its event queue.
//!
//! Within a [window](super::window) a node neither reads nor writes another one. Packets for others wait in an outbox, and reports
//! in a list; the [world](super::world) collects both after the window.

mod connections;
mod flights;
mod hostile;
mod life;
mod run;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::attack::Attack;
use super::key::Key;
use super::liar::Liar;
use super::lines::Lines;
use super::news::{Told, Traffic};
use super::path::{End, EndRef, Flight};
use super::queue::{Due, Queue};
use super::whole::{CoreRef, Running};
use super::window::NEVER;
use crate::admission::joins::Joins;
use crate::membership::{Config, Core, Time};
use crate::record::{Record, Signer};
use crate::settings::{CoreStart, Settings};
use crate::snapshot::Snapshot;
use crate::wire::NodeId;

/// Streams of the world's random generator that don't belong to places.
const STREAMS_BEFORE: u64 = 2;

/// An event of a node. The core's timeout is not one of them: there is only one, so it is not queued.
#[derive(Debug)]
pub(super) enum What {
    /// The lost part of a flight is retransmitted.
    Transmit(Box<Flight>),
    /// A flight arrives.
    Arrive(Box<Flight>),
    /// The peer acknowledges so many bytes of the stream, sent at that time.
    Acked(EndRef, usize, Time),
    /// What waits for a silent peer is tried again.
    ProbePath(EndRef, u32),
    /// The peer received something from this end.
    Heard(EndRef),
    /// The transport accepts the next message.
    Flushed(EndRef),
    /// A dial times out.
    DialTimeout(EndRef),
    /// QUIC's idle timeout may be over at this end.
    Idle(EndRef),
    /// This end closed long enough ago.
    Forget(EndRef),
    /// A leaving node ends, whether its messages have left or not.
    Gone,
    /// The node's attack acts.
    Strike,
}

/// A place in the network: an address, and a node that may run there.
pub struct Node {
    pub(super) place: u32,
    pub(super) key: Arc<Key>,
    id: NodeId,
    /// The settings of the next start.
    pub settings: Settings,
    /// Further input of the core at the next start.
    pub start: CoreStart,
    /// Datagrams to this address reach the node; `None` means its first published address. A whole node that publishes none is bound to
    /// the unspecified address and learns its own address from its peers.
    pub reached_at: Option<SocketAddr>,
    /// The address that it listens on, or did in its last run.
    pub(super) listens: Option<SocketAddr>,
    pub(super) body: Option<Body>,
    /// Counts the starts.
    life: u32,
    started: Time,
    stopped: Time,
    paused: bool,
    went_on: Time,
    leaving: bool,
    /// The transport's limit on those who dial it, since it started.
    joins: Joins,
    liar: Option<Box<Liar>>,
    /// The attack of a node that is Byzantine for the whole run.
    pub(super) attack: Option<Box<Attack>>,
    turned: Duration,
    /// The time of the current or last event.
    pub(super) now: Time,
    pub(super) queue: Queue<What>,
    /// Numbers the events that it creates.
    count: u64,
    /// Events since the world asked last.
    pub(super) happened: u64,
    /// The core's timeout.
    due: Time,
    wakes: (u128, u32),
    pub(super) ends: BTreeMap<EndRef, End>,
    pub(super) dial_count: u32,
    pub(super) lines: Lines,
    pub(super) rng: ChaCha8Rng,
    /// Events for others, or for itself after the window, with their place.
    pub(super) outbox: Vec<(u32, Due<What>)>,
    /// Reports with their time, grouped by time: a node may report thousands of others at one time, and the group is sorted among the reports of
    /// other nodes as one entry.
    pub(super) news: Vec<(Time, Vec<Told>)>,
    pub(super) log: Vec<(Time, String)>,
    own: Option<Arc<Record>>,
    /// Unix time minus virtual time at this node, in ms; clocks differ.
    pub clock_ms: u64,
    /// Its traffic since the world began.
    pub traffic: Traffic,
    /// In a world with attacks, the connections that its core closed: the code, the place of the peer, and how many.
    pub(super) closes: BTreeMap<(u32, Option<u32>), u64>,
}

/// The code that runs at a place.
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
        let joins = Joins::new(settings.joins_per_s, []);
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
            joins,
            liar: None,
            attack: None,
            turned: Duration::ZERO,
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
            closes: BTreeMap::new(),
        }
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Signs its records.
    #[must_use]
    pub fn signer(&self) -> Arc<dyn Signer> {
        self.key.clone()
    }

    /// The core, while it runs. The core of a whole node is inaccessible once the node leaves.
    #[must_use]
    pub fn core(&self) -> Option<CoreRef<'_>> {
        match self.body.as_ref()? {
            Body::Core(core) => Some(CoreRef::Bare(core)),
            Body::Whole(running) => running.core(),
        }
    }

    /// What it would show now, and the Unix time in ms at its clock.
    #[must_use]
    pub fn snapshot(&self, now: Time) -> Option<(Snapshot, i64)> {
        // The time of a bare core begins with the world, that of a whole node with its start.
        let since = match self.body.as_ref()? {
            Body::Core(_) => now,
            Body::Whole(_) => now - self.started,
        };
        let snapshot = self.core()?.snapshot(since);
        let since_ms = i64::try_from(since.as_millis()).expect("a run is shorter than the world");
        Some((snapshot, since_ms))
    }

    /// The core, if it runs by itself.
    fn bare(&mut self) -> Option<&mut Core> {
        match self.body.as_mut()? {
            Body::Core(core) => Some(core),
            Body::Whole(_) => None,
        }
    }

    /// The core's configuration at the next start.
    #[must_use]
    pub fn config(&self) -> Config {
        self.settings.core(self.start.clone())
    }

    /// Its newest record, also after it ended.
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

    /// When it last became Byzantine, or honest again.
    #[must_use]
    pub fn turned(&self) -> Time {
        self.turned
    }

    /// When it was last started.
    #[must_use]
    pub fn started(&self) -> Time {
        self.started
    }

    /// When it last ended.
    #[must_use]
    pub fn stopped(&self) -> Time {
        self.stopped
    }

    /// Whether it is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// When it was last resumed.
    #[must_use]
    pub fn went_on(&self) -> Time {
        self.went_on
    }

    /// Whether it is leaving.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether it is Byzantine.
    #[must_use]
    pub fn is_lying(&self) -> bool {
        self.liar.is_some() || self.attack.is_some()
    }
}
