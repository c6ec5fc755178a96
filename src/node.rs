//! The node: one event loop that owns the core and reads the clock.
//!
//! Connections report over a bounded channel. The loop turns their reports into inputs for the core, performs the core's
//! actions, logs its events and announces changes. Readers request snapshots over a second channel, so only this loop touches
//! the core.

mod causes;
mod edge;
mod errand;
mod error;
mod finder;
mod listen;
mod lock;
mod papers;
mod pings;
mod resolver;
mod saver;
mod service;
mod start;
mod story;
mod wall;

pub use edge::{Edge, News};
pub use error::NodeError;
pub use finder::Finder;
pub use start::run;
pub use wall::WallClock;

use std::borrow::Cow;
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

use crate::admission::Admission;
use crate::admission::follow::{Change, Follower};
use crate::admission::joins::Joins;
use crate::chronicle::Notes;
use crate::claims::Claims;
use crate::clock::Clock;
use crate::discovery::sockets::Report;
use crate::identity::Identity;
use crate::impair::{ImpairedSocket, Rules};
use crate::membership::{Action, Core, Event, Input, Time, Tuning};
use crate::memory::{Memory, Moment};
use crate::record::{Record, Signer as _};
use crate::settings::{CoreStart, Settings};
use crate::snapshot::{Changes, Snapshot, SnapshotReader, SnapshotRequests};
use crate::transport::{BindSpare, Greeting, Parts, Qlogs, Tap, Transport, TransportEvent};
use papers::Desk;
use pings::Waiting;
use saver::Saver;
use story::Story;
use wall::Wall;

/// The most transport events that are handled before timers and requests get their turn.
const EVENTS_AT_ONCE: usize = 256;
/// How long a leaving node waits until its last record is sent. Together with the waits below this stays under a second, the
/// time within which a node promises to stop.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a leaving node waits until its peers have acknowledged the close.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a leaving node waits for packets that the built-in impairment delays. A real network would still deliver them.
const IMPAIRMENT_TIMEOUT: Duration = Duration::from_millis(250);
/// The parts of a node. A real node and a simulated one differ in nothing else.
pub struct Assembly {
    /// The checked settings.
    pub settings: Settings,
    /// The node's key and certificate.
    pub identity: Arc<Identity>,
    /// Decides which nodes may be members.
    pub admission: Admission,
    /// What follows the files that make this node a member of a network with an authority. `None`: nothing changes them.
    pub follower: Option<Follower>,
    /// The bound socket: quinn's seam for simulation.
    pub socket: Arc<dyn AsyncUdpSocket>,
    /// Binds sockets to other ports of the same address. `None`: there are none.
    pub spare: Option<BindSpare>,
    /// Where the sockets report single packets. Sockets that report none get a fresh one.
    pub tap: Arc<Tap>,
    /// Timers and tasks for quinn.
    pub runtime: Arc<dyn Runtime>,
    /// The id of this run: random, new at every start.
    pub run_id: u64,
    /// Seeds the core.
    pub core_seed: [u8; 32],
    /// Seeds quinn; `None` for entropy.
    pub quinn_seed: Option<[u8; 32]>,
    /// The wall clock.
    pub wall: WallClock,
    /// The addresses to publish; empty if they are to be learned.
    pub published: Vec<SocketAddr>,
    /// What the node hears of the machine around it. `None`: nothing of it changes.
    pub edge: Option<Edge>,
    /// Finds nodes on the links of this machine. `None`: discovery is off.
    pub finder: Option<Finder>,
    /// The file of the memory; `None` to write none.
    pub state: Option<PathBuf>,
    /// The memory of an earlier run.
    pub memory: Memory,
    /// Where to write down what a history of the view needs. `None`: there is no history.
    pub notes: Option<Notes>,
    /// Let the core tell which links newer records add and withdraw.
    pub tells_links: bool,
    /// The core's tuned constants.
    pub tuning: Arc<Tuning>,
    /// Where connections are logged.
    pub qlogs: Qlogs,
    /// Observes what passes between the core and the node.
    pub witness: Option<Witness>,
}

