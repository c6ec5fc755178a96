//! Peers whose connections were closed for what they did, and how long they are kept out.
//!
//! Without this, a peer over a limit would dial again at once, and its rate limiters would be full again. It could have another key by
//! then, so whoever dials from the address and port at which it proved its key is kept out as well. From other ports it meets the limits of
//! newcomers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::membership::Time;
use crate::wire::{CloseCode, NodeId, plain};

/// The most peers, and the most addresses, that are kept out at a time. A hostile host can have any number of keys and ports, and the
/// transport limits how fast they join; the penalty that ends first gives way. Halved or doubled: 10 kB each.
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
    peers: Terms<NodeId>,
    addrs: Terms<SocketAddr>,
}

impl Penalties {
    /// A connection with a peer that proved its key at that address was closed for that reason.
    pub(super) fn note(&mut self, now: Time, peer: NodeId, remote: SocketAddr, code: CloseCode) {
        if matches!(code, CloseCode::Limit | CloseCode::Protocol) {
            self.peers.note(now, peer);
            self.addrs.note(now, plain(&remote));
        }
    }

    /// For how much longer that peer, or whoever dials from that address, is kept out.
    pub(super) fn left(
        &self,
        now: Time,
        peer: &NodeId,
        caller: Option<SocketAddr>,
    ) -> Option<Duration> {
        let of_addr = caller.and_then(|addr| self.addrs.left(now, &plain(&addr)));
        self.peers.left(now, peer).max(of_addr)
    }
}

/// Until when each is kept out, and for how long it was the last time.
#[derive(Debug)]
struct Terms<K>(BTreeMap<K, (Time, Duration)>);

impl<K> Default for Terms<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Copy> Terms<K> {
    fn note(&mut self, now: Time, who: K) {
        self.0.retain(|_, (until, _)| *until + FORGIVEN > now);
        let before = self.0.get(&who);
        let wait = before.map_or(FIRST, |(_, wait)| (*wait * 2).min(LONGEST));
        if before.is_none() && self.0.len() >= MOST {
            let first = self.0.iter().min_by_key(|(_, (until, _))| *until);
            if let Some(first) = first.map(|(who, _)| *who) {
                self.0.remove(&first);
            }
        }
        self.0.insert(who, (now + wait, wait));
    }

    fn left(&self, now: Time, who: &K) -> Option<Duration> {
        let (until, _) = self.0.get(who)?;
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

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_peer_is_kept_out_for_twice_as_long_each_time() {
        let (mut penalties, peer) = (Penalties::default(), node(1));
        let mut now = s(100);
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            penalties.note(now, peer, at(1), CloseCode::Limit);
            assert_eq!(penalties.left(now, &peer, Some(at(2))), Some(s(wait)));
            now += s(wait);
            assert_eq!(penalties.left(now, &peer, Some(at(2))), None);
        }
        penalties.note(now + FORGIVEN, peer, at(1), CloseCode::Protocol);
        assert_eq!(
            penalties.left(now + FORGIVEN, &peer, Some(at(2))),
            Some(FIRST)
        );
    }

    #[test]
    fn a_peer_that_comes_back_with_another_key_is_known_by_its_address() {
        let mut penalties = Penalties::default();
        let mapped = "[::ffff:192.0.2.1]:1".parse().unwrap();
        penalties.note(s(100), node(1), mapped, CloseCode::Limit);
        assert_eq!(penalties.left(s(100), &node(2), Some(at(1))), Some(FIRST));
        assert_eq!(penalties.left(s(100), &node(2), Some(at(2))), None);
        assert_eq!(penalties.left(s(100), &node(2), None), None, "we dialed");
        penalties.note(s(101), node(2), at(1), CloseCode::Limit);
        assert_eq!(
            penalties.left(s(101), &node(3), Some(at(1))),
            Some(2 * FIRST)
        );
    }

    #[test]
    fn what_is_no_violation_has_no_penalty() {
        let mut penalties = Penalties::default();
        for code in [CloseCode::Down, CloseCode::Stalled, CloseCode::Superfluous] {
            penalties.note(s(1), node(1), at(1), code);
        }
        assert_eq!(penalties.left(s(1), &node(1), Some(at(1))), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut penalties = Penalties::default();
        for number in 0..2000_u32 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            let port = u16::try_from(number).unwrap();
            penalties.note(s(number.into()), NodeId(id), at(port), CloseCode::Limit);
            assert!(penalties.peers.0.len() <= MOST);
            assert!(penalties.addrs.0.len() <= MOST);
        }
    }
}
