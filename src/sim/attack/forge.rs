//! Records that an attacker signs: of identities that it owns, and of its own node, with other content than its core's.

use std::sync::Arc;

use crate::record::{Body, Direction, LinkState, PublishedAddr, Record, ShortRun, Signer as _};
use crate::sim::key::Key;
use crate::sim::places::NETWORK;
use crate::wire::{NodeId, ShortId};

/// The run id of all invented nodes.
const RUN: u64 = 7 << 48;
/// How far the sequence numbers of forged records of the attacker's own node are above those of its core: more than any run signs.
const LEAP: u32 = 1_000_000;
/// How many invented nodes the attacker itself lists. A record has room for 320 links, and the node's own are among them.
pub(super) const ROOTS: usize = 64;
/// How many invented nodes each invented node lists beside the one before it.
const BRANCHES: usize = 8;

/// What all invented nodes say of themselves.
pub(super) struct Mold {
    pub(super) epoch: u64,
    pub(super) seq: u32,
    pub(super) addrs: Vec<PublishedAddr>,
}

/// A link to a node, as an invented node or the attacker lists it.
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

/// The links of the attacker to the invented nodes that it lists.
pub(super) fn roots(keys: &[Arc<Key>]) -> Vec<LinkState> {
    let listed = keys.iter().take(ROOTS);
    listed
        .map(|key| link_to(&key.node_id(), RUN, Direction::Dialer))
        .collect()
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
pub(super) fn sign(key: &Key, number: usize, mold: &Mold, links: Vec<LinkState>) -> Arc<Record> {
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
    };
    Record::sign(body, NETWORK, key)
}

/// The attacker's own record, newer than all that its core signs, with further links; `change` is applied to it.
pub(super) fn own(
    own: &Record,
    key: &Key,
    generation: u32,
    more: &[LinkState],
    change: impl FnOnce(&mut Body),
) -> Arc<Record> {
    let mut body = own.body().clone();
    body.seq = body.seq.saturating_add(LEAP).saturating_add(generation);
    body.links.extend_from_slice(more);
    body.links = in_order(body.links, &own.id().abbreviated());
    change(&mut body);
    Record::sign(body, NETWORK, key)
}

/// Links in the order that a record must have.
fn in_order(mut links: Vec<LinkState>, me: &ShortId) -> Vec<LinkState> {
    links.retain(|link| link.peer != *me);
    links.sort_by_key(|link| link.peer);
    links.dedup_by_key(|link| link.peer);
    links
}
