//! Gossip by itself: several of them, each with a view and links, joined by hand.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::Heard;
use super::testing::{DELAY, Net, Node, body, forged, id, record};
use crate::membership::Time;
use crate::membership::tuning::Tuning as All;
use crate::membership::tuning::gossip::Tuning;
use crate::membership::view::Bound;
use crate::window;
use crate::wire::{BATCH_BYTES, Message, Probe, ViewDigest};

const TUNING: &Tuning = &Tuning::DEFAULT;
const S: Duration = Duration::from_secs(1);
/// Long after a start, so that a few changes may flood.
const CALM: Time = Duration::from_secs(600);

/// A node with a link to another one, each of which knows only itself.
fn pair(tuning: Tuning) -> Node {
    let tuning = Arc::new(All {
        gossip: tuning,
        ..All::default()
    });
    let mut node = Node::new(record(0, 1, &[1]), 0, &tuning);
    node.link(Time::ZERO, 1);
    node.learn(Time::ZERO, record(1, 1, &[0]));
    node
}

#[test]
fn a_record_reaches_the_end_of_a_line() {
    for has_tree in [false, true] {
        let mut net = Net::new(3, &[(0, 1), (1, 2)], has_tree, CALM);
        net.publish(0, 2);
        net.run(S);
        assert_eq!(net.nodes[2].seq(0), Some(2));
        assert_eq!(net.copies(0, 2), [(0, 1), (1, 2)], "once over each link");
    }
}

#[test]
fn in_a_full_mesh_each_node_hears_a_record_from_its_node() {
    let links = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];
    let mut net = Net::new(4, &links, false, CALM);
    net.publish(1, 2);
    net.run(S);
    assert_eq!(net.copies(1, 2), [(1, 0), (1, 2), (1, 3)]);
}

#[test]
fn a_node_that_the_mesh_does_not_link_hears_a_record_once() {
    // Nodes 0 and 3 have no link: one of the others, with the lower id, passes the record on, and the others have no need to.
    let links = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)];
    let mut net = Net::new(4, &links, false, CALM);
    net.publish(0, 2);
    net.run(S);
    assert_eq!(net.nodes[3].seq(0), Some(2));
    let to_3 = net.copies(0, 2).into_iter().filter(|(_, to)| *to == 3);
    assert!(to_3.count() <= 2);
}

#[test]
fn a_lazy_link_names_a_record_and_nothing_else_where_it_came_along_the_tree() {
    let mut net = Net::new(3, &[(0, 1), (1, 2), (0, 2)], true, Time::ZERO);
    net.prune(0, 2);
    net.publish(1, 2);
    net.run(S);
    assert_eq!(net.copies(1, 2), [(1, 0), (1, 2)]);
    for (from, to) in [(0, 2), (2, 0)] {
        let words = net.words(from, to);
        assert!(matches!(words.as_slice(), [] | [Message::Have(_)]));
    }
}

/// A star around node 2, whose nodes 0 and 1 have a lazy link with each other too.
fn star() -> Net {
    let links = [(0, 1), (0, 2), (1, 2), (2, 3), (2, 4), (2, 5)];
    let mut net = Net::new(6, &links, true, Time::ZERO);
    net.prune(0, 1);
    net
}

#[test]
fn a_record_that_did_not_come_along_the_tree_is_requested() {
    let mut net = star();
    net.loses = |(_, from, to, message)| {
        let of_4 = |record: &Arc<_>| crate::record::Record::id(record) == id(4);
        let Message::Records(records) = message else {
            return false;
        };
        (*from, *to) == (2, 0) && records.iter().any(of_4)
    };
    for node in 3..6 {
        net.publish(node, 2);
        net.run(Duration::from_millis(1));
    }
    net.run(S);
    assert_eq!(net.nodes[0].seq(4), Some(2));
    let requests = [&Message::Request(vec![id(4).abbreviated()])];
    let words = net.words(0, 1);
    let others = words
        .iter()
        .filter(|word| !matches!(word, Message::Have(_)));
    assert!(
        others.copied().eq(requests),
        "one of three is late: no graft"
    );
}

