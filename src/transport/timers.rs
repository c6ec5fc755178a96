//! Timers for quinn and the event loop that wake the process only when they are due.
//!
//! tokio's timer wheel has coarser slots for later deadlines. A distant timer wakes the process when its slot is reached, and
//! again when it is due. A timer that was postponed still wakes it at the old time. An idle node does little but postpone distant
//! timers, so tokio's timers doubled its wake-ups. Here the deadlines are kept sorted, and one `timerfd` is set to the first.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::kernel::{KernelSocket, own};
use super::tap::Tap;

/// Deadlines are rounded up to multiples of this, so that near deadlines share one wake-up. It is also the most by which an
/// impaired packet is late.
const GRAIN: Duration = Duration::from_micros(250);

/// quinn's runtime on tokio, with timers of our own.
#[derive(Debug)]
pub struct TimerRuntime {
    queue: Arc<Queue>,
    driver: AbortHandle,
}

impl TimerRuntime {
    /// Creates the timer. Must be called within tokio's runtime.
    ///
    /// # Errors
    /// When the system can't create a `timerfd`.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let queue = Arc::new(Queue {
            timer: own(timer, Interest::READABLE)?,
            start: Instant::now(),
            waiting: Mutex::default(),
        });
        let driver = tokio::spawn(Arc::clone(&queue).drive()).abort_handle();
        Ok(Self { queue, driver })
    }
}

impl Drop for TimerRuntime {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Runtime for TimerRuntime {
    fn new_timer(&self, at: std::time::Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer {
            queue: Arc::clone(&self.queue),
            at: at.into(),
            place: None,
        })
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(future);
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(KernelSocket::open(socket, Arc::<Tap>::default())?)
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

#[derive(Debug)]
struct Queue {
    timer: AsyncFd<OwnedFd>,
    start: Instant,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Sorted by deadline; the number distinguishes equal deadlines.
    timers: BTreeMap<Place, Waker>,
    next: u64,
    /// The time to which the kernel's timer is set.
    set: Option<Instant>,
}

type Place = (Instant, u64);

impl Queue {
    /// Wakes the due timers each time that the kernel's timer fires.
    async fn drive(self: Arc<Self>) {
        while let Ok(mut guard) = self.timer.ready(Interest::READABLE).await {
            guard.clear_ready();
            for waker in self.due() {
                waker.wake();
            }
        }
    }

    fn due(&self) -> Vec<Waker> {
        let now = Instant::now();
        let mut waiting = self.waiting();
        waiting.set = None;
        let mut due = Vec::new();
        while let Some(first) = waiting.timers.first_entry() {
            if first.key().0 > now {
                break;
            }
            due.push(first.remove());
        }
        self.set(&mut waiting);
        due
    }

    /// Sets the kernel's timer to the first deadline.
    fn set(&self, waiting: &mut Waiting) {
        let Some(&(first, _)) = waiting.timers.keys().next() else {
            // The kernel's timer stays set; it may fire once more without effect.
            return;
        };
        if waiting.set == Some(first) {
            return;
        }
        // Zero would disarm the timer.
        let pause = first
            .saturating_duration_since(Instant::now())
            .max(Duration::from_nanos(1));
        let spec = Itimerspec {
            it_interval: Timespec::default(),
            it_value: pause.try_into().expect("no deadline is centuries away"),
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &spec)
            .expect("the time is valid and the descriptor is a timerfd");
        waiting.set = Some(first);
    }

    /// Rounds up to the next multiple of [`GRAIN`].
    fn grain_after(&self, at: Instant) -> Instant {
        let since = at.saturating_duration_since(self.start);
        let grains = since.as_nanos().div_ceil(GRAIN.as_nanos());
        let us = u64::try_from(grains * GRAIN.as_micros()).unwrap_or(u64::MAX);
        self.start + Duration::from_micros(us)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Timer {
    queue: Arc<Queue>,
    at: Instant,
    place: Option<Place>,
}

impl Timer {
    fn withdraw(&mut self) {
        if let Some(place) = self.place.take() {
            self.queue.waiting().timers.remove(&place);
        }
    }
}

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: std::time::Instant) {
        let at = at.into();
        if self.at != at {
            self.withdraw();
            self.at = at;
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            self.withdraw();
            return Poll::Ready(());
        }
        let queue = Arc::clone(&self.queue);
        let mut waiting = queue.waiting();
        match self.place {
            Some(place) if waiting.timers.contains_key(&place) => {
                waiting.timers.insert(place, cx.waker().clone());
            }
            _ => {
                let place = (queue.grain_after(self.at), waiting.next);
                waiting.next += 1;
                waiting.timers.insert(place, cx.waker().clone());
                self.place = Some(place);
                queue.set(&mut waiting);
            }
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.withdraw();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn fires(timer: &mut Pin<Box<dyn AsyncTimer>>) -> Instant {
        poll_fn(|cx| timer.as_mut().poll(cx)).await;
        Instant::now()
    }

    #[tokio::test]
    async fn timers_fire_in_order_and_never_early() {
        let runtime = TimerRuntime::new().unwrap();
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut late = runtime.new_timer(ms(30).into_std());
        let mut early = runtime.new_timer(ms(5).into_std());
        let (early, late) = tokio::join!(fires(&mut early), fires(&mut late));
        assert!(early >= ms(5) && late >= ms(30) && early <= late);
    }

    #[tokio::test]
    async fn a_timer_can_be_moved_in_both_directions_and_used_again() {
        let runtime = TimerRuntime::new().unwrap();
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut timer = runtime.new_timer(ms(3_600_000).into_std());
        assert!(futures_pending(&mut timer).await);
        timer.as_mut().reset(ms(10).into_std());
        assert!(fires(&mut timer).await >= ms(10));
        timer.as_mut().reset(ms(1).into_std());
        fires(&mut timer).await;
        timer.as_mut().reset(ms(20).into_std());
        assert!(fires(&mut timer).await >= ms(20));
        drop(timer);
        assert!(runtime.queue.waiting().timers.is_empty());
    }

    async fn futures_pending(timer: &mut Pin<Box<dyn AsyncTimer>>) -> bool {
        poll_fn(|cx| Poll::Ready(timer.as_mut().poll(cx).is_pending())).await
    }
}
