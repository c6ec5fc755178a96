//! Connections seen from outside, with both ends. Only between windows, while no node runs.

use std::collections::BTreeMap;

use super::World;
use crate::membership::Time;
use crate::sim::path::{End, Live, Side};
use crate::wire::NodeId;

/// A connection with both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Its number; a later connection of the same dialer has a higher one.
    pub number: u32,
    /// The place that dialed.
    pub dialer: usize,
    /// The place that was dialed.
    pub listener: usize,
    /// Since when the dialer's core has it, if it does.
    pub dialer_has: Option<Time>,
    /// Since when the listener's core has it, if it does.
    pub listener_has: Option<Time>,
    /// The dialer waits for an answer.
    pub under_way: bool,
}

impl World {
    /// All connections, and dials to places that exist.
    pub fn connections(&self) -> impl Iterator<Item = Connection> + '_ {
        let ends = self.nodes.iter().enumerate().flat_map(|(place, node)| {
            let ends = node.ends.iter();
            ends.filter_map(move |(end, at)| Some((place, *end, live(at)?)))
        });
        ends.filter_map(|(place, end, one)| {
            let there = one.peer? as usize;
            let other = self.nodes[there].ends.get(&end.other());
            let other = other.and_then(live);
            let (dialer, listener) = match end.side {
                Side::Dialer => ((place, Some(one)), (there, other)),
                // If both ends exist, the dialer's represents the connection.
                Side::Listener if other.is_some() => return None,
                Side::Listener => ((there, other), (place, Some(one))),
            };
            let has = |live: Option<&Live>| live.and_then(|live| live.known);
            Some(Connection {
                number: end.number,
                dialer: dialer.0,
                listener: listener.0,
                dialer_has: has(dialer.1),
                listener_has: has(listener.1),
                under_way: dialer.1.is_some_and(|live| live.known.is_none()),
            })
        })
    }

    /// Linked pairs of nodes (connections that both cores have), and how many connections each has; `place_of` finds a node by its id.
    pub fn linked_pairs(
        &self,
        place_of: impl Fn(&NodeId) -> Option<usize>,
    ) -> BTreeMap<(usize, usize), u32> {
        if self.is_whole() {
            return self.pairs_of_whole_nodes(place_of);
        }
        let mut held = BTreeMap::new();
        for conn in self.connections() {
            if conn.dialer_has.is_some() && conn.listener_has.is_some() {
                let (a, b) = (conn.dialer, conn.listener);
                *held.entry((a.min(b), a.max(b))).or_default() += 1;
            }
        }
        held
    }

    /// The number of connections of a node's core.
    #[must_use]
    pub fn degree(&self, place: usize) -> usize {
        if self.is_whole() {
            let core = self.nodes[place].core();
            return core.map_or(0, |core| core.connected().count());
        }
        let ends = self.nodes[place].ends.values();
        ends.filter(|end| end.is_open()).count()
    }
}

fn live(end: &End) -> Option<&Live> {
    match end {
        End::Live(live) => Some(live),
        End::Over(_) => None,
    }
}
