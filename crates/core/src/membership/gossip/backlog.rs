//! What neighbours may still lack: for every node, which neighbours have its newest record, are to be sent it, or are to have it named.
//!
//! A newer record first waits a moment for company in one queue (`waiting`). When its time has come, each neighbour that was
//! not found to have it by then is to be sent it (eager push, along the tree), or to have it named (lazy push, over all other links). It is
//! sent a named record on request ([`Backlog`]). That takes two bits for each node and neighbour, so memory is bounded by the number of
//! nodes, and a slow link gets fewer, newer records, which are encoded at the moment of sending.
//!
//! The bits of a node stand together. A new record concerns all neighbours, and so takes one look at memory, not one for each of them.

use std::collections::BTreeSet;

use fixedbitset::FixedBitSet;

use crate::membership::Time;
use crate::membership::view::Index;

/// Neighbours whose bits stand in one word. It is the width of the word, not tuned.
const LANE: usize = u16::BITS as usize;

/// A neighbour's place in the backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(usize);

impl Slot {
    fn lane(self) -> usize {
        self.0 / LANE
    }

    fn bit(self) -> u16 {
        1 << (self.0 % LANE)
    }
}

/// Some of the neighbours, as bits.
#[derive(Debug)]
pub(super) struct Slots(Vec<u16>);

/// How a node's newest record stands with a neighbour: two bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// It may lack it, and nothing is done about that yet.
    Open,
    /// To be named.
    Named,
    /// To be sent.
    Due,
    /// It has it.
    Has,
}

/// What neighbours may still lack.
#[derive(Debug)]
pub(super) struct Backlog {
    /// Up to this many nodes to be named are noted one by one, for each neighbour.
    few: usize,
    /// Words that hold one bit for each neighbour.
    width: usize,
    /// A row for each node: `width` words with a bit where the record is due or had, then as many where it is named or had.
    rows: Vec<u16>,
    neighbors: Vec<Option<Neighbor>>,
}

#[derive(Debug, Default)]
struct Neighbor {
    /// The nodes whose records are to be sent to it, and how many.
    due: FixedBitSet,
    due_count: usize,
    /// When others are to be named to it.
    named_at: Option<Time>,
    /// Which others, as long as these are few. Some of them may have been sent by now.
    named: Vec<Index>,
    named_many: bool,
    /// Where the next batch begins: low places must not always go first.
    cursor: usize,
}

impl Neighbor {
    fn is_due(&mut self, index: Index, is_due: bool) {
        if is_due {
            self.due.grow_and_insert(place(index));
            self.due_count += 1;
        } else {
            self.due.remove(place(index));
            self.due_count -= 1;
        }
    }

    fn name(&mut self, index: Index, by: Time, few: usize) {
        let at = self.named_at.get_or_insert(by);
        *at = by.min(*at);
        if self.named.len() < few {
            self.named.push(index);
        } else {
            self.named_many = true;
        }
    }

    /// Forgets which nodes are to be named; returns them in their order if they are few. Some may have been sent by now.
    fn take_named(&mut self) -> Option<Vec<Index>> {
        self.named_at = None;
        let mut named = std::mem::take(&mut self.named);
        named.sort_unstable();
        named.dedup();
        (!std::mem::take(&mut self.named_many)).then_some(named)
    }
}

impl Backlog {
    /// A backlog without neighbours. Up to `few` nodes to be named are noted one by one, for each neighbour.
    pub(super) fn new(few: usize) -> Self {
        Self {
            few,
            width: 0,
            rows: Vec::new(),
            neighbors: Vec::new(),
        }
    }

    /// A new neighbour, which may lack everything. It stays until [`Self::leave`].
    pub(super) fn join(&mut self) -> Slot {
        let free = self.neighbors.iter().position(Option::is_none);
        let slot = Slot(free.unwrap_or(self.neighbors.len()));
        if slot.0 == self.neighbors.len() {
            self.neighbors.push(None);
            self.widen();
        }
        self.neighbors[slot.0] = Some(Neighbor::default());
        slot
    }

