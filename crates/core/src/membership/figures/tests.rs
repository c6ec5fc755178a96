//! The owner of figures by itself, through its own interface.

use rand::SeedableRng as _;

use super::*;
use crate::membership::interface::Action;
use crate::membership::out::Out;
use crate::membership::testing::{Unsigned, body, config, connected, link_to, ms, node, record};
use crate::record::{Body, LinkState};
use crate::wire::{Answer, ViewDigest};

/// The links of node 1, all dialed by it, and its figures.
struct Bench {
    figures: Figures,
    links: Links,
    view: View,
    record: Arc<Record>,
    rng: ChaCha8Rng,
    up: usize,
    now: Time,
}

impl Bench {
    /// Node 1 with links to so many peers, in a network of `up` nodes, with a budget in bytes a second.
    fn new(peers: u8, up: usize, budget: u32) -> Self {
        let mut config = config();
        config.refresh_bytes_per_s = budget;
        let config = Arc::new(config);
        let mut links = Links::new(node(1), config.probe_interval, config.tuning.clone());
        for peer in 2..2 + peers {
            links.adopt(ms(0), &connected(peer.into(), node(peer), 7, true));
            assert!(links.list_if_due(ms(0), &node(peer), None));
        }
        let mut own = body(node(1), 1, 1);
        own.links = links.states(ms(0));
        let record = record(own);
        let mut bench = Self {
            figures: Figures::new(config, Arc::new(Unsigned(node(1)))),
            links,
            view: View::new(record.clone()),
            record,
            rng: ChaCha8Rng::seed_from_u64(1),
            up,
            now: ms(0),
        };
        let around = (up, ms(0));
        bench
            .figures
            .published(ms(0), &bench.record, around, &mut bench.rng);
        bench
    }

    /// When the next figures are told, and what they say.
    fn told(&mut self) -> Option<(Time, Vec<u8>)> {
        loop {
            let due = self.figures.deadline()?;
            self.now = self.now.max(due);
            let place = (self.view.me(), self.up);
            let (figures, links) = (&mut self.figures, &self.links);
            let told = figures.tell_if_due(self.now, &self.record, place, links, &mut self.rng);
            if told.is_some() {
                let held = self.figures.get(self.view.me()).expect("just told");
                return Some((self.now, held.figures.body().rtts.clone()));
            }
        }
    }

    /// All probes of the link to a peer that come due before a time are answered after so many µs.
    fn measure(&mut self, until: Time, peer: u8, us: u32) {
        let mut out = Out::new();
        let mut at = self.now;
        while at < until {
            self.links
                .probe(at, &node(peer), ViewDigest([0; 8]), 0, &mut out);
            if let Some(Action::Probe(_, probe)) = out.poll_action() {
                let (seq, hold_us) = (probe.seq, 0);
                self.links
                    .handle_answer(at, &node(peer), &Answer { seq, hold_us }, Some(us));
                self.figures.consider(at, &self.links);
            }
            at += ms(10);
        }
    }
}

/// A node's record that lists links to those peers, dialed by it, with a round-trip time of 1 ms.
fn listing(id: u8, seq: u32, peers: &[u8]) -> Body {
    let mut body = body(node(id), 7, 1);
    body.seq = seq;
    let link = |peer: &u8| LinkState {
        rtt_age_s: 2,
        ..link_to(node(*peer), 1)
    };
    body.links = peers.iter().map(link).collect();
    body
}

fn signed(id: u8, seq: u32, count: u32, us: &[u32]) -> Arc<LinkFigures> {
    let body = FiguresBody {
        id: node(id).abbreviated(),
        epoch: 1,
        seq,
        count,
        every_s: 10,
        rtts: us.iter().map(|us| code_of_us(*us)).collect(),
        losses: Vec::new(),
    };
    LinkFigures::sign(body, "tests", &Unsigned(node(id)))
}

#[test]
fn figures_of_the_start_are_replaced_when_it_is_over_and_then_in_turn() {
    let mut bench = Bench::new(3, 25, 384);
    let (first, _) = bench.told().expect("a first message");
    assert!((ms(3000)..=ms(6000)).contains(&first), "{first:?}");
    let period = bench.figures.period(25).unwrap();
    assert!((ms(18_000)..=ms(20_000)).contains(&period), "{period:?}");
    let (second, _) = bench.told().expect("in turn");
    assert!(second > first && second <= first + period, "{second:?}");
    for turn in 1..5 {
        let (at, _) = bench.told().expect("in turn");
        assert_eq!(at, second + period * turn);
    }
}

#[test]
fn a_small_network_tells_no_more_often_than_every_eight_seconds() {
    let mut bench = Bench::new(3, 5, 384);
    bench.told().expect("a first message");
    let (second, _) = bench.told().expect("in turn");
    assert_eq!(bench.told().unwrap().0, second + ms(8000));
}

#[test]
fn a_move_beyond_the_noise_is_told_at_once() {
    let mut bench = Bench::new(3, 1000, 384);
    bench.measure(ms(2000), 2, 1000);
    let (first, rtts) = bench.told().expect("a first message");
    assert_eq!(
        us_of_code(rtts[0]).abs_diff(1000) / 30,
        0,
        "within three percent"
    );
    bench.now = first + ms(3000);
    bench.measure(bench.now + ms(12_000), 2, 1100);
    let (at, rtts) = bench.told().expect("the move");
    assert!(at <= first + ms(15_000), "{at:?}");
    assert_eq!(
        us_of_code(rtts[0]).abs_diff(1100) / 33,
        0,
        "within three percent"
    );
    let (next, _) = bench.told().expect("in turn");
    assert!(next >= at + ms(300_000), "no more of it: {next:?}");
}

