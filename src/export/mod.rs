//! The files that show the network: `peers.json`, `network.json` and `peers.d2`.
//!
//! - [`json`] and [`d2`] render a [`Snapshot`]: pure functions from the snapshot to bytes.
//! - [`Pace`] decides when the files are written: soon after a change, never without one, and for at most 1 % of a core.
//! - A thread of its own renders and writes, so a slow disk stops neither the event loop nor the exporter. Each file is replaced
//!   by rename, so it is complete at every instant, even if the node is killed.
//! - [`Exporter`] is the task that connects them. It listens for changes, waits until a write is due, requests a snapshot from
//!   the node and hands it to the thread.
//!
//! No failure of a file stops the node. A file that can't be written causes a warning, at most once a minute.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::chronicle::Archive;
use crate::events::EventName;
use crate::settings::Shows;
use crate::snapshot::{Snapshot, SnapshotReader};

mod choice;
pub mod d2;
#[cfg(test)]
pub(crate) mod example;
pub mod formats;
pub mod json;
mod pace;
pub(crate) mod text;
mod writer;

pub use pace::Pace;

pub(crate) use writer::yield_to_the_node;
use writer::{Done, Handover, Job, Worker};

/// How long a stopping node waits for its last snapshot to be written. It is a part of the second within which a node stops.
const FINISH_TIMEOUT: Duration = Duration::from_millis(200);

/// Which files to write, and where.
#[derive(Debug, Clone)]
pub struct Files {
    /// The folder. It is created if it is missing, with its parents.
    pub dir: PathBuf,
    /// Write `peers.d2` too, and what it shows.
    pub d2: Option<Shows>,
    /// The history that every snapshot is added to before it is written.
    pub archive: Option<Arc<Archive>>,
}

/// The task that keeps the files up to date. It ends with the node, even if this handle was dropped before.
#[derive(Debug)]
pub struct Exporter {
    task: JoinHandle<()>,
    /// Receives the last snapshot.
    stop: oneshot::Sender<Option<Arc<Snapshot>>>,
}

impl Exporter {
    /// Starts the task on the current runtime, and the thread that writes. The first snapshot is requested at once.
    #[must_use]
    pub fn start(reader: SnapshotReader, files: Files) -> Self {
        let (handover, worker) = writer::handover();
        spawn_writer(files, worker);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(reader, handover, stopped));
        Self { task, stop }
    }

    /// Ends the task once the last snapshot is on disk, after 200 ms at most.
    ///
    /// A stopping node passes its last snapshot. Without one, unwritten changes are requested from the node, if it still answers.
    pub async fn finish(self, last: Option<Arc<Snapshot>>) {
        self.finish_within(FINISH_TIMEOUT, last).await;
    }

    async fn finish_within(self, limit: Duration, last: Option<Arc<Snapshot>>) {
        // The send fails if the task has ended already.
        let _ended_already = self.stop.send(last);
        if timeout(limit, self.task).await.is_err() {
            let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(limit_ms, "{}", EventName::LastSnapshotNotWritten);
        }
    }
}

/// Starts the thread. If that fails, the node runs without files.
fn spawn_writer(files: Files, worker: Worker) {
    let dir = files.dir.clone();
    if let Err(error) = writer::spawn(files, worker) {
        tracing::warn!(dir = %dir.display(), %error, "{}", EventName::ExportUnavailable);
    }
}

/// Why the exporter ends.
enum End {
    /// The node is gone.
    Closed,
    /// The node requests a last write, of this snapshot if there is one.
    Stop(Option<Arc<Snapshot>>),
}

async fn run(
    mut reader: SnapshotReader,
    mut handover: Handover,
    mut stop: oneshot::Receiver<Option<Arc<Snapshot>>>,
) {
    let start = Instant::now();
    let mut pace = Pace::default();
    pace.handle_changes(reader.seen());
    let end = follow(start, &mut pace, &mut reader, &mut handover, &mut stop).await;
    let last = match end {
        End::Stop(Some(last)) => Some(last),
        End::Stop(None) if pace.is_behind() => reader.get().await,
        End::Stop(None) | End::Closed => None,
    };
    if let Some(snapshot) = last {
        let now = start.elapsed();
        let job = Job { snapshot, now };
        // The slot is free, since at most one job is under way. The send fails only if the thread has ended.
        let _no_thread = handover.jobs.try_send(job);
    }
    let Handover { jobs, mut done } = handover;
    // The thread ends after the last job, which closes `done`.
    drop(jobs);
    while done.recv().await.is_some() {}
}

