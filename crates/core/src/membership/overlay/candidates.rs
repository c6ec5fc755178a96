//! The candidates: configured targets and remembered nodes, with their possible addresses.
//!
//! A lost neighbour is redialed by its former neighbours at once and then after 1, 2 and 4 s. After that it is one of the missing
//! candidates, from which a node draws every N seconds. N is the number of nodes that it can reach. So each part of a split
//! network makes about one attempt a second, whatever its size, and the parts find each other without a storm.
//!
//! That must hold from the first second on, even if all nodes started together or the network has just been split. So the time to
//! the next draw is counted in turns. A node makes `1/N` turns a second while it reaches N nodes, and begins at a random place of
//! its first turn.
//!
//! If most of the network is lost at once, a part may be small, and most of the nodes that it knows are dead. Then it tries all
//! that is lost within a few seconds, and each of its nodes tries a few a second. So does a node that is alone (`sweep`).
//!
//! Nothing is remembered of a node that is up if its record says the same (`addresses`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::membership::Time;
use crate::membership::interface::{Candidate, Remembered};
use crate::membership::tuning::Tuning;
use crate::wire::NodeId;

/// The most nodes remembered. It bounds memory: each takes a few hundred bytes.
pub const MAX_REMEMBERED: usize = 32_768;
/// The most addresses remembered for a node.
pub(super) const MAX_ADDRS_REMEMBERED: usize = 6;

#[derive(Debug)]
struct Target {
    addr: SocketAddr,
    /// The node that answered there.
    id: Option<NodeId>,
    failing_since: Option<Time>,
    tries: u32,
    /// The address is our own.
    own: bool,
    /// It stands behind a name, and is a target for as long as it does.
    named: bool,
}

