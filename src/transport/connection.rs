//! One connection: the Hellos, then one task that reads messages, writes messages, answers probes and listens for ICMP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use rustls_pki_types::CertificateDer;
use tokio::sync::mpsc;

use super::admission::{HandshakeSlot, Progress};
use super::config::STREAM_WINDOW;
use super::congestion::room;
use super::frames::{FrameError, Source, read_credentials, read_frame};
use super::qlog::Side;
use super::spare::{Lease, come_home};
use super::tap::Watch;
use super::{HELLO_TIMEOUT, Handle, Rejected, Shared, TransportEvent, closed, report_rejected};
use crate::admission::{Refusal, Role, Session};
use crate::bucket::{Bucket, Rate};
use crate::identity::certified_id;
use crate::membership::{Closed, ConnId, Connected, DialId, Input, Tuning};
use crate::record::MAX_RECORD;
use crate::wire::{Answer, CloseCode, Datagram, Hello, MAX_FRAME, Message, NodeId, plain};

/// The largest Hello in bytes: the largest record, and 128 bytes for the numbers beside it.
pub(crate) const MAX_HELLO: usize = MAX_RECORD + 128;
/// The datagrams that are accepted from a peer: in the long run twice what the fastest probing takes, and at once those of two
/// seconds. Echoes are among them.
const DATAGRAMS: Rate = Rate {
    burst: 80.0,
    per_s: 40.0,
};
/// The datagrams a second of the fastest probing: ten probes and ten answers.
const PROBING_PER_S: f64 = 20.0;

// What others have a node pass on must not make its neighbour drop its probes.
const _: () = {
    let echo = Tuning::DEFAULT.echo;
    assert!(echo.sent_per_s + PROBING_PER_S <= DATAGRAMS.per_s);
    assert!(echo.sent_burst + PROBING_PER_S <= DATAGRAMS.burst);
};

/// A command of the event loop to a connection's task.
#[derive(Debug)]
pub(super) enum Command {
    /// Write this frame to the control stream.
    Send(Vec<u8>),
}

/// The dial that a connection came from.
pub(super) struct Dialed {
    pub(super) dial: DialId,
    pub(super) replaces: bool,
    /// The spare port that it left from.
    pub(super) spare: Option<Lease>,
}

/// A connection with its control stream.
pub(super) struct Established {
    pub(super) connection: Connection,
    pub(super) send: SendStream,
    pub(super) recv: RecvStream,
    pub(super) peer: NodeId,
    /// The round-trip time of its first packets.
    pub(super) rtt: Duration,
}

/// Closes the connection if its dial is cancelled before both Hellos.
pub(super) struct CloseOnDrop(Option<Connection>);

impl CloseOnDrop {
    pub(super) fn new(connection: &Connection) -> Self {
        Self(Some(connection.clone()))
    }

    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            close(&connection, CloseCode::HelloTimeout);
        }
    }
}

/// Accepts an incoming connection, waits for its Hello, and then serves it. The slot is held until the Hello.
pub(super) async fn accept(
    shared: Arc<Shared>,
    incoming: quinn::Incoming,
    mut slot: HandshakeSlot,
) {
    let remote = incoming.remote_address();
    let arriving = arrive(&shared, incoming, slot.progress());
    let arrived = tokio::select! {
        biased;
        arrived = shared.clock.timeout(HELLO_TIMEOUT, arriving) => arrived,
        () = slot.lost() => {
            let cause = "it gave its place to a newcomer: it did not get on";
            Some(Err(Absent::Failed("handshake_yielded", cause.to_owned())))
        }
    };
    drop(slot);
    let rejected = match arrived {
        Some(Ok((established, hello))) => {
            serve(shared, established, hello, None).await;
            return;
        }
        Some(Err(Absent::Abandoned)) => return,
        Some(Err(Absent::Failed(counter, cause))) => Rejected::new(remote, counter, cause),
        Some(Err(Absent::Refused(peer, why))) => Rejected::refused(remote, peer, false, &why),
        None => {
            let cause = format!("no Hello within {} s", HELLO_TIMEOUT.as_secs());
            Rejected::new(remote, "hello_timeout", cause)
        }
    };
    report_rejected(&shared, rejected).await;
}

