//! Every wait and every share that depends on the size of the network, or is shared by several owners, as pure functions.
//!
//! In a small network all nodes hear of a change at once and a look at everything costs nothing, so nothing waits. In a large one a
//! change is told by many nodes within a moment, so a short wait turns many small steps into one. Sizes are numbers of nodes that
//! are up in this node's view, itself included.

use std::time::Duration;

use super::Time;

/// Up to this many nodes a network is small: nothing waits for company, and records are not passed on in rounds.
const SMALL: usize = 32;
/// Up to this many nodes a gain waits a quarter as long before reachability is derived as it does in a larger network, and a loss not
/// at all.
const MIDDLING: usize = 256;

/// How long a look at the neighbour set waits: in a large network the look is expensive.
const PLAN_WAIT: Duration = Duration::from_millis(50);

/// Reachability is derived no more often than this in a network that is not small: changes that come together make one picture.
const DERIVE_SPACING: Duration = Duration::from_millis(100);
/// How long a derivation waits for company: after a gain in a middling network, and after any change in a large one.
const DERIVE_MIDDLING: Duration = Duration::from_millis(25);
const DERIVE_LARGE: Duration = Duration::from_millis(100);

/// How long a loss waits before it is passed on in a network that is not small: a death is told by many neighbours at once, and they
/// fit into one batch.
const LOSS_COMPANY: Duration = Duration::from_millis(5);

/// A round along the tree lasts this long for every node, up to the bound.
const ROUND_PER_NODE: Duration = Duration::from_micros(100);
const LONGEST_ROUND: Duration = Duration::from_millis(100);

/// A network grows while nodes come into view within this time of each other. Links are few until then, and the loss of one may cut
/// off others; so a small network, in which all nodes see a newcomer at once, waits less.
const GROWING: Duration = Duration::from_millis(800);
const GROWING_SMALL: Duration = Duration::from_millis(300);
/// In a large network news travels in rounds and the last of it comes late. Links made before all news has come would be chosen with
/// too little knowledge, and would keep views from converging.
const GROWING_ROUNDS: u32 = 10;
const GROWING_PER_NODE: Duration = Duration::from_micros(100);

/// The first gain after a quiet time waits a millisecond for every node that will read it, and as long as a dial over our longest link
/// takes (two round trips), since dials that begin together end together; within these bounds.
pub(super) const FIRST_GAIN: Duration = Duration::from_millis(10);
const LONGEST_FIRST_GAIN: Duration = Duration::from_millis(100);
const DIAL_ROUND_TRIPS: u32 = 2;
/// The same where a network starts: links of other nodes may take longer than our longest one, and are dialed from both sides. A start
/// makes 1.6 versions of a record with four round trips and 1.3 with eight, and all nodes know all others as soon.
const LONGEST_START_GAIN: Duration = Duration::from_millis(400);
const START_ROUND_TRIPS: u32 = 8;
/// A network in which we have no listed link, and of which we heard no more nodes than this, may be starting.
const FEW_HEARD: usize = 8;

/// The factors by which the wait for gains grows while they keep coming.
const GAIN_FACTOR_SMALL: u32 = 2;
const GAIN_FACTOR: u32 = 4;

/// The budget for figures holds this many records: what a sudden change may cost. A handful of nodes may spend more.
const BUDGET_RECORDS: f64 = 4.0;
const BUDGET_RECORDS_FEW: f64 = 8.0;
/// Up to this many nodes start with a full budget; larger networks start with one record.
const FEW: usize = 8;

/// Up to this many links are probed at the configured pace, more of them more slowly, down to half of it.
const LINKS_AT_FULL_PACE: u32 = 6;

/// Where a link was lost, so long: what comes stands in for what went, and nothing is tidied up. Where many nodes have died, views so converge
/// before links are given up.
const AFTER_LOSS: Duration = Duration::from_secs(6);

/// Whether everything is so near that nothing needs to wait for company.
pub(super) fn is_small(up: usize) -> bool {
    up <= SMALL
}

/// How long to wait before the neighbour set is looked at.
pub(super) fn plan_wait(up: usize) -> Duration {
    if is_small(up) {
        Duration::ZERO
    } else {
        PLAN_WAIT
    }
}

/// How long to wait before reachability is derived after a change, and the least time between two derivations.
pub(super) fn derive_wait(up: usize, loss: bool) -> (Duration, Duration) {
    if is_small(up) {
        (Duration::ZERO, Duration::ZERO)
    } else if up > MIDDLING {
        (DERIVE_LARGE, DERIVE_SPACING)
    } else if loss {
        (Duration::ZERO, DERIVE_SPACING)
    } else {
        (DERIVE_MIDDLING, DERIVE_SPACING)
    }
}

/// How long a loss waits for others before it is passed on.
pub(super) fn loss_company(up: usize) -> Duration {
    if is_small(up) {
        Duration::ZERO
    } else {
        LOSS_COMPANY
    }
}

/// In a storm the records of a network that is not small travel along the tree in rounds of this length; zero means without rounds. At
/// the start of ten thousand nodes each node reads some forty thousand records, and a message for each would cost many times
/// what the records cost.
pub(super) fn round(up: usize) -> Duration {
    if is_small(up) {
        Duration::ZERO
    } else {
        (ROUND_PER_NODE * count(up)).min(LONGEST_ROUND)
    }
}

/// The end of the round in which `at` falls.
pub(super) fn end_of_round(at: Time, round: Duration) -> Time {
    let over = at.as_nanos().checked_rem(round.as_nanos());
    let rest = over.map_or(0, |over| round.as_nanos() - over);
    at + Duration::from_nanos(u64::try_from(rest).expect("less than a round"))
}

