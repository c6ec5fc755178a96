//! The words of scenarios (times, shares, nodes), and errors about scenarios.
//!
//! The simulator and the lab share them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::ops::Range as Span;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::super::places::{Places, Who};
use super::super::scenario::Group;
use crate::nearest::did_you_mean;
use crate::settings::SettingsError;

/// An invalid scenario. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A file can't be read.
    #[error("{}can't read {}", place.as_ref().map_or_else(String::new, |place| format!("{place}: ")), file.display())]
    Unreadable {
        /// Where it is named, if in a file or a flag.
        place: Option<String>,
        /// The file.
        file: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A mistake in the scenario.
    #[error("{place}: {what}")]
    Wrong {
        /// The file and the line, or the flag.
        place: String,
        /// A description.
        what: String,
    },
    /// An invalid setting.
    #[error("{place}")]
    Setting {
        /// The file and the line, or the flag.
        place: String,
        /// The setting, and what is wrong with it.
        source: Box<SettingsError>,
    },
}

/// A mistake in a text, with its position.
#[derive(Debug)]
pub struct Wrong {
    /// The position, in bytes.
    pub at: Span<usize>,
    /// A description.
    pub what: String,
}

impl Wrong {
    /// A mistake at these bytes.
    #[must_use]
    pub fn new(at: Span<usize>, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { at, what }
    }

    /// The line of the text on which it is, from 1.
    #[must_use]
    pub fn line(&self, text: &str) -> usize {
        line(text, self.at.start)
    }
}

/// A text with part of a scenario: a file, or flags, each of which is a line.
pub(super) struct Source {
    pub(super) name: String,
    /// The folder of files that it names.
    pub(super) folder: PathBuf,
    pub(super) text: String,
    pub(super) flags: Option<Vec<String>>,
}

impl Source {
    /// The error with the file and the line, or the flag.
    pub(super) fn refuse(&self, wrong: Wrong) -> ScenarioError {
        ScenarioError::Wrong {
            place: self.place(&wrong.at),
            what: wrong.what,
        }
    }

    pub(super) fn place(&self, at: &Span<usize>) -> String {
        let line = line(&self.text, at.start);
        match &self.flags {
            Some(flags) => flags.get(line - 1).unwrap_or(&self.name).clone(),
            None => format!("{}, line {line}", self.name),
        }
    }
}

/// The line of the byte at `offset`, from 1.
fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// Reads a file of limited size. It may be a device or a pipe that never ends.
pub(super) fn read_file(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(most + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > most {
        let large = format!("it is larger than the limit of {most} bytes");
        return Err(io::Error::other(large));
    }
    Ok(text)
}

/// What serde says, for people: of an unknown word, with the nearest valid one first.
#[must_use]
pub fn explain(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown ") else {
        let mut message = message.to_owned();
        for (theirs, ours) in [
            ("usize", "a whole number"),
            ("u64", "a whole number"),
            ("u32", "a whole number"),
            ("f64", "a number"),
            (
                "map, expected a sequence",
                "map, expected a sequence of them: [[...]]",
            ),
            (
                "sequence, expected a string",
                "sequence, expected a string (more than one is written as [[link]] or [[step]])",
            ),
        ] {
            message = message.replace(theirs, ours);
        }
        return message;
    };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let Some(word) = quoted.next() else {
        return message.to_owned();
    };
    let valid: Vec<&str> = quoted.collect();
    let hint = did_you_mean(word, valid.iter().copied());
    format!("unknown word `{word}`{hint} (valid: {})", valid.join(", "))
}

/// A time with its unit: `1500ms`, `60s`, `10min`, `1h`, `0.5s`.
///
/// # Errors
/// When it is none, in words.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time; write 1500ms, 60s, 10min or 1h");
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale = match unit.trim() {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        "" if !number.is_empty() => {
            return Err(format!("`{text}` needs a unit: {text}s, or ms, min, h"));
        }
        _ if text.is_empty() => {
            return Err("the time is missing; write 1500ms, 60s, 10min or 1h".to_owned());
        }
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = number * scale;
    if seconds > 1e6 {
        return Err(format!("`{text}` is longer than a run can be"));
    }
    Ok(Duration::from_nanos((seconds * 1e9).round() as u64))
}

