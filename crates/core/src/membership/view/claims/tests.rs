//! What members can make others show, and what stays in view.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::membership::testing::{self, listing};
use crate::record::{Body, Record};
use crate::wire::NodeId;

const BOUND: Bound = Bound {
    most: 64,
    vouchers: 4,
    fresh_per_s: 1.0,
};

fn id(number: u32) -> NodeId {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    id[28..].copy_from_slice(&number.to_be_bytes());
    NodeId(id)
}

/// A network as node 0 sees it.
struct Net {
    view: View,
    links: BTreeMap<u32, BTreeSet<u32>>,
    live: Vec<u32>,
    seq: u32,
    now: Duration,
}

impl Net {
    fn new() -> Self {
        let own = testing::record(listing(id(0), 1, []));
        Self {
            view: View::new(own).with_bound(BOUND),
            links: BTreeMap::new(),
            live: Vec::new(),
            seq: 1,
            now: Duration::ZERO,
        }
    }

    /// Node 0 and all others up to that number link with each other, and node 0 judges.
    fn mesh(nodes: u32) -> Self {
        let mut net = Self::new();
        for one in 0..nodes {
            for other in 0..one {
                net.link(one, other);
            }
        }
        net.settle();
        assert_eq!(net.up(), (0..nodes).collect());
        net
    }

    fn link(&mut self, one: u32, other: u32) {
        self.links.entry(one).or_default().insert(other);
        self.links.entry(other).or_default().insert(one);
        if one.min(other) == 0 {
            self.live.push(one.max(other));
        }
    }

    fn unlink(&mut self, one: u32, other: u32) {
        for (one, other) in [(one, other), (other, one)] {
            self.links.get_mut(&one).unwrap().remove(&other);
        }
        self.live
            .retain(|&peer| one.min(other) > 0 || peer != one.max(other));
    }

    fn record(&self, number: u32) -> Arc<Record> {
        let peers = self.links[&number].iter().map(|&peer| id(peer));
        testing::record(listing(id(number), self.seq, peers))
    }

    /// All nodes publish, and node 0 derives who is up. Time passes.
    fn settle(&mut self) {
        for _ in 0..2 {
            self.seq += 1;
            for &number in self.links.keys().filter(|&&number| number > 0) {
                self.view
                    .accept(self.record(number), self.now, Some(id(1)), false);
            }
            self.derive();
            self.now += Duration::from_secs(11);
        }
    }

    fn derive(&mut self) {
        let live = self.live.iter();
        let live: Vec<Index> = live
            .filter_map(|&peer| self.view.index(&id(peer).abbreviated()))
            .collect();
        self.view.derive_up(self.now, &live);
    }

    fn up(&self) -> BTreeSet<u32> {
        let up = self.view.records_up();
        up.map(|record| u32::from_be_bytes(record.id().0[28..].try_into().unwrap()))
            .collect()
    }

    /// These members invent so many ids from 1000 on: all members list all of them, as far as a record has room, and each lists the next.
    fn invent(&mut self, members: &[u32], count: u32) {
        for number in 1000..1000 + count {
            self.link(number, number + 1);
            for &member in members {
                if self.links[&member].len() < 300 {
                    self.link(number, member);
                }
            }
        }
    }

    fn invented(&self) -> usize {
        self.up().into_iter().filter(|&one| one >= 1000).count()
    }

    fn over(&mut self) -> Vec<NodeId> {
        let over = self.view.take_over_bound();
        over.into_iter()
            .map(|index| self.view.record_at(index).id())
            .collect()
    }
}

#[test]
fn a_member_shows_no_more_invented_nodes_than_it_may_and_is_named_once() {
    let mut net = Net::mesh(6);
    net.invent(&[5], 1500);
    net.settle();
    assert_eq!(net.invented(), 64);
    assert_eq!(net.up().len(), 6 + 64);
    assert_eq!(net.over(), [id(5)]);
    net.settle();
    assert_eq!((net.invented(), net.over()), (64, vec![]));
    // An honest newcomer is shown as ever.
    for peer in 0..5 {
        net.link(6, peer);
    }
    net.settle();
    assert!(net.up().contains(&6));
}

