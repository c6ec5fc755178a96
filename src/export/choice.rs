//! Chooses which nodes and links of a large network are drawn.
//!
//! Paths are those of Dijkstra's algorithm from this node. A link costs its round-trip time, rounded up to a power of two in
//! milliseconds. Round-trip times change all the time, and a diagram whose paths change with the noise can't be followed. Among
//! equal paths the one with fewer links is taken, then the one through the lower id.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::settings::Shows;
use crate::snapshot::{LinkView, Snapshot};

/// The largest network that `auto` draws with all its links. On a screen of 1900 × 1080 pixels, the round-trip times of 25 nodes with
/// 100 links are still legible, those of 40 nodes with 160 links are not. At half, networks are thinned out that a person can read as
/// a whole; at double, only the shape of the network is left.
const WHOLE_NODES: usize = 32;

/// The most links that `auto` draws between so few nodes. A full mesh of 16 nodes has 120 links. At half it would be thinned
/// out, at double the links of a full mesh of 25 nodes cover each other.
const WHOLE_LINKS: usize = 160;

/// The most nodes that `auto` draws of a larger network. On a screen of 1900 × 1080 pixels, the labels of a tree of 100 nodes are 9
/// pixels high. At half, nodes are left out that would have been legible; at double, no label is.
const LEGIBLE_NODES: usize = 100;

/// The most nodes that are ever drawn. d2 takes half a second of a core for a tree of 1000 nodes, 2 s for 4000 (10 s with elk), and
/// 9 s for 10,000. At half, `tree` doesn't show networks that d2 draws at once; at double, d2 may be slower than the changes.
const MAX_NODES: usize = 1000;

/// The most links that are ever drawn, but for those of a tree. d2 takes 3 to 9 s of a core for 600 links, 43 s (94 s with elk) for
/// 1200 links between 100 nodes, and more than 100 s for 1367 links between 300 nodes. At half, `all` doesn't show a network of 100
/// nodes; at double, d2 takes minutes and gigabytes.
const MAX_LINKS: usize = 600;

/// The cost of a link without a round-trip time, in ms: more than that of any usual path, so that measured paths are preferred.
const UNMEASURED_MS: u32 = 1024;

/// The rule by which nodes and links are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// The nodes nearest to this one, and all links between them.
    Nearest,
    /// This node, its neighbours, and all links between them.
    Neighbours,
    /// The nodes nearest to this one, and the shortest path to each.
    Tree,
}

/// What is drawn.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// Indices in [`Snapshot::nodes`], in the order in which they are written.
    pub(super) nodes: Vec<usize>,
    /// In the order in which they are written.
    pub(super) links: Vec<Drawn>,
    pub(super) rule: Rule,
}

/// A link that is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drawn {
    /// Its index in [`Snapshot::links`].
    pub(super) link: usize,
    /// The listener stands to the left of the dialer, so the arrow points to the left.
    pub(super) leftward: bool,
}

impl Choice {
    pub(super) fn of(snapshot: &Snapshot, shows: Shows) -> Self {
        let fits = |nodes, links| snapshot.nodes.len() <= nodes && snapshot.links.len() <= links;
        match shows {
            // Without links, the nodes form a grid, which stays legible.
            Shows::Auto if fits(WHOLE_NODES, WHOLE_LINKS) || snapshot.links.is_empty() => {
                Self::all(snapshot)
            }
            Shows::Auto => Self::tree(snapshot, LEGIBLE_NODES),
            Shows::All => Self::all(snapshot),
            Shows::Mine => Self::mine(snapshot),
            Shows::Tree => Self::tree(snapshot, MAX_NODES),
        }
    }

    /// All nodes and links; in a very large network, the nearest nodes and the links between them.
    fn all(snapshot: &Snapshot) -> Self {
        let (nodes, links) = (snapshot.nodes.len(), snapshot.links.len());
        let order = if nodes <= MAX_NODES && links <= MAX_LINKS {
            (0..nodes).collect()
        } else {
            Paths::of(snapshot, MAX_NODES).order
        };
        Self::between(snapshot, order, Rule::Nearest)
    }

