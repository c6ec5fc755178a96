//! A network with an authority: who has no certificate stays out, and who is revoked goes at once.

use std::sync::Arc;

use area_net::certificate::{Authorities, AuthorityKey, Certificate, Terms};
use area_net::identity::Identity;
use area_net::membership::{Action, Charter, Closed, ConnId, Event, Input};
use area_net::record::{Body, Record, Signer as _};
use area_net::revocations::{Revocations, Revoked};
use area_net::snapshot::NodeState;
use area_net::wire::{CloseCode, Message, NodeId};

use crate::desk::{Desk, HONEST, LIAR, arrived, body, connected, identity};
use crate::net::{NETWORK, Net, ms, secs};

/// The Unix time at the start of the world.
const START: u64 = 1_700_000_000;
const YEAR: u64 = 365 * 86_400;

fn authority(number: u8) -> Identity {
    Identity::from_seed(&[number; 32])
}

fn terms(id: NodeId) -> Terms {
    Terms {
        not_before: START - 86_400,
        not_after: START + YEAR,
        ..Terms::new(NETWORK, id, "*")
    }
}

fn certify(terms: Terms, by: u8) -> Arc<Certificate> {
    Certificate::issue(terms, &authority(by)).unwrap()
}

fn charter(certificate: Option<Arc<Certificate>>) -> Charter {
    let keys = vec![AuthorityKey(authority(100).node_id().0)];
    Charter {
        authorities: Arc::new(Authorities::new(NETWORK, keys).unwrap()),
        certificate,
        revocations: None,
        unix_s: START,
    }
}

fn revoke(number: u64, ids: Vec<NodeId>, by: u8) -> Arc<Revocations> {
    let list = Revoked::new(NETWORK, number, START, ids);
    Revocations::issue(list, &authority(by)).unwrap()
}

/// A network whose nodes all know the first one, and have good certificates.
fn closed(seed: u64, count: usize) -> Net {
    let mut net = Net::new(seed);
    for place in 0..count {
        net.add(if place == 0 { &[] } else { &[0] });
        let id = net.nodes[place].id();
        net.nodes[place].start.charter = Some(charter(Some(certify(terms(id), 100))));
    }
    // What certificates do is no fault of the network.
    net.strict = false;
    net
}

/// The places of the nodes that a node shows as up, without itself.
fn shows(net: &Net, place: usize) -> Vec<usize> {
    let snapshot = net.snapshot(place);
    let is_up = |id: NodeId| {
        let mut nodes = snapshot.nodes.iter();
        nodes.any(|node| node.id == id && node.state == NodeState::Up)
    };
    let others = (0..net.nodes.len()).filter(|other| *other != place);
    others
        .filter(|other| is_up(net.nodes[*other].id()))
        .collect()
}

/// Whether each of these sees all others of them, and nobody else.
fn agree(net: &Net, places: &[usize]) -> bool {
    places.iter().all(|place| {
        let others = places.iter().copied().filter(|other| other != place);
        shows(net, *place) == others.collect::<Vec<_>>()
    })
}

fn settles(net: &mut Net, places: &[usize], within_s: u64) -> std::time::Duration {
    let start = net.now();
    while !agree(net, places) {
        assert!(
            net.now() < start + secs(within_s),
            "they see {:?}",
            shows(net, places[0])
        );
        net.run(ms(50));
    }
    net.now() - start
}

fn faults(net: &Net, place: usize, name: &str) -> u64 {
    let rejected = net.snapshot(place).rejected.0;
    let mut counts = rejected.iter().filter(|(what, _)| *what == name);
    counts.next().map_or(0, |(_, count)| *count)
}

#[test]
fn who_shows_no_good_certificate_stays_out() {
    let other = Identity::from_seed(&[77; 32]).node_id();
    for case in 0..6 {
        let mut net = closed(case, 5);
        let id = net.nodes[4].id();
        let good = terms(id);
        let certificate = match case {
            0 => None,
            1 => Some(certify(good, 101)),
            2 => Some(certify(terms(other), 100)),
            3 => Some(certify(
                Terms {
                    network: "another".into(),
                    ..good
                },
                100,
            )),
            4 => Some(certify(
                Terms {
                    label: "bob*".into(),
                    ..good
                },
                100,
            )),
            _ => Some(certify(
                Terms {
                    not_after: START - 3600,
                    ..good
                },
                100,
            )),
        };
        net.nodes[4].start.charter = Some(charter(certificate));
        net.start_all();
        net.run(secs(20));
        assert!(
            agree(&net, &[0, 1, 2, 3]),
            "case {case}: {:?}",
            shows(&net, 0)
        );
        assert!(shows(&net, 4).is_empty(), "case {case}");
    }
}

