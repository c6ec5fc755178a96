//! The lab: the real binary under the kernel's real `tc netem`.
//!
//! `cargo run -p area-net-lab --release -- lab -h` explains its options.
//!
//! # Data flow
//!
//! ```text
//! scenarios/*.toml ─ parse (steps, netem, promises) ─ scenario     actions with times, and promises; mistakes are
//!                                                        │         reported here, before anything starts
//! driver ─ machine                                       │         for each: a worker in new namespaces, or in User-Mode Linux
//!             │                                          │
//!             └─ run (net: ip, tc; cluster: processes; follow: every network.json) ─ the worker
//!                  │
//!                timeline ─ events.jsonl ─ record        the lab's actions and every node's views, in time order
//!                  │
//!                judge (rules, measures) ─ truth         truth follows from the actions; the judge compares views with it
//!                  │
//!                result.json ─ shared::crew ─ table
//! ```
//!
//! A node counts as up as long as its process runs and some path to it passes packets both ways. So a view that shows it as
//! down breaks a promise, even in one version of a file. Times end at the file's own write time, so a late reader changes no
//! figure. The lab uses the kernel's clock that stamps the files, and subtracts the jumps that a scenario makes.

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
pub(crate) mod parse;
mod promises;
mod record;
mod rules;
mod run;
mod scenario;
mod state;
mod steps;
#[cfg(test)]
mod tests;
mod timeline;
mod truth;
mod verdict;
mod words;

use std::process::ExitCode;

use anyhow::Result;

pub(crate) use self::options::Options;
use crate::shared::scenarios::BadScenario;

/// Runs the lab with these options.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    match &options.worker {
        Some(job) => driver::work(job),
        None => driver::drive(options),
    }
}

/// Whether the error is a mistake in a scenario, found before anything was played.
pub(crate) fn is_bad_input(error: &anyhow::Error) -> bool {
    error.downcast_ref::<BadScenario>().is_some()
}
