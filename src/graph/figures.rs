//! Figures of a whole network: quantiles of round-trip times, degrees and the diameter.

use super::{Graph, Paths};
use crate::snapshot::Snapshot;

/// Up to this number of nodes the diameter is exact: the paths from every node take 2 ms together. At double they take four times as
/// long, for each answer; at half, a network of 100 nodes gets an estimate.
const EXACT_NODES: usize = 128;
/// How often the estimate goes on from the farthest node found. The first two rounds find most of it; further ones rarely gain.
const SWEEPS: usize = 4;

/// The quantiles of a set of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantiles {
    /// The least.
    pub least: u32,
    /// The median.
    pub half: u32,
    /// 90 % are not greater.
    pub nine_tenths: u32,
    /// 99 % are not greater.
    pub most_but_one_percent: u32,
    /// The greatest.
    pub greatest: u32,
}

impl Quantiles {
    /// The quantiles of the figures by nearest rank; `None` if there are none.
    #[must_use]
    pub fn of(mut figures: Vec<u32>) -> Option<Self> {
        figures.sort_unstable();
        let (least, greatest) = (*figures.first()?, *figures.last()?);
        let at = |percent: usize| figures[(figures.len() * percent).div_ceil(100).max(1) - 1];
        Some(Self {
            least,
            half: at(50),
            nine_tenths: at(90),
            most_but_one_percent: at(99),
            greatest,
        })
    }
}

/// The two nodes that are farthest from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Diameter {
    /// One of them.
    pub from: usize,
    /// The other one.
    pub to: usize,
    /// The sum of round-trip times on the shortest path between them.
    pub rtt_us: u64,
    /// Whether no pair is farther apart. Otherwise this is the farthest pair of those that were tried.
    pub exact: bool,
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// The round-trip times of the measured links, in µs.
    pub rtt_us: Option<Quantiles>,
    /// How many links have no measurement yet.
    pub unmeasured: usize,
    /// How many links each node has that is connected with this one.
    pub degree: Option<Quantiles>,
    /// Among the nodes that are connected with this one. `None` if there is no other.
    pub diameter: Option<Diameter>,
}

impl Figures {
    /// Computes the figures. `paths` are those from this node.
    #[must_use]
    pub fn of(snapshot: &Snapshot, graph: &Graph, paths: &Paths) -> Self {
        let rtts: Vec<u32> = snapshot
            .links
            .iter()
            .filter_map(|link| link.rtt_us)
            .collect();
        let connected = paths.nearest_first();
        let degree = |&node: &usize| u32::try_from(graph.degree(node)).unwrap_or(u32::MAX);
        Self {
            unmeasured: snapshot.links.len() - rtts.len(),
            rtt_us: Quantiles::of(rtts),
            degree: Quantiles::of(connected.iter().map(degree).collect()),
            diameter: diameter(graph, paths),
        }
    }
}

fn diameter(graph: &Graph, paths: &Paths) -> Option<Diameter> {
    let connected = paths.nearest_first();
    let exact = connected.len() <= EXACT_NODES;
    let farthest = |paths: &Paths| -> Option<Diameter> {
        let [from, .., to] = *paths.nearest_first() else {
            return None;
        };
        let rtt_us = paths.rtt_us(to)?;
        Some(Diameter {
            from,
            to,
            rtt_us,
            exact,
        })
    };
    let mut best = farthest(paths)?;
    if exact {
        for &node in &connected[1..] {
            let found = farthest(&Paths::of(graph, node))?;
            if found.rtt_us > best.rtt_us {
                best = found;
            }
        }
        return Some(best);
    }
    for _ in 0..SWEEPS {
        let found = farthest(&Paths::of(graph, best.to))?;
        if found.rtt_us <= best.rtt_us {
            break;
        }
        best = found;
    }
    Some(best)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::example::{any_graph, ring, snapshot};

    fn figures(view: &Snapshot) -> Figures {
        let graph = Graph::of(view);
        let paths = Paths::of(&graph, view.me);
        Figures::of(view, &graph, &paths)
    }

    #[test]
    fn a_chain_has_its_ends_farthest_apart() {
        let view = snapshot(5, &[(1, 0, 30), (0, 2, 10), (3, 2, 20), (3, 1, 0)]);
        let figures = figures(&view);
        let rtt = figures.rtt_us.unwrap();
        assert_eq!((rtt.least, rtt.half, rtt.greatest), (10, 20, 30));
        assert_eq!(figures.unmeasured, 1);
        let diameter = figures.diameter.unwrap();
        assert_eq!((diameter.rtt_us, diameter.exact), (40, true));
        let degree = figures.degree.unwrap();
        assert_eq!((degree.least, degree.greatest), (2, 2));
    }

    #[test]
    fn a_node_alone_has_no_figures() {
        let alone = figures(&snapshot(1, &[]));
        assert_eq!((alone.rtt_us, alone.diameter), (None, None));
        assert_eq!(alone.degree.unwrap().greatest, 0);
    }

    #[test]
    fn quantiles_are_of_nearest_rank() {
        let of = Quantiles::of((1..=200).rev().collect()).unwrap();
        let all = [
            of.least,
            of.half,
            of.nine_tenths,
            of.most_but_one_percent,
            of.greatest,
        ];
        assert_eq!(all, [1, 100, 180, 198, 200]);
    }

    #[test]
    fn a_large_network_gets_an_estimate() {
        let diameter = figures(&ring(10_000, 8)).diameter.unwrap();
        assert!(!diameter.exact && diameter.rtt_us > 0);
    }

    proptest! {
        #[test]
        fn no_connected_pair_is_farther_apart_than_the_diameter(view in any_graph()) {
            let graph = Graph::of(&view);
            let connected = Paths::of(&graph, 0).nearest_first().to_vec();
            let paths = connected.iter().flat_map(|&from| {
                let paths = Paths::of(&graph, from);
                (0..view.nodes.len()).filter_map(move |to| paths.rtt_us(to))
            });
            let expected = paths.max().filter(|_| connected.len() > 1);
            prop_assert_eq!(figures(&view).diameter.map(|one| one.rtt_us), expected);
        }
    }
}
