//! Connections that compete, and identities that run twice.

use area_net::membership::Event;
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
        // One connection a pair, held by both of its ends, and shown alike by all: `settle` sees to it.
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

#[test]
fn a_node_whose_key_runs_twice_is_told_so() {
    with_seeds(0..6, |seed| {
        let mut net = Net::new(seed);
        for place in 0..6_usize {
            let key = if place == 5 {
                2
            } else {
                u16::try_from(place).unwrap()
            };
            let targets: Vec<usize> = place.checked_sub(1).into_iter().collect();
            net.add_with_key(key, &targets);
        }
        net.strict = false;
        for place in 0..5 {
            net.start(place);
        }
        net.settle(secs(5));
        net.start(5);
        net.run(secs(180));
        let twin = |event: &Event| matches!(event, Event::Twin { .. });
        for place in [2, 5] {
            let told = net
                .events
                .iter()
                .filter(|(_, at, event)| *at == place && twin(event));
            assert!(told.count() > 0, "{place} hears of its twin");
        }
        let seen = net.told(|event| matches!(event, Event::PeerTwin(..)));
        assert!(seen > 0, "their peers see both");
        // The others hold their links and see each other.
        let others = [0, 1, 3, 4];
        let ids: Vec<_> = others.map(|at| net.nodes[at].id).to_vec();
        for place in others {
            let shown = net.view(place).0;
            assert!(ids.iter().all(|id| shown.contains(id)));
        }
        let before: u64 = others.iter().map(|&at| net.nodes[at].actions).sum();
        net.run(secs(60));
        let after: u64 = others.iter().map(|&at| net.nodes[at].actions).sum();
        assert!(
            after - before < 4 * 60 * 16,
            "{} things in a minute",
            after - before
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
            let addr = net.nodes[place].config.addrs[0];
            let dials = net.nodes[place].dials.iter().filter(|dial| dial.1 == addr);
            assert_eq!(dials.count(), 1, "it dials itself once");
        }
        assert_eq!(net.told(|event| matches!(event, Event::OwnTarget(_))), 2);
    });
}
