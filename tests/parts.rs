//! The core's parts by themselves: the database, the pool of what is missing, the detector.

#[cfg(test)]
mod database {
    use std::collections::BTreeSet;
    use std::sync::{Arc, LazyLock};
    use std::time::Duration;

    use area_net::identity::Identity;
    use area_net::membership::change::Change;
    use area_net::membership::database::{
        Before, Database, Flip, Index, MAX_DOWN_PER_NEIGHBOUR, Outcome, bucket,
    };
    use area_net::record::{Body, Direction, LinkState, Record, ShortRun, Signer};
    use area_net::wire::{MAX_SYNC_ENTRIES, NodeId, ShortId};
    use proptest::prelude::*;

    static KEY: LazyLock<Identity> = LazyLock::new(|| Identity::from_seed(&[1; 32]));

    fn at(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    fn id(number: u32) -> NodeId {
        let mut id = [0; 32];
        // Spread over all ranges of ids.
        id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
        id[28..].copy_from_slice(&number.to_be_bytes());
        NodeId(id)
    }

    /// A record as the database takes it: verified by whoever hands it over, so any signature will do.
    fn record(number: u32, seq: u32, links: &[u32]) -> Arc<Record> {
        let mut links: Vec<LinkState> = links
            .iter()
            .map(|&peer| LinkState {
                peer: id(peer).abbreviated(),
                run: ShortRun::of(1),
                direction: Direction::Dialer,
                rtt_us: 100,
                rtt_age_s: 0,
                loss: 0,
                suspect: false,
            })
            .collect();
        links.sort_by_key(|link| link.peer);
        let body = Body {
            id: id(number),
            label: "".into(),
            run_id: 1,
            epoch: 1,
            seq,
            addrs: Vec::new(),
            links,
            leaving: false,
        };
        let signer: &dyn Signer = &*KEY;
        Record::sign(body, "", signer)
    }

    fn leaving(number: u32, seq: u32) -> Arc<Record> {
        let body = record(number, seq, &[]).body().clone();
        Record::sign(
            Body {
                leaving: true,
                ..body
            },
            "",
            &*KEY,
        )
    }

    fn take(database: &mut Database, record: Arc<Record>, from: u32) -> Outcome {
        database.accept(record, at(1), Some(id(from)), false)
    }

    fn index(database: &Database, number: u32) -> Index {
        database.index(&id(number).abbreviated()).unwrap()
    }

    fn ups(flips: &[Flip]) -> (usize, usize) {
        let up = flips.iter().filter(|flip| flip.up).count();
        (up, flips.len() - up)
    }

    /// 0 is this node; 0-1-2-3 is a chain.
    fn chain() -> Database {
        let mut database = Database::new(record(0, 1, &[1]));
        for (number, links) in [(1, &[0, 2][..]), (2, &[1, 3]), (3, &[2])] {
            take(&mut database, record(number, 1, links), 1);
        }
        let live = [index(&database, 1)];
        assert_eq!(ups(&database.derive_up(at(1), &live)), (3, 0));
        database
    }

    #[test]
    fn a_node_is_up_when_links_that_both_ends_list_lead_to_it() {
        let mut database = chain();
        let live = [index(&database, 1)];
        // 2 drops its link to 3, which still lists it.
        take(&mut database, record(2, 2, &[1]), 1);
        assert_eq!(ups(&database.derive_up(at(2), &live)), (0, 1));
        assert!(!database.is_up(&id(3)));
        // 3 finds another way.
        take(&mut database, record(3, 2, &[1]), 1);
        assert_eq!(ups(&database.derive_up(at(3), &live)), (0, 0));
        take(&mut database, record(1, 2, &[0, 2, 3]), 1);
        assert_eq!(ups(&database.derive_up(at(4), &live)), (1, 0));
        // This node loses its only link: all is gone at once.
        assert_eq!(ups(&database.derive_up(at(5), &[])), (0, 3));
        assert_eq!(database.up_count(), 1);
    }

    #[test]
    fn nothing_is_reached_through_a_node_that_leaves() {
        let mut database = chain();
        take(&mut database, leaving(1, 2), 1);
        let live = [index(&database, 1)];
        assert_eq!(ups(&database.derive_up(at(2), &live)), (0, 3));
    }

    #[test]
    fn only_newer_records_are_taken() {
        let mut database = Database::new(record(0, 1, &[]));
        let at_1 = Index(1);
        let newer = |change, before: Option<Arc<Record>>| {
            let before = before.map(|record| Before {
                record,
                over_loopback: false,
            });
            Outcome::Newer(at_1, change, before)
        };
        let records = [
            (5, vec![]),
            (4, vec![7]),
            (6, vec![7]),
            (7, vec![7]),
            (8, vec![]),
        ];
        let [five, four, six, seven, eight] = records.map(|(seq, links)| record(1, seq, &links));
        for (given, outcome) in [
            (five.clone(), newer(Change::Gain, None)),
            (five.clone(), Outcome::Same(at_1)),
            (four, Outcome::Older(at_1)),
            (six.clone(), newer(Change::Gain, Some(five))),
            (seven.clone(), newer(Change::Figures, Some(six))),
            (eight.clone(), newer(Change::Loss, Some(seven))),
            (leaving(1, 9), newer(Change::Loss, Some(eight))),
        ] {
            assert_eq!(take(&mut database, given, 9), outcome);
        }
        let (a, b) = (record(1, 9, &[]), leaving(1, 9));
        let lesser = if a.version() < b.version() { a } else { b };
        assert!(!database.would_be_news(&lesser));
        assert!(database.would_be_news(&record(1, 10, &[])));
    }

    #[test]
    fn the_down_are_forgotten_and_their_places_used_again() {
        let mut database = chain();
        let live = [index(&database, 1)];
        take(&mut database, record(2, 2, &[1]), 1);
        database.derive_up(at(100), &live);
        let three = index(&database, 3);
        assert!(database.forget_older(at(699), at(600)).is_empty());
        assert_eq!(database.forget_older(at(700), at(600)), [three]);
        assert!(database.record(&id(3)).is_none() && database.get(three).is_none());
        assert_eq!(
            take(&mut database, record(4, 1, &[]), 1),
            Outcome::Newer(three, Change::Gain, None)
        );
        assert_eq!(
            database.forget_older(at(10_000), at(600)),
            [three],
            "never up, down since it came"
        );
        assert_eq!(database.up_count(), 3, "those that are up stay");
    }

    #[test]
    fn a_neighbour_can_bring_only_so_many_that_are_not_up() {
        let mut database = chain();
        let most = MAX_DOWN_PER_NEIGHBOUR;
        for number in 0..most + 50 {
            take(&mut database, record(1000 + number, 1, &[]), 1);
        }
        let known = |database: &Database| database.count();
        assert_eq!(known(&database), 4 + most as usize);
        assert_eq!(database.up_count(), 4, "those that are up stay");
        // Another neighbour has its own share, and takes from nobody else's.
        take(&mut database, record(9000, 1, &[]), 2);
        assert_eq!(known(&database), 5 + most as usize);
        take(&mut database, record(9001, 1, &[]), 1);
        assert!(database.record(&id(9000)).is_some());
        assert_eq!(known(&database), 5 + most as usize);
    }

    #[test]
    fn one_that_came_up_no_longer_counts_against_who_brought_it() {
        let mut database = chain();
        let live = [index(&database, 1)];
        for number in 0..MAX_DOWN_PER_NEIGHBOUR {
            take(&mut database, record(1000 + number, 1, &[1]), 1);
        }
        take(&mut database, record(1, 2, &[0, 2, 1000]), 1);
        assert_eq!(ups(&database.derive_up(at(2), &live)), (1, 0));
        take(&mut database, record(9000, 1, &[]), 1);
        let known = database.count();
        assert_eq!(
            known,
            5 + MAX_DOWN_PER_NEIGHBOUR as usize,
            "nobody had to go"
        );
    }

    #[test]
    fn versions_are_listed_bucket_by_bucket() {
        let peers: Vec<u32> = (1..=60).collect();
        let mut database = Database::new(record(0, 1, &peers));
        for &peer in &peers {
            take(&mut database, record(peer, 1, &[0]), peer);
        }
        let live: Vec<Index> = peers.iter().map(|&peer| index(&database, peer)).collect();
        database.derive_up(at(1), &live);
        let log2 = database.bucket_log2();
        assert_eq!(log2, 2, "about eight nodes a bucket");
        let (buckets, versions) = database.versions_in(log2, &[0, 1, 2, 3], 3);
        assert_eq!(buckets.len(), 4);
        let ids: BTreeSet<ShortId> = versions.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids.len(), 61);
        let (buckets, versions) = database.versions_in(log2, &[2], 0);
        assert_eq!(buckets, [2]);
        assert!(!versions.is_empty());
        assert!(versions.iter().all(|(id, _)| bucket(id, log2) == 2));
        // Buckets that don't exist are nobody's.
        assert!(database.versions_in(log2, &[4, 60_000], 0).1.is_empty());
        const { assert!(MAX_SYNC_ENTRIES >= 61) };
    }

