//! A token bucket: limits a rate, and lets a burst through after a quiet time.
//!
//! It reads no clock: `now` is the time since any fixed moment. The rate is an argument, since some rates change with the network. Tokens
//! are fractions of whatever the caller counts.

use std::time::Duration;

/// How much a bucket holds, and how fast it fills.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The most that may be taken at once.
    pub burst: f64,
    /// What comes back in a second.
    pub per_s: f64,
}

/// What may still be taken.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bucket {
    left: f64,
    filled_at: Duration,
}

impl Bucket {
    /// A bucket that holds so many tokens at `now`. (The default holds none at time zero.)
    #[must_use]
    pub fn holding(now: Duration, left: f64) -> Self {
        Self {
            left,
            filled_at: now,
        }
    }

    /// Fills the bucket by the time that passed, and returns what it holds; less than nothing is a debt. Time that runs backwards adds
    /// nothing.
    pub fn fill(&mut self, now: Duration, rate: Rate) -> f64 {
        let elapsed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.filled_at = now;
        self.left = (self.left + elapsed * rate.per_s).min(rate.burst);
        self.left
    }

    /// Takes so much without filling.
    pub fn spend(&mut self, count: f64) {
        self.left -= count;
    }

    /// Fills the bucket and takes so much, whether it is there or not; returns whether it was. What is not there is owed, so that whoever keeps
    /// asking for too much gets nothing, but a debt is never larger than the burst.
    pub fn take(&mut self, now: Duration, rate: Rate, count: usize) -> bool {
        let filled = self.fill(now, rate);
        self.left = (filled - count as f64).max(-rate.burst);
        self.left >= 0.0
    }

    /// Fills the bucket and takes one token, if one is there; returns whether it was. So the rate is kept, however much is asked for.
    pub fn take_one(&mut self, now: Duration, rate: Rate) -> bool {
        let within = self.fill(now, rate) >= 1.0;
        if within {
            self.spend(1.0);
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        burst: 8.0,
        per_s: 2.0,
    };

    fn at(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn it_fills_at_its_rate_up_to_its_burst() {
        let mut bucket = Bucket::holding(at(10), 1.0);
        assert_eq!(bucket.fill(at(10), RATE), 1.0);
        assert_eq!(bucket.fill(at(12), RATE), 5.0);
        assert_eq!(bucket.fill(at(1000), RATE), 8.0);
    }

    #[test]
    fn what_was_refused_is_owed_up_to_the_burst() {
        let mut bucket = Bucket::holding(at(0), RATE.burst);
        assert!(bucket.take(at(0), RATE, 8));
        assert!(!bucket.take(at(0), RATE, 2));
        assert!(!bucket.take(at(1), RATE, 1), "the debt is paid first");
        assert!(bucket.take(at(3), RATE, 3));
        assert!(!bucket.take(at(3), RATE, 1_000_000));
        assert!(bucket.take(at(8), RATE, 2), "a debt of the burst is paid");
    }

    #[test]
    fn one_by_one_the_rate_is_kept_however_much_is_asked_for() {
        let mut bucket = Bucket::holding(at(0), RATE.burst);
        let passed =
            |bucket: &mut Bucket, s| (0..100).filter(|_| bucket.take_one(at(s), RATE)).count();
        assert_eq!(passed(&mut bucket, 0), 8);
        assert_eq!(passed(&mut bucket, 1), 2);
    }

    #[test]
    fn time_that_runs_backwards_adds_nothing() {
        let mut bucket = Bucket::holding(at(10), 1.0);
        assert_eq!(bucket.fill(at(5), RATE), 1.0);
        assert_eq!(bucket.fill(at(6), RATE), 3.0);
    }

    #[test]
    fn a_burst_that_shrinks_takes_tokens_with_it() {
        let mut bucket = Bucket::holding(at(0), RATE.burst);
        let less = Rate { burst: 4.0, ..RATE };
        assert_eq!(bucket.fill(at(0), less), 4.0);
    }
}
