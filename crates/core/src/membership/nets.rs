//! Which addresses belong to one host, or to one private network, as pure functions.

use std::net::{IpAddr, Ipv6Addr};

/// What counts as one host: all addresses of a /64 may belong to one machine.
pub(super) fn host_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) if v6.is_loopback() => v6.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

/// How many bits of a private address tell its network. Nodes within one of the IPv4 blocks may be in one routed network; a prefix of
/// 48 bits in IPv6 was drawn by lot for one site (RFC 4193).
fn private_bits(ip: IpAddr) -> Option<u32> {
    match ip.to_canonical() {
        IpAddr::V4(v4) => match v4.octets() {
            [10, ..] => Some(8),
            [172, second, ..] if second & 0xf0 == 16 => Some(12),
            [192, 168, ..] => Some(16),
            [100, second, ..] if second & 0xc0 == 64 => Some(10),
            _ => None,
        },
        IpAddr::V6(v6) => v6.is_unique_local().then_some(48),
    }
}

/// The first address of the private network in which an address is; the address itself, where it is not private.
pub(super) fn first_of(ip: IpAddr) -> IpAddr {
    let ip = ip.to_canonical();
    match (ip, private_bits(ip)) {
        (_, None) => ip,
        (IpAddr::V4(v4), Some(bits)) => {
            IpAddr::V4((v4.to_bits() >> (32 - bits) << (32 - bits)).into())
        }
        (IpAddr::V6(v6), Some(bits)) => {
            IpAddr::V6((v6.to_bits() >> (128 - bits) << (128 - bits)).into())
        }
    }
}

/// The private network in which an address is.
pub(super) fn private_network(ip: IpAddr) -> Option<IpAddr> {
    private_bits(ip).map(|_| first_of(ip))
}
