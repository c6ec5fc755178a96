//! The socket right under quinn. It observes packets and passes them on, with the mark of ECN or without it ([`Marks`]).
//!
//! It counts datagrams that are not QUIC, and reports to the [`Tap`] when packets leave. It also reports when they arrive, if the
//! kernel does not.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::ecn::Marks;
use super::opener::{Openings, is_opener};
use super::tap::Tap;
use crate::clock::Clock;
use crate::wire::plain;

/// The length of the shortest QUIC packet, a stateless reset (RFC 9000, section 10.3).
const SHORTEST_PACKET: usize = 21;
/// This bit is set in every packet of QUIC version 1, since we don't grease it (RFC 9000, section 17.2).
const FIXED_BIT: u8 = 0x40;

/// Wraps a socket; see the module's documentation.
#[derive(Debug)]
pub(crate) struct ObservedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    not_quic: Arc<AtomicU64>,
    tap: Arc<Tap>,
    clock: Clock,
    marks: Mutex<Marks>,
    /// Where the packets go that open a NAT. `None`: nowhere.
    openings: Option<Arc<Openings>>,
}

impl ObservedSocket {
    pub(crate) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        not_quic: Arc<AtomicU64>,
        tap: Arc<Tap>,
        clock: Clock,
        openings: Option<Arc<Openings>>,
    ) -> Self {
        Self {
            inner,
            not_quic,
            tap,
            clock,
            marks: Mutex::default(),
            openings,
        }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what was received in one buffer. Packets that open a NAT end here.
    pub(crate) fn look_at(&self, bytes: &[u8], meta: &mut RecvMeta, now: Instant) {
        let packets = bytes[..meta.len].chunks(meta.stride.max(1));
        if meta.len > 0 && packets.clone().all(is_opener) {
            if let Some(openings) = &self.openings {
                // Two nodes may begin a rendezvous with each other at one time, and the kernel may join their packets.
                packets.for_each(|packet| openings.hear(plain(&meta.addr), packet));
            }
            // quinn takes no packet out of an empty buffer.
            meta.len = 0;
            return;
        }
        self.marks()
            .arrived(meta.addr, &bytes[..meta.len], meta.ecn.is_some(), now);
        for packet in bytes[..meta.len].chunks(meta.stride.max(1)) {
            if packet.len() < SHORTEST_PACKET || packet[0] & FIXED_BIT == 0 {
                self.not_quic.fetch_add(1, Ordering::Relaxed);
            }
            self.tap.answers(meta.addr, packet);
            if !self.tap.is_by_kernel() {
                self.tap.arrives(meta.addr, packet.len(), now, now);
            }
        }
    }
}

impl AsyncUdpSocket for ObservedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        // Stamped before the send, as ping does: on loopback the packet has arrived by the time the send returns.
        let first = transmit.segment_size.unwrap_or(transmit.contents.len());
        let first = first.min(transmit.contents.len());
        let (to, first, now) = (
            transmit.destination,
            &transmit.contents[..first],
            self.clock.now(),
        );
        self.tap.leaves(to, first, now);
        let sent = if transmit.ecn.is_some() && !self.marks().keeps(to, first, now) {
            self.inner.try_send(&Transmit {
                ecn: None,
                destination: to,
                contents: transmit.contents,
                segment_size: transmit.segment_size,
                src_ip: transmit.src_ip,
            })
        } else {
            self.inner.try_send(transmit)
        };
        if sent.is_err() {
            self.tap.held_up(transmit.destination);
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = self.inner.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = &received {
            let now = self.clock.now();
            for (buf, meta) in bufs.iter().zip(meta.iter_mut()).take(*count) {
                self.look_at(buf, meta, now);
            }
        }
        received
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use quinn::TokioRuntime;
    use tokio::sync::mpsc;

    use super::*;
    use crate::membership::Input;
    use crate::sim::socket::SimSocket;
    use crate::transport::TransportEvent;

    #[test]
    fn each_open_rendezvous_is_told_of_though_the_kernel_joined_their_packets() {
        let (sender, mut events) = mpsc::channel(8);
        let openings = Arc::new(Openings::new(sender));
        let addr = SocketAddr::from(([127, 0, 0, 1], 8083));
        let clock = Clock::new(Arc::new(TokioRuntime));
        let socket = ObservedSocket::new(
            Arc::new(SimSocket::new(addr, addr, |_| {})),
            Arc::default(),
            Arc::default(),
            clock.clone(),
            Some(openings.clone()),
        );
        openings.begin(5);
        openings.begin(6);
        let packet = |nonce: u64| [*b"\0an-open", nonce.to_be_bytes()].concat();
        let bytes = [5, 5, 7, 6].map(packet).concat();
        let mut meta = RecvMeta {
            addr,
            len: bytes.len(),
            stride: 16,
            ecn: None,
            dst_ip: None,
        };
        socket.look_at(&bytes, &mut meta, clock.now());
        assert_eq!(meta.len, 0);
        for expected in [5, 6] {
            let heard = events.try_recv().unwrap();
            let TransportEvent::Input(Input::Opened { nonce, from }) = heard else {
                panic!("{heard:?}");
            };
            assert_eq!((nonce, from), (expected, addr));
        }
        assert!(events.try_recv().is_err());
    }
}
