//! A node's snapshot of the network, reduced to the parts that scenarios check.

use std::collections::{BTreeMap, BTreeSet};

use area_net::snapshot::{NodeState, Snapshot};

/// A snapshot without the figures that change all the time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) nodes: BTreeMap<String, NodeState>,
    /// From dialer to listener.
    pub(crate) links: BTreeSet<(String, String)>,
    pub(crate) cut_off: bool,
}

impl View {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let label = |at: usize| snapshot.nodes[at].label.to_string();
        let nodes = snapshot.nodes.iter();
        let links = snapshot.links.iter();
        Self {
            nodes: nodes
                .map(|node| (node.label.to_string(), node.state))
                .collect(),
            links: links
                .map(|link| (label(link.dialer), label(link.listener)))
                .collect(),
            cut_off: snapshot.cut_off,
        }
    }

    pub(crate) fn up(&self) -> BTreeSet<&str> {
        let nodes = self.nodes.iter();
        let up = nodes.filter(|(_, state)| **state == NodeState::Up);
        up.map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn has_link(&self, a: &str, b: &str) -> bool {
        self.links
            .iter()
            .any(|(x, y)| (x == a && y == b) || (x == b && y == a))
    }

    /// Whether exactly these nodes are up, with exactly one link between each two.
    pub(crate) fn is_full_mesh_of(&self, names: &[&str]) -> bool {
        let pairs = names.len() * (names.len() - 1) / 2;
        let linked = |a: &&str| names.iter().all(|b| a == b || self.has_link(a, b));
        self.up() == names.iter().copied().collect()
            && self.links.len() == pairs
            && names.iter().all(linked)
    }
}
