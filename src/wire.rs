//! The vocabulary on the wire: node ids, control messages, probe datagrams, frames and their limits.
//!
//! Bytes from the network become values here, once; whoever holds a [`Message`] or a [`Datagram`] needs no
//! further check of its shape or size. Encoding is [postcard](https://postcard.jamesmunns.com/wire-format):
//! compact and stable, but not self-describing, so enum variants are only ever appended and golden bytes are
//! kept in the tests.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::{Record, RecordError, Version};

/// The protocol's version; part of the ALPN, so that two versions never get past the TLS handshake.
pub const PROTOCOL_VERSION: u32 = 4;

/// The largest control frame in bytes. Holds a batch of records or the version list of a thousand nodes;
/// a peer can make us buffer no more than this for a connection.
pub const MAX_FRAME: usize = 64 * 1024;

/// The size in bytes at which a batch of records is closed and sent; the largest record always fits on top.
pub const BATCH_BYTES: usize = 32 * 1024;

/// The largest number of digest buckets in one message: 1024 sums are 10 KiB at most.
pub const MAX_BUCKETS_LOG2: u8 = 10;

/// The largest number of entries in one `Versions`, `Want`, `Have` or `Graft` message.
pub const MAX_SYNC_ENTRIES: usize = 1024;

/// The largest number of addresses a refusal offers instead.
pub const MAX_ALTERNATIVES: usize = 4;

/// A node: its Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub [u8; 32]);

impl NodeId {
    /// The first ten hex digits: what people read in logs and pictures.
    #[must_use]
    pub fn short(&self) -> String {
        hex(&self.0[..5])
    }

    /// The first 16 bytes, which stand for the node in a record's list of links.
    #[must_use]
    pub fn abbreviated(&self) -> ShortId {
        let mut short = [0; 16];
        short.copy_from_slice(&self.0[..16]);
        ShortId(short)
    }

    /// Whether this node is the one that probes its link with `other`: it leads those within the half of the ring of ids that
    /// follows its own. So every node leads about half of its links, whoever dialed them, and of two nodes exactly one leads.
    #[must_use]
    pub fn leads(&self, other: &Self) -> bool {
        let place = |id: &Self| {
            let (first, _) = id.0.split_first_chunk().expect("32 bytes hold eight");
            u64::from_be_bytes(*first)
        };
        match place(other).wrapping_sub(place(self)) {
            0 | 0x8000_0000_0000_0000 => self < other,
            ahead => ahead < 0x8000_0000_0000_0000,
        }
    }

    /// Reads 64 hex digits.
    ///
    /// # Errors
    /// When the text is not exactly 64 hex digits.
    pub fn from_hex(text: &str) -> Result<Self, NotANodeId> {
        let digits = text.as_bytes();
        let mut id = [0; 32];
        if digits.len() != 64 {
            return Err(NotANodeId);
        }
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let nibble = |digit: u8| char::from(digit).to_digit(16);
            let value = nibble(pair[0]).zip(nibble(pair[1])).ok_or(NotANodeId)?;
            *byte = u8::try_from(value.0 * 16 + value.1).expect("two nibbles are a byte");
        }
        Ok(Self(id))
    }
}

/// The text is not a node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a node id is 64 hexadecimal digits")]
pub struct NotANodeId;

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// A node id abbreviated to 16 bytes: 128 bits keep an accidental or sought collision out of reach, and halve
/// a record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShortId(pub [u8; 16]);

impl fmt::Debug for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0[..5]))
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// What each end says first on the control stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Random, new at every start of the program.
    pub run_id: u64,
    /// The dialer's count of connections in this run; the listener sends zero.
    pub dial_counter: u64,
    /// The dialer holds a connection to this peer that it takes for dead, and this one is to replace it.
    pub replaces: bool,
    /// The address and port that the sender sees this peer at.
    pub observed: SocketAddr,
    /// How many nodes the sender knows to be up, itself included.
    pub known: u32,
    /// The digest of the sender's view.
    pub digest: ViewDigest,
    /// The sender's own newest record.
    pub record: Arc<Record>,
}

/// A message on the control stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// The first message in either direction, and never again.
    Hello(Hello),
    /// Records newer than what the sender believes the receiver to have.
    Records(Vec<Arc<Record>>),
    /// Sums of the sender's view, one for each of `2^log2` ranges of node ids; asks for [`Message::Versions`] of those
    /// that differ.
    Digests {
        /// The base-2 logarithm of the number of buckets, at most [`MAX_BUCKETS_LOG2`].
        log2: u8,
        /// One sum a bucket, in the order of the ids: of the upper halves of its records' fingerprints.
        sums: Vec<u64>,
    },
    /// The versions that the sender has in the ranges that differed; the receiver sends what is newer and asks for the rest.
    Versions {
        /// The base-2 logarithm of the number of buckets.
        log2: u8,
        /// The buckets that this list is complete for.
        buckets: Vec<u16>,
        /// Every node that is up in those buckets.
        entries: Vec<(ShortId, Version)>,
    },
    /// Records that the sender would like to have: after a comparison, or as it was told of them.
    Want(Vec<ShortId>),
    /// The sender could do without this link (or could no longer); it goes when both ends say so.
    Superfluous(bool),
    /// Records that the sender has, and sends only if the receiver asks: the link is not part of its tree.
    Have(Vec<(ShortId, Version)>),
    /// Records that the sender lacks, most of those told of, or asked for before in vain: this link is part of its tree from now on.
    Graft(Vec<ShortId>),
    /// What the receiver sent, another one had brought before: from now on it should tell of records only.
    Prune,
}

