//! What `top` remembers of the stream: the newest view, and the frames before it within a bound.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::chronicle::{BadFrame, Entry, EventLine, Frame, Picture};

/// The most bytes of frames. A node's own history has at most 8 MiB by default, so all of it fits. Half of it would forget what the
/// node still knows; twice of it helps only if a node's setting was raised.
const LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// How many bytes of frames follow a keyframe, at least. A view of the past is put together from its keyframe. At half of it,
/// keyframes take more room; at double, each step back takes twice the time.
const SEGMENT_BYTES: usize = 64 * 1024;

/// A segment has so many times the bytes of its keyframe at least, so that keyframes take up to a fifth of the room.
const KEYFRAMES: usize = 4;

/// The most events. It bounds what `/` searches and what the view of events can scroll through. Half of it is an hour of a busy
/// network of a hundred nodes; double costs 1 MB.
const MAX_EVENTS: usize = 4000;

/// The most round-trip times of a link that are remembered for its sparkline: as many as its column is wide.
const SPARK: usize = 16;

/// The last round-trip times of each link in µs, by the link's number, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Sparks(BTreeMap<u32, VecDeque<u32>>);

impl Sparks {
    fn take(&mut self, frame: &Frame) {
        if frame.whole.is_some() {
            let is_there = |l: u32| frame.links.iter().any(|link| link.l == l);
            // A keyframe says which links there are, and repeats what was measured.
            if frame.links.len() < 1000 {
                self.0.retain(|l, _| is_there(*l));
            } else {
                self.0.clear();
            }
        }
        for link in &frame.links {
            self.note(link.l, link.figures.rtt_us);
        }
        for (l, figures) in &frame.figures {
            self.note(*l, figures.rtt_us);
        }
        for gone in &frame.gone {
            self.0.remove(&gone.l);
        }
    }

    fn note(&mut self, l: u32, rtt_us: Option<u32>) {
        let Some(rtt_us) = rtt_us else { return };
        let last = self.0.entry(l).or_default();
        if last.len() == SPARK {
            last.pop_front();
        }
        last.push_back(rtt_us);
    }

    /// The sparkline of a link, one character a measurement, from the lowest of them to the highest. Half of the highest is the
    /// least span, so that noise stays flat.
    pub(super) fn line(&self, l: u32) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let Some(values) = self.0.get(&l) else {
            return String::new();
        };
        let low = values.iter().copied().min().unwrap_or_default();
        let high = values.iter().copied().max().unwrap_or_default();
        let span = u64::from((high - low).max(high / 2).max(1));
        let bar = |value: &u32| {
            let height = u64::from(value - low) * 7 / span;
            BARS[usize::try_from(height).unwrap_or_default().min(7)]
        };
        values.iter().map(bar).collect()
    }
}

/// A keyframe and what follows it.
#[derive(Debug)]
struct Segment {
    first_ms: i64,
    key: Vec<u8>,
    frames: Vec<Box<[u8]>>,
    bytes: usize,
}

/// The history of one connection to a node.
#[derive(Debug)]
pub(super) struct History {
    network: Arc<str>,
    live: Picture,
    sparks: Sparks,
    begun: bool,
    segments: VecDeque<Segment>,
    /// When nodes, states or links changed.
    turns: VecDeque<i64>,
    events: VecDeque<EventLine>,
}

impl History {
    pub(super) fn new(network: Arc<str>) -> Self {
        Self {
            live: Picture::new(network.clone()),
            network,
            sparks: Sparks::default(),
            begun: false,
            segments: VecDeque::new(),
            turns: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Adds an entry of the stream.
    pub(super) fn take(&mut self, entry: Entry) -> Result<(), BadFrame> {
        match entry {
            Entry::Event(event) => {
                if self.events.len() == MAX_EVENTS {
                    self.events.pop_front();
                }
                self.events.push_back(event);
                Ok(())
            }
            Entry::Frame(frame) => self.take_frame(*frame),
        }
    }

    fn take_frame(&mut self, frame: Frame) -> Result<(), BadFrame> {
        let at_ms = frame.at_ms;
        let is_key = frame.whole.is_some();
        let bytes = (!frame.is_empty()).then(|| encode(&frame));
        if frame.changes_shape() {
            self.turns.push_back(at_ms);
        }
        self.sparks.take(&frame);
        self.live.apply(frame)?;
        self.begun = true;
        let Some(bytes) = bytes else { return Ok(()) };
        match self.segments.back_mut() {
            Some(segment) if !is_key && !segment.is_full() => {
                segment.bytes += bytes.len() + size_of::<Box<[u8]>>();
                segment.frames.push(bytes);
            }
            _ => {
                let key = encode(&self.live.keyframe()).into_vec();
                self.segments.push_back(Segment {
                    first_ms: at_ms,
                    bytes: key.len(),
                    key,
                    frames: Vec::new(),
                });
                self.forget();
            }
        }
        Ok(())
    }

    fn forget(&mut self) {
        while self.segments.len() > 1 && self.bytes() > LIMIT_BYTES {
            self.segments.pop_front();
        }
        let from_ms = self.begins_ms();
        while self.turns.front().is_some_and(|turn| *turn < from_ms) {
            self.turns.pop_front();
        }
    }

    /// The bytes of all frames.
    pub(super) fn bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The newest view; `None` before the first frame.
    pub(super) fn live(&self) -> Option<&Picture> {
        self.begun.then_some(&self.live)
    }

    pub(super) fn sparks(&self) -> &Sparks {
        &self.sparks
    }

    /// The events until a time, oldest first.
    pub(super) fn events(&self, until_ms: i64) -> impl DoubleEndedIterator<Item = &EventLine> {
        self.events
            .iter()
            .filter(move |event| event.at_ms <= until_ms)
    }

    /// The time of the oldest view.
    pub(super) fn begins_ms(&self) -> i64 {
        self.segments.front().map_or(0, |segment| segment.first_ms)
    }

    /// The view at a time. A time before the history gives the oldest view.
    pub(super) fn at(&self, at_ms: i64) -> Option<(Picture, Sparks)> {
        let begun = self.segments.partition_point(|it| it.first_ms <= at_ms);
        let segment = self.segments.get(begun.saturating_sub(1))?;
        let mut picture = Picture::new(self.network.clone());
        let mut sparks = Sparks::default();
        let frames = segment.frames.iter().map(|bytes| decode(bytes));
        for frame in std::iter::once(decode(&segment.key)).chain(frames) {
            if frame.whole.is_none() && frame.at_ms > at_ms {
                break;
            }
            sparks.take(&frame);
            picture.apply(frame).expect("it was applied before");
        }
        Some((picture, sparks))
    }

    /// The last change of nodes, states or links before a time.
    pub(super) fn turn_before(&self, at_ms: i64) -> Option<i64> {
        let later = self.turns.partition_point(|turn| *turn < at_ms);
        self.turns.get(later.checked_sub(1)?).copied()
    }

    /// The first such change after a time.
    pub(super) fn turn_after(&self, at_ms: i64) -> Option<i64> {
        let later = self.turns.partition_point(|turn| *turn <= at_ms);
        self.turns.get(later).copied()
    }
}

impl Segment {
    fn is_full(&self) -> bool {
        self.bytes >= SEGMENT_BYTES.max(self.key.len() * (KEYFRAMES + 1))
    }
}

fn encode(frame: &Frame) -> Box<[u8]> {
    let bytes = postcard::to_allocvec(frame).expect("a Vec takes every byte");
    bytes.into_boxed_slice()
}

fn decode(bytes: &[u8]) -> Frame {
    postcard::from_bytes(bytes).expect("we wrote it")
}
