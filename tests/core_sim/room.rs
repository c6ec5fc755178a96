//! Nobody is locked out: full nodes, nodes that accept no connections, and every legal setting.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::net::{Net, ms, secs, with_seeds};

/// A hub and so many spokes, all of which reach the hub and nobody else.
fn wheel(seed: u64, hubs: usize, spokes: usize) -> Net {
    let mut net = Net::new(seed);
    let all: Vec<usize> = (0..hubs).collect();
    for hub in 0..hubs {
        net.add(&all[..hub]);
    }
    for _ in 0..spokes {
        net.add(&all);
    }
    let spokes = hubs..hubs + spokes;
    let pairs = spokes
        .clone()
        .flat_map(|one| spokes.clone().map(move |other| (one, other)));
    net.dead = pairs.filter(|(one, other)| one != other).collect();
    net
}

fn all_know_all(net: &Net) -> bool {
    let all = net.running().len();
    net.running().into_iter().all(|place| {
        let core = net.nodes[place].core().expect("it runs");
        core.up_count() == all
    })
}

/// Runs until every node knows all others. Returns how long that took.
fn until_all_know_all(net: &mut Net, within: Duration) -> Duration {
    let from = net.now();
    while !all_know_all(net) {
        assert!(net.now() < from + within, "not within {within:?}");
        net.run(ms(50));
    }
    net.now() - from
}

#[test]
fn a_hub_takes_all_that_reach_nobody_else() {
    with_seeds(0..3, |seed| {
        for spokes in [20, 200] {
            let mut net = wheel(seed, 1, spokes);
            net.start_all();
            until_all_know_all(&mut net, secs(1));
            // One that dies is noticed, and one that comes later is in as soon.
            net.kill(7);
            until_all_know_all(&mut net, secs(6));
            net.start(7);
            until_all_know_all(&mut net, secs(2));
            assert!((1..=spokes).all(|spoke| net.degree(spoke) >= 1));
        }
    });
}

/// A guest hears of every other node from the centre alone, so the centre can't send less than each record once to each guest:
/// 7 MB here. Its own record lists all guests, and takes 1 MB for each version that all of them hear.
#[test]
fn the_centre_of_a_star_sends_each_record_about_once() {
    const GUESTS: u64 = 200;
    for (apart, most_bytes) in [(ms(0), 10_000_000), (ms(5), 14_000_000)] {
        with_seeds(0..3, |seed| {
            let mut net = wheel(seed, 1, 200);
            for place in 0..=200 {
                net.start(place);
                net.run(apart);
            }
            until_all_know_all(&mut net, secs(2));
            let copies: u64 = net.nodes[1..]
                .iter()
                .map(|one| one.traffic.records_in)
                .sum();
            assert!(copies <= GUESTS * GUESTS * 11 / 10, "{copies} copies");
            let bytes = net.nodes[0].traffic.bytes;
            assert!(bytes <= most_bytes, "{bytes} bytes");
        });
    }
}

#[test]
fn behind_three_hubs_nobody_stays_outside_or_hangs_on_one_link() {
    with_seeds(0..3, |seed| {
        let mut net = wheel(seed, 3, 40);
        net.start_all();
        until_all_know_all(&mut net, secs(2));
        net.run(secs(60));
        assert!((3..43).all(|spoke| net.degree(spoke) >= 2));
        // So the death of a hub cuts nobody off for long.
        net.strict = false;
        net.kill(1);
        net.run(secs(5));
        assert!(all_know_all(&net));
    });
}

#[test]
fn guests_that_find_other_links_leave_their_host() {
    with_seeds(0..3, |seed| {
        let mut net = Net::new(seed);
        for place in 0..80 {
            net.add(if place == 0 { &[] } else { &[0] });
        }
        net.start_all();
        until_all_know_all(&mut net, secs(1));
        net.shed();
        let cap = net.nodes[0].settings.degree_cap;
        let degrees: Vec<usize> = (0..80).map(|place| net.degree(place)).collect();
        assert!(degrees.iter().all(|degree| *degree <= cap), "{degrees:?}");
        net.rest(10);
    });
}

#[test]
fn every_legal_setting_forms_one_network_and_heals() {
    let settings = [
        (2, 4, 6),
        (4, 4, 6),
        (7, 4, 6),
        (2, 6, 6),
        (8, 8, 8),
        (2, 16, 16),
        (17, 8, 16),
        (32, 4, 31),
        (2, 32, 32),
    ];
    for (full_mesh, target, cap) in settings {
        with_seeds(0..4, |seed| {
            let mut net = Net::new(seed);
            let by_chain = seed % 2 == 0;
            for place in 0..36_usize {
                let first = if by_chain { place.saturating_sub(1) } else { 0 };
                net.add(if place == 0 {
                    &[]
                } else {
                    std::slice::from_ref(&first)
                });
                let settings = &mut net.nodes[place].settings;
                settings.full_mesh = full_mesh;
                (settings.degree_target, settings.degree_cap) = (target, cap);
                settings.guests = 16;
            }
            net.start_all();
            until_all_know_all(&mut net, secs(5));
            net.run(secs(30));
            assert!(all_know_all(&net), "{full_mesh} {target} {cap}");
            net.strict = false;
            let dead: BTreeSet<usize> = (0..36).filter(|place| place % 5 == 2).collect();
            for &place in &dead {
                net.kill(place);
            }
            net.run(secs(15));
            assert!(all_know_all(&net), "{full_mesh} {target} {cap}, healed");
            for place in dead {
                net.start(place);
            }
            until_all_know_all(&mut net, secs(10));
        });
    }
}

#[test]
fn the_survivors_of_nine_in_ten_find_each_other() {
    with_seeds(0..3, |seed| {
        let mut net = Net::new(seed);
        for place in 0..200 {
            // All were told of one, and it dies as well.
            net.add(if place == 0 { &[] } else { &[0] });
        }
        net.start_all();
        until_all_know_all(&mut net, secs(10));
        net.run(secs(30));
        net.strict = false;
        for place in (0..200).filter(|place| place % 10 != 7) {
            net.kill(place);
        }
        until_all_know_all(&mut net, secs(15));
    });
}
