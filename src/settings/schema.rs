//! The one table of all the keys: what a value must look like, the default, and what the key means.
//!
//! Everything that knows about keys reads this table: the checks of every layer, "did you mean", and `-h`.

use std::fmt;
use std::net::IpAddr;

use config::{Value, ValueKind};
use toml::de::DeValue;

use crate::impair;
use crate::record::MAX_LABEL;
use crate::wire::NodeId;

/// The names of the keys, for whoever reads a setting.
pub(super) mod key {
    pub(crate) const LABEL: &str = "label";
    pub(crate) const LOG_LEVEL: &str = "log.level";
    pub(crate) const LOG_FORMAT: &str = "log.format";
    pub(crate) const NETWORK: &str = "network.name";
    pub(crate) const ALLOW: &str = "network.allow";
    pub(crate) const LISTEN_ADDR: &str = "network.controller.listen.addr";
    pub(crate) const LISTEN_PORT: &str = "network.controller.listen.port";
    pub(crate) const TARGET_PATH: &str = "network.controller.target.path";
    /// What [`TARGET_PATH`] was called once; accepted forever.
    pub(crate) const TARGET_FILE: &str = "network.controller.target.file";
    pub(crate) const D2: &str = "network.controller.d2";
    pub(crate) const IMPAIR: &str = "network.controller.impair";
    pub(crate) const PROBE_INTERVAL: &str = "network.controller.probe.interval_ms";
    pub(crate) const FULL_MESH: &str = "network.controller.degree.full_mesh";
    pub(crate) const DEGREE_TARGET: &str = "network.controller.degree.target";
    pub(crate) const DEGREE_CAP: &str = "network.controller.degree.cap";
    pub(crate) const DIALS_AT_ONCE: &str = "network.controller.dial.at_once";
    pub(crate) const DIAL_TIMEOUT: &str = "network.controller.dial.timeout_ms";
    pub(crate) const REFRESH: &str = "network.controller.refresh.bytes_per_s";
    pub(crate) const FORGET_AFTER: &str = "network.controller.memory.forget_after_s";
    pub(crate) const ADDRESSES_FOR: &str = "network.controller.memory.addresses_for_days";
}

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// The dotted name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// The default, as TOML.
    pub default: &'static str,
    /// What it does, with its unit, in one line.
    pub meaning: &'static str,
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text of at most [`MAX_LABEL`] bytes.
    Label,
    /// 1 to 64 bytes of printable ASCII without a space.
    NetworkName,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of node ids.
    NodeIds,
    /// An IP address that can be listened at.
    ListenAddr,
    /// The path of a file, or none.
    Path,
    /// Rules of impairment, in the words of netem.
    Impairment,
    /// Yes or no.
    Flag,
    /// A whole number.
    Number {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
}

/// The largest number of bytes in a network's name: it rides in the ALPN, which holds 255.
const MAX_NETWORK_NAME: usize = 64;

/// All the settings, in the order in which they are explained.
#[rustfmt::skip]
pub static KEYS: [Key; 19] = [
    Key { name: key::LABEL, kind: Kind::Label, default: r#""""#,
        meaning: "what people call the node; empty: the profile's name" },
    Key { name: key::LOG_LEVEL, kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]), default: r#""info""#,
        meaning: "the least severe level of messages on stderr" },
    Key { name: key::LOG_FORMAT, kind: Kind::Choice(&["text", "json"]), default: r#""text""#,
        meaning: "messages for people, or one JSON object a line" },
    Key { name: key::NETWORK, kind: Kind::NetworkName, default: r#""area-net""#,
        meaning: "only nodes with the same name form a network" },
    Key { name: key::ALLOW, kind: Kind::NodeIds, default: "[]",
        meaning: "the only nodes to talk to; []: everybody" },
    Key { name: key::LISTEN_ADDR, kind: Kind::ListenAddr, default: r#""::1""#,
        meaning: "the address to listen at; \"::\": all of this machine" },
    Key { name: key::LISTEN_PORT, kind: Kind::Number { min: 0, max: 65535 }, default: "8083",
        meaning: "the UDP port to listen at; 0: the system chooses" },
    Key { name: key::TARGET_PATH, kind: Kind::Path, default: r#""""#,
        meaning: "a JSON array of socket addresses to dial; empty: none; older name: network.controller.target.file" },
    Key { name: key::D2, kind: Kind::Flag, default: "false",
        meaning: "write peers.d2, the picture of the network" },
    Key { name: key::IMPAIR, kind: Kind::Impairment, default: r#""""#,
        meaning: "a worse network for what this node sends: delay 40ms 10ms loss 5%; empty: none" },
    Key { name: key::PROBE_INTERVAL, kind: Kind::Number { min: 200, max: 10_000 }, default: "1500",
        meaning: "between two probes of a healthy link, in ms" },
    Key { name: key::FULL_MESH, kind: Kind::Number { min: 2, max: 32 }, default: "16",
        meaning: "up to so many nodes, everybody links with everybody" },
    Key { name: key::DEGREE_TARGET, kind: Kind::Number { min: 4, max: 32 }, default: "8",
        meaning: "about so many links a node in a larger network" },
    Key { name: key::DEGREE_CAP, kind: Kind::Number { min: 6, max: 64 }, default: "16",
        meaning: "never more links; at least degree.target, and degree.full_mesh - 1" },
    Key { name: key::DIALS_AT_ONCE, kind: Kind::Number { min: 1, max: 64 }, default: "8",
        meaning: "so many dials under way at a time" },
    Key { name: key::DIAL_TIMEOUT, kind: Kind::Number { min: 500, max: 10_000 }, default: "2900",
        meaning: "when a dial is given up, in ms" },
    Key { name: key::REFRESH, kind: Kind::Number { min: 0, max: 1_000_000 }, default: "64",
        meaning: "what news of round-trip times alone may cost, in bytes a second" },
    Key { name: key::FORGET_AFTER, kind: Kind::Number { min: 10, max: 86_400 }, default: "600",
        meaning: "how long the record of a node that is not up is kept, in seconds" },
    Key { name: key::ADDRESSES_FOR, kind: Kind::Number { min: 0, max: 3650 }, default: "30",
        meaning: "how long addresses that worked are kept on disk, in days" },
];

