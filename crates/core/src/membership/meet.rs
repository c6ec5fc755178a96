//! Rendezvous: two nodes behind NATs or firewalls connect, with the help of a node that has links to both.
//!
//! A dial that stays unanswered makes this node ask its peer for a rendezvous. The request travels over a common neighbour, or over up
//! to three relays, which every node finds in the graph. It carries the addresses of the node that asks, and the answer those of the
//! other one. Then one of them dials, and the other *opens* its NAT: it sends three small packets from the same socket, so that its
//! NAT expects the dialer's packets. At first the node with the lower id dials, and with each further attempt the other one.
//!
//! Both should send at about the same time. A packet that comes before the NAT expects it may make the NAT choose another port for this
//! pair. So the node that was asked waits as long as its answer takes.
//!
//! Nobody may be made a weapon. A neighbour brings a limited number of requests and answers, and this node sends to a host for a few
//! rendezvous a minute only.

mod way;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Time;
use super::links::{Link, Links};
use super::view::View;
use crate::bucket::{Bucket, Rate};
use crate::record::{MAX_ADDRS, PublishedAddr};
use crate::wire::{Meet, NodeId, Realm, ShortId, dialable, plain};

/// How long an answer counts. Longer than any way takes; an answer that comes later finds a NAT that expects nobody.
const ANSWER_COUNTS: Duration = Duration::from_secs(5);
/// The most nodes that are asked for a rendezvous at a time. A dial that stays unanswered asks one, and dials are limited.
const MAX_ASKED: usize = 256;
/// What a neighbour may bring, to be answered or passed on. At a start, each of 16 nodes behind NATs asks the others over the one node
/// that all have in common: 15 requests and 15 answers. Half as much would lose some, and those pairs would wait for the next
/// attempt. Twice as much would let a neighbour cause 6 kB a second.
const BROUGHT: Rate = Rate {
    burst: 64.0,
    per_s: 8.0,
};
/// For how many rendezvous this node sends to one host. Each costs three packets of 16 bytes, or a dial. A NAT may hide many
/// nodes, which meet a newcomer all at once. Half as many would keep some of 16 apart for minutes.
const TO_A_HOST: Rate = Rate {
    burst: 16.0,
    per_s: 4.0 / 60.0,
};
/// The most hosts of which that is remembered. A host that was forgotten has its full allowance again, so a peer that names ever new
/// hosts could renew it; it is held to [`BROUGHT`].
const MAX_HOSTS: usize = 1024;
/// The most addresses to which a NAT is opened: one of each family, and one in the same LAN.
const MAX_OPENED: usize = 3;
/// The longest wait of the node that was asked. It bounds what wrong figures of the way can do.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// What one rendezvous comes to at this end.
#[derive(Debug, PartialEq)]
pub(super) enum Deed {
    /// Dial the peer at these addresses.
    Dial(NodeId, Vec<SocketAddr>),
    /// Send small packets to these addresses, so that our NAT expects the peer's.
    Open(Vec<SocketAddr>, u64),
}

/// What is to be done with a message.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Pass the message to that neighbour.
    Pass(NodeId, Meet),
    /// Nothing, or it is done later.
    Nothing,
    /// It is turned away, for this reason.
    Refused(&'static str),
}

/// What a rendezvous is decided from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) now: Time,
    pub(super) view: &'a View,
    pub(super) links: &'a Links,
    /// The addresses that this node publishes.
    pub(super) own: &'a [PublishedAddr],
}

#[derive(Debug, Default)]
struct Asked {
    nonce: u64,
    at: Time,
    tries: u32,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Rendezvous {
    me: NodeId,
    asked: BTreeMap<NodeId, Asked>,
    brought: BTreeMap<NodeId, Bucket>,
    hosts: BTreeMap<IpAddr, Bucket>,
    /// What waits for the answer to arrive at the other end.
    later: Vec<(Time, Deed)>,
}

impl Rendezvous {
    pub(super) fn new(me: NodeId) -> Self {
        Self {
            me,
            asked: BTreeMap::new(),
            brought: BTreeMap::new(),
            hosts: BTreeMap::new(),
            later: Vec::new(),
        }
    }

    /// When [`Self::due`] has something.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.later.iter().map(|(at, _)| *at).min()
    }

    /// What is to be done now.
    pub(super) fn due(&mut self, now: Time) -> Vec<Deed> {
        if self.later.is_empty() {
            return Vec::new();
        }
        let later = std::mem::take(&mut self.later);
        let (due, rest): (Vec<_>, Vec<_>) = later.into_iter().partition(|(at, _)| *at <= now);
        self.later = rest;
        due.into_iter().map(|(_, deed)| deed).collect()
    }

    /// A link is gone.
    pub(super) fn link_ended(&mut self, peer: &NodeId) {
        self.brought.remove(peer);
    }

    /// A dial to that node stays unanswered: asks it for a rendezvous. Returns the request, and the neighbour to send it to.
    pub(super) fn ask(
        &mut self,
        scene: &Scene<'_>,
        peer: NodeId,
        nonce: u64,
    ) -> Option<(NodeId, Meet)> {
        let tries = self.asked.get(&peer).map_or(0, |asked| asked.tries);
        let way = way::find(scene, &peer, tries as usize)?;
        let first = neighbor(scene, &way[1])?;
        if self.asked.len() >= MAX_ASKED && !self.asked.contains_key(&peer) {
            let oldest = self.asked.iter().min_by_key(|(_, asked)| asked.at);
            oldest.map(|(id, _)| *id).map(|id| self.asked.remove(&id));
        }
        let asked = Asked {
            nonce,
            at: scene.now,
            tries: tries.wrapping_add(1),
        };
        self.asked.insert(peer, asked);
        let meet = Meet {
            way,
            is_answer: false,
            nonce,
            asker_dials: (self.me < peer) == tries.is_multiple_of(2),
            addrs: own_addrs(scene, &first),
        };
        Some((first, meet))
    }

