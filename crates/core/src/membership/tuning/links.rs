//! The tuned constants of links.
//!
//! Figures are of runs of 80 cores, means of seeds 1 to 3, with that constant alone changed (2026-11-29). "Gone" is the median time until
//! nobody shows a killed node as up.

use std::time::Duration;

use super::tuning;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

tuning! {
    /// The tuned constants of links.
    struct Tuning {
        /// The pause between probes after a miss: it bounds how long a verdict takes, and how many packets a lossy link costs.
        /// Halved: gone after 2.29 s in place of 2.72 s (`third-dies`) and 3.30 s in place of 4.51 s (`loss-20`), for 3 % more probes at
        /// 20 % loss. A burst of losses must then last only half as long to be taken for a death. Doubled: 3.48 s and 7.40 s.
        fast_probes: Duration = MS.saturating_mul(250), MS => HOUR;
        /// The same while ICMP says that nobody listens at the peer's address. With `icmp_misses` it bounds how soon a process that ended is
        /// known to have ended. Halved: a peer that is restarted at once has less time before its link is judged down. Doubled: two more
        /// tenths of a second until the verdict.
        icmp_probes: Duration = MS.saturating_mul(100), MS => HOUR;
        /// Misses in a row that are enough for a verdict while ICMP says that nobody listens. ICMP may be forged or old, so it shortens a
        /// run and never replaces one. Halved: one miss, so forged ICMP packets and one lost probe would end a link. Doubled: no gain over
        /// `least_misses` on a clean link.
        icmp_misses: u32 = 3, 1 => 1000;
        /// ICMP hints since the last sign of life that are believed. One may stem from a packet that was sent before the peer came back.
        /// Halved: that one is believed. Doubled: the verdict comes up to two probes later.
        icmp_hints: u32 = 2, 1 => 1000;
        /// The pause before a probe that is to show whether the path has changed. It must be longer than most bursts of delay, so that three
        /// samples are not one burst. Doubled: a new path is shown two such pauses, 0.2 s, later.
        step_probes: Duration = MS.saturating_mul(100), MS => HOUR;
        /// The pause between probes of a link judged down, for as long as its connection is kept. Halved: twice the packets to peers that are
        /// dead most of the time. Doubled: a link that was down for a moment comes back up to a second later.
        slow_probes: Duration = S, MS => HOUR;
        /// How late an announced probe may be before the passive end probes by itself. It covers the path's jitter and a busy peer: with too
        /// little of it, both ends probe. Halved: gone after 2.62 s in place of 2.72 s (`third-dies`), 2.78 s in place of 2.93 s
        /// (`loss-5`), for 0.1 % more probes. Doubled: the slowest death takes 3.61 s in place of 3.13 s (`third-dies`).
        overdue: Duration = MS.saturating_mul(300), Duration::ZERO => HOUR;
        /// Probes in a row by which the active end says that it hears no answers, and after which the passive end probes by itself. Halved: one
        /// lost answer makes both ends probe. Doubled: one dead direction is found two probes later at the passive end.
        unheard: u32 = 2, 1 => 1000;
        /// The first probe after a run of misses, and the first of a listener, comes after the interval divided by this. Halved: after a
        /// whole interval, so whoever came back tells half an interval later that it is measured.
        early_part: u32 = 2, 1 => 1000;
        /// The interval between two probes varies by up to one part in so many, so that links don't fall into step. Halved: the pace of
        /// one link varies by a sixteenth. Doubled: links stay in step for longer after a start.
        spread_part: u32 = 32, 1 => 1_000_000;
        /// Where one probe is due, those that are due within the interval divided by this go with it: a wake-up of the processor costs
        /// more than a probe. Halved: probes come up to a quarter of an interval early, and cost more packets. Doubled: more wake-ups.
        align_part: u32 = 8, 1 => 1_000_000;
        /// The time for an answer while the path's round-trip time is unknown. RFC 6298 starts with one second as well. Halved: a path of
        /// half a second, and a crowd that starts on a busy machine, miss their first answers. Doubled: a peer that dies right after the
        /// handshake is suspected a second later.
        first_timeout: Duration = S, MS => HOUR;
        /// The least time for an answer. It covers the scheduling of two busy machines, which simulated cores do not have: there, halving it
        /// only makes verdicts sooner (gone after 2.49 s in place of 2.72 s, `third-dies`). Doubled: 3.13 s.
        least_timeout: Duration = MS.saturating_mul(150), MS => HOUR;
        /// The most time for an answer: it bounds the verdict on a path whose delay varies without end, and with it
        /// the slowest verdict. Halved: answers of a path of more than 1.5 s all come too late. Doubled: while
        /// ICMP hints come, more probes are in flight than are remembered.
        most_timeout: Duration = S.saturating_mul(3), MS => HOUR;
        /// The time for an answer is the smoothed round-trip time and so many mean deviations (RFC 6298, section 2: K = 4). Halved: on a
        /// path with jitter more answers come too late, which count as misses until they come. Doubled: verdicts come later there.
        timeout_deviations: u32 = 4, 0 => 1000;
        /// And this much, for the scheduling of the two machines, as the deviation may be close to nothing. On paths shorter than 130 ms
        /// `least_timeout` is more than that, so half or double change long paths alone, by 10 or 20 ms.
        timeout_margin: Duration = MS.saturating_mul(20), Duration::ZERO => HOUR;
        /// On a line that acknowledgements have shown to be slow, the time for an answer grows by that of a full packet, each
        /// way; but by no more than so many round trips, since a packet takes no longer than six probes and their answers. It
        /// bounds what such a line costs once it is fast again and carries nothing but probes. Halved: on a line of 16 kbit/s a
        /// probe behind a packet is missed. Doubled: on a path of 40 ms that was slow before, an answer has half a second more.
        probes_in_packet: u32 = 6, 0 => 1000;
        /// An answer that came too late raises the time for an answer to this share of its own time, in percent. Halved: less than the time of
        /// that answer, so the next such answer is late again. Doubled: verdicts come later for some ten answers.
        late_percent: u32 = 150, 0 => 10_000;
        /// What each answer in time leaves of that: after seven answers it is half of it. Nearer to 1, one late answer makes verdicts slow for
        /// longer.
        late_decay: f64 = 0.9, 0.0 => 1.0;
        /// Misses in a row after which a clean link is suspected, and published as suspect. Halved: every lost packet of a clean link would be
        /// told to the whole network. Doubled: as many misses as the verdict takes, so no suspicion would come before it.
        suspect_misses: u32 = 2, 1 => 1000;
        /// A link is published as suspect at most once in this time. It bounds what a link that loses a packet now and then costs the
        /// network: one record a minute. Halved: twice that.
        suspect_every: Duration = S.saturating_mul(60), Duration::ZERO => HOUR;
        /// A link is not published as suspect where another neighbour of the peer suspected or lost its own link this long ago: whoever
        /// has a link to the peer has heard that. It covers the second or so in which the neighbours of a dead peer
        /// notice one by one. Halved: some of them tell what is known.
        report_lasts: Duration = S.saturating_mul(2), Duration::ZERO => HOUR;
        /// Where more links than one and the links divided by this miss answers at once, none is suspected: the fault is more likely at
        /// this node. With eight links, that is more than three. Halved: more than five, and a starved node makes others work.
        /// Doubled: more than two, and a network that loses many nodes at once hears of fewer suspicions.
        missing_part: usize = 4, 1 => 1_000_000;
        /// Where so many links lose exchanges, a young link that has lost none is taken for one of them and is not suspected. A thousand
        /// nodes at 10 % loss told of 337 suspicions from their eighth second to the eightieth without this rule, and of 22 with it.
        lossy_links: usize = 2, 1 => 1_000_000;
        /// The probability that a run of misses on a live link ends in a wrong verdict, where nothing else speaks against the peer. It is a
        /// probability, so its scale is in powers of ten. At 1e-3: 263 links are lost in place of 47 (`loss-20`), and records triple the
        /// idle traffic. At 1e-12: gone after 8.28 s in place of 4.51 s (`loss-20`), 4.73 s in place of 2.93 s (`loss-5`).
        false_verdict: f64 = 1e-6, 1e-30 => 0.5;
        /// The same where two other neighbours have lost the peer, each with the first probability of being wrong. At 1e-6, with no
        /// confirmation: gone after 5.95 s in place of 4.51 s (`loss-20`), 3.67 s in place of 2.93 s (`loss-5`). At 0.1: 4.21 s
        /// (`loss-20`), no difference in `loss-5`, and two more links lost of 47.
        false_confirmed: f64 = 1e-3, 1e-30 => 0.5;
        /// The least number of misses in a row for a verdict. Halved: hardly a difference, since the loss that is believed before anything was
        /// measured asks for four (`third-dies`: 2.67 s in place of 2.72 s). Doubled: gone after 3.77 s (`third-dies`); none at 5 % loss.
        least_misses: u32 = 4, 1 => 1000;
        /// The most misses that are ever waited for, and with `fast_probes` ten seconds. It must end before QUIC's idle timeout. At 20 %
        /// loss each way 14 are enough, so half of it is reached only where more than half of all exchanges are lost.
        most_misses: u32 = 40, 1 => 1000;
        /// The exchanges of the long sample, which gives the loss its precision: five minutes at a probe every 1.5 s. Halved: the measured
        /// loss varies by 1.4 times as much. Doubled: more than the 256 outcomes that a link keeps keeps.
        long_sample: u32 = 200, 1 => 256;
        /// The weight of what is believed before the long sample, in exchanges. A clean link comes to four misses after forty exchanges.
        /// Halved: after 45. Doubled: after 30.
        long_prior: f64 = 10.0, 0.001 => 1e6;
        /// The exchanges of the short sample, which follows a change within a minute. Halved: it proves so little that a clean link needs five
        /// misses. Doubled: a link that begins to lose is judged by its clean past for twice as long.
        short_sample: u32 = 32, 1 => 256;
        /// The weight of what is believed before the short sample. A clean link comes to four misses with a full sample. Halved: to five.
        /// Doubled: to four with 14 exchanges, and a lossy link gets less patience.
        short_prior: f64 = 18.0, 0.001 => 1e6;
        /// How many of the exchanges believed before anything was measured were lost (Jeffreys' half). Doubled: every link gets
        /// more patience, a clean one five misses.
        lost_prior: f64 = 0.5, 0.001 => 1e6;
        /// The share of losses is taken of at least so many exchanges: two misses of three are no loss of two thirds. Halved: it is one half of
        /// four. Doubled: the loss of a young link is shown too low for twice as long.
        least_shown: u32 = 8, 1 => 256;
        /// The passive end shows its own measurement of the loss from so many exchanges on, where that is more than what it is told. It has
        /// few exchanges, and they begin with a miss; with half as many, one miss is a fifth.
        least_own: u32 = 10, 1 => 256;
        /// A clean link loses less than this part of the long sample, four of two hundred. Halved: more links are never suspected, and their
        /// deaths are found by each neighbour alone. Doubled: links that lose one exchange in 25 are suspected by chance.
        clean_share: f64 = 0.02, 0.0 => 1.0;
        /// And fewer than so many exchanges of the short one. The passive end counts what it is told in parts, so the bound lies between one
        /// and two.
        clean_losses: f64 = 1.5, 0.0 => 256.0;
        /// The loss of a link moved where chance would explain the move with so many standard deviations. Of a hundred links that lose one
        /// exchange in ten, one seems to lose a fifth of its first 64; telling one such each came to 28 kB a second for each of ten thousand
        /// nodes. Halved: one sample in seven is told. Doubled: a real change is told after four times as many exchanges.
        loss_deviations: f64 = 3.0, 0.0 => 1000.0;
        /// So many samples in a row that are far off make a new path. Halved: one stray sample does. Doubled: a new path is shown three
        /// samples later.
        step_samples: usize = 3, 1 => 1000;
        /// Of so many first samples the least counts: while a crowd starts on a busy machine, some take far longer than the path. Halved: two
        /// such samples in a row are shown until others have outweighed them. Doubled: jitter is shown too low for longer.
        first_samples: u32 = 3, 0 => 1000;
        /// What a sample counts against those before it, at first: one part in so many (RFC 6298, section 2: alpha is 1/8).
        first_gain: u32 = 8, 1 => 1_000_000;
        /// The same at last. The time is shown to people, and the jitter of a path should not move it. Halved: RTTs move twice as much by chance,
        /// and more of these moves are published. Doubled: a slow drift is followed half as fast.
        last_gain: u32 = 32, 1 => 1_000_000;
        /// The typical deviation, which bounds how far one sample counts, grows or falls by one part in so many at each sample.
        /// Halved: it follows single samples. Doubled: after the start, a deviation that was guessed too large bounds nothing for
        /// twenty samples more.
        typical_gain: u32 = 8, 1 => 1_000_000;
        /// It is no less than so many µs: about what one machine shows from sample to sample. Halved or doubled: on loopback, a
        /// drift is followed half or twice as fast.
        typical_least_us: u32 = 5, 1 => 1_000_000_000;
        /// What a deviation counts against those before it: one part in so many (RFC 6298, section 2: beta is 1/4).
        deviation_gain: u32 = 4, 1 => 1_000_000;
        /// A sample is far off if it differs from the smoothed time by more than so many mean deviations, as much as the timeout takes. It must
        /// also exceed `stray_part` and `stray_us`. Halved: jitter asks for more probes. Doubled: a new path hides in the jitter of the old one.
        stray_deviations: u32 = 4, 0 => 1_000_000;
        /// And by more than one part in so many of the smoothed time: smaller changes are found by `shift_samples`.
        stray_part: u32 = 5, 1 => 1_000_000;
        /// And by more than so many µs: on loopback the scheduler alone makes differences of that size.
        stray_us: u32 = 300, 0 => 1_000_000_000;
        /// So many samples in a row on one side of the smoothed time show a smaller change of the path, if their median is far enough away. Halved:
        /// three do, and jitter makes steps. Doubled: such a change is shown fifteen seconds later.
        shift_samples: usize = 5, 1 => 1000;
        /// Far enough is more than so many mean deviations. With jitter that is evenly spread or normal, one sample in some thousand makes a step by
        /// chance. Halved: one in fifty. Doubled: a step of three mean deviations is only smoothed.
        shift_deviations: u32 = 2, 0 => 1_000_000;
        /// Or more than so many times what lies between the least and the greatest of these samples: the mean deviation is a guess at first. Halved: one
        /// sample in five hundred makes a step by chance. Doubled: values of the start stand for longer.
        shift_spreads: u32 = 3, 0 => 1_000_000;
        /// And more than one part in so many of the smoothed time. Halved: a step of 1.5 % is only smoothed. Doubled: a path without jitter is followed
        /// in steps that nobody sees.
        shift_part: u32 = 100, 1 => 1_000_000;
        /// And more than so many µs. Halved or doubled: matters on loopback alone, where the scheduler makes such steps.
        shift_us: u32 = 5, 0 => 1_000_000_000;
        /// How long a connection judged down is kept and probed: an answer restores the link without a handshake. Its end must come before
        /// QUIC's idle timeout. Halved: outages of more than 5 s cost a handshake. Doubled: a dead peer is probed ten times more.
        /// In `one-direction`, 940 dials with the default and with half of it, 1033 with double.
        parked: Duration = S.saturating_mul(10), Duration::ZERO => HOUR;
        /// How long the old connection of a peer with a new run id has to answer. Halved: 150 ms are less than the round trip of many paths, so
        /// a twin would take over a live link. Doubled: the new connection of a restarted peer comes into use 0.3 s later.
        challenge: Duration = MS.saturating_mul(300), Duration::ZERO => HOUR;
        /// How long the loser of a collision is kept, so that the other end has seen the winner before it sees this one close: half a round
        /// trip on a path of up to a second. If it is too short the link waits as an orphan, and nothing is lost.
        close_after: Duration = MS.saturating_mul(500), Duration::ZERO => HOUR;
        /// How long a link whose connection lost to one that this node has not seen yet waits for that one. Its Hello needs a round trip, or a
        /// second one where packets are lost. Halved: such a link is unlisted for a moment. Doubled: a link that is gone stays listed longer.
        orphan: Duration = S.saturating_mul(2), Duration::ZERO => HOUR;
        /// Two connections that come within this time were dialed across each other, so neither replaces the other. It covers a dial, which is
        /// abandoned after 2.9 s. Halved: two that crossed slowly may both be taken for the newer one, by one end each. Doubled: the next connection of
        /// a peer that lost its first one within that time may lose to that dead one.
        /// A start of 40 nodes, in which many dials cross, shows no difference at half or double.
        crossing: Duration = S.saturating_mul(3), Duration::ZERO => HOUR;
        /// The time over which the losses of a link are counted for flap damping.
        /// Halved: a link that is lost every two minutes is hardly held. Doubled: a path that was bad twenty minutes ago is still
        /// held.
        flap_window: Duration = S.saturating_mul(600), Duration::ZERO => HOUR;
        /// The number of lost links from which on a link is held. A restart and one mishap are not held.
        /// With 1, a link that goes down ten times is lost 9 times in place of 12.3, and hidden for longer (`flapping` with 12 nodes); with 6,
        /// 18 times, for 31 % more bytes of records.
        flaps_held: usize = 3, 1 => 16;
        /// The first hold; each further loss doubles it. Every change of the link costs every node a signature to verify, and the hold bounds
        /// how often. Halved: one more loss until holds are as long. Doubled: one fewer.
        /// In `flapping` with 12 nodes: lost 14 times in place of 12.3 with half of it, 10.7 times with double.
        first_hold: Duration = S.saturating_mul(2), Duration::ZERO => HOUR;
        /// The longest hold, and so the longest time for which a live link may be hidden: damping bounds traffic, and must not hide the truth for
        /// long. A link that is the only way to its peer is held only if it is lost again and again (`storm_window`). Halved: a link that flaps for good costs the network twice as many records.
        /// Doubled: a live link may be hidden for ten seconds.
        longest_hold: Duration = S.saturating_mul(5), Duration::ZERO => HOUR;
        /// A link that was lost `flaps_held` times within this time is held even if it is the only way to its peer. A neighbour that makes and
        /// drops its link as fast as it can then causes a record every two to five seconds. Halved: six records in five seconds, again and
        /// again. Doubled: a node whose only link fails every six seconds is hidden for some of that time.
        storm_window: Duration = S.saturating_mul(10), Duration::ZERO => HOUR;
        /// A restarted peer starts with a clean slate, unless its link was lost this short a time ago: a new run id costs nothing, so a link
        /// that flaps must not escape its hold with one. Doubled: a peer that restarts within four seconds is held for what its last run did.
        clean_slate: Duration = S.saturating_mul(2), Duration::ZERO => HOUR;
    }
}