/// The setting of that name, or of that older name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    let name = if name == key::TARGET_FILE {
        key::TARGET_PATH
    } else {
        name
    };
    KEYS.iter().find(|key| key.name == name)
}

/// The first setting in the group of that name, where there is such a group.
pub(super) fn first_in_group(group: &str) -> Option<&'static str> {
    KEYS.iter().map(|key| key.name).find(|name| {
        name.strip_prefix(group)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// The known key that is nearest to one that isn't.
///
/// A slip of the keyboard is near by edits; a key whose groups were left out or mixed up is near by its last word,
/// which therefore weighs double.
pub(super) fn nearest(unknown: &str) -> &'static str {
    // Edits are counted in time proportional to both lengths, and no known key is longer than this.
    let unknown: String = unknown.chars().take(100).collect::<String>().to_lowercase();
    let last_word = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |known: &str| {
        let tails = known
            .match_indices('.')
            .map(|(dot, _)| &known[dot + 1..])
            .chain([known]);
        let whole = tails
            .map(|tail| strsim::damerau_levenshtein(&unknown, tail))
            .min()
            .expect("the whole key is among them");
        whole + 2 * strsim::damerau_levenshtein(&last_word(&unknown), &last_word(known))
    };
    let inside = KEYS.iter().find(|key| {
        unknown
            .strip_prefix(key.name)
            .is_some_and(|rest| rest.starts_with('.'))
    });
    inside
        .or_else(|| KEYS.iter().min_by_key(|key| distance(key.name)))
        .expect("there are keys")
        .name
}

/// Why a value is not one that the key takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not of the type that the key takes.
    WrongType,
    /// Of the right type.
    OutOfRange,
    /// The element at this index of the list is.
    Element(usize),
    /// A text that is no impairment.
    Impairment(Box<impair::ParseError>),
}

impl Kind {
    /// Whether a bare word after `-s KEY=` is a value as it stands.
    pub(super) fn takes_text(self) -> bool {
        match self {
            Self::Label
            | Self::NetworkName
            | Self::Choice(_)
            | Self::ListenAddr
            | Self::Path
            | Self::Impairment => true,
            Self::NodeIds | Self::Flag | Self::Number { .. } => false,
        }
    }

    /// The value, if the key takes it. Nothing is converted: a number in quotes is a text.
    pub(super) fn check(self, value: &DeValue<'_>) -> Result<ValueKind, Refusal> {
        match self {
            Self::Label | Self::NetworkName | Self::Choice(_) | Self::ListenAddr | Self::Path => {
                let text = value.as_str().ok_or(Refusal::WrongType)?;
                if self.takes(text) {
                    Ok(ValueKind::from(text))
                } else {
                    Err(Refusal::OutOfRange)
                }
            }
            Self::Impairment => {
                let text = value.as_str().ok_or(Refusal::WrongType)?;
                text.parse::<impair::Rules>()
                    .map(|_| ValueKind::from(text))
                    .map_err(|fault| Refusal::Impairment(Box::new(fault)))
            }
            Self::NodeIds => node_ids(value),
            Self::Flag => {
                let flag = value.as_bool().ok_or(Refusal::WrongType)?;
                Ok(ValueKind::from(flag))
            }
            Self::Number { min, max } => {
                let digits = value.as_integer().ok_or(Refusal::WrongType)?;
                // What doesn't fit an i64 is beyond every bound.
                i64::from_str_radix(digits.as_str(), digits.radix())
                    .ok()
                    .filter(|number| (min..=max).contains(number))
                    .map(ValueKind::from)
                    .ok_or(Refusal::OutOfRange)
            }
        }
    }

