//! Benchmarks of the maps: the first map of a network, and an update of it, for three sizes.
//!
//! Run `cargo bench --bench layout`.

use std::collections::BTreeSet;
use std::hint::black_box;

use area_net::layout::{Input, Kind, Layout};
use area_net::wire::NodeId;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const SIZES: [usize; 3] = [100, 1000, 10_000];
/// Round-trip times between the continents of `config/sim/continents.csv`, in ms.
const CONTINENTS: [[u32; 6]; 6] = [
    [36, 124, 92, 184, 170, 164],
    [124, 40, 196, 280, 290, 270],
    [92, 196, 20, 110, 176, 276],
    [184, 280, 110, 56, 196, 300],
    [170, 290, 176, 196, 60, 124],
    [164, 270, 276, 300, 124, 24],
];

/// Nodes on six continents, with about eight links each: on a ring, random ones, and near ones.
fn network(nodes: usize) -> Input {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let continent = |node: usize| node * CONTINENTS.len() / nodes;
    let rtt_ms = |a: usize, b: usize| CONTINENTS[continent(a)][continent(b)];
    let mut pairs = BTreeSet::new();
    for node in 0..nodes {
        let mut seen: Vec<usize> = (0..40).map(|_| rng.random_range(0..nodes)).collect();
        seen[2..].sort_by_key(|&other| rtt_ms(node, other));
        for &other in seen[..4].iter().filter(|&&other| other != node) {
            pairs.insert((node.min(other), node.max(other)));
        }
    }
    let links = pairs.into_iter().map(|(a, b)| {
        let jitter = rng.random_range(950..1050);
        (a, b, Some(rtt_ms(a, b) * jitter))
    });
    Input {
        links: links.collect(),
        nodes: (0..nodes).map(|_| NodeId(rng.random())).collect(),
    }
}

/// The next input: other measurements, or without one link. A structure map knows no measurements.
fn next(input: &Input, kind: Kind) -> Input {
    let mut next = input.clone();
    match kind {
        Kind::Latency => {
            let links = next.links.iter_mut().enumerate();
            links.for_each(|(number, link)| {
                link.2 = link
                    .2
                    .map(|rtt_us| rtt_us + rtt_us * (number as u32 % 7) / 100);
            });
        }
        Kind::Structure => drop(next.links.pop()),
    }
    next
}

fn maps(c: &mut Criterion) {
    let mut group = c.benchmark_group("map");
    group.sample_size(10);
    for nodes in SIZES {
        let input = network(nodes);
        for (kind, name) in [(Kind::Latency, "latency"), (Kind::Structure, "structure")] {
            let first = BenchmarkId::new(format!("{name}, first"), nodes);
            group.bench_function(first, |b| {
                b.iter(|| Layout::new(kind, 1).update(black_box(&input)));
            });
            let mut layout = Layout::new(kind, 1);
            layout.update(&input);
            let mut turn = [next(&input, kind), input.clone()].into_iter().cycle();
            group.bench_function(BenchmarkId::new(format!("{name}, update"), nodes), |b| {
                b.iter_batched(
                    || turn.next().expect("a cycle has no end"),
                    |input| layout.update(&input),
                    BatchSize::LargeInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, maps);
criterion_main!(benches);
