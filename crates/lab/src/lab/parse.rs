//! Parses a TOML file into a [`Scenario`]. Every mistake is found here, before anything starts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use area_net::sim::parse::steps::RawStep;
use area_net::sim::parse::words::{Wrong, add_groups, duration};
use serde::Deserialize;
use toml::Spanned;

use crate::lab::action::NAMES;
use crate::lab::promises::Must;
use crate::lab::scenario::{Listen, Scenario, Topology};
use crate::lab::steps::Place;
use crate::lab::words::explain;
use crate::shared::scenarios::{self, BadScenario};

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
    scenario(path, &scenarios::read(path)?, short)
}

/// Whether the scenario has a short form.
pub(crate) fn has_short(text: &str) -> bool {
    toml::from_str::<File>(text).is_ok_and(|file| file.short.is_some())
}

/// Parses `text`, the contents of the file at `path`.
pub(crate) fn scenario(path: &Path, text: &str, short: bool) -> Result<Scenario, BadScenario> {
    scenarios::parse(path, text, explain, |name, file: File| {
        // The long form is validated even if only the short one is wanted, so that its mistakes show at once.
        let long = build(name, &file, None)?;
        match &file.short {
            None => Ok(long),
            Some(form) => {
                let built = build(name, &file, Some(form))?;
                Ok(if short { built } else { long })
            }
        }
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
