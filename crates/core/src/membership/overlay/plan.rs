//! The plan: the nodes to link with, and the links to give up.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt as _;
use rand::seq::IteratorRandom as _;
use rand_chacha::ChaCha8Rng;

use super::ring::SUCCESSORS;
use super::{Overlay, Plan, Seen};
use crate::membership::Time;
use crate::membership::interface::Candidate;
use crate::membership::links::Link;
use crate::membership::view::{View, ring_position};
use crate::record::{Direction, Record};
use crate::wire::NodeId;

impl Overlay {
    /// Looks at the neighbour set, if that is due. Queues the missing dials, and returns the links to give up.
    pub(in crate::membership) fn plan(&mut self, seen: &Seen<'_>, rng: &mut ChaCha8Rng) -> Plan {
        let mut plan = Plan::default();
        if self.plan_due.is_none_or(|due| due > seen.now) {
            return plan;
        }
        self.plan_due = None;
        let tuning = self.tuning.clone();
        let tuned = &tuning.overlay;
        let up = seen.view.up_count();
        self.choose_shape(up);
        if let Some(until) = self.growth.grows_until(seen.now, up, &self.tuning) {
            let (least, dialed) = (tuned.least_while_growing, tuned.least_dialed_while_growing);
            self.fill(seen, least, dialed, rng);
            self.plan_by(until);
        } else if self.full_mesh {
            self.mesh(seen);
        } else {
            self.link_ring(seen);
            self.fill(seen, self.content(), tuned.least_dialed, rng);
            self.prune(seen, &mut plan);
            if let Some(at) = self.dials.next_slow(seen.now) {
                self.plan_by(at);
            }
        }
        plan
    }

    /// With this many links, a node looks for no more.
    fn content(&self) -> usize {
        let tuned = &self.tuning.overlay;
        let few = tuned.content_below_target;
        let content = self.config.degree_target.saturating_sub(few);
        content.max(tuned.least_links)
    }

    fn choose_shape(&mut self, up: usize) {
        let most = if self.full_mesh {
            self.config.full_mesh
        } else {
            self.config
                .full_mesh
                .saturating_sub(self.tuning.overlay.mesh_slack)
        };
        self.full_mesh = up <= most;
    }

    fn mesh(&mut self, seen: &Seen<'_>) {
        let all = seen.view.nodes_up();
        let all = all.map(|(_, entry)| (entry.record.id(), entry.since));
        let others = all.filter(|(id, _)| *id != self.me && !is_linked(seen, id));
        for (id, since) in others.collect::<Vec<_>>() {
            let turn = if self.me < id {
                since
            } else {
                since + self.tuning.overlay.courtesy
            };
            if turn <= seen.now {
                self.request_dial(seen, id);
            } else {
                self.plan_by(turn);
            }
        }
    }

    /// Adds links with our successors on the ring. The next node stands in for a successor that may be dead. A dead one stays in
    /// view until all its neighbours have reported it. If a third of the network died, it would be without its ring until then.
    fn link_ring(&mut self, seen: &Seen<'_>) {
        let mut sound = 0;
        for id in self.ring.following() {
            if !is_linked(seen, &id) {
                self.request_dial(seen, id);
            }
            sound += usize::from(!self.is_doubtful(seen, &id));
            if sound == SUCCESSORS {
                break;
            }
        }
    }

    /// Whether a node is possibly dead though still in view; asked only after a recent loss. No link is given up during that
    /// time, so links that stand in for others don't come and go.
    fn is_doubtful(&self, seen: &Seen<'_>, id: &NodeId) -> bool {
        if !self.tuning.pace.is_after_loss(seen.now, seen.last_loss) {
            return false;
        }
        match seen.links.get(id) {
            // It answers, whatever other nodes report.
            Some(link) if link.is_live() && !link.is_missing() => return false,
            Some(link) if link.is_parked() => return true,
            Some(_) | None => {}
        }
        self.dials.rests_until(seen.now, id).is_some()
            || self.dials.is_slow_to(seen.now, id)
            || is_disowned(seen.view, id)
    }

