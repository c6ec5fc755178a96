//! Numbers and texts in a readable form.

use std::fmt::Write as _;

/// A time in a readable unit.
pub(super) fn time(ms: f64) -> String {
    let mut text = String::new();
    let write = |text: &mut String| {
        if ms < 1000.0 {
            write!(text, "{} ms", ms.round())
        } else if ms < 120_000.0 {
            write!(text, "{:.1} s", ms / 1000.0)
        } else {
            write!(text, "{:.1} min", ms / 60_000.0)
        }
    };
    write(&mut text).expect("a String takes every write");
    text
}

/// An amount in a readable unit.
pub(super) fn bytes(bytes: f64) -> String {
    match bytes {
        small if small < 10_000.0 => format!("{small:.0} B"),
        middle if middle < 10_000_000.0 => format!("{:.0} kB", middle / 1000.0),
        large => format!("{:.1} MB", large / 1e6),
    }
}

/// Two decimals, rounded down: never 100 if anything is missing.
pub(super) fn percent(share: f64) -> String {
    let percent = (share * 10_000.0).floor() / 100.0;
    percent.to_string()
}

pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most - 1).collect();
    format!("{kept}…")
}
