//! Options that several subcommands have in common.

use std::path::PathBuf;

use clap::Args;

use crate::shared::binary::Binary;

// Not a doc comment: clap would show that in place of the line of each command that has these options.
// The options of a subcommand that runs nodes in scratch folders.
#[derive(Debug, Args)]
pub(crate) struct Common {
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
}
