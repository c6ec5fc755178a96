//! What a run measures.
//!
//! Starts and ends of nodes are followed event by event. Views are judged every 100 ms while they change (less
//! often above 2500 nodes) and every second at rest; this is the resolution of the times to convergence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::figures::Figures;
use super::scenario::{Bounds, Scenario};
use super::toll::Toll;
use super::views::{Standing, Views, counts};
use super::world::{News, Told, Traffic, World};
use crate::membership::{Event, Time};

/// Traffic counts as idle this long after the last step, if all views are exact.
const CALM: Duration = Duration::from_secs(20);
/// The most samples of a run; beyond that, every other one is dropped.
const MAX_SAMPLES: usize = 4096;

/// The state at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When.
    pub at: Time,
    /// The views.
    pub standing: Standing,
    /// Bytes that all nodes had sent by then.
    pub bytes: u64,
    /// How long all nodes together had run by then, in ns.
    pub node_ns: u128,
}

/// A step, and how views followed.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// When.
    pub at: Time,
    /// The step in words.
    pub words: Arc<str>,
    /// When every node showed exactly the right nodes again.
    pub all_known: Option<Time>,
    /// When all views were exact again, for the first time.
    pub all_exact: Option<Time>,
    /// The start of the final period, up to the next step, in which all views were exact.
    pub stays_exact: Option<Time>,
    /// When every node showed the new round-trip times of links whose delay was changed.
    pub delays_shown: Option<Time>,
    /// How many nodes each node lacked right after the step, on average.
    pub lacked: Option<f64>,
    /// What nodes sent until all views were exact for the first time.
    pub sent_until_exact: Option<Sent>,
    /// What nodes sent until all views stayed exact.
    pub sent_until_it_stays: Option<Sent>,
}

impl Mark {
    fn new(at: Time, words: Arc<str>) -> Self {
        Self {
            at,
            words,
            all_known: None,
            all_exact: None,
            stays_exact: None,
            delays_shown: None,
            lacked: None,
            sent_until_exact: None,
            sent_until_it_stays: None,
        }
    }
}

/// Traffic of a period, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Of all nodes together that were up at its end.
    pub all: u64,
    /// Of the node that sent most.
    pub most: u64,
    /// How many these are.
    pub nodes: usize,
}

impl Sent {
    /// Traffic of the nodes that run, since each had sent `before`.
    fn since(before: &[u64], world: &World) -> Self {
        let each = world.nodes.iter().zip(before);
        let each = each.filter(|(node, _)| node.is_running());
        let mut sent = Self::default();
        for bytes in each.map(|(node, before)| node.traffic.bytes - before) {
            sent.all += bytes;
            sent.most = sent.most.max(bytes);
            sent.nodes += 1;
        }
        sent
    }
}

/// See the module's documentation.
pub struct Measure {
    /// Samples in the order of time.
    pub samples: Vec<Sample>,
    /// Only every `n`th look is kept.
    every: usize,
    looks: usize,
    /// The steps.
    pub marks: Vec<Mark>,
    /// Bytes that each node had sent at the last step.
    sent_before: Vec<u64>,
    /// The length of each node's newest record, in bytes.
    record_len: Vec<usize>,
    /// Ended nodes that a view still shows: when they ended.
    dying: BTreeMap<usize, Time>,
    /// How long it took until no view showed an ended node.
    pub gone_after: Vec<Duration>,
    /// How long it took until a single viewer no longer showed it.
    pub gone_after_single: Vec<Duration>,
    /// Started nodes that not all views show yet: when they were started.
    coming: BTreeMap<usize, Time>,
    /// How long it took until all views showed a started node.
    pub known_after: Vec<Duration>,
    /// How often a view showed a node as down that ran and was reachable.
    pub false_downs: u64,
    /// Signed records, each multiplied by the number of nodes that should get it.
    pub wanted_copies: u64,
    /// Links lost; planned closes do not count.
    pub links_lost: u64,
    bounds: Bounds,
    disturbed: Time,
    calm_before: bool,
    /// Bytes and time of all nodes at the last look.
    before: (u64, u128),
    idle_bytes: u64,
    idle_node_ns: u128,
    /// How long all nodes together have run, until `counted`.
    node_ns: u128,
    counted: Time,
    up: usize,
    /// How long each node has run, without its present run.
    pub lived: Vec<Duration>,
    /// The views at the end.
    pub last: Standing,
    /// Ages and errors of the round-trip times that views show.
    pub figures: Figures,
    /// The honest nodes are the places below this; only they are measured.
    pub honest: usize,
    /// What attacks cost, if there are any.
    pub toll: Option<Toll>,
}

