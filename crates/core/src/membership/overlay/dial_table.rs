//! Dials: those under way, those in the queue, and the pauses after failed ones.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::candidates::doubled;
use crate::membership::Time;
use crate::membership::interface::{Candidate, DialId};
use crate::membership::tuning::Tuning;
use crate::membership::view::MAX_NODES;
use crate::wire::{MAX_ALTERNATIVES, NodeId, dialable};

/// The most alternatives to full nodes that wait to be followed.
const MAX_FOLLOWED: usize = 8;
/// The most refusals in a row that are followed. A full node names others that have room, so the second is rare.
const MAX_HOPS: u32 = 4;
/// The most addresses that are visited in such a search. It bounds what hostile nodes can make a newcomer dial.
const MAX_VISITED: usize = 32;
/// An address that was visited in such a search is not visited again within this time, so that no search goes in a circle.
const FOLLOWED_FOR: Duration = Duration::from_secs(30);
/// The most dials in the queue.
pub const MAX_QUEUE: usize = 256;

/// What a dial tries, and what for.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) candidate: Candidate,
    /// The other addresses, which are tried as well.
    pub(super) others: Vec<SocketAddr>,
    /// How many refusals led to this dial.
    pub(super) hops: u32,
    /// It is to replace the connection of a link.
    pub(super) replaces: bool,
    /// A rendezvous gave the address.
    pub(super) met: bool,
}

impl Attempt {
    fn leads_to(&self, addr: SocketAddr) -> bool {
        self.candidate.addr == addr || self.others.contains(&addr)
    }
}

/// A dial under way.
#[derive(Debug)]
struct Dialing {
    attempt: Attempt,
    since: Time,
    /// The node was asked for a rendezvous, or it is on this machine.
    asked: bool,
}

