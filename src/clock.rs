//! Time and tasks for the whole node. They come from quinn's own seam, [`Runtime`], and nothing else does. So the runtime decides
//! where time comes from, and the same code runs in real time and in virtual time.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quinn::Runtime;
use quinn_proto::TimeSource;

/// See the module's documentation. Clones share one clock.
#[derive(Debug, Clone)]
pub struct Clock {
    runtime: Arc<dyn Runtime>,
    start: Instant,
}

impl Clock {
    /// Creates the clock of a runtime.
    #[must_use]
    pub fn new(runtime: Arc<dyn Runtime>) -> Self {
        let start = runtime.now();
        Self { runtime, start }
    }

    /// The current time. It never decreases.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.runtime.now()
    }

    /// The runtime behind this clock.
    #[must_use]
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    /// Spawns a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(Box::pin(task));
    }

    /// Waits until that time.
    pub async fn sleep_until(&self, at: Instant) {
        let mut timer = self.runtime.new_timer(at);
        poll_fn(|cx| timer.as_mut().poll(cx)).await;
    }

    /// Waits for that duration.
    pub async fn sleep(&self, pause: Duration) {
        self.sleep_until(self.now() + pause).await;
    }

    /// Waits for a future, for `limit` at most. `None`: it was not ready in time, and is dropped.
    pub async fn timeout<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = self.sleep(limit) => None,
        }
    }
}

/// quinn uses this for the age of QUIC tokens. Only this process reads them, so the origin of the time does not matter.
impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.runtime.now().saturating_duration_since(self.start)
    }
}
