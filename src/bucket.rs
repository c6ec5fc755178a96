//! A token bucket: limits a rate, and lets a burst through after a quiet time.
//!
//! It reads no clock: `now` is the time since any fixed moment. Rate and depth are arguments, because some of them change with the
//! network. Tokens are fractions of whatever the caller counts.

use std::time::Duration;

/// The tokens that are left, and since when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    tokens: f64,
    filled_at: Duration,
}

impl Bucket {
    /// A bucket that holds so many tokens at `now`.
    #[must_use]
    pub fn new(now: Duration, tokens: f64) -> Self {
        Self {
            tokens,
            filled_at: now,
        }
    }

    /// Adds what has come in since the last time, up to `depth` in all, and returns how many tokens there are. Time that runs
    /// backwards adds nothing.
    pub fn fill(&mut self, now: Duration, per_s: f64, depth: f64) -> f64 {
        let elapsed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.filled_at = now;
        self.tokens = (self.tokens + elapsed * per_s).min(depth);
        self.tokens
    }

    /// Takes so many tokens out, more than there are if need be: what follows then waits until the debt is paid.
    pub fn spend(&mut self, count: f64) {
        self.tokens -= count;
    }

    /// Fills the bucket, takes so many tokens out, and returns whether there were enough. They are gone either way, so whoever
    /// keeps asking for too much gets nothing.
    pub fn take(&mut self, now: Duration, count: f64, per_s: f64, depth: f64) -> bool {
        self.fill(now, per_s, depth);
        self.spend(count);
        self.tokens >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_fills_at_its_rate_up_to_its_depth() {
        let mut bucket = Bucket::new(s(10), 1.0);
        assert_eq!(bucket.fill(s(10), 2.0, 8.0), 1.0);
        assert_eq!(bucket.fill(s(12), 2.0, 8.0), 5.0);
        assert_eq!(bucket.fill(s(1000), 2.0, 8.0), 8.0);
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut bucket = Bucket::new(s(0), 4.0);
        let passed = (0..100).filter(|_| bucket.take(s(0), 1.0, 1.0, 4.0));
        assert_eq!(passed.count(), 4);
    }

    #[test]
    fn what_was_refused_is_owed() {
        let mut bucket = Bucket::new(s(0), 0.0);
        assert!(!bucket.take(s(0), 3.0, 1.0, 4.0));
        assert!(!bucket.take(s(3), 1.0, 1.0, 4.0));
        assert!(bucket.take(s(5), 1.0, 1.0, 4.0));
    }

    #[test]
    fn time_that_runs_backwards_adds_nothing() {
        let mut bucket = Bucket::new(s(10), 1.0);
        assert_eq!(bucket.fill(s(5), 1.0, 8.0), 1.0);
        assert_eq!(bucket.fill(s(6), 1.0, 8.0), 2.0);
    }

    #[test]
    fn a_depth_that_shrinks_takes_tokens_with_it() {
        let mut bucket = Bucket::new(s(0), 8.0);
        assert_eq!(bucket.fill(s(0), 1.0, 4.0), 4.0);
    }
}
