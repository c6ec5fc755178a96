//! The life of one connection: its first Hello, then three loops in one task that read, write, and answer probes.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use rustls_pki_types::CertificateDer;
use tokio::sync::mpsc;

use super::admission::Place;
use super::frames::{FrameError, read_frame};
use super::tap::Watch;
use super::{HELLO_TIMEOUT, Handle, Shared, TransportEvent, closed, stranger};
use crate::identity::certified_id;
use crate::membership::{Closed, ConnId, Connected, DialError, DialId, Input};
use crate::record::MAX_RECORD;
use crate::wire::{
    Answer, CloseCode, Datagram, Hello, MAX_ALTERNATIVES, MAX_FRAME, Message, NodeId,
};

/// The largest Hello in bytes: a record and some numbers.
const MAX_HELLO: usize = MAX_RECORD + 128;
/// So many times more than the setting a dial may take where anything was heard from the other side.
const MORE_FOR_SLOW: u32 = 2;
/// Datagrams that a peer may send: as many as the fastest probing takes, four times over.
const DATAGRAMS_PER_S: u32 = 40;
const DATAGRAMS_BURST: u32 = 80;

/// What the event loop tells a connection's task.
#[derive(Debug)]
pub(super) enum Command {
    /// Write this frame to the control stream.
    Send(Vec<u8>),
}

/// What a dial is for.
pub(super) struct DialRequest {
    pub(super) dial: DialId,
    pub(super) addr: SocketAddr,
    pub(super) expect: Option<NodeId>,
    pub(super) replaces: bool,
    /// The other side may be starting up this very moment: that nobody listens there says nothing yet.
    pub(super) eager: bool,
    /// From before the first packet on.
    pub(super) watch: Watch,
}

/// Whose key answered, and whose must not.
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

/// Dials, says Hello, waits for the other side's, and then serves the connection.
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

/// Somebody who answers at all is only slow, or far away behind a narrow line, and gets more time.
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

/// Waits for the word that nobody listens there. Asking on would cost a full packet each time, and another one for each answer.
async fn nobody_there(request: &DialRequest) {
    if request.eager {
        std::future::pending::<()>().await;
    }
    request.watch.unreachable(&mut 0).await;
}

/// Where the handshake failed over a key, says so rather than repeat TLS's words.
fn refine(error: DialError, request: &DialRequest, seen: &Seen) -> DialError {
    // Our own key may be another run's: that it is this very node, its Hello tells, or its refusal.
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
    let peer = peer_of(&connection)
        .ok_or_else(|| DialError::Failed("its certificate shows no node id".to_owned()))?;
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
    // What the read says of a closed connection is more than what the write says.
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

/// Closes a connection whose dial is given up half-way.
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

/// Takes a stranger's connection as far as its Hello, and then serves it. The place bounds how many get that far at once.
pub(super) async fn accept(shared: Arc<Shared>, incoming: quinn::Incoming, place: Place) {
    let remote = incoming.remote_address();
    let arrived = shared.clock.timeout(HELLO_TIMEOUT, arrive(incoming)).await;
    drop(place);
    match arrived {
        Some(Ok((established, hello))) => serve(shared, established, hello, None).await,
        Some(Err((what, why))) => stranger(&shared, remote, what, why).await,
        None => {
            let why = format!("no Hello within {} s", HELLO_TIMEOUT.as_secs());
            stranger(&shared, remote, "hello_timeout", why).await;
        }
    }
}

async fn arrive(incoming: quinn::Incoming) -> Result<(Established, Hello), (&'static str, String)> {
    let failed = |error: ConnectionError| ("handshake_failed", error.to_string());
    let connection = incoming.accept().map_err(failed)?.await.map_err(failed)?;
    let guard = CloseOnDrop(Some(connection.clone()));
    let peer = peer_of(&connection).ok_or((
        "handshake_failed",
        "no node id in its certificate".to_owned(),
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
        | Message::Want(_)
        | Message::Superfluous(_)
        | Message::Have(_)
        | Message::Graft(_)
        | Message::Prune => Err(FrameError::Violation(
            "its first message was no Hello".to_owned(),
            CloseCode::Protocol,
        )),
    }
}

/// Where the peer is; an IPv4 peer of a dual-stack socket is shown as what it is.
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
    // The event loop has let go of the connection, by closing it.
    std::future::pending().await
}

/// Answers probes at once, without a trip through the event loop, and reports them and the answers to ours.
async fn answer(shared: &Shared, conn: ConnId, connection: &Connection, watch: &Watch) -> Closed {
    let mut allowance = Allowance {
        left: DATAGRAMS_BURST,
        at: shared.clock.now(),
    };
    loop {
        let bytes = match connection.read_datagram().await {
            Ok(bytes) => bytes,
            // The reader says why, once it has delivered what came before the end.
            Err(_) => return std::future::pending().await,
        };
        let read = shared.clock.now();
        let received = watch.arrived(bytes.len(), read);
        if !allowance.take(read) {
            continue;
        }
        let event = match Datagram::from_bytes(&bytes) {
            Ok(Datagram::Probe(probe)) => {
                let made = shared.clock.now();
                // Where it is not known how long the probe waited, the asker takes the wait for a part of the path.
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
        // A busy event loop must not keep us from answering; what it has no room for is as good as lost on the way.
        shared.events.try_send(event).ok();
    }
}

/// Passes on that nobody listens where the peer was.
async fn hear_icmp(shared: &Shared, conn: ConnId, watch: &Watch) -> Closed {
    let mut heard = 0;
    loop {
        watch.unreachable(&mut heard).await;
        // A hint among many: what there is no room for will be said again.
        let hint = TransportEvent::Input(Input::Unreachable(conn));
        shared.events.try_send(hint).ok();
    }
}

/// Datagrams over the allowance are dropped unread: a peer that floods only loses its own.
struct Allowance {
    left: u32,
    at: Instant,
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        let every = Duration::from_secs(1) / DATAGRAMS_PER_S;
        let earned = (now.duration_since(self.at).as_micros() / every.as_micros())
            .min(DATAGRAMS_BURST.into()) as u32;
        if earned > 0 {
            self.left = (self.left + earned).min(DATAGRAMS_BURST);
            self.at = now;
        }
        let within = self.left > 0;
        self.left = self.left.saturating_sub(1);
        within
    }
}
