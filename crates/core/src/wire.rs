//! The vocabulary on the wire: node ids, control messages, probe datagrams, frames and their limits.
//!
//! `docs/protocol.md` specifies all of it byte by byte. Untrusted bytes become values here, once. A [`Message`] or a
//! [`Datagram`] that exists is within its limits and needs no further check of shape or size. The encoding is
//! [postcard](https://postcard.jamesmunns.com/wire-format). It is compact and stable, but not self-describing: enum
//! variants are only ever appended, and the tests keep golden bytes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::figures::{FiguresError, LinkFigures};
pub use crate::id::{NodeId, NotANodeId, ShortId};
use crate::record::{MAX_ADDRS, PublishedAddr, Record, RecordError, Version};
use crate::revocations::Revocations;

/// The protocol's version. It is part of the ALPN, so nodes of two versions never get past the TLS handshake.
pub const PROTOCOL_VERSION: u32 = 7;

/// The largest body of a control frame, in bytes. It bounds what a peer can make a node buffer for a connection. Half as
/// much would not hold a batch of [`BATCH_BYTES`] and one more record.
pub const MAX_FRAME: usize = 64 * 1024;

/// The size in bytes at which a batch of records is closed and sent. The largest record always fits on top.
pub const BATCH_BYTES: usize = 32 * 1024;

/// The base-2 logarithm of the largest number of digest buckets in one message: 1024 sums take 10 KiB at most.
pub const MAX_BUCKETS_LOG2: u8 = 10;

/// The largest number of entries in one `Versions`, `Request`, `Have` or `Graft` message: they take 36 KiB at most.
pub const MAX_SYNC_ENTRIES: usize = 1024;

/// The largest number of alternative addresses in a refusal.
pub const MAX_ALTERNATIVES: usize = 4;

/// The largest number of nodes on the way of a [`Meet`]: its two ends and three relays. In a network of 10,000 nodes with eight
/// links each, almost all pairs have a way of four hops. With one relay, only nodes with a common neighbour could meet. Six
/// relays would let one message travel through most of a network.
pub const MAX_WAY: usize = 5;

/// The largest number of nodes on the way of an [`Echo`], its two ends among them. It bounds what one echo costs the network: 30
/// packets, there and back. With eight links a node, each of 1 to 100 ms, the paths of least time have at most 13 links among a
/// thousand nodes; among ten thousand, 99 % have at most 16. Halved, half of ten thousand nodes are out of reach. Doubled, one
/// message of a hostile node costs twice as many packets of others.
pub const MAX_ECHO_WAY: usize = 16;

/// The first message of each end on the control stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Random, new at every start of the program.
    pub run_id: u64,
    /// Counts the dialer's dials in this run; zero from the listener.
    pub dial_counter: u64,
    /// The dialer judged its connection to this peer down, and this one is to replace it.
    pub replaces: bool,
    /// The address and port from which the sender sees the receiver's packets come.
    pub observed: SocketAddr,
    /// How many nodes the sender knows to be up, itself included.
    pub known: u32,
    /// The digest of the sender's view.
    pub digest: ViewDigest,
    /// The sender's own newest record.
    pub record: Arc<Record>,
    /// The number of the newest revocations that the sender knows; 0 for none. Who knows newer ones sends them.
    pub revocations: u64,
}

