//! Adds records to the view, and forgets them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::change::{Change, Difference, compare, is_newer};
use super::{Before, Index, MAX_BYTES, MAX_DOWN_PER_NEIGHBOUR, MAX_NODES, Outcome, View};
use crate::membership::Time;
use crate::record::Record;
use crate::wire::NodeId;

/// The data of a node besides its record: twenty bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notes {
    /// For a node that is up: its predecessor, see `reach`. For a node that never was up: the neighbour that brought it, as a
    /// place in the table of [`Bringers`]. Otherwise [`NOBODY`].
    pub(super) predecessor: u32,
    pub(super) since: Stamp,
    pub(super) received: Stamp,
    relayed: Stamp,
    pub(super) over_loopback: bool,
}

/// No predecessor, or no bringer.
pub(super) const NOBODY: u32 = u32::MAX;

/// A time in ms, in five bytes: that covers 34 years. Later times are clamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp([u8; 5]);

impl Stamp {
    const NEVER: Self = Self([u8::MAX; 5]);

    pub(super) fn of(time: Time) -> Self {
        let ms = time.as_secs().saturating_mul(1000) + u64::from(time.subsec_millis());
        let [a, b, c, d, e, ..] = ms.min((1 << 40) - 2).to_le_bytes();
        Self([a, b, c, d, e])
    }

    pub(super) fn time(self) -> Time {
        let [a, b, c, d, e] = self.0;
        Duration::from_millis(u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]))
    }
}

/// The neighbours that brought nodes which were never up, with the number of these nodes.
#[derive(Debug, Default)]
pub(super) struct Bringers {
    places: BTreeMap<NodeId, u32>,
    counts: Vec<(Option<NodeId>, u32)>,
}

impl Bringers {
    fn count(&self, id: &NodeId) -> u32 {
        let place = self.places.get(id);
        place.map_or(0, |&place| self.counts[place as usize].1)
    }

    fn add(&mut self, id: NodeId) -> u32 {
        let counts = &mut self.counts;
        let place = *self.places.entry(id).or_insert_with(|| {
            let free = counts.iter().position(|(id, _)| id.is_none());
            let place = free.unwrap_or(counts.len());
            if place == counts.len() {
                counts.push((None, 0));
            }
            counts[place].0 = Some(id);
            u32::try_from(place).expect("no more than nodes")
        });
        counts[place as usize].1 += 1;
        place
    }

    /// One of the nodes that this neighbour brought is up, or forgotten.
    fn remove(&mut self, place: u32) {
        let (id, count) = &mut self.counts[place as usize];
        *count -= 1;
        if *count == 0
            && let Some(id) = id.take()
        {
            self.places.remove(&id);
        }
    }
}

impl View {
    /// The place of a record's node, if it is here. The index in the record is tried first, as that needs no look-up in the
    /// shared table.
    fn find(&self, record: &Arc<Record>) -> Option<Index> {
        let remembered = Index(record.place().get());
        if let Some(Some(have)) = self.records.get(remembered.at())
            && (self.ids.is_settled(remembered) || have.id() == record.id())
        {
            return Some(remembered);
        }
        let short = record.id().abbreviated();
        let index = self.ids.read().find(&short, record.place())?;
        self.has(index).then_some(index)
    }

    /// Whether a record is newer than ours, or unknown.
    #[must_use]
    pub(crate) fn would_be_news(&self, record: &Arc<Record>) -> bool {
        self.find(record).is_none_or(|index| {
            let have = self.record_at(index);
            is_newer(record, have)
        })
    }

