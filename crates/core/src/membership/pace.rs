//! Every wait and every share that depends on the size of the network, or is shared by several owners, as pure functions.
//!
//! In a small network all nodes hear of a change at once and a look at everything costs nothing, so nothing waits. In a large one a
//! change is told by many nodes within a moment, so a short wait turns many small steps into one. Sizes are numbers of nodes that
//! are up in this node's view, itself included.

use std::time::Duration;

use super::Time;
pub(super) use super::tuning::pace::Tuning;

/// The end of the batching interval in which `at` falls.
pub(super) fn end_of_batch(at: Time, interval: Duration) -> Time {
    let over = at.as_nanos().checked_rem(interval.as_nanos());
    let rest = over.map_or(0, |over| interval.as_nanos() - over);
    at + Duration::from_nanos(u64::try_from(rest).expect("less than an interval"))
}

impl Tuning {
    /// Whether everything is so near that nothing needs to wait for company.
    pub(super) fn is_small(&self, up: usize) -> bool {
        up <= self.small
    }

    /// How long to wait before the neighbour set is looked at.
    pub(super) fn plan_wait(&self, up: usize) -> Duration {
        if self.is_small(up) {
            Duration::ZERO
        } else {
            self.plan_wait
        }
    }

    /// How long to wait before reachability is derived after a change, and the least time between two derivations.
    pub(super) fn derive_wait(&self, up: usize, loss: bool) -> (Duration, Duration) {
        if self.is_small(up) {
            (Duration::ZERO, Duration::ZERO)
        } else if up > self.middling {
            (self.derive_large, self.derive_spacing)
        } else if loss {
            (Duration::ZERO, self.derive_spacing)
        } else {
            (self.derive_middling, self.derive_spacing)
        }
    }

    /// How long a loss waits for others before it is passed on.
    pub(super) fn loss_company(&self, up: usize) -> Duration {
        if self.is_small(up) {
            Duration::ZERO
        } else {
            self.loss_company
        }
    }

    /// In a storm the records of a network that is not small travel along the tree in batches, one in each interval of this length; zero means without batches. At
    /// the start of ten thousand nodes each node reads some forty thousand records, and a message for each would cost many times
    /// what the records cost.
    pub(super) fn batch(&self, up: usize) -> Duration {
        if self.is_small(up) {
            Duration::ZERO
        } else {
            (self.batch_per_node * count(up)).min(self.longest_batch)
        }
    }

    /// For how long after the last newcomer the network still counts as growing.
    pub(super) fn growing(&self, up: usize) -> Duration {
        if self.is_small(up) {
            self.growing_small
        } else {
            self.growing + self.growing_batches * self.batch(up) + self.growing_per_node * count(up)
        }
    }

    /// How long the first gain after a quiet time waits. `readers` are the nodes that will read it, `longest_rtt_us` is the round-trip time
    /// of our longest link in µs, `is_placed` tells whether our record lists a link already.
    pub(super) fn first_gain(
        &self,
        readers: usize,
        longest_rtt_us: u32,
        is_placed: bool,
    ) -> Duration {
        let starts = !is_placed && readers <= self.few_heard;
        let (round_trips, bound) = if starts {
            (self.start_round_trips, self.longest_start_gain)
        } else {
            (self.dial_round_trips, self.longest_first_gain)
        };
        let dial = (Duration::from_micros(longest_rtt_us.into()) * round_trips).min(bound);
        let read = Duration::from_millis(u64::from(count(readers))).min(self.longest_first_gain);
        dial.max(read).max(self.first_gain)
    }

    /// By how much the wait for gains grows with each record that was published for one.
    pub(super) fn gain_factor(&self, up: usize) -> u32 {
        if self.is_small(up) {
            self.gain_factor_small
        } else {
            self.gain_factor
        }
    }

