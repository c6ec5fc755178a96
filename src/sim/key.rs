//! Keys of simulated nodes: real Ed25519 keys, derived from a number. The certificate is made only if a real handshake needs it.

use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::identity::Identity;
use crate::record::Signer;
use crate::wire::NodeId;

/// The key of a simulated node.
pub(super) struct Key {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
    id: NodeId,
}

impl Key {
    /// The key of a number.
    pub(super) fn new(number: u64) -> Self {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes are a seed");
        let id = pair.public_key().as_ref();
        let id = NodeId(id.try_into().expect("an Ed25519 key has 32 bytes"));
        Self { seed, pair, id }
    }

    /// The same key with the certificate for a real handshake.
    pub(super) fn identity(&self) -> Identity {
        Identity::from_seed(&self.seed)
    }
}

impl Signer for Key {
    fn node_id(&self) -> NodeId {
        self.id
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.pair.sign(message);
        let bytes = signature.as_ref();
        bytes.try_into().expect("an Ed25519 signature has 64 bytes")
    }
}
