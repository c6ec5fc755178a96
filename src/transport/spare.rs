//! Spare ports: dials from another port than the one that this node listens on.
//!
//! A NAT or a firewall remembers a flow for as long as packets of it pass. Such a flow may lead nowhere, for example after the
//! NAT's own address changed, and redials from the listening port keep it alive. So an address that stayed silent is dialed from
//! a spare port as well. For a NAT on the path, that is a new flow.
//!
//! The listening port keeps its meaning. A spare port accepts nothing, and the address that a peer observes of it is never
//! published. A connection stays on its spare port until the listening port has been silent for longer than a NAT remembers. Then
//! the peer is dialed anew.
//!
//! Peers decide how long a connection lasts, so any peers could hold all spare ports for ever. A port is therefore shared among
//! peers at different addresses. What an address did on a port counts for that address alone: to a NAT, another one is a new flow.

mod silence;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quinn::{AsyncUdpSocket, Endpoint};

use super::config::endpoint_config;
use super::qlog::{Configs, Qlogs};
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
/// How long a spare port comes before a new one. Some NATs give a port one mapping for all peers, and that of a fresh port is
/// new. A node that lost all its links at once redials them from one port. Halved, that takes several; doubled, a port may be tried
/// again whose mapping leads nowhere by now.
const FRESH: Duration = Duration::from_secs(10);
/// The most spare ports that are open at once. If there are so many, they are shared: an address has four ports to be tried from
/// within [`STAY`]. Halved, an address that was silent on two of them waits for minutes. Doubled, peers can make a node keep twice
/// as many sockets open.
const MAX_PORTS: usize = 4;
/// How long a connection stays on a spare port before the listening port is tried again, and how long an address that was silent
/// on a spare port is not dialed from there again. A NAT forgets a silent flow within 180 s (Linux, for one that was answered), and
/// it takes up to 10 s until the old connection falls silent. Doubles with each attempt of the listening port.
const STAY: Duration = Duration::from_secs(200);
/// The longest such time. Each attempt costs a dial.
const LONGEST_STAY: Duration = Duration::from_secs(3600);
/// The most addresses of which a port remembers that they were silent on it. The one that was silent first makes room; it may be
/// dialed from a port in vain. Halved: that happens after 128 others. Doubled: more memory, 10 kB a port.
const MAX_MARKS: usize = 256;

/// Binds a UDP socket to a port that the system chooses, at the address of the listening socket.
pub type BindSpare = Arc<dyn Fn() -> io::Result<Arc<dyn AsyncUdpSocket>> + Send + Sync>;

/// See the module's documentation.
pub(super) struct Spares {
    /// `None`: there are no spare ports here.
    bind: Option<BindSpare>,
    identity: Arc<Identity>,
    seed: Option<[u8; 32]>,
    not_quic: Arc<AtomicU64>,
    transport_configs: Configs,
    ports: Mutex<Ports>,
    /// How many dials from the listening port stayed silent.
    silences: Mutex<Silences>,
}

/// The open spare ports.
#[derive(Debug, Default)]
struct Ports {
    open: Vec<Port>,
    /// The number of ports opened so far.
    opened: u64,
}

/// An open spare port.
#[derive(Debug)]
struct Port {
    number: u64,
    endpoint: Endpoint,
    since: Instant,
    /// The leases of each address.
    uses: BTreeMap<SocketAddr, usize>,
    /// When an address was silent on this port.
    silent: BTreeMap<SocketAddr, Instant>,
}

impl Port {
    /// Whether a packet to that address begins a new flow.
    fn suits(&self, addr: &SocketAddr, now: Instant) -> bool {
        let was_silent = self.silent.get(addr).is_some_and(|at| now < *at + STAY);
        !was_silent && !self.uses.contains_key(addr)
    }

    fn lease(&mut self, shared: &Arc<Shared>, addr: SocketAddr) -> Lease {
        *self.uses.entry(addr).or_default() += 1;
        Lease {
            shared: shared.clone(),
            number: self.number,
            endpoint: self.endpoint.clone(),
            addr,
        }
    }

    fn note_silence(&mut self, addr: SocketAddr, now: Instant) {
        self.silent.retain(|_, at| now < *at + STAY);
        self.silent.insert(addr, now);
        if self.silent.len() > MAX_MARKS {
            let first = self.silent.iter().min_by_key(|(_, at)| **at);
            first
                .map(|(addr, _)| *addr)
                .map(|addr| self.silent.remove(&addr));
        }
    }
}

