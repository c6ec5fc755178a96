//! Which attack Byzantine nodes make, and how strong it is.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// The attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Signs records of nodes that nobody runs. They list each other, and the attacker lists some of them.
    Sybil,
    /// Signs new records of such nodes without end. Each gains or withdraws a link, so it is news for all.
    Flood,
    /// The same with the largest records that there are.
    Evict,
    /// Begins anti-entropy rounds and requests all records, without end.
    Rounds,
    /// Reports all its links as suspect, and takes that back, without end.
    Suspect,
    /// Goes on listing every neighbour that it ever listed, dead or alive.
    Haunt,
    /// Dials a node with one new identity after the other.
    Joins,
    /// Links with a node under a few identities, and drops each link at once.
    Flap,
    /// Like `sybil`; all invented nodes publish one address.
    Address,
    /// Tells its neighbours a false address at which it sees them.
    Observe,
    /// Lies about round-trip times, losses and ages: of its own links in records, figures and probes, and of others in the age of their
    /// figures.
    Figures,
    /// Signs records with the last epoch that there is.
    Epoch,
    /// Repeats old records of all nodes.
    Replay,
    /// Names records and never sends them, prunes its links, and answers nothing.
    Mute,
    /// Links with one node under many identities, to take all of its slots.
    Eclipse,
    /// Signs two records under each version, and shows one to half of its neighbours and the other to the rest.
    Twoface,
}

/// All attacks, in the order of the documentation.
pub(in crate::sim) const KINDS: [Kind; 16] = [
    Kind::Sybil,
    Kind::Flood,
    Kind::Evict,
    Kind::Rounds,
    Kind::Suspect,
    Kind::Haunt,
    Kind::Joins,
    Kind::Flap,
    Kind::Address,
    Kind::Observe,
    Kind::Figures,
    Kind::Epoch,
    Kind::Replay,
    Kind::Mute,
    Kind::Eclipse,
    Kind::Twoface,
];

/// What is usual of an attack: the identities of an attacker beside its own, and how much happens each second, and of what.
struct Usual {
    word: &'static str,
    ids: usize,
    rate: f64,
    unit: &'static str,
}

const fn usual(word: &'static str, ids: usize, rate: f64, unit: &'static str) -> Usual {
    Usual {
        word,
        ids,
        rate,
        unit,
    }
}

impl Kind {
    const fn usual(self) -> Usual {
        match self {
            Self::Sybil => usual("sybil", 10_000, 5000.0, "records to each neighbour"),
            // Just what a neighbour may send for good.
            Self::Flood => usual("flood", 64, 1000.0, "records to each neighbour"),
            Self::Evict => usual("evict", 8000, 100.0, "records to each neighbour"),
            // Just under what a neighbour may send for good.
            Self::Rounds => usual("rounds", 0, 7.0, "rounds with each neighbour"),
            Self::Suspect => usual("suspect", 0, 2.0, "records to each neighbour"),
            Self::Haunt => usual("haunt", 0, 1.0, "records to each neighbour"),
            Self::Joins => usual("joins", 10_000, 2000.0, "dials"),
            Self::Flap => usual("flap", 8, 400.0, "links dropped"),
            Self::Address => usual("address", 1000, 5000.0, "records to each neighbour"),
            Self::Observe => usual("observe", 0, 1.0, "addresses to each neighbour"),
            Self::Figures => usual("figures", 0, 2.0, "figures to each neighbour"),
            Self::Epoch => usual("epoch", 0, 1.0, "records to each neighbour"),
            Self::Replay => usual("replay", 0, 200.0, "records to each neighbour"),
            Self::Mute => usual("mute", 0, 1.0, "prunes of each neighbour"),
            Self::Eclipse => usual("eclipse", 300, 50.0, "dials"),
            Self::Twoface => usual("twoface", 0, 1.0, "records to each neighbour"),
        }
    }

    /// The word in a scenario.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.usual().word
    }

    /// How many identities an attacker has beside its own, unless the scenario says otherwise; zero if the attack needs none.
    #[must_use]
    pub fn usual_ids(self) -> usize {
        self.usual().ids
    }

    /// How much of it happens each second, unless the scenario says otherwise; [`Kind::unit`] says of what.
    #[must_use]
    pub fn usual_rate(self) -> f64 {
        self.usual().rate
    }

    /// What the rate counts.
    #[must_use]
    pub fn unit(self) -> &'static str {
        self.usual().unit
    }

    /// Whether it is directed at one node.
    #[must_use]
    pub fn has_victim(self) -> bool {
        matches!(self, Self::Joins | Self::Flap | Self::Eclipse)
    }

    /// Whether it names an address.
    #[must_use]
    pub fn has_addr(self) -> bool {
        matches!(self, Self::Address | Self::Observe)
    }

    /// Whether the attacker lists nodes that it invented.
    pub(super) fn invents(self) -> bool {
        matches!(
            self,
            Self::Sybil | Self::Flood | Self::Evict | Self::Address
        )
    }

    /// Whether it shows others another own record than its core's.
    pub(super) fn forges_own(self) -> bool {
        let lies = matches!(
            self,
            Self::Suspect | Self::Haunt | Self::Figures | Self::Epoch | Self::Twoface
        );
        lies || self.invents()
    }

    /// Whether it claims that its view is that of the neighbour, so that nothing is compared.
    pub(super) fn echoes(self) -> bool {
        self.forges_own() || self == Self::Mute
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
    /// The address that it names, if it names one.
    pub addr: SocketAddr,
    /// When it begins; before that, the nodes are honest.
    pub from: Duration,
    /// When it ends.
    pub until: Duration,
}

/// The attack in words, without its times.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.kind.word(), self.nodes)?;
        if self.kind.usual_ids() > 0 {
            write!(f, " with {} ids", self.ids)?;
        }
        Ok(())
    }
}
