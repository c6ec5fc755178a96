//! The type and the bounds of a key's value, and the check that turns TOML into a typed value.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use toml::de::DeValue;

use super::host_port::{HostPort, HostPortError};
use super::{Discovery, LogFormat, Shows};
use crate::admission::MAX_KEYS;
use crate::impair::{self, Rules};
use crate::record::MAX_LABEL;
use crate::wire::NodeId;

/// The longest network name, in bytes. The name is part of the ALPN, which is at most 255 bytes long.
const MAX_NETWORK_NAME: usize = 64;

/// The most advertised addresses: as many as a node's record holds.
const MAX_ADVERTISED: usize = 8;

/// The most files of one setting: one for each network key that a node may have.
const MAX_PATHS: usize = MAX_KEYS;

/// The type and the bounds of a value.
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
    /// A list of at most `MAX_ADVERTISED` addresses or names with ports, at which other machines reach this node.
    Advertised,
    /// An IP address that a socket can be bound to, as a string.
    ListenAddr,
    /// The path of a file; empty for none.
    Path,
    /// The path of a file, or a list of at most `MAX_PATHS` paths; empty for none.
    Paths,
    /// Impairment rules, in the syntax of tc netem.
    Impairment,
    /// True or false.
    Flag,
    /// A whole number.
    Number {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
        /// Its unit.
        unit: Unit,
    },
}

/// The unit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// No unit.
    One,
    /// 1,048,576 bytes.
    Mebibytes,
    /// Bytes per second.
    BytesPerSecond,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Days of 24 hours.
    Days,
}

/// A value that passed the check of its key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Flag(bool),
    Number(i64),
    Time(Duration),
    Addr(IpAddr),
    Nodes(Vec<NodeId>),
    HostPorts(Vec<HostPort>),
    Impairment(Rules),
    Paths(Vec<String>),
}

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has the wrong type.
    WrongType,
    /// It has the right type, but is not allowed.
    OutOfRange,
    /// The element at this index of the array is not allowed.
    Element(usize),
    /// The element at this index of the array is not `HOST:PORT`.
    HostPort(usize, HostPortError),
    /// It is not a valid impairment.
    Impairment(Box<impair::ParseError>),
}

impl Kind {
    /// A number without a unit.
    pub(super) const fn number(min: i64, max: i64) -> Self {
        Self::measured(min, max, Unit::One)
    }

    /// A number with a unit.
    pub(super) const fn measured(min: i64, max: i64, unit: Unit) -> Self {
        Self::Number { min, max, unit }
    }

    /// Whether `-s KEY=` takes a bare string as the value.
    pub(super) fn takes_text(self) -> bool {
        match self {
            Self::Label
            | Self::NetworkName
            | Self::Choice(_)
            | Self::ListenAddr
            | Self::Path
            | Self::Paths
            | Self::Impairment => true,
            Self::NodeIds | Self::Advertised | Self::Flag | Self::Number { .. } => false,
        }
    }

    /// Checks a value. Nothing is converted: a number in quotes is a string.
    pub(super) fn check(self, value: &DeValue<'_>) -> Result<Value, Refusal> {
        match self {
            Self::Label
            | Self::NetworkName
            | Self::Choice(_)
            | Self::ListenAddr
            | Self::Path
            | Self::Impairment => self.check_text(value.as_str().ok_or(Refusal::WrongType)?),
            Self::Paths => paths(value),
            Self::NodeIds => node_ids(value),
            Self::Advertised => advertised(value),
            Self::Flag => {
                let flag = value.as_bool().ok_or(Refusal::WrongType)?;
                Ok(Value::Flag(flag))
            }
            Self::Number { min, max, unit } => {
                let digits = value.as_integer().ok_or(Refusal::WrongType)?;
                // A number too large for an i64 exceeds every bound.
                i64::from_str_radix(digits.as_str(), digits.radix())
                    .ok()
                    .filter(|number| (min..=max).contains(number))
                    .map(|number| unit.value(number))
                    .ok_or(Refusal::OutOfRange)
            }
        }
    }

