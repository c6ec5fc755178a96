//! Who is up: who can be reached, from this node's own live links, over links that both their ends list.
//!
//! A link names the run of its peer that it is to, and counts while that is the run of the peer's record: two nodes that died together
//! and list each other for ever in their last records would else come back both with whoever links with the next run of one of them.
//!
//! So there is nothing to refute and nothing to expire: when a region dies, the survivors at its border drop their own side,
//! and it is gone. A walk over the whole network for every change would be dear, so each node that is up remembers its *way*, the
//! node before it on the path by which it was found; together these are a tree. A new link can only extend it. A lost one matters only
//! where it was part of a way: then the node behind it looks for another one among its own links, which does not lead through the node
//! itself. If there is none, all that hung from it is taken down and looks for ways, and whoever finds none is down.

use super::Time;
use super::change::Difference;
use super::database::{Database, Flip, NOBODY};
use super::ids::{Index, Places};
use crate::record::Record;

/// Ways are followed back so many steps a node of the tables, each time who is up is derived: records that make them long, and break them
/// one by one, must not cost more than a few walks over all nodes.
const STEPS_PER_NODE: usize = 8;

/// What changed since who is up was derived last.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Nodes that list new links.
    gained: Vec<Index>,
    /// Nodes whose way may be gone.
    strained: Vec<Index>,
    /// This node's own live links as they were then.
    live: Vec<Index>,
}

impl Pending {
    pub(super) fn gained(&mut self, index: Index) {
        if self.gained.last() != Some(&index) {
            self.gained.push(index);
        }
    }
}

impl Database {
    /// Takes note of what a node's next record means for who can be reached.
    pub(super) fn note_links(&mut self, index: Index, next: &Record, difference: Difference) {
        let (left, leaves) = (self.is_leaving(index), next.body().leaving);
        if !leaves && (difference.gained || difference.renewed || left) {
            self.pending.gained(index);
        }
        if left || !(leaves || difference.lost || difference.renewed) {
            return;
        }
        if leaves {
            self.pending.strained.push(index);
        }
        let mut strained = std::mem::take(&mut self.pending.strained);
        let record = self.record_at(index);
        let ids = self.ids.read();
        let renewed = record.body().run_id != next.body().run_id;
        for (link, hint) in record.standing_links() {
            let after = next.link_to(&link.peer);
            let lost = leaves || renewed || after.is_none_or(|after| after.run != link.run);
            let Some(peer) = ids.find(&link.peer, hint).filter(|_| lost) else {
                continue;
            };
            if self.leads(index, peer) {
                strained.push(peer);
            } else if self.leads(peer, index) {
                strained.push(index);
            }
        }
        drop(ids);
        self.pending.strained = strained;
    }

    /// Whether one node is the last before another one on the way to it.
    fn leads(&self, one: Index, other: Index) -> bool {
        self.up.contains(other.at()) && self.notes[other.at()].way == one.0
    }

    /// Derives who is up, from this node's own live links, and tells who changed, in the order of their places.
    pub fn derive_up(&mut self, now: Time, live: &[Index]) -> Vec<Flip> {
        let ids = std::sync::Arc::clone(&self.ids);
        let ids = ids.read();
        let before = self.up.clone();
        let mut gained = std::mem::take(&mut self.pending.gained);
        let lost = self.cut_off(&ids, live);
        let mut found = Vec::new();
        for &index in live {
            if !self.up.contains(index.at()) && !self.is_leaving(index) {
                self.take_way(index, self.me);
                found.push(index);
            }
        }
        gained.sort_unstable();
        gained.dedup();
        for &index in lost.iter().chain(&gained) {
            if self.up.contains(index.at()) {
                found.push(index);
            } else if let Some(way) = self.look_for_way(&ids, index) {
                self.take_way(index, way);
                found.push(index);
            }
        }
        self.walk(&ids, found);
        self.pending.live.clear();
        self.pending.live.extend_from_slice(live);
        let mut changed = before;
        changed.symmetric_difference_with(&self.up);
        let flips: Vec<Flip> = changed
            .ones()
            .map(|place| Flip {
                index: Index::from_place(place),
                up: self.up.contains(place),
            })
            .collect();
        for flip in &flips {
            self.note_flip(now, flip.index);
        }
        flips
    }

