//! The transport between the nodes, modelled after the real one: handshakes, an ordered stream that resends what was
//! lost, datagrams that get lost, closes that are said once, resets by whoever has forgotten.
//!
//! What is modelled, and how far:
//! - Every packet goes over the [line](super::lines) of its direction, with its size: a message of the stream as packets of
//!   1200 bytes. A handshake takes the one round trip that QUIC's does, and another one for both Hellos.
//! - What is lost is sent again: after a round trip where later packets arrived, else after a probe timeout (RFC 9002, section
//!   6.2), which doubles. A message arrives when all of its packets have.
//! - A connection has a send window, as the real one: a node whose peer doesn't get what it is sent must wait.
//! - Acknowledgements weigh ([`ACK_BYTES`]) but are never lost, and nothing waits behind them. There is no congestion control:
//!   the real one's window never falls under 16 packets, and what nodes say to each other seldom fills that.
//! - A node takes no time to think, and a killed node's host is silent: there is no ICMP.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::lines::LineId;
use super::size;
use super::world::{What, World, conn_id, conn_of};
use crate::membership::{Closed, ConnId, Connected, DialError, DialId, Input, Time};
use crate::wire::{Answer, CloseCode, Hello, MAX_ALTERNATIVES, MAX_FRAME, Message, NodeId, Probe};

/// The pause after a first packet to an unknown path (RFC 9002, section 6.2.2), and where the other side may be starting up.
const PATIENT_PTO: Duration = Duration::from_secs(1);
const EAGER_PTO: Duration = Duration::from_millis(25);
/// The longest pause before something is sent again.
const LONGEST_PTO: Duration = Duration::from_secs(4);
/// How long a receiver may hold an acknowledgement back (RFC 9000, section 18.2).
const MAX_ACK_DELAY: Duration = Duration::from_millis(25);
/// QUIC's idle timeout.
const IDLE: Duration = Duration::from_secs(30);
/// For so long an end that closed a connection answers with the close; after that with a reset.
const CLOSING: Duration = Duration::from_secs(3);
/// How long the transport takes to take a message.
const TAKING: Duration = Duration::from_micros(30);
/// So many bytes of a connection may be unacknowledged: the transport's send window.
const WINDOW: usize = 2 * MAX_FRAME;
/// So many probes are remembered, to tell the round-trip time from their answers.
const PROBES: usize = 48;

/// Headers of a packet: 40 bytes of IPv6, 8 of UDP, 11 of QUIC's short header and 16 of its tag.
pub const PACKET_OVERHEAD: usize = 75;
/// What fits into a packet besides.
const PAYLOAD: usize = 1200 - 27 - 8;
/// A packet with an acknowledgement alone.
pub const ACK_BYTES: usize = PACKET_OVERHEAD + 6;
/// The dialer's part of a handshake: an Initial, padded, and later its certificate.
const INITIAL_BYTES: usize = 1200 + 48;
const CERTIFICATE_BYTES: usize = 800 + 48;
/// The listener's: an Initial, padded, and its certificate.
const KEY_BYTES: usize = 1200 + 48 + 800 + 48;

/// The dialer's or the listener's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who dialed.
    Dialer,
    /// Who was dialed.
    Listener,
}

impl Side {
    pub(super) fn at(self) -> usize {
        match self {
            Self::Dialer => 0,
            Self::Listener => 1,
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }
}

/// A connection: its place in the list, and its number, since places are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConnRef {
    pub(super) slot: u32,
    pub(super) number: u32,
}

#[derive(Debug)]
pub(super) enum Packet {
    /// The dialer's first.
    Initial,
    /// The listener shows its key.
    Key,
    /// A message of the stream, with its number and its size in bytes.
    Stream(u32, usize, Message),
    Probe(Probe),
    Answer(Answer),
    Close(CloseCode, Vec<SocketAddr>),
    Reset,
}

/// Something on its way, in one packet or several.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) conn: ConnRef,
    pub(super) to: Side,
    packet: Packet,
    attempt: u32,
    /// Bytes of the packets that have not got through yet, without headers.
    bytes: usize,
    /// When the last one arrives of those that do.
    arrives: Time,
}

