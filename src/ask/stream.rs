//! The stream of a running node, for whoever records it.

use std::io;
use std::time::Duration;

use super::http::Answer;
use super::show::Screen;
use super::{AskError, Desk, PATIENCE, Places, now_ms, pause, times};

/// An open stream.
#[derive(Debug)]
pub struct Stream {
    /// The profile of the node.
    pub profile: String,
    answer: Answer,
}

/// Asks a node for its stream, from that time on: `live`, or one of those that [`crate::ask`] reads.
///
/// # Errors
/// When no node runs, or it refuses.
pub fn stream(profile: Option<&str>, from: Option<&str>) -> Result<Stream, AskError> {
    let desk = Desk {
        places: Places::of_this_process(),
        patience: PATIENCE,
        screen: Screen {
            width: None,
            colours: false,
        },
        height: None,
        out: Box::new(io::sink()),
        wait: Box::new(pause),
        now_ms: now_ms(),
    };
    let from = match from {
        None => "live".to_owned(),
        Some("begin") => "begin".to_owned(),
        Some(time) => desk.time("--from", time)?.to_string(),
    };
    let profile = desk.places.find(profile)?.profile;
    let target = format!("/v1/stream?from={from}&map=none");
    let answer = desk.open(Some(&profile), &target)?;
    Ok(Stream { profile, answer })
}

impl Stream {
    /// The next piece of it; `None` when the node has ended. An idle node sends something every few seconds.
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        // A node that is killed cuts its answer off.
        self.answer.piece(None).ok().flatten()
    }
}

/// Reads a duration that a flag has.
///
/// # Errors
/// When it is none.
pub fn duration(flag: &str, text: &str) -> Result<Duration, AskError> {
    let ms = times::duration(text).ok_or_else(|| AskError::BadArgument {
        argument: format!("{flag} {}", super::text::clean(text)),
        what: "not a duration; write 30s, 10min or 1h30m".to_owned(),
    })?;
    Ok(Duration::from_millis(ms))
}
