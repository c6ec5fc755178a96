//! Which nodes count on whose word.
//!
//! Any member can sign records of ids that nobody runs, and have them list each other. Their signatures are good, and both ends of each link
//! list it, so reachability alone would show all of them. What a member can't forge is a link to an honest node: that one lists it only
//! while it holds it. So the set of invented nodes hangs on the rest of the network by the few members that invented it, and this is
//! what is bounded here.
//!
//! A node *counts by itself* once this node had a link with it, or once it has links with nodes of enough different accounts
//! ([`Bound::vouchers`]). A node that counts by itself is an *account*. Any other node is charged to one account: that of a node with which it
//! has a link. An account carries at most [`Bound::most`] nodes, directly or indirectly, and further ones are refused: they are known, but
//! not up, nor passed on. So fewer than `vouchers` members that act together show at most `most` invented ids each. A node that counts by
//! itself does so until it is forgotten, so a network that is cut down to one bridge stays in view.
//!
//! A node without links, or with one, can only believe what it is told. It is *filling* its view: it takes everything, and judges when it
//! has had more links for a while (`view.judged_after`).

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;

use super::View;
use super::ids::{Index, Places};
use super::store::NOBODY;
use crate::membership::Time;

/// How many nodes may count on the word of others.
#[derive(Debug, Clone, Copy)]
pub(in crate::membership) struct Bound {
    /// The most nodes that one account carries.
    pub(in crate::membership) most: usize,
    /// A node that has links with nodes of so many accounts counts by itself.
    pub(in crate::membership) vouchers: usize,
}

/// The most refused nodes that are looked at again in one pass of a derivation. It bounds what a member costs that lets its claims come and
/// go: with records of the most links, a pass looks 80,000 ids up. Halved: a region of thousands that is no longer refused comes into
/// view a little later. Doubled: a pass costs twice as much.
const RETRIED: usize = 256;

/// The most such passes in one derivation. What they leave waits for the next.
const PASSES: usize = 16;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Claims {
    bound: Option<Bound>,
    /// The nodes that count by themselves.
    own: FixedBitSet,
    /// The other nodes that are up, each with the account that it is charged to; and the same by account.
    accounts: BTreeMap<Index, Index>,
    carried: BTreeMap<Index, BTreeSet<Index>>,
    /// What may still be passed on, before the next derivation, of nodes that are not up yet: by account.
    promised: BTreeMap<Index, usize>,
    /// The nodes that were refused, and after which of them the next pass begins.
    refused: BTreeSet<Index>,
    cursor: u32,
    /// The accounts of which others were told that they are over the bound.
    told: BTreeSet<Index>,
    over: Vec<Index>,
    /// The accounts that refused nodes in this derivation, and these nodes: some may come up before it ends.
    refusing: BTreeSet<(Index, Index)>,
    /// The accounts whose nodes were looked through in this derivation.
    searched: BTreeSet<Index>,
    /// Something changed by which a refused node may count.
    progress: bool,
    filling: Filling,
}

/// Whether a node can do no better than believe what it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Filling {
    /// It has one link at most.
    #[default]
    Alone,
    /// It has had more links, and judges at that time.
    Until(Time),
    /// It judges.
    Over,
}

impl Claims {
    /// The account that speaks for a node that is up.
    fn account(&self, index: Index) -> Index {
        self.accounts.get(&index).copied().unwrap_or(index)
    }

    fn counts(&self, index: Index) -> bool {
        self.own.contains(index.at())
    }

    fn charge(&mut self, index: Index, account: Index) {
        self.accounts.insert(index, account);
        self.carried.entry(account).or_default().insert(index);
        self.refused.remove(&index);
    }

    /// A node is no longer charged to its account.
    fn release(&mut self, index: Index) {
        if let Some(account) = self.accounts.remove(&index)
            && let Some(carried) = self.carried.get_mut(&account)
        {
            carried.remove(&index);
            if carried.len() * 2 <= self.bound.map_or(0, |bound| bound.most) {
                self.told.remove(&account);
            }
            if carried.is_empty() {
                self.carried.remove(&account);
            }
            self.progress = true;
        }
    }

    fn count_by_itself(&mut self, index: Index) {
        self.release(index);
        self.refused.remove(&index);
        if self.own.len() <= index.at() {
            self.own.grow(index.at() + 1);
        }
        if !self.own.put(index.at()) {
            self.progress = true;
        }
    }

    fn carries(&self, account: Index) -> usize {
        self.carried.get(&account).map_or(0, BTreeSet::len)
    }

