//! Why a node could not run.

use std::net::SocketAddr;

use crate::identity::IdentityError;

/// Why a node could not run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The key or certificate can't be used.
    #[error("can't use this node's identity")]
    Identity(#[from] IdentityError),
    /// The address can't be listened on.
    #[error(
        "can't listen on {addr} (network.controller.listen.addr and .port of profile {profile})"
    )]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The profile whose settings name the address.
        profile: String,
        /// The system's error.
        source: std::io::Error,
    },
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
            Self::Identity(_) | Self::Listen { .. } => true,
            Self::System { .. } => false,
        }
    }
}
