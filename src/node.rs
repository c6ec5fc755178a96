//! The node: one event loop that owns the core and reads the clock.
//!
//! Connections report over a bounded channel; the loop turns what they say into inputs for the core, performs the core's actions,
//! logs its events, and publishes that something changed. Readers ask for a snapshot over a channel of their own, so
//! nobody but this loop ever touches the core.

mod saver;
mod start;
mod story;

pub use start::{NodeError, run};

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::identity::{Allow, Identity};
use crate::impair::{ImpairedSocket, Rules};
use crate::membership::{Action, Config, Core, Event, Input, Time};
use crate::memory::Memory;
use crate::record::Record;
use crate::settings::Settings;
use crate::snapshot::{Changes, Snapshot, SnapshotReader, SnapshotRequests};
use crate::transport::{Greeting, Parts, Tap, Transport, TransportEvent};
use saver::Saver;
use story::Story;

/// The most events that are handled between two looks at timers and requests.
const EVENTS_AT_ONCE: usize = 256;
/// Farewell: so long for the last record to leave, and so long for the connections to close. A second in all is promised.
const FAREWELL: Duration = Duration::from_millis(250);
const CLOSING: Duration = Duration::from_millis(100);
/// And so long for what an impairment still holds up; a real network would deliver it after the end, too.
const LAST_WORDS: Duration = Duration::from_millis(250);
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
        let config = core_config(&assembly);
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
            dial_timeout: Duration::from_millis(settings.dial_timeout_ms),
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

fn core_config(assembly: &Assembly) -> Config {
    let settings = &assembly.settings;
    Config {
        network: settings.network.as_str().into(),
        label: settings.label.as_str().into(),
        addrs: assembly.published.clone(),
        targets: settings.targets.clone(),
        remembered: assembly.memory.nodes.clone(),
        run_id: assembly.run_id,
        epoch: assembly
            .start_unix_ms
            .max(assembly.memory.epoch.saturating_add(1)),
        seed: assembly.core_seed,
        start_unix_ms: assembly.start_unix_ms,
        probe_interval: Duration::from_millis(settings.probe_interval_ms.into()),
        full_mesh: settings.full_mesh,
        degree_target: settings.degree_target,
        degree_cap: settings.degree_cap,
        dials_at_once: settings.dials_at_once,
        refresh_bytes_per_s: settings.refresh_bytes_per_s,
        forget_after: Duration::from_secs(settings.forget_after_s),
        ids: None,
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
