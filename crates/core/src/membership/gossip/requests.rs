//! Requests: records that neighbours named, that are not here, and that were asked for.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Gossip;
use crate::membership::Time;
use crate::membership::interface::ConnId;
use crate::membership::links::Links;
use crate::membership::pace::end_of_batch;
use crate::membership::tuning::gossip::Tuning;
use crate::membership::view::View;
use crate::record::Version;
use crate::wire::{MAX_SYNC_ENTRIES, Message, NodeId, ShortId};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The records, and when to look at them.
    open: BTreeMap<ShortId, Request>,
    due: Option<Time>,
    /// One of them did not come, and was given up, then: the views are compared with the next that differs.
    in_vain: Option<Time>,
}

impl Requests {
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }

    /// Whether a request was given up lately, and no anti-entropy round has begun since.
    pub(super) fn were_in_vain(&self, now: Time, tuning: &Tuning) -> bool {
        let lately = |at| now.saturating_sub(at) < tuning.in_vain_lasts;
        self.in_vain.is_some_and(lately)
    }

    /// An anti-entropy round begins: it will find what did not come.
    pub(super) fn round_begins(&mut self) {
        self.in_vain = None;
    }
}

/// A record that neighbours named, and that is not here yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    /// Neighbours that named it, and in which version: the one that was asked first, another one that named the newest version, and the
    /// last other one to name it. One of them may be Byzantine.
    sources: [Option<(Version, ConnId)>; 3],
    /// The neighbour that was asked last, and when the next one is asked.
    of: ConnId,
    again: Time,
    /// How often it was asked for since a version of it came.
    tries: u32,
}

impl Request {
    /// The first neighbour to name it is asked now.
    fn of(version: Version, of: ConnId, again: Time) -> Self {
        Self {
            sources: [Some((version, of)), None, None],
            of,
            again,
            tries: 1,
        }
    }

    /// The neighbours that named a newer version than that, the newest version first.
    fn sources_of(&self, newer_than: Option<Version>) -> Vec<(Version, ConnId)> {
        let sources = self.sources.into_iter().flatten();
        let mut newer: Vec<_> = sources.filter(|(v, _)| newer_than < Some(*v)).collect();
        newer.sort_by_key(|(version, _)| Reverse(*version));
        newer
    }

    /// One more neighbour names it.
    fn hear(&mut self, version: Version, of: ConnId) {
        let mut sources = self.sources.iter_mut().flatten();
        if let Some((told, _)) = sources.find(|(_, by)| *by == of) {
            *told = version.max(*told);
        } else {
            self.sources[2] = Some((version, of));
        }
        let [_, newest, last] = &mut self.sources;
        let told = |source: Option<(Version, ConnId)>| source.map(|(version, _)| version);
        if told(*last) > told(*newest) {
            std::mem::swap(newest, last);
        }
    }

    /// The neighbour to ask next: in turn, of those that have a newer version than we.
    fn next(&self, ours: Option<Version>, is_live: impl Fn(ConnId) -> bool) -> Option<ConnId> {
        let mut have = self.sources_of(ours);
        have.retain(|(_, of)| is_live(*of));
        let asked = have.iter().position(|(_, of)| *of == self.of);
        let turn = asked.map_or(0, |asked| (asked + 1) % have.len());
        have.get(turn).map(|(_, of)| *of)
    }

    /// A version of it came; tells whether it is the newest one that was named.
    fn has_come(&mut self, version: Version) -> bool {
        self.tries = 0;
        self.sources_of(Some(version)).is_empty()
    }
}

