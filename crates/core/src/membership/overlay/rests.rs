//! Addresses that led to the wrong node: to this one, or to another than was expected there.
//!
//! Such an address may lead elsewhere later, as a service address does that moves. So it rests, for twice as long each time, and is
//! never given up. Where another node answered, the address rests for all but that one: whoever names it for others must not keep this
//! node from dialing it. A configured address that is dialed whoever is there rests only if this very node is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::candidates::doubled;
use crate::membership::Time;
use crate::membership::tuning::Tuning;
use crate::wire::NodeId;

/// The most addresses that rest. The one that is due first makes room: then it is dialed a little early.
const MAX_RESTS: usize = 1024;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Rests {
    tuning: Arc<Tuning>,
    until: BTreeMap<SocketAddr, Rest>,
}

#[derive(Debug)]
struct Rest {
    until: Time,
    times: u32,
    /// Who answered. `None`: this very node.
    who: Option<NodeId>,
}

impl Rests {
    pub(super) fn new(tuning: Arc<Tuning>) -> Self {
        Self {
            tuning,
            until: BTreeMap::new(),
        }
    }

    /// The address led to the wrong node: to `who`, or to this very one.
    pub(super) fn led_astray(&mut self, now: Time, addr: SocketAddr, who: Option<NodeId>) {
        let times = self.until.get(&addr).map_or(0, |rest| rest.times);
        let tuning = &self.tuning.overlay;
        let rest = Rest {
            until: now + doubled(tuning.first_rest, times).min(tuning.longest_rest),
            times: times.saturating_add(1),
            who,
        };
        self.until.insert(addr, rest);
        if self.until.len() > MAX_RESTS {
            let first = self.until.iter().min_by_key(|(_, rest)| rest.until);
            first
                .map(|(addr, _)| *addr)
                .map(|addr| self.until.remove(&addr));
        }
    }

    /// The address led to that node. If it is the one that answered when another was expected, that stays wrong for others.
    pub(super) fn worked(&mut self, addr: &SocketAddr, id: &NodeId) {
        if self
            .until
            .get(addr)
            .is_some_and(|rest| rest.who != Some(*id))
        {
            self.until.remove(addr);
        }
    }

    /// Until when that node is not dialed at the address. `id`: `None` if anybody may be there.
    pub(super) fn until(&self, now: Time, addr: &SocketAddr, id: Option<NodeId>) -> Option<Time> {
        let rest = self.until.get(addr)?;
        let is_right = rest.who.is_some() && (id.is_none() || id == rest.who);
        (rest.until > now && !is_right).then_some(rest.until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::membership::testing::node;

    #[test]
    fn a_rest_doubles_and_ends() {
        let mut rests = Rests::new(Arc::default());
        let addr: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let mut now = Duration::from_secs(5);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            rests.led_astray(now, addr, None);
            let until = rests.until(now, &addr, None).unwrap();
            pauses.push((until - now).as_secs());
            now = until;
            assert_eq!(rests.until(now, &addr, None), None);
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        rests.worked(&addr, &node(1));
        rests.led_astray(now, addr, None);
        let until = Some(now + Duration::from_secs(30));
        assert_eq!(rests.until(now, &addr, None), until);
    }

    #[test]
    fn an_address_rests_for_all_but_the_node_that_answered_there() {
        let mut rests = Rests::new(Arc::default());
        let addr: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let now = Duration::from_secs(5);
        rests.led_astray(now, addr, Some(node(1)));
        let until = |rests: &Rests, id| rests.until(now, &addr, id).map(|at| (at - now).as_secs());
        let all = [None, Some(node(1)), Some(node(2))];
        let rest = [None, None, Some(30)];
        assert_eq!(all.map(|id| until(&rests, id)), rest);
        rests.worked(&addr, &node(1));
        assert_eq!(until(&rests, Some(node(2))), Some(30), "still another's");
        rests.worked(&addr, &node(2));
        assert_eq!(until(&rests, Some(node(2))), None);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut rests = Rests::new(Arc::default());
        for port in 1..=2000 {
            rests.led_astray(
                Time::from_secs(port.into()),
                ([192, 0, 2, 1], port).into(),
                None,
            );
        }
        assert_eq!(rests.until.len(), MAX_RESTS);
        let late: SocketAddr = ([192, 0, 2, 1], 2000).into();
        assert!(rests.until.contains_key(&late));
    }
}
