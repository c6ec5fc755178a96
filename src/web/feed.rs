//! Keeps the chronicle current while somebody looks.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::body::Problem;
use crate::chronicle::Archive;
use crate::snapshot::{Changes, Ended, Pinged, SnapshotReader};
use crate::wire::NodeId;

/// The least time between two snapshots. A change is to be on a page within 100 ms; twice this would take half of that.
const LEAST_PAUSE: Duration = Duration::from_millis(25);

/// A pause has so many times the work of a snapshot on the event loop, which is about a microsecond for each node and link: it takes up
/// to a fiftieth of a core. Half of this would let a page at a thousand nodes take twice as much.
const PAUSE_PER_ITEM: Duration = Duration::from_micros(50);

/// The longest pause, for the largest networks.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The least time between two snapshots if only measurements changed: they change all the time, and nobody reads them faster.
const FIGURES_PAUSE: Duration = Duration::from_secs(1);

/// How long a node may take for a snapshot. One that is starved takes seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the node for snapshots, and records them.
#[derive(Debug)]
pub(super) struct Feed {
    /// `None`: a recording, or a simulation, which records by itself.
    reader: Option<SnapshotReader>,
    archive: Arc<Archive>,
    last: Mutex<Option<Instant>>,
    /// How many look.
    lookers: watch::Sender<usize>,
}

/// Somebody looks, as long as it is held.
#[derive(Debug)]
pub(super) struct Looking(Arc<Feed>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.lookers.send_modify(|lookers| *lookers -= 1);
    }
}

impl Feed {
    pub(super) fn new(reader: Option<SnapshotReader>, archive: Arc<Archive>) -> Self {
        Self {
            reader,
            archive,
            last: Mutex::new(None),
            lookers: watch::Sender::new(0),
        }
    }

    pub(super) fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Whether more may come: it is no recording.
    pub(super) fn is_live(&self) -> bool {
        self.archive.grows()
    }

    pub(super) fn lookers(&self) -> usize {
        *self.lookers.borrow()
    }

    /// Keeps the chronicle current until the result is dropped.
    pub(super) fn look(self: &Arc<Self>) -> Looking {
        self.lookers.send_modify(|lookers| *lookers += 1);
        Looking(Arc::clone(self))
    }

    /// Waits until the node has ended; for ever, for a recording or a simulation.
    pub(super) async fn ended(&self) {
        match &self.reader {
            Some(reader) => reader.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Notices snapshots that were recorded.
    pub(super) fn recorded(&self) -> watch::Receiver<u64> {
        self.archive.recorded()
    }

    /// Records a snapshot, unless the last one is so new that it will do. Of a simulation that has just begun, waits for the first view.
    pub(super) async fn refresh(&self) -> Result<(), Problem> {
        let Some(reader) = &self.reader else {
            let mut recorded = self.recorded();
            let begun = recorded.wait_for(|_| self.archive.read(|it| it.last().is_some()));
            // Whoever asks is told if there is none.
            drop(timeout(PATIENCE, begun).await);
            return Ok(());
        };
        let mut last = self.last.lock().await;
        if last.is_some_and(|last| last.elapsed() < self.pause()) {
            return Ok(());
        }
        self.take(reader).await?;
        *last = Some(Instant::now());
        Ok(())
    }

    /// Has the node measure the times to the nodes of a path. An error: it can't.
    pub(super) async fn ping(&self, path: Vec<NodeId>) -> Result<Pinged, Ended> {
        let reader = self.reader.as_ref().ok_or(Ended)?;
        reader.ping(path).await
    }

    async fn take(&self, reader: &SnapshotReader) -> Result<(), Problem> {
        let problem = |what: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, what);
        let asked = timeout(PATIENCE, reader.get()).await;
        let snapshot = asked.map_err(|_| problem("the node is too busy to answer"))?;
        let snapshot = snapshot.ok_or_else(|| problem("the node stops"))?;
        self.archive.record(&snapshot);
        Ok(())
    }

    fn pause(&self) -> Duration {
        let items = self.archive.read(|chronicle| {
            let last = chronicle.last();
            last.map_or(0, |last| last.nodes.len() + last.links.len())
        });
        let items = u32::try_from(items).unwrap_or(u32::MAX);
        let pause = PAUSE_PER_ITEM.saturating_mul(items);
        pause.clamp(LEAST_PAUSE, LONGEST_PAUSE)
    }

    /// Records each change while somebody looks. Ends with the node.
    pub(super) async fn run(self: Arc<Self>) {
        let Some(mut reader) = self.reader.clone() else {
            return;
        };
        let mut lookers = self.lookers.subscribe();
        let mut shown = Changes::default();
        loop {
            // The sender is here.
            drop(lookers.wait_for(|lookers| *lookers > 0).await);
            // A change that came while nobody looked counts at once.
            if reader.seen() == shown && reader.changed().await.is_none() {
                return;
            }
            let pause = self.pause();
            if reader.seen().shape == shown.shape {
                let last = *self.last.lock().await;
                let due =
                    last.map_or_else(Instant::now, |last| last + FIGURES_PAUSE.max(pause * 4));
                loop {
                    tokio::select! {
                        biased;
                        changes = reader.changed() => match changes {
                            Some(changes) if changes.shape != shown.shape => break,
                            Some(_) => {}
                            None => return,
                        },
                        () = sleep_until(due) => break,
                    }
                }
            }
            let last = *self.last.lock().await;
            if let Some(last) = last {
                sleep_until(last + pause).await;
            }
            // Read before the snapshot is requested: a change in between is recorded twice rather than never.
            shown = reader.seen();
            if self.take(&reader).await.is_ok() {
                *self.last.lock().await = Some(Instant::now());
            } else if reader.changed().await.is_none() {
                return;
            }
        }
    }
}
