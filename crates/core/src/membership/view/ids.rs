//! The ids of nodes, interned to small numbers that tables are indexed by: a node's place.
//!
//! A node makes one table of ids for itself. In a simulator all cores share one. The records are shared as well, so each record
//! can remember the indices of its node and of the peers of its links: [`TableIndex`]. Such an index is checked against the table
//! whenever it is used, so an outdated one costs a look-up and does no harm. Only *settlers*, the nodes that a simulator began
//! with, keep their places for good, the same in all tables: there, the index in a record needs no check.
//!
//! Anybody can invent ids, so only nodes that some core keeps an entry of have a place. It is reassigned after the last core has
//! forgotten the node.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, DefaultHasher, Hasher as _};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sha2::{Digest as _, Sha256};

use crate::record::TableIndex;
use crate::wire::{NodeId, ShortId};

/// A node's place in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u32);

impl Index {
    pub(super) fn at(self) -> usize {
        self.0 as usize
    }

    pub(in crate::membership) fn from_place(place: usize) -> Self {
        Self(u32::try_from(place).expect("tables are far smaller"))
    }
}

/// See the module's documentation.
pub struct Ids {
    table: RwLock<Table>,
    /// The places before this one are those of settlers.
    settled: u32,
}

struct Table {
    places: Vec<Place>,
    free: Vec<Index>,
    /// Never iterated: its order differs between runs.
    by_id: HashMap<ShortId, Index, Keyed>,
}

/// One place. Reading it touches one cache line.
struct Place {
    /// The node at that place, or its last occupant.
    id: ShortId,
    /// The ring position of that node.
    ring: u64,
    /// The number of cores that keep an entry of the node.
    holders: u32,
}

impl Ids {
    /// An empty table. The secret keeps others from choosing ids that collide in it.
    #[must_use]
    pub fn new(secret: u64) -> Self {
        Self::with_settlers(secret, [])
    }

    /// A table in which the first places are taken for good by settlers. All tables of one process with the same settlers agree
    /// on their places.
    pub fn with_settlers(secret: u64, settlers: impl IntoIterator<Item = NodeId>) -> Self {
        let table = Table {
            places: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::with_hasher(Keyed(secret)),
        };
        let mut ids = Self {
            table: RwLock::new(table),
            settled: 0,
        };
        for id in settlers {
            ids.hold(&id);
        }
        ids.settled = Index::from_place(ids.places()).0;
        ids
    }

    /// Whether a settler has that place, so that no table gives it to another node.
    pub(super) fn is_settled(&self, index: Index) -> bool {
        index.0 < self.settled
    }

    /// The number of places, including free ones.
    #[must_use]
    pub fn places(&self) -> usize {
        self.read().table.places.len()
    }

    /// Gives a node a place, unless it has one. The node keeps it until `Self::release` was called as often.
    pub fn hold(&self, id: &NodeId) -> Index {
        self.hold_remembered(id, &TableIndex::default())
    }

    pub(super) fn hold_remembered(&self, id: &NodeId, remembered: &TableIndex) -> Index {
        let short = id.abbreviated();
        let mut table = self.write();
        let known = table.find(&short, remembered);
        let index = known.unwrap_or_else(|| table.insert(short, ring_position(id)));
        remembered.set(index.0);
        table.places[index.at()].holders += 1;
        index
    }

    /// Takes back one [`Self::hold`] of each of those places.
    pub(super) fn release(&self, indices: impl IntoIterator<Item = Index>) {
        let mut table = self.write();
        for index in indices {
            let place = &mut table.places[index.at()];
            place.holders -= 1;
            if place.holders == 0 {
                let id = place.id;
                table.by_id.remove(&id);
                table.free.push(index);
            }
        }
    }

    /// The table, to look things up in.
    pub(super) fn read(&self) -> Places<'_> {
        // No code panics in the middle of a change, so a poisoned lock still guards a sound table.
        Places {
            table: self.table.read().unwrap_or_else(PoisonError::into_inner),
            settled: self.settled,
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ids({} places)", self.places())
    }
}

/// The table, locked for reading.
pub(super) struct Places<'a> {
    table: RwLockReadGuard<'a, Table>,
    settled: u32,
}

