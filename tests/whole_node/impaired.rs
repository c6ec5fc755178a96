//! Nodes that impair their own packets, as `network.controller.impair` says. The network between them takes 2 ms each way and
//! does nothing else.

use std::time::Duration;

use area_net::snapshot::{LinkView, NodeState, Snapshot};

use crate::network::{NAMES, Network, Start, addr};

/// A node with these targets that impairs its own packets.
fn impaired(targets: &[&'static str], impair: &str) -> Start {
    Start {
        targets: targets.to_vec(),
        impair: impair.to_owned(),
        ..Start::default()
    }
}

/// The link between two nodes as one of them sees it.
fn link(network: &mut Network, viewer: &str, peer: &str) -> LinkView {
    let snapshot = network.snapshot(viewer);
    let place = |label: &str| {
        let mut nodes = snapshot.nodes.iter();
        nodes.position(|node| &*node.label == label).unwrap()
    };
    let ends = [place(viewer), place(peer)];
    let mut links = snapshot.links.iter();
    links
        .find(|link| ends.contains(&link.dialer) && ends.contains(&link.listener))
        .unwrap()
        .clone()
}

#[test]
fn a_delay_of_one_end_is_in_the_round_trip_of_both() {
    let mut network = Network::new(201);
    network.start("alice", impaired(&[], "delay 40ms"));
    network.start_with_targets("bob", &["alice"]);
    network.until_exact(2000);
    network.pass(20_000);
    for (viewer, peer) in [("alice", "bob"), ("bob", "alice")] {
        let link = link(&mut network, viewer, peer);
        let rtt_us = link.rtt_us.unwrap();
        assert!((44_000..=48_000).contains(&rtt_us), "{viewer}: {rtt_us}");
        assert_eq!(link.loss_permille, 0);
    }
    let words = |snapshot: &Snapshot| snapshot.impaired.clone();
    let alice = words(&network.snapshot("alice"));
    assert_eq!(alice.as_deref(), Some("delay 40ms"));
    assert_eq!(words(&network.snapshot("bob")), None);
}

#[test]
fn a_rule_for_one_peer_leaves_the_others_alone() {
    let mut network = Network::new(202);
    let rules = format!("to {} delay 100ms", addr("bob"));
    network.start("alice", impaired(&["bob", "carol"], &rules));
    network.start_with_targets("bob", &[]);
    network.start_with_targets("carol", &["bob"]);
    network.until_exact(3000);
    network.pass(20_000);
    for (a, b, slow) in [
        ("alice", "bob", true),
        ("alice", "carol", false),
        ("bob", "carol", false),
    ] {
        let rtt_us = link(&mut network, a, b).rtt_us.unwrap();
        assert_eq!(rtt_us > 100_000, slow, "{a} and {b}: {rtt_us}");
    }
}

#[test]
fn the_five_live_with_jitter_loss_duplicates_and_corruption() {
    let mut network = Network::new(203);
    network.start_five_impaired(
        "delay 20ms 5ms distribution normal loss 5% duplicate 2% corrupt 1% reorder 5% rate 10mbit",
    );
    network.until_exact(5000);
    let since = network.now();
    network.pass(120_000);
    network.nobody_was_down_since(since);
    // One direction loses 5 % and corrupts 1 %, so about 12 % of the probes go unanswered.
    let mut lost = 0;
    for name in NAMES {
        let snapshot = network.snapshot(name);
        lost = snapshot
            .links
            .iter()
            .map(|link| u32::from(link.loss_permille))
            .sum();
        assert_eq!(snapshot.links.len(), 10);
    }
    assert!((400..2400).contains(&lost), "{lost}");
}

#[test]
fn a_peer_that_hears_nothing_from_one_node_loses_the_link_and_not_the_node() {
    let mut network = Network::new(204);
    let mute = format!("to {} loss 100%", addr("bob"));
    network.start("alice", impaired(&["carol"], &mute));
    network.start_with_targets("bob", &["carol"]);
    network.start_with_targets("carol", &[]);
    network.pass(60_000);
    let since = network.now();
    network.pass(60_000);
    network.nobody_was_down_since(since);
    for name in ["alice", "bob", "carol"] {
        assert!(!network.view(name).has_link("alice", "bob"), "{name}");
        assert_eq!(network.view(name).links.len(), 2);
    }
}

#[test]
fn a_node_that_sends_nothing_at_all_is_alone() {
    let mut network = Network::new(205);
    network.start("alice", impaired(&["bob"], "loss 100%"));
    network.start_with_targets("bob", &["alice"]);
    network.pass(60_000);
    assert!(network.views().iter().all(|view| view.nodes.len() == 1));
}

#[test]
fn the_farewell_arrives_although_it_is_held_up() {
    let mut network = Network::new(206);
    network.start("alice", impaired(&["bob"], "delay 200ms"));
    network.start_with_targets("bob", &[]);
    network.until_exact(5000);
    network.pass(5000);
    let since = network.now();
    network.leave("alice");
    assert!(network.now() - since < Duration::from_secs(1));
    network.pass(500);
    assert_eq!(network.view("bob").nodes["alice"], NodeState::Left);
}

#[test]
fn impaired_nodes_repeat_from_their_seed() {
    let run = |seed| {
        let mut network = Network::new(seed);
        network.start_five_impaired("delay 20ms 10ms loss gemodel 5% 30% duplicate 5% reorder 10%");
        network.pass(20_000);
        network.kill("alice");
        network.pass(10_000);
        NAMES[1..]
            .iter()
            .map(|name| network.history(name))
            .collect::<Vec<_>>()
    };
    let first = run(207);
    assert!(first.iter().all(|history| history.len() > 3));
    assert_eq!(first, run(207));
    assert_ne!(first, run(208), "another seed is another story");
}
