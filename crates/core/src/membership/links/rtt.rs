//! How long is the path of a connection?
//!
//! The round-trip time is smoothed as in RFC 6298, section 2, but with a gain that falls from 1/8 to 1/32 as samples come in.
//! People read it, so neither the jitter of a path nor a busy machine should move it. A busy machine only lengthens samples, some
//! of them to many times the path's time. So a sample counts as if it deviated by no more than the typical deviation, and the
//! smoothed time is close to the median of the samples. The mean deviation takes in all of each deviation, since timeouts must
//! cover it.
//!
//! A change of the path is detected separately:
//!
//! - A large one by samples far off the smoothed time. They are held back until three in a row agree, the last two of them
//!   requested at once.
//! - Any other one by five samples in a row on one side of the time that there was before them. Each of them must differ from
//!   that time by more than the path's jitter explains, and by more than they differ from each other. Then their median counts.

use std::collections::VecDeque;

use crate::membership::Time;
use crate::membership::tuning::links::Tuning;

/// The gains of the round-trip time must fit each other.
const _: () = {
    let tuning = Tuning::DEFAULT;
    assert!(
        tuning.first_gain <= tuning.last_gain,
        "a sample counts less as samples come in"
    );
    assert!(
        tuning.stray_deviations >= tuning.timeout_deviations,
        "a sample that is no stray is within the timeout"
    );
    assert!(
        tuning.shift_deviations <= tuning.stray_deviations
            && tuning.shift_part >= tuning.stray_part,
        "samples that are no strays, but on one side, still show a change"
    );
};

/// A round-trip time, smoothed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rtt {
    /// Smoothed, in µs.
    pub smoothed_us: u32,
    /// Mean deviation, in µs.
    pub jitter_us: u32,
    /// The lowest sample of this connection, in µs.
    pub min_us: u32,
    /// The last sample, in µs.
    pub last_us: u32,
    /// When the last sample was taken.
    pub at: Time,
    /// Still the estimate from the handshake, not a probe's.
    pub provisional: bool,
}

impl Rtt {
    /// Whether a sample no longer fits the path's time: it differs by more than four mean deviations, a fifth, and 0.3 ms.
    fn is_far_off(&self, tuning: &Tuning, us: u32) -> bool {
        let off = self.smoothed_us.abs_diff(us);
        !self.provisional
            && off > self.jitter_us.saturating_mul(tuning.stray_deviations)
            && off > self.smoothed_us / tuning.stray_part
            && off > tuning.stray_us
    }
}

/// The path of one connection, by its samples.
#[derive(Debug)]
pub(super) struct Path {
    rtt: Option<Rtt>,
    fine: Fine,
    /// Samples far off the smoothed time, held back until it is clear whether the path has changed.
    strays: Vec<u32>,
    side: Option<Side>,
    samples: u32,
}

/// The smoothed times, in ns: in whole µs, a small part of a small difference would be rounded to zero.
#[derive(Debug, Clone, Copy, Default)]
struct Fine {
    smoothed_ns: u64,
    jitter_ns: u64,
    /// About half of the samples deviate by more.
    typical_ns: u64,
}

impl Fine {
    /// A new path, by one sample and how much others may deviate from it. The typical deviation is never zero: it grows by a part
    /// of itself, and bounds what a sample counts.
    fn new(tuning: &Tuning, us: u32, jitter_us: u32) -> Self {
        Self {
            smoothed_ns: ns(us),
            jitter_ns: ns(jitter_us),
            typical_ns: ns(jitter_us.max(tuning.typical_least_us)),
        }
    }

    /// The path changed. Samples deviate as they did, if not more.
    fn shift(&mut self, tuning: &Tuning, us: u32, jitter_us: u32) {
        let typical_ns = self.typical_ns;
        *self = Self::new(tuning, us, jitter_us);
        self.typical_ns = self.typical_ns.max(typical_ns);
    }

