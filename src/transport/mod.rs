//! QUIC at the edge: quinn's endpoint, dials and accepts, the control stream, probe datagrams.
//!
//! The transport turns connections into [`Input`]s for the core and the core's [`Action`]s into traffic. It decides
//! nothing about membership. Each connection is one task that reads, writes and answers probes; it talks to the event
//! loop over a bounded channel, so a busy loop slows its peers down and nothing piles up.
//!
//! [`Input`]: crate::membership::Input
//! [`Action`]: crate::membership::Action

mod congestion;
mod connection;
#[cfg(target_os = "linux")]
mod kernel;
mod socket;
mod tap;
#[cfg(target_os = "linux")]
mod timers;

#[cfg(target_os = "linux")]
pub use kernel::KernelSocket;
pub use tap::Tap;
#[cfg(target_os = "linux")]
pub use timers::TimerRuntime;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{AsyncUdpSocket, Endpoint, EndpointConfig, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::clock::Clock;
use crate::identity::{Allow, Identity};
use crate::membership::{Action, Closed, ConnId, Connected, DialError, Input};
use crate::record::Record;
use crate::wire::{Answer, CloseCode, Datagram, MAX_FRAME, Message, Probe, ViewDigest};
use connection::{Command, DialRequest};
use tap::Watch;

/// QUIC's own idle timeout: above our slowest verdict, so that it is the detector who decides (section "QUIC" of the protocol).
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The round-trip time that a handshake reckons with: lost Initials are sent again after three times this, doubling. The
/// usual guess (RFC 9002, section 6.2.2) for somebody who may not be there; a much shorter one for a start, when nodes that
/// are started together wait for each other.
const PATIENT_RTT: Duration = Duration::from_millis(333);
const EAGER_RTT: Duration = Duration::from_millis(8);
/// Never more than this in a UDP payload: with IPv6 and UDP headers it fits the least MTU of IPv6, so no discovery is needed.
const MTU: u16 = 1200;
/// What quinn may receive in one datagram; ours are smaller, a few bytes more are other QUIC versions' right.
const MAX_UDP_PAYLOAD: u16 = 1280;
/// Flow control of the one stream and of the connection: two frames.
const STREAM_WINDOW: u32 = 2 * MAX_FRAME as u32;
/// Datagrams that wait to be sent or read: a few probes.
const DATAGRAM_BUFFER: usize = 8 * 1024;
/// Handshakes of strangers under way at once: each costs a few kB and 0.7 ms.
const MAX_HANDSHAKES: usize = 128;
/// From so many on, an address must prove that it can receive before anything is spent on it (RFC 9000, section 8.1.2).
const UNPROVEN_HANDSHAKES: usize = 32;
/// Handshakes under way at once from one remote host (an IPv4 address, or the /64 of an IPv6 one): one host must not take
/// all the places. This machine's own nodes are not bounded so.
const HANDSHAKES_A_HOST: usize = 8;
/// How long a peer that dialed may take from its first packet to its Hello: as long as a dialer tries on a slow path.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Events that wait for the event loop.
const EVENTS: usize = 1024;

/// What every connection says first, kept current by the event loop.
#[derive(Debug, Clone, PartialEq)]
pub struct Greeting {
    /// This run's id.
    pub run_id: u64,
    /// How many nodes are up in this node's view.
    pub known: u32,
    /// The digest of the view.
    pub digest: ViewDigest,
    /// This node's newest record.
    pub record: Arc<Record>,
}

/// What the transport tells the event loop.
#[derive(Debug)]
pub enum TransportEvent {
    /// For the core as it is.
    Input(Input),
    /// A connection is there: the handle to keep, and what to tell the core.
    Connected(Box<(Handle, Connected)>),
    /// An answer came, at that time, where it could be told.
    Answer(ConnId, Answer, Option<Instant>),
    /// Somebody who dialed did not get as far as a Hello.
    Stranger {
        /// From where.
        remote: SocketAddr,
        /// The counter.
        what: &'static str,
        /// In words.
        why: String,
    },
}

/// The event loop's end of a connection.
#[derive(Debug)]
pub struct Handle {
    connection: quinn::Connection,
    commands: mpsc::Sender<Command>,
    watch: Arc<Watch>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    network: String,
    greeting: watch::Sender<Greeting>,
    events: mpsc::Sender<TransportEvent>,
    next_conn: AtomicU64,
    handshakes: Arc<Semaphore>,
    /// Handshakes under way from each remote host.
    by_host: Mutex<BTreeMap<IpAddr, usize>>,
    dial_timeout: Duration,
    tap: Arc<Tap>,
    clock: Clock,
}

/// What a transport is made of. The socket and the runtime are quinn's own seams: the real ones, or simulated ones.
pub struct Parts {
    /// Who we are.
    pub identity: Arc<Identity>,
    /// The network's name.
    pub network: String,
    /// Whom to talk to.
    pub allow: Allow,
    /// The UDP socket.
    pub socket: Arc<dyn AsyncUdpSocket>,
    /// What the socket tells of single packets; a new one for a socket that tells nothing.
    pub tap: Arc<Tap>,
    /// Timers and tasks.
    pub clock: Clock,
    /// Seeds quinn, so that a simulated run repeats; `None` for entropy.
    pub seed: Option<[u8; 32]>,
    /// When a dial is given up.
    pub dial_timeout: Duration,
    /// The first greeting.
    pub greeting: Greeting,
}

/// See the module's documentation.
pub struct Transport {
    endpoint: Endpoint,
    identity: Arc<Identity>,
    allow: Allow,
    /// For dials: patient, eager.
    transport_configs: [Arc<TransportConfig>; 2],
    shared: Arc<Shared>,
    conns: BTreeMap<ConnId, Handle>,
    garbage: Arc<AtomicU64>,
}

impl Transport {
    /// Opens the endpoint on a bound socket, and accepts from now on.
    ///
    /// # Errors
    /// When the socket can't be used.
    pub fn open(parts: Parts) -> std::io::Result<(Self, mpsc::Receiver<TransportEvent>)> {
        let (events, receiver) = mpsc::channel(EVENTS);
        let transport_configs = [PATIENT_RTT, EAGER_RTT].map(|rtt| Arc::new(transport_config(rtt)));
        let crypto = parts.identity.server_config(&parts.network, &parts.allow);
        let crypto = QuicServerConfig::try_from(crypto)
            .expect("TLS 1.3 with ring has the initial cipher suite");
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        server
            .transport_config(transport_configs[0].clone())
            .time_source(Arc::new(parts.clock.clone()))
            .max_incoming(MAX_HANDSHAKES)
            .incoming_buffer_size(16 * 1024)
            .incoming_buffer_size_total(1024 * 1024);
        let garbage = Arc::new(AtomicU64::new(0));
        let socket = socket::ObservedSocket::new(
            parts.socket,
            garbage.clone(),
            parts.tap.clone(),
            parts.clock.clone(),
        );
        let socket = Arc::new(socket);
        let config = endpoint_config(&parts.identity, parts.seed);
        let runtime = parts.clock.runtime().clone();
        let endpoint = Endpoint::new_with_abstract_socket(config, Some(server), socket, runtime)?;
        let shared = Arc::new(Shared {
            network: parts.network,
            greeting: watch::Sender::new(parts.greeting),
            events,
            next_conn: AtomicU64::new(1),
            handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
            by_host: Mutex::default(),
            dial_timeout: parts.dial_timeout,
            tap: parts.tap,
            clock: parts.clock,
        });
        let accepts = accept(endpoint.clone(), shared.clone());
        shared.clock.spawn(accepts);
        let transport = Self {
            endpoint,
            identity: parts.identity,
            allow: parts.allow,
            transport_configs,
            shared,
            conns: BTreeMap::new(),
            garbage,
        };
        Ok((transport, receiver))
    }

    /// Datagrams that came in and were no QUIC.
    #[must_use]
    pub fn garbage(&self) -> u64 {
        self.garbage.load(Ordering::Relaxed)
    }

    /// Makes the newest greeting known to all connections.
    pub fn greet_with(&self, greeting: Greeting) {
        self.shared.greeting.send_replace(greeting);
    }

    /// Turns what a connection reported into what the core understands. `Err` is for the log only.
    ///
    /// # Errors
    /// When a stranger was turned away: where it came from, the counter, and why.
    pub fn translate(
        &mut self,
        event: TransportEvent,
    ) -> Result<Input, (SocketAddr, &'static str, String)> {
        match event {
            TransportEvent::Input(Input::Closed(conn, why)) => {
                self.conns.remove(&conn);
                Ok(Input::Closed(conn, why))
            }
            TransportEvent::Input(input) => Ok(input),
            TransportEvent::Connected(connected) => {
                let (handle, connected) = *connected;
                self.conns.insert(connected.conn, handle);
                Ok(Input::Connected(Box::new(connected)))
            }
            TransportEvent::Answer(conn, answer, received) => {
                let left = self
                    .conns
                    .get(&conn)
                    .and_then(|handle| handle.watch.probe_left(answer.seq));
                Ok(Input::Answer(conn, answer, rtt_us(left, received, answer)))
            }
            TransportEvent::Stranger { remote, what, why } => Err((remote, what, why)),
        }
    }

    /// Does what the core wants done.
    pub fn perform(&mut self, action: Action) {
        match action {
            Action::Dial {
                dial,
                addr,
                expect,
                replaces,
                eager,
            } => {
                let request = connection::DialRequest {
                    dial,
                    addr,
                    expect,
                    replaces,
                    eager,
                    watch: self.shared.tap.watch(addr),
                };
                self.dial(request);
            }
            Action::Send(conn, message) => {
                if let Some(handle) = self.conns.get(&conn) {
                    // At most one message is under way, so a full channel means that the task is gone.
                    handle
                        .commands
                        .try_send(Command::Send(message.to_frame()))
                        .ok();
                }
            }
            Action::Probe(conn, probe) => {
                if let Some(handle) = self.conns.get(&conn) {
                    handle.probe(probe);
                }
            }
            Action::Close(conn, code, alternatives) => {
                if let Some(handle) = self.conns.remove(&conn) {
                    let reason = postcard::to_stdvec(&alternatives).expect("addresses encode");
                    handle
                        .connection
                        .close(VarInt::from_u32(code.number()), &reason);
                }
            }
        }
    }

    /// Closes everything with "I leave", and waits a little for the peers to hear it.
    pub async fn leave(self, patience: Duration) {
        self.endpoint
            .close(VarInt::from_u32(CloseCode::Leaving.number()), &[]);
        let clock = &self.shared.clock;
        clock.timeout(patience, self.endpoint.wait_idle()).await;
    }

    fn dial(&self, request: DialRequest) {
        let (tls, seen) =
            self.identity
                .client_config(&self.shared.network, &self.allow, request.expect);
        let crypto = QuicClientConfig::try_from(tls)
            .expect("TLS 1.3 with ring has the initial cipher suite");
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(self.transport_configs[usize::from(request.eager)].clone());
        let connecting =
            self.endpoint
                .connect_with(config, request.addr, crate::identity::SERVER_NAME);
        let shared = self.shared.clone();
        match connecting {
            Ok(connecting) => {
                let me = crate::record::Signer::node_id(&*self.identity);
                let seen = connection::Seen { me, seen };
                let dial = connection::dial(shared.clone(), connecting, request, seen);
                shared.clock.spawn(dial);
            }
            Err(error) => {
                let failed = Input::DialFailed(request.dial, DialError::Failed(error.to_string()));
                let events = shared.events.clone();
                shared.clock.spawn(async move {
                    events.send(TransportEvent::Input(failed)).await.ok();
                });
            }
        }
    }
}

impl Handle {
    fn probe(&self, probe: Probe) {
        let bytes = Datagram::Probe(probe).to_bytes();
        self.watch.follow(self.connection.remote_address());
        self.watch.probe_queued(probe.seq, bytes.len());
        // A connection that is closing takes no more; its end is reported in its own time.
        self.connection.send_datagram(bytes.into()).ok();
    }
}

/// The path's share of the time between a probe and its answer, in µs: what the answer was held at the other end is taken off.
fn rtt_us(left: Option<Instant>, received: Option<Instant>, answer: Answer) -> Option<u32> {
    let taken = received?.checked_duration_since(left?)?;
    let path = taken.checked_sub(Duration::from_micros(answer.hold_us.into()))?;
    Some(u32::try_from(path.as_micros()).unwrap_or(u32::MAX).max(1))
}

impl Shared {
    fn next_conn(&self) -> ConnId {
        ConnId(self.next_conn.fetch_add(1, Ordering::Relaxed))
    }
}

/// A place among the handshakes under way.
struct Place {
    shared: Arc<Shared>,
    host: Option<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// A place, or why there is none.
    fn take(shared: &Arc<Shared>, remote: IpAddr) -> Result<Self, String> {
        let permit = shared.handshakes.clone().try_acquire_owned();
        let permit = permit.map_err(|_| format!("{MAX_HANDSHAKES} handshakes are under way"))?;
        let host = host_of(remote);
        if let Some(host) = host {
            let mut by_host = shared
                .by_host
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let count = by_host.entry(host).or_default();
            if *count >= HANDSHAKES_A_HOST {
                return Err(format!(
                    "{HANDSHAKES_A_HOST} handshakes with {host} are under way"
                ));
            }
            *count += 1;
        }
        Ok(Self {
            shared: shared.clone(),
            host,
            _permit: permit,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(host) = self.host else { return };
        let mut by_host = self
            .shared
            .by_host
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_host.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                by_host.remove(&host);
            }
        }
    }
}

/// What counts as one host; `None` for this machine.
fn host_of(remote: IpAddr) -> Option<IpAddr> {
    match remote.to_canonical() {
        ip if ip.is_loopback() => None,
        IpAddr::V4(v4) => Some(v4.into()),
        IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into()),
    }
}

