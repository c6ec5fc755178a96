//! A peer may dial from a port on which it does not listen. Its record, once there is one that names an address, decides where it is
//! dialed.

use std::net::SocketAddr;
use std::sync::Arc;

use area_net::membership::{Action, Closed, ConnId, Connected, Input};
use area_net::record::{AddrKind, Body, LinkState, PublishedAddr, Record, Signer as _};
use area_net::wire::{Message, NodeId, Probe, ViewDigest};

use crate::desk::{Desk, arrived, body, connected, identity, link_to};
use crate::net::{NETWORK, ms};

const PEER: u8 = 9;
const CONN: ConnId = ConnId(9);

fn spare() -> SocketAddr {
    "203.0.113.9:40001".parse().unwrap()
}

fn listening() -> SocketAddr {
    "203.0.113.9:8083".parse().unwrap()
}

/// The peer's record: it has these addresses, and a link with the node at the desk.
fn says(desk: &Desk, seq: u32, addrs: &[SocketAddr]) -> Arc<Record> {
    let peer = identity(PEER);
    let link = LinkState {
        peer: desk.core.own_record().id().abbreviated(),
        ..link_to(&peer)
    };
    let observed = |addr: &SocketAddr| PublishedAddr::new(AddrKind::Observed, *addr);
    let body = Body {
        seq,
        addrs: addrs.iter().map(observed).collect(),
        links: vec![link],
        ..body(&peer)
    };
    Record::sign(body, NETWORK, &peer)
}

/// A desk at which the peer came in from its spare port, while its record named those addresses.
fn came_in(addrs: &[SocketAddr]) -> Desk {
    let mut desk = Desk::new();
    let record = says(&desk, 1, addrs);
    let new = Connected {
        remote: spare(),
        ..connected(CONN, &identity(PEER), record, 1)
    };
    desk.give(Input::Connected(Box::new(new)));
    let probe = Probe {
        seq: 1,
        heard: true,
        rtt_us: 0,
        loss: 0,
        next_ms: 1500,
        digest: ViewDigest([0; 8]),
    };
    desk.give(Input::Probe(CONN, probe));
    desk.now += ms(200);
    desk.give(Input::Timeout);
    assert!(desk.core.is_up(&identity(PEER).node_id()));
    desk.actions.clear();
    desk
}

/// The addresses of the first dial of the peer, in the order in which they are tried.
fn dialed(desk: &mut Desk) -> Vec<SocketAddr> {
    let peer: NodeId = identity(PEER).node_id();
    for _ in 0..100 {
        desk.give(Input::Timeout);
        for action in desk.actions.drain(..) {
            if let Action::Dial {
                addr,
                others,
                expect,
                ..
            } = action
                && expect == Some(peer)
            {
                return [vec![addr], others].concat();
            }
        }
    }
    panic!("the peer is not dialed");
}

#[test]
fn the_port_of_a_peer_that_names_no_address_is_a_guess_until_it_names_one() {
    let mut desk = came_in(&[]);
    let record = arrived(&says(&desk, 2, &[listening()]));
    desk.give(Input::Message(CONN, Message::Records(vec![record])));
    desk.now += ms(500);
    desk.give(Input::Timeout);
    desk.give(Input::Closed(CONN, Closed::TimedOut));
    assert_eq!(dialed(&mut desk), [listening()]);
}

#[test]
fn without_another_address_the_guess_is_dialed() {
    let mut desk = came_in(&[]);
    desk.give(Input::Closed(CONN, Closed::TimedOut));
    assert_eq!(dialed(&mut desk), [spare()]);
}

#[test]
fn a_connection_from_a_spare_port_is_replaced_where_the_peer_listens() {
    let mut desk = came_in(&[listening()]);
    desk.give(Input::PathLost(CONN));
    assert_eq!(dialed(&mut desk), [listening(), spare()]);
}
