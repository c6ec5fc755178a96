//! Begins dials, and handles their results.

use std::net::SocketAddr;

use rand_chacha::ChaCha8Rng;

use super::candidates::Share;
use super::dial_table::Attempt;
use super::strangers::Ports;
use super::{Overlay, Seen};
use crate::membership::Time;
use crate::membership::interface::{Action, Candidate, DialError, DialId, Event, Obstacle};
use crate::membership::nets::private_network;
use crate::membership::out::Out;
use crate::membership::view::View;
use crate::record::AddrKind;
use crate::wire::{CloseCode, NodeId};

/// The most addresses of a node that one dial tries. The last one starts after a second and a quarter, before a dial to a dead
/// address ends.
const MAX_RACED: usize = 6;

/// An address, and others to be tried as well.
pub(super) type Ways = (SocketAddr, Vec<SocketAddr>);

/// Whether a node is linked or up, and need not be looked for. Whether to link with a node that is up is the plan's decision.
fn is_found(seen: &Seen<'_>, id: Option<NodeId>, addr: SocketAddr) -> bool {
    let mut live = seen.links.iter().filter(|link| link.is_live());
    let linked = live.any(|link| link.remote() == addr || Some(link.peer()) == id);
    let up = || match id {
        Some(id) => seen.view.is_up(&id),
        None => seen.view.records_up().any(|one| one.publishes(addr)),
    };
    linked || up()
}

impl Overlay {
    /// The targets that the settings give by name have these addresses now. New ones are dialed soon, as at a start: a node
    /// that has names alone has waited for them.
    pub(in crate::membership) fn set_targets(&mut self, seen: &Seen<'_>, addrs: &[SocketAddr]) {
        self.strangers.configure(addrs);
        let new = self.candidates.set_named(addrs);
        for addr in new.into_iter().take(self.tuning.overlay.first_targets) {
            if !self.dials.includes_addr(addr) && !is_found(seen, None, addr) {
                self.dials.enqueue(Candidate { id: None, addr });
            }
        }
    }

    /// Whether the settings name that address, or a name of theirs stands for it.
    pub(in crate::membership) fn is_target(&self, addr: &SocketAddr) -> bool {
        self.strangers.is_configured(addr)
    }

    /// A node was found at this address. It is dialed if nobody else found it, and unless a dial failed recently.
    pub(in crate::membership) fn found(&mut self, seen: &Seen<'_>, id: NodeId, addr: SocketAddr) {
        let is_sought = id != self.me
            && !is_found(seen, Some(id), addr)
            && !self.dials.includes(&id)
            && self.dials.rests_until(seen.now, &id).is_none();
        if is_sought {
            let id = Some(id);
            self.dials.enqueue(Candidate { id, addr });
        }
    }

    /// A dial became a connection to `remote`, or ended there. Returns the address dialed.
    pub(in crate::membership) fn dial_succeeded(
        &mut self,
        dial: DialId,
        remote: SocketAddr,
    ) -> Option<SocketAddr> {
        let addr = self.dials.succeeded(dial, remote)?;
        self.strangers.refund(&addr, 0.0);
        Some(addr)
    }

    /// A node proved its key on a connection with that address, whoever dialed.
    pub(in crate::membership) fn met(&mut self, now: Time, addr: SocketAddr, id: NodeId) {
        self.rests.worked(&addr, &id);
        self.strangers.meet(now, addr, id);
    }

    /// One of the addresses of a dial failed, and the dial goes on with others.
    pub(in crate::membership) fn handle_addr_failed(
        &mut self,
        now: Time,
        dial: DialId,
        addr: SocketAddr,
        why: &DialError,
    ) {
        let who = match why {
            DialError::Myself => None,
            DialError::OtherKey(who) => Some(*who),
            _ => return,
        };
        if self.dials.vouches_for(dial, addr) {
            self.led_to(now, addr, who);
        }
    }

    /// A dial led to another node than expected, or to this one.
    fn led_to(&mut self, now: Time, addr: SocketAddr, who: Option<NodeId>) {
        self.rests.led_astray(now, addr, who);
        if let Some(who) = who {
            self.strangers.meet(now, addr, who);
        }
    }