    proptest! {
        /// Equal digests mean equal sets of those that are up and their versions, whatever the order they came in.
        #[test]
        fn digests_are_equal_for_equal_views_only(
            a in prop::collection::btree_map(1..12_u32, 1..3_u32, 0..10),
            b in prop::collection::btree_map(1..12_u32, 1..3_u32, 0..10),
        ) {
            let all: Vec<u32> = (1..12).collect();
            let build = |view: Vec<(&u32, &u32)>| {
                let mut database = Database::new(record(0, 1, &all));
                for (number, seq) in view {
                    // An older version first, and one that is down.
                    take(&mut database, record(*number, *seq, &[0]), 1);
                    let live: Vec<Index> = all.iter().filter_map(|&n| database.index(&id(n).abbreviated())).collect();
                    database.derive_up(at(1), &live);
                    take(&mut database, record(*number, *seq + 1, &[0]), 1);
                    take(&mut database, record(100 + *number, 1, &[]), 1);
                }
                database
            };
            let (left, right) = (build(a.iter().collect()), build(b.iter().rev().collect()));
            prop_assert_eq!(left.digest() == right.digest(), a == b);
            let log2 = 3;
            let differing: BTreeSet<usize> = left.bucket_sums(log2).iter().zip(right.bucket_sums(log2))
                .enumerate().filter(|(_, (l, r))| **l != *r).map(|(at, _)| at).collect();
            let expected: BTreeSet<usize> = all.iter().filter(|n| a.get(n) != b.get(n))
                .map(|n| bucket(&id(*n).abbreviated(), log2)).collect();
            prop_assert_eq!(differing, expected);
        }
    }
}

