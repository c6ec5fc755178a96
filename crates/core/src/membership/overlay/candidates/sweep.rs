//! The search for a network of which most is missing: everything is tried once before anything is tried twice.
//!
//! The nodes of a part divide the work without messages. All of them know who is in the part, and remember about the same nodes.
//! So each begins at a place of its own in the list of those that are missing, and goes on in the order of the ids. A node that
//! is alone begins behind its own id, and others begin elsewhere.

use std::net::SocketAddr;
use std::ops::Bound;

use super::Candidates;
use crate::membership::interface::{Candidate, Remembered};
use crate::wire::NodeId;

/// A node's share of its part's search.
#[derive(Debug, Clone, Copy)]
pub(in crate::membership::overlay) struct Share {
    /// The lowest id in the part.
    first: NodeId,
    /// How many nodes of the part have lower ids than this one.
    rank: usize,
    /// How many nodes the part has.
    nodes: usize,
}

impl Share {
    /// The share of `me`, where `up` are the nodes of its part.
    pub(in crate::membership::overlay) fn of(me: NodeId, up: impl Iterator<Item = NodeId>) -> Self {
        let mut share = Self {
            first: me,
            rank: 0,
            nodes: 1,
        };
        for id in up.filter(|id| *id != me) {
            share.first = share.first.min(id);
            share.rank += usize::from(id < me);
            share.nodes += 1;
        }
        share
    }

    /// Where this node begins in a list of so many.
    fn begins(&self, len: usize) -> usize {
        self.rank * len / self.nodes
    }
}

impl Candidates {
    /// Whether some candidate was never tried, or not since it was last seen.
    pub(in crate::membership::overlay) fn has_fresh(
        &self,
        missing: impl Fn(Option<NodeId>, SocketAddr) -> bool,
    ) -> bool {
        let mut targets = self.targets.iter();
        let mut nodes = self.nodes.iter();
        targets.any(|one| one.tries == 0 && missing(one.id, one.addr))
            || nodes.any(|(id, node)| {
                let first = node.addrs.first();
                let is_fresh = !node.left && node.failures == 0;
                is_fresh && first.is_some_and(|&addr| missing(Some(*id), addr))
            })
    }

    /// The missing candidate that failed least: a target, or else the next node of this node's share.
    pub(super) fn next_missing(
        &self,
        share: Share,
        missing: impl Fn(Option<NodeId>, SocketAddr) -> bool,
    ) -> Option<Candidate> {
        let targets = self.targets.iter();
        let targets = targets.filter(|target| missing(target.id, target.addr));
        let target = targets.min_by_key(|target| target.tries);
        let node = self.next_node(share, missing);
        match (target, node) {
            (Some(target), node) if node.is_none_or(|(failures, _)| target.tries <= failures) => {
                Some(Candidate {
                    id: None,
                    addr: target.addr,
                })
            }
            (_, node) => node.map(|(_, candidate)| candidate),
        }
    }

    /// The next node of this node's share, with its failures. The list includes the nodes that are being dialed, so that the
    /// place where this node begins stays the same.
    fn next_node(
        &self,
        share: Share,
        missing: impl Fn(Option<NodeId>, SocketAddr) -> bool,
    ) -> Option<(u32, Candidate)> {
        let behind = (Bound::Excluded(share.first), Bound::Unbounded);
        let nodes = self.nodes.range(behind);
        let nodes = nodes.chain(self.nodes.range(..share.first));
        let listed: Vec<(&NodeId, &Remembered)> = nodes.filter(|(_, node)| !node.left).collect();
        let (before, after) = listed.split_at(share.begins(listed.len()));
        let in_turn = after.iter().chain(before);
        let sought = in_turn.filter_map(|(id, node)| {
            let addr = *node.addrs.first()?;
            let id = Some(**id);
            missing(id, addr).then_some((node.failures, Candidate { id, addr }))
        });
        sought.min_by_key(|(failures, _)| *failures)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::membership::Time;

    fn id(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    fn addr(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn candidates(targets: &[SocketAddr], remembered: impl Iterator<Item = u8>) -> Candidates {
        let known = |number: u8| {
            let node = Remembered::new(vec![addr(number.into())], 1, false);
            (id(number), node)
        };
        Candidates::new(targets, remembered.map(known).collect(), Arc::default())
    }

    /// The numbers that a node tries, in turn, if all dials fail.
    fn tries(me: u8, part: &[u8], count: usize) -> Vec<u8> {
        let share = Share::of(id(me), part.iter().copied().map(id));
        let others = (0..=99).filter(|number| !part.contains(number));
        let mut candidates = candidates(&[], others);
        let next = |_| {
            let next = candidates.next_missing(share, |_, _| true).unwrap();
            candidates.failed(next, Time::ZERO, false);
            next.id.unwrap().0[0]
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_node_alone_tries_all_from_its_own_id_on() {
        let mut tried = tries(60, &[60], 99);
        assert_eq!((tried[0], tried[98]), (61, 59));
        tried.sort_unstable();
        tried.dedup();
        assert_eq!(tried.len(), 99, "each of them once");
    }

    #[test]
    fn a_part_tries_all_once_between_its_nodes() {
        let part = [3, 20, 21, 22, 70];
        let mut times: BTreeMap<u8, u32> = BTreeMap::new();
        for me in part {
            for number in tries(me, &part, 19) {
                *times.entry(number).or_default() += 1;
            }
        }
        assert_eq!(times.len(), 95);
        assert!(times.values().all(|times| *times == 1), "{times:?}");
    }

    #[test]
    fn what_failed_least_comes_first_and_targets_before_nodes() {
        let mut candidates = candidates(&[addr(1000), addr(1001)], 1..=2);
        let share = Share::of(id(0), std::iter::empty());
        let mut tried = Vec::new();
        assert!(candidates.has_fresh(|_, _| true));
        for _ in 0..8 {
            let next = candidates.next_missing(share, |_, _| true).unwrap();
            candidates.failed(next, Time::ZERO, false);
            tried.push(next.addr.port());
        }
        assert_eq!(tried, [1000, 1001, 1, 2, 1000, 1001, 1, 2]);
        assert!(!candidates.has_fresh(|_, _| true));
        // A node that was seen again counts as fresh.
        candidates.learn(id(1), &[addr(1)], 2, false);
        assert!(candidates.has_fresh(|_, _| true));
        assert!(!candidates.has_fresh(|id, _| id.is_none()));
    }
}
