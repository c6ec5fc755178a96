//! Starts a node on this machine: its address, identity, memory, socket and signals.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quinn::{AsyncUdpSocket, Runtime};
use rand::TryRng as _;
use tokio::sync::watch;

use super::error::NodeError;
use super::listen::{listen, local_addrs};
use super::lock::{self, Lock, NotLocked};
use super::service::Service;
use super::{Assembly, Finder, Node, edge, story, wall};
use crate::admission::follow::Follower;
use crate::admission::{AUTHORITY, Admission, Allow, Keys, MEMBER, Papers, REVOKED, Wanted};
use crate::atomic_file;
use crate::chronicle::{Archive, Limit, Notes};
use crate::events::EventName;
use crate::export::{Exporter, Files};
use crate::identity::Identity;
use crate::memory::Memory;
use crate::record::Signer as _;
use crate::sandbox::{self, Level};
use crate::settings::{Discovery, Settings};
use crate::signals::Stopping;
use crate::transport::interfaces::Interfaces;
use crate::transport::{BindSpare, QlogLimits, Qlogs, Tap, interfaces};
#[cfg(target_os = "linux")]
use crate::transport::{KernelSocket, TimerRuntime};
use crate::web::{Web, socket_paths};

/// The files that every node writes to its profile's folder.
const OUTPUTS: [&str; 4] = ["peers.json", "network.json", "state.json", "node.lock"];

/// The file that some nodes write there.
const PICTURE: &str = "peers.d2";

/// Runs a node until SIGINT, SIGTERM or SIGHUP asks it to leave. A signal that was ignored at the start does not. `notes` receives
/// what the history needs.
///
/// # Errors
/// When the node can't start.
pub async fn run(settings: Settings, notes: Notes) -> Result<(), NodeError> {
    let system = |doing| move |source| NodeError::System { doing, source };
    // The handlers come first: a signal right after "node started" must make the node leave, not kill it.
    let mut leave = Stopping::listen().map_err(system("can't listen for signals"))?;
    let dir = Path::new("profiles").join(&settings.profile);
    let certs = Path::new("certs").join(&settings.profile);
    let state = dir.join("state.json");
    check_files(&settings, &dir, &certs)?;
    let admission = admission(&settings, &certs, &dir)?;
    // The node binds its address before it writes: a second start of a profile must not touch the files of the first.
    let mut interfaces = interfaces::follow();
    let (socket, bound) = tokio::select! {
        biased;
        () = leave.asked() => return Ok(()),
        bound = listen(&settings, &mut interfaces) => {
            bound.map_err(|error| of_running(&settings.profile, &dir).unwrap_or(error))?
        }
    };
    let mut lock = lock(&settings.profile, &dir)?;
    let identity = Arc::new(Identity::load_or_create(&certs)?);
    if let Some(papers) = admission.papers() {
        papers.check_own(&identity.node_id(), &settings.label)?;
    }
    lock.iter_mut().for_each(Lock::sign);
    let (remembered, warning) = Memory::load(&state, settings.addresses_for);
    story::started(&settings, &identity.node_id(), bound, warning.as_deref());

    let at = (bound, takes_both(&socket));
    let finder = finder(&settings, &admission, &identity, at, &interfaces)?;
    let (runtime, socket, spare, tap) =
        open(socket, bound).map_err(system("can't use the socket"))?;
    let assembly = Assembly {
        run_id: u64::from_be_bytes(entropy()?),
        core_seed: entropy()?,
        quinn_seed: None,
        wall: wall::of_this_machine(),
        published: local_addrs(bound, &interfaces.borrow()),
        finder,
        edge: Some(edge::start(&settings, bound, &interfaces)),
        state: Some(state),
        memory: remembered,
        settings: settings.clone(),
        identity,
        follower: admission
            .papers()
            .map(|papers| Follower::start(papers.places().clone())),
        admission,
        socket,
        spare: Some(spare),
        tap,
        runtime,
        tuning: Arc::default(),
        notes: Some(notes.clone()),
        tells_links: true,
        qlogs: qlogs(&settings)?,
        witness: None,
    };
    let node = Node::assemble(assembly).map_err(system("can't open the endpoint"))?;
    let archive = archive(&settings, notes);
    let _web = Web::open(&settings, &dir, bound, node.reader(), Arc::clone(&archive));
    if settings.sandbox {
        enter_sandbox(&settings, &dir);
    }
    let exporter = Exporter::start(
        node.reader(),
        Files {
            dir,
            d2: settings.d2.then_some(settings.d2_shows),
            archive: Some(archive),
        },
    );
    let service = Service::of_environment();
    service.ready(node.reader());
    let leaving = async {
        leave.asked().await;
        service.stopping();
    };
    node.run(leaving).await;
    exporter.finish(None).await;
    Ok(())
}

