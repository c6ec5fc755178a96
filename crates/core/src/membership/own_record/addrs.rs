//! The addresses that this node publishes: those of the settings, those of its interfaces, and those at which peers see it.
//!
//! Each link carries one vote, the address at which its peer sees this node. A peer changes its vote when it sees another address, and
//! the vote ends with the link. Votes are counted separately for each family, and for loopback, private and global addresses. So
//! many votes for an IPv6 address don't hide the only one for an IPv4 address.
//!
//! Two votes of distinct voters are needed, so that one Byzantine neighbour can't add an address. Ids cost nothing, so voters are
//! networks (/24, or /48 in IPv6). They are hosts only where all who vote are in one network, and nodes only where all are on
//! one host. Where two voters disagree, no new address is believed.
//!
//! One vote is enough for an address of an own interface. A lone voter is believed as well if nobody else could vote, since it is the only
//! neighbour, or if it is at an address of the settings: a LAN often has one link with the outside, to the server that its user named.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::membership::links::{Link, Links};
use crate::membership::nets::host_of;
use crate::record::{AddrKind, MAX_ADDRS, PublishedAddr};
use crate::wire::{Realm, dialable, plain};

/// The most observed addresses that are published. Half as many could not name one of each family and one behind a mapping. Twice as
/// many would leave no room for local addresses.
const MAX_OBSERVED: usize = 4;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct OwnAddrs {
    advertised: Vec<SocketAddr>,
    local: Vec<SocketAddr>,
    observed: Vec<SocketAddr>,
    /// Where nodes came in to which nothing had been sent.
    proven: BTreeSet<SocketAddr>,
    published: Vec<PublishedAddr>,
}

impl OwnAddrs {
    /// The addresses of the interfaces at the start.
    pub(super) fn new(local: &[SocketAddr]) -> Self {
        let mut addrs = Self::default();
        addrs.set(&[], local);
        addrs
    }

    /// Those to publish, in the order in which others should try them.
    pub(super) fn published(&self) -> &[PublishedAddr] {
        &self.published
    }

    /// The settings or the interfaces have other addresses. Returns whether other addresses are published.
    pub(super) fn set(&mut self, advertised: &[SocketAddr], local: &[SocketAddr]) -> bool {
        self.advertised = unique(advertised);
        self.local = unique(local);
        self.compose()
    }

    /// Counts the votes anew; `is_target`: the settings name that address. Returns whether other addresses are published. Without any
    /// vote the last result stands: the node may still be there.
    pub(super) fn observe(
        &mut self,
        links: &Links,
        is_target: impl Fn(&SocketAddr) -> bool,
    ) -> bool {
        let mut classes: BTreeMap<(bool, Realm), Vec<(&Link, SocketAddr)>> = BTreeMap::new();
        for link in links.iter().filter(|link| link.is_live()) {
            let vote = link.observed().map(|addr| plain(&addr));
            let vote = vote.filter(is_publishable);
            if let Some(vote) = vote {
                classes.entry(class(&vote)).or_default().push((link, vote));
            }
        }
        if classes.is_empty() {
            return self.is_elsewhere(links);
        }
        let is_only_neighbor = links.iter().filter(|link| link.is_live()).count() == 1;
        let mut winners: Vec<(SocketAddr, usize)> = Vec::new();
        for votes in classes.values() {
            let (voters, counts) = count(votes);
            let is_named = || votes.iter().any(|(link, _)| is_target(&link.remote()));
            let is_trusted = voters == 1 && (is_only_neighbor || is_named());
            let wins = |(addr, count): &(SocketAddr, usize)| {
                let is_own = self.local.iter().any(|local| local.ip() == addr.ip());
                let is_believed = voters <= 2 && self.observed.contains(addr);
                *count >= 2 || is_own || is_trusted || is_believed
            };
            winners.extend(counts.into_iter().filter(wins));
        }
        winners.sort_by_key(|(addr, count)| (std::cmp::Reverse(*count), *addr));
        self.observed = winners.into_iter().map(|(addr, _)| addr).collect();
        self.observed.truncate(MAX_OBSERVED);
        self.compose()
    }

