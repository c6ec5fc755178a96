//! The files, and the thread that writes them.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};

use tracing::warn;

use super::{QlogLimits, Side};
use crate::events::EventName;

/// The most records that wait for the disk: about 1 MB. At half, a disk that hangs for a second costs a busy node some records; at double, it
/// takes 2 MB.
const WAITING: usize = 4096;

/// The longest record. quinn's have a few hundred bytes; one that is longer than this is left out.
const LONGEST: usize = 64 * 1024;

/// What the names of files end with: qlog as a sequence of JSON records.
const SUFFIX: &str = ".sqlog";

/// A connection's log.
#[derive(Debug)]
struct Log {
    name: String,
    /// The bytes that the file may still take.
    left: AtomicU64,
    /// The records that were left out.
    dropped: AtomicU64,
}

/// Makes logs, and hands their records to the thread.
#[derive(Debug)]
pub(super) struct Logs {
    started_ms: u64,
    next: AtomicU64,
    file_bytes: u64,
    records: SyncSender<Record>,
}

/// A record of a log; empty if the log is over.
type Record = (Arc<Log>, Vec<u8>);

impl Logs {
    pub(super) fn open(limits: QlogLimits, started_ms: u64) -> io::Result<Arc<Self>> {
        let (logs, records) = Self::new(&limits, started_ms);
        let mut files = Files::open(limits)?;
        std::thread::Builder::new()
            .name("qlog".to_owned())
            .spawn(move || files.write_all(&records))?;
        Ok(logs)
    }

    fn new(limits: &QlogLimits, started_ms: u64) -> (Arc<Self>, Receiver<Record>) {
        let (records, receiver) = sync_channel(WAITING);
        let logs = Self {
            started_ms,
            next: AtomicU64::new(0),
            file_bytes: limits.file_bytes,
            records,
        };
        (Arc::new(logs), receiver)
    }

    /// What the log of a connection is written to.
    pub(super) fn writer(&self, side: Side, remote: SocketAddr) -> Writer {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let side = match side {
            Side::Dialed => "dialed",
            Side::Accepted => "accepted",
        };
        // Some file systems have no colons.
        let remote = remote.to_string().replace([':', '%'], "_");
        let started_ms = self.started_ms;
        Writer {
            log: Arc::new(Log {
                name: format!("{started_ms:013}-{number:06}-{side}-{remote}{SUFFIX}"),
                left: AtomicU64::new(self.file_bytes),
                dropped: AtomicU64::new(0),
            }),
            record: Vec::new(),
            records: self.records.clone(),
        }
    }
}

