//! Tracks how the network around this node grows and shrinks. Most links made while it starts up would have to be made anew.

use std::time::Duration;

use crate::membership::Time;
use crate::membership::tuning::Tuning as All;
use crate::membership::tuning::overlay::Tuning;
use crate::membership::view::{Flip, MAX_NODES};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// The number of nodes that the last Hello reported, limited to `MAX_NODES`.
    heard_of: usize,
    /// When a node last came into view, and since when nodes come without a pause.
    grew: Time,
    grows_since: Time,
    /// When a good part of the network last went out of view.
    collapsed: Option<Time>,
    /// When nodes last began to die after a quiet time, and how many have died since.
    deaths: Option<(Time, usize)>,
}

impl Growth {
    /// A neighbour said in its Hello how many nodes it knows.
    pub(super) fn hear(&mut self, known: u32) {
        self.heard_of = (known as usize).min(MAX_NODES);
    }

    /// How many nodes will read our record. A newcomer has heard how many nodes there are before it knows them.
    pub(super) fn readers(&self, up: usize) -> usize {
        up.max(self.heard_of / 2)
    }

    /// Notes the nodes that came into view and those that went. `up` nodes are in view now.
    pub(super) fn note(&mut self, now: Time, flips: &[Flip], up: usize, all: &All) {
        if flips.iter().any(|flip| flip.up) {
            if now >= self.grew + all.pace.growing(up) {
                self.grows_since = now;
            }
            self.grew = now;
        }
        let gone = flips.iter().filter(|flip| !flip.up).count();
        if gone * all.overlay.collapse >= up + gone {
            self.collapsed = Some(now);
        }
    }

    /// When the network will have stopped growing for `calm`, or no longer counts as starting up.
    fn grown(&self, calm: Duration, tuning: &Tuning) -> Time {
        (self.grew + calm).min(self.grows_since + tuning.longest_growth)
    }

    /// Until when the network seems to be starting up around us. It does while nodes still come into view, and more than a
    /// handful are there. The shape is made afterwards, since earlier links would mostly be given up again.
    pub(super) fn grows_until(&self, now: Time, up: usize, all: &All) -> Option<Time> {
        let until = self.grown(all.pace.growing(up), &all.overlay);
        (up > all.overlay.few_nodes && now < until).then_some(until)
    }

    /// When the network will have made most of its links, if it stops growing.
    pub(super) fn shaped(&self, up: usize, all: &All) -> Time {
        let tuning = &all.overlay;
        let calm = (all.pace.growing(up) + tuning.shaped_after).max(tuning.shaped);
        self.grown(calm, tuning)
    }

    /// Notes that so many nodes became unreachable.
    pub(super) fn note_deaths(&mut self, now: Time, count: usize, tuning: &Tuning) {
        if count > 0 {
            let deaths = self
                .deaths
                .filter(|(since, _)| now < *since + tuning.sweep_for);
            let (since, before) = deaths.unwrap_or((now, 0));
            self.deaths = Some((since, before + count));
        }
    }

    /// The length of a turn in seconds, while nearly all of the network is missing. `up` nodes are left, and none of them takes
    /// more than one turn in `shortest_s`.
    pub(super) fn sweep_turn(
        &self,
        now: Time,
        up: usize,
        shortest_s: f64,
        tuning: &Tuning,
    ) -> Option<f64> {
        let (since, lost) = self.deaths?;
        let is_torn = lost >= up * tuning.torn && now < since + tuning.sweep_for;
        is_torn.then(|| {
            let turn_s = tuning.sweep.as_secs_f64() * up as f64 / lost as f64;
            turn_s.max(shortest_s).min(up.max(1) as f64)
        })
    }

    /// Until when no link is given up, after a good part of the network went out of view.
    pub(super) fn settles(&self, now: Time, tuning: &Tuning) -> Time {
        self.collapsed.map_or(now, |at| at + tuning.after_collapse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_begins_with_the_first_death_and_lasts_its_time_whenever_that_is() {
        let tuning = Tuning::DEFAULT;
        for begin in [1, 29, 31, 1000].map(Duration::from_secs) {
            let mut growth = Growth::default();
            assert_eq!(growth.sweep_turn(begin, 10, 0.35, &tuning), None);
            growth.note_deaths(begin, 60, &tuning);
            growth.note_deaths(begin + Duration::from_secs(3), 30, &tuning);
            let end = begin + tuning.sweep_for;
            let last = end - Duration::from_millis(1);
            assert!(growth.sweep_turn(begin, 10, 0.35, &tuning).is_some());
            assert!(growth.sweep_turn(last, 10, 0.35, &tuning).is_some());
            assert_eq!(growth.sweep_turn(end, 10, 0.35, &tuning), None);
            assert_eq!(
                growth.sweep_turn(last, 31, 0.35, &tuning),
                None,
                "most are left or found"
            );
        }
    }
}
