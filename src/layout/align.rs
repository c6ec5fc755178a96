//! Turns a layout so that it lies on the last one as well as it can (Procrustes): rotation, reflection, translation, and no scaling.

/// A reflection has to fit this much better than the best rotation. Nodes on a line fit both ways equally well.
const REFLECTION: f64 = 1.001;

/// A rigid motion in the plane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Motion {
    cos: f64,
    sin: f64,
    /// 1, or -1: mirrored before it is turned.
    mirror: f64,
    from: [f64; 2],
    to: [f64; 2],
}

impl Motion {
    /// The motion that brings the first points nearest to the second ones, by the sum of squares. `None` without any points.
    pub(super) fn onto(pairs: &[([f32; 2], [f32; 2])]) -> Option<Self> {
        let wide = |point: [f32; 2]| point.map(f64::from);
        let count = pairs.len() as f64;
        let (mut from, mut to) = ([0.0; 2], [0.0; 2]);
        for &(before, after) in pairs {
            for axis in 0..2 {
                from[axis] += wide(before)[axis] / count;
                to[axis] += wide(after)[axis] / count;
            }
        }
        // The sums of a rotation, and of a rotation after a reflection of y.
        let (mut plain, mut mirrored) = ([0.0; 2], [0.0; 2]);
        for &(before, after) in pairs {
            let [x, y] = [wide(before)[0] - from[0], wide(before)[1] - from[1]];
            let [u, v] = [wide(after)[0] - to[0], wide(after)[1] - to[1]];
            plain[0] += x * u + y * v;
            plain[1] += x * v - y * u;
            mirrored[0] += x * u - y * v;
            mirrored[1] += x * v + y * u;
        }
        let length = |[c, s]: [f64; 2]| c.hypot(s);
        let is_mirrored = length(mirrored) > length(plain) * REFLECTION;
        let best = if is_mirrored { mirrored } else { plain };
        let (cos, sin) = match length(best) {
            // All points on one place: nothing says how to turn.
            0.0 => (1.0, 0.0),
            length => (best[0] / length, best[1] / length),
        };
        let mirror = if is_mirrored { -1.0 } else { 1.0 };
        (!pairs.is_empty()).then_some(Self {
            cos,
            sin,
            mirror,
            from,
            to,
        })
    }

    pub(super) fn apply(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let (x, y) = (
            f64::from(x) - self.from[0],
            self.mirror * (f64::from(y) - self.from[1]),
        );
        let turned = [self.cos * x - self.sin * y, self.sin * x + self.cos * y];
        [
            (turned[0] + self.to[0]) as f32,
            (turned[1] + self.to[1]) as f32,
        ]
    }
}
