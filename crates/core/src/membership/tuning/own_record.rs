//! The tuned constants of the own record.

use std::time::Duration;

use super::tuning;

tuning! {
    /// The tuned constants of the own record.
    struct Tuning {
        /// The least time between two records that tell of losses.
        loss_spacing: Duration = Duration::from_millis(100), Duration::ZERO => Duration::from_secs(60);
    }
}
