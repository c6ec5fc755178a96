//! The real UDP socket under quinn, on Linux.
//!
//! It does what quinn's socket does, and adds the kernel's receive time of each packet, ICMP errors, and fewer wake-ups. It
//! makes the system calls through `quinn-udp` (with segmentation offload, ECN and source addresses), in a version that also
//! returns the receive time.
//!
//! - **ICMP.** With `IPV6_RECVERR` set, the kernel queues each error with the packet that caused it. It also fails the next send
//!   or receive, whichever peer that is for (Linux, ip(7)). Such a failed call is repeated.
//! - **Wake-ups.** A task that waits until a socket is writable is woken each time a packet has left. So no task waits for it
//!   unless a send found the buffer full; then a second descriptor of the same socket waits.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, UNIX_EPOCH};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike as _, SockaddrStorage,
    recvmsg,
};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use quinn_udp::UdpSocketState;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::tap::Tap;
use crate::events::EventName;
use crate::membership::Obstacle;

/// The most attempts at one send. Each queued ICMP error fails one call, and further errors may arrive in between.
const ATTEMPTS: usize = 4;
/// The most ICMP errors that are read in a row, so that many of them do not delay the node's packets.
const ERRORS_AT_ONCE: usize = 32;
/// The longest credible time between the kernel's receipt of a packet and our read. A longer one means that the wall clock was
/// set in between.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// The number of bytes read of the packet that an ICMP error quotes. The connection id is within them.
const QUOTE: usize = 64;
/// The size of the buffer for an ICMP error's control messages: the error, its sender, the time, the interface, and those of other
/// options. If one does not fit, none of them can be read.
const CONTROL: usize = 512;
/// The most packets received with one system call, each of which may be up to 64 that the kernel joined. quinn offers 32 buffers of 82
/// kB, and each that was ever used stays resident. Halved: more calls under a flood. Doubled: 0.3 MB more for good after one.
const AT_ONCE: usize = 4;
/// The least time between two warnings about failed sends.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// See the module's documentation.
#[derive(Debug)]
pub struct KernelSocket {
    bound: Arc<Bound>,
    errors: AbortHandle,
    /// A send found the buffer full. quinn waits for [`Writable`] then.
    full: AtomicBool,
    warned: Mutex<Option<Instant>>,
}

/// The registered socket and its options.
#[derive(Debug)]
struct Bound {
    io: AsyncFd<UdpSocket>,
    state: UdpSocketState,
    tap: Arc<Tap>,
}

impl KernelSocket {
    /// Wraps a bound socket. Must be called within tokio's runtime.
    ///
    /// # Errors
    /// When the system refuses one of the socket's options.
    pub fn open(socket: UdpSocket, tap: Arc<Tap>) -> io::Result<Arc<Self>> {
        let state = UdpSocketState::new((&socket).into())?;
        // Without ICMP errors the node still works: it detects dead peers by their silence alone.
        if let Err(error) = state.enable_transport_errors((&socket).into()) {
            tracing::debug!(%error, "ICMP errors unavailable");
        }
        tap.leave_arrivals_to_kernel();
        let bound = Arc::new(Bound {
            io: own(socket, Interest::READABLE)?,
            state,
            tap,
        });
        let errors = tokio::spawn(Arc::clone(&bound).read_errors()).abort_handle();
        Ok(Arc::new(Self {
            bound,
            errors,
            full: AtomicBool::new(false),
            warned: Mutex::default(),
        }))
    }

    fn warn(&self, error: &io::Error, transmit: &Transmit<'_>) {
        let now = Instant::now();
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| now.duration_since(at) >= WARN_EVERY) {
            *warned = Some(now);
            tracing::warn!(to = %transmit.destination, bytes = transmit.contents.len(), %error, "{}", EventName::SendFailed);
        }
    }
}

impl Drop for KernelSocket {
    fn drop(&mut self) {
        self.errors.abort();
    }
}

impl Bound {
    fn receive(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        let mut seen = [quinn_udp::RecvMeta::default(); AT_ONCE];
        let most = bufs.len().min(meta.len()).min(AT_ONCE);
        let socket = self.io.get_ref();
        let count = self
            .state
            .recv(socket.into(), &mut bufs[..most], &mut seen[..most])?;
        let (now, wall) = now();
        for (to, from) in meta.iter_mut().zip(&seen[..count]) {
            self.note_arrivals(from, now, wall);
            *to = RecvMeta {
                addr: from.addr,
                len: from.len,
                stride: from.stride,
                ecn: from
                    .ecn
                    .and_then(|ecn| quinn::udp::EcnCodepoint::from_bits(ecn as u8)),
                dst_ip: from.dst_ip,
            };
        }
        Ok(count)
    }

    /// Converts the kernel's stamps, which are wall-clock times, to monotonic times. If the wall clock was set in between, the
    /// packet gets no time.
    fn note_arrivals(&self, meta: &quinn_udp::RecvMeta, now: Instant, wall: Duration) {
        let waited = meta
            .timestamp
            .and_then(|stamp| wall.checked_sub(stamp))
            .filter(|waited| *waited < LONGEST_WAIT);
        let Some(at) = waited.and_then(|waited| now.checked_sub(waited)) else {
            return;
        };
        let mut left = meta.len;
        while left > 0 {
            let bytes = left.min(meta.stride.max(1));
            let (at, now) = (at.into_std(), now.into_std());
            self.tap.arrives(meta.addr, bytes, at, now);
            left -= bytes;
        }
    }

