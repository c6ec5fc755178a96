//! Where nodes are on a map: pure functions of the graph and of the last map.
//!
//! There are two kinds of maps. On a *latency* map, distance is round-trip time; on a *structure* map, it is the number of hops.
//! [`Layout`] keeps the last map, by node id, so that nodes stay where they are while others come and go:
//!
//! 1. `graph` merges the links, and splits the network into connected parts.
//! 2. For each part, `latency` or `structure` chooses pairs of nodes and their target distances, and `solve` places the nodes by
//!    gradient descent (`sgd`), from nothing or from the last map.
//! 3. `align` turns each part so that it lies on the last map; `apart` makes room for labels; `pack` puts the parts side by side.
//! 4. `fit` and `judge` say how far a latency map can be trusted.
//!
//! The same seed and the same inputs give the same maps. Nothing here reads a clock.

mod align;
mod apart;
mod graph;
mod judge;
mod latency;
mod pack;
mod sgd;
mod solve;
mod structure;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::snapshot::{NodeState, Snapshot};
use crate::wire::NodeId;

use graph::{Graph, Link};
use judge::Judge;
use sgd::Body;

/// What distances on the map mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Round-trip time, in µs.
    Latency,
    /// Hops. A link is as long as 1, or longer where the crowd needs room.
    Structure,
}

/// The nodes and links to place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// The nodes.
    pub nodes: Vec<NodeId>,
    /// Links between two indices of `nodes`, with the measured round-trip time in µs. Links of a node to itself and to indices that
    /// do not exist are ignored; of several between the same nodes, the fastest counts.
    pub links: Vec<(usize, usize, Option<u32>)>,
}

/// The nodes that are up, and the links between them.
impl From<&Snapshot> for Input {
    fn from(snapshot: &Snapshot) -> Self {
        let mut numbers = vec![None; snapshot.nodes.len()];
        let mut nodes = Vec::with_capacity(snapshot.nodes.len());
        for (at, node) in snapshot.nodes.iter().enumerate() {
            if node.state == NodeState::Up {
                numbers[at] = Some(nodes.len());
                nodes.push(node.id);
            }
        }
        let number = |at: usize| numbers.get(at).copied().flatten();
        let links = snapshot.links.iter();
        let links = links
            .filter_map(|link| Some((number(link.dialer)?, number(link.listener)?, link.rtt_us)));
        let links = links.collect();
        Self { nodes, links }
    }
}

/// Where a node is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Place {
    /// µs on a latency map, hops on a structure map.
    pub x: f32,
    /// As `x`.
    pub y: f32,
    /// What the node's access line adds to each of its round-trip times, in µs. 0 on a structure map.
    pub height: f32,
}

/// How well a latency map shows round-trip times: Spearman's rank correlations, from -1 to 1. `None`: there are too few links to
/// say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Fit {
    /// Of the links: measured, and predicted by distance and heights.
    pub links: Option<f32>,
    /// Of the links: measured, and the distance alone, which is what a picture shows.
    pub drawn: Option<f32>,
    /// Of links that a second map, made to judge this one, was not told of. It says how far to trust predictions for pairs without
    /// a link. It is made anew now and then; see [`Layout::update`].
    pub held_out: Option<f32>,
}

/// A map.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Places {
    /// The place of each node of the input, in its order.
    pub nodes: Vec<Place>,
    /// `None` on a structure map.
    pub fit: Option<Fit>,
}

/// The least distance of two nodes on a structure map, where a link has length 1. At half, labels of neighbours overlap; at double,
/// a ring of links has no room for the nodes inside it.
const APART: f32 = 0.5;
/// Nodes that are gone keep their places until this many others have gone, or as many as are there. At half, nodes that restart
/// after a failure of half the network lose their places; double costs twice the memory.
const GONE: usize = 256;
/// After this share of the links has changed, a map is made from nothing too, and is taken if it is better. At half, it costs twice as
/// much; at double, a network that has grown to three times its size keeps the folds of its beginning.
const CHANGED: f32 = 0.5;
/// A map from nothing is taken if it has at most this share of the stress: nodes jump when it is, and a fold costs more. At 0.8,
/// 25 nodes with random delays jumped by a quarter of the extent after ten of them had left.
const BETTER: f32 = 0.5;
/// The space between connected parts, relative to the extent of a node's surroundings.
const GAP: f32 = 1.0;

/// What is remembered of a node.
#[derive(Debug, Clone, Copy)]
struct Known {
    place: Place,
    /// What distance 1 of the solver was on the map.
    scale: f32,
    /// The update in which the node was last there.
    seen: u64,
}

/// Makes maps of a network, each one from the last.
#[derive(Debug, Clone)]
pub struct Layout {
    kind: Kind,
    seed: u64,
    known: BTreeMap<NodeId, Known>,
    updates: u64,
    /// The last input and map.
    nodes: Vec<NodeId>,
    links: Vec<Link>,
    places: Places,
    /// The share of the links that changed since a map was last made from nothing.
    changed: f32,
    judge: Judge,
}