    /// Adds links with random and near nodes until there are `least`, of which we dialed `dialed`.
    fn fill(&mut self, seen: &Seen<'_>, least: usize, dialed: usize, rng: &mut ChaCha8Rng) {
        let patient = !self.tuning.pace.is_after_loss(seen.now, seen.last_loss);
        // Where most of the network is looked for, hardly any of these dials becomes a link.
        let is_torn = self.candidates.is_torn();
        let may_be_there = |id: &NodeId| !is_torn || seen.view.is_up(id);
        let pending = self.dials.pending(seen.now, patient, may_be_there);
        let degree = seen.links.degree() - self.asked_back(seen).count();
        // Links that other nodes dialed do not count towards `dialed`.
        let own = dialed.saturating_sub(seen.links.dialed() + pending);
        let missing = least.saturating_sub(degree + pending).max(own);
        for nth in 0..missing {
            let near = (degree + nth) % 2 == 1;
            let pick = if near { self.nearest(seen) } else { None };
            let pick = pick.or_else(|| self.random_with_room(seen, rng));
            let Some(id) = pick.or_else(|| self.host_of_guests(seen, rng)) else {
                break;
            };
            self.request_dial(seen, id);
        }
        if missing > 0 {
            self.plan_by(seen.now + self.tuning.overlay.look_again);
        }
    }

    fn is_pickable(&self, seen: &Seen<'_>, id: &NodeId) -> bool {
        self.is_dialable(seen, id) && published_degree(seen.view, id) < self.config.degree_target
    }

    fn is_dialable(&self, seen: &Seen<'_>, id: &NodeId) -> bool {
        *id != self.me
            && seen.links.get(id).is_none()
            && self.dials.rests_until(seen.now, id).is_none()
            && (self.luck.rests_until(seen.now).is_none() || !self.is_unreached(id, seen.view))
            && !self.dials.includes(id)
    }

    /// Whether nobody has reached a node, by its record.
    pub(super) fn is_unreached(&self, id: &NodeId, view: &View) -> bool {
        view.record(id).is_some_and(|record| !is_reached(record))
    }

    /// Of a few random nodes, the one with the fewest links.
    fn random_with_room(&self, seen: &Seen<'_>, rng: &mut ChaCha8Rng) -> Option<NodeId> {
        let all = seen.view.records_up().map(|record| record.id());
        let mut ids: Vec<NodeId> = all.filter(|id| self.is_pickable(seen, id)).collect();
        let mut sample = Vec::new();
        while sample.len() < self.tuning.overlay.sample && !ids.is_empty() {
            sample.push(ids.swap_remove(rng.random_range(0..ids.len())));
        }
        sample
            .into_iter()
            .min_by_key(|id| (self.is_doubtful(seen, id), published_degree(seen.view, id)))
    }

    /// While this node has fewer than two links, others take it as a guest: a random one of those that others reached.
    fn host_of_guests(&self, seen: &Seen<'_>, rng: &mut ChaCha8Rng) -> Option<NodeId> {
        if !self.is_thin(seen.links) {
            return None;
        }
        let reached = seen.view.records_up().filter(|record| is_reached(record));
        let ids = reached.map(|record| record.id());
        ids.filter(|id| self.is_dialable(seen, id)).choose(rng)
    }

    /// Of our neighbours' neighbours, the one with the shortest path through a neighbour: that path bounds its unknown distance.
    fn nearest(&self, seen: &Seen<'_>) -> Option<NodeId> {
        let view = seen.view;
        let mut best: Option<(u32, NodeId)> = None;
        // All guests of one host would find the same one.
        let degree = |link: &Link| published_degree(view, &link.peer());
        let hosts = |link: &&Link| !self.is_host(degree(link));
        for link in seen.links.listed().filter(hosts) {
            let Some(record) = view.record(&link.peer()) else {
                continue;
            };
            let first = link.rtt_us().unwrap_or(u32::MAX);
            for hop in record.body().links.iter().filter(|hop| hop.rtt_us > 0) {
                let Some(index) = view.index(&hop.peer) else {
                    continue;
                };
                let entry = view.entry(index);
                let bound = first.saturating_add(hop.rtt_us);
                let id = entry.record.id();
                if entry.up
                    && best.is_none_or(|best| (bound, id) < best)
                    && self.is_pickable(seen, &id)
                    && !self.is_doubtful(seen, &id)
                {
                    best = Some((bound, id));
                }
            }
        }
        best.map(|(_, id)| id)
    }

