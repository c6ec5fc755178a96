//! Answers: whole ones, and streams.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::answers::{Failure, FailureKind};

/// The content of an answer.
#[derive(Debug)]
pub(super) enum Content {
    /// All of it.
    Whole(Option<Bytes>),
    /// Parts, as they are made. At most one waits: a reader that is slow makes its writer wait.
    Parts(mpsc::Receiver<Bytes>),
}

pub(super) type Answer = Response<Content>;

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Parts(parts) => parts.poll_recv(cx),
        };
        part.map(|part| part.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Parts(_) => SizeHint::default(),
        }
    }
}

pub(super) const JSON: &str = "application/json";
pub(super) const LINES: &str = "application/x-ndjson";

/// An answer of that type.
pub(super) fn whole(content_type: &'static str, bytes: impl Into<Bytes>) -> Answer {
    typed(content_type, Content::Whole(Some(bytes.into())))
}

/// An answer that never ends, or not at once.
pub(super) fn parts(content_type: &'static str, parts: mpsc::Receiver<Bytes>) -> Answer {
    typed(content_type, Content::Parts(parts))
}

fn typed(content_type: &'static str, content: Content) -> Answer {
    let mut answer = Response::new(content);
    let value = HeaderValue::from_static(content_type);
    answer.headers_mut().insert(header::CONTENT_TYPE, value);
    answer
}

/// An answer as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Answer {
    let mut bytes = serde_json::to_vec(value).expect("nothing in an answer can't be JSON");
    bytes.push(b'\n');
    whole(JSON, bytes)
}

/// Why a request gets no answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    failure: Box<Failure>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, what: impl Into<String>) -> Self {
        let kind = match status {
            StatusCode::BAD_REQUEST => FailureKind::BadRequest,
            StatusCode::GONE => FailureKind::BeforeHistory,
            _ => FailureKind::Other,
        };
        let failure = Box::new(Failure::new(kind, what.into(), String::new()));
        Self { status, failure }
    }

    /// Says what to do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.failure.error.hint = hint.into();
        self
    }

    pub(super) fn answer(self) -> Answer {
        let mut answer = json(&self.failure);
        *answer.status_mut() = self.status;
        answer
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = match failure.error.kind {
            FailureKind::NoNode | FailureKind::NoLink => StatusCode::NOT_FOUND,
            FailureKind::SeveralNodes => StatusCode::CONFLICT,
            FailureKind::BeforeHistory => StatusCode::GONE,
            FailureKind::BadRequest => StatusCode::BAD_REQUEST,
            FailureKind::Other => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let failure = Box::new(failure);
        Self { status, failure }
    }
}