#[test]
fn a_hostile_guest_leaves_places_for_the_other_guests_of_its_host() {
    let mut net = Net::mesh(8);
    // Node 1000 has one link, with node 1, and names others behind it.
    net.link(1, 1000);
    net.invent(&[], 500);
    net.settle();
    assert_eq!(net.invented(), 1 + 48);
    assert_eq!(net.over(), [id(1)]);
    for guest in 100..115 {
        net.link(1, guest);
    }
    net.settle();
    assert!((100..115).all(|guest| net.up().contains(&guest)));
    assert_eq!(net.invented(), 1 + 48);
    // A claim that gets a link with the host itself gives its place to another one.
    net.unlink(1, 114);
    net.link(1, 1010);
    net.settle();
    assert_eq!(net.invented(), 2 + 48);
}

#[test]
fn members_that_act_together_show_as_much_as_each_of_them_may() {
    let mut net = Net::mesh(8);
    net.invent(&[5, 6, 7], 1500);
    net.settle();
    assert_eq!(net.invented(), 3 * 64);
}

#[test]
fn what_a_member_no_longer_claims_makes_room_for_other_claims() {
    let mut net = Net::mesh(6);
    net.invent(&[5], 100);
    net.settle();
    assert_eq!(net.invented(), 64);
    // The links with the first half of them are withdrawn: those are reached no more, and others are.
    for number in 1000..1050 {
        net.unlink(number, 5);
        net.unlink(number, number + 1);
    }
    net.settle();
    assert!(net.invented() < 50, "others come one a second");
    for _ in 0..3 {
        net.settle();
    }
    let up = net.up();
    assert!((1050..1100).all(|number| up.contains(&number)));
    assert_eq!(net.view.claims.carried.len(), 1);
}

#[test]
fn a_refused_node_comes_up_once_it_has_links_of_its_own() {
    let mut net = Net::mesh(6);
    net.invent(&[5], 200);
    net.settle();
    let up = net.up();
    let refused = (1000..1200).find(|number| !up.contains(number)).unwrap();
    net.link(refused, 3);
    net.settle();
    assert!(net.up().contains(&refused), "another account has room");
    for peer in [1, 2, 4] {
        net.link(refused, peer);
    }
    net.settle();
    let index = net.view.index(&id(refused).abbreviated()).unwrap();
    assert!(net.up().contains(&refused) && !net.view.claims.refused.contains(&index));
}

/// A network in which each node has about eight links with random others.
fn random_graph(net: &mut Net, nodes: std::ops::Range<u32>, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let all: Vec<u32> = nodes.clone().collect();
    for one in nodes {
        for _ in 0..4 {
            let other = *all.choose(&mut rng).unwrap();
            if other != one {
                net.link(one, other);
            }
        }
    }
}

#[test]
fn an_honest_network_is_seen_whole() {
    for seed in 0..3 {
        let mut net = Net::new();
        random_graph(&mut net, 0..2000, seed);
        net.settle();
        assert!(!net.view.is_filling());
        assert_eq!(net.up().len(), 2000);
        assert_eq!(net.over(), []);
    }
}

#[test]
fn honest_networks_that_meet_are_seen_whole_once_they_have_grown_together() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut net = Net::new();
    random_graph(&mut net, 0..300, 1);
    net.settle();
    random_graph(&mut net, 1000..1300, 2);
    net.link(17, 1017);
    net.settle();
    // The account of its near end carries the far end, which is its neighbour, and what it may of others.
    assert_eq!(net.invented(), 1 + 64 * 3 / 4);
    for _ in 0..60 {
        let (one, other) = (rng.random_range(0..300), rng.random_range(1000..1300));
        net.link(one, other);
    }
    net.settle();
    assert_eq!(net.up().len(), 600);
}

