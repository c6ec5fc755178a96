//! Words that documents choose from.

use serde::{Deserialize, Serialize};

/// What is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspectKind {
    /// Nearly all links: rather the machine, or all machines, than each link.
    Network,
    /// Most links of one node.
    Node,
    /// Most links between two sites.
    Sites,
    /// One link.
    Link,
}

/// An end of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndKind {
    /// The one that dialed.
    #[default]
    Dialer,
    /// The other one.
    Listener,
}

/// Kinds of errors, for programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No node is meant. HTTP status 404.
    NoNode,
    /// Several nodes may be meant. HTTP status 409.
    SeveralNodes,
    /// Two nodes have no link. HTTP status 404.
    NoLink,
    /// The time is before the history. HTTP status 410.
    BeforeHistory,
    /// The question is malformed. HTTP status 400.
    BadRequest,
    /// Any other error.
    #[default]
    #[serde(other)]
    Other,
}
