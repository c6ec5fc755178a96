//! Sends flights, retransmits their lost packets, and receives flights.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Node, What};
use crate::sim::path::{
    End, EndRef, Flight, Live, MAX_ACK_DELAY, PACKET_OVERHEAD, PAYLOAD, Packet,
};
use crate::sim::window::Scene;
use crate::transport::FIRST_COPY;

/// The probe timeout of a first packet on an unknown path (RFC 9002, section 6.2.2).
const PATIENT_PTO: Duration = Duration::from_secs(1);
/// The longest pause before a retransmission.
const LONGEST_PTO: Duration = Duration::from_secs(4);

/// The number of packets sent after a probe timeout (RFC 9002, section 6.2.4).
const PROBE_PACKETS: usize = 2;
fn probe_timeout(rtt: Duration) -> Duration {
    rtt.mul_f64(1.5) + MAX_ACK_DELAY
}

impl Node {
    /// Sends a packet: stream and handshake packets until they have arrived, all others once.
    pub(super) fn launch(&mut self, scene: &Scene<'_>, end: EndRef, to: u32, packet: Packet) {
        let flight = Flight {
            end,
            to,
            from: self.place,
            bytes: packet.bytes(),
            packet,
            attempt: 0,
            tried: self.now,
            in_vain: false,
            arrives: self.now,
        };
        self.transmit(scene, Box::new(flight));
    }

    /// The same, if there is a peer.
    pub(super) fn launch_if(
        &mut self,
        scene: &Scene<'_>,
        end: EndRef,
        to: Option<u32>,
        packet: Packet,
    ) {
        if let Some(to) = to {
            self.launch(scene, end, to, packet);
        }
    }

    /// Sends what has not arrived yet, as long as this node lives and has the connection.
    pub(super) fn transmit(&mut self, scene: &Scene<'_>, mut flight: Box<Flight>) {
        let now = self.now;
        let (mut rtt, mut eager) = (Duration::ZERO, false);
        match self.live_mut(flight.end.other()) {
            Some(live) => {
                let is_stream = matches!(flight.packet, Packet::Stream(..));
                if is_stream && flight.in_vain && live.is_silent_since(flight.tried) {
                    let end = flight.end.other();
                    live.silence.waiting.push_back(*flight);
                    if !std::mem::replace(&mut live.silence.is_probed, true) {
                        let count = live.silence.count;
                        self.probe_path(scene, end, count);
                    }
                    return;
                }
                rtt = live.rtt.unwrap_or_default();
                if let Some(opening) = &mut live.opening {
                    eager = opening.wanted.is_some_and(|wanted| wanted.eager);
                    match flight.packet {
                        // It was answered.
                        Packet::Initial(_) if opening.peer.is_some() => return,
                        Packet::Key(_) => opening.begun = now,
                        _ => {}
                    }
                } else if matches!(flight.packet, Packet::Initial(_)) {
                    return;
                }
            }
            None if flight.packet.is_parting() => {}
            None => return,
        }
        let whole = flight.bytes;
        flight.packet.leaves(now);
        flight.bytes = self.toss(scene, &mut flight, usize::MAX);
        (flight.tried, flight.in_vain) = (now, flight.bytes == whole);
        let timeout = match &flight.packet {
            Packet::Initial(_) if eager => FIRST_COPY,
            // The listener doesn't know that a dial is eager.
            Packet::Initial(_) | Packet::Key(_) => PATIENT_PTO,
            Packet::Stream(..) => probe_timeout(rtt),
            Packet::Probe(..) | Packet::Answer(_) | Packet::Close(..) | Packet::Reset => {
                if flight.bytes == 0 {
                    self.depart(flight);
                }
                return;
            }
        };
        let arrived = flight.bytes == 0;
        let pause = if flight.bytes < whole && !arrived {
            rtt.mul_f64(1.125)
        } else {
            (timeout * (1 << flight.attempt.min(10))).min(LONGEST_PTO)
        };
        flight.attempt += 1;
        match &flight.packet {
            Packet::Initial(caller) => {
                // Only the answer shows whether a node listens there.
                let again = Flight {
                    packet: Packet::Initial(caller.clone()),
                    bytes: whole,
                    arrives: now,
                    ..*flight
                };
                self.at(pause, What::Transmit(Box::new(again)));
                if arrived {
                    self.depart(flight);
                }
            }
            _ if arrived => self.depart(flight),
            _ => self.at(pause, What::Transmit(flight)),
        }
    }

