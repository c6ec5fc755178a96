//! The owner of this node's record by itself, through its own interface.

use super::*;
use crate::membership::interface::Action;
use crate::membership::out::Out;
use crate::membership::testing::{Unsigned, addr, body, config, connected, ms, node, record};
use crate::wire::{Answer, NodeId, ViewDigest};

/// A network of so many nodes, whose links are made.
fn around(up: usize) -> Around {
    Around {
        up,
        readers: up,
        shaped: Time::ZERO,
    }
}

const FEW: fn() -> Around = || around(3);

/// The record of node 1, and its links.
struct Bench {
    own: OwnRecord,
    links: Links,
}

impl Bench {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: Config) -> Self {
        let config = Arc::new(config);
        let links = Links::new(node(1), config.probe_interval, config.tuning.clone());
        Self {
            own: OwnRecord::new(config, Arc::new(Unsigned(node(1)))),
            links,
        }
    }

    /// A link stands, dialed by this node, and is listed.
    fn link(&mut self, now: Time, peer: u8) {
        let peer = node(peer);
        let number = u64::try_from(self.links.len()).expect("a few");
        self.links.adopt(now, &connected(number, peer, 7, true));
        assert!(self.links.list_if_due(now, &peer, None));
    }

    /// When the next record is due, which is published then.
    fn published(&mut self, around: Around) -> Option<Time> {
        loop {
            let due = self.own.deadline()?;
            let record = self.own.publish_if_due(due, around, &self.links);
            if let Some(record) = record {
                assert_eq!(record.body().seq, self.own.record().body().seq);
                return Some(due);
            }
            if self.own.deadline() == Some(due) {
                return None;
            }
        }
    }

    /// A probe of the link to a peer is answered after so many µs.
    fn measure(&mut self, now: Time, peer: &NodeId, us: u32) {
        let mut out = Out::new();
        self.links.probe(now, peer, ViewDigest([0; 8]), 0, &mut out);
        let Some(Action::Probe(_, probe)) = out.poll_action() else {
            panic!("no probe is due at {now:?}");
        };
        let answer = Answer {
            seq: probe.seq,
            hold_us: 0,
        };
        self.links.handle_answer(now, peer, &answer, Some(us));
    }
}

#[test]
fn a_loss_is_told_at_once_and_the_next_one_a_tenth_of_a_second_later() {
    let mut bench = Bench::new();
    for peer in 2..5 {
        bench.link(ms(0), peer);
    }
    let now = ms(5000);
    bench.own.link_lost(now, &bench.links);
    assert_eq!(bench.own.last_loss(), Some(now));
    assert_eq!(bench.published(FEW()), Some(now));
    bench.own.link_lost(ms(5010), &bench.links);
    bench.own.link_lost(ms(5050), &bench.links);
    assert_eq!(bench.published(FEW()), Some(ms(5100)), "both in one");
    assert_eq!(bench.own.deadline(), None);
    bench.own.link_lost(ms(9000), &bench.links);
    assert_eq!(bench.published(FEW()), Some(ms(9000)));
}

#[test]
fn where_no_link_is_left_losses_are_told_at_once() {
    let mut bench = Bench::new();
    bench.own.link_lost(ms(5000), &bench.links);
    assert_eq!(bench.published(FEW()), Some(ms(5000)));
    bench.own.link_lost(ms(5001), &bench.links);
    assert_eq!(bench.published(FEW()), Some(ms(5001)));
}

