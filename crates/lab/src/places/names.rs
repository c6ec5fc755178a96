//! Names and times in a scenario's file.

use std::collections::BTreeSet;
use std::ops::Range as Span;

use area_net::nearest::did_you_mean;
use area_net::sim::parse::words::{Wrong, duration};
use serde::Deserialize;

use crate::places::scenario::Who;

/// One name, or a list of names.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a name, or a list of names")]
pub(super) enum Names {
    One(String),
    Many(Vec<String>),
}

impl Names {
    /// The names.
    pub(super) fn list(&self) -> Who {
        match self {
            Self::One(name) => vec![name.clone()],
            Self::Many(names) => names.clone(),
        }
    }
}

/// The names that a scenario defines.
pub(super) struct Known {
    /// Of networks.
    pub(super) nets: Vec<String>,
    /// Of routers and hosts, without numbers.
    pub(super) places: BTreeSet<String>,
}

impl Known {
    /// Checks names of hosts or routers: `all`, a name of the file, or a numbered copy of one.
    pub(super) fn who(&self, who: Names, span: &Span<usize>) -> Result<Who, Wrong> {
        let list = who.list();
        if list.is_empty() {
            return Err(Wrong::new(span.clone(), "a list of names is empty"));
        }
        for name in &list {
            let stem = name.trim_end_matches(|digit: char| digit.is_ascii_digit());
            if name != "all" && !self.places.contains(name) && !self.places.contains(stem) {
                let known = self.places.iter().map(String::as_str).chain(["all"]);
                let hint = did_you_mean(name, known);
                let what = format!("there is no host or router `{name}`{hint}");
                return Err(Wrong::new(span.clone(), what));
            }
        }
        Ok(list)
    }

    /// Checks the name of a network.
    pub(super) fn net(&self, name: &str, span: &Span<usize>) -> Result<usize, Wrong> {
        let found = self.nets.iter().position(|net| net == name);
        found.ok_or_else(|| {
            let hint = did_you_mean(name, self.nets.iter().map(String::as_str));
            Wrong::new(span.clone(), format!("there is no net `{name}`{hint}"))
        })
    }
}

/// A time in seconds.
pub(super) fn seconds(text: &str, span: &Span<usize>) -> Result<f64, Wrong> {
    duration(text)
        .map(|time| time.as_secs_f64())
        .map_err(|what| Wrong::new(span.clone(), what))
}