/// An 8-byte digest of a view: equal digests mean equal sets of (node, version).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewDigest(pub [u8; 8]);

/// What rides in a QUIC datagram (RFC 9221).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Datagram {
    /// "Are you there": asks for an [`Datagram::Answer`].
    Probe(Probe),
    /// The answer, sent by the other side's transport without a trip through its event loop.
    Answer(Answer),
}

/// A probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Counts the sender's probes on this connection.
    pub seq: u32,
    /// The sender got the answer to its last probe: to the receiver, the sign that what *it* sends arrives.
    pub heard: bool,
    /// The sender's smoothed round-trip time in µs; 0 while unknown.
    pub rtt_us: u32,
    /// The share of lost exchanges that the sender measures, in 1/250.
    pub loss: u8,
    /// When the next probe is due, in ms from this one.
    pub next_ms: u16,
    /// The sender's view.
    pub digest: ViewDigest,
}

/// The answer to a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The probe's number.
    pub seq: u32,
    /// How long the answer was held between the probe's arrival and its own leaving, in µs.
    pub hold_us: u32,
}

/// Bytes that are no message.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not the postcard encoding of anything we know.
    #[error("undecodable message: {0}")]
    Undecodable(#[from] postcard::Error),
    /// Bytes were left over behind the message.
    #[error("{0} bytes left over behind a message")]
    Trailing(usize),
    /// A length or count over its limit.
    #[error("{what} of {value} is over the limit of {limit}")]
    OverLimit {
        /// What was too large.
        what: &'static str,
        /// How large it was.
        value: usize,
        /// How large it may be.
        limit: usize,
    },
    /// A record inside the message is not acceptable.
    #[error(transparent)]
    Record(#[from] RecordError),
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

    /// Decodes the body of a frame and checks every limit. Record signatures are *not* checked here: that is
    /// dear, and only worth it for a record that is newer than ours (see [`Record::verify`]).
    ///
    /// # Errors
    /// When the bytes are no message, or one over a limit.
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
            Self::Hello(_) | Self::Records(_) | Self::Superfluous(_) | Self::Prune => Ok(()),
            Self::Digests { log2, sums } => {
                within(
                    "digest buckets, base-2 logarithm",
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
                    "digest buckets, base-2 logarithm",
                    usize::from(*log2),
                    usize::from(MAX_BUCKETS_LOG2),
                )?;
                within("buckets", buckets.len(), 1 << log2)?;
                within("versions", entries.len(), MAX_SYNC_ENTRIES)
            }
            Self::Want(ids) => within("wanted records", ids.len(), MAX_SYNC_ENTRIES),
            Self::Have(entries) => within("records told of", entries.len(), MAX_SYNC_ENTRIES),
            Self::Graft(ids) => within("records grafted for", ids.len(), MAX_SYNC_ENTRIES),
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
    pub fn to_bytes(self) -> Vec<u8> {
        postcard::to_stdvec(&self).expect("our own datagrams encode")
    }

    /// Decodes a datagram.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let (datagram, rest) = postcard::take_from_bytes::<Self>(bytes)?;
        if rest.is_empty() {
            Ok(datagram)
        } else {
            Err(WireError::Trailing(rest.len()))
        }
    }
}

/// Why a connection is closed, as the QUIC application error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum CloseCode {
    /// The node leaves the network.
    Leaving = 1,
    /// Another connection to the same peer won.
    Duplicate = 2,
    /// Both ends can do without this link.
    Superfluous = 3,
    /// The node holds as many links as it may; the reason bytes offer others.
    Full = 4,
    /// The link was judged down, and the time it is kept for is over.
    Down = 5,
    /// No Hello came in time.
    HelloTimeout = 6,
    /// A frame or message broke the protocol.
    Protocol = 7,
    /// More than a peer may send.
    Limit = 8,
    /// The peer stopped reading.
    Stalled = 9,
    /// The peer is not on this node's list of allowed ids.
    NotAllowed = 10,
    /// The peer is this very node.
    Myself = 11,
    /// A connection of this identity is alive elsewhere: the id is used twice.
    IdentityInUse = 12,
}

impl CloseCode {
    /// The code's number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The code of that number, where it is one of ours.
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

/// Whether an address that a peer told us may be dialed at all.
///
/// Unspecified, multicast, link-local and broadcast addresses never are; a loopback address only if `over_loopback`, that is, if
/// the peer itself was reached over loopback: elsewhere it would be our own machine.
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

/// The address with an IPv4-mapped IPv6 address taken for the IPv4 address it is.
#[must_use]
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}
