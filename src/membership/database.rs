//! The newest signed record of every node, who is up, and the digests that compare two such views.
//!
//! Nodes stand at dense places ([`ids`](super::ids)), and the database of a core in a large network spends less than thirty bytes on each: its
//! record, which all cores of a simulator share, in one table, what is looked at less often in a second one, and a bit that says
//! whether it is up. Who is up is derived from the records (`reach`). Sums over ranges of ids are kept as
//! records come and go, so that no comparison of views has to walk over one.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fixedbitset::FixedBitSet;
use ring::digest::{SHA256, digest};

use super::Time;
use super::change::{Change, Difference, is_newer};
use super::ids::Ids;
pub use super::ids::{Index, ring_position};
use super::reach::Pending;
use crate::record::{Hint, Record, Version};
use crate::wire::{MAX_BUCKETS_LOG2, MAX_SYNC_ENTRIES, NodeId, ShortId, ViewDigest};

/// The largest number of nodes in the database: above the ten thousand that area-net is made for, at about 1 kB each.
pub const MAX_NODES: usize = 32_768;
/// The largest number of records of nodes that are not up, from one neighbour: what a neighbour can make us keep by inventing
/// nodes.
pub const MAX_DOWN_PER_NEIGHBOUR: u32 = 2048;

/// What is known of a node.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its newest record.
    pub record: &'a Arc<Record>,
    /// Whether it can be reached.
    pub up: bool,
    /// When `up` last changed (or the node was first heard of), or it said that it leaves.
    pub since: Time,
    /// When the record came.
    pub received: Time,
    /// Whether the record came from a neighbour on this very machine.
    pub over_loopback: bool,
}

/// The database's answer to a record.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// It is newer, and was taken, in the place of another one if there was one.
    Newer(Index, Change, Option<Before>),
    /// We have this very record.
    Same(Index),
    /// Ours is newer.
    Older(Index),
    /// There is no room for it.
    Full,
}

/// The record that a newer one took the place of.
#[derive(Debug, PartialEq)]
pub struct Before {
    /// The record.
    pub record: Arc<Record>,
    /// Whether it had come from a neighbour on this very machine.
    pub over_loopback: bool,
}

/// A node that went up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flip {
    /// Which.
    pub index: Index,
    /// Whether it is up now.
    pub up: bool,
}

/// What is known of a node beside its record: twenty bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notes {
    /// Of a node that is up: the one before it on the way by which it was found, in the tables of `reach`. Of one that never was: who
    /// brought it, in the table of [`Bringers`]. Else [`NOBODY`].
    pub(super) way: u32,
    pub(super) since: Stamp,
    received: Stamp,
    relayed: Stamp,
    over_loopback: bool,
}

/// No way, or no bringer.
pub(super) const NOBODY: u32 = u32::MAX;

/// A time in ms, in five bytes: that is 34 years. Later ones stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp([u8; 5]);

impl Stamp {
    const NEVER: Self = Self([u8::MAX; 5]);

    pub(super) fn of(time: Time) -> Self {
        let ms = time.as_secs().saturating_mul(1000) + u64::from(time.subsec_millis());
        let [a, b, c, d, e, ..] = ms.min((1 << 40) - 2).to_le_bytes();
        Self([a, b, c, d, e])
    }

    fn time(self) -> Time {
        let [a, b, c, d, e] = self.0;
        Duration::from_millis(u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]))
    }
}

/// The neighbours that brought nodes which were never up, and how many of these there are.
#[derive(Debug, Default)]
struct Bringers {
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

    /// One of the nodes that it brought is up, or forgotten.
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

/// See the module's documentation.
#[derive(Debug)]
pub struct Database {
    pub(super) ids: Arc<Ids>,
    pub(super) me: Index,
    pub(super) records: Vec<Option<Arc<Record>>>,
    pub(super) notes: Vec<Notes>,
    pub(super) up: FixedBitSet,
    count: usize,
    up_count: usize,
    /// Nodes that were up, and are not.
    pub(super) lost_count: usize,
    /// The sum of the fingerprints of all nodes that are up, and the digest made of it last.
    sum: u128,
    digest: Cell<Option<(u128, ViewDigest)>>,
    /// The sums of the upper halves of these fingerprints, for each of the finest ranges of ids.
    sums: Box<[u64]>,
    bringers: Bringers,
    /// When a node turned unreachable, where it said farewell, or took it back, after that.
    down_since: BTreeMap<Index, Stamp>,
    pub(super) pending: Pending,
}

impl Database {
    /// A database that holds this node's own record, which is always up, with a table of ids of its own.
    #[must_use]
    pub fn new(own: Arc<Record>) -> Self {
        Self::with_ids(own, Arc::new(Ids::new(0)))
    }

