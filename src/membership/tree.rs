//! The tree along which records travel, in a network that is no full mesh.
//!
//! Flooding brings every record over nearly every link: in a network of degree eight, six times to each node. So most links are
//! *lazy*: over those a node only tells which records it has, a moment later, and the neighbour asks for what it lacks. The others are
//! *eager*, and form a tree without anybody planning one, as in Plumtree (Leitão, Pereira, Rodrigues: Epidemic Broadcast Trees,
//! 2007): a link that brings what another one brought before is pruned, at both its ends; one that tells of records that did
//! not come, most of those that it tells of, is grafted. So the tree follows the quickest ways, and mends itself when a node on it dies.
//! Both ends may disagree for a moment on what a link is; then a record comes twice, or is told of, and that settles it.
//!
//! Where every node is a source, one tree is no quickest way for all of them: a few records of those told of are always late. They are
//! asked for, and that is all. If every one of them grafted its link, storms of thousands of records, in which links bring hundreds at a
//! time, would come twice: a link would be grafted for three, bring three hundred that others bring as well, and be pruned again.
//!
//! A tree saves most where much happens at once, and costs a little time: it has more hops than the shortest ways. So while little
//! happens, gains and losses *flood* after all ([`Flood`]), and only storms and measurements take the tree. In storms, in turn, records go
//! along it in rounds, many in one message; a few go as they come.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::backlog::{Backlog, Slot, Slots, Way};
use super::change::Change;
use super::database::{Database, Index};
use super::links::{Link, LinkPhase};
use super::spread::end_of_round;
use super::{ConnId, Core, Time};
use crate::record::Version;
use crate::wire::{MAX_SYNC_ENTRIES, Message, NodeId, ShortId};

/// What was asked for is not asked for again in this time: several neighbours tell of it. If it has not come by then, it is, so often.
const ASKED: Duration = Duration::from_millis(500);
const MOST_TRIES: u32 = 3;
/// What others told of while an answer was on its way is asked for so often: who makes the answers come one by one has us send no more.
const ASKED_TOGETHER: Duration = Duration::from_millis(50);
/// What a neighbour brings is judged by no fewer records: of a few, chance says which way is the quicker one, and where many nodes cut
/// links by chance, the tree falls apart. (Judged by eight, news of 600 deaths among 2000 nodes took .6 s longer to reach all, and no fewer
/// copies; by a hundred, a start makes more copies and is hardly quicker.)
const LEAST_JUDGED: u32 = 32;
/// So many records may be asked for at a time: half of the largest network. At the start of ten thousand nodes, a third of all
/// records come by asking.
const MOST_ASKED: usize = super::database::MAX_NODES / 2;
/// And of one neighbour half of these: it may tell of nodes that it invented, and others are to be asked all the same.
const MOST_ASKED_OF_ONE: usize = MOST_ASKED / 2;

/// So many gains and losses flood at once, then so many a second: as many as one node's restart brings in a network of degree eight,
/// with its neighbours' losses and gains.
const CHANGES: Rate = Rate {
    burst: 32.0,
    per_s: 8.0,
};
/// The same for suspicions: the first of a node's neighbours to have one tells all the others, and links that lose now and then bring
/// them forth all the time.
const SUSPICIONS: Rate = Rate {
    burst: 4.0,
    per_s: 0.25,
};
/// So many records travel along the tree without waiting for each other: rounds are for storms.
const ALONE: Rate = Rate {
    burst: 50.0,
    per_s: 50.0,
};
/// What flooded that long ago has arrived by every way.
const FLOODED: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: f64,
    per_s: f64,
}

/// Which news goes over every link, tree or not: gains, losses and suspicions, as long as they are few. In a storm each of them,
/// flooding or not, keeps the bucket empty.
#[derive(Debug)]
pub(super) struct Flood {
    changes: Bucket,
    suspicions: Bucket,
    alone: Bucket,
    /// What flooded lately: its copies say nothing about the ways they came by.
    recent: VecDeque<(Time, Index)>,
}

#[derive(Debug, Default)]
struct Bucket {
    left: f64,
    at: Time,
}

impl Bucket {
    fn take(&mut self, now: Time, rate: Rate) -> bool {
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        let filled = (self.left + elapsed * rate.per_s).min(rate.burst);
        self.left = (filled - 1.0).max(-rate.burst);
        self.left >= 0.0
    }
}

