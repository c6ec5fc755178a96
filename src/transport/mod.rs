//! The QUIC transport: quinn's endpoint, dialing and accepting, the control stream, probe datagrams.
//!
//! The transport turns connections into [`Input`]s for the core, and the core's [`Action`]s into traffic. It decides nothing
//! about membership. Each connection is one task that reads, writes and answers probes. The task reports to the event loop
//! over a bounded channel: a busy loop slows its peers down, and no queue grows without limit.
//!
//! [`Input`]: crate::membership::Input
//! [`Action`]: crate::membership::Action

mod admission;
mod beside;
mod config;
mod congestion;
mod connection;
mod dial;
mod ecn;
mod frames;
pub mod interfaces;
#[cfg(target_os = "linux")]
mod kernel;
mod opener;
mod qlog;
mod rejected;
mod socket;
mod spare;
mod tap;
#[cfg(target_os = "linux")]
mod timers;

pub(crate) use connection::{MAX_HELLO, read_hello};
pub(crate) use dial::{FIRST_COPY, MORE_FOR_SLOW, alternatives};
pub(crate) use frames::{FrameError, Source, read_credentials, read_frame};
#[cfg(target_os = "linux")]
pub use kernel::KernelSocket;
pub(crate) use opener::Openings;
pub use qlog::{QlogLimits, Qlogs};
pub use rejected::{Refused, Rejected};
pub(crate) use socket::ObservedSocket;
pub use spare::BindSpare;
pub use tap::Tap;
#[cfg(target_os = "linux")]
pub use timers::TimerRuntime;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{AsyncUdpSocket, Endpoint, VarInt};
use tokio::sync::{mpsc, watch};

use crate::admission::Admission;
use crate::admission::joins::{Joins, Verdict};
use crate::clock::Clock;
use crate::identity::Identity;
use crate::membership::{Action, Closed, ConnId, Connected, Input};
use crate::record::{Record, Signer as _};
use crate::wire::{Answer, CloseCode, Datagram, Echo, NodeId, Probe, ViewDigest};
use admission::{MAX_HANDSHAKES, Slots};
use config::{PROBES_ROOM, endpoint_config};
use connection::Command;
use dial::{DialRequest, Dialer};
use qlog::Configs;
use spare::Spares;
use tap::Watch;

/// The initial RTT of a connection: a lost Initial is repeated after three times this, then after twice as long each time. It is the
/// default of RFC 9002, section 6.2.2.
const INITIAL_RTT: Duration = Duration::from_millis(333);
/// The number of handshakes under way from which a new address is validated first (RFC 9000, section 8.1.2). A quarter of
/// [`MAX_HANDSHAKES`]: validation costs an honest dialer one more round trip, so it begins only under load.
const UNPROVEN_HANDSHAKES: usize = 32;
/// The longest time from a dialer's first packet to its Hello. It is longer than a dialer tries on a slow path.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// The most events that are queued for the event loop. A connection's task waits while the queue is full.
const EVENTS: usize = 1024;

/// The contents of a Hello. The event loop keeps it current.
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
    /// The number of the newest revocations that it knows.
    pub revocations: u64,
}

/// A report from the transport to the event loop.
#[derive(Debug)]
pub enum TransportEvent {
    /// An input for the core, unchanged.
    Input(Input),
    /// A connection is established: the handle for the event loop, and the input for the core.
    Connected(Box<(Handle, Connected)>),
    /// An answer arrived; with the time of its arrival, if one packet fits it.
    Answer(ConnId, Answer, Option<Instant>),
    /// A connection was rejected before the Hello of the other end.
    Rejected(Rejected),
}

/// The event loop's end of a connection.
#[derive(Debug)]
pub struct Handle {
    connection: quinn::Connection,
    commands: mpsc::Sender<Command>,
    watch: Arc<Watch>,
}

/// The state that all connections share.
#[derive(Debug)]
struct Shared {
    me: NodeId,
    admission: Admission,
    greeting: watch::Sender<Greeting>,
    events: mpsc::Sender<TransportEvent>,
    next_conn: AtomicU64,
    /// Handshakes under way.
    slots: Arc<Slots>,
    joins: Mutex<Joins>,
    start: Instant,
    dial_timeout: Duration,
    tap: Arc<Tap>,
    clock: Clock,
    spares: Spares,
    openings: Arc<Openings>,
    /// How to accept connections of which each has a log of its own; `None`: none has.
    logged: Option<(quinn::ServerConfig, Arc<Configs>)>,
}

/// The parts of a transport. The socket and the runtime are quinn's own seams: real or simulated.
pub struct Parts {
    /// This node's key and certificate.
    pub identity: Arc<Identity>,
    /// Decides which nodes may connect.
    pub admission: Admission,
    /// Limits how often others begin a connection.
    pub joins: Joins,
    /// The UDP socket.
    pub socket: Arc<dyn AsyncUdpSocket>,
    /// Binds sockets to other ports, for dials of addresses that stay silent. `None`: all dials leave from the socket above.
    pub spare: Option<BindSpare>,
    /// Where the sockets report single packets. Sockets that report none get a fresh one.
    pub tap: Arc<Tap>,
    /// Timers and tasks.
    pub clock: Clock,
    /// Seeds quinn, so that a simulated run repeats; `None` for entropy.
    pub seed: Option<[u8; 32]>,
    /// The longest time that a dial may take. It is longer once the other side has answered.
    pub dial_timeout: Duration,
    /// The first greeting.
    pub greeting: Greeting,
    /// Where connections are logged.
    pub qlogs: Qlogs,
}

