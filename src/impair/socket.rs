//! A socket that impairs the packets sent over it.
//!
//! It stands between quinn and the socket below, real or simulated. A packet to a destination without a rule passes unchanged.
//! Any other passes through its destination's [`LinkModel`]. Delayed packets wait in one queue, sorted by departure, and a task
//! hands each to the socket below when it is due.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tokio::sync::{Notify, oneshot};

use super::{Impairment, LinkModel, Rules};
use crate::clock::Clock;
use crate::events::EventName;

/// The most destinations with a link model: four times the links that a node may hold. Beyond that the least recently used model
/// is dropped, and its destination begins with a fresh one.
pub(super) const MAX_LINKS: usize = 256;
/// The most bytes that are queued for all destinations together, bookkeeping included; further packets are dropped. Fifty links
/// with full queues of netem's default limit (1000 packets) fit.
pub(super) const MAX_QUEUED_BYTES: usize = 64 << 20;
/// The bookkeeping of a queued packet, in bytes.
const BYTES_A_PACKET: usize = size_of::<Queued>();

/// The bytes that netem counts besides IP header and contents: the Ethernet header, which loopback has too, and the UDP header.
const LINK_AND_UDP_HEADERS: usize = 14 + 8;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// See the module's documentation. Dropping it drops the queued packets.
pub struct ImpairedSocket {
    shared: Arc<Shared>,
    /// The task ends when this is dropped.
    _alive: oneshot::Sender<Infallible>,
}

/// The state that the socket shares with its delivery task.
struct Shared {
    inner: Arc<dyn AsyncUdpSocket>,
    rules: Rules,
    clock: Clock,
    start: Instant,
    state: Mutex<State>,
    /// Signals the task that a packet is due earlier than the one it waits for.
    sooner: Notify,
    /// Signals that the last queued packet has left.
    emptied: Notify,
}

struct State {
    rng: ChaCha8Rng,
    links: BTreeMap<(IpAddr, u16), Link>,
    /// The number of packets so far.
    packets: u64,
    queue: BinaryHeap<Reverse<Queued>>,
    queued_bytes: usize,
    /// The socket below was full at the last attempt, and the task waits until it is writable.
    blocked: bool,
    overflow_logged: bool,
}

struct Link {
    model: LinkModel,
    used: u64,
}

/// A queued datagram.
struct Queued {
    due: Duration,
    /// The order of entry, for equal due times.
    order: u64,
    destination: SocketAddr,
    ecn: Option<EcnCodepoint>,
    src_ip: Option<IpAddr>,
    contents: Vec<u8>,
}

