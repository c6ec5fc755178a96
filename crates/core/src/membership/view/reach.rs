//! Derives who is up: the nodes that can be reached from this node's own live links, over links that both ends list.
//!
//! A link names the run of its peer, and counts only while the peer's record is of that run. Otherwise, if two nodes died
//! together and their last records still list each other, both would come back with any node that links with the next run of one
//! of them.
//!
//! So there is nothing to refute and nothing to expire: when a region dies, the survivors at its border drop their own side of
//! the links, and the region is gone. A walk over the whole network for every change would be too expensive. Each node that is up
//! therefore remembers its *predecessor*, the node before it on the path by which it was found. The predecessors form a tree with
//! this node at its root. A new link can only extend the tree. A lost link matters only if it was part of the tree: then the node
//! behind it looks for another predecessor among its own neighbours, whose path does not lead through the node itself. If there
//! is none, the node and its subtree are taken down and look for predecessors; those that find none are down.

use fixedbitset::FixedBitSet;

use super::change::Difference;
use super::ids::{Index, Places};
use super::store::NOBODY;
use super::{Flip, View};
use crate::membership::Time;
use crate::record::{LinkState, Record};
use crate::wire::NodeId;

/// The changes since reachability was last derived.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Nodes that list new links.
    gained: Vec<Index>,
    /// Nodes whose predecessor may be gone.
    strained: Vec<Index>,
    /// This node's own live links at the last derivation.
    live: Vec<Index>,
}

impl Pending {
    pub(super) fn gained(&mut self, index: Index) {
        if self.gained.last() != Some(&index) {
            self.gained.push(index);
        }
    }
}

impl View {
    /// Notes how a node's next record changes reachability.
    pub(super) fn note_links(&mut self, index: Index, next: &Record, difference: Difference) {
        let (left, leaves) = (self.is_leaving(index), next.body().leaving);
        if !leaves && (difference.gained || difference.renewed || left) {
            self.pending.gained(index);
        }
        if left || !(leaves || difference.withdrawn || difference.renewed) {
            return;
        }
        if leaves {
            self.pending.strained.push(index);
        }
        let renewed = self.record_at(index).body().run_id != next.body().run_id;
        self.strain(index, |link| {
            let after = next.link_to(&link.peer);
            leaves || renewed || after.is_none_or(|after| after.run != link.run)
        });
    }

    /// The node at that place is no member any more. Until a newer record of it is taken, it counts as if it had left.
    pub(crate) fn bar(&mut self, now: Time, index: Index) {
        if !self.barred.insert(index) {
            return;
        }
        self.take_out(index);
        self.derive_soon(now, true);
    }

    /// No link of that node counts any more.
    pub(super) fn take_out(&mut self, index: Index) {
        self.pending.strained.push(index);
        self.strain(index, |_| true);
    }

    /// The node at that place is a member after all.
    pub(crate) fn unbar(&mut self, now: Time, index: Index) {
        if self.barred.remove(&index) {
            self.pending.gained(index);
            self.derive_soon(now, false);
        }
    }

    /// Those of a node's links that are withdrawn may be part of the tree.
    fn strain(&mut self, index: Index, is_withdrawn: impl Fn(&LinkState) -> bool) {
        let mut strained = std::mem::take(&mut self.pending.strained);
        let record = self.record_at(index);
        let ids = self.ids.read();
        for (link, remembered) in record.standing_links() {
            let is_withdrawn = is_withdrawn(link);
            let Some(peer) = ids.find(&link.peer, remembered).filter(|_| is_withdrawn) else {
                continue;
            };
            if self.leads(index, peer) {
                strained.push(peer);
            } else if self.leads(peer, index) {
                strained.push(index);
            }
        }
        drop(ids);
        self.pending.strained = strained;
    }

    /// Whether one node is the predecessor of another one.
    fn leads(&self, one: Index, other: Index) -> bool {
        self.up.contains(other.at()) && self.notes[other.at()].predecessor == one.0
    }