impl Gossip {
    /// The neighbour has those records, and those that we lack are requested. If that is most of them, they did not come along the tree: it
    /// is broken, or this is the quicker path.
    pub(in crate::membership) fn handle_have(
        &mut self,
        now: Time,
        peer: &NodeId,
        entries: &[(ShortId, Version)],
        view: &View,
    ) {
        let Some(neighbor) = self.neighbors.get(peer) else {
            return;
        };
        let (of, slot, before) = (neighbor.conn, neighbor.slot, neighbor.push.requested);
        let mut missing = Vec::new();
        let full = view.is_full_of(peer);
        for (short, version) in entries {
            let have = view.index(short);
            let ours = have.map(|index| view.record_at(index).version());
            if ours.is_none_or(|ours| ours < *version) {
                if full && have.is_none() {
                    // It would most likely be turned away.
                } else if let Some(request) = self.requests.open.get_mut(short) {
                    request.hear(*version, of);
                } else if !self.inbox.holds(short, *version) {
                    missing.push((*short, *version));
                }
            } else if let Some(index) = have.filter(|_| ours == Some(*version)) {
                self.backlog.settle(slot, index);
            }
        }
        let lacks_most = missing.len() * 2 >= entries.len();
        let tuning = &self.tuning.gossip;
        let of_it = tuning.most_requested_of_one.saturating_sub(before);
        let of_all = tuning
            .most_requested
            .saturating_sub(self.requests.open.len());
        missing.truncate(of_it.min(of_all));
        if missing.is_empty() {
            return;
        }
        let ids = missing.iter().map(|(short, _)| *short).collect();
        // If there was no room in the outbox, the records are requested when they are due again.
        self.request(peer, ids, lacks_most);
        self.count(peer, |push| push.requested += missing.len());
        let again = now + self.tuning.gossip.request_timeout;
        let request = |(short, version)| (short, Request::of(version, of, again));
        self.requests.open.extend(missing.into_iter().map(request));
        self.requests.due = self.requests.due.or(Some(again));
    }

    /// Requests records of a neighbour, which is grafted to the tree with it or not.
    fn request(&mut self, peer: &NodeId, ids: Vec<ShortId>, graft: bool) {
        if !graft {
            self.post(peer, Message::Request(ids));
        } else if self.post(peer, Message::Graft(ids)) {
            self.set_lazy(peer, false);
        }
    }

    /// Requests again what did not come, if that is due: the link that should have brought it may be gone, or was no longer on the tree.
    pub(in crate::membership) fn request_again(&mut self, now: Time, view: &View, links: &Links) {
        if self.requests.due.is_none_or(|due| due > now) {
            return;
        }
        let live = links.iter().filter(|link| link.is_live());
        let peers: BTreeMap<ConnId, NodeId> = live.map(|link| (link.conn(), link.peer())).collect();
        let again = self
            .requests
            .take_late(now, view, &peers, &self.tuning.gossip);
        for neighbor in self.neighbors.values_mut() {
            neighbor.push.requested = 0;
        }
        for request in self.requests.open.values() {
            let [first, ..] = request.sources;
            let peer = first.and_then(|(_, of)| peers.get(&of));
            if let Some(neighbor) = peer.and_then(|peer| self.neighbors.get_mut(peer)) {
                neighbor.push.requested += 1;
            }
        }
        for ((peer, came_not), ids) in again {
            for ids in ids.chunks(MAX_SYNC_ENTRIES) {
                self.request(&peer, ids.to_vec(), came_not);
            }
        }
    }

    /// A record came over that connection: that version, or an older one, need not be requested any more. Where others named a newer one, and
    /// this is the answer that was waited for, they are asked now.
    pub(super) fn has_come(
        &mut self,
        now: Time,
        short: &ShortId,
        version: Version,
        over: ConnId,
        up: usize,
    ) {
        let Some(request) = self.requests.open.get_mut(short) else {
            return;
        };
        if request.has_come(version) {
            self.requests.open.remove(short);
        } else if request.of == over {
            let together = self.tuning.gossip.requested_together;
            let soon = end_of_batch(now, self.tuning.pace.batch(up).max(together));
            request.again = request.again.min(soon);
            self.requests.due = self.requests.due.map(|due| due.min(soon));
        }
    }
}

/// Records to be requested again of neighbours, and whether nothing at all came since they were requested first.
type Again = BTreeMap<(NodeId, bool), Vec<ShortId>>;

impl Requests {
    /// Takes note of the records that did not come in time, and tells which neighbour behind those connections to ask next.
    fn take_late(
        &mut self,
        now: Time,
        view: &View,
        peers: &BTreeMap<ConnId, NodeId>,
        tuning: &Tuning,
    ) -> Again {
        let mut again = Again::new();
        let ours = |short: &ShortId| Some(view.record_at(view.index(short)?).version());
        let before = self.open.len();
        self.open.retain(|short, request| {
            if request.again > now {
                return true;
            }
            let next = request.next(ours(short), |of| peers.contains_key(&of));
            let Some(of) = next.filter(|_| request.tries < tuning.most_tries) else {
                return false;
            };
            let came_not = request.tries > 0;
            (request.of, request.tries) = (of, request.tries + 1);
            request.again = now + tuning.request_timeout;
            let ids = again.entry((peers[&of], came_not)).or_default();
            ids.push(*short);
            true
        });
        if self.open.len() < before {
            // No neighbour will name it once more.
            self.in_vain = Some(now);
        }
        self.due = self.open.values().map(|request| request.again).min();
        again
    }
}
