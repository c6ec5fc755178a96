//! Invariants: those that must always hold, and those that must hold when nothing happens any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use area_net::membership::{Event, Time};
use area_net::record::Record;
use area_net::snapshot::{NodeState, Snapshot};
use area_net::wire::NodeId;

use crate::net::{NETWORK, Net, ms};

/// Within this time, a network gives up all surplus links.
const SHEDDING: Duration = Duration::from_secs(40);

/// The part of a view that must be the same everywhere: the nodes that are up, and the links from dialer to listener.
type View = (BTreeSet<NodeId>, BTreeSet<(NodeId, NodeId)>);

impl Net {
    /// Notes a node's event, and checks it against the truth at that time. Faults happen between the steps of the world. Of the
    /// nodes' own acts only leaving needs care: a node leaves within a step.
    pub(crate) fn hear(&mut self, now: Time, place: usize, event: Event) {
        match &event {
            Event::Up(id) => {
                self.shown[place].insert(*id);
                let all = self.nodes.iter().enumerate();
                let same = all.filter(|(_, node)| node.id() == *id);
                let lives = same.clone().any(|(at, _)| self.alive.contains(&at));
                let stopped = same.map(|(_, node)| node.stopped());
                let last = stopped.max().unwrap_or_default();
                assert!(
                    lives || now < last + self.bound,
                    "a ghost: {place} sees {id:?} at {now:?}"
                );
            }
            Event::Unreachable(id) | Event::Left(id) => {
                self.shown[place].remove(id);
                if self.strict {
                    let mut all = self.nodes.iter().enumerate();
                    let runs = all.position(|(at, node)| {
                        let there = self.alive.contains(&at) && !node.is_paused();
                        node.id() == *id && there && !node.is_leaving()
                    });
                    let reached = runs.is_some_and(|other| self.group(other) == self.group(place));
                    assert!(
                        !reached,
                        "{place} shows {runs:?} as down at {now:?}, which runs"
                    );
                }
            }
            Event::Removed(id, _) => {
                self.shown[place].remove(id);
            }
            Event::CutOff => {
                self.shown[place].clear();
                let alone = self.alive.len() < 2 || self.nodes[place].is_leaving();
                assert!(!self.strict || alone, "{place} is cut off at {now:?}");
            }
            Event::Rejected { what, peer, why } => {
                assert!(!self.strict, "{place} rejects {what} of {peer:?}: {why}");
            }
            Event::Links(_)
            | Event::Pinged { .. }
            | Event::Linked { .. }
            | Event::Unlinked { .. }
            | Event::Restored(_)
            | Event::Suspected(_)
            | Event::DialFailed(..)
            | Event::OwnTarget(_)
            | Event::Twin { .. }
            | Event::Revocations(..)
            | Event::PeerTwin(..) => {}
        }
        self.events.push((now, place, event));
    }

    /// Checks a node's own record: each is newer than the last, and never lists more links than the cap.
    pub(crate) fn check_own(&self, now: Time, place: usize, own: &Record, before: Option<&Record>) {
        if let Some(before) = before {
            assert!(
                before.version() < own.version(),
                "node {place} signs an older record"
            );
            for link in &before.body().links {
                let listed = own.link_to(&link.peer).is_some();
                assert!(
                    listed || !self.never_unlisted,
                    "node {place} unlists a link"
                );
            }
        }
        own.verify(NETWORK).expect("only genuine records travel");
        let degree = own.body().links.len();
        assert!(
            degree <= self.nodes[place].settings.degree_cap + self.nodes[place].settings.guests,
            "node {place} lists {degree} links at {now:?}"
        );
    }

    /// Checks that no node shows another that has been gone for longer than the bound.
    pub(crate) fn check_ghosts(&self) {
        let now = self.now();
        for gone in self.nodes.iter().filter(|node| !node.is_running()) {
            let id = gone.id();
            let another = self
                .nodes
                .iter()
                .any(|node| node.id() == id && node.is_running());
            if another || gone.life() == 0 || now <= gone.stopped() + self.bound {
                continue;
            }
            for place in self.running() {
                assert!(
                    self.nodes[place].is_paused() || !self.shown[place].contains(&id),
                    "{place} still shows {id:?} at {now:?}, gone since {:?}",
                    gone.stopped()
                );
            }
        }
    }

    pub(crate) fn snapshot(&self, place: usize) -> Snapshot {
        let node = &self.nodes[place];
        let core = node.core().expect("it runs");
        core.snapshot(self.now() - node.started())
    }

    /// The view that a node shows.
    pub(crate) fn view(&self, place: usize) -> View {
        let snapshot = self.snapshot(place);
        let up = snapshot
            .nodes
            .iter()
            .filter(|node| node.state == NodeState::Up);
        let up: BTreeSet<NodeId> = up.map(|node| node.id).collect();
        let id = |at: usize| snapshot.nodes[at].id;
        let links = snapshot
            .links
            .iter()
            .map(|link| (id(link.dialer), id(link.listener)));
        let links: BTreeSet<_> = links.collect();
        assert_eq!(links.len(), snapshot.links.len(), "a link is shown twice");
        let mut shown = self.shown[place].clone();
        shown.insert(self.nodes[place].id());
        assert_eq!(up, shown, "events and snapshot of {place} differ");
        (up, links)
    }