#[test]
fn who_is_revoked_goes_within_seconds_and_does_not_come_back() {
    let mut net = closed(1, 24);
    net.start_all();
    let all: Vec<usize> = (0..24).collect();
    settles(&mut net, &all, 60);
    let victim = 9;
    let list = revoke(1, vec![net.nodes[victim].id()], 100);
    // Two are away.
    net.kill(7);
    net.kill(20);
    net.run(secs(20));
    // One member starts with the list on its disk.
    net.kill(3);
    net.nodes[3].start.charter.as_mut().unwrap().revocations = Some(list.clone());
    net.start(3);
    let stay: Vec<usize> = all
        .iter()
        .copied()
        .filter(|place| ![7, 9, 20].contains(place))
        .collect();
    let took = settles(&mut net, &stay, 10);
    assert!(took < secs(4), "{took:?}");
    assert!(shows(&net, victim).is_empty());
    // Those that were away hear it on their return, though their disks don't know it.
    net.start(7);
    net.start(20);
    let back: Vec<usize> = all
        .iter()
        .copied()
        .filter(|place| *place != victim)
        .collect();
    settles(&mut net, &back, 20);
    let knows = |net: &Net, place: usize| {
        let core = net.nodes[place].core().unwrap();
        core.revocations().map(|newest| newest.number())
    };
    assert!(back.iter().all(|place| knows(&net, *place) == Some(1)));
    // A restart of the victim and of a member with the list on disk changes nothing.
    net.kill(victim);
    net.start(victim);
    net.nodes[12].start.charter.as_mut().unwrap().revocations = Some(list);
    net.kill(12);
    net.run(secs(1));
    net.start(12);
    settles(&mut net, &back, 20);
    net.run(secs(30));
    assert!(agree(&net, &back));
    assert!(shows(&net, victim).is_empty());
    // Nobody was blamed for what it could not know.
    for place in back {
        assert_eq!(faults(&net, place, "uncertified_record"), 0);
    }
}

#[test]
fn an_expired_certificate_ends_a_membership_and_a_new_one_begins_it_again() {
    let mut net = closed(3, 5);
    let id = net.nodes[4].id();
    let short = Terms {
        not_after: START + 60,
        ..terms(id)
    };
    net.nodes[4].start.charter = Some(charter(Some(certify(short, 100))));
    // Clocks differ: that of one node is five minutes fast, and that of another as slow.
    net.nodes[1].start.charter.as_mut().unwrap().unix_s += 300;
    net.nodes[2].start.charter.as_mut().unwrap().unix_s -= 300;
    net.start_all();
    settles(&mut net, &[0, 1, 2, 3, 4], 20);
    net.run(secs(300));
    assert!(agree(&net, &[0, 1, 2, 3, 4]), "in time by every clock");
    // 660 s after the start it has ended by the clocks of 0 and 3, and 300 s later by that of 2.
    net.run(secs(700));
    assert!(agree(&net, &[0, 1, 2, 3]));
    assert!(shows(&net, 4).is_empty());
    for place in 0..4 {
        assert_eq!(faults(&net, place, "uncertified_record"), 0);
    }
    net.kill(4);
    net.nodes[4].start.charter = Some(charter(Some(certify(terms(id), 100))));
    net.start(4);
    settles(&mut net, &[0, 1, 2, 3, 4], 20);
}

/// A node of a closed network with two neighbours that are members.
fn desk() -> Desk {
    let own = |id| Some(certify(terms(id), 100));
    Desk::with_records(
        |config, id| config.charter = Some(charter(own(id))),
        |peer| member(peer, own(peer.node_id()), 1),
    )
}

fn member(of: &Identity, certificate: Option<Arc<Certificate>>, seq: u32) -> Arc<Record> {
    let body = Body {
        seq,
        certificate,
        ..body(of)
    };
    arrived(&Record::sign(body, NETWORK, of))
}

#[test]
fn who_passes_on_records_of_strangers_loses_its_link() {
    let third = identity(3);
    let id = third.node_id();
    for certificate in [
        None,
        Some(certify(terms(id), 101)),
        Some(certify(terms(identity(4).node_id()), 100)),
        Some(certify(
            Terms {
                label: "zoe".into(),
                ..terms(id)
            },
            100,
        )),
    ] {
        let mut desk = desk();
        desk.say(Message::Records(vec![member(&third, certificate, 1)]));
        assert_eq!(desk.closed(LIAR), Some(CloseCode::Protocol));
        assert_eq!(desk.closed(HONEST), None);
        assert_eq!(desk.rejected("uncertified_record"), 1);
        assert!(desk.core.record(&id).is_none());
    }
}