/// A connected part that has been placed.
struct Part {
    /// Indices in the input.
    nodes: Vec<u32>,
    places: Vec<Place>,
    scale: f32,
    /// The circle around it.
    centre: [f32; 2],
    radius: f32,
}

impl Layout {
    /// A map without any nodes. What is random follows from the seed.
    #[must_use]
    pub fn new(kind: Kind, seed: u64) -> Self {
        Self {
            kind,
            seed,
            known: BTreeMap::new(),
            updates: 0,
            nodes: Vec::new(),
            links: Vec::new(),
            places: Places::default(),
            changed: 0.0,
            judge: Judge::default(),
        }
    }

    /// Makes the next map. It begins with the last one, and is turned and mirrored so that it lies on the last one; a connected
    /// part most of whose nodes are new is placed from nothing.
    ///
    /// At 1,000 nodes with 4,000 links, an update of a latency map takes 1.2 ms, and 9 ms at 10,000: one a second uses 0.1 % and 1 %
    /// of a core. That of a structure map takes 12 and 120 ms, but only after nodes or links changed; it is to be asked for no more than
    /// every 10 s at 10,000 nodes. A map goes on to improve over some 20 updates with the same input, and comes to rest then.
    ///
    /// A latency map is judged when the first map is made, and later only after changes and when that adds at most a fourth to the
    /// work since the last time.
    pub fn update(&mut self, input: &Input) -> Places {
        let graph = Graph::new(input, self.kind == Kind::Latency);
        let is_same = self.updates > 0 && self.nodes == input.nodes && self.links == graph.links;
        if is_same && self.kind == Kind::Structure {
            return self.places.clone();
        }
        self.updates += 1;
        self.note_changes(input, &graph);
        let tries_anew = self.changed >= CHANGED;
        let unit = latency::unit(&graph);
        let mut parts: Vec<Part> = Vec::new();
        for nodes in graph.components() {
            parts.push(self.place_part(input, &graph, nodes, unit, tries_anew));
        }
        if tries_anew {
            self.changed = 0.0;
        }
        put_side_by_side(&mut parts);
        let mut places = vec![Place::default(); input.nodes.len()];
        for part in &parts {
            for (&node, place) in part.nodes.iter().zip(&part.places) {
                places[node as usize] = *place;
                let known = Known {
                    place: *place,
                    scale: part.scale,
                    seen: self.updates,
                };
                self.known.insert(input.nodes[node as usize], known);
            }
        }
        self.forget();
        let fit = (self.kind == Kind::Latency)
            .then(|| self.judge.fit(&graph, &places, self.seed, !is_same));
        self.places = Places { nodes: places, fit };
        self.nodes.clone_from(&input.nodes);
        self.links = graph.links;
        self.places.clone()
    }

    /// Adds up the share of links that are new or gone.
    fn note_changes(&mut self, input: &Input, graph: &Graph) {
        let pairs = |nodes: &[NodeId], links: &[Link]| {
            let pair = |link: &Link| (nodes[link.a as usize], nodes[link.b as usize]);
            let mut keys: Vec<u64> = links
                .iter()
                .map(pair)
                .map(|(a, b)| key(&a).wrapping_add(key(&b).rotate_left(1)))
                .collect();
            keys.sort_unstable();
            keys
        };
        if self.nodes == input.nodes && self.links.len() == graph.links.len() {
            let ends = |link: &Link| (link.a, link.b);
            if self.links.iter().map(ends).eq(graph.links.iter().map(ends)) {
                return;
            }
        }
        let (before, after) = (
            pairs(&self.nodes, &self.links),
            pairs(&input.nodes, &graph.links),
        );
        let missing = |from: &[u64], of: &[u64]| {
            of.iter()
                .filter(|key| from.binary_search(key).is_err())
                .count()
        };
        let changes = missing(&before, &after) + missing(&after, &before);
        self.changed += changes as f32 / (after.len().max(before.len()).max(1)) as f32;
    }

