//! Neighbours that fall silent.

use std::sync::Arc;

use area_net::membership::{Action, Closed, ConnId, Event, Input};
use area_net::record::{LinkState, Record, ShortRun, Signer as _};
use area_net::wire::{Answer, Message, Probe};

use crate::desk::{Desk, HONEST, LIAR, arrived, body, identity, link_to};
use crate::net::{NETWORK, ms, secs};

const THIRD: ConnId = ConnId(3);

/// The honest peer's record number `seq`, with a link to this node and to others.
fn honest_record(desk: &Desk, seq: u32, to_others: &[LinkState]) -> Arc<Record> {
    let (honest, liar) = (identity(1), identity(2));
    let mut body = body(&honest);
    body.seq = seq;
    let own = desk.core.own_record();
    let mut to_me = link_to(&liar);
    to_me.peer = own.id().abbreviated();
    to_me.run = ShortRun::of(own.body().run_id);
    body.links = [&[to_me], to_others].concat();
    body.links.sort_by_key(|link| link.peer);
    Record::sign(body, NETWORK, &honest)
}

/// A desk that shows the third node as up, behind the honest peer.
fn with_third_in_view() -> Desk {
    let mut desk = Desk::new();
    let (honest, third) = (identity(1), identity(3));
    let near = honest_record(&desk, 2, &[link_to(&third)]);
    let mut far = body(&third);
    far.links = vec![link_to(&honest)];
    let far = Record::sign(far, NETWORK, &third);
    desk.say(Message::Records(vec![arrived(&near), arrived(&far)]));
    let is_up = |event: &Event| *event == Event::Up(third.node_id());
    assert!(desk.events.iter().any(is_up), "{:?}", desk.events);
    desk
}

fn unlinked(key: u8) -> impl Fn(&Event) -> bool {
    let lost = identity(key).node_id();
    move |event| matches!(event, Event::Unlinked { peer, .. } if *peer == lost)
}

fn compares(desk: &Desk, with: ConnId) -> bool {
    let mut sent = desk.sent(with);
    sent.any(|message| matches!(message, Message::Digests { .. }))
}

#[test]
fn what_passed_while_the_old_neighbours_fell_silent_is_asked_of_the_new_one() {
    let mut desk = with_third_in_view();
    assert!(
        !desk.pass(&[HONEST, LIAR], secs(12), |event| unlinked(1)(event)
            || unlinked(2)(event))
    );
    // One of two neighbours is lost: the other one has passed on everything meanwhile.
    assert!(desk.pass(&[HONEST], secs(30), unlinked(2)));
    assert!(!compares(&desk, HONEST));
    // The other one falls silent, and a node that was already in view becomes a neighbour.
    assert!(!desk.pass(&[], secs(1), unlinked(1)));
    let third = identity(3);
    let record = desk.core.snapshot(desk.now);
    assert!(record.nodes.iter().any(|node| node.id == third.node_id()));
    let mut far = body(&third);
    far.seq = 2;
    far.links = vec![link_to(&identity(1))];
    desk.connect_to_one_that_knows(THIRD, &third, Record::sign(far, NETWORK, &third), 9);
    desk.actions.clear();
    assert!(desk.pass(&[THIRD], secs(30), unlinked(1)));
    assert!(compares(&desk, THIRD));
    // All new records now come over that link: another loss requests nothing from it.
    let fourth = identity(4);
    let record = Record::sign(body(&fourth), NETWORK, &fourth);
    desk.connect(ConnId(4), &fourth, record);
    desk.actions.clear();
    desk.give(Input::Closed(ConnId(4), Closed::Reset));
    assert!(desk.events.iter().any(unlinked(4)));
    assert!(!compares(&desk, THIRD));
}

#[test]
fn a_suspicion_that_others_have_told_is_not_told_again() {
    for told in [false, true] {
        let mut desk = with_third_in_view();
        let third = identity(3);
        assert!(!desk.pass(&[HONEST, LIAR], secs(12), unlinked(2)));
        let liar = identity(2);
        let with_liar = |suspect| {
            let mut link = link_to(&liar);
            link.suspect = suspect;
            let mut body = body(&third);
            body.seq = if suspect { 3 } else { 2 };
            body.links = vec![link];
            arrived(&Record::sign(body, NETWORK, &third))
        };
        desk.say(Message::Records(vec![with_liar(false)]));
        if told {
            desk.say(Message::Records(vec![with_liar(true)]));
        }
        let suspected = |event: &Event| *event == Event::Suspected(liar.node_id());
        let gone = |event: &Event| suspected(event) || unlinked(2)(event);
        assert!(desk.pass(&[HONEST], secs(30), gone));
        assert_eq!(
            desk.events.iter().any(suspected),
            !told,
            "{:?}",
            desk.events
        );
    }
}

