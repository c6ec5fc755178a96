//! The overlay alone, with a view and links but without a core.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::{LinkEnd, Overlay, Plan, RING_SLOTS, SUCCESSORS, Seen};
use crate::membership::Time;
use crate::membership::interface::{Action, Config, DialError, DialId, Obstacle};
use crate::membership::links::Links;
use crate::membership::members::Members;
use crate::membership::out::Out;
use crate::membership::testing::{self, listing, node as id};
use crate::membership::view::View;
use crate::record::{Body, PublishedAddr, Record};
use crate::wire::{MAX_ALTERNATIVES, NodeId};

mod defences;

const MS: Duration = Duration::from_millis(1);
/// Node 1 has links with all others, so they are up as long as this node has a link with node 1.
const HUB: u8 = 1;
/// Longer than a network counts as growing after its last newcomer.
const GROWN: Duration = Duration::from_secs(2);

fn addr(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 9000))
}

fn record(number: u8, peers: &[u8]) -> Arc<Record> {
    record_of(number, 1, peers)
}

fn record_of(number: u8, seq: u32, peers: &[u8]) -> Arc<Record> {
    let peers = peers.iter().map(|&peer| id(peer));
    testing::record(Body {
        addrs: vec![PublishedAddr::local(addr(number))],
        ..listing(id(number), seq, peers)
    })
}

fn config() -> Config {
    Config {
        addrs: Vec::new(),
        seed: [1; 32],
        dials_at_once: 16,
        ..testing::config()
    }
}

struct Scene {
    now: Time,
    view: View,
    links: Links,
    overlay: Overlay,
    rng: ChaCha8Rng,
    out: Out,
    conns: u64,
}

impl Scene {
    /// The node of that number, alone.
    fn new(me: u8) -> Self {
        Self::with(me, config())
    }

    fn with(me: u8, config: Config) -> Self {
        let config = Arc::new(config);
        Self {
            now: Duration::from_secs(100),
            view: View::new(record(me, &[])),
            links: Links::new(id(me), config.probe_interval, config.tuning.clone()),
            overlay: Overlay::new(id(me), config),
            rng: ChaCha8Rng::seed_from_u64(1),
            out: Out::new(),
            conns: 0,
        }
    }

    /// The same, with a link with the hub and all of these nodes up.
    fn among(me: u8, others: std::ops::RangeInclusive<u8>) -> Self {
        Self::new(me).join(others.filter(|number| *number != me))
    }

    fn join(mut self, others: impl Iterator<Item = u8>) -> Self {
        let numbers: Vec<u8> = others.collect();
        let scene = &mut self;
        for &number in &numbers {
            let peers = if number == HUB { &numbers[..] } else { &[HUB] };
            let other = record(number, peers);
            scene.view.accept(other, scene.now, None, false);
        }
        scene.link(HUB, true);
        scene.derive();
        assert_eq!(scene.view.up_count(), numbers.len() + 1);
        self
    }

    fn derive(&mut self) {
        let listed: Vec<NodeId> = self.links.listed().map(|link| link.peer()).collect();
        let live = listed
            .iter()
            .map(|peer| self.view.index(&peer.abbreviated()));
        let live: Vec<_> = live.flatten().collect();
        let flips = self.view.derive_up(self.now, &live);
        self.overlay
            .handle_flips(self.now, &flips, &self.view, &mut self.rng);
    }

    /// Adds a link, dialed by this node or by the peer.
    fn link(&mut self, peer: u8, dialed: bool) {
        self.conns += 1;
        let mut new = testing::connected(self.conns, id(peer), 1, dialed);
        new.remote = addr(peer);
        self.overlay.met(self.now, new.remote, new.peer);
        self.links.adopt(self.now, &new);
        self.links.confirm(&id(peer));
        assert!(self.links.list_if_due(self.now, &id(peer), None));
    }

    /// Lets that time pass, then looks at the neighbour set. Returns the plan and the dials that began.
    fn look_after(&mut self, time: Duration) -> (Plan, Vec<(DialId, NodeId)>) {
        self.overlay.plan_by(self.now);
        self.now += time;
        let seen = Seen {
            now: self.now,
            members: &Members::new(None),
            view: &self.view,
            links: &self.links,
            last_loss: None,
        };
        let plan = self.overlay.plan(&seen, &mut self.rng);
        self.overlay.dial(&seen, &mut self.rng, &mut self.out);
        let mut dials = Vec::new();
        while let Some(action) = self.out.poll_action() {
            if let Action::Dial { dial, expect, .. } = action {
                dials.push((dial, expect.expect("nodes are dialed by their ids")));
            }
        }
        (plan, dials)
    }

