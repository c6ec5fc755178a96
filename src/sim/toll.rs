//! What attacks cost honest nodes.
//!
//! Views are followed event by event. Tables, links and published addresses are sampled whenever views are judged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::attack::Plan;
use super::scenario::Scenario;
use super::views::{Views, counts};
use super::world::{News, Told, Traffic, World};
use crate::membership::{Event, Time};
use crate::wire::{NodeId, ShortId};

/// A node that was started less than this before is still filling its tables and finding its links.
const SETTLES: Duration = Duration::from_secs(5);

/// When the first packet of a handshake is repeated, for the first time (RFC 9002, section 6.2.2).
const REPEATED: Duration = Duration::from_secs(1);

/// A number of rejected messages, or of closed connections, by who is blamed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Blame {
    /// Honest nodes.
    pub honest: u64,
    /// Byzantine nodes, and identities that they own.
    pub byzantine: u64,
}

/// What one node shows of the attackers' identities.
#[derive(Debug, Clone, Default)]
struct Shown {
    /// One bit for each identity: it is shown as up.
    bits: Vec<u64>,
    count: usize,
    most: usize,
    since: Option<Time>,
    longest: Duration,
}

impl Shown {
    fn set(&mut self, at: usize, up: bool, now: Time) {
        let (word, mask) = (at / 64, 1 << (at % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if (self.bits[word] & mask != 0) == up {
            return;
        }
        self.bits[word] ^= mask;
        self.count = if up { self.count + 1 } else { self.count - 1 };
        self.most = self.most.max(self.count);
        if up {
            self.since.get_or_insert(now);
        } else if self.count == 0 {
            self.end(now);
        }
    }

    fn clear(&mut self, now: Time) {
        self.bits.clear();
        self.count = 0;
        self.end(now);
    }

    fn end(&mut self, now: Time) {
        if let Some(since) = self.since.take() {
            self.longest = self.longest.max(now - since);
        }
    }
}

/// See the module's documentation.
pub struct Toll {
    /// The honest nodes are the places below this.
    pub honest: usize,
    /// The attacks.
    pub plans: Vec<Plan>,
    /// When the first attack begins, and when the last one ends.
    pub span: (Time, Time),
    /// The attackers' identities.
    invented: HashMap<ShortId, usize>,
    shown: Vec<Shown>,
    /// Rejected messages by counter.
    pub rejected: BTreeMap<&'static str, Blame>,
    /// The most records in any honest node's view, and the most bytes of records.
    pub most_records: usize,
    /// See `most_records`.
    pub most_bytes: usize,
    /// The honest nodes that published an address at which nobody listens, and those that did so last.
    astray: Vec<(bool, bool)>,
    /// The most by which the epoch in an honest node's record was ahead of its clock, in ms.
    pub epoch_ahead_ms: u64,
    /// How many different views honest nodes had at the end.
    pub views_at_end: usize,
    /// The fewest links to other honest nodes that any honest node had during the attacks; `None` if that was not sampled.
    pub least_links: Option<usize>,
    /// The least share of the pairs of honest nodes that knew each other during the attacks.
    pub least_known: f64,
    /// Dials by second to addresses at which nobody listens, and first packets of these.
    stray: BTreeMap<u64, [u64; 2]>,
    /// Links between two honest nodes that ran, lost at an end of them.
    pub links_lost: u64,
    /// What each honest node had sent and received when the first attack began, and when the last one ended.
    pub before: Vec<Traffic>,
    /// See `before`.
    pub after: Vec<Traffic>,
}

impl Toll {
    /// Nothing is counted yet. `None` if the scenario has no attacks.
    #[must_use]
    pub fn new(scenario: &Scenario, world: &World) -> Option<Self> {
        let first = scenario.byzantine.iter().map(|plan| plan.from).min()?;
        let last = scenario.byzantine.iter().map(|plan| plan.until).max()?;
        let ids = world.nodes.iter().flat_map(|node| node.identities());
        Some(Self {
            honest: scenario.nodes,
            plans: scenario.byzantine.clone(),
            span: (first, last),
            invented: ids
                .enumerate()
                .map(|(at, id)| (id.abbreviated(), at))
                .collect(),
            shown: vec![Shown::default(); scenario.nodes],
            rejected: BTreeMap::new(),
            most_records: 0,
            most_bytes: 0,
            astray: vec![(false, false); scenario.nodes],
            epoch_ahead_ms: 0,
            views_at_end: 0,
            least_links: None,
            least_known: 1.0,
            stray: BTreeMap::new(),
            links_lost: 0,
            before: Vec::new(),
            after: Vec::new(),
        })
    }

    /// Processes one report of an honest node.
    pub fn hear(&mut self, world: &World, views: &Views, news: &News) {
        let (at, place) = (news.at, news.place);
        match &news.what {
            Told::Event(Event::Up(id)) => self.shows(place, id, true, at),
            Told::Event(Event::Unreachable(id) | Event::Left(id)) => {
                self.shows(place, id, false, at);
            }
            Told::Event(Event::Unlinked {
                peer, calm: false, ..
            }) => {
                let peer = views.place(peer).filter(|peer| *peer < self.honest);
                let ran = peer.is_some_and(|peer| counts(&world.nodes[peer]));
                self.links_lost += u64::from(ran && at >= self.span.0);
            }
            Told::Event(Event::CutOff) | Told::Stopped => self.shown[place].clear(at),
            Told::Event(Event::Rejected { what, peer, .. }) => {
                // A dead node is blamed for reading nothing, and rightly so.
                let peer = views.place(peer).filter(|peer| *peer < self.honest);
                let blame = self.rejected.entry(what).or_default();
                match peer {
                    Some(peer) => blame.honest += u64::from(counts(&world.nodes[peer])),
                    None => blame.byzantine += 1,
                }
            }
            Told::Dialed(addr) if world.place_of(*addr).is_none() => {
                self.stray.entry(at.as_secs()).or_default()[0] += 1;
                let timeout = world.nodes[place].settings.dial_timeout;
                let (mut after, mut pause) = (Duration::ZERO, REPEATED);
                while after < timeout {
                    self.stray.entry((at + after).as_secs()).or_default()[1] += 1;
                    after += pause;
                    pause *= 2;
                }
            }
            Told::Published(own, _) => {
                let body = own.body();
                let is_false = |addr| world.place_of(addr).is_none();
                let last = body.addrs.iter().any(|one| is_false(one.addr));
                let (ever, now) = &mut self.astray[place];
                (*ever, *now) = (*ever || last, last);
                let ahead = body.epoch.saturating_sub(world.nodes[place].unix_ms());
                self.epoch_ahead_ms = self.epoch_ahead_ms.max(ahead);
            }
            Told::Event(_) | Told::Started | Told::Dialed(_) | Told::Closed(_) => {}
        }
    }

    fn shows(&mut self, viewer: usize, id: &NodeId, up: bool, at: Time) {
        if let Some(&invented) = self.invented.get(&id.abbreviated()) {
            self.shown[viewer].set(invented, up, at);
        }
    }

    /// Samples what nodes hold.
    pub fn look(&mut self, world: &World, views: &Views, known: f64) {
        let now = world.now();
        let (first, last) = self.span;
        let traffic = || world.nodes[..self.honest].iter().map(|node| node.traffic);
        if now >= first && self.before.is_empty() {
            self.before = traffic().collect();
        }
        if now >= last && self.after.is_empty() {
            self.after = traffic().collect();
        }
        if !(first..=last).contains(&now) {
            return;
        }
        self.least_known = self.least_known.min(known);
        let mut links = vec![0; self.honest];
        for ((one, other), _) in world.linked_pairs(|id| views.place(id)) {
            if other < self.honest {
                links[one] += 1;
                links[other] += 1;
            }
        }
        for (node, links) in world.nodes.iter().zip(links) {
            let Some(core) = node.core() else { continue };
            let tables = core.tables();
            self.most_records = self.most_records.max(tables.nodes);
            self.most_bytes = self.most_bytes.max(tables.bytes);
            if counts(node) && now >= node.started() + SETTLES {
                let least = self.least_links.get_or_insert(links);
                *least = (*least).min(links);
            }
        }
    }

    /// The run is over.
    pub fn finish(&mut self, world: &World) {
        for traffic in [&mut self.before, &mut self.after] {
            if traffic.is_empty() {
                let nodes = world.nodes[..self.honest].iter();
                *traffic = nodes.map(|node| node.traffic).collect();
            }
        }
        let nodes = world.nodes[..self.honest].iter();
        let cores = nodes
            .filter(|node| counts(node))
            .filter_map(|node| node.core());
        let digests: BTreeSet<[u8; 8]> = cores.map(|core| core.digest().0).collect();
        self.views_at_end = digests.len();
        for shown in &mut self.shown {
            let count = shown.count;
            shown.end(world.now());
            shown.count = count;
        }
    }

    /// The most identities that any honest node showed as up, at how many nodes any was shown, for how long at most, and the most at the end.
    #[must_use]
    pub fn invented(&self) -> (usize, usize, Duration, usize) {
        let most = self.shown.iter().map(|one| one.most).max();
        let nodes = self.shown.iter().filter(|one| one.most > 0).count();
        let longest = self.shown.iter().map(|one| one.longest).max();
        let last = self.shown.iter().map(|one| one.count).max();
        (
            most.unwrap_or_default(),
            nodes,
            longest.unwrap_or_default(),
            last.unwrap_or_default(),
        )
    }

    /// How many honest nodes ever published an address at which nobody listens, and how many did at the end.
    #[must_use]
    pub fn astray(&self) -> (usize, usize) {
        let ever = self.astray.iter().filter(|(ever, _)| *ever).count();
        let last = self.astray.iter().filter(|(_, last)| *last).count();
        (ever, last)
    }

    /// Dials to addresses at which nobody listens, and the first packets that these send: of each all, and the most in a second.
    #[must_use]
    pub fn stray(&self) -> [(u64, u64); 2] {
        [0, 1].map(|of| {
            let each = || self.stray.values().map(|counts| counts[of]);
            (each().sum(), each().max().unwrap_or_default())
        })
    }

    /// The connections that honest nodes closed, by code.
    #[must_use]
    pub fn closes(&self, world: &World) -> BTreeMap<u32, Blame> {
        let mut all: BTreeMap<u32, Blame> = BTreeMap::new();
        for node in &world.nodes[..self.honest] {
            for ((code, peer), count) in &node.closes {
                let is_honest = peer.is_some_and(|peer| (peer as usize) < self.honest);
                let blame = all.entry(*code).or_default();
                if is_honest {
                    blame.honest += count;
                } else {
                    blame.byzantine += count;
                }
            }
        }
        all
    }
}
