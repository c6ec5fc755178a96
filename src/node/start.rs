//! Starts a node on this machine: its address, identity, memory, socket and signals.

use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;

use quinn::{AsyncUdpSocket, Runtime};
use rand::TryRng as _;
use tokio::signal::unix::{SignalKind, signal};

use super::error::NodeError;
use super::listen::{listen, local_addrs};
use super::{Assembly, Finder, Node, edge, story};
use crate::export::{Exporter, Files};
use crate::identity::Identity;
use crate::memory::Memory;
use crate::record::Signer as _;
use crate::settings::{Discovery, Settings};
#[cfg(target_os = "linux")]
use crate::transport::{KernelSocket, TimerRuntime};
use crate::transport::{Tap, interfaces};

/// Runs a node until SIGINT, SIGTERM or SIGHUP asks it to leave.
///
/// # Errors
/// When the node can't start.
pub async fn run(settings: Settings) -> Result<(), NodeError> {
    let system = |doing| move |source| NodeError::System { doing, source };
    // The handlers come first: a signal right after "node started" must make the node leave, not kill it.
    let mut leave = Leave::new()?;
    // The node binds its address before it writes: a second start of a profile must not touch the files of the first.
    let mut interfaces = interfaces::follow();
    let (socket, bound) = tokio::select! {
        biased;
        () = leave.asked() => return Ok(()),
        bound = listen(&settings, &mut interfaces) => bound?,
    };
    let identity = Arc::new(Identity::load_or_create(
        &Path::new("certs").join(&settings.profile),
    )?);
    let dir = Path::new("profiles").join(&settings.profile);
    let unix_ms = unix_ms();
    let state = dir.join("state.json");
    let (remembered, warning) = Memory::load(&state, unix_ms, settings.addresses_for);
    story::started(&settings, &identity.node_id(), bound, warning.as_deref());

    let finder = match settings.discovery {
        Discovery::Off => None,
        Discovery::Lan => {
            let both = takes_both(&socket);
            let (at, seed) = ((bound, both), entropy()?);
            let started = Finder::start(&settings, &*identity, at, seed, interfaces.clone());
            Some(started)
        }
    };
    let (runtime, socket, tap) = open(socket).map_err(system("can't use the socket"))?;
    let assembly = Assembly {
        run_id: u64::from_be_bytes(entropy()?),
        core_seed: entropy()?,
        quinn_seed: None,
        start_unix_ms: unix_ms,
        published: local_addrs(bound, &interfaces.borrow()),
        finder,
        edge: Some(edge::start(&settings, bound, &interfaces)),
        state: Some(state),
        memory: remembered,
        settings: settings.clone(),
        identity,
        socket,
        tap,
        runtime,
        tuning: Arc::default(),
        witness: None,
    };
    let node = Node::assemble(assembly).map_err(system("can't open the endpoint"))?;
    let exporter = Exporter::start(
        node.reader(),
        Files {
            dir,
            d2: settings.d2,
        },
    );
    node.run(leave.asked()).await;
    exporter.finish(None).await;
    Ok(())
}

/// Whether a socket takes packets of IPv4 as well as of IPv6.
fn takes_both(socket: &UdpSocket) -> bool {
    socket2::SockRef::from(socket)
        .only_v6()
        .is_ok_and(|only| !only)
}

/// Opens the socket and the timers for this system.
#[cfg(target_os = "linux")]
fn open(socket: UdpSocket) -> std::io::Result<Edge> {
    let tap = Arc::new(Tap::default());
    let runtime = Arc::new(TimerRuntime::new()?);
    let socket = KernelSocket::open(socket, Arc::clone(&tap))?;
    Ok((runtime, socket, tap))
}

#[cfg(not(target_os = "linux"))]
fn open(socket: UdpSocket) -> std::io::Result<Edge> {
    let runtime = Arc::new(quinn::TokioRuntime);
    let socket = runtime.wrap_udp_socket(socket)?;
    Ok((runtime, socket, Arc::default()))
}

type Edge = (Arc<dyn Runtime>, Arc<dyn AsyncUdpSocket>, Arc<Tap>);

/// Reads the wall clock, once a run. Later times add the monotonic clock to it, so a clock that jumps changes nothing.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).expect("Unix time in ms fits 64 bits for 500 million years")
}

fn entropy<const N: usize>() -> Result<[u8; N], NodeError> {
    let mut bytes = [0; N];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| NodeError::System {
            doing: "can't get entropy from the system",
            source: std::io::Error::other(error.to_string()),
        })?;
    Ok(bytes)
}

/// The signals that ask a node to leave.
struct Leave([tokio::signal::unix::Signal; 3]);

impl Leave {
    fn new() -> Result<Self, NodeError> {
        let listen = |kind| {
            signal(kind).map_err(|source| NodeError::System {
                doing: "can't listen for signals",
                source,
            })
        };
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
