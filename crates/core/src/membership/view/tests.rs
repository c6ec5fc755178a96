//! How a view takes records, derives who is up, forgets nodes and computes digests.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{
    Before, Change, Flip, Index, MAX_DOWN_PER_NEIGHBOUR, MAX_NODES, Outcome, View, bucket,
};
use crate::membership::testing::{self, listing};
use crate::record::{Body, Record};
use crate::wire::{MAX_SYNC_ENTRIES, NodeId, ShortId};

fn at(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn id(number: u32) -> NodeId {
    let mut id = [0; 32];
    // Spread over all ranges of ids.
    id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    id[28..].copy_from_slice(&number.to_be_bytes());
    NodeId(id)
}

fn record(number: u32, seq: u32, links: &[u32]) -> Arc<Record> {
    let peers = links.iter().map(|&peer| id(peer));
    testing::record(listing(id(number), seq, peers))
}

fn leaving(number: u32, seq: u32) -> Arc<Record> {
    let body = record(number, seq, &[]).body().clone();
    testing::record(Body {
        leaving: true,
        ..body
    })
}

/// The node has no link with this one.
fn nobody(_: &NodeId) -> bool {
    false
}

fn take(view: &mut View, record: Arc<Record>, from: u32) -> Outcome {
    view.accept(record, at(1), Some(id(from)), false)
}

fn index(view: &View, number: u32) -> Index {
    view.index(&id(number).abbreviated()).unwrap()
}

fn ups(flips: &[Flip]) -> (usize, usize) {
    let up = flips.iter().filter(|flip| flip.up).count();
    (up, flips.len() - up)
}

/// 0 is this node; 0-1-2-3 is a chain.
fn chain() -> View {
    let mut view = View::new(record(0, 1, &[1]));
    for (number, links) in [(1, &[0, 2][..]), (2, &[1, 3]), (3, &[2])] {
        take(&mut view, record(number, 1, links), 1);
    }
    let live = [index(&view, 1)];
    assert_eq!(ups(&view.derive_up(at(1), &live)), (3, 0));
    view
}

#[test]
fn a_node_is_up_when_links_that_both_ends_list_lead_to_it() {
    let mut view = chain();
    let live = [index(&view, 1)];
    // 2 drops its link to 3, which still lists it.
    take(&mut view, record(2, 2, &[1]), 1);
    assert_eq!(ups(&view.derive_up(at(2), &live)), (0, 1));
    assert!(!view.is_up(&id(3)));
    // 3 finds another path.
    take(&mut view, record(3, 2, &[1]), 1);
    assert_eq!(ups(&view.derive_up(at(3), &live)), (0, 0));
    take(&mut view, record(1, 2, &[0, 2, 3]), 1);
    assert_eq!(ups(&view.derive_up(at(4), &live)), (1, 0));
    // This node loses its only link: all is gone at once.
    assert_eq!(ups(&view.derive_up(at(5), &[])), (0, 3));
    assert_eq!(view.up_count(), 1);
}

#[test]
fn nothing_is_reached_through_a_node_that_leaves() {
    let mut view = chain();
    take(&mut view, leaving(1, 2), 1);
    let live = [index(&view, 1)];
    assert_eq!(ups(&view.derive_up(at(2), &live)), (0, 3));
}

#[test]
fn only_newer_records_are_taken() {
    let mut view = View::new(record(0, 1, &[]));
    let at_1 = Index(1);
    let newer = |change, before: Option<Arc<Record>>| {
        let before = before.map(|record| Before {
            record,
            over_loopback: false,
        });
        Outcome::Newer(at_1, change, before)
    };
    let records = [
        (5, vec![]),
        (4, vec![7]),
        (6, vec![7]),
        (7, vec![7]),
        (8, vec![]),
    ];
    let [five, four, six, seven, eight] = records.map(|(seq, links)| record(1, seq, &links));
    for (given, outcome) in [
        (five.clone(), newer(Change::Gain, None)),
        (five.clone(), Outcome::Same(at_1)),
        (four, Outcome::Older(at_1)),
        (six.clone(), newer(Change::Gain, Some(five))),
        (seven.clone(), newer(Change::Figures, Some(six))),
        (eight.clone(), newer(Change::Withdrawal, Some(seven))),
        (leaving(1, 9), newer(Change::Withdrawal, Some(eight))),
    ] {
        assert_eq!(take(&mut view, given, 9), outcome);
    }
    let (a, b) = (record(1, 9, &[]), leaving(1, 9));
    let lesser = if a.version() < b.version() { a } else { b };
    assert!(!view.would_be_news(&lesser));
    assert!(view.would_be_news(&record(1, 10, &[])));
}

#[test]
fn the_down_are_forgotten_and_their_places_used_again() {
    let mut view = chain();
    let live = [index(&view, 1)];
    take(&mut view, record(2, 2, &[1]), 1);
    view.derive_up(at(100), &live);
    let three = index(&view, 3);
    assert!(view.forget_older(at(699), at(600), nobody).is_empty());
    let linked = |node: &NodeId| *node == id(3);
    assert!(view.forget_older(at(700), at(600), linked).is_empty());
    assert_eq!(view.forget_older(at(700), at(600), nobody), [three]);
    assert!(view.record(&id(3)).is_none() && view.get(three).is_none());
    assert_eq!(
        take(&mut view, record(4, 1, &[]), 1),
        Outcome::Newer(three, Change::Gain, None)
    );
    assert_eq!(
        view.forget_older(at(10_000), at(600), nobody),
        [three],
        "never up, down since it came"
    );
    assert_eq!(view.up_count(), 3, "those that are up stay");
}

#[test]
fn a_neighbour_can_bring_only_so_many_that_are_not_up() {
    let mut view = chain();
    let most = MAX_DOWN_PER_NEIGHBOUR;
    for number in 0..most + 50 {
        take(&mut view, record(1000 + number, 1, &[]), 1);
    }
    let known = |view: &View| view.count();
    assert_eq!(known(&view), 4 + most as usize);
    assert_eq!(view.up_count(), 4, "those that are up stay");
    // Another neighbour has a share of its own.
    take(&mut view, record(9000, 1, &[]), 2);
    assert_eq!(known(&view), 5 + most as usize);
    take(&mut view, record(9001, 1, &[]), 1);
    assert!(view.record(&id(9000)).is_some());
    assert_eq!(known(&view), 5 + most as usize);
}

#[test]
fn one_that_came_up_no_longer_counts_against_who_brought_it() {
    let mut view = chain();
    let live = [index(&view, 1)];
    for number in 0..MAX_DOWN_PER_NEIGHBOUR {
        take(&mut view, record(1000 + number, 1, &[1]), 1);
    }
    take(&mut view, record(1, 2, &[0, 2, 1000]), 1);
    assert_eq!(ups(&view.derive_up(at(2), &live)), (1, 0));
    take(&mut view, record(9000, 1, &[]), 1);
    let known = view.count();
    assert_eq!(
        known,
        5 + MAX_DOWN_PER_NEIGHBOUR as usize,
        "nobody had to go"
    );
}

#[test]
fn versions_are_listed_bucket_by_bucket() {
    let peers: Vec<u32> = (1..=60).collect();
    let mut view = View::new(record(0, 1, &peers));
    for &peer in &peers {
        take(&mut view, record(peer, 1, &[0]), peer);
    }
    let live: Vec<Index> = peers.iter().map(|&peer| index(&view, peer)).collect();
    view.derive_up(at(1), &live);
    let log2 = view.bucket_log2();
    assert_eq!(log2, 2, "about eight nodes a bucket");
    let (buckets, versions) = view.versions_in(log2, &[0, 1, 2, 3], 3);
    assert_eq!(buckets.len(), 4);
    let ids: BTreeSet<ShortId> = versions.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids.len(), 61);
    let (buckets, versions) = view.versions_in(log2, &[2], 0);
    assert_eq!(buckets, [2]);
    assert!(!versions.is_empty());
    assert!(versions.iter().all(|(id, _)| bucket(id, log2) == 2));
    // Buckets that don't exist are empty.
    assert!(view.versions_in(log2, &[4, 60_000], 0).1.is_empty());
    const { assert!(MAX_SYNC_ENTRIES >= 61) };
}

