//! What only a view of the whole graph can tell: shortest paths, what falls apart, detours, who slows links down, and figures.
//!
//! Everything here is a pure function of a [`Snapshot`]. Links count in both directions, since a connection carries both. Answers
//! are bounded, and computed in about linear time, so that a network of 10,000 nodes takes a fraction of a second.
//!
//! - [`Graph`]: the links by node, built once and shared by all questions.
//! - [`Paths`]: the shortest paths from one node, by the least sum of round-trip times.
//! - [`Cuts`]: bridges and articulation points, and the nodes that each of them holds to this node.
//! - [`detours()`]: pairs of nodes for which two links are faster than the direct one.
//! - [`culprits()`]: one cause for many links that became slow.
//! - [`Figures`]: quantiles of round-trip times, degrees and the diameter.

use crate::snapshot::{LinkView, Snapshot};

mod culprits;
mod cuts;
mod detours;
#[cfg(test)]
pub(crate) mod example;
mod figures;
mod paths;

pub use culprits::{Culprit, Suspect, culprits};
pub use cuts::{Articulation, Bridge, Cuts};
pub use detours::{Detour, detours};
pub use figures::{Diameter, Figures, Quantiles};
pub use paths::{Hop, Paths, Route};

/// One end's view of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edge {
    /// The node at the other end.
    pub(crate) to: usize,
    /// The index of the link in the snapshot.
    pub(crate) link: usize,
    /// Its round-trip time; see [`Graph::assumed_us`] for a link without one.
    pub(crate) cost_us: u32,
    /// Whether the round-trip time was measured.
    pub(crate) measured: bool,
}

/// The links of a snapshot, by node.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The edges of all nodes in one list: those of one node are adjacent, in the order of their links.
    edges: Vec<Edge>,
    /// Where the edges of each node begin, and the total.
    starts: Vec<usize>,
    assumed_us: u32,
}

impl Graph {
    /// The graph of a snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let assumed_us = assumed_us(&snapshot.links);
        // A link of a node with itself joins nothing.
        let links = || {
            let links = snapshot.links.iter().enumerate();
            links.filter(|(_, link)| link.dialer != link.listener)
        };
        let mut starts = vec![0; snapshot.nodes.len() + 1];
        for (_, link) in links() {
            starts[link.dialer + 1] += 1;
            starts[link.listener + 1] += 1;
        }
        for node in 1..starts.len() {
            starts[node] += starts[node - 1];
        }
        let nothing = Edge {
            to: 0,
            link: 0,
            cost_us: 0,
            measured: false,
        };
        let mut next = starts.clone();
        let mut edges = vec![nothing; starts[snapshot.nodes.len()]];
        for (index, link) in links() {
            for (node, to) in [(link.dialer, link.listener), (link.listener, link.dialer)] {
                edges[next[node]] = Edge {
                    to,
                    link: index,
                    cost_us: link.rtt_us.unwrap_or(assumed_us),
                    measured: link.rtt_us.is_some(),
                };
                next[node] += 1;
            }
        }
        Self {
            edges,
            starts,
            assumed_us,
        }
    }

    /// The number of nodes.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.starts.len() - 1
    }

    /// The number of links of a node.
    #[must_use]
    pub fn degree(&self, node: usize) -> usize {
        self.edges(node).len()
    }

    /// The round-trip time that a link without one is assumed to have: the largest measured one, so that a path of measured links
    /// is preferred. It is 1 µs if no link was measured; then a path costs as much as it has links.
    #[must_use]
    pub fn assumed_us(&self) -> u32 {
        self.assumed_us
    }

    pub(crate) fn edges(&self, node: usize) -> &[Edge] {
        &self.edges[self.starts[node]..self.starts[node + 1]]
    }
}

fn assumed_us(links: &[LinkView]) -> u32 {
    let measured = links.iter().filter_map(|link| link.rtt_us);
    measured.max().unwrap_or(1).max(1)
}
