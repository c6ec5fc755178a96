//! Several `Gossip`s and `View`s joined by hand, with a wire between them that a test may cut: gossip without the rest of the core.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::{Gossip, Heard};
use crate::figures::{FiguresBody, LinkFigures, dialed};
use crate::membership::Time;
use crate::membership::figures::{self, Figures};
use crate::membership::interface::{Action, ConnId, Connected};
use crate::membership::links::Links;
use crate::membership::members::Members;
use crate::membership::out::Out;
use crate::membership::testing::{self, Unsigned, config, listing};
use crate::membership::tuning::Tuning;
use crate::membership::view::{Ids, View};
use crate::record::{Body, Record, Version};
use crate::wire::{BATCH_BYTES, Message, NodeId};

/// The delay of the wire.
pub(super) const DELAY: Duration = Duration::from_millis(1);

pub(super) fn id(number: usize) -> NodeId {
    NodeId([u8::try_from(number).unwrap() + 1; 32])
}

pub(super) fn body(number: usize, seq: u32, peers: &[usize]) -> Body {
    let peers = peers.iter().map(|&peer| id(peer));
    listing(id(number), seq, peers)
}

pub(super) fn record(number: usize, seq: u32, peers: &[usize]) -> Arc<Record> {
    testing::record(body(number, seq, peers))
}

/// A record with a signature that nobody has verified, and that is wrong.
pub(super) fn forged(body: &Body) -> Arc<Record> {
    Record::from_parts(postcard::to_stdvec(body).unwrap(), [7; 64]).unwrap()
}

/// One node: what the coordinator would hold of it.
pub(super) struct Node {
    pub(super) me: usize,
    pub(super) view: View,
    pub(super) links: Links,
    pub(super) gossip: Gossip,
    figures: Figures,
    pub(super) members: Members,
    pub(super) out: Out,
    rng: ChaCha8Rng,
    /// The transport takes what it is handed at once.
    pub(super) reads: bool,
}

impl Node {
    pub(super) fn new(own: Arc<Record>, me: usize, tuning: &Arc<Tuning>) -> Self {
        let interval = Duration::from_millis(1500);
        Self {
            me,
            view: View::with_ids(own, Arc::new(Ids::new(0)), tuning.clone()),
            links: Links::new(id(me), interval, tuning.clone()),
            gossip: Gossip::new(id(me), "tests".into(), tuning.clone()),
            figures: Figures::new(Arc::new(config()), Arc::new(Unsigned(id(me)))),
            members: Members::new(None),
            out: Out::new(),
            rng: ChaCha8Rng::from_seed([1; 32]),
            reads: true,
        }
    }

    /// A link to a node comes to stand at this end. Connections carry the number of the peer.
    pub(super) fn link(&mut self, now: Time, peer: usize) -> Connected {
        let connected = self.connected(peer);
        self.links.adopt(now, &connected);
        self.links.confirm(&id(peer));
        self.links.list_if_due(now, &id(peer), None);
        let was_up = self.view.is_up(&id(peer));
        let link = (id(peer), connected.conn);
        self.gossip.peer_up(now, link, &self.links, was_up, false);
        connected
    }

    fn connected(&self, peer: usize) -> Connected {
        let number = u64::try_from(peer).unwrap();
        let mut connected = testing::connected(number, id(peer), 1, self.me < peer);
        let known = self.view.record(&id(peer)).cloned();
        connected.hello.record = known.unwrap_or_else(|| record(peer, 1, &[self.me]));
        connected
    }

    /// Puts a record into the view, and tells nobody.
    pub(super) fn learn(&mut self, now: Time, record: Arc<Record>) {
        self.view.accept(record, now, None, false);
        self.derive(now);
    }

    pub(super) fn derive(&mut self, now: Time) {
        let listed = self.links.listed().map(|link| link.peer().abbreviated());
        let live: Vec<_> = listed.filter_map(|peer| self.view.index(&peer)).collect();
        self.view.derive_up(now, &live);
    }

