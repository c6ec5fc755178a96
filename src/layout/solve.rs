//! Places the nodes of one connected part, from nothing or from where they were.

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::graph::{Graph, number};
use super::sgd::{self, Body, Schedule, Term};

/// What a layout wants: pairs of nodes with distances.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) terms: Vec<Term>,
    /// The most that each node's height may be, in units of distance.
    pub(super) highest: Vec<f32>,
    /// What distance 1 is, in the units of the result.
    pub(super) unit: f32,
    /// How to place nodes from nothing.
    pub(super) unfold: Schedule,
    /// How to go on from the last places.
    pub(super) follow: Follow,
}

/// How a map follows changes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Follow {
    /// By gradient descent, heights included. Nodes that are caught are rescued: the first terms must belong to the links of the
    /// graph, in their order.
    Descend(Schedule),
    /// By so many rounds of majorisation. Hops contradict each other more than round-trip times do: there, descent moved 5 % of
    /// the extent when one node of 240 left; majorisation moves 0.3 %.
    Majorise(usize),
}

/// Up to so many nodes, the best of [`STARTS`] random starts counts. Larger networks have enough links to find the same shape from
/// every start, and each start costs them more.
const SMALL: usize = 300;
/// At half, 240 nodes more often have a few on the wrong side; double costs double.
const STARTS: u64 = 4;
/// The rounds of majorisation after the descent. At half, the next update still moves nodes that nothing has happened to.
const FINISH: usize = 10;
/// How far a new node is put from its neighbours at first, in units of distance: nodes on one place have no direction to part.
const BESIDE: f32 = 0.3;
/// A node is looked at if its stress is so many times the mean. At half, a random world has many such nodes at each update; at double, nodes
/// stay apart from their site.
const CAUGHT: f32 = 3.0;
/// And if this is the squared share of its links that its errors are: a tenth of each. At four times as much, the rank correlation of pairs
/// without a link is 0.89 instead of 0.91 at 240 nodes. At less, nodes would jump where no place fits better.
const ERROR: f32 = 0.01;
/// Its new place must have at most this share of its stress, or nodes would jump to and fro.
const BETTER: f32 = 0.5;
/// The places that are tried: in so many directions from so many of its neighbours. With fewer of these, a node has no wrong side.
const DIRECTIONS: usize = 16;
const CENTRES: usize = 3;
/// How often, since nodes are caught together. Most rounds find nothing more and end it.
const RESCUES: usize = 3;
/// New nodes look for their place in so many rounds while all others stay.
const ARRIVE: Schedule = Schedule {
    rounds: 30,
    first: 1.0,
    last: 0.1,
    most: 1.0,
    // The layout's own.
    moving: 1.0,
};

/// Places all nodes anew. `work` counts pairs that were looked at.
pub(super) fn unfold(
    graph: &Graph,
    problem: &Problem,
    guides: &[Term],
    seed: u64,
    work: &mut u64,
) -> Vec<Body> {
    let nodes = problem.highest.len();
    let starts = if nodes <= SMALL { STARTS } else { 1 };
    let extent = (nodes as f32).sqrt().min(4.0);
    let mut best: Option<(f32, Vec<Body>)> = None;
    for start in 0..starts {
        let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(start));
        let mut bodies = vec![Body::default(); nodes];
        for (body, &highest) in bodies.iter_mut().zip(&problem.highest) {
            body.scatter(&mut rng, extent);
            body.highest = highest;
        }
        sgd::unfold(
            &mut bodies,
            &problem.terms,
            guides,
            problem.unfold,
            &mut rng,
        );
        *work += (problem.unfold.rounds * (problem.terms.len() + guides.len() / 5)) as u64;
        match problem.follow {
            Follow::Descend(schedule) => rescue(graph, problem, schedule, &mut bodies, &mut rng),
            Follow::Majorise(_) => sgd::majorise(&mut bodies, &problem.terms, FINISH),
        }
        let stress = sgd::stress(&bodies, &problem.terms);
        if best.as_ref().is_none_or(|(least, _)| stress < *least) {
            best = Some((stress, bodies));
        }
    }
    best.map(|(_, bodies)| bodies).unwrap_or_default()
}

/// Follows changes from where the nodes were. `places` are in units of distance; nodes without one are new.
pub(super) fn follow(
    graph: &Graph,
    problem: &Problem,
    places: &[Option<Body>],
    seed: u64,
    work: &mut u64,
) -> Vec<Body> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bodies: Vec<Body> = places
        .iter()
        .map(|place| place.unwrap_or_default())
        .collect();
    for (body, &highest) in bodies.iter_mut().zip(&problem.highest) {
        body.highest = highest;
        body.height = body.height.min(highest);
    }
    if places.iter().any(Option::is_none) {
        arrive(graph, problem, places, &mut bodies, &mut rng);
    }
    let rounds = match problem.follow {
        Follow::Descend(schedule) => {
            sgd::settle(&mut bodies, &problem.terms, schedule, &mut rng);
            rescue(graph, problem, schedule, &mut bodies, &mut rng);
            schedule.rounds
        }
        Follow::Majorise(rounds) => {
            sgd::majorise(&mut bodies, &problem.terms, rounds);
            rounds
        }
    };
    *work += (rounds * problem.terms.len()) as u64;
    bodies
}

