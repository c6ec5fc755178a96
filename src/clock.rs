//! Time and tasks, as all of the node has them: what quinn's own seam, [`Runtime`], offers, and no more. So whoever brings a
//! runtime decides where time comes from, and a whole node runs in virtual time by the very code that runs in real time.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quinn::Runtime;
use quinn_proto::TimeSource;

/// See the module's documentation. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct Clock {
    runtime: Arc<dyn Runtime>,
    start: Instant,
}

impl Clock {
    /// The clock of a runtime.
    #[must_use]
    pub fn new(runtime: Arc<dyn Runtime>) -> Self {
        let start = runtime.now();
        Self { runtime, start }
    }

    /// The time; it never goes back.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.runtime.now()
    }

    /// The runtime that it is the clock of.
    #[must_use]
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    /// Runs a task beside all others.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(Box::pin(task));
    }

    /// Waits until that time.
    pub async fn sleep_until(&self, at: Instant) {
        let mut timer = self.runtime.new_timer(at);
        poll_fn(|cx| timer.as_mut().poll(cx)).await;
    }

    /// Waits for so long.
    pub async fn sleep(&self, pause: Duration) {
        self.sleep_until(self.now() + pause).await;
    }

    /// What comes of something, if it comes in time.
    pub async fn timeout<T>(
        &self,
        patience: Duration,
        something: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            output = something => Some(output),
            () = self.sleep(patience) => None,
        }
    }
}

/// For the age of QUIC's tokens, which only this very process reads: when it counts from doesn't matter.
impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.runtime.now().saturating_duration_since(self.start)
    }
}
