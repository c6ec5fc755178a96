//! The encoding of files that people write: UTF-8, with or without a byte order mark.
//!
//! Notepad writes the mark, and PowerShell's `>` writes UTF-16. An error about the first character of such a file would not say
//! what is wrong, so the other encodings are recognised and named.

/// The byte order mark in UTF-8.
const MARK: &[u8] = &[0xef, 0xbb, 0xbf];
/// The most bytes that are looked at to recognise an encoding without a mark. Four make one letter of UTF-32; more letters than one
/// make a mistake unlikely.
const SAMPLE: usize = 64;

/// A file in another encoding than UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// Bytes or the lack of them show this encoding.
    #[error("it is in {name}; save it as UTF-8, for example with: iconv -f {name} -t UTF-8")]
    Other {
        /// The name of the encoding, as iconv knows it.
        name: &'static str,
    },
    /// It can't be UTF-8, and is text as far as can be told.
    #[error(
        "it is not in UTF-8: line {line} contains the byte 0x{byte:02x}, as text in Latin-1 or another old encoding does; \
         save it as UTF-8, for example with: iconv -f LATIN1 -t UTF-8"
    )]
    NotUtf8 {
        /// The line, counted from 1.
        line: usize,
        /// The first byte that is wrong.
        byte: u8,
    },
}

/// The text of a file, without a byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Result<&str, EncodingError> {
    let text = bytes.strip_prefix(MARK).unwrap_or(bytes);
    if let Some(name) = wide(bytes) {
        return Err(EncodingError::Other { name });
    }
    std::str::from_utf8(text).map_err(|error| {
        let at = error.valid_up_to();
        let newlines = text[..at].iter().filter(|byte| **byte == b'\n').count();
        EncodingError::NotUtf8 {
            line: newlines + 1,
            byte: text[at],
        }
    })
}

/// Recognises UTF-16 and UTF-32 by their byte order mark, or by the zeros beside each letter of English and of our formats.
fn wide(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] => return Some("UTF-32LE"),
        [0, 0, 0xfe, 0xff, ..] => return Some("UTF-32BE"),
        [0xff, 0xfe, ..] => return Some("UTF-16LE"),
        [0xfe, 0xff, ..] => return Some("UTF-16BE"),
        _ => {}
    }
    let sample = &bytes[..bytes.len().min(SAMPLE)];
    let all = |width: usize, letter: usize| {
        let mut units = sample.chunks_exact(width).peekable();
        units.peek().is_some()
            && units.all(|unit| (0..width).all(|at| (unit[at] != 0) == (at == letter)))
    };
    let forms = [
        ("UTF-32LE", 4, 0),
        ("UTF-32BE", 4, 3),
        ("UTF-16LE", 2, 0),
        ("UTF-16BE", 2, 1),
    ];
    let found = forms
        .into_iter()
        .find(|(_, width, letter)| all(*width, *letter));
    found.map(|(name, ..)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        assert_eq!(decode("\u{feff}[]".as_bytes()), Ok("[]"));
        assert_eq!(decode("zoë".as_bytes()), Ok("zoë"));
        for short in ["", "a", "ab", "\u{feff}"] {
            assert!(decode(short.as_bytes()).is_ok(), "{short:?}");
        }
    }

    #[test]
    fn another_encoding_is_named_with_and_without_a_mark() {
        for text in ["[\"[::1]:8083\"]", "label = \"zoe\"\r\n"] {
            for mark in ["\u{feff}", ""] {
                let text = format!("{mark}{text}");
                let wide16 = || text.encode_utf16();
                let wide32 = || text.chars().map(u32::from);
                for (name, bytes) in [
                    (
                        "UTF-16LE",
                        wide16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(),
                    ),
                    ("UTF-16BE", wide16().flat_map(u16::to_be_bytes).collect()),
                    ("UTF-32LE", wide32().flat_map(u32::to_le_bytes).collect()),
                    ("UTF-32BE", wide32().flat_map(u32::to_be_bytes).collect()),
                ] {
                    assert_eq!(decode(&bytes), Err(EncodingError::Other { name }), "{text}");
                }
            }
        }
    }

    #[test]
    fn latin_1_is_told_by_its_line() {
        let error = decode(b"# no\nlabel = \"zo\xeb\"\n").unwrap_err();
        assert_eq!(
            error,
            EncodingError::NotUtf8 {
                line: 2,
                byte: 0xeb
            }
        );
        let said = error.to_string();
        assert!(
            said.contains("line 2") && said.contains("Latin-1"),
            "{said}"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>) {
            if let Ok(text) = decode(&bytes) {
                assert!(bytes.ends_with(text.as_bytes()));
            }
        }
    }
}
