//! Detours: pairs of nodes for which two links are faster than the direct way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Edge, Graph};

/// The least that a detour saves, in µs. Round-trip times on one machine differ by a tenth of it by chance. At half, a busy machine
/// shows detours that are noise; at double, detours within a city are hidden.
const LEAST_SAVED_US: u32 = 500;
/// The least that a detour saves, as a part of the direct round-trip time. At half, most long links have a detour that gains nothing
/// that a person notices; at double, real ones (10 of 60 ms) are hidden.
const LEAST_SAVED_PERCENT: u32 = 10;
/// Nodes with more links are no middles of unlinked pairs, since a node has as many pairs as the square of its links. At the limit
/// and 10,000 such nodes the search takes 40 million steps. Of the links that a node chooses it has 16 by default.
const MOST_LINKS_OF_A_MIDDLE: usize = 64;

/// A pair of nodes, and a node through which they are nearer to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Detour {
    /// One node of the pair, that with the lower index.
    pub from: usize,
    /// The other node of the pair.
    pub to: usize,
    /// The node between them.
    pub via: usize,
    /// The round-trip time of their link, or the predicted one if they have none.
    pub direct_us: u32,
    /// The sum of the two round-trip times.
    pub detour_us: u32,
    /// Whether the pair has a link.
    pub linked: bool,
}

impl Detour {
    /// How much the detour saves.
    #[must_use]
    pub fn saved_us(&self) -> u32 {
        self.direct_us.saturating_sub(self.detour_us)
    }

    fn counts(&self) -> bool {
        let percent = u64::from(self.direct_us) * u64::from(LEAST_SAVED_PERCENT);
        let saved = self.saved_us();
        saved >= LEAST_SAVED_US && u64::from(saved) * 100 >= percent
    }
}

/// The detours that save most, at most `most`, the worst first. `predicted` is the round-trip time that a pair without a link would
/// probably have; `None` if nothing is known. Only measured links count.
#[must_use]
pub fn detours(
    graph: &Graph,
    predicted: impl Fn(usize, usize) -> Option<u32>,
    most: usize,
) -> Vec<Detour> {
    let mut worst = Worst {
        most,
        kept: BinaryHeap::new(),
    };
    linked(graph, &mut worst);
    unlinked(graph, predicted, &mut worst);
    worst.sorted()
}

fn measured(graph: &Graph, node: usize) -> impl Iterator<Item = &Edge> {
    graph.edges(node).iter().filter(|edge| edge.measured)
}

/// Pairs with a link. The neighbours of the end with more links are marked, and those of the other end are looked up. This takes
/// m^1.5 steps at most for m links, even for a star.
fn linked(graph: &Graph, worst: &mut Worst) {
    let mut near: Vec<Option<(u32, usize)>> = vec![None; graph.nodes()];
    for node in 0..graph.nodes() {
        mark(graph, node, &mut near);
        for edge in measured(graph, node) {
            let rank = |node| (graph.degree(node), node);
            // Of two links between the same nodes the faster one counts.
            if rank(edge.to) >= rank(node) || near[edge.to] != Some((edge.cost_us, edge.link)) {
                continue;
            }
            let offers = measured(graph, edge.to).filter_map(|second| {
                let (first_us, _) = near[second.to]?;
                Some((first_us.saturating_add(second.cost_us), second.to))
            });
            // Through `node` itself the way is the link.
            let best = offers.filter(|&(_, via)| via != edge.to).min();
            if let Some((detour_us, via)) = best {
                worst.offer(Detour {
                    from: node.min(edge.to),
                    to: node.max(edge.to),
                    via,
                    direct_us: edge.cost_us,
                    detour_us,
                    linked: true,
                });
            }
        }
        unmark(graph, node, &mut near);
    }
}

/// Pairs without a link that have a common neighbour.
fn unlinked(graph: &Graph, predicted: impl Fn(usize, usize) -> Option<u32>, worst: &mut Worst) {
    let mut best: Vec<Option<(u32, usize)>> = vec![None; graph.nodes()];
    let mut is_near = vec![false; graph.nodes()];
    let mut touched = Vec::new();
    for node in 0..graph.nodes() {
        for edge in graph.edges(node) {
            is_near[edge.to] = true;
        }
        for first in measured(graph, node) {
            if graph.degree(first.to) > MOST_LINKS_OF_A_MIDDLE {
                continue;
            }
            for second in measured(graph, first.to) {
                if second.to <= node || is_near[second.to] {
                    continue;
                }
                let offer = (first.cost_us.saturating_add(second.cost_us), first.to);
                match &mut best[second.to] {
                    Some(best) => *best = offer.min(*best),
                    none => {
                        *none = Some(offer);
                        touched.push(second.to);
                    }
                }
            }
        }
        for to in touched.drain(..) {
            if let Some((detour_us, via)) = best[to].take()
                && let Some(direct_us) = predicted(node, to)
            {
                worst.offer(Detour {
                    from: node,
                    to,
                    via,
                    direct_us,
                    detour_us,
                    linked: false,
                });
            }
        }
        for edge in graph.edges(node) {
            is_near[edge.to] = false;
        }
    }
}

/// Notes the fastest link to each neighbour.
fn mark(graph: &Graph, node: usize, near: &mut [Option<(u32, usize)>]) {
    for edge in measured(graph, node) {
        let offer = (edge.cost_us, edge.link);
        near[edge.to] = Some(near[edge.to].map_or(offer, |best| best.min(offer)));
    }
}

fn unmark(graph: &Graph, node: usize, near: &mut [Option<(u32, usize)>]) {
    for edge in graph.edges(node) {
        near[edge.to] = None;
    }
}

