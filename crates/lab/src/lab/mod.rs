//! The lab: the real binary under the kernel's real `tc netem`.
//!
//! `cargo run -p area-net-lab --release -- lab -h` explains its options.
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

mod action;
mod driver;
mod follow;
mod guard;
mod judge;
mod machine;
mod measures;
mod net;
mod netem;
mod options;
mod parse;
mod promises;
mod record;
mod rules;
mod run;
mod scenario;
mod state;
mod steps;
mod table;
#[cfg(test)]
mod tests;
mod timeline;
mod truth;
mod verdict;
mod words;

use std::process::ExitCode;

use anyhow::Result;

pub(crate) use self::options::Options;

/// Plays what the options name.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    match &options.worker {
        Some(job) => driver::work(job),
        None => driver::drive(options),
    }
}

/// Whether the error is a mistake in a scenario, found before anything was played.
pub(crate) fn is_bad_input(error: &anyhow::Error) -> bool {
    error.downcast_ref::<words::BadScenario>().is_some()
}
