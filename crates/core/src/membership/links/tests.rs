//! The owner of the links alone, through its own interface.

use super::*;
use crate::membership::interface::{Action, Closed};
use crate::membership::out::Out;
use crate::membership::testing::{addr, body, connected, link_to, ms, node, record};
use crate::wire::{Answer, CloseCode, Probe, ViewDigest};

const RUN: u64 = 7;
const DIGEST: ViewDigest = ViewDigest([0; 8]);

/// The links of node 1.
fn links() -> Links {
    Links::new(node(1), ms(1500), Arc::default())
}

fn no_hold(_: &NodeId) -> Option<Time> {
    None
}

/// Links that hold a listed one, dialed at time zero.
fn linked(peer: NodeId) -> Links {
    let mut links = links();
    let adopted = links.adopt(ms(0), &connected(1, peer, RUN, true));
    assert!(adopted.confirmed && !adopted.replaced);
    assert!(links.list_if_due(ms(0), &peer, None));
    links
}

/// Handles a link's deadlines up to a time. Probes are answered after a millisecond, or not at all.
fn run(links: &mut Links, until: Time, peer: &NodeId, answers: bool) -> Option<(Time, LinkEvent)> {
    let mut out = Out::new();
    loop {
        let now = links.deadline(no_hold);
        if now > until {
            return None;
        }
        let probed = links.probe(now, peer, DIGEST, 7, &mut out);
        let event = probed.or_else(|| links.advance_phase(now, peer, None));
        if let Some(event) = event.filter(|event| *event != LinkEvent::Suspected) {
            return Some((now, event));
        }
        while let Some(action) = out.poll_action() {
            if let Action::Probe(_, probe) = action
                && answers
            {
                let event = answer(links, now + ms(1), peer, probe.seq);
                assert_eq!(event, None);
            }
        }
    }
}

fn answer(links: &mut Links, now: Time, peer: &NodeId, seq: u32) -> Option<LinkEvent> {
    let answer = Answer { seq, hold_us: 0 };
    links.handle_answer(now, peer, &answer, Some(1000))
}

/// The number of the next probe.
fn next_probe(links: &mut Links, peer: &NodeId) -> (Time, u32) {
    let now = links.get(peer).expect("linked").deadline(|| None);
    let mut out = Out::new();
    assert_eq!(links.probe(now, peer, DIGEST, 7, &mut out), None);
    let Some(Action::Probe(_, probe)) = out.poll_action() else {
        panic!("no probe is due");
    };
    (now, probe.seq)
}

/// A link that answered for half a minute and then fell silent until it was judged down.
fn parked(peer: NodeId) -> (Links, Time) {
    let mut links = linked(peer);
    assert_eq!(run(&mut links, ms(30_000), &peer, true), None);
    let lost = run(&mut links, ms(60_000), &peer, false);
    let Some((down, LinkEvent::Lost { was_listed: true })) = lost else {
        panic!("it was not judged down: {lost:?}");
    };
    (links, down)
}

#[test]
fn a_link_judged_down_is_parked_and_given_up_after_ten_seconds() {
    let peer = node(2);
    let (mut links, down) = parked(peer);
    assert!(links.get(&peer).is_some_and(Link::is_parked));
    assert_eq!((links.len(), links.degree()), (1, 0));
    assert!(links.listed().next().is_none());
    let end = run(&mut links, ms(600_000), &peer, false);
    assert_eq!(end, Some((down + ms(10_000), LinkEvent::Dead(ConnId(1)))));
    assert!(links.close(&peer, ConnId(1)), "it carried the link");
    assert!(links.remove(&peer).is_some());
    assert_eq!(links.owner(ConnId(1)), None);
}

