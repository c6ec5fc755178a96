//! Admits peers that dialed: to a slot under the cap, or as guests beyond it.
//!
//! The cap is for links that are chosen. A *guest* is a peer that depends on its link with this node: it knows nobody, or it isn't
//! up in our view. Nobody else may be within its reach, so a node that is full takes guests beyond its cap. A peer that lists one
//! other link is taken as well, if it comes back after it was refused: it found no better place. The guest then sees the whole
//! network and dials the nodes it can reach. Once it has enough other links, both ends agree that the link is superfluous (`plan`).
//!
//! The slots for guests are limited too. When all are taken, a peer that has no path to the network takes the place of one that
//! has enough others, or of one whose part of the address space holds many more. So one host can't keep all others out.
//!
//! Nor can peers that dial this node surround it. Some slots are for links that it dials itself, whoever dialed it before. Ring links and
//! the oldest links give way to no newcomer, and are not given up because newer ones hold their places (`plan`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::plan::published_degree;
use super::{Overlay, RING_SLOTS, SUCCESSORS, Seen};
use crate::membership::Time;
use crate::membership::interface::Connected;
use crate::membership::links::{Link, Links};
use crate::membership::view::View;
use crate::wire::{MAX_ALTERNATIVES, NodeId, canonical};

/// The links that a peer must list, with ours, before it can spare ours.
const SPARES: usize = 3;
/// The most peers that are asked whether they could spare a link, for one newcomer. Each costs a walk over a part of the view.
const ASKED: usize = 8;

/// A peer that was refused is remembered for this long: the pause before a node that failed is dialed again grows to a minute.
const REFUSED_FOR: Duration = Duration::from_secs(120);
/// The most peers that are remembered as refused.
const MAX_REFUSED: usize = 256;

/// The answer to a peer that dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::membership) enum Admission {
    Admitted,
    /// It takes the place of that peer, whose link ends.
    InPlaceOf(NodeId),
    Refused,
}

/// How much a peer depends on a link with this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// There may be no other path between it and the nodes that we reach.
    First,
    /// There may be only one, or one is about to come into view.
    Second,
    /// It has enough others.
    Little,
}

impl Overlay {
    /// Whether there is a slot for a peer that dialed.
    pub(in crate::membership) fn admit(&mut self, seen: &Seen<'_>, new: &Connected) -> Admission {
        if self.has_room_for(&new.peer, seen.links) {
            return Admission::Admitted;
        }
        let is_free = seen.links.degree() + self.unused_own(seen.links) < self.most_links();
        match self.need(seen, new) {
            Need::Little => Admission::Refused,
            Need::Second if is_free && self.returns(seen.now, new.peer) => Admission::Admitted,
            Need::Second => Admission::Refused,
            Need::First if is_free => Admission::Admitted,
            Need::First => {
                let spared = self
                    .to_spare(seen)
                    .or_else(|| self.over_its_share(seen, new));
                spared.map_or(Admission::Refused, Admission::InPlaceOf)
            }
        }
    }

    /// Whether this peer was refused before: it has tried others since, and comes back. Otherwise notes that it is refused now.
    fn returns(&mut self, now: Time, peer: NodeId) -> bool {
        self.refused.retain(|_, at| now < *at + REFUSED_FOR);
        if self.refused.remove(&peer).is_some() {
            return true;
        }
        if self.refused.len() < MAX_REFUSED {
            self.refused.insert(peer, now);
        }
        false
    }

    /// The slots for links that this node dials itself which are not in use. Where it takes few guests, it keeps fewer for itself.
    fn unused_own(&self, links: &Links) -> usize {
        let own = self.tuning.overlay.least_dialed + SUCCESSORS;
        own.saturating_sub(links.dialed())
            .min(self.config.guests / 8)
    }

    /// The oldest of the links that last, so many of them: newcomers don't displace them.
    pub(super) fn oldest(&self, links: &Links, count: usize) -> BTreeSet<NodeId> {
        let live = links.listed().filter(|link| link.is_live());
        let mut all: Vec<(Time, NodeId)> = live.map(|link| (link.since(), link.peer())).collect();
        all.sort_unstable();
        all.into_iter().take(count).map(|(_, id)| id).collect()
    }

