//! New records that wait a moment for company before they are passed on.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::membership::Time;
use crate::membership::view::Index;

/// The route of a record: over which links it is passed on, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// Flooding, over all of them: a withdrawal that floods, a leave message.
    Everywhere,
    /// Flooding, but not to neighbours of the node itself, which hear it from there: a gain that floods.
    Around,
    /// Eager push over the links of the tree, lazy push over the others.
    Tree,
    /// In a full mesh: to those neighbours that don't hear it from the node itself, and whose ids come after ours.
    FirstTurn,
    /// The same, to those whose ids come before ours.
    SecondTurn,
}

/// New records that wait for company, or for their turn: what goes at one time together, as it came. It holds what came within the longest
/// wait, a tenth of a second or so: as much as neighbours may bring in that time.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<Time, Vec<(Index, Route)>>);

impl Waiting {
    pub(super) fn push(&mut self, at: Time, index: Index, route: Route) {
        self.0.entry(at).or_default().push((index, route));
    }

    /// Brings later entries forward to `at`, or to `second` if they wait for their second turn. They go before what is pushed next.
    pub(super) fn hasten(&mut self, at: Time, second: Time) {
        let after = at + Duration::from_nanos(1);
        for (until, waiting) in self.0.split_off(&after) {
            for (index, route) in waiting {
                let most = if route == Route::SecondTurn {
                    second
                } else {
                    at
                };
                self.push(until.min(most), index, route);
            }
        }
    }

    /// When the next ones' time comes.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.0.first_key_value().map(|(at, _)| *at)
    }

    /// Those whose time has come first.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Vec<(Index, Route)>> {
        let first = self.0.first_entry().filter(|first| *first.key() <= now)?;
        Some(first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_wait_for_their_time() {
        let (mut waiting, at) = (Waiting::default(), Duration::from_millis(5));
        waiting.push(at * 2, Index(1), Route::Tree);
        waiting.push(at, Index(2), Route::Everywhere);
        waiting.push(at, Index(1), Route::Tree);
        assert_eq!(waiting.next_due(), Some(at));
        assert_eq!(waiting.pop_due(at / 2), None);
        let together = vec![(Index(2), Route::Everywhere), (Index(1), Route::Tree)];
        assert_eq!(waiting.pop_due(at), Some(together));
        assert_eq!(waiting.pop_due(at), None);
        waiting.push(at * 4, Index(3), Route::SecondTurn);
        waiting.push(at * 4, Index(4), Route::Tree);
        waiting.hasten(at, at * 3);
        let hastened = vec![(Index(1), Route::Tree), (Index(4), Route::Tree)];
        assert_eq!(waiting.pop_due(at), Some(hastened));
        assert_eq!(waiting.next_due(), Some(at * 3));
    }
}