    pub(super) fn version(&self, of: usize) -> Option<Version> {
        Some(self.view.record(&id(of))?.version())
    }

    pub(super) fn seq(&self, of: usize) -> Option<u32> {
        self.version(of).map(|version| version.seq)
    }

    /// Figures of a node's links come, and are to be passed on.
    pub(super) fn hear_figures(&mut self, now: Time, of: usize, urgent: bool) {
        let index = self.view.index(&id(of).abbreviated()).unwrap();
        let record = self.view.record_at(index).body();
        let body = FiguresBody {
            id: id(of).abbreviated(),
            epoch: record.epoch,
            seq: record.seq,
            count: u32::try_from(now.as_millis()).unwrap(),
            every_s: 10,
            rtts: dialed(record).map(|_| 100).collect(),
            losses: Vec::new(),
        };
        let figures = LinkFigures::sign(body, "tests", &Unsigned(id(of)));
        let heard = self.figures.take(now, figures, 0, &self.view);
        assert!(matches!(heard, figures::Heard::Taken(..)), "{heard:?}");
        self.gossip
            .spread_figures((now, urgent), (index, None), &[id(1)], &self.view);
    }

    pub(super) fn publish(&mut self, now: Time, record: Arc<Record>) {
        self.gossip.publish(now, record, &mut self.view);
    }

    /// A message came from a neighbour: what the coordinator does with it.
    pub(super) fn handle(&mut self, now: Time, from: usize, message: Message) {
        let (peer, view) = (id(from), &self.view);
        self.gossip.admit(now, &peer, &message).unwrap();
        match message {
            Message::Records(records) => self.take(now, from, records),
            Message::Digests { log2, sums } => {
                let digests = (log2, sums.as_slice());
                self.gossip
                    .handle_digests(&peer, digests, view, &mut self.rng);
            }
            Message::Versions {
                log2,
                buckets,
                entries,
            } => {
                let told = (log2, buckets.as_slice());
                self.gossip
                    .handle_versions(now, &peer, told, &entries, view);
            }
            Message::Request(ids) => self.gossip.handle_request(&peer, &ids, view),
            Message::Have(entries) => self.gossip.handle_have(now, &peer, &entries, view),
            Message::Graft(ids) => self.gossip.handle_graft(&peer, &ids, view),
            Message::Prune => self.gossip.handle_prune(&peer),
            Message::Hello(_)
            | Message::Superfluous(_)
            | Message::Figures(_)
            | Message::Revocations(_)
            | Message::Observed(_)
            | Message::Meet(_) => {}
        }
    }

    fn take(&mut self, now: Time, from: usize, records: Vec<Arc<Record>>) {
        let peer = id(from);
        let mut bringer = self.gossip.bringer(&peer, &self.links).unwrap();
        let received = self.gossip.receive(now, &peer, records, &self.view);
        for record in received.unwrap().known {
            let heard =
                self.gossip
                    .take(now, record, &mut bringer, &mut self.members, &mut self.view);
            assert!(matches!(heard, Heard::Nothing | Heard::News { .. }));
        }
        self.gossip.note_brought(&bringer);
        self.derive(now);
        self.gossip.prune_if_late(&peer, &self.links);
        self.gossip.go_on_with_first_rounds(now, &self.view);
    }

    /// Does what is due, and hands out what is to be sent: to whom, and what.
    pub(super) fn advance(&mut self, now: Time) -> Vec<(usize, Message)> {
        let mut sent = Vec::new();
        self.gossip.release(now, &self.view);
        self.gossip.request_again(now, &self.view, &self.links);
        loop {
            self.gossip.flush(
                now,
                true,
                (&self.view, &self.figures),
                &self.links,
                &mut self.out,
            );
            let before = sent.len();
            while let Some(action) = self.out.poll_action() {
                if let Action::Send(ConnId(peer), message) = action {
                    sent.push((usize::try_from(peer).unwrap(), message));
                }
            }
            if !self.reads || sent.len() == before {
                return sent;
            }
            for (peer, _) in &sent[before..] {
                self.gossip.handle_flushed(&id(*peer), BATCH_BYTES);
            }
        }
    }
}

