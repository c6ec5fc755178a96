//! Draws the network so that linked nodes are near each other.

use std::fmt::Write as _;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::Graph;

/// The most nodes that are drawn: a picture of more shows nothing.
pub(super) const MOST: usize = 500;
/// The side of the picture, in units of its view box.
const SIDE: f64 = 760.0;
const ROUNDS: usize = 240;

/// Draws the graph; `None` if it is too large or empty.
pub(super) fn draw(graph: &Graph) -> Option<String> {
    let count = graph.up.len();
    if count == 0 || count > MOST {
        return None;
    }
    let index = |place: usize| graph.up.binary_search(&place).ok();
    let links: Vec<(usize, usize, u32)> = graph
        .links
        .iter()
        .filter_map(|(a, b, rtt)| Some((index(*a)?, index(*b)?, *rtt)))
        .collect();
    let at = lay_out(count, &links);
    let mut degree = vec![0_u32; count];
    let mut rtts: Vec<u32> = links.iter().map(|(_, _, rtt)| *rtt).collect();
    rtts.sort_unstable();
    let mut svg = format!(
        "<svg viewBox=\"0 0 {SIDE} {SIDE}\" role=\"img\" aria-label=\"The network at the end\">\n<g class=\"links\">\n"
    );
    for (a, b, rtt) in &links {
        degree[*a] += 1;
        degree[*b] += 1;
        // The third with the shortest round-trip times, the middle one, and the longest.
        let rank = rtts.partition_point(|other| other < rtt) * 3 / rtts.len().max(1);
        let ((x1, y1), (x2, y2)) = (at[*a], at[*b]);
        writeln!(
            svg,
            "<line class=\"rtt{rank}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        )
        .expect("a String takes every write");
    }
    svg.push_str("</g>\n<g class=\"nodes\">\n");
    let size = if count > 150 { 2.4 } else { 4.0 };
    for (node, (x, y)) in at.iter().enumerate() {
        let radius = size + f64::from(degree[node]).sqrt() * 0.7;
        writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"><title>node {}: {} links</title></circle>",
            graph.up[node], degree[node]
        )
        .expect("a String takes every write");
    }
    svg.push_str("</g>\n</svg>\n");
    Some(svg)
}

/// The forces of Fruchterman and Reingold: all nodes repel each other, links attract, and the moves become smaller with each round.
fn lay_out(count: usize, links: &[(usize, usize, u32)]) -> Vec<(f64, f64)> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut at: Vec<(f64, f64)> = (0..count)
        .map(|_| (rng.random::<f64>() - 0.5, rng.random::<f64>() - 0.5))
        .collect();
    let ideal = (1.0 / count as f64).sqrt();
    let mean = links.iter().map(|link| f64::from(link.2)).sum::<f64>() / links.len().max(1) as f64;
    for round in 0..ROUNDS {
        let mut push = vec![(0.0, 0.0); count];
        for a in 0..count {
            for b in a + 1..count {
                let (dx, dy) = (at[a].0 - at[b].0, at[a].1 - at[b].1);
                let force = ideal * ideal / (dx * dx + dy * dy).max(1e-9);
                push[a].0 += dx * force;
                push[a].1 += dy * force;
                push[b].0 -= dx * force;
                push[b].1 -= dy * force;
            }
        }
        for (a, b, rtt) in links {
            let (dx, dy) = (at[*a].0 - at[*b].0, at[*a].1 - at[*b].1);
            // Short links attract more, so that regions become visible.
            let weight = (mean / f64::from(*rtt).max(mean * 0.1)).min(5.0);
            let force = weight * dx.hypot(dy) / ideal * 0.12;
            push[*a].0 -= dx * force;
            push[*a].1 -= dy * force;
            push[*b].0 += dx * force;
            push[*b].1 += dy * force;
        }
        let most = 0.1 * (1.0 - round as f64 / ROUNDS as f64) + 0.001;
        for (at, push) in at.iter_mut().zip(&push) {
            // A pull to the centre keeps unlinked parts in the picture.
            let (dx, dy) = (push.0 - at.0 * 0.08, push.1 - at.1 * 0.08);
            let length = dx.hypot(dy).max(1e-12);
            let step = length.min(most) / length;
            at.0 += dx * step;
            at.1 += dy * step;
        }
    }
    fit(&mut at);
    at
}

fn fit(at: &mut [(f64, f64)]) {
    const MARGIN: f64 = 16.0;
    let range = |get: fn(&(f64, f64)) -> f64, at: &[(f64, f64)]| {
        let low = at.iter().map(get).fold(f64::INFINITY, f64::min);
        let high = at.iter().map(get).fold(f64::NEG_INFINITY, f64::max);
        (low, high)
    };
    let ((left, right), (top, bottom)) = (range(|at| at.0, at), range(|at| at.1, at));
    let scale = (SIDE - 2.0 * MARGIN) / (right - left).max(bottom - top).max(1e-9);
    for (x, y) in at {
        *x = SIDE / 2.0 + (*x - f64::midpoint(left, right)) * scale;
        *y = SIDE / 2.0 + (*y - f64::midpoint(top, bottom)) * scale;
    }
}