/// See the module's documentation.
pub struct Transport {
    endpoint: Endpoint,
    /// The endpoint's socket, for packets beside those of quinn.
    socket: Arc<dyn AsyncUdpSocket>,
    identity: Arc<Identity>,
    /// Of the connections from the listening port.
    transport_configs: Arc<Configs>,
    shared: Arc<Shared>,
    conns: BTreeMap<ConnId, Handle>,
    not_quic: Arc<AtomicU64>,
}

impl Transport {
    /// Opens the endpoint on a bound socket, and accepts from now on.
    ///
    /// # Errors
    /// When the socket can't be used.
    pub fn open(parts: Parts) -> std::io::Result<(Self, mpsc::Receiver<TransportEvent>)> {
        let (events, receiver) = mpsc::channel(EVENTS);
        let transport_configs = Arc::new(Configs::new(INITIAL_RTT, parts.qlogs.clone()));
        let crypto = parts.identity.server_config(&parts.admission);
        let crypto = QuicServerConfig::try_from(crypto)
            .expect("TLS 1.3 with ring has the initial cipher suite");
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        server
            .transport_config(transport_configs.shared().clone())
            .time_source(Arc::new(parts.clock.clone()))
            .max_incoming(MAX_HANDSHAKES)
            .incoming_buffer_size(16 * 1024)
            .incoming_buffer_size_total(1024 * 1024);
        let accepts = transport_configs.clone();
        let logged = accepts.are_own().then(|| (server.clone(), accepts));
        let not_quic = Arc::new(AtomicU64::new(0));
        let openings = Arc::new(Openings::new(events.clone()));
        let socket = socket::ObservedSocket::new(
            parts.socket,
            not_quic.clone(),
            parts.tap.clone(),
            parts.clock.clone(),
            Some(openings.clone()),
        );
        let socket: Arc<dyn AsyncUdpSocket> = Arc::new(socket);
        let config = endpoint_config(&parts.identity, parts.seed);
        let runtime = parts.clock.runtime().clone();
        let endpoint =
            Endpoint::new_with_abstract_socket(config, Some(server), socket.clone(), runtime)?;
        let identity = parts.identity.clone();
        let spares = Spares::new(
            parts.spare,
            identity,
            parts.seed,
            not_quic.clone(),
            parts.qlogs,
        );
        let shared = Arc::new(Shared {
            me: parts.identity.node_id(),
            admission: parts.admission,
            greeting: watch::Sender::new(parts.greeting),
            events,
            next_conn: AtomicU64::new(1),
            slots: Arc::default(),
            joins: Mutex::new(parts.joins),
            start: parts.clock.now(),
            dial_timeout: parts.dial_timeout,
            tap: parts.tap,
            clock: parts.clock,
            spares,
            openings,
            logged,
        });
        let accepts = accept(endpoint.clone(), shared.clone());
        shared.clock.spawn(accepts);
        let transport = Self {
            endpoint,
            socket,
            identity: parts.identity,
            transport_configs,
            shared,
            conns: BTreeMap::new(),
            not_quic,
        };
        Ok((transport, receiver))
    }

    /// The number of received datagrams that are not QUIC.
    #[must_use]
    pub fn not_quic(&self) -> u64 {
        self.not_quic.load(Ordering::Relaxed)
    }

    /// The connections whose packets leave from one of these addresses. A connection that the peer dialed is bound to the
    /// address that the peer dialed, and ends with it; one that this node dialed goes on from another address, if there is one.
    #[must_use]
    pub fn conns_from(&self, addrs: &BTreeSet<IpAddr>) -> Vec<ConnId> {
        let bound = self.endpoint.local_addr().ok().map(|bound| bound.ip());
        let bound = bound.filter(|ip| !ip.is_unspecified());
        let conns = self.conns.iter().filter(|(_, handle)| {
            let from = handle.connection.local_ip().or(bound);
            from.is_some_and(|ip| addrs.contains(&ip.to_canonical()))
        });
        conns.map(|(conn, _)| *conn).collect()
    }

    /// Sets the contents of the Hellos from now on.
    pub fn greet_with(&self, greeting: Greeting) {
        self.shared.greeting.send_replace(greeting);
    }