/// Accepts for as long as the endpoint lives. Strangers cost little until they have shown a key and said Hello.
async fn accept(endpoint: Endpoint, shared: Arc<Shared>) {
    while let Some(incoming) = endpoint.accept().await {
        let remote = incoming.remote_address();
        let under_way = MAX_HANDSHAKES - shared.handshakes.available_permits();
        if under_way >= UNPROVEN_HANDSHAKES && !incoming.remote_address_validated() {
            incoming.retry().ok();
            continue;
        }
        match Place::take(&shared, remote.ip()) {
            Ok(place) => {
                let accepted = connection::accept(shared.clone(), incoming, place);
                shared.clock.spawn(accepted);
            }
            Err(why) => {
                incoming.refuse();
                stranger(&shared, remote, "handshakes_over_limit", why).await;
            }
        }
    }
}

async fn stranger(shared: &Shared, remote: SocketAddr, what: &'static str, why: String) {
    // Strangers must not be able to hold up the event loop: what it has no room for goes uncounted.
    shared
        .events
        .try_send(TransportEvent::Stranger { remote, what, why })
        .ok();
    tokio::task::yield_now().await;
}

fn endpoint_config(identity: &Identity, seed: Option<[u8; 32]>) -> EndpointConfig {
    let (reset_key, cid_key) = identity.quic_keys();
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    config
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(cid_key)))
        .min_reset_interval(Duration::from_millis(1))
        .grease_quic_bit(false)
        .max_udp_payload_size(MAX_UDP_PAYLOAD)
        .expect("above 1200")
        .rng_seed(seed);
    config
}

