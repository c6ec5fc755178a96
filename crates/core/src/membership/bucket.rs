//! A token bucket: the one rate limiter of the core.

use super::Time;

/// How much a bucket holds, and how fast it fills.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// The most that may be taken at once.
    pub(super) burst: f64,
    /// What comes back in a second.
    pub(super) per_s: f64,
}

/// What may still be taken.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    left: f64,
    filled: Time,
}

impl Bucket {
    /// A bucket that holds so much.
    pub(super) fn holding(now: Time, left: f64) -> Self {
        Self { left, filled: now }
    }

    /// Fills the bucket by the time that passed, and tells what it holds; less than nothing is a debt.
    pub(super) fn fill(&mut self, now: Time, rate: Rate) -> f64 {
        let elapsed = now.saturating_sub(self.filled).as_secs_f64();
        self.filled = now;
        self.left = (self.left + elapsed * rate.per_s).min(rate.burst);
        self.left
    }

    /// Takes so much without filling.
    pub(super) fn spend(&mut self, count: f64) {
        self.left -= count;
    }

    /// Fills the bucket and takes so much, whether it is there or not; tells whether it was. A debt is never larger than the burst.
    pub(super) fn take(&mut self, now: Time, rate: Rate, count: usize) -> bool {
        let filled = self.fill(now, rate);
        self.left = (filled - count as f64).max(-rate.burst);
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATE: Rate = Rate {
        burst: 10.0,
        per_s: 2.0,
    };

    fn at(s: u64) -> Time {
        Duration::from_secs(s)
    }

    #[test]
    fn what_is_taken_comes_back_with_time_up_to_the_burst() {
        let mut bucket = Bucket::holding(at(0), RATE.burst);
        assert!(bucket.take(at(0), RATE, 10));
        assert!(!bucket.take(at(0), RATE, 1));
        assert!(bucket.take(at(2), RATE, 3), "a debt of one is paid first");
        assert!((bucket.fill(at(1000), RATE) - RATE.burst).abs() < f64::EPSILON);
    }

    #[test]
    fn a_debt_is_bounded_by_the_burst() {
        let mut bucket = Bucket::default();
        assert!(!bucket.take(at(0), RATE, 1_000_000));
        assert!(bucket.take(at(6), RATE, 2));
    }
}
