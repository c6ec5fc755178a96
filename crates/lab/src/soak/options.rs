//! The command line of the soak.

use std::path::PathBuf;
use std::time::Duration;

use area_net::sim::parse::words::duration;
use clap::Args;

use crate::shared::options::Common;

/// Runs real nodes for hours under churn, loss and attack at once, and judges whether they leak, end or err
#[derive(Debug, Args)]
#[command(
    mut_arg("scratch", |it| it.help("Folder for the nodes' files [default: /dev/shm if it exists, else the temporary folder]")),
    mut_arg("keep", |it| it.help("Keeps the nodes' files also if everything held"))
)]
pub(crate) struct Options {
    /// Number of nodes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(5..=500))]
    pub(crate) nodes: u16,

    /// How long it lasts, such as 40s, 30min or 2h
    #[arg(long = "for", value_name = "TIME", default_value = "2h", value_parser = long_enough)]
    pub(crate) lasts: Duration,

    /// Random seed [default: from the clock]
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// Attacks to make: names, or what they begin with [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    /// Folder for the record, the progress and the result [default: a new one in the target folder]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,

    /// Judges the record in that folder, of a soak that has ended or still runs, and starts nothing
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["lasts", "nodes", "seed", "only", "out"])]
    pub(crate) judge: Option<PathBuf>,

    /// Prints the result as JSON in place of the table
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// A soak has at least one attack and one quiet time.
fn long_enough(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        short if short < Duration::from_secs(30) => {
            Err(format!("{text} is too short: a soak lasts at least 30s"))
        }
        lasts => Ok(lasts),
    }
}