    /// Queues a dial of a node that is up, unless one is under way or failed recently.
    fn request_dial(&mut self, seen: &Seen<'_>, id: NodeId) {
        let is_unreached = self.is_unreached(&id, seen.view);
        let unlucky = self.luck.rests_until(seen.now).filter(|_| is_unreached);
        if let Some(at) = self.dials.rests_until(seen.now, &id).or(unlucky) {
            self.plan_by(at);
        } else if !self.dials.includes(&id)
            && let Some(addr) = self.address(&id, seen.view)
        {
            if is_unreached {
                self.luck.begins(seen.now, &self.tuning.overlay);
            }
            self.dials.enqueue(Candidate { id: Some(id), addr });
        }
    }

    /// Chooses the links that this node could do without, and those of them to give up, if the other end could do without them as
    /// well: one at a time, or all that are beyond the cap. The lower id closes the link, so the two ends never give up two links
    /// when one is enough.
    fn prune(&mut self, seen: &Seen<'_>, plan: &mut Plan) {
        let now = seen.now;
        let settled = self
            .tuning
            .pace
            .loss_settles(now, seen.last_loss)
            .max(self.growth.settles(now, &self.tuning.overlay));
        let degree = seen.links.degree();
        let over_cap = degree.saturating_sub(self.config.degree_cap);
        let excess = match degree.saturating_sub(self.config.degree_target) {
            few if few < self.tuning.overlay.too_many && over_cap == 0 => 0,
            _ if settled > now => {
                self.plan_by(settled);
                0
            }
            many => many,
        };
        let settled = if self.is_host(degree) {
            Time::ZERO
        } else {
            self.tuning.overlay.settled
        };
        let mut superfluous = self.excess_links(seen, excess, settled);
        superfluous.extend(self.spared(seen));
        if excess > 0 {
            self.plan_by(
                now + self
                    .tuning
                    .overlay
                    .settled
                    .max(self.tuning.overlay.prune_every),
            );
        }
        if !superfluous.is_empty() {
            if self.prune_due > now {
                self.plan_by(self.prune_due);
            } else {
                plan.give_up = self.agreed(seen, &superfluous, over_cap.max(1));
                if !plan.give_up.is_empty() {
                    self.prune_due = now + self.tuning.overlay.prune_every;
                    self.plan_by(self.prune_due);
                }
            }
        }
        plan.superfluous = Some(superfluous);
    }

    /// The links that both ends could do without and that this end closes, up to `most` of them. None of these peers loses its only
    /// path to our other neighbours.
    fn agreed(&self, seen: &Seen<'_>, superfluous: &BTreeSet<NodeId>, most: usize) -> Vec<NodeId> {
        let mut gone = Vec::new();
        let is_host = self.is_host(seen.links.degree());
        let marked = superfluous.iter().filter_map(|id| seen.links.get(id));
        for link in marked.filter(|link| link.is_superfluous_to_peer()) {
            let peer = link.peer();
            let closes = match (is_host, self.is_host(published_degree(seen.view, &peer))) {
                // The host knows which of its guests it has let go, and so which paths are left.
                (true, false) => true,
                (false, true) => false,
                (true, true) | (false, false) => self.me < peer,
            };
            if gone.len() < most && closes && self.is_joined_without(seen, &peer, &gone) {
                gone.push(peer);
            }
        }
        gone
    }