#[test]
fn a_network_that_is_cut_down_to_a_bridge_stays_in_view() {
    let mut net = Net::new();
    random_graph(&mut net, 0..300, 1);
    net.settle();
    let far: BTreeSet<u32> = (100..300).collect();
    let cut: Vec<(u32, u32)> = net
        .links
        .iter()
        .flat_map(|(&one, peers)| peers.iter().map(move |&peer| (one, peer)))
        .filter(|(one, peer)| one < peer && !far.contains(one) && far.contains(peer))
        .skip(1)
        .collect();
    for (one, other) in cut {
        net.unlink(one, other);
    }
    net.settle();
    let seen = net.up().intersection(&far).count();
    assert!(seen > 190, "{seen} of 200 behind the bridge are in view");
}

#[test]
fn a_node_with_one_link_believes_and_judges_when_it_has_had_more_for_a_while() {
    let mut net = Net::new();
    net.link(0, 5);
    net.invent(&[5], 500);
    net.settle();
    assert_eq!(net.invented(), 501);
    for (one, other) in [(0, 1), (0, 2), (1, 2), (1, 5), (2, 5)] {
        net.link(one, other);
    }
    net.derive();
    assert_eq!(net.invented(), 501, "the network may still come into view");
    net.settle();
    assert_eq!(net.invented(), 64);
    assert_eq!(net.up().len(), 64 + 4);
    // It keeps judging when it has one link again, or none, as long as it knows the others.
    net.unlink(0, 1);
    net.unlink(0, 2);
    net.settle();
    assert_eq!(net.invented(), 64);
    net.unlink(0, 5);
    net.settle();
    assert!(!net.view.is_filling());
    net.view
        .forget_older(net.now, Duration::from_secs(1), |_| false);
    net.derive();
    assert!(net.view.is_filling(), "it begins anew");
}

/// A network of twenty that node 0 joins by node 1; then node 2 links with it, and brings nodes that it invented. Returns how many of
/// these are shown before node 0 judges.
fn invented_by_the_second_link(is_named: bool) -> usize {
    let mut net = Net::new();
    let own = listing(id(0), 1, []);
    let epoch = own.epoch + 20_000;
    let own = testing::record(Body { epoch, ..own });
    net.view = View::new(own).with_bound(BOUND);
    random_graph(&mut net, 1..20, 1);
    net.link(0, 1);
    net.settle();
    net.link(0, 2);
    if is_named {
        net.view.trust(id(2));
    }
    net.invent(&[], 500);
    net.link(2, 1000);
    net.seq += 1;
    net.derive();
    let numbers: Vec<u32> = net.links.keys().copied().filter(|&one| one > 0).collect();
    for number in numbers {
        let record = net.record(number);
        net.view.accept(record, net.now, Some(id(2)), false);
    }
    net.derive();
    assert!(net.view.is_filling());
    assert!((1..20).all(|number| net.up().contains(&number)));
    net.invented()
}

#[test]
fn a_node_that_fills_its_view_believes_its_first_links_and_those_of_the_settings() {
    assert_eq!(invented_by_the_second_link(false), 64);
    assert_eq!(invented_by_the_second_link(true), 501);
}

#[test]
fn no_more_is_passed_on_than_will_come_up() {
    let mut net = Net::mesh(6);
    net.invent(&[5], 500);
    let mut told = 0;
    net.seq += 1;
    for &number in net
        .links
        .keys()
        .filter(|&&number| number >= 1000 || number == 5)
    {
        let outcome = net
            .view
            .accept(net.record(number), net.now, Some(id(5)), false);
        let super::super::Outcome::Newer(index, ..) = outcome else {
            panic!("{outcome:?}");
        };
        told += usize::from(number >= 1000 && net.view.is_worth_telling(index));
    }
    assert!(told <= 64, "{told} were passed on");
    net.derive();
    assert_eq!(net.invented(), 64);
    // By now, the rest needs no look at its signature.
    net.links.entry(9999).or_default().insert(5);
    let unknown = net.record(9999);
    assert!(!net.view.would_come_up(&unknown));
    net.link(9999, 2);
    net.seq += 1;
    net.view.accept(net.record(2), net.now, Some(id(2)), false);
    assert!(net.view.would_come_up(&net.record(9999)));
}