    /// Takes a sample in, which counts one part in `parts`.
    fn take(&mut self, tuning: &Tuning, us: u32, parts: u32) {
        let (old, new) = (self.smoothed_ns, ns(us));
        let deviation = old.abs_diff(new);
        let bounded = deviation.min(self.typical_ns) / u64::from(parts);
        self.smoothed_ns = if new > old {
            old + bounded
        } else {
            old - bounded
        };
        self.jitter_ns = weigh(self.jitter_ns, deviation, tuning.deviation_gain);
        let step = self.typical_ns / u64::from(tuning.typical_gain);
        self.typical_ns = if deviation > self.typical_ns {
            self.typical_ns + step
        } else {
            (self.typical_ns - step).max(ns(tuning.typical_least_us))
        };
    }
}

/// Samples in a row on one side of the smoothed time.
#[derive(Debug)]
struct Side {
    /// The round-trip time before the first of them.
    before: Rtt,
    above: bool,
    /// The last few of them.
    last: VecDeque<u32>,
}

impl Path {
    /// The round-trip time of the handshake is used until there is a sample.
    pub(super) fn new(tuning: &Tuning, now: Time, handshake_rtt_us: Option<u32>) -> Self {
        let rtt = handshake_rtt_us.map(|us| Rtt {
            smoothed_us: us,
            jitter_us: us / 2,
            min_us: us,
            last_us: us,
            at: now,
            provisional: true,
        });
        let us = handshake_rtt_us.unwrap_or_default();
        Self {
            rtt,
            fine: Fine::new(tuning, us, us / 2),
            strays: Vec::new(),
            side: None,
            samples: 0,
        }
    }

    pub(super) fn rtt(&self) -> Option<Rtt> {
        self.rtt
    }

    /// Takes a sample in. Samples far off are held back, as the path may have changed. The change is accepted when three in a row
    /// agree, the last two of them requested at once; then only these count. Returns whether another exchange is needed soon.
    pub(super) fn sample(&mut self, tuning: &Tuning, now: Time, us: u32) -> bool {
        let Some(old) = self.rtt.filter(|old| old.is_far_off(tuning, us)) else {
            for held in std::mem::take(&mut self.strays) {
                self.smooth(tuning, now, held);
            }
            self.smooth(tuning, now, us);
            return false;
        };
        let same_side = |stray: &u32| (*stray > old.smoothed_us) == (us > old.smoothed_us);
        if !self.strays.iter().all(same_side) {
            for held in std::mem::take(&mut self.strays) {
                self.smooth(tuning, now, held);
            }
        }
        self.strays.push(us);
        if self.strays.len() < tuning.step_samples {
            return true;
        }
        let mut strays = std::mem::take(&mut self.strays);
        strays.sort_unstable();
        let median = strays[tuning.step_samples / 2];
        let jitter_us = (strays[tuning.step_samples - 1] - strays[0]) / 2;
        self.fine.shift(tuning, median, jitter_us);
        self.rtt = Some(Rtt {
            smoothed_us: median,
            jitter_us,
            min_us: old.min_us.min(strays[0]),
            last_us: us,
            at: now,
            provisional: false,
        });
        self.samples = tuning.first_samples;
        self.side = None;
        // The other end learns the new time from the next probe.
        true
    }

