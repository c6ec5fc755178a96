//! Network keys: secrets that the nodes of a network share, and the files that hold them.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::{hkdf, hmac};

/// The most keys of a node, in all of its files. A rotation needs two. Each key costs an application protocol in every ClientHello
/// (44 bytes) and a proof of 32 bytes; twice as many would make the first packet of a dial tight.
pub const MAX_KEYS: usize = 4;

/// The largest key file, in bytes. Four keys take 260; the rest is for comments. It bounds how much is read if the path is a device.
const MAX_FILE: u64 = 64 * 1024;

/// The salt of the HKDF that makes a network's tag. It never changes: it tells the tag from other hashes of the same key.
const TAG_SALT: &[u8] = b"area-net network tag";

/// A network key: 32 random bytes. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkKey([u8; 32]);

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkKey(..)")
    }
}

/// The network keys of a node; none in an open network. The first one is preferred.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<NetworkKey>);

/// Why a key file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It can't be read or written.
    #[error("network key file {path}: {doing}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operation that failed.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// It is no regular file, or far too long.
    #[error(
        "network key file {path}: {why}; `area-net network key FILE` makes a new file with a key"
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The fault.
        why: &'static str,
    },
    /// Others may read or write it.
    #[error(
        "network key file {path}: mode {mode:04o} lets others read or write it; run: chmod 600 {path}"
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to another user, who could change it.
    #[error(
        "network key file {path}: belongs to user {owner}, but this program runs as user {user}; run: chown {user} {path}"
    )]
    ForeignOwner {
        /// The file.
        path: PathBuf,
        /// The owner's user id.
        owner: u32,
        /// The user id of this process.
        user: u32,
    },
    /// A line is neither a key nor a comment.
    #[error("network key file {path}, line {line}: {why}")]
    BadLine {
        /// The file.
        path: PathBuf,
        /// The line's number, counted from 1.
        line: usize,
        /// The fault. It never quotes the line, which may be nearly a key.
        why: String,
    },
    /// There are more keys than a node may have.
    #[error("network key file {path}, line {line}: this is key {}; at most {MAX_KEYS} are allowed, in all files together", MAX_KEYS + 1)]
    TooMany {
        /// The file.
        path: PathBuf,
        /// The line's number, counted from 1.
        line: usize,
    },
    /// The setting contains a key instead of a path.
    #[error(
        "a network key stands where the path of its file belongs: write it into a file that only you can read, and name that file. \
         Other users of this machine may have seen the key: take a new one"
    )]
    KeyItself,
    /// The new file exists already.
    #[error(
        "network key file {0}: exists already, and a key is never overwritten; name another file"
    )]
    Exists(PathBuf),
}

impl NetworkKey {
    /// The key of these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A hash of the key and of the network's name, which tells a network from others without its name.
    fn tag(key: Option<&Self>, network: &str) -> [u8; 16] {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, TAG_SALT);
        let secret = secret.extract(key.map_or(&[], |key| &key.0[..]));
        let mut tag = [0; 32];
        secret
            .expand(&[network.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut tag))
            .expect("32 bytes of HKDF-SHA256");
        *tag.first_chunk().expect("32 bytes")
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

impl Keys {
    /// These keys, the preferred one first.
    ///
    /// # Panics
    /// If they are more than [`MAX_KEYS`].
    #[must_use]
    pub fn new(keys: Vec<NetworkKey>) -> Self {
        assert!(keys.len() <= MAX_KEYS, "{} keys", keys.len());
        Self(keys)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Reads key files, in the order of preference.
    ///
    /// # Errors
    /// If a file can't be used, or if the files hold too many keys.
    pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Self, KeyFileError> {
        let mut keys = Self::default();
        for path in paths {
            let path = path.as_ref();
            let text = read(path)?;
            keys.add(path, &text)?;
        }
        Ok(keys)
    }

    /// Adds the keys of a file's text.
    pub(crate) fn add(&mut self, path: &Path, text: &[u8]) -> Result<(), KeyFileError> {
        let before = self.0.len();
        for (line, words) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let words = words.trim_ascii();
            if words.is_empty() || words.starts_with(b"#") {
                continue;
            }
            let bad = |why: String| KeyFileError::BadLine {
                path: path.to_owned(),
                line,
                why,
            };
            let key = key_of(words).map_err(bad)?;
            if self.0.contains(&key) {
                return Err(bad("the same key stands before; remove one".to_owned()));
            }
            if self.0.len() == MAX_KEYS {
                return Err(KeyFileError::TooMany {
                    path: path.to_owned(),
                    line,
                });
            }
            self.0.push(key);
        }
        if self.0.len() == before {
            return Err(KeyFileError::Unusable {
                path: path.to_owned(),
                why: "contains no key",
            });
        }
        Ok(())
    }

