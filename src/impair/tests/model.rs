//! Tests of the link model against theory and netem. Each run repeats from its seed, so a figure that is within its bounds once
//! stays so. The bounds are four standard deviations.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::impair::{Delivery, Fate, Impairment, LinkModel};

const MS: Duration = Duration::from_millis(1);
/// Packets in a statistical run.
const MANY: usize = 100_000;
const LENGTH: usize = 1000;

/// A link model with its own generator.
#[derive(Clone)]
struct Link(LinkModel, ChaCha8Rng);

impl Link {
    fn handle_packet(&mut self, now: Duration, bytes: usize) -> Fate {
        self.0.handle_packet(now, bytes, &mut self.1)
    }
}

fn link(words: &str, seed: u64) -> Link {
    let impairment: Impairment = words.parse().unwrap_or_else(|error| panic!("{error}"));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Link(LinkModel::new(Arc::new(impairment), &mut rng), rng)
}

/// The fates of packets that enter at intervals of one millisecond, with the time since the entry.
fn run(words: &str, packets: usize) -> Vec<Vec<Delivery>> {
    let mut link = link(words, 7);
    let mut now = Duration::ZERO;
    let fates = (0..packets).map(|_| {
        now += MS;
        let fate = link.handle_packet(now, LENGTH).into_iter();
        fate.map(|delivery| Delivery {
            at: delivery.at.checked_sub(now).expect("not before it came in"),
            ..delivery
        })
        .collect()
    });
    fates.collect()
}

#[test]
fn no_packet_is_faster_than_the_least_delay() {
    for (words, least_us) in [
        ("loss 5%", 0),
        ("delay 40ms", 40_000),
        ("delay 40ms 10ms", 30_000),
        ("delay 40ms 10ms 60%", 30_000),
        ("delay 5ms 20ms", 0),
        ("delay 40ms 5ms distribution normal", 20_000),
        ("delay 40ms 6ms distribution pareto", 36_000),
        ("delay 40ms 8ms distribution paretonormal", 27_983),
        ("delay 40ms 10ms duplicate 20%", 30_000),
        ("delay 40ms reorder 20%", 0),
        ("delay 10ms 2ms rate 1gbit", 8_000),
    ] {
        let impairment: Impairment = words.parse().unwrap();
        let least = impairment.least_delay();
        let us = u64::try_from(least.as_micros()).unwrap();
        assert!(us.abs_diff(least_us) <= 1, "{words}: {least:?}");
        let all = run(words, MANY).into_iter().flatten();
        let seen = all.map(|delivery| delivery.at).min().unwrap();
        assert!(seen >= least, "{words}: {seen:?} and not {least:?}");
        // The bound is tight: some packet takes at most 1 ms longer.
        assert!(seen <= least + MS, "{words}: {seen:?} and not {least:?}");
    }
}

fn losses(words: &str) -> Vec<bool> {
    let fates = run(words, MANY);
    fates.iter().map(Vec::is_empty).collect()
}

fn share(of: &[bool]) -> f64 {
    of.iter().filter(|is| **is).count() as f64 / of.len() as f64
}

/// The mean length of loss bursts.
fn burst(losses: &[bool]) -> f64 {
    let begins = losses.iter().zip([&false].into_iter().chain(losses));
    let bursts = begins.filter(|(now, before)| **now && !**before).count();
    losses.iter().filter(|lost| **lost).count() as f64 / bursts as f64
}

/// The delays of the delivered packets, in ms.
fn delays(words: &str) -> Vec<f64> {
    let fates = run(words, MANY);
    let arrived = fates.iter().flatten();
    arrived
        .map(|delivery| delivery.at.as_secs_f64() * 1e3)
        .collect()
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2));
    (mean, (variance.sum::<f64>() / count).sqrt())
}

#[track_caller]
fn near(value: f64, expected: f64, tolerance: f64) {
    assert!(
        (value - expected).abs() <= tolerance,
        "{value} is not {expected} ± {tolerance}"
    );
}