    pub(super) fn draw(&mut self, seen: &Seen<'_>, rng: &mut ChaCha8Rng) {
        let (dials, up) = (&self.dials, seen.view.up_count());
        let ports = self.ports(None, seen.view);
        let missing = |id: Option<NodeId>, addr: SocketAddr| {
            let rests = self.rests.until(seen.now, &addr, id);
            let rests = rests.or_else(|| {
                let around = (up, &ports);
                self.strangers.rests_until(seen.now, &addr, id, around)
            });
            let barred = id.is_some_and(|id| seen.is_barred(&id));
            rests.is_none() && !barred && !dials.includes_addr(addr) && !is_found(seen, id, addr)
        };
        let torn = self.torn_turn(seen.now, up);
        // A node that is alone tries candidates as fast as its slots allow: any of them may lead to the network.
        let alone = torn.is_none() && up <= 1 && self.candidates.has_fresh(missing);
        let alone = alone.then(|| self.shortest_turn());
        let turn_s = torn.or(alone);
        self.candidates.sweep(turn_s, torn.is_some());
        let share = turn_s.map(|_| {
            let up = seen.view.records_up();
            Share::of(self.me, up.map(|record| record.id()))
        });
        for candidate in self.candidates.poll(seen.now, up, rng, share, missing) {
            self.dials.enqueue(candidate);
        }
    }

    /// A rendezvous said where a node is, and that it expects us: dials it there. A dial under way gets through as well.
    pub(in crate::membership) fn dial_met(&mut self, id: NodeId, addrs: Vec<SocketAddr>) {
        let Some(&addr) = addrs.first() else { return };
        // A dial to another address may be in vain: behind some NATs the peer comes from a port that it does not publish.
        if !self.dials.leads_to(&id, addr) {
            self.met.insert(id, addrs);
            let candidate = Candidate { id: Some(id), addr };
            self.dials.enqueue_first(candidate);
        }
    }

    /// This node sends packets there, though they are no dial.
    pub(in crate::membership) fn note_sent(&mut self, now: Time, addrs: &[SocketAddr]) {
        for addr in addrs {
            self.contacts.note(now, addr);
        }
    }

    /// The nodes that have not answered a dial in time, each of them once a dial. A rendezvous may reach them.
    pub(in crate::membership) fn take_unanswered(&mut self, now: Time) -> Vec<NodeId> {
        self.dials.take_unanswered(now)
    }

    /// What is known of ports that belong to services of the system, for a dial to that node's addresses.
    pub(super) fn ports(&self, id: Option<NodeId>, view: &View) -> Ports {
        let record = id.and_then(|id| view.record(&id));
        let advertised = record.iter().flat_map(|record| &record.body().addrs);
        let advertised = advertised.filter(|one| one.kind == AddrKind::Advertised);
        Ports {
            advertised: advertised.map(|one| one.addr).collect(),
            ..Ports::of(&self.own_addrs)
        }
    }

    /// Where to dial a candidate: the best address, and others to try as well. While all of them rest: until when, if the
    /// candidate is a node.
    pub(super) fn ways_of(
        &mut self,
        candidate: &Candidate,
        seen: &Seen<'_>,
    ) -> Result<Ways, Option<Time>> {
        let (now, id) = (seen.now, candidate.id);
        let met = id.and_then(|id| self.met.remove(&id));
        let is_met = met.is_some();
        let mut all = match (id, met) {
            (_, Some(met)) => met,
            (Some(id), None) => self.addresses(&id, seen.view),
            (None, None) => Vec::new(),
        };
        if !all.contains(&candidate.addr) {
            all.insert(0, candidate.addr);
        }
        let (ports, up) = (self.ports(id, seen.view), seen.view.up_count());
        let mut until: Option<Time> = None;
        all.retain(|addr| {
            let rests = self.rests.until(now, addr, id);
            let rests = rests.or_else(|| {
                if is_met {
                    // A packet came from there, and what a rendezvous may send is limited by host.
                    let is_barred = self.strangers.is_barred(addr, id, &ports);
                    is_barred.then_some(now)
                } else {
                    self.strangers.rests_until(now, addr, id, (up, &ports))
                }
            });
            until = rests
                .map(|at| until.map_or(at, |until| until.min(at)))
                .or(until);
            rests.is_none()
        });
        all.truncate(MAX_RACED);
        if all.is_empty() {
            return Err(until.filter(|_| id.is_some()));
        }
        Ok((all.remove(0), all))
    }

