//! The tuned constants of echoes.

use std::time::Duration;

use super::tuning;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

tuning! {
    /// The tuned constants of echoes.
    struct Tuning {
        /// How long a ping waits for answers. Halved: a path over two satellites seems to be dead. Doubled: whoever pings a dead node
        /// waits for that long.
        patience: Duration = S.saturating_mul(3), MS => MINUTE;
        /// The most pings that are under way at a time. It bounds memory; the limit of what goes to a neighbour is met before it,
        /// unless pings go over many neighbours. Halved or doubled: some kB.
        pings: usize = 64, 1 => 100_000;
        /// The echoes and answers that a neighbour may bring at once. A ping over the longest way brings 15. Halved: such a ping loses
        /// three of its echoes. Doubled: a hostile neighbour can cause 14 kB at once.
        brought_burst: f64 = 24.0, 1.0 => 100_000.0;
        /// And in each second afterwards. It lets one neighbour ping every two seconds over the longest way, and every second over
        /// eight links. Halved: such pings lose half of their echoes in the long run. Doubled: a hostile neighbour can cause 5 kB a
        /// second on each link of a way.
        brought_per_s: f64 = 8.0, 0.01 => 100_000.0;
        /// The echoes and answers that go to a neighbour at once, whoever brought them, and those of this node's own pings. A
        /// neighbour accepts 80 datagrams at once on a connection, probes among them. Halved: nothing is passed on. Doubled: hostile
        /// nodes can delay the probes on a line of 64 kbit/s by 2 s instead of 0.7 s.
        sent_burst: f64 = 32.0, 1.0 => 100_000.0;
        /// And in each second afterwards. A neighbour accepts 40 datagrams a second, and the fastest probing takes 20 of them.
        /// Halved: a neighbour can't ping once a second over eight links. Doubled: echoes cause lost probes, and so hostile nodes
        /// could break links of others.
        sent_per_s: f64 = 12.0, 0.01 => 100_000.0;
        /// So many of these are kept for the node's own pings: enough for the longest way. Without them, others could keep a node from
        /// pinging. Halved: while others send what they may, only pings over up to 8 links go out. Doubled: nothing is passed on.
        kept: f64 = 16.0, 0.0 => 100_000.0;
    }
}

const _: () = {
    let tuning = Tuning::DEFAULT;
    // A ping over the longest way goes out whatever others send, and is passed on.
    let longest = (crate::wire::MAX_ECHO_WAY - 1) as f64;
    assert!(longest <= tuning.kept && longest <= tuning.brought_burst);
    assert!(tuning.kept + longest <= tuning.sent_burst);
};
