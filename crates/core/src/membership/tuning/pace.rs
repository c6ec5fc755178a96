//! The tuned constants that depend on the size of the network, or that several owners share.
//!
//! Figures are of `third-dies` with 300 cores, seeds 1 and 2, of 2026-11-29, with that constant alone changed. With the defaults, a dead
//! node is gone from all views after 3.4 and 3.4 s in the median, views are exact 1.8 and 1.7 s after the start, and 433,000 and 442,000
//! messages are sent in 120 s. Differences of 0.2 s in when a dead node is gone, and of 5 % of the messages, may be chance.

use std::time::Duration;

use super::tuning;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

tuning! {
    /// What depends on the size of the network.
    struct Tuning {
        /// Up to this many nodes a network is small: nothing waits for company, and records are not batched along the tree.
        /// Halved: networks of 17 to 32 nodes wait as large ones do. Doubled: networks of up to 64 nodes send a message, and derive who is up, for each single change.
        small: usize = 32, 1 => 100_000;
        /// Up to this many nodes a gain waits `derive_middling` before reachability is derived, and a loss does not wait.
        /// Halved: a death in a network of 129 to 256 nodes shows up to `derive_large` later. Doubled: networks of up to 512 nodes derive more often while many nodes die.
        middling: usize = 256, 1 => 100_000;
        /// How long a look at the neighbour set waits in a network that is not small, where the look is expensive.
        /// Halved or doubled: no difference beyond chance.
        plan_wait: Duration = MS.saturating_mul(50), Duration::ZERO => MINUTE;
        /// Reachability is derived no more often than this in a network that is not small: changes that come together make one picture.
        /// Halved: twice the derivations while many nodes come or go. Doubled: the second of two changes shows up to 0.1 s later.
        derive_spacing: Duration = MS.saturating_mul(100), Duration::ZERO => MINUTE;
        /// How long a derivation waits for company after a gain in a middling network.
        /// Halved or doubled: a newcomer shows 12 ms sooner or 25 ms later.
        derive_middling: Duration = MS.saturating_mul(25), Duration::ZERO => MINUTE;
        /// How long a derivation waits for company after any change in a large network.
        /// Halved or doubled: no difference beyond chance.
        derive_large: Duration = MS.saturating_mul(100), Duration::ZERO => MINUTE;
        /// How long a loss waits before it is passed on in a network that is not small: many neighbours tell of a death at once, and
        /// their records fit into one batch.
        /// Halved: no difference beyond chance. Doubled: a dead node is gone after 3.5 and 3.6 s.
        loss_company: Duration = MS.saturating_mul(5), Duration::ZERO => MINUTE;
        /// The batching interval of records along the tree is this long for every node, up to `longest_batch`. At the start of ten thousand nodes each node
        /// reads some forty thousand records, and a message for each would cost many times what the records cost.
        /// Halved: 17 % more messages, and a dead node is gone after 3.2 and 3.3 s. Doubled: 11 % fewer, and 4.0 and 3.9 s.
        batch_per_node: Duration = Duration::from_micros(100), Duration::ZERO => S;
        /// The longest batching interval. Losses in a storm wait for the end of one.
        /// It is reached at 1000 nodes. Halved: networks of more than 500 nodes send more messages. Doubled: networks of more than 1000 nodes wait longer in storms.
        longest_batch: Duration = MS.saturating_mul(100), Duration::ZERO => MINUTE;
        /// A network grows while nodes come into view within this time of each other. Links are few until then, and the loss of one
        /// may cut off others.
        /// Halved: no difference beyond chance. Doubled: 8 % fewer messages, and the start is over for good after 5.8 and 5.9 s in place of 7.0 and 6.3 s; but newcomers find their last links 0.8 s later.
        growing: Duration = MS.saturating_mul(800), Duration::ZERO => MINUTE;
        /// The same in a small network, in which all nodes see a newcomer at once.
        /// Halved: a start of 7 to 32 nodes makes its links sooner, and more of them twice. Doubled: its mesh is complete 0.3 s later.
        growing_small: Duration = MS.saturating_mul(300), Duration::ZERO => MINUTE;
        /// In a large network news travels in batches and the last of it comes late: it counts as growing for this many intervals longer.
        /// Links made before all news has come would be chosen with too little knowledge, and would keep views from converging.
        /// Halved: links are chosen before the last news has come. Doubled: the shape of a large network is made up to a second later.
        growing_batches: u32 = 10, 0 => 1000;
        /// And for this much longer for every node.
        /// Doubled: the shape of ten thousand nodes is made a second later.
        growing_per_node: Duration = Duration::from_micros(100), Duration::ZERO => S;
        /// The least time that the first gain after a quiet time waits for company.
        /// Halved or doubled: the first link of a quiet node is told 5 ms sooner or 10 ms later.
        first_gain: Duration = MS.saturating_mul(10), Duration::ZERO => MINUTE;
        /// The longest. The first gain waits a millisecond for every node that will read it, and as long as a dial over our longest link
        /// takes, since dials that begin together end together.
        /// It is reached with 100 readers, or on links of more than 50 ms. Halved: two links that come together are told in two records more often. Doubled: they show up to 0.1 s later.
        longest_first_gain: Duration = MS.saturating_mul(100), Duration::ZERO => MINUTE;
        /// How many round trips a dial takes.
        /// Halved: links whose dials began together are told in two records. Doubled: they are told two round trips later.
        dial_round_trips: u32 = 2, 0 => 100;
        /// The longest wait for the first gain where a network starts: links of other nodes may take longer than our longest one,
        /// and are dialed from both sides.
        /// It is reached on links of more than 50 ms. Halved: starts over long links make more versions of a record. Doubled: their first links show up to 0.4 s later.
        longest_start_gain: Duration = MS.saturating_mul(400), Duration::ZERO => MINUTE;
        /// How many round trips the first gain waits where a network starts. A start makes 1.6 versions of a record with four round
        /// trips and 1.3 with eight, and all nodes know all others as soon.
        /// Halved: 14 % more bytes until views are exact, and a new node is known after 0.71 and 0.66 s in place of 0.85 s. Doubled: 17 % fewer bytes, and 0.89 and 0.88 s.
        start_round_trips: u32 = 8, 0 => 100;
        /// A network in which we have no listed link, and of which we heard no more nodes than this, may be starting.
        /// Halved: newcomers that heard of five to eight nodes don't wait for the others that start with them. Doubled: newcomers to networks of up to 16 nodes wait as if those were starting.
        few_heard: usize = 8, 0 => 100_000;
        /// The factor by which the wait for gains grows while they keep coming, in a small network.
        /// Halved: there is no growth, so each link of a start makes a version. Doubled: as in a large network.
        gain_factor_small: u32 = 2, 1 => 100;
        /// The same in a network that is not small.
        /// Halved: no difference beyond chance. Doubled: views are exact 2.2 and 2.3 s after the start.
        gain_factor: u32 = 4, 1 => 100;
        /// Up to this many links are probed at the configured pace, more of them more slowly, down to half of it.
        /// Halved: a dead node is gone after 4.0 and 4.3 s. Doubled: after 2.8 and 3.1 s, for up to a third more probes on a node of eight links.
        links_at_full_pace: u32 = 6, 1 => 1000;
        /// After a link was lost, for so long: what comes stands in for what went, and nothing is tidied up. Where many nodes have died,
        /// views so converge before links are given up.
        /// Halved or doubled: the same run, since no link is given up in it before.
        after_loss: Duration = S.saturating_mul(6), Duration::ZERO => MINUTE;
    }
}