/// Requests writes when they are due, until the node ends or asks to stop.
async fn follow(
    start: Instant,
    pace: &mut Pace,
    reader: &mut SnapshotReader,
    handover: &mut Handover,
    stop: &mut oneshot::Receiver<Option<Arc<Snapshot>>>,
) -> End {
    loop {
        let due_at = pace.poll_timeout();
        tokio::select! {
            biased;
            last = stopped(stop) => return End::Stop(last),
            done = handover.done.recv() => match done {
                Some(Done { cost, complete }) => {
                    pace.handle_end(start.elapsed(), cost, complete);
                    continue;
                }
                None => return End::Closed,
            },
            changes = reader.changed() => match changes {
                Some(changes) => {
                    pace.handle_changes(changes);
                    continue;
                }
                None => return End::Closed,
            },
            () = sleep_until(start + due_at.unwrap_or_default()), if due_at.is_some() => {}
        }
        // Read before the snapshot is requested: a change in between is then written twice rather than never.
        let changes = reader.seen();
        let snapshot = tokio::select! {
            biased;
            last = stopped(stop) => return End::Stop(last),
            snapshot = reader.get() => match snapshot {
                Some(snapshot) => snapshot,
                None => return End::Closed,
            },
        };
        let now = start.elapsed();
        if handover.jobs.try_send(Job { snapshot, now }).is_err() {
            return End::Closed;
        }
        pace.handle_begin(now, changes);
    }
}

