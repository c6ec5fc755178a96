//! Nodes over the simulated network, what each of them ever showed, and words for what it should have shown.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use area_net::identity::Identity;
use area_net::memory::Memory;
use area_net::node::{Assembly, Node};
use area_net::record::Signer as _;
use area_net::settings::Settings;
use area_net::snapshot::{NodeState, Snapshot, SnapshotReader};
use area_net::wire::NodeId;
use quinn::TokioRuntime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::net::{Net, SimSocket};

/// Some day in 2023, in Unix ms: when the worlds begin.
const GENESIS_MS: u64 = 1_700_000_000_000;
/// The shipped profiles, with their targets.
pub(crate) const FIVE: [(&str, &[&str]); 5] = [
    ("alice", &[]),
    ("bob", &["alice", "carol"]),
    ("carol", &["erin"]),
    ("dave", &["alice"]),
    ("erin", &["dave"]),
];
pub(crate) const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// Runs a scenario in virtual time.
pub(crate) fn simulate<T>(seed: u64, scenario: impl AsyncFnOnce(&mut World) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .finish();
    let _log_here = tracing::subscriber::set_default(subscriber);
    runtime.block_on(async {
        let mut world = World {
            seed,
            net: Net::start(seed),
            genesis: Instant::now(),
            nodes: BTreeMap::new(),
            starts: 0,
            news: watch::Sender::new(()),
            log,
        };
        scenario(&mut world).await
    })
}

/// What the nodes of a world logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// How often the nodes said this.
    pub(crate) fn count(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap())
            .matches(text)
            .count()
    }

    /// Forgets what was said so far.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    fn tail(&self) -> String {
        let text = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a node is started. Its key and its address follow from its name alone.
#[derive(Clone, Default)]
pub(crate) struct Start {
    pub(crate) targets: Vec<SocketAddr>,
    /// What it calls itself, if not its name.
    pub(crate) label: Option<&'static str>,
    pub(crate) network: Option<&'static str>,
    pub(crate) allow: Vec<NodeId>,
    /// Its clock is behind by so much.
    pub(crate) behind: Duration,
    /// Whose key it has, if not its own.
    pub(crate) key: Option<&'static str>,
    /// It listens on the unspecified address, and doesn't know its own.
    pub(crate) everywhere: bool,
    /// What it does to what it sends, in netem's words.
    pub(crate) impair: String,
}

/// A picture without what changes all the time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) nodes: BTreeMap<String, NodeState>,
    /// From dialer to listener.
    pub(crate) links: BTreeSet<(String, String)>,
    pub(crate) cut_off: bool,
}

impl View {
    fn of(snapshot: &Snapshot) -> Self {
        let label = |at: usize| snapshot.nodes[at].label.to_string();
        Self {
            nodes: snapshot
                .nodes
                .iter()
                .map(|node| (node.label.to_string(), node.state))
                .collect(),
            links: snapshot
                .links
                .iter()
                .map(|link| (label(link.dialer), label(link.listener)))
                .collect(),
            cut_off: snapshot.cut_off,
        }
    }

    pub(crate) fn up(&self) -> BTreeSet<&str> {
        self.nodes
            .iter()
            .filter(|(_, state)| **state == NodeState::Up)
            .map(|(name, _)| name.as_str())
            .collect()
    }

    pub(crate) fn has_link(&self, a: &str, b: &str) -> bool {
        self.links
            .iter()
            .any(|(x, y)| (x == a && y == b) || (x == b && y == a))
    }

    /// Exactly these are up, and each pair of them has exactly one link.
    pub(crate) fn is_full_mesh_of(&self, names: &[&str]) -> bool {
        let pairs = names.len() * (names.len() - 1) / 2;
        let linked = |a: &&str| names.iter().all(|b| a == b || self.has_link(a, b));
        self.up() == names.iter().copied().collect()
            && self.links.len() == pairs
            && names.iter().all(linked)
    }
}

/// Everything a node showed, and when.
pub(crate) type History = Vec<(Duration, View)>;

struct Running {
    task: JoinHandle<()>,
    leave: Option<oneshot::Sender<()>>,
    socket: Arc<SimSocket>,
    reader: SnapshotReader,
    history: Arc<Mutex<History>>,
}

