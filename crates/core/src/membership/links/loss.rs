//! How many misses in a row does the loss of a link explain?
//!
//! The measured loss of a link is a sample. With `l` of `n` exchanges lost, the link's true loss is only known as a distribution,
//! Beta(a + l, b + n - l). The probability of `k` more losses in a row is the mean of its k-th power: the product of (a + l + i)
//! / (a + b + n + i) for i from 0 to k - 1. So a link with few exchanges or a lucky sample gets more patience than its measured
//! loss alone would give it. Two samples are taken: the last 200 exchanges for precision, and the last 32 to follow a change. The
//! more patient verdict counts.
//!
//! In simulation, two to four runs of misses in a million were judged wrongly, at any steady loss from 10 to 50 % of exchanges.
//! If a clean link suddenly begins to lose 36 %, one in sixteen is dropped once while this is learned. Losses are assumed to be
//! independent.

use crate::membership::tuning::links::Tuning;

/// The bits of [`Outcomes`]. No sample is larger.
const MOST_KEPT: u32 = 256;

/// The samples must fit each other and [`Outcomes`].
const _: () = {
    let tuning = Tuning::DEFAULT;
    assert!(
        tuning.short_sample <= tuning.long_sample && tuning.long_sample <= MOST_KEPT,
        "the outcomes hold both samples"
    );
    assert!(
        tuning.least_shown <= tuning.short_sample && tuning.least_own <= tuning.short_sample,
        "a full short sample is shown"
    );
    assert!(
        tuning.false_verdict <= tuning.false_confirmed,
        "a confirmation makes no verdict later"
    );
};

/// A sample: the number of last exchanges in it, and the weight of the prior belief.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) size: u32,
    b: f64,
}

impl Tuning {
    pub(super) fn short(&self) -> Sample {
        Sample {
            size: self.short_sample,
            b: self.short_prior,
        }
    }

    pub(super) fn long(&self) -> Sample {
        Sample {
            size: self.long_sample,
            b: self.long_prior,
        }
    }
}

/// The outcomes of the last exchanges, newest in the lowest bit. A one is a loss.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    older: u128,
    newer: u128,
    len: u32,
}

impl Outcomes {
    pub(super) fn push(&mut self, lost: bool) {
        self.older = (self.older << 1) | (self.newer >> 127);
        self.newer = (self.newer << 1) | u128::from(lost);
        self.len = (self.len + 1).min(MOST_KEPT);
    }

    /// How many of the last `size` exchanges were lost, and how many there are.
    pub(super) fn last(&self, size: u32) -> (u32, u32) {
        let mask = |bits: u32| match bits {
            0 => 0,
            bits => u128::MAX >> (128 - bits.min(128)),
        };
        let newer = self.newer & mask(size);
        let older = self.older & mask(size.saturating_sub(128));
        (newer.count_ones() + older.count_ones(), self.len.min(size))
    }

    pub(super) fn share(&self, tuning: &Tuning) -> f64 {
        let (lost, of) = self.last(tuning.long_sample);
        // A young link has shown little: two misses of three do not prove a loss of two thirds.
        f64::from(lost) / f64::from(of.max(tuning.least_shown))
    }
}

impl Sample {
    /// The number of consecutive misses that the link's loss explains with no more than this probability, given its losses so
    /// far.
    pub(super) fn misses_needed(self, tuning: &Tuning, lost: f64, of: f64, unlikely: f64) -> u32 {
        let (mut probability, mut misses) = (1.0, 0);
        while probability > unlikely && misses < tuning.most_misses {
            let more = f64::from(misses);
            probability *=
                (tuning.lost_prior + lost + more) / (tuning.lost_prior + self.b + of + more);
            misses += 1;
        }
        misses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNING: &Tuning = &Tuning::DEFAULT;

    #[test]
    fn the_last_outcomes_are_counted_over_any_size() {
        let mut outcomes = Outcomes::default();
        assert_eq!(outcomes.last(TUNING.long_sample), (0, 0));
        for at in 0..1000_u32 {
            outcomes.push(at % 5 == 0);
            for size in [1, 32, 127, 128, 129, TUNING.long_sample] {
                let from = (at + 1).saturating_sub(size);
                let lost = (from..=at).filter(|at| at % 5 == 0).count();
                let of = size.min(at + 1);
                assert_eq!(outcomes.last(size), (lost as u32, of), "{size} at {at}");
            }
        }
    }

    #[test]
    fn the_more_a_link_loses_and_the_less_it_has_shown_the_more_patience_it_gets() {
        assert_eq!(
            TUNING
                .short()
                .misses_needed(TUNING, 0.0, 32.0, TUNING.false_verdict),
            TUNING.least_misses
        );
        assert_eq!(
            TUNING
                .long()
                .misses_needed(TUNING, 0.0, 40.0, TUNING.false_verdict),
            TUNING.least_misses
        );
        let lossy = |unlikely| TUNING.long().misses_needed(TUNING, 72.0, 200.0, unlikely);
        assert_eq!(lossy(TUNING.false_verdict), 14, "a fifth lost each way");
        assert_eq!(
            lossy(TUNING.false_confirmed),
            7,
            "and others have lost the peer"
        );
        for sample in [TUNING.short(), TUNING.long()] {
            let of = f64::from(sample.size);
            let needed =
                |lost: u32| sample.misses_needed(TUNING, f64::from(lost), of, TUNING.false_verdict);
            assert!((1..sample.size).all(|lost| needed(lost) >= needed(lost - 1)));
            let fresh =
                |of: u32| sample.misses_needed(TUNING, 0.0, f64::from(of), TUNING.false_verdict);
            assert!((1..sample.size).all(|of| fresh(of) <= fresh(of - 1)));
            assert!(needed(sample.size) <= TUNING.most_misses);
        }
    }
}
