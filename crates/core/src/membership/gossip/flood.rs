//! Which news goes over every link, tree or not: gains, withdrawn links and suspicion reports, as long as they are few.
//!
//! A tree saves most where much happens at once, and costs a little time: it has more hops than the shortest paths. So while little
//! happens, gains and withdrawals flood, and only storms and measurements take the tree. In a storm each change, flooding or not, keeps the bucket
//! empty. In storms records also travel along the tree in batches, many in one message; a few go as they come.

use std::collections::VecDeque;

use crate::bucket::Bucket;
use crate::membership::Time;
use crate::membership::tuning::gossip::Tuning;
use crate::membership::view::{Change, Index};

/// See the module's documentation. It begins empty: a start is a storm.
#[derive(Debug, Default)]
pub(super) struct Flood {
    changes: Bucket,
    suspicions: Bucket,
    alone: Bucket,
    /// What flooded lately: its copies say nothing about the links that brought them.
    recent: VecDeque<(Time, Index)>,
}

impl Flood {
    /// One more piece of news: does it flood?
    pub(super) fn take(
        &mut self,
        now: Time,
        index: Index,
        change: Change,
        tuning: &Tuning,
    ) -> bool {
        let floods = match change {
            Change::Gain | Change::Withdrawal => self.changes.take(now, tuning.changes(), 1),
            Change::Suspicion => self.suspicions.take(now, tuning.suspicions(), 1),
            Change::Figures => return false,
        };
        let is_old = |(at, _): &&(Time, Index)| *at + tuning.flooded_for < now;
        let old = self.recent.iter().take_while(is_old);
        self.recent.drain(..old.count());
        if floods {
            self.recent.push_back((now, index));
        }
        floods
    }

    /// One more record for the tree: does it wait for others?
    pub(super) fn is_batched(&mut self, now: Time, tuning: &Tuning) -> bool {
        !self.alone.take(now, tuning.unbatched(), 1)
    }

    pub(super) fn is_under_way(&self, now: Time, index: Index, tuning: &Tuning) -> bool {
        let lately =
            |&(at, which): &(Time, Index)| which == index && now <= at + tuning.flooded_for;
        self.recent.iter().any(lately)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TUNING: &Tuning = &Tuning::DEFAULT;

    fn floods(flood: &mut Flood, at: Duration, news: u32) -> usize {
        let one = |index| flood.take(at, Index(index), Change::Withdrawal, TUNING);
        (0..news).map(one).filter(|floods| *floods).count()
    }

    #[test]
    fn a_few_gains_and_withdrawals_flood_and_a_storm_takes_the_tree() {
        let second = Duration::from_secs(1);
        let mut flood = Flood::default();
        assert_eq!(floods(&mut flood, Time::ZERO, 100), 0, "a start is a storm");
        assert_eq!(floods(&mut flood, 60 * second, 20), 20, "a restart is not");
        assert!(flood.is_under_way(60 * second, Index(19), TUNING));
        assert!(!flood.is_under_way(62 * second, Index(19), TUNING));
        assert_eq!(floods(&mut flood, 120 * second, 1000), 32);
        assert_eq!(
            floods(&mut flood, 121 * second, 1),
            0,
            "it is paid off first"
        );
        assert_eq!(floods(&mut flood, 180 * second, 1), 1);
    }

    #[test]
    fn suspicions_flood_now_and_then_and_take_nothing_from_withdrawals() {
        let minute = Duration::from_secs(60);
        let mut flood = Flood::default();
        let one = |index| flood.take(minute, Index(index), Change::Suspicion, TUNING);
        assert_eq!((0..100).map(one).filter(|floods| *floods).count(), 4);
        assert_eq!(floods(&mut flood, minute, 20), 20);
    }

    #[test]
    fn records_wait_for_each_other_only_in_a_storm() {
        let minute = Duration::from_secs(60);
        let mut flood = Flood::default();
        let mut waits = |at| flood.is_batched(at, TUNING);
        assert!(waits(Time::ZERO), "a start is a storm");
        let storm = (0..200).filter(|_| waits(minute));
        assert_eq!(storm.count(), 150);
        assert!(waits(minute + Duration::from_millis(900)));
        assert!(!waits(2 * minute));
    }

    #[test]
    fn what_is_kept_of_floods_is_bounded() {
        let mut flood = Flood::default();
        for ms in 0..100_000 {
            flood.take(
                Duration::from_millis(ms),
                Index(0),
                Change::Withdrawal,
                TUNING,
            );
            assert!(flood.recent.len() <= 64);
        }
    }
}