/// Why no Hello came.
enum Absent {
    /// Another address of this node was faster, or the dialer gave up: nothing to report.
    Abandoned,
    /// The counter, and the cause.
    Failed(&'static str, String),
    /// The dialer may not be a member.
    Refused(Option<NodeId>, Refusal),
}

impl Absent {
    fn during(counter: &'static str, error: &ConnectionError) -> Self {
        if is_abandoned(error) {
            Self::Abandoned
        } else if is_other_network(error) {
            Self::Refused(None, Refusal::OtherNetwork)
        } else {
            Self::Failed(counter, error.to_string())
        }
    }
}

/// Waits for the Hello; in a closed network, for the dialer's credentials before.
async fn arrive(
    shared: &Shared,
    incoming: quinn::Incoming,
    progress: Progress,
) -> Result<(Established, Hello), Absent> {
    let failed = |error: ConnectionError| Absent::during("handshake_failed", &error);
    let missing = |error: ConnectionError| Absent::during("hello_missing", &error);
    let connecting = match &shared.logged {
        None => incoming.accept(),
        Some((server, configs)) => {
            let mut server = server.clone();
            server.transport_config(configs.of(Side::Accepted, incoming.remote_address()));
            incoming.accept_with(Arc::new(server))
        }
    };
    let connection = connecting.map_err(failed)?.await.map_err(failed)?;
    progress.shaken(shared.since_start());
    let guard = CloseOnDrop::new(&connection);
    let peer = peer_of(&connection).ok_or_else(|| {
        let why = "the peer's certificate contains no node id";
        Absent::Failed("handshake_failed", why.to_owned())
    })?;
    let refuse = |why: Refusal| {
        close(&connection, why.code());
        Absent::Refused(Some(peer), why)
    };
    shared.admission.admit_id(&peer).map_err(refuse)?;
    let (mut send, mut recv) = connection.accept_bi().await.map_err(missing)?;
    if shared.admission.is_closed() {
        let session = Session::of(&connection, Role::Acceptor, shared.me, peer);
        let shown = read_credentials(&mut recv).await;
        let shown = shown.map_err(|error| match error {
            FrameError::Closed(error) => missing(error),
            FrameError::Violation(why, _) => refuse(Refusal::Malformed(why)),
        })?;
        shared.admission.admit(&session, &shown).map_err(refuse)?;
        let ours = shared.admission.credentials(&session).to_frame();
        // If the connection is gone, the read of the Hello tells the reason.
        send.write_all(&ours).await.ok();
    }
    let hello = read_hello(&mut recv).await.map_err(|error| match error {
        FrameError::Closed(error) => missing(error),
        FrameError::Violation(why, code) => {
            close(&connection, code);
            Absent::Failed("bad_hello", why)
        }
    })?;
    guard.keep();
    Ok((
        Established {
            rtt: connection.rtt(),
            connection,
            send,
            recv,
            peer,
        },
        hello,
    ))
}

pub(super) fn close(connection: &Connection, code: CloseCode) {
    connection.close(VarInt::from_u32(code.number()), &[]);
}

/// Whether TLS found no common application protocol: the two ends are of two networks, or of two versions.
pub(super) fn is_other_network(error: &ConnectionError) -> bool {
    /// The alert `no_application_protocol` of RFC 7301.
    const NO_COMMON_PROTOCOL: u8 = 120;
    let code = match error {
        ConnectionError::TransportError(error) => error.code,
        ConnectionError::ConnectionClosed(close) => close.error_code,
        _ => return false,
    };
    code == quinn::TransportErrorCode::crypto(NO_COMMON_PROTOCOL)
}

/// Whether the dialer dropped the connection in an orderly way, before it said anything.
fn is_abandoned(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::ApplicationClosed(close) => close.error_code == VarInt::from_u32(0),
        // During the handshake, that is how an application's close arrives (RFC 9000, section 10.2.3).
        ConnectionError::ConnectionClosed(close) => {
            close.error_code == quinn::TransportErrorCode::APPLICATION_ERROR
        }
        _ => false,
    }
}

pub(crate) async fn read_hello(recv: &mut impl Source) -> Result<Hello, FrameError> {
    match read_frame(recv, MAX_HELLO).await? {
        Message::Hello(hello) => Ok(hello),
        Message::Records(_)
        | Message::Digests { .. }
        | Message::Versions { .. }
        | Message::Request(_)
        | Message::Superfluous(_)
        | Message::Have(_)
        | Message::Graft(_)
        | Message::Prune
        | Message::Figures(_)
        | Message::Revocations(_)
        | Message::Observed(_)
        | Message::Meet(_) => Err(FrameError::Violation(
            "the peer's first message was not a Hello".to_owned(),
            CloseCode::Protocol,
        )),
    }
}

/// The peer's address. A dual-stack socket's IPv4-mapped address is converted to IPv4. A link-local address keeps its scope:
/// without it, the peer can't be dialed.
pub(super) fn remote_of(connection: &Connection) -> SocketAddr {
    let mut remote = connection.remote_address();
    match &mut remote {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => v6.set_flowinfo(0),
        SocketAddr::V4(_) | SocketAddr::V6(_) => remote = plain(&remote),
    }
    remote
}

