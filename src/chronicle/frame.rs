//! Frames: the differences of which a history consists.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::snapshot::{EndFigures, NodeState};
use crate::wire::NodeId;

/// Why a node's state is what it is, or why a link is gone: nodes by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The node whose record was the first to say so.
    pub by: u32,
    /// The neighbour that brought that record. `None`: the node whose view this is saw it itself.
    pub via: Option<u32>,
}

/// A node that came into view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its number.
    pub n: u32,
    /// Its id.
    pub id: NodeId,
    /// Its label: any text.
    pub label: Arc<str>,
    /// Its addresses; see [`crate::snapshot::NodeView::addrs`].
    pub addrs: Vec<SocketAddr>,
    /// Its state.
    pub state: NodeState,
    /// When the state last changed, in ms since the start of the node whose view this is.
    pub since_ms: i64,
    /// Why.
    pub told: Option<Told>,
}

/// What changed of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeChange {
    /// Its number.
    pub n: u32,
    /// Its new label.
    pub label: Option<Arc<str>>,
    /// Its new addresses.
    pub addrs: Option<Vec<SocketAddr>>,
    /// Its new state, with the time of the change and its origin.
    pub state: Option<(NodeState, i64, Option<Told>)>,
}

/// What is shown as measured on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// See [`crate::snapshot::LinkView::rtt_us`].
    pub rtt_us: Option<u32>,
    /// The age of the measurement at the time of the frame, in ms.
    pub age_ms: i64,
    /// The measurement is older than measurements of this network should be.
    pub stale: bool,
    /// The fraction of unanswered probes, in 1/1000.
    pub loss_permille: u16,
}

/// A link that came into view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number.
    pub l: u32,
    /// The number of the dialer.
    pub dialer: u32,
    /// The number of the listener.
    pub listener: u32,
    /// When it was first seen, in ms since the start of the node whose view this is.
    pub since_ms: i64,
    /// What is measured on it.
    pub figures: Figures,
    /// One end gets no answers, and the verdict is still open.
    pub suspect: bool,
    /// What the other end tells.
    pub other: Option<EndFigures>,
    /// Since when the two ends disagree, in ms since the start of the node whose view this is.
    pub disputed_ms: Option<i64>,
}

/// A link that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkGone {
    /// Its number.
    pub l: u32,
    /// Why.
    pub told: Option<Told>,
}

/// What changed from one snapshot to the next one. Numbers are never given twice within a history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// When the later snapshot was made, in ms since the start of the node.
    pub at_ms: i64,
    /// A keyframe: the difference from nothing. It contains the number of the node whose view this is.
    pub whole: Option<u32>,
    /// The start of the node in Unix ms, if the wall clock was corrected.
    pub origin_ms: Option<i64>,
    /// The node lost all its links, or has links again.
    pub cut_off: Option<bool>,
    /// The impairment of what the node sends, in netem's syntax.
    pub impaired: Option<Option<Arc<str>>>,
    /// Nodes that came into view.
    pub nodes: Vec<Node>,
    /// Nodes that changed.
    pub changed: Vec<NodeChange>,
    /// Nodes that are shown no longer.
    pub forgotten: Vec<u32>,
    /// Links that came into view.
    pub links: Vec<Link>,
    /// Links that are gone.
    pub gone: Vec<LinkGone>,
    /// Links whose suspicion changed.
    pub suspect: Vec<(u32, bool)>,
    /// New measurements of links.
    pub figures: Vec<(u32, Figures)>,
    /// What the other ends of links tell, if that changed.
    pub others: Vec<(u32, Option<EndFigures>)>,
    /// Since when the two ends of links disagree, if that changed.
    pub disputed: Vec<(u32, Option<i64>)>,
    /// The neighbours whose view differs, by number, and since when, if that changed.
    pub differing: Option<Vec<(u32, i64)>>,
    /// Counters of what was rejected, those that changed.
    pub rejected: Vec<(Cow<'static, str>, u64)>,
}

impl Frame {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let nothing = Self {
            at_ms: self.at_ms,
            ..Self::default()
        };
        *self == nothing
    }

    /// Whether nodes, states or links changed, rather than measurements only.
    #[must_use]
    pub fn changes_shape(&self) -> bool {
        let nodes = self.nodes.len() + self.changed.len() + self.forgotten.len();
        let links = self.links.len() + self.gone.len() + self.suspect.len();
        self.whole.is_some() || self.cut_off.is_some() || nodes + links > 0
    }
}

/// The value of an event's field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// True or false.
    Bool(bool),
}

/// An event of the log; see [`crate::events`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventLine {
    /// When it happened, in ms since the start of the node.
    pub at_ms: i64,
    /// The name.
    pub name: Cow<'static, str>,
    /// The level, as the log writes it in lower case.
    pub level: Cow<'static, str>,
    /// The fields. Those of an event that was read from a line are in the order of their names.
    pub fields: Vec<(Cow<'static, str>, Value)>,
}
