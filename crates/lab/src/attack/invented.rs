//! Attacks with nodes that nobody runs: ids, records and links that the attacker signs itself.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use area_net::record::{AddrKind, Direction, LinkState, PublishedAddr, Record};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::attacker::{Host, Member};
use super::forge::{Persona, Says, frames, link};
use super::stage::{COME_BACK, Deed, Stage};

/// The invented nodes that one invented node lists, besides its own link to the attacker. With 308 such hubs, the most that the
/// attacker's record holds, there are 40,000.
const CROWD_OF_HUB: usize = 130;

/// The records that a neighbour may send at once, and then each second, stay within what an honest one may; see the core's limits
/// `new_records_burst` and `new_records_per_s`.
const AT_ONCE: usize = 30_000;
const PER_SECOND: f64 = 900.0;

/// A view takes 2048 records of nodes that are not up from one neighbour. It derives who is up at most ten times a second, so the
/// attacker sends fewer records at a time, and waits for them to come up.
const AT_A_TIME: usize = 1500;
const COMING_UP: Duration = Duration::from_millis(150);

/// The links of the largest record, and the records of that size that fill a view: 80 MB. Each counts as five records, so no single
/// attacker could bring all of them at once.
const LARGE_LINKS: usize = 319;
const LARGE_HUBS: usize = 20;
const LARGE_LEAVES: usize = 300;
const LARGE_ATTACKERS: u64 = 2;

/// Invented nodes that flood new records: so many for each attacker, so that all of them fit into one full message.
const FLOOD_CROWD: usize = 300;

/// Does nothing.
pub(super) fn nothing(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        stage.begin().await;
        std::future::pending().await
    })
}

/// Signs 10,000 ids that nobody runs, listed by each other.
pub(super) fn sybil_10k(stage: Arc<Stage>) -> Deed {
    Box::pin(sybil(stage, 10_000))
}

/// The same with 40,000, which is more than a view holds.
pub(super) fn sybil_40k(stage: Arc<Stage>) -> Deed {
    Box::pin(sybil(stage, 40_000))
}

async fn sybil(stage: Arc<Stage>, ids: usize) -> Result<()> {
    let mut random = stage.random(0);
    let host = stage.host()?;
    let mut hubs = draw(&mut random, ids.div_ceil(CROWD_OF_HUB), "hub");
    let mut crowd = draw(&mut random, ids - hubs.len(), "sybil");
    let mut leader = Persona::draw(&mut random, "attacker");
    let mut told = sign_crowd(host.network(), &leader, &mut hubs, &mut crowd);
    stage.begin().await;
    loop {
        if let Ok((mut member, record)) = lead(&host, &mut leader, &hubs, stage.victim()).await {
            // Nothing behind the attacker comes up before the attacker itself is.
            send_all(&host, &mut member, &frames(&[record])).await.ok();
            tell_within_limits(&host, &mut member, &told).await.ok();
            member.closed().await;
        }
        tokio::time::sleep(COME_BACK).await;
        leader = Persona::draw(&mut random, "attacker");
        told = sign_crowd(host.network(), &leader, &mut hubs, &mut crowd);
    }
}

/// Draws personas.
pub(super) fn draw(random: &mut ChaCha8Rng, count: usize, label: &str) -> Vec<Persona> {
    (0..count).map(|_| Persona::draw(random, label)).collect()
}

/// Signs the records of all invented nodes: the leader's hubs, and the crowd of each hub.
fn sign_crowd(
    network: &str,
    leader: &Persona,
    hubs: &mut [Persona],
    crowd: &mut [Persona],
) -> Vec<Arc<Record>> {
    let mut records = Vec::with_capacity(hubs.len() + crowd.len());
    let parts = crowd.chunks_mut(CROWD_OF_HUB);
    for (hub, part) in hubs.iter_mut().zip(parts) {
        let mut links: Vec<LinkState> = part
            .iter()
            .map(|one| one.as_peer(Direction::Listener))
            .collect();
        links.push(leader.as_peer(Direction::Dialer));
        records.push(hub.sign(
            network,
            Says {
                links,
                ..Says::default()
            },
        ));
        for one in part {
            let links = vec![hub.as_peer(Direction::Dialer)];
            records.push(one.sign(
                network,
                Says {
                    links,
                    ..Says::default()
                },
            ));
        }
    }
    records
}

