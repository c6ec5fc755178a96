//! The simulated UDP socket of a whole node. It implements quinn's interface for that, [`AsyncUdpSocket`].
//!
//! The network is whatever the socket is made with: it takes each sent datagram, and delivers others. A datagram that arrived
//! waits in the socket until the node reads it. The socket holds no more bytes than a real one and drops the rest.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// The receive buffer of a Linux socket by default: `net.core.rmem_default`.
const ROOM: usize = 212_992;
/// The kernel's overhead for a packet in that buffer, approximately.
const BESIDE: usize = 768;

/// A datagram that a socket sends.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The address it is sent to.
    pub to: SocketAddr,
    /// Its contents.
    pub bytes: &'a [u8],
    /// It carries the mark of ECN.
    pub marked: bool,
}

/// See the module's documentation.
pub struct SimSocket {
    addr: SocketAddr,
    local: SocketAddr,
    send: Box<dyn Fn(Outgoing<'_>) + Send + Sync>,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    packets: VecDeque<(SocketAddr, Vec<u8>)>,
    taken: usize,
    waker: Option<Waker>,
    closed: bool,
}

impl SimSocket {
    /// A socket that hands what it sends to `send`. Datagrams to `addr` reach it; `local` is the address it is bound to, which may
    /// be unspecified.
    pub fn new(
        addr: SocketAddr,
        local: SocketAddr,
        send: impl Fn(Outgoing<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            addr,
            local,
            send: Box::new(send),
            inbox: Mutex::default(),
        }
    }

    /// A datagram arrives, if there is room for it.
    pub fn deliver(&self, from: SocketAddr, bytes: Vec<u8>) {
        let mut inbox = self.inbox();
        let takes = bytes.len() + BESIDE;
        if inbox.taken + takes > ROOM {
            return;
        }
        inbox.taken += takes;
        inbox.packets.push_back((from, bytes));
        let waker = inbox.waker.take();
        drop(inbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// From now on nothing is sent: the node is gone.
    pub(super) fn close(&self) {
        self.inbox().closed = true;
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimSocket({})", self.addr)
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.inbox().closed {
            return Ok(());
        }
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        for bytes in transmit.contents.chunks(size.max(1)) {
            (self.send)(Outgoing {
                to: transmit.destination,
                bytes,
                marked: transmit.ecn.is_some(),
            });
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = self.inbox();
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some((from, bytes)) = inbox.packets.pop_front() else {
                break;
            };
            inbox.taken -= bytes.len() + BESIDE;
            let len = bytes.len().min(buf.len());
            buf[..len].copy_from_slice(&bytes[..len]);
            *meta = RecvMeta {
                addr: from,
                len,
                stride: len,
                ecn: None,
                dst_ip: Some(self.addr.ip()),
            };
            count += 1;
        }
        if count > 0 {
            return Poll::Ready(Ok(count));
        }
        inbox.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// The socket accepts every datagram.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
