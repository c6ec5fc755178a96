//! New records that wait a moment for company before they are passed on.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::membership::Time;
use crate::membership::view::Index;

/// By which links a record is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// All of them: a loss that floods, a farewell.
    Everywhere,
    /// All of them but to neighbours of the node itself, who hear it from there: a gain that floods.
    Around,
    /// Those of the tree, the others being told of it.
    Tree,
    /// In a full mesh: to those who don't hear it from the node itself, and only to those that come after us.
    FirstTurn,
    /// The same, to those that come before us.
    SecondTurn,
}

/// New records that wait for company, or for their turn: what goes at one time together, as it came. It holds what came within the longest
/// wait, a tenth of a second or so: as much as neighbours may bring in that time.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<Time, Vec<(Index, Way)>>);

impl Waiting {
    pub(super) fn push(&mut self, at: Time, index: Index, way: Way) {
        self.0.entry(at).or_default().push((index, way));
    }

    /// What waits longer than until then waits no longer, or, for its second turn, than until `second`: it goes before what is pushed next.
    pub(super) fn hasten(&mut self, at: Time, second: Time) {
        let after = at + Duration::from_nanos(1);
        for (until, waiting) in self.0.split_off(&after) {
            for (index, way) in waiting {
                let most = if way == Way::SecondTurn { second } else { at };
                self.push(until.min(most), index, way);
            }
        }
    }

    /// When the next ones' time comes.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.0.first_key_value().map(|(at, _)| *at)
    }

    /// Those whose time has come first.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Vec<(Index, Way)>> {
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
        waiting.push(at * 2, Index(1), Way::Tree);
        waiting.push(at, Index(2), Way::Everywhere);
        waiting.push(at, Index(1), Way::Tree);
        assert_eq!(waiting.next_due(), Some(at));
        assert_eq!(waiting.pop_due(at / 2), None);
        let together = vec![(Index(2), Way::Everywhere), (Index(1), Way::Tree)];
        assert_eq!(waiting.pop_due(at), Some(together));
        assert_eq!(waiting.pop_due(at), None);
        waiting.push(at * 4, Index(3), Way::SecondTurn);
        waiting.push(at * 4, Index(4), Way::Tree);
        waiting.hasten(at, at * 3);
        let hastened = vec![(Index(1), Way::Tree), (Index(4), Way::Tree)];
        assert_eq!(waiting.pop_due(at), Some(hastened));
        assert_eq!(waiting.next_due(), Some(at * 3));
    }
}
