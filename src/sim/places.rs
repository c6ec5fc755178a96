//! Sets of places, and the words for them.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

/// The name of every simulated network.
pub const NETWORK: &str = "simulated";
/// The most places: each has a port of its own.
pub const MAX_PLACES: usize = 32_768;
/// Where the first place listens.
const FIRST_PORT: u16 = 8000;

/// Where the node of a place listens, unless it was told otherwise.
///
/// # Panics
/// From [`MAX_PLACES`] on: there are no more ports.
#[must_use]
pub fn addr(place: usize) -> SocketAddr {
    let place = u16::try_from(place).expect("there are fewer places than ports");
    SocketAddr::from((Ipv6Addr::LOCALHOST, FIRST_PORT + place))
}

/// A place as it is kept.
pub(super) fn small(place: usize) -> u32 {
    u32::try_from(place).expect("there are at most MAX_PLACES")
}

/// A set of places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Places {
    /// Every one.
    All,
    /// From the first up to, but not including, the second.
    Range(usize, usize),
}

impl Places {
    /// Whether a place is one of them.
    #[must_use]
    pub fn contains(&self, place: usize) -> bool {
        match self {
            Self::All => true,
            Self::Range(from, to) => (*from..*to).contains(&place),
        }
    }
}

/// Whom a step is about, as it was said; who that is in the end may be left to chance.
#[derive(Debug, Clone, PartialEq)]
pub enum Who {
    /// These.
    Places(Places),
    /// Such a share of those that it can be done to, by lot.
    Share(f64),
    /// So many of those that it can be done to, by lot.
    Some(usize),
    /// The one with the most links.
    Hub,
    /// Those that were killed or left.
    Down,
}

/// In the words of a scenario, but for the names of groups.
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
