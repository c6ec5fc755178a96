//! When to send beacons, and whom to dial.
//!
//! Beacons follow the Trickle algorithm (RFC 6206): a node sends once in an interval that doubles from `SHORTEST` to `LONGEST`,
//! unless it heard `ENOUGH` others of its own part of the network in that interval, which said the same. So the beacons on
//! a link don't grow with the number of nodes. Who hears a node that is alone begins with the shortest interval again, so that
//! the newcomer hears somebody soon, also if it can't be dialed.
//!
//! A node that reaches others waits for a random time before it dials: by then one of them has, and the newcomer is up. So a
//! newcomer is not dialed by everybody at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::bucket::{Bucket, Rate};
use crate::wire::NodeId;

/// The first interval. Half as long sends twice as much at a start; twice as long lets nodes find each other later by as much.
const SHORTEST: Duration = Duration::from_millis(300);
/// The longest interval. It bounds how long two parts of a network on one link don't find each other. Half as long doubles the
/// beacons of a network at rest.
const LONGEST: Duration = Duration::from_millis(300 << 5);
/// The beacons of others after which a node keeps silent in an interval. With one, a single lost packet can hide a whole part of the
/// network for an interval; with four, twice as many beacons are sent.
const ENOUGH: u32 = 2;
/// The least time between two returns to the shortest interval. Without it, one host could make all others send all the time.
const RESET_EVERY: Duration = Duration::from_secs(2);
/// The longest wait before a dial, of a node that is alone and of one that reaches others. Half as long makes more nodes dial one
/// newcomer at once, twice as long lets the newcomer wait.
const WAITS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(800)];
/// The dials that beacons may cause. A hostile host on the link can invent nodes, and each dial takes a slot and sends up to
/// three packets of 1200 bytes. Half as much lets parts of a network join more slowly.
const DIALS: Rate = Rate {
    burst: 4.0,
    per_s: 1.0,
};
/// The most nodes that wait to be dialed. It is more than the budget of dials allows in the longest wait.
const WAITING: usize = 32;

/// See the module's documentation. Times count from any fixed moment.
#[derive(Debug)]
pub struct Pace {
    rng: ChaCha8Rng,
    interval: Duration,
    /// When the interval ends.
    ends: Duration,
    /// When to send in this interval; `None` once that is over.
    send: Option<Duration>,
    heard: u32,
    last_reset: Option<Duration>,
    waiting: BTreeMap<NodeId, Waiting>,
    dials: Bucket,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    due: Duration,
    addr: SocketAddr,
}

/// What is to be done now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Send a beacon.
    pub send: bool,
    /// Dial these, unless they are up by now.
    pub dial: Vec<(NodeId, SocketAddr)>,
}

impl Pace {
    /// Begins at `now`.
    #[must_use]
    pub fn new(now: Duration, mut rng: ChaCha8Rng) -> Self {
        // The first beacon leaves at once, but not at the very same time as those of nodes that were started together.
        let send = now + SHORTEST.mul_f64(rng.random_range(0.0..0.25));
        Self {
            rng,
            interval: SHORTEST,
            ends: now + SHORTEST,
            send: Some(send),
            heard: 0,
            last_reset: None,
            waiting: BTreeMap::new(),
            dials: Bucket::holding(now, DIALS.burst),
        }
    }

    /// When [`Self::advance`] has something to do.
    #[must_use]
    pub fn due(&self) -> Duration {
        let dial = self.waiting.values().map(|one| one.due).min();
        let send = self.send.unwrap_or(self.ends).min(self.ends);
        dial.map_or(send, |dial| dial.min(send))
    }

    /// A verified beacon came from `addr`. `is_up`: its node can be reached already. `alone`: this node reaches nobody.
    pub fn hear(
        &mut self,
        now: Duration,
        (id, addr): (NodeId, SocketAddr),
        sender_alone: bool,
        is_up: bool,
        alone: bool,
    ) {
        // Also one that is up in this node's view: it was restarted, and that view is old.
        if sender_alone {
            self.reset(now);
        }
        if is_up {
            self.heard += u32::from(!sender_alone);
            return;
        }
        if let Some(waiting) = self.waiting.get_mut(&id) {
            // It has several addresses here. If the one that is dialed leads nowhere, the other one has its turn later.
            if self.rng.random_bool(0.5) {
                waiting.addr = addr;
            }
            return;
        }
        if self.waiting.len() >= WAITING {
            return;
        }
        let wait = WAITS[usize::from(!alone)];
        let due = now + wait.mul_f64(self.rng.random_range(0.0..1.0));
        self.waiting.insert(id, Waiting { due, addr });
    }

    /// Begins with the shortest interval: there is somebody, or a new interface, that has not heard this node.
    pub fn reset(&mut self, now: Duration) {
        let recent = |at: Duration| now.saturating_sub(at) < RESET_EVERY;
        if self.last_reset.is_some_and(recent) || self.interval == SHORTEST {
            return;
        }
        self.last_reset = Some(now);
        self.interval = SHORTEST;
        self.begin(now);
    }