fn transport_config(initial_rtt: Duration) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(IDLE_TIMEOUT.try_into().expect("30 s fit")))
        .keep_alive_interval(None)
        .initial_rtt(initial_rtt)
        .initial_mtu(MTU)
        .min_mtu(MTU)
        .mtu_discovery_config(None)
        .max_concurrent_bidi_streams(1_u8.into())
        .max_concurrent_uni_streams(0_u8.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(STREAM_WINDOW.into())
        .send_window(u64::from(STREAM_WINDOW))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .allow_spin(false)
        .congestion_controller_factory(Arc::new(congestion::FlooredConfig));
    config
}

/// Why quinn says that a connection ended, in the core's words.
fn closed(error: quinn::ConnectionError) -> Closed {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            Closed::ByPeer(CloseCode::from_number(close.error_code.into_inner()))
        }
        quinn::ConnectionError::Reset => Closed::Reset,
        quinn::ConnectionError::TimedOut => Closed::TimedOut,
        quinn::ConnectionError::LocallyClosed => Closed::Local,
        quinn::ConnectionError::VersionMismatch
        | quinn::ConnectionError::TransportError(_)
        | quinn::ConnectionError::ConnectionClosed(_)
        | quinn::ConnectionError::CidsExhausted => Closed::Failed(error.to_string()),
    }
}

