//! The sockets: one in the file system, which only the node's user may open, and one over TCP.

use std::fs::{self, DirBuilder};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::net as unix_net;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use rand::TryRng as _;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::atomic_file::{self, Care};
use crate::trusted_path::{self, is_trusted};

/// The name of the socket beside the node's files.
const SOCKET_FILE: &str = "node.sock";

/// The name of the file with the token, beside the node's files.
pub(super) const TOKEN_FILE: &str = "web.token";

/// The most bytes of that file. A token has 48.
const TOKEN_BYTES: u64 = 4096;

/// The most connections that wait for the node to take them; what std gives every listener.
const BACKLOG: i32 = 128;

/// The pause after the system refuses a connection, for want of descriptors.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Why a socket can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another node answers at the path.
    #[error("the socket {0} belongs to another running node of this profile")]
    Held(String),
    /// The system refuses.
    #[error("can't open the socket {path}")]
    Socket {
        /// The path.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The address can't be listened on.
    #[error("can't serve the page at {addr} (network.controller.web.addr and .port)")]
    Tcp {
        /// The address.
        addr: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The token can't be read or made.
    #[error("can't use the token in {path}, so the page is not served at {addr}")]
    Token {
        /// The address.
        addr: SocketAddr,
        /// The path.
        path: String,
        /// The system's error.
        source: io::Error,
    },
}

/// A socket that waits for connections.
#[derive(Debug)]
pub enum Listener {
    /// In the file system.
    Unix(unix_net::UnixListener),
    /// Over TCP.
    Tcp(std::net::TcpListener),
}

/// A listener that a runtime watches.
pub(super) enum Watched {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// A connection. It belongs to no runtime yet.
pub(super) enum Accepted {
    Unix(unix_net::UnixStream),
    Tcp(std::net::TcpStream),
}

impl Listener {
    /// Puts it under the current runtime.
    pub(super) fn watch(self) -> io::Result<Watched> {
        match self {
            Self::Unix(listener) => UnixListener::from_std(listener).map(Watched::Unix),
            Self::Tcp(listener) => TcpListener::from_std(listener).map(Watched::Tcp),
        }
    }
}

impl Watched {
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.into_std().map(Accepted::Unix)
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // A stream of small messages: none waits for the next.
                let _not_supported = stream.set_nodelay(true);
                stream.into_std().map(Accepted::Tcp)
            }
        }
    }

    fn release(self) -> io::Result<Listener> {
        match self {
            Self::Unix(listener) => listener.into_std().map(Listener::Unix),
            Self::Tcp(listener) => listener.into_std().map(Listener::Tcp),
        }
    }
}

/// What a connection reads and writes.
pub(super) trait Pipe: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Pipe for T {}

impl Accepted {
    pub(super) fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// Puts it under the current runtime.
    pub(super) fn watch(self) -> io::Result<Box<dyn Pipe>> {
        Ok(match self {
            Self::Unix(stream) => Box::new(UnixStream::from_std(stream)?),
            Self::Tcp(stream) => Box::new(TcpStream::from_std(stream)?),
        })
    }
}

