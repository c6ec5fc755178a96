//! Adds records to the view, and forgets them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::change::{Change, Difference, compare, is_newer};
use super::{
    Before, Index, MAX_BYTES, MAX_DOWN_BYTES, MAX_DOWN_PER_NEIGHBOUR, MAX_NODES, ORDINARY, Outcome,
    View, weight,
};
use crate::bucket::Rate;
use crate::membership::Time;
use crate::record::{MAX_RECORD, Record};
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
    flags: Flags,
}

/// Whether the record came from a neighbour on this very machine (the highest bit), and how many versions came lately (the other bits).
#[derive(Debug, Clone, Copy, Default)]
struct Flags(u8);

impl Flags {
    const LOOPBACK: u8 = 0x80;
    const MOST: u8 = 0x7f;

    fn new(over_loopback: bool, versions: u8) -> Self {
        let loopback = if over_loopback { Self::LOOPBACK } else { 0 };
        Self(loopback | versions.min(Self::MOST))
    }

    fn over_loopback(self) -> bool {
        self.0 & Self::LOOPBACK > 0
    }

    fn versions(self) -> u8 {
        self.0 & Self::MOST
    }
}

impl Notes {
    pub(super) fn over_loopback(&self) -> bool {
        self.flags.over_loopback()
    }

    /// How many versions came lately: it leaks at that rate.
    fn versions(&self, now: Time, per_s: f64) -> u8 {
        let elapsed = now.saturating_sub(self.received.time());
        let leaked = elapsed.as_secs_f64() * per_s;
        let left = f64::from(self.flags.versions()) - leaked.floor();
        left.max(0.0) as u8
    }
}

/// The size of a record for which that many nodes from one neighbour have room: one with a dozen links.
const DOWN_RECORD: usize = 512;

/// How many nodes a full view forgets at a time, each time a walk over all nodes. Halved or doubled: twice or half as many walks.
const EVICTED: usize = 256;

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

/// The neighbours that brought nodes which were never up, with the number of these nodes and the size of their records.
#[derive(Debug, Default)]
pub(super) struct Bringers {
    places: BTreeMap<NodeId, u32>,
    counts: Vec<(Option<NodeId>, u32, usize)>,
}

impl Bringers {
    fn count(&self, id: &NodeId) -> (u32, usize) {
        let place = self.places.get(id);
        place.map_or((0, 0), |&place| {
            let (_, count, bytes) = self.counts[place as usize];
            (count, bytes)
        })
    }

    fn add(&mut self, id: NodeId, bytes: usize) -> u32 {
        let counts = &mut self.counts;
        let place = *self.places.entry(id).or_insert_with(|| {
            let free = counts.iter().position(|(id, ..)| id.is_none());
            let place = free.unwrap_or(counts.len());
            if place == counts.len() {
                counts.push((None, 0, 0));
            }
            counts[place].0 = Some(id);
            u32::try_from(place).expect("no more than nodes")
        });
        counts[place as usize].1 += 1;
        counts[place as usize].2 += bytes;
        place
    }

    fn bytes(&self, place: u32) -> usize {
        self.counts[place as usize].2
    }

    /// The place of the neighbour that brought most, by size.
    fn most(&self) -> Option<u32> {
        let most = (0..self.counts.len()).max_by_key(|&place| self.counts[place].2)?;
        (self.counts[most].1 > 0).then(|| u32::try_from(most).expect("no more than nodes"))
    }

    /// A record that this neighbour brought was replaced by one of another size.
    fn resize(&mut self, place: u32, (before, after): (usize, usize)) {
        let bytes = &mut self.counts[place as usize].2;
        *bytes = *bytes - before + after;
    }

