//! Rendezvous: two nodes behind NATs or firewalls connect, with the help of a node that has links to both.
//!
//! A dial that stays unanswered makes this node ask its peer for a rendezvous. The request travels over a common neighbour, or
//! over up to three relays, which every node finds in the graph. It carries the addresses of the node that asks, and the answer
//! those of the other one. Then both *open* their NATs: each sends three small packets from the socket of its connections, so
//! that its NAT expects those of the other one. The first packet that comes through shows the address at which the other one
//! really is. The node with the lower id dials it at once; at the next attempt the other node dials first.
//!
//! Both should send at about the same time. A packet that comes before the NAT expects it may make the NAT choose another port for this
//! pair. So the node that was asked waits as long as its answer takes.
//!
//! A rendezvous must not serve to attack a third party. An address in a request or an answer gets small packets only. A node
//! dials an address only if a packet with the number of the rendezvous came from there. A neighbour may bring a limited number of
//! requests and answers, and this node sends to a host for a few rendezvous a minute, whoever asks.

mod way;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Time;
use super::links::{Link, Links};
use super::nets::host_of;
use super::overlay::Strangers;
use super::tuning::Tuning;
use super::tuning::meet::Tuning as MeetTuning;
use super::view::View;
use crate::bucket::{Bucket, Rate};
use crate::record::{MAX_ADDRS, PublishedAddr};
use crate::wire::{Meet, NodeId, Realm, ShortId, dialable, plain};

/// What one rendezvous comes to at this end.
#[derive(Debug, PartialEq)]
pub(super) enum Deed {
    /// Dial the peer at this address, from which a packet came.
    Dial(NodeId, SocketAddr),
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
    /// Where nodes were met.
    pub(super) strangers: &'a Strangers,
}

#[derive(Debug, Default)]
struct Asked {
    nonce: u64,
    at: Time,
    tries: u32,
}

