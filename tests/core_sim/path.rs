//! The transport between the nodes, modelled after the real one: handshakes, an ordered stream that resends what was
//! lost, datagrams that get lost, closes that are said once, resets by whoever has forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use area_net::membership::{Closed, ConnId, Connected, DialError, DialId, Input, Time};
use area_net::wire::{
    Answer, CloseCode, Datagram, Hello, MAX_ALTERNATIVES, MAX_FRAME, Message, NodeId, Probe,
};
use rand::RngExt as _;

use crate::net::{Happening, NETWORK, Net, Path, ms, secs};

/// When a dial is given up.
const DIAL_TIMEOUT: Duration = Duration::from_millis(2900);
/// The pause after a first packet to an unknown path (RFC 9002, section 6.2.2).
const INITIAL_PTO: Duration = Duration::from_secs(1);
/// QUIC's idle timeout.
const IDLE: Duration = Duration::from_secs(30);
/// For so long an end that closed a connection answers with the close; after that with a reset.
const CLOSING: Duration = Duration::from_secs(3);

/// The dialer's or the listener's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Dialer,
    Listener,
}

impl Side {
    pub(crate) fn at(self) -> usize {
        match self {
            Self::Dialer => 0,
            Self::Listener => 1,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Packet {
    /// The dialer's first.
    Initial,
    /// The listener shows its key.
    Key(NodeId),
    /// A message of the stream, with its number.
    Stream(u64, Box<Message>),
    Probe(Probe),
    Answer(Answer),
    Close(CloseCode, Vec<SocketAddr>),
    Reset,
}

/// A connection, or an attempt at one.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The dialer's, and the listener's.
    pub(crate) ends: [End; 2],
    dial: DialId,
    addr: SocketAddr,
    expect: Option<NodeId>,
    replaces: bool,
    /// When the first packet left, for the handshake's round-trip time.
    begun: Time,
    rtt: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) node: usize,
    pub(crate) life: u32,
    /// Known to the core under this number.
    pub(crate) conn: Option<ConnId>,
    /// Closed from here, with that code.
    closed: Option<(Time, CloseCode)>,
    /// Closed from there, or given up.
    pub(crate) ended: bool,
    /// Messages sent, and taken in.
    sent: u64,
    got: u64,
    waiting: BTreeMap<u64, Message>,
    /// Datagrams that came before the core knew the connection.
    early: Vec<Packet>,
    probes: VecDeque<(u32, Time)>,
    heard: Time,
    in_flight: bool,
}

impl End {
    fn new(node: usize, life: u32, now: Time) -> Self {
        Self {
            node,
            life,
            conn: None,
            closed: None,
            ended: false,
            sent: 0,
            got: 0,
            waiting: BTreeMap::new(),
            early: Vec::new(),
            probes: VecDeque::new(),
            heard: now,
            in_flight: false,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.conn.is_some() && !self.ended
    }
}

impl Net {
    pub(crate) fn dial(
        &mut self,
        place: usize,
        dial: DialId,
        addr: SocketAddr,
        expect: Option<NodeId>,
        replaces: bool,
    ) {
        let listener = self.place_of(addr);
        let life = self.nodes[place].life;
        // Where nobody listens, the pair has its dialer's node at both ends, and nothing is sent.
        let ends = [
            End::new(place, life, self.now),
            End::new(listener.unwrap_or(place), 0, self.now),
        ];
        self.pairs.push(Pair {
            ends,
            dial,
            addr,
            expect,
            replaces,
            begun: self.now,
            rtt: None,
        });
        let pair = self.pairs.len() - 1;
        self.at(DIAL_TIMEOUT, Happening::DialTimeout(pair));
        if listener.is_some() {
            self.transmit(pair, Side::Listener, Packet::Initial, 0);
        }
    }

    pub(crate) fn dial_timeout(&mut self, pair: usize) {
        let it = &self.pairs[pair];
        if it.ends[0].conn.is_some() || it.ends[0].ended {
            return;
        }
        let dial = it.dial;
        self.close(pair, Side::Dialer, CloseCode::HelloTimeout, Vec::new());
        self.dial_failed(pair, dial, DialError::Timeout);
    }

