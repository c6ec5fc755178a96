//! The target file: a JSON array of socket addresses and DNS names, each with a port.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::host_port::{HostPort, HostPortError};
use super::shown::shown;
use super::text::{EncodingError, decode};
use crate::wire::canonical;

/// The largest number of targets. One target that is up is enough to join, but the peers.json of a network of ten thousand nodes
/// must be usable as a target file.
pub const MAX_TARGETS: usize = 65_536;

/// The largest target file, in bytes: over 100 bytes for each of [`MAX_TARGETS`] entries.
pub const MAX_TARGET_BYTES: u64 = 8 << 20;

/// Why a target file is unusable.
#[derive(Debug, thiserror::Error)]
pub enum TargetsError {
    /// It is missing or unreadable.
    #[error("can't read it")]
    Unreadable(#[source] io::Error),
    /// It is larger than [`MAX_TARGET_BYTES`].
    #[error("it has more than {MAX_TARGET_BYTES} bytes")]
    TooLarge,
    /// It is not in UTF-8.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// It is not JSON; the source names the line and column.
    #[error("it is not valid JSON")]
    NotJson(#[source] serde_json::Error),
    /// It is not JSON, because a comment begins there.
    #[error("it is not valid JSON, which has no comments; remove the one in line {0}")]
    Comment(usize),
    /// It is JSON, but not an array.
    #[error("it must be a JSON array such as [\"[::1]:8090\"], but is {0}")]
    NotAnArray(&'static str),
    /// It has more than [`MAX_TARGETS`] entries.
    #[error("it has {0} entries; at most {MAX_TARGETS} are allowed")]
    TooMany(usize),
    /// An entry is not a string.
    #[error(
        "entry {number}: {value} is not an address with a port; write for example \"[::1]:8090\""
    )]
    NotAString {
        /// The entry's number, counted from 1.
        number: usize,
        /// The entry, as JSON.
        value: String,
    },
    /// An entry is not `HOST:PORT`, or no node can be dialed there.
    #[error("entry {number}: {value} {why}")]
    BadEntry {
        /// The entry's number, counted from 1.
        number: usize,
        /// The entry, as JSON.
        value: String,
        /// The reason.
        why: HostPortError,
    },
}

/// A target whose addresses are found out anew each time it is dialed: a DNS name, or an address on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTarget {
    /// The entry's number in the target file, counted from 1.
    pub entry: usize,
    /// The entry.
    pub at: HostPort,
}

/// The entries of a target file, from the view of one node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Targets {
    /// The addresses to dial, in the order of the file, without duplicates.
    pub(crate) others: Vec<SocketAddr>,
    /// The targets to resolve, in the order of the file, without duplicates.
    pub(crate) named: Vec<NamedTarget>,
    /// The addresses that lead to the node itself.
    pub(super) own: Vec<SocketAddr>,
}

