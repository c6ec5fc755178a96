//! Connections as their ends implement them: dials, the stream, datagrams and closes.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{Node, What};
use crate::admission::joins::Verdict;
use crate::membership::{Closed, ConnId, Connected, DialError, Input, Time};
use crate::sim::path::{
    ACK_BYTES, Caller, End, EndRef, INITIAL_BYTES, Live, Opening, PACKET_OVERHEAD, PAYLOAD, Packet,
    Side, Wanted,
};
use crate::sim::size;
use crate::sim::window::Scene;
use crate::transport::MORE_FOR_SLOW;
use crate::wire::{Answer, CloseCode, Hello, MAX_ALTERNATIVES, MAX_FRAME, Message, NodeId, Probe};

/// QUIC's idle timeout.
const IDLE: Duration = Duration::from_secs(30);
/// How long an end that closed a connection answers with the close, and one that received the close ignores packets. After that
/// both have forgotten the connection, and answer with a reset.
const CLOSING: Duration = Duration::from_secs(3);
/// How long the transport takes to accept a message.
const TAKING: Duration = Duration::from_micros(30);
/// The dialer's certificate, which follows its first packet.
const CERTIFICATE_BYTES: usize = 800 + 48;

/// Dials and handshakes.
impl Node {
    pub(super) fn dial(&mut self, scene: &Scene<'_>, wanted: Wanted) {
        let end = self.next_dial();
        if let Some(peer) = self.begin_dial(scene, end, wanted) {
            let caller = Caller {
                id: self.id(),
                addr: self.start.published[0],
            };
            self.launch(scene, end.other(), peer, Packet::Initial(Box::new(caller)));
        }
    }

    /// The end of the next dial.
    pub(super) fn next_dial(&mut self) -> EndRef {
        self.dial_count += 1;
        EndRef::of_dialer(self.place, self.dial_count)
    }

    /// Creates the dialer's end. Returns the place that listens at the address, if one does.
    pub(super) fn begin_dial(
        &mut self,
        scene: &Scene<'_>,
        end: EndRef,
        wanted: Wanted,
    ) -> Option<u32> {
        let peer = scene.listeners.get(&wanted.addr).copied();
        let live = Live::new(peer, Opening::of_dialer(wanted, self.now), self.now);
        self.ends.insert(end, End::Live(live));
        self.at(self.settings.dial_timeout, What::DialTimeout(end));
        peer
    }

    pub(super) fn dial_timeout(&mut self, scene: &Scene<'_>, end: EndRef) {
        let now = self.now;
        let Some(live) = self.live(end) else { return };
        // Once the keys are known, the Hellos have a time of their own.
        let is_over = |opening: &Opening| opening.greets_until.is_none_or(|until| now >= until);
        if !live.opening.as_deref().is_some_and(is_over) {
            return;
        }
        if let Some(dial) = live.dial() {
            self.close(scene, end, CloseCode::HelloTimeout, Vec::new());
            self.dial_failed(scene, dial, DialError::Timeout);
        }
    }

    /// A peer dials: creates our end, unless it exists already or too many others dial.
    pub(super) fn called(&mut self, scene: &Scene<'_>, end: EndRef, from: u32, caller: &Caller) {
        let (now, host) = (self.now, host_of(from, caller.addr));
        match self.joins.judge(now, host, true, false) {
            Verdict::Accept(caller) => self.joins.count(now, &caller),
            // It tries again.
            Verdict::Validate | Verdict::Ignore(_) => return,
            Verdict::Refuse(_) => return self.launch(scene, end.other(), from, Packet::Reset),
        }
        let opening = Opening::of_listener(caller, self.now);
        let live = Live::new(Some(from), opening, self.now);
        self.ends.insert(end, End::Live(live));
        // The Hello may never come.
        self.at(IDLE, What::Idle(end));
        self.launch(scene, end.other(), from, Packet::Key(self.id()));
    }

