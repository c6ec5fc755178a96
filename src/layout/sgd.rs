//! Stress by stochastic gradient descent (Zheng, Pawar and Goodman 2019): each step takes one pair of nodes, and moves both so that
//! their distance comes nearer to the wanted one.
//!
//! From a random start, the descent begins in five dimensions, where a node can go around others. The extra three are then squeezed
//! away. In two dimensions from the start, a network of 1,000 nodes on six continents stays folded: the rank correlation of pairs
//! without a link was 0.40 instead of 0.62 (with landmarks on top: 0.93).

use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

/// The dimensions at the start: two that remain, and three in which nodes go around each other. Each costs a tenth of the time.
const DIMS: usize = 5;
/// The order of the pairs is drawn anew each this many rounds, since shuffling costs as much as a few rounds' arithmetic. If it never were,
/// errors would follow the order.
const SAME_ORDER: usize = 4;
/// What the squeezing leaves of the extra dimensions before they are dropped. If it left a tenth, dropping them would tear links; less
/// would squeeze faster.
const REST: f32 = 0.02;
/// Two nodes that are nearer than this, relative to the median link, are on the same place: the direction between them is noise.
const SAME_PLACE: f32 = 1e-6;
/// The shortest link that gets more weight than a longer one, relative to the median. Without a bound, one link of 1 µs would govern the
/// step sizes of all others.
const SHORTEST: f32 = 0.05;
/// The longest link that gets less weight than a shorter one. Without a bound, a link of an hour would never be looked at.
const LONGEST: f32 = 20.0;

/// A pair of nodes, and how far apart they should be, relative to the median link.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    pub(super) a: u32,
    pub(super) b: u32,
    pub(super) wanted: f32,
    pub(super) weight: f32,
    /// 1, or 0: `a` stays where it is, and `b` moves.
    both: f32,
}

impl Term {
    /// Weights fall with the distance. If only relative errors counted (the square of it), the rank correlation of the continents'
    /// links would be 0.94 instead of 0.97; if only absolute ones did, near nodes would be anywhere.
    pub(super) fn new(a: u32, b: u32, wanted: f32) -> Self {
        let weight = wanted.clamp(SHORTEST, LONGEST).recip();
        Self {
            a,
            b,
            wanted,
            weight,
            both: 1.0,
        }
    }

    /// The same pair, of which only `b` moves.
    pub(super) fn moving_b(mut self) -> Self {
        self.both = 0.0;
        self
    }

    /// The same pair, of which only `a` moves.
    pub(super) fn moving_a(self) -> Self {
        Self {
            a: self.b,
            b: self.a,
            both: 0.0,
            ..self
        }
    }

    pub(super) fn times(mut self, factor: f32) -> Self {
        self.weight *= factor;
        self
    }
}

/// A node while it is placed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Body {
    at: [f32; DIMS],
    /// What its access line adds to each of its distances.
    pub(super) height: f32,
    /// The most that `height` may be.
    pub(super) highest: f32,
}

impl Body {
    pub(super) fn new(x: f32, y: f32) -> Self {
        let mut body = Self::default();
        body.at[..2].copy_from_slice(&[x, y]);
        body
    }

    pub(super) fn x(&self) -> f32 {
        self.at[0]
    }

    pub(super) fn y(&self) -> f32 {
        self.at[1]
    }

    pub(super) fn scale(&mut self, factor: f32) {
        self.at.iter_mut().for_each(|x| *x *= factor);
        self.height *= factor;
    }

    pub(super) fn move_to(&mut self, [x, y]: [f32; 2]) {
        self.at[..2].copy_from_slice(&[x, y]);
    }

    pub(super) fn distance(&self, other: &Self) -> f32 {
        let (x, y) = (self.x() - other.x(), self.y() - other.y());
        (x * x + y * y).sqrt()
    }

    /// Distance and heights.
    pub(super) fn predicted(&self, other: &Self) -> f32 {
        self.distance(other) + self.height + other.height
    }

    /// Goes to a random place in all dimensions.
    pub(super) fn scatter(&mut self, rng: &mut ChaCha8Rng, extent: f32) {
        for x in &mut self.at {
            *x = (rng.random::<f32>() - 0.5) * extent;
        }
    }
}