    /// Takes down all whose way is gone, and tells whom: those may yet find another one.
    fn cut_off(&mut self, ids: &Places<'_>, live: &[Index]) -> Vec<Index> {
        let mut strained = std::mem::take(&mut self.pending.strained);
        let was_live = self.pending.live.iter();
        strained.extend(was_live.filter(|&&index| self.leads(self.me, index)));
        let mut lost = Vec::new();
        let mut steps_left = STEPS_PER_NODE * self.notes.len();
        for index in strained {
            let falls = self.up.contains(index.at())
                && index != self.me
                && !self.holds(index, live)
                && !self.turns(ids, index, &mut steps_left);
            if falls {
                self.fell(ids, index, &mut lost);
            }
        }
        lost
    }

    /// Whether the last step on the way to a node can still be gone.
    fn holds(&self, index: Index, live: &[Index]) -> bool {
        let way = Index(self.notes[index.at()].way);
        if way == self.me {
            !self.is_leaving(index) && live.contains(&index)
        } else {
            self.up.contains(way.at()) && self.are_linked(way, index)
        }
    }

    /// Lets the way to a node lead over another one of its neighbours, none of those behind it; tells whether there is one. If that
    /// neighbour falls later, the node does with it.
    fn turns(&mut self, ids: &Places<'_>, index: Index, steps_left: &mut usize) -> bool {
        let mut others = self.neighbors_up(ids, index);
        let way = others
            .find(|&peer| self.are_linked(peer, index) && self.leads_past(index, peer, steps_left));
        drop(others);
        if let Some(way) = way {
            self.notes[index.at()].way = way.0;
        }
        way.is_some()
    }

    /// Whether the way to the second node does not lead through the first one, as far as there are steps left to find out.
    fn leads_past(&self, one: Index, mut other: Index, steps_left: &mut usize) -> bool {
        while other != self.me {
            if other == one || !self.up.contains(other.at()) || *steps_left == 0 {
                return false;
            }
            *steps_left -= 1;
            other = Index(self.notes[other.at()].way);
        }
        true
    }

    /// Takes down a node and all whose way leads through it.
    fn fell(&mut self, ids: &Places<'_>, index: Index, lost: &mut Vec<Index>) {
        let first = lost.len();
        lost.push(index);
        let mut next = first;
        while let Some(&index) = lost.get(next) {
            next += 1;
            self.up.remove(index.at());
            self.notes[index.at()].way = NOBODY;
            self.lost_count += 1;
            let record = self.record_at(index);
            for (link, hint) in record.standing_links() {
                if let Some(peer) = ids.find(&link.peer, hint)
                    && self.leads(index, peer)
                {
                    lost.push(peer);
                }
            }
        }
    }

    /// A neighbour of the node that is up, and to which it has a link that both list.
    fn look_for_way(&self, ids: &Places<'_>, index: Index) -> Option<Index> {
        self.neighbors_up(ids, index)
            .find(|&peer| self.are_linked(peer, index))
    }

