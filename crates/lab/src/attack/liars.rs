//! Attacks with lies about links, figures, addresses and versions.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use area_net::record::{Direction, Record};
use area_net::wire::{Message, NodeId, ShortId};
use rand::RngExt as _;

use super::attacker::{Host, Member};
use super::forge::{Persona, Says, frames, link};
use super::send::send_all;
use super::stage::{COME_BACK, Deed, Stage};

/// How often a liar says something new.
const AGAIN: Duration = Duration::from_millis(25);

/// How long a version has two records before the next one has.
const FACES_LAST: Duration = Duration::from_secs(60);

/// A documentation address (RFC 5737), at which no honest node is.
pub(super) const LIE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), 4444);

/// A member that is linked with several honest nodes.
pub(super) struct Everywhere {
    pub(super) who: Persona,
    pub(super) members: Vec<Member>,
}

impl Everywhere {
    /// Joins at all these addresses with one key, and lists the links.
    pub(super) async fn join(host: &Host, mut who: Persona, at: &[SocketAddr]) -> Self {
        let mut members = Vec::new();
        for addr in at {
            if let Ok(member) = host.join(&mut who, *addr, Says::default()).await {
                members.push(member);
            }
        }
        Self { who, members }
    }

    /// The links that it lists, suspected or not.
    pub(super) fn says(&self, suspect: bool) -> Says {
        let links = self.members.iter().map(|member| {
            let mut one = link(&member.id(), member.hello.run_id, Direction::Dialer);
            one.suspect = suspect;
            one
        });
        Says {
            links: links.collect(),
            ..Says::default()
        }
    }

    /// Publishes a record at all neighbours.
    pub(super) async fn publish(&mut self, host: &Host, says: Says) -> Arc<Record> {
        let record = self.who.sign(host.network(), says);
        for member in &mut self.members {
            send_all(host, member, &frames(std::slice::from_ref(&record)))
                .await
                .ok();
        }
        record
    }

    /// Sends a message to all neighbours.
    async fn send(&mut self, message: &Message) {
        for member in &mut self.members {
            member.send(message).await.ok();
        }
    }

    /// Whether the first neighbour closed the link.
    pub(super) fn is_thrown_out(&self) -> bool {
        self.members.first().is_none_or(Member::is_closed)
    }
}

/// All honest nodes but the one that will be killed: with a link to that one, this would be another attack.
pub(super) fn living(stage: &Stage) -> Vec<SocketAddr> {
    let doomed = stage.doomed();
    let nodes = stage.nodes.iter().copied();
    nodes.filter(|addr| *addr != doomed).collect()
}

/// Reports all its links as suspected, and takes it back, all the time.
pub(super) fn suspect(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut random = stage.random(0);
        stage.begin().await;
        loop {
            let who = Persona::draw(&mut random, "attacker");
            let mut liar = Everywhere::join(&host, who, &living(&stage)).await;
            for suspect in [true, false].into_iter().cycle() {
                if liar.is_thrown_out() {
                    break;
                }
                let says = liar.says(suspect);
                liar.publish(&host, says).await;
                tokio::time::sleep(AGAIN).await;
            }
            tokio::time::sleep(COME_BACK).await;
        }
    })
}

/// Goes on listing its link to an honest node that has died.
pub(super) fn undead(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut random = stage.random(0);
        let who = Persona::draw(&mut random, "attacker");
        stage.begin().await;
        let mut liar = Everywhere::join(&host, who, &stage.nodes).await;
        loop {
            let says = liar.says(false);
            liar.publish(&host, says).await;
            tokio::time::sleep(20 * AGAIN).await;
        }
    })
}

/// Says that it sees honest nodes at an address where they are not.
pub(super) fn observe(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?.seeing(LIE);
        let mut random = stage.random(0);
        stage.begin().await;
        loop {
            let who = Persona::draw(&mut random, "attacker");
            let mut liar = Everywhere::join(&host, who, &living(&stage)).await;
            let says = liar.says(false);
            liar.publish(&host, says).await;
            while !liar.is_thrown_out() {
                liar.send(&Message::Observed(LIE)).await;
                // Honest nodes take eight such messages a second.
                tokio::time::sleep(10 * AGAIN).await;
            }
            tokio::time::sleep(COME_BACK).await;
        }
    })
}

/// Signs figures of 10 s and a loss of 100 %, claims the same in its probes, and claims to have held each probe for longer than it took.
pub(super) fn figures(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut random = stage.random(0);
        stage.begin().await;
        loop {
            let who = Persona::draw(&mut random, "attacker");
            let mut liar = Everywhere::join(&host, who, &living(&stage)).await;
            let mut says = liar.says(false);
            for one in &mut says.links {
                one.rtt_us = u32::MAX;
                one.loss = 250;
            }
            let record = liar.publish(&host, says).await;
            for (count, code) in (1..).zip([255, 1].into_iter().cycle()) {
                if liar.is_thrown_out() {
                    break;
                }
                let figures = liar.who.figures(host.network(), &record, count, code);
                liar.send(&Message::Figures(vec![(0, figures)])).await;
                for member in &liar.members {
                    member.claim_hold(random.random());
                    member.probe(count, 10_000_000, 250);
                }
                tokio::time::sleep(4 * AGAIN).await;
            }
            tokio::time::sleep(COME_BACK).await;
        }
    })
}

