//! The transport between the nodes, modelled after the real one: handshakes, an ordered stream that resends what was
//! lost, datagrams that get lost, closes that are said once, and again only to whatever still comes, resets by whoever has forgotten.
//!
//! What is modelled, and how far:
//! - Every packet goes over the [line](super::lines) of its direction, with its size: a message of the stream as packets of
//!   1200 bytes. A handshake takes the one round trip that QUIC's does, and another one for both Hellos.
//! - What is lost is sent again: after a round trip where later packets arrived, else after a probe timeout (RFC 9002, section
//!   6.2), which doubles; to a peer that is silent, only the first two packets of what waits; all of it goes on when something is heard. A message arrives when all of its packets have. That something was lost is known to its sender at once, so
//!   that nothing else is sent again; but the first packet of a handshake, which may find nobody, is repeated until it is answered.
//! - A connection has a send window, as the real one: a node whose peer doesn't get what it is sent must wait.
//! - Acknowledgements weigh ([`ACK_BYTES`]) but are never lost, and nothing waits behind them. There is no congestion control:
//!   the real one's window never falls under 16 packets, and what nodes say to each other seldom fills that.
//! - A node takes no time to think, and a killed node's host is silent: there is no ICMP.
//!
//! A connection is nowhere as a whole: each node has its own end of it, and knows of the other only what arrives (the
//! `flight`s). So nodes may run on different threads. Who looks on from outside sees both ends (`watch`).

mod end;
mod end_ref;
mod flight;

use std::net::SocketAddr;

use crate::membership::DialId;
use crate::wire::NodeId;

pub(super) use self::end::{End, Live, Opening};
pub(super) use self::end_ref::{EndRef, Side};
pub(super) use self::flight::{Caller, Flight, Packet};

/// So many probes are remembered, to tell the round-trip time from their answers.
const PROBES: usize = 48;

/// Headers of a packet: 40 bytes of IPv6, 8 of UDP, 11 of QUIC's short header and 16 of its tag.
pub const PACKET_OVERHEAD: usize = 75;
/// A packet with an acknowledgement alone.
pub const ACK_BYTES: usize = PACKET_OVERHEAD + 6;

/// What a core wants when it dials.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) dial: DialId,
    pub(super) addr: SocketAddr,
    pub(super) expect: Option<NodeId>,
    pub(super) replaces: bool,
    pub(super) eager: bool,
}
