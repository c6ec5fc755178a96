//! Shortest paths from one node, by the least sum of round-trip times (Dijkstra's algorithm).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Edge, Graph};

/// The shortest paths from one node to all others. Of equally short paths the one with fewer links is taken, then the one whose
/// nodes have the lower indices, so equal snapshots give equal paths.
#[derive(Debug, Clone)]
pub struct Paths {
    from: usize,
    /// The cost of the path to each node. `None`: no path leads there.
    cost_us: Vec<Option<u64>>,
    hops: Vec<u32>,
    /// Whether a link on the path to each node has no measurement yet.
    assumed: Vec<bool>,
    /// The node before each node on its path, and the link between them.
    before: Vec<Option<(usize, Edge)>>,
    /// The reached nodes, nearest first.
    order: Vec<usize>,
}

/// A node on a path, and the link that leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// The node.
    pub node: usize,
    /// The link from the node before it; `None` for the first node.
    pub link: Option<usize>,
    /// The cost of that link.
    pub rtt_us: u32,
    /// The link has no measurement yet, and its cost is [`Graph::assumed_us`].
    pub assumed: bool,
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its nodes, from its first to its last.
    pub hops: Vec<Hop>,
    /// The sum of its round-trip times.
    pub rtt_us: u64,
    /// A link on it has no measurement yet.
    pub assumed: bool,
}

impl Paths {
    /// Computes the paths from a node.
    #[must_use]
    pub fn of(graph: &Graph, from: usize) -> Self {
        let nodes = graph.nodes();
        let mut paths = Self {
            from,
            cost_us: vec![None; nodes],
            hops: vec![0; nodes],
            assumed: vec![false; nodes],
            before: vec![None; nodes],
            order: Vec::with_capacity(nodes),
        };
        // The best offer to each node so far. It keeps offers that are no better out of the heap.
        let mut best = vec![(u64::MAX, u32::MAX, usize::MAX); nodes];
        let mut open = BinaryHeap::from([Reverse(((0_u64, 0_u32, from), from))]);
        while let Some(Reverse(((cost, hops, _), node))) = open.pop() {
            if paths.cost_us[node].is_some() {
                continue;
            }
            paths.cost_us[node] = Some(cost);
            paths.hops[node] = hops;
            if let Some((before, edge)) = paths.before[node] {
                paths.assumed[node] = paths.assumed[before] || !edge.measured;
            }
            paths.order.push(node);
            for edge in graph.edges(node) {
                let offer = (cost + u64::from(edge.cost_us), hops + 1, node);
                if paths.cost_us[edge.to].is_none() && offer < best[edge.to] {
                    best[edge.to] = offer;
                    paths.before[edge.to] = Some((node, *edge));
                    open.push(Reverse((offer, edge.to)));
                }
            }
        }
        paths
    }

    /// The sum of round-trip times to a node; `None` if no path leads there.
    #[must_use]
    pub fn rtt_us(&self, to: usize) -> Option<u64> {
        self.cost_us[to]
    }

    /// The number of links on the path to a node; `None` if no path leads there.
    #[must_use]
    pub fn hops(&self, to: usize) -> Option<u32> {
        self.cost_us[to].map(|_| self.hops[to])
    }

    /// Whether a link on the path to a node has no measurement yet.
    #[must_use]
    pub fn is_assumed(&self, to: usize) -> bool {
        self.assumed[to]
    }

    /// The nodes that a path leads to, nearest first. The first is the node from which the paths lead.
    #[must_use]
    pub fn nearest_first(&self) -> &[usize] {
        &self.order
    }

    /// The second node on the path to each node, in one pass: through which neighbour each node is reached. `None` for the first
    /// node itself, and where no path leads.
    #[must_use]
    pub fn first_hops(&self) -> Vec<Option<usize>> {
        let mut first = vec![None; self.cost_us.len()];
        for &node in &self.order {
            if let Some((before, _)) = self.before[node] {
                first[node] = first[before].or(Some(node));
            }
        }
        first
    }

