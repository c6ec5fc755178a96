//! Writes the files on a thread of its own, since a disk may block and the event loop may not.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;

use super::{Files, d2, json};
use crate::atomic_file::{self, Care};
use crate::chronicle::Archive;
use crate::events::EventName;
use crate::settings::Shows;
use crate::snapshot::Snapshot;
use crate::trusted_path;

/// The stack of the thread. Rendering and writing need little of it, but glibc takes thread-local storage out of it too.
const STACK_BYTES: usize = 256 * 1024;

/// The permissions of the folder before the process's mask, as the system gives them: its files are for other programs.
const FOLDER_MODE: u32 = 0o777;

/// The least time between two warnings about one file.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// A snapshot to write.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) snapshot: Arc<Snapshot>,
    /// The exporter's time, for the rate of warnings.
    pub(super) now: Duration,
}

/// The result of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// The core time that rendering and writing took.
    pub(super) cost: Duration,
    /// All files contain the snapshot now.
    pub(super) complete: bool,
}

/// The exporter's ends of the channels to and from the thread.
///
/// At most one job is under way. Only the last job of all may wait behind it, in the single slot. The thread skips a snapshot if a
/// newer one waits.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) done: mpsc::Receiver<Done>,
}

/// The thread's ends of the channels.
pub(super) struct Worker {
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) done: mpsc::Sender<Done>,
}

/// Creates both ends.
pub(super) fn handover() -> (Handover, Worker) {
    let (jobs, jobs_out) = mpsc::channel(1);
    // Room for the results of the job under way and the one in the slot, so that the thread never blocks on a report.
    let (done, done_out) = mpsc::channel(2);
    (
        Handover {
            jobs,
            done: done_out,
        },
        Worker {
            jobs: jobs_out,
            done,
        },
    )
}

/// The thread's nice value (setpriority(2)).
#[cfg(target_os = "linux")]
const PRIORITY: i32 = 10;

/// Starts the thread. It ends when the [`Handover`] is dropped.
///
/// # Errors
/// When the system can't start a thread.
pub(super) fn spawn(files: Files, mut worker: Worker) -> io::Result<()> {
    std::thread::Builder::new()
        .name("export".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            yield_to_the_node();
            let mut disk = Disk::new(files);
            while let Some(mut job) = worker.jobs.blocking_recv() {
                while let Ok(newer) = worker.jobs.try_recv() {
                    job = newer;
                }
                let done = disk.handle_job(&job);
                if worker.done.blocking_send(done).is_err() {
                    break;
                }
            }
        })
        .map(drop)
}

/// Lowers the thread's priority: on a busy machine the links come first. A refusal by the system is ignored.
pub(crate) fn yield_to_the_node() {
    // On Linux this applies to the calling thread alone; elsewhere it would apply to the whole process.
    #[cfg(target_os = "linux")]
    let _refused = rustix::process::setpriority_process(None, PRIORITY);
}

/// The files, and what is known of their contents on disk.
#[derive(Debug)]
pub(super) struct Disk {
    peers: Target,
    network: Target,
    picture: Option<(Target, Shows)>,
    archive: Option<Arc<Archive>>,
}

impl Disk {
    /// Creates the folder, and a placeholder for `peers.d2`, since `d2 --watch` needs a file. A failure here recurs at the first
    /// job, which logs it.
    pub(super) fn new(files: Files) -> Self {
        let Files { dir, d2, archive } = files;
        let disk = Self {
            peers: Target::new(&dir, "peers.json"),
            network: Target::new(&dir, "network.json"),
            picture: d2.map(|shows| (Target::new(&dir, "peers.d2"), shows)),
            archive,
        };
        let made = trusted_path::create_folder(&dir, FOLDER_MODE);
        if let (Ok(()), Some((picture, _))) = (made, &disk.picture)
            && !picture.path.exists()
        {
            let _told_at_the_first_job = picture.put(d2::NOTHING_YET.as_bytes());
        }
        disk
    }