    /// The true view of a group of nodes. Fails if two nodes share two connections, or if only one end knows a connection.
    pub(crate) fn truth(&self, group: u32) -> Result<View, String> {
        let there: Vec<usize> = self
            .running()
            .into_iter()
            .filter(|&place| self.group(place) == group)
            .collect();
        let up = there.iter().map(|&place| self.nodes[place].id()).collect();
        let mut links = BTreeSet::new();
        let mut held: BTreeMap<(usize, usize), u32> = BTreeMap::new();
        for conn in self.connections() {
            let (a, b, number) = (conn.dialer, conn.listener, conn.number);
            if !there.contains(&a) && !there.contains(&b) {
                continue;
            }
            if conn.under_way && a != b && self.is_running(b) && self.group(a) == self.group(b) {
                return Err(format!("a dial {a}-{b} is under way"));
            }
            // A connection to a dead node is kept for a while, but is no link.
            if !self.is_running(a) || !self.is_running(b) {
                continue;
            }
            match (conn.dialer_has, conn.listener_has) {
                (None, None) => continue,
                (Some(_), Some(_)) => {}
                (Some(_), None) | (None, Some(_)) => {
                    return Err(format!("only one end of {a}-{b} holds connection {number}"));
                }
            }
            if let Some(other) = held.insert((a.min(b), a.max(b)), number) {
                return Err(format!("{a} and {b} hold connections {other} and {number}"));
            }
            links.insert((self.nodes[a].id(), self.nodes[b].id()));
        }
        Ok((up, links))
    }

    /// Whether the network has converged: every view is exact, and so all are equal.
    pub(crate) fn agreed(&self) -> Result<(), String> {
        let mut truths: BTreeMap<u32, View> = BTreeMap::new();
        let mut digests = BTreeMap::new();
        for place in self.running() {
            let group = self.group(place);
            if let std::collections::btree_map::Entry::Vacant(entry) = truths.entry(group) {
                entry.insert(self.truth(group)?);
            }
            let core = self.nodes[place].core().expect("it runs");
            let truth = &truths[&group];
            if core.up_count() != truth.0.len() {
                let (up, all) = (core.up_count(), truth.0.len());
                return Err(format!("{place} shows {up} of {all} nodes"));
            }
            if *digests.entry(group).or_insert(core.digest()) != core.digest() {
                return Err(format!("the digest of {place} differs"));
            }
            if !core.is_flushed() {
                return Err(format!("{place} has something to send"));
            }
        }
        self.correct_with(&truths)
    }

    /// Whether every node shows who is up and which links there are, figures aside.
    pub(crate) fn correct(&self) -> Result<(), String> {
        let groups: BTreeSet<u32> = self.running().iter().map(|&at| self.group(at)).collect();
        let mut truths = BTreeMap::new();
        for group in groups {
            truths.insert(group, self.truth(group)?);
        }
        self.correct_with(&truths)
    }

    fn correct_with(&self, truths: &BTreeMap<u32, View>) -> Result<(), String> {
        for place in self.running() {
            let (truth, view) = (&truths[&self.group(place)], self.view(place));
            if view.0 != truth.0 {
                return Err(format!(
                    "{place} shows {:?} instead of {:?}",
                    view.0, truth.0
                ));
            }
            if view.1 != truth.1 {
                let missing: Vec<_> = truth.1.difference(&view.1).collect();
                let wrong: Vec<_> = view.1.difference(&truth.1).collect();
                return Err(format!(
                    "{place} lacks the links {missing:?}, has {wrong:?}"
                ));
            }
        }
        Ok(())
    }

    /// Runs until the network has converged. Returns how long that took.
    pub(crate) fn settle(&mut self, within: Duration) -> Duration {
        let from = self.now();
        let mut why = self.agreed();
        while let Err(reason) = why {
            assert!(
                self.now() < from + within,
                "not settled within {within:?}: {reason}"
            );
            self.run(ms(100));
            why = self.agreed();
        }
        self.now() - from
    }

    /// Runs until the surplus links are given up and the network has converged.
    pub(crate) fn shed(&mut self) {
        self.run(SHEDDING);
        self.settle(ms(5000));
    }

    /// Runs at rest: every view stays exact, no link is lost, and no node does more than it has to.
    pub(crate) fn rest(&mut self, seconds: u64) {
        let before: Vec<u64> = self.nodes.iter().map(|node| node.traffic.actions).collect();
        for _ in 0..seconds {
            self.run(ms(1000));
            if let Err(reason) = self.correct() {
                panic!("at rest, {:?}: {reason}", self.now());
            }
        }
        for place in self.running() {
            let node = &self.nodes[place];
            // For each link, at most one probe a second, and figures of other nodes with it; in addition, a dial now and then.
            let links = self.degree(place) as u64;
            let most = (2 * links + 4) * seconds;
            let did = node.traffic.actions - before[place];
            assert!(
                did <= most,
                "{place} does {did} things in {seconds} s with {links} links"
            );
        }
    }

    /// Forgets the events so far.
    pub(crate) fn clear_events(&mut self) {
        self.events.clear();
    }

    pub(crate) fn told(&self, what: impl Fn(&Event) -> bool) -> usize {
        self.events
            .iter()
            .filter(|(_, _, event)| what(event))
            .count()
    }
}
