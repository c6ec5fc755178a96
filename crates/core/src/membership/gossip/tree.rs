//! The tree along which records travel, in a network that is no full mesh.
//!
//! Flooding brings every record over nearly every link: in a network of degree eight, six times to each node. So most links are
//! *lazy*: over those a node only names the records that it has, a moment later, and the neighbour requests those that it lacks. The others are
//! *eager*, and form a tree that nobody plans, as in Plumtree (Leitão, Pereira, Rodrigues: Epidemic Broadcast Trees, 2007): a link
//! that brings what another one brought before is pruned at both its ends, and one that names records that did not come, most of those
//! that it names, is grafted. So the tree follows the quickest paths, and mends itself when a node on it dies. Both ends may disagree
//! for a moment on what a link is; then a record comes twice, or is named, and that settles it.
//!
//! Plumtree is for one source. Where every node is a source, one tree is not the quickest path for all of them: a few of the
//! records that are named are always late. They are requested, and that is all. If each of them grafted its link, storms of thousands of records
//! would come twice: a link would be grafted for three records, bring three hundred that others bring as well, and be pruned again.

use super::Gossip;
use super::backlog::{Backlog, Slot, Slots};
use super::waiting::Route;
use crate::membership::Time;
use crate::membership::links::Links;
use crate::membership::view::{Index, View};
use crate::wire::{MAX_SYNC_ENTRIES, Message, NodeId, ShortId};

/// How records are pushed to a neighbour, and what is counted to decide it.
#[derive(Debug, Default)]
pub(super) struct PushMode {
    /// Lazy push, off the tree: records are named, and sent on request. Else eager push.
    pub(super) lazy: bool,
    /// Records that came over it lately: new ones, and those that another link had brought.
    pub(super) news: u32,
    pub(super) repeats: u32,
    /// Records requested of this neighbour. Those that came since the last look at what did not come are among them.
    pub(super) requested: usize,
}

/// The links to fan records out to, as they stand while records are passed on.
pub(super) struct FanOut {
    neighbors: Vec<Neighbor>,
    eager: Slots,
    lazy: Slots,
}

struct Neighbor {
    slot: Slot,
    short: ShortId,
    /// Its own place, looked up once: to ask each record for its id would be to read all of them.
    index: Option<Index>,
    run_id: u64,
    comes_after_us: bool,
    lazy: bool,
}

impl FanOut {
    /// The neighbours shall get a node's newest record, by that route: they are sent it now, or have it named by then. Neighbours that have it, or
    /// will hear it from the node itself, do not need it.
    pub(super) fn pass_on(
        &self,
        backlog: &mut Backlog,
        view: &View,
        index: Index,
        route: Route,
        by: Time,
    ) {
        // A node has its own records, but not those of another run with its key.
        let is_own = |neighbor: &&Neighbor| {
            neighbor.index == Some(index) && view.record_at(index).body().run_id == neighbor.run_id
        };
        if route == Route::Tree && !self.neighbors.iter().any(|neighbor| is_own(&neighbor)) {
            backlog.hand_on(index, &self.eager, &self.lazy, by);
            return;
        }
        let record = view.record_at(index);
        for neighbor in self.neighbors.iter().filter(|one| !is_own(one)) {
            let hears = || record.link_to(&neighbor.short).is_some();
            let (sent, named) = match route {
                Route::Everywhere => (true, false),
                Route::Around if !hears() => (true, false),
                Route::Around | Route::Tree => (!neighbor.lazy, neighbor.lazy),
                Route::FirstTurn => (neighbor.comes_after_us && !hears(), false),
                Route::SecondTurn => (!neighbor.comes_after_us && !hears(), false),
            };
            if sent {
                backlog.offer(neighbor.slot, index);
            } else if named {
                backlog.name(neighbor.slot, index, by);
            }
        }
    }
}

/// The message that names records that we have, if it is time for one.
pub(super) fn next_names(
    slot: Slot,
    now: Time,
    backlog: &mut Backlog,
    view: &View,
) -> Option<Message> {
    let named = backlog.take_named(slot, now, MAX_SYNC_ENTRIES);
    let version = |index| {
        let record = view.record_at(index);
        (record.id().abbreviated(), record.version())
    };
    (!named.is_empty()).then(|| Message::Have(named.into_iter().map(version).collect()))
}

