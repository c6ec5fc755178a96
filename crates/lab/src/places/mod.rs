//! The lab's places: the real binary on hosts behind routers, NATs and firewalls, in network namespaces.
//!
//! `cargo run -p area-net-lab --release -- places -h` explains its options, and `docs/lab.md` how to write a place.
//!
//! # Data flow
//!
//! ```text
//! places/*.toml ─ parse (names, raw_step, raw_must) ─ scenario      as written, checked before anything starts
//!                          ┌──────────────────────────────┘
//!                        plan        every copy of every place with its addresses; follows the steps; no I/O
//!                          │
//!   net (space, nat) ─ selftest      namespaces, veth pairs, bridges, nftables; probes that each NAT is of its kind
//!                          │
//!   run (cluster, views) ─ judge     processes, steps, every network.json; promises are judged as views come in
//!                          │
//!                     result.json ─ shared::crew ─ table
//! ```
//!
//! Each scenario has a worker in network, mount and process namespaces of its own, so the kernel removes everything when the
//! worker ends, also if it is killed. Names of namespaces can't collide, because the worker has a `/run` of its own.

mod driver;
mod judge;
mod names;
mod nat;
mod neighbors;
mod net;
pub(crate) mod parse;
pub(crate) mod plan;
mod promise_words;
mod raw_must;
mod raw_step;
mod run;
mod scenario;
mod selftest;
mod space;
#[cfg(test)]
mod tests;
mod tools;
mod views;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::shared::binary::Binary;

/// Plays scenarios with the real binary behind routers, NATs and firewalls, and reports which promises it kept
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Names of shipped scenarios, or paths of your own [default: all shipped scenarios]
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,

    /// Plays only the scenarios of the short set
    #[arg(long)]
    short: bool,

    /// Lists the scenarios and exits
    #[arg(long)]
    list: bool,

    #[command(flatten)]
    binary: Binary,

    /// Folder for logs, timelines and results [default: a new folder in the target folder]
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,

    /// Number of small scenarios to play in parallel. Those with more than 8 nodes are played alone
    #[arg(long, default_value_t = 4)]
    jobs: usize,

    /// Number of times to play each scenario
    #[arg(long, default_value_t = 1)]
    repeat: usize,

    /// Internal: plays the job in this file
    #[arg(long, hide = true)]
    worker: Option<PathBuf>,
}

/// Runs the lab with these options.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    match &options.worker {
        Some(job) => driver::work(job),
        None => driver::drive(options),
    }
}
