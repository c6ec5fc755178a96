//! A table with an entry for each of a few peers, in the order of their ids.
//!
//! All of its entries are looked at after most inputs, and it rarely has more than sixteen. So it is two arrays in the same order, which
//! are walked faster than a tree, and a second table of the same peers can be walked beside it.

use crate::wire::NodeId;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Peers<T> {
    ids: Vec<NodeId>,
    values: Vec<T>,
}

impl<T> Default for Peers<T> {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl<T> Peers<T> {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn get(&self, id: &NodeId) -> Option<&T> {
        let place = self.ids.binary_search(id).ok()?;
        self.values.get(place)
    }

    pub(super) fn get_mut(&mut self, id: &NodeId) -> Option<&mut T> {
        let place = self.ids.binary_search(id).ok()?;
        self.values.get_mut(place)
    }

    /// Puts an entry in, in the place of the one that there was.
    pub(super) fn insert(&mut self, id: NodeId, value: T) {
        match self.ids.binary_search(&id) {
            Ok(place) => self.values[place] = value,
            Err(place) => {
                self.ids.insert(place, id);
                self.values.insert(place, value);
            }
        }
    }

    pub(super) fn remove(&mut self, id: &NodeId) -> Option<T> {
        let place = self.ids.binary_search(id).ok()?;
        self.ids.remove(place);
        Some(self.values.remove(place))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &NodeId> {
        self.ids.iter()
    }

    pub(super) fn values(&self) -> std::slice::Iter<'_, T> {
        self.values.iter()
    }

    pub(super) fn values_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.values.iter_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&NodeId, &T)> {
        self.ids.iter().zip(&self.values)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&NodeId, &mut T)> {
        self.ids.iter().zip(&mut self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    #[test]
    fn entries_stand_in_the_order_of_their_ids() {
        let mut peers = Peers::default();
        for (number, value) in [(5, "five"), (1, "one"), (3, "three"), (5, "fünf")] {
            peers.insert(id(number), value);
        }
        assert_eq!(peers.len(), 3);
        let all: Vec<_> = peers.iter().map(|(id, value)| (id.0[0], *value)).collect();
        assert_eq!(all, [(1, "one"), (3, "three"), (5, "fünf")]);
        assert_eq!(peers.remove(&id(3)), Some("three"));
        assert_eq!((peers.remove(&id(3)), peers.get(&id(3))), (None, None));
        *peers.get_mut(&id(5)).expect("it is there") = "cinq";
        assert!(peers.values().eq(&["one", "cinq"]));
        assert!(peers.ids().eq(&[id(1), id(5)]));
    }
}
