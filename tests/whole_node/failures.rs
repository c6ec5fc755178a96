//! Nodes die, come back and leave; links and whole parts of the network fail.

use std::time::Duration;

use area_net::membership::Closed;
use area_net::snapshot::NodeState;

use crate::network::{CLEAR, FIVE, Network};

#[test]
fn a_killed_node_is_gone_within_three_seconds() {
    for seed in 20..=24 {
        let mut network = Network::new(seed);
        network.start_five();
        network.until_exact(1000);
        network.pass(10_000 + seed * 137);
        network.kill("alice");
        network.until(3000, "nobody shows alice as up", |network| {
            let views = network.views();
            let gone = Some(&NodeState::Unreachable);
            views.iter().all(|view| view.nodes.get("alice") == gone)
        });
        network.until_exact(200);
        // The other nodes never suspected each other.
        let since = network.now();
        network.pass(30_000);
        for (name, at, view) in network.shown_since(since) {
            assert_eq!(view.up().len(), 4, "seed {seed}: {name} at {at:?}");
        }
    }
}

#[test]
fn a_restarted_node_is_listed_again_and_its_old_connections_are_reset() {
    for (seed, name) in [(30, "alice"), (31, "bob"), (32, "erin")] {
        let mut network = Network::new(seed);
        network.start_five();
        network.until_exact(1000);
        network.pass(10_000);
        let killed = network.now();
        network.kill(name);
        network.pass(100);
        let (_, targets) = FIVE.into_iter().find(|(who, _)| *who == name).unwrap();
        network.start_with_targets(name, targets);
        if targets.is_empty() {
            // Each node that had a link with her is reset at its next probe, and dials her.
            network.until_exact(2200);
            let lost = network.links_lost_since(killed);
            assert!(lost.contains(&Some(&Closed::Reset)), "{lost:?}");
        } else {
            network.until_exact(1000);
        }
        // No node waited for a link to be judged down.
        let lost = network.links_lost_since(killed);
        assert!(lost.iter().all(Option::is_some), "{lost:?}");
        let since = network.now();
        network.pass(20_000);
        network.nobody_was_down_since(since);
    }
}

#[test]
fn a_node_that_was_away_for_long_is_listed_again() {
    let mut network = Network::new(35);
    network.start_five();
    network.until_exact(1000);
    network.kill("dave");
    network.pass(120_000);
    network.start_with_targets("dave", &["alice"]);
    network.until_exact(1000);
}

#[test]
fn a_leaver_is_shown_as_such_within_200_ms() {
    let mut network = Network::new(40);
    network.start_five();
    network.until_exact(1000);
    network.pass(7_300);
    let since = network.now();
    network.leave("dave");
    assert!(network.now() - since < Duration::from_secs(1));
    for name in ["alice", "bob", "carol", "erin"] {
        let history = network.history(name);
        let left = history
            .iter()
            .find(|(_, view)| view.nodes.get("dave") == Some(&NodeState::Left));
        let (at, _) = left.unwrap();
        assert!(*at - since <= Duration::from_millis(200), "{name}: {at:?}");
        // It was never shown as unreachable.
        let mut after = history.iter().filter(|(at, _)| *at >= since);
        assert!(after.all(|(_, view)| view.nodes["dave"] != NodeState::Unreachable));
    }
    network.until_exact(300);
    // It can join again.
    network.start_with_targets("dave", &["alice"]);
    network.until_exact(1000);
}

#[test]
fn a_fifth_lost_each_way_for_five_minutes_takes_nobody_down() {
    let mut network = Network::new(50);
    network.start_five();
    network.until_exact(1000);
    network.pass(20_000);
    network.impair("delay 12500us 2500us loss 20%");
    let since = network.now();
    network.pass(300_000);
    network.nobody_was_down_since(since);
    network.impair(CLEAR);
    network.until_exact(60_000);
}

#[test]
fn a_partition_shows_as_one_and_heals() {
    for seed in 60..=65 {
        let mut network = Network::new(seed);
        network.start_five();
        network.until_exact(1000);
        network.pass(5000);
        let (west, east) = (["alice", "bob"], ["carol", "dave", "erin"]);
        network.partition(&[&west, &east]);
        network.until(3500, "each part shows itself", |network| {
            network.agree_on(&west) && network.agree_on(&east)
        });
        let since = network.now();
        network.pass(60_000);
        for (name, at, view) in network.shown_since(since) {
            let own: &[&str] = if west.contains(&name) { &west } else { &east };
            assert!(view.is_full_mesh_of(own), "seed {seed}: {name} at {at:?}");
            assert_eq!(view.nodes.len(), 5, "the others are remembered");
        }
        network.heal();
        network.until_exact(10_000);
    }
}

#[test]
fn a_node_that_lost_every_link_is_cut_off_and_says_so() {
    let mut network = Network::new(65);
    network.start_five();
    network.until_exact(1000);
    network.pass(5000);
    network.partition(&[&["carol"], &["alice", "bob", "dave", "erin"]]);
    network.until(3500, "carol says that she is cut off", |network| {
        network.view("carol").cut_off
    });
    network.pass(10_000);
    let cut_off = network.views().iter().filter(|view| view.cut_off).count();
    assert_eq!(cut_off, 1);
    network.heal();
    network.until_exact(10_000);
}

#[test]
fn one_dead_direction_takes_a_link_and_no_node() {
    let mut network = Network::new(70);
    network.start_five();
    network.until_exact(1000);
    network.pass(20_000);
    let since = network.now();
    network.cut_direction("alice", "bob");
    network.until(5000, "nobody lists the link", |network| {
        network
            .views()
            .iter()
            .all(|view| !view.has_link("alice", "bob") && view.links.len() == 9)
    });
    network.pass(60_000);
    network.nobody_was_down_since(since);
    assert!(!network.views()[0].has_link("alice", "bob"));
    network.heal();
    network.until_exact(70_000);
    network.nobody_was_down_since(since);
}
