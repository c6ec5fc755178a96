//! The library's simulated world, with these tests' own checks at every step, and helpers for faults.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use area_net::impair::Impairment;
use area_net::membership::{Event, Time};
use area_net::sim::lines::Ground;
use area_net::sim::world::{self, Told, World};
use area_net::wire::NodeId;

pub(crate) use area_net::sim::world::{NETWORK, addr};

/// Runs a scenario with several seeds; a failure names the seed. With `SIM_SEEDS=n` in the environment, n times as many.
pub(crate) fn with_seeds(seeds: std::ops::Range<u64>, scenario: impl Fn(u64)) {
    let more = std::env::var("SIM_SEEDS").map_or(1, |more| more.parse().unwrap());
    let until = seeds.start + (seeds.end - seeds.start) * more;
    for seed in seeds.start..until {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            panic!("seed {seed}: {}", said.unwrap_or("panicked"));
        }
    }
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// One direction between two nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Path {
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    pub(crate) loss: f64,
}

impl Path {
    /// From the delay up to the delay and the jitter.
    fn impairment(self) -> Arc<Impairment> {
        let half = self.jitter.as_micros() / 2;
        let mean = self.delay.as_micros() + half;
        let jitter = if half == 0 {
            String::new()
        } else {
            format!("{half}us")
        };
        let words = format!("delay {mean}us {jitter} loss {}%", self.loss * 100.0);
        Arc::new(words.parse().unwrap())
    }
}

/// The paths between nodes, as the tests set them.
#[derive(Debug, Clone, PartialEq)]
struct Ways {
    path: Path,
    paths: BTreeMap<(usize, usize), Path>,
    groups: BTreeMap<usize, u32>,
    dead: BTreeSet<(usize, usize)>,
}

/// The simulated world, with the facts that the checks need.
pub(crate) struct Net {
    world: World,
    pub(crate) path: Path,
    pub(crate) paths: BTreeMap<(usize, usize), Path>,
    /// Nodes of different groups don't reach each other.
    pub(crate) groups: BTreeMap<usize, u32>,
    /// Directions in which nothing arrives.
    pub(crate) dead: BTreeSet<(usize, usize)>,
    /// The path settings that the world was last given.
    ways: Option<Ways>,
    /// No node may show a running node as unreachable.
    pub(crate) strict: bool,
    /// No link may go missing from a record once it is in.
    pub(crate) never_unlisted: bool,
    /// After this time no node may show one that is gone.
    pub(crate) bound: Duration,
    pub(crate) events: Vec<(Time, usize, Event)>,
    /// The nodes that are up in each node's view, according to its events.
    pub(crate) shown: Vec<BTreeSet<NodeId>>,
    pub(crate) dials: Vec<Vec<(Time, SocketAddr)>>,
    /// The nodes that ran at the time of the event that is handled: the world may be further on.
    pub(crate) alive: BTreeSet<usize>,
}

impl Deref for Net {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for Net {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            world: World::new(seed),
            path: Path {
                delay: Duration::from_micros(100),
                jitter: Duration::from_micros(50),
                loss: 0.0,
            },
            paths: BTreeMap::new(),
            groups: BTreeMap::new(),
            dead: BTreeSet::new(),
            ways: None,
            strict: true,
            never_unlisted: false,
            bound: secs(5),
            events: Vec::new(),
            shown: Vec::new(),
            dials: Vec::new(),
            alive: BTreeSet::new(),
        }
    }

    /// Adds a node with that key, which dials those places first. Returns its place.
    pub(crate) fn add_with_key(&mut self, key: u16, targets: &[usize]) -> usize {
        let settings = world::default_settings(self.nodes.len(), targets);
        self.shown.push(BTreeSet::new());
        self.dials.push(Vec::new());
        self.world.add(key.into(), settings)
    }

    pub(crate) fn add(&mut self, targets: &[usize]) -> usize {
        let key = u16::try_from(self.nodes.len()).unwrap();
        self.add_with_key(key, targets)
    }

    pub(crate) fn start(&mut self, place: usize) {
        self.tell_ways();
        self.world.start(place);
        self.hear_all();
    }

    pub(crate) fn start_all(&mut self) {
        for place in 0..self.nodes.len() {
            if !self.nodes[place].is_running() {
                self.start(place);
            }
        }
    }

    /// Stops a node without a leave message.
    pub(crate) fn kill(&mut self, place: usize) {
        self.world.kill(place);
        self.hear_all();
    }

    pub(crate) fn leave(&mut self, place: usize) {
        self.tell_ways();
        self.world.leave(place);
        self.hear_all();
    }

    pub(crate) fn resume(&mut self, place: usize) {
        self.tell_ways();
        self.world.resume(place);
        self.hear_all();
    }

    pub(crate) fn running(&self) -> Vec<usize> {
        self.world.running().collect()
    }

    pub(crate) fn group(&self, place: usize) -> u32 {
        self.groups.get(&place).copied().unwrap_or(0)
    }

    /// Lets the world go on for a while.
    pub(crate) fn run(&mut self, span: Duration) {
        self.tell_ways();
        let until = self.now() + span;
        while self.world.step(until) {
            self.hear_all();
        }
        self.check_ghosts();
    }

    fn hear_all(&mut self) {
        while let Some(news) = self.world.poll_news() {
            match news.what {
                Told::Started => {
                    self.alive.insert(news.place);
                    self.shown[news.place].clear();
                }
                Told::Stopped => {
                    self.alive.remove(&news.place);
                }
                Told::Event(event) => self.hear(news.at, news.place, event),
                Told::Published(own, before) => {
                    self.check_own(news.at, news.place, &own, before.as_deref());
                }
                Told::Dialed(addr) => self.dials[news.place].push((news.at, addr)),
                Told::Closed(_) => {}
            }
        }
    }

    fn tell_ways(&mut self) {
        let ways = Ways {
            path: self.path,
            paths: self.paths.clone(),
            groups: self.groups.clone(),
            dead: self.dead.clone(),
        };
        if self.ways.as_ref() == Some(&ways) {
            return;
        }
        self.world.change_terrain(|terrain| {
            terrain.default = Ground::Same(ways.path.impairment());
            terrain.parts = ways.groups.clone();
            terrain.cut = ways.dead.clone();
            let single = ways.paths.iter();
            terrain.single = single
                .map(|(&way, path)| (way, path.impairment()))
                .collect();
        });
        self.ways = Some(ways);
    }

    /// Hashes all acts and events of cores from now on.
    pub(crate) fn trace(&mut self) -> Rc<Cell<u64>> {
        let trace = Rc::new(Cell::new(0xcbf2_9ce4_8422_2325));
        let fold = trace.clone();
        self.tap = Some(Box::new(move |now, place, what| {
            // FNV-1a.
            for byte in format!("{now:?} {place} {what}").bytes() {
                fold.set((fold.get() ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            }
        }));
        trace
    }
}
