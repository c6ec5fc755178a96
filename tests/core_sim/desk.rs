//! One core whose neighbours are played by the test.

use std::sync::Arc;

use area_net::identity::Identity;
use area_net::membership::{Action, Config, ConnId, Connected, Core, Event, Input, Time};
use area_net::record::{Body, Direction, LinkState, PublishedAddr, Record, ShortRun, Signer as _};
use area_net::wire::{Answer, CloseCode, Hello, Message, NodeId, Probe, ViewDigest};

use crate::net::{NETWORK, Net, ms};

pub(crate) fn identity(key: u8) -> Identity {
    Identity::from_seed(&[key; 32])
}

pub(crate) fn body(of: &Identity) -> Body {
    Body {
        id: of.node_id(),
        label: "peer".into(),
        run_id: 1,
        epoch: 1000,
        seq: 1,
        uptime_s: 0,
        addrs: vec![PublishedAddr::local("[::1]:7000".parse().unwrap())],
        links: Vec::new(),
        leaving: false,
        certificate: None,
    }
}

pub(crate) fn link_to(peer: &Identity) -> LinkState {
    LinkState {
        peer: peer.node_id().abbreviated(),
        run: ShortRun::of(1),
        direction: Direction::Dialer,
        rtt_us: 1,
        rtt_age_s: 0,
        loss: 0,
        suspect: false,
    }
}

/// The record as it comes from the network: its signature is still to be verified.
pub(crate) fn arrived(record: &Record) -> Arc<Record> {
    let bytes = postcard::to_stdvec(record).unwrap();
    Arc::new(postcard::from_bytes(&bytes).unwrap())
}

/// A peer dialed us and reported the number of nodes that it knows.
pub(crate) fn connected(
    conn: ConnId,
    peer: &Identity,
    record: Arc<Record>,
    known: u32,
) -> Connected {
    let hello = Hello {
        run_id: 1,
        dial_counter: conn.0,
        replaces: false,
        observed: "[::1]:8000".parse().unwrap(),
        known,
        digest: ViewDigest([0; 8]),
        record,
        revocations: 0,
    };
    Connected {
        conn,
        dial: None,
        peer: peer.node_id(),
        remote: "[::1]:7000".parse().unwrap(),
        hello,
        rtt_us: Some(100),
        replaces: false,
        spare: false,
    }
}

/// A node with two links: to an honest peer (connection 1), and to one under test (connection 2).
pub(crate) struct Desk {
    pub(crate) core: Core,
    pub(crate) now: Time,
    pub(crate) actions: Vec<Action>,
    pub(crate) events: Vec<Event>,
}

pub(crate) const HONEST: ConnId = ConnId(1);
pub(crate) const LIAR: ConnId = ConnId(2);

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A desk with changed settings.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let change = |config: &mut Config, _| change(config);
        Self::with_records(change, |peer| Record::sign(body(peer), NETWORK, peer))
    }

    /// A desk with changed settings, which may depend on the node's id, and with other records of the neighbours.
    pub(crate) fn with_records(
        change: impl FnOnce(&mut Config, NodeId),
        record: impl Fn(&Identity) -> Arc<Record>,
    ) -> Self {
        let mut net = Net::new(0);
        net.add(&[]);
        let node = &net.nodes[0];
        let mut config = node.config();
        change(&mut config, node.id());
        let core = Core::new(config, node.signer());
        let mut desk = Self {
            core,
            now: ms(0),
            actions: Vec::new(),
            events: Vec::new(),
        };
        for (conn, key) in [(HONEST, 1), (LIAR, 2)] {
            let identity = identity(key);
            desk.connect(conn, &identity, record(&identity));
        }
        desk
    }

    pub(crate) fn connect(&mut self, conn: ConnId, peer: &Identity, record: Arc<Record>) {
        self.connect_to_one_that_knows(conn, peer, record, 1);
    }

    pub(crate) fn connect_to_one_that_knows(
        &mut self,
        conn: ConnId,
        peer: &Identity,
        record: Arc<Record>,
        known: u32,
    ) {
        let connected = connected(conn, peer, record, known);
        self.give(Input::Connected(Box::new(connected)));
        self.give(Input::Flushed(conn, usize::MAX));
        // The dialer probes as soon as it has the Hello; from then on the link is listed.
        let probe = Probe {
            seq: 1,
            heard: true,
            rtt_us: 0,
            loss: 0,
            next_ms: 1500,
            digest: ViewDigest([0; 8]),
        };
        self.core.handle(self.now, Input::Probe(conn, probe));
        self.drain();
    }

    pub(crate) fn give(&mut self, input: Input) {
        self.now += ms(20);
        self.core.handle(self.now, input);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(action) = self.core.poll_action() {
            if let Action::Send(conn, _) = &action {
                let flushed = Input::Flushed(*conn, usize::MAX);
                self.actions.push(action);
                self.core.handle(self.now, flushed);
            } else {
                self.actions.push(action);
            }
        }
        while let Some(event) = self.core.poll_event() {
            self.events.push(event);
        }
    }

    pub(crate) fn say(&mut self, message: Message) {
        self.give(Input::Message(LIAR, message));
        // Signatures are verified after the waiting inputs, at the same time.
        self.core.handle(self.now, Input::Timeout);
        self.drain();
    }

    /// Lets time pass. The neighbours of those connections answer, until `until` happens.
    pub(crate) fn pass(
        &mut self,
        answering: &[ConnId],
        most: Time,
        until: impl Fn(&Event) -> bool,
    ) -> bool {
        let end = self.now + most;
        let (mut seq, mut seen) = (1, self.events.len());
        while self.now < end {
            let asked: Vec<(ConnId, u32)> = self
                .actions
                .drain(..)
                .filter_map(|action| match action {
                    Action::Probe(conn, probe) => Some((conn, probe.seq)),
                    _ => None,
                })
                .collect();
            for (conn, seq) in asked
                .into_iter()
                .filter(|(conn, _)| answering.contains(conn))
            {
                let answer = Answer { seq, hold_us: 0 };
                self.core
                    .handle(self.now, Input::Answer(conn, answer, Some(100)));
            }
            seq += 1;
            for &conn in answering {
                let probe = Probe {
                    seq,
                    heard: true,
                    rtt_us: 100,
                    loss: 0,
                    next_ms: 1500,
                    digest: self.core.digest(),
                };
                self.core.handle(self.now, Input::Probe(conn, probe));
            }
            self.give(Input::Timeout);
            if self.events[seen..].iter().any(&until) {
                return true;
            }
            seen = self.events.len();
        }
        false
    }

    pub(crate) fn rejected(&self, name: &str) -> u64 {
        let rejected = self.core.snapshot(self.now).rejected.0;
        rejected
            .iter()
            .find(|(what, _)| *what == name)
            .map_or(0, |(_, count)| *count)
    }

    pub(crate) fn closed(&self, conn: ConnId) -> Option<CloseCode> {
        self.actions.iter().find_map(|action| match action {
            Action::Close(closed, code, _) if *closed == conn => Some(*code),
            _ => None,
        })
    }

    /// The messages sent to a neighbour since time last passed.
    pub(crate) fn sent(&self, to: ConnId) -> impl Iterator<Item = &Message> {
        self.actions.iter().filter_map(move |action| match action {
            Action::Send(conn, message) if *conn == to => Some(message),
            _ => None,
        })
    }
}
