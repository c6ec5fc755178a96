//! What hostile nodes can do with addresses and links, in figures.

use std::collections::BTreeMap;

use super::*;
use crate::membership::interface::Connected;
use crate::membership::overlay::Admission;
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
    println!("victim: {by_addr:?} dials from each of {up} nodes");
    for (addr, count) in by_addr {
        let most = 2.0 + 300.0 / (4.0 * up as f64);
        assert!(f64::from(count) <= most, "{count} dials to {addr}");
    }
    // Without the budget.
    let mut tuning = Tuning::DEFAULT;
    (tuning.overlay.stranger_burst, tuning.overlay.stranger_per_s) = (1000.0, 1000.0);
    (tuning.overlay.host_burst, tuning.overlay.host_per_s) = (10_000.0, 1000.0);
    let (by_addr, _) = dials_to_a_victim(tuning);
    println!("victim, no budget: {by_addr:?}");
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

fn newcomer(number: u8) -> Connected {
    let mut new = testing::connected(1000 + u64::from(number), id(number), 1, false);
    new.remote = SocketAddr::from(([203, 0, 113, number], 9000));
    new.hello.known = 1;
    new.hello.record = hostile(number, 1, &[]);
    new
}

/// An honest node with its links in a network of 40, and 200 hostile nodes that want all of them. Returns the honest and the hostile
/// neighbours after two minutes.
fn besieged(knows: u32) -> (Scene, usize, usize) {
    let mut scene = Scene::among(0, 1..=40);
    let honest: Vec<u8> = (1..=40).collect();
    for peer in scene.dialed_after(GROWN) {
        scene.link(peer.0[0], true);
    }
    let others = scene.off_the_ring(2..=40);
    let free: Vec<u8> = others
        .into_iter()
        .filter(|one| scene.links.get(&id(*one)).is_none())
        .collect();
    for &other in &free[..4] {
        scene.link(other, false);
    }
    scene.now += Duration::from_secs(60);
    // Honest nodes have eight links each, and agree to give up any.
    for &number in &honest[1..] {
        let peers: Vec<u8> = (1..=8)
            .map(|step| 1 + (number - 1 + step * 5) % 40)
            .filter(|peer| *peer != number)
            .collect();
        let peers: Vec<u8> = [vec![HUB], peers]
            .concat()
            .into_iter()
            .collect::<BTreeSet<u8>>()
            .into_iter()
            .collect();
        scene
            .view
            .accept(record_of(number, 5, &peers), scene.now, None, false);
    }
    for round in 0..120 {
        for number in HOSTILE {
            if scene.links.get(&id(number)).is_some() {
                continue;
            }
            let mut new = newcomer(number);
            new.hello.known = knows;
            let seen = Seen {
                now: scene.now,
                view: &scene.view,
                links: &scene.links,
                last_loss: None,
                members: &Members::new(None),
            };
            match scene.overlay.admit(&seen, &new) {
                Admission::Refused => continue,
                Admission::InPlaceOf(other) => {
                    scene.links.remove(&other);
                }
                Admission::Admitted => {}
            }
            scene.accept(hostile(number, 1 + round, &[]));
            scene.link(number, false);
        }
        scene.derive();
        let (plan, dials) = scene.look_after(1000 * MS);
        for peer in plan.superfluous.unwrap_or_default() {
            if !HOSTILE.contains(&peer.0[0]) {
                scene.links.mark_by_peer(&peer, true);
            }
        }
        for peer in plan.give_up {
            scene.links.remove(&peer);
        }
        for (dial, peer) in dials {
            if HOSTILE.contains(&peer.0[0]) {
                scene.fail(dial, &DialError::Timeout);
            } else {
                scene.overlay.dial_succeeded(dial, addr(peer.0[0]));
                if scene.links.get(&peer).is_none() {
                    scene.link(peer.0[0], true);
                }
            }
        }
    }
    let hostile = scene
        .links
        .iter()
        .filter(|link| HOSTILE.contains(&link.peer().0[0]))
        .count();
    let honest = scene.links.len() - hostile;
    (scene, honest, hostile)
}

#[test]
fn two_hundred_hostile_nodes_that_dial_a_node_leave_it_its_oldest_links_and_those_that_it_chooses()
{
    for knows in [1, 40] {
        let (scene, honest, hostile) = besieged(knows);
        println!("besieged, known={knows}: {honest} honest links, {hostile} hostile");
        let dialed = scene
            .links
            .iter()
            .filter(|link| link.is_dialed() && !HOSTILE.contains(&link.peer().0[0]))
            .count();
        assert!(honest >= 7, "{honest} honest links, {hostile} hostile");
        assert!(dialed >= 3, "{dialed} dialed");
    }
}