/// Four standard deviations of a share of independent packets.
fn chance(share: f64) -> f64 {
    4.0 * (share * (1.0 - share) / MANY as f64).sqrt()
}

#[test]
fn an_unimpaired_link_delivers_at_once_and_unchanged() {
    let untouched = Delivery {
        at: Duration::ZERO,
        flip: None,
    };
    assert!(run("", 1000).iter().all(|fate| *fate == [untouched]));
    let late = Delivery {
        at: 40 * MS,
        ..untouched
    };
    assert!(
        run("delay 40ms", 1000)
            .iter()
            .all(|fate| fate.as_slice() == [late])
    );
}

#[test]
fn independent_losses_have_the_configured_rate() {
    for (words, expected) in [
        ("loss 5%", 0.05),
        ("loss 33.3%", 0.333),
        ("loss 0.1%", 0.001),
    ] {
        near(share(&losses(words)), expected, chance(expected));
    }
    let lost = losses("loss 20%");
    near(burst(&lost), 1.25, 0.02);
    assert_eq!(share(&losses("loss 100%")), 1.0);
}

#[test]
fn correlated_losses_cluster_and_stay_below_the_configured_rate() {
    let lost = losses("loss 20% 50%");
    let next: Vec<bool> = lost
        .windows(2)
        .filter_map(|pair| pair[0].then_some(pair[1]))
        .collect();
    // The mixture of uniform draws is concentrated around the middle, as in netem.
    assert!((0.02..0.04).contains(&share(&lost)), "{}", share(&lost));
    assert!(share(&next) > 2.0 * share(&lost), "{}", share(&next));
}

#[test]
fn the_gilbert_elliott_model_loses_in_bursts() {
    let lost = losses("loss gemodel 2% 20%");
    // The chain is in the bad state for p / (p + r) of the time, and each stay lasts 1 / r packets.
    near(share(&lost), 0.02 / 0.22, 0.009);
    near(burst(&lost), 5.0, 0.25);

    let lost = losses("loss gemodel 1% 10% 70% 0.1%");
    near(share(&lost), (0.01 * 0.7 + 0.1 * 0.001) / 0.11, 0.008);
    // With a single value, losses are independent.
    let lost = losses("loss gemodel 10%");
    near(share(&lost), 0.1, 1.5 * chance(0.1));
    near(burst(&lost), 1.0 / 0.9, 0.02);
}

#[test]
fn the_four_state_model_loses_as_its_chain_predicts() {
    let [p13, p31, p32, p23, p14] = [0.01, 0.3, 0.2, 0.5, 0.01];
    let lost = losses("loss state 1% 30% 20% 50% 1%");
    let burst_share = p13 / p31;
    let good = 1.0 / (1.0 + burst_share * (1.0 + p32 / p23) + p14);
    near(share(&lost), good * (burst_share + p14), 0.004);

    let lost = losses("loss state 5% 25%");
    near(share(&lost), 0.05 / 0.3, 0.01);
    near(burst(&lost), 4.0, 0.2);
    // State 4 alone: never two in a row.
    let lost = losses("loss state 0% 100% 0% 100% 30%");
    assert_eq!(burst(&lost), 1.0);
    near(share(&lost), 0.3 / 1.3, chance(0.23));
}

#[test]
fn jitter_has_the_mean_and_the_deviation_of_its_distribution() {
    // The tables of the two Pareto distributions have a mean and a deviation that differ from 0 and 1.
    for (distribution, mean, deviation) in [
        ("uniform", 40.0, 10.0 / 3.0_f64.sqrt()),
        ("normal", 40.0, 10.0),
        ("pareto", 40.0 - 0.335, 8.197),
        ("paretonormal", 40.0 - 0.253, 8.339),
    ] {
        let delays = delays(&format!("delay 40ms 10ms distribution {distribution}"));
        let (found_mean, found_deviation) = mean_and_deviation(&delays);
        near(found_mean, mean, 4.0 * deviation / (MANY as f64).sqrt());
        near(found_deviation, deviation, 0.02 * deviation);
    }
    let uniform = delays("delay 40ms 10ms");
    assert!(uniform.iter().all(|delay| (30.0..50.0).contains(delay)));
    let clipped = delays("delay 5ms 10ms");
    near(
        share(
            &clipped
                .iter()
                .map(|delay| *delay == 0.0)
                .collect::<Vec<_>>(),
        ),
        0.25,
        chance(0.25),
    );
}

