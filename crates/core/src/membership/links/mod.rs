//! The links of this node: at most one to each peer.
//!
//! This owner knows the connections behind the links ([`collision`] decides which of two carries a link), whether each link is alive
//! ([`detector`], with `loss` and [`rtt`]), and how long a flapping link must hold ([`damping`]). It knows neither records nor the
//! overlay's plan. It returns what happened to a link as a [`LinkEvent`].

mod collision;
mod damping;
pub(crate) mod detector;
mod link;
mod loss;
mod probing;
pub(crate) mod rtt;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use super::Time;
use super::interface::{ConnId, Connected};
use super::peers::Peers;
use super::tuning::Tuning;
use super::tuning::links::Tuning as LinksTuning;
use crate::record::{Direction, LinkState};
use crate::wire::NodeId;
use collision::{Collisions, counter};
pub(super) use collision::{Meeting, Remains};
use damping::Damping;
use detector::Detector;
pub(super) use link::Link;
use link::{PathState, Phase};

/// An event of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkEvent {
    /// The link is up and is listed from now on.
    Listed,
    /// Answers are missing, and the other nodes should know.
    Suspected,
    /// A suspicion that was published is over.
    Cleared,
    /// It was judged down and answers again: it may be restored.
    Revived,
    /// It was judged down, whether it had been listed or not.
    Lost { was_listed: bool },
    /// It did not recover while its connection was kept.
    Dead(ConnId),
    /// The connection that won the collision did not arrive.
    Abandoned,
}

/// The result of giving a link a new connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adopted {
    /// The connection replaced another one; the link stays listed.
    pub(super) replaced: bool,
    /// The replaced connection was to another run of the peer.
    pub(super) new_run: bool,
    /// The link exists at both ends.
    pub(super) confirmed: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Links {
    me: NodeId,
    tuning: Arc<Tuning>,
    probe_interval: Duration,
    links: Peers<Link>,
    /// The peer of each connection, including connections that lost a collision.
    conns: BTreeMap<ConnId, NodeId>,
    collisions: Collisions,
    damping: Damping,
    /// Something happened since the last look at all links.
    touched: bool,
    /// The first deadline of all links, while it is known.
    due: Option<Time>,
}

/// A link that is being changed. While it exists, nobody can ask for the deadline; afterwards the deadline is computed anew.
pub(super) struct Edit<'a> {
    link: &'a mut Link,
    tuning: &'a LinksTuning,
}

impl Deref for Edit<'_> {
    type Target = Link;

    fn deref(&self) -> &Link {
        self.link
    }
}

impl DerefMut for Edit<'_> {
    fn deref_mut(&mut self) -> &mut Link {
        self.link
    }
}

impl Links {
    pub(super) fn new(me: NodeId, probe_interval: Duration, tuning: Arc<Tuning>) -> Self {
        Self {
            me,
            tuning,
            probe_interval,
            links: Peers::default(),
            conns: BTreeMap::new(),
            collisions: Collisions::default(),
            damping: Damping::default(),
            touched: true,
            due: None,
        }
    }

    /// All links, in the order of their peers' ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// The links that our record lists, or will with its next version.
    pub(super) fn listed(&self) -> impl Iterator<Item = &Link> {
        self.iter().filter(|link| link.listed)
    }

    pub(super) fn get(&self, peer: &NodeId) -> Option<&Link> {
        self.links.get(peer)
    }

    pub(super) fn is_live(&self, peer: &NodeId) -> bool {
        self.get(peer).is_some_and(Link::is_live)
    }

    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// The links that count towards the degree: those in use, and those whose next connection is about to arrive.
    pub(super) fn degree(&self) -> usize {
        self.iter().filter(|link| !link.is_parked()).count()
    }

    /// How many of the links in use this node dialed.
    pub(super) fn dialed(&self) -> usize {
        let live = self.iter().filter(|link| link.is_live());
        live.filter(|link| link.is_dialed()).count()
    }

