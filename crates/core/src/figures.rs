//! The figures message: the round-trip times and losses of the links that a node dialed, quantised and signed.
//!
//! Figures change all the time and links rarely do. So a node's record tells its links, and figures messages tell only what is measured
//! on them: a byte or two a link, in place of the record's forty. A figures message belongs to one version of its node's record: its
//! figures stand in the order of the links that this record lists as dialed. `docs/protocol.md`, section 6.7, specifies the bytes.

use std::fmt;
use std::sync::{Arc, OnceLock};

use ed25519_zebra::{Signature, VerificationKey};
use rand::CryptoRng;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{NodeId, ShortId};
use crate::record::{Body, Direction, LinkState, MAX_LINKS, Signer, are_all_good, message};

/// What is signed besides the figures: it keeps the signature from being used for anything else.
const CONTEXT: &[u8] = b"area-net figures v1";
/// The largest figures message in bytes, with its signature: two bytes a link, and the other fields.
pub const MAX_FIGURES: usize = 64 + 64 + 2 * MAX_LINKS;

/// The round-trip time that code 1 stands for, in µs.
const SCALE_FROM_US: u64 = 10;
/// The ratio of two neighbouring codes, as a fraction of 2^32: ten to the power of 6/254. So code 255 stands for 10 s.
const SCALE_RATIO: u64 = 4_535_048_213;

/// The round-trip time in µs that each code stands for.
const SCALE_US: [u32; 256] = {
    let mut scale = [0; 256];
    // In 2^-16 µs.
    let mut value = SCALE_FROM_US << 16;
    let mut code = 1;
    while code < scale.len() {
        scale[code] = (value >> 16) as u32;
        value = ((value as u128 * SCALE_RATIO as u128) >> 32) as u64;
        code += 1;
    }
    scale
};

/// The code that is nearest to a round-trip time: 0 for an unknown one (0), else 1 to 255.
#[must_use]
pub fn code_of_us(us: u32) -> u8 {
    if us == 0 {
        return 0;
    }
    let above = SCALE_US[1..].partition_point(|value| *value < us) + 1;
    let code = match above {
        1 => 1,
        256 => 255,
        above if SCALE_US[above] - us < us - SCALE_US[above - 1] => above,
        above => above - 1,
    };
    u8::try_from(code).expect("a code is at most 255")
}

/// The round-trip time in µs that a code stands for; 0 is unknown.
#[must_use]
pub fn us_of_code(code: u8) -> u32 {
    SCALE_US[usize::from(code)]
}

/// The signed part of a figures message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiguresBody {
    /// The node that measured.
    pub id: ShortId,
    /// The epoch of the record whose links these are.
    pub epoch: u64,
    /// The sequence number of that record.
    pub seq: u32,
    /// Counts the figures messages of the node's run.
    pub count: u32,
    /// The time in s until the node's next figures message, at the most.
    pub every_s: u16,
    /// The round-trip time of each link that the record lists as dialed, in their order, as a code.
    pub rtts: Vec<u8>,
    /// The loss of each of these links, in 1/250; empty if none of them loses anything.
    pub losses: Vec<u8>,
}

impl FiguresBody {
    /// Orders the figures messages of one node by age.
    #[must_use]
    pub fn order(&self) -> (u64, u32, u32) {
        (self.epoch, self.seq, self.count)
    }

    /// Whether these are figures of the links in that record.
    #[must_use]
    pub fn belongs_to(&self, record: &Body) -> bool {
        (self.epoch, self.seq) == (record.epoch, record.seq)
            && self.rtts.len() == dialed(record).count()
    }
}

/// The links that a record lists as dialed by its node, in their order.
pub fn dialed(record: &Body) -> impl Iterator<Item = &LinkState> {
    let links = record.links.iter();
    links.filter(|link| link.direction == Direction::Dialer)
}

/// A figures message as it travels: signed bytes, their signature, and the body they decode to.
pub struct LinkFigures {
    body: FiguresBody,
    signed: Vec<u8>,
    signature: [u8; 64],
    /// The verdict on the signature, for the network and key it was first asked for.
    verdict: OnceLock<bool>,
}

