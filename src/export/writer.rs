//! Puts the files on disk, on a thread of its own: a disk may take its time, the event loop may not.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;

use super::{Files, d2, json};
use crate::atomic_file::{self, Care};
use crate::snapshot::Snapshot;

/// The thread renders and writes, nothing deep. glibc counts thread-local storage in, hence not less.
const STACK_BYTES: usize = 256 * 1024;

/// While a file can't be written, the log says so at most this often.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// A picture to write.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) snapshot: Arc<Snapshot>,
    /// The exporter's time, for the pace of warnings.
    pub(super) now: Duration,
}

/// What came of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// The time of a core that rendering and writing took.
    pub(super) cost: Duration,
    /// All files hold the picture now.
    pub(super) complete: bool,
}

/// The exporter's ends of the way to the thread and back.
///
/// One job is under way at a time; only the last one of all may wait behind it, in the one slot there is. The thread
/// passes over a picture when a newer one waits.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) done: mpsc::Receiver<Done>,
}

/// The other ends, for whoever does the work.
pub(super) struct Worker {
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) done: mpsc::Sender<Done>,
}

/// Both sides of the hand-over.
pub(super) fn handover() -> (Handover, Worker) {
    let (jobs, jobs_out) = mpsc::channel(1);
    // The job under way and the one in the slot: reporting never blocks the thread.
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

/// The writing thread's nice value (setpriority(2)).
#[cfg(target_os = "linux")]
const PRIORITY: i32 = 10;

/// Starts the thread. It ends when the hand-over is dropped.
///
/// # Errors
/// When the system has no thread left for us.
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

/// Pictures wait when a machine is busy: the links come first. Where the system refuses, they don't wait.
fn yield_to_the_node() {
    // On Linux this is about the calling thread alone; elsewhere it would be about all of the node.
    #[cfg(target_os = "linux")]
    let _refused = rustix::process::setpriority_process(None, PRIORITY);
}

/// The files as they are on disk.
#[derive(Debug)]
pub(super) struct Disk {
    peers: Target,
    network: Target,
    picture: Option<Target>,
}

impl Disk {
    /// Makes the folder, and a place-holder where `d2 --watch` expects a file. What fails here fails again, and is told,
    /// at the first job.
    pub(super) fn new(files: Files) -> Self {
        let Files { dir, d2 } = files;
        let disk = Self {
            peers: Target::new(&dir, "peers.json"),
            network: Target::new(&dir, "network.json"),
            picture: d2.then(|| Target::new(&dir, "peers.d2")),
        };
        let made = fs::create_dir_all(&dir);
        if let (Ok(()), Some(picture)) = (made, &disk.picture)
            && !picture.path.exists()
        {
            let _told_at_the_first_job = picture.put(d2::NOTHING_YET.as_bytes());
        }
        disk
    }

    /// Brings all files up to date. An error in one of them keeps none of the others back.
    pub(super) fn handle_job(&mut self, job: &Job) -> Done {
        let begun = thread_time();
        let Job { snapshot, now } = job;
        let mut complete = self.peers.update(*now, &json::peers(snapshot));
        complete &= self.network.update(*now, &json::network(snapshot));
        if let Some(picture) = &mut self.picture {
            complete &= picture.update(*now, &d2::picture(snapshot));
        }
        Done {
            cost: thread_time().saturating_sub(begun),
            complete,
        }
    }
}

/// The time that this thread has had on a core. Not the time that went by: on a busy machine that would
/// stretch the pace though we cost nobody anything.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Stands for a file's content, to tell whether it changed. Nobody gains by a collision: the file would be one change old.
fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// One file.
#[derive(Debug)]
struct Target {
    path: PathBuf,
    temporary: PathBuf,
    /// What we last put there.
    content: Option<u64>,
    trouble: Trouble,
}

impl Target {
    fn new(dir: &Path, name: &str) -> Self {
        Self {
            path: dir.join(name),
            temporary: dir.join(format!(".{name}.new")),
            content: None,
            trouble: Trouble::default(),
        }
    }

    /// Makes the file hold `bytes`, unless it does already; returns whether it does now.
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
                    tracing::info!(file = %self.path.display(), "the file can be written again");
                }
                true
            }
            Err(error) => {
                if self.trouble.handle_error(now) {
                    tracing::warn!(
                        file = %self.path.display(),
                        %error,
                        "the file can't be written; the node goes on without, and keeps trying"
                    );
                }
                false
            }
        }
    }

    /// Replaces the file. Nothing is synced: it is a picture, soon replaced.
    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        let write = || atomic_file::write(&self.path, &self.temporary, bytes, Care::default());
        match write() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(dir) = self.path.parent() {
                    fs::create_dir_all(dir)?;
                }
                write()
            }
            written => written,
        }
    }
}

/// Decides what the log is told about a file in trouble: the first error at once, then one a minute.
#[derive(Debug, Default)]
struct Trouble {
    lasts: bool,
    /// When the log was last told.
    told_at: Option<Duration>,
    /// The log was told of the trouble that lasts.
    told: bool,
}

impl Trouble {
    /// Returns whether to tell of this error.
    fn handle_error(&mut self, now: Duration) -> bool {
        self.lasts = true;
        let tell = self
            .told_at
            .is_none_or(|told_at| now.saturating_sub(told_at) >= WARN_INTERVAL);
        if tell {
            self.told_at = Some(now);
            self.told = true;
        }
        tell
    }

    /// Returns whether to tell that it is over.
    fn handle_success(&mut self) -> bool {
        let tell = self.lasts && self.told;
        self.lasts = false;
        self.told = false;
        tell
    }
}

#[cfg(test)]
mod tests {
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
            d2: true,
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

    /// Identifies the very file: replacing it makes another.
    fn inode(path: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn the_picture_exists_from_the_start_and_nothing_is_left_beside_the_files() {
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
            d2::picture(&example::three())
        );
    }

    #[test]
    fn a_picture_of_a_former_run_stays_until_there_is_a_new_one() {
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
            d2: false,
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

        // Somebody removed one: it is missing, so it is written.
        fs::remove_file(&peers).unwrap();
        let mut snapshot = example::three();
        snapshot.links[0].rtt_us = Some(98);
        disk.handle_job(&job(snapshot, Duration::ZERO));
        assert!(peers.exists());
    }

    #[test]
    fn a_folder_that_is_deleted_comes_back() {
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
    fn a_file_in_the_folders_place_is_survived_and_recovered_from() {
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
    fn trouble_with_one_file_keeps_none_of_the_others_back() {
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
    fn the_log_is_told_of_trouble_at_once_then_each_minute_and_of_its_end() {
        let mut trouble = Trouble::default();
        let at = Duration::from_secs;
        assert!(!trouble.handle_success());
        assert!(trouble.handle_error(at(5)));
        assert!(!trouble.handle_error(at(8)));
        assert!(!trouble.handle_error(at(64)));
        assert!(trouble.handle_error(at(65)));
        assert!(trouble.handle_success());
        assert!(!trouble.handle_success());
        // Flapping is no way around the limit, and nobody is told of the end of what he wasn't told of.
        assert!(!trouble.handle_error(at(70)));
        assert!(!trouble.handle_success());
        assert!(!trouble.handle_error(at(124)));
        assert!(trouble.handle_error(at(125)));
        assert!(trouble.handle_success());
    }
}
