//! Binds the listening address, and waits for one that this machine doesn't have yet.
//!
//! At boot a node may start before its address is there: the interface comes up later, or duplicate address detection is
//! under way. So the node waits for any address but a loopback one. A machine without a loopback address won't get one by
//! waiting, and says so with an error. A port that is in use stays an error too.
//!
//! On Linux, a socket whose address goes away works again once it comes back, even on another interface. So it is bound once.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::error::NodeError;
use super::story;
use crate::settings::Settings;
use crate::transport::interfaces::Interfaces;

/// The time between two attempts while the interfaces don't change. An address can become usable without any news that this
/// program hears. Half as long costs twice the wake-ups; twice as long delays such a start by as much.
const RETRY: Duration = Duration::from_secs(1);

/// Binds the listening address, once this machine has it. Returns the socket and its address.
pub(super) async fn listen(
    settings: &Settings,
    interfaces: &mut watch::Receiver<Arc<Interfaces>>,
) -> Result<(UdpSocket, SocketAddr), NodeError> {
    let addr = SocketAddr::new(settings.listen_addr, settings.listen_port);
    let mut waits = false;
    loop {
        // Marked as seen before the attempt: a change during it is news.
        let now = Arc::clone(&interfaces.borrow_and_update());
        let bound = UdpSocket::bind(scoped(addr, &now)).and_then(|socket| {
            let bound = socket.local_addr()?;
            Ok((socket, bound))
        });
        match bound {
            Ok(bound) => return Ok(bound),
            Err(error) if is_absent(addr.ip(), &error) => {
                if !waits {
                    story::waiting(addr, &now);
                }
                waits = true;
            }
            Err(source) => {
                return Err(NodeError::Listen {
                    addr,
                    profile: settings.profile.clone(),
                    hint: if addr.is_ipv6() && !has_ipv6() {
                        "; this machine has no IPv6, so set the address to 0.0.0.0 or 127.0.0.1"
                    } else {
                        ""
                    },
                    source,
                });
            }
        }
        tokio::select! {
            biased;
            Ok(()) = interfaces.changed() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Whether this machine can use IPv6 at all: its loopback address is there.
fn has_ipv6() -> bool {
    UdpSocket::bind((std::net::Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// A link-local address with the interface that has it: it can't be bound without.
fn scoped(addr: SocketAddr, interfaces: &Interfaces) -> SocketAddr {
    match addr {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => {
            let scope = interfaces.scope_of(addr.ip()).unwrap_or_default();
            SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope).into()
        }
        SocketAddr::V4(_) | SocketAddr::V6(_) => addr,
    }
}

/// Whether the address can't be bound because this machine doesn't have it, or not yet.
fn is_absent(ip: IpAddr, error: &io::Error) -> bool {
    let is_link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => !ip.is_loopback(),
        // A link-local address without an interface.
        io::ErrorKind::InvalidInput => is_link_local,
        _ => false,
    }
}

/// The addresses at which a node with this socket can be dialed, the likeliest first.
pub(super) fn local_addrs(bound: SocketAddr, interfaces: &Interfaces) -> Vec<SocketAddr> {
    let at = |ip| SocketAddr::new(ip, bound.port());
    if bound.ip().is_loopback() {
        return vec![bound];
    }
    if !bound.ip().is_unspecified() {
        let there = interfaces.has(bound.ip()) || interfaces.is_empty();
        return if there { vec![bound] } else { Vec::new() };
    }
    // A socket bound to `::` takes IPv4 packets too.
    let mut ips = interfaces.reachable();
    ips.retain(|ip| bound.is_ipv6() || ip.is_ipv4());
    ips.into_iter().map(at).collect()
}
