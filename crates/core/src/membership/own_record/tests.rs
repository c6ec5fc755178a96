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
    bench.own.link_lost(now, false, &bench.links);
    assert_eq!(bench.own.last_loss(), Some(now));
    assert_eq!(bench.published(FEW()), Some(now));
    bench.own.link_lost(ms(5010), false, &bench.links);
    bench.own.link_lost(ms(5050), false, &bench.links);
    assert_eq!(bench.published(FEW()), Some(ms(5100)), "both in one");
    assert_eq!(bench.own.deadline(), None);
    bench.own.link_lost(ms(9000), false, &bench.links);
    assert_eq!(bench.published(FEW()), Some(ms(9000)));
}

#[test]
fn where_no_link_is_left_losses_are_told_at_once() {
    let mut bench = Bench::new();
    bench.own.link_lost(ms(5000), false, &bench.links);
    assert_eq!(bench.published(FEW()), Some(ms(5000)));
    bench.own.link_lost(ms(5001), false, &bench.links);
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
    bench.own.link_lost(ms(10_001), false, &bench.links);
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

    bench.own.link_lost(ms(20_000), false, &bench.links);
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
        assert_eq!(bench.own.heard_own(now, &foreign), Ok(None));
        assert_eq!(
            bench.own.heard_own(now, &foreign),
            Ok(None),
            "planned already"
        );
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
        let event = bench.own.heard_own(now, &record(foreign)).unwrap();
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
    assert_eq!(bench.own.heard_own(ms(200_000), &further), Ok(None));
    assert_eq!(bench.own.deadline(), None, "who is silent does not jump");
    assert_eq!(bench.own.publish(ms(1_000_000), &bench.links), None);
    let mut last = body(node(1), 2, bench.own.epoch() + 1);
    last.leaving = true;
    bench.own.heard_own(ms(1_100_000), &record(last)).unwrap();
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
        assert_eq!(bench.own.heard_own(now, &former), Ok(None));
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
        bench.own.learn_addrs(ms(0), &bench.links, |_| false);
        bench.published(FEW());
        let published = bench.own.record().body().addrs.iter();
        published.map(|one| one.addr).collect::<Vec<_>>()
    };
    assert_eq!(with(0), []);
    assert_eq!(with(1), [addr(1001)]);
    assert_eq!(with(3), [addr(1003)], "the last two agree");

    let mut bench = Bench::new();
    bench.link(ms(0), 2);
    bench.own.learn_addrs(ms(0), &bench.links, |_| false);
    assert_eq!(bench.own.deadline(), None, "its own are configured");
}

/// A clock that is right.
const NOW_MS: u64 = 1_800_000_000_000;
const DAY_MS: u64 = 86_400_000;

#[test]
fn an_epoch_more_than_a_day_ahead_of_the_clock_is_not_followed() {
    let with_epoch = |epoch| Bench::with(Config { epoch, ..config() });
    let own = |epoch| record(body(node(1), 9, epoch));
    let mut bench = with_epoch(NOW_MS);
    let now = ms(10 * DAY_MS);
    for ahead in [u64::MAX, u64::MAX - 1, NOW_MS + 11 * DAY_MS + 1] {
        let told = bench.own.heard_own(now, &own(ahead));
        assert_eq!(told.is_err(), ahead == u64::MAX, "told once, {ahead}");
        assert_eq!((bench.own.epoch(), bench.own.deadline()), (NOW_MS, None));
    }
    let minute = now + Tuning::DEFAULT.own_record.longest_jump;
    assert_eq!(bench.own.heard_own(minute, &own(u64::MAX)), Err(TooNew));
    // Another run that began ten days later, on a clock that is a day fast, is followed.
    let twin = NOW_MS + 11 * DAY_MS;
    assert_eq!(bench.own.heard_own(minute, &own(twin)), Ok(None));
    assert!(bench.published(FEW()).is_some());
    assert_eq!(bench.own.record().body().epoch, twin + 1);
    // A restart goes on from what is kept on disk, and that is not pushed on by being heard again.
    let mut bench = with_epoch(twin + 2);
    assert_eq!(
        bench.own.heard_own(ms(0), &own(twin + 2 + DAY_MS)),
        Ok(None)
    );
    assert_eq!(
        bench.own.heard_own(ms(0), &own(twin + 4 + DAY_MS)),
        Err(TooNew)
    );
    assert_eq!(bench.own.epoch(), twin + 3 + DAY_MS);
}

#[test]
fn a_node_without_a_clock_follows_its_own_records_within_the_century() {
    let mut bench = Bench::new();
    let own = |epoch| record(body(node(1), 9, epoch));
    assert_eq!(bench.own.heard_own(ms(0), &own(u64::MAX)), Err(TooNew));
    assert_eq!(bench.own.heard_own(ms(0), &own(NOW_MS)), Ok(None));
    bench.published(FEW());
    assert_eq!(bench.own.record().body().epoch, NOW_MS + 1);
}

#[test]
fn versions_go_on_after_the_last_sequence_number_and_never_overflow() {
    let mut bench = Bench::new();
    bench.own.seq = u32::MAX - 1;
    let mut versions = Vec::new();
    for _ in 0..3 {
        let record = bench.own.publish(ms(1), &bench.links).expect("published");
        versions.push((record.body().epoch, record.body().seq));
    }
    assert_eq!(versions, [(1, u32::MAX), (2, 1), (2, 2)]);
    assert_eq!(next_version(u64::MAX, u32::MAX), (u64::MAX, u32::MAX));
}

