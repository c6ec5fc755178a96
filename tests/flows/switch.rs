//! A network in memory, and nodes on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use area_net::identity::Identity;
use area_net::memory::Memory;
use area_net::node::{Assembly, Node};
use area_net::record::Signer as _;
use area_net::settings::Settings;
use area_net::snapshot::{NodeState, Snapshot, SnapshotReader};
use area_net::transport::BindSpare;
use area_net::wire::NodeId;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// For so long a flow is remembered without any packet: a NAT's long time (Linux, for a flow that was answered).
const REMEMBERED: Duration = Duration::from_secs(180);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A network in which all packets take the same time. A flow can be made to lead nowhere; it is forgotten when it has been silent.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    pub(crate) delay: Duration,
    inboxes: BTreeMap<SocketAddr, Inbox>,
    pub(crate) stale: Option<Flow>,
    /// The pairs of addresses between which no packet gets through, in the order of the addresses.
    blocked: BTreeSet<(SocketAddr, SocketAddr)>,
    next_port: u16,
    /// The packets that left, by their flow.
    pub(crate) sent: BTreeMap<(SocketAddr, SocketAddr), u64>,
}

#[derive(Debug, Default)]
struct Inbox {
    packets: VecDeque<(SocketAddr, Vec<u8>)>,
    waker: Option<Waker>,
}

#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) inside: SocketAddr,
    pub(crate) outside: SocketAddr,
    pub(crate) last: Instant,
}

pub(crate) type Shared = Arc<Mutex<Switch>>;

impl Switch {
    /// How many spare ports are open.
    pub(crate) fn spare_ports(&self) -> usize {
        let spare = self.inboxes.keys().filter(|addr| addr.port() > 40_000);
        spare.count()
    }

    /// From now on, no packet gets through between these addresses.
    pub(crate) fn block(&mut self, one: SocketAddr, other: SocketAddr) {
        self.blocked.insert((one.min(other), one.max(other)));
    }

    /// The packets that arrived at that address, if nobody reads them.
    pub(crate) fn waiting_at(&self, addr: &SocketAddr) -> impl Iterator<Item = &[u8]> {
        let inbox = self.inboxes.get(addr).into_iter();
        inbox.flat_map(|inbox| inbox.packets.iter().map(|(_, packet)| packet.as_slice()))
    }

