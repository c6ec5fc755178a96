//! The link-state record (in the sense of OSPF, RFC 2328): what a node signs about itself.
//!
//! Each node signs one record, and every change of it is a new [`Version`]. Records travel as the very bytes that were
//! signed, so a relay can't change them. Each record's signature is verified once, and the verdict is kept with the record.
//! `docs/protocol.md`, section 6, specifies the bytes.

mod body;

use std::cmp::Ordering;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering as Memory};
use std::sync::{Arc, OnceLock};

use ed25519_zebra::{Signature, VerificationKey, VerificationKeyBytes, batch};
use rand::CryptoRng;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

pub use body::{AddrKind, Body, Direction, LinkState, PublishedAddr, ShortRun, Version};

pub use crate::id::{MAX_LABEL, Signer};
use crate::id::{NodeId, ShortId};

/// The largest number of addresses in a record: two advertised ones, and three interfaces or mappings of each family. With
/// half as many, a node with a foot in two networks could not name both. Twice as many would let one record have 16 dials.
pub const MAX_ADDRS: usize = 8;
/// The largest number of links in a record: the highest cap on the degree that a setting allows, and the highest number of
/// guests beyond it.
pub const MAX_LINKS: usize = 64 + 256;
/// The largest record in bytes, with its signature: the sum of the limits above, rounded up.
pub const MAX_RECORD: usize = 10_880;

/// What is signed besides a record: it keeps the signature from being used for anything else.
const CONTEXT: &[u8] = b"area-net record v2";

/// The smallest batch of signatures that is cheaper to verify together than one by one.
const LEAST_BATCH: usize = 3;

/// The most links that are scanned for the one to a node whose table index is known; in a longer list it is searched by its id. A node
/// without guests lists fewer. Half of this: nodes that hold more than 16 links while a network starts are searched, which reads five
/// ids in place of their indices. Double: no difference, except for nodes with a few guests. Without a limit, each derivation in a star of
/// 200 guests scans 200 indices for each guest: that took 1.8 % of the CPU time of a start.
const MOST_SCANNED: usize = 32;

/// A record as it travels: signed bytes, their signature, and the body they decode to.
pub struct Record {
    body: Body,
    signed: Vec<u8>,
    signature: [u8; 64],
    /// The first bytes of the SHA-256 of the signed bytes, made on first use. Most copies that arrive need none: they are
    /// recognised by their signature.
    hash: OnceLock<[u8; 16]>,
    /// The verdict on the signature, for the network it was first asked for.
    verdict: OnceLock<bool>,
    /// The table indices of the node and of its links' peers in this process.
    place: TableIndex,
    peer_places: Box<[TableIndex]>,
}

/// A table index at which a node was last found. It may be out of date, so its user checks it.
#[derive(Debug)]
pub(crate) struct TableIndex(AtomicU32);

impl TableIndex {
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Memory::Relaxed)
    }

    pub(crate) fn set(&self, place: u32) {
        // A record is shared between threads: an unchanged value is not written again.
        if self.get() != place {
            self.0.store(place, Memory::Relaxed);
        }
    }
}

impl Default for TableIndex {
    /// No index.
    fn default() -> Self {
        Self(AtomicU32::new(u32::MAX))
    }
}

/// A record that is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The record has more than [`MAX_RECORD`] bytes.
    #[error("record of {0} bytes: at most {MAX_RECORD} allowed")]
    TooLarge(usize),
    /// The bytes are no encoded body, or there are bytes behind its end.
    #[error("undecodable record")]
    Undecodable,
    /// A label or list exceeds its limit.
    #[error("record with {value} {what}: at most {limit} allowed")]
    OverLimit {
        /// The field.
        what: &'static str,
        /// Its length.
        value: usize,
        /// The limit.
        limit: usize,
    },
    /// The links are out of order, list a peer twice, or list the node itself.
    #[error("record with links that are out of order, doubled or to the node itself")]
    BadLinks,
    /// The signature was not made with the node's key for this network.
    #[error("record of {0:?} with a forged signature")]
    Forged(NodeId),
}

impl Record {
    /// Signs a body. `network` is the network's name: the signature is not valid in another network.
    #[must_use]
    pub fn sign(body: Body, network: &str, signer: &dyn Signer) -> Arc<Self> {
        let signed = postcard::to_stdvec(&body).expect("our own body encodes");
        let signature = signer.sign(&message(CONTEXT, network, &signed));
        let verdict = OnceLock::from(true);
        Arc::new(Self {
            hash: OnceLock::new(),
            place: TableIndex::default(),
            peer_places: body.links.iter().map(|_| TableIndex::default()).collect(),
            body,
            signed,
            signature,
            verdict,
        })
    }