#[cfg(test)]
mod pool {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::time::Duration;

    use area_net::membership::pool::{Candidate, MAX_ADDRS_REMEMBERED, Pool};
    use area_net::wire::NodeId;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    fn s(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn id(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    /// Draws for a while, everything missing, and every dial failing; tells when what was drawn.
    fn draw(
        pool: &mut Pool,
        from: Duration,
        span: Duration,
        up: usize,
        seed: u64,
    ) -> Vec<(Duration, Candidate)> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut drawn = Vec::new();
        loop {
            let now = pool.deadline().max(from);
            if now >= from + span {
                return drawn;
            }
            for candidate in pool.poll(now, up, &mut rng, |_, _| true) {
                pool.failed(candidate, now, false);
                drawn.push((now, candidate));
            }
        }
    }

    fn remembered(count: u8) -> Vec<(NodeId, area_net::membership::pool::Remembered)> {
        (1..=count)
            .map(|number| {
                let known = Pool::remember(vec![addr(u16::from(number))], u64::from(number), false);
                (id(number), known)
            })
            .collect()
    }

    #[test]
    fn each_part_of_a_split_network_makes_one_attempt_a_second() {
        for up in [1, 5, 20, 100] {
            let attempts: usize = (0..up)
                .map(|seed| {
                    let mut pool = Pool::new(&[addr(1000)], remembered(40));
                    draw(&mut pool, s(100), s(400), up, seed as u64).len()
                })
                .sum();
            let a_second = attempts as f64 / 400.0;
            assert!(
                (0.75..1.35).contains(&a_second),
                "{a_second} attempts a second with {up} up"
            );
        }
    }

    /// The pace holds at once, though all nodes began together and none of them has made a whole turn.
    #[test]
    fn halves_of_a_network_that_was_split_early_look_for_each_other_from_the_first_second_on() {
        let attempts: usize = (0..200)
            .map(|seed| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let mut pool = Pool::new(&[addr(1000)], remembered(40));
                draw(&mut pool, s(0), s(1), 1, seed);
                pool.reach_changed(s(1), 400, &mut rng);
                draw(&mut pool, s(1), s(9), 400, seed);
                pool.reach_changed(s(10), 200, &mut rng);
                draw(&mut pool, s(10), s(20), 200, seed).len()
            })
            .sum();
        assert!((12..=28).contains(&attempts), "{attempts} in 20 s");
    }