/// What a core wants when it dials.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) dial: DialId,
    pub(super) addr: SocketAddr,
    pub(super) expect: Option<NodeId>,
    pub(super) replaces: bool,
    pub(super) eager: bool,
}

/// A connection, or an attempt at one.
#[derive(Debug)]
pub(super) struct Conn {
    number: u32,
    /// The dialer's, and the listener's. Where nobody listens, the dialer's node stands at both.
    pub(super) ends: [End; 2],
    wanted: Wanted,
    /// To the dialer, and to the listener.
    lines: Option<[LineId; 2]>,
    /// When the first packet left, for the handshake's round-trip time.
    begun: Time,
    /// Smoothed, once there is one.
    rtt: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) node: u32,
    pub(super) life: u32,
    /// Known to the core, since then.
    known: Option<Time>,
    /// Closed from here, with that code.
    closed: Option<(Time, CloseCode)>,
    /// Closed from there, or given up.
    ended: bool,
    /// Messages sent, and taken in.
    sent: u32,
    got: u32,
    waiting: Vec<(u32, Message)>,
    /// Datagrams that came before the core knew the connection.
    early: Vec<Packet>,
    probes: VecDeque<(u32, Time)>,
    heard: Time,
    /// A message is with the transport; it waits for the window to open.
    in_flight: bool,
    stalled: bool,
    unacked: usize,
}

impl End {
    fn new(node: u32, life: u32, now: Time) -> Self {
        Self {
            node,
            life,
            known: None,
            closed: None,
            ended: false,
            sent: 0,
            got: 0,
            waiting: Vec::new(),
            early: Vec::new(),
            probes: VecDeque::new(),
            heard: now,
            in_flight: false,
            stalled: false,
            unacked: 0,
        }
    }

    /// The core has it.
    fn is_open(&self) -> bool {
        self.known.is_some() && !self.ended
    }
}

/// A connection as a watcher sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Its number; a later one has a higher.
    pub number: u32,
    /// Who dialed.
    pub dialer: usize,
    /// Who was dialed.
    pub listener: usize,
    /// Since when the dialer's core has it, if it does.
    pub dialer_has: Option<Time>,
    /// Since when the listener's core has it, if it does.
    pub listener_has: Option<Time>,
    /// The dialer waits for an answer.
    pub under_way: bool,
}

