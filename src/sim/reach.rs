//! Which nodes can be linked, over what the network lets through at a time, and so which nodes must, may and must not be shown by which others.
//!
//! The answer for two nodes is not always yes or no. On a path that loses 95 % of all packets a link comes up now and then. So there are
//! two kinds of links: those that *must* come up and stay up, and those that *may*. A view must contain all nodes that the viewer
//! reaches over links of the first kind, and may contain those that it reaches over links of either kind. Between the two, nothing is judged.
//!
//! Two nodes can be linked if
//! - packets pass in both directions: the direction is not cut, and doesn't lose everything;
//! - a handshake is done before the dial times out, over the delays and the rates of both directions;
//! - one of them knows an address of the other: from its targets, or because it has shown the other before;
//! - both run. A node that is dead, paused or leaving connects nobody.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::lines::Terrain;
use super::places::small;
use super::world::{Node, World};
use crate::impair::Impairment;
use crate::membership::Time;
use crate::transport::MORE_FOR_SLOW;

/// Where more exchanges than this are lost, links need not stay up: a little more than with the 30 % each way that nodes are built for.
const MOST_LOSS: f64 = 0.6;
/// Where losses come in longer runs than this, on average, links need not stay up: that is many missed probes in a row.
const LONGEST_BURST: f64 = 30.0;
/// On slower lines, in bytes a second, links need not stay up: less than the 16 kbit/s at which a small network must settle.
const LEAST_RATE: f64 = 1500.0;
/// Shorter queues, in packets, drop packets of one message because of each other.
const LEAST_QUEUE: u32 = 50;
/// The bytes that each end sends until both have the other's key, and then for its Hello, and the factors by which it may need less or more.
const KEYS: f64 = 1248.0;
const HELLO: f64 = 848.0 + 350.0;
const LIGHT: f64 = 0.7;
const HEAVY: f64 = 1.3;
/// The share of the dial timeout within which every handshake must be done.
const IN_TIME: f64 = 0.95;

/// The time that a node is given for each draw that leads to nobody: each part of a network makes about one draw a second.
const DRAW: Duration = Duration::from_secs(10);

/// How far two nodes can be linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Linkable {
    /// Never.
    Not,
    /// Perhaps, or for some time.
    May,
    /// Always, after a while.
    Must,
}

/// What one direction lets through.
#[derive(Debug, Clone, Copy)]
struct Passage {
    lost: f64,
    burst: f64,
    delay: [Duration; 2],
    bytes_per_s: f64,
    queue: u32,
}

impl Passage {
    fn of(way: &Impairment) -> Self {
        Self {
            lost: way.share_lost(),
            burst: way.mean_burst(),
            delay: [way.least_delay(), way.most_delay()],
            bytes_per_s: way.bytes_per_s().unwrap_or(f64::INFINITY),
            queue: way.queue(),
        }
    }

    /// At most what either lets through.
    fn worse(self, other: Self) -> Self {
        Self {
            lost: self.lost.max(other.lost),
            burst: self.burst.max(other.burst),
            delay: [0, 1].map(|at| self.delay[at].max(other.delay[at])),
            bytes_per_s: self.bytes_per_s.min(other.bytes_per_s),
            queue: self.queue.min(other.queue),
        }
    }

    fn carries_a_link(&self) -> bool {
        self.burst <= LONGEST_BURST && self.bytes_per_s >= LEAST_RATE && self.queue >= LEAST_QUEUE
    }

    /// Whether the two directions of a path let two nodes be linked, where a dial times out after so long.
    fn linkable(ways: [Self; 2], timeout: Duration) -> Linkable {
        let exchanges = (1.0 - ways[0].lost) * (1.0 - ways[1].lost);
        if exchanges <= 0.0 {
            return Linkable::Not;
        }
        let takes = |bytes: f64, factor: f64, delay: usize| -> f64 {
            let one_way =
                |way: &Self| way.delay[delay].as_secs_f64() + bytes * factor / way.bytes_per_s;
            ways.iter().map(one_way).sum()
        };
        // Keys take one round trip, and then Hellos another one. If the keys come too late, the dial may still go on: where both dial at once,
        // the dial of the other counts as a sign of life.
        let (first, more) = (timeout.as_secs_f64(), f64::from(MORE_FOR_SLOW));
        if takes(KEYS, LIGHT, 0) >= (1.0 + more) * first || takes(HELLO, LIGHT, 0) >= more * first {
            return Linkable::Not;
        }
        let is_steady = takes(KEYS, HEAVY, 1) <= IN_TIME * first
            && takes(HELLO, HEAVY, 1) <= IN_TIME * more * first
            && 1.0 - exchanges <= MOST_LOSS
            && ways.iter().all(Self::carries_a_link);
        if is_steady {
            Linkable::Must
        } else {
            Linkable::May
        }
    }
}

