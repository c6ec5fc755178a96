//! Packets that leave the endpoint's socket beside those of quinn.

use std::net::{IpAddr, SocketAddr};

use quinn::AsyncUdpSocket;
use quinn::udp::{EcnCodepoint, Transmit};

/// Sends a packet. One that can't leave is lost, like any other packet.
pub(super) fn send(
    socket: &dyn AsyncUdpSocket,
    to: SocketAddr,
    contents: &[u8],
    ecn: Option<EcnCodepoint>,
) {
    let is_v6 = socket.local_addr().is_ok_and(|addr| addr.is_ipv6());
    let destination = match to.ip() {
        // A socket of both families takes IPv4 addresses only in this form.
        IpAddr::V4(v4) if is_v6 => SocketAddr::new(v4.to_ipv6_mapped().into(), to.port()),
        _ => to,
    };
    let transmit = Transmit {
        destination,
        ecn,
        contents,
        segment_size: None,
        src_ip: None,
    };
    socket.try_send(&transmit).ok();
}
