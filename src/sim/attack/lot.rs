//! Attacks of random scenarios.

use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::Kind;

/// The attacks that random scenarios contain: all but `haunt`, which keeps dead neighbours in all views.
const WITHSTOOD: [Kind; 15] = [
    Kind::Sybil,
    Kind::Flood,
    Kind::Evict,
    Kind::Rounds,
    Kind::Suspect,
    Kind::Joins,
    Kind::Flap,
    Kind::Address,
    Kind::Observe,
    Kind::Figures,
    Kind::Epoch,
    Kind::Replay,
    Kind::Mute,
    Kind::Eclipse,
    Kind::Twoface,
];

/// One or two attacks, in a third of all cases. They are drawn by themselves, so that a seed's scenario is otherwise the same as without
/// them.
pub(in crate::sim) fn by_lot(seed: u64) -> Vec<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1);
    let count = if rng.random_bool(0.33) {
        rng.random_range(1..=2)
    } else {
        0
    };
    let mut one = || {
        let kind = *WITHSTOOD.choose(&mut rng).expect("there are some");
        let mut text = format!(
            "attack = \"{}\"\nnodes = {}\nfrom = \"{}ms\"\nrate = {}.0",
            kind.word(),
            rng.random_range(1..=2),
            rng.random_range(0..60_000),
            rng.random_range(1..=100),
        );
        if kind.usual_ids() > 0 {
            text.push_str(&format!("\nids = {}", rng.random_range(1..=200)));
        }
        if kind.has_victim() {
            // The first few nodes exist in smaller scenarios too.
            text.push_str(&format!("\nvictim = {}", rng.random_range(0..4)));
        }
        text
    };
    (0..count).map(|_| one()).collect()
}