    /// The path to a node; `None` if there is none.
    #[must_use]
    pub fn route(&self, to: usize) -> Option<Route> {
        let rtt_us = self.cost_us[to]?;
        let mut hops = Vec::new();
        let mut at = to;
        while let Some((before, edge)) = self.before[at] {
            hops.push(Hop {
                node: at,
                link: Some(edge.link),
                rtt_us: edge.cost_us,
                assumed: !edge.measured,
            });
            at = before;
        }
        hops.push(Hop {
            node: self.from,
            link: None,
            rtt_us: 0,
            assumed: false,
        });
        hops.reverse();
        Some(Route {
            hops,
            rtt_us,
            assumed: self.assumed[to],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::example::{any_graph, cpu_time, ring, snapshot};

    fn nodes(route: &Route) -> Vec<usize> {
        route.hops.iter().map(|hop| hop.node).collect()
    }

    #[test]
    fn the_path_with_the_least_sum_is_taken_in_both_directions_of_a_link() {
        let view = snapshot(4, &[(0, 1, 100), (2, 1, 100), (0, 2, 250), (3, 2, 7)]);
        let paths = Paths::of(&Graph::of(&view), 0);
        let route = paths.route(3).unwrap();
        assert_eq!(nodes(&route), [0, 1, 2, 3]);
        assert_eq!((route.rtt_us, route.assumed), (207, false));
        let costs: Vec<_> = route.hops.iter().map(|hop| hop.rtt_us).collect();
        assert_eq!(costs, [0, 100, 100, 7]);
        let links: Vec<_> = route.hops.iter().map(|hop| hop.link).collect();
        assert_eq!(links, [None, Some(0), Some(1), Some(3)]);
        assert_eq!(paths.first_hops(), [None, Some(1), Some(1), Some(1)]);
    }

    #[test]
    fn of_equal_paths_the_one_with_fewer_links_is_taken_then_the_lower_index() {
        let view = snapshot(4, &[(0, 1, 1), (1, 3, 1), (0, 2, 1), (2, 3, 1), (0, 3, 2)]);
        let graph = Graph::of(&view);
        assert_eq!(nodes(&Paths::of(&graph, 0).route(3).unwrap()), [0, 3]);
        assert_eq!(nodes(&Paths::of(&graph, 1).route(2).unwrap()), [1, 0, 2]);
    }

    #[test]
    fn a_link_without_a_measurement_counts_as_the_slowest_and_is_marked() {
        let view = snapshot(4, &[(0, 1, 0), (0, 2, 300), (2, 1, 299), (1, 3, 5)]);
        let graph = Graph::of(&view);
        assert_eq!(graph.assumed_us(), 300);
        let route = Paths::of(&graph, 0).route(3).unwrap();
        assert_eq!(nodes(&route), [0, 1, 3]);
        assert_eq!((route.rtt_us, route.assumed), (305, true));
        assert_eq!(
            route.hops.iter().map(|hop| hop.assumed).collect::<Vec<_>>(),
            [false, true, false]
        );
        let unmeasured = Graph::of(&snapshot(3, &[(0, 1, 0), (1, 2, 0)]));
        assert_eq!(Paths::of(&unmeasured, 0).rtt_us(2), Some(2));
    }

    #[test]
    fn a_node_that_no_link_leads_to_has_no_path_and_this_node_a_path_without_links() {
        let view = snapshot(3, &[(0, 1, 5)]);
        let paths = Paths::of(&Graph::of(&view), 0);
        assert_eq!(paths.route(2), None);
        assert_eq!((paths.rtt_us(2), paths.hops(2)), (None, None));
        assert_eq!(nodes(&paths.route(0).unwrap()), [0]);
        assert_eq!(paths.nearest_first(), [0, 1]);
    }

    #[test]
    fn ten_thousand_nodes_take_no_time_to_speak_of() {
        let graph = Graph::of(&ring(10_000, 8));
        let begun = cpu_time();
        let paths = Paths::of(&graph, 0);
        assert_eq!(paths.nearest_first().len(), 10_000);
        // An optimised build takes 3 ms.
        let used = cpu_time() - begun;
        assert!(used.as_secs() < 2, "{used:?}");
    }

    proptest! {
        #[test]
        fn no_path_is_shorter_than_the_one_found(view in any_graph()) {
            let graph = Graph::of(&view);
            // Bellman and Ford: as many rounds as there are nodes.
            let mut cost = vec![None; view.nodes.len()];
            cost[0] = Some(0_u64);
            for _ in 0..view.nodes.len() {
                for link in &view.links {
                    let own = u64::from(link.rtt_us.unwrap_or(graph.assumed_us()));
                    for (from, to) in [(link.dialer, link.listener), (link.listener, link.dialer)] {
                        if let Some(so_far) = cost[from] {
                            let offer = so_far + own;
                            cost[to] = Some(cost[to].map_or(offer, |best: u64| best.min(offer)));
                        }
                    }
                }
            }
            let paths = Paths::of(&graph, 0);
            for (to, cost) in cost.into_iter().enumerate() {
                prop_assert_eq!(paths.rtt_us(to), cost);
                let Some(route) = paths.route(to) else { continue };
                let mut sum = 0;
                for pair in route.hops.windows(2) {
                    let link = &view.links[pair[1].link.unwrap()];
                    let ends = [link.dialer, link.listener];
                    prop_assert!(ends.contains(&pair[0].node) && ends.contains(&pair[1].node));
                    sum += u64::from(pair[1].rtt_us);
                }
                prop_assert_eq!(sum, route.rtt_us);
                prop_assert_eq!(route.assumed, route.hops.iter().any(|hop| hop.assumed));
                prop_assert_eq!(Some(u32::try_from(route.hops.len() - 1).unwrap()), paths.hops(to));
            }
        }
    }
}
