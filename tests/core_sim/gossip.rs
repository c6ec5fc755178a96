//! Which records a node asks for, and of whom, and what it passes on first, whatever one neighbour says.

use std::sync::Arc;

use area_net::identity::Identity;
use area_net::membership::{Action, Closed, ConnId, Input};
use area_net::record::{Body, Record, Signer as _};
use area_net::wire::{MAX_SYNC_ENTRIES, Message, ShortId};

use crate::desk::{Desk, HONEST, LIAR, arrived, body, identity, link_to};
use crate::net::NETWORK;

/// When two parts of a split network meet, a link counts only after a first anti-entropy round. A peer can't prolong that.
#[test]
fn a_peer_with_something_new_at_every_comparison_is_not_compared_with_for_ever() {
    let mut desk = Desk::new();
    // Links wait only after nodes have been lost from view.
    desk.give(Input::Closed(LIAR, Closed::Reset));
    let drip = (ConnId(3), identity(3));
    let record = Record::sign(body(&drip.1), NETWORK, &drip.1);
    desk.connect_to_one_that_knows(drip.0, &drip.1, record, 2000);
    let id = drip.1.node_id().abbreviated();
    let (mut answered, mut key) = (0, 20);
    loop {
        let compared = desk.actions.iter().filter(
            |action| matches!(action, Action::Send(conn, Message::Digests { .. }) if *conn == drip.0),
        );
        let compared = compared.count();
        if compared == answered {
            break;
        }
        answered = compared;
        assert!(answered < 64, "over what a neighbour allows");
        assert!(desk.core.own_record().link_to(&id).is_none(), "waits");
        key += 1;
        let new = identity(key);
        let record = Record::sign(body(&new), NETWORK, &new);
        desk.give(Input::Message(
            drip.0,
            Message::Versions {
                log2: 10,
                buckets: vec![u16::from(key)],
                entries: vec![(new.node_id().abbreviated(), record.version())],
            },
        ));
        desk.give(Input::Message(
            drip.0,
            Message::Records(vec![arrived(&record)]),
        ));
        desk.give(Input::Timeout);
    }
    assert_eq!(answered, 24);
    for _ in 0..10 {
        desk.give(Input::Timeout);
    }
    assert!(
        desk.core.own_record().link_to(&id).is_some(),
        "counts from then on"
    );
    assert_eq!(desk.closed(drip.0), None);
}

/// A record that is announced and never sent is requested from each peer that announced it in turn, and not for ever.
#[test]
fn who_tells_of_a_record_and_does_not_send_it_is_not_the_only_one_asked() {
    let mut desk = Desk::new();
    let liar = identity(2);
    let version = Record::sign(body(&liar), NETWORK, &liar).version();
    let unknown = ShortId([7; 16]);
    for conn in [LIAR, HONEST] {
        desk.give(Input::Message(
            conn,
            Message::Have(vec![(unknown, version)]),
        ));
    }
    let asked = |desk: &Desk, conn| {
        let graft = Action::Send(conn, Message::Graft(vec![unknown]));
        desk.actions
            .iter()
            .filter(|action| **action == graft)
            .count()
    };
    assert_eq!((asked(&desk, LIAR), asked(&desk, HONEST)), (1, 0));
    for _ in 0..200 {
        desk.give(Input::Timeout);
    }
    assert_eq!((asked(&desk, LIAR), asked(&desk, HONEST)), (2, 1));
}

/// A neighbour announces invented versions. Other neighbours are asked only for real records, and no more often however many
/// arrive.
#[test]
fn a_version_that_was_invented_does_not_keep_others_from_being_asked() {
    let mut desk = Desk::new();
    let other = identity(9);
    let record = |seq| {
        let mut body = body(&other);
        body.seq = seq;
        Record::sign(body, NETWORK, &other)
    };
    let short = other.node_id().abbreviated();
    let have = |record: &Record| Message::Have(vec![(short, record.version())]);
    let asks = |message: &&Message| match message {
        Message::Request(ids) | Message::Graft(ids) => ids.contains(&short),
        _ => false,
    };
    let begun = desk.now;
    for round in 0..50 {
        desk.say(have(&record(1001 + round)));
        desk.give(Input::Message(HONEST, have(&record(100 + round))));
        desk.say(Message::Records(vec![arrived(&record(1 + round))]));
    }
    let asked = desk.sent(HONEST).filter(asks).count() as u128;
    let most = (desk.now - begun).as_millis() / 50;
    assert!(asked > 0 && asked <= most, "{asked}");
}