/// Waits until [`Exporter::finish`] is called; forever, if the handle was dropped.
async fn stopped(stop: &mut oneshot::Receiver<Option<Arc<Snapshot>>>) -> Option<Arc<Snapshot>> {
    if !stop.is_terminated()
        && let Ok(last) = stop.await
    {
        return last;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::snapshot::Changes;
    use writer::Disk;

    /// A node that answers with a snapshot in which bob's round-trip time counts the answers.
    struct Node {
        changes: watch::Sender<Changes>,
        reader: SnapshotReader,
    }

    impl Node {
        fn start() -> Self {
            let (changes, changed) = watch::channel(Changes::default());
            let (requests, mut requested) = mpsc::channel::<oneshot::Sender<Arc<Snapshot>>>(1);
            tokio::spawn(async move {
                let mut snapshot = example::three();
                while let Some(answer) = requested.recv().await {
                    let rtt_us = snapshot.links[0].rtt_us.unwrap_or_default();
                    snapshot.links[0].rtt_us = Some(rtt_us + 1);
                    let _gone = answer.send(Arc::new(snapshot.clone()));
                }
            });
            Self {
                changes,
                reader: SnapshotReader::new(changed, requests),
            }
        }

        fn change_shape(&self) {
            self.changes.send_modify(|changes| changes.shape += 1);
        }

        fn change_figures(&self) {
            self.changes.send_modify(|changes| changes.figures += 1);
        }
    }

    /// An exporter whose thread is replaced by a task, so that the paused clock applies to it. Writes cost no time, and each is
    /// reported with its time in ms.
    fn start(node: &Node, files: Files) -> (Exporter, mpsc::UnboundedReceiver<u128>) {
        let (handover, mut worker) = writer::handover();
        let (written, writings) = mpsc::unbounded_channel();
        let begun = Instant::now();
        tokio::spawn(async move {
            let mut disk = Disk::new(files);
            while let Some(job) = worker.jobs.recv().await {
                let Done { complete, .. } = disk.handle_job(&job);
                let cost = Duration::ZERO;
                worker.done.send(Done { cost, complete }).await.ok();
                written.send(begun.elapsed().as_millis()).ok();
            }
        });
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(node.reader.clone(), handover, stopped));
        (Exporter { task, stop }, writings)
    }

    async fn sleep_ms(ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    fn drain(writings: &mut mpsc::UnboundedReceiver<u128>) -> Vec<u128> {
        std::iter::from_fn(|| writings.try_recv().ok()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn writes_at_once_then_when_due_and_never_without_a_change() {
        let temp = tempfile::tempdir().unwrap();
        let node = Node::start();
        let (_exporter, mut writings) = start(&node, files(&temp));
        sleep_ms(1000).await;
        assert_eq!(drain(&mut writings), [0]);

        node.change_shape();
        sleep_ms(50).await;
        assert_eq!(drain(&mut writings), [1000]);
        node.change_shape();
        sleep_ms(5).await;
        node.change_shape();
        sleep_ms(945).await;
        assert_eq!(drain(&mut writings), [1050, 1090]);

        for _ in 0..100 {
            node.change_figures();
            sleep_ms(50).await;
        }
        assert_eq!(drain(&mut writings), [3090, 5090]);
        sleep_ms(100_000).await;
        assert_eq!(drain(&mut writings), [7090]);
        assert_eq!(
            fs::read(temp.path().join("peers.json")).unwrap(),
            json::peers(&example::three())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn goes_on_while_the_folder_is_unusable_and_recovers_without_a_change() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("bob");
        fs::write(&dir, "in the way").unwrap();
        let node = Node::start();
        let target = Files {
            dir: dir.clone(),
            d2: Some(Shows::Auto),
            archive: None,
        };
        let (_exporter, mut writings) = start(&node, target);
        sleep_ms(7000).await;
        assert_eq!(drain(&mut writings), [0, 3000, 6000]);
        fs::remove_file(&dir).unwrap();
        sleep_ms(60_000).await;
        assert_eq!(drain(&mut writings), [9000]);
        assert!(dir.join("peers.d2").exists());
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_snapshot_is_on_disk_when_finish_returns() {
        let temp = tempfile::tempdir().unwrap();
        let node = Node::start();
        let (exporter, _writings) = start(&node, files(&temp));
        sleep_ms(10).await;
        node.change_shape();
        let last = Arc::new(example::alone());
        exporter.finish(Some(last)).await;
        assert_eq!(
            fs::read(temp.path().join("peers.d2")).unwrap(),
            d2::picture(&example::alone(), Shows::Auto)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn finish_writes_a_change_that_is_not_due_yet() {
        let temp = tempfile::tempdir().unwrap();
        let node = Node::start();
        let (exporter, mut writings) = start(&node, files(&temp));
        sleep_ms(10).await;
        node.change_figures();
        sleep_ms(10).await;
        exporter.finish(None).await;
        assert_eq!(drain(&mut writings), [0, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn ends_with_the_node_and_runs_without_its_handle() {
        let temp = tempfile::tempdir().unwrap();
        let node = Node::start();
        let (Exporter { task, stop }, mut writings) = start(&node, files(&temp));
        drop(stop);
        sleep_ms(10).await;
        assert_eq!(drain(&mut writings), [0]);
        assert!(!task.is_finished());
        drop(node);
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_disk_delays_finish_by_200_ms_at_most() {
        let node = Node::start();
        let (handover, mut worker) = writer::handover();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(node.reader.clone(), handover, stopped));
        let job = worker.jobs.recv().await;
        assert!(job.is_some());
        let begun = Instant::now();
        Exporter { task, stop }
            .finish(Some(Arc::new(example::alone())))
            .await;
        assert_eq!(begun.elapsed(), FINISH_TIMEOUT);
    }

    #[tokio::test]
    async fn the_thread_writes_and_ends() {
        let temp = tempfile::tempdir().unwrap();
        let node = Node::start();
        let exporter = Exporter::start(node.reader.clone(), files(&temp));
        let last = Arc::new(example::alone());
        exporter
            .finish_within(Duration::from_secs(60), Some(last))
            .await;
        assert_eq!(
            fs::read(temp.path().join("peers.d2")).unwrap(),
            d2::picture(&example::alone(), Shows::Auto)
        );
    }

    fn files(temp: &tempfile::TempDir) -> Files {
        Files {
            dir: temp.path().to_owned(),
            d2: Some(Shows::Auto),
            archive: None,
        }
    }
}
