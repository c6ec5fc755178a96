//! A small async executor in virtual time: a first-in, first-out queue of tasks, and timers ordered by time.
//!
//! It implements quinn's [`Runtime`], which is everything that a whole node needs. Each task belongs to a *host*: one run of one node. A host
//! can be paused, so that none of its tasks runs while time goes on. It can be removed, with all its tasks, at any point of
//! their execution.
//!
//! Nothing runs by itself. The owner of the [`Executor`] runs one task at a time and advances the time. Two runs with the
//! same tasks are identical.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime};

use crate::membership::Time;

/// One run of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostId(u32);

/// See the module's documentation. Dropping it drops its tasks.
pub(super) struct Executor {
    shared: Arc<Shared>,
}

struct Shared {
    /// The instant that is virtual time zero.
    genesis: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    now: Time,
    ready: VecDeque<Arc<Task>>,
    /// Earliest first; alarms of the same time in the order in which they were set.
    alarms: BinaryHeap<Reverse<(Time, u64, u32)>>,
    timers: Vec<TimerState>,
    free_timers: Vec<u32>,
    hosts: BTreeMap<HostId, Host>,
    /// Numbers alarms, tasks and hosts.
    alarm_count: u64,
    task_count: u64,
    host_count: u32,
}

#[derive(Default)]
struct Host {
    tasks: BTreeMap<u64, Arc<Task>>,
    paused: bool,
    /// Tasks that are ready while the host is paused.
    held: Vec<Arc<Task>>,
}

/// A timer. quinn resets a timer far more often than it fires, mostly to a later time. So the alarm stays in the heap and is set again if
/// it fires too early.
#[derive(Default)]
struct TimerState {
    due: Time,
    /// The current alarm; older ones in the heap are stale.
    alarm: Option<(Time, u64)>,
    waker: Option<Waker>,
}

type Future_ = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    number: u64,
    host: HostId,
    shared: Weak<Shared>,
    queued: AtomicBool,
    /// `None` once the task has finished.
    future: Mutex<Option<Future_>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if self.queued.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(shared) = self.shared.upgrade() {
            shared.state().ready.push_back(self);
        }
    }
}

