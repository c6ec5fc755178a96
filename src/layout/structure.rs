//! The structure map: distance is the number of hops.
//!
//! In small networks, all pairs count. In large ones, links do, and pairs with pivots, each of which stands for its share of all
//! nodes (Ortmann, Klimenta and Brandes 2016).

use super::graph::{Graph, number};
use super::sgd::{Body, Schedule, Term};
use super::solve::{Follow, Problem};

/// Up to so many nodes, all pairs count. At double, a new map of 600 nodes has four times as many pairs.
const ALL_PAIRS: usize = 300;
/// How many pairs with pivots there are. They take nine tenths of the time: 100 ms for a new map of 1,000 nodes. At half, maps of 10,000
/// nodes would have ten pivots.
const PAIRS: usize = 200_000;
/// A new map. More rounds make the same map: Zheng needs 30.
const UNFOLD: Schedule = Schedule {
    rounds: 50,
    first: 1.0,
    last: 0.02,
    most: 1.0,
    moving: 1.0,
};
/// Rounds of majorisation at an update. At half, a node whose links change needs more updates to find its place; at double, twice the
/// time.
const FOLLOW: usize = 3;
/// A hub has at least so many neighbours without any other link: they are put around it, and the rest is placed without them. Fewer
/// find their places as any node does.
const FAN: usize = 4;
/// The largest innermost ring of a fan, in links. At half, 50 nodes around a hub need three rings; at double, a thousand would be
/// one huge circle.
const INNERMOST: f32 = 4.0;

/// The largest mesh that is drawn as a circle. A network of up to 16 nodes is a full mesh.
const MESH: usize = 20;
/// The share of all pairs that have a link in what counts as a full mesh: links come and go while nodes start.
const FULL: f32 = 0.75;

/// A hub, and its neighbours that have no other link.
#[derive(Debug)]
pub(super) struct Fan {
    hub: usize,
    leaves: Vec<usize>,
}

impl Fan {
    /// The radius of the innermost ring.
    fn innermost(&self, apart: f32) -> f32 {
        let round = self.leaves.len() as f32 * apart / std::f32::consts::TAU;
        round.clamp(1.0, INNERMOST)
    }

    /// The places around the hub, from the innermost ring outwards.
    fn slots(&self, apart: f32) -> Vec<[f32; 2]> {
        let mut slots = Vec::with_capacity(self.leaves.len());
        let mut radius = self.innermost(apart);
        while slots.len() < self.leaves.len() {
            let left = self.leaves.len() - slots.len();
            let room = (std::f32::consts::TAU * radius / apart) as usize;
            let count = room.clamp(1, left);
            for slot in 0..count {
                let (sin, cos) = (std::f32::consts::TAU * slot as f32 / count as f32).sin_cos();
                slots.push([radius * cos, radius * sin]);
            }
            radius += apart;
        }
        slots
    }

    /// How far it reaches.
    fn radius(&self, apart: f32) -> f32 {
        self.slots(apart).last().map_or(0.0, |[x, y]| x.hypot(*y))
    }

    /// Puts the leaves around the hub. Those whose places are known keep their side of the hub.
    pub(super) fn spread(&self, bodies: &mut [Body], known: &[bool], apart: f32) {
        let hub = bodies[self.hub];
        let offset = |leaf: usize| [bodies[leaf].x() - hub.x(), bodies[leaf].y() - hub.y()];
        let slots = self.slots(apart);
        let is_ring = slots
            .last()
            .is_none_or(|[x, y]| x.hypot(*y) <= INNERMOST + apart / 2.0);
        let mut leaves = self.leaves.clone();
        let mut turn = 0.0_f32;
        if leaves.iter().any(|&leaf| known[leaf]) && is_ring {
            let angle = |leaf: usize| offset(leaf)[1].atan2(offset(leaf)[0]);
            leaves.sort_by(|&one, &other| angle(one).total_cmp(&angle(other)));
            // The ring turns by what its known leaves ask for on average.
            let (mut x, mut y) = (0.0, 0.0);
            for (&leaf, slot) in leaves.iter().zip(&slots).filter(|(leaf, _)| known[**leaf]) {
                let [cos, sin] = offset(leaf);
                x += slot[0] * cos + slot[1] * sin;
                y += slot[0] * sin - slot[1] * cos;
            }
            turn = y.atan2(x);
        }
        let (sin, cos) = turn.sin_cos();
        for (leaf, [x, y]) in leaves.into_iter().zip(slots) {
            bodies[leaf].move_to([hub.x() + x * cos - y * sin, hub.y() + x * sin + y * cos]);
        }
    }
}

