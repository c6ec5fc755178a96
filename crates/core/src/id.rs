//! The id of a node, whole and abbreviated, and what signs with its key.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest label, in bytes of UTF-8. Every node keeps every label.
pub const MAX_LABEL: usize = 128;

/// Signs what a node says; the key stays with the identity.
pub trait Signer: Send + Sync {
    /// The node id whose key signs.
    fn node_id(&self) -> NodeId;
    /// The Ed25519 signature (RFC 8032) of the bytes.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// A node's id: its Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub [u8; 32]);

impl NodeId {
    /// The first ten hex digits, for logs and pictures.
    #[must_use]
    pub fn short(&self) -> String {
        hex(&self.0[..5])
    }

    /// The first 16 bytes: they stand for the node in lists of links, versions and requests.
    #[must_use]
    pub fn abbreviated(&self) -> ShortId {
        let mut short = [0; 16];
        short.copy_from_slice(&self.0[..16]);
        ShortId(short)
    }

    /// Whether this node is the active end of its link with `other`, the one that probes by routine. It leads the nodes in
    /// the half of the ring of ids that follows its own id. So exactly one of two nodes leads, and every node leads about
    /// half of its links, whoever dialed them.
    #[must_use]
    pub fn leads(&self, other: &Self) -> bool {
        let place = |id: &Self| {
            let (first, _) = id.0.split_first_chunk().expect("32 bytes hold eight");
            u64::from_be_bytes(*first)
        };
        match place(other).wrapping_sub(place(self)) {
            0 | 0x8000_0000_0000_0000 => self < other,
            ahead => ahead < 0x8000_0000_0000_0000,
        }
    }

    /// Reads 64 hex digits.
    ///
    /// # Errors
    /// If the text is not exactly 64 hex digits.
    pub fn from_hex(text: &str) -> Result<Self, NotANodeId> {
        let digits = text.as_bytes();
        let mut id = [0; 32];
        if digits.len() != 64 {
            return Err(NotANodeId);
        }
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let nibble = |digit: u8| char::from(digit).to_digit(16);
            let value = nibble(pair[0]).zip(nibble(pair[1])).ok_or(NotANodeId)?;
            *byte = u8::try_from(value.0 * 16 + value.1).expect("two nibbles are a byte");
        }
        Ok(Self(id))
    }
}

/// The text is not a node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a node id is 64 hexadecimal digits")]
pub struct NotANodeId;

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// A node id abbreviated to its first 16 bytes. It halves a record. Nobody finds a key with the short id of a given node
/// (2^128 attempts); two keys of one's own with the same short id take 2^64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShortId(pub [u8; 16]);

impl fmt::Debug for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0[..5]))
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    // Collecting an iterator would allocate four times for an id, and every file that a node writes names all nodes.
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}