/// When the derivation requested at `now` is due, with so many nodes up.
fn derivation(view: &mut View, now: Duration, withdrawal: bool) -> Duration {
    view.derive_soon(now, withdrawal);
    let due = view.schedule.derive_due.unwrap();
    assert_eq!(view.deadline(), due.min(view.schedule.forget_due));
    due
}

#[test]
fn in_a_small_network_reachability_is_derived_at_once() {
    let mut view = View::new(record(0, 1, &[1]));
    take(&mut view, record(1, 1, &[0]), 1);
    let derive = |view: &mut View, linked: bool| {
        let listed = linked.then_some(id(1)).into_iter();
        let derived = view.derive_if_due(at(9), listed);
        derived.map(|derived| (ups(&derived.flips), derived.cut_off))
    };
    assert_eq!(derive(&mut view, true), None, "nobody asked");
    assert_eq!(derivation(&mut view, at(9), false), at(9));
    assert_eq!(derive(&mut view, true), Some(((1, 0), false)));
    assert_eq!(view.schedule.derive_due, None);
    assert_eq!(derivation(&mut view, at(9), true), at(9), "and again");
    assert_eq!(derive(&mut view, true), None, "nothing changed");
    assert_eq!(derivation(&mut view, at(9), true), at(9));
    assert_eq!(derive(&mut view, false), Some(((0, 1), true)));
}

