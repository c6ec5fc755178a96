//! The worker: it runs inside, where netem is available, and reports its results to the driver outside.
//!
//! It writes each result as a line of JSON to a file, which the driver reads while it grows.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::netem::figures::{Figure, Figures};
use crate::netem::report::MOST_STALLED;
use crate::netem::scenario::Scenario;
use crate::netem::traffic;
use crate::netem::words::{self, Asked};

/// The file of results, in the scratch folder.
pub(crate) const RESULTS: &str = "results.jsonl";

/// The number of attempts for a run, because the stalls of a busy machine can make one unusable.
const TRIES: usize = 2;

/// A line of the results.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// The figures over the real netem.
    Netem(String, Figures),
    /// The figures over the impaired socket.
    Socket(String, Figures),
    /// The answer of tc to a text.
    Asked(Asked),
    /// The worker has done everything.
    Done,
    /// The worker failed, for this reason.
    Failed(String),
}

/// Runs all scenarios and texts, and writes how that ended.
pub(crate) fn work(folder: &Path, scenarios: &[&'static Scenario], words: bool) -> Result<()> {
    let mut results = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(RESULTS))
        .context("can't write results")?;
    let end = match all(&mut results, scenarios, words) {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed(format!("{error:#}")),
    };
    tell(&mut results, &end)
}

fn all(results: &mut File, scenarios: &[&'static Scenario], words: bool) -> Result<()> {
    // In User-Mode Linux, loopback is not up yet.
    call("ip link set lo up")?;
    if words {
        for text in words::texts() {
            let asked = ask(text)?;
            tell(results, &Outcome::Asked(asked))?;
        }
    }
    for scenario in scenarios {
        if !scenario.words.is_empty() {
            call(&format!(
                "tc qdisc add dev lo root netem {}",
                scenario.words
            ))?;
        }
        let netem = calmest(scenario, false);
        if !scenario.words.is_empty() {
            call("tc qdisc del dev lo root")?;
        }
        tell(results, &Outcome::Netem(scenario.words.to_owned(), netem?))?;
        let socket = calmest(scenario, true)?;
        tell(results, &Outcome::Socket(scenario.words.to_owned(), socket))?;
    }
    Ok(())
}

/// Repeats a run that the machine's stalls made unusable, and returns the attempt with the fewest stalls.
fn calmest(scenario: &Scenario, impaired: bool) -> Result<Figures> {
    let stalled = |run: &Figures| run.get(&Figure::Stalled).copied().unwrap_or(1.0);
    let mut best = traffic::run(scenario, impaired)?;
    for _ in 1..TRIES {
        if !scenario.is_timed() || stalled(&best) <= MOST_STALLED {
            break;
        }
        let again = traffic::run(scenario, impaired)?;
        if stalled(&again) < stalled(&best) {
            best = again;
        }
    }
    Ok(best)
}

/// Asks tc to apply a text to the interface, and then how it prints the result.
fn ask(text: &str) -> Result<Asked> {
    let taken = output(&format!("tc qdisc add dev lo root netem {text}"))?;
    if !taken.status.success() {
        return Ok(Asked::refused(text));
    }
    let shown = output("tc qdisc show dev lo")?;
    call("tc qdisc del dev lo root")?;
    Ok(Asked::taken(text, &String::from_utf8_lossy(&shown.stdout)))
}

fn tell(results: &mut File, outcome: &Outcome) -> Result<()> {
    let mut line = serde_json::to_string(outcome).context("an outcome is JSON")?;
    line.push('\n');
    results.write_all(line.as_bytes()).context("can't write")?;
    // Outside of User-Mode Linux, the result is visible only after the sync.
    results.sync_data().context("can't write it out")
}

fn output(line: &str) -> Result<Output> {
    let mut words = line.split_whitespace();
    let program = words.next().context("no empty line")?;
    Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("can't run {program}"))
}

fn call(line: &str) -> Result<()> {
    let done = output(line)?;
    if !done.status.success() {
        bail!(
            "`{line}`: {}",
            String::from_utf8_lossy(&done.stderr).trim_end()
        );
    }
    Ok(())
}
