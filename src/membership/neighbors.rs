//! Whom to link with, and the dials that this takes.
//!
//! Up to [`Config::full_mesh`](super::Config) nodes, everybody links with everybody. Above that a node keeps about
//! [`degree_target`](super::Config) links, counted both ways: to its two successors on a ring of hashed ids (so the
//! network is connected for certain), and for the rest to random nodes (an expander) and near ones, in turn.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt as _;

use super::database::ring_position;
use super::links::LinkPhase;
use super::pool::Candidate;
use super::ring::SUCCESSORS;
use super::{Action, Core, DialError, DialId, Dialing, Event, Time};
use crate::record::Direction;
use crate::wire::{CloseCode, MAX_ALTERNATIVES, NodeId, dialable};

/// A node that is younger than this dials eagerly: others may be starting with it.
const STARTING: Duration = Duration::from_secs(1);
/// A network grows as long as nodes come into view within this time of each other; links are few until then, and one that dies may
/// cut the others off. So a small network, which all see at once, waits less.
const GROWING: Duration = Duration::from_millis(800);
const GROWING_SMALL: Duration = Duration::from_millis(300);
/// In a large one news travels in rounds, and the last of it late: links that are made before all news has come would be made knowing too
/// little, and would keep views from becoming right for a while.
const GROWING_ROUNDS: u32 = 10;
const GROWING_PER_NODE: Duration = Duration::from_micros(100);
/// Nodes that still come after this time are no start: in a large network some always come and go, and the others need their links.
const LONGEST_GROWTH: Duration = Duration::from_secs(10);
const SMALL: usize = 32;
const LEAST_WHILE_GROWING: usize = 3;
/// Up to so many nodes nobody waits: a handful of nodes is meshed at once.
const FEW_NODES: usize = 6;
/// A node keeps at least so many links that it dialed itself.
const LEAST_DIALED: usize = 3;
/// Alternatives to a full node that are followed at a time.
const MAX_FOLLOWED: usize = 8;
/// Slots below the cap that are kept for ring links.
const RING_SLOTS: usize = 2 * SUCCESSORS;
/// In a full mesh the node with the lower id dials; the other waits this long for it.
const COURTESY: Duration = Duration::from_millis(400);
/// A node gives links up when it has so many more than it aims at: fewer are not worth the records that tell of it.
const TOO_MANY: usize = 3;
/// A link younger than this is not given up as superfluous.
const SETTLED: Duration = Duration::from_secs(3);
/// Nor is any of a node that lost one in this time: where many have died, views become right before links are tidied up.
pub(super) const AFTER_LOSS: Duration = Duration::from_secs(6);
/// Nor in this time after one part in so many of the network went out of view. (Without it, 7000 views of which 3000 nodes had died were
/// almost exact after 8.5 s, when the first links were given up, and exact after 12.1 s.)
const AFTER_COLLAPSE: Duration = Duration::from_secs(4);
const COLLAPSE: usize = 32;
/// No more than one link is given up in this time.
const PRUNE_EVERY: Duration = Duration::from_millis(300);
/// The pause after a dial of a wanted neighbour failed, doubling.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// The most dials that wait for their turn.
pub const MAX_QUEUE: usize = 256;
/// A dial that takes longer than this may be one to a dead node: where we lost a link lately, it is no longer waited for.
const SLOW_DIAL: Duration = Duration::from_secs(1);
/// How many random nodes are looked at to find one with few links.
const SAMPLE: usize = 3;

impl Dialing {
    fn slow_at(&self) -> Time {
        self.since + SLOW_DIAL
    }

    fn is_slow(&self, now: Time) -> bool {
        now >= self.slow_at()
    }
}

impl Core {
    /// Looks at the set of neighbours soon: at once in a small network, where a look is dear a little later.
    pub(super) fn plan_soon(&mut self, now: Time) {
        let wait = if self.database.up_count() <= 32 {
            Duration::ZERO
        } else {
            Duration::from_millis(50)
        };
        self.plan_by(now + wait);
    }

    fn plan_by(&mut self, at: Time) {
        self.plan_due = Some(self.plan_due.map_or(at, |due| due.min(at)));
    }

