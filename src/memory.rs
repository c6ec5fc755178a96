//! The memory of a node across runs (`state.json`): its epoch, and the addresses of nodes that were up.
//!
//! The file is synced and then renamed, so a kill or a power failure leaves either the old file or the new one. An unreadable file
//! is set aside, with a warning, and the node starts with an empty memory. That costs time only: the epoch follows the clock, and
//! peers send the addresses again.
//!
//! How long a node was not seen is counted in the time that this node runs, not by the wall clock, which may be wrong by decades at a
//! start. So addresses survive a long time off.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustix::fs::renameat;
use serde::{Deserialize, Serialize};

use crate::atomic_file::{self, Care};
use crate::membership::{MAX_REMEMBERED, Remembered, Time};
use crate::trusted_path::{self, Place};
use crate::wire::NodeId;

/// The version of the file format that this program reads and writes.
const FORMAT: u32 = 1;
/// The largest file that is read. [`MAX_REMEMBERED`] nodes take less, so a larger file was not written by us.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The largest epoch that is believed: Unix milliseconds reach it in the year 10,889. A file with a larger one was damaged or
/// forged, and would leave the next runs no larger epoch to use. At half nothing changes.
const MAX_EPOCH: u64 = 1 << 48;

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// The highest epoch that this node has used.
    pub epoch: u64,
    /// Nodes and the addresses at which they could be dialed.
    pub nodes: Vec<(NodeId, Remembered)>,
    /// When these nodes were last up, in Unix ms, for [`Memory::encode`]. The wall clock may have been wrong.
    pub stamps: BTreeMap<NodeId, u64>,
}

/// When the memory is written.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time since the node's start.
    pub time: Time,
    /// The start in Unix ms, by the wall clock as it is now.
    pub origin_ms: i64,
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
    /// Unix time, for people: nothing is decided by it.
    last_seen_ms: u64,
    /// How long this node has run since. `None` in a file of an earlier version.
    unseen_ms: Option<u64>,
    #[serde(default)]
    left: bool,
}

impl Memory {
    /// Reads the file. A missing file gives an empty memory. A broken one does too; it is kept as `state.json.broken`, and the
    /// cause is returned for the log. Nodes that were not seen while this node ran for `keep` are dropped.
    #[must_use]
    pub fn load(path: &Path, keep: Duration) -> (Self, Option<String>) {
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
        (Self::of_file(file, keep), None)
    }

    /// Decodes the file's contents, as [`Self::load`] does.
    ///
    /// # Errors
    /// In words, if no node wrote that.
    pub fn decode(bytes: &[u8], keep: Duration) -> Result<Self, String> {
        parse(bytes).map(|file| Self::of_file(file, keep))
    }

    fn of_file(file: File, keep: Duration) -> Self {
        let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let newest_ms = file.nodes.iter().map(|node| node.last_seen_ms).max();
        let mut memory = Self {
            epoch: file.epoch,
            ..Self::default()
        };
        for node in file.nodes.into_iter().take(MAX_REMEMBERED) {
            let Ok(id) = NodeId::from_hex(&node.id) else {
                continue;
            };
            // An earlier version stored Unix times alone. Their order counts, but none is too old by such a time.
            let before_newest = newest_ms.unwrap_or_default() - node.last_seen_ms;
            let unseen_ms = node.unseen_ms.unwrap_or(before_newest.min(keep_ms));
            if unseen_ms > keep_ms || keep_ms == 0 {
                continue;
            }
            let seen_ms = i64::try_from(unseen_ms).map_or(i64::MIN, |unseen| -unseen);
            let known = Remembered::new(node.addresses, seen_ms, node.left);
            memory.nodes.push((id, known));
            memory.stamps.insert(id, node.last_seen_ms);
        }
        memory
    }

