//! An immutable picture of the whole overlay as one node sees it: what files, pages and metrics are made of.
//!
//! The event loop publishes that *something changed* on a watch channel; a reader asks for the snapshot when it wants
//! one, so a picture that nobody looks at costs nothing, and no reader ever locks the core.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::wire::NodeId;

/// How a node stands in this node's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It can be reached from this node over links that both their ends list.
    Up,
    /// It can't be reached; it is remembered for ten minutes.
    Unreachable,
    /// It said that it leaves.
    Left,
}

/// A node in the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// Who it is.
    pub id: NodeId,
    /// What it calls itself: any text.
    pub label: Arc<str>,
    /// Where it can be dialed; the first is the one that worked, where one did.
    pub addrs: Vec<SocketAddr>,
    /// How it stands.
    pub state: NodeState,
    /// When `state` last changed, in Unix ms by this node's clock at its start plus the time since.
    pub since_ms: u64,
}

/// A link in the picture; it points from the node that dialed to the one that listened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkView {
    /// Index of the dialer in [`Snapshot::nodes`].
    pub dialer: usize,
    /// Index of the listener in [`Snapshot::nodes`].
    pub listener: usize,
    /// The dialer's smoothed round-trip time in µs, once there is one.
    pub rtt_us: Option<u32>,
    /// When that was measured, in Unix ms like [`NodeView::since_ms`].
    pub rtt_at_ms: u64,
    /// The measurement is older than measurements of this network should be.
    pub rtt_stale: bool,
    /// The share of probes that went unanswered, in 1/1000; less while there were few, when it may be chance.
    pub loss_permille: u16,
    /// One end has stopped getting answers, and it is not yet certain that the link is down.
    pub suspect: bool,
}

/// Counts of what was turned away, each named for what it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected(pub Vec<(&'static str, u64)>);

/// The whole picture. Nodes are in the order of their ids, links in that of (dialer, listener).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Index in `nodes` of the node whose view this is.
    pub me: usize,
    /// The network's name.
    pub network: Arc<str>,
    /// This node has lost all its links: what it shows of the others is the past, not news.
    pub cut_off: bool,
    /// What this node does to what it sends, in netem's words, if anything: `network.controller.impair`.
    pub impaired: Option<Arc<str>>,
    /// Every node that is up, and those that were lately.
    pub nodes: Vec<NodeView>,
    /// Every link that both its ends hold, between nodes that are up.
    pub links: Vec<LinkView>,
    /// What this node turned away.
    pub rejected: Rejected,
}

/// What has changed since the start, as two counters. Readers compare them with what they last saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Counts changes of nodes, states, links: of all but measurements.
    pub shape: u64,
    /// Counts changes of measurements and counters alone.
    pub figures: u64,
}

/// Where the event loop is asked for a snapshot: whoever wants one sends the sender of the answer.
pub type SnapshotRequests = mpsc::Sender<oneshot::Sender<Arc<Snapshot>>>;

/// A reader's two ends: it is told that something changed, and asks for the picture when it wants to show it.
#[derive(Debug, Clone)]
pub struct SnapshotReader {
    changes: watch::Receiver<Changes>,
    requests: SnapshotRequests,
}

impl SnapshotReader {
    /// A reader of the node that publishes on `changes` and answers `requests`.
    #[must_use]
    pub fn new(changes: watch::Receiver<Changes>, requests: SnapshotRequests) -> Self {
        Self { changes, requests }
    }

    /// Waits for a change that this reader has not seen yet, and returns the counters; `None` once the node has ended.
    /// Nothing is lost when the future is dropped halfway.
    pub async fn changed(&mut self) -> Option<Changes> {
        self.changes.changed().await.ok()?;
        Some(self.seen())
    }

    /// The counters as they stand; they count as seen from now on.
    pub fn seen(&mut self) -> Changes {
        *self.changes.borrow_and_update()
    }

    /// Asks the node for its picture, which is at least as new as any change seen before; `None` once the node has ended.
    pub async fn get(&self) -> Option<Arc<Snapshot>> {
        let (answer, snapshot) = oneshot::channel();
        self.requests.send(answer).await.ok()?;
        snapshot.await.ok()
    }
}
