//! What was promised and what came of it, as a table.

use crate::lab::verdict::Verdict;

/// A scenario that was played.
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: String,
    /// Where it was played.
    pub(crate) place: &'static str,
    /// One for each promise.
    pub(crate) verdicts: Vec<Verdict>,
    /// Why it could not be brought to its end.
    pub(crate) failure: Option<String>,
}

impl Row {
    /// Whether it went through, and every promise was held.
    pub(crate) fn good(&self) -> bool {
        self.failure.is_none()
            && self
                .verdicts
                .iter()
                .all(|verdict| verdict.held != Some(false))
    }
}

/// The head of the table.
pub(crate) const HEAD: &str =
    "| scenario | promised | measured | held |\n| --- | --- | --- | --- |\n";

/// One scenario's lines of the table, in Markdown.
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

/// The last line.
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
