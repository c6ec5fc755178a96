//! Which node is killed, stopped or frozen next, and for how long.

use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// Never more than this share of the nodes is down at once, so that the others are a network.
const DOWN_SHARE: usize = 3;

/// Besides the first two, every node at a multiple of this place is never restarted.
const ELDERS: usize = 10;

/// The bounds in ms of the time between two deeds, of a node's absence, and of a freeze. The detector gives a link up after one to ten
/// seconds, so some absences are noticed and some are not. Some are long: a view that goes on showing the dead is found only while they
/// stay away, for longer than any view may be false.
const GAP_MS: (u64, u64) = (2_000, 6_000);
const AWAY_MS: (u64, u64) = (300, 15_000);
const LONG_AWAY_MS: (u64, u64) = (30_000, 60_000);
const FROZEN_MS: (u64, u64) = (500, 10_000);

/// Delays in ms and losses in percent of what a node sends; each start draws one of each. A loss of 5 % each way loses a tenth of the
/// probes, under which no node may be shown as down.
const DELAYS: [u32; 4] = [1, 3, 10, 30];
const LOSSES: [&str; 4] = ["0.5%", "1%", "2%", "5%"];

/// What is done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// SIGKILL; it starts again after that time.
    Kill(Duration),
    /// SIGTERM; it starts again after that time.
    Stop(Duration),
    /// SIGSTOP; SIGCONT after that time.
    Freeze(Duration),
}

/// The places of the nodes that are never restarted: the first one, which is the victim of all attacks, and others that are not.
pub(crate) fn elders(nodes: usize) -> Vec<usize> {
    (0..nodes)
        .filter(|place| *place < 2 || place.is_multiple_of(ELDERS))
        .collect()
}

/// How many nodes may be down at once.
pub(crate) fn most_down(nodes: usize) -> usize {
    nodes / DOWN_SHARE
}

/// Draws the time until the next deed.
pub(crate) fn gap(random: &mut ChaCha8Rng) -> Duration {
    draw(random, GAP_MS)
}

/// Draws a deed.
pub(crate) fn deed(random: &mut ChaCha8Rng) -> Deed {
    match random.random_range(0..20) {
        0..6 => Deed::Kill(draw(random, AWAY_MS)),
        6..8 => Deed::Kill(draw(random, LONG_AWAY_MS)),
        // A restart: it is back before anybody has given it up.
        8..11 => Deed::Kill(Duration::ZERO),
        11..16 => Deed::Stop(draw(random, AWAY_MS)),
        _ => Deed::Freeze(draw(random, FROZEN_MS)),
    }
}

/// Draws the impairment of a node until its next start, in the words of `network.controller.impair`.
pub(crate) fn impairment(random: &mut ChaCha8Rng) -> String {
    let delay = DELAYS[random.random_range(0..DELAYS.len())];
    let loss = LOSSES[random.random_range(0..LOSSES.len())];
    format!("delay {delay}ms {}us loss {loss}", delay * 300)
}

fn draw(random: &mut ChaCha8Rng, bounds: (u64, u64)) -> Duration {
    Duration::from_millis(random.random_range(bounds.0..bounds.1))
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn there_are_elders_and_enough_others() {
        assert_eq!(elders(5), [0, 1]);
        assert_eq!(elders(50), [0, 1, 10, 20, 30, 40]);
        assert_eq!(most_down(5), 1);
        assert_eq!(most_down(50), 16);
    }

    #[test]
    fn impairments_are_in_words_that_a_node_reads() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..32 {
            let words = impairment(&mut random);
            let read: Result<area_net::impair::Rules, _> = words.parse();
            assert!(read.is_ok(), "{words}");
        }
    }
}
