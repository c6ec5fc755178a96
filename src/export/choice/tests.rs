//! Tests of the choice on hand-made and on random networks.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::export::example;

/// A network of that many nodes, whose first node is this one.
fn network(nodes: usize, links: &[(usize, usize, u32)]) -> Snapshot {
    let mut snapshot = example::alone();
    snapshot.nodes = (0..nodes)
        .map(|node| {
            let mut view = example::node(0, "x", 1);
            view.id.0[..8].copy_from_slice(&node.to_be_bytes());
            view
        })
        .collect();
    let mut sorted = links.to_vec();
    sorted.sort_unstable();
    snapshot.links = sorted
        .into_iter()
        .map(|(dialer, listener, rtt_us)| example::link(dialer, listener, rtt_us))
        .collect();
    snapshot
}

/// Each node has links to the nodes that follow it by these steps.
fn ring(nodes: usize, steps: &[usize]) -> Snapshot {
    let step = |node: usize| {
        steps
            .iter()
            .map(move |step| (node, (node + step) % nodes, 5000))
    };
    network(nodes, &(0..nodes).flat_map(step).collect::<Vec<_>>())
}

/// The ends of the links that are drawn, from left to right.
fn drawn(snapshot: &Snapshot, choice: &Choice) -> BTreeSet<(usize, usize)> {
    let ends = |drawn: &Drawn| {
        let LinkView {
            dialer, listener, ..
        } = snapshot.links[drawn.link];
        if drawn.leftward {
            (listener, dialer)
        } else {
            (dialer, listener)
        }
    };
    choice.links.iter().map(ends).collect()
}

#[test]
fn auto_draws_a_small_network_whole_and_a_tree_of_a_larger_one() {
    for snapshot in [
        ring(32, &[1, 3, 5, 7, 9]),
        network(500, &[]),
        network(1, &[]),
    ] {
        let auto = Choice::of(&snapshot, Shows::Auto);
        assert_eq!(auto.nodes, (0..snapshot.nodes.len()).collect::<Vec<_>>());
        assert_eq!(auto.links.len(), snapshot.links.len());
        assert_eq!(auto, Choice::of(&snapshot, Shows::All));
    }
    for snapshot in [ring(33, &[1, 3]), ring(32, &[1, 3, 5, 7, 9, 11])] {
        let auto = Choice::of(&snapshot, Shows::Auto);
        assert_eq!(auto.rule, Rule::Tree);
        assert_eq!(auto, Choice::of(&snapshot, Shows::Tree));
    }
    let auto = Choice::of(&ring(101, &[1, 3]), Shows::Auto);
    assert_eq!(auto.nodes.len(), LEGIBLE_NODES);
}

#[test]
fn all_draws_every_node_and_link_in_the_order_of_the_snapshot() {
    let snapshot = ring(100, &[1, 5, 7, 11, 13, 17]);
    let all = Choice::of(&snapshot, Shows::All);
    assert_eq!(all.nodes, (0..100).collect::<Vec<_>>());
    let links: Vec<usize> = all.links.iter().map(|drawn| drawn.link).collect();
    assert_eq!(links, (0..600).collect::<Vec<_>>());
    assert!(all.links.iter().all(|drawn| !drawn.leftward));
}

#[test]
fn mine_is_this_node_its_neighbours_and_the_links_between_them() {
    let links = [
        (0, 1, 10),
        (2, 0, 10),
        (1, 2, 10),
        (2, 3, 10),
        (3, 4, 10),
        (1, 3, 10),
    ];
    let snapshot = network(6, &links);
    let mine = Choice::of(&snapshot, Shows::Mine);
    assert_eq!(mine.nodes, [0, 1, 2]);
    assert_eq!(drawn(&snapshot, &mine), [(0, 1), (1, 2), (2, 0)].into());
    assert_eq!(Choice::of(&network(3, &[]), Shows::Mine).nodes, [0]);
}

#[test]
fn a_tree_follows_the_round_trip_times() {
    // The way to 2 through 1 takes 30 ms, the direct link 100 ms. 3 has no measurement but on the way through 4. 5 is alone.
    let mut snapshot = network(
        6,
        &[
            (0, 1, 15_000),
            (2, 1, 15_000),
            (0, 2, 100_000),
            (0, 3, 1),
            (4, 0, 200_000),
            (4, 3, 200_000),
        ],
    );
    let unmeasured = snapshot.links.iter_mut().find(|link| link.listener == 3);
    unmeasured.expect("a link").rtt_us = None;
    let tree = Choice::of(&snapshot, Shows::Tree);
    assert_eq!(
        tree.nodes.iter().collect::<BTreeSet<_>>(),
        (0..6).collect::<Vec<_>>().iter().collect()
    );
    // The branches of 1 and 4 have one leaf each, so one of them stands on the left.
    assert_eq!(
        drawn(&snapshot, &tree),
        [(0, 1), (1, 2), (3, 4), (4, 0)].into()
    );
}