impl Gossip {
    /// Queues a node's newest figures for neighbours, except the one that brought them: along `tree`, or in a full mesh for those
    /// that won't hear them from the node itself. Figures that are not `urgent` wait for the next probe to or from each
    /// neighbour. They are most of the traffic at rest, and a packet of their own, with its acknowledgement, would cost more than
    /// they do. Lost figures are not requested: the next ones come soon.
    pub(in crate::membership) fn spread_figures(
        &mut self,
        (now, urgent): (Time, bool),
        (index, from): (Index, Option<NodeId>),
        tree: &[NodeId],
        view: &View,
    ) {
        let hold = self.tuning.gossip.figures_hold;
        let by = if urgent { now } else { now + hold };
        let record = view.record_at(index);
        let is_own = index == view.me();
        for (peer, neighbor) in self.neighbors.iter_mut() {
            let has = from == Some(*peer) || record.id() == *peer;
            let is_sent = if self.has_tree {
                tree.contains(peer)
            } else {
                is_own || record.link_to(&peer.abbreviated()).is_none()
            };
            if is_sent && !has {
                neighbor.tell_figures(index, by);
                self.to_send = true;
            }
        }
    }

    pub(super) fn fan_out(&self, view: &View) -> FanOut {
        let all = || self.neighbors.iter();
        let some = |lazy| {
            let some = all().filter(move |(_, one)| one.push.lazy == lazy);
            self.backlog.slots(some.map(|(_, one)| one.slot))
        };
        let neighbors = all().map(|(peer, one)| {
            let short = peer.abbreviated();
            Neighbor {
                slot: one.slot,
                short,
                index: view.index(&short),
                run_id: one.run_id,
                comes_after_us: self.me < *peer,
                lazy: one.push.lazy,
            }
        });
        FanOut {
            neighbors: neighbors.collect(),
            eager: some(false),
            lazy: some(true),
        }
    }

    /// How many neighbours are on the tree whose links are in use, counted up to `most`.
    fn eager(&self, links: &Links, most: usize) -> usize {
        let eager = self
            .paired(links)
            .filter(|(one, link)| !one.push.lazy && link.is_live());
        eager.take(most).count()
    }

    /// The push mode of a new link, which is no neighbour's yet. One to a node that was in view already is lazy, until it shows that it is
    /// quicker than the path by which that node was in view.
    pub(super) fn new_push_mode(&self, links: &Links, was_up: bool) -> PushMode {
        let mut eager = self.neighbors.iter().filter(|(_, one)| !one.push.lazy);
        PushMode {
            lazy: was_up && self.has_tree && eager.any(|(peer, _)| links.is_live(peer)),
            ..PushMode::default()
        }
    }

    pub(super) fn count(&mut self, peer: &NodeId, count: impl FnOnce(&mut PushMode)) {
        if let Some(neighbor) = self.neighbors.get_mut(peer) {
            count(&mut neighbor.push);
        }
    }

    /// Prunes a neighbour whose last records another one had mostly brought before, unless it is our last one on the tree.
    pub(in crate::membership) fn prune_if_late(&mut self, peer: &NodeId, links: &Links) {
        let Some(neighbor) = self.neighbors.get_mut(peer) else {
            return;
        };
        let PushMode {
            lazy,
            news,
            repeats,
            ..
        } = neighbor.push;
        if news + repeats < self.tuning.gossip.least_judged {
            return;
        }
        (neighbor.push.news, neighbor.push.repeats) = (0, 0);
        let is_late = repeats > news;
        if self.has_tree
            && is_late
            && !lazy
            && links.is_live(peer)
            && self.eager(links, 2) > 1
            && self.post(peer, Message::Prune)
        {
            self.set_lazy(peer, true);
        }
    }

    /// Another neighbour brings it our records sooner.
    pub(in crate::membership) fn handle_prune(&mut self, peer: &NodeId) {
        self.set_lazy(peer, true);
    }

    /// The neighbour lacks those, and wants to be on the tree.
    pub(in crate::membership) fn handle_graft(
        &mut self,
        peer: &NodeId,
        ids: &[ShortId],
        view: &View,
    ) {
        self.set_lazy(peer, false);
        self.handle_request(peer, ids, view);
    }

    pub(super) fn set_lazy(&mut self, peer: &NodeId, lazy: bool) {
        self.count(peer, |push| push.lazy = lazy);
    }

    /// A node with no link on the tree goes back to one neighbour.
    pub(super) fn keep_eager(&mut self, links: &Links) {
        if self.eager(links, 1) == 0 {
            self.graft_nearest(links);
        }
    }

    /// Takes one more link into the tree, in place of one that broke or was given up: the nearest one, as its names come soonest.
    pub(in crate::membership) fn graft_nearest(&mut self, links: &Links) {
        if !self.has_tree {
            return;
        }
        let lazy = self
            .paired(links)
            .filter(|(one, link)| one.push.lazy && link.is_live());
        let nearest = lazy.min_by_key(|(_, link)| (link.rtt_us(), link.peer()));
        if let Some(peer) = nearest.map(|(_, link)| link.peer())
            && self.post(&peer, Message::Graft(Vec::new()))
        {
            self.set_lazy(&peer, false);
        }
    }
}
