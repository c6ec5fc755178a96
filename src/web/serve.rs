//! Speaks HTTP/1.1, with bounds on everything that a client decides.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::body::{Answer, Content, Problem};
use super::listen::{ACCEPT_PAUSE, Accepted, Listener, Pipe, Watched};
use super::site::Site;
use super::{guard, routes};

/// The time for a request's head, and the longest silence between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;

/// How long a client may take nothing of an answer that waits for it.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Serves the connection that came first, if there was one, and those that come to the listeners. It ends only if nothing can be
/// served.
pub(super) async fn serve_after(
    site: Arc<Site>,
    first: Option<Accepted>,
    listeners: Vec<Listener>,
) {
    tokio::spawn(Arc::clone(&site.feed).run());
    tokio::spawn(Arc::clone(&site.maps).run());
    if let Some(first) = first {
        admit(&site, first);
    }
    let accepting = listeners.into_iter().filter_map(|it| it.watch().ok());
    let tasks: Vec<_> = accepting
        .map(|listener| tokio::spawn(accept(Arc::clone(&site), listener)))
        .collect();
    for task in tasks {
        let _never = task.await;
    }
}

/// Serves the connections that come to the listeners.
pub async fn serve(site: Arc<Site>, listeners: Vec<Listener>) {
    serve_after(site, None, listeners).await;
}

async fn accept(site: Arc<Site>, listener: Watched) {
    loop {
        match listener.accept().await {
            Ok(stream) => admit(&site, stream),
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Serves a connection, or closes it if there are too many.
fn admit(site: &Arc<Site>, stream: Accepted) {
    let is_unix = stream.is_unix();
    let places = if is_unix { &site.unix } else { &site.tcp };
    if let (Ok(place), Ok(stream)) = (Arc::clone(places).try_acquire_owned(), stream.watch()) {
        tokio::spawn(connection(Arc::clone(site), stream, is_unix, place));
    }
}

pub(super) async fn connection(
    site: Arc<Site>,
    stream: Box<dyn Pipe>,
    is_unix: bool,
    _place: OwnedSemaphorePermit,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let site = Arc::clone(&site);
        async move { Ok::<_, std::convert::Infallible>(answer(&site, &request, is_unix).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Impatient::new(stream)), service);
    // Whatever went wrong went wrong between the client and the system.
    let _ended = served.await;
}

/// Serves one connection until it ends.
pub(crate) async fn serve_one(site: Arc<Site>, stream: tokio::net::UnixStream, is_unix: bool) {
    let places = if is_unix { &site.unix } else { &site.tcp };
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        connection(site, Box::new(stream), is_unix, place).await;
    }
}

async fn answer(site: &Arc<Site>, request: &Request<Incoming>, is_unix: bool) -> Answer {
    let path = request.uri().path();
    let allowed = guard::check_method(request.method(), request.headers()).and_then(|()| {
        if is_unix {
            return Ok(());
        }
        if request.uri().authority().is_some() {
            let what = "the target of the request is that of a proxy";
            return Err(Problem::new(StatusCode::BAD_REQUEST, what));
        }
        let needs_token = routes::needs_token(path);
        guard::check_tcp(request.headers(), site.token.as_deref(), needs_token)
    });
    let answered = match allowed {
        Ok(()) => {
            let accept = request.headers().get(header::ACCEPT);
            let accept = accept.and_then(|accept| accept.to_str().ok());
            routes::answer(site, path, request.uri().query(), accept, is_unix).await
        }
        Err(problem) => Err(problem),
    };
    let mut answer = answered.unwrap_or_else(Problem::answer);
    guard::protect(answer.headers_mut());
    if *request.method() == Method::HEAD {
        *answer.body_mut() = Content::Whole(None);
    }
    answer
}

/// Gives up a client that takes nothing for too long, so that it can't hold a place for ever.
struct Impatient {
    inner: Box<dyn Pipe>,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn new(inner: Box<dyn Pipe>) -> Self {
        let stalled = None;
        Self { inner, stalled }
    }

    /// Watches over a write or a flush.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
        let until = || Box::pin(sleep_until(Instant::now() + STALL_TIMEOUT));
        match self.stalled.get_or_insert_with(until).as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch(cx, wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
