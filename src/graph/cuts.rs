//! Bridges and articulation points: single links and nodes without which the network falls apart.
//!
//! A depth-first search from this node (Tarjan, 1972) finds all of them in linear time. What a bridge or an articulation point
//! holds to this node is a subtree of the search, and the nodes of a subtree are adjacent in the order of the search. So each
//! answer is a range, and all answers together take linear space; in a chain their lists would take n².

use std::ops::Range;

use super::Graph;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Cuts {
    /// The nodes connected with this one, in the order of the search.
    order: Vec<usize>,
    bridges: Vec<Bridge>,
    articulations: Vec<Articulation>,
}

/// A link without which some nodes have no path to this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Its index in the snapshot.
    pub link: usize,
    lost: Range<usize>,
}

/// A node without which others have no path to this node. For this node itself: without which the others fall into parts, and all
/// parts but the largest count as lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Articulation {
    /// Its index in the snapshot.
    pub node: usize,
    /// One range for each part that it holds.
    lost: Vec<Range<usize>>,
}

impl Cuts {
    /// Finds what this node (`me`) depends on.
    #[must_use]
    pub fn of(graph: &Graph, me: usize) -> Self {
        let tree = Tree::search(graph, me);
        let mut bridges = Vec::new();
        let mut parts: Vec<Vec<Range<usize>>> = vec![Vec::new(); tree.order.len()];
        for place in 1..tree.order.len() {
            let Visit {
                before, via, low, ..
            } = tree.visits[place];
            let below = place..place + tree.visits[place].size;
            if low > before {
                let lost = below.clone();
                bridges.push(Bridge { link: via, lost });
            }
            // Every child of the root is a part of its own.
            if low >= before {
                parts[before].push(below);
            }
        }
        if let Some(own) = parts.first_mut() {
            let largest = (0..own.len()).rev().max_by_key(|&part| own[part].len());
            largest.map(|largest| own.remove(largest));
        }
        let articulations = parts.into_iter().enumerate().filter_map(|(place, lost)| {
            let node = tree.order[place];
            (!lost.is_empty()).then_some(Articulation { node, lost })
        });
        let mut articulations: Vec<_> = articulations.collect();
        articulations.sort_by_key(|cut| (usize::MAX - cut.count(), cut.node));
        bridges.sort_by_key(|cut| (usize::MAX - cut.count(), cut.link));
        Self {
            order: tree.order,
            bridges,
            articulations,
        }
    }

    /// The bridges; those that hold most nodes come first.
    #[must_use]
    pub fn bridges(&self) -> &[Bridge] {
        &self.bridges
    }

    /// The articulation points; those that hold most nodes come first.
    #[must_use]
    pub fn articulations(&self) -> &[Articulation] {
        &self.articulations
    }

    /// The nodes that this node loses without the bridge.
    pub fn lost_with_bridge(&self, bridge: &Bridge) -> impl Iterator<Item = usize> + '_ {
        self.order[bridge.lost.clone()].iter().copied()
    }

    /// The nodes that this node loses without the articulation point, part after part.
    pub fn lost_with_node<'a>(&'a self, cut: &'a Articulation) -> impl Iterator<Item = usize> + 'a {
        let parts = cut.lost.iter().cloned();
        parts.flat_map(|part| self.order[part].iter().copied())
    }
}

impl Bridge {
    /// How many nodes are lost without it.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lost.len()
    }
}

impl Articulation {
    /// How many nodes are lost without it.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lost.iter().map(ExactSizeIterator::len).sum()
    }

    /// Into how many parts these nodes fall.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.lost.len()
    }
}

/// What the search notes of a node, by its place in the order of the search.
#[derive(Debug, Clone, Copy)]
struct Visit {
    /// The place from which the search came.
    before: usize,
    /// The link by which it came.
    via: usize,
    /// The earliest place to which a link leads from the subtree, without the link by which the search came.
    low: usize,
    /// The number of nodes in the subtree.
    size: usize,
    /// The next edge to follow.
    next: usize,
}

struct Tree {
    order: Vec<usize>,
    visits: Vec<Visit>,
}

impl Tree {
    /// The search goes without recursion: a chain of 10,000 nodes would be as many calls deep.
    fn search(graph: &Graph, root: usize) -> Self {
        const NO_LINK: usize = usize::MAX;
        let mut tree = Self {
            order: Vec::new(),
            visits: Vec::new(),
        };
        let mut places = vec![None; graph.nodes()];
        places[root] = Some(tree.enter(root, 0, NO_LINK));
        let mut at = 0;
        loop {
            let Visit {
                before,
                via,
                low,
                size,
                next,
            } = tree.visits[at];
            if let Some(edge) = graph.edges(tree.order[at]).get(next) {
                tree.visits[at].next += 1;
                match places[edge.to] {
                    // The same link, not the same node: two links between two nodes are no bridges.
                    _ if edge.link == via => {}
                    Some(place) => tree.visits[at].low = low.min(place),
                    None => {
                        let place = tree.enter(edge.to, at, edge.link);
                        places[edge.to] = Some(place);
                        at = place;
                    }
                }
            } else if at == 0 {
                return tree;
            } else {
                let parent = &mut tree.visits[before];
                parent.low = parent.low.min(low);
                parent.size += size;
                at = before;
            }
        }
    }

