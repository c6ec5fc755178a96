//! What is measured, and the bars it is held against.

use crate::shared::cluster::Plan;

/// One thing that is measured in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Figure {
    /// Its line in the table.
    rank: u8,
    /// Its name, with what it means.
    pub(crate) name: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
}

const fn figure(rank: u8, name: &'static str, unit: &'static str) -> Figure {
    Figure { rank, name, unit }
}

/// From the start of the last process until every view lists exactly all nodes as up.
pub(crate) const KNOW_ALL: Figure = figure(0, "all know all", "s");
/// … until all views are one and the same, links included.
pub(crate) const EXACT_START: Figure = figure(1, "all views exact", "s");
/// From the start of the first process to that of the last.
pub(crate) const SPAWNING: Figure = figure(2, "starting the processes", "s");
/// From SIGKILL until no survivor lists the node as up.
pub(crate) const KILLED: Figure = figure(10, "killed: dropped by all", "s");
/// … until the survivors' views are one and the same.
pub(crate) const EXACT_KILLED: Figure = figure(11, "killed: all views exact", "s");
/// From the start of the killed node until every view, its own as well, lists it.
pub(crate) const RESTARTED: Figure = figure(12, "restarted: listed by all", "s");
/// … until it lists all itself.
pub(crate) const RESTARTED_KNOWS: Figure = figure(13, "restarted: knows all", "s");
/// … until all views are one and the same.
pub(crate) const EXACT_RESTARTED: Figure = figure(14, "restarted: all views exact", "s");
/// From SIGTERM until no other view lists the node as up.
pub(crate) const STOPPED: Figure = figure(15, "asked to stop: dropped by all", "s");
/// … until the others' views are one and the same.
pub(crate) const EXACT_STOPPED: Figure = figure(16, "asked to stop: all views exact", "s");
/// … until its process has ended.
pub(crate) const EXIT: Figure = figure(17, "asked to stop: exited", "s");
/// At the end of the run: how long until all views are exact once more, and nobody has too few or too many links.
pub(crate) const AT_REST: Figure = figure(18, "at the end: exact and at rest", "s");
/// Bytes that a node sends while nothing happens.
pub(crate) const BYTES: Figure = figure(20, "idle: sent, with IPv6 and UDP headers", "B/s a node");
/// Datagrams that a node sends while nothing happens.
pub(crate) const DATAGRAMS: Figure = figure(21, "idle: datagrams", "1/s a node");
/// CPU of the node in the middle while nothing happens.
pub(crate) const CPU_MEDIAN: Figure = figure(22, "idle: CPU, median node", "s/min");
/// CPU of the busiest node.
pub(crate) const CPU_WORST: Figure = figure(23, "idle: CPU, worst node", "s/min");
/// VmRSS of the node in the middle.
pub(crate) const RSS_MEDIAN: Figure = figure(24, "resident, median node", "MiB");
/// VmRSS of the largest node.
pub(crate) const RSS_WORST: Figure = figure(25, "resident, worst node", "MiB");
/// PSS of the node in the middle.
pub(crate) const PSS_MEDIAN: Figure = figure(26, "proportional, median node", "MiB");
/// PSS of the largest node.
pub(crate) const PSS_WORST: Figure = figure(27, "proportional, worst node", "MiB");
/// Versions of its view that a node writes while nothing happens.
pub(crate) const WRITES: Figure = figure(28, "idle: network.json written", "1/s a node");
/// Links at the end.
pub(crate) const LINKS: Figure = figure(30, "links at the end", "");
/// Fewest links of a node at the end.
pub(crate) const MIN_DEGREE: Figure = figure(31, "fewest links of a node", "");
/// Most links of a node at the end.
pub(crate) const MAX_DEGREE: Figure = figure(32, "most links of a node", "");
/// The machine's idle share while the network starts.
pub(crate) const IDLE_START: Figure = figure(40, "machine idle: start", "%");
/// The machine's idle share until the killed node is dropped.
pub(crate) const IDLE_KILLED: Figure = figure(41, "machine idle: killed", "%");
/// The machine's idle share until the restarted node knows all.
pub(crate) const IDLE_RESTARTED: Figure = figure(42, "machine idle: restarted", "%");
/// The machine's idle share until the stopped node is dropped.
pub(crate) const IDLE_STOPPED: Figure = figure(43, "machine idle: asked to stop", "%");
/// The machine's idle share in the idle window.
pub(crate) const IDLE_IDLE: Figure = figure(44, "machine idle: idle window", "%");
/// What this benchmark took of the CPU while the network started.
pub(crate) const OBSERVER_START: Figure = figure(45, "observer's CPU: start", "s");
/// What this benchmark took of the CPU in the idle window.
pub(crate) const OBSERVER_IDLE: Figure = figure(46, "observer's CPU: idle window", "s/min");
/// Versions of views that were read.
pub(crate) const VERSIONS_READ: Figure = figure(47, "versions of views read", "");
/// Versions that were replaced before they were read, after the first exact view.
pub(crate) const VERSIONS_MISSED: Figure = figure(48, "versions replaced unread, once settled", "");
/// Nodes that vanished from a view while the network was still starting.
pub(crate) const EARLY_FLAPS: Figure = figure(49, "flaps before the first exact view", "");

impl Figure {
    /// Whether its worst value is the lowest.
    pub(crate) fn more_is_better(self) -> bool {
        self.unit == "%" || self == MIN_DEGREE
    }
}

/// What a figure must not be above.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bar {
    /// The median over the runs.
    pub(crate) median: Option<f64>,
    /// Any run.
    pub(crate) worst: Option<f64>,
}

impl Bar {
    /// The bar of a figure, where it has one.
    pub(crate) fn of(figure: Figure, plan: Plan) -> Self {
        let nodes = plan.nodes();
        // At 5, 25, 50 and 100 nodes.
        let by_size = |bars: [Option<f64>; 4]| match nodes {
            5 => bars[0],
            25 => bars[1],
            50 => bars[2],
            100 => bars[3],
            _ => None,
        };
        let missing = matches!(plan, Plan::ChainWithMissing(_));
        let median = match figure {
            KNOW_ALL => by_size([Some(0.15), Some(0.4), None, Some(1.5)]),
            KILLED => Some(2.0),
            RESTARTED => by_size([Some(0.15), Some(0.2), None, Some(0.3)]),
            STOPPED => by_size([Some(0.05), Some(0.1), None, Some(0.2)]),
            BYTES if missing => by_size([Some(700.0), None, None, None]),
            BYTES => by_size([Some(450.0), Some(800.0), None, Some(800.0)]),
            CPU_MEDIAN | CPU_WORST => Some(0.05),
            RSS_MEDIAN | RSS_WORST => Some(8.0),
            _ => None,
        };
        Self {
            median,
            worst: (figure == KILLED).then_some(3.0),
        }
    }

    /// Whether it was held; none where there is no bar.
    pub(crate) fn held(self, median: f64, worst: f64) -> Option<bool> {
        let within = |bar: Option<f64>, value: f64| bar.is_none_or(|bar| value <= bar);
        let any = self.median.is_some() || self.worst.is_some();
        any.then(|| within(self.median, median) && within(self.worst, worst))
    }
}

/// The value in the middle, or the mean of the two; NaN of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (count, middle) if count % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}
