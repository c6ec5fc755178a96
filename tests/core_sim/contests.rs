//! Connection collisions, and identities that run twice.

use area_net::membership::Event;
use area_net::wire::NodeId;
use rand::RngExt as _;

use crate::net::{Net, Path, ms, secs, with_seeds};

#[test]
fn everybody_dials_everybody_at_once() {
    with_seeds(0..20, |seed| {
        let mut net = Net::new(seed);
        let all: Vec<usize> = (0..6).collect();
        for place in 0..6 {
            let others: Vec<usize> = all.iter().copied().filter(|&at| at != place).collect();
            net.add(&others);
        }
        for a in 0..6 {
            for b in 0..6 {
                let delay = ms(net.rng.random_range(0..120));
                let jitter = ms(net.rng.random_range(0..20));
                let path = Path {
                    delay,
                    jitter,
                    loss: 0.0,
                };
                net.paths.insert((a, b), path);
            }
        }
        // A connection is replaced by another, but the link stays in the records.
        net.never_unlisted = true;
        net.start_all();
        // Each pair has one connection, held by both ends, and all nodes show the same: `settle` checks it.
        net.settle(secs(5));
        net.rest(10);
        assert_eq!(net.view(0).1.len(), 15);
        let lost = |event: &Event| matches!(event, Event::Unlinked { .. });
        assert_eq!(net.told(lost), 0, "no link went in between");
    });
}

#[test]
fn everybody_dials_everybody_through_loss() {
    with_seeds(0..10, |seed| {
        let mut net = Net::new(seed);
        for place in 0..5 {
            let others: Vec<usize> = (0..5).filter(|&at| at != place).collect();
            net.add(&others);
        }
        net.path = Path {
            delay: ms(30),
            jitter: ms(30),
            loss: 0.15,
        };
        net.start_all();
        net.run(secs(20));
        net.path.loss = 0.0;
        net.run(secs(20));
        net.settle(secs(5));
        assert_eq!(net.view(0).1.len(), 10);
    });
}

/// Two networks of four. The last but one of the second has the key of the last but one of the first.
fn with_twins(seed: u64) -> Net {
    let mut net = Net::new(seed);
    for place in 0..8_u16 {
        let key = if place == 6 { 2 } else { place };
        let first = place % 4 == 0;
        let target = (!first).then(|| usize::from(place) - 1);
        net.add_with_key(key, target.as_slice());
    }
    net.strict = false;
    net
}

#[test]
fn two_networks_meet_and_one_key_is_in_both() {
    with_seeds(0..6, |seed| {
        let mut net = with_twins(seed);
        net.start_all();
        net.run(secs(5));
        let bridge = net.add_with_key(100, &[0, 4]);
        net.start(bridge);
        net.run(secs(240));
        let twin = |event: &Event| matches!(event, Event::Twin { .. });
        for place in [2, 6] {
            let mut told = net.events.iter();
            let told = told.any(|(_, at, event)| *at == place && twin(event));
            assert!(told, "{place} hears of its twin");
        }
        assert!(
            net.told(|event| matches!(event, Event::PeerTwin(..))) > 0,
            "their peers see both"
        );
        let others: Vec<usize> = (0..9).filter(|place| ![2, 6].contains(place)).collect();
        let actions =
            |net: &Net| -> u64 { others.iter().map(|&at| net.nodes[at].traffic.actions).sum() };
        let before = actions(&net);
        for _ in 0..60 {
            net.run(secs(1));
            for &place in &others {
                let shown = net.view(place).0;
                assert_eq!(shown.len(), 8, "the others hold together");
            }
        }
        let did = actions(&net) - before;
        assert!(did < 9 * 60 * 20, "{did} things in a minute");
    });
}

#[test]
fn a_second_node_with_a_key_in_use_is_turned_away() {
    with_seeds(0..6, |seed| {
        let mut net = with_twins(seed);
        for place in [0, 1, 2, 3] {
            net.start(place);
        }
        net.settle(secs(5));
        net.nodes[6].settings.targets = net.nodes[3].settings.targets.clone();
        net.nodes[6].settings.targets[0] = crate::net::addr(3);
        net.start(6);
        net.run(secs(60));
        let told =
            |at, what: fn(&Event) -> bool| net.events.iter().any(|it| it.1 == at && what(&it.2));
        assert!(told(6, |event| matches!(event, Event::Twin { .. })));
        assert!(told(3, |event| matches!(event, Event::PeerTwin(..))));
        net.kill(6);
        net.settle(secs(10));
        assert_eq!(
            net.told(|event| matches!(event, Event::Unlinked { .. })),
            0,
            "no link went"
        );
    });
}

#[test]
fn a_target_that_is_the_node_itself() {
    with_seeds(0..3, |seed| {
        let mut net = Net::new(seed);
        net.add(&[0]);
        net.add(&[1, 0]);
        net.start_all();
        net.settle(secs(2));
        net.rest(60);
        for place in [0, 1] {
            let addr = net.nodes[place].start.published[0];
            let dials = net.dials[place].iter().filter(|dial| dial.1 == addr);
            assert_eq!(dials.count(), 1, "it dials itself once");
        }
        assert_eq!(net.told(|event| matches!(event, Event::OwnTarget(_))), 2);
    });
}

/// The copy may be told of a neighbour of the node whose key it has, which takes no second node under that name, or of another one.
#[test]
fn both_runs_of_one_key_are_told_within_a_second_and_the_first_one_goes_on() {
    with_seeds(0..6, |seed| {
        for (nodes, near) in [(5, true), (30, true), (30, false)] {
            let mut net = Net::new(seed);
            for place in 0..nodes {
                net.add(if place == 0 { &[] } else { &[0] });
            }
            net.start_all();
            net.run(secs(20));
            let ids: Vec<NodeId> = net.nodes.iter().map(|node| node.id()).collect();
            let pairs = net.linked_pairs(|id| ids.iter().position(|one| one == id));
            let first = 3;
            let is_near =
                |place: &usize| pairs.contains_key(&(first.min(*place), first.max(*place)));
            let mut others = (0..nodes).filter(|place| *place != first);
            let target = others.find(|place| is_near(place) == near).unwrap();
            net.strict = false;
            let copy = net.add_with_key(first as u16, &[target]);
            net.start(copy);
            let began = net.now();
            net.run(secs(10));
            for place in [first, copy] {
                let mut told = net.events.iter().filter(|(_, at, _)| *at == place);
                let twin = told.find(|(_, _, event)| matches!(event, Event::Twin { .. }));
                let after = twin.expect("it is told").0 - began;
                assert!(after < secs(1), "{nodes} {near}: {place} after {after:?}");
            }
            let fell_silent = net.events.iter().any(|(_, place, event)| {
                *place == first && matches!(event, Event::Twin { silenced: true, .. })
            });
            assert!(!fell_silent, "{nodes} {near}: the first one goes on");
            // The others show it, under the address that it has.
            let up = (0..nodes).all(|place| net.view(place).0.len() == nodes);
            assert!(up, "{nodes} {near}");
        }
    });
}