    /// Other nodes that are up to which the node lists links.
    fn neighbors_up<'a>(
        &'a self,
        ids: &'a Places<'_>,
        index: Index,
    ) -> impl Iterator<Item = Index> + 'a {
        let record = self.records.get(index.at()).and_then(Option::as_ref);
        let links = record
            .into_iter()
            .flat_map(|record| record.standing_links());
        let peers = links.filter_map(|(link, hint)| ids.find(&link.peer, hint));
        peers.filter(|&peer| peer != self.me && self.up.contains(peer.at()))
    }

    /// From those that were found, goes on to all that are not up yet.
    fn walk(&mut self, ids: &Places<'_>, mut found: Vec<Index>) {
        let mut next = 0;
        while let Some(&index) = found.get(next) {
            next += 1;
            if index == self.me {
                continue;
            }
            let first = found.len();
            let links = self.record_at(index).standing_links();
            let peers = links.filter_map(|(link, hint)| ids.find(&link.peer, hint));
            let is_new =
                |peer: &Index| !self.up.contains(peer.at()) && self.are_linked(*peer, index);
            found.extend(peers.filter(is_new));
            for &peer in &found[first..] {
                self.take_way(peer, index);
            }
        }
    }

    fn take_way(&mut self, index: Index, way: Index) {
        self.lost_count -= usize::from(self.notes[index.at()].way == NOBODY);
        self.take_bringer(index);
        self.notes[index.at()].way = way.0;
        self.up.insert(index.at());
    }

    fn is_leaving(&self, index: Index) -> bool {
        self.record_at(index).body().leaving
    }

    /// Whether two nodes are known, and list a link with each other that counts.
    fn are_linked(&self, one: Index, other: Index) -> bool {
        let record = |index: Index| self.records.get(index.at()).and_then(Option::as_ref);
        let both = record(one).zip(record(other));
        both.is_some_and(|(first, second)| {
            first.lists_at(second, other.0) && second.lists_at(first, one.0)
        })
    }

    /// The nodes to which a link is listed by both ends, none of them leaving.
    pub fn mutual_links(&self, index: Index) -> impl Iterator<Item = Index> + '_ {
        let ids = self.ids.read();
        let links = self.record_at(index).standing_links();
        let peers = links.filter_map(move |(link, hint)| ids.find(&link.peer, hint));
        peers.filter(move |&peer| self.are_linked(peer, index))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::database::Outcome;
    use super::super::ids::Ids;
    use super::*;
    use crate::record::{Body, Direction, LinkState, ShortRun, Signer};
    use crate::wire::{MAX_BUCKETS_LOG2, NodeId};

    /// Whoever hands a record over has verified it, so any signature will do.
    struct Nobody;

    impl Signer for Nobody {
        fn node_id(&self) -> NodeId {
            NodeId([0; 32])
        }

        fn sign(&self, _message: &[u8]) -> [u8; 64] {
            [0; 64]
        }
    }

    const NODES: u8 = 12;

    fn id(number: u8) -> NodeId {
        // Spread over all ranges of ids.
        NodeId([number.wrapping_mul(91); 32])
    }

    /// Which nodes are linked with, and to which of their runs.
    type Links = BTreeMap<u8, u8>;

    fn run_id(run: u8) -> u64 {
        u64::from(run) << 56
    }

    fn record(number: u8, run: u8, seq: u32, links: &Links, leaving: bool) -> Arc<Record> {
        let link = |(&peer, &run): (&u8, &u8)| LinkState {
            peer: id(peer).abbreviated(),
            run: ShortRun::of(run_id(run)),
            direction: Direction::Dialer,
            rtt_us: 100,
            rtt_age_s: 0,
            loss: 0,
            suspect: false,
        };
        let mut links: Vec<LinkState> = links.iter().map(link).collect();
        links.sort_by_key(|link| link.peer);
        let body = Body {
            id: id(number),
            label: "".into(),
            run_id: run_id(run),
            epoch: 1,
            seq,
            addrs: Vec::new(),
            links,
            leaving,
        };
        Record::sign(body, "", &Nobody)
    }

    /// What is done to a network of which node 0 is this one.
    #[derive(Debug, Clone)]
    enum Step {
        /// A node, in one run or another, lists other links, or leaves.
        Publish(u8, u8, Links, bool),
        /// A link is listed by both its ends, in their present runs, or by neither.
        Link(u8, u8, bool),
        /// This node's own live links are those.
        Live(BTreeSet<u8>),
        Derive,
        /// Another core forgets a node, or hears of one, so that places change hands.
        Other(u8, bool),
        /// Time passes, and nodes that were down for long are forgotten.
        Forget,
    }

    fn step() -> impl Strategy<Value = Step> {
        let other = 1..NODES;
        let runs = 0..2_u8;
        let links = prop::collection::btree_map(0..NODES, runs.clone(), 0..5);
        prop_oneof![
            2 => (other.clone(), runs, links, prop::bool::weighted(0.2))
                .prop_map(|(node, run, links, leaving)| Step::Publish(node, run, links, leaving)),
            8 => (other.clone(), other.clone(), prop::bool::weighted(0.6))
                .prop_map(|(one, other, linked)| Step::Link(one, other, linked)),
            2 => prop::collection::btree_set(other, 0..4).prop_map(Step::Live),
            6 => Just(Step::Derive),
            1 => (NODES..NODES + 4, any::<bool>()).prop_map(|(node, hears)| Step::Other(node, hears)),
            1 => Just(Step::Forget),
        ]
    }

    /// The same network, told as plainly as can be.
    #[derive(Default)]
    struct Plain {
        now: u64,
        seq: u32,
        runs: BTreeMap<u8, u8>,
        links: BTreeMap<u8, (Links, bool)>,
        live: BTreeSet<u8>,
        up: BTreeSet<u8>,
        down_since: BTreeMap<u8, u64>,
    }

    impl Plain {
        fn lists(&self, one: u8, other: u8) -> bool {
            let links = self.links.get(&one);
            links.is_some_and(|(links, leaving)| {
                !leaving && links.get(&other) == Some(&self.run(other))
            })
        }

        fn run(&self, node: u8) -> u8 {
            self.runs.get(&node).copied().unwrap_or_default()
        }

        /// Whom a breadth-first walk over links that both ends list comes to.
        fn reached(&self) -> BTreeSet<u8> {
            let there = |node: &u8| self.links.get(node).is_some_and(|(_, leaving)| !leaving);
            let mut reached: BTreeSet<u8> = self.live.iter().copied().filter(there).collect();
            let mut queue: Vec<u8> = reached.iter().copied().collect();
            while let Some(node) = queue.pop() {
                for other in 1..NODES {
                    if self.lists(node, other) && self.lists(other, node) && reached.insert(other) {
                        queue.push(other);
                    }
                }
            }
            reached.insert(0);
            reached
        }
    }

    struct Both {
        database: Database,
        ids: Arc<Ids>,
        plain: Plain,
        /// What the other core holds.
        other: Vec<Index>,
    }

    impl Both {
        fn new() -> Self {
            let ids = Arc::new(Ids::new(5));
            let own = record(0, 0, 1, &Links::new(), false);
            let mut plain = Plain::default();
            plain.up.insert(0);
            Self {
                database: Database::with_ids(own, ids.clone()),
                ids,
                plain,
                other: Vec::new(),
            }
        }

        fn now(&self) -> Duration {
            Duration::from_secs(self.plain.now)
        }

        fn index(&self, node: u8) -> Option<Index> {
            self.database.index(&id(node).abbreviated())
        }

        fn publish(&mut self, node: u8, run: u8, mut links: Links, leaving: bool) {
            links.remove(&node);
            self.plain.seq += 1;
            self.plain.runs.insert(node, run);
            let made = record(node, run, self.plain.seq, &links, leaving);
            let taken = self.database.accept(made, self.now(), None, false);
            assert!(matches!(taken, Outcome::Newer(..)));
            let now = self.plain.now;
            if self.plain.links.insert(node, (links, leaving)).is_none() {
                self.plain.down_since.insert(node, now);
            }
        }

        fn link(&mut self, one: u8, other: u8, linked: bool) {
            for (node, peer) in [(one, other), (other, one)] {
                let (mut links, leaving) = self.plain.links.get(&node).cloned().unwrap_or_default();
                let run = self.plain.run(peer);
                let before = if linked {
                    links.insert(peer, run)
                } else {
                    links.remove(&peer)
                };
                if before != linked.then_some(run) {
                    self.publish(node, self.plain.run(node), links, leaving);
                }
            }
        }

        fn derive(&mut self) {
            let live = self.plain.live.iter();
            let live: Vec<Index> = live.filter_map(|node| self.index(*node)).collect();
            let flips = self.database.derive_up(self.now(), &live);
            let reached = self.plain.reached();
            let changed = reached.symmetric_difference(&self.plain.up);
            let flip = |node: &u8| Flip {
                index: self.index(*node).expect("it is known"),
                up: reached.contains(node),
            };
            let mut expected: Vec<Flip> = changed.map(flip).collect();
            expected.sort_by_key(|flip| flip.index);
            assert_eq!(flips, expected);
            for node in self.plain.up.difference(&reached) {
                self.plain.down_since.insert(*node, self.plain.now);
            }
            self.plain.up = reached;
            self.compare();
        }

        fn forget(&mut self) {
            let (now, up) = (self.plain.now, &self.plain.up);
            let old = |node: &u8| !up.contains(node) && now >= self.plain.down_since[node] + 10;
            let mut gone: Vec<Index> = Vec::new();
            let nodes: Vec<u8> = self.plain.links.keys().copied().filter(old).collect();
            for node in nodes {
                gone.extend(self.index(node));
                self.plain.links.remove(&node);
            }
            gone.sort_unstable();
            let after = Duration::from_secs(10);
            assert_eq!(self.database.forget_older(self.now(), after), gone);
        }

        fn step(&mut self, step: Step) {
            self.plain.now += 1;
            match step {
                Step::Publish(node, run, links, leaving) => self.publish(node, run, links, leaving),
                Step::Link(one, other, linked) if one != other => self.link(one, other, linked),
                Step::Link(..) => {}
                Step::Live(live) => self.plain.live = live,
                Step::Derive => self.derive(),
                Step::Other(node, true) => self.other.push(self.ids.hold(&id(node))),
                Step::Other(..) => self.ids.release(self.other.pop()),
                Step::Forget => self.forget(),
            }
        }

        /// Holds the sums against those that a walk over the view finds.
        fn compare(&self) {
            let up: Vec<Index> = self.database.nodes_up().map(|(index, _)| index).collect();
            assert_eq!(up.len(), self.plain.up.len());
            assert_eq!(self.database.up_count(), up.len());
            assert_eq!(self.database.count(), self.plain.links.len() + 1);
            // Nobody brought them, so all that are not up count as lost.
            assert_eq!(self.database.lost_count, self.database.count() - up.len());
            for log2 in [0, 3, MAX_BUCKETS_LOG2] {
                let mut sums = vec![0_u64; 1 << log2];
                for &index in &up {
                    let record = self.database.record_at(index);
                    let place = super::super::database::bucket(&record.id().abbreviated(), log2);
                    let half = (record.fingerprint() >> 64) as u64;
                    sums[place] = sums[place].wrapping_add(half);
                }
                assert_eq!(self.database.bucket_sums(log2), sums);
            }
        }
    }

    #[test]
    fn a_node_that_was_forgotten_and_stands_elsewhere_now_goes_down_with_its_neighbour() {
        let mut both = Both::new();
        both.step(Step::Link(6, 2, true));
        both.step(Step::Publish(4, 0, Links::new(), false));
        both.step(Step::Live([6].into()));
        both.step(Step::Derive);
        both.step(Step::Publish(2, 0, Links::new(), true));
        both.step(Step::Derive);
        both.plain.now += 10;
        both.step(Step::Forget);
        // It gets the place of the other one that was forgotten, while its neighbour's record remembers the former one.
        both.step(Step::Publish(2, 0, [(6, 0)].into(), false));
        both.step(Step::Derive);
        assert!(both.plain.up.contains(&2));
        both.step(Step::Live(BTreeSet::new()));
        both.step(Step::Derive);
    }

    #[test]
    fn two_that_died_together_don_t_come_back_with_the_next_run_of_one_of_them() {
        let mut both = Both::new();
        both.step(Step::Link(1, 2, true));
        both.step(Step::Link(2, 3, true));
        both.step(Step::Live([1].into()));
        both.step(Step::Derive);
        assert_eq!(both.plain.up, [0, 1, 2, 3].into());
        // 2 and 3 die. 2 is started again and links with 1, whose record comes first.
        both.step(Step::Publish(1, 0, Links::new(), false));
        both.step(Step::Derive);
        both.step(Step::Publish(1, 0, [(2, 1)].into(), false));
        both.step(Step::Derive);
        assert_eq!(both.plain.up, [0, 1].into());
        both.step(Step::Publish(2, 1, [(1, 0)].into(), false));
        both.step(Step::Derive);
        assert_eq!(both.plain.up, [0, 1, 2].into());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Whatever nodes publish, leave, forget: who is up, who flips and what the sums are is what a walk over everything finds.
        #[test]
        fn who_is_up_is_who_can_be_reached(steps in prop::collection::vec(step(), 1..120)) {
            let mut both = Both::new();
            for step in steps {
                both.step(step);
            }
            both.derive();
        }
    }
}
