//! What attacks cost honest nodes, as a part of the report.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::words::{bytes, percent, time};
use crate::sim::toll::{Blame, Toll};
use crate::sim::world::{Traffic, World};

/// What attacks cost honest nodes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TollReport {
    /// The attacks in words.
    pub attacks: Vec<String>,
    /// When the first begins.
    pub from_ms: f64,
    /// When the last ends.
    pub until_ms: f64,
    /// Identities of attackers that honest nodes showed as up.
    pub invented: InventedReport,
    /// The most records in the view of an honest node, and the most bytes of records.
    pub most_records: usize,
    /// See `most_records`.
    pub most_record_bytes: usize,
    /// Honest nodes that published an address at which nobody listens.
    pub false_addrs: usize,
    /// Those that did so at the end.
    pub false_addrs_at_end: usize,
    /// The most by which the epoch of an honest node was ahead of its clock.
    pub epoch_ahead_ms: u64,
    /// How many different views honest nodes had at the end.
    pub views_at_end: usize,
    /// Links between two honest nodes that both ran, lost at an end of them since the first attack began.
    pub links_lost: u64,
    /// The fewest links to other honest nodes that an honest node had during the attacks; null if no node was up for long enough.
    pub least_links: Option<usize>,
    /// The least share of the ordered pairs of honest nodes of which the first showed the second during the attacks.
    pub least_known: f64,
    /// What honest nodes sent, received and verified during the attacks.
    pub load: LoadReport,
    /// Dials to addresses at which nobody listens.
    pub stray: StrayReport,
    /// Rejected messages, by the name of the counter.
    pub rejected: BTreeMap<String, BlameReport>,
    /// Connections that honest nodes closed, by the number of the code.
    pub closes: BTreeMap<u32, BlameReport>,
}

/// Identities of attackers that honest nodes showed as up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct InventedReport {
    /// The most at any honest node.
    pub most: usize,
    /// How many honest nodes showed any.
    pub nodes: usize,
    /// For how long at most an honest node showed any.
    pub longest_ms: f64,
    /// The most at any honest node at the end.
    pub at_end: usize,
}

/// Figures of honest nodes during the attacks, each per node and second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LoadReport {
    /// Bytes sent.
    pub sent_bytes: RateReport,
    /// Bytes received.
    pub received_bytes: RateReport,
    /// Control messages sent.
    pub sent_messages: RateReport,
    /// Control messages received.
    pub received_messages: RateReport,
    /// Records received that were newer than the node's: signatures to verify.
    pub new_records: RateReport,
    /// Dials.
    pub dials: RateReport,
}

/// A rate of honest nodes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RateReport {
    /// The mean.
    pub mean: f64,
    /// That of the node with the most.
    pub most: f64,
}

/// Dials to addresses at which nobody listens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StrayReport {
    /// All.
    pub dials: u64,
    /// The most in one second, of all honest nodes together.
    pub most_per_s: u64,
    /// First packets of these dials: each is sent again after a second.
    pub initials: u64,
    /// The most of them in one second.
    pub most_initials_per_s: u64,
}

/// Who is blamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BlameReport {
    /// Honest nodes.
    pub honest: u64,
    /// Byzantine nodes, and identities that they own.
    pub byzantine: u64,
}

/// Fills in the report.
pub(super) fn fill(toll: &Toll, world: &World) -> TollReport {
    let (from, until) = toll.span;
    let span = until.min(world.now()).saturating_sub(from);
    let (most, nodes, longest, at_end) = toll.invented();
    let [(dials, most_per_s), (initials, most_initials_per_s)] = toll.stray();
    let (false_addrs, false_addrs_at_end) = toll.astray();
    let of = |blame: Blame| BlameReport {
        honest: blame.honest,
        byzantine: blame.byzantine,
    };
    let rejected = toll.rejected.iter();
    let closes = toll.closes(world).into_iter();
    TollReport {
        attacks: toll.plans.iter().map(ToString::to_string).collect(),
        from_ms: ms(from),
        until_ms: ms(until),
        invented: InventedReport {
            most,
            nodes,
            longest_ms: ms(longest),
            at_end,
        },
        most_records: toll.most_records,
        most_record_bytes: toll.most_bytes,
        false_addrs,
        false_addrs_at_end,
        epoch_ahead_ms: toll.epoch_ahead_ms,
        views_at_end: toll.views_at_end,
        links_lost: toll.links_lost,
        least_links: toll.least_links,
        least_known: (toll.least_known * 1e6).floor() / 1e6,
        load: LoadReport {
            sent_bytes: rate(toll, span, |one| one.bytes),
            received_bytes: rate(toll, span, |one| one.bytes_in),
            sent_messages: rate(toll, span, |one| one.messages),
            received_messages: rate(toll, span, |one| one.messages_in),
            new_records: rate(toll, span, |one| one.fresh_in),
            dials: rate(toll, span, |one| one.dials),
        },
        stray: StrayReport {
            dials,
            most_per_s,
            initials,
            most_initials_per_s,
        },
        rejected: rejected
            .map(|(name, all)| ((*name).to_owned(), of(*all)))
            .collect(),
        closes: closes.map(|(code, all)| (code, of(all))).collect(),
    }
}

