//! Attacks with more records than a node can use: new ones without end, and large ones that fill its tables.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use area_net::record::{AddrKind, Direction, LinkState, PublishedAddr, Record};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::attacker::{Host, Member};
use super::forge::{Persona, Says, frames, link};
use super::invented::{PER_SECOND, draw, lead};
use super::send::send_all;
use super::stage::{COME_BACK, Deed, Stage};

/// The links of the largest record, and the records of that size that fill a view: 80 MB. Each counts as five records, so no single
/// attacker could bring all of them at once.
const LARGE_LINKS: usize = 319;
const LARGE_HUBS: usize = 20;
const LARGE_LEAVES: usize = 300;
const LARGE_ATTACKERS: u64 = 2;

/// Invented nodes that flood new records: so many for each attacker, so that all of them fit into one full message.
const FLOOD_CROWD: usize = 300;

/// Floods new records of full messages from one member.
pub(super) fn flood_1(stage: Arc<Stage>) -> Deed {
    Box::pin(flood(stage, 1))
}

/// The same from eleven members.
pub(super) fn flood_11(stage: Arc<Stage>) -> Deed {
    Box::pin(flood(stage, 11))
}

/// Sends new records from one member at the rate that a neighbour may, so it is never closed.
pub(super) fn flood_slow(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut random = stage.random(0);
        let mut crowd = draw(&mut random, FLOOD_CROWD, "flood");
        stage.begin().await;
        loop {
            let mut leader = Persona::draw(&mut random, "attacker");
            let joined = lead(&host, &mut leader, &crowd, stage.victim()).await;
            if let Ok((mut member, record)) = joined {
                send_all(&host, &mut member, &frames(&[record])).await.ok();
                for linked in [true, false].into_iter().cycle() {
                    let records = sign_flood(host.network(), &leader, &mut crowd, linked);
                    let sent = send_all(&host, &mut member, &frames(&records)).await;
                    if sent.is_err() || member.is_closed() {
                        break;
                    }
                    let pause = records.len() as f64 / PER_SECOND;
                    tokio::time::sleep(Duration::from_secs_f64(pause)).await;
                }
            }
            tokio::time::sleep(COME_BACK).await;
        }
    })
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

#[cfg(test)]
mod tests {
    use area_net::record::{MAX_LINKS, MAX_RECORD};
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn the_large_records_are_as_large_as_honest_nodes_take() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let label = "x".repeat(area_net::record::MAX_LABEL);
        let mut one = Persona::draw(&mut random, &label);
        let hub = Persona::draw(&mut random, &label);
        let mut links = padding();
        links.push(hub.as_peer(Direction::Dialer));
        let record = one.sign("net", large(links));
        assert_eq!(record.body().links.len(), MAX_LINKS);
        assert!((MAX_RECORD * 8 / 10..=MAX_RECORD).contains(&record.encoded_len()));
    }
}
