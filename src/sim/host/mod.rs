//! A place in the network, and the node there with all that is its own: its core, its ends of connections, the lines that lead
//! away from it, its chance, and the queue of what happens to it next.
//!
//! In a [window](super::window) nothing here reads or writes another node. What goes to others waits in an outbox, and what is
//! told, in a list; the [world](super::world) takes both when the window is over.

mod connections;
mod flights;
mod life;
mod run;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::key::Key;
use super::liar::Liar;
use super::lines::Lines;
use super::news::{Told, Traffic};
use super::path::{End, EndRef, Flight};
use super::queue::{Due, Queue};
use super::whole::{CoreRef, Running};
use super::window::NEVER;
use crate::membership::{Config, Core, Time};
use crate::record::{Record, Signer};
use crate::settings::{CoreStart, Settings};
use crate::wire::NodeId;

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
}
