//! How often the nodes wrote each event to the log, by the event's name: the `event` field, never the text.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// See the module's documentation.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<BTreeMap<String, usize>>>);

impl Journal {
    /// A journal of what this thread logs from now on, for as long as the guard is kept.
    pub(crate) fn open() -> (Self, DefaultGuard) {
        let journal = Self::default();
        let subscriber = tracing_subscriber::registry().with(journal.clone());
        let guard = tracing::subscriber::set_default(subscriber);
        (journal, guard)
    }

    /// How many lines tell of this event.
    pub(crate) fn count(&self, event: &str) -> usize {
        self.0.lock().unwrap().get(event).copied().unwrap_or(0)
    }
}

impl<S: tracing::Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut name = Name(None);
        event.record(&mut name);
        if let Some(name) = name.0 {
            *self.0.lock().unwrap().entry(name).or_default() += 1;
        }
    }
}

/// The value of the `event` field.
struct Name(Option<String>);

impl Visit for Name {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
