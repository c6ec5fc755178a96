//! Echoes over the chain 1-2-3-4-5, from the view of one node or of all.

use super::*;
use crate::membership::testing::{around, ms, node};

const NOW: Time = Time::from_secs(100);
const CHAIN: [(u8, u8); 4] = [(1, 2), (2, 3), (3, 4), (4, 5)];

/// A node of a graph.
struct Bench {
    view: View,
    links: Links,
    echoes: Echoes,
}

impl Bench {
    fn new(me: u8, graph: &[(u8, u8)]) -> Self {
        let (view, links) = around(NOW, me, graph, |_| Vec::new());
        let echoes = Echoes::new(node(me), Arc::new(Tuning::DEFAULT));
        Self {
            view,
            links,
            echoes,
        }
    }

    /// The nonces count from 100 on.
    fn ping(&mut self, now: Time, number: u64, path: &[u8]) -> Result<(NodeId, Vec<Echo>), Pinged> {
        let path: Vec<NodeId> = path.iter().map(|number| node(*number)).collect();
        let (view, links) = (&self.view, &self.links);
        let scene = Scene { now, view, links };
        let mut last = 99;
        self.echoes.ping(&scene, number, &path, || {
            last += 1;
            last
        })
    }

    fn handle(&mut self, now: Time, from: u8, echo: Echo) -> Step {
        let (view, links) = (&self.view, &self.links);
        let scene = Scene { now, view, links };
        self.echoes.handle(&scene, &node(from), echo)
    }
}

fn echo(way: &[u8], nonce: u64, is_answer: bool) -> Echo {
    Echo {
        way: way
            .iter()
            .map(|number| node(*number).abbreviated())
            .collect(),
        nonce,
        is_answer,
    }
}

fn refused(step: &Step) -> bool {
    matches!(step, Step::Refused(_))
}

/// Carries messages over the chain, 10 ms a link in each direction, until none is under way. Returns how many went over each link.
fn carry(
    all: &mut [Bench],
    from: u8,
    (first, echoes): (NodeId, Vec<Echo>),
    lost: impl Fn(&Echo, u8) -> bool,
) -> BTreeMap<(u8, u8), usize> {
    let mut under_way: Vec<(Time, u8, u8, Echo)> = echoes
        .into_iter()
        .map(|echo| (NOW + ms(10), from, first.0[0], echo))
        .collect();
    let mut counts = BTreeMap::new();
    while let Some(at) = under_way.iter().map(|(at, ..)| *at).min() {
        let place = under_way.iter().position(|(then, ..)| *then == at);
        let (_, from, to, echo) = under_way.remove(place.expect("it is the least"));
        *counts.entry((from, to)).or_default() += 1;
        if lost(&echo, to) {
            continue;
        }
        match all[usize::from(to) - 1].handle(at, from, echo) {
            Step::Pass(next, echo) => under_way.push((at + ms(10), to, next.0[0], echo)),
            Step::Nothing => {}
            Step::Refused(why) => panic!("{why}"),
        }
    }
    counts
}

fn chain() -> Vec<Bench> {
    (1..=5).map(|me| Bench::new(me, &CHAIN)).collect()
}

#[test]
fn each_node_of_the_path_answers_and_each_message_causes_one_at_most() {
    let mut all = chain();
    let sent = all[0].ping(NOW, 7, &[2, 3, 4, 5]).expect("it is sent");
    assert_eq!(sent.0, node(2));
    let ways: Vec<usize> = sent.1.iter().map(|echo| echo.way.len()).collect();
    assert_eq!(ways, [2, 3, 4, 5]);
    let counts = carry(&mut all, 1, sent, |_, _| false);
    // An echo to each node from there on passes a link, and its answer comes back.
    let out = [(1, 2), (2, 3), (3, 4), (4, 5)].map(|way| counts[&way]);
    let back = [(2, 1), (3, 2), (4, 3), (5, 4)].map(|way| counts[&way]);
    assert_eq!((out, back), ([4, 3, 2, 1], [4, 3, 2, 1]));
    let rtts = vec![Some(20_000), Some(40_000), Some(60_000), Some(80_000)];
    assert_eq!(all[0].echoes.ended(NOW + ms(80)), [(7, Some(rtts))]);
    assert_eq!(all[0].echoes.deadline(), None);
}

