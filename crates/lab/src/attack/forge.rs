//! What an attacker signs: keys that nobody runs, and records that say whatever the attack needs.
//!
//! This is the only place of the lab that builds a record's body, so a new field of the wire format changes one function.

use std::sync::Arc;

use area_net::figures::{FiguresBody, LinkFigures};
use area_net::identity::Identity;
use area_net::record::{Body, Direction, LinkState, PublishedAddr, Record, ShortRun, Signer as _};
use area_net::wire::{Message, NodeId};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::shared::kernel::now_ns;

/// The most bytes of records in one message: near the largest frame of 64 KiB, with room for the largest record and for the lengths.
const MESSAGE_BYTES: usize = 52 * 1024;

/// A key and the run that the attacker pretends to have with it.
pub(crate) struct Persona {
    identity: Identity,
    /// The id of the pretended run.
    pub(crate) run_id: u64,
    epoch: u64,
    seq: u32,
    label: Arc<str>,
}

/// What a record says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Says {
    /// Its addresses.
    pub(crate) addrs: Vec<PublishedAddr>,
    /// Its links, in any order; of two to one peer, the first counts.
    pub(crate) links: Vec<LinkState>,
}

impl Persona {
    /// Draws a new key.
    pub(crate) fn draw(random: &mut ChaCha8Rng, label: &str) -> Self {
        let seed: [u8; 32] = random.random();
        Self {
            identity: Identity::from_seed(&seed),
            run_id: random.random(),
            epoch: now_ns() / 1_000_000,
            seq: 0,
            label: label.into(),
        }
    }

    /// The key with its certificate, for handshakes.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The node id.
    pub(crate) fn id(&self) -> NodeId {
        self.identity.node_id()
    }

    /// Goes on with another label.
    pub(crate) fn rename(&mut self, label: &str) {
        self.label = label.into();
    }

    /// Goes on in another epoch.
    pub(crate) fn jump(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Signs the next record.
    pub(crate) fn sign(&mut self, network: &str, says: Says) -> Arc<Record> {
        self.seq += 1;
        self.sign_as(network, says, self.seq, 0)
    }

    /// Signs a record under the version of the last one, which differs from it in the uptime alone.
    pub(crate) fn sign_again(&mut self, network: &str, says: Says, uptime_s: u32) -> Arc<Record> {
        self.sign_as(network, says, self.seq, uptime_s)
    }

    fn sign_as(&self, network: &str, says: Says, seq: u32, uptime_s: u32) -> Arc<Record> {
        let Says { addrs, mut links } = says;
        links.sort_by_key(|link| link.peer);
        links.dedup_by_key(|link| link.peer);
        let body = Body {
            id: self.id(),
            label: self.label.clone(),
            run_id: self.run_id,
            epoch: self.epoch,
            seq,
            uptime_s,
            addrs,
            links,
            leaving: false,
            certificate: None,
        };
        Record::sign(body, network, &self.identity)
    }

    /// Signs figures of the links that this record of ours lists as dialed.
    pub(crate) fn figures(
        &self,
        network: &str,
        record: &Record,
        count: u32,
        rtt_code: u8,
    ) -> Arc<LinkFigures> {
        let dialed = area_net::figures::dialed(record.body()).count();
        let body = FiguresBody {
            id: self.id().abbreviated(),
            epoch: record.body().epoch,
            seq: record.body().seq,
            count,
            every_s: 1,
            rtts: vec![rtt_code; dialed],
            losses: vec![250; dialed],
        };
        LinkFigures::sign(body, network, &self.identity)
    }

    /// The link to this persona, in the record of another one.
    pub(crate) fn as_peer(&self, direction: Direction) -> LinkState {
        link(&self.id(), self.run_id, direction)
    }
}

/// A link to a node in a record.
pub(crate) fn link(peer: &NodeId, run_id: u64, direction: Direction) -> LinkState {
    LinkState {
        peer: peer.abbreviated(),
        run: ShortRun::of(run_id),
        direction,
        rtt_us: 100,
        rtt_age_s: 0,
        loss: 0,
        suspect: false,
    }
}

/// Frames that carry these records, each as full as it may be; with the number of records in each.
pub(crate) fn frames(records: &[Arc<Record>]) -> Vec<(usize, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut batch: Vec<Arc<Record>> = Vec::new();
    let mut bytes = 0;
    for record in records {
        if bytes + record.encoded_len() > MESSAGE_BYTES && !batch.is_empty() {
            let count = batch.len();
            frames.push((
                count,
                Message::Records(std::mem::take(&mut batch)).to_frame(),
            ));
            bytes = 0;
        }
        bytes += record.encoded_len();
        batch.push(record.clone());
    }
    if !batch.is_empty() {
        frames.push((batch.len(), Message::Records(batch).to_frame()));
    }
    frames
}

#[cfg(test)]
mod tests {
    use area_net::wire::MAX_FRAME;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn honest_nodes_take_what_a_persona_signs() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut one = Persona::draw(&mut random, "one");
        let other = Persona::draw(&mut random, "other");
        let says = Says {
            links: vec![
                other.as_peer(Direction::Dialer),
                other.as_peer(Direction::Listener),
            ],
            ..Says::default()
        };
        let record = one.sign("net", says.clone());
        let [(1, frame)] = &frames(std::slice::from_ref(&record))[..] else {
            panic!("one record is one frame");
        };
        let Ok(Message::Records(read)) = Message::from_body(&frame[4..]) else {
            panic!("not a message of records");
        };
        assert!(read[0].verify("net").is_ok());
        assert_eq!(
            read[0].body().links.len(),
            1,
            "two links to one peer are one"
        );
        let again = one.sign_again("net", says, 7);
        assert_eq!(again.body().seq, record.body().seq);
        assert_ne!(again, record);
    }

    #[test]
    fn full_messages_stay_within_the_largest_frame() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut one = Persona::draw(&mut random, &"x".repeat(128));
        let records: Vec<_> = (0..1000)
            .map(|_| one.sign("net", Says::default()))
            .collect();
        let frames = frames(&records);
        let count: usize = frames.iter().map(|(count, _)| count).sum();
        assert_eq!(count, records.len());
        assert!(frames.len() > 1);
        assert!(frames.iter().all(|(_, frame)| frame.len() - 4 <= MAX_FRAME));
    }
}