impl Flood {
    /// A start is a storm.
    pub(super) fn new() -> Self {
        Self {
            changes: Bucket::default(),
            suspicions: Bucket::default(),
            alone: Bucket::default(),
            recent: VecDeque::new(),
        }
    }

    /// One more piece of news: does it flood?
    fn take(&mut self, now: Time, index: Index, change: Change) -> bool {
        let floods = match change {
            Change::Gain | Change::Loss => self.changes.take(now, CHANGES),
            Change::Suspicion => self.suspicions.take(now, SUSPICIONS),
            Change::Figures => return false,
        };
        let old = self.recent.iter().take_while(|(at, _)| *at + FLOODED < now);
        self.recent.drain(..old.count());
        if floods {
            self.recent.push_back((now, index));
        }
        floods
    }

    /// One more record for the tree: does it wait for others?
    pub(super) fn goes_in_rounds(&mut self, now: Time) -> bool {
        !self.alone.take(now, ALONE)
    }

    pub(super) fn is_under_way(&self, now: Time, index: Index) -> bool {
        let lately = |&(at, which): &(Time, Index)| which == index && now <= at + FLOODED;
        self.recent.iter().any(lately)
    }
}

/// A record that neighbours told of, and that is not here yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Neighbours that told of it, and of which version: whoever was asked first, whoever else told of the newest, and the last one else to
    /// tell. One of them may be a liar.
    tellers: [Option<(Version, ConnId)>; 3],
    /// Who was asked last, and when somebody is asked again.
    of: ConnId,
    again: Time,
    /// How often it was asked for since a version of it came.
    tries: u32,
}

impl Asked {
    /// The first one to tell of it is asked now.
    fn of(version: Version, of: ConnId, again: Time) -> Self {
        Self {
            tellers: [Some((version, of)), None, None],
            of,
            again,
            tries: 1,
        }
    }

    /// Who told of a newer version than that, the newest first.
    fn tellers_of(&self, newer_than: Option<Version>) -> Vec<(Version, ConnId)> {
        let tellers = self.tellers.into_iter().flatten();
        let mut newer: Vec<_> = tellers.filter(|(v, _)| newer_than < Some(*v)).collect();
        newer.sort_by_key(|(version, _)| Reverse(*version));
        newer
    }

    /// One more neighbour tells of it.
    fn hear(&mut self, version: Version, of: ConnId) {
        let mut tellers = self.tellers.iter_mut().flatten();
        if let Some((told, _)) = tellers.find(|(_, by)| *by == of) {
            *told = version.max(*told);
        } else {
            self.tellers[2] = Some((version, of));
        }
        let [_, newest, last] = &mut self.tellers;
        let told = |teller: Option<(Version, ConnId)>| teller.map(|(version, _)| version);
        if told(*last) > told(*newest) {
            std::mem::swap(newest, last);
        }
    }

    /// Whom to ask next, of those that have a newer one than we: in turn.
    fn next(&self, ours: Option<Version>, is_live: impl Fn(ConnId) -> bool) -> Option<ConnId> {
        let mut have = self.tellers_of(ours);
        have.retain(|(_, of)| is_live(*of));
        let asked = have.iter().position(|(_, of)| *of == self.of);
        let turn = asked.map_or(0, |asked| (asked + 1) % have.len());
        have.get(turn).map(|(_, of)| *of)
    }

    /// A version of it came; tells whether that is all that was told of.
    fn has_come(&mut self, version: Version) -> bool {
        self.tries = 0;
        self.tellers_of(Some(version)).is_empty()
    }
}

/// A link's part in the tree.
#[derive(Debug, Default)]
pub(super) struct Branch {
    /// Off the tree: records are told of, and sent on demand.
    lazy: bool,
    /// Records that came over it lately: new ones, and those that another link had brought.
    pub(super) news: u32,
    pub(super) repeats: u32,
    /// Records that this neighbour was asked for; those that came since the last look at what did not come are among them.
    asked: usize,
}

/// The links as they stand while records are passed on.
pub(super) struct Ways {
    neighbors: Vec<Neighbor>,
    eager: Slots,
    lazy: Slots,
}

