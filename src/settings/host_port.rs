//! `HOST:PORT`, as a person writes it: a socket address, a link-local address with the name of an interface, or a DNS name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::wire::canonical;

/// The longest DNS name (RFC 1035, section 2.3.4), without a dot at its end.
const MAX_NAME: usize = 253;
/// The longest label of a DNS name.
const MAX_DNS_LABEL: usize = 63;
/// The longest name of a network interface: the kernel's `IFNAMSIZ` without the zero at its end.
const MAX_INTERFACE: usize = 15;

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostPort {
    /// An address that stands for itself.
    Addr(SocketAddr),
    /// A link-local address on an interface, which may come and go.
    Scoped {
        /// The address.
        ip: Ipv6Addr,
        /// The name of the interface.
        interface: String,
        /// The port.
        port: u16,
    },
    /// A DNS name. What it stands for may change.
    Name {
        /// The name.
        name: String,
        /// The port.
        port: u16,
    },
}

/// Why a text is not [`HostPort`]; the sentence goes on after the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    /// There is no port.
    #[error(
        "has no port; write \"HOST:PORT\", for example \"[::1]:8090\" or \"seed.example:8083\""
    )]
    NoPort,
    /// An IPv6 address without brackets.
    #[error(
        "is an IPv6 address without brackets; write \"[ADDRESS]:PORT\", for example \"[::1]:8090\""
    )]
    NoBrackets,
    /// The port is not a number up to 65535.
    #[error("has a port that is not a number from 1 to 65535")]
    BadPort,
    /// There is no IPv6 address between the brackets.
    #[error("has no IPv6 address between the brackets")]
    BadIpv6,
    /// The name behind `%` can't be an interface's.
    #[error(
        "names an interface after % that can't exist; write for example \"[fe80::1%eth0]:8083\""
    )]
    BadInterface,
    /// An interface is named, and the address is the same on every interface.
    #[error("names an interface, which only a link-local address (fe80::/10) has")]
    NotLinkLocal,
    /// The host is neither an IPv4 address nor a DNS name.
    #[error("has a host that is neither an IPv4 address nor a DNS name")]
    BadName,
    /// Nobody can listen on port 0.
    #[error("can't be dialed: port 0 is not a port that a node can listen on")]
    PortZero,
    /// The unspecified address.
    #[error("can't be dialed: the address is unspecified")]
    Unspecified,
    /// Other links have other hosts at the address.
    #[error("is a link-local address, which means nothing on other links")]
    LinkLocal,
    /// An address of many.
    #[error("can't be dialed: it is a multicast or broadcast address")]
    Multicast,
}

impl HostPort {
    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Addr(addr) => addr.port(),
            Self::Scoped { port, .. } | Self::Name { port, .. } => *port,
        }
    }

    /// Whether it has no meaning beyond one link.
    #[must_use]
    pub fn is_link_local(&self) -> bool {
        match self {
            Self::Addr(addr) => match canonical(addr.ip()) {
                IpAddr::V4(v4) => v4.is_link_local(),
                IpAddr::V6(v6) => v6.is_unicast_link_local(),
            },
            Self::Scoped { .. } => true,
            Self::Name { .. } => false,
        }
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let parsed = match text.parse() {
            Ok(addr) => Self::Addr(addr),
            Err(_) if text.starts_with('[') => bracketed(text)?,
            Err(_) => named(text)?,
        };
        check(&parsed)?;
        Ok(parsed)
    }
}

/// Parses what is not a plain address and begins with a bracket: `[ADDRESS%INTERFACE]:PORT`, or a mistake.
fn bracketed(text: &str) -> Result<HostPort, HostPortError> {
    let (inside, rest) = text[1..].split_once(']').ok_or(HostPortError::BadIpv6)?;
    let port = rest.strip_prefix(':').ok_or(HostPortError::NoPort)?;
    let (ip, interface) = match inside.split_once('%') {
        Some((ip, interface)) => (ip, Some(interface)),
        None => (inside, None),
    };
    let ip: Ipv6Addr = ip.parse().map_err(|_| HostPortError::BadIpv6)?;
    let port = port_of(port)?;
    let Some(interface) = interface else {
        // An address and a port, each right by itself, were an address already.
        return Ok(HostPort::Addr((ip, port).into()));
    };
    let is_name = (1..=MAX_INTERFACE).contains(&interface.len())
        && interface.bytes().all(|byte| byte.is_ascii_graphic())
        && !interface.contains(['/', ':', '%']);
    if !is_name {
        return Err(HostPortError::BadInterface);
    }
    if !ip.is_unicast_link_local() {
        return Err(HostPortError::NotLinkLocal);
    }
    Ok(HostPort::Scoped {
        ip,
        interface: interface.to_owned(),
        port,
    })
}

