//! Streams: what the chronicle recorded, and what it records from now on, as JSON lines.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until};

use super::body::{Answer, LINES, Problem, parts};
use super::maps::{Looking, PastMaps, Writer};
use super::site::Site;
use crate::answers::Event;
use crate::chronicle::lines::{self, Header};
use crate::chronicle::{Chronicle, Entry, EventLine, Frame, Picture, Value};
use crate::layout::Kind;
use crate::wire::NodeId;

/// A reader hears something at least this often, so that it notices a connection that is dead.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The most bytes of lines that are rendered before they are sent. The chronicle is locked meanwhile.
const CHUNK_BYTES: usize = 256 * 1024;

/// The most entries of the past that are read at once, as `CHUNK_BYTES`: a change of a large network has some kilobytes.
const CHUNK_ENTRIES: usize = 64;

/// A reader that has so many entries to catch up gets the newest view instead.
const LAG: u64 = 20_000;

/// Where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// With the newest view.
    Live,
    /// With the oldest view.
    Begin,
    /// With the view at a time, in Unix ms.
    At(i64),
}

/// Answers with a stream. `to`: where it ends, in Unix ms; `None`: it goes on.
pub(super) async fn stream(
    site: &Arc<Site>,
    is_unix: bool,
    from: From,
    to: Option<i64>,
    map: Option<Kind>,
) -> Result<Answer, Problem> {
    let place = site
        .streams(is_unix)
        .clone()
        .try_acquire_owned()
        .map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many streams are open already",
            )
        })?;
    site.feed.refresh().await?;
    let (start, then) = site.feed.archive().read(|chronicle| {
        let start = Cursor::new(chronicle, from, to)?;
        let then = chronicle.at(start.from_ms);
        Ok::<_, Problem>((start, then))
    })?;
    let (lines, parts_of_it) = mpsc::channel(1);
    let site = Arc::clone(site);
    match (start.to, map, then) {
        (Some(to_ms), Some(kind), Some((then, _))) if start.is_past => {
            let maps = site.maps.past(kind, to_ms.saturating_sub(start.from_ms));
            tokio::spawn(replay(site, (start, then), lines, maps, place));
        }
        (Some(_), ..) => drop(tokio::spawn(follow(site, start, lines, None, place))),
        (None, ..) => drop(tokio::spawn(follow(site, start, lines, map, place))),
    }
    Ok(parts(LINES, parts_of_it))
}

/// Where a reader stands.
struct Cursor {
    /// What to send first: the header and a keyframe.
    first: String,
    /// The view of the keyframe.
    from_ms: i64,
    /// The sequence number of the next entry.
    next: u64,
    /// The last time that is of interest, in ms since the start of the node.
    to: Option<i64>,
    /// All of it is over.
    is_past: bool,
}

impl Cursor {
    fn new(chronicle: &Chronicle, from: From, to: Option<i64>) -> Result<Self, Problem> {
        let empty = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "there is no history yet");
        let last = chronicle.last().ok_or_else(empty)?;
        let span = chronicle.span().ok_or_else(empty)?;
        let origin = last.origin_ms;
        let (key, next) = match from {
            From::Live => chronicle.keyframe().ok_or_else(empty)?,
            From::Begin => past(chronicle, span.from_ms, origin)?,
            From::At(unix_ms) => past(chronicle, unix_ms.saturating_sub(origin), origin)?,
        };
        let me = &last.nodes[last.me];
        let to = to.map(|unix_ms| unix_ms.saturating_sub(origin));
        let header = header(&last.network, &me.id, &me.label);
        Ok(Self {
            from_ms: key.at_ms,
            first: header + &lines::line(&Entry::Frame(Box::new(key))),
            next,
            is_past: to.is_some_and(|to| to <= last.at_ms),
            to,
        })
    }

    /// The next lines, and whether these are the last ones.
    fn lines(&mut self, chronicle: &Chronicle) -> (String, bool) {
        let mut text = std::mem::take(&mut self.first);
        let behind = chronicle.next().saturating_sub(self.next);
        let entries = if behind > LAG && self.to.is_none() {
            None
        } else {
            chronicle.since(self.next)
        };
        let Some(entries) = entries else {
            // The reader was too slow. Numbers stay what they were, so the view goes on.
            if let Some((key, next)) = chronicle.keyframe() {
                text += &lines::line(&Entry::Frame(Box::new(key)));
                self.next = next;
            }
            return (text, false);
        };
        for (number, entry) in entries {
            if self.to.is_some_and(|to| entry.at_ms() > to) {
                return (text, true);
            }
            text += &lines::line(&entry);
            self.next = number + 1;
            if text.len() >= CHUNK_BYTES {
                return (text, false);
            }
        }
        let over = self.to.is_some_and(|to| {
            let last = chronicle.last();
            last.is_none_or(|last| last.at_ms >= to)
        });
        (text, over)
    }

    /// The next entries of the past, and whether these are the last ones.
    fn entries(&mut self, chronicle: &Chronicle) -> (Vec<Entry>, bool) {
        let to = self.to.unwrap_or(i64::MAX);
        let Some(rest) = chronicle.since(self.next) else {
            return (Vec::new(), true);
        };
        let mut entries = Vec::new();
        for (number, entry) in rest {
            if entry.at_ms() > to {
                return (entries, true);
            }
            entries.push(entry);
            self.next = number + 1;
            if entries.len() >= CHUNK_ENTRIES {
                return (entries, false);
            }
        }
        (entries, true)
    }
}

