//! Packet times for each connection: when a packet left, when one arrived, and ICMP "port unreachable".
//!
//! quinn tells neither which packet carried a datagram nor when the kernel received it. A round-trip time that starts and ends
//! in this program would include the delays of two schedulers. So the socket records the times of packets, and a connection looks
//! up the packet that carried its datagram. A time counts only if **exactly one** packet fits. Otherwise the sample is dropped:
//! nothing is guessed.
//!
//! Anybody can forge ICMP. So "port unreachable" counts only if it quotes a connection id that we used, which nobody off the
//! path knows (RFC 9000, section 21.1; RFC 8085, section 5.2).

mod handshake;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quinn::ConnectionId;
use tokio::sync::watch;

use crate::membership::Obstacle;
use crate::wire::Answer;
use handshake::Handshake;

/// The least overhead of a short-header packet with one datagram: flags, connection id, packet number, frame type and
/// authentication tag (RFC 9000, section 17.3.1; RFC 9221, section 4).
const LEAST_OVERHEAD: usize = 1 + CID_BYTES + 1 + 1 + 16;
/// The length of our connection ids.
const CID_BYTES: usize = 8;
/// The longest time from the socket to the task that reads the datagram, unless the node is starved. An older packet does not
/// count as the datagram's.
const FRESH: Duration = Duration::from_millis(20);
/// The most arrivals that are remembered for a connection. If more arrive within [`FRESH`], several fit and no time counts anyway.
const ARRIVALS: usize = 16;
/// The most probes whose time of leaving is remembered: as many as the detector keeps open.
const PROBES: usize = 48;
/// The number of answers whose time until they left is remembered. With more, the median would follow later when a machine gets
/// busy. With half as many, two slow answers decide.
const LAGS: usize = 9;
/// No path is shorter: two packets take a kernel longer, even on loopback. A shorter time shows that the answer was held for less
/// than usual. Halved: 1 µs was shown of a path of 15 after a start. Doubled: the fastest paths get few samples.
const LEAST_PATH: Duration = Duration::from_micros(4);
/// The most connection ids that are remembered for a peer: one for each packet type of a handshake, and one more.
const CIDS: usize = 4;

type Cid = [u8; CID_BYTES];

/// The connections whose packets are observed, by their peer's address.
#[derive(Debug, Default)]
pub struct Tap {
    connections: Mutex<BTreeMap<SocketAddr, Vec<Arc<Observed>>>>,
    by_kernel: AtomicBool,
}

/// What was observed of one connection.
#[derive(Debug)]
struct Observed {
    seen: Mutex<Seen>,
    unreachable: watch::Sender<u32>,
    /// Counts packets that could not be sent.
    failed: watch::Sender<u32>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Datagrams that were handed to quinn and have not left yet.
    waiting: Vec<Waiting>,
    /// The numbers of probes, and when each left.
    probes: VecDeque<(u32, Instant)>,
    arrivals: VecDeque<Arrival>,
    /// The times from creating the last answers to their leaving. Their median is added to the hold that an answer contains,
    /// since its own time is known only after it has left. A mean would grow with the few answers that a busy machine delays, and
    /// all other paths would look too short.
    lags: VecDeque<Duration>,
    /// The destination connection ids of the last packets.
    cids: VecDeque<Cid>,
    /// The handshake of the dial, if this is one.
    handshake: Option<Handshake>,
    /// Why the last packet did not leave this machine.
    stopped_here: Option<Obstacle>,
    /// Why a packet got no further on the way.
    stopped_there: Option<Obstacle>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    what: Outgoing,
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum Outgoing {
    Probe {
        seq: u32,
    },
    Answer {
        made: Instant,
    },
    /// Its time is of no use, but a probe behind it may leave in another packet than the next.
    Other,
}

#[derive(Debug, Clone, Copy)]
struct Arrival {
    at: Instant,
    seen: Instant,
    bytes: usize,
}

impl Tap {
    /// Declares that the kernel's socket reports arrivals, so that no other socket does.
    pub(super) fn leave_arrivals_to_kernel(&self) {
        self.by_kernel.store(true, Ordering::Relaxed);
    }

