//! Which nodes reach each other, and what happens to packets between them. Each direction between two nodes that ever exchanged a packet has a
//! [`LinkModel`], kept by the sender, as a host keeps its queueing discipline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::places::Places;
use crate::impair::{Delivery, Fate, Impairment, LinkModel};
use crate::membership::Time;

/// A direction: from one place to another.
pub type Direction = (usize, usize);

/// All directions from one set of places to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The senders.
    pub from: Places,
    /// The receivers.
    pub to: Places,
}

impl Way {
    /// Whether it contains a direction.
    #[must_use]
    pub fn contains(&self, (from, to): Direction) -> bool {
        self.from.contains(from) && self.to.contains(to)
    }
}

/// The impairment of every direction that has no other.
#[derive(Debug, Clone)]
pub enum Ground {
    /// The same everywhere.
    Same(Arc<Impairment>),
    /// Each pair of nodes has one of these in both directions, for the whole run.
    Spread(Arc<[Arc<Impairment>]>),
    /// Nodes are divided evenly among sites, in order.
    Sites {
        /// The number of nodes.
        nodes: usize,
        /// The number of sites.
        sites: usize,
        /// From each site to each, row by row.
        table: Arc<[Arc<Impairment>]>,
    },
}

impl Default for Ground {
    fn default() -> Self {
        Self::Same(Arc::default())
    }
}

impl Ground {
    fn impairment(&self, (from, to): Direction) -> &Arc<Impairment> {
        match self {
            Self::Same(impairment) => impairment,
            Self::Spread(all) => {
                // The finalizer of SplitMix64, so that the delays of any two pairs are unrelated.
                let mut mixed = ((from.min(to) as u64) << 32 | from.max(to) as u64)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15);
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                let at = (mixed ^ (mixed >> 31)) % all.len() as u64;
                &all[usize::try_from(at).expect("it is below a length")]
            }
            Self::Sites {
                nodes,
                sites,
                table,
            } => {
                // The inverse of the division: site s begins at nodes * s / sites.
                let site =
                    |place: usize| (((place + 1) * sites).div_ceil(*nodes) - 1).min(sites - 1);
                &table[site(from) * sites + site(to)]
            }
        }
    }

    fn all(&self) -> &[Arc<Impairment>] {
        match self {
            Self::Same(one) => std::slice::from_ref(one),
            Self::Spread(all) | Self::Sites { table: all, .. } => all,
        }
    }
}

/// The impairments and cuts of all directions.
#[derive(Debug, Clone, Default)]
pub struct Terrain {
    /// Applies where nothing else does.
    pub default: Ground,
    /// Single directions; these take precedence over everything else.
    pub single: BTreeMap<Direction, Arc<Impairment>>,
    /// Sets of directions; the last one that contains a direction applies.
    pub ways: Vec<(Way, Arc<Impairment>)>,
    /// The part of the network that a place is in; places without an entry are in part 0. No packet passes between parts.
    pub parts: BTreeMap<usize, u32>,
    /// Directions that are cut.
    pub cut: BTreeSet<Direction>,
    /// Sets of directions that are cut (`true`) or open; the last one that contains a direction applies.
    pub cuts: Vec<(Way, bool)>,
}

impl Terrain {
    /// The part that a place is in.
    #[must_use]
    pub fn part(&self, place: usize) -> u32 {
        self.parts.get(&place).copied().unwrap_or(0)
    }

    /// Whether a direction is cut.
    #[must_use]
    pub fn is_cut(&self, (from, to): Direction) -> bool {
        let last = self
            .cuts
            .iter()
            .rev()
            .find(|(way, _)| way.contains((from, to)));
        last.is_some_and(|(_, cut)| *cut)
            || self.cut.contains(&(from, to))
            || self.part(from) != self.part(to)
    }

    /// Whether any direction is cut.
    #[must_use]
    pub fn has_cuts(&self) -> bool {
        !self.cuts.is_empty() || !self.cut.is_empty() || !self.parts.is_empty()
    }

