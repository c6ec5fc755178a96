//! What the event loop hears of connections that came to nothing before the other end's Hello.

use std::net::SocketAddr;

use crate::admission::Refusal;
use crate::wire::NodeId;

/// A connection that was rejected before the Hello of the other end.
#[derive(Debug)]
pub struct Rejected {
    /// The remote address.
    pub remote: SocketAddr,
    /// The name under which `rejected` in `network.json` counts it.
    pub counter: &'static str,
    /// Why it was rejected, for the log.
    pub cause: String,
    /// The other end may not be a member of this network.
    pub refused: Option<Box<Refused>>,
}

/// A node that may not be a member of this network.
#[derive(Debug)]
pub struct Refused {
    /// Its id, if TLS got so far.
    pub peer: Option<NodeId>,
    /// Whether this node dialed it.
    pub dialed: bool,
    /// What would admit it.
    pub remedy: String,
}

impl Rejected {
    /// A connection that failed for a reason that has nothing to do with membership.
    pub(super) fn new(remote: SocketAddr, counter: &'static str, cause: String) -> Self {
        Self {
            remote,
            counter,
            cause,
            refused: None,
        }
    }

    /// A node that may not be a member.
    pub(super) fn refused(
        remote: SocketAddr,
        peer: Option<NodeId>,
        dialed: bool,
        why: &Refusal,
    ) -> Self {
        Self {
            remote,
            counter: why.counter(),
            cause: why.to_string(),
            refused: Some(Box::new(Refused {
                peer,
                dialed,
                remedy: why.remedy(peer.as_ref()),
            })),
        }
    }
}
