//! Messages to stderr, for people or for programs.
//!
//! Programs get all fields of a message, one of which is `event`: the name of what happened. The names stay; the texts may
//! change. People get the text and the other fields.
//!
//! A node outlives its terminal: a message that can't be written is dropped, and nothing else happens. Nor does it wait for one that
//! stands still, as a terminal does after Ctrl-S and a pipe that nobody reads: messages are written on a thread of their own, and once
//! [`WAITING`] of them wait, more are dropped and counted. The first one that there is room for again says how many.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer as _;
use tracing_subscriber::field::{RecordFields, VisitOutput as _};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::settings::LogFormat;

/// The field that names what happened.
const EVENT: &str = "event";

/// So many messages wait at most for a terminal that takes none.
pub const WAITING: usize = 4096;

/// As long as this is kept, messages are written. Who drops it waits for those that are under way, but no longer than a second or so.
#[must_use]
#[derive(Debug)]
pub struct Lines {
    _writer: WorkerGuard,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `RUST_LOG` is set, and is no list of `target=level`.
    #[error("RUST_LOG is {value:?}, and must be a list such as area_net=debug,quinn=info")]
    Filter {
        /// What it is.
        value: OsString,
        /// What the parser said, where it came so far.
        source: Option<tracing_subscriber::filter::ParseError>,
    },
    /// Somebody in this process set up logs before.
    #[error("logs are already set up")]
    AlreadySet(#[from] tracing::subscriber::SetGlobalDefaultError),
}

impl LogError {
    /// Whether what the user gave us is at fault.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Filter { .. } => true,
            Self::AlreadySet(_) => false,
        }
    }
}

/// Sends messages to stderr from now on: those of `RUST_LOG` if it is set and not empty, else those of area-net from
/// `level` and of everything else from "warn".
///
/// # Errors
/// When `RUST_LOG` is no list of `target=level`, or logs were set up before.
pub fn init(level: Level, format: LogFormat) -> Result<Lines, LogError> {
    let filter = filter(env::var_os("RUST_LOG"), level)?;
    let colours =
        io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (queue, guard) = Queue::to(io::stderr(), WAITING, format);
    let writer = move || queue.clone();
    tracing::subscriber::set_global_default(subscriber(filter, format, colours, writer))?;
    Ok(Lines { _writer: guard })
}

fn filter(rust_log: Option<OsString>, level: Level) -> Result<Targets, LogError> {
    let Some(value) = rust_log.filter(|value| !value.is_empty()) else {
        return Ok(Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("area_net", level));
    };
    let Some(text) = value.to_str() else {
        return Err(LogError::Filter {
            value,
            source: None,
        });
    };
    text.parse().map_err(|source| LogError::Filter {
        value: value.clone(),
        source: Some(source),
    })
}

fn subscriber<W>(
    filter: Targets,
    format: LogFormat,
    colours: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Its complaint about a failed write would go to stderr too, and panic there.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .log_internal_errors(false);
    let registry = tracing_subscriber::registry();
    match format {
        LogFormat::Text => {
            let lines = lines
                .fmt_fields(ForPeople)
                .with_timer(TimeOfDay)
                .with_target(false)
                .with_ansi(colours);
            Box::new(registry.with(lines.with_filter(filter)))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            Box::new(registry.with(lines.with_filter(filter)))
        }
    }
}

/// All fields but the event's name, which the text says in words.
struct ForPeople;

impl<'writer> FormatFields<'writer> for ForPeople {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = WithoutEvent(DefaultVisitor::new(writer, true));
        fields.record(&mut visitor);
        visitor.0.finish()
    }
}

struct WithoutEvent<'writer>(DefaultVisitor<'writer>);

impl Visit for WithoutEvent<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != EVENT {
            self.0.record_str(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.0.record_error(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.record_debug(field, value);
    }
}

/// A writer that takes whatever it is given, and loses what can't be written.
struct Lossy<W>(W);

impl<W: Write> Write for Lossy<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // All or nothing: a line cut in half is worth no second try.
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

/// Where messages wait to be written. One that there is room for again says how many there was none for before it.
#[derive(Clone)]
struct Queue {
    queue: NonBlocking,
    format: LogFormat,
    /// Of those that were dropped, so many were told of.
    told: Arc<Mutex<usize>>,
}

impl Queue {
    /// A queue to that writer, and what keeps it going.
    fn to(
        writer: impl Write + Send + 'static,
        waiting: usize,
        format: LogFormat,
    ) -> (Self, WorkerGuard) {
        let queue = NonBlockingBuilder::default()
            .buffered_lines_limit(waiting)
            .thread_name("log");
        let (queue, guard) = queue.finish(Lossy(writer));
        let told = Arc::default();
        let queue = Self {
            queue,
            format,
            told,
        };
        (queue, guard)
    }
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let dropped = self.queue.error_counter();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = dropped.dropped_lines();
        if before == *told {
            return self.queue.write(line);
        }
        // In one piece with the line, so that there is room for both or for neither.
        let mut lines = gap(before - *told, self.format).into_bytes();
        lines.extend(line);
        self.queue.write_all(&lines)?;
        if dropped.dropped_lines() == before {
            *told = before;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.queue.flush()
    }
}

/// The line that stands for so many that were dropped.
fn gap(count: usize, format: LogFormat) -> String {
    let why = "messages before this one were dropped: nobody took them";
    match format {
        LogFormat::Text => format!("{}  WARN {count} {why}\n", time_by(&TimeOfDay)),
        LogFormat::Json => {
            let line = serde_json::json!({
                "timestamp": time_by(&SystemTime),
                "level": "WARN",
                "target": module_path!(),
                "message": format!("{count} {why}"),
                "dropped": count,
            });
            format!("{line}\n")
        }
    }
}

fn time_by(timer: &impl FormatTime) -> String {
    let mut time = String::new();
    // A string takes whatever it is given.
    let _ = timer.format_time(&mut Writer::new(&mut time));
    time
}

/// The time of day in UTC, to the millisecond.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        #[allow(
            clippy::disallowed_methods,
            reason = "the time of a message is for people; nothing is decided by it"
        )]
        let now = std::time::SystemTime::now();
        // A clock from before 1970 is as good as none.
        let since_1970 = now
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        writer.write_str(&time_of_day(since_1970))
    }
}

