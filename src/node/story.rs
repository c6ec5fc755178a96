//! The log: turns the core's events into lines, at a bounded rate.
//!
//! [`EventName`] lists the lines and their fields.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::causes::explain;
use crate::bucket::{Bucket, Rate};
use crate::chronicle::News;
use crate::events::EventName;
use crate::membership::{Core, DialError, Event};
use crate::record::Direction;
use crate::settings::{HostPort, Settings};
use crate::transport::interfaces::Interfaces;
use crate::transport::{Refused, Rejected};
use crate::wire::NodeId;

/// The least time between two lines of one kind about the faults of others. Without it, a peer could make this node write a
/// line with every connection.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// The lines about nodes that count on the word of another: a hostile member may invent such nodes all the time. The first hundred are
/// told, since most such nodes are newcomers; then ten a minute. Half as many hide newcomers of a busy network; twice as many let a member
/// write twice as much into the log.
const CLAIMED_LINES: Rate = Rate {
    burst: 100.0,
    per_s: 1.0 / 6.0,
};
/// The most addresses whose last failure is remembered. The memory is cleared at the limit, which costs repeated lines.
const MAX_UNREACHED: usize = 1024;

/// Writes the log, and remembers what it has written recently.
#[derive(Debug)]
pub(super) struct Story {
    /// The address that this node's socket is bound to.
    listen: SocketAddr,
    start: Instant,
    gates: BTreeMap<&'static str, Gate>,
    /// The last failure of each address that can't be reached. The same failure is logged once.
    unreached: BTreeMap<SocketAddr, DialError>,
    /// The counter of the last refusal of each address that this node dialed. The same refusal is logged once.
    refused: BTreeMap<SocketAddr, &'static str>,
    /// The last node that was refused, and the words for it.
    refusal: Option<(Option<NodeId>, String)>,
    /// Why nodes go; empty if the core doesn't tell.
    news: News,
    /// For lines about nodes that count on the word of another, and how many were suppressed since the last one.
    claimed: Bucket,
    claimed_suppressed: u64,
}

#[derive(Debug)]
struct Gate {
    last: Instant,
    suppressed: u64,
}

/// Logs the first lines of a run.
pub(super) fn started(settings: &Settings, id: &NodeId, bound: SocketAddr, warning: Option<&str>) {
    if let Some(warning) = warning {
        tracing::warn!(
            cause = warning,
            action = "starting without remembered addresses",
            "{}",
            EventName::MemoryReset
        );
    }
    for own in &settings.skipped_own {
        target_skipped(*own);
    }
    if !settings.impair.is_empty() {
        tracing::warn!(
            impair = %settings.impair,
            setting = "network.controller.impair",
            "{}",
            EventName::SendingImpaired
        );
    }
    tracing::info!(
        label = settings.label.as_str(),
        id = %id.short(),
        listen = %bound,
        network = settings.network.as_str(),
        targets = settings.targets.len() + settings.named_targets.len(),
        "{}",
        EventName::NodeStarted
    );
}

/// Logs that this node was asked to leave.
pub(super) fn stopping() {
    tracing::info!("{}", EventName::NodeStopping);
}

/// Logs the last line of a run.
pub(super) fn stopped() {
    tracing::info!("{}", EventName::NodeStopped);
}

/// Logs that the node waits for the address to listen on.
pub(super) fn waiting(listen: SocketAddr, interfaces: &Interfaces) {
    let action = "the node starts as soon as the address is there";
    let name = EventName::WaitingForAddress;
    if let Some(on) = interfaces.tentative_on(listen.ip()) {
        let cause = format!("duplicate address detection on {on} is under way");
        tracing::info!(%listen, cause, action, "{name}");
    } else {
        let cause = "no interface of this machine has the address";
        let action = format!("{action}; if it is wrong, change network.controller.listen.addr");
        tracing::warn!(%listen, cause, %interfaces, action, "{name}");
    }
}

