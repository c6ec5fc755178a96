//! Puts the connected parts of a layout beside each other: the largest stays, and the others go around it.

use std::f32::consts::TAU;

/// The centres of circles with these radii, such that no two overlap. The first one stays at the origin, and the others are put on
/// rings around it, in their order.
pub(super) fn rings(radii: &[f32], gap: f32) -> Vec<[f32; 2]> {
    let mut centres = Vec::with_capacity(radii.len());
    let Some((&first, mut rest)) = radii.split_first() else {
        return centres;
    };
    centres.push([0.0; 2]);
    let mut inner = first;
    while let Some(largest) = rest.iter().copied().reduce(f32::max) {
        let ring = inner + gap + largest;
        // The angle that each one takes, seen from the centre.
        let angle = |radius: f32| 2.0 * ((radius + gap / 2.0) / ring).min(1.0).asin();
        let mut taken = 0.0;
        let fit = rest.iter().take_while(|&&radius| {
            taken += angle(radius);
            taken <= TAU
        });
        let count = fit.count().max(1);
        let (now, later) = rest.split_at(count);
        let taken: f32 = now.iter().map(|&radius| angle(radius)).sum();
        // What is left of the circle is shared out, so that a few parts don't huddle on one side.
        let more = (TAU - taken).max(0.0) / count as f32;
        let mut at = 0.0;
        for &radius in now {
            let half = (angle(radius) + more) / 2.0;
            at += half;
            let (sin, cos) = at.sin_cos();
            centres.push([ring * cos, ring * sin]);
            at += half;
        }
        inner = ring + largest;
        rest = later;
    }
    centres
}
