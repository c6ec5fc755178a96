//! What happened in a run, in the order of time: what the lab did, and what every node showed. The judge needs nothing
//! else, so a record that was kept can be judged again.

use serde::{Deserialize, Serialize};

use crate::lab::action::Action;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Seconds since the first node was started, by a clock that doesn't jump.
    pub(crate) at_s: f64,
    /// What.
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// The lab is about to do this.
    Does(Action),
    /// It has done it.
    Done,
    /// A new version of a node's `network.json`.
    Shows(View),
    /// `ping` got an answer.
    Ping {
        /// After so many ms.
        rtt_ms: f64,
    },
    /// A process ended that nobody ended.
    Ended {
        /// By place.
        node: usize,
        /// How, and its last words.
        how: String,
    },
}

/// One version of a node's view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct View {
    /// Whose it is, by place.
    pub(crate) viewer: usize,
    /// The id that it calls its own.
    pub(crate) id: String,
    /// It says that it has lost all its links.
    pub(crate) cut_off: bool,
    /// Everyone it knows of.
    pub(crate) nodes: Vec<Node>,
    /// Every link.
    pub(crate) links: Vec<Link>,
}

/// A node in a view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// The first digits of its id.
    pub(crate) id: String,
    /// `up`, `unreachable` or `left`.
    pub(crate) state: String,
    /// Since when, in Unix ms, as the view has it.
    pub(crate) since_ms: u64,
    /// Where it can be dialed.
    pub(crate) addresses: Vec<String>,
}

/// A link in a view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// Who dialed.
    pub(crate) dialer: String,
    /// Who was dialed.
    pub(crate) listener: String,
    /// The RTT shown, if there is one.
    pub(crate) rtt_ms: Option<f64>,
    /// The loss shown.
    pub(crate) loss_percent: f64,
    /// It is suspect.
    pub(crate) suspect: bool,
}
