//! The tuned constants of rendezvous.

use std::time::Duration;

use super::tuning;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

tuning! {
    /// The tuned constants of rendezvous.
    struct Tuning {
        /// How long an answer counts, and how long packets of the other end are awaited. It is longer than any way takes; a later
        /// packet finds a NAT that expects nobody. Halved or doubled: the same, on ways that take less than a second.
        answer_counts: Duration = S.saturating_mul(5), MS => MINUTE;
        /// The most nodes that are asked for a rendezvous at a time, and the most that are expected. A dial that stays unanswered
        /// asks one, and dials are limited. Halved: in a start of more than 128 nodes behind NATs some wait for their next
        /// attempt.
        asked: usize = 256, 1 => 100_000;
        /// The messages that a neighbour may bring at once, to be answered or passed on. At a start, each of 16 nodes behind NATs
        /// asks the others over the one node that all have in common: 15 requests and 15 answers. Halved: some are lost, and
        /// those pairs wait for the next attempt. Doubled: a neighbour can cause 20 kB at once.
        brought_burst: f64 = 64.0, 1.0 => 100_000.0;
        /// And in each second afterwards. Halved: 16 nodes behind NATs that lost their links at once need some seconds longer.
        /// Doubled: a neighbour can cause 2.4 kB a second.
        brought_per_s: f64 = 8.0, 0.01 => 100_000.0;
        /// For how many rendezvous at once this node sends to one host (an IPv4 address, or a /64 of IPv6), whoever asks, and by
        /// whatever way. Each costs the host three packets of 16 bytes. A NAT may hide many nodes, which meet a newcomer all at
        /// once. Halved: of 16 such nodes, a newcomer is linked directly with the last after 3.5 minutes instead of 2.5; it knows
        /// them all the time. Doubled: hostile nodes can make each honest one send 36 packets to a victim at once.
        host_burst: f64 = 6.0, 1.0 => 1000.0;
        /// And in each minute afterwards. Halved: the last of 16 nodes is linked after five minutes. Doubled: a victim gets 24
        /// packets a minute from each honest node.
        host_per_minute: f64 = 4.0, 0.01 => 1000.0;
        /// In a network of more nodes than this, the rate is divided among all of them: a host gets `host_per_minute` from so many nodes in all.
        /// Halved: of 16 nodes behind a NAT in a network of 16, the last one is linked with a newcomer twice as late. Doubled: a
        /// victim gets 6.4 packets of 16 bytes a second from a large network in place of 3.2.
        shared_from: usize = 16, 1 => 100_000;
        /// The most hosts whose rate limiters are remembered. While none of these is full again, this node sends to no other
        /// host, so that nobody gets a new limiter by naming ever new hosts. Halved: two hostile neighbours are enough to end
        /// rendezvous for their time.
        hosts: usize = 1024, 1 => 100_000;
        /// The most addresses to which a NAT is opened in one rendezvous, each of another host: one of each family, and one in
        /// the same LAN. Halved: a pair in one LAN may miss its private addresses. Doubled: a request costs six packets more.
        opened: usize = 3, 1 => 8;
        /// The longest wait of the node that was asked, before it sends its packets. It bounds what wrong figures of the way can
        /// do. Halved: on ways of over half a second the two ends send at different times. Doubled: the same on all shorter ways.
        longest_wait: Duration = MS.saturating_mul(500), Duration::ZERO => MINUTE;
        /// How long the end that dials second waits for the other one, once it hears that one's packets. Then it dials itself:
        /// its packets may get through if the other one's don't. Halved: paths with a round trip of over 200 ms cost a connection
        /// collision. Doubled: pairs of which one is behind a symmetric NAT link half a second later.
        second_dial: Duration = MS.saturating_mul(500), Duration::ZERO => MINUTE;
    }
}

const _: () = {
    let tuning = Tuning::DEFAULT;
    // The other end is still awaited when it sends, and when it is dialed second.
    assert!(tuning.longest_wait.as_nanos() < tuning.answer_counts.as_nanos());
    assert!(tuning.second_dial.as_nanos() < tuning.answer_counts.as_nanos());
};
