//! The lab's command line.

use std::path::PathBuf;

use clap::Args;

use crate::binary::Binary;

/// Plays scenarios with the real binary under the kernel's `tc netem`, and says which promises it kept.
#[derive(Debug, Args)]
#[command(about, long_about = None)]
pub(crate) struct Options {
    /// Names of shipped scenarios, or paths of your own [default: all that ship]
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<String>,

    /// The short set: only scenarios that have a short form, in that form
    #[arg(long, conflicts_with = "full")]
    pub(crate) short: bool,

    /// All that ship, in their full length (what is done without a name anyway)
    #[arg(long, conflicts_with = "scenarios")]
    pub(crate) full: bool,

    /// Shows the scenarios that ship, and plays none
    #[arg(long)]
    pub(crate) list: bool,

    #[command(flatten)]
    pub(crate) binary: Binary,

    /// Where logs, timelines and results go [default: a new folder in the target folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,

    /// Plays everything in User-Mode Linux, also what this kernel could do
    #[arg(long, conflicts_with_all = ["in_kernel", "interface"])]
    pub(crate) in_uml: bool,

    /// Plays everything in this kernel, or not at all
    #[arg(long)]
    pub(crate) in_kernel: bool,

    /// Loopback scenarios use this interface of this machine, and put back what they change on it: everything else that uses
    /// it suffers with them [default: the loopback interface of a new namespace]
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,

    /// So many scenarios beside each other, those that want the machine alone excepted [default: one a processor]
    #[arg(long)]
    pub(crate) jobs: Option<usize>,

    /// Plays each scenario so often
    #[arg(long, default_value_t = 1)]
    pub(crate) repeat: usize,

    /// Judges the record of an earlier run (its events.jsonl) again, of the one scenario named
    #[arg(long, value_name = "FILE", requires = "scenarios")]
    pub(crate) judge: Option<PathBuf>,

    /// The lab's own: plays the job in this file
    #[arg(long, hide = true)]
    pub(crate) worker: Option<PathBuf>,
}
