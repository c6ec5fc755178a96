//! The rendezvous of nodes 1 and 9, and of others, from the view of one of them.

use std::sync::Arc;

use super::*;
use crate::membership::testing::{around, ms, node};
use crate::membership::tuning::Tuning;
use crate::record::AddrKind;
use crate::wire::Message;

const NOW: Time = Time::from_secs(100);

fn short(number: u8) -> ShortId {
    node(number).abbreviated()
}

fn host(number: u8) -> PublishedAddr {
    let addr = SocketAddr::from(([203, 0, 113, number], 8083));
    PublishedAddr::new(AddrKind::Observed, addr)
}

/// A node with a view of the whole graph, and its links.
struct Bench {
    view: View,
    links: Links,
    meet: Rendezvous,
    own: Vec<PublishedAddr>,
}

impl Bench {
    /// Node `me` in a graph with these links, each of 10 ms.
    fn new(me: u8, graph: &[(u8, u8)]) -> Self {
        let (view, links) = around(NOW, me, graph, |number| vec![host(number)]);
        Self {
            view,
            links,
            meet: Rendezvous::new(node(me), Arc::new(Tuning::DEFAULT)),
            own: vec![host(me)],
        }
    }

    fn ask(&mut self, peer: u8, nonce: u64) -> Option<(NodeId, Meet)> {
        let Self {
            view,
            links,
            meet,
            own,
        } = self;
        let scene = Scene {
            now: NOW,
            view,
            links,
            own,
            strangers: &Strangers::new(&[], Arc::default()),
        };
        meet.ask(&scene, node(peer), nonce)
    }

    fn handle_at(&mut self, now: Time, from: u8, message: Meet) -> Step {
        let Self {
            view,
            links,
            meet,
            own,
        } = self;
        let scene = Scene {
            now,
            view,
            links,
            own,
            strangers: &Strangers::new(&[], Arc::default()),
        };
        meet.handle(&scene, &node(from), message)
    }

    fn handle(&mut self, from: u8, message: Meet) -> Step {
        self.handle_at(NOW, from, message)
    }
}

fn passed(step: Step, to: u8) -> Meet {
    match step {
        Step::Pass(next, meet) if next == node(to) => meet,
        other => panic!("{other:?}"),
    }
}

fn way(meet: &Meet) -> Vec<u8> {
    meet.way.iter().map(|id| id.0[0]).collect()
}

/// Where `number` is: behind the mapping that its neighbour sees.
fn mapped(number: u8, neighbor: u8) -> SocketAddr {
    ([203, 0, 113, number], 4000 + u16::from(neighbor)).into()
}

#[test]
fn two_nodes_meet_over_a_common_neighbour() {
    const GRAPH: [(u8, u8); 2] = [(1, 5), (5, 9)];
    let (mut a, mut relay, mut b) = (
        Bench::new(1, &GRAPH),
        Bench::new(5, &GRAPH),
        Bench::new(9, &GRAPH),
    );
    let (first, request) = a.ask(9, 77).expect("there is a way");
    assert_eq!((first, way(&request)), (node(5), vec![1, 5, 9]));
    assert!(request.asker_dials, "node 1 is the lower one");
    assert!(Message::Meet(request.clone()).to_frame().len() < 200);
    let request = passed(relay.handle(1, request), 9);
    let answer = passed(b.handle(5, request), 5);
    assert!(answer.is_answer && answer.nonce == 77);
    // The answer takes half a round trip of the way.
    assert!(b.meet.due(NOW).is_empty());
    let at = b.meet.deadline().unwrap();
    assert_eq!(at, NOW + ms(10));
    assert_eq!(b.meet.due(at), [Deed::Open(vec![mapped(1, 5)], 77)]);
    let answer = passed(relay.handle(9, answer), 1);
    assert_eq!(a.handle(5, answer.clone()), Step::Nothing);
    assert_eq!(a.meet.due(NOW), [Deed::Open(vec![mapped(9, 5)], 77)]);
    assert!(matches!(a.handle(5, answer), Step::Refused(_)), "once");
    assert_eq!((a.meet.deadline(), b.meet.deadline()), (None, None));
    // The packet that comes through shows where the other one is.
    let (at_a, at_b) = (mapped(1, 77), mapped(9, 78));
    a.meet.heard(NOW, 76, at_b);
    assert_eq!(a.meet.deadline(), None, "another number");
    a.meet.heard(NOW, 77, at_b);
    a.meet.heard(NOW, 77, at_b);
    assert_eq!(a.meet.due(NOW), [Deed::Dial(node(9), at_b)], "once");
    // The other end gives it time to do so.
    b.meet.heard(at, 77, at_a);
    let second = b.meet.deadline().unwrap();
    assert_eq!(second, at + ms(500));
    assert_eq!(b.meet.due(second), [Deed::Dial(node(1), at_a)]);
}

