//! The node: one event loop that owns the core and reads the clock.
//!
//! Connections report over a bounded channel; the loop turns what they say into inputs for the core, performs the core's actions,
//! logs its events, and publishes that something changed. Readers ask for a snapshot over a channel of their own, so
//! nobody but this loop ever touches the core.

mod story;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime};
use rand::TryRng as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::export::{Exporter, Files};
use crate::identity::{Allow, Identity, IdentityError};
use crate::impair::{ImpairedSocket, Rules};
use crate::membership::{Action, Core, Event, Input, Time};
use crate::memory::{self, Memory};
use crate::record::{Record, Signer as _};
use crate::settings::{CoreStart, Settings};
use crate::snapshot::{Changes, Snapshot, SnapshotReader, SnapshotRequests};
use crate::transport::{Greeting, Parts, Tap, Transport, TransportEvent};
#[cfg(target_os = "linux")]
use crate::transport::{KernelSocket, TimerRuntime};
use story::Story;

/// The most events that are handled between two looks at timers and requests.
const EVENTS_AT_ONCE: usize = 256;
/// Farewell: so long for the last record to leave, and so long for the connections to close. A second in all is promised.
const FAREWELL: Duration = Duration::from_millis(250);
const CLOSING: Duration = Duration::from_millis(100);
/// And so long for what an impairment still holds up; a real network would deliver it after the end, too.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// The memory is saved no more often than this, when something changed, and at least this often. A node that has just
/// started learns all it will need, and may be killed before it is a second old: the first savings come sooner.
const SAVE_FIRST: Duration = Duration::from_millis(100);
const SAVE_EVERY: Duration = Duration::from_secs(1);
const SAVE_AT_LEAST: Duration = Duration::from_secs(3600);

/// Why a node could not run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The key or certificate can't be used.
    #[error("this node's identity")]
    Identity(#[from] IdentityError),
    /// The address can't be listened on.
    #[error(
        "can't listen on {addr} (network.controller.listen.addr and .port of profile {profile})"
    )]
    Listen {
        /// Which one.
        addr: SocketAddr,
        /// Whose settings asked for it.
        profile: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Signals, entropy or the socket failed.
    #[error("{doing}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl NodeError {
    /// Whether what the user gave us is at fault.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Identity(_) | Self::Listen { .. } => true,
            Self::System { .. } => false,
        }
    }
}

/// Runs a node until it is asked to leave, by SIGINT, SIGTERM or SIGHUP.
///
/// # Errors
/// When the node can't start.
pub async fn run(settings: Settings) -> Result<(), NodeError> {
    let system = |doing| move |source| NodeError::System { doing, source };
    // First of all: whoever reads "started" may ask the node to leave, and must not kill it instead.
    let mut leave = Leave::new()?;
    // Nothing is written before the address is ours: a second start of a profile must not touch the first one's files.
    let (socket, bound) = listen(&settings)?;
    let identity = Arc::new(Identity::load_or_create(
        &Path::new("certs").join(&settings.profile),
    )?);
    let dir = Path::new("profiles").join(&settings.profile);
    let unix_ms = unix_ms();
    let state = dir.join("state.json");
    let (remembered, warning) = Memory::load(&state, unix_ms, settings.addresses_for);
    story::started(&settings, &identity.node_id(), bound, warning.as_deref());

    let (runtime, socket, tap) = open(socket).map_err(system("can't use the socket"))?;
    let assembly = Assembly {
        run_id: u64::from_be_bytes(entropy()?),
        core_seed: entropy()?,
        quinn_seed: None,
        start_unix_ms: unix_ms,
        published: if bound.ip().is_unspecified() {
            Vec::new()
        } else {
            vec![bound]
        },
        state: Some(state),
        memory: remembered,
        settings: settings.clone(),
        identity,
        socket,
        tap,
        runtime,
        witness: None,
    };
    let node = Node::assemble(assembly).map_err(system("can't open the endpoint"))?;
    let exporter = Exporter::start(
        node.reader(),
        Files {
            dir,
            d2: settings.d2,
        },
    );
    node.run(leave.asked()).await;
    exporter.finish(None).await;
    Ok(())
}

fn listen(settings: &Settings) -> Result<(UdpSocket, SocketAddr), NodeError> {
    let addr = SocketAddr::new(settings.listen_addr, settings.listen_port);
    UdpSocket::bind(addr)
        .and_then(|socket| {
            let bound = socket.local_addr()?;
            Ok((socket, bound))
        })
        .map_err(|source| NodeError::Listen {
            addr,
            profile: settings.profile.clone(),
            source,
        })
}