    /// Derives who is up from this node's own live links. Returns the nodes that changed, in the order of their places.
    pub(crate) fn derive_up(&mut self, now: Time, live: &[Index]) -> Vec<Flip> {
        let ids = std::sync::Arc::clone(&self.ids);
        let ids = ids.read();
        let before = self.up.clone();
        let mut gained = std::mem::take(&mut self.pending.gained);
        let mut taken_down = self.cut_off(&ids, live);
        let judges = self.begin_claims(now, live);
        if judges {
            self.take_all_down(&mut taken_down);
        }
        let mut found = Vec::new();
        for &index in live {
            if !self.up.contains(index.at()) && !self.is_leaving(index) {
                self.take_predecessor(index, self.me);
                found.push(index);
            }
        }
        gained.sort_unstable();
        gained.dedup();
        for &index in taken_down.iter().chain(&gained) {
            if self.up.contains(index.at()) {
                self.look_at_claim(&ids, index);
                found.push(index);
            } else if self.comes_up(&ids, index) {
                found.push(index);
            }
        }
        self.walk(&ids, found);
        self.retry_refused(&ids);
        if judges {
            self.look_at_all_claims(&ids);
        }
        self.pending.live.clear();
        self.pending.live.extend_from_slice(live);
        let mut changed = before;
        changed.symmetric_difference_with(&self.up);
        let flips: Vec<Flip> = changed
            .ones()
            .map(|place| Flip {
                index: Index::from_place(place),
                up: self.up.contains(place),
            })
            .collect();
        for flip in &flips {
            self.note_flip(now, flip.index);
        }
        self.end_claims(flips.iter().any(|flip| flip.up));
        flips
    }

    /// Takes down all nodes whose predecessor is gone, with their subtrees. Returns them, as they may yet find another one.
    fn cut_off(&mut self, ids: &Places<'_>, live: &[Index]) -> Vec<Index> {
        let mut strained = std::mem::take(&mut self.pending.strained);
        let was_live = self.pending.live.iter();
        strained.extend(was_live.filter(|&&index| self.leads(self.me, index)));
        let mut taken_down = Vec::new();
        let mut steps_left = self.tuning.view.steps_per_node * self.notes.len();
        for index in strained {
            let falls = self.up.contains(index.at())
                && index != self.me
                && !self.holds(index, live)
                && !self.turns(ids, index, &mut steps_left);
            if falls {
                self.fell(ids, index, &mut taken_down);
            }
        }
        taken_down
    }

    /// Whether the link from a node's predecessor to it still exists.
    fn holds(&self, index: Index, live: &[Index]) -> bool {
        let predecessor = Index(self.notes[index.at()].predecessor);
        if predecessor == self.me {
            !self.is_leaving(index) && live.contains(&index)
        } else {
            self.up.contains(predecessor.at()) && self.are_linked(predecessor, index)
        }
    }

    /// Gives a node another neighbour, outside its own subtree, as its predecessor. Returns whether there is one. If that
    /// neighbour is taken down later, the node is too.
    fn turns(&mut self, ids: &Places<'_>, index: Index, steps_left: &mut usize) -> bool {
        let mut others = self.neighbors_up(ids, index);
        let predecessor = others
            .find(|&peer| self.are_linked(peer, index) && self.leads_past(index, peer, steps_left));
        drop(others);
        if let Some(predecessor) = predecessor {
            self.notes[index.at()].predecessor = predecessor.0;
        }
        predecessor.is_some()
    }

    /// Whether the path to the second node avoids the first one, as far as the remaining steps can show.
    fn leads_past(&self, one: Index, mut other: Index, steps_left: &mut usize) -> bool {
        while other != self.me {
            if other == one || !self.up.contains(other.at()) || *steps_left == 0 {
                return false;
            }
            *steps_left -= 1;
            other = Index(self.notes[other.at()].predecessor);
        }
        true
    }

    /// Takes down a node and its subtree.
    fn fell(&mut self, ids: &Places<'_>, index: Index, taken_down: &mut Vec<Index>) {
        let first = taken_down.len();
        taken_down.push(index);
        let mut next = first;
        while let Some(&index) = taken_down.get(next) {
            next += 1;
            self.take_down(index);
            let record = self.record_at(index);
            for (link, remembered) in record.standing_links() {
                if let Some(peer) = ids.find(&link.peer, remembered)
                    && self.leads(index, peer)
                {
                    taken_down.push(peer);
                }
            }
        }
    }

    /// Takes down all nodes but this one: each has to be found anew.
    fn take_all_down(&mut self, taken_down: &mut Vec<Index>) {
        let all: Vec<Index> = self.up.ones().map(Index::from_place).collect();
        for index in all {
            if index != self.me {
                self.take_down(index);
                taken_down.push(index);
            }
        }
    }

    fn take_down(&mut self, index: Index) {
        self.up.remove(index.at());
        self.notes[index.at()].predecessor = NOBODY;
        self.unreachable_count += 1;
        self.claim_falls(index);
    }

    /// Looks for a predecessor of a node that is not up, and takes it up if there is one and the node may come up.
    fn comes_up(&mut self, ids: &Places<'_>, index: Index) -> bool {
        let Some(predecessor) = self.look_for_predecessor(ids, index) else {
            return false;
        };
        let may = self.may_come_up(ids, index);
        if may {
            self.take_predecessor(index, predecessor);
        }
        may
    }

