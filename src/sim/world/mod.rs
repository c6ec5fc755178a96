//! The world: places, the nodes that run there, and virtual time. The nodes are either cores or whole nodes.
//!
//! [`World::step`] runs one `window` of time. Reports of nodes meanwhile wait in
//! [`World::poll_news`], in the order of time. Methods that change nodes, such as [`World::kill`], are called between windows.
//!
//! One seed determines all random choices: each node has a random generator for what it sends, and the world has one for what is done to
//! nodes. Events of one time are ordered by the place that created them. So the same seed gives the same run,
//! byte for byte, on any number of threads, and in any number of steps.

mod connections;
mod crew;
mod outside;
mod whole_nodes;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use self::crew::Crew;
use super::attack::{Attack, Plan};
use super::host::Body;
use super::lines::{Land, Terrain};
use super::places::small;
use super::queue::trim;
use super::whole::Whole;
use super::window::{Agenda, Scene, Window};
use crate::membership::{Config, Ids, Time};
use crate::settings::{CoreStart, Settings};

pub use self::connections::Connection;
pub use self::outside::{SentDatagram, Wiretap};
pub use super::host::Node;
pub use super::news::{News, Told, Traffic};
pub use super::places::{MAX_PLACES, NETWORK, addr};

/// The capacity that the list of reports keeps.
const FEW_NEWS: usize = 1024;

/// The program's default settings for the node of a place, with these targets.
#[must_use]
pub fn default_settings(place: usize, targets: &[usize]) -> Settings {
    settings_of(&Settings::default(), place, targets)
}

/// The settings that all nodes share, for the node of a place, with these targets.
pub(super) fn settings_of(all: &Settings, place: usize, targets: &[usize]) -> Settings {
    Settings {
        label: format!("node {place}"),
        network: NETWORK.to_owned(),
        targets: targets.iter().map(|&target| addr(target)).collect(),
        ..all.clone()
    }
}

/// The configuration of a core with default settings at a place, without a run id and a seed.
#[must_use]
pub fn default_config(place: usize, targets: &[usize]) -> Config {
    default_settings(place, targets).core(CoreStart {
        published: vec![addr(place)],
        ..CoreStart::default()
    })
}