/// The socket and the timers that suit this system best.
#[cfg(target_os = "linux")]
fn open(socket: UdpSocket) -> std::io::Result<Edge> {
    let tap = Arc::new(Tap::default());
    let runtime = Arc::new(TimerRuntime::new()?);
    let socket = KernelSocket::open(socket, Arc::clone(&tap))?;
    Ok((runtime, socket, tap))
}

#[cfg(not(target_os = "linux"))]
fn open(socket: UdpSocket) -> std::io::Result<Edge> {
    let runtime = Arc::new(quinn::TokioRuntime);
    let socket = runtime.wrap_udp_socket(socket)?;
    Ok((runtime, socket, Arc::default()))
}

type Edge = (Arc<dyn Runtime>, Arc<dyn AsyncUdpSocket>, Arc<Tap>);

/// The wall clock, read once: from then on time is what the monotonic clock adds, so a clock that jumps changes nothing.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).expect("fits for an age of the earth")
}

fn entropy<const N: usize>() -> Result<[u8; N], NodeError> {
    let mut bytes = [0; N];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| NodeError::System {
            doing: "the system gives no entropy",
            source: std::io::Error::other(error.to_string()),
        })?;
    Ok(bytes)
}

/// The signals that ask a node to leave.
struct Leave([tokio::signal::unix::Signal; 3]);