/// See the module's documentation.
pub struct Reach {
    /// `u64` words in a row.
    row: usize,
    /// One row for each node: those of which it knows an address, and those that know one of its own.
    knows: Vec<u64>,
    known_by: Vec<u64>,
    /// Those that it may have learned an address of, both ways.
    may_know: Vec<u64>,
    must: Components,
    may: Components,
    /// Nodes with links in their reach that need not stay up.
    unsteady: Vec<bool>,
    /// How many draws it takes, on average, until a node meets one that it can be linked with; at least 1.
    draws: Vec<f64>,
    /// Since when the node is in its component, if it was started before that; and how often it was started.
    since: Vec<Time>,
    lives: Vec<u32>,
    /// Every path that is not cut lets links stay up; `None`: not known since the terrain changed.
    all_steady: Option<bool>,
    /// Something changed that the components depend on; `learned`: what nodes know, alone.
    changed: bool,
    learned: bool,
}

/// Nodes that reach each other have the same number, that of the first of them. A node that doesn't run is alone.
#[derive(Debug, PartialEq)]
struct Components(Vec<u32>);

impl Reach {
    /// The reach of nodes that know their targets, and do not run yet.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let nodes = world.nodes.len();
        let row = nodes.div_ceil(64);
        let alone: Vec<u32> = (0..nodes).map(small).collect();
        let mut reach = Self {
            row,
            knows: vec![0; nodes * row],
            known_by: vec![0; nodes * row],
            may_know: vec![0; nodes * row],
            must: Components(alone.clone()),
            may: Components(alone),
            unsteady: vec![false; nodes],
            draws: vec![1.0; nodes],
            since: vec![Duration::ZERO; nodes],
            lives: vec![0; nodes],
            all_steady: None,
            changed: true,
            learned: false,
        };
        let reached_at = |(place, node): (usize, &Node)| {
            let published = node.start.published.first().copied();
            Some((node.reached_at.or(published)?, place))
        };
        let places: BTreeMap<SocketAddr, usize> = world
            .nodes
            .iter()
            .enumerate()
            .filter_map(reached_at)
            .collect();
        for (place, node) in world.nodes.iter().enumerate() {
            for target in &node.settings.targets {
                if let Some(target) = places.get(target) {
                    reach.learn(place, *target);
                }
            }
        }
        reach
    }

    /// A node shows another one, so it knows its address.
    pub fn learn(&mut self, viewer: usize, place: usize) {
        let row = self.row;
        let bit = |from: usize, to: usize| (from * row + to / 64, 1_u64 << (to % 64));
        let (at, mask) = bit(viewer, place);
        if viewer != place && self.knows[at] & mask == 0 {
            self.knows[at] |= mask;
            self.may_know[at] |= mask;
            let (back, mask) = bit(place, viewer);
            self.known_by[back] |= mask;
            self.may_know[back] |= mask;
            self.learned = true;
        }
    }

    /// Nodes started or ended.
    pub fn nodes_changed(&mut self) {
        self.changed = true;
    }

    /// Paths changed.
    pub fn terrain_changed(&mut self) {
        self.changed = true;
        self.all_steady = None;
    }

    /// The component of nodes that must show each other, if they count.
    #[must_use]
    pub fn component(&self, place: usize) -> u32 {
        self.must.0[place]
    }

    /// The component of nodes that may show each other. It contains that of those that must.
    #[must_use]
    pub fn wide_component(&self, place: usize) -> u32 {
        self.may.0[place]
    }

    /// When a path between two nodes of one component opened that both had waited for; zero if none did since their starts.
    #[must_use]
    pub fn since(&self, one: usize, other: usize) -> Time {
        self.since[one].max(self.since[other])
    }

    /// Whether links that come and go for ever are among those that the node may show.
    #[must_use]
    pub fn is_unsteady(&self, place: usize) -> bool {
        self.unsteady[place]
    }

    /// The additional time that nodes of a component need to find each other, where most pairs of them can't be linked.
    #[must_use]
    pub fn patience(&self, place: usize) -> Duration {
        DRAW.mul_f64(self.draws[place] - 1.0)
    }

    /// Recomputes all components, if anything changed.
    pub fn update(&mut self, world: &World) {
        // What nodes learn can only join components of nodes that may have learned it.
        let learned = std::mem::take(&mut self.learned) && self.must != self.may;
        if !std::mem::take(&mut self.changed) && !learned {
            return;
        }
        let paths = Paths {
            terrain: world.terrain(),
            world,
            all_steady: *self.all_steady.get_or_insert_with(|| all_steady(world)),
        };
        let there: Vec<bool> = world.nodes.iter().map(counts).collect();
        // Byzantine nodes pass on what they hear, or not.
        let may_be: Vec<bool> = world.nodes.iter().map(may_connect).collect();
        let may = self.components(&paths, &may_be, Linkable::May);
        let must = self.components(&paths, &there, Linkable::Must);
        self.may_have_met(&may);
        self.look_at_sparse(&paths, &may_be, &may);
        self.joined(world, &must);
        (self.must, self.may) = (must, may);
    }

    /// The components of the nodes that are `there`, over links of at least this kind.
    fn components(&self, paths: &Paths<'_>, there: &[bool], kind: Linkable) -> Components {
        let nodes = there.len();
        let mut component: Vec<u32> = (0..nodes).map(small).collect();
        let mut left = self.bits(there);
        for first in (0..nodes).filter(|place| there[*place]) {
            if left[first / 64] >> (first % 64) & 1 == 0 {
                continue;
            }
            left[first / 64] &= !(1 << (first % 64));
            let mut queue = vec![first];
            while let Some(one) = queue.pop() {
                component[one] = component[first];
                for (word, left) in left.iter_mut().enumerate() {
                    let known = self.known(one, word, kind) & *left;
                    for other in ones(known, word) {
                        if paths.linkable(one, other) >= kind {
                            *left &= !(1 << (other % 64));
                            queue.push(other);
                        }
                    }
                }
            }
        }
        Components(component)
    }

    /// A word of the nodes that a node can get an address of, or that can get one of its own.
    fn known(&self, one: usize, word: usize, kind: Linkable) -> u64 {
        let at = one * self.row + word;
        match kind {
            Linkable::Must => self.knows[at] | self.known_by[at],
            Linkable::May | Linkable::Not => self.may_know[at],
        }
    }

    fn bits(&self, there: &[bool]) -> Vec<u64> {
        let mut bits = vec![0_u64; self.row];
        for (place, _) in there.iter().enumerate().filter(|(_, there)| **there) {
            bits[place / 64] |= 1 << (place % 64);
        }
        bits
    }

    /// Nodes that reach each other may learn each other's addresses.
    fn may_have_met(&mut self, may: &Components) {
        let mut members: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for (place, part) in may.0.iter().enumerate() {
            let row = members.entry(*part).or_insert_with(|| vec![0; self.row]);
            row[place / 64] |= 1 << (place % 64);
        }
        for (place, part) in may.0.iter().enumerate() {
            let known = self.may_know[place * self.row..].iter_mut();
            for (known, members) in known.zip(&members[part]) {
                *known |= members;
            }
        }
    }

    /// Finds links that need not stay up, and nodes that can be linked with few others.
    fn look_at_sparse(&mut self, paths: &Paths<'_>, there: &[bool], may: &Components) {
        self.unsteady.fill(false);
        self.draws.fill(1.0);
        if paths.all_steady && !paths.terrain.has_cuts() {
            return;
        }
        let nodes = there.len();
        let (mut unsteady, mut draws) = (vec![false; nodes], vec![1.0_f64; nodes]);
        for one in (0..nodes).filter(|one| there[*one]) {
            let part = may.0[one] as usize;
            let (mut all, mut steady) = (0, 0);
            for other in (0..nodes).filter(|other| there[*other] && *other != one) {
                if may.0[other] as usize == part {
                    let found = paths.linkable(one, other);
                    all += 1;
                    steady += usize::from(found == Linkable::Must);
                    unsteady[part] |= found == Linkable::May;
                }
            }
            if steady > 0 {
                draws[part] = draws[part].max(f64::from(all) / steady as f64);
            }
        }
        for (place, part) in may.0.iter().enumerate() {
            self.unsteady[place] = unsteady[*part as usize];
            self.draws[place] = draws[*part as usize];
        }
    }

    /// Nodes that joined others must be shown from now on. Of several groups that become one, the largest was there before.
    fn joined(&mut self, world: &World, must: &Components) {
        let mut groups: BTreeMap<u32, BTreeMap<u32, usize>> = BTreeMap::new();
        for (old, new) in self.must.0.iter().zip(&must.0) {
            *groups.entry(*new).or_default().entry(*old).or_default() += 1;
        }
        let largest = |olds: &BTreeMap<u32, usize>| {
            let by_size = olds
                .iter()
                .max_by_key(|(old, count)| (**count, Reverse(**old)));
            by_size.map(|(old, _)| *old)
        };
        let stays: BTreeMap<u32, Option<u32>> = groups
            .iter()
            .map(|(new, olds)| (*new, largest(olds)))
            .collect();
        for (place, new) in must.0.iter().enumerate() {
            let life = world.nodes[place].life();
            if std::mem::replace(&mut self.lives[place], life) != life {
                self.since[place] = Duration::ZERO;
            } else if stays[new] != Some(self.must.0[place]) {
                self.since[place] = world.now();
            }
        }
    }
}

