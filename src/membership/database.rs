//! The newest signed record of every node, who is up, and the digests that compare two such views.
//!
//! Ids are interned to dense indices; an index is reused only after its node was forgotten. Being up is *derived*: a
//! node is up when it can be reached over links that both their ends list, starting at this node's own live links. So
//! there is nothing to refute and nothing to expire: when a region dies, the survivors at its border drop their own
//! side, and it is gone.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};

use super::Time;
use crate::record::{Record, Version};
use crate::wire::{MAX_SYNC_ENTRIES, NodeId, ShortId, ViewDigest};

/// The largest number of nodes in the database: above the ten thousand that area-net is made for, at about 1 kB each.
pub const MAX_NODES: usize = 32_768;
/// The largest number of records of nodes that are not up, from one neighbour: what a neighbour can make us keep by inventing
/// nodes.
pub const MAX_DOWN_PER_NEIGHBOUR: u32 = 2048;

/// A node's place in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u32);

impl Index {
    fn at(self) -> usize {
        self.0 as usize
    }
}

/// What is known of a node.
#[derive(Debug)]
pub struct Entry {
    /// Its newest record.
    pub record: Arc<Record>,
    /// Whether it can be reached.
    pub up: bool,
    /// When `up` last changed (or the node was first heard of), or it said that it leaves.
    pub since: Time,
    /// When the record came.
    pub received: Time,
    /// When the node last turned unreachable, for forgetting.
    pub down_since: Time,
    /// Whether the record came from a neighbour on this very machine.
    pub over_loopback: bool,
    /// Where the node stands on the ring: a hash of its id.
    pub ring: u64,
    /// The neighbour that brought a node that was never up so far.
    brought_by: Option<NodeId>,
    relayed: Option<Time>,
}

/// What a record changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The node is new here, or lists a new link.
    Gain,
    /// A link less, a suspicion, or farewell.
    Loss,
    /// Measurements, label or addresses.
    Figures,
}

/// The database's answer to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is newer, and was taken.
    Newer(Index, Change),
    /// We have this very record.
    Same(Index),
    /// Ours is newer.
    Older(Index),
    /// There is no room for it.
    Full,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Database {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_id: BTreeMap<ShortId, Index>,
    me: Index,
    /// The sum of the fingerprints of all nodes that are up, and the digest made of it last.
    sum: u128,
    digest: Cell<Option<(u128, ViewDigest)>>,
    up: usize,
    down_by: BTreeMap<NodeId, u32>,
}

/// A node that went up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flip {
    /// Which.
    pub index: Index,
    /// Whether it is up now.
    pub up: bool,
}

/// Where a node stands on the ring of all nodes.
#[must_use]
pub fn ring_position(id: &NodeId) -> u64 {
    let hash = digest(&SHA256, &id.0);
    u64::from_be_bytes(hash.as_ref()[..8].try_into().expect("SHA-256 has 32 bytes"))
}

impl Database {
    /// A database that holds this node's own record, which is always up.
    #[must_use]
    pub fn new(own: Arc<Record>) -> Self {
        let me = Index(0);
        let mut database = Self {
            entries: Vec::new(),
            free: Vec::new(),
            by_id: BTreeMap::new(),
            me,
            sum: own.fingerprint(),
            digest: Cell::new(None),
            up: 1,
            down_by: BTreeMap::new(),
        };
        database.insert(own, Duration::ZERO, None);
        database.entry_mut(me).up = true;
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
        self.up
    }

    /// The place of a node.
    #[must_use]
    pub fn index(&self, id: &ShortId) -> Option<Index> {
        self.by_id.get(id).copied()
    }

    /// The node at that place.
    ///
    /// # Panics
    /// When nobody is there: indices are only held for nodes that are.
    #[must_use]
    pub fn entry(&self, index: Index) -> &Entry {
        self.get(index)
            .expect("an index is held only while its node is")
    }

    /// The node at that place, if one is.
    #[must_use]
    pub fn get(&self, index: Index) -> Option<&Entry> {
        self.entries.get(index.at()).and_then(Option::as_ref)
    }

    fn entry_mut(&mut self, index: Index) -> &mut Entry {
        self.entries[index.at()]
            .as_mut()
            .expect("an index is held only while its node is")
    }

    /// The record of a node.
    #[must_use]
    pub fn record(&self, id: &NodeId) -> Option<&Arc<Record>> {
        self.index(&id.abbreviated())
            .map(|index| &self.entry(index).record)
    }

    /// Whether a node is up.
    #[must_use]
    pub fn is_up(&self, id: &NodeId) -> bool {
        self.index(&id.abbreviated())
            .is_some_and(|index| self.entry(index).up)
    }