/// The use of a spare port for one address: it lasts as long as the dial and the connection that comes of it.
pub(super) struct Lease {
    shared: Arc<Shared>,
    number: u64,
    endpoint: Endpoint,
    addr: SocketAddr,
}

impl Lease {
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The dial was silent, or its connection ended: the flow may lead nowhere by now.
    pub(super) fn note_silence(&self) {
        let now = self.shared.clock.now();
        if let Some(port) = self.shared.spares.ports().port(self.number) {
            port.note_silence(self.addr, now);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut ports = self.shared.spares.ports();
        let Some(port) = ports.port(self.number) else {
            return;
        };
        if let Some(count) = port.uses.get_mut(&self.addr) {
            *count -= 1;
            if *count == 0 {
                port.uses.remove(&self.addr);
            }
        }
    }
}

impl Ports {
    fn port(&mut self, number: u64) -> Option<&mut Port> {
        self.open.iter_mut().find(|port| port.number == number)
    }

    /// The least used port for a dial of that address among those that are `fresh`, or among all.
    fn best(&mut self, addr: &SocketAddr, now: Instant, fresh: bool) -> Option<&mut Port> {
        let ports = self.open.iter_mut();
        let suiting =
            ports.filter(|port| port.suits(addr, now) && (!fresh || now < port.since + FRESH));
        suiting.min_by_key(|port| port.uses.values().sum::<usize>())
    }
}

impl Spares {
    pub(super) fn new(
        bind: Option<BindSpare>,
        identity: Arc<Identity>,
        seed: Option<[u8; 32]>,
        not_quic: Arc<AtomicU64>,
        qlogs: Qlogs,
    ) -> Self {
        Self {
            bind,
            identity,
            seed,
            not_quic,
            transport_configs: Configs::new(SPARE_RTT, qlogs),
            ports: Mutex::default(),
            silences: Mutex::default(),
        }
    }

    /// The configuration of connections that are dialed from a spare port.
    pub(super) fn transport_configs(&self) -> &Configs {
        &self.transport_configs
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

    fn ports(&self) -> MutexGuard<'_, Ports> {
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
        let endpoints = ports.open.iter().map(|port| port.endpoint.clone());
        endpoints.collect()
    }
}

impl fmt::Debug for Spares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spares")
            .field("ports", &*self.ports())
            .finish_non_exhaustive()
    }
}

fn is_near(addr: SocketAddr) -> bool {
    let ip = addr.ip().to_canonical();
    ip.is_loopback() || matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// A spare port for a dial of that address, if one is due.
pub(super) fn for_dial(shared: &Arc<Shared>, addr: SocketAddr) -> Option<Lease> {
    let spares = &shared.spares;
    let bind = spares.bind.as_ref().filter(|_| spares.is_due(addr))?;
    let now = shared.clock.now();
    let mut ports = spares.ports();
    if let Some(port) = ports.best(&addr, now, true) {
        return Some(port.lease(shared, addr));
    }
    if ports.open.len() >= MAX_PORTS {
        let port = ports.best(&addr, now, false);
        return port.map(|port| port.lease(shared, addr));
    }
    // If the system has no socket left, the listening port is tried alone.
    let endpoint = spares.open(bind, &shared.tap, &shared.clock).ok()?;
    ports.opened += 1;
    let mut port = Port {
        number: ports.opened,
        endpoint: endpoint.clone(),
        since: now,
        uses: BTreeMap::new(),
        silent: BTreeMap::new(),
    };
    let lease = port.lease(shared, addr);
    let closes = close_unused(shared.clone(), endpoint, port.number);
    ports.open.push(port);
    drop(ports);
    shared.clock.spawn(closes);
    Some(lease)
}

/// Closes a spare port that is not fresh any more, once nobody uses it.
async fn close_unused(shared: Arc<Shared>, endpoint: Endpoint, number: u64) {
    loop {
        shared.clock.sleep(FRESH).await;
        endpoint.wait_idle().await;
        let mut ports = shared.spares.ports();
        // A dial may just have taken it. Then it is looked at again later.
        ports
            .open
            .retain(|port| port.number != number || !port.uses.is_empty());
        if ports.port(number).is_none() {
            return;
        }
    }
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