    /// Takes a sample that is not far off into account for a smaller change of the path: its samples are all on one side.
    fn follow(&mut self, tuning: &Tuning, before: Rtt, us: u32) {
        let side = self.side.get_or_insert_with(|| Side {
            before,
            above: us > before.smoothed_us,
            last: VecDeque::new(),
        });
        if (us > side.before.smoothed_us) != side.above || us == side.before.smoothed_us {
            self.side = None;
            return;
        }
        side.last.push_back(us);
        if side.last.len() < tuning.shift_samples {
            return;
        }
        let mut sorted: Vec<u32> = side.last.iter().copied().collect();
        side.last.pop_front();
        sorted.sort_unstable();
        let median = sorted[sorted.len() / 2];
        let Rtt {
            smoothed_us,
            jitter_us,
            ..
        } = side.before;
        // At first the mean deviation is a guess. Samples that agree with each other show how much there is.
        let spread = sorted[sorted.len() - 1] - sorted[0];
        let explained = jitter_us
            .saturating_mul(tuning.shift_deviations)
            .min(spread.saturating_mul(tuning.shift_spreads))
            .max(spread)
            .max(smoothed_us / tuning.shift_part)
            .max(tuning.shift_us);
        // A busy machine makes some samples longer; another path makes all of them differ.
        let evidence = if side.above {
            sorted[0]
        } else {
            sorted[sorted.len() - 1]
        };
        if evidence.abs_diff(smoothed_us) <= explained {
            return;
        }
        let deviations = sorted
            .iter()
            .map(|us| us.abs_diff(median) / sorted.len() as u32);
        let jitter_us = deviations.sum();
        self.fine.shift(tuning, median, jitter_us);
        if let Some(rtt) = &mut self.rtt {
            rtt.smoothed_us = median;
            rtt.jitter_us = jitter_us;
        }
        self.samples = tuning.first_samples;
        self.side = None;
    }

    fn smooth(&mut self, tuning: &Tuning, now: Time, us: u32) {
        self.samples = self.samples.saturating_add(1);
        let parts = self.samples.min(tuning.last_gain).max(tuning.first_gain);
        let first = |old: Rtt| self.samples <= tuning.first_samples && us < old.smoothed_us;
        let before = self.rtt;
        self.rtt = Some(match before {
            Some(old) if !old.provisional && !first(old) => {
                self.fine.take(tuning, us, parts);
                Rtt {
                    smoothed_us: us_of(self.fine.smoothed_ns),
                    jitter_us: us_of(self.fine.jitter_ns),
                    min_us: old.min_us.min(us),
                    last_us: us,
                    at: now,
                    provisional: false,
                }
            }
            _ => {
                self.fine = Fine::new(tuning, us, us / 2);
                Rtt {
                    smoothed_us: us,
                    jitter_us: us / 2,
                    min_us: us,
                    last_us: us,
                    at: now,
                    provisional: false,
                }
            }
        });
        if let Some(before) = before.filter(|_| self.samples > tuning.first_samples) {
            self.follow(tuning, before, us);
        }
    }

    /// Adopts the round-trip time that the other end measured.
    pub(super) fn adopt(&mut self, tuning: &Tuning, now: Time, us: u32) {
        let old = self.rtt;
        let jitter_us = old.map_or(us / 2, |old| {
            let deviation = ns(old.smoothed_us.abs_diff(us));
            us_of(weigh(self.fine.jitter_ns, deviation, tuning.deviation_gain))
        });
        self.fine = Fine::new(tuning, us, jitter_us);
        self.rtt = Some(Rtt {
            smoothed_us: us,
            jitter_us,
            min_us: old
                .filter(|old| !old.provisional)
                .map_or(us, |old| old.min_us.min(us)),
            last_us: us,
            at: now,
            provisional: false,
        });
    }
}

fn ns(us: u32) -> u64 {
    u64::from(us) * 1000
}

/// The nearest µs.
fn us_of(ns: u64) -> u32 {
    u32::try_from((ns + 500) / 1000).unwrap_or(u32::MAX)
}

