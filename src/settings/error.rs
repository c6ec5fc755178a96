//! What can be wrong with the settings: one clear sentence each, that names the thing, its value and where it stands.

use std::fmt::{self, Write as _};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::targets::{MAX_TARGET_BYTES, MAX_TARGETS};
use crate::impair::ParseError;

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's path as it was given, `-s` with its argument, or the built-in defaults.
    pub layer: Arc<str>,
    /// The line in the file, counted from 1.
    pub line: Option<u32>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.layer)?;
        self.line.map_or(Ok(()), |line| write!(f, ", line {line}"))
    }
}

/// Why settings were refused. All of these are bad input: nothing was started, and nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file or folder of the configuration is missing or can't be read.
    #[error("can't read the {what} `{}`", shown_path(path))]
    Unreadable {
        /// What it is to us.
        what: &'static str,
        /// Its path, as it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder was expected, and there is something else.
    #[error("the {what} `{}` is not a folder", shown_path(path))]
    NotAFolder {
        /// What it is to us.
        what: &'static str,
        /// Its path, as it was given.
        path: PathBuf,
    },
    /// The name can't be a profile's, whatever files there are.
    #[error("`{}` can't be a profile's name: it {why}", shown(name))]
    BadProfileName {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is no file for that profile.
    #[error(
        "there is no profile `{}` in `{}`{hint}",
        shown(name),
        shown_path(folder)
    )]
    UnknownProfile {
        /// The name.
        name: String,
        /// The folder that was looked at.
        folder: PathBuf,
        /// The nearest names there are.
        hint: String,
    },
    /// A file is not TOML.
    #[error("{place}, column {column}: this is not TOML: {message}")]
    Syntax {
        /// The file and line.
        place: Place,
        /// The column, counted from 1.
        column: usize,
        /// What the parser said.
        message: String,
    },
    /// The argument of `-s` has no `=`, or no key before it.
    #[error(
        "-s `{}` is not a setting: write -s KEY=VALUE, such as -s network.controller.listen.port=9000",
        shown(argument)
    )]
    BadArgument {
        /// The argument.
        argument: String,
    },
    /// There is no such key.
    #[error(
        "{place}: there is no setting `{}` (given the value {value}); did you mean `{nearest}`?",
        shown(key)
    )]
    UnknownKey {
        /// The key.
        key: String,
        /// The value it was given.
        value: String,
        /// The known key that is nearest.
        nearest: &'static str,
        /// Where.
        place: Place,
    },
    /// A value where a group of settings belongs.
    #[error(
        "{place}: `{key}` is a group of settings, and can't be {value} itself; `{example}` is a setting in it"
    )]
    NotATable {
        /// The group.
        key: String,
        /// The value it was given.
        value: String,
        /// A setting in the group.
        example: &'static str,
        /// Where.
        place: Place,
    },
    /// The value is of the wrong type.
    #[error("{place}: `{key}` must be {expected}, and {value} is {found}")]
    WrongType {
        /// The key.
        key: String,
        /// The value, as it was written.
        value: String,
        /// The value's type.
        found: &'static str,
        /// What the key takes.
        expected: String,
        /// Where.
        place: Place,
    },
    /// The value is of the right type, and not one that the key takes.
    #[error("{place}: `{key}` must be {expected}, and {value} is not")]
    OutOfRange {
        /// The key.
        key: String,
        /// The value, as it was written.
        value: String,
        /// What the key takes.
        expected: String,
        /// Where.
        place: Place,
    },
    /// The value is no impairment; the source says which word of it is at fault.
    #[error("{place}: `{key}` can't be {value}")]
    Impairment {
        /// The key.
        key: String,
        /// The value, as it was written.
        value: String,
        /// Where.
        place: Place,
        /// Which word, at which column, and what is wrong with it.
        source: Box<ParseError>,
    },
    /// One layer sets one key twice, in two spellings.
    #[error(
        "{place}: `{key}` is set a second time in one place, with the value {value}; keep one of them"
    )]
    SetTwice {
        /// The key.
        key: &'static str,
        /// The second value.
        value: String,
        /// Where.
        place: Place,
    },
    /// One layer sets a key under its name and under its older name.
    #[error(
        "{place}: `{key}` and `{older}` are one setting, the latter by its older name; \
         keep one of them ({value} is the second)"
    )]
    BothNames {
        /// The key.
        key: &'static str,
        /// The key's older name.
        older: &'static str,
        /// The second value.
        value: String,
        /// Where.
        place: Place,
    },
    /// Two settings contradict each other.
    #[error(
        "`{key}` = {value} ({place}) is too small: it must be at least {least}, \
         because `{other_key}` = {other} ({other_place})"
    )]
    Contradiction {
        /// The key that is too small.
        key: &'static str,
        /// Its value.
        value: i64,
        /// Where that was set.
        place: Place,
        /// What it must be at least.
        least: i64,
        /// The key that demands it.
        other_key: &'static str,
        /// Its value.
        other: i64,
        /// Where that was set.
        other_place: Place,
    },
    /// The file with the targets is unusable.
    #[error(
        "the target file `{}` (`network.controller.target.path`, from {place}) can't be used",
        shown(path)
    )]
    Targets {
        /// The file's path, as it was given.
        path: String,
        /// Where the path was set.
        place: Place,
        /// What is wrong with the file.
        source: TargetsError,
    },
}

/// What is wrong with a file of targets.
#[derive(Debug, thiserror::Error)]
pub enum TargetsError {
    /// Missing, or not to be read.
    #[error("can't read it")]
    Unreadable(#[source] io::Error),
    /// Larger than any list of targets.
    #[error("it has more than {MAX_TARGET_BYTES} bytes")]
    TooLarge,
    /// Not JSON; the source says at which line and column.
    #[error("it is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON, but no array.
    #[error("it must be a JSON array such as [\"[::1]:8090\"], and is {0}")]
    NotAnArray(&'static str),
    /// More targets than a node keeps.
    #[error("it has {0} entries, and the limit is {MAX_TARGETS}")]
    TooMany(usize),
    /// An entry that is no socket address.
    #[error(
        "the entry at index {index} must be an address with a port, such as \"[::1]:8090\", and is {value}"
    )]
    NotAnAddress {
        /// The entry's index, counted from 0.
        index: usize,
        /// The entry, as JSON.
        value: String,
    },
    /// An entry that nobody can be dialed at.
    #[error("the entry at index {index}, {addr}, can't be dialed: {why}")]
    Undialable {
        /// The entry's index, counted from 0.
        index: usize,
        /// The entry.
        addr: SocketAddr,
        /// Why not.
        why: &'static str,
    },
}

/// The text fit for one line of a message: control characters escaped, and not longer than a message can bear.
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

fn shown_path(path: &std::path::Path) -> String {
    shown(&path.to_string_lossy())
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