    /// Looks at nodes that were refused, as long as what has changed since then may let one of them up.
    fn retry_refused(&mut self, ids: &Places<'_>) {
        for pass in 0.. {
            let retries = self.take_retries(pass);
            if retries.is_empty() {
                return;
            }
            let mut found = Vec::new();
            for index in retries {
                if !self.up.contains(index.at()) && self.comes_up(ids, index) {
                    found.push(index);
                }
            }
            self.walk(ids, found);
        }
    }

    /// Finds a neighbour that is up and has a link with the node that both list.
    fn look_for_predecessor(&self, ids: &Places<'_>, index: Index) -> Option<Index> {
        self.neighbors_up(ids, index)
            .find(|&peer| self.are_linked(peer, index))
    }

    /// The other nodes that are up to which the node lists links.
    pub(super) fn neighbors_up<'a>(
        &'a self,
        ids: &'a Places<'_>,
        index: Index,
    ) -> impl Iterator<Item = Index> + 'a {
        let record = self.records.get(index.at()).and_then(Option::as_ref);
        let links = record
            .into_iter()
            .flat_map(|record| record.standing_links());
        let peers = links.filter_map(|(link, remembered)| ids.find(&link.peer, remembered));
        peers.filter(|&peer| peer != self.me && self.up.contains(peer.at()))
    }

    /// Continues from the nodes found so far to all that are not up yet.
    fn walk(&mut self, ids: &Places<'_>, mut found: Vec<Index>) {
        let mut next = 0;
        while let Some(&index) = found.get(next) {
            next += 1;
            if index == self.me {
                continue;
            }
            let links = self.record_at(index).standing_links();
            let peers = links.filter_map(|(link, remembered)| ids.find(&link.peer, remembered));
            let is_new =
                |peer: &Index| !self.up.contains(peer.at()) && self.are_linked(*peer, index);
            let first = found.len();
            found.extend(peers.filter(is_new));
            let mut taken = first;
            for at in first..found.len() {
                let peer = found[at];
                if self.may_come_up(ids, peer) {
                    self.take_predecessor(peer, index);
                    found[taken] = peer;
                    taken += 1;
                }
            }
            found.truncate(taken);
        }
    }

    fn take_predecessor(&mut self, index: Index, predecessor: Index) {
        self.unreachable_count -= usize::from(self.notes[index.at()].predecessor == NOBODY);
        self.take_bringer(index, self.record_at(index).encoded_len());
        self.notes[index.at()].predecessor = predecessor.0;
        self.up.insert(index.at());
    }

    fn is_leaving(&self, index: Index) -> bool {
        self.has_left(index)
    }

    /// Whether two nodes are known and list a link with each other that counts.
    pub(super) fn are_linked(&self, one: Index, other: Index) -> bool {
        let record = |index: Index| self.records.get(index.at()).and_then(Option::as_ref);
        let both = record(one).zip(record(other));
        let is_out = |index| self.is_barred(index) || self.ghosts.holds(index);
        let both = both.filter(|_| !is_out(one) && !is_out(other));
        both.is_some_and(|(first, second)| {
            first.lists_at(second, other.0) && second.lists_at(first, one.0)
        })
    }

    /// Whether a node reaches one of these others by a path that does not lead over this node, nor over one with more than `most`
    /// links.
    pub(crate) fn is_joined(
        &self,
        id: &NodeId,
        most: usize,
        others: impl Iterator<Item = NodeId>,
    ) -> bool {
        let mut wanted = FixedBitSet::with_capacity(self.records.len());
        wanted.extend(others.filter_map(|id| Some(self.index(&id.abbreviated())?.at())));
        let Some(start) = self.index(&id.abbreviated()) else {
            return false;
        };
        let mut seen = FixedBitSet::with_capacity(self.records.len());
        seen.insert(self.me.at());
        seen.insert(start.at());
        let (mut found, mut next) = (vec![start], 0);
        while let Some(&index) = found.get(next) {
            next += 1;
            for peer in self.mutual_links(index) {
                let is_passable = self.record_at(peer).body().links.len() <= most;
                if seen.put(peer.at()) || !is_passable {
                    continue;
                }
                if wanted.contains(peer.at()) {
                    return true;
                }
                found.push(peer);
            }
        }
        false
    }

    /// The nodes to which a link is listed by both ends, none of them leaving.
    pub(crate) fn mutual_links(&self, index: Index) -> impl Iterator<Item = Index> + '_ {
        let ids = self.ids.read();
        let links = self.record_at(index).standing_links();
        let peers = links.filter_map(move |(link, remembered)| ids.find(&link.peer, remembered));
        peers.filter(move |&peer| self.are_linked(peer, index))
    }
}

#[cfg(test)]
mod tests;