#[test]
fn gains_wait_twice_as_long_each_time_while_they_keep_coming() {
    let mut bench = Bench::new();
    let mut now = ms(10_000);
    let mut waits = Vec::new();
    for peer in 2..12 {
        bench.link(now, peer);
        bench.own.link_gained(now, FEW(), &bench.links);
        let told = bench.published(FEW()).expect("a gain is told");
        waits.push((told - now).as_millis());
        now = told;
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
    now += ms(2001);
    bench.own.link_gained(now, FEW(), &bench.links);
    assert_eq!(bench.published(FEW()), Some(now + ms(10)), "it was quiet");
}

#[test]
fn gains_of_a_large_network_wait_four_times_as_long_each_time() {
    let mut bench = Bench::new();
    let (mut now, large) = (ms(10_000), || around(1000));
    let mut waits = Vec::new();
    for peer in 2..6 {
        bench.link(now, peer);
        bench.own.link_gained(now, large(), &bench.links);
        let told = bench.published(large()).expect("a gain is told");
        waits.push((told - now).as_millis());
        now = told;
    }
    assert_eq!(waits, [100, 400, 1000, 1000]);
}

#[test]
fn a_loss_takes_waiting_gains_with_it() {
    let mut bench = Bench::new();
    bench.link(ms(10_000), 2);
    bench.own.link_gained(ms(10_000), FEW(), &bench.links);
    bench.own.link_lost(ms(10_001), &bench.links);
    assert_eq!(bench.published(FEW()), Some(ms(10_001)));
    assert_eq!(bench.own.deadline(), None);
    assert_eq!(bench.own.record().body().links.len(), 1);
}

#[test]
fn another_state_of_a_link_waits_50_ms() {
    let mut bench = Bench::new();
    bench.link(ms(10_000), 2);
    bench.own.link_changed(ms(10_000), FEW(), &bench.links);
    assert_eq!(bench.published(FEW()), Some(ms(10_050)));
}

#[test]
fn changes_of_the_shape_wait_for_the_last_one_but_four_seconds_at_most() {
    let mut bench = Bench::new();
    bench.own.link_given_up(ms(10_000));
    assert_eq!(bench.own.deadline(), Some(ms(11_000)));
    bench.own.link_given_up(ms(10_800));
    assert_eq!(bench.own.deadline(), Some(ms(11_800)));
    for at in [11_700, 12_600, 13_500] {
        bench.own.link_given_up(ms(at));
    }
    assert_eq!(bench.published(FEW()), Some(ms(14_000)));

    bench.own.link_lost(ms(20_000), &bench.links);
    assert_eq!(bench.published(FEW()), Some(ms(20_000)));
    for at in [20_100, 21_000, 21_900] {
        bench.own.link_given_up(ms(at));
    }
    let after_loss = bench.published(FEW());
    assert_eq!(after_loss, Some(ms(22_100)), "two seconds after a loss");
}

#[test]
fn the_shape_waits_for_a_network_that_is_still_being_made() {
    let mut bench = Bench::new();
    let growing = |shaped: u64| Around {
        shaped: ms(shaped),
        ..around(3)
    };
    bench.own.link_given_up(ms(10_000));
    assert_eq!(bench.published(growing(12_500)), Some(ms(12_500)));
    bench.own.link_given_up(ms(20_000));
    let longest = ms(24_000) + Tuning::DEFAULT.pace.growing(3);
    assert_eq!(
        bench.published(growing(60_000)),
        Some(longest),
        "not for ever"
    );
}

#[test]
fn a_link_to_a_node_in_view_waits_only_in_a_large_network_and_beyond_the_second() {
    for (links, up, waits) in [(1, 100, false), (2, 100, true), (2, 32, false)] {
        let mut bench = Bench::new();
        for peer in 0..links {
            bench.link(ms(0), 2 + peer);
        }
        bench.own.publish(ms(0), &bench.links);
        bench.link(ms(10_000), 9);
        let waited = bench.own.link_added(ms(10_000), around(up), &bench.links);
        assert_eq!(waited, waits, "{links} links, {up} nodes");
    }
}

/// A node with one measured link, in a network of so many nodes, whose budget never grows.
fn measured(up: usize) -> (Bench, Around) {
    let mut bench = Bench::with(Config {
        refresh_bytes_per_s: 0,
        ..config()
    });
    bench.link(ms(0), 2);
    bench.measure(ms(0), &node(2), 1000);
    bench.own.publish(ms(0), &bench.links);
    (bench, around(up))
}

#[test]
fn old_measurements_are_told_anew_from_the_upper_half_of_the_budget() {
    let (mut bench, around) = measured(3);
    let mut told = Vec::new();
    for s in 1..600 {
        bench
            .own
            .consider_figures(ms(s * 1000), around, &bench.links);
        if let Some(at) = bench.published(around) {
            told.push(at.as_secs());
        }
    }
    // It holds eight records; those below four are kept for gross moves.
    assert_eq!(told, [60, 120, 180, 240, 300]);
}

#[test]
fn a_gross_move_is_told_at_once_and_with_the_last_record_after_two_rounds_of_probes() {
    let (mut bench, few) = measured(3);
    let peer = node(2);
    for at in [1500, 1600, 1700] {
        bench.own.consider_figures(ms(at), few, &bench.links);
        assert_eq!(bench.own.deadline(), None, "no move yet at {at} ms");
        bench.measure(ms(at), &peer, 50_000);
    }
    bench.own.consider_figures(ms(1700), few, &bench.links);
    assert_eq!(bench.published(few), Some(ms(1700)), "another path");
    let link = bench.own.record().body().links[0];
    assert_eq!(link.rtt_us, 50_000);

    let (mut bench, crowd) = measured(100);
    for at in [1500, 1600, 1700] {
        bench.measure(ms(at), &peer, 50_000);
    }
    for at in [1700, 2000, 4699] {
        bench.own.consider_figures(ms(at), crowd, &bench.links);
        assert_eq!(bench.own.deadline(), None, "others may have moved too");
    }
    bench.own.consider_figures(ms(4700), crowd, &bench.links);
    assert_eq!(bench.published(crowd), Some(ms(4700)));
}

#[test]
fn figures_are_not_told_while_a_network_starts_or_by_who_leaves() {
    let (mut bench, few) = measured(3);
    let starts = Around {
        shaped: ms(100_000),
        ..few
    };
    bench.own.consider_figures(ms(90_000), starts, &bench.links);
    assert_eq!(bench.own.deadline(), None);
    bench.own.leave();
    bench.own.consider_figures(ms(90_000), few, &bench.links);
    assert_eq!(bench.own.deadline(), None);
    let last = bench.own.publish(ms(90_000), &bench.links);
    assert!(last.is_some_and(|record| record.body().leaving));
}

#[test]
fn a_record_of_a_former_run_is_jumped_over_at_most_once_a_second_and_ever_less_often() {
    let mut bench = Bench::new();
    let own_run = config().run_id;
    let mut jumps = Vec::new();
    let mut now = ms(1000);
    for epoch in 5..10 {
        let foreign = record(body(node(1), own_run, epoch));
        assert_eq!(bench.own.heard_own(now, &foreign), None);
        let told = bench.published(FEW()).expect("it jumps");
        assert_eq!(bench.own.record().body().epoch, epoch + 1);
        jumps.push((told - now).as_millis());
        if told > now {
            // The pause is over, and the next one begins.
            assert_eq!(bench.own.heard_own(told, &foreign), None);
            bench.published(FEW());
        }
        now = told + ms(1);
    }
    assert_eq!(jumps, [0, 999, 1999, 3999, 7999]);
}

/// Hears a second node with its key, until that is told.
fn hear_twin(bench: &mut Bench, run_id: u64) -> Option<Event> {
    let mut now = ms(1000);
    (0..10).find_map(|_| {
        let epoch = bench.own.epoch() + 1;
        let event = bench
            .own
            .heard_own(now, &record(body(node(1), run_id, epoch)));
        bench.published(FEW());
        now += ms(70_000);
        event
    })
}

#[test]
fn of_two_nodes_with_one_key_the_lower_run_falls_silent_until_the_other_leaves() {
    let mut bench = Bench::with(Config {
        run_id: 5,
        ..config()
    });
    let higher = hear_twin(&mut bench, 9);
    assert!(matches!(
        higher,
        Some(Event::Twin {
            run_id: 9,
            silenced: true,
            ..
        })
    ));
    assert_eq!(bench.own.publish(ms(1_000_000), &bench.links), None);
    let mut last = body(node(1), 9, bench.own.epoch() + 1);
    last.leaving = true;
    bench.own.heard_own(ms(1_100_000), &record(last));
    assert!(bench.published(FEW()).is_some(), "the network is its own");

    let mut bench = Bench::with(Config {
        run_id: 5,
        ..config()
    });
    let lower = hear_twin(&mut bench, 2);
    assert!(matches!(
        lower,
        Some(Event::Twin {
            run_id: 2,
            silenced: false,
            ..
        })
    ));
    assert!(bench.own.publish(ms(1_000_000), &bench.links).is_some());
}

#[test]
fn two_neighbours_must_agree_on_an_address_where_there_are_more_than_two() {
    let with = |peers: u8| {
        let mut bench = Bench::with(Config {
            addrs: Vec::new(),
            ..config()
        });
        for peer in 0..peers {
            let peer = node(2 + peer);
            let mut new = connected(peer.0[0].into(), peer, 7, true);
            // All but the last of them see different addresses.
            let port = u16::from(peer.0[0].min(peers));
            new.hello.observed = addr(1000 + port);
            bench.links.adopt(ms(0), &new);
        }
        bench.own.learn_addrs(ms(0), &bench.links);
        bench.published(FEW());
        let published = bench.own.record().body().addrs.iter();
        published.map(|one| one.addr).collect::<Vec<_>>()
    };
    assert_eq!(with(0), []);
    assert_eq!(with(1), [addr(1001)]);
    assert_eq!(with(3), [addr(1003)], "the last two agree");

    let mut bench = Bench::new();
    bench.link(ms(0), 2);
    bench.own.learn_addrs(ms(0), &bench.links);
    assert_eq!(bench.own.deadline(), None, "its own are configured");
}
