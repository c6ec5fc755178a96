//! The order in which the addresses of a node are tried, and those that are not tried at all.
//!
//! First comes the same LAN, then what was configured, then what peers observe, then the addresses of interfaces. A private
//! address of an interface is tried by the nodes that share its network, or the address that others observe: they are behind the
//! same NAT. Others try it only if the record names nothing else of its family.
//!
//! No private address is tried of a network that is foreign to this node, whatever the record calls it: a private address is within reach
//! if this node has, or is seen at, one in the same private block, or met somebody there. Otherwise a record could name hosts in
//! the networks of all others.
//!
//! Many networks have the same private addresses. If others see two nodes at different addresses, their private addresses are
//! probably those of two networks, and come last. An address of this node is never one of another node: its own packets would
//! seem to come from there.

use std::net::{IpAddr, SocketAddr};

use crate::membership::nets::private_network;
use crate::record::{AddrKind, PublishedAddr};
use crate::wire::{Realm, dialable};

/// The addresses that may be dialed from a node that publishes `own`, and that met somebody in the private networks of which that is
/// said, the best first.
pub(in crate::membership) fn ways(
    published: &[PublishedAddr],
    over_loopback: bool,
    own: &[PublishedAddr],
    reaches: impl Fn(IpAddr) -> bool,
) -> Vec<SocketAddr> {
    let shares_nat = shares_nat(published, own);
    let seems_elsewhere =
        |one: &PublishedAddr| is_private(one) && are_seen_apart(published, own, one.addr.is_ipv6());
    let mut ranked: Vec<(u8, SocketAddr)> = Vec::new();
    for one in published {
        let rank = match one.kind {
            _ if is_own(one, own) => continue,
            _ if is_near(one, own) && seems_elsewhere(one) => 4,
            _ if is_near(one, own) => 0,
            AddrKind::Local if is_private(one) && shares_nat => 0,
            _ if is_private(one) && !shares_block(one, own) && !reaches(one.addr.ip()) => continue,
            AddrKind::Advertised => 1,
            AddrKind::Observed => 2,
            AddrKind::Local if is_private(one) && has_another(published, one) => continue,
            AddrKind::Local => 3,
        };
        let is_new = ranked.iter().all(|(_, addr)| *addr != one.addr);
        if dialable(&one.addr, over_loopback) && is_new {
            ranked.push((rank, one.addr));
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, addr)| addr).collect()
}

/// Whether a node that publishes these addresses may be at that one, from where a node is that publishes `own`. Of two networks with the
/// same private addresses, only those of one's own count.
pub(super) fn may_be_at(
    published: &[PublishedAddr],
    addr: &SocketAddr,
    own: &[PublishedAddr],
) -> bool {
    let is_at = |one: &&PublishedAddr| one.addr == *addr;
    published
        .iter()
        .find(is_at)
        .is_some_and(|one| !is_private(one) || !are_seen_apart(published, own, addr.is_ipv6()))
}

fn is_private(one: &PublishedAddr) -> bool {
    Realm::of(one.addr.ip()) == Realm::Private
}

/// Whether an interface of ours is in the same network: /24, or /64 in IPv6.
fn is_near(one: &PublishedAddr, own: &[PublishedAddr]) -> bool {
    let network = |addr: &SocketAddr| match addr.ip() {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    };
    let is_local = |mine: &&PublishedAddr| mine.kind == AddrKind::Local;
    own.iter().filter(is_local).any(|mine| {
        mine.addr.is_ipv6() == one.addr.is_ipv6() && network(&mine.addr) == network(&one.addr)
    })
}

/// Whether this node has, or is seen at, an address in the same private block.
fn shares_block(one: &PublishedAddr, own: &[PublishedAddr]) -> bool {
    let block = private_network(one.addr.ip());
    let mut own = own.iter();
    own.any(|mine| private_network(mine.addr.ip()) == block)
}

/// Whether an interface of this node has that address, and this node listens on that port.
fn is_own(one: &PublishedAddr, own: &[PublishedAddr]) -> bool {
    let mut local = own.iter().filter(|mine| mine.kind == AddrKind::Local);
    local.any(|mine| mine.addr == one.addr)
}

/// Whether others see both nodes at one address: it is that of a NAT.
fn shares_nat(published: &[PublishedAddr], own: &[PublishedAddr]) -> bool {
    observed(published).any(|theirs| observed(own).any(|mine| mine.ip() == theirs.ip()))
}

/// Whether others see both nodes from outside, at addresses of that family, but at no common one. In a LAN, nodes see each other
/// at private addresses, which say nothing about a NAT.
fn are_seen_apart(published: &[PublishedAddr], own: &[PublishedAddr], is_v6: bool) -> bool {
    let is_outside =
        |addr: SocketAddr| addr.is_ipv6() == is_v6 && Realm::of(addr.ip()) != Realm::Private;
    let seen = |all| observed(all).any(is_outside);
    seen(published) && seen(own) && !shares_nat(published, own)
}

fn observed(all: &[PublishedAddr]) -> impl Iterator<Item = SocketAddr> {
    let observed = all.iter().filter(|one| one.kind == AddrKind::Observed);
    observed.map(|one| one.addr)
}

