//! The same seed gives the same run, to the byte.

use std::time::Duration;

use crate::growth::{chain, profiles};
use crate::net::{Path, ms, secs};

fn trace(seed: u64) -> u64 {
    let mut net = profiles(seed);
    let trace = net.trace();
    net.path.loss = 0.1;
    net.strict = false;
    net.start_all();
    net.run(secs(10));
    net.kill(2);
    net.run(secs(8));
    net.start(2);
    net.pause(1);
    net.run(ms(2000));
    net.resume(1);
    net.run(secs(10));
    net.leave(0);
    net.run(secs(10));
    trace.get()
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..3 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
    assert_ne!(trace(1), trace(2));
}

#[test]
fn a_larger_run_repeats_as_well() {
    let run = || {
        let mut net = chain(5, 18);
        let trace = net.trace();
        net.start_all();
        net.run(secs(6));
        (
            trace.get(),
            net.nodes
                .iter()
                .map(|node| node.traffic.actions)
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(run(), run());
}

/// Sixty nodes on long paths, so that many of them act within one window, with every kind of fault.
fn troubled(threads: usize, spell: Duration) -> (u64, u64, u64) {
    let mut net = chain(3, 60);
    net.set_threads(threads);
    let trace = net.trace();
    net.path = Path {
        delay: ms(10),
        jitter: ms(30),
        loss: 0.05,
    };
    net.strict = false;
    net.bound = secs(100);
    let run = |net: &mut crate::net::Net, span: Duration| {
        let until = net.now() + span;
        while net.now() < until {
            net.run(spell.min(until - net.now()));
        }
    };
    net.start_all();
    run(&mut net, secs(4));
    for place in [7, 8, 30] {
        net.kill(place);
    }
    net.pause(20);
    run(&mut net, ms(1500));
    net.leave(40);
    for place in 0..25 {
        net.groups.insert(place, 1);
    }
    run(&mut net, secs(3));
    net.start(8);
    net.resume(20);
    net.groups.clear();
    // A path shorter than all others makes the windows shorter.
    let short = Path {
        delay: Duration::from_micros(200),
        ..net.path
    };
    net.paths.insert((50, 51), short);
    run(&mut net, secs(2));
    let bytes = net.nodes.iter().map(|node| node.traffic.bytes).sum();
    (trace.get(), net.steps(), bytes)
}

#[test]
fn a_run_is_the_same_on_any_number_of_threads_and_in_any_steps() {
    let one = troubled(1, secs(100));
    for threads in [2, 4] {
        assert_eq!(troubled(threads, secs(100)), one, "{threads} threads");
    }
    for spell in [ms(7), ms(333)] {
        assert_eq!(troubled(3, spell), one, "{spell:?} at a time");
    }
}