/// Signs a record at the end of all epochs, and others after it.
pub(super) fn epoch(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut random = stage.random(0);
        stage.begin().await;
        for ahead in (0..64).cycle() {
            let mut who = Persona::draw(&mut random, "attacker");
            who.jump(u64::MAX >> ahead);
            let mut liar = Everywhere::join(&host, who, &living(&stage)).await;
            let says = liar.says(false);
            liar.publish(&host, says).await;
            tokio::time::sleep(8 * AGAIN).await;
        }
        Ok(())
    })
}

/// Keeps all records that it hears, and sends the old ones again and again.
pub(super) fn replay(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut random = stage.random(0);
        stage.begin().await;
        loop {
            let who = Persona::draw(&mut random, "attacker");
            let mut liar = Everywhere::join(&host, who, &living(&stage)).await;
            let mut first: BTreeMap<NodeId, Arc<Record>> = BTreeMap::new();
            for member in &liar.members {
                first.insert(member.id(), member.hello.record.clone());
            }
            let says = liar.says(false);
            liar.publish(&host, says).await;
            while !liar.is_thrown_out() {
                for member in &mut liar.members {
                    while let Some(message) = member.received_now() {
                        if let Message::Records(records) = message {
                            for record in records {
                                first.entry(record.id()).or_insert(record);
                            }
                        }
                    }
                }
                // A full message of old records: each of them asks for an answer.
                let old: Vec<Arc<Record>> = first.values().cloned().collect();
                let many: Vec<Arc<Record>> = old.iter().cycle().take(100).cloned().collect();
                for member in &mut liar.members {
                    send_all(&host, member, &frames(&many)).await.ok();
                }
                tokio::time::sleep(AGAIN / 5).await;
            }
            tokio::time::sleep(COME_BACK).await;
        }
    })
}

/// Is linked with all, prunes every link, names records that nobody has, and brings nothing.
pub(super) fn mute(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut random = stage.random(0);
        stage.begin().await;
        loop {
            let who = Persona::draw(&mut random, "attacker");
            let mut liar = Everywhere::join(&host, who, &living(&stage)).await;
            let says = liar.says(false);
            let record = liar.publish(&host, says).await;
            while !liar.is_thrown_out() {
                let name = |_| (ShortId(random.random()), record.version());
                let named: Vec<_> = (0..1000).map(name).collect();
                liar.send(&Message::Prune).await;
                liar.send(&Message::Have(named)).await;
                // Honest nodes take 64 messages that name records a second.
                tokio::time::sleep(2 * AGAIN).await;
            }
            tokio::time::sleep(COME_BACK).await;
        }
    })
}

/// Signs two records under each version, and gives each half of the network another one.
pub(super) fn twoface(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut random = stage.random(0);
        stage.begin().await;
        let who = Persona::draw(&mut random, "face");
        let mut liar = Everywhere::join(&host, who, &living(&stage)).await;
        loop {
            // The first pair is the one that is looked at: the run is over before the next.
            liar.who.rename("face-a");
            let a = liar.who.sign(host.network(), liar.says(false));
            liar.who.rename("face-b");
            let b = liar.who.sign_again(host.network(), liar.says(false), 1);
            for (place, member) in liar.members.iter_mut().enumerate() {
                let face = if place % 2 == 0 { &a } else { &b };
                send_all(&host, member, &frames(std::slice::from_ref(face)))
                    .await
                    .ok();
            }
            tokio::time::sleep(FACES_LAST).await;
        }
    })
}

/// Asks for anti-entropy rounds, and for all records, without end.
pub(super) fn rounds(stage: Arc<Stage>) -> Deed {
    Box::pin(async move {
        let host = stage.host()?;
        let mut random = stage.random(0);
        stage.begin().await;
        loop {
            let who = Persona::draw(&mut random, "attacker");
            let mut liar = Everywhere::join(&host, who, &[stage.victim()]).await;
            let says = liar.says(false);
            liar.publish(&host, says).await;
            let mut known: Vec<ShortId> = Vec::new();
            while !liar.is_thrown_out() {
                let sums = (0..1024).map(|_| random.random()).collect();
                liar.send(&Message::Digests { log2: 10, sums }).await;
                liar.send(&Message::Request(known.clone())).await;
                host.deeds().add("rounds", 1);
                for member in &mut liar.members {
                    while let Some(message) = member.received_now() {
                        if let Message::Versions { entries, .. } = message {
                            known = entries.iter().map(|(id, _)| *id).collect();
                        }
                    }
                }
                // The runtime has one thread: the connection's own tasks need it too.
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(COME_BACK).await;
        }
    })
}
