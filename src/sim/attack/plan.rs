//! Which attack Byzantine nodes make, and how strong it is.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// The attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Signs records of nodes that nobody runs. They list each other, and the attacker lists some of them.
    Sybil,
}

/// All attacks, in the order of the documentation.
pub(in crate::sim) const KINDS: [Kind; 1] = [Kind::Sybil];

impl Kind {
    /// The word in a scenario.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sybil => "sybil",
        }
    }

    /// How many identities an attacker has beside its own, unless the scenario says otherwise.
    #[must_use]
    pub fn usual_ids(self) -> usize {
        match self {
            Self::Sybil => 10_000,
        }
    }

    /// How much of it happens each second, unless the scenario says otherwise; [`Kind::unit`] says of what.
    #[must_use]
    pub fn usual_rate(self) -> f64 {
        match self {
            Self::Sybil => 5000.0,
        }
    }

    /// What the rate counts.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Sybil => "records a second to each neighbour",
        }
    }

    /// Whether the attacker uses identities of its own beside that of its node.
    #[must_use]
    pub fn has_ids(self) -> bool {
        self.usual_ids() > 0
    }

    /// Whether it is directed at one node.
    #[must_use]
    pub fn has_victim(self) -> bool {
        match self {
            Self::Sybil => false,
        }
    }
}

/// An attack of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What they do.
    pub kind: Kind,
    /// How many nodes make it, in addition to the honest ones.
    pub nodes: usize,
    /// How many identities each of them has beside its own.
    pub ids: usize,
    /// How much of it happens each second; [`Kind::unit`] says of what.
    pub rate: f64,
    /// The node that it is directed at, if it is directed at one.
    pub victim: usize,
    /// The address that it names.
    pub addr: SocketAddr,
    /// When it begins; before that, the nodes are honest.
    pub from: Duration,
    /// When it ends.
    pub until: Duration,
}

/// The attack in the words of a flag, without its times.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.kind.word(), self.nodes)
    }
}
