//! Named whole nodes on the simulator's virtual network, with the history of each node's views, and helpers that check it.

mod asking;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use area_net::admission::{Keys, NetworkKey};
use area_net::membership::{Closed, Event};
use area_net::settings::{CoreStart, Settings};
use area_net::sim::lines::Ground;
use area_net::sim::world::{Told, World, default_settings};
use area_net::snapshot::{NodeState, Snapshot, SnapshotReader};
use area_net::wire::NodeId;
use tracing::subscriber::DefaultGuard;

use crate::journal::Journal;
use crate::view::View;

/// The shipped profiles with their targets.
pub(crate) const FIVE: [(&str, &[&str]); 5] = [
    ("alice", &[]),
    ("bob", &["alice", "carol"]),
    ("carol", &["erin"]),
    ("dave", &["alice"]),
    ("erin", &["dave"]),
];
pub(crate) const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
/// The name of a node that has alice's key, at an address of its own.
pub(crate) const COPY_OF_ALICE: &str = "copy";

/// The impairment of datagrams unless a scenario sets another: 2 ms each way and nothing else.
pub(crate) const CLEAR: &str = "delay 2ms";
/// The Unix time in ms at which a network begins: a day in 2023.
const GENESIS_MS: u64 = 1_700_000_000_000;

/// How a node is started. Its key and its address follow from its name alone.
#[derive(Clone, Default)]
pub(crate) struct Start {
    pub(crate) targets: Vec<&'static str>,
    /// Its label, if that is not its name.
    pub(crate) label: Option<&'static str>,
    /// The name of its network, if it is not the common one.
    pub(crate) network: Option<&'static str>,
    /// Its allow list; empty for no list.
    pub(crate) allow: Vec<&'static str>,
    /// Its network keys, the preferred one first; empty for an open network.
    pub(crate) keys: Vec<u8>,
    /// How far its clock is slow.
    pub(crate) behind: Duration,
    /// Its socket is bound to the unspecified address, and it doesn't know its own address.
    pub(crate) everywhere: bool,
    /// The impairment of its own packets, in netem's syntax.
    pub(crate) impair: String,
}

/// All views that a node showed in its present run, each with the time at which it appeared.
pub(crate) type History = Vec<(Duration, View)>;

/// Snapshots that were not processed yet, with the places of their nodes.
type Pictures = Arc<Mutex<Vec<(usize, Arc<Snapshot>)>>>;

/// See the module's documentation.
pub(crate) struct Network {
    seed: u64,
    world: World,
    /// The names of the places.
    names: Vec<&'static str>,
    pictures: Pictures,
    /// The number of snapshots processed.
    looked_at: u64,
    /// The history of every running node.
    histories: BTreeMap<&'static str, History>,
    /// The nodes' events, without snapshots.
    told: Vec<(Duration, &'static str, Told)>,
    sent: Arc<Mutex<BTreeMap<(usize, SocketAddr), u64>>>,
    /// Datagrams without the mark of ECN.
    unmarked: Arc<AtomicU64>,
    pub(crate) journal: Journal,
    _journal_here: DefaultGuard,
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

/// The number of a node's key.
fn key(name: &str) -> u64 {
    let owner = if name == COPY_OF_ALICE { "alice" } else { name };
    let mut number = [0; 8];
    number[..owner.len()].copy_from_slice(owner.as_bytes());
    u64::from_be_bytes(number)
}

/// Building a network and breaking it.
impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        let (journal, _journal_here) = Journal::open();
        let sent: Arc<Mutex<BTreeMap<_, u64>>> = Arc::default();
        let unmarked: Arc<AtomicU64> = Arc::default();
        let (counts, without) = (sent.clone(), unmarked.clone());
        let mut world = World::of_whole_nodes(seed);
        world.wiretap = Some(Box::new(move |datagram| {
            let way = (datagram.from, datagram.to);
            *counts.lock().unwrap().entry(way).or_default() += 1;
            without.fetch_add(u64::from(!datagram.marked), Ordering::Relaxed);
        }));
        let mut network = Self {
            seed,
            world,
            names: Vec::new(),
            pictures: Arc::default(),
            looked_at: 0,
            histories: BTreeMap::new(),
            told: Vec::new(),
            sent,
            unmarked,
            journal,
            _journal_here,
        };
        network.impair(CLEAR);
        network
    }

