//! How a node reacts to neighbours whose views differ from its own.

use area_net::membership::{ConnId, Input};
use area_net::record::{Record, Signer as _};
use area_net::wire::{Message, Probe, ViewDigest};

use crate::desk::{Desk, HONEST, LIAR, body, identity};
use crate::net::{NETWORK, ms, secs};

const THIRD: ConnId = ConnId(3);

/// Neighbours show views, one after the other: that of the desk (0), or another one.
fn show(desk: &mut Desk, views: &[(ConnId, u8)], apart: u64) {
    desk.actions.clear();
    for &(conn, view) in views {
        let digest = match view {
            0 => desk.core.digest(),
            other => ViewDigest([other; 8]),
        };
        let probe = Probe {
            seq: 1000,
            heard: true,
            rtt_us: 100,
            loss: 0,
            next_ms: 1500,
            digest,
        };
        desk.core.handle(desk.now, Input::Probe(conn, probe));
        desk.drain();
        desk.now += ms(apart);
    }
}

/// Whether an anti-entropy round began with each of the two neighbours.
fn compared(desk: &Desk) -> [bool; 2] {
    [HONEST, LIAR].map(|conn| {
        let mut sent = desk.sent(conn);
        sent.any(|message| matches!(message, Message::Digests { .. }))
    })
}

/// The same for a desk whose view has been unchanged for seconds.
fn compared_after(views: &[(ConnId, u8)], apart: u64) -> [bool; 2] {
    let mut desk = Desk::new();
    assert!(!desk.pass(&[HONEST, LIAR], secs(3), |_| false));
    show(&mut desk, views, apart);
    compared(&desk)
}

#[test]
fn two_neighbours_with_one_other_view_are_right() {
    let agreed = [(HONEST, 7), (LIAR, 7)];
    assert_eq!(compared_after(&agreed, 20), [false, true]);
    // One neighbour alone, or two that don't agree, may be as far behind as we are: they must keep differing.
    let alone = [(HONEST, 7), (HONEST, 7)];
    assert_eq!(compared_after(&alone, 900), [false, false]);
    assert_eq!(compared_after(&alone, 1300), [true, false]);
    let differing = [(HONEST, 7), (LIAR, 8)];
    assert_eq!(compared_after(&differing, 900), [false, false]);
    let one_has_ours = [(HONEST, 7), (LIAR, 0), (LIAR, 7)];
    assert_eq!(compared_after(&one_has_ours, 400), [false, false]);
}

#[test]
fn a_view_that_changed_a_moment_ago_is_given_time() {
    let agreed = [(HONEST, 7), (LIAR, 7)];
    let mut desk = Desk::new();
    assert!(!desk.pass(&[HONEST, LIAR], secs(3), |_| false));
    let third = identity(3);
    desk.connect(THIRD, &third, Record::sign(body(&third), NETWORK, &third));
    assert!(!desk.pass(&[HONEST, LIAR, THIRD], ms(300), |_| false));
    show(&mut desk, &agreed, 20);
    assert_eq!(compared(&desk), [false, false]);
    assert!(!desk.pass(&[HONEST, LIAR, THIRD], secs(1), |_| false));
    show(&mut desk, &agreed, 20);
    assert_eq!(compared(&desk), [false, true]);
}

#[test]
fn who_asked_in_vain_compares_with_the_next_that_differs() {
    let mut desk = Desk::new();
    assert!(!desk.pass(&[HONEST, LIAR], secs(3), |_| false));
    let third = identity(3);
    let version = Record::sign(body(&third), NETWORK, &third).version();
    desk.say(Message::Have(vec![(
        third.node_id().abbreviated(),
        version,
    )]));
    show(&mut desk, &[(HONEST, 7)], 20);
    assert_eq!(compared(&desk), [false, false], "it may be on its way");
    assert!(!desk.pass(&[HONEST, LIAR], secs(2), |_| false));
    show(&mut desk, &[(HONEST, 7), (HONEST, 7)], 20);
    assert_eq!(compared(&desk), [true, false]);
    assert!(!desk.pass(&[HONEST, LIAR], secs(2), |_| false));
    show(&mut desk, &[(HONEST, 7)], 20);
    assert_eq!(compared(&desk), [false, false], "once is enough");
}
