//! A view of the network in the form in which it is shown: rows of nodes and links, with what follows from the whole graph.

use std::collections::BTreeMap;

use crate::chronicle::{BadFrame, Picture, Told};
use crate::graph::{Graph, Paths, Route};
use crate::snapshot::{EndFigures, NodeState, Snapshot};

use super::text;

/// A node.
#[derive(Debug, Clone)]
pub(super) struct NodeRow {
    /// Its number in the stream.
    pub(super) n: u32,
    pub(super) id: String,
    /// Harmless text.
    pub(super) label: String,
    pub(super) addrs: Vec<String>,
    pub(super) state: NodeState,
    pub(super) since_ms: i64,
    pub(super) told: Option<Told>,
    pub(super) links: usize,
    /// Along the shortest path from this node.
    pub(super) rtt_us: Option<u64>,
    pub(super) hops: Option<u32>,
}

/// A link.
#[derive(Debug, Clone)]
pub(super) struct LinkRow {
    /// Its number in the stream.
    pub(super) l: u32,
    /// Indices of the nodes.
    pub(super) dialer: usize,
    pub(super) listener: usize,
    pub(super) rtt_us: Option<u32>,
    pub(super) age_ms: i64,
    pub(super) stale: bool,
    pub(super) loss_permille: u16,
    pub(super) suspect: bool,
    pub(super) since_ms: i64,
    /// The listener measured the figures: it is this node.
    pub(super) by_listener: bool,
    pub(super) other: Option<EndFigures>,
    pub(super) disputed_ms: Option<i64>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct View {
    pub(super) at_ms: i64,
    pub(super) me: usize,
    pub(super) nodes: Vec<NodeRow>,
    /// Sorted by the indices of their ends.
    pub(super) links: Vec<LinkRow>,
    pub(super) snapshot: Snapshot,
    graph: Graph,
    paths: Paths,
}

impl View {
    pub(super) fn new(picture: &Picture) -> Result<Self, BadFrame> {
        let snapshot = picture.snapshot()?;
        let graph = Graph::of(&snapshot);
        let paths = Paths::of(&graph, snapshot.me);
        let by_id: BTreeMap<_, _> = picture.nodes().map(|node| (node.id, node)).collect();
        let mut places = BTreeMap::new();
        let mut nodes = Vec::with_capacity(snapshot.nodes.len());
        for (index, node) in snapshot.nodes.iter().enumerate() {
            let known = by_id.get(&node.id).ok_or(BadFrame::OneId(node.id))?;
            places.insert(known.n, index);
            let id = node.id.to_string();
            nodes.push(NodeRow {
                n: known.n,
                label: text::label(&node.label, &id),
                id,
                addrs: node.addrs.iter().map(ToString::to_string).collect(),
                state: node.state,
                since_ms: node.since_ms,
                told: known.told,
                links: graph.degree(index),
                rtt_us: paths
                    .rtt_us(index)
                    .filter(|_| !snapshot.links.is_empty() && !paths.is_assumed(index)),
                hops: paths.hops(index),
            });
        }
        let place = |n: u32| places.get(&n).copied().ok_or(BadFrame::NoNode(n));
        let at_ms = picture.at_ms();
        let mut links = Vec::with_capacity(snapshot.links.len());
        for (link, measured_ms) in picture.links() {
            links.push(LinkRow {
                l: link.l,
                dialer: place(link.dialer)?,
                listener: place(link.listener)?,
                rtt_us: link.figures.rtt_us,
                age_ms: at_ms.saturating_sub(measured_ms),
                stale: link.figures.stale,
                loss_permille: link.figures.loss_permille,
                suspect: link.suspect,
                since_ms: link.since_ms,
                by_listener: picture.me() == Some(link.listener),
                other: link.other,
                disputed_ms: link.disputed_ms,
            });
        }
        links.sort_by_key(|link| (link.dialer, link.listener));
        Ok(Self {
            at_ms,
            me: snapshot.me,
            nodes,
            links,
            graph,
            paths,
            snapshot,
        })
    }

    /// The number of nodes in that state.
    pub(super) fn count(&self, state: NodeState) -> usize {
        self.nodes.iter().filter(|node| node.state == state).count()
    }

    /// The path from this node.
    pub(super) fn route(&self, to: usize) -> Option<Route> {
        self.paths.route(to)
    }

    /// The sums of round-trip times along the shortest paths from a node.
    pub(super) fn paths_of(&self, from: usize) -> Paths {
        Paths::of(&self.graph, from)
    }

    /// The link between two nodes, whoever dialed.
    pub(super) fn link(&self, one: usize, other: usize) -> Option<&LinkRow> {
        let find = |dialer, listener| {
            let key = (dialer, listener);
            let found = self
                .links
                .binary_search_by_key(&key, |link| (link.dialer, link.listener));
            found.ok().map(|index| &self.links[index])
        };
        find(one, other).or_else(|| find(other, one))
    }

    /// The label of the node of that number.
    pub(super) fn label_of(&self, n: u32) -> Option<&str> {
        let node = self.nodes.iter().find(|node| node.n == n)?;
        Some(&node.label)
    }

    /// The time of day, in UTC, of a time in ms since the start of the node.
    pub(super) fn clock(&self, at_ms: i64) -> String {
        text::clock(self.snapshot.origin_ms.saturating_add(at_ms))
    }
}

/// The word for a state.
pub(super) fn word(state: NodeState) -> &'static str {
    match state {
        NodeState::Up => "up",
        NodeState::Unreachable => "unreachable",
        NodeState::Left => "left",
    }
}
