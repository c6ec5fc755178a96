//! Writes the memory (`state.json`) off the event loop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::errand;
use crate::events::EventName;
use crate::membership::Core;
use crate::memory::{self, Memory, Moment};
use crate::wire::NodeId;

/// The pause after the first write. It triples with each write, up to [`SAVE_EVERY`]. A node learns most addresses right after
/// its start, and may be killed before it is a second old; a longer first pause would lose them.
const SAVE_FIRST: Duration = Duration::from_millis(100);
/// The least time between two writes of changes, once the start is over.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// The longest time between two writes, if nothing changes: it keeps the last-seen times fresh.
const SAVE_AT_LEAST: Duration = Duration::from_secs(3600);
/// How long a stopping node waits for a write that is under way. It is a part of the second within which a node stops.
const SETTLE: Duration = Duration::from_millis(100);

/// Writes the memory, one write at a time.
pub(super) struct Saver {
    path: PathBuf,
    /// When nodes of earlier runs were last up, in Unix ms as it was stored then.
    stamps: BTreeMap<NodeId, u64>,
    /// The epoch and the count of changes that the last write contained.
    saved: Option<(u64, u64)>,
    /// When the last write began.
    at: Instant,
    pause: Duration,
    under_way: Option<JoinHandle<()>>,
}

impl Saver {
    pub(super) fn new(path: PathBuf, stamps: BTreeMap<NodeId, u64>, now: Instant) -> Self {
        Self {
            path,
            stamps,
            saved: None,
            at: now,
            pause: SAVE_FIRST,
            under_way: None,
        }
    }

    /// When the next write is due; `None` while one is under way.
    pub(super) fn due(&self, core: &Core) -> Option<Instant> {
        let busy = self
            .under_way
            .as_ref()
            .is_some_and(|task| !task.is_finished());
        let changed = self.saved != Some(Self::state(core));
        let pause = if changed { self.pause } else { SAVE_AT_LEAST };
        (!busy).then_some(self.at + pause)
    }

    fn state(core: &Core) -> (u64, u64) {
        (core.epoch(), core.changes().shape)
    }

    /// Whether a write is due.
    pub(super) fn is_due(&self, core: &Core, now: Instant) -> bool {
        self.due(core).is_some_and(|due| due <= now)
    }

    /// Begins a write.
    pub(super) fn write(&mut self, core: &Core, now: Instant, moment: Moment) {
        self.saved = Some(Self::state(core));
        self.at = now;
        self.pause = (self.pause * 3).min(SAVE_EVERY);
        let bytes = Memory::encode(core.epoch(), &core.remembered(), &self.stamps, moment);
        let path = self.path.clone();
        let before = self.under_way.take();
        self.under_way = Some(tokio::spawn(async move {
            if let Some(before) = before {
                before.await.ok();
            }
            let file = path.clone();
            let saved = errand::run("save", move || memory::save(&file, &bytes)).await;
            if let Err(error) = saved.and_then(|saved| saved) {
                tracing::warn!(file = %path.display(), %error, action = "continuing; retrying after the next change", "{}", EventName::MemoryNotSaved);
            }
        }));
    }

    /// Waits for the write under way, for [`SETTLE`] at most.
    pub(super) async fn settle(&mut self) {
        if let Some(mut task) = self.under_way.take()
            && tokio::time::timeout(SETTLE, &mut task).await.is_err()
        {
            self.under_way = Some(task);
        }
    }
}
