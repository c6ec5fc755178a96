//! What the node hears of the machine around it: addresses behind names, nodes on the same link, lost addresses.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use area_net::membership::{Action, DialError, DialId, Input, Obstacle};
use area_net::record::Signer as _;
use area_net::wire::NodeId;

use crate::desk::{Desk, HONEST, identity};
use crate::net::{ms, secs};

pub(crate) fn addr(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 8083))
}

/// The dials since time last passed: the number, the address, who is expected, and whether it replaces a connection.
pub(crate) fn dials(desk: &mut Desk) -> Vec<(DialId, SocketAddr, Option<NodeId>, bool)> {
    let dials = desk.actions.drain(..).filter_map(|action| match action {
        Action::Dial {
            dial,
            addr,
            expect,
            replaces,
            ..
        } => Some((dial, addr, expect, replaces)),
        _ => None,
    });
    dials.collect()
}

#[test]
fn a_link_stays_listed_while_the_connection_of_a_lost_address_is_replaced() {
    let mut desk = Desk::new();
    let honest = identity(1).node_id().abbreviated();
    let lists = |desk: &Desk| desk.core.own_record().link_to(&honest).is_some();
    assert!(lists(&desk));
    dials(&mut desk);
    desk.give(Input::PathLost(HONEST));
    let dialed = dials(&mut desk);
    let [(dial, at, expect, true)] = dialed[..] else {
        panic!("one dial that replaces: {dialed:?}");
    };
    assert_eq!(expect, Some(identity(1).node_id()));
    assert_eq!(at, "[::1]:7000".parse().unwrap());
    assert!(lists(&desk));
    desk.give(Input::PathLost(HONEST));
    assert_eq!(dials(&mut desk), [], "it is being dialed already");
    // The other end can't be dialed either: the detector decides what becomes of the link.
    desk.give(Input::DialFailed(dial, DialError::Timeout));
    assert!(lists(&desk));
    // Every packet that can't leave says so. The next dial waits a moment.
    desk.give(Input::PathLost(HONEST));
    assert_eq!(dials(&mut desk), []);
    desk.now += ms(1001);
    desk.give(Input::PathLost(HONEST));
    let again = dials(&mut desk);
    let [(dial, _, _, true)] = again[..] else {
        panic!("one dial: {again:?}");
    };
    let blocked = DialError::Blocked(Obstacle::NoRoute);
    desk.give(Input::DialFailed(dial, blocked));
    // A new address needs no wait.
    own_addrs(&mut desk, &[addr(9)]);
    let again = dials(&mut desk);
    assert!(matches!(again[..], [(.., true)]), "{again:?}");
}

/// The addresses of the interfaces change, and the new record tells so.
pub(crate) fn own_addrs(desk: &mut Desk, local: &[SocketAddr]) {
    let (advertised, local) = (Vec::new(), local.to_vec());
    desk.give(Input::OwnAddrs { advertised, local });
    desk.now += ms(100);
    desk.give(Input::Timeout);
}

#[test]
fn a_lost_address_that_no_connection_is_bound_to_costs_no_dial() {
    // Behind a NAT no peer sees this node at an address of an interface.
    let mut desk = Desk::new();
    own_addrs(&mut desk, &[addr(8), addr(9)]);
    dials(&mut desk);
    own_addrs(&mut desk, &[addr(9)]);
    assert_eq!(dials(&mut desk), []);
}

#[test]
fn what_stands_behind_a_name_is_dialed_and_forgotten_with_it() {
    let mut desk = Desk::new();
    dials(&mut desk);
    let fail = |desk: &mut Desk| {
        let dialed = dials(desk);
        for (dial, ..) in &dialed {
            desk.give(Input::DialFailed(*dial, DialError::Timeout));
        }
        let addrs = dialed.iter().map(|(_, addr, ..)| *addr);
        addrs.collect::<BTreeSet<SocketAddr>>()
    };
    desk.give(Input::Targets(vec![addr(1), addr(2), addr(1)]));
    assert_eq!(fail(&mut desk), BTreeSet::from([addr(1), addr(2)]));
    // What stays is not dialed for that alone.
    desk.give(Input::Targets(vec![addr(2), addr(3)]));
    assert_eq!(fail(&mut desk), BTreeSet::from([addr(3)]));
    let mut drawn = BTreeSet::new();
    let end = desk.now + secs(600);
    while desk.now < end {
        desk.now += ms(480);
        desk.give(Input::Timeout);
        drawn.extend(fail(&mut desk));
    }
    let behind: Vec<SocketAddr> = drawn
        .into_iter()
        .filter(|addr| addr.port() == 8083)
        .collect();
    assert_eq!(behind, [addr(2), addr(3)]);
}

#[test]
fn a_node_that_was_found_is_dialed_unless_it_is_up_or_did_not_answer() {
    let mut desk = Desk::new();
    dials(&mut desk);
    let newcomer = NodeId([77; 32]);
    desk.give(Input::Found(newcomer, addr(1)));
    let dialed = dials(&mut desk);
    let [(dial, at, Some(expect), false)] = dialed[..] else {
        panic!("one dial: {dialed:?}");
    };
    assert_eq!((at, expect), (addr(1), newcomer));
    desk.give(Input::Found(newcomer, addr(2)));
    assert_eq!(dials(&mut desk), [], "it is being dialed already");
    desk.give(Input::DialFailed(dial, DialError::Timeout));
    desk.give(Input::Found(newcomer, addr(1)));
    assert_eq!(dials(&mut desk), [], "it rests");
    let neighbour = identity(1).node_id();
    assert!(desk.core.is_up(&neighbour));
    desk.give(Input::Found(neighbour, addr(3)));
    let me = desk.core.own_record().id();
    desk.give(Input::Found(me, addr(4)));
    assert_eq!(dials(&mut desk), []);
}
