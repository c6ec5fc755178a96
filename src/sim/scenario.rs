//! A checked scenario.
//!
//! [`parse::read`](super::parse::read) makes one from a file, from flags, or from both. A [`Scenario`] needs no further check.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::attack::Plan;
use super::lines::{Terrain, Way};
use super::places::{Places, Who};
use crate::impair::Impairment;
use crate::membership::{Tuning, Value};
use crate::settings::Settings;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The title, one line.
    pub title: String,
    /// How much of each node is real.
    pub fidelity: Fidelity,
    /// The random seed.
    pub seed: u64,
    /// The number of honest nodes; all of them are started.
    pub nodes: usize,
    /// Attacks, and the Byzantine nodes that make them. Their places come after those of the honest nodes.
    pub byzantine: Vec<Plan>,
    /// The targets of each node.
    pub introduction: Introduction,
    /// Nodes that are not started at first, but by a step.
    pub absent: Option<Places>,
    /// The starts are spread evenly over this time; zero: all at once.
    pub start_over: Duration,
    /// From the first start to the end.
    pub lasts: Duration,
    /// The impairments at the beginning.
    pub terrain: Terrain,
    /// Names for sets of places.
    pub groups: Vec<Group>,
    /// The steps, in the order of time.
    pub steps: Vec<Step>,
    /// Nodes that die and come back all the time.
    pub churn: Option<Churn>,
    /// The settings of every node, except for label and targets, which each node has of its own.
    pub settings: Settings,
    /// The tuned constants of every core.
    pub tuning: Arc<Tuning>,
    /// Those of them that the scenario sets, by name.
    pub tuned: BTreeMap<String, Value>,
    /// Each node's clock is wrong by up to this much, in either direction.
    pub clocks: Duration,
    /// The bounds of the invariants.
    pub bounds: Bounds,
    /// The files that it was read from.
    pub files: Vec<PathBuf>,
}

impl Scenario {
    /// The number of places: of honest nodes, and of Byzantine ones.
    #[must_use]
    pub fn places(&self) -> usize {
        self.nodes + self.byzantine.iter().map(|plan| plan.nodes).sum::<usize>()
    }

    /// Whether an ended node may be started again.
    #[must_use]
    pub fn restarts(&self) -> bool {
        let starts = |step: &Step| match step.action {
            Action::Start(_) | Action::Restart(..) => true,
            Action::Kill(_)
            | Action::Leave(_)
            | Action::Stop(_)
            | Action::Continue(_)
            | Action::Lie(_)
            | Action::Honest(_)
            | Action::Partition(_)
            | Action::Heal
            | Action::Netem(..)
            | Action::Link(..) => false,
        };
        self.churn.is_some() || self.steps.iter().any(starts)
    }
}

/// How much of each node is real.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fidelity {
    /// The core; connections are modelled.
    #[default]
    Core,
    /// The whole node down to its datagrams: QUIC, TLS, the event loop. Only sockets, clocks and links are simulated.
    Whole,
}

impl Fidelity {
    /// The word in a scenario.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Whole => "whole",
        }
    }
}

/// A name for a set of places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The name.
    pub name: String,
    /// The places.
    pub places: Places,
}

/// Which nodes each node is told of before it starts.
#[derive(Debug, Clone, PartialEq)]
pub enum Introduction {
    /// The one before it.
    Chain,
    /// The first one.
    Star,
    /// This many random ones; the first node is told of none, and no node is told of one that comes after it.
    Random(usize),
    /// For each node, the listed ones.
    Targets(Vec<Vec<usize>>),
}

/// A step: something that is done at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Since the first start.
    pub at: Duration,
    /// The action.
    pub action: Action,
    /// The action in words.
    pub words: Arc<str>,
}

/// The actions.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The nodes are killed, without a leave message.
    Kill(Who),
    /// The nodes are started again.
    Start(Who),
    /// The nodes leave gracefully.
    Leave(Who),
    /// The nodes are killed, and started again after a while.
    Restart(Who, Duration),
    /// The nodes are paused: nothing happens in them until they are resumed.
    Stop(Who),
    /// The nodes are resumed.
    Continue(Who),
    /// The nodes become Byzantine, in ways that the others can detect. While they are, views may show them or not.
    Lie(Who),
    /// The nodes stop being Byzantine.
    Honest(Who),
    /// Only nodes of the same part reach each other. The nodes that are in no part form one more.
    Partition(Vec<Who>),
    /// Ends all cuts.
    Heal,
    /// The impairment of these directions from now on; `None`: the one at the beginning.
    Netem(Vec<Way>, Option<Arc<Impairment>>),
    /// Cuts these directions, or opens them.
    Link(Vec<Way>, bool),
}

impl Action {
    /// Whether it disturbs the network other than by a death or a start, which nodes are built to detect.
    #[must_use]
    pub fn hinders(&self) -> bool {
        !matches!(
            self,
            Self::Kill(_) | Self::Restart(..) | Self::Start(_) | Self::Leave(_)
        )
    }
}

/// Churn: nodes that die and come back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Churn {
    /// Nodes killed per minute, at random times.
    pub per_min: f64,
    /// How long each stays down.
    pub down: Duration,
    /// When it begins.
    pub from: Duration,
    /// When it ends.
    pub until: Duration,
}

/// The bounds of the invariants; a run that violates one is stopped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// How long after its end a view may show a node.
    pub gone: Duration,
    /// How long a view may be wrong after the last disturbance.
    pub exact: Duration,
}