    #[test]
    fn half_of_the_draws_go_to_what_is_configured() {
        let mut pool = Pool::new(&[addr(1000), addr(1001)], remembered(40));
        let drawn = draw(&mut pool, s(0), s(500), 1, 3);
        let configured = drawn
            .iter()
            .filter(|(_, at)| at.addr.port() >= 1000)
            .count();
        let share = configured as f64 / drawn.len() as f64;
        assert!((0.45..0.75).contains(&share), "{share}");
    }

    #[test]
    fn a_target_is_never_forgotten_but_tried_a_tenth_as_often_when_it_keeps_failing() {
        let mut pool = Pool::new(&[addr(1000)], Vec::new());
        let early = draw(&mut pool, s(0), s(600), 1, 1).len();
        let late = draw(&mut pool, s(1000), s(6000), 1, 2).len();
        assert!(
            (500..700).contains(&early),
            "{early} in the first ten minutes"
        );
        assert!((400..900).contains(&late), "{late} in a hundred minutes");
        let much_later = draw(&mut pool, s(86_400 * 30), s(6000), 1, 3).len();
        assert!(much_later > 400, "{much_later} a month later");
        // Once it has answered, it is a target like any other.
        pool.worked(id(1), addr(1000), 1);
        let again = draw(&mut pool, s(86_400 * 31), s(100), 1, 4).len();
        assert!(again > 80, "{again}");
    }

    #[test]
    fn a_leaver_is_not_dialed_unless_configured() {
        let mut pool = Pool::new(&[addr(2)], Vec::new());
        for number in [1, 2] {
            pool.learn(id(number), &[addr(u16::from(number))], 1, false);
            pool.lost(id(number), s(0));
            pool.left(&id(number));
        }
        let drawn = draw(&mut pool, s(0), s(300), 1, 1);
        assert!(!drawn.is_empty());
        assert!(
            drawn
                .iter()
                .all(|(_, at)| at.addr == addr(2) && at.id.is_none())
        );
        let first = pool.first_dials();
        assert_eq!(
            first,
            [Candidate {
                id: None,
                addr: addr(2)
            }]
        );
    }

    #[test]
    fn a_lost_neighbour_is_redialed_at_once_and_then_at_1_2_and_4_seconds() {
        let mut pool = Pool::new(&[], Vec::new());
        pool.learn(id(1), &[addr(1)], 1, false);
        draw(&mut pool, s(0), s(1), 1000, 1);
        pool.lost(id(1), s(10));
        let drawn = draw(&mut pool, s(10), s(30), 1_000_000, 1);
        let times: Vec<f64> = drawn
            .iter()
            .map(|(at, _)| at.as_secs_f64() - 10.0)
            .collect();
        assert_eq!(times.len(), 4, "{times:?}");
        let pauses = [(0.0, 0.0), (0.75, 1.25), (1.5, 2.5), (3.0, 5.0)];
        let mut before = 0.0;
        for (time, (least, most)) in times.into_iter().zip(pauses) {
            let pause = time - before;
            assert!((least..=most).contains(&pause), "a pause of {pause}");
            before = time;
        }
    }

