//! What one node sees of a run, as a recording.
//!
//! It is the view of a chosen node, or of the first one that runs; when that one ends, the next one that runs goes on, and a keyframe says so. Times are
//! those of the run, whoever sees: a node that starts later counts from there too.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::write::GzEncoder;

use super::news::{News, Told};
use super::world::World;
use crate::chronicle::lines::{self, Header};
use crate::chronicle::{self, Archive, Differ, Entry, EventLine, Value};
use crate::claims::Claims;
use crate::membership::{Event, Time};
use crate::recording::file::packer;
use crate::snapshot::{Changes, Snapshot};
use crate::web::Cartographer;

/// How often the view is compared with what was recorded. At half, a recording of a network that changes all the time has twice the
/// frames; at double, a person sees a change half a second late.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// The least time between two frames if only measurements changed: nobody reads them faster, and a recording consists of little else.
const FIGURES: Duration = Duration::from_secs(1);

/// The least time between two maps, after a change and if only measurements changed. At half, a thousand nodes whose links change all
/// the time take twice the room; at double, a new node waits two seconds for its place.
const MAP: Duration = Duration::from_secs(1);
const MAP_OF_FIGURES: Duration = Duration::from_secs(10);

/// The most nodes that have places on maps: the two maps of a thousand nodes take 30 ms at first, and 50 kB.
const MAPPED: usize = 1000;

/// The name of the event that tells a step of the scenario.
const STEP: &str = "scenario step";

/// Records a run, into memory, for a page that shows it, or both.
pub struct Recorder {
    /// Whose view it is.
    viewer: usize,
    /// Whose view it is once that one runs.
    wanted: Option<usize>,
    claims: Claims,
    differ: Differ,
    news: chronicle::News,
    /// The viewer's start, and its counts of changes, when it was looked at last.
    seen: Option<(usize, u32, Changes)>,
    /// When measurements were recorded last.
    looked: Time,
    /// The beginning of virtual time in Unix ms, by the clock of the first viewer.
    origin_ms: Option<i64>,
    network: Arc<str>,
    maps: Cartographer,
    mapped: Option<Time>,
    /// What no map shows yet.
    unmapped: Unmapped,
    packed: Option<GzEncoder<Vec<u8>>>,
    archive: Option<Arc<Archive>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unmapped {
    Nothing,
    Figures,
    Shape,
}

impl Recorder {
    /// A recorder of what the node at that place sees, once it runs. `keeps`: the recording is kept in memory. `archive`: it is shown.
    #[must_use]
    pub fn new(viewer: usize, keeps: bool, archive: Option<Arc<Archive>>) -> Self {
        Self {
            viewer: 0,
            wanted: Some(viewer),
            claims: Claims::default(),
            differ: Differ::default(),
            news: chronicle::News::default(),
            seen: None,
            looked: Time::ZERO,
            origin_ms: None,
            network: "".into(),
            maps: Cartographer::default(),
            mapped: None,
            unmapped: Unmapped::Nothing,
            packed: keeps.then(|| packer(Vec::new())),
            archive,
        }
    }

    /// The recording, packed with gzip; empty if none was kept.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let packed = self.packed.map(GzEncoder::finish);
        packed.map_or_else(Vec::new, |it| it.expect("a Vec takes every byte"))
    }

    /// Takes what a node reports: why the next changes happen.
    pub(super) fn hear(&mut self, news: &News) {
        if let (true, Told::Event(Event::Links(links))) = (news.place == self.viewer, &news.what) {
            self.news.hear(ms(news.at), (**links).clone());
        }
    }

    /// Records a step of the scenario, in words.
    pub(super) fn tell(&mut self, now: Time, step: &str) {
        let fields = vec![("step".into(), Value::Text(step.to_owned()))];
        if self.origin_ms.is_some() {
            self.put(Entry::Event(EventLine {
                at_ms: ms(now),
                name: STEP.into(),
                level: "info".into(),
                fields,
            }));
        }
    }

    /// Records the view, if it changed. If only measurements did, they wait until a second is over.
    pub(super) fn look(&mut self, world: &World) {
        if self.choose(world) {
            let node = &world.nodes[self.viewer];
            let changes = node.core().map(|core| core.changes());
            let seen = (self.viewer, node.life(), changes.unwrap_or_default());
            let is_late = world.now() >= self.looked + FIGURES;
            if is_late || self.seen != Some(seen) {
                self.seen = Some(seen);
                self.take(world, is_late);
            }
        }
        self.map(world.now());
    }

    /// Records the view at the end.
    pub(super) fn look_last(&mut self, world: &World) {
        if self.choose(world) {
            self.take(world, true);
        }
    }

