//! The tuned constants of the view.

use std::time::Duration;

use super::tuning;

tuning! {
    /// The tuned constants of the view.
    struct Tuning {
        /// How often nodes are looked for that have been down for long enough to be forgotten.
        forget_every: Duration = Duration::from_secs(10), Duration::from_millis(1) => Duration::from_secs(3600);
    }
}
