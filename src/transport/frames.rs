//! Reads the frames of a control stream.

use crate::admission::{Credentials, MAX_CREDENTIALS};
use crate::wire::{CloseCode, Message};

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error(transparent)]
    Closed(#[from] quinn::ConnectionError),
    #[error("{0}")]
    Violation(String, CloseCode),
}

pub(super) async fn read_frame(
    stream: &mut quinn::RecvStream,
    limit: usize,
) -> Result<Message, FrameError> {
    let body = read_body(stream, limit).await?;
    Message::from_body(&body)
        .map_err(|error| FrameError::Violation(error.to_string(), CloseCode::Protocol))
}

/// Reads what both ends of a connection in a closed network begin with.
pub(super) async fn read_credentials(
    stream: &mut quinn::RecvStream,
) -> Result<Credentials, FrameError> {
    let body = read_body(stream, MAX_CREDENTIALS).await?;
    Credentials::from_body(&body)
        .map_err(|error| FrameError::Violation(error.to_string(), CloseCode::Protocol))
}

async fn read_body(stream: &mut quinn::RecvStream, limit: usize) -> Result<Vec<u8>, FrameError> {
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

async fn read_exact(stream: &mut quinn::RecvStream, buffer: &mut [u8]) -> Result<(), FrameError> {
    stream
        .read_exact(buffer)
        .await
        .map_err(|error| match error {
            quinn::ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error)) => {
                error.into()
            }
            quinn::ReadExactError::ReadError(_) | quinn::ReadExactError::FinishedEarly(_) => {
                // A connection can't be used without its control stream.
                FrameError::Violation(
                    "the peer ended the control stream".to_owned(),
                    CloseCode::Protocol,
                )
            }
        })
}