/// Puts new nodes beside those of their neighbours that have a place, and lets them find their own while all others stay.
fn arrive(
    graph: &Graph,
    problem: &Problem,
    places: &[Option<Body>],
    bodies: &mut [Body],
    rng: &mut ChaCha8Rng,
) {
    let mut has_place: Vec<bool> = places.iter().map(Option::is_some).collect();
    // In the order of the hops from nodes that have one.
    let mut queue: Vec<u32> = (0..graph.nodes())
        .filter(|&node| has_place[node])
        .map(number)
        .collect();
    let mut next = 0;
    while let Some(&node) = queue.get(next) {
        next += 1;
        for &(new, _) in graph.around(node as usize) {
            if has_place[new as usize] {
                continue;
            }
            has_place[new as usize] = true;
            let known = graph
                .around(new as usize)
                .iter()
                .map(|&(other, _)| other as usize);
            let known = known.filter(|&other| places[other].is_some() || other == node as usize);
            let (mut x, mut y, mut count) = (0.0, 0.0, 0.0);
            for other in known {
                (x, y, count) = (x + bodies[other].x(), y + bodies[other].y(), count + 1.0);
            }
            let mut beside = || (rng.random::<f32>() - 0.5) * BESIDE;
            let (x, y) = (x / count + beside(), y / count + beside());
            let highest = bodies[new as usize].highest;
            bodies[new as usize] = Body::new(x, y);
            bodies[new as usize].highest = highest;
            queue.push(new);
        }
    }
    let is_new = |node: u32| places[node as usize].is_none();
    let terms = problem
        .terms
        .iter()
        .filter_map(|term| match (is_new(term.a), is_new(term.b)) {
            (true, true) => Some(*term),
            (true, false) => Some(term.moving_a()),
            (false, true) => Some(term.moving_b()),
            (false, false) => None,
        });
    let moving = problem.unfold.moving;
    let schedule = Schedule { moving, ..ARRIVE };
    sgd::settle(bodies, &terms.collect::<Vec<_>>(), schedule, rng);
}

/// Moves nodes that were caught on the wrong side of others: gradient descent does not lead around them.
fn rescue(
    graph: &Graph,
    problem: &Problem,
    follow: Schedule,
    bodies: &mut [Body],
    rng: &mut ChaCha8Rng,
) {
    for _ in 0..RESCUES {
        let off = |node: usize, body: &Body, bodies: &[Body]| -> f32 {
            let errors = graph.around(node).iter().map(|&(other, link)| {
                let term = &problem.terms[link as usize];
                let error = body.predicted(&bodies[other as usize]) - term.wanted;
                error * error * term.weight
            });
            errors.sum()
        };
        let all: Vec<f32> = (0..bodies.len())
            .map(|node| off(node, &bodies[node], bodies))
            .collect();
        let limit = CAUGHT * all.iter().sum::<f32>() / all.len().max(1) as f32;
        let mut moved = false;
        let is_caught = |&node: &usize| {
            let wanted = graph
                .around(node)
                .iter()
                .map(|&(_, link)| problem.terms[link as usize].wanted);
            graph.degree(node) >= CENTRES && all[node] > limit.max(ERROR * wanted.sum::<f32>())
        };
        for node in (0..bodies.len()).filter(is_caught) {
            let mut best = (all[node] * BETTER, None);
            let mut around = graph.around(node).to_vec();
            around.sort_unstable_by(|one, other| {
                problem.terms[one.1 as usize]
                    .wanted
                    .total_cmp(&problem.terms[other.1 as usize].wanted)
            });
            for &(other, link) in around.iter().take(CENTRES) {
                let centre = bodies[other as usize];
                let heights = bodies[node].height + centre.height;
                let radius = (problem.terms[link as usize].wanted - heights).max(0.0);
                for direction in 0..DIRECTIONS {
                    let (sin, cos) =
                        (std::f32::consts::TAU * direction as f32 / DIRECTIONS as f32).sin_cos();
                    let mut body = bodies[node];
                    body.move_to([centre.x() + radius * cos, centre.y() + radius * sin]);
                    let off = off(node, &body, bodies);
                    if off < best.0 {
                        best = (off, Some(body));
                    }
                }
            }
            if let Some(body) = best.1 {
                bodies[node] = body;
                moved = true;
            }
        }
        if !moved {
            return;
        }
        sgd::settle(bodies, &problem.terms, follow, rng);
    }
}
