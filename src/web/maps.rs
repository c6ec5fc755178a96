//! Where nodes stand on a map, computed while somebody looks at one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::feed::Feed;
use crate::chronicle::Picture;
use crate::layout::{Fit, Input, Kind, Layout, Place};
use crate::snapshot::Snapshot;
use crate::wire::NodeId;

/// The least time between two maps. A node that comes or goes is on the page before its place is.
const LEAST_PAUSE: Duration = Duration::from_millis(250);

/// The least time between two maps if only round-trip times changed.
const FIGURES_PAUSE: Duration = Duration::from_secs(2);

/// A pause has so many times the work of a map: 2 % of a core.
const SHARE: u32 = 50;

/// The longest pause, for the largest networks.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The least time between two maps of the past, in ms of the history. At half, playing a minute of churn computes twice as many; at
/// double, a node that came stands between its neighbours for two seconds.
const PAST_PAUSE_MS: i64 = 1000;

/// And if only round-trip times changed, so many times that.
const PAST_FIGURES: i64 = 10;

/// The most maps of the past in an answer: those of a minute with a change in every second. With 1,000 nodes they take a tenth of a
/// second. Where more is asked for, they are further apart.
const PAST_MAPS: i64 = 60;

/// Seeds the layouts: equal networks look alike in each browser.
const SEED: u64 = 1;

/// A map.
#[derive(Debug, Clone, Default)]
pub(super) struct Map {
    places: BTreeMap<NodeId, Place>,
    fit: Option<Fit>,
    /// The smallest step that is worth to be told.
    grain: f32,
}

/// The maps of one kind, one after the other.
#[derive(Debug)]
struct Maker {
    kind: Kind,
    map: watch::Sender<Arc<Map>>,
    layout: Mutex<Option<Layout>>,
    lookers: watch::Sender<usize>,
}

/// The maps of a node's view.
#[derive(Debug)]
pub(super) struct Maps {
    feed: Arc<Feed>,
    latency: Arc<Maker>,
    structure: Arc<Maker>,
}

/// Somebody looks at maps of a kind, as long as it is held.
#[derive(Debug)]
pub(super) struct Looking {
    maker: Arc<Maker>,
    pub(super) maps: watch::Receiver<Arc<Map>>,
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.maker.lookers.send_modify(|lookers| *lookers -= 1);
    }
}

impl Maps {
    pub(super) fn new(feed: Arc<Feed>) -> Self {
        let maker = |kind| {
            Arc::new(Maker {
                kind,
                map: watch::Sender::default(),
                layout: Mutex::default(),
                lookers: watch::Sender::new(0),
            })
        };
        Self {
            feed,
            latency: maker(Kind::Latency),
            structure: maker(Kind::Structure),
        }
    }

    /// Keeps the maps of that kind current until the result is dropped.
    pub(super) fn look(&self, kind: Kind) -> Looking {
        let maker = match kind {
            Kind::Latency => &self.latency,
            Kind::Structure => &self.structure,
        };
        maker.lookers.send_modify(|lookers| *lookers += 1);
        let mut maps = maker.map.subscribe();
        // The map that there is already is new to this reader.
        maps.mark_changed();
        Looking {
            maker: Arc::clone(maker),
            maps,
        }
    }

    /// Makes maps of a past that lasts for so many ms. The first begins with the places of now, so that a look at the past moves only what was
    /// different then. Nothing of it is kept.
    pub(super) fn past(&self, kind: Kind, lasts_ms: i64) -> PastMaps {
        let maker = match kind {
            Kind::Latency => &self.latency,
            Kind::Structure => &self.structure,
        };
        let now = maker
            .layout
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        PastMaps {
            layout: now.unwrap_or_else(|| Layout::new(kind, SEED)),
            writer: Writer::new(kind),
            pause_ms: PAST_PAUSE_MS.max(lasts_ms / PAST_MAPS),
            mapped_ms: None,
            shape: false,
        }
    }

