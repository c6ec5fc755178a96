//! What nodes tell to whoever looks on, and what is counted of what they do.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::membership::{Closed, Event, Time};
use crate::record::Record;

/// What a node did since the world began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that it sent, with all headers down to IPv6.
    pub bytes: u64,
    /// Of these, what records took.
    pub record_bytes: u64,
    /// Control messages that it sent.
    pub messages: u64,
    /// Records that it was sent, its own in Hellos aside.
    pub records_in: u64,
    /// Probes that it sent.
    pub probes: u64,
    /// Dials that it began.
    pub dials: u64,
    /// All that its core wanted done.
    pub actions: u64,
}

impl Traffic {
    /// Adds what another one did.
    pub fn add(&mut self, other: &Self) {
        let Self {
            bytes,
            record_bytes,
            messages,
            records_in,
            probes,
            dials,
            actions,
        } = other;
        self.bytes += bytes;
        self.record_bytes += record_bytes;
        self.messages += messages;
        self.records_in += records_in;
        self.probes += probes;
        self.dials += dials;
        self.actions += actions;
    }
}

/// What a node tells.
#[derive(Debug)]
pub struct News {
    /// When.
    pub at: Time,
    /// Which node.
    pub place: usize,
    /// What.
    pub what: Told,
}

/// The kinds of [`News`].
#[derive(Debug)]
pub enum Told {
    /// It was started.
    Started,
    /// It ended.
    Stopped,
    /// The core has something for the log.
    Event(Event),
    /// It signed a new record; with the one before, if there was one in this life.
    Published(Arc<Record>, Option<Arc<Record>>),
    /// It dials.
    Dialed(SocketAddr),
    /// A connection ended without the core's doing, for this reason. The core's events about it follow.
    Closed(Closed),
}
