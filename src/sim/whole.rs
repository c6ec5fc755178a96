//! Whole nodes at the places of a world: quinn, TLS, the transport and the event loop, the very code that runs in a process of its
//! own. Only the socket, the clock and what the core draws are the world's; connection ids and the keys of TLS are random, and change no report.
//!
//! A node is a few dozen tasks of an [`Executor`]. The world lets one of them run at a time; what it sends goes over the world's
//! lines, byte by byte as quinn wrote it, and what its core says reaches the world through the node's [`Witness`].
//!
//! Three things are not as in a network of machines. A node takes no time to think. No ICMP tells that a port is closed, so a killed node is
//! missed after four probes. And where two nodes are sent the same record, they
//! hold one copy of it, so its signature is verified once in all, and not once by each of them: otherwise that would be what a
//! simulation spends its time on.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::Runtime as _;
use tokio::sync::oneshot;

use super::executor::{Executor, HostId, HostRuntime};
use super::host::Body;
use super::news::{Told, Traffic};
use super::outside::SentDatagram;
use super::queue::{Due, Queue};
use super::size;
use super::socket::{Outbox, Sent, SimSocket};
use super::world::{World, small};
use crate::identity::Identity;
use crate::membership::{Action, Core, Input, Time};
use crate::memory::Memory;
use crate::node::{Assembly, Node, Witness, Word};
use crate::record::Record;
use crate::settings::{CoreStart, Settings};
use crate::wire::{Message, NodeId};

/// What a datagram weighs beside its bytes: headers of IPv6 and UDP.
const HEADERS: usize = 40 + 8;

/// See the module's documentation.
pub(super) struct Whole {
    pub(super) executor: Executor,
    outbox: Outbox,
    ledger: Shared<Ledger>,
    places: BTreeMap<HostId, usize>,
    /// On their way.
    packets: Queue<Sent>,
    packet_count: u64,
}

type Shared<T> = Arc<Mutex<T>>;

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What nodes tell, and what they share.
#[derive(Default)]
struct Ledger {
    turn: Turn,
    /// Whether somebody reads a log.
    logs: bool,
    records: Records,
}

/// What the node that ran last did, until the world has taken note of it.
#[derive(Default)]
struct Turn {
    news: Vec<Told>,
    traffic: Traffic,
    /// What its core was told.
    inputs: u64,
    /// It has left, and is no more.
    over: bool,
    /// What its core did and told, where somebody reads it.
    log: Vec<String>,
}

/// A whole node that runs at a place.
pub(super) struct Running {
    pub(super) host: HostId,
    pub(super) runtime: Arc<HostRuntime>,
    socket: Arc<SimSocket>,
    /// Nothing, once it says farewell.
    pub(super) node: Shared<Option<Node>>,
    leave: Option<oneshot::Sender<()>>,
}

/// A core, to look at.
pub enum CoreRef<'a> {
    /// It runs by itself.
    Bare(&'a Core),
    /// It runs in a whole node.
    Whole(WholeRef<'a>),
}

/// A whole node, held fast.
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
            outbox: Outbox::default(),
            ledger: Shared::default(),
            places: BTreeMap::new(),
            packets: Queue::default(),
            packet_count: 0,
        }
    }

    /// Starts a node at a place, where datagrams to `addr` reach it.
    pub(super) fn start(
        &mut self,
        place: usize,
        addr: SocketAddr,
        identity: Identity,
        settings: Settings,
        start: &CoreStart,
    ) -> Running {
        let (host, runtime) = self.executor.add_host();
        self.places.insert(host, place);
        let local = if start.published.is_empty() {
            SocketAddr::new(unspecified(addr.ip()), addr.port())
        } else {
            addr
        };
        let outbox = self.outbox.clone();
        let socket = Arc::new(SimSocket::new(small(place), addr, local, outbox));
        let assembly = Assembly {
            settings,
            identity: Arc::new(identity),
            socket: socket.clone(),
            tap: Arc::default(),
            runtime: runtime.clone(),
            run_id: start.run_id,
            core_seed: start.seed,
            quinn_seed: Some(start.seed),
            start_unix_ms: start.unix_ms,
            published: start.published.clone(),
            state: None,
            memory: Memory {
                // It says what must not be used again, and the core takes the next one.
                epoch: start.epoch - 1,
                nodes: start.remembered.clone(),
            },
            tuning: start.tuning.clone(),
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
            leave: Some(leave),
        }
    }

    /// The node is gone without a word, with everything that was under way in it.
    pub(super) fn kill(&mut self, running: Running) {
        running.socket.close();
        self.executor.remove_host(running.host);
        self.places.remove(&running.host);
    }

    /// A datagram is on its way; of several that arrive at one time, the one that was sent first is the first.
    fn carry(&mut self, at: Time, packet: Sent) {
        self.packet_count += 1;
        self.packets.push(Due {
            at,
            origin: 0,
            number: self.packet_count,
            what: packet,
        });
    }

    /// What a node did just now.
    fn take_turn(&self, logs: bool) -> Turn {
        let mut ledger = lock(&self.ledger);
        ledger.logs = logs;
        std::mem::take(&mut ledger.turn)
    }
}

impl Running {
    /// The core, until the node says farewell.
    pub(super) fn core(&self) -> Option<CoreRef<'_>> {
        let node = lock(&self.node);
        node.is_some().then(|| CoreRef::Whole(WholeRef(node)))
    }

    /// Asks the node to leave.
    pub(super) fn leave(&mut self) {
        if let Some(leave) = self.leave.take() {
            // It is there, or it has left already.
            leave.send(()).ok();
        }
    }

    /// A datagram arrives.
    pub(super) fn deliver(&self, from: SocketAddr, bytes: Vec<u8>) {
        self.socket.deliver(from, bytes);
    }
}