#[test]
fn jitter_reorders_packets() {
    let fates = run("delay 40ms 10ms", 1000);
    let arrivals = fates.iter().flatten().enumerate();
    let mut order: Vec<_> = arrivals
        .map(|(sent, delivery)| (delivery.at + MS * u32::try_from(sent).unwrap(), sent))
        .collect();
    order.sort();
    assert!(order.windows(2).any(|pair| pair[0].1 > pair[1].1));
}

#[test]
fn reordered_packets_are_not_delayed() {
    let at_once = |words| {
        let delays = delays(words);
        delays.iter().map(|delay| *delay == 0.0).collect::<Vec<_>>()
    };
    near(
        share(&at_once("delay 10ms reorder 25%")),
        0.25,
        chance(0.25),
    );
    let fifth = at_once("delay 10ms reorder 100% gap 5");
    assert!(
        fifth
            .iter()
            .enumerate()
            .all(|(at, now)| *now == (at % 5 == 4))
    );
    // Four are delayed, then each has one chance in two.
    near(
        share(&at_once("delay 10ms reorder 50% gap 5")),
        1.0 / 6.0,
        chance(0.17),
    );
}

#[test]
fn duplicates_arrive_twice_and_are_lost_independently() {
    let count = |words: &str| run(words, MANY).iter().map(Vec::len).collect::<Vec<_>>();
    let arrived = count("duplicate 5%");
    near(
        share(&arrived.iter().map(|count| *count == 2).collect::<Vec<_>>()),
        0.05,
        chance(0.05),
    );
    assert!(arrived.iter().all(|count| (1..=2).contains(count)));
    // A packet that is both duplicated and lost arrives once.
    assert!(
        count("duplicate 100% loss 100%")
            .iter()
            .all(|count| *count == 1)
    );
    let arrived = count("duplicate 10% loss 20%");
    let mean = arrived.iter().sum::<usize>() as f64 / MANY as f64;
    near(mean, 0.9 * 0.8 + 0.1 * (0.8 * 1.8 + 0.2), 0.006);
}

#[test]
fn corruption_flips_one_bit_anywhere() {
    let fates = run("corrupt 5%", MANY);
    let flips: Vec<_> = fates
        .iter()
        .flatten()
        .filter_map(|delivery| delivery.flip)
        .collect();
    near(flips.len() as f64 / MANY as f64, 0.05, chance(0.05));
    let mut places = [0; 16];
    for flip in flips.iter().copied() {
        let mut bytes = [0_u8; 2];
        flip.apply(&mut bytes);
        let bits = u16::from_le_bytes(bytes);
        assert_eq!(bits.count_ones(), 1);
        places[bits.trailing_zeros() as usize] += 1;
        flip.apply(&mut []);
    }
    let even = flips.len() as f64 / 16.0;
    assert!(
        places
            .iter()
            .all(|count| (f64::from(*count) - even).abs() < 4.5 * even.sqrt()),
        "{places:?}"
    );
}

#[test]
fn a_rate_serialises_packets() {
    // 1000 bytes are 1 ms at 8 Mbit/s.
    let mut link = link("rate 8mbit", 1);
    let mut at = |now_ms| {
        let mut fate = link.handle_packet(now_ms * MS, LENGTH).into_iter();
        fate.next().unwrap().at
    };
    assert_eq!([at(0), at(0), at(0)], [MS, 2 * MS, 3 * MS]);
    assert_eq!(at(2), 4 * MS);
    // Idle time gives no credit.
    assert_eq!([at(100), at(100)], [101 * MS, 102 * MS]);
}