/// Moves `old` towards `new` by one part in `parts`.
fn weigh(old: u64, new: u64, parts: u32) -> u64 {
    let parts = u64::from(parts);
    (old * (parts - 1) + new) / parts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TUNING: &Tuning = &Tuning::DEFAULT;
    const NOW: Time = Duration::from_secs(1);

    fn after(samples: &[u32]) -> Path {
        let mut path = Path::new(TUNING, NOW, Some(90_000));
        for &us in samples {
            path.sample(TUNING, NOW, us);
        }
        path
    }

    fn shown(path: &Path) -> u32 {
        path.rtt().expect("measured").smoothed_us
    }

    #[test]
    fn of_the_first_samples_the_least_counts() {
        let path = after(&[120_000, 400, 300, 310, 305]);
        assert!((300..=302).contains(&shown(&path)), "{}", shown(&path));
    }

    #[test]
    fn three_samples_far_off_make_a_new_path_and_one_does_not() {
        let mut path = after(&[20_000; 40]);
        assert!(path.sample(TUNING, NOW, 90_000), "asks for more");
        assert_eq!(shown(&path), 20_000);
        assert!(path.sample(TUNING, NOW, 91_000));
        assert_eq!(shown(&path), 20_000);
        assert!(
            path.sample(TUNING, NOW, 92_000),
            "the other end waits for it"
        );
        assert_eq!(shown(&path), 91_000, "their median");

        let mut path = after(&[20_000; 40]);
        path.sample(TUNING, NOW, 90_000);
        assert!(!path.sample(TUNING, NOW, 20_000), "it was a stray");
        assert!(shown(&path) < 20_100, "a bounded part: {}", shown(&path));
    }

    #[test]
    fn a_step_of_any_size_is_followed_within_five_samples() {
        for (from, to) in [
            (40_500, 35_600),
            (35_600, 40_500),
            (40_000, 41_000),
            (60, 90),
            (200, 5000),
        ] {
            let mut path = after(&[from; 40]);
            for sample in 0..5 {
                path.sample(TUNING, NOW, to + sample % 2);
            }
            let off = shown(&path).abs_diff(to);
            assert!(
                off * 100 <= to * 3,
                "{from} to {to}: {} shown",
                shown(&path)
            );
        }
    }

    /// Samples as on one busy machine: 40 µs, half of them up to 30 µs longer, and one in eight up to 300 µs.
    #[test]
    fn a_busy_machine_does_not_move_the_time() {
        let mut seed = 7_u32;
        let mut random = |most: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % most
        };
        let mut path = after(&[40; 3]);
        let mut shown_us = Vec::new();
        for sample in 0..2000 {
            let noise = match random(8) {
                0 => random(300),
                1..4 => random(30),
                _ => random(3),
            };
            path.sample(TUNING, NOW, 40 + noise);
            if sample > 50 {
                shown_us.push(shown(&path));
            }
        }
        shown_us.sort_unstable();
        let (least, p99) = (shown_us[0], shown_us[shown_us.len() * 99 / 100]);
        assert!(least >= 40 && p99 <= 60, "{least} to {p99} µs are shown");
        let deviation = path.rtt().expect("measured").jitter_us;
        assert!(deviation > 5, "timeouts know of it: {deviation}");
    }

    #[test]
    fn a_first_sample_that_is_far_too_short_does_not_stay() {
        let mut path = after(&[1]);
        for sample in 0..40 {
            path.sample(TUNING, NOW, [12, 41, 15, 90, 13][sample % 5]);
        }
        assert!((11..=30).contains(&shown(&path)), "{}", shown(&path));
    }

    #[test]
    fn a_small_difference_counts_in_small_parts() {
        // In whole µs, a thirty-second part of 10 µs would be 0 upwards and 1 downwards.
        let mut path = after(&[50; 40]);
        for sample in 0..200 {
            path.sample(TUNING, NOW, if sample % 2 == 0 { 44 } else { 56 });
        }
        assert!(shown(&path).abs_diff(50) <= 2, "{}", shown(&path));
    }

    #[test]
    fn noise_is_smoothed() {
        // A path of 20 ms with up to 4 ms of jitter, evenly spread, from a fixed sequence.
        let mut seed = 1_u32;
        let mut noisy = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            18_000 + (seed >> 16) % 4000
        };
        let mut path = after(&[20_000; 3]);
        let mut off = Vec::new();
        for sample in 0..2000 {
            path.sample(TUNING, NOW, noisy());
            if sample > 50 {
                off.push(shown(&path).abs_diff(20_000));
            }
        }
        off.sort_unstable();
        let (median, p99) = (off[off.len() / 2], off[off.len() * 99 / 100]);
        assert!(median < 200, "{median} µs off at the median");
        assert!(p99 < 1000, "{p99} µs off at the 99th percentile");
    }
}
