//! Addresses at which this node never met anybody: whether they are dialed, and how often.
//!
//! An address in a record, a refusal or a beacon is a claim. Whoever makes it could name a victim, for as many ids as it likes, and all
//! nodes would dial there. So dials to strangers are paid for by address, whatever ids are said to be there. An address costs the whole
//! network about one Initial a second: like the draws from the candidates, each node's share is that rate divided by the number of nodes
//! that it reaches. A host, beyond this machine, has a larger budget of its own for all its ports. Where several nodes claim one address,
//! the nodes that would dial it take turns (`turns`).
//!
//! A node is *met* at an address when it proves its key on a connection there. From then on dials of that node to that address are free,
//! and so are those of configured addresses. For any other node that is said to be there, the address stays a stranger's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::bucket::{Bucket, Rate};
use crate::membership::Time;
use crate::membership::nets::{first_of, host_of, private_network};
use crate::membership::tuning::Tuning;
use crate::membership::tuning::overlay::Tuning as Tuned;
use crate::record::PublishedAddr;
use crate::wire::{NodeId, plain};

/// The most addresses at which somebody was met that are remembered. The one met longest ago makes room, unless it is configured.
/// Halved: a node with hundreds of guests that come and go pays for dials to earlier ones. Doubled: 200 kB more, where so many came.
const MAX_MET: usize = 4096;
/// The most addresses, and the most hosts, whose budgets are remembered. The one dialed longest ago makes room. Dials are slow: it takes
/// a quarter of an hour to name so many. Halved: a victim gets a new budget twice as often from a node that is led through thousands of
/// addresses. Doubled: 200 kB more, while that lasts.
const MAX_BUDGETS: usize = 4096;
/// The Initials of a dial that nobody answers. Halved: a victim gets two a second. Doubled: a node that was out of reach is dialed half
/// as often.
const DIAL: f64 = 4.0;
/// A wait that is rounded to nothing would be asked for again and again, without an end.
const LEAST_WAIT: Duration = Duration::from_millis(1);
/// Services of the system are below this port. No stranger is dialed there.
const FIRST_UNPRIVILEGED: u16 = 1024;

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::membership) struct Strangers {
    tuning: Arc<Tuning>,
    /// Who was met where, and when.
    met: BTreeMap<SocketAddr, (NodeId, Time)>,
    configured: BTreeSet<SocketAddr>,
    addrs: Budgets<SocketAddr>,
    hosts: Budgets<IpAddr>,
}

/// What an address is to a node that is to be dialed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It costs nothing.
    Free,
    /// It is paid for.
    Paid,
    /// It is not dialed.
    Barred,
}

impl Strangers {
    pub(in crate::membership) fn new(configured: &[SocketAddr], tuning: Arc<Tuning>) -> Self {
        Self {
            tuning,
            met: BTreeMap::new(),
            configured: configured.iter().map(plain).collect(),
            addrs: Budgets::default(),
            hosts: Budgets::default(),
        }
    }

    /// These addresses are configured too: they stand behind names.
    pub(super) fn configure(&mut self, addrs: &[SocketAddr]) {
        self.configured.extend(addrs.iter().map(plain));
    }

    /// Whether the settings name that address.
    pub(super) fn is_configured(&self, addr: &SocketAddr) -> bool {
        self.configured.contains(&plain(addr))
    }

    /// A node proved its key at that address.
    pub(super) fn meet(&mut self, now: Time, addr: SocketAddr, id: NodeId) {
        let addr = plain(&addr);
        self.met.insert(addr, (id, now));
        self.addrs.0.remove(&addr);
        if self.met.len() > MAX_MET {
            let others = self.met.iter();
            let others = others.filter(|(addr, _)| !self.configured.contains(addr));
            let oldest = others.min_by_key(|(_, (_, at))| *at).map(|(addr, _)| *addr);
            oldest.map(|oldest| self.met.remove(&oldest));
        }
    }

