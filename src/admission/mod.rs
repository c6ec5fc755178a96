//! Who may be a member of the network, and how a node proves to its peer that it is one.
//!
//! A network is **open** unless its nodes have a network key or an authority. In a closed one, the two ends of a connection exchange
//! [`Credentials`] before their Hellos: the dialer first, so that a listener says nothing to a stranger. Neither end says its label,
//! its record or an address before the other has proven itself. A proof is bound to the TLS session by its exporter (RFC 8446,
//! section 7.5), and to both node ids, so it is worth nothing in any other session.
//!
//! In a network with an authority, a node also shows its certificate ([`Papers`]); [`follow`] reads the files of a member again when they
//! change.
//!
//! [`Admission`] takes the decision, and [`Refusal`] says why a peer was refused and what would admit it. The transport carries
//! both; `docs/trust.md` explains them to users.

pub mod command;
mod credentials;
pub(crate) mod date;
pub(crate) mod files;
pub mod follow;
pub mod joins;
mod keys;
mod papers;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use credentials::{Credentials, CredentialsError, MAX_CREDENTIALS, MAX_PROOFS};
pub use files::{AUTHORITY, FileError, MEMBER, REVOKED};
pub use keys::{KeyFileError, Keys, MAX_KEYS, NetworkKey};
pub use papers::{Papers, PapersError, Places, Taken, Wanted, admit_command, days_left};

use crate::certificate::Unfit;
use crate::wire::{CloseCode, NodeId, PROTOCOL_VERSION};

/// The label of the TLS exporter. Exporters of one session under different labels are independent.
const EXPORTER: &[u8] = b"EXPORTER-area-net-admission";

/// Which end of the connection this node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It opened the connection.
    Dialer,
    /// It accepted the connection.
    Acceptor,
}

/// The TLS session that a proof is bound to, seen from one end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Which end this node is.
    pub role: Role,
    /// The session's exporter; equal at both ends, and at the ends of no other session.
    pub exporter: [u8; 32],
    /// This node.
    pub me: NodeId,
    /// The node whose key the TLS handshake proved.
    pub peer: NodeId,
}

impl Session {
    /// The session of an established connection.
    #[must_use]
    pub fn of(connection: &quinn::Connection, role: Role, me: NodeId, peer: NodeId) -> Self {
        let mut exporter = [0; 32];
        connection
            .export_keying_material(&mut exporter, EXPORTER, &[])
            .expect("an established session exports 32 bytes");
        Self {
            role,
            exporter,
            me,
            peer,
        }
    }

    /// The bytes that the end with this role proves a key over. The label and the role keep a proof from counting as anything else,
    /// such as the other end's.
    fn proven_by(&self, prover: Role) -> Vec<u8> {
        let (role, dialer, acceptor) = match (prover, self.role) {
            (Role::Dialer, Role::Dialer) => (b"dialer\0\0", self.me, self.peer),
            (Role::Dialer, Role::Acceptor) => (b"dialer\0\0", self.peer, self.me),
            (Role::Acceptor, Role::Dialer) => (b"acceptor", self.me, self.peer),
            (Role::Acceptor, Role::Acceptor) => (b"acceptor", self.peer, self.me),
        };
        [
            b"area-net network key proof\0",
            &role[..],
            &self.exporter,
            &dialer.0,
            &acceptor.0,
        ]
        .concat()
    }
}

impl Role {
    fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }
}

/// The list of allowed node ids; an empty list allows all.
#[derive(Debug, Clone, Default)]
pub struct Allow(Arc<BTreeSet<NodeId>>);

impl Allow {
    /// Allows these ids only, or all ids if the list is empty.
    #[must_use]
    pub fn new(ids: &[NodeId]) -> Self {
        Self(Arc::new(ids.iter().copied().collect()))
    }

    /// Whether the list allows this node.
    #[must_use]
    pub fn permits(&self, id: &NodeId) -> bool {
        self.0.is_empty() || self.0.contains(id)
    }
}

/// Decides who may be a member. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    network: String,
    protocols: Vec<Vec<u8>>,
    keys: Keys,
    allow: Allow,
    /// In a network with an authority: who is a member by certificate.
    papers: Option<Arc<Papers>>,
}

impl Admission {
    /// The admission to the network with this name. Without keys it is open to every node that `allow` permits.
    #[must_use]
    pub fn new(network: &str, keys: Keys, allow: Allow) -> Self {
        Self(Arc::new(Inner {
            network: network.to_owned(),
            protocols: keys.tags(network).iter().map(protocol).collect(),
            keys,
            allow,
            papers: None,
        }))
    }

    /// The same in a network with an authority, if there are papers of one.
    #[must_use]
    pub fn with_papers(self, papers: Option<Papers>) -> Self {
        let Inner {
            network,
            protocols,
            keys,
            allow,
            ..
        } = &*self.0;
        Self(Arc::new(Inner {
            network: network.clone(),
            protocols: protocols.clone(),
            keys: keys.clone(),
            allow: allow.clone(),
            papers: papers.map(Arc::new),
        }))
    }

    /// What makes this node a member, in a network with an authority.
    #[must_use]
    pub fn papers(&self) -> Option<&Arc<Papers>> {
        self.0.papers.as_ref()
    }

    /// The admission to an open network, without a list of allowed nodes.
    #[must_use]
    pub fn open(network: &str) -> Self {
        Self::new(network, Keys::default(), Allow::default())
    }

    /// The network's name.
    #[must_use]
    pub fn network(&self) -> &str {
        &self.0.network
    }

