//! Saves what outlives a run, off the event loop.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::membership::Core;
use crate::memory::{self, Memory};

/// The memory is saved no more often than this, when something changed, and at least this often. A node that has just
/// started learns all it will need, and may be killed before it is a second old: the first savings come sooner.
const SAVE_FIRST: Duration = Duration::from_millis(100);
const SAVE_EVERY: Duration = Duration::from_secs(1);
const SAVE_AT_LEAST: Duration = Duration::from_secs(3600);
/// So long a node that ends waits for a saving that is under way.
const SETTLE: Duration = Duration::from_millis(100);

/// Saves the memory, off the event loop.
pub(super) struct Saver {
    path: PathBuf,
    saved: Option<(u64, u64)>,
    at: Instant,
    pause: Duration,
    under_way: Option<JoinHandle<()>>,
}

impl Saver {
    pub(super) fn new(path: PathBuf, now: Instant) -> Self {
        Self {
            path,
            saved: None,
            at: now,
            pause: SAVE_FIRST,
            under_way: None,
        }
    }

    /// When the next saving is due; `None` while one is under way.
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

    pub(super) fn consider(&mut self, core: &Core, now: Instant, at_once: bool) {
        let due = self.due(core).is_some_and(|due| due <= now);
        if !at_once && !due {
            return;
        }
        self.saved = Some(Self::state(core));
        self.at = now;
        self.pause = (self.pause * 3).min(SAVE_EVERY);
        let bytes = Memory::encode(core.epoch(), &core.remembered());
        let path = self.path.clone();
        let before = self.under_way.take();
        self.under_way = Some(tokio::spawn(async move {
            if let Some(before) = before {
                before.await.ok();
            }
            let file = path.clone();
            let saved = tokio::task::spawn_blocking(move || memory::save(&file, &bytes)).await;
            if let Ok(Err(error)) = saved {
                tracing::warn!(file = %path.display(), %error, "can't keep what is worth remembering; going on without");
            }
        }));
    }

    /// Waits for what is under way, unless the disk takes too long.
    pub(super) async fn settle(&mut self) {
        if let Some(mut task) = self.under_way.take()
            && tokio::time::timeout(SETTLE, &mut task).await.is_err()
        {
            self.under_way = Some(task);
        }
    }
}