    /// The content of the record.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The node that the record is about.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.body.id
    }

    /// Whether the signature was verified and is good. All holders of this value share the verdict.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.verdict.get() == Some(&true)
    }

    /// The record's version.
    #[must_use]
    pub fn version(&self) -> Version {
        let tie = u32::from_be_bytes(self.hash()[..4].try_into().expect("four bytes"));
        Version {
            epoch: self.body.epoch,
            seq: self.body.seq,
            tie,
        }
    }

    /// A 128-bit number that stands for this record in sums over a view: its hash.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        u128::from_be_bytes(*self.hash())
    }

    fn hash(&self) -> &[u8; 16] {
        self.hash.get_or_init(|| hash(&self.signed))
    }

    /// Orders two records of the same node by age, as [`Self::version`] does but with the whole hash. The hash is computed only
    /// for different bytes with one epoch and sequence.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        let order = (self.body.epoch, self.body.seq).cmp(&(other.body.epoch, other.body.seq));
        order.then_with(|| {
            if self.signature == other.signature && self.signed == other.signed {
                Ordering::Equal
            } else {
                self.hash().cmp(other.hash())
            }
        })
    }

    /// The table index of the node in this process.
    pub(crate) fn place(&self) -> &TableIndex {
        &self.place
    }

    /// The links that may count for reachability, with the table indices of their peers. A leaving node has none.
    pub(crate) fn standing_links(&self) -> impl Iterator<Item = (&LinkState, &TableIndex)> {
        let count = if self.body.leaving {
            0
        } else {
            self.body.links.len()
        };
        let links = self.body.links[..count].iter();
        links.zip(&self.peer_places)
    }

    /// Whether the record publishes that address.
    #[must_use]
    pub fn publishes(&self, addr: SocketAddr) -> bool {
        self.body.addrs.iter().any(|one| one.addr == addr)
    }

    /// The link to `peer`, if the record lists one.
    #[must_use]
    pub fn link_to(&self, peer: &ShortId) -> Option<&LinkState> {
        let at = self
            .body
            .links
            .binary_search_by(|link| link.peer.cmp(peer))
            .ok()?;
        Some(&self.body.links[at])
    }

    /// Whether the record lists a link to the other record's node, and to the run that signed the other record. A link is
    /// mutual if this holds both ways.
    #[must_use]
    pub fn lists(&self, other: &Self) -> bool {
        let link = self.link_to(&other.body.id.abbreviated());
        link.is_some_and(|link| self.counts(link, other))
    }

    /// The same as [`Self::lists`], if the table index of the other record's node is known: this record mostly remembers which
    /// link is to that index.
    pub(crate) fn lists_at(&self, other: &Self, place: u32) -> bool {
        let peer = other.body.id.abbreviated();
        let scanned = if self.peer_places.len() <= MOST_SCANNED {
            &*self.peer_places
        } else {
            &[]
        };
        let remembered = scanned.iter().position(|index| index.get() == place);
        let link = remembered.map(|at| &self.body.links[at]);
        let link = link.filter(|link| link.peer == peer);
        link.or_else(|| self.link_to(&peer))
            .is_some_and(|link| self.counts(link, other))
    }

    fn counts(&self, link: &LinkState, other: &Self) -> bool {
        !self.body.leaving && link.run == ShortRun::of(other.body.run_id)
    }

    /// About the number of bytes that the record takes in a message.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.signed.len() + 64 + 2
    }

    /// The number of signed bytes.
    #[must_use]
    pub fn signed_len(&self) -> usize {
        self.signed.len()
    }

    /// Verifies the signature once; later calls repeat the verdict. A process is a node of one network, so the verdict holds
    /// for that network only. The rules are those of [ZIP 215](https://zips.z.cash/zip-0215): they give every node the same
    /// verdict, one by one or in batches.
    ///
    /// # Errors
    /// [`RecordError::Forged`] if the signature was not made with the key that the record's id is.
    pub fn verify(&self, network: &str) -> Result<(), RecordError> {
        let good = *self.verdict.get_or_init(|| {
            let signature = Signature::from(self.signature);
            VerificationKey::try_from(self.body.id.0)
                .and_then(|key| key.verify(&signature, &message(CONTEXT, network, &self.signed)))
                .is_ok()
        });
        if good {
            Ok(())
        } else {
            Err(RecordError::Forged(self.body.id))
        }
    }

    /// Verifies the signatures of many records at once, at half the cost. `rng` must be unpredictable to the signers.
    /// [`Self::verify`] then returns the verdict on each.
    pub fn verify_all<'a>(
        records: impl IntoIterator<Item = &'a Self>,
        network: &str,
        rng: impl CryptoRng,
    ) {
        let fresh = records
            .into_iter()
            .filter(|record| record.verdict.get().is_none());
        let fresh: Vec<&Self> = fresh.collect();
        let signed = fresh
            .iter()
            .map(|record| (record.body.id, CONTEXT, &*record.signed, record.signature));
        if are_all_good(signed, network, rng) {
            for record in fresh {
                record.verdict.get_or_init(|| true);
            }
        }
        // Otherwise there are few, or at least one is forged. `verify` finds out which.
    }

    /// Decodes a record and checks everything except the signature.
    ///
    /// # Errors
    /// If the bytes are no record, or one that exceeds a limit.
    pub fn from_parts(signed: Vec<u8>, signature: [u8; 64]) -> Result<Arc<Self>, RecordError> {
        if signed.len() + 64 > MAX_RECORD {
            return Err(RecordError::TooLarge(signed.len() + 64));
        }
        let (body, rest) =
            postcard::take_from_bytes::<Body>(&signed).map_err(|_| RecordError::Undecodable)?;
        if !rest.is_empty() {
            return Err(RecordError::Undecodable);
        }
        for (what, value, limit) in [
            ("bytes of label", body.label.len(), MAX_LABEL),
            ("addresses", body.addrs.len(), MAX_ADDRS),
            ("links", body.links.len(), MAX_LINKS),
        ] {
            if value > limit {
                return Err(RecordError::OverLimit { what, value, limit });
            }
        }
        let me = body.id.abbreviated();
        let ordered = body
            .links
            .windows(2)
            .all(|pair| pair[0].peer < pair[1].peer);
        if !ordered || body.links.iter().any(|link| link.peer == me) {
            return Err(RecordError::BadLinks);
        }
        Ok(Arc::new(Self {
            place: TableIndex::default(),
            peer_places: body.links.iter().map(|_| TableIndex::default()).collect(),
            body,
            signed,
            signature,
            hash: OnceLock::new(),
            verdict: OnceLock::new(),
        }))
    }
}

