//! A Byzantine peer, and the node that disconnects it while its other links are unaffected.

use std::sync::Arc;

use area_net::identity::Identity;
use area_net::membership::{Action, Closed, ConnId, Core, Event, Input};
use area_net::record::{Body, Record, Signer as _};
use area_net::wire::{CloseCode, Hello, MAX_SYNC_ENTRIES, Message, ShortId, ViewDigest};

use crate::desk::{Desk, HONEST, LIAR, arrived, body, connected, identity, link_to};
use crate::net::{NETWORK, Net, ms, secs};

/// A record with an invalid signature.
fn forged(body: &Body) -> Arc<Record> {
    Record::from_parts(postcard::to_stdvec(body).unwrap(), [1; 64]).unwrap()
}

impl Desk {
    /// Checks that the Byzantine node's link was closed with that code and counter, and that the honest link stays.
    fn turned_away(&self, code: CloseCode, counter: &str) {
        assert_eq!(self.closed(LIAR), Some(code));
        assert_eq!(self.rejected(counter), 1, "{:?}", self.events);
        assert_eq!(self.closed(HONEST), None);
        let honest = identity(1).node_id().abbreviated();
        assert!(self.core.own_record().link_to(&honest).is_some());
        let unlinked = |event: &Event| matches!(event, Event::Unlinked { peer, .. } if *peer == identity(1).node_id());
        assert!(!self.events.iter().any(unlinked));
    }
}

#[test]
fn a_forged_record_costs_its_bringer_the_link() {
    let mut desk = Desk::new();
    let stranger = identity(9);
    desk.say(Message::Records(vec![forged(&body(&stranger))]));
    desk.turned_away(CloseCode::Protocol, "forged_record");
    assert!(
        !desk
            .core
            .snapshot(desk.now)
            .nodes
            .iter()
            .any(|node| node.id == stranger.node_id())
    );
}

#[test]
fn a_record_signed_for_another_network_is_forged() {
    let mut desk = Desk::new();
    let stranger = identity(9);
    let record = Record::sign(body(&stranger), "another", &stranger);
    desk.say(Message::Records(vec![arrived(&record)]));
    desk.turned_away(CloseCode::Protocol, "forged_record");
}

#[test]
fn an_honest_peer_s_record_can_t_be_replaced_by_a_forged_newer_one() {
    let mut desk = Desk::new();
    let honest = Body {
        seq: 99,
        leaving: true,
        ..body(&identity(1))
    };
    desk.say(Message::Records(vec![forged(&honest)]));
    desk.turned_away(CloseCode::Protocol, "forged_record");
    assert!(desk.core.up_count() >= 2, "the honest peer is still up");
}

#[test]
fn a_replayed_record_changes_nothing() {
    let mut desk = Desk::new();
    let third = identity(3);
    let old = Record::sign(body(&third), NETWORK, &third);
    let new = Record::sign(
        Body {
            seq: 5,
            label: "new".into(),
            ..body(&third)
        },
        NETWORK,
        &third,
    );
    let honest = Message::Records(vec![arrived(&new)]);
    desk.give(Input::Message(HONEST, honest));
    desk.give(Input::Timeout);
    for _ in 0..3 {
        desk.say(Message::Records(vec![arrived(&old)]));
    }
    assert_eq!(desk.core.label(&third.node_id()).as_deref(), Some("new"));
    assert_eq!(desk.closed(LIAR), None);
    // A peer that announces the old version is sent the new one, and only once: then it has it.
    desk.give(Input::Timeout);
    let sent = desk.actions.iter().filter(|action| {
        matches!(action, Action::Send(LIAR, Message::Records(records)) if records.contains(&new))
    });
    assert_eq!(sent.count(), 1);
}

#[test]
fn two_bodies_under_one_version_are_counted_and_the_greater_hash_wins() {
    let mut desk = Desk::new();
    let third = identity(3);
    let mut records = ["a", "b"].map(|label| {
        Record::sign(
            Body {
                label: label.into(),
                ..body(&third)
            },
            NETWORK,
            &third,
        )
    });
    records.sort_by_key(|record| record.version());
    for record in &records {
        desk.say(Message::Records(vec![arrived(record)]));
    }
    desk.say(Message::Records(vec![arrived(&records[0])]));
    assert_eq!(desk.rejected("two_bodies"), 1);
    let label = desk.core.label(&third.node_id());
    assert_eq!(label, Some(records[1].body().label.clone()));
    assert_eq!(desk.closed(LIAR), None);
}

