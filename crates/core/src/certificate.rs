//! Certificates: an authority signs which node may be a member, under which labels, and until when.
//!
//! The authority is an Ed25519 key that is kept offline. Every member knows its public key, carries a certificate of its own in
//! its record, and checks the certificates of all others. `docs/protocol.md`, section 6.7, specifies the bytes.
//!
//! A certificate that is wrong at all times (another authority, network, node or label) is the fault of whoever shows it or passes it
//! on. Whether it has begun or ended depends on the clock of the node that looks, so nobody is blamed for that
//! ([`Unfit::depends_on_time`]).

mod pattern;

use std::fmt;
use std::sync::{Arc, OnceLock};

use ed25519_zebra::{Signature, VerificationKey};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{MAX_LABEL, NodeId, Signer};
pub use pattern::matches;

/// What is signed besides a certificate: it keeps the signature from being used for anything else.
const CONTEXT: &[u8] = b"area-net certificate v1";
/// The version of the format.
const VERSION: u8 = 1;

/// The longest name of a network in a certificate, in bytes: the limit of the setting `network.name`.
pub const MAX_NETWORK: usize = 64;
/// The most groups in a certificate. Groups are for people and for programs that read them; area-net decides nothing by them. Half
/// as many would still name a place and a role. Each more is in every record of the node.
pub const MAX_GROUPS: usize = 8;
/// The longest name of a group, in bytes.
pub const MAX_GROUP: usize = 32;
/// The largest certificate in bytes, with its signature: the sum of the limits above, rounded up. Every record contains one.
pub const MAX_CERTIFICATE: usize = 640;
/// The most authorities that a node may know at once. Two are enough to replace one by another. Each one more costs a
/// verification for each forged certificate.
pub const MAX_AUTHORITIES: usize = 4;
/// How far the clocks of two honest machines may differ, in s. A certificate counts so much earlier than it begins, and so much longer
/// than it lasts. At half, a machine whose clock is 6 minutes slow can't join with a new certificate. At double, an expired
/// certificate counts for 20 minutes.
pub const CLOCK_TOLERANCE_S: u64 = 600;

/// The public key of an authority.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AuthorityKey(pub [u8; 32]);

impl fmt::Display for AuthorityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NodeId(self.0).fmt(f)
    }
}

impl fmt::Debug for AuthorityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&NodeId(self.0).short())
    }
}

/// The authorities of a network: anyone of them may admit a node, and revoke one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities {
    network: Arc<str>,
    keys: Vec<AuthorityKey>,
}

/// The signed part of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The version of the format.
    pub version: u8,
    /// The network's name.
    pub network: Arc<str>,
    /// The node that may be a member.
    pub id: NodeId,
    /// The labels that it may have. `*` stands for any text, also for none.
    pub label: Arc<str>,
    /// The groups that it belongs to, in ascending order.
    pub groups: Vec<Arc<str>>,
    /// When the certificate begins to count, in Unix seconds.
    pub not_before: u64,
    /// When it ends, in Unix seconds.
    pub not_after: u64,
    /// Counts the certificates of the authority.
    pub serial: u64,
}

impl Terms {
    /// Terms in the present format.
    #[must_use]
    pub fn new(network: &str, id: NodeId, label: &str) -> Self {
        Self {
            version: VERSION,
            network: network.into(),
            id,
            label: label.into(),
            groups: Vec::new(),
            not_before: 0,
            not_after: u64::MAX,
            serial: 0,
        }
    }

