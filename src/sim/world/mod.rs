//! The world: places and the nodes that run there, and virtual time. Of the nodes, either the cores are real, or all of them is.
//!
//! [`World::step`] lets a `window` of time pass, and what happens in it; what nodes tell meanwhile waits in
//! [`World::poll_news`], in the order of time. Deeds, such as [`World::kill`], are done between windows.
//!
//! All chance follows from one seed: each node has a generator of its own for what it sends, and the world one for what it does to
//! them. What happens to a node at one time happens in the order of those who thought of it. So the same seed gives the same run,
//! to the byte, on however many threads, and in however many steps.

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

/// Room for so much news is kept.
const FEW_NEWS: usize = 1024;

/// The program's default settings, for the node of a place that is told of these others.
#[must_use]
pub fn default_settings(place: usize, targets: &[usize]) -> Settings {
    settings_of(&Settings::default(), place, targets)
}

/// The settings that all nodes have, for the node of a place that is told of these others.
pub(super) fn settings_of(all: &Settings, place: usize, targets: &[usize]) -> Settings {
    Settings {
        label: format!("node {place}"),
        network: NETWORK.to_owned(),
        targets: targets.iter().map(|&target| addr(target)).collect(),
        ..all.clone()
    }
}

/// What a core with the default settings is told at the place, without a run id and a seed.
#[must_use]
pub fn default_config(place: usize, targets: &[usize]) -> Config {
    default_settings(place, targets).core(CoreStart {
        published: vec![addr(place)],
        ..CoreStart::default()
    })
}

/// Takes lines of a log: when, at which place, what.
pub type Tap = Box<dyn FnMut(Time, usize, &fmt::Arguments<'_>)>;

/// See the module's documentation.
pub struct World {
    seed: u64,
    pub(super) now: Time,
    /// All chance that is no node's.
    pub rng: ChaCha8Rng,
    /// The places.
    pub nodes: Vec<Node>,
    /// Where nodes stand in the tables of all cores: those of this world at the places that they have in it. Each shard of them has
    /// a table of its own, so that no two threads wait for one; all say the same.
    ids: Vec<Arc<Ids>>,
    crew: Crew,
    agenda: Agenda,
    pub(super) land: Land,
    /// Who listens where, or did when it ran last.
    pub(super) listeners: BTreeMap<SocketAddr, u32>,
    /// What nodes told, when, and at which place; and what somebody is reading of it.
    news: VecDeque<(Time, u32, Vec<Told>)>,
    telling: Telling,
    pub(super) steps: u64,
    /// Where whole nodes run, if they do.
    pub(super) whole: Option<Whole>,
    /// Every message goes through its bytes, which a test may want.
    pub encoded: bool,
    /// Nodes that ended may be started again.
    pub restarts: bool,
    /// Is told all that cores do and tell.
    pub tap: Option<Tap>,
    /// Is shown every datagram that a whole node sends, also those that are lost on the way.
    pub wiretap: Option<Wiretap>,
}

/// What one node told at one time, and nobody has heard yet.
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
            tap: None,
            wiretap: None,
        }
    }

    /// Runs on so many threads; otherwise, on as many as the machine runs at once. What happens is the same.
    ///
    /// # Panics
    /// When a node was started before.
    pub fn set_threads(&mut self, threads: usize) {
        assert!(self.ids.is_empty(), "nodes were started on other threads");
        self.crew = Crew::new(threads);
    }

    /// Makes the tables of ids that cores share, one for each thread. The nodes so far settle in them.
    fn share_ids(&mut self) {
        let settlers = || self.nodes.iter().map(Node::id);
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

    /// How many things have happened.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Who reaches whom, and how.
    #[must_use]
    pub fn terrain(&self) -> &Terrain {
        self.land.terrain()
    }

    /// Changes who reaches whom, and how. What is under way arrives.
    pub fn change_terrain(&mut self, change: impl FnOnce(&mut Terrain)) {
        self.land.change(change);
    }

    pub(super) fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// One more place, for a node with the key of that number.
    ///
    /// # Panics
    /// When there are [`MAX_PLACES`] already.
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

    /// Takes note of where a node listens.
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

    /// Starts a node; one that ran before has the addresses and the epoch that it kept on disk.
    ///
    /// # Panics
    /// When it runs already.
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

    /// Stops a node without a word. Its host is silent from then on.
    ///
    /// # Panics
    /// When it doesn't run.
    pub fn kill(&mut self, place: usize) {
        let mut body = None;
        self.deed(place, |node, scene| body = Some(node.stop(scene)));
        if let (Some(Body::Whole(running)), Some(whole)) = (body, &mut self.whole) {
            whole.kill(running);
        }
    }

    /// A node says farewell, and goes when that has left.
    pub fn leave(&mut self, place: usize) {
        self.deed(place, |node, scene| node.leave(scene));
    }

    /// A node begins to lie, or is honest again. Only where cores are simulated.
    pub fn lie(&mut self, place: usize, lies: bool) {
        self.deed(place, |node, _| node.lie(lies));
    }

    /// A node stands still; what would happen to it waits.
    pub fn pause(&mut self, place: usize) {
        self.deed(place, |node, _| node.pause());
        if let (Some(Body::Whole(running)), Some(whole)) = (&self.nodes[place].body, &self.whole) {
            whole.executor.pause(running.host);
        }
    }

    /// A node goes on.
    pub fn resume(&mut self, place: usize) {
        let timers_first = self.rng.random_bool(0.5);
        self.deed(place, |node, scene| node.resume(scene, timers_first));
        if let (Some(Body::Whole(running)), Some(whole)) = (&self.nodes[place].body, &self.whole) {
            whole.executor.resume(running.host);
        }
    }

    /// Does something to a node, now.
    pub(super) fn deed(&mut self, place: usize, deed: impl FnOnce(&mut Node, &Scene<'_>)) {
        let scene = Scene {
            land: &self.land,
            listeners: &self.listeners,
            encoded: self.encoded,
            restarts: self.restarts,
            logs: self.tap.is_some(),
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

    /// The next thing that a node told, until there is none.
    pub fn poll_news(&mut self) -> Option<News> {
        loop {
            if let Some(what) = self.telling.told.next() {
                let Telling { at, place, .. } = self.telling;
                return Some(News { at, place, what });
            }
            let Some((at, place, told)) = self.news.pop_front() else {
                // A storm of news is over.
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

    /// Lets the next things happen, those after `until` aside, and time go on to the last of them. If there are none, it goes on to `until`,
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
        };
        self.crew.run(&mut self.nodes, &places, &scene, &window);
        self.gather(&places);
        true
    }

    /// Takes from nodes what they have for others and for those who look on: in the order of places, so that it is the same
    /// whichever of them ran first.
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
        // Of one place they are in order.
        news.sort_by_key(|(at, place, _)| (*at, *place));
        self.news.extend(news);
        log.sort_by_key(|(at, place, _)| (*at, *place));
        if let Some(tap) = &mut self.tap {
            for (at, place, line) in log {
                tap(at, place as usize, &format_args!("{line}"));
            }
        }
    }

    /// Whose first address this is.
    #[must_use]
    pub fn place_of(&self, addr: SocketAddr) -> Option<usize> {
        let place = self.listeners.get(&addr)?;
        Some(*place as usize)
    }
}
