//! One end of a connection, as its node has it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::end_ref::Side;
use super::flight::{Caller, Flight, KEY_BYTES, Packet};
use super::{MAX_ACK_DELAY, PACKET_OVERHEAD, PROBES, Wanted};
use crate::membership::{DialId, Time};
use crate::window::Window;
use crate::wire::{CloseCode, MAX_FRAME, Message, NodeId};

/// The most bytes of a connection that may be unacknowledged.
const MOST: usize = 2 * MAX_FRAME;

#[derive(Debug)]
pub(in crate::sim) enum End {
    Live(Box<Live>),
    /// Closed. The code answers later packets; `None` if the peer closed it or it timed out, and nothing is answered.
    Over(Option<CloseCode>),
}

impl End {
    /// Whether the core has it.
    pub(in crate::sim) fn is_open(&self) -> bool {
        self.known().is_some()
    }

    /// Since when the core has it.
    pub(in crate::sim) fn known(&self) -> Option<Time> {
        match self {
            Self::Live(live) => live.known,
            Self::Over(_) => None,
        }
    }
}

/// An end that is not closed.
#[derive(Debug)]
pub(in crate::sim) struct Live {
    /// The place of the other end; `None` if nobody listens at the address.
    pub(in crate::sim) peer: Option<u32>,
    /// The address there, with the port that the other end uses.
    pub(in crate::sim) remote: SocketAddr,
    /// State until the core has it.
    pub(in crate::sim) opening: Option<Box<Opening>>,
    /// Since when the core has it.
    pub(in crate::sim) known: Option<Time>,
    /// Messages sent, and received.
    pub(in crate::sim) sent: u32,
    got: u32,
    pub(in crate::sim) waiting: Vec<(u32, Message)>,
    /// Unanswered probes with the time at which they were sent.
    probes: VecDeque<(u32, Time)>,
    pub(in crate::sim) heard: Time,
    pub(in crate::sim) silence: Silence,
    /// The transport has a message; `stalled`: it waits for the send window.
    pub(in crate::sim) in_flight: bool,
    pub(in crate::sim) stalled: bool,
    pub(in crate::sim) unacked: usize,
    pub(in crate::sim) window: Window,
    /// When the last message left, and its size in bytes.
    pub(in crate::sim) streamed: Option<(Time, usize)>,
    /// An acknowledgement is on its way since then, and covers one more packet.
    acknowledged: Option<Time>,
    /// The smoothed round-trip time, once there is one. Each end has its own; the probing end measures it, and tells the other.
    pub(in crate::sim) rtt: Option<Duration>,
}

/// While the peer is silent, messages of which nothing arrived wait, and only the first packets of the first one are retransmitted
/// until something is heard. A real sender that gets no acknowledgements does the same (RFC 9002, section 6.2.4).
#[derive(Debug, Default)]
pub(in crate::sim) struct Silence {
    pub(in crate::sim) waiting: VecDeque<Flight>,
    /// Probe timeouts so far.
    pub(in crate::sim) probes: u32,
    pub(in crate::sim) is_probed: bool,
    /// Incremented when something is heard, which voids earlier plans.
    pub(in crate::sim) count: u32,
}

/// State of an end until the core has it.
#[derive(Debug)]
pub(in crate::sim) struct Opening {
    /// The dial of the dialer's core.
    pub(in crate::sim) wanted: Option<Wanted>,
    /// When the dial ends without the peer's Hello, once it has its key.
    pub(in crate::sim) greets_until: Option<Time>,
    /// The key that the peer presented.
    pub(in crate::sim) peer: Option<NodeId>,
    /// The address of the peer.
    pub(in crate::sim) remote: SocketAddr,
    /// When our first packet that the peer answers left, for the handshake's round-trip time.
    pub(in crate::sim) begun: Time,
    /// Datagrams that arrived before the core had the connection.
    pub(in crate::sim) early: Vec<Packet>,
}

impl Opening {
    pub(in crate::sim) fn of_dialer(wanted: Wanted, now: Time) -> Box<Self> {
        Box::new(Self {
            wanted: Some(wanted),
            greets_until: None,
            peer: None,
            remote: wanted.addr,
            begun: now,
            early: Vec::new(),
        })
    }

    pub(in crate::sim) fn of_listener(caller: &Caller, now: Time) -> Box<Self> {
        Box::new(Self {
            wanted: None,
            greets_until: None,
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
            remote: opening.remote,
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
            window: Window::new(MOST),
            streamed: None,
            acknowledged: None,
            rtt: None,
        })
    }

    /// The dial that waits for it.
    pub(in crate::sim) fn dial(&self) -> Option<DialId> {
        let wanted = self.opening.as_ref()?.wanted?;
        Some(wanted.dial)
    }

    /// The next message in order, if it has arrived, and whether the core has the connection.
    pub(in crate::sim) fn next_message(&mut self) -> Option<(bool, Message)> {
        let mut waiting = self.waiting.iter();
        let at = waiting.position(|(number, _)| *number == self.got)?;
        let (_, message) = self.waiting.swap_remove(at);
        self.got += 1;
        Some((self.known.is_some(), message))
    }

    /// Something arrived from the peer; returns what waited for that.
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

    /// A packet arrived that must be acknowledged. Returns whether that takes a packet of its own: one is sent for every second
    /// packet, or once the first has waited for as long as it may (RFC 9000, section 13.2).
    pub(in crate::sim) fn acknowledges(&mut self, now: Time) -> bool {
        let first = self.acknowledged.take();
        let is_shared = first.is_some_and(|first| now <= first + MAX_ACK_DELAY);
        if !is_shared {
            self.acknowledged = Some(now);
        }
        !is_shared
    }

    /// A probe was sent.
    pub(in crate::sim) fn asked(&mut self, seq: u32, now: Time) {
        if self.probes.len() == PROBES {
            self.probes.pop_front();
        }
        self.probes.push_back((seq, now));
    }

    /// A probe was answered: returns the round-trip time, if the probe is known.
    pub(in crate::sim) fn answered(&mut self, seq: u32, now: Time) -> Option<Duration> {
        let at = self.probes.iter().position(|(sent, _)| *sent == seq)?;
        let (_, sent) = self.probes.remove(at)?;
        let sample = now - sent;
        self.window.acknowledged(now, sent, PACKET_OVERHEAD);
        let smoothed = self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8);
        self.rtt = Some(smoothed);
        Some(sample)
    }
}

impl Live {
    /// Takes the round-trip time from an arrived packet, if it shows it.
    pub(in crate::sim) fn time(&mut self, now: Time, side: Side, packet: &Packet) {
        // The dialer's first packet after our key shows the round-trip time.
        let answers = side == Side::Listener && !matches!(packet, Packet::Initial(_));
        if let Some(opening) = &self.opening
            && answers
            && self.rtt.is_none()
        {
            self.rtt = Some(now - opening.begun);
            self.window.acknowledged(now, opening.begun, KEY_BYTES);
        }
    }
}
