//! The files of an authority and of its members: text, with the bytes for programs in hexadecimal digits.
//!
//! The first line says what the file is. Lines that begin with `#` are for people, and count for nothing.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::date::date;
use crate::atomic_file::{self, Care};
use crate::certificate::{
    Authorities, AuthorityKey, Certificate, CertificateError, MAX_AUTHORITIES,
};
use crate::revocations::{MAX_REVOCATIONS, Revocations, RevocationsError};
use crate::wire::NodeId;

/// The name of the authority's public file, beside a member's key and in the authority's folder.
pub const AUTHORITY: &str = "authority.pub";
/// The name of a member's certificate, beside its key.
pub const MEMBER: &str = "member.cert";
/// The name of the newest revocations, in the folder of a profile and in the authority's folder.
pub const REVOKED: &str = "revoked.list";

/// The largest file that is read, in bytes: the longest list of revocations in hexadecimal digits, and as much for comments.
const MAX_FILE: u64 = 4 * MAX_REVOCATIONS as u64;
/// The digits of a line: half of an ordinary line's length are the bytes of a key.
const DIGITS: usize = 64;

/// The content of a file of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// The public keys of a network's authorities.
    Authority(Authorities),
    /// A member's certificate.
    Certificate(Arc<Certificate>),
    /// The nodes that were revoked.
    Revocations(Arc<Revocations>),
}

/// A file that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read or written.
    #[error("{path}: {doing}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operation that failed.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// Its content can't be used.
    #[error("{path}: {why}")]
    Bad {
        /// The file.
        path: PathBuf,
        /// The fault, and what to do.
        why: String,
    },
}

impl FileError {
    pub(crate) fn bad(path: &Path, why: impl Into<String>) -> Self {
        Self::Bad {
            path: path.to_owned(),
            why: why.into(),
        }
    }

    /// Whether there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Bad { .. } => false,
        }
    }
}

const AUTHORITY_HEAD: &str = "area-net authority";
const CERTIFICATE_HEAD: &str = "area-net certificate";
const REVOCATIONS_HEAD: &str = "area-net revocations";

impl Content {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Io {
            path: path.to_owned(),
            doing: "can't read the file",
            source,
        };
        // A pipe would block until somebody writes.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(FileError::bad(path, "is not a regular file"));
        }
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE {
            let why = format!("has more than {} KiB", MAX_FILE / 1024);
            return Err(FileError::bad(path, why));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| FileError::bad(path, "is no file of an authority: it is not text"))?;
        Self::parse(&text).map_err(|why| FileError::bad(path, why))
    }

    /// Reads the text of a file.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim);
        let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        match lines.next() {
            Some(AUTHORITY_HEAD) => authorities(lines).map(Self::Authority),
            Some(CERTIFICATE_HEAD) => {
                let certificate = Certificate::from_bytes(&bytes(lines)?);
                let told = |error: CertificateError| error.to_string();
                certificate.map(Self::Certificate).map_err(told)
            }
            Some(REVOCATIONS_HEAD) => {
                let revocations = Revocations::from_bytes(&bytes(lines)?);
                let told = |error: RevocationsError| error.to_string();
                revocations.map(Self::Revocations).map_err(told)
            }
            Some(_) | None => Err(format!(
                "is no file of an authority: its first line should be \"{AUTHORITY_HEAD}\", \"{CERTIFICATE_HEAD}\" or \
                 \"{REVOCATIONS_HEAD}\""
            )),
        }
    }

    /// The text of a file.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Authority(authorities) => {
                let mut text = format!(
                    "{AUTHORITY_HEAD}\n# Public: every member needs this file beside its key.\nnetwork {}\n",
                    authorities.network()
                );
                for key in authorities.keys() {
                    let _ = writeln!(text, "key {key}");
                }
                text
            }
            Self::Certificate(certificate) => {
                let terms = certificate.terms();
                let until = date(terms.not_after);
                format!(
                    "{CERTIFICATE_HEAD}\n# For the node {} in the network {}, until {until}. Not secret.\n{}",
                    terms.id.short(),
                    terms.network,
                    hex(&certificate.to_bytes())
                )
            }
            Self::Revocations(revocations) => {
                let list = revocations.list();
                format!(
                    "{REVOCATIONS_HEAD}\n# Number {} of the network {}, of {}. Not secret.\n{}",
                    list.number,
                    list.network,
                    date(list.issued),
                    hex(&revocations.to_bytes())
                )
            }
        }
    }

    /// Writes a file. A reader sees the old content or the new one, never a part.
    pub(crate) fn write(&self, path: &Path) -> Result<(), FileError> {
        let care = Care {
            mode: 0o644,
            synced: true,
        };
        atomic_file::write(path, self.text().as_bytes(), care).map_err(|source| FileError::Io {
            path: path.to_owned(),
            doing: "can't write the file",
            source,
        })
    }

    /// The kind of the file, in words.
    fn kind(&self) -> &'static str {
        match self {
            Self::Authority(_) => "the public file of an authority",
            Self::Certificate(_) => "a certificate",
            Self::Revocations(_) => "a list of revocations",
        }
    }
}