#[test]
fn noise_and_ties_do_not_change_a_tree() {
    let with_rtts = |rtts: [u32; 4]| {
        let [a, b, c, d] = rtts;
        network(4, &[(0, 1, a), (0, 2, b), (1, 3, c), (2, 3, d)])
    };
    let before = Choice::of(&with_rtts([300, 310, 320, 330]), Shows::Tree);
    for rtts in [[900, 20, 900, 20], [20, 900, 20, 900], [1, 1, 999, 1000]] {
        assert_eq!(Choice::of(&with_rtts(rtts), Shows::Tree), before);
    }
    // Two links of 16 ms against one of 32 ms.
    let direct = network(3, &[(0, 1, 16_000), (1, 2, 16_000), (0, 2, 31_000)]);
    let tree = Choice::of(&direct, Shows::Tree);
    assert!(tree.links.iter().all(|drawn| drawn.link != 2));
}

#[test]
fn the_nearest_nodes_are_drawn_of_a_network_that_is_too_large() {
    let links: Vec<_> = (1..10_000).map(|node| (node - 1, node, 5000)).collect();
    let chain = network(10_000, &links);
    let all = Choice::of(&chain, Shows::All);
    assert_eq!(all.nodes, (0..=MAX_LINKS).collect::<Vec<_>>());
    assert_eq!(all.links.len(), MAX_LINKS);
    for (shows, most) in [(Shows::Tree, MAX_NODES), (Shows::Auto, LEGIBLE_NODES)] {
        let tree = Choice::of(&chain, shows);
        assert_eq!(tree.nodes, (0..most).collect::<Vec<_>>());
        assert_eq!(tree.links.len(), most - 1);
    }
    let unlinked = Choice::of(&network(10_000, &[]), Shows::All);
    assert_eq!(unlinked.nodes, (0..MAX_NODES).collect::<Vec<_>>());
}

#[test]
fn a_tree_has_half_of_its_leaves_on_each_side() {
    let links: Vec<_> = (1..100).map(|node| (node, 0, 10)).collect();
    let snapshot = network(100, &links);
    let tree = Choice::of(&snapshot, Shows::Tree);
    // Here every link leads from the node to its predecessor, so those on the right point to the left.
    let leftward = tree.links.iter().filter(|drawn| drawn.leftward).count();
    assert_eq!(leftward, 50);
}

/// Any graph of up to 40 nodes. Its links are sorted, and no two join the same nodes.
fn graphs() -> impl Strategy<Value = Snapshot> {
    let link = (0..40_usize, 0..40_usize, 0..40_000_u32);
    (1..40_usize, proptest::collection::vec(link, 0..120)).prop_map(|(nodes, links)| {
        let mut pairs = BTreeSet::new();
        let links = links
            .into_iter()
            .filter(|&(a, b, _)| a != b && a.max(b) < nodes && pairs.insert((a.min(b), a.max(b))));
        network(nodes, &links.collect::<Vec<_>>())
    })
}

proptest! {
    #[test]
    fn every_reachable_node_is_in_the_tree_once_with_its_link(
        mut snapshot in graphs(),
        me in any::<prop::sample::Index>(),
    ) {
        snapshot.me = me.index(snapshot.nodes.len());
        let tree = Choice::of(&snapshot, Shows::Tree);
        let nodes: BTreeSet<usize> = tree.nodes.iter().copied().collect();
        prop_assert_eq!(nodes.len(), tree.nodes.len());
        prop_assert_eq!(nodes.len(), snapshot.nodes.len());
        let mut reachable = BTreeSet::from([snapshot.me]);
        for _ in 0..snapshot.nodes.len() {
            for link in &snapshot.links {
                if reachable.contains(&link.dialer) || reachable.contains(&link.listener) {
                    reachable.extend([link.dialer, link.listener]);
                }
            }
        }
        // As many links as reachable nodes but one, each to a new node: a tree.
        prop_assert_eq!(tree.links.len(), reachable.len() - 1);
        let mut joined = BTreeSet::from([snapshot.me]);
        for drawn in &tree.links {
            let link = &snapshot.links[drawn.link];
            let known = [link.dialer, link.listener].map(|end| joined.contains(&end));
            prop_assert!(known[0] != known[1]);
            joined.extend([link.dialer, link.listener]);
        }
        prop_assert_eq!(joined, reachable);
    }
}