    fn path(&self, from: usize, to: usize) -> Path {
        self.paths.get(&(from, to)).copied().unwrap_or(self.path)
    }

    fn delay(&mut self, from: usize, to: usize) -> Duration {
        let path = self.path(from, to);
        path.delay + path.jitter.mul_f64(self.rng.random())
    }

    /// Sends a packet once; returns whether it will arrive.
    fn toss(&mut self, pair: usize, to: Side, packet: Packet) -> Result<(), Packet> {
        let from = self.pairs[pair].ends[to.other().at()].node;
        let there = self.pairs[pair].ends[to.at()].node;
        let path = self.path(from, there);
        let cut = self.group(from) != self.group(there) || self.dead.contains(&(from, there));
        let nobody = matches!(packet, Packet::Initial) && !self.is_running(there);
        if cut || nobody || (path.loss > 0.0 && self.rng.random_bool(path.loss)) {
            return Err(packet);
        }
        let delay = self.delay(from, there);
        self.at(delay, Happening::Arrive { pair, to, packet });
        Ok(())
    }

    /// Sends a packet until it arrives, for as long as its sender lives and holds the connection.
    pub(crate) fn transmit(&mut self, pair: usize, to: Side, packet: Packet, attempt: u32) {
        let end = &self.pairs[pair].ends[to.other().at()];
        let (from, life, over) = (end.node, end.life, end.ended || end.closed.is_some());
        if over || !self.runs(from, life) {
            return;
        }
        let first = matches!(packet, Packet::Initial | Packet::Key(_));
        let Err(packet) = self.toss(pair, to, packet) else {
            return;
        };
        let there = self.pairs[pair].ends[to.at()].node;
        let path = self.path(from, there);
        let pto = if first {
            INITIAL_PTO
        } else {
            (path.delay + path.jitter) * 3 + ms(25)
        };
        let pause = (pto * (1 << attempt.min(10))).min(secs(4));
        self.at(
            pause,
            Happening::Transmit {
                pair,
                to,
                packet,
                attempt: attempt + 1,
            },
        );
    }

    pub(crate) fn arrive(&mut self, pair: usize, to: Side, packet: Packet) {
        let now = self.now;
        let place = self.pairs[pair].ends[to.at()].node;
        if !self.is_running(place) {
            return;
        }
        let life = self.nodes[place].life;
        let end = &mut self.pairs[pair].ends[to.at()];
        if matches!(packet, Packet::Initial) {
            end.life = life;
        }
        let parting = matches!(packet, Packet::Close(..) | Packet::Reset);
        if end.life != life {
            if !parting {
                self.toss(pair, to.other(), Packet::Reset).ok();
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
                self.toss(pair, to.other(), reply).ok();
            }
            return;
        }
        if end.ended {
            return;
        }
        end.heard = now;
        if end.conn.is_none() && matches!(packet, Packet::Probe(_) | Packet::Answer(_)) {
            end.early.push(packet);
            return;
        }
        self.take(pair, to, packet);
    }

    fn take(&mut self, pair: usize, to: Side, packet: Packet) {
        let end = &mut self.pairs[pair].ends[to.at()];
        let (place, conn) = (end.node, end.conn);
        match packet {
            Packet::Initial => {
                let id = self.nodes[place].id;
                self.transmit(pair, Side::Dialer, Packet::Key(id), 0);
            }
            Packet::Key(id) => self.key_shown(pair, id),
            Packet::Stream(number, message) => {
                end.waiting.insert(number, *message);
                self.read(pair, to);
            }
            Packet::Probe(probe) => {
                let answer = Answer {
                    seq: probe.seq,
                    hold_us: 5,
                };
                self.toss(pair, to.other(), Packet::Answer(answer)).ok();
                if let Some(conn) = conn {
                    self.give(place, Input::Probe(conn, probe));
                }
            }
            Packet::Answer(answer) => {
                let sent = end.probes.iter().position(|(seq, _)| *seq == answer.seq);
                let sent = sent.and_then(|at| end.probes.remove(at));
                let rtt = sent.map(|(_, at)| self.now - at);
                let rtt_us = rtt.map(|rtt| u32::try_from(rtt.as_micros()).unwrap().max(1));
                if let Some(conn) = conn {
                    self.give(place, Input::Answer(conn, answer, rtt_us));
                }
            }
            Packet::Close(code, alternatives) => {
                let why = Closed::ByPeer(Some(code));
                let refused = DialError::Refused(Some(code), alternatives);
                self.end(pair, to, why, refused);
            }
            Packet::Reset => {
                let refused = DialError::Failed("reset".to_owned());
                self.end(pair, to, Closed::Reset, refused);
            }
        }
    }