    /// The list of allowed node ids.
    #[must_use]
    pub fn allow(&self) -> &Allow {
        &self.0.allow
    }

    /// The application protocols (ALPN, RFC 7301) that this node offers and accepts, the preferred one first: one for each of its
    /// keys. Each holds the protocol's version and a hash of the key and of the network's name, so that two networks never merge by
    /// accident, and nobody on the path reads the name.
    #[must_use]
    pub fn protocols(&self) -> &[Vec<u8>] {
        &self.0.protocols
    }

    /// The marks of beacons, the own mark first: the network's name if it is open. In a closed one the mark follows from a key, so
    /// that nobody without one can check a guess of the name.
    #[must_use]
    pub fn beacon_marks(&self) -> Vec<String> {
        if self.0.keys.is_empty() {
            return vec![self.0.network.clone()];
        }
        let tags = self.0.keys.tags(&self.0.network);
        tags.iter().map(hex).collect()
    }

    /// Whether peers exchange [`Credentials`] before their Hellos.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        !self.0.keys.is_empty() || self.0.papers.is_some()
    }

    /// What this node shows its peer in a session: a proof of each of its keys.
    #[must_use]
    pub fn credentials(&self, session: &Session) -> Credentials {
        Credentials {
            proofs: self.0.keys.prove(&session.proven_by(session.role)),
            certificate: self.papers().and_then(|papers| {
                let certificate = papers.certificate()?;
                Some(certificate.to_bytes())
            }),
        }
    }

    /// Decides by the node id alone, which the TLS handshake has proven.
    ///
    /// # Errors
    /// If the node may not be a member.
    pub fn admit_id(&self, peer: &NodeId) -> Result<(), Refusal> {
        if self.0.allow.permits(peer) {
            Ok(())
        } else {
            Err(Refusal::NotAllowed)
        }
    }

    /// Decides by what the peer showed in a session.
    ///
    /// # Errors
    /// If it may not be a member.
    pub fn admit(&self, session: &Session, shown: &Credentials) -> Result<(), Refusal> {
        self.admit_id(&session.peer)?;
        let message = session.proven_by(session.role.other());
        if !self.0.keys.is_empty() && !self.0.keys.verify(&message, &shown.proofs) {
            return Err(match shown.proofs.is_empty() {
                true => Refusal::NoProof,
                false => Refusal::WrongKey,
            });
        }
        // The certificate comes second: a peer without the key does not learn how its certificate is judged.
        if let Some(papers) = &self.0.papers {
            papers.admit(&session.peer, shown.certificate.as_deref())?;
        }
        Ok(())
    }
}

/// Why a peer may not be a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node is not on the list of allowed ids.
    #[error("it is not on the list of allowed nodes (network.allow)")]
    NotAllowed,
    /// TLS found no common application protocol.
    #[error("its network.name, its network key or its version of area-net is another one")]
    OtherNetwork,
    /// It sent something else than credentials, or they are malformed.
    #[error("it sent no valid credentials: {0}")]
    Malformed(String),
    /// It proved no network key at all.
    #[error("it has no network key")]
    NoProof,
    /// It proved other network keys.
    #[error("it has another network key, or forwards the proof of another session")]
    WrongKey,
    /// Its certificate does not make it a member, or the authority revoked it.
    #[error("it has {0}")]
    Unfit(#[from] Unfit),
}

impl Refusal {
    /// The name under which `rejected` in `network.json` counts it.
    #[must_use]
    pub fn counter(&self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::OtherNetwork => "other_network",
            Self::Malformed(_) => "bad_credentials",
            Self::NoProof | Self::WrongKey => "network_key_not_proven",
            Self::Unfit(unfit) => unfit.counter(),
        }
    }

    /// The code that the connection is closed with.
    #[must_use]
    pub fn code(&self) -> CloseCode {
        match self {
            Self::NotAllowed
            | Self::OtherNetwork
            | Self::NoProof
            | Self::WrongKey
            | Self::Unfit(_) => CloseCode::NotAllowed,
            Self::Malformed(_) => CloseCode::Protocol,
        }
    }

    /// What would admit the node, if it belongs to the network. `peer`: its id, if it is known.
    #[must_use]
    pub fn remedy(&self, peer: Option<&NodeId>) -> String {
        match (self, peer) {
            (Self::NotAllowed, Some(peer)) => {
                format!("if it belongs here, add \"{peer}\" to network.allow, and restart")
            }
            (Self::NotAllowed, None) => "if it belongs here, add its id to network.allow".to_owned(),
            (Self::Unfit(Unfit::Revoked), _) => {
                "if it belongs here, give it a new key, and admit that one".to_owned()
            }
            (Self::Unfit(Unfit::NotYet { .. } | Unfit::Expired { .. }), Some(peer)) => format!(
                "if the clocks are right and it belongs here: {}",
                admit_command(peer)
            ),
            (Self::Unfit(_), Some(peer)) => {
                format!("if it belongs here: {}", admit_command(peer))
            }
            (Self::Unfit(_), None) => "if it belongs here, admit it".to_owned(),
            (Self::OtherNetwork | Self::NoProof | Self::WrongKey | Self::Malformed(_), _) => {
                "if it belongs here, give it this node's network.name and network key file, and restart it"
                    .to_owned()
            }
        }
    }
}

/// The application protocol for a tag.
fn protocol(tag: &[u8; 16]) -> Vec<u8> {
    format!("area-net/{PROTOCOL_VERSION}/{}", hex(tag)).into_bytes()
}

fn hex(tag: &[u8; 16]) -> String {
    tag.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
