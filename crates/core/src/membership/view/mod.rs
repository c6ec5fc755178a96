//! The view: the newest signed record of every node, who is up, and the digests that compare two views.
//!
//! Nodes stand at dense places ([`ids`]), and a core in a large network spends less than thirty bytes on each: its record, which all
//! cores of a simulator share, in one table, what is looked at less often in a second one, and a bit that says whether the node is up.
//! The parts: `store` takes and forgets records, [`change`] tells what a newer record changes, `reach` derives who is up,
//! [`claims`] bounds how many nodes count on the word of one, `digest` sums the view over ranges of ids, `spanning` finds a tree that all nodes compute alike.

pub(crate) mod change;
mod claims;
mod digest;
mod ghosts;
pub(crate) mod ids;
mod reach;
mod spanning;
mod store;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fixedbitset::FixedBitSet;

use super::Time;
use super::tuning::Tuning;
pub use super::tuning::view::MAX_NODES;
pub(super) use super::tuning::view::{ORDINARY, Size};
use crate::record::{Record, TableIndex};
use crate::wire::{MAX_BUCKETS_LOG2, NodeId, ShortId, ViewDigest};
pub(crate) use change::Change;
pub(super) use claims::Bound;
use claims::Claims;
pub(crate) use digest::bucket;
use ghosts::Ghosts;
pub(crate) use ids::Index;
pub use ids::{Ids, ring_position};
use reach::Pending;
use store::{Bringers, Notes, Stamp};

/// The most records of nodes that were never up, from one neighbour, while this node fills its view: records come in no order, so
/// many come before those that lead to them. Later it is `view.down_from_one`.
pub(crate) const MAX_DOWN_PER_NEIGHBOUR: u32 = 2048;

/// The most bytes of these records. It bounds the memory that a neighbour can use up by inventing nodes. Half as much would not hold
/// [`MAX_DOWN_PER_NEIGHBOUR`] ordinary records; twice as much lets eleven hostile neighbours fill half of the view.
pub(crate) const MAX_DOWN_BYTES: usize = 2 * 1024 * 1024;

/// The most bytes of records in a view, 80 MB: records of 2.4 kB, or a hundred links, of all nodes. It bounds memory, which a hostile
/// neighbour could use up with records of hundreds of links. Halved: records of all nodes at the highest cap just fit. Doubled: a
/// view takes up to 160 MB.
pub(crate) const MAX_BYTES: usize = MAX_NODES * 2432;

/// The view's entry of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// Its newest record.
    pub record: &'a Arc<Record>,
    /// Whether it can be reached.
    pub up: bool,
    /// When `up` last changed (or the node was first heard of), or it said that it leaves.
    pub since: Time,
    /// When the record arrived.
    pub received: Time,
    /// Whether the record came from a neighbour on this very machine.
    pub over_loopback: bool,
}

/// The view's answer to a record.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The record is newer and was taken. It replaced the earlier one, if there was one.
    Newer(Index, Change, Option<Before>),
    /// We have this very record.
    Same(Index),
    /// Ours is newer.
    Older(Index),
    /// There is no room for it.
    Full,
}

/// The record that a newer one replaced.
#[derive(Debug, PartialEq)]
pub(crate) struct Before {
    /// The record.
    pub record: Arc<Record>,
    /// Whether a neighbour on this very machine had brought it.
    pub over_loopback: bool,
}

/// A node that went up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flip {
    /// The node's place.
    pub index: Index,
    /// Whether it is up now.
    pub up: bool,
}

/// The result of deriving reachability.
#[derive(Debug)]
pub(super) struct Derived {
    /// The nodes that went up or down, in the order of their places.
    pub(super) flips: Vec<Flip>,
    /// This node has just lost its last link: the other nodes need not be down.
    pub(super) cut_off: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct View {
    ids: Arc<Ids>,
    tuning: Arc<Tuning>,
    me: Index,
    records: Vec<Option<Arc<Record>>>,
    notes: Vec<Notes>,
    up: FixedBitSet,
    count: usize,
    /// The size of all records.
    bytes: usize,
    up_count: usize,
    /// The number of nodes that were up and are not: they are unreachable, or have left.
    unreachable_count: usize,
    /// The sum of the fingerprints of all nodes that are up, and the digest made of it last.
    sum: u128,
    digest: Cell<Option<(u128, ViewDigest)>>,
    /// The sums of the upper halves of these fingerprints, for each of the finest ranges of ids.
    sums: Box<[u64]>,
    bringers: Bringers,
    /// A record found no room: some that are down are to be forgotten.
    crowded: bool,
    /// When a node became unreachable, if it later published that it leaves, or withdrew that.
    down_since: BTreeMap<Index, Stamp>,
    pending: Pending,
    claims: Claims,
    ghosts: Ghosts,
    /// Nodes that are no members any more. They count as if they had left.
    barred: BTreeSet<Index>,
    schedule: Schedule,
}

/// The view's own deadlines.
#[derive(Debug, Default)]
struct Schedule {
    /// When reachability must be derived anew.
    derive_due: Option<Time>,
    derived: Option<Time>,
    forget_due: Time,
    /// This node had a listed link when reachability was last derived.
    was_linked: bool,
}

impl View {
    /// A view that holds this node's own record, which is always up, with a table of ids of its own.
    #[must_use]
    pub(crate) fn new(own: Arc<Record>) -> Self {
        Self::with_ids(own, Arc::new(Ids::new(0)), Arc::default())
    }

