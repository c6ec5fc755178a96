//! The attack that makes honest nodes send packets to somebody else: records of many ids publish a third party's address.
//!
//! The third party is a plain UDP socket of the lab, which counts what reaches it. There is one for each kind of address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use area_net::record::{AddrKind, Direction, LinkState, PublishedAddr, Record};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::attacker::{Deeds, Host};
use super::forge::{Persona, Says, frames, link};
use super::invented::{draw, lead, listing};
use super::send::send_all;
use super::stage::{COME_BACK, Deed, Stage};

/// The third parties: the figure, and the address. All of them are on the loopback interface of the lab's namespace.
pub(super) const SINKS: [(&str, SocketAddr); 5] = [
    (GLOBAL, at(Ipv4Addr::new(203, 0, 113, 7), 19_000)),
    (PRIVILEGED, at(Ipv4Addr::new(203, 0, 113, 7), 53)),
    (PRIVATE, at(Ipv4Addr::new(192, 168, 77, 7), 19_000)),
    (LINK_LOCAL, at(Ipv4Addr::new(169, 254, 77, 7), 19_000)),
    (LOOPBACK, at(Ipv4Addr::new(127, 0, 0, 7), 19_000)),
];

pub(super) const GLOBAL: &str = "packets at a global address, 1/s";
pub(super) const GLOBAL_PEAK: &str = "packets at a global address, most in 1 s, 1/s";
pub(super) const PRIVILEGED: &str = "packets at port 53, 1/s";
pub(super) const PRIVATE: &str = "packets at a foreign private address, 1/s";
pub(super) const LINK_LOCAL: &str = "packets at a link-local address, 1/s";
pub(super) const LOOPBACK: &str = "packets at a loopback address, 1/s";

/// Ids that publish the addresses: as many as one record lists, with the link to the victim.
const IDS: usize = 300;

/// The ids come and go, since nodes that went are dialed for other reasons than those that came.
const UP: Duration = Duration::from_secs(3);
const DOWN: Duration = Duration::from_secs(1);

const fn at(ip: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(ip), port)
}

/// Publishes the third parties' addresses under many ids.
pub(super) fn address(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut random = stage.random(0);
        let mut crowd = draw(&mut random, IDS, "decoy");
        let mut counting = JoinSet::new();
        let mut sockets = Vec::new();
        for (figure, addr) in SINKS {
            let socket = UdpSocket::bind(addr).await;
            sockets.push((
                figure,
                socket.with_context(|| format!("can't bind {addr}"))?,
            ));
        }
        stage.begin().await;
        for (figure, socket) in sockets {
            counting.spawn(count(figure, socket, stage.deeds.clone()));
        }
        loop {
            let mut leader = Persona::draw(&mut random, "attacker");
            let joined = lead(&host, &mut leader, &[], stage.victim()).await;
            if let Ok((mut member, _)) = joined {
                while !member.is_closed() {
                    let with = sign(&host, &mut leader, &mut crowd, listing(&member, &[]));
                    send_all(&host, &mut member, &frames(&with)).await.ok();
                    tokio::time::sleep(UP).await;
                    let victim = link(&member.id(), member.hello.run_id, Direction::Dialer);
                    let alone = Says {
                        links: vec![victim],
                        ..Says::default()
                    };
                    let alone = leader.sign(host.network(), alone);
                    send_all(&host, &mut member, &frames(&[alone])).await.ok();
                    tokio::time::sleep(DOWN).await;
                }
            }
            tokio::time::sleep(COME_BACK).await;
        }
    })
}

/// Signs the leader's record, which lists the crowd besides what it says, and the records of the crowd.
fn sign(
    host: &Host,
    leader: &mut Persona,
    crowd: &mut [Persona],
    mut says: Says,
) -> Vec<Arc<Record>> {
    let addrs: Vec<PublishedAddr> = SINKS
        .iter()
        .map(|(_, addr)| PublishedAddr {
            kind: AddrKind::Advertised,
            dialable: true,
            addr: *addr,
        })
        .collect();
    let links: Vec<LinkState> = crowd
        .iter()
        .map(|one| one.as_peer(Direction::Listener))
        .collect();
    says.links.extend(links);
    let mut records = vec![leader.sign(host.network(), says)];
    for one in crowd {
        let says = Says {
            addrs: addrs.clone(),
            links: vec![leader.as_peer(Direction::Dialer)],
        };
        records.push(one.sign(host.network(), says));
    }
    records
}

/// Counts the packets that reach a third party: on average since the attack began, and the most in a second.
async fn count(figure: &'static str, socket: UdpSocket, deeds: Arc<Deeds>) {
    let began = tokio::time::Instant::now();
    let (mut packets, mut this_second, mut peak, mut second) = (0_u32, 0_u32, 0_u32, 0);
    let mut buffer = [0; 2048];
    deeds.set(figure, 0.0);
    loop {
        if socket.recv_from(&mut buffer).await.is_err() {
            continue;
        }
        let now = began.elapsed().as_secs();
        if now != second {
            (second, this_second) = (now, 0);
        }
        packets += 1;
        this_second += 1;
        peak = peak.max(this_second);
        let seconds = began.elapsed().as_secs_f64().max(1.0);
        deeds.set(figure, f64::from(packets) / seconds);
        if figure == GLOBAL {
            deeds.set(GLOBAL_PEAK, f64::from(peak));
        }
    }
}
