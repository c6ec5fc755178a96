//! The socket under quinn: quinn's own, with a look at what comes in.
//!
//! This is the seam for whatever has to happen at the socket: today a count of datagrams that are no QUIC at all.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// The shortest packet that any QUIC endpoint takes for one of its own (RFC 9000, section 10.3: a stateless reset).
const SHORTEST_PACKET: usize = 21;
/// Set in every packet of QUIC version 1, as we don't grease it (RFC 9000, section 17.2).
const FIXED_BIT: u8 = 0x40;

/// Counts what is no QUIC, and passes everything on.
#[derive(Debug)]
pub(super) struct ObservedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    garbage: Arc<AtomicU64>,
}

impl ObservedSocket {
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>, garbage: Arc<AtomicU64>) -> Self {
        Self { inner, garbage }
    }
}

impl AsyncUdpSocket for ObservedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = self.inner.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = &received {
            for (buf, meta) in bufs.iter().zip(meta.iter()).take(*count) {
                for packet in buf[..meta.len].chunks(meta.stride.max(1)) {
                    if packet.len() < SHORTEST_PACKET || packet[0] & FIXED_BIT == 0 {
                        self.garbage.fetch_add(1, Ordering::Relaxed);
                    }
                }
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
