//! Addresses that led to the wrong node: to this one, or to another than was expected there.
//!
//! Such an address may lead elsewhere later, as a service address does that moves. So it rests, for twice as long each time, and is
//! never given up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::candidates::doubled;
use crate::membership::Time;
use crate::membership::tuning::Tuning;

/// The most addresses that rest. The one that is due first makes room: then it is dialed a little early.
const MAX_RESTS: usize = 1024;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Rests {
    tuning: Arc<Tuning>,
    until: BTreeMap<SocketAddr, (Time, u32)>,
}

impl Rests {
    pub(super) fn new(tuning: Arc<Tuning>) -> Self {
        Self {
            tuning,
            until: BTreeMap::new(),
        }
    }

    /// The address led to the wrong node.
    pub(super) fn led_astray(&mut self, now: Time, addr: SocketAddr) {
        let times = self.until.get(&addr).map_or(0, |(_, times)| *times);
        let tuning = &self.tuning.overlay;
        let rest = doubled(tuning.first_rest, times).min(tuning.longest_rest);
        self.until.insert(addr, (now + rest, times + 1));
        if self.until.len() > MAX_RESTS {
            let first = self.until.iter().min_by_key(|(_, (until, _))| *until);
            first
                .map(|(addr, _)| *addr)
                .map(|addr| self.until.remove(&addr));
        }
    }

    /// The address led to the right node.
    pub(super) fn worked(&mut self, addr: &SocketAddr) {
        self.until.remove(addr);
    }

    /// Until when the address is not dialed.
    pub(super) fn until(&self, now: Time, addr: &SocketAddr) -> Option<Time> {
        let (until, _) = self.until.get(addr)?;
        (*until > now).then_some(*until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rest_doubles_and_ends() {
        let mut rests = Rests::new(Arc::default());
        let addr: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let mut now = Duration::from_secs(5);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            rests.led_astray(now, addr);
            let until = rests.until(now, &addr).unwrap();
            pauses.push((until - now).as_secs());
            now = until;
            assert_eq!(rests.until(now, &addr), None);
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        rests.worked(&addr);
        rests.led_astray(now, addr);
        assert_eq!(rests.until(now, &addr), Some(now + Duration::from_secs(30)));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut rests = Rests::new(Arc::default());
        for port in 1..=2000 {
            rests.led_astray(Time::from_secs(port.into()), ([192, 0, 2, 1], port).into());
        }
        assert_eq!(rests.until.len(), MAX_RESTS);
        let late: SocketAddr = ([192, 0, 2, 1], 2000).into();
        assert!(rests.until.contains_key(&late));
    }
}
