//! Nodes that only a lie keeps up.
//!
//! A link counts while both ends list it. A node that died goes on listing its links, so a neighbour that goes on listing its own keeps
//! it up for all, for as long as it likes. But a live node that loses links soon says so: an end that withdraws a link no longer answers
//! over it. So a node is a *ghost* if most of its neighbours withdrew their links with it, and it has signed nothing newer for a while
//! (`view.ghost_after`): it counts for nothing until it signs its next record. A node with which this node has a link itself is none.
//!
//! This node may have heard of a death too late to see anybody withdraw: it started after it, or the liar lists the link again later. So a
//! node that comes into view is looked at too, and so are all nodes once this node judges what it was told at its start.
//!
//! One neighbour that withdraws a link which it still holds makes no ghost: more neighbours must withdraw than still list the node.

use std::collections::{BTreeMap, BTreeSet};

use super::ids::Index;
use super::{Flip, View};
use crate::membership::Time;
use crate::record::Record;

/// The fewest neighbours that must have withdrawn their links: one alone may have lost its own.
const LEAST: usize = 2;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    /// Suspects, with the time at which each is looked at: nodes with which a neighbour withdrew a link since their last record, and nodes
    /// that came into view given up by most of their neighbours.
    suspects: BTreeMap<Index, Time>,
    /// Those that count for nothing.
    ghosts: BTreeSet<Index>,
}

impl Ghosts {
    pub(super) fn holds(&self, index: Index) -> bool {
        self.ghosts.contains(&index)
    }

    /// A newer record of a node came. Returns whether it counts again.
    pub(super) fn signs(&mut self, index: Index) -> bool {
        self.suspects.remove(&index);
        self.ghosts.remove(&index)
    }

    pub(super) fn forget(&mut self, index: Index) {
        self.signs(index);
    }
}

impl View {
    /// A node's next record withdraws links: those at the other end may be ghosts.
    pub(super) fn note_withdrawn(&mut self, now: Time, index: Index, next: &Record) {
        let ids = std::sync::Arc::clone(&self.ids);
        let ids = ids.read();
        let before = self.record_at(index);
        let gone = before
            .standing_links()
            .filter(|(link, _)| next.link_to(&link.peer).is_none());
        let short = before.id().abbreviated();
        let peers: Vec<Index> = gone
            .filter_map(|(link, remembered)| ids.find(&link.peer, remembered))
            .filter(|&peer| self.has(peer) && self.up.contains(peer.at()))
            .filter(|&peer| self.record_at(peer).link_to(&short).is_some())
            .collect();
        let due = now + self.tuning.view.ghost_after;
        for peer in peers {
            self.ghosts.suspects.entry(peer).or_insert(due);
        }
    }

    /// Reachability was derived. Suspects the nodes that came up, or all nodes if this node judges from now on: those that most of their
    /// neighbours have given up may have died before. A node that has just started is listed by its first neighbour before the others,
    /// which may hold the link for as long as flap damping wants, so it has twice the usual time; what a newcomer is shown is older.
    pub(super) fn suspect_given_up(&mut self, now: Time, flips: &[Flip], begins_to_judge: bool) {
        let after = self.tuning.view.ghost_after;
        let seen: Vec<Index> = if begins_to_judge {
            self.up.ones().map(Index::from_place).collect()
        } else {
            let came_up = flips.iter().filter(|flip| flip.up);
            came_up.map(|flip| flip.index).collect()
        };
        let times = if begins_to_judge || self.is_filling() {
            1
        } else {
            2
        };
        let due = now + times * after;
        for index in seen {
            if index != self.me && self.is_given_up(index) {
                self.ghosts.suspects.entry(index).or_insert(due);
            }
        }
    }

    /// When the next suspect is to be looked at.
    pub(super) fn ghosts_due(&self) -> Option<Time> {
        self.ghosts.suspects.values().min().copied()
    }

    /// Looks at the suspects that have signed nothing newer for long enough.
    pub(super) fn look_for_ghosts(&mut self, now: Time, live: &[Index]) {
        let suspects = self.ghosts.suspects.iter();
        let due: Vec<Index> = suspects
            .filter(|(_, due)| **due <= now)
            .map(|(index, _)| *index)
            .collect();
        for index in due {
            self.ghosts.suspects.remove(&index);
            let may_be = index != self.me && self.is_up_at(index) && !live.contains(&index);
            if may_be && self.is_given_up(index) {
                self.ghosts.ghosts.insert(index);
                self.take_out(index);
            }
        }
    }

    /// Whether more neighbours of a node have withdrawn their links with it than still list them. One that has restarted since, and has
    /// no link with it, has given it up as well: a live node would have signed that its link with the earlier run is gone.
    fn is_given_up(&self, index: Index) -> bool {
        let ids = self.ids.read();
        let record = self.record_at(index);
        let (mut withdrawn, mut listed) = (0, 0);
        for (link, remembered) in record.standing_links() {
            let peer = ids.find(&link.peer, remembered);
            let Some(peer) = peer.filter(|&peer| self.has(peer) && self.is_up_at(peer)) else {
                continue;
            };
            if self.record_at(peer).lists_at(record, index.0) {
                listed += usize::from(record.lists_at(self.record_at(peer), peer.0));
            } else if self.counts_by_itself(peer) {
                withdrawn += 1;
            }
        }
        withdrawn >= LEAST && withdrawn > listed
    }
}
