//! Admits peers that dialed: to a slot under the cap, or as guests beyond it.
//!
//! The cap is for links that are chosen. A *guest* is a peer that depends on its link with this node: it knows nobody, or it isn't
//! up in our view. Nobody else may be within its reach, so a node that is full takes guests beyond its cap. A peer that lists one
//! other link is taken as well, if it comes back after it was refused: it found no better place. The guest then sees the whole
//! network and dials the nodes it can reach. Once it has enough other links, both ends agree that the link is superfluous (`plan`).
//!
//! The slots for guests are limited too. When all are taken, a peer that has no path to the network takes the place of one that
//! has enough others, or of one whose part of the address space holds many more. So one host can't keep all others out. The links of the
//! ring and the oldest ones keep their places: peers that came before an attacker can't be displaced by its newcomers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::plan::published_degree;
use super::{Overlay, RING_SLOTS, Seen};
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
        let is_free = seen.links.degree() < self.most_links();
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
        taken < self.config.degree_cap || (taken < self.most_links() && is_needed())
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
        let (ring, oldest) = (self.ring.neighbors(), self.oldest(seen));
        let links = seen.links.listed().filter(|link| !link.is_dialed());
        let others =
            links.filter(|link| !ring.contains(&link.peer()) && !oldest.contains(&link.peer()));
        let degrees = others.map(|link| (published_degree(seen.view, &link.peer()), link.peer()));
        let enough = SPARES..=self.config.degree_cap;
        let mut spares: Vec<(usize, NodeId)> = degrees
            .filter(|(degree, _)| enough.contains(degree))
            .collect();
        spares.sort_unstable();
        let mut first = spares.into_iter().rev().take(ASKED).map(|(_, id)| id);
        first.find(|id| self.is_joined_without(seen, id, &[]))
    }

    /// The peers with the oldest links: as many as a node aims for.
    fn oldest(&self, seen: &Seen<'_>) -> BTreeSet<NodeId> {
        let listed = seen.links.listed();
        let mut ages: Vec<(Time, NodeId)> =
            listed.map(|link| (link.since(), link.peer())).collect();
        ages.sort_unstable();
        ages.truncate(self.config.degree_target);
        ages.into_iter().map(|(_, peer)| peer).collect()
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
        let (ring, oldest) = (self.ring.neighbors(), self.oldest(seen));
        let kept = |link: &&Link| ring.contains(&link.peer()) || oldest.contains(&link.peer());
        within.retain(|link| !kept(link));
        let youngest = within
            .into_iter()
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