impl Places<'_> {
    /// The place of a node, if it has one.
    pub(super) fn find(&self, id: &ShortId, remembered: &TableIndex) -> Option<Index> {
        if remembered.get() < self.settled {
            return Some(Index(remembered.get()));
        }
        let index = self.table.find(id, remembered)?;
        remembered.set(index.0);
        Some(index)
    }

    /// The id of the node at that place, or of its last occupant.
    pub(super) fn id(&self, index: Index) -> &ShortId {
        &self.table.places[index.at()].id
    }

    /// The ring position of the node at that place.
    pub(super) fn ring(&self, index: Index) -> u64 {
        self.table.places[index.at()].ring
    }
}

impl Table {
    fn find(&self, id: &ShortId, remembered: &TableIndex) -> Option<Index> {
        let remembered = Index(remembered.get());
        // A released place still shows its last occupant; if that node comes back, it gets another place.
        if let Some(place) = self.places.get(remembered.at())
            && place.id == *id
            && place.holders > 0
        {
            return Some(remembered);
        }
        self.by_id.get(id).copied()
    }

    fn insert(&mut self, id: ShortId, ring: u64) -> Index {
        let index = if let Some(free) = self.free.pop() {
            let place = &mut self.places[free.at()];
            (place.id, place.ring) = (id, ring);
            free
        } else {
            self.places.push(Place {
                id,
                ring,
                holders: 0,
            });
            Index::from_place(self.places.len() - 1)
        };
        self.by_id.insert(id, index);
        index
    }
}

/// The ring position of a node.
#[must_use]
pub fn ring_position(id: &NodeId) -> u64 {
    let hash = Sha256::digest(id.0);
    u64::from_be_bytes(hash[..8].try_into().expect("SHA-256 has 32 bytes"))
}

/// SipHash, keyed with a secret.
struct Keyed(u64);

impl BuildHasher for Keyed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    #[test]
    fn settlers_stand_where_they_stand_in_all_tables() {
        let settlers = [id(1), id(2)];
        let tables = [1, 2].map(|secret| Ids::with_settlers(secret, settlers));
        let (remembered, one) = (TableIndex::default(), id(1).abbreviated());
        assert_eq!(tables[0].read().find(&one, &remembered), Some(Index(0)));
        assert_eq!(tables[1].read().find(&one, &remembered), Some(Index(0)));
        // Others come and go, in one table or the other.
        let guest = tables[1].hold(&id(3));
        assert!(tables[1].is_settled(Index(1)) && !tables[1].is_settled(guest));
        for place in [Index(1), guest] {
            tables[1].hold(&id(2));
            tables[1].release([place]);
        }
        assert_eq!(tables[1].hold(&id(4)), guest);
        let two = id(2).abbreviated();
        assert_eq!(
            tables[1].read().find(&two, &TableIndex::default()),
            Some(Index(1))
        );
    }

    #[test]
    fn a_place_is_given_away_only_after_everybody_has_forgotten_the_node() {
        let ids = Ids::new(1);
        let remembered = TableIndex::default();
        let one = ids.hold_remembered(&id(1), &remembered);
        assert_eq!(ids.hold(&id(1)), one, "another core knows it too");
        assert_eq!(ids.hold(&id(2)), Index(1));
        ids.release([one]);
        assert_eq!(ids.hold(&id(3)), Index(2));
        ids.release([one]);
        assert_eq!(
            ids.read()
                .find(&id(1).abbreviated(), &TableIndex::default()),
            None
        );
        assert_eq!(ids.hold(&id(4)), one);
        // The index that a record remembers for the first node is out of date.
        assert_eq!(remembered.get(), one.0);
        assert_eq!(ids.read().find(&id(1).abbreviated(), &remembered), None);
        let again = ids.hold_remembered(&id(1), &remembered);
        assert_eq!((again, remembered.get(), ids.places()), (Index(3), 3, 4));
        // It is also out of date when its place is empty.
        ids.release([Index(2), again]);
        let elsewhere = ids.hold(&id(3));
        assert_eq!(elsewhere, Index(3));
        assert_eq!(ids.hold(&id(1)), Index(2));
        assert_eq!(
            ids.read().find(&id(1).abbreviated(), &remembered),
            Some(Index(2))
        );
    }
}