fn rate(toll: &Toll, span: Duration, of: impl Fn(&Traffic) -> u64) -> RateReport {
    let pairs = toll.before.iter().zip(&toll.after);
    let each: Vec<u64> = pairs
        .map(|(before, after)| of(after) - of(before))
        .collect();
    let seconds = span.as_secs_f64().max(1e-3);
    let round = |number: f64| (number * 10.0).round() / 10.0;
    let mean = each.iter().sum::<u64>() as f64 / each.len().max(1) as f64;
    let most = each.iter().max().copied().unwrap_or_default();
    RateReport {
        mean: round(mean / seconds),
        most: round(most as f64 / seconds),
    }
}

fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

/// The rows of the summary, after an empty line.
pub(super) fn rows(report: &TollReport) -> Vec<String> {
    let row = |(what, text): (&str, String)| format!("{what:<34} {text}");
    let harm = harm(report).into_iter().map(row);
    let load = load(&report.load).into_iter().map(row);
    let blame = blame(report).into_iter().map(row);
    let rows = harm.chain(load).chain(blame);
    std::iter::once(String::new()).chain(rows).collect()
}

/// What views showed and lacked.
fn harm(report: &TollReport) -> Vec<(&'static str, String)> {
    let InventedReport {
        most,
        nodes,
        longest_ms,
        at_end,
    } = report.invented;
    let least = report.least_links;
    let least = least.map_or("—".to_owned(), |least| least.to_string());
    vec![
        (
            "attacks",
            format!(
                "{}, from {} to {}",
                report.attacks.join(", "),
                time(report.from_ms),
                time(report.until_ms)
            ),
        ),
        (
            "invented nodes shown as up",
            format!(
                "{most} at most, by {nodes} nodes, for {}; {at_end} at the end",
                time(longest_ms)
            ),
        ),
        (
            "honest nodes",
            format!(
                "{} links with each other lost; {least} at the least; {} % of pairs known",
                report.links_lost,
                percent(report.least_known)
            ),
        ),
        (
            "records in a view",
            format!(
                "{} at most, {}; {} views at the end",
                report.most_records,
                bytes(report.most_record_bytes as f64),
                report.views_at_end
            ),
        ),
        (
            "false addresses, epochs",
            format!(
                "{} nodes published one, {} at the end; {} ms ahead of the clock at most",
                report.false_addrs, report.false_addrs_at_end, report.epoch_ahead_ms
            ),
        ),
    ]
}

/// What a node had to bear.
fn load(load: &LoadReport) -> Vec<(&'static str, String)> {
    let of_bytes = |rate: RateReport| format!("{}; {} at most", bytes(rate.mean), bytes(rate.most));
    let of = |rate: RateReport, what: &str| format!("{} {what}; {} at most", rate.mean, rate.most);
    vec![
        ("sent a node a second", of_bytes(load.sent_bytes)),
        ("received", of_bytes(load.received_bytes)),
        ("sent", of(load.sent_messages, "messages")),
        ("received", of(load.received_messages, "messages")),
        ("signatures to verify", of(load.new_records, "new records")),
        ("begun", of(load.dials, "dials")),
    ]
}

/// Who is dialed and blamed.
fn blame(report: &TollReport) -> Vec<(&'static str, String)> {
    let stray = &report.stray;
    let rejected = report.rejected.iter();
    let closes = report.closes.iter();
    vec![
        (
            "dials to nobody",
            format!(
                "{}, {} in a second at most; {} first packets, {} in a second",
                stray.dials, stray.most_per_s, stray.initials, stray.most_initials_per_s
            ),
        ),
        (
            "rejected",
            blamed(rejected.map(|(name, all)| (name.clone(), *all))),
        ),
        (
            "closed, by code",
            blamed(closes.map(|(code, all)| (code.to_string(), *all))),
        ),
    ]
}

fn blamed(all: impl Iterator<Item = (String, BlameReport)>) -> String {
    let each = all.map(|(name, BlameReport { honest, byzantine })| {
        format!("{name} {} ({honest} of them honest)", honest + byzantine)
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() {
        "none".to_owned()
    } else {
        each.join(", ")
    }
}
