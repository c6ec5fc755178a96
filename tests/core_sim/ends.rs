//! What the two ends of a link tell of it.

use area_net::claims::Claims;
use rand::RngExt as _;

use crate::growth::chain;
use crate::net::{Path, ms, secs, with_seeds};

#[test]
fn both_ends_tell_what_they_measure_and_agree() {
    with_seeds(0..3, |seed| {
        let mut net = chain(seed, 6);
        for a in 0..6 {
            for b in 0..a {
                let delay = ms(net.rng.random_range(1..100));
                let path = Path {
                    delay,
                    jitter: delay / 10,
                    loss: 0.0,
                };
                net.paths.insert((a, b), path);
                net.paths.insert((b, a), path);
            }
        }
        net.start_all();
        net.settle(secs(20));
        let mut claims = Claims::default();
        for _ in 0..150 {
            net.run(secs(2));
            let view = claims.mark(net.snapshot(0));
            let disputed = view.links.iter().find(|link| link.disputed_ms.is_some());
            assert_eq!(disputed, None);
        }
        let view = net.snapshot(0);
        assert_eq!(view.links.len(), 15);
        let (mut listened, mut third) = (0, 0);
        for link in &view.links {
            let [dialer, listener] = link.ends(view.me).map(|end| end.expect("both ends told"));
            let apart = dialer.rtt_us.abs_diff(listener.rtt_us);
            assert!(apart < 5000 || apart < dialer.rtt_us / 2, "{link:?}");
            if link.is_measured_by_listener(view.me) {
                listened += 1;
                // What this node measures itself is of the last probe.
                assert!(view.at_ms - listener.rtt_at_ms < 10_000, "{link:?}");
            } else if link.dialer != view.me {
                third += 1;
            }
        }
        assert!(listened > 0 && third == 10, "{listened} {third}");
    });
}
