//! Windows of virtual time, in which nodes run without regard to each other.
//!
//! Nothing that a node does reaches another one sooner than the least time that any packet takes: the *lookahead* of a
//! conservative parallel simulation (Chandy, Misra and Bryant). So all that happens within that time of the earliest event of all
//! is known when the window opens, and node by node it may be done in any order, or at once on several threads. What they send
//! each other is handed over when the window is over.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use super::lines::Land;
use crate::membership::Time;

/// A time that never comes.
pub(super) const NEVER: Time = Duration::MAX;

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