    /// Updates all files. An error in one does not affect the others.
    pub(super) fn handle_job(&mut self, job: &Job) -> Done {
        let begun = thread_time();
        let Job { snapshot, now } = job;
        if let Some(archive) = &self.archive {
            archive.record(snapshot);
        }
        let mut complete = self.peers.update(*now, &json::peers(snapshot));
        complete &= self.network.update(*now, &json::network(snapshot));
        if let Some((picture, shows)) = &mut self.picture {
            complete &= picture.update(*now, &d2::picture(snapshot, *shows));
        }
        Done {
            cost: thread_time().saturating_sub(begun),
            complete,
        }
    }
}

/// The core time that this thread has used. Elapsed time would be wrong: on a busy machine it grows without any cost to others.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// A hash that detects changed contents. A collision would do little harm: the file would lack one change.
fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// One file.
#[derive(Debug)]
struct Target {
    path: PathBuf,
    /// The fingerprint of what was last written.
    content: Option<u64>,
    trouble: Trouble,
}

impl Target {
    fn new(dir: &Path, name: &str) -> Self {
        Self {
            path: dir.join(name),
            content: None,
            trouble: Trouble::default(),
        }
    }

    /// Writes `bytes` unless the file contains them already. Returns whether it contains them now.
    fn update(&mut self, now: Duration, bytes: &[u8]) -> bool {
        let content = fingerprint(bytes);
        let unchanged = self.content == Some(content);
        if unchanged && self.path.exists() {
            return true;
        }
        match self.put(bytes) {
            Ok(()) => {
                self.content = Some(content);
                if self.trouble.handle_success() {
                    tracing::info!(file = %self.path.display(), "{}", EventName::FileRecovered);
                }
                true
            }
            Err(error) => {
                if self.trouble.handle_error(now) {
                    tracing::warn!(
                        file = %self.path.display(),
                        %error,
                        action = "continuing; retrying every 3 s",
                        "{}",
                        EventName::FileNotWritten
                    );
                }
                false
            }
        }
    }

    /// Replaces the file, which is complete at every instant. Nothing is synced, since the contents are soon replaced.
    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        let write = || atomic_file::write(&self.path, bytes, Care::default());
        match write() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(dir) = self.path.parent() {
                    trusted_path::create_folder(dir, FOLDER_MODE)?;
                }
                write()
            }
            written => written,
        }
    }
}

/// Limits the warnings about one file: the first error at once, then one a minute.
#[derive(Debug, Default)]
struct Trouble {
    lasts: bool,
    /// When a warning was last logged.
    logged_at: Option<Duration>,
    /// The present trouble was logged.
    logged: bool,
}

impl Trouble {
    /// Returns whether to log this error.
    fn handle_error(&mut self, now: Duration) -> bool {
        self.lasts = true;
        let log = self
            .logged_at
            .is_none_or(|logged_at| now.saturating_sub(logged_at) >= WARN_INTERVAL);
        if log {
            self.logged_at = Some(now);
            self.logged = true;
        }
        log
    }