    fn dialed_after(&mut self, time: Duration) -> BTreeSet<NodeId> {
        let (_, dials) = self.look_after(time);
        dials.into_iter().map(|(_, peer)| peer).collect()
    }

    fn fail(&mut self, dial: DialId, why: &DialError) {
        let seen = Seen {
            now: self.now,
            members: &Members::new(None),
            view: &self.view,
            links: &self.links,
            last_loss: None,
        };
        self.overlay
            .handle_dial_failed(&seen, dial, why, &mut self.out);
    }

    fn following(&self) -> BTreeSet<NodeId> {
        self.overlay.ring.following().take(SUCCESSORS).collect()
    }

    /// Nodes that are not beside this one on the ring.
    fn off_the_ring(&self, numbers: std::ops::RangeInclusive<u8>) -> Vec<u8> {
        let ring = self.overlay.ring.neighbors();
        numbers
            .filter(|number| *number != HUB && !ring.contains(&id(*number)))
            .collect()
    }
}

fn ids(numbers: std::ops::RangeInclusive<u8>) -> BTreeSet<NodeId> {
    numbers.map(id).collect()
}

#[test]
fn in_a_full_mesh_the_lower_id_dials_at_once() {
    let mut lowest = Scene::among(0, 1..=5);
    assert_eq!(lowest.dialed_after(Duration::ZERO), ids(2..=5));
    assert!(lowest.overlay.is_full_mesh());
}

#[test]
fn in_a_full_mesh_the_higher_id_dials_after_a_courtesy() {
    let mut highest = Scene::among(9, 1..=5);
    let courtesy = highest.overlay.tuning.overlay.courtesy;
    assert!(highest.dialed_after(Duration::ZERO).is_empty());
    assert!(highest.dialed_after(courtesy - MS).is_empty());
    assert_eq!(highest.overlay.plan_due, Some(highest.now + MS));
    assert_eq!(highest.dialed_after(MS), ids(2..=5));
}

#[test]
fn a_larger_network_gets_ring_links_and_is_filled_up() {
    let mut scene = Scene::among(0, 1..=40);
    let dialed = scene.dialed_after(GROWN);
    assert!(!scene.overlay.is_full_mesh());
    let ring: BTreeSet<NodeId> = scene.following();
    let missing: BTreeSet<NodeId> = ring.difference(&[id(HUB)].into()).copied().collect();
    assert!(missing.is_subset(&dialed), "{missing:?} in {dialed:?}");
    // Two fewer than the target are enough. The link with the hub is there.
    assert_eq!(dialed.len() + 1, 6);
    assert!(
        scene.dialed_after(600 * MS).is_empty(),
        "they are under way"
    );
}

#[test]
fn while_a_network_grows_its_shape_waits() {
    let mut scene = Scene::among(0, 1..=40);
    let few = scene.dialed_after(100 * MS);
    assert_eq!(
        few.len() + 1,
        scene.overlay.tuning.overlay.least_while_growing
    );
    assert!(scene.dialed_after(100 * MS).is_empty());
    let until = scene.overlay.plan_due.unwrap();
    assert!(!scene.dialed_after(until - scene.now).is_empty());
}

/// A node with six links above its target, all of them old enough to be given up.
fn crowded(me: u8) -> (Scene, Vec<u8>) {
    let mut scene = Scene::among(me, 1..=40);
    let others = scene.off_the_ring(2..=40);
    let others: Vec<u8> = others.into_iter().filter(|other| *other != me).collect();
    for &other in &others[..13] {
        scene.link(other, true);
    }
    // Each of them has other paths: links to the one before and the one behind it.
    for three in others[..14].windows(3) {
        let joined = record_of(three[1], 2, &[HUB, three[0], three[2]]);
        scene.view.accept(joined, scene.now, None, false);
    }
    (scene, others)
}

fn one(all: &[NodeId]) -> NodeId {
    assert_eq!(all.len(), 1);
    all[0]
}

