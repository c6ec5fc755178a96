//! Records between neighbours: each neighbour gets the newest record of every node, once where that can be had.
//!
//! A newer record goes to every neighbour that is not known to have it: eager push sends it along a tree, lazy push names it over the
//! other links (`tree`). In a full mesh every node hears each record from the node itself. What a neighbour may lack is a *set of nodes*
//! (`backlog`), and the newest record of each is encoded at the moment of sending: memory is bounded by the number of nodes, and a slow
//! link gets fewer, newer records. Records that a neighbour named and that did not come are requested (`requests`). What all this
//! misses, an anti-entropy round between two neighbours finds (`anti_entropy`).
//!
//! This owner keeps for each neighbour what it may lack, what waits to be sent to it, its push mode, its anti-entropy rounds, and its rate
//! limits. It alone puts records into the view. It reads the links, and changes none.

mod anti_entropy;
mod backlog;
mod flood;
mod inbox;
mod limits;
mod relay;
mod requests;
mod tree;
mod waiting;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Time;
use super::figures::Figures;
use super::interface::ConnId;
use super::links::{Link, Links};
use super::out::Out;
use super::peers::Peers;
use super::tuning::Tuning;
use super::view::{Index, View};
use crate::revocations::Revocations;
use crate::window::{self, Window};
use crate::wire::{BATCH_BYTES, Meet, Message, NodeId};
use anti_entropy::{AntiEntropy, Outvoted};
use backlog::{Backlog, Slot};
use flood::Flood;
use inbox::Inbox;
use limits::Limits;
pub(super) use relay::Heard;
use requests::Requests;
use tree::PushMode;
use waiting::Waiting;

/// What gossip keeps of a neighbour: a node to which there is a link, in use or not.
#[derive(Debug)]
struct Neighbor {
    conn: ConnId,
    /// The run of the node that said Hello.
    run_id: u64,
    /// Its place in the backlog, which knows what records it may lack.
    slot: Slot,
    /// The last message is not with the transport yet, since then.
    in_flight: Option<Time>,
    /// How long the message before that, and that message, occupy the line.
    occupied: (Duration, Duration),
    /// The size limit of the next message, in bytes.
    room: usize,
    outbox: VecDeque<Message>,
    /// The neighbour is to be told that this end could do without the link, or not any more.
    superfluous: Option<bool>,
    /// Newer revocations than it is known to have.
    revocations: Option<Arc<Revocations>>,
    /// The neighbour's address, which it has not been told yet.
    observed: Option<SocketAddr>,
    /// It was told once that this end could do without the link. It may act on that even if it was taken back since.
    offered: bool,
    push: PushMode,
    /// The nodes whose newest figures are to be sent, and when at the latest.
    figures: BTreeSet<Index>,
    figures_by: Time,
    limits: Limits,
    anti_entropy: AntiEntropy,
}

/// What there was of a neighbour that is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone {
    /// Its link was on the tree.
    pub(super) was_eager: bool,
    /// It was told that we could do without the link.
    pub(super) offered: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Gossip {
    me: NodeId,
    network: Arc<str>,
    tuning: Arc<Tuning>,
    /// One for each link, in the same order.
    neighbors: Peers<Neighbor>,
    backlog: Backlog,
    /// Records that are to be passed on.
    waiting: Waiting,
    /// A link that brings a lost part of the network back is passed on at that time.
    bridge: Option<Time>,
    flood: Flood,
    requests: Requests,
    inbox: Inbox,
    outvoted: Outvoted,
    /// Records travel along a tree; in a full mesh every node is one step away.
    has_tree: bool,
    /// Something may be there to send.
    to_send: bool,
    /// The first deadline of all neighbours, while it is known.
    send_due: Option<Time>,
}

impl Neighbor {
    /// When there is something to send, or what was sent must have left.
    fn deadline(&self, link: &Link, backlog: &Backlog, stalled: Duration) -> Option<Time> {
        match self.in_flight {
            Some(since) => Some(since + stalled + self.occupied.0),
            // What is kept for a link that is not in use waits for it to come back.
            None if !link.is_live() => None,
            None => {
                let named = backlog.named_due(self.slot).unwrap_or(Time::MAX);
                let due = named.min(self.figures_by);
                (due < Time::MAX).then_some(due)
            }
        }
    }

