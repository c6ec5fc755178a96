//! The overlay as one node sees it, as data: nodes, links, and what was rejected.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;

/// A node's state in this node's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// A path of links leads to it, each of which both of its ends list.
    Up,
    /// No such path exists. The node is remembered for `network.controller.memory.forget_after_s`.
    Unreachable,
    /// It announced that it leaves.
    Left,
}

/// A node in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// Its id.
    pub id: NodeId,
    /// The label that it has given itself: any text.
    pub label: Arc<str>,
    /// The addresses to dial. If one has worked, it is the first.
    pub addrs: Vec<SocketAddr>,
    /// Its state.
    pub state: NodeState,
    /// When `state` last changed, in ms since this node's start; see [`Snapshot::unix_ms`].
    pub since_ms: i64,
}

/// What one end of a link measures on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndFigures {
    /// The smoothed round-trip time in µs.
    pub rtt_us: u32,
    /// When it was measured, in ms since the start of the node whose view this is.
    pub rtt_at_ms: i64,
    /// The fraction of unanswered probes, in 1/1000.
    pub loss_permille: u16,
}

/// A link in the snapshot, directed from the dialer to the listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkView {
    /// Index of the dialer in [`Snapshot::nodes`].
    pub dialer: usize,
    /// Index of the listener in [`Snapshot::nodes`].
    pub listener: usize,
    /// The smoothed round-trip time in µs; `None` before the first measurement. The node whose view this is measures its own links; of all
    /// others this is the dialer's.
    pub rtt_us: Option<u32>,
    /// When it was measured, in ms since this node's start; less than 0 if it was before; see [`Snapshot::unix_ms`].
    pub rtt_at_ms: i64,
    /// The measurement is older than measurements of this network should be.
    pub rtt_stale: bool,
    /// The fraction of unanswered probes, in 1/1000. It is an underestimate while there are few probes, since the loss may be chance.
    pub loss_permille: u16,
    /// One end gets no answers, and the verdict is still open.
    pub suspect: bool,
    /// What the other end tells that it measures; `None` if it told nothing. A listener tells it in its record, so it is as old as that.
    pub other: Option<EndFigures>,
    /// Since when the two ends disagree, in ms since this node's start, so that the figures are one end's claim. The core doesn't compare
    /// them; the node does.
    pub disputed_ms: Option<i64>,
}

impl LinkView {
    /// What is shown as measured on the link; `None` before the first measurement.
    #[must_use]
    pub fn shown(&self) -> Option<EndFigures> {
        Some(EndFigures {
            rtt_us: self.rtt_us?,
            rtt_at_ms: self.rtt_at_ms,
            loss_permille: self.loss_permille,
        })
    }

    /// Whether the listener measured what is shown: in the view of node `me` that is so on the links that it did not dial.
    #[must_use]
    pub fn is_measured_by_listener(&self, me: usize) -> bool {
        self.listener == me
    }

    /// What the dialer and what the listener measure, in the view of node `me`.
    #[must_use]
    pub fn ends(&self, me: usize) -> [Option<EndFigures>; 2] {
        if self.is_measured_by_listener(me) {
            [self.other, self.shown()]
        } else {
            [self.shown(), self.other]
        }
    }
}

/// What this node has rejected: the name of each kind, and its count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected(pub Vec<(Cow<'static, str>, u64)>);

/// The whole overlay. Nodes are sorted by id, links by (dialer, listener).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Index in `nodes` of the node whose view this is.
    pub me: usize,
    /// When the snapshot was made, in ms since this node's start.
    pub at_ms: i64,
    /// This node's start in Unix ms, by the wall clock as it was when the snapshot was requested. The clock may have been corrected
    /// since the start.
    pub origin_ms: i64,
    /// The network's name.
    pub network: Arc<str>,
    /// This node has lost all its links, so its view of the others may be out of date.
    pub cut_off: bool,
    /// The impairment of what this node sends, in netem's syntax: `network.controller.impair`. `None`: not impaired.
    pub impaired: Option<Arc<str>>,
    /// Every node that is up, and those that were up recently.
    pub nodes: Vec<NodeView>,
    /// Every link between nodes that are up and that both of its ends list.
    pub links: Vec<LinkView>,
    /// The neighbours whose view differs from this node's, by their index in `nodes`, and since when, in ms since this node's start. News
    /// that is on its way makes views differ for a moment.
    pub differing: Vec<(usize, i64)>,
    /// What this node has rejected.
    pub rejected: Rejected,
}

impl Snapshot {
    /// The Unix time in ms of a time in ms since this node's start; 0 if the clock says that it was before 1970.
    #[must_use]
    pub fn unix_ms(&self, at_ms: i64) -> u64 {
        u64::try_from(self.origin_ms.saturating_add(at_ms)).unwrap_or_default()
    }
}

/// Two counters of changes since the start. Readers compare them with the values that they saw last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// The changes of nodes, states and links.
    pub shape: u64,
    /// The changes of measurements and counters.
    pub figures: u64,
}