    pub(super) fn advance_neighbors(&mut self, now: Time) {
        if self.plan_due.is_some_and(|due| due <= now) {
            self.plan_due = None;
            self.choose_shape();
            if self.is_growing(now) {
                self.plan_fill(now, LEAST_WHILE_GROWING, 1);
                self.plan_by(self.grown(self.growing()));
            } else if self.is_full_mesh() {
                self.plan_mesh(now);
            } else {
                self.plan_ring(now);
                let least = self.config.degree_target.saturating_sub(2).max(3);
                self.plan_fill(now, least, LEAST_DIALED);
                self.prune(now);
                self.plan_when_slow(now);
            }
        }
        if self.pool.deadline() <= now {
            self.draw(now);
        }
        self.start_dials(now);
    }

    pub(super) fn is_full_mesh(&self) -> bool {
        self.full_mesh
    }

    /// One node that comes and goes must not make all others mesh and prune: a full mesh that was given up comes back only
    /// two nodes further down.
    fn choose_shape(&mut self) {
        let up = self.database.up_count();
        let most = if self.full_mesh {
            self.config.full_mesh
        } else {
            self.config.full_mesh.saturating_sub(2)
        };
        self.full_mesh = up <= most;
    }

    /// Whether there is a link to the peer that needs no dial.
    fn is_linked(&self, id: &NodeId) -> bool {
        self.links
            .get(id)
            .is_some_and(|link| !matches!(link.phase, LinkPhase::Parked { .. }))
    }

    /// Links that count towards the degree: those in use, and those whose next connection is about to come.
    pub(super) fn degree(&self) -> usize {
        self.links
            .values()
            .filter(|link| {
                matches!(
                    link.phase,
                    LinkPhase::Live { .. } | LinkPhase::Orphaned { .. }
                )
            })
            .count()
    }

    /// The slots under the cap that are taken: by links, and by dials under way, each of which may become one. A dial to
    /// a peer that is linked already, or to `peer` itself, takes no slot of its own.
    pub(super) fn slots_taken(&self, peer: Option<&NodeId>) -> usize {
        let new = |id: &NodeId| {
            Some(id) != peer
                && self
                    .links
                    .get(id)
                    .is_none_or(|link| matches!(link.phase, LinkPhase::Parked { .. }))
        };
        let dials = self
            .dials
            .values()
            .filter(|dialing| dialing.candidate.id.as_ref().is_none_or(new));
        self.degree() + dials.count()
    }

    fn draw(&mut self, now: Time) {
        let up = self.database.up_count();
        let Self {
            pool,
            rng,
            links,
            dials,
            dial_queue,
            database,
            ..
        } = self;
        let candidates = pool.poll(now, up, rng, |id, addr| {
            let linked = links
                .values()
                .filter(|link| matches!(link.phase, LinkPhase::Live { .. }))
                .any(|link| link.remote == addr || Some(link.peer) == id);
            let under_way = dials.values().any(|dialing| dialing.candidate.addr == addr)
                || dial_queue
                    .iter()
                    .any(|(candidate, _)| candidate.addr == addr);
            // One that is up needs no finding; whether to link with it is the plan's to say.
            let up = match id {
                Some(id) => database.is_up(&id),
                None => database
                    .nodes_up()
                    .any(|(_, entry)| entry.record.body().addrs.contains(&addr)),
            };
            !linked && !under_way && !up
        });
        for candidate in candidates {
            self.enqueue(candidate, 0);
        }
    }

    fn plan_mesh(&mut self, now: Time) {
        let others: Vec<(NodeId, Time)> = self
            .database
            .nodes_up()
            .map(|(_, entry)| (entry.record.id(), entry.since))
            .filter(|(id, _)| *id != self.me && !self.is_linked(id))
            .collect();
        for (id, since) in others {
            let turn = if self.me < id {
                since
            } else {
                since + COURTESY
            };
            if turn <= now {
                self.want(now, id);
            } else {
                self.plan_by(turn);
            }
        }
    }

