//! The log: what happened, told to a person, at a bounded rate.
//!
//! Each line has an `event` field with the name of what happened, for programs. The names are an interface and stay; the messages
//! are for people and may change.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::membership::{Core, DialError, Event};
use crate::record::Direction;
use crate::settings::Settings;
use crate::wire::NodeId;

/// Lines about what others do wrong come no more often than this, for each kind.
const GATE: Duration = Duration::from_secs(10);

/// Tells the story; remembers what it has said of late.
#[derive(Debug, Default)]
pub(super) struct Story {
    gates: BTreeMap<&'static str, Gate>,
    /// Addresses that could not be reached, said once until they can.
    unreached: BTreeMap<SocketAddr, DialError>,
}

#[derive(Debug)]
struct Gate {
    last: Instant,
    held_back: u64,
}

/// The first lines of a run.
pub(super) fn started(settings: &Settings, id: &NodeId, bound: SocketAddr, warning: Option<&str>) {
    if let Some(warning) = warning {
        tracing::warn!(
            event = "memory_empty",
            "starting with an empty memory: {warning}"
        );
    }
    for own in &settings.skipped_own {
        tracing::info!(event = "own_target", target = %own, "a target is this node's own address: skipped");
    }
    if !settings.impair.is_empty() {
        tracing::warn!(
            event = "impaired",
            impair = %settings.impair,
            "impaired on purpose: this is what network.controller.impair does to what this node sends"
        );
    }
    tracing::info!(
        event = "started",
        label = settings.label.as_str(),
        id = %id.short(),
        listen = %bound,
        network = settings.network.as_str(),
        targets = settings.targets.len(),
        "started"
    );
}

/// A node as people know it.
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
    /// How many lines of this kind were held back since the last one, if one may be said now.
    fn pass(&mut self, now: Instant, what: &'static str) -> Option<u64> {
        let Some(gate) = self.gates.get_mut(what) else {
            self.gates.insert(
                what,
                Gate {
                    last: now,
                    held_back: 0,
                },
            );
            return Some(0);
        };
        if now.duration_since(gate.last) < GATE {
            gate.held_back += 1;
            return None;
        }
        gate.last = now;
        Some(std::mem::take(&mut gate.held_back))
    }

    /// A stranger was turned away.
    pub(super) fn stranger(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        what: &'static str,
        why: &str,
    ) {
        if let Some(more) = self.pass(now, what) {
            tracing::warn!(event = "rejected", from = %remote, counter = what, more, "turned a stranger away: {why}");
        }
    }

    /// Tells one event.
    pub(super) fn tell(&mut self, now: Instant, core: &Core, event: &Event) {
        match event {
            Event::Linked {
                peer,
                remote,
                direction,
                replaced,
            } => {
                self.unreached.remove(remote);
                let named = Named::of(core, peer);
                let by = match direction {
                    Direction::Dialer => "us",
                    Direction::Listener => "them",
                };
                let what = if *replaced { "linked anew" } else { "linked" };
                tracing::info!(event = "linked", peer = named.label, id = %named.id, addr = %remote, dialed_by = by, "{what}");
            }
            Event::Unlinked { peer, why, calm } => unlinked(&Named::of(core, peer), why, *calm),
            Event::Restored(peer) => {
                let named = Named::of(core, peer);
                tracing::info!(event = "restored", peer = named.label, id = %named.id, "link restored: it answers again");
            }
            Event::Suspected(peer) => {
                let named = Named::of(core, peer);
                tracing::debug!(event = "suspected", peer = named.label, id = %named.id, "no answers: asking its neighbours to look");
            }
            Event::Up(id) => {
                let named = Named::of(core, id);
                tracing::info!(event = "up", node = named.label, id = %named.id, nodes = core.up_count(), "in view");
            }
            Event::Unreachable(id) => {
                let named = Named::of(core, id);
                tracing::warn!(event = "unreachable", node = named.label, id = %named.id, nodes = core.up_count(), "out of view: no path leads to it");
            }
            Event::Left(id) => {
                let named = Named::of(core, id);
                tracing::info!(event = "left", node = named.label, id = %named.id, nodes = core.up_count(), "left");
            }
            Event::CutOff => {
                tracing::warn!(event = "cut_off", "cut off: this node has lost every link")
            }
            Event::DialFailed(candidate, why) => {
                self.dial_failed(core, candidate.id, candidate.addr, why)
            }
            Event::OwnTarget(addr) => {
                tracing::info!(event = "own_target", target = %addr, "a target is this node's own address: skipped")
            }
            Event::Twin {
                run_id,
                remote,
                silenced,
            } => {
                // That this node falls silent is said in any case.
                let pass = self.pass(now, "twin");
                if let Some(more) = pass.or(silenced.then_some(0)) {
                    twin(*run_id, *remote, *silenced, more);
                }
            }
            Event::PeerTwin(peer, remote) => {
                if let Some(more) = self.pass(now, "peer_twin") {
                    let named = Named::of(core, peer);
                    tracing::error!(event = "peer_twin", peer = named.label, id = %named.id, addr = %remote, more,
                        "a second node runs with this peer's key; its connection was refused");
                }
            }
            Event::Rejected { what, peer, why } => {
                if let Some(more) = self.pass(now, what) {
                    let named = Named::of(core, peer);
                    tracing::warn!(event = "rejected", peer = named.label, id = %named.id, counter = what, more, "turned away: {why}");
                }
            }
        }
    }

    fn dial_failed(&mut self, core: &Core, id: Option<NodeId>, addr: SocketAddr, why: &DialError) {
        if self.unreached.get(&addr) == Some(why) {
            tracing::debug!(event = "dial_failed", addr = %addr, "still can't reach: {}", in_words(why));
            return;
        }
        if self.unreached.len() >= 1024 {
            self.unreached.clear();
        }
        self.unreached.insert(addr, why.clone());
        let peer = id.map(|id| Named::of(core, &id).label);
        tracing::info!(event = "dial_failed", addr = %addr, peer, "can't reach: {}; trying again, quietly", in_words(why));
    }
}

fn unlinked(peer: &Named, why: &str, calm: bool) {
    if calm {
        tracing::info!(event = "unlinked", peer = peer.label, id = %peer.id, "unlinked: {why}");
    } else {
        tracing::warn!(event = "link_lost", peer = peer.label, id = %peer.id, "link lost: {why}");
    }
}

fn twin(run_id: u64, remote: Option<SocketAddr>, silenced: bool, more: u64) {
    let whom = match (run_id, remote) {
        (0, Some(addr)) => format!("seen by {addr}"),
        (_, Some(addr)) => format!("run {run_id:016x} at {addr}"),
        (_, None) => format!("run {run_id:016x}"),
    };
    let what_now = if silenced {
        "this one stops publishing"
    } else {
        "stop one of them"
    };
    tracing::error!(
        event = "twin",
        more,
        "THIS NODE'S KEY IS IN USE TWICE ({whom}): two nodes with one identity can't both be in the network; {what_now}"
    );
}

fn in_words(why: &DialError) -> String {
    match why {
        DialError::Timeout => "no answer".to_owned(),
        DialError::Unreachable => "nobody listens there".to_owned(),
        DialError::OtherKey => "another node answers there".to_owned(),
        DialError::Myself => "it is this very node".to_owned(),
        DialError::Refused(Some(code), _) => format!("refused ({code:?})"),
        DialError::Refused(None, _) => "refused".to_owned(),
        DialError::Failed(why) => why.clone(),
    }
}