#[test]
fn nothing_is_left_of_claims_that_are_forgotten() {
    let mut net = Net::mesh(6);
    net.invent(&[5], 300);
    net.settle();
    net.links.retain(|&number, _| number < 5);
    for peers in net.links.values_mut() {
        peers.remove(&5);
    }
    net.live.retain(|&peer| peer != 5);
    net.settle();
    assert_eq!(net.up().len(), 5);
    net.view
        .forget_older(net.now, Duration::from_secs(1), |_| false);
    let claims = &net.view.claims;
    assert_eq!(net.view.count(), 5);
    assert!(claims.accounts.is_empty() && claims.carried.is_empty() && claims.refused.is_empty());
    assert!(claims.told.is_empty());
}

#[test]
fn a_large_record_takes_the_room_of_several() {
    let mut net = Net::mesh(6);
    // Each of them lists 250 others, which is some 7 kB.
    for number in 1000..1100 {
        net.link(number, 5);
        for other in 5000..5250 {
            net.links.entry(number).or_default().insert(other);
        }
    }
    net.settle();
    let invented = net.invented();
    assert!((12..=32).contains(&invented), "{invented} are shown");
    // Small ones may not grow beyond what their account carries.
    let mut net = Net::mesh(6);
    net.invent(&[5], 64);
    net.settle();
    assert_eq!(net.invented(), 64);
    for number in 1000..1064 {
        for other in 5000..5250 {
            net.links.entry(number).or_default().insert(other);
        }
    }
    net.settle();
    assert_eq!(net.invented(), 64);
    let bytes: usize = net
        .view
        .records_up()
        .map(|record| record.encoded_len())
        .sum();
    assert!(bytes < 50_000, "{bytes} bytes");
}

#[test]
fn claims_of_a_node_that_is_forgotten_go_on_being_charged() {
    let mut net = Net::mesh(8);
    // A chain hangs on two members. One of them goes for good.
    for number in 1000..1040 {
        net.link(number, number + 1);
    }
    net.link(1040, 6);
    net.link(1040, 7);
    net.settle();
    assert_eq!(net.invented(), 41);
    for gone in [6, 7] {
        let peers: Vec<u32> = net.links[&gone].iter().copied().collect();
        if net
            .view
            .claims
            .carried
            .keys()
            .any(|account| net.view.record_at(*account).id() == id(gone))
        {
            for peer in peers {
                net.unlink(gone, peer);
            }
            net.links.remove(&gone);
            break;
        }
    }
    net.settle();
    net.view
        .forget_older(net.now, Duration::from_secs(1), |_| false);
    net.derive();
    let charged = net.view.claims.accounts.len();
    assert_eq!(
        charged,
        net.invented(),
        "each of them is charged to somebody"
    );
}

#[test]
fn each_refused_node_is_looked_at_again_when_there_is_room() {
    let mut net = Net::mesh(8);
    // One member has more refused claims than are looked at in one pass. Another one has one claim too many.
    net.invent(&[5], 290);
    for number in 5000..5065 {
        net.link(number, 6);
    }
    net.settle();
    let missing = (5000..5065)
        .find(|number| !net.up().contains(number))
        .unwrap();
    let other = if missing == 5000 { 5001 } else { 5000 };
    net.unlink(other, 6);
    net.links.remove(&other);
    for _ in 0..4 {
        net.settle();
    }
    assert!(net.up().contains(&missing));
}