    fn begin(&mut self, now: Duration) {
        self.heard = 0;
        self.ends = now + self.interval;
        let part = self.rng.random_range(0.5..1.0);
        self.send = Some(now + self.interval.mul_f64(part));
    }

    /// Does what is due.
    pub fn advance(&mut self, now: Duration) -> Due {
        let mut due = Due::default();
        if self.send.is_some_and(|at| at <= now) {
            self.send = None;
            due.send = self.heard < ENOUGH;
        }
        if self.ends <= now {
            self.interval = (self.interval * 2).min(LONGEST);
            self.begin(now);
        }
        let ready = self.waiting.iter().filter(|(_, one)| one.due <= now);
        let ready: Vec<(NodeId, SocketAddr)> = ready.map(|(id, one)| (*id, one.addr)).collect();
        for (id, addr) in ready {
            self.waiting.remove(&id);
            // Over the budget: its next beacon comes.
            if self.dials.take_one(now, DIALS) {
                due.dial.push((id, addr));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn pace(seed: u8) -> Pace {
        Pace::new(Duration::ZERO, ChaCha8Rng::from_seed([seed; 32]))
    }

    fn node(number: u16) -> (NodeId, SocketAddr) {
        let [high, low] = number.to_be_bytes();
        let mut id = [0; 32];
        (id[0], id[1]) = (high, low);
        (NodeId(id), SocketAddr::from(([192, 0, 2, low], 8083)))
    }

    /// Lets time pass; returns when beacons were sent, and the dials.
    fn pass(pace: &mut Pace, until: Duration) -> (Vec<Duration>, Vec<NodeId>) {
        let (mut sent, mut dialed) = (Vec::new(), Vec::new());
        while pace.due() <= until {
            let now = pace.due();
            let due = pace.advance(now);
            if due.send {
                sent.push(now);
            }
            dialed.extend(due.dial.into_iter().map(|(id, _)| id));
        }
        (sent, dialed)
    }

    #[test]
    fn beacons_become_rare_and_frequent_again_for_a_newcomer() {
        let mut pace = pace(1);
        let (sent, _) = pass(&mut pace, 60 * S);
        assert!(sent[0] < SHORTEST / 4, "{sent:?}");
        assert!(sent[2] < 3 * S, "{sent:?}");
        let late = sent.iter().filter(|at| **at > 20 * S).count();
        assert!((3..=6).contains(&late), "{sent:?}");
        pace.hear(60 * S, node(1), true, false, false);
        let (sent, dialed) = pass(&mut pace, 61 * S);
        assert!(sent[0] <= 60 * S + SHORTEST, "{sent:?}");
        assert_eq!(dialed, [node(1).0]);
    }

    #[test]
    fn who_hears_enough_others_keeps_silent() {
        let mut pace = pace(2);
        pass(&mut pace, 30 * S);
        for second in 30..90 {
            for number in 0..2 {
                pace.hear(second * S, node(number), false, true, false);
            }
            let (sent, _) = pass(&mut pace, (second + 1) * S);
            // The first interval had begun already.
            assert!(sent.is_empty() || second < 40, "{second}: {sent:?}");
        }
    }

    #[test]
    fn a_newcomer_is_dialed_soon_and_by_few() {
        let mut waits: Vec<Duration> = (0..200)
            .map(|seed| {
                let mut pace = pace(seed);
                pass(&mut pace, 60 * S);
                pace.hear(60 * S, node(1), true, false, false);
                pace.waiting[&node(1).0].due - 60 * S
            })
            .collect();
        waits.sort();
        // The first ones dial; within 50 ms the newcomer is up for all others.
        assert!(waits[0] < Duration::from_millis(20));
        let early = waits.iter().filter(|wait| **wait < waits[0] + WAITS[0]);
        assert!(early.count() < 30);
        assert!(waits[199] < WAITS[1]);
        let mut alone = pace(1);
        alone.hear(S, node(1), true, false, true);
        assert!(alone.waiting[&node(1).0].due < S + WAITS[0]);
    }

    #[test]
    fn invented_nodes_cause_few_dials_and_few_beacons() {
        let mut pace = pace(3);
        pass(&mut pace, 60 * S);
        let (mut dialed, mut sent) = (0, 0);
        for tick in 0..6000_u16 {
            let now = 60 * S + u32::from(tick) * Duration::from_millis(10);
            pace.hear(now, node(tick), true, false, false);
            assert!(pace.waiting.len() <= WAITING);
            let (beacons, dials) = pass(&mut pace, now);
            dialed += dials.len();
            sent += beacons.len();
        }
        assert!(dialed <= 64, "{dialed}");
        // Each return to the shortest interval allows three beacons.
        assert!(sent <= 90, "{sent}");
    }
}