fn header(network: &Arc<str>, id: &NodeId, label: &Arc<str>) -> String {
    Header::new(Arc::clone(network), id, Arc::clone(label)).line()
}

/// The view at a time as a keyframe.
fn past(chronicle: &Chronicle, at_ms: i64, origin: i64) -> Result<(Frame, u64), Problem> {
    let (picture, next) = chronicle
        .at(at_ms)
        .ok_or_else(|| before(chronicle, origin))?;
    Ok((picture.keyframe(), next))
}

/// The problem of a time before the history.
pub(super) fn before(chronicle: &Chronicle, origin: i64) -> Problem {
    let problem = Problem::new(StatusCode::GONE, "that is before the history");
    match chronicle.span() {
        Some(span) => problem.hint(format!(
            "the history begins at {} (Unix ms)",
            origin.saturating_add(span.from_ms)
        )),
        None => problem,
    }
}

/// Sends what there is, then what comes.
async fn follow(
    site: Arc<Site>,
    mut cursor: Cursor,
    lines: mpsc::Sender<Bytes>,
    map: Option<Kind>,
    _place: OwnedSemaphorePermit,
) {
    let feed = &site.feed;
    let _looking = feed.look();
    let mut recorded = feed.recorded();
    let mut events = feed.archive().events();
    let mut map = map.map(|kind| (site.maps.look(kind), Writer::new(kind)));
    let mut heard = Instant::now();
    loop {
        recorded.mark_unchanged();
        events.mark_unchanged();
        let (mut text, over) = feed.archive().read(|chronicle| cursor.lines(chronicle));
        if let Some((looking, writer)) = &mut map
            && looking.maps.has_changed().is_ok_and(|it| it)
        {
            let map = Arc::clone(&looking.maps.borrow_and_update());
            let line = feed.archive().read(|chronicle| {
                let at_ms = chronicle.last()?.at_ms;
                writer.line(at_ms, &map, chronicle.numbers())
            });
            text.extend(line);
        }
        if text.is_empty() && heard.elapsed() >= HEARTBEAT {
            text = feed.archive().read(heartbeat);
        }
        let is_full = text.len() >= CHUNK_BYTES;
        if !text.is_empty() {
            heard = Instant::now();
            if lines.send(text.into()).await.is_err() {
                return;
            }
        }
        if over {
            return;
        }
        if is_full {
            continue;
        }
        tokio::select! {
            biased;
            () = lines.closed() => return,
            () = feed.ended() => return,
            () = next_map(&mut map) => {}
            changed = recorded.changed() => if changed.is_err() { return },
            changed = events.changed() => if changed.is_err() { return },
            () = sleep_until(heard + HEARTBEAT) => {}
        }
    }
}

/// Sends what was, with the places of nodes on the maps of then.
async fn replay(
    site: Arc<Site>,
    (mut cursor, mut view): (Cursor, Picture),
    lines: mpsc::Sender<Bytes>,
    mut maps: PastMaps,
    _place: OwnedSemaphorePermit,
) {
    let archive = site.feed.archive();
    let mut text = std::mem::take(&mut cursor.first);
    text.extend(maps.line(&view, true));
    loop {
        let (entries, over) = archive.read(|chronicle| cursor.entries(chronicle));
        for entry in entries {
            text += &lines::line(&entry);
            if let Entry::Frame(frame) = entry {
                let shape = frame.changes_shape();
                if view.apply(*frame).is_err() {
                    return;
                }
                text.extend(maps.line(&view, shape));
            }
        }
        if !text.is_empty() && lines.send(std::mem::take(&mut text).into()).await.is_err() {
            return;
        }
        if over {
            return;
        }
        // The others of this thread go on between two parts of a long answer.
        tokio::task::yield_now().await;
    }
}