/// Waits for the first connection to any of the listeners, and returns it with all of them. `None`: there is none to wait for.
pub(super) async fn first(listeners: Vec<Listener>) -> Option<(Accepted, Vec<Listener>)> {
    let watched: Vec<Watched> = listeners
        .into_iter()
        .filter_map(|it| it.watch().ok())
        .collect();
    if watched.is_empty() {
        return None;
    }
    let accepted = loop {
        match any_of(&watched).await {
            Ok(accepted) => break accepted,
            // The system may be short of descriptors for a while.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    };
    let listeners = watched.into_iter().filter_map(|it| it.release().ok());
    Some((accepted, listeners.collect()))
}

/// The next connection to any of them.
async fn any_of(watched: &[Watched]) -> io::Result<Accepted> {
    let mut waits: Vec<_> = watched
        .iter()
        .map(|listener| Box::pin(listener.accept()))
        .collect();
    poll_fn(|cx| {
        for wait in &mut waits {
            if let Poll::Ready(accepted) = pin!(wait).poll(cx) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

/// The socket's file. Dropping it removes the file.
#[derive(Debug)]
pub struct UnixSocket {
    path: PathBuf,
    inode: u64,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // A node that was started since may have a socket of its own there.
        if fs::symlink_metadata(&self.path).is_ok_and(|it| it.ino() == self.inode) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

/// Where the socket of a profile may be, in the order in which a program should try: beside the node's files, then in the folder for
/// the user's run time.
#[must_use]
pub fn socket_paths(profile: &str, dir: &Path, runtime_dir: Option<&Path>) -> Vec<PathBuf> {
    let beside = dir.join(SOCKET_FILE);
    let shared = runtime_dir
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join("area-net").join(format!("{profile}.sock")));
    std::iter::once(beside).chain(shared).collect()
}

/// Opens the socket in the folder for the user's run time, or beside the node's files if there is no such folder, or if a node of
/// another working directory has its socket there.
pub(super) fn unix(profile: &str, dir: &Path) -> Result<(Listener, UnixSocket), ListenError> {
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let mut paths = socket_paths(profile, dir, runtime_dir.as_deref());
    let last = paths.remove(0);
    for path in paths {
        if let Ok(opened) = unix_at(&path, 0o700)
            && is_private(&path)
        {
            return Ok(opened);
        }
    }
    // The folder of the node's files keeps its usual mode: the socket's own mode lets nobody else in.
    unix_at(&last, 0o777)
}

fn unix_at(path: &Path, folder_mode: u32) -> Result<(Listener, UnixSocket), ListenError> {
    if is_held(path) {
        return Err(ListenError::Held(path.display().to_string()));
    }
    bind_unix(path, folder_mode).map_err(|source| ListenError::Socket {
        path: path.display().to_string(),
        source,
    })
}

/// Whether somebody listens there. One whose queue is full does, too, and must not make us wait.
fn is_held(path: &Path) -> bool {
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    match connect() {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Whether nobody but this user and root can put another socket in the place of this one. Some set `XDG_RUNTIME_DIR` to a folder
/// that everybody may write to.
fn is_private(socket: &Path) -> bool {
    let folder = socket.parent().and_then(|it| fs::symlink_metadata(it).ok());
    folder.is_some_and(|it| is_trusted(it.uid()) && it.mode() & 0o022 == 0)
}

/// Binds in a folder that nobody else may enter, and moves the socket into its place. It has its mode before it has a name, so nobody
/// can connect before the mode is right, and what a killed node left there is replaced.
fn bind_unix(path: &Path, folder_mode: u32) -> io::Result<(Listener, UnixSocket)> {
    let folder = path.parent().unwrap_or(Path::new("."));
    trusted_path::create_folder(folder, folder_mode)?;
    let private = folder.join(format!(".sock.{}", std::process::id()));
    let _left_by_a_killed_node = fs::remove_dir_all(&private);
    DirBuilder::new().mode(0o700).create(&private)?;
    let bound = (|| {
        let fresh = private.join("s");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // On Linux, the file gets the mode that the socket has. Elsewhere the private folder has to suffice until then.
        #[cfg(target_os = "linux")]
        rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(0o600))?;
        socket.bind(&SockAddr::unix(&fresh)?)?;
        #[cfg(not(target_os = "linux"))]
        fs::set_permissions(&fresh, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let listener = unix_net::UnixListener::from(std::os::fd::OwnedFd::from(socket));
        let inode = fs::symlink_metadata(&fresh)?.ino();
        fs::rename(&fresh, path)?;
        let path = path.to_owned();
        Ok((Listener::Unix(listener), UnixSocket { path, inode }))
    })();
    let _gone = fs::remove_dir_all(&private);
    bound
}

/// Opens the socket over TCP. Beyond loopback, readers need the token that is returned.
pub(super) fn tcp(
    addr: SocketAddr,
    dir: &Path,
) -> Result<(Listener, SocketAddr, Option<String>), ListenError> {
    let token = if addr.ip().is_loopback() {
        None
    } else {
        let path = dir.join(TOKEN_FILE);
        let token = token(&path).map_err(|source| ListenError::Token {
            addr,
            path: path.display().to_string(),
            source,
        })?;
        Some(token)
    };
    let open = || {
        let listener = std::net::TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let at = listener.local_addr()?;
        Ok((Listener::Tcp(listener), at))
    };
    let (listener, at) = open().map_err(|source| ListenError::Tcp { addr, source })?;
    Ok((listener, at, token))
}

/// Reads a file of at most [`TOKEN_BYTES`].
fn read_small(path: &Path) -> io::Result<String> {
    let bytes = trusted_path::read(path, TOKEN_BYTES)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads the token, or makes one at the first start.
fn token(path: &Path) -> io::Result<String> {
    match read_small(path) {
        Ok(token) => {
            let token = token.trim();
            if token.len() >= 16 && token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Ok(token.to_owned());
            }
            let why = "it must be 16 or more printable ASCII characters; remove the file to get a new one";
            Err(io::Error::new(io::ErrorKind::InvalidData, why))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0_u8; 24];
            let entropy = rand::rngs::SysRng.try_fill_bytes(&mut bytes);
            entropy.map_err(|error| io::Error::other(error.to_string()))?;
            let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let care = Care {
                mode: 0o600,
                synced: true,
            };
            if let Some(folder) = path.parent() {
                trusted_path::create_folder(folder, 0o777)?;
            }
            atomic_file::write(path, format!("{token}\n").as_bytes(), care)?;
            Ok(token)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn listeners_are_there_again_after_the_first_connection() {
        let tcp = std::net::TcpListener::bind("[::1]:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let addr = tcp.local_addr().unwrap();
        let mut listeners = vec![Listener::Tcp(tcp)];
        for _ in 0..3 {
            let _client = std::net::TcpStream::connect(addr).unwrap();
            let (_accepted, all) = first(listeners).await.unwrap();
            assert_eq!(all.len(), 1);
            listeners = all;
        }
    }
}