    /// The listener presented its key.
    fn key_shown(&mut self, scene: &Scene<'_>, end: EndRef, id: NodeId) {
        let (now, me) = (self.now, self.id());
        let to_greet = self.settings.dial_timeout * MORE_FOR_SLOW;
        let Some(live) = self.live_mut(end) else {
            return;
        };
        let Some(opening) = live.opening.as_mut().filter(|it| it.peer.is_none()) else {
            return;
        };
        let Some(wanted) = opening.wanted else { return };
        opening.peer = Some(id);
        opening.greets_until = Some(now + to_greet);
        live.rtt = Some(now - opening.begun);
        live.window.acknowledged(now, opening.begun, INITIAL_BYTES);
        self.traffic.bytes += CERTIFICATE_BYTES as u64;
        // Our own key alone does not prove that we reached ourselves: a second node may run with it. Its answer to our Hello
        // tells.
        if id != me && wanted.expect.is_some_and(|expect| expect != id) {
            self.part(end, None);
            return self.dial_failed(scene, wanted.dial, DialError::OtherKey(id));
        }
        if let Some(hello) = self.guise_hello(end) {
            self.at(to_greet, What::DialTimeout(end));
            return self.stream(scene, end, Message::Hello(hello));
        }
        let core = self.core().expect("what arrives arrives where a node runs");
        let hello = Hello {
            run_id: core.run_id(),
            dial_counter: wanted.dial.0,
            replaces: wanted.replaces,
            observed: wanted.addr,
            known: u32::try_from(core.up_count()).expect("there are fewer places"),
            digest: core.digest(),
            record: core.own_record(),
            revocations: core.revocations().map_or(0, |newest| newest.number()),
        };
        drop(core);
        self.at(to_greet, What::DialTimeout(end));
        if let Some(hello) = self.disguised(end, Message::Hello(hello)) {
            self.stream(scene, end, hello);
        }
    }

    /// The peer's Hello arrived.
    fn connected(&mut self, scene: &Scene<'_>, end: EndRef, hello: Hello) {
        let now = self.now;
        let Some(live) = self.live_mut(end) else {
            return;
        };
        let opening = live.opening.take().expect("it opens until the Hello");
        live.known = Some(now);
        let host = live.peer.map(|peer| host_of(peer, live.remote));
        let rtt_us = live.rtt.map(micros);
        if end.side == Side::Dialer {
            self.at(IDLE, What::Idle(end));
        }
        if let Some(host) = host {
            self.joins.meet(now, host);
        }
        let wanted = opening.wanted;
        let connected = Connected {
            conn: end.id(),
            dial: wanted.map(|wanted| wanted.dial),
            peer: opening.peer.expect("keys come before Hellos"),
            remote: opening.remote,
            hello,
            rtt_us,
            replaces: wanted.is_some_and(|wanted| wanted.replaces),
            spare: false,
        };
        self.give(scene, Input::Connected(Box::new(connected)));
        for packet in opening.early {
            if self.open(end.id()).is_some() {
                self.take(scene, end, packet);
            }
        }
    }
}

/// The stream and the datagrams.
impl Node {
    /// Processes an arrived packet.
    pub(super) fn take(&mut self, scene: &Scene<'_>, end: EndRef, packet: Packet) {
        let now = self.now;
        let Some(live) = self.live_mut(end) else {
            return;
        };
        let known = live.known.map(|_| end.id());
        match packet {
            // The end exists already: our key is on its way, or will be retransmitted.
            Packet::Initial(_) => {}
            Packet::Key(id) => self.key_shown(scene, end, id),
            Packet::Stream(number, bytes, message, sent) => {
                live.waiting.push((number, message));
                self.acknowledge(scene, end, bytes, sent);
                self.read(scene, end);
            }
            Packet::Probe(probe, rtt) => {
                live.rtt = rtt.or(live.rtt);
                let peer = live.peer;
                let answer = Answer {
                    seq: probe.seq,
                    hold_us: 5,
                };
                self.launch_if(scene, end.other(), peer, Packet::Answer(answer));
                if let Some(known) = known {
                    self.give(scene, Input::Probe(known, probe));
                }
            }
            Packet::Answer(answer) => {
                let rtt = live.answered(answer.seq, now);
                if live.acknowledges(now) {
                    self.traffic.bytes += ACK_BYTES as u64;
                }
                let rtt_us = rtt.map(|rtt| micros(rtt).max(1));
                if let Some(known) = known {
                    self.give(scene, Input::Answer(known, answer, rtt_us));
                }
            }
            Packet::Close(code, alternatives) => {
                let why = Closed::ByPeer(Some(code));
                self.end(
                    scene,
                    end,
                    why,
                    match code {
                        CloseCode::Myself => DialError::Myself,
                        code => DialError::Refused(Some(code), alternatives),
                    },
                );
            }
            Packet::Reset => {
                let refused = DialError::Failed("reset".to_owned());
                self.end(scene, end, Closed::Reset, refused);
            }
        }
    }