    /// The pause between two probes on a healthy link. A node with many links probes each of them less often: its own effort stays the
    /// same, and the more neighbours a node has, the sooner one of them finds out what became of it.
    pub(super) fn probe_interval(&self, configured: Duration, links: usize) -> Duration {
        let links = u32::try_from(links).unwrap_or(u32::MAX);
        let stretched =
            configured * links.min(2 * self.links_at_full_pace) / self.links_at_full_pace;
        stretched.max(configured)
    }

    /// Whether links that come now may stand in for lost ones. `last_loss`: when our record last told of a lost link, or will.
    pub(super) fn is_after_loss(&self, now: Time, last_loss: Option<Time>) -> bool {
        last_loss.is_some_and(|at| now.saturating_sub(at) < self.after_loss)
    }

    /// Until when no link is given up, since one was lost.
    pub(super) fn loss_settles(&self, now: Time, last_loss: Option<Time>) -> Time {
        last_loss.map_or(now, |at| at + self.after_loss)
    }
}

fn count(nodes: usize) -> u32 {
    u32::try_from(nodes).expect("MAX_NODES fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Tuning = Tuning::DEFAULT;
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_small_network_waits_for_nothing() {
        for up in [1, 2, PACE.small] {
            assert_eq!(PACE.plan_wait(up), Duration::ZERO);
            assert_eq!(
                PACE.derive_wait(up, false),
                (Duration::ZERO, Duration::ZERO)
            );
            assert_eq!(PACE.loss_company(up), Duration::ZERO);
            assert_eq!(PACE.batch(up), Duration::ZERO);
        }
        assert_eq!(PACE.plan_wait(PACE.small + 1), PACE.plan_wait);
        assert_eq!(PACE.loss_company(PACE.small + 1), PACE.loss_company);
    }

    #[test]
    fn waits_grow_with_the_network_up_to_their_bounds() {
        assert_eq!(
            PACE.derive_wait(100, true),
            (Duration::ZERO, PACE.derive_spacing)
        );
        assert_eq!(
            PACE.derive_wait(100, false),
            (PACE.derive_middling, PACE.derive_spacing)
        );
        assert_eq!(
            PACE.derive_wait(1000, true),
            (PACE.derive_large, PACE.derive_spacing)
        );
        assert_eq!(PACE.batch(100), 10 * MS);
        assert_eq!(PACE.batch(10_000), PACE.longest_batch);
        assert_eq!(PACE.growing(10), PACE.growing_small);
        assert_eq!(PACE.growing(1000), PACE.growing + 1000 * MS + 100 * MS);
    }

    #[test]
    fn a_batch_ends_where_the_next_one_begins() {
        assert_eq!(end_of_batch(21 * MS, 10 * MS), 30 * MS);
        assert_eq!(end_of_batch(20 * MS, 10 * MS), 30 * MS);
        assert_eq!(end_of_batch(21 * MS, Duration::ZERO), 21 * MS);
    }

    #[test]
    fn the_first_gain_waits_for_the_dials_that_began_with_it() {
        assert_eq!(PACE.first_gain(2, 0, true), PACE.first_gain);
        assert_eq!(PACE.first_gain(50, 0, true), 50 * MS);
        assert_eq!(PACE.first_gain(2, 40_000, true), 80 * MS);
        assert_eq!(
            PACE.first_gain(2, 40_000, false),
            320 * MS,
            "a network starts"
        );
        assert_eq!(PACE.first_gain(2, 400_000, false), PACE.longest_start_gain);
        assert_eq!(PACE.first_gain(9, 400_000, false), PACE.longest_first_gain);
    }

    #[test]
    fn many_links_are_probed_more_slowly_but_no_slower_than_half_the_pace() {
        assert_eq!(PACE.probe_interval(1500 * MS, 0), 1500 * MS);
        assert_eq!(PACE.probe_interval(1500 * MS, 6), 1500 * MS);
        assert_eq!(PACE.probe_interval(1500 * MS, 8), 2000 * MS);
        assert_eq!(PACE.probe_interval(1500 * MS, 100), 3000 * MS);
    }
}
