//! The result of a run as text ([`summary`]), as JSON ([`json`]) and as a web page ([`html`]).
//!
//! A report contains nothing about the machine, so the same scenario gives the same report, byte for byte.

mod chart;
mod graph;
pub mod html;
pub mod json;
pub mod summary;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::figures::{Figures, Sheet, Spread, Tally};
use super::measure::{Measure, Sample, Sent, total};
use super::play::Ended;
use super::scenario::Scenario;
use super::world::World;
use crate::membership::{Time, Value};
use crate::record::Direction;

/// The version of the JSON format: incremented by changes that break readers.
pub const FORMAT: u32 = 1;
/// The most points of a curve.
const POINTS: usize = 400;
/// The traffic at the end is that of so much time. Half of it holds few probes of a node; twice as much is less of the end.
const LAST: Duration = Duration::from_secs(10);

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

impl Report {
    /// The report of a run.
    #[must_use]
    pub fn new(scenario: &Scenario, ended: &Ended, measure: &Measure, world: &World) -> Self {
        let graph = graph(world);
        let (word, violation) = match ended {
            Ended::Done => ("done", None),
            Ended::Interrupted => ("interrupted", None),
            Ended::Violated(violation) => ("violated", Some(violation)),
        };
        let awareness = awareness(measure);
        let at_end = at_end(measure, &awareness);
        Self {
            format: FORMAT,
            title: scenario.title.clone(),
            seed: scenario.seed,
            fidelity: scenario.fidelity.word(),
            nodes: scenario.nodes,
            tuning: tuning(scenario),
            ran_ms: ms(world.now()),
            lasts_ms: ms(scenario.lasts),
            ended: word,
            violation: violation.map(|violation| ViolationReport {
                at_ms: ms(violation.at),
                rule: violation.rule.to_string(),
                what: violation.what.clone(),
            }),
            happened: world.steps(),
            events: events(measure),
            gone: times(&measure.gone_after),
            gone_single: times(&measure.gone_after_single),
            known: times(&measure.known_after),
            still_shown: measure.still_shown(),
            false_downs: measure.false_downs,
            links_lost: measure.links_lost,
            at_end,
            traffic: traffic(measure, world),
            degree: degree(&graph, world.nodes.len()),
            figures: figures(&measure.figures),
            awareness,
            graph,
        }
    }
}

fn figures(figures: &Figures) -> FiguresReport {
    let spread = |spread: &Spread, unit: f64| {
        let at = |share| spread.at(share) as f64 / unit;
        SpreadReport {
            median: at(0.5),
            p99: at(0.99),
            max: at(1.0),
        }
    };
    let tally = |tally: &Tally| TallyReport {
        shown: tally.shown,
        unmeasured: tally.unmeasured,
        stale: tally.stale,
        age_ms: spread(&tally.age_ms, 1.0),
        error_us: spread(&tally.error_us, 1.0),
        error_percent: spread(&tally.error_ppm, 10_000.0),
    };
    let sheet = |sheet: &Sheet| SheetReport {
        own: tally(&sheet.own),
        others: tally(&sheet.others),
    };
    FiguresReport {
        at_rest: figures.at_rest.as_ref().map(sheet),
        at_end: sheet(&figures.at_end),
    }
}

/// What the scenario sets, as it can be written in another one.
fn tuning(scenario: &Scenario) -> BTreeMap<String, serde_json::Value> {
    let tuned = scenario.tuned.iter();
    tuned
        .map(|(name, value)| {
            let json = match value {
                Value::Time(_) => value.to_string().into(),
                Value::Number(number) if number.fract() == 0.0 => (*number as i64).into(),
                Value::Number(number) => (*number).into(),
            };
            (name.clone(), json)
        })
        .collect()
}

/// Milliseconds with a resolution of a microsecond.
fn ms(time: Time) -> f64 {
    time.as_micros() as f64 / 1000.0
}

