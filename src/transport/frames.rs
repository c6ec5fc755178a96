//! Reads the frames of a control stream, whose bytes arrive in pieces of any length.

use std::future::Future;

use crate::admission::{Credentials, MAX_CREDENTIALS};
use crate::wire::{CloseCode, Message};

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error(transparent)]
    Closed(#[from] quinn::ConnectionError),
    #[error("{0}")]
    Violation(String, CloseCode),
}

/// Where the bytes of frames come from: a stream of quinn, or pieces that fuzzing chooses.
pub(crate) trait Source: Send {
    /// Reads some bytes, at least one, into the front of a buffer that is not empty. `None`: the stream has ended.
    fn read(
        &mut self,
        buffer: &mut [u8],
    ) -> impl Future<Output = Result<Option<usize>, quinn::ReadError>> + Send;
}

impl Source for quinn::RecvStream {
    fn read(
        &mut self,
        buffer: &mut [u8],
    ) -> impl Future<Output = Result<Option<usize>, quinn::ReadError>> + Send {
        Self::read(self, buffer)
    }
}

pub(crate) async fn read_frame(
    stream: &mut impl Source,
    limit: usize,
) -> Result<Message, FrameError> {
    let body = read_body(stream, limit).await?;
    Message::from_body(&body)
        .map_err(|error| FrameError::Violation(error.to_string(), CloseCode::Protocol))
}

/// Reads what both ends of a connection in a closed network begin with.
pub(crate) async fn read_credentials(stream: &mut impl Source) -> Result<Credentials, FrameError> {
    let body = read_body(stream, MAX_CREDENTIALS).await?;
    Credentials::from_body(&body)
        .map_err(|error| FrameError::Violation(error.to_string(), CloseCode::Protocol))
}

async fn read_body(stream: &mut impl Source, limit: usize) -> Result<Vec<u8>, FrameError> {
    let mut head = [0; 4];
    read_exact(stream, &mut head).await?;
    let length = u32::from_be_bytes(head) as usize;
    if length > limit {
        let why = format!("a frame of {length} bytes exceeds the limit of {limit}");
        return Err(FrameError::Violation(why, CloseCode::Limit));
    }
    let mut body = vec![0; length];
    read_exact(stream, &mut body).await?;
    Ok(body)
}

async fn read_exact(stream: &mut impl Source, mut buffer: &mut [u8]) -> Result<(), FrameError> {
    while !buffer.is_empty() {
        match stream.read(buffer).await {
            Ok(Some(count)) => buffer = &mut buffer[count..],
            Err(quinn::ReadError::ConnectionLost(error)) => return Err(error.into()),
            // A connection can't be used without its control stream.
            Ok(None) | Err(_) => {
                return Err(FrameError::Violation(
                    "the peer ended the control stream".to_owned(),
                    CloseCode::Protocol,
                ));
            }
        }
    }
    Ok(())
}