/// A control message's frame, or why there is none.
#[derive(Debug, thiserror::Error)]
enum FrameError {
    #[error(transparent)]
    Closed(#[from] quinn::ConnectionError),
    #[error("{0}")]
    Violation(String, CloseCode),
}

async fn read_frame(stream: &mut quinn::RecvStream, limit: usize) -> Result<Message, FrameError> {
    let mut head = [0; 4];
    read_exact(stream, &mut head).await?;
    let length = u32::from_be_bytes(head) as usize;
    if length > limit {
        let why = format!("a frame of {length} bytes is over the limit of {limit}");
        return Err(FrameError::Violation(why, CloseCode::Limit));
    }
    let mut body = vec![0; length];
    read_exact(stream, &mut body).await?;
    Message::from_body(&body)
        .map_err(|error| FrameError::Violation(error.to_string(), CloseCode::Protocol))
}

async fn read_exact(stream: &mut quinn::RecvStream, buffer: &mut [u8]) -> Result<(), FrameError> {
    stream
        .read_exact(buffer)
        .await
        .map_err(|error| match error {
            quinn::ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error)) => {
                error.into()
            }
            quinn::ReadExactError::ReadError(_) | quinn::ReadExactError::FinishedEarly(_) => {
                // A dead stream is a dead connection.
                FrameError::Violation(
                    "it ended the control stream".to_owned(),
                    CloseCode::Protocol,
                )
            }
        })
}
