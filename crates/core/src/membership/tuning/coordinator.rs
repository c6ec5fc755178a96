//! The tuned constants of the coordinator.

use std::time::Duration;

use super::tuning;

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

tuning! {
    /// The tuned constants of the coordinator.
    struct Tuning {
        /// How late the node's own loop may run before nothing that was pending counts against a link: each link gets a fresh round
        /// of probes first. Halved or doubled: the same times, bytes and dials (60 nodes at 2 % loss, a fifth of which stand still
        /// for 15 s).
        too_late: Duration = MS.saturating_mul(500), Duration::ZERO => MINUTE;
        /// How late it may run before everything that is pending is given that much more time. Halved or doubled: the same figures
        /// in the same scenario, in which no node is late by so little.
        rather_late: Duration = MS.saturating_mul(30), Duration::ZERO => MINUTE;
        /// How long a node that leaves waits with closing its connections, where a link has lost packets: the last messages may
        /// have to be sent again.
        leave_patience: Duration = MS.saturating_mul(250), Duration::ZERO => MINUTE;
        /// A link that breaks within this time of its connection counts as a failed dial: the next dial waits
        /// (`overlay.first_retry`). Halved or doubled: the same times, bytes and dials (third-dies, 100 nodes).
        short_lived: Duration = MS.saturating_mul(3000), Duration::ZERO => MINUTE;
    }
}

const _: () = {
    let tuning = Tuning::DEFAULT;
    // Otherwise what is pending would be put off where it should not count at all.
    assert!(tuning.rather_late.as_nanos() < tuning.too_late.as_nanos());
};
