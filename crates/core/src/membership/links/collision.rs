//! Connection collisions (after RFC 4271, section 6.8): two connections compete to be *the* link to a peer, and both ends choose
//! the same one.
//!
//! Nothing is decided while dialing. Once both Hellos are through, these rules apply, in this order:
//! - Another run id: the peer was restarted, or two nodes share one key. The old connection must answer a probe in time, or it loses.
//! - The same run id, and the new connection says that it replaces an older one: it wins. That counts only against a connection older
//!   than a dial takes: of two that crossed, each end would take the other one for the old one.
//! - Opposite directions: the connection dialed by the lower id wins.
//! - The same direction: the higher counter of the dialer wins.

use std::collections::BTreeMap;

use super::Links;
use super::link::{Link, Phase};
use crate::membership::Time;
use crate::membership::interface::{Closed, ConnId, Connected};
use crate::wire::{CloseCode, NodeId};

/// A peer has come back with a new run id while its old connection seems alive.
#[derive(Debug)]
struct Challenge {
    deadline: Time,
    challenger: Connected,
}

/// Connections that compete, and those that lost.
#[derive(Debug, Default)]
pub(super) struct Collisions {
    challenges: BTreeMap<NodeId, Challenge>,
    /// Connections that lost, closed a little later, when both ends have seen both.
    closing: Vec<(Time, ConnId)>,
}

/// The relation of a new connection to the link with its peer.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::membership) enum Meeting {
    /// There is no link, or it was judged down: the new connection needs a slot.
    Vacancy,
    /// The new connection replaces the one of the link.
    Weaker,
    /// The link must first prove that it is alive.
    OtherRun,
    /// The link keeps its connection.
    Stronger,
}

/// The state of a link after one of its connections ended.
#[derive(Debug)]
pub(in crate::membership) enum Remains {
    /// Nothing changes: the connection was not the link's.
    Same,
    /// The competing connection takes its place.
    Challenger(Connected),
    /// The link waits for the connection that won.
    Orphan,
    /// The link is gone.
    Nothing,
}

impl Collisions {
    pub(super) fn close_later(&mut self, at: Time, conn: ConnId) {
        self.closing.push((at, conn));
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let challenges = self.challenges.values().map(|challenge| challenge.deadline);
        let closing = self.closing.iter().map(|(due, _)| *due);
        challenges.chain(closing).min()
    }

    /// This node was suspended: an answer may be waiting in its own queues.
    pub(super) fn forgive(&mut self, until: Time) {
        for challenge in self.challenges.values_mut() {
            challenge.deadline = challenge.deadline.max(until);
        }
    }
}

impl Links {
    /// Compares a new connection with the link to its peer.
    pub(in crate::membership) fn meet(&self, now: Time, new: &Connected) -> Meeting {
        let Some(old) = self.links.get(&new.peer) else {
            return Meeting::Vacancy;
        };
        match old.phase {
            Phase::Parked { .. } => Meeting::Vacancy,
            Phase::Orphaned { .. } => Meeting::Weaker,
            Phase::Live { .. } if old.run_id != new.hello.run_id => Meeting::OtherRun,
            Phase::Live { .. } if self.wins(now, new, old) => Meeting::Weaker,
            Phase::Live { .. } => Meeting::Stronger,
        }
    }

    /// Whether the new connection wins against the old one of the same two runs. Both ends compute the same result.
    fn wins(&self, now: Time, new: &Connected, old: &Link) -> bool {
        let crossing = now.saturating_sub(old.adopted) < self.tuning.links.crossing;
        if !crossing && (new.replaces || new.hello.replaces) {
            return true;
        }
        let (new_is_mine, old_is_mine) = (new.dial.is_some(), old.is_dialed());
        if new_is_mine == old_is_mine {
            return counter(new) > old.counter;
        }
        new_is_mine == (self.me < new.peer)
    }

    /// Keeps a losing connection open for a moment.
    pub(in crate::membership) fn keep_loser(&mut self, now: Time, new: &Connected) {
        self.conns.insert(new.conn, new.peer);
        let at = now + self.tuning.links.close_after;
        self.collisions.close_later(at, new.conn);
    }

    /// Requires the link to answer a probe before its challenger may replace it. Returns the connection of an earlier challenger.
    pub(in crate::membership) fn open_challenge(
        &mut self,
        now: Time,
        challenger: Connected,
    ) -> Option<ConnId> {
        let peer = challenger.peer;
        if let Some(mut link) = self.edit(&peer) {
            link.detector.probe_at(now);
        }
        let challenge = Challenge {
            deadline: now + self.tuning.links.challenge,
            challenger,
        };
        let earlier = self.collisions.challenges.insert(peer, challenge);
        earlier.map(|earlier| earlier.challenger.conn)
    }

    /// The link to a peer answered, so its challenger, if there is one, has lost.
    pub(in crate::membership) fn end_challenge(&mut self, peer: &NodeId) -> Option<Connected> {
        let challenge = self.collisions.challenges.remove(peer)?;
        Some(challenge.challenger)
    }

    /// Takes the challengers whose opponents did not answer in time.
    pub(in crate::membership) fn take_winners(&mut self, now: Time) -> Vec<Connected> {
        let challenges = &mut self.collisions.challenges;
        let due = challenges.iter().filter(|(_, one)| one.deadline <= now);
        let due: Vec<NodeId> = due.map(|(peer, _)| *peer).collect();
        self.touched |= !due.is_empty();
        due.iter()
            .filter_map(|peer| self.end_challenge(peer))
            .collect()
    }

    /// Takes the losing connections that are to be closed now.
    pub(in crate::membership) fn take_losers(&mut self, now: Time) -> Vec<ConnId> {
        let closing = std::mem::take(&mut self.collisions.closing);
        let (due, rest) = closing.into_iter().partition(|(due, _)| *due <= now);
        self.collisions.closing = rest;
        let due: Vec<(Time, ConnId)> = due;
        due.into_iter().map(|(_, conn)| conn).collect()
    }

    /// Forgets a connection that ended. Returns its peer, unless it was only a losing connection.
    pub(in crate::membership) fn forget_conn(&mut self, conn: ConnId) -> Option<NodeId> {
        let Collisions {
            challenges,
            closing,
        } = &mut self.collisions;
        closing.retain(|(_, closing)| *closing != conn);
        let peer = self.conns.remove(&conn);
        if peer.is_none() {
            challenges.retain(|_, challenge| challenge.challenger.conn != conn);
        }
        peer
    }

    /// The state of the link to a peer after one of its connections ended.
    pub(in crate::membership) fn remains(
        &mut self,
        now: Time,
        peer: &NodeId,
        conn: ConnId,
        why: &Closed,
    ) -> Remains {
        if self.links.get(peer).is_none_or(|link| link.conn != conn) {
            return Remains::Same;
        }
        if let Some(challenger) = self.end_challenge(peer) {
            return Remains::Challenger(challenger);
        }
        match self.edit(peer) {
            Some(mut link) if link.listed && *why == Closed::ByPeer(Some(CloseCode::Duplicate)) => {
                link.phase = Phase::Orphaned {
                    until: now + link.tuning.orphan,
                };
                Remains::Orphan
            }
            Some(_) | None => Remains::Nothing,
        }
    }
}

/// The dialer's connection counter: ours if we dialed.
pub(super) fn counter(connected: &Connected) -> u64 {
    connected
        .dial
        .map_or(connected.hello.dial_counter, |dial| dial.0)
}