    /// The impairment of a direction, whether it is cut or not.
    #[must_use]
    pub fn impairment(&self, direction: Direction) -> &Arc<Impairment> {
        if let Some(single) = self.single.get(&direction) {
            return single;
        }
        let last = self.ways.iter().rev();
        last.clone()
            .find(|(way, _)| way.contains(direction))
            .map_or_else(
                || self.default.impairment(direction),
                |(_, impairment)| impairment,
            )
    }

    /// The round-trip time of a packet that no queue delays, without jitter; `None` if nothing passes in one of the directions.
    #[must_use]
    pub fn round_trip(&self, (from, to): Direction) -> Option<Duration> {
        let one_way = |direction| {
            let delay = self.impairment(direction).delay().max(LEAST);
            (!self.is_cut(direction)).then_some(delay)
        };
        Some(one_way((from, to))? + one_way((to, from))?)
    }

    /// Visits every impairment of the terrain.
    pub fn for_each(&self, see: &mut impl FnMut(&Impairment)) {
        let all = self.default.all().iter();
        let all = all.chain(self.single.values());
        for impairment in all.chain(self.ways.iter().map(|(_, impairment)| impairment)) {
            see(impairment);
        }
    }
}

/// The current terrain, which all nodes read.
#[derive(Debug)]
pub(super) struct Land {
    terrain: Terrain,
    /// Counts changes.
    epoch: u64,
    least_delay: Duration,
}

impl Default for Land {
    fn default() -> Self {
        Self {
            terrain: Terrain::default(),
            epoch: 0,
            least_delay: LEAST,
        }
    }
}

impl Land {
    pub(super) fn terrain(&self) -> &Terrain {
        &self.terrain
    }

    pub(super) fn change(&mut self, change: impl FnOnce(&mut Terrain)) {
        change(&mut self.terrain);
        self.epoch += 1;
        let mut least: Option<Duration> = None;
        self.terrain.for_each(&mut |impairment| {
            let delay = impairment.least_delay();
            least = Some(least.map_or(delay, |least| least.min(delay)));
        });
        self.least_delay = least.unwrap_or_default().max(LEAST);
    }

    /// The least time that any packet takes, in any direction.
    pub(super) fn least_delay(&self) -> Duration {
        self.least_delay
    }
}

#[derive(Debug)]
struct Line {
    model: LinkModel,
    cut: bool,
    /// The version of the terrain that the lines were looked up in.
    epoch: u64,
}

/// The lines from one place that are in use.
#[derive(Debug)]
pub(super) struct Lines {
    from: usize,
    lines: BTreeMap<u32, Line>,
}

impl Lines {
    pub(super) fn new(from: usize) -> Self {
        Self {
            from,
            lines: BTreeMap::new(),
        }
    }

    /// When a packet sent now arrives; `None` if it is lost. Duplicates and damaged packets are left out: QUIC recognises a duplicate by its packet
    /// number and a damaged packet by its authentication tag, and drops both.
    pub(super) fn toss(
        &mut self,
        land: &Land,
        to: u32,
        now: Time,
        bytes: usize,
        rng: &mut ChaCha8Rng,
    ) -> Option<Time> {
        let all = self.toss_whole(land, to, now, bytes, rng);
        let whole = all.filter(|delivery| delivery.flip.is_none());
        whole.map(|delivery| delivery.at).min()
    }