#[test]
fn an_answer_revives_a_parked_link_and_restoring_lists_it_again() {
    let peer = node(2);
    let (mut links, _) = parked(peer);
    let (now, seq) = next_probe(&mut links, &peer);
    let event = answer(&mut links, now + ms(1), &peer, seq);
    assert_eq!(event, Some(LinkEvent::Revived));
    assert!(!links.is_live(&peer), "its slot may have gone to another");
    links.restore(now + ms(1), &peer);
    assert!(links.is_live(&peer));
    assert!(links.list_if_due(now + ms(1), &peer, None));
    assert!(!links.list_if_due(now + ms(1), &peer, None), "once");
    assert_eq!(links.get(&peer).map(Link::since), Some(now + ms(1)));
}

#[test]
fn a_link_whose_connection_lost_is_abandoned_unless_the_winner_comes() {
    let peer = node(2);
    let lost = Closed::ByPeer(Some(CloseCode::Duplicate));
    let orphaned = || {
        let mut links = linked(peer);
        assert_eq!(links.forget_conn(ConnId(1)), Some(peer));
        let remains = links.remains(ms(100), &peer, ConnId(1), &lost);
        assert!(matches!(remains, Remains::Orphan));
        links
    };
    let mut links = orphaned();
    assert!(!links.is_live(&peer) && links.get(&peer).is_some_and(Link::is_listed));
    let end = run(&mut links, ms(60_000), &peer, true);
    assert_eq!(end, Some((ms(2100), LinkEvent::Abandoned)));

    let mut links = orphaned();
    let winner = connected(2, peer, RUN, false);
    assert_eq!(links.meet(ms(200), &winner), Meeting::Weaker);
    let adopted = links.adopt(ms(200), &winner);
    assert!(adopted.replaced && adopted.confirmed && !adopted.new_run);
    assert!(links.get(&peer).is_some_and(Link::is_listed));
    assert_eq!(links.take_losers(ms(60_000)), [], "the loser is gone");
}

#[test]
fn other_ends_leave_nothing_of_a_link() {
    let peer = node(2);
    for why in [Closed::Reset, Closed::TimedOut, Closed::ByPeer(None)] {
        let mut links = linked(peer);
        let remains = links.remains(ms(100), &peer, ConnId(9), &why);
        assert!(matches!(remains, Remains::Same), "another connection");
        let remains = links.remains(ms(100), &peer, ConnId(1), &why);
        assert!(matches!(remains, Remains::Nothing), "{why:?}");
    }
}

#[test]
fn a_link_that_the_peer_dialed_is_listed_once_the_peer_spoke() {
    let peer = node(2);
    let mut links = links();
    let adopted = links.adopt(ms(0), &connected(1, peer, RUN, false));
    assert!(!adopted.confirmed);
    assert!(!links.list_if_due(ms(0), &peer, None));
    assert!(links.confirm(&peer));
    assert!(!links.confirm(&peer), "once");
    assert!(!links.list_if_due(ms(0), &peer, Some(ms(50))), "it is held");
    assert_eq!(links.deadline(|_| Some(ms(50))), ms(50));
    assert_eq!(
        links.advance_phase(ms(50), &peer, Some(ms(50))),
        Some(LinkEvent::Listed)
    );
}

#[test]
fn a_link_that_was_lost_three_times_is_held() {
    let peer = node(2);
    let mut links = linked(peer);
    for at in [1000, 2000, 3000] {
        links.note_loss(ms(at), peer, RUN);
    }
    links.remove(&peer);
    links.adopt(ms(4000), &connected(2, peer, RUN, true));
    assert!(!links.list_if_due(ms(4000), &peer, None));
    assert!(!links.list_if_due(ms(5999), &peer, None));
    assert!(links.list_if_due(ms(6000), &peer, None));

    // A connection that replaces a listed one is no reason to hold the link.
    let adopted = links.adopt(ms(7000), &connected(3, peer, RUN, true));
    assert!(adopted.replaced);
    assert!(links.get(&peer).is_some_and(Link::is_listed));
}

/// One collision: this node is number 1, and dialed or was dialed by a node of a higher number or a lower one.
struct Case {
    name: &'static str,
    peer: u8,
    /// The old connection: its number, and whether this node dialed it.
    old: (u64, bool),
    new: (u64, bool),
    new_run: u64,
    replaces: bool,
    /// When the new connection comes, in ms.
    at: u64,
    meets: Meeting,
}