/// How far the nodes of a pair go towards the wanted distance, from the first round to the last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) rounds: usize,
    /// The share of the way that the pair with the least weight goes in the first round.
    pub(super) first: f32,
    /// The share that the pair with the most weight goes in the last round.
    pub(super) last: f32,
    /// The largest share that any pair goes in one step.
    pub(super) most: f32,
    /// The share of an error that is corrected by moving; the rest changes heights. 1: there are no heights.
    pub(super) moving: f32,
}

impl Schedule {
    /// The step size of each round.
    pub(super) fn sizes(self, terms: &[Term]) -> impl Iterator<Item = f32> + use<> {
        let weights = || terms.iter().map(|term| term.weight);
        let least = weights().fold(f32::MAX, f32::min).max(LONGEST.recip());
        let most = weights().fold(SHORTEST, f32::max);
        let (first, last) = (self.first / least, self.last / most);
        let last = last.min(first);
        let rounds = self.rounds.saturating_sub(1).max(1);
        let decay = (last / first).powf(1.0 / rounds as f32);
        let sizes = std::iter::successors(Some(first), move |size| Some(size * decay));
        sizes.take(self.rounds)
    }
}

/// Descends in two dimensions, from where the nodes are. The same input gives the same order: a layout that is fed with its own
/// result comes to rest.
pub(super) fn settle(
    bodies: &mut [Body],
    terms: &[Term],
    schedule: Schedule,
    rng: &mut ChaCha8Rng,
) {
    let mut terms = terms.to_vec();
    for (round, size) in schedule.sizes(&terms).enumerate() {
        if round % SAME_ORDER == 0 {
            terms.shuffle(rng);
        }
        for term in &terms {
            step::<2>(bodies, term, size, schedule);
        }
    }
}

/// Moves every node to where its pairs want it on average, all at once (stress majorisation, Gansner, Koren and North 2004). No order
/// matters, so small changes have small effects; but it does not get out of folds.
pub(super) fn majorise(bodies: &mut [Body], terms: &[Term], rounds: usize) {
    let mut sums = vec![[0.0_f32; 3]; bodies.len()];
    for _ in 0..rounds {
        for term in terms {
            let (a, b) = (&bodies[term.a as usize], &bodies[term.b as usize]);
            let distance = a.distance(b).max(SAME_PLACE);
            let error = (term.wanted - a.height - b.height - distance) / distance * term.weight;
            let (x, y) = ((a.x() - b.x()) * error, (a.y() - b.y()) * error);
            let (one, other) = (&mut sums[term.a as usize], term.both);
            *one = [
                one[0] + x * other,
                one[1] + y * other,
                one[2] + term.weight * other,
            ];
            let other = &mut sums[term.b as usize];
            *other = [other[0] - x, other[1] - y, other[2] + term.weight];
        }
        for (body, sum) in bodies.iter_mut().zip(&mut sums) {
            let [x, y, weight] = std::mem::take(sum);
            if weight > 0.0 {
                body.move_to([body.x() + x / weight, body.y() + y / weight]);
            }
        }
    }
}

/// Descends from anywhere: in five dimensions, in ever fewer, then in two. `guides` are pairs that count only at first.
pub(super) fn unfold(
    bodies: &mut [Body],
    terms: &[Term],
    guides: &[Term],
    schedule: Schedule,
    rng: &mut ChaCha8Rng,
) {
    // Guides are no measurements. If they stayed to the end, the rank correlation of pairs without a link would be 0.74 instead of
    // 0.95 at 100 nodes.
    let share = |tenths: usize| schedule.rounds * tenths / 10;
    let (guided, free, squeezed) = (share(2), share(4), share(8));
    let factor = REST.powf(1.0 / (squeezed - free).max(1) as f32);
    let mut now = [terms, guides].concat();
    for (round, size) in schedule.sizes(terms).enumerate() {
        if round == guided {
            now = terms.to_vec();
        }
        if round % SAME_ORDER == 0 {
            now.shuffle(rng);
        }
        if round == free {
            turn_to_main_axes(bodies);
        }
        if round >= squeezed {
            for term in &now {
                step::<2>(bodies, term, size, schedule);
            }
            continue;
        }
        for term in &now {
            step::<DIMS>(bodies, term, size, schedule);
        }
        if round >= free {
            let factor = if round + 1 == squeezed { 0.0 } else { factor };
            for body in &mut *bodies {
                body.at[2..].iter_mut().for_each(|x| *x *= factor);
            }
        }
    }
    for body in bodies {
        body.at[2..].fill(0.0);
    }
}

