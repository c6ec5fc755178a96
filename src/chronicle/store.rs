//! Keeps the history within its bounds.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::differ::Differ;
use super::frame::{EventLine, Frame};
use super::news::News;
use super::picture::{BadFrame, Picture};
use crate::membership::LinkNews;
use crate::snapshot::Snapshot;
use crate::wire::NodeId;

/// How many bytes a segment has at least before the next one begins. The oldest segment is forgotten as a whole, and a view of the
/// past is put together from the beginning of its segment. At half of this, keyframes take twice the room; twice of it doubles both
/// the work and the room that a forgotten segment leaves.
const SEGMENT_BYTES: usize = 32 * 1024;

/// A segment has so many times the bytes of its keyframe at least, so that keyframes take up to a fifth of the room.
const KEYFRAMES: usize = 4;

/// The most events from before the first view. A node logs a handful of them; a recording may have any number, of which the rest is left
/// out.
const MAX_EARLY: usize = 256;

/// The bounds of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The most bytes.
    pub bytes: usize,
    /// The greatest age.
    pub age: Duration,
}

/// What a history consists of, in the order of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// The view changed.
    Frame(Box<Frame>),
    /// An event of the log.
    Event(EventLine),
}

impl Entry {
    /// The time, in ms since the start of the node.
    #[must_use]
    pub fn at_ms(&self) -> i64 {
        match self {
            Self::Frame(frame) => frame.at_ms,
            Self::Event(event) => event.at_ms,
        }
    }
}

/// What a history covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first view, in ms since the start of the node.
    pub from_ms: i64,
    /// The last view.
    pub to_ms: i64,
    /// How many frames and events there are.
    pub entries: usize,
    /// How many bytes they take.
    pub bytes: usize,
}

/// A keyframe and what follows it.
#[derive(Debug, Default)]
struct Segment {
    first_ms: i64,
    last_ms: i64,
    /// The sequence number of the keyframe.
    first: u64,
    entries: usize,
    /// The bytes of the keyframe.
    key: usize,
    /// The entries, each behind its length in four bytes.
    bytes: Vec<u8>,
}

impl Segment {
    fn push(&mut self, entry: &Entry) {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(entry, bytes).expect("a Vec takes every byte");
        let len = u32::try_from(self.bytes.len() - start - 4).expect("an entry has under 4 GiB");
        self.bytes[start..start + 4].copy_from_slice(&len.to_le_bytes());
        self.entries += 1;
        self.last_ms = entry.at_ms();
    }

    /// The memory that it takes.
    fn size(&self) -> usize {
        self.bytes.capacity() + size_of::<Self>()
    }

    fn encoded(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (len, behind) = rest.split_first_chunk::<4>()?;
            let (entry, behind) = behind.split_at(u32::from_le_bytes(*len) as usize);
            rest = behind;
            Some(entry)
        })
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.encoded().map(decode)
    }
}

