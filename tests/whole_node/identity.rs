//! Nodes that may join each other, and two runs or two nodes that claim one identity.

use std::net::SocketAddr;
use std::time::Duration;

use area_net::events::EventName;
use area_net::membership::Event;

use crate::network::{COPY_OF_ALICE, Network, Start, addr};

#[test]
fn two_networks_never_merge() {
    let mut network = Network::new(80);
    network.start_with_targets("alice", &["bob", "mallory"]);
    network.start_with_targets("bob", &["alice"]);
    network.start(
        "mallory",
        Start {
            network: Some("another"),
            targets: vec!["alice", "bob"],
            ..Start::default()
        },
    );
    network.pass(60_000);
    for (name, at, view) in network.shown_since(Duration::ZERO) {
        let among_us = !view.nodes.contains_key("mallory");
        let alone = view.nodes.len() == 1;
        assert!(if name == "mallory" { alone } else { among_us }, "{at:?}");
    }
    assert!(network.agree_on(&["alice", "bob"]));
    let rejected = &network.snapshot("alice").rejected.0;
    assert!(
        rejected.iter().any(|(what, _)| *what == "other_network"),
        "{rejected:?}"
    );
}

#[test]
fn an_allow_list_closes_the_door_both_ways() {
    let mut network = Network::new(85);
    network.start(
        "alice",
        Start {
            allow: vec!["bob"],
            targets: vec!["mallory"],
            ..Start::default()
        },
    );
    network.start_with_targets("bob", &["alice"]);
    network.start_with_targets("carol", &["alice", "bob"]);
    network.start_with_targets("mallory", &["alice"]);
    network.pass(30_000);
    for (name, at, view) in network.shown_since(Duration::ZERO) {
        assert!(!view.has_link("alice", "carol"), "{name} at {at:?}");
        assert!(!view.has_link("alice", "mallory"), "{name} at {at:?}");
    }
    // Alice knows of carol through bob. Her only link is with him.
    let view = network.view("alice");
    assert_eq!(
        view.up().into_iter().collect::<Vec<_>>(),
        ["alice", "bob", "carol"]
    );
    assert!(view.has_link("alice", "bob") && view.has_link("bob", "carol"));
    assert_eq!(network.view("mallory").nodes.len(), 1);
    let rejected = &network.snapshot("alice").rejected.0;
    let refused = rejected.iter().find(|(what, _)| *what == "not_allowed");
    assert!(refused.is_some_and(|(_, count)| *count > 0), "{rejected:?}");
    assert!(network.journal.count(EventName::JoinRefused) > 0);
}

#[test]
fn a_node_whose_clock_went_back_an_hour_is_believed() {
    let mut network = Network::new(90);
    network.start_five();
    network.until_exact(1000);
    network.pass(5000);
    network.kill("dave");
    network.pass(100);
    network.start(
        "dave",
        Start {
            label: Some("dave the second"),
            targets: vec!["alice"],
            behind: Duration::from_secs(3600),
            ..Start::default()
        },
    );
    network.until(2500, "everybody has dave's new record", |network| {
        let names = ["alice", "bob", "carol", "dave the second", "erin"];
        let views = network.views();
        views.iter().all(|view| view.is_full_mesh_of(&names))
    });
    let since = network.now();
    network.pass(60_000);
    network.nobody_was_down_since(since);
    assert_eq!(twins(&network), []);
}

/// A twin that a node reported.
#[derive(Debug, PartialEq)]
struct Twin {
    told_by: &'static str,
    /// The other's run id; 0 if a peer has only reported that there is another.
    run_id: u64,
    seen_at: Option<SocketAddr>,
    silenced: bool,
}

/// All reports of nodes that their identity runs twice.
fn twins(network: &Network) -> Vec<Twin> {
    let told = network.events().filter_map(|(told_by, event)| match event {
        Event::Twin {
            run_id,
            remote,
            silenced,
        } => Some(Twin {
            told_by,
            run_id: *run_id,
            seen_at: *remote,
            silenced: *silenced,
        }),
        _ => None,
    });
    told.collect()
}

#[test]
fn two_nodes_with_one_key_that_meet_both_say_so() {
    let mut network = Network::new(102);
    network.start_with_targets("alice", &["bob"]);
    network.start_with_targets("bob", &[]);
    network.until_exact(1000);
    network.start_with_targets(COPY_OF_ALICE, &["alice"]);
    network.pass(20_000);
    let own_target = |event: &Event| matches!(event, Event::OwnTarget(_));
    let is_own = network.events().any(|(_, event)| own_target(event));
    assert!(!is_own, "another node is there");
    // The copy hears of it from alice, and alice detects it by herself.
    let twins = twins(&network);
    let told = |twin: &Twin| {
        twin.told_by == COPY_OF_ALICE && twin.run_id == 0 && twin.seen_at == Some(addr("alice"))
    };
    assert!(twins.iter().any(told), "{twins:?}");
    let seen = |twin: &Twin| {
        twin.told_by == "alice" && twin.run_id != 0 && twin.seen_at == Some(addr(COPY_OF_ALICE))
    };
    assert!(twins.iter().any(seen), "{twins:?}");
    let lines = network.journal.count(EventName::OwnIdentityDuplicated);
    assert!(lines >= 2, "both write it to their logs: {lines} lines");
    assert!(lines <= 6, "{lines} lines, and each may write one in 10 s");
    assert!(network.agree_on(&["alice", "bob"]));
}

#[test]
fn two_nodes_with_one_key_in_two_parts_of_a_network_are_found_out() {
    let mut network = Network::new(103);
    network.partition(&[&["alice", "bob"], &[COPY_OF_ALICE, "carol"]]);
    network.start_with_targets("alice", &["bob"]);
    network.start_with_targets("bob", &[]);
    network.start_with_targets(COPY_OF_ALICE, &["carol"]);
    network.start_with_targets("carol", &["bob"]);
    network.pass(10_000);
    network.heal();
    network.pass(120_000);
    // Both receive the other's records. The lower run is silenced, and all other nodes agree on the one that stays.
    let twins = twins(&network);
    let (silenced, warned): (Vec<_>, Vec<_>) = twins.iter().partition(|twin| twin.silenced);
    assert_eq!(silenced.len(), 1, "{twins:?}");
    assert!(
        warned
            .iter()
            .any(|twin| twin.told_by != silenced[0].told_by),
        "{twins:?}"
    );
    let since = network.now();
    network.pass(60_000);
    assert_eq!(network.view("bob").nodes, network.view("carol").nodes);
    assert_eq!(network.shown_since(since), [], "it is quiet then");
}
