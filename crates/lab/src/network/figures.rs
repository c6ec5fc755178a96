//! The measured figures and their limits.

use crate::shared::cluster::Plan;

/// A figure that a run measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Figure {
    /// The position of its line in the table.
    rank: u8,
    /// Its name, which says what is measured.
    pub(crate) name: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
}

const fn figure(rank: u8, name: &'static str, unit: &'static str) -> Figure {
    Figure { rank, name, unit }
}

/// From the start of the last process until every view lists exactly all nodes as up.
pub(crate) const KNOW_ALL: Figure = figure(0, "all know all", "s");
/// From the start of the last process until all views have converged: exact and equal, links included.
pub(crate) const EXACT_START: Figure = figure(1, "all views exact", "s");
/// From the start of the first process to that of the last.
pub(crate) const SPAWNING: Figure = figure(2, "starting the processes", "s");
/// From SIGKILL until no survivor lists the node as up.
pub(crate) const KILLED: Figure = figure(10, "killed: dropped by all", "s");
/// From SIGKILL until the survivors' views have converged.
pub(crate) const EXACT_KILLED: Figure = figure(11, "killed: all views exact", "s");
/// From the restart of the killed node until every view lists it, its own included.
pub(crate) const RESTARTED: Figure = figure(12, "restarted: listed by all", "s");
/// From the restart until the restarted node lists all nodes.
pub(crate) const RESTARTED_KNOWS: Figure = figure(13, "restarted: knows all", "s");
/// From the restart until all views have converged.
pub(crate) const EXACT_RESTARTED: Figure = figure(14, "restarted: all views exact", "s");
/// From SIGTERM until no other view lists the node as up.
pub(crate) const STOPPED: Figure = figure(15, "asked to stop: dropped by all", "s");
/// From SIGTERM until the other nodes' views have converged.
pub(crate) const EXACT_STOPPED: Figure = figure(16, "asked to stop: all views exact", "s");
/// From SIGTERM until the process has exited.
pub(crate) const EXIT: Figure = figure(17, "asked to stop: exited", "s");
/// At the end of the run: the time until all views have converged and no node has too few or too many links.
pub(crate) const AT_REST: Figure = figure(18, "at the end: exact and at rest", "s");
/// Bytes that a node sends in the idle window.
pub(crate) const BYTES: Figure = figure(20, "idle: sent, with IPv6 and UDP headers", "B/s a node");
/// Datagrams that a node sends in the idle window.
pub(crate) const DATAGRAMS: Figure = figure(21, "idle: datagrams", "1/s a node");
/// CPU time of the median node in the idle window.
pub(crate) const CPU_MEDIAN: Figure = figure(22, "idle: CPU, median node", "s/min");
/// CPU time of the busiest node in the idle window.
pub(crate) const CPU_WORST: Figure = figure(23, "idle: CPU, worst node", "s/min");
/// VmRSS of the median node.
pub(crate) const RSS_MEDIAN: Figure = figure(24, "resident, median node", "MiB");
/// VmRSS of the largest node.
pub(crate) const RSS_WORST: Figure = figure(25, "resident, worst node", "MiB");
/// PSS of the median node.
pub(crate) const PSS_MEDIAN: Figure = figure(26, "proportional, median node", "MiB");
/// PSS of the largest node.
pub(crate) const PSS_WORST: Figure = figure(27, "proportional, worst node", "MiB");
/// Versions of its view that a node writes in the idle window.
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
/// CPU time of this benchmark while the network starts.
pub(crate) const OBSERVER_START: Figure = figure(45, "observer's CPU: start", "s");
/// CPU time of this benchmark in the idle window.
pub(crate) const OBSERVER_IDLE: Figure = figure(46, "observer's CPU: idle window", "s/min");
/// Versions of views that this benchmark read.
pub(crate) const VERSIONS_READ: Figure = figure(47, "versions of views read", "");
/// Versions that were replaced before they were read, after the first exact view.
pub(crate) const VERSIONS_MISSED: Figure = figure(48, "versions replaced unread, once settled", "");
/// Nodes that vanished from a view while the network was still starting.
pub(crate) const EARLY_FLAPS: Figure = figure(49, "flaps before the first exact view", "");

impl Figure {
    /// Returns whether a higher value is better, so that the worst run has the lowest one.
    pub(crate) fn more_is_better(self) -> bool {
        self.unit == "%" || self == MIN_DEGREE
    }
}

/// The upper limits of a figure.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bar {
    /// The limit for the median over the runs.
    pub(crate) median: Option<f64>,
    /// The limit for every single run.
    pub(crate) worst: Option<f64>,
}

impl Bar {
    /// Returns the limits of a figure, if it has any.
    pub(crate) fn of(figure: Figure, plan: Plan) -> Self {
        let nodes = plan.nodes();
        // The limits at 5, 25, 50 and 100 nodes.
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

    /// Returns whether the figure kept its limits, or `None` if it has none.
    pub(crate) fn held(self, median: f64, worst: f64) -> Option<bool> {
        let within = |bar: Option<f64>, value: f64| bar.is_none_or(|bar| value <= bar);
        let any = self.median.is_some() || self.worst.is_some();
        any.then(|| within(self.median, median) && within(self.worst, worst))
    }
}

/// Returns the median: the middle value, or the mean of the two middle values. It is NaN if there are no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (count, middle) if count % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}