struct Neighbor {
    slot: Slot,
    short: ShortId,
    /// Its own place, looked up once: to ask each record for its id would be to read all of them.
    index: Option<Index>,
    comes_after_us: bool,
    lazy: bool,
}

impl Ways {
    /// The neighbours shall get a node's newest record, which goes that way: now, or be told of it by then. Whoever has it, or will hear
    /// it from the node itself, does not need it.
    pub(super) fn pass_on(
        &self,
        backlog: &mut Backlog,
        database: &Database,
        index: Index,
        way: Way,
        by: Time,
    ) {
        let is_own = |neighbor: &&Neighbor| neighbor.index == Some(index);
        if way == Way::Tree && !self.neighbors.iter().any(|neighbor| is_own(&neighbor)) {
            backlog.hand_on(index, &self.eager, &self.lazy, by);
            return;
        }
        let record = database.record_at(index);
        for neighbor in self.neighbors.iter().filter(|one| !is_own(one)) {
            let hears = || record.link_to(&neighbor.short).is_some();
            let (sent, told) = match way {
                Way::Everywhere => (true, false),
                Way::Around if !hears() => (true, false),
                Way::Around | Way::Tree => (!neighbor.lazy, neighbor.lazy),
                Way::FirstTurn => (neighbor.comes_after_us && !hears(), false),
                Way::SecondTurn => (!neighbor.comes_after_us && !hears(), false),
            };
            if sent {
                backlog.offer(neighbor.slot, index);
            } else if told {
                backlog.mention(neighbor.slot, index, by);
            }
        }
    }
}

impl Link {
    pub(super) fn is_branch(&self) -> bool {
        !self.branch.lazy && self.is_live()
    }

    fn is_live(&self) -> bool {
        matches!(self.phase, LinkPhase::Live { .. })
    }

    /// The message that tells which records we have, if it is time for one.
    pub(super) fn tell(
        &self,
        now: Time,
        backlog: &mut Backlog,
        database: &Database,
    ) -> Option<Message> {
        let told = backlog.take_told(self.slot, now, MAX_SYNC_ENTRIES);
        let version = |index| {
            let record = database.record_at(index);
            (record.id().abbreviated(), record.version())
        };
        (!told.is_empty()).then(|| Message::Have(told.into_iter().map(version).collect()))
    }
}

impl Core {
    pub(super) fn ways(&self) -> Ways {
        let links = || self.links.values();
        let some = |lazy| links().filter(move |link| link.branch.lazy == lazy);
        let neighbors = links().map(|link| {
            let short = link.peer.abbreviated();
            Neighbor {
                slot: link.slot,
                short,
                index: self.database.index(&short),
                comes_after_us: self.me < link.peer,
                lazy: link.branch.lazy,
            }
        });
        Ways {
            neighbors: neighbors.collect(),
            eager: self.backlog.slots(some(false).map(|link| link.slot)),
            lazy: self.backlog.slots(some(true).map(|link| link.slot)),
        }
    }

    /// Whether records travel along a tree; in a full mesh everybody is one step away.
    pub(super) fn has_tree(&self) -> bool {
        !self.is_full_mesh()
    }

    /// Whether a node's new record goes over every link.
    pub(super) fn floods(&mut self, now: Time, index: Index, change: Change) -> bool {
        self.flood.take(now, index, change)
    }

    /// A new link's part: one to a node that was in view already has yet to show that it is quicker than the way by which it was.
    pub(super) fn new_branch(&self, was_up: bool) -> Branch {
        let lazy = was_up && self.has_tree() && self.links.values().any(Link::is_branch);
        Branch {
            lazy,
            ..Branch::default()
        }
    }

    /// A neighbour whose last records another one had all brought before leaves the tree, unless it is our last one on it.
    pub(super) fn prune_branch(&mut self, peer: NodeId) {
        let branches = self.links.values().filter(|link| link.is_branch()).count();
        let has_tree = self.has_tree();
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let Branch { news, repeats, .. } = link.branch;
        if news + repeats < LEAST_JUDGED {
            return;
        }
        (link.branch.news, link.branch.repeats) = (0, 0);
        let useless = repeats > news;
        if has_tree
            && useless
            && link.is_branch()
            && branches > 1
            && self.post(peer, Message::Prune)
        {
            self.set_lazy(peer, true);
        }
    }