    /// The peer of this connection, even if the connection lost a collision.
    pub(super) fn owner(&self, conn: ConnId) -> Option<NodeId> {
        self.conns.get(&conn).copied()
    }

    /// Whether any link lost an exchange recently.
    pub(super) fn have_lost(&self) -> bool {
        self.iter().any(|link| link.has_lost(&self.tuning.links))
    }

    /// The peer to which this connection carries the link.
    pub(super) fn peer(&self, conn: ConnId) -> Option<NodeId> {
        let peer = self.owner(conn)?;
        let link = self.get(&peer)?;
        (link.conn == conn).then_some(peer)
    }

    /// The peers of all connections: a peer with two connections appears twice.
    pub(super) fn connected(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.conns.values().copied()
    }

    /// The states of the links as our record lists them.
    pub(super) fn states(&self, now: Time) -> Vec<LinkState> {
        let tuning = &self.tuning.links;
        self.listed().map(|link| link.state(tuning, now)).collect()
    }

    /// The only way to change a link.
    fn edit(&mut self, peer: &NodeId) -> Option<Edit<'_>> {
        let link = self.links.get_mut(peer)?;
        self.touched = true;
        self.due = None;
        Some(Edit {
            link,
            tuning: &self.tuning.links,
        })
    }

    /// The only way to change all links.
    fn edit_all(&mut self) -> impl Iterator<Item = Edit<'_>> {
        self.touched = true;
        self.due = None;
        let tuning = &self.tuning.links;
        let links = self.links.values_mut();
        links.map(move |link| Edit { link, tuning })
    }

    /// Makes all links be looked at, whether one was changed or not.
    pub(super) fn touch(&mut self) {
        self.touched = true;
    }

    /// Whether the links must be looked at now.
    pub(super) fn needs_look(&self, now: Time) -> bool {
        self.touched || self.due.is_some_and(|due| due <= now)
    }

    /// Ends the look at all links. Returns whether there was a reason for one.
    pub(super) fn end_look(&mut self) -> bool {
        let touched = std::mem::take(&mut self.touched);
        if touched {
            self.due = None;
        }
        touched
    }

    /// When a link has something to do.
    pub(super) fn deadline(&mut self, hold: impl Fn(&NodeId) -> Option<Time>) -> Time {
        let links = self.links.values();
        *self.due.get_or_insert_with(|| {
            let deadlines = links.map(|link| link.deadline(|| hold(&link.peer)));
            deadlines.min().unwrap_or(Time::MAX)
        })
    }

    /// When a collision must be looked at.
    pub(super) fn collision_deadline(&self) -> Option<Time> {
        self.collisions.deadline()
    }

    /// The links that have something to do now. `also` may add a link; it is called for each one in turn.
    pub(super) fn due(
        &self,
        now: Time,
        hold: impl Fn(&NodeId) -> Option<Time>,
        also: impl Iterator<Item = bool>,
    ) -> Vec<NodeId> {
        let all = self.iter().zip(also);
        all.filter(|(link, also)| *also || link.deadline(|| hold(&link.peer)) <= now)
            .map(|(link, _)| link.peer)
            .collect()
    }

    /// Makes the connection the link to its peer, in place of any earlier one.
    pub(super) fn adopt(&mut self, now: Time, new: &Connected) -> Adopted {
        let peer = new.peer;
        self.due = None;
        let old = self.links.remove(&peer);
        let replaced = old.as_ref().is_some_and(|old| old.listed);
        let run_id = new.hello.run_id;
        let new_run = old.as_ref().is_some_and(|old| old.run_id != run_id);
        // It may have ended already: another connection had lost to it, or wins since it ended.
        if let Some(old) = &old
            && self.conns.contains_key(&old.conn)
        {
            self.collisions
                .close_later(now + self.tuning.links.close_after, old.conn);
        }
        let direction = if new.dial.is_some() {
            Direction::Dialer
        } else {
            Direction::Listener
        };
        // Replacing a connection never unlists the link.
        let hold = if replaced {
            Duration::ZERO
        } else {
            self.damping.hold(&self.tuning.links, now, peer, run_id)
        };
        // A dialer has our Hello once it sends something more. Until then it may still abandon the dial.
        let confirmed = direction == Direction::Dialer || replaced;
        let link = Link {
            peer,
            conn: new.conn,
            direction,
            remote: new.remote,
            proved_at: new.remote,
            run_id,
            counter: counter(new),
            phase: Phase::Live {
                listed_from: now + hold,
            },
            confirmed,
            listed: replaced,
            since: now,
            adopted: now,
            observed: new.hello.observed,
            spare: new.spare,
            detector: self.watch(now, new, old.map(|old| old.detector)),
            superfluous: false,
            superfluous_to_peer: false,
            path: PathState::Open,
            suspect: false,
            last_suspected: None,
            last_reported: None,
        };
        self.conns.insert(new.conn, peer);
        self.links.insert(peer, link);
        Adopted {
            replaced,
            new_run,
            confirmed,
        }
    }

    /// Begins to watch a new connection. The loss measured on the replaced one still holds.
    fn watch(&self, now: Time, new: &Connected, old: Option<Detector>) -> Detector {
        let (interval, tuning) = (self.pace(), &self.tuning.links);
        let leads = self.me.leads(&new.peer);
        let mut detector = Detector::new(tuning, now, leads, interval, new.rtt_us);
        if new.dial.is_some() {
            // The first message on the link: it measures the link, and tells the listener that the link exists.
            detector.probe_at(now);
        } else {
            detector.probe_no_sooner(now + interval / tuning.early_part);
        }
        if let Some(old) = old {
            detector.inherit(old);
        }
        detector
    }

    /// This machine lost the address of a connection. Returns the peer, if its link needs that connection. The path counts as lost
    /// until something that was sent afterwards has arrived.
    pub(super) fn lose_path(&mut self, conn: ConnId) -> Option<NodeId> {
        let peer = self.peer(conn)?;
        self.edit(&peer)?.link.path = PathState::LOST;
        Some(peer)
    }

    /// The peers of the connections whose address this machine lost.
    pub(super) fn lost_paths(&self) -> Vec<NodeId> {
        let lost = self.iter().filter(|link| link.path != PathState::Open);
        lost.map(Link::peer).collect()
    }

    /// The peer sent something on a connection that it dialed, so it has our Hello: the link exists at both ends. Returns whether
    /// that is new.
    pub(super) fn confirm(&mut self, peer: &NodeId) -> bool {
        if self.get(peer).is_none_or(|link| link.confirmed) {
            return false;
        }
        let link = self.edit(peer);
        link.is_some_and(|mut link| !std::mem::replace(&mut link.confirmed, true))
    }

    /// A peer sees this node at that address. Returns whether that is new.
    pub(super) fn hear_observed(&mut self, peer: &NodeId, addr: SocketAddr) -> bool {
        let link = self.edit(peer);
        link.is_some_and(|mut link| std::mem::replace(&mut link.observed, addr) != addr)
    }

    /// A peer's packets come from that address now. Returns whether that is new.
    pub(super) fn moved(&mut self, peer: &NodeId, remote: SocketAddr) -> bool {
        let link = self.edit(peer);
        link.is_some_and(|mut link| std::mem::replace(&mut link.remote, remote) != remote)
    }

    /// Removes a link whose connection is gone.
    pub(super) fn remove(&mut self, peer: &NodeId) -> Option<Link> {
        self.due = None;
        self.links.remove(peer)
    }

    /// Forgets a connection that we close. Returns whether it carried the link to that peer.
    pub(super) fn close(&mut self, peer: &NodeId, conn: ConnId) -> bool {
        self.conns.remove(&conn);
        self.get(peer).is_some_and(|link| link.conn == conn)
    }

    /// A listed link was lost: from the third time on, it is held before it is listed again.
    pub(super) fn note_loss(&mut self, now: Time, peer: NodeId, run_id: u64) {
        self.damping.note_loss(now, peer, run_id);
    }

    /// Lists a live link, unless it must hold. Returns whether it did.
    pub(super) fn list_if_due(&mut self, now: Time, peer: &NodeId, hold: Option<Time>) -> bool {
        let due = self.get(peer).and_then(|link| link.listing_due(|| hold));
        if due.is_none_or(|due| due > now) {
            return false;
        }
        let link = self.edit(peer);
        link.is_some_and(|mut link| !std::mem::replace(&mut link.listed, true))
    }

    /// A link that was judged down answers: puts it into use again.
    pub(super) fn restore(&mut self, now: Time, peer: &NodeId) {
        let Some(run_id) = self.get(peer).map(|link| link.run_id) else {
            return;
        };
        let hold = self.damping.hold(&self.tuning.links, now, *peer, run_id);
        if let Some(mut link) = self.edit(peer) {
            link.phase = Phase::Live {
                listed_from: now + hold,
            };
            link.since = now;
        }
    }

    /// Lists a link without a further hold: it is the only way to its peer. Flap damping bounds traffic, and must not hide a node,
    /// unless its link is lost again and again within seconds.
    pub(super) fn end_hold(&mut self, now: Time, peer: &NodeId) {
        if self.damping.storms(&self.tuning.links, now, peer) {
            return;
        }
        let held =
            |link: &Link| matches!(link.phase, Phase::Live { listed_from } if listed_from > now);
        if self.get(peer).is_some_and(held)
            && let Some(mut link) = self.edit(peer)
        {
            link.phase = Phase::Live { listed_from: now };
        }
    }

    /// Ends the phase of a link, if that is due.
    pub(super) fn advance_phase(
        &mut self,
        now: Time,
        peer: &NodeId,
        hold: Option<Time>,
    ) -> Option<LinkEvent> {
        let link = self.get(peer)?;
        match link.phase {
            Phase::Live { .. } => {
                let listed = self.list_if_due(now, peer, hold);
                listed.then_some(LinkEvent::Listed)
            }
            Phase::Parked { until } if until <= now => Some(LinkEvent::Dead(link.conn)),
            Phase::Orphaned { until } if until <= now => Some(LinkEvent::Abandoned),
            Phase::Parked { .. } | Phase::Orphaned { .. } => None,
        }
    }

    /// Marks the links that this node could do without. Returns the marks that changed.
    pub(super) fn mark(&mut self, superfluous: &BTreeSet<NodeId>) -> Vec<(NodeId, bool)> {
        let marks = self
            .iter()
            .map(|link| (link, superfluous.contains(&link.peer)));
        let changed = marks.filter(|(link, mark)| link.superfluous != *mark);
        let changed: Vec<(NodeId, bool)> = changed.map(|(link, mark)| (link.peer, mark)).collect();
        for (peer, mark) in &changed {
            if let Some(mut link) = self.edit(peer) {
                link.superfluous = *mark;
            }
        }
        changed
    }

    /// Notes whether the peer could do without the link. Returns whether that is new.
    pub(super) fn mark_by_peer(&mut self, peer: &NodeId, superfluous: bool) -> bool {
        let link = self.edit(peer);
        link.is_some_and(|mut link| {
            std::mem::replace(&mut link.superfluous_to_peer, superfluous) != superfluous
        })
    }

    /// This node ran late: the answers may be waiting in its own queues.
    pub(super) fn extend(&mut self, late: Duration) {
        for mut link in self.edit_all() {
            link.detector.extend(late);
        }
    }

    /// This node was stopped, starved or asleep: nothing that was pending counts against any peer.
    pub(super) fn forgive(&mut self, now: Time) {
        for mut link in self.edit_all() {
            link.detector.forgive(now);
        }
        self.collisions.forgive(now + self.tuning.links.challenge);
    }
}

#[cfg(test)]
mod tests;