    /// Queues figures of a node. They leave by that time, together with others.
    fn tell_figures(&mut self, index: Index, by: Time) {
        self.figures.insert(index);
        self.figures_by = self.figures_by.min(by);
    }
}

impl Gossip {
    pub(super) fn new(me: NodeId, network: Arc<str>, tuning: Arc<Tuning>) -> Self {
        Self {
            me,
            network,
            neighbors: Peers::default(),
            backlog: Backlog::new(tuning.gossip.few_named),
            tuning,
            waiting: Waiting::default(),
            bridge: None,
            flood: Flood::default(),
            requests: Requests::default(),
            inbox: Inbox::default(),
            outvoted: Outvoted::default(),
            has_tree: false,
            to_send: true,
            send_due: None,
        }
    }

    /// A link came, or has a new connection. `was_up`: the peer was in view already. `greeted`: our Hello is on its way to it.
    pub(super) fn peer_up(
        &mut self,
        now: Time,
        (peer, conn): (NodeId, ConnId),
        links: &Links,
        was_up: bool,
        greeted: bool,
    ) {
        let neighbor = Neighbor {
            conn,
            run_id: links.get(&peer).map_or(0, Link::run_id),
            slot: self.backlog.join(),
            in_flight: greeted.then_some(now),
            occupied: (Duration::ZERO, Duration::ZERO),
            room: window::FIRST_ROOM,
            outbox: VecDeque::new(),
            superfluous: None,
            revocations: None,
            observed: None,
            offered: false,
            push: self.new_push_mode(links, was_up),
            figures: BTreeSet::new(),
            figures_by: Time::MAX,
            limits: Limits::new(now, &self.tuning.gossip),
            anti_entropy: AntiEntropy::new(now, &self.tuning.gossip),
        };
        self.neighbors.insert(peer, neighbor);
    }

    /// A link is gone, or about to get a new connection.
    pub(super) fn peer_down(&mut self, peer: &NodeId) -> Option<Gone> {
        let neighbor = self.neighbors.remove(peer)?;
        self.backlog.leave(neighbor.slot);
        Some(Gone {
            was_eager: !neighbor.push.lazy,
            offered: neighbor.offered,
        })
    }

    /// Whether a neighbour is on the tree.
    pub(super) fn is_eager(&self, peer: &NodeId) -> bool {
        let neighbor = self.neighbors.get(peer);
        neighbor.is_some_and(|one| !one.push.lazy)
    }

    /// The network became a full mesh, or ceased to be one.
    pub(super) fn use_tree(&mut self, has_tree: bool) {
        self.has_tree = has_tree;
    }

    /// Those nodes are forgotten.
    pub(super) fn forget(&mut self, gone: &BTreeSet<Index>) {
        self.backlog.forget(gone);
        for neighbor in self.neighbors.values_mut() {
            neighbor.figures.retain(|index| !gone.contains(index));
            if neighbor.figures.is_empty() {
                neighbor.figures_by = Time::MAX;
            }
        }
    }

    /// Tells a neighbour that this end could do without the link, or not any more.
    pub(super) fn tell_superfluous(&mut self, peer: &NodeId, superfluous: bool) {
        if let Some(neighbor) = self.neighbors.get_mut(peer) {
            neighbor.superfluous = Some(superfluous);
        }
    }

    /// Tells a neighbour that its packets come from another address now.
    pub(super) fn tell_observed(&mut self, peer: &NodeId, addr: SocketAddr) {
        if let Some(neighbor) = self.neighbors.get_mut(peer) {
            neighbor.observed = Some(addr);
            self.to_send = true;
        }
    }

    /// Sends revocations to a neighbour, as soon as a message can leave.
    pub(super) fn tell_revocations(&mut self, peer: &NodeId, revocations: &Arc<Revocations>) {
        if let Some(neighbor) = self.neighbors.get_mut(peer) {
            neighbor.revocations = Some(revocations.clone());
            self.to_send = true;
        }
    }

    /// Passes a message of a rendezvous to a neighbour, if there is room for it.
    pub(super) fn carry_meet(&mut self, peer: &NodeId, meet: Meet) {
        self.post(peer, Message::Meet(meet));
    }