    /// Encodes the file's contents. The event loop calls this, and [`save`] writes the bytes elsewhere.
    #[must_use]
    pub fn encode(
        epoch: u64,
        nodes: &BTreeMap<NodeId, Remembered>,
        stamps: &BTreeMap<NodeId, u64>,
        moment: Moment,
    ) -> Vec<u8> {
        let now_ms = i64::try_from(moment.time.as_millis()).unwrap_or(i64::MAX);
        let stamp = |id: &NodeId, seen_ms: i64| {
            // Of a node that was not seen in this run, the stamp of the run that saw it is the best that is known.
            let earlier = stamps.get(id).filter(|_| seen_ms < 0).copied();
            let derived = moment.origin_ms.saturating_add(seen_ms);
            earlier.unwrap_or(u64::try_from(derived).unwrap_or_default())
        };
        let nodes = nodes
            .iter()
            .filter(|(_, node)| !node.addrs.is_empty())
            .map(|(id, node)| Node {
                id: id.to_string(),
                addresses: node.addrs.clone(),
                last_seen_ms: stamp(id, node.seen_ms),
                unseen_ms: Some(now_ms.saturating_sub(node.seen_ms).max(0).unsigned_abs()),
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

/// Keeps a broken file for its user. A link stays, and a file that is mounted by itself can't be renamed, so those are copied, and
/// only this user may read the copy: the file may be of any kind.
fn set_aside(path: &Path, aside: &Path) -> io::Result<&'static str> {
    let place = Place::of(path)?;
    let name = aside.file_name().unwrap_or_default();
    let rename = || renameat(place.folder(), place.name(), place.folder(), name);
    if !path.is_symlink() && rename().is_ok() {
        return Ok("renamed");
    }
    let bytes = trusted_path::read(path, MAX_BYTES)?;
    let care = Care {
        mode: 0o600,
        ..Care::default()
    };
    atomic_file::write(aside, &bytes, care)?;
    Ok("copied")
}

fn read(path: &Path) -> Result<Option<File>, String> {
    // Whoever links the file to a device wants nothing to be kept.
    if atomic_file::is_device_at(path) {
        return Ok(None);
    }
    let bytes = match trusted_path::read(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    // An empty file was made by somebody else, as the place of a mount.
    if bytes.is_empty() {
        return Ok(None);
    }
    parse(&bytes).map(Some)
}

fn parse(bytes: &[u8]) -> Result<File, String> {
    let file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if file.format != FORMAT {
        return Err(format!(
            "its format is {}, but only {FORMAT} is known",
            file.format
        ));
    }
    if file.epoch > MAX_EPOCH {
        return Err(format!(
            "its epoch {} is beyond any clock (at most {MAX_EPOCH})",
            file.epoch
        ));
    }
    Ok(file)
}

/// Replaces the file with the bytes of [`Memory::encode`], by rename. Blocks, so the event loop must not call it.
///
/// # Errors
/// When the system can't create the folder, or write, sync or rename the file.
pub fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        trusted_path::create_folder(dir, 0o777)?;
    }
    let care = Care {
        synced: true,
        ..Care::default()
    };
    atomic_file::write(path, bytes, care)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn node(byte: u8, seen_ms: i64) -> (NodeId, Remembered) {
        (
            NodeId([byte; 32]),
            Remembered::new(vec!["[::1]:8090".parse().unwrap()], seen_ms, byte == 9),
        )
    }

    /// 100 s after the start, by a clock that says how many seconds have passed since 1970.
    fn moment(wall_s: i64) -> Moment {
        Moment {
            time: Duration::from_secs(100),
            origin_ms: (wall_s - 100) * 1000,
        }
    }

    fn stored(memory: &Memory) -> Vec<(u8, i64, u64)> {
        let nodes = memory.nodes.iter();
        nodes
            .map(|(id, node)| (id.0[0], node.seen_ms, memory.stamps[id]))
            .collect()
    }

    #[test]
    fn saved_nodes_are_loaded_unless_they_were_unseen_for_too_long() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/state.json");
        let nodes = BTreeMap::from([node(1, 49_999), node(9, 90_000)]);
        let bytes = Memory::encode(42, &nodes, &BTreeMap::new(), moment(1_700_000_000));
        save(&path, &bytes).unwrap();
        let (memory, warning) = Memory::load(&path, Duration::from_secs(50));
        assert_eq!((memory.epoch, warning), (42, None));
        assert_eq!(stored(&memory), [(9, -10_000, 1_699_999_990_000)]);
        assert_eq!(memory.nodes, [node(9, -10_000)]);
    }

    #[test]
    fn a_wrong_clock_costs_no_address() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        let month = Duration::from_secs(30 * 24 * 3600);
        let mut memory = Memory::default();
        let mut nodes = BTreeMap::from([node(1, 60_000)]);
        // Each run sees another node; the clock is right, then in 1970, then far ahead, then right again.
        for (number, wall_s) in (2..).zip([1_700_000_000, 100, 9_000_000_000, 1_700_009_000]) {
            let bytes = Memory::encode(1, &nodes, &memory.stamps, moment(wall_s));
            save(&path, &bytes).unwrap();
            memory = Memory::load(&path, month).0;
            nodes = memory.nodes.iter().cloned().collect();
            nodes.insert(NodeId([number; 32]), node(number, 60_000).1);
        }
        assert_eq!(
            stored(&memory),
            [
                (1, -340_000, 1_699_999_960_000),
                (2, -240_000, 60_000),
                (3, -140_000, 8_999_999_960_000),
                (4, -40_000, 1_700_008_960_000),
            ],
            "the order of the runs is that of the nodes, and each stamp is as it was"
        );
    }