    /// Our successors, and for each that may be dead the next one in its place: until all its neighbours have told that it is, it is in
    /// view, and a network in which a third died would be without its ring for as long.
    fn plan_ring(&mut self, now: Time) {
        let mut sound = 0;
        for id in self.ring.following() {
            if !self.is_linked(&id) {
                self.want(now, id);
            }
            sound += usize::from(!self.is_doubtful(now, &id));
            if sound == SUCCESSORS {
                break;
            }
        }
    }

    /// Whether a node that is in view may be dead all the same. Only where we lost a link lately: as long as nothing is given up, so no link
    /// that stands in comes and goes.
    fn is_doubtful(&self, now: Time, id: &NodeId) -> bool {
        if !self.own.lost_lately(now) {
            return false;
        }
        match self.links.get(id).map(|link| (link.phase, &link.detector)) {
            // Whatever others say: it answers.
            Some((LinkPhase::Live { .. }, detector)) if !detector.is_missing() => return false,
            Some((LinkPhase::Parked { .. }, _)) => return true,
            Some(_) | None => {}
        }
        let failed = self.retries.get(id).is_some_and(|(at, _)| *at > now);
        let mut slow = self.dials.values().filter(|dialing| dialing.is_slow(now));
        failed || slow.any(|dialing| dialing.candidate.id == Some(*id)) || self.is_disowned(id)
    }

    /// So many nodes went out of view at once.
    pub(super) fn note_gone(&mut self, now: Time, gone: usize) {
        if gone * COLLAPSE >= self.database.up_count() + gone {
            self.collapsed = Some(now);
        }
    }

    /// Looks again when a dial that is under way becomes a slow one.
    fn plan_when_slow(&mut self, now: Time) {
        let named = |dialing: &&Dialing| dialing.candidate.id.is_some();
        let slow_at = self.dials.values().filter(named).map(Dialing::slow_at);
        if let Some(at) = slow_at.filter(|at| *at > now).min() {
            self.plan_by(at);
        }
    }

    /// Whether a neighbour of that node has told since its last record that it suspects their link, or has it no longer.
    fn is_disowned(&self, id: &NodeId) -> bool {
        let short = id.abbreviated();
        let Some(entry) = self.up_entry(id) else {
            return false;
        };
        entry.record.body().links.iter().any(|hop| {
            let index = self.database.index(&hop.peer);
            let other = index.map(|index| self.database.entry(index));
            other.is_some_and(|other| {
                let link = other.record.link_to(&short);
                other.up && other.received > entry.received && link.is_none_or(|link| link.suspect)
            })
        })
    }

    /// Whether the network seems to be starting up around us: nodes still come into view, and more than a
    /// handful. The shape is made once they have come: links made before would mostly be given up again.
    fn is_growing(&self, now: Time) -> bool {
        self.database.up_count() > FEW_NODES && now < self.grown(self.growing())
    }

    /// When the network will have grown no more for so long, or no longer counts as one that starts up.
    pub(super) fn grown(&self, calm: Duration) -> Time {
        (self.grew + calm).min(self.grows_since + LONGEST_GROWTH)
    }

    /// See [`GROWING`].
    pub(super) fn growing(&self) -> Duration {
        if self.database.up_count() <= SMALL {
            GROWING_SMALL
        } else {
            let nodes = u32::try_from(self.database.up_count()).expect("MAX_NODES fits");
            GROWING + GROWING_ROUNDS * self.round() + GROWING_PER_NODE * nodes
        }
    }

    /// Links with random and near nodes until there are `least`, of which we dialed `dialed`.
    fn plan_fill(&mut self, now: Time, least: usize, dialed: usize) {
        let patient = !self.own.lost_lately(now);
        let dials = self.dials.values();
        let under_way = dials
            .filter(|dialing| dialing.candidate.id.is_some())
            .filter(|dialing| patient || !dialing.is_slow(now))
            .count()
            + self.dial_queue.len();
        // Links that others dialed don't count towards the least of our own: else whoever dials enough surrounds us.
        let own = dialed.saturating_sub(self.dialed() + under_way);
        let missing = least.saturating_sub(self.degree() + under_way).max(own);
        for nth in 0..missing {
            let near = (self.degree() + nth) % 2 == 1;
            let pick = if near { self.nearest(now) } else { None };
            let Some(id) = pick.or_else(|| self.random_with_room(now)) else {
                break;
            };
            self.want(now, id);
        }
        if missing > 0 {
            self.plan_by(now + Duration::from_millis(500));
        }
    }