    /// Who was last met at that address.
    #[cfg(test)]
    pub(super) fn who(&self, addr: &SocketAddr) -> Option<NodeId> {
        self.met.get(&plain(addr)).map(|(id, _)| *id)
    }

    /// Whether somebody was met in the private network of that address: then it is none that only others have.
    pub(in crate::membership) fn reaches(&self, ip: IpAddr) -> bool {
        let Some(network) = private_network(ip) else {
            return false;
        };
        let first = SocketAddr::new(first_of(ip), 0);
        let mut behind = self.met.range(first..);
        behind
            .next()
            .is_some_and(|(addr, _)| private_network(addr.ip()) == Some(network))
    }

    fn standing(&self, addr: &SocketAddr, id: Option<NodeId>, ports: &Ports) -> Standing {
        let met = self.met.get(addr).map(|(id, _)| *id);
        let is_configured = self.configured.contains(addr);
        let is_free = match id {
            Some(id) => met == Some(id),
            None => is_configured || met.is_some(),
        };
        if is_free {
            return Standing::Free;
        }
        let is_advertised = || {
            let is_there = |id| self.is_met_at_host(addr, id);
            ports.advertised.contains(addr) && id.is_some_and(is_there)
        };
        let is_known = || {
            let is_own = ports.own.contains(&addr.port());
            is_configured || is_own || met.is_some() || is_advertised()
        };
        if addr.port() < FIRST_UNPRIVILEGED && !is_known() {
            Standing::Barred
        } else {
            Standing::Paid
        }
    }

    /// Whether that node was met at the same IP address, at whatever port.
    fn is_met_at_host(&self, addr: &SocketAddr, id: NodeId) -> bool {
        let at = |port| SocketAddr::new(addr.ip(), port);
        let mut all = self.met.range(at(0)..=at(u16::MAX));
        all.any(|(_, (met, _))| *met == id)
    }

    /// Whether that node is never dialed at that address.
    pub(super) fn is_barred(&self, addr: &SocketAddr, id: Option<NodeId>, ports: &Ports) -> bool {
        self.standing(&plain(addr), id, ports) == Standing::Barred
    }

    /// Whether a node that publishes `own` may send the small packets of a rendezvous there.
    pub(in crate::membership) fn may_open(&self, addr: &SocketAddr, own: &[PublishedAddr]) -> bool {
        !self.is_barred(addr, None, &Ports::of(own))
    }

    /// Until when that node is not dialed at that address, as the budget for it is spent. `up` nodes share the budget.
    pub(super) fn rests_until(
        &self,
        now: Time,
        addr: &SocketAddr,
        id: Option<NodeId>,
        (up, ports): (usize, &Ports),
    ) -> Option<Time> {
        let addr = plain(addr);
        match self.standing(&addr, id, ports) {
            Standing::Free => None,
            Standing::Barred => Some(now + self.tuning.overlay.longest_retry),
            Standing::Paid => {
                let tuned = &self.tuning.overlay;
                let at = self.addrs.affords_at(now, &addr, to_an_addr(tuned, up));
                let host = host_of(addr.ip());
                let counts = !host.is_loopback();
                let host_at =
                    counts.then(|| self.hosts.affords_at(now, &host, to_a_host(tuned, up)));
                at.max(host_at.flatten())
            }
        }
    }

    /// Whether a dial of that node there is paid for, and there was none yet.
    pub(super) fn is_new(&self, addr: &SocketAddr, id: NodeId, ports: &Ports) -> bool {
        let addr = plain(addr);
        let is_paid = self.standing(&addr, Some(id), ports) == Standing::Paid;
        is_paid && !self.addrs.0.contains_key(&addr)
    }

    /// Several nodes claim that address: this node's first dial comes after those of `before` others, of `up` nodes.
    pub(super) fn wait_turn(&mut self, now: Time, addr: &SocketAddr, before: usize, up: usize) {
        let share = 1.0 - before as f64 / up.max(1) as f64;
        self.addrs.begin(now, plain(addr), DIAL * share);
    }

