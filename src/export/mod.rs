//! The files that show the network: `peers.json`, `network.json` and `peers.d2`.
//!
//! - [`json`] and [`d2`] render a [`Snapshot`]: pure functions from the picture to bytes.
//! - [`Pace`] says when the files are written: soon after a change, never without one, and never so often
//!   that they cost more than 1 % of a core.
//! - A thread of its own renders and writes: a slow disk stops neither the event loop nor the exporter. Each file is
//!   replaced by a rename, so that it is whole at every instant, whatever is killed when.
//! - [`Exporter`] is the task between them: it listens for changes, waits for the pace, asks the node for its picture, hands
//!   it to the thread.
//!
//! Nothing that happens to the files ever stops a node. A file that can't be written is a warning, repeated once a minute.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::snapshot::{Snapshot, SnapshotReader};

pub mod d2;
#[cfg(test)]
mod example;
pub mod json;
mod pace;
mod writer;

pub use pace::Pace;

use writer::{Done, Handover, Job, Worker};

/// How long a node that stops waits for its last picture.
const FINISH_TIMEOUT: Duration = Duration::from_millis(200);

/// Which files to write, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The folder; it is made where it is missing, with those above it.
    pub dir: PathBuf,
    /// Write `peers.d2` too.
    pub d2: bool,
}

/// The task that keeps the files up to date. It ends when the node does; dropping this leaves it running until then.
#[derive(Debug)]
pub struct Exporter {
    task: JoinHandle<()>,
    /// Takes the last picture.
    stop: oneshot::Sender<Option<Arc<Snapshot>>>,
}

impl Exporter {
    /// Starts the task on the runtime that this is called in, and the thread that writes. The first picture is asked for
    /// at once.
    #[must_use]
    pub fn start(reader: SnapshotReader, files: Files) -> Self {
        let (handover, worker) = writer::handover();
        spawn_writer(files, worker);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(reader, handover, stopped));
        Self { task, stop }
    }

    /// Ends the task once the last picture is on disk, within 200 ms.
    ///
    /// The node that ends hands in its last picture. Without one, what changed and isn't written yet is asked for
    /// as ever, which takes a node that still answers.
    pub async fn finish(self, last: Option<Arc<Snapshot>>) {
        self.finish_within(FINISH_TIMEOUT, last).await;
    }

    async fn finish_within(self, limit: Duration, last: Option<Arc<Snapshot>>) {
        // Nobody listens when the task has ended already.
        let _ended_already = self.stop.send(last);
        if timeout(limit, self.task).await.is_err() {
            tracing::warn!(
                "the last picture of the network is not on disk: it did not get there in time"
            );
        }
    }
}

/// A node without the thread is a node without files: worth a warning, nothing more.
fn spawn_writer(files: Files, worker: Worker) {
    let dir = files.dir.clone();
    if let Err(error) = writer::spawn(files, worker) {
        tracing::warn!(dir = %dir.display(), %error, "no files of the network: there is no thread to write them");
    }
}

/// Why the exporter ends.
enum End {
    /// The node is gone.
    Closed,
    /// The node asks for a last writing, of this picture if there is one.
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
        // The slot is free, since only one job is under way; or the thread is gone, and with it all hope.
        let _no_thread = handover.jobs.try_send(job);
    }
    let Handover { jobs, mut done } = handover;
    // The thread ends after the last job, and its end of the way back with it.
    drop(jobs);
    while done.recv().await.is_some() {}
}

/// Writes what changes, at the pace, until there is a reason to end.
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
        // Looked at before the picture is asked for: what changes in between is written twice rather than never.
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

/// Waits until somebody calls [`Exporter::finish`]; forever, if the handle was dropped.
async fn stopped(stop: &mut oneshot::Receiver<Option<Arc<Snapshot>>>) -> Option<Arc<Snapshot>> {
    if !stop.is_terminated()
        && let Ok(last) = stop.await
    {
        return last;
    }
    std::future::pending().await
}
