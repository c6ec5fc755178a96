//! Peers whose connections were closed for what they did, and how long they are kept out.
//!
//! Without this, a peer over a limit would dial again at once, and its rate limiters would be full again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::membership::Time;
use crate::wire::{CloseCode, NodeId};

/// The most peers that are kept out at a time. A hostile host can have any number of keys, and the transport limits how fast they join; the
/// oldest penalty gives way. Halved or doubled: 10 kB.
const MOST: usize = 256;
/// How long a peer is kept out the first time. An honest peer that exceeded a limit by bad luck is back after that. Halved: a peer that
/// exceeds its limits each time costs twice as much at first. Doubled: an honest one is away twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// The longest time; it doubles with each violation. Halved: a peer that never gives up costs twice as much. Doubled: half.
const LONGEST: Duration = Duration::from_secs(300);
/// A peer that kept within the limits for so long after a penalty begins anew. It must exceed [`LONGEST`], so that a peer can't wait it out.
const FORGIVEN: Duration = Duration::from_secs(900);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Penalties {
    /// Until when each peer is kept out, and for how long it was the last time.
    peers: BTreeMap<NodeId, (Time, Duration)>,
}

impl Penalties {
    /// A connection was closed for that reason.
    pub(super) fn note(&mut self, now: Time, peer: NodeId, code: CloseCode) {
        if !matches!(code, CloseCode::Limit | CloseCode::Protocol) {
            return;
        }
        self.peers.retain(|_, (until, _)| *until + FORGIVEN > now);
        let before = self.peers.get(&peer);
        let wait = before.map_or(FIRST, |(_, wait)| (*wait * 2).min(LONGEST));
        if before.is_none() && self.peers.len() >= MOST {
            let first = self.peers.iter().min_by_key(|(_, (until, _))| *until);
            if let Some(first) = first.map(|(id, _)| *id) {
                self.peers.remove(&first);
            }
        }
        self.peers.insert(peer, (now + wait, wait));
    }

    /// For how much longer a peer is kept out.
    pub(super) fn left(&self, now: Time, peer: &NodeId) -> Option<Duration> {
        let (until, _) = self.peers.get(peer)?;
        let left = until.saturating_sub(now);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::testing::node;

    fn s(s: u64) -> Time {
        Duration::from_secs(s)
    }

    #[test]
    fn a_peer_is_kept_out_for_twice_as_long_each_time() {
        let (mut penalties, peer) = (Penalties::default(), node(1));
        let mut now = s(100);
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            penalties.note(now, peer, CloseCode::Limit);
            assert_eq!(penalties.left(now, &peer), Some(s(wait)));
            now += s(wait);
            assert_eq!(penalties.left(now, &peer), None);
        }
        penalties.note(now + FORGIVEN, peer, CloseCode::Protocol);
        assert_eq!(penalties.left(now + FORGIVEN, &peer), Some(FIRST));
    }

    #[test]
    fn what_is_no_violation_has_no_penalty() {
        let mut penalties = Penalties::default();
        for code in [CloseCode::Down, CloseCode::Stalled, CloseCode::Superfluous] {
            penalties.note(s(1), node(1), code);
        }
        assert_eq!(penalties.left(s(1), &node(1)), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut penalties = Penalties::default();
        for number in 0..2000_u32 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            penalties.note(s(u64::from(number)), NodeId(id), CloseCode::Limit);
            assert!(penalties.peers.len() <= MOST);
        }
    }
}