#[test]
fn a_graft_restores_the_tree() {
    let mut net = Net::new(3, &[(0, 1), (1, 2), (0, 2)], true, Time::ZERO);
    net.prune(0, 2);
    net.loses = |(_, from, to, _)| (*from, *to) == (1, 2);
    net.publish(1, 2);
    net.run(S);
    assert_eq!(net.nodes[2].seq(1), Some(2));
    let graft = Message::Graft(vec![id(1).abbreviated()]);
    assert_eq!(net.words(2, 0), [&graft]);
    for (one, other) in [(0, 2), (2, 0)] {
        assert!(net.nodes[one].gossip.is_eager(&id(other)));
    }
    net.publish(1, 3);
    net.run(S);
    assert_eq!(net.copies(1, 3), [(1, 0), (1, 2), (0, 2)]);
    assert_eq!(net.words(2, 0), [&graft], "nothing is requested again");
}

#[test]
fn a_node_without_a_link_on_the_tree_takes_one_back() {
    let mut net = Net::new(2, &[(0, 1)], true, Time::ZERO);
    net.nodes[0].gossip.handle_prune(&id(1));
    net.publish(0, 2);
    assert!(net.nodes[0].gossip.is_eager(&id(1)));
    assert_eq!(net.words(0, 1), [&Message::Graft(Vec::new())]);
}

#[test]
fn a_link_that_repeats_what_others_brought_is_pruned() {
    let mut net = Net::new(3, &[(0, 1), (1, 2), (0, 2)], true, Time::ZERO);
    for seq in 2..2 + TUNING.least_judged + 2 {
        net.publish(1, seq);
        net.run(S);
    }
    let cut = [(0, 2), (2, 0)].map(|(one, other)| !net.nodes[one].gossip.is_eager(&id(other)));
    assert_eq!(cut, [true, true]);
    for (one, other) in [(0, 1), (1, 2)] {
        assert!(net.nodes[one].gossip.is_eager(&id(other)));
    }
}

#[test]
fn a_record_that_gossip_missed_is_found_by_an_anti_entropy_round() {
    let mut net = Net::new(3, &[(0, 1), (1, 2)], true, CALM);
    let missed = record(2, 2, &[1]);
    net.nodes[1].learn(CALM, missed);
    let mut rounds = 0;
    while net.nodes[0].seq(2) == Some(1) {
        assert!(net.now < CALM + TUNING.differs_long, "never found");
        let theirs = net.nodes[1].view.digest();
        let Node { gossip, view, .. } = &mut net.nodes[0];
        gossip.hear_digest(net.now, &id(1), theirs, view);
        net.collect(0);
        net.run(S);
        rounds += 1;
    }
    assert_eq!(rounds, 3, "views stand still for 1.2 s first");
    let [Message::Digests { .. }, Message::Request(ids)] = net.words(0, 1)[..] else {
        panic!("{:?}", net.words(0, 1));
    };
    assert_eq!(*ids, [id(2).abbreviated()]);
    assert_eq!(net.copies(2, 2), [(1, 0)]);
}

/// Node 0 remembers node 2, which was lost sight of, and gets a new link to node 1, which knows it to be up, by a newer record.
fn meets_again() -> Net {
    let mut net = Net::new(3, &[(1, 2)], true, CALM);
    let (now, tuning) = (net.now, Arc::new(All::default()));
    let mut node = Node::new(record(0, 1, &[]), 0, &tuning);
    node.gossip.use_tree(true);
    node.link(now, 2);
    node.learn(now, record(2, 0, &[0]));
    assert!(node.view.is_up(&id(2)));
    node.gossip.peer_down(&id(2));
    node.links.remove(&id(2));
    node.derive(now);
    net.nodes[0] = node;
    net.nodes[1].link(now, 0);
    net
}

#[test]
fn a_first_round_holds_a_link_until_the_versions_came() {
    let mut net = meets_again();
    let now = net.now;
    let mut hello = net.nodes[0].link(now, 1).hello;
    (hello.known, hello.digest) = (2, net.nodes[1].view.digest());
    let Node {
        gossip,
        view,
        links,
        ..
    } = &mut net.nodes[0];
    gossip.greet(now, &hello, false, view, links);
    assert_eq!(gossip.holds_until(&id(1)), Some(now + TUNING.first_step));
    net.collect(0);
    net.run(DELAY);
    let held = net.nodes[0].gossip.holds_until(&id(1));
    assert!(held.is_some(), "the answer is under way");
    net.run(10 * DELAY);
    assert_eq!(net.nodes[0].gossip.holds_until(&id(1)), None);
    let ours = record(2, 1, &[1]).version();
    assert_eq!(net.nodes[1].version(2), Some(ours));
    assert!(matches!(
        net.words(1, 0)[..],
        [Message::Versions { .. }, ..]
    ));
}

