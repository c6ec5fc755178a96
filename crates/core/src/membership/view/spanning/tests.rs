use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::membership::testing::{self, listing};
use crate::record::Record;
use crate::wire::NodeId;

const NOW: Duration = Duration::from_secs(1);

fn id(number: u8) -> NodeId {
    NodeId([number.wrapping_mul(91); 32])
}

fn record(number: u8, links: &BTreeSet<(u8, u8)>) -> Arc<Record> {
    let ends = links
        .iter()
        .flat_map(|&(one, other)| [(one, other), (other, one)]);
    let peers = ends
        .filter(|(one, _)| *one == number)
        .map(|(_, other)| other);
    testing::record(listing(id(number), 1, peers.map(id)))
}

/// The view of a node in a network with those links.
fn view(of: u8, nodes: u8, links: &BTreeSet<(u8, u8)>) -> View {
    let mut view = View::new(record(of, links));
    // Each node hears of the others in an order of its own.
    for number in (0..nodes)
        .map(|number| (number + of) % nodes)
        .filter(|number| *number != of)
    {
        view.accept(record(number, links), NOW, None, false);
    }
    let live: Vec<Index> = view.mutual_links(view.me()).collect();
    view.derive_up(NOW, &live);
    view
}

proptest! {
    /// What is sent along the tree by any node reaches every node, and each of them once.
    #[test]
    fn the_tree_reaches_every_node_once(
        nodes in 1_u8..20,
        more in prop::collection::btree_set((0_u8..20, 0_u8..20), 0..60),
    ) {
        // A chain keeps the network in one piece.
        let chain = (1..nodes).map(|node| (node - 1, node));
        let more = more.into_iter().filter(|(one, other)| one < other && *other < nodes);
        let links: BTreeSet<(u8, u8)> = chain.chain(more).collect();
        let mut edges = BTreeSet::new();
        for of in 0..nodes {
            let view = view(of, nodes, &links);
            for peer in view.tree_neighbors() {
                edges.insert((id(of), view.record_at(peer).id()));
            }
        }
        let both_ways = edges.iter().all(|&(one, other)| edges.contains(&(other, one)));
        prop_assert!(both_ways, "both ends agree on {edges:?}");
        prop_assert_eq!(edges.len(), 2 * (usize::from(nodes) - 1));
        let mut reached = BTreeSet::from([id(0)]);
        for _ in 0..nodes {
            let next = edges.iter().filter(|(one, _)| reached.contains(one));
            let next: Vec<NodeId> = next.map(|(_, other)| *other).collect();
            reached.extend(next);
        }
        prop_assert_eq!(reached.len(), usize::from(nodes));
    }
}
