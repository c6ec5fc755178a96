//! Builders for the tests of single owners.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::Time;
use super::interface::{Config, ConnId, Connected, DialId};
use super::links::Links;
use super::tuning::Tuning;
use super::view::View;
use crate::record::{Body, Direction, LinkState, PublishedAddr, Record, ShortRun, Signer};
use crate::wire::{Hello, NodeId, ViewDigest};

/// A signer that signs nothing: owners take records as verified.
pub(super) struct Unsigned(pub(super) NodeId);

impl Signer for Unsigned {
    fn node_id(&self) -> NodeId {
        self.0
    }

    fn sign(&self, _message: &[u8]) -> [u8; 64] {
        [0; 64]
    }
}

pub(super) fn ms(ms: u64) -> Time {
    Duration::from_millis(ms)
}

/// A node id; ids are in the order of their numbers.
pub(super) fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

/// A loopback address.
pub(super) fn addr(port: u16) -> SocketAddr {
    (Ipv6Addr::LOCALHOST, port).into()
}

/// The settings of a node that is told of nobody.
pub(super) fn config() -> Config {
    Config {
        network: "tests".into(),
        label: "me".into(),
        addrs: vec![addr(1)],
        targets: Vec::new(),
        remembered: Vec::new(),
        run_id: 1,
        epoch: 1,
        seed: [0; 32],
        probe_interval: ms(1500),
        full_mesh: 16,
        degree_target: 8,
        claims: 64,
        degree_cap: 16,
        guests: 256,
        dials_at_once: 8,
        dial_timeout: ms(2900),
        refresh_bytes_per_s: 1000,
        forget_after: ms(600_000),
        tuning: Arc::default(),
        tells_links: false,
        charter: None,
        ids: None,
    }
}

/// A record without links.
pub(super) fn body(id: NodeId, run_id: u64, epoch: u64) -> Body {
    Body {
        id,
        label: "peer".into(),
        run_id,
        epoch,
        seq: 1,
        uptime_s: 0,
        addrs: Vec::new(),
        links: Vec::new(),
        leaving: false,
        certificate: None,
    }
}

/// A listed link to a peer's run, dialed, with a round-trip time of 1 ms.
pub(super) fn link_to(peer: NodeId, run_id: u64) -> LinkState {
    LinkState {
        peer: peer.abbreviated(),
        run: ShortRun::of(run_id),
        direction: Direction::Dialer,
        rtt_us: 1000,
        rtt_age_s: 0,
        loss: 0,
        suspect: false,
    }
}

/// A record of run 1 that lists links to run 1 of those peers.
pub(super) fn listing(id: NodeId, seq: u32, peers: impl IntoIterator<Item = NodeId>) -> Body {
    let links = peers.into_iter().map(|peer| link_to(peer, 1));
    let mut links: Vec<LinkState> = links.collect();
    links.sort_by_key(|link| link.peer);
    Body {
        seq,
        links,
        ..body(id, 1, 1)
    }
}

pub(super) fn record(body: Body) -> Arc<Record> {
    let signer = Unsigned(body.id);
    Record::sign(body, "tests", &signer)
}

/// A connection to a peer's run, dialed by this node or by the peer; the number is also the dialer's counter.
pub(super) fn connected(number: u64, peer: NodeId, run_id: u64, is_dialed: bool) -> Connected {
    Connected {
        conn: ConnId(number),
        dial: is_dialed.then_some(DialId(number)),
        peer,
        remote: addr(2),
        hello: Hello {
            run_id,
            dial_counter: if is_dialed { 0 } else { number },
            replaces: false,
            observed: addr(1),
            known: 2,
            digest: ViewDigest([0; 8]),
            record: record(body(peer, run_id, 1)),
            revocations: 0,
        },
        rtt_us: Some(1000),
        replaces: false,
        spare: false,
    }
}

/// What node `me` knows of a graph with these links, each of 10 ms: the view, and its own links. Each node publishes those addresses.
/// A neighbour sees it at a port of its own.
pub(super) fn around(
    now: Time,
    me: u8,
    graph: &[(u8, u8)],
    addrs: impl Fn(u8) -> Vec<PublishedAddr>,
) -> (View, Links) {
    let peers_of = |number: u8| -> Vec<u8> {
        let ends = graph.iter().map(|&(a, b)| (a, b));
        let both = ends.clone().chain(ends.map(|(a, b)| (b, a)));
        let mut peers: Vec<u8> = both.filter(|(a, _)| *a == number).map(|(_, b)| b).collect();
        peers.sort_unstable();
        peers
    };
    let of = |number: u8| {
        let link = |peer: &u8| LinkState {
            rtt_us: 10_000,
            ..link_to(node(*peer), 7)
        };
        record(Body {
            addrs: addrs(number),
            links: peers_of(number).iter().map(link).collect(),
            ..body(node(number), 7, 1)
        })
    };
    let mut view = View::new(of(me));
    let mut links = Links::new(node(me), ms(1500), Arc::new(Tuning::DEFAULT));
    let mut live = Vec::new();
    let mut numbers: Vec<u8> = graph.iter().flat_map(|&(a, b)| [a, b]).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for number in numbers.into_iter().filter(|number| *number != me) {
        view.accept(of(number), now, None, false);
    }
    for peer in peers_of(me) {
        let mut new = connected(peer.into(), node(peer), 7, true);
        new.hello.observed = SocketAddr::from(([203, 0, 113, me], 4000 + u16::from(peer)));
        links.adopt(now, &new);
        assert!(links.list_if_due(now, &node(peer), None));
        live.extend(view.index(&node(peer).abbreviated()));
    }
    view.derive_up(now, &live);
    (view, links)
}
