//! One connection: the Hellos, then one task that reads messages, writes messages, answers probes and listens for ICMP.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use rustls_pki_types::CertificateDer;
use tokio::sync::mpsc;

use super::admission::HandshakeSlot;
use super::frames::{FrameError, read_frame};
use super::tap::Watch;
use super::{HELLO_TIMEOUT, Handle, Rejected, Shared, TransportEvent, closed, report_rejected};
use crate::bucket::{Bucket, Rate};
use crate::identity::certified_id;
use crate::membership::{Closed, ConnId, Connected, DialError, DialId, Input};
use crate::record::MAX_RECORD;
use crate::wire::{
    Answer, CloseCode, Datagram, Hello, MAX_ALTERNATIVES, MAX_FRAME, Message, NodeId,
};

/// The largest Hello in bytes: the largest record, and 128 bytes for the numbers beside it.
const MAX_HELLO: usize = MAX_RECORD + 128;
/// The extension of a dial, in dial timeouts, once the other side has answered anything.
pub(crate) const MORE_FOR_SLOW: u32 = 2;
/// The datagrams that are accepted from a peer: in the long run four times what the fastest probing takes, and at once those of two
/// seconds.
const DATAGRAMS: Rate = Rate {
    burst: 80.0,
    per_s: 40.0,
};

/// A command of the event loop to a connection's task.
#[derive(Debug)]
pub(super) enum Command {
    /// Write this frame to the control stream.
    Send(Vec<u8>),
}

/// A dial as the core requested it.
pub(super) struct DialRequest {
    pub(super) dial: DialId,
    pub(super) addr: SocketAddr,
    pub(super) expect: Option<NodeId>,
    pub(super) replaces: bool,
    /// The other side may be starting at this moment, so ICMP "port unreachable" does not end the dial.
    pub(super) eager: bool,
    /// Observes the packets, from the first one on.
    pub(super) watch: Watch,
}

/// The node id that answered, and our own.
pub(super) struct Seen {
    pub(super) me: NodeId,
    pub(super) seen: Arc<OnceLock<NodeId>>,
}

/// A connection with its control stream.
struct Established {
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    peer: NodeId,
}

/// Dials, exchanges Hellos, and then serves the connection until it ends.
pub(super) async fn dial(
    shared: Arc<Shared>,
    connecting: quinn::Connecting,
    request: DialRequest,
    seen: Seen,
) {
    let reached = tokio::select! {
        biased;
        reached = reach_in_time(&shared, connecting, &request) => reached,
        () = nobody_there(&request) => Err(DialError::Unreachable),
    };
    let (established, hello) = match reached {
        Ok(reached) => reached,
        Err(error) => {
            let failed = Input::DialFailed(request.dial, refine(error, &request, &seen));
            shared.events.send(TransportEvent::Input(failed)).await.ok();
            return;
        }
    };
    let dialed = (request.dial, request.replaces);
    drop(request);
    serve(shared, established, hello, Some(dialed)).await;
}

/// Dials within the timeout. If any packet has come back by then, the path is only slow, and the dial gets more time.
async fn reach_in_time(
    shared: &Shared,
    connecting: quinn::Connecting,
    request: &DialRequest,
) -> Result<(Established, Hello), DialError> {
    let mut reached = std::pin::pin!(reach(shared, connecting, request));
    let clock = &shared.clock;
    if let Some(reached) = clock.timeout(shared.dial_timeout, &mut reached).await {
        return reached;
    }
    if !request.watch.has_heard() {
        return Err(DialError::Timeout);
    }
    let more = shared.dial_timeout * MORE_FOR_SLOW;
    let reached = clock.timeout(more, reached).await;
    reached.unwrap_or(Err(DialError::Timeout))
}

/// Waits for ICMP "port unreachable". The dial ends then: each further Initial would cost a full packet and an ICMP answer.
async fn nobody_there(request: &DialRequest) {
    if request.eager {
        std::future::pending::<()>().await;
    }
    request.watch.unreachable(&mut 0).await;
}

/// Replaces a TLS error by what it means, if another key than the expected one answered.
fn refine(error: DialError, request: &DialRequest, seen: &Seen) -> DialError {
    // Our own key alone does not prove that we reached ourselves: a second node may run with it. The refusal tells which.
    if matches!(
        error,
        DialError::Timeout
            | DialError::Unreachable
            | DialError::Refused(Some(CloseCode::IdentityInUse), _)
    ) {
        return error;
    }
    match (seen.seen.get(), request.expect) {
        (Some(id), _) if *id == seen.me => DialError::Myself,
        (Some(id), Some(expected)) if *id != expected => DialError::OtherKey,
        _ => error,
    }
}