    /// Checks the limits.
    ///
    /// # Errors
    /// If a text is too long or is no name, if there are too many groups or they are out of order, or if the certificate ends before it
    /// begins.
    pub fn check(&self) -> Result<(), CertificateError> {
        let over = |what, value, limit| CertificateError::OverLimit { what, value, limit };
        if self.version != VERSION {
            return Err(CertificateError::UnknownVersion(self.version));
        }
        for (what, text, limit) in [
            ("bytes of network name", &self.network, MAX_NETWORK),
            ("bytes of label", &self.label, MAX_LABEL),
        ] {
            if text.len() > limit {
                return Err(over(what, text.len(), limit));
            }
        }
        if self.groups.len() > MAX_GROUPS {
            return Err(over("groups", self.groups.len(), MAX_GROUPS));
        }
        if let Some(long) = self.groups.iter().find(|group| group.len() > MAX_GROUP) {
            return Err(over("bytes of a group's name", long.len(), MAX_GROUP));
        }
        let are_ordered = self.groups.windows(2).all(|pair| pair[0] < pair[1]);
        let are_names = self.groups.iter().all(|group| is_name(group));
        if !are_ordered || !are_names {
            return Err(CertificateError::BadGroups);
        }
        if self.label.chars().any(char::is_control) {
            return Err(CertificateError::BadLabel);
        }
        if self.not_after < self.not_before {
            return Err(CertificateError::EndsBeforeItBegins);
        }
        Ok(())
    }
}

/// A group's name can stand in a list with commas.
fn is_name(group: &str) -> bool {
    let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter);
    !group.is_empty() && group.bytes().all(is_plain)
}

/// A certificate as it travels: signed bytes, their signature, and the terms they decode to.
pub struct Certificate {
    terms: Terms,
    signed: Vec<u8>,
    signature: [u8; 64],
    /// The authority that signed it, once that is verified.
    signer: OnceLock<AuthorityKey>,
}

/// Bytes that are no certificate, or terms that can't be certified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The certificate has more than [`MAX_CERTIFICATE`] bytes.
    #[error("certificate of {0} bytes: at most {MAX_CERTIFICATE} allowed")]
    TooLarge(usize),
    /// The bytes are no encoded certificate, or there are bytes behind its end.
    #[error("undecodable certificate")]
    Undecodable,
    /// It is of a later version.
    #[error("certificate of version {0}: this program knows version {VERSION}")]
    UnknownVersion(u8),
    /// A text or list exceeds its limit.
    #[error("certificate with {value} {what}: at most {limit} allowed")]
    OverLimit {
        /// The field.
        what: &'static str,
        /// Its length.
        value: usize,
        /// The limit.
        limit: usize,
    },
    /// A group's name has other characters than letters, digits, `-`, `_` and `.`, or the groups are out of order.
    #[error(
        "certificate with groups that are out of order, or whose names have other characters than a-z, A-Z, 0-9, '-', '_' and '.'"
    )]
    BadGroups,
    /// The label contains a control character.
    #[error("certificate for a label with control characters")]
    BadLabel,
    /// The end is before the beginning.
    #[error("certificate that ends before it begins")]
    EndsBeforeItBegins,
}

/// Why a node may not be a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It shows no certificate.
    #[error("no certificate")]
    NoCertificate,
    /// None of the network's authorities signed the certificate.
    #[error("a certificate that no authority of this network signed")]
    Forged,
    /// The certificate is for another network.
    #[error("a certificate for the network {0:?}")]
    OtherNetwork(Arc<str>),
    /// The certificate is for another node.
    #[error("a certificate of the node {0:?}")]
    OtherNode(NodeId),
    /// The node's label is none of those that the certificate allows.
    #[error("the label {label:?}, while its certificate allows {allowed:?}")]
    OtherLabel {
        /// The node's label.
        label: Arc<str>,
        /// The certificate's pattern.
        allowed: Arc<str>,
    },
    /// The certificate does not count yet, by this node's clock.
    #[error("a certificate that begins in {in_s} s, by this machine's clock")]
    NotYet {
        /// The time until then, in s.
        in_s: u64,
    },
    /// The certificate has ended, by this node's clock.
    #[error("a certificate that expired {ago_s} s ago, by this machine's clock")]
    Expired {
        /// The time since then, in s.
        ago_s: u64,
    },
    /// The authority revoked the node's membership.
    #[error("a membership that the authority revoked")]
    Revoked,
}

