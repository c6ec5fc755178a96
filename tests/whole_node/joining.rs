//! Nodes start, find each other and learn the whole network.

use std::time::Duration;

use area_net::membership::Event;

use crate::network::{CLEAR, NAMES, Network, Start, addr};

#[test]
fn five_profiles_are_aware_within_a_second() {
    for seed in 1..=5 {
        let mut network = Network::new(seed);
        network.start_five();
        network.until_exact(1000);
        // The round-trip times are those of the paths: 2 ms each way.
        network.pass(5000);
        network.nobody_was_down_since(Duration::from_secs(1));
        for name in NAMES {
            let snapshot = network.snapshot(name);
            for link in &snapshot.links {
                let rtt_us = link.rtt_us.unwrap();
                // Figures of others come on a scale whose codes are within three percent.
                let is_own = [link.dialer, link.listener].contains(&snapshot.me);
                let right = if is_own { 4000..=4100 } else { 3880..=4220 };
                assert!(right.contains(&rtt_us), "seed {seed}: {rtt_us}");
                assert_eq!((link.loss_permille, link.suspect), (0, false));
            }
            assert_eq!(snapshot.rejected.0, [], "seed {seed}");
        }
    }
}

#[test]
fn a_rough_network_is_learned_all_the_same() {
    let mut network = Network::new(11);
    network.impair("delay 60ms 40ms distribution pareto loss 5% duplicate 10% reorder 10%");
    network.start_five();
    network.until_exact(5000);
    let since = network.now();
    network.pass(60_000);
    network.nobody_was_down_since(since);
    network.impair(CLEAR);
    network.until_exact(5000);
}

#[test]
fn a_network_starts_with_a_fifth_lost_each_way() {
    let mut network = Network::new(55);
    network.impair("delay 10ms loss 20%");
    network.start_five();
    network.until_exact(20_000);
}

#[test]
fn a_target_that_comes_later_is_found() {
    for away_ms in [500, 10_000, 60_000, 1_200_000] {
        let mut network = Network::new(110);
        network.start_with_targets("bob", &["alice", "carol"]);
        network.pass(away_ms);
        network.start_with_targets("alice", &[]);
        // After ten minutes without success a target is tried a tenth as often.
        let limit = if away_ms > 600_000 { 60_000 } else { 6000 };
        network.until_exact(limit);
    }
}

#[test]
fn a_node_that_is_its_own_target_stops_dialing_itself() {
    let mut network = Network::new(100);
    network.start_with_targets("alice", &["alice", "bob"]);
    network.start_with_targets("bob", &[]);
    network.until_exact(1000);
    network.pass(5000);
    let before = network.sent("alice", "alice");
    assert!(before > 0, "it did try");
    network.pass(60_000);
    assert_eq!(network.sent("alice", "alice"), before);
    let own_target = |event: &Event| matches!(event, Event::OwnTarget(_));
    let told: Vec<_> = network.events().filter(|(_, it)| own_target(it)).collect();
    assert_eq!(told, [("alice", &Event::OwnTarget(addr("alice")))]);
    assert_eq!(network.snapshot("alice").rejected.0, []);
    network.nobody_was_down_since(Duration::from_secs(1));
}

#[test]
fn a_node_that_listens_everywhere_learns_and_publishes_its_address() {
    let mut network = Network::new(95);
    let everywhere = |targets: &[&'static str]| Start {
        everywhere: true,
        targets: targets.to_vec(),
        ..Start::default()
    };
    network.start("zoe", everywhere(&[]));
    network.start("yara", everywhere(&["zoe"]));
    network.start("xenia", everywhere(&["yara"]));
    network.until_exact(2000);
    network.pass(1000);
    for viewer in ["zoe", "yara", "xenia"] {
        for node in &network.snapshot(viewer).nodes {
            let published = [addr(&node.label)];
            assert_eq!(node.addrs, published, "{viewer} of {}", node.label);
        }
    }
}