    /// All nodes in the order of their ids.
    pub fn in_order(&self) -> impl Iterator<Item = (Index, &Entry)> {
        self.by_id.values().map(|&index| (index, self.entry(index)))
    }

    /// The nodes that are up, in the order of their ids.
    pub fn up_in_order(&self) -> impl Iterator<Item = (Index, &Entry)> {
        self.in_order().filter(|(_, entry)| entry.up)
    }

    /// The records of the nodes that are up, in the order of their places: for whoever wants them all, and in no order.
    pub(super) fn records_up(&self) -> impl Iterator<Item = &Arc<Record>> {
        let there = self.entries.iter().flatten();
        there.filter(|entry| entry.up).map(|entry| &entry.record)
    }

    /// How many nodes there are, up or not.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether a record would be news.
    #[must_use]
    pub fn would_be_news(&self, record: &Record) -> bool {
        self.record(&record.id())
            .is_none_or(|have| have.compare(record).is_lt())
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
        let Some(&index) = self.by_id.get(&record.id().abbreviated()) else {
            if !self.make_room(from) {
                return Outcome::Full;
            }
            let index = self.insert(record, now, from);
            self.entry_mut(index).over_loopback = over_loopback;
            return Outcome::Newer(index, Change::Gain);
        };
        let entry = self.entry_mut(index);
        match entry.record.compare(&record) {
            Ordering::Less if entry.record.id() == record.id() => {}
            Ordering::Equal => return Outcome::Same(index),
            Ordering::Less | Ordering::Greater => return Outcome::Older(index),
        }
        let change = compare(&entry.record, &record);
        if entry.record.body().leaving != record.body().leaving {
            entry.since = now;
        }
        let sums = (entry.record.fingerprint(), record.fingerprint());
        entry.record = record;
        entry.received = now;
        entry.over_loopback = over_loopback;
        if entry.up {
            self.sum = self.sum.wrapping_sub(sums.0).wrapping_add(sums.1);
        }
        Outcome::Newer(index, change)
    }

    fn insert(&mut self, record: Arc<Record>, now: Time, from: Option<NodeId>) -> Index {
        let short = record.id().abbreviated();
        let entry = Entry {
            ring: ring_position(&record.id()),
            record,
            up: false,
            since: now,
            received: now,
            down_since: now,
            brought_by: from,
            relayed: None,
            over_loopback: false,
        };
        if let Some(from) = from {
            *self.down_by.entry(from).or_default() += 1;
        }
        let index = if let Some(free) = self.free.pop() {
            self.entries[free as usize] = Some(entry);
            Index(free)
        } else {
            self.entries.push(Some(entry));
            Index(u32::try_from(self.entries.len() - 1).expect("MAX_NODES fits"))
        };
        self.by_id.insert(short, index);
        index
    }

    /// Whether one more unknown node from this neighbour fits; a full database makes room by forgetting the one that is down
    /// longest.
    fn make_room(&mut self, from: Option<NodeId>) -> bool {
        let over = from.is_some_and(|from| {
            self.down_by
                .get(&from)
                .is_some_and(|&n| n >= MAX_DOWN_PER_NEIGHBOUR)
        });
        if over {
            // What it brought before is forgotten in its own time; a search for the oldest would let it keep us busy.
            return false;
        }
        if self.by_id.len() < MAX_NODES {
            return true;
        }
        self.oldest_down().is_some_and(|index| self.forget(index))
    }

    fn oldest_down(&self) -> Option<Index> {
        self.in_order()
            .filter(|(_, entry)| !entry.up)
            .min_by_key(|(_, entry)| entry.down_since)
            .map(|(index, _)| index)
    }

    fn forget(&mut self, index: Index) -> bool {
        let Some(entry) = self.entries[index.at()].take() else {
            return false;
        };
        self.uncount(entry.brought_by);
        self.by_id.remove(&entry.record.id().abbreviated());
        self.free.push(index.0);
        true
    }

