//! Which words of a record put a link on the tree.

use std::sync::Arc;

use area_net::membership::Input;
use area_net::record::{Record, ShortRun};
use area_net::wire::{Message, ShortId};

use crate::desk::{Desk, HONEST, LIAR, arrived, body, identity, link_to};
use crate::net::{NETWORK, secs};

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
                Message::Want(ids) => Some((ids.clone(), false)),
                Message::Graft(ids) => Some((ids.clone(), true)),
                _ => None,
            }
        };
        let asked: Vec<_> = desk.sent(LIAR).filter_map(ids).collect();
        let wanted = missing.iter().map(|record| record.id().abbreviated());
        assert_eq!(asked, [(wanted.collect(), grafted)], "{late} of 4 are late");
    }
}

#[test]
fn words_of_measurements_go_together() {
    let mut desk = Desk::with(|config| (config.full_mesh, config.degree_target) = (2, 3));
    let records = records(&desk);
    let brought = records.iter().map(|record| arrived(record)).collect();
    desk.give(Input::Message(HONEST, Message::Records(brought)));
    desk.say(Message::Prune);
    assert!(!desk.pass(&[HONEST, LIAR], secs(5), |_| false));
    // Two nodes measure anew, half a second apart.
    let mut told = Vec::new();
    for key in [10, 11] {
        let other = identity(key);
        let mut body = body(&other);
        (body.seq, body.links) = (2, vec![link_to(&identity(1))]);
        body.links[0].rtt_us = 500;
        let record = Record::sign(body, NETWORK, &other);
        told.push((record.id().abbreviated(), record.version()));
        let message = Message::Records(vec![arrived(&record)]);
        desk.give(Input::Message(HONEST, message));
        for _ in 0..25 {
            desk.give(Input::Timeout);
        }
    }
    for _ in 0..50 {
        desk.give(Input::Timeout);
    }
    told.sort();
    let words = desk.sent(LIAR).filter_map(|message| match message {
        Message::Have(entries) => Some(entries.clone()),
        _ => None,
    });
    let mut words: Vec<_> = words.collect();
    words.iter_mut().for_each(|entries| entries.sort());
    assert_eq!(words, [told]);
}
