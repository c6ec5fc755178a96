//! The addresses at which nodes can be dialed: those in their records, and those that only the candidates remember.
//!
//! The record of a node that is up is at hand. The candidates remember such a node only if they know more: an address that worked
//! and is not the first one published, one that failed, or one that was published before. For the other nodes that are up, the
//! entry is made from the record when it is needed: when the node goes down, and when memory is written.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Overlay;
use super::candidates::{MAX_ADDRS_REMEMBERED, MAX_REMEMBERED};
use crate::membership::Time;
use crate::membership::interface::Remembered;
use crate::membership::view::{Before, Entry, Index, View};
use crate::record::Record;
use crate::wire::{NodeId, dialable};

/// The addresses in a record that may be dialed from here, as the candidates would keep them.
fn published(record: &Record, over_loopback: bool) -> Vec<SocketAddr> {
    let mut addrs: Vec<SocketAddr> = Vec::new();
    for addr in &record.body().addrs {
        if dialable(addr, over_loopback) && !addrs.contains(addr) {
            addrs.push(*addr);
        }
    }
    addrs.truncate(MAX_ADDRS_REMEMBERED);
    addrs
}

fn published_in(entry: Entry<'_>) -> Vec<SocketAddr> {
    published(entry.record, entry.over_loopback)
}

impl Overlay {
    /// The remembered nodes, to be kept on disk. If there are too many, those seen last.
    pub(in crate::membership) fn remembered(&self, view: &View) -> BTreeMap<NodeId, Remembered> {
        let mut all = self.candidates.nodes().clone();
        for (index, entry) in view.nodes_up() {
            if index != view.me() {
                all.entry(entry.record.id()).or_insert_with(|| {
                    Remembered::new(
                        published_in(entry),
                        self.config.unix_ms(entry.received),
                        false,
                    )
                });
            }
        }
        if all.len() > MAX_REMEMBERED {
            let mut seen: Vec<(u64, NodeId)> = all
                .iter()
                .map(|(id, node)| (node.last_seen_ms, *id))
                .collect();
            seen.sort_unstable();
            for (_, id) in &seen[..all.len() - MAX_REMEMBERED] {
                all.remove(id);
            }
        }
        all
    }

    /// The address at which to dial a node that is up or remembered.
    pub(in crate::membership) fn address(&self, id: &NodeId, view: &View) -> Option<SocketAddr> {
        if let Some(node) = self.candidates.nodes().get(id) {
            return node.addrs.first().copied();
        }
        let entry = view.up_entry(id)?;
        published_in(entry).first().copied()
    }

    /// The addresses at which a node that is up or remembered may be dialed, the best one first.
    pub(in crate::membership) fn addresses(&self, id: &NodeId, view: &View) -> Vec<SocketAddr> {
        if let Some(node) = self.candidates.nodes().get(id) {
            return node.addrs.clone();
        }
        view.up_entry(id).map(published_in).unwrap_or_default()
    }

    /// Makes the candidates remember a node that is up, before something is noted that its record does not contain.
    pub(in crate::membership) fn keep(&mut self, id: NodeId, view: &View) {
        if self.candidates.nodes().contains_key(&id) || id == self.me {
            return;
        }
        if let Some(entry) = view.up_entry(&id) {
            let (addrs, at) = (published_in(entry), self.config.unix_ms(entry.received));
            self.candidates.learn(id, &addrs, at, false);
        }
    }

    /// Lets the candidates forget a node that is up, if they know no more than its record.
    pub(in crate::membership) fn let_go(&mut self, id: NodeId, view: &View) {
        if let Some(entry) = view.up_entry(&id) {
            let addrs = published_in(entry);
            self.candidates.let_go(&id, &addrs);
        }
    }

    /// Handles a node's new record, which replaced an earlier one.
    pub(in crate::membership) fn remember(
        &mut self,
        now: Time,
        index: Index,
        before: Option<Before>,
        view: &View,
    ) {
        let entry = view.entry(index);
        let body = entry.record.body();
        let id = body.id;
        if body.leaving {
            self.keep(id, view);
            self.candidates.left(&id);
        } else if entry.up {
            let known = self.candidates.nodes().contains_key(&id);
            let moved = before.filter(|before| {
                let addrs = &before.record.body().addrs;
                *addrs != body.addrs || before.over_loopback != entry.over_loopback
            });
            if !known && moved.is_none() {
                return;
            }
            let (addrs, at) = (published_in(entry), self.config.unix_ms(now));
            if let Some(before) = moved.filter(|_| !known) {
                let old = published(&before.record, before.over_loopback);
                self.candidates.learn(id, &old, at, false);
            }
            self.candidates.learn(id, &addrs, at, false);
            self.candidates.let_go(&id, &addrs);
        }
    }

    /// A node came up, or went down: then the candidates must know its last addresses.
    pub(in crate::membership) fn remember_flip(&mut self, now: Time, index: Index, view: &View) {
        let entry = view.entry(index);
        let id = entry.record.id();
        let known = self.candidates.nodes().contains_key(&id);
        if entry.up && known {
            let (addrs, at) = (published_in(entry), self.config.unix_ms(now));
            self.candidates.learn(id, &addrs, at, false);
            self.candidates.let_go(&id, &addrs);
        } else if !entry.up && !known && !entry.record.body().leaving {
            let (addrs, at) = (published_in(entry), self.config.unix_ms(entry.received));
            self.candidates.learn(id, &addrs, at, false);
        }
    }

    /// An address turned out to be our own, so no other node has it. Returns whether it was a target.
    pub(in crate::membership) fn unlearn_own(&mut self, addr: SocketAddr, view: &View) -> bool {
        let claimed: Vec<NodeId> = view
            .records_up()
            .filter(|record| record.body().addrs.contains(&addr))
            .map(|record| record.id())
            .collect();
        for id in claimed {
            self.keep(id, view);
        }
        self.candidates.is_own(addr)
    }

    /// A dial to this address reached that node: it comes first from now on.
    pub(in crate::membership) fn worked(
        &mut self,
        now: Time,
        id: NodeId,
        addr: SocketAddr,
        view: &View,
    ) {
        self.keep(id, view);
        self.candidates.worked(id, addr, self.config.unix_ms(now));
        self.let_go(id, view);
    }

    /// A peer that publishes no address yet dialed us from `remote`. A node dials from the port that it listens on.
    pub(in crate::membership) fn dialed_from(&mut self, now: Time, id: NodeId, remote: SocketAddr) {
        let at = self.config.unix_ms(now);
        self.candidates.learn(id, &[remote], at, false);
    }

    /// The address at which that node was last reached.
    pub(in crate::membership) fn best_address(&self, id: &NodeId) -> Option<SocketAddr> {
        self.candidates.nodes().get(id)?.addrs.first().copied()
    }
}
