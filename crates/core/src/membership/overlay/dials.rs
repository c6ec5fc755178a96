//! Dials: those under way, those in the queue, and the pauses after failed ones.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::candidates::doubled;
use super::{Overlay, Seen};
use crate::membership::Time;
use crate::membership::interface::{Action, Candidate, DialError, DialId, Event};
use crate::membership::out::Out;
use crate::membership::tuning::Tuning;
use crate::membership::view::{MAX_NODES, View};
use crate::wire::{CloseCode, MAX_ALTERNATIVES, NodeId, dialable};

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
/// A dial under way.
#[derive(Debug)]
struct Dialing {
    candidate: Candidate,
    /// How many refusals led to this dial.
    hops: u32,
    since: Time,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Dials {
    tuning: Arc<Tuning>,
    under_way: BTreeMap<DialId, Dialing>,
    queue: VecDeque<(Candidate, u32)>,
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
        self.under_way.values().map(|dialing| dialing.candidate)
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
        let named =
            named.filter(|dialing| dialing.candidate.id.as_ref().is_some_and(&may_be_there));
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

    fn includes_addr(&self, addr: SocketAddr) -> bool {
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
        slow.any(|dialing| dialing.candidate.id == Some(*id))
    }

    /// When a dial becomes a slow one.
    fn slow_at(&self, dialing: &Dialing) -> Time {
        dialing.since + self.tuning.overlay.slow_dial
    }

    /// When the next dial of a neighbour becomes a slow one.
    pub(super) fn next_slow(&self, now: Time) -> Option<Time> {
        let named = |dialing: &&Dialing| dialing.candidate.id.is_some();
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
        self.retries.insert(id, (again, failures + 1));
        if self.retries.len() > MAX_NODES {
            self.retries.pop_first();
        }
    }

    /// Forgets the failed dials to that node: it came into view, or its link had lasted.
    pub(super) fn forgive(&mut self, id: &NodeId) {
        self.retries.remove(id);
    }

    pub(super) fn enqueue(&mut self, candidate: Candidate, hops: u32) {
        if self.queue.len() < MAX_QUEUE {
            self.queue.push_back((candidate, hops));
        }
    }

    /// Queues the nodes that a full one named instead of itself: each of them once, in a search of a few hops.
    fn follow(&mut self, now: Time, from: &Dialing, alternatives: &[SocketAddr]) {
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
                self.enqueue(Candidate { id: None, addr }, hops);
            }
        }
    }

    /// A dial became a connection. Returns the address dialed.
    pub(super) fn succeeded(&mut self, dial: DialId) -> Option<SocketAddr> {
        let dialing = self.under_way.remove(&dial)?;
        Some(dialing.candidate.addr)
    }
}

impl Overlay {
    /// A dial became a connection. Returns the address dialed.
    pub(in crate::membership) fn dial_succeeded(&mut self, dial: DialId) -> Option<SocketAddr> {
        self.dials.succeeded(dial)
    }

    pub(super) fn draw(&mut self, seen: &Seen<'_>, rng: &mut ChaCha8Rng) {
        let Seen { view, links, .. } = *seen;
        let dials = &self.dials;
        let missing = |id: Option<NodeId>, addr: SocketAddr| {
            let mut live = links.iter().filter(|link| link.is_live());
            let linked = live.any(|link| link.remote() == addr || Some(link.peer()) == id);
            // A node that is up need not be found; the plan decides whether to link with it.
            let up = || match id {
                Some(id) => view.is_up(&id),
                None => view
                    .records_up()
                    .any(|one| one.body().addrs.contains(&addr)),
            };
            !linked && !dials.includes_addr(addr) && !up()
        };
        let up = view.up_count();
        self.candidates
            .sweep(self.growth.sweep_turn(seen.now, up, &self.tuning.overlay));
        for candidate in self.candidates.poll(seen.now, up, rng, missing) {
            self.dials.enqueue(candidate, 0);
        }
    }

    /// Starts the queued dials. At the cap, only those begin that may connect what is not connected; the plan will ask for the
    /// others again.
    pub(super) fn start_dials(&mut self, seen: &Seen<'_>, out: &mut Out) {
        let now = seen.now;
        while self.dials.under_way() < self.config.dials_at_once {
            let Some((candidate, hops)) = self.dials.queue.pop_front() else {
                return;
            };
            if !self.may_dial(candidate.id.as_ref(), seen) {
                continue;
            }
            let linked = candidate.id.and_then(|id| seen.links.get(&id));
            if linked.is_some_and(|link| !link.is_parked())
                || self
                    .dials
                    .candidates()
                    .any(|one| one.addr == candidate.addr)
            {
                continue;
            }
            self.dials.counter += 1;
            let dial = DialId(self.dials.counter);
            let dialing = Dialing {
                candidate,
                hops,
                since: now,
            };
            if candidate.id.is_some() {
                self.plan_by(self.dials.slow_at(&dialing));
            }
            self.dials.under_way.insert(dial, dialing);
            out.act(Action::Dial {
                dial,
                addr: candidate.addr,
                expect: candidate.id,
                replaces: linked.is_some(),
                eager: now < self.tuning.overlay.starting,
            });
        }
    }

    /// A dial failed.
    pub(in crate::membership) fn handle_dial_failed(
        &mut self,
        seen: &Seen<'_>,
        dial: DialId,
        why: &DialError,
        out: &mut Out,
    ) {
        let Some(dialing) = self.dials.under_way.remove(&dial) else {
            return;
        };
        let candidate = dialing.candidate;
        let (now, view) = (seen.now, seen.view);
        self.plan_soon(now, view.up_count());
        match why {
            DialError::Myself => {
                if self.unlearn_own(candidate.addr, view) {
                    out.tell(Event::OwnTarget(candidate.addr));
                }
                return;
            }
            DialError::Refused(Some(CloseCode::Full), alternatives) => {
                // A node with a link has the whole network to choose from.
                if seen.links.degree() == 0 {
                    self.dials.follow(now, &dialing, alternatives);
                }
            }
            DialError::Refused(Some(CloseCode::IdentityInUse), _) => out.tell(Event::Twin {
                run_id: 0,
                remote: Some(candidate.addr),
                silenced: false,
            }),
            DialError::Refused(..)
            | DialError::Timeout
            | DialError::Unreachable
            | DialError::OtherKey
            | DialError::Failed(_) => {}
        }
        self.note_failure(now, candidate, *why == DialError::OtherKey, view);
        out.tell(Event::DialFailed(candidate, why.clone()));
    }

    fn note_failure(&mut self, now: Time, candidate: Candidate, other_key: bool, view: &View) {
        if let Some(id) = candidate.id {
            self.keep(id, view);
        }
        self.candidates.failed(candidate, now, other_key);
        if let Some(id) = candidate.id {
            self.dials.back_off(now, id);
        }
    }
}