    fn check_text(self, text: &str) -> Result<Value, Refusal> {
        let is_allowed = match self {
            Self::Label => text.len() <= MAX_LABEL,
            Self::NetworkName => {
                (1..=MAX_NETWORK_NAME).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_graphic())
            }
            Self::Choice(words) => words.contains(&text),
            // No path contains a NUL byte.
            Self::Path => !text.contains('\0'),
            Self::ListenAddr => {
                let addr = text.parse().ok().filter(can_be_listened_on);
                return addr.map(Value::Addr).ok_or(Refusal::OutOfRange);
            }
            Self::Impairment => {
                let rules = text.parse().map(Value::Impairment);
                return rules.map_err(|fault| Refusal::Impairment(Box::new(fault)));
            }
            Self::Paths | Self::NodeIds | Self::Advertised | Self::Flag | Self::Number { .. } => {
                false
            }
        };
        if is_allowed {
            Ok(Value::Text(text.to_owned()))
        } else {
            Err(Refusal::OutOfRange)
        }
    }
}

fn can_be_listened_on(addr: &IpAddr) -> bool {
    !addr.is_multicast() && *addr != IpAddr::V4(Ipv4Addr::BROADCAST)
}

fn node_ids(value: &DeValue<'_>) -> Result<Value, Refusal> {
    let list = value.as_array().ok_or(Refusal::WrongType)?;
    let ids = list.iter().enumerate().map(|(index, entry)| {
        let id = entry.get_ref().as_str().map(NodeId::from_hex);
        id.and_then(Result::ok).ok_or(Refusal::Element(index))
    });
    Ok(Value::Nodes(ids.collect::<Result<Vec<_>, _>>()?))
}

fn paths(value: &DeValue<'_>) -> Result<Value, Refusal> {
    if let Some(path) = value.as_str() {
        return match path {
            "" => Ok(Value::Paths(Vec::new())),
            path if path.contains('\0') => Err(Refusal::OutOfRange),
            path => Ok(Value::Paths(vec![path.to_owned()])),
        };
    }
    let list = value.as_array().ok_or(Refusal::WrongType)?;
    if list.len() > MAX_PATHS {
        return Err(Refusal::OutOfRange);
    }
    let paths = list.iter().enumerate().map(|(index, entry)| {
        let path = entry.get_ref().as_str();
        let path = path.filter(|path| !path.is_empty() && !path.contains('\0'));
        path.map(str::to_owned).ok_or(Refusal::Element(index))
    });
    Ok(Value::Paths(paths.collect::<Result<Vec<_>, _>>()?))
}

fn advertised(value: &DeValue<'_>) -> Result<Value, Refusal> {
    let list = value.as_array().ok_or(Refusal::WrongType)?;
    if list.len() > MAX_ADVERTISED {
        return Err(Refusal::OutOfRange);
    }
    let parsed = list.iter().enumerate().map(|(index, entry)| {
        let text = entry.get_ref().as_str().ok_or(Refusal::Element(index))?;
        let at: HostPort = text.parse().map_err(|why| Refusal::HostPort(index, why))?;
        if at.is_link_local() {
            return Err(Refusal::HostPort(index, HostPortError::LinkLocal));
        }
        Ok(at)
    });
    Ok(Value::HostPorts(parsed.collect::<Result<Vec<_>, _>>()?))
}

impl Kind {
    /// The TOML type of the value.
    #[must_use]
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Label
            | Self::NetworkName
            | Self::Choice(_)
            | Self::ListenAddr
            | Self::Path
            | Self::Impairment => "string",
            Self::Paths => "string or array of strings",
            Self::NodeIds | Self::Advertised => "array of strings",
            Self::Flag => "boolean",
            Self::Number { .. } => "integer",
        }
    }

    /// The allowed values, in short.
    #[must_use]
    pub fn range(self) -> String {
        match self {
            Self::Label => format!("up to {MAX_LABEL} bytes"),
            Self::NetworkName => {
                format!("1 to {MAX_NETWORK_NAME} printable ASCII characters, no space")
            }
            Self::Choice(words) => words.join(", "),
            Self::NodeIds => "node ids of 64 hex digits".to_owned(),
            Self::Advertised => format!("up to {MAX_ADVERTISED} times HOST:PORT"),
            Self::ListenAddr => "an IPv6 or IPv4 address, not multicast".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Paths => format!("a path, or up to {MAX_PATHS} paths"),
            Self::Impairment => "rules as for tc netem".to_owned(),
            Self::Flag => "true, false".to_owned(),
            Self::Number { min, max, unit } => format!("{min} to {max}{}", unit.suffix()),
        }
    }
}