fn events(measure: &Measure) -> Vec<EventReport> {
    let marks = measure.marks.iter();
    let since = |later: Option<Time>, at: Time| later.map(|later| ms(later - at));
    let sent = |Sent { all, most, nodes }| SentReport {
        mean: round(all as f64 / nodes.max(1) as f64, 10.0),
        most,
    };
    let record = measure.mean_record();
    marks
        .map(|mark| EventReport {
            at_ms: ms(mark.at),
            what: mark.words.to_string(),
            all_known_after_ms: since(mark.all_known, mark.at),
            all_exact_after_ms: since(mark.all_exact, mark.at),
            stays_exact_after_ms: since(mark.stays_exact, mark.at),
            delays_shown_after_ms: since(mark.delays_shown, mark.at),
            lacked_bytes_a_node: round(mark.lacked.unwrap_or_default() * record, 10.0),
            sent_until_exact: mark.sent_until_exact.map(sent),
            sent_until_it_stays: mark.sent_until_it_stays.map(sent),
        })
        .collect()
}

fn times(all: &[Time]) -> Times {
    let mut sorted: Vec<f64> = all.iter().map(|time| ms(*time)).collect();
    sorted.sort_by(f64::total_cmp);
    Times {
        count: sorted.len(),
        median_ms: median(&sorted),
        p99_ms: sorted
            .get(rank(sorted.len(), 0.99))
            .copied()
            .unwrap_or_default(),
        max_ms: sorted.last().copied().unwrap_or_default(),
    }
}

/// The middle of sorted values, or the mean of the two in the middle; 0 if there are none.
fn median(sorted: &[f64]) -> f64 {
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    sorted
        .get(high)
        .map_or(0.0, |value| f64::midpoint(sorted[low], *value))
}

/// The place, among so many sorted values, of the least one that this share of them does not exceed.
fn rank(count: usize, share: f64) -> usize {
    ((count as f64 * share).ceil() as usize).saturating_sub(1)
}

/// The samples, reduced to what a curve can show: the worst of neighbouring samples is kept, and the last one always.
fn awareness(measure: &Measure) -> Vec<Awareness> {
    let samples = &measure.samples;
    let step = samples.len().div_ceil(POINTS).max(1);
    let share = |part: f64, whole: f64| if whole == 0.0 { 1.0 } else { part / whole };
    let exact = |sample: &Sample| share(sample.standing.exact as f64, sample.standing.up as f64);
    let worst = |group: &[Sample]| {
        let by_exact = |a: &&Sample, b: &&Sample| exact(a).total_cmp(&exact(b));
        group.iter().min_by(by_exact).copied()
    };
    let mut kept: Vec<Sample> = samples.chunks(step).filter_map(worst).collect();
    kept.extend(
        samples
            .last()
            .filter(|last| Some(*last) != kept.last())
            .copied(),
    );
    let mut before = (0, 0);
    kept.iter()
        .map(|sample| {
            let standing = &sample.standing;
            let since = std::mem::replace(&mut before, (sample.bytes, sample.node_ns));
            Awareness {
                at_ms: ms(sample.at),
                up: standing.up,
                known: round(share(standing.known as f64, standing.pairs as f64), 1e6),
                wrong: standing.wrong,
                exact: round(exact(sample), 1e6),
                bytes_per_s: rate(since, before),
            }
        })
        .collect()
}

/// Bytes per node and second between two samples of bytes and ns.
fn rate(from: (u64, u128), to: (u64, u128)) -> f64 {
    let ns = (to.1 - from.1).max(1);
    round((to.0 - from.0) as f64 * 1e9 / ns as f64, 10.0)
}

/// The views at the end, and the traffic of the last seconds.
fn at_end(measure: &Measure, awareness: &[Awareness]) -> Awareness {
    let Some((last, end)) = measure.samples.last().zip(awareness.last()) else {
        return Awareness::default();
    };
    let before = measure
        .samples
        .iter()
        .rev()
        .find(|one| one.at + LAST <= last.at);
    let since = before.map_or((0, 0), |one| (one.bytes, one.node_ns));
    Awareness {
        bytes_per_s: rate(since, (last.bytes, last.node_ns)),
        ..*end
    }
}

fn round(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}

