//! What is on its way from one node to another, in one packet or several.

use std::net::SocketAddr;
use std::time::Duration;

use super::PACKET_OVERHEAD;
use super::end_ref::EndRef;
use crate::membership::Time;
use crate::sim::size;
use crate::wire::{Answer, CloseCode, Message, NodeId, Probe};

/// The dialer's first packet, an Initial, padded.
const INITIAL_BYTES: usize = 1200 + 48;
/// The listener's: an Initial, padded, and its certificate.
const KEY_BYTES: usize = 1200 + 48 + 800 + 48;

#[derive(Debug)]
pub(in crate::sim) enum Packet {
    /// The dialer's first.
    Initial(Box<Caller>),
    /// The listener shows its key.
    Key(NodeId),
    /// A message of the stream, with its number and its size in bytes.
    Stream(u32, usize, Message),
    /// With the round-trip time as the sender knows it, which is on no real wire: a real end measures it by acknowledgements.
    Probe(Probe, Option<Duration>),
    Answer(Answer),
    Close(CloseCode, Vec<SocketAddr>),
    Reset,
}

/// Who dials.
#[derive(Debug, Clone)]
pub(in crate::sim) struct Caller {
    pub(in crate::sim) id: NodeId,
    pub(in crate::sim) addr: SocketAddr,
    /// It repeats itself soon, and so should we.
    pub(in crate::sim) eager: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::sim) struct Flight {
    /// The end that it is for, and where that and its own are.
    pub(in crate::sim) end: EndRef,
    pub(in crate::sim) to: u32,
    pub(in crate::sim) from: u32,
    pub(in crate::sim) packet: Packet,
    pub(in crate::sim) attempt: u32,
    /// When it was sent last, and whether nothing of it got through then.
    pub(in crate::sim) tried: Time,
    pub(in crate::sim) in_vain: bool,
    /// Bytes of the packets that have not got through yet, without headers.
    pub(in crate::sim) bytes: usize,
    /// When the last one arrives of those that do.
    pub(in crate::sim) arrives: Time,
}

impl Packet {
    pub(in crate::sim) fn bytes(&self) -> usize {
        match self {
            Self::Stream(_, bytes, _) => *bytes,
            Self::Probe(probe, _) => size::probe(probe),
            Self::Answer(answer) => size::answer(answer),
            Self::Initial(_) => INITIAL_BYTES - PACKET_OVERHEAD,
            Self::Key(_) => KEY_BYTES - PACKET_OVERHEAD,
            Self::Close(..) | Self::Reset => 32,
        }
    }

    /// It ends a connection: it is sent though the end is gone, and never answered.
    pub(in crate::sim) fn is_parting(&self) -> bool {
        matches!(self, Self::Close(..) | Self::Reset)
    }
}
