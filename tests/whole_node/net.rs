//! A network in memory: datagrams with delay, jitter, loss, duplicates, reordering, partitions and dead directions, all drawn
//! from one seeded generator. It is the other side of quinn's own seam, `AsyncUdpSocket`, so all of the node runs over it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// What happens to a datagram on its way. Shares are between 0 and 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) delay_ms: u64,
    /// Up to so much more, which also reorders.
    pub(crate) jitter_ms: u64,
    pub(crate) loss: f64,
    pub(crate) duplicate: f64,
    /// The share that is held up for another four delays.
    pub(crate) reorder: f64,
}

impl Weather {
    pub(crate) const CLEAR: Self = Self {
        delay_ms: 2,
        jitter_ms: 0,
        loss: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
    };
}

struct Flight {
    due: Instant,
    /// Equal times are kept in the order of sending.
    order: u64,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Flight {}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

struct Air {
    rng: ChaCha8Rng,
    weather: Weather,
    /// Directions in which nothing arrives.
    dead: BTreeSet<(SocketAddr, SocketAddr)>,
    /// While not empty, nothing passes between addresses of different islands.
    islands: BTreeMap<SocketAddr, usize>,
    sockets: BTreeMap<SocketAddr, Arc<SimSocket>>,
    flights: BinaryHeap<Reverse<Flight>>,
    order: u64,
    /// Datagrams sent, by direction, whatever became of them.
    sent: BTreeMap<(SocketAddr, SocketAddr), u64>,
}

/// See the module's documentation.
pub(crate) struct Net {
    air: Mutex<Air>,
    sooner: Notify,
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Net")
    }
}

impl Net {
    /// A network and the task that carries its datagrams.
    pub(crate) fn start(seed: u64) -> Arc<Self> {
        let air = Air {
            rng: ChaCha8Rng::seed_from_u64(seed),
            weather: Weather::CLEAR,
            dead: BTreeSet::new(),
            islands: BTreeMap::new(),
            sockets: BTreeMap::new(),
            flights: BinaryHeap::new(),
            order: 0,
            sent: BTreeMap::new(),
        };
        let net = Arc::new(Self {
            air: Mutex::new(air),
            sooner: Notify::new(),
        });
        tokio::spawn(net.clone().carry());
        net
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.air().weather = weather;
    }

    pub(crate) fn break_direction(&self, from: SocketAddr, to: SocketAddr) {
        self.air().dead.insert((from, to));
    }

    pub(crate) fn split(&self, islands: &[Vec<SocketAddr>]) {
        let places = islands.iter().enumerate();
        self.air().islands = places
            .flat_map(|(place, island)| island.iter().map(move |addr| (*addr, place)))
            .collect();
    }

    pub(crate) fn mend(&self) {
        let mut air = self.air();
        air.dead.clear();
        air.islands.clear();
    }

    pub(crate) fn sent(&self, from: SocketAddr, to: SocketAddr) -> u64 {
        self.air().sent.get(&(from, to)).copied().unwrap_or(0)
    }

    /// A socket at `addr`, which it reports as `local` (an unspecified address, say). One that was there before is cut off.
    pub(crate) fn bind(self: &Arc<Self>, addr: SocketAddr, local: SocketAddr) -> Arc<SimSocket> {
        let socket = Arc::new(SimSocket {
            net: self.clone(),
            addr,
            local,
            inbox: Mutex::default(),
        });
        self.air().sockets.insert(addr, socket.clone());
        socket
    }

    /// From now on the socket swallows what it is given and hears nothing.
    pub(crate) fn cut_off(&self, socket: &Arc<SimSocket>) {
        let mut air = self.air();
        if air
            .sockets
            .get(&socket.addr)
            .is_some_and(|there| Arc::ptr_eq(there, socket))
        {
            air.sockets.remove(&socket.addr);
        }
    }

    fn air(&self) -> MutexGuard<'_, Air> {
        self.air.lock().unwrap()
    }

    fn send(&self, from: &SimSocket, to: SocketAddr, bytes: &[u8]) {
        let mut air = self.air();
        let alive = air
            .sockets
            .get(&from.addr)
            .is_some_and(|there| std::ptr::eq(&raw const **there, from));
        if !alive {
            return;
        }
        *air.sent.entry((from.addr, to)).or_default() += 1;
        let island = |addr| air.islands.get(addr);
        if air.dead.contains(&(from.addr, to)) || island(&from.addr) != island(&to) {
            return;
        }
        let weather = air.weather;
        let copies = 1 + u32::from(air.rng.random_bool(weather.duplicate));
        for _ in 0..copies {
            if air.rng.random_bool(weather.loss) {
                continue;
            }
            let mut delay = weather.delay_ms + air.rng.random_range(0..=weather.jitter_ms);
            if air.rng.random_bool(weather.reorder) {
                delay += weather.delay_ms * 4;
            }
            air.order += 1;
            let flight = Flight {
                due: Instant::now() + Duration::from_millis(delay),
                order: air.order,
                from: from.addr,
                to,
                bytes: bytes.to_vec(),
            };
            air.flights.push(Reverse(flight));
        }
        drop(air);
        self.sooner.notify_one();
    }

    async fn carry(self: Arc<Self>) {
        loop {
            let next = self.land();
            let sooner = self.sooner.notified();
            match next {
                Some(next) => {
                    tokio::select! {
                        biased;
                        () = sooner => {}
                        () = sleep_until(next) => {}
                    }
                }
                None => sooner.await,
            }
        }
    }

    /// Delivers what is due, and tells when the next one is.
    fn land(&self) -> Option<Instant> {
        let mut air = self.air();
        let now = Instant::now();
        while air
            .flights
            .peek()
            .is_some_and(|Reverse(flight)| flight.due <= now)
        {
            let Some(Reverse(flight)) = air.flights.pop() else {
                break;
            };
            if let Some(socket) = air.sockets.get(&flight.to) {
                socket.take(flight.from, flight.bytes);
            }
        }
        air.flights.peek().map(|Reverse(flight)| flight.due)
    }
}

#[derive(Default)]
struct Inbox {
    packets: VecDeque<(SocketAddr, Vec<u8>)>,
    waker: Option<Waker>,
}

/// A socket of the network.
pub(crate) struct SimSocket {
    net: Arc<Net>,
    addr: SocketAddr,
    local: SocketAddr,
    inbox: Mutex<Inbox>,
}

impl SimSocket {
    fn take(&self, from: SocketAddr, bytes: Vec<u8>) {
        let mut inbox = self.inbox.lock().unwrap();
        inbox.packets.push_back((from, bytes));
        if let Some(waker) = inbox.waker.take() {
            waker.wake();
        }
    }
}

impl std::fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimSocket({})", self.addr)
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        for segment in transmit.contents.chunks(size.max(1)) {
            self.net.send(self, transmit.destination, segment);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = self.inbox.lock().unwrap();
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some((from, bytes)) = inbox.packets.pop_front() else {
                break;
            };
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

/// The network takes whatever it is given.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
