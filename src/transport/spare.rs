//! Spare ports: dials from another port than the one that this node listens on.
//!
//! A NAT or a firewall remembers a flow for as long as packets of it pass. Such a flow may lead nowhere, for example after the
//! NAT's own address changed, and redials from the listening port keep it alive. So an address that stayed silent is dialed from
//! a spare port as well. For a NAT on the path, that is a new flow.
//!
//! The listening port keeps its meaning. A spare port accepts nothing, and the address that a peer observes of it is never
//! published. A connection stays on its spare port until the listening port has been silent for longer than a NAT remembers. Then
//! the peer is dialed anew.

mod silence;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quinn::{AsyncUdpSocket, Endpoint, TransportConfig};

use super::config::{endpoint_config, transport_config};
use super::socket::ObservedSocket;
use super::tap::Tap;
use super::{Shared, TransportEvent};
use crate::clock::Clock;
use crate::identity::Identity;
use crate::membership::{ConnId, DialError, Input};
use silence::Silences;

/// After so many silent dials in a row, every other dial uses a spare port as well. Halved: lost packets may be the cause.
/// Doubled: a node that has no other link waits some ten seconds longer.
const SILENT: u32 = 2;
/// How much earlier the spare port sends than the listening one in such a dial. If the round trip is shorter, its first packet is
/// answered by then, and the listening port sends nothing. Halved: paths of over 500 ms cost two handshakes. Doubled: a peer
/// behind a NAT, which expects the listening port, would not be reached within the time of a dial.
pub(super) const AHEAD: Duration = Duration::from_secs(1);
/// The initial RTT of a dial from a spare port. Its first repeat comes after three times this, which is after the usual dial: an
/// address where nobody answers costs one packet more.
const SPARE_RTT: Duration = Duration::from_secs(1);
/// How long a spare port is taken for new dials: no flow of it is older. A node that lost all its links at once redials them from
/// one port. Halved, that takes several; doubled, a port may be tried again whose flows lead nowhere by now.
const FRESH: Duration = Duration::from_secs(10);
/// The most spare ports that are open at once. All but the last carry a connection. If they are all in use, the listening port is
/// used alone.
const MAX_PORTS: usize = 4;
/// How long a connection stays on a spare port before the listening port is tried again. A NAT forgets a silent flow within 180 s
/// (Linux, for one that was answered), and it takes up to 10 s until the old connection falls silent. Doubles with each attempt.
const STAY: Duration = Duration::from_secs(200);
/// The longest such time. Each attempt costs a dial.
const LONGEST_STAY: Duration = Duration::from_secs(3600);

/// Binds a UDP socket to a port that the system chooses, at the address of the listening socket.
pub type BindSpare = Arc<dyn Fn() -> io::Result<Arc<dyn AsyncUdpSocket>> + Send + Sync>;

/// See the module's documentation.
pub(super) struct Spares {
    /// `None`: there are no spare ports here.
    bind: Option<BindSpare>,
    identity: Arc<Identity>,
    seed: Option<[u8; 32]>,
    not_quic: Arc<AtomicU64>,
    transport_config: Arc<TransportConfig>,
    ports: Mutex<Vec<Port>>,
    /// How many dials from the listening port stayed silent.
    silences: Mutex<Silences>,
}

/// An open spare port.
struct Port {
    endpoint: Endpoint,
    local: Option<SocketAddr>,
    since: Instant,
}

impl Spares {
    pub(super) fn new(
        bind: Option<BindSpare>,
        identity: Arc<Identity>,
        seed: Option<[u8; 32]>,
        not_quic: Arc<AtomicU64>,
    ) -> Self {
        Self {
            bind,
            identity,
            seed,
            not_quic,
            transport_config: Arc::new(transport_config(SPARE_RTT)),
            ports: Mutex::default(),
            silences: Mutex::default(),
        }
    }

    /// The configuration of connections that are dialed from a spare port.
    pub(super) fn transport_config(&self) -> &Arc<TransportConfig> {
        &self.transport_config
    }