    fn dialed(&self) -> usize {
        self.links
            .values()
            .filter(|link| matches!(link.phase, LinkPhase::Live { .. }))
            .filter(|link| link.direction == Direction::Dialer)
            .count()
    }

    fn is_pickable(&self, now: Time, id: &NodeId) -> bool {
        *id != self.me
            && !self.links.contains_key(id)
            && self.retries.get(id).is_none_or(|(at, _)| *at <= now)
            && !self.is_under_way(id)
            && self.published_degree(id) < self.config.degree_target
    }

    fn is_under_way(&self, id: &NodeId) -> bool {
        self.dials
            .values()
            .any(|dialing| dialing.candidate.id == Some(*id))
            || self
                .dial_queue
                .iter()
                .any(|(candidate, _)| candidate.id == Some(*id))
    }

    fn published_degree(&self, id: &NodeId) -> usize {
        self.database
            .record(id)
            .map_or(0, |record| record.body().links.len())
    }

    /// Of a few random nodes, the one with the fewest links.
    fn random_with_room(&mut self, now: Time) -> Option<NodeId> {
        let mut ids: Vec<NodeId> = self
            .database
            .nodes_up()
            .map(|(_, entry)| entry.record.id())
            .filter(|id| self.is_pickable(now, id))
            .collect();
        let mut sample = Vec::new();
        while sample.len() < SAMPLE && !ids.is_empty() {
            sample.push(ids.swap_remove(self.rng.random_range(0..ids.len())));
        }
        sample
            .into_iter()
            .min_by_key(|id| (self.is_doubtful(now, id), self.published_degree(id)))
    }

    /// The neighbour's neighbour with the shortest way through a neighbour: its distance is not known, but bounded.
    fn nearest(&mut self, now: Time) -> Option<NodeId> {
        let mut best: Option<(u32, NodeId)> = None;
        for link in self.links.values().filter(|link| link.listed) {
            let Some(record) = self.database.record(&link.peer) else {
                continue;
            };
            let first = link.detector.rtt().map_or(u32::MAX, |rtt| rtt.smoothed_us);
            for hop in record.body().links.iter().filter(|hop| hop.rtt_us > 0) {
                let Some(index) = self.database.index(&hop.peer) else {
                    continue;
                };
                let entry = self.database.entry(index);
                let bound = first.saturating_add(hop.rtt_us);
                let id = entry.record.id();
                if entry.up
                    && best.is_none_or(|best| (bound, id) < best)
                    && self.is_pickable(now, &id)
                    && !self.is_doubtful(now, &id)
                {
                    best = Some((bound, id));
                }
            }
        }
        best.map(|(_, id)| id)
    }

    /// Dials a node that is up, unless that is under way or failed lately.
    fn want(&mut self, now: Time, id: NodeId) {
        if let Some((at, _)) = self.retries.get(&id)
            && *at > now
        {
            let at = *at;
            self.plan_by(at);
            return;
        }
        if self.is_under_way(&id) {
            return;
        }
        if let Some(addr) = self.address(&id) {
            self.enqueue(Candidate { id: Some(id), addr }, 0);
        }
    }

    fn enqueue(&mut self, candidate: Candidate, hops: u32) {
        if self.dial_queue.len() < MAX_QUEUE {
            self.dial_queue.push_back((candidate, hops));
        }
    }