#[test]
fn nobody_is_blamed_for_a_record_whose_time_is_over() {
    let third = identity(3);
    let id = third.node_id();
    let over = Terms {
        not_after: START - 601,
        ..terms(id)
    };
    let mut desk = desk();
    let record = member(&third, Some(certify(over, 100)), 1);
    desk.say(Message::Records(vec![record]));
    assert_eq!(desk.closed(LIAR), None);
    assert_eq!(desk.rejected("expired_certificate"), 1);
    assert!(desk.core.record(&id).is_none());
    // A few minutes are no matter: clocks differ.
    let late = Terms {
        not_after: START - 599,
        ..terms(id)
    };
    let record = member(&third, Some(certify(late, 100)), 2);
    desk.say(Message::Records(vec![record]));
    assert!(desk.core.record(&id).is_some());
}

#[test]
fn a_thousand_revocations_go_on_at_once_and_close_the_link_of_their_bringer() {
    let mut desk = desk();
    let liar = identity(2).node_id();
    let many = (0..1023_u32).map(|number| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        NodeId(id)
    });
    let list = revoke(5, many.chain([liar]).collect(), 100);
    desk.say(Message::Revocations(list.clone()));
    let told = desk.actions.iter().any(|action| {
        matches!(action, Action::Send(HONEST, Message::Revocations(sent)) if *sent == list)
    });
    assert!(told, "it is passed on");
    assert_eq!(desk.closed(LIAR), Some(CloseCode::NotAllowed));
    assert_eq!(desk.closed(HONEST), None);
    for _ in 0..10 {
        desk.give(Input::Timeout);
    }
    let removed = |event: &Event| matches!(event, Event::Removed(id, _) if *id == liar);
    assert_eq!(desk.events.iter().filter(|event| removed(event)).count(), 1);
    let dials = desk
        .actions
        .iter()
        .any(|action| matches!(action, Action::Dial { expect: Some(id), .. } if *id == liar));
    assert!(!dials, "nobody dials who was revoked");
    assert!(!desk.core.remembered().contains_key(&liar));
    assert!(desk.events.contains(&Event::Revocations(5, Some(liar))));
}

#[test]
fn old_lists_change_nothing_and_forged_ones_cost_the_link() {
    let mut desk = desk();
    let (liar, honest) = (identity(2).node_id(), identity(1).node_id());
    desk.give(Input::Revocations(revoke(7, vec![NodeId([9; 32])], 100)));
    for number in [6, 7] {
        desk.say(Message::Revocations(revoke(number, vec![honest], 100)));
    }
    assert_eq!((desk.closed(LIAR), desk.closed(HONEST)), (None, None));
    assert_eq!(desk.core.revocations().unwrap().number(), 7);
    desk.say(Message::Revocations(revoke(8, vec![honest], 101)));
    assert_eq!(desk.closed(LIAR), Some(CloseCode::Protocol));
    assert_eq!(desk.rejected("forged_revocations"), 1);
    assert_eq!(desk.core.revocations().unwrap().number(), 7);
    assert!(desk.core.is_up(&honest) && desk.closed(HONEST).is_none());
    assert!(desk.core.record(&liar).is_some());
}

#[test]
fn a_new_certificate_is_told_to_all() {
    let mut desk = desk();
    let me = desk.core.own_record().id();
    let renewed = Terms {
        serial: 2,
        ..terms(me)
    };
    let renewed = certify(renewed, 100);
    desk.give(Input::Certificate(Some(renewed.clone())));
    for _ in 0..20 {
        desk.give(Input::Timeout);
    }
    assert_eq!(desk.core.own_record().body().certificate, Some(renewed));
}

