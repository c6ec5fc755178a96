//! Recordings as files: `area-net record` writes one of a running node, `area-net replay` shows one as a running node is shown.
//!
//! The format is that of [`crate::chronicle::lines`]; `docs/recording.md` describes it. A simulation writes it as well, see
//! [`crate::sim`].

pub mod file;
mod record;
mod replay;
mod show;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::ask::AskError;

pub use record::record;
pub use replay::{Loaded, load, replay};
pub use show::{ShowError, listen};

/// The command line of `area-net record`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(after_help = RECORD_HELP)]
pub struct RecordArgs {
    /// File to write; packed with gzip if its name ends in .gz; "-" is standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Profile of the node [default: the only one that runs]
    #[arg(short, long, value_name = "PROFILE")]
    pub profile: Option<String>,

    /// Where to begin: "begin" (of the node's history), or a time, as --at of other commands [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,

    /// How long to record: 30s, 10min, 2h; until Ctrl-C or the end of the node if not given
    #[arg(long = "for", value_name = "DURATION")]
    pub lasts: Option<String>,
}

/// The command line of `area-net replay`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = REPLAY_HELP)]
pub struct ReplayArgs {
    /// Recording, packed with gzip or not
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Loopback address at which to serve the page and the API; port 0 is any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "[::1]:0")]
    pub addr: SocketAddr,
}

const RECORD_HELP: &str = "\
A file that exists is not overwritten. Each line is in the file within a second, so a recorder that is killed loses at most the last second.

Exit status: 0 Ctrl-C, the duration is over, or the node ended; 2 bad input; 3 no node is running; 1 any other error.";

const REPLAY_HELP: &str = "\
The address of the page is written to standard output. A recording that was cut off is shown up to there.

Exit status: 0 Ctrl-C; 2 the file can't be opened or is no recording, or the address can't be used; 1 any other error.";

/// An error of `area-net record` or `area-net replay`.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// There is no node, or it refuses.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// An argument is invalid.
    #[error("{0}")]
    Argument(String),
    /// The file can't be read or made.
    #[error("can't open {}", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is no recording, or nothing in it can be shown.
    #[error("{}, {what}", file.display())]
    Bad {
        /// The file.
        file: PathBuf,
        /// The place, and what is wrong there.
        what: String,
    },
    /// The page can't be served.
    #[error(transparent)]
    Show(#[from] ShowError),
    /// Something fails on the way.
    #[error("can't {doing}")]
    System {
        /// What was tried.
        doing: String,
        /// The system's error.
        source: io::Error,
    },
}

impl RecordingError {
    /// The exit status.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Ask(error) => error.status(),
            Self::Argument(_) | Self::Open { .. } | Self::Bad { .. } | Self::Show(_) => 2,
            Self::System { .. } => 1,
        }
    }
}

fn failed(doing: impl Into<String>) -> impl FnOnce(io::Error) -> RecordingError {
    let doing = doing.into();
    move |source| RecordingError::System { doing, source }
}

/// The runtime that a subcommand waits in.
fn runtime() -> Result<tokio::runtime::Runtime, RecordingError> {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    built.map_err(failed("start the runtime"))
}

#[cfg(test)]
mod tests;