    /// The same with a table of ids that others may share.
    #[must_use]
    pub(crate) fn with_ids(own: Arc<Record>, ids: Arc<Ids>, tuning: Arc<Tuning>) -> Self {
        let mut view = Self {
            ids,
            tuning,
            me: Index(0),
            records: Vec::new(),
            notes: Vec::new(),
            up: FixedBitSet::new(),
            count: 0,
            bytes: 0,
            up_count: 0,
            unreachable_count: 0,
            sum: 0,
            digest: Cell::new(None),
            sums: vec![0; 1 << MAX_BUCKETS_LOG2].into(),
            bringers: Bringers::default(),
            crowded: false,
            down_since: BTreeMap::new(),
            pending: Pending::default(),
            claims: Claims::default(),
            ghosts: Ghosts::default(),
            barred: BTreeSet::new(),
            schedule: Schedule::default(),
        };
        view.me = view.insert(own, Duration::ZERO, None, false);
        view.up.insert(view.me.at());
        view.unreachable_count = 0;
        view.note_flip(Duration::ZERO, view.me);
        view
    }

    /// This node's own place.
    #[must_use]
    pub(crate) fn me(&self) -> Index {
        self.me
    }

    /// How many nodes are up, this one included.
    #[must_use]
    pub(crate) fn up_count(&self) -> usize {
        self.up_count
    }

    /// How large the view is.
    #[must_use]
    pub(super) fn size(&self) -> Size {
        Size {
            known: self.up_count.saturating_sub(self.claims_count()),
            filling: self.is_filling(),
        }
    }

    /// How many nodes there are, up or not.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The size of all records.
    #[must_use]
    pub(in crate::membership) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The place of a node.
    #[must_use]
    pub(crate) fn index(&self, id: &ShortId) -> Option<Index> {
        let index = self.ids.read().find(id, &TableIndex::default())?;
        self.has(index).then_some(index)
    }

    pub(super) fn has(&self, index: Index) -> bool {
        self.records.get(index.at()).is_some_and(Option::is_some)
    }

    /// The record of the node at that place.
    ///
    /// # Panics
    /// If there is no node at that place: indices are only held for nodes in the view.
    #[must_use]
    pub(crate) fn record_at(&self, index: Index) -> &Arc<Record> {
        self.records[index.at()]
            .as_ref()
            .expect("an index is held only while its node is")
    }

    /// Whether the node at that place is up.
    #[must_use]
    pub(crate) fn is_up_at(&self, index: Index) -> bool {
        self.up.contains(index.at())
    }

    /// The entry of the node at that place.
    ///
    /// # Panics
    /// If there is no node at that place.
    #[must_use]
    pub(crate) fn entry(&self, index: Index) -> Entry<'_> {
        self.get(index)
            .expect("an index is held only while its node is")
    }