async fn reach(
    shared: &Shared,
    connecting: quinn::Connecting,
    request: &DialRequest,
) -> Result<(Established, Hello), DialError> {
    let connection = connecting.await.map_err(refused)?;
    let guard = CloseOnDrop(Some(connection.clone()));
    let peer = peer_of(&connection).ok_or_else(|| {
        DialError::Failed("the peer's certificate contains no node id".to_owned())
    })?;
    let (mut send, mut recv) = connection.open_bi().await.map_err(refused)?;
    let greeting = shared.greeting.borrow().clone();
    let hello = Hello {
        run_id: greeting.run_id,
        dial_counter: request.dial.0,
        replaces: request.replaces,
        observed: remote_of(&connection),
        known: greeting.known,
        digest: greeting.digest,
        record: greeting.record,
    };
    let written = send.write_all(&Message::Hello(hello).to_frame()).await;
    let hello = read_hello(&mut recv).await;
    // If the connection was closed, the read error contains the reason and the write error does not.
    let hello = match (hello, written) {
        (Ok(hello), Ok(())) => hello,
        (Err(FrameError::Closed(error)), _) => return Err(refused(error)),
        (Err(FrameError::Violation(why, _)), _) => return Err(DialError::Failed(why)),
        (Ok(_), Err(error)) => return Err(DialError::Failed(error.to_string())),
    };
    guard.keep();
    Ok((
        Established {
            connection,
            send,
            recv,
            peer,
        },
        hello,
    ))
}

/// Closes the connection if its dial is cancelled before both Hellos.
struct CloseOnDrop(Option<Connection>);

impl CloseOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.close(VarInt::from_u32(CloseCode::HelloTimeout.number()), &[]);
        }
    }
}

fn refused(error: ConnectionError) -> DialError {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let code = CloseCode::from_number(close.error_code.into_inner());
            let alternatives: Vec<SocketAddr> =
                postcard::from_bytes(&close.reason).unwrap_or_default();
            DialError::Refused(
                code,
                alternatives.into_iter().take(MAX_ALTERNATIVES).collect(),
            )
        }
        ConnectionError::TimedOut => DialError::Timeout,
        other => DialError::Failed(other.to_string()),
    }
}

/// Accepts an incoming connection, waits for its Hello, and then serves it. The slot is held until the Hello.
pub(super) async fn accept(shared: Arc<Shared>, incoming: quinn::Incoming, slot: HandshakeSlot) {
    let remote = incoming.remote_address();
    let arrived = shared.clock.timeout(HELLO_TIMEOUT, arrive(incoming)).await;
    drop(slot);
    match arrived {
        Some(Ok((established, hello))) => serve(shared, established, hello, None).await,
        Some(Err((counter, cause))) => {
            let rejected = Rejected {
                remote,
                counter,
                cause,
            };
            report_rejected(&shared, rejected).await;
        }
        None => {
            let rejected = Rejected {
                remote,
                counter: "hello_timeout",
                cause: format!("no Hello within {} s", HELLO_TIMEOUT.as_secs()),
            };
            report_rejected(&shared, rejected).await;
        }
    }
}

async fn arrive(incoming: quinn::Incoming) -> Result<(Established, Hello), (&'static str, String)> {
    let failed = |error: ConnectionError| ("handshake_failed", error.to_string());
    let connection = incoming.accept().map_err(failed)?.await.map_err(failed)?;
    let guard = CloseOnDrop(Some(connection.clone()));
    let peer = peer_of(&connection).ok_or((
        "handshake_failed",
        "the peer's certificate contains no node id".to_owned(),
    ))?;
    let (send, mut recv) = connection
        .accept_bi()
        .await
        .map_err(|error| ("hello_missing", error.to_string()))?;
    let hello = read_hello(&mut recv).await.map_err(|error| match error {
        FrameError::Closed(error) => ("hello_missing", error.to_string()),
        FrameError::Violation(why, code) => {
            connection.close(VarInt::from_u32(code.number()), &[]);
            ("bad_hello", why)
        }
    })?;
    guard.keep();
    Ok((
        Established {
            connection,
            send,
            recv,
            peer,
        },
        hello,
    ))
}

async fn read_hello(recv: &mut RecvStream) -> Result<Hello, FrameError> {
    match read_frame(recv, MAX_HELLO).await? {
        Message::Hello(hello) => Ok(hello),
        Message::Records(_)
        | Message::Digests { .. }
        | Message::Versions { .. }
        | Message::Request(_)
        | Message::Superfluous(_)
        | Message::Have(_)
        | Message::Graft(_)
        | Message::Prune => Err(FrameError::Violation(
            "the peer's first message was not a Hello".to_owned(),
            CloseCode::Protocol,
        )),
    }
}

/// The peer's address. A dual-stack socket's IPv4-mapped address is converted to IPv4.
fn remote_of(connection: &Connection) -> SocketAddr {
    let remote = connection.remote_address();
    SocketAddr::new(remote.ip().to_canonical(), remote.port())
}

fn peer_of(connection: &Connection) -> Option<NodeId> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    certified_id(chain.first()?)
}

