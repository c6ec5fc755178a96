//! The control stream of a connection, whose bytes arrive in the pieces that the input chooses.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::admission::{Credentials, MAX_CREDENTIALS};
use crate::transport::{FrameError, MAX_HELLO, Source, read_credentials, read_frame, read_hello};
use crate::wire::{CloseCode, MAX_FRAME, Message};

/// The longest bodies of frames on the control stream: of credentials, of a Hello, and of any other message.
pub const LIMITS: [usize; 3] = [MAX_CREDENTIALS, MAX_HELLO, MAX_FRAME];

/// What a node read from a control stream until it refused the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// What the stream of a closed network begins with.
    pub credentials: Option<Credentials>,
    /// The messages, of which the first is a Hello.
    pub messages: Vec<Message>,
    /// How the connection is closed, and why. A stream that ends is refused, too.
    pub refusal: (CloseCode, String),
    /// How many bytes were read before.
    pub read: usize,
    /// The most bytes for which a buffer had room.
    pub largest: usize,
}

/// Reads a control stream that arrives in these pieces, in a network that is closed or not, as a connection's task does.
#[must_use]
pub fn control_stream<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, is_closed: bool) -> Control {
    let mut stream = Pieces {
        left: pieces.into_iter().collect(),
        has_waited: false,
        read: 0,
        largest: 0,
    };
    let mut control = Control {
        credentials: None,
        messages: Vec::new(),
        refusal: (CloseCode::Protocol, String::new()),
        read: 0,
        largest: 0,
    };
    if let Err(FrameError::Violation(why, code)) =
        at_once(read_all(&mut stream, is_closed, &mut control))
    {
        control.refusal = (code, why);
    }
    Control {
        read: stream.read,
        largest: stream.largest,
        ..control
    }
}

/// Reads until an error.
async fn read_all(
    stream: &mut Pieces<'_>,
    is_closed: bool,
    control: &mut Control,
) -> Result<(), FrameError> {
    if is_closed {
        control.credentials = Some(read_credentials(stream).await?);
    }
    control
        .messages
        .push(Message::Hello(read_hello(stream).await?));
    loop {
        control.messages.push(read_frame(stream, MAX_FRAME).await?);
    }
}

/// A stream whose next piece arrives once the reader has waited for it.
struct Pieces<'a> {
    left: VecDeque<&'a [u8]>,
    has_waited: bool,
    read: usize,
    largest: usize,
}

impl Source for Pieces<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, quinn::ReadError> {
        self.largest = self.largest.max(buffer.len());
        while self.left.front().is_some_and(|piece| piece.is_empty()) {
            self.left.pop_front();
            self.has_waited = false;
        }
        poll_fn(|_| match std::mem::replace(&mut self.has_waited, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        let Some(piece) = self.left.front_mut() else {
            return Ok(None);
        };
        let count = piece.len().min(buffer.len());
        let (now, later) = piece.split_at(count);
        buffer[..count].copy_from_slice(now);
        *piece = later;
        self.read += count;
        Ok(Some(count))
    }
}

/// Runs a future that never waits for anything but its next turn.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