    /// The same with a table of ids that others may share.
    #[must_use]
    pub fn with_ids(own: Arc<Record>, ids: Arc<Ids>) -> Self {
        let mut database = Self {
            ids,
            me: Index(0),
            records: Vec::new(),
            notes: Vec::new(),
            up: FixedBitSet::new(),
            count: 0,
            up_count: 0,
            lost_count: 0,
            sum: 0,
            digest: Cell::new(None),
            sums: vec![0; 1 << MAX_BUCKETS_LOG2].into(),
            bringers: Bringers::default(),
            down_since: BTreeMap::new(),
            pending: Pending::default(),
        };
        database.me = database.insert(own, Duration::ZERO, None, false);
        database.up.insert(database.me.at());
        database.lost_count = 0;
        database.note_flip(Duration::ZERO, database.me);
        database
    }

    /// This node's own place.
    #[must_use]
    pub fn me(&self) -> Index {
        self.me
    }

    /// How many nodes are up, this one included.
    #[must_use]
    pub fn up_count(&self) -> usize {
        self.up_count
    }

    /// How many nodes there are, up or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The place of a node.
    #[must_use]
    pub fn index(&self, id: &ShortId) -> Option<Index> {
        let index = self.ids.read().find(id, &Hint::default())?;
        self.has(index).then_some(index)
    }

    pub(super) fn has(&self, index: Index) -> bool {
        self.records.get(index.at()).is_some_and(Option::is_some)
    }

    /// The record of the node at that place.
    ///
    /// # Panics
    /// When nobody is there: indices are only held for nodes that are.
    #[must_use]
    pub fn record_at(&self, index: Index) -> &Arc<Record> {
        self.records[index.at()]
            .as_ref()
            .expect("an index is held only while its node is")
    }

    /// Whether the node at that place is up.
    #[must_use]
    pub fn is_up_at(&self, index: Index) -> bool {
        self.up.contains(index.at())
    }

    /// What is known of the node at that place.
    ///
    /// # Panics
    /// When nobody is there.
    #[must_use]
    pub fn entry(&self, index: Index) -> Entry<'_> {
        self.get(index)
            .expect("an index is held only while its node is")
    }

