//! Makes text from users and files fit for one line of an error or a log.

use std::fmt::Write as _;

/// The text with control characters escaped and cut after 200 characters, so that it can neither break nor flood a message.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut shown = String::new();
    for (index, letter) in text.chars().enumerate() {
        if index == LONGEST {
            write!(shown, "… ({} bytes)", text.len()).expect("a String takes every write");
            break;
        }
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_can_neither_break_a_message_nor_flood_it() {
        assert_eq!(shown("zoe\n\u{1b}[31m"), "zoe\\n\\u{1b}[31m");
        assert_eq!(
            shown(&"x".repeat(1000)),
            format!("{}… (1000 bytes)", "x".repeat(200))
        );
    }
}
