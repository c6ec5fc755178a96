//! Immutable snapshots of the whole overlay as one node sees it, and the readers that request them. Files are rendered from them.
//!
//! The event loop announces changes on a watch channel. A reader requests a snapshot when it needs one. So a snapshot that nobody
//! reads costs nothing, and readers never lock the core.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

pub use area_net_core::snapshot::*;

use crate::wire::NodeId;

/// The channel on which readers request snapshots. A request contains the channel for the answer.
pub type SnapshotRequests = mpsc::Sender<oneshot::Sender<Arc<Snapshot>>>;

/// A request to measure a path from the node now, with the channel for the answer: the path's nodes, without the node itself.
pub type PingRequest = (Vec<NodeId>, oneshot::Sender<Pinged>);

/// The round-trip time to each node of a path in µs, as far as answers came. `None`: too much was asked for at once.
pub type Pinged = Option<Vec<Option<u32>>>;

/// The channel on which readers request measurements.
pub type Pings = mpsc::Sender<PingRequest>;

/// The node has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended;

/// A reader's access: it is notified of changes, and requests snapshots.
#[derive(Debug, Clone)]
pub struct SnapshotReader {
    changes: watch::Receiver<Changes>,
    requests: SnapshotRequests,
    pings: Option<Pings>,
}

impl SnapshotReader {
    /// Creates a reader of the node that announces on `changes` and answers `requests`.
    #[must_use]
    pub fn new(changes: watch::Receiver<Changes>, requests: SnapshotRequests) -> Self {
        Self {
            changes,
            requests,
            pings: None,
        }
    }

    /// The same for a node that also measures on request.
    #[must_use]
    pub fn with_pings(self, pings: Pings) -> Self {
        Self {
            pings: Some(pings),
            ..self
        }
    }

    /// Has the node measure a path now: an echo goes to each of its nodes. Waits for the answers, for a few seconds at most. An error:
    /// the node has ended, or can't measure.
    pub async fn ping(&self, path: Vec<NodeId>) -> Result<Pinged, Ended> {
        let (answer, answered) = oneshot::channel();
        let pings = self.pings.as_ref().ok_or(Ended)?;
        pings.send((path, answer)).await.map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }

    /// Waits for a change that this reader has not seen yet, and returns the counters. `None`: the node has ended. No change is lost
    /// if the future is dropped early.
    pub async fn changed(&mut self) -> Option<Changes> {
        self.changes.changed().await.ok()?;
        Some(self.seen())
    }

    /// Returns the current counters, and marks them as seen.
    pub fn seen(&mut self) -> Changes {
        *self.changes.borrow_and_update()
    }

    /// Waits until the node has ended.
    pub async fn ended(&self) {
        self.requests.closed().await;
    }

    /// Requests a snapshot. It contains every change seen before. `None`: the node has ended.
    pub async fn get(&self) -> Option<Arc<Snapshot>> {
        let (answer, snapshot) = oneshot::channel();
        self.requests.send(answer).await.ok()?;
        snapshot.await.ok()
    }
}