    /// The links that hosts of this node asked it to give up: others may need these slots.
    fn asked_back<'a>(&'a self, seen: &Seen<'a>) -> impl Iterator<Item = &'a Link> {
        let ring = self.ring.neighbors();
        let seen = *seen;
        seen.links.iter().filter(move |link| {
            link.is_live()
                && link.is_superfluous_to_peer()
                && !ring.contains(&link.peer())
                && self.is_host(published_degree(seen.view, &link.peer()))
        })
    }

    /// The links that hosts asked back, as long as there are enough others.
    fn spared(&self, seen: &Seen<'_>) -> BTreeSet<NodeId> {
        let live = seen.links.iter().filter(|link| link.is_live()).count();
        let most = live.saturating_sub(self.content());
        self.asked_back(seen).map(Link::peer).take(most).collect()
    }

    /// The links to give up first: to peers with many links, then the long ones. Ring links and young ones stay. Lengths are
    /// compared by powers of two, so that the noise of measurements does not change the choice.
    fn excess_links(&self, seen: &Seen<'_>, excess: usize, settled: Duration) -> BTreeSet<NodeId> {
        if excess == 0 {
            return BTreeSet::new();
        }
        let kept = self.ring.neighbors();
        let spares_dialed = seen.links.dialed() > self.tuning.overlay.least_dialed;
        let mut candidates: Vec<(usize, u32, NodeId)> = seen
            .links
            .listed()
            .filter(|link| !kept.contains(&link.peer()))
            .filter(|link| !link.is_dialed() || spares_dialed)
            .filter(|link| seen.now.saturating_sub(link.since()) >= settled)
            .map(|link| {
                let length = link.rtt_us().unwrap_or(u32::MAX).max(1).ilog2();
                (
                    published_degree(seen.view, &link.peer()),
                    length,
                    link.peer(),
                )
            })
            .collect();
        candidates.sort_unstable();
        let first = candidates.into_iter().rev().take(excess);
        first.map(|(_, _, id)| id).collect()
    }
}

/// Whether the peer has a link, or is about to get one, without a dial.
fn is_linked(seen: &Seen<'_>, id: &NodeId) -> bool {
    seen.links.get(id).is_some_and(|link| !link.is_parked())
}

pub(super) fn published_degree(view: &View, id: &NodeId) -> usize {
    let record = view.record(id);
    record.map_or(0, |record| record.body().links.len())
}

/// Whether a neighbour of that node reports the link between them as suspect or no longer lists it, in a record newer than the
/// node's.
fn is_disowned(view: &View, id: &NodeId) -> bool {
    let short = id.abbreviated();
    let Some(entry) = view.up_entry(id) else {
        return false;
    };
    entry.record.body().links.iter().any(|hop| {
        let index = view.index(&hop.peer);
        let other = index.map(|index| view.entry(index));
        other.is_some_and(|other| {
            let link = other.record.link_to(&short);
            other.up && other.received > entry.received && link.is_none_or(|link| link.suspect)
        })
    })
}

/// Whether somebody dialed that node, by its own record: it may be out of reach of others, but it isn't out of reach of all.
fn is_reached(record: &Record) -> bool {
    let mut links = record.body().links.iter();
    links.any(|link| link.direction == Direction::Listener)
}

/// The nodes that are up: those with fewer than `most` links first, of these those that others reached, in the order in which node
/// `from` sends them to `peer`.
pub(super) fn alternatives(from: NodeId, peer: &NodeId, most: usize, view: &View) -> Vec<NodeId> {
    let position = ring_position(peer);
    let all = view.nodes_up();
    let all = all.map(|(index, entry)| {
        let degree = entry.record.body().links.len();
        let distance = view.ring(index).wrapping_sub(position);
        let id = entry.record.id();
        (
            degree >= most,
            !is_reached(entry.record),
            degree,
            distance,
            id,
        )
    });
    let mut others: Vec<_> = all.filter(|(.., id)| id != peer && *id != from).collect();
    others.sort_unstable();
    others.into_iter().map(|(.., id)| id).collect()
}