impl Unfit {
    /// Whether it depends on when one looks, or on which revocations one has heard. An honest node may pass on the record of such
    /// a node: its clock is another one, or the revocation has not reached it yet.
    #[must_use]
    pub fn depends_on_time(&self) -> bool {
        match self {
            Self::NotYet { .. } | Self::Expired { .. } | Self::Revoked => true,
            Self::NoCertificate
            | Self::Forged
            | Self::OtherNetwork(_)
            | Self::OtherNode(_)
            | Self::OtherLabel { .. } => false,
        }
    }

    /// The name under which a refusal is counted.
    #[must_use]
    pub fn counter(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::Forged | Self::OtherNetwork(_) | Self::OtherNode(_) => "wrong_certificate",
            Self::OtherLabel { .. } => "wrong_label",
            Self::NotYet { .. } | Self::Expired { .. } => "expired_certificate",
            Self::Revoked => "revoked",
        }
    }
}

impl Certificate {
    /// Signs terms with an authority's key.
    ///
    /// # Errors
    /// If the terms exceed a limit.
    pub fn issue(terms: Terms, authority: &dyn Signer) -> Result<Arc<Self>, CertificateError> {
        terms.check()?;
        let signed = postcard::to_stdvec(&terms).expect("our own terms encode");
        let signature = authority.sign(&message(CONTEXT, &signed));
        Ok(Arc::new(Self {
            terms,
            signed,
            signature,
            signer: OnceLock::from(AuthorityKey(authority.node_id().0)),
        }))
    }

    /// What the certificate says.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The number of bytes that the certificate takes in a record.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let length = self.signed.len();
        length + self.signature.len() + if length < 128 { 2 } else { 3 }
    }

    /// The authority among these that signed it. The verdict is kept, so the second call costs nothing. The rules are those of
    /// `Record::verify`.
    #[must_use]
    pub fn signer(&self, keys: &[AuthorityKey]) -> Option<AuthorityKey> {
        if let Some(signer) = self.signer.get().filter(|signer| keys.contains(signer)) {
            return Some(*signer);
        }
        let signature = Signature::from(self.signature);
        let message = message(CONTEXT, &self.signed);
        let is_by = |key: &&AuthorityKey| {
            VerificationKey::try_from(key.0)
                .is_ok_and(|key| key.verify(&signature, &message).is_ok())
        };
        let signer = *keys.iter().find(is_by)?;
        // Of two authorities with one signature under one message, either will do.
        Some(*self.signer.get_or_init(|| signer))
    }

    /// Takes over the verdict on a certificate with the same bytes.
    pub(crate) fn trust_as(&self, known: &Self) {
        if self == known
            && let Some(signer) = known.signer.get()
        {
            self.signer.get_or_init(|| *signer);
        }
    }

    #[cfg(test)]
    pub(crate) fn has_verdict(&self) -> bool {
        self.signer.get().is_some()
    }

    /// The certificate as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("bytes encode")
    }

    /// Decodes a certificate and checks everything except the signature.
    ///
    /// # Errors
    /// If the bytes are no certificate, or one that exceeds a limit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Arc<Self>, CertificateError> {
        if bytes.len() > MAX_CERTIFICATE {
            return Err(CertificateError::TooLarge(bytes.len()));
        }
        let ((signed, signature), rest): ((&[u8], &[u8]), _) =
            postcard::take_from_bytes(bytes).map_err(|_| CertificateError::Undecodable)?;
        if !rest.is_empty() {
            return Err(CertificateError::Undecodable);
        }
        Self::from_parts(signed, signature).map(Arc::new)
    }

    fn from_parts(signed: &[u8], signature: &[u8]) -> Result<Self, CertificateError> {
        if signed.len() + signature.len() > MAX_CERTIFICATE {
            return Err(CertificateError::TooLarge(signed.len() + signature.len()));
        }
        let signature = signature
            .try_into()
            .map_err(|_| CertificateError::Undecodable)?;
        let (terms, rest) = postcard::take_from_bytes::<Terms>(signed)
            .map_err(|_| CertificateError::Undecodable)?;
        if !rest.is_empty() {
            return Err(CertificateError::Undecodable);
        }
        terms.check()?;
        Ok(Self {
            terms,
            signed: signed.to_vec(),
            signature,
            signer: OnceLock::new(),
        })
    }
}

