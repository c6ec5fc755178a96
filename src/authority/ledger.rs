//! The members that an authority admitted: `members.json` in its folder.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::admission::files::FileError;
use crate::atomic_file::{self, Care};

const LEDGER: &str = "members.json";
/// The version of `members.json`.
const FORMAT: u32 = 1;
/// The largest `members.json` that is read: 100,000 members take less.
const MAX_LEDGER: u64 = 64 * 1024 * 1024;

/// See the module's documentation.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ledger {
    format: u32,
    /// The serial number of the last certificate.
    pub(super) serial: u64,
    pub(crate) members: Vec<Member>,
}

/// A member as the authority knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id, in hexadecimal digits.
    pub id: String,
    /// The labels that it may have.
    pub label: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// The folder under `members/`.
    pub folder: String,
    /// When its newest certificate ends, in Unix seconds.
    pub not_after: u64,
    /// Its membership was revoked.
    pub revoked: bool,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            format: FORMAT,
            serial: 0,
            members: Vec::new(),
        }
    }
}

impl Ledger {
    /// Reads it. The key alone is enough to go on without: members are admitted by their ids then.
    pub(super) fn read(dir: &Path) -> Result<Self, FileError> {
        let path = &dir.join(LEDGER);
        let failed = |source| FileError::Io {
            path: path.clone(),
            doing: "can't read the file",
            source,
        };
        let mut text = String::new();
        match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error)),
            Ok(file) => file
                .take(MAX_LEDGER)
                .read_to_string(&mut text)
                .map_err(failed)?,
        };
        Self::parse(&text).map_err(|why| FileError::bad(path, why))
    }

    /// Reads the text of the file.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let ledger: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if ledger.format != FORMAT {
            return Err(format!(
                "has format {}, and this program knows {FORMAT}",
                ledger.format
            ));
        }
        Ok(ledger)
    }

    /// Writes it.
    pub(super) fn write(&self, dir: &Path) -> Result<(), FileError> {
        let path = dir.join(LEDGER);
        let text = serde_json::to_string_pretty(self).expect("text and numbers encode");
        let care = Care {
            mode: 0o600,
            synced: true,
        };
        let written = atomic_file::write(&path, (text + "\n").as_bytes(), care);
        written.map_err(|source| FileError::Io {
            path,
            doing: "can't write the file",
            source,
        })
    }
}