    /// Returns whether to log the recovery.
    fn handle_success(&mut self) -> bool {
        let log = self.lasts && self.logged;
        self.lasts = false;
        self.logged = false;
        log
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::export::example;

    fn job(snapshot: Snapshot, now: Duration) -> Job {
        Job {
            snapshot: Arc::new(snapshot),
            now,
        }
    }

    fn files(dir: &Path) -> Files {
        Files {
            dir: dir.to_owned(),
            d2: Some(Shows::Auto),
            archive: None,
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Identifies the file: a replacement has another inode.
    fn inode(path: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn a_placeholder_exists_from_the_start_and_no_temporary_file_remains() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("profiles/bob");
        let mut disk = Disk::new(files(&dir));
        assert_eq!(
            fs::read_to_string(dir.join("peers.d2")).unwrap(),
            d2::NOTHING_YET
        );
        let done = disk.handle_job(&job(example::three(), Duration::ZERO));
        assert!(done.complete);
        assert_eq!(names(&dir), ["network.json", "peers.d2", "peers.json"]);
        assert_eq!(
            fs::read(dir.join("peers.d2")).unwrap(),
            d2::picture(&example::three(), Shows::Auto)
        );
    }

    #[test]
    fn a_picture_of_an_earlier_run_stays_until_the_first_write() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("peers.d2"), "old").unwrap();
        fs::write(temp.path().join(".peers.d2.new"), "half a pict").unwrap();
        let mut disk = Disk::new(files(temp.path()));
        assert_eq!(
            fs::read_to_string(temp.path().join("peers.d2")).unwrap(),
            "old"
        );
        assert!(
            disk.handle_job(&job(example::alone(), Duration::ZERO))
                .complete
        );
        assert_eq!(
            names(temp.path()),
            ["network.json", "peers.d2", "peers.json"]
        );
    }

    #[test]
    fn without_d2_there_is_no_picture() {
        let temp = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(Files {
            dir: temp.path().to_owned(),
            d2: None,
            archive: None,
        });
        disk.handle_job(&job(example::three(), Duration::ZERO));
        assert_eq!(names(temp.path()), ["network.json", "peers.json"]);
    }

    #[test]
    fn only_files_that_change_are_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(files(temp.path()));
        disk.handle_job(&job(example::three(), Duration::ZERO));
        let [peers, network, picture] =
            ["peers.json", "network.json", "peers.d2"].map(|name| temp.path().join(name));
        let before = [&peers, &network, &picture].map(|path| inode(path));
        disk.handle_job(&job(example::three(), Duration::ZERO));
        assert_eq!(before, [&peers, &network, &picture].map(|path| inode(path)));

        let mut snapshot = example::three();
        snapshot.links[0].rtt_us = Some(99);
        disk.handle_job(&job(snapshot, Duration::ZERO));
        let after = [&peers, &network, &picture].map(|path| inode(path));
        assert_eq!(before[0], after[0]);
        assert_ne!(before[1], after[1]);
        assert_ne!(before[2], after[2]);

        // A removed file is written again.
        fs::remove_file(&peers).unwrap();
        let mut snapshot = example::three();
        snapshot.links[0].rtt_us = Some(98);
        disk.handle_job(&job(snapshot, Duration::ZERO));
        assert!(peers.exists());
    }

    #[test]
    fn a_deleted_folder_is_created_again() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("bob");
        let mut disk = Disk::new(files(&dir));
        disk.handle_job(&job(example::three(), Duration::ZERO));
        fs::remove_dir_all(&dir).unwrap();
        assert!(
            disk.handle_job(&job(example::three(), Duration::ZERO))
                .complete
        );
        assert_eq!(names(&dir), ["network.json", "peers.d2", "peers.json"]);
    }

    #[test]
    fn a_file_in_place_of_the_folder_is_tolerated() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("bob");
        fs::write(&dir, "in the way").unwrap();
        let mut disk = Disk::new(files(&dir));
        assert!(
            !disk
                .handle_job(&job(example::three(), Duration::ZERO))
                .complete
        );
        fs::remove_file(&dir).unwrap();
        assert!(
            disk.handle_job(&job(example::three(), Duration::ZERO))
                .complete
        );
        assert_eq!(names(&dir), ["network.json", "peers.d2", "peers.json"]);
    }

    #[test]
    fn an_error_in_one_file_does_not_affect_the_others() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("peers.json")).unwrap();
        let mut disk = Disk::new(files(temp.path()));
        assert!(
            !disk
                .handle_job(&job(example::three(), Duration::ZERO))
                .complete
        );
        assert_eq!(
            names(temp.path()),
            ["network.json", "peers.d2", "peers.json"]
        );
        fs::remove_dir(temp.path().join("peers.json")).unwrap();
        assert!(
            disk.handle_job(&job(example::three(), Duration::ZERO))
                .complete
        );
        assert!(temp.path().join("peers.json").is_file());
    }

    #[test]
    fn an_error_is_logged_at_once_then_each_minute_and_its_recovery_once() {
        let mut trouble = Trouble::default();
        let at = Duration::from_secs;
        assert!(!trouble.handle_success());
        assert!(trouble.handle_error(at(5)));
        assert!(!trouble.handle_error(at(8)));
        assert!(!trouble.handle_error(at(64)));
        assert!(trouble.handle_error(at(65)));
        assert!(trouble.handle_success());
        assert!(!trouble.handle_success());
        // Flapping does not evade the limit, and a recovery is logged only if its error was.
        assert!(!trouble.handle_error(at(70)));
        assert!(!trouble.handle_success());
        assert!(!trouble.handle_error(at(124)));
        assert!(trouble.handle_error(at(125)));
        assert!(trouble.handle_success());
    }
}