impl Target {
    fn new(addr: SocketAddr, named: bool) -> Self {
        Self {
            addr,
            id: None,
            failing_since: None,
            tries: 0,
            own: false,
            named,
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Candidates {
    tuning: Arc<Tuning>,
    targets: Vec<Target>,
    nodes: BTreeMap<NodeId, Remembered>,
    /// The next redial of each lost neighbour: the number of attempts made, and when the next one is due.
    redials: BTreeMap<NodeId, (u32, Time)>,
    wheel: Wheel,
    draws: u32,
    /// The length of a turn during a sweep, in seconds.
    sweep: Option<f64>,
    /// Most of the network is missing.
    torn: bool,
}

impl Candidates {
    /// The configured targets and the nodes that an earlier run remembered.
    pub(super) fn new(
        targets: &[SocketAddr],
        remembered: Vec<(NodeId, Remembered)>,
        tuning: Arc<Tuning>,
    ) -> Self {
        let targets = targets
            .iter()
            .map(|&addr| Target::new(addr, false))
            .collect();
        let nodes = remembered.into_iter().take(MAX_REMEMBERED).collect();
        Self {
            tuning,
            targets,
            nodes,
            redials: BTreeMap::new(),
            wheel: Wheel::default(),
            draws: 0,
            sweep: None,
            torn: false,
        }
    }

    /// The addresses behind the targets that are names are these now. What is known of those that stay is kept. Returns the
    /// new ones.
    pub(super) fn set_named(&mut self, addrs: &[SocketAddr]) -> Vec<SocketAddr> {
        let wanted: BTreeSet<SocketAddr> = addrs.iter().copied().collect();
        self.targets
            .retain(|target| !target.named || wanted.contains(&target.addr));
        let had: BTreeSet<SocketAddr> = self.targets.iter().map(|target| target.addr).collect();
        let mut new: Vec<SocketAddr> = Vec::new();
        for &addr in addrs {
            if !had.contains(&addr) && !new.contains(&addr) {
                new.push(addr);
            }
        }
        let targets = new.iter().map(|&addr| Target::new(addr, true));
        self.targets.extend(targets);
        new
    }

    /// Everything remembered, in the order of the ids.
    pub(super) fn nodes(&self) -> &BTreeMap<NodeId, Remembered> {
        &self.nodes
    }

    /// The candidates that a start dials at once: configured targets and the nodes seen last, up to a limit each.
    pub(super) fn first_dials(&self) -> Vec<Candidate> {
        let mut known: Vec<_> = self.nodes.iter().filter(|(_, node)| !node.left).collect();
        known.sort_by_key(|(id, node)| (std::cmp::Reverse(node.seen_ms), **id));
        let remembered = known
            .into_iter()
            .take(self.tuning.overlay.first_remembered)
            .filter_map(|(id, node)| {
                Some(Candidate {
                    id: Some(*id),
                    addr: *node.addrs.first()?,
                })
            });
        let mut candidates: Vec<Candidate> = self
            .targets
            .iter()
            .take(self.tuning.overlay.first_targets)
            .map(|target| Candidate {
                id: None,
                addr: target.addr,
            })
            .collect();
        for candidate in remembered {
            if !candidates.iter().any(|other| other.addr == candidate.addr) {
                candidates.push(candidate);
            }
        }
        candidates
    }

    /// Notes the addresses of a node that is, or was, up.
    pub(super) fn learn(&mut self, id: NodeId, addrs: &[SocketAddr], now_ms: i64, left: bool) {
        if !self.nodes.contains_key(&id) && self.nodes.len() >= MAX_REMEMBERED {
            let oldest = self
                .nodes
                .iter()
                .min_by_key(|(_, node)| node.seen_ms)
                .map(|(id, _)| *id);
            oldest.map(|oldest| self.nodes.remove(&oldest));
        }
        let node = self
            .nodes
            .entry(id)
            .or_insert_with(|| Remembered::new(Vec::new(), now_ms, left));
        node.seen_ms = node.seen_ms.max(now_ms);
        node.left = left;
        node.failures = 0;
        // The node itself knows better where it listens.
        if !addrs.is_empty() {
            let guesses = std::mem::take(&mut node.guesses);
            node.addrs.retain(|addr| !guesses.contains(addr));
        }
        // Published addresses come after the one that worked, and only as many are kept as fit.
        let kept = node.addrs.iter().take(1).copied();
        let mut all: Vec<SocketAddr> = kept.chain(addrs.iter().copied()).collect();
        all.extend(node.addrs.iter().skip(1).copied());
        let mut seen = BTreeSet::new();
        all.retain(|addr| seen.insert(*addr));
        all.truncate(MAX_ADDRS_REMEMBERED);
        // Half of a large network may be remembered for ten minutes, mostly with one address each.
        all.shrink_to_fit();
        node.addrs = all;
    }

    /// Packets of a node came from that address, and it does not say where it listens.
    pub(super) fn guess(&mut self, id: NodeId, addr: SocketAddr, now_ms: i64) {
        self.learn(id, &[], now_ms, false);
        let node = self.nodes.get_mut(&id).expect("just learned");
        if !node.addrs.contains(&addr) {
            node.addrs.insert(node.addrs.len().min(1), addr);
            node.addrs.truncate(MAX_ADDRS_REMEMBERED);
            node.guesses.retain(|guess| node.addrs.contains(guess));
            node.guesses.push(addr);
        }
    }

    /// Forgets a node that is up, if nothing is remembered of it but its published addresses.
    pub(super) fn let_go(&mut self, id: &NodeId, published: &[SocketAddr]) {
        let plain = self.nodes.get(id).is_some_and(|node| {
            node.addrs == published && node.lost_at.is_none() && node.failures == 0 && !node.left
        });
        if plain {
            self.nodes.remove(id);
        }
    }

    /// An address worked for this node: it comes first from now on.
    pub(super) fn worked(&mut self, id: NodeId, addr: SocketAddr, now_ms: i64) {
        self.learn(id, &[], now_ms, false);
        let node = self.nodes.get_mut(&id).expect("just learned");
        node.addrs.retain(|other| *other != addr);
        node.addrs.insert(0, addr);
        node.addrs.truncate(MAX_ADDRS_REMEMBERED);
        node.lost_at = None;
        node.guesses.retain(|guess| *guess != addr);
        self.redials.remove(&id);
        for target in self.targets.iter_mut().filter(|target| target.addr == addr) {
            *target = Target {
                id: Some(id),
                ..Target::new(addr, target.named)
            };
        }
    }

    /// A dial failed. `other_key`: another node answered there.
    pub(super) fn failed(&mut self, candidate: Candidate, now: Time, other_key: bool) {
        if let Some(node) = candidate.id.and_then(|id| self.nodes.get_mut(&id)) {
            node.failures = node.failures.saturating_add(1);
            if node.addrs.first() == Some(&candidate.addr) {
                // The next attempt goes to another address, if there is one.
                node.addrs.rotate_left(1);
            }
        }
        for target in self
            .targets
            .iter_mut()
            .filter(|target| target.addr == candidate.addr)
        {
            target.failing_since.get_or_insert(now);
            target.tries = target.tries.saturating_add(1);
            if other_key {
                target.id = None;
            }
        }
    }

    /// The address turned out to be our own, for the time being. Returns whether it is a target of which that was not known.
    pub(super) fn is_own(&mut self, addr: SocketAddr) -> bool {
        let mut was = false;
        for target in self.targets.iter_mut().filter(|target| target.addr == addr) {
            target.tries = target.tries.saturating_add(1);
            was |= !std::mem::replace(&mut target.own, true);
        }
        was
    }

    /// A neighbour was lost: redials it soon, and treats it as recently lost for an hour.
    pub(super) fn lost(&mut self, id: NodeId, now: Time) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.lost_at = Some(now);
        }
        self.redials.insert(id, (0, now));
    }

    /// A node sent a leave message.
    pub(super) fn left(&mut self, id: &NodeId) {
        self.redials.remove(id);
        if let Some(node) = self.nodes.get_mut(id) {
            node.left = true;
            node.lost_at = None;
        }
    }

    /// The number of nodes that can be reached changed, and with it the pace of the draws. A node that was just cut off must not
    /// wait at the pace of the large network.
    pub(super) fn reach_changed(&mut self, now: Time, up: usize, rng: &mut ChaCha8Rng) {
        self.wheel.go_on(now, self.turn_s(up), rng);
    }

    /// Sets the length of a turn during a sweep, in seconds; `None` if there is no sweep. `torn`: most of the network is missing.
    pub(super) fn sweep(&mut self, turn_s: Option<f64>, torn: bool) {
        (self.sweep, self.torn) = (turn_s, torn);
    }

    /// Whether most of the network is missing.
    pub(super) fn is_torn(&self) -> bool {
        self.torn
    }

    /// The time between two draws while so many nodes can be reached.
    fn turn_s(&self, up: usize) -> f64 {
        self.sweep.unwrap_or(up.max(1) as f64)
    }

    /// When [`Self::poll`] has something to do.
    pub(super) fn deadline(&self) -> Time {
        let redial = self.redials.values().map(|(_, due)| *due).min();
        let draw = self.wheel.due();
        redial.map_or(draw, |redial| redial.min(draw))
    }

    /// The candidates to dial now. `up` is the number of nodes that can be reached. `share` is this node's share of a sweep, if
    /// there is one. `missing` tells whether to look for a node.
    pub(super) fn poll(
        &mut self,
        now: Time,
        up: usize,
        rng: &mut ChaCha8Rng,
        share: Option<Share>,
        missing: impl Fn(Option<NodeId>, SocketAddr) -> bool,
    ) -> Vec<Candidate> {
        let mut candidates = self.due_redials(now, rng, &missing);
        if self.wheel.due() <= now && self.wheel.go_on(now, self.turn_s(up), rng) <= 0.0 {
            self.wheel.turn();
            let drawn = match share {
                Some(share) => self.next_missing(share, &missing),
                None => self.draw(now, up, rng, &missing),
            };
            candidates.extend(drawn);
        }
        candidates
    }

    fn due_redials(
        &mut self,
        now: Time,
        rng: &mut ChaCha8Rng,
        missing: impl Fn(Option<NodeId>, SocketAddr) -> bool,
    ) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let (nodes, tuning) = (&self.nodes, &self.tuning.overlay);
        // Neighbours are no likelier to live than others then, and have been tried once.
        let redials = if self.torn { 1 } else { tuning.redials };
        self.redials.retain(|id, (attempt, due)| {
            if *due > now {
                return true;
            }
            let Some(addr) = nodes.get(id).and_then(|node| node.addrs.first().copied()) else {
                return false;
            };
            // It may still be up through other nodes for the moment; the next attempt checks again.
            if missing(Some(*id), addr) {
                candidates.push(Candidate {
                    id: Some(*id),
                    addr,
                });
            }
            *attempt += 1;
            if *attempt >= redials {
                return false;
            }
            let pause = doubled(tuning.first_redial, *attempt - 1);
            *due = now + pause.mul_f64(rng.random_range(0.75..1.25));
            true
        });
        candidates
    }

