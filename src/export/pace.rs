//! Decides when the files are written.

use std::collections::VecDeque;
use std::time::Duration;

use crate::snapshot::Changes;

/// The pause before a change of nodes, states or links is written is this times the number of writes in the last second. So the
/// first change after a quiet time is written at once, and a burst quickly. Eleven writes take (1 + 2 + … + 10) × 20 ms = 1.1 s, so
/// no second contains more than ten. Half of this would allow about fourteen, twice of it about seven.
const SHAPE_STEP: Duration = Duration::from_millis(20);

/// How long a write counts towards the pause.
const MEMORY: Duration = Duration::from_secs(1);

/// The least time between writes if only measurements and counters changed. Round-trip times change all the time, and a program
/// that follows the files (such as `d2 --watch`) spends far more on each change than we do.
const FIGURES_INTERVAL: Duration = Duration::from_secs(2);

/// The files may use one part in this many of a core in the long run, whatever their size: 1 %.
const SHARE: u32 = 100;

/// The core time that the files may use in advance after a quiet time. Changes come in bursts, and the first writes of a node, with
/// cold caches, cost many times as much as later ones.
const CREDIT: Duration = Duration::from_millis(60);

/// The longest pause that the limit of core time can cause. From some ten thousand nodes on, fresh files matter more than the
/// limit.
const MAX_REST: Duration = Duration::from_secs(5);

/// The pause before a failed write is repeated, even if nothing changes.
const RETRY_INTERVAL: Duration = Duration::from_secs(3);

/// Decides when the next write is due. It reads no clock: `now` is the time since any fixed moment.
///
/// The first write is due at once. Between [`Pace::handle_begin`] and [`Pace::handle_end`] nothing is due. A change during a write
/// is due afterwards, so the last change is always written.
#[derive(Debug, Default)]
pub struct Pace {
    /// The changes so far.
    known: Changes,
    /// When the last write began, and the changes that it contains. `None` before the first.
    last: Option<(Duration, Changes)>,
    /// When the writes of the last second began, as of the last one, itself included.
    recent: VecDeque<Duration>,
    writing: bool,
    /// The time at which 1 % of a core will have paid for all writes so far. The next write waits only if this is further ahead than
    /// [`CREDIT`] allows.
    earned_at: Duration,
    /// When a failed write is repeated.
    retry_at: Option<Duration>,
}

impl Pace {
    /// Reports that the network has changed.
    pub fn handle_changes(&mut self, changes: Changes) {
        self.known = changes;
    }

    /// Reports the begin of a write whose snapshot contains everything up to `changes`.
    pub fn handle_begin(&mut self, now: Duration, changes: Changes) {
        self.recent.retain(|begun_at| now < *begun_at + MEMORY);
        self.recent.push_back(now);
        self.known = changes;
        self.last = Some((now, changes));
        self.writing = true;
    }

    /// Reports the end of a write. `cost` is the core time that it used; `complete`: all files were written.
    pub fn handle_end(&mut self, now: Duration, cost: Duration, complete: bool) {
        self.writing = false;
        let rest = cost.saturating_mul(SHARE);
        self.earned_at = (self.earned_at.max(now) + rest).min(now + CREDIT * SHARE + MAX_REST);
        self.retry_at = (!complete).then(|| now + RETRY_INTERVAL);
    }