#[test]
fn authorities_that_change_count_at_once() {
    let mut desk = desk();
    let trusted = |numbers: &[u8]| {
        let keys = numbers.iter();
        let keys = keys.map(|number| AuthorityKey(authority(*number).node_id().0));
        let authorities = Authorities::new(NETWORK, keys.collect()).unwrap();
        Input::Authorities(Arc::new(authorities))
    };
    let (honest, liar) = (identity(1), identity(2));
    let stolen = revoke(u64::MAX, vec![NodeId([9; 32])], 100);
    desk.give(Input::Revocations(stolen));
    // While both count, nobody goes.
    desk.give(trusted(&[101, 100]));
    let renewed = certify(terms(honest.node_id()), 101);
    desk.say(Message::Records(vec![member(&honest, Some(renewed), 2)]));
    desk.give(Input::Timeout);
    assert_eq!((desk.closed(LIAR), desk.closed(HONEST)), (None, None));
    // The old one ends: so does what it alone has signed, its revocations among them.
    desk.give(trusted(&[101]));
    for _ in 0..10 {
        desk.give(Input::Timeout);
    }
    assert_eq!(desk.closed(LIAR), Some(CloseCode::NotAllowed));
    assert_eq!(desk.closed(HONEST), None);
    let removed = |event: &Event| matches!(event, Event::Removed(id, _) if *id == liar.node_id());
    assert_eq!(desk.events.iter().filter(|event| removed(event)).count(), 1);
    assert_eq!(desk.core.revocations(), None);
    desk.give(Input::Revocations(revoke(1, vec![NodeId([8; 32])], 101)));
    assert_eq!(desk.core.revocations().unwrap().number(), 1);
}

/// A peer that hears of its revocation first comes as another run of itself: that connection waits until the first one has answered.
#[test]
fn a_connection_that_waits_is_no_link_of_who_was_revoked() {
    for first_ends in [false, true] {
        let mut desk = desk();
        let liar = identity(2);
        let again = Body {
            run_id: 2,
            epoch: 2000,
            certificate: Some(certify(terms(liar.node_id()), 100)),
            ..body(&liar)
        };
        let again = arrived(&Record::sign(again, NETWORK, &liar));
        let mut second = connected(ConnId(3), &liar, again, 1);
        second.hello.run_id = 2;
        desk.give(Input::Connected(Box::new(second)));
        assert_eq!(desk.closed(ConnId(3)), None, "the first must answer");

        let list = revoke(1, vec![liar.node_id()], 100);
        desk.give(Input::Message(HONEST, Message::Revocations(list)));
        assert_eq!(desk.closed(LIAR), Some(CloseCode::NotAllowed));
        if first_ends {
            desk.give(Input::Closed(LIAR, Closed::Reset));
        }
        for _ in 0..30 {
            desk.give(Input::Timeout);
        }
        assert_eq!(desk.closed(ConnId(3)), Some(CloseCode::NotAllowed));
        let mut linked = desk.core.connected();
        assert!(linked.all(|peer| peer != liar.node_id()));
    }
}

#[test]
fn who_says_that_it_leaves_and_stays_goes_when_its_certificate_ends() {
    let liar = identity(2);
    let id = liar.node_id();
    // With the ten minutes for clocks, it ends after forty seconds.
    let ends = Terms {
        not_after: START - 560,
        ..terms(id)
    };
    let ends = certify(ends, 100);
    let mut desk = Desk::with_records(
        |config, id| {
            config.charter = Some(charter(Some(certify(terms(id), 100))));
            config.forget_after = secs(5);
        },
        |peer| {
            let id = peer.node_id();
            let its = (id == liar.node_id()).then(|| ends.clone());
            member(peer, its.or_else(|| Some(certify(terms(id), 100))), 1)
        },
    );
    let leaving = Body {
        seq: 2,
        leaving: true,
        certificate: Some(ends.clone()),
        ..body(&liar)
    };
    let leaving = arrived(&Record::sign(leaving, NETWORK, &liar));
    desk.say(Message::Records(vec![leaving]));
    let both = [HONEST, LIAR];
    desk.pass(&both, secs(30), |_| false);
    assert!(desk.core.connected().any(|peer| peer == id), "it answers");
    desk.pass(&both, secs(20), |_| false);
    assert!(desk.core.connected().all(|peer| peer != id));
}

/// Where a key of the authority is replaced, neighbours that are late still bring the old list.
#[test]
fn who_brings_revocations_of_an_authority_that_was_trusted_before_keeps_its_link() {
    let bring = |desk: &mut Desk| {
        let list = revoke(1, vec![identity(9).node_id()], 101);
        desk.say(Message::Revocations(list));
        assert_eq!(desk.rejected("forged_revocations"), 1);
        desk.closed(LIAR)
    };
    assert_eq!(bring(&mut desk()), Some(CloseCode::Protocol));
    let mut desk = desk();
    let authorities = charter(None).authorities;
    desk.give(Input::Authorities(authorities));
    assert_eq!(bring(&mut desk), None);
}