/// A message on the control stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// The first message in each direction; a second one is a violation.
    Hello(Hello),
    /// Eager push: records that the receiver may lack, or requested.
    Records(Vec<Arc<Record>>),
    /// Begins an anti-entropy round: sums of the sender's view, one for each of `2^log2` ranges of node ids. The receiver
    /// answers with [`Message::Versions`], also if no sum differs.
    Digests {
        /// The base-2 logarithm of the number of buckets, at most [`MAX_BUCKETS_LOG2`].
        log2: u8,
        /// One sum a bucket, in the order of the ids: the sum of the upper halves of its records' fingerprints.
        sums: Vec<u64>,
    },
    /// The sender's versions in buckets that differed. The receiver sends newer records and requests the others.
    Versions {
        /// The base-2 logarithm of the number of buckets, at most [`MAX_BUCKETS_LOG2`].
        log2: u8,
        /// The buckets for which the list is complete.
        buckets: Vec<u16>,
        /// Every node that is up in those buckets.
        entries: Vec<(ShortId, Version)>,
    },
    /// A request (IWANT): the receiver sends its newest records of these nodes.
    Request(Vec<ShortId>),
    /// The sender could do without this link (true), or could no longer (false). The link goes when both ends say true.
    Superfluous(bool),
    /// Lazy push (IHAVE): records that the sender holds and sends only on request.
    Have(Vec<(ShortId, Version)>),
    /// Graft: the link is eager from now on, at both ends. The ids are requested, as in [`Message::Request`]; there may be none.
    Graft(Vec<ShortId>),
    /// Prune: the link is lazy from now on, at both ends.
    Prune,
    /// The address from which the receiver's packets come now; the sender last said another one, or in its Hello.
    Observed(SocketAddr),
    /// Two nodes arrange to connect to each other, over relays that have links to both.
    Meet(Meet),
    /// Figures of links, each with the time since they were signed, as far as the sender knows, in tenths of a second.
    Figures(Vec<(u16, Arc<LinkFigures>)>),
    /// The newest revocations of the network's authority.
    Revocations(Arc<Revocations>),
}

/// A rendezvous of two nodes that could not connect: a request, or its answer on the same way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meet {
    /// The way of the request: the node that asks, one to three relays, and the node that is asked.
    pub way: Vec<ShortId>,
    /// It is the answer, which travels from the last node of the way to the first.
    pub is_answer: bool,
    /// Random, chosen by the node that asks; the answer repeats it.
    pub nonce: u64,
    /// Once packets come through, the node that asks dials first. Otherwise the other one.
    pub asker_dials: bool,
    /// Where the author of this message may be reached, the addresses first that it prefers.
    pub addrs: Vec<PublishedAddr>,
}

impl Meet {
    /// The node that wrote this message, and the one that it is for.
    #[must_use]
    pub fn ends(&self) -> (ShortId, ShortId) {
        let (first, last) = (self.way[0], self.way[self.way.len() - 1]);
        if self.is_answer {
            (last, first)
        } else {
            (first, last)
        }
    }

    fn check(&self) -> Result<(), WireError> {
        within("addresses in a rendezvous", self.addrs.len(), MAX_ADDRS)?;
        check_way("nodes on the way of a rendezvous", &self.way, 3, MAX_WAY)
    }
}

/// A way has at least `least` nodes and at most `most`, and no node twice.
fn check_way(
    what: &'static str,
    way: &[ShortId],
    least: usize,
    most: usize,
) -> Result<(), WireError> {
    let mut sorted = way.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    if (least..=most).contains(&way.len()) && sorted.len() == way.len() {
        return Ok(());
    }
    Err(WireError::OverLimit {
        what,
        value: way.len(),
        limit: most,
    })
}

/// An 8-byte digest of a view. Equal digests mean equal sets of (node, version), but for chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewDigest(pub [u8; 8]);

/// The content of a QUIC datagram (RFC 9221).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Datagram {
    /// Asks for a [`Datagram::Answer`].
    Probe(Probe),
    /// The answer to a probe. The peer's transport sends it at once, without a trip through its event loop.
    Answer(Answer),
    /// Travels over several links to a node, and back.
    Echo(Echo),
}

/// A probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Counts the sender's probes on this connection.
    pub seq: u32,
    /// The sender counts no miss since the last answer. This shows the receiver that what *it* sends arrives.
    pub heard: bool,
    /// The sender's smoothed round-trip time in µs; 0 while no probe has measured it.
    pub rtt_us: u32,
    /// The share of lost exchanges that the sender measures, in 1/250.
    pub loss: u8,
    /// The time until the next probe, in ms.
    pub next_ms: u16,
    /// The digest of the sender's view.
    pub digest: ViewDigest,
}