    #[test]
    fn a_file_of_an_earlier_version_keeps_its_order_and_all_its_nodes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        let line = |byte: u8, ms: u64| {
            let id = NodeId([byte; 32]);
            format!(r#"{{"id":"{id}","addresses":["[::1]:1"],"last_seen_ms":{ms}}}"#)
        };
        let nodes = [
            line(1, 5),
            line(2, 1_700_000_000_000),
            line(3, 1_699_999_999_000),
        ];
        let text = format!(r#"{{"format":1,"epoch":7,"nodes":[{}]}}"#, nodes.join(","));
        fs::write(&path, text).unwrap();
        let (memory, _) = Memory::load(&path, Duration::from_secs(50));
        let seen: Vec<i64> = memory.nodes.iter().map(|(_, node)| node.seen_ms).collect();
        assert_eq!(seen, [-50_000, 0, -1000]);
    }

    #[test]
    fn a_broken_file_is_set_aside_and_named_in_the_warning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        fs::write(&path, b"{\"format\":1,").unwrap();
        let (memory, warning) = Memory::load(&path, Duration::ZERO);
        assert_eq!(memory, Memory::default());
        assert!(warning.unwrap().contains("state.json"));
        assert_eq!(
            fs::read(dir.path().join("state.json.broken")).unwrap(),
            b"{\"format\":1,"
        );
    }

    #[test]
    fn what_no_node_wrote_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        let huge = fs::File::create(&path).unwrap();
        huge.set_len(MAX_BYTES + 1).unwrap();
        let (memory, warning) = Memory::load(&path, Duration::ZERO);
        assert_eq!(memory, Memory::default());
        let warning = warning.unwrap();
        assert!(warning.contains("more than 16777216 bytes"), "{warning}");

        for (epoch, believed) in [(u64::MAX, false), (MAX_EPOCH + 1, false), (MAX_EPOCH, true)] {
            let text = format!(r#"{{"format":1,"epoch":{epoch},"nodes":[]}}"#);
            fs::write(&path, text).unwrap();
            let (memory, warning) = Memory::load(&path, Duration::ZERO);
            let expected = if believed { epoch } else { 0 };
            assert_eq!((memory.epoch, warning.is_none()), (expected, believed));
        }
    }

    #[test]
    fn a_file_that_belongs_to_another_user_is_copied_for_nobody() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let [path, secret] = ["state.json", "secret"].map(|name| dir.path().join(name));
        fs::write(&secret, "secret").unwrap();
        std::os::unix::fs::symlink(&secret, &path).unwrap();
        std::os::unix::fs::lchown(&path, Some(65_533), None).unwrap();
        let (_, warning) = Memory::load(&path, Duration::ZERO);
        let warning = warning.unwrap();
        assert!(warning.contains("belongs to user 65533"), "{warning}");
        assert!(!dir.path().join("state.json.broken").exists());
    }

    #[test]
    fn a_link_to_a_broken_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let [path, there] = ["state.json", "there"].map(|name| dir.path().join(name));
        fs::write(&there, b"{").unwrap();
        std::os::unix::fs::symlink(&there, &path).unwrap();
        let (_, warning) = Memory::load(&path, Duration::ZERO);
        assert!(warning.unwrap().contains("copied it to"));
        let bytes = Memory::encode(42, &BTreeMap::new(), &BTreeMap::new(), moment(100));
        save(&path, &bytes).unwrap();
        let (memory, _) = Memory::load(&there, Duration::ZERO);
        assert_eq!((memory.epoch, path.is_symlink()), (42, true));
    }

    #[test]
    fn a_missing_or_empty_file_gives_an_empty_memory() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty");
        fs::write(&empty, b"").unwrap();
        assert_eq!(
            Memory::load(&empty, Duration::ZERO),
            (Memory::default(), None)
        );
        assert_eq!(
            Memory::load(&dir.path().join("state.json"), Duration::ZERO),
            (Memory::default(), None)
        );
    }
}
