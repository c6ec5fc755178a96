//! The latency map: distance plus heights is round-trip time.
//!
//! A node's height is what its access line adds to each of its round-trip times (Vivaldi, Dabek 2004). Without heights, nodes of one
//! site with the same round-trip time to each other have no place in the plane.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::graph::{Graph, number};
use super::sgd::{Schedule, Term};
use super::solve::{Follow, Problem};

/// A new map. Double the rounds give pairs without a link a rank correlation of 0.94 instead of 0.93 at 1,000 nodes, for twice the time;
/// half of them cost 0.02.
const UNFOLD: Schedule = Schedule {
    rounds: 200,
    first: 1.0,
    last: 0.05,
    most: 1.0,
    moving: MOVING,
};
/// A map follows new measurements. At half the rounds, it needs twice as many updates; double costs double.
const FOLLOW: Schedule = Schedule {
    rounds: 20,
    first: 0.15,
    last: 0.03,
    most: 0.1,
    moving: MOVING,
};
/// The share of an error that moves nodes; the rest changes their heights. At a half, heights swallow what distances could show, and the
/// rank correlation of distance alone with round-trip time falls from 0.97 to 0.88. At 1, there are no heights, and that of all
/// falls by 0.01.
const MOVING: f32 = 0.9;
/// A node's height is at most this share of its shortest round-trip time. So two fifths of each round-trip time are distance: otherwise,
/// nodes that are equally far from each other would all be on one place. With 0.45, the correlation of distance alone is 0.96 instead of
/// 0.97. At half, slow access lines would have no room.
const HIGHEST: f32 = 0.3;
/// From so many nodes, paths to the rest of the network guide a new map at first. At 1,000 nodes, the rank correlation of pairs without a
/// link is 0.93; with none, 0.78; with six, 0.90, since paths are longer than what they stand for.
const LANDMARKS: usize = 4;
/// The weight of a path, relative to a link. A sixth of it gives 0.01 less; three times as much costs small networks 0.1.
const GUIDE: f32 = 0.3;
/// The weight of a link without a measurement, relative to a measured one; it is taken to be as long as the median link. Double: it
/// competes with measurements. Half: its nodes take long to find a place.
const UNMEASURED: f32 = 0.05;
/// Nodes with so many links are loose. With three, a node has a place in the plane.
const LOOSE: usize = 2;
/// In the plane, a network is rigid from about two links for each node on.
const RIGID: usize = 2;
/// A loose node is kept apart from this many others a link, each twice as far away in the list as the last. At half, leaves of a star
/// gather; double reaches around the longest list.
const SPREAD: usize = 8;
/// The weight of these pairs, relative to a link: enough to choose a side. At 0.2, they would compete with the links.
const APART: f32 = 0.02;
/// The shortest distance, relative to the median link: a round-trip time may be 0.
const SHORTEST: f32 = 1e-3;

/// The µs of distance 1: the median round-trip time.
pub(super) fn unit(graph: &Graph) -> f32 {
    let mut measured: Vec<u32> = graph.links.iter().filter_map(|link| link.rtt_us).collect();
    let middle = measured.len() / 2;
    if middle >= measured.len() {
        return 1.0;
    }
    let (_, median, _) = measured.select_nth_unstable(middle);
    (*median as f32).max(1.0)
}

/// The links as wanted distances, in their order; then pairs that spread loose nodes.
pub(super) fn problem(graph: &Graph, unit: f32) -> Problem {
    let mut highest = vec![f32::MAX; graph.nodes()];
    let links = graph.links.iter().map(|link| match link.rtt_us {
        Some(rtt_us) => {
            let wanted = (rtt_us as f32 / unit).max(SHORTEST);
            for end in [link.a, link.b] {
                let highest = &mut highest[end as usize];
                *highest = highest.min(wanted * HIGHEST);
            }
            Term::new(link.a, link.b, wanted)
        }
        None => Term::new(link.a, link.b, 1.0).times(UNMEASURED),
    });
    let mut terms: Vec<Term> = links.collect();
    spread(graph, &mut terms);
    for highest in &mut highest {
        if *highest == f32::MAX {
            *highest = 0.0;
        }
    }
    Problem {
        terms,
        highest,
        unit,
        unfold: UNFOLD,
        follow: Follow::Descend(FOLLOW),
    }
}

/// Nodes with one or two links have no place of their own: they could be anywhere on a circle. They are kept away from nodes that
/// share a neighbour with them, by the length of the path. So are all nodes of a network that has too few links to be rigid.
fn spread(graph: &Graph, terms: &mut Vec<Term>) {
    let all = graph.links.len() < RIGID * graph.nodes();
    let is_loose = |&node: &usize| all || graph.degree(node) <= LOOSE;
    for loose in (0..graph.nodes()).filter(is_loose) {
        for &(through, link) in graph.around(loose) {
            let others = graph.around(through as usize);
            let first = others.partition_point(|&(other, _)| (other as usize) <= loose);
            // The next ones in a circle, then ever farther: every loose node is kept from near and far ones.
            let jumps = (0..SPREAD).map(|power| (1 << power) - 1);
            for jump in jumps.take_while(|jump| jump + 1 < others.len()) {
                let (other, second) = others[(first + jump) % others.len()];
                if other as usize == loose || graph.is_link(loose, other) {
                    continue;
                }
                let length = terms[link as usize].wanted + terms[second as usize].wanted;
                let pair = Term::new(other, number(loose), length);
                terms.push(pair.times(APART).moving_b());
            }
        }
    }
}

/// Paths from landmarks to all nodes, for the first rounds: they tell nodes without a common neighbour how far apart they are.
pub(super) fn guides(graph: &Graph, problem: &Problem) -> Vec<Term> {
    let mut guides = Vec::new();
    let mut nearest = vec![f32::MAX; graph.nodes()];
    let mut landmark = 0;
    for _ in 0..LANDMARKS.min(graph.nodes()) {
        let lengths = paths(graph, &problem.terms, landmark);
        let mut farthest = (0.0, landmark);
        for (node, &length) in lengths.iter().enumerate() {
            nearest[node] = nearest[node].min(length);
            if nearest[node] > farthest.0 {
                farthest = (nearest[node], node);
            }
            if node != landmark && length < f32::MAX {
                let (a, b) = (number(landmark), number(node));
                guides.push(Term::new(a, b, length).times(GUIDE));
            }
        }
        landmark = farthest.1;
    }
    guides
}

/// The lengths of the shortest paths from one node (Dijkstra). `terms` belong to the links of the graph, in their order.
fn paths(graph: &Graph, terms: &[Term], from: usize) -> Vec<f32> {
    let mut lengths = vec![f32::MAX; graph.nodes()];
    lengths[from] = 0.0;
    // The bits of floats that are not negative have the order of the floats.
    let mut queue = BinaryHeap::from([(Reverse(0_u32), from)]);
    while let Some((Reverse(bits), node)) = queue.pop() {
        let length = f32::from_bits(bits);
        if length > lengths[node] {
            continue;
        }
        for &(other, link) in graph.around(node) {
            let longer = length + terms[link as usize].wanted;
            if longer < lengths[other as usize] {
                lengths[other as usize] = longer;
                queue.push((Reverse(longer.to_bits()), other as usize));
            }
        }
    }
    lengths
}
