//! The beacon: what a node says to everybody on its links.
//!
//! | bytes | content |
//! | --- | --- |
//! | 4 | `anb1` |
//! | 8 | the first bytes of SHA-256 of `area-net beacon v1`, a zero byte, the protocol's version in 4 bytes, and the network's name |
//! | 32 | the node's id |
//! | 1 | flags: bit 0, the node reaches no other node |
//! | 2 | the port at which it listens; it listens at the address from which the beacon comes |
//! | 64 | the Ed25519 signature of all bytes before |
//!
//! Numbers are big-endian. The name itself can't be read from a beacon, but a name that is guessed can be checked with it.

use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::record::Signer;
use crate::wire::{NodeId, PROTOCOL_VERSION};

/// The first bytes of every beacon, with the version of the format.
const MAGIC: [u8; 4] = *b"anb1";
const ALONE: u8 = 1;
/// The number of bytes that are signed.
const SIGNED: usize = 4 + 8 + 32 + 1 + 2;
/// The size of a beacon in bytes.
pub const SIZE: usize = SIGNED + 64;
/// The lowest port that is dialed because of a beacon. Ports below are for services that the system started, and a forged
/// beacon must not send packets to them.
const LOWEST_PORT: u16 = 1024;

/// Makes the beacons of one node.
#[derive(Debug, Clone)]
pub struct Beacon {
    /// The beacon of a node that reaches others, and that of one that is alone.
    both: [[u8; SIZE]; 2],
}

/// What a beacon says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The node that sent it.
    pub id: NodeId,
    /// The port at which it listens.
    pub port: u16,
    /// It reaches no other node.
    pub alone: bool,
}

impl Beacon {
    /// The beacons of a node that listens at this port.
    #[must_use]
    pub fn new(network: &str, signer: &dyn Signer, port: u16) -> Self {
        let make = |flags: u8| {
            let mut bytes = Vec::with_capacity(SIZE);
            bytes.extend_from_slice(&MAGIC);
            bytes.extend_from_slice(&tag(network));
            bytes.extend_from_slice(&signer.node_id().0);
            bytes.push(flags);
            bytes.extend_from_slice(&port.to_be_bytes());
            let signature = signer.sign(&bytes);
            bytes.extend_from_slice(&signature);
            bytes.try_into().expect("the parts have these sizes")
        };
        Self {
            both: [make(0), make(ALONE)],
        }
    }

    /// The bytes to send.
    #[must_use]
    pub fn bytes(&self, alone: bool) -> &[u8; SIZE] {
        &self.both[usize::from(alone)]
    }
}

/// Marks the beacons of a network, without its name.
#[must_use]
pub fn tag(network: &str) -> [u8; 8] {
    let mut text = b"area-net beacon v1\0".to_vec();
    text.extend_from_slice(&PROTOCOL_VERSION.to_be_bytes());
    text.extend_from_slice(network.as_bytes());
    let hash = digest(&SHA256, &text);
    *hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

impl Heard {
    /// Reads a beacon of the network with this tag. The signature isn't verified yet: see [`is_signed`]. `None`: it is none, or of
    /// another network.
    #[must_use]
    pub fn read(bytes: &[u8], tag: [u8; 8]) -> Option<Self> {
        let bytes: &[u8; SIZE] = bytes.try_into().ok()?;
        let rest = bytes.strip_prefix(&MAGIC)?.strip_prefix(&tag)?;
        let (id, rest) = rest.split_first_chunk::<32>()?;
        let (&[flags, high, low], _) = rest.split_first_chunk::<3>()?;
        let port = u16::from_be_bytes([high, low]);
        (port >= LOWEST_PORT && flags & !ALONE == 0).then_some(Self {
            id: NodeId(*id),
            port,
            alone: flags & ALONE != 0,
        })
    }
}

/// Whether the beacon was signed with the key that its id is.
#[must_use]
pub fn is_signed(bytes: &[u8], heard: &Heard) -> bool {
    let key = UnparsedPublicKey::new(&ED25519, heard.id.0);
    bytes.len() == SIZE && key.verify(&bytes[..SIGNED], &bytes[SIGNED..]).is_ok()
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    struct Key(Ed25519KeyPair);

    impl Signer for Key {
        fn node_id(&self) -> NodeId {
            NodeId(self.0.public_key().as_ref().try_into().unwrap())
        }

        fn sign(&self, message: &[u8]) -> [u8; 64] {
            self.0.sign(message).as_ref().try_into().unwrap()
        }
    }

    fn key() -> Key {
        Key(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap())
    }

    #[test]
    fn a_beacon_is_heard_in_its_network_alone() {
        let beacon = Beacon::new("blue", &key(), 8083);
        for alone in [false, true] {
            let bytes = beacon.bytes(alone);
            let heard = Heard::read(bytes, tag("blue")).unwrap();
            let id = key().node_id();
            assert_eq!(
                heard,
                Heard {
                    id,
                    port: 8083,
                    alone
                }
            );
            assert!(is_signed(bytes, &heard));
            assert_eq!(Heard::read(bytes, tag("red")), None);
        }
        let privileged = Beacon::new("blue", &key(), 443);
        assert_eq!(Heard::read(privileged.bytes(false), tag("blue")), None);
    }

    #[test]
    fn the_format_stays() {
        let bytes = *Beacon::new("area-net", &key(), 8083).bytes(true);
        assert_eq!(bytes.len(), 111);
        assert_eq!(bytes[..4], *b"anb1");
        assert_eq!(bytes[12..44], key().node_id().0);
        assert_eq!(bytes[44..47], [1, 0x1f, 0x93]);
    }

    #[test]
    fn a_changed_beacon_is_refused() {
        let bytes = *Beacon::new("blue", &key(), 8083).bytes(false);
        for at in 0..SIZE {
            let mut changed = bytes;
            changed[at] ^= 1;
            let heard = Heard::read(&changed, tag("blue"));
            assert!(
                heard.is_none_or(|heard| !is_signed(&changed, &heard)),
                "byte {at}"
            );
        }
        assert_eq!(Heard::read(&bytes[..SIZE - 1], tag("blue")), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Heard::read(&bytes, tag("blue"));
        }
    }
}
