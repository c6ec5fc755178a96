//! What holds after every step.

use std::collections::BTreeSet;

use area_net::membership::{Input, MAX_NODES, MAX_REMEMBERED};
use area_net::record::{MAX_ADDRS, Record, ShortRun};
use area_net::snapshot::{NodeState, Snapshot};
use area_net::wire::{MAX_FRAME, Message, NodeId};

use super::Machine;
use crate::people::{ALL, NETWORK, PEERS, PEOPLE};

/// How often a core may want to be woken at one moment: what it does then may make something else due at once.
const MOST_WAKES: u32 = 16;

/// What the core sends is what its peers decode.
pub(super) fn check_sent(message: &Message) {
    let frame = message.to_frame();
    assert!(
        frame.len() - 4 <= MAX_FRAME,
        "a frame of {} bytes",
        frame.len() - 4
    );
    let back = Message::from_body(&frame[4..]);
    let back = back.unwrap_or_else(|error| panic!("{error} in what the core sends: {message:?}"));
    // An address that only this machine understands loses its scope on the way.
    assert_eq!(back.to_frame(), frame, "{message:?} does not come back");
}

impl Machine {
    pub(super) fn check(&mut self) {
        self.check_tables();
        let snapshot = self.core.snapshot(self.now);
        self.check_snapshot(&snapshot);
        self.check_time();
    }

    /// Every table is within its limit, and has no more than there is.
    fn check_tables(&self) {
        let tables = self.core.tables();
        // Nodes that nobody has the key of can't be in the view.
        assert!(tables.nodes <= ALL.min(MAX_NODES), "{tables:?}");
        assert!(tables.remembered <= ALL.min(MAX_REMEMBERED), "{tables:?}");
        assert_eq!(
            tables.dials,
            self.dials.len(),
            "the dials under way: {tables:?}"
        );
        // A link may wait for the connection that won a collision.
        assert!(tables.links <= PEERS, "{tables:?}");
        let mut known: Vec<NodeId> = self.core.connected().collect();
        assert_eq!(known.len(), tables.conns);
        // A challenger is not in the core's table until it has won.
        for conn in self.conns.values() {
            if let Some(place) = known.iter().position(|id| *id == PEOPLE.id(conn.peer)) {
                known.swap_remove(place);
            }
        }
        assert!(known.is_empty(), "connections that ended: {known:?}");
        assert!(
            !self.core.connected().any(|id| id == PEOPLE.id(0)),
            "a connection to itself"
        );
    }

    /// The picture does not contradict itself, nor the events.
    fn check_snapshot(&self, snapshot: &Snapshot) {
        let nodes = &snapshot.nodes;
        let me = &nodes[snapshot.me];
        assert_eq!((me.id, me.state), (PEOPLE.id(0), NodeState::Up));
        assert!(
            nodes.windows(2).all(|two| two[0].id < two[1].id),
            "nodes are out of order"
        );
        let up = nodes.iter().filter(|node| node.state == NodeState::Up);
        let up: BTreeSet<NodeId> = up.map(|node| node.id).collect();
        let mut shown = self.shown.clone();
        shown.insert(me.id);
        assert_eq!(up, shown, "events and snapshot differ");
        assert_eq!(up.len(), self.core.up_count());
        assert!(
            nodes
                .iter()
                .all(|node| self.core.is_up(&node.id) == up.contains(&node.id))
        );
        assert_eq!(snapshot.cut_off, up.len() == 1 && nodes.len() > 1);
        let mut pairs = BTreeSet::new();
        for link in &snapshot.links {
            let (low, high) = (
                link.dialer.min(link.listener),
                link.dialer.max(link.listener),
            );
            assert!(low < high && high < nodes.len(), "{link:?}");
            assert!(pairs.insert((low, high)), "a link is shown twice: {link:?}");
            let ends_up = [low, high].map(|end| nodes[end].state == NodeState::Up);
            assert_eq!(ends_up, [true; 2], "{link:?}");
            assert!(
                link.loss_permille <= 1020 && link.rtt_us != Some(0),
                "{link:?}"
            );
        }
        assert!(
            snapshot
                .differing
                .iter()
                .all(|(node, _)| *node < nodes.len())
        );
        for node in nodes {
            assert!(node.addrs.len() <= MAX_ADDRS + 1, "{node:?}");
            let different: BTreeSet<_> = node.addrs.iter().collect();
            // Its own record says what its node wants.
            let own = self
                .core
                .record(&node.id)
                .map_or(0, |record| record.body().addrs.len());
            assert!(different.len() <= own + 1);
        }
    }

    /// A core that was woken a few times has nothing left to do at that moment. Otherwise the event loop would never sleep.
    fn check_time(&mut self) {
        let mut wakes = 0;
        while self.core.poll_timeout() <= self.now {
            wakes += 1;
            assert!(
                wakes < MOST_WAKES,
                "it wants to be woken again and again at {:?}",
                self.now
            );
            self.pass(Input::Timeout);
            self.pass_echoes();
        }
        if wakes > 0 {
            let snapshot = self.core.snapshot(self.now);
            self.check_snapshot(&snapshot);
        }
    }

    /// The core signed a new record of its own.
    pub(super) fn check_own(&self, own: &Record) {
        assert!(
            self.own.version() < own.version(),
            "it signs an older record"
        );
        let body = own.body();
        assert_eq!((body.id, body.run_id), (PEOPLE.id(0), self.config.run_id));
        assert!(own.is_verified() && own.verify(NETWORK).is_ok());
        let most = self.config.degree_cap + self.config.guests;
        assert!(
            body.links.len() <= most,
            "{} links, {most} allowed",
            body.links.len()
        );
        let arrived =
            Record::from_parts(postcard::to_stdvec(body).expect("a body encodes"), [0; 64]);
        assert!(arrived.is_ok(), "others refuse its record: {arrived:?}");
        for link in &body.links {
            let peer = (0..ALL).find(|at| PEOPLE.id(*at).abbreviated() == link.peer);
            let peer = peer.expect("a link to one of the peers");
            let runs = super::says::RUNS.map(ShortRun::of);
            assert!(runs.contains(&link.run), "a run that {peer} never had");
        }
        if let Some(certificate) = &body.certificate {
            assert_eq!(certificate.terms().id, PEOPLE.id(0));
        }
    }

    /// All peers are gone for long.
    pub(super) fn check_empty(&self) {
        let tables = self.core.tables();
        assert_eq!((tables.links, tables.conns), (0, 0), "{tables:?}");
        assert_eq!((self.core.up_count(), tables.nodes), (1, 1), "{tables:?}");
        let own = self.core.own_record();
        assert!(self.was_silenced || own.body().links.is_empty());
        assert!(self.core.is_flushed());
    }
}
