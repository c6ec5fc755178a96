//! Why a node could not run.

use std::net::SocketAddr;

use crate::admission::KeyFileError;
use crate::admission::PapersError;
use crate::identity::IdentityError;

/// Why a node could not run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The key or certificate can't be used.
    #[error("can't use this node's identity")]
    Identity(#[from] IdentityError),
    /// The network key can't be used.
    #[error("can't use the network key (network.key of profile {profile})")]
    NetworkKey {
        /// The profile whose settings name the file.
        profile: String,
        /// The fault.
        source: KeyFileError,
    },
    /// What makes the node a member can't be used.
    #[error("can't use this node's certificate or its network's authority")]
    Papers(#[from] PapersError),
    /// The address can't be listened on.
    #[error(
        "can't listen on {addr} (network.controller.listen.addr and .port of profile {profile}{hint})"
    )]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The profile whose settings name the address.
        profile: String,
        /// What to set, if that is clear.
        hint: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// Another node of this profile runs in this folder.
    #[error(
        "profile {profile} runs already, as {holder} ({file} is locked); stop that node, or start another profile"
    )]
    Running {
        /// The profile.
        profile: String,
        /// The lock file.
        file: String,
        /// The process that holds the lock.
        holder: String,
    },
    /// Two of the files that the node reads and writes are one, so one would overwrite the other.
    #[error(
        "{first} and {second} are one file; give each a file of its own (remove the link or the mount, or change network.controller.target.path)"
    )]
    OneFile {
        /// One of the two paths.
        first: String,
        /// The other.
        second: String,
    },
    /// The folder for qlogs can't be used.
    #[error("can't use {folder} (network.controller.qlog.path)")]
    Qlog {
        /// The folder.
        folder: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// This build has no qlog.
    #[error(
        "this program was built without qlog; build it with `cargo build --release --features qlog`, or empty network.controller.qlog.path"
    )]
    NoQlog,
    /// Signals, entropy or the socket failed.
    #[error("{doing}")]
    System {
        /// What failed.
        doing: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
}

impl NodeError {
    /// Whether the user's input is at fault.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Identity(_)
            | Self::Papers(_)
            | Self::NetworkKey { .. }
            | Self::Listen { .. }
            | Self::Running { .. }
            | Self::OneFile { .. }
            | Self::Qlog { .. }
            | Self::NoQlog => true,
            Self::System { .. } => false,
        }
    }
}