    /// One of the nodes that this neighbour brought is up, or forgotten.
    fn remove(&mut self, place: u32, bytes: usize) {
        let (id, count, all) = &mut self.counts[place as usize];
        *count -= 1;
        *all -= bytes;
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
            if from.is_some_and(|from| !self.has_room_for(&record, &from))
                || !self.has_space(record.encoded_len())
            {
                return Outcome::Full;
            }
            if let Some(from) = &from {
                self.note_believed(from, &record, 0);
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
        if !self.has_room_to_replace(index, &record, from.is_some()) {
            return Outcome::Full;
        }
        if let Some(from) = &from {
            let before = weight(self.record_at(index));
            if weight(&record) > before && !self.believes(from, &record) {
                return Outcome::Full;
            }
            self.note_believed(from, &record, before);
        }
        self.replace(index, record, now, over_loopback)
    }

    /// Whether a node's next record, which may be larger, still fits.
    fn has_room_to_replace(&mut self, index: Index, next: &Record, brought: bool) -> bool {
        let (before, after) = (self.record_at(index).encoded_len(), next.encoded_len());
        let bringer = self.bringer(index);
        let is_over = bringer.is_some_and(|bringer| self.bringers.bytes(bringer) > MAX_DOWN_BYTES);
        let grows = after > before;
        let too_many = self.bytes - before + after > MAX_BYTES;
        !(grows && (is_over || too_many && brought)) && self.may_weigh(index, next)
    }

    /// The neighbour that brought a node which was never up, as a place among the bringers.
    fn bringer(&self, index: Index) -> Option<u32> {
        let bringer = self.notes[index.at()].predecessor;
        (!self.up.contains(index.at()) && bringer != NOBODY).then_some(bringer)
    }

    /// Puts a node's newer record in the place of the one that is here.
    fn replace(
        &mut self,
        index: Index,
        record: Arc<Record>,
        now: Time,
        over_loopback: bool,
    ) -> Outcome {
        let have = self.record_at(index);
        let sizes = (have.encoded_len(), record.encoded_len());
        let difference = Difference::between(have, &record);
        let mut change = difference.change(&record);
        let leaving_changed = have.body().leaving != record.body().leaving;
        let up = self.up.contains(index.at());
        if up {
            let (old, new) = (have.fingerprint(), record.fingerprint());
            self.shift_sums(&record.id(), old, new);
        }
        if difference.withdrawn && !record.body().leaving {
            self.note_withdrawn(now, index, &record);
        }
        if difference.withdrawn || difference.gained || difference.renewed || leaving_changed {
            self.note_links(index, &record, difference);
        }
        // A ghost that signs lives. And a newer record is taken of members only: the node is one again.
        let was_ghost = self.ghosts.signs(index);
        if self.barred.remove(&index) || was_ghost {
            self.pending.gained(index);
            change = Change::Gain;
        }
        self.bytes = self.bytes - sizes.0 + sizes.1;
        if let Some(bringer) = self.bringer(index) {
            self.bringers.resize(bringer, sizes);
        }
        let versions = self.notes[index.at()].versions(now, self.pace_of(index).per_s);
        let notes = &mut self.notes[index.at()];
        if leaving_changed {
            if !up {
                self.down_since.entry(index).or_insert(notes.since);
            }
            notes.since = Stamp::of(now);
        }
        notes.received = Stamp::of(now);
        let weight = u8::try_from(1 + sizes.1 / ORDINARY).unwrap_or(Flags::MOST);
        let flags = Flags::new(over_loopback, versions.saturating_add(weight));
        let over_loopback = std::mem::replace(&mut notes.flags, flags).over_loopback();
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
            predecessor: from.map_or(NOBODY, |from| self.bringers.add(from, record.encoded_len())),
            since: Stamp::of(now),
            received: Stamp::of(now),
            relayed: Stamp::NEVER,
            flags: Flags::new(over_loopback, 1),
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
            flags: Flags::default(),
        };
        self.notes.resize(places, nothing);
        self.up.grow(places);
    }

    /// How often a node may have a new version: less often if it counts on the word of another.
    fn pace_of(&self, index: Index) -> Rate {
        let tuning = &self.tuning.view;
        if self.counts_by_itself(index) {
            Rate {
                burst: tuning.versions_burst,
                per_s: tuning.versions_per_s,
            }
        } else {
            Rate {
                burst: tuning.claimed_burst,
                per_s: tuning.claimed_per_s,
            }
        }
    }

    /// The least time between two times at which a node's record is passed on, if it had many versions of late: what its neighbours read
    /// must not become too much for theirs. A large record counts as several.
    #[must_use]
    pub(in crate::membership) fn spacing(&self, index: Index) -> Option<Duration> {
        let tuning = &self.tuning.view;
        let versions = self.notes[index.at()].flags.versions();
        let weight = 1 + self.record_at(index).encoded_len() / ORDINARY;
        let is_busy = !self.is_filling() && f64::from(versions) > tuning.claimed_burst;
        is_busy.then(|| tuning.busy_spacing * u32::try_from(weight).unwrap_or(u32::MAX))
    }

    /// Whether a newer version of a known node is worth a look at its signature: the node has had fewer of late than it may. What is turned
    /// away is found by the next anti-entropy round, if it is still the newest then.
    #[must_use]
    pub(in crate::membership) fn keeps_pace(&self, now: Time, record: &Arc<Record>) -> bool {
        let Some(index) = self.find(record).filter(|_| !self.is_filling()) else {
            return true;
        };
        let pace = self.pace_of(index);
        f64::from(self.notes[index.at()].versions(now, pace.per_s)) < pace.burst
    }