impl Leave {
    fn new() -> Result<Self, NodeError> {
        let listen = |kind| {
            signal(kind).map_err(|source| NodeError::System {
                doing: "can't listen for signals",
                source,
            })
        };
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// What a node is made of. All that differs between a real node and a simulated one is in here.
pub struct Assembly {
    /// The checked settings.
    pub settings: Settings,
    /// Who the node is.
    pub identity: Arc<Identity>,
    /// The bound socket: quinn's seam for simulation.
    pub socket: Arc<dyn AsyncUdpSocket>,
    /// What the socket tells of single packets; a new one for a socket that tells nothing.
    pub tap: Arc<Tap>,
    /// Timers and tasks for quinn.
    pub runtime: Arc<dyn Runtime>,
    /// Random, new at every start.
    pub run_id: u64,
    /// Seeds the core.
    pub core_seed: [u8; 32],
    /// Seeds quinn; `None` for entropy.
    pub quinn_seed: Option<[u8; 32]>,
    /// Unix time in ms at the start.
    pub start_unix_ms: u64,
    /// The addresses to publish; empty if they are to be learned.
    pub published: Vec<SocketAddr>,
    /// Where to keep the memory; `None` to keep none.
    pub state: Option<PathBuf>,
    /// What an earlier run remembered.
    pub memory: Memory,
    /// Who looks on, if anybody does.
    pub witness: Option<Witness>,
}

/// What passes between a core and the node around it.
#[derive(Debug)]
pub enum Word<'a> {
    /// What the core is about to be told.
    Input(&'a mut Input),
    /// What it wants done.
    Action(&'a Action),
    /// What it has for the log.
    Event(&'a Event),
    /// It has signed a new record of its own.
    Published(&'a Arc<Record>),
}

/// Is told every word that passes between the core and the node, at once.
pub type Witness = Box<dyn FnMut(Word<'_>) + Send>;

/// A node that runs.
pub struct Node {
    core: Core,
    transport: Transport,
    events: mpsc::Receiver<TransportEvent>,
    requests: mpsc::Receiver<oneshot::Sender<Arc<Snapshot>>>,
    asker: SnapshotRequests,
    changes: watch::Sender<Changes>,
    /// What the transport greets with at present.
    greeting: Greeting,
    clock: Clock,
    start: Instant,
    /// Goes off when the core has something to do.
    timer: Pin<Box<dyn AsyncTimer>>,
    story: Story,
    strangers: BTreeMap<&'static str, u64>,
    impaired: Option<Impaired>,
    saver: Option<Saver>,
    witness: Option<Witness>,
}

/// What this node does to what it sends.
struct Impaired {
    socket: Arc<ImpairedSocket>,
    words: Arc<str>,
}

impl Impaired {
    /// Puts the rules right above the socket, if there are any.
    fn new(
        socket: Arc<dyn AsyncUdpSocket>,
        clock: &Clock,
        rules: &Rules,
        seed: [u8; 32],
    ) -> Option<Self> {
        (!rules.is_empty()).then(|| Self {
            words: rules.to_string().into(),
            socket: Arc::new(ImpairedSocket::new(
                socket,
                clock.clone(),
                rules.clone(),
                seed,
            )),
        })
    }
}

impl Node {
    /// Puts a node together. It does nothing until it runs.
    ///
    /// # Errors
    /// When quinn can't use the socket.
    pub fn assemble(assembly: Assembly) -> std::io::Result<Self> {
        let settings = &assembly.settings;
        let memory = assembly.memory;
        let config = settings.core(CoreStart {
            published: assembly.published,
            remembered: memory.nodes,
            run_id: assembly.run_id,
            epoch: assembly.start_unix_ms.max(memory.epoch.saturating_add(1)),
            seed: assembly.core_seed,
            unix_ms: assembly.start_unix_ms,
            ids: None,
        });
        let core = Core::new(config, assembly.identity.clone());
        let socket = assembly.socket;
        let clock = Clock::new(assembly.runtime);
        let impaired = Impaired::new(socket.clone(), &clock, &settings.impair, assembly.core_seed);
        let (transport, events) = Transport::open(Parts {
            identity: assembly.identity,
            network: settings.network.clone(),
            allow: Allow::new(&settings.allow),
            socket: impaired.as_ref().map_or(socket, |it| it.socket.clone()),
            tap: assembly.tap,
            clock: clock.clone(),
            seed: assembly.quinn_seed,
            dial_timeout: settings.dial_timeout,
            greeting: greeting(&core),
        })?;
        let (asker, requests) = mpsc::channel(16);
        let start = clock.now();
        Ok(Self {
            timer: clock.runtime().new_timer(start),
            changes: watch::Sender::new(core.changes()),
            greeting: greeting(&core),
            core,
            transport,
            events,
            requests,
            asker,
            clock,
            start,
            story: Story::default(),
            strangers: BTreeMap::new(),
            impaired,
            saver: assembly.state.map(|path| Saver::new(path, start)),
            witness: assembly.witness,
        })
    }

    /// A reader of this node's picture.
    #[must_use]
    pub fn reader(&self) -> SnapshotReader {
        SnapshotReader::new(self.changes.subscribe(), self.asker.clone())
    }

    /// The core, to look at.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Runs until `leave` is ready, then says farewell.
    pub async fn run(mut self, leave: impl Future<Output = ()>) {
        let mut leave = pin!(leave);
        // The epoch must be on disk before anybody hears of it.
        self.save(true);
        if let Some(saver) = &mut self.saver {
            saver.settle().await;
        }
        poll_fn(|cx| {
            let asked = leave.as_mut().poll(cx);
            if asked.is_pending() {
                self.poll(cx);
            }
            asked
        })
        .await;
        self.leave().await;
    }

    /// Does all that there is to do. The task is woken when there is more.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        loop {
            let wake = self.start + self.core.poll_timeout();
            let save = self.saver.as_ref().and_then(|it| it.due(&self.core));
            let wake = save.map_or(wake, |save| wake.min(save));
            self.timer.as_mut().reset(wake);
            if let Poll::Ready(Some(request)) = self.requests.poll_recv(cx) {
                self.answer(request);
            } else if let Poll::Ready(Some(event)) = self.events.poll_recv(cx) {
                self.take(event);
            } else if self.timer.as_mut().poll(cx).is_ready() {
                self.step(Input::Timeout);
            } else {
                return;
            }
            self.save(false);
        }
    }

    /// Runs no further, and says nothing: as if the process had been killed.
    pub fn kill(self) {
        drop(self);
    }

    /// Says farewell, and ends.
    pub async fn leave(mut self) {
        tracing::info!("asked to stop: saying farewell");
        self.step(Input::Leave);
        let clock = self.clock.clone();
        let until = clock.now() + FAREWELL;
        while !self.core.is_flushed() {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => self.take(event),
                () = clock.sleep_until(until) => break,
            }
        }
        clock.sleep(self.core.farewell_patience()).await;
        self.save(true);
        let saver = self.saver.take();
        self.transport.leave(CLOSING).await;
        if let Some(impaired) = &self.impaired {
            clock.timeout(LAST_WORDS, impaired.socket.drained()).await;
        }
        if let Some(mut saver) = saver {
            saver.settle().await;
        }
        tracing::info!("stopped");
    }

    fn now(&self) -> Time {
        self.clock.now().saturating_duration_since(self.start)
    }

    /// Takes an event, and those that wait behind it.
    fn take(&mut self, first: TransportEvent) {
        let mut next = Some(first);
        for _ in 0..EVENTS_AT_ONCE {
            let Some(event) = next else { break };
            match self.transport.translate(event) {
                Ok(input) => self.handle(input),
                Err((remote, what, why)) => {
                    *self.strangers.entry(what).or_default() += 1;
                    self.story.stranger(self.clock.now(), remote, what, &why);
                }
            }
            self.act();
            next = self.events.try_recv().ok();
        }
        self.publish();
    }

    fn step(&mut self, input: Input) {
        self.handle(input);
        self.act();
        self.publish();
    }

    fn handle(&mut self, mut input: Input) {
        self.show(Word::Input(&mut input));
        self.core.handle(self.now(), input);
    }

    fn show(&mut self, word: Word<'_>) {
        if let Some(witness) = &mut self.witness {
            witness(word);
        }
    }

    /// Drains the core.
    fn act(&mut self) {
        while let Some(action) = self.core.poll_action() {
            self.show(Word::Action(&action));
            self.transport.perform(action);
        }
        while let Some(event) = self.core.poll_event() {
            self.show(Word::Event(&event));
            self.story.tell(self.clock.now(), &self.core, &event);
        }
    }

    /// Makes the new state known to connections and readers.
    fn publish(&mut self) {
        let greeting = greeting(&self.core);
        if greeting != self.greeting {
            if !Arc::ptr_eq(&greeting.record, &self.greeting.record) {
                self.show(Word::Published(&greeting.record));
            }
            self.transport.greet_with(greeting.clone());
            self.greeting = greeting;
        }
        let mut now = self.core.changes();
        now.figures += self.strangers.values().sum::<u64>() + self.transport.garbage();
        self.changes
            .send_if_modified(|before| std::mem::replace(before, now) != now);
    }

    fn answer(&mut self, request: oneshot::Sender<Arc<Snapshot>>) {
        let mut snapshot = self.core.snapshot(self.now());
        snapshot.impaired = self.impaired.as_ref().map(|it| it.words.clone());
        // The core and the transport count some things under one name; a reader must find it once.
        let mut rejected: BTreeMap<&'static str, u64> = snapshot.rejected.0.into_iter().collect();
        let garbage = self.transport.garbage();
        let more = self.strangers.iter().map(|(name, count)| (*name, *count));
        for (name, count) in more.chain((garbage > 0).then_some(("not_quic", garbage))) {
            *rejected.entry(name).or_default() += count;
        }
        snapshot.rejected.0 = rejected.into_iter().collect();
        // Whoever asked may have gone since.
        request.send(Arc::new(snapshot)).ok();
    }

    fn save(&mut self, now: bool) {
        if let Some(saver) = &mut self.saver {
            saver.consider(&self.core, self.clock.now(), now);
        }
    }
}

fn greeting(core: &Core) -> Greeting {
    Greeting {
        run_id: core.run_id(),
        known: u32::try_from(core.up_count()).expect("the database's limit fits"),
        digest: core.digest(),
        record: core.own_record(),
    }
}

/// Saves the memory, off the event loop.
struct Saver {
    path: PathBuf,
    saved: Option<(u64, u64)>,
    at: Instant,
    pause: Duration,
    under_way: Option<JoinHandle<()>>,
}

impl Saver {
    fn new(path: PathBuf, now: Instant) -> Self {
        Self {
            path,
            saved: None,
            at: now,
            pause: SAVE_FIRST,
            under_way: None,
        }
    }

    /// When the next saving is due; `None` while one is under way.
    fn due(&self, core: &Core) -> Option<Instant> {
        let busy = self
            .under_way
            .as_ref()
            .is_some_and(|task| !task.is_finished());
        let changed = self.saved != Some(Self::state(core));
        let pause = if changed { self.pause } else { SAVE_AT_LEAST };
        (!busy).then_some(self.at + pause)
    }

    fn state(core: &Core) -> (u64, u64) {
        (core.epoch(), core.changes().shape)
    }

    fn consider(&mut self, core: &Core, now: Instant, at_once: bool) {
        let due = self.due(core).is_some_and(|due| due <= now);
        if !at_once && !due {
            return;
        }
        self.saved = Some(Self::state(core));
        self.at = now;
        self.pause = (self.pause * 3).min(SAVE_EVERY);
        let bytes = Memory::encode(core.epoch(), &core.remembered());
        let path = self.path.clone();
        let before = self.under_way.take();
        self.under_way = Some(tokio::spawn(async move {
            if let Some(before) = before {
                before.await.ok();
            }
            let file = path.clone();
            let saved = tokio::task::spawn_blocking(move || memory::save(&file, &bytes)).await;
            if let Ok(Err(error)) = saved {
                tracing::warn!(file = %path.display(), %error, "can't keep what is worth remembering; going on without");
            }
        }));
    }

    /// Waits for what is under way, unless the disk takes too long.
    async fn settle(&mut self) {
        if let Some(mut task) = self.under_way.take()
            && tokio::time::timeout(CLOSING, &mut task).await.is_err()
        {
            self.under_way = Some(task);
        }
    }
}
