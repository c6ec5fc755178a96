//! A flight: one or several packets that carry one thing from one node to another.

use std::net::SocketAddr;
use std::time::Duration;

use super::PACKET_OVERHEAD;
use super::end_ref::EndRef;
use crate::membership::Time;
use crate::sim::size;
use crate::wire::{Answer, CloseCode, Message, NodeId, Probe};

/// The dialer's first packet, a padded Initial.
pub(in crate::sim) const INITIAL_BYTES: usize = 1200 + 48;
/// The listener's first: a padded Initial, and its certificate.
pub(super) const KEY_BYTES: usize = 1200 + 48 + 800 + 48;

#[derive(Debug)]
pub(in crate::sim) enum Packet {
    /// The dialer's first packet.
    Initial(Box<Caller>),
    /// The listener presents its key.
    Key(NodeId),
    /// A message of the stream, with its number, its size in bytes, and when it was sent last.
    Stream(u32, usize, Message, Time),
    /// With the sender's round-trip time, which is not on the real wire: a real end measures it by acknowledgements.
    Probe(Probe, Option<Duration>),
    Answer(Answer),
    Close(CloseCode, Vec<SocketAddr>),
    Reset,
}

/// The dialing node.
#[derive(Debug, Clone)]
pub(in crate::sim) struct Caller {
    pub(in crate::sim) id: NodeId,
    pub(in crate::sim) addr: SocketAddr,
}

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::sim) struct Flight {
    /// The receiving end, and the places of both.
    pub(in crate::sim) end: EndRef,
    pub(in crate::sim) to: u32,
    pub(in crate::sim) from: u32,
    pub(in crate::sim) packet: Packet,
    pub(in crate::sim) attempt: u32,
    /// When it was last sent, and whether nothing of it arrived then.
    pub(in crate::sim) tried: Time,
    pub(in crate::sim) in_vain: bool,
    /// Bytes that have not arrived yet, without headers.
    pub(in crate::sim) bytes: usize,
    /// When the last of the packets that are not lost arrives.
    pub(in crate::sim) arrives: Time,
}

impl Packet {
    pub(in crate::sim) fn bytes(&self) -> usize {
        match self {
            Self::Stream(_, bytes, ..) => *bytes,
            Self::Probe(probe, _) => size::probe(probe),
            Self::Answer(answer) => size::answer(answer),
            Self::Initial(_) => INITIAL_BYTES - PACKET_OVERHEAD,
            Self::Key(_) => KEY_BYTES - PACKET_OVERHEAD,
            Self::Close(..) | Self::Reset => 32,
        }
    }

    /// It is put onto the line, perhaps once more.
    pub(in crate::sim) fn leaves(&mut self, now: Time) {
        if let Self::Stream(.., sent) = self {
            *sent = now;
        }
    }

    /// Whether it ends a connection: it is sent although the end is gone, and never answered.
    pub(in crate::sim) fn is_parting(&self) -> bool {
        matches!(self, Self::Close(..) | Self::Reset)
    }
}