/// The answer to a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The probe's number.
    pub seq: u32,
    /// The time between the probe's arrival and the answer's departure, in µs.
    pub hold_us: u32,
}

/// A message to a node over links, and its answer on the same way back: how long does that take?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// The way of the request: the node that asks, the nodes that pass the echo on, and the node that answers.
    pub way: Vec<ShortId>,
    /// Random, chosen by the node that asks; the answer repeats it.
    pub nonce: u64,
    /// It is the answer, which travels from the last node of the way to the first.
    pub is_answer: bool,
}

/// Bytes that are neither a message nor a datagram of ours.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The bytes are not the encoding of any known variant.
    #[error("undecodable message: {0}")]
    Undecodable(#[from] postcard::Error),
    /// There are bytes behind the end of the message.
    #[error("{0} bytes after the end of a message")]
    Trailing(usize),
    /// A length or count exceeds its limit, or differs from the length that it must have.
    #[error("{what}: {value} received, {limit} allowed")]
    OverLimit {
        /// The field.
        what: &'static str,
        /// Its length or count.
        value: usize,
        /// The limit.
        limit: usize,
    },
    /// A record inside the message is not acceptable.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Figures inside the message are not acceptable.
    #[error(transparent)]
    Figures(#[from] FiguresError),
}

impl Message {
    /// Encodes the message with its length in front (4 bytes, big-endian): a frame for the control stream.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        let mut frame = postcard::to_extend(self, vec![0; 4]).expect("our own messages encode");
        let length = u32::try_from(frame.len() - 4).expect("a frame is far under 4 GiB");
        frame[..4].copy_from_slice(&length.to_be_bytes());
        frame
    }

    /// Decodes the body of a frame and checks every limit. It does *not* check record signatures: that is expensive, and
    /// only worth it for a record that is newer than ours (see [`Record::verify`]).
    ///
    /// # Errors
    /// If the bytes are no message, or one that exceeds a limit.
    pub fn from_body(body: &[u8]) -> Result<Self, WireError> {
        let (message, rest) = postcard::take_from_bytes::<Self>(body)?;
        if !rest.is_empty() {
            return Err(WireError::Trailing(rest.len()));
        }
        message.check()?;
        Ok(message)
    }

    fn check(&self) -> Result<(), WireError> {
        match self {
            Self::Hello(_)
            | Self::Figures(_)
            | Self::Records(_)
            | Self::Superfluous(_)
            | Self::Prune
            | Self::Revocations(_)
            | Self::Observed(_) => Ok(()),
            Self::Meet(meet) => meet.check(),
            Self::Digests { log2, sums } => {
                within(
                    "log2 of digest buckets",
                    usize::from(*log2),
                    usize::from(MAX_BUCKETS_LOG2),
                )?;
                if sums.len() == 1 << log2 {
                    Ok(())
                } else {
                    Err(WireError::OverLimit {
                        what: "digest sums",
                        value: sums.len(),
                        limit: 1 << log2,
                    })
                }
            }
            Self::Versions {
                log2,
                buckets,
                entries,
            } => {
                within(
                    "log2 of digest buckets",
                    usize::from(*log2),
                    usize::from(MAX_BUCKETS_LOG2),
                )?;
                within("buckets", buckets.len(), 1 << log2)?;
                within("versions", entries.len(), MAX_SYNC_ENTRIES)
            }
            Self::Request(ids) => within("requested records", ids.len(), MAX_SYNC_ENTRIES),
            Self::Have(entries) => within("lazily pushed records", entries.len(), MAX_SYNC_ENTRIES),
            Self::Graft(ids) => within("records in a graft", ids.len(), MAX_SYNC_ENTRIES),
        }
    }
}

fn within(what: &'static str, value: usize, limit: usize) -> Result<(), WireError> {
    if value > limit {
        Err(WireError::OverLimit { what, value, limit })
    } else {
        Ok(())
    }
}