impl Measure {
    /// An empty measurement.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let mut measure = Self {
            samples: Vec::new(),
            every: 1,
            looks: 0,
            marks: Vec::new(),
            sent_before: vec![0; scenario.nodes],
            record_len: vec![0; scenario.nodes],
            dying: BTreeMap::new(),
            gone_after: Vec::new(),
            gone_after_single: Vec::new(),
            coming: BTreeMap::new(),
            known_after: Vec::new(),
            false_downs: 0,
            wanted_copies: 0,
            links_lost: 0,
            bounds: scenario.bounds,
            disturbed: Duration::ZERO,
            calm_before: false,
            before: (0, 0),
            idle_bytes: 0,
            idle_node_ns: 0,
            node_ns: 0,
            counted: Duration::ZERO,
            up: 0,
            lived: vec![Duration::ZERO; scenario.nodes],
            last: Standing::default(),
            figures: Figures::default(),
            honest: scenario.nodes,
            toll: None,
        };
        let words = format!("start of {}", scenario.nodes);
        // Until the last start, changes are part of the start.
        let start = Mark::new(scenario.start_over, words.into());
        measure.marks.push(start);
        measure
    }

    /// A step begins.
    pub fn mark(&mut self, world: &World, words: &Arc<str>) {
        self.marks.push(Mark::new(world.now(), words.clone()));
        let nodes = world.nodes[..self.honest].iter();
        let sent = nodes.map(|node| node.traffic.bytes);
        self.sent_before = sent.collect();
    }

    /// A step was executed; `standing` is the state right after it.
    pub fn after_mark(&mut self, standing: &Standing) {
        if let Some(mark) = self.marks.last_mut() {
            mark.lacked = Some(lacked(standing));
        }
    }

    /// Every node shows the new round-trip times.
    pub fn delays_shown(&mut self, at: Time) {
        if let Some(mark) = self.marks.last_mut() {
            mark.delays_shown = Some(at);
        }
    }

    /// The network was disturbed.
    pub fn disturbed(&mut self, at: Time) {
        self.disturbed = at;
        self.calm_before = false;
    }

    /// Processes one report of a node, after the views did. `gone`: the nodes that its view no longer shows.
    pub fn hear(&mut self, world: &World, views: &Views, news: &News, gone: &[usize]) {
        let (at, place) = (news.at, news.place);
        match &news.what {
            Told::Started => {
                self.count_time(at);
                self.up += 1;
                self.dying.remove(&place);
                self.coming.insert(place, at);
            }
            Told::Stopped => {
                self.count_time(at);
                self.lived[place] += at - world.nodes[place].started();
                self.up -= 1;
                self.coming.remove(&place);
                self.dying.insert(place, at);
            }
            Told::Event(Event::Up(id)) => {
                let Some(there) = views.place(id) else { return };
                if views.shown_by(there) as usize + 1 >= self.up
                    && let Some(since) = self.coming.remove(&there)
                {
                    self.known_after.push(at - since);
                }
            }
            Told::Event(Event::Unlinked {
                peer, calm: false, ..
            }) => {
                let is_honest = views.place(peer).is_some_and(|peer| peer < self.honest);
                self.links_lost += u64::from(is_honest);
            }
            Told::Event(Event::Unreachable(_) | Event::Left(_)) => {
                for other in gone {
                    let node = &world.nodes[*other];
                    if let Some(since) = self.dying.get(other) {
                        self.gone_after_single.push(at - *since);
                    }
                    let there = counts(node) && counts(&world.nodes[place]);
                    let reach = views.reach();
                    let reached = reach.component(*other) == reach.component(place);
                    // A node that was started a moment ago was rightly shown as down, and one that lied a moment ago has lost links for it. Where paths opened a moment ago, the verdict may be about
                    // what was before.
                    let since = reach.since(*other, place);
                    let is_new = since > Duration::ZERO && at <= since + self.bounds.gone;
                    let began = node.started().max(node.turned());
                    let old = at > began + Duration::from_secs(5) && !is_new;
                    self.false_downs += u64::from(there && reached && old);
                }
            }
            Told::Event(_) | Told::Dialed(_) | Told::Closed(_) => {}
            Told::Published(own, _) => {
                self.wanted_copies += self.up.saturating_sub(1) as u64;
                self.record_len[place] = own.encoded_len();
            }
        }
        let over = |other: &usize| views.shown_by(*other) == 0;
        let candidates = gone.iter().copied().chain([place]);
        for other in candidates.filter(over) {
            if let Some(since) = self.dying.remove(&other) {
                self.gone_after.push(at - since);
            }
        }
    }

    /// Counts the time that nodes have run, before their number changes.
    fn count_time(&mut self, now: Time) {
        self.node_ns += (now - self.counted).as_nanos() * self.up as u128;
        self.counted = now;
    }

    /// Finds started nodes that all show who can reach them, where some nodes can't.
    fn look_for_known(&mut self, world: &World, views: &Views) {
        let reach = views.reach();
        let must_show = |place: usize, viewer: usize| {
            viewer != place
                && counts(&world.nodes[viewer])
                && reach.component(viewer) == reach.component(place)
        };
        let now = world.now();
        let known_after = &mut self.known_after;
        self.coming.retain(|place, since| {
            let mut viewers = world
                .running()
                .filter(|viewer| must_show(*place, *viewer))
                .peekable();
            let is_known =
                viewers.peek().is_some() && viewers.all(|viewer| views.shows(viewer, *place));
            if is_known {
                known_after.push(now - *since);
            }
            !is_known
        });
    }

    /// Processes the result of judging the views.
    pub fn look(&mut self, world: &World, views: &Views, standing: &Standing) {
        let now = world.now();
        let bytes = total(world, self.honest).bytes;
        let attacks = self.toll.as_ref().map(|toll| toll.span);
        let is_attacked = attacks.is_some_and(|(from, until)| (from..=until).contains(&now));
        let calm = standing.all_exact() && now > self.disturbed + CALM && !is_attacked;
        self.count_time(now);
        self.look_for_known(world, views);
        if calm && self.calm_before {
            self.idle_bytes += bytes - self.before.0;
            self.idle_node_ns += self.node_ns - self.before.1;
        }
        if calm {
            self.figures.rest(world, views);
        }
        self.calm_before = calm;
        self.before = (bytes, self.node_ns);
        // Only for the last step: a later one resets what an earlier one waited for.
        if let Some(mark) = self.marks.last_mut()
            && mark.at <= now
        {
            mark.lacked.get_or_insert(lacked(standing));
            if mark.all_known.is_none() && standing.all_known() {
                mark.all_known = Some(now);
            }
            if !standing.all_exact() {
                mark.stays_exact = None;
                mark.sent_until_it_stays = None;
            } else if mark.stays_exact.is_none() {
                let sent = Sent::since(&self.sent_before, world);
                mark.stays_exact = Some(now);
                mark.sent_until_it_stays = Some(sent);
                mark.all_exact.get_or_insert(now);
                mark.sent_until_exact.get_or_insert(sent);
            }
        }
        let sample = Sample {
            at: now,
            standing: *standing,
            bytes,
            node_ns: self.node_ns,
        };
        match self.samples.last_mut().filter(|last| last.at == now) {
            // The end comes at the time of a look.
            Some(last) => *last = sample,
            None if self.looks.is_multiple_of(self.every) => self.samples.push(sample),
            None => {}
        }
        self.looks += 1;
        if self.samples.len() >= MAX_SAMPLES {
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
            self.every *= 2;
        }
    }

    /// Ends the measurement.
    pub fn finish(&mut self, world: &World, views: &Views, standing: &Standing) {
        self.last = *standing;
        // The last sample is that of the end.
        self.looks = 0;
        self.look(world, views, standing);
        for place in world.running().filter(|place| *place < self.honest) {
            self.lived[place] += world.now() - world.nodes[place].started();
        }
        self.figures.finish(world, views);
        if let Some(toll) = &mut self.toll {
            toll.finish(world);
        }
    }

    /// The mean length of the nodes' newest records, in bytes.
    #[must_use]
    pub fn mean_record(&self) -> f64 {
        let lengths = self.record_len.iter().filter(|len| **len > 0);
        let (count, sum) = lengths.fold((0, 0), |(count, sum), len| (count + 1, sum + len));
        sum as f64 / f64::from(count.max(1))
    }

    /// Nodes that ended long enough ago and are still shown by a view.
    #[must_use]
    pub fn still_shown(&self) -> usize {
        self.dying.len()
    }

    /// Bytes per node and second, on average; and at rest, if the network was at rest.
    #[must_use]
    pub fn bytes_per_s(&self) -> (f64, Option<f64>) {
        let rate = |bytes: u64, ns: u128| bytes as f64 * 1e9 / ns.max(1) as f64;
        let idle = (self.idle_node_ns > 0).then(|| rate(self.idle_bytes, self.idle_node_ns));
        (rate(self.before.0, self.node_ns), idle)
    }
}

/// How many nodes each node should show and does not, on average.
fn lacked(standing: &Standing) -> f64 {
    (standing.pairs - standing.known) as f64 / standing.up.max(1) as f64
}

/// The traffic of the honest nodes together, which are so many.
#[must_use]
pub fn total(world: &World, honest: usize) -> Traffic {
    let mut sum = Traffic::default();
    for node in &world.nodes[..honest] {
        sum.add(&node.traffic);
    }
    sum
}