    /// The place of a node, assigned when its name is first used.
    fn place(&mut self, name: &'static str) -> usize {
        let known = self.names.iter().position(|known| *known == name);
        known.unwrap_or_else(|| {
            self.names.push(name);
            self.world.add(key(name), default_settings(0, &[]))
        })
    }

    fn known_place(&self, name: &str) -> usize {
        let known = self.names.iter().position(|known| *known == name);
        known.unwrap_or_else(|| panic!("nobody has spoken of {name}"))
    }

    /// Starts the five profiles at the same instant.
    pub(crate) fn start_five(&mut self) {
        self.start_five_impaired("");
    }

    /// Starts the five profiles, each with this impairment.
    pub(crate) fn start_five_impaired(&mut self, impair: &str) {
        for (name, targets) in FIVE {
            let start = Start {
                targets: targets.to_vec(),
                impair: impair.to_owned(),
                ..Start::default()
            };
            self.start(name, start);
        }
    }

    pub(crate) fn start_with_targets(&mut self, name: &'static str, targets: &[&'static str]) {
        let targets = targets.to_vec();
        self.start(
            name,
            Start {
                targets,
                ..Start::default()
            },
        );
    }

    /// Starts a node without memory of an earlier run.
    pub(crate) fn start(&mut self, name: &'static str, start: Start) {
        let place = self.place(name);
        let allow: Vec<NodeId> = start.allow.iter().map(|name| self.id(name)).collect();
        let here = addr(name);
        let defaults = default_settings(place, &[]);
        let behind_ms = u64::try_from(start.behind.as_millis()).unwrap();
        let node = &mut self.world.nodes[place];
        node.clock_ms = GENESIS_MS - behind_ms;
        node.settings = Settings {
            label: start.label.unwrap_or(name).to_owned(),
            network: start.network.map_or(defaults.network, str::to_owned),
            targets: start.targets.iter().map(|name| addr(name)).collect(),
            allow,
            impair: start.impair.parse().unwrap(),
            ..defaults
        };
        node.start = CoreStart {
            published: if start.everywhere {
                Vec::new()
            } else {
                vec![here]
            },
            ..CoreStart::default()
        };
        node.reached_at = start.everywhere.then_some(here);
        let keys = start.keys.iter().map(|key| NetworkKey::new([*key; 32]));
        self.world.set_keys(place, Keys::new(keys.collect()));
        self.world.start(place);
        self.histories.insert(name, History::new());
        let reader = self.world.reader(place).unwrap();
        let pictures = self.pictures.clone();
        self.world
            .run_beside(place, follow(reader, place, pictures));
    }

    /// Kills the node's process without a leave message. Packets to it get no answer.
    pub(crate) fn kill(&mut self, name: &str) {
        self.world.kill(self.known_place(name));
        self.look();
    }

    /// Asks a node to leave, and waits until it has.
    pub(crate) fn leave(&mut self, name: &str) {
        let place = self.known_place(name);
        self.world.leave(place);
        while self.world.is_running(place) {
            assert!(self.step(Duration::MAX), "{name} never leaves");
        }
    }

    /// The network impairs every datagram in this way from now on, in netem's syntax.
    pub(crate) fn impair(&mut self, impairment: &str) {
        let impairment = Arc::new(impairment.parse().unwrap());
        self.world
            .change_terrain(|terrain| terrain.default = Ground::Same(impairment));
    }

    /// The network impairs datagrams between two nodes in this way from now on, in netem's syntax.
    pub(crate) fn impair_pair(&mut self, a: &'static str, b: &'static str, impairment: &str) {
        let impairment = Arc::new(impairment.parse().unwrap());
        let (a, b) = (self.place(a), self.place(b));
        self.world.change_terrain(|terrain| {
            for direction in [(a, b), (b, a)] {
                terrain.single.insert(direction, Arc::clone(&impairment));
            }
        });
    }

    /// Drops all datagrams that carry the mark of ECN from now on.
    pub(crate) fn drop_marked(&mut self) {
        self.world.drops_marked = true;
    }

    /// How many datagrams left without the mark of ECN.
    pub(crate) fn unmarked(&self) -> u64 {
        self.unmarked.load(Ordering::Relaxed)
    }

    /// Sets a node's wall clock right.
    pub(crate) fn set_clock_right(&mut self, name: &'static str) {
        let place = self.place(name);
        self.world.set_clock(place, GENESIS_MS);
    }

    /// What a right clock says now, in Unix ms.
    pub(crate) fn unix_ms(&self) -> u64 {
        GENESIS_MS + u64::try_from(self.now().as_millis()).unwrap()
    }

    /// Drops all datagrams from `from` to `to` from now on.
    pub(crate) fn cut_direction(&mut self, from: &'static str, to: &'static str) {
        let direction = (self.place(from), self.place(to));
        self.world.change_terrain(|terrain| {
            terrain.cut.insert(direction);
        });
    }

    /// Drops all datagrams between these parts of the network from now on.
    pub(crate) fn partition(&mut self, parts: &[&[&'static str]]) {
        let mut part_of = BTreeMap::new();
        for (part, names) in (0..).zip(parts) {
            for name in *names {
                part_of.insert(self.place(name), part);
            }
        }
        self.world.change_terrain(|terrain| terrain.parts = part_of);
    }

    /// Ends all partitions and cuts.
    pub(crate) fn heal(&mut self) {
        self.world.change_terrain(|terrain| {
            terrain.parts.clear();
            terrain.cut.clear();
        });
    }
}

/// Passing time.
impl Network {
    /// The time since the network began.
    pub(crate) fn now(&self) -> Duration {
        self.world.now()
    }

    /// Advances to the next event. Returns `false` if nothing happens before `until`.
    fn step(&mut self, until: Duration) -> bool {
        let happened = self.world.step(until);
        self.look();
        happened
    }

    /// Records the snapshots and events that the nodes have just produced.
    fn look(&mut self) {
        let now = self.world.now();
        let pictures = std::mem::take(&mut *self.pictures.lock().unwrap());
        for (place, snapshot) in pictures {
            self.looked_at += 1;
            let view = View::of(&snapshot);
            if let Some(history) = self.histories.get_mut(self.names[place])
                && history.last().is_none_or(|(_, last)| *last != view)
            {
                history.push((now, view));
            }
        }
        while let Some(news) = self.world.poll_news() {
            let name = self.names[news.place];
            if let Told::Stopped = news.what {
                self.histories.remove(name);
            }
            self.told.push((news.at, name, news.what));
        }
    }

    /// Lets `ms` milliseconds pass.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.now() + Duration::from_millis(ms);
        while self.step(until) {}
    }

    /// Waits until a condition holds, and returns how long that took.
    #[track_caller]
    pub(crate) fn until(
        &mut self,
        limit_ms: u64,
        what: &str,
        so: impl Fn(&Self) -> bool,
    ) -> Duration {
        let since = self.now();
        let deadline = since + Duration::from_millis(limit_ms);
        let mut judged = None;
        loop {
            if judged != Some(self.looked_at) {
                judged = Some(self.looked_at);
                if so(self) {
                    return self.now() - since;
                }
            }
            if !self.step(deadline) {
                break;
            }
        }
        assert!(
            so(self),
            "not within {limit_ms} ms: {what}\n{}",
            self.describe()
        );
        self.now() - since
    }

    /// Waits until all views are equal and exact.
    #[track_caller]
    pub(crate) fn until_exact(&mut self, limit_ms: u64) -> Duration {
        self.until(limit_ms, "all views are the same and exact", Self::is_exact)
    }
}