impl Dialing {
    fn id(&self) -> Option<&NodeId> {
        self.attempt.candidate.id.as_ref()
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Dials {
    tuning: Arc<Tuning>,
    under_way: BTreeMap<DialId, Dialing>,
    /// The candidates that wait for their turn, and how many refusals led to each.
    queue: VecDeque<(Candidate, u32)>,
    /// The number of dials so far.
    counter: u64,
    /// When a node may be dialed again as a neighbour, and how many dials failed in a row.
    retries: BTreeMap<NodeId, (Time, u32)>,
    /// The addresses visited in the search for a node with room, and when.
    followed: BTreeMap<SocketAddr, Time>,
}

impl Dials {
    pub(super) fn new(first: Vec<Candidate>, tuning: Arc<Tuning>) -> Self {
        Self {
            tuning,
            under_way: BTreeMap::new(),
            queue: first.into_iter().map(|candidate| (candidate, 0)).collect(),
            counter: 0,
            retries: BTreeMap::new(),
            followed: BTreeMap::new(),
        }
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The candidates that are being dialed.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Candidate> {
        let all = self.under_way.values();
        all.map(|dialing| dialing.attempt.candidate)
    }

    /// How many neighbours are being dialed or are queued, of those that may be there. Slow dials count only if the node is
    /// `patient`.
    pub(super) fn pending(
        &self,
        now: Time,
        patient: bool,
        may_be_there: impl Fn(&NodeId) -> bool,
    ) -> usize {
        let named = self.under_way.values();
        let named = named.filter(|dialing| dialing.id().is_some_and(&may_be_there));
        let counted = named.filter(|dialing| patient || now < self.slow_at(dialing));
        let queued = self.queue.iter();
        let queued = queued.filter(|(one, _)| one.id.as_ref().is_none_or(&may_be_there));
        counted.count() + queued.count()
    }

    /// Whether that node is being dialed, or is queued.
    pub(super) fn includes(&self, id: &NodeId) -> bool {
        let queued = self.queue.iter().map(|(candidate, _)| *candidate);
        let mut all = self.candidates().chain(queued);
        all.any(|candidate| candidate.id == Some(*id))
    }

    /// Whether that node is being dialed at that address.
    pub(super) fn leads_to(&self, id: &NodeId, addr: SocketAddr) -> bool {
        let mut dials = self.under_way.values();
        dials.any(|dialing| dialing.id() == Some(id) && dialing.attempt.leads_to(addr))
    }

    pub(super) fn includes_addr(&self, addr: SocketAddr) -> bool {
        let queued = self.queue.iter().map(|(candidate, _)| *candidate);
        let mut all = self.candidates().chain(queued);
        all.any(|candidate| candidate.addr == addr)
    }

    /// Whether a dial to that node is a slow one.
    pub(super) fn is_slow_to(&self, now: Time, id: &NodeId) -> bool {
        let mut slow = self
            .under_way
            .values()
            .filter(|dialing| now >= self.slow_at(dialing));
        slow.any(|dialing| dialing.id() == Some(id))
    }

    /// When a dial becomes a slow one.
    fn slow_at(&self, dialing: &Dialing) -> Time {
        dialing.since + self.tuning.overlay.slow_dial
    }

    /// When the next dial of a neighbour becomes a slow one.
    pub(super) fn next_slow(&self, now: Time) -> Option<Time> {
        let named = |dialing: &&Dialing| dialing.id().is_some();
        let named = self.under_way.values().filter(named);
        let slow_at = named.map(|dialing| self.slow_at(dialing));
        slow_at.filter(|at| *at > now).min()
    }

    /// Until when that node is not dialed as a neighbour, if a dial failed recently.
    pub(super) fn rests_until(&self, now: Time, id: &NodeId) -> Option<Time> {
        let (at, _) = self.retries.get(id)?;
        (*at > now).then_some(*at)
    }

    /// Stops dialing that node as a neighbour for a pause, which doubles each time.
    pub(super) fn back_off(&mut self, now: Time, id: NodeId) {
        let failures = self.retries.get(&id).map_or(0, |(_, failures)| *failures);
        let tuning = &self.tuning.overlay;
        let pause = doubled(tuning.first_retry, failures);
        let again = now + pause.min(tuning.longest_retry);
        self.retries.insert(id, (again, failures.saturating_add(1)));
        if self.retries.len() > MAX_NODES {
            self.retries.pop_first();
        }
    }

    /// Stops dialing that node as a neighbour until then: its addresses rest, or their budget is spent. That is no failure.
    pub(super) fn pause(&mut self, id: NodeId, until: Time) {
        let (at, failures) = self.retries.get(&id).copied().unwrap_or_default();
        self.retries.insert(id, (at.max(until), failures));
        if self.retries.len() > MAX_NODES {
            self.retries.pop_first();
        }
    }

    /// Forgets the failed dials to that node: it came into view, or its link had lasted.
    pub(super) fn forgive(&mut self, id: &NodeId) {
        self.retries.remove(id);
    }

    /// The same for all nodes: this one is elsewhere now.
    pub(super) fn forgive_all(&mut self) {
        self.retries.clear();
    }

    /// Queues a dial, if there is room.
    pub(super) fn enqueue(&mut self, candidate: Candidate) {
        self.enqueue_after(candidate, 0);
    }

    fn enqueue_after(&mut self, candidate: Candidate, hops: u32) {
        if self.queue.len() < MAX_QUEUE {
            self.queue.push_back((candidate, hops));
        }
    }

    /// Queues a dial in front of the others.
    pub(super) fn enqueue_first(&mut self, candidate: Candidate) {
        self.queue.push_front((candidate, 0));
        self.queue.truncate(MAX_QUEUE);
    }

    /// Takes the next dial out of the queue, with the number of refusals that led to it, unless `slots` are taken.
    pub(super) fn take_next(&mut self, slots: usize) -> Option<(Candidate, u32)> {
        let has_room = self.under_way.len() < slots;
        has_room.then(|| self.queue.pop_front()).flatten()
    }

    /// A dial begins. Returns its number, and when it becomes a slow one.
    pub(super) fn begin(&mut self, now: Time, attempt: Attempt) -> (DialId, Time) {
        self.counter += 1;
        let dial = DialId(self.counter);
        let dialing = Dialing {
            asked: attempt.candidate.addr.ip().is_loopback(),
            attempt,
            since: now,
        };
        let slow_at = self.slow_at(&dialing);
        self.under_way.insert(dial, dialing);
        (dial, slow_at)
    }

    /// When a dial counts as unanswered.
    fn unanswered_at(&self, dialing: &Dialing) -> Option<Time> {
        let asks = !dialing.asked && dialing.id().is_some();
        asks.then(|| dialing.since + self.tuning.overlay.meet_after)
    }

    /// When the next dial counts as unanswered.
    pub(super) fn next_unanswered(&self) -> Option<Time> {
        let all = self.under_way.values();
        all.filter_map(|dialing| self.unanswered_at(dialing)).min()
    }

    /// The nodes whose dials count as unanswered by now, each of them once a dial.
    pub(super) fn take_unanswered(&mut self, now: Time) -> Vec<NodeId> {
        let due = |dialing: &Dialing| self.unanswered_at(dialing).is_some_and(|at| at <= now);
        let due = self.under_way.iter().filter(|(_, dialing)| due(dialing));
        let due: Vec<DialId> = due.map(|(dial, _)| *dial).collect();
        let mut nodes = Vec::new();
        for dial in due {
            if let Some(dialing) = self.under_way.get_mut(&dial) {
                dialing.asked = true;
                nodes.extend(dialing.id());
            }
        }
        nodes
    }

    /// Queues the nodes that a full one named instead of itself: each of them once, in a search of a few hops.
    pub(super) fn follow(&mut self, now: Time, from: &Attempt, alternatives: &[SocketAddr]) {
        let hops = from.hops + 1;
        if hops > MAX_HOPS {
            return;
        }
        let over_loopback = from.candidate.addr.ip().is_loopback();
        self.followed.retain(|_, at| now < *at + FOLLOWED_FOR);
        self.followed.insert(from.candidate.addr, now);
        for &addr in alternatives.iter().take(MAX_ALTERNATIVES) {
            let waiting = self.queue.iter().filter(|(_, hops)| *hops > 0).count();
            if waiting < MAX_FOLLOWED
                && self.followed.len() < MAX_VISITED
                && !self.followed.contains_key(&addr)
                && !self.includes_addr(addr)
                && dialable(&addr, over_loopback)
            {
                self.followed.insert(addr, now);
                self.enqueue_after(Candidate { id: None, addr }, hops);
            }
        }
    }

    /// Whether that dial tries the address on our own knowledge, and not on the word of a rendezvous.
    pub(super) fn vouches_for(&self, dial: DialId, addr: SocketAddr) -> bool {
        let attempt = self.under_way.get(&dial).map(|dialing| &dialing.attempt);
        attempt.is_some_and(|attempt| !attempt.met && attempt.leads_to(addr))
    }

    /// A dial became a connection to `remote`. Returns the address dialed.
    pub(super) fn succeeded(&mut self, dial: DialId, remote: SocketAddr) -> Option<SocketAddr> {
        let Attempt {
            candidate, others, ..
        } = self.under_way.remove(&dial)?.attempt;
        let raced = others.into_iter().find(|addr| *addr == remote);
        Some(raced.unwrap_or(candidate.addr))
    }

    /// A dial failed. Returns what it tried.
    pub(super) fn failed(&mut self, dial: DialId) -> Option<Attempt> {
        self.under_way.remove(&dial).map(|dialing| dialing.attempt)
    }
}