    /// Makes a new key file with one random key. No file is ever overwritten.
    ///
    /// # Errors
    /// If the file exists or can't be written, or if the system has no entropy.
    pub fn create(path: &Path, key: &NetworkKey) -> Result<(), KeyFileError> {
        let failed = |doing| {
            move |source| KeyFileError::Io {
                path: path.to_owned(),
                doing,
                source,
            }
        };
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let mut file = match file {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(KeyFileError::Exists(path.to_owned()));
            }
            other => other.map_err(failed("can't create it"))?,
        };
        let hex: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "# area-net network key: a secret. Whoever has it can join the network.\n{hex}\n"
        );
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all());
        written.map_err(|source| {
            // Half a key would be in the way of the next attempt.
            fs::remove_file(path).ok();
            failed("can't write it")(source)
        })
    }

    /// The tags of the network with this name: one for each key, or the one of the open network.
    #[must_use]
    pub fn tags(&self, network: &str) -> Vec<[u8; 16]> {
        if self.0.is_empty() {
            return vec![NetworkKey::tag(None, network)];
        }
        let tags = self.0.iter();
        tags.map(|key| NetworkKey::tag(Some(key), network))
            .collect()
    }

    /// A proof of each key over a message.
    pub(super) fn prove(&self, message: &[u8]) -> Vec<[u8; 32]> {
        let prove = |key: &NetworkKey| {
            let proof = hmac::sign(&key.hmac(), message);
            proof.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
        };
        self.0.iter().map(prove).collect()
    }

    /// Whether a proof is one of any of the keys over this message. The time that it takes reveals nothing about a key.
    pub(super) fn verify(&self, message: &[u8], proofs: &[[u8; 32]]) -> bool {
        let keys: Vec<hmac::Key> = self.0.iter().map(NetworkKey::hmac).collect();
        let mut proven = false;
        for proof in proofs {
            for key in &keys {
                proven |= hmac::verify(key, message, proof).is_ok();
            }
        }
        proven
    }
}

/// The key in a line.
fn key_of(words: &[u8]) -> Result<NetworkKey, String> {
    if words.len() != 64 {
        return Err(format!(
            "a key has 64 hexadecimal digits, but the line has {} characters",
            words.len()
        ));
    }
    let digit = |at: usize| char::from(words[at]).to_digit(16);
    let mut key = [0; 32];
    for (at, byte) in key.iter_mut().enumerate() {
        let (high, low) = (digit(2 * at), digit(2 * at + 1));
        let (Some(high), Some(low)) = (high, low) else {
            let at = 2 * at + usize::from(high.is_some()) + 1;
            return Err(format!("character {at} is no hexadecimal digit"));
        };
        *byte = u8::try_from(high << 4 | low).expect("two digits are a byte");
    }
    if key.iter().all(|byte| *byte == key[0]) {
        return Err("this key is not random".to_owned());
    }
    Ok(NetworkKey(key))
}

/// Reads a key file, if nobody else can read or change it.
fn read(path: &Path) -> Result<Vec<u8>, KeyFileError> {
    let failed = |source| KeyFileError::Io {
        path: path.to_owned(),
        doing: "can't read it",
        source,
    };
    let unusable = |why| KeyFileError::Unusable {
        path: path.to_owned(),
        why,
    };
    // The path would appear in an error.
    let name = path.as_os_str().as_encoded_bytes();
    if name.len() == 64 && name.iter().all(u8::is_ascii_hexdigit) {
        return Err(KeyFileError::KeyItself);
    }
    // A pipe would block the start until somebody writes.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(unusable("is not a regular file"));
    }
    let file = File::open(path).map_err(failed)?;
    check_access(path, &file.metadata().map_err(failed)?)?;
    let mut text = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(unusable("has more than 64 KiB"));
    }
    Ok(text)
}

/// As ssh does: a file of this user may be read by nobody else. One of root may be read by a group, since that is how a container gets
/// a secret.
fn check_access(path: &Path, meta: &fs::Metadata) -> Result<(), KeyFileError> {
    let (user, owner) = (rustix::process::geteuid().as_raw(), meta.uid());
    if owner != user && owner != 0 {
        return Err(KeyFileError::ForeignOwner {
            path: path.to_owned(),
            owner,
            user,
        });
    }
    let mode = meta.mode() & 0o7777;
    let forbidden = if owner == user { 0o077 } else { 0o027 };
    if mode & forbidden != 0 {
        return Err(KeyFileError::TooOpen {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}
