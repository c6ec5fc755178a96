//! Whether packets to a peer carry the mark of ECN, ECT(0).
//!
//! quinn marks every packet, the first one too, and stops only when an acknowledgement shows that marks are lost on the way. Some
//! routers and firewalls drop marked packets, and then there is no acknowledgement at all. So packets to a peer lose the mark once a
//! handshake with it stays unanswered (RFC 9000, section 13.4.2.1, allows that). The answering side can't know what its first packets
//! met. It does as the dialer does: an Initial without the mark is answered without.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a handshake is unanswered before its packets lose the mark. Shorter: at a start, nodes that listen a moment after
/// they are dialed do without ECN. Longer than a second: an ordinary dial's second Initial is marked too, and it has three.
const UNANSWERED: Duration = Duration::from_millis(500);
/// How long a peer is remembered whose packets carry no mark. Each attempt with marks costs a second where they are dropped.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// The most peers in each table. Anybody can send Initials, from any address. A full table is cleared, which costs a second for each
/// dial over a path that drops marks.
const MAX_PEERS: usize = 1024;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Peers that have not answered yet, and when the first packet of the handshake left.
    asked: BTreeMap<SocketAddr, Instant>,
    /// Peers whose packets carry no mark, and until when.
    unmarked: BTreeMap<SocketAddr, Instant>,
}

/// The types of QUIC packets (RFC 9000, section 17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packet {
    Initial,
    Handshake,
    /// Short header: the handshake is over.
    OneRtt,
    /// 0-RTT, Retry, another version, or no QUIC at all.
    Other,
}

impl Packet {
    fn of(bytes: &[u8]) -> Self {
        const FIXED_BIT: u8 = 0x40;
        const LONG_HEADER: u8 = 0x80;
        match bytes {
            [first, ..] if first & FIXED_BIT == 0 => Self::Other,
            [first, ..] if first & LONG_HEADER == 0 => Self::OneRtt,
            [first, 0, 0, 0, 1, ..] => match (first >> 4) & 3 {
                0 => Self::Initial,
                2 => Self::Handshake,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

impl Marks {
    /// Whether a packet, which quinn marked, keeps its mark.
    pub(super) fn keeps(&mut self, to: SocketAddr, packet: &[u8], now: Instant) -> bool {
        let to = canonical(to);
        if self.unmarked.get(&to).is_some_and(|until| now < *until) {
            return false;
        }
        if !matches!(Packet::of(packet), Packet::Initial | Packet::Handshake) {
            return true;
        }
        let since = *put(&mut self.asked, to, now);
        if now.saturating_duration_since(since) < UNANSWERED {
            return true;
        }
        self.unmark(to, now);
        false
    }

    /// Notes a packet that arrived, with a mark or without.
    pub(super) fn arrived(&mut self, from: SocketAddr, packet: &[u8], marked: bool, now: Instant) {
        match Packet::of(packet) {
            Packet::Initial if !marked => self.unmark(canonical(from), now),
            // The handshake goes on, so the peer has our packets. If it began this handshake itself, ours leave after this one.
            Packet::Initial | Packet::Handshake | Packet::OneRtt if !self.asked.is_empty() => {
                self.asked.remove(&canonical(from));
            }
            _ => {}
        }
    }

    fn unmark(&mut self, peer: SocketAddr, now: Instant) {
        self.asked.remove(&peer);
        *put(&mut self.unmarked, peer, now) = now + REMEMBERED;
    }
}

/// The entry of a peer, made with `now` if it is missing.
fn put(table: &mut BTreeMap<SocketAddr, Instant>, peer: SocketAddr, now: Instant) -> &mut Instant {
    if table.len() >= MAX_PEERS && !table.contains_key(&peer) {
        table.clear();
    }
    table.entry(peer).or_insert(now)
}

/// The address without scope and flow label, which differ by direction.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INITIAL: &[u8] = &[0xc0, 0, 0, 0, 1, 8];
    const HANDSHAKE: &[u8] = &[0xe0, 0, 0, 0, 1, 8];
    const ONE_RTT: &[u8] = &[0x40, 1, 2, 3, 4];
    const RETRY: &[u8] = &[0xf0, 0, 0, 0, 1, 8];

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_handshake_that_stays_unanswered_goes_on_without_the_mark() {
        let (mut marks, start) = (Marks::default(), now());
        let mapped = "[::ffff:192.0.2.1]:1".parse().unwrap();
        assert!(marks.keeps(peer(1), INITIAL, start));
        assert!(marks.keeps(mapped, INITIAL, start + SECOND / 10));
        assert!(!marks.keeps(mapped, INITIAL, start + SECOND));
        // What follows must not be marked either, or the connection would die after its handshake.
        for packet in [INITIAL, HANDSHAKE, ONE_RTT] {
            assert!(!marks.keeps(peer(1), packet, start + SECOND));
        }
        assert!(
            marks.keeps(peer(2), INITIAL, start + SECOND),
            "another peer"
        );
        // Much later, marks are tried again.
        let later = start + SECOND + REMEMBERED;
        assert!(marks.keeps(peer(1), INITIAL, later));
        assert!(!marks.keeps(peer(1), INITIAL, later + SECOND));
    }

    #[test]
    fn a_peer_that_answers_gets_marks_and_a_later_handshake_begins_anew() {
        for answer in [INITIAL, HANDSHAKE, ONE_RTT] {
            let (mut marks, start) = (Marks::default(), now());
            assert!(marks.keeps(peer(1), INITIAL, start));
            marks.arrived(peer(1), answer, true, start);
            assert!(marks.keeps(peer(1), HANDSHAKE, start + SECOND));
            marks.arrived(peer(1), ONE_RTT, true, start + SECOND);
            assert!(marks.keeps(peer(1), ONE_RTT, start + 9 * SECOND));
        }
        let (mut marks, start) = (Marks::default(), now());
        assert!(marks.keeps(peer(1), INITIAL, start));
        marks.arrived(peer(1), RETRY, true, start);
        assert!(!marks.keeps(peer(1), INITIAL, start + SECOND));
    }

    #[test]
    fn an_initial_without_the_mark_is_answered_without() {
        let (mut marks, start) = (Marks::default(), now());
        marks.arrived(peer(1), INITIAL, true, start);
        assert!(marks.keeps(peer(1), HANDSHAKE, start));
        marks.arrived(peer(1), INITIAL, false, start + SECOND);
        assert!(!marks.keeps(peer(1), HANDSHAKE, start + SECOND));
        assert!(!marks.keeps(peer(1), ONE_RTT, start + SECOND));
    }

    #[test]
    fn a_flood_of_initials_is_bounded() {
        let (mut marks, start) = (Marks::default(), now());
        for port in 0..=u16::MAX {
            marks.arrived(peer(port), INITIAL, false, start);
            marks.keeps(peer(port.wrapping_add(9)), HANDSHAKE, start);
        }
        assert!(marks.asked.len() <= MAX_PEERS && marks.unmarked.len() <= MAX_PEERS);
    }
}
