//! How far a latency map can be trusted: rank correlations of the links, and of links that a second map was not told of.

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::graph::Graph;
use super::{Fit, Place, latency, solve};

/// Each second map is made without one of this many shares of the links. With half as many, it is a worse map than the one that it judges;
/// with twice as many, small networks need twice as many maps.
const SHARES: usize = 10;
/// Shares are held out until this many links have been. The standard error of a correlation of 0 is then a tenth; double costs double.
const ENOUGH: usize = 100;
/// A link is judged only if its ends have so many others: with one, a node may be anywhere on a circle.
const OTHERS: usize = 2;
/// The work between two judgements, relative to that of a judgement.
const REST: u64 = 4;
/// The correlation of the links is that of a sample of this many, so that it costs no more at 10,000 nodes than at 1,000.
const SAMPLE: usize = 4000;
/// Fewer pairs say nothing. At half, chance decides; at double, five nodes in a full mesh, which have ten links, get no judgement.
const FEWEST: usize = 6;

/// Fewer held-out links say nothing: of ten, on loopback with five nodes, the correlation was -0.9 one minute and 0.6 the next. At half, the
/// standard error is a quarter; at double, ten nodes in a full mesh get no judgement.
const FEWEST_HELD_OUT: usize = 30;

/// The last judgement, and what was done since.
#[derive(Debug, Clone, Default)]
pub(super) struct Judge {
    /// How many pairs of nodes the solver has looked at.
    pub(super) work: u64,
    /// When the next judgement is due at the earliest, on that scale.
    due: u64,
    is_outdated: bool,
    pub(super) held_out: Option<f32>,
}

impl Judge {
    /// Judges a map.
    pub(super) fn fit(&mut self, graph: &Graph, places: &[Place], seed: u64, changed: bool) -> Fit {
        self.is_outdated |= changed;
        if self.is_outdated && self.work >= self.due {
            let before = self.work;
            self.held_out = self.hold_out(graph, seed);
            self.due = self.work + REST * (self.work - before);
            self.is_outdated = false;
        }
        let stride = graph.links.len().div_ceil(SAMPLE).max(1);
        let sample = graph.links.iter().step_by(stride).filter_map(|link| {
            let (one, other) = (places[link.a as usize], places[link.b as usize]);
            let drawn = (one.x - other.x).hypot(one.y - other.y);
            Some((link.rtt_us? as f32, drawn, one.height + other.height))
        });
        let sample: Vec<(f32, f32, f32)> = sample.collect();
        let of = |predicted: fn(&(f32, f32, f32)) -> f32| {
            let pairs: Vec<(f32, f32)> = sample
                .iter()
                .map(|link| (link.0, predicted(link)))
                .collect();
            rank_correlation(&pairs)
        };
        Fit {
            links: of(|(_, drawn, heights)| drawn + heights),
            drawn: of(|(_, drawn, _)| *drawn),
            held_out: self.held_out,
        }
    }

    /// Makes maps of the largest part without some of the links, and compares what they predict for these.
    fn hold_out(&mut self, graph: &Graph, seed: u64) -> Option<f32> {
        let mut nodes = graph.components().into_iter().next()?;
        nodes.sort_unstable();
        let graph = graph.part(&nodes);
        let unit = latency::unit(&graph);
        let has_others = |end: u32| graph.degree(end as usize) > OTHERS;
        let measured = (0..graph.links.len()).filter(|&link| {
            let link = &graph.links[link];
            link.rtt_us.is_some() && has_others(link.a) && has_others(link.b)
        });
        let mut measured: Vec<usize> = measured.collect();
        measured.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let size = measured.len().div_ceil(SHARES).max(1);
        let mut pairs = Vec::new();
        for share in measured.chunks(size) {
            if pairs.len() >= ENOUGH {
                break;
            }
            let mut is_held_out = vec![false; graph.links.len()];
            share.iter().for_each(|&link| is_held_out[link] = true);
            let rest = graph.filtered(|link| !is_held_out[link]);
            let problem = latency::problem(&rest, unit);
            let guides = latency::guides(&rest, &problem);
            let bodies = solve::unfold(&rest, &problem, &guides, seed, &mut self.work);
            let mut part_of = vec![0; rest.nodes()];
            for (number, part) in rest.components().iter().enumerate() {
                part.iter()
                    .for_each(|&node| part_of[node as usize] = number);
            }
            for &link in share {
                let link = graph.links[link];
                let (a, b) = (link.a as usize, link.b as usize);
                let is_placed =
                    rest.degree(a).min(rest.degree(b)) >= OTHERS && part_of[a] == part_of[b];
                if let Some(rtt_us) = link.rtt_us.filter(|_| is_placed) {
                    pairs.push((
                        rtt_us as f32,
                        bodies[a].predicted(&bodies[b]) * problem.unit,
                    ));
                }
            }
        }
        (pairs.len() >= FEWEST_HELD_OUT).then(|| rank_correlation(&pairs))?
    }
}

/// The rank correlation of two quantities, from -1 to 1. `None` if there are fewer than `FEWEST` pairs, or if one of the
/// quantities is the same everywhere.
pub(super) fn rank_correlation(pairs: &[(f32, f32)]) -> Option<f32> {
    if pairs.len() < FEWEST {
        return None;
    }
    let one = ranks(pairs.iter().map(|pair| pair.0));
    let other = ranks(pairs.iter().map(|pair| pair.1));
    let middle = (pairs.len() - 1) as f64 / 2.0;
    let (mut both, mut ones, mut others) = (0.0, 0.0, 0.0);
    for (one, other) in one.iter().zip(&other) {
        let (one, other) = (one - middle, other - middle);
        both += one * other;
        ones += one * one;
        others += other * other;
    }
    (ones > 0.0 && others > 0.0).then(|| (both / (ones * others).sqrt()) as f32)
}

/// The rank of each value; equal ones get their mean rank.
fn ranks(values: impl Iterator<Item = f32>) -> Vec<f64> {
    let mut order: Vec<(f32, usize)> = values.zip(0..).collect();
    order.sort_unstable_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    let mut ranks = vec![0.0; order.len()];
    let mut first = 0;
    for equal in order.chunk_by(|one, other| one.0 == other.0) {
        let rank = first as f64 + (equal.len() - 1) as f64 / 2.0;
        for &(_, at) in equal {
            ranks[at] = rank;
        }
        first += equal.len();
    }
    ranks
}
