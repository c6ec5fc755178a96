//! Counts the log lines of each event.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use area_net::events::EventName;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// See the module's documentation.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<BTreeMap<String, Lines>>>);

/// The lines of one event.
#[derive(Clone, Copy, Default)]
struct Lines {
    all: usize,
    /// Those that are shown without `log.level=debug`.
    shown: usize,
}

impl Journal {
    /// A journal of what this thread logs from now on, for as long as the guard is kept.
    pub(crate) fn open() -> (Self, DefaultGuard) {
        let journal = Self::default();
        let subscriber = tracing_subscriber::registry().with(journal.clone());
        let guard = tracing::subscriber::set_default(subscriber);
        (journal, guard)
    }

    /// The number of lines of this event.
    pub(crate) fn count(&self, event: EventName) -> usize {
        self.lines(event).all
    }

    /// The number of lines of this event that are shown unless `log.level` says otherwise.
    pub(crate) fn shown(&self, event: EventName) -> usize {
        self.lines(event).shown
    }

    fn lines(&self, event: EventName) -> Lines {
        let lines = self.0.lock().unwrap();
        lines.get(event.as_str()).copied().unwrap_or_default()
    }
}

impl<S: tracing::Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut name = Name(None);
        event.record(&mut name);
        if let Some(name) = name.0 {
            let mut lines = self.0.lock().unwrap();
            let lines = lines.entry(name).or_default();
            lines.all += 1;
            lines.shown += usize::from(*event.metadata().level() <= tracing::Level::INFO);
        }
    }
}

/// The message of a line, which is the event's name.
struct Name(Option<String>);

impl Visit for Name {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = Some(format!("{value:?}"));
        }
    }
}
