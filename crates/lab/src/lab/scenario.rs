//! What a scenario is, once it was read and found to be sound.

use serde::{Deserialize, Serialize};

use crate::lab::action::{Action, Step};
use crate::lab::promises::Must;

/// What a scenario does, and what must hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scenario {
    /// The file's name without its end.
    pub(crate) name: String,
    /// What it is about, in a line.
    pub(crate) title: String,
    /// How the nodes are joined.
    pub(crate) topology: Topology,
    /// The number of nodes: the first so many of [`NAMES`](super::action::NAMES).
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
