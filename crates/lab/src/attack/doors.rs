//! Attacks at the door: handshakes, joins, and links that come and go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use area_net::identity::Identity;
use area_net::record::Direction;
use rand::RngExt as _;
use tokio::task::JoinSet;

use super::attacker::Host;
use super::forge::{Persona, Says, frames, link};
use super::send::send_all;
use super::stage::{COME_BACK, Deed, Stage};

/// Keys with which the attacker joins in 5 s, and how many handshakes it has under way: no more than a node takes at once.
const JOINS: usize = 10_000;
const JOINS_AT_ONCE: usize = 100;

/// Keys that come and go, each with a link to the victim that everybody hears of.
const FLAPPERS: usize = 8;

/// How long a flapping link stands: long enough for the victim to list it, and for others to hear of that.
const STANDS: Duration = Duration::from_millis(10);

/// Handshakes held without a Hello: as many as a node has under way at most.
const HELD: usize = 128;

/// Keys that want a slot at the victim: more than the highest cap on the degree and all guests together.
const SLOTS: usize = 400;

/// Joins with new keys, as fast as it can.
pub(super) fn joins(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut random = stage.random(0);
        let mut prepared: Vec<Persona> = (0..JOINS)
            .map(|_| Persona::draw(&mut random, "joiner"))
            .collect();
        stage.begin().await;
        let began = tokio::time::Instant::now();
        let mut under_way = JoinSet::new();
        loop {
            let who = prepared.pop();
            let mut who = who.unwrap_or_else(|| Persona::draw(&mut random, "joiner"));
            if under_way.len() >= JOINS_AT_ONCE {
                under_way.join_next().await;
            }
            let (door, at) = (host.clone(), stage.victim());
            under_way.spawn(async move {
                door.join(&mut who, at, Says::default()).await.ok();
            });
            let seconds = began.elapsed().as_secs_f64();
            let joined = host.deeds().count("joined");
            host.deeds().set("joins, 1/s", joined / seconds.max(1.0));
        }
    })
}

/// Makes links and drops them, again and again, with the same keys.
pub(super) fn flap(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut random = stage.random(0);
        let keys: Vec<Persona> = (0..FLAPPERS)
            .map(|_| Persona::draw(&mut random, "flapper"))
            .collect();
        stage.begin().await;
        let mut all = JoinSet::new();
        for who in keys {
            all.spawn(flap_one(host.clone(), stage.victim(), who));
        }
        all.join_all().await;
        Ok(())
    })
}

async fn flap_one(host: Host, at: SocketAddr, mut who: Persona) {
    loop {
        if let Ok(mut member) = host.join(&mut who, at, Says::default()).await {
            let says = Says {
                links: vec![link(&member.id(), member.hello.run_id, Direction::Dialer)],
                ..Says::default()
            };
            let record = who.sign(host.network(), says);
            send_all(&host, &mut member, &frames(&[record])).await.ok();
            tokio::time::sleep(STANDS).await;
        } else {
            tokio::time::sleep(COME_BACK).await;
        }
    }
}

/// Holds handshakes without a Hello, and begins anew whenever one is closed.
pub(super) fn hold(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut random = stage.random(0);
        let keys: Vec<Identity> = (0..HELD)
            .map(|_| Identity::from_seed(&random.random()))
            .collect();
        stage.begin().await;
        let mut all = JoinSet::new();
        for key in keys {
            let (host, at) = (host.clone(), stage.victim());
            all.spawn(async move {
                loop {
                    match host.shake(&key, at).await {
                        Ok(connection) => {
                            connection.closed().await;
                        }
                        Err(_) => tokio::time::sleep(COME_BACK).await,
                    }
                }
            });
        }
        all.join_all().await;
        Ok(())
    })
}

/// Takes all slots of the victim with many keys, and lists the links, as one that depends on them.
pub(super) fn eclipse(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut random = stage.random(0);
        let keys: Vec<Persona> = (0..SLOTS)
            .map(|_| Persona::draw(&mut random, "slot"))
            .collect();
        stage.begin().await;
        let mut all = JoinSet::new();
        for (place, mut who) in keys.into_iter().enumerate() {
            let (host, at) = (host.clone(), stage.victim());
            all.spawn(async move {
                // Not all at once: a node takes so many handshakes at a time.
                tokio::time::sleep(Duration::from_millis(5 * place as u64)).await;
                loop {
                    if let Ok(mut member) = host.join(&mut who, at, Says::default()).await {
                        let links =
                            vec![link(&member.id(), member.hello.run_id, Direction::Dialer)];
                        let says = Says {
                            links,
                            ..Says::default()
                        };
                        let record = who.sign(host.network(), says);
                        send_all(&host, &mut member, &frames(&[record])).await.ok();
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
