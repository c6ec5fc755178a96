//! What nodes report to observers, and their traffic.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::membership::{Closed, Event, Time};
use crate::record::Record;
use crate::sim::path::{PACKET_OVERHEAD, PAYLOAD};
use crate::sim::size;
use crate::wire::Message;

/// The traffic of a node since the world began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes sent, with all headers down to IPv6.
    pub bytes: u64,
    /// The bytes of records among them.
    pub record_bytes: u64,
    /// Control messages sent.
    pub messages: u64,
    /// Bytes received by a core, with all headers down to IPv6, and without acknowledgements.
    pub bytes_in: u64,
    /// Control messages received, without Hellos.
    pub messages_in: u64,
    /// In a world with attacks, records received that were newer than the core's. Each has a signature to verify.
    pub fresh_in: u64,
    /// Records received, except those in Hellos.
    pub records_in: u64,
    /// Bytes of figures messages received, each with half of a packet's headers: every second one shares the packet of a probe,
    /// since a node probes half of its peers.
    pub figures_in: u64,
    /// Probes sent.
    pub probes: u64,
    /// Dials begun.
    pub dials: u64,
    /// Actions of its core.
    pub actions: u64,
}

impl Traffic {
    /// Counts the packets of a flight that arrived, with so many bytes without headers.
    pub(in crate::sim) fn receive(&mut self, bytes: usize) {
        let packets = bytes.div_ceil(PAYLOAD).max(1);
        self.bytes_in += (bytes + packets * PACKET_OVERHEAD) as u64;
    }

    /// Counts the contents of a message that was received.
    pub(in crate::sim) fn take(&mut self, message: &Message) {
        self.messages_in += 1;
        match message {
            Message::Records(records) => self.records_in += records.len() as u64,
            Message::Figures(_) => {
                self.figures_in += (PACKET_OVERHEAD / 2 + size::frame(message)) as u64;
            }
            Message::Hello(_)
            | Message::Digests { .. }
            | Message::Versions { .. }
            | Message::Request(_)
            | Message::Superfluous(_)
            | Message::Have(_)
            | Message::Graft(_)
            | Message::Prune
            | Message::Revocations(_)
            | Message::Observed(_)
            | Message::Meet(_) => {}
        }
    }

    /// Adds the traffic of another one.
    pub fn add(&mut self, other: &Self) {
        let Self {
            bytes,
            record_bytes,
            messages,
            bytes_in,
            messages_in,
            fresh_in,
            records_in,
            figures_in,
            probes,
            dials,
            actions,
        } = other;
        self.bytes += bytes;
        self.record_bytes += record_bytes;
        self.messages += messages;
        self.bytes_in += bytes_in;
        self.messages_in += messages_in;
        self.fresh_in += fresh_in;
        self.records_in += records_in;
        self.figures_in += figures_in;
        self.probes += probes;
        self.dials += dials;
        self.actions += actions;
    }
}

/// A report of a node.
#[derive(Debug)]
pub struct News {
    /// When.
    pub at: Time,
    /// Which node.
    pub place: usize,
    /// The report.
    pub what: Told,
}

/// The kinds of [`News`].
#[derive(Debug)]
pub enum Told {
    /// It was started.
    Started,
    /// It ended.
    Stopped,
    /// An event of the core.
    Event(Event),
    /// It signed a new record; with the previous one of this run, if there was one.
    Published(Arc<Record>, Option<Arc<Record>>),
    /// It dials.
    Dialed(SocketAddr),
    /// A connection ended, not by the core, for this reason. The core's events about it follow.
    Closed(Closed),
}
