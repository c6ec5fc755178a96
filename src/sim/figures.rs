//! How old the round-trip times are that views show, and how far they are from the true ones.
//!
//! A *figure* is the round-trip time of one link in one view. Figures are sampled every few seconds while the network is at rest, and once at the
//! end. The age is the one that the view gives. The true value is that of the simulated path: its mean delay both ways, without queues. In
//! networks with very many figures a sample takes some of the views, in turn, and of these all links.

use std::collections::BTreeMap;
use std::time::Duration;

use super::views::{Views, counts};
use super::world::World;
use crate::membership::Time;
use crate::snapshot::{LinkView, Snapshot};

/// The pause between two samples at rest. It is no multiple of the time between two probes, so samples see all ages alike. Half of it would double
/// the cost; twice as much would leave few samples in a short rest.
const EVERY: Duration = Duration::from_secs(5);
/// About how many figures a sample takes at rest and at the end: all of a hundred nodes. Half would halve the views that are seen in
/// large networks; twice as many would double the cost there.
const MOST_AT_REST: usize = 1 << 17;
const MOST_AT_END: usize = 1 << 20;
/// Values are kept with this many significant digits, so that their number is bounded.
const DIGITS: u32 = 3;

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    sampled: Option<Time>,
    /// The view that the next sample begins with.
    turn: usize,
    /// All samples at rest; `None` if the network was never at rest.
    pub at_rest: Option<Sheet>,
    /// The sample at the end.
    pub at_end: Sheet,
}

/// Figures of the links that a viewer holds itself, and of all others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sheet {
    /// The viewer's own links.
    pub own: Tally,
    /// Links of other nodes.
    pub others: Tally,
}

/// A number of figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// How many links were shown.
    pub shown: u64,
    /// Those of them without a figure.
    pub unmeasured: u64,
    /// Figures that were marked stale.
    pub stale: u64,
    /// Ages, in ms.
    pub age_ms: Spread,
    /// Differences from the true round-trip time, in µs.
    pub error_us: Spread,
    /// The same as parts of the true round-trip time, in millionths.
    pub error_ppm: Spread,
}

/// A distribution of whole numbers, each kept with three significant digits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spread {
    counts: BTreeMap<u64, u64>,
    count: u64,
}

impl Spread {
    fn add(&mut self, value: u64) {
        *self.counts.entry(rounded(value)).or_default() += 1;
        self.count += 1;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least value that this share of all values does not exceed; 0 if there are none.
    #[must_use]
    pub fn at(&self, share: f64) -> u64 {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut below = 0;
        let at_rank = self.counts.iter().find(|(_, count)| {
            below += **count;
            below >= rank
        });
        at_rank.map_or(0, |(value, _)| *value)
    }
}

fn rounded(value: u64) -> u64 {
    let digits = value.checked_ilog10().map_or(1, |log| log + 1);
    let unit = 10_u64.pow(digits.saturating_sub(DIGITS));
    // Nothing here comes near the largest number.
    value.saturating_add(unit / 2) / unit * unit
}

impl Figures {
    /// The network is at rest.
    pub(super) fn rest(&mut self, world: &World, views: &Views) {
        let now = world.now();
        if self.sampled.is_some_and(|before| now < before + EVERY) {
            return;
        }
        self.sampled = Some(now);
        let mut sheet = self.at_rest.take().unwrap_or_default();
        self.sample(world, views, MOST_AT_REST, &mut sheet);
        self.at_rest = Some(sheet);
    }

    /// The run is over.
    pub(super) fn finish(&mut self, world: &World, views: &Views) {
        let mut sheet = Sheet::default();
        self.sample(world, views, MOST_AT_END, &mut sheet);
        self.at_end = sheet;
    }

    fn sample(&mut self, world: &World, views: &Views, most: usize, sheet: &mut Sheet) {
        let running = world.running();
        let viewers: Vec<usize> = running
            .filter(|&place| counts(&world.nodes[place]))
            .collect();
        let (mut seen, mut taken) = (0, 0);
        while taken < viewers.len() && (taken == 0 || seen < most) {
            let viewer = viewers[(self.turn + taken) % viewers.len()];
            taken += 1;
            let Some((snapshot, now_ms)) = world.nodes[viewer].snapshot(world.now()) else {
                continue;
            };
            seen += snapshot.links.len();
            for link in &snapshot.links {
                sheet.add(world, views, &snapshot, link, now_ms);
            }
        }
        // The next sample goes on where this one ended, so all views have their turn.
        self.turn = (self.turn + taken) % viewers.len().max(1);
    }
}

impl Sheet {
    fn add(
        &mut self,
        world: &World,
        views: &Views,
        snapshot: &Snapshot,
        link: &LinkView,
        now_ms: i64,
    ) {
        let is_own = [link.dialer, link.listener].contains(&snapshot.me);
        let tally = if is_own {
            &mut self.own
        } else {
            &mut self.others
        };
        tally.shown += 1;
        tally.stale += u64::from(link.rtt_stale);
        let Some(shown) = link.rtt_us else {
            tally.unmeasured += 1;
            return;
        };
        tally
            .age_ms
            .add(u64::try_from(now_ms - link.rtt_at_ms).unwrap_or_default());
        let place = |at: usize| views.place(&snapshot.nodes[at].id);
        let Some(pair) = place(link.dialer).zip(place(link.listener)) else {
            // A Byzantine node invented one of them.
            return;
        };
        let (dialer, listener) = pair;
        if [dialer, listener]
            .iter()
            .any(|end| world.nodes[*end].is_hostile())
        {
            // It may say of its links what it likes.
            return;
        }
        if let Some(truth) = world.terrain().round_trip(pair) {
            let truth = truth.as_micros() as u64;
            let error = truth.abs_diff(shown.into());
            tally.error_us.add(error);
            tally.error_ppm.add(error * 1_000_000 / truth.max(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_sorted_values() {
        let mut spread = Spread::default();
        assert_eq!((spread.at(0.5), spread.count()), (0, 0));
        for value in (1..=100).rev() {
            spread.add(value);
        }
        let at = [0.0, 0.01, 0.5, 0.99, 1.0].map(|share| spread.at(share));
        assert_eq!((at, spread.count()), ([1, 1, 50, 99, 100], 100));
    }

    #[test]
    fn three_digits_are_kept() {
        for (value, kept) in [
            (0, 0),
            (7, 7),
            (999, 999),
            (1004, 1000),
            (1005, 1010),
            (9996, 10_000),
            (1_234_567, 1_230_000),
        ] {
            assert_eq!(rounded(value), kept);
        }
    }
}
