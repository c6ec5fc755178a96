//! Panics as one line of the log: in which thread, where, why, and of which version.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write as _;
use std::panic::{self, PanicHookInfo};
use std::thread;

use serde_json::Value;
use tracing::Level;

use super::{LOG, Queue, finished, plain, take_log};
use crate::events::EventName;

/// The thread that writes the log. It can't write of its own panic.
pub(super) const LOG_THREAD: &str = "log";

/// From now on a panic is one line: of the log once there is one, and until then on stderr. In a release build the program ends
/// then, after the lines that wait for stderr, for which it waits about a second at most. With `RUST_BACKTRACE`, a backtrace follows.
pub fn report_panics() {
    panic::set_hook(Box::new(|info| {
        report(info);
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            // Nothing can be done if stderr is closed.
            let _ = writeln!(std::io::stderr(), "{trace}");
        }
    }));
}

fn report(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let fields = fields(info, thread);
    if thread != LOG_THREAD {
        // A build that unwinds may go on, and so does its log.
        let ends = cfg!(panic = "abort");
        let log = if ends {
            take_log().map(|(queue, guard)| (queue, Some(guard)))
        } else {
            // Whoever panicked may hold it.
            let log = LOG.try_lock().ok();
            log.and_then(|log| log.as_ref().map(|(queue, _)| (queue.clone(), None)))
        };
        if let Some((queue, finish)) = log {
            say(queue, &fields);
            drop(finish);
            return;
        }
    }
    let fields: String = fields
        .iter()
        .map(|(key, value)| format!(" {key}={value}"))
        .collect();
    let line = format!("area-net: {}{fields}", EventName::Panicked);
    let _ = writeln!(std::io::stderr(), "{}", plain::message(&line));
}

fn say(mut queue: Queue, fields: &[(&str, Value)]) {
    let line = finished(Level::ERROR, EventName::Panicked, fields, queue.shape);
    // A full queue drops it.
    let _ = queue.write_all(line.as_bytes());
}

fn fields(info: &PanicHookInfo<'_>, thread: &str) -> [(&'static str, Value); 4] {
    let place = info
        .location()
        .map_or_else(String::new, ToString::to_string);
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    let cause = text.unwrap_or("no message");
    [
        ("thread", thread.into()),
        ("place", place.into()),
        ("cause", cause.into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
    ]
}
