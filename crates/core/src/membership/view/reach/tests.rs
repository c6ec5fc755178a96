//! Compares the derived reachability with a walk over everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::{Ids, Outcome};
use super::*;
use crate::membership::testing::{self, body, link_to};
use crate::record::{Body, LinkState};
use crate::wire::{MAX_BUCKETS_LOG2, NodeId};

const NODES: u8 = 12;

fn id(number: u8) -> NodeId {
    // Spread over all ranges of ids.
    NodeId([number.wrapping_mul(91); 32])
}

/// The peers that a node links with, and the run of each peer.
type Links = BTreeMap<u8, u8>;

fn run_id(run: u8) -> u64 {
    u64::from(run) << 56
}

fn record(number: u8, run: u8, seq: u32, links: &Links, leaving: bool) -> Arc<Record> {
    let links = links.iter();
    let links = links.map(|(&peer, &run)| link_to(id(peer), run_id(run)));
    let mut links: Vec<LinkState> = links.collect();
    links.sort_by_key(|link| link.peer);
    testing::record(Body {
        seq,
        links,
        leaving,
        ..body(id(number), run_id(run), 1)
    })
}

/// A step in a network in which node 0 is this one.
#[derive(Debug, Clone)]
enum Step {
    /// A node, in one run or another, lists other links, or leaves.
    Publish(u8, u8, Links, bool),
    /// A link is listed by both its ends, in their present runs, or by neither.
    Link(u8, u8, bool),
    /// Sets this node's own live links.
    Live(BTreeSet<u8>),
    Derive,
    /// Another core forgets a node, or hears of one, so that places are reassigned.
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

/// The same network in its simplest form.
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
        links
            .is_some_and(|(links, leaving)| !leaving && links.get(&other) == Some(&self.run(other)))
    }

    fn run(&self, node: u8) -> u8 {
        self.runs.get(&node).copied().unwrap_or_default()
    }

    /// The nodes that a breadth-first walk reaches, over links that both ends list.
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
    view: View,
    ids: Arc<Ids>,
    plain: Plain,
    /// The nodes that the other core holds.
    other: Vec<Index>,
}

impl Both {
    fn new() -> Self {
        let ids = Arc::new(Ids::new(5));
        let own = record(0, 0, 1, &Links::new(), false);
        let mut plain = Plain::default();
        plain.up.insert(0);
        Self {
            view: View::with_ids(own, ids.clone(), Arc::default()),
            ids,
            plain,
            other: Vec::new(),
        }
    }

    fn now(&self) -> Duration {
        Duration::from_secs(self.plain.now)
    }

    fn index(&self, node: u8) -> Option<Index> {
        self.view.index(&id(node).abbreviated())
    }

    fn publish(&mut self, node: u8, run: u8, mut links: Links, leaving: bool) {
        links.remove(&node);
        self.plain.seq += 1;
        self.plain.runs.insert(node, run);
        let made = record(node, run, self.plain.seq, &links, leaving);
        let taken = self.view.accept(made, self.now(), None, false);
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
        let flips = self.view.derive_up(self.now(), &live);
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
        assert_eq!(self.view.forget_older(self.now(), after, |_| false), gone);
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

    /// Compares the sums with those that a walk over the view computes.
    fn compare(&self) {
        let up: Vec<Index> = self.view.nodes_up().map(|(index, _)| index).collect();
        assert_eq!(up.len(), self.plain.up.len());
        assert_eq!(self.view.up_count(), up.len());
        assert_eq!(self.view.count(), self.plain.links.len() + 1);
        // No neighbour brought these nodes, so all that are not up count as lost.
        assert_eq!(self.view.unreachable_count, self.view.count() - up.len());
        for log2 in [0, 3, MAX_BUCKETS_LOG2] {
            let mut sums = vec![0_u64; 1 << log2];
            for &index in &up {
                let record = self.view.record_at(index);
                let place = super::super::bucket(&record.id().abbreviated(), log2);
                let half = (record.fingerprint() >> 64) as u64;
                sums[place] = sums[place].wrapping_add(half);
            }
            assert_eq!(self.view.bucket_sums(log2), sums);
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
    // It gets the place of the other forgotten node, while its neighbour's record remembers the former one.
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

    /// After any publishing, leaving and forgetting: the nodes up, the flips and the sums are those of a walk over everything.
    #[test]
    fn who_is_up_is_who_can_be_reached(steps in prop::collection::vec(step(), 1..120)) {
        let mut both = Both::new();
        for step in steps {
            both.step(step);
        }
        both.derive();
    }
}