    /// This node, its neighbours, and the links between these.
    fn mine(snapshot: &Snapshot) -> Self {
        let me = snapshot.me;
        let own = snapshot.links.iter().filter_map(|link| {
            let other = other_end(link, me)?;
            Some((cost_ms(link), other))
        });
        let mut near: Vec<(u64, usize)> = own.collect();
        near.sort_unstable();
        let mut order = vec![me];
        order.extend(near.into_iter().map(|(_, node)| node));
        order.truncate(MAX_NODES);
        Self::between(snapshot, order, Rule::Neighbours)
    }

    /// As many nodes from the start of `order` as have at most [`MAX_LINKS`] links between them, and these links.
    fn between(snapshot: &Snapshot, mut order: Vec<usize>, rule: Rule) -> Self {
        let places = places(snapshot, &order);
        // A link counts at the later one of its ends.
        let later = |link: &LinkView| Some(places[link.dialer]?.max(places[link.listener]?));
        let mut links_at = vec![0; order.len()];
        for place in snapshot.links.iter().filter_map(later) {
            links_at[place] += 1;
        }
        let mut links = 0;
        let fit = links_at.iter().take_while(|&&more| {
            links += more;
            links <= MAX_LINKS
        });
        let fit = fit.count();
        order.truncate(fit);
        order.sort_unstable();
        let both = |(_, link): &(usize, &LinkView)| later(link).is_some_and(|place| place < fit);
        let links = snapshot.links.iter().enumerate().filter(both);
        let links = links.map(|(link, _)| Drawn {
            link,
            leftward: false,
        });
        Self {
            nodes: order,
            links: links.collect(),
            rule,
        }
    }

    /// The tree of shortest paths from this node to the `most` nodes nearest to it, and nodes to which no path leads if there is
    /// room.
    ///
    /// A layout engine puts one generation of a tree into one column. So this node stands in the middle, with about half of the
    /// leaves on each side: otherwise the diagram is twice as high and half as wide, and its text half as large on a screen. The
    /// order of depth-first search keeps the links from crossing.
    fn tree(snapshot: &Snapshot, most: usize) -> Self {
        let Paths { order, via } = Paths::of(snapshot, most);
        let places = places(snapshot, &order);
        let predecessor = |place: usize| {
            let node = order[place];
            let other = other_end(&snapshot.links[via[node]?], node)?;
            places[other]
        };
        let mut children = vec![Vec::new(); order.len()];
        let mut roots = Vec::new();
        for place in 0..order.len() {
            match predecessor(place) {
                Some(parent) => children[parent].push(place),
                None => roots.push(place),
            }
        }
        let left = left_side(&children);
        let mut nodes = Vec::with_capacity(order.len());
        let mut links = Vec::with_capacity(order.len());
        let mut stack: Vec<usize> = roots.into_iter().rev().collect();
        while let Some(place) = stack.pop() {
            let node = order[place];
            nodes.push(node);
            if let Some(link) = via[node] {
                // On the right a node stands to the right of its predecessor.
                let is_dialer = snapshot.links[link].dialer == node;
                let leftward = is_dialer != left[place];
                links.push(Drawn { link, leftward });
            }
            stack.extend(children[place].iter().rev());
        }
        Self {
            nodes,
            links,
            rule: Rule::Tree,
        }
    }
}