#[test]
fn delay_and_rate_overlap_as_in_netem() {
    let mut link = link("delay 10ms rate 8mbit", 1);
    let mut at = |now_ms| {
        let mut fate = link.handle_packet(now_ms * MS, LENGTH).into_iter();
        fate.next().unwrap().at
    };
    assert_eq!([at(0), at(0)], [11 * MS, 12 * MS]);
    assert_eq!(at(5), 16 * MS);
}

#[test]
fn overhead_and_cells_count_towards_the_rate() {
    let ns = |words: &str, bytes| {
        let mut fate = link(words, 1)
            .handle_packet(Duration::ZERO, bytes)
            .into_iter();
        fate.next().unwrap().at.as_nanos()
    };
    // 1 byte a µs.
    assert_eq!(ns("rate 1mbps", 50), 50_000);
    assert_eq!(ns("rate 1mbps 20", 50), 70_000);
    assert_eq!(ns("rate 1mbps -14", 50), 36_000);
    assert_eq!(ns("rate 1mbps -60", 50), 0);
    // The man page's example: two cells of ATM.
    assert_eq!(ns("rate 1mbps 0 48 5", 50), 106_000);
    assert_eq!(ns("rate 1mbps 0 48 5", 48), 53_000);
    assert_eq!(ns("rate 1mbps 0 48 -50", 48), 0);
}

#[test]
fn a_full_queue_drops_the_newest_packet() {
    let mut link = link("delay 100ms limit 10", 1);
    let mut arrives = |now_ms| link.handle_packet(now_ms * MS, LENGTH).into_iter().count();
    assert_eq!((0..20).map(|_| arrives(0)).sum::<usize>(), 10);
    assert_eq!(arrives(99), 0);
    assert_eq!((0..20).map(|_| arrives(100)).sum::<usize>(), 10);
}

#[test]
fn a_link_repeats_from_its_seed() {
    let words = "delay 40ms 10ms 25% distribution normal loss gemodel 5% 30% duplicate 5% 10% corrupt 5% reorder 5% rate 10mbit";
    let run = |seed| {
        let mut link = link(words, seed);
        let fates = (0..2000).map(|at| link.handle_packet(at * MS, LENGTH));
        fates.collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    // A clone continues as the original does.
    let mut original = link(words, 3);
    original.handle_packet(MS, LENGTH);
    let mut copy = original.clone();
    for at in 2..100 {
        assert_eq!(
            original.handle_packet(at * MS, LENGTH),
            copy.handle_packet(at * MS, LENGTH)
        );
    }
}

#[test]
fn a_link_is_small() {
    assert!(size_of::<LinkModel>() <= 72, "{}", size_of::<LinkModel>());
}

proptest! {
    #[test]
    fn no_packet_arrives_before_it_was_sent_nor_more_than_twice(
        words in "(delay (0|5ms|274s) (0|5ms|2s)( distribution (normal|pareto|paretonormal))? )?(loss (5%|100%) 30% )?(duplicate 50% )?(corrupt 50% )?(rate (8bit|1mbit|1000tbit) (-?65535)( 1 -?65535)? )?(limit [12])?",
        packets in proptest::collection::vec((0_u64..100, 0_usize..70_000), 1..50),
        seed: u64,
    ) {
        prop_assume!(words.parse::<Impairment>().is_ok());
        let mut link = link(&words, seed);
        let mut now = Duration::ZERO;
        for (pause, bytes) in packets {
            now += Duration::from_millis(pause);
            let fate: Vec<_> = link.handle_packet(now, bytes).into_iter().collect();
            prop_assert!(fate.len() <= 2 && fate.iter().all(|delivery| delivery.at >= now));
        }
    }
}
