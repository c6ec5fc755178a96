//! One end of a connection, as the node has it that it belongs to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::flight::{Caller, Flight, Packet};
use super::{PROBES, Wanted};
use crate::membership::{ConnId, DialId, Time};
use crate::wire::{CloseCode, Message, NodeId};

/// The dialer's or the listener's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Who dialed.
    Dialer,
    /// Who was dialed.
    Listener,
}

/// An end of a connection: the dialer's place, the number that the dialer gave the connection, and which of both ends. Numbers are not
/// given twice, whatever becomes of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sim) struct EndRef {
    pub(super) dialer: u32,
    pub(super) number: u32,
    pub(super) side: Side,
}

impl EndRef {
    /// The other end of the same connection.
    pub(super) fn other(self) -> Self {
        let side = match self.side {
            Side::Dialer => Side::Listener,
            Side::Listener => Side::Dialer,
        };
        Self { side, ..self }
    }

    /// The number under which a core knows its end.
    pub(super) fn id(self) -> ConnId {
        let side = u64::from(self.side == Side::Listener);
        ConnId((u64::from(self.dialer) << 33) | (u64::from(self.number) << 1) | side)
    }

    /// The end that a core means by a number.
    pub(super) fn of(id: ConnId) -> Self {
        let part = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).expect("32 bits fit");
        Self {
            dialer: part(id.0 >> 33),
            number: part(id.0 >> 1),
            side: if id.0 & 1 == 0 {
                Side::Dialer
            } else {
                Side::Listener
            },
        }
    }
}

#[derive(Debug)]
pub(in crate::sim) enum End {
    Live(Box<Live>),
    /// It closed, with what it still says; or it was told of the close, or gave up, and says nothing.
    Over(Option<CloseCode>),
}

impl End {
    /// The core has it.
    pub(super) fn is_open(&self) -> bool {
        self.known().is_some()
    }

    /// The core has it, since then.
    pub(super) fn known(&self) -> Option<Time> {
        match self {
            Self::Live(live) => live.known,
            Self::Over(_) => None,
        }
    }
}

/// An end that somebody waits at.
#[derive(Debug)]
pub(in crate::sim) struct Live {
    /// Who has the other end: nobody, where nobody listens.
    pub(super) peer: Option<u32>,
    /// What is needed until the core has it.
    pub(super) opening: Option<Box<Opening>>,
    /// Known to the core, since then.
    pub(super) known: Option<Time>,
    /// Messages sent, and taken in.
    pub(super) sent: u32,
    got: u32,
    pub(super) waiting: Vec<(u32, Message)>,
    /// Sent and not answered yet, with the time.
    probes: VecDeque<(u32, Time)>,
    pub(super) heard: Time,
    pub(super) silence: Silence,
    /// A message is with the transport; it waits for the window to open.
    pub(super) in_flight: bool,
    pub(super) stalled: bool,
    pub(super) unacked: usize,
    /// The round-trip time, smoothed, once there is one. Each end has its own; the one that probes knows, and tells the other.
    pub(super) rtt: Option<Duration>,
}

/// Where the peer says nothing, all messages wait that got nothing through, and the first packets of the first of them are sent again and again
/// until something is heard: so a sender does that is out of acknowledgements (RFC 9002, section 6.2.4).
#[derive(Debug, Default)]
pub(super) struct Silence {
    pub(super) waiting: VecDeque<Flight>,
    /// So often.
    pub(super) probes: u32,
    pub(super) is_probed: bool,
    /// Counts the times that something was heard: what was planned before is void.
    pub(super) count: u32,
}

/// What an end needs until the core has it.
#[derive(Debug)]
pub(super) struct Opening {
    /// What the dialer's core wants.
    pub(super) wanted: Option<Wanted>,
    pub(super) eager: bool,
    /// Whose key was shown.
    pub(super) peer: Option<NodeId>,
    /// Where it listens.
    pub(super) remote: SocketAddr,
    /// When our first packet left that the peer answers to, for the handshake's round-trip time.
    pub(super) begun: Time,
    /// Datagrams that came before the core knew the connection.
    pub(super) early: Vec<Packet>,
}

impl Opening {
    pub(super) fn of_dialer(wanted: Wanted, now: Time) -> Box<Self> {
        Box::new(Self {
            wanted: Some(wanted),
            eager: wanted.eager,
            peer: None,
            remote: wanted.addr,
            begun: now,
            early: Vec::new(),
        })
    }

    pub(super) fn of_listener(caller: &Caller, now: Time) -> Box<Self> {
        Box::new(Self {
            wanted: None,
            eager: caller.eager,
            peer: Some(caller.id),
            remote: caller.addr,
            begun: now,
            early: Vec::new(),
        })
    }
}

impl Live {
    pub(super) fn new(peer: Option<u32>, opening: Box<Opening>, now: Time) -> Box<Self> {
        Box::new(Self {
            peer,
            opening: Some(opening),
            known: None,
            sent: 0,
            got: 0,
            waiting: Vec::new(),
            probes: VecDeque::new(),
            heard: now,
            silence: Silence::default(),
            in_flight: false,
            stalled: false,
            unacked: 0,
            rtt: None,
        })
    }

    /// The dial that waits for it.
    pub(super) fn dial(&self) -> Option<DialId> {
        let wanted = self.opening.as_ref()?.wanted?;
        Some(wanted.dial)
    }

    /// The next message in order, if it is here, and whether the core knows the connection.
    pub(super) fn next_message(&mut self) -> Option<(bool, Message)> {
        let mut waiting = self.waiting.iter();
        let at = waiting.position(|(number, _)| *number == self.got)?;
        let (_, message) = self.waiting.swap_remove(at);
        self.got += 1;
        Some((self.known.is_some(), message))
    }

    /// Something has come from the peer; returns what waited for that.
    pub(super) fn hear(&mut self, now: Time) -> VecDeque<Flight> {
        self.heard = now;
        let silence = &mut self.silence;
        (silence.probes, silence.is_probed) = (0, false);
        silence.count = silence.count.wrapping_add(1);
        std::mem::take(&mut silence.waiting)
    }

    /// Whether the peer has been silent since then.
    pub(super) fn is_silent_since(&self, at: Time) -> bool {
        self.heard <= at
    }

    /// A probe leaves.
    pub(super) fn asked(&mut self, seq: u32, now: Time) {
        if self.probes.len() == PROBES {
            self.probes.pop_front();
        }
        self.probes.push_back((seq, now));
    }

    /// A probe is answered: how long that took, where it is known.
    pub(super) fn answered(&mut self, seq: u32, now: Time) -> Option<Duration> {
        let at = self.probes.iter().position(|(sent, _)| *sent == seq)?;
        let (_, sent) = self.probes.remove(at)?;
        let sample = now - sent;
        let smoothed = self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8);
        self.rtt = Some(smoothed);
        Some(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_s_number_for_an_end_means_that_end() {
        for (dialer, number) in [(0, 0), (7, 1), (32_767, u32::MAX), (1, 1 << 31)] {
            for side in [Side::Dialer, Side::Listener] {
                let end = EndRef {
                    dialer,
                    number,
                    side,
                };
                assert_eq!(EndRef::of(end.id()), end);
                assert_eq!(end.other().other(), end);
                assert_ne!(end.other().id(), end.id());
            }
        }
    }
}