/// What passes between a core and the node around it.
#[derive(Debug)]
pub enum Word<'a> {
    /// An input, before the core handles it.
    Input(&'a mut Input),
    /// An action that the core requests.
    Action(&'a Action),
    /// An event for the log.
    Event(&'a Event),
    /// A new record that the core has signed for this node.
    Published(&'a Arc<Record>),
}

/// Is called with every [`Word`] at the moment it passes.
pub type Witness = Box<dyn FnMut(Word<'_>) + Send>;

/// A running node.
pub struct Node {
    core: Core,
    transport: Transport,
    events: mpsc::Receiver<TransportEvent>,
    requests: mpsc::Receiver<oneshot::Sender<Arc<Snapshot>>>,
    asker: SnapshotRequests,
    pings: Waiting,
    changes: watch::Sender<Changes>,
    /// The greeting that the transport sends at present.
    greeting: Greeting,
    clock: Clock,
    start: Instant,
    /// Fires at the core's or the saver's next deadline.
    timer: Pin<Box<dyn AsyncTimer>>,
    story: Story,
    /// Connections rejected before their Hello, by counter.
    rejected: BTreeMap<&'static str, u64>,
    impaired: Option<Impaired>,
    /// Compares what the two ends of each link tell.
    claims: Claims,
    saver: Option<Saver>,
    wall: Wall,
    edge: Option<Edge>,
    finder: Option<Finder>,
    notes: Option<Notes>,
    desk: Option<Desk>,
    witness: Option<Witness>,
}

/// The built-in impairment of what this node sends.
struct Impaired {
    socket: Arc<ImpairedSocket>,
    /// The rules in their canonical words.
    words: Arc<str>,
}

impl Impaired {
    /// Wraps the socket, if there are rules.
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

/// Sockets of other ports are impaired as the socket of the listening port is.
fn impair_spare(bind: BindSpare, clock: &Clock, rules: &Rules, seed: [u8; 32]) -> BindSpare {
    let (clock, rules) = (clock.clone(), rules.clone());
    Arc::new(move || {
        let socket = bind()?;
        let impaired = Impaired::new(socket.clone(), &clock, &rules, seed);
        Ok(impaired.map_or(socket, |it| it.socket))
    })
}

impl Node {
    /// Assembles a node. It does nothing until it runs.
    ///
    /// # Errors
    /// When quinn can't use the socket.
    pub fn assemble(assembly: Assembly) -> std::io::Result<Self> {
        let settings = &assembly.settings;
        let memory = assembly.memory;
        let remembered = memory.nodes.iter().flat_map(|(_, node)| node.addrs.clone());
        let joins = Joins::new(settings.joins_per_s, remembered);
        let papers = assembly.admission.papers();
        let config = settings.core(CoreStart {
            published: assembly.published,
            remembered: memory.nodes,
            run_id: assembly.run_id,
            epoch: (assembly.wall)().max(memory.epoch.saturating_add(1)),
            seed: assembly.core_seed,
            tuning: assembly.tuning,
            tells_links: assembly.tells_links,
            charter: papers.map(|papers| papers.charter()),
            ids: None,
        });
        let core = Core::new(config, assembly.identity.clone());
        let (me, label) = (assembly.identity.node_id(), settings.label.clone());
        if let Some(papers) = papers {
            // The core dropped a list that no authority signed.
            papers.set_revocations(core.revocations().cloned());
        }
        let desk = papers.map(|papers| Desk::new(papers.clone(), assembly.follower, me, label));
        let socket = assembly.socket;
        let listen = socket.local_addr()?;
        let clock = Clock::new(assembly.runtime);
        let (rules, seed) = (&settings.impair, assembly.core_seed);
        let impaired = Impaired::new(socket.clone(), &clock, rules, seed);
        let spare = assembly
            .spare
            .map(|bind| impair_spare(bind, &clock, rules, seed));
        let (transport, events) = Transport::open(Parts {
            identity: assembly.identity,
            admission: assembly.admission,
            joins,
            socket: impaired.as_ref().map_or(socket, |it| it.socket.clone()),
            spare,
            tap: assembly.tap,
            clock: clock.clone(),
            seed: assembly.quinn_seed,
            dial_timeout: settings.dial_timeout,
            greeting: greeting(&core),
            qlogs: assembly.qlogs,
        })?;
        let (asker, requests) = mpsc::channel(16);
        let start = clock.now();
        if let Some(notes) = &assembly.notes {
            notes.start_at(start);
        }
        Ok(Self {
            timer: clock.runtime().new_timer(start),
            changes: watch::Sender::new(core.changes()),
            greeting: greeting(&core),
            core,
            transport,
            events,
            requests,
            asker,
            pings: Waiting::new(),
            clock,
            start,
            story: Story::new(listen, start),
            rejected: BTreeMap::new(),
            impaired,
            claims: Claims::default(),
            saver: assembly
                .state
                .map(|path| Saver::new(path, memory.stamps, start)),
            wall: Wall::new(assembly.wall),
            edge: assembly.edge,
            finder: assembly.finder,
            notes: assembly.notes,
            desk,
            witness: assembly.witness,
        })
    }

    /// A reader of this node's snapshots.
    #[must_use]
    pub fn reader(&self) -> SnapshotReader {
        SnapshotReader::new(self.changes.subscribe(), self.asker.clone())
            .with_pings(self.pings.asker())
    }

    /// The core, read-only.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Runs until `leave` is ready, then leaves gracefully.
    pub async fn run(mut self, leave: impl Future<Output = ()>) {
        let mut leave = pin!(leave);
        // The epoch must be on disk before a peer learns it: a restart must not reuse it.
        self.save(true);
        if let Some(saver) = &mut self.saver {
            saver.settle().await;
        }
        self.hear_paper(Change::Tick);
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

    /// Handles everything that is ready, and registers to be woken for the rest.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        loop {
            let wake = self.start + self.core.poll_timeout();
            let save = self.saver.as_ref().and_then(|it| it.due(&self.core));
            let wake = save.map_or(wake, |save| wake.min(save));
            let find = self.finder.as_ref().map(|it| self.start + it.due());
            let wake = find.map_or(wake, |find| wake.min(find));
            self.timer.as_mut().reset(wake);
            if let Poll::Ready(Some(request)) = self.requests.poll_recv(cx) {
                self.answer(request);
            } else if let Some((number, path)) = self.pings.poll(cx) {
                self.step(Input::Ping { number, path });
            } else if let Poll::Ready(Some(event)) = self.events.poll_recv(cx) {
                self.take(event);
            } else if let Some(news) = self.poll_news(cx) {
                self.hear(news);
            } else if let Some(change) = self.desk.as_mut().and_then(|desk| desk.poll(cx)) {
                self.hear_paper(change);
            } else if let Some(report) = self.poll_report(cx) {
                let now = self.now();
                if let Some(finder) = &mut self.finder {
                    finder.hear(now, &report, &self.core);
                }
            } else if self.timer.as_mut().poll(cx).is_ready() {
                self.step(Input::Timeout);
                self.find();
            } else {
                return;
            }
            self.save(false);
        }
    }

    /// Ends without a leave message, as if the process had been killed.
    pub fn kill(self) {
        drop(self);
    }

    /// Sends the leave message, closes the connections and ends.
    pub async fn leave(mut self) {
        story::stopping();
        self.step(Input::Leave);
        let clock = self.clock.clone();
        let until = clock.now() + LEAVE_TIMEOUT;
        while !self.core.is_flushed() {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => self.take(event),
                () = clock.sleep_until(until) => break,
            }
        }
        clock.sleep(self.core.leave_patience()).await;
        self.save(true);
        let saver = self.saver.take();
        self.transport.leave(CLOSE_TIMEOUT).await;
        if let Some(impaired) = &self.impaired {
            clock
                .timeout(IMPAIRMENT_TIMEOUT, impaired.socket.drained())
                .await;
        }
        if let Some(mut saver) = saver {
            saver.settle().await;
        }
        story::stopped();
    }

    fn now(&self) -> Time {
        self.clock.now().saturating_duration_since(self.start)
    }

    /// The start in Unix ms, by the wall clock as it is now.
    fn origin_ms(&mut self) -> i64 {
        let (clock, start) = (&self.clock, self.start);
        self.wall
            .origin_ms(|| clock.now().saturating_duration_since(start))
    }

    /// Handles an event and those queued behind it, [`EVENTS_AT_ONCE`] at most.
    fn take(&mut self, first: TransportEvent) {
        let mut next = Some(first);
        for _ in 0..EVENTS_AT_ONCE {
            let Some(event) = next else { break };
            match self.transport.translate(event) {
                Ok(input) => self.handle(input),
                Err(rejected) => {
                    *self.rejected.entry(rejected.counter).or_default() += 1;
                    self.story.rejected(self.clock.now(), &rejected);
                    self.tell_notices();
                }
            }
            self.act();
            next = self.events.try_recv().ok();
        }
        self.publish();
    }

    fn poll_news(&mut self, cx: &mut Context<'_>) -> Option<News> {
        match self.edge.as_mut()?.news.poll_recv(cx) {
            Poll::Ready(news) => news,
            Poll::Pending => None,
        }
    }

    fn poll_report(&mut self, cx: &mut Context<'_>) -> Option<Report> {
        match self.finder.as_mut()?.reports().poll_recv(cx) {
            Poll::Ready(report) => report,
            Poll::Pending => None,
        }
    }

    /// Looks for nodes on the links of this machine, if that is due.
    fn find(&mut self) {
        let now = self.now();
        let Some(finder) = self.finder.as_mut().filter(|it| it.due() <= now) else {
            return;
        };
        for (id, addr) in finder.advance(now, &self.core) {
            self.story.found(self.clock.now(), &id, addr);
            self.step(Input::Found(id, addr));
        }
    }

    /// Handles news of the machine around the node.
    fn hear(&mut self, news: News) {
        match news {
            News::OwnAddrs { advertised, local } => {
                self.handle(Input::OwnAddrs { advertised, local });
            }
            News::Targets(targets) => self.handle(Input::Targets(targets)),
            News::Lost(addrs) => {
                for conn in self.transport.conns_from(&addrs) {
                    self.handle(Input::PathLost(conn));
                }
            }
        }
        self.act();
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

    /// Performs the core's actions and logs its events, until it has no more.
    fn act(&mut self) {
        while let Some(action) = self.core.poll_action() {
            self.show(Word::Action(&action));
            self.note_draw(&action);
            self.transport.perform(action);
        }
        while let Some(event) = self.core.poll_event() {
            self.show(Word::Event(&event));
            self.story.tell(self.clock.now(), &self.core, &event);
            match (event, &self.notes) {
                (Event::Pinged { number, rtts_us }, _) => self.pings.ended(number, &rtts_us),
                (Event::Links(news), Some(notes)) => notes.links(self.now(), *news),
                (Event::Revocations(..), _) => {
                    if let Some(desk) = &self.desk {
                        desk.keep(self.core.revocations());
                    }
                }
                _ => {}
            }
        }
    }

    /// Tells the resolver of a dial, in case the address stands behind a name.
    fn note_draw(&self, action: &Action) {
        let draws = self.edge.as_ref().and_then(|edge| edge.draws.as_ref());
        if let (Some(draws), Action::Dial { addr, .. }) = (draws, action) {
            // Full: many dials wait already.
            draws.try_send(*addr).ok();
        }
    }

    /// Announces the new state to connections and readers.
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
        now.figures += self.rejected.values().sum::<u64>() + self.transport.not_quic();
        self.changes
            .send_if_modified(|before| std::mem::replace(before, now) != now);
    }

    fn answer(&mut self, request: oneshot::Sender<Arc<Snapshot>>) {
        let now = self.now();
        let mut snapshot = self.core.snapshot(now);
        snapshot.origin_ms = self.origin_ms();
        snapshot.impaired = self.impaired.as_ref().map(|it| it.words.clone());
        // The core and the transport share some counters' names; each name must appear once in `network.json`.
        let mut rejected: BTreeMap<Cow<'static, str>, u64> =
            snapshot.rejected.0.into_iter().collect();
        let not_quic = self.transport.not_quic();
        let more = self.rejected.iter().map(|(name, count)| (*name, *count));
        for (name, count) in more.chain((not_quic > 0).then_some(("not_quic", not_quic))) {
            *rejected.entry(name.into()).or_default() += count;
        }
        snapshot.rejected.0 = rejected.into_iter().collect();
        // The reader may be gone by now.
        request.send(self.claims.mark(snapshot)).ok();
    }

    fn save(&mut self, now: bool) {
        let (at, time) = (self.clock.now(), self.now());
        let due = |saver: &Saver| now || saver.is_due(&self.core, at);
        if !self.saver.as_ref().is_some_and(due) {
            return;
        }
        let origin_ms = self.origin_ms();
        if let Some(saver) = &mut self.saver {
            saver.write(&self.core, at, Moment { time, origin_ms });
        }
    }
}

fn greeting(core: &Core) -> Greeting {
    Greeting {
        run_id: core.run_id(),
        known: u32::try_from(core.up_count()).expect("the database's limit fits"),
        digest: core.digest(),
        record: core.own_record(),
        revocations: core.revocations().map_or(0, |newest| newest.number()),
    }
}