    /// A neighbour is gone, and its place free.
    pub(super) fn leave(&mut self, slot: Slot) {
        self.neighbors[slot.0] = None;
        for word in self.rows.iter_mut().skip(slot.lane()).step_by(self.width) {
            *word &= !slot.bit();
        }
    }

    /// Makes room for all neighbours in each row.
    fn widen(&mut self) {
        let width = self.neighbors.len().div_ceil(LANE);
        if width > self.width {
            let halves = self.rows.chunks(self.width.max(1));
            let wider = halves.flat_map(|half| {
                let mut wide = half.to_vec();
                wide.resize(width, 0);
                wide
            });
            self.rows = wider.collect();
            self.width = width;
        }
    }

    /// Those neighbours.
    pub(super) fn slots(&self, some: impl Iterator<Item = Slot>) -> Slots {
        let mut slots = Slots(vec![0; self.width]);
        for slot in some {
            slots.0[slot.lane()] |= slot.bit();
        }
        slots
    }

    fn neighbor(&mut self, slot: Slot) -> &mut Neighbor {
        let neighbor = self.neighbors[slot.0].as_mut();
        neighbor.expect("a link gives its slot back only once")
    }

    /// The words of a node's row: due or had, and named or had.
    fn row(&mut self, index: Index) -> (&mut [u16], &mut [u16]) {
        let at = place(index) * 2 * self.width;
        let end = at + 2 * self.width;
        if self.rows.len() < end {
            // A little more than needed: but ten thousand cores have ten thousand tables.
            let len = (place(index) + 1).next_multiple_of(256) * 2 * self.width;
            self.rows.reserve_exact(len - self.rows.len());
            self.rows.resize(len, 0);
        }
        self.rows[at..end].split_at_mut(self.width)
    }

    fn stand(&self, slot: Slot, index: Index) -> Stand {
        let at = place(index) * 2 * self.width + slot.lane();
        let is_set = |at: usize| self.rows.get(at).is_some_and(|word| word & slot.bit() != 0);
        match (is_set(at), is_set(at + self.width)) {
            (false, false) => Stand::Open,
            (false, true) => Stand::Named,
            (true, false) => Stand::Due,
            (true, true) => Stand::Has,
        }
    }

    fn set(&mut self, slot: Slot, index: Index, stand: Stand) {
        let before = self.stand(slot, index);
        if before == stand {
            return;
        }
        let (due, named) = self.row(index);
        let set = |word: &mut u16, on: bool| {
            *word = if on {
                *word | slot.bit()
            } else {
                *word & !slot.bit()
            };
        };
        set(
            &mut due[slot.lane()],
            matches!(stand, Stand::Due | Stand::Has),
        );
        set(
            &mut named[slot.lane()],
            matches!(stand, Stand::Named | Stand::Has),
        );
        if (before == Stand::Due) != (stand == Stand::Due) {
            self.neighbor(slot).is_due(index, stand == Stand::Due);
        }
    }

    /// The node has a new record: whatever neighbours have is old.
    pub(super) fn renew(&mut self, index: Index) {
        let (due, named) = self.row(index);
        for (due, named) in due.iter_mut().zip(named) {
            let have = *due & *named;
            *due ^= have;
            *named ^= have;
        }
    }

    /// The neighbour has the node's newest record.
    pub(super) fn settle(&mut self, slot: Slot, index: Index) {
        self.set(slot, index, Stand::Has);
    }

    /// To be sent, unless the neighbour has it.
    pub(super) fn offer(&mut self, slot: Slot, index: Index) {
        if self.stand(slot, index) != Stand::Has {
            self.set(slot, index, Stand::Due);
        }
    }

