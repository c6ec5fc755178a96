//! A connection whose packets could not leave for a while: once its peer answers again, nothing is wrong with it.

use area_net::membership::{Action, DialError, Input, Obstacle};
use area_net::wire::Answer;

use crate::desk::{Desk, HONEST, LIAR};
use crate::edge::{addr, dials, own_addrs};
use crate::net::ms;

/// A node that lost the path to its honest peer. The dial in place of that connection failed.
fn without_a_path() -> Desk {
    let mut desk = Desk::new();
    dials(&mut desk);
    desk.give(Input::PathLost(HONEST));
    let dialed = dials(&mut desk);
    let [(dial, _, _, true)] = dialed[..] else {
        panic!("one dial that replaces: {dialed:?}");
    };
    let blocked = DialError::Blocked(Obstacle::NoRoute);
    desk.give(Input::DialFailed(dial, blocked));
    desk
}

/// Whether a new address of this node makes it replace the connection.
fn replaces_for_a_new_address(desk: &mut Desk) -> bool {
    dials(desk);
    own_addrs(desk, &[addr(9)]);
    dials(desk).iter().any(|(.., replaces)| *replaces)
}

#[test]
fn a_path_that_came_back_by_itself_is_not_replaced_later() {
    let mut desk = without_a_path();
    desk.pass(&[HONEST, LIAR], ms(4000), |_| false);
    assert!(!replaces_for_a_new_address(&mut desk));
}

#[test]
fn a_path_without_answers_stays_lost() {
    let mut desk = without_a_path();
    desk.pass(&[LIAR], ms(1500), |_| false);
    assert!(replaces_for_a_new_address(&mut desk));
}

#[test]
fn an_answer_that_was_on_its_way_at_the_loss_does_not_count() {
    let mut desk = Desk::new();
    let mut asked = None;
    while asked.is_none() {
        desk.give(Input::Timeout);
        asked = desk.actions.drain(..).find_map(|action| match action {
            Action::Probe(HONEST, probe) => Some(probe.seq),
            _ => None,
        });
    }
    desk.give(Input::PathLost(HONEST));
    for (dial, ..) in dials(&mut desk) {
        desk.give(Input::DialFailed(dial, DialError::Timeout));
    }
    let answer = Answer {
        seq: asked.unwrap(),
        hold_us: 0,
    };
    desk.give(Input::Answer(HONEST, answer, Some(100)));
    assert!(replaces_for_a_new_address(&mut desk));
}
