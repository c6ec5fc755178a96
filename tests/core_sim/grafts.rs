//! The neighbours that are asked for announced records, and the messages that make a link an eager push link.

use std::sync::Arc;

use area_net::membership::Input;
use area_net::record::{Record, ShortRun};
use area_net::wire::{Message, ShortId};

use crate::desk::{Desk, HONEST, LIAR, arrived, body, identity, link_to};
use crate::net::NETWORK;

/// The records of the honest peer's neighbours, and its own.
fn records(desk: &Desk) -> Vec<Arc<Record>> {
    let honest = identity(1);
    let others = [10, 11, 12, 13].map(identity);
    let mut near = body(&honest);
    near.seq = 2;
    let own = desk.core.own_record();
    let mut to_me = link_to(&honest);
    to_me.peer = own.id().abbreviated();
    to_me.run = ShortRun::of(own.body().run_id);
    near.links = others.iter().map(link_to).chain([to_me]).collect();
    near.links.sort_by_key(|link| link.peer);
    let near = Record::sign(near, NETWORK, &honest);
    let leaves = others.iter().map(|other| {
        let mut body = body(other);
        body.links = vec![link_to(&honest)];
        Record::sign(body, NETWORK, other)
    });
    std::iter::once(near).chain(leaves).collect()
}

#[test]
fn a_neighbour_is_asked_for_what_is_late_and_put_on_the_tree_where_most_is() {
    for (late, grafted) in [(1, false), (2, true), (4, true)] {
        let mut desk = Desk::with(|config| (config.full_mesh, config.degree_target) = (2, 3));
        let records = records(&desk);
        let (near, leaves) = records.split_first().unwrap();
        let (missing, known) = leaves.split_at(late);
        let brought = known.iter().chain([near]).map(|record| arrived(record));
        desk.give(Input::Message(HONEST, Message::Records(brought.collect())));
        desk.give(Input::Timeout);
        desk.actions.clear();
        let entry = |record: &Arc<Record>| (record.id().abbreviated(), record.version());
        desk.say(Message::Have(leaves.iter().map(entry).collect()));
        let ids = |message: &Message| -> Option<(Vec<ShortId>, bool)> {
            match message {
                Message::Request(ids) => Some((ids.clone(), false)),
                Message::Graft(ids) => Some((ids.clone(), true)),
                _ => None,
            }
        };
        let asked: Vec<_> = desk.sent(LIAR).filter_map(ids).collect();
        let wanted = missing.iter().map(|record| record.id().abbreviated());
        assert_eq!(asked, [(wanted.collect(), grafted)], "{late} of 4 are late");
    }
}

/// In a storm several versions of a record are in flight, and the neighbours announce them one after the other.
#[test]
fn a_newer_version_told_of_meanwhile_is_asked_for_as_soon_as_the_older_one_is_here() {
    let mut desk = Desk::with(|config| (config.full_mesh, config.degree_target) = (2, 3));
    let records = records(&desk);
    let brought = records.iter().map(|record| arrived(record));
    desk.give(Input::Message(HONEST, Message::Records(brought.collect())));
    desk.give(Input::Timeout);
    desk.actions.clear();
    let other = identity(10);
    let [older, newer] = [2, 3].map(|seq| {
        let mut body = body(&other);
        (body.seq, body.links) = (seq, vec![link_to(&identity(1))]);
        Record::sign(body, NETWORK, &other)
    });
    let short = older.id().abbreviated();
    let have = |record: &Arc<Record>| Message::Have(vec![(short, record.version())]);
    desk.say(have(&older));
    desk.give(Input::Message(HONEST, have(&newer)));
    desk.say(have(&older));
    let asked = |desk: &Desk| {
        [LIAR, HONEST].map(|conn| {
            let asks = |message: &&Message| match message {
                Message::Request(ids) | Message::Graft(ids) => ids.contains(&short),
                _ => false,
            };
            desk.sent(conn).filter(asks).count()
        })
    };
    assert_eq!(asked(&desk), [1, 0], "an answer is on its way");
    desk.say(Message::Records(vec![arrived(&older)]));
    for _ in 0..3 {
        desk.give(Input::Timeout);
    }
    assert_eq!(asked(&desk), [1, 1]);
    desk.give(Input::Message(
        HONEST,
        Message::Records(vec![arrived(&newer)]),
    ));
    for _ in 0..200 {
        desk.give(Input::Timeout);
    }
    assert_eq!(asked(&desk), [1, 1]);
}
