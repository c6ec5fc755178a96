//! The tuned constants that depend on the size of the network, or that several owners share.

use std::time::Duration;

use super::tuning;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

tuning! {
    /// What depends on the size of the network.
    struct Tuning {
        /// Up to this many nodes a network is small: nothing waits for company, and records are not batched along the tree.
        small: usize = 32, 1 => 100_000;
        /// Up to this many nodes a gain waits `derive_middling` before reachability is derived, and a loss does not wait.
        middling: usize = 256, 1 => 100_000;
        /// How long a look at the neighbour set waits in a network that is not small, where the look is expensive.
        plan_wait: Duration = MS.saturating_mul(50), Duration::ZERO => MINUTE;
        /// Reachability is derived no more often than this in a network that is not small: changes that come together make one picture.
        derive_spacing: Duration = MS.saturating_mul(100), Duration::ZERO => MINUTE;
        /// How long a derivation waits for company after a gain in a middling network.
        derive_middling: Duration = MS.saturating_mul(25), Duration::ZERO => MINUTE;
        /// How long a derivation waits for company after any change in a large network.
        derive_large: Duration = MS.saturating_mul(100), Duration::ZERO => MINUTE;
        /// How long a loss waits before it is passed on in a network that is not small: many neighbours tell of a death at once, and
        /// their records fit into one batch.
        loss_company: Duration = MS.saturating_mul(5), Duration::ZERO => MINUTE;
        /// The batching interval of records along the tree is this long for every node, up to `longest_batch`. At the start of ten thousand nodes each node
        /// reads some forty thousand records, and a message for each would cost many times what the records cost.
        batch_per_node: Duration = Duration::from_micros(100), Duration::ZERO => S;
        /// The longest batching interval. Losses in a storm wait for the end of one.
        longest_batch: Duration = MS.saturating_mul(100), Duration::ZERO => MINUTE;
        /// A network grows while nodes come into view within this time of each other. Links are few until then, and the loss of one
        /// may cut off others.
        growing: Duration = MS.saturating_mul(800), Duration::ZERO => MINUTE;
        /// The same in a small network, in which all nodes see a newcomer at once.
        growing_small: Duration = MS.saturating_mul(300), Duration::ZERO => MINUTE;
        /// In a large network news travels in batches and the last of it comes late: it counts as growing for this many intervals longer.
        /// Links made before all news has come would be chosen with too little knowledge, and would keep views from converging.
        growing_batches: u32 = 10, 0 => 1000;
        /// And for this much longer for every node.
        growing_per_node: Duration = Duration::from_micros(100), Duration::ZERO => S;
        /// The least time that the first gain after a quiet time waits for company.
        first_gain: Duration = MS.saturating_mul(10), Duration::ZERO => MINUTE;
        /// The longest. The first gain waits a millisecond for every node that will read it, and as long as a dial over our longest link
        /// takes, since dials that begin together end together.
        longest_first_gain: Duration = MS.saturating_mul(100), Duration::ZERO => MINUTE;
        /// How many round trips a dial takes.
        dial_round_trips: u32 = 2, 0 => 100;
        /// The longest wait for the first gain where a network starts: links of other nodes may take longer than our longest one,
        /// and are dialed from both sides.
        longest_start_gain: Duration = MS.saturating_mul(400), Duration::ZERO => MINUTE;
        /// How many round trips the first gain waits where a network starts. A start makes 1.6 versions of a record with four round
        /// trips and 1.3 with eight, and all nodes know all others as soon.
        start_round_trips: u32 = 8, 0 => 100;
        /// A network in which we have no listed link, and of which we heard no more nodes than this, may be starting.
        few_heard: usize = 8, 0 => 100_000;
        /// The factor by which the wait for gains grows while they keep coming, in a small network.
        gain_factor_small: u32 = 2, 1 => 100;
        /// The same in a network that is not small.
        gain_factor: u32 = 4, 1 => 100;
        /// The budget for figures holds this many records: what a sudden change may cost.
        budget_records: f64 = 4.0, 1.0 => 1000.0;
        /// The same among a handful of nodes, which may spend more.
        budget_records_few: f64 = 8.0, 1.0 => 1000.0;
        /// Up to this many nodes are a handful, and start with a full budget for figures; larger networks start with one record. That one
        /// is for a path that becomes another one: in a crowd, telling all first measurements at once would be a storm.
        few: usize = 8, 0 => 100_000;
        /// Up to this many links are probed at the configured pace, more of them more slowly, down to half of it.
        links_at_full_pace: u32 = 6, 1 => 1000;
        /// After a link was lost, for so long: what comes stands in for what went, and nothing is tidied up. Where many nodes have died,
        /// views so converge before links are given up.
        after_loss: Duration = S.saturating_mul(6), Duration::ZERO => MINUTE;
    }
}
