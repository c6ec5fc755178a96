//! The socket under all connections: which packets it keeps from QUIC, and what it tells of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use quinn::TokioRuntime;
use quinn::udp::RecvMeta;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::membership::Input;
use crate::sim::socket::SimSocket;
use crate::transport::{ObservedSocket, Openings, Tap, TransportEvent};

/// The most rendezvous that are told of and not taken yet.
const ROOM: usize = 64;

/// A socket to which the input plays the network, and the rendezvous of its node.
#[derive(Debug)]
pub struct Ear {
    socket: ObservedSocket,
    openings: Arc<Openings>,
    not_quic: Arc<AtomicU64>,
    events: mpsc::Receiver<TransportEvent>,
    now: Instant,
}

/// What became of packets that arrived in one buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The rendezvous whose packets came, and from where.
    pub opened: Vec<(u64, SocketAddr)>,
    /// How many bytes QUIC gets to see.
    pub passed: usize,
    /// How many packets were counted that are not QUIC's.
    pub not_quic: u64,
}

impl Ear {
    /// A socket at which nothing was heard, and no rendezvous.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let (sender, events) = mpsc::channel(ROOM);
        let openings = Arc::new(Openings::new(sender));
        let not_quic = Arc::new(AtomicU64::new(0));
        let addr = SocketAddr::from(([127, 0, 0, 1], 8083));
        let socket = ObservedSocket::new(
            Arc::new(SimSocket::new(addr, addr, |_| {})),
            not_quic.clone(),
            Arc::new(Tap::default()),
            Clock::new(Arc::new(TokioRuntime)),
            Some(openings.clone()),
        );
        Self {
            socket,
            openings,
            not_quic,
            events,
            now,
        }
    }

    /// A rendezvous begins.
    pub fn begin(&self, nonce: u64) {
        self.openings.begin(nonce);
    }

    /// A rendezvous ends.
    pub fn end(&self, nonce: u64) {
        self.openings.end(nonce);
    }

    /// Packets arrive in one buffer, each of `stride` bytes but the last one.
    pub fn hear(&mut self, from: SocketAddr, bytes: &[u8], stride: usize) -> Heard {
        let before = self.not_quic.load(Ordering::Relaxed);
        let mut meta = RecvMeta {
            addr: from,
            len: bytes.len(),
            stride,
            ecn: None,
            dst_ip: None,
        };
        self.socket.look_at(bytes, &mut meta, self.now);
        let mut opened = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            if let TransportEvent::Input(Input::Opened { nonce, from }) = event {
                opened.push((nonce, from));
            }
        }
        Heard {
            opened,
            passed: meta.len,
            not_quic: self.not_quic.load(Ordering::Relaxed) - before,
        }
    }
}