    #[test]
    fn an_address_where_another_key_answers_is_unlearned() {
        let mut pool = Pool::new(&[], Vec::new());
        pool.learn(id(1), &[addr(1), addr(2)], 1, false);
        let candidate = Candidate {
            id: Some(id(1)),
            addr: addr(1),
        };
        pool.failed(candidate, s(1), false);
        assert_eq!(
            pool.nodes()[&id(1)].addrs,
            [addr(2), addr(1)],
            "the other is tried next"
        );
        pool.failed(candidate, s(2), true);
        assert_eq!(pool.nodes()[&id(1)].addrs, [addr(2)]);
        pool.failed(
            Candidate {
                addr: addr(2),
                ..candidate
            },
            s(3),
            true,
        );
        let drawn = draw(&mut pool, s(3), s(60), 1, 1);
        assert!(drawn.is_empty(), "nowhere to look");
        // A configured target stays, whoever answers there.
        let mut pool = Pool::new(&[addr(1)], Vec::new());
        pool.failed(
            Candidate {
                id: None,
                addr: addr(1),
            },
            s(1),
            true,
        );
        assert!(!draw(&mut pool, s(2), s(10), 1, 1).is_empty());
    }

    #[test]
    fn what_worked_comes_first_and_little_is_kept() {
        let mut pool = Pool::new(&[], Vec::new());
        let many: Vec<SocketAddr> = (1..10).map(addr).collect();
        pool.learn(id(1), &many, 1, false);
        assert_eq!(pool.nodes()[&id(1)].addrs.len(), MAX_ADDRS_REMEMBERED);
        pool.worked(id(1), addr(3), 2);
        assert_eq!(pool.nodes()[&id(1)].addrs[0], addr(3));
        pool.worked(id(1), addr(77), 3);
        assert_eq!(pool.nodes()[&id(1)].addrs[..2], [addr(77), addr(3)]);
        assert_eq!(pool.nodes()[&id(1)].addrs.len(), MAX_ADDRS_REMEMBERED);
    }

    #[test]
    fn a_start_dials_all_targets_and_the_eight_seen_last() {
        let mut known = remembered(20);
        known[19].1.left = true;
        // Number 18 is a target as well: it is dialed once.
        let targets = [addr(1000), addr(18)];
        let first = Pool::new(&targets, known).first_dials();
        assert_eq!(first.len(), 2 + 7);
        assert_eq!(first[0].addr, addr(1000));
        let ids: Vec<_> = first[2..]
            .iter()
            .filter_map(|candidate| candidate.id)
            .collect();
        let expected: Vec<_> = [19, 17, 16, 15, 14, 13, 12].map(id).to_vec();
        assert_eq!(ids, expected);
    }

    #[test]
    fn the_node_s_own_address_is_no_target() {
        let mut pool = Pool::new(&[addr(1)], Vec::new());
        pool.learn(id(2), &[addr(1)], 1, false);
        assert!(pool.is_own(addr(1)));
        assert!(!pool.is_own(addr(1)), "told once");
        assert!(draw(&mut pool, s(0), s(60), 1, 1).is_empty());
    }

    #[test]
    fn who_fails_more_is_drawn_less() {
        let mut pool = Pool::new(&[], remembered(2));
        for _ in 0..6 {
            pool.failed(
                Candidate {
                    id: Some(id(2)),
                    addr: addr(2),
                },
                s(0),
                false,
            );
        }
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut counts: BTreeMap<Option<NodeId>, u32> = BTreeMap::new();
        let mut now = s(0);
        for _ in 0..1000 {
            now = pool.deadline().max(now);
            for candidate in pool.poll(now, 1, &mut rng, |_, _| true) {
                *counts.entry(candidate.id).or_default() += 1;
            }
        }
        let of = |number| counts.get(&Some(id(number))).copied().unwrap_or(0);
        assert!(of(1) > of(2) * 5, "{} and {}", of(1), of(2));
    }
}

#[cfg(test)]
mod detector {
    use std::time::Duration;

    use area_net::membership::Time;
    use area_net::membership::detector::{Detector, Verdict};
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    const INTERVAL: Duration = Duration::from_millis(1500);

