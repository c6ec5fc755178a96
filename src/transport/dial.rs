//! Dials. The addresses of a node are raced: each is tried a little after the one before, or at once when that failed (RFC 8305).
//! The first that completes the handshake gets the Hello, and the other attempts end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::udp::EcnCodepoint;
use quinn::{
    AsyncUdpSocket, ConnectError, Connection, ConnectionError, ConnectionIdGenerator as _,
    Endpoint, RecvStream, SendStream,
};
use quinn_proto::RandomConnectionIdGenerator;

use super::connection::{
    CloseOnDrop, Dialed, Established, close, is_other_network, peer_of, read_hello, remote_of,
    serve,
};
use super::frames::{FrameError, read_credentials};
use super::qlog::{Configs, Side};
use super::spare::{self, Lease};
use super::tap::Watch;
use super::{Rejected, Shared, TransportEvent, beside, report_rejected};
use crate::admission::{Refusal, Role, Session};
use crate::identity::{Identity, SERVER_NAME};
use crate::membership::{DialError, DialId, Input, Obstacle};
use crate::record::Signer as _;
use crate::wire::{CloseCode, Hello, MAX_ALTERNATIVES, Message, NodeId};

/// The pause between the starts of two attempts: the Connection Attempt Delay that RFC 8305, section 5, recommends. Halved: a
/// path with a round trip over 125 ms costs a second handshake. Doubled: a broken family delays each dial by half a second.
const STAGGER: Duration = Duration::from_millis(250);
/// When an eager dial sends the first copy of its first packet. Nodes that start together dial before the other side listens.
/// The following pauses are twice as long each. Halved: 1 packet more to who is not there. Doubled: nodes that are started together
/// link up to 24 ms later.
pub(crate) const FIRST_COPY: Duration = Duration::from_millis(24);
/// The extension of a dial, in dial timeouts, once the other side has answered anything.
pub(crate) const MORE_FOR_SLOW: u32 = 2;

/// The length of the connection id to which the first packets of a dial go: the longest of QUIC version 1, which quinn uses as
/// well. Nobody off the path must guess it (RFC 9000, section 7.2).
const FIRST_CID: usize = 20;

/// A dial as the core requested it.
pub(super) struct DialRequest {
    pub(super) dial: DialId,
    /// Where, the best address first.
    pub(super) addrs: Vec<SocketAddr>,
    pub(super) expect: Option<NodeId>,
    pub(super) replaces: bool,
    /// The other side may be starting at this moment, or opening its NAT: the first packet is repeated quickly, and ICMP "port
    /// unreachable" does not end the dial.
    pub(super) eager: bool,
}

/// What every attempt needs.
pub(super) struct Dialer {
    pub(super) endpoint: Endpoint,
    /// The endpoint's socket.
    pub(super) socket: Arc<dyn AsyncUdpSocket>,
    pub(super) identity: Arc<Identity>,
    pub(super) transport_configs: Arc<Configs>,
    pub(super) shared: Arc<Shared>,
}

/// An attempt that completed its handshake.
struct Won {
    connection: Connection,
    /// The spare port that it left from.
    spare: Option<Lease>,
    /// The node id that answered.
    seen: Arc<OnceLock<NodeId>>,
    _watch: Watch,
}

type Attempt<'a> = Pin<Box<dyn Future<Output = Result<Won, DialError>> + Send + 'a>>;

/// Dials, exchanges Hellos, and then serves the connection until it ends.
pub(super) async fn dial(dialer: Dialer, request: DialRequest) {
    let shared = dialer.shared.clone();
    let reached = match dialer.race(&request).await {
        Ok(won) => dialer.greet(won, &request).await,
        Err(error) => Err(error),
    };
    let (established, hello, spare) = match reached {
        Ok(reached) => reached,
        Err(error) => {
            let failed = Input::DialFailed(request.dial, error);
            shared.events.send(TransportEvent::Input(failed)).await.ok();
            return;
        }
    };
    let dialed = Dialed {
        dial: request.dial,
        replaces: request.replaces,
        spare,
    };
    drop((dialer, request));
    serve(shared, established, hello, Some(dialed)).await;
}