    /// The next refused nodes to look at, in turn.
    fn next_refused(&mut self) -> Vec<Index> {
        let after = self.refused.range(Index(self.cursor)..).copied();
        let before = self.refused.range(..Index(self.cursor)).copied();
        let some: Vec<Index> = after.chain(before).take(RETRIED).collect();
        self.cursor = some.last().map_or(0, |last| last.0 + 1);
        some
    }
}

impl View {
    /// The same view, in which so many nodes may count on the word of others. Without this, all do.
    #[must_use]
    pub(in crate::membership) fn with_bound(mut self, bound: Bound) -> Self {
        self.claims.bound = Some(bound);
        self
    }

    /// Whether this node takes everything that it is told: it has had one link at most until lately.
    #[must_use]
    pub(in crate::membership) fn is_filling(&self) -> bool {
        self.claims.bound.is_none() || self.claims.filling != Filling::Over
    }

    /// When reachability must be derived anew, since claims are judged then, or refused nodes may count by now.
    pub(super) fn claims_due(&self, now: Time) -> Option<Time> {
        let claims = &self.claims;
        match claims.filling {
            Filling::Until(at) if claims.bound.is_some() => Some(at),
            Filling::Alone | Filling::Until(_) => None,
            Filling::Over => (claims.progress && !claims.refused.is_empty()).then_some(now),
        }
    }

    /// Takes out the accounts that were found over the bound, each once until it is well below again.
    pub(in crate::membership) fn take_over_bound(&mut self) -> Vec<Index> {
        std::mem::take(&mut self.claims.over)
    }

    /// A derivation begins: this node's own links are these. Returns whether everything is to be judged, which takes all nodes down first.
    pub(super) fn begin_claims(&mut self, now: Time, live: &[Index]) -> bool {
        let after = self.tuning.view.judged_after;
        let claims = &mut self.claims;
        if claims.bound.is_none() {
            return false;
        }
        claims.searched.clear();
        claims.promised.clear();
        for &index in live {
            claims.count_by_itself(index);
        }
        let (filling, judges) = match claims.filling {
            _ if live.len() <= 1 => (Filling::Alone, false),
            Filling::Alone => (Filling::Until(now + after), false),
            Filling::Until(at) if now >= at => (Filling::Over, true),
            filling => (filling, false),
        };
        claims.filling = filling;
        judges
    }

    /// Whether a node that has a link with one that is up may come up.
    pub(super) fn may_come_up(&mut self, ids: &Places<'_>, index: Index) -> bool {
        let Some(bound) = self.claims.bound else {
            return true;
        };
        if self.claims.filling != Filling::Over || self.claims.counts(index) {
            return true;
        }
        let mut vouching = self.vouching(ids, index, bound);
        if vouching.len() < bound.vouchers && self.least(&vouching, bound).is_none() {
            let mut found = false;
            for account in vouching {
                found |= self.claims.searched.insert(account) && self.look_through(ids, account);
            }
            if !found {
                self.refuse(ids, index, bound);
                return false;
            }
            vouching = self.vouching(ids, index, bound);
        }
        if vouching.len() >= bound.vouchers {
            self.claims.count_by_itself(index);
            return true;
        }
        let Some(account) = self.least(&vouching, bound) else {
            self.refuse(ids, index, bound);
            return false;
        };
        self.claims.charge(index, account);
        true
    }

    /// Whether the record of a node, which may not be up yet, is to be passed on at once: it is up, or will most likely come up with the next
    /// derivation.
    pub(in crate::membership) fn is_worth_telling(&mut self, index: Index) -> bool {
        let Some(bound) = self.claims.bound else {
            return true;
        };
        if self.claims.filling != Filling::Over
            || self.is_up_at(index)
            || self.claims.counts(index)
        {
            return true;
        }
        let ids = std::sync::Arc::clone(&self.ids);
        let vouching = self.vouching(&ids.read(), index, bound);
        if vouching.len() >= bound.vouchers {
            return true;
        }
        let claims = &mut self.claims;
        let has_room = |account: &&Index| {
            let promised = claims.promised.get(account).copied().unwrap_or(0);
            claims.carries(**account) + promised < bound.most
        };
        let Some(&account) = vouching.iter().find(has_room) else {
            return false;
        };
        *claims.promised.entry(account).or_default() += 1;
        true
    }