#[test]
fn with_each_attempt_the_other_one_dials_and_another_relay_helps() {
    let graph = [(9, 5), (5, 1), (9, 6), (6, 1)];
    let mut asker = Bench::new(9, &graph);
    let requests: Vec<Meet> = (0..4).map(|nonce| asker.ask(1, nonce).unwrap().1).collect();
    let ways: Vec<Vec<u8>> = requests.iter().map(way).collect();
    assert_eq!(ways, [[9, 5, 1], [9, 6, 1], [9, 5, 1], [9, 6, 1]]);
    let dials: Vec<bool> = requests.iter().map(|one| one.asker_dials).collect();
    assert_eq!(dials, [false, true, false, true]);
}

#[test]
fn the_way_leads_over_three_relays_at_most() {
    let line = |length: u8| (1..length).map(|at| (at, at + 1)).collect::<Vec<_>>();
    for length in 3..=5 {
        let mut bench = Bench::new(1, &line(length));
        let (_, meet) = bench.ask(length, 1).unwrap();
        assert_eq!(way(&meet), (1..=length).collect::<Vec<_>>());
        assert!(Message::from_body(&Message::Meet(meet).to_frame()[4..]).is_ok());
    }
    assert_eq!(Bench::new(1, &line(6)).ask(6, 1), None);
    assert_eq!(Bench::new(1, &line(3)).ask(2, 1), None, "no way around");
    assert_eq!(Bench::new(1, &line(3)).ask(77, 1), None, "unknown");
}

#[test]
fn a_relay_passes_on_only_what_stays_on_its_way() {
    let graph = [(1, 5), (5, 9), (5, 6)];
    let mut relay = Bench::new(5, &graph);
    let (_, request) = Bench::new(1, &graph).ask(9, 1).unwrap();
    assert!(matches!(relay.handle(6, request.clone()), Step::Refused(_)));
    let stranger = Meet {
        way: vec![short(1), short(7), short(9)],
        ..request.clone()
    };
    assert!(matches!(relay.handle(1, stranger), Step::Refused(_)));
    let nowhere = Meet {
        way: vec![short(1), short(5), short(77)],
        ..request.clone()
    };
    assert_eq!(relay.handle(1, nowhere), Step::Nothing);
    // An answer that nobody asked for has no effect.
    let answer = Meet {
        way: vec![short(5), short(6), short(1)],
        is_answer: true,
        ..request
    };
    assert!(matches!(relay.handle(6, answer), Step::Refused(_)));
    assert_eq!(relay.meet.deadline(), None);
}

#[test]
fn a_neighbour_can_bring_no_more_than_its_share() {
    let graph = [(1, 5), (5, 9)];
    let mut relay = Bench::new(5, &graph);
    let (_, request) = Bench::new(1, &graph).ask(9, 1).unwrap();
    let passes = |relay: &mut Bench, now| {
        let all = (0..1000).map(|_| relay.handle_at(now, 1, request.clone()));
        all.filter(|step| matches!(step, Step::Pass(..))).count()
    };
    assert_eq!(passes(&mut relay, NOW), 64);
    assert_eq!(passes(&mut relay, NOW + ms(10_000)), 64);
    assert_eq!(passes(&mut relay, NOW + ms(11_000)), 8);
}

