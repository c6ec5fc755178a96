//! The lab's command line.

use std::path::PathBuf;

use clap::Args;

use crate::shared::binary::Binary;

/// Plays scenarios with the real binary under the kernel's `tc netem`, and reports which promises it kept
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Names of shipped scenarios, or paths of your own [default: all shipped scenarios]
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<String>,

    /// Plays the short set: only scenarios that have a short form, in that form
    #[arg(long, conflicts_with = "full")]
    pub(crate) short: bool,

    /// Plays all shipped scenarios in their full length (the default if no name is given)
    #[arg(long, conflicts_with = "scenarios")]
    pub(crate) full: bool,

    /// Lists the shipped scenarios and exits
    #[arg(long)]
    pub(crate) list: bool,

    #[command(flatten)]
    pub(crate) binary: Binary,

    /// Folder for logs, timelines and results [default: a new folder in the target folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,

    /// Plays every scenario in User-Mode Linux, even if this kernel could play it
    #[arg(long, conflicts_with_all = ["in_kernel", "interface"])]
    pub(crate) in_uml: bool,

    /// Plays every scenario in this kernel, or not at all
    #[arg(long)]
    pub(crate) in_kernel: bool,

    /// Uses this interface of this machine for loopback scenarios, and restores it afterwards. All other traffic on the interface
    /// is impaired too [default: the loopback interface of a new namespace]
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,

    /// Number of scenarios to play in parallel, except those that need the machine alone [default: one per processor]
    #[arg(long)]
    pub(crate) jobs: Option<usize>,

    /// Number of times to play each scenario
    #[arg(long, default_value_t = 1)]
    pub(crate) repeat: usize,

    /// Judges the record of an earlier run (its events.jsonl) again, for the one scenario named
    #[arg(long, value_name = "FILE", requires = "scenarios")]
    pub(crate) judge: Option<PathBuf>,

    /// Internal: plays the job in this file
    #[arg(long, hide = true)]
    pub(crate) worker: Option<PathBuf>,
}