    /// A dial of that node to that address begins.
    pub(super) fn pay(
        &mut self,
        now: Time,
        addr: &SocketAddr,
        id: Option<NodeId>,
        (up, ports): (usize, &Ports),
    ) {
        let addr = plain(addr);
        if self.standing(&addr, id, ports) != Standing::Free {
            let tuned = &self.tuning.overlay;
            self.addrs.take(now, addr, to_an_addr(tuned, up), DIAL);
            let host = host_of(addr.ip());
            if !host.is_loopback() {
                self.hosts.take(now, host, to_a_host(tuned, up), DIAL);
            }
        }
    }

    /// A dial to that address ended after so many Initials.
    pub(super) fn refund(&mut self, addr: &SocketAddr, sent: f64) {
        let addr = plain(addr);
        self.addrs.give_back(&addr, DIAL - sent);
        self.hosts.give_back(&host_of(addr.ip()), DIAL - sent);
    }
}

/// What is known of a port below [`FIRST_UNPRIVILEGED`], beside who was met there.
#[derive(Debug, Default)]
pub(super) struct Ports {
    /// Those on which this node listens: where all nodes of a network use port 443, a stranger may be there too.
    pub(super) own: BTreeSet<u16>,
    /// The addresses that the node that is dialed advertises.
    pub(super) advertised: BTreeSet<SocketAddr>,
}

impl Ports {
    pub(super) fn of(own: &[PublishedAddr]) -> Self {
        Self {
            own: own.iter().map(|one| one.addr.port()).collect(),
            advertised: BTreeSet::new(),
        }
    }
}

/// The budgets of addresses or hosts, and when each was last used.
#[derive(Debug)]
struct Budgets<K>(BTreeMap<K, (Bucket, Time)>);

impl<K> Default for Budgets<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Copy> Budgets<K> {
    /// From when on a dial is within the budget. `None`: now.
    fn affords_at(&self, now: Time, key: &K, rate: Rate) -> Option<Time> {
        let (mut bucket, _) = *self.0.get(key)?;
        let missing = DIAL - bucket.fill(now, rate);
        let wait = Duration::from_secs_f64(missing.max(0.0) / rate.per_s);
        (missing > 0.0).then(|| now + wait.max(LEAST_WAIT))
    }

    fn take(&mut self, now: Time, key: K, rate: Rate, count: f64) {
        if !self.0.contains_key(&key) {
            self.begin(now, key, rate.burst);
        }
        if let Some((bucket, at)) = self.0.get_mut(&key) {
            bucket.fill(now, rate);
            bucket.spend(count);
            *at = now;
        }
    }

    /// Remembers a budget, of which so much is left.
    fn begin(&mut self, now: Time, key: K, left: f64) {
        self.0.insert(key, (Bucket::holding(now, left), now));
        if self.0.len() > MAX_BUDGETS {
            let oldest = self.0.iter().min_by_key(|(_, (_, at))| *at);
            oldest.map(|(key, _)| *key).map(|key| self.0.remove(&key));
        }
    }

    /// What is given back beyond the burst is lost when the bucket is filled next.
    fn give_back(&mut self, key: &K, count: f64) {
        if let Some((bucket, _)) = self.0.get_mut(key) {
            bucket.spend(-count);
        }
    }
}

/// This node's share of what the network sends to one address.
fn to_an_addr(tuned: &Tuned, up: usize) -> Rate {
    Rate {
        burst: tuned.stranger_burst,
        per_s: tuned.stranger_per_s / up.max(1) as f64,
    }
}

/// Its share of what the network sends to one host.
fn to_a_host(tuned: &Tuned, up: usize) -> Rate {
    Rate {
        burst: tuned.host_burst,
        per_s: tuned.host_per_s / up.max(1) as f64,
    }
}

#[cfg(test)]
mod tests;