impl Targets {
    /// Reads the target file of a node that listens on `listen`.
    pub(super) fn from_file(path: &Path, listen: SocketAddr) -> Result<Self, TargetsError> {
        let mut json = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_TARGET_BYTES + 1).read_to_end(&mut json))
            .map_err(TargetsError::Unreadable)?;
        if json.len() as u64 > MAX_TARGET_BYTES {
            return Err(TargetsError::TooLarge);
        }
        Self::from_json(&json, listen)
    }

    pub(crate) fn from_json(json: &[u8], listen: SocketAddr) -> Result<Self, TargetsError> {
        use serde_json::Value;

        let json = decode(json)?;
        let entries = match serde_json::from_str(json).map_err(|error| not_json(json, error))? {
            Value::Array(entries) => entries,
            Value::Null => return Err(TargetsError::NotAnArray("null")),
            Value::Bool(_) => return Err(TargetsError::NotAnArray("a boolean")),
            Value::Number(_) => return Err(TargetsError::NotAnArray("a number")),
            Value::String(_) => return Err(TargetsError::NotAnArray("a string")),
            Value::Object(_) => return Err(TargetsError::NotAnArray("an object")),
        };
        if entries.len() > MAX_TARGETS {
            return Err(TargetsError::TooMany(entries.len()));
        }
        let mut targets = Self::default();
        let mut seen = BTreeSet::new();
        for (number, entry) in (1..).zip(&entries) {
            let at = target(number, entry)?;
            let at = match at {
                HostPort::Addr(addr) => HostPort::Addr(as_dialed(addr)),
                at @ (HostPort::Scoped { .. } | HostPort::Name { .. }) => at,
            };
            if !seen.insert(at.clone()) {
                continue;
            }
            match at {
                HostPort::Addr(addr) if leads_to(listen, addr) => targets.own.push(addr),
                HostPort::Addr(addr) => targets.others.push(addr),
                HostPort::Scoped { .. } | HostPort::Name { .. } => {
                    targets.named.push(NamedTarget { entry: number, at });
                }
            }
        }
        Ok(targets)
    }
}

/// An error of syntax, which may be a comment.
fn not_json(json: &str, error: serde_json::Error) -> TargetsError {
    let line = json.split('\n').nth(error.line().saturating_sub(1));
    let from = error.column().saturating_sub(1);
    let at = line.and_then(|line| line.as_bytes().get(from..));
    match at {
        Some([b'#', ..] | [b'/', b'/' | b'*', ..]) => TargetsError::Comment(error.line()),
        Some(_) | None => TargetsError::NotJson(error),
    }
}

fn target(number: usize, entry: &serde_json::Value) -> Result<HostPort, TargetsError> {
    let value = || shown(&entry.to_string());
    let text = entry.as_str().ok_or_else(|| TargetsError::NotAString {
        number,
        value: value(),
    })?;
    text.parse().map_err(|why| TargetsError::BadEntry {
        number,
        value: value(),
        why,
    })
}

/// The address in a form that is equal for equal destinations.
fn as_dialed(addr: SocketAddr) -> SocketAddr {
    match canonical(addr.ip()) {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        // The scope of a link-local address is part of the destination.
        IpAddr::V6(_) => addr,
    }
}