/// Figures that are not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FiguresError {
    /// The message has more than [`MAX_FIGURES`] bytes, or more figures than a record may have links.
    #[error("figures message of {0} bytes: at most {MAX_FIGURES} allowed")]
    TooLarge(usize),
    /// The bytes are no encoded body, or there are bytes behind its end.
    #[error("undecodable figures message")]
    Undecodable,
    /// There are losses, but not one for each round-trip time.
    #[error("figures message with {losses} losses for {rtts} round-trip times")]
    Uneven {
        /// The number of round-trip times.
        rtts: usize,
        /// The number of losses.
        losses: usize,
    },
    /// The signature was not made with the node's key for this network.
    #[error("figures message of {0:?} with a forged signature")]
    Forged(NodeId),
}

impl LinkFigures {
    /// Signs figures. `network` is the network's name: the signature is not valid in another network.
    #[must_use]
    pub fn sign(body: FiguresBody, network: &str, signer: &dyn Signer) -> Arc<Self> {
        let signed = postcard::to_stdvec(&body).expect("our own body encodes");
        let signature = signer.sign(&message(CONTEXT, network, &signed));
        Arc::new(Self {
            body,
            signed,
            signature,
            verdict: OnceLock::from(true),
        })
    }

    /// The figures.
    #[must_use]
    pub fn body(&self) -> &FiguresBody {
        &self.body
    }

    /// The number of bytes that the figures take in a message.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let signed = self.signed.len();
        signed + self.signature.len() + if signed < 128 { 2 } else { 3 }
    }

    /// Verifies the signature with the node's key, once; later calls repeat the verdict. The rules are those of `Record::verify`.
    ///
    /// # Errors
    /// [`FiguresError::Forged`] if the signature was not made with that key for this network.
    pub fn verify(&self, id: NodeId, network: &str) -> Result<(), FiguresError> {
        let good = *self.verdict.get_or_init(|| {
            let signature = Signature::from(self.signature);
            let signed = message(CONTEXT, network, &self.signed);
            VerificationKey::try_from(id.0).is_ok_and(|key| key.verify(&signature, &signed).is_ok())
        });
        // A message that was verified may still be of another node whose id begins alike.
        if good && id.abbreviated() == self.body.id {
            Ok(())
        } else {
            Err(FiguresError::Forged(id))
        }
    }

    /// Verifies the signatures of many messages at once, each with its node's key, at half the cost. `rng` must be unpredictable to
    /// the signers. [`Self::verify`] then returns the verdict on each.
    pub fn verify_all(figures: &[(&Self, NodeId)], network: &str, rng: impl CryptoRng) {
        let fresh = figures
            .iter()
            .filter(|(one, _)| one.verdict.get().is_none());
        let fresh: Vec<&(&Self, NodeId)> = fresh.collect();
        let signed = fresh
            .iter()
            .map(|(one, id)| (*id, CONTEXT, &*one.signed, one.signature));
        if are_all_good(signed, network, rng) {
            for (one, _) in fresh {
                one.verdict.get_or_init(|| true);
            }
        }
    }

    /// Decodes figures and checks everything except the signature.
    ///
    /// # Errors
    /// If the bytes are no figures message, or one that exceeds a limit.
    pub fn from_parts(signed: Vec<u8>, signature: [u8; 64]) -> Result<Arc<Self>, FiguresError> {
        let size = signed.len() + signature.len();
        if size > MAX_FIGURES {
            return Err(FiguresError::TooLarge(size));
        }
        let (body, rest) = postcard::take_from_bytes::<FiguresBody>(&signed)
            .map_err(|_| FiguresError::Undecodable)?;
        if !rest.is_empty() {
            return Err(FiguresError::Undecodable);
        }
        let (rtts, losses) = (body.rtts.len(), body.losses.len());
        if rtts > MAX_LINKS {
            return Err(FiguresError::TooLarge(size));
        }
        if losses != 0 && losses != rtts {
            return Err(FiguresError::Uneven { rtts, losses });
        }
        Ok(Arc::new(Self {
            body,
            signed,
            signature,
            verdict: OnceLock::new(),
        }))
    }
}