    /// A message arrived: its sender gets room in the window when it learns that.
    fn acknowledge(&mut self, scene: &Scene<'_>, end: EndRef, bytes: usize, sent: Time) {
        let now = self.now;
        let Some(live) = self.live_mut(end) else {
            return;
        };
        let is_alone = live.acknowledges(now);
        let (peer, rtt) = (live.peer, live.rtt);
        if is_alone {
            self.traffic.bytes += ACK_BYTES as u64;
        }
        let Some(peer) = peer else { return };
        let back = rtt.unwrap_or_default() / 2;
        let at = self.now + back.max(scene.land.least_delay());
        self.post(peer, at, What::Acked(end.other(), bytes, sent));
    }

    /// The peer acknowledges bytes of the stream.
    pub(super) fn acked(&mut self, end: EndRef, bytes: usize, sent: Time) {
        let now = self.now;
        let Some(live) = self.live_mut(end) else {
            return;
        };
        let waited = live.hear(now);
        live.unacked = live.unacked.saturating_sub(bytes);
        live.window.acknowledged(now, sent, bytes);
        if live.stalled && live.unacked <= live.window.room() {
            live.stalled = false;
            self.at(TAKING, What::Flushed(end));
        }
        self.go_on(waited);
    }

    /// Writes a message to the stream.
    pub(super) fn stream(&mut self, scene: &Scene<'_>, end: EndRef, message: Message) {
        self.traffic.messages += 1;
        self.traffic.record_bytes += size::records(&message) as u64;
        let message = if scene.encoded {
            let frame = message.to_frame();
            assert!(frame.len() <= MAX_FRAME + 4, "a frame over the limit");
            Message::from_body(&frame[4..]).expect("our own frames decode")
        } else {
            message
        };
        let (now, bytes) = (self.now, size::frame(&message));
        let Some(live) = self.live_mut(end) else {
            return;
        };
        let (number, peer) = (live.sent, live.peer);
        live.sent += 1;
        live.unacked += bytes;
        live.streamed = Some((now, bytes));
        let packet = Packet::Stream(number, bytes, message, now);
        self.launch_if(scene, end.other(), peer, packet);
    }

    /// Reads the messages that are next in order.
    fn read(&mut self, scene: &Scene<'_>, end: EndRef) {
        // The core may close the connection at any of these messages.
        while let Some((known, message)) = self.live_mut(end).and_then(Live::next_message) {
            match (known, message) {
                (true, message) => {
                    self.traffic.take(&message);
                    if scene.attacked {
                        self.count_fresh(&message);
                    }
                    self.give(scene, Input::Message(end.id(), message));
                }
                (false, Message::Hello(hello)) => self.connected(scene, end, hello),
                (false, message) => unreachable!("{message:?} before Hello"),
            }
        }
    }

    pub(super) fn send(&mut self, scene: &Scene<'_>, conn: ConnId, message: Message) {
        let place = self.place;
        let Some((end, live)) = self.open(conn) else {
            return;
        };
        assert!(
            !std::mem::replace(&mut live.in_flight, true),
            "node {place} has two messages under way"
        );
        self.stream(scene, end, message);
        let Some((_, live)) = self.open(conn) else {
            return;
        };
        live.stalled = live.unacked > live.window.room();
        if !live.stalled {
            self.at(TAKING, What::Flushed(end));
        }
    }

    /// The transport takes a message of the core, and sends nothing.
    pub(super) fn swallow(&mut self, conn: ConnId) {
        if let Some((end, live)) = self.open(conn) {
            live.in_flight = true;
            self.at(TAKING, What::Flushed(end));
        }
    }

    pub(super) fn flushed(&mut self, scene: &Scene<'_>, end: EndRef) {
        if let Some((_, live)) = self.open(end.id()) {
            live.in_flight = false;
            let room = live.window.room();
            self.give(scene, Input::Flushed(end.id(), room));
        }
    }

    pub(super) fn probe(&mut self, scene: &Scene<'_>, conn: ConnId, probe: Probe) {
        let now = self.now;
        let Some((end, live)) = self.open(conn) else {
            return;
        };
        live.asked(probe.seq, now);
        let (peer, rtt) = (live.peer, live.rtt);
        let packet = Packet::Probe(probe, rtt);
        let rides = live
            .streamed
            .is_some_and(|(at, bytes)| at == now && bytes + packet.bytes() <= PAYLOAD);
        self.traffic.probes += 1;
        self.launch_if(scene, end.other(), peer, packet);
        if rides {
            // One packet for both, and the answer acknowledges it; the peer has counted an acknowledgement, or will.
            self.traffic.bytes = self
                .traffic
                .bytes
                .saturating_sub((PACKET_OVERHEAD + ACK_BYTES) as u64);
        }
    }
}