    /// The same for a packet of a whole node, with duplicates and damage.
    pub(super) fn toss_whole(
        &mut self,
        land: &Land,
        to: u32,
        now: Time,
        bytes: usize,
        rng: &mut ChaCha8Rng,
    ) -> impl Iterator<Item = Delivery> + use<> {
        let way = (self.from, to as usize);
        let line = self
            .lines
            .entry(to)
            .or_insert_with(|| Line::new(land, way, rng));
        if line.epoch != land.epoch {
            line.epoch = land.epoch;
            line.cut = land.terrain.is_cut(way);
            let impairment = land.terrain.impairment(way);
            if !Arc::ptr_eq(impairment, line.model.impairment()) {
                line.model = LinkModel::new(impairment.clone(), rng);
            }
        }
        let fate = if line.cut {
            Fate::default()
        } else {
            line.model.handle_packet(now, bytes, rng)
        };
        // A packet takes some time even on the shortest path: no answer comes before its request.
        fate.into_iter().map(move |delivery| Delivery {
            at: delivery.at.max(now + LEAST),
            ..delivery
        })
    }
}

impl Line {
    fn new(land: &Land, way: Direction, rng: &mut ChaCha8Rng) -> Self {
        let impairment = land.terrain.impairment(way).clone();
        Self {
            model: LinkModel::new(impairment, rng),
            cut: land.terrain.is_cut(way),
            epoch: land.epoch,
        }
    }
}

/// The least time that a packet takes.
const LEAST: Duration = Duration::from_micros(20);

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn delay(ms: usize) -> Arc<Impairment> {
        Arc::new(format!("delay {ms}ms").parse().unwrap())
    }

    #[test]
    fn each_site_has_its_share_of_the_nodes() {
        for (nodes, sites) in [(10, 3), (7, 7), (100, 6), (5, 2), (3, 5)] {
            let table: Vec<_> = (0..sites * sites).map(delay).collect();
            let ground = Ground::Sites {
                nodes,
                sites,
                table: table.into(),
            };
            for site in 0..sites {
                for place in nodes * site / sites..nodes * (site + 1) / sites {
                    let there = ground.impairment((place, place));
                    assert_eq!(there, &delay(site * sites + site), "{place} of {nodes}");
                }
            }
        }
    }

    #[test]
    fn the_least_delay_is_that_of_the_shortest_way_and_never_nothing() {
        let mut land = Land::default();
        assert_eq!(land.least_delay(), LEAST);
        let ways = [delay(30), delay(10), delay(50)];
        land.change(|terrain| terrain.default = Ground::Spread(ways.into()));
        assert_eq!(land.least_delay(), Duration::from_millis(10));
        land.change(|terrain| {
            terrain.single.insert((3, 9), delay(4));
        });
        assert_eq!(land.least_delay(), Duration::from_millis(4));
        land.change(|terrain| {
            let to = Places::Range(0, 2);
            let from = Places::All;
            let overtakes = "delay 10ms reorder 5%".parse().unwrap();
            terrain.ways = vec![(Way { from, to }, Arc::new(overtakes))];
        });
        assert_eq!(land.least_delay(), LEAST);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut lines = Lines::new(0);
        let now = Duration::from_secs(1);
        for _ in 0..1000 {
            let at = lines.toss(&land, 1, now, 100, &mut rng);
            assert!(at.is_some_and(|at| at >= now + LEAST));
        }
    }

    #[test]
    fn a_pair_has_one_delay_both_ways_and_the_last_rule_holds() {
        let spread: Vec<_> = (0..64).map(delay).collect();
        let mut terrain = Terrain {
            default: Ground::Spread(spread.into()),
            ..Terrain::default()
        };
        assert_eq!(terrain.impairment((3, 9)), terrain.impairment((9, 3)));
        let one = |from, to| Way {
            from: Places::Range(from, from + 1),
            to: Places::Range(to, to + 1),
        };
        terrain.ways = vec![(one(3, 9), delay(100)), (one(3, 9), delay(200))];
        assert_eq!(terrain.impairment((3, 9)), &delay(200));
        terrain.cuts = vec![(one(3, 9), true)];
        assert!(terrain.is_cut((3, 9)) && !terrain.is_cut((9, 3)));
        terrain.cuts.push((one(3, 9), false));
        assert!(!terrain.is_cut((3, 9)));
    }
}