/// Whether many signatures are good, verified together: each with the node whose key signed, the context, and what was signed. `false`
/// also where there are too few for that.
pub(crate) fn are_all_good<'a>(
    signed: impl ExactSizeIterator<Item = (NodeId, &'a [u8], &'a [u8], [u8; 64])>,
    network: &str,
    rng: impl CryptoRng,
) -> bool {
    if signed.len() < LEAST_BATCH {
        return false;
    }
    let mut batch = batch::Verifier::new();
    for (id, context, signed, signature) in signed {
        let key = VerificationKeyBytes::from(id.0);
        let signed = message(context, network, signed);
        batch.queue((key, Signature::from(signature), &signed));
    }
    batch.verify(Weights(rng)).is_ok()
}

/// Adapts the random generator to the trait that the batch verifier takes.
struct Weights<R>(R);

impl<R: CryptoRng> rand_core::RngCore for Weights<R> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl<R: CryptoRng> rand_core::CryptoRng for Weights<R> {}

/// The message that is signed. Its context keeps a signature from being used for another purpose or network.
pub(crate) fn message(context: &[u8], network: &str, signed: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(context.len() + 2 + network.len() + signed.len());
    message.extend_from_slice(context);
    message.push(0);
    message.extend_from_slice(network.as_bytes());
    message.push(0);
    message.extend_from_slice(signed);
    message
}

fn hash(signed: &[u8]) -> [u8; 16] {
    Sha256::digest(signed)[..16]
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

/// Shows the body alone: the cached hash and verdict depend on who used the record before.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Record").field(&self.body).finish()
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.signed == other.signed && self.signature == other.signature
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.signed, &self.signature[..]).serialize(serializer)
    }
}

/// Decodes through every check of [`Record::from_parts`]: a record that exists is within its limits.
impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (signed, signature) = <(&[u8], &[u8])>::deserialize(deserializer)?;
        let signature = signature
            .try_into()
            .map_err(|_| D::Error::custom(RecordError::Undecodable))?;
        let record = Self::from_parts(signed.to_vec(), signature).map_err(D::Error::custom)?;
        Ok(Arc::into_inner(record).expect("just made, and not shared yet"))
    }
}
