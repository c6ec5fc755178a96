//! Nodes that only a lie keeps up.
//!
//! A link counts while both ends list it. A node that died goes on listing its links, so a neighbour that goes on listing its own keeps
//! it up for all, for as long as it likes. But a live node that loses links soon says so: an end that withdraws a link no longer answers
//! over it. So a node is a *ghost* if most of its neighbours withdrew their links with it, and it has signed nothing newer for a while
//! (`view.ghost_after`): it counts for nothing until it signs its next record. A node with which this node has a link itself is none.
//!
//! Whoever learns of a ghost after the others withdrew their links saw none of that. So a node of which most neighbours list no link when it
//! comes into view is a suspect, too. A node that fills its view looks at all others once more when it judges.
//!
//! One neighbour that withdraws a link which it still holds makes no ghost: more neighbours must withdraw than still list the node.

use std::collections::{BTreeMap, BTreeSet};

use super::View;
use super::ids::Index;
use crate::membership::Time;
use crate::record::Record;

/// The fewest neighbours that must have withdrawn their links: one alone may have lost its own.
const LEAST: usize = 2;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    /// Suspects: nodes with which a neighbour withdrew a link since their last record, and when each is looked at.
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
        for peer in peers {
            let at = now + self.tuning.view.ghost_after;
            self.ghosts.suspects.entry(peer).or_insert(at);
        }
    }

    /// When the next suspect is to be looked at.
    pub(super) fn ghosts_due(&self) -> Option<Time> {
        self.ghosts.suspects.values().min().copied()
    }

    /// These nodes came into view. Those of which most neighbours list no link are suspects. Their links were withdrawn before, at a time that
    /// nobody tells, so they have half the time.
    pub(super) fn suspect_arrivals(&mut self, now: Time, arrived: impl Iterator<Item = Index>) {
        let at = now + self.tuning.view.ghost_after / 2;
        for index in arrived {
            if index != self.me && self.is_given_up(index) {
                self.ghosts.suspects.entry(index).or_insert(at);
            }
        }
    }

    /// Looks at the suspects that have signed nothing newer for long enough.
    pub(super) fn look_for_ghosts(&mut self, now: Time, live: &[Index]) {
        let suspects = self.ghosts.suspects.iter();
        let due: Vec<Index> = suspects
            .filter(|(_, at)| **at <= now)
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

    /// Whether more neighbours of a node have withdrawn their links with it than still list them.
    fn is_given_up(&self, index: Index) -> bool {
        let ids = self.ids.read();
        let record = self.record_at(index);
        let (mut withdrawn, mut listed) = (0, 0);
        for (link, remembered) in record.standing_links() {
            let peer = ids.find(&link.peer, remembered);
            let Some(peer) = peer.filter(|&peer| self.has(peer) && self.is_up_at(peer)) else {
                continue;
            };
            if !record.lists_at(self.record_at(peer), peer.0) {
                continue;
            }
            if self.record_at(peer).lists_at(record, index.0) {
                listed += 1;
            } else if self.counts_by_itself(peer) {
                withdrawn += 1;
            }
        }
        withdrawn >= LEAST && withdrawn > listed
    }
}
