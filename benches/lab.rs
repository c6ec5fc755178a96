//! The lab: the real binary under the kernel's real `tc netem`.
//!
//! Run it as `cargo bench --bench lab -- --help`. Under `cargo test` it does nothing.
//!
//! # The data's way
//!
//! ```text
//! scenarios/*.toml ─ parse (steps, netem, promises) ─ scenario     what is done, when, and what must hold; mistakes
//!                                                        │         are found here, before anything starts
//! driver ─ machine                                       │         for each: a worker in new namespaces, or in User-Mode Linux
//!             │                                          │
//!             └─ run (net: ip, tc; cluster: processes; follow: every network.json) ─ the worker
//!                  │
//!                timeline ─ events.jsonl ─ record        what the lab did and what every node showed, in the order of time
//!                  │
//!                judge (rules, measures) ─ truth         what is so, from what was done; what was shown is held against it
//!                  │
//!                result.json ─ driver ─ table
//! ```
//!
//! A node counts as up as long as its process runs and packets pass both ways along some path to it. So whoever shows it as
//! down, even in one version of a file, breaks a promise. Times end with the file's own time of writing, so a late reader
//! changes no figure; the lab's clock is the kernel's that stamps the files, without the jumps that a scenario makes.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark reads the clock, and prints what it finds"
)]

#[allow(
    dead_code,
    reason = "shared with the benchmark `network`, which needs more of it"
)]
#[path = "network/cluster.rs"]
mod cluster;
#[path = "lab/driver.rs"]
mod driver;
#[path = "lab/follow.rs"]
mod follow;
#[path = "lab/guard.rs"]
mod guard;
#[allow(
    dead_code,
    reason = "shared with the benchmark `network`, which needs more of it"
)]
#[path = "network/isolate.rs"]
mod isolate;
#[path = "lab/judge.rs"]
mod judge;
#[allow(
    dead_code,
    reason = "shared with the benchmark `network`, which needs more of it"
)]
#[path = "network/kernel.rs"]
mod kernel;
#[path = "lab/machine.rs"]
mod machine;
#[path = "lab/measures.rs"]
mod measures;
#[path = "lab/net.rs"]
mod net;
#[path = "lab/netem.rs"]
mod netem;
#[path = "lab/options.rs"]
mod options;
#[path = "lab/parse.rs"]
mod parse;
#[allow(
    dead_code,
    reason = "shared with the benchmark `network`, which needs more of it"
)]
#[path = "network/picture.rs"]
mod picture;
#[path = "lab/place.rs"]
mod place;
#[path = "lab/promises.rs"]
mod promises;
#[path = "lab/record.rs"]
mod record;
#[path = "lab/rules.rs"]
mod rules;
#[path = "lab/run.rs"]
mod run;
#[path = "lab/scenario.rs"]
mod scenario;
#[path = "lab/steps.rs"]
mod steps;
#[path = "lab/table.rs"]
mod table;
#[path = "lab/timeline.rs"]
mod timeline;
#[path = "lab/truth.rs"]
mod truth;
#[path = "network/watcher.rs"]
mod watcher;
#[path = "lab/words.rs"]
mod words;

use std::process::ExitCode;

use clap::Parser;

use crate::options::Options;

fn main() -> ExitCode {
    // Cargo says `--bench` when it benchmarks, and nothing when it tests.
    let asked = std::env::args().any(|arg| arg == "--bench" || arg == "--worker");
    if !asked {
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    let end = match &options.worker {
        Some(job) => driver::work(job),
        None => driver::drive(&options),
    };
    end.unwrap_or_else(|error| {
        eprintln!("lab: {error:#}");
        let bad_input = error.downcast_ref::<words::BadScenario>().is_some();
        ExitCode::from(if bad_input { 2 } else { 1 })
    })
}
