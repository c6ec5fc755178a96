//! The tuned constants of the own record.

use std::time::Duration;

use crate::membership::tuning::tuning;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

tuning! {
    /// The tuned constants of the own record.
    struct Tuning {
        /// The least time between two records that tell of losses.
        loss_spacing: Duration = MS.saturating_mul(100), Duration::ZERO => S.saturating_mul(60);
        /// A change that is neither a gain nor a loss waits so long for company.
        change_hold: Duration = MS.saturating_mul(50), Duration::ZERO => HOUR;
        /// The longest wait for gains that keep coming.
        longest_gain_hold: Duration = S, Duration::ZERO => HOUR;
        /// A change of the shape alone waits so long for the next one.
        shape_hold: Duration = S, Duration::ZERO => HOUR;
        /// And no longer than this in all, except where a network starts.
        longest_shape_hold: Duration = S.saturating_mul(4), Duration::ZERO => HOUR;
        /// The same after a link was lost: nothing is tidied up then, and what comes stands in for what went.
        longest_after_loss: Duration = S.saturating_mul(2), Duration::ZERO => HOUR;
        /// A node whose record lists this many links is reached by them: one more can wait.
        placed: usize = 2, 0 => 1000;
        /// A quiet time after which gains are first ones again.
        quiet: Duration = S.saturating_mul(2), Duration::ZERO => HOUR;
        /// A gross move of a round-trip time is more than so many µs,
        gross_us: u32 = 1000, 0 => 1_000_000_000;
        /// and more than one part in so many of it.
        gross_part: u32 = 2, 1 => 1_000_000;
        /// A gross move of the loss is more than so many 250ths, if chance does not explain it.
        gross_loss_250: u32 = 50, 0 => 250;
        /// A fine move of a round-trip time is more than so many µs,
        fine_us: u32 = 50, 0 => 1_000_000_000;
        /// and more than one part in so many of it.
        fine_part: u32 = 100, 1 => 1_000_000;
        /// A fine move of the loss is more than so many 250ths.
        fine_loss_250: u32 = 4, 0 => 250;
        /// The last record in the budget waits for so many probe intervals, until all links were probed.
        probe_rounds: u32 = 2, 0 => 1000;
        /// So long after the last record, fine moves may be told.
        fine_spacing: Duration = S.saturating_mul(10), Duration::ZERO => HOUR;
        /// A record whose measurements are older than this is told anew when the budget is at least half full.
        refresh: Duration = S.saturating_mul(60), Duration::ZERO => HOUR;
        /// How many copies of a record a node receives, for the reckoning of the budget.
        copies: f64 = 2.0, 0.01 => 1000.0;
        /// The first pause between two jumps above a record of this node that it did not write in this run.
        first_jump: Duration = S, Duration::ZERO => HOUR;
        /// The longest such pause.
        longest_jump: Duration = S.saturating_mul(64), Duration::ZERO => HOUR;
        /// So many foreign records, each above what this node had jumped to, and there is a second node with its key.
        twin_after: u32 = 3, 1 => 1000;
    }
}