/// A node that announces thousands of invented records is not the only one that is asked for records.
#[test]
fn a_neighbour_that_tells_of_invented_nodes_leaves_room_for_the_words_of_others() {
    let mut desk = Desk::new();
    let liar = identity(2);
    let version = Record::sign(body(&liar), NETWORK, &liar).version();
    let unknown = |at: u16| {
        let mut id = [9; 16];
        id[..2].copy_from_slice(&at.to_be_bytes());
        (ShortId(id), version)
    };
    for round in 0..24 {
        let told = (0..1000).map(|at| unknown(round * 1000 + at)).collect();
        desk.core
            .handle(desk.now, Input::Message(LIAR, Message::Have(told)));
        desk.drain();
    }
    let honest = unknown(30_000);
    desk.give(Input::Message(HONEST, Message::Have(vec![honest])));
    let asked = |of, id| {
        let asks = |action: &&Action| matches!(action, Action::Send(conn, Message::Graft(ids)) if *conn == of && ids.contains(&id));
        desk.actions.iter().filter(asks).count()
    };
    assert_eq!(asked(LIAR, unknown(8000).0), 1, "many are normal");
    assert_eq!(asked(LIAR, unknown(8192).0), 0);
    assert_eq!(asked(HONEST, honest.0), 1);
}

/// A node that lost all others from view compares views at the coarsest level: the records that it lacks do not fit into one
/// answer.
#[test]
fn a_neighbour_that_knows_nobody_is_told_of_a_large_view_piece_by_piece() {
    const NODES: usize = 1500;
    let mut desk = Desk::new();
    // A tree, whose root is the honest one.
    let key = |number: usize| {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
        if number == 0 {
            identity(1)
        } else {
            Identity::from_seed(&seed)
        }
    };
    let keys: Vec<Identity> = (0..NODES).map(key).collect();
    let link = |to: usize| link_to(&keys[to]);
    let records = (0..NODES).map(|number| {
        let children = [2 * number + 1, 2 * number + 2];
        let parent = (number > 0).then(|| (number - 1) / 2);
        let peers = children.into_iter().filter(|child| *child < NODES);
        let mut links: Vec<_> = peers.chain(parent).map(link).collect();
        links.sort_by_key(|link| link.peer);
        let body = Body {
            seq: 2,
            links,
            ..body(&keys[number])
        };
        Record::sign(body, NETWORK, &keys[number])
    });
    let records: Vec<Arc<Record>> = records.collect();
    for batch in records.chunks(50) {
        desk.give(Input::Message(HONEST, Message::Records(batch.to_vec())));
    }
    for _ in 0..20 {
        desk.give(Input::Timeout);
    }
    assert_eq!(desk.core.up_count(), NODES + 2);
    let mut told = std::collections::BTreeSet::new();
    for _ in 0..2 {
        desk.actions.clear();
        desk.say(Message::Digests {
            log2: 0,
            sums: vec![0],
        });
        let versions = desk.actions.iter().find_map(|action| match action {
            Action::Send(LIAR, Message::Versions { entries, .. }) => Some(entries),
            _ => None,
        });
        let versions = versions.expect("an answer");
        assert!(versions.len() <= MAX_SYNC_ENTRIES);
        told.extend(versions.iter().map(|(id, _)| *id));
    }
    assert_eq!(told.len(), NODES + 2, "in two answers, which don't overlap");
}

/// Two nodes were lost from view, one behind the other. A neighbour's news of the farther one is handled before the link that
/// brings both back. Otherwise its outdated state would be shown for a moment.
#[test]
fn news_of_a_lost_part_is_passed_on_before_the_link_that_brings_it_back() {
    let mut desk = Desk::new();
    let (near, far, reader) = (identity(2), identity(3), identity(4));
    let record = |of: &Identity, seq, peers: &[&Identity]| {
        let mut links: Vec<_> = peers.iter().map(|peer| link_to(peer)).collect();
        links.sort_by_key(|link| link.peer);
        let body = Body {
            seq,
            links,
            ..body(of)
        };
        arrived(&Record::sign(body, NETWORK, of))
    };
    let reads = ConnId(3);
    desk.connect(reads, &reader, record(&reader, 1, &[]));
    let tell = |desk: &mut Desk, conn, records| {
        desk.give(Input::Message(conn, Message::Records(records)));
        desk.give(Input::Timeout);
    };
    tell(
        &mut desk,
        LIAR,
        vec![record(&near, 2, &[&far]), record(&far, 2, &[&near])],
    );
    desk.give(Input::Closed(LIAR, Closed::Reset));
    for _ in 0..50 {
        desk.give(Input::Timeout);
    }
    desk.actions.clear();
    let (news, bridge) = (record(&far, 3, &[&near]), record(&identity(1), 2, &[&near]));
    tell(&mut desk, HONEST, vec![news.clone(), bridge.clone()]);
    for _ in 0..20 {
        desk.give(Input::Timeout);
    }
    let read: Vec<_> = desk
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Send(conn, Message::Records(records)) if *conn == reads => Some(records),
            _ => None,
        })
        .collect();
    let at = |record| read.iter().position(|batch| batch.contains(record));
    assert!(at(&news).is_some() && at(&news) <= at(&bridge), "{read:?}");
}