/// A peer whose packets are awaited.
#[derive(Debug)]
struct Expected {
    peer: NodeId,
    /// This end dials at once. Otherwise it dials only if the other end does not.
    first: bool,
    until: Time,
    /// The hosts to which this node sends packets for it.
    hosts: Vec<IpAddr>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Rendezvous {
    me: NodeId,
    tuning: Arc<Tuning>,
    asked: BTreeMap<NodeId, Asked>,
    brought: BTreeMap<NodeId, Bucket>,
    hosts: BTreeMap<IpAddr, Bucket>,
    /// How many nodes were up when a neighbour last brought something.
    up: usize,
    /// Those whose packets are awaited, by the number of the rendezvous.
    expected: BTreeMap<u64, Expected>,
    /// Deeds that wait for the answer to arrive at the other end, or for the other end to dial.
    later: Vec<(Time, Deed)>,
}

impl Rendezvous {
    pub(super) fn new(me: NodeId, tuning: Arc<Tuning>) -> Self {
        Self {
            me,
            tuning,
            asked: BTreeMap::new(),
            brought: BTreeMap::new(),
            hosts: BTreeMap::new(),
            up: 1,
            expected: BTreeMap::new(),
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
        if self.asked.len() >= self.tuning.meet.asked && !self.asked.contains_key(&peer) {
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
        self.up = scene.view.up_count();
        let rate = brought(&self.tuning.meet);
        let full = || Bucket::holding(scene.now, rate.burst);
        let bucket = self.brought.entry(*from).or_insert_with(full);
        if !bucket.take_one(scene.now, rate) {
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
        let wait = (way::round_trip(scene, &meet.way) / 2).min(self.tuning.meet.longest_wait);
        self.expect(scene, author, &meet, !meet.asker_dials, scene.now + wait);
        let answer = Meet {
            is_answer: true,
            addrs: own_addrs(scene, from),
            ..meet
        };
        Step::Pass(*from, answer)
    }

    fn handle_answer(&mut self, scene: &Scene<'_>, author: NodeId, meet: &Meet) -> Step {
        let counts = self.tuning.meet.answer_counts;
        let fits = |asked: &&mut Asked| asked.nonce == meet.nonce && scene.now <= asked.at + counts;
        let Some(asked) = self.asked.get_mut(&author).filter(fits) else {
            return Step::Refused("an answer to no rendezvous");
        };
        // It counts once.
        asked.at = Time::ZERO;
        asked.nonce = 0;
        if !scene.links.is_live(&author) {
            self.expect(scene, author, meet, meet.asker_dials, scene.now);
        }
        Step::Nothing
    }

    /// Opens the NAT at that time, and expects the peer, which is at one of the addresses in the message.
    fn expect(&mut self, scene: &Scene<'_>, peer: NodeId, meet: &Meet, first: bool, at: Time) {
        let now = scene.now;
        self.expected.retain(|_, one| now <= one.until);
        let is_full = self.expected.len() >= self.tuning.meet.asked
            || self.later.len() >= self.tuning.meet.asked;
        // A number that is awaited stays its first author's: a relay sees it.
        if is_full || self.expected.contains_key(&meet.nonce) {
            return;
        }
        let addrs = self.opened(scene, meet);
        if addrs.is_empty() {
            return;
        }
        let until = at + self.tuning.meet.answer_counts;
        let hosts = addrs.iter().map(|addr| host_of(addr.ip())).collect();
        let expected = Expected {
            peer,
            first,
            until,
            hosts,
        };
        self.expected.insert(meet.nonce, expected);
        self.later.push((at, Deed::Open(addrs, meet.nonce)));
    }

    /// The addresses in a message to which this node sends: the first of each host, since the author begins with the one that is
    /// in use.
    fn opened(&mut self, scene: &Scene<'_>, meet: &Meet) -> Vec<SocketAddr> {
        let mut of_host: BTreeMap<IpAddr, SocketAddr> = BTreeMap::new();
        for one in &meet.addrs {
            of_host.entry(host_of(one.addr.ip())).or_insert(one.addr);
        }
        let reaches = |ip| scene.strangers.reaches(ip);
        let mut addrs = super::overlay::ways(&meet.addrs, false, scene.own, reaches);
        addrs.retain(|addr| of_host.get(&host_of(addr.ip())) == Some(addr));
        addrs.retain(|addr| scene.strangers.may_open(addr, scene.own));
        addrs.truncate(self.tuning.meet.opened);
        addrs.retain(|addr| self.may_send(scene.now, addr.ip()));
        addrs
    }

    /// A packet with that number came from there. It counts once.
    pub(super) fn heard(&mut self, now: Time, nonce: u64, from: SocketAddr) {
        let Some(expected) = self.expected.remove(&nonce) else {
            return;
        };
        let from = plain(&from);
        // A sender that forges its address must not turn each packet into a dial.
        let is_paid = expected.hosts.contains(&host_of(from.ip()));
        let may_send = is_paid || self.may_send(now, from.ip());
        if now <= expected.until && dialable(&from, false) && may_send {
            let pause = self.tuning.meet.second_dial;
            let at = if expected.first { now } else { now + pause };
            self.later.push((at, Deed::Dial(expected.peer, from)));
        }
    }

    fn may_send(&mut self, now: Time, host: IpAddr) -> bool {
        let (rate, host) = (to_a_host(&self.tuning.meet, self.up), host_of(host));
        let most = self.tuning.meet.hosts;
        if self.hosts.len() >= most && !self.hosts.contains_key(&host) {
            // A rate limiter that is full again says nothing.
            self.hosts
                .retain(|_, bucket| bucket.fill(now, rate) < rate.burst);
            if self.hosts.len() >= most {
                return false;
            }
        }
        let full = || Bucket::holding(now, rate.burst);
        let bucket = self.hosts.entry(host).or_insert_with(full);
        bucket.take_one(now, rate)
    }
}

/// The rate limit of what a neighbour brings.
fn brought(tuning: &MeetTuning) -> Rate {
    Rate {
        burst: tuning.brought_burst,
        per_s: tuning.brought_per_s,
    }
}

/// The rate limit of rendezvous for which this node sends to a host. Beyond `shared_from` nodes, it is the node's share of what all send:
/// a hostile one can ask thousands of nodes to meet it at a victim's address.
fn to_a_host(tuning: &MeetTuning, up: usize) -> Rate {
    let share = tuning.shared_from as f64 / up.max(tuning.shared_from) as f64;
    Rate {
        burst: tuning.host_burst,
        per_s: tuning.host_per_minute / 60.0 * share,
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