/// What quinn writes to, while it holds a lock. It never waits.
pub(super) struct Writer {
    log: Arc<Log>,
    /// The record so far.
    record: Vec<u8>,
    records: SyncSender<Record>,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.record.len() <= LONGEST {
            self.record.extend_from_slice(bytes);
        }
        // A line break within JSON would be escaped, so it is the end of the record.
        if bytes.ends_with(b"\n") {
            self.hand_over();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Writer {
    fn hand_over(&mut self) {
        let record = std::mem::take(&mut self.record);
        let size = record.len() as u64;
        let left = self.log.left.load(Ordering::Relaxed);
        if left < size {
            // Whatever follows is left out too: a file has no gap before its end.
            self.log.left.store(0, Ordering::Relaxed);
        } else if record.len() > LONGEST
            || self.records.try_send((self.log.clone(), record)).is_err()
        {
            self.log.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            self.log.left.store(left - size, Ordering::Relaxed);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // If there is no room for it, the thread notices later that nobody holds the log.
        self.records.try_send((self.log.clone(), Vec::new())).ok();
    }
}

/// A file that this program wrote.
#[derive(Debug)]
struct Written {
    name: String,
    /// Its log, as long as its connection lives.
    log: Weak<Log>,
}

/// The files of the folder.
#[derive(Debug)]
struct Files {
    limits: QlogLimits,
    /// All of them, the oldest first.
    written: VecDeque<Written>,
    /// Those that are open. `None`: it could not be made, or written.
    open: BTreeMap<String, Option<File>>,
}

impl Files {
    fn open(limits: QlogLimits) -> io::Result<Self> {
        make_folder(&limits.folder)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&limits.folder)? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            if is_ours(&name) {
                names.push(name);
            }
        }
        names.sort();
        let of_before = |name| Written {
            name,
            log: Weak::new(),
        };
        Ok(Self {
            limits,
            written: names.into_iter().map(of_before).collect(),
            open: BTreeMap::new(),
        })
    }

    fn write_all(&mut self, records: &Receiver<Record>) {
        while let Ok((log, record)) = records.recv() {
            self.take(&log, &record);
        }
    }

    fn take(&mut self, log: &Arc<Log>, record: &[u8]) {
        if record.is_empty() {
            return self.end(log);
        }
        if !self.open.contains_key(&log.name) {
            let file = self.create(log);
            self.open.insert(log.name.clone(), file);
        }
        let Some(Some(file)) = self.open.get_mut(&log.name) else {
            log.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if let Err(error) = file.write_all(record) {
            tell(&log.name, &error.to_string());
            self.open.insert(log.name.clone(), None);
        }
    }

    fn end(&mut self, log: &Log) {
        self.open.remove(&log.name);
        let dropped = log.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            tell(&log.name, &format!("{dropped} records were left out"));
        }
    }

    /// Makes a file, once there is room for it. `None`: all files are those of connections that live, or the disk refused.
    fn create(&mut self, log: &Arc<Log>) -> Option<File> {
        while self.written.len() >= self.limits.files {
            let ended = |file: &Written| file.log.strong_count() == 0;
            let Some(oldest) = self.written.iter().position(ended) else {
                tell(
                    &log.name,
                    "every file that may exist is that of a connection that lives",
                );
                return None;
            };
            let oldest = self.written.remove(oldest).expect("it is there");
            self.open.remove(&oldest.name);
            // If somebody else has removed it, so much the better.
            fs::remove_file(self.limits.folder.join(&oldest.name)).ok();
        }
        let path: PathBuf = self.limits.folder.join(&log.name);
        match create(&path) {
            Ok(file) => {
                self.written.push_back(Written {
                    name: log.name.clone(),
                    log: Arc::downgrade(log),
                });
                Some(file)
            }
            Err(error) => {
                tell(&log.name, &error.to_string());
                None
            }
        }
    }
}

fn tell(file: &str, cause: &str) {
    warn!(file, cause, "{}", EventName::QlogIncomplete);
}

/// Whether a file has a name as we give them. No other one is ever removed.
fn is_ours(name: &str) -> bool {
    let mut parts = name.splitn(4, '-');
    let mut is_number = |digits| {
        parts
            .next()
            .is_some_and(|part| part.len() >= digits && part.bytes().all(|it| it.is_ascii_digit()))
    };
    is_number(13)
        && is_number(6)
        && matches!(parts.next(), Some("dialed" | "accepted"))
        && name.ends_with(SUFFIX)
}

fn make_folder(folder: &std::path::Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn create(path: &std::path::Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(folder: &std::path::Path, file_bytes: u64, files: usize) -> QlogLimits {
        QlogLimits {
            folder: folder.to_owned(),
            file_bytes,
            files,
        }
    }

    fn names(folder: &std::path::Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn remote(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    /// Writes what waits.
    fn empty(files: &mut Files, records: &Receiver<Record>) {
        for (log, record) in records.try_iter() {
            files.take(&log, &record);
        }
    }

    #[test]
    fn a_record_is_written_whole_and_a_file_ends_at_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let limits = limits(folder.path(), 20, 9);
        let (logs, records) = Logs::new(&limits, 1_764_460_000_000);
        let mut files = Files::open(limits).unwrap();
        let mut writer = logs.writer(Side::Dialed, remote(8090));
        for part in [
            "\u{1e}",
            "{\"a\":",
            "1}\n",
            "\u{1e}{\"b\":2}",
            "\n",
            "\u{1e}{\"c\":3}\n",
            "\u{1e}{}\n",
        ] {
            writer.write_all(part.as_bytes()).unwrap();
        }
        empty(&mut files, &records);
        let name = "1764460000000-000000-dialed-127.0.0.1_8090.sqlog";
        assert_eq!(names(folder.path()), [name]);
        // The third would exceed 20 bytes, and what follows is left out too.
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(text, "\u{1e}{\"a\":1}\n\u{1e}{\"b\":2}\n");
        assert_eq!(files.open.len(), 1);
        drop(writer);
        empty(&mut files, &records);
        assert_eq!(files.open.len(), 0);
    }

    #[test]
    fn a_writer_whose_thread_stalls_waits_for_nothing_and_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (logs, records) = Logs::new(&limits(folder.path(), u64::MAX, 9), 0);
        let mut writer = logs.writer(Side::Accepted, remote(1));
        for _ in 0..WAITING + 3 {
            writer.write_all(b"\x1e{}\n").unwrap();
        }
        assert_eq!(writer.log.dropped.load(Ordering::Relaxed), 3);
        writer.write_all(&[b'x'; 2 * LONGEST]).unwrap();
        drop(records);
        writer.write_all(b"\n").unwrap();
        assert_eq!(writer.log.dropped.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn the_oldest_file_of_an_ended_connection_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let strange = ["notes.sqlog", "1764459999999-000000-dialed-x.txt"];
        for name in strange
            .into_iter()
            .chain(["1764459999999-000007-accepted-__1_9.sqlog"])
        {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let limits = limits(folder.path(), 1000, 2);
        let (logs, records) = Logs::new(&limits, 1_764_460_000_000);
        let mut files = Files::open(limits).unwrap();
        let mut begin = |port| {
            let mut writer = logs.writer(Side::Dialed, remote(port));
            writer.write_all(b"\x1e{}\n").unwrap();
            empty(&mut files, &records);
            writer
        };
        let ours = || {
            let names = names(folder.path()).into_iter();
            let ours = names.filter(|name| is_ours(name));
            ours.map(|name| name[14..20].to_owned()).collect::<Vec<_>>()
        };
        let first = begin(1);
        assert_eq!(ours(), ["000007", "000000"]);
        let second = begin(2);
        assert_eq!(ours(), ["000000", "000001"]);
        // Both live, so there is no room for a third.
        let third = begin(3);
        assert_eq!(ours(), ["000000", "000001"]);
        drop((second, third));
        let _fourth = begin(4);
        assert_eq!(ours(), ["000000", "000003"]);
        drop(first);
        assert!(strange.iter().all(|name| folder.path().join(name).exists()));
    }
}
