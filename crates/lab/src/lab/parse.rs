//! Parses a TOML file into a [`Scenario`]. Every mistake is found here, before anything starts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use area_net::nearest::did_you_mean;
use area_net::sim::parse::steps::RawStep;
use area_net::sim::parse::words::{Wrong, add_groups, duration};
use serde::Deserialize;
use toml::Spanned;

use crate::lab::action::NAMES;
use crate::lab::promises::Must;
use crate::lab::scenario::{Listen, Scenario, Topology};
use crate::lab::steps::Place;
use crate::lab::words::{BadScenario, explain};

/// Longest scenario. A longer one is taken for a mistake.
const LONGEST: Duration = Duration::from_secs(3600);
/// Shortest scenario.
const SHORTEST: Duration = Duration::from_secs(1);

/// The file's contents, before validation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    topology: Topology,
    nodes: Option<Spanned<usize>>,
    #[serde(default = "own")]
    listen: Listen,
    #[serde(default)]
    settings: Vec<String>,
    #[serde(default)]
    groups: BTreeMap<String, Spanned<String>>,
    lasts: Spanned<String>,
    #[serde(default)]
    alone: bool,
    ping: Option<Spanned<String>>,
    #[serde(default)]
    step: Vec<Spanned<RawStep>>,
    must: Spanned<Must>,
    short: Option<Short>,
}

/// Overrides for the short set. A scenario without them is not in that set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Short {
    lasts: Option<Spanned<String>>,
    step: Option<Vec<Spanned<RawStep>>>,
    must: Option<Spanned<Must>>,
}

fn own() -> Listen {
    Listen::Own
}

/// Reads a file, in its short form if `short` is set and the file has one.
pub(crate) fn file(path: &Path, short: bool) -> Result<Scenario, BadScenario> {
    let text = fs::read_to_string(path).map_err(|source| BadScenario::Unreadable {
        file: path.to_owned(),
        source,
    })?;
    scenario(path, &text, short)
}

/// Whether the scenario has a short form.
pub(crate) fn has_short(text: &str) -> bool {
    toml::from_str::<File>(text).is_ok_and(|file| file.short.is_some())
}

/// Parses `text`, the contents of the file at `path`.
pub(crate) fn scenario(path: &Path, text: &str, short: bool) -> Result<Scenario, BadScenario> {
    let wrong = |wrong: Wrong| BadScenario::Wrong {
        file: path.to_owned(),
        line: wrong.line(text),
        what: wrong.what,
    };
    let file: File = toml::from_str(text)
        .map_err(|error| Wrong::new(error.span().unwrap_or(0..0), explain(error.message())))
        .map_err(wrong)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    // The long form is validated even if only the short one is wanted, so that its mistakes show at once.
    let long = build(&name, &file, None).map_err(wrong)?;
    match &file.short {
        None => Ok(long),
        Some(form) => {
            let built = build(&name, &file, Some(form)).map_err(wrong)?;
            Ok(if short { built } else { long })
        }
    }
}

/// The scenario files in a folder, sorted by name.
pub(crate) fn shipped(folder: &Path) -> Result<Vec<PathBuf>, BadScenario> {
    let unreadable = |source| BadScenario::Unreadable {
        file: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|end| end == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Finds the file of a scenario from the command line, which gives a shipped name or a path.
pub(crate) fn find(folder: &Path, name: &str) -> Result<PathBuf, BadScenario> {
    let files = shipped(folder)?;
    let stem = |path: &PathBuf| {
        path.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    if let Some(path) = files.iter().find(|path| stem(path) == name) {
        return Ok(path.clone());
    }
    let path = PathBuf::from(name);
    if path.is_file() {
        return Ok(path);
    }
    let names: Vec<String> = files.iter().map(stem).collect();
    Err(BadScenario::Unknown {
        name: name.to_owned(),
        hint: did_you_mean(name, names.iter().map(String::as_str)),
    })
}

/// Builds the scenario. Values of the short form override those of the file.
fn build(name: &str, file: &File, short: Option<&Short>) -> Result<Scenario, Wrong> {
    let lasts = short
        .and_then(|short| short.lasts.as_ref())
        .unwrap_or(&file.lasts);
    let steps = short
        .and_then(|short| short.step.as_ref())
        .unwrap_or(&file.step);
    let must = short
        .and_then(|short| short.must.as_ref())
        .unwrap_or(&file.must);
    let length = duration(lasts.get_ref()).map_err(|what| Wrong::new(lasts.span(), what))?;
    if !(SHORTEST..=LONGEST).contains(&length) {
        let what = "a scenario lasts between 1s and 1h";
        return Err(Wrong::new(lasts.span(), what));
    }
    let nodes = nodes(file)?;
    let mut place = Place::new(file.topology, nodes);
    add_groups(nodes, &file.groups, &mut place.groups)?;
    let steps = place.steps(steps, length)?;
    let ping = match &file.ping {
        None => None,
        Some(pair) => Some(place.pair(pair)?),
    };
    must.get_ref()
        .check(&steps, ping.is_some())
        .map_err(|what| Wrong::new(must.span(), what))?;
    Ok(Scenario {
        name: name.to_owned(),
        title: file.title.clone(),
        topology: file.topology,
        nodes,
        listen: file.listen,
        settings: file.settings.clone(),
        lasts_s: length.as_secs_f64(),
        alone: file.alone,
        ping,
        steps,
        must: *must.get_ref(),
    })
}

fn nodes(file: &File) -> Result<usize, Wrong> {
    let Some(nodes) = &file.nodes else {
        return Ok(5);
    };
    let most = NAMES.len();
    match (file.topology, *nodes.get_ref()) {
        (Topology::Loopback, count) if count != 5 => Err(Wrong::new(
            nodes.span(),
            "on loopback the five shipped profiles run",
        )),
        (_, count) if !(2..=most).contains(&count) => Err(Wrong::new(
            nodes.span(),
            format!("nodes is between 2 and {most}"),
        )),
        (_, count) => Ok(count),
    }
}
