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

/// A request to measure the round-trip time to a neighbour now, with the channel for the answer in µs.
pub type PingRequest = (NodeId, oneshot::Sender<Option<u32>>);

/// The channel on which readers request measurements.
pub type Pings = mpsc::Sender<PingRequest>;

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

    /// Has the node probe a neighbour, and waits for the answer: the round-trip time in µs. `None`: the node has ended, or can't tell,
    /// or the link is gone. Whoever calls bounds the wait.
    pub async fn ping(&self, peer: NodeId) -> Option<u32> {
        let (answer, answered) = oneshot::channel();
        self.pings.as_ref()?.send((peer, answer)).await.ok()?;
        answered.await.ok()?
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