/// Joins, and signs a record that lists the link to the victim and those to invented nodes.
pub(super) async fn lead(
    host: &Host,
    leader: &mut Persona,
    followers: &[Persona],
    victim: std::net::SocketAddr,
) -> Result<(Member, Arc<Record>)> {
    let member = host.join(leader, victim, Says::default()).await?;
    let record = leader.sign(host.network(), listing(&member, followers));
    Ok((member, record))
}

/// What a member says that is linked with the victim and with invented nodes.
pub(super) fn listing(member: &Member, followers: &[Persona]) -> Says {
    let victim = &member.hello.record;
    let mut links: Vec<LinkState> = followers
        .iter()
        .map(|one| one.as_peer(Direction::Listener))
        .collect();
    links.push(link(&victim.id(), member.hello.run_id, Direction::Dialer));
    Says {
        links,
        ..Says::default()
    }
}

/// Sends records no faster than a neighbour may.
async fn tell_within_limits(
    host: &Host,
    member: &mut Member,
    records: &[Arc<Record>],
) -> Result<()> {
    let (mut told, mut coming_up) = (0, AT_A_TIME);
    for (count, frame) in frames(records) {
        told += count;
        coming_up += count;
        if coming_up > AT_A_TIME {
            tokio::time::sleep(COMING_UP).await;
            coming_up = count;
        }
        if told > AT_ONCE {
            let wait = Duration::from_secs_f64(count as f64 / PER_SECOND);
            tokio::time::sleep(wait).await;
        }
        member.send_frame(&frame).await?;
        host.deeds().add("records", count);
    }
    Ok(())
}

/// Floods new records of full messages from one member.
pub(super) fn flood_1(stage: Arc<Stage>) -> Deed {
    Box::pin(flood(stage, 1))
}

/// The same from eleven members.
pub(super) fn flood_11(stage: Arc<Stage>) -> Deed {
    Box::pin(flood(stage, 11))
}

async fn flood(stage: Arc<Stage>, attackers: u64) -> Result<()> {
    let hosts: Vec<Host> = (0..attackers)
        .map(|_| stage.host())
        .collect::<Result<_>>()?;
    stage.begin().await;
    let mut all = tokio::task::JoinSet::new();
    for (which, host) in (0..attackers).zip(hosts) {
        all.spawn(flood_from(host, stage.victim(), stage.random(which)));
    }
    all.join_all().await;
    Ok(())
}

async fn flood_from(host: Host, victim: std::net::SocketAddr, mut random: ChaCha8Rng) {
    let mut crowd = draw(&mut random, FLOOD_CROWD, "flood");
    loop {
        let mut leader = Persona::draw(&mut random, "attacker");
        if let Ok((mut member, record)) = lead(&host, &mut leader, &crowd, victim).await {
            let mut frames = frames(&[record]);
            for linked in [true, false].into_iter().cycle() {
                let sent = send_all(&host, &mut member, &frames).await;
                if sent.is_err() || member.is_closed() {
                    break;
                }
                frames = self::frames(&sign_flood(host.network(), &leader, &mut crowd, linked));
                // The runtime has one thread: the connection's own tasks need it too.
                tokio::task::yield_now().await;
            }
        }
        tokio::time::sleep(COME_BACK).await;
    }
}

/// Signs the next record of each invented node. Each second one withdraws a link, which everybody must hear at once.
fn sign_flood(
    network: &str,
    leader: &Persona,
    crowd: &mut [Persona],
    linked: bool,
) -> Vec<Arc<Record>> {
    let neighbours: Vec<LinkState> = crowd
        .iter()
        .map(|one| one.as_peer(Direction::Dialer))
        .collect();
    let mut records = Vec::with_capacity(crowd.len());
    for (place, one) in crowd.iter_mut().enumerate() {
        let mut links = vec![leader.as_peer(Direction::Dialer)];
        if linked {
            links.push(neighbours[(place + 1) % neighbours.len()]);
        }
        records.push(one.sign(
            network,
            Says {
                links,
                ..Says::default()
            },
        ));
    }
    records
}

