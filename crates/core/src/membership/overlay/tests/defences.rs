//! What hostile nodes can do with addresses and links, in figures.

use std::collections::BTreeMap;

use super::*;
use crate::membership::tuning::Tuning;
use crate::record::Direction;
use crate::wire::CloseCode;

/// Numbers of nodes that only the attacker runs, or nobody.
const HOSTILE: std::ops::RangeInclusive<u8> = 50..=249;

fn victim(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 66], port))
}

/// The record of a node that a hostile one invented, or runs.
fn hostile(number: u8, seq: u32, addrs: &[SocketAddr]) -> Arc<Record> {
    let mut body = Body {
        addrs: addrs
            .iter()
            .map(|addr| PublishedAddr::local(*addr))
            .collect(),
        ..listing(id(number), seq, [id(HUB)])
    };
    // As if somebody had reached it: dials of such nodes do not become rare.
    body.links[0].direction = Direction::Listener;
    testing::record(body)
}

impl Scene {
    /// The hub, which is hostile, lists these nodes as well. Each of them names the addresses.
    fn invent(&mut self, seq: u32, honest: &[u8], addrs: impl Fn(u8) -> Vec<SocketAddr>) {
        let all: Vec<u8> = honest.iter().copied().chain(HOSTILE).collect();
        self.accept(record_of(HUB, seq, &all));
        for number in HOSTILE {
            self.accept(hostile(number, seq, &addrs(number)));
        }
        self.derive();
    }

    fn accept(&mut self, record: Arc<Record>) {
        self.view.accept(record.clone(), self.now, None, false);
        let index = self.view.index(&record.id().abbreviated()).unwrap();
        self.overlay.dials.forgive(&record.id());
        self.overlay.remember(self.now, index, None, &self.view);
    }

    /// The dials that begin within that time, whom they are to reach, and where. Each fails after three seconds.
    fn dials_within(
        &mut self,
        time: Duration,
        why: impl Fn(Option<NodeId>) -> DialError,
    ) -> Vec<(Option<NodeId>, SocketAddr)> {
        let (end, mut all) = (self.now + time, Vec::new());
        let mut under_way: Vec<(Time, DialId, Option<NodeId>)> = Vec::new();
        while self.now < end {
            self.now += 250 * MS;
            let (ended, rest): (Vec<_>, Vec<_>) =
                under_way.into_iter().partition(|(at, ..)| *at <= self.now);
            under_way = rest;
            for (_, dial, peer) in ended {
                self.fail(dial, &why(peer));
            }
            self.overlay.plan_by(self.now);
            let seen = Seen {
                now: self.now,
                view: &self.view,
                links: &self.links,
                last_loss: None,
                members: &Members::new(None),
            };
            self.overlay.plan(&seen, &mut self.rng);
            self.overlay.dial(&seen, &mut self.rng, &mut self.out);
            while let Some(action) = self.out.poll_action() {
                if let Action::Dial {
                    dial,
                    expect,
                    addr,
                    others,
                    ..
                } = action
                {
                    under_way.push((self.now + 3000 * MS, dial, expect));
                    let addrs = others.into_iter().chain([addr]);
                    all.extend(addrs.map(|addr| (expect, addr)));
                }
            }
        }
        for (_, dial, peer) in under_way {
            self.fail(dial, &why(peer));
        }
        all
    }
}

/// How often a node dials each of two ports of a victim within five minutes, of which one or the other is named by 200 ids. Every ten
/// seconds, all of them sign anew and name the other port: that makes a node forget failed dials. `up` is the number of nodes that it
/// reaches.
fn dials_to_a_victim(tuning: Tuning) -> (BTreeMap<SocketAddr, u32>, usize) {
    let honest: Vec<u8> = (2..=12).collect();
    let config = Config {
        tuning: Arc::new(tuning),
        ..config()
    };
    let mut scene = Scene::with(0, config).join(1..=12);
    for &other in &honest {
        scene.link(other, true);
    }
    let mut by_addr: BTreeMap<SocketAddr, u32> = BTreeMap::new();
    for round in 0..30_u16 {
        let named = victim(4000 + round % 2);
        scene.invent(10 + u32::from(round), &honest, |_| vec![named]);
        for (_, addr) in scene.dials_within(10_000 * MS, |_| DialError::Timeout) {
            if addr.ip() == named.ip() {
                *by_addr.entry(addr).or_default() += 1;
            }
        }
    }
    (by_addr, scene.view.up_count())
}

