//! Errors of questions, and their exit statuses.

use std::io;
use std::path::PathBuf;

use super::http::HttpError;
use super::text::clean;
use crate::answers::types::Candidate;
use crate::answers::{Failure, FailureKind};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No node is running.
    #[error(
        "no node is running: none listens in {places}; start one with area-net -c CONFIG, or go to the folder in which it was started"
    )]
    NoneRuns {
        /// Where sockets were looked for.
        places: String,
    },
    /// The profile's node is not running.
    #[error(
        "no node of the profile {} is running: nobody listens on {}",
        clean(profile),
        shown(sockets)
    )]
    ProfileNotRunning {
        /// The profile.
        profile: String,
        /// The sockets that were tried.
        sockets: Vec<PathBuf>,
    },
    /// Several nodes are running.
    #[error("several nodes are running: {}; choose one with -p PROFILE", clean(&profiles.join(", ")))]
    SeveralRun {
        /// Their profiles.
        profiles: Vec<String>,
    },
    /// The profile's name is not one.
    #[error(
        "-p {}: a profile's name is not empty and contains no slash",
        clean(profile)
    )]
    BadProfile {
        /// As given.
        profile: String,
    },
    /// An argument is invalid.
    #[error("{argument}: {what}")]
    BadArgument {
        /// The argument as given.
        argument: String,
        /// A description.
        what: String,
    },
    /// The socket belongs to somebody else.
    #[error("can't connect to {}; a node answers only its own user", socket.display())]
    NotAllowed {
        /// The socket.
        socket: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The node gave no answer.
    #[error(transparent)]
    NoAnswer(NoAnswer),
    /// The node refused the question.
    #[error("{}", refusal(failure))]
    Refused {
        /// What it said.
        failure: Box<Failure>,
        /// The HTTP status.
        status: u16,
    },
    /// The node's answer is of a later version.
    #[error(
        "the node's answer has format {found}, and this program knows format {known} only; use the program that the node runs, or --json"
    )]
    LaterFormat {
        /// The format that the answer has.
        found: u64,
        /// The format that this program reads.
        known: u32,
    },
    /// The node's answer is not what was asked for.
    #[error("the node's answer can't be read: {what}")]
    Unreadable {
        /// A description.
        what: String,
    },
    /// No path leads to a node, or a condition is false.
    #[error("{what}")]
    False {
        /// What is not so.
        what: String,
    },
    /// The output can't be written.
    #[error("can't write the answer")]
    Unwritable(#[source] io::Error),
    /// Nobody reads the output any more.
    #[error("nobody reads the answer")]
    Closed,
}

/// Why a node gave no answer.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct NoAnswer(#[from] HttpError);

impl From<HttpError> for AskError {
    fn from(error: HttpError) -> Self {
        Self::NoAnswer(NoAnswer(error))
    }
}

impl From<io::Error> for AskError {
    /// For errors of the output alone.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::Unwritable(error)
        }
    }
}

impl AskError {
    /// The exit status.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            // A reader that has seen enough is no error.
            Self::Closed => 0,
            Self::BadProfile { .. } | Self::BadArgument { .. } | Self::SeveralRun { .. } => 2,
            Self::NoneRuns { .. } | Self::ProfileNotRunning { .. } => 3,
            Self::Refused { failure, status } => match failure.error.kind {
                FailureKind::NoNode => 4,
                FailureKind::NoLink => 5,
                FailureKind::SeveralNodes | FailureKind::BadRequest => 2,
                FailureKind::BeforeHistory => 1,
                FailureKind::Other => match status {
                    400 | 409 => 2,
                    _ => 1,
                },
            },
            Self::False { .. } => 5,
            Self::NotAllowed { .. }
            | Self::NoAnswer(_)
            | Self::LaterFormat { .. }
            | Self::Unreadable { .. }
            | Self::Unwritable(_) => 1,
        }
    }

    /// Whether no node runs, so that one may still start.
    pub(super) fn may_start_yet(&self) -> bool {
        match self {
            Self::NoneRuns { .. } | Self::ProfileNotRunning { .. } => true,
            // It ended, or it listens but is not ready.
            Self::NoAnswer(NoAnswer(error)) => {
                matches!(error, HttpError::Connect(..) | HttpError::CutOff)
            }
            _ => false,
        }
    }
}

fn shown(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| clean(&path.display().to_string()))
        .collect();
    paths.join(" or ")
}

/// What the node said, with the nodes that may be meant, each on a line of its own.
fn refusal(failure: &Failure) -> String {
    let mut text = clean(&failure.error.what);
    if !failure.error.hint.is_empty() {
        text.push_str("; ");
        text.push_str(&clean(&failure.error.hint));
    }
    for Candidate { id, label, address } in &failure.candidates {
        let address = address.as_deref().unwrap_or("no address");
        text.push_str(&format!(
            "\n  {}  {}  {}",
            clean(id),
            clean(address),
            clean(label)
        ));
    }
    text
}
