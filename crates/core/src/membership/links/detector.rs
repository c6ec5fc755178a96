//! Is this link alive?
//!
//! Only an answer to something *we* sent is a sign of life; otherwise one dead direction would go unseen. One end of a link is
//! active: it probes at an interval, and each probe announces when the next is due. The other end is passive. It starts to probe
//! when a probe is overdue, or when probes say that its answers don't arrive. Every node is the active end of about half of its
//! links ([`NodeId::leads`](crate::wire::NodeId::leads)), so some neighbour soon probes a node that was killed.
//!
//! A link is down after a run of misses that its measured loss explains with a probability under one in a million; `loss` has the
//! arithmetic. One in a thousand is enough if two other neighbours have lost the peer since its last sign of life here. Losses
//! are assumed to be independent. A burst may therefore take down a link that works, which is why a *node* is only down when no
//! path leads to it. (A burst at the peer itself may take down its two cleanest links, and then the others sooner than without
//! them.)

mod limits;
mod quality;
mod schedule;

use std::collections::VecDeque;
use std::time::Duration;

use super::loss::Outcomes;
use super::rtt::{Path, Rtt};
use crate::membership::Time;
use crate::membership::tuning::links::Tuning;
use crate::wire::ShortId;
use limits::MOST_OUTSTANDING;
pub use limits::{LONGEST_INTERVAL, SLOWEST_VERDICT};

/// The detector's verdict on its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answers arrive.
    Alive,
    /// Two or more exchanges in a row were missed on a clean link.
    Suspect,
    /// The run of misses is longer than lost packets explain.
    Down,
}

/// How many other neighbours of the peer have lost it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Confirmation {
    None,
    One(ShortId),
    /// Two or more.
    Two,
}

#[derive(Debug)]
struct Outstanding {
    seq: u32,
    deadline: Time,
    missed: bool,
    /// The run of misses that this probe was part of is over. Without a late answer, the probe will count as lost.
    run_over: bool,
}

/// Watches one connection.
#[derive(Debug)]
pub(crate) struct Detector {
    active: bool,
    interval: Duration,
    next_seq: u32,
    outstanding: VecDeque<Outstanding>,
    /// When we probe next. The passive end defers it as long as the active end probes on time.
    next_probe: Time,
    last_sent: Option<Time>,
    last_asked: Option<Time>,
    /// Consecutive misses in the present run.
    run: u32,
    /// ICMP errors since the last sign of life.
    icmp_hints: u32,
    /// Other neighbours of the peer that lost it since the last sign of life.
    confirmation: Confirmation,
    /// Our last probe was answered (or, for the passive end, our last answer was heard).
    heard: bool,
    /// Consecutive probes by which the active end told us that it gets no answers.
    unheard: u32,
    verdict: Verdict,
    outcomes: Outcomes,
    path: Path,
    late_floor: Duration,
    /// How long a full packet occupies the line, if that is slow. Probes and answers may each wait behind one.
    packet_time: Duration,
    /// Probes of the active end that said that it hears us.
    probes_heard: u32,
    /// The round-trip time and the loss that the active end told the passive one.
    told: Option<(u32, u8)>,
}

/// A probe that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DueProbe {
    /// Its number.
    pub seq: u32,
    /// Whether the last one was answered.
    pub heard: bool,
    /// When the next one is due, in ms from this one.
    pub next_ms: u16,
}

impl Detector {
    /// A detector for a new connection; the active end probes at once. `handshake_rtt_us` stands in for the round-trip time until a
    /// probe has measured it.
    #[must_use]
    pub(crate) fn new(
        tuning: &Tuning,
        now: Time,
        active: bool,
        interval: Duration,
        handshake_rtt_us: Option<u32>,
    ) -> Self {
        let next_probe = if active {
            now
        } else {
            now + interval + tuning.overdue
        };
        Self {
            active,
            interval,
            next_seq: 1,
            outstanding: VecDeque::new(),
            next_probe,
            last_sent: None,
            last_asked: None,
            run: 0,
            icmp_hints: 0,
            confirmation: Confirmation::None,
            heard: true,
            unheard: 0,
            verdict: Verdict::Alive,
            outcomes: Outcomes::default(),
            path: Path::new(tuning, now, handshake_rtt_us),
            late_floor: Duration::ZERO,
            packet_time: Duration::ZERO,
            probes_heard: 0,
            told: None,
        }
    }

    /// This connection replaces an older one to the same peer. The loss measured on the path still holds.
    pub(crate) fn inherit(&mut self, old: Self) {
        self.outcomes = old.outcomes;
        self.told = old.told;
        self.probes_heard = old.probes_heard;
        self.late_floor = old.late_floor;
        self.packet_time = old.packet_time;
    }

    /// The round-trip time of the path. The passive end repeats that of the active one.
    #[must_use]
    pub(crate) fn rtt(&self) -> Option<Rtt> {
        self.path.rtt()
    }

