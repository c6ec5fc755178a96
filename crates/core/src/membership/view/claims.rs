//! Which nodes count on whose word.
//!
//! Any member can sign records of ids that nobody runs, and have them list each other. Their signatures are good, and both ends of each link
//! list it, so reachability alone would show all of them. A member can't forge a link to an honest node: that one lists a link
//! only while it holds it. So only the few members that invented such nodes connect them with the rest of the network, and the view
//! bounds how many each may add.
//!
//! A node *counts by itself* once this node had a link with it, or once it has links with nodes of enough different accounts
//! ([`Bound::vouchers`]). A node that counts by itself is an *account*. Any other node is charged to one account: that of a node with which it
//! has a link. An account carries at most [`Bound::most`] nodes, directly or indirectly, and further ones are refused: they are known, but
//! not up, nor passed on. So fewer than `vouchers` members that act together show at most `most` invented ids each. A part of these places
//! is for nodes that have a link with the account itself ([`ledger`]): a hostile guest of an honest host can't take those of its other
//! guests. A node that counts by itself does so until it is forgotten, so a network that is cut down to one bridge stays in view.
//!
//! A node without links, or with one, can only believe what it is told. It is *filling* its view ([`filling`]). Once it has more
//! links, and nodes have ceased to come into view (`view.still_for`, at the latest after `view.judged_after`), it judges.

mod filling;
mod ledger;

use std::time::Duration;

use super::ids::{Index, Places};
use super::store::NOBODY;
use super::{View, weight};
use crate::bucket::Rate;
use crate::membership::Time;
use crate::record::{Record, ShortRun};
use crate::wire::NodeId;
use filling::Filling;
pub(in crate::membership) use ledger::Bound;
pub(super) use ledger::Claims;
use ledger::{RETRIED, Voucher};

/// A node that counts on the word of another, with few beside it, is passed on at once, but no more often than this. Halved: nodes of which
/// few are invented cost twice as much. Doubled: a newcomer's next links are known half a second later.
const SOON: Duration = Duration::from_millis(500);

/// The most passes over refused nodes in one derivation. The remaining nodes wait for the next.
const PASSES: usize = 16;

impl View {
    /// The same view, with this bound on nodes that count on the word of others. Without it, there is no bound.
    #[must_use]
    pub(in crate::membership) fn with_bound(mut self, bound: Bound) -> Self {
        self.claims.bound = Some(bound);
        self
    }

    /// The view judges from now on, as if it had had several links for a while.
    #[cfg(test)]
    pub(in crate::membership) fn judge(&mut self, bound: Bound) {
        self.claims.bound = Some(bound);
        self.claims.filling = Filling::Over;
        for index in self.up.ones() {
            self.claims.count_by_itself(Index::from_place(index));
        }
    }

    /// Whether this node takes everything that it is told: it has had one link at most until lately.
    #[must_use]
    pub(in crate::membership) fn is_filling(&self) -> bool {
        self.claims.bound.is_none() || self.claims.filling != Filling::Over
    }

    /// How many nodes are up that count on the word of others.
    pub(super) fn claims_count(&self) -> usize {
        self.claims.accounts.len()
    }

    /// When reachability must be derived anew: claims are judged then, or refused nodes may count by then.
    pub(super) fn claims_due(&self, now: Time) -> Option<Time> {
        let claims = &self.claims;
        match claims.filling {
            Filling::Until(at, _) if claims.bound.is_some() => Some(at),
            Filling::Alone | Filling::Until(..) => None,
            Filling::Over if claims.refused.is_empty() => None,
            Filling::Over if claims.progress => Some(now),
            Filling::Over => claims.waits.then(|| now + Duration::from_secs(1)),
        }
    }

    /// Takes out the accounts that were found over the bound, each once until it is well below again.
    pub(in crate::membership) fn take_over_bound(&mut self) -> Vec<Index> {
        std::mem::take(&mut self.claims.over)
    }

