//! Errors in settings. Each is one sentence with the key, the value and the place where it was set.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::host_port::HostPortError;
use super::shown::shown;
use super::targets::TargetsError;
use crate::impair::ParseError;

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path of a file as the user gave it, or `-s` with its argument, or "the built-in defaults".
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

/// Why settings were refused. All of these are bad input: nothing was started or written.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file or folder of the configuration is missing or can't be read.
    #[error("can't read the {what} `{}`", shown_path(path))]
    Unreadable {
        /// What the file or folder is for.
        what: &'static str,
        /// Its path, as the user gave it.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The path exists, but is not a folder.
    #[error("the {what} `{}` is not a folder", shown_path(path))]
    NotAFolder {
        /// What the file or folder is for.
        what: &'static str,
        /// Its path, as the user gave it.
        path: PathBuf,
    },
    /// The name is not allowed for a profile.
    #[error("invalid profile name `{}`: it {why}", shown(name))]
    BadProfileName {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The profile has no file.
    #[error("no profile `{}` in `{}`{hint}", shown(name), shown_path(folder))]
    UnknownProfile {
        /// The name.
        name: String,
        /// The folder that was searched.
        folder: PathBuf,
        /// The closest names, in words.
        hint: String,
    },
    /// A file is not TOML.
    #[error("{place}, column {column}: invalid TOML: {message}")]
    Syntax {
        /// The file and line.
        place: Place,
        /// The column, counted from 1.
        column: usize,
        /// The error of the parser.
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
    /// The key is unknown.
    #[error(
        "{place}: unknown setting `{}` = {value}; did you mean `{nearest}`?",
        shown(key)
    )]
    UnknownKey {
        /// The key.
        key: String,
        /// The value it was given.
        value: String,
        /// The nearest known key.
        nearest: &'static str,
        /// Where it was set.
        place: Place,
    },
    /// A group of settings was given a value.
    #[error(
        "{place}: `{key}` is a group of settings and can't be set to {value}; set a key in it, such as `{example}`"
    )]
    NotATable {
        /// The group.
        key: String,
        /// The value it was given.
        value: String,
        /// A key in the group.
        example: &'static str,
        /// Where it was set.
        place: Place,
    },
    /// The value has the wrong type.
    #[error("{place}: `{key}` must be {expected}, but {value} is {found}")]
    WrongType {
        /// The key.
        key: String,
        /// The value, as it was written.
        value: String,
        /// The value's type.
        found: &'static str,
        /// The allowed values, in words.
        expected: String,
        /// Where it was set.
        place: Place,
    },
    /// The value has the right type, but is not allowed.
    #[error("{place}: `{key}` must be {expected}, not {value}")]
    OutOfRange {
        /// The key.
        key: String,
        /// The value, as it was written.
        value: String,
        /// The allowed values, in words.
        expected: String,
        /// Where it was set.
        place: Place,
    },
    /// The value is not a valid impairment; the source names the faulty word.
    #[error("{place}: `{key}` = {value} is not a valid impairment")]
    Impairment {
        /// The key.
        key: String,
        /// The value, as it was written.
        value: String,
        /// Where it was set.
        place: Place,
        /// The faulty word, its column and the reason.
        source: Box<ParseError>,
    },
    /// An entry of a list is not `HOST:PORT`.
    #[error("{place}: `{key}`, entry {number}: {value} {why}")]
    HostPort {
        /// The key.
        key: String,
        /// The entry's number, counted from 1.
        number: usize,
        /// The entry, as it was written.
        value: String,
        /// Where it was set.
        place: Place,
        /// The reason.
        why: HostPortError,
    },
    /// One layer sets a key twice, in two spellings.
    #[error("{place}: `{key}` is set twice, the second time to {value}; remove one of the two")]
    SetTwice {
        /// The key.
        key: &'static str,
        /// The second value.
        value: String,
        /// Where it was set.
        place: Place,
    },
    /// One layer sets a key under its name and its older name.
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
        /// Where it was set.
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
        /// Where it was set.
        place: Place,
        /// The smallest allowed value.
        least: i64,
        /// The key that requires this minimum.
        other_key: &'static str,
        /// Its value.
        other: i64,
        /// Where it was set.
        other_place: Place,
    },
    /// Discovery is on, and nobody on the LAN could dial the node.
    #[error(
        "`network.controller.discovery` = \"lan\" ({place}) needs an address that other machines reach, \
         but `network.controller.listen.addr` = \"{listen}\" ({listen_place}) is loopback; set it to \"::\""
    )]
    HiddenFromLan {
        /// The address to listen on.
        listen: IpAddr,
        /// Where it was set.
        listen_place: Place,
        /// Where discovery was turned on.
        place: Place,
    },
    /// The target file is unusable.
    #[error(
        "can't use the target file `{}` (`network.controller.target.path`, from {place})",
        shown(path)
    )]
    Targets {
        /// The path, as the user gave it.
        path: String,
        /// Where the path was set.
        place: Place,
        /// The reason.
        source: TargetsError,
    },
}

fn shown_path(path: &std::path::Path) -> String {
    shown(&path.to_string_lossy())
}