    /// The neighbour hears what we have from somebody else.
    pub(super) fn handle_prune(&mut self, peer: NodeId) {
        self.set_lazy(peer, true);
    }

    /// The neighbour lacks those, and wants to be on the tree.
    pub(super) fn handle_graft(&mut self, peer: NodeId, ids: &[ShortId]) {
        self.set_lazy(peer, false);
        self.handle_want(peer, ids);
    }

    /// The neighbour has those, and is asked for what we lack of them. If that is most, it did not come along the tree: that is broken, or
    /// this is the quicker way.
    pub(super) fn handle_have(&mut self, now: Time, peer: NodeId, entries: &[(ShortId, Version)]) {
        let Some(link) = self.links.get(&peer) else {
            return;
        };
        let (of, slot, asked_before) = (link.conn, link.slot, link.branch.asked);
        let mut missing = Vec::new();
        for (short, version) in entries {
            let have = self.database.index(short);
            let ours = have.map(|index| self.database.record_at(index).version());
            if ours.is_none_or(|ours| ours < *version) {
                if let Some(asked) = self.asked.get_mut(short) {
                    asked.hear(*version, of);
                } else if !self.waits_to_be_verified(short, *version) {
                    missing.push((*short, *version));
                }
            } else if let Some(index) = have.filter(|_| ours == Some(*version)) {
                self.backlog.settle(slot, index);
            }
        }
        let lacks_most = missing.len() * 2 >= entries.len();
        let of_it = MOST_ASKED_OF_ONE.saturating_sub(asked_before);
        let of_all = MOST_ASKED.saturating_sub(self.asked.len());
        missing.truncate(of_it.min(of_all));
        if missing.is_empty() {
            return;
        }
        let ids = missing.iter().map(|(short, _)| *short).collect();
        // What there was no room for in the outbox is asked for when that is due again.
        if !lacks_most {
            self.post(peer, Message::Want(ids));
        } else if self.post(peer, Message::Graft(ids)) {
            self.set_lazy(peer, false);
        }
        if let Some(link) = self.links.get_mut(&peer) {
            link.branch.asked += missing.len();
        }
        let again = now + ASKED;
        let ask = |(short, version)| (short, Asked::of(version, of, again));
        self.asked.extend(missing.into_iter().map(ask));
        self.ask_due = self.ask_due.or(Some(again));
    }

    /// Asks again for what was asked for and did not come: the link that should have brought it may be gone, or was no longer on the tree.
    pub(super) fn ask_again(&mut self, now: Time) {
        let mut again: BTreeMap<(NodeId, bool), Vec<ShortId>> = BTreeMap::new();
        let links = self.links.values().filter(|link| link.is_live());
        let peers: BTreeMap<ConnId, NodeId> = links.map(|link| (link.conn, link.peer)).collect();
        let database = &self.database;
        let ours = |short: &ShortId| Some(database.record_at(database.index(short)?).version());
        let before = self.asked.len();
        self.asked.retain(|short, asked| {
            if asked.again > now {
                return true;
            }
            let next = asked.next(ours(short), |of| peers.contains_key(&of));
            let Some(of) = next.filter(|_| asked.tries < MOST_TRIES) else {
                return false;
            };
            let came_not = asked.tries > 0;
            (asked.of, asked.tries, asked.again) = (of, asked.tries + 1, now + ASKED);
            again
                .entry((peers[&of], came_not))
                .or_default()
                .push(*short);
            true
        });
        if self.asked.len() < before {
            // Nobody will tell of it once more.
            self.asked_in_vain = Some(now);
        }
        self.ask_due = self.asked.values().map(|asked| asked.again).min();
        for link in self.links.values_mut() {
            link.branch.asked = 0;
        }
        for asked in self.asked.values() {
            let [first, ..] = asked.tellers;
            let peer = first.and_then(|(_, of)| peers.get(&of));
            if let Some(link) = peer.and_then(|peer| self.links.get_mut(peer)) {
                link.branch.asked += 1;
            }
        }
        for ((peer, came_not), ids) in again {
            for ids in ids.chunks(MAX_SYNC_ENTRIES) {
                if !came_not {
                    self.post(peer, Message::Want(ids.to_vec()));
                } else if self.post(peer, Message::Graft(ids.to_vec())) {
                    self.set_lazy(peer, false);
                }
            }
        }
    }