/// What finds other nodes on the LAN, if the settings want that.
fn finder(
    settings: &Settings,
    admission: &Admission,
    identity: &Identity,
    at: (SocketAddr, bool),
    interfaces: &watch::Receiver<Arc<Interfaces>>,
) -> Result<Option<Finder>, NodeError> {
    match settings.discovery {
        Discovery::Off => Ok(None),
        Discovery::Lan => {
            let (seed, interfaces) = (entropy()?, interfaces.clone());
            let started = Finder::start(settings, admission, identity, at, seed, interfaces);
            Ok(Some(started))
        }
    }
}

/// Where connections are logged, if they are.
fn qlogs(settings: &Settings) -> Result<Qlogs, NodeError> {
    if settings.qlog_path.is_empty() {
        return Ok(Qlogs::default());
    }
    let limits = QlogLimits {
        folder: PathBuf::from(&settings.qlog_path),
        file_bytes: (settings.qlog_mib as u64) << 20,
        files: settings.qlog_files,
    };
    Qlogs::open(limits, wall::of_this_machine()()).map_err(|source| match Qlogs::BUILT {
        true => NodeError::Qlog {
            folder: settings.qlog_path.clone(),
            source,
        },
        false => NodeError::NoQlog,
    })
}

/// Locks the profile. If the system can't do that, the node says so and runs without.
fn lock(profile: &str, dir: &Path) -> Result<Option<Lock>, NodeError> {
    match Lock::take(dir) {
        Ok(lock) => Ok(Some(lock)),
        Err(NotLocked::Held { holder }) => Err(running(profile, dir, holder)),
        Err(NotLocked::System(error)) => {
            let file = lock::path(dir);
            let action = "continuing; start no second node of this profile";
            tracing::warn!(file = %file.display(), %error, action, "{}", EventName::ProfileNotLocked);
            Ok(None)
        }
    }
}

/// The error if the profile runs already: that says more than that its port is in use.
fn of_running(profile: &str, dir: &Path) -> Option<NodeError> {
    Lock::holder(dir).map(|holder| running(profile, dir, holder))
}

fn running(profile: &str, dir: &Path, holder: String) -> NodeError {
    NodeError::Running {
        profile: profile.to_owned(),
        file: lock::path(dir).display().to_string(),
        holder,
    }
}

/// Gives up all rights that the node doesn't need any more. Threads that it starts later have none of them either.
fn enter_sandbox(settings: &Settings, dir: &Path) {
    let name = EventName::Sandboxed;
    // The folders that the node makes again if somebody removes them, and those to which links lead.
    let mut writable = vec![
        PathBuf::from("."),
        PathBuf::from("profiles"),
        dir.to_owned(),
    ];
    let outputs = OUTPUTS.iter().chain(settings.d2.then_some(&PICTURE));
    writable.extend(outputs.map(|output| atomic_file::written_at(&dir.join(output))));
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let sockets = socket_paths(&settings.profile, dir, runtime_dir.as_deref());
    writable.extend(
        sockets
            .iter()
            .filter_map(|it| Some(it.parent()?.to_owned())),
    );
    match sandbox::enter(&writable) {
        Ok(level @ (Level::Full | Level::Partial)) => {
            tracing::info!(sandbox = level.as_str(), "{name}");
        }
        Ok(level @ Level::None) => {
            let cause = "the kernel has no landlock, or it is disabled";
            tracing::info!(sandbox = level.as_str(), cause, "{name}");
        }
        Err(error) => {
            let sandbox = Level::None.as_str();
            tracing::warn!(sandbox, cause = %error, action = "continuing without", "{name}");
        }
    }
}

