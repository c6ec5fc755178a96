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
        /// So many losses of links that had not lasted are told as soon as other losses; the others wait for `longest_gain_hold`. Halved: in a
        /// start with collisions some are told a second later. Doubled: a neighbour that makes and drops links makes this node publish 16
        /// records within two seconds.
        brief_burst: f64 = 8.0, 1.0 => 10_000.0;
        /// And so many in each second afterwards. Halved or doubled: such a neighbour causes that many records in place of one a second,
        /// beside those of the links that it makes.
        brief_per_s: f64 = 0.2, 0.001 => 1000.0;
        /// How far ahead of this node's clock the epoch of a record of its own may be that another run signed. Clocks are that wrong where
        /// somebody mistook a date. Halved: of two runs with one key whose clocks differ by more than twelve hours, neither falls silent.
        /// Doubled: whoever has the key can push the epoch ahead by two days each time, in place of one.
        epoch_ahead: Duration = HOUR.saturating_mul(24), Duration::ZERO => HOUR.saturating_mul(24 * 365);
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
        /// The first pause between two jumps above a record of this node that it did not write in this run. One jump is enough after a restart
        /// with a lost epoch. Of two nodes with one key, the second jump shows each that the other is alive, and both tell that within a second. Halved:
        /// they raise each other's epoch twice as often, at first. Doubled: they are told a tenth of a second later.
        first_jump: Duration = MS.saturating_mul(100), Duration::ZERO => HOUR;
        /// The longest such pause, to which it doubles. It bounds what two nodes with one key cost a network: one record a minute each.
        longest_jump: Duration = S.saturating_mul(64), Duration::ZERO => HOUR;
        /// So many records of one foreign run, each above what this node had jumped to, and there is a second node with its key. With one, a
        /// record of a former run is taken for it. Doubled: a twin is noticed after 0.7 s of pauses in place of 0.1 s.
        twin_after: u32 = 2, 1 => 1000;
        /// This many times as many such records, and the other run has not fallen silent: both think themselves older, as paths
        /// take longer than `twin_tolerance`. Then the lower run id yields. At 2: the older run yielded in one of six starts of a
        /// copy among 30 nodes, as it had heard more than the other. Doubled: a minute later, since pauses double.
        twin_stalemate: u32 = 8, 2 => 1000;
        /// Two runs with one key whose ages differ by no more than this count as equally old, and the lower run id yields: the other's age is known as of
        /// the record that was signed last, a jump ago. Halved: with slow paths both may think themselves older, for two more jumps. Doubled: of two
        /// that start six seconds apart, the second one may stay.
        twin_tolerance: Duration = S.saturating_mul(3), Duration::ZERO => HOUR;
    }
}