    /// The entry of the node at that place, if there is one.
    #[must_use]
    pub(crate) fn get(&self, index: Index) -> Option<Entry<'_>> {
        let record = self.records.get(index.at())?.as_ref()?;
        let notes = &self.notes[index.at()];
        Some(Entry {
            record,
            up: self.up.contains(index.at()),
            since: notes.since.time(),
            received: notes.received.time(),
            over_loopback: notes.over_loopback(),
        })
    }

    /// The ring position of the node at that place.
    #[must_use]
    pub(crate) fn ring(&self, index: Index) -> u64 {
        self.ids.read().ring(index)
    }

    /// The record of a node.
    #[must_use]
    pub(crate) fn record(&self, id: &NodeId) -> Option<&Arc<Record>> {
        self.index(&id.abbreviated())
            .map(|index| self.record_at(index))
    }

    /// Whether a node is up.
    #[must_use]
    pub(crate) fn is_up(&self, id: &NodeId) -> bool {
        self.index(&id.abbreviated())
            .is_some_and(|index| self.up.contains(index.at()))
    }

    /// The entry of a node, if it is up.
    #[must_use]
    pub(crate) fn up_entry(&self, id: &NodeId) -> Option<Entry<'_>> {
        let index = self.index(&id.abbreviated())?;
        self.is_up_at(index).then(|| self.entry(index))
    }

    /// All nodes, in the order of their places.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (Index, Entry<'_>)> {
        let places = 0..self.records.len();
        places.filter_map(|place| {
            let index = Index::from_place(place);
            Some((index, self.get(index)?))
        })
    }

    /// The nodes that are up, in the order of their places.
    pub(crate) fn nodes_up(&self) -> impl Iterator<Item = (Index, Entry<'_>)> {
        self.up
            .ones()
            .map(Index::from_place)
            .map(|index| (index, self.entry(index)))
    }

    /// The records of the nodes that are up, in the order of their places.
    pub(crate) fn records_up(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.up
            .ones()
            .map(Index::from_place)
            .map(|index| self.record_at(index))
    }

    /// The nodes that are up in some of the view's `2^log2` buckets, in the order of their places. Claims of accounts that are full are left
    /// out: a neighbour may have taken others, and if each told the other of its own, that would never end.
    pub(crate) fn nodes_in(&self, log2: u8, wanted: &[u16]) -> Vec<(u16, Index)> {
        let mut within = vec![false; 1 << log2];
        for &place in wanted {
            if let Some(one) = within.get_mut(usize::from(place)) {
                *one = true;
            }
        }
        let ids = self.ids.read();
        let place = |index: Index| bucket(ids.id(index), log2);
        let up = self
            .up
            .ones()
            .map(Index::from_place)
            .filter(|index| !self.is_contested(*index))
            .map(|index| (place(index), index));
        up.filter(|(place, _)| within[*place])
            .map(|(place, index)| (u16::try_from(place).expect("at most 1024 buckets"), index))
            .collect()
    }

    /// Whether the node at that place is no member any more.
    #[must_use]
    pub(crate) fn is_barred(&self, index: Index) -> bool {
        self.barred.contains(&index)
    }

    /// Whether a node said that it leaves, or is no member any more: nobody need look for it.
    #[must_use]
    pub(crate) fn has_left(&self, index: Index) -> bool {
        self.record_at(index).body().leaving || self.is_barred(index)
    }

    /// Requests a derivation of reachability. After a withdrawal it happens as soon as allowed; a gain may wait for others.
    pub(super) fn derive_soon(&mut self, now: Time, withdrawal: bool) {
        let (wait, spacing) = self.tuning.pace.derive_wait(self.up_count, withdrawal);
        let schedule = &mut self.schedule;
        let due = (now + wait).max(schedule.derived.map_or(now, |at| at + spacing));
        schedule.derive_due = Some(schedule.derive_due.map_or(due, |before| before.min(due)));
    }

    /// Derives who is up, if that is due, from the peers of this node's own listed links.
    pub(super) fn derive_if_due(
        &mut self,
        now: Time,
        listed: impl Iterator<Item = NodeId>,
    ) -> Option<Derived> {
        let haunted = self.ghosts_due().is_some_and(|due| due <= now);
        if !haunted && self.schedule.derive_due.is_none_or(|due| due > now) {
            return None;
        }
        self.schedule.derive_due = None;
        self.schedule.derived = Some(now);
        let live: Vec<Index> = listed
            .filter_map(|peer| self.index(&peer.abbreviated()))
            .collect();
        self.look_for_ghosts(now, &live);
        let was_filling = self.is_filling();
        let flips = self.derive_up(now, &live);
        self.suspect_given_up(now, &flips, was_filling && !self.is_filling());
        if let Some(at) = self.claims_due(now) {
            let due = at.max(now + self.tuning.pace.derive_spacing);
            let earlier = self
                .schedule
                .derive_due
                .map_or(due, |before| before.min(due));
            self.schedule.derive_due = Some(earlier);
        }
        if flips.is_empty() {
            return None;
        }
        let was_linked = std::mem::replace(&mut self.schedule.was_linked, !live.is_empty());
        let cut_off = live.is_empty() && was_linked;
        Some(Derived { flips, cut_off })
    }

    /// Forgets the nodes that have been down for `after`, if that is due, and some more if the view is full. Returns them.
    ///
    /// A node with which this one has a link stays: one may say that it leaves and stay connected, and the end of its certificate is
    /// found by its record.
    pub(super) fn forget_if_due(
        &mut self,
        now: Time,
        after: Duration,
        is_linked: impl Fn(&NodeId) -> bool,
    ) -> Vec<Index> {
        if self.schedule.forget_due > now {
            return self.evict(is_linked);
        }
        self.schedule.forget_due = now + self.tuning.view.forget_every;
        self.forget_older(now, after, is_linked)
    }

    /// When the view has something to do.
    pub(super) fn deadline(&self) -> Time {
        let Schedule {
            derive_due,
            forget_due,
            ..
        } = self.schedule;
        let others = derive_due.into_iter().chain(self.ghosts_due());
        others.fold(forget_due, Time::min)
    }
}

/// The weight of a record: one, or more if it is large, since every node passes it on.
pub(super) fn weight(record: &Record) -> usize {
    1 + record.encoded_len() / ORDINARY
}

impl Drop for View {
    /// Other cores may go on using the table of ids.
    fn drop(&mut self) {
        let places = (0..self.records.len()).map(Index::from_place);
        self.ids.release(places.filter(|&index| self.has(index)));
    }
}

#[cfg(test)]
mod tests;