#[test]
fn a_victim_that_two_hundred_ids_name_gets_two_dials_from_each_node_and_then_its_share_of_one_initial_a_second()
 {
    let (by_addr, up) = dials_to_a_victim(Tuning::DEFAULT);
    for (addr, count) in by_addr {
        let most = 2.0 + 300.0 / (4.0 * up as f64);
        assert!(f64::from(count) <= most, "{count} dials to {addr}");
    }
    // Without the budget.
    let mut tuning = Tuning::DEFAULT;
    (tuning.overlay.stranger_burst, tuning.overlay.stranger_per_s) = (1000.0, 1000.0);
    (tuning.overlay.host_burst, tuning.overlay.host_per_s) = (10_000.0, 1000.0);
    let (by_addr, _) = dials_to_a_victim(tuning);
    assert!(by_addr.values().sum::<u32>() > 20, "{by_addr:?}");
}

#[test]
fn an_invented_node_at_an_honest_nodes_address_does_not_keep_that_one_from_being_dialed() {
    let mut scene = Scene::among(0, 1..=3);
    scene.invent(10, &[2, 3], |_| vec![addr(2)]);
    let dials = scene.dials_within(60_000 * MS, |_| DialError::OtherKey(id(2)));
    let honest = [Some(id(2)), Some(id(3))];
    let invented = dials.iter().filter(|(peer, _)| !honest.contains(peer));
    assert!(invented.count() <= 2, "{dials:?}");
    let seen = Seen {
        now: scene.now,
        view: &scene.view,
        links: &scene.links,
        last_loss: None,
        members: &Members::new(None),
    };
    let candidate = |number| crate::membership::interface::Candidate {
        id: Some(id(number)),
        addr: addr(2),
    };
    assert!(scene.overlay.ways_of(&candidate(2), &seen).is_ok());
    assert!(scene.overlay.ways_of(&candidate(50), &seen).is_err());
}

#[test]
fn no_service_of_the_system_and_no_foreign_private_address_is_dialed() {
    let mut scene = Scene::among(0, 1..=3);
    let private = |number: u8| SocketAddr::from(([10, 0, 0, number], 9000));
    scene.invent(10, &[2, 3], |number| {
        vec![
            victim(53),
            private(number),
            "127.0.0.1:5000".parse().unwrap(),
            "169.254.1.1:5000".parse().unwrap(),
        ]
    });
    let dials = scene.dials_within(60_000 * MS, |_| DialError::Timeout);
    let hit = dials
        .iter()
        .filter(|(_, addr)| addr.ip() != super::addr(2).ip() && addr.ip() != super::addr(3).ip());
    assert_eq!(hit.count(), 0, "{dials:?}");
}

#[test]
fn a_full_node_sends_a_newcomer_to_no_victim_more_than_twice_and_to_no_foreign_network() {
    let target = addr(9);
    let mut scene = Scene::with(
        0,
        Config {
            targets: vec![target],
            ..config()
        },
    );
    let named = vec![
        victim(4000),
        victim(53),
        SocketAddr::from(([10, 0, 0, 1], 4000)),
        SocketAddr::from(([127, 0, 0, 1], 4000)),
    ];
    let full = |_| DialError::Refused(Some(CloseCode::Full), named.clone());
    let dials = scene.dials_within(300_000 * MS, full);
    let to = |addr: SocketAddr| dials.iter().filter(|(_, to)| *to == addr).count();
    assert!(to(target) > 50, "a configured address is free");
    let most = 2 + 300 / 4;
    assert!(
        (2..=most).contains(&to(victim(4000))),
        "{}",
        to(victim(4000))
    );
    assert_eq!(to(target) + to(victim(4000)), dials.len(), "{dials:?}");
}

#[test]
fn the_last_version_of_all_is_one_nodes_own_matter() {
    let mut scene = Scene::among(0, 1..=4);
    let last = |seq| {
        testing::record(Body {
            epoch: u64::MAX,
            ..listing(id(2), seq, [id(HUB)])
        })
    };
    scene.accept(last(u32::MAX));
    scene.derive();
    assert_eq!(scene.view.up_count(), 5);
    assert!(last(u32::MAX - 1).version() < last(u32::MAX).version());
    scene.accept(record_of(3, 2, &[HUB]));
    scene.accept(record_of(HUB, 2, &[3, 4]));
    scene.derive();
    let up = |number| scene.view.is_up(&id(number));
    assert_eq!([2, 3, 4].map(up), [false, true, true], "others go on");
}