/// Reads the public file of an authority.
pub(crate) fn read_authority(path: &Path) -> Result<Authorities, FileError> {
    match Content::read(path)? {
        Content::Authority(authorities) => Ok(authorities),
        other => Err(mistaken(path, &other, AUTHORITY)),
    }
}

/// Reads a certificate.
pub(crate) fn read_certificate(path: &Path) -> Result<Arc<Certificate>, FileError> {
    match Content::read(path)? {
        Content::Certificate(certificate) => Ok(certificate),
        other => Err(mistaken(path, &other, MEMBER)),
    }
}

/// Reads revocations.
pub(crate) fn read_revocations(path: &Path) -> Result<Arc<Revocations>, FileError> {
    match Content::read(path)? {
        Content::Revocations(revocations) => Ok(revocations),
        other => Err(mistaken(path, &other, REVOKED)),
    }
}

fn mistaken(path: &Path, content: &Content, name: &str) -> FileError {
    let why = format!(
        "is {}, where the file {name} of `area-net network` belongs",
        content.kind()
    );
    FileError::bad(path, why)
}

fn authorities<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Authorities, String> {
    let (mut network, mut keys) = (None, Vec::new());
    for line in lines {
        match line.split_once(' ').map(|(word, rest)| (word, rest.trim())) {
            Some(("network", name)) if network.is_none() => network = Some(name),
            Some(("key", digits)) => {
                let key = NodeId::from_hex(digits)
                    .map_err(|_| format!("the key {digits:?} has not 64 hexadecimal digits"))?;
                keys.push(AuthorityKey(key.0));
            }
            Some(_) | None => return Err(format!("the line {line:?} says nothing")),
        }
    }
    let network = network.ok_or("the line with the network's name is missing")?;
    Authorities::new(network, keys)
        .map_err(|count| format!("has {count} keys: 1 to {MAX_AUTHORITIES} are allowed"))
}

fn bytes<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<u8>, String> {
    let digits: Vec<u32> = lines
        .flat_map(str::chars)
        .map(|letter| letter.to_digit(16))
        .collect::<Option<_>>()
        .ok_or("has a line that is neither hexadecimal digits nor a comment after \"#\"")?;
    if !digits.len().is_multiple_of(2) {
        return Err("ends in the middle of a byte; copy it again".to_owned());
    }
    let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits are a byte");
    Ok(digits.chunks_exact(2).map(byte).collect())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len() + 2 * bytes.len() / DIGITS + 1);
    for line in bytes.chunks(DIGITS / 2) {
        for byte in line {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Terms;
    use crate::identity::Identity;
    use crate::record::Signer as _;
    use crate::revocations::Revoked;

    fn contents() -> [Content; 3] {
        let authority = Identity::from_seed(&[7; 32]);
        let keys = vec![AuthorityKey(authority.node_id().0), AuthorityKey([3; 32])];
        let terms = Terms {
            not_after: 1_795_996_800,
            ..Terms::new("office", NodeId([9; 32]), "*")
        };
        let list = Revoked::new("office", 4, 1_795_996_800, vec![NodeId([9; 32])]);
        [
            Content::Authority(Authorities::new("office", keys).unwrap()),
            Content::Certificate(Certificate::issue(terms, &authority).unwrap()),
            Content::Revocations(Revocations::issue(list, &authority).unwrap()),
        ]
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        for content in contents() {
            let path = dir.path().join("file");
            content.write(&path).unwrap();
            assert_eq!(Content::read(&path).unwrap(), content);
            let text = content.text();
            assert!(text.lines().all(|line| line.len() <= 120), "{text}");
            // Editors of other systems end lines differently, and people add remarks.
            let edited = format!("# mine\r\n\r\n{}", text.replace('\n', "\r\n"));
            assert_eq!(Content::parse(&edited).unwrap(), content);
        }
    }

    #[test]
    fn a_file_in_the_wrong_place_is_told_by_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        contents()[1].write(&path).unwrap();
        let said = read_authority(&path).unwrap_err().to_string();
        assert!(
            said.contains("is a certificate, where the file authority.pub"),
            "{said}"
        );
        assert!(
            read_revocations(&dir.path().join("none"))
                .unwrap_err()
                .is_missing()
        );
    }

    #[test]
    fn files_that_make_no_sense_say_why() {
        let [authority, certificate, _] = contents().map(|content| content.text());
        for (text, why) in [
            ("hello".to_owned(), "its first line should be"),
            (String::new(), "its first line should be"),
            ("area-net authority\nnetwork a\n".to_owned(), "has 0 keys"),
            (
                "area-net authority\nkey 12\n".to_owned(),
                "64 hexadecimal digits",
            ),
            ("area-net authority\nfoo\n".to_owned(), "says nothing"),
            (authority.replace("network office\n", ""), "name is missing"),
            (
                certificate.trim_end().trim_end_matches(|_| true).to_owned(),
                "its first line",
            ),
            (
                certificate[..certificate.len() - 2].to_owned(),
                "middle of a byte",
            ),
            (
                certificate[..certificate.len() - 3].to_owned(),
                "undecodable",
            ),
            (certificate.clone() + "zz", "neither hexadecimal digits"),
            (certificate + "00", "undecodable"),
        ] {
            let said = Content::parse(&text).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
