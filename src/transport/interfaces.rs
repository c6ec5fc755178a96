//! The addresses of this machine, followed as they come and go.
//!
//! [`Interfaces`] is what the system lists at one moment. [`follow`] lists it again after each change: on Linux the kernel announces
//! changes over netlink, elsewhere the list is read every few seconds. The announcements are not parsed. They say that
//! something changed, and `getifaddrs` says what there is now; so a lost announcement costs nothing once another one comes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
#[cfg(target_os = "linux")]
use std::net::Ipv6Addr;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;
use tokio::sync::watch;

use crate::wire::canonical;

/// The most addresses that a node publishes of its interfaces: as many as a record holds. A machine with many container networks
/// has more, of which most lead nowhere from other machines.
pub const MAX_LOCAL: usize = 8;
/// The least time between two readings of the list. One change of an interface is announced several times within
/// milliseconds; with half as much, the list is read more often for nothing; with twice as much, the last of several
/// changes is heard of later.
const PAUSE: Duration = Duration::from_millis(50);
/// The time between two readings where the system announces nothing. Half as long costs an idle node twice the wake-ups, twice as
/// long leaves a node unreachable for as long after its address changed.
const POLL: Duration = Duration::from_secs(5);

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

/// What `getifaddrs` leaves out.
#[derive(Debug, Default)]
struct Hints {
    /// The interfaces over which a default route leads.
    default_routes: BTreeSet<String>,
    #[cfg(target_os = "linux")]
    v6: BTreeMap<(Ipv6Addr, u32), State>,
}

#[cfg(not(target_os = "linux"))]
impl Hints {
    fn read() -> Self {
        Self::default()
    }

    fn state(&self, _ip: IpAddr, _index: u32) -> State {
        State::Usable
    }

    fn standing(&self, _name: &str) -> Standing {
        Standing::Plain
    }
}

#[cfg(target_os = "linux")]
impl Hints {
    /// Reads the files of the kernel; a missing one gives no hints.
    fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let v4 = text("/proc/net/route");
        let v6 = text("/proc/net/ipv6_route");
        let routes = v4.lines().filter_map(v4_default_route);
        let routes = routes.chain(v6.lines().filter_map(v6_default_route));
        let addrs = text("/proc/net/if_inet6");
        Self {
            default_routes: routes.map(str::to_owned).collect(),
            v6: addrs.lines().filter_map(v6_state).collect(),
        }
    }

    fn state(&self, ip: IpAddr, index: u32) -> State {
        let IpAddr::V6(v6) = ip else {
            return State::Usable;
        };
        let state = self.v6.get(&(v6, index)).copied();
        state.unwrap_or(State::Usable)
    }

    fn standing(&self, name: &str) -> Standing {
        let bridge = format!("/sys/class/net/{name}/bridge");
        if self.default_routes.contains(name) {
            Standing::DefaultRoute
        } else if std::path::Path::new(&bridge).exists() {
            Standing::InnerBridge
        } else {
            Standing::Plain
        }
    }
}

/// The interface of a default route in a line of `/proc/net/route`: interface, destination, gateway, flags, three counters, mask.
#[cfg(target_os = "linux")]
fn v4_default_route(line: &str) -> Option<&str> {
    let words: Vec<_> = line.split_whitespace().collect();
    let is_default = *words.get(1)? == "00000000" && *words.get(7)? == "00000000";
    is_default.then_some(words[0])
}

/// The interface of a default route in a line of `/proc/net/ipv6_route`: destination, prefix length, six more, flags, interface. The
/// kernel keeps a default route on `lo` that rejects packets.
#[cfg(target_os = "linux")]
fn v6_default_route(line: &str) -> Option<&str> {
    let words: Vec<_> = line.split_whitespace().collect();
    let to_all = words.first()?.bytes().all(|digit| digit == b'0') && *words.get(1)? == "00";
    let interface = *words.get(9)?;
    (to_all && interface != "lo").then_some(interface)
}

/// The address, interface index and state in a line of `/proc/net/if_inet6`: address, index, prefix length, scope, flags, interface.
#[cfg(target_os = "linux")]
fn v6_state(line: &str) -> Option<((Ipv6Addr, u32), State)> {
    /// `IFA_F_TEMPORARY` and `IFA_F_DEPRECATED` of the kernel's `if_addr.h`.
    const PASSING: u32 = 0x01 | 0x20;
    /// `IFA_F_DADFAILED` and `IFA_F_TENTATIVE`.
    const NOT_YET: u32 = 0x08 | 0x40;
    /// `IFA_F_OPTIMISTIC`: it can be bound while duplicate address detection is under way (RFC 4429).
    const OPTIMISTIC: u32 = 0x04;
    let words: Vec<_> = line.split_whitespace().collect();
    let addr = u128::from_str_radix(words.first()?, 16).ok()?;
    let index = u32::from_str_radix(words.get(1)?, 16).ok()?;
    let flags = u32::from_str_radix(words.get(4)?, 16).ok()?;
    let state = if flags & NOT_YET != 0 && flags & OPTIMISTIC == 0 {
        State::Tentative
    } else if flags & PASSING != 0 {
        State::Passing
    } else {
        State::Usable
    };
    Some(((Ipv6Addr::from_bits(addr), index), state))
}

