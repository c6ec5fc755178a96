//! Revocations: one signed, numbered document of the authority that names the nodes which are no members any more.
//!
//! The document is the whole list, so the newest number is all that a node needs. It spreads from neighbour to neighbour, and each
//! node keeps it on disk. `docs/protocol.md`, section 4.13, specifies the bytes.

use std::fmt;
use std::sync::Arc;

use ed25519_zebra::{Signature, VerificationKey};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::certificate::{AuthorityKey, MAX_NETWORK, message};
use crate::id::NodeId;
use crate::record::Signer;

/// What is signed besides the list: it keeps the signature from being used for anything else.
const CONTEXT: &[u8] = b"area-net revocations v1";
/// The version of the format.
const VERSION: u8 = 1;

/// The most nodes in the list. Those whose certificates have expired are left out, so it bounds how many members may be thrown out within
/// the lifetime of a certificate. The list takes 33 kB at most: twice as many would not fit into a frame.
pub const MAX_REVOKED: usize = 1024;
/// The largest document in bytes, with its signature.
pub const MAX_REVOCATIONS: usize = MAX_REVOKED * 32 + MAX_NETWORK + 128;

/// The signed part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// The version of the format.
    pub version: u8,
    /// The network's name.
    pub network: Arc<str>,
    /// Counts the documents of the network: the highest number is the newest. The first one is 1.
    pub number: u64,
    /// When the document was signed, in Unix seconds, by the authority's clock.
    pub issued: u64,
    /// The nodes, in ascending order.
    pub ids: Vec<NodeId>,
}

impl Revoked {
    /// A list in the present format. The ids are put in order.
    #[must_use]
    pub fn new(network: &str, number: u64, issued: u64, mut ids: Vec<NodeId>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        Self {
            version: VERSION,
            network: network.into(),
            number,
            issued,
            ids,
        }
    }

    fn check(&self) -> Result<(), RevocationsError> {
        if self.version != VERSION {
            return Err(RevocationsError::UnknownVersion(self.version));
        }
        for (what, value, limit) in [
            ("bytes of network name", self.network.len(), MAX_NETWORK),
            ("nodes", self.ids.len(), MAX_REVOKED),
        ] {
            if value > limit {
                return Err(RevocationsError::OverLimit { what, value, limit });
            }
        }
        if self.number == 0 || !self.ids.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err(RevocationsError::Disordered);
        }
        Ok(())
    }
}

/// The document as it travels: signed bytes, their signature, and the list they decode to.
pub struct Revocations {
    list: Revoked,
    signed: Vec<u8>,
    signature: [u8; 64],
}

/// Bytes that are no list of revocations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevocationsError {
    /// The document has more than [`MAX_REVOCATIONS`] bytes.
    #[error("revocations of {0} bytes: at most {MAX_REVOCATIONS} allowed")]
    TooLarge(usize),
    /// The bytes are no encoded list, or there are bytes behind its end.
    #[error("undecodable revocations")]
    Undecodable,
    /// It is of a later version.
    #[error("revocations of version {0}: this program knows version {VERSION}")]
    UnknownVersion(u8),
    /// A text or list exceeds its limit.
    #[error("revocations with {value} {what}: at most {limit} allowed")]
    OverLimit {
        /// The field.
        what: &'static str,
        /// Its length.
        value: usize,
        /// The limit.
        limit: usize,
    },
    /// The nodes are out of order, one comes twice, or the number is 0.
    #[error("revocations that are out of order or have no number")]
    Disordered,
    /// None of the network's authorities signed it for this network.
    #[error("revocations that no authority of this network signed")]
    Forged,
}

impl Revocations {
    /// Signs a list with an authority's key.
    ///
    /// # Errors
    /// If the list exceeds a limit.
    pub fn issue(list: Revoked, authority: &dyn Signer) -> Result<Arc<Self>, RevocationsError> {
        list.check()?;
        let signed = postcard::to_stdvec(&list).expect("our own list encodes");
        let signature = authority.sign(&message(CONTEXT, &signed));
        Ok(Arc::new(Self {
            list,
            signed,
            signature,
        }))
    }

    /// What the document says.
    #[must_use]
    pub fn list(&self) -> &Revoked {
        &self.list
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.list.number
    }

    /// Whether it names a node.
    #[must_use]
    pub fn names(&self, id: &NodeId) -> bool {
        self.list.ids.binary_search(id).is_ok()
    }

    /// The number of bytes that the document takes in a message.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let length = self.signed.len();
        let prefix = match length {
            0..128 => 1,
            128..16_384 => 2,
            _ => 3,
        };
        prefix + length + 1 + self.signature.len()
    }

    /// Verifies the signature.
    ///
    /// # Errors
    /// [`RevocationsError::Forged`] if none of these authorities signed it for this network.
    pub fn verify(
        &self,
        network: &str,
        keys: &[AuthorityKey],
    ) -> Result<AuthorityKey, RevocationsError> {
        let signature = Signature::from(self.signature);
        let message = message(CONTEXT, &self.signed);
        let is_by = |key: &&AuthorityKey| {
            VerificationKey::try_from(key.0)
                .is_ok_and(|key| key.verify(&signature, &message).is_ok())
        };
        let signer = keys
            .iter()
            .find(|key| *self.list.network == *network && is_by(key));
        signer.copied().ok_or(RevocationsError::Forged)
    }

    /// The document as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("bytes encode")
    }

    /// Decodes a document and checks everything except the signature.
    ///
    /// # Errors
    /// If the bytes are no list of revocations, or one that exceeds a limit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Arc<Self>, RevocationsError> {
        if bytes.len() > MAX_REVOCATIONS {
            return Err(RevocationsError::TooLarge(bytes.len()));
        }
        let ((signed, signature), rest): ((&[u8], &[u8]), _) =
            postcard::take_from_bytes(bytes).map_err(|_| RevocationsError::Undecodable)?;
        if !rest.is_empty() {
            return Err(RevocationsError::Undecodable);
        }
        Self::from_parts(signed, signature).map(Arc::new)
    }

    fn from_parts(signed: &[u8], signature: &[u8]) -> Result<Self, RevocationsError> {
        let size = signed.len() + signature.len();
        if size > MAX_REVOCATIONS {
            return Err(RevocationsError::TooLarge(size));
        }
        let signature = signature
            .try_into()
            .map_err(|_| RevocationsError::Undecodable)?;
        let (list, rest) = postcard::take_from_bytes::<Revoked>(signed)
            .map_err(|_| RevocationsError::Undecodable)?;
        if !rest.is_empty() {
            return Err(RevocationsError::Undecodable);
        }
        list.check()?;
        Ok(Self {
            list,
            signed: signed.to_vec(),
            signature,
        })
    }
}

/// Shows the number and how many nodes there are: a thousand ids help nobody.
impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, ids) = (self.list.number, self.list.ids.len());
        write!(f, "Revocations({number}, {ids} nodes)")
    }
}

impl PartialEq for Revocations {
    fn eq(&self, other: &Self) -> bool {
        self.signature == other.signature && self.signed == other.signed
    }
}

impl Eq for Revocations {}

impl Serialize for Revocations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.signed, &self.signature[..]).serialize(serializer)
    }
}

/// Decodes through every check of [`Revocations::from_bytes`]: a document that exists is within its limits.
impl<'de> Deserialize<'de> for Revocations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (signed, signature) = <(&[u8], &[u8])>::deserialize(deserializer)?;
        Self::from_parts(signed, signature).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
