//! Limits of the detector, and how its tuned constants must fit each other and them.

use std::time::Duration;

use crate::membership::tuning::links::Tuning;

/// The longest pause between two probes that a peer may announce: a limit of safety, twice the longest setting. The transport checks that it
/// is below QUIC's idle timeout.
pub const LONGEST_INTERVAL: Duration = Duration::from_secs(20);
/// The most unanswered probes that are remembered. It bounds memory. Beyond it, the oldest probe is forgotten. That probe stays
/// counted as a miss in the run, but a late answer to it is ignored.
pub(super) const MOST_OUTSTANDING: usize = 48;

/// The longest time from a probe to the verdict that the link is down: the first probe and the last one each take the longest
/// timeout, and the others follow at the fast pace. On a full line they follow more slowly, but the verdict takes fewer of them
/// in the same proportion.
pub const SLOWEST_VERDICT: Duration = {
    let Tuning {
        fast_probes,
        most_misses,
        most_timeout,
        ..
    } = Tuning::DEFAULT;
    let run = fast_probes.saturating_mul(most_misses - 1);
    most_timeout.saturating_mul(2).saturating_add(run)
};

/// The times and counts of the detector must fit each other.
const _: () = {
    let tuning = Tuning::DEFAULT;
    assert!(
        tuning.least_misses as u128 * tuning.most_timeout.as_millis() / 2
            <= tuning.most_misses as u128 * tuning.fast_probes.as_millis(),
        "on a full line the least run lasts no longer than the longest one elsewhere"
    );
    let in_flight = tuning.first_timeout.as_millis() / tuning.fast_probes.as_millis();
    assert!(
        tuning.most_misses as u128 + in_flight <= MOST_OUTSTANDING as u128,
        "all probes of the longest run are remembered, and those in flight"
    );
    let most_in_flight = tuning.most_timeout.as_millis() / tuning.icmp_probes.as_millis();
    assert!(
        most_in_flight < MOST_OUTSTANDING as u128,
        "no probe is forgotten before it counts as missed"
    );
    assert!(
        tuning.least_timeout.as_nanos() <= tuning.first_timeout.as_nanos()
            && tuning.first_timeout.as_nanos() <= tuning.most_timeout.as_nanos(),
        "a timeout is within its bounds"
    );
    assert!(
        tuning.least_timeout.as_nanos() < tuning.fast_probes.as_nanos(),
        "on a short path a probe is answered or missed before the next one"
    );
    assert!(
        tuning.icmp_misses <= tuning.least_misses && tuning.least_misses <= tuning.most_misses,
        "ICMP shortens a run, and a run has an end"
    );
    assert!(
        tuning.suspect_misses < tuning.least_misses,
        "a suspicion comes before the verdict"
    );
};