    fn ms(ms: u64) -> Time {
        Duration::from_millis(ms)
    }

    /// The two ends of a link, with the path between them.
    struct Bench {
        ends: [Detector; 2],
        rng: ChaCha8Rng,
        now: Time,
        /// Loss each way, and the one-way delay.
        loss: f64,
        delay: Duration,
        /// Nothing arrives at that end.
        deaf: [bool; 2],
        under_way: Vec<(Time, usize, Packet)>,
        probes: [u64; 2],
    }

    #[derive(Debug, Clone, Copy)]
    enum Packet {
        Probe {
            seq: u32,
            heard: bool,
            next_ms: u16,
            rtt_us: u32,
            loss: u8,
        },
        Answer {
            seq: u32,
            sent: Time,
        },
    }

    impl Bench {
        fn new(seed: u64, loss: f64, delay: Duration) -> Self {
            Self {
                ends: [true, false].map(|active| Detector::new(ms(0), active, INTERVAL, Some(500))),
                rng: ChaCha8Rng::seed_from_u64(seed),
                now: ms(0),
                loss,
                delay,
                deaf: [false; 2],
                under_way: Vec::new(),
                probes: [0; 2],
            }
        }

        fn send(&mut self, to: usize, packet: Packet) {
            let lost = self.rng.random_bool(self.loss);
            if !lost && !self.deaf[to] {
                self.under_way.push((self.now + self.delay, to, packet));
            }
        }

        /// Runs until a time, or until one end says "down".
        fn run(&mut self, until: Time) -> Option<(Time, usize)> {
            loop {
                let due = self.ends.each_ref().map(Detector::deadline);
                let arrival = self.under_way.iter().map(|packet| packet.0).min();
                let next = due[0].min(due[1]).min(arrival.unwrap_or(Time::MAX));
                if next > until {
                    self.now = until;
                    return None;
                }
                self.now = next.max(self.now);
                if arrival.is_some_and(|at| at <= self.now) {
                    let first = self
                        .under_way
                        .iter()
                        .position(|packet| packet.0 <= self.now);
                    let (_, to, packet) = self.under_way.remove(first.unwrap());
                    self.take(to, packet);
                }
                for end in 0..2 {
                    self.poll(end);
                    if self.ends[end].verdict() == Verdict::Down {
                        return Some((self.now, end));
                    }
                }
            }
        }

        fn take(&mut self, to: usize, packet: Packet) {
            let now = self.now;
            match packet {
                Packet::Probe {
                    seq,
                    heard,
                    next_ms,
                    rtt_us,
                    loss,
                } => {
                    // The probe doesn't say when it left: the answer to number n is matched by its sender.
                    self.send(
                        1 - to,
                        Packet::Answer {
                            seq,
                            sent: now - self.delay,
                        },
                    );
                    self.ends[to].handle_probe(now, heard, next_ms, rtt_us, loss);
                }
                Packet::Answer { seq, sent } => {
                    let rtt_us = u32::try_from((now - sent).as_micros()).unwrap();
                    self.ends[to].handle_answer(now, seq, Some(rtt_us.max(1)));
                }
            }
        }

        fn poll(&mut self, end: usize) {
            let jitter = self.rng.random();
            let detector = &mut self.ends[end];
            if let Some(due) = detector.poll(self.now, jitter) {
                self.probes[end] += 1;
                let rtt = detector.rtt().filter(|rtt| !rtt.provisional);
                let packet = Packet::Probe {
                    seq: due.seq,
                    heard: due.heard,
                    next_ms: due.next_ms,
                    rtt_us: rtt.map_or(0, |rtt| rtt.smoothed_us),
                    loss: detector.loss_250(),
                };
                self.send(1 - end, packet);
            }
        }
    }

    #[test]
    fn a_clean_link_never_goes_down_and_costs_one_probe_an_interval() {
        let mut bench = Bench::new(1, 0.0, ms(1));
        assert_eq!(bench.run(ms(3_600_000)), None);
        let a_second = bench.probes[0] as f64 / 3600.0;
        assert!(
            (0.66..0.72).contains(&a_second),
            "{a_second} probes a second"
        );
        assert_eq!(bench.probes[1], 0, "the passive end is silent");
        assert_eq!(bench.ends.each_ref().map(Detector::misses_needed), [4, 4]);
    }

