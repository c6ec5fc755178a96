//! The HTTP server: the page, the API and the metrics.
//!
//! ```text
//!  node's event loop ── waits for the first connection, and starts the thread
//!        │ snapshots, on request
//!        ▼
//!  thread "web": listen ─► serve ─► guard ─► routes ─► answers, formats, stream
//!                                              │
//!                                 feed ────────┴──► Archive (the chronicle)
//! ```
//!
//! - `listen` opens the sockets: one in the file system for the same user, one over TCP if the settings say so.
//! - `site` is what requests are answered from: the feed, the maps, and places for connections and streams.
//! - `serve` speaks HTTP/1.1 with bounded connections, and `guard` decides who may ask.
//! - `feed` asks the node for snapshots while somebody looks, and records them. `stream` sends what the chronicle recorded.
//!
//! Until the first connection comes, the node only holds the sockets open. Then a thread of its own, with a lower priority than the node's,
//! does everything. The event loop makes a snapshot, or sends a probe, when the thread asks for it, which it does at a bounded rate.

mod body;
mod feed;
mod guard;
mod listen;
mod maps;
pub mod page;
mod query;
mod routes;
mod serve;
mod site;
mod stream;
#[cfg(test)]
mod tests;

pub use listen::{ListenError, Listener, UnixSocket, socket_paths};
pub use maps::Cartographer;
pub use serve::serve;
pub(crate) use serve::serve_one;
pub use site::Site;

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::chronicle::Archive;
use crate::events::EventName;
use crate::settings::Settings;
use crate::snapshot::SnapshotReader;

/// What the thread is to serve: the connection that came first, and the sockets.
type Handover = mpsc::Sender<(listen::Accepted, Vec<Listener>)>;

/// The pause after the thread could not be started.
const START_PAUSE: Duration = Duration::from_secs(1);

/// The stack of the thread. Requests are futures on the heap; rendering and glibc's thread-local storage need little.
const STACK_BYTES: usize = 512 * 1024;

/// The sockets of a running node. Dropping it closes them, and removes the one in the file system.
#[derive(Debug)]
pub struct Web {
    waits: JoinHandle<()>,
    /// Where the page is.
    pub page: Option<SocketAddr>,
    _socket: Option<UnixSocket>,
}

impl Drop for Web {
    fn drop(&mut self) {
        self.waits.abort();
    }
}

impl Web {
    /// Opens the sockets on the current runtime. A socket that can't be opened is told, and the node goes on without it.
    ///
    /// `dir` is the folder of the node's files, `bound` its address.
    #[must_use]
    pub fn open(
        settings: &Settings,
        dir: &Path,
        bound: SocketAddr,
        reader: SnapshotReader,
        archive: Arc<Archive>,
    ) -> Self {
        let mut listeners = Vec::new();
        let mut page = None;
        let mut token = None;
        let socket = match listen::unix(&settings.profile, dir) {
            Ok((listener, socket)) => {
                listeners.push(listener);
                Some(socket)
            }
            Err(error) => {
                unavailable(&error);
                None
            }
        };
        if settings.web {
            let port = Some(settings.web_port).filter(|port| *port != 0);
            let addr = SocketAddr::new(settings.web_addr, port.unwrap_or(bound.port()));
            match listen::tcp(addr, dir) {
                Ok((listener, at, needed)) => {
                    listeners.push(listener);
                    page = Some(at);
                    token = needed;
                }
                Err(error) => unavailable(&error),
            }
        }
        if let Some(addr) = page {
            let token = token.as_ref().map(|_| listen::TOKEN_FILE);
            tracing::info!(page = %format_args!("http://{addr}/"), token, "{}", EventName::PageServed);
        }
        let site = Arc::new(Site::live(reader, archive, token));
        let waits = tokio::spawn(async move {
            let mut listeners = listeners;
            while let Some((first, all)) = listen::first(listeners).await {
                match start(&site).await {
                    Ok(thread) => {
                        // The thread waits for them.
                        let _ended = thread.send((first, all));
                        return;
                    }
                    Err(error) => tracing::warn!(%error, "{}", EventName::PageUnavailable),
                }
                // This connection is closed, and the next one may have more luck.
                listeners = all;
                sleep(START_PAUSE).await;
            }
        });
        Self {
            waits,
            page,
            _socket: socket,
        }
    }
}

fn unavailable(error: &ListenError) {
    let cause = error
        .source()
        .map_or_else(String::new, |cause| format!(": {cause}"));
    let action = "the node goes on without it";
    tracing::warn!(cause = %format_args!("{error}{cause}"), action, "{}", EventName::PageUnavailable);
}

/// Starts the thread, which then waits for what it is to serve.
async fn start(site: &Arc<Site>) -> io::Result<Handover> {
    let (hand, taken) = mpsc::channel();
    let (ready, started) = oneshot::channel();
    let site = Arc::clone(site);
    std::thread::Builder::new()
        .name("web".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            crate::export::yield_to_the_node();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => {
                    // Whoever started it waits for this.
                    ready.send(Ok(())).ok();
                    if let Ok((first, listeners)) = taken.recv() {
                        runtime.block_on(serve::serve_after(site, Some(first), listeners));
                    }
                }
                Err(error) => {
                    ready.send(Err(error)).ok();
                }
            }
        })?;
    started.await.map_err(io::Error::other)??;
    Ok(hand)
}
