//! Text that does nothing to a terminal, and lines that stay one.
//!
//! Labels of nodes, reasons that peers give and contents of files reach the log and error messages. A control character could
//! move the cursor or begin a line that nobody wrote, and one that changes the direction of text could make it read otherwise.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The beginning of a colour, and all that it may contain (ECMA-48, SGR).
const COLOUR: &str = "\x1b[";

/// A finished line of the log, with its line break. What is no plain text in it is shown as in Rust, `\u{1b}`, which JSON's readers
/// don't meet: a JSON line has escaped it already, except for characters above ASCII, which are shown as JSON does. `colours`:
/// the line is coloured, and colours stay.
pub(super) fn line(line: &[u8], colours: bool) -> Cow<'_, [u8]> {
    let end = line.len() - usize::from(line.ends_with(b"\n"));
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~');
    if line[..end].iter().all(is_plain) {
        return line.into();
    }
    let text = String::from_utf8_lossy(&line[..end]);
    let is_json = text
        .trim_start_matches(|it| matches!(it, '<' | '>' | '0'..='9'))
        .starts_with('{');
    let mut shown = String::with_capacity(line.len() + 16);
    let mut rest = &*text;
    while let Some(letter) = rest.chars().next() {
        if colours && let Some(colour) = colour(rest) {
            shown.push_str(&rest[..colour]);
            rest = &rest[colour..];
            continue;
        }
        rest = &rest[letter.len_utf8()..];
        match letter {
            _ if !is_active(letter) => shown.push(letter),
            _ if is_json => write!(shown, "\\u{:04x}", u32::from(letter)).expect(INFALLIBLE),
            _ => write!(shown, "{}", letter.escape_unicode()).expect(INFALLIBLE),
        }
    }
    let mut shown = shown.into_bytes();
    shown.extend(&line[end..]);
    shown.into()
}

const INFALLIBLE: &str = "a write to a String can't fail";

/// The length of the colour with which a text begins.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix(COLOUR)?;
    let end = parameters.find(|it: char| !it.is_ascii_digit() && it != ';')?;
    parameters[end..]
        .starts_with('m')
        .then_some(COLOUR.len() + end + 1)
}

/// An error message, which may have several lines.
#[must_use]
pub fn message(text: &str) -> Cow<'_, str> {
    if !text
        .chars()
        .any(|letter| letter != '\n' && is_active(letter))
    {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if letter != '\n' && is_active(letter) {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    shown.into()
}

/// Whether a terminal may do more with a character than show it: controls, line and paragraph separators, and what changes the
/// direction of text. All are in Unicode's first plane, so four digits suffice.
fn is_active(letter: char) -> bool {
    let separates = matches!(letter, '\u{2028}' | '\u{2029}');
    let directs = matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter.is_control() || separates || directs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str, colours: bool) -> String {
        String::from_utf8(line(text.as_bytes(), colours).into_owned()).unwrap()
    }

    #[test]
    fn nothing_in_a_line_does_anything() {
        for plain in ["a=1\n", "zoë ✓ 日本 👩‍🚀\n", "no end", "\n", ""] {
            assert_eq!(shown(plain, false), plain);
        }
        for (text, line) in [
            ("a\nb\n", "a\\u{a}b\n"),
            ("a\r\u{1b}[2J\n", "a\\u{d}\\u{1b}[2J\n"),
            ("\u{9b}31m\u{202e}x", "\\u{9b}31m\\u{202e}x"),
            (
                "{\"a\":\"\u{9b}\u{7f}\u{2028}\"}\n",
                "{\"a\":\"\\u009b\\u007f\\u2028\"}\n",
            ),
            ("<4>{\"a\":\"\u{9b}\"}\n", "<4>{\"a\":\"\\u009b\"}\n"),
        ] {
            assert_eq!(shown(text, false), line);
        }
        assert_eq!(line(b"\xff\n", false), "\u{fffd}\n".as_bytes());
    }

    #[test]
    fn colours_stay_where_there_are_some() {
        let text = "\u{1b}[2m08:05\u{1b}[0m \u{1b}[1;32mx\u{1b}[0m\n";
        assert_eq!(shown(text, true), text);
        assert!(!shown(text, false).contains('\u{1b}'));
        for other in ["\u{1b}[2J", "\u{1b}]0;x\u{7}", "\u{1b}[", "\u{1b}[3"] {
            assert!(!shown(other, true).contains('\u{1b}'), "{other:?}");
        }
    }

    #[test]
    fn a_message_keeps_its_lines() {
        assert_eq!(message("a\n  b"), "a\n  b");
        assert_eq!(message("a\n\u{1b}b\t"), "a\n\\u{1b}b\\u{9}");
    }

    proptest! {
        #[test]
        fn a_json_line_means_what_it_meant(text in any::<String>()) {
            let json = serde_json::json!({ "message": text });
            let line = shown(&format!("{json}\n"), false);
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), json);
            prop_assert!(!line.trim_end_matches('\n').chars().any(is_active));
        }
    }
}