    /// The transport takes the next message to this neighbour, of at most `room` bytes.
    pub(super) fn handle_flushed(&mut self, peer: &NodeId, room: usize) {
        if let Some(neighbor) = self.neighbors.get_mut(peer) {
            neighbor.in_flight = None;
            neighbor.room = room.min(BATCH_BYTES);
            self.to_send = true;
        }
    }

    /// Whether a neighbour has stopped reading.
    pub(super) fn is_stalled(&self, now: Time, peer: &NodeId) -> bool {
        self.neighbors.get(peer).is_some_and(|one| {
            let most = self.tuning.gossip.stalled + one.occupied.0;
            one.in_flight.is_some_and(|since| now >= since + most)
        })
    }

    /// Whether a neighbour is to be sent something now, or has not taken the last message in time: of each link in turn.
    pub(super) fn due<'a>(&'a self, now: Time, links: &'a Links) -> impl Iterator<Item = bool> {
        let stalled = self.tuning.gossip.stalled;
        self.paired(links).map(move |(neighbor, link)| {
            let due = neighbor.deadline(link, &self.backlog, stalled);
            due.is_some_and(|due| due <= now)
        })
    }

    /// Whether a look at all neighbours is due.
    pub(super) fn needs_look(&self, now: Time) -> bool {
        self.send_due.is_some_and(|due| due <= now)
    }

    /// Whether all that was to be sent over links in use is with the transport.
    pub(super) fn is_flushed(&self, links: &Links) -> bool {
        let live = self.paired(links).filter(|(_, link)| link.is_live());
        let mut live = live.map(|(neighbor, _)| neighbor);
        live.all(|one| one.in_flight.is_none() && self.backlog.is_empty(one.slot))
    }

    /// This node was away: what a neighbour did not take meanwhile does not count against it.
    pub(super) fn forgive(&mut self, now: Time) {
        for neighbor in self.neighbors.values_mut() {
            neighbor.in_flight = neighbor.in_flight.map(|_| now);
        }
    }

    /// When gossip has something to do, news that waits to be verified aside.
    pub(super) fn deadline(&mut self, links: &Links) -> Time {
        let send = *self.send_due.get_or_insert_with(|| {
            let both = self.neighbors.values().zip(links.iter());
            let due = both.filter_map(|(neighbor, link)| {
                neighbor.deadline(link, &self.backlog, self.tuning.gossip.stalled)
            });
            due.min().unwrap_or(Time::MAX)
        });
        let others = self.waiting.next_due().into_iter();
        let others = others.chain(self.requests.due()).min();
        others.map_or(send, |due| due.min(send))
    }

    /// The neighbours, each with its link.
    fn paired<'a>(&'a self, links: &'a Links) -> impl Iterator<Item = (&'a Neighbor, &'a Link)> {
        debug_assert_eq!(self.neighbors.len(), links.len());
        self.neighbors.values().zip(links.iter())
    }

    /// Puts a message that is not a batch of records into a neighbour's outbox; tells whether there was room for it.
    fn post(&mut self, peer: &NodeId, message: Message) -> bool {
        let neighbor = self.neighbors.get_mut(peer);
        let Some(neighbor) = neighbor.filter(|one| one.outbox.len() < self.tuning.gossip.outbox)
        else {
            return false;
        };
        neighbor.outbox.push_back(message);
        self.to_send = true;
        true
    }

    /// Hands the transport the next message for every link in use that has one to send and nothing under way, if there is anything to
    /// send, or `all` is to be looked at.
    pub(super) fn flush(
        &mut self,
        now: Time,
        all: bool,
        (view, figures): (&View, &Figures),
        links: &Links,
        out: &mut Out,
    ) {
        if !all && !self.to_send {
            return;
        }
        self.keep_eager(links);
        let mut due = Time::MAX;
        for (neighbor, link) in self.neighbors.values_mut().zip(links.iter()) {
            if link.was_asked_at() == Some(now) && !neighbor.figures.is_empty() {
                // Right behind an answer, they would hide its packet from the clock of the peer's socket.
                let after = now + self.tuning.gossip.figures_after_answer;
                neighbor.figures_by = neighbor.figures_by.min(after);
            }
            // Figures share the packet of a probe. On a slow line they would delay the probe, so they leave by themselves.
            let rides = link.asked_at() == Some(now) && neighbor.room >= window::FIRST_ROOM;
            if neighbor.in_flight.is_none()
                && link.is_live()
                && let Some(message) =
                    neighbor.next_message((now, rides), &mut self.backlog, view, figures)
            {
                neighbor.in_flight = Some(now);
                neighbor.occupy(&message);
                if rides && matches!(message, Message::Figures(_)) {
                    out.send_with_probe(neighbor.conn, message);
                } else {
                    out.send(neighbor.conn, message);
                }
            }
            let next = neighbor.deadline(link, &self.backlog, self.tuning.gossip.stalled);
            due = next.map_or(due, |at| due.min(at));
        }
        // Without a look at the links, no deadline is forgotten: one of them may be the cause of this.
        self.send_due = if all {
            Some(due)
        } else {
            self.send_due.map(|at| at.min(due))
        };
        self.to_send = false;
    }
}