    /// Converts a connection's report into an input for the core.
    ///
    /// # Errors
    /// For [`TransportEvent::Rejected`], which does not concern the core.
    pub fn translate(&mut self, event: TransportEvent) -> Result<Input, Rejected> {
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
                Ok(Input::Answer(
                    conn,
                    answer,
                    tap::rtt_us(left, received, answer),
                ))
            }
            TransportEvent::Rejected(rejected) => Err(rejected),
        }
    }

    /// Performs an action of the core.
    pub fn perform(&mut self, action: Action) {
        match action {
            Action::Dial {
                dial,
                addr,
                mut others,
                expect,
                replaces,
                eager,
            } => {
                others.insert(0, addr);
                self.dial(DialRequest {
                    dial,
                    addrs: others,
                    expect,
                    replaces,
                    eager,
                });
            }
            Action::Open { addrs, nonce } => {
                let shared = self.shared.clone();
                let open = opener::open(shared, self.socket.clone(), addrs, nonce);
                self.shared.clock.spawn(open);
            }
            Action::Send(conn, message) => {
                if let Some(handle) = self.conns.get(&conn) {
                    // At most one message is under way, so the channel is never full; it is closed if the task has ended.
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
            Action::Echo(conn, echo) => {
                if let Some(handle) = self.conns.get(&conn) {
                    handle.echo(echo);
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

    /// Closes all connections with [`CloseCode::Leaving`], and waits for the peers' acknowledgements, for `patience` at most.
    pub async fn leave(self, patience: Duration) {
        let mut endpoints = self.shared.spares.endpoints();
        endpoints.push(self.endpoint);
        for endpoint in &endpoints {
            endpoint.close(VarInt::from_u32(CloseCode::Leaving.number()), &[]);
        }
        let acknowledged = async {
            for endpoint in &endpoints {
                endpoint.wait_idle().await;
            }
        };
        self.shared.clock.timeout(patience, acknowledged).await;
    }

    fn dial(&self, request: DialRequest) {
        let dialer = Dialer {
            endpoint: self.endpoint.clone(),
            socket: self.socket.clone(),
            identity: self.identity.clone(),
            transport_configs: self.transport_configs.clone(),
            shared: self.shared.clone(),
        };
        self.shared.clock.spawn(dial::dial(dialer, request));
    }
}

impl Handle {
    fn probe(&self, probe: Probe) {
        let bytes = Datagram::Probe(probe).to_bytes();
        self.watch.follow(self.connection.remote_address());
        self.watch.probe_queued(probe.seq, bytes.len());
        // A closing connection refuses datagrams; its task reports the end.
        self.connection.send_datagram(bytes.into()).ok();
    }

    fn echo(&self, echo: Echo) {
        let bytes = Datagram::Echo(echo).to_bytes();
        // What is not sent counts as lost.
        if self.connection.datagram_send_buffer_space() >= PROBES_ROOM + bytes.len() {
            self.watch.other_queued(bytes.len());
            self.connection.send_datagram(bytes.into()).ok();
        }
    }
}

impl Shared {
    fn next_conn(&self) -> ConnId {
        ConnId(self.next_conn.fetch_add(1, Ordering::Relaxed))
    }

    /// The time since the transport was opened.
    fn since_start(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.start)
    }

    fn joins(&self) -> MutexGuard<'_, Joins> {
        self.joins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections as long as the endpoint lives, within the limits of [`admission`] and [`Joins`].
async fn accept(endpoint: Endpoint, shared: Arc<Shared>) {
    while let Some(incoming) = endpoint.accept().await {
        if let Some(rejected) = receive(&shared, incoming) {
            report_rejected(&shared, rejected).await;
        }
    }
}

/// Begins the handshake, or turns the dialer away before TLS computes anything.
fn receive(shared: &Arc<Shared>, incoming: quinn::Incoming) -> Option<Rejected> {
    let remote = incoming.remote_address();
    let over = |why: &str| Rejected::new(remote, "joins_over_limit", why.to_owned());
    let is_validated = incoming.remote_address_validated();
    let is_crowded = shared.slots.taken() >= UNPROVEN_HANDSHAKES;
    let now = shared.since_start();
    let verdict = shared.joins().judge(now, remote, is_validated, is_crowded);
    match verdict {
        Verdict::Validate => {
            incoming.retry().ok();
            None
        }
        Verdict::Ignore(why) => {
            incoming.ignore();
            Some(over(why))
        }
        Verdict::Refuse(why) => {
            incoming.refuse();
            Some(over(why))
        }
        Verdict::Accept(caller) => match shared.slots.take(remote, &caller, now) {
            Ok(slot) => {
                shared.joins().count(now, &caller);
                let accepted = connection::accept(shared.clone(), incoming, slot);
                shared.clock.spawn(accepted);
                None
            }
            Err(no_slot) => {
                let cause = no_slot.turn_away(incoming);
                Some(Rejected::new(remote, "handshakes_over_limit", cause))
            }
        },
    }
}

async fn report_rejected(shared: &Shared, rejected: Rejected) {
    // `try_send`: rejected connections must not delay the event loop. A report that finds no room is not counted.
    shared
        .events
        .try_send(TransportEvent::Rejected(rejected))
        .ok();
    tokio::task::yield_now().await;
}

/// Converts quinn's reason for the end of a connection to the core's.
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
