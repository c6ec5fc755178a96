//! A victim with two honest neighbours, who must notice nothing.

use std::net::SocketAddr;
use std::time::Duration;

use area_net::events::EventName;
use area_net::wire::NodeId;
use rustix::process::Signal;
use tokio::time::Instant;

use crate::processes::{Desk, Picture, Process, ports, until, until_exact};
use crate::stranger::Stranger;

pub(crate) const HONEST: [&str; 3] = ["alice", "bob", "carol"];

pub(crate) struct Scene {
    pub(crate) desk: Desk,
    pub(crate) alice: Process,
    honest: [Process; 2],
    /// The pictures of the honest nodes before the attack.
    since: Vec<Picture>,
    begun: Instant,
}

impl Scene {
    /// Alice is the victim; bob and carol are linked with her and with each other.
    pub(crate) async fn new() -> Self {
        let desk = Desk::new();
        let addrs = ports(3);
        let debug = "log.level=debug";
        let alice = desk.start("alice", addrs[0], &[debug]);
        let targets = desk.targets("bob", &addrs[..1]);
        let honest = ["bob", "carol"].map(|name| {
            let at = if name == "bob" { addrs[1] } else { addrs[2] };
            desk.start(name, at, &[&targets, debug])
        });
        until_exact(&[&alice, &honest[0], &honest[1]], &HONEST).await;
        let since = [&alice, &honest[0], &honest[1]]
            .map(Process::picture)
            .to_vec();
        Self {
            desk,
            alice,
            honest,
            since,
            begun: Instant::now(),
        }
    }

    pub(crate) fn victim(&self) -> SocketAddr {
        self.alice.addr
    }

    pub(crate) fn stranger(&self, label: &str) -> Stranger {
        Stranger::new(&self.desk.network, label)
    }

    /// Waits until the victim's `network.json` counts at least so many rejections of that kind. The victim must have logged one.
    #[track_caller]
    pub(crate) fn counted<'a>(
        &'a self,
        what: &'a str,
        at_least: u64,
    ) -> impl Future<Output = ()> + 'a {
        let counted = until(what, move || {
            let count = self.alice.picture().rejected.get(what).copied();
            count.is_some_and(|count| count >= at_least)
        });
        async move {
            counted.await;
            assert!(
                self.lines_about(what) >= 1,
                "no rejection of {what} was logged:\n{}",
                self.alice.log()
            );
        }
    }

    /// The id of a node that alice shows.
    pub(crate) fn id(&self, label: &str) -> NodeId {
        let network = self.alice.file("network.json").unwrap();
        let nodes = network["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["label"] == label).unwrap();
        NodeId::from_hex(node["id"].as_str().unwrap()).unwrap()
    }

    pub(crate) fn lines_about(&self, counter: &str) -> usize {
        let lines = self.alice.logged();
        lines
            .iter()
            .filter(|line| line["counter"] == counter)
            .count()
    }

    /// Waits until alice shows a node in this state.
    #[track_caller]
    pub(crate) fn alice_shows<'a>(
        &'a self,
        label: &'a str,
        state: &'a str,
    ) -> impl Future<Output = Duration> + 'a {
        until("alice shows it", move || {
            self.alice.picture().state(label) == state
        })
    }

    /// Ends the scene. The three honest nodes must have been up in each other's views all along, on the links that they began
    /// with. The rate of the victim's log must have been bounded. The victim must still leave cleanly.
    pub(crate) async fn nobody_noticed(mut self) {
        self.check();
        self.alice.signal(Signal::TERM);
        assert_eq!(
            self.alice.ended().await.code(),
            Some(0),
            "{}",
            self.alice.log()
        );
    }

    fn check(&self) {
        let nodes = [&self.alice, &self.honest[0], &self.honest[1]];
        for (node, before) in nodes.iter().zip(&self.since) {
            let now = node.picture();
            for label in HONEST {
                // The time of its last change is equal too, so the state never changed in between.
                assert_eq!(now.nodes[label], before.nodes[label], "{}", node.log());
            }
            let among_us = |picture: &Picture| {
                let links = picture.links.iter();
                let honest = |label: &String| HONEST.contains(&label.as_str());
                links
                    .filter(|(a, b)| honest(a) && honest(b))
                    .cloned()
                    .collect::<Vec<_>>()
            };
            assert_eq!(among_us(&now), among_us(before));
            for label in HONEST {
                let lost = node.events(EventName::LinkDown);
                let with_it = lost.iter().any(|line| line["peer"] == label);
                assert!(!with_it, "{}", node.log());
            }
        }
        let windows = usize::try_from(self.begun.elapsed().as_secs() / 10).unwrap() + 1;
        for counter in self.alice.picture().rejected.keys() {
            let lines = self.lines_about(counter);
            assert!(
                lines <= windows,
                "{lines} lines about {counter} in {windows} times 10 s"
            );
        }
    }
}