#[test]
fn in_a_larger_network_gains_wait_for_company_and_derivations_keep_their_distance() {
    let pace = crate::membership::Tuning::DEFAULT.pace;
    let (mut view, ms) = (chain(), Duration::from_millis(1));
    view.up_count = pace.middling;
    let gain = derivation(&mut view, at(9), false);
    assert_eq!(gain, at(9) + pace.derive_middling);
    assert_eq!(
        derivation(&mut view, at(9) + ms, true),
        at(9) + ms,
        "a withdrawal does not wait"
    );
    assert!(
        view.derive_if_due(at(9), [id(1)].into_iter()).is_none(),
        "not due"
    );
    view.derive_if_due(at(9) + ms, [id(1)].into_iter());
    let next = derivation(&mut view, at(9) + 2 * ms, true);
    assert_eq!(next, at(9) + ms + pace.derive_spacing);
    view.schedule.derive_due = None;
    view.up_count = pace.middling + 1;
    let large = derivation(&mut view, at(60), true);
    assert_eq!(large, at(60) + pace.derive_large);
    view.up_count = 4;
}

#[test]
fn the_down_are_looked_for_at_intervals() {
    let every = crate::membership::Tuning::DEFAULT.view.forget_every;
    let mut view = chain();
    view.derive_up(at(1), &[]);
    let forgotten = |view: &mut View, now| view.forget_if_due(now, at(600), nobody).len();
    assert_eq!(forgotten(&mut view, at(600)), 0);
    assert_eq!(view.deadline(), at(600) + every);
    assert_eq!(
        forgotten(&mut view, at(601)),
        0,
        "three are old enough, and wait for the next look"
    );
    assert_eq!(forgotten(&mut view, at(600) + every), 3);
    assert_eq!(view.count(), 1);
}

proptest! {
    /// Equal digests mean equal sets of (node, version) for the nodes that are up, in any order of arrival.
    #[test]
    fn digests_are_equal_for_equal_views_only(
        a in prop::collection::btree_map(1..12_u32, 1..3_u32, 0..10),
        b in prop::collection::btree_map(1..12_u32, 1..3_u32, 0..10),
    ) {
        let all: Vec<u32> = (1..12).collect();
        let build = |versions: Vec<(&u32, &u32)>| {
            let mut view = View::new(record(0, 1, &all));
            for (number, seq) in versions {
                // An older version first, and one that is down.
                take(&mut view, record(*number, *seq, &[0]), 1);
                let live: Vec<Index> = all.iter().filter_map(|&n| view.index(&id(n).abbreviated())).collect();
                view.derive_up(at(1), &live);
                take(&mut view, record(*number, *seq + 1, &[0]), 1);
                take(&mut view, record(100 + *number, 1, &[]), 1);
            }
            view
        };
        let (left, right) = (build(a.iter().collect()), build(b.iter().rev().collect()));
        prop_assert_eq!(left.digest() == right.digest(), a == b);
        let log2 = 3;
        let differing: BTreeSet<usize> = left.bucket_sums(log2).iter().zip(right.bucket_sums(log2))
            .enumerate().filter(|(_, (l, r))| **l != *r).map(|(at, _)| at).collect();
        let expected: BTreeSet<usize> = all.iter().filter(|n| a.get(n) != b.get(n))
            .map(|n| bucket(&id(*n).abbreviated(), log2)).collect();
        prop_assert_eq!(differing, expected);
    }
}