/// A message that was sent: when, by whom, to whom.
pub(super) type Sent = (Time, usize, usize, Message);

/// Nodes that know each other, and the wire between them.
pub(super) struct Net {
    pub(super) nodes: Vec<Node>,
    pub(super) now: Time,
    peers: Vec<Vec<usize>>,
    /// All that was sent, lost or not.
    pub(super) sent: Vec<Sent>,
    under_way: Vec<Sent>,
    /// Whether a message gets lost.
    pub(super) loses: fn(&Sent) -> bool,
}

impl Net {
    /// So many nodes with those links, all up, each with version 1 of every record. `now`: at time zero little may flood.
    pub(super) fn new(count: usize, links: &[(usize, usize)], has_tree: bool, now: Time) -> Self {
        let tuning = Arc::new(Tuning::default());
        let mut peers = vec![Vec::new(); count];
        for &(a, b) in links {
            peers[a].push(b);
            peers[b].push(a);
        }
        let records: Vec<_> = (0..count).map(|one| record(one, 1, &peers[one])).collect();
        let node = |me: usize| {
            let mut node = Node::new(records[me].clone(), me, &tuning);
            node.gossip.use_tree(has_tree);
            for &peer in &peers[me] {
                node.link(now, peer);
            }
            for record in &records {
                node.learn(now, record.clone());
            }
            node
        };
        Self {
            nodes: (0..count).map(node).collect(),
            now,
            peers,
            sent: Vec::new(),
            under_way: Vec::new(),
            loses: |_| false,
        }
    }

    /// A node publishes its next version, with the same links; only the measurements in it are new.
    pub(super) fn publish(&mut self, node: usize, seq: u32) {
        let record = record(node, seq, &self.peers[node]);
        self.nodes[node].publish(self.now, record);
        self.collect(node);
    }

    /// Takes what a node sends onto the wire.
    pub(super) fn collect(&mut self, node: usize) {
        for (to, message) in self.nodes[node].advance(self.now) {
            let sent = (self.now, node, to, message);
            if !(self.loses)(&sent) {
                self.under_way.push(sent.clone());
            }
            self.sent.push(sent);
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let wire = self.under_way.iter().map(|(at, ..)| *at + DELAY).min();
            let nodes = self.nodes.iter_mut();
            let timers = nodes.map(|node| node.gossip.deadline(&node.links)).min();
            let next = wire.into_iter().chain(timers).min().unwrap();
            if next > end {
                self.now = end;
                return;
            }
            self.now = next.max(self.now);
            let (now, due) = (self.now, |sent: &Sent| sent.0 + DELAY <= next);
            let came: Vec<Sent> = self.under_way.extract_if(.., |sent| due(sent)).collect();
            for (_, from, to, message) in came {
                self.nodes[to].handle(now, from, message);
            }
            for node in 0..self.nodes.len() {
                self.collect(node);
            }
        }
    }

    /// Both ends say that their link is off the tree.
    pub(super) fn prune(&mut self, a: usize, b: usize) {
        self.nodes[a].gossip.handle_prune(&id(b));
        self.nodes[b].gossip.handle_prune(&id(a));
    }

    /// Over which links a version of a node's record was sent, in order.
    pub(super) fn copies(&self, of: usize, seq: u32) -> Vec<(usize, usize)> {
        let brings = |message: &Message| match message {
            Message::Records(records) => records
                .iter()
                .any(|record| record.id() == id(of) && record.version().seq == seq),
            _ => false,
        };
        let copies = self.sent.iter().filter(|(.., message)| brings(message));
        copies.map(|(_, from, to, _)| (*from, *to)).collect()
    }

    /// Which messages but records a node sent to another one.
    pub(super) fn words(&self, from: usize, to: usize) -> Vec<&Message> {
        let words = self.sent.iter().filter(|(_, a, b, message)| {
            (*a, *b) == (from, to) && !matches!(message, Message::Records(_))
        });
        words.map(|(.., message)| message).collect()
    }
}