#[test]
fn a_neighbour_that_never_answers_holds_a_link_for_one_step() {
    let mut net = meets_again();
    let now = net.now;
    let mut hello = net.nodes[0].link(now, 1).hello;
    (hello.known, hello.digest) = (2, net.nodes[1].view.digest());
    net.loses = |_| true;
    let Node {
        gossip,
        view,
        links,
        ..
    } = &mut net.nodes[0];
    gossip.greet(now, &hello, false, view, links);
    net.collect(0);
    net.run(TUNING.first_step);
    let held = net.nodes[0].gossip.holds_until(&id(1)).unwrap();
    assert!(held <= net.now, "the link may be listed");
}

#[test]
fn limits_admit_a_burst_and_then_refuse() {
    let mut gossip = pair(Tuning::DEFAULT).gossip;
    let round = Message::Superfluous(true);
    let name = Message::Prune;
    let mut admitted = |now, message: &Message| {
        let tries = (0..1000).take_while(|_| gossip.admit(now, &id(1), message).is_ok());
        tries.count()
    };
    assert_eq!(admitted(Time::ZERO, &round), 64);
    assert_eq!(admitted(Time::ZERO, &name), 256, "counted apart");
    assert_eq!(admitted(S, &round), 7, "one was refused, and is owed");
    let records = Message::Records(Vec::new());
    assert_eq!(admitted(Time::ZERO, &records), 1000, "counted as news");
    assert_eq!(gossip.admit(Time::ZERO, &id(9), &round), Ok(()));
}

#[test]
fn more_new_records_than_a_neighbour_may_bring_are_turned_away() {
    let mut node = pair(Tuning {
        new_records_burst: 3.0,
        ..Tuning::DEFAULT
    });
    let known = vec![record(1, 1, &[0]); 100];
    let mut receive = |records| {
        let received = node.gossip.receive(Time::ZERO, &id(1), records, &node.view);
        let received = received.unwrap();
        (received.known.len(), received.turned_away)
    };
    assert_eq!(receive(known.clone()), (100, 0), "what is known is free");
    let news = (2..5).map(|one| record(one, 1, &[])).collect();
    assert_eq!(receive(news), (3, 0));
    assert_eq!(receive(vec![record(6, 1, &[])]), (0, 1), "it is not read");
    assert_eq!(receive(known), (100, 0));
}

/// A node that judges, with a link to node 1, which is up.
fn judging(tuning: Tuning) -> Node {
    let mut node = pair(tuning);
    node.view.judge(Bound {
        most: 64,
        vouchers: 4,
        fresh_per_s: 1.0,
    });
    assert!(!node.view.is_filling());
    node
}

#[test]
fn of_a_node_that_signs_all_the_time_a_few_versions_are_read() {
    let mut node = judging(Tuning::DEFAULT);
    let now = S;
    let mut turned_away = 0;
    for seq in 0..1000 {
        let records = vec![record(1, 10 + seq, &[0])];
        let received = node.gossip.receive(now, &id(1), records, &node.view);
        let received = received.unwrap();
        turned_away += received.turned_away;
        for record in received.known {
            node.view.accept(record, now, Some(id(1)), false);
        }
    }
    assert!((930..=937).contains(&turned_away), "{turned_away}");
    let newest = vec![record(1, 5000, &[0])];
    let later = now + S;
    let received = node.gossip.receive(later, &id(1), newest, &node.view);
    assert_eq!(received.unwrap().turned_away, 0, "the newest comes again");
}

#[test]
fn a_neighbour_that_sends_what_is_of_no_use_exceeds_a_limit() {
    let mut node = judging(Tuning {
        useless_burst: 10_000.0,
        ..Tuning::DEFAULT
    });
    let now = S;
    let known = vec![record(1, 1, &[0]); 10];
    let mut refused = None;
    for round in 0..1000 {
        if let Err(what) = node.gossip.receive(now, &id(1), known.clone(), &node.view) {
            refused = Some((round, what));
            break;
        }
    }
    let (round, what) = refused.expect("there is a limit");
    assert!((5..20).contains(&round), "after {round} messages");
    assert_eq!(what, "records that are of no use");
}

#[test]
fn the_outbox_is_bounded() {
    let mut node = pair(Tuning::DEFAULT);
    let (mut rng, sums) = (ChaCha8Rng::from_seed([0; 32]), [7]);
    for _ in 0..100 {
        node.gossip
            .handle_digests(&id(1), (0, &sums), &node.view, &mut rng);
    }
    assert_eq!(node.advance(Time::ZERO).len(), TUNING.outbox);
    assert_eq!(node.advance(Time::ZERO), []);
}