pub(super) fn peer_of(connection: &Connection) -> Option<NodeId> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    certified_id(chain.first()?)
}

/// Reports the connection and serves it until it ends.
pub(super) async fn serve(
    shared: Arc<Shared>,
    established: Established,
    hello: Hello,
    dialed: Option<Dialed>,
) {
    let Established {
        connection,
        send,
        recv,
        peer,
        rtt,
    } = established;
    let conn = shared.next_conn();
    let since = shared.since_start();
    let (commands, receiver) = mpsc::channel(4);
    let watch = Arc::new(shared.tap.watch(connection.remote_address()));
    let handle = Handle {
        connection: connection.clone(),
        commands,
        watch: watch.clone(),
    };
    let rtt_us = u32::try_from(rtt.as_micros()).ok();
    let remote = remote_of(&connection);
    shared.joins().meet(since, remote);
    let dialed = dialed.as_ref();
    let lease = dialed.and_then(|dialed| dialed.spare.as_ref());
    let connected = Connected {
        conn,
        dial: dialed.map(|dialed| dialed.dial),
        peer,
        remote,
        hello,
        rtt_us,
        replaces: dialed.is_some_and(|dialed| dialed.replaces),
        spare: lease.is_some(),
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
        why = write(&shared, conn, &connection, send, receiver) => why,
        why = answer(&shared, conn, &connection, &watch) => why,
        why = hear_icmp(&shared, conn, &watch) => why,
        why = hear_failures(&shared, conn, &watch), if dialed.is_none() => why,
        why = come_home(&shared, conn, remote), if lease.is_some() => why,
    };
    let now = shared.clock.now();
    shared.joins().part(shared.since_start(), since, remote);
    shared.spares.note_end(remote, now);
    if let Some(lease) = lease {
        lease.note_silence();
    }
    if let Closed::Violation(code, _) = &why {
        close(&connection, *code);
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
    connection: &Connection,
    mut send: SendStream,
    mut commands: mpsc::Receiver<Command>,
) -> Closed {
    while let Some(Command::Send(frame)) = commands.recv().await {
        match write_frame(connection, &mut send, &frame).await {
            Ok(()) => {}
            Err(quinn::WriteError::ConnectionLost(_)) => return std::future::pending().await,
            Err(error) => return Closed::Violation(CloseCode::Protocol, error.to_string()),
        }
        let flushed = Input::Flushed(conn, room(connection));
        if shared
            .events
            .send(TransportEvent::Input(flushed))
            .await
            .is_err()
        {
            return Closed::Local;
        }
    }
    // The event loop has dropped its handle after closing the connection; the reader returns the reason.
    std::future::pending().await
}

/// Writes a frame once no more is under way than the line has room for. Then the whole frame goes. quinn fills whatever room
/// there is, and a window that opens by a few bytes at a time would fill the line with packets of a few bytes.
async fn write_frame(
    connection: &Connection,
    send: &mut SendStream,
    frame: &[u8],
) -> Result<(), quinn::WriteError> {
    connection.set_send_window(room(connection) as u64);
    let begun = send.write(frame).await?;
    connection.set_send_window(STREAM_WINDOW.into());
    send.write_all(&frame[begun..]).await
}

/// Answers probes in this task, so that the event loop's delay does not count as path delay. Reports probes and answers.
async fn answer(shared: &Shared, conn: ConnId, connection: &Connection, watch: &Watch) -> Closed {
    let began = shared.clock.now();
    let mut remote = remote_of(connection);
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
        let from = remote_of(connection);
        if from != remote {
            // A report that finds no room is made again with the next datagram.
            let moved = TransportEvent::Input(Input::Moved(conn, from));
            if shared.events.try_send(moved).is_ok() {
                remote = from;
            }
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
                // The answer leaves before the event loop hears of the probe: the loop's work would delay the answers that are
                // still to be sent.
                tokio::task::yield_now().await;
                TransportEvent::Input(Input::Probe(conn, probe))
            }
            Ok(Datagram::Answer(answer)) => TransportEvent::Answer(conn, answer, received),
            Ok(Datagram::Echo(echo)) => TransportEvent::Input(Input::Echo(conn, echo)),
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

/// Reports that packets to the peer can't leave this machine: there is no route, or the address to send from is gone. A connection
/// that the peer dialed is bound to that address. One that this node dialed goes on from another by itself, once there is one.
async fn hear_failures(shared: &Shared, conn: ConnId, watch: &Watch) -> Closed {
    let mut heard = 0;
    loop {
        watch.failed(&mut heard).await;
        // `try_send`: the next packet fails as well, and is reported.
        let hint = TransportEvent::Input(Input::PathLost(conn));
        shared.events.try_send(hint).ok();
    }
}
