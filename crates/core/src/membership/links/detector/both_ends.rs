//! The detectors at both ends of a link, and the path between them.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{Detector, Verdict};
use crate::membership::Time;
use crate::membership::tuning::links::Tuning;

const TUNING: &Tuning = &Tuning::DEFAULT;
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
            ends: [true, false]
                .map(|active| Detector::new(TUNING, ms(0), active, INTERVAL, Some(500))),
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
                self.ends[to].handle_probe(TUNING, now, heard, next_ms, rtt_us, loss);
            }
            Packet::Answer { seq, sent } => {
                let rtt_us = u32::try_from((now - sent).as_micros()).unwrap();
                self.ends[to].handle_answer(TUNING, now, seq, Some(rtt_us.max(1)));
            }
        }
    }

    fn poll(&mut self, end: usize) {
        let jitter = self.rng.random();
        let detector = &mut self.ends[end];
        if let Some(due) = detector.poll(TUNING, self.now, jitter) {
            self.probes[end] += 1;
            let rtt = detector.rtt().filter(|rtt| !rtt.provisional);
            let packet = Packet::Probe {
                seq: due.seq,
                heard: due.heard,
                next_ms: due.next_ms,
                rtt_us: rtt.map_or(0, |rtt| rtt.smoothed_us),
                loss: detector.loss_250(TUNING),
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
    assert_eq!(
        bench.ends.each_ref().map(|end| end.misses_needed(TUNING)),
        [4, 4]
    );
}

/// Simulates hours of lossy links with both ends. Returns how many of them got a wrong verdict.
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

/// In the first minutes the loss is not known yet; a link with few samples gets more patience.
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
        bench.ends[0] = Detector::new(TUNING, ms(0), false, ms(3_600_000), None);
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
        // The other end goes on alone: the first one still answers, but its verdict is ignored.
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