    /// Whether arrivals carry the kernel's stamps. Otherwise they are stamped at the read, which is later by the wake-up.
    #[must_use]
    pub fn is_by_kernel(&self) -> bool {
        self.by_kernel.load(Ordering::Relaxed)
    }

    /// Observes the packets to and from a peer.
    pub(super) fn watch(self: &Arc<Self>, peer: SocketAddr) -> Watch {
        let observed = Arc::new(Observed {
            seen: Mutex::default(),
            unreachable: watch::Sender::new(0),
            failed: watch::Sender::new(0),
        });
        let peer = canonical(peer);
        self.connections()
            .entry(peer)
            .or_default()
            .push(Arc::clone(&observed));
        Watch {
            tap: Arc::clone(self),
            peer: Mutex::new(peer),
            observed,
        }
    }

    /// Records that a packet is about to leave.
    pub(super) fn leaves(&self, peer: SocketAddr, packet: &[u8], now: Instant) {
        let connections = self.connections();
        let Some(connections) = connections.get(&canonical(peer)) else {
            return;
        };
        for connection in connections {
            connection
                .seen()
                .leaves(packet, now, connections.len() == 1);
        }
    }

    /// Records that a packet could not leave now. The datagrams in it get no time.
    pub(super) fn held_up(&self, peer: SocketAddr) {
        if let Some(connections) = self.connections().get(&canonical(peer)) {
            for connection in connections {
                connection.seen().waiting.clear();
            }
        }
    }

    /// Records a packet of `bytes` bytes that was received at `at` and read at `now`.
    pub(super) fn arrives(&self, peer: SocketAddr, bytes: usize, at: Instant, now: Instant) {
        let connections = self.connections();
        // With two connections to one address, the packet can't be assigned.
        if let Some([connection]) = connections.get(&canonical(peer)).map(Vec::as_slice) {
            let mut seen = connection.seen();
            if seen.arrivals.len() == ARRIVALS {
                seen.arrivals.pop_front();
            }
            seen.arrivals.push_back(Arrival {
                at,
                seen: now,
                bytes,
            });
        }
    }

    /// Records a packet that was received, if it answers a dial. Its connection id tells which one.
    pub(super) fn answers(&self, peer: SocketAddr, packet: &[u8]) {
        if !handshake::is_part(packet) {
            return;
        }
        let connections = self.connections();
        for connection in connections.get(&canonical(peer)).into_iter().flatten() {
            if let Some(handshake) = &mut connection.seen().handshake {
                handshake.arrives(packet);
            }
        }
    }

    /// Records that the system did not send a packet.
    pub(super) fn not_sent(&self, peer: SocketAddr, why: Obstacle) {
        if let Some(connections) = self.connections().get(&canonical(peer)) {
            for connection in connections {
                connection.seen().stopped_here = Some(why);
            }
        }
    }

    /// Records ICMP "port unreachable" about a packet to `peer` that began with the bytes `quoted`.
    pub(super) fn unreachable(&self, peer: SocketAddr, quoted: &[u8]) {
        self.quoted(peer, quoted, |connection| {
            connection.unreachable.send_modify(|count| *count += 1);
        });
    }

    /// Records any other ICMP error about a packet to `peer` that began with the bytes `quoted`.
    pub(super) fn stopped(&self, peer: SocketAddr, quoted: &[u8], why: Obstacle) {
        self.quoted(peer, quoted, |connection| {
            connection.seen().stopped_there = Some(why);
        });
    }

    /// Finds the connections whose packet is quoted.
    fn quoted(&self, peer: SocketAddr, quoted: &[u8], found: impl Fn(&Observed)) {
        let Some(cid) = destination_cid(quoted) else {
            return;
        };
        if let Some(connections) = self.connections().get(&canonical(peer)) {
            for connection in connections {
                let is_ours = connection.seen().cids.contains(&cid);
                if is_ours {
                    found(connection);
                }
            }
        }
    }

