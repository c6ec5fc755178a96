//! What can be wrong with the settings: one clear sentence each, that names the thing, its value and where it stands.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::shown::shown;
use super::targets::TargetsError;
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
    #[error("invalid profile name `{}`: it {why}", shown(name))]
    BadProfileName {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is no file for that profile.
    #[error("no profile `{}` in `{}`{hint}", shown(name), shown_path(folder))]
    UnknownProfile {
        /// The name.
        name: String,
        /// The folder that was looked at.
        folder: PathBuf,
        /// The nearest names there are.
        hint: String,
    },
    /// A file is not TOML.
    #[error("{place}, column {column}: invalid TOML: {message}")]
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
        "-s `{}` is not of the form KEY=VALUE; write for example -s network.controller.listen.port=9000",
        shown(argument)
    )]
    BadArgument {
        /// The argument.
        argument: String,
    },
    /// There is no such key.
    #[error(
        "{place}: unknown setting `{}` = {value}; did you mean `{nearest}`?",
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
        "{place}: `{key}` is a group of settings and can't be set to {value}; set a key in it, such as `{example}`"
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
    #[error("{place}: `{key}` must be {expected}, but {value} is {found}")]
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
    #[error("{place}: `{key}` must be {expected}, not {value}")]
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
    #[error("{place}: `{key}` = {value} is not a valid impairment")]
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
    #[error("{place}: `{key}` is set twice, the second time to {value}; remove one of the two")]
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
        "{place}: `{key}` is set twice, once under its older name `{older}`, the second time to {value}; \
         remove one of the two"
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
        "can't use the target file `{}` (`network.controller.target.path`, from {place})",
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

fn shown_path(path: &std::path::Path) -> String {
    shown(&path.to_string_lossy())
}