fn traffic(measure: &Measure, world: &World) -> TrafficReport {
    let sum = total(world);
    let (all, idle) = measure.bytes_per_s();
    let each = each(measure, world);
    let over_median = |rate: Option<&f64>| {
        rate.map_or(1.0, |rate| {
            round(rate / median(&each).max(f64::MIN_POSITIVE), 100.0)
        })
    };
    TrafficReport {
        bytes_per_s: round(all, 10.0),
        idle_bytes_per_s: idle.map(|idle| round(idle, 10.0)),
        bytes: sum.bytes,
        record_share: round(sum.record_bytes as f64 / sum.bytes.max(1) as f64, 1000.0),
        copies: round(
            sum.records_in as f64 / measure.wanted_copies.max(1) as f64,
            1000.0,
        ),
        messages: sum.messages,
        probes: sum.probes,
        dials: sum.dials,
        p99_over_median: over_median(each.get(rank(each.len(), 0.99))),
        busiest_over_median: over_median(each.last()),
    }
}

/// What each node sent in each second that it ran, in order. Nodes that ran for less than half as long as others are left out: a start costs much.
fn each(measure: &Measure, world: &World) -> Vec<f64> {
    let longest = measure.lived.iter().max().copied().unwrap_or_default();
    let nodes = world.nodes.iter().zip(&measure.lived);
    let nodes = nodes.filter(|(_, lived)| !lived.is_zero() && **lived * 2 >= longest);
    let mut each: Vec<f64> = nodes
        .map(|(node, lived)| node.traffic.bytes as f64 / lived.as_secs_f64())
        .collect();
    each.sort_by(f64::total_cmp);
    each
}

/// Links that both ends list in their own newest records.
fn graph(world: &World) -> Graph {
    let up: Vec<usize> = world.running().collect();
    let mut short: Vec<_> = up
        .iter()
        .map(|&place| (world.nodes[place].id().abbreviated(), place))
        .collect();
    short.sort_unstable();
    let mut links = Vec::new();
    for &place in &up {
        let node = &world.nodes[place];
        let Some(own) = node.own() else { continue };
        for link in &own.body().links {
            let Ok(at) = short.binary_search_by(|(id, _)| id.cmp(&link.peer)) else {
                continue;
            };
            let other = short[at].1;
            let back = world.nodes[other].own();
            let mutual = back.is_some_and(|back| own.lists(back) && back.lists(own));
            if link.direction == Direction::Dialer && mutual {
                links.push((place, other, link.rtt_us));
            }
        }
    }
    Graph { up, links }
}

fn degree(graph: &Graph, nodes: usize) -> DegreeReport {
    let mut count = vec![0_usize; nodes];
    for (a, b, _) in &graph.links {
        count[*a] += 1;
        count[*b] += 1;
    }
    let mut of: Vec<usize> = graph.up.iter().map(|&place| count[place]).collect();
    of.sort_unstable();
    let (Some(&min), Some(&max)) = (of.first(), of.last()) else {
        return DegreeReport::default();
    };
    let mut histogram = vec![0; max + 1];
    for degree in &of {
        histogram[*degree] += 1;
    }
    DegreeReport {
        min,
        median: of[rank(of.len(), 0.5)],
        p99: of[rank(of.len(), 0.99)],
        max,
        histogram,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_are_those_of_small_lists() {
        let seconds = |all: &[u64]| {
            let all: Vec<Time> = all.iter().map(|s| Time::from_secs(*s)).collect();
            let Times {
                count,
                median_ms,
                p99_ms,
                max_ms,
            } = times(&all);
            (count, median_ms / 1000.0, p99_ms / 1000.0, max_ms / 1000.0)
        };
        assert_eq!(seconds(&[]), (0, 0.0, 0.0, 0.0));
        assert_eq!(seconds(&[7]), (1, 7.0, 7.0, 7.0));
        assert_eq!(seconds(&[4, 2]), (2, 3.0, 4.0, 4.0));
        assert_eq!(seconds(&[9, 1, 2]), (3, 2.0, 9.0, 9.0));
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(seconds(&hundred), (100, 50.5, 99.0, 100.0));
    }
}