#[test]
fn a_full_view_forgets_those_that_one_brought_which_brought_most_and_tells() {
    let mut view = View::new(record(0, 1, &[]));
    let most = u32::try_from(MAX_NODES).unwrap();
    for number in 1..most {
        let from = 100_000 + number / 2000;
        let outcome = take(&mut view, record(number, 1, &[]), from);
        assert!(
            matches!(outcome, Outcome::Newer(..)),
            "{number}: {outcome:?}"
        );
    }
    let one_more = record(most, 1, &[]);
    let held: BTreeSet<Index> = view.nodes().map(|(index, _)| index).collect();
    assert_eq!(take(&mut view, one_more.clone(), 7), Outcome::Full);
    assert!(
        held.iter().all(|index| view.get(*index).is_some()),
        "others hold their places until they are told"
    );
    let later = at(20);
    let gone = view.forget_if_due(later, at(600), nobody);
    let gone = if gone.is_empty() {
        view.forget_if_due(later, at(600), nobody)
    } else {
        gone
    };
    assert!(!gone.is_empty() && gone.iter().all(|index| held.contains(index)));
    assert!(matches!(take(&mut view, one_more, 7), Outcome::Newer(..)));
}

/// 0 is this node; it and 1, 2, 3, 4 are a full mesh.
fn mesh() -> View {
    mesh_of(5)
}

fn mesh_of(nodes: u32) -> View {
    let others: Vec<u32> = (1..nodes).collect();
    let mut view = View::new(record(0, 1, &others));
    for &number in &others {
        let peers: Vec<u32> = (0..nodes).filter(|&peer| peer != number).collect();
        take(&mut view, record(number, 1, &peers), number);
    }
    derive(&mut view, at(1), &others);
    assert_eq!(view.up_count(), nodes as usize);
    view
}

fn derive(view: &mut View, now: Duration, live: &[u32]) {
    view.derive_soon(now, true);
    let live = live.iter().map(|&number| id(number));
    view.derive_if_due(now, live);
}

#[test]
fn a_neighbour_that_goes_on_listing_the_dead_keeps_them_up_for_a_moment_only() {
    let mut view = mesh();
    // 4 dies. 1 goes on listing its link with it.
    view.accept_own(at(10), record(0, 2, &[1, 2, 3]));
    for number in [2, 3] {
        let peers: Vec<u32> = (0..4).filter(|&peer| peer != number).collect();
        view.accept(record(number, 2, &peers), at(10), Some(id(number)), false);
    }
    let live = [1, 2, 3];
    derive(&mut view, at(10), &live);
    assert!(view.is_up(&id(4)), "the lie holds for a while");
    // Ten round trips of its links take 10 ms.
    let due = at(10) + Duration::from_millis(1510);
    assert_eq!(view.ghosts_due(), Some(due));
    assert!(view.deadline() <= due);
    derive(&mut view, due, &live);
    assert!(!view.is_up(&id(4)));
    // The liar signs again, and again.
    view.accept(record(1, 2, &[0, 2, 3, 4]), at(16), Some(id(1)), false);
    derive(&mut view, at(17), &live);
    assert!(!view.is_up(&id(4)));
    // It was no lie: 4 lives behind 1, and says that it lost the others.
    view.accept(record(4, 2, &[1]), at(18), Some(id(1)), false);
    derive(&mut view, at(18), &live);
    assert!(view.is_up(&id(4)));
}

#[test]
fn a_liar_among_three_neighbours_keeps_the_dead_up_for_fifteen_seconds_only() {
    let mut view = mesh_of(4);
    // 3 dies. 1 goes on listing its link with it, and 2 and this node do not.
    view.accept_own(at(10), record(0, 2, &[1, 2]));
    view.accept(record(2, 2, &[0, 1]), at(10), Some(id(2)), false);
    let live = [1, 2];
    for s in [12, 15, 24] {
        derive(&mut view, at(s), &live);
        assert!(view.is_up(&id(3)), "this node and 2 may have been cut off");
    }
    assert_eq!(view.ghosts_due(), Some(at(25)));
    derive(&mut view, at(25), &live);
    assert!(!view.is_up(&id(3)));
}