    /// Takes a verified record if it is newer than ours. `over_loopback`: the neighbour that brought it is on this very machine,
    /// so loopback addresses in it are usable.
    pub(crate) fn accept(
        &mut self,
        record: Arc<Record>,
        now: Time,
        from: Option<NodeId>,
        over_loopback: bool,
    ) -> Outcome {
        let Some(index) = self.find(&record) else {
            if !self.make_room(from, record.encoded_len()) {
                return Outcome::Full;
            }
            let index = self.insert(record, now, from, over_loopback);
            return Outcome::Newer(index, Change::Gain, None);
        };
        let have = self.record_at(index);
        if Arc::ptr_eq(have, &record) {
            return Outcome::Same(index);
        }
        match have.compare(&record) {
            Ordering::Less if have.id() == record.id() => {}
            Ordering::Equal => return Outcome::Same(index),
            Ordering::Less | Ordering::Greater => return Outcome::Older(index),
        }
        let bytes = self.bytes - have.encoded_len() + record.encoded_len();
        if bytes > MAX_BYTES && bytes > self.bytes && from.is_some() {
            return Outcome::Full;
        }
        let difference = Difference::between(have, &record);
        let mut change = difference.change(&record);
        let leaving_changed = have.body().leaving != record.body().leaving;
        let up = self.up.contains(index.at());
        if up {
            let (old, new) = (have.fingerprint(), record.fingerprint());
            self.shift_sums(&record.id(), old, new);
        }
        if difference.withdrawn || difference.gained || difference.renewed || leaving_changed {
            self.note_links(index, &record, difference);
        }
        // A newer record is taken of members only: the node is one again.
        if self.barred.remove(&index) {
            self.pending.gained(index);
            change = Change::Gain;
        }
        self.bytes = bytes;
        let notes = &mut self.notes[index.at()];
        if leaving_changed {
            if !up {
                self.down_since.entry(index).or_insert(notes.since);
            }
            notes.since = Stamp::of(now);
        }
        notes.received = Stamp::of(now);
        let over_loopback = std::mem::replace(&mut notes.over_loopback, over_loopback);
        let before = self.records[index.at()]
            .replace(record)
            .map(|record| Before {
                record,
                over_loopback,
            });
        Outcome::Newer(index, change, before)
    }

    /// Takes this node's own next record. Returns the change.
    pub(in crate::membership) fn accept_own(&mut self, now: Time, record: Arc<Record>) -> Change {
        let change = compare(self.record_at(self.me), &record);
        self.accept(record, now, None, false);
        change
    }

    pub(super) fn insert(
        &mut self,
        record: Arc<Record>,
        now: Time,
        from: Option<NodeId>,
        over_loopback: bool,
    ) -> Index {
        let index = self.ids.hold_remembered(&record.id(), record.place());
        self.reach_place(index);
        self.notes[index.at()] = Notes {
            predecessor: from.map_or(NOBODY, |from| self.bringers.add(from)),
            since: Stamp::of(now),
            received: Stamp::of(now),
            relayed: Stamp::NEVER,
            over_loopback,
        };
        self.bytes += record.encoded_len();
        self.records[index.at()] = Some(record);
        self.unreachable_count += usize::from(from.is_none());
        self.count += 1;
        self.pending.gained(index);
        index
    }

    /// Extends the tables to this place. If other cores already have more places, the tables are sized for exactly those, without
    /// reserve: ten thousand cores have ten thousand tables.
    fn reach_place(&mut self, index: Index) {
        if index.at() < self.records.len() {
            return;
        }
        let places = self.ids.places();
        let room = if places > index.at() + 1 {
            places
        } else {
            places + places / 8
        };
        self.records.reserve_exact(room - self.records.len());
        self.notes.reserve_exact(room - self.notes.len());
        self.records.resize(places, None);
        let nothing = Notes {
            predecessor: NOBODY,
            since: Stamp::NEVER,
            received: Stamp::NEVER,
            relayed: Stamp::NEVER,
            over_loopback: false,
        };
        self.notes.resize(places, nothing);
        self.up.grow(places);
    }

    /// Whether one more unknown node from this neighbour fits. A full view makes room by forgetting the node that has been down
    /// longest.
    fn make_room(&mut self, from: Option<NodeId>, bytes: usize) -> bool {
        if from.is_some_and(|from| self.bringers.count(&from) >= MAX_DOWN_PER_NEIGHBOUR) {
            // Its earlier nodes are forgotten in their own time. A search for the oldest would let the neighbour keep us busy.
            return false;
        }
        if self.count >= MAX_NODES || self.bytes + bytes > MAX_BYTES {
            let oldest = self.down().min_by_key(|(_, since)| *since);
            if !oldest.is_some_and(|(index, _)| self.forget(index)) {
                return false;
            }
        }
        self.bytes + bytes <= MAX_BYTES
    }

