//! The documents. A reader ignores fields that it does not know; fields that a later version may leave out have defaults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::kinds::{EndKind, FailureKind, SuspectKind};
use crate::snapshot::NodeState;

/// Declares documents: all of them are written and read, compared and printed alike.
macro_rules! documents {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
            pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
        )*
    };
}

documents! {
    /// A node that an answer refers to.
    Who {
        /// Its id.
        id: String,
        /// Its label; empty if the node is not known any more.
        label: String,
    }

    /// Why a node's state is what it is.
    Told {
        /// The node whose record was the first to say so. The node that answers: it saw it itself.
        by: Who,
        /// The neighbour that brought that record; null if this node saw it itself.
        via: Option<Who>,
        /// When.
        at_ms: u64,
    }

    /// Numbers of nodes by state.
    Counts {
        /// Those that are up, with the node that answers.
        up: usize,
        /// Those that no path leads to.
        unreachable: usize,
        /// Those that left.
        left: usize,
    }

    /// The extent of a node's history.
    History {
        /// The first time that can be asked for.
        from_ms: u64,
        /// The last time.
        to_ms: u64,
        /// How many changes it contains.
        #[serde(default)]
        frames: u64,
        /// The memory that it takes.
        bytes: u64,
        /// The most that it may take.
        limit_bytes: u64,
    }

    /// A neighbour that sees another network than this node.
    Differing {
        /// The neighbour.
        node: Who,
        /// Since when. News that is on its way makes views differ for a moment.
        since_ms: u64,
    }

    /// How many neighbours see the same network.
    Agreement {
        /// The neighbours whose view equals this node's.
        same: usize,
        /// All neighbours.
        neighbours: usize,
        /// Those that see another network.
        #[serde(default)]
        differing: Vec<Differing>,
    }

    /// `GET /v1/status`.
    Status {
        /// See [`super::FORMAT`].
        format: u32,
        /// The network's name.
        network: String,
        /// The id of the node that answers.
        node: String,
        /// Its label.
        label: String,
        /// The version of the program.
        version: String,
        /// When the node started.
        started_ms: u64,
        /// The time of this answer.
        now_ms: u64,
        /// Numbers of nodes.
        nodes: Counts,
        /// The number of links between nodes that are up.
        links: usize,
        /// The number of links of the node that answers.
        own_links: usize,
        /// The node has lost all its links.
        cut_off: bool,
        /// The impairment of what the node sends; null if there is none.
        impaired: Option<String>,
        /// The history; null if none is kept.
        history: Option<History>,
        /// How many readers follow the stream.
        #[serde(default)]
        readers: usize,
        /// Whether the neighbours see the same; null if that is not known.
        #[serde(default)]
        agreement: Option<Agreement>,
        /// What the user of the node must know: its certificate ends, or a node was refused, and what to do.
        #[serde(default)]
        notices: Vec<String>,
        /// What the node has rejected, by kind.
        rejected: BTreeMap<String, u64>,
    }

    /// A node in a list.
    NodeLine {
        /// Its id.
        id: String,
        /// Its label.
        label: String,
        /// The addresses to dial.
        addresses: Vec<String>,
        /// Its state.
        state: NodeState,
        /// When the state last changed.
        changed_ms: u64,
        /// It is the node that answers.
        me: bool,
        /// The number of its links.
        links: usize,
        /// The sum of round-trip times on the shortest path from the node that answers; null if there is no path.
        rtt_us: Option<u64>,
        /// A link on that path has no measurement yet, and counts as much as the slowest one.
        assumed: bool,
        /// The number of links on that path.
        hops: Option<u32>,
    }

    /// `GET /v1/nodes`.
    Nodes {
        /// See [`super::FORMAT`].
        format: u32,
        /// The time that the answer is about.
        at_ms: u64,
        /// The nodes, by id.
        nodes: Vec<NodeLine>,
    }

    /// What one end of a link tells.
    End {
        /// The smoothed round-trip time.
        rtt_us: u32,
        /// When it was measured.
        measured_ms: u64,
        /// The percentage of unanswered probes.
        loss_percent: f64,
    }

    /// A link in a list.
    LinkLine {
        /// The end that dialed.
        dialer: Who,
        /// The other end.
        listener: Who,
        /// The smoothed round-trip time; null before the first measurement. Of the links of the node that answers it is its own, of all
        /// others the dialer's.
        rtt_us: Option<u32>,
        /// When it was measured.
        measured_ms: u64,
        /// The measurement is older than measurements of this network should be.
        stale: bool,
        /// The percentage of unanswered probes.
        loss_percent: f64,
        /// One end gets no answers, and the verdict is still open.
        suspect: bool,
        /// Which end measured these figures.
        #[serde(default)]
        measured_by: EndKind,
        /// What the other end tells; null if it told nothing.
        #[serde(default)]
        other: Option<End>,
        /// Since when the two ends disagree, so that the figures are one end's claim; null if they don't.
        #[serde(default)]
        disputed_since_ms: Option<u64>,
    }

    /// `GET /v1/links`.
    Links {
        /// See [`super::FORMAT`].
        format: u32,
        /// The time that the answer is about.
        at_ms: u64,
        /// The links, by the ids of dialer and listener.
        links: Vec<LinkLine>,
    }

    /// An event of the node that answers, by the names and fields of its log.
    Event {
        /// When.
        at_ms: u64,
        /// Its name.
        name: String,
        /// `error`, `warn`, `info` or `debug`.
        level: String,
        /// Its fields.
        #[serde(default)]
        fields: serde_json::Map<String, serde_json::Value>,
    }

    /// `GET /v1/events`.
    Events {
        /// See [`super::FORMAT`].
        format: u32,
        /// The events, oldest first.
        events: Vec<Event>,
    }

    /// `GET /v1/node/X`.
    Node {
        /// See [`super::FORMAT`].
        format: u32,
        /// The time that the answer is about.
        at_ms: u64,
        /// Its id.
        id: String,
        /// Its label.
        label: String,
        /// It is the node that answers.
        me: bool,
        /// The addresses to dial. If one has worked, it is the first.
        addresses: Vec<String>,
        /// Its state.
        state: NodeState,
        /// When the state last changed.
        changed_ms: u64,
        /// Why it is what it is; null if that is not known.
        told: Option<Told>,
        /// Its links.
        links: Vec<LinkLine>,
        /// The path from the node that answers.
        path: Path,
        /// The last events about it, oldest first.
        events: Vec<Event>,
    }

    /// `GET /v1/link/X/Y`.
    Link {
        /// See [`super::FORMAT`].
        format: u32,
        /// The time that the answer is about.
        at_ms: u64,
        /// Its ends and figures.
        #[serde(flatten)]
        line: LinkLine,
        /// When it was first seen; null if that was before the history.
        since_ms: Option<u64>,
        /// Its figures over the history: the time, the round-trip time in µs or null, the loss in 1/1000; oldest first.
        series: Vec<(u64, Option<u32>, u16)>,
        /// What the other end told, in the same way.
        #[serde(default)]
        other_series: Vec<(u64, Option<u32>, u16)>,
    }

    /// A node on a path.
    PathHop {
        /// Its id.
        id: String,
        /// Its label.
        label: String,
        /// The round-trip time of the link to it; null for the first node, and before the first measurement.
        rtt_us: Option<u32>,
        /// That is one end's claim: the other end disagrees.
        #[serde(default)]
        disputed: bool,
    }

    /// `GET /v1/path`.
    Path {
        /// See [`super::FORMAT`].
        format: u32,
        /// The time that the answer is about.
        at_ms: u64,
        /// Its first node.
        from: Who,
        /// Its last node.
        to: Who,
        /// Whether there is a path.
        reachable: bool,
        /// The sum of round-trip times; null if there is no path.
        rtt_us: Option<u64>,
        /// What a link without a measurement counts as; null if every link on the path has one.
        assumed_us: Option<u32>,
        /// The round-trip time of the direct link; null if there is none, or none measured.
        direct_us: Option<u32>,
        /// The nodes, the first and the last with them; empty if there is no path.
        hops: Vec<PathHop>,
    }

    /// Quantiles of figures.
    Quantiles {
        /// The least.
        min: u32,
        /// The median.
        p50: u32,
        /// 90 % are not greater.
        p90: u32,
        /// 99 % are not greater.
        p99: u32,
        /// The greatest.
        max: u32,
    }

    /// The two nodes that are farthest apart.
    Diameter {
        /// One of them.
        from: Who,
        /// The other one.
        to: Who,
        /// The sum of round-trip times on the shortest path between them.
        rtt_us: u64,
        /// Whether no pair is farther apart. Otherwise only some pairs were tried.
        exact: bool,
    }

    /// A link without which nodes have no path to the node that answers.
    Bridge {
        /// The end that dialed.
        dialer: Who,
        /// The other end.
        listener: Who,
        /// How many nodes are lost without it.
        lost: usize,
        /// Some of these nodes.
        nodes: Vec<Who>,
    }

    /// A node without which other nodes have no path to the node that answers. If it is that node itself: without which the others
    /// fall into parts; all but the largest part are lost.
    ArticulationPoint {
        /// The node.
        node: Who,
        /// How many nodes are lost without it.
        lost: usize,
        /// Into how many parts these nodes fall.
        parts: usize,
        /// Some of these nodes.
        nodes: Vec<Who>,
    }

    /// A pair of nodes for which two links are faster than the direct way.
    Detour {
        /// One node of the pair.
        from: Who,
        /// The other one.
        to: Who,
        /// The node between them.
        via: Who,
        /// The round-trip time of their link, or the predicted one.
        direct_us: u32,
        /// The sum of the two round-trip times.
        detour_us: u32,
        /// Whether the pair has a link; otherwise `direct_us` is a prediction.
        linked: bool,
    }

    /// The probable cause of slow links.
    Slow {
        /// What is slow.
        suspect: SuspectKind,
        /// The node; one node of each of the two sites; the two ends of the link; empty for the whole network.
        nodes: Vec<Who>,
        /// How many nodes the sites have; empty for anything else.
        sizes: Vec<usize>,
        /// It is the node that answers: starved, or its access line is full.
        me: bool,
        /// How many slow links this explains.
        links: usize,
    }

    /// `GET /v1/explain`.
    Explain {
        /// See [`super::FORMAT`].
        format: u32,
        /// The time that the answer is about.
        at_ms: u64,
        /// Round-trip times of the links, in µs; null if none is measured.
        rtt_us: Option<Quantiles>,
        /// How many links have no measurement yet.
        unmeasured: usize,
        /// How many links a node has; null in an empty network.
        degree: Option<Quantiles>,
        /// The nodes that are farthest apart; null if the node that answers is connected with none.
        diameter: Option<Diameter>,
        /// How many bridges there are.
        bridges_total: usize,
        /// Those that most nodes depend on, first the worst.
        bridges: Vec<Bridge>,
        /// How many articulation points there are.
        articulation_points_total: usize,
        /// Those that most nodes depend on, first the worst.
        articulation_points: Vec<ArticulationPoint>,
        /// The detours that save most, first the worst.
        detours: Vec<Detour>,
        /// Causes of links that are slower than usual; null if what is usual is not known.
        slow: Option<Vec<Slow>>,
    }

    /// A node that a question may have meant.
    Candidate {
        /// Its id.
        id: String,
        /// Its label.
        label: String,
        /// Its first address; null if it has none.
        address: Option<String>,
    }

    /// What an error says.
    FailureText {
        /// What kind of error it is.
        #[serde(default)]
        kind: FailureKind,
        /// What failed.
        what: String,
        /// What to do about it.
        #[serde(default)]
        hint: String,
    }

    /// The answer to a question that has none.
    Failure {
        /// See [`super::FORMAT`].
        format: u32,
        /// What failed.
        error: FailureText,
        /// The nodes that a question may have meant.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        candidates: Vec<Candidate>,
    }
}

impl Failure {
    /// An error without candidates.
    #[must_use]
    pub fn new(kind: FailureKind, what: String, hint: String) -> Self {
        Self {
            format: super::FORMAT,
            error: FailureText { kind, what, hint },
            candidates: Vec::new(),
        }
    }
}