/// How connections end.
impl Node {
    /// The core closes a connection.
    pub(super) fn hang_up(
        &mut self,
        scene: &Scene<'_>,
        conn: ConnId,
        code: CloseCode,
        alternatives: Vec<SocketAddr>,
    ) {
        if let Some((end, _)) = self.open(conn) {
            self.close(scene, end, code, alternatives);
        }
    }

    /// Closes all connections of the core.
    pub(super) fn hang_up_all(&mut self, scene: &Scene<'_>, code: CloseCode) {
        let open = self.ends.iter().filter(|(_, end)| end.is_open());
        let all: Vec<EndRef> = open.map(|(end, _)| *end).collect();
        for end in all {
            self.close(scene, end, code, Vec::new());
        }
    }

    /// Closes a connection from this end. The close is sent once, and again in answer to each later packet.
    fn close(
        &mut self,
        scene: &Scene<'_>,
        end: EndRef,
        code: CloseCode,
        alternatives: Vec<SocketAddr>,
    ) {
        assert!(
            alternatives.len() <= MAX_ALTERNATIVES,
            "too many alternatives"
        );
        let peer = self.live(end).and_then(|live| live.peer);
        self.part(end, Some(code));
        self.launch_if(scene, end.other(), peer, Packet::Close(code, alternatives));
    }

    /// A connection has ended for this end.
    fn end(&mut self, scene: &Scene<'_>, end: EndRef, why: Closed, refused: DialError) {
        let Some(live) = self.live(end) else { return };
        let (known, dial) = (live.known.is_some(), live.dial());
        self.part(end, None);
        if known {
            self.give(scene, Input::Closed(end.id(), why));
        } else if let Some(dial) = dial {
            self.dial_failed(scene, dial, refused);
        }
    }

    /// Marks the end as closed. It is kept for a while, with the close code to answer later packets with.
    fn part(&mut self, end: EndRef, says: Option<CloseCode>) {
        let met = self
            .live(end)
            .and_then(|live| Some((live.known?, host_of(live.peer?, live.remote))));
        if let Some((since, host)) = met {
            self.joins.part(self.now, since, host);
        }
        self.ends.insert(end, End::Over(says));
        self.at(CLOSING, What::Forget(end));
    }

    pub(super) fn forget(&mut self, end: EndRef) {
        self.ends.remove(&end);
    }

    pub(super) fn idle(&mut self, scene: &Scene<'_>, end: EndRef) {
        let now = self.now;
        let Some(live) = self.live(end) else { return };
        let due = live.heard + IDLE;
        if due <= now {
            self.end(scene, end, Closed::TimedOut, DialError::Timeout);
        } else {
            self.at(due - now, What::Idle(end));
        }
    }

    fn live(&self, end: EndRef) -> Option<&Live> {
        match self.ends.get(&end)? {
            End::Live(live) => Some(live),
            End::Over(_) => None,
        }
    }

    pub(super) fn live_mut(&mut self, end: EndRef) -> Option<&mut Live> {
        match self.ends.get_mut(&end)? {
            End::Live(live) => Some(live),
            End::Over(_) => None,
        }
    }

    /// Counts a close of the core.
    pub(super) fn count_close(&mut self, scene: &Scene<'_>, conn: ConnId, code: CloseCode) {
        if scene.attacked
            && let Some((_, live)) = self.open(conn)
        {
            let peer = live.peer;
            *self.closes.entry((code as u32, peer)).or_default() += 1;
        }
    }

    /// The end with this number, if the core has it.
    fn open(&mut self, conn: ConnId) -> Option<(EndRef, &mut Live)> {
        let end = EndRef::of(conn);
        let live = self.live_mut(end)?;
        live.known.is_some().then_some((end, live))
    }
}

/// The address that an end at a place has for the limits of joins. All nodes have addresses of one machine, but stand for machines of their own.
pub(super) fn host_of(place: u32, addr: SocketAddr) -> SocketAddr {
    let host = Ipv6Addr::from_bits(0xfd << 120 | u128::from(place) << 64 | 1);
    SocketAddr::from((host, addr.port()))
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
