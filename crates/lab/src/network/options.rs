//! The benchmark's command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::shared::options::Common;

/// Times the real binary: five profiles, and chains of processes on IPv6 loopback.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Chain lengths in processes; each gets its own scenario
    #[arg(long, value_delimiter = ',', default_values_t = [5, 25, 50, 100], value_parser = at_least_three)]
    pub(crate) nodes: Vec<usize>,

    /// Runs for each number of processes [default: 10 up to 50 processes, 5 above]
    #[arg(long)]
    pub(crate) runs: Option<usize>,

    /// Number of runs with an idle window [default: 3 up to 25 processes, 1 above]
    #[arg(long)]
    pub(crate) idle_runs: Option<usize>,

    /// Length of an idle window in seconds [default: 60]
    #[arg(long)]
    pub(crate) idle_secs: Option<u64>,

    /// Time for which all nodes are up before an idle window, in seconds [default: 20]
    #[arg(long)]
    pub(crate) settle_secs: Option<u64>,

    /// Random seed: run r of every scenario uses SEED + r [default: from the clock]
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// Writes every figure of every run to this file
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,

    /// A smoke test: 5 processes, 2 runs, one idle window of 10 s after 5 s
    #[arg(long)]
    pub(crate) quick: bool,

    #[command(flatten)]
    pub(crate) common: Common,

    /// Leaves out the five shipped profiles
    #[arg(long)]
    pub(crate) no_shipped: bool,

    /// Leaves out the chain of five nodes in which one has an unreachable target
    #[arg(long)]
    pub(crate) no_missing: bool,

    /// Stays in the network namespace it was started in
    #[arg(long)]
    pub(crate) no_isolation: bool,
}

impl Options {
    /// Returns the chain lengths to run, in processes.
    pub(crate) fn sizes(&self) -> &[usize] {
        if self.quick { &[5] } else { &self.nodes }
    }

    /// Returns the number of runs for a scenario of `nodes` processes.
    pub(crate) fn runs_of(&self, nodes: usize) -> usize {
        self.runs
            .unwrap_or(match (self.quick, nodes) {
                (true, _) => 2,
                (false, ..=50) => 10,
                (false, _) => 5,
            })
            .max(1)
    }

    /// Returns how many of those runs have an idle window.
    pub(crate) fn idle_runs_of(&self, nodes: usize) -> usize {
        self.idle_runs
            .unwrap_or(match (self.quick, nodes) {
                (true, _) => 1,
                (false, ..=25) => 3,
                (false, _) => 1,
            })
            .min(self.runs_of(nodes))
    }

    /// Returns the length of an idle window.
    pub(crate) fn idle_window(&self) -> Duration {
        Duration::from_secs(
            self.idle_secs
                .unwrap_or(if self.quick { 10 } else { 60 })
                .max(1),
        )
    }

    /// Returns how long a network settles before an idle window.
    pub(crate) fn settling(&self) -> Duration {
        Duration::from_secs(self.settle_secs.unwrap_or(if self.quick { 5 } else { 20 }))
    }
}

/// Parses a number of processes. A run kills one node and stops another, so a third must be left to observe both.
fn at_least_three(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(nodes @ 3..=2000) => Ok(nodes),
        Ok(_) => Err("between 3 and 2000 processes".into()),
        Err(error) => Err(format!("{error}")),
    }
}