/// Sends frames as fast as the victim reads.
pub(super) async fn send_all(
    host: &Host,
    member: &mut Member,
    frames: &[(usize, Vec<u8>)],
) -> Result<()> {
    for (count, frame) in frames {
        member.send_frame(frame).await?;
        host.deeds().add("records", *count);
    }
    Ok(())
}

/// Sends records of the largest size until honest ones have to go.
pub(super) fn evict(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let mut prepared = Vec::new();
        for which in 0..LARGE_ATTACKERS {
            let mut random = stage.random(which);
            let label = "x".repeat(area_net::record::MAX_LABEL);
            let hubs = draw(&mut random, LARGE_HUBS, &label);
            let crowd = draw(&mut random, LARGE_HUBS * LARGE_LEAVES, &label);
            let leader = Persona::draw(&mut random, "attacker");
            prepared.push((stage.host()?, random, leader, hubs, crowd));
        }
        stage.begin().await;
        let mut all = tokio::task::JoinSet::new();
        for (host, random, leader, hubs, crowd) in prepared {
            all.spawn(evict_from(
                host,
                stage.victim(),
                random,
                (leader, hubs, crowd),
            ));
        }
        all.join_all().await;
        Ok(())
    })
}

async fn evict_from(
    host: Host,
    victim: std::net::SocketAddr,
    mut random: ChaCha8Rng,
    (mut leader, mut hubs, mut crowd): (Persona, Vec<Persona>, Vec<Persona>),
) {
    loop {
        if let Ok((mut member, record)) = lead(&host, &mut leader, &hubs, victim).await {
            let told = tell_large(&host, &mut member, record, (&leader, &mut hubs, &mut crowd));
            told.await.ok();
        }
        tokio::time::sleep(COME_BACK).await;
        leader = Persona::draw(&mut random, "attacker");
    }
}

/// Sends large records again and again, each time newer ones, until the victim closes the connection.
async fn tell_large(
    host: &Host,
    member: &mut Member,
    record: Arc<Record>,
    (leader, hubs, crowd): (&Persona, &mut [Persona], &mut [Persona]),
) -> Result<()> {
    send_all(host, member, &frames(&[record])).await?;
    let padding = padding();
    loop {
        let mut signed = Vec::with_capacity(6);
        for (hub, part) in hubs.iter_mut().zip(crowd.chunks_mut(LARGE_LEAVES)) {
            let mut links: Vec<LinkState> = part
                .iter()
                .map(|one| one.as_peer(Direction::Listener))
                .collect();
            links.push(leader.as_peer(Direction::Dialer));
            signed.push(hub.sign(host.network(), large(links)));
            for one in part {
                let mut links = padding.clone();
                links.push(hub.as_peer(Direction::Dialer));
                signed.push(one.sign(host.network(), large(links)));
                if signed.len() >= 5 {
                    send_all(host, member, &frames(&signed)).await?;
                    signed.clear();
                }
            }
        }
    }
}

/// A record with these links and as many addresses as fit.
fn large(links: Vec<LinkState>) -> Says {
    let addrs = (1..=8).map(|host| PublishedAddr {
        kind: AddrKind::Local,
        dialable: false,
        // Documentation addresses (RFC 3849): nobody is there.
        addr: std::net::SocketAddr::new(
            std::net::Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, host)
                .into(),
            65_000,
        ),
    });
    Says {
        addrs: addrs.collect(),
        links,
    }
}

/// Links to peers that don't exist, as long as they can be.
fn padding() -> Vec<LinkState> {
    let mut random = <ChaCha8Rng as rand_chacha::rand_core::SeedableRng>::seed_from_u64(7);
    let mut links: Vec<LinkState> = (0..LARGE_LINKS)
        .map(|_| {
            let peer = area_net::wire::NodeId(random.random());
            let mut one = link(&peer, random.random(), Direction::Dialer);
            one.rtt_us = u32::MAX;
            one.rtt_age_s = u16::MAX;
            one.loss = 250;
            one
        })
        .collect();
    links.sort_by_key(|one| one.peer);
    links
}
