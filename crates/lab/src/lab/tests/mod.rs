//! Tests the lab without its kernel: valid and invalid scenario files, and the judge on recorded sequences.

mod files;
mod verdicts;

use std::path::Path;

use super::parse;
use crate::lab::scenario::Scenario;

/// The head of a scenario with three nodes. Each test appends its own steps and promises.
const HEAD: &str = "title = \"a try\"\ntopology = \"links\"\nnodes = 3\nlasts = \"60s\"\n";

fn read(rest: &str) -> Result<Scenario, String> {
    let text = format!("{HEAD}{rest}");
    parse::scenario(Path::new("try.toml"), &text, false).map_err(|error| error.to_string())
}

fn good(rest: &str) -> Scenario {
    read(rest).expect("a sound scenario")
}

fn bad(rest: &str) -> String {
    read(rest).expect_err("a mistake")
}