impl Executor {
    /// At time zero, without tasks.
    pub(super) fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "an origin to count from: nothing depends on when that is"
        )]
        let genesis = Instant::now();
        Self {
            shared: Arc::new(Shared {
                genesis,
                state: Mutex::default(),
            }),
        }
    }

    /// Adds a host, and returns the runtime for everything on it.
    pub(super) fn add_host(&self) -> (HostId, Arc<HostRuntime>) {
        let mut state = self.shared.state();
        state.host_count += 1;
        let host = HostId(state.host_count);
        state.hosts.insert(host, Host::default());
        let shared = Arc::downgrade(&self.shared);
        let genesis = self.shared.genesis;
        let runtime = HostRuntime {
            shared,
            host,
            genesis,
        };
        (host, Arc::new(runtime))
    }

    /// Drops all tasks of a host, finished or not.
    pub(super) fn remove_host(&self, host: HostId) {
        let gone = self.shared.state().hosts.remove(&host);
        // Dropping a task may wake others, so no lock is held here.
        for task in gone.into_iter().flat_map(|gone| gone.tasks.into_values()) {
            let future = task.future().take();
            drop(future);
        }
    }

    /// Pauses a host.
    pub(super) fn pause(&self, host: HostId) {
        if let Some(host) = self.shared.state().hosts.get_mut(&host) {
            host.paused = true;
        }
    }

    /// Resumes a host; the tasks that became ready meanwhile are queued.
    pub(super) fn resume(&self, host: HostId) {
        let mut state = self.shared.state();
        if let Some(host) = state.hosts.get_mut(&host) {
            host.paused = false;
            let held = std::mem::take(&mut host.held);
            state.ready.extend(held);
        }
    }

    /// Runs the task that has waited longest, and returns its host. `None`: no task is ready.
    pub(super) fn run_one(&self) -> Option<HostId> {
        loop {
            let task = {
                let mut state = self.shared.state();
                let task = state.ready.pop_front()?;
                match state.hosts.get_mut(&task.host) {
                    None => continue,
                    Some(host) if host.paused => {
                        host.held.push(task);
                        continue;
                    }
                    Some(_) => task,
                }
            };
            task.queued.store(false, Ordering::Relaxed);
            let waker = Waker::from(Arc::clone(&task));
            let mut future = task.future();
            let Some(running) = future.as_mut() else {
                continue;
            };
            if running
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
            {
                let over = future.take();
                drop(future);
                drop(over);
                let mut state = self.shared.state();
                if let Some(host) = state.hosts.get_mut(&task.host) {
                    host.tasks.remove(&task.number);
                }
            }
            return Some(task.host);
        }
    }

    /// When the next timer fires.
    pub(super) fn next_alarm(&self) -> Option<Time> {
        let state = self.shared.state();
        state.alarms.peek().map(|Reverse((at, ..))| *at)
    }

    /// Advances the time, and wakes the timers that are due.
    pub(super) fn advance(&self, now: Time) {
        let mut woken = Vec::new();
        let mut state = self.shared.state();
        state.now = now;
        while let Some(Reverse((at, number, slot))) = state.alarms.peek().copied()
            && at <= now
        {
            state.alarms.pop();
            let timer = &mut state.timers[slot as usize];
            if timer.alarm != Some((at, number)) {
                continue;
            }
            timer.alarm = None;
            if timer.due <= now {
                woken.extend(timer.waker.take());
            } else {
                state.set_alarm(slot);
            }
        }
        drop(state);
        for waker in woken {
            waker.wake();
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        let hosts: Vec<HostId> = self.shared.state().hosts.keys().copied().collect();
        for host in hosts {
            self.remove_host(host);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set_alarm(&mut self, slot: u32) {
        self.alarm_count += 1;
        let timer = &mut self.timers[slot as usize];
        timer.alarm = Some((timer.due, self.alarm_count));
        let alarm = (timer.due, self.alarm_count, slot);
        self.alarms.push(Reverse(alarm));
    }
}

impl Task {
    fn future(&self) -> MutexGuard<'_, Option<Future_>> {
        self.future.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// quinn's runtime for one host.
pub(super) struct HostRuntime {
    shared: Weak<Shared>,
    host: HostId,
    genesis: Instant,
}

impl fmt::Debug for HostRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostRuntime").field(&self.host).finish()
    }
}

impl Runtime for HostRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer {
            shared: self.shared.clone(),
            due: at.saturating_duration_since(self.genesis),
            genesis: self.genesis,
            slot: None,
        })
    }

    fn spawn(&self, future: Future_) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let mut state = shared.state();
        state.task_count += 1;
        let number = state.task_count;
        // A removed host starts no task. The task is dropped after the lock is released, since it may hold timers.
        let Some(host) = state.hosts.get_mut(&self.host) else {
            return;
        };
        let task = Arc::new(Task {
            number,
            host: self.host,
            shared: self.shared.clone(),
            queued: AtomicBool::new(true),
            future: Mutex::new(Some(future)),
        });
        host.tasks.insert(number, Arc::clone(&task));
        state.ready.push_back(task);
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    fn now(&self) -> Instant {
        let now = self.shared.upgrade().map(|shared| shared.state().now);
        self.genesis + now.unwrap_or_default()
    }
}

#[derive(Debug)]
struct Timer {
    shared: Weak<Shared>,
    genesis: Instant,
    due: Time,
    /// Its index in the list of timers, once it was polled.
    slot: Option<u32>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Executor")
    }
}

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.due = at.saturating_duration_since(self.genesis);
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(shared) = self.shared.upgrade() else {
            return Poll::Pending;
        };
        let mut state = shared.state();
        if self.due <= state.now {
            return Poll::Ready(());
        }
        let slot = *self.slot.get_or_insert_with(|| state.add_timer());
        let timer = &mut state.timers[slot as usize];
        timer.due = self.due;
        match &mut timer.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        if timer.alarm.is_none_or(|(at, _)| at > timer.due) {
            state.set_alarm(slot);
        }
        Poll::Pending
    }
}

impl State {
    fn add_timer(&mut self) -> u32 {
        if let Some(slot) = self.free_timers.pop() {
            return slot;
        }
        let slot = u32::try_from(self.timers.len()).expect("there are fewer timers than memory");
        self.timers.push(TimerState::default());
        slot
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let (Some(slot), Some(shared)) = (self.slot, self.shared.upgrade()) {
            let mut state = shared.state();
            let timer = std::mem::take(&mut state.timers[slot as usize]);
            state.free_timers.push(slot);
            drop(state);
            drop(timer);
        }
    }
}
