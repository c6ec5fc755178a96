//! Fills in the report of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::toll;
use super::{
    Awareness, DegreeReport, EventReport, FORMAT, FiguresReport, Graph, Report, SentReport,
    SheetReport, SpreadReport, TallyReport, Times, TrafficReport, ViolationReport,
};
use crate::membership::{Time, Value};
use crate::record::Direction;
use crate::sim::figures::{Figures, Sheet, Spread, Tally};
use crate::sim::measure::{Measure, Sample, Sent, total};
use crate::sim::play::Ended;
use crate::sim::scenario::Scenario;
use crate::sim::world::World;

/// The most points of a curve.
const POINTS: usize = 400;
/// The traffic at the end is that of so much time. Half of it holds few probes of a node; twice as much is less of the end.
const LAST: Duration = Duration::from_secs(10);

impl Report {
    /// The report of a run.
    #[must_use]
    pub fn new(scenario: &Scenario, ended: &Ended, measure: &Measure, world: &World) -> Self {
        let graph = graph(world, scenario.nodes);
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
            degree: degree(&graph, scenario.nodes),
            figures: figures(&measure.figures),
            attacks: measure.toll.as_ref().map(|toll| toll::fill(toll, world)),
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
    let sum = total(world, measure.honest);
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

/// The bytes a second that each node sent during its run, in ascending order. Nodes that ran for less than half as long as others
/// are left out, since a start costs much.
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

/// Links between honest nodes, which are so many, that both ends list in their own newest records.
fn graph(world: &World, honest: usize) -> Graph {
    let up: Vec<usize> = world.running().filter(|place| *place < honest).collect();
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