    /// Whether there is a viewer that could show its view now.
    fn choose(&mut self, world: &World) -> bool {
        let shows = |place: &usize| world.nodes[*place].core().is_some();
        let all = world.nodes.len();
        let wanted = self.wanted.filter(shows);
        if wanted.is_some() {
            self.wanted = None;
        }
        let in_turn = (self.viewer..all).chain(0..self.viewer.min(all));
        let Some(viewer) = wanted.or_else(|| in_turn.into_iter().find(shows)) else {
            return false;
        };
        if viewer != self.viewer {
            self.viewer = viewer;
            self.news = chronicle::News::default();
        }
        // A paused program shows nothing.
        !world.nodes[viewer].is_paused()
    }

    /// Records the view; `figures`: also if only measurements changed.
    fn take(&mut self, world: &World, figures: bool) {
        let node = &world.nodes[self.viewer];
        let clock_ms = i64::try_from(node.clock_ms).unwrap_or(i64::MAX);
        let origin_ms = *self.origin_ms.get_or_insert(clock_ms);
        let Some(snapshot) = seen_by(world, self.viewer, origin_ms) else {
            return;
        };
        let last = self.differ.last();
        let waits = |last: &Snapshot| !figures && has_same_shape(last, &snapshot);
        if last.is_some_and(|last| snapshot.at_ms < last.at_ms || waits(last)) {
            return;
        }
        self.looked = world.now();
        if last.is_none() {
            self.network = snapshot.network.clone();
            let me = &snapshot.nodes[snapshot.me];
            let header = Header::new(self.network.clone(), &me.id, me.label.clone());
            self.write(&header.line());
        }
        let frame = self.differ.next(&self.claims.mark(snapshot), &self.news);
        if frame.is_empty() {
            return;
        }
        let unmapped = match frame.changes_shape() {
            true => Unmapped::Shape,
            false => Unmapped::Figures,
        };
        self.unmapped = self.unmapped.max(unmapped);
        self.put(Entry::Frame(Box::new(frame)));
    }

    /// Records the maps of the view that was recorded last, if they are due.
    fn map(&mut self, now: Time) {
        let pause = match self.unmapped {
            Unmapped::Nothing => return,
            Unmapped::Figures => MAP_OF_FIGURES,
            Unmapped::Shape => MAP,
        };
        let Some(last) = self.differ.last().cloned() else {
            return;
        };
        let is_early = self.mapped.is_some_and(|mapped| now < mapped + pause);
        // A page that is served gets its maps from the server.
        // Without a link there is nothing to place a node by.
        let is_bare = last.links.is_empty();
        if is_early || is_bare || self.packed.is_none() || last.nodes.len() > MAPPED {
            return;
        }
        let numbers = self.differ.numbers().map(|(id, n)| (*id, n));
        let numbers: BTreeMap<_, _> = numbers.collect();
        let lines = self.maps.lines(&last, &numbers);
        self.write(&lines);
        self.mapped = Some(now);
        self.unmapped = Unmapped::Nothing;
    }

    fn put(&mut self, entry: Entry) {
        if self.packed.is_some() {
            self.write(&lines::line(&entry));
        }
        if let Some(archive) = &self.archive {
            let loaded = archive.load(&self.network, entry);
            loaded.expect("frames follow from each other");
        }
    }

    fn write(&mut self, lines: &str) {
        if let Some(packed) = &mut self.packed {
            let written = packed.write_all(lines.as_bytes());
            written.expect("a Vec takes every byte");
        }
    }
}

/// The view of the node at that place, in the time of the run. `None`: it shows none.
fn seen_by(world: &World, place: usize, origin_ms: i64) -> Option<Snapshot> {
    let node = &world.nodes[place];
    let started_ms = ms(node.started());
    let mut snapshot = node.core()?.snapshot(world.now() - node.started());
    snapshot.at_ms += started_ms;
    snapshot.origin_ms = origin_ms;
    for node in &mut snapshot.nodes {
        node.since_ms += started_ms;
    }
    for link in &mut snapshot.links {
        link.rtt_at_ms += started_ms;
        if let Some(other) = &mut link.other {
            other.rtt_at_ms += started_ms;
        }
    }
    for (_, since_ms) in &mut snapshot.differing {
        *since_ms += started_ms;
    }
    let impair = &node.settings.impair;
    if world.is_whole() && !impair.is_empty() {
        snapshot.impaired = Some(impair.to_string().into());
    }
    Some(snapshot)
}

/// Whether two views differ in measurements and counters at most.
fn has_same_shape(one: &Snapshot, other: &Snapshot) -> bool {
    let links = |view: &Snapshot| {
        let links = view.links.iter();
        let ends = links.map(|link| (link.dialer, link.listener, link.suspect));
        ends.collect::<Vec<_>>()
    };
    let whole = |view: &Snapshot| (view.me, view.cut_off);
    let differing = one.differing == other.differing;
    differing
        && whole(one) == whole(other)
        && one.nodes == other.nodes
        && links(one) == links(other)
}

fn ms(time: Time) -> i64 {
    i64::try_from(time.as_millis()).expect("a run is shorter than the world")
}

#[cfg(test)]
mod tests;