#[test]
fn a_neighbour_that_makes_and_drops_links_causes_a_record_a_second() {
    let mut bench = Bench::new();
    let (mut now, mut records) = (ms(10_000), 0_u32);
    while now < ms(20_000) {
        bench.own.link_gained(now, FEW(), &bench.links);
        bench.own.link_lost(now + ms(2), true, &bench.links);
        for _ in 0..5 {
            now += ms(1);
            let record = bench.own.publish_if_due(now, FEW(), &bench.links);
            records += u32::from(record.is_some());
        }
    }
    assert!(records <= 20, "{records} records in ten seconds");
    // A link that had lasted is told of at once all the same.
    bench.own.link_lost(now, false, &bench.links);
    let told = bench.published(FEW()).expect("told");
    assert!(
        told <= now + Tuning::DEFAULT.own_record.loss_spacing,
        "{told:?}"
    );
}

/// The addresses that a node publishes, without an interface that tells one, whose peers are at these addresses and see it at those.
fn published(votes: &[(&str, &str)]) -> Vec<SocketAddr> {
    let mut bench = Bench::with(Config {
        addrs: Vec::new(),
        ..config()
    });
    vote(&mut bench, votes);
    let published = bench.own.addrs().iter().map(|one| one.addr);
    published.collect()
}

fn vote(bench: &mut Bench, votes: &[(&str, &str)]) {
    for (number, (from, to)) in (1..).zip(votes) {
        let peer = node(100 + number);
        let mut new = connected(number.into(), peer, 7, true);
        new.remote = from.parse().unwrap();
        new.hello.observed = to.parse().unwrap();
        bench.links.adopt(ms(0), &new);
        bench.own.learn_addrs(ms(0), &bench.links, |_| false);
    }
}

#[test]
fn two_ids_of_one_network_are_one_voter_unless_there_is_no_other() {
    const TRUE: &str = "203.0.113.1:8083";
    const VICTIM: &str = "192.0.2.66:53";
    let addrs = |list: &[&str]| -> Vec<SocketAddr> {
        list.iter().map(|one| one.parse().unwrap()).collect()
    };
    let honest = [("198.51.100.1:1", TRUE), ("203.0.113.7:1", TRUE)];
    let liars = [
        ("192.0.2.1:1", VICTIM),
        ("192.0.2.1:2", VICTIM),
        ("192.0.2.9:1", VICTIM),
    ];
    let all = [&honest[..], &liars[..]].concat();
    assert_eq!(published(&all), addrs(&[TRUE]));
    // The liars come first, and are alone at first: what they say ends with the second honest vote.
    let all = [&liars[..], &honest[..]].concat();
    assert_eq!(published(&all), addrs(&[TRUE]));
    // With one honest vote, the earlier one stands, and no liar adds an address.
    let all = [&honest[..1], &liars[..]].concat();
    assert_eq!(published(&all), addrs(&[TRUE]));
    // All neighbours are in one network: its hosts vote. All are on one host: its nodes vote.
    let lan = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.3:2"];
    let lan = [
        (lan[0], TRUE),
        (lan[1], TRUE),
        (lan[2], VICTIM),
        (lan[3], VICTIM),
    ];
    assert_eq!(published(&lan), addrs(&[TRUE]));
    let host = [
        ("10.0.0.1:1", TRUE),
        ("10.0.0.1:2", TRUE),
        ("10.0.0.1:3", VICTIM),
    ];
    assert_eq!(published(&host), addrs(&[TRUE]));
    let six = [
        ("[2001:db8:1::1]:1", "[2001:db8:9::1]:1"),
        ("[2001:db8:2::1]:1", "[2001:db8:9::1]:1"),
    ];
    let liars = [
        ("[2001:db8:3:1::1]:1", "[2001:db8:6::6]:1"),
        ("[2001:db8:3:2::1]:1", "[2001:db8:6::6]:1"),
    ];
    let all = [&six[..], &liars[..]].concat();
    assert_eq!(
        published(&all),
        addrs(&["[2001:db8:9::1]:1"]),
        "a /48 is one voter"
    );
}

#[test]
fn a_node_that_moved_publishes_its_new_address_once_two_see_it() {
    let mut bench = Bench::with(Config {
        addrs: Vec::new(),
        ..config()
    });
    let before = "203.0.113.1:8083".parse().unwrap();
    let after = "203.0.113.2:8083".parse().unwrap();
    vote(
        &mut bench,
        &[
            ("198.51.100.1:1", "203.0.113.1:8083"),
            ("192.0.2.7:1", "203.0.113.1:8083"),
        ],
    );
    let published = |bench: &Bench| {
        bench
            .own
            .addrs()
            .iter()
            .map(|one| one.addr)
            .collect::<Vec<_>>()
    };
    assert_eq!(published(&bench), [before]);
    for (peer, seen) in [(101, before), (102, after)] {
        assert!(bench.links.hear_observed(&node(peer), after));
        bench.own.learn_addrs(ms(1), &bench.links, |_| false);
        assert_eq!(published(&bench), [seen]);
    }
}