    /// Without a vote, peers that see this node at another port can still say that it is elsewhere. Returns whether that ends
    /// an address.
    fn is_elsewhere(&mut self, links: &Links) -> bool {
        let live = links.iter().filter(|link| link.is_live());
        let hosts: Vec<IpAddr> = live.map(Link::observed_host).collect();
        let told = |addr: &SocketAddr| {
            let of_class = hosts.iter().filter(|host| class_of(**host) == class(addr));
            of_class.count() > 0 && !hosts.contains(&addr.ip())
        };
        if !self.observed.iter().any(told) {
            return false;
        }
        self.observed.retain(|addr| !told(addr));
        self.compose()
    }

    /// A node to which nothing had been sent came in by this address. It is published with the next record: nobody waits for it.
    pub(super) fn prove(&mut self, addr: SocketAddr) {
        let addr = plain(&addr);
        if self.published.iter().any(|one| one.addr == addr) {
            self.proven.insert(addr);
            self.compose();
        }
    }

    fn compose(&mut self) -> bool {
        let kind = |kind, addrs: &[SocketAddr]| -> Vec<PublishedAddr> {
            let new = |addr: &SocketAddr| PublishedAddr::new(kind, *addr);
            addrs.iter().map(new).collect()
        };
        // An address that an interface has stays local, whoever confirms it: the record does not change for that.
        let elsewhere = |addr: &SocketAddr| !self.local.contains(addr);
        let elsewhere = self.observed.iter().copied().filter(elsewhere);
        let elsewhere: Vec<SocketAddr> = elsewhere.collect();
        let mut all = kind(AddrKind::Advertised, &self.advertised);
        all.extend(kind(AddrKind::Observed, &elsewhere));
        all.extend(kind(AddrKind::Local, &self.local));
        let is_loopback = |one: &PublishedAddr| one.addr.ip().is_loopback();
        let only_loopback = all.iter().all(is_loopback);
        let listens = !self.local.is_empty();
        all.retain(|one| {
            !is_loopback(one) || only_loopback && (one.kind != AddrKind::Observed || !listens)
        });
        let mut seen = BTreeSet::new();
        all.retain(|one| is_publishable(&one.addr) && seen.insert(one.addr));
        all.truncate(MAX_ADDRS);
        self.proven
            .retain(|addr| all.iter().any(|one| one.addr == *addr));
        for one in &mut all {
            one.dialable = self.proven.contains(&one.addr);
        }
        let is_same = |before: &[PublishedAddr]| {
            let plain = |one: &PublishedAddr| (one.kind, one.addr);
            before.iter().map(plain).eq(all.iter().map(plain))
        };
        let changed = !is_same(&self.published);
        self.published = all;
        changed
    }
}

/// The number of voters, and the number of them for each address.
fn count(votes: &[(&Link, SocketAddr)]) -> (usize, BTreeMap<SocketAddr, usize>) {
    let of = |level: usize, link: &Link| {
        (
            part(link.remote().ip(), level),
            (level == 2).then(|| link.peer()),
        )
    };
    let mut level = 0;
    let voters = loop {
        let voters: BTreeSet<_> = votes.iter().map(|(link, _)| of(level, link)).collect();
        if voters.len() > 1 || level == 2 {
            break voters.len();
        }
        level += 1;
    };
    let cast: BTreeSet<_> = votes
        .iter()
        .map(|(link, vote)| (*vote, of(level, link)))
        .collect();
    let mut counts: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    for (vote, _) in cast {
        *counts.entry(vote).or_default() += 1;
    }
    (voters, counts)
}

/// The part of the address space in which a voter is: its network, or its host. A provider gives a customer a /48 of IPv6, or a
/// part of it.
fn part(ip: IpAddr, level: usize) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) if level == 0 => IpAddr::V4((v4.to_bits() & !0xff).into()),
        IpAddr::V6(v6) if level == 0 && !v6.is_loopback() => {
            IpAddr::V6((v6.to_bits() >> 80 << 80).into())
        }
        ip => host_of(ip),
    }
}

fn unique(addrs: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut seen = BTreeSet::new();
    let plain = addrs.iter().map(plain);
    plain.filter(|addr| seen.insert(*addr)).collect()
}

/// Link-local addresses never leave their link: elsewhere they name nobody, or somebody else.
fn is_publishable(addr: &SocketAddr) -> bool {
    dialable(addr, true)
}

fn class(addr: &SocketAddr) -> (bool, Realm) {
    class_of(addr.ip())
}

fn class_of(ip: IpAddr) -> (bool, Realm) {
    (ip.is_ipv6(), Realm::of(ip))
}

#[cfg(test)]
mod tests;
