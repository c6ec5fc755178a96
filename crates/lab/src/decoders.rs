//! A door for fuzzing: the files of scenarios, as functions of text. Nothing but `crates/fuzz` uses this module.
//!
//! They are written in the simulator's language of steps. What stands around the steps, and what a step may name, is the lab's own.

use std::path::Path;

use crate::places::plan::Plan;
use crate::{lab, places};

/// A scenario of `lab`: the seconds that it lasts in its short form and in the long one.
///
/// # Errors
/// As before the lab starts anything.
///
/// # Panics
/// If only the long form can be read.
pub fn lab_scenario(text: &str) -> Result<[f64; 2], String> {
    let read = |short| lab::parse::scenario(Path::new("file.toml"), text, short);
    let long = read(false).map_err(|error| error.to_string())?;
    let short = read(true).expect("the long form was read with the short one");
    Ok([short.lasts_s, long.lasts_s])
}

/// The most hosts of a scenario that is planned here. The time of a plan grows faster than their number.
const MOST_PLANNED: usize = 1000;

/// A scenario of `places`: how many hosts there are at its start.
///
/// # Errors
/// As before the lab starts anything.
///
/// # Panics
/// If the plan has another number of hosts.
pub fn places_scenario(text: &str) -> Result<usize, String> {
    let scenario = places::parse::scenario(Path::new("file.toml"), text);
    let scenario = scenario.map_err(|error| error.to_string())?;
    let copies = scenario
        .hosts
        .iter()
        .map(|host| scenario.nets[host.on[0]].count * host.count);
    let count = copies.sum();
    if count <= MOST_PLANNED {
        assert_eq!(
            Plan::new(&scenario).nodes.len(),
            count,
            "the plan has other hosts"
        );
    }
    Ok(count)
}
