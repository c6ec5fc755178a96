//! What can be wrong with a scenario's file: the file, the line, what it says, and the nearest word that is valid.

use std::path::PathBuf;

/// A scenario that can't be run as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadScenario {
    /// The file can't be read.
    #[error("can't read {}: {source}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing of that name ships, and it is no file.
    #[error(
        "there is no scenario `{name}`{hint}; --list shows them, and a path names a file of your own"
    )]
    Unknown {
        /// As it was given.
        name: String,
        /// The nearest there is.
        hint: String,
    },
    /// Something in the file is wrong.
    #[error("{}, line {line}: {what}", file.display())]
    Wrong {
        /// Which.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What, in words.
        what: String,
    },
}

/// `; did you mean …?`, with the nearest of the valid words.
pub(crate) fn nearest<'a>(word: &str, valid: impl IntoIterator<Item = &'a str>) -> String {
    valid
        .into_iter()
        .min_by_key(|valid| strsim::damerau_levenshtein(word, valid))
        .map_or_else(String::new, |valid| format!("; did you mean `{valid}`?"))
}

/// The line on which the byte at `offset` is, counted from 1.
pub(crate) fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// What serde says of an unknown word, with the nearest valid one first.
pub(crate) fn explain(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown ") else {
        return message.to_owned();
    };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let Some(word) = quoted.next() else {
        return message.to_owned();
    };
    let valid: Vec<&str> = quoted.collect();
    let hint = nearest(word, valid.iter().copied());
    format!(
        "there is no `{word}` here{hint} (there is: {})",
        valid.join(", ")
    )
}
