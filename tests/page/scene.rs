//! Networks to show, and pages that show them.

use serde_json::{Value, json};

use crate::driver::Browser;
use crate::server::{ORIGIN, Server};

/// The id of node number `n`. The ids differ at their beginning, by which events name nodes.
pub(crate) fn id(n: usize) -> String {
    format!("{n:04x}{:060x}", 7)
}

pub(crate) fn header() -> Value {
    json!({"format": "area-net-recording", "version": 1, "program": "area-net 0.1.0", "network": "demo", "node": id(0), "label": "bob"})
}

pub(crate) fn node(n: usize, label: &str) -> Value {
    json!({"n": n, "id": id(n), "label": label, "addresses": [format!("[::1]:{}", 8080 + n)], "state": "up", "since": 500})
}

pub(crate) fn link(l: usize, dialer: usize, listener: usize, rtt_us: u32) -> Value {
    json!({"l": l, "dialer": dialer, "listener": listener, "since": 600, "rtt_us": rtt_us, "measured": 900, "stale": false, "loss": 0, "suspect": false})
}

pub(crate) fn keyframe(at: u64, nodes: &[Value], links: &[Value]) -> Value {
    json!({"at": at, "origin": ORIGIN, "view": {"me": 0, "cut_off": false, "impaired": null, "nodes": nodes, "links": links, "rejected": {}}})
}

/// The five of the shipped profiles: erin is reached over carol alone.
pub(crate) fn five() -> (Vec<Value>, Vec<Value>) {
    let labels = ["bob", "alice", "carol", "dave", "erin"];
    let nodes = labels
        .iter()
        .enumerate()
        .map(|(n, label)| node(n, label))
        .collect();
    let links = vec![
        link(0, 0, 1, 310),
        link(1, 0, 2, 120),
        link(2, 2, 4, 95),
        link(3, 3, 1, 88),
        link(4, 2, 1, 60),
    ];
    (nodes, links)
}

/// A page that shows the five, live.
pub(crate) fn live_five(test: &str) -> Option<(Browser, Server)> {
    let browser = Browser::start(test, 1280, 800)?;
    let (nodes, links) = five();
    let server = Server::start(&[header(), keyframe(1_000, &nodes, &links)]);
    browser.open(&server.address());
    browser.wait("page.network?.nodes.size === 5 && page.map.costs.length > 0");
    Some((browser, server))
}

/// A network of `count` nodes in a ring with four links a node, for pictures of a large one.
pub(crate) fn large(count: usize) -> (Vec<Value>, Vec<Value>) {
    let nodes = (0..count).map(|n| node(n, &format!("node-{n}"))).collect();
    let mut links = Vec::new();
    for n in 0..count {
        for step in [1, 2, 7, 31] {
            let rtt_us = u32::try_from(n * 7919 % 190_000).unwrap() + 800;
            links.push(link(
                links.len(),
                n,
                (n + step * (1 + n % 5)) % count,
                rtt_us,
            ));
        }
    }
    (nodes, links)
}