impl Datagram {
    /// Encodes the datagram.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("our own datagrams encode")
    }

    /// Decodes a datagram and checks its limits.
    ///
    /// # Errors
    /// If the bytes are no datagram of ours, or one that exceeds a limit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let (datagram, rest) = postcard::take_from_bytes::<Self>(bytes)?;
        if !rest.is_empty() {
            return Err(WireError::Trailing(rest.len()));
        }
        if let Self::Echo(echo) = &datagram {
            check_way("nodes on the way of an echo", &echo.way, 2, MAX_ECHO_WAY)?;
        }
        Ok(datagram)
    }
}

/// The reason for closing a connection, as a QUIC application error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum CloseCode {
    /// The node leaves the network.
    Leaving = 1,
    /// Another connection to the same peer won.
    Duplicate = 2,
    /// Both ends can do without this link.
    Superfluous = 3,
    /// The node has no room for another link. The reason phrase names alternatives.
    Full = 4,
    /// The link was judged down, and no answer came while its connection was kept.
    Down = 5,
    /// No Hello came in time, or the dialer gave up.
    HelloTimeout = 6,
    /// A frame, message, datagram or record broke the protocol.
    Protocol = 7,
    /// A frame was too long, or a rate was exceeded.
    Limit = 8,
    /// The peer stopped reading the control stream.
    Stalled = 9,
    /// The peer may not be a member of this network: it is not on this node's list of allowed ids, did not prove the network key, has no
    /// certificate that counts, or was revoked.
    NotAllowed = 10,
    /// The peer is this very node.
    Myself = 11,
    /// Another run with the same key is alive.
    IdentityInUse = 12,
}

impl CloseCode {
    /// The code's number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The code with this number, if it is one of ours.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        const ALL: [CloseCode; 12] = [
            CloseCode::Leaving,
            CloseCode::Duplicate,
            CloseCode::Superfluous,
            CloseCode::Full,
            CloseCode::Down,
            CloseCode::HelloTimeout,
            CloseCode::Protocol,
            CloseCode::Limit,
            CloseCode::Stalled,
            CloseCode::NotAllowed,
            CloseCode::Myself,
            CloseCode::IdentityInUse,
        ];
        ALL.into_iter()
            .find(|code| u64::from(code.number()) == number)
    }
}

/// Whether an address from a peer may be dialed at all.
///
/// Port 0 and unspecified, multicast, link-local and broadcast addresses are never dialed. A loopback address is dialed only
/// if `over_loopback`, that is, if the peer itself is connected over loopback: elsewhere it would be our own machine.
#[must_use]
pub fn dialable(addr: &SocketAddr, over_loopback: bool) -> bool {
    let ip = canonical(addr.ip());
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    addr.port() != 0
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && !link_local
        && (!ip.is_loopback() || over_loopback)
}

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Realm {
    /// The machine itself.
    Loopback,
    /// One link.
    LinkLocal,
    /// Networks that share no addresses with others: RFC 1918, RFC 4193, and RFC 6598 between a provider and its customers.
    Private,
    /// Everywhere.
    Global,
}

impl Realm {
    /// The realm of an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        let (link_local, private) = match canonical(ip) {
            IpAddr::V4(v4) => {
                let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
                (v4.is_link_local(), v4.is_private() || shared)
            }
            IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.is_unique_local()),
        };
        if canonical(ip).is_loopback() {
            Self::Loopback
        } else if link_local {
            Self::LinkLocal
        } else if private {
            Self::Private
        } else {
            Self::Global
        }
    }
}

/// The address without what only the own machine understands: an IPv4-mapped address as IPv4, without scope and flow label.
#[must_use]
pub fn plain(addr: &SocketAddr) -> SocketAddr {
    SocketAddr::new(canonical(addr.ip()), addr.port())
}

/// The IPv4 address in an IPv4-mapped IPv6 address; any other address as it is.
#[must_use]
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}