fn time_of_day(since_1970: std::time::Duration) -> String {
    let seconds = since_1970.as_secs() % 86_400;
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since_1970.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// A terminal that remembers what it was shown.
    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A terminal that was closed.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn shown(rust_log: Option<&str>, format: LogFormat, tell: impl FnOnce()) -> String {
        let screen = Screen::default();
        let writer = screen.clone();
        let filter = filter(rust_log.map(Into::into), Level::INFO).unwrap();
        let subscriber = subscriber(filter, format, false, move || Lossy(writer.clone()));
        tracing::subscriber::with_default(subscriber, tell);
        String::from_utf8(screen.0.lock().unwrap().clone()).unwrap()
    }

    fn tell() {
        tracing::info!(target: "area_net::node", event = "linked", peer = "alice", "link up");
        tracing::debug!(target: "area_net::node", "probe");
        tracing::info!(target: "quinn", "chatter");
        tracing::warn!(target: "quinn", "trouble");
    }

    #[test]
    fn people_see_time_level_message_and_fields() {
        let text = shown(None, LogFormat::Text, tell);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        let (time, rest) = lines[0].split_once(' ').unwrap();
        assert_eq!(time.len(), "00:00:00.000".len());
        assert_eq!(rest.trim(), "INFO link up peer=\"alice\"");
        assert!(lines[1].ends_with("WARN trouble"), "{text}");
    }

    #[test]
    fn programs_get_one_flat_object_a_line() {
        let text = shown(None, LogFormat::Json, tell);
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["message"], "link up");
        assert_eq!(first["peer"], "alice");
        assert_eq!(first["event"], "linked");
        assert_eq!(first["level"], "INFO");
        assert_eq!(first["target"], "area_net::node");
    }

    #[test]
    fn rust_log_replaces_the_levels() {
        let text = shown(Some("quinn=info"), LogFormat::Text, tell);
        assert!(
            text.contains("chatter") && !text.contains("link up"),
            "{text}"
        );
        let text = shown(Some(""), LogFormat::Text, tell);
        assert!(text.contains("link up"), "{text}");
    }

    #[test]
    fn a_bad_rust_log_is_named() {
        let error = filter(Some("area_net=loud".into()), Level::INFO).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("RUST_LOG is \"area_net=loud\""), "{said}");
    }

    #[test]
    fn a_closed_terminal_stops_nobody() {
        let filter = filter(None, Level::TRACE).unwrap();
        let subscriber = subscriber(filter, LogFormat::Text, false, || Lossy(Closed));
        tracing::subscriber::with_default(subscriber, tell);
    }

    /// A terminal that takes nothing until it is let go on, and tells that it was given something.
    struct Still {
        given: mpsc::Sender<()>,
        goes_on: mpsc::Receiver<()>,
        screen: Screen,
    }

    impl Write for Still {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.given.send(()).unwrap();
            self.goes_on.recv().unwrap();
            self.screen.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_terminal_that_stands_still_keeps_nobody_waiting_and_what_is_missing_is_told() {
        for (format, missing) in [
            (
                LogFormat::Text,
                "WARN 2 messages before this one were dropped: nobody took them",
            ),
            (LogFormat::Json, r#""dropped":2"#),
        ] {
            let screen = Screen::default();
            let ((given, is_given), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
            let still = Still {
                given,
                goes_on,
                screen: screen.clone(),
            };
            let (queue, guard) = Queue::to(still, 2, format);
            let say = |what: &str| queue.clone().write_all(what.as_bytes()).unwrap();
            say("first\n");
            is_given.recv().unwrap();
            // Two wait, and for two there is no room.
            for line in ["second\n", "third\n", "fourth\n", "fifth\n"] {
                say(line);
            }
            go_on.send(()).unwrap();
            is_given.recv().unwrap();
            // Now there is.
            say("sixth\n");
            for _ in 0..3 {
                go_on.send(()).unwrap();
            }
            drop(guard);
            let shown = String::from_utf8(screen.0.lock().unwrap().clone()).unwrap();
            let lines: Vec<_> = shown.lines().collect();
            assert_eq!(lines[..3], ["first", "second", "third"]);
            assert!(lines[3].contains(missing), "{shown}");
            assert_eq!(lines[4..], ["sixth"]);
        }
    }

    #[test]
    fn the_day_ends_at_midnight() {
        let at =
            |seconds, ms| time_of_day(Duration::from_secs(seconds) + Duration::from_millis(ms));
        assert_eq!(at(0, 0), "00:00:00.000");
        assert_eq!(at(86_399, 999), "23:59:59.999");
        assert_eq!(at(86_400 + 3661, 7), "01:01:01.007");
    }
}
