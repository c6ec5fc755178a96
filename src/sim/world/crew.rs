//! The threads that run the nodes of a window.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use rayon_core::{ThreadPool, ThreadPoolBuilder};

use crate::sim::host::Node;
use crate::sim::window::{Scene, Window};

/// A window with fewer nodes runs on the caller's thread, since waking others would take longer.
const ENOUGH: usize = 24;
/// Shards of places per thread, so that a thread that is done early finds more work.
const SHARDS_A_THREAD: usize = 4;

/// The threads that windows run on.
pub(super) struct Crew {
    threads: usize,
    /// The other threads, once they were needed.
    others: Option<ThreadPool>,
}

impl Crew {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads: threads.max(1),
            others: None,
        }
    }

    /// As many threads as the machine runs at once.
    pub(super) fn of_machine() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, NonZeroUsize::get))
    }

    /// The number of shards.
    pub(super) fn shards(&self) -> usize {
        if self.threads == 1 {
            1
        } else {
            self.threads * SHARDS_A_THREAD
        }
    }

    /// Processes all events at these places that are due in a window.
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

    /// The nodes at these places by shard. Two nodes of one shard never run at once, so they may share data that only one
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
