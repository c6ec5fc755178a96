//! Where nodes can be dialed: what their records say, and what the pool remembers beside that.
//!
//! Of a node that is up the record is at hand, so the pool remembers it only where it knows more: an address that worked and is not the
//! first one published, one that failed, one that was published before. What it would remember of the others is made from the record
//! when it is wanted: when the node goes down, and when memory is written.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::database::{Before, Entry, Index};
use super::pool::{MAX_ADDRS_REMEMBERED, MAX_REMEMBERED, Pool, Remembered};
use super::{Core, Time};
use crate::record::Record;
use crate::wire::{NodeId, dialable};

/// The addresses in a record that may be dialed from here, as the pool would keep them.
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

impl Core {
    /// What is remembered of nodes, to be kept on disk; of too many, those seen last.
    #[must_use]
    pub fn remembered(&self) -> BTreeMap<NodeId, Remembered> {
        let mut all = self.pool.nodes().clone();
        for (index, entry) in self.database.nodes_up() {
            if index != self.database.me() {
                all.entry(entry.record.id()).or_insert_with(|| {
                    Pool::remember(published_in(entry), self.unix_ms(entry.received), false)
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

    /// Where to dial a node that is up, or is remembered.
    pub(super) fn address(&self, id: &NodeId) -> Option<SocketAddr> {
        if let Some(node) = self.pool.nodes().get(id) {
            return node.addrs.first().copied();
        }
        let entry = self.up_entry(id)?;
        published_in(entry).first().copied()
    }

    pub(super) fn up_entry(&self, id: &NodeId) -> Option<Entry<'_>> {
        let index = self.database.index(&id.abbreviated())?;
        self.database
            .is_up_at(index)
            .then(|| self.database.entry(index))
    }

    /// Makes the pool remember a node that is up: something is about to be noted that its record does not say.
    pub(super) fn keep(&mut self, id: NodeId) {
        if self.pool.nodes().contains_key(&id) || id == self.me {
            return;
        }
        if let Some(entry) = self.up_entry(&id) {
            let (addrs, at) = (published_in(entry), self.unix_ms(entry.received));
            self.pool.learn(id, &addrs, at, false);
        }
    }

    /// Lets the pool forget a node that is up, where it knows no more than the record says.
    pub(super) fn let_go(&mut self, id: NodeId) {
        if let Some(entry) = self.up_entry(&id) {
            let addrs = published_in(entry);
            self.pool.let_go(&id, &addrs);
        }
    }

    /// A node has a new record, in the place of the one before.
    pub(super) fn remember(&mut self, now: Time, index: Index, before: Option<Before>) {
        let entry = self.database.entry(index);
        let body = entry.record.body();
        let id = body.id;
        if body.leaving {
            self.keep(id);
            self.pool.left(&id);
        } else if entry.up {
            let known = self.pool.nodes().contains_key(&id);
            let moved = before.filter(|before| {
                let addrs = &before.record.body().addrs;
                *addrs != body.addrs || before.over_loopback != entry.over_loopback
            });
            if !known && moved.is_none() {
                return;
            }
            let (addrs, at) = (published_in(entry), self.unix_ms(now));
            if let Some(before) = moved.filter(|_| !known) {
                let old = published(&before.record, before.over_loopback);
                self.pool.learn(id, &old, at, false);
            }
            self.pool.learn(id, &addrs, at, false);
            self.pool.let_go(&id, &addrs);
        }
    }

    /// A node came up, or went down: from then on the pool has to know where it was.
    pub(super) fn remember_flip(&mut self, now: Time, index: Index) {
        let entry = self.database.entry(index);
        let id = entry.record.id();
        let known = self.pool.nodes().contains_key(&id);
        if entry.up && known {
            let (addrs, at) = (published_in(entry), self.unix_ms(now));
            self.pool.learn(id, &addrs, at, false);
            self.pool.let_go(&id, &addrs);
        } else if !entry.up && !known && !entry.record.body().leaving {
            let (addrs, at) = (published_in(entry), self.unix_ms(entry.received));
            self.pool.learn(id, &addrs, at, false);
        }
    }

    /// An address turned out to be our own: it is nobody else's. Returns whether it was a target.
    pub(super) fn unlearn_own(&mut self, addr: SocketAddr) -> bool {
        let claimed: Vec<NodeId> = self
            .database
            .records_up()
            .filter(|record| record.body().addrs.contains(&addr))
            .map(|record| record.id())
            .collect();
        for id in claimed {
            self.keep(id);
        }
        self.pool.is_own(addr)
    }
}
