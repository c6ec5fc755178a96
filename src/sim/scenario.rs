//! What a simulation is to do, once it was read and found to be sound.
//!
//! [`parse::read`](super::parse::read) makes one from a file, from flags, or from both. Whoever holds a [`Scenario`] needs no further check.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::lines::{Terrain, Way};
use super::places::{Places, Who};
use crate::impair::Impairment;
use crate::membership::{Tuning, Value};
use crate::settings::Settings;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is about, in a line.
    pub title: String,
    /// How much of each node is real.
    pub fidelity: Fidelity,
    /// Everything that is left to chance follows from it.
    pub seed: u64,
    /// How many places there are; all of their nodes are started.
    pub nodes: usize,
    /// Whom each node is told of.
    pub introduction: Introduction,
    /// The starts are spread evenly over this time; zero: all at once.
    pub start_over: Duration,
    /// From the first start to the end.
    pub lasts: Duration,
    /// What the ways are like at the beginning.
    pub terrain: Terrain,
    /// Names for sets of places.
    pub groups: Vec<Group>,
    /// What is done, in the order of time.
    pub steps: Vec<Step>,
    /// Nodes that come and go all the while.
    pub churn: Option<Churn>,
    /// What holds for every node; label and targets are each node's own.
    pub settings: Settings,
    /// The tuned constants of every core.
    pub tuning: Arc<Tuning>,
    /// Those of them that the scenario sets, by name.
    pub tuned: BTreeMap<String, Value>,
    /// Each node's clock is wrong by up to so much, either way.
    pub clocks: Duration,
    /// What must hold.
    pub bounds: Bounds,
    /// Files that it was read from.
    pub files: Vec<PathBuf>,
}

impl Scenario {
    /// Whether a node that ended may be started again.
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
    /// All of it, down to the datagrams: QUIC, TLS, the event loop. Only sockets and clocks are simulated.
    Whole,
}

impl Fidelity {
    /// As it is written.
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
    /// As it is written.
    pub name: String,
    /// Which places.
    pub places: Places,
}

/// Whom each node is told of before it starts.
#[derive(Debug, Clone, PartialEq)]
pub enum Introduction {
    /// The one before it.
    Chain,
    /// The first one.
    Star,
    /// So many others, by lot; the first node is told of none, and nobody of one that comes after it.
    Random(usize),
    /// For each node, those that were written down.
    Targets(Vec<Vec<usize>>),
}

/// Something that is done at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Since the first start.
    pub at: Duration,
    /// What.
    pub action: Action,
    /// In words, for people.
    pub words: Arc<str>,
}

/// What can be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// They end without a word.
    Kill(Who),
    /// They are started again.
    Start(Who),
    /// They say farewell.
    Leave(Who),
    /// They end without a word, and are started again after a while.
    Restart(Who, Duration),
    /// Nothing happens in them until they are told to go on.
    Stop(Who),
    /// They go on.
    Continue(Who),
    /// They say what is not so, in ways that the others must see through; until they are honest again, nobody minds how they are shown.
    Lie(Who),
    /// They are honest again.
    Honest(Who),
    /// Only nodes of one part reach each other. Those that are in no part are one more.
    Partition(Vec<Who>),
    /// Everything that was cut reaches each other again.
    Heal,
    /// These directions are like that from now on; `None`: as they were at the beginning.
    Netem(Vec<Way>, Option<Arc<Impairment>>),
    /// Nothing passes there, or passes again.
    Link(Vec<Way>, bool),
}

impl Action {
    /// Whether it keeps nodes from knowing of others; deaths and births are what they are to know.
    #[must_use]
    pub fn hinders(&self) -> bool {
        !matches!(
            self,
            Self::Kill(_) | Self::Restart(..) | Self::Start(_) | Self::Leave(_)
        )
    }
}

/// Nodes that come and go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Churn {
    /// So many nodes are killed in a minute, at random times.
    pub per_min: f64,
    /// Each is started again after so long.
    pub down: Duration,
    /// When it begins.
    pub from: Duration,
    /// When it ends.
    pub until: Duration,
}

/// What must hold; a run in which it doesn't is stopped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// After so long nobody shows a node that is gone.
    pub gone: Duration,
    /// No view stays wrong for longer than this, once nothing is done any more.
    pub exact: Duration,
}