    /// Reads ICMP errors as they arrive.
    async fn read_errors(self: Arc<Self>) {
        while let Ok(mut guard) = self.io.ready(Interest::ERROR).await {
            guard.clear_ready();
            for _ in 0..ERRORS_AT_ONCE {
                match self.read_error() {
                    Ok(Some(error)) => {
                        let Icmp { peer, meaning, .. } = error;
                        match meaning {
                            None => self.tap.unreachable(peer, error.quoted()),
                            Some(why) => self.tap.stopped(peer, error.quoted(), why),
                        }
                    }
                    Ok(None) => {}
                    Err(_) => break,
                }
            }
        }
    }

    /// Reads one ICMP error. `None`: it says nothing of interest.
    fn read_error(&self) -> nix::Result<Option<Icmp>> {
        let mut quoted = [0; QUOTE];
        let mut control = cmsg_space!([u8; CONTROL]);
        let mut parts = [IoSliceMut::new(&mut quoted)];
        let message = recvmsg::<SockaddrStorage>(
            self.io.get_ref().as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
        )?;
        let peer = message.address.as_ref().and_then(address);
        let meaning = message.cmsgs()?.find_map(|part| match part {
            ControlMessageOwned::Ipv6RecvErr(error, by) => {
                let by = by.map(|by| SocketAddrV6::from(SockaddrIn6::from(by)));
                meaning(&error, by.map(|by| by.ip().to_canonical()))
            }
            ControlMessageOwned::Ipv4RecvErr(error, by) => {
                let by = by.map(|by| SocketAddrV4::from(SockaddrIn::from(by)));
                meaning(&error, by.map(|by| IpAddr::V4(*by.ip())))
            }
            _ => None,
        });
        let bytes = message.bytes.min(QUOTE);
        Ok(peer.zip(meaning).map(|(peer, meaning)| Icmp {
            peer,
            meaning,
            quote: quoted,
            bytes,
        }))
    }
}

/// An ICMP error about one of our packets.
struct Icmp {
    /// The packet's destination.
    peer: SocketAddr,
    /// What stopped the packet; `None` for "port unreachable".
    meaning: Option<Obstacle>,
    /// The packet's first bytes, and their number.
    quote: [u8; QUOTE],
    bytes: usize,
}

impl Icmp {
    fn quoted(&self) -> &[u8] {
        &self.quote[..self.bytes]
    }
}

impl AsyncUdpSocket for KernelSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable {
            socket: self,
            waiting: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let out = quinn_udp::Transmit {
            destination: transmit.destination,
            ecn: transmit
                .ecn
                .and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents: transmit.contents,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match self
                .bound
                .state
                .try_send(self.bound.io.get_ref().into(), &out)
            {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.full.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                // Either an ICMP error about an earlier packet, which fails one call, or an error that will recur.
                Err(error) => last = Some(error),
            }
        }
        // QUIC treats the packet as lost and repeats what it must.
        if let Some(error) = last {
            if let Some(why) = obstacle(&error) {
                self.bound.tap.not_sent(transmit.destination, why);
            }
            if is_no_route(&error) {
                self.bound.tap.failed(transmit.destination);
            }
            self.warn(&error, transmit);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.bound.io.poll_read_ready(cx))?;
            match self.bound.receive(bufs, meta) {
                Ok(count) => {
                    // Fewer packets than buffers: the queue is empty, and the next packet wakes the task again.
                    if count < bufs.len().min(meta.len()).min(AT_ONCE) {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                // An ICMP error. Returning it would end the endpoint.
                Err(error) => tracing::trace!(%error, "receive failed; retrying"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.bound.io.get_ref().local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.bound.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.bound.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.bound.state.may_fragment()
    }
}

/// Waits until the socket accepts packets again.
#[derive(Debug)]
struct Writable {
    socket: Arc<KernelSocket>,
    /// Registered only while waiting. Registration reports at once whether the socket is writable.
    waiting: Option<AsyncFd<OwnedFd>>,
}

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.socket.full.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        if self.waiting.is_none() {
            let same = self.socket.bound.io.get_ref().try_clone()?;
            self.waiting = Some(own(OwnedFd::from(same), Interest::WRITABLE)?);
        }
        let waiting = self.waiting.as_ref().expect("just made");
        ready!(waiting.poll_write_ready(cx))?.retain_ready();
        self.waiting = None;
        self.socket.full.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

/// Registers a descriptor with the event loop.
#[expect(
    deprecated,
    reason = "sound for a type that owns its descriptor, as `OwnedFd` and `UdpSocket` do; what replaces it is unsafe for all"
)]
pub(super) fn own<T: Owns>(descriptor: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(descriptor, interest)
}

/// Types that own one descriptor for as long as they live, and close it then.
pub(super) trait Owns: std::os::fd::AsRawFd {}
impl Owns for UdpSocket {}
impl Owns for OwnedFd {}

/// Reads both clocks: the monotonic one, and the wall clock as the time since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the kernel stamps packets with the wall clock"
)]
fn now() -> (Instant, Duration) {
    let wall = std::time::SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (Instant::now(), wall)
}

fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
    debug_assert!(
        from.len() > 0,
        "the error contains the packet's destination"
    );
    let v6 = from
        .as_sockaddr_in6()
        .map(|addr| SocketAddrV6::from(*addr).into());
    v6.or_else(|| {
        from.as_sockaddr_in()
            .map(|addr| std::net::SocketAddrV4::from(*addr).into())
    })
}

/// Whether the machine can't send to that address: it has no route, or lost the address to send from. A network stack says the
/// latter in several ways.
fn is_no_route(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::InvalidInput
    )
}

/// What an ICMP error says (RFC 4443, section 3.1; RFC 792 and RFC 1812, section 5.2.7): `None` for nothing of interest, `Some(None)`
/// for "port unreachable", otherwise what stopped the packet. `by` sent the error.
fn meaning(error: &libc::sock_extended_err, by: Option<IpAddr>) -> Option<Option<Obstacle>> {
    const V6: u8 = libc::SO_EE_ORIGIN_ICMP6;
    const V4: u8 = libc::SO_EE_ORIGIN_ICMP;
    let by = by.filter(|by| !by.is_unspecified());
    match (error.ee_origin, error.ee_type, error.ee_code) {
        (V6, 1, 4) | (V4, 3, 3) if error.ee_errno == Errno::ECONNREFUSED as u32 => Some(None),
        (V6, 1, 1 | 5 | 6) | (V4, 3, 9 | 10 | 13) => Some(Some(Obstacle::Prohibited(by))),
        (V6, 1, 0 | 2 | 3) | (V4, 3, 0 | 1 | 6 | 7 | 11 | 12) => Some(Some(Obstacle::NoWay(by))),
        _ => None,
    }
}

/// What a failed send says of its destination (send(2), ip(7), ipv6(7)).
fn obstacle(error: &io::Error) -> Option<Obstacle> {
    match Errno::from_raw(error.raw_os_error()?) {
        Errno::EPERM | Errno::EACCES => Some(Obstacle::ProhibitedHere),
        Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EADDRNOTAVAIL | Errno::ENETDOWN => {
            Some(Obstacle::NoRoute)
        }
        // The address that the socket is bound to can't be the source of a packet to there.
        Errno::EINVAL => Some(Obstacle::Source),
        Errno::EAFNOSUPPORT => Some(Obstacle::Family),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Far above the time that any step takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn bind() -> UdpSocket {
        UdpSocket::bind("[::1]:0").unwrap()
    }

    fn open(tap: &Arc<Tap>) -> Arc<KernelSocket> {
        KernelSocket::open(bind(), Arc::clone(tap)).unwrap()
    }

    fn send(socket: &KernelSocket, destination: SocketAddr, contents: &[u8]) {
        let transmit = Transmit {
            destination,
            ecn: None,
            contents,
            segment_size: None,
            src_ip: None,
        };
        socket.try_send(&transmit).unwrap();
    }

    async fn receive(socket: &KernelSocket) -> Vec<u8> {
        let (mut bytes, mut meta) = (vec![0; 2048], [RecvMeta::default()]);
        let received = poll_fn(|cx| {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            socket.poll_recv(cx, &mut parts, &mut meta)
        });
        let count = tokio::time::timeout(PATIENCE, received).await.unwrap();
        assert_eq!(count.unwrap(), 1);
        bytes.truncate(meta[0].len);
        bytes
    }

    #[tokio::test]
    async fn an_icmp_error_is_reported_and_costs_no_other_packet() {
        let nobody = bind().local_addr().unwrap();
        let tap = Arc::new(Tap::default());
        let (socket, friend) = (open(&tap), open(&Arc::default()));
        let watch = tap.watch(nobody);
        let packet = [0x55; 60];
        tap.leaves(nobody, &packet, Instant::now().into_std());
        send(&socket, nobody, &packet);
        // The error of the first send would fail this one.
        send(&socket, friend.local_addr().unwrap(), b"still here");
        assert_eq!(receive(&friend).await, b"still here");
        tokio::time::timeout(PATIENCE, watch.unreachable(&mut 0))
            .await
            .expect("the kernel answers with ICMP at once");
    }

    #[tokio::test]
    async fn arrivals_carry_the_kernels_time() {
        let tap = Arc::new(Tap::default());
        let (here, there) = (open(&tap), open(&Arc::default()));
        let watch = tap.watch(there.local_addr().unwrap());
        let before = Instant::now().into_std();
        send(&there, here.local_addr().unwrap(), &[0x55; 60]);
        assert_eq!(receive(&here).await, [0x55; 60]);
        let read = Instant::now().into_std();
        let arrived = watch.arrived(20, read).expect("one packet came");
        // The two clocks are read one after the other.
        let slack = Duration::from_millis(1);
        assert!(arrived + slack >= before && arrived <= read + slack);
    }
}