/// What a detour is ordered by: what it saves, then the pair.
type Rank = (u32, Reverse<(usize, usize)>);

/// Keeps the detours that save most.
struct Worst {
    most: usize,
    kept: BinaryHeap<Reverse<(Rank, Detour)>>,
}

impl Worst {
    fn offer(&mut self, detour: Detour) {
        if !detour.counts() {
            return;
        }
        let rank = (detour.saved_us(), Reverse((detour.from, detour.to)));
        self.kept.push(Reverse((rank, detour)));
        if self.kept.len() > self.most {
            self.kept.pop();
        }
    }

    fn sorted(self) -> Vec<Detour> {
        // Ascending order of `Reverse` is the worst first.
        let kept = self.kept.into_sorted_vec().into_iter();
        kept.map(|Reverse((_, detour))| detour).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::example::{any_graph, cpu_time, ring, snapshot};

    fn of(graph: &Graph, most: usize) -> Vec<(usize, usize, usize, u32, u32)> {
        let found = detours(graph, |_, _| None, most);
        let found = found.iter();
        found
            .map(|one| (one.from, one.to, one.via, one.direct_us, one.detour_us))
            .collect()
    }

    #[test]
    fn the_worst_come_first_and_the_number_is_bounded() {
        let view = snapshot(
            4,
            &[
                (0, 1, 10_000),
                (1, 2, 10_000),
                (2, 0, 50_000),
                (3, 0, 1000),
                (3, 1, 90_000),
            ],
        );
        let graph = Graph::of(&view);
        let all = [(1, 3, 0, 90_000, 11_000), (0, 2, 1, 50_000, 20_000)];
        assert_eq!(of(&graph, 9), all);
        assert_eq!(of(&graph, 1), all[..1]);
        assert_eq!(of(&graph, 0), []);
    }

    #[test]
    fn what_saves_little_is_noise_and_an_unmeasured_link_is_no_way() {
        let tenth = snapshot(3, &[(0, 1, 50_000), (1, 2, 45_001), (0, 2, 100_000)]);
        assert_eq!(of(&Graph::of(&tenth), 9), []);
        let little = snapshot(3, &[(0, 1, 300), (1, 2, 301), (0, 2, 1100)]);
        assert_eq!(of(&Graph::of(&little), 9), []);
        let unmeasured = snapshot(3, &[(0, 1, 0), (1, 2, 1), (0, 2, 100_000)]);
        assert_eq!(of(&Graph::of(&unmeasured), 9), []);
        let enough = snapshot(3, &[(0, 1, 300), (1, 2, 300), (0, 2, 1100)]);
        assert_eq!(of(&Graph::of(&enough), 9), [(0, 2, 1, 1100, 600)]);
    }

    #[test]
    fn a_pair_without_a_link_is_compared_with_its_prediction() {
        let view = snapshot(3, &[(0, 1, 10_000), (1, 2, 10_000)]);
        let graph = Graph::of(&view);
        let predicted = |from, to| (from == 0 && to == 2).then_some(60_000);
        let expected = Detour {
            from: 0,
            to: 2,
            via: 1,
            direct_us: 60_000,
            detour_us: 20_000,
            linked: false,
        };
        assert_eq!(detours(&graph, predicted, 9), [expected]);
        assert_eq!(detours(&graph, |_, _| Some(20_100), 9), []);
    }

    #[test]
    fn ten_thousand_nodes_in_a_ring_or_a_star_take_no_time_to_speak_of() {
        let begun = cpu_time();
        let ring = Graph::of(&ring(10_000, 8));
        assert_eq!(detours(&ring, |_, _| Some(1_000_000), 50).len(), 50);
        let star: Vec<_> = (1..10_000).map(|node| (0, node, 1000)).collect();
        let star = Graph::of(&snapshot(10_000, &star));
        assert_eq!(detours(&star, |_, _| Some(1_000_000), 50).len(), 0);
        // An optimised build takes 25 ms.
        let used = cpu_time() - begun;
        assert!(used.as_secs() < 5, "{used:?}");
    }

    proptest! {
        #[test]
        fn the_best_middle_of_every_pair_is_found(view in any_graph(), guess in 0_u32..400_000) {
            let graph = Graph::of(&view);
            let nodes = view.nodes.len();
            let between = |a: usize, b: usize| {
                let links = view.links.iter().filter(move |link| {
                    a != b && [(a, b), (b, a)].contains(&(link.dialer, link.listener))
                });
                (links.clone().count() > 0, links.filter_map(|link| link.rtt_us).min())
            };
            let mut expected = Vec::new();
            for from in 0..nodes {
                for to in from + 1..nodes {
                    let (linked, own) = between(from, to);
                    let direct_us = if linked { own } else { Some(guess) };
                    let ways = (0..nodes).filter_map(|via| {
                        Some((between(from, via).1? + between(via, to).1?, via))
                    });
                    let (Some(direct_us), Some((detour_us, _))) = (direct_us, ways.min()) else { continue };
                    if detour_us + LEAST_SAVED_US <= direct_us && detour_us * 10 <= direct_us * 9 {
                        expected.push((Reverse(direct_us - detour_us), from, to, direct_us, detour_us, linked));
                    }
                }
            }
            expected.sort_unstable();
            let found = detours(&graph, |_, _| Some(guess), 1000);
            let found = found.iter().map(|one| {
                (Reverse(one.saved_us()), one.from, one.to, one.direct_us, one.detour_us, one.linked)
            });
            prop_assert_eq!(found.collect::<Vec<_>>(), expected);
        }
    }
}