impl World {
    /// Starts a whole node in the life that has begun.
    pub(super) fn start_whole(&mut self, place: usize) {
        let whole = self.whole.as_mut().expect("whole nodes run here");
        let node = &mut self.nodes[place];
        let addr = node.listens.expect("a whole node listens somewhere");
        let settings = node.settings.clone();
        let running = whole.start(place, addr, node.key.identity(), settings, &node.start);
        self.deed(place, |node, _| {
            node.body = Some(Body::Whole(running));
            node.tell(Told::Started);
        });
        self.settle(place);
    }

    /// [`World::step`] where whole nodes run: one task goes as far as it can, or else the next thing arrives that they wait for.
    pub(super) fn step_whole(&mut self, until: Time) -> bool {
        let whole = self.whole.as_mut().expect("whole nodes run here");
        if let Some(host) = whole.executor.run_one() {
            let place = whole.places[&host];
            self.settle(place);
            return true;
        }
        let packet = whole.packets.first();
        let alarm = whole.executor.next_alarm();
        let next = packet.into_iter().chain(alarm).min();
        self.now = next.map_or(until, |next| next.min(until)).max(self.now);
        whole.executor.advance(self.now);
        if next.is_none_or(|next| next > until) {
            return false;
        }
        while let Some(packet) = whole.packets.pop_by(self.now) {
            self.steps += 1;
            let Sent { from, to, bytes } = packet.what;
            // What is not wanted there is lost: a host without the node is silent.
            let there = self.listeners.get(&to).map(|&there| there as usize);
            let there = there.and_then(|there| self.nodes[there].body.as_ref());
            let from = self.nodes[from as usize].listens;
            if let (Some(Body::Whole(running)), Some(from)) = (there, from) {
                running.deliver(from, bytes);
            }
        }
        whole.packets.trim();
        true
    }

    /// Takes note of what a node did just now, and takes to the lines what it sent.
    fn settle(&mut self, place: usize) {
        let whole = self.whole.as_ref().expect("whole nodes run here");
        let turn = whole.take_turn(self.tap.is_some());
        let sent = std::mem::take(&mut *lock(&whole.outbox));
        // How often a task is looked at may differ between two runs that are otherwise the same, as connection ids are random.
        self.steps += turn.inputs;
        self.deed(place, |node, scene| {
            node.traffic.add(&turn.traffic);
            for line in turn.log {
                node.note(scene, format_args!("{line}"));
            }
            for told in turn.news {
                match told {
                    Told::Published(own, _) => node.published(own),
                    Told::Started
                    | Told::Stopped
                    | Told::Event(_)
                    | Told::Dialed(_)
                    | Told::Closed(_) => {
                        node.tell(told);
                    }
                }
            }
        });
        for packet in sent {
            self.send_packet(packet);
        }
        if turn.over {
            self.kill(place);
        }
    }

    fn send_packet(&mut self, packet: Sent) {
        if let Some(wiretap) = &mut self.wiretap {
            wiretap(SentDatagram {
                at: self.now,
                from: packet.from as usize,
                to: packet.to,
                bytes: &packet.bytes,
            });
        }
        let whole = self.whole.as_mut().expect("whole nodes run here");
        let node = &mut self.nodes[packet.from as usize];
        let bytes = packet.bytes.len() + HEADERS;
        node.traffic.bytes += bytes as u64;
        let Some(&to) = self.listeners.get(&packet.to) else {
            return;
        };
        let (lines, rng) = (&mut node.lines, &mut node.rng);
        for delivery in lines.toss_whole(&self.land, to, self.now, bytes, rng) {
            let mut bytes = packet.bytes.clone();
            if let Some(flip) = delivery.flip {
                flip.apply(&mut bytes);
            }
            whole.carry(delivery.at, Sent { bytes, ..packet });
        }
    }

    /// Pairs of nodes that both have connections with each other, and how many.
    pub(super) fn pairs_of_whole_nodes(
        &self,
        place_of: impl Fn(&NodeId) -> Option<usize>,
    ) -> BTreeMap<(usize, usize), u32> {
        let mut half: BTreeMap<(usize, usize), u32> = BTreeMap::new();
        for place in self.running() {
            let Some(core) = self.nodes[place].core() else {
                continue;
            };
            for peer in core.connected() {
                if let Some(peer) = place_of(&peer) {
                    *half.entry((place, peer)).or_default() += 1;
                }
            }
        }
        let both = half.iter().filter(|((from, to), _)| from < to);
        both.filter_map(|((from, to), count)| {
            let back = half.get(&(*to, *from))?;
            Some(((*from, *to), *count.min(back)))
        })
        .collect()
    }
}

fn unspecified(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// The life of a node, as [`Node::run`] has it, but for the disk.
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

/// Takes note of what passes between a node and its core.
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
    /// What a core is told.
    fn hear(&mut self, input: &mut Input) {
        self.turn.inputs += 1;
        match input {
            Input::Connected(connected) => {
                // Our own Hello was before it.
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
            | Input::Message(..)
            | Input::Flushed(_)
            | Input::Probe(..)
            | Input::Answer(..)
            | Input::Unreachable(_)
            | Input::Leave => {}
        }
    }

    /// What it wants done.
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
            Action::Probe(..) => traffic.probes += 1,
            Action::Close(..) => {}
        }
    }
}

/// The records that nodes hold, each once.
#[derive(Default)]
struct Records(BTreeMap<NodeId, Vec<Arc<Record>>>);

impl Records {
    /// Exchanges a record for the one that others hold, if it says the same by the same signature.
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
