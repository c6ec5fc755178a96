//! What neighbours are sent and named, against a plain model.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn sent(backlog: &mut Backlog, to: Slot, most: usize) -> Vec<u32> {
    let mut sent = Vec::new();
    backlog.take_due(to, |index| {
        let fits = sent.len() < most;
        sent.extend(fits.then_some(index.0));
        fits
    });
    sent
}

#[test]
fn a_neighbour_gets_a_record_once_and_its_successor_once() {
    let (mut backlog, node) = (Backlog::new(32), Index(70));
    let to = backlog.join();
    backlog.offer(to, node);
    assert_eq!(sent(&mut backlog, to, 9), [70]);
    backlog.offer(to, node);
    assert!(backlog.is_empty(to), "it has that version");
    backlog.renew(node);
    backlog.offer(to, node);
    assert!(!backlog.is_empty(to));
    backlog.settle(to, node);
    assert!(backlog.is_empty(to), "it came from there");
    backlog.require(to, node);
    assert!(!backlog.is_empty(to), "it asked for it");
}

#[test]
fn batches_go_round_so_that_no_node_waits_for_ever() {
    let mut backlog = Backlog::new(32);
    let to = backlog.join();
    for node in 0..5 {
        backlog.offer(to, Index(node));
    }
    assert_eq!(sent(&mut backlog, to, 2), [0, 1]);
    for node in 0..2 {
        backlog.require(to, Index(node));
    }
    assert_eq!(sent(&mut backlog, to, 2), [2, 3]);
    assert_eq!(sent(&mut backlog, to, 9), [4, 0, 1]);
    assert!(backlog.is_empty(to));
}

#[test]
fn a_neighbour_is_told_once_and_gets_what_it_asks_for() {
    let (mut backlog, at) = (Backlog::new(32), Duration::from_millis(5));
    let to = backlog.join();
    let (early, late) = (Index(1), Index(2));
    backlog.name(to, late, at * 2);
    backlog.name(to, early, at);
    assert!(backlog.is_empty(to) && backlog.named_due(to) == Some(at));
    assert_eq!(backlog.take_named(to, at / 2, 9), []);
    assert_eq!(
        backlog.take_named(to, at, 9),
        [early, late],
        "in one message"
    );
    backlog.name(to, early, at);
    assert_eq!(backlog.named_due(to), None, "it knows");
    backlog.require(to, early);
    backlog.name(to, early, at);
    assert_eq!(
        backlog.take_named(to, at, 9),
        [],
        "it gets the record itself"
    );
    assert!(!backlog.is_empty(to));
}

#[derive(Debug, Clone)]
enum Step {
    Join,
    Leave(usize),
    Renew(u32),
    Settle(usize, u32),
    Require(usize, u32),
    /// To neighbours with the first bits it is offered, and mentioned to those with the second ones.
    HandOn(u64, u64, u32),
    Send(usize, usize),
    Tell(usize, usize),
    Forget(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let (which, node) = (0..40_usize, 0..600_u32);
    prop_oneof![
        3 => Just(Step::Join),
        1 => which.clone().prop_map(Step::Leave),
        3 => node.clone().prop_map(Step::Renew),
        3 => (which.clone(), node.clone()).prop_map(|(to, node)| Step::Settle(to, node)),
        1 => (which.clone(), node.clone()).prop_map(|(to, node)| Step::Require(to, node)),
        6 => (any::<u64>(), any::<u64>(), node.clone())
            .prop_map(|(send, tell, node)| Step::HandOn(send, tell, node)),
        2 => (which.clone(), 0..5_usize).prop_map(|(to, most)| Step::Send(to, most)),
        2 => (which, 0..5_usize).prop_map(|(to, most)| Step::Tell(to, most)),
        1 => node.prop_map(Step::Forget),
    ]
}

proptest! {
    /// However many neighbours come and go: each stands where a map of its own would have it.
    #[test]
    fn every_neighbour_has_a_backlog_of_its_own(steps in prop::collection::vec(step(), 1..200)) {
        let mut backlog = Backlog::new(32);
        let mut plain: Vec<(Slot, BTreeMap<u32, Stand>)> = Vec::new();
        for step in steps {
            let count = plain.len().max(1);
            match step {
                Step::Join => plain.push((backlog.join(), BTreeMap::new())),
                Step::Leave(which) if which < plain.len() => {
                    let (slot, _) = plain.swap_remove(which);
                    backlog.leave(slot);
                }
                Step::Renew(node) => {
                    backlog.renew(Index(node));
                    for (_, stands) in &mut plain {
                        stands.retain(|of, stand| *of != node || *stand != Stand::Has);
                    }
                }
                Step::HandOn(send, tell, node) => {
                    let pick = |bits: u64| {
                        let some = plain.iter().enumerate();
                        let some = some.filter(move |(nth, _)| bits >> (nth % 64) & 1 == 1);
                        some.map(|(_, (slot, _))| *slot)
                    };
                    let slots = [send, tell].map(|bits| backlog.slots(pick(bits)));
                    backlog.hand_on(Index(node), &slots[0], &slots[1], Duration::ZERO);
                    for (nth, (_, stands)) in plain.iter_mut().enumerate() {
                        let stand = stands.get(&node).copied().unwrap_or(Stand::Open);
                        if send >> (nth % 64) & 1 == 1 && stand != Stand::Has {
                            stands.insert(node, Stand::Due);
                        } else if tell >> (nth % 64) & 1 == 1 && stand == Stand::Open {
                            stands.insert(node, Stand::Named);
                        }
                    }
                }
                Step::Forget(node) => {
                    backlog.forget(&[Index(node)].into());
                    for (_, stands) in &mut plain {
                        stands.remove(&node);
                    }
                }
                Step::Settle(which, node) => if let Some((slot, stands)) = plain.get_mut(which % count) {
                    backlog.settle(*slot, Index(node));
                    stands.insert(node, Stand::Has);
                }
                Step::Require(which, node) => if let Some((slot, stands)) = plain.get_mut(which % count) {
                    backlog.require(*slot, Index(node));
                    stands.insert(node, Stand::Due);
                }
                Step::Send(which, most) => if let Some((slot, stands)) = plain.get_mut(which % count) {
                    let due = stands.values().filter(|stand| **stand == Stand::Due).count();
                    let sent = sent(&mut backlog, *slot, most);
                    prop_assert_eq!(sent.len(), due.min(most));
                    for node in sent {
                        prop_assert_eq!(stands.insert(node, Stand::Has), Some(Stand::Due));
                    }
                }
                Step::Tell(which, most) => if let Some((slot, stands)) = plain.get_mut(which % count) {
                    let named = stands.iter().filter(|(_, stand)| **stand == Stand::Named);
                    let named: Vec<Index> = named.map(|(node, _)| Index(*node)).take(most).collect();
                    prop_assert_eq!(backlog.take_named(*slot, Duration::ZERO, most), named.clone());
                    for Index(node) in named {
                        stands.insert(node, Stand::Has);
                    }
                }
                Step::Leave(_) => {}
            }
            for (slot, stands) in &plain {
                for node in 0..600 {
                    let stand = stands.get(&node).copied().unwrap_or(Stand::Open);
                    prop_assert_eq!(backlog.stand(*slot, Index(node)), stand);
                }
                let due = stands.values().any(|stand| *stand == Stand::Due);
                prop_assert_eq!(backlog.is_empty(*slot), !due);
                let named = stands.values().any(|stand| *stand == Stand::Named);
                prop_assert!(!named || backlog.named_due(*slot).is_some());
            }
        }
    }
}