    /// The present verdict.
    #[must_use]
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// When the last probe was sent.
    #[must_use]
    pub(crate) fn asked_at(&self) -> Option<Time> {
        self.last_sent
    }

    /// When the peer's last probe came.
    #[must_use]
    pub(crate) fn was_asked_at(&self) -> Option<Time> {
        self.last_asked
    }

    /// Whether a run of misses is in progress.
    #[must_use]
    pub(crate) fn is_missing(&self) -> bool {
        self.run > 0
    }

    /// When [`Self::poll`] has something to do.
    #[must_use]
    pub(crate) fn deadline(&self) -> Time {
        let miss = self
            .outstanding
            .iter()
            .find(|probe| !probe.missed)
            .map(|probe| probe.deadline);
        miss.map_or(self.next_probe, |miss| miss.min(self.next_probe))
    }

    /// Counts the misses up to now and returns the probe that is due, if one is. `jitter` is a random number that spreads the
    /// probes of a node's links.
    pub(crate) fn poll(&mut self, tuning: &Tuning, now: Time, jitter: u32) -> Option<DueProbe> {
        self.count_misses(tuning, now);
        if self.next_probe > now {
            return None;
        }
        let seq = self.next_seq;
        self.next_seq = self.next_seq.wrapping_add(1);
        if self.outstanding.len() == MOST_OUTSTANDING {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back(Outstanding {
            seq,
            deadline: now + self.timeout(tuning),
            missed: false,
            run_over: false,
        });
        self.last_sent = Some(now);
        let pause = match self.verdict {
            Verdict::Down => tuning.slow_probes,
            Verdict::Alive | Verdict::Suspect if self.run > 0 || self.icmp_hints > 0 => {
                self.fast_pace(tuning)
            }
            Verdict::Alive | Verdict::Suspect => self.spread_interval(tuning, jitter),
        };
        self.next_probe = now + pause;
        // A passive end that probes announces no next probe: the other end keeps its own pace.
        let next_ms = u16::try_from(pause.as_millis()).unwrap_or(u16::MAX);
        Some(DueProbe {
            seq,
            heard: self.heard,
            next_ms,
        })
    }

    fn count_misses(&mut self, tuning: &Tuning, now: Time) {
        let before = self.outstanding.len();
        self.outstanding
            .retain(|probe| !(probe.run_over && probe.deadline + tuning.most_timeout <= now));
        for _ in self.outstanding.len()..before {
            self.outcomes.push(true);
        }
        let mut missed = 0;
        for probe in self
            .outstanding
            .iter_mut()
            .filter(|probe| !probe.missed && probe.deadline <= now)
        {
            probe.missed = true;
            missed += 1;
        }
        if missed > 0 {
            self.heard = false;
            self.run += missed;
            let next = if self.run == missed {
                now
            } else {
                self.last_sent
                    .map_or(now, |sent| sent + self.fast_pace(tuning))
            };
            if self.verdict != Verdict::Down {
                self.next_probe = self.next_probe.min(next.max(now));
            }
        }
        self.judge(tuning, now);
    }

    fn judge(&mut self, tuning: &Tuning, now: Time) {
        if self.run == 0 || self.verdict == Verdict::Down {
            return;
        }
        if self.run >= self.misses_needed(tuning) {
            self.verdict = Verdict::Down;
            self.next_probe = now + tuning.slow_probes;
        } else if self.run >= tuning.suspect_misses && self.is_clean(tuning) {
            self.verdict = Verdict::Suspect;
        }
    }

    /// Handles an answer, which is the sign of life. `rtt_us` is the path's share of the time, if it is known. Returns whether
    /// the verdict changed.
    pub(crate) fn handle_answer(
        &mut self,
        tuning: &Tuning,
        now: Time,
        seq: u32,
        rtt_us: Option<u32>,
    ) -> bool {
        let Some(at) = self.outstanding.iter().position(|probe| probe.seq == seq) else {
            return false;
        };
        let late = self.outstanding[at].missed;
        // Earlier probes that are still open are counted when their own timeouts expire.
        self.outstanding.remove(at);
        if late {
            self.run = self.run.saturating_sub(1);
            if let Some(us) = rtt_us {
                self.late_floor = (Duration::from_micros(u64::from(us)) * tuning.late_percent
                    / 100)
                    .min(tuning.most_timeout);
            }
        } else {
            self.late_floor = self.late_floor.mul_f64(tuning.late_decay);
        }
        if let Some(us) = rtt_us
            && self.path.sample(tuning, now, us)
        {
            self.next_probe = self.next_probe.min(now + tuning.step_probes);
        }
        self.outcomes.push(false);
        self.sign_of_life(tuning, now)
    }

    /// A sign of life ends the run. Its misses then count as losses of a living link, unless their answers are only late.
    fn sign_of_life(&mut self, tuning: &Tuning, now: Time) -> bool {
        if self.verdict == Verdict::Down {
            // An outage says nothing about the loss of single exchanges.
            self.outstanding.retain(|probe| !probe.missed);
        }
        for probe in self.outstanding.iter_mut().filter(|probe| probe.missed) {
            probe.run_over = true;
        }
        let was_in_run = self.run > 0 || self.icmp_hints > 0;
        self.run = 0;
        self.icmp_hints = 0;
        self.confirmation = Confirmation::None;
        self.heard = true;
        let changed = self.verdict != Verdict::Alive;
        self.verdict = Verdict::Alive;
        if was_in_run || changed {
            self.next_probe = now
                + if self.active {
                    self.interval / tuning.early_part
                } else {
                    self.interval + tuning.overdue
                };
        }
        changed
    }

    /// Handles a probe of the other end. It tells a passive end that the active one is alive. If the active one `heard` us, it
    /// also shows that our packets arrive. Returns whether the verdict changed.
    pub(crate) fn handle_probe(
        &mut self,
        tuning: &Tuning,
        now: Time,
        heard: bool,
        next_ms: u16,
        rtt_us: u32,
        loss: u8,
    ) -> bool {
        self.last_asked = Some(now);
        if self.active {
            return false;
        }
        self.told = Some((rtt_us, loss));
        if rtt_us > 0 {
            self.path.adopt(tuning, now, rtt_us);
        }
        if !heard {
            self.unheard += 1;
            if self.verdict == Verdict::Down {
                // The peer is back, or never was away. An answer to our own probe will show it.
                self.probe_now(tuning, now);
            } else if self.unheard >= tuning.unheard && self.run == 0 {
                self.next_probe = self.next_probe.min(now);
            }
            return false;
        }
        self.unheard = 0;
        self.probes_heard = self.probes_heard.saturating_add(1);
        // The interval in a probe is not trusted: a Byzantine node must not put us to sleep.
        let announced = Duration::from_millis(u64::from(next_ms)).min(LONGEST_INTERVAL);
        let changed = self.sign_of_life(tuning, now);
        self.next_probe = now + announced + tuning.overdue;
        changed
    }

    /// An ICMP error says that nobody listens at the peer's address: probe now, then at the fast pace. Returns whether the
    /// hints since the last sign of life have just become enough to report.
    pub(crate) fn handle_unreachable(&mut self, tuning: &Tuning, now: Time) -> bool {
        if self.verdict == Verdict::Down {
            return false;
        }
        self.icmp_hints += 1;
        let next = if self.icmp_hints == 1 {
            now
        } else {
            self.last_sent.map_or(now, |sent| sent + tuning.icmp_probes)
        };
        self.next_probe = self.next_probe.min(next.max(now));
        self.icmp_hints == tuning.icmp_hints
    }

    /// Another neighbour lost its link to the peer. One report may come from a fault of that neighbour; two are believed.
    pub(crate) fn handle_confirmation(&mut self, from: ShortId) {
        self.confirmation = match self.confirmation {
            Confirmation::None => Confirmation::One(from),
            Confirmation::One(first) if first == from => Confirmation::One(first),
            Confirmation::One(_) | Confirmation::Two => Confirmation::Two,
        };
    }

    pub(crate) fn packet_time(&self) -> Duration {
        self.packet_time
    }

    /// Sets how long a full packet occupies the line.
    pub(crate) fn set_packet_time(&mut self, packet_time: Duration) {
        self.packet_time = packet_time;
    }

    /// The node itself ran late: the answers may be waiting in its own queues. Extends the timeouts.
    pub(crate) fn extend(&mut self, late: Duration) {
        for probe in self.outstanding.iter_mut().filter(|probe| !probe.missed) {
            probe.deadline += late;
        }
    }

    /// The node itself was suspended or starved. Its misses say nothing about the link, so it probes afresh.
    pub(crate) fn forgive(&mut self, now: Time) {
        self.outstanding.clear();
        self.run = 0;
        self.icmp_hints = 0;
        self.confirmation = Confirmation::None;
        self.next_probe = self.next_probe.min(now);
        if self.verdict == Verdict::Suspect {
            self.verdict = Verdict::Alive;
        }
    }

    fn timeout(&self, tuning: &Tuning) -> Duration {
        let Some(rtt) = self.path.rtt() else {
            return tuning.first_timeout;
        };
        let variance = u64::from(rtt.jitter_us) * u64::from(tuning.timeout_deviations);
        let path = Duration::from_micros(u64::from(rtt.smoothed_us) + variance);
        // The round-trip time bounds how slow the line can be: a full packet takes no longer than so many probes with their
        // answers.
        let smoothed = Duration::from_micros(rtt.smoothed_us.into());
        let packet = self.packet_time.min(smoothed * tuning.probes_in_packet);
        (path + tuning.timeout_margin + 2 * packet)
            .max(tuning.least_timeout)
            .max(self.late_floor)
            .min(tuning.most_timeout)
    }
}

#[cfg(test)]
mod both_ends;
#[cfg(test)]
mod tests;