/// Logs a change of the addresses of this node's interfaces.
pub(super) fn own_addrs(before: &[SocketAddr], now: &[SocketAddr]) {
    let words = |these: &[SocketAddr], others: &[SocketAddr]| {
        let missing = these.iter().filter(|addr| !others.contains(addr));
        let missing: Vec<_> = missing.map(ToString::to_string).collect();
        (!missing.is_empty()).then(|| missing.join(" "))
    };
    let (lost, new) = (words(before, now), words(now, before));
    if lost.is_some() || new.is_some() {
        let name = EventName::OwnAddressesChanged;
        tracing::info!(lost, new, addrs = now.len(), "{name}");
    }
}

/// Logs that a name has no address at present. `first`: the cause is another one than before.
pub(super) fn name_unresolved(at: &HostPort, place: &str, cause: &str, first: bool) {
    let name = EventName::NameUnresolved;
    if first {
        tracing::warn!(name = %at, place, cause, action = "retrying", "{name}");
    } else {
        tracing::debug!(name = %at, place, cause, "{name}");
    }
}

/// Logs that a name has addresses, after failures.
pub(super) fn name_resolved(at: &HostPort, place: &str, addrs: usize) {
    tracing::info!(name = %at, place, addrs, "{}", EventName::NameResolved);
}

fn target_skipped(target: SocketAddr) {
    tracing::info!(addr = %target, cause = "it is this node's own address", "{}", EventName::TargetSkipped);
}

fn restored(named: &Named) {
    tracing::info!(peer = named.label, id = %named.id, "{}", EventName::LinkRestored);
}

fn suspected(named: &Named) {
    tracing::debug!(peer = named.label, id = %named.id, action = "asking its neighbours to probe", "{}", EventName::LinkSuspected);
}

/// A node's label and short id.
struct Named {
    label: String,
    id: String,
}

impl Named {
    fn of(core: &Core, id: &NodeId) -> Self {
        Self {
            label: core
                .label(id)
                .map_or_else(|| "?".to_owned(), |label| label.to_string()),
            id: id.short(),
        }
    }
}

impl Story {
    pub(super) fn new(listen: SocketAddr, start: Instant) -> Self {
        Self {
            listen,
            start,
            gates: BTreeMap::new(),
            unreached: BTreeMap::new(),
            refused: BTreeMap::new(),
            refusal: None,
            news: News::default(),
            claimed: Bucket::holding(Duration::ZERO, CLAIMED_LINES.burst),
            claimed_suppressed: 0,
        }
    }

    /// Decides whether a line of this kind may be written now. Returns the number of lines suppressed since the last one.
    fn pass(&mut self, now: Instant, what: &'static str) -> Option<u64> {
        let Some(gate) = self.gates.get_mut(what) else {
            self.gates.insert(
                what,
                Gate {
                    last: now,
                    suppressed: 0,
                },
            );
            return Some(0);
        };
        if now.duration_since(gate.last) < LINE_INTERVAL {
            gate.suppressed += 1;
            return None;
        }
        gate.last = now;
        Some(std::mem::take(&mut gate.suppressed))
    }

    /// Whether a line about that node may be written: of nodes that count on the word of another, which a member may have invented, only
    /// some are told.
    fn tells_of(&mut self, now: Instant, core: &Core, id: &NodeId) -> bool {
        let since = now.duration_since(self.start);
        let tells = core.counts_by_itself(id) || self.claimed.take_one(since, CLAIMED_LINES);
        self.claimed_suppressed += u64::from(!tells);
        tells
    }

    /// How many such lines were suppressed since the last one about a node.
    fn take_suppressed(&mut self) -> Option<u64> {
        let suppressed = std::mem::take(&mut self.claimed_suppressed);
        (suppressed > 0).then_some(suppressed)
    }

    /// Logs a connection that was rejected before the other end's Hello.
    pub(super) fn rejected(&mut self, now: Instant, rejected: &Rejected) {
        let Rejected {
            remote,
            counter,
            cause,
            refused,
        } = rejected;
        if let Some(refused) = refused {
            self.refused(now, rejected, refused);
        } else if let Some(suppressed) = self.pass(now, counter) {
            tracing::warn!(addr = %remote, counter, cause, suppressed, "{}", EventName::ConnectionRejected);
        }
    }

