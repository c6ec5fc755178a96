//! The history of a node's view, while others die and come back.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;
use std::sync::Arc;
use std::time::Duration;

use area_net::chronicle::{Chronicle, Limit, Span};
use area_net::export::json;
use area_net::snapshot::Snapshot;
use rand::RngExt as _;

use crate::growth::chain;
use crate::net::{ms, secs};

/// What `network.json` says of a view, as a fingerprint.
fn said(snapshot: &Snapshot) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&json::network(snapshot));
    hasher.finish()
}

/// Lets a network live for so long, in which every five seconds a node dies or comes back, and records node 0's view as often as a
/// node writes its files. Then asks for each view of the past.
fn churn(seed: u64, nodes: usize, lasts: Duration, limit: Limit) -> Span {
    let mut net = chain(seed, nodes);
    net.strict = false;
    net.start_all();
    let mut chronicle = Chronicle::new(limit);
    let mut views: BTreeMap<i64, u64> = BTreeMap::new();
    let mut due = secs(5);
    while net.now() < lasts {
        net.run(ms(500));
        if net.now() >= due {
            due += secs(5);
            let place = net.rng.random_range(1..nodes);
            if net.is_running(place) {
                net.kill(place);
            } else {
                net.start(place);
            }
        }
        let snapshot = Arc::new(net.snapshot(0));
        chronicle.record(&snapshot);
        views.insert(snapshot.at_ms, said(&snapshot));
        assert!(chronicle.span().unwrap().bytes <= limit.bytes + limit.bytes / 4);
    }
    let span = chronicle.span().unwrap();
    for (at_ms, said_then) in views.range(span.from_ms..) {
        let (picture, _) = chronicle.at(*at_ms).unwrap();
        assert_eq!(
            said(&picture.snapshot().unwrap()),
            *said_then,
            "at {at_ms} ms"
        );
    }
    span
}

#[test]
fn any_view_of_the_past_is_what_the_file_said_then() {
    let limit = Limit {
        bytes: 200_000,
        age: secs(3600),
    };
    let span = churn(1, 25, secs(300), limit);
    assert!(span.from_ms > 0, "the bound of bytes was reached: {span:?}");
    let limit = Limit {
        bytes: 8 << 20,
        age: secs(60),
    };
    let span = churn(2, 12, secs(200), limit);
    assert!(span.from_ms > 0, "the bound of age was reached: {span:?}");
}

/// A measurement: what an hour of churn among a hundred nodes takes. It runs for minutes.
#[test]
#[ignore = "a measurement of some minutes, for a release build"]
#[expect(clippy::print_stderr, reason = "the result of a measurement")]
fn an_hour_of_a_hundred() {
    let limit = Limit {
        bytes: 8 << 20,
        age: secs(86_400),
    };
    let span = churn(1, 100, secs(3600), limit);
    eprintln!("{span:?}");
}
