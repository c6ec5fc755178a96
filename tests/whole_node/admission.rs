//! Nodes with network keys: who has none of the network's keys stays out, and a key is changed without a split.

use std::time::Duration;

use area_net::events::EventName;

use crate::network::{FIVE, NAMES, Network, Start};

fn with_keys(targets: &[&'static str], keys: &[u8]) -> Start {
    Start {
        targets: targets.to_vec(),
        keys: keys.to_vec(),
        ..Start::default()
    }
}

fn start_five(network: &mut Network, keys: &[u8]) {
    for (name, targets) in FIVE {
        network.start(name, with_keys(targets, keys));
    }
}

#[test]
fn nodes_with_one_key_are_aware_as_soon_as_without() {
    for seed in 1..=3 {
        let took = [&[][..], &[7]].map(|keys| {
            let mut network = Network::new(seed);
            start_five(&mut network, keys);
            let took = network.until_exact(1000);
            network.pass(5000);
            network.nobody_was_down_since(Duration::from_secs(1));
            for name in NAMES {
                assert_eq!(network.snapshot(name).rejected.0, [], "seed {seed}");
            }
            took
        });
        // Both ends prove the key before their Hellos: one more round trip of 4 ms for each of two links in a row.
        assert!(took[1] <= took[0] + Duration::from_millis(20), "{took:?}");
    }
}

#[test]
fn who_has_none_of_the_keys_stays_out_whoever_dials() {
    for (members, stranger) in [
        (&[1][..], &[][..]),
        (&[], &[1]),
        (&[1], &[2]),
        // The network has changed its key, and the stranger has only the old one.
        (&[2], &[1]),
        (&[2, 3], &[1, 4]),
    ] {
        let mut network = Network::new(160);
        network.start("alice", with_keys(&["bob", "mallory"], members));
        network.start("bob", with_keys(&["alice"], members));
        network.start("mallory", with_keys(&["alice", "bob"], stranger));
        network.pass(60_000);
        for (name, at, view) in network.shown_since(Duration::ZERO) {
            let among_us = !view.nodes.contains_key("mallory");
            let alone = view.nodes.len() == 1;
            assert!(if name == "mallory" { alone } else { among_us }, "{at:?}");
        }
        assert!(network.agree_on(&["alice", "bob"]));
        for name in ["alice", "bob", "mallory"] {
            let rejected = &network.snapshot(name).rejected.0;
            let other = rejected.iter().find(|(what, _)| *what == "other_network");
            assert!(
                other.is_some_and(|(_, count)| *count > 0),
                "{name}: {rejected:?}"
            );
        }
        // Each of the three says so, each ten seconds at most for those that knock, and once for each address that it dials.
        let lines = network.journal.shown(EventName::JoinRefused);
        assert!((3..=3 * 7 + 3).contains(&lines), "{lines} lines");
    }
}

#[test]
fn a_key_is_changed_node_by_node_and_the_network_never_splits() {
    let mut network = Network::new(161);
    start_five(&mut network, &[1]);
    network.until_exact(1000);
    for keys in [&[1, 2][..], &[2, 1], &[2]] {
        for (name, targets) in FIVE {
            network.leave(name);
            network.pass(200);
            let targets = if targets.is_empty() {
                &["bob"]
            } else {
                targets
            };
            let since = network.now();
            network.start(name, with_keys(targets, keys));
            network.until_exact(3000);
            let others: Vec<&str> = NAMES.into_iter().filter(|it| *it != name).collect();
            for (who, at, view) in network.shown_since(since) {
                let all_up = others.iter().all(|other| view.up().contains(*other));
                assert!(who == name || all_up, "{who} at {at:?}: {view:#?}");
            }
        }
    }
    for name in NAMES {
        assert_eq!(network.snapshot(name).rejected.0, [], "{name}");
    }
    // The first key is worth nothing now.
    network.start("mallory", with_keys(&["alice"], &[1]));
    network.pass(10_000);
    assert_eq!(network.view("mallory").nodes.len(), 1);
}