#[test]
fn a_neighbour_that_takes_nothing_is_told_to_be_stalled() {
    let mut node = pair(Tuning::DEFAULT);
    node.reads = false;
    node.gossip.offer_all(&id(1), &node.view);
    assert_eq!(node.advance(S).len(), 1);
    let at = S + TUNING.stalled;
    assert_eq!(node.gossip.deadline(&node.links), at);
    let stalled = |now| {
        (
            node.gossip.is_stalled(now, &id(1)),
            node.gossip.due(now, &node.links).any(|due| due),
        )
    };
    assert_eq!(stalled(at - DELAY), (false, false));
    assert_eq!(stalled(at), (true, true));
    assert!(!node.gossip.is_flushed(&node.links));
    node.gossip.handle_flushed(&id(1), BATCH_BYTES);
    assert!(!node.gossip.is_stalled(at, &id(1)));
    assert!(node.gossip.is_flushed(&node.links));
}

#[test]
fn a_slow_line_gets_no_more_at_once_than_it_has_room_for_and_the_newest_of_the_rest() {
    let mut node = pair(Tuning::DEFAULT);
    node.reads = false;
    for number in 2..10 {
        node.learn(S, record(number, 1, &[1]));
    }
    node.learn(S, record(1, 2, &[0, 2, 3, 4, 5, 6, 7, 8, 9]));
    node.gossip.handle_flushed(&id(1), 300);
    node.gossip.offer_all(&id(1), &node.view);
    let mut told = Vec::new();
    for turn in 0..20 {
        for (_, message) in node.advance(S) {
            let Message::Records(records) = message else {
                continue;
            };
            let bytes: usize = records.iter().map(|one| one.encoded_len()).sum();
            assert!(records.len() == 1 || bytes <= 300, "{bytes} bytes at once");
            told.extend(records.iter().map(|one| (one.id(), one.version().seq)));
        }
        if turn == 0 {
            for number in 2..10 {
                node.learn(S, record(number, 2, &[1]));
            }
        }
        node.gossip.handle_flushed(&id(1), 300);
    }
    let of = |number: usize| told.iter().filter(move |(of, _)| *of == id(number));
    assert!((2..10).all(|number| of(number).count() == 1), "{told:?}");
    let newest = (2..10).filter(|&number| of(number).any(|(_, seq)| *seq == 2));
    assert!(newest.count() >= 6, "all but what had left: {told:?}");
}

#[test]
fn what_was_under_way_while_this_node_was_away_does_not_count() {
    let mut node = pair(Tuning::DEFAULT);
    node.reads = false;
    node.gossip.offer_all(&id(1), &node.view);
    node.advance(S);
    let back = S + 2 * TUNING.stalled;
    node.gossip.forgive(back);
    assert!(!node.gossip.is_stalled(back, &id(1)));
    assert!(node.gossip.is_stalled(back + TUNING.stalled, &id(1)));
}

#[test]
fn a_forged_record_waits_to_be_verified_and_is_told_as_forged() {
    let mut node = pair(Tuning::DEFAULT);
    let (bad, good) = (forged(&body(3, 9, &[])), record(4, 1, &[]));
    let news = vec![bad, good.clone()];
    let received = node.gossip.receive(S, &id(1), news, &node.view);
    let received = received.unwrap();
    assert_eq!((received.known, received.deferred), (vec![good], true));
    assert_eq!(node.gossip.inbox_since(), Some(S));
    let mut rng = ChaCha8Rng::from_seed([0; 32]);
    let [(waited, from)] = &node.gossip.open_inbox(&mut rng).unwrap()[..] else {
        panic!("one record waited");
    };
    assert_eq!(*from, id(1));
    let mut bringer = node.gossip.bringer(from, &node.links).unwrap();
    let heard = node.gossip.take(
        S,
        waited.clone(),
        &mut bringer,
        &mut node.members,
        &mut node.view,
    );
    assert!(matches!(heard, Heard::Forged(_)), "{heard:?}");
    assert_eq!(node.seq(3), None);
}

