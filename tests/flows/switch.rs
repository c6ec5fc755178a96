//! A network in memory, and nodes on it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use area_net::admission::Admission;
use area_net::identity::Identity;
use area_net::memory::Memory;
use area_net::node::{Assembly, Node};
use area_net::record::Signer as _;
use area_net::settings::Settings;
use area_net::sim::socket::{Outgoing, SimSocket};
use area_net::snapshot::{NodeState, Snapshot, SnapshotReader};
use area_net::transport::{BindSpare, Qlogs};
use area_net::wire::NodeId;
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
    /// Those that are closed stay in the map, without a socket.
    sockets: BTreeMap<SocketAddr, Weak<SimSocket>>,
    pub(crate) stale: Option<Flow>,
    /// The pairs of addresses between which no packet gets through, in the order of the addresses.
    blocked: BTreeSet<(SocketAddr, SocketAddr)>,
    /// The packets that came to addresses that are watched.
    watched: BTreeMap<SocketAddr, Vec<Vec<u8>>>,
    next_port: u16,
    /// The packets that left, by their flow.
    pub(crate) sent: BTreeMap<(SocketAddr, SocketAddr), u64>,
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
        let open = self.sockets.iter().filter(|(_, one)| is_open(one));
        open.filter(|(addr, _)| addr.port() > 40_000).count()
    }

    /// From now on, no packet gets through between these addresses.
    pub(crate) fn block(&mut self, one: SocketAddr, other: SocketAddr) {
        self.blocked.insert((one.min(other), one.max(other)));
    }

    /// From now on, the packets to that address are kept, whether somebody listens there or not.
    pub(crate) fn watch(&mut self, addr: SocketAddr) {
        self.watched.entry(addr).or_default();
    }

    /// The packets that came to an address since it is watched.
    pub(crate) fn came_to(&self, addr: &SocketAddr) -> &[Vec<u8>] {
        self.watched.get(addr).map_or(&[], Vec::as_slice)
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
        if self.loses(from, to) {
            return;
        }
        if let Some(came) = self.watched.get_mut(&to) {
            came.push(bytes.to_vec());
        }
        if let Some(socket) = self.sockets.get(&to).and_then(Weak::upgrade) {
            socket.deliver(from, bytes.to_vec());
        }
    }
}

fn is_open(socket: &Weak<SimSocket>) -> bool {
    socket.strong_count() > 0
}

/// A socket at that address.
pub(crate) fn bind(shared: &Shared, addr: SocketAddr) -> Arc<SimSocket> {
    let switch = shared.clone();
    let socket = Arc::new(SimSocket::new(addr, addr, move |sent: Outgoing<'_>| {
        let delay = switch.lock().unwrap().delay;
        if delay.is_zero() {
            switch.lock().unwrap().send(addr, sent.to, sent.bytes);
        } else {
            let (switch, to, bytes) = (switch.clone(), sent.to, sent.bytes.to_vec());
            tokio::spawn(async move {
                sleep(delay).await;
                switch.lock().unwrap().send(addr, to, &bytes);
            });
        }
    }));
    let open = Arc::downgrade(&socket);
    let before = shared.lock().unwrap().sockets.insert(addr, open);
    assert!(!before.as_ref().is_some_and(is_open), "{addr} is in use");
    socket
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

    /// How often that was rejected.
    pub(crate) async fn rejected(&self, what: &str) -> u64 {
        let view = self.view().await;
        let count = view.rejected.0.iter().find(|(name, _)| *name == what);
        count.map_or(0, |(_, count)| *count)
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
    let open = Admission::open(&Settings::default().network);
    start_with(switch, seed, addr, targets, open)
}

/// The same with an admission of its own.
pub(crate) fn start_with(
    switch: &Shared,
    seed: u8,
    addr: SocketAddr,
    targets: &[SocketAddr],
    admission: Admission,
) -> Running {
    let settings = Settings {
        targets: targets.to_vec(),
        ..Settings::default()
    };
    start_as(switch, seed, addr, settings, (admission, Qlogs::default()))
}

/// Starts a node whose connections are logged.
#[cfg(feature = "qlog")]
pub(crate) fn start_logged(
    switch: &Shared,
    seed: u8,
    addr: SocketAddr,
    targets: &[SocketAddr],
    qlogs: Qlogs,
) -> Running {
    let settings = Settings {
        targets: targets.to_vec(),
        ..Settings::default()
    };
    let open = Admission::open(&settings.network);
    start_as(switch, seed, addr, settings, (open, qlogs))
}

/// The same with settings of its own.
pub(crate) fn start_as(
    switch: &Shared,
    seed: u8,
    addr: SocketAddr,
    settings: Settings,
    (admission, qlogs): (Admission, Qlogs),
) -> Running {
    let identity = Arc::new(Identity::from_seed(&[seed; 32]));
    let id = identity.node_id();
    let ports = switch.clone();
    let spare: BindSpare = Arc::new(move || {
        let mut switch = ports.lock().unwrap();
        switch.next_port += 1;
        let port = 40_000 + switch.next_port;
        drop(switch);
        Ok(bind(&ports, SocketAddr::new(addr.ip(), port)))
    });
    let assembly = Assembly {
        settings,
        identity,
        admission,
        follower: None,
        socket: bind(switch, addr),
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
        notes: None,
        tells_links: false,
        qlogs,
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
