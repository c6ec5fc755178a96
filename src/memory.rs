//! The memory of a node across runs (`state.json`): its epoch, and the addresses of nodes that were up.
//!
//! The file is synced and then renamed, so a kill or a power failure leaves either the old file or the new one. An unreadable file
//! is set aside, with a warning, and the node starts with an empty memory. That costs time only: the epoch follows the clock, and
//! peers send the addresses again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::atomic_file::{self, Care};
use crate::membership::{MAX_REMEMBERED, Remembered};
use crate::wire::NodeId;

/// The version of the file format that this program reads and writes.
const FORMAT: u32 = 1;
/// The largest file that is read. [`MAX_REMEMBERED`] nodes take less, so a larger file was not written by us.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// The highest epoch that this node has used.
    pub epoch: u64,
    /// Nodes and the addresses at which they could be dialed.
    pub nodes: Vec<(NodeId, Remembered)>,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    epoch: u64,
    nodes: Vec<Node>,
}

#[derive(Serialize, Deserialize)]
struct Node {
    id: String,
    addresses: Vec<SocketAddr>,
    last_seen_ms: u64,
    #[serde(default)]
    left: bool,
}

impl Memory {
    /// Reads the file. A missing file gives an empty memory. A broken one does too; it is kept as `state.json.broken`, and the
    /// cause is returned for the log. Nodes not seen for `keep` are dropped.
    #[must_use]
    pub fn load(path: &Path, now_ms: u64, keep: Duration) -> (Self, Option<String>) {
        let file = match read(path) {
            Ok(Some(file)) => file,
            Ok(None) => return (Self::default(), None),
            Err(why) => {
                let aside = path.with_extension("json.broken");
                let kept = match set_aside(path, &aside) {
                    Ok(done) => format!("{done} it to {}", aside.display()),
                    Err(error) => format!("can't move it to {} ({error})", aside.display()),
                };
                return (
                    Self::default(),
                    Some(format!("can't read {}: {why}; {kept}", path.display())),
                );
            }
        };
        let oldest = now_ms.saturating_sub(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX));
        let nodes = file
            .nodes
            .into_iter()
            .filter(|node| node.last_seen_ms >= oldest)
            .filter_map(|node| {
                let id = NodeId::from_hex(&node.id).ok()?;
                Some((
                    id,
                    Remembered::new(node.addresses, node.last_seen_ms.min(now_ms), node.left),
                ))
            })
            .take(MAX_REMEMBERED)
            .collect();
        (
            Self {
                epoch: file.epoch,
                nodes,
            },
            None,
        )
    }

    /// Encodes the file's contents. The event loop calls this, and [`save`] writes the bytes elsewhere.
    #[must_use]
    pub fn encode(epoch: u64, nodes: &BTreeMap<NodeId, Remembered>) -> Vec<u8> {
        let nodes = nodes
            .iter()
            .filter(|(_, node)| !node.addrs.is_empty())
            .map(|(id, node)| Node {
                id: id.to_string(),
                addresses: node.addrs.clone(),
                last_seen_ms: node.last_seen_ms,
                left: node.left,
            })
            .collect();
        serde_json::to_vec_pretty(&File {
            format: FORMAT,
            epoch,
            nodes,
        })
        .expect("a JSON value of numbers and text always encodes")
    }
}

/// Keeps a broken file for its user. A link stays, and a file that is mounted by itself can't be renamed, so those are copied.
fn set_aside(path: &Path, aside: &Path) -> io::Result<&'static str> {
    if !path.is_symlink() && fs::rename(path, aside).is_ok() {
        return Ok("renamed");
    }
    let mut from = fs::File::open(path)?.take(MAX_BYTES);
    io::copy(&mut from, &mut fs::File::create(aside)?)?;
    Ok("copied")
}

fn read(path: &Path) -> Result<Option<File>, String> {
    let length = match fs::metadata(path) {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if length > MAX_BYTES {
        return Err(format!(
            "its {length} bytes exceed the limit of {MAX_BYTES}"
        ));
    }
    // An empty file was made by somebody else, as the place of a mount.
    if length == 0 {
        return Ok(None);
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let file: File = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if file.format != FORMAT {
        return Err(format!(
            "its format is {}, but only {FORMAT} is known",
            file.format
        ));
    }
    Ok(Some(file))
}

/// Replaces the file with the bytes of [`Memory::encode`], by rename. Blocks, so the event loop must not call it.
///
/// # Errors
/// When the system can't create the folder, or write, sync or rename the file.
pub fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let care = Care {
        synced: true,
        ..Care::default()
    };
    atomic_file::write(path, bytes, care)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(byte: u8, last_seen_ms: u64) -> (NodeId, Remembered) {
        (
            NodeId([byte; 32]),
            Remembered::new(vec!["[::1]:8090".parse().unwrap()], last_seen_ms, byte == 9),
        )
    }

    #[test]
    fn saved_nodes_are_loaded_unless_they_are_too_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/state.json");
        let nodes = BTreeMap::from([node(1, 1000), node(9, 90_000)]);
        save(&path, &Memory::encode(42, &nodes)).unwrap();
        let (memory, warning) = Memory::load(&path, 100_000, Duration::from_secs(50));
        assert_eq!(warning, None);
        assert_eq!(
            memory,
            Memory {
                epoch: 42,
                nodes: vec![node(9, 90_000)]
            }
        );
    }

    #[test]
    fn a_broken_file_is_set_aside_and_named_in_the_warning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        fs::write(&path, b"{\"format\":1,").unwrap();
        let (memory, warning) = Memory::load(&path, 0, Duration::ZERO);
        assert_eq!(memory, Memory::default());
        assert!(warning.unwrap().contains("state.json"));
        assert_eq!(
            fs::read(dir.path().join("state.json.broken")).unwrap(),
            b"{\"format\":1,"
        );
    }

    #[test]
    fn a_link_to_a_broken_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let [path, there] = ["state.json", "there"].map(|name| dir.path().join(name));
        fs::write(&there, b"{").unwrap();
        std::os::unix::fs::symlink(&there, &path).unwrap();
        let (_, warning) = Memory::load(&path, 0, Duration::ZERO);
        assert!(warning.unwrap().contains("copied it to"));
        save(&path, &Memory::encode(42, &BTreeMap::new())).unwrap();
        let (memory, _) = Memory::load(&there, 0, Duration::ZERO);
        assert_eq!((memory.epoch, path.is_symlink()), (42, true));
    }

    #[test]
    fn a_missing_or_empty_file_gives_an_empty_memory() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty");
        fs::write(&empty, b"").unwrap();
        assert_eq!(
            Memory::load(&empty, 0, Duration::ZERO),
            (Memory::default(), None)
        );
        assert_eq!(
            Memory::load(&dir.path().join("state.json"), 0, Duration::ZERO),
            (Memory::default(), None)
        );
    }
}