impl World {
    /// All connections, and dials to places where somebody might be.
    pub fn connections(&self) -> impl Iterator<Item = Connection> + '_ {
        self.conns.iter().flatten().filter_map(|conn| {
            conn.lines?;
            let [dialer, listener] = &conn.ends;
            let has = |end: &End| {
                let open = end.is_open() && self.runs(end.node, end.life);
                end.known.filter(|_| open)
            };
            Some(Connection {
                number: conn.number,
                dialer: dialer.node as usize,
                listener: listener.node as usize,
                dialer_has: has(dialer),
                listener_has: has(listener),
                under_way: dialer.known.is_none()
                    && !dialer.ended
                    && self.runs(dialer.node, dialer.life),
            })
        })
    }

    /// Pairs of nodes that both have connections with each other, and how many; `place_of` finds a node by its id.
    pub fn linked_pairs(
        &self,
        place_of: impl Fn(&NodeId) -> Option<usize>,
    ) -> BTreeMap<(usize, usize), u32> {
        if self.whole.is_some() {
            return self.pairs_of_whole_nodes(place_of);
        }
        let mut held = BTreeMap::new();
        for conn in self.connections() {
            if conn.dialer_has.is_some() && conn.listener_has.is_some() {
                let (a, b) = (conn.dialer, conn.listener);
                *held.entry((a.min(b), a.max(b))).or_default() += 1;
            }
        }
        held
    }

    /// How many connections a node's core has.
    #[must_use]
    pub fn degree(&self, place: usize) -> usize {
        if self.whole.is_some() {
            let core = self.nodes[place].core();
            return core.map_or(0, |core| core.connected().count());
        }
        let ends = self.ends_of(place);
        ends.filter(|(_, end)| end.is_open()).count()
    }

    /// The ends that a node has in this life.
    fn ends_of(&self, place: usize) -> impl Iterator<Item = ((ConnRef, Side), &End)> {
        let node = &self.nodes[place];
        node.conns.iter().flat_map(move |&slot| {
            let conn = self.conns[slot as usize].as_ref();
            let conn = conn.expect("a node lists only connections that there are");
            let number = conn.number;
            [Side::Dialer, Side::Listener]
                .into_iter()
                .map(move |side| ((ConnRef { slot, number }, side), &conn.ends[side.at()]))
                .filter(move |(_, end)| end.node as usize == place && end.life == node.life())
        })
    }

    pub(super) fn conn(&self, conn: ConnRef) -> Option<&Conn> {
        let at = self.conns[conn.slot as usize].as_ref();
        at.filter(|at| at.number == conn.number)
    }

    /// A connection that is known to be there still.
    fn conn_mut(&mut self, conn: ConnRef) -> &mut Conn {
        let at = self.conns[conn.slot as usize].as_mut();
        at.filter(|at| at.number == conn.number)
            .expect("it is released only once nothing asks for it")
    }

    fn end_mut(&mut self, conn: ConnRef, side: Side) -> &mut End {
        &mut self.conn_mut(conn).ends[side.at()]
    }

    pub(super) fn flight(&self, flight: u32) -> &Flight {
        let at = self.flights[flight as usize].as_ref();
        at.expect("a flight is there until it has arrived")
    }

    fn take_flight(&mut self, flight: u32) -> Flight {
        self.free_flights.push(flight);
        let at = self.flights[flight as usize].take();
        at.expect("a flight is there until it has arrived")
    }

    fn keep_flight(&mut self, flight: Flight) -> u32 {
        if let Some(free) = self.free_flights.pop() {
            self.flights[free as usize] = Some(flight);
            return free;
        }
        self.flights.push(Some(flight));
        u32::try_from(self.flights.len() - 1).expect("memory ends before")
    }

    /// What was to happen doesn't; a flight in it is over.
    pub(super) fn drop_flight(&mut self, what: What) {
        match what {
            What::Transmit(flight) | What::Arrive(flight) => drop(self.take_flight(flight)),
            What::Wake(_)
            | What::Flushed(..)
            | What::DialTimeout(_)
            | What::Idle(..)
            | What::Gone(..)
            | What::Packet(_) => {}
        }
    }

    /// Gives a connection's place up, once neither end can say or hear anything over it any more.
    pub(super) fn release(&mut self, slot: u32) {
        let Some(conn) = &self.conns[slot as usize] else {
            return;
        };
        let over = |end: &End| end.ended || end.closed.is_some() || !self.runs(end.node, end.life);
        if !conn.ends.iter().all(over) {
            return;
        }
        for node in [conn.ends[0].node, conn.ends[1].node] {
            let conns = &mut self.nodes[node as usize].conns;
            if let Some(at) = conns.iter().position(|other| *other == slot) {
                conns.swap_remove(at);
            }
        }
        self.conns[slot as usize] = None;
        self.free_conns.push(slot);
    }

    pub(super) fn dial(&mut self, place: usize, wanted: Wanted) {
        let (now, node) = (self.now, super::world::small(place));
        let listener = self.place_of(wanted.addr);
        let lines = listener.map(|there| {
            let Self { lines, rng, .. } = self;
            [
                lines.line((there, place), rng),
                lines.line((place, there), rng),
            ]
        });
        self.dial_count += 1;
        let other = super::world::small(listener.unwrap_or(place));
        let made = Conn {
            number: self.dial_count,
            ends: [
                End::new(node, self.nodes[place].life(), now),
                End::new(other, 0, now),
            ],
            wanted,
            lines,
            begun: now,
            rtt: None,
        };
        let slot = if let Some(free) = self.free_conns.pop() {
            self.conns[free as usize] = Some(made);
            free
        } else {
            self.conns.push(Some(made));
            u32::try_from(self.conns.len() - 1).expect("memory ends before")
        };
        self.nodes[place].conns.push(slot);
        let conn = ConnRef {
            slot,
            number: self.dial_count,
        };
        self.at(self.dial_timeout, What::DialTimeout(conn));
        if lines.is_some() {
            self.launch(conn, Side::Listener, Packet::Initial);
        }
    }

    pub(super) fn dial_timeout(&mut self, conn: ConnRef) {
        let it = self.conn_mut(conn);
        let dialer = &it.ends[0];
        if dialer.known.is_some() || dialer.ended {
            return;
        }
        let (node, life, dial) = (dialer.node, dialer.life, it.wanted.dial);
        self.close(conn, Side::Dialer, CloseCode::HelloTimeout, Vec::new());
        self.dial_failed(node, life, dial, DialError::Timeout);
    }

    /// Sends something: over the stream and in the handshake until it has arrived, else once.
    fn launch(&mut self, conn: ConnRef, to: Side, packet: Packet) {
        let flight = Flight {
            conn,
            to,
            bytes: match &packet {
                Packet::Stream(_, bytes, _) => *bytes,
                Packet::Probe(probe) => size::probe(probe),
                Packet::Answer(answer) => size::answer(answer),
                Packet::Initial => INITIAL_BYTES - PACKET_OVERHEAD,
                Packet::Key => KEY_BYTES - PACKET_OVERHEAD,
                Packet::Close(..) | Packet::Reset => 32,
            },
            packet,
            attempt: 0,
            arrives: self.now,
        };
        let flight = self.keep_flight(flight);
        self.transmit(flight);
    }

    /// Sends what has not got through yet, for as long as its sender lives and holds the connection.
    pub(super) fn transmit(&mut self, number: u32) {
        let mut flight = self.take_flight(number);
        let parting = matches!(flight.packet, Packet::Close(..) | Packet::Reset);
        let conn = self.conn_mut(flight.conn);
        let (from, to) = (
            &conn.ends[flight.to.other().at()],
            &conn.ends[flight.to.at()],
        );
        let over = from.ended || from.closed.is_some();
        let (node, life, there) = (from.node, from.life, to.node);
        let (lines, rtt, eager) = (conn.lines, conn.rtt, conn.wanted.eager);
        let Some(lines) = lines else { return };
        if !parting && (over || !self.runs(node, life)) {
            return;
        }
        let whole = flight.bytes;
        let line = lines[flight.to.at()];
        flight.bytes = self.toss(&mut flight, node, line);
        let nobody =
            matches!(flight.packet, Packet::Initial) && !self.nodes[there as usize].is_running();
        if flight.bytes == 0 && !nobody {
            let arrives = flight.arrives;
            let number = self.keep_flight(flight);
            return self.at_time(arrives, What::Arrive(number));
        }
        let first = match flight.packet {
            Packet::Initial | Packet::Key if eager => EAGER_PTO,
            Packet::Initial | Packet::Key => PATIENT_PTO,
            Packet::Stream(..) => rtt.unwrap_or_default().mul_f64(1.5) + MAX_ACK_DELAY,
            Packet::Probe(_) | Packet::Answer(_) | Packet::Close(..) | Packet::Reset => return,
        };
        if nobody {
            flight.bytes = whole;
        }
        let pause = if flight.bytes < whole {
            rtt.unwrap_or_default().mul_f64(1.125)
        } else {
            (first * (1 << flight.attempt.min(10))).min(LONGEST_PTO)
        };
        flight.attempt += 1;
        let number = self.keep_flight(flight);
        self.at(pause, What::Transmit(number));
    }

    /// Puts the packets of a flight onto the line; returns how many of their bytes get lost.
    fn toss(&mut self, flight: &mut Flight, from: u32, line: LineId) -> usize {
        let (mut left, mut lost) = (flight.bytes, 0);
        let Self {
            lines,
            rng,
            now,
            nodes,
            ..
        } = self;
        // A handshake's bytes are weighed as one packet.
        let most = match flight.packet {
            Packet::Initial | Packet::Key => usize::MAX,
            Packet::Stream(..)
            | Packet::Probe(_)
            | Packet::Answer(_)
            | Packet::Close(..)
            | Packet::Reset => PAYLOAD,
        };
        let traffic = &mut nodes[from as usize].traffic;
        while left > 0 {
            let piece = left.min(most);
            left -= piece;
            traffic.bytes += (piece + PACKET_OVERHEAD) as u64;
            match lines.toss(line, *now, piece + PACKET_OVERHEAD, rng) {
                Some(at) => flight.arrives = flight.arrives.max(at),
                None => lost += piece,
            }
        }
        lost
    }

    pub(super) fn arrive(&mut self, number: u32) {
        let now = self.now;
        let Flight {
            conn, to, packet, ..
        } = self.take_flight(number);
        let place = self.conn_mut(conn).ends[to.at()].node;
        if !self.nodes[place as usize].is_running() {
            return;
        }
        let life = self.nodes[place as usize].life();
        if matches!(packet, Packet::Initial) && self.conn_mut(conn).ends[1].life != life {
            self.end_mut(conn, to).life = life;
            let conns = &mut self.nodes[place as usize].conns;
            if !conns.contains(&conn.slot) {
                conns.push(conn.slot);
            }
            // The Hello may never come.
            self.at(IDLE, What::Idle(conn, to));
        }
        let parting = matches!(packet, Packet::Close(..) | Packet::Reset);
        let end = self.end_mut(conn, to);
        if end.life != life {
            if !parting {
                self.launch(conn, to.other(), Packet::Reset);
            }
            return;
        }
        if let Some((at, code)) = end.closed {
            if !parting {
                let reply = if now < at + CLOSING {
                    Packet::Close(code, Vec::new())
                } else {
                    Packet::Reset
                };
                self.launch(conn, to.other(), reply);
            }
            return;
        }
        if end.ended {
            return;
        }
        end.heard = now;
        if end.known.is_none() && matches!(packet, Packet::Probe(_) | Packet::Answer(_)) {
            end.early.push(packet);
            return;
        }
        self.take(conn, to, packet);
    }

    fn take(&mut self, conn: ConnRef, to: Side, packet: Packet) {
        let now = self.now;
        let end = self.end_mut(conn, to);
        let (place, known) = (end.node as usize, end.known.map(|_| conn_id(conn, to)));
        match packet {
            Packet::Initial => self.launch(conn, Side::Dialer, Packet::Key),
            Packet::Key => self.key_shown(conn),
            Packet::Stream(number, bytes, message) => {
                end.waiting.push((number, message));
                self.acknowledge(conn, to, place, bytes);
                self.read(conn, to);
            }
            Packet::Probe(probe) => {
                let answer = Answer {
                    seq: probe.seq,
                    hold_us: 5,
                };
                self.launch(conn, to.other(), Packet::Answer(answer));
                if let Some(known) = known {
                    self.give(place, Input::Probe(known, probe));
                }
            }
            Packet::Answer(answer) => {
                let sent = end.probes.iter().position(|(seq, _)| *seq == answer.seq);
                let rtt = sent
                    .and_then(|at| end.probes.remove(at))
                    .map(|(_, at)| now - at);
                if let Some(sample) = rtt {
                    let rtt = &mut self.conn_mut(conn).rtt;
                    *rtt = Some(rtt.map_or(sample, |before| (before * 7 + sample) / 8));
                }
                self.nodes[place].traffic.bytes += ACK_BYTES as u64;
                let rtt_us = rtt.map(|rtt| micros(rtt).max(1));
                if let Some(known) = known {
                    self.give(place, Input::Answer(known, answer, rtt_us));
                }
            }
            Packet::Close(code, alternatives) => {
                let why = Closed::ByPeer(Some(code));
                self.end(conn, to, why, DialError::Refused(Some(code), alternatives));
            }
            Packet::Reset => {
                let refused = DialError::Failed("reset".to_owned());
                self.end(conn, to, Closed::Reset, refused);
            }
        }
    }

    /// A message has arrived: its sender has room for more, once it knows.
    fn acknowledge(&mut self, conn: ConnRef, to: Side, place: usize, bytes: usize) {
        self.nodes[place].traffic.bytes += ACK_BYTES as u64;
        let it = self.conn_mut(conn);
        let back = it.rtt.unwrap_or_default() / 2;
        let sender = &mut it.ends[to.other().at()];
        sender.unacked = sender.unacked.saturating_sub(bytes);
        if sender.stalled && sender.unacked <= WINDOW {
            sender.stalled = false;
            self.at(back + TAKING, What::Flushed(conn, to.other()));
        }
    }

    fn key_shown(&mut self, conn: ConnRef) {
        let now = self.now;
        let it = self.conn_mut(conn);
        if it.rtt.is_some() {
            return;
        }
        it.rtt = Some(now - it.begun);
        let (wanted, life) = (it.wanted, it.ends[0].life);
        let (place, there) = (it.ends[0].node, it.ends[1].node);
        let id = self.nodes[there as usize].id();
        let node = &mut self.nodes[place as usize];
        node.traffic.bytes += CERTIFICATE_BYTES as u64;
        if id == node.id() {
            self.close(conn, Side::Dialer, CloseCode::Myself, Vec::new());
            return self.dial_failed(place, life, wanted.dial, DialError::Myself);
        }
        if wanted.expect.is_some_and(|expect| expect != id) {
            self.end_mut(conn, Side::Dialer).ended = true;
            self.release(conn.slot);
            return self.dial_failed(place, life, wanted.dial, DialError::OtherKey);
        }
        let core = node.core().expect("what arrives arrives where a node runs");
        let hello = Hello {
            run_id: core.run_id(),
            dial_counter: wanted.dial.0,
            replaces: wanted.replaces,
            observed: wanted.addr,
            known: u32::try_from(core.up_count()).expect("there are fewer places"),
            digest: core.digest(),
            record: core.own_record(),
        };
        drop(core);
        self.stream(conn, Side::Listener, Message::Hello(hello));
    }

    /// Puts a message onto the stream.
    fn stream(&mut self, conn: ConnRef, to: Side, message: Message) {
        let end = self.end_mut(conn, to.other());
        let (number, place) = (end.sent, end.node as usize);
        end.sent += 1;
        let traffic = &mut self.nodes[place].traffic;
        traffic.messages += 1;
        traffic.record_bytes += size::records(&message) as u64;
        let message = if self.encoded {
            let frame = message.to_frame();
            assert!(frame.len() <= MAX_FRAME + 4, "a frame over the limit");
            Message::from_body(&frame[4..]).expect("our own frames decode")
        } else {
            message
        };
        let bytes = size::frame(&message);
        self.end_mut(conn, to.other()).unacked += bytes;
        self.launch(conn, to, Packet::Stream(number, bytes, message));
    }

    /// Takes in what came in order.
    fn read(&mut self, conn: ConnRef, to: Side) {
        // A core may close the connection, and its place may be given up, at any of these.
        while self.conn(conn).is_some() {
            let end = self.end_mut(conn, to);
            let (place, known) = (end.node as usize, end.known);
            let next = end.got;
            let Some(at) = end.waiting.iter().position(|(number, _)| *number == next) else {
                return;
            };
            let (_, message) = end.waiting.swap_remove(at);
            end.got += 1;
            if end.ended || end.closed.is_some() {
                return;
            }
            match (known, message) {
                (Some(_), message) => {
                    if let Message::Records(records) = &message {
                        self.nodes[place].traffic.records_in += records.len() as u64;
                    }
                    self.give(place, Input::Message(conn_id(conn, to), message));
                }
                (None, Message::Hello(hello)) => self.connected(conn, to, hello),
                (None, message) => unreachable!("{message:?} before Hello"),
            }
        }
    }

    fn connected(&mut self, conn: ConnRef, side: Side, hello: Hello) {
        let now = self.now;
        let it = self.conn_mut(conn);
        let (place, peer) = (it.ends[side.at()].node, it.ends[side.other().at()].node);
        it.ends[side.at()].known = Some(now);
        let (wanted, rtt_us) = (it.wanted, it.rtt.map(micros));
        let early = std::mem::take(&mut it.ends[side.at()].early);
        let (dial, remote) = match side {
            Side::Dialer => (Some(wanted.dial), wanted.addr),
            Side::Listener => (None, self.nodes[peer as usize].config.addrs[0]),
        };
        if side == Side::Dialer {
            self.at(IDLE, What::Idle(conn, side));
        }
        let connected = Connected {
            conn: conn_id(conn, side),
            dial,
            peer: self.nodes[peer as usize].id(),
            remote,
            hello,
            rtt_us,
            replaces: wanted.replaces && side == Side::Dialer,
        };
        self.give(place as usize, Input::Connected(Box::new(connected)));
        for packet in early {
            let open = self.conn(conn).map(|it| it.ends[side.at()].is_open());
            if open == Some(true) {
                self.take(conn, side, packet);
            }
        }
    }

    /// The connection that a core means, while its end is open.
    fn open(&self, conn: ConnId) -> Option<(ConnRef, Side)> {
        let (conn, side) = conn_of(conn);
        let end = &self.conn(conn)?.ends[side.at()];
        end.is_open().then_some((conn, side))
    }

    pub(super) fn send(&mut self, place: usize, conn: ConnId, message: Message) {
        let Some((conn, side)) = self.open(conn) else {
            return;
        };
        let end = self.end_mut(conn, side);
        assert!(
            !std::mem::replace(&mut end.in_flight, true),
            "node {place} has two messages under way"
        );
        self.stream(conn, side.other(), message);
        let end = self.end_mut(conn, side);
        end.stalled = end.unacked > WINDOW;
        if !end.stalled {
            self.at(TAKING, What::Flushed(conn, side));
        }
    }

    pub(super) fn flushed(&mut self, conn: ConnRef, side: Side) {
        let end = self.end_mut(conn, side);
        let (place, life) = (end.node, end.life);
        if !end.is_open() || !self.runs(place, life) {
            return;
        }
        self.end_mut(conn, side).in_flight = false;
        self.give(place as usize, Input::Flushed(conn_id(conn, side)));
    }

    pub(super) fn probe(&mut self, place: usize, conn: ConnId, probe: Probe) {
        let Some((conn, side)) = self.open(conn) else {
            return;
        };
        let now = self.now;
        self.nodes[place].traffic.probes += 1;
        let end = self.end_mut(conn, side);
        if end.probes.len() == PROBES {
            end.probes.pop_front();
        }
        end.probes.push_back((probe.seq, now));
        self.launch(conn, side.other(), Packet::Probe(probe));
    }

    /// A core closes a connection.
    pub(super) fn hang_up(
        &mut self,
        _place: usize,
        conn: ConnId,
        code: CloseCode,
        alternatives: Vec<SocketAddr>,
    ) {
        if let Some((conn, side)) = self.open(conn) {
            self.close(conn, side, code, alternatives);
        }
    }

    /// Closes all that a core has.
    pub(super) fn hang_up_all(&mut self, place: usize, code: CloseCode) {
        let open = self.ends_of(place).filter(|(_, end)| end.is_open());
        let all: Vec<(ConnRef, Side)> = open.map(|(which, _)| which).collect();
        for (conn, side) in all {
            self.close(conn, side, code, Vec::new());
        }
    }

    /// Closes a connection from one end: said once, and again to whatever still comes.
    fn close(&mut self, conn: ConnRef, side: Side, code: CloseCode, alternatives: Vec<SocketAddr>) {
        assert!(
            alternatives.len() <= MAX_ALTERNATIVES,
            "too many alternatives"
        );
        let now = self.now;
        let end = self.end_mut(conn, side);
        end.closed = Some((now, code));
        end.ended = true;
        self.launch(conn, side.other(), Packet::Close(code, alternatives));
        self.release(conn.slot);
    }

    /// A connection has ended for this end.
    fn end(&mut self, conn: ConnRef, side: Side, why: Closed, refused: DialError) {
        let it = self.conn_mut(conn);
        let dial = it.wanted.dial;
        let end = &mut it.ends[side.at()];
        end.ended = true;
        let (place, life, known) = (end.node, end.life, end.known.is_some());
        self.release(conn.slot);
        if known {
            self.give(place as usize, Input::Closed(conn_id(conn, side), why));
        } else if side == Side::Dialer {
            self.dial_failed(place, life, dial, refused);
        }
    }

    pub(super) fn idle(&mut self, conn: ConnRef, side: Side) {
        let end = self.end_mut(conn, side);
        let (place, life, due) = (end.node, end.life, end.heard + IDLE);
        if end.ended || !self.runs(place, life) {
            return;
        }
        if due <= self.now {
            self.end(conn, side, Closed::TimedOut, DialError::Timeout);
        } else {
            self.at_time(due, What::Idle(conn, side));
        }
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
