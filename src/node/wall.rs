//! The wall clock. It is read when a time is shown or stored, and at the start for the epoch. Nothing else depends on it.
//!
//! The node counts time since its start with the monotonic clock. The wall clock may be wrong at the start (1970, or some hours
//! off) and be corrected later. So the start's Unix time is not kept: it is derived from the present wall clock each time.

use std::sync::Arc;

use crate::membership::Time;

/// Reads a wall clock: the Unix time in ms.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The largest difference between two readings that does not count as a correction of the clock, in ms. The two clocks are read one
/// after the other, and a busy machine may do something else in between. Without it, times that stay the same would be shown
/// with another millisecond each time.
const JITTER_MS: u64 = 100;

/// See the module's documentation.
pub(super) struct Wall {
    clock: WallClock,
    origin_ms: Option<i64>,
}

impl Wall {
    pub(super) fn new(clock: WallClock) -> Self {
        Self {
            clock,
            origin_ms: None,
        }
    }

    /// The start of the node in Unix ms, by the clock as it is now. `now` is the time since the start.
    pub(super) fn origin_ms(&mut self, now: Time) -> i64 {
        let ms = |ms: u128| i64::try_from(ms).unwrap_or(i64::MAX);
        let found = ms((self.clock)().into()).saturating_sub(ms(now.as_millis()));
        let origin = match self.origin_ms {
            Some(kept) if kept.abs_diff(found) <= JITTER_MS => kept,
            Some(_) | None => found,
        };
        *self.origin_ms.insert(origin)
    }
}

/// The wall clock of this machine.
#[must_use]
pub(super) fn of_this_machine() -> WallClock {
    Arc::new(unix_ms)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the node that reads the wall clock"
)]
fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).expect("Unix time in ms fits 64 bits for 500 million years")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_corrected_clock_moves_the_start_and_a_late_reading_does_not() {
        let clock = Arc::new(AtomicU64::new(1_000));
        let reads = clock.clone();
        let mut wall = Wall::new(Arc::new(move || reads.load(Ordering::Relaxed)));
        let mut shows = |unix_ms: u64, now_s: u64| {
            clock.store(unix_ms, Ordering::Relaxed);
            wall.origin_ms(Duration::from_secs(now_s))
        };
        assert_eq!(shows(1_000, 0), 1_000);
        assert_eq!(shows(6_099, 5), 1_000);
        assert_eq!(shows(5_901, 5), 1_000);
        // From 1970 to 2023, and back.
        assert_eq!(shows(1_700_000_000_000, 10), 1_699_999_990_000);
        assert_eq!(shows(0, 20), -20_000);
    }
}