#[test]
fn what_is_lost_is_waited_for_and_the_rest_counts() {
    let mut all = chain();
    let sent = all[0].ping(NOW, 7, &[2, 3, 4, 5]).expect("it is sent");
    // Node 4 takes nothing.
    carry(&mut all, 1, sent, |_, to| to == 4);
    let patience = Tuning::DEFAULT.echo.patience;
    assert_eq!(all[0].echoes.ended(NOW + patience - ms(1)), []);
    assert_eq!(all[0].echoes.deadline(), Some(NOW + patience));
    let rtts = vec![Some(20_000), Some(40_000), None, None];
    assert_eq!(all[0].echoes.ended(NOW + patience), [(7, Some(rtts))]);
    // An answer that comes after that is counted, and means nothing.
    let late = echo(&[1, 2, 3, 4], 102, true);
    assert!(refused(&all[0].handle(NOW + patience, 2, late)));
}

#[test]
fn only_the_answers_that_are_waited_for_count_and_once() {
    let mut asker = Bench::new(1, &[(1, 2), (2, 3), (1, 6), (6, 3)]);
    asker.ping(NOW, 7, &[2, 3]).expect("it is sent");
    let mut says =
        |from, way: &[u8], nonce| asker.handle(NOW + ms(9), from, echo(way, nonce, true));
    assert!(refused(&says(2, &[1, 2, 3], 555)), "nobody waits for it");
    assert!(refused(&says(2, &[1, 2], 101)), "the nonce of another way");
    assert!(refused(&says(6, &[1, 6, 3], 101)), "over another neighbour");
    assert!(refused(&says(2, &[1, 6, 3], 101)), "from beside its way");
    assert_eq!(says(2, &[1, 2, 3], 101), Step::Nothing);
    assert!(refused(&says(2, &[1, 2, 3], 101)), "it counts once");
    assert_eq!(asker.echoes.ended(NOW + ms(9)), []);
    let patience = Tuning::DEFAULT.echo.patience;
    let rtts = vec![None, Some(9000)];
    assert_eq!(asker.echoes.ended(NOW + patience), [(7, Some(rtts))]);
}

#[test]
fn nothing_goes_past_a_node_that_is_not_on_the_way_or_over_no_link() {
    let mut relay = Bench::new(3, &CHAIN);
    for (from, way, is_answer, why) in [
        (2, &[1, 2, 4][..], false, "this node is not on it"),
        (2, &[1, 4, 3, 2], false, "it came from the wrong end"),
        (
            2,
            &[3, 2, 1],
            false,
            "it begins here and comes from elsewhere",
        ),
        (4, &[1, 2, 3, 4], false, "a request against its way"),
        (2, &[1, 2, 3, 4], true, "an answer against its way"),
        (2, &[1, 2, 3], true, "an answer from the end of its way"),
    ] {
        assert!(
            refused(&relay.handle(NOW, from, echo(way, 1, is_answer))),
            "{why}"
        );
    }
    for way in [&[1, 2, 3, 5][..], &[1, 2, 3, 9]] {
        let step = relay.handle(NOW, 2, echo(way, 1, false));
        assert_eq!(step, Step::Nothing, "{way:?}: no link leads on");
    }
    let on = echo(&[1, 2, 3, 4], 1, false);
    assert_eq!(relay.handle(NOW, 2, on.clone()), Step::Pass(node(4), on));
    let back = echo(&[1, 2, 3, 4], 1, true);
    assert_eq!(
        relay.handle(NOW, 4, back.clone()),
        Step::Pass(node(2), back)
    );
    let here = echo(&[1, 2, 3], 1, false);
    let answer = echo(&[1, 2, 3], 1, true);
    assert_eq!(relay.handle(NOW, 2, here), Step::Pass(node(2), answer));
}