    /// Whether it is certain by now that an unknown node would be refused: everybody up that its record names is over the bound. That takes
    /// no signature to see.
    #[must_use]
    pub(in crate::membership) fn would_be_refused(&self, record: &crate::record::Record) -> bool {
        let Some(bound) = self.claims.bound.filter(|_| !self.is_filling()) else {
            return false;
        };
        let ids = self.ids.read();
        let mut named = false;
        let accounts = record.standing_links().filter_map(|(link, remembered)| {
            let peer = ids.find(&link.peer, remembered)?;
            named |= peer == self.me;
            let is_up = peer != self.me && self.up.contains(peer.at());
            is_up.then(|| self.claims.account(peer))
        });
        let mut vouching: Vec<Index> = Vec::new();
        for account in accounts {
            if !vouching.contains(&account) {
                vouching.push(account);
            }
            if vouching.len() >= bound.vouchers {
                return false;
            }
        }
        let is_full = |account: &Index| self.claims.carries(*account) >= bound.most;
        !named && !vouching.is_empty() && vouching.iter().all(is_full)
    }

    /// The refused nodes to look at again, if one of them may count by now.
    pub(super) fn take_retries(&mut self, pass: usize) -> Vec<Index> {
        let claims = &mut self.claims;
        if pass >= PASSES || claims.refused.is_empty() || !std::mem::take(&mut claims.progress) {
            return Vec::new();
        }
        claims.searched.clear();
        claims.next_refused()
    }

    /// A derivation ends.
    pub(super) fn end_claims(&mut self) {
        let claims = &mut self.claims;
        let most = claims.bound.map_or(usize::MAX, |bound| bound.most);
        for (account, refused) in std::mem::take(&mut claims.refusing) {
            let is_over = claims.refused.contains(&refused) && claims.carries(account) >= most;
            if is_over && claims.told.insert(account) {
                claims.over.push(account);
            }
        }
    }

    /// A node is not up any more.
    pub(super) fn claim_falls(&mut self, index: Index) {
        self.claims.release(index);
    }

    /// A node is forgotten. What it spoke for is charged to whoever speaks for its predecessor.
    pub(super) fn forget_claims(&mut self, index: Index) {
        self.claims.release(index);
        self.claims.refused.remove(&index);
        self.claims.told.remove(&index);
        if index.at() < self.claims.own.len() {
            self.claims.own.set(index.at(), false);
        }
        for orphan in self.claims.carried.remove(&index).unwrap_or_default() {
            self.claims.accounts.remove(&orphan);
            let predecessor = Index(self.notes[orphan.at()].predecessor);
            let is_known = predecessor.0 != NOBODY && self.has(predecessor);
            if is_known && predecessor != self.me && predecessor != index {
                let account = self.claims.account(predecessor);
                if account != index && account != orphan {
                    self.claims.charge(orphan, account);
                }
            }
        }
    }

    /// The accounts of the nodes that are up with which a node has a link: no more than it needs to count by itself.
    fn vouching(&self, ids: &Places<'_>, index: Index, bound: Bound) -> Vec<Index> {
        let mut accounts = Vec::with_capacity(bound.vouchers);
        for peer in self.neighbors_up(ids, index) {
            let account = self.claims.account(peer);
            if account == index || accounts.contains(&account) || !self.are_linked(peer, index) {
                continue;
            }
            accounts.push(account);
            if accounts.len() == bound.vouchers {
                break;
            }
        }
        accounts
    }

    /// The account among these that carries least, if it has room.
    fn least(&self, accounts: &[Index], bound: Bound) -> Option<Index> {
        let carries = |account: &&Index| self.claims.carries(**account);
        let least = accounts.iter().min_by_key(carries)?;
        (carries(&least) < bound.most).then_some(*least)
    }

    /// Looks for nodes among those charged to an account that count by themselves by now. Returns whether there is one.
    fn look_through(&mut self, ids: &Places<'_>, account: Index) -> bool {
        let Some(bound) = self.claims.bound else {
            return false;
        };
        let carried = self.claims.carried.get(&account);
        let carried: Vec<Index> = carried.into_iter().flatten().copied().collect();
        let mut found = false;
        for index in carried {
            if self.vouching(ids, index, bound).len() >= bound.vouchers {
                self.claims.count_by_itself(index);
                found = true;
            }
        }
        found
    }

    fn refuse(&mut self, ids: &Places<'_>, index: Index, bound: Bound) {
        let vouching = self.vouching(ids, index, bound);
        let claims = &mut self.claims;
        claims.refused.insert(index);
        let refusing = vouching.into_iter().map(|account| (account, index));
        claims.refusing.extend(refusing);
    }
}

#[cfg(test)]
mod tests;
