//! The addresses of this machine, followed as they come and go.
//!
//! [`Interfaces`] is what the system lists at one moment. [`follow()`] lists it again after each change: on Linux the kernel announces
//! changes over netlink, elsewhere the list is read every few seconds. The announcements are not parsed. They say that
//! something changed, and `getifaddrs` says what there is now; so a lost announcement costs nothing once another one comes.

mod follow;
mod hints;
#[cfg(target_os = "linux")]
mod netlink;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

pub use follow::follow;
use hints::Hints;

use crate::wire::canonical;

/// The most addresses that a node publishes of its interfaces: as many as a record holds. A machine with many container networks
/// has more, of which most lead nowhere from other machines.
pub const MAX_LOCAL: usize = 8;
/// A network interface that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// Its index, which is the scope id of link-local addresses on it.
    pub index: u32,
    /// It leads to this machine only.
    pub is_loopback: bool,
    /// Packets to many can be sent over it.
    pub has_multicast: bool,
    /// How likely others reach its addresses.
    standing: Standing,
    addrs: BTreeMap<IpAddr, Held>,
}

/// An address that an interface has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    state: State,
    /// How many leading bits all addresses on the link share with it.
    prefix: u32,
}

/// How likely other machines reach the addresses of an interface, the likeliest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// A default route leads over it.
    DefaultRoute,
    /// Neither of the others.
    Plain,
    /// A bridge without a default route: usually the network of containers or virtual machines on this machine.
    InnerBridge,
}

/// The state of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// It can be used.
    Usable,
    /// It can be used, and will be given up soon: a temporary address (RFC 8981) or a deprecated one.
    Passing,
    /// Duplicate address detection is under way or has failed (RFC 4862, section 5.4): it can't be bound.
    Tentative,
}

/// The interfaces that are up, in the order of their indices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces(Vec<Interface>);

impl Interfaces {
    /// Reads the list.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn read() -> io::Result<Self> {
        let hints = Hints::read();
        let mut found: BTreeMap<u32, Interface> = BTreeMap::new();
        for entry in getifaddrs()? {
            let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
            if !entry.flags.contains(up) {
                continue;
            }
            // An IPv4 address can have a label of its own, such as `eth0:1`.
            let name = entry.interface_name.split(':').next().unwrap_or_default();
            // The interface may be gone by now.
            let Ok(index) = if_nametoindex(name) else {
                continue;
            };
            let interface = found.entry(index).or_insert_with(|| Interface {
                name: name.to_owned(),
                index,
                is_loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
                has_multicast: entry.flags.contains(InterfaceFlags::IFF_MULTICAST),
                standing: hints.standing(name),
                addrs: BTreeMap::new(),
            });
            if let Some(ip) = ip_of(&entry) {
                let (state, prefix) = (hints.state(ip, index), prefix_of(&entry));
                interface.addrs.insert(ip, Held { state, prefix });
            }
        }
        Ok(Self(found.into_values().collect()))
    }

    /// Every interface.
    pub fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.0.iter()
    }

    /// Whether this machine has the address, and it can be bound.
    #[must_use]
    pub fn has(&self, ip: IpAddr) -> bool {
        self.state(ip)
            .is_some_and(|state| state != State::Tentative)
    }

    /// The interface on which duplicate address detection holds the address up.
    #[must_use]
    pub fn tentative_on(&self, ip: IpAddr) -> Option<&str> {
        let waits = |one: &&Interface| {
            let held = one.addrs.get(&ip);
            held.is_some_and(|held| held.state == State::Tentative)
        };
        Some(self.0.iter().find(waits)?.name.as_str())
    }

    fn state(&self, ip: IpAddr) -> Option<State> {
        let held = self.0.iter().filter_map(|one| one.addrs.get(&ip));
        held.map(|held| held.state).min()
    }

    /// Whether nothing is known of any interface.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The index of the interface that has the address.
    #[must_use]
    pub fn scope_of(&self, ip: IpAddr) -> Option<u32> {
        let with = self.0.iter().find(|one| one.addrs.contains_key(&ip))?;
        Some(with.index)
    }

    /// Whether the address belongs to a link of this machine, so that a packet from there was not routed. That of a link-local
    /// address is its scope.
    #[must_use]
    pub fn is_on_link(&self, addr: SocketAddr) -> bool {
        if let SocketAddr::V6(v6) = addr
            && v6.ip().is_unicast_link_local()
        {
            return self.0.iter().any(|one| one.index == v6.scope_id());
        }
        let mut held = self.0.iter().flat_map(|one| &one.addrs);
        held.any(|(ip, held)| share(*ip, addr.ip(), held.prefix))
    }

    /// The index of the interface of that name.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<u32> {
        let named = self.0.iter().find(|one| one.name == name)?;
        Some(named.index)
    }

    /// Every address that can be bound.
    #[must_use]
    pub fn addrs(&self) -> BTreeSet<IpAddr> {
        let all = self.0.iter().flat_map(Interface::usable);
        all.collect()
    }

    /// The addresses that other machines may reach, the likeliest first: neither loopback nor link-local ones, and at most
    /// [`MAX_LOCAL`]. A machine may have a routed address on its loopback interface.
    ///
    /// Bridges of containers come last. Before them, the first address of each interface and family precedes any second one, so
    /// that the limit leaves out no network before it leaves out doubles.
    #[must_use]
    pub fn reachable(&self) -> Vec<IpAddr> {
        let mut ranked = Vec::new();
        for interface in &self.0 {
            let mut addrs: Vec<(State, bool, IpAddr)> = interface
                .addrs
                .iter()
                .filter(|(ip, held)| held.state != State::Tentative && is_routable(**ip))
                .map(|(&ip, held)| (held.state, is_private(ip), ip))
                .collect();
            addrs.sort();
            let (mut of_v6, mut of_v4) = (0, 0);
            for (state, private, ip) in addrs {
                let nth = if ip.is_ipv6() { &mut of_v6 } else { &mut of_v4 };
                let inner = interface.standing == Standing::InnerBridge;
                let place = (interface.standing, private, interface.index);
                ranked.push(((inner, *nth, state, place), ip));
                *nth += 1;
            }
        }
        // Stable: IPv6 addresses come after IPv4 ones in the map, and before them here.
        ranked.sort_by_key(|(rank, ip)| (*rank, ip.is_ipv4()));
        let mut reachable: Vec<IpAddr> = Vec::new();
        for (_, ip) in ranked {
            if !reachable.contains(&ip) {
                reachable.push(ip);
            }
        }
        reachable.truncate(MAX_LOCAL);
        reachable
    }
}