    /// Records that a packet to `peer` can't leave: there is no route, or no address to send from.
    pub(super) fn failed(&self, peer: SocketAddr) {
        if let Some(connections) = self.connections().get(&canonical(peer)) {
            for connection in connections {
                connection.failed.send_modify(|count| *count += 1);
            }
        }
    }

    fn connections(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Vec<Arc<Observed>>>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The observation of one connection or dial. Dropping it ends the observation.
#[derive(Debug)]
pub(super) struct Watch {
    tap: Arc<Tap>,
    peer: Mutex<SocketAddr>,
    observed: Arc<Observed>,
}

impl Watch {
    /// Follows the peer to its current address.
    pub(super) fn follow(&self, peer: SocketAddr) {
        let peer = canonical(peer);
        let mut mine = self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        if *mine != peer {
            self.leave(*mine);
            let mut connections = self.tap.connections();
            connections
                .entry(peer)
                .or_default()
                .push(Arc::clone(&self.observed));
            *mine = peer;
        }
    }

    /// Records that a probe of `bytes` bytes was handed to quinn.
    pub(super) fn probe_queued(&self, seq: u32, bytes: usize) {
        self.wait(Outgoing::Probe { seq }, bytes);
    }

    /// Records that an answer of `bytes` bytes, created at `made`, was handed to quinn.
    pub(super) fn answer_queued(&self, bytes: usize, made: Instant) {
        self.wait(Outgoing::Answer { made }, bytes);
    }

    /// Records that another datagram of `bytes` bytes was handed to quinn.
    pub(super) fn other_queued(&self, bytes: usize) {
        self.wait(Outgoing::Other, bytes);
    }

    /// When that probe left. The time is returned once: a second answer to the same probe gets none.
    pub(super) fn probe_left(&self, seq: u32) -> Option<Instant> {
        let mut seen = self.observed.seen();
        let at = seen.probes.iter().position(|(sent, _)| *sent == seq)?;
        seen.probes.remove(at).map(|(_, at)| at)
    }

    /// When the datagram of `bytes` bytes that was read at `now` arrived.
    pub(super) fn arrived(&self, bytes: usize, now: Instant) -> Option<Instant> {
        self.observed.seen().arrived(bytes, now)
    }

    /// What keeps packets from the peer, as far as the system says.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        let seen = self.observed.seen();
        seen.stopped_here.or(seen.stopped_there)
    }

    /// Declares that this is a dial, whose first packets go to that connection id.
    pub(super) fn dials(&self, first: ConnectionId) {
        self.observed.seen().handshake = Some(Handshake::new(first));
    }

    /// A copy of the first packet of this dial, once it has left and until it is answered.
    pub(super) fn unanswered(&self) -> Option<Vec<u8>> {
        let seen = self.observed.seen();
        let packet = seen.handshake.as_ref().and_then(Handshake::unanswered);
        packet.map(<[u8]>::to_vec)
    }

    /// Whether a packet has answered this dial that was no Retry.
    pub(super) fn has_begun(&self) -> bool {
        let seen = self.observed.seen();
        seen.handshake.as_ref().is_some_and(Handshake::has_begun)
    }

    /// Whether any packet has answered this dial.
    pub(super) fn was_answered(&self) -> bool {
        let seen = self.observed.seen();
        seen.handshake.as_ref().is_some_and(Handshake::was_answered)
    }

    /// The usual time from creating an answer to its leaving: the median of the last few, or the last one if it was shorter. A
    /// machine that has just become quiet would otherwise take a busy machine's lag off its answers, and paths would look too short.
    pub(super) fn answer_lag(&self) -> Duration {
        let seen = self.observed.seen();
        let Some(last) = seen.lags.back().copied() else {
            return Duration::ZERO;
        };
        let mut lags: Vec<Duration> = seen.lags.iter().copied().collect();
        lags.sort_unstable();
        lags[(lags.len() - 1) / 2].min(last)
    }

    /// Whether ICMP said "port unreachable" at any time.
    pub(super) fn was_unreachable(&self) -> bool {
        *self.observed.unreachable.borrow() > 0
    }

    /// Waits for the next ICMP "port unreachable". `heard` is the number of earlier ones, and is updated.
    pub(super) async fn unreachable(&self, heard: &mut u32) {
        let mut receiver = self.observed.unreachable.subscribe();
        // `wait_for` can't fail: the sender lives as long as `self`.
        if let Ok(count) = receiver.wait_for(|count| *count != *heard).await {
            *heard = *count;
        }
    }

    /// Waits for the next packet that could not be sent. `heard` is the number of earlier ones, and is updated.
    pub(super) async fn failed(&self, heard: &mut u32) {
        let mut receiver = self.observed.failed.subscribe();
        if let Ok(count) = receiver.wait_for(|count| *count != *heard).await {
            *heard = *count;
        }
    }

    fn wait(&self, what: Outgoing, bytes: usize) {
        self.observed.seen().waiting.push(Waiting { what, bytes });
    }

    fn leave(&self, peer: SocketAddr) {
        let mut connections = self.tap.connections();
        if let Some(there) = connections.get_mut(&peer) {
            there.retain(|connection| !Arc::ptr_eq(connection, &self.observed));
            if there.is_empty() {
                connections.remove(&peer);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let peer = *self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        self.leave(peer);
    }
}

impl Observed {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn leaves(&mut self, packet: &[u8], now: Instant, alone: bool) {
        self.stopped_here = None;
        if let Some(handshake) = &mut self.handshake {
            handshake.leaves(packet);
        }
        if let Some(cid) = destination_cid(packet)
            && !self.cids.contains(&cid)
        {
            if self.cids.len() == CIDS {
                self.cids.pop_front();
            }
            self.cids.push_back(cid);
        }
        // quinn puts datagrams into the next packet before anything else. If several wait, some may go into a later packet, and
        // which ones is unknown.
        let waiting = std::mem::take(&mut self.waiting);
        let [Waiting { what, bytes }] = waiting[..] else {
            return;
        };
        if !alone || packet.len() < bytes + LEAST_OVERHEAD {
            return;
        }
        match what {
            Outgoing::Probe { seq } => {
                if self.probes.len() == PROBES {
                    self.probes.pop_front();
                }
                self.probes.push_back((seq, now));
            }
            Outgoing::Answer { made } => {
                let lag = now.saturating_duration_since(made);
                if self.lags.len() == LAGS {
                    self.lags.pop_front();
                }
                self.lags.push_back(lag);
            }
            Outgoing::Other => {}
        }
    }

    fn arrived(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        let arrivals = std::mem::take(&mut self.arrivals);
        let mut fitting = arrivals.iter().filter(|arrival| {
            arrival.bytes >= bytes + LEAST_OVERHEAD
                && now.saturating_duration_since(arrival.seen) <= FRESH
        });
        match (fitting.next(), fitting.next()) {
            (Some(arrival), None) => Some(arrival.at),
            _ => None,
        }
    }
}

/// The round-trip time of the path in µs: the time between probe and answer, less the time for which the peer held the answer.
/// There is none if less than [`LEAST_PATH`] is left.
pub(super) fn rtt_us(
    left: Option<Instant>,
    received: Option<Instant>,
    answer: Answer,
) -> Option<u32> {
    let taken = received?.checked_duration_since(left?)?;
    let path = taken.checked_sub(Duration::from_micros(answer.hold_us.into()))?;
    (path >= LEAST_PATH).then(|| u32::try_from(path.as_micros()).unwrap_or(u32::MAX))
}

/// The first bytes of a packet's destination connection id (RFC 9000, section 17). They are random, and known only on the path.
fn destination_cid(packet: &[u8]) -> Option<Cid> {
    const LONG_HEADER: u8 = 0x80;
    let from = if packet.first()? & LONG_HEADER == 0 {
        1
    } else if usize::from(*packet.get(5)?) >= CID_BYTES {
        6
    } else {
        return None;
    };
    packet.get(from..from + CID_BYTES)?.try_into().ok()
}

/// Normalises an address: IPv4-mapped to IPv4, without scope and flow label, which differ by direction.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests;
