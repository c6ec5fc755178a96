//! `area-net network key`: makes a network key.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Subcommand;
use rand::TryRng as _;

use super::{KeyFileError, Keys, NetworkKey};

/// The command that makes a network key.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum KeyCommand {
    /// Make a network key, and write it to a new file that only you can read
    #[command(after_help = KEY_HELP)]
    Key {
        /// File to make; one that exists is never overwritten
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

const KEY_HELP: &str = "\
Give the file to every node of the network (network.key, or the variable AREA_NET_KEY_FILE). Whoever has it can join.

Exit status: 0 the file was written; 2 it exists or can't be written; 1 any other error.";

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The key file can't be written.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The system has no entropy, or stdout can't be written.
    #[error("{doing}")]
    System {
        /// The operation that failed.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl NetworkError {
    /// Whether the user's input is at fault.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::KeyFile(_) => true,
            Self::System { .. } => false,
        }
    }
}

/// Runs a command.
///
/// # Errors
/// If a file can't be written, or the system fails.
pub fn run(command: &KeyCommand) -> Result<(), NetworkError> {
    match command {
        KeyCommand::Key { file } => {
            let mut key = [0; 32];
            rand::rngs::SysRng
                .try_fill_bytes(&mut key)
                .map_err(|error| NetworkError::System {
                    doing: "can't get entropy from the system",
                    source: io::Error::other(error.to_string()),
                })?;
            Keys::create(file, &NetworkKey::new(key))?;
            let text = format!(
                "{0}: a new network key. Copy the file to every node, and set network.key to its path.\n",
                file.display()
            );
            // The file is there, whether somebody reads this or not.
            io::stdout().write_all(text.as_bytes()).ok();
            Ok(())
        }
    }
}