impl Dialer {
    /// Tries the addresses until one completes a handshake with the right node.
    async fn race(&self, request: &DialRequest) -> Result<Won, DialError> {
        let clock = &self.shared.clock;
        let mut waiting: VecDeque<SocketAddr> = request.addrs.iter().copied().collect();
        let mut running: Vec<(SocketAddr, Attempt<'_>)> = Vec::new();
        let mut next = clock.now();
        let mut cause = None;
        loop {
            if clock.now() >= next
                && let Some(addr) = waiting.pop_front()
            {
                running.push((addr, Box::pin(self.attempt(addr, request))));
                next = clock.now() + STAGGER;
            }
            if running.is_empty() {
                return Err(cause.unwrap_or(DialError::Blocked(Obstacle::NoRoute)));
            }
            let ended = tokio::select! {
                biased;
                ended = first_of(&mut running) => Some(ended),
                () = clock.sleep_until(next), if !waiting.is_empty() => None,
            };
            match ended {
                None => {}
                Some((_, Ok(won))) => return Ok(won),
                Some((addr, Err(error))) => {
                    next = clock.now();
                    if request.addrs.len() > 1 {
                        let failed = Input::AddrFailed(request.dial, addr, error.clone());
                        let failed = TransportEvent::Input(failed);
                        self.shared.events.send(failed).await.ok();
                    }
                    cause = Some(more_telling(cause, error));
                }
            }
        }
    }

    /// Makes one handshake with an address, from the listening port. If that address stayed silent before, a spare port is tried
    /// as well.
    async fn attempt(&self, addr: SocketAddr, request: &DialRequest) -> Result<Won, DialError> {
        let home = async {
            let result = self.shake(None, addr, request).await;
            let now = self.shared.clock.now();
            self.shared.spares.note(addr, now, &result);
            result
        };
        // A peer that is starting listens a moment later; one that expects us expects the listening port.
        let spare = (!request.eager).then(|| spare::for_dial(&self.shared, addr));
        let Some(lease) = spare.flatten() else {
            return home.await;
        };
        let mut home = std::pin::pin!(home);
        let mut ahead = std::pin::pin!(self.shake(Some(lease), addr, request));
        let in_time = self.shared.clock.timeout(spare::AHEAD, &mut ahead).await;
        let mut ahead_failed = match in_time {
            Some(Ok(won)) => return Ok(won),
            Some(Err(_)) => true,
            None => false,
        };
        // Unless the spare port succeeds before, the listening port's result counts: it is the port that peers know.
        let result = loop {
            tokio::select! {
                biased;
                ended = &mut ahead, if !ahead_failed => match ended {
                    Ok(won) => return Ok(won),
                    Err(_) => ahead_failed = true,
                },
                result = &mut home => break result,
            }
        };
        match result {
            // The spare port's dial began before. It goes on only because it was answered.
            Err(DialError::Timeout) if !ahead_failed => ahead.await.or(result),
            result => result,
        }
    }

    /// Makes one handshake, from a spare port or the listening one.
    async fn shake(
        &self,
        spare: Option<Lease>,
        addr: SocketAddr,
        request: &DialRequest,
    ) -> Result<Won, DialError> {
        let admission = &self.shared.admission;
        let (tls, seen) = self.identity.client_config(admission, request.expect);
        let crypto = QuicClientConfig::try_from(tls)
            .expect("TLS 1.3 with ring has the initial cipher suite");
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        let transport_configs = match spare {
            Some(_) => self.shared.spares.transport_configs(),
            None => &self.transport_configs,
        };
        config.transport_config(transport_configs.of(Side::Dialed, addr));
        // It observes the packets from the first one on.
        let watch = self.shared.tap.watch(addr);
        let first = RandomConnectionIdGenerator::new(FIRST_CID).generate_cid();
        config.initial_dst_cid_provider(Arc::new(move || first));
        watch.dials(first);
        let connecting = spare
            .as_ref()
            .map_or(&self.endpoint, Lease::endpoint)
            .connect_with(config, addr, SERVER_NAME)
            .map_err(|error| match error {
                ConnectError::InvalidRemoteAddress(_) => DialError::Blocked(Obstacle::Family),
                other => DialError::Failed(other.to_string()),
            })?;
        let shaken = tokio::select! {
            biased;
            shaken = self.shake_in_time(connecting, &watch) => match shaken {
                Some(Ok(connection)) => Ok(connection),
                Some(Err(error)) => Err(self.judge(error, addr, request, &seen).await),
                None => Err(DialError::Timeout),
            },
            () = nobody_there(&watch, request.eager) => Err(DialError::Unreachable),
            () = no_route(&watch) => Err(unanswered(&watch)),
            never = self.insist(&watch, addr), if request.eager => match never {},
        };
        match shaken {
            Ok(connection) => Ok(Won {
                connection,
                spare,
                seen,
                _watch: watch,
            }),
            Err(DialError::Timeout) => {
                if let Some(lease) = &spare {
                    lease.note_silence();
                }
                Err(unanswered(&watch))
            }
            Err(error) => Err(self.refine(error, request, &seen)),
        }
    }

    /// Waits for the handshake until the timeout. If a packet has answered it by then, the path is only slow, and the dial gets more
    /// time. Other packets of that address, such as those of an older connection, say nothing about this dial.
    async fn shake_in_time(
        &self,
        connecting: quinn::Connecting,
        watch: &Watch,
    ) -> Option<Result<Connection, ConnectionError>> {
        let Shared {
            clock,
            dial_timeout,
            ..
        } = &*self.shared;
        let mut shaken = std::pin::pin!(connecting);
        let mut in_time = clock.timeout(*dial_timeout, &mut shaken).await;
        if in_time.is_none() && watch.was_answered() {
            in_time = clock.timeout(*dial_timeout * MORE_FOR_SLOW, shaken).await;
        }
        in_time
    }

    /// Sends copies of the first packet until one is answered. quinn would repeat it by itself, with a lower initial RTT, but each repeat
    /// doubles the pauses of the whole handshake: it takes the backoff along when keys are discarded, where RFC 9002 (appendix A.11)
    /// begins anew. With a round trip of 240 ms, a loss after the first answer then cost six seconds. The copies have one
    /// packet number, so the receiver drops all but the first one that it gets.
    async fn insist(&self, watch: &Watch, addr: SocketAddr) -> Infallible {
        let mut pause = FIRST_COPY;
        while !watch.has_begun() {
            self.shared.clock.sleep(pause).await;
            if let Some(packet) = watch.unanswered() {
                // quinn marks it too. An unmarked one would show that the path takes marks off.
                beside::send(&*self.socket, addr, &packet, Some(EcnCodepoint::Ect0));
            }
            pause *= 2;
        }
        std::future::pending().await
    }

    /// Tells what a failed handshake means. A node that may not be a member is reported.
    async fn judge(
        &self,
        error: ConnectionError,
        addr: SocketAddr,
        request: &DialRequest,
        seen: &OnceLock<NodeId>,
    ) -> DialError {
        let expected = |id: &NodeId| request.expect.is_none_or(|expected| expected == *id);
        let seen = seen
            .get()
            .filter(|id| expected(id) && **id != self.shared.me);
        let (peer, why) = if is_other_network(&error) {
            (request.expect, Refusal::OtherNetwork)
        } else if let Some(Err(why)) = seen.map(|id| self.shared.admission.admit_id(id)) {
            (seen.copied(), why)
        } else {
            return refused(error);
        };
        turn_away(&self.shared, addr, peer, &why).await
    }

    /// Exchanges Hellos. The other side is there, so it gets the time of a slow path.
    async fn greet(
        &self,
        won: Won,
        request: &DialRequest,
    ) -> Result<(Established, Hello, Option<Lease>), DialError> {
        let limit = self.shared.dial_timeout * MORE_FOR_SLOW;
        let greeted = greet(&self.shared, won.connection, request);
        let greeted = self.shared.clock.timeout(limit, greeted).await;
        greeted
            .unwrap_or(Err(DialError::Timeout))
            .map(|(established, hello)| (established, hello, won.spare))
            .map_err(|error| self.refine(error, request, &won.seen))
    }

    /// Replaces a TLS error by what it means, if another key than the expected one answered.
    fn refine(
        &self,
        error: DialError,
        request: &DialRequest,
        seen: &OnceLock<NodeId>,
    ) -> DialError {
        // Our own key alone does not prove that we reached ourselves: a second node may run with it. The refusal tells which.
        if matches!(
            error,
            DialError::Timeout
                | DialError::Unreachable
                | DialError::Blocked(_)
                | DialError::Refused(Some(CloseCode::IdentityInUse), _)
        ) {
            return error;
        }
        match (seen.get(), request.expect) {
            (Some(id), _) if *id == self.identity.node_id() => DialError::Myself,
            (Some(id), Some(expected)) if *id != expected => DialError::OtherKey(*id),
            _ => error,
        }
    }
}

/// Waits for the first attempt to end, and removes it.
async fn first_of(
    running: &mut Vec<(SocketAddr, Attempt<'_>)>,
) -> (SocketAddr, Result<Won, DialError>) {
    poll_fn(|cx| {
        for at in 0..running.len() {
            if let Poll::Ready(result) = running[at].1.as_mut().poll(cx) {
                let (addr, _) = running.remove(at);
                return Poll::Ready((addr, result));
            }
        }
        Poll::Pending
    })
    .await
}

/// Of the causes of two attempts, the one that says more of the node: a path without it says nothing.
fn more_telling(before: Option<DialError>, after: DialError) -> DialError {
    let rank = |error: &DialError| match error {
        DialError::Refused(..) => 0,
        DialError::Failed(_) => 1,
        DialError::Unreachable => 2,
        DialError::Blocked(Obstacle::NoRoute | Obstacle::Source | Obstacle::Family) => 7,
        DialError::Blocked(_) => 3,
        DialError::Timeout => 4,
        DialError::OtherKey(_) => 5,
        DialError::Myself => 6,
    };
    match before {
        Some(before) if rank(&before) <= rank(&after) => before,
        Some(_) | None => after,
    }
}

/// Waits for ICMP "port unreachable". The attempt ends then: each further Initial would cost a full packet and an ICMP answer.
async fn nobody_there(watch: &Watch, eager: bool) {
    if eager {
        std::future::pending::<()>().await;
    }
    watch.unreachable(&mut 0).await;
}

async fn no_route(watch: &Watch) {
    watch.failed(&mut 0).await;
}

async fn greet(
    shared: &Shared,
    connection: Connection,
    request: &DialRequest,
) -> Result<(Established, Hello), DialError> {
    let guard = CloseOnDrop::new(&connection);
    let peer = peer_of(&connection).ok_or_else(|| {
        DialError::Failed("the peer's certificate contains no node id".to_owned())
    })?;
    let (mut send, mut recv) = connection.open_bi().await.map_err(refused)?;
    if shared.admission.is_closed() {
        let session = Session::of(&connection, Role::Dialer, shared.me, peer);
        let proven = prove(shared, &session, &mut send, &mut recv).await?;
        if let Err(why) = proven {
            close(&connection, why.code());
            return Err(turn_away(shared, connection.remote_address(), Some(peer), &why).await);
        }
    }
    let greeting = shared.greeting.borrow().clone();
    let hello = Hello {
        run_id: greeting.run_id,
        dial_counter: request.dial.0,
        replaces: request.replaces,
        observed: remote_of(&connection),
        known: greeting.known,
        digest: greeting.digest,
        record: greeting.record,
        revocations: greeting.revocations,
    };
    let asked = shared.clock.now();
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
    // quinn's time begins with the first packet. If that was lost, it includes the wait for the copy that was answered. The Hello has no
    // copies.
    let rtt = connection.rtt().min(shared.clock.now() - asked);
    Ok((
        Established {
            rtt,
            connection,
            send,
            recv,
            peer,
        },
        hello,
    ))
}

/// Shows this node's credentials, and checks those of the listener. This node has said nothing of itself but its id yet.
async fn prove(
    shared: &Shared,
    session: &Session,
    send: &mut SendStream,
    recv: &mut RecvStream,
) -> Result<Result<(), Refusal>, DialError> {
    let ours = shared.admission.credentials(session).to_frame();
    let written = send.write_all(&ours).await;
    // If the connection was closed, the read error contains the reason and the write error does not.
    match (read_credentials(recv).await, written) {
        (Ok(shown), Ok(())) => Ok(shared.admission.admit(session, &shown)),
        (Err(FrameError::Closed(error)), _) => Err(refused(error)),
        (Err(FrameError::Violation(why, _)), _) => Ok(Err(Refusal::Malformed(why))),
        (Ok(_), Err(error)) => Err(DialError::Failed(error.to_string())),
    }
}

/// Reports a listener that may not be a member of this network.
async fn turn_away(
    shared: &Shared,
    remote: SocketAddr,
    peer: Option<NodeId>,
    why: &Refusal,
) -> DialError {
    report_rejected(shared, Rejected::refused(remote, peer, true, why)).await;
    DialError::Failed(format!("not a member of this network: {why}"))
}

fn refused(error: ConnectionError) -> DialError {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let code = CloseCode::from_number(close.error_code.into_inner());
            DialError::Refused(code, alternatives(&close.reason))
        }
        ConnectionError::TimedOut => DialError::Timeout,
        other => DialError::Failed(other.to_string()),
    }
}

/// The addresses that a refusal names, in the reason of a close. It is any bytes.
pub(crate) fn alternatives(reason: &[u8]) -> Vec<SocketAddr> {
    let mut addrs: Vec<SocketAddr> = postcard::from_bytes(reason).unwrap_or_default();
    addrs.truncate(MAX_ALTERNATIVES);
    addrs
}

/// What the system says of a dial without an answer. One during a start goes on in spite of ICMP.
fn unanswered(watch: &Watch) -> DialError {
    match watch.obstacle() {
        _ if watch.was_unreachable() => DialError::Unreachable,
        Some(obstacle) => DialError::Blocked(obstacle),
        None => DialError::Timeout,
    }
}