/// Waits for a map; for ever, if none is wanted.
async fn next_map(map: &mut Option<(Looking, Writer)>) {
    if let Some((looking, _)) = map
        && looking.maps.changed().await.is_ok()
    {
        // It is new until it is written.
        looking.maps.mark_changed();
        return;
    }
    std::future::pending().await
}

/// A line that says only that the node lives.
fn heartbeat(chronicle: &Chronicle) -> String {
    let at_ms = chronicle.last().map_or(0, |last| last.at_ms);
    let nothing = Frame {
        at_ms,
        ..Frame::default()
    };
    lines::line(&Entry::Frame(Box::new(nothing)))
}

/// Which events to show.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// From this time on, in Unix ms.
    pub(super) since_ms: Option<u64>,
    /// Those of this name.
    pub(super) name: Option<String>,
    /// Those that name a node: its label, and the beginning of its id as the log shows it.
    about: Option<(String, String)>,
}

impl Wanted {
    /// Those about that node.
    pub(super) fn about(label: &str, short_id: &str) -> Self {
        Self {
            about: Some((label.to_owned(), short_id.to_owned())),
            ..Self::default()
        }
    }

    fn takes(&self, at_ms: u64, event: &EventLine) -> bool {
        let is_about = |(label, id): &(String, String)| {
            let told = |name: &str| {
                event.fields.iter().find_map(|(field, value)| match value {
                    Value::Text(text) if field == name => Some(text),
                    _ => None,
                })
            };
            // Two nodes may have one label, so the id counts if there is one.
            match told("id") {
                Some(told) => told == id,
                None => ["node", "peer"]
                    .iter()
                    .any(|name| told(name) == Some(label)),
            }
        };
        self.since_ms.is_none_or(|since| at_ms >= since)
            && self.name.as_ref().is_none_or(|name| event.name == *name)
            && self.about.as_ref().is_none_or(is_about)
    }

    /// The events from that sequence number on, as the API shows them, and the number after the last one.
    pub(super) fn of(&self, chronicle: &Chronicle, next: u64) -> (Vec<Event>, u64) {
        let Some(last) = chronicle.last() else {
            return (Vec::new(), next);
        };
        let next = next.max(chronicle.first());
        let entries = chronicle.since(next).into_iter().flatten();
        let events = entries.filter_map(|(_, entry)| match entry {
            Entry::Event(event) => {
                let at_ms = last.unix_ms(event.at_ms);
                self.takes(at_ms, &event)
                    .then(|| lines::event(at_ms, event))
            }
            Entry::Frame(_) => None,
        });
        (events.collect(), chronicle.next())
    }
}

/// Answers with events as JSON lines: those that there are, then those that come.
pub(super) fn events(site: &Arc<Site>, is_unix: bool, wanted: Wanted) -> Result<Answer, Problem> {
    let place = site
        .streams(is_unix)
        .clone()
        .try_acquire_owned()
        .map_err(|_| {
            let what = "too many streams are open already";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, what)
        })?;
    let (lines, parts_of_it) = mpsc::channel(1);
    let site = Arc::clone(site);
    tokio::spawn(async move {
        let _place = place;
        let feed = &site.feed;
        let mut changed = feed.archive().events();
        let mut next = 0;
        // Reads before it waits: what happened so far comes first.
        loop {
            changed.mark_unchanged();
            let (events, after) = feed.archive().read(|chronicle| wanted.of(chronicle, next));
            next = after;
            let line =
                |event| serde_json::to_string(event).map_or_else(|_| String::new(), |it| it + "\n");
            let text: String = events.iter().map(line).collect();
            if !text.is_empty() && lines.send(text.into()).await.is_err() {
                return;
            }
            if !feed.is_live() {
                return;
            }
            tokio::select! {
                biased;
                () = lines.closed() => return,
                () = feed.ended() => return,
                changed = changed.changed() => if changed.is_err() { return },
            }
        }
    });
    Ok(parts(LINES, parts_of_it))
}