#[test]
fn what_a_neighbour_brings_is_limited_and_costs_the_others_nothing() {
    let mut relay = Bench::new(3, &[(2, 3), (3, 4), (3, 5), (3, 6)]);
    let mut passed = |now: Time, from: u8, to: u8, count: usize| {
        let steps = (0..count).map(|_| relay.handle(now, from, echo(&[from, 3, to], 1, false)));
        steps.filter(|step| !refused(step)).count()
    };
    let tuning = Tuning::DEFAULT.echo;
    let burst = (tuning.sent_burst - tuning.kept) as usize;
    let brought = tuning.brought_burst as usize;
    assert_eq!(passed(NOW, 2, 4, 100), burst, "to one neighbour");
    assert_eq!(passed(NOW, 2, 5, 100), 0, "it has brought all that it may");
    assert_eq!(passed(NOW, 6, 5, 100), burst, "another one may");
    let later = NOW + ms(1000);
    assert_eq!(passed(later, 2, 5, 100), tuning.brought_per_s as usize);
    assert!(brought > burst);
    // Many that flood one neighbour together: what goes there is limited as well.
    let much_later = NOW + Time::from_secs(100);
    let all = passed(much_later, 2, 4, 100) + passed(much_later, 5, 4, 100);
    assert_eq!(all, burst);
}

#[test]
fn a_node_can_ping_whatever_others_send() {
    let mut relay = Bench::new(3, &CHAIN);
    for _ in 0..100 {
        relay.handle(NOW, 2, echo(&[1, 2, 3, 4], 1, false));
    }
    let long: Vec<u8> = (4..=18).collect();
    let (_, echoes) = relay.ping(NOW, 1, &long).expect("it is kept for that");
    assert_eq!(echoes.len(), MAX_ECHO_WAY - 1);
    assert_eq!(
        relay.ping(NOW, 2, &long),
        Err((2, None)),
        "too many at once"
    );
    let later = NOW + Time::from_secs(2);
    assert!(relay.ping(later, 3, &long).is_ok());
}

#[test]
fn of_a_path_longer_than_an_echo_goes_the_beginning_is_asked() {
    let mut asker = Bench::new(1, &CHAIN);
    let long: Vec<u8> = (2..=25).collect();
    let (_, echoes) = asker.ping(NOW, 1, &long).expect("it is sent");
    assert_eq!(echoes.len(), MAX_ECHO_WAY - 1);
    assert!(echoes.iter().all(|echo| echo.way.len() <= MAX_ECHO_WAY));
}

#[test]
fn a_path_that_does_not_begin_with_a_link_ends_unanswered_at_once() {
    let mut asker = Bench::new(1, &CHAIN);
    for path in [&[3, 4][..], &[9, 2], &[2, 1], &[2, 2]] {
        assert_eq!(asker.ping(NOW, 5, path), Err((5, Some(vec![None; 2]))));
    }
    assert_eq!(asker.ping(NOW, 5, &[]), Err((5, Some(Vec::new()))));
    assert_eq!(asker.echoes.deadline(), None);
}

#[test]
fn a_hostile_node_on_the_way_can_lie_about_what_is_behind_it_and_nothing_else() {
    let mut all = chain();
    let (_, echoes) = all[0].ping(NOW, 7, &[2, 3, 4, 5]).expect("it is sent");
    // Node 3 answers at once for the nodes behind it, whose nonces it sees.
    for (at, echo) in echoes.into_iter().enumerate() {
        let lies = at >= 1;
        let from_3 = Echo {
            is_answer: true,
            ..echo.clone()
        };
        let step = if lies {
            all[1].handle(NOW + ms(20), 3, from_3)
        } else {
            all[1].handle(NOW + ms(10), 1, echo)
        };
        let Step::Pass(to, answer) = step else {
            panic!("{step:?}");
        };
        assert_eq!(to, node(1));
        assert_eq!(all[0].handle(NOW + ms(30), 2, answer), Step::Nothing);
    }
    let ended = all[0].echoes.ended(NOW + ms(30));
    let [(7, Some(rtts))] = &ended[..] else {
        panic!("{ended:?}");
    };
    assert_eq!(rtts.len(), 4, "its lies are no worse than its own delay");
}
