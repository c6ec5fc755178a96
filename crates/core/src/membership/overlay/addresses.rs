//! The addresses at which nodes can be dialed: those in their records, and those that only the candidates remember.
//!
//! The record of a node that is up is at hand. The candidates remember such a node only if they know more: an address that worked
//! and is not the first one published, one that failed, or one that was published before. For the other nodes that are up, the
//! entry is made from the record when it is needed: when the node goes down, and when memory is written.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Overlay;
use super::candidates::{MAX_ADDRS_REMEMBERED, MAX_REMEMBERED};
use super::strangers::Strangers;
use super::ways::ways;
use crate::membership::Time;
use crate::membership::interface::{Remembered, running_ms};
use crate::membership::view::{Before, Entry, Index, View};
use crate::record::{PublishedAddr, Record};
use crate::wire::{NodeId, Realm};

impl Overlay {
    /// The remembered nodes, to be kept on disk. If there are too many, those seen last.
    pub(in crate::membership) fn remembered(&self, view: &View) -> BTreeMap<NodeId, Remembered> {
        let mut all = self.candidates.nodes().clone();
        for (index, entry) in view.nodes_up() {
            if index != view.me() {
                let seen_ms = running_ms(entry.received);
                all.entry(entry.record.id())
                    .and_modify(|node| node.seen_ms = node.seen_ms.max(seen_ms))
                    .or_insert_with(|| Remembered::new(self.published_in(entry), seen_ms, false));
            }
        }
        if all.len() > MAX_REMEMBERED {
            let mut seen: Vec<(i64, NodeId)> =
                all.iter().map(|(id, node)| (node.seen_ms, *id)).collect();
            seen.sort_unstable();
            for (_, id) in &seen[..all.len() - MAX_REMEMBERED] {
                all.remove(id);
            }
        }
        all
    }

    /// The addresses in a record that may be dialed from here, as the candidates would keep them.
    fn published(&self, record: &Record, over_loopback: bool) -> Vec<SocketAddr> {
        let reaches = |ip| self.strangers.reaches(ip);
        let mut addrs = ways(
            &record.body().addrs,
            over_loopback,
            &self.own_addrs,
            reaches,
        );
        addrs.truncate(MAX_ADDRS_REMEMBERED);
        addrs
    }

    fn published_in(&self, entry: Entry<'_>) -> Vec<SocketAddr> {
        self.published(entry.record, entry.over_loopback)
    }

    /// This node publishes those addresses of itself. Returns whether that is new.
    pub(in crate::membership) fn hear_own_addrs(&mut self, own: &[PublishedAddr]) -> bool {
        let plain = |one: &PublishedAddr| (one.kind, one.addr);
        let changed = !self.own_addrs.iter().map(plain).eq(own.iter().map(plain));
        if changed {
            self.own_addrs = own.to_vec();
            // Dials that failed from the old addresses say nothing about the new ones.
            self.dials.forgive_all();
            self.luck.turned();
        }
        changed
    }

    /// There is a link with that node, whoever dialed.
    pub(in crate::membership) fn linked(&mut self, id: &NodeId, view: &View) {
        if self.is_unreached(id, view) {
            self.luck.turned();
        }
    }

    /// There is a connection with that address. Returns whether nothing was sent there before.
    pub(in crate::membership) fn meets_stranger(&mut self, now: Time, addr: &SocketAddr) -> bool {
        self.contacts.note(now, addr)
    }

    /// The addresses at which to dial a node that is up or remembered: the one that worked last, then those that it publishes in
    /// their order, then older ones.
    pub(in crate::membership) fn addresses(&self, id: &NodeId, view: &View) -> Vec<SocketAddr> {
        let known = self.candidates.nodes().get(id);
        let known = known.map_or(&[][..], |node| &node.addrs);
        let published = view.up_entry(id).map(|entry| self.published_in(entry));
        let published = published.unwrap_or_default();
        // What worked before and is published no longer is the past: the node moved.
        let (first, rest) = known.split_at(known.len().min(1));
        let is_current = |addr: &&SocketAddr| {
            published.is_empty()
                || published.contains(addr)
                || Realm::of(addr.ip()) == Realm::LinkLocal
        };
        let mut all: Vec<SocketAddr> = first.iter().filter(is_current).copied().collect();
        for addr in published.iter().chain(first).chain(rest) {
            if !all.contains(addr) {
                all.push(*addr);
            }
        }
        all
    }

    /// Where nodes were met.
    pub(in crate::membership) fn strangers(&self) -> &Strangers {
        &self.strangers
    }

    /// The best address at which to dial a node that is up or remembered.
    pub(in crate::membership) fn address(&self, id: &NodeId, view: &View) -> Option<SocketAddr> {
        self.addresses(id, view).first().copied()
    }

    /// Makes the candidates remember a node that is up, before something is noted that its record does not contain.
    pub(in crate::membership) fn keep(&mut self, id: NodeId, view: &View) {
        if self.candidates.nodes().contains_key(&id) || id == self.me {
            return;
        }
        if let Some(entry) = view.up_entry(&id) {
            let (addrs, at) = (self.published_in(entry), running_ms(entry.received));
            self.candidates.learn(id, &addrs, at, false);
        }
    }

    /// Lets the candidates forget a node that is up, if they know no more than its record.
    pub(in crate::membership) fn let_go(&mut self, id: NodeId, view: &View) {
        if let Some(entry) = view.up_entry(&id) {
            let addrs = self.published_in(entry);
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
            let (addrs, at) = (self.published_in(entry), running_ms(now));
            if moved.is_some() {
                self.dials.forgive(&id);
            }
            if let Some(before) = moved.filter(|_| !known) {
                let old = self.published(&before.record, before.over_loopback);
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
            let (addrs, at) = (self.published_in(entry), running_ms(now));
            self.candidates.learn(id, &addrs, at, false);
            self.candidates.let_go(&id, &addrs);
        } else if !entry.up && !known && !entry.record.body().leaving {
            let (addrs, at) = (self.published_in(entry), running_ms(entry.received));
            self.candidates.learn(id, &addrs, at, false);
        }
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
        self.candidates.worked(id, addr, running_ms(now));
        self.let_go(id, view);
    }

    /// A peer's packets come from `remote`. Most nodes dial from the port that they listen on, but one that dialed in vain may
    /// use another, and does not say so. Its record says where it listens, where it can; until it does, `remote` is a guess. A
    /// link-local address is never in a record, and is not dialed from another port.
    pub(in crate::membership) fn saw(
        &mut self,
        now: Time,
        id: NodeId,
        remote: SocketAddr,
        view: &View,
    ) {
        let publishes = view
            .record(&id)
            .is_some_and(|record| !record.body().addrs.is_empty());
        let at = running_ms(now);
        if Realm::of(remote.ip()) == Realm::LinkLocal {
            self.keep(id, view);
            self.candidates.learn(id, &[remote], at, false);
        } else if !publishes {
            self.keep(id, view);
            self.candidates.guess(id, remote, at);
        }
    }

    /// The address at which that node was last reached.
    pub(in crate::membership) fn best_address(&self, id: &NodeId) -> Option<SocketAddr> {
        self.candidates.nodes().get(id)?.addrs.first().copied()
    }
}