/// Whether a node must be in the views of others: it runs, and is not paused, leaving or Byzantine.
#[must_use]
pub fn counts(node: &Node) -> bool {
    may_connect(node) && !node.is_lying()
}

/// Whether it may connect others: one that is Byzantine may.
fn may_connect(node: &Node) -> bool {
    node.is_running() && !node.is_paused() && !node.is_leaving()
}

/// The set bits of a word of a row.
fn ones(mut bits: u64, word: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = (bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
        Some(at)
    })
}

/// The paths of a world at a time.
struct Paths<'a> {
    world: &'a World,
    terrain: &'a Terrain,
    all_steady: bool,
}

impl Paths<'_> {
    fn linkable(&self, a: usize, b: usize) -> Linkable {
        if self.terrain.is_cut((a, b)) || self.terrain.is_cut((b, a)) {
            return Linkable::Not;
        }
        if self.all_steady {
            return Linkable::Must;
        }
        let ways = [(a, b), (b, a)].map(|way| Passage::of(self.terrain.impairment(way)));
        // It is enough if the dials of one of them get through.
        let timeouts = [a, b].map(|place| self.world.nodes[place].settings.dial_timeout);
        Passage::linkable(ways, timeouts[0].max(timeouts[1]))
    }
}

/// Whether the worst path that any two impairments could make lets links stay up.
fn all_steady(world: &World) -> bool {
    let mut worst = Passage::of(&Impairment::default());
    world
        .terrain()
        .for_each(&mut |way| worst = worst.worse(Passage::of(way)));
    let timeouts = world.nodes.iter().map(|node| node.settings.dial_timeout);
    let timeout = timeouts.min().unwrap_or_default();
    Passage::linkable([worst; 2], timeout) == Linkable::Must
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linkable(there: &str, back: &str, timeout_ms: u64) -> Linkable {
        let ways = [there, back].map(|words| Passage::of(&words.parse().unwrap()));
        Passage::linkable(ways, Duration::from_millis(timeout_ms))
    }

    #[test]
    fn what_no_path_carries_need_not_be_and_can_not_be() {
        for (there, back, timeout_ms, expected) in [
            ("delay 50ms", "delay 50ms", 2900, Linkable::Must),
            ("loss 30%", "loss 30%", 2900, Linkable::Must),
            ("loss 60%", "loss 60%", 2900, Linkable::May),
            ("loss 99.9%", "loss 10%", 2900, Linkable::May),
            ("loss 100%", "delay 1ms", 2900, Linkable::Not),
            ("delay 1ms", "corrupt 100%", 2900, Linkable::Not),
            (
                "loss gemodel 100% 0% 100% 100%",
                "delay 1ms",
                2900,
                Linkable::Not,
            ),
            ("loss gemodel 1% 0.1%", "delay 1ms", 2900, Linkable::May),
            ("loss 20% 99%", "delay 1ms", 2900, Linkable::May),
            ("limit 1", "delay 1ms", 2900, Linkable::May),
            // The first answer takes a round trip.
            ("delay 200ms", "delay 200ms", 500, Linkable::Must),
            ("delay 249ms", "delay 249ms", 500, Linkable::May),
            ("delay 499ms", "delay 499ms", 500, Linkable::May),
            ("delay 500ms", "delay 500ms", 500, Linkable::Not),
            ("delay 5800ms", "delay 1us", 2900, Linkable::Not),
            // Jitter lets some packets arrive earlier, and others later.
            ("delay 250ms 50ms", "delay 250ms 50ms", 500, Linkable::May),
            ("rate 64kbit", "rate 64kbit", 2900, Linkable::Must),
            ("rate 16kbit", "rate 16kbit", 5000, Linkable::Must),
            ("rate 1kbit", "rate 1mbit", 2900, Linkable::Not),
            ("rate 8kbit", "rate 8kbit", 10_000, Linkable::May),
        ] {
            assert_eq!(
                linkable(there, back, timeout_ms),
                expected,
                "{there}, {back}, {timeout_ms}"
            );
            assert_eq!(
                linkable(back, there, timeout_ms),
                expected,
                "{there}, {back}, {timeout_ms}"
            );
        }
    }
}
