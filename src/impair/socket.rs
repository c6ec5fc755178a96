//! A socket that impairs what is sent over it.
//!
//! It stands between quinn and the real socket, or a simulated one. A packet to a destination without a rule passes straight
//! through. Any other goes over that destination's [`LinkModel`]; what the model delays waits in one queue, in the order of
//! the times to leave, and a task hands it to the socket below when its time has come.

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

/// The most links that are remembered: four times as many as a node may hold. Beyond, the one that was used least recently
/// begins anew when it is used again.
pub(super) const MAX_LINKS: usize = 256;
/// The most bytes that wait for all links together, with what it takes to keep them; more is dropped. A limit of 1000 packets
/// on fifty links fits.
pub(super) const MAX_WAITING_BYTES: usize = 64 << 20;
/// What a waiting packet takes beside its contents.
const BYTES_A_PACKET: usize = size_of::<Waiting>();

/// What netem counts of a packet beside its contents: a header of Ethernet, as loopback has it too, and of UDP.
const LINK_AND_UDP_HEADERS: usize = 14 + 8;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// See the module's documentation. Dropping it drops what waits.
pub struct ImpairedSocket {
    shared: Arc<Shared>,
    /// The task ends when this is dropped.
    _alive: oneshot::Sender<Infallible>,
}

/// What the socket and the task that delivers have in common.
struct Shared {
    inner: Arc<dyn AsyncUdpSocket>,
    rules: Rules,
    clock: Clock,
    start: Instant,
    state: Mutex<State>,
    /// Something has to leave sooner than the task thinks.
    sooner: Notify,
    /// The last packet has left.
    emptied: Notify,
}

struct State {
    rng: ChaCha8Rng,
    links: BTreeMap<(IpAddr, u16), Link>,
    /// Counts packets.
    packets: u64,
    queue: BinaryHeap<Reverse<Waiting>>,
    waiting_bytes: usize,
    /// The socket below took no more when it was last tried, and the task waits until it does.
    blocked: bool,
    told_of_overflow: bool,
}

struct Link {
    model: LinkModel,
    used: u64,
}

/// A datagram that waits for its time.
struct Waiting {
    due: Duration,
    /// Of equal times, the first is the first.
    order: u64,
    destination: SocketAddr,
    ecn: Option<EcnCodepoint>,
    src_ip: Option<IpAddr>,
    contents: Vec<u8>,
}

impl Waiting {
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

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

/// What the task has to wait for.
enum Next {
    /// Nothing waits.
    News,
    Due(Duration),
    /// The socket below is full.
    Room,
}

impl ImpairedSocket {
    /// Applies the rules to what is sent over `inner`. The seed makes it repeat, given that the packets come at the same times.
    #[must_use]
    pub fn new(inner: Arc<dyn AsyncUdpSocket>, clock: Clock, rules: Rules, seed: [u8; 32]) -> Self {
        let start = clock.now();
        let mut rng = ChaCha8Rng::from_seed(seed);
        // Whoever has the same seed for another purpose draws other numbers.
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
                waiting_bytes: 0,
                blocked: false,
                told_of_overflow: false,
            }),
            sooner: Notify::new(),
            emptied: Notify::new(),
        });
        let (alive, over) = oneshot::channel();
        let carrier = carry(shared.clone());
        shared.clock.spawn(async move {
            tokio::select! {
                biased;
                _ = over => {}
                () = carrier => {}
            }
        });
        Self {
            shared,
            _alive: alive,
        }
    }

    /// Waits until nothing waits to be sent.
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
    /// The links that are remembered.
    pub(super) fn links(&self) -> usize {
        self.shared.state().links.len()
    }

    /// Bytes that wait, with what it takes to keep them.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.shared.state().waiting_bytes
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
        // Like a line: whatever becomes of it, the sender is rid of it.
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

    /// What the socket below takes: it gets straight through what has no rule, and the rest is cut up before.
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

    /// Sends each datagram of a transmit over its link, and on what is not delayed.
    fn send(&self, transmit: &Transmit<'_>) {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        let mut state = self.state();
        // Read under the lock, so that it never goes back.
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
        // A task that waits for room finds by itself what else is there when it has room.
        let wake = (sooner && !was_blocked) || state.blocked != was_blocked;
        drop(state);
        if wake {
            self.sooner.notify_one();
        }
        if first.is_none() {
            self.emptied.notify_waiters();
        }
    }

    /// Hands over what is due, for the task.
    fn deliver(&self) -> Next {
        let mut state = self.state();
        state.deliver(self.elapsed(), &*self.inner);
        let next = match state.first_due() {
            None => Next::News,
            Some(_) if state.blocked => Next::Room,
            Some(due) => Next::Due(due),
        };
        drop(state);
        if matches!(next, Next::News) {
            self.emptied.notify_waiters();
        }
        next
    }
}