    /// The last node that was refused and has not been admitted since.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.as_ref().map(|(_, words)| words.clone())
    }

    /// Logs a node that may not be a member. One that this node dials again and again is a line once, as any other failed dial.
    fn refused(&mut self, now: Instant, rejected: &Rejected, refused: &Refused) {
        let Rejected {
            remote,
            counter,
            cause,
            ..
        } = rejected;
        let name = EventName::JoinRefused;
        let id = refused.peer.map(|peer| peer.to_string());
        let dialed_by = if refused.dialed { "us" } else { "them" };
        if refused.dialed && self.refused.get(remote) == Some(counter) {
            tracing::debug!(addr = %remote, id, dialed_by, counter, cause, "{name}");
            return;
        }
        // The two ends have gates of their own: a stranger must not hide that a target of this node is refused.
        let gate = if refused.dialed { "refused" } else { counter };
        let Some(suppressed) = self.pass(now, gate) else {
            return;
        };
        if refused.dialed {
            if self.refused.len() >= MAX_UNREACHED {
                self.refused.clear();
            }
            self.refused.insert(*remote, counter);
        }
        let action = &refused.remedy;
        let who = id.as_deref().unwrap_or("a node");
        let words = format!("join refused: {who} at {remote}: {cause}; {action}");
        self.refusal = Some((refused.peer, words));
        tracing::warn!(addr = %remote, id, dialed_by, counter, cause, action, suppressed, "{name}");
    }

    /// Logs that a beacon made this node dial another one.
    pub(super) fn found(&mut self, now: Instant, id: &NodeId, addr: SocketAddr) {
        if let Some(suppressed) = self.pass(now, "found") {
            tracing::info!(id = %id.short(), %addr, suppressed, action = "dialing", "{}", EventName::NodeFound);
        }
    }

    /// Logs one event of the core.
    pub(super) fn tell(&mut self, now: Instant, core: &Core, event: &Event) {
        match event {
            Event::Linked {
                peer,
                remote,
                direction,
                replaced,
            } => {
                self.unreached.remove(remote);
                self.refused.remove(remote);
                self.refusal.take_if(|(refused, _)| *refused == Some(*peer));
                linked(&Named::of(core, peer), *remote, *direction, *replaced);
            }
            Event::Unlinked { peer, why, calm } => unlinked(&Named::of(core, peer), why, *calm),
            Event::Restored(peer) => restored(&Named::of(core, peer)),
            Event::Suspected(peer) => suspected(&Named::of(core, peer)),
            Event::Up(id) | Event::Unreachable(id) if !self.tells_of(now, core, id) => {}
            Event::Up(id) => {
                let (node, nodes) = (Named::of(core, id), core.up_count());
                let suppressed = self.take_suppressed();
                tracing::info!(node = node.label, id = %node.id, nodes, suppressed, "{}", EventName::NodeUp);
            }
            Event::Unreachable(id) => {
                let (node, nodes) = (Named::of(core, id), core.up_count());
                let [noticed_by, told_by] = self.origin(core, id);
                let suppressed = self.take_suppressed();
                tracing::warn!(node = node.label, id = %node.id, nodes, noticed_by, told_by, suppressed, "{}", EventName::NodeUnreachable);
            }
            Event::Left(id) => {
                let (node, nodes) = (Named::of(core, id), core.up_count());
                let [_, told_by] = self.origin(core, id);
                tracing::info!(node = node.label, id = %node.id, nodes, told_by, "{}", EventName::NodeLeft);
            }
            Event::Removed(id, unfit) => {
                let (node, nodes) = (Named::of(core, id), core.up_count());
                tracing::warn!(node = node.label, id = %node.id, nodes, cause = %unfit, "{}", EventName::NodeRemoved);
            }
            Event::Revocations(number, from) => {
                let revoked = core
                    .revocations()
                    .map_or(0, |newest| newest.list().ids.len());
                let told_by = from.map(|from| Named::of(core, &from).label);
                tracing::info!(number, revoked, told_by, "{}", EventName::RevocationsHeard);
            }
            Event::Links(news) => {
                let at_ms = i64::try_from(now.duration_since(self.start).as_millis());
                self.news.hear(at_ms.unwrap_or(i64::MAX), (**news).clone());
            }
            // Whoever asked is answered.
            Event::Pinged { .. } => {}
            Event::CutOff => tracing::warn!(action = "redialing", "{}", EventName::CutOff),
            Event::DialFailed(candidate, why) => {
                self.dial_failed(core, candidate.id, candidate.addr, why)
            }
            Event::OwnTarget(addr) => target_skipped(*addr),
            Event::Twin {
                run_id,
                remote,
                silenced,
            } => {
                // The end of this node's publishing is logged in any case.
                let pass = self.pass(now, "twin");
                if let Some(suppressed) = pass.or(silenced.then_some(0)) {
                    own_identity_duplicated(*run_id, *remote, *silenced, suppressed);
                }
            }
            Event::PeerTwin(peer, remote) => {
                if let Some(suppressed) = self.pass(now, "peer_twin") {
                    let named = Named::of(core, peer);
                    tracing::error!(peer = named.label, id = %named.id, addr = %remote, suppressed,
                        action = "refused the second node", "{}", EventName::PeerIdentityDuplicated);
                }
            }
            Event::Rejected { what, peer, why } => {
                if let Some(suppressed) = self.pass(now, what) {
                    let named = Named::of(core, peer);
                    tracing::warn!(peer = named.label, id = %named.id, counter = what, cause = why, suppressed, "{}", EventName::InputRejected);
                }
            }
        }
    }

    /// The labels of the node that was the first to notice that a node is gone, and of the neighbour that told us.
    fn origin(&self, core: &Core, id: &NodeId) -> [Option<String>; 2] {
        let origin = self.news.of_flip(id, false);
        let label = |id: NodeId| Named::of(core, &id).label;
        [
            origin.map(|origin| label(origin.by)),
            origin.and_then(|origin| origin.via).map(label),
        ]
    }

    fn dial_failed(&mut self, core: &Core, id: Option<NodeId>, addr: SocketAddr, why: &DialError) {
        let name = EventName::DialFailed;
        let (cause, action) = explain(self.listen, addr, why);
        let peer = id.map(|id| Named::of(core, &id).label);
        if self.unreached.get(&addr) == Some(why) {
            tracing::debug!(%addr, peer, cause, "{name}");
            return;
        }
        if self.unreached.len() >= MAX_UNREACHED {
            self.unreached.clear();
        }
        self.unreached.insert(addr, why.clone());
        tracing::info!(%addr, peer, cause, action, "{name}");
    }
}