/// Receives the lines of the log: time, place, text.
pub type Tap = Box<dyn FnMut(Time, usize, &fmt::Arguments<'_>)>;

/// See the module's documentation.
pub struct World {
    seed: u64,
    pub(super) now: Time,
    /// Random choices that belong to no node.
    pub rng: ChaCha8Rng,
    /// The places.
    pub nodes: Vec<Node>,
    /// Tables of ids, which map this world's nodes to their places. Each shard of the nodes has
    /// a table of its own, so that no two threads contend for one; all have the same content.
    ids: Vec<Arc<Ids>>,
    crew: Crew,
    agenda: Agenda,
    pub(super) land: Land,
    /// The place that listens at each address, or did in its last run.
    pub(super) listeners: BTreeMap<SocketAddr, u32>,
    /// Reports of nodes with time and place, and the reports that are being read.
    news: VecDeque<(Time, u32, Vec<Told>)>,
    telling: Telling,
    pub(super) steps: u64,
    /// Whole nodes, in a world of those.
    pub(super) whole: Option<Whole>,
    /// Every message is encoded and decoded, for tests.
    pub encoded: bool,
    /// Ended nodes may be started again.
    pub restarts: bool,
    /// Some nodes are Byzantine for the whole run.
    attacked: bool,
    /// Receives all actions and events of cores.
    pub tap: Option<Tap>,
    /// Receives every datagram that a whole node sends, also those that are lost on the way.
    pub wiretap: Option<Wiretap>,
    /// The network drops every datagram of a whole node that carries the mark of ECN.
    pub drops_marked: bool,
}

/// Unread reports of one node at one time.
#[derive(Default)]
struct Telling {
    at: Time,
    place: usize,
    told: std::vec::IntoIter<Told>,
}

impl World {
    /// An empty world for whole nodes.
    #[must_use]
    pub fn of_whole_nodes(seed: u64) -> Self {
        Self {
            whole: Some(Whole::new()),
            ..Self::new(seed)
        }
    }

    /// An empty world for cores.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: Duration::ZERO,
            rng: ChaCha8Rng::seed_from_u64(seed),
            nodes: Vec::new(),
            ids: Vec::new(),
            crew: Crew::of_machine(),
            agenda: Agenda::default(),
            land: Land::default(),
            listeners: BTreeMap::new(),
            news: VecDeque::new(),
            telling: Telling::default(),
            steps: 0,
            whole: None,
            encoded: false,
            restarts: true,
            attacked: false,
            tap: None,
            wiretap: None,
            drops_marked: false,
        }
    }

    /// Sets the number of threads; the default is as many as the machine runs at once. The run is the same for any number.
    ///
    /// # Panics
    /// If a node was started before.
    pub fn set_threads(&mut self, threads: usize) {
        assert!(self.ids.is_empty(), "nodes were started on other threads");
        self.crew = Crew::new(threads);
    }

    /// Creates the tables of ids that cores share, one for each shard, with the nodes so far.
    fn share_ids(&mut self) {
        // Places in tables must not depend on who hears of an invented node first.
        let invented = || self.nodes.iter().flat_map(Node::identities);
        let settlers = || self.nodes.iter().map(Node::id).chain(invented());
        let shards = 0..self.crew.shards();
        let tables = shards.map(|_| Arc::new(Ids::with_settlers(self.seed, settlers())));
        self.ids = tables.collect();
        for place in 0..self.nodes.len() {
            self.give_ids(place);
        }
    }

    fn give_ids(&mut self, place: usize) {
        let shards = self.ids.len();
        self.nodes[place].start.ids = Some(self.ids[place % shards].clone());
    }

    /// The time since the world began.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The number of events so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Which nodes reach each other, and the impairments of the directions.
    #[must_use]
    pub fn terrain(&self) -> &Terrain {
        self.land.terrain()
    }

    /// Changes the terrain. Packets that are on their way still arrive.
    pub fn change_terrain(&mut self, change: impl FnOnce(&mut Terrain)) {
        self.land.change(change);
    }

    pub(super) fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// Adds a place, for a node with the key of this number.
    ///
    /// # Panics
    /// If there are [`MAX_PLACES`] already.
    pub fn add(&mut self, key: u64, settings: Settings) -> usize {
        let place = self.nodes.len();
        assert!(place < MAX_PLACES, "there are no more ports");
        let node = Node::new(self.seed, small(place), key, settings, addr(place));
        self.nodes.push(node);
        if !self.ids.is_empty() {
            self.give_ids(place);
        }
        self.agenda.add_place();
        self.listen(place);
        place
    }

    /// Makes a node Byzantine for the whole run. Only for cores.
    ///
    /// # Panics
    /// If a node was started before.
    pub(super) fn attack_with(&mut self, place: usize, plan: Arc<Plan>) {
        assert!(self.ids.is_empty(), "nodes were started before");
        let attack = Attack::new(plan, self.seed, place);
        self.nodes[place].attack = Some(Box::new(attack));
        self.attacked = true;
    }

    /// Updates the table of listeners for a node.
    fn listen(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let published = node.start.published.first().copied();
        let addr = node.reached_at.or(published);
        let place = small(place);
        if let Some(before) = std::mem::replace(&mut node.listens, addr)
            && self.listeners.get(&before) == Some(&place)
        {
            self.listeners.remove(&before);
        }
        if let Some(addr) = addr {
            self.listeners.entry(addr).or_insert(place);
        }
    }

    /// Starts a node. One that ran before has the addresses and the epoch that a real one would keep on disk.
    ///
    /// # Panics
    /// If it runs already.
    pub fn start(&mut self, place: usize) {
        let (run_id, seed) = (self.rng.random(), self.rng.random());
        self.listen(place);
        if self.whole.is_none() {
            if self.ids.is_empty() {
                self.share_ids();
            }
            return self.deed(place, |node, scene| {
                node.begin(run_id, seed);
                node.start_core(scene);
            });
        }
        self.deed(place, |node, _| node.begin(run_id, seed));
        self.start_whole(place);
    }

    /// Ends a node without a leave message. Its host is silent from then on.
    ///
    /// # Panics
    /// If it doesn't run.
    pub fn kill(&mut self, place: usize) {
        let mut body = None;
        self.deed(place, |node, scene| body = Some(node.stop(scene)));
        if let (Some(Body::Whole(running)), Some(whole)) = (body, &mut self.whole) {
            whole.kill(running);
        }
    }

    /// Sets a node's wall clock. `clock_ms` is what it would have said at the beginning of the world, in Unix ms.
    pub fn set_clock(&mut self, place: usize, clock_ms: u64) {
        let node = &mut self.nodes[place];
        let by_ms = clock_ms.wrapping_sub(node.clock_ms).cast_signed();
        node.clock_ms = clock_ms;
        if let Some(Body::Whole(running)) = &node.body {
            running.set_clock(by_ms);
        }
    }

    /// Makes a node leave gracefully.
    pub fn leave(&mut self, place: usize) {
        self.deed(place, |node, scene| node.leave(scene));
    }

    /// Makes a node Byzantine, or honest again. Only for cores.
    pub fn lie(&mut self, place: usize, lies: bool) {
        self.deed(place, |node, _| node.lie(lies));
    }

    /// Pauses a node; its events wait.
    pub fn pause(&mut self, place: usize) {
        self.deed(place, |node, _| node.pause());
        if let (Some(Body::Whole(running)), Some(whole)) = (&self.nodes[place].body, &self.whole) {
            whole.executor.pause(running.host);
        }
    }

    /// Resumes a node.
    pub fn resume(&mut self, place: usize) {
        let timers_first = self.rng.random_bool(0.5);
        self.deed(place, |node, scene| node.resume(scene, timers_first));
        if let (Some(Body::Whole(running)), Some(whole)) = (&self.nodes[place].body, &self.whole) {
            whole.executor.resume(running.host);
        }
    }

    /// Applies a change to a node, now.
    pub(super) fn deed(&mut self, place: usize, deed: impl FnOnce(&mut Node, &Scene<'_>)) {
        let scene = Scene {
            land: &self.land,
            listeners: &self.listeners,
            encoded: self.encoded,
            restarts: self.restarts,
            logs: self.tap.is_some(),
            attacked: self.attacked,
        };
        let node = &mut self.nodes[place];
        node.now = self.now;
        deed(node, &scene);
        self.gather(&[small(place)]);
    }

    /// Whether the node of a place runs.
    #[must_use]
    pub fn is_running(&self, place: usize) -> bool {
        self.nodes[place].is_running()
    }

    /// The places whose nodes run.
    pub fn running(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|&place| self.nodes[place].is_running())
    }

    /// The next report of a node; `None` if all were read.
    pub fn poll_news(&mut self) -> Option<News> {
        loop {
            if let Some(what) = self.telling.told.next() {
                let Telling { at, place, .. } = self.telling;
                return Some(News { at, place, what });
            }
            let Some((at, place, told)) = self.news.pop_front() else {
                // The burst of reports is over.
                self.news.shrink_to(FEW_NEWS);
                return None;
            };
            self.telling = Telling {
                at,
                place: place as usize,
                told: told.into_iter(),
            };
        }
    }

    /// Processes the next events up to `until`, and advances the time to the last of them. If there are none, the time becomes `until`,
    /// and `false` is returned.
    pub fn step(&mut self, until: Time) -> bool {
        if self.whole.is_some() {
            return self.step_whole(until);
        }
        let Some(first) = self.agenda.first().filter(|first| *first <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        let end = first + self.land.least_delay();
        let window = Window { end, until };
        let mut places = Vec::new();
        self.agenda.take(&window, &mut places);
        let scene = Scene {
            land: &self.land,
            listeners: &self.listeners,
            encoded: self.encoded,
            restarts: self.restarts,
            logs: self.tap.is_some(),
            attacked: self.attacked,
        };
        self.crew.run(&mut self.nodes, &places, &scene, &window);
        self.gather(&places);
        true
    }

    /// Collects the packets and reports of nodes, in the order of places, so that the result does not depend on
    /// which of them ran first.
    fn gather(&mut self, places: &[u32]) {
        let (mut news, mut log) = (Vec::new(), Vec::new());
        for &place in places {
            let node = &mut self.nodes[place as usize];
            self.now = self.now.max(node.now);
            self.steps += std::mem::take(&mut node.happened);
            let told = node.news.drain(..);
            news.extend(told.map(|(at, told)| (at, place, told)));
            trim(&mut node.news);
            log.extend(node.log.drain(..).map(|(at, line)| (at, place, line)));
            let next = node.next();
            let mut outbox = std::mem::take(&mut node.outbox);
            self.agenda.set(place, next);
            for (to, due) in outbox.drain(..) {
                let at = due.at;
                let there = &mut self.nodes[to as usize];
                there.queue.push(due);
                if !there.is_paused() {
                    self.agenda.hasten(to, at);
                }
            }
            trim(&mut outbox);
            self.nodes[place as usize].outbox = outbox;
        }
        // Reports of one place are in order already.
        news.sort_by_key(|(at, place, _)| (*at, *place));
        self.news.extend(news);
        log.sort_by_key(|(at, place, _)| (*at, *place));
        if let Some(tap) = &mut self.tap {
            for (at, place, line) in log {
                tap(at, place as usize, &format_args!("{line}"));
            }
        }
    }

    /// The place whose first address this is.
    #[must_use]
    pub fn place_of(&self, addr: SocketAddr) -> Option<usize> {
        let place = self.listeners.get(&addr)?;
        Some(*place as usize)
    }
}