    fn start_dials(&mut self, now: Time) {
        // At the cap, what waits for its turn waits for a slot.
        while !self.dial_queue.is_empty()
            && self.dials.len() < self.config.dials_at_once
            && self.slots_taken(None) < self.config.degree_cap
        {
            let Some((candidate, hops)) = self.dial_queue.pop_front() else {
                return;
            };
            let linked = candidate.id.and_then(|id| self.links.get(&id));
            let replaces = match linked.map(|link| link.phase) {
                Some(LinkPhase::Live { .. } | LinkPhase::Orphaned { .. }) => continue,
                Some(LinkPhase::Parked { .. }) => true,
                None => false,
            };
            if self
                .dials
                .values()
                .any(|dialing| dialing.candidate.addr == candidate.addr)
            {
                continue;
            }
            self.dial_counter += 1;
            let dial = DialId(self.dial_counter);
            let dialing = Dialing {
                candidate,
                hops,
                since: now,
            };
            if candidate.id.is_some() {
                self.plan_by(dialing.slow_at());
            }
            self.dials.insert(dial, dialing);
            let eager = now < STARTING;
            self.actions.push_back(Action::Dial {
                dial,
                addr: candidate.addr,
                expect: candidate.id,
                replaces,
                eager,
            });
        }
    }

    pub(super) fn handle_dial_failed(&mut self, now: Time, dial: DialId, why: &DialError) {
        let Some(Dialing {
            candidate, hops, ..
        }) = self.dials.remove(&dial)
        else {
            return;
        };
        self.plan_soon(now);
        match why {
            DialError::Myself => {
                if self.unlearn_own(candidate.addr) {
                    self.events.push_back(Event::OwnTarget(candidate.addr));
                }
                return;
            }
            DialError::Refused(Some(CloseCode::Full), alternatives) => {
                // Only the first refusal is followed: else a chain of refusals could lead a newcomer about for ever.
                if hops == 0 && self.degree() == 0 {
                    self.follow(alternatives, candidate.addr.ip().is_loopback());
                }
            }
            DialError::Refused(Some(CloseCode::IdentityInUse), _) => {
                let remote = Some(candidate.addr);
                self.events.push_back(Event::Twin {
                    run_id: 0,
                    remote,
                    silenced: false,
                });
            }
            DialError::Refused(..)
            | DialError::Timeout
            | DialError::Unreachable
            | DialError::OtherKey
            | DialError::Failed(_) => {}
        }
        if let Some(id) = candidate.id {
            self.keep(id);
        }
        self.pool
            .failed(candidate, now, *why == DialError::OtherKey);
        if let Some(id) = candidate.id {
            self.back_off(now, id);
        }
        self.events
            .push_back(Event::DialFailed(candidate, why.clone()));
    }

    /// Tries the nodes that a full one named instead.
    fn follow(&mut self, alternatives: &[SocketAddr], over_loopback: bool) {
        for &addr in alternatives.iter().take(MAX_ALTERNATIVES) {
            let followed = self.dial_queue.iter().filter(|(_, hops)| *hops > 0).count();
            let queued = self
                .dial_queue
                .iter()
                .any(|(candidate, _)| candidate.addr == addr);
            if followed < MAX_FOLLOWED && !queued && dialable(&addr, over_loopback) {
                self.enqueue(Candidate { id: None, addr }, 1);
            }
        }
    }

    /// Leaves a wanted neighbour alone for a while, longer each time.
    pub(super) fn back_off(&mut self, now: Time, id: NodeId) {
        let failures = self.retries.get(&id).map_or(0, |(_, failures)| *failures);
        let pause = FIRST_RETRY * (1 << failures.min(6));
        self.retries
            .insert(id, (now + pause.min(LONGEST_RETRY), failures + 1));
        if self.retries.len() > super::database::MAX_NODES {
            self.retries.pop_first();
        }
    }

    /// Whether one more link, dialed by this peer, fits under the cap, beside those being dialed from here. Some slots are kept for ring links.
    pub(super) fn has_room_for(&self, peer: &NodeId) -> bool {
        let degree = self.slots_taken(Some(peer));
        if degree >= self.config.degree_cap {
            return false;
        }
        if self.is_full_mesh() || degree + RING_SLOTS < self.config.degree_cap {
            return true;
        }
        let ring = self.ring.neighbors();
        let held = ring.iter().filter(|id| self.links.contains_key(id)).count();
        let reserved = RING_SLOTS.saturating_sub(held);
        ring.contains(peer) || degree + reserved < self.config.degree_cap
    }

