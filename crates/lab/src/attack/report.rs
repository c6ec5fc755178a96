//! The tables of what was measured, with the verdicts beside the figures.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use super::Attack;
use super::bars::{Bar, name};
use super::conditions::PHASE_LIMIT;
use super::outcome::Outcome;
use crate::network::median;

/// The columns of the table of all attacks: the figure, and its heading.
const COLUMNS: [(&str, &str); 15] = [
    (name::CPU_VICTIM, "CPU victim"),
    (name::CPU_OTHERS, "CPU others"),
    (name::RSS_VICTIM, "MiB victim"),
    (name::RSS_OTHERS, "MiB others"),
    (name::FILE, "network.json MB"),
    (name::LOG, "log kB"),
    (name::DEATH, "death s"),
    (name::NEWCOMER, "newcomer s"),
    (name::NEWCOMER_AFTER, "after s"),
    (name::ENDED, "ended"),
    (name::LINKS_LOST, "links lost"),
    (name::FALSE_DOWN, "false down"),
    (name::RTT, "RTT ms"),
    (name::STRANGERS, "invented"),
    (name::CLOSED, "closed"),
];

type Results = [(&'static Attack, Vec<Outcome>)];

/// A bar with what was measured.
struct Judged {
    bar: Bar,
    median: f64,
    worst: f64,
    held: bool,
}

/// Whether every run could be made, and in the short form whether every bar on behaviour held.
pub(crate) fn is_good(results: &Results, short: bool) -> bool {
    results.iter().all(|(attack, outcomes)| {
        let made = outcomes.iter().all(|outcome| outcome.failure.is_none());
        made && (!short || judge(attack, outcomes, true).iter().all(|one| one.held))
    })
}

/// The tables in Markdown.
pub(crate) fn tables(results: &Results, short: bool) -> Result<String> {
    let mut text = String::new();
    let heads: Vec<&str> = COLUMNS.iter().map(|(_, head)| *head).collect();
    writeln!(text, "| attack | {} |", heads.join(" | "))?;
    writeln!(text, "|---{}|", "|---".repeat(COLUMNS.len()))?;
    for (attack, outcomes) in results {
        let cells: Vec<String> = COLUMNS
            .iter()
            .map(|(figure, _)| cell(&values(outcomes, figure)))
            .collect();
        writeln!(text, "| {} | {} |", attack.name, cells.join(" | "))?;
    }
    writeln!(
        text,
        "\nMedians; in parentheses the least and the most of several runs."
    )?;
    writeln!(
        text,
        "\n| attack | figure | must be | measured | held |\n|---|---|---|---|---|"
    )?;
    let (mut held, mut missed) = (0, 0);
    for (attack, outcomes) in results {
        for failure in outcomes
            .iter()
            .filter_map(|outcome| outcome.failure.as_ref())
        {
            writeln!(
                text,
                "| {} | it can be made | | {failure} | **no** |",
                attack.name
            )?;
        }
        for (node, why) in outcomes.iter().flat_map(|outcome| &outcome.ended) {
            writeln!(text, "| {} | {node} ended | | {why} | |", attack.name)?;
        }
        for one in judge(attack, outcomes, short) {
            *(if one.held { &mut held } else { &mut missed }) += 1;
            writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                attack.name,
                one.bar.figure,
                number(one.bar.at_most),
                both(one.median, one.worst, one.bar.figure),
                if one.held { "yes" } else { "**no**" }
            )?;
        }
    }
    writeln!(
        text,
        "\n| attack | further figures | rejected, at most by one node | events, all nodes | the attacker |\n|---|---|---|---|---|"
    )?;
    for (attack, outcomes) in results {
        let Some(last) = outcomes.last() else {
            continue;
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            attack.name,
            further(attack, outcomes),
            counts(
                last.rejected
                    .iter()
                    .map(|(name, count)| (name, *count as f64))
            ),
            counts(
                last.events
                    .iter()
                    .map(|(name, count)| (name, *count as f64))
            ),
            counts(last.deeds.iter().map(|(name, count)| (name, *count)))
        )?;
    }
    writeln!(text, "\n{held} bars held, {missed} missed")?;
    Ok(text)
}

/// Every figure of every run.
pub(crate) fn json(results: &Results) -> Result<String> {
    let all: Vec<Value> = results
        .iter()
        .map(|(attack, outcomes)| {
            let runs: Vec<Value> = outcomes.iter().map(run).collect();
            let bars: Vec<Value> = judge(attack, outcomes, false)
                .iter()
                .map(|one| {
                    json!({
                        "figure": one.bar.figure,
                        "at_most": one.bar.at_most,
                        "median": one.median,
                        "worst": one.worst,
                        "held": one.held,
                    })
                })
                .collect();
            json!({ "attack": attack.name, "title": attack.title, "bars": bars, "runs": runs })
        })
        .collect();
    Ok(serde_json::to_string_pretty(&all)?)
}

fn run(outcome: &Outcome) -> Value {
    json!({
        "seed": outcome.seed,
        "failure": outcome.failure,
        "figures": outcome.figures,
        "rejected": outcome.rejected,
        "events": outcome.events,
        "ended": outcome.ended,
        "attacker": outcome.deeds,
    })
}

fn judge(attack: &Attack, outcomes: &[Outcome], short: bool) -> Vec<Judged> {
    let bars = attack.all_bars().into_iter();
    let judged = bars.filter(|bar| bar.always || !short).filter_map(|bar| {
        let values = values(outcomes, bar.figure);
        let worst = values.iter().copied().reduce(f64::max)?;
        let median = median(&values);
        Some(Judged {
            bar,
            median,
            worst,
            held: median <= bar.at_most,
        })
    });
    judged.collect()
}

fn values(outcomes: &[Outcome], figure: &str) -> Vec<f64> {
    let values = outcomes
        .iter()
        .filter_map(|outcome| outcome.figures.get(figure));
    values.copied().collect()
}

fn cell(values: &[f64]) -> String {
    let least = values.iter().copied().reduce(f64::min);
    let most = values.iter().copied().reduce(f64::max);
    match least.zip(most) {
        None => String::new(),
        Some((least, most)) if number(least) == number(most) => number(most),
        Some((least, most)) => {
            format!(
                "{} ({}–{})",
                number(median(values)),
                number(least),
                number(most)
            )
        }
    }
}

fn both(median: f64, worst: f64, figure: &str) -> String {
    let limit = PHASE_LIMIT.as_secs_f64();
    let never = figure.ends_with(", s") && median >= limit;
    let over = if never { "not within " } else { "" };
    if number(median) == number(worst) {
        format!("{over}{}", number(median))
    } else {
        format!("{over}{}, worst {}", number(median), number(worst))
    }
}

/// The figures that have no column.
fn further(attack: &Attack, outcomes: &[Outcome]) -> String {
    let judged: BTreeSet<&str> = attack.bars.iter().map(|bar| bar.figure).collect();
    let columns: BTreeSet<&str> = COLUMNS.iter().map(|(figure, _)| *figure).collect();
    let names: BTreeSet<&String> = outcomes.iter().flat_map(|one| one.figures.keys()).collect();
    let left = names
        .into_iter()
        .filter(|name| !columns.contains(name.as_str()) && !judged.contains(name.as_str()));
    let left: BTreeMap<&String, f64> = left
        .map(|figure| (figure, median(&values(outcomes, figure))))
        .filter(|(_, value)| *value != 0.0)
        .collect();
    counts(left.into_iter())
}

fn counts<'a>(counts: impl Iterator<Item = (&'a String, f64)>) -> String {
    let all: Vec<String> = counts
        .map(|(name, count)| format!("{name} {}", number(count)))
        .collect();
    all.join("; ")
}

/// A value with three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
