//! The nodes that a node dials, and the times at which it does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::{Candidate, Candidates, MAX_ADDRS_REMEMBERED, Remembered};
use crate::wire::NodeId;

fn s(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn id(number: u8) -> NodeId {
    NodeId([number; 32])
}

fn candidates_of(targets: &[SocketAddr], remembered: Vec<(NodeId, Remembered)>) -> Candidates {
    Candidates::new(targets, remembered, Arc::default())
}

/// Draws for a while, with everything missing and every dial failing. Returns when each candidate was drawn.
fn draw(
    candidates: &mut Candidates,
    from: Duration,
    span: Duration,
    up: usize,
    seed: u64,
) -> Vec<(Duration, Candidate)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = Vec::new();
    loop {
        let now = candidates.deadline().max(from);
        if now >= from + span {
            return drawn;
        }
        for candidate in candidates.poll(now, up, &mut rng, None, |_, _| true) {
            candidates.failed(candidate, now, false);
            drawn.push((now, candidate));
        }
    }
}

fn remembered(count: u8) -> Vec<(NodeId, Remembered)> {
    (1..=count)
        .map(|number| {
            let known = Remembered::new(vec![addr(u16::from(number))], i64::from(number), false);
            (id(number), known)
        })
        .collect()
}

#[test]
fn each_part_of_a_split_network_makes_one_attempt_a_second() {
    for up in [1, 5, 20, 100] {
        let attempts: usize = (0..up)
            .map(|seed| {
                let mut candidates = candidates_of(&[addr(1000)], remembered(40));
                draw(&mut candidates, s(100), s(400), up, seed as u64).len()
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
            let mut candidates = candidates_of(&[addr(1000)], remembered(40));
            draw(&mut candidates, s(0), s(1), 1, seed);
            candidates.reach_changed(s(1), 400, &mut rng);
            draw(&mut candidates, s(1), s(9), 400, seed);
            candidates.reach_changed(s(10), 200, &mut rng);
            draw(&mut candidates, s(10), s(20), 200, seed).len()
        })
        .sum();
    assert!((12..=28).contains(&attempts), "{attempts} in 20 s");
}

#[test]
fn half_of_the_draws_go_to_what_is_configured() {
    let mut candidates = candidates_of(&[addr(1000), addr(1001)], remembered(40));
    let drawn = draw(&mut candidates, s(0), s(500), 1, 3);
    let configured = drawn
        .iter()
        .filter(|(_, at)| at.addr.port() >= 1000)
        .count();
    let share = configured as f64 / drawn.len() as f64;
    assert!((0.45..0.75).contains(&share), "{share}");
}

#[test]
fn a_target_is_never_forgotten_but_tried_a_tenth_as_often_when_it_keeps_failing() {
    let mut candidates = candidates_of(&[addr(1000)], Vec::new());
    let early = draw(&mut candidates, s(0), s(600), 1, 1).len();
    let late = draw(&mut candidates, s(1000), s(6000), 1, 2).len();
    assert!(
        (500..700).contains(&early),
        "{early} in the first ten minutes"
    );
    assert!((400..900).contains(&late), "{late} in a hundred minutes");
    let much_later = draw(&mut candidates, s(86_400 * 30), s(6000), 1, 3).len();
    assert!(much_later > 400, "{much_later} a month later");
    // Once it has answered, it is a target like any other.
    candidates.worked(id(1), addr(1000), 1);
    let again = draw(&mut candidates, s(86_400 * 31), s(100), 1, 4).len();
    assert!(again > 80, "{again}");
}

#[test]
fn a_leaver_is_not_dialed_unless_configured() {
    let mut candidates = candidates_of(&[addr(2)], Vec::new());
    for number in [1, 2] {
        candidates.learn(id(number), &[addr(u16::from(number))], 1, false);
        candidates.lost(id(number), s(0));
        candidates.left(&id(number));
    }
    let drawn = draw(&mut candidates, s(0), s(300), 1, 1);
    assert!(!drawn.is_empty());
    assert!(
        drawn
            .iter()
            .all(|(_, at)| at.addr == addr(2) && at.id.is_none())
    );
    let first = candidates.first_dials();
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
    let mut candidates = candidates_of(&[], Vec::new());
    candidates.learn(id(1), &[addr(1)], 1, false);
    draw(&mut candidates, s(0), s(1), 1000, 1);
    candidates.lost(id(1), s(10));
    let drawn = draw(&mut candidates, s(10), s(30), 1_000_000, 1);
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
fn an_address_where_another_key_answers_is_tried_last() {
    let mut candidates = candidates_of(&[], Vec::new());
    candidates.learn(id(1), &[addr(1), addr(2)], 1, false);
    let candidate = Candidate {
        id: Some(id(1)),
        addr: addr(1),
    };
    candidates.failed(candidate, s(1), false);
    assert_eq!(
        candidates.nodes()[&id(1)].addrs,
        [addr(2), addr(1)],
        "the other is tried next"
    );
    candidates.failed(candidate, s(2), true);
    assert_eq!(candidates.nodes()[&id(1)].addrs, [addr(2), addr(1)]);
    // A configured target stays, whichever node answers there.
    let mut candidates = candidates_of(&[addr(1)], Vec::new());
    candidates.failed(
        Candidate {
            id: None,
            addr: addr(1),
        },
        s(1),
        true,
    );
    assert!(!draw(&mut candidates, s(2), s(10), 1, 1).is_empty());
}

#[test]
fn what_worked_comes_first_and_little_is_kept() {
    let mut candidates = candidates_of(&[], Vec::new());
    let many: Vec<SocketAddr> = (1..10).map(addr).collect();
    candidates.learn(id(1), &many, 1, false);
    assert_eq!(candidates.nodes()[&id(1)].addrs.len(), MAX_ADDRS_REMEMBERED);
    candidates.worked(id(1), addr(3), 2);
    assert_eq!(candidates.nodes()[&id(1)].addrs[0], addr(3));
    candidates.worked(id(1), addr(77), 3);
    assert_eq!(candidates.nodes()[&id(1)].addrs[..2], [addr(77), addr(3)]);
    assert_eq!(candidates.nodes()[&id(1)].addrs.len(), MAX_ADDRS_REMEMBERED);
}

#[test]
fn a_start_dials_all_targets_and_the_eight_seen_last() {
    let mut known = remembered(20);
    known[19].1.left = true;
    // Number 18 is a target as well: it is dialed once.
    let targets = [addr(1000), addr(18)];
    let first = candidates_of(&targets, known).first_dials();
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
fn the_node_s_own_address_is_told_once_and_tried_again() {
    let mut candidates = candidates_of(&[addr(1)], Vec::new());
    candidates.learn(id(2), &[addr(1)], 1, false);
    assert!(candidates.is_own(addr(1)));
    assert!(!candidates.is_own(addr(1)), "told once");
    // It may be another node's one day. How long it rests is decided where all addresses rest.
    assert!(!draw(&mut candidates, s(0), s(60), 1, 1).is_empty());
}

#[test]
fn who_fails_more_is_drawn_less() {
    let mut candidates = candidates_of(&[], remembered(2));
    for _ in 0..6 {
        candidates.failed(
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
        now = candidates.deadline().max(now);
        for candidate in candidates.poll(now, 1, &mut rng, None, |_, _| true) {
            *counts.entry(candidate.id).or_default() += 1;
        }
    }
    let of = |number| counts.get(&Some(id(number))).copied().unwrap_or(0);
    assert!(of(1) > of(2) * 5, "{} and {}", of(1), of(2));
}