    /// Whom a peer that was refused may try instead: nodes with few links.
    pub(super) fn alternatives(&mut self, peer: &NodeId) -> Vec<SocketAddr> {
        let mut with_room: Vec<(usize, u64, NodeId)> = self
            .database
            .nodes_up()
            .map(|(index, entry)| {
                (
                    entry.record.body().links.len(),
                    self.database.ring(index),
                    entry.record.id(),
                )
            })
            .filter(|(_, _, id)| id != peer && *id != self.me)
            .collect();
        // The ring's order is as good as random, and the same for all who ask: the peer spreads the load by its own position.
        let position = ring_position(peer);
        with_room.sort_unstable_by_key(|(degree, ring, _)| (*degree, ring.wrapping_sub(position)));
        with_room
            .into_iter()
            .filter_map(|(_, _, id)| self.address(&id))
            .take(MAX_ALTERNATIVES)
            .collect()
    }

    pub(super) fn handle_superfluous(&mut self, now: Time, peer: NodeId, superfluous: bool) {
        if let Some(link) = self.links.get_mut(&peer)
            && std::mem::replace(&mut link.superfluous_to_peer, superfluous) != superfluous
        {
            self.plan_soon(now);
        }
    }

    /// Marks links that this node could do without, and gives one up that the other end has marked as well. The lower
    /// id does the closing, so the two ends never give up two links for one.
    fn prune(&mut self, now: Time) {
        let after_loss = self.own.last_loss().map_or(now, |at| at + AFTER_LOSS);
        let after_collapse = self.collapsed.map_or(now, |at| at + AFTER_COLLAPSE);
        let settled = after_loss.max(after_collapse);
        let excess = match self.degree().saturating_sub(self.config.degree_target) {
            few if few < TOO_MANY => 0,
            _ if settled > now => {
                self.plan_by(settled);
                0
            }
            many => many,
        };
        let marked: BTreeSet<NodeId> = if excess == 0 {
            BTreeSet::new()
        } else {
            self.excess_links(now, excess)
        };
        for link in self.links.values_mut() {
            let superfluous = marked.contains(&link.peer);
            if std::mem::replace(&mut link.superfluous, superfluous) != superfluous {
                link.tell_superfluous = true;
                self.stirred = true;
            }
        }
        if excess == 0 {
            return;
        }
        self.plan_by(now + SETTLED.max(PRUNE_EVERY));
        if self.prune_due > now {
            self.plan_by(self.prune_due);
            return;
        }
        let agreed = self
            .links
            .values()
            .find(|link| link.superfluous && link.superfluous_to_peer && self.me < link.peer)
            .map(|link| (link.peer, link.conn));
        if let Some((peer, conn)) = agreed {
            self.prune_due = now + PRUNE_EVERY;
            self.plan_by(self.prune_due);
            self.close(now, peer, conn, CloseCode::Superfluous);
        }
    }

    /// The links to give up first: to peers with many links, then the long ones. Ring links and young ones stay. Lengths are compared
    /// by powers of two, so that the noise of measurements does not change anybody's mind.
    fn excess_links(&self, now: Time, excess: usize) -> BTreeSet<NodeId> {
        let ring = self.ring.neighbors();
        let mut candidates: Vec<(usize, u32, NodeId)> = self
            .links
            .values()
            .filter(|link| link.listed && !ring.contains(&link.peer))
            .filter(|link| link.direction == Direction::Listener || self.dialed() > LEAST_DIALED)
            .filter(|link| now.saturating_sub(link.since) >= SETTLED)
            .map(|link| {
                let rtt_us = link.detector.rtt().map_or(u32::MAX, |rtt| rtt.smoothed_us);
                let length = rtt_us.max(1).ilog2();
                (self.published_degree(&link.peer), length, link.peer)
            })
            .collect();
        candidates.sort_unstable();
        candidates
            .into_iter()
            .rev()
            .take(excess)
            .map(|(_, _, id)| id)
            .collect()
    }
}