/// The nodes' snapshots and events.
impl Network {
    /// The node id for a name.
    pub(crate) fn id(&mut self, name: &'static str) -> NodeId {
        let place = self.place(name);
        self.world.nodes[place].id()
    }

    /// The last view of a node; empty, if it has shown none yet.
    pub(crate) fn view(&self, name: &str) -> View {
        let history = self.histories[name].last();
        history.map_or_else(View::default, |(_, view)| view.clone())
    }

    /// The last view of every running node.
    pub(crate) fn views(&self) -> Vec<View> {
        self.histories.keys().map(|name| self.view(name)).collect()
    }

    pub(crate) fn history(&self, name: &str) -> History {
        self.histories[name].clone()
    }

    /// The views of running nodes that appeared at or after that time.
    pub(crate) fn shown_since(&self, since: Duration) -> Vec<(&'static str, Duration, View)> {
        let mut shown = Vec::new();
        for (name, history) in &self.histories {
            let later = history.iter().filter(|(at, _)| *at >= since);
            shown.extend(later.map(|(at, view)| (*name, *at, view.clone())));
        }
        shown
    }

    /// The events of all nodes so far, with the names of the nodes.
    pub(crate) fn events(&self) -> impl Iterator<Item = (&'static str, &Event)> {
        self.told.iter().filter_map(|(_, name, told)| match told {
            Told::Event(event) => Some((*name, event)),
            _ => None,
        })
    }