    /// A derivation begins: this node's own links are these. Returns whether everything is to be judged, which takes all nodes down first.
    pub(super) fn begin_claims(&mut self, now: Time, live: &[Index]) -> bool {
        let (still, after) = (self.tuning.view.still_for, self.tuning.view.judged_after);
        let few = self.claims.bound.map_or(0, |bound| bound.vouchers);
        if self.claims.bound.is_none() {
            return false;
        }
        self.note_first_links(live);
        let claims = &mut self.claims;
        claims.now = now;
        claims.searched.clear();
        claims.promised.clear();
        for &index in live {
            claims.count_by_itself(index);
        }
        let (filling, judges) = match claims.filling {
            // A node that is cut off goes on judging by what it knew, as long as it knows it.
            _ if live.is_empty() && self.count <= 1 => (Filling::Alone, false),
            Filling::Alone | Filling::Until(..) if live.len() <= 1 => (Filling::Alone, false),
            Filling::Alone => (Filling::Until(now + still, now + after), false),
            // With few links it can't tell who counts by itself, so it waits for more.
            Filling::Until(at, latest) if live.len() < few && now >= at => {
                let at = latest.min(now + still);
                (Filling::Until(at, latest), now >= latest)
            }
            Filling::Until(at, _) if now >= at => (Filling::Over, true),
            filling => (filling, false),
        };
        claims.filling = filling;
        if judges {
            self.end_filling();
        }
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
            for Voucher { account, .. } in vouching {
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
        let Some(by) = self.least(&vouching, bound) else {
            self.refuse(ids, index, bound);
            return false;
        };
        let weight = weight(self.record_at(index));
        self.claims.charge(index, by, weight, bound);
        true
    }

    /// Whether the record of a node, which may not be up yet, is to be passed on at once: it is up, or will most likely come up with the next
    /// derivation.
    pub(in crate::membership) fn is_worth_telling(&mut self, index: Index) -> bool {
        let Some(bound) = self.claims.bound else {
            return true;
        };
        if self.claims.filling != Filling::Over || self.is_up_at(index) || self.claims.counts(index)
        {
            return true;
        }
        let ids = std::sync::Arc::clone(&self.ids);
        let vouching = self.vouching(&ids.read(), index, bound);
        if vouching.len() >= bound.vouchers {
            return true;
        }
        let claims = &mut self.claims;
        let has_room = |by: &&Voucher| {
            let promised = claims.promised.get(&by.account).copied().unwrap_or(0);
            claims.has_room(**by, bound) && claims.carries(by.account) + promised < bound.most
        };
        let Some(by) = vouching.iter().find(has_room) else {
            return false;
        };
        *claims.promised.entry(by.account).or_default() += 1;
        true
    }

    /// Whether an unknown node would come up with the next derivation, most likely: a node that is up lists the link with it, and has room for
    /// it. This needs no signature to be verified.
    #[must_use]
    pub(in crate::membership) fn would_come_up(&self, record: &Record) -> bool {
        let ids = self.ids.read();
        let short = record.id().abbreviated();
        let run = ShortRun::of(record.body().run_id);
        let peers = record.standing_links().filter_map(|(link, remembered)| {
            let peer = ids.find(&link.peer, remembered)?;
            let listed = self.has(peer) && self.up.contains(peer.at());
            let listed = listed && {
                let back = self.record_at(peer).link_to(&short);
                back.is_some_and(|back| back.run == run)
            };
            listed.then_some(peer)
        });
        let Some(bound) = self.claims.bound.filter(|_| !self.is_filling()) else {
            return peers.count() > 0;
        };
        let mut vouching: Vec<Index> = Vec::new();
        for peer in peers {
            let account = self.claims.account(peer);
            let is_direct = account == peer;
            let promised = self.claims.promised.get(&account).copied().unwrap_or(0);
            let has_room = self.claims.carries(account) + promised < bound.most
                && self.claims.has_room(Voucher { account, is_direct }, bound);
            if peer == self.me || has_room {
                return true;
            }
            if !vouching.contains(&account) {
                vouching.push(account);
            }
            if vouching.len() >= bound.vouchers {
                return true;
            }
        }
        false
    }

    /// Whether a node counts by itself, as far as this view judges.
    pub(super) fn counts_by_itself(&self, index: Index) -> bool {
        self.is_filling() || self.claims.counts(index)
    }

    /// Whether a node counts on the word of another, or not at all.
    #[must_use]
    pub(in crate::membership) fn is_claim(&self, index: Index) -> bool {
        !self.counts_by_itself(index)
    }

    /// Whether a node counts on the word of another, and that was refused, or does not lead to it any more.
    #[must_use]
    pub(in crate::membership) fn is_void(&self, index: Index) -> bool {
        self.is_claim(index) && (self.claims.refused.contains(&index) || self.is_unreachable(index))
    }

    /// Whether a node counts by itself; one that is unknown does not.
    pub(in crate::membership) fn counts_alone(&self, id: &NodeId) -> bool {
        let index = self.index(&id.abbreviated());
        index.is_some_and(|index| self.counts_by_itself(index))
    }

    /// Whether a node counts on the word of one that carries as much as it may: neighbours may have taken other claims of it, and are not told
    /// of this one in a round.
    #[must_use]
    pub(in crate::membership) fn is_contested(&self, index: Index) -> bool {
        let Some(bound) = self.claims.bound else {
            return false;
        };
        let charge = self.claims.accounts.get(&index);
        charge.is_some_and(|charge| !self.claims.has_place(charge.by, bound))
    }

    /// When the record of a node that counts on the word of another is to be passed on, if it came at `now`: all such nodes together cost
    /// each neighbour a few records a second, however many there are and however often they sign. Nodes whose account carries few others,
    /// as newcomers have, wait only for their own earlier records. `None` if the record is to be passed on already: its newest version
    /// will be.
    pub(in crate::membership) fn schedule_claim(
        &mut self,
        now: Time,
        index: Index,
    ) -> Option<Time> {
        let last = self.last_relay(index);
        if last.is_some_and(|last| last > now) {
            return None;
        }
        let (tuning, weight) = (&self.tuning.view, weight(self.record_at(index)) as f64);
        let rate = Rate {
            burst: tuning.claims_told_burst,
            per_s: tuning.claims_told_per_s,
        };
        let account = self.claims.accounts.get(&index);
        let carries = account.map_or(usize::MAX, |charge| self.claims.carries(charge.by.account));
        let at = if carries <= tuning.few_claims && last.is_none_or(|last| last + SOON <= now) {
            now
        } else {
            let told = &mut self.claims.told_of;
            let left = told.fill(now, rate);
            told.spend(weight);
            now + Duration::from_secs_f64((weight - left).max(0.0) / rate.per_s)
        };
        self.note_relay(index, at);
        Some(at)
    }

    /// Whether a node's next record is taken though it may weigh more; if so, its account carries that.
    pub(super) fn may_weigh(&mut self, index: Index, next: &Record) -> bool {
        let (claims, after) = (&mut self.claims, weight(next));
        let Some(charge) = claims.accounts.get_mut(&index) else {
            return true;
        };
        let most = claims.bound.map_or(usize::MAX, |bound| bound.most);
        let Some(carried) = claims.carried.get_mut(&charge.by.account) else {
            return true;
        };
        let before = charge.weight;
        let may = after <= before || carried.weight - before + after <= most;
        if may {
            claims.weight = claims.weight - before + after;
            carried.weigh(charge.by.is_direct, before, after);
            charge.weight = after;
        }
        may
    }

    /// All nodes have just been judged, in the order in which they were found: some count by themselves now that the others are up.
    pub(super) fn look_at_all_claims(&mut self, ids: &Places<'_>) {
        let accounts: Vec<Index> = self.claims.carried.keys().copied().collect();
        for account in accounts {
            self.look_through(ids, account);
        }
    }

    /// A node that is up lists new links: it may count by itself now, or on the word of one that carries less.
    pub(super) fn look_at_claim(&mut self, ids: &Places<'_>, index: Index) {
        let Some(bound) = self.claims.bound else {
            return;
        };
        let Some(charge) = self.claims.accounts.get(&index).copied() else {
            return;
        };
        let vouching = self.vouching(ids, index, bound);
        if vouching.len() >= bound.vouchers {
            self.claims.count_by_itself(index);
            return;
        }
        let direct = Voucher {
            account: charge.by.account,
            is_direct: true,
        };
        let next = if !charge.by.is_direct && vouching.contains(&direct) {
            Some(direct)
        } else if !self.claims.has_place(charge.by, bound) {
            self.least(&vouching, bound)
        } else {
            None
        };
        if let Some(by) = next {
            self.claims.release(index);
            self.claims.charge(index, by, charge.weight, bound);
        }
    }

    /// The refused nodes to look at again, if one of them may count by now.
    pub(super) fn take_retries(&mut self, pass: usize) -> Vec<Index> {
        let claims = &mut self.claims;
        let again =
            std::mem::take(&mut claims.progress) || pass == 0 && std::mem::take(&mut claims.waits);
        if again {
            claims.left = claims.refused.len();
        }
        if claims.left == 0 || claims.refused.is_empty() {
            return Vec::new();
        }
        if pass >= PASSES {
            claims.progress = true;
            return Vec::new();
        }
        claims.left = claims.left.saturating_sub(RETRIED);
        claims.searched.clear();
        claims.next_refused()
    }

    /// A derivation ends; `grew`: a node came up.
    pub(super) fn end_claims(&mut self, grew: bool) {
        let still = self.tuning.view.still_for;
        let claims = &mut self.claims;
        if let Filling::Until(at, latest) = &mut claims.filling
            && grew
        {
            *at = (claims.now + still).min(*latest);
        }
        if let Some(bound) = claims.bound {
            let (now, carried) = (claims.now, &claims.carried);
            claims.fresh.retain(|account, fresh| {
                carried.contains_key(account)
                    || fresh.fill(now, bound.fresh()) < bound.fresh().burst
            });
        }
        for (account, refused) in std::mem::take(&mut claims.refusing) {
            let others = Voucher {
                account,
                is_direct: false,
            };
            let is_full = claims
                .bound
                .is_some_and(|bound| !claims.has_place(others, bound));
            let is_over = claims.refused.contains(&refused) && is_full;
            if is_over && claims.told.insert(account) {
                claims.over.push(account);
            }
        }
    }

    /// A node is not up any more.
    pub(super) fn claim_falls(&mut self, index: Index) {
        self.claims.release(index);
    }

    /// A node is forgotten. The nodes that it spoke for are charged to the account of its predecessor.
    pub(super) fn forget_claims(&mut self, index: Index) {
        self.claims.release(index);
        self.claims.refused.remove(&index);
        self.claims.told.remove(&index);
        if index.at() < self.claims.own.len() {
            self.claims.own.set(index.at(), false);
        }
        let orphans = self.claims.carried.remove(&index).unwrap_or_default();
        self.claims.weight -= orphans.weight;
        for orphan in &orphans.nodes {
            self.claims.accounts.remove(orphan);
        }
        for &orphan in &orphans.nodes {
            // The predecessor may be an orphan too. Predecessors of nodes that are up form a tree, so this ends.
            let mut predecessor = Index(self.notes[orphan.at()].predecessor);
            while orphans.nodes.contains(&predecessor) {
                predecessor = Index(self.notes[predecessor.at()].predecessor);
            }
            let is_known = predecessor.0 != NOBODY && self.has(predecessor);
            if is_known && predecessor != self.me && predecessor != index {
                let account = self.claims.account(predecessor);
                if let Some(bound) = self.claims.bound
                    && account != index
                    && account != orphan
                {
                    let weight = weight(self.record_at(orphan));
                    let is_direct = account == predecessor;
                    let by = Voucher { account, is_direct };
                    self.claims.charge(orphan, by, weight, bound);
                }
            }
        }
    }

    /// The accounts of the nodes that are up with which a node has a link: no more than it needs to count by itself.
    fn vouching(&self, ids: &Places<'_>, index: Index, bound: Bound) -> Vec<Voucher> {
        let mut vouching: Vec<Voucher> = Vec::with_capacity(bound.vouchers);
        for peer in self.neighbors_up(ids, index) {
            let account = self.claims.account(peer);
            let is_direct = account == peer;
            let known = vouching.iter_mut().find(|by| by.account == account);
            let adds = known.as_ref().is_none_or(|by| is_direct && !by.is_direct);
            if account == index || !adds || !self.are_linked(peer, index) {
                continue;
            }
            match known {
                Some(by) => by.is_direct = true,
                None => vouching.push(Voucher { account, is_direct }),
            }
            if vouching.len() == bound.vouchers {
                break;
            }
        }
        vouching
    }

    /// The account among these that carries least, if it has room.
    fn least(&self, vouching: &[Voucher], bound: Bound) -> Option<Voucher> {
        let with_room = vouching.iter().copied();
        let with_room = with_room.filter(|&by| self.claims.has_room(by, bound));
        with_room.min_by_key(|by| self.claims.carries(by.account))
    }

    /// Looks for nodes among those charged to an account that count by themselves by now. Returns whether there is one.
    fn look_through(&mut self, ids: &Places<'_>, account: Index) -> bool {
        let Some(bound) = self.claims.bound else {
            return false;
        };
        let carried = self.claims.carried.get(&account);
        let carried: Vec<Index> = carried
            .into_iter()
            .flat_map(|carried| carried.nodes.iter().copied())
            .collect();
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
        claims.waits |= vouching.iter().any(|by| claims.has_place(*by, bound));
        let refusing = vouching.into_iter().map(|by| (by.account, index));
        claims.refusing.extend(refusing);
    }
}

#[cfg(test)]
mod tests;