impl Authorities {
    /// The authorities of a network. Keys that come twice count once.
    ///
    /// # Errors
    /// If there is none, or more than [`MAX_AUTHORITIES`].
    pub fn new(network: &str, mut keys: Vec<AuthorityKey>) -> Result<Self, usize> {
        let mut seen = Vec::new();
        keys.retain(|key| {
            let is_new = !seen.contains(key);
            seen.push(*key);
            is_new
        });
        if keys.is_empty() || keys.len() > MAX_AUTHORITIES {
            return Err(keys.len());
        }
        let network = network.into();
        Ok(Self { network, keys })
    }

    /// The network's name.
    #[must_use]
    pub fn network(&self) -> &Arc<str> {
        &self.network
    }

    /// Their public keys.
    #[must_use]
    pub fn keys(&self) -> &[AuthorityKey] {
        &self.keys
    }

    /// Whether a certificate makes a node a member at that time. `label`: the node's, once it is known.
    ///
    /// # Errors
    /// Why it does not.
    pub fn admit(
        &self,
        id: &NodeId,
        label: Option<&Arc<str>>,
        certificate: Option<&Certificate>,
        unix_s: u64,
    ) -> Result<(), Unfit> {
        let certificate = certificate.ok_or(Unfit::NoCertificate)?;
        let terms = &certificate.terms;
        if terms.network != self.network {
            return Err(Unfit::OtherNetwork(terms.network.clone()));
        }
        if terms.id != *id {
            return Err(Unfit::OtherNode(terms.id));
        }
        // The signature comes last of what costs nothing to find out, and first of what only a true certificate can tell.
        if certificate.signer(&self.keys).is_none() {
            return Err(Unfit::Forged);
        }
        if let Some(label) = label.filter(|label| !matches(&terms.label, label)) {
            let (label, allowed) = (label.clone(), terms.label.clone());
            return Err(Unfit::OtherLabel { label, allowed });
        }
        if unix_s.saturating_add(CLOCK_TOLERANCE_S) < terms.not_before {
            let in_s = terms.not_before - unix_s;
            return Err(Unfit::NotYet { in_s });
        }
        if unix_s > ends_at(terms) {
            let ago_s = unix_s - terms.not_after;
            return Err(Unfit::Expired { ago_s });
        }
        Ok(())
    }
}

/// Until when a certificate counts, in Unix seconds, for a node whose clock may be fast.
#[must_use]
pub fn ends_at(terms: &Terms) -> u64 {
    terms.not_after.saturating_add(CLOCK_TOLERANCE_S)
}

/// The message that is signed. The network's name is in the signed bytes.
pub(crate) fn message(context: &[u8], signed: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(context.len() + 1 + signed.len());
    message.extend_from_slice(context);
    message.push(0);
    message.extend_from_slice(signed);
    message
}

/// Shows the terms alone: the verdict depends on who used the certificate before.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.terms).finish()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.signature == other.signature && self.signed == other.signed
    }
}

impl Eq for Certificate {}

impl Serialize for Certificate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.signed, &self.signature[..]).serialize(serializer)
    }
}

/// Decodes through every check of [`Certificate::from_bytes`]: a certificate that exists is within its limits.
impl<'de> Deserialize<'de> for Certificate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (signed, signature) = <(&[u8], &[u8])>::deserialize(deserializer)?;
        Self::from_parts(signed, signature).map_err(D::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests;
