//! One end of a connection, as the node has it that it belongs to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::end_ref::Side;
use super::flight::{Caller, Flight, Packet};
use super::{PROBES, Wanted};
use crate::membership::{DialId, Time};
use crate::wire::{CloseCode, Message, NodeId};

#[derive(Debug)]
pub(in crate::sim) enum End {
    Live(Box<Live>),
    /// It closed, with what it still says; or it was told of the close, or gave up, and says nothing.
    Over(Option<CloseCode>),
}

impl End {
    /// The core has it.
    pub(in crate::sim) fn is_open(&self) -> bool {
        self.known().is_some()
    }

    /// The core has it, since then.
    pub(in crate::sim) fn known(&self) -> Option<Time> {
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
    pub(in crate::sim) peer: Option<u32>,
    /// What is needed until the core has it.
    pub(in crate::sim) opening: Option<Box<Opening>>,
    /// Known to the core, since then.
    pub(in crate::sim) known: Option<Time>,
    /// Messages sent, and taken in.
    pub(in crate::sim) sent: u32,
    got: u32,
    pub(in crate::sim) waiting: Vec<(u32, Message)>,
    /// Sent and not answered yet, with the time.
    probes: VecDeque<(u32, Time)>,
    pub(in crate::sim) heard: Time,
    pub(in crate::sim) silence: Silence,
    /// A message is with the transport; it waits for the window to open.
    pub(in crate::sim) in_flight: bool,
    pub(in crate::sim) stalled: bool,
    pub(in crate::sim) unacked: usize,
    /// The round-trip time, smoothed, once there is one. Each end has its own; the one that probes knows, and tells the other.
    pub(in crate::sim) rtt: Option<Duration>,
}

/// Where the peer says nothing, all messages wait that got nothing through, and the first packets of the first of them are sent again and again
/// until something is heard: so a sender does that is out of acknowledgements (RFC 9002, section 6.2.4).
#[derive(Debug, Default)]
pub(in crate::sim) struct Silence {
    pub(in crate::sim) waiting: VecDeque<Flight>,
    /// So often.
    pub(in crate::sim) probes: u32,
    pub(in crate::sim) is_probed: bool,
    /// Counts the times that something was heard: what was planned before is void.
    pub(in crate::sim) count: u32,
}

/// What an end needs until the core has it.
#[derive(Debug)]
pub(in crate::sim) struct Opening {
    /// What the dialer's core wants.
    pub(in crate::sim) wanted: Option<Wanted>,
    pub(in crate::sim) eager: bool,
    /// Whose key was shown.
    pub(in crate::sim) peer: Option<NodeId>,
    /// Where it listens.
    pub(in crate::sim) remote: SocketAddr,
    /// When our first packet left that the peer answers to, for the handshake's round-trip time.
    pub(in crate::sim) begun: Time,
    /// Datagrams that came before the core knew the connection.
    pub(in crate::sim) early: Vec<Packet>,
}

impl Opening {
    pub(in crate::sim) fn of_dialer(wanted: Wanted, now: Time) -> Box<Self> {
        Box::new(Self {
            wanted: Some(wanted),
            eager: wanted.eager,
            peer: None,
            remote: wanted.addr,
            begun: now,
            early: Vec::new(),
        })
    }

    pub(in crate::sim) fn of_listener(caller: &Caller, now: Time) -> Box<Self> {
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
    pub(in crate::sim) fn new(peer: Option<u32>, opening: Box<Opening>, now: Time) -> Box<Self> {
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
    pub(in crate::sim) fn dial(&self) -> Option<DialId> {
        let wanted = self.opening.as_ref()?.wanted?;
        Some(wanted.dial)
    }

    /// The next message in order, if it is here, and whether the core knows the connection.
    pub(in crate::sim) fn next_message(&mut self) -> Option<(bool, Message)> {
        let mut waiting = self.waiting.iter();
        let at = waiting.position(|(number, _)| *number == self.got)?;
        let (_, message) = self.waiting.swap_remove(at);
        self.got += 1;
        Some((self.known.is_some(), message))
    }

    /// Something has come from the peer; returns what waited for that.
    pub(in crate::sim) fn hear(&mut self, now: Time) -> VecDeque<Flight> {
        self.heard = now;
        let silence = &mut self.silence;
        (silence.probes, silence.is_probed) = (0, false);
        silence.count = silence.count.wrapping_add(1);
        std::mem::take(&mut silence.waiting)
    }

    /// Whether the peer has been silent since then.
    pub(in crate::sim) fn is_silent_since(&self, at: Time) -> bool {
        self.heard <= at
    }

    /// A probe leaves.
    pub(in crate::sim) fn asked(&mut self, seq: u32, now: Time) {
        if self.probes.len() == PROBES {
            self.probes.pop_front();
        }
        self.probes.push_back((seq, now));
    }

    /// A probe is answered: how long that took, where it is known.
    pub(in crate::sim) fn answered(&mut self, seq: u32, now: Time) -> Option<Duration> {
        let at = self.probes.iter().position(|(sent, _)| *sent == seq)?;
        let (_, sent) = self.probes.remove(at)?;
        let sample = now - sent;
        let smoothed = self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8);
        self.rtt = Some(smoothed);
        Some(sample)
    }
}

impl Live {
    /// Something has arrived that may tell the round-trip time.
    pub(in crate::sim) fn time(&mut self, now: Time, side: Side, packet: &Packet) {
        // The dialer's first word after our key tells the round-trip time.
        let answers = side == Side::Listener && !matches!(packet, Packet::Initial(_));
        if let Some(opening) = &self.opening
            && answers
            && self.rtt.is_none()
        {
            self.rtt = Some(now - opening.begun);
        }
    }
}