fn cases() -> Vec<Case> {
    let case = |name, peer, old, new, meets| Case {
        name,
        peer,
        old,
        new,
        new_run: RUN,
        replaces: false,
        at: 100,
        meets,
    };
    let (weaker, stronger) = (|| Meeting::Weaker, || Meeting::Stronger);
    vec![
        case("a higher counter", 2, (1, true), (2, true), weaker()),
        case("a lower counter", 2, (2, true), (1, true), stronger()),
        case("a higher one of its", 2, (1, false), (2, false), weaker()),
        case("the lower id dialed it", 2, (1, false), (1, true), weaker()),
        case("the higher id did", 2, (1, true), (1, false), stronger()),
        case("from the other side", 0, (1, false), (1, true), stronger()),
        case("from the other side", 0, (1, true), (1, false), weaker()),
        Case {
            replaces: true,
            ..case("crossed dials", 2, (1, true), (1, false), stronger())
        },
        Case {
            replaces: true,
            at: 3000,
            ..case("it replaces an old one", 2, (1, true), (1, false), weaker())
        },
        Case {
            new_run: RUN + 1,
            ..case("a restart", 2, (1, true), (2, true), Meeting::OtherRun)
        },
        Case {
            new_run: RUN + 1,
            replaces: true,
            at: 3000,
            ..case("a restart", 2, (1, true), (2, true), Meeting::OtherRun)
        },
    ]
}

#[test]
fn both_ends_choose_the_same_of_two_connections() {
    for case in cases() {
        let peer = node(case.peer);
        let mut links = links();
        let old = connected(case.old.0, peer, RUN, case.old.1);
        assert_eq!(links.meet(ms(0), &old), Meeting::Vacancy);
        links.adopt(ms(0), &old);
        let mut new = connected(case.new.0, peer, case.new_run, case.new.1);
        new.hello.replaces = case.replaces;
        let meets = links.meet(ms(case.at), &new);
        assert_eq!(meets, case.meets, "{}", case.name);
        (new.hello.replaces, new.replaces) = (false, case.replaces);
        let meets = links.meet(ms(case.at), &new);
        assert_eq!(meets, case.meets, "{}, said by this end", case.name);
    }
    let (links, _) = parked(node(2));
    let new = connected(2, node(2), RUN, true);
    assert_eq!(links.meet(ms(60_000), &new), Meeting::Vacancy);
}

#[test]
fn a_loser_is_closed_half_a_second_later() {
    let peer = node(2);
    let mut links = linked(peer);
    let loser = connected(2, peer, RUN, false);
    links.keep_loser(ms(100), &loser);
    assert_eq!(links.owner(ConnId(2)), Some(peer));
    assert_eq!(links.peer(ConnId(2)), None, "it carries no link");
    assert_eq!(links.peer(ConnId(1)), Some(peer));
    assert_eq!(links.collision_deadline(), Some(ms(600)));
    assert_eq!(links.take_losers(ms(599)), []);
    assert_eq!(links.take_losers(ms(600)), [ConnId(2)]);
    assert_eq!(links.collision_deadline(), None);
    assert!(!links.close(&peer, ConnId(2)));
}

#[test]
fn marks_are_told_when_they_change() {
    let (a, b) = (node(2), node(3));
    let mut links = linked(a);
    links.adopt(ms(0), &connected(2, b, RUN, true));
    assert_eq!(links.mark(&BTreeSet::from([a])), [(a, true)]);
    assert_eq!(links.mark(&BTreeSet::from([a])), []);
    assert_eq!(links.mark(&BTreeSet::from([b])), [(a, false), (b, true)]);
    assert!(links.mark_by_peer(&a, true));
    assert!(!links.mark_by_peer(&a, true));
    assert!(links.get(&a).is_some_and(Link::is_superfluous_to_peer));
    assert!(!links.mark_by_peer(&node(9), true), "no link");
}

