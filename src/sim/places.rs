//! Places and their addresses, and sets of places in a scenario's words.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

/// The name of every simulated network.
pub const NETWORK: &str = "simulated";
/// The most places: each has a port of its own.
pub const MAX_PLACES: usize = 32_768;
/// The port of the first place.
const FIRST_PORT: u16 = 8000;

/// The address of a place, unless its node is configured otherwise.
///
/// # Panics
/// From [`MAX_PLACES`] on: there are no more ports.
#[must_use]
pub fn addr(place: usize) -> SocketAddr {
    let place = u16::try_from(place).expect("there are fewer places than ports");
    SocketAddr::from((Ipv6Addr::LOCALHOST, FIRST_PORT + place))
}

/// A place in 32 bits.
pub(super) fn small(place: usize) -> u32 {
    u32::try_from(place).expect("there are at most MAX_PLACES")
}

/// A set of places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Places {
    /// All places.
    All,
    /// From the first up to, but not including, the second.
    Range(usize, usize),
}

impl Places {
    /// Whether it contains a place.
    #[must_use]
    pub fn contains(&self, place: usize) -> bool {
        match self {
            Self::All => true,
            Self::Range(from, to) => (*from..*to).contains(&place),
        }
    }
}

/// The nodes of a step, as written; some forms are resolved at random.
#[derive(Debug, Clone, PartialEq)]
pub enum Who {
    /// These places.
    Places(Places),
    /// A random share of those that the step can apply to.
    Share(f64),
    /// This many random ones of those that the step can apply to.
    Some(usize),
    /// The node with the most links.
    Hub,
    /// The nodes that were killed or left.
    Down,
}

/// In a scenario's words, without the names of groups.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Places(Places::All) => f.write_str("all"),
            Self::Places(Places::Range(from, to)) if from + 1 == *to => write!(f, "{from}"),
            Self::Places(Places::Range(from, to)) => write!(f, "{from}..{to}"),
            Self::Share(share) => write!(f, "{}%", share * 100.0),
            Self::Some(count) => write!(f, "any {count}"),
            Self::Hub => f.write_str("hub"),
            Self::Down => f.write_str("down"),
        }
    }
}