/// The weighted mean of the squared errors.
pub(super) fn stress(bodies: &[Body], terms: &[Term]) -> f32 {
    let (mut sum, mut weights) = (0.0_f64, 0.0_f64);
    for term in terms {
        let error = bodies[term.a as usize].predicted(&bodies[term.b as usize]) - term.wanted;
        sum += f64::from(error * error * term.weight);
        weights += f64::from(term.weight);
    }
    if weights > 0.0 {
        (sum / weights) as f32
    } else {
        0.0
    }
}

#[inline]
fn step<const D: usize>(bodies: &mut [Body], term: &Term, size: f32, schedule: Schedule) {
    let (a, b) = (term.a as usize, term.b as usize);
    let (one, other) = (bodies[a], bodies[b]);
    let mut way: [f32; D] = std::array::from_fn(|axis| one.at[axis] - other.at[axis]);
    let square: f32 = way.iter().map(|x| x * x).sum();
    let mut distance = square.sqrt();
    if distance < SAME_PLACE {
        way[0] = SAME_PLACE;
        distance = SAME_PLACE;
    }
    let error = distance + one.height + other.height - term.wanted;
    let half = error * (size * term.weight).min(schedule.most) / 2.0;
    let factor = half * schedule.moving / distance;
    for (x, way) in bodies[a].at.iter_mut().zip(way) {
        *x -= way * factor * term.both;
    }
    for (x, way) in bodies[b].at.iter_mut().zip(way) {
        *x += way * factor;
    }
    let lower = half * (1.0 - schedule.moving);
    bodies[a].height = (one.height - lower * term.both).clamp(0.0, one.highest);
    bodies[b].height = (other.height - lower).clamp(0.0, other.highest);
}

/// Moves the centre to the origin, and turns all so that the first two axes hold most of the extent: these two remain. Without it,
/// the squeezing keeps the two axes that the random start gave: 0.55 instead of 0.62 for pairs without a link at 1,000 nodes.
fn turn_to_main_axes(bodies: &mut [Body]) {
    let mut mean = [0.0; DIMS];
    for body in &*bodies {
        for (mean, x) in mean.iter_mut().zip(body.at) {
            *mean += x / bodies.len() as f32;
        }
    }
    let mut spread = [[0.0; DIMS]; DIMS];
    for body in &mut *bodies {
        for (x, mean) in body.at.iter_mut().zip(mean) {
            *x -= mean;
        }
        for (row, one) in spread.iter_mut().zip(body.at) {
            for (sum, other) in row.iter_mut().zip(body.at) {
                *sum += one * other;
            }
        }
    }
    let axes = main_axes(spread);
    for body in bodies {
        let at = body.at;
        body.at = axes.map(|axis| at.iter().zip(axis).map(|(x, part)| x * part).sum());
    }
}

/// The eigenvectors of a symmetric matrix, those of the largest eigenvalues first, by Jacobi's rotations.
fn main_axes(mut matrix: [[f32; DIMS]; DIMS]) -> [[f32; DIMS]; DIMS] {
    // In five dimensions, eight sweeps are enough for every bit of an f32.
    const SWEEPS: usize = 8;
    let unit = |axis| std::array::from_fn(|other| if other == axis { 1.0 } else { 0.0 });
    let mut axes: [[f32; DIMS]; DIMS] = std::array::from_fn(unit);
    for _ in 0..SWEEPS {
        for i in 0..DIMS {
            for j in i + 1..DIMS {
                if matrix[i][j].abs() <= f32::EPSILON * (matrix[i][i] + matrix[j][j]).abs() {
                    continue;
                }
                let theta = (matrix[j][j] - matrix[i][i]) / (2.0 * matrix[i][j]);
                let tan = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cos = (tan * tan + 1.0).sqrt().recip();
                let rotate = |(x, y): (f32, f32)| (cos * (x - tan * y), cos * (tan * x + y));
                for row in &mut matrix {
                    (row[i], row[j]) = rotate((row[i], row[j]));
                }
                for column in 0..DIMS {
                    (matrix[i][column], matrix[j][column]) =
                        rotate((matrix[i][column], matrix[j][column]));
                    (axes[i][column], axes[j][column]) = rotate((axes[i][column], axes[j][column]));
                }
            }
        }
    }
    let mut order: [usize; DIMS] = std::array::from_fn(|axis| axis);
    order.sort_by(|&i, &j| matrix[j][j].total_cmp(&matrix[i][i]));
    order.map(|axis| axes[axis])
}