    /// When the next write is due; `None` while there is nothing to write.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.writing {
            return None;
        }
        let Some((begun_at, written)) = self.last else {
            return Some(Duration::ZERO);
        };
        let due_at = if self.known.shape != written.shape {
            let recent = u32::try_from(self.recent.len()).expect("a second has few writes");
            Some(begun_at + SHAPE_STEP * recent)
        } else if self.known.figures != written.figures {
            Some(begun_at + FIGURES_INTERVAL)
        } else {
            None
        };
        let due_at = match (due_at, self.retry_at) {
            (Some(due_at), Some(retry_at)) => Some(due_at.min(retry_at)),
            (due_at, retry_at) => due_at.or(retry_at),
        };
        due_at.map(|due_at| due_at.max(self.earned_at.saturating_sub(CREDIT * SHARE)))
    }

    /// Whether a change is in no write so far, or a write has failed.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.retry_at.is_some() || self.last.is_none_or(|(_, written)| written != self.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Duration = Duration::from_micros(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn changes(shape: u64, figures: u64) -> Changes {
        Changes { shape, figures }
    }

    /// A pace whose first write, of nothing, began at `now` and cost next to nothing.
    fn begun_at(now: Duration) -> Pace {
        let mut pace = Pace::default();
        pace.handle_begin(now, changes(0, 0));
        pace.handle_end(now, CHEAP, true);
        pace
    }

    #[test]
    fn the_first_write_is_due_at_once() {
        let pace = Pace::default();
        assert_eq!(pace.poll_timeout(), Some(Duration::ZERO));
        assert!(pace.is_behind());
    }

    #[test]
    fn without_a_change_nothing_is_ever_due() {
        let pace = begun_at(ms(0));
        assert_eq!(pace.poll_timeout(), None);
        assert!(!pace.is_behind());
    }

    #[test]
    fn after_a_quiet_time_a_new_shape_is_due_at_once() {
        let mut pace = begun_at(ms(0));
        pace.handle_changes(changes(1, 0));
        assert!(pace.poll_timeout() <= Some(ms(100)));
    }

    #[test]
    fn a_shape_that_keeps_changing_is_written_ten_times_a_second() {
        let mut pace = begun_at(ms(0));
        let mut begun = vec![ms(0)];
        for now in (0..5000).map(ms) {
            pace.handle_changes(changes(now.as_micros() as u64 + 1, 0));
            if pace.poll_timeout().is_some_and(|due_at| due_at <= now) {
                pace.handle_begin(now, pace.known);
                pace.handle_end(now, CHEAP, true);
                begun.push(now);
            }
        }
        assert_eq!(begun[10], ms(1100), "the eleventh comes after a second");
        assert!(
            begun
                .windows(11)
                .all(|eleven| eleven[10] - eleven[0] > ms(1000)),
            "in any second: {begun:?}"
        );
    }

    #[test]
    fn figures_wait_two_seconds_unless_the_shape_changes() {
        let mut pace = begun_at(ms(0));
        pace.handle_changes(changes(0, 7));
        assert_eq!(pace.poll_timeout(), Some(ms(2000)));
        pace.handle_changes(changes(1, 7));
        assert_eq!(pace.poll_timeout(), Some(ms(20)));
        pace.handle_begin(ms(100), changes(1, 7));
        pace.handle_end(ms(100), CHEAP, true);
        assert_eq!(pace.poll_timeout(), None);
    }

    #[test]
    fn a_change_during_a_write_is_due_after_it() {
        let mut pace = begun_at(ms(0));
        pace.handle_begin(ms(500), changes(1, 0));
        assert_eq!(pace.poll_timeout(), None);
        pace.handle_changes(changes(2, 0));
        assert_eq!(pace.poll_timeout(), None);
        pace.handle_end(ms(501), CHEAP, true);
        assert_eq!(pace.poll_timeout(), Some(ms(540)));
    }

    #[test]
    fn expensive_writes_use_the_credit_then_1_percent_of_a_core() {
        let mut pace = begun_at(ms(0));
        let mut times = Vec::new();
        for now in (0..60_000).map(ms) {
            pace.handle_changes(changes(now.as_micros() as u64 + 1, 0));
            if pace.poll_timeout().is_some_and(|due_at| due_at <= now) {
                pace.handle_begin(now, pace.known);
                pace.handle_end(now, ms(8), true);
                times.push(now);
            }
        }
        assert_eq!(times[6], ms(560), "the first few don't wait");
        let cost = 8 * times.len() as u64;
        assert!(
            (600..=680).contains(&cost),
            "1 % of a minute and the credit, not {cost} ms"
        );
    }

    #[test]
    fn the_limit_of_core_time_delays_writes_by_five_seconds_at_most() {
        let mut pace = begun_at(ms(0));
        pace.handle_begin(ms(808), changes(2, 0));
        pace.handle_end(ms(1000), ms(190), true);
        pace.handle_changes(changes(3, 0));
        assert_eq!(pace.poll_timeout(), Some(ms(6000)));
    }

    #[test]
    fn a_failed_write_is_repeated_on_the_next_change_and_every_few_seconds() {
        let mut pace = begun_at(ms(0));
        pace.handle_begin(ms(1000), changes(1, 0));
        pace.handle_end(ms(1000), CHEAP, false);
        assert!(pace.is_behind());
        assert_eq!(pace.poll_timeout(), Some(ms(4000)));
        pace.handle_changes(changes(2, 0));
        assert_eq!(pace.poll_timeout(), Some(ms(1020)));
        pace.handle_begin(ms(1100), changes(2, 0));
        pace.handle_end(ms(1100), CHEAP, true);
        assert_eq!(pace.poll_timeout(), None);
        assert!(!pace.is_behind());
    }
}
