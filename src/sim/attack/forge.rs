//! Records that an attacker signs: of identities that it owns, and of its own node, with other content than its core's.

use std::sync::Arc;

use super::Kind;
use crate::figures::{FiguresBody, LinkFigures, dialed};
use crate::record::{
    Body, Direction, LinkState, MAX_LINKS, PublishedAddr, Record, ShortRun, Signer as _,
};
use crate::sim::key::Key;
use crate::sim::places::NETWORK;
use crate::wire::{NodeId, ShortId};

/// The run id of all identities of attackers.
pub(super) const RUN: u64 = 7 << 48;
/// How far the sequence numbers of forged records of the attacker's own node are above those of its core: more than any run signs.
const LEAP: u32 = 1_000_000;
/// How many invented nodes the attacker itself lists. A record has room for 320 links, and the node's own are among them.
pub(super) const ROOTS: usize = 64;
/// How many invented nodes each invented node lists beside the one before it.
const BRANCHES: usize = 8;
/// The round-trip times of a liar, in µs, and the code for ten seconds in figures.
const RTTS_US: [u32; 2] = [1, 9_000_000];
const LONGEST_CODE: u8 = 255;
/// Its losses, in 1/250.
const LOSS: u8 = 240;

/// What identities say of themselves.
pub(super) struct Mold {
    pub(super) epoch: u64,
    pub(super) seq: u32,
    pub(super) addrs: Vec<PublishedAddr>,
    /// How many more links they list that no other end lists.
    pub(super) junk: usize,
}

/// A link to a node, as an identity or the attacker lists it.
pub(super) fn link_to(peer: &NodeId, run_id: u64, direction: Direction) -> LinkState {
    LinkState {
        peer: peer.abbreviated(),
        run: ShortRun::of(run_id),
        direction,
        rtt_us: 20_000,
        rtt_age_s: 0,
        loss: 0,
        suspect: false,
    }
}

/// The record of one invented node. All of them form a tree below the attacker: each lists the one above it, and those below it.
pub(super) fn invented(keys: &[Arc<Key>], at: usize, own: &Record, mold: &Mold) -> Arc<Record> {
    let above = match at.checked_sub(ROOTS) {
        None => link_to(&own.id(), own.body().run_id, Direction::Listener),
        Some(below) => link_to(&keys[below / BRANCHES].node_id(), RUN, Direction::Listener),
    };
    let first = ROOTS + at * BRANCHES;
    let below = keys.iter().skip(first).take(BRANCHES);
    let below = below.map(|key| link_to(&key.node_id(), RUN, Direction::Dialer));
    sign(&keys[at], at, mold, below.chain([above]).collect())
}

/// The record of an identity with these links.
pub(super) fn sign(
    key: &Key,
    number: usize,
    mold: &Mold,
    mut links: Vec<LinkState>,
) -> Arc<Record> {
    let nobody = |at: usize| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        id[8..16].copy_from_slice(&(at as u64 + 1).to_be_bytes());
        link_to(&NodeId(id), RUN, Direction::Dialer)
    };
    let room = MAX_LINKS.saturating_sub(links.len());
    links.extend((0..mold.junk.min(room)).map(nobody));
    let body = Body {
        id: key.node_id(),
        label: format!("invented {number}").into(),
        run_id: RUN,
        epoch: mold.epoch,
        seq: mold.seq,
        uptime_s: 1,
        addrs: mold.addrs.clone(),
        links: in_order(links, &key.node_id().abbreviated()),
        leaving: false,
        certificate: None,
    };
    Record::sign(body, NETWORK, key)
}

/// What the attacker changes in its own record.
pub(super) struct Lie<'a> {
    pub(super) kind: Kind,
    pub(super) identities: &'a [Arc<Key>],
    /// Links that it lists although it may have lost them.
    pub(super) haunted: &'a [LinkState],
}

/// The attacker's own record, newer than all that its core signs, as it shows it to one half of its neighbours (`face` 0) or to the other.
pub(super) fn own(
    (own, key): (&Record, &Key),
    lie: Lie<'_>,
    generation: u32,
    face: usize,
) -> Arc<Record> {
    let mut body = own.body().clone();
    body.seq = body.seq.saturating_add(LEAP).saturating_add(generation);
    let is_odd = generation % 2 == 1;
    match lie.kind {
        Kind::Haunt => {
            // Those that it has come first: they may be to newer runs.
            body.links.extend_from_slice(lie.haunted);
            body.links = in_order(body.links, &own.id().abbreviated());
        }
        Kind::Suspect => {
            for link in &mut body.links {
                link.suspect = is_odd;
            }
        }
        Kind::Figures => {
            for link in &mut body.links {
                link.rtt_us = RTTS_US[usize::from(is_odd)];
                link.rtt_age_s = 0;
                link.loss = LOSS;
            }
        }
        Kind::Epoch => body.epoch = u64::MAX,
        Kind::Twoface => {
            body.label = format!("face {face}").into();
            // Each face lists every other link.
            let mut at = 0;
            body.links.retain(|_| {
                at += 1;
                at % 2 == face
            });
        }
        kind if kind.invents() => {
            let listed = lie.identities.iter().take(ROOTS);
            let listed = listed.map(|key| link_to(&key.node_id(), RUN, Direction::Dialer));
            body.links.extend(listed);
            body.links = in_order(body.links, &own.id().abbreviated());
        }
        _ => {}
    }
    Record::sign(body, NETWORK, key)
}

/// False figures for the links of a record, which the same key signed.
pub(super) fn figures(record: &Record, key: &Key, count: u32) -> Arc<LinkFigures> {
    let body = record.body();
    let links = dialed(body).count();
    let figures = FiguresBody {
        id: record.id().abbreviated(),
        epoch: body.epoch,
        seq: body.seq,
        count,
        every_s: 1,
        rtts: vec![LONGEST_CODE; links],
        losses: vec![LOSS; links],
    };
    LinkFigures::sign(figures, NETWORK, key)
}

/// Links in the order that a record must have.
fn in_order(mut links: Vec<LinkState>, me: &ShortId) -> Vec<LinkState> {
    links.retain(|link| link.peer != *me);
    links.sort_by_key(|link| link.peer);
    links.dedup_by_key(|link| link.peer);
    links.truncate(MAX_LINKS);
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_nodes_are_within_all_limits_and_list_each_other_up_to_the_attacker() {
        let keys: Vec<Arc<Key>> = (0..700).map(|at| Arc::new(Key::new(at))).collect();
        let key = Key::new(1000);
        let mold = |junk| Mold {
            epoch: 5,
            seq: 1,
            addrs: Vec::new(),
            junk,
        };
        let core = sign(&key, 0, &mold(0), Vec::new());
        let lie = Lie {
            kind: Kind::Sybil,
            identities: &keys,
            haunted: &[],
        };
        let own = own((&core, &key), lie, 0, 0);
        assert!(own.version() > core.version());
        let all: Vec<Arc<Record>> = (0..keys.len())
            .map(|at| invented(&keys, at, &own, &mold(0)))
            .collect();
        for (at, record) in all.iter().enumerate() {
            let above = at.checked_sub(ROOTS).map(|below| &all[below / BRANCHES]);
            let above = above.unwrap_or(&own);
            assert!(record.lists(above) && above.lists(record), "{at}");
        }
        for record in all
            .iter()
            .chain([&own, &invented(&keys, 9, &own, &mold(MAX_LINKS))])
        {
            let bytes = postcard::to_stdvec(&**record).unwrap();
            let read: Record = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(read.verify(NETWORK), Ok(()));
        }
    }
}