/// Parses a percentage (`5%`) as a share of one.
#[must_use]
pub fn share(text: &str) -> Option<f64> {
    let percent: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

/// Words for nodes that are resolved while the scenario runs.
const LOTS: [&str; 4] = ["hub", "down", "any 1", "10%"];

/// Whether a group can have this name: it has no other meaning.
pub(super) fn can_be_named(name: &str) -> bool {
    let odd = name.is_empty() || name.contains(['>', '.', '%', ' ']);
    let means_all = ["all", "hub", "down"].contains(&name);
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    !(odd || means_all || number || name.starts_with('-') || name.ends_with('-'))
}

/// Adds the groups of a file. They may refer to each other in any order.
///
/// # Errors
/// If a name has another meaning already, or a group's nodes don't exist.
pub fn add_groups(
    nodes: usize,
    written: &BTreeMap<String, Spanned<String>>,
    groups: &mut Vec<Group>,
) -> Result<(), Wrong> {
    let mut open: Vec<_> = written.iter().collect();
    while !open.is_empty() {
        let mut later = Vec::new();
        let before = open.len();
        for (name, text) in open {
            let names = Names { nodes, groups };
            if !can_be_named(name) || name.contains('-') || names.who(name).is_ok() {
                let what = format!("`{name}` can't be the name of a group: it has another meaning");
                return Err(Wrong::new(text.span(), what));
            }
            if !names.knows(text.get_ref()) {
                later.push((name, text));
                continue;
            }
            let places = names.places(text.get_ref());
            groups.push(Group {
                name: name.clone(),
                places: places.expect("it is known"),
            });
        }
        if let Some((_, text)) = later.first().filter(|_| later.len() == before) {
            let names = Names { nodes, groups };
            let what = names.places(text.get_ref()).expect_err("it is unknown");
            return Err(Wrong::new(text.span(), what));
        }
        open = later;
    }
    Ok(())
}

/// The meaning of names in a scenario.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The number of nodes.
    pub nodes: usize,
    /// The groups by name.
    pub groups: &'a [Group],
}

impl Names<'_> {
    /// Parses the nodes of a step.
    ///
    /// # Errors
    /// If there are none, with a description.
    pub fn who(&self, text: &str) -> Result<Who, String> {
        let text = text.trim();
        if let Some(count) = text.strip_prefix("any ") {
            let count = count.trim().parse::<usize>().ok();
            return match count.filter(|count| (1..=self.nodes).contains(count)) {
                Some(count) => Ok(Who::Some(count)),
                None => Err(format!(
                    "`{text}`: `any` needs a number up to {}",
                    self.nodes
                )),
            };
        }
        match text {
            "hub" => Ok(Who::Hub),
            "down" => Ok(Who::Down),
            percent if percent.ends_with('%') => share(percent)
                .map(Who::Share)
                .ok_or_else(|| format!("`{percent}` is not a share from 0% to 100%")),
            other => self.find(other, &LOTS).map(Who::Places),
        }
    }

    /// Parses nodes that are known before anything runs.
    ///
    /// # Errors
    /// If there are no such nodes, with a description.
    pub fn places(&self, text: &str) -> Result<Places, String> {
        let text = text.trim();
        let by_lot = LOTS.contains(&text) || text.starts_with("any ") || text.ends_with('%');
        if by_lot && self.find(text, &[]).is_err() {
            return Err(format!(
                "`{text}` is known only during the run; here only nodes, ranges, groups and `all` are valid"
            ));
        }
        self.find(text, &[])
    }

    /// Whether it is a name of nodes. Unlike `places`, this builds no message.
    fn knows(&self, text: &str) -> bool {
        let text = text.trim();
        let number = text.starts_with(|first: char| first.is_ascii_digit());
        let named = text == "all" || self.groups.iter().any(|group| group.name == text);
        (named || number) && self.find(text, &[]).is_ok()
    }

    /// `others`: further words that are valid here.
    fn find(&self, text: &str, others: &[&str]) -> Result<Places, String> {
        if text == "all" {
            return Ok(Places::All);
        }
        if let Some(group) = self.groups.iter().find(|group| group.name == text) {
            return Ok(group.places.clone());
        }
        let number = |text: &str| text.trim().parse::<usize>().ok();
        let (from, to) = match text.split_once("..") {
            Some((from, to)) => (number(from), number(to)),
            None => (
                number(text),
                number(text).and_then(|one| one.checked_add(1)),
            ),
        };
        match from.zip(to) {
            Some((from, to)) if from < to && to <= self.nodes => Ok(Places::Range(from, to)),
            Some(_) => Err(format!(
                "there is no node `{text}`: they are 0 to {}, and a range is 0..{}",
                self.nodes - 1,
                self.nodes
            )),
            None => {
                let names = self.groups.iter().map(|group| group.name.as_str());
                let others = others.iter().copied();
                let hint = did_you_mean(text, names.chain(["all"]).chain(others));
                Err(format!("there is no node or group `{text}`{hint}"))
            }
        }
    }
}