/// Where the history of the view is kept.
fn archive(settings: &Settings, notes: Notes) -> Arc<Archive> {
    let limit = Limit {
        bytes: settings.history_mib << 20,
        age: settings.history_keep,
    };
    Arc::new(Archive::new(limit, notes))
}

/// Refuses files that would overwrite each other. The target file and the key files are among them: the node only reads
/// them.
fn check_files(settings: &Settings, dir: &Path, certs: &Path) -> Result<(), NodeError> {
    let mut files: Vec<PathBuf> = OUTPUTS.iter().map(|name| dir.join(name)).collect();
    files.extend(["key.pem", "cert.pem", AUTHORITY, MEMBER].map(|name| certs.join(name)));
    files.push(dir.join(REVOKED));
    if settings.d2 {
        files.push(dir.join(PICTURE));
    }
    if !settings.target_path.is_empty() {
        files.push(PathBuf::from(&settings.target_path));
    }
    files.extend(settings.network_key.iter().map(PathBuf::from));
    match atomic_file::two_that_are_one(&files) {
        Some((first, second)) => Err(NodeError::OneFile {
            first: files[first].display().to_string(),
            second: files[second].display().to_string(),
        }),
        None => Ok(()),
    }
}

/// Reads what decides which nodes may be members.
fn admission(settings: &Settings, certs: &Path, dir: &Path) -> Result<Admission, NodeError> {
    let keys = Keys::load(&settings.network_key).map_err(|source| NodeError::NetworkKey {
        profile: settings.profile.clone(),
        source,
    })?;
    let allow = Allow::new(&settings.allow);
    let unix_s = wall::of_this_machine()() / 1000;
    let wanted = Wanted {
        network: &settings.network,
        authority: &settings.authority,
        certificate: &settings.certificate,
    };
    let papers = Papers::load(&wanted, certs, dir, unix_s)?;
    let admission = Admission::new(&settings.network, keys, allow);
    Ok(admission.with_papers(papers))
}

/// Whether a socket takes packets of IPv4 as well as of IPv6.
fn takes_both(socket: &UdpSocket) -> bool {
    socket2::SockRef::from(socket)
        .only_v6()
        .is_ok_and(|only| !only)
}

/// Opens the socket and the timers for this system.
#[cfg(target_os = "linux")]
fn open(socket: UdpSocket, bound: SocketAddr) -> std::io::Result<Edge> {
    let tap = Arc::new(Tap::default());
    let runtime = Arc::new(TimerRuntime::new()?);
    let socket = KernelSocket::open(socket, Arc::clone(&tap))?;
    let shared = Arc::clone(&tap);
    let spare = move || Ok(KernelSocket::open(bind_spare(bound)?, Arc::clone(&shared))? as _);
    Ok((runtime, socket, Arc::new(spare), tap))
}

#[cfg(not(target_os = "linux"))]
fn open(socket: UdpSocket, bound: SocketAddr) -> std::io::Result<Edge> {
    let runtime = Arc::new(quinn::TokioRuntime);
    let socket = runtime.wrap_udp_socket(socket)?;
    let spare = move || quinn::TokioRuntime.wrap_udp_socket(bind_spare(bound)?);
    Ok((runtime, socket, Arc::new(spare), Arc::default()))
}

type Edge = (
    Arc<dyn Runtime>,
    Arc<dyn AsyncUdpSocket>,
    BindSpare,
    Arc<Tap>,
);

/// A socket at the same address, and at a port that the system chooses.
fn bind_spare(mut bound: SocketAddr) -> std::io::Result<UdpSocket> {
    bound.set_port(0);
    UdpSocket::bind(bound)
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
