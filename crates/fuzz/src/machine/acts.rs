//! The steps: what the input can make happen.

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use area_net::membership::{Closed, ConnId, Connected, DialError, DialId, Input, Obstacle};
use area_net::wire::{
    Answer, CloseCode, Datagram, Echo, MAX_ALTERNATIVES, NodeId, Probe, ViewDigest,
};

use super::says::{self, Voice};
use super::{Conn, Dialing, Machine};
use crate::people::{ALL, PEERS, PEOPLE, START_S};

/// How long a step of time may be. The longest are those of a machine that slept, and of records that are forgotten.
const SPANS_MS: [u64; 16] = [
    1, 5, 20, 50, 100, 250, 300, 500, 1000, 1500, 2900, 5000, 10_000, 15_000, 60_000, 700_000,
];

impl Machine {
    /// Does what the next bytes say.
    pub(super) fn step(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let what: u8 = bytes.arbitrary()?;
        match what % 32 {
            0..=3 => {
                let ms = SPANS_MS[usize::from(bytes.arbitrary::<u8>()? & 15)];
                self.now += Duration::from_millis(ms);
                self.give(Input::Timeout);
            }
            4 | 5 => {
                // As the event loop does: it sleeps until the core wants to be woken.
                for _ in 0..bytes.int_in_range(1..=16_u8)? {
                    // No core sleeps for an hour.
                    let next = self.core.poll_timeout();
                    assert!(
                        next < self.now + Duration::from_secs(3600),
                        "it sleeps until {next:?}"
                    );
                    self.now = next.max(self.now);
                    self.give(Input::Timeout);
                }
            }
            6 | 7 => self.accept(bytes)?,
            8 | 9 => self.dial_succeeds(bytes)?,
            10 => self.dial_fails(bytes)?,
            11 => self.connection_ends(bytes)?,
            12..=19 => {
                if let Some(conn) = self.choose(bytes)? {
                    let voice = Voice::new(&self.runs, &self.core);
                    let body = voice.message(bytes)?.to_frame().split_off(4);
                    self.arrive(conn, &body);
                }
            }
            20 => {
                if let Some(conn) = self.choose(bytes)? {
                    let length = usize::from(bytes.arbitrary::<u8>()?).min(bytes.len());
                    let body = bytes.bytes(length)?;
                    self.arrive(conn, body);
                }
            }
            21 => self.probe(bytes)?,
            22 => {
                if let Some(conn) = self.choose(bytes)? {
                    let rtt_us = bytes.arbitrary::<bool>()?.then_some(1000);
                    self.answer(conn, rtt_us);
                    self.pass_echoes();
                    self.check();
                }
            }
            23 => {
                if let Some(conn) = self.choose(bytes)? {
                    let room = [0, 1, 300, 1200, usize::MAX];
                    let room = room[usize::from(bytes.arbitrary::<u8>()?) % room.len()];
                    self.flushed(conn, room);
                    self.pass_echoes();
                    self.check();
                }
            }
            what => self.step_rarely(what, bytes)?,
        }
        Ok(())
    }

    /// What happens less often: peers fall silent and start again, and this machine and its papers change.
    fn step_rarely(&mut self, what: u8, bytes: &mut Unstructured<'_>) -> Result<()> {
        match what {
            24 => {
                // A peer stops to answer and to read, or does so again.
                let peer = bytes.int_in_range(1..=PEERS)?;
                self.is_lively[peer] = !self.is_lively[peer];
                self.catch_up(peer);
            }
            25 => self.path_changes(bytes)?,
            26 => {
                // A peer starts again, or another one with its key.
                let (peer, run) = (
                    bytes.int_in_range(0..=ALL - 1)?,
                    bytes.int_in_range(0..=2_usize)?,
                );
                if peer > 0 {
                    self.runs[peer] = says::RUNS[run];
                }
            }
            27 => self.surroundings_change(bytes)?,
            28 => self.papers_change(bytes)?,
            29 => {
                let nonce = match self.opened.pop() {
                    Some(nonce) if bytes.arbitrary()? => nonce,
                    _ => bytes.arbitrary()?,
                };
                let from = says::place(bytes)?;
                self.give(Input::Opened { nonce, from });
            }
            30 => self.ping_or_echo(bytes)?,
            _ => {
                if bytes.arbitrary::<u8>()? == 7 && !self.is_leaving {
                    self.give(Input::Leave);
                }
            }
        }
        Ok(())
    }

