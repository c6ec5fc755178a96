//! The log on stderr, as text for people or as JSON for programs.
//!
//! A node must outlive its terminal, so a line that can't be written is dropped without further effect. A node must not wait for
//! a terminal that is paused (Ctrl-S) or a pipe that nobody reads either. A thread of its own writes the lines. Once
//! [`MAX_QUEUED`] lines are queued, further ones are dropped and counted, and a line with their number precedes the next line.
//!
//! Each event is one line, and nothing in it can do anything to a terminal ([`plain`]), whatever peers and files contain. A panic is
//! an event, too (`panics`).
//!
//! If stderr leads to systemd's journal, each line begins with its priority, such as `<4>`, which the journal takes off again.

mod panics;
pub mod plain;

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{Level, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use crate::chronicle::Notes;
use crate::events::EventName;
use crate::sandbox;
use crate::settings::LogFormat;

pub use panics::report_panics;

/// The most lines that are queued for a stderr that accepts none.
pub const MAX_QUEUED: usize = 4096;

/// Keeps the log running. Dropping it waits for the queued lines, for about a second at most.
#[must_use]
#[derive(Debug)]
pub struct Lines(());

impl Drop for Lines {
    fn drop(&mut self) {
        drop(take_log());
    }
}

/// The log of this process: its queue, and the guard of its thread. A panic finishes it, too.
static LOG: Mutex<Option<(Queue, WorkerGuard)>> = Mutex::new(None);

fn take_log() -> Option<(Queue, WorkerGuard)> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner).take()
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
    /// The system has no thread left.
    #[error("can't set up the log: can't start a thread")]
    Thread(#[source] io::Error),
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
            Self::Thread(_) | Self::AlreadySet(_) => false,
        }
    }
}

/// Sends the log to stderr from now on. `RUST_LOG` selects the lines if it is set and not empty. Otherwise area-net's lines from
/// `level` up are shown, and those of other crates from "warn" up. Events from "info" up are noted in any case.
///
/// # Errors
/// When `RUST_LOG` is not a list of `target=level`, this process has set up a log before, or the system has no thread left.
pub fn init(level: Level, format: LogFormat, notes: Notes) -> Result<Lines, LogError> {
    let filter = filter(env::var_os("RUST_LOG"), level)?;
    let colours =
        io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let shape = Shape {
        format,
        colours,
        journal: leads_to_journal(env::var("JOURNAL_STREAM").ok().as_deref()),
    };
    // The library would panic.
    let thread = std::thread::Builder::new().spawn(|| ());
    thread.map_err(LogError::Thread)?.join().ok();
    let terminal = Sandboxed {
        writer: io::stderr(),
        joined: false,
    };
    let (queue, guard) = Queue::to(terminal, MAX_QUEUED, shape);
    let lines = queue.clone();
    let writer = move || lines.clone();
    let notes = Some(notes);
    tracing::subscriber::set_global_default(subscriber(filter, shape, writer, notes))?;
    *LOG.lock().unwrap_or_else(PoisonError::into_inner) = Some((queue, guard));
    Ok(Lines(()))
}

/// What a line looks like.
#[derive(Debug, Clone, Copy)]
struct Shape {
    format: LogFormat,
    colours: bool,
    /// Each line begins with its priority.
    journal: bool,
}

/// Whether stderr leads to the journal: systemd gives the journal's device and inode, and stderr may have been redirected since.
fn leads_to_journal(journal: Option<&str>) -> bool {
    let is = |journal: &str| {
        let stderr = fs::metadata("/proc/self/fd/2");
        stderr.is_ok_and(|it| format!("{}:{}", it.dev(), it.ino()) == *journal)
    };
    journal.is_some_and(is)
}

/// The priority of syslog's for a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// A format of lines, which begin with their priority if they go to the journal.
struct Prioritised<F> {
    inner: F,
    journal: bool,
}

impl<S, N, F> FormatEvent<S, N> for Prioritised<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        if self.journal {
            write!(writer, "<{}>", priority(*event.metadata().level()))?;
        }
        self.inner.format_event(context, writer, event)
    }
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
    shape: Shape,
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
    let Shape {
        format,
        colours,
        journal,
    } = shape;
    match format {
        LogFormat::Text => {
            let lines = lines
                .with_timer(TimeOfDay)
                .with_target(false)
                .with_ansi(colours)
                .map_event_format(|inner| Prioritised { inner, journal });
            Box::new(registry.with(lines.with_filter(filter)))
        }
        LogFormat::Json => {
            let lines = lines
                .json()
                .flatten_event(true)
                .map_event_format(|inner| Prioritised { inner, journal });
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

/// A writer whose thread joins the node's sandbox once there is one: the thread is older.
struct Sandboxed<W> {
    writer: W,
    joined: bool,
}

impl<W: Write> Write for Sandboxed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.joined {
            self.joined = sandbox::join();
        }
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// The queue of lines to write. The first line accepted after a drop is preceded by the number of dropped lines.
#[derive(Debug, Clone)]
struct Queue {
    queue: NonBlocking,
    shape: Shape,
    /// The number of dropped lines that the log has reported so far.
    reported: Arc<Mutex<usize>>,
}

impl Queue {
    /// A queue to that writer, and the guard that keeps its thread alive.
    fn to(
        writer: impl Write + Send + 'static,
        max_queued: usize,
        shape: Shape,
    ) -> (Self, WorkerGuard) {
        let queue = NonBlockingBuilder::default()
            .buffered_lines_limit(max_queued)
            .thread_name(panics::LOG_THREAD);
        let (queue, guard) = queue.finish(Lossy(writer));
        let reported = Arc::default();
        let queue = Self {
            queue,
            shape,
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
        let shown = plain::line(line, self.shape.colours);
        if before == *reported {
            self.queue.write_all(&shown)?;
            return Ok(line.len());
        }
        // One write for both lines: the queue accepts both or neither.
        let mut lines = gap(before - *reported, self.shape).into_bytes();
        lines.extend(&*shown);
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
fn gap(dropped: usize, shape: Shape) -> String {
    let fields = [("dropped", dropped.into())];
    finished(Level::WARN, EventName::LogLinesDropped, &fields, shape)
}

/// A line that doesn't come from the layers above.
fn finished(
    level: Level,
    name: EventName,
    fields: &[(&str, serde_json::Value)],
    shape: Shape,
) -> String {
    let priority = match shape.journal {
        true => format!("<{}>", priority(level)),
        false => String::new(),
    };
    match shape.format {
        LogFormat::Text => {
            let time = time_by(&TimeOfDay);
            let fields = fields.iter();
            let fields: String = fields
                .map(|(key, value)| format!(" {key}={value}"))
                .collect();
            format!("{priority}{time} {level:>5} {name}{fields}\n")
        }
        LogFormat::Json => {
            let mut line = serde_json::json!({
                "timestamp": time_by(&SystemTime),
                "level": level.as_str(),
                "target": module_path!(),
                "message": name.as_str(),
            });
            for (key, value) in fields {
                line[*key] = value.clone();
            }
            format!("{priority}{line}\n")
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
mod tests;
