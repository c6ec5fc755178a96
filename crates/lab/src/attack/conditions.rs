//! The conditions of a run: how many nodes, how long, and who is killed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A phase that takes longer counts as that long, and is marked.
pub(crate) const PHASE_LIMIT: Duration = Duration::from_secs(20);

/// The place of the honest node that is killed: not the victim, and not a newcomer's target.
pub(crate) const KILLED: usize = 2;

/// The times of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// The nodes agree, and their start is over, before anything is measured.
    pub(super) settling: Duration,
    /// The period before the attack whose CPU time is the base.
    pub(super) base: Duration,
    /// The time from the beginning of the attack to the death of an honest node. The CPU shares are those of this time.
    pub(super) lead: Duration,
}

impl Times {
    /// The usual times.
    pub(crate) const FULL: Self = Self {
        settling: Duration::from_secs(3),
        base: Duration::from_secs(4),
        lead: Duration::from_secs(5),
    };
    /// Those of the short set, which judges no shares of a core.
    pub(crate) const SHORT: Self = Self {
        settling: Duration::from_secs(1),
        base: Duration::from_millis(500),
        lead: Duration::from_secs(3),
    };
}

/// The conditions of a run.
pub(crate) struct Conditions<'a> {
    /// The area-net binary.
    pub(crate) binary: &'a Path,
    /// The folder for scratch folders.
    pub(crate) scratch: &'a Path,
    /// The number of honest nodes.
    pub(crate) nodes: usize,
    /// Settings of every node.
    pub(crate) settings: &'a [String],
    /// Its times.
    pub(crate) times: Times,
    /// Set when the user interrupts.
    pub(crate) interrupted: Arc<AtomicBool>,
    /// Whether scratch folders are kept.
    pub(crate) keep: bool,
}