impl Unit {
    /// The text that follows a number, including a space.
    fn suffix(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Mebibytes => " MiB",
            Self::BytesPerSecond => " bytes/s",
            Self::Milliseconds => " ms",
            Self::Seconds => " s",
            Self::Days => " days",
        }
    }

    fn value(self, number: i64) -> Value {
        let count = u64::try_from(number).unwrap_or_default();
        match self {
            Self::One | Self::Mebibytes | Self::BytesPerSecond => Value::Number(number),
            Self::Milliseconds => Value::Time(Duration::from_millis(count)),
            Self::Seconds => Value::Time(Duration::from_secs(count)),
            Self::Days => Value::Time(Duration::from_secs(count * 24 * 3600)),
        }
    }
}

/// A type that a field of [`Settings`](super::Settings) can have.
pub(super) trait Field: Sized {
    /// The value as this type. `None`: the key's kind doesn't suit the type of the field, which is a mistake in the table.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! fields {
    ($($type:ty: $pattern:pat => $field:expr;)*) => {$(
        impl Field for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    $pattern => $field,
                    _ => None,
                }
            }
        }
    )*};
}

fields! {
    String: Value::Text(text) => Some(text.clone());
    tracing::Level: Value::Text(word) => word.parse().ok();
    LogFormat: Value::Text(word) => LogFormat::from_word(word);
    Discovery: Value::Text(word) => Discovery::from_word(word);
    Shows: Value::Text(word) => Shows::from_word(word);
    bool: Value::Flag(flag) => Some(*flag);
    u16: Value::Number(number) => Self::try_from(*number).ok();
    u32: Value::Number(number) => Self::try_from(*number).ok();
    usize: Value::Number(number) => Self::try_from(*number).ok();
    Duration: Value::Time(time) => Some(*time);
    IpAddr: Value::Addr(addr) => Some(*addr);
    Vec<NodeId>: Value::Nodes(ids) => Some(ids.clone());
    Vec<HostPort>: Value::HostPorts(list) => Some(list.clone());
    Vec<String>: Value::Paths(paths) => Some(paths.clone());
    Rules: Value::Impairment(rules) => Some(rules.clone());
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label => write!(f, "a string of at most {MAX_LABEL} bytes"),
            Self::NetworkName => write!(
                f,
                "a string of 1 to {MAX_NETWORK_NAME} printable ASCII characters without a space"
            ),
            Self::Choice(words) => {
                let (last, others) = words.split_last().expect("a choice has words");
                let quoted: Vec<_> = others.iter().map(|word| format!("\"{word}\"")).collect();
                write!(f, "{} or \"{last}\"", quoted.join(", "))
            }
            Self::NodeIds => f.write_str("an array of node ids, each a string of 64 hexadecimal digits"),
            Self::Advertised => write!(
                f,
                "an array of at most {MAX_ADVERTISED} strings HOST:PORT, each with an address or a DNS name"
            ),
            Self::ListenAddr => f.write_str(
                "an IPv6 or IPv4 address such as \"::1\", not multicast, without a port or brackets",
            ),
            Self::Path => f.write_str("the path of a file"),
            Self::Paths => write!(
                f,
                "the path of a file, or an array of at most {MAX_PATHS} paths"
            ),
            Self::Impairment => f.write_str("a string in the syntax of tc netem"),
            Self::Flag => f.write_str("true or false"),
            Self::Number { min, max, unit } => {
                write!(f, "an integer from {min} to {max}{}", unit.suffix())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KEYS, Layer, Settings};
    use super::*;

    #[test]
    fn every_word_of_a_choice_suits_its_field() {
        let with = |argument: &str| {
            let layer = Layer::from_argument(argument).unwrap();
            // Some words need other settings too, which is no concern here.
            Settings::of_layers(vec![layer]).ok()
        };
        for key in KEYS {
            if let Kind::Choice(words) = key.kind {
                for word in words {
                    with(&format!("{}={word}", key.name));
                }
            }
        }
        let shows = ["auto", "all", "mine", "tree"].map(|word| {
            let settings = with(&format!("network.controller.d2_shows={word}"));
            settings.expect("it needs no other setting").d2_shows
        });
        assert_eq!(shows, [Shows::Auto, Shows::All, Shows::Mine, Shows::Tree]);
    }

    #[test]
    fn every_key_takes_its_bounds_and_its_default_and_nothing_beyond() {
        let takes = |kind: Kind, toml: &str| {
            let value = DeValue::parse(toml).unwrap();
            kind.check(value.get_ref())
        };
        for key in KEYS {
            takes(key.kind, key.default).unwrap_or_else(|refusal| panic!("{key:?}: {refusal:?}"));
            if let Kind::Number { min, max, .. } = key.kind {
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
