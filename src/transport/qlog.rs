//! qlog: what quinn notes of each connection, one file each, for qvis and other readers of qlog.
//!
//! A build has it with the cargo feature `qlog`, and a node if the setting `network.controller.qlog.path` names a folder. quinn writes its
//! events while it holds the connection's lock. So the writer that it gets never waits: it hands whole records to a thread over a
//! bounded channel, and counts those that find no room. A file ends at its bound, and the oldest files of ended connections
//! make room for new ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::TransportConfig;

#[cfg(feature = "qlog")]
use files::Logs;

// Its tests need no quinn, and run with the default build's.
#[cfg(any(feature = "qlog", test))]
#[cfg_attr(
    not(feature = "qlog"),
    expect(dead_code, reason = "no test starts the thread")
)]
mod files;

/// Where qlogs go, and how much of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QlogLimits {
    /// The folder.
    pub folder: std::path::PathBuf,
    /// The most bytes of a file.
    pub file_bytes: u64,
    /// The most files in the folder that this program wrote.
    pub files: usize,
}

/// Who made a connection, as its file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Dialed,
    Accepted,
}

/// Gives each connection its qlog. The default gives none.
#[derive(Debug, Clone, Default)]
pub struct Qlogs {
    #[cfg(feature = "qlog")]
    logs: Option<Arc<Logs>>,
}

impl Qlogs {
    /// Whether this build has them.
    pub const BUILT: bool = cfg!(feature = "qlog");

    /// Opens the folder, and makes it if it is missing. `started_ms`: the start of the node in Unix ms, with which the names of its
    /// files begin.
    ///
    /// # Errors
    /// When the folder can't be read or made, or this build has no qlog.
    #[cfg(feature = "qlog")]
    pub fn open(limits: QlogLimits, started_ms: u64) -> std::io::Result<Self> {
        let logs = Some(Logs::open(limits, started_ms)?);
        Ok(Self { logs })
    }

    /// See above.
    ///
    /// # Errors
    /// Always: this build has no qlog.
    #[cfg(not(feature = "qlog"))]
    pub fn open(_: QlogLimits, _: u64) -> std::io::Result<Self> {
        Err(std::io::Error::from(std::io::ErrorKind::Unsupported))
    }

    /// Whether connections are logged.
    pub(super) fn is_on(&self) -> bool {
        #[cfg(feature = "qlog")]
        let is_on = self.logs.is_some();
        #[cfg(not(feature = "qlog"))]
        let is_on = false;
        is_on
    }

    /// Gives a connection's configuration a log, if connections are logged.
    #[cfg(feature = "qlog")]
    fn attach(&self, config: &mut TransportConfig, side: Side, remote: SocketAddr) {
        if let Some(logs) = &self.logs {
            let mut log = quinn::QlogConfig::default();
            log.title(Some(format!("area-net, {remote}")))
                .writer(Box::new(logs.writer(side, remote)));
            config.qlog_stream(log.into_stream());
        }
    }

    #[cfg(not(feature = "qlog"))]
    fn attach(&self, _: &mut TransportConfig, _: Side, _: SocketAddr) {}
}

/// The configuration of connections with one first guess of the round-trip time.
#[derive(Debug)]
pub(super) struct Configs {
    initial_rtt: Duration,
    shared: Arc<TransportConfig>,
    qlogs: Qlogs,
}

impl Configs {
    pub(super) fn new(initial_rtt: Duration, qlogs: Qlogs) -> Self {
        Self {
            initial_rtt,
            shared: Arc::new(super::config::transport_config(initial_rtt)),
            qlogs,
        }
    }

    /// The configuration of all connections that have no log.
    pub(super) fn shared(&self) -> &Arc<TransportConfig> {
        &self.shared
    }

    /// Whether each connection needs a configuration of its own.
    pub(super) fn are_own(&self) -> bool {
        self.qlogs.is_on()
    }

    /// The configuration of one connection.
    pub(super) fn of(&self, side: Side, remote: SocketAddr) -> Arc<TransportConfig> {
        if !self.are_own() {
            return self.shared.clone();
        }
        let mut own = super::config::transport_config(self.initial_rtt);
        self.qlogs.attach(&mut own, side, remote);
        Arc::new(own)
    }
}
