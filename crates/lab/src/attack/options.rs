//! The command line of the attacks.

use clap::Args;

use crate::shared::options::Common;

/// Attacks honest nodes with one hostile member, and measures what it costs them.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Attacks to make: names, or what they begin with [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    /// Lists the attacks and exits
    #[arg(long)]
    pub(crate) list: bool,

    /// The short set, judged by behaviour alone and not by shares of a core
    #[arg(long)]
    pub(crate) short: bool,

    /// Number of honest nodes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(4..=500))]
    pub(crate) nodes: u16,

    /// Number of runs of each attack; the table shows medians
    #[arg(long, default_value_t = 1)]
    pub(crate) runs: u32,

    /// Random seed: run r of an attack uses SEED + r [default: from the clock]
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// Prints every figure of every run as JSON in place of the tables
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) common: Common,

    /// Stays in the network namespace it was started in
    #[arg(long)]
    pub(crate) no_isolation: bool,
}