/// The fans of a graph.
pub(super) fn fans(graph: &Graph) -> Vec<Fan> {
    let hubs = 0..graph.nodes();
    let fans = hubs.map(|hub| Fan {
        hub,
        leaves: graph
            .around(hub)
            .iter()
            .map(|&(other, _)| other as usize)
            .filter(|&other| graph.degree(other) == 1)
            .collect(),
    });
    fans.filter(|fan| fan.leaves.len() >= FAN).collect()
}

/// The pairs and their hops. Pivots are chosen by `keys`, which belong to the nodes and stay the same when others come and go.
pub(super) fn problem(graph: &Graph, keys: &[u64], fans: &[Fan], apart: f32) -> Problem {
    let nodes = graph.nodes();
    let mut radius = vec![0.0; nodes];
    let mut is_leaf = vec![false; nodes];
    for fan in fans {
        radius[fan.hub] = fan.radius(apart);
        for &leaf in &fan.leaves {
            is_leaf[leaf] = true;
        }
    }
    let placed: Vec<u32> = (0..nodes)
        .filter(|&node| !is_leaf[node])
        .map(number)
        .collect();
    let wanted = |a: u32, b: u32, hops: u32| hops as f32 + radius[a as usize] + radius[b as usize];
    let mut terms = Vec::new();
    let (mut hops, mut queue) = (Vec::new(), Vec::new());
    let mut pivots = placed.clone();
    let mut share = 1.0;
    if placed.len() > ALL_PAIRS {
        pivots.sort_unstable_by_key(|&node| keys[node as usize]);
        pivots.truncate(PAIRS / placed.len());
        share = placed.len() as f32 / pivots.len().max(1) as f32;
        let links = graph.links.iter();
        let links = links.filter(|link| !is_leaf[link.a as usize] && !is_leaf[link.b as usize]);
        terms.extend(links.map(|link| Term::new(link.a, link.b, wanted(link.a, link.b, 1))));
    }
    let mut is_pivot = vec![false; nodes];
    pivots
        .iter()
        .for_each(|&pivot| is_pivot[pivot as usize] = true);
    for pivot in pivots {
        graph.hops(pivot, &mut hops, &mut queue);
        for &node in &placed {
            let hops = hops[node as usize];
            let is_link = hops <= 1 && share > 1.0;
            let is_pair = is_pivot[node as usize];
            if node == pivot || is_pair && node < pivot || is_link || hops == u32::MAX {
                continue;
            }
            let wanted = wanted(pivot, node, hops);
            // The square of the distance in all: relative errors count.
            let term = Term::new(pivot, node, wanted).times(share / wanted);
            // Pivots stand for others, and others don't for all: pivots move with their links and with other pivots alone.
            terms.push(if is_pair { term } else { term.moving_b() });
        }
    }
    Problem {
        terms,
        highest: vec![0.0; nodes],
        unit: 1.0,
        unfold: UNFOLD,
        follow: Follow::Majorise(FOLLOW),
    }
}

/// Puts the nodes of a small full mesh, or nearly full mesh, on a circle, in the order in which they are around their middle: no
/// drawing of all its links is more readable.
pub(super) fn mesh(graph: &Graph, bodies: &mut [Body]) {
    let nodes = graph.nodes();
    let pairs = nodes * (nodes - 1) / 2;
    // One node is no circle: its radius would be that of a straight line.
    if !(2..=MESH).contains(&nodes) || (graph.links.len() as f32) < FULL * pairs as f32 {
        return;
    }
    let count = nodes as f32;
    let (x, y) = bodies.iter().fold((0.0, 0.0), |(x, y), body| {
        (x + body.x() / count, y + body.y() / count)
    });
    let mut order: Vec<usize> = (0..nodes).collect();
    let angle = |node: &usize| (bodies[*node].y() - y).atan2(bodies[*node].x() - x);
    order.sort_by(|one, other| angle(one).total_cmp(&angle(other)));
    let radius = 0.5 / (std::f32::consts::PI / count).sin();
    for (slot, node) in order.into_iter().enumerate() {
        let (sin, cos) = (std::f32::consts::TAU * slot as f32 / count).sin_cos();
        bodies[node].move_to([radius * cos, radius * sin]);
    }
}

/// By how much a map must grow so that all nodes have room.
pub(super) fn scale(bodies: &[Body], apart: f32) -> f32 {
    // Discs on the plane never fill it wholly.
    const FILLED: f32 = 0.8;
    let count = bodies.len().max(1) as f32;
    let (x, y) = bodies.iter().fold((0.0, 0.0), |(x, y), body| {
        (x + body.x() / count, y + body.y() / count)
    });
    let square: f32 = bodies
        .iter()
        .map(|body| (body.x() - x).powi(2) + (body.y() - y).powi(2))
        .sum();
    // The area of a disc with that mean square, and the one that the nodes take.
    let (has, takes) = (2.0 * square / count, count * (apart / 2.0).powi(2) / FILLED);
    if has > 0.0 {
        (takes / has).sqrt().max(1.0)
    } else {
        1.0
    }
}