/// Whether a node that listens on `listen` would dial itself at `addr`, judged by the two addresses alone.
pub(crate) fn leads_to(listen: SocketAddr, addr: SocketAddr) -> bool {
    let (listen, addr) = (as_dialed(listen), as_dialed(addr));
    let listens_everywhere = listen.ip().is_unspecified()
        && addr.ip().is_loopback()
        && listen.is_ipv4() == addr.is_ipv4();
    listen.port() == addr.port() && (listen.ip() == addr.ip() || listens_everywhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Targets, TargetsError> {
        Targets::from_json(json.as_bytes(), "[::1]:8083".parse().unwrap())
    }

    fn addrs(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|addr| addr.parse().unwrap()).collect()
    }

    #[test]
    fn a_target_is_dialed_once_and_a_node_does_not_dial_itself() {
        let file = r#"["[::1]:8090", "127.0.0.1:8083", "[::1]:8090", "[::1]:8083", "[::ffff:127.0.0.1]:8083"]"#;
        let targets = read(file).unwrap();
        assert_eq!(targets.others, addrs(&["[::1]:8090", "127.0.0.1:8083"]));
        assert_eq!(targets.own, addrs(&["[::1]:8083"]));
        assert_eq!(read(" [] ").unwrap(), Targets::default());
    }

    #[test]
    fn names_and_addresses_on_interfaces_keep_their_place_in_the_file() {
        let file = r#"["[fe80::1%eth0]:8083", "[::1]:8090", "seed.example:8083", "[fe80::1%7]:8083", "seed.example:8083"]"#;
        let targets = read(file).unwrap();
        assert_eq!(targets.others, addrs(&["[::1]:8090", "[fe80::1%7]:8083"]));
        let named = |entry, at: &str| NamedTarget {
            entry,
            at: at.parse().unwrap(),
        };
        assert_eq!(
            targets.named,
            [
                named(1, "[fe80::1%eth0]:8083"),
                named(3, "seed.example:8083")
            ]
        );
    }

    #[test]
    fn a_node_that_listens_everywhere_knows_its_own_loopback() {
        let own =
            |listen: &str, target: &str| leads_to(listen.parse().unwrap(), target.parse().unwrap());
        assert!(own("[::]:8083", "[::1]:8083"));
        assert!(own("0.0.0.0:8083", "127.0.0.1:8083"));
        assert!(!own("[::]:8083", "[::1]:8084"));
        assert!(!own("[::]:8083", "[2001:db8::1]:8083"));
        assert!(!own("0.0.0.0:8083", "[::1]:8083"));
        assert!(!own("[::1]:0", "[::1]:8083"));
    }

    #[test]
    fn a_bad_file_of_targets_is_told_by_what_is_wrong_with_it() {
        let many = format!("[{}]", vec!["\"[::1]:1\""; MAX_TARGETS + 1].join(","));
        for (json, said) in [
            ("", "it is not valid JSON"),
            ("[\"[::1]:8090\",\n]", "it is not valid JSON"),
            (
                "// seeds\n[]",
                "it is not valid JSON, which has no comments; remove the one in line 1",
            ),
            ("[\n\"[::1]:80\", # one\n]", "remove the one in line 2"),
            ("[] /* none */", "remove the one in line 1"),
            ("[\"[::1]:80\" / 2]", "it is not valid JSON"),
            ("{\"a\": 1}", "but is an object"),
            ("\"[::1]:8090\"", "but is a string"),
            ("null", "but is null"),
            (
                "[\"[::1]:8090\", \"zoe\"]",
                "entry 2: \"zoe\" has no port; write \"HOST:PORT\"",
            ),
            (
                "[\"zoë:8090\"]",
                "entry 1: \"zoë:8090\" has a host that is neither an IPv4 address nor a DNS name",
            ),
            (
                "[8090]",
                "entry 1: 8090 is not an address with a port; write for example \"[::1]:8090\"",
            ),
            (
                "[\"::1\"]",
                "entry 1: \"::1\" is an IPv6 address without brackets",
            ),
            (
                "[\"[::1]:0\"]",
                "entry 1: \"[::1]:0\" can't be dialed: port 0",
            ),
            (
                "[\"[::]:80\"]",
                "entry 1: \"[::]:80\" can't be dialed: the address is unspecified",
            ),
            (
                "[\"[::ffff:0.0.0.0]:80\"]",
                "can't be dialed: the address is unspecified",
            ),
            (
                "[\"[ff02::1]:80\"]",
                "can't be dialed: it is a multicast or broadcast address",
            ),
            (
                "[\"255.255.255.255:80\"]",
                "can't be dialed: it is a multicast or broadcast address",
            ),
            (
                many.as_str(),
                "it has 65537 entries; at most 65536 are allowed",
            ),
        ] {
            let error = read(json).unwrap_err().to_string();
            assert!(error.contains(said), "{json:.40}: {error}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_accepted_and_another_encoding_is_named() {
        let targets = read("\u{feff}[\"[::1]:8090\"]\r\n").unwrap();
        assert_eq!(targets.others, addrs(&["[::1]:8090"]));
        let wide: Vec<u8> = "[]".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let error = Targets::from_json(&wide, "[::1]:8083".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("UTF-16LE"), "{error}");
    }

    #[test]
    fn a_slip_in_json_is_told_by_line_and_column() {
        let error = read("[\"[::1]:8090\",\n]").unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("line 2 column 1"), "{cause}");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Targets::from_json(&bytes, "[::1]:8083".parse().unwrap());
        }
    }
}
