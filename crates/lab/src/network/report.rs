//! The tables and the file with every figure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use crate::network::figures::{Bar, Figure, median};
use crate::shared::cluster::Plan;

/// The outcome of one run.
pub(crate) struct Outcome {
    /// Its number among the runs of its scenario, from 0.
    pub(crate) run: usize,
    /// Its random seed.
    pub(crate) seed: u64,
    /// The figures that were measured until it ended or failed.
    pub(crate) figures: BTreeMap<Figure, f64>,
    /// Why it failed. It passed if this is empty.
    pub(crate) problems: Vec<String>,
}

/// All runs of one plan.
pub(crate) struct Scenario {
    /// Its title.
    pub(crate) title: String,
    /// Which nodes run, and the targets that each was given.
    pub(crate) plan: Plan,
    /// Its runs.
    pub(crate) outcomes: Vec<Outcome>,
}

/// A line of a table.
struct Line {
    figure: Figure,
    bar: Bar,
    median: f64,
    worst: f64,
    runs: usize,
    held: Option<bool>,
}

impl Scenario {
    /// Returns how many runs broke a rule or did not finish.
    pub(crate) fn failed(&self) -> usize {
        self.outcomes
            .iter()
            .filter(|outcome| !outcome.problems.is_empty())
            .count()
    }

    /// Returns how many limits were kept and how many were exceeded.
    pub(crate) fn bars(&self) -> (usize, usize) {
        let lines = self.lines();
        let count = |held| lines.iter().filter(|line| line.held == Some(held)).count();
        (count(true), count(false))
    }

    fn lines(&self) -> Vec<Line> {
        let figures: BTreeSet<Figure> = self
            .outcomes
            .iter()
            .flat_map(|outcome| outcome.figures.keys().copied())
            .collect();
        let line = |figure: Figure| {
            let values: Vec<f64> = self
                .outcomes
                .iter()
                .filter_map(|outcome| outcome.figures.get(&figure).copied())
                .collect();
            let (bar, median) = (Bar::of(figure, self.plan), median(&values));
            let extreme = if figure.more_is_better() {
                f64::min
            } else {
                f64::max
            };
            let worst = values.iter().copied().reduce(extreme).unwrap_or(f64::NAN);
            Line {
                figure,
                bar,
                median,
                worst,
                runs: values.len(),
                held: bar.held(median, worst),
            }
        };
        figures.into_iter().map(line).collect()
    }

    /// Returns the table in Markdown, followed by the failed runs.
    pub(crate) fn markdown(&self) -> Result<String> {
        let mut text = String::new();
        let (failed, runs) = (self.failed(), self.outcomes.len());
        writeln!(text, "\n## {}: {runs} runs, {failed} failed\n", self.title)?;
        writeln!(
            text,
            "| figure | bar | median | worst | runs | |\n|---|---|---|---|---|---|"
        )?;
        for line in self.lines() {
            let held = line
                .held
                .map_or("", |held| if held { "held" } else { "**missed**" });
            writeln!(
                text,
                "| {}{} | {} | {} | {} | {} | {held} |",
                line.figure.name,
                if line.figure.unit.is_empty() {
                    String::new()
                } else {
                    format!(", {}", line.figure.unit)
                },
                bar_text(line.bar),
                number(line.median),
                number(line.worst),
                line.runs,
            )?;
        }
        for outcome in self
            .outcomes
            .iter()
            .filter(|outcome| !outcome.problems.is_empty())
        {
            writeln!(
                text,
                "\nRun {} (seed {}) failed:",
                outcome.run, outcome.seed
            )?;
            for problem in &outcome.problems {
                writeln!(text, "- {}", problem.trim_end())?;
            }
        }
        Ok(text)
    }

    /// Returns the whole scenario as JSON.
    pub(crate) fn json(&self) -> Value {
        let runs: Vec<Value> = self
            .outcomes
            .iter()
            .map(|outcome| {
                let figures: BTreeMap<&str, f64> = outcome
                    .figures
                    .iter()
                    .map(|(figure, value)| (figure.name, *value))
                    .collect();
                json!({
                    "run": outcome.run,
                    "seed": outcome.seed,
                    "problems": outcome.problems,
                    "figures": figures,
                })
            })
            .collect();
        let summary: Vec<Value> = self
            .lines()
            .iter()
            .map(|line| {
                json!({
                    "figure": line.figure.name,
                    "unit": line.figure.unit,
                    "bar_median": line.bar.median,
                    "bar_worst": line.bar.worst,
                    "median": line.median,
                    "worst": line.worst,
                    "runs": line.runs,
                    "held": line.held,
                })
            })
            .collect();
        json!({
            "title": self.title,
            "nodes": self.plan.nodes(),
            "failed": self.failed(),
            "summary": summary,
            "runs": runs,
        })
    }
}

fn bar_text(bar: Bar) -> String {
    match (bar.median, bar.worst) {
        (None, None) => String::new(),
        (Some(median), None) => format!("{median}"),
        (Some(median), Some(worst)) => format!("{median}, worst {worst}"),
        (None, Some(worst)) => format!("worst {worst}"),
    }
}

/// Formats a value with three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