/// Reports the connection and serves it until it ends.
async fn serve(
    shared: Arc<Shared>,
    established: Established,
    hello: Hello,
    dialed: Option<(DialId, bool)>,
) {
    let Established {
        connection,
        send,
        recv,
        peer,
    } = established;
    let conn = shared.next_conn();
    let (commands, receiver) = mpsc::channel(4);
    let watch = Arc::new(shared.tap.watch(connection.remote_address()));
    let handle = Handle {
        connection: connection.clone(),
        commands,
        watch: watch.clone(),
    };
    let rtt_us = u32::try_from(connection.rtt().as_micros()).ok();
    let remote = remote_of(&connection);
    let connected = Connected {
        conn,
        dial: dialed.map(|(dial, _)| dial),
        peer,
        remote,
        hello,
        rtt_us,
        replaces: dialed.is_some_and(|(_, replaces)| replaces),
    };
    if shared
        .events
        .send(TransportEvent::Connected(Box::new((handle, connected))))
        .await
        .is_err()
    {
        return;
    }
    let why = tokio::select! {
        biased;
        why = read(&shared, conn, recv) => why,
        why = write(&shared, conn, send, receiver) => why,
        why = answer(&shared, conn, &connection, &watch) => why,
        why = hear_icmp(&shared, conn, &watch) => why,
    };
    if let Closed::Violation(code, _) = &why {
        connection.close(VarInt::from_u32(code.number()), &[]);
    }
    shared
        .events
        .send(TransportEvent::Input(Input::Closed(conn, why)))
        .await
        .ok();
}

async fn read(shared: &Shared, conn: ConnId, mut recv: RecvStream) -> Closed {
    loop {
        let message = match read_frame(&mut recv, MAX_FRAME).await {
            Ok(message) => message,
            Err(FrameError::Closed(error)) => return closed(error),
            Err(FrameError::Violation(why, code)) => return Closed::Violation(code, why),
        };
        if shared
            .events
            .send(TransportEvent::Input(Input::Message(conn, message)))
            .await
            .is_err()
        {
            return Closed::Local;
        }
    }
}

async fn write(
    shared: &Shared,
    conn: ConnId,
    mut send: SendStream,
    mut commands: mpsc::Receiver<Command>,
) -> Closed {
    while let Some(Command::Send(frame)) = commands.recv().await {
        match send.write_all(&frame).await {
            Ok(()) => {}
            Err(quinn::WriteError::ConnectionLost(_)) => return std::future::pending().await,
            Err(error) => return Closed::Violation(CloseCode::Protocol, error.to_string()),
        }
        if shared
            .events
            .send(TransportEvent::Input(Input::Flushed(conn)))
            .await
            .is_err()
        {
            return Closed::Local;
        }
    }
    // The event loop has dropped its handle after closing the connection; the reader returns the reason.
    std::future::pending().await
}

/// Answers probes in this task, so that the event loop's delay does not count as path delay. Reports probes and answers.
async fn answer(shared: &Shared, conn: ConnId, connection: &Connection, watch: &Watch) -> Closed {
    let began = shared.clock.now();
    let mut limiter = Bucket::holding(Duration::ZERO, DATAGRAMS.burst);
    loop {
        let bytes = match connection.read_datagram().await {
            Ok(bytes) => bytes,
            // The reader returns the reason, after it has delivered the messages before the end.
            Err(_) => return std::future::pending().await,
        };
        let read = shared.clock.now();
        let received = watch.arrived(bytes.len(), read);
        // A datagram over the limit is dropped unread, which harms that peer alone.
        if !limiter.take_one(read.duration_since(began), DATAGRAMS) {
            continue;
        }
        let event = match Datagram::from_bytes(&bytes) {
            Ok(Datagram::Probe(probe)) => {
                let made = shared.clock.now();
                // If the arrival is unknown, the probe's wait is unknown too, and the peer counts it as path delay.
                let hold = made.duration_since(received.unwrap_or(read)) + watch.answer_lag();
                let answer = Answer {
                    seq: probe.seq,
                    hold_us: u32::try_from(hold.as_micros()).unwrap_or(u32::MAX),
                };
                let bytes = Datagram::Answer(answer).to_bytes();
                watch.answer_queued(bytes.len(), made);
                connection.send_datagram(bytes.into()).ok();
                TransportEvent::Input(Input::Probe(conn, probe))
            }
            Ok(Datagram::Answer(answer)) => TransportEvent::Answer(conn, answer, received),
            Err(error) => return Closed::Violation(CloseCode::Protocol, error.to_string()),
        };
        // `try_send`: a busy event loop must not delay answers. A report that finds no room counts as lost on the path.
        shared.events.try_send(event).ok();
    }
}

/// Reports each ICMP "port unreachable" about the peer's address.
async fn hear_icmp(shared: &Shared, conn: ConnId, watch: &Watch) -> Closed {
    let mut heard = 0;
    loop {
        watch.unreachable(&mut heard).await;
        // `try_send`: a dropped hint costs little, since the next probe draws another.
        let hint = TransportEvent::Input(Input::Unreachable(conn));
        shared.events.try_send(hint).ok();
    }
}
