//! Finds the first line in which two outputs differ.

use std::fmt;
use std::io::{self, BufRead};

/// The most characters of a line that are shown, because a log line may contain a whole message.
const SHOWN: usize = 400;

/// The first difference between two outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The line's number, from 1.
    pub(crate) line: u64,
    /// That line of the first output, or `None` past its end.
    pub(crate) before: Option<String>,
    /// That line of the second output, or `None` past its end.
    pub(crate) after: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |line: &Option<String>| match line {
            Some(line) => line.clone(),
            None => "(no such line)".to_owned(),
        };
        write!(
            f,
            "line {}\n  before: {}\n  after:  {}",
            self.line,
            shown(&self.before),
            shown(&self.after)
        )
    }
}

/// Returns the first difference, or `None` if both are equal to the byte.
///
/// # Errors
/// It fails if one of them can't be read.
pub(crate) fn first_difference(
    mut before: impl BufRead,
    mut after: impl BufRead,
) -> io::Result<Option<Difference>> {
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for line in 1.. {
        one.clear();
        other.clear();
        before.read_until(b'\n', &mut one)?;
        after.read_until(b'\n', &mut other)?;
        if one != other {
            return Ok(Some(Difference {
                line,
                before: shown(&one, &other),
                after: shown(&other, &one),
            }));
        }
        if one.is_empty() {
            break;
        }
    }
    Ok(None)
}

/// Returns the line in readable form, from a little before the place where it differs from `other`.
fn shown(line: &[u8], other: &[u8]) -> Option<String> {
    if line.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(line);
    // The line ending is shown, because it may be the only difference.
    let text = text.escape_debug().to_string().replace("\\\"", "\"");
    let parts = line.iter().zip(other).take_while(|(a, b)| a == b).count();
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= SHOWN {
        return Some(text);
    }
    let from = parts.saturating_sub(SHOWN / 2).min(letters.len() - SHOWN);
    let until = from + SHOWN;
    let before = if from > 0 { "…" } else { "" };
    let after = if until < letters.len() { "…" } else { "" };
    let part: String = letters[from..until].iter().collect();
    Some(format!("{before}{part}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(before: &str, after: &str) -> Option<Difference> {
        first_difference(before.as_bytes(), after.as_bytes()).unwrap()
    }

    fn differs(before: &str, after: &str) -> (u64, Option<String>, Option<String>) {
        let found = compare(before, after).expect("they differ");
        (found.line, found.before, found.after)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn equal_outputs_have_no_difference() {
        assert_eq!(compare("", ""), None);
        assert_eq!(compare("a\nb\n", "a\nb\n"), None);
        assert_eq!(compare("a\nb", "a\nb"), None);
    }

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(
            differs("a\nb\nc\n", "a\nx\ny\n"),
            (2, some("b\\n"), some("x\\n"))
        );
    }

    #[test]
    fn an_output_that_is_longer_differs() {
        assert_eq!(differs("a\n", "a\nb\n"), (2, None, some("b\\n")));
        assert_eq!(differs("a\nb\n", "a\n"), (2, some("b\\n"), None));
        assert_eq!(differs("", "a\n"), (1, None, some("a\\n")));
    }

    #[test]
    fn the_end_of_the_last_line_counts() {
        assert_eq!(differs("a\nb\n", "a\nb"), (2, some("b\\n"), some("b")));
        assert_eq!(differs("a\r\n", "a\n"), (1, some("a\\r\\n"), some("a\\n")));
    }

    #[test]
    fn bytes_that_are_no_text_differ_too() {
        let found = first_difference(&b"\xff\n"[..], &b"\xfe\n"[..]).unwrap();
        assert_eq!(found.map(|found| found.line), Some(1));
    }

    #[test]
    fn a_long_line_is_shown_where_it_differs() {
        let long = "x".repeat(10_000);
        let (_, before, after) = differs(&format!("{long}a{long}\n"), &format!("{long}b{long}\n"));
        let (before, after) = (before.unwrap(), after.unwrap());
        assert!(before.contains("xax") && after.contains("xbx"), "{before}");
        assert!(before.chars().count() <= SHOWN + 2);
    }

    #[test]
    fn the_message_shows_both_lines() {
        let found = compare("a\nb\n", "a\n").unwrap();
        let words = "line 2\n  before: b\\n\n  after:  (no such line)";
        assert_eq!(found.to_string(), words);
    }
}
