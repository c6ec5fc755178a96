//! Attacks with nodes that nobody runs: ids, records and links that the attacker signs itself.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use area_net::record::{Direction, LinkState, Record};
use rand_chacha::ChaCha8Rng;

use super::attacker::{Host, Member};
use super::forge::{Persona, Says, frames, link};
use super::liars::{Everywhere, living};
use super::send::send_all;
use super::stage::{COME_BACK, Deed, Stage};

/// The invented nodes that one invented node lists, besides its own link to the attacker. With 308 such hubs, the most that the
/// attacker's record holds, there are 40,000.
const CROWD_OF_HUB: usize = 130;

/// The records that a neighbour may send at once, and then each second, stay within what an honest one may; see the core's limits
/// `new_records_burst` and `new_records_per_s`.
const AT_ONCE: usize = 30_000;
pub(super) const PER_SECOND: f64 = 900.0;

/// A view takes 2048 records of nodes that are not up from one neighbour. It derives who is up at most ten times a second, so the
/// attacker sends fewer records at a time, and waits for them to come up.
const AT_A_TIME: usize = 1500;
const COMING_UP: Duration = Duration::from_millis(150);

/// Members of one attacker, and the ids that each signs. A node has room for 320 links.
const MEMBERS: u64 = 60;
const IDS_OF_MEMBER: usize = 200;

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

/// Joins with many keys, and signs some ids for each.
pub(super) fn sybil_many(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut prepared = Vec::new();
        for which in 0..MEMBERS {
            let mut random = stage.random(which);
            let leader = Persona::draw(&mut random, "attacker");
            let hubs = draw(&mut random, IDS_OF_MEMBER.div_ceil(CROWD_OF_HUB), "hub");
            let crowd = draw(&mut random, IDS_OF_MEMBER - hubs.len(), "sybil");
            prepared.push((leader, hubs, crowd));
        }
        stage.begin().await;
        let mut all = tokio::task::JoinSet::new();
        for (mut leader, mut hubs, mut crowd) in prepared {
            let (host, victim) = (host.clone(), stage.victim());
            all.spawn(async move {
                loop {
                    if let Ok((mut member, record)) = lead(&host, &mut leader, &hubs, victim).await
                    {
                        let told = sign_crowd(host.network(), &leader, &mut hubs, &mut crowd);
                        send_all(&host, &mut member, &frames(&[record])).await.ok();
                        tell_within_limits(&host, &mut member, &told).await.ok();
                        member.closed().await;
                    }
                    tokio::time::sleep(10 * COME_BACK).await;
                }
            });
        }
        all.join_all().await;
        Ok(())
    })
}

/// Signs 10,000 ids, and brings each honest node another part of them.
pub(super) fn sybil_split(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let mut random = stage.random(0);
        let host = stage.host()?;
        let ids: usize = 10_000;
        let mut hubs = draw(&mut random, ids.div_ceil(CROWD_OF_HUB), "hub");
        let mut crowd = draw(&mut random, ids - hubs.len(), "sybil");
        let first = Persona::draw(&mut random, "attacker");
        let mut told = sign_crowd(host.network(), &first, &mut hubs, &mut crowd);
        stage.begin().await;
        let mut who = first;
        loop {
            let mut liar = Everywhere::join(&host, who, &living(&stage)).await;
            let mut says = liar.says(false);
            let hubs_of = hubs.iter().map(|hub| hub.as_peer(Direction::Listener));
            says.links.extend(hubs_of);
            liar.publish(&host, says).await;
            let part = told.len().div_ceil(liar.members.len().max(1)).max(1);
            for (member, part) in liar.members.iter_mut().zip(told.chunks(part)) {
                tell_within_limits(&host, member, part).await.ok();
            }
            if let Some(member) = liar.members.first() {
                member.closed().await;
            }
            tokio::time::sleep(COME_BACK).await;
            who = Persona::draw(&mut random, "attacker");
            told = sign_crowd(host.network(), &who, &mut hubs, &mut crowd);
        }
    })
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