#[test]
fn a_larger_network_agrees_without_a_full_mesh() {
    const LETTERS: [&str; 18] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r",
    ];
    let mut network = Network::new(120);
    for (at, name) in LETTERS.into_iter().enumerate() {
        let target = at.checked_sub(1).map(|at| LETTERS[at]);
        network.start_with_targets(name, target.as_slice());
    }
    network.until(5000, "everybody is up for everybody", |network| {
        let views = network.views();
        views.iter().all(|view| view.up().len() == LETTERS.len())
    });
    let since = network.now();
    network.pass(10_000);
    network.nobody_was_down_since(since);
    let views = network.views();
    assert!(views.iter().all(|view| view.links == views[0].links));
    let degree = |name: &str| {
        let links = views[0].links.iter();
        links.filter(|(a, b)| a == name || b == name).count()
    };
    for name in LETTERS {
        assert!((4..=16).contains(&degree(name)), "{name}: {}", degree(name));
    }
}

#[test]
fn marks_of_ecn_that_are_dropped_on_the_way_delay_a_link_by_one_repetition() {
    // Nodes of a start repeat their Initials often; later ones after a second.
    let mut network = Network::new(140);
    network.drop_marked();
    network.start_five();
    network.until_exact(2000);
    let since = network.now();
    network.pass(30_000);
    network.nobody_was_down_since(since);
    network.kill("alice");
    network.pass(20_000);
    network.start_with_targets("alice", &[]);
    network.until_exact(3000);
}

/// An unmarked packet would show the other side that the path takes marks off, and both would do without ECN for an hour.
#[test]
fn the_copies_of_a_first_packet_carry_the_mark_of_ecn() {
    let mut network = Network::new(141);
    network.start_with_targets("bob", &["alice"]);
    network.pass(400);
    let (to_alice, unmarked) = (network.sent("bob", "alice"), network.unmarked());
    assert_eq!(
        (to_alice, unmarked),
        (5, 0),
        "the first one and four copies"
    );
}

#[test]
fn a_clock_that_is_set_right_corrects_all_times_and_ends_no_link() {
    for behind in [
        Duration::from_secs(8 * 3600),
        Duration::from_secs(1_700_000_000),
    ] {
        let mut network = Network::new(150);
        let start = Start {
            behind,
            ..Start::default()
        };
        network.start("alice", start);
        network.start_with_targets("bob", &["alice"]);
        network.until_exact(2000);
        let right = network.unix_ms();
        network.pass(5000);
        let times = |network: &mut Network| {
            let snapshot = network.snapshot("alice");
            let nodes = snapshot.nodes.iter().map(|node| node.since_ms);
            let links = snapshot.links.iter().map(|link| link.rtt_at_ms);
            let times = nodes.chain(links).map(|at| snapshot.unix_ms(at));
            times.collect::<Vec<u64>>()
        };
        let wrong = times(&mut network);
        let since = network.now();
        network.set_clock_right("alice");
        let corrected = times(&mut network);
        let behind_ms = u64::try_from(behind.as_millis()).unwrap();
        for (wrong, corrected) in wrong.into_iter().zip(corrected) {
            assert_eq!(wrong + behind_ms, corrected);
            assert!(corrected.abs_diff(right) < 10_000, "{corrected} {right}");
        }
        network.pass(10_000);
        network.nobody_was_down_since(since);
    }
}

#[test]
fn the_same_seed_shows_the_same_pictures_at_the_same_times() {
    let run = |seed| {
        let mut network = Network::new(seed);
        network.impair("delay 10ms 5ms loss 10% duplicate 5% reorder 5%");
        network.start_five();
        network.pass(20_000);
        network.kill("alice");
        network.pass(10_000);
        network.start_with_targets("alice", &[]);
        network.pass(20_000);
        NAMES.map(|name| network.history(name))
    };
    let first = run(130);
    assert!(first.iter().all(|history| history.len() > 3));
    assert_eq!(first, run(130));
    assert_ne!(first, run(131), "another seed is another story");
}