#[test]
fn a_link_is_given_up_when_both_ends_marked_it() {
    let (mut scene, _) = crowded(0);
    let (plan, _) = scene.look_after(GROWN);
    assert!(plan.superfluous.unwrap().is_empty(), "all are young");
    let (plan, _) = scene.look_after(GROWN);
    let marked: Vec<NodeId> = plan.superfluous.unwrap().into_iter().collect();
    assert_eq!((marked.len(), plan.give_up), (6, Vec::new()));
    let ring = scene.overlay.ring.neighbors();
    assert!(marked.iter().all(|peer| !ring.contains(peer)));
    let unmarked = scene
        .links
        .iter()
        .find(|link| !marked.contains(&link.peer()));
    let unmarked = unmarked.unwrap().peer();
    scene.links.mark_by_peer(&unmarked, true);
    assert_eq!(scene.look_after(MS).0.give_up, [], "this end keeps it");
    scene.links.mark_by_peer(&marked[0], true);
    scene.links.mark_by_peer(&marked[1], true);
    let first = one(&scene.look_after(MS).0.give_up);
    assert!(marked[..2].contains(&first));
    scene.links.remove(&first);
    let prune_every = scene.overlay.tuning.overlay.prune_every;
    assert_eq!(scene.look_after(prune_every - MS).0.give_up, []);
    let second = one(&scene.look_after(MS).0.give_up);
    assert!(marked[..2].contains(&second) && second != first);
}

#[test]
fn the_higher_id_leaves_the_closing_to_the_other_end() {
    let (mut scene, _) = crowded(99);
    let (plan, _) = scene.look_after(2 * GROWN);
    for peer in plan.superfluous.unwrap() {
        scene.links.mark_by_peer(&peer, true);
    }
    assert_eq!(scene.look_after(MS).0.give_up, []);
}

#[test]
fn a_few_links_too_many_are_kept() {
    let mut scene = Scene::among(0, 1..=40);
    let others = scene.off_the_ring(2..=40);
    // Two above the target, with the hub.
    for &other in &others[..9] {
        scene.link(other, true);
    }
    let (plan, _) = scene.look_after(2 * GROWN);
    assert!(plan.superfluous.unwrap().is_empty());
}

#[test]
fn a_full_node_refuses_and_names_alternatives() {
    let (mut scene, others) = crowded(0);
    scene.overlay.full_mesh = false;
    scene.link(others[13], false);
    scene.link(others[14], false);
    assert_eq!(scene.links.degree(), 16);
    let newcomer = id(200);
    assert!(!scene.overlay.has_room_for(&newcomer, &scene.links));
    let asker = id(others[20]);
    let named = scene
        .overlay
        .alternatives(&asker, addr(others[20]), &scene.view);
    assert_eq!(named.len(), MAX_ALTERNATIVES);
    let own_or_busy = [addr(0), addr(HUB), addr(others[20])];
    assert!(own_or_busy.iter().all(|addr| !named.contains(addr)));
}

#[test]
fn slots_are_kept_for_ring_links() {
    let mut scene = Scene::among(0, 1..=40);
    scene.overlay.full_mesh = false;
    let others = scene.off_the_ring(2..=40);
    let ring = scene.overlay.ring.neighbors();
    let missing = ring.iter().filter(|peer| **peer != id(HUB));
    let missing: Vec<NodeId> = missing.copied().collect();
    let room = scene.overlay.config.degree_cap - missing.len();
    assert!(missing.len() >= RING_SLOTS - 1);
    for &other in &others[..room - 1] {
        assert!(scene.overlay.has_room_for(&id(other), &scene.links));
        scene.link(other, false);
    }
    assert!(!scene.overlay.has_room_for(&id(200), &scene.links));
    assert!(scene.overlay.has_room_for(&missing[0], &scene.links));
}