    /// Somebody pings a node, or an echo comes in.
    fn ping_or_echo(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let mut path = Vec::new();
        for _ in 0..bytes.int_in_range(1..=4)? {
            path.push(PEOPLE.id(bytes.int_in_range(0..=ALL - 1)?));
        }
        let number = bytes.arbitrary()?;
        if bytes.arbitrary()? {
            self.give(Input::Ping { number, path });
        } else if let Some(conn) = self.choose(bytes)? {
            let echo = Echo {
                way: path.iter().map(NodeId::abbreviated).collect(),
                nonce: number,
                is_answer: bytes.arbitrary()?,
            };
            let body = Datagram::Echo(echo).to_bytes();
            // The transport drops what can't be decoded.
            if let Ok(Datagram::Echo(echo)) = Datagram::from_bytes(&body) {
                self.give(Input::Echo(conn, echo));
            }
        }
        Ok(())
    }

    /// One of the connections.
    fn choose(&self, bytes: &mut Unstructured<'_>) -> Result<Option<ConnId>> {
        let at = usize::from(bytes.arbitrary::<u8>()?);
        let count = self.conns.len();
        Ok((count > 0).then(|| {
            *self
                .conns
                .keys()
                .nth(at % count)
                .expect("there are so many")
        }))
    }

    fn next_conn(&mut self, peer: usize) -> ConnId {
        self.next_conn += 1;
        let conn = ConnId(self.next_conn);
        let open = Conn {
            peer,
            is_in_flight: false,
            asked: std::collections::VecDeque::new(),
            last_probe: None,
            seq: 0,
            is_closing: false,
        };
        self.conns.insert(conn, open);
        conn
    }

    /// A peer dials this node.
    fn accept(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        // Sometimes somebody with this very node's key.
        let peer = usize::from(bytes.arbitrary::<u8>()?) % (PEERS + 1);
        let hello = Voice::new(&self.runs, &self.core).hello(bytes, peer)?;
        let remote = if bytes.arbitrary()? {
            says::addr(peer)
        } else {
            says::place(bytes)?
        };
        let Some(hello) = says::as_arrived(hello) else {
            return Ok(());
        };
        let connected = Connected {
            conn: self.next_conn(peer),
            dial: None,
            peer: PEOPLE.id(peer),
            remote,
            hello,
            rtt_us: bytes.arbitrary::<bool>()?.then_some(500),
            replaces: false,
            spare: false,
        };
        self.give(Input::Connected(Box::new(connected)));
        Ok(())
    }

    fn dial_succeeds(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let Some((dial, Dialing { addrs, expect })) = self.dials.pop_first() else {
            return Ok(());
        };
        let at = usize::from(bytes.arbitrary::<u8>()?);
        let peer = match expect {
            // The transport lets nobody else answer.
            Some(id) => PEOPLE.place(&id).expect("it dials whom it heard of"),
            None => at % (PEERS + 1),
        };
        let hello = Voice::new(&self.runs, &self.core).hello(bytes, peer)?;
        let Some(hello) = says::as_arrived(hello).filter(|_| peer <= PEERS) else {
            // Nodes beyond the peers are only heard of.
            self.give(Input::DialFailed(dial, DialError::Timeout));
            return Ok(());
        };
        let flags: u8 = bytes.arbitrary()?;
        let connected = Connected {
            conn: self.next_conn(peer),
            dial: Some(dial),
            peer: PEOPLE.id(peer),
            remote: addrs[at % addrs.len()],
            hello,
            rtt_us: (flags & 1 == 0).then_some(500),
            replaces: flags & 2 != 0,
            spare: flags & 12 == 12,
        };
        self.give(Input::Connected(Box::new(connected)));
        Ok(())
    }

    fn dial_fails(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let Some((&dial, dialing)) = self.dials.first_key_value() else {
            return Ok(());
        };
        let addr = dialing.addrs[0];
        let why = match bytes.arbitrary::<u8>()? % 10 {
            0 | 1 => DialError::Timeout,
            2 => DialError::Unreachable,
            3 => DialError::OtherKey(PEOPLE.id(bytes.int_in_range(0..=ALL - 1)?)),
            4 => DialError::Myself,
            5 => {
                let count = bytes.int_in_range(0..=MAX_ALTERNATIVES)?;
                let others = (0..count)
                    .map(|_| says::address(bytes))
                    .collect::<Result<_>>()?;
                DialError::Refused(Some(CloseCode::Full), others)
            }
            6 => DialError::Refused(says::close_code(bytes)?, Vec::new()),
            7 => DialError::Failed("it failed".to_owned()),
            _ => {
                let obstacles = [
                    Obstacle::NoRoute,
                    Obstacle::Source,
                    Obstacle::Family,
                    Obstacle::ProhibitedHere,
                    Obstacle::Prohibited(None),
                    Obstacle::NoWay(Some([192, 0, 2, 1].into())),
                ];
                DialError::Blocked(*bytes.choose(&obstacles)?)
            }
        };
        if bytes.arbitrary()? {
            self.give(Input::AddrFailed(dial, addr, why));
        } else {
            self.fail(dial, why);
        }
        Ok(())
    }

