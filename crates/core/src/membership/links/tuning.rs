//! The tuned constants of links.

use std::time::Duration;

use crate::membership::tuning::tuning;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

tuning! {
    /// The tuned constants of links.
    struct Tuning {
        /// The pause between probes after a miss. It bounds how long a verdict takes: four misses on a clean link take three such pauses
        /// and two timeouts.
        fast_probes: Duration = MS.saturating_mul(250), MS => HOUR;
        /// The same while ICMP says that nobody listens at the peer's address. A peer that is restarted at once is back by then.
        icmp_probes: Duration = MS.saturating_mul(100), MS => HOUR;
        /// Misses in a row that are enough for a verdict while ICMP says that nobody listens.
        icmp_misses: u32 = 3, 1 => 1000;
        /// ICMP hints in a row that are believed. One may stem from a packet that was sent before the peer came back.
        icmp_hints: u32 = 2, 1 => 1000;
        /// The pause before a probe that is to show whether the path has changed.
        step_probes: Duration = MS.saturating_mul(100), MS => HOUR;
        /// The pause between probes of a link judged down, for as long as its connection is kept.
        slow_probes: Duration = S, MS => HOUR;
        /// How late an announced probe may be before the passive end probes by itself.
        overdue: Duration = MS.saturating_mul(300), Duration::ZERO => HOUR;
        /// Probes in a row by which the active end says that it hears no answers, and after which the passive end probes by itself.
        unheard: u32 = 2, 1 => 1000;
        /// The first probe after a run of misses, and the first of a listener, comes after the interval divided by this.
        early_part: u32 = 2, 1 => 1000;
        /// The interval between two probes varies by up to one part in so many, so that links don't fall into step.
        spread_part: u32 = 32, 1 => 1_000_000;
        /// Where one probe is due, those that are due within the interval divided by this go with it: a wake-up of the processor costs
        /// more than a probe.
        align_part: u32 = 8, 1 => 1_000_000;
        /// The time for an answer while the path's round-trip time is unknown.
        first_timeout: Duration = S, MS => HOUR;
        /// The least time for an answer. It covers the scheduling of two busy machines.
        least_timeout: Duration = MS.saturating_mul(150), MS => HOUR;
        /// The most time for an answer.
        most_timeout: Duration = MS.saturating_mul(3000), MS => HOUR;
        /// The time for an answer is the smoothed round-trip time and so many mean deviations (RFC 6298, section 2: K = 4).
        timeout_deviations: u32 = 4, 0 => 1000;
        /// And this much, for the scheduling of the two machines.
        timeout_margin: Duration = MS.saturating_mul(20), Duration::ZERO => HOUR;
        /// An answer that came too late raises the time for an answer to this share of its own time, in percent.
        late_percent: u32 = 150, 0 => 10_000;
        /// What each answer in time leaves of that.
        late_decay: f64 = 0.9, 0.0 => 1.0;
        /// Misses in a row after which a clean link is suspected.
        suspect_misses: u32 = 2, 1 => 1000;
        /// A link is published as suspect at most once in this time.
        suspect_every: Duration = S.saturating_mul(60), Duration::ZERO => HOUR;
        /// A link is not published as suspect where another neighbour of the peer suspected or lost its own link this long ago: whoever
        /// has a link to the peer has heard that.
        report_lasts: Duration = S.saturating_mul(2), Duration::ZERO => HOUR;
        /// Where more links than one and the links divided by this miss answers at once, none is suspected: the fault is more likely at
        /// this node.
        missing_part: usize = 4, 1 => 1_000_000;
        /// Where so many links lose exchanges, a young link that has lost none is taken for one of them and is not suspected.
        lossy_links: usize = 2, 1 => 1_000_000;
        /// The probability that a run of misses on a live link ends in a wrong verdict, where nothing else speaks against the peer.
        false_verdict: f64 = 1e-6, 1e-30 => 0.5;
        /// The same where two other neighbours have lost the peer, each with the first probability of being wrong.
        false_confirmed: f64 = 1e-3, 1e-30 => 0.5;
        /// The least number of misses in a row for a verdict.
        least_misses: u32 = 4, 1 => 1000;
        /// The most that are ever waited for.
        most_misses: u32 = 40, 1 => 1000;
        /// The exchanges of the long sample, which gives the loss its precision.
        long_sample: u32 = 200, 1 => 256;
        /// The weight of what is believed before the long sample, in exchanges. A clean link comes to four misses after forty exchanges.
        long_prior: f64 = 10.0, 0.001 => 1e6;
        /// The exchanges of the short sample, which follows a change.
        short_sample: u32 = 32, 1 => 256;
        /// The weight of what is believed before the short sample. A clean link comes to four misses with a full sample.
        short_prior: f64 = 18.0, 0.001 => 1e6;
        /// How many of the exchanges believed before anything was measured were lost (Jeffreys' half).
        lost_prior: f64 = 0.5, 0.001 => 1e6;
        /// The share of losses is taken of at least so many exchanges: two misses of three are no loss of two thirds.
        least_shown: u32 = 8, 1 => 256;
        /// The passive end shows its own measurement of the loss from so many exchanges on.
        least_own: u32 = 10, 1 => 256;
        /// A clean link loses less than this part of the long sample.
        clean_share: f64 = 0.02, 0.0 => 1.0;
        /// And fewer than so many exchanges of the short one: the passive end counts what it is told in parts.
        clean_losses: f64 = 1.5, 0.0 => 256.0;
        /// The loss of a link moved where chance would explain the move with so many standard deviations.
        loss_deviations: f64 = 3.0, 0.0 => 1000.0;
        /// So many samples in a row that are far off make a new path.
        step_samples: usize = 3, 1 => 1000;
        /// Of so many first samples the least counts: while a crowd starts on a busy machine, some take far longer than the path.
        first_samples: u32 = 3, 0 => 1000;
        /// What a sample counts against those before it, at first: one part in so many (RFC 6298, section 2: alpha is 1/8).
        first_gain: u32 = 8, 1 => 1_000_000;
        /// The same at last. The time is shown to people, and the jitter of a path should not move it.
        last_gain: u32 = 32, 1 => 1_000_000;
        /// What a deviation counts against those before it: one part in so many (RFC 6298, section 2: beta is 1/4).
        deviation_gain: u32 = 4, 1 => 1_000_000;
        /// A sample is far off if it differs from the smoothed time by more than so many mean deviations,
        stray_deviations: u32 = 4, 0 => 1_000_000;
        /// and by more than one part in so many of it,
        stray_part: u32 = 5, 1 => 1_000_000;
        /// and by more than so many µs.
        stray_us: u32 = 300, 0 => 1_000_000_000;
        /// How long a connection judged down is kept and probed: an answer restores the link without a handshake.
        parked: Duration = S.saturating_mul(10), Duration::ZERO => HOUR;
        /// How long the old connection of a peer with a new run id has to answer.
        challenge: Duration = MS.saturating_mul(300), Duration::ZERO => HOUR;
        /// How long the loser of a collision is kept, so that the other end has seen the winner before it sees this one close.
        close_after: Duration = MS.saturating_mul(500), Duration::ZERO => HOUR;
        /// How long a link whose connection lost to one that this node has not seen yet waits for that one.
        orphan: Duration = S.saturating_mul(2), Duration::ZERO => HOUR;
        /// Two connections that come within this time were dialed across each other.
        crossing: Duration = S.saturating_mul(3), Duration::ZERO => HOUR;
        /// The time over which the losses of a link are counted for flap damping.
        flap_window: Duration = S.saturating_mul(600), Duration::ZERO => HOUR;
        /// The number of lost links from which on a link is held.
        flaps_held: usize = 3, 1 => 16;
        /// The first hold; each further loss doubles it.
        first_hold: Duration = S.saturating_mul(2), Duration::ZERO => HOUR;
        /// The longest hold of a link that flaps.
        longest_hold: Duration = S.saturating_mul(60), Duration::ZERO => HOUR;
        /// A restarted peer starts with a clean slate, unless its link was lost this short a time ago: a new run id costs nothing.
        clean_slate: Duration = S.saturating_mul(2), Duration::ZERO => HOUR;
    }
}
