//! The true state: which processes run, and which directions pass packets. It follows from the lab's own actions.

use std::collections::{BTreeMap, BTreeSet};

use std::net::{Ipv6Addr, SocketAddr};

use crate::lab::action::{Action, Direction};
use crate::lab::netem::Netem;

/// The true state at one time.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    /// By index: whether the process runs and isn't stopped.
    alive: Vec<bool>,
    down: BTreeSet<Direction>,
    netem: BTreeMap<Direction, Netem>,
    /// Number of address changes of each node.
    moves: Vec<u16>,
}

impl Truth {
    /// `nodes` nodes, of which none runs. All directions pass packets.
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            alive: vec![false; nodes],
            down: BTreeSet::new(),
            netem: BTreeMap::new(),
            moves: vec![0; nodes],
        }
    }

    /// Applies an action of the lab.
    pub(crate) fn apply(&mut self, action: &Action) {
        match action {
            Action::Netem { on, netem } => {
                for way in on {
                    match netem {
                        Some(netem) => self.netem.insert(*way, netem.clone()),
                        None => self.netem.remove(way),
                    };
                }
            }
            Action::LinkDown { on } => self.down.extend(on),
            Action::LinkUp { on } => self.down.retain(|way| !on.contains(way)),
            Action::Vanish { node } => {
                self.alive[*node] = false;
                for other in (0..self.alive.len()).filter(|other| other != node) {
                    self.down.extend([(*node, other), (other, *node)]);
                }
            }
            Action::Kill { node } | Action::Leave { node } | Action::Stop { node } => {
                self.alive[*node] = false;
            }
            Action::Start { node } | Action::Continue { node } => self.alive[*node] = true,
            Action::Address { node } => self.moves[*node] += 1,
            Action::Mtu { .. } | Action::Clock { .. } => {}
        }
    }

    /// Whether the node runs and isn't stopped.
    pub(crate) fn alive(&self, node: usize) -> bool {
        self.alive[node]
    }

    /// The nodes that run and aren't stopped.
    pub(crate) fn living(&self) -> impl Iterator<Item = usize> {
        (0..self.alive.len()).filter(|node| self.alive[*node])
    }

    /// Whether this direction passes packets.
    pub(crate) fn passes(&self, way: Direction) -> bool {
        !self.down.contains(&way)
    }

    /// Whether two nodes can have a link: both run, and packets pass both ways.
    pub(crate) fn linked(&self, one: usize, other: usize) -> bool {
        one != other
            && self.alive[one]
            && self.alive[other]
            && self.passes((one, other))
            && self.passes((other, one))
    }

    /// The nodes that the node can reach over a path of links, and the node itself. Only itself, if it doesn't run.
    pub(crate) fn part_of(&self, node: usize) -> BTreeSet<usize> {
        let mut part = BTreeSet::from([node]);
        let mut next = vec![node];
        while let Some(node) = next.pop() {
            for other in 0..self.alive.len() {
                if self.linked(node, other) && part.insert(other) {
                    next.push(other);
                }
            }
        }
        part
    }

    /// Whether this socket address currently belongs to the node.
    pub(crate) fn is_at(&self, node: usize, socket: &str) -> bool {
        let own = address(node, self.moves[node]);
        socket
            .parse()
            .is_ok_and(|socket: SocketAddr| socket.ip() == own)
    }

    /// The delay that the qdiscs of both directions add to a round trip, in ms.
    pub(crate) fn delay_ms(&self, one: usize, other: usize) -> f64 {
        let delay = |way| self.netem.get(&way).map_or(0.0, |netem| netem.delay_ms);
        delay((one, other)) + delay((other, one))
    }

    /// Percentage of round trips that the qdiscs lose. `None` if the losses of a qdisc depend on each other.
    pub(crate) fn loss_percent(&self, one: usize, other: usize) -> Option<f64> {
        let kept = |way| {
            let netem: Option<&Netem> = self.netem.get(&way);
            netem.map_or(Some(1.0), |netem| Some(1.0 - netem.loss_percent? / 100.0))
        };
        Some(100.0 * (1.0 - kept((one, other))? * kept((other, one))?))
    }
}

/// The address of a node with a host of its own, after this many address changes.
pub(crate) fn address(node: usize, moves: u16) -> Ipv6Addr {
    let place = u16::try_from(node + 1).expect("few nodes");
    Ipv6Addr::new(0xfd00, 0xa2ea, 0, moves, 0, 0, 0, place)
}
