//! Nodes that only a lie keeps up.
//!
//! A link counts while both ends list it. A node that died goes on listing its links, so a neighbour that goes on listing its own keeps
//! it up for all, for as long as it likes. But a live node that loses links soon says so: an end that withdraws a link no longer answers
//! over it. So a node is a *ghost* if most of its neighbours withdrew their links with it, and it has signed nothing newer for a while
//! (`view.ghost_after`): it counts for nothing until it signs its next record. A node with which this node has a link itself is none.
//!
//! A node that loses nearly all of its links at once, and lives, hears nothing from any of the other ends, so one of its own detectors
//! notices soon. So in a small network, once nearly all neighbours have withdrawn their links, a shorter while is enough
//! (`view.ghost_sudden`, and longer where its lines are slow), with this node's own verdict. After a long while ([`AT_LAST`]) that verdict
//! counts in any network: a liar among the three neighbours of a dead node must not keep it up for ever.
//!
//! This node may have heard of a death too late to see anybody withdraw: it started after it, or the liar lists the link again later. So a
//! node that comes into view is looked at too, and so are all nodes once this node judges what it was told at its start.
//!
//! One neighbour that withdraws a link which it still holds makes no ghost: more neighbours must withdraw than still list the node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::ids::Index;
use super::{Flip, View};
use crate::membership::Time;
use crate::record::Record;

/// The fewest neighbours that must have withdrawn their links: one alone may have lost its own.
const LEAST: usize = 2;
/// The fewest of a sudden loss, and how many times as many as those that still list the node. Of four neighbours, one may lie.
const LEAST_SUDDEN: usize = 3;
const TIMES_SUDDEN: usize = 3;
/// So many of its longest round trips but one a node needs to notice a loss, and to tell others through those that are left. Without
/// them, on lines of 16 kbit/s, where a message takes half a second, live nodes went out of view up to five times in a run, in place of three at most.
/// Doubled: a lie about a node with round trips of 175 ms lasts five seconds.
const ROUND_TRIPS: u32 = 10;
/// After so many times `view.ghost_after`, this node's own verdict counts like that of others. Until then it may be early: on lines of 16
/// kbit/s, with one time, live nodes went out of view 21 times in 16 runs, in place of 16. Doubled: a liar among three neighbours has half
/// a minute.
const AT_LAST: u32 = 3;

/// A node that may be a ghost.
#[derive(Debug, Clone, Copy)]
struct Suspect {
    since: Time,
    /// When it is looked at.
    due: Time,
}

/// The neighbours of a node that are up.
#[derive(Debug, Clone, Copy, Default)]
struct Neighbours {
    /// They have withdrawn their links with it.
    withdrawn: usize,
    /// So has this node.
    me: bool,
    /// They still list them.
    listed: usize,
}

impl Neighbours {
    fn with_me(self) -> Self {
        Self {
            withdrawn: self.withdrawn + usize::from(self.me),
            ..self
        }
    }

    fn most_withdrew(self) -> bool {
        self.withdrawn >= LEAST && self.withdrawn > self.listed
    }

    fn nearly_all_withdrew(self) -> bool {
        self.withdrawn >= LEAST_SUDDEN && self.withdrawn >= TIMES_SUDDEN * self.listed
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    /// Suspects, with the time at which each is looked at: nodes with which a neighbour withdrew a link since their last record, and nodes
    /// that came into view given up by most of their neighbours.
    suspects: BTreeMap<Index, Suspect>,
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
        let after = self.tuning.view.ghost_after;
        for peer in peers {
            let sudden = now + self.sudden(peer);
            let fresh = Suspect {
                since: now,
                due: now + after,
            };
            let suspect = self.ghosts.suspects.entry(peer).or_insert(fresh);
            // One more has given it up: it may be nearly all of them now.
            suspect.due = suspect.due.min(sudden);
        }
    }

    /// How long a node has to sign anything newer if it lost nearly all links at once. In a large network, news takes seconds while many
    /// nodes start. One neighbour, which may be the liar, can make its own link look slow, so the longest round trip says nothing.
    fn sudden(&self, index: Index) -> Duration {
        if !self.tuning.pace.is_small(self.size().known) {
            return self.tuning.view.ghost_after;
        }
        let (mut longest, mut next) = (0, 0);
        for link in &self.record_at(index).body().links {
            (longest, next) = (longest.max(link.rtt_us), next.max(longest.min(link.rtt_us)));
        }
        let tuning = &self.tuning.view;
        let round_trips = ROUND_TRIPS * Duration::from_micros(next.into());
        (tuning.ghost_sudden + round_trips).min(tuning.ghost_after)
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
        let suspect = Suspect {
            since: now + (times - 1) * after,
            due: now + times * after,
        };
        for index in seen {
            if index != self.me && self.neighbours(index).most_withdrew() {
                self.ghosts.suspects.entry(index).or_insert(suspect);
            }
        }
    }

    /// When the next suspect is to be looked at.
    pub(super) fn ghosts_due(&self) -> Option<Time> {
        let suspects = self.ghosts.suspects.values();
        suspects.map(|suspect| suspect.due).min()
    }

    /// Looks at the suspects that have signed nothing newer for long enough.
    pub(super) fn look_for_ghosts(&mut self, now: Time, live: &[Index]) {
        let after = self.tuning.view.ghost_after;
        let suspects = self.ghosts.suspects.iter();
        let due: Vec<(Index, Time)> = suspects
            .filter(|(_, suspect)| suspect.due <= now)
            .map(|(index, suspect)| (*index, suspect.since))
            .collect();
        for (index, since) in due {
            let may_be = index != self.me && self.is_up_at(index) && !live.contains(&index);
            let neighbours = self.neighbours(index);
            let (is_given_up, next) = if now < since + after {
                let nearly_all = neighbours.with_me().nearly_all_withdrew();
                (nearly_all, Some(since + after))
            } else if now < since + AT_LAST * after {
                let may_turn = neighbours.with_me().most_withdrew();
                let at_last = may_turn.then_some(since + AT_LAST * after);
                (neighbours.most_withdrew(), at_last)
            } else {
                (neighbours.with_me().most_withdrew(), None)
            };
            if may_be && is_given_up {
                self.ghosts.ghosts.insert(index);
                self.take_out(index);
                self.ghosts.suspects.remove(&index);
            } else if let Some(due) = next {
                self.ghosts.suspects.insert(index, Suspect { since, due });
            } else {
                self.ghosts.suspects.remove(&index);
            }
        }
    }

    /// How many neighbours of a node that are up have withdrawn their links with it, and how many still list them. One that has restarted
    /// since, and has no link with it, has given it up as well: a live node would have signed that its link with the earlier run is gone.
    fn neighbours(&self, index: Index) -> Neighbours {
        let ids = self.ids.read();
        let record = self.record_at(index);
        let mut neighbours = Neighbours::default();
        for (link, remembered) in record.standing_links() {
            let peer = ids.find(&link.peer, remembered);
            let Some(peer) = peer.filter(|&peer| self.has(peer) && self.is_up_at(peer)) else {
                continue;
            };
            if self.record_at(peer).lists_at(record, index.0) {
                neighbours.listed += usize::from(record.lists_at(self.record_at(peer), peer.0));
            } else if peer == self.me {
                neighbours.me = true;
            } else if self.counts_by_itself(peer) {
                neighbours.withdrawn += 1;
            }
        }
        neighbours
    }
}