    fn key_shown(&mut self, pair: usize, id: NodeId) {
        let it = &mut self.pairs[pair];
        if it.rtt.is_some() {
            return;
        }
        let rtt = self.now - it.begun;
        it.rtt = Some(rtt);
        let (dial, expect, replaces) = (it.dial, it.expect, it.replaces);
        let place = it.ends[0].node;
        if id == self.nodes[place].id {
            self.close(pair, Side::Dialer, CloseCode::Myself, Vec::new());
            self.dial_failed(pair, dial, DialError::Myself);
            return;
        }
        if expect.is_some_and(|expect| expect != id) {
            self.pairs[pair].ends[0].ended = true;
            self.dial_failed(pair, dial, DialError::OtherKey);
            return;
        }
        let core = self.nodes[place].core.as_ref().expect("it runs");
        let hello = Hello {
            run_id: core.run_id(),
            dial_counter: dial.0,
            replaces,
            observed: self.pairs[pair].addr,
            known: u32::try_from(core.up_count()).unwrap(),
            digest: core.digest(),
            record: core.own_record(),
        };
        self.stream(pair, Side::Listener, Message::Hello(hello));
    }

    /// Puts a message onto the stream.
    fn stream(&mut self, pair: usize, to: Side, message: Message) {
        let end = &mut self.pairs[pair].ends[to.other().at()];
        let number = end.sent;
        end.sent += 1;
        self.check_message(&message);
        let message = if self.encoded {
            let frame = message.to_frame();
            assert!(frame.len() <= MAX_FRAME + 4, "a frame over the limit");
            Message::from_body(&frame[4..]).expect("our own frames decode")
        } else {
            message
        };
        self.transmit(pair, to, Packet::Stream(number, Box::new(message)), 0);
    }

    /// Takes in what came in order.
    fn read(&mut self, pair: usize, to: Side) {
        loop {
            let end = &mut self.pairs[pair].ends[to.at()];
            let (place, conn) = (end.node, end.conn);
            let Some(message) = end.waiting.remove(&end.got) else {
                return;
            };
            end.got += 1;
            if end.ended || end.closed.is_some() {
                return;
            }
            match (conn, message) {
                (Some(conn), message) => self.give(place, Input::Message(conn, message)),
                (None, Message::Hello(hello)) => self.connected(pair, to, hello),
                (None, message) => panic!("{message:?} before Hello"),
            }
        }
    }

    fn connected(&mut self, pair: usize, side: Side, hello: Hello) {
        let it = &self.pairs[pair];
        let (place, peer) = (it.ends[side.at()].node, it.ends[side.other().at()].node);
        let (dial, remote) = match side {
            Side::Dialer => (Some(it.dial), it.addr),
            Side::Listener => (None, self.nodes[peer].config.addrs[0]),
        };
        let rtt_us = it.rtt.map(|rtt| u32::try_from(rtt.as_micros()).unwrap());
        let replaces = it.replaces && side == Side::Dialer;
        let conn = self.next_conn(place);
        self.nodes[place].conns.insert(conn, (pair, side));
        self.pairs[pair].ends[side.at()].conn = Some(conn);
        self.at(IDLE, Happening::Idle(pair, side));
        let connected = Connected {
            conn,
            dial,
            peer: self.nodes[peer].id,
            remote,
            hello,
            rtt_us,
            replaces,
        };
        self.give(place, Input::Connected(Box::new(connected)));
        for packet in std::mem::take(&mut self.pairs[pair].ends[side.at()].early) {
            let end = &self.pairs[pair].ends[side.at()];
            if !end.ended && end.closed.is_none() {
                self.take(pair, side, packet);
            }
        }
    }

