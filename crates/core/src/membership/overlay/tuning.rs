//! The tuned constants of the overlay.

use std::time::Duration;

use crate::membership::tuning::tuning;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

tuning! {
    /// The tuned constants of the overlay.
    struct Tuning {
        /// A node that is younger than this dials eagerly: others may be starting with it.
        starting: Duration = S, Duration::ZERO => MINUTE;
        /// How many links a node keeps while the network grows around it.
        least_while_growing: usize = 3, 0 => 64;
        /// How many of these it must have dialed itself.
        least_dialed_while_growing: usize = 1, 0 => 64;
        /// How many links that a node dialed itself it keeps at least: whoever dials enough could surround it otherwise.
        least_dialed: usize = 3, 0 => 64;
        /// A node looks for more links only when it has this many fewer than its target.
        content_below_target: usize = 2, 0 => 64;
        /// How many links a node looks for at least, whatever its target.
        least_links: usize = 3, 0 => 64;
        /// A full mesh that was given up comes back only this many nodes further down: otherwise one node that comes and goes would
        /// make all others mesh and prune.
        mesh_slack: usize = 2, 0 => 64;
        /// In a full mesh the node with the lower id dials; the other one waits this long before it dials too.
        courtesy: Duration = MS.saturating_mul(400), Duration::ZERO => MINUTE;
        /// The neighbour set is looked at again after this time while links are missing.
        look_again: Duration = MS.saturating_mul(500), MS => MINUTE;
        /// A node gives links up when it has this many more than its target: fewer are not worth the records that tell of it.
        too_many: usize = 3, 1 => 64;
        /// How old a link must be to be given up as superfluous.
        settled: Duration = MS.saturating_mul(3000), Duration::ZERO => MINUTE;
        /// The least time between two links that a node gives up.
        prune_every: Duration = MS.saturating_mul(300), MS => MINUTE;
        /// How many random nodes are compared to find one with few links.
        sample: usize = 3, 1 => 64;
        /// A network counts as starting up for no longer than this: in a large one some nodes always come and go, and the others need
        /// their links.
        longest_growth: Duration = MS.saturating_mul(10_000), Duration::ZERO => MINUTE;
        /// Up to this many nodes a network never counts as starting up: a handful of nodes is meshed at once.
        few_nodes: usize = 6, 0 => 100_000;
        /// A network has made most of its links this long after it stopped growing.
        shaped_after: Duration = MS.saturating_mul(700), Duration::ZERO => MINUTE;
        /// And no sooner than this long after the last node came into view.
        shaped: Duration = MS.saturating_mul(1500), Duration::ZERO => MINUTE;
        /// A collapse: one node in this many went out of view at once.
        collapse: usize = 32, 1 => 100_000;
        /// No link is given up for this long after a collapse. Without it, 7000 views of which 3000 nodes had died were almost exact
        /// after 8.5 s, when the first links were given up, and exact after 12.1 s.
        after_collapse: Duration = MS.saturating_mul(4000), Duration::ZERO => MINUTE;
        /// How often a lost neighbour is redialed: at once, then after `first_redial`, and each further pause is twice as long. After
        /// that it is a candidate like others.
        redials: u32 = 4, 1 => 20;
        /// The pause between the first and the second redial of a lost neighbour; each is varied by a quarter either way.
        first_redial: Duration = S, MS => MINUTE;
        /// A node that was lost within this time is drawn as often as a configured target.
        lost_lately: Duration = MINUTE.saturating_mul(60), Duration::ZERO => DAY;
        /// How many configured targets are dialed at once at a start; the others wait for the draws.
        first_targets: usize = 32, 1 => 256;
        /// How many remembered nodes, those seen last, are dialed at once at a start.
        first_remembered: usize = 8, 0 => 256;
        /// A target that failed for this long is drawn less often.
        target_given_up: Duration = MINUTE.saturating_mul(10), Duration::ZERO => DAY;
        /// The weight in a draw of a target that failed for so long; others have a weight of one.
        given_up_weight: f64 = 0.1, 0.0 => 1.0;
        /// The pause after a dial of a neighbour failed; it doubles with each failure.
        first_retry: Duration = S, MS => MINUTE;
        /// The longest pause after such failures.
        longest_retry: Duration = MINUTE, MS => DAY;
        /// A dial that takes longer than this may be one to a dead node: where a link was lost lately, the node no longer waits for it.
        slow_dial: Duration = S, MS => MINUTE;
    }
}

const _: () = {
    let tuning = Tuning::DEFAULT;
    // The other end of a mesh gets its turn before a dial to it counts as slow, and before anybody retries.
    assert!(tuning.courtesy.as_nanos() < tuning.slow_dial.as_nanos());
    assert!(tuning.courtesy.as_nanos() < tuning.first_retry.as_nanos());
    assert!(tuning.first_retry.as_nanos() <= tuning.longest_retry.as_nanos());
    // Links that were made while the network grew are old enough to be given up once it has its shape.
    assert!(tuning.prune_every.as_nanos() <= tuning.settled.as_nanos());
    // What a node dialed itself is part of what it keeps at least.
    assert!(tuning.least_dialed_while_growing <= tuning.least_while_growing);
    assert!(tuning.least_dialed <= tuning.least_links);
    // A target is given up later than the pauses after failures end to grow.
    assert!(tuning.longest_retry.as_nanos() < tuning.target_given_up.as_nanos());
};