    /// All packets of the flight were sent, and will arrive.
    fn depart(&mut self, flight: Box<Flight>) {
        self.post(flight.to, flight.arrives, What::Arrive(flight));
    }

    /// Retransmits the first packets of the first message that waits for a silent peer, if it is still silent.
    pub(super) fn probe_path(&mut self, scene: &Scene<'_>, end: EndRef, count: u32) {
        let current = |live: &&mut Live| live.silence.count == count;
        let Some(live) = self.live_mut(end).filter(current) else {
            return;
        };
        let rtt = live.rtt.unwrap_or_default();
        let Some(mut first) = live.silence.waiting.pop_front() else {
            live.silence.is_probed = false;
            return;
        };
        live.silence.probes += 1;
        let backoff = 1 << live.silence.probes.min(10);
        let whole = first.bytes;
        first.packet.leaves(self.now);
        first.bytes = self.toss(scene, &mut first, PROBE_PACKETS * PAYLOAD);
        let got_through = first.bytes < whole;
        if first.bytes == 0 {
            self.depart(Box::new(first));
        } else if let Some(live) = self.live_mut(end) {
            live.silence.waiting.push_front(first);
            if got_through {
                // Part of it is acknowledged; the rest is acknowledged at the message's end.
                self.at(rtt.mul_f64(1.125), What::Heard(end));
            }
        }
        let pause = (probe_timeout(rtt) * backoff).min(LONGEST_PTO);
        self.at(pause, What::ProbePath(end, count));
    }

    /// The peer received something.
    pub(super) fn heard(&mut self, end: EndRef) {
        let now = self.now;
        if let Some(live) = self.live_mut(end) {
            let waited = live.hear(now);
            self.go_on(waited);
        }
    }

    /// Puts the packets of a flight onto the line, `most` bytes at most. Returns how many of its bytes are lost or still wait.
    fn toss(&mut self, scene: &Scene<'_>, flight: &mut Flight, most: usize) -> usize {
        let now_sent = flight.bytes.min(most);
        let (mut left, mut lost) = (now_sent, flight.bytes - now_sent);
        // The bytes of a handshake count as one packet.
        let most = match flight.packet {
            Packet::Initial(_) | Packet::Key(_) => usize::MAX,
            Packet::Stream(..)
            | Packet::Probe(..)
            | Packet::Answer(_)
            | Packet::Close(..)
            | Packet::Reset => PAYLOAD,
        };
        while left > 0 {
            let piece = left.min(most);
            left -= piece;
            let bytes = piece + PACKET_OVERHEAD;
            self.traffic.bytes += bytes as u64;
            let (to, now) = (flight.to, self.now);
            match self.lines.toss(scene.land, to, now, bytes, &mut self.rng) {
                Some(at) => flight.arrives = flight.arrives.max(at),
                None => lost += piece,
            }
        }
        lost
    }

    /// The peer answers again: what waited for that is retransmitted.
    pub(super) fn go_on(&mut self, waited: VecDeque<Flight>) {
        for flight in waited {
            self.at(Duration::ZERO, What::Transmit(Box::new(flight)));
        }
    }

    pub(super) fn arrive(&mut self, scene: &Scene<'_>, flight: Flight) {
        if !self.is_running() {
            return;
        }
        let Flight {
            end, from, packet, ..
        } = flight;
        self.traffic.receive(packet.bytes());
        let now = self.now;
        match (self.ends.get_mut(&end), packet) {
            (Some(End::Live(live)), packet) => {
                live.time(now, end.side, &packet);
                let early = matches!(packet, Packet::Probe(..) | Packet::Answer(_));
                let waited = live.hear(now);
                match &mut live.opening {
                    Some(opening) if early => opening.early.push(packet),
                    Some(_) | None => self.take(scene, end, packet),
                }
                self.go_on(waited);
            }
            (None, Packet::Initial(caller)) => self.called(scene, end, from, &caller),
            // A close or reset is not answered, or two ends would answer each other for ever.
            (_, packet) if packet.is_parting() => {}
            (Some(End::Over(None)), _) => {}
            (Some(End::Over(Some(code))), _) => {
                let close = Packet::Close(*code, Vec::new());
                self.launch(scene, end.other(), from, close);
            }
            (None, _) => self.launch(scene, end.other(), from, Packet::Reset),
        }
    }
}