    pub(crate) fn send(&mut self, place: usize, conn: ConnId, message: Message) {
        let Some(&(pair, side)) = self.nodes[place].conns.get(&conn) else {
            return;
        };
        let end = &mut self.pairs[pair].ends[side.at()];
        assert!(
            !std::mem::replace(&mut end.in_flight, true),
            "two messages under way"
        );
        let life = end.life;
        self.stream(pair, side.other(), message);
        self.at(
            Duration::from_micros(30),
            Happening::Flushed(place, life, conn),
        );
    }

    pub(crate) fn flushed(&mut self, place: usize, conn: ConnId) {
        let Some(&(pair, side)) = self.nodes[place].conns.get(&conn) else {
            return;
        };
        self.pairs[pair].ends[side.at()].in_flight = false;
        self.give(place, Input::Flushed(conn));
    }

    pub(crate) fn probe(&mut self, place: usize, conn: ConnId, probe: Probe) {
        let Some(&(pair, side)) = self.nodes[place].conns.get(&conn) else {
            return;
        };
        let bytes = Datagram::Probe(probe).to_bytes();
        assert_eq!(
            Datagram::from_bytes(&bytes).unwrap(),
            Datagram::Probe(probe)
        );
        let end = &mut self.pairs[pair].ends[side.at()];
        if end.probes.len() == 48 {
            end.probes.pop_front();
        }
        end.probes.push_back((probe.seq, self.now));
        self.toss(pair, side.other(), Packet::Probe(probe)).ok();
    }

    /// Closes a connection from one end: said once, and again to whatever still comes.
    pub(crate) fn close(
        &mut self,
        pair: usize,
        side: Side,
        code: CloseCode,
        mut alternatives: Vec<SocketAddr>,
    ) {
        assert!(alternatives.len() <= MAX_ALTERNATIVES);
        let end = &mut self.pairs[pair].ends[side.at()];
        end.closed = Some((self.now, code));
        end.ended = true;
        alternatives.truncate(MAX_ALTERNATIVES);
        self.toss(pair, side.other(), Packet::Close(code, alternatives))
            .ok();
    }

    /// A connection has ended for this end.
    fn end(&mut self, pair: usize, side: Side, why: Closed, refused: DialError) {
        let dial = self.pairs[pair].dial;
        let end = &mut self.pairs[pair].ends[side.at()];
        end.ended = true;
        let place = end.node;
        match (end.conn, side) {
            (Some(conn), _) => {
                self.nodes[place].conns.remove(&conn);
                self.give(place, Input::Closed(conn, why));
            }
            (None, Side::Dialer) => self.dial_failed(pair, dial, refused),
            (None, Side::Listener) => {}
        }
    }

    pub(crate) fn idle(&mut self, pair: usize, side: Side) {
        let end = &self.pairs[pair].ends[side.at()];
        if end.ended || !self.runs(end.node, end.life) {
            return;
        }
        let due = end.heard + IDLE;
        if due <= self.now {
            self.end(pair, side, Closed::TimedOut, DialError::Timeout);
        } else {
            self.at(due - self.now, Happening::Idle(pair, side));
        }
    }

    /// Every record that travels is signed, and within its limits.
    fn check_message(&self, message: &Message) {
        let records = match message {
            Message::Hello(hello) => std::slice::from_ref(&hello.record),
            Message::Records(records) => records,
            Message::Digests { .. }
            | Message::Versions { .. }
            | Message::Want(_)
            | Message::Superfluous(_)
            | Message::Have(_)
            | Message::Graft(_)
            | Message::Prune => &[],
        };
        for record in records {
            record.verify(NETWORK).expect("only genuine records travel");
        }
    }
}
