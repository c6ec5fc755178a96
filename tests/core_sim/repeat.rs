//! The same seed gives the same run, to the byte.

use crate::growth::{chain, profiles};
use crate::net::{ms, secs};

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
