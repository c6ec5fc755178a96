//! The small packets that open a NAT for a peer: they make it, or a firewall, expect the peer's packets.
//!
//! They come from the socket of all connections, since a NAT's mapping is that of a socket. They carry nothing, so the receiver drops
//! them before QUIC sees them. A QUIC packet never begins like one: its second bit is set (RFC 9000, section 17.2).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::AsyncUdpSocket;
use quinn::udp::Transmit;

use super::Shared;

/// What the packets begin with.
const MAGIC: [u8; 8] = *b"\0an-open";
/// The length of a packet: the magic, and the number of the rendezvous.
const LENGTH: usize = 16;
/// When the packets leave. One may be lost, or come before the other side's NAT expects it.
const AT: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(300),
];

/// Whether a packet is one of these.
pub(super) fn is_opener(packet: &[u8]) -> bool {
    packet.len() == LENGTH && packet.starts_with(&MAGIC)
}

/// Sends the packets of one rendezvous to each of these addresses.
pub(super) async fn open(
    shared: Arc<Shared>,
    socket: Arc<dyn AsyncUdpSocket>,
    addrs: Vec<SocketAddr>,
    nonce: u64,
) {
    let is_v6 = socket.local_addr().is_ok_and(|addr| addr.is_ipv6());
    let contents = [MAGIC, nonce.to_be_bytes()].concat();
    let start = shared.clock.now();
    for at in AT {
        shared.clock.sleep_until(start + at).await;
        for addr in &addrs {
            let transmit = Transmit {
                destination: if is_v6 { mapped(*addr) } else { *addr },
                ecn: None,
                contents: &contents,
                segment_size: None,
                src_ip: None,
            };
            // One that can't leave is lost, like any other packet.
            socket.try_send(&transmit).ok();
        }
    }
}

/// A socket of both families takes IPv4 addresses only in this form.
fn mapped(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), addr.port()),
        IpAddr::V6(_) => addr,
    }
}
