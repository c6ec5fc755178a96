//! When the next probe is sent: the paces of the detector itself, and probes that its node wants sooner or later.

use std::time::Duration;

use super::Detector;
use crate::membership::Time;
use crate::membership::tuning::links::Tuning;

impl Detector {
    /// The pause between probes after a miss. If answers take far longer than the path does, the line is full, and more probes
    /// would fill it further. Then at most two are under way.
    pub(super) fn fast_pace(&self, tuning: &Tuning) -> Duration {
        if self.icmp_hints > 0 {
            return tuning.icmp_probes;
        }
        if self.packet_time().is_zero() {
            // One late answer says nothing of the line. Where many are lost, a verdict needs all the probes that the longest run has.
            return tuning.fast_probes;
        }
        let least = self
            .path
            .rtt()
            .map(|rtt| Duration::from_micros(rtt.min_us.into()));
        let queue = least.map_or(Duration::ZERO, |least| {
            self.timeout(tuning).saturating_sub(least)
        });
        tuning.fast_probes.max(queue / 2)
    }

    /// The interval, varied by up to a thirty-second part either way, so that links don't fall into step.
    pub(super) fn spread_interval(&self, tuning: &Tuning, jitter: u32) -> Duration {
        let pause = if self.active {
            self.interval
        } else {
            self.interval + tuning.overdue
        };
        pause
            .mul_f64(1.0 + (f64::from(jitter % 1024) / 512.0 - 1.0) / f64::from(tuning.spread_part))
    }

    /// Whether a routine probe is due.
    #[must_use]
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.active && self.run == 0 && self.next_probe <= now
    }

    /// Other links are probed now: a routine probe that is due within `slack` joins them.
    pub(crate) fn join(&mut self, now: Time, slack: Duration) {
        if self.active && self.run == 0 && self.next_probe <= now + slack {
            self.next_probe = self.next_probe.min(now);
        }
    }

    /// A suspicion report names the peer: probe now, unless that was just done.
    pub(crate) fn probe_now(&mut self, tuning: &Tuning, now: Time) {
        let earliest = self
            .last_sent
            .map_or(now, |sent| (sent + tuning.fast_probes).max(now));
        self.next_probe = self.next_probe.min(earliest);
    }

    /// Routine probes keep this interval from the next one on.
    pub(crate) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Defers the routine probe to `at`.
    pub(crate) fn probe_no_sooner(&mut self, at: Time) {
        self.next_probe = self.next_probe.max(at);
    }

    /// Probes at this very time, whatever was sent before.
    pub(crate) fn probe_at(&mut self, now: Time) {
        self.next_probe = self.next_probe.min(now);
    }
}
