//! The tuned constants of the own record.
//!
//! Figures are of runs of 80 cores, means of seeds 1 to 3, with that constant alone changed (2026-11-29).

use std::time::Duration;

use super::tuning;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

tuning! {
    /// The tuned constants of the own record.
    struct Tuning {
        /// The least time between two records that tell of lost links. No lost link may be held for longer than 100 ms, at any size, so this is
        /// the most. Halved: a node that loses many links in turn signs twice as many records, each of which every node verifies.
        /// `third-dies`: gone after 2.67 s in place of 2.72 s with half of it; with double, views are exact for good after 8.1 s in place of 6.7 s.
        loss_spacing: Duration = MS.saturating_mul(100), Duration::ZERO => S.saturating_mul(60);
        /// Records that tell of lost links keep to `loss_spacing` while they are no more than this many bytes at once. Halved: a node with 256
        /// guests, whose record takes 6.5 kB, spaces these records wider after 20 losses in a row in place of 40. Doubled: after 80.
        loss_burst: f64 = 262_144.0, 1.0 => 1e9;
        /// And this many bytes a second; beyond, they are spaced by their size. A record of 16 links takes 500 bytes, so a node without guests
        /// never gets there. Halved: a node whose guests come and go all the time publishes every 0.4 s. Doubled: every 0.1 s, and each node
        /// receives 64 kB a second from it.
        loss_bytes_per_s: f64 = 32_768.0, 1.0 => 1e9;
        /// A change that is neither a gain nor a lost link waits this long for company. Halved: a new connection, the end of a
        /// suspicion and a new address make more records. Doubled: they are shown 50 ms later.
        change_hold: Duration = MS.saturating_mul(50), Duration::ZERO => HOUR;
        /// The longest wait for gains that keep coming. It bounds how old our record can be at a start. A shorter one makes more records, each of which every
        /// node verifies.
        /// A start of 80 nodes shows no difference at half or double: it ends before. In `mass-restart`, 250 ms make all views exact after 3.2 s
        /// in place of 3.6 s, for 1 % more bytes of records.
        longest_gain_hold: Duration = S, Duration::ZERO => HOUR;
        /// A change of the shape alone waits this long for the next one. With a shorter one, nodes that tidy up links one by one
        /// publish each of them; with a longer one, `longest_shape_hold` takes effect sooner.
        /// A start of 80 nodes: exact for good after 5.1 s in place of 6.6 s with half of it, after 7.6 s with double.
        shape_hold: Duration = S, Duration::ZERO => HOUR;
        /// And no longer than this in all, except where a network starts. It bounds how long views stay inexact after a change of
        /// the shape.
        /// A start of 80 nodes: 9 % fewer bytes of records with half of it, no difference with double.
        longest_shape_hold: Duration = S.saturating_mul(4), Duration::ZERO => HOUR;
        /// The same after a link was lost: nothing is tidied up then, and what comes stands in for what went. Halved: more records at the time
        /// of most traffic. Doubled: no sooner than other changes of the shape, though paths may depend on these links.
        longest_after_loss: Duration = S.saturating_mul(2), Duration::ZERO => HOUR;
        /// A node whose record lists this many links is reached by them, even if one of them goes: one more can wait. Halved: a node may be
        /// reached by a single link for some seconds.
        /// A start of 80 nodes: no difference with half of it, 2 % more bytes of records with double.
        placed: usize = 2, 0 => 1000;
        /// A quiet time after which gains are first ones again, and wait as little. It must exceed `longest_gain_hold`; else gains that keep
        /// coming would never wait long. Doubled: the first gain after a start waits up to a second for two seconds more.
        quiet: Duration = S.saturating_mul(2), Duration::ZERO => HOUR;
        /// A gross move of a round-trip time is more than this many µs. It keeps the scheduler's noise on short paths from costing the budget.
        /// Halved: paths of less than a millisecond, on a busy machine, make gross moves. Doubled: a path that rises from 1 to 2.5 ms is told
        /// only by a fine move.
        gross_us: u32 = 1000, 0 => 1_000_000_000;
        /// And more than one part in so many of it, one half: what makes a person look at the map again. Halved: the time must double. Doubled:
        /// a quarter is a gross move, and paths with jitter use up the budget.
        gross_part: u32 = 2, 1 => 1_000_000;
        /// A gross move of the loss is more than so many 250ths (a fifth), if chance does not explain it. Halved: a tenth, which chance explains
        /// for most samples of two hundred. Doubled: two fifths; less is told only by a fine move.
        gross_loss_250: u32 = 50, 0 => 250;
        /// A fine move of a round-trip time is more than this many µs: below, an RTT on one machine is noise. Halved or doubled: paths of less
        /// than 5 ms, where this bound exceeds `fine_part`, are told sooner or later.
        fine_us: u32 = 50, 0 => 1_000_000_000;
        /// And more than one part in so many of it, one percent: below, nobody sees a difference. Jitter moves most RTTs by more than that, so
        /// the budget and `fine_spacing` decide then.
        fine_part: u32 = 100, 1 => 1_000_000;
        /// A fine move of the loss is more than so many 250ths (1.6 points): four packets of two hundred. Halved: two of them. Doubled:
        /// a link's loss of 3 % is never told by itself.
        fine_loss_250: u32 = 4, 0 => 250;
        /// The last record in the budget waits for so many probe intervals, until all links were probed: what changed the path of one may have
        /// changed others'. The slowest pace is half of the configured one, hence two. Halved: a move of all links takes two records, the second
        /// of which must wait for the budget. Doubled: one move is shown three seconds later.
        probe_rounds: u32 = 2, 0 => 1000;
        /// This long after the last record, fine moves may be told. It bounds what figures cost in a small network, where the budget is never
        /// used up.
        /// Among 20 nodes half and double make no difference, as the budget decides.
        fine_spacing: Duration = S.saturating_mul(10), Duration::ZERO => HOUR;
        /// A record whose measurements are older than this is told anew when the budget is at least half full, so that a person can tell a
        /// measured link from a forgotten one.
        /// Among five nodes, a node at rest sends 412 bytes a second in place of 371 with 5 s, 347 with 10 minutes. Among 20, half and double
        /// make no difference, as the budget decides.
        refresh: Duration = S.saturating_mul(60), Duration::ZERO => HOUR;
        /// How many copies of a record a node receives, for the reckoning of the budget: 1.0 to 2.4 were measured (docs/measurements.md, and
        /// `traffic.copies` of any run).
        /// Among 40 nodes, a node at rest sends 861 bytes a second in place of 529 with half of it, for five minutes; with double, no fewer.
        copies: f64 = 2.0, 0.01 => 1000.0;
        /// The first pause between two jumps above a record of this node that it did not write in this run. One jump is enough after a restart
        /// with a lost epoch. Halved: two nodes with one key raise each other's epoch twice as often, at first.
        first_jump: Duration = S, Duration::ZERO => HOUR;
        /// The longest such pause, to which it doubles. It bounds what two nodes with one key cost a network: one record a minute each.
        longest_jump: Duration = S.saturating_mul(64), Duration::ZERO => HOUR;
        /// So many foreign records, each above what this node had jumped to, and there is a second node with its key. Halved: an old record of
        /// this node that arrives late is taken for one. Doubled: a twin is noticed after 31 s of pauses in place of 3 s.
        twin_after: u32 = 3, 1 => 1000;
    }
}
