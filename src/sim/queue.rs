//! An event queue in the order of time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::membership::Time;

/// A queue with a smaller capacity than this keeps it.
const LEAST_ROOM: usize = 64;
/// A queue with this many times the capacity that it needs is shrunk.
const TOO_MUCH: usize = 8;

/// An event at a time.
#[derive(Debug)]
pub(super) struct Due<T> {
    pub(super) at: Time,
    /// The place that created it, and that place's number for it.
    pub(super) origin: u32,
    pub(super) number: u64,
    pub(super) what: T,
}

impl<T> Due<T> {
    fn key(&self) -> (Time, u32, u64) {
        (self.at, self.origin, self.number)
    }
}

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Due<T> {}

/// Earliest first. Events of one time are ordered by origin, and those of one origin by number. So the order does not depend on the
/// order in which they were added.
#[derive(Debug)]
pub(super) struct Queue<T>(BinaryHeap<Reverse<Due<T>>>);

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self(BinaryHeap::new())
    }
}

impl<T> Queue<T> {
    pub(super) fn push(&mut self, due: Due<T>) {
        self.0.push(Reverse(due));
    }

    /// The time of the next event.
    pub(super) fn first(&self) -> Option<Time> {
        self.0.peek().map(|Reverse(due)| due.at)
    }

    pub(super) fn pop(&mut self) -> Option<Due<T>> {
        self.0.pop().map(|Reverse(due)| due)
    }

    /// The next event, if it is due by then.
    pub(super) fn pop_by(&mut self, by: Time) -> Option<Due<T>> {
        self.first().filter(|at| *at <= by)?;
        self.pop()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Due<T>) -> bool) {
        self.0.retain(|Reverse(due)| keep(due));
        self.trim();
    }

    /// Shrinks the queue after a burst.
    pub(super) fn trim(&mut self) {
        let (room, needed) = (self.0.capacity(), self.0.len());
        if room > LEAST_ROOM && room / TOO_MUCH > needed {
            self.0.shrink_to((2 * needed).max(LEAST_ROOM));
        }
    }
}

/// The same for a list that was just emptied.
pub(super) fn trim<T>(list: &mut Vec<T>) {
    if list.capacity() > LEAST_ROOM {
        *list = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn due(at: u64, origin: u32, number: u64) -> Due<()> {
        Due {
            at: Duration::from_millis(at),
            origin,
            number,
            what: (),
        }
    }

    #[test]
    fn the_order_is_that_of_times_origins_and_numbers() {
        let mut all = vec![due(1, 7, 9), due(2, 1, 5), due(2, 3, 1), due(2, 3, 2)];
        let right: Vec<_> = all.iter().map(Due::key).collect();
        for _ in 0..4 {
            let mut queue = Queue::default();
            all.rotate_left(1);
            for one in all.drain(..) {
                queue.push(one);
            }
            assert!(queue.pop_by(Duration::ZERO).is_none());
            all.extend(std::iter::from_fn(|| queue.pop()));
            let keys: Vec<_> = all.iter().map(Due::key).collect();
            assert_eq!(keys, right);
        }
    }

    #[test]
    fn room_is_given_back_after_a_storm() {
        let mut queue = Queue::default();
        for number in 0..10_000 {
            queue.push(due(number, 0, number));
        }
        while queue.pop_by(Duration::from_millis(9_989)).is_some() {}
        queue.trim();
        assert_eq!(queue.0.len(), 10);
        assert!(
            queue.0.capacity() <= 2 * LEAST_ROOM,
            "{}",
            queue.0.capacity()
        );
    }
}