/// The interfaces with their addresses, for people.
impl fmt::Display for Interfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_addrs = self.0.iter().filter(|one| !one.addrs.is_empty());
        let words = with_addrs.map(|one| {
            let addrs = one.addrs.iter().map(|(ip, held)| match held.state {
                State::Usable | State::Passing => ip.to_string(),
                State::Tentative => format!("{ip} (tentative)"),
            });
            let addrs: Vec<_> = addrs.collect();
            format!("{} {}", one.name, addrs.join(" "))
        });
        let words: Vec<_> = words.collect();
        f.write_str(&words.join(", "))
    }
}

impl Interface {
    /// Its addresses that can be bound.
    pub fn usable(&self) -> impl Iterator<Item = IpAddr> {
        let usable = self
            .addrs
            .iter()
            .filter(|(_, held)| held.state != State::Tentative);
        usable.map(|(ip, _)| *ip)
    }
}

fn ip_of(entry: &InterfaceAddress) -> Option<IpAddr> {
    ip_in(entry.address.as_ref()?)
}

/// The number of leading ones of the netmask; all bits if there is none.
fn prefix_of(entry: &InterfaceAddress) -> u32 {
    match entry.netmask.as_ref().and_then(ip_in) {
        Some(IpAddr::V4(v4)) => v4.to_bits().leading_ones(),
        Some(IpAddr::V6(v6)) => v6.to_bits().leading_ones(),
        None => u128::BITS,
    }
}

/// Whether two addresses of one family share that many leading bits. No bits at all mean nothing.
fn share(one: IpAddr, other: IpAddr, prefix: u32) -> bool {
    let differ = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    prefix > 0 && (differ >= prefix || one == other)
}

fn ip_in(addr: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = addr.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| addr.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// Whether the address means the same on other links.
fn is_routable(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !link_local && !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast()
}

/// Whether the address means something within a site only (RFC 1918, RFC 4193).
fn is_private(ip: IpAddr) -> bool {
    match canonical(ip) {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

#[cfg(test)]
mod tests;
