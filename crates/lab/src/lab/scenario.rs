//! What a scenario is, once it was read and found to be sound.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::lab::netem::Netem;
use crate::lab::promises::Must;

/// The nodes that there may be, in the order in which they are started.
pub(crate) const NAMES: [&str; 10] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy",
];

/// What a scenario does, and what must hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scenario {
    /// The file's name without its end.
    pub(crate) name: String,
    /// What it is about, in a line.
    pub(crate) title: String,
    /// How the nodes are joined.
    pub(crate) topology: Topology,
    /// How many nodes: the first so many of [`NAMES`].
    pub(crate) nodes: usize,
    /// What the nodes listen at.
    pub(crate) listen: Listen,
    /// `-s` for every node.
    pub(crate) settings: Vec<String>,
    /// Seconds from the first node's start to the end.
    pub(crate) lasts_s: f64,
    /// Nothing else may run beside it: its promises are tight.
    pub(crate) alone: bool,
    /// `ping` runs all the while between these two; on loopback, any two mean `::1`.
    pub(crate) ping: Option<(usize, usize)>,
    /// What is done, in the order of time.
    pub(crate) steps: Vec<Step>,
    /// What must hold.
    pub(crate) must: Must,
}

impl Scenario {
    /// Whether it needs a kernel that has `sch_netem`.
    pub(crate) fn needs_netem(&self) -> bool {
        self.steps.iter().any(|step| match step.action {
            Action::Netem { .. } | Action::LinkDown { .. } | Action::LinkUp { .. } => true,
            Action::Vanish { .. } => true,
            Action::Mtu { .. }
            | Action::Kill { .. }
            | Action::Start { .. }
            | Action::Leave { .. }
            | Action::Stop { .. }
            | Action::Continue { .. }
            | Action::Address { .. }
            | Action::Clock { .. } => false,
        })
    }

    /// Whether `ping` takes the way of this link.
    pub(crate) fn pings(&self, one: usize, other: usize) -> bool {
        match self.topology {
            Topology::Loopback => true,
            Topology::Links => self.ping == Some((one, other)) || self.ping == Some((other, one)),
        }
    }

    /// Whether it sets the clock, which only a kernel of the lab's own may suffer.
    pub(crate) fn needs_own_clock(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step.action, Action::Clock { .. }))
    }
}

/// How the nodes are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Topology {
    /// The five shipped profiles on one loopback interface, which all of their packets pass.
    Loopback,
    /// A network namespace a node; every two are joined by a veth pair, with a qdisc for each direction.
    Links,
}

/// What the nodes listen at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Listen {
    /// The address of their namespace.
    Own,
    /// `::`, which goes on when the address changes.
    Any,
}

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