#[test]
fn a_second_hello_breaks_the_protocol() {
    let mut desk = Desk::new();
    let liar = identity(2);
    let hello = Hello {
        run_id: 1,
        dial_counter: 1,
        replaces: false,
        observed: "[::1]:8000".parse().unwrap(),
        known: 1,
        digest: ViewDigest([0; 8]),
        record: Record::sign(body(&liar), NETWORK, &liar),
        revocations: 0,
    };
    desk.say(Message::Hello(hello));
    desk.turned_away(CloseCode::Protocol, "protocol_violation");
}

#[test]
fn a_hello_must_show_its_sender_s_own_genuine_record() {
    let (third, fourth) = (identity(3), identity(4));
    let stale = Body {
        run_id: 2,
        ..body(&third)
    };
    for record in [
        Record::sign(body(&fourth), NETWORK, &fourth),
        Record::sign(stale, NETWORK, &third),
        forged(&body(&third)),
    ] {
        let mut desk = Desk::new();
        desk.connect(ConnId(3), &third, record);
        assert_eq!(desk.closed(ConnId(3)), Some(CloseCode::Protocol));
        assert_eq!(desk.rejected("bad_hello"), 1);
        assert_eq!(desk.closed(HONEST), None);
    }
}

#[test]
fn digest_exchanges_without_end_are_over_the_limit() {
    let mut desk = Desk::new();
    let digests = || Message::Digests {
        log2: 10,
        sums: vec![1; 1024],
    };
    for _ in 0..60 {
        desk.say(digests());
    }
    assert_eq!(desk.closed(LIAR), None, "a burst is normal");
    for _ in 0..60 {
        desk.say(digests());
    }
    desk.turned_away(CloseCode::Limit, "over_limit");
}

/// The liar comes as another run of itself, on connection 3.
fn connect_second_run(desk: &mut Desk) {
    let liar = identity(2);
    let body = Body {
        run_id: 2,
        epoch: 2000,
        ..body(&liar)
    };
    let record = Record::sign(body, NETWORK, &liar);
    let mut second = connected(ConnId(3), &liar, record, 1);
    second.hello.run_id = 2;
    desk.give(Input::Connected(Box::new(second)));
    assert_eq!(desk.closed(ConnId(3)), None, "the first must answer");
}

/// Whoever is about to break a limit can't keep a second connection ready, as another run of itself.
#[test]
fn who_breaks_a_limit_is_kept_out_on_a_second_connection_too() {
    let kept_out = |desk: &Desk| {
        assert_eq!(desk.closed(ConnId(3)), Some(CloseCode::Limit));
        assert_eq!(desk.rejected("kept_out"), 1);
        let liar = identity(2).node_id();
        assert!(desk.core.connected().all(|peer| peer != liar));
    };
    let mut told_by_the_transport = Desk::new();
    connect_second_run(&mut told_by_the_transport);
    let violation = Closed::Violation(CloseCode::Limit, "a frame over the limit".to_owned());
    told_by_the_transport.give(Input::Closed(LIAR, violation));
    kept_out(&told_by_the_transport);

    let mut found_by_the_core = Desk::new();
    connect_second_run(&mut found_by_the_core);
    for _ in 0..300 {
        let message = Input::Message(LIAR, Message::Prune);
        found_by_the_core
            .core
            .handle(found_by_the_core.now, message);
    }
    for _ in 0..20 {
        found_by_the_core.give(Input::Timeout);
    }
    found_by_the_core.turned_away(CloseCode::Limit, "over_limit");
    kept_out(&found_by_the_core);
}

#[test]
fn a_limit_that_is_broken_on_a_connection_that_lost_keeps_out_others() {
    let mut desk = Desk::new();
    let liar = identity(2);
    let connect = |desk: &mut Desk, conn: ConnId| {
        let record = Record::sign(body(&liar), NETWORK, &liar);
        desk.give(Input::Connected(Box::new(connected(
            conn, &liar, record, 1,
        ))));
    };
    connect(&mut desk, ConnId(3));
    let violation = Closed::Violation(CloseCode::Limit, "a frame over the limit".to_owned());
    desk.give(Input::Closed(LIAR, violation));
    connect(&mut desk, ConnId(4));
    assert_eq!(desk.closed(ConnId(4)), Some(CloseCode::Limit));
    assert_eq!(desk.closed(ConnId(3)), None);
    assert!(desk.core.connected().any(|peer| peer == liar.node_id()));
}

