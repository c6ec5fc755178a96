//! Text for a terminal: harmless, as wide as it says, and short.

use unicode_width::UnicodeWidthStr as _;

use crate::answers::Who;

/// A text from elsewhere, such as a label, as one line that can do nothing to a terminal. Control characters, bidirectional controls,
/// characters without a width that imitate other texts, and noncharacters become U+FFFD. What joins and varies emojis stays.
pub(crate) fn clean(text: &str) -> String {
    let harmless = |letter: char| {
        if is_deceptive(letter) {
            char::REPLACEMENT_CHARACTER
        } else {
            letter
        }
    };
    text.chars().map(harmless).collect()
}

fn is_deceptive(letter: char) -> bool {
    let code = u32::from(letter);
    letter.is_control()
        || matches!(code,
            0x00ad | 0x034f | 0x061c | 0x115f | 0x1160 | 0x180e | 0x200b | 0x200c | 0x200e | 0x200f
            | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfdd0..=0xfdef | 0xfeff | 0xffa0
            | 0xfff9..=0xfffb | 0xe0000..=0xe0fff)
        || code & 0xfffe == 0xfffe
}

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text, or its beginning and `…`, within `most` columns.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let Some(room) = most.checked_sub(1) else {
        return String::new();
    };
    let mut end = 0;
    for (at, letter) in text.char_indices() {
        let next = at + letter.len_utf8();
        // The width of the whole beginning: joined characters are narrower than their parts.
        if width(&text[..next]) > room {
            break;
        }
        end = next;
    }
    format!("{}…", &text[..end])
}

/// The beginning of an id, as the log shows it.
pub(super) fn short(id: &str) -> String {
    clean(&id.chars().take(10).collect::<String>())
}

/// A node's label; the beginning of its id if the label shows nothing.
pub(crate) fn label(label: &str, id: &str) -> String {
    let text = clean(label);
    if text.trim().is_empty() || width(&text) == 0 {
        short(id)
    } else {
        text
    }
}

/// A node by its label.
pub(super) fn name(who: &Who) -> String {
    label(&who.label, &who.id)
}

/// A round-trip time. The unit is always ms, with µs as its decimals, so that a column can be compared by eye and sorted by `sort -n`.
pub(crate) fn rtt(us: u64) -> String {
    format!("{}.{:03} ms", us / 1000, us % 1000)
}

/// A number and its noun.
pub(crate) fn count(number: usize, one: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {one}s")
    }
}

/// Bytes, with a unit.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20),
    }
}

/// Breaks a text into lines of at most `most` columns, between words. A longer word stays whole on a line of its own: a terminal wraps
/// it, and it can still be copied.
pub(super) fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hostile_label_is_one_harmless_line() {
        assert_eq!(
            clean("a\u{1b}[31mb\r\nc\u{202e}d\u{9b}"),
            "a\u{fffd}[31mb\u{fffd}\u{fffd}c\u{fffd}d\u{fffd}"
        );
        assert_eq!(clean("bob\u{200b}"), "bob\u{fffd}");
        assert_eq!(clean("zoë 日本 👩‍👩‍👧"), "zoë 日本 👩‍👩‍👧");
        assert_eq!(label(" \u{2003}", "abcdef0123456789"), "abcdef0123");
        assert_eq!(label("x", "abcdef0123456789"), "x");
    }

    #[test]
    fn a_cut_text_takes_the_columns_that_it_may() {
        assert_eq!(cut("carol", 5), "carol");
        assert_eq!(cut("carol", 4), "car…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("carol", 1), "…");
        assert_eq!(cut("carol", 0), "");
    }

    #[test]
    fn figures_are_as_people_write_them() {
        assert_eq!(rtt(52), "0.052 ms");
        assert_eq!(rtt(80_312), "80.312 ms");
        assert_eq!(
            (count(1, "link"), count(2, "link")),
            ("1 link".into(), "2 links".into())
        );
        assert_eq!(bytes(900), "900 B");
        assert_eq!(bytes(8 << 20), "8.0 MiB");
        assert_eq!(bytes(1_300_000), "1.2 MiB");
    }

    #[test]
    fn words_are_wrapped_and_long_ones_stay_whole() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("a 0123456789 b", 4), ["a", "0123456789", "b"]);
        assert_eq!(wrap("", 4), [""]);
    }

    proptest! {
        #[test]
        fn nothing_that_moves_a_cursor_is_left_and_no_cut_is_too_wide(text in any::<String>(), most in 0_usize..20) {
            let clean = clean(&text);
            prop_assert!(!clean.chars().any(char::is_control));
            prop_assert!(width(&cut(&clean, most)) <= most);
        }
    }
}