    /// Whether so many links are more than a node has without guests.
    pub(super) fn is_host(&self, links: usize) -> bool {
        links > self.config.degree_cap + RING_SLOTS
    }

    /// The most links, with guests.
    pub(super) fn most_links(&self) -> usize {
        self.config.degree_cap + self.config.guests
    }

    fn need(&self, seen: &Seen<'_>, new: &Connected) -> Need {
        let me = self.me.abbreviated();
        let links = &new.hello.record.body().links;
        let others = links.iter().filter(|link| link.peer != me).count();
        if new.hello.known <= 1 {
            Need::First
        } else if !seen.view.is_up(&new.peer) {
            // Where a network starts, it has a link that isn't in view yet.
            let up = seen.view.up_count();
            let starts = self.growth.grows_until(seen.now, up, &self.tuning);
            starts.map_or(Need::First, |_| Need::Second)
        } else if others <= 1 {
            Need::Second
        } else {
            Need::Little
        }
    }

    /// Whether one more link, dialed by this peer, fits under the cap. Some slots are kept for ring links, which are taken even
    /// beyond the cap: they keep the network connected, and there are few.
    pub(super) fn has_room_for(&self, peer: &NodeId, links: &Links) -> bool {
        let taken = self.slots_taken(links, Some(peer));
        let cap = self.config.degree_cap;
        let ring = self.ring.neighbors();
        if ring.contains(peer) {
            return taken < self.most_links();
        }
        if self.full_mesh || taken + RING_SLOTS < cap {
            return taken < cap;
        }
        let held = ring.iter().filter(|id| links.get(id).is_some()).count();
        taken + RING_SLOTS.saturating_sub(held) < cap
    }

    /// Whether a link that was judged down may come back, in addition to the dials under way.
    pub(in crate::membership) fn has_slot_for(&self, peer: &NodeId, seen: &Seen<'_>) -> bool {
        let taken = self.slots_taken(seen.links, Some(peer));
        let most = if self.is_needed(peer, seen) {
            self.most_links()
        } else {
            self.config.degree_cap
        };
        taken < most
    }

    /// Whether a dial of this node may begin, in addition to those under way.
    pub(super) fn may_dial(&self, id: Option<&NodeId>, seen: &Seen<'_>) -> bool {
        if id.is_some_and(|id| seen.is_barred(id)) {
            return false;
        }
        let taken = self.slots_taken(seen.links, None);
        let is_needed = || id.is_none_or(|id| self.is_needed(id, seen));
        // Peers that dialed this node must not keep it from choosing a few links itself.
        let (own, least) = (self.own_taken(seen.links), self.tuning.overlay.least_dialed);
        taken < self.config.degree_cap
            || (taken < self.most_links() && (own < least || is_needed()))
            || (own < least + SUCCESSORS && is_needed())
    }

    /// The links that this node dialed, and its dials of others under way.
    fn own_taken(&self, links: &Links) -> usize {
        let others = self.dials.candidates().filter_map(|one| one.id);
        links.dialed() + others.filter(|id| links.get(id).is_none()).count()
    }

    /// Whether a link with that node connects what no other link does for certain.
    fn is_needed(&self, id: &NodeId, seen: &Seen<'_>) -> bool {
        !seen.view.is_up(id) || self.ring.neighbors().contains(id)
    }

    /// Whether this node has fewer than two links, so that others take it as a guest.
    pub(super) fn is_thin(&self, links: &Links) -> bool {
        links.listed().nth(1).is_none()
    }

