//! The nodes that stand in for one that may be dead while it is in view.

use area_net::identity::Identity;
use area_net::membership::{Action, Closed, ConnId, Input, ring_position};
use area_net::record::{LinkState, PublishedAddr, Record, ShortRun, Signer as _};
use area_net::wire::Message;

use crate::desk::{Desk, arrived, body, identity, link_to};
use crate::growth::chain;
use crate::net::{NETWORK, Net, secs};

/// The places of a network along the ring, from one of them on.
fn around(net: &Net, from: usize) -> Vec<usize> {
    let position = |place: usize| ring_position(&net.nodes[place].id());
    let mut all: Vec<usize> = (0..net.nodes.len()).collect();
    all.sort_by_key(|&place| position(place).wrapping_sub(position(from)));
    all
}

fn link_to_desk(desk: &Desk) -> LinkState {
    let own = desk.core.own_record();
    LinkState {
        peer: own.id().abbreviated(),
        run: ShortRun::of(own.body().run_id),
        ..link_to(&identity(2))
    }
}

fn is_linked(net: &Net, a: usize, b: usize) -> bool {
    let id = net.nodes[b].id();
    let core = net.nodes[a].core().unwrap();
    core.own_record().link_to(&id.abbreviated()).is_some()
}

#[test]
fn the_next_one_on_the_ring_stands_in_for_a_successor_that_does_not_answer() {
    let mut net = chain(5, 40);
    net.start_all();
    net.settle(secs(12));
    net.shed();
    net.run(secs(5));
    let unlinked_to_third = |place: &usize| {
        let around = around(&net, *place);
        !is_linked(&net, *place, around[3]) && !is_linked(&net, around[3], *place)
    };
    let a = (0..40).find(unlinked_to_third).unwrap();
    let (successor, third) = (around(&net, a)[1], around(&net, a)[3]);
    assert!(is_linked(&net, a, successor));
    net.dead = [(a, successor), (successor, a)].into();
    net.run(secs(5));
    assert!(!is_linked(&net, a, successor));
    let id = net.nodes[successor].id();
    let shown = net.shown[a].contains(&id);
    assert!(shown, "others have links to it");
    assert!(is_linked(&net, a, third));
}

#[test]
fn of_those_in_view_whoever_a_neighbour_has_lost_is_dialed_last() {
    for seed in 0..8 {
        let mut desk = Desk::with(|config| {
            (config.full_mesh, config.degree_target) = (2, 3);
            config.seed = [seed; 32];
        });
        let own = desk.core.own_record();
        let distance = |key: u8| {
            ring_position(&identity(key).node_id()).wrapping_sub(ring_position(&own.id()))
        };
        let honest = identity(1);
        // The successors are the neighbours that there are.
        let mut farther = (3..=255).filter(|&key| distance(key) > distance(1).max(distance(2)));
        let mut next = || identity(farther.next().unwrap());
        let (lost, near, far) = (next(), next(), next());
        let record = Record::sign(body(&lost), NETWORK, &lost);
        desk.connect(ConnId(3), &lost, record);
        desk.give(Input::Closed(ConnId(3), Closed::Reset));
        let mut gone = body(&near);
        gone.links = vec![link_to(&honest), link_to(&far)];
        gone.links.sort_by_key(|link| link.peer);
        let mut there = body(&far);
        there.links = vec![link_to(&honest), link_to(&near)];
        there.links.sort_by_key(|link| link.peer);
        let records = [
            Record::sign(gone, NETWORK, &near),
            Record::sign(there, NETWORK, &far),
        ];
        desk.say(Message::Records(
            records.map(|record| arrived(&record)).into(),
        ));
        let mut told = body(&honest);
        told.seq = 2;
        told.links = vec![link_to(&far), link_to_desk(&desk)];
        told.links.sort_by_key(|link| link.peer);
        desk.actions.clear();
        let told = Record::sign(told, NETWORK, &honest);
        desk.say(Message::Records(vec![arrived(&told)]));
        for _ in 0..5 {
            desk.give(Input::Timeout);
        }
        let two = [near.node_id(), far.node_id()];
        let mut dialed = desk.actions.iter().filter_map(|action| match action {
            Action::Dial { expect, .. } => expect.filter(|id| two.contains(id)),
            _ => None,
        });
        assert_eq!(dialed.next(), Some(far.node_id()), "seed {seed}");
    }
}

#[test]
fn after_a_loss_a_slow_dial_is_not_waited_for() {
    for (loses, patient) in [(false, true), (true, false)] {
        let mut desk = Desk::with(|config| (config.full_mesh, config.degree_target) = (2, 3));
        let (honest, lost) = (identity(1), identity(3));
        if loses {
            desk.connect(ConnId(3), &lost, Record::sign(body(&lost), NETWORK, &lost));
            desk.give(Input::Closed(ConnId(3), Closed::Reset));
        }
        let others: Vec<Identity> = (10..30).map(identity).collect();
        let mut told = body(&honest);
        told.seq = 2;
        told.links = others
            .iter()
            .map(link_to)
            .chain([link_to_desk(&desk)])
            .collect();
        told.links.sort_by_key(|link| link.peer);
        let near = Record::sign(told, NETWORK, &honest);
        let leaf = |(port, one): (u16, &Identity)| {
            let mut body = body(one);
            let addr = format!("[::1]:{port}").parse().unwrap();
            body.addrs = vec![PublishedAddr::local(addr)];
            body.links = vec![link_to(&honest)];
            arrived(&Record::sign(body, NETWORK, one))
        };
        let all = std::iter::once(arrived(&near)).chain((9000..).zip(&others).map(leaf));
        desk.actions.clear();
        desk.say(Message::Records(all.collect()));
        // No node answers a dial.
        let mut dials = Vec::new();
        for turn in 0..2500 / 20 {
            desk.give(Input::Timeout);
            if turn == 400 / 20 {
                // The neighbour set is looked at before the dials are slow, and again afterwards.
                let fourth = identity(4);
                let record = Record::sign(body(&fourth), NETWORK, &fourth);
                desk.connect(ConnId(4), &fourth, record);
            }
            let dialed = |action: &&Action| matches!(action, Action::Dial { .. });
            dials.push(desk.actions.iter().filter(dialed).count());
        }
        let (first, at_last) = (dials[800 / 20], *dials.last().unwrap());
        assert!(first > 0 && at_last <= 8, "{dials:?}");
        assert_eq!(at_last == first, patient, "{dials:?}");
    }
}
