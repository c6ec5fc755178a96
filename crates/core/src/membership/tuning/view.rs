//! The tuned constants of the view.

use std::time::Duration;

use super::tuning;

/// The largest number of nodes in the view: above the ten thousand that area-net is made for, at about 1 kB each. A limit of safety, not
/// tuned:
/// it stands here since constants of gossip depend on it.
pub const MAX_NODES: usize = 32_768;

/// A record of more bytes counts as two or more: more than sixty links are those of a node with guests.
pub(in crate::membership) const ORDINARY: usize = 2048;

/// How large a view is, for limits that grow with it.
#[derive(Debug, Clone, Copy)]
pub(in crate::membership) struct Size {
    /// The number of nodes that are up and count by themselves: invented ones must not widen the limits of who invents them.
    pub(in crate::membership) known: usize,
    /// The view is being filled: it may become as large as views get.
    pub(in crate::membership) filling: bool,
}

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
        /// A node that has had one link at most believes everything that it is told about others. Once it has more links, and no node has
        /// come into view for so long, it judges on whose word each node counts. Halved: a node that joins a network of thousands over
        /// slow lines judges while records still come, and parts of the network go out of view for a moment. Doubled: a member that
        /// meets nodes in their first moments has 6 s in which it can begin to show them invented nodes.
        still_for: Duration = Duration::from_secs(3), Duration::ZERO => Duration::from_secs(3600);
        /// It judges so long after it got more links even if nodes keep coming. Halved: as above. Doubled: a member that shows ever new
        /// nodes to one that has just started can do so for 20 s.
        judged_after: Duration = Duration::from_secs(10), Duration::ZERO => Duration::from_secs(3600);
        /// A node that has links with nodes of so many accounts counts by itself, and no longer on the word of others; less where nodes have
        /// few links (half of `degree.target`). Halved: two members that act together can show any number of nodes that nobody runs.
        /// Doubled: in sparse networks most nodes would count on the word of others, and some be refused.
        vouchers: usize = 4, 1 => 64;
        /// How many other nodes a second one node may come to be the word for, once it has used up the setting `claims`. Halved: a node
        /// that introduces one newcomer a second, each of which leaves soon, is late with some. Doubled: a member that claims ever new
        /// nodes makes two of them come and go in everybody's view each second.
        fresh_claims_per_s: f64 = 1.0, 0.0 => 1e6;
        /// How many versions of a node's record are taken at once; a large record counts as several. A node that loses its links one by one signs some ten a second, for a few
        /// seconds. Halved: in a storm the last of them come by an anti-entropy round, a second later. Doubled: a member can have us
        /// verify 128 of its records at once.
        versions_burst: f64 = 64.0, 1.0 => 127.0;
        /// The same a second. Gains settle at one a second. Halved: still twice that. Doubled: each member may cost 0.04 % of a core more.
        versions_per_s: f64 = 4.0, 0.0 => 1e6;
        /// The versions that are taken at once of a node which counts on the word of another. Halved: newcomers that link with ten others
        /// one by one are late. Doubled: with 64 claims, a member can have us verify 2048 records at once.
        claimed_burst: f64 = 16.0, 1.0 => 127.0;
        /// The same a second. Halved: such a node is shown late after changes. Doubled: 64 claims cost 0.3 % of a core more.
        claimed_per_s: f64 = 0.5, 0.0 => 1e6;
        /// The most records of nodes that were never up, from one neighbour, once this node knows the network: of what came before what leads
        /// to it, and of nodes that are refused. Halved: where honest neighbours took other claims of hostile members, and each of four
        /// has its bound full, some are requested again and again. Doubled: a hostile neighbour can have us verify a thousand records.
        down_from_one: u32 = 512, 1 => 1_000_000;
        /// Nodes that count on the word of one which carries no more than this are passed on at once, as newcomers are. Halved: in a network
        /// that many nodes join by one, some of them are known later. Doubled: each identity of a hostile host makes each node send 16
        /// records of invented nodes to each neighbour.
        few_claims: usize = 8, 0 => 1_000_000;
        /// How many records of other nodes that count on the word of others are passed on at once. Halved: as above. Doubled: honest
        /// neighbours of a node that a hostile host keeps joining come closer to the limits of each other.
        claims_told_burst: f64 = 64.0, 1.0 => 1e6;
        /// The same a second. Honest neighbours must not exceed the limits of each other by what a hostile member tells them. Halved: a
        /// change of one of 64 such nodes is passed on 8 s later at the most. Doubled: hostile members can make each node send 32 records
        /// a second to each neighbour.
        claims_told_per_s: f64 = 16.0, 0.01 => 1e6;
        /// A node counts for nothing if most of its neighbours withdrew their links with it, and it has signed nothing newer for so long. A node
        /// that lives loses its links at about the same time as those at the other ends, and says so at once. Halved: on lossy links, where
        /// the two ends judge up to some seconds apart, a node that loses most of its links goes out of view for a moment. Doubled: a
        /// member that goes on listing its link with a dead node keeps it up for 10 s.
        ghost_after: Duration = Duration::from_secs(5), Duration::from_millis(1) => Duration::from_secs(3600);
        /// The same in a small network (`pace.small`) if nearly all of its neighbours withdrew their links, since one of them did, besides
        /// ten of its longest round trips but one. Halved: where a node loses three of four links to lossy lines within a second, it goes
        /// out of view for a moment. Doubled: a member that goes on listing its link with a dead node keeps it up for 1.5 s more.
        ghost_sudden: Duration = Duration::from_millis(1500), Duration::from_millis(1) => Duration::from_secs(3600);
        /// The least time between two times at which the record of a node is passed on that has had more versions of late than
        /// `claimed_burst`; as many times that as the record counts for. Halved: a hostile member can make its neighbours pass on 16 kB a
        /// second, and honest nodes turn away what their honest neighbours bring. Doubled: in a storm, the seventeenth loss of one node is
        /// known half a second later.
        busy_spacing: Duration = Duration::from_millis(250), Duration::ZERO => Duration::from_secs(60);
    }
}
