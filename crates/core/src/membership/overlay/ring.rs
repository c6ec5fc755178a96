//! The nodes next to this one on the ring of hashed ids, updated as nodes come and go.
//!
//! A search among all nodes for every plan would be an eighth of the cost of a start of ten thousand nodes.

use std::collections::BTreeSet;

use crate::membership::view::{Flip, Index, View, ring_position};
use crate::wire::NodeId;

/// Each node keeps links to this many successors on the ring, so it has as many predecessors there.
pub(super) const SUCCESSORS: usize = 2;
/// This many further nodes on the ring are known. When many nodes die at once, they stand in for successors that are still in
/// view but don't answer.
const SPARE: usize = 6;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Ring {
    /// The ring position of this node.
    own: u64,
    after: Side<{ SUCCESSORS + SPARE }>,
    before: Side<SUCCESSORS>,
}

/// The nearest `N` nodes on one side, with their distances.
#[derive(Debug, Default)]
struct Side<const N: usize>(Vec<(u64, NodeId)>);

impl<const N: usize> Side<N> {
    fn add(&mut self, distance: u64, id: impl FnOnce() -> NodeId) {
        let has_room = self.0.len() < N;
        if has_room || self.0.last().is_some_and(|(last, _)| distance <= *last) {
            self.0.push((distance, id()));
            self.0.sort_unstable();
            self.0.truncate(N);
        }
    }

    fn holds(&self, distance: u64) -> bool {
        self.0.iter().any(|(held, _)| *held == distance)
    }
}

impl Ring {
    /// The ring around a node that is alone.
    pub(super) fn new(me: &NodeId) -> Self {
        Self {
            own: ring_position(me),
            after: Side::default(),
            before: Side::default(),
        }
    }

    /// Notes the nodes that came into view and those that went.
    pub(super) fn follow(&mut self, view: &View, flips: &[Flip]) {
        let is_other = |index: &Index| *index != view.me();
        let id = |index: Index| move || view.record_at(index).id();
        let mut gap = false;
        for flip in flips.iter().filter(|flip| is_other(&flip.index)) {
            let ring = view.ring(flip.index);
            if flip.up {
                self.add(ring, id(flip.index));
            } else {
                gap |= self.holds(ring);
            }
        }
        if gap {
            (self.after, self.before) = (Side::default(), Side::default());
            let up = view.nodes_up().map(|(index, _)| index);
            for index in up.filter(is_other) {
                self.add(view.ring(index), id(index));
            }
        }
    }

    fn add(&mut self, ring: u64, id: impl Fn() -> NodeId) {
        self.after.add(ring.wrapping_sub(self.own), &id);
        self.before.add(self.own.wrapping_sub(ring), id);
    }

    /// Whether a node at that position is one of the nearest, on either side.
    fn holds(&self, ring: u64) -> bool {
        self.after.holds(ring.wrapping_sub(self.own))
            || self.before.holds(self.own.wrapping_sub(ring))
    }

    /// The nodes that follow this one, nearest first: its successors, and the nodes after them.
    pub(super) fn following(&self) -> impl Iterator<Item = NodeId> + use<> {
        let after = self.after.0.clone();
        after.into_iter().map(|(_, id)| id)
    }

    /// The nodes around this one, on both sides: links with those are ring links.
    pub(super) fn neighbors(&self) -> BTreeSet<NodeId> {
        let after = self.after.0.iter().take(SUCCESSORS);
        let both = after.chain(&self.before.0);
        both.map(|(_, id)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_on_both_sides_are_kept_whoever_comes() {
        let mut ring = Ring::new(&NodeId([0; 32]));
        let own = ring.own;
        let at = |place: u64| own.wrapping_add(place);
        let id = |number: u8| NodeId([number; 32]);
        let following = |ring: &Ring| ring.following().collect::<Vec<_>>();
        ring.add(at(50), || id(1));
        assert_eq!(following(&ring), [id(1)]);
        assert_eq!(ring.neighbors(), [id(1)].into(), "it is on both sides");
        for (place, number) in [(70, 2), (20, 3), (u64::MAX, 4), (u64::MAX - 9, 5), (60, 6)] {
            ring.add(at(place), || id(number));
        }
        assert_eq!(following(&ring)[..3], [id(3), id(1), id(6)]);
        assert_eq!(ring.neighbors(), [id(1), id(3), id(4), id(5)].into());
        for number in 10..30_u8 {
            ring.add(at(1000 + u64::from(number)), || id(number));
        }
        assert_eq!(following(&ring).len(), SUCCESSORS + SPARE);
        for (place, held) in [(20, true), (60, true), (1010, true), (1018, false)] {
            assert_eq!(ring.holds(at(place)), held, "{place}");
        }
        // Two nodes at one position, which takes a deliberate search for ids: all nodes choose the same one.
        ring.add(at(50), || id(0));
        assert_eq!(following(&ring)[..2], [id(3), id(0)]);
    }
}
