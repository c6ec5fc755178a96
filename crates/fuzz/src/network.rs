//! Two or three cores in the simulator's world, under the faults that the input chooses. Once these end, all views become exact.
//!
//! The simulator's own `sim --fuzz` draws scenarios by chance and plays whole minutes; here coverage chooses, and runs are short.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use area_net::impair::Impairment;
use area_net::sim::lines::Ground;
use area_net::sim::world::{Told, World, default_settings};
use area_net::snapshot::NodeState;

/// The most faults of one input: with twice as many, an execution takes twice as long, and most of them follow after a rest anyway.
const MOST_FAULTS: usize = 12;
/// The most time that passes between two of them, in ms.
const SPANS_MS: [u64; 8] = [1, 20, 100, 300, 700, 1200, 2000, 3500];
/// Within this time after the last fault all views are exact. A node that was cut off from all others is dialed once in a few seconds; then
/// links form within one. Half: a dial that fails by chance fails the run. Double: a network that never heals is found after twice as long.
const EXACT_WITHIN: Duration = Duration::from_secs(60);

/// What a direction may be like.
static LINES: LazyLock<Vec<Arc<Impairment>>> = LazyLock::new(|| {
    let words = [
        "delay 1ms",
        "delay 40ms 30ms",
        "delay 200ms",
        "delay 5ms loss 30%",
        "delay 5ms loss 90%",
        "delay 20ms duplicate 50%",
        "delay 30ms reorder 50%",
        "delay 1200ms",
    ];
    words
        .map(|words| Arc::new(words.parse().expect("these are impairments")))
        .to_vec()
});

pub(crate) fn run(input: &[u8]) {
    let mut bytes = Unstructured::new(input);
    let mut world = match begin(&mut bytes) {
        Ok(world) => world,
        Err(_) => return,
    };
    for _ in 0..MOST_FAULTS {
        if bytes.is_empty() || fault(&mut world, &mut bytes).is_err() {
            break;
        }
    }
    settle(&mut world);
}

fn begin(bytes: &mut Unstructured<'_>) -> Result<World> {
    let (seed, kind): (u8, u8) = bytes.arbitrary()?;
    let mut world = World::new(seed.into());
    world.set_threads(1);
    // What a core sends is what the other one decodes.
    world.encoded = true;
    let count = 2 + usize::from(kind) % 2;
    for place in 0..count {
        let targets = match kind & 64 {
            0 => vec![place.saturating_sub(1)],
            _ => (0..count).filter(|other| *other != place).collect(),
        };
        world.add(place as u64, default_settings(place, &targets));
    }
    world.change_terrain(|terrain| terrain.default = Ground::Same(LINES[0].clone()));
    for place in 0..count {
        if kind & 128 == 0 || place == 0 {
            world.start(place);
        }
    }
    Ok(world)
}

fn fault(world: &mut World, bytes: &mut Unstructured<'_>) -> Result<()> {
    let (what, which): (u8, u8) = bytes.arbitrary()?;
    let count = world.nodes.len();
    let (place, other) = (usize::from(which) % count, usize::from(which >> 4) % count);
    let runs = world.is_running(place);
    match what % 16 {
        0..=4 => pass(
            world,
            Duration::from_millis(SPANS_MS[usize::from(which) & 7]),
        ),
        5 | 6 if !runs => world.start(place),
        7 if runs => world.kill(place),
        8 if runs && !world.nodes[place].is_leaving() => world.leave(place),
        9 if runs => {
            if world.nodes[place].is_paused() {
                world.resume(place);
            } else {
                world.pause(place);
            }
        }
        10..=12 => {
            let line = LINES[usize::from(what >> 4) % LINES.len()].clone();
            world.change_terrain(|terrain| drop(terrain.single.insert((place, other), line)));
        }
        13 => world.change_terrain(|terrain| {
            terrain.parts = (0..count)
                .map(|at| (at, u32::from(which >> at & 1)))
                .collect();
        }),
        14 => world.change_terrain(|terrain| {
            if !terrain.cut.remove(&(place, other)) {
                terrain.cut.insert((place, other));
            }
        }),
        _ => world.change_terrain(|terrain| {
            terrain.single.clear();
            terrain.cut.clear();
            terrain.parts.clear();
        }),
    }
    Ok(())
}

/// Lets the world go on, and checks what its nodes report.
fn pass(world: &mut World, span: Duration) {
    let until = world.now() + span;
    loop {
        let more = world.step(until);
        while let Some(news) = world.poll_news() {
            if let Told::Published(own, Some(before)) = news.what {
                assert!(before.version() < own.version(), "it signs an older record");
            }
        }
        if !more {
            return;
        }
    }
}

/// All faults end, all nodes run, and all views must become exact.
fn settle(world: &mut World) {
    world.change_terrain(|terrain| {
        terrain.single.clear();
        terrain.cut.clear();
        terrain.parts.clear();
    });
    for place in 0..world.nodes.len() {
        if world.nodes[place].is_paused() {
            world.resume(place);
        }
    }
    // Who is leaving ends within a moment, and comes back.
    pass(world, Duration::from_secs(2));
    for place in 0..world.nodes.len() {
        if !world.is_running(place) {
            world.start(place);
        }
    }
    let until = world.now() + EXACT_WITHIN;
    while let Err(why) = exact(world) {
        assert!(
            world.now() < until,
            "{EXACT_WITHIN:?} after the last fault, {why}"
        );
        pass(world, Duration::from_millis(500));
    }
}

/// Whether every node shows all nodes and a link between each two of them, and nothing is under way.
fn exact(world: &World) -> std::result::Result<(), String> {
    let all: BTreeSet<_> = world.nodes.iter().map(|node| node.id()).collect();
    let pairs = all.len() * (all.len() - 1) / 2;
    let mut digests = BTreeSet::new();
    for place in world.running() {
        let core = world.nodes[place].core().expect("it runs");
        if core.up_count() != all.len() {
            return Err(format!(
                "{place} shows {} of {} nodes",
                core.up_count(),
                all.len()
            ));
        }
        digests.insert(core.digest().0);
        if !core.is_flushed() {
            return Err(format!("{place} has something to send"));
        }
        let snapshot = core.snapshot(world.now());
        let up = snapshot
            .nodes
            .iter()
            .filter(|node| node.state == NodeState::Up);
        let up: BTreeSet<_> = up.map(|node| node.id).collect();
        if up != all || snapshot.links.len() != pairs {
            return Err(format!(
                "{place} shows {up:?}, and {} of {pairs} links",
                snapshot.links.len()
            ));
        }
    }
    let conns = world
        .connections()
        .filter(|conn| conn.dialer_has.is_some() || conn.under_way);
    let conns = conns.count();
    if digests.len() != 1 || conns != pairs {
        return Err(format!(
            "there are {} digests and {conns} connections",
            digests.len()
        ));
    }
    Ok(())
}
