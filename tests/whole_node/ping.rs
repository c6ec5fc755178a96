//! Paths that are measured now: the graph is a chain, since all other pairs don't reach each other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use area_net::answers::{self, Ping};

use crate::network::{NAMES, Network};

/// The one-way delay of each link of the chain of [`NAMES`], in ms.
const DELAYS: [u64; 4] = [3, 7, 11, 2];

/// What programs may add to the time of each link: virtual time passes in timers only.
const TOLERANCE_US: u64 = 1_500;

impl Network {
    /// Has a node ping another one along the path of its graph. The answer is the API's.
    fn ping(&mut self, from: &'static str, to: &'static str) -> Ping {
        let snapshot = self.snapshot(from);
        let id = self.id(to);
        let to = snapshot.nodes.iter().position(|node| node.id == id);
        let to = to.expect("it knows the node");
        let path = answers::ping_path(&snapshot, to);
        let reader = self.reader(from);
        let asked = async move { reader.ping(path).await };
        let pinged = self.ask(from, Duration::from_secs(4), asked);
        let totals_us = pinged.expect("the node runs");
        answers::ping(&snapshot, to, &totals_us.expect("it is sent"))
    }

    /// Starts the five as a chain, in which only neighbours reach each other.
    fn start_chain(&mut self) {
        for (at, name) in NAMES.into_iter().enumerate() {
            for (other_at, other) in NAMES.into_iter().enumerate() {
                if at.abs_diff(other_at) > 1 {
                    self.cut_direction(name, other);
                }
            }
        }
        for (pair, delay_ms) in NAMES.windows(2).zip(DELAYS) {
            self.impair_pair(pair[0], pair[1], &format!("delay {delay_ms}ms"));
        }
        for (at, name) in NAMES.into_iter().enumerate() {
            let before = at.checked_sub(1).map(|before| NAMES[before]);
            self.start_with_targets(name, before.as_slice());
        }
        self.until(20_000, "all show the chain", |network| {
            let views = network.views();
            views
                .iter()
                .all(|view| view.up().len() == NAMES.len() && view.links.len() == DELAYS.len())
        });
    }
}

fn near(us: Option<u64>, ms: u64) {
    let us = us.expect("it is measured");
    let least = ms * 1000;
    assert!(
        (least..=least + TOLERANCE_US).contains(&us),
        "{us} µs, not {ms} ms"
    );
}

#[test]
fn the_time_over_a_chain_is_the_sum_of_its_links_and_each_is_measured_now() {
    let mut network = Network::new(301);
    network.start_chain();
    let answer = network.ping("alice", "erin");
    let labels: Vec<&str> = answer.hops.iter().map(|hop| &*hop.label).collect();
    assert_eq!(labels, NAMES[1..]);
    assert_eq!((answer.answered, answer.asked), (true, 4));
    near(answer.rtt_us, 2 * DELAYS.iter().sum::<u64>());
    let mut total = 0;
    for (hop, delay) in answer.hops.iter().zip(DELAYS) {
        total += 2 * delay;
        assert!(hop.now, "{hop:?}");
        near(hop.total_us.map(u64::from), total);
        let link_us = u64::from(hop.rtt_us.expect("it is measured"));
        assert!(link_us.abs_diff(2000 * delay) <= TOLERANCE_US, "{hop:?}");
    }
    // The other way around it takes as long.
    near(network.ping("erin", "alice").rtt_us, 46);
    let carol = network.snapshot("carol");
    let mut refused = carol.rejected.0.iter();
    assert!(refused.all(|(what, _)| what != "echo_refused"));
}

#[test]
fn of_a_path_that_is_broken_the_last_node_that_answers_is_known() {
    let mut network = Network::new(302);
    network.start_chain();
    let before = network.now();
    // Erin hears nothing any more. Nobody knows that yet.
    network.cut_direction("dave", "erin");
    let answer = network.ping("alice", "erin");
    assert!(answer.reachable && !answer.answered);
    assert_eq!(answer.rtt_us, None);
    let answered: Vec<bool> = answer
        .hops
        .iter()
        .map(|hop| hop.total_us.is_some())
        .collect();
    assert_eq!(answered, [true, true, true, false]);
    let last = &answer.hops[3];
    assert!(!last.now && last.rtt_us.is_some(), "it is told: {last:?}");
    let waited = network.now() - before;
    assert!((3000..3100).contains(&waited.as_millis()), "{waited:?}");
}

#[test]
fn an_echo_takes_the_fastest_path_of_the_graph_and_no_direct_link_that_is_slower() {
    let mut network = Network::new(303);
    network.impair_pair("alice", "carol", "delay 60ms");
    network.start_with_targets("alice", &[]);
    network.start_with_targets("bob", &["alice"]);
    network.start_with_targets("carol", &["alice", "bob"]);
    network.until_exact(10_000);
    // The times are in the records by then.
    network.pass(20_000);
    let answer = network.ping("alice", "carol");
    let labels: Vec<&str> = answer.hops.iter().map(|hop| &*hop.label).collect();
    assert_eq!(labels, ["bob", "carol"]);
    near(answer.rtt_us, 8);
}

#[test]
fn pings_of_one_path_at_once_share_its_echoes() {
    let mut network = Network::new(304);
    network.start_chain();
    let sent = network.sent("alice", "bob");
    let snapshot = network.snapshot("alice");
    let id = network.id("erin");
    let to = snapshot.nodes.iter().position(|node| node.id == id);
    let path = answers::ping_path(&snapshot, to.unwrap());
    let answered = Arc::new(Mutex::new(0));
    let mut last = None;
    for _ in 0..10 {
        let (reader, path, answered) = (network.reader("alice"), path.clone(), answered.clone());
        let ping = async move {
            let totals_us = reader.ping(path).await.unwrap().unwrap();
            assert!(totals_us.iter().all(Option::is_some));
            *answered.lock().unwrap() += 1;
        };
        if let Some(before) = last.replace(ping) {
            network.beside("alice", before);
        }
    }
    let limit = Duration::from_millis(100);
    network.ask("alice", limit, last.expect("there are ten"));
    network.pass(1);
    assert_eq!(*answered.lock().unwrap(), 10);
    // Four echoes, and what else there is meanwhile; not forty.
    assert!(network.sent("alice", "bob") - sent < 12);
}
