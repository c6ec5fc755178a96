//! The record of a run, in time order: the lab's actions and every node's views. The judge needs nothing else, so it can judge
//! a stored record again.

use serde::{Deserialize, Serialize};

use crate::lab::action::Action;

/// One event of the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Seconds since the start of the first node, by a clock that doesn't jump.
    pub(crate) at_s: f64,
    /// The kind of event.
    pub(crate) what: What,
}

/// The kinds of event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// The lab begins this action.
    Does(Action),
    /// The lab has completed the action.
    Done,
    /// A node wrote a new version of its `network.json`.
    Shows(View),
    /// `ping` got an answer.
    Ping {
        /// The round-trip time in ms.
        rtt_ms: f64,
    },
    /// A process ended, and the lab did not end it.
    Ended {
        /// The node's index.
        node: usize,
        /// The exit status and the last output.
        how: String,
    },
}

/// One version of a node's view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct View {
    /// Index of the node that wrote the view.
    pub(crate) viewer: usize,
    /// The node's own id.
    pub(crate) id: String,
    /// The node reports that it has lost all its links.
    pub(crate) cut_off: bool,
    /// All nodes that it knows.
    pub(crate) nodes: Vec<Node>,
    /// All links that it knows.
    pub(crate) links: Vec<Link>,
}

/// A node in a view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// The first digits of its id.
    pub(crate) id: String,
    /// `up`, `unreachable` or `left`.
    pub(crate) state: String,
    /// Time of the last state change, in Unix ms, according to the view.
    pub(crate) since_ms: u64,
    /// The addresses at which the node can be dialed.
    pub(crate) addresses: Vec<String>,
}

/// A link in a view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// The id of the node that dialed.
    pub(crate) dialer: String,
    /// The id of the node that was dialed.
    pub(crate) listener: String,
    /// The shown RTT. `None` if there is none.
    pub(crate) rtt_ms: Option<f64>,
    /// The shown loss in percent.
    pub(crate) loss_percent: f64,
    /// The link is suspect.
    pub(crate) suspect: bool,
}
