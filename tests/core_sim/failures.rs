//! Faults, and how the network recovers from them.

use area_net::membership::Event;
use area_net::snapshot::NodeState;

use crate::growth::chain;
use crate::net::{Net, ms, secs, with_seeds};

fn settled(seed: u64, length: usize) -> Net {
    let mut net = chain(seed, length);
    net.start_all();
    net.settle(secs(12));
    if length > 16 {
        net.shed();
    }
    net.run(secs(5));
    net.settle(secs(2));
    net.clear_events();
    net
}

#[test]
fn a_killed_node_is_gone_from_every_view_and_comes_back_when_restarted() {
    with_seeds(0..6, |seed| {
        let mut net = settled(seed, 10);
        net.encoded = true;
        let id = net.nodes[4].id();
        net.kill(4);
        net.settle(ms(3500));
        net.rest(60);
        assert_eq!(net.told(|event| *event == Event::Unreachable(id)), 9);
        net.clear_events();
        net.start(4);
        net.settle(ms(2500));
        assert_eq!(net.told(|event| *event == Event::Up(id)), 9);
        net.rest(20);
    });
}

#[test]
fn a_node_restarted_at_once_is_hardly_missed() {
    with_seeds(0..6, |seed| {
        let mut net = settled(seed, 8);
        net.strict = false;
        net.kill(3);
        net.run(ms(300));
        net.start(3);
        net.settle(ms(3000));
        net.rest(30);
        assert_eq!(net.view(0).1.len(), 28);
    });
}

#[test]
fn a_third_of_a_network_dies_at_once() {
    with_seeds(0..3, |seed| {
        let mut net = settled(seed, 40);
        for place in (0..40).filter(|place| place % 10 < 3) {
            net.kill(place);
        }
        net.settle(secs(10));
        net.shed();
        net.rest(20);
    });
}

#[test]
fn a_leaver_is_gone_at_once_and_nobody_dials_it() {
    with_seeds(0..6, |seed| {
        // Number 9 is no node's target.
        let mut net = settled(seed, 10);
        let id = net.nodes[9].id();
        net.leave(9);
        net.run(ms(300));
        assert_eq!(net.told(|event| *event == Event::Left(id)), 9);
        assert_eq!(net.told(|event| *event == Event::Unreachable(id)), 0);
        let calm = |event: &Event| matches!(event, Event::Unlinked { peer, calm: true, .. } if *peer == id);
        assert_eq!(net.told(calm), 9);
        net.settle(secs(1));
        let from = net.now();
        net.rest(120);
        let addr = net.nodes[9].start.published[0];
        for dials in &net.dials[..9] {
            assert!(
                !dials
                    .iter()
                    .any(|dial| *dial > (from, addr) && dial.1 == addr)
            );
        }
        net.start(9);
        net.settle(secs(3));
    });
}

fn split(net: &mut Net, span: std::time::Duration) {
    for place in 0..net.nodes.len() / 2 {
        net.groups.insert(place, 1);
    }
    net.run(span);
    if let Err(reason) = net.correct() {
        panic!("each half shows itself, but {reason}");
    }
}

#[test]
fn a_partition_heals_within_seconds() {
    with_seeds(0..4, |seed| {
        let mut net = settled(seed, 20);
        net.strict = false;
        split(&mut net, secs(90));
        assert_eq!(net.view(0).0.len(), 10);
        let there = net.snapshot(0).nodes;
        assert_eq!(there.len(), 20);
        let lost = there
            .iter()
            .filter(|node| node.state == NodeState::Unreachable);
        assert_eq!(lost.count(), 10);
        net.groups.clear();
        let took = net.settle(secs(25));
        assert!(took < secs(25), "took {took:?}");
        net.strict = true;
        net.shed();
        net.rest(20);
    });
}

