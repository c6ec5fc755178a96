//! The sockets of discovery: one that receives for each family, joined to the group on every interface, and one that sends.
//!
//! Several nodes on one machine share the port. A beacon counts only if it comes from an address on a link of this machine: a
//! packet that was routed here, or whose source was forged to be somewhere else, causes no dial.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::beacon::{self, Beacon, Heard};
use crate::bucket::{Bucket, Rate};
use crate::transport::interfaces::Interfaces;
use crate::wire::NodeId;

/// The UDP port of beacons.
pub const PORT: u16 = 38_083;
/// The IPv6 group: link-local scope, not assigned for good (RFC 4291, section 2.7), and `area` in ASCII.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x6172, 0x6561);
/// The IPv4 group, of those that a site may use as it likes (RFC 2365, section 6.1).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 97, 110);
/// The most interfaces with beacons: Linux lets a socket join 20 IPv4 groups. A machine with more interfaces has container networks;
/// with half as many, its own may be left out.
const INTERFACES: usize = 16;
/// The beacons of the network that are considered. More are dropped: beacons are repeated. A hundred nodes that start at once
/// send as many in the first second; with half as much, they find each other more slowly; twice as much costs a node under a flood
/// twice the time.
const READ: Rate = Rate {
    burst: 400.0,
    per_s: 100.0,
};
/// The signatures that are verified: 20 a second take about 1 ms of processor time. With half as much, a hundred nodes that start at
/// once find each other more slowly.
const VERIFIED: Rate = Rate {
    burst: 100.0,
    per_s: 20.0,
};
/// The most nodes whose last beacon is remembered, so that a repeated beacon costs no signature. The memory, 200 kB at the most, is
/// cleared at the limit: then every beacon is verified once more.
const REMEMBERED: usize = 1024;

/// What the sockets report.
#[derive(Debug)]
pub enum Report {
    /// A verified beacon came; the node can be dialed at the address.
    Heard(Heard, SocketAddr),
    /// The beacons have another link to go out on.
    Joined,
}

/// What a node must be, for its beacons to be sent and heard.
#[derive(Debug)]
pub struct Plan {
    /// The tags of the network's beacons ([`beacon::tag`]): one for each network key, or the one of an open network.
    pub tags: Vec<[u8; 8]>,
    /// The node's id, whose own beacons don't count.
    pub me: NodeId,
    /// The nodes that may connect; empty for all.
    pub allow: BTreeSet<NodeId>,
    /// The node's beacons.
    pub beacon: Beacon,
    /// The address at which the node listens.
    pub bound: SocketAddr,
    /// Its socket takes packets of IPv4 as well as of IPv6.
    pub both: bool,
}

/// One family's sockets.
struct Family {
    receive: UdpSocket,
    send: UdpSocket,
    joined: BTreeSet<u32>,
}

/// Sends and receives beacons, as long as somebody holds the other ends. `send` says when, with whether the node is alone.
pub async fn run(
    plan: Plan,
    mut interfaces: watch::Receiver<Arc<Interfaces>>,
    mut send: mpsc::Receiver<bool>,
    reports: mpsc::Sender<Report>,
) {
    let mut sockets = Sockets {
        families: Families::default(),
        read: Bucket::holding(Duration::ZERO, READ.burst),
        verified: Bucket::holding(Duration::ZERO, VERIFIED.burst),
        known: BTreeMap::new(),
        start: Instant::now(),
        plan,
    };
    let mut bytes = [0; 2048];
    loop {
        let now = Arc::clone(&interfaces.borrow_and_update());
        if sockets.follow(&now) {
            reports.send(Report::Joined).await.ok();
        }
        loop {
            tokio::select! {
                biased;
                () = reports.closed() => return,
                alone = send.recv() => match alone {
                    Some(alone) => sockets.send(&now, alone).await,
                    None => return,
                },
                Ok(()) = interfaces.changed() => break,
                received = sockets.families.receive(&mut bytes) => {
                    let (length, from) = received;
                    if let Some(report) = sockets.hear(&bytes[..length], from, &now) {
                        // Full: the event loop is busy, and the beacon will be repeated.
                        reports.try_send(report).ok();
                    }
                }
            }
        }
    }
}

#[derive(Default)]
struct Families {
    v6: Option<Family>,
    v4: Option<Family>,
}

impl Families {
    /// Waits for a packet of either family. A failed call is as good as no packet.
    async fn receive(&self, bytes: &mut [u8]) -> (usize, SocketAddr) {
        loop {
            // Readiness first: two receives can't share the buffer.
            tokio::select! {
                biased;
                () = readable(self.v6.as_ref()) => {}
                () = readable(self.v4.as_ref()) => {}
            }
            for family in [&self.v6, &self.v4].into_iter().flatten() {
                if let Ok(received) = family.receive.try_recv_from(bytes) {
                    return received;
                }
            }
        }
    }
}

async fn readable(family: Option<&Family>) {
    match family {
        // An error shows at the next receive, which clears it.
        Some(family) => drop(family.receive.readable().await),
        None => std::future::pending().await,
    }
}

struct Sockets {
    plan: Plan,
    families: Families,
    read: Bucket,
    verified: Bucket,
    /// The last verified beacon of each node.
    known: BTreeMap<NodeId, [u8; beacon::SIZE]>,
    start: Instant,
}