#[test]
fn a_record_of_this_very_node_is_told_if_newer_and_answered_if_older() {
    let mut node = pair(Tuning::DEFAULT);
    node.publish(S, record(0, 5, &[1]));
    node.advance(S);
    let mut bringer = node.gossip.bringer(&id(1), &node.links).unwrap();
    let mut take = |seq| {
        let own = record(0, seq, &[]);
        node.gossip
            .take(S, own, &mut bringer, &mut node.members, &mut node.view)
    };
    assert!(matches!(take(6), Heard::Own(_)));
    assert!(matches!(take(4), Heard::Nothing));
    node.gossip
        .handle_request(&id(1), &[id(0).abbreviated()], &node.view);
    let [(1, Message::Records(records))] = &node.advance(S)[..] else {
        panic!("the newest record is sent");
    };
    assert_eq!(records[0].version().seq, 5);
}

#[test]
fn what_there_was_of_a_lost_neighbour_is_told() {
    let mut node = pair(Tuning::DEFAULT);
    node.gossip.tell_superfluous(&id(1), true);
    assert_eq!(node.advance(S), [(1, Message::Superfluous(true))]);
    let gone = node.gossip.peer_down(&id(1)).unwrap();
    assert!(gone.was_eager && gone.offered);
    assert!(node.gossip.peer_down(&id(1)).is_none());
}

#[test]
fn figures_wait_for_a_probe_and_leave_together_unless_they_are_urgent() {
    let mut node = Node::new(record(0, 1, &[1]), 0, &Arc::new(All::default()));
    node.link(CALM, 1);
    for (of, links) in [(1, &[0, 2, 3][..]), (2, &[1, 3]), (3, &[1, 2])] {
        node.learn(CALM, record(of, 1, links));
    }
    node.gossip.use_tree(true);
    node.advance(CALM);
    let figures = |sent: Vec<(usize, Message)>| -> Vec<usize> {
        let figures = sent.into_iter().filter_map(|(_, message)| match message {
            Message::Figures(entries) => Some(entries.len()),
            _ => None,
        });
        figures.collect()
    };
    let probe = |node: &mut Node, now: Time| {
        let probe = Probe {
            seq: 1,
            heard: true,
            rtt_us: 0,
            loss: 0,
            next_ms: 1500,
            digest: ViewDigest([0; 8]),
        };
        node.links.handle_probe(now, &id(1), &probe);
    };
    let mut now = CALM + S;
    node.hear_figures(now, 2, false);
    now += S;
    node.hear_figures(now, 3, false);
    assert_eq!(figures(node.advance(now)), [0; 0], "they wait");
    let by = node.gossip.deadline(&node.links);
    assert_eq!(by, CALM + S + TUNING.figures_hold);
    now += S;
    probe(&mut node, now);
    assert_eq!(figures(node.advance(now)), [0; 0], "the answer goes alone");
    now += TUNING.figures_after_answer;
    assert_eq!(figures(node.advance(now)), [2], "both, a moment behind it");
    now += S;
    node.hear_figures(now, 2, false);
    node.advance(now);
    now += TUNING.figures_hold;
    assert_eq!(figures(node.advance(now)), [1], "nobody probed");
    now += S;
    node.hear_figures(now, 3, true);
    assert_eq!(figures(node.advance(now)), [1], "at once");
    probe(&mut node, now + S);
    assert_eq!(figures(node.advance(now + S)), [0; 0], "nothing is left");
}

#[test]
fn a_large_message_on_a_slow_line_takes_its_time_and_is_no_stall() {
    let mut node = pair(Tuning::DEFAULT);
    // 300 bytes are half of what the line takes in a quarter of a second.
    let room = 300;
    node.gossip.handle_flushed(&id(1), room);
    node.reads = false;
    node.gossip.offer_all(&id(1), &node.view);
    assert_eq!(node.advance(S).len(), 1);
    // The transport took it at once, and takes the next one when it has left.
    node.gossip.handle_flushed(&id(1), room);
    let version = node.view.record_at(node.view.me()).version();
    let names = (0..1024).map(|number| (id(number % 100).abbreviated(), version));
    let names = Message::Have(names.collect());
    let bytes = names.to_frame().len();
    node.gossip.post(&id(1), names);
    node.gossip.post(&id(1), Message::Superfluous(true));
    assert_eq!(node.advance(S).len(), 1);
    node.gossip.handle_flushed(&id(1), room);
    assert_eq!(node.advance(S).len(), 1);
    let takes = window::Window::time_of(room, bytes);
    assert!(takes > TUNING.stalled / 2, "{takes:?}");
    assert!(
        !node
            .gossip
            .is_stalled(S + TUNING.stalled + takes - DELAY, &id(1))
    );
    assert!(node.gossip.is_stalled(S + TUNING.stalled + takes, &id(1)));
}
