//! A spanning tree of the graph of nodes that are up, which all nodes with one view compute alike.
//!
//! It is the breadth-first tree from the node with the lowest id; of several possible parents, a node has the one with the lowest id. What is sent
//! along it reaches every node, and over each of its links once.

use super::{Index, View};

impl View {
    /// This node's neighbours in the tree: its parent and its children.
    pub(crate) fn tree_neighbors(&self) -> Vec<Index> {
        let me = self.me();
        let Some(root) = self.lowest(self.up.ones().map(Index::from_place)) else {
            return Vec::new();
        };
        let depths = self.depths(root);
        // The table of ids must not be read twice at a time, hence the lists.
        let linked = |of: Index, depth: Option<u32>| -> Vec<Index> {
            let peers = self.mutual_links(of);
            peers
                .filter(|peer| depth.is_some() && depths[peer.at()] == depth)
                .collect()
        };
        let parent = |of: Index| {
            let above = depths[of.at()].and_then(|depth| depth.checked_sub(1));
            self.lowest(linked(of, above).into_iter())
        };
        let below = linked(me, depths[me.at()].map(|depth| depth + 1));
        let children = below.into_iter().filter(|child| parent(*child) == Some(me));
        parent(me).into_iter().chain(children).collect()
    }

    fn lowest(&self, indices: impl Iterator<Item = Index>) -> Option<Index> {
        let ids = self.ids.read();
        indices.min_by_key(|index| *ids.id(*index))
    }

    /// How many links each node that is up is away from the root, by its place.
    fn depths(&self, root: Index) -> Vec<Option<u32>> {
        let mut depths = vec![None; self.records.len()];
        depths[root.at()] = Some(0);
        let mut level = vec![root];
        let mut depth = 0;
        while !level.is_empty() {
            depth += 1;
            let mut next = Vec::new();
            for index in level {
                for peer in self.mutual_links(index) {
                    if self.is_up_at(peer) && depths[peer.at()].is_none() {
                        depths[peer.at()] = Some(depth);
                        next.push(peer);
                    }
                }
            }
            level = next;
        }
        depths
    }
}

#[cfg(test)]
mod tests;