/// For how long after the last newcomer the network still counts as growing.
pub(super) fn growing(up: usize) -> Duration {
    if is_small(up) {
        GROWING_SMALL
    } else {
        GROWING + GROWING_ROUNDS * round(up) + GROWING_PER_NODE * count(up)
    }
}

/// How long the first gain after a quiet time waits. `readers` are the nodes that will read it, `longest_rtt_us` is the round-trip time
/// of our longest link in µs, `is_placed` tells whether our record lists a link already.
pub(super) fn first_gain(readers: usize, longest_rtt_us: u32, is_placed: bool) -> Duration {
    let starts = !is_placed && readers <= FEW_HEARD;
    let (round_trips, bound) = if starts {
        (START_ROUND_TRIPS, LONGEST_START_GAIN)
    } else {
        (DIAL_ROUND_TRIPS, LONGEST_FIRST_GAIN)
    };
    let dial = (Duration::from_micros(longest_rtt_us.into()) * round_trips).min(bound);
    let read = Duration::from_millis(u64::from(count(readers))).min(LONGEST_FIRST_GAIN);
    dial.max(read).max(FIRST_GAIN)
}

/// By how much the wait for gains grows with each record that was published for one.
pub(super) fn gain_factor(up: usize) -> u32 {
    if is_small(up) {
        GAIN_FACTOR_SMALL
    } else {
        GAIN_FACTOR
    }
}

/// How many records the budget for figures holds.
pub(super) fn budget_records(up: usize) -> f64 {
    if up <= FEW {
        BUDGET_RECORDS_FEW
    } else {
        BUDGET_RECORDS
    }
}

/// How many records the budget for figures holds at the start. A handful of nodes tells its first measurements at once; in a crowd that
/// would be a storm, and the one record is for a path that becomes another one.
pub(super) fn first_budget_records(up: usize) -> f64 {
    if up <= FEW { budget_records(up) } else { 1.0 }
}

/// The pause between two probes on a healthy link. A node with many links probes each of them less often: its own effort stays the
/// same, and the more neighbours a node has, the sooner one of them finds out what became of it.
pub(super) fn probe_interval(configured: Duration, links: usize) -> Duration {
    let links = u32::try_from(links).unwrap_or(u32::MAX);
    let stretched = configured * links.min(2 * LINKS_AT_FULL_PACE) / LINKS_AT_FULL_PACE;
    stretched.max(configured)
}

/// Whether links that come now may stand in for lost ones. `last_loss`: when our record last told of a lost link, or will.
pub(super) fn is_after_loss(now: Time, last_loss: Option<Time>) -> bool {
    last_loss.is_some_and(|at| now.saturating_sub(at) < AFTER_LOSS)
}

/// Until when no link is given up, since one was lost.
pub(super) fn loss_settles(now: Time, last_loss: Option<Time>) -> Time {
    last_loss.map_or(now, |at| at + AFTER_LOSS)
}

fn count(nodes: usize) -> u32 {
    u32::try_from(nodes).expect("MAX_NODES fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_small_network_waits_for_nothing() {
        for up in [1, 2, SMALL] {
            assert_eq!(plan_wait(up), Duration::ZERO);
            assert_eq!(derive_wait(up, false), (Duration::ZERO, Duration::ZERO));
            assert_eq!(loss_company(up), Duration::ZERO);
            assert_eq!(round(up), Duration::ZERO);
        }
        assert_eq!(plan_wait(SMALL + 1), PLAN_WAIT);
        assert_eq!(loss_company(SMALL + 1), LOSS_COMPANY);
    }

    #[test]
    fn waits_grow_with_the_network_up_to_their_bounds() {
        assert_eq!(derive_wait(100, true), (Duration::ZERO, DERIVE_SPACING));
        assert_eq!(derive_wait(100, false), (DERIVE_MIDDLING, DERIVE_SPACING));
        assert_eq!(derive_wait(1000, true), (DERIVE_LARGE, DERIVE_SPACING));
        assert_eq!(round(100), 10 * MS);
        assert_eq!(round(10_000), LONGEST_ROUND);
        assert_eq!(growing(10), GROWING_SMALL);
        assert_eq!(growing(1000), GROWING + 1000 * MS + 100 * MS);
    }

    #[test]
    fn a_round_ends_where_the_next_one_begins() {
        assert_eq!(end_of_round(21 * MS, 10 * MS), 30 * MS);
        assert_eq!(end_of_round(20 * MS, 10 * MS), 30 * MS);
        assert_eq!(end_of_round(21 * MS, Duration::ZERO), 21 * MS);
    }

    #[test]
    fn the_first_gain_waits_for_the_dials_that_began_with_it() {
        assert_eq!(first_gain(2, 0, true), FIRST_GAIN);
        assert_eq!(first_gain(50, 0, true), 50 * MS);
        assert_eq!(first_gain(2, 40_000, true), 80 * MS);
        assert_eq!(first_gain(2, 40_000, false), 320 * MS, "a network starts");
        assert_eq!(first_gain(2, 400_000, false), LONGEST_START_GAIN);
        assert_eq!(first_gain(9, 400_000, false), LONGEST_FIRST_GAIN);
    }

    #[test]
    fn many_links_are_probed_more_slowly_but_no_slower_than_half_the_pace() {
        assert_eq!(probe_interval(1500 * MS, 0), 1500 * MS);
        assert_eq!(probe_interval(1500 * MS, 6), 1500 * MS);
        assert_eq!(probe_interval(1500 * MS, 8), 2000 * MS);
        assert_eq!(probe_interval(1500 * MS, 100), 3000 * MS);
    }
}