#[test]
fn a_second_connection_that_is_kept_out_for_its_address_leaves_no_link_behind() {
    let mut desk = Desk::new();
    let (liar, other) = (identity(2).node_id(), identity(4));
    desk.connect(
        ConnId(4),
        &other,
        Record::sign(body(&other), NETWORK, &other),
    );
    connect_second_run(&mut desk);
    let violation = Closed::Violation(CloseCode::Limit, "a frame over the limit".to_owned());
    desk.give(Input::Closed(ConnId(4), violation));
    assert!(desk.core.connected().any(|peer| peer == liar));
    desk.give(Input::Closed(LIAR, Closed::Reset));
    assert_eq!(desk.closed(ConnId(3)), Some(CloseCode::Limit));
    assert!(desk.core.connected().all(|peer| peer != liar));
}

#[test]
fn words_about_the_tree_without_end_are_over_the_limit() {
    let mut desk = Desk::new();
    let liar = identity(2);
    let version = Record::sign(body(&liar), NETWORK, &liar).version();
    let unknown = |at: u16| {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&at.to_be_bytes());
        (ShortId(id), version)
    };
    for round in 0..32 {
        let told = (0..32).map(|at| unknown(round * 32 + at)).collect();
        desk.say(Message::Have(told));
    }
    for _ in 0..60 {
        desk.say(Message::Request(vec![ShortId([0; 16]); MAX_SYNC_ENTRIES]));
    }
    assert_eq!(desk.closed(LIAR), None, "a start is that busy");
    for _ in 0..300 {
        let prune = Input::Message(LIAR, Message::Prune);
        desk.core.handle(desk.now, prune);
    }
    desk.drain();
    desk.turned_away(CloseCode::Limit, "over_limit");
}

#[test]
fn what_the_transport_turns_away_is_counted_under_its_name() {
    for (code, counter) in [
        (CloseCode::Limit, "over_limit"),
        (CloseCode::Protocol, "protocol_violation"),
    ] {
        let mut desk = Desk::new();
        desk.give(Input::Closed(
            LIAR,
            Closed::Violation(code, "nonsense".to_owned()),
        ));
        assert_eq!(desk.rejected(counter), 1);
        assert_eq!(desk.closed(HONEST), None);
    }
}

#[test]
fn invented_nodes_are_never_up_and_never_dialed() {
    let mut desk = Desk::new();
    let liar = identity(2);
    let invented: Vec<Identity> = (20..60).map(identity).collect();
    for one in &invented {
        // It claims a link with the honest peer, which lists none.
        let mut claim = body(one);
        claim.links = vec![link_to(&identity(1))];
        let record = Record::sign(claim, NETWORK, one);
        desk.say(Message::Records(vec![arrived(&record)]));
    }
    for _ in 0..50 {
        desk.give(Input::Timeout);
    }
    assert_eq!(desk.core.up_count(), 3);
    let honest = |id| id == identity(1).node_id() || id == liar.node_id();
    let passed_on = desk.actions.iter().any(|action| match action {
        Action::Dial {
            expect: Some(id), ..
        } => !honest(*id),
        _ => false,
    });
    assert!(!passed_on, "nobody dials what nobody links with");
}

#[test]
fn a_peer_that_stops_reading_is_dropped() {
    let mut net = Net::new(1);
    net.add(&[]);
    let node = &net.nodes[0];
    let mut core = Core::new(node.config(), node.signer());
    let peer = identity(2);
    let connected = connected(LIAR, &peer, Record::sign(body(&peer), NETWORK, &peer), 1);
    core.handle(ms(0), Input::Connected(Box::new(connected)));
    let mut now = ms(0);
    let mut seq = 0;
    let mut closed = None;
    // It answers probes, but the Hello is never read.
    while now < secs(20) && closed.is_none() {
        now = core.poll_timeout().max(now);
        core.handle(now, Input::Timeout);
        while let Some(action) = core.poll_action() {
            match action {
                Action::Probe(conn, probe) => {
                    seq += 1;
                    let answer = area_net::wire::Answer {
                        seq: probe.seq,
                        hold_us: 0,
                    };
                    core.handle(now, Input::Answer(conn, answer, Some(100)));
                }
                Action::Close(_, code, _) => closed = Some((now, code)),
                Action::Dial { .. } | Action::Open { .. } | Action::Send(..) | Action::Echo(..) => {
                }
            }
        }
    }
    assert_eq!(closed, Some((secs(10), CloseCode::Stalled)));
    assert!(seq > 0);
}
