//! Settles a world: who is where, who is told of whom, and whose clock is wrong by how much.

use std::sync::Arc;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::scenario::{Introduction, Scenario};
use super::world::{World, settings_of};

/// How many honest nodes a Byzantine node is told of.
const TOLD: usize = 2;
/// The stream of the random generator that Byzantine nodes are settled with; world and steps have others.
const STREAM: u64 = u64::MAX;

/// Adds a node with its targets at every place.
pub(super) fn people(scenario: &Scenario, world: &mut World, rng: &mut ChaCha8Rng) {
    let skew = u64::try_from(scenario.clocks.as_millis()).expect("it was read as a time of a run");
    for place in 0..scenario.nodes {
        let targets = match &scenario.introduction {
            Introduction::Chain => place.checked_sub(1).into_iter().collect(),
            Introduction::Star if place > 0 => vec![0],
            Introduction::Star => Vec::new(),
            Introduction::Random(count) => {
                let mut before: Vec<usize> = Vec::new();
                for _ in 0..(*count).min(place) {
                    let target = rng.random_range(0..place);
                    if !before.contains(&target) {
                        before.push(target);
                    }
                }
                before
            }
            Introduction::Targets(all) => all[place].clone(),
        };
        let key = scenario
            .seed
            .wrapping_mul(1 << 20)
            .wrapping_add(place as u64);
        world.add(key, settings_of(&scenario.settings, place, &targets));
        world.nodes[place].start.tuning = scenario.tuning.clone();
        let clock = &mut world.nodes[place].clock_ms;
        *clock = *clock - skew.min(*clock) + rng.random_range(0..=2 * skew);
    }
    add_byzantine(scenario, world);
}

/// Adds the Byzantine nodes. They are told of honest nodes, and no honest node is told of them. They have random numbers of their own, so the honest
/// ones are the same as without them.
fn add_byzantine(scenario: &Scenario, world: &mut World) {
    let mut rng = ChaCha8Rng::seed_from_u64(scenario.seed);
    rng.set_stream(STREAM);
    for plan in &scenario.byzantine {
        let shared = Arc::new(plan.clone());
        for _ in 0..plan.nodes {
            let place = world.nodes.len();
            let mut targets: Vec<usize> = if plan.kind.has_victim() {
                vec![plan.victim]
            } else {
                Vec::new()
            };
            while targets.len() < TOLD.min(scenario.nodes) {
                let target = rng.random_range(0..scenario.nodes);
                if !targets.contains(&target) {
                    targets.push(target);
                }
            }
            let key = scenario.seed.wrapping_mul(1 << 20);
            let key = key.wrapping_add(place as u64);
            world.add(key, settings_of(&scenario.settings, place, &targets));
            world.nodes[place].start.tuning = scenario.tuning.clone();
            world.attack_with(place, shared.clone());
        }
    }
}
