//! What one neighbour may still lack: a set of nodes, whose newest records are encoded at the moment of sending.
//!
//! Along the tree records are sent as they come; over all other links a node is only told of, and its record sent when the
//! neighbour asks. Beside both it keeps, in a bit a node, what the neighbour is known to have in its newest version, so that
//! nothing goes out twice.

use std::collections::{BTreeMap, BTreeSet};

use super::Time;
use super::database::Index;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    due: BTreeMap<Index, Time>,
    /// To be told of.
    told: BTreeMap<Index, Time>,
    has: Vec<u64>,
}

impl Backlog {
    /// The node has a new record: whatever the neighbour has is old.
    pub(super) fn renew(&mut self, index: Index) {
        let (word, bit) = place(index);
        if let Some(word) = self.has.get_mut(word) {
            *word &= !bit;
        }
    }

    /// The neighbour has the node's newest record.
    pub(super) fn settle(&mut self, index: Index) {
        self.due.remove(&index);
        self.told.remove(&index);
        let (word, bit) = place(index);
        if self.has.len() <= word {
            self.has.resize(word + 1, 0);
        }
        self.has[word] |= bit;
    }

    /// To be sent by then, unless the neighbour has it.
    pub(super) fn offer(&mut self, index: Index, by: Time) {
        let (word, bit) = place(index);
        if self.has.get(word).is_none_or(|word| word & bit == 0) {
            let due = self.due.entry(index).or_insert(by);
            *due = (*due).min(by);
            self.told.remove(&index);
        }
    }

    /// To be told of by then, unless the neighbour has it or gets it.
    pub(super) fn mention(&mut self, index: Index, by: Time) {
        let (word, bit) = place(index);
        let has = self.has.get(word).is_some_and(|word| word & bit != 0);
        if !has && !self.due.contains_key(&index) {
            let due = self.told.entry(index).or_insert(by);
            *due = (*due).min(by);
        }
    }

    /// To be sent by then: the neighbour said that it lacks it.
    pub(super) fn require(&mut self, index: Index, by: Time) {
        self.renew(index);
        self.offer(index, by);
    }

    /// Takes out what is due, as long as `fits` says so.
    pub(super) fn take_due(&mut self, now: Time, mut fits: impl FnMut(Index) -> bool) {
        let mut taken = Vec::new();
        for (&index, _) in self.due.iter().filter(|(_, due)| **due <= now) {
            if !fits(index) {
                break;
            }
            taken.push(index);
        }
        for index in taken {
            self.settle(index);
        }
    }

    /// Takes out whom to tell of, up to so many at once, if anybody is due: the others go with them.
    pub(super) fn take_told(&mut self, now: Time, most: usize) -> Vec<Index> {
        if self.told.values().all(|due| *due > now) {
            return Vec::new();
        }
        let taken: Vec<Index> = self.told.keys().take(most).copied().collect();
        for &index in &taken {
            self.settle(index);
        }
        taken
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.due.values().chain(self.told.values()).min().copied()
    }

    /// Whether no record is to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Those nodes are forgotten.
    pub(super) fn forget(&mut self, gone: &BTreeSet<Index>) {
        for &index in gone {
            self.due.remove(&index);
            self.told.remove(&index);
            self.renew(index);
        }
    }
}

fn place(index: Index) -> (usize, u64) {
    (index.0 as usize / 64, 1 << (index.0 % 64))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_neighbour_gets_a_record_once_and_its_successor_once() {
        let (mut backlog, node, at) = (Backlog::default(), Index(70), Duration::from_millis(5));
        backlog.offer(node, at);
        assert_eq!(backlog.next_due(), Some(at));
        backlog.take_due(at, |_| true);
        backlog.offer(node, at);
        assert!(backlog.is_empty(), "it has that version");
        backlog.renew(node);
        backlog.offer(node, at);
        assert_eq!(backlog.next_due(), Some(at));
        backlog.settle(node);
        assert!(backlog.is_empty(), "it came from there");
        backlog.require(node, at);
        assert_eq!(backlog.next_due(), Some(at), "it asked for it");
    }

    #[test]
    fn a_neighbour_is_told_once_and_gets_what_it_asks_for() {
        let (mut backlog, at) = (Backlog::default(), Duration::from_millis(5));
        let (early, late) = (Index(1), Index(2));
        backlog.mention(late, at * 2);
        backlog.mention(early, at);
        assert!(backlog.is_empty() && backlog.next_due() == Some(at));
        assert_eq!(backlog.take_told(at / 2, 9), []);
        assert_eq!(backlog.take_told(at, 9), [early, late], "in one message");
        backlog.mention(early, at);
        assert_eq!(backlog.next_due(), None, "it knows");
        backlog.require(early, at);
        backlog.mention(early, at);
        assert_eq!(backlog.take_told(at, 9), [], "it gets the record itself");
        assert!(!backlog.is_empty());
    }
}
