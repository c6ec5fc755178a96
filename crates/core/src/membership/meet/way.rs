//! The way of a rendezvous, from the graph that every node has.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Scene;
use crate::membership::links::Link;
use crate::membership::view::{Index, View};
use crate::wire::{NodeId, ShortId};

/// The way to a node over one relay, or over as few as possible, three at most. Of several such ways, the `nth`: each attempt takes
/// another one.
pub(super) fn find(scene: &Scene<'_>, peer: &NodeId, nth: usize) -> Option<Vec<ShortId>> {
    let view = scene.view;
    let to = view.index(&peer.abbreviated())?;
    if !view.get(to)?.up {
        return None;
    }
    let live = scene.links.listed().filter(|link| link.is_live());
    let mut first: Vec<(u32, Index)> = live
        .filter(|link| link.peer() != *peer)
        .filter_map(|link| Some((rank(link), view.index(&link.peer().abbreviated())?)))
        .collect();
    first.sort_unstable();
    let first: Vec<Index> = first.into_iter().map(|(_, index)| index).collect();
    // From the other end: the neighbours of the peer, and one of them for each node behind them.
    let near: BTreeMap<Index, ()> = linked(view, to).map(|index| (index, ())).collect();
    let one = first.iter().filter(|index| near.contains_key(index));
    let one: Vec<Vec<Index>> = one.map(|index| vec![*index]).collect();
    let mut all = one;
    if all.is_empty() {
        for a in &first {
            let next = linked(view, *a).find(|b| *b != view.me() && near.contains_key(b));
            all.extend(next.map(|b| vec![*a, b]));
        }
    }
    if all.is_empty() {
        let mut behind: BTreeMap<Index, Index> = BTreeMap::new();
        for c in near.keys() {
            for b in linked(view, *c).filter(|b| *b != to && *b != view.me()) {
                behind.entry(b).or_insert(*c);
            }
        }
        for a in &first {
            let next = linked(view, *a).find_map(|b| Some((b, *behind.get(&b)?)));
            all.extend(next.map(|(b, c)| vec![*a, b, c]));
        }
    }
    let relays = all.get(nth % all.len().max(1))?;
    let ends = |index: &Index| view.record_at(*index).id().abbreviated();
    let way = [view.me()].into_iter().chain(relays.iter().copied());
    let way: Vec<ShortId> = way.chain([to]).map(|index| ends(&index)).collect();
    let mut sorted = way.clone();
    sorted.sort_unstable();
    sorted.dedup();
    (sorted.len() == way.len()).then_some(way)
}

fn rank(link: &Link) -> u32 {
    link.rtt_us().unwrap_or(u32::MAX)
}

/// The nodes that are up and linked with that one.
fn linked(view: &View, index: Index) -> impl Iterator<Item = Index> {
    let peers = view.mutual_links(index);
    peers.filter(|peer| view.is_up_at(*peer))
}

/// The time for a message along the way and back, by the figures in the records.
pub(super) fn round_trip(scene: &Scene<'_>, way: &[ShortId]) -> Duration {
    let between = |pair: &[ShortId]| {
        let side = |from: &ShortId, to: &ShortId| {
            let entry = scene.view.get(scene.view.index(from)?)?;
            let link = entry.record.link_to(to)?;
            (link.rtt_us > 0).then_some(link.rtt_us)
        };
        side(&pair[0], &pair[1]).or_else(|| side(&pair[1], &pair[0]))
    };
    let hops = way.windows(2).filter_map(between).map(u64::from);
    Duration::from_micros(hops.sum())
}