    /// Draws one candidate. Draws alternate between the targets with the recently lost nodes, and all other remembered nodes.
    fn draw(
        &mut self,
        now: Time,
        up: usize,
        rng: &mut ChaCha8Rng,
        missing: impl Fn(Option<NodeId>, SocketAddr) -> bool,
    ) -> Option<Candidate> {
        self.draws = self.draws.wrapping_add(1);
        let mut dear = self.weigh_targets(now, &missing);
        let (lost, rest) = self.weigh_nodes(now, up, &missing);
        dear.extend(lost);
        let (first, second) = if self.draws % 2 == 1 {
            (dear, rest)
        } else {
            (rest, dear)
        };
        // A list with a small total weight is usually skipped: candidates that failed for long are tried at a tenth of the pace.
        weighted(&first, rng).or_else(|| weighted(&second, rng))
    }

    /// The missing targets, with their weights.
    fn weigh_targets(
        &self,
        now: Time,
        missing: impl Fn(Option<NodeId>, SocketAddr) -> bool,
    ) -> Vec<Weighed> {
        let tuning = &self.tuning.overlay;
        let targets = self.targets.iter();
        let absent = targets.filter(|target| missing(target.id, target.addr));
        let mut absent: Vec<&Target> = absent.collect();
        // Those that were never tried come before those that failed.
        if absent.iter().any(|target| target.tries == 0) {
            absent.retain(|target| target.tries == 0);
        }
        let weighed = absent.into_iter().map(|target| {
            let failing = target.failing_since;
            let given_up =
                failing.is_some_and(|since| now.saturating_sub(since) >= tuning.target_given_up);
            let candidate = Candidate {
                id: None,
                addr: target.addr,
            };
            let weight = if given_up {
                tuning.given_up_weight
            } else {
                1.0
            };
            (candidate, weight)
        });
        weighed.collect()
    }

