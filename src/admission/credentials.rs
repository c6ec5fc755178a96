//! The frame with which the two ends of a connection in a closed network begin.

use serde::{Deserialize, Serialize};

use super::keys::MAX_KEYS;

/// The largest body of a credentials frame, in bytes. A stranger can make a node buffer this much. Four proofs take 132 bytes, which
/// leaves over 800 for a certificate. Half as much would not hold the longest certificate; twice as much serves nobody.
pub const MAX_CREDENTIALS: usize = 1024;
/// The most proofs in a frame: one for each key that a node may have.
pub const MAX_PROOFS: usize = MAX_KEYS;

/// What a node shows its peer before any Hello.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// HMAC-SHA256 of the session under each network key of the node.
    pub proofs: Vec<[u8; 32]>,
    /// The certificate of the network's authority for this node, in its encoding.
    pub certificate: Option<Vec<u8>>,
}

/// Bytes that are no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// They are not in the encoding of credentials.
    #[error("undecodable credentials: {0}")]
    Undecodable(#[from] postcard::Error),
    /// There are bytes behind the end.
    #[error("{0} bytes after the end of the credentials")]
    Trailing(usize),
    /// There are more proofs than a node may have keys.
    #[error("{0} proofs received, {MAX_PROOFS} allowed")]
    TooMany(usize),
}

impl Credentials {
    /// Encodes them with their length in front (4 bytes, big-endian), as any frame of the control stream.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        let mut frame = postcard::to_extend(self, vec![0; 4]).expect("our own credentials encode");
        let length = u32::try_from(frame.len() - 4).expect("a frame is far under 4 GiB");
        frame[..4].copy_from_slice(&length.to_be_bytes());
        frame
    }

    /// Decodes the body of a frame, and checks every limit.
    ///
    /// # Errors
    /// If the bytes are no credentials, or exceed a limit.
    pub fn from_body(body: &[u8]) -> Result<Self, CredentialsError> {
        let (credentials, rest) = postcard::take_from_bytes::<Self>(body)?;
        if !rest.is_empty() {
            return Err(CredentialsError::Trailing(rest.len()));
        }
        if credentials.proofs.len() > MAX_PROOFS {
            return Err(CredentialsError::TooMany(credentials.proofs.len()));
        }
        Ok(credentials)
    }
}
