//! The chronicle of a running node.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::frame::{EventLine, Value};
use super::picture::BadFrame;
use super::store::{Chronicle, Entry, Limit};
use crate::events::EventName;
use crate::membership::LinkNews;
use crate::snapshot::Snapshot;

/// The most notes that wait to be recorded. They are recorded whenever a snapshot is. A network of a thousand that comes into view at
/// once makes about as many in the time between two snapshots of a busy machine; what is beyond is missing in the history.
const MAX_NOTES: usize = 8192;

/// What the event loop and the log add to a history.
#[derive(Debug)]
enum Note {
    Links(i64, LinkNews),
    Event(Instant, Told),
}

/// An event without its time.
#[derive(Debug)]
struct Told {
    name: &'static str,
    level: &'static str,
    fields: Vec<(Cow<'static, str>, Value)>,
}

#[derive(Debug)]
struct Inbox {
    notes: Mutex<Vec<Note>>,
    /// What the user of the node must know at present, by kind.
    notices: Mutex<BTreeMap<&'static str, String>>,
    /// Counts the events.
    events: watch::Sender<u64>,
    /// The start of the node.
    start: OnceLock<Instant>,
}

/// Takes what the event loop and the log add to a history. Whoever records snapshots empties it.
///
/// It is a layer of the log: the events of a history are those of the log, whatever lines the log shows.
#[derive(Debug, Clone)]
pub struct Notes(Arc<Inbox>);

impl Default for Notes {
    fn default() -> Self {
        Self(Arc::new(Inbox {
            notes: Mutex::default(),
            notices: Mutex::default(),
            events: watch::Sender::new(0),
            start: OnceLock::new(),
        }))
    }
}

impl Notes {
    /// Tells when the node started: times count from there.
    pub fn start_at(&self, start: Instant) {
        // A second node of this process counts from the start of the first one.
        let _earlier = self.0.start.set(start);
    }

    /// Notes the links that a record added and withdrew, at a time since the start of the node.
    pub fn links(&self, now: Duration, news: LinkNews) {
        let at_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        self.put(Note::Links(at_ms, news));
    }

    /// Sets what the user of the node must know of that kind at present; `None`: nothing.
    pub fn set_notice(&self, kind: &'static str, text: Option<String>) {
        let mut notices = lock(&self.0.notices);
        match text {
            Some(text) => notices.insert(kind, text),
            None => notices.remove(kind),
        };
    }

    /// Notices events: the channel changes with each one.
    #[must_use]
    pub fn events(&self) -> watch::Receiver<u64> {
        self.0.events.subscribe()
    }

    fn put(&self, note: Note) {
        let mut notes = lock(&self.0.notes);
        if notes.len() < MAX_NOTES {
            notes.push(note);
        }
    }

    /// Takes all notes.
    fn empty_into(&self, chronicle: &mut Chronicle) {
        let notes = std::mem::take(&mut *lock(&self.0.notes));
        for note in notes {
            match note {
                Note::Links(at_ms, news) => chronicle.hear(at_ms, news),
                Note::Event(
                    at,
                    Told {
                        name,
                        level,
                        fields,
                    },
                ) => chronicle.tell(EventLine {
                    at_ms: self.since_start(at),
                    name: name.into(),
                    level: level.into(),
                    fields,
                }),
            }
        }
    }

    fn since_start(&self, at: Instant) -> i64 {
        let start = *self.0.start.get().unwrap_or(&at);
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        match at.checked_duration_since(start) {
            Some(since) => ms(since),
            None => -ms(start.duration_since(at)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking thread left is still a list, or a history.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Subscriber> Layer<S> for Notes {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let meta = event.metadata();
        if *meta.level() > Level::INFO || !meta.target().starts_with("area_net") {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Some(name) = fields.name else {
            return;
        };
        let level = match *meta.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            _ => "info",
        };
        let fields = fields.fields;
        let told = Told {
            name,
            level,
            fields,
        };
        self.put(Note::Event(tokio::time::Instant::now().into_std(), told));
        self.0.events.send_modify(|count| *count += 1);
    }
}

/// Collects the fields of a log line.
#[derive(Default)]
struct Fields {
    name: Option<&'static str>,
    fields: Vec<(Cow<'static, str>, Value)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.fields.push((field.name().into(), value));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::Text(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Number(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(
            field,
            Value::Number(i64::try_from(value).unwrap_or(i64::MAX)),
        );
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bool(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            // An event's name is the whole message.
            let mut names = EventName::ALL.iter().map(|name| name.as_str());
            self.name = names.find(|name| *name == text);
        } else {
            self.put(field, Value::Text(text));
        }
    }
}

/// The chronicle of a running node, for whoever records snapshots and whoever reads. Or that of a simulation, or a recording.
#[derive(Debug)]
pub struct Archive {
    chronicle: Mutex<Chronicle>,
    notes: Notes,
    /// Counts the views.
    recorded: watch::Sender<u64>,
    grows: bool,
}

impl Archive {
    /// An empty history. `notes` is where the event loop adds to it.
    #[must_use]
    pub fn new(limit: Limit, notes: Notes) -> Self {
        Self {
            chronicle: Mutex::new(Chronicle::new(limit)),
            notes,
            recorded: watch::Sender::new(0),
            grows: true,
        }
    }

    /// A history that is over: that of a recording.
    #[must_use]
    pub fn of(chronicle: Chronicle) -> Self {
        Self {
            chronicle: Mutex::new(chronicle),
            notes: Notes::default(),
            recorded: watch::Sender::new(0),
            grows: false,
        }
    }

    /// Records a snapshot, and what was noted before.
    pub fn record(&self, snapshot: &Arc<Snapshot>) {
        let mut chronicle = lock(&self.chronicle);
        self.notes.empty_into(&mut chronicle);
        chronicle.record(snapshot);
        drop(chronicle);
        self.recorded.send_modify(|count| *count += 1);
    }

    /// Adds an entry of a recording of that network as it is.
    ///
    /// # Errors
    /// As [`Chronicle::load`].
    pub fn load(&self, network: &Arc<str>, entry: Entry) -> Result<(), BadFrame> {
        let changed = match entry {
            Entry::Frame(_) => &self.recorded,
            Entry::Event(_) => &self.notes.0.events,
        };
        lock(&self.chronicle).load(network, entry)?;
        changed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// What the user of the node must know at present.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        lock(&self.notes.0.notices).values().cloned().collect()
    }

    /// Whether it may still grow: it is not that of a recording.
    #[must_use]
    pub fn grows(&self) -> bool {
        self.grows
    }

    /// Reads the history. Nothing is recorded meanwhile, so `read` should be quick.
    pub fn read<T>(&self, read: impl FnOnce(&Chronicle) -> T) -> T {
        let mut chronicle = lock(&self.chronicle);
        self.notes.empty_into(&mut chronicle);
        read(&chronicle)
    }

    /// Notices events: the channel changes with each one.
    #[must_use]
    pub fn events(&self) -> watch::Receiver<u64> {
        self.notes.events()
    }

    /// Notices views: the channel changes with each one that was recorded.
    #[must_use]
    pub fn recorded(&self) -> watch::Receiver<u64> {
        self.recorded.subscribe()
    }
}
