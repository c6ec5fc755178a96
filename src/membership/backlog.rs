//! What neighbours may still lack: sets of nodes, whose newest records are encoded at the moment of sending.
//!
//! A newer record first waits a moment for company in one queue of the core ([`Waiting`]). When its time has come, every neighbour that
//! was not found to have it by then gets it into its own [`Backlog`]: three bits a node, so that memory is bounded by
//! the number of nodes and a slow link gets fewer, newer records. Along the tree records are sent as they come; over all other links a
//! node is only told of, and its record sent when the neighbour asks.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;

use super::Time;
use super::database::Index;

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

/// What one neighbour may still lack.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// It has the newest record.
    has: FixedBitSet,
    /// To be sent, and how many.
    due: FixedBitSet,
    due_count: usize,
    /// To be told of, all of them at that time.
    told: FixedBitSet,
    told_at: Option<Time>,
    /// Where the next batch begins: low places must not always go first.
    cursor: usize,
}

impl Backlog {
    /// The node has a new record: whatever the neighbour has is old.
    pub(super) fn renew(&mut self, index: Index) {
        remove(&mut self.has, index);
    }

    /// The neighbour has the node's newest record.
    pub(super) fn settle(&mut self, index: Index) {
        self.drop_due(index);
        remove(&mut self.told, index);
        insert(&mut self.has, index);
    }

    /// To be sent, unless the neighbour has it.
    pub(super) fn offer(&mut self, index: Index) {
        if !self.has.contains(place(index)) {
            remove(&mut self.told, index);
            self.due_count += usize::from(!self.due.contains(place(index)));
            insert(&mut self.due, index);
        }
    }

    fn drop_due(&mut self, index: Index) {
        self.due_count -= usize::from(self.due.contains(place(index)));
        remove(&mut self.due, index);
    }

    /// To be told of, and by then, unless the neighbour has it or gets it.
    pub(super) fn mention(&mut self, index: Index, by: Time) {
        if !self.has.contains(place(index)) && !self.due.contains(place(index)) {
            insert(&mut self.told, index);
            let at = self.told_at.get_or_insert(by);
            *at = by.min(*at);
        }
    }

    /// To be sent: the neighbour said that it lacks it.
    pub(super) fn require(&mut self, index: Index) {
        self.renew(index);
        self.offer(index);
    }

    /// Takes out what is to be sent, as long as `fits` says so.
    pub(super) fn take_due(&mut self, mut fits: impl FnMut(Index) -> bool) {
        while self.due_count > 0 {
            let next = next_one(&self.due, self.cursor).or_else(|| next_one(&self.due, 0));
            let index = next.expect("there is one, by the count");
            self.cursor = place(index);
            if !fits(index) {
                break;
            }
            self.settle(index);
        }
    }

    /// Takes out whom to tell of, up to so many at once, if it is time to.
    pub(super) fn take_told(&mut self, now: Time, most: usize) -> Vec<Index> {
        if self.told_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let told = self.told.ones().take(most);
        let taken: Vec<Index> = told
            .map(|at| Index(u32::try_from(at).expect("it was an index")))
            .collect();
        for &index in &taken {
            self.settle(index);
        }
        if self.told.is_clear() {
            self.told_at = None;
        }
        taken
    }

    /// When somebody is to be told of.
    pub(super) fn told_due(&self) -> Option<Time> {
        self.told_at
    }

    /// Whether no record is to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.due_count == 0
    }

    /// Those nodes are forgotten.
    pub(super) fn forget(&mut self, gone: &BTreeSet<Index>) {
        for &index in gone {
            self.drop_due(index);
            remove(&mut self.told, index);
            self.renew(index);
        }
    }
}

fn place(index: Index) -> usize {
    index.0 as usize
}

/// The first one from there on.
fn next_one(bits: &FixedBitSet, from: usize) -> Option<Index> {
    let word_bits = usize::BITS as usize;
    let words = bits.as_slice();
    let first = from / word_bits;
    let rest = words.get(first)? & (usize::MAX << (from % word_bits));
    let later = (first + 1..words.len()).map(|at| (at, words[at]));
    let found = std::iter::once((first, rest)).chain(later);
    let (at, word) = found.into_iter().find(|(_, word)| *word != 0)?;
    let place = at * word_bits + word.trailing_zeros() as usize;
    Some(Index(u32::try_from(place).expect("it was an index")))
}

fn insert(bits: &mut FixedBitSet, index: Index) {
    bits.grow_and_insert(place(index));
}

fn remove(bits: &mut FixedBitSet, index: Index) {
    if place(index) < bits.len() {
        bits.remove(place(index));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sent(backlog: &mut Backlog, most: usize) -> Vec<u32> {
        let mut sent = Vec::new();
        backlog.take_due(|index| {
            let fits = sent.len() < most;
            sent.extend(fits.then_some(index.0));
            fits
        });
        sent
    }

    #[test]
    fn a_neighbour_gets_a_record_once_and_its_successor_once() {
        let (mut backlog, node) = (Backlog::default(), Index(70));
        backlog.offer(node);
        assert_eq!(sent(&mut backlog, 9), [70]);
        backlog.offer(node);
        assert!(backlog.is_empty(), "it has that version");
        backlog.renew(node);
        backlog.offer(node);
        assert!(!backlog.is_empty());
        backlog.settle(node);
        assert!(backlog.is_empty(), "it came from there");
        backlog.require(node);
        assert!(!backlog.is_empty(), "it asked for it");
    }

    #[test]
    fn batches_go_round_so_that_no_node_waits_for_ever() {
        let mut backlog = Backlog::default();
        for node in 0..5 {
            backlog.offer(Index(node));
        }
        assert_eq!(sent(&mut backlog, 2), [0, 1]);
        for node in 0..2 {
            backlog.require(Index(node));
        }
        assert_eq!(sent(&mut backlog, 2), [2, 3]);
        assert_eq!(sent(&mut backlog, 9), [4, 0, 1]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn a_neighbour_is_told_once_and_gets_what_it_asks_for() {
        let (mut backlog, at) = (Backlog::default(), Duration::from_millis(5));
        let (early, late) = (Index(1), Index(2));
        backlog.mention(late, at * 2);
        backlog.mention(early, at);
        assert!(backlog.is_empty() && backlog.told_due() == Some(at));
        assert_eq!(backlog.take_told(at / 2, 9), []);
        assert_eq!(backlog.take_told(at, 9), [early, late], "in one message");
        backlog.mention(early, at);
        assert_eq!(backlog.told_due(), None, "it knows");
        backlog.require(early);
        backlog.mention(early, at);
        assert_eq!(backlog.take_told(at, 9), [], "it gets the record itself");
        assert!(!backlog.is_empty());
    }

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
    }
}