/// Follows the interfaces from now on, as long as somebody holds the receiver. Must be called within tokio's runtime.
///
/// A system that lists no interfaces gives an empty list, and a warning in the log at debug level: the node runs without it.
#[must_use]
pub fn follow() -> watch::Receiver<Arc<Interfaces>> {
    // Before the first reading: no change may fall between the two.
    let news = News::open();
    let first = Interfaces::read().unwrap_or_else(|error| {
        tracing::debug!(%error, "interfaces unavailable");
        Interfaces::default()
    });
    let (sender, receiver) = watch::channel(Arc::new(first));
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = sender.closed() => {}
            () = read_again(news, &sender) => {}
        }
    });
    receiver
}

async fn read_again(mut news: News, sender: &watch::Sender<Arc<Interfaces>>) {
    loop {
        news.next().await;
        // A failed reading changes nothing; the next change reads again.
        if let Ok(now) = Interfaces::read() {
            sender.send_if_modified(|before| {
                let changed = **before != now;
                if changed {
                    *before = Arc::new(now);
                }
                changed
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The kernel's announcements. `None`: there are none, and time passes in place of them.
struct News(#[cfg(target_os = "linux")] Option<netlink::Announcements>);

#[cfg(not(target_os = "linux"))]
impl News {
    fn open() -> Self {
        Self()
    }

    async fn next(&mut self) {
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(target_os = "linux")]
impl News {
    fn open() -> Self {
        let opened = netlink::Announcements::open();
        Self(
            opened
                .inspect_err(|error| tracing::debug!(%error, "netlink unavailable"))
                .ok(),
        )
    }

    /// Waits for the next change.
    async fn next(&mut self) {
        if let Some(announcements) = &self.0
            && announcements.next().await.is_ok()
        {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(target_os = "linux")]
mod netlink {
    use std::io;
    use std::os::fd::{AsRawFd as _, OwnedFd};

    use nix::errno::Errno;
    use nix::libc::{RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK};
    use nix::sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::super::kernel::own;

    /// The most announcements that are read in a row: more than one change makes.
    const AT_ONCE: usize = 256;

    /// A netlink socket that hears of links and addresses (rtnetlink(7)).
    pub(super) struct Announcements(AsyncFd<OwnedFd>);

    impl Announcements {
        pub(super) fn open() -> io::Result<Self> {
            let socket = socket(
                AddressFamily::Netlink,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
                SockProtocol::NetlinkRoute,
            )?;
            let groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
            let groups = u32::try_from(groups).expect("a few low bits");
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
            Ok(Self(own(socket, Interest::READABLE)?))
        }

        /// Waits for an announcement, and empties the queue.
        pub(super) async fn next(&self) -> io::Result<()> {
            let mut guard = self.0.readable().await?;
            // The contents don't matter, so they may be cut off.
            let mut start = [0; 64];
            for _ in 0..AT_ONCE {
                let fd = self.0.get_ref().as_raw_fd();
                match recv(fd, &mut start, MsgFlags::MSG_DONTWAIT) {
                    // The queue overflowed, so announcements are missing: one more reason to read the list.
                    Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => {
                        guard.clear_ready();
                        break;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, standing: Standing, addrs: &[&str]) -> Interface {
        let addrs = addrs
            .iter()
            .map(|addr| (addr.parse().unwrap(), held(State::Usable)));
        Interface {
            name: format!("eth{index}"),
            index,
            is_loopback: false,
            has_multicast: true,
            standing,
            addrs: addrs.collect(),
        }
    }

    fn held(state: State) -> Held {
        Held { state, prefix: 24 }
    }

    fn texts(addrs: &[IpAddr]) -> Vec<String> {
        addrs.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn this_machine_has_its_loopback_addresses() {
        let receiver = follow();
        let now = receiver.borrow().clone();
        let lo: IpAddr = "127.0.0.1".parse().unwrap();
        assert!(now.has(lo) && now.addrs().contains(&lo), "{now}");
        assert!(!now.reachable().contains(&lo));
        let loopback = now.iter().find(|one| one.is_loopback).unwrap();
        assert_eq!(now.index_of(&loopback.name), Some(loopback.index));
    }

    #[test]
    fn the_likeliest_addresses_come_first_and_bridges_of_containers_last() {
        let eth = [
            "fe80::1",
            "192.168.1.2",
            "fd00::2",
            "2001:db8::2",
            "2001:db8::3",
        ];
        let mut all = vec![
            interface(2, Standing::InnerBridge, &["172.17.0.1", "fd17::1"]),
            interface(3, Standing::Plain, &["10.0.0.1", "169.254.1.1"]),
            interface(4, Standing::DefaultRoute, &eth),
        ];
        let reachable = Interfaces(all.clone()).reachable();
        assert_eq!(
            texts(&reachable),
            [
                "2001:db8::2",
                "192.168.1.2",
                "10.0.0.1",
                "2001:db8::3",
                "fd00::2",
                "fd17::1",
                "172.17.0.1"
            ]
        );
        for index in 5..20 {
            let addr = format!("172.{index}.0.1");
            all.push(interface(index, Standing::InnerBridge, &[&addr]));
        }
        let limited = Interfaces(all).reachable();
        assert_eq!(limited.len(), MAX_LOCAL);
        assert_eq!(limited[..5], reachable[..5]);
    }

    #[test]
    fn a_tentative_address_is_not_published_and_a_passing_one_comes_late() {
        let mut one = interface(2, Standing::Plain, &["2001:db8::1", "2001:db8::9"]);
        one.addrs
            .insert("2001:db8::1".parse().unwrap(), held(State::Passing));
        one.addrs
            .insert("2001:db8::5".parse().unwrap(), held(State::Tentative));
        let all = Interfaces(vec![one]);
        assert_eq!(texts(&all.reachable()), ["2001:db8::9", "2001:db8::1"]);
        assert_eq!(
            all.tentative_on("2001:db8::5".parse().unwrap()),
            Some("eth2")
        );
        assert!(!all.has("2001:db8::5".parse().unwrap()));
        assert_eq!(
            all.to_string(),
            "eth2 2001:db8::1 2001:db8::5 (tentative) 2001:db8::9"
        );
    }

    #[test]
    fn an_address_is_on_link_by_its_prefix_or_its_scope() {
        let one = interface(4, Standing::Plain, &["192.168.1.2", "fd00:1::2", "fe80::2"]);
        let all = Interfaces(vec![one]);
        let is_on_link = |addr: &str| all.is_on_link(addr.parse().unwrap());
        assert!(is_on_link("192.168.1.77:9") && !is_on_link("192.168.2.77:9"));
        assert!(is_on_link("[fd00:1::77]:9") && !is_on_link("[2001:db8::1]:9"));
        assert!(is_on_link("[fe80::77%4]:9") && !is_on_link("[fe80::77%5]:9"));
        let any = |prefix| {
            share(
                "10.0.0.1".parse().unwrap(),
                "192.0.2.1".parse().unwrap(),
                prefix,
            )
        };
        assert!(!any(0) && !any(8));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_files_of_the_kernel_tell_default_routes_and_states() {
        assert_eq!(
            v4_default_route("eth0 00000000 0101A8C0 0003 0 0 100 00000000 0 0 0"),
            Some("eth0")
        );
        assert_eq!(
            v4_default_route("eth0 0001A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0"),
            None
        );
        let zeros = "0".repeat(32);
        let route = |length: &str, interface: &str| {
            format!(
                "{zeros} {length} {zeros} 00 {zeros} 00000400 00000001 00000000 00000003 {interface}"
            )
        };
        assert_eq!(v6_default_route(&route("00", "eth0")), Some("eth0"));
        assert_eq!(v6_default_route(&route("00", "lo")), None);
        assert_eq!(v6_default_route(&route("01", "eth0")), None);
        let addr = "fd000000000000000000000000000002";
        let state = |flags: &str| v6_state(&format!("{addr} 0a 40 00 {flags} eth0")).unwrap();
        let key = ("fd00::2".parse().unwrap(), 10);
        assert_eq!(state("80"), (key, State::Usable));
        assert_eq!(state("c0"), (key, State::Tentative));
        assert_eq!(state("88"), (key, State::Tentative));
        assert_eq!(state("44"), (key, State::Usable));
        assert_eq!(state("01"), (key, State::Passing));
        for broken in ["", "zz 0a 40 00 80 eth0", "00 0a"] {
            assert_eq!(v6_state(broken), None, "{broken}");
            assert_eq!(v4_default_route(broken), None, "{broken}");
            assert_eq!(v6_default_route(broken), None, "{broken}");
        }
    }
}
