//! The tuned constants of the view.

use std::time::Duration;

use super::tuning;

/// The largest number of nodes in the view: above the ten thousand that area-net is made for, at about 1 kB each. A limit of safety, not
/// tuned:
/// it stands here since constants of gossip depend on it.
pub const MAX_NODES: usize = 32_768;

tuning! {
    /// The tuned constants of the view.
    struct Tuning {
        /// How often the view looks for nodes that have been down for long enough to be forgotten (`forget_after`, a setting, ten minutes by
        /// default): they stay up to this much longer. It also bounds how long a core sleeps. Halved: twice as many walks over the
        /// notes of all nodes, where any is down. Doubled: what neighbours could make us keep stays 10 s longer. No scenario shows it;
        /// the test `the_down_are_looked_for_at_intervals` does.
        forget_every: Duration = Duration::from_secs(10), Duration::from_millis(1) => Duration::from_secs(3600);
        /// How many steps from node to predecessor a derivation of reachability may take for every place of the tables, when it looks for
        /// other paths to nodes whose predecessor may be gone. Records that make paths long, and break them one by one, must not cost
        /// more than a few walks over all nodes. If the steps are used up, nodes are taken down and found again by a walk, and the result is the
        /// same. Halved or doubled: the most that a derivation costs. Halved, the run B of gossip's constants is the same.
        steps_per_node: usize = 8, 0 => 1_000_000;
        /// How many nodes an anti-entropy round sums up in one bucket, about; there are 1024 buckets at most (`MAX_BUCKETS_LOG2`). A bucket
        /// that differs costs 32 bytes for each of its nodes, a bucket that does not costs 8 or less. Halved: sums take twice the bytes.
        /// Doubled: versions do. Runs A and B of gossip's constants change by no more than chance.
        nodes_per_bucket: usize = 8, 1 => 100_000;
        /// A node that has had one link at most believes everything that it is told about others. So long after it got more links, it
        /// judges on whose word each node counts. Halved: a node that joins a network of thousands over slow lines judges while
        /// records still come, and parts of the network go out of view for a moment. Doubled: a member that meets a node in its first
        /// moments has 20 s in which it can show it invented nodes.
        judged_after: Duration = Duration::from_secs(10), Duration::ZERO => Duration::from_secs(3600);
        /// A node that has links with nodes of so many accounts counts by itself, and no longer on the word of others; less where nodes have
        /// few links (half of `degree.target`). Halved: two members that act together can show any number of nodes that nobody runs.
        /// Doubled: in sparse networks most nodes would count on the word of others, and some be refused.
        vouchers: usize = 4, 1 => 64;
    }
}
