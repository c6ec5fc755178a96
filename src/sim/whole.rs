//! Whole nodes at the places of a world: quinn, TLS, the transport and the event loop, the same code that runs as a process.
//! Only the socket, the clock and the core's random seed belong to the world. Connection ids and TLS keys are random, and affect no report.
//!
//! A node is a few dozen tasks of an [`Executor`]. The world runs one task at a time. It takes the datagrams of a task over its
//! lines, byte by byte as quinn wrote them, and learns through the node's [`Witness`] what the core reports.
//!
//! Three things differ from a network of machines. A node needs no time to compute. No ICMP reports a closed port, so a killed node is
//! detected after four missed probes. Nodes that receive the same record share
//! one copy of it, so its signature is verified once and not once by each of them: otherwise a simulation would spend
//! most of its time on that.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::Runtime as _;
use tokio::sync::oneshot;

use super::executor::{Executor, HostId, HostRuntime};
use super::news::{Told, Traffic};
use super::places::small;
use super::queue::{Due, Queue};
use super::size;
use super::socket::{Outgoing, SimSocket};
use crate::admission::{Admission, Allow, Keys, Papers};
use crate::identity::Identity;
use crate::membership::{Action, Core, Input, Time};
use crate::memory::Memory;
use crate::node::{Assembly, Node, WallClock, Witness, Word};
use crate::record::Record;
use crate::settings::{CoreStart, Settings};
use crate::transport::Qlogs;
use crate::wire::{Message, NodeId};

/// See the module's documentation.
pub(super) struct Whole {
    pub(super) executor: Executor,
    /// What all nodes have sent, in order, until the world takes it to the lines.
    pub(super) outbox: Shared<Vec<Sent>>,
    ledger: Shared<Ledger>,
    pub(super) places: BTreeMap<HostId, usize>,
    /// Datagrams on their way.
    pub(super) packets: Queue<Sent>,
    packet_count: u64,
    /// The network keys of places; those of others are in an open network.
    pub(super) keys: BTreeMap<usize, Keys>,
}

/// A datagram that a place has sent.
pub(super) struct Sent {
    pub(super) from: u32,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
    /// It carries the mark of ECN.
    pub(super) marked: bool,
}

type Shared<T> = Arc<Mutex<T>>;

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reports of nodes, and what nodes share.
#[derive(Default)]
struct Ledger {
    turn: Turn,
    /// Whether the log is read.
    logs: bool,
    records: Records,
}

/// What the node that ran last did, until the world has collected it.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) news: Vec<Told>,
    pub(super) traffic: Traffic,
    /// Inputs of its core.
    pub(super) inputs: u64,
    /// It has left and ended.
    pub(super) over: bool,
    /// Actions and events of its core, if the log is read.
    pub(super) log: Vec<String>,
}

/// A whole node that runs at a place.
pub(super) struct Running {
    pub(super) host: HostId,
    pub(super) runtime: Arc<HostRuntime>,
    socket: Arc<SimSocket>,
    /// `None` once it leaves.
    pub(super) node: Shared<Option<Node>>,
    /// How far its wall clock was set since its start, in ms.
    clock_shift: Arc<AtomicI64>,
    leave: Option<oneshot::Sender<()>>,
}

/// Read access to a core.
pub enum CoreRef<'a> {
    /// A core that runs by itself.
    Bare(&'a Core),
    /// The core of a whole node.
    Whole(WholeRef<'a>),
}

/// A locked whole node.
pub struct WholeRef<'a>(MutexGuard<'a, Option<Node>>);

impl Deref for CoreRef<'_> {
    type Target = Core;

    fn deref(&self) -> &Core {
        match self {
            Self::Bare(core) => core,
            Self::Whole(WholeRef(node)) => node.as_ref().expect("it was looked at before").core(),
        }
    }
}

impl Whole {
    pub(super) fn new() -> Self {
        Self {
            executor: Executor::new(),
            outbox: Shared::default(),
            ledger: Shared::default(),
            places: BTreeMap::new(),
            packets: Queue::default(),
            packet_count: 0,
            keys: BTreeMap::new(),
        }
    }