    /// A dial from the listening port ended.
    pub(super) fn note<T>(&self, addr: SocketAddr, now: Instant, result: &Result<T, DialError>) {
        match result {
            // Nothing between this node and a near address remembers a flow.
            Err(DialError::Timeout) if !is_near(addr) => self.silences().fell_silent(addr, now),
            // No packet left, so that says nothing.
            Err(DialError::Blocked(_)) => {}
            _ => self.silences().forgive(&addr),
        }
    }

    /// A connection with that address ended, whoever dialed.
    pub(super) fn note_end(&self, addr: SocketAddr, now: Instant) {
        if !is_near(addr) {
            self.silences().met(addr, now);
        }
    }

    fn is_due(&self, addr: SocketAddr) -> bool {
        let silent = self.silences().dials(&addr);
        silent >= SILENT && (silent - SILENT).is_multiple_of(2)
    }

    fn ports(&self) -> MutexGuard<'_, Vec<Port>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silences(&self) -> MutexGuard<'_, Silences> {
        self.silences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, bind: &BindSpare, tap: &Arc<Tap>, clock: &Clock) -> io::Result<Endpoint> {
        let socket = ObservedSocket::new(
            bind()?,
            self.not_quic.clone(),
            tap.clone(),
            clock.clone(),
            None,
        );
        let port = socket.local_addr()?.port();
        // Connection ids must differ from those of the other ports.
        let seed = self.seed.map(|mut seed| {
            for (byte, port) in seed.iter_mut().zip(port.to_be_bytes()) {
                *byte ^= port;
            }
            seed
        });
        let config = endpoint_config(&self.identity, seed);
        let runtime = clock.runtime().clone();
        Endpoint::new_with_abstract_socket(config, None, Arc::new(socket), runtime)
    }

    /// The endpoints of all spare ports.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let ports = self.ports();
        ports.iter().map(|port| port.endpoint.clone()).collect()
    }
}

impl fmt::Debug for Spares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<Option<SocketAddr>> = self.ports().iter().map(|port| port.local).collect();
        f.debug_struct("Spares")
            .field("ports", &ports)
            .finish_non_exhaustive()
    }
}

fn is_near(addr: SocketAddr) -> bool {
    let ip = addr.ip().to_canonical();
    ip.is_loopback() || matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// A spare port for a dial of that address, if one is due.
pub(super) fn for_dial(shared: &Arc<Shared>, addr: SocketAddr) -> Option<Endpoint> {
    let spares = &shared.spares;
    let bind = spares.bind.as_ref().filter(|_| spares.is_due(addr))?;
    let now = shared.clock.now();
    let mut ports = spares.ports();
    let last = ports.last().filter(|last| now < last.since + FRESH);
    if let Some(last) = last {
        return Some(last.endpoint.clone());
    }
    if ports.len() >= MAX_PORTS {
        return None;
    }
    // If the system has no socket left, the listening port is tried alone.
    let endpoint = spares.open(bind, &shared.tap, &shared.clock).ok()?;
    let local = endpoint.local_addr().ok();
    let port = Port {
        endpoint: endpoint.clone(),
        local,
        since: now,
    };
    ports.push(port);
    drop(ports);
    shared
        .clock
        .spawn(close_unused(shared.clone(), endpoint.clone(), local));
    Some(endpoint)
}

/// Closes a spare port that takes no new dials, as soon as it carries no connection.
async fn close_unused(shared: Arc<Shared>, endpoint: Endpoint, local: Option<SocketAddr>) {
    shared.clock.sleep(FRESH).await;
    endpoint.wait_idle().await;
    shared.spares.ports().retain(|port| port.local != local);
}

/// Asks for a connection from the listening port in place of one from a spare port, as long as the latter lives.
pub(super) async fn come_home<T>(shared: &Shared, conn: ConnId, addr: SocketAddr) -> T {
    let mut stay = STAY;
    loop {
        shared.clock.sleep(stay).await;
        shared.spares.silences().forgive(&addr);
        let redial = TransportEvent::Input(Input::Redial(conn));
        // `try_send`: if the event loop has no room for it, it is asked again later.
        shared.events.try_send(redial).ok();
        stay = (stay * 2).min(LONGEST_STAY);
    }
}