    /// Whether one more unknown node from this neighbour is taken. If the neighbour brought many that are not up, only one that can come up
    /// at once is. (Its earlier nodes are forgotten in their own time. A search for the oldest would let the neighbour keep us busy.)
    #[must_use]
    pub(in crate::membership) fn has_room_for(&self, record: &Record, from: &NodeId) -> bool {
        if !self.believes(from, record) {
            return false;
        }
        let (count, bytes) = self.bringers.count(from);
        let (most, most_bytes) = self.room_of_one();
        let has_place = count < most && bytes + record.encoded_len() <= most_bytes;
        has_place || self.would_come_up(record)
    }

    /// Whether a neighbour brought so many nodes that are not up that few others are taken from it: nothing unknown is requested of it.
    #[must_use]
    pub(in crate::membership) fn is_full_of(&self, from: &NodeId) -> bool {
        let (count, bytes) = self.bringers.count(from);
        let (most, most_bytes) = self.room_of_one();
        count >= most || bytes + MAX_RECORD > most_bytes
    }

    /// How many nodes that were never up may come from one neighbour, and how many bytes their records may have.
    fn room_of_one(&self) -> (u32, usize) {
        if self.is_filling() {
            (MAX_DOWN_PER_NEIGHBOUR, MAX_DOWN_BYTES)
        } else {
            let most = self.tuning.view.down_from_one;
            (most, most as usize * DOWN_RECORD)
        }
    }

    /// Whether one more node fits. If not, some that are down are forgotten soon: not at once, since others hold their places.
    fn has_space(&mut self, bytes: usize) -> bool {
        let fits = self.count < MAX_NODES && self.bytes + bytes <= MAX_BYTES;
        if !fits && self.count > self.up_count {
            self.crowded = true;
        }
        fits
    }

    /// A full view forgets nodes that have been down longest, of those that the neighbour brought which brought most.
    pub(super) fn evict(&mut self, is_linked: impl Fn(&NodeId) -> bool) -> Vec<Index> {
        if !std::mem::take(&mut self.crowded) {
            return Vec::new();
        }
        let most = self.bringers.most();
        let of_it =
            |index: Index| most.is_none_or(|most| self.notes[index.at()].predecessor == most);
        let mut down: Vec<(Time, Index)> = self
            .down()
            .filter(|(index, _)| of_it(*index) && !is_linked(&self.record_at(*index).id()))
            .map(|(index, since)| (since, index))
            .collect();
        down.sort_unstable();
        down.truncate(EVICTED);
        let evicted: Vec<Index> = down.into_iter().map(|(_, index)| index).collect();
        for &index in &evicted {
            self.forget(index);
        }
        evicted
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

    pub(super) fn is_unreachable(&self, index: Index) -> bool {
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
        self.take_bringer(index, record.encoded_len());
        self.forget_claims(index);
        self.ghosts.forget(index);
        self.down_since.remove(&index);
        self.barred.remove(&index);
        self.count -= 1;
        self.ids.release([index]);
        true
    }

    /// A node that was never up comes up, or is forgotten: it no longer counts against the neighbour that brought it.
    pub(super) fn take_bringer(&mut self, index: Index, bytes: usize) {
        let predecessor = std::mem::replace(&mut self.notes[index.at()].predecessor, NOBODY);
        if predecessor != NOBODY {
            self.bringers.remove(predecessor, bytes);
        }
    }

    /// Forgets the nodes that have been down for `after` and have no link with this one, and returns them.
    pub(crate) fn forget_older(
        &mut self,
        now: Time,
        after: Duration,
        is_linked: impl Fn(&NodeId) -> bool,
    ) -> Vec<Index> {
        if self.count == self.up_count {
            return Vec::new();
        }
        let old: Vec<Index> = self
            .down()
            .filter(|(_, since)| now.saturating_sub(*since) >= after)
            .map(|(index, _)| index)
            .filter(|index| !is_linked(&self.record_at(*index).id()))
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

    /// Notes that a node's record is passed on, or will be, no sooner than `spacing` after the last time. Returns when; nothing if it is to be
    /// passed on already, so that its newest version will be.
    pub(in crate::membership) fn schedule_relay(
        &mut self,
        now: Time,
        index: Index,
        spacing: Duration,
    ) -> Option<Time> {
        let last = self.last_relay(index);
        if last.is_some_and(|last| last > now) {
            return None;
        }
        let at = last.map_or(now, |last| now.max(last + spacing));
        self.note_relay(index, at);
        Some(at)
    }

    /// When a node's record was last passed on, or will be.
    pub(super) fn last_relay(&self, index: Index) -> Option<Time> {
        let relayed = self.notes[index.at()].relayed;
        (relayed != Stamp::NEVER).then(|| relayed.time())
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
