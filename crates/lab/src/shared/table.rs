//! Prints promises and verdicts as a table.

use serde::{Deserialize, Serialize};

/// The verdict on one promise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// The promise with its bound.
    pub(crate) promised: String,
    /// A description of the measurement.
    pub(crate) measured: String,
    /// Whether the promise was held. `None` if it can't be judged on this machine.
    pub(crate) held: Option<bool>,
}

impl Verdict {
    /// A verdict.
    pub(crate) fn new(
        promised: impl Into<String>,
        measured: impl Into<String>,
        held: Option<bool>,
    ) -> Self {
        Self {
            promised: promised.into(),
            measured: measured.into(),
            held,
        }
    }
}

/// The result of one scenario.
pub(crate) struct Row {
    /// The scenario's name.
    pub(crate) name: String,
    /// The machine that played it.
    pub(crate) place: &'static str,
    /// One verdict per promise.
    pub(crate) verdicts: Vec<Verdict>,
    /// The reason why it did not run to its end.
    pub(crate) failure: Option<String>,
}

impl Row {
    /// Whether the scenario ran to its end and kept every promise.
    pub(crate) fn good(&self) -> bool {
        self.failure.is_none()
            && self
                .verdicts
                .iter()
                .all(|verdict| verdict.held != Some(false))
    }
}

/// The table's header.
pub(crate) const HEAD: &str =
    "| scenario | promised | measured | held |\n| --- | --- | --- | --- |\n";

/// The table's lines for one scenario, in Markdown.
pub(crate) fn lines(row: &Row) -> String {
    let mut text = String::new();
    let mut line = |promised: &str, measured: &str, held: &str| {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        text.push_str(&format!(
            "| {} ({}) | {} | {} | {held} |\n",
            row.name,
            row.place,
            cell(promised),
            cell(measured)
        ));
    };
    if let Some(failure) = &row.failure {
        line("it can be played", failure, "**FAILED**");
    }
    for verdict in &row.verdicts {
        let held = match verdict.held {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not judged here",
        };
        line(&verdict.promised, &verdict.measured, held);
    }
    text
}

/// The summary line.
pub(crate) fn sum(rows: &[Row]) -> String {
    let count = |held| {
        let verdicts = rows.iter().flat_map(|row| &row.verdicts);
        verdicts
            .filter(|verdict| verdict.held == Some(held))
            .count()
    };
    let failed = rows.iter().filter(|row| row.failure.is_some()).count();
    format!(
        "{} scenarios: {} promises held, {} missed; {failed} scenarios failed",
        rows.len(),
        count(true),
        count(false)
    )
}
