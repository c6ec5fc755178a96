//! Follows the stream of the node, on a thread of its own.

use std::error::Error;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use ratatui::crossterm::event::KeyEvent;

use crate::ask::AskError;
use crate::ask::follow::{Source, Stream};
use crate::chronicle::Entry;
use crate::chronicle::lines;

/// How long to wait before a node that is gone is sought again. A node needs a second to start; half of it finds it hardly sooner, and
/// double is a wait that a person notices.
const AGAIN: Duration = Duration::from_millis(500);

/// The most entries in one message. The screen is drawn between messages, so a long history shows itself while it is read.
const BATCH: usize = 2000;

/// What the loop that has the screen waits for: news of the node, and of the terminal.
#[derive(Debug)]
pub(super) enum Message {
    /// A stream begins, of a node of that network.
    Begin(Arc<str>),
    /// What came on it.
    Entries(Vec<Entry>),
    /// It ended, and why.
    Lost(String),
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// The program was asked to stop, or its terminal is gone.
    Stop,
}

/// Follows the node until nobody listens. What is dropped at the other end of `quit` ends the wait for a node that is gone.
pub(super) fn follow(source: &Source, to: &SyncSender<Message>, quit: &Receiver<()>) {
    loop {
        let why = match session(source, to) {
            Ok(Over::Unheard) => return,
            Ok(Over::Ended) => "it has ended".to_owned(),
            Err(error) => {
                let cause = error.source().map(|cause| format!(": {cause}"));
                format!("{error}{}", cause.unwrap_or_default())
            }
        };
        if to.send(Message::Lost(why)).is_err() {
            return;
        }
        if quit.recv_timeout(AGAIN) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// How a stream came to its end.
enum Over {
    /// The node closed it.
    Ended,
    /// Nobody listens to us.
    Unheard,
}

fn session(source: &Source, to: &SyncSender<Message>) -> Result<Over, AskError> {
    let mut stream = source.open()?;
    let Some(header) = stream.line()? else {
        return Ok(Over::Ended);
    };
    let header = lines::read_header(&header).map_err(|error| unreadable(&error))?;
    if to.send(Message::Begin(header.network)).is_err() {
        return Ok(Over::Unheard);
    }
    while let Some(batch) = batch(&mut stream)? {
        if to.send(Message::Entries(batch)).is_err() {
            return Ok(Over::Unheard);
        }
    }
    Ok(Over::Ended)
}

/// The next entry, and those that have arrived with it; `None` at the end.
fn batch(stream: &mut Stream) -> Result<Option<Vec<Entry>>, AskError> {
    let mut entries = Vec::new();
    loop {
        let Some(line) = stream.line()? else {
            return Ok((!entries.is_empty()).then_some(entries));
        };
        let entry = lines::read_line(&line).map_err(|what| AskError::Unreadable { what })?;
        entries.extend(entry);
        if !stream.has_line() || entries.len() >= BATCH {
            return Ok(Some(entries));
        }
    }
}

fn unreadable(error: &dyn Error) -> AskError {
    AskError::Unreadable {
        what: error.to_string(),
    }
}