    fn uncount(&mut self, from: Option<NodeId>) {
        let Some(from) = from else { return };
        if let Some(count) = self.down_by.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                self.down_by.remove(&from);
            }
        }
    }

    /// Forgets the nodes that have been down for `after`, and tells which.
    pub fn forget_older(&mut self, now: Time, after: Duration) -> Vec<Index> {
        let old: Vec<Index> = self
            .in_order()
            .filter(|(_, entry)| !entry.up && now.saturating_sub(entry.down_since) >= after)
            .map(|(index, _)| index)
            .collect();
        for &index in &old {
            self.forget(index);
        }
        old
    }

    /// Notes that a node's record is passed on now; returns when one was before.
    pub fn note_relay(&mut self, index: Index, now: Time) -> Option<Time> {
        self.entry_mut(index).relayed.replace(now)
    }

    /// Derives who is up, from this node's own live links, and tells who changed. A breadth-first walk over the links
    /// that both their ends list.
    pub fn derive_up(&mut self, now: Time, live: &[Index]) -> Vec<Flip> {
        let mut reached = vec![false; self.entries.len()];
        let mut queue = VecDeque::from([self.me]);
        reached[self.me.at()] = true;
        for &index in live {
            let leaving = self.entry(index).record.body().leaving;
            if !leaving && !std::mem::replace(&mut reached[index.at()], true) {
                queue.push_back(index);
            }
        }
        while let Some(index) = queue.pop_front() {
            if index == self.me {
                continue;
            }
            for peer in self.mutual_links(index) {
                if !std::mem::replace(&mut reached[peer.at()], true) {
                    queue.push_back(peer);
                }
            }
        }
        let flips: Vec<Flip> = self
            .in_order()
            .filter(|(index, entry)| entry.up != reached[index.at()])
            .map(|(index, entry)| Flip {
                index,
                up: !entry.up,
            })
            .collect();
        for flip in &flips {
            self.flip(now, *flip);
        }
        flips
    }

    fn flip(&mut self, now: Time, flip: Flip) {
        let entry = self.entry_mut(flip.index);
        entry.up = flip.up;
        entry.since = now;
        let fingerprint = entry.record.fingerprint();
        let brought_by = entry.brought_by.take();
        if flip.up {
            self.sum = self.sum.wrapping_add(fingerprint);
            self.up += 1;
            self.uncount(brought_by);
        } else {
            entry.down_since = now;
            self.sum = self.sum.wrapping_sub(fingerprint);
            self.up -= 1;
        }
    }

    /// The nodes to which a link is listed by both ends, none of them leaving.
    pub fn mutual_links(&self, index: Index) -> impl Iterator<Item = Index> + '_ {
        let record = &self.entry(index).record;
        let me = record.id().abbreviated();
        let links = if record.body().leaving {
            &[][..]
        } else {
            &record.body().links[..]
        };
        links.iter().filter_map(move |link| {
            let peer = self.index(&link.peer)?;
            let other = &self.entry(peer).record;
            let mutual = !other.body().leaving && other.link_to(&me).is_some();
            mutual.then_some(peer)
        })
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
        let buckets = (self.up / 8).max(1);
        u8::try_from(buckets.ilog2())
            .expect("at most 31")
            .min(crate::wire::MAX_BUCKETS_LOG2)
    }

    /// The sums of the view's `2^log2` buckets.
    #[must_use]
    pub fn bucket_sums(&self, log2: u8) -> Vec<u64> {
        let mut sums = vec![0_u128; 1 << log2];
        for (_, entry) in self.up_in_order() {
            let sum = &mut sums[bucket(&entry.record.id().abbreviated(), log2)];
            *sum = sum.wrapping_add(entry.record.fingerprint());
        }
        sums.into_iter().map(|sum| (sum >> 64) as u64).collect()
    }

    /// The versions of all nodes that are up in some of those buckets, and the buckets for which the list is complete: as many as
    /// fit into a message, beginning at `start` (a random one, so that a later exchange gets to the others).
    #[must_use]
    pub fn versions_in(
        &self,
        log2: u8,
        wanted: &[u16],
        start: usize,
    ) -> (Vec<u16>, Vec<(ShortId, Version)>) {
        let mut lists: BTreeMap<u16, Vec<(ShortId, Version)>> =
            wanted.iter().map(|&b| (b, Vec::new())).collect();
        for (_, entry) in self.up_in_order() {
            let short = entry.record.id().abbreviated();
            let place = u16::try_from(bucket(&short, log2)).expect("at most 1024 buckets");
            if let Some(list) = lists.get_mut(&place) {
                list.push((short, entry.record.version()));
            }
        }
        let (mut buckets, mut versions) = (Vec::new(), Vec::new());
        let count = lists.len();
        for (place, list) in lists.into_iter().cycle_from(start, count) {
            if versions.len() + list.len() <= MAX_SYNC_ENTRIES {
                buckets.push(place);
                versions.extend(list);
            }
        }
        (buckets, versions)
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

/// What a newer record of a node changes.
pub(super) fn compare(old: &Record, new: &Record) -> Change {
    let (a, b) = (old.body(), new.body());
    let lost = a.links.iter().any(|link| new.link_to(&link.peer).is_none());
    let suspects = b
        .links
        .iter()
        .any(|link| link.suspect && old.link_to(&link.peer).is_none_or(|before| !before.suspect));
    if b.leaving || lost || suspects {
        return Change::Loss;
    }
    let gained = b.links.iter().any(|link| old.link_to(&link.peer).is_none());
    let restarted = a.run_id != b.run_id;
    if gained || restarted {
        Change::Gain
    } else {
        Change::Figures
    }
}
