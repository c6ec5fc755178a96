//! Nodes that impair what they send themselves: what `network.controller.impair` does, in virtual time. The network between them
//! takes 2 ms each way, and does nothing else.

use std::time::Duration;

use area_net::snapshot::{LinkView, NodeState};

use crate::world::{NAMES, Start, World, addr, addrs, simulate};

/// A node with these targets that impairs what it sends.
fn impaired(targets: &[&str], impair: &str) -> Start {
    Start {
        targets: addrs(targets),
        impair: impair.to_owned(),
        ..Start::default()
    }
}

/// The link between two nodes as one of them sees it.
async fn link(world: &World, viewer: &str, peer: &str) -> LinkView {
    let snapshot = world.snapshot(viewer).await;
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
    simulate(201, async |world| {
        world.start("alice", impaired(&[], "delay 40ms"));
        world.start_with_targets("bob", &["alice"]);
        world.until_exact(2000).await;
        world.pass(20_000).await;
        for (viewer, peer) in [("alice", "bob"), ("bob", "alice")] {
            let link = link(world, viewer, peer).await;
            let rtt_us = link.rtt_us.unwrap();
            assert!((44_000..=48_000).contains(&rtt_us), "{viewer}: {rtt_us}");
            assert_eq!(link.loss_permille, 0);
        }
        let words = |snapshot: &area_net::snapshot::Snapshot| snapshot.impaired.clone();
        assert_eq!(
            words(&*world.snapshot("alice").await).as_deref(),
            Some("delay 40ms")
        );
        assert_eq!(words(&*world.snapshot("bob").await), None);
    });
}

#[test]
fn a_rule_for_one_peer_leaves_the_others_alone() {
    simulate(202, async |world| {
        let rules = format!("to {} delay 100ms", addr("bob"));
        world.start("alice", impaired(&["bob", "carol"], &rules));
        world.start_with_targets("bob", &[]);
        world.start_with_targets("carol", &["bob"]);
        world.until_exact(3000).await;
        world.pass(20_000).await;
        for (a, b, slow) in [
            ("alice", "bob", true),
            ("alice", "carol", false),
            ("bob", "carol", false),
        ] {
            let rtt_us = link(world, a, b).await.rtt_us.unwrap();
            assert_eq!(rtt_us > 100_000, slow, "{a} and {b}: {rtt_us}");
        }
    });
}

#[test]
fn the_five_live_with_jitter_loss_duplicates_and_corruption() {
    simulate(203, async |world| {
        world.start_five_impaired("delay 20ms 5ms distribution normal loss 5% duplicate 2% corrupt 1% reorder 5% rate 10mbit");
        world.until_exact(5000).await;
        let since = world.now();
        world.pass(120_000).await;
        world.nobody_was_down_since(since);
        // One way loses 5 % and turns 1 % into nothing, so about 12 % of the probes go unanswered.
        let mut lost = 0;
        for name in NAMES {
            let snapshot = world.snapshot(name).await;
            lost = snapshot
                .links
                .iter()
                .map(|link| u32::from(link.loss_permille))
                .sum();
            assert_eq!(snapshot.links.len(), 10);
        }
        assert!((400..2400).contains(&lost), "{lost}");
    });
}

#[test]
fn a_peer_that_hears_nothing_from_one_node_loses_the_link_and_not_the_node() {
    simulate(204, async |world| {
        let mute = format!("to {} loss 100%", addr("bob"));
        world.start("alice", impaired(&["carol"], &mute));
        world.start_with_targets("bob", &["carol"]);
        world.start_with_targets("carol", &[]);
        world.pass(60_000).await;
        let since = world.now();
        world.pass(60_000).await;
        world.nobody_was_down_since(since);
        for name in ["alice", "bob", "carol"] {
            assert!(!world.view(name).has_link("alice", "bob"), "{name}");
            assert_eq!(world.view(name).links.len(), 2);
        }
    });
}

#[test]
fn a_node_that_sends_nothing_at_all_is_alone() {
    simulate(205, async |world| {
        world.start("alice", impaired(&["bob"], "loss 100%"));
        world.start_with_targets("bob", &["alice"]);
        world.pass(60_000).await;
        assert!(world.views().iter().all(|view| view.nodes.len() == 1));
    });
}

#[test]
fn the_farewell_arrives_although_it_is_held_up() {
    simulate(206, async |world| {
        world.start("alice", impaired(&["bob"], "delay 200ms"));
        world.start_with_targets("bob", &[]);
        world.until_exact(5000).await;
        world.pass(5000).await;
        let since = world.now();
        world.leave("alice").await;
        assert!(world.now() - since < Duration::from_secs(1));
        world.pass(500).await;
        assert_eq!(world.view("bob").nodes["alice"], NodeState::Left);
    });
}

#[test]
fn impaired_nodes_repeat_from_their_seed() {
    let run = |seed| {
        simulate(seed, async |world| {
            world.start_five_impaired(
                "delay 20ms 10ms loss gemodel 5% 30% duplicate 5% reorder 10%",
            );
            world.pass(20_000).await;
            world.kill("alice");
            world.pass(10_000).await;
            NAMES[1..]
                .iter()
                .map(|name| world.history(name))
                .collect::<Vec<_>>()
        })
    };
    let first = run(207);
    assert!(first.iter().all(|history| history.len() > 3));
    assert_eq!(first, run(207));
    assert_ne!(first, run(208), "another seed is another story");
}