    /// A neighbour brought a request or an answer.
    pub(super) fn handle(&mut self, scene: &Scene<'_>, from: &NodeId, mut meet: Meet) -> Step {
        let full = || Bucket::holding(scene.now, BROUGHT.burst);
        let bucket = self.brought.entry(*from).or_insert_with(full);
        if !bucket.take_one(scene.now, BROUGHT) {
            return Step::Refused("more rendezvous than a neighbour may bring");
        }
        if meet.is_answer {
            meet.way.reverse();
        }
        let me = self.me.abbreviated();
        let Some(place) = meet.way.iter().position(|id| *id == me) else {
            return Step::Refused("a rendezvous whose way leads past this node");
        };
        if place == 0 || meet.way[place - 1] != from.abbreviated() {
            return Step::Refused("a rendezvous that left its way");
        }
        if place + 1 < meet.way.len() {
            let Some(next) = neighbor(scene, &meet.way[place + 1]) else {
                return Step::Nothing;
            };
            if meet.is_answer {
                meet.way.reverse();
            }
            return Step::Pass(next, meet);
        }
        let author = scene.view.index(&meet.way[0]);
        let author = author.map(|index| scene.view.entry(index));
        let Some(author) = author
            .filter(|entry| entry.up)
            .map(|entry| entry.record.id())
        else {
            return Step::Nothing;
        };
        if meet.is_answer {
            self.handle_answer(scene, author, &meet)
        } else {
            self.handle_request(scene, author, from, meet)
        }
    }

    fn handle_request(
        &mut self,
        scene: &Scene<'_>,
        author: NodeId,
        from: &NodeId,
        meet: Meet,
    ) -> Step {
        if scene.links.is_live(&author) {
            return Step::Nothing;
        }
        let wait = (way::round_trip(scene, &meet.way) / 2).min(LONGEST_WAIT);
        if let Some(deed) = self.deed(scene, author, &meet, !meet.asker_dials)
            && self.later.len() < MAX_ASKED
        {
            self.later.push((scene.now + wait, deed));
        }
        let answer = Meet {
            is_answer: true,
            addrs: own_addrs(scene, from),
            ..meet
        };
        Step::Pass(*from, answer)
    }

    fn handle_answer(&mut self, scene: &Scene<'_>, author: NodeId, meet: &Meet) -> Step {
        let fits =
            |asked: &&mut Asked| asked.nonce == meet.nonce && scene.now <= asked.at + ANSWER_COUNTS;
        let Some(asked) = self.asked.get_mut(&author).filter(fits) else {
            return Step::Refused("an answer to no rendezvous");
        };
        // It counts once.
        asked.at = Time::ZERO;
        asked.nonce = 0;
        if !scene.links.is_live(&author)
            && let Some(deed) = self.deed(scene, author, meet, meet.asker_dials)
        {
            self.later.push((scene.now, deed));
        }
        Step::Nothing
    }

    /// What this node does for a rendezvous: `dials`, or opens its NAT. The addresses are those of the other one.
    fn deed(
        &mut self,
        scene: &Scene<'_>,
        author: NodeId,
        meet: &Meet,
        dials: bool,
    ) -> Option<Deed> {
        let mut addrs = super::overlay::ways(&meet.addrs, false, scene.own);
        if !dials {
            addrs.truncate(MAX_OPENED);
        }
        addrs.retain(|addr| self.may_send(scene.now, addr.ip()));
        if addrs.is_empty() {
            None
        } else if dials {
            Some(Deed::Dial(author, addrs))
        } else {
            Some(Deed::Open(addrs, meet.nonce))
        }
    }

    fn may_send(&mut self, now: Time, host: IpAddr) -> bool {
        if self.hosts.len() >= MAX_HOSTS && !self.hosts.contains_key(&host) {
            // Those whose allowance is full again say nothing.
            self.hosts
                .retain(|_, bucket| bucket.fill(now, TO_A_HOST) < TO_A_HOST.burst);
            if self.hosts.len() >= MAX_HOSTS {
                return false;
            }
        }
        let full = || Bucket::holding(now, TO_A_HOST.burst);
        let bucket = self.hosts.entry(host).or_insert_with(full);
        bucket.take_one(now, TO_A_HOST)
    }
}

/// The neighbour of that short id, if its link is in use.
fn neighbor(scene: &Scene<'_>, id: &ShortId) -> Option<NodeId> {
    let index = scene.view.index(id)?;
    let id = scene.view.get(index)?.record.id();
    scene.links.is_live(&id).then_some(id)
}

/// Where this node may be reached. That neighbour sees a mapping of a NAT that is in use this very moment, so it comes first.
fn own_addrs(scene: &Scene<'_>, seen_by: &NodeId) -> Vec<PublishedAddr> {
    let fresh = scene.links.get(seen_by).and_then(Link::observed);
    let fresh = fresh.map(|addr| plain(&addr));
    let fresh =
        fresh.filter(|addr| dialable(addr, false) && Realm::of(addr.ip()) != Realm::Loopback);
    let fresh = fresh.map(|addr| PublishedAddr::new(crate::record::AddrKind::Observed, addr));
    let mut addrs: Vec<PublishedAddr> = fresh.into_iter().collect();
    for one in scene.own {
        if addrs.iter().all(|known| known.addr != one.addr) {
            addrs.push(*one);
        }
    }
    addrs.truncate(MAX_ADDRS);
    addrs
}

#[cfg(test)]
mod tests;