#[test]
fn a_link_is_suspected_by_others_word_only_after_a_probe() {
    let (peer, other) = (node(2), node(3));
    let mut links = linked(peer);
    assert_eq!(run(&mut links, ms(30_000), &peer, true), None);
    let now = ms(30_000);
    let mut before = body(other, RUN, 1);
    before.links.push(link_to(peer, RUN));
    let after = record(body(other, RUN, 2));
    links.hear_of_links(now, &record(before), &after, |_| true);
    assert!(links.is_live(&peer));
    assert_eq!(links.deadline(no_hold), now, "it is probed at once");
}

/// Changes to links, each with the links as they are before.
type Change = (&'static str, fn(&mut Links, Time));

const CHANGES: [Change; 13] = [
    ("adopt", |links, now| {
        links.adopt(now, &connected(9, node(9), RUN, true));
    }),
    ("remove", |links, _| {
        links.remove(&node(2));
    }),
    ("confirm", |links, _| {
        assert!(links.confirm(&node(3)));
    }),
    ("list_if_due", |links, now| {
        links.confirm(&node(3));
        assert!(links.list_if_due(now, &node(3), None));
    }),
    ("restore", |links, now| links.restore(now, &node(2))),
    ("forgive", |links, now| links.forgive(now)),
    ("extend", |links, _| {
        next_probe(links, &node(2));
        links.deadline(no_hold);
        links.extend(ms(200));
    }),
    ("handle_probe", |links, now| {
        let probe = Probe {
            seq: 1,
            heard: true,
            rtt_us: 1000,
            loss: 0,
            next_ms: 5000,
            digest: DIGEST,
        };
        links.handle_probe(now, &node(2), &probe);
        links.handle_probe(now, &node(3), &probe);
    }),
    ("handle_answer", |links, _| {
        let (at, seq) = next_probe(links, &node(2));
        links.deadline(no_hold);
        answer(links, at + ms(1), &node(2), seq);
    }),
    ("handle_unreachable", |links, now| {
        links.handle_unreachable(now, &node(2));
    }),
    ("challenge", |links, now| {
        links.open_challenge(now, connected(9, node(2), RUN + 1, true));
    }),
    ("remains", |links, now| {
        let lost = Closed::ByPeer(Some(CloseCode::Duplicate));
        links.remains(now, &node(2), ConnId(1), &lost);
    }),
    ("align_probes", |links, now| {
        links.align_probes(now + ms(1500));
    }),
];

#[test]
fn no_change_of_a_link_leaves_an_old_deadline() {
    for (name, change) in CHANGES {
        let mut links = linked(node(2));
        links.adopt(ms(1), &connected(2, node(3), RUN, false));
        assert_eq!(run(&mut links, ms(700), &node(2), true), None);
        links.end_look();
        let before = links.deadline(no_hold);
        assert!(!links.needs_look(ms(700)) && before > ms(700));
        change(&mut links, ms(700));
        let due = links.iter().map(|link| link.deadline(|| None)).min();
        assert_eq!(Some(links.deadline(no_hold)), due, "{name}");
    }
}

#[test]
fn after_a_node_was_away_its_links_are_probed_at_once() {
    let peer = node(2);
    let mut links = linked(peer);
    assert_eq!(run(&mut links, ms(30_000), &peer, true), None);
    links.end_look();
    let due = links.deadline(no_hold);
    assert!(due > ms(30_000) && !links.needs_look(ms(30_000)));
    links.forgive(ms(30_000));
    assert!(links.needs_look(ms(30_000)), "whatever the next input is");
    assert_eq!(next_probe(&mut links, &peer).0, ms(30_000));
}

#[test]
fn an_observed_address_stays_with_its_link() {
    let links = linked(node(2));
    let observed: Vec<_> = links.iter().map(Link::observed).collect();
    assert_eq!(observed, [Some(addr(1))]);
    assert_eq!(links.dialed(), 1);
}