    /// To be named at `by` at the latest, unless the neighbour has it or is sent it.
    pub(super) fn name(&mut self, slot: Slot, index: Index, by: Time) {
        if matches!(self.stand(slot, index), Stand::Open | Stand::Named) {
            self.set(slot, index, Stand::Named);
            let few = self.few;
            self.neighbor(slot).name(index, by, few);
        }
    }

    /// Offers to some neighbours and names to others, at once.
    pub(super) fn hand_on(&mut self, index: Index, send: &Slots, name: &Slots, by: Time) {
        let few = self.few;
        for lane in 0..self.width {
            let (due, named) = self.row(index);
            let (due, named) = (&mut due[lane], &mut named[lane]);
            let send = send.0[lane] & !(*due & *named);
            let new = send & !*due;
            *due |= send;
            *named &= !send;
            let name = name.0[lane] & !*due;
            *named |= name;
            for slot in ones(lane, new) {
                self.neighbor(slot).is_due(index, true);
            }
            for slot in ones(lane, name) {
                self.neighbor(slot).name(index, by, few);
            }
        }
    }

    /// To be sent: the neighbour said that it lacks it.
    pub(super) fn require(&mut self, slot: Slot, index: Index) {
        self.set(slot, index, Stand::Due);
    }

    /// Takes out what is to be sent, as long as `fits` says so.
    pub(super) fn take_due(&mut self, slot: Slot, mut fits: impl FnMut(Index) -> bool) {
        while self.neighbor(slot).due_count > 0 {
            let Neighbor { due, cursor, .. } = self.neighbor(slot);
            let next = next_one(due, *cursor).or_else(|| next_one(due, 0));
            let index = next.expect("there is one, by the count");
            *cursor = place(index);
            if !fits(index) {
                break;
            }
            self.settle(slot, index);
        }
    }

    /// Takes out the nodes to be named, at most `most` at once, if it is time to.
    pub(super) fn take_named(&mut self, slot: Slot, now: Time, most: usize) -> Vec<Index> {
        if self.named_due(slot).is_none_or(|at| at > now) {
            return Vec::new();
        }
        let mut taken = if let Some(mut few) = self.neighbor(slot).take_named() {
            few.retain(|&index| self.stand(slot, index) == Stand::Named);
            few
        } else {
            let rows = self.rows.chunks_exact(2 * self.width).enumerate();
            let named = rows.filter(|(_, row)| {
                let (due, named) = (row[slot.lane()], row[self.width + slot.lane()]);
                named & !due & slot.bit() != 0
            });
            let named = named.map(|(place, _)| Index::from_place(place));
            named.take(most + 1).collect()
        };
        if taken.len() > most {
            let neighbor = self.neighbor(slot);
            (neighbor.named_at, neighbor.named_many) = (Some(now), true);
        }
        taken.truncate(most);
        for &index in &taken {
            self.settle(slot, index);
        }
        taken
    }

    /// When something is to be named to the neighbour.
    pub(super) fn named_due(&self, slot: Slot) -> Option<Time> {
        self.neighbors[slot.0].as_ref()?.named_at
    }

    /// Whether no record is to be sent to the neighbour.
    pub(super) fn is_empty(&self, slot: Slot) -> bool {
        let neighbor = self.neighbors[slot.0].as_ref();
        neighbor.is_none_or(|neighbor| neighbor.due_count == 0)
    }

    /// Those nodes are forgotten.
    pub(super) fn forget(&mut self, gone: &BTreeSet<Index>) {
        for &index in gone {
            for slot in (0..self.neighbors.len()).map(Slot) {
                self.set(slot, index, Stand::Open);
            }
        }
    }
}

fn place(index: Index) -> usize {
    index.0 as usize
}

/// Whose bits are set in a word.
fn ones(lane: usize, mut word: u16) -> impl Iterator<Item = Slot> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        word &= word.checked_sub(1)?;
        Some(Slot(lane * LANE + bit))
    })
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

#[cfg(test)]
mod tests;