impl Neighbor {
    /// A message is handed over. The transport takes it when the one before has left, and lists of versions are larger than the room
    /// of a slow line: that takes its time, and is no stall.
    fn occupy(&mut self, message: &Message) {
        let is_slow = !Window::packet_time(self.room).is_zero();
        let bytes = if is_slow { message.to_frame().len() } else { 0 };
        self.occupied = (self.occupied.1, Window::time_of(self.room, bytes));
    }

    /// Takes the next message: first what was posted, then records, then announcements of records, then figures that are due or
    /// share the packet of a probe.
    fn next_message(
        &mut self,
        (now, rides): (Time, bool),
        backlog: &mut Backlog,
        view: &View,
        figures: &Figures,
    ) -> Option<Message> {
        if let Some(revocations) = self.revocations.take() {
            return Some(Message::Revocations(revocations));
        }
        if let Some(superfluous) = self.superfluous.take() {
            self.offered |= superfluous;
            return Some(Message::Superfluous(superfluous));
        }
        if let Some(addr) = self.observed.take() {
            return Some(Message::Observed(addr));
        }
        let posted = self.outbox.pop_front();
        posted
            .or_else(|| self.next_batch(now, backlog, view, figures))
            .or_else(|| tree::next_names(self.slot, now, backlog, view))
            .or_else(|| {
                let is_due = rides || self.figures_by <= now;
                is_due
                    .then(|| self.next_figures(now, view, figures))
                    .flatten()
            })
    }

    /// A batch of records. Where figures are newer than what a record tells, they follow it.
    fn next_batch(
        &mut self,
        now: Time,
        backlog: &mut Backlog,
        view: &View,
        figures: &Figures,
    ) -> Option<Message> {
        let (mut bytes, mut batch) = (0, Vec::new());
        let (room, follow, by) = (self.room, &mut self.figures, &mut self.figures_by);
        backlog.take_due(self.slot, |index| {
            let record = view.record_at(index);
            bytes += record.encoded_len();
            if bytes > room && !batch.is_empty() {
                return false;
            }
            batch.push(record.clone());
            if figures.of_record(now, index, record).is_some() {
                follow.insert(index);
                *by = now;
            }
            true
        });
        (!batch.is_empty()).then_some(Message::Records(batch))
    }

    /// The newest figures of nodes whose figures are to be sent.
    fn next_figures(&mut self, now: Time, view: &View, figures: &Figures) -> Option<Message> {
        let (mut bytes, mut batch) = (0, Vec::new());
        while let Some(index) = self.figures.first().copied().filter(|_| bytes < self.room) {
            self.figures.remove(&index);
            let record = view.get(index).map(|entry| entry.record);
            // A newer record, or none, makes them void.
            let newest = record.and_then(|record| figures.of_record(now, index, record));
            if let Some((age_ds, figures)) = newest {
                bytes += figures.encoded_len();
                batch.push((age_ds, figures));
            }
        }
        if self.figures.is_empty() {
            self.figures_by = Time::MAX;
        }
        (!batch.is_empty()).then_some(Message::Figures(batch))
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
