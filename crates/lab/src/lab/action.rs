//! What a scenario can do to nodes and links.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::lab::netem::Netem;

/// The nodes that there may be, in the order in which they are started.
pub(crate) const NAMES: [&str; 10] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy",
];

/// One direction of one link: from one node to another, by place.
pub(crate) type Direction = (usize, usize);

/// Something that is done at a time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// Seconds since the first node was started; what is at 0 is done before.
    pub(crate) at_s: f64,
    /// What.
    pub(crate) action: Action,
}

/// What can be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// A qdisc on these directions from now on; none: the qdisc goes.
    Netem {
        /// Where.
        on: Vec<Direction>,
        /// What `tc` is told, and what it means.
        netem: Option<Netem>,
    },
    /// Nothing passes in these directions any more, and nobody is told.
    LinkDown {
        /// Where.
        on: Vec<Direction>,
    },
    /// What passed before passes again.
    LinkUp {
        /// Where.
        on: Vec<Direction>,
    },
    /// The largest packet that these directions take.
    Mtu {
        /// Where.
        on: Vec<Direction>,
        /// In bytes.
        bytes: u32,
    },
    /// SIGKILL.
    Kill {
        /// By place.
        node: usize,
    },
    /// The process is started, again or for the first time.
    Start {
        /// By place.
        node: usize,
    },
    /// SIGTERM: the node leaves with a word.
    Leave {
        /// By place.
        node: usize,
    },
    /// SIGSTOP.
    Stop {
        /// By place.
        node: usize,
    },
    /// SIGCONT.
    Continue {
        /// By place.
        node: usize,
    },
    /// The host is gone: nothing passes to or from it any more, and then its process ends.
    Vanish {
        /// By place.
        node: usize,
    },
    /// The node's host gets a new address, and loses the one it had.
    Address {
        /// By place.
        node: usize,
    },
    /// The wall clock jumps.
    Clock {
        /// By so many seconds.
        seconds: i64,
    },
}

impl Action {
    /// It ends a node, or seems to.
    pub(crate) fn ends(&self) -> bool {
        matches!(
            self,
            Self::Kill { .. } | Self::Leave { .. } | Self::Stop { .. } | Self::Vanish { .. }
        )
    }

    /// It cuts links.
    pub(crate) fn cuts(&self) -> bool {
        matches!(self, Self::LinkDown { .. })
    }

    /// It brings nodes or links back.
    pub(crate) fn mends(&self) -> bool {
        matches!(
            self,
            Self::Start { .. } | Self::Continue { .. } | Self::LinkUp { .. }
        )
    }

    /// What was waited for can't be told any more from what this does.
    pub(crate) fn disturbs(&self) -> bool {
        self.ends() || self.cuts() || self.mends() || self.delays() || self.moves()
    }

    /// It changes what links do to packets.
    pub(crate) fn delays(&self) -> bool {
        matches!(self, Self::Netem { .. })
    }

    /// It gives a node another address.
    pub(crate) fn moves(&self) -> bool {
        matches!(self, Self::Address { .. })
    }

    /// In a few words, for people.
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

/// Directions in words: all, or one by one, both of a pair in one.
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
