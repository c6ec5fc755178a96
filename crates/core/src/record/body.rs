//! What a record says: addresses, links, and which version it is.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::id::{NodeId, ShortId};

/// Orders the records of one node: the greater version is the newer record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// The Unix time in ms when the node started; more if an epoch that it stored or heard was not lower.
    pub epoch: u64,
    /// Counts the records of an epoch.
    pub seq: u32,
    /// The first four bytes of the record's hash. Of two bodies with one epoch and sequence, the greater hash wins at every
    /// node.
    pub tie: u32,
}

/// Who dialed the connection of a link, seen from the node that lists the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// This node dialed.
    Dialer,
    /// The peer dialed.
    Listener,
}

impl Direction {
    /// The direction as the other end sees it.
    #[must_use]
    pub fn reverse(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }
}

/// The first two bytes of a run id. A link is to one run of its peer; it says nothing about the next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortRun(pub [u8; 2]);

impl ShortRun {
    /// The short form of a run id.
    #[must_use]
    pub fn of(run_id: u64) -> Self {
        let [first, second, ..] = run_id.to_be_bytes();
        Self([first, second])
    }
}

/// How a node came to publish an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AddrKind {
    /// It was configured: the address at which others are to dial, whatever stands between.
    Advertised,
    /// An interface of the node has it.
    Local,
    /// Peers see the node's packets come from it.
    Observed,
}

/// An address in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublishedAddr {
    /// How the node came to publish it.
    pub kind: AddrKind,
    /// It was proven: a node to which nothing had been sent came in by this address.
    pub dialable: bool,
    /// The address and port.
    pub addr: SocketAddr,
}

impl PublishedAddr {
    /// An address of that kind, of which nothing is proven.
    #[must_use]
    pub fn new(kind: AddrKind, addr: SocketAddr) -> Self {
        Self {
            kind,
            dialable: false,
            addr,
        }
    }

    /// An address of an interface, of which nothing is proven.
    #[must_use]
    pub fn local(addr: SocketAddr) -> Self {
        Self::new(AddrKind::Local, addr)
    }
}

/// A link in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkState {
    /// The other end.
    pub peer: ShortId,
    /// The run of the peer that the link is to.
    pub run: ShortRun,
    /// Who dialed.
    pub direction: Direction,
    /// Smoothed round-trip time in µs; 0 while unknown.
    pub rtt_us: u32,
    /// The age of that measurement when the record was signed, in s (saturating).
    pub rtt_age_s: u16,
    /// The share of exchanges lost on the link, in 1/250. A young link reports less: few exchanges prove little.
    pub loss: u8,
    /// A suspicion report: two probes in a row went unanswered on a clean link. Neighbours of the peer then probe it.
    pub suspect: bool,
}

/// The signed part of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The node that the record is about, and whose key signs it.
    pub id: NodeId,
    /// The node's name for people: any text.
    pub label: Arc<str>,
    /// Random, new at every start.
    pub run_id: u64,
    /// See [`Version::epoch`].
    pub epoch: u64,
    /// See [`Version::seq`].
    pub seq: u32,
    /// The age of this run when the record was signed, in s. Of two nodes with one key, the one that started first goes on.
    pub uptime_s: u32,
    /// The addresses at which the node may be dialed, those first that it prefers.
    pub addrs: Vec<PublishedAddr>,
    /// The links that the node holds, in ascending order of the peers.
    pub links: Vec<LinkState>,
    /// The node leaves: this is its last record of the run.
    pub leaving: bool,
    /// In a network with an authority: the proof that the node may be a member. Every node checks it, not only neighbours.
    pub certificate: Option<Arc<Certificate>>,
}