    /// Places a connected part where it was, as well as possible. The indices are in ascending order afterwards.
    fn place_part(
        &mut self,
        input: &Input,
        graph: &Graph,
        mut nodes: Vec<u32>,
        unit: f32,
        tries_anew: bool,
    ) -> Part {
        nodes.sort_unstable();
        let id = |node: &u32| &input.nodes[*node as usize];
        let known: Vec<Option<Known>> = nodes
            .iter()
            .map(|node| self.known.get(id(node)).copied())
            .collect();
        let graph = graph.part(&nodes);
        let fans = match self.kind {
            Kind::Latency => Vec::new(),
            Kind::Structure => structure::fans(&graph),
        };
        let problem = match self.kind {
            Kind::Latency => latency::problem(&graph, unit),
            Kind::Structure => {
                let keys: Vec<u64> = nodes.iter().map(|node| key(id(node))).collect();
                structure::problem(&graph, &keys, &fans, APART)
            }
        };
        let starts: Vec<Option<Body>> = known
            .iter()
            .map(|known| known.as_ref().map(|known| self.start(known, problem.unit)))
            .collect();
        let is_known: Vec<bool> = known.iter().map(Option::is_some).collect();
        let count = is_known.iter().filter(|known| **known).count();
        let follows = 2 * count >= nodes.len();
        let mut best = follows
            .then(|| solve::follow(&graph, &problem, &starts, self.seed, &mut self.judge.work));
        if !follows || tries_anew {
            let guides = match self.kind {
                Kind::Latency => latency::guides(&graph, &problem),
                Kind::Structure => Vec::new(),
            };
            let anew = solve::unfold(&graph, &problem, &guides, self.seed, &mut self.judge.work);
            let is_better = |old: &Vec<Body>| {
                sgd::stress(&anew, &problem.terms) < BETTER * sgd::stress(old, &problem.terms)
            };
            if best.as_ref().is_none_or(is_better) {
                best = Some(anew);
            }
        }
        let mut bodies = best.expect("either of the two ways");
        let scale = match self.kind {
            Kind::Latency => problem.unit,
            Kind::Structure => structure::scale(&bodies, APART),
        };
        bodies.iter_mut().for_each(|body| body.scale(scale));
        if self.kind == Kind::Structure {
            structure::mesh(&graph, &mut bodies);
        }
        for fan in &fans {
            fan.spread(&mut bodies, &is_known, APART);
        }
        let mut at: Vec<[f32; 2]> = bodies.iter().map(|body| [body.x(), body.y()]).collect();
        let pairs = at
            .iter()
            .zip(&known)
            .filter_map(|(at, known)| known.map(|known| (*at, [known.place.x, known.place.y])));
        if let Some(motion) = align::Motion::onto(&pairs.collect::<Vec<_>>()) {
            at.iter_mut().for_each(|at| *at = motion.apply(*at));
        }
        if self.kind == Kind::Structure {
            apart::push(&mut at, APART);
        }
        let places = at.iter().zip(&bodies).map(|(&[x, y], body)| Place {
            x,
            y,
            height: body.height,
        });
        Part::new(nodes, places.collect(), scale)
    }

    /// A node's last place, in units of the solver.
    fn start(&self, known: &Known, unit: f32) -> Body {
        let scale = match self.kind {
            Kind::Latency => unit,
            Kind::Structure => known.scale,
        };
        let mut body = Body::new(known.place.x, known.place.y);
        body.height = known.place.height;
        body.scale(scale.recip());
        body
    }

    /// Forgets nodes that have been gone for longest.
    fn forget(&mut self) {
        let mut gone: Vec<u64> = self
            .known
            .values()
            .map(|known| known.seen)
            .filter(|seen| *seen < self.updates)
            .collect();
        let there = self.known.len() - gone.len();
        let Some(many) = gone.len().checked_sub(GONE.max(there) + 1) else {
            return;
        };
        let (_, last, _) = gone.select_nth_unstable(many);
        let last = *last;
        self.known.retain(|_, known| known.seen > last);
    }
}

impl Part {
    fn new(nodes: Vec<u32>, places: Vec<Place>, scale: f32) -> Self {
        let count = places.len().max(1) as f32;
        let (x, y) = places.iter().fold((0.0, 0.0), |(x, y), place| {
            (x + place.x / count, y + place.y / count)
        });
        let far = places.iter().map(|place| (place.x - x).hypot(place.y - y));
        let radius = far.fold(0.0, f32::max);
        Self {
            nodes,
            places,
            scale,
            centre: [x, y],
            radius,
        }
    }
}

/// The first part stays; the others go around it.
fn put_side_by_side(parts: &mut [Part]) {
    let Some(first) = parts.first() else {
        return;
    };
    let [x, y] = first.centre;
    let gap =
        GAP * (2.0 * first.radius / (first.nodes.len() as f32).sqrt()).max(APART * first.scale);
    let radii: Vec<f32> = parts.iter().map(|part| part.radius).collect();
    for (part, centre) in parts.iter_mut().zip(pack::rings(&radii, gap)).skip(1) {
        let by = [
            centre[0] + x - part.centre[0],
            centre[1] + y - part.centre[1],
        ];
        for place in &mut part.places {
            place.x += by[0];
            place.y += by[1];
        }
    }
}

/// 64 bits of an id. Ids are keys, so they are random already.
fn key(id: &NodeId) -> u64 {
    let (first, _) = id.0.split_first_chunk().expect("32 bytes hold eight");
    u64::from_be_bytes(*first)
}
