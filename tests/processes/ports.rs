//! Ports for the nodes that a test starts.

use std::net::{Ipv6Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// The first of the ports that are given, and how many there are. Linux gives ports from 32,768 to sockets that ask for any: a browser's, a
/// client's, or another test's could get the one of a node that a test has killed, before it starts it again.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

/// How many ports were looked at.
static LOOKED_AT: AtomicU32 = AtomicU32::new(0);

/// As many ports, each given once in this process, which nobody has now for UDP or TCP.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    // Processes that run at the same time begin elsewhere. A test binary needs some hundred ports.
    let begin = std::process::id().wrapping_mul(499);
    let next = || {
        let at = LOOKED_AT.fetch_add(1, Ordering::Relaxed);
        assert!(at < COUNT, "none of {COUNT} ports is free");
        (FIRST + begin.wrapping_add(at) % COUNT) as u16
    };
    let is_free = |port: &u16| {
        let any = (Ipv6Addr::UNSPECIFIED, *port);
        UdpSocket::bind(any).is_ok() && TcpListener::bind(any).is_ok()
    };
    std::iter::repeat_with(next)
        .filter(is_free)
        .take(count)
        .collect()
}