    /// The missing nodes, with their weights: those lost recently, and the others.
    fn weigh_nodes(
        &self,
        now: Time,
        up: usize,
        missing: impl Fn(Option<NodeId>, SocketAddr) -> bool,
    ) -> (Vec<Weighed>, Vec<Weighed>) {
        let lost_lately = self.tuning.overlay.lost_lately;
        let (mut lost, mut rest) = (Vec::new(), Vec::new());
        // Nodes that are up have the latest sightings, and most of them are not remembered here.
        let there = |(id, node): &(&NodeId, &Remembered)| {
            let addr = node.addrs.first();
            addr.is_some_and(|&addr| !missing(Some(**id), addr))
        };
        let here = self.nodes.iter().filter(there).count();
        let ahead = up.saturating_sub(1 + here);
        for (rank, (id, node)) in self.by_recency().into_iter().enumerate() {
            let Some(&addr) = node.addrs.first() else {
                continue;
            };
            if node.left || !missing(Some(*id), addr) {
                continue;
            }
            let candidate = Candidate {
                id: Some(*id),
                addr,
            };
            let halved = |most: u32| 0.5_f64.powi(node.failures.min(most).cast_signed());
            let lately = |at| now.saturating_sub(at) < lost_lately;
            if node.lost_at.is_some_and(lately) {
                lost.push((candidate, halved(6)));
            } else {
                let recency = 1.0 / (1.0 + (ahead + rank) as f64);
                rest.push((candidate, recency * halved(30)));
            }
        }
        (lost, rest)
    }

    fn by_recency(&self) -> Vec<(&NodeId, &Remembered)> {
        let mut nodes: Vec<_> = self.nodes.iter().collect();
        nodes.sort_by_key(|(id, node)| (std::cmp::Reverse(node.seen_ms), **id));
        nodes
    }
}

/// A pause that doubles each time.
pub(super) fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(30))
}

/// A candidate and its weight.
type Weighed = (Candidate, f64);

/// Draws by weight. If the weights add up to less than one, the remaining probability is for no candidate.
fn weighted(candidates: &[Weighed], rng: &mut ChaCha8Rng) -> Option<Candidate> {
    let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    let mut point = rng.random_range(0.0..total.max(1.0));
    for (candidate, weight) in candidates {
        point -= weight;
        if point < 0.0 {
            return Some(*candidate);
        }
    }
    None
}

mod sweep;
mod wheel;

pub(super) use sweep::Share;
use wheel::Wheel;

#[cfg(test)]
mod tests;