/// Whether the record names an address of that family which is no private one of an interface.
fn has_another(published: &[PublishedAddr], one: &PublishedAddr) -> bool {
    let same_family = |other: &&PublishedAddr| other.addr.is_ipv6() == one.addr.is_ipv6();
    let mut others = published.iter().filter(same_family);
    others.any(|other| other.kind != AddrKind::Local || !is_private(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(list: &[(AddrKind, &str)]) -> Vec<PublishedAddr> {
        let new =
            |(kind, addr): &(AddrKind, &str)| PublishedAddr::new(*kind, addr.parse().unwrap());
        list.iter().map(new).collect()
    }

    fn tried(published: &[(AddrKind, &str)], own: &[(AddrKind, &str)]) -> Vec<String> {
        let all = ways(&addrs(published), false, &addrs(own), |_| false);
        all.iter().map(ToString::to_string).collect()
    }

    use AddrKind::{Advertised, Local, Observed};

    #[test]
    fn the_same_lan_comes_first_then_what_is_configured_then_what_is_observed() {
        let published = [
            (Observed, "203.0.113.5:8083"),
            (Advertised, "198.51.100.1:9000"),
            (Local, "192.168.1.5:8083"),
            (Local, "[2001:db8::5]:8083"),
        ];
        let outside = [
            "198.51.100.1:9000",
            "203.0.113.5:8083",
            "[2001:db8::5]:8083",
        ];
        assert_eq!(tried(&published, &[(Local, "192.168.7.5:8083")]), outside);
        let inside = tried(&published, &[(Local, "192.168.1.9:8083")]);
        assert_eq!(inside[0], "192.168.1.5:8083");
        assert_eq!(inside[1..], outside);
        let six = tried(&published, &[(Local, "[2001:db8::9]:8083")]);
        assert_eq!(six[0], "[2001:db8::5]:8083");
    }

    #[test]
    fn behind_one_nat_private_addresses_are_tried_from_another_network_of_it() {
        let published = [(Observed, "203.0.113.5:1"), (Local, "192.168.1.5:8083")];
        let own = [(Observed, "203.0.113.5:2"), (Local, "192.168.2.5:8083")];
        assert_eq!(
            tried(&published, &own),
            ["192.168.1.5:8083", "203.0.113.5:1"]
        );
        let own = [(Observed, "203.0.113.6:2"), (Local, "192.168.2.5:8083")];
        assert_eq!(tried(&published, &own), ["203.0.113.5:1"]);
    }

    #[test]
    fn two_networks_with_the_same_private_addresses_are_told_apart() {
        let published = [(Observed, "203.0.113.5:1"), (Local, "192.168.1.5:8083")];
        let own = [(Observed, "203.0.113.6:2"), (Local, "192.168.1.9:8083")];
        let all = ["203.0.113.5:1", "192.168.1.5:8083"];
        assert_eq!(tried(&published, &own), all, "last");
        let own = [(Observed, "203.0.113.6:2"), (Local, "192.168.1.5:8083")];
        assert_eq!(tried(&published, &own), all[..1], "that is this node");
        let seen_in_the_lan = [(Observed, "192.168.1.5:8083"), (Local, "192.168.1.6:8083")];
        let own = [(Observed, "192.168.1.9:8083"), (Local, "192.168.1.9:8083")];
        assert_eq!(
            tried(&seen_in_the_lan, &own)[1],
            "192.168.1.6:8083",
            "first too"
        );
        let own = [(Local, "192.168.1.5:8084")];
        let two_on_one_host = tried(&published, &own);
        assert_eq!(two_on_one_host, ["192.168.1.5:8083", "203.0.113.5:1"]);
    }

    #[test]
    fn a_private_address_is_tried_where_the_record_names_no_other() {
        let published = [(Local, "10.1.2.3:8083"), (Local, "[2001:db8::5]:8083")];
        let all = ["10.1.2.3:8083", "[2001:db8::5]:8083"];
        assert_eq!(tried(&published, &[(Local, "10.2.0.1:8083")]), all);
    }

    #[test]
    fn a_private_address_of_a_foreign_network_is_not_tried_whatever_it_is_called() {
        let foreign = "10.1.2.3:8083";
        for kind in [Local, Observed, Advertised] {
            let published = [(kind, foreign), (kind, "203.0.113.5:8083")];
            for own in [
                &[(Local, "198.51.100.7:8083")][..],
                &[(Local, "192.168.1.5:8083"), (Observed, "198.51.100.7:1")],
            ] {
                assert_eq!(tried(&published, own), ["203.0.113.5:8083"], "{kind:?}");
            }
            assert!(tried(&published[..1], &[(Local, "192.168.1.5:1")]).is_empty());
        }
        // Somebody was met in that network, or this node is seen in it: it is routed.
        let published = addrs(&[(Local, foreign)]);
        let own = addrs(&[(Local, "192.168.1.5:8083")]);
        let met = |ip: IpAddr| ip == published[0].addr.ip();
        assert_eq!(ways(&published, false, &own, met).len(), 1);
        let own = [(Local, "192.168.1.5:8083"), (Observed, "10.9.9.9:1")];
        assert_eq!(tried(&[(Local, foreign)], &own), [foreign]);
        let unique = [(Local, "[fd00:1:2:3::5]:1")];
        assert_eq!(tried(&unique, &[(Local, "[fd00:1:2:4::6]:1")]).len(), 1);
        assert!(tried(&unique, &[(Local, "[fd00:1:3:3::6]:1")]).is_empty());
    }

    #[test]
    fn what_nobody_may_dial_is_left_out() {
        let published = [
            (Local, "[::1]:1"),
            (Observed, "[fe80::1]:1"),
            (Local, "192.0.2.1:0"),
        ];
        assert!(tried(&published, &[]).is_empty());
    }
}
