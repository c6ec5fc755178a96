//! The state of simulated connections, modelled after QUIC: handshakes, an ordered stream with retransmission, unreliable
//! datagrams, closes that are repeated only in answer to further packets, and resets by nodes that have forgotten the connection.
//!
//! What is modelled, and how far:
//! - Every packet takes the [line](super::lines) of its direction, with its size; a message of the stream is split into packets of
//!   1200 bytes. A handshake takes one round trip, as QUIC's does, and one more for both Hellos.
//! - Lost packets are retransmitted: after a round trip if later packets arrived, else after a probe timeout (RFC 9002, section
//!   6.2), which doubles. For a silent peer only the first two waiting packets are retransmitted, until something is heard. A
//!   message arrives when all its packets have. The sender knows at once that a packet was lost, so it retransmits nothing else;
//!   only the first packet of a handshake, which may reach nobody, is repeated until it is answered.
//! - A connection has a send window like the real one, which follows the delay. A node must wait if its peer does not receive
//!   what it is sent. A message is put onto the line as a whole.
//! - Acknowledgements have a size ([`ACK_BYTES`]), are never lost, and delay nothing. One covers two packets that arrive
//!   together. There is no congestion control: the real window never falls below 16 packets, and nodes seldom fill that.
//! - A probe shares the packet of a message that leaves at the same moment, and the answer acknowledges both. This counts for
//!   traffic alone: each of the two is lost and delayed by itself.
//! - A node limits newcomers as the transport does ([`Joins`](crate::admission::joins::Joins)), each place as a machine of its own. Packets of
//!   those that it ignores are repeated; whom it refuses gets a reset.
//! - A node needs no time to compute. A killed node's host is silent: there is no ICMP.
//!
//! No object holds a whole connection: each node has its own end, and knows of the other one only what arrives
//! (`flight`). So nodes may run on different threads; `host` runs the ends, and
//! [`World::connections`](super::world::World::connections) shows both ends together.

mod end;
mod end_ref;
mod flight;

use std::net::SocketAddr;
use std::time::Duration;

use crate::membership::DialId;
use crate::wire::NodeId;

pub(super) use self::end::{End, Live, Opening};
pub(super) use self::end_ref::{EndRef, Side};
pub(super) use self::flight::{Caller, Flight, INITIAL_BYTES, Packet};

/// The number of probes that are remembered, to measure the round-trip time by their answers.
const PROBES: usize = 48;

/// Headers of a packet: 40 bytes of IPv6, 8 of UDP, 11 of QUIC's short header and 16 of its authentication tag.
pub const PACKET_OVERHEAD: usize = 75;
/// The size of a packet with only an acknowledgement.
pub const ACK_BYTES: usize = PACKET_OVERHEAD + 6;

/// How long a receiver may delay an acknowledgement (RFC 9000, section 18.2).
pub const MAX_ACK_DELAY: Duration = Duration::from_millis(25);
/// The payload of a packet, without headers.
pub const PAYLOAD: usize = 1200 - 27 - 8;

/// A dial of a core.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) dial: DialId,
    pub(super) addr: SocketAddr,
    pub(super) expect: Option<NodeId>,
    pub(super) replaces: bool,
    pub(super) eager: bool,
}