/// The newest view of a loaded history.
#[derive(Debug)]
struct Loaded {
    picture: Picture,
    /// The same as a snapshot, once somebody asks.
    snapshot: OnceLock<Arc<Snapshot>>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Chronicle {
    network: Option<Arc<str>>,
    limit: Limit,
    differ: Differ,
    news: News,
    /// The newest view, if the history is loaded rather than recorded.
    loaded: Option<Box<Loaded>>,
    segments: VecDeque<Segment>,
    /// The bytes of all segments but the last.
    full: usize,
    /// The events from before the first view.
    early: Vec<EventLine>,
}

impl Chronicle {
    /// An empty history.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self {
            network: None,
            limit,
            differ: Differ::default(),
            news: News::default(),
            loaded: None,
            segments: VecDeque::new(),
            full: 0,
            early: Vec::new(),
        }
    }

    /// The bounds.
    #[must_use]
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Remembers which links a record added and withdrew, to explain later changes.
    pub fn hear(&mut self, at_ms: i64, news: LinkNews) {
        self.news.hear(at_ms, news);
    }

    /// Records a snapshot. One that is older than the last one is ignored.
    pub fn record(&mut self, snapshot: &Arc<Snapshot>) {
        if let Some(last) = self.differ.last()
            && (snapshot.at_ms < last.at_ms || Arc::ptr_eq(snapshot, last))
        {
            return;
        }
        let is_first = self.differ.last().is_none();
        let frame = self.differ.next(snapshot, &self.news);
        if is_first {
            self.network = Some(snapshot.network.clone());
        } else if frame.is_empty() {
            return;
        }
        self.push(&Entry::Frame(Box::new(frame)));
        self.tell_early();
    }

    fn tell_early(&mut self) {
        for event in std::mem::take(&mut self.early) {
            self.push(&Entry::Event(event));
        }
    }

    /// Records an event of the log.
    pub fn tell(&mut self, event: EventLine) {
        if self.segments.is_empty() {
            if self.early.len() < MAX_EARLY {
                self.early.push(event);
            }
        } else {
            self.push(&Entry::Event(event));
        }
    }

    /// Adds an entry of a recording of that network as it is. A chronicle is either loaded or records; never both.
    ///
    /// # Errors
    /// When a frame doesn't follow from the ones before. It is left out then.
    pub fn load(&mut self, network: &Arc<str>, entry: Entry) -> Result<(), BadFrame> {
        let frame = match entry {
            Entry::Event(event) => {
                self.tell(event);
                return Ok(());
            }
            Entry::Frame(frame) => frame,
        };
        let mut picture = match self.loaded.take() {
            Some(loaded) => loaded.picture,
            None => Picture::new(network.clone()),
        };
        let is_first = picture.me().is_none();
        // Only these can make a view contradict itself as a whole.
        let members = frame.nodes.len() + frame.forgotten.len() > 0 || frame.whole.is_some();
        let follows = if !is_first && frame.at_ms < picture.at_ms() {
            Err(BadFrame::Backwards)
        } else {
            let applied = picture.apply(*frame.clone());
            applied.and_then(|()| match members {
                true => picture.snapshot().map(|it| Some(Arc::new(it))),
                false => Ok(None),
            })
        };
        let snapshot = match follows {
            Ok(snapshot) => snapshot,
            Err(error) => {
                // Half of the frame may be in the view.
                let before = self.at(i64::MAX).map(|(picture, _)| picture);
                self.loaded = before.map(|picture| Loaded::of(picture, None));
                return Err(error);
            }
        };
        self.network = Some(network.clone());
        self.loaded = Some(Loaded::of(picture, snapshot));
        self.push(&Entry::Frame(frame));
        self.tell_early();
        Ok(())
    }

    fn push(&mut self, entry: &Entry) {
        let Some(segment) = self.segments.back_mut() else {
            // The first entry is a keyframe.
            return self.begin();
        };
        segment.push(entry);
        // The next segment begins with the view at the end of this one: so no difference is missing between two keyframes.
        if segment.bytes.len() >= SEGMENT_BYTES.max(segment.key * (KEYFRAMES + 1)) {
            segment.bytes.shrink_to_fit();
            self.begin();
        }
        self.forget();
    }

    /// Begins a segment with the newest view as its keyframe.
    fn begin(&mut self) {
        let Some(key) = self.newest_key() else {
            return;
        };
        let mut segment = Segment {
            first_ms: key.at_ms,
            first: self.next(),
            ..Segment::default()
        };
        segment.push(&Entry::Frame(Box::new(key)));
        segment.key = segment.bytes.len();
        self.full += self.segments.back().map_or(0, Segment::size);
        self.segments.push_back(segment);
    }

    /// Forgets the oldest segments that are beyond the bounds. The last one stays.
    fn forget(&mut self) {
        let age_ms = i64::try_from(self.limit.age.as_millis()).unwrap_or(i64::MAX);
        let now_ms = self.segments.back().map_or(0, |last| last.last_ms);
        while self.segments.len() > 1 {
            let is_old = self.segments[1].first_ms < now_ms.saturating_sub(age_ms);
            if !is_old && self.bytes() <= self.limit.bytes {
                break;
            }
            let forgotten = self.segments.pop_front();
            self.full -= forgotten.as_ref().map_or(0, Segment::size);
        }
    }

    fn bytes(&self) -> usize {
        self.full + self.segments.back().map_or(0, Segment::size)
    }

    fn newest_key(&self) -> Option<Frame> {
        match &self.loaded {
            Some(loaded) => Some(loaded.picture.keyframe()),
            None => self.differ.keyframe(),
        }
    }

    /// What the history covers. `None`: it is empty.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        let to_ms = match &self.loaded {
            Some(loaded) => loaded.picture.at_ms(),
            None => self.differ.last()?.at_ms,
        };
        Some(Span {
            from_ms: self.segments.front()?.first_ms,
            to_ms,
            entries: self.segments.iter().map(|segment| segment.entries).sum(),
            bytes: self.bytes(),
        })
    }

    /// The newest view as a snapshot: the last one that was recorded.
    #[must_use]
    pub fn last(&self) -> Option<&Arc<Snapshot>> {
        match &self.loaded {
            Some(loaded) => Some(loaded.snapshot()),
            None => self.differ.last(),
        }
    }

    /// The nodes of the last view, with their numbers.
    pub fn numbers(&self) -> impl Iterator<Item = (&NodeId, u32)> {
        let loaded = self.loaded.iter().flat_map(|it| it.picture.nodes());
        let loaded = loaded.map(|node| (&node.id, node.n));
        self.differ.numbers().chain(loaded)
    }

    /// The last view as a keyframe, and the sequence number of the entry that will follow it.
    #[must_use]
    pub fn keyframe(&self) -> Option<(Frame, u64)> {
        Some((self.newest_key()?, self.next()))
    }

    /// The view at a time in ms since the start of the node: the last one that was recorded until then, and the sequence number of the
    /// entry that follows it. `None`: that is before the history.
    #[must_use]
    pub fn at(&self, at_ms: i64) -> Option<(Picture, u64)> {
        let mut picture = Picture::new(self.network.clone()?);
        let begun = self.segments.partition_point(|it| it.first_ms <= at_ms);
        let segment = self.segments.get(begun.checked_sub(1)?)?;
        let mut next = segment.first;
        for (number, entry) in (segment.first..).zip(segment.entries()) {
            match entry {
                Entry::Frame(frame) if frame.at_ms > at_ms => break,
                Entry::Frame(frame) => {
                    picture.apply(*frame).expect("we made it");
                    next = number + 1;
                }
                Entry::Event(_) => {}
            }
        }
        Some((picture, next))
    }

    /// The last view.
    #[must_use]
    pub fn newest(&self) -> Option<Picture> {
        if let Some(loaded) = &self.loaded {
            return Some(loaded.picture.clone());
        }
        let mut picture = Picture::new(self.network.clone()?);
        picture.apply(self.differ.keyframe()?).expect("we made it");
        Some(picture)
    }

    /// The entries from that sequence number on, with their numbers. Keyframes at the beginning of a segment are left out, since they
    /// only repeat what the frames before them say. `None`: some of them are forgotten.
    #[must_use]
    pub fn since(&self, number: u64) -> Option<impl Iterator<Item = (u64, Entry)> + '_> {
        if self.segments.front()?.first > number {
            return None;
        }
        let segments = self.segments.iter();
        let inside = segments.filter(move |it| it.first + it.entries as u64 > number);
        Some(inside.flat_map(move |it| {
            // What was read before is skipped, not decoded; and so is the keyframe.
            let from = number.max(it.first + 1);
            let known = usize::try_from(from - it.first).unwrap_or(usize::MAX);
            (from..).zip(it.encoded().skip(known).map(decode))
        }))
    }

    /// The sequence number of the first entry; it is a keyframe.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.segments.front().map_or(0, |segment| segment.first)
    }

    /// The sequence number of the next entry.
    #[must_use]
    pub fn next(&self) -> u64 {
        let last = self.segments.back();
        last.map_or(0, |segment| segment.first + segment.entries as u64)
    }
}

impl Loaded {
    fn of(picture: Picture, snapshot: Option<Arc<Snapshot>>) -> Box<Self> {
        let snapshot = snapshot.map(OnceLock::from).unwrap_or_default();
        Box::new(Self { picture, snapshot })
    }

    fn snapshot(&self) -> &Arc<Snapshot> {
        let made = || {
            self.picture
                .snapshot()
                .expect("it was tried when nodes changed")
        };
        self.snapshot.get_or_init(|| Arc::new(made()))
    }
}

fn decode(entry: &[u8]) -> Entry {
    postcard::from_bytes(entry).expect("we wrote it")
}