    fn enter(&mut self, node: usize, before: usize, via: usize) -> usize {
        let place = self.order.len();
        self.order.push(node);
        self.visits.push(Visit {
            before,
            via,
            low: place,
            size: 1,
            next: 0,
        });
        place
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::graph::example::{any_graph, reached, ring, snapshot};
    use crate::snapshot::Snapshot;

    fn cuts(view: &Snapshot) -> Cuts {
        Cuts::of(&Graph::of(view), view.me)
    }

    #[test]
    fn a_chain_breaks_at_every_link_and_inner_node() {
        let view = snapshot(4, &[(0, 1, 1), (2, 1, 1), (2, 3, 1)]);
        let cuts = cuts(&view);
        let bridges: Vec<_> = cuts
            .bridges()
            .iter()
            .map(|bridge| {
                (
                    bridge.link,
                    cuts.lost_with_bridge(bridge).collect::<Vec<_>>(),
                )
            })
            .collect();
        assert_eq!(bridges, [(0, vec![1, 2, 3]), (1, vec![2, 3]), (2, vec![3])]);
        let nodes: Vec<_> = cuts
            .articulations()
            .iter()
            .map(|cut| (cut.node, cut.count(), cut.parts()))
            .collect();
        assert_eq!(nodes, [(1, 2, 1), (2, 1, 1)]);
    }

    #[test]
    fn a_ring_holds_without_any_link_and_two_rings_at_one_node_do_not() {
        let ring = cuts(&snapshot(3, &[(0, 1, 1), (1, 2, 1), (2, 0, 1)]));
        assert!(ring.bridges().is_empty() && ring.articulations().is_empty());
        let view = snapshot(
            5,
            &[
                (0, 1, 1),
                (1, 2, 1),
                (2, 0, 1),
                (2, 3, 1),
                (3, 4, 1),
                (4, 2, 1),
            ],
        );
        let eight = cuts(&view);
        assert!(eight.bridges().is_empty());
        let [cut] = eight.articulations() else {
            panic!("{eight:?}");
        };
        assert_eq!(cut.node, 2);
        let lost: BTreeSet<_> = eight.lost_with_node(cut).collect();
        assert_eq!(lost, BTreeSet::from([3, 4]));
    }

    #[test]
    fn two_links_between_two_nodes_are_no_bridge() {
        let view = snapshot(2, &[(0, 1, 1), (1, 0, 1)]);
        assert!(cuts(&view).bridges().is_empty());
    }

    #[test]
    fn this_node_in_the_middle_holds_all_parts_but_the_largest() {
        let view = snapshot(5, &[(0, 1, 1), (0, 2, 1), (2, 3, 1), (0, 4, 1)]);
        let cuts = cuts(&view);
        let own = cuts
            .articulations()
            .iter()
            .find(|cut| cut.node == 0)
            .unwrap();
        assert_eq!((own.count(), own.parts()), (2, 2));
        let lost: BTreeSet<_> = cuts.lost_with_node(own).collect();
        assert_eq!(lost, BTreeSet::from([1, 4]));
    }

    #[test]
    fn a_chain_of_ten_thousand_is_neither_too_deep_nor_too_large() {
        let links: Vec<_> = (1..10_000).map(|node| (node - 1, node, 1)).collect();
        let chain = cuts(&snapshot(10_000, &links));
        assert_eq!(chain.bridges().len(), 9_999);
        assert_eq!(chain.bridges()[0].count(), 9_999);
        assert_eq!(chain.articulations().len(), 9_998);
        assert!(cuts(&ring(10_000, 8)).bridges().is_empty());
    }

    proptest! {
        #[test]
        fn what_is_lost_is_what_has_no_path_any_more(view in any_graph()) {
            let cuts = cuts(&view);
            let whole = reached(&view, 0, None, None);
            let count = |reached: &[bool]| reached.iter().filter(|one| **one).count();
            let all = |reached: Vec<bool>| -> BTreeSet<usize> {
                (0..view.nodes.len()).filter(|&node| whole[node] && !reached[node]).collect()
            };
            for link in 0..view.links.len() {
                let lost = all(reached(&view, 0, None, Some(link)));
                let found = cuts.bridges().iter().find(|bridge| bridge.link == link);
                let found: BTreeSet<_> = found.into_iter().flat_map(|cut| cuts.lost_with_bridge(cut)).collect();
                prop_assert_eq!(found, lost, "link {}", link);
            }
            for node in 1..view.nodes.len() {
                let mut lost = all(reached(&view, 0, Some(node), None));
                lost.remove(&node);
                let found = cuts.articulations().iter().find(|cut| cut.node == node);
                let found: BTreeSet<_> = found.into_iter().flat_map(|cut| cuts.lost_with_node(cut)).collect();
                prop_assert_eq!(found, lost, "node {}", node);
            }
            // Without this node: the largest part is what most nodes reach from one of them.
            let parts = (1..view.nodes.len()).filter(|&node| whole[node]);
            let largest = parts.map(|node| count(&reached(&view, node, Some(0), None))).max().unwrap_or(0);
            let own = cuts.articulations().iter().find(|cut| cut.node == 0);
            prop_assert_eq!(own.map_or(0, Articulation::count), count(&whole) - 1 - largest);
        }
    }
}