    /// Makes maps while somebody looks.
    pub(super) async fn run(self: Arc<Self>) {
        tokio::join!(
            make(&self.feed, &self.latency),
            make(&self.feed, &self.structure)
        );
    }
}

/// See [`Maps::past`].
#[derive(Debug)]
pub(super) struct PastMaps {
    layout: Layout,
    writer: Writer,
    pause_ms: i64,
    mapped_ms: Option<i64>,
    /// Nodes or links changed since the last map.
    shape: bool,
}

impl PastMaps {
    /// The line for the view that a frame has just made; `shape`: the frame changed nodes or links. `None`: no map is due.
    pub(super) fn line(&mut self, view: &Picture, shape: bool) -> Option<String> {
        self.shape |= shape;
        let at_ms = view.at_ms();
        let pause_ms = self.pause_ms * if self.shape { 1 } else { PAST_FIGURES };
        if self
            .mapped_ms
            .is_some_and(|mapped_ms| at_ms < mapped_ms.saturating_add(pause_ms))
        {
            return None;
        }
        let snapshot = view.snapshot().ok()?;
        self.mapped_ms = Some(at_ms);
        self.shape = false;
        let map = map_of(&mut self.layout, &snapshot);
        let numbers = view.nodes().map(|node| (&node.id, node.n));
        self.writer.line(at_ms, &map, numbers)
    }
}

async fn make(feed: &Feed, maker: &Maker) {
    let mut lookers = maker.lookers.subscribe();
    let mut recorded = feed.recorded();
    let mut made: Option<(Instant, Duration, Arc<Snapshot>)> = None;
    loop {
        drop(lookers.wait_for(|lookers| *lookers > 0).await);
        let last = feed.archive().read(|chronicle| chronicle.last().cloned());
        let due = match (&made, &last) {
            (_, None) => None,
            (None, Some(_)) => Some(Instant::now()),
            (Some((at, cost, shown)), Some(last)) => {
                let pause = pause(shown, last);
                pause.map(|pause| *at + pause.max((*cost * SHARE).min(LONGEST_PAUSE)))
            }
        };
        let (Some(due), Some(snapshot)) = (due, last) else {
            tokio::select! {
                biased;
                changed = recorded.changed() => if changed.is_err() { return },
                // Somebody else looks, or nobody does.
                _other = lookers.changed() => {}
            }
            continue;
        };
        if due > Instant::now() {
            // What changes meanwhile may be due sooner.
            tokio::select! {
                biased;
                changed = recorded.changed() => if changed.is_err() { return },
                () = sleep_until(due) => {}
            }
            continue;
        }
        let begun = Instant::now();
        maker.map.send_replace(Arc::new(maker.next(&snapshot)));
        made = Some((begun, begun.elapsed(), snapshot));
    }
}

/// How long to wait after one snapshot before the map of the other is due. `None`: nothing on it would change.
fn pause(shown: &Snapshot, last: &Snapshot) -> Option<Duration> {
    let nodes = |snapshot: &Snapshot| {
        snapshot
            .nodes
            .iter()
            .map(|node| (node.id, node.state))
            .collect::<Vec<_>>()
    };
    let links = |snapshot: &Snapshot| {
        let links = snapshot.links.iter();
        links
            .map(|link| (link.dialer, link.listener))
            .collect::<Vec<_>>()
    };
    if nodes(shown) != nodes(last) || links(shown) != links(last) {
        return Some(LEAST_PAUSE);
    }
    let measured = shown.links.iter().zip(&last.links);
    let is_same = measured.into_iter().all(|(a, b)| a.rtt_us == b.rtt_us);
    (!is_same).then_some(FIGURES_PAUSE)
}

impl Maker {
    fn next(&self, snapshot: &Snapshot) -> Map {
        let mut layout = self.layout.lock().unwrap_or_else(PoisonError::into_inner);
        let layout = layout.get_or_insert_with(|| Layout::new(self.kind, SEED));
        map_of(layout, snapshot)
    }
}

