//! The result of a run as text ([`summary`]), as JSON ([`json`]) and as a web page ([`html`]).
//!
//! A report contains nothing about the machine, so the same scenario gives the same report, byte for byte.

mod chart;
mod fill;
mod graph;
pub mod html;
pub mod json;
pub mod summary;
mod toll;
mod words;

use std::collections::BTreeMap;

use serde::Serialize;

pub use toll::{BlameReport, InventedReport, LoadReport, RateReport, StrayReport, TollReport};

/// The version of the JSON format: incremented by changes that break readers.
pub const FORMAT: u32 = 1;

/// The result of a run. The names of the fields are those of the JSON, and stable; new ones may be added.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The version of the format.
    pub format: u32,
    /// The scenario's title.
    pub title: String,
    /// The scenario's seed.
    pub seed: u64,
    /// `core` or `whole`: how much of each node was real.
    pub fidelity: &'static str,
    /// Nodes in the scenario.
    pub nodes: usize,
    /// The constants of the core that the scenario sets; left out if it sets none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tuning: BTreeMap<String, serde_json::Value>,
    /// How long the run lasted, in virtual ms.
    pub ran_ms: f64,
    /// How long it was to last.
    pub lasts_ms: f64,
    /// `done`, `interrupted` or `violated`.
    pub ended: &'static str,
    /// The violated invariant.
    pub violation: Option<ViolationReport>,
    /// Events in the simulator.
    pub happened: u64,
    /// The steps, and how long views took to follow.
    pub events: Vec<EventReport>,
    /// From a node's end until no view showed it.
    pub gone: Times,
    /// The same for each single viewer, by its own detector or by a report.
    pub gone_single: Times,
    /// From a node's start until all views showed it.
    pub known: Times,
    /// Ended nodes that a view still showed at the end.
    pub still_shown: usize,
    /// How often a view showed a node as down that was reachable and had run for five seconds.
    pub false_downs: u64,
    /// Links lost; planned closes do not count.
    pub links_lost: u64,
    /// The views at the end.
    pub at_end: Awareness,
    /// Traffic.
    pub traffic: TrafficReport,
    /// Links per node at the end.
    pub degree: DegreeReport,
    /// Ages and errors of the round-trip times that views show.
    pub figures: FiguresReport,
    /// What attacks cost honest nodes; left out if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attacks: Option<TollReport>,
    /// The views over time.
    pub awareness: Vec<Awareness>,
    /// The network at the end.
    pub graph: Graph,
}

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ViolationReport {
    /// When, in virtual ms.
    pub at_ms: f64,
    /// The rule.
    pub rule: String,
    /// A description.
    pub what: String,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventReport {
    /// When.
    pub at_ms: f64,
    /// The step in words.
    pub what: String,
    /// How long until all nodes showed exactly the right nodes; null if that came only after the next step, or never.
    pub all_known_after_ms: Option<f64>,
    /// How long until all views were exact, links included, for the first time; new links may change them again.
    pub all_exact_after_ms: Option<f64>,
    /// How long until they were exact and stayed so until the next step or the end.
    pub stays_exact_after_ms: Option<f64>,
    /// If delays of links were changed by more than half: how long until every node showed the new round-trip times, with
    /// a tolerance of a fifth (of at most sixteen such links).
    pub delays_shown_after_ms: Option<f64>,
    /// What a node lacked right after the step, on average, in bytes: one copy of the records of all nodes that it should show and did not, with the
    /// lengths that records have at the end. A node must receive at least this much.
    pub lacked_bytes_a_node: f64,
    /// Sent until all views were exact for the first time.
    pub sent_until_exact: Option<SentReport>,
    /// Sent until all views stayed exact.
    pub sent_until_it_stays: Option<SentReport>,
}

/// Traffic per node.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SentReport {
    /// The mean over all nodes that were up at the end of the period, in bytes.
    pub mean: f64,
    /// The maximum of a node, in bytes.
    pub most: u64,
}

/// A distribution of times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Times {
    /// How many.
    pub count: usize,
    /// The median.
    pub median_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// The views at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Awareness {
    /// When.
    pub at_ms: f64,
    /// Nodes that ran.
    pub up: usize,
    /// The share of the ordered pairs of which the first should show the second and does.
    pub known: f64,
    /// Pairs of which the first showed the second, but should not.
    pub wrong: u64,
    /// The share of exact views.
    pub exact: f64,
    /// Bytes per node and second since the previous point; at the end, of the last ten seconds.
    pub bytes_per_s: f64,
}

/// Traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TrafficReport {
    /// Bytes per node and second over the whole run, with headers down to IPv6.
    pub bytes_per_s: f64,
    /// The same at rest: all views exact, and no step for 20 s. Null if the network was never at rest.
    pub idle_bytes_per_s: Option<f64>,
    /// All bytes.
    pub bytes: u64,
    /// The share of records in all bytes.
    pub record_share: f64,
    /// Copies of a record that a node received, on average over all records and nodes.
    pub copies: f64,
    /// Control messages.
    pub messages: u64,
    /// Probes.
    pub probes: u64,
    /// Dials.
    pub dials: u64,
    /// The 99th percentile of bytes per node and second, divided by the median, of nodes that ran for at least half as long as any other.
    pub p99_over_median: f64,
    /// The maximum, divided by the median.
    pub busiest_over_median: f64,
}

/// Ages and errors of the round-trip times that views show. In large networks a part of the views is sampled, in turn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FiguresReport {
    /// Every five seconds at rest; null if the network was never at rest.
    pub at_rest: Option<SheetReport>,
    /// At the end of the run.
    pub at_end: SheetReport,
}

/// The figures of a viewer's own links, and of all others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SheetReport {
    /// Links of the viewer itself.
    pub own: TallyReport,
    /// Links between other nodes.
    pub others: TallyReport,
}

/// A number of links, as views show them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TallyReport {
    /// How many: each link once for each view and sample.
    pub shown: u64,
    /// Those of them without a round-trip time.
    pub unmeasured: u64,
    /// Those whose round-trip time was marked stale.
    pub stale: u64,
    /// How old the round-trip times were, in ms.
    pub age_ms: SpreadReport,
    /// How far they were from the true ones, in µs.
    pub error_us: SpreadReport,
    /// The same in percent of the true ones.
    pub error_percent: SpreadReport,
}

/// A distribution, with three significant digits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SpreadReport {
    /// The median.
    pub median: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The largest value.
    pub max: f64,
}

/// Links per node.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DegreeReport {
    /// The fewest.
    pub min: usize,
    /// The median.
    pub median: usize,
    /// The 99th percentile.
    pub p99: usize,
    /// The most.
    pub max: usize,
    /// The number of nodes with none, one, two … links.
    pub histogram: Vec<usize>,
}

/// The network, by numbers of places.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Graph {
    /// The nodes that ran.
    pub up: Vec<usize>,
    /// Links that both ends listed: dialer, listener, the dialer's round-trip time in µs.
    pub links: Vec<(usize, usize, u32)>,
}