/// Parses `NAME:PORT`.
fn named(text: &str) -> Result<HostPort, HostPortError> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(HostPortError::NoBrackets);
    }
    let (name, port) = text.rsplit_once(':').ok_or(HostPortError::NoPort)?;
    if name.contains(':') {
        return Err(HostPortError::NoBrackets);
    }
    if !is_dns_name(name) {
        return Err(HostPortError::BadName);
    }
    Ok(HostPort::Name {
        name: name.to_owned(),
        port: port_of(port)?,
    })
}

fn port_of(text: &str) -> Result<u16, HostPortError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|_| digits);
    port.ok_or(HostPortError::BadPort)
}

/// Whether it has the form of a host name (RFC 1123, section 2.1). Underscores are taken too, since some networks use them.
fn is_dns_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=MAX_DNS_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    // No top-level domain is a number: such a name is an IPv4 address with a mistake.
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= MAX_NAME
        && name.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn check(parsed: &HostPort) -> Result<(), HostPortError> {
    if parsed.port() == 0 {
        return Err(HostPortError::PortZero);
    }
    let HostPort::Addr(addr) = parsed else {
        return Ok(());
    };
    let ip = canonical(addr.ip());
    if ip.is_unspecified() {
        Err(HostPortError::Unspecified)
    } else if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Err(HostPortError::Multicast)
    } else {
        Ok(())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(addr) => addr.fmt(f),
            Self::Scoped {
                ip,
                interface,
                port,
            } => write!(f, "[{ip}%{interface}]:{port}"),
            Self::Name { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_a_scoped_address_or_a_name() {
        for addr in ["[::1]:8090", "192.0.2.7:8083", "[fe80::1%7]:8083"] {
            let parsed: HostPort = addr.parse().unwrap();
            assert_eq!(parsed, HostPort::Addr(addr.parse().unwrap()));
            assert_eq!(parsed.to_string(), addr);
        }
        for (text, interface) in [
            ("[fe80::1%eth0]:8083", "eth0"),
            ("[fe80::1%wlp3s0.42]:8083", "wlp3s0.42"),
        ] {
            let parsed: HostPort = text.parse().unwrap();
            let expected = HostPort::Scoped {
                ip: "fe80::1".parse().unwrap(),
                interface: interface.to_owned(),
                port: 8083,
            };
            assert_eq!((&parsed, parsed.to_string().as_str()), (&expected, text));
            assert!(parsed.is_link_local());
        }
        let longest = format!("{}.example:1", vec!["a".repeat(63); 3].join("."));
        for text in ["seed.example:8083", "zoe:8090", "a_b.x-y.:65535", &longest] {
            let parsed: HostPort = text.parse().unwrap();
            assert!(matches!(parsed, HostPort::Name { .. }), "{text}");
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn a_mistake_is_told_by_what_is_wrong() {
        use HostPortError as E;
        let long_label = format!("{}.example:1", "a".repeat(64));
        let long_name = format!("{}:1", vec!["a".repeat(63); 4].join("."));
        for (text, why) in [
            ("", E::NoPort),
            ("seed.example", E::NoPort),
            ("192.0.2.7", E::NoPort),
            ("[::1]", E::NoPort),
            ("::1", E::NoBrackets),
            ("2001:db8::7:8083", E::NoBrackets),
            ("fe80::1%eth0:8083", E::NoBrackets),
            ("seed.example:", E::BadPort),
            ("seed.example:+80", E::BadPort),
            ("seed.example:65536", E::BadPort),
            ("[::1]:http", E::BadPort),
            ("[::1:80", E::BadIpv6),
            ("[seed.example]:80", E::BadIpv6),
            ("[fe80::1%]:80", E::BadInterface),
            ("[fe80::1%sixteen-letters-]:80", E::BadInterface),
            ("[fe80::1%a/b]:80", E::BadInterface),
            ("[fd00::1%eth0]:80", E::NotLinkLocal),
            ("192.0.2.256:80", E::BadName),
            ("192.0.2:80", E::BadName),
            ("a..b:80", E::BadName),
            ("zoë:80", E::BadName),
            (" seed.example:80", E::BadName),
            (&long_label, E::BadName),
            (&long_name, E::BadName),
            ("seed.example:0", E::PortZero),
            ("[fe80::1%eth0]:0", E::PortZero),
            ("[::1]:0", E::PortZero),
            ("[::]:80", E::Unspecified),
            ("[::ffff:0.0.0.0]:80", E::Unspecified),
            ("[ff02::1]:80", E::Multicast),
            ("255.255.255.255:80", E::Multicast),
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(why), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_parsed_is_written_the_same(text: String) {
            if let Ok(parsed) = text.parse::<HostPort>() {
                proptest::prop_assert_eq!(parsed.to_string().parse(), Ok(parsed));
            }
        }
    }
}