/// Which nodes of a tree stand to the left of its root, by their places. The largest branch goes to the right, and each further one
/// to the side with fewer leaves.
fn left_side(children: &[Vec<usize>]) -> Vec<bool> {
    let mut leaves = vec![0_usize; children.len()];
    // A node is settled after its predecessor.
    for place in (0..children.len()).rev() {
        let below: usize = children[place].iter().map(|&child| leaves[child]).sum();
        leaves[place] = below.max(1);
    }
    let mut branches = children.first().cloned().unwrap_or_default();
    branches.sort_by_key(|&branch| Reverse(leaves[branch]));
    let mut left = vec![false; children.len()];
    let (mut on_left, mut on_right) = (0, 0);
    for branch in branches {
        left[branch] = on_left < on_right;
        let side = if left[branch] {
            &mut on_left
        } else {
            &mut on_right
        };
        *side += leaves[branch];
    }
    for (place, children) in children.iter().enumerate().skip(1) {
        for &child in children {
            left[child] = left[place];
        }
    }
    left
}

/// The shortest paths from this node.
struct Paths {
    /// The nodes, nearest first, followed by those to which no path leads.
    order: Vec<usize>,
    /// The last link of the path to each node of the snapshot. `None`: no path was found, or none is needed.
    via: Vec<Option<usize>>,
}

impl Paths {
    /// The paths to the `most` nearest nodes.
    fn of(snapshot: &Snapshot, most: usize) -> Self {
        let nodes = snapshot.nodes.len();
        let links = LinksByNode::of(snapshot);
        let mut order = Vec::with_capacity(most.min(nodes));
        let mut via = vec![None; nodes];
        let mut reached = vec![false; nodes];
        let mut open = BinaryHeap::from([Reverse((0, 0, snapshot.me, None))]);
        while order.len() < most
            && let Some(Reverse((cost, hops, node, last))) = open.pop()
        {
            if std::mem::replace(&mut reached[node], true) {
                continue;
            }
            order.push(node);
            via[node] = last;
            for &link in links.at(node) {
                let view = &snapshot.links[link];
                if let Some(next) = other_end(view, node)
                    && !reached[next]
                {
                    let cost = cost + cost_ms(view);
                    open.push(Reverse((cost, hops + 1, next, Some(link))));
                }
            }
        }
        let room = most - order.len();
        let unreached = (0..nodes).filter(|&node| !reached[node]);
        order.extend(unreached.take(room));
        Self { order, via }
    }
}

/// The indices of each node's links: those of all nodes in one list, and where the part of each node begins.
struct LinksByNode {
    links: Vec<usize>,
    starts: Vec<usize>,
}

impl LinksByNode {
    fn of(snapshot: &Snapshot) -> Self {
        let mut starts = vec![0; snapshot.nodes.len() + 1];
        let ends = |link: &LinkView| [link.dialer, link.listener];
        for node in snapshot.links.iter().flat_map(ends) {
            starts[node] += 1;
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        // Each part is filled from its end, so that `starts` then says where it begins.
        let mut links = vec![0; total];
        for (index, link) in snapshot.links.iter().enumerate().rev() {
            for node in ends(link) {
                starts[node] -= 1;
                links[starts[node]] = index;
            }
        }
        Self { links, starts }
    }

    fn at(&self, node: usize) -> &[usize] {
        &self.links[self.starts[node]..self.starts[node + 1]]
    }
}

/// The place of each node of the snapshot in `order`.
fn places(snapshot: &Snapshot, order: &[usize]) -> Vec<Option<usize>> {
    let mut places = vec![None; snapshot.nodes.len()];
    for (place, &node) in order.iter().enumerate() {
        places[node] = Some(place);
    }
    places
}

/// The other end of a link. `None`: the node is no end of it.
fn other_end(link: &LinkView, node: usize) -> Option<usize> {
    if link.dialer == node {
        Some(link.listener)
    } else {
        (link.listener == node).then_some(link.dialer)
    }
}

fn cost_ms(link: &LinkView) -> u64 {
    let ms = link.rtt_us.map_or(UNMEASURED_MS, |us| us.div_ceil(1000));
    u64::from(ms.next_power_of_two())
}

#[cfg(test)]
mod tests;