/// Shows the body alone: the verdict depends on who used the message before.
impl fmt::Debug for LinkFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LinkFigures").field(&self.body).finish()
    }
}

impl PartialEq for LinkFigures {
    fn eq(&self, other: &Self) -> bool {
        self.signed == other.signed && self.signature == other.signature
    }
}

impl Serialize for LinkFigures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.signed, &self.signature[..]).serialize(serializer)
    }
}

/// Decodes through every check of [`LinkFigures::from_parts`].
impl<'de> Deserialize<'de> for LinkFigures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (signed, signature) = <(&[u8], &[u8])>::deserialize(deserializer)?;
        let signature = signature
            .try_into()
            .map_err(|_| D::Error::custom(FiguresError::Undecodable))?;
        let figures = Self::from_parts(signed.to_vec(), signature).map_err(D::Error::custom)?;
        Ok(Arc::into_inner(figures).expect("just made, and not shared yet"))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_zebra::{SigningKey, VerificationKeyBytes};
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    struct Key(SigningKey);

    impl Signer for Key {
        fn node_id(&self) -> NodeId {
            NodeId(VerificationKeyBytes::from(&self.0).into())
        }

        fn sign(&self, message: &[u8]) -> [u8; 64] {
            self.0.sign(message).into()
        }
    }

    /// Figures as they come from the network, and their node: a good one, or one with a forged signature.
    fn arrived(key: u8, good: bool) -> (Arc<LinkFigures>, NodeId) {
        let key = Key(SigningKey::from([key; 32]));
        let body = FiguresBody {
            id: key.node_id().abbreviated(),
            epoch: 1,
            seq: 2,
            count: 3,
            every_s: 4,
            rtts: vec![5],
            losses: Vec::new(),
        };
        let figures = LinkFigures::sign(body, "net", &key);
        let signature = if good { figures.signature } else { [3; 64] };
        let figures = LinkFigures::from_parts(figures.signed.clone(), signature);
        (figures.expect("within limits"), key.node_id())
    }

    #[test]
    fn figures_verified_together_get_the_verdicts_of_single_ones() {
        for bad in [None, Some(0), Some(4)] {
            let all: Vec<_> = (0..5).map(|key| arrived(key, bad != Some(key))).collect();
            let refs: Vec<_> = all.iter().map(|(one, id)| (&**one, *id)).collect();
            LinkFigures::verify_all(&refs, "net", ChaCha8Rng::seed_from_u64(1));
            for (key, (figures, id)) in (0..).zip(&all) {
                assert_eq!(
                    figures.verdict.get().copied(),
                    bad.is_none().then_some(true)
                );
                assert_eq!(figures.verify(*id, "net").is_ok(), bad != Some(key));
            }
        }
    }

    #[test]
    fn the_scale_goes_from_10_us_to_10_s_in_steps_of_under_6_percent() {
        assert_eq!(us_of_code(0), 0);
        assert_eq!(us_of_code(1), 10);
        assert!((9_990_000..=10_010_000).contains(&us_of_code(255)));
        for code in 20..=254 {
            let ratio = f64::from(us_of_code(code + 1)) / f64::from(us_of_code(code));
            assert!(ratio > 1.02 && ratio < 1.09, "code {code}: {ratio}");
        }
    }

    #[test]
    fn a_code_is_within_3_percent_of_what_it_stands_for() {
        for us in (30..2_000_000).step_by(17) {
            let shown = us_of_code(code_of_us(us));
            let most = us * 3 / 100 + 1;
            assert!(shown.abs_diff(us) <= most, "{us} is shown as {shown}");
        }
        for code in 0..=255 {
            let us = us_of_code(code);
            assert_eq!(
                us_of_code(code_of_us(us)),
                us,
                "each code stands for itself"
            );
        }
        assert_eq!(code_of_us(1), 1);
        assert_eq!(code_of_us(u32::MAX), 255);
    }
}