#[test]
fn nobody_is_made_to_send_much_to_a_victim() {
    // Six at once, and four a minute.
    let packets = packets_to_a_victim(&[(1, 5), (5, 9)]);
    assert!(
        (3 * 43..=3 * 46).contains(&packets),
        "{packets} in ten minutes"
    );
}

#[test]
fn a_large_network_shares_what_it_sends_to_a_victim() {
    let others = (20..97).map(|other| (5, other));
    let graph: Vec<(u8, u8)> = [(1, 5), (5, 9)].into_iter().chain(others).collect();
    // 80 nodes: four a minute from every five of them.
    let packets = packets_to_a_victim(&graph);
    assert!(
        (3 * 13..=3 * 15).contains(&packets),
        "{packets} in ten minutes"
    );
}

fn packets_to_a_victim(graph: &[(u8, u8)]) -> usize {
    let mut target = Bench::new(9, graph);
    let (_, request) = Bench::new(1, graph).ask(9, 1).unwrap();
    let mut packets = 0;
    for second in 0..600_u16 {
        for port in 1..=16 {
            let victim = SocketAddr::from(([198, 51, 100, 1], 1024 + second * 16 + port));
            let request = Meet {
                nonce: u64::from(second),
                asker_dials: true,
                addrs: vec![PublishedAddr::new(AddrKind::Observed, victim)],
                ..request.clone()
            };
            target.handle_at(NOW + ms(u64::from(second) * 1000), 5, request);
        }
        for deed in target.meet.due(NOW + ms(u64::from(second) * 1000 + 999)) {
            match deed {
                Deed::Open(addrs, _) => packets += 3 * addrs.len(),
                Deed::Dial(..) => panic!("the asker dials"),
            }
        }
    }
    packets
}

#[test]
fn the_table_of_hosts_is_bounded() {
    let most = Tuning::DEFAULT.meet.hosts;
    let mut meet = Rendezvous::new(node(1), Arc::new(Tuning::DEFAULT));
    let sent = (0..5000_u32)
        .filter(|host| meet.may_send(NOW, IpAddr::V4((0x0b00_0000 + host).into())))
        .count();
    assert_eq!((sent, meet.hosts.len()), (most, most));
    let later = NOW + ms(60_000);
    assert!(meet.may_send(later, IpAddr::V4(0x0c00_0000.into())));
}

#[test]
fn an_address_that_nobody_may_dial_is_not_opened() {
    let graph = [(1, 5), (5, 9)];
    let mut target = Bench::new(9, &graph);
    let (_, request) = Bench::new(1, &graph).ask(9, 1).unwrap();
    let bad = [
        "127.0.0.1:5000",
        "[ff02::1]:5000",
        "[fe80::1]:5000",
        "0.0.0.0:5000",
        // A service of the system, and hosts in networks that are foreign to this node.
        "198.51.100.1:53",
        "10.0.0.1:5000",
        "[fd00::1]:5000",
    ];
    let bad = bad.map(|addr| PublishedAddr::new(AddrKind::Observed, addr.parse().unwrap()));
    let request = Meet {
        addrs: bad.to_vec(),
        ..request
    };
    assert!(matches!(target.handle(5, request), Step::Pass(..)));
    assert_eq!(target.meet.deadline(), None);
}

#[test]
fn one_address_of_a_host_is_opened_and_a_prefix_of_ipv6_is_one_host() {
    let graph = [(1, 5), (5, 9)];
    let mut target = Bench::new(9, &graph);
    let (_, request) = Bench::new(1, &graph).ask(9, 1).unwrap();
    let addrs = [
        "198.51.100.1:3000",
        "198.51.100.1:2000",
        "[2001:db8::1]:2001",
        "[2001:db8::2]:2002",
    ];
    let observed = |addr: &str| PublishedAddr::new(AddrKind::Observed, addr.parse().unwrap());
    let request = Meet {
        addrs: addrs.map(observed).to_vec(),
        ..request
    };
    assert!(matches!(target.handle(5, request), Step::Pass(..)));
    let at = target.meet.deadline().unwrap();
    let opened = [addrs[0], addrs[2]].map(|addr| addr.parse().unwrap());
    assert_eq!(target.meet.due(at), [Deed::Open(opened.to_vec(), 1)]);
}
