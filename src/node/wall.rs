//! The wall clock. It is read when a time is shown or stored, and at the start for the epoch. Nothing else depends on it.
//!
//! The node counts time since its start with the monotonic clock. The wall clock may be wrong at the start (1970, or some hours
//! off) and be corrected later. So the start's Unix time is not kept: it is derived from the present wall clock each time.

use std::sync::Arc;
use std::time::Duration;

use crate::membership::Time;

/// Reads a wall clock: the Unix time in ms.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The largest difference between two readings that does not count as a correction of the clock, in ms. Without it, times that
/// stay the same would be shown with another millisecond each time. Halved: a clock that NTP slews makes a step twice as often.
/// Doubled: times stay wrong by 0.2 s.
const JITTER_MS: u64 = 100;
/// The two clocks are read one after the other, and a busy machine may do something else in between. A reading that takes longer
/// does not count. Halved: few readings take so long. Ten times as long: the delay itself looks like a correction of the clock.
const LONGEST_READING: Duration = Duration::from_millis(10);
/// The readings that are tried each time. If all take too long, the start is where it was. Halved or doubled: a correction is seen
/// a picture later or sooner, on a machine that is overloaded.
const READINGS: usize = 4;

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

    /// The start of the node in Unix ms, by the clock as it is now. `now` reads the time since the start.
    pub(super) fn origin_ms(&mut self, now: impl Fn() -> Time) -> i64 {
        let read = || {
            let before = now();
            let unix_ms = (self.clock)();
            let took = now().saturating_sub(before);
            (ms(unix_ms.into()) - ms(before.as_millis()), took)
        };
        let short = (0..READINGS)
            .map(|_| read())
            .find(|(_, took)| *took <= LONGEST_READING);
        let origin = match (self.origin_ms, short) {
            (Some(kept), Some((found, _))) if kept.abs_diff(found) > JITTER_MS => found,
            (Some(kept), _) => kept,
            (None, Some((found, _))) => found,
            (None, None) => read().0,
        };
        *self.origin_ms.insert(origin)
    }
}

fn ms(ms: u128) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
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
    fn a_corrected_clock_moves_the_start() {
        let clock = Arc::new(AtomicU64::new(1_000));
        let reads = clock.clone();
        let mut wall = Wall::new(Arc::new(move || reads.load(Ordering::Relaxed)));
        let mut shows = |unix_ms: u64, now_s: u64| {
            clock.store(unix_ms, Ordering::Relaxed);
            wall.origin_ms(|| Duration::from_secs(now_s))
        };
        assert_eq!(shows(1_000, 0), 1_000);
        assert_eq!(shows(6_099, 5), 1_000);
        assert_eq!(shows(5_901, 5), 1_000);
        // From 1970 to 2023, and back.
        assert_eq!(shows(1_700_000_000_000, 10), 1_699_999_990_000);
        assert_eq!(shows(0, 20), -20_000);
    }

    #[test]
    fn a_reading_that_something_interrupts_does_not_move_the_start() {
        // One time that both clocks show. Each reading of the wall clock first waits as long as said.
        let time = Arc::new(AtomicU64::new(1_000));
        let waits = Arc::new(AtomicU64::new(0));
        let (wall_time, wait) = (time.clone(), waits.clone());
        let mut wall = Wall::new(Arc::new(move || {
            wall_time.fetch_add(wait.load(Ordering::Relaxed), Ordering::Relaxed);
            wall_time.load(Ordering::Relaxed)
        }));
        let mut shows = |ms: u64| {
            waits.store(ms, Ordering::Relaxed);
            wall.origin_ms(|| Duration::from_millis(time.load(Ordering::Relaxed)))
        };
        assert_eq!(shows(0), 0);
        assert_eq!(shows(150), 0);
        assert_eq!(shows(0), 0);
    }
}
