//! The tuned constants of links.

use std::time::Duration;

use super::tuning;

tuning! {
    /// The tuned constants of links.
    struct Tuning {
        /// How long a connection judged down is kept and probed: an answer restores the link without a handshake.
        parked: Duration = Duration::from_secs(10), Duration::ZERO => Duration::from_secs(3600);
    }
}
