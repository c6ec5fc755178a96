//! The owner of this node's record by itself, through its own interface.

use super::*;
use crate::membership::testing::{Unsigned, addr, body, config, connected, ms, node, record};

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

#[test]
fn a_record_of_a_former_run_is_jumped_over_at_once_and_then_ever_less_often() {
    let mut bench = Bench::new();
    let own_run = config().run_id;
    let mut jumps = Vec::new();
    let mut now = ms(1000);
    for epoch in 5..10 {
        let foreign = record(body(node(1), own_run, epoch));
        assert_eq!(bench.own.heard_own(now, &foreign), None);
        assert_eq!(bench.own.heard_own(now, &foreign), None, "planned already");
        let told = bench.published(FEW()).expect("it jumps");
        assert_eq!(bench.own.record().body().epoch, epoch + 1);
        jumps.push((told - now).as_millis());
        now = told;
    }
    assert_eq!(jumps, [0, 100, 200, 400, 800]);
}

/// Node 1, 100 s old, hears a second run with its key, which answers each jump within 50 ms. Returns what it is told, and when.
fn hear_twin(bench: &mut Bench, run_id: u64, uptime_s: u32) -> Option<(Event, Time)> {
    let mut now = ms(100_000);
    (0..3).find_map(|_| {
        let mut foreign = body(node(1), run_id, bench.own.epoch() + 1);
        foreign.uptime_s = uptime_s;
        let event = bench.own.heard_own(now, &record(foreign));
        let told = event.map(|event| (event, now));
        if let Some(at) = bench.published(FEW()) {
            now = at.max(now) + ms(50);
        }
        told
    })
}

#[test]
fn of_two_nodes_with_one_key_the_one_that_started_first_goes_on() {
    let run_5 = || {
        Bench::with(Config {
            run_id: 5,
            ..config()
        })
    };
    let mut bench = run_5();
    let (event, at) = hear_twin(&mut bench, 9, 90).expect("told");
    assert!(at <= ms(100_500), "told after {at:?}");
    let is_silenced = |event: Event| matches!(event, Event::Twin { silenced: true, .. });
    assert!(!is_silenced(event), "the other run is younger");
    assert!(bench.own.publish(ms(1_000_000), &bench.links).is_some());

    let mut bench = run_5();
    let (event, at) = hear_twin(&mut bench, 2, 110).expect("told");
    assert!(at <= ms(100_500), "told after {at:?}");
    assert!(is_silenced(event), "the other run is older");
    let further = record(body(node(1), 2, bench.own.epoch() + 5));
    assert_eq!(bench.own.heard_own(ms(200_000), &further), None);
    assert_eq!(bench.own.deadline(), None, "who is silent does not jump");
    assert_eq!(bench.own.publish(ms(1_000_000), &bench.links), None);
    let mut last = body(node(1), 2, bench.own.epoch() + 1);
    last.leaving = true;
    bench.own.heard_own(ms(1_100_000), &record(last));
    assert!(bench.published(FEW()).is_some(), "the network is its own");

    for (run_id, silenced) in [(2, false), (9, true)] {
        let (event, _) = hear_twin(&mut run_5(), run_id, 101).expect("told");
        assert_eq!(is_silenced(event), silenced, "of one age, the lower run");
    }
}

#[test]
fn records_of_two_former_runs_are_no_twin() {
    let mut bench = Bench::new();
    let mut now = ms(1000);
    for (run_id, epoch) in [(2, 5), (3, 9), (4, 20)] {
        let former = record(body(node(1), run_id, epoch));
        assert_eq!(bench.own.heard_own(now, &former), None);
        now = bench.published(FEW()).expect("it jumps");
    }
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