    /// Starts a node at a place. Datagrams to `addr` reach it.
    pub(super) fn start(
        &mut self,
        place: usize,
        addr: SocketAddr,
        identity: Identity,
        settings: Settings,
        start: &CoreStart,
        unix_ms: u64,
    ) -> Running {
        let (host, runtime) = self.executor.add_host();
        self.places.insert(host, place);
        let local = if start.published.is_empty() {
            SocketAddr::new(unspecified(addr.ip()), addr.port())
        } else {
            addr
        };
        let (from, outbox) = (small(place), self.outbox.clone());
        let send = move |sent: Outgoing<'_>| {
            lock(&outbox).push(Sent {
                from,
                to: sent.to,
                bytes: sent.bytes.to_vec(),
                marked: sent.marked,
            });
        };
        let socket = Arc::new(SimSocket::new(addr, local, send));
        let clock_shift = Arc::new(AtomicI64::new(0));
        let keys = self.keys.get(&place).cloned().unwrap_or_default();
        let allow = Allow::new(&settings.allow);
        let assembly = Assembly {
            admission: Admission::new(&settings.network, keys, allow)
                .with_papers(start.charter.clone().map(Papers::of_charter)),
            follower: None,
            settings,
            identity: Arc::new(identity),
            socket: socket.clone(),
            spare: None,
            tap: Arc::default(),
            runtime: runtime.clone(),
            run_id: start.run_id,
            core_seed: start.seed,
            quinn_seed: Some(start.seed),
            wall: wall(runtime.clone(), unix_ms, clock_shift.clone()),
            published: start.published.clone(),
            edge: None,
            finder: None,
            state: None,
            memory: Memory {
                // The memory holds the last used epoch, and the core takes the next one.
                epoch: start.epoch - 1,
                nodes: start.remembered.clone(),
                ..Memory::default()
            },
            tuning: start.tuning.clone(),
            notes: None,
            tells_links: start.tells_links,
            qlogs: Qlogs::default(),
            witness: Some(witness(self.ledger.clone())),
        };
        let node = Node::assemble(assembly).expect("the simulated socket has all that quinn wants");
        let own = node.core().own_record();
        let first = Told::Published(own, None);
        lock(&self.ledger).turn.news.push(first);
        let node = Arc::new(Mutex::new(Some(node)));
        let (leave, asked) = oneshot::channel();
        let life = live(node.clone(), asked, self.ledger.clone());
        HostRuntime::spawn(&runtime, Box::pin(life));
        Running {
            host,
            runtime,
            socket,
            node,
            clock_shift,
            leave: Some(leave),
        }
    }

    /// Ends the node without a leave message, and drops all its tasks.
    pub(super) fn kill(&mut self, running: Running) {
        running.socket.close();
        self.executor.remove_host(running.host);
        self.places.remove(&running.host);
    }

    /// Queues a datagram; of those that arrive at the same time, the one that was sent first comes first.
    pub(super) fn carry(&mut self, at: Time, packet: Sent) {
        self.packet_count += 1;
        self.packets.push(Due {
            at,
            origin: 0,
            number: self.packet_count,
            what: packet,
        });
    }

    /// Takes what a node just did.
    pub(super) fn take_turn(&self, logs: bool) -> Turn {
        let mut ledger = lock(&self.ledger);
        ledger.logs = logs;
        std::mem::take(&mut ledger.turn)
    }
}

impl Running {
    /// The core, until the node leaves.
    pub(super) fn core(&self) -> Option<CoreRef<'_>> {
        let node = lock(&self.node);
        node.is_some().then(|| CoreRef::Whole(WholeRef(node)))
    }

    /// Asks the node to leave.
    pub(super) fn leave(&mut self) {
        if let Some(leave) = self.leave.take() {
            // The receiver exists, or the node has already left.
            leave.send(()).ok();
        }
    }

    /// Sets the wall clock forward, or back.
    pub(super) fn set_clock(&self, by_ms: i64) {
        self.clock_shift.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Delivers a datagram.
    pub(super) fn deliver(&self, from: SocketAddr, bytes: Vec<u8>) {
        self.socket.deliver(from, bytes);
    }
}