#[test]
fn whom_two_others_have_lost_is_given_up_sooner() {
    let took = |tellers: u8, peer_lists: bool| {
        let mut desk = with_third_in_view();
        let liar = identity(2);
        let (third, fourth) = (identity(3), identity(4));
        let (to_third, to_fourth) = (link_to(&third), link_to(&fourth));
        let honest = honest_record(&desk, 3, &[to_third, to_fourth]);
        let record = |teller, seq, linked: bool| {
            let mut body = body(teller);
            body.seq = seq;
            let to_liar = linked.then(|| link_to(&liar));
            body.links = to_liar.into_iter().chain([link_to(&identity(1))]).collect();
            body.links.sort_by_key(|link| link.peer);
            arrived(&Record::sign(body, NETWORK, teller))
        };
        let mut listed = body(&liar);
        listed.seq = 2;
        if peer_lists {
            listed.links = vec![link_to(&third), link_to(&fourth)];
            listed.links.sort_by_key(|link| link.peer);
        }
        let linked = vec![
            arrived(&honest),
            arrived(&Record::sign(listed, NETWORK, &liar)),
            record(&third, 2, true),
            record(&fourth, 2, true),
        ];
        desk.give(Input::Message(HONEST, Message::Records(linked)));
        // A young link, whose loss is not known yet.
        let fell_silent = desk.now;
        assert!(!desk.pass(&[HONEST], secs(1), unlinked(2)));
        for teller in [&third, &fourth].into_iter().take(tellers.into()) {
            let lost = vec![record(teller, 3, false)];
            desk.give(Input::Message(HONEST, Message::Records(lost)));
        }
        assert!(desk.pass(&[HONEST], secs(30), unlinked(2)));
        desk.now - fell_silent
    };
    // The first report makes the node probe at once, but that report may be wrong.
    let (one, two) = (took(1, true), took(2, true));
    assert!(two + ms(400) < one, "{two:?}, {one:?}");
    // A node's report that it lost a neighbour that it never had is no confirmation.
    let strangers = took(2, false);
    assert!(two + ms(400) < strangers, "{two:?}, {strangers:?}");
}

#[test]
fn a_young_link_is_not_suspected_where_the_others_lose_exchanges() {
    for (loss, suspected) in [(0, true), (25, false)] {
        let mut desk = Desk::new();
        assert!(!desk.pass(&[HONEST, LIAR], secs(12), unlinked(1)));
        let third = identity(3);
        let record = Record::sign(body(&third), NETWORK, &third);
        desk.connect(THIRD, &third, record);
        assert!(!desk.pass(&[HONEST, LIAR, THIRD], ms(100), unlinked(3)));
        for conn in [HONEST, LIAR] {
            let probe = Probe {
                seq: 10_000,
                heard: true,
                rtt_us: 100,
                loss,
                next_ms: 20_000,
                digest: desk.core.digest(),
            };
            desk.give(Input::Probe(conn, probe));
        }
        let suspicion = |event: &Event| *event == Event::Suspected(third.node_id());
        let gone = |event: &Event| suspicion(event) || unlinked(3)(event);
        let answers = |desk: &mut Desk| {
            let asked = desk.actions.drain(..).filter_map(|action| match action {
                Action::Probe(conn, probe) if conn != THIRD => Some((conn, probe.seq)),
                _ => None,
            });
            for (conn, seq) in asked.collect::<Vec<_>>() {
                let answer = Answer { seq, hold_us: 0 };
                let input = Input::Answer(conn, answer, Some(100));
                desk.core.handle(desk.now, input);
            }
        };
        let seen = desk.events.len();
        while !desk.events[seen..].iter().any(gone) {
            answers(&mut desk);
            desk.give(Input::Timeout);
        }
        assert_eq!(desk.events[seen..].iter().any(suspicion), suspected);
    }
}