#[test]
fn a_node_that_can_not_be_dialed_any_more_rests_longer_each_time() {
    let mut scene = Scene::among(0, 1..=2);
    scene.overlay.met(scene.now, addr(2), id(2));
    let tuning = scene.overlay.tuning.clone();
    let mut pause = Duration::ZERO;
    for next in [
        1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600,
    ] {
        let pause_before = std::mem::replace(&mut pause, Duration::from_secs(next));
        if !pause_before.is_zero() {
            assert!(scene.dialed_after(pause_before - MS).is_empty());
        }
        let (_, dials) = scene.look_after(pause_before.min(MS));
        assert_eq!(dials.len(), 1, "after {pause_before:?}");
        assert_eq!(dials[0].1, id(2));
        scene.fail(dials[0].0, &DialError::Timeout);
    }
    assert_eq!(pause, tuning.overlay.longest_retry);
}

#[test]
fn dials_become_rare_whatever_keeps_them_from_an_answer() {
    for why in [DialError::Timeout, DialError::Blocked(Obstacle::NoRoute)] {
        let (mut scene, mut begun) = (Scene::among(0, 1..=200), 0);
        for _ in 0..100 {
            for (dial, _) in scene.look_after(50 * MS).1 {
                begun += 1;
                scene.fail(dial, &why);
            }
        }
        assert!(begun < 20, "{begun} dials, {why:?}");
    }
}

#[test]
fn a_lost_neighbour_is_redialed_at_once_and_then_after_growing_pauses() {
    let mut scene = Scene::among(0, 1..=1);
    scene.look_after(MS);
    let end = LinkEnd::Broken {
        was_listed: true,
        short_lived: false,
    };
    scene.links.remove(&id(HUB));
    scene
        .overlay
        .link_ended(scene.now, id(HUB), end, &scene.view);
    scene.derive();
    assert_eq!(scene.view.up_count(), 1);
    let (lost, mut at) = (scene.now, Vec::new());
    while scene.now < lost + Duration::from_secs(9) {
        let (_, dials) = scene.look_after(10 * MS);
        for (dial, peer) in dials {
            assert_eq!(peer, id(HUB));
            at.push((scene.now - lost).as_secs_f64());
            scene.fail(dial, &DialError::Timeout);
        }
    }
    assert!(at[0] < 0.02, "{at:?}");
    // Draws add dials: one a second while no other node can be reached.
    for (from, to) in [(0.7, 1.3), (2.2, 3.8), (5.2, 8.8)] {
        let redialed = at.iter().any(|at| (from..=to).contains(at));
        assert!(redialed, "not from {from} to {to}: {at:?}");
    }
}

#[test]
fn a_node_that_left_is_not_redialed() {
    let mut scene = Scene::among(0, 1..=1);
    scene.look_after(MS);
    scene.links.remove(&id(HUB));
    scene
        .overlay
        .link_ended(scene.now, id(HUB), LinkEnd::PeerLeft, &scene.view);
    scene.overlay.keep(id(HUB), &scene.view);
    scene.overlay.candidates.left(&id(HUB));
    scene.derive();
    for _ in 0..50 {
        assert!(scene.dialed_after(200 * MS).is_empty());
    }
}

#[test]
fn what_a_rendezvous_gave_is_dialed_beside_another_dial_and_no_lie_in_it_counts() {
    let mut scene = Scene::among(0, 1..=2);
    let (_, dials) = scene.look_after(MS);
    assert_eq!(dials.len(), 1, "the other node, at its published address");
    let (first, peer) = dials[0];
    // It comes from a port that it does not publish.
    let other = SocketAddr::from(([192, 0, 2, 9], 4321));
    scene.overlay.dial_met(peer, vec![other]);
    let (_, dials) = scene.look_after(MS);
    assert_eq!(dials.len(), 1);
    let met = dials[0].0;
    scene.overlay.dial_met(peer, vec![other]);
    assert!(scene.dialed_after(MS).is_empty(), "once");
    // Somebody else answers there: who brought the rendezvous has lied, and that node and address are not to blame.
    let seen = Seen {
        now: scene.now,
        members: &Members::new(None),
        view: &scene.view,
        links: &scene.links,
        last_loss: None,
    };
    let why = DialError::OtherKey(id(7));
    scene
        .overlay
        .handle_dial_failed(&seen, met, &why, &mut scene.out);
    assert_eq!(
        scene.overlay.rests.until(scene.now, &other, Some(peer)),
        None
    );
    assert_eq!(scene.overlay.dials.rests_until(scene.now, &peer), None);
    scene.fail(first, &DialError::Timeout);
    assert!(scene.overlay.dials.rests_until(scene.now, &peer).is_some());
}