/// A wall clock that says `unix_ms` now, and goes on in virtual time.
fn wall(runtime: Arc<HostRuntime>, unix_ms: u64, shift: Arc<AtomicI64>) -> WallClock {
    let since = runtime.now();
    Arc::new(move || {
        let passed = runtime.now().saturating_duration_since(since);
        let passed_ms = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let now_ms = unix_ms.saturating_add(passed_ms);
        now_ms.saturating_add_signed(shift.load(Ordering::Relaxed))
    })
}

fn unspecified(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Runs a node as [`Node::run`] does, without the disk.
async fn live(node: Shared<Option<Node>>, asked: oneshot::Receiver<()>, ledger: Shared<Ledger>) {
    let mut asked = pin!(asked);
    poll_fn(|cx| {
        let asked = asked.as_mut().poll(cx);
        if asked.is_pending()
            && let Some(node) = lock(&node).as_mut()
        {
            node.poll(cx);
        }
        asked.map(drop)
    })
    .await;
    let leaving = lock(&node).take();
    if let Some(leaving) = leaving {
        leaving.leave().await;
    }
    lock(&ledger).turn.over = true;
}

/// Records the inputs, actions and events of a core.
fn witness(ledger: Shared<Ledger>) -> Witness {
    Box::new(move |word| {
        let ledger = &mut *lock(&ledger);
        if ledger.logs {
            let log = &mut ledger.turn.log;
            match &word {
                Word::Action(action) => log.push(format!("{action:?}")),
                Word::Event(event) => log.push(format!("{event:?}")),
                Word::Input(_) | Word::Published(_) => {}
            }
        }
        match word {
            Word::Input(input) => ledger.hear(input),
            Word::Action(action) => ledger.see(action),
            Word::Event(event) => ledger.turn.news.push(Told::Event(event.clone())),
            // The world knows the one before.
            Word::Published(own) => ledger.turn.news.push(Told::Published(own.clone(), None)),
        }
    })
}

impl Ledger {
    /// Processes an input of a core.
    fn hear(&mut self, input: &mut Input) {
        self.turn.inputs += 1;
        match input {
            Input::Connected(connected) => {
                // Our own Hello came before it.
                self.turn.traffic.messages += 1;
                self.records.share(&mut connected.hello.record);
            }
            Input::Message(_, Message::Records(records)) => {
                self.turn.traffic.records_in += records.len() as u64;
                for record in records {
                    self.records.share(record);
                }
            }
            Input::Closed(_, why) => self.turn.news.push(Told::Closed(why.clone())),
            Input::Timeout
            | Input::DialFailed(..)
            | Input::AddrFailed(..)
            | Input::Message(..)
            | Input::Flushed(..)
            | Input::Probe(..)
            | Input::Answer(..)
            | Input::Unreachable(_)
            | Input::Moved(..)
            | Input::OwnAddrs { .. }
            | Input::Targets(_)
            | Input::Found(..)
            | Input::PathLost(_)
            | Input::Redial(_)
            | Input::Echo(..)
            | Input::Ping { .. }
            | Input::Authorities(_)
            | Input::Certificate(_)
            | Input::Revocations(_)
            | Input::Origin(_)
            | Input::Opened { .. }
            | Input::Leave => {}
        }
    }

    /// Processes an action of a core.
    fn see(&mut self, action: &Action) {
        let traffic = &mut self.turn.traffic;
        traffic.actions += 1;
        match action {
            Action::Dial { addr, .. } => {
                traffic.dials += 1;
                self.turn.news.push(Told::Dialed(*addr));
            }
            Action::Send(_, message) => {
                traffic.messages += 1;
                traffic.record_bytes += size::records(message) as u64;
            }
            Action::Open { .. } | Action::Echo(..) => {}
            Action::Probe(..) => traffic.probes += 1,
            Action::Close(..) => {}
        }
    }
}

/// The records that nodes hold, each of them once.
#[derive(Default)]
struct Records(BTreeMap<NodeId, Vec<Arc<Record>>>);

impl Records {
    /// Replaces a record by the copy that others hold, if both have the same content and signature.
    fn share(&mut self, record: &mut Arc<Record>) {
        let known = self.0.entry(record.id()).or_default();
        if let Some(one) = known.iter().rev().find(|one| *one == record) {
            *record = one.clone();
            return;
        }
        known.retain(|one| Arc::strong_count(one) > 1);
        known.push(record.clone());
    }
}
