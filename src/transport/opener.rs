//! The small packets that open a NAT for a peer: they make it, or a firewall, expect the peer's packets.
//!
//! They come from the socket of all connections, since a NAT's mapping is that of a socket. The receiver takes them out before
//! QUIC sees them. A QUIC packet never begins like one: its second bit is set (RFC 9000, section 17.2). A packet with the number
//! of an open rendezvous shows that the peer is there, and at which address; the core is told once. All others are dropped.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::AsyncUdpSocket;
use tokio::sync::mpsc;

use super::{Shared, TransportEvent, beside};
use crate::membership::Input;

/// What the packets begin with.
const MAGIC: [u8; 8] = *b"\0an-open";
/// The length of a packet: the magic, and the number of the rendezvous.
const LENGTH: usize = 16;
/// When the packets leave. One may be lost, or come before the other side's NAT expects it.
const AT: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(300),
];

/// How long the packets of the other side are awaited, once ours begin to leave. It sends at about the same time, and a path takes a
/// second at most. Halved, slow paths get no direct link; doubled, more numbers are kept.
const AWAITED: Duration = Duration::from_secs(3);
/// The most rendezvous that are open at once: more than the core begins within that time.
const MAX_OPEN: usize = 1024;

/// The rendezvous that are open, by their numbers.
#[derive(Debug)]
pub(crate) struct Openings {
    open: Mutex<BTreeSet<u64>>,
    events: mpsc::Sender<TransportEvent>,
}

impl Openings {
    pub(crate) fn new(events: mpsc::Sender<TransportEvent>) -> Self {
        Self {
            open: Mutex::default(),
            events,
        }
    }

    /// One of the small packets came.
    pub(super) fn hear(&self, from: SocketAddr, packet: &[u8]) {
        let number = packet.last_chunk().copied().map(u64::from_be_bytes);
        if let Some(nonce) = number.filter(|nonce| self.open().remove(nonce)) {
            let opened = TransportEvent::Input(Input::Opened { nonce, from });
            // `try_send`: a busy event loop may miss this. The next attempt opens the NATs again.
            self.events.try_send(opened).ok();
        }
    }

    /// A rendezvous begins, if there is room for it.
    pub(crate) fn begin(&self, nonce: u64) {
        let mut open = self.open();
        if open.len() < MAX_OPEN {
            open.insert(nonce);
        }
    }

    /// Nobody waits for the packets of this rendezvous any more.
    pub(crate) fn end(&self, nonce: u64) {
        self.open().remove(&nonce);
    }

    fn open(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a packet is one of these.
pub(super) fn is_opener(packet: &[u8]) -> bool {
    packet.len() == LENGTH && packet.starts_with(&MAGIC)
}

/// Sends the packets of one rendezvous to each of these addresses.
pub(super) async fn open(
    shared: Arc<Shared>,
    socket: Arc<dyn AsyncUdpSocket>,
    addrs: Vec<SocketAddr>,
    nonce: u64,
) {
    let contents = [MAGIC, nonce.to_be_bytes()].concat();
    let start = shared.clock.now();
    shared.openings.begin(nonce);
    for at in AT {
        shared.clock.sleep_until(start + at).await;
        for addr in &addrs {
            beside::send(&*socket, *addr, &contents, None);
        }
    }
    shared.clock.sleep_until(start + AWAITED).await;
    shared.openings.end(nonce);
}
