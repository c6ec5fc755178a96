//! Reads `network.json` for the benchmark. It reads no more of it than needed, because reading takes CPU from the nodes that are
//! being timed.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The key at which the file's long part begins. Inside a string its quotes would be escaped, so a search can't match there.
const LINKS_KEY: &[u8] = b"\"links\"";

/// The number of bytes that are read at a time.
const CHUNK: usize = 32 * 1024;

/// The view without its links.
#[derive(Debug, Deserialize)]
pub(crate) struct Head<'a> {
    /// The node that wrote the view.
    #[serde(borrow)]
    pub(crate) node: Cow<'a, str>,
    /// The node reports that it has no links left.
    pub(crate) cut_off: bool,
    /// The nodes that it knows.
    #[serde(borrow)]
    pub(crate) nodes: Vec<Node<'a>>,
}

/// A node in a view.
#[derive(Debug, Deserialize)]
pub(crate) struct Node<'a> {
    /// Its id.
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    /// The label that it gives itself.
    #[serde(borrow)]
    pub(crate) label: Cow<'a, str>,
    /// Its status: `up`, or another word.
    #[serde(borrow)]
    pub(crate) state: Cow<'a, str>,
    /// When its status last changed, in Unix ms.
    pub(crate) changed_ms: u64,
}

/// The links of a view.
#[derive(Debug, Deserialize)]
pub(crate) struct Links<'a> {
    /// All of them.
    #[serde(borrow)]
    pub(crate) links: Vec<Link<'a>>,
}

/// A link in a view.
#[derive(Debug, Deserialize)]
pub(crate) struct Link<'a> {
    /// The id of the end that dialed.
    #[serde(borrow)]
    pub(crate) dialer: Cow<'a, str>,
    /// The id of the other end.
    #[serde(borrow)]
    pub(crate) listener: Cow<'a, str>,
}

/// The version of a file that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Version {
    inode: u64,
    /// When it was written, in Unix ns.
    pub(crate) written_ns: u64,
}

/// Reads the file into `buffer`: all of it, or only up to the end of the head. A renamed file never changes after it was opened,
/// so the bytes read are of one version.
pub(crate) fn read(path: &Path, all: bool, buffer: &mut Vec<u8>) -> Result<Version> {
    let mut file = File::open(path).with_context(|| format!("can't open {}", path.display()))?;
    let about = file.metadata().context("can't stat")?;
    let written_ns =
        about.mtime().unsigned_abs() * 1_000_000_000 + about.mtime_nsec().unsigned_abs();
    buffer.clear();
    loop {
        let before = buffer.len();
        let limit = if all { u64::MAX } else { CHUNK as u64 };
        let count = (&mut file)
            .take(limit)
            .read_to_end(buffer)
            .context("can't read")?;
        let searched = before.saturating_sub(LINKS_KEY.len());
        if all || count == 0 || find_links(&buffer[searched..]).is_some() {
            return Ok(Version {
                inode: about.ino(),
                written_ns,
            });
        }
    }
}

/// Returns the length of the head in `text`. It is all of `text` if the links don't come last.
pub(crate) fn head_len(text: &[u8]) -> usize {
    find_links(text).unwrap_or(text.len())
}

/// Parses a head of [`head_len`] bytes.
pub(crate) fn parse_head<'a>(head: &[u8], scratch: &'a mut Vec<u8>) -> Result<Head<'a>> {
    scratch.clear();
    scratch.extend_from_slice(head.trim_ascii_end());
    if scratch.last() == Some(&b',') {
        scratch.pop();
        scratch.push(b'}');
    }
    serde_json::from_slice(scratch).context("not a view as we know it")
}

/// Parses the links of a file that was read as a whole.
pub(crate) fn parse_links(text: &[u8]) -> Result<Links<'_>> {
    serde_json::from_slice(text).context("not a view as we know it")
}

/// Returns the position at which the links begin.
fn find_links(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    // It searches for `l`, because that is rarer in a view than a quote.
    while let Some(at) = text[from..].iter().position(|byte| *byte == b'l') {
        let start = (from + at).checked_sub(1);
        if let Some(start) = start
            && text[start..].starts_with(LINKS_KEY)
        {
            return Some(start);
        }
        from += at + 1;
    }
    None
}
