//! Windows of virtual time, in which nodes run without regard to each other.
//!
//! Nothing that a node does reaches another one sooner than the least time that any packet takes: the *lookahead* of a
//! conservative parallel simulation (Chandy, Misra and Bryant). So all that happens within that time of the earliest event of all
//! is known when the window opens, and node by node it may be done in any order, or at once on several threads. What they send
//! each other is handed over when the window is over.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rayon_core::{ThreadPool, ThreadPoolBuilder};

use super::host::Node;
use super::lines::Land;
use crate::membership::Time;

/// A time that never comes.
pub(super) const NEVER: Time = Duration::MAX;
/// A window with fewer nodes in it runs on the caller's thread: to wake others would take longer.
const ENOUGH: usize = 24;
/// Places are divided among so many shards for each thread, so that one that is done early finds more to do.
const SHARDS_A_THREAD: usize = 4;

/// What all nodes may look at while a window runs.
pub(super) struct Scene<'a> {
    pub(super) land: &'a Land,
    /// Who listens where.
    pub(super) listeners: &'a BTreeMap<SocketAddr, u32>,
    pub(super) encoded: bool,
    /// Whether a node that ends may be started again.
    pub(super) restarts: bool,
    /// Whether somebody reads a log.
    pub(super) logs: bool,
}

/// A span of time: up to, but without, its end, and no longer than until a time that is in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) end: Time,
    pub(super) until: Time,
}

impl Window {
    pub(super) fn holds(&self, at: Time) -> bool {
        at < self.end && at <= self.until
    }
}

/// When something happens next at each place, so that nobody has to look at all of them.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// Of several entries of a place, the one with its time counts; the others are left over.
    entries: BinaryHeap<Reverse<(Time, u32)>>,
    due: Vec<Time>,
}

impl Agenda {
    /// One more place, where nothing will happen.
    pub(super) fn add_place(&mut self) {
        self.due.push(NEVER);
    }

    /// The next thing at a place happens then.
    pub(super) fn set(&mut self, place: u32, at: Time) {
        let due = &mut self.due[place as usize];
        if *due != at {
            *due = at;
            if at != NEVER {
                self.entries.push(Reverse((at, place)));
            }
        }
    }

    /// Something happens at a place then, if nothing does sooner.
    pub(super) fn hasten(&mut self, place: u32, at: Time) {
        if at < self.due[place as usize] {
            self.set(place, at);
        }
    }

    /// When the next thing of all happens.
    pub(super) fn first(&mut self) -> Option<Time> {
        while let Some(&Reverse((at, place))) = self.entries.peek() {
            if self.due[place as usize] == at {
                return Some(at);
            }
            self.entries.pop();
        }
        None
    }

    /// Takes out the places where something happens in a window, in order.
    pub(super) fn take(&mut self, window: &Window, places: &mut Vec<u32>) {
        while self.first().is_some_and(|at| window.holds(at)) {
            let Some(Reverse((_, place))) = self.entries.pop() else {
                break;
            };
            self.due[place as usize] = NEVER;
            places.push(place);
        }
        places.sort_unstable();
    }
}

/// The threads that windows run on.
pub(super) struct Crew {
    threads: usize,
    /// The others, once they were needed.
    others: Option<ThreadPool>,
}

impl Crew {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads: threads.max(1),
            others: None,
        }
    }

    /// As many as the machine runs at once.
    pub(super) fn of_machine() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, NonZeroUsize::get))
    }

    /// Into how many shards places are divided.
    pub(super) fn shards(&self) -> usize {
        if self.threads == 1 {
            1
        } else {
            self.threads * SHARDS_A_THREAD
        }
    }

    /// Lets everything happen at these places that is due in a window.
    pub(super) fn run(
        &mut self,
        nodes: &mut [Node],
        places: &[u32],
        scene: &Scene<'_>,
        window: &Window,
    ) {
        if self.threads == 1 || places.len() < ENOUGH {
            for &place in places {
                nodes[place as usize].run(scene, window);
            }
            return;
        }
        let shards = Mutex::new(self.divide(nodes, places).into_iter());
        let next = || shards.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            while let Some(shard) = next() {
                for node in shard {
                    node.run(scene, window);
                }
            }
        };
        let others = self.threads - 1;
        let pool = self.others.get_or_insert_with(|| {
            let pool = ThreadPoolBuilder::new().num_threads(others);
            let pool = pool.thread_name(|number| format!("sim {number}"));
            pool.build().expect("a program may have threads")
        });
        pool.in_place_scope(|scope| {
            for _ in 0..others {
                scope.spawn(|_| work());
            }
            work();
        });
    }

    /// The nodes at these places, shard by shard. Two nodes of one shard never run at once, so they may share what only one
    /// thread at a time should use.
    fn divide<'a>(&self, mut nodes: &'a mut [Node], places: &[u32]) -> Vec<Vec<&'a mut Node>> {
        let count = self.shards();
        let mut shards: Vec<Vec<&mut Node>> = Vec::new();
        shards.resize_with(count, || Vec::with_capacity(places.len() / count + 1));
        let mut passed = 0;
        for &place in places {
            let (_, rest) = nodes.split_at_mut(place as usize - passed);
            let (node, rest) = rest.split_first_mut().expect("there is a node at a place");
            shards[place as usize % count].push(node);
            passed = place as usize + 1;
            nodes = rest;
        }
        shards
    }
}