impl Queued {
    fn transmit(&self) -> Transmit<'_> {
        Transmit {
            destination: self.destination,
            ecn: self.ecn,
            contents: &self.contents,
            segment_size: None,
            src_ip: self.src_ip,
        }
    }

    fn bytes(&self) -> usize {
        BYTES_A_PACKET + self.contents.len()
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

/// What the delivery task waits for.
enum Next {
    /// The queue is empty: wait for a packet.
    Packet,
    /// Wait until the first packet is due.
    Due(Duration),
    /// The socket below is full: wait until it is writable.
    Writable,
}

impl ImpairedSocket {
    /// Applies the rules to what is sent over `inner`. Equal seeds give equal results for equal packets at equal times.
    #[must_use]
    pub fn new(inner: Arc<dyn AsyncUdpSocket>, clock: Clock, rules: Rules, seed: [u8; 32]) -> Self {
        let start = clock.now();
        let mut rng = ChaCha8Rng::from_seed(seed);
        // A stream of its own: other users of the same seed draw other numbers.
        rng.set_stream(u64::from_be_bytes(*b"impaired"));
        let shared = Arc::new(Shared {
            inner,
            rules,
            clock,
            start,
            state: Mutex::new(State {
                rng,
                links: BTreeMap::new(),
                packets: 0,
                queue: BinaryHeap::new(),
                queued_bytes: 0,
                blocked: false,
                overflow_logged: false,
            }),
            sooner: Notify::new(),
            emptied: Notify::new(),
        });
        let (alive, over) = oneshot::channel();
        let delivery = deliver_queued(shared.clone());
        shared.clock.spawn(async move {
            tokio::select! {
                biased;
                _ = over => {}
                () = delivery => {}
            }
        });
        Self {
            shared,
            _alive: alive,
        }
    }

    /// Waits until the queue is empty.
    pub async fn drained(&self) {
        loop {
            let emptied = self.shared.emptied.notified();
            if self.shared.state().queue.is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

#[cfg(test)]
impl ImpairedSocket {
    /// The number of link models.
    pub(super) fn links(&self) -> usize {
        self.shared.state().links.len()
    }

    /// The queued bytes, bookkeeping included.
    pub(super) fn queued_bytes(&self) -> usize {
        self.shared.state().queued_bytes
    }
}

impl fmt::Debug for ImpairedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImpairedSocket")
            .field("inner", &self.shared.inner)
            .field("rules", &self.shared.rules)
            .finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for ImpairedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.shared.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self
            .shared
            .rules
            .impairment_to(&transmit.destination)
            .is_none()
        {
            return self.shared.inner.try_send(transmit);
        }
        // As on a real link, the sender does not learn the packet's fate.
        self.shared.send(transmit);
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.shared.inner.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.inner.local_addr()
    }

    /// The limit of the socket below. Packets without a rule reach it unchanged; the others are split into datagrams before.
    fn max_transmit_segments(&self) -> usize {
        self.shared.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.shared.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.shared.inner.may_fragment()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.start)
    }

    /// Passes each datagram of a transmit through its link model, and sends those that are not delayed.
    fn send(&self, transmit: &Transmit<'_>) {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        let mut state = self.state();
        // Read under the lock, so that the model's time never decreases.
        let now = self.elapsed();
        let (before, was_blocked) = (state.first_due(), state.blocked);
        for datagram in transmit.contents.chunks(size.max(1)) {
            state.send(&self.rules, now, transmit, datagram);
        }
        if !was_blocked {
            state.deliver(now, &*self.inner);
        }
        let first = state.first_due();
        let sooner = first.is_some_and(|first| before.is_none_or(|before| first < before));
        // A task that waits for the socket below looks at the whole queue afterwards anyway.
        let wake = (sooner && !was_blocked) || state.blocked != was_blocked;
        drop(state);
        if wake {
            self.sooner.notify_one();
        }
        if first.is_none() {
            self.emptied.notify_waiters();
        }
    }

    /// Sends what is due, and returns what the task waits for next.
    fn deliver(&self) -> Next {
        let mut state = self.state();
        state.deliver(self.elapsed(), &*self.inner);
        let next = match state.first_due() {
            None => Next::Packet,
            Some(_) if state.blocked => Next::Writable,
            Some(due) => Next::Due(due),
        };
        drop(state);
        if matches!(next, Next::Packet) {
            self.emptied.notify_waiters();
        }
        next
    }
}

impl State {
    fn first_due(&self) -> Option<Duration> {
        self.queue.peek().map(|first| first.0.due)
    }

    /// Passes one datagram through its link model into the queue.
    fn send(&mut self, rules: &Rules, now: Duration, transmit: &Transmit<'_>, datagram: &[u8]) {
        self.packets += 1;
        let destination = transmit.destination;
        let ip = destination.ip().to_canonical();
        let ip_header = match ip {
            IpAddr::V4(_) => IPV4_HEADER,
            IpAddr::V6(_) => IPV6_HEADER,
        };
        let key = (ip, destination.port());
        if !self.links.contains_key(&key) {
            let Some(impairment) = rules.impairment_to(&destination) else {
                return;
            };
            self.add_link(key, impairment.clone());
        }
        let link = self.links.get_mut(&key).expect("the link was added above");
        link.used = self.packets;
        let on_the_line = LINK_AND_UDP_HEADERS + ip_header + datagram.len();
        let fate = link.model.handle_packet(now, on_the_line, &mut self.rng);
        for (copy, delivery) in fate.into_iter().enumerate() {
            let mut contents = datagram.to_vec();
            if let Some(flip) = delivery.flip {
                flip.apply(&mut contents);
            }
            self.queue(Queued {
                due: delivery.at,
                order: self.packets * 2 + copy as u64,
                destination,
                ecn: transmit.ecn,
                src_ip: transmit.src_ip,
                contents,
            });
        }
    }

    /// Adds a link model. At the limit it replaces the least recently used one.
    fn add_link(&mut self, key: (IpAddr, u16), impairment: Arc<Impairment>) {
        if self.links.len() == MAX_LINKS {
            let oldest = self.links.iter().min_by_key(|(_, link)| link.used);
            let oldest = oldest.map(|(key, _)| *key);
            self.links.remove(&oldest.expect("there are MAX_LINKS"));
        }
        let model = LinkModel::new(impairment, &mut self.rng);
        self.links.insert(key, Link { model, used: 0 });
    }

    fn queue(&mut self, queued: Queued) {
        let bytes = queued.bytes();
        if self.queued_bytes + bytes > MAX_QUEUED_BYTES {
            if !self.overflow_logged {
                self.overflow_logged = true;
                tracing::warn!(
                    packets = self.queue.len(),
                    limit_mib = MAX_QUEUED_BYTES >> 20,
                    "{}",
                    EventName::ImpairmentQueueFull
                );
            }
            return;
        }
        self.queued_bytes += bytes;
        self.queue.push(Reverse(queued));
    }

    /// Sends what is due, until the socket below is full.
    fn deliver(&mut self, now: Duration, inner: &dyn AsyncUdpSocket) {
        self.blocked = false;
        while let Some(Reverse(first)) = self.queue.peek()
            && first.due <= now
        {
            let transmit = first.transmit();
            let sent = inner.try_send(&transmit).or_else(|error| {
                // The system reports an earlier packet's ICMP error at the next send, so the send is repeated once.
                match error.kind() {
                    io::ErrorKind::WouldBlock => Err(error),
                    _ => inner.try_send(&transmit),
                }
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return;
                }
                Err(error) => {
                    tracing::debug!(to = %first.destination, %error, "delayed packet not sent")
                }
                Ok(()) => {}
            }
            let bytes = first.bytes();
            self.queued_bytes -= bytes;
            self.queue.pop();
        }
    }
}

/// Delivers the queued packets, each when it is due, until the task is cancelled.
async fn deliver_queued(shared: Arc<Shared>) {
    let mut timer = shared.clock.runtime().new_timer(shared.start);
    let mut poller = shared.inner.clone().create_io_poller();
    loop {
        match shared.deliver() {
            Next::Packet => shared.sooner.notified().await,
            Next::Due(due) => {
                timer.as_mut().reset(shared.start + due);
                tokio::select! {
                    biased;
                    () = shared.sooner.notified() => {}
                    () = poll_fn(|cx| timer.as_mut().poll(cx)) => {}
                }
            }
            Next::Writable => {
                if let Err(error) = poll_fn(|cx| poller.as_mut().poll_writable(cx)).await {
                    tracing::debug!(%error, "socket closed");
                    return;
                }
            }
        }
    }
}