    /// The nodes that are not up, and since when.
    fn down(&self) -> impl Iterator<Item = (Index, Time)> + '_ {
        let places = (0..self.records.len()).map(Index::from_place);
        let down = places.filter(|&index| self.has(index) && !self.up.contains(index.at()));
        down.map(|index| {
            let moved = self.down_since.get(&index).copied();
            let since = moved.unwrap_or(self.notes[index.at()].since);
            (index, since.time())
        })
    }

    /// The unreachable nodes: those that were up, can't be reached any more, and did not say that they leave.
    pub(in crate::membership) fn unreachable(&self) -> impl Iterator<Item = Index> + '_ {
        // At the start of a large network there are none, and this is called for every link.
        let places = if self.unreachable_count == 0 {
            0..0
        } else {
            0..self.notes.len()
        };
        let unreachable = places.map(Index::from_place);
        unreachable.filter(|&index| self.is_unreachable(index) && !self.has_left(index))
    }

    fn is_unreachable(&self, index: Index) -> bool {
        self.has(index)
            && self.notes[index.at()].predecessor == NOBODY
            && !self.up.contains(index.at())
    }

    /// Whether a node lists a link to an unreachable node, in the run of that node's record. If so, that record, and those of the
    /// nodes behind it, may soon count again.
    pub(in crate::membership) fn brings_back(&self, index: Index) -> bool {
        if self.unreachable_count == 0 {
            return false;
        }
        let ids = self.ids.read();
        let record = self.record_at(index);
        let mut peers = record.standing_links().filter_map(|(link, remembered)| {
            let peer = ids.find(&link.peer, remembered)?;
            self.is_unreachable(peer).then_some(peer)
        });
        peers.any(|peer| record.lists_at(self.record_at(peer), peer.0))
    }

    fn forget(&mut self, index: Index) -> bool {
        let Some(record) = self.records[index.at()].take() else {
            return false;
        };
        self.bytes -= record.encoded_len();
        self.unreachable_count -= usize::from(self.notes[index.at()].predecessor == NOBODY);
        self.take_bringer(index);
        self.down_since.remove(&index);
        self.barred.remove(&index);
        self.count -= 1;
        self.ids.release([index]);
        true
    }

    /// A node that was never up comes up, or is forgotten: it no longer counts against the neighbour that brought it.
    pub(super) fn take_bringer(&mut self, index: Index) {
        let predecessor = std::mem::replace(&mut self.notes[index.at()].predecessor, NOBODY);
        if predecessor != NOBODY {
            self.bringers.remove(predecessor);
        }
    }

    /// Forgets the nodes that have been down for `after`, and returns them.
    pub(crate) fn forget_older(&mut self, now: Time, after: Duration) -> Vec<Index> {
        if self.count == self.up_count {
            return Vec::new();
        }
        let old: Vec<Index> = self
            .down()
            .filter(|(_, since)| now.saturating_sub(*since) >= after)
            .map(|(index, _)| index)
            .collect();
        for &index in &old {
            self.forget(index);
        }
        old
    }

    /// Notes that a node's record is passed on now. Returns when one was before.
    pub(crate) fn note_relay(&mut self, index: Index, now: Time) -> Option<Time> {
        let relayed = &mut self.notes[index.at()].relayed;
        let before = std::mem::replace(relayed, Stamp::of(now));
        (before != Stamp::NEVER).then(|| before.time())
    }

    /// Notes that the node at that place has just come up or gone down.
    pub(super) fn note_flip(&mut self, now: Time, index: Index) {
        self.notes[index.at()].since = Stamp::of(now);
        self.down_since.remove(&index);
        let record = self.record_at(index);
        let (id, fingerprint) = (record.id(), record.fingerprint());
        if self.up.contains(index.at()) {
            self.up_count += 1;
            self.shift_sums(&id, 0, fingerprint);
        } else {
            self.up_count -= 1;
            self.shift_sums(&id, fingerprint, 0);
        }
    }
}