impl Sockets {
    /// Opens what is missing, and joins the group on new interfaces. Returns whether there is one.
    fn follow(&mut self, interfaces: &Interfaces) -> bool {
        let bound = self.plan.bound.ip();
        let with_v6 = bound.is_ipv6();
        let with_v4 = bound.is_ipv4() || self.plan.both && bound.is_unspecified();
        let mut joined = false;
        for (wanted, family, any) in [
            (
                with_v6,
                &mut self.families.v6,
                IpAddr::from(Ipv6Addr::UNSPECIFIED),
            ),
            (
                with_v4,
                &mut self.families.v4,
                IpAddr::from(Ipv4Addr::UNSPECIFIED),
            ),
        ] {
            let source = if bound.is_unspecified() { any } else { bound };
            if !wanted {
                continue;
            }
            if family.is_none() {
                // The address may not be there at the moment; the next change of an interface tries again.
                *family = Family::open(any, source)
                    .inspect_err(|error| tracing::debug!(%source, %error, "no socket for beacons"))
                    .ok();
            }
            if let Some(family) = family {
                joined |= family.join(interfaces, source);
            }
        }
        joined
    }

    async fn send(&self, interfaces: &Interfaces, alone: bool) {
        let bytes = self.plan.beacon.bytes(alone);
        for interface in usable(interfaces, self.plan.bound.ip()) {
            if let Some(family) = &self.families.v6 {
                let to = SocketAddrV6::new(GROUP_V6, PORT, 0, interface.index);
                // A link without a route for the group, or with a full queue: the beacon is repeated.
                family.send.send_to(bytes, to).await.ok();
            }
            let v4 = interface.usable().find_map(|ip| match ip {
                IpAddr::V4(v4) => Some(v4),
                IpAddr::V6(_) => None,
            });
            if let (Some(family), Some(v4)) = (&self.families.v4, v4)
                && SockRef::from(&family.send).set_multicast_if_v4(&v4).is_ok()
            {
                family.send.send_to(bytes, (GROUP_V4, PORT)).await.ok();
            }
        }
    }

    /// Reads a packet. Returns what it says, if it is a beacon of another node of this network on a link of this machine.
    fn hear(&mut self, bytes: &[u8], from: SocketAddr, interfaces: &Interfaces) -> Option<Report> {
        let mut heard = self.plan.tags.iter().map(|tag| Heard::read(bytes, *tag));
        let heard = heard.find_map(|heard| heard)?;
        let now = self.start.elapsed();
        if !self.read.take_one(now, READ) {
            return None;
        }
        let welcome = self.plan.allow.is_empty() || self.plan.allow.contains(&heard.id);
        if heard.id == self.plan.me || !welcome || !interfaces.is_on_link(from) {
            return None;
        }
        let known = self.known.get(&heard.id);
        if known.is_none_or(|known| known != bytes) {
            if !self.verified.take_one(now, VERIFIED) || !beacon::is_signed(bytes, &heard) {
                return None;
            }
            if self.known.len() >= REMEMBERED {
                self.known.clear();
            }
            self.known.insert(heard.id, bytes.try_into().ok()?);
        }
        let addr = match from {
            SocketAddr::V4(v4) => (*v4.ip(), heard.port).into(),
            // The scope is where the node is; the flow label is of that packet.
            SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), heard.port, 0, v6.scope_id()).into(),
        };
        Some(Report::Heard(heard, addr))
    }
}

/// The interfaces for beacons of a node that listens at this address.
fn usable(
    interfaces: &Interfaces,
    bound: IpAddr,
) -> impl Iterator<Item = &crate::transport::interfaces::Interface> {
    let all = interfaces.iter().filter(move |one| {
        let listens = bound.is_unspecified() || one.usable().any(|ip| ip == bound);
        one.has_multicast && !one.is_loopback && one.usable().next().is_some() && listens
    });
    all.take(INTERFACES)
}

impl Family {
    fn open(any: IpAddr, source: IpAddr) -> io::Result<Self> {
        let receive = open(SocketAddr::new(any, PORT), true)?;
        let send = open(SocketAddr::new(source, 0), false)?;
        Ok(Self {
            receive: UdpSocket::from_std(receive.into())?,
            send: UdpSocket::from_std(send.into())?,
            joined: BTreeSet::new(),
        })
    }

    /// Joins the group on interfaces that are new. Returns whether there is one.
    fn join(&mut self, interfaces: &Interfaces, source: IpAddr) -> bool {
        let there: BTreeSet<u32> = usable(interfaces, source).map(|one| one.index).collect();
        // The system has left the group on those that are gone.
        self.joined.retain(|index| there.contains(index));
        let socket = SockRef::from(&self.receive);
        let mut any = false;
        for index in there {
            if self.joined.contains(&index) {
                continue;
            }
            let joined = if source.is_ipv6() {
                socket.join_multicast_v6(&GROUP_V6, index)
            } else {
                socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index))
            };
            match joined {
                Ok(()) => any |= self.joined.insert(index),
                // Joined already: the interface was away for a moment.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    any |= self.joined.insert(index);
                }
                Err(error) => tracing::debug!(index, %error, "no beacons on this interface"),
            }
        }
        any
    }
}

fn open(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if shared {
        socket.set_reuse_address(true)?;
        // Elsewhere than on Linux, this is what lets several sockets receive one multicast packet.
        #[cfg(not(target_os = "linux"))]
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}
