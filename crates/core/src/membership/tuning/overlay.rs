//! The tuned constants of the overlay.

use std::time::Duration;

use super::tuning;

tuning! {
    /// The tuned constants of the overlay.
    struct Tuning {
        /// A node that is younger than this dials eagerly: others may be starting with it.
        starting: Duration = Duration::from_secs(1), Duration::ZERO => Duration::from_secs(60);
    }
}
