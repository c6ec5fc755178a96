//! A scenario after parsing and validation.

use serde::{Deserialize, Serialize};

use crate::lab::action::{Action, Step};
use crate::lab::promises::Must;

/// A valid scenario: its actions and its promises.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scenario {
    /// The file's name without its extension.
    pub(crate) name: String,
    /// A one-line description.
    pub(crate) title: String,
    /// The network between the nodes.
    pub(crate) topology: Topology,
    /// The number of nodes. They take the first names of [`NAMES`](super::action::NAMES).
    pub(crate) nodes: usize,
    /// The addresses at which the nodes listen.
    pub(crate) listen: Listen,
    /// Arguments of `-s` for every node.
    pub(crate) settings: Vec<String>,
    /// Seconds from the first node's start to the end.
    pub(crate) lasts_s: f64,
    /// No other scenario may run in parallel, because the promises are tight.
    pub(crate) alone: bool,
    /// `ping` runs during the whole scenario between these two nodes. On loopback, any two nodes mean `::1`.
    pub(crate) ping: Option<(usize, usize)>,
    /// The actions, in time order.
    pub(crate) steps: Vec<Step>,
    /// The promises.
    pub(crate) must: Must,
}

impl Scenario {
    /// Whether the scenario needs a kernel that has `sch_netem`.
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

    /// Whether `ping` uses this link.
    pub(crate) fn pings(&self, one: usize, other: usize) -> bool {
        match self.topology {
            Topology::Loopback => true,
            Topology::Links => self.ping == Some((one, other)) || self.ping == Some((other, one)),
        }
    }

    /// Whether the scenario sets the clock. That is allowed only in a kernel of the lab's own.
    pub(crate) fn needs_own_clock(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step.action, Action::Clock { .. }))
    }
}

/// The network between the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Topology {
    /// The five shipped profiles on one loopback interface. All packets pass that interface.
    Loopback,
    /// A network namespace per node. A veth pair joins every two, with a qdisc for each direction.
    Links,
}

/// The addresses at which the nodes listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Listen {
    /// The address of the node's namespace.
    Own,
    /// `::`, which stays valid when the address changes.
    Any,
}