    /// Starts the queued dials. At the cap, only those begin that may connect what is not connected; the plan will ask for the
    /// others again.
    pub(super) fn start_dials(&mut self, seen: &Seen<'_>, out: &mut Out) {
        let now = seen.now;
        while let Some((candidate, hops)) = self.dials.take_next(self.config.dials_at_once) {
            if !self.may_dial(candidate.id.as_ref(), seen) {
                continue;
            }
            let linked = candidate.id.and_then(|id| seen.links.get(&id));
            let met = candidate.id.is_some_and(|id| self.met.contains_key(&id));
            if linked.is_some_and(|link| !link.is_parked()) {
                continue;
            }
            self.take_turns(seen, &candidate);
            let (addr, others) = match self.ways_of(&candidate, seen) {
                Ok(ways) => ways,
                Err(until) => {
                    // The plan asks for others meanwhile.
                    if let (Some(id), Some(until)) = (candidate.id, until) {
                        self.dials.pause(id, until);
                        out.refrain("dial_rests");
                        self.plan_soon(now, seen.view.up_count());
                    }
                    continue;
                }
            };
            let candidate = Candidate { addr, ..candidate };
            if self.dials.candidates().any(|one| one.addr == addr) {
                continue;
            }
            let eager = met || now < self.tuning.overlay.starting;
            let attempt = Attempt {
                candidate,
                others,
                hops,
                replaces: linked.is_some(),
                met,
            };
            self.begin(seen, attempt, eager, out);
        }
    }

    fn begin(&mut self, seen: &Seen<'_>, attempt: Attempt, eager: bool, out: &mut Out) {
        let now = seen.now;
        let (candidate, replaces) = (attempt.candidate, attempt.replaces);
        let others = attempt.others.clone();
        let (ports, up) = (self.ports(candidate.id, seen.view), seen.view.up_count());
        for addr in others.iter().chain([&candidate.addr]) {
            self.contacts.note(now, addr);
            if !attempt.met {
                self.strangers.pay(now, addr, candidate.id, (up, &ports));
            }
        }
        let (dial, slow_at) = self.dials.begin(now, attempt);
        if candidate.id.is_some() {
            self.plan_by(slow_at);
        }
        out.act(Action::Dial {
            dial,
            addr: candidate.addr,
            others,
            expect: candidate.id,
            replaces,
            eager,
        });
    }

    /// Dials a neighbour at once, to replace the connection of its link, unless such a dial failed a moment ago. Such dials take
    /// no slots, and there are no more of them than links.
    pub(in crate::membership) fn replace(&mut self, seen: &Seen<'_>, peer: NodeId, out: &mut Out) {
        let is_dialed = self.dials.candidates().any(|one| one.id == Some(peer));
        let rests = self.dials.rests_until(seen.now, &peer).is_some();
        let Some(link) = seen.links.get(&peer).filter(|_| !is_dialed && !rests) else {
            return;
        };
        // Its published addresses come too: the peer may have dialed us through a NAT, and then it can't be dialed where it is. If
        // another port of that host is known, the peer may have dialed from one on which it does not listen: that comes last.
        let remote = link.remote();
        let known = self.addresses(&peer, seen.view);
        let is_odd = !link.is_dialed() && !known.contains(&remote);
        let listens = known
            .iter()
            .find(|addr| is_odd && addr.ip().to_canonical() == remote.ip().to_canonical());
        let candidate = Candidate {
            id: Some(peer),
            addr: listens.copied().unwrap_or(remote),
        };
        if let Ok((addr, mut others)) = self.ways_of(&candidate, seen) {
            let rests = self.rests.until(seen.now, &remote, Some(peer)).is_some();
            if addr != remote && !others.contains(&remote) && !rests {
                others.truncate(MAX_RACED - 2);
                others.push(remote);
            }
            let attempt = Attempt {
                candidate: Candidate { addr, ..candidate },
                others,
                hops: 0,
                replaces: true,
                met: false,
            };
            let eager = seen.now < self.tuning.overlay.starting;
            self.begin(seen, attempt, eager, out);
        }
    }