/// The next map of that layout.
fn map_of(layout: &mut Layout, snapshot: &Snapshot) -> Map {
    let input = Input::from(snapshot);
    let places = layout.update(&input);
    let far = places
        .nodes
        .iter()
        .flat_map(|place| [place.x.abs(), place.y.abs()]);
    Map {
        grain: (far.fold(0.0, f32::max) / 8192.0).max(f32::MIN_POSITIVE),
        places: input.nodes.into_iter().zip(places.nodes).collect(),
        fit: places.fit,
    }
}

/// Writes maps for one reader: each node's place when it changes.
#[derive(Debug)]
pub(super) struct Writer {
    kind: Kind,
    /// The place that the reader knows of each node, in grains.
    told: BTreeMap<u32, [i32; 3]>,
    grain: f32,
}

impl Writer {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            told: BTreeMap::new(),
            grain: 0.0,
        }
    }

    /// The line for a map. `numbers`: the nodes that the reader knows, with their numbers. `None`: nothing on it is new.
    pub(super) fn line<'a>(
        &mut self,
        at_ms: i64,
        map: &Map,
        numbers: impl Iterator<Item = (&'a NodeId, u32)>,
    ) -> Option<String> {
        // A map that grows by half is told anew.
        if !(0.5..=1.5).contains(&(map.grain / self.grain)) {
            self.grain = map.grain;
            self.told.clear();
        }
        let grain = self.grain;
        let digits = usize::try_from((-grain.log10()).ceil().clamp(0.0, 6.0) as i32).unwrap_or(0);
        let mut places = String::new();
        for (id, n) in numbers {
            let Some(place) = map.places.get(id) else {
                continue;
            };
            let Place { x, y, height } = *place;
            let steps = [x, y, height].map(|it| (it / grain).round() as i32);
            if self.told.insert(n, steps) == Some(steps) {
                continue;
            }
            let separator = if places.is_empty() { "" } else { "," };
            let _ = write!(places, "{separator}[{n},{x:.digits$},{y:.digits$}");
            if self.kind == Kind::Latency {
                let _ = write!(places, ",{height:.digits$}");
            }
            places.push(']');
        }
        if places.is_empty() {
            return None;
        }
        let kind = match self.kind {
            Kind::Latency => "\"latency\",\"unit_us\":true",
            Kind::Structure => "\"structure\"",
        };
        let fit = map.fit.map_or_else(String::new, |fit| {
            let figure =
                |it: Option<f32>| it.map_or_else(|| "null".to_owned(), |it| format!("{it:.3}"));
            let (links, drawn, held_out) =
                (figure(fit.links), figure(fit.drawn), figure(fit.held_out));
            format!(",\"fit\":{{\"links\":{links},\"drawn\":{drawn},\"held_out\":{held_out}}}")
        });
        Some(format!(
            "{{\"at\":{at_ms},\"map\":{{\"kind\":{kind},\"places\":[{places}]{fit}}}}}\n"
        ))
    }
}

/// Makes both maps of a simulated run or a recording, line by line.
#[derive(Debug)]
pub struct Cartographer {
    maps: [(Layout, Writer); 2],
}

impl Default for Cartographer {
    fn default() -> Self {
        let maps = [Kind::Latency, Kind::Structure];
        Self {
            maps: maps.map(|kind| (Layout::new(kind, SEED), Writer::new(kind))),
        }
    }
}

impl Cartographer {
    /// The lines for the maps of a snapshot, whose nodes have these numbers.
    pub fn lines(&mut self, snapshot: &Snapshot, numbers: &BTreeMap<NodeId, u32>) -> String {
        let lines = self.maps.iter_mut().filter_map(|(layout, writer)| {
            let map = map_of(layout, snapshot);
            let numbers = numbers.iter().map(|(id, n)| (id, *n));
            writer.line(snapshot.at_ms, &map, numbers)
        });
        lines.collect()
    }
}
