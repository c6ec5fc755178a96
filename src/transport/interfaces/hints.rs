//! What `getifaddrs` leaves out: over which interfaces default routes lead, and the states of addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
#[cfg(target_os = "linux")]
use std::net::Ipv6Addr;

use super::{Standing, State};

/// What `getifaddrs` leaves out.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// The interfaces over which a default route leads.
    default_routes: BTreeSet<String>,
    #[cfg(target_os = "linux")]
    v6: BTreeMap<(Ipv6Addr, u32), State>,
}

#[cfg(not(target_os = "linux"))]
impl Hints {
    pub(super) fn read() -> Self {
        Self::default()
    }

    pub(super) fn state(&self, _ip: IpAddr, _index: u32) -> State {
        State::Usable
    }

    pub(super) fn standing(&self, _name: &str) -> Standing {
        Standing::Plain
    }
}

#[cfg(target_os = "linux")]
impl Hints {
    /// Reads the files of the kernel; a missing one gives no hints.
    pub(super) fn read() -> Self {
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

    pub(super) fn state(&self, ip: IpAddr, index: u32) -> State {
        let IpAddr::V6(v6) = ip else {
            return State::Usable;
        };
        let state = self.v6.get(&(v6, index)).copied();
        state.unwrap_or(State::Usable)
    }

    pub(super) fn standing(&self, name: &str) -> Standing {
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

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

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