#[test]
fn whoever_hears_much_waits_with_its_own() {
    let mut bench = Bench::new(3, 25, 384);
    let (first, _) = bench.told().unwrap();
    let due = bench.figures.deadline().unwrap();
    let peers: Vec<u8> = (2..40).collect();
    for &peer in &peers {
        let record = record(listing(peer, 1, &[1]));
        bench.view.accept(record, first, None, true);
        let heard = bench
            .figures
            .take(due, signed(peer, 1, 1, &[500]), 0, &bench.view);
        assert!(matches!(heard, Heard::Taken(_, Some(false))), "{heard:?}");
    }
    let (at, _) = bench.told().unwrap();
    // A burst is owed, and as much is needed for a message.
    assert!(at >= due + ms(2000), "{at:?} {due:?}");
}

#[test]
fn without_a_budget_no_figures_are_told() {
    let mut bench = Bench::new(3, 25, 0);
    assert_eq!(bench.told(), None);
}

#[test]
fn who_dialed_nobody_tells_no_figures() {
    let mut bench = Bench::new(0, 25, 384);
    assert_eq!(bench.told(), None);
}

#[test]
fn figures_replace_those_of_the_record_and_age() {
    let mut bench = Bench::new(1, 25, 384);
    let theirs = record(listing(2, 1, &[1, 3]));
    bench.view.accept(theirs.clone(), ms(1000), None, true);
    let index = bench.view.index(&node(2).abbreviated()).unwrap();
    let figure = |bench: &Bench, now: u64, peer: u8| {
        let told = (index, &*theirs, ms(1000));
        let figure = bench
            .figures
            .figure(ms(now), told, &node(peer).abbreviated(), 25);
        figure.expect("a dialed link")
    };
    let by_record = figure(&bench, 4000, 3);
    assert_eq!(
        (by_record.rtt_us, by_record.age),
        (1000, ms(5000)),
        "2 s old when it came"
    );
    assert!(!by_record.is_stale);
    assert!(figure(&bench, 60_000, 3).is_stale);

    let newer = signed(2, 1, 5, &[300, 2000]);
    assert!(matches!(
        bench
            .figures
            .take(ms(20_000), newer.clone(), 30, &bench.view),
        Heard::Taken(_, Some(false))
    ));
    let by_figures = figure(&bench, 21_000, 3);
    assert!(by_figures.rtt_us.abs_diff(2000) < 60, "{by_figures:?}");
    assert_eq!(by_figures.age, ms(4000), "3 s old when they came");
    assert!(!figure(&bench, 36_000, 3).is_stale, "its period is 10 s");
    assert!(figure(&bench, 38_000, 3).is_stale);
    assert_eq!(
        bench.figures.take(ms(22_000), newer, 0, &bench.view),
        Heard::Nothing
    );
    let older = signed(2, 1, 4, &[1, 1]);
    assert_eq!(
        bench.figures.take(ms(22_000), older, 0, &bench.view),
        Heard::Nothing,
        "older"
    );
}

#[test]
fn figures_well_before_their_turn_are_urgent_and_old_ones_are_not_passed_on() {
    let mut bench = Bench::new(1, 25, 384);
    let theirs = record(listing(2, 1, &[1, 3]));
    bench.view.accept(theirs, ms(1000), None, true);
    let mut count = 0;
    let mut take = |now: u64, age_ds: u16| {
        count += 1;
        let figures = signed(2, 1, count, &[300, 2000]);
        match bench.figures.take(ms(now), figures, age_ds, &bench.view) {
            Heard::Taken(_, pass) => pass,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(take(10_000, 50), Some(false), "the first");
    // They announce the next ones in ten seconds. It is their own time that counts, not the way's.
    assert_eq!(take(21_000, 65), Some(false), "in turn: after 9.5 s");
    assert_eq!(take(22_000, 30), Some(true), "after 4.5 s");
    assert_eq!(take(50_000, 210), None, "they came with a record");
}

#[test]
fn figures_of_another_record_or_node_are_not_taken() {
    let mut bench = Bench::new(1, 25, 384);
    bench
        .view
        .accept(record(listing(2, 4, &[1, 3])), ms(1000), None, true);
    let take = |bench: &mut Bench, figures| bench.figures.take(ms(2000), figures, 0, &bench.view);
    assert_eq!(
        take(&mut bench, signed(2, 3, 1, &[1, 1])),
        Heard::Nothing,
        "of an older record"
    );
    assert_eq!(
        take(&mut bench, signed(2, 5, 1, &[1, 1])),
        Heard::Nothing,
        "of a later one"
    );
    assert_eq!(
        take(&mut bench, signed(2, 4, 1, &[1])),
        Heard::Nothing,
        "too few"
    );
    assert_eq!(
        take(&mut bench, signed(9, 4, 1, &[1, 1])),
        Heard::Nothing,
        "of nobody"
    );
    assert_eq!(
        take(&mut bench, signed(1, 1, 1, &[1])),
        Heard::Nothing,
        "of ourselves"
    );
    let good = signed(2, 4, 1, &[1, 1]);
    let bytes = postcard::to_stdvec(good.body()).unwrap();
    let forged = LinkFigures::from_parts(bytes, [7; 64]).unwrap();
    assert!(matches!(take(&mut bench, forged), Heard::Forged(_)));
    assert!(matches!(take(&mut bench, good), Heard::Taken(..)));
}
