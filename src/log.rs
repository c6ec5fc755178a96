//! The log on stderr, as text for people or as JSON for programs.
//!
//! A node must outlive its terminal, so a line that can't be written is dropped without further effect. A node must not wait for
//! a terminal that is paused (Ctrl-S) or a pipe that nobody reads either. A thread of its own writes the lines. Once
//! [`MAX_QUEUED`] lines are queued, further ones are dropped and counted, and a line with their number precedes the next line.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{Level, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::chronicle::Notes;
use crate::events::EventName;
use crate::settings::LogFormat;

/// The most lines that are queued for a stderr that accepts none.
pub const MAX_QUEUED: usize = 4096;

/// Keeps the log running. Dropping it waits for the queued lines, for about a second at most.
#[must_use]
#[derive(Debug)]
pub struct Lines {
    _writer: WorkerGuard,
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `RUST_LOG` is set, and is not a list of `target=level`.
    #[error(
        "can't set up the log: RUST_LOG is {value:?}: {cause}; write a list such as area_net=debug,quinn=info"
    )]
    Filter {
        /// The value of `RUST_LOG`.
        value: OsString,
        /// The parser's error as text: its own source repeats it, so a chain of causes would print it twice.
        cause: String,
    },
    /// This process has set up a log before.
    #[error("can't set up the log: this process has one already")]
    AlreadySet(#[from] tracing::subscriber::SetGlobalDefaultError),
}

impl LogError {
    /// Whether the user's input is at fault.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Filter { .. } => true,
            Self::AlreadySet(_) => false,
        }
    }
}

/// Sends the log to stderr from now on. `RUST_LOG` selects the lines if it is set and not empty. Otherwise area-net's lines from
/// `level` up are shown, and those of other crates from "warn" up. Events from "info" up are noted in any case.
///
/// # Errors
/// When `RUST_LOG` is not a list of `target=level`, or this process has set up a log before.
pub fn init(level: Level, format: LogFormat, notes: Notes) -> Result<Lines, LogError> {
    let filter = filter(env::var_os("RUST_LOG"), level)?;
    let colours =
        io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (queue, guard) = Queue::to(io::stderr(), MAX_QUEUED, format);
    let writer = move || queue.clone();
    let notes = Some(notes);
    tracing::subscriber::set_global_default(subscriber(filter, format, colours, writer, notes))?;
    Ok(Lines { _writer: guard })
}

fn filter(rust_log: Option<OsString>, level: Level) -> Result<Targets, LogError> {
    let Some(value) = rust_log.filter(|value| !value.is_empty()) else {
        return Ok(Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("area_net", level));
    };
    let Some(text) = value.to_str() else {
        let cause = "it is not UTF-8".to_owned();
        return Err(LogError::Filter { value, cause });
    };
    let parsed = text.parse::<Targets>();
    parsed.map_err(|error| LogError::Filter {
        cause: error.to_string(),
        value,
    })
}