#[test]
fn where_several_go_on_listing_the_dead_it_takes_five_seconds() {
    let mut view = mesh_of(7);
    // 6 dies. 1 and 2 go on listing their links with it.
    view.accept_own(at(10), record(0, 2, &[1, 2, 3, 4, 5]));
    for number in [3, 4, 5] {
        let peers: Vec<u32> = (0..6).filter(|&peer| peer != number).collect();
        view.accept(record(number, 2, &peers), at(10), Some(id(number)), false);
    }
    let live = [1, 2, 3, 4, 5];
    derive(&mut view, at(12), &live);
    assert!(view.is_up(&id(6)), "it may live behind 1 and 2");
    assert_eq!(view.ghosts_due(), Some(at(15)));
    derive(&mut view, at(15), &live);
    assert!(!view.is_up(&id(6)));
}

/// 0 has just joined 1, 2 and 3. 4 is dead, and so says each of them but 1.
fn newcomer() -> View {
    let bound = super::claims::Bound {
        most: 64,
        vouchers: 2,
        fresh_per_s: 1.0,
    };
    let mut view = View::new(record(0, 1, &[1, 2, 3])).with_bound(bound);
    for (number, peers) in [(1, &[0, 2, 3, 4][..]), (2, &[0, 1, 3]), (3, &[0, 1, 2])] {
        take(&mut view, record(number, 1, peers), number);
    }
    take(&mut view, record(4, 1, &[1, 2, 3]), 1);
    view
}

#[test]
fn a_newcomer_is_shown_the_dead_for_five_seconds_only() {
    let mut view = newcomer();
    let live = [1, 2, 3];
    derive(&mut view, at(1), &live);
    assert!(
        view.is_filling() && view.is_up(&id(4)),
        "it believes the lie"
    );
    derive(&mut view, at(4), &live);
    assert!(!view.is_filling() && view.is_up(&id(4)));
    assert_eq!(view.ghosts_due(), Some(at(6)));
    derive(&mut view, at(6), &live);
    assert!(!view.is_up(&id(4)));
}

#[test]
fn a_member_that_lists_the_dead_again_brings_them_back_for_ten_seconds_only() {
    let mut view = newcomer();
    let live = [1, 2, 3];
    view.accept(record(1, 2, &[0, 2, 3]), at(1), Some(id(1)), false);
    derive(&mut view, at(1), &live);
    derive(&mut view, at(4), &live);
    assert!(!view.is_filling() && !view.is_up(&id(4)));
    view.accept(record(1, 3, &[0, 2, 3, 4]), at(20), Some(id(1)), false);
    derive(&mut view, at(20), &live);
    assert!(view.is_up(&id(4)), "it may have come back");
    assert_eq!(view.ghosts_due(), Some(at(30)));
    derive(&mut view, at(30), &live);
    assert!(!view.is_up(&id(4)));
}

#[test]
fn neighbours_that_have_restarted_do_not_bring_the_dead_back() {
    let mut view = newcomer();
    let live = [1, 2, 3];
    derive(&mut view, at(1), &live);
    for (number, peers) in [(2, [0, 1, 3]), (3, [0, 1, 2])] {
        let body = record(number, 2, &peers).body().clone();
        let again = testing::record(Body { run_id: 2, ..body });
        take(&mut view, again, number);
    }
    derive(&mut view, at(4), &live);
    derive(&mut view, at(9), &live);
    assert!(!view.is_up(&id(4)));
    assert!(view.is_up(&id(2)) && view.is_up(&id(3)));
}

#[test]
fn neighbours_that_withdraw_what_they_hold_make_nobody_a_ghost() {
    let mut view = mesh();
    // 1 and 2 say that they lost 4, and 3 and this node have not.
    view.accept(record(1, 2, &[0, 2, 3]), at(10), Some(id(1)), false);
    view.accept(record(2, 2, &[0, 1, 3]), at(10), Some(id(2)), false);
    derive(&mut view, at(20), &[1, 2, 3, 4]);
    assert!(view.is_up(&id(4)), "this node has a link with it");
    view.accept(record(1, 3, &[0, 2, 3, 4]), at(20), Some(id(1)), false);
    view.accept(record(1, 4, &[0, 2, 3]), at(21), Some(id(1)), false);
    derive(&mut view, at(30), &[1, 2, 3]);
    assert!(view.is_up(&id(4)), "as many list it as have withdrawn it");
}