fn linked(peer: &Named, remote: SocketAddr, direction: Direction, replaced: bool) {
    let dialed_by = match direction {
        Direction::Dialer => "us",
        Direction::Listener => "them",
    };
    let name = if replaced {
        EventName::LinkReplaced
    } else {
        EventName::LinkUp
    };
    tracing::info!(peer = peer.label, id = %peer.id, addr = %remote, dialed_by, "{name}");
}

fn unlinked(peer: &Named, cause: &str, calm: bool) {
    if calm {
        tracing::info!(peer = peer.label, id = %peer.id, cause, "{}", EventName::LinkClosed);
    } else {
        tracing::warn!(peer = peer.label, id = %peer.id, cause, "{}", EventName::LinkDown);
    }
}

fn own_identity_duplicated(
    run_id: u64,
    remote: Option<SocketAddr>,
    silenced: bool,
    suppressed: u64,
) {
    // A peer that reports the duplicate does not know its run id.
    let run = (run_id != 0).then(|| format!("{run_id:016x}"));
    let addr = remote.map(tracing::field::display);
    let action = if silenced {
        "this node stopped publishing; stop one of the two nodes, or give one a key of its own"
    } else {
        "stop one of the two nodes, or give one a key of its own"
    };
    tracing::error!(
        run,
        addr,
        suppressed,
        action,
        "{}",
        EventName::OwnIdentityDuplicated
    );
}
