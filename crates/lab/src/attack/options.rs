//! The command line of the attacks.

use std::path::PathBuf;

use clap::Args;

use crate::binary::Binary;

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
    pub(crate) binary: Binary,

    /// Setting that is passed unchanged to every node
    #[arg(short, long = "setting", value_name = "KEY=VALUE")]
    pub(crate) setting: Vec<String>,

    /// Folder for the scratch folders [default: /dev/shm if it exists, else the temporary folder]
    #[arg(long)]
    pub(crate) scratch: Option<PathBuf>,

    /// Keeps every scratch folder, not only those of failed runs
    #[arg(long)]
    pub(crate) keep: bool,

    /// Stays in the network namespace it was started in
    #[arg(long)]
    pub(crate) no_isolation: bool,
}