/// Nodes over a network.
pub(crate) struct World {
    seed: u64,
    pub(crate) net: Arc<Net>,
    genesis: Instant,
    nodes: BTreeMap<&'static str, Running>,
    starts: u64,
    news: watch::Sender<()>,
    pub(crate) log: Log,
}

pub(crate) fn identity(name: &str) -> Identity {
    let mut seed = [7; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    Identity::from_seed(&seed)
}

pub(crate) fn id(name: &str) -> NodeId {
    identity(name).node_id()
}

/// The shipped profiles are on loopback, all others elsewhere.
pub(crate) fn addr(name: &str) -> SocketAddr {
    match name {
        "alice" => "[::1]:8090".parse().unwrap(),
        "bob" => "[::1]:8095".parse().unwrap(),
        "carol" => "[::1]:8085".parse().unwrap(),
        "dave" => "[::1]:8100".parse().unwrap(),
        "erin" => "[::1]:8105".parse().unwrap(),
        other => {
            let host = other
                .bytes()
                .fold(1_u16, |sum, byte| sum.wrapping_mul(31) ^ u16::from(byte));
            format!("[fd00::{host:x}]:8083").parse().unwrap()
        }
    }
}

pub(crate) fn addrs(names: &[&str]) -> Vec<SocketAddr> {
    names.iter().map(|name| addr(name)).collect()
}

impl World {
    pub(crate) fn now(&self) -> Duration {
        self.genesis.elapsed()
    }

    /// Starts the five profiles at the same instant.
    pub(crate) fn start_five(&mut self) {
        self.start_five_impaired("");
    }

    /// Starts the five profiles, each of which does this to what it sends.
    pub(crate) fn start_five_impaired(&mut self, impair: &str) {
        for (name, targets) in FIVE {
            let start = Start {
                targets: addrs(targets),
                impair: impair.to_owned(),
                ..Start::default()
            };
            self.start(name, start);
        }
    }

    pub(crate) fn start_with_targets(&mut self, name: &'static str, targets: &[&str]) {
        let targets = addrs(targets);
        self.start(
            name,
            Start {
                targets,
                ..Start::default()
            },
        );
    }

    pub(crate) fn start(&mut self, name: &'static str, start: Start) {
        self.starts += 1;
        let here = addr(name);
        let local = if start.everywhere {
            SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), here.port())
        } else {
            here
        };
        let socket = self.net.bind(here, local);
        let mut core_seed = [0; 32];
        core_seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        core_seed[8..16].copy_from_slice(&self.starts.to_le_bytes());
        let now_ms = GENESIS_MS + u64::try_from(self.now().as_millis()).unwrap();
        let defaults = Settings::default();
        let settings = Settings {
            profile: name.to_owned(),
            label: start.label.unwrap_or(name).to_owned(),
            network: start.network.map_or(defaults.network, str::to_owned),
            allow: start.allow,
            targets: start.targets,
            impair: start.impair.parse().unwrap(),
            ..Settings::default()
        };
        let node = Node::assemble(Assembly {
            settings,
            identity: Arc::new(identity(start.key.unwrap_or(name))),
            socket: socket.clone(),
            tap: Arc::default(),
            runtime: Arc::new(TokioRuntime),
            run_id: self.starts.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.seed,
            core_seed,
            quinn_seed: Some(core_seed),
            start_unix_ms: now_ms - u64::try_from(start.behind.as_millis()).unwrap(),
            published: if start.everywhere {
                Vec::new()
            } else {
                vec![here]
            },
            state: None,
            memory: Memory::default(),
            witness: None,
        })
        .unwrap();
        let reader = node.reader();
        let history = Arc::default();
        tokio::spawn(watch_node(
            reader.clone(),
            self.genesis,
            Arc::clone(&history),
            self.news.clone(),
        ));
        let (leave, asked) = oneshot::channel();
        let task = tokio::spawn(node.run(async {
            asked.await.ok();
        }));
        let running = Running {
            task,
            leave: Some(leave),
            socket,
            reader,
            history,
        };
        self.nodes.insert(name, running);
    }

    /// The process is gone without a word; whoever sends to it is not answered.
    pub(crate) fn kill(&mut self, name: &str) {
        let running = self.nodes.remove(name).unwrap();
        self.net.cut_off(&running.socket);
        running.task.abort();
    }

    /// Asks a node to leave, and waits until it has.
    pub(crate) async fn leave(&mut self, name: &str) {
        let mut running = self.nodes.remove(name).unwrap();
        running.leave.take().unwrap().send(()).unwrap();
        running.task.await.unwrap();
        self.net.cut_off(&running.socket);
    }

    /// The whole picture of a node, as of now.
    pub(crate) async fn snapshot(&self, name: &str) -> Arc<Snapshot> {
        self.nodes[name].reader.get().await.unwrap()
    }

    /// What a node showed last; an empty picture, if it has shown nothing yet.
    pub(crate) fn view(&self, name: &str) -> View {
        let history = self.nodes[name].history.lock().unwrap();
        history
            .last()
            .map_or_else(View::default, |(_, view)| view.clone())
    }

    /// The last picture of every node that runs.
    pub(crate) fn views(&self) -> Vec<View> {
        self.nodes.keys().map(|name| self.view(name)).collect()
    }

    pub(crate) fn history(&self, name: &str) -> History {
        self.nodes[name].history.lock().unwrap().clone()
    }

    /// What any node that runs showed at or after that time.
    pub(crate) fn shown_since(&self, since: Duration) -> Vec<(&'static str, Duration, View)> {
        let mut shown = Vec::new();
        for name in self.nodes.keys() {
            for (at, view) in self.history(name) {
                if at >= since {
                    shown.push((*name, at, view));
                }
            }
        }
        shown
    }

    /// All nodes that run show the same: exactly those that run, with a link between each two.
    pub(crate) fn is_exact(&self) -> bool {
        let names: Vec<&str> = self.nodes.keys().copied().collect();
        self.agree_on(&names)
    }

    /// These nodes show the same, a full mesh of exactly themselves.
    pub(crate) fn agree_on(&self, names: &[&str]) -> bool {
        let views: Vec<View> = names.iter().map(|name| self.view(name)).collect();
        views
            .iter()
            .all(|view| view.is_full_mesh_of(names) && view.links == views[0].links)
    }

    /// Waits until something is so, and tells how long that took.
    #[track_caller]
    pub(crate) fn until<'a>(
        &'a self,
        limit_ms: u64,
        what: &'a str,
        so: impl Fn(&Self) -> bool + 'a,
    ) -> impl Future<Output = Duration> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let since = Instant::now();
            let deadline = since + Duration::from_millis(limit_ms);
            let mut news = self.news.subscribe();
            loop {
                if so(self) {
                    return since.elapsed();
                }
                let changed = tokio::time::timeout_at(deadline, news.changed()).await;
                assert!(
                    changed.is_ok() || so(self),
                    "{place}: not within {limit_ms} ms: {what}\nseed {}, now {:?}\n{:#?}\nlog:\n{}",
                    self.seed,
                    self.now(),
                    self.nodes
                        .keys()
                        .map(|name| (name, self.view(name)))
                        .collect::<Vec<_>>(),
                    self.log.tail(),
                );
            }
        }
    }

    /// Waits until all pictures are the same and right.
    #[track_caller]
    pub(crate) fn until_exact(&self, limit_ms: u64) -> impl Future<Output = Duration> + '_ {
        self.until(limit_ms, "all pictures are the same and exact", |world| {
            world.is_exact()
        })
    }

    /// Lets time go by.
    pub(crate) async fn pass(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// Demands that nobody was shown as anything but up since then, and that nobody lost a node out of view.
    #[track_caller]
    pub(crate) fn nobody_was_down_since(&self, since: Duration) {
        for (name, at, view) in self.shown_since(since) {
            let down = view.nodes.values().any(|state| *state != NodeState::Up);
            assert!(
                !down && !view.cut_off && view.nodes.len() == self.nodes.len(),
                "seed {}: at {at:?} {name} showed {view:#?}\nlog:\n{}",
                self.seed,
                self.log.tail(),
            );
        }
    }
}

async fn watch_node(
    mut reader: SnapshotReader,
    genesis: Instant,
    history: Arc<Mutex<History>>,
    news: watch::Sender<()>,
) {
    loop {
        reader.seen();
        let Some(snapshot) = reader.get().await else {
            return;
        };
        let view = View::of(&snapshot);
        {
            let mut history = history.lock().unwrap();
            if history.last().is_none_or(|(_, last)| *last != view) {
                history.push((genesis.elapsed(), view));
            }
        }
        news.send_replace(());
        if reader.changed().await.is_none() {
            return;
        }
    }
}