    /// A dial failed.
    pub(in crate::membership) fn handle_dial_failed(
        &mut self,
        seen: &Seen<'_>,
        dial: DialId,
        why: &DialError,
        out: &mut Out,
    ) {
        let Some(attempt) = self.dials.failed(dial) else {
            return;
        };
        let candidate = attempt.candidate;
        let (now, view) = (seen.now, seen.view);
        self.plan_soon(now, view.up_count());
        match why {
            DialError::Myself => {
                self.led_astray(now, &attempt, None);
                if self.candidates.is_own(candidate.addr) {
                    out.tell(Event::OwnTarget(candidate.addr));
                }
                return;
            }
            DialError::Refused(Some(CloseCode::Full), alternatives) => {
                // A node with a link has the whole network to choose from.
                if seen.links.degree() == 0 {
                    let named = self.within_reach(candidate.addr, alternatives);
                    self.dials.follow(now, &attempt, &named);
                }
            }
            DialError::Refused(Some(CloseCode::IdentityInUse), addrs) => {
                // The other run is there, and does not know yet that it has a twin.
                if seen.links.degree() == 0 {
                    let named = self.within_reach(candidate.addr, addrs);
                    self.dials.follow(now, &attempt, &named);
                }
                out.tell(Event::Twin {
                    run_id: 0,
                    remote: Some(candidate.addr),
                    silenced: false,
                });
            }
            DialError::OtherKey(_) if attempt.met => {}
            DialError::OtherKey(who) => self.led_astray(now, &attempt, Some(*who)),
            DialError::Refused(..)
            | DialError::Timeout
            | DialError::Unreachable
            | DialError::Blocked(_)
            | DialError::Failed(_) => {}
        }
        self.settle(now, &attempt, why);
        let other_key = matches!(why, DialError::OtherKey(_));
        let is_linked = |id| seen.links.get(&id).is_some_and(|link| link.is_live());
        // The peer's own dial may have won. Who brought a rendezvous may have lied about the address.
        let has_won = !attempt.replaces && candidate.id.is_some_and(is_linked);
        let is_moot = has_won || (attempt.met && other_key);
        // A dial that the system blocks fails at once. If it did not count, a node that can't reach hundreds of others would dial
        // twenty times a second.
        let in_vain = matches!(
            why,
            DialError::Timeout | DialError::Unreachable | DialError::Blocked(_)
        );
        if !is_moot {
            self.note_failure(now, candidate, (other_key, in_vain), view);
        }
        out.tell(Event::DialFailed(candidate, why.clone()));
    }

    /// Those of the addresses that a node named which are not in a private network foreign to this one. Its own network is none: it
    /// answered from there.
    fn within_reach(&self, by: SocketAddr, named: &[SocketAddr]) -> Vec<SocketAddr> {
        let network = |addr: &SocketAddr| private_network(addr.ip());
        let own = |addr: &SocketAddr| {
            self.own_addrs
                .iter()
                .any(|one| network(&one.addr) == network(addr))
        };
        let is_near = |addr: &SocketAddr| {
            network(addr).is_none()
                || network(addr) == network(&by)
                || own(addr)
                || self.strangers.reaches(addr.ip())
        };
        named.iter().copied().filter(is_near).collect()
    }

    /// A dial led to the wrong node. Where it had several addresses, it was told of each.
    fn led_astray(&mut self, now: Time, attempt: &Attempt, who: Option<NodeId>) {
        if attempt.others.is_empty() {
            self.led_to(now, attempt.candidate.addr, who);
        }
    }

    /// A dial failed: the budgets of its addresses get back what was not sent. Of several addresses, the cause is that of one.
    fn settle(&mut self, now: Time, attempt: &Attempt, why: &DialError) {
        if attempt.met {
            return;
        }
        let addrs = attempt.others.iter().chain([&attempt.candidate.addr]);
        match why {
            // All of them are out of reach, and nothing left this machine.
            DialError::Blocked(Obstacle::NoRoute | Obstacle::Source | Obstacle::Family) => {
                for addr in addrs {
                    self.strangers.refund(addr, 0.0);
                }
            }
            DialError::Unreachable if attempt.others.is_empty() => {
                self.strangers.refund(&attempt.candidate.addr, 1.0);
            }
            // The expected node proved its key, and then had no room, for example.
            DialError::Refused(Some(_), _) if attempt.others.is_empty() => {
                if let Some(id) = attempt.candidate.id {
                    self.met(now, attempt.candidate.addr, id);
                }
            }
            _ => {}
        }
    }

    fn note_failure(
        &mut self,
        now: Time,
        candidate: Candidate,
        (other_key, in_vain): (bool, bool),
        view: &View,
    ) {
        if let Some(id) = candidate.id {
            if in_vain && self.is_unreached(&id, view) {
                self.luck.failed();
            }
            self.keep(id, view);
        }
        self.candidates.failed(candidate, now, other_key);
        if let Some(id) = candidate.id {
            self.dials.back_off(now, id);
        }
    }
}
