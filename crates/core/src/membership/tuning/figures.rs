//! The tuned constants of figures.

use std::time::Duration;

use super::tuning;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

tuning! {
    /// The tuned constants of figures.
    struct Tuning {
        /// The share of the budget that messages in turn use up; the rest is for moves and for chance. Halved: figures of others grow twice as old. With
        /// the value of `share`, those that are due at the same time wait for each other, and some grow several times as old.
        round_share: f64 = 0.6, 0.01 => 1.0;
        /// The share of the budget by which the bucket fills. With 1.0, a burst on top of it exceeds the budget for some seconds. Halved: messages
        /// wait.
        share: f64 = 0.8, 0.01 => 1.0;
        /// So many seconds of the budget may be sent in a burst, from all nodes together. With `share` it bounds what any ten seconds see: 0.8 × 10 + 2
        /// seconds of the budget. Halved: a move waits for the turns of others more often. Doubled: any ten seconds may see a fifth more than the budget.
        burst_s: f64 = 2.0, 0.01 => 1000.0;
        /// A node tells figures no more often than this in turn, and this much less often for each node that is up. It bounds what they cost in a small
        /// network. Halved: five nodes send twice as many, which nobody notices. Doubled: a small network's figures are up to 13 s old.
        least_period: Duration = S.saturating_mul(5), Duration::ZERO => HOUR;
        /// See `least_period`.
        node_period: Duration = MS.saturating_mul(600), Duration::ZERO => HOUR;
        /// Together they come to no more than this: the figures of 25 nodes are to be no older than 30 s. Halved: 25 nodes send twice as many.
        /// Doubled: their figures are up to 40 s old.
        middling_period: Duration = S.saturating_mul(20), Duration::ZERO => HOUR;
        /// Figures that are due while nothing is left wait for up to this part of a period more, chosen at random: so those that wait don't all
        /// send when the first of them may. With a third of this wait, a node of a hundred receives 2 % more than the budget in the worst ten seconds
        /// (the test `figures_stay_within_their_budget_over_any_ten_seconds`). Doubled: figures grow older.
        spread_part: u32 = 12, 1 => 1000;
        /// The first figures of a run are told this long after the network was made, and up to as much later: a start is a rush, and the round-trip times
        /// measured in it are too long. Halved: some are measured in the rush. Doubled: those of the start stand for ten seconds.
        settle: Duration = S.saturating_mul(3), Duration::ZERO => HOUR;
        /// The least time between two moves that a node tells. A move of one link is often a move of several: one message tells them all. Halved: two
        /// messages. Doubled: the second of two moves is told two seconds later.
        move_spacing: Duration = S.saturating_mul(2), Duration::ZERO => HOUR;
        /// A move is more than this part of what was told, a sixteenth: the step of the scale. Halved: an eighth must have moved. Doubled: moves that
        /// the scale does not show are told.
        move_part: u32 = 16, 1 => 1_000_000;
        /// And more than this many µs. Halved: on one machine, the scheduler's moods are told. Doubled: nothing changes from 0.7 ms on.
        move_us: u32 = 20, 0 => 1_000_000_000;
        /// A loss moved that differs by so many 250ths (4 %), if chance does not explain it. Halved or doubled: more or fewer messages where links lose packets.
        move_loss_250: u32 = 10, 0 => 250;
        /// Figures older than this are not passed on when they come: they came with a record that a neighbour requested, and the
        /// others have them. At each hop they wait for a probe, so in a network of a hundred nodes they are up to 20 s old at the
        /// last one. Halved: the last ones lack some. Doubled: a newcomer sends some figures to a neighbour that has them.
        passed_on: Duration = S.saturating_mul(20), Duration::ZERO => HOUR;
        /// Figures that come within this part of the period that the last ones announced are passed on at once: a link moved.
        /// Halved: a move in the second half of a period takes as long as figures in turn. With 1.0, figures in turn are taken
        /// for moves.
        early_part: f64 = 0.8, 0.0 => 1.0;
        /// Round-trip times of others are shown as stale after so many periods. With 1.0 most of them would be for a moment in each period; with
        /// 4.0 a node that tells none for minutes goes unnoticed.
        stale_periods: f64 = 2.0, 1.0 => 1000.0;
        /// And no sooner than this, since a message takes its time.
        stale_least: Duration = S.saturating_mul(15), Duration::ZERO => HOUR;
        /// And in a network of less than `stale_small` nodes no later than this. It bounds what a wrong period in a message can do.
        stale_most: Duration = S.saturating_mul(120), Duration::ZERO => HOUR;
        /// See `stale_most`: larger networks need more time with the default budget.
        stale_small: usize = 200, 0 => 1_000_000;
        /// Bytes of a message besides the figures in it: its frame, and its share of a packet, which others and a probe use too.
        /// Halved or doubled: the budget is missed by a fifth.
        overhead: usize = 24, 0 => 10_000;
    }
}