    /// Why each link was lost at or after that time: the end of its connection, or `None` if the node itself gave it up.
    pub(crate) fn links_lost_since(&self, since: Duration) -> Vec<Option<&Closed>> {
        let mut lost = Vec::new();
        for name in self.names.iter() {
            let mut closed = None;
            for (at, _, told) in self.told.iter().filter(|(_, whose, _)| whose == name) {
                match told {
                    Told::Closed(why) => closed = Some((*at, why)),
                    Told::Event(Event::Unlinked { calm: false, .. }) if *at >= since => {
                        let at_once = closed.take().filter(|(then, _)| then == at);
                        lost.push(at_once.map(|(_, why)| why));
                    }
                    _ => {}
                }
            }
        }
        lost
    }

    /// How many datagrams a node has sent to another, delivered or not.
    pub(crate) fn sent(&self, from: &str, to: &str) -> u64 {
        let sent = self.sent.lock().unwrap();
        let way = (self.known_place(from), addr(to));
        sent.get(&way).copied().unwrap_or(0)
    }

    /// Whether all running nodes show the same: exactly the running nodes, with a link between each two.
    pub(crate) fn is_exact(&self) -> bool {
        let names: Vec<&str> = self.histories.keys().copied().collect();
        self.agree_on(&names)
    }

    /// Whether these nodes show the same: a full mesh of exactly themselves.
    pub(crate) fn agree_on(&self, names: &[&str]) -> bool {
        let views: Vec<View> = names.iter().map(|name| self.view(name)).collect();
        views
            .iter()
            .all(|view| view.is_full_mesh_of(names) && view.links == views[0].links)
    }

    /// Requires that since then every view showed every node, and showed it as up.
    #[track_caller]
    pub(crate) fn nobody_was_down_since(&self, since: Duration) {
        for (name, at, view) in self.shown_since(since) {
            let down = view.nodes.values().any(|state| *state != NodeState::Up);
            assert!(
                !down && !view.cut_off && view.nodes.len() == self.histories.len(),
                "at {at:?} {name} showed {view:#?}\n{}",
                self.describe()
            );
        }
    }

    /// Describes the network for the message of a failed test.
    fn describe(&self) -> String {
        let views: Vec<_> = self
            .histories
            .keys()
            .map(|name| (name, self.view(name)))
            .collect();
        let recent = &self.told[self.told.len().saturating_sub(60)..];
        let (seed, now) = (self.seed, self.now());
        format!("seed {seed}, now {now:?}\n{views:#?}\nlast events: {recent:#?}")
    }
}

/// Passes on every snapshot of a node.
async fn follow(mut reader: SnapshotReader, place: usize, pictures: Pictures) {
    loop {
        reader.seen();
        let Some(snapshot) = reader.get().await else {
            return;
        };
        pictures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((place, snapshot));
        if reader.changed().await.is_none() {
            return;
        }
    }
}
