//! An alarm clock with a fine hand. tokio's timers count milliseconds and are late by one on average; a delay of 500 µs would be
//! three times too long. The standard library's condition variables are late by some 60 µs, on any platform, but they
//! block: so a thread waits, and wakes the task.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

/// Rings once after the time that was last set. Dropping it ends its thread.
///
/// It is real time that it measures: under a paused clock it rings at some time or other, which does no harm to whoever
/// looks at his own clock then.
#[derive(Debug)]
pub(super) struct Alarm(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    hand: Mutex<Hand>,
    moved: Condvar,
    bell: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hand {
    position: Position,
    /// Counts the settings: a new one restarts the wait, also where it is the same.
    settings: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Off,
    In(Duration),
    Broken,
}

impl Alarm {
    /// An alarm that is not set. Where the system has no thread to give, it never rings: the caller has a coarser clock.
    pub(super) fn start() -> Self {
        let shared = Arc::new(Shared {
            hand: Mutex::new(Hand {
                position: Position::Off,
                settings: 0,
            }),
            moved: Condvar::new(),
            bell: Notify::new(),
        });
        let theirs = shared.clone();
        let thread = thread::Builder::new()
            .name("impair-alarm".to_owned())
            .spawn(move || theirs.run());
        if let Err(error) = thread {
            tracing::debug!(%error, "no thread for the fine clock: delays are exact to 2 ms only");
        }
        Self(shared)
    }

    /// Sets it anew; it then rings for nothing that was set before.
    pub(super) fn set(&self, after: Duration) {
        self.0.turn(Position::In(after));
    }

    /// Waits until it rings.
    pub(super) async fn rings(&self) {
        self.0.bell.notified().await;
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.turn(Position::Broken);
    }
}

impl Shared {
    fn turn(&self, position: Position) {
        let mut hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        hand.position = position;
        hand.settings += 1;
        drop(hand);
        self.moved.notify_one();
    }

    fn run(&self) {
        let mut hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = *hand;
            let unmoved = |hand: &mut Hand| *hand == now;
            hand = match now.position {
                Position::Broken => return,
                Position::Off => self
                    .moved
                    .wait_while(hand, unmoved)
                    .unwrap_or_else(PoisonError::into_inner),
                Position::In(after) => {
                    let waited = self.moved.wait_timeout_while(hand, after, unmoved);
                    let (mut hand, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
                    if timed_out.timed_out() {
                        hand.position = Position::Off;
                        self.bell.notify_one();
                    }
                    hand
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_rings_for_what_was_set_last_and_ends_when_it_is_dropped() {
        let alarm = Alarm::start();
        alarm.set(Duration::from_secs(3600));
        alarm.set(Duration::from_micros(100));
        alarm.rings().await;
        alarm.set(Duration::ZERO);
        alarm.rings().await;
        let shared = Arc::downgrade(&alarm.0);
        drop(alarm);
        // The thread holds it until it has ended.
        while shared.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
