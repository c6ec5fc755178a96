//! Keeps nodes apart, so that each can be seen and has room for its label.

/// How often overlaps are looked for. It ends when there are none.
const ROUNDS: usize = 60;

/// Pushes nodes apart that are nearer to each other than `apart`.
pub(super) fn push(places: &mut [[f32; 2]], apart: f32) {
    let mut cells: Vec<(i32, i32, u32)> = Vec::with_capacity(places.len());
    for _ in 0..ROUNDS {
        cells.clear();
        let cell = |x: f32| (x / apart).floor() as i32;
        cells.extend(
            (0..)
                .zip(&*places)
                .map(|(node, [x, y])| (cell(*y), cell(*x), node)),
        );
        cells.sort_unstable();
        let (mut moved, mut first_below) = (false, 0);
        for at in 0..cells.len() {
            let (row, column, node) = cells[at];
            // Its own cell and the one to the right, then three in the next row.
            let beside = cells[at + 1..]
                .iter()
                .take_while(|other| (other.0, other.1) <= (row, column + 1));
            // Cells are in order, so the first one of these only moves on.
            let is_before = |other: &(i32, i32, u32)| (other.0, other.1) < (row + 1, column - 1);
            first_below += cells[first_below..]
                .iter()
                .take_while(|other| is_before(other))
                .count();
            let below = cells[first_below..].iter();
            let below = below.take_while(|other| (other.0, other.1) <= (row + 1, column + 1));
            for &(_, _, other) in beside.chain(below) {
                moved |= part(places, node as usize, other as usize, apart);
            }
        }
        if !moved {
            break;
        }
    }
}

/// Parts two nodes if they are too near. Nodes that touch are not too near: otherwise the rounds never end.
fn part(places: &mut [[f32; 2]], one: usize, other: usize, apart: f32) -> bool {
    const TOUCH: f32 = 0.999;
    let [x, y] = [
        places[one][0] - places[other][0],
        places[one][1] - places[other][1],
    ];
    let distance = x.hypot(y);
    if distance >= apart * TOUCH {
        return false;
    }
    // Nodes on one place part in a direction that depends on their numbers.
    let (x, y) = if distance > apart * 1e-3 {
        (x / distance, y / distance)
    } else {
        ((one as f32).sin(), (one as f32).cos())
    };
    let by = (apart - distance) / 2.0;
    places[one] = [places[one][0] + x * by, places[one][1] + y * by];
    places[other] = [places[other][0] - x * by, places[other][1] - y * by];
    true
}
