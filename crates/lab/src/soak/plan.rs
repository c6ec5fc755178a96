//! When a soak attacks, rests and samples.

use std::time::Duration;

/// How long an attack goes on. Halved: `evict` and `sybil-40k` hardly fill the tables. Doubled: two hours see each attack only twice.
const ATTACK: Duration = Duration::from_secs(60);

/// After so many attacks, everything is quiet: every four and a half minutes. More: fewer moments at which views must be exact.
/// Fewer: less of the soak is under attack.
const ATTACKS_BETWEEN: usize = 4;

/// How long it is quiet at least. A dead node is down everywhere within 10 s at 20 % loss, and a held link is listed after 5 s.
/// Halved: these two times hardly fit. Doubled: a fifth of the soak is quiet.
const QUIET: Duration = Duration::from_secs(30);

/// A quiet time ends once the views are exact, and at the latest after this long; then they are false.
pub(crate) const QUIET_LIMIT: Duration = Duration::from_secs(30);

/// The time between two samples. Halved: twice the record. Doubled: half of the samples of a node that churns are lost.
const SAMPLE: Duration = Duration::from_secs(10);

/// A node is sampled once its process is that old: its start is over.
const GROWN: Duration = Duration::from_secs(60);

/// The times of a soak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// How long it lasts.
    pub(crate) lasts: Duration,
    /// How long each attack goes on.
    pub(crate) attack: Duration,
    /// How long it is quiet at least.
    pub(crate) quiet: Duration,
    /// The time between two samples.
    pub(crate) sample: Duration,
    /// The age from which a node is sampled.
    pub(crate) grown: Duration,
}

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The attack of that number, counted from the beginning.
    Attack(usize),
    /// The quiet time of that number.
    Quiet(usize),
}

impl Times {
    /// The usual times; in a short soak each is shorter in proportion.
    pub(crate) fn of(lasts: Duration) -> Self {
        Self {
            lasts,
            attack: ATTACK.min(lasts / 8),
            quiet: QUIET.min(lasts / 4),
            sample: SAMPLE.min(lasts / 20),
            grown: GROWN.min(lasts / 8),
        }
    }

    /// How long one round of so many attacks takes.
    pub(crate) fn round(&self, attacks: usize) -> Duration {
        let attacks = u32::try_from(attacks).unwrap_or(u32::MAX);
        let between = u32::try_from(ATTACKS_BETWEEN).unwrap_or(u32::MAX);
        attacks * self.attack + attacks * self.quiet / between
    }

    /// What comes next, and how long it lasts; `None` at the end. A soak ends with a quiet time.
    pub(crate) fn next(&self, last: Option<Phase>, elapsed: Duration) -> Option<(Phase, Duration)> {
        let left = self.lasts.saturating_sub(elapsed);
        let (next, quiets) = match last {
            None => (0, 0),
            Some(Phase::Attack(number)) if (number + 1).is_multiple_of(ATTACKS_BETWEEN) => {
                let number = number / ATTACKS_BETWEEN;
                return Some((Phase::Quiet(number), self.quiet.min(left)));
            }
            Some(Phase::Attack(number)) => (number + 1, (number + 1) / ATTACKS_BETWEEN),
            Some(Phase::Quiet(_)) if left.is_zero() => return None,
            Some(Phase::Quiet(number)) => ((number + 1) * ATTACKS_BETWEEN, number + 1),
        };
        let until_last_quiet = left.saturating_sub(self.quiet);
        if until_last_quiet.is_zero() {
            return Some((Phase::Quiet(quiets), left));
        }
        Some((Phase::Attack(next), self.attack.min(until_last_quiet)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_attacks_rests_and_ends_at_rest() {
        for lasts in [30, 40, 600, 7200] {
            let times = Times::of(Duration::from_secs(lasts));
            let (mut elapsed, mut last, mut attacked) = (Duration::ZERO, None, Duration::ZERO);
            while let Some((phase, time)) = times.next(last, elapsed) {
                assert!(!time.is_zero(), "{phase:?} at {elapsed:?} of {lasts} s");
                elapsed += time;
                last = Some(phase);
                if matches!(phase, Phase::Attack(_)) {
                    attacked += time;
                }
            }
            assert_eq!(elapsed, times.lasts);
            assert!(matches!(last, Some(Phase::Quiet(_))), "{last:?}");
            assert!(attacked > elapsed / 3, "{attacked:?} of {elapsed:?}");
        }
    }

    #[test]
    fn two_hours_have_several_rounds() {
        let times = Times::of(Duration::from_secs(7200));
        assert_eq!(times.attack, Duration::from_secs(60));
        assert!(times.round(22) * 4 < times.lasts);
    }
}