    /// Whether a packet disappears. Those from inside keep the flow alive.
    fn loses(&mut self, from: SocketAddr, to: SocketAddr) -> bool {
        if self.blocked.contains(&(from.min(to), from.max(to))) {
            return true;
        }
        let Some(flow) = &mut self.stale else {
            return false;
        };
        if flow.last.elapsed() >= REMEMBERED {
            self.stale = None;
            return false;
        }
        if (from, to) == (flow.inside, flow.outside) {
            flow.last = Instant::now();
            return true;
        }
        (to, from) == (flow.inside, flow.outside)
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        *self.sent.entry((from, to)).or_default() += 1;
        if !self.loses(from, to) {
            self.deliver(from, to, bytes);
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if let Some(inbox) = self.inboxes.get_mut(&to) {
            inbox.packets.push_back((from, bytes.to_vec()));
            if let Some(waker) = inbox.waker.take() {
                waker.wake();
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Socket {
    addr: SocketAddr,
    switch: Shared,
}

impl Socket {
    pub(crate) fn bind(switch: &Shared, addr: SocketAddr) -> Arc<dyn AsyncUdpSocket> {
        let inbox = Inbox::default();
        let before = switch.lock().unwrap().inboxes.insert(addr, inbox);
        assert!(before.is_none(), "{addr} is in use");
        let switch = switch.clone();
        Arc::new(Self { addr, switch })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.switch.lock().unwrap().inboxes.remove(&self.addr);
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        let (from, to, delay) = (
            self.addr,
            transmit.destination,
            self.switch.lock().unwrap().delay,
        );
        for packet in transmit.contents.chunks(size.max(1)) {
            let mut switch = self.switch.lock().unwrap();
            if delay.is_zero() {
                switch.send(from, to, packet);
            } else {
                let (switch, packet) = (self.switch.clone(), packet.to_vec());
                tokio::spawn(async move {
                    sleep(delay).await;
                    switch.lock().unwrap().send(from, to, &packet);
                });
            }
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut switch = self.switch.lock().unwrap();
        let inbox = switch.inboxes.get_mut(&self.addr).unwrap();
        let Some((from, packet)) = inbox.packets.pop_front() else {
            inbox.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        bufs[0][..packet.len()].copy_from_slice(&packet);
        meta[0] = RecvMeta {
            addr: from,
            len: packet.len(),
            stride: packet.len(),
            ecn: None,
            dst_ip: None,
        };
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct Writable;

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A node that runs until this is dropped.
pub(crate) struct Running {
    id: NodeId,
    reader: SnapshotReader,
    task: JoinHandle<()>,
    leave: oneshot::Sender<()>,
}

impl Running {
    /// Lets the node leave, and waits until its socket is closed.
    pub(crate) async fn leave(self) {
        drop(self.leave);
        self.task.await.unwrap();
        sleep(SECOND).await;
    }

    /// How many nodes are up in its view.
    pub(crate) async fn up(&self) -> usize {
        let view = self.view().await;
        let up = view.nodes.iter().filter(|one| one.state == NodeState::Up);
        up.count()
    }

    pub(crate) async fn view(&self) -> Arc<Snapshot> {
        self.reader.get().await.unwrap()
    }

    pub(crate) async fn knows(&self, other: &Self) -> bool {
        let view = self.view().await;
        let mut up = view.nodes.iter().filter(|one| one.state == NodeState::Up);
        up.any(|one| one.id == other.id)
    }

    pub(crate) async fn addrs_of(&self, other: &Self) -> Vec<SocketAddr> {
        let view = self.view().await;
        let of = view.nodes.iter().find(|one| one.id == other.id);
        of.map(|one| one.addrs.clone()).unwrap_or_default()
    }
}

/// Starts a node that has to learn its address from its peers.
pub(crate) fn start(
    switch: &Shared,
    seed: u8,
    addr: SocketAddr,
    targets: &[SocketAddr],
) -> Running {
    let identity = Arc::new(Identity::from_seed(&[seed; 32]));
    let id = identity.node_id();
    let ports = switch.clone();
    let spare: BindSpare = Arc::new(move || {
        let mut switch = ports.lock().unwrap();
        switch.next_port += 1;
        let port = 40_000 + switch.next_port;
        drop(switch);
        Ok(Socket::bind(&ports, SocketAddr::new(addr.ip(), port)))
    });
    let assembly = Assembly {
        settings: Settings {
            targets: targets.to_vec(),
            ..Settings::default()
        },
        identity,
        socket: Socket::bind(switch, addr),
        spare: Some(spare),
        tap: Arc::default(),
        runtime: Arc::new(quinn::TokioRuntime),
        run_id: seed.into(),
        core_seed: [seed; 32],
        quinn_seed: Some([seed; 32]),
        wall: Arc::new(|| 1_700_000_000_000),
        published: Vec::new(),
        edge: None,
        finder: None,
        state: None,
        memory: Memory::default(),
        tuning: Arc::default(),
        witness: None,
    };
    let node = Node::assemble(assembly).unwrap();
    let reader = node.reader();
    let (leave, asked) = oneshot::channel();
    let task = tokio::spawn(node.run(async {
        asked.await.ok();
    }));
    Running {
        id,
        reader,
        task,
        leave,
    }
}

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Waits, for so many seconds at most. Returns the time it took.
pub(crate) async fn until<F: Future<Output = bool>>(
    seconds: u32,
    holds: impl Fn() -> F,
) -> Duration {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < SECOND * seconds, "not within {seconds} s");
        sleep(SECOND / 10).await;
    }
    start.elapsed()
}