fn subscriber<W>(
    filter: Targets,
    format: LogFormat,
    colours: bool,
    writer: W,
    notes: Option<Notes>,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // The layer would report a failed write on stderr too, and panic there.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .log_internal_errors(false);
    // A filter of its own: what a history notes doesn't depend on what the log shows.
    let noted = Targets::new().with_target("area_net", LevelFilter::INFO);
    let registry = tracing_subscriber::registry().with(notes.with_filter(noted));
    match format {
        LogFormat::Text => {
            let lines = lines
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

/// A writer that accepts every line, and drops those that can't be written.
struct Lossy<W>(W);

impl<W: Write> Write for Lossy<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // After a partial write, the rest of the line is useless: no retry.
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

/// The queue of lines to write. The first line accepted after a drop is preceded by the number of dropped lines.
#[derive(Clone)]
struct Queue {
    queue: NonBlocking,
    format: LogFormat,
    /// The number of dropped lines that the log has reported so far.
    reported: Arc<Mutex<usize>>,
}

impl Queue {
    /// A queue to that writer, and the guard that keeps its thread alive.
    fn to(
        writer: impl Write + Send + 'static,
        max_queued: usize,
        format: LogFormat,
    ) -> (Self, WorkerGuard) {
        let queue = NonBlockingBuilder::default()
            .buffered_lines_limit(max_queued)
            .thread_name("log");
        let (queue, guard) = queue.finish(Lossy(writer));
        let reported = Arc::default();
        let queue = Self {
            queue,
            format,
            reported,
        };
        (queue, guard)
    }
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let dropped = self.queue.error_counter();
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let before = dropped.dropped_lines();
        if before == *reported {
            return self.queue.write(line);
        }
        // One write for both lines: the queue accepts both or neither.
        let mut lines = gap(before - *reported, self.format).into_bytes();
        lines.extend(line);
        self.queue.write_all(&lines)?;
        if dropped.dropped_lines() == before {
            *reported = before;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.queue.flush()
    }
}

/// The line that reports dropped lines. It is made here, since the queue sees finished lines only.
fn gap(dropped: usize, format: LogFormat) -> String {
    let name = EventName::LogLinesDropped;
    match format {
        LogFormat::Text => format!("{}  WARN {name} dropped={dropped}\n", time_by(&TimeOfDay)),
        LogFormat::Json => {
            let line = serde_json::json!({
                "timestamp": time_by(&SystemTime),
                "level": "WARN",
                "target": module_path!(),
                "message": name.as_str(),
                "dropped": dropped,
            });
            format!("{line}\n")
        }
    }
}

fn time_by(timer: &impl FormatTime) -> String {
    let mut time = String::new();
    // A write to a String can't fail.
    let _ = timer.format_time(&mut Writer::new(&mut time));
    time
}

/// The time of day in UTC, to the millisecond.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        #[allow(
            clippy::disallowed_methods,
            reason = "the time of a line is for people; no decision depends on it"
        )]
        let now = std::time::SystemTime::now();
        // A clock before 1970 is shown as midnight.
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

    /// A terminal that keeps what it was given.
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
        let subscriber = subscriber(filter, format, false, move || Lossy(writer.clone()), None);
        tracing::subscriber::with_default(subscriber, tell);
        String::from_utf8(screen.0.lock().unwrap().clone()).unwrap()
    }

    fn tell() {
        tracing::info!(target: "area_net::node", peer = "alice", "link up");
        tracing::debug!(target: "area_net::node", "probe");
        tracing::info!(target: "quinn", "chatter");
        tracing::warn!(target: "quinn", "trouble");
    }

    #[test]
    fn text_contains_time_level_message_and_fields() {
        let text = shown(None, LogFormat::Text, tell);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        let (time, rest) = lines[0].split_once(' ').unwrap();
        assert_eq!(time.len(), "00:00:00.000".len());
        assert_eq!(rest.trim(), "INFO link up peer=\"alice\"");
        assert!(lines[1].ends_with("WARN trouble"), "{text}");
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let text = shown(None, LogFormat::Json, tell);
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["message"], "link up");
        assert_eq!(first["peer"], "alice");
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
    fn a_closed_terminal_does_not_stop_the_program() {
        let filter = filter(None, Level::TRACE).unwrap();
        let subscriber = subscriber(filter, LogFormat::Text, false, || Lossy(Closed), None);
        tracing::subscriber::with_default(subscriber, tell);
    }

    /// A terminal that reports each write, and blocks until the test lets it continue.
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
    fn a_blocked_terminal_delays_nobody_and_dropped_lines_are_reported() {
        for (format, missing) in [
            (LogFormat::Text, "WARN log lines dropped dropped=2"),
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
            // The queue takes two lines and drops two.
            for line in ["second\n", "third\n", "fourth\n", "fifth\n"] {
                say(line);
            }
            go_on.send(()).unwrap();
            is_given.recv().unwrap();
            // The queue has room again.
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
