//! Makes dials rarer while dials of nodes that nobody has reached, by their records, keep failing.
//!
//! Among nodes behind NATs, some pairs can be linked and some can't, and only a dial tells which. If several such dials in a row
//! got no answer, the next ones will hardly get one: behind a symmetric NAT, or a firewall that opens for nobody, all fail. So
//! such dials become rarer, over all these nodes together, until one succeeds. Each node also has pauses of its own.

use super::candidates::doubled;
use crate::membership::Time;
use crate::membership::tuning::overlay::Tuning;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Luck {
    /// The dials that failed in a row.
    failures: u32,
    /// No such dial begins before this time.
    next: Time,
}

impl Luck {
    /// The time before which no node is dialed that nobody has reached, if that is in the future.
    pub(super) fn rests_until(&self, now: Time) -> Option<Time> {
        (self.next > now).then_some(self.next)
    }

    /// Such a dial begins.
    pub(super) fn begins(&mut self, now: Time, tuning: &Tuning) {
        if let Some(over) = self.failures.checked_sub(tuning.unlucky) {
            let pause = doubled(tuning.first_retry, over / 2);
            self.next = now + pause.min(tuning.longest_unlucky);
        }
    }

    /// Such a dial failed.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// There is a link with such a node, or this node is elsewhere now.
    pub(super) fn turned(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dials_become_rare_until_one_succeeds() {
        let tuning = Tuning::DEFAULT;
        let mut luck = Luck::default();
        let mut begun = Vec::new();
        let mut now = Time::ZERO;
        while now < Duration::from_secs(600) {
            now = luck.rests_until(now).unwrap_or(now);
            luck.begins(now, &tuning);
            begun.push(now.as_secs());
            luck.failed();
            now += Duration::from_millis(500);
        }
        let within = |from, to| begun.iter().filter(|at| (from..to).contains(*at)).count();
        assert!(within(0, 20) >= tuning.unlucky as usize + 4, "{begun:?}");
        assert!(within(25, 45) <= 3, "{begun:?}");
        assert!((4..=6).contains(&within(300, 600)), "{begun:?}");
        luck.turned();
        assert_eq!(luck.rests_until(now), None);
    }
}