    /// A peer that is well connected without us: the one with the most links. Peers with more links than our cap are left alone, as
    /// others may depend on them.
    fn to_spare(&self, seen: &Seen<'_>) -> Option<NodeId> {
        let kept = self.kept(seen.links);
        let links = seen.links.listed().filter(|link| !link.is_dialed());
        let others = links.filter(|link| !kept.contains(&link.peer()));
        let degrees = others.map(|link| (published_degree(seen.view, &link.peer()), link.peer()));
        let enough = SPARES..=self.config.degree_cap;
        let mut spares: Vec<(usize, NodeId)> = degrees
            .filter(|(degree, _)| enough.contains(degree))
            .collect();
        spares.sort_unstable();
        let mut first = spares.into_iter().rev().take(ASKED).map(|(_, id)| id);
        first.find(|id| self.is_joined_without(seen, id, &[]))
    }

    /// The neighbours that give way to no newcomer.
    fn kept(&self, links: &Links) -> BTreeSet<NodeId> {
        let mut kept = self.oldest(links, self.config.degree_cap);
        kept.extend(self.ring.neighbors());
        kept
    }

    /// Whether a peer reaches one of our other neighbours over the links of others, also if the links with `gone` ended. The links of
    /// other hosts don't count: they may be about to let the same guests go.
    pub(super) fn is_joined_without(
        &self,
        seen: &Seen<'_>,
        peer: &NodeId,
        gone: &[NodeId],
    ) -> bool {
        let kept = seen.links.listed().map(Link::peer);
        let kept = kept.filter(|id| id != peer && !gone.contains(id));
        let most = self.config.degree_cap + RING_SLOTS;
        seen.view.is_joined(peer, most, kept)
    }

    /// The youngest peer of the part of the address space that holds the most links, if the newcomer's part holds fewer by two or
    /// more. Providers are compared first, then sites, then hosts.
    fn over_its_share(&self, seen: &Seen<'_>, new: &Connected) -> Option<NodeId> {
        let accepted = seen.links.iter().filter(|link| !link.is_dialed());
        let mut within: Vec<&Link> = accepted.collect();
        let mut is_over = false;
        for level in 0..LEVELS {
            let own = part(new.remote, level);
            let mut held: BTreeMap<u128, usize> = BTreeMap::new();
            for link in &within {
                *held.entry(part(link.remote(), level)).or_default() += 1;
            }
            let ours = held.get(&own).copied().unwrap_or_default();
            let (most, greediest) = held.into_iter().map(|(part, held)| (held, part)).max()?;
            is_over |= most > ours + 1;
            let shared = if is_over { greediest } else { own };
            within.retain(|link| part(link.remote(), level) == shared);
        }
        let kept = self.kept(seen.links);
        let youngest = within
            .into_iter()
            .filter(|link| !kept.contains(&link.peer()))
            .max_by_key(|link| (link.adopted(), link.peer()));
        youngest.map(Link::peer).filter(|_| is_over)
    }

    /// The addresses of nodes that a refused peer may try instead: of families that it can use, at which others have reached the
    /// node, and of nodes with few links. The order of the ring is as good as random, and the same for every peer that asks. Each
    /// peer begins at its own position, which spreads the load.
    pub(in crate::membership) fn alternatives(
        &self,
        peer: &NodeId,
        remote: SocketAddr,
        view: &View,
    ) -> Vec<SocketAddr> {
        let uses_v4 = canonical(remote.ip()).is_ipv4();
        let most = self.config.degree_cap;
        let others = super::plan::alternatives(self.me, peer, most, view).into_iter();
        let addrs = others.filter_map(|id| {
            let mut addrs = self.addresses(&id, view).into_iter();
            addrs.find(|addr| canonical(addr.ip()).is_ipv4() == uses_v4)
        });
        addrs.take(MAX_ALTERNATIVES).collect()
    }
}

/// How finely the address space is divided: by providers, by sites, by hosts.
const LEVELS: usize = 3;

/// The part of the address space in which an address is.
fn part(addr: SocketAddr, level: usize) -> u128 {
    match canonical(addr.ip()) {
        IpAddr::V4(v4) => {
            let kept = [16, 24, 32][level];
            u128::from(v4.to_bits() >> (32 - kept))
        }
        // Beyond the IPv4 addresses.
        IpAddr::V6(v6) => {
            let kept = [32, 48, 64][level];
            (v6.to_bits() >> (128 - kept)) | (1 << 64)
        }
    }
}
