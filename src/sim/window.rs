//! Windows of virtual time, in which nodes run independently.
//!
//! No node can affect another one sooner than the least time that any packet takes: the *lookahead* of a
//! conservative parallel simulation (Chandy, Misra and Bryant). So when a window of that length opens at the earliest event, all events in it
//! are known, and the nodes may run in any order, or on several threads. The packets that they send
//! each other are handed over after the window.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use super::lines::Land;
use crate::membership::Time;

/// A time that never comes.
pub(super) const NEVER: Time = Duration::MAX;

/// What all nodes may read while a window runs.
pub(super) struct Scene<'a> {
    pub(super) land: &'a Land,
    /// The place that listens at each address.
    pub(super) listeners: &'a BTreeMap<SocketAddr, u32>,
    pub(super) encoded: bool,
    /// Whether an ended node may be started again.
    pub(super) restarts: bool,
    /// Whether the log is read.
    pub(super) logs: bool,
    /// Whether there are Byzantine nodes, so that what they cost is counted.
    pub(super) attacked: bool,
}

/// A span of time that excludes `end`, and ends after `until` if that is earlier.
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

/// The next event of each place, as a heap, so that not all places have to be searched.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// A place may have several entries; the one whose time equals `due` counts, the others are stale.
    entries: BinaryHeap<Reverse<(Time, u32)>>,
    due: Vec<Time>,
}

impl Agenda {
    /// Adds a place without events.
    pub(super) fn add_place(&mut self) {
        self.due.push(NEVER);
    }

    /// Sets the time of a place's next event.
    pub(super) fn set(&mut self, place: u32, at: Time) {
        let due = &mut self.due[place as usize];
        if *due != at {
            *due = at;
            if at != NEVER {
                self.entries.push(Reverse((at, place)));
            }
        }
    }

    /// Sets the time of a place's next event if it is earlier than the present one.
    pub(super) fn hasten(&mut self, place: u32, at: Time) {
        if at < self.due[place as usize] {
            self.set(place, at);
        }
    }

    /// The time of the earliest event.
    pub(super) fn first(&mut self) -> Option<Time> {
        while let Some(&Reverse((at, place))) = self.entries.peek() {
            if self.due[place as usize] == at {
                return Some(at);
            }
            self.entries.pop();
        }
        None
    }

    /// Takes the places with an event in a window, in order.
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