    pub(super) fn fail(&mut self, dial: DialId, why: DialError) {
        self.dials.remove(&dial);
        self.give(Input::DialFailed(dial, why));
    }

    fn connection_ends(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let Some(conn) = self.choose(bytes)? else {
            return Ok(());
        };
        let why = match bytes.arbitrary::<u8>()? % 6 {
            0 | 1 => Closed::ByPeer(says::close_code(bytes)?),
            2 => Closed::Reset,
            3 => Closed::TimedOut,
            4 => Closed::Failed("it failed".to_owned()),
            _ => Closed::Violation(CloseCode::Limit, "too much".to_owned()),
        };
        let is_closing = self.conns.get(&conn).is_some_and(|open| open.is_closing);
        let why = if is_closing { Closed::Local } else { why };
        self.give(Input::Closed(conn, why));
        Ok(())
    }

    fn probe(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let Some(conn) = self.choose(bytes)? else {
            return Ok(());
        };
        let flags: u8 = bytes.arbitrary()?;
        let digest = match flags & 3 {
            0..=2 => self.core.digest(),
            _ => ViewDigest([flags; 8]),
        };
        let open = self.conns.get_mut(&conn).expect("it was chosen");
        open.seq = open.seq.wrapping_add(1);
        let probe = Probe {
            seq: if flags & 4 == 0 {
                open.seq
            } else {
                bytes.arbitrary()?
            },
            heard: flags & 8 == 0,
            rtt_us: if flags & 16 == 0 {
                300
            } else {
                bytes.arbitrary()?
            },
            loss: if flags & 32 == 0 {
                0
            } else {
                bytes.arbitrary()?
            },
            next_ms: if flags & 64 == 0 {
                1500
            } else {
                bytes.arbitrary()?
            },
            digest,
        };
        self.give(Input::Probe(conn, probe));
        if flags & 128 != 0 {
            // An answer to what was never asked, or is long over.
            let answer = Answer {
                seq: bytes.arbitrary()?,
                hold_us: bytes.arbitrary()?,
            };
            self.give(Input::Answer(conn, answer, bytes.arbitrary()?));
        }
        Ok(())
    }

    /// A peer that has just become lively does what it had not done.
    fn catch_up(&mut self, peer: usize) {
        if !self.is_lively[peer] {
            return;
        }
        let conns: Vec<(ConnId, bool)> = self
            .conns
            .iter()
            .filter(|(_, open)| open.peer == peer)
            .map(|(conn, open)| (*conn, open.is_closing))
            .collect();
        for (conn, is_closing) in conns {
            if is_closing {
                self.echoes.push_back(Input::Closed(conn, Closed::Local));
            } else {
                self.answer(conn, None);
                self.flushed(conn, usize::MAX);
            }
        }
        self.pass_echoes();
        self.check();
    }

    fn path_changes(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let Some(conn) = self.choose(bytes)? else {
            return Ok(());
        };
        let input = match bytes.arbitrary::<u8>()? % 4 {
            0 => Input::Unreachable(conn),
            1 => Input::Moved(conn, says::place(bytes)?),
            2 => Input::PathLost(conn),
            _ => Input::Redial(conn),
        };
        self.give(input);
        Ok(())
    }

    fn surroundings_change(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let mut addrs = |most: u8| -> Result<Vec<_>> {
            let count = bytes.int_in_range(0..=most)?;
            (0..count).map(|_| says::address(bytes)).collect()
        };
        let (advertised, local) = (addrs(2)?, addrs(9)?);
        let input = match bytes.arbitrary::<u8>()? % 3 {
            0 => Input::OwnAddrs { advertised, local },
            1 => Input::Targets(local.into_iter().filter(says::is_place).collect()),
            _ => {
                let who = bytes.int_in_range(0..=ALL - 1)?;
                Input::Found(PEOPLE.id(who), says::place(bytes)?)
            }
        };
        self.give(input);
        Ok(())
    }

    fn papers_change(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let input = match bytes.arbitrary::<u8>()? % 3 {
            0 => Input::Certificate(PEOPLE.certificate(0, bytes.arbitrary::<u8>()? % 4)),
            1 => {
                let all = &PEOPLE.revocations;
                Input::Revocations(all[usize::from(bytes.arbitrary::<u8>()?) % all.len()].clone())
            }
            _ => Input::Origin(*bytes.choose(&[0, START_S, START_S + 3600, u64::MAX])?),
        };
        self.give(input);
        Ok(())
    }
}