#[test]
fn a_partition_of_twenty_minutes_is_forgotten_and_heals_all_the_same() {
    with_seeds(0..3, |seed| {
        let mut net = settled(seed, 12);
        net.strict = false;
        split(&mut net, secs(1200));
        assert_eq!(net.snapshot(0).nodes.len(), 6);
        assert_eq!(net.snapshot(11).nodes.len(), 6);
        net.groups.clear();
        net.settle(secs(60));
        // The mesh is made once all have come into view.
        net.run(secs(5));
        net.settle(secs(5));
        net.rest(20);
    });
}

#[test]
fn one_dead_direction_costs_one_link_and_no_node() {
    with_seeds(0..6, |seed| {
        let mut net = settled(seed, 6);
        net.dead.insert((2, 4));
        net.run(secs(30));
        net.clear_events();
        for _ in 0..20 {
            net.run(secs(1));
            assert_eq!(net.view(0).1.len(), 14, "both ends dropped the link");
            assert_eq!(net.view(2).1, net.view(4).1);
        }
        net.dead.clear();
        net.run(secs(90));
        net.settle(secs(5));
        assert_eq!(net.view(0).1.len(), 15);
    });
}

#[test]
fn loss_takes_no_node_down() {
    for (loss, seeds) in [(0.1, 0..3), (0.2, 0..3), (0.3, 0..3)] {
        with_seeds(seeds, |seed| {
            let mut net = chain(seed, 6);
            net.path.loss = loss;
            net.path.delay = ms(10);
            // A young link's loss is not known yet: verdicts come early.
            net.strict = false;
            net.start_all();
            net.run(secs(60));
            net.settle(secs(30));
            net.strict = true;
            for place in 0..6 {
                assert_eq!(net.view(place).0.len(), 6, "all are aware");
            }
            net.clear_events();
            // Meanwhile `strict` fails the test if any node is shown as down.
            net.run(secs(600));
            let lost = net.told(|event| matches!(event, Event::Unlinked { calm: false, .. }));
            assert!(lost <= 2, "{lost} links lost at {loss}");
            // Once the loss is over, all comes to rest.
            net.path.loss = 0.0;
            net.run(secs(70));
            net.settle(secs(10));
            assert_eq!(net.view(0).1.len(), 15);
        });
    }
}

#[test]
fn a_network_grows_and_sheds_under_loss() {
    with_seeds(0..2, |seed| {
        let mut net = chain(seed, 24);
        net.path.loss = 0.1;
        net.path.delay = ms(5);
        net.start_all();
        net.run(secs(120));
        for place in 0..24 {
            assert_eq!(net.view(place).0.len(), 24, "all are aware");
        }
    });
}

#[test]
fn a_paused_node_blames_nobody() {
    with_seeds(0..8, |seed| {
        let mut net = settled(seed, 6);
        net.strict = false;
        let id = net.nodes[2].id();
        net.pause(2);
        net.run(secs(10));
        assert!((0..6).all(|place| place == 2 || !net.shown[place].contains(&id)));
        net.resume(2);
        net.settle(secs(8));
        let blames = net
            .events
            .iter()
            .filter(|(_, place, event)| *place == 2 && matches!(event, Event::Unreachable(_)));
        assert_eq!(blames.count(), 0);
        net.rest(30);
        assert_eq!(net.view(0).1.len(), 15);
    });
}

#[test]
fn a_short_pause_goes_unnoticed() {
    with_seeds(0..6, |seed| {
        let mut net = settled(seed, 6);
        net.pause(2);
        net.run(ms(800));
        net.resume(2);
        net.run(secs(5));
        net.settle(secs(2));
        assert_eq!(net.told(|event| matches!(event, Event::Unlinked { .. })), 0);
    });
}

#[test]
fn a_node_that_moves_is_found_by_what_it_dials() {
    with_seeds(0..4, |seed| {
        let mut net = settled(seed, 6);
        net.strict = false;
        net.kill(3);
        net.nodes[3].start.published = vec!["[::1]:9999".parse().unwrap()];
        net.run(secs(5));
        net.start(3);
        net.settle(secs(5));
        net.rest(20);
        assert_eq!(net.view(0).1.len(), 15);
    });
}