    /// Hours of links with loss, both ends of them; tells how many of them got a wrong verdict.
    fn wrong_verdicts(loss: f64, links: u64, hours: u64) -> usize {
        let hold = |seed: &u64| {
            let mut bench = Bench::new(*seed, loss, ms(10));
            bench.run(ms(hours * 3_600_000)).is_some()
        };
        (0..links).filter(hold).count()
    }

    /// A few in a million of the runs of misses are judged wrongly: one in several hundred hours of a link.
    #[test]
    fn loss_hardly_ever_brings_a_link_down() {
        for loss in [0.05, 0.2, 0.3] {
            let wrong = wrong_verdicts(loss, 30, 2);
            assert!(wrong <= 1, "{wrong} wrong verdicts in 60 hours at {loss}");
        }
    }

    /// In the first minutes the loss is not known yet; who has shown little gets more patience.
    #[test]
    fn young_links_are_judged_on_little() {
        for (loss, most) in [(0.05, 0), (0.1, 0), (0.2, 1), (0.3, 2)] {
            let young = |seed: &u64| Bench::new(*seed, loss, ms(10)).run(ms(180_000)).is_some();
            let wrong = (1000..1100).filter(young).count();
            assert!(wrong <= most, "{wrong} of 100 young links at {loss}");
        }
    }

    #[test]
    fn a_link_that_dies_is_down_within_1_2_s_of_the_first_missed_probe() {
        for seed in 0..200 {
            let mut bench = Bench::new(seed, 0.0, ms(seed % 30));
            let alive = ms(30_000 + seed * 37);
            assert_eq!(bench.run(alive), None);
            // The peer dies: nothing arrives any more, at either end.
            bench.deaf = [true, true];
            bench.under_way.clear();
            let missed = bench.ends[0].deadline();
            let (down, end) = bench.run(ms(60_000)).unwrap();
            assert_eq!(end, 0, "seed {seed}");
            assert!(
                down <= missed + ms(1200),
                "seed {seed}: {:?}",
                down - missed
            );
        }
    }

    #[test]
    fn the_passive_end_finds_out_as_well() {
        for seed in 0..50 {
            let mut bench = Bench::new(seed, 0.0, ms(5));
            bench.run(ms(30_000 + seed * 41));
            bench.deaf = [true, true];
            let died = bench.now;
            // Only the passive end is left.
            bench.ends[0] = Detector::new(ms(0), false, ms(3_600_000), None);
            let (down, end) = bench.run(ms(90_000)).unwrap();
            assert_eq!(end, 1);
            assert!(down - died <= ms(3300), "seed {seed}: {:?}", down - died);
        }
    }

    #[test]
    fn one_dead_direction_is_seen_by_both_ends() {
        for (seed, deaf) in (0..40).zip([0, 1].into_iter().cycle()) {
            let mut bench = Bench::new(seed, 0.0, ms(5));
            bench.run(ms(20_000 + seed * 43));
            bench.deaf[deaf] = true;
            let died = bench.now;
            let (first, end) = bench.run(ms(60_000)).unwrap();
            assert!(first - died <= ms(4000), "seed {seed}: {:?}", first - died);
            // The other end goes on alone: the first one still answers, but doesn't count.
            let mut second = None;
            for _ in 0..200 {
                bench.now += ms(50);
                let now = bench.now;
                let packets: Vec<_> = std::mem::take(&mut bench.under_way);
                for (_, to, packet) in packets {
                    bench.take(to, packet);
                }
                bench.poll(0);
                bench.poll(1);
                if bench.ends[1 - end].verdict() == Verdict::Down {
                    second = Some(now);
                    break;
                }
            }
            let second = second.expect("both ends find out");
            assert!(
                second - died <= ms(8000),
                "seed {seed}: {:?}",
                second - died
            );
        }
    }
}
