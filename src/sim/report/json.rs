//! The report as JSON.

use super::Report;

/// The report as JSON, indented, with a newline at its end.
///
/// # Panics
/// Never: the report contains no maps, and no numbers that JSON can't represent.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("the report is plain data");
    text.push('\n');
    text
}