    /// What is known of the node at that place, if one is.
    #[must_use]
    pub fn get(&self, index: Index) -> Option<Entry<'_>> {
        let record = self.records.get(index.at())?.as_ref()?;
        let notes = &self.notes[index.at()];
        Some(Entry {
            record,
            up: self.up.contains(index.at()),
            since: notes.since.time(),
            received: notes.received.time(),
            over_loopback: notes.over_loopback,
        })
    }

    /// Where on the ring of all nodes the one at that place stands.
    #[must_use]
    pub fn ring(&self, index: Index) -> u64 {
        self.ids.read().ring(index)
    }

    /// The record of a node.
    #[must_use]
    pub fn record(&self, id: &NodeId) -> Option<&Arc<Record>> {
        self.index(&id.abbreviated())
            .map(|index| self.record_at(index))
    }

    /// Whether a node is up.
    #[must_use]
    pub fn is_up(&self, id: &NodeId) -> bool {
        self.index(&id.abbreviated())
            .is_some_and(|index| self.up.contains(index.at()))
    }

    /// All nodes, in the order of their places.
    pub fn nodes(&self) -> impl Iterator<Item = (Index, Entry<'_>)> {
        let places = 0..self.records.len();
        places.filter_map(|place| {
            let index = Index::from_place(place);
            Some((index, self.get(index)?))
        })
    }

    /// The nodes that are up, in the order of their places.
    pub fn nodes_up(&self) -> impl Iterator<Item = (Index, Entry<'_>)> {
        self.up
            .ones()
            .map(Index::from_place)
            .map(|index| (index, self.entry(index)))
    }

    /// The records of the nodes that are up, in the order of their places.
    pub fn records_up(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.up
            .ones()
            .map(Index::from_place)
            .map(|index| self.record_at(index))
    }

    /// The nodes that are up in some of the view's `2^log2` buckets, in the order of their places.
    pub fn nodes_in(&self, log2: u8, wanted: &[u16]) -> Vec<(u16, Index)> {
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
            .map(|index| (place(index), index));
        up.filter(|(place, _)| within[*place])
            .map(|(place, index)| (u16::try_from(place).expect("at most 1024 buckets"), index))
            .collect()
    }

    /// Where a record's node stands, if it is here: first where the record says, which needs no look at the shared table.
    fn find(&self, record: &Arc<Record>) -> Option<Index> {
        let hinted = Index(record.place().get());
        if let Some(Some(have)) = self.records.get(hinted.at())
            && (self.ids.is_settled(hinted) || have.id() == record.id())
        {
            return Some(hinted);
        }
        let short = record.id().abbreviated();
        let index = self.ids.read().find(&short, record.place())?;
        self.has(index).then_some(index)
    }

    /// Whether a record would be news.
    #[must_use]
    pub fn would_be_news(&self, record: &Arc<Record>) -> bool {
        self.find(record).is_none_or(|index| {
            let have = self.record_at(index);
            is_newer(record, have)
        })
    }

    /// Takes a verified record if it is newer than what is here. `over_loopback`: the neighbour that brought it is on this
    /// very machine, so loopback addresses in it mean something.
    pub fn accept(
        &mut self,
        record: Arc<Record>,
        now: Time,
        from: Option<NodeId>,
        over_loopback: bool,
    ) -> Outcome {
        let Some(index) = self.find(&record) else {
            if !self.make_room(from) {
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
        let difference = Difference::between(have, &record);
        let change = difference.change(&record);
        let farewell = have.body().leaving != record.body().leaving;
        let up = self.up.contains(index.at());
        if up {
            let (old, new) = (have.fingerprint(), record.fingerprint());
            self.shift_sums(&record.id(), old, new);
        }
        if difference.lost || difference.gained || difference.renewed || farewell {
            self.note_links(index, &record, difference);
        }
        let notes = &mut self.notes[index.at()];
        if farewell {
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

    fn insert(
        &mut self,
        record: Arc<Record>,
        now: Time,
        from: Option<NodeId>,
        over_loopback: bool,
    ) -> Index {
        let index = self.ids.hold_hinted(&record.id(), record.place());
        self.reach_place(index);
        self.notes[index.at()] = Notes {
            way: from.map_or(NOBODY, |from| self.bringers.add(from)),
            since: Stamp::of(now),
            received: Stamp::of(now),
            relayed: Stamp::NEVER,
            over_loopback,
        };
        self.records[index.at()] = Some(record);
        self.lost_count += usize::from(from.is_none());
        self.count += 1;
        self.pending.gained(index);
        index
    }

    /// Makes the tables long enough. Where there are more places already, those of other cores, they are made for all of these and no
    /// more: ten thousand cores have ten thousand tables.
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
            way: NOBODY,
            since: Stamp::NEVER,
            received: Stamp::NEVER,
            relayed: Stamp::NEVER,
            over_loopback: false,
        };
        self.notes.resize(places, nothing);
        self.up.grow(places);
    }

    /// Whether one more unknown node from this neighbour fits; a full database makes room by forgetting the one that is down
    /// longest.
    fn make_room(&mut self, from: Option<NodeId>) -> bool {
        if from.is_some_and(|from| self.bringers.count(&from) >= MAX_DOWN_PER_NEIGHBOUR) {
            // What it brought before is forgotten in its own time; a search for the oldest would let it keep us busy.
            return false;
        }
        if self.count < MAX_NODES {
            return true;
        }
        let oldest = self.down().min_by_key(|(_, since)| *since);
        oldest.is_some_and(|(index, _)| self.forget(index))
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

    /// The nodes that were up, and can't be reached any more; those that said farewell aside.
    pub(super) fn lost(&self) -> impl Iterator<Item = Index> + '_ {
        // At the start of a large network there are none, and this is asked for every link.
        let places = if self.lost_count == 0 {
            0..0
        } else {
            0..self.notes.len()
        };
        let lost = places.map(Index::from_place);
        lost.filter(|&index| self.is_lost(index) && !self.record_at(index).body().leaving)
    }

    fn is_lost(&self, index: Index) -> bool {
        self.has(index) && self.notes[index.at()].way == NOBODY && !self.up.contains(index.at())
    }

    /// Whether a node lists a link to one that was lost sight of, in the run that it was in: what is remembered of that one, and of
    /// those behind it, may soon count again.
    pub(super) fn brings_back(&self, index: Index) -> bool {
        if self.lost_count == 0 {
            return false;
        }
        let ids = self.ids.read();
        let record = self.record_at(index);
        let mut peers = record.standing_links().filter_map(|(link, hint)| {
            let peer = ids.find(&link.peer, hint)?;
            self.is_lost(peer).then_some(peer)
        });
        peers.any(|peer| record.lists_at(self.record_at(peer), peer.0))
    }

    fn forget(&mut self, index: Index) -> bool {
        if self.records[index.at()].take().is_none() {
            return false;
        }
        self.lost_count -= usize::from(self.notes[index.at()].way == NOBODY);
        self.take_bringer(index);
        self.down_since.remove(&index);
        self.count -= 1;
        self.ids.release([index]);
        true
    }

    /// A node that was never up is, or is forgotten: it no longer counts against who brought it.
    pub(super) fn take_bringer(&mut self, index: Index) {
        let way = std::mem::replace(&mut self.notes[index.at()].way, NOBODY);
        if way != NOBODY {
            self.bringers.remove(way);
        }
    }

    /// Forgets the nodes that have been down for `after`, and tells which.
    pub fn forget_older(&mut self, now: Time, after: Duration) -> Vec<Index> {
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

    /// Notes that a node's record is passed on now; returns when one was before.
    pub fn note_relay(&mut self, index: Index, now: Time) -> Option<Time> {
        let relayed = &mut self.notes[index.at()].relayed;
        let before = std::mem::replace(relayed, Stamp::of(now));
        (before != Stamp::NEVER).then(|| before.time())
    }

    /// The node at that place has just come up or gone down.
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

    /// Another fingerprint, or none, stands for a node that is, or was, up.
    fn shift_sums(&mut self, id: &NodeId, old: u128, new: u128) {
        self.sum = self.sum.wrapping_sub(old).wrapping_add(new);
        let half = |fingerprint: u128| (fingerprint >> 64) as u64;
        let sum = &mut self.sums[bucket(&id.abbreviated(), MAX_BUCKETS_LOG2)];
        *sum = sum.wrapping_sub(half(old)).wrapping_add(half(new));
    }

    /// The digest that probes carry: of (node, version) for every node that is up.
    #[must_use]
    pub fn digest(&self) -> ViewDigest {
        if let Some((sum, digest)) = self.digest.get()
            && sum == self.sum
        {
            return digest;
        }
        // Hashed once more, so that the sum's linearity is of no use to anyone.
        let hash = digest(&SHA256, &self.sum.to_be_bytes());
        let made = ViewDigest(hash.as_ref()[..8].try_into().expect("SHA-256 has 32 bytes"));
        self.digest.set(Some((self.sum, made)));
        made
    }

    /// How finely to compare a view of this size: about eight nodes a bucket.
    #[must_use]
    pub fn bucket_log2(&self) -> u8 {
        let buckets = (self.up_count / 8).max(1);
        u8::try_from(buckets.ilog2())
            .expect("at most 31")
            .min(MAX_BUCKETS_LOG2)
    }

    /// The sums of the view's `2^log2` buckets.
    #[must_use]
    pub fn bucket_sums(&self, log2: u8) -> Vec<u64> {
        let finest = 1 << (MAX_BUCKETS_LOG2 - log2);
        let ranges = self.sums.chunks(finest);
        ranges
            .map(|range| range.iter().copied().fold(0, u64::wrapping_add))
            .collect()
    }

    /// The versions of all nodes that are up in some of those buckets, and the buckets for which the list is complete: as many as
    /// fit into a message, beginning with the one at `start` of those wanted.
    #[must_use]
    pub fn versions_in(
        &self,
        log2: u8,
        wanted: &[u16],
        start: usize,
    ) -> (Vec<u16>, Vec<(ShortId, Version)>) {
        let mut lists: BTreeMap<u16, Vec<(ShortId, Version)>> =
            wanted.iter().map(|&b| (b, Vec::new())).collect();
        for (place, index) in self.nodes_in(log2, wanted) {
            let record = self.record_at(index);
            let list = lists.get_mut(&place).expect("only those were looked for");
            list.push((record.id().abbreviated(), record.version()));
        }
        let (mut buckets, mut versions) = (Vec::new(), Vec::new());
        let count = lists.len();
        for (place, mut list) in lists.into_iter().cycle_from(start, count) {
            if versions.len() + list.len() <= MAX_SYNC_ENTRIES {
                list.sort_unstable_by_key(|(id, _)| *id);
                buckets.push(place);
                versions.extend(list);
            } else if !versions.is_empty() {
                break;
            }
        }
        (buckets, versions)
    }
}

impl Drop for Database {
    /// Other cores may use the table of ids after this one.
    fn drop(&mut self) {
        let places = (0..self.records.len()).map(Index::from_place);
        self.ids.release(places.filter(|&index| self.has(index)));
    }
}

/// Which of `2^log2` ranges of ids this one falls into.
#[must_use]
pub fn bucket(id: &ShortId, log2: u8) -> usize {
    let top = u16::from_be_bytes([id.0[0], id.0[1]]);
    usize::from(top) >> (16 - u32::from(log2))
}

/// Rotates a sequence so that it begins in another place.
trait CycleFrom: Iterator + Sized {
    fn cycle_from(self, start: usize, len: usize) -> impl Iterator<Item = Self::Item>;
}

impl<I: Iterator> CycleFrom for I {
    fn cycle_from(self, start: usize, len: usize) -> impl Iterator<Item = Self::Item> {
        let mut items: Vec<I::Item> = self.collect();
        if len > 0 {
            items.rotate_left(start % len);
        }
        items.into_iter()
    }
}
