//! Who reaches whom, and what the way there does to packets: one [`LinkModel`] for each direction between two nodes that ever
//! met, as a host's queueing discipline has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::places::Places;
use crate::impair::{Delivery, Fate, Impairment, LinkModel};
use crate::membership::Time;

/// From one place to another.
pub type Direction = (usize, usize);

/// All directions from some places to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// From any of these.
    pub from: Places,
    /// To any of these.
    pub to: Places,
}

impl Way {
    /// Whether a direction is one of these.
    #[must_use]
    pub fn contains(&self, (from, to): Direction) -> bool {
        self.from.contains(from) && self.to.contains(to)
    }
}

/// What all ways are like where nothing else is said.
#[derive(Debug, Clone)]
pub enum Ground {
    /// The same everywhere.
    Same(Arc<Impairment>),
    /// Each pair has one of these, both ways, for good.
    Spread(Arc<[Arc<Impairment>]>),
    /// Nodes are at sites, each with its share of them, one after the other.
    Sites {
        /// How many nodes there are in all.
        nodes: usize,
        /// How many sites.
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
                // The finalizer of SplitMix64: any two pairs have unrelated delays.
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
                // The inverse of how sites are given out: site s begins at nodes * s / sites.
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

/// What the ways between places are like.
#[derive(Debug, Clone, Default)]
pub struct Terrain {
    /// What holds where nothing else does.
    pub default: Ground,
    /// What holds for single directions, before all others.
    pub single: BTreeMap<Direction, Arc<Impairment>>,
    /// What holds for sets of them; of several, the last one holds.
    pub ways: Vec<(Way, Arc<Impairment>)>,
    /// The part of the network that a place is in; places without an entry are in part 0. Nothing passes between parts.
    pub parts: BTreeMap<usize, u32>,
    /// Directions in which nothing passes.
    pub cut: BTreeSet<Direction>,
    /// Sets of directions in which nothing passes (`true`), or everything does; of several, the last one holds.
    pub cuts: Vec<(Way, bool)>,
}

impl Terrain {
    /// The part that a place is in.
    #[must_use]
    pub fn part(&self, place: usize) -> u32 {
        self.parts.get(&place).copied().unwrap_or(0)
    }

    /// Whether nothing passes in a direction.
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

    fn impairment(&self, direction: Direction) -> &Arc<Impairment> {
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

    /// Looks at every impairment that there is somewhere.
    pub fn for_each(&self, see: &mut impl FnMut(&Impairment)) {
        let all = self.default.all().iter();
        let all = all.chain(self.single.values());
        for impairment in all.chain(self.ways.iter().map(|(_, impairment)| impairment)) {
            see(impairment);
        }
    }
}

/// A line's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineId(u32);

#[derive(Debug)]
struct Line {
    way: Direction,
    impairment: Arc<Impairment>,
    model: LinkModel,
    cut: bool,
    /// The terrain that the above were looked up in.
    epoch: u64,
}

/// The lines that are in use.
#[derive(Debug, Default)]
pub(super) struct Lines {
    terrain: Terrain,
    epoch: u64,
    lines: Vec<Line>,
    by_way: BTreeMap<Direction, LineId>,
}

impl Lines {
    pub(super) fn terrain(&self) -> &Terrain {
        &self.terrain
    }

    pub(super) fn change(&mut self, change: impl FnOnce(&mut Terrain)) {
        change(&mut self.terrain);
        self.epoch += 1;
    }

    /// The line in that direction.
    pub(super) fn line(&mut self, way: Direction, rng: &mut ChaCha8Rng) -> LineId {
        if let Some(line) = self.by_way.get(&way) {
            return *line;
        }
        let impairment = self.terrain.impairment(way).clone();
        let number = u32::try_from(self.lines.len()).expect("a world has fewer pairs that met");
        self.lines.push(Line {
            way,
            model: LinkModel::new(impairment.clone(), rng),
            impairment,
            cut: self.terrain.is_cut(way),
            epoch: self.epoch,
        });
        self.by_way.insert(way, LineId(number));
        LineId(number)
    }

    /// When a packet arrives that is sent now; `None` if it never does. A copy is known by its number, and one that was damaged
    /// by its checksum: QUIC drops both.
    pub(super) fn toss(
        &mut self,
        line: LineId,
        now: Time,
        bytes: usize,
        rng: &mut ChaCha8Rng,
    ) -> Option<Time> {
        let all = self.toss_whole(line, now, bytes, rng);
        let whole = all.filter(|delivery| delivery.flip.is_none());
        whole.map(|delivery| delivery.at).min()
    }

    /// The same for a packet that is really there: with its copy, and what is damaged in it.
    pub(super) fn toss_whole(
        &mut self,
        line: LineId,
        now: Time,
        bytes: usize,
        rng: &mut ChaCha8Rng,
    ) -> impl Iterator<Item = Delivery> + use<> {
        let Self {
            terrain,
            epoch,
            lines,
            ..
        } = self;
        let line = &mut lines[line.0 as usize];
        if line.epoch != *epoch {
            line.epoch = *epoch;
            line.cut = terrain.is_cut(line.way);
            let impairment = terrain.impairment(line.way);
            if !Arc::ptr_eq(impairment, &line.impairment) {
                line.impairment = impairment.clone();
                line.model = LinkModel::new(impairment.clone(), rng);
            }
        }
        let fate = if line.cut {
            Fate::default()
        } else {
            line.model.handle_packet(now, bytes, rng)
        };
        // A packet takes some time even on the shortest way: nothing is answered before it was asked.
        fate.into_iter().map(move |delivery| Delivery {
            at: delivery.at.max(now + LEAST),
            ..delivery
        })
    }
}

/// The shortest time that a packet takes.
const LEAST: Duration = Duration::from_micros(20);

#[cfg(test)]
mod tests {
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