    /// A record came over that link: nobody needs to be asked for it, or an older one, any more. Where others told of a newer one, and this is
    /// the answer that was waited for, they are asked now.
    pub(super) fn has_come(&mut self, now: Time, short: &ShortId, version: Version, over: ConnId) {
        let soon = end_of_round(now, self.round().max(ASKED_TOGETHER));
        let Some(asked) = self.asked.get_mut(short) else {
            return;
        };
        if asked.has_come(version) {
            self.asked.remove(short);
        } else if asked.of == over {
            asked.again = asked.again.min(soon);
            self.ask_due = self.ask_due.map(|due| due.min(soon));
        }
    }

    fn waits_to_be_verified(&self, short: &ShortId, version: Version) -> bool {
        let mut least = NodeId([0; 32]);
        least.0[..16].copy_from_slice(&short.0);
        self.unverified
            .range(least..)
            .next()
            .filter(|(id, _)| id.abbreviated() == *short)
            .is_some_and(|(_, records)| {
                records
                    .iter()
                    .any(|(record, _)| record.version() >= version)
            })
    }

    fn set_lazy(&mut self, peer: NodeId, lazy: bool) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.branch.lazy = lazy;
        }
    }

    /// A node that is on no branch of the tree goes back to one neighbour.
    pub(super) fn keep_a_branch(&mut self) {
        if !self.links.values().any(Link::is_branch) {
            self.add_branch();
        }
    }

    /// Takes one more link into the tree, in place of one that broke or was given up.
    pub(super) fn add_branch(&mut self) {
        if !self.has_tree() {
            return;
        }
        let lazy = self
            .links
            .values()
            .filter(|link| matches!(link.phase, LinkPhase::Live { .. }) && link.branch.lazy);
        // The nearest one; its word comes soonest.
        let nearest =
            lazy.min_by_key(|link| (link.detector.rtt().map(|rtt| rtt.smoothed_us), link.peer));
        if let Some(peer) = nearest.map(|link| link.peer)
            && self.post(peer, Message::Graft(Vec::new()))
        {
            self.set_lazy(peer, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floods(flood: &mut Flood, at: Duration, news: u32) -> usize {
        let one = |index| flood.take(at, Index(index), Change::Loss);
        (0..news).map(one).filter(|floods| *floods).count()
    }

    #[test]
    fn a_few_gains_and_losses_flood_and_a_storm_takes_the_tree() {
        let second = Duration::from_secs(1);
        let mut flood = Flood::new();
        assert_eq!(floods(&mut flood, Time::ZERO, 100), 0, "a start is a storm");
        assert_eq!(floods(&mut flood, 60 * second, 20), 20, "a restart is not");
        assert!(flood.is_under_way(60 * second, Index(19)));
        assert!(!flood.is_under_way(62 * second, Index(19)));
        assert_eq!(floods(&mut flood, 120 * second, 1000), 32);
        assert_eq!(
            floods(&mut flood, 121 * second, 1),
            0,
            "it is paid off first"
        );
        assert_eq!(floods(&mut flood, 180 * second, 1), 1);
    }

    #[test]
    fn suspicions_flood_now_and_then_and_take_nothing_from_losses() {
        let minute = Duration::from_secs(60);
        let mut flood = Flood::new();
        let one = |index| flood.take(minute, Index(index), Change::Suspicion);
        assert_eq!((0..100).map(one).filter(|floods| *floods).count(), 4);
        assert_eq!(floods(&mut flood, minute, 20), 20);
    }

    #[test]
    fn records_wait_for_each_other_only_in_a_storm() {
        let minute = Duration::from_secs(60);
        let mut flood = Flood::new();
        let mut waits = |at| flood.goes_in_rounds(at);
        assert!(waits(Time::ZERO), "a start is a storm");
        let storm = (0..200).filter(|_| waits(minute));
        assert_eq!(storm.count(), 150);
        assert!(waits(minute + Duration::from_millis(900)));
        assert!(!waits(2 * minute));
    }

    #[test]
    fn what_is_kept_of_floods_is_bounded() {
        let mut flood = Flood::new();
        for ms in 0..100_000 {
            flood.take(Duration::from_millis(ms), Index(0), Change::Loss);
            assert!(flood.recent.len() <= 64);
        }
    }
}