    /// Whether the text is one that this kind of key takes.
    fn takes(self, text: &str) -> bool {
        match self {
            Self::Label => text.len() <= MAX_LABEL,
            Self::NetworkName => {
                (1..=MAX_NETWORK_NAME).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_graphic())
            }
            Self::Choice(words) => words.contains(&text),
            Self::ListenAddr => text.parse::<IpAddr>().is_ok_and(|addr| {
                !addr.is_multicast() && addr != IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
            }),
            // A NUL can't be part of any path.
            Self::Path => !text.contains('\0'),
            Self::Impairment | Self::NodeIds | Self::Flag | Self::Number { .. } => false,
        }
    }
}

fn node_ids(value: &DeValue<'_>) -> Result<ValueKind, Refusal> {
    let list = value.as_array().ok_or(Refusal::WrongType)?;
    let ids = list.iter().enumerate().map(|(index, entry)| {
        let id = entry
            .get_ref()
            .as_str()
            .filter(|id| NodeId::from_hex(id).is_ok());
        id.map(|id| Value::new(None, id))
            .ok_or(Refusal::Element(index))
    });
    Ok(ValueKind::from(ids.collect::<Result<Vec<_>, _>>()?))
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label => write!(f, "a text of at most {MAX_LABEL} bytes"),
            Self::NetworkName => write!(
                f,
                "a text of 1 to {MAX_NETWORK_NAME} bytes of printable ASCII without a space"
            ),
            Self::Choice(words) => {
                let (last, others) = words.split_last().expect("a choice has words");
                let quoted: Vec<_> = others.iter().map(|word| format!("\"{word}\"")).collect();
                write!(f, "{} or \"{last}\"", quoted.join(", "))
            }
            Self::NodeIds => f.write_str("a list of node ids, 64 hexadecimal digits each"),
            Self::ListenAddr => f.write_str(
                "the text of an IPv6 or IPv4 address such as \"::1\", not multicast, without a port or brackets",
            ),
            Self::Path => f.write_str("the text of a path"),
            Self::Impairment => f.write_str("a text in the words of tc netem"),
            Self::Flag => f.write_str("true or false"),
            Self::Number { min, max } => write!(f, "a whole number from {min} to {max}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_key_is_near_the_one_that_was_meant() {
        for (typed, meant) in [
            ("network.controller.listen.prt", key::LISTEN_PORT),
            ("network.controller.port", key::LISTEN_PORT),
            ("port", key::LISTEN_PORT),
            ("listen.port", key::LISTEN_PORT),
            ("netwrok.controller.d2", key::D2),
            ("d2", key::D2),
            ("lable", key::LABEL),
            ("Label", key::LABEL),
            ("label.x", key::LABEL),
            ("network.controler.target.pth", key::TARGET_PATH),
            ("network.controller.probe.interval", key::PROBE_INTERVAL),
            ("network.controller.full_mesh", key::FULL_MESH),
            ("log.lvl", key::LOG_LEVEL),
        ] {
            assert_eq!(nearest(typed), meant, "{typed}");
        }
        nearest("");
        nearest(&"ä.".repeat(100_000));
    }

    #[test]
    fn the_older_name_finds_the_key() {
        let found = find(key::TARGET_FILE).unwrap();
        assert_eq!(found.name, key::TARGET_PATH);
        assert!(find("network.controller.target").is_none());
        assert_eq!(
            first_in_group("network.controller.listen"),
            Some(key::LISTEN_ADDR)
        );
        assert_eq!(first_in_group("label"), None);
        assert_eq!(first_in_group("net"), None);
    }

    #[test]
    fn every_key_takes_its_bounds_and_its_default_and_nothing_beyond() {
        let takes = |kind: Kind, toml: &str| {
            let value = DeValue::parse(toml).unwrap();
            kind.check(value.get_ref())
        };
        for key in &KEYS {
            takes(key.kind, key.default).unwrap_or_else(|refusal| panic!("{key:?}: {refusal:?}"));
            if let Kind::Number { min, max } = key.kind {
                takes(key.kind, &min.to_string()).unwrap();
                takes(key.kind, &max.to_string()).unwrap();
                for beyond in [min - 1, max + 1, i64::MIN, i64::MAX] {
                    let refused = takes(key.kind, &beyond.to_string());
                    assert_eq!(refused, Err(Refusal::OutOfRange), "{key:?}");
                }
            }
        }
        let longest = format!("\"{}\"", "ä".repeat(64));
        takes(Kind::Label, &longest).unwrap();
        let longer = format!("\"{}x\"", "ä".repeat(64));
        assert_eq!(takes(Kind::Label, &longer), Err(Refusal::OutOfRange));
        for name in ["\"\"", "\"a b\"", "\"nät\"", "\"a\\n\""] {
            assert_eq!(takes(Kind::NetworkName, name), Err(Refusal::OutOfRange));
        }
    }
}
