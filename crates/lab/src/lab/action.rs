//! The actions that a scenario applies to nodes and links.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::lab::netem::Netem;

/// The names that nodes can have, in start order.
pub(crate) const NAMES: [&str; 10] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy",
];

/// One direction of one link: the sender's and the receiver's index in `NAMES`.
pub(crate) type Direction = (usize, usize);

/// A scheduled action.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// Seconds since the start of the first node. Actions at 0 run before that start.
    pub(crate) at_s: f64,
    /// The action to apply.
    pub(crate) action: Action,
}

/// An action on nodes, links or the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Sets the qdisc of these directions. Without a netem, removes it.
    Netem {
        /// The affected directions.
        on: Vec<Direction>,
        /// The arguments for `tc` and their effect, for the judge.
        netem: Option<Netem>,
    },
    /// These directions drop every packet. No ICMP error is sent.
    LinkDown {
        /// The affected directions.
        on: Vec<Direction>,
    },
    /// These directions pass packets again, with the qdisc that they had before.
    LinkUp {
        /// The affected directions.
        on: Vec<Direction>,
    },
    /// Sets the MTU of these directions.
    Mtu {
        /// The affected directions.
        on: Vec<Direction>,
        /// The MTU in bytes.
        bytes: u32,
    },
    /// Sends SIGKILL.
    Kill {
        /// The node's index.
        node: usize,
    },
    /// Starts the process, for the first time or again.
    Start {
        /// The node's index.
        node: usize,
    },
    /// Sends SIGTERM: the node leaves gracefully, with a leave message.
    Leave {
        /// The node's index.
        node: usize,
    },
    /// Sends SIGSTOP.
    Stop {
        /// The node's index.
        node: usize,
    },
    /// Sends SIGCONT.
    Continue {
        /// The node's index.
        node: usize,
    },
    /// The host disappears: its links drop every packet first, and then its process is killed.
    Vanish {
        /// The node's index.
        node: usize,
    },
    /// The node's host gets a new address and loses the old one.
    Address {
        /// The node's index.
        node: usize,
    },
    /// Moves the wall clock.
    Clock {
        /// The jump in seconds; negative is backwards.
        seconds: i64,
    },
}

impl Action {
    /// Whether the action ends a node, or appears to from outside.
    pub(crate) fn ends(&self) -> bool {
        matches!(
            self,
            Self::Kill { .. } | Self::Leave { .. } | Self::Stop { .. } | Self::Vanish { .. }
        )
    }

    /// Whether the action cuts links.
    pub(crate) fn cuts(&self) -> bool {
        matches!(self, Self::LinkDown { .. })
    }

    /// Whether the action brings nodes or links back.
    pub(crate) fn mends(&self) -> bool {
        matches!(
            self,
            Self::Start { .. } | Self::Continue { .. } | Self::LinkUp { .. }
        )
    }

    /// Whether the action invalidates a time that is still being measured.
    pub(crate) fn disturbs(&self) -> bool {
        self.ends() || self.cuts() || self.mends() || self.delays() || self.moves()
    }

    /// Whether the action changes the qdisc of links.
    pub(crate) fn delays(&self) -> bool {
        matches!(self, Self::Netem { .. })
    }

    /// Whether the action gives a node another address.
    pub(crate) fn moves(&self) -> bool {
        matches!(self, Self::Address { .. })
    }

    /// A short description for people.
    pub(crate) fn words(&self, nodes: usize) -> String {
        let name = |node: &usize| NAMES[*node];
        match self {
            Self::Netem { on, netem } => {
                let what = netem.as_ref().map_or("none", |netem| netem.args.as_str());
                format!("netem {what} on {}", directions(on, nodes))
            }
            Self::LinkDown { on } => format!("down: {}", directions(on, nodes)),
            Self::LinkUp { on } => format!("up: {}", directions(on, nodes)),
            Self::Mtu { on, bytes } => format!("mtu {bytes} on {}", directions(on, nodes)),
            Self::Kill { node } => format!("kill -9 {}", name(node)),
            Self::Start { node } => format!("start {}", name(node)),
            Self::Leave { node } => format!("SIGTERM to {}", name(node)),
            Self::Stop { node } => format!("SIGSTOP to {}", name(node)),
            Self::Continue { node } => format!("SIGCONT to {}", name(node)),
            Self::Vanish { node } => format!("{} vanishes", name(node)),
            Self::Address { node } => format!("{} changes its address", name(node)),
            Self::Clock { seconds } => format!("the clock jumps by {seconds} s"),
        }
    }
}

/// Describes directions: "all", or each one; the two directions of a link are merged.
fn directions(on: &[Direction], nodes: usize) -> String {
    let set: BTreeSet<Direction> = on.iter().copied().collect();
    if set.len() == nodes * (nodes - 1) {
        return "all".into();
    }
    let mut words = Vec::new();
    for &(from, to) in &set {
        let both = set.contains(&(to, from));
        if both && from < to {
            words.push(format!("{}-{}", NAMES[from], NAMES[to]));
        } else if !both {
            words.push(format!("{}->{}", NAMES[from], NAMES[to]));
        }
    }
    words.join(" ")
}
