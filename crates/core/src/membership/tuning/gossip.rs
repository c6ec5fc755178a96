//! The tuned constants of gossip.

use std::time::Duration;

use super::tuning;

tuning! {
    /// The tuned constants of gossip.
    struct Tuning {
        /// A peer that takes nothing from the control stream for this long has stopped reading.
        stalled: Duration = Duration::from_secs(10), Duration::from_secs(1) => Duration::from_secs(3600);
    }
}
