//! Networks to make maps of, and what can be measured of maps.

use std::collections::BTreeSet;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::super::{Input, Place, Places};
use crate::wire::NodeId;

pub(super) fn ids(nodes: usize) -> Vec<NodeId> {
    let mut rng = ChaCha8Rng::seed_from_u64(99);
    (0..nodes).map(|_| NodeId(rng.random())).collect()
}

/// A network with links from an overlay's rules: about eight a node, a quarter of them on a ring, a quarter random, half to near
/// nodes.
pub(super) struct World {
    pub(super) input: Input,
    /// The round-trip time of each pair, in µs.
    rtt_us: Vec<Vec<u32>>,
}

impl World {
    fn new(nodes: usize, seed: u64, rtt_us: impl Fn(usize, usize) -> u32) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rtt = |a: usize, b: usize| rtt_us(a.min(b), a.max(b));
        let mut pairs = BTreeSet::new();
        let mut ring: Vec<usize> = (0..nodes).collect();
        rand::seq::SliceRandom::shuffle(&mut ring[..], &mut rng);
        let mut link = |a: usize, b: usize| {
            if a != b {
                pairs.insert((a.min(b), a.max(b)));
            }
        };
        for node in 0..nodes {
            link(ring[node], ring[(node + 1) % nodes]);
            link(node, rng.random_range(0..nodes));
            // An overlay finds near nodes among those that it happens to measure.
            let mut seen: Vec<usize> = (0..40)
                .map(|_| rng.random_range(0..nodes))
                .filter(|&other| other != node)
                .collect();
            seen.sort_by_key(|&other| rtt(node, other));
            seen.iter().take(2).for_each(|&near| link(node, near));
        }
        let links = pairs.iter().map(|&(a, b)| (a, b, Some(rtt(a, b))));
        let input = Input {
            nodes: ids(nodes),
            links: links.collect(),
        };
        let row = |a| (0..nodes).map(|b| rtt(a, b)).collect();
        Self {
            input,
            rtt_us: (0..nodes).map(row).collect(),
        }
    }

    /// The delays between the sites of `config/sim/continents.csv`, with the same number of nodes at each, as in the simulator.
    pub(super) fn of_continents(nodes: usize, seed: u64) -> Self {
        let text = include_str!("../../../config/sim/continents.csv");
        let rows = text.lines().filter(|line| !line.starts_with('#')).skip(1);
        let numbers = |line: &str| {
            line.split(',')
                .skip(1)
                .map(|ms| ms.trim().parse().expect("a number"))
                .collect()
        };
        let delays: Vec<Vec<u32>> = rows.map(numbers).collect();
        let site = |node: usize| node * delays.len() / nodes;
        Self::new(nodes, seed, |a, b| 2000 * delays[site(a)][site(b)])
    }

    /// Each pair has its own delay, as in the simulator without a matrix: 20 to 100 ms.
    pub(super) fn of_chance(nodes: usize, seed: u64) -> Self {
        Self::new(nodes, seed, |a, b| {
            // A hash of the pair: its upper bits are random enough.
            let hash = ((a * nodes + b) as u64 ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            20_000 + (hash.wrapping_mul(hash | 1) >> 40) as u32 % 80_000
        })
    }

    /// The rank correlation of predicted and true round-trip times of all pairs without a link.
    pub(super) fn unmeasured(&self, places: &Places) -> f32 {
        let linked: BTreeSet<(usize, usize)> =
            self.input.links.iter().map(|&(a, b, _)| (a, b)).collect();
        let nodes = self.input.nodes.len();
        let pairs = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b)));
        let pairs = pairs.filter(|pair| !linked.contains(pair));
        let predicted = |a: usize, b: usize| {
            let (one, other) = (places.nodes[a], places.nodes[b]);
            distance(one, other) + one.height + other.height
        };
        let pairs: Vec<(f32, f32)> = pairs
            .map(|(a, b)| (self.rtt_us[a][b] as f32, predicted(a, b)))
            .collect();
        super::super::judge::rank_correlation(&pairs).expect("there are enough pairs")
    }

    /// All round-trip times change by up to a twentieth.
    pub(super) fn jitter(&mut self, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for link in &mut self.input.links {
            link.2 = link
                .2
                .map(|rtt_us| rtt_us / 100 * rng.random_range(95..=105));
        }
    }
}

pub(super) fn distance(one: Place, other: Place) -> f32 {
    (one.x - other.x).hypot(one.y - other.y)
}

/// The input without one node.
pub(super) fn without(input: &Input, gone: usize) -> Input {
    let mut rest = input.clone();
    rest.nodes.remove(gone);
    rest.links.retain(|&(a, b, _)| a != gone && b != gone);
    for (a, b, _) in &mut rest.links {
        *a -= usize::from(*a > gone);
        *b -= usize::from(*b > gone);
    }
    rest
}

/// The larger side of the box around a map.
pub(super) fn extent(places: &[Place]) -> f32 {
    let side = |of: fn(&Place) -> f32| {
        let all = || places.iter().map(of);
        all().fold(f32::MIN, f32::max) - all().fold(f32::MAX, f32::min)
    };
    side(|place| place.x).max(side(|place| place.y))
}

/// How far nodes moved, relative to the extent: the median, and the most.
pub(super) fn moved(before: &[Place], after: &[Place]) -> (f32, f32) {
    let extent = extent(before);
    let ways = before
        .iter()
        .zip(after)
        .map(|(one, other)| distance(*one, *other) / extent);
    let mut ways: Vec<f32> = ways.collect();
    ways.sort_by(f32::total_cmp);
    (ways[ways.len() / 2], ways[ways.len() - 1])
}

pub(super) fn is_finite(places: &Places) -> bool {
    places.nodes.iter().all(|place| {
        place.x.is_finite()
            && place.y.is_finite()
            && place.height.is_finite()
            && place.height >= 0.0
    })
}

/// The least distance of two nodes.
pub(super) fn nearest(places: &[Place]) -> f32 {
    let pairs = (0..places.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    pairs
        .map(|(a, b)| distance(places[a], places[b]))
        .fold(f32::MAX, f32::min)
}

pub(super) fn star(leaves: usize) -> Input {
    let links = (1..=leaves).map(|leaf| (0, leaf, Some(1000 + leaf as u32)));
    Input {
        nodes: ids(leaves + 1),
        links: links.collect(),
    }
}

pub(super) fn mesh(nodes: usize) -> Input {
    let links = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b, Some(50_000))));
    Input {
        nodes: ids(nodes),
        links: links.collect(),
    }
}