impl State {
    fn first_due(&self) -> Option<Duration> {
        self.queue.peek().map(|first| first.0.due)
    }

    /// One datagram over its link, into the queue.
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
        let link = self.links.get_mut(&key).expect("it is there by now");
        link.used = self.packets;
        let on_the_line = LINK_AND_UDP_HEADERS + ip_header + datagram.len();
        let fate = link.model.handle_packet(now, on_the_line, &mut self.rng);
        for (copy, delivery) in fate.into_iter().enumerate() {
            let mut contents = datagram.to_vec();
            if let Some(flip) = delivery.flip {
                flip.apply(&mut contents);
            }
            self.queue(Waiting {
                due: delivery.at,
                order: self.packets * 2 + copy as u64,
                destination,
                ecn: transmit.ecn,
                src_ip: transmit.src_ip,
                contents,
            });
        }
    }

    /// Adds a link; where there are too many, in place of the one that was used least recently.
    fn add_link(&mut self, key: (IpAddr, u16), impairment: Arc<Impairment>) {
        if self.links.len() == MAX_LINKS {
            let oldest = self.links.iter().min_by_key(|(_, link)| link.used);
            let oldest = oldest.map(|(key, _)| *key);
            self.links.remove(&oldest.expect("there are many"));
        }
        let model = LinkModel::new(impairment, &mut self.rng);
        self.links.insert(key, Link { model, used: 0 });
    }

    fn queue(&mut self, waiting: Waiting) {
        let bytes = waiting.bytes();
        if self.waiting_bytes + bytes > MAX_WAITING_BYTES {
            if !self.told_of_overflow {
                self.told_of_overflow = true;
                tracing::warn!(
                    packets = self.queue.len(),
                    limit_mib = MAX_WAITING_BYTES >> 20,
                    "{}",
                    EventName::ImpairmentQueueFull
                );
            }
            return;
        }
        self.waiting_bytes += bytes;
        self.queue.push(Reverse(waiting));
    }

    /// Hands over what is due, until the socket takes no more.
    fn deliver(&mut self, now: Duration, inner: &dyn AsyncUdpSocket) {
        self.blocked = false;
        while let Some(Reverse(first)) = self.queue.peek()
            && first.due <= now
        {
            let transmit = first.transmit();
            let sent = inner.try_send(&transmit).or_else(|error| {
                // An error may be about an earlier packet, whose answer the system hands to whoever sends next.
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
            self.waiting_bytes -= bytes;
            self.queue.pop();
        }
    }
}

/// Delivers what waits, each at its time, until it is aborted.
async fn carry(shared: Arc<Shared>) {
    let mut timer = shared.clock.runtime().new_timer(shared.start);
    let mut poller = shared.inner.clone().create_io_poller();
    loop {
        match shared.deliver() {
            Next::News => shared.sooner.notified().await,
            Next::Due(due) => {
                timer.as_mut().reset(shared.start + due);
                tokio::select! {
                    biased;
                    () = shared.sooner.notified() => {}
                    () = poll_fn(|cx| timer.as_mut().poll(cx)) => {}
                }
            }
            Next::Room => {
                if let Err(error) = poll_fn(|cx| poller.as_mut().poll_writable(cx)).await {
                    tracing::debug!(%error, "socket closed");
                    return;
                }
            }
        }
    }
}
