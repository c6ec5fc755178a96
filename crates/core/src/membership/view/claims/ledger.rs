//! The accounts of claims: who counts by itself, who speaks for whom, and what each account carries.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;

use super::filling::{Filling, First};
use crate::bucket::{Bucket, Rate};
use crate::membership::Time;
use crate::membership::view::ids::Index;

/// How many nodes may count on the word of others.
#[derive(Debug, Clone, Copy)]
pub(in crate::membership) struct Bound {
    /// The most nodes that one account carries.
    pub(in crate::membership) most: usize,
    /// A node that has links with nodes of so many accounts counts by itself.
    pub(in crate::membership) vouchers: usize,
    /// How many other nodes one account may come to carry in a second, once it has used up its `most`.
    pub(in crate::membership) fresh_per_s: f64,
}

impl Bound {
    pub(super) fn fresh(self) -> Rate {
        Rate {
            burst: self.most as f64,
            per_s: self.fresh_per_s,
        }
    }
}

/// The most refused nodes that are looked at again in one pass of a derivation. It bounds the cost of a member whose claims come and go:
/// with records of the most links, a pass looks 80,000 ids up. Halved: a region of thousands that is no longer refused comes into
/// view a little later. Doubled: a pass costs twice as much.
pub(super) const RETRIED: usize = 256;

/// The part of an account's places that only nodes with a link with the account itself take: one in so many. Such a link is one that the
/// account holds, while a single guest can name any number of nodes behind it. Halved: where a network joins another by one link, fewer of
/// its nodes are shown at first. Doubled: a hostile guest leaves an eighth of the places to others.
const RESERVED: usize = 4;

/// What a view keeps of claims.
#[derive(Debug, Default)]
pub(in crate::membership::view) struct Claims {
    pub(super) bound: Option<Bound>,
    /// The nodes that count by themselves.
    pub(super) own: FixedBitSet,
    /// The other nodes that are up, each with the account that it is charged to; and the same by account.
    pub(super) accounts: BTreeMap<Index, Charge>,
    pub(super) carried: BTreeMap<Index, Carried>,
    /// The load of all accounts together.
    pub(super) weight: usize,
    /// How many more nodes each account that carries some may come to carry: those that it drops for others count.
    pub(super) fresh: BTreeMap<Index, Bucket>,
    /// When reachability was last derived.
    pub(super) now: Time,
    /// How much of nodes that are not up yet may still be passed on before the next derivation, by account.
    pub(super) promised: BTreeMap<Index, usize>,
    /// The nodes that were refused, and after which of them the next pass begins.
    pub(super) refused: BTreeSet<Index>,
    pub(super) cursor: u32,
    /// How many of them are still to be looked at since something last changed by which one may count.
    pub(super) left: usize,
    /// How much may be passed on of nodes that count on the word of others.
    pub(super) told_of: Bucket,
    /// The accounts of which others were told that they are over the bound.
    pub(super) told: BTreeSet<Index>,
    pub(super) over: Vec<Index>,
    /// The accounts that refused nodes in this derivation, and these nodes: some may come up before it ends.
    pub(super) refusing: BTreeSet<(Index, Index)>,
    /// The accounts whose nodes were looked through in this derivation.
    pub(super) searched: BTreeSet<Index>,
    /// Something changed by which a refused node may count.
    pub(super) progress: bool,
    /// A node was refused only since its account took on others lately.
    pub(super) waits: bool,
    pub(super) filling: Filling,
    pub(super) first: First,
}

/// The share of one node in the load of its account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Charge {
    pub(super) by: Voucher,
    pub(super) weight: usize,
}

/// An account that speaks for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Voucher {
    pub(super) account: Index,
    /// The account itself has a link with the node.
    pub(super) is_direct: bool,
}

/// The load of one account.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) nodes: BTreeSet<Index>,
    pub(super) weight: usize,
    /// The part of it for nodes that have no link with the account itself.
    pub(super) indirect: usize,
}

impl Carried {
    /// The load grows by what a node weighs now, and shrinks by what it weighed before.
    pub(super) fn weigh(&mut self, is_direct: bool, before: usize, after: usize) {
        self.weight = self.weight - before + after;
        if !is_direct {
            self.indirect = self.indirect - before + after;
        }
    }
}

impl Claims {
    /// The account that speaks for a node that is up.
    pub(super) fn account(&self, index: Index) -> Index {
        self.accounts
            .get(&index)
            .map_or(index, |charge| charge.by.account)
    }

    pub(super) fn counts(&self, index: Index) -> bool {
        self.own.contains(index.at())
    }

    pub(super) fn charge(&mut self, index: Index, by: Voucher, weight: usize, bound: Bound) {
        let full = || Bucket::holding(self.now, bound.fresh().burst);
        let fresh = self.fresh.entry(by.account).or_insert_with(full);
        fresh.take_one(self.now, bound.fresh());
        self.accounts.insert(index, Charge { by, weight });
        let carried = self.carried.entry(by.account).or_default();
        carried.nodes.insert(index);
        carried.weigh(by.is_direct, 0, weight);
        self.weight += weight;
        self.refused.remove(&index);
    }

    /// A node is no longer charged to its account.
    pub(super) fn release(&mut self, index: Index) {
        if let Some(Charge { by, weight }) = self.accounts.remove(&index)
            && let Some(carried) = self.carried.get_mut(&by.account)
        {
            let account = by.account;
            carried.nodes.remove(&index);
            carried.weigh(by.is_direct, weight, 0);
            self.weight -= weight;
            if carried.weight * 2 <= self.bound.map_or(0, |bound| bound.most) {
                self.told.remove(&account);
            }
            if carried.nodes.is_empty() {
                self.carried.remove(&account);
            }
            self.progress = true;
        }
    }

    pub(super) fn count_by_itself(&mut self, index: Index) {
        self.release(index);
        self.refused.remove(&index);
        if self.own.len() <= index.at() {
            self.own.grow(index.at() + 1);
        }
        if !self.own.put(index.at()) {
            self.progress = true;
        }
    }

    /// Whether one more node may be charged to an account now.
    pub(super) fn has_room(&self, by: Voucher, bound: Bound) -> bool {
        let fresh = self.fresh.get(&by.account);
        let has_token =
            fresh.is_none_or(|fresh| fresh.clone().fill(self.now, bound.fresh()) >= 1.0);
        self.has_place(by, bound) && has_token
    }

    /// Whether the account carries less than it may, whatever it took on lately.
    pub(super) fn has_place(&self, by: Voucher, bound: Bound) -> bool {
        let carried = self.carried.get(&by.account);
        let indirect = carried.map_or(0, |carried| carried.indirect);
        let may = by.is_direct || indirect < bound.most - bound.most / RESERVED;
        may && self.carries(by.account) < bound.most
    }

    pub(super) fn carries(&self, account: Index) -> usize {
        self.carried
            .get(&account)
            .map_or(0, |carried| carried.weight)
    }

    /// The next refused nodes to look at, in turn.
    pub(super) fn next_refused(&mut self) -> Vec<Index> {
        let after = self.refused.range(Index(self.cursor)..).copied();
        let before = self.refused.range(..Index(self.cursor)).copied();
        let some: Vec<Index> = after.chain(before).take(RETRIED).collect();
        self.cursor = some.last().map_or(0, |last| last.0 + 1);
        some
    }
}
