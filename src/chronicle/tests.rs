mod ends;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::lines::{self, Header, Reader};
use super::news::News;
use super::*;
use crate::membership::LinkNews;
use crate::snapshot::{EndFigures, LinkView, NodeState, NodeView, Rejected, Snapshot};
use crate::wire::NodeId;

const ROOMY: Limit = Limit {
    bytes: 8 << 20,
    age: Duration::from_secs(86_400),
};

fn id(number: u8) -> NodeId {
    NodeId([number; 32])
}

fn node(number: u8, state: NodeState, since_ms: i64) -> NodeView {
    NodeView {
        id: id(number),
        label: format!("node {number}").into(),
        addrs: vec![([0, 0, 0, 0, 0, 0, 0, 1], 8000 + u16::from(number)).into()],
        state,
        since_ms,
    }
}

fn link(dialer: usize, listener: usize, rtt_us: u32, rtt_at_ms: i64) -> LinkView {
    LinkView {
        dialer,
        listener,
        rtt_us: (rtt_us > 0).then_some(rtt_us),
        rtt_at_ms,
        rtt_stale: rtt_us.is_multiple_of(7),
        loss_permille: u16::try_from(rtt_us % 1000).unwrap(),
        suspect: rtt_us.is_multiple_of(5),
        other: rtt_us.is_multiple_of(3).then_some(EndFigures {
            rtt_us: rtt_us + 1,
            rtt_at_ms: rtt_at_ms - i64::from(rtt_us % 2) * 50,
            loss_permille: 3,
        }),
        disputed_ms: (rtt_us % 13 == 1).then_some(rtt_at_ms),
    }
}

/// The view of node 1 at a time: these other nodes in these states, and links by the numbers of their ends.
fn view(at_ms: i64, others: &[(u8, NodeState, i64)], links: &[(u8, u8, u32)]) -> Arc<Snapshot> {
    let mut nodes = vec![node(1, NodeState::Up, 0)];
    nodes.extend(
        others
            .iter()
            .map(|(n, state, since)| node(*n, *state, *since)),
    );
    nodes.sort_by_key(|node| node.id);
    nodes.dedup_by_key(|node| node.id);
    let place = |n: u8| nodes.iter().position(|node| node.id == id(n));
    let mut links: Vec<LinkView> = links
        .iter()
        .filter_map(|(a, b, rtt)| Some(link(place(*a)?, place(*b)?, *rtt, at_ms - 10)))
        .filter(|link| link.dialer != link.listener)
        .collect();
    links.sort_by_key(|link| (link.dialer, link.listener));
    links.dedup_by_key(|link| (link.dialer, link.listener));
    Arc::new(Snapshot {
        me: place(1).unwrap(),
        at_ms,
        origin_ms: 1_700_000_000_000 + at_ms / 5000,
        network: "demo".into(),
        differing: (at_ms % 10 == 3)
            .then_some((0, at_ms))
            .into_iter()
            .collect(),
        cut_off: links.is_empty(),
        impaired: (at_ms % 2 == 1).then(|| "delay 1ms".into()),
        links,
        rejected: Rejected(vec![(
            "over_limit".into(),
            u64::try_from(at_ms / 3000).unwrap(),
        )]),
        nodes,
    })
}

fn up(n: u8) -> (u8, NodeState, i64) {
    (n, NodeState::Up, i64::from(n))
}

fn any_state() -> impl Strategy<Value = NodeState> {
    prop_oneof![
        Just(NodeState::Up),
        Just(NodeState::Unreachable),
        Just(NodeState::Left)
    ]
}

/// Any views, one after another.
fn any_views() -> impl Strategy<Value = Vec<Arc<Snapshot>>> {
    let others = prop::collection::vec((0_u8..8, any_state(), -5..5_i64), 0..8);
    let links = prop::collection::vec((0_u8..8, 0_u8..8, 0_u32..20), 0..12);
    let views = prop::collection::vec((1..4000_i64, others, links), 1..40);
    views.prop_map(|views| {
        let mut at_ms = 0;
        let mut made = Vec::new();
        for (pause_ms, others, links) in views {
            at_ms += pause_ms;
            made.push(view(at_ms, &others, &links));
        }
        made
    })
}

/// The lines of a recording that begins at the first view.
fn recording(chronicle: &Chronicle) -> Vec<String> {
    let span = chronicle.span().unwrap();
    let (first, next) = chronicle.at(span.from_ms).unwrap();
    let mut lines = vec![Header::new("demo".into(), &id(1), "one".into()).line()];
    lines.push(lines::line(&Entry::Frame(Box::new(first.keyframe()))));
    let rest = chronicle.since(next).unwrap();
    lines.extend(rest.map(|(_, entry)| lines::line(&entry)));
    lines
}

proptest! {
    #[test]
    fn gives_every_view_back_exactly(views in any_views()) {
        let mut chronicle = Chronicle::new(ROOMY);
        for view in &views {
            chronicle.record(view);
        }
        for view in &views {
            let back = chronicle.at(view.at_ms).unwrap().0.snapshot().unwrap();
            let same_time = Snapshot { at_ms: view.at_ms, ..back };
            prop_assert_eq!(&same_time, &**view);
        }
        prop_assert!(chronicle.at(views[0].at_ms - 1).is_none());
        let newest = chronicle.newest().unwrap().snapshot().unwrap();
        prop_assert_eq!(&newest, &**views.last().unwrap());
    }

    #[test]
    fn a_recording_gives_every_view_back_exactly(views in any_views()) {
        let mut chronicle = Chronicle::new(ROOMY);
        for view in &views {
            chronicle.record(view);
        }
        let lines = recording(&chronicle);
        let mut reader = Reader::begin(&lines[0]).unwrap();
        let mut shown = std::collections::BTreeMap::new();
        for line in &lines[1..] {
            reader.next(line).unwrap();
            let view = reader.picture().snapshot().unwrap();
            shown.insert(view.at_ms, view);
        }
        for view in &views {
            let (_, back) = shown.range(..=view.at_ms).next_back().unwrap();
            let same_time = Snapshot { at_ms: view.at_ms, ..back.clone() };
            prop_assert_eq!(&same_time, &**view);
        }
    }

    #[test]
    fn a_loaded_history_is_the_one_that_was_recorded(views in any_views()) {
        let mut recorded = Chronicle::new(ROOMY);
        let mut loaded = Chronicle::new(ROOMY);
        for view in &views {
            recorded.record(view);
        }
        let lines = recording(&recorded);
        for line in &lines[1..] {
            if let Some(entry) = lines::read_line(line).unwrap() {
                loaded.load(&"demo".into(), entry).unwrap();
            }
        }
        prop_assert_eq!(recording(&loaded), lines);
        for view in &views {
            let [there, here] = [&loaded, &recorded].map(|it| it.at(view.at_ms).unwrap().0);
            prop_assert_eq!(there.keyframe(), here.keyframe());
        }
        let numbers = |it: &Chronicle| {
            let numbers = it.numbers().map(|(id, n)| (*id, n));
            numbers.collect::<std::collections::BTreeMap<_, _>>()
        };
        prop_assert_eq!(numbers(&loaded), numbers(&recorded));
    }

    #[test]
    fn no_line_panics(line in ".{0,200}", from in 0..20_usize) {
        let views = [view(1, &[up(2)], &[(1, 2, 3)]), view(2, &[up(3)], &[(1, 3, 4)])];
        let mut chronicle = Chronicle::new(ROOMY);
        for view in &views {
            chronicle.record(view);
        }
        let lines = recording(&chronicle);
        let mut reader = Reader::begin(&lines[0]).unwrap();
        for good in &lines[1..] {
            let cut: String = good.chars().skip(from).chain(line.chars()).collect();
            let _any = reader.next(&cut);
            let _any = reader.picture().snapshot();
        }
        let _any = Reader::begin(&line);
    }
}

/// A view of many nodes, whose links' measurements all change each time.
fn busy(at_ms: i64, nodes: u8) -> Arc<Snapshot> {
    let others: Vec<_> = (2..nodes).map(up).collect();
    let rtt = 50 + u32::try_from(at_ms % 977).unwrap();
    let links: Vec<_> = (2..nodes).map(|n| (n - 1, n, rtt + u32::from(n))).collect();
    view(at_ms, &others, &links)
}

#[test]
fn forgets_the_oldest_views_beyond_the_bound_of_bytes() {
    let limit = Limit {
        bytes: 200_000,
        ..ROOMY
    };
    let mut chronicle = Chronicle::new(limit);
    for second in 0..20_000 {
        chronicle.record(&busy(second * 1000, 60));
        assert!(chronicle.span().unwrap().bytes <= 200_000 + 40_000);
    }
    let span = chronicle.span().unwrap();
    assert_eq!(span.to_ms, 19_999_000);
    assert!(span.from_ms > 0 && span.bytes > 100_000, "{span:?}");
    assert!(chronicle.at(span.from_ms - 1).is_none());
    for at_ms in [span.from_ms, span.to_ms, (span.from_ms + span.to_ms) / 2] {
        let back = chronicle.at(at_ms).unwrap().0.snapshot().unwrap();
        assert_eq!(back, *busy(at_ms / 1000 * 1000, 60));
    }
}

#[test]
fn a_reader_that_goes_on_misses_nothing_and_one_that_is_too_late_is_told() {
    let limit = Limit {
        bytes: 200_000,
        ..ROOMY
    };
    let mut chronicle = Chronicle::new(limit);
    chronicle.record(&busy(0, 60));
    let (key, mut next) = chronicle.keyframe().unwrap();
    let mut picture = Picture::new("demo".into());
    picture.apply(key).unwrap();
    for second in 1..3000_i64 {
        chronicle.record(&busy(second * 1000, 60));
        if second % 3 == 0 {
            for (number, entry) in chronicle.since(next).unwrap() {
                assert!(number >= next);
                next = number + 1;
                if let Entry::Frame(frame) = entry {
                    picture.apply(*frame).unwrap();
                }
            }
            assert_eq!(picture.snapshot().unwrap(), *busy(second * 1000, 60));
        }
    }
    assert!(chronicle.first() > 0);
    assert!(chronicle.since(chronicle.first() - 1).is_none());
    assert!(chronicle.since(chronicle.first()).is_some());
    assert_eq!(chronicle.since(chronicle.next()).unwrap().count(), 0);
}

#[test]
fn events_alone_stay_within_the_bound_too() {
    let limit = Limit {
        bytes: 200_000,
        ..ROOMY
    };
    let event = |at_ms| EventLine {
        at_ms,
        name: "x".repeat(300).into(),
        level: "info".into(),
        fields: Vec::new(),
    };
    let mut chronicle = Chronicle::new(limit);
    for at_ms in -5000..0 {
        chronicle.tell(event(at_ms));
    }
    chronicle.record(&busy(0, 20));
    for at_ms in 1..5000 {
        chronicle.tell(event(at_ms));
        assert!(chronicle.span().unwrap().bytes <= 280_000);
        if at_ms == 2500 {
            chronicle.record(&busy(2500, 30));
        }
    }
    let newest = chronicle.newest().unwrap().snapshot().unwrap();
    assert_eq!(newest, *busy(2500, 30));
    let (last, _) = chronicle.at(5000).unwrap();
    assert_eq!(last.snapshot().unwrap(), newest);
}

#[test]
fn forgets_views_beyond_the_bound_of_age() {
    let limit = Limit {
        age: Duration::from_secs(600),
        ..ROOMY
    };
    let mut chronicle = Chronicle::new(limit);
    for second in 0..5000 {
        chronicle.record(&busy(second * 1000, 60));
    }
    let span = chronicle.span().unwrap();
    let covered_s = (span.to_ms - span.from_ms) / 1000;
    assert!((600..700).contains(&covered_s), "{covered_s} s");
}

#[test]
fn a_view_that_differs_in_nothing_takes_no_room() {
    let mut chronicle = Chronicle::new(ROOMY);
    let still = view(0, &[up(2)], &[(1, 2, 30)]);
    chronicle.record(&still);
    let before = chronicle.span().unwrap();
    for at_ms in 1..1000 {
        chronicle.record(&Arc::new(Snapshot {
            at_ms,
            ..(*still).clone()
        }));
    }
    let after = chronicle.span().unwrap();
    assert_eq!((after.entries, after.bytes), (before.entries, before.bytes));
    assert_eq!(after.to_ms, 999);
}

#[test]
fn an_older_snapshot_is_ignored() {
    let mut chronicle = Chronicle::new(ROOMY);
    chronicle.record(&view(2000, &[up(2)], &[(1, 2, 30)]));
    chronicle.record(&view(1000, &[], &[]));
    assert_eq!(chronicle.span().unwrap().entries, 1);
}

fn heard(
    chronicle: &mut Chronicle,
    at_ms: i64,
    by: u8,
    via: Option<u8>,
    added: &[u8],
    withdrawn: &[u8],
) {
    let short = |n: &u8| id(*n).abbreviated();
    let news = LinkNews {
        by: id(by),
        via: via.map(id),
        added: added.iter().map(short).collect(),
        withdrawn: withdrawn.iter().map(short).collect(),
    };
    chronicle.hear(at_ms, news);
}

/// Who told why the state of a node is what it is: by whose record, and who brought it.
fn origin(chronicle: &Chronicle, n: u8) -> Option<(NodeId, Option<NodeId>)> {
    let picture = chronicle.newest().unwrap();
    picture.origin(picture.find(&id(n)).unwrap().told?)
}

#[test]
fn tells_who_noticed_first_that_a_node_is_gone() {
    let all = [up(2), up(3), up(4)];
    let links = [(1, 2, 9), (2, 3, 9), (3, 4, 9), (2, 4, 9)];
    let mut chronicle = Chronicle::new(ROOMY);
    chronicle.record(&view(0, &all, &links));
    heard(&mut chronicle, 900, 3, Some(2), &[], &[4]);
    heard(&mut chronicle, 1400, 2, Some(2), &[], &[4]);
    let lost = [up(2), up(3), (4, NodeState::Unreachable, 1400)];
    chronicle.record(&view(1500, &lost, &links[..2]));
    assert_eq!(origin(&chronicle, 4), Some((id(3), Some(id(2)))));

    // It comes back, and the next loss is noticed by this node itself.
    heard(&mut chronicle, 3000, 2, Some(2), &[4], &[]);
    let back = [up(2), up(3), (4, NodeState::Up, 3000)];
    chronicle.record(&view(3100, &back, &links));
    assert_eq!(origin(&chronicle, 4), Some((id(2), Some(id(2)))));
    heard(&mut chronicle, 9000, 1, None, &[], &[4]);
    heard(&mut chronicle, 9100, 2, Some(2), &[], &[4]);
    let lost = [up(2), up(3), (4, NodeState::Unreachable, 9100)];
    chronicle.record(&view(9200, &lost, &links[..2]));
    assert_eq!(origin(&chronicle, 4), Some((id(1), None)));
}

#[test]
fn tells_why_a_link_is_gone() {
    let mut chronicle = Chronicle::new(ROOMY);
    chronicle.record(&view(0, &[up(2), up(3)], &[(1, 2, 9), (2, 3, 9)]));
    heard(&mut chronicle, 500, 3, Some(2), &[], &[2]);
    chronicle.record(&view(600, &[up(2), up(3)], &[(1, 2, 9)]));
    let Some((_, Entry::Frame(frame))) = chronicle.since(0).unwrap().last() else {
        panic!("a link is gone");
    };
    let told = frame.gone[0].told.unwrap();
    let ids = chronicle.newest().unwrap().origin(told);
    assert_eq!(ids, Some((id(3), Some(id(2)))));
}

#[test]
fn tells_what_a_link_was_like() {
    let mut chronicle = Chronicle::new(ROOMY);
    let all = [up(2), up(3)];
    chronicle.record(&view(0, &all, &[(1, 2, 10), (2, 3, 9)]));
    for at_ms in 1..9 {
        let rtt = u32::try_from(10 + at_ms).unwrap();
        chronicle.record(&view(at_ms, &all, &[(1, 2, rtt), (2, 3, 9)]));
    }
    chronicle.record(&view(10, &all, &[(2, 3, 9)]));
    chronicle.record(&view(20, &all, &[(2, 1, 80), (2, 3, 9)]));
    let series = chronicle.series([&id(1), &id(2)], 600);
    let rtts: Vec<_> = series
        .points
        .iter()
        .map(|(at, rtt, _)| (*at, *rtt))
        .collect();
    let before = (0..9).map(|at| (at, Some(u32::try_from(10 + at).unwrap())));
    let expected: Vec<_> = before.chain([(10, None), (20, Some(80))]).collect();
    assert_eq!(rtts, expected);
    assert_eq!(series.since_ms, Some(20));
    assert_eq!(chronicle.series([&id(3), &id(2)], 600).since_ms, None);

    let few = chronicle.series([&id(2), &id(1)], 3).points;
    assert_eq!(
        few.iter().map(|point| point.0).collect::<Vec<_>>(),
        [3, 7, 10]
    );
    assert_eq!(chronicle.usual()[&(id(1), id(2))], 14);
}

#[test]
fn events_stand_among_the_frames_and_come_back() {
    let event = |at_ms| EventLine {
        at_ms,
        name: "node up".into(),
        level: "info".into(),
        fields: vec![
            ("node".into(), Value::Text("a\n\"b\"".into())),
            ("nodes".into(), Value::Number(-3)),
            ("ok".into(), Value::Bool(true)),
        ],
    };
    let mut chronicle = Chronicle::new(ROOMY);
    chronicle.tell(event(-5));
    chronicle.record(&view(0, &[], &[]));
    chronicle.tell(event(7));
    chronicle.record(&view(10, &[up(2)], &[]));
    let events: Vec<EventLine> = chronicle
        .since(0)
        .unwrap()
        .filter_map(|(_, entry)| match entry {
            Entry::Event(event) => Some(event),
            Entry::Frame(_) => None,
        })
        .collect();
    assert_eq!(events, [event(-5), event(7)]);
    let line = lines::line(&Entry::Event(event(7)));
    assert_eq!(
        lines::read_line(&line).unwrap(),
        Some(Entry::Event(event(7)))
    );
}

#[test]
fn a_recording_that_is_none_is_refused() {
    let refused = |line: &str| Reader::begin(line).unwrap_err().to_string();
    assert!(refused("hello").starts_with("line 1: this is not a recording of area-net: "));
    assert!(
        refused(r#"{"format":"x","version":1,"network":"n","node":"0"}"#)
            .contains("its format is \"x\"")
    );
    let later =
        r#"{"format":"area-net-recording","version":2,"network":"n","node":"0","label":"l"}"#;
    assert!(refused(later).contains("has version 2"));
    let first =
        r#"{"format":"area-net-recording","version":1,"network":"n","node":"0","label":"l"}"#;
    let mut reader = Reader::begin(first).unwrap();
    let error = reader.next(r#"{"at":1,"cut_off":true}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2: the first frame is not a keyframe"
    );
}

/// The format is public: these lines may only change with its version.
#[test]
fn the_lines_are_as_documented() {
    let mut differ = Differ::default();
    let news = News::default();
    let mut line = |view| lines::line(&Entry::Frame(Box::new(differ.next(&view, &news))));
    let first = line(view(1000, &[up(2)], &[(1, 2, 52)]));
    let zeros = |n: u8| format!("{n:02x}").repeat(32);
    let expected = format!(
        "{{\"at\":1000,\"origin\":1700000000000,\"view\":{{\"me\":0,\"cut_off\":false,\"impaired\":null,\"nodes\":[\
        {{\"n\":0,\"id\":\"{}\",\"label\":\"node 1\",\"addresses\":[\"[::1]:8001\"],\"state\":\"up\",\"since\":0}},\
        {{\"n\":1,\"id\":\"{}\",\"label\":\"node 2\",\"addresses\":[\"[::1]:8002\"],\"state\":\"up\",\"since\":2}}],\
        \"links\":[{{\"l\":0,\"dialer\":0,\"listener\":1,\"since\":1000,\"rtt_us\":52,\"measured\":990,\"stale\":false,\
        \"loss\":52,\"suspect\":false}}],\"rejected\":{{\"over_limit\":0}}}}}}\n",
        zeros(1),
        zeros(2)
    );
    assert_eq!(first, expected);
    let second = line(view(
        2000,
        &[(2, NodeState::Unreachable, 1990)],
        &[(1, 2, 55)],
    ));
    let expected = "{\"at\":2000,\"nodes\":[{\"n\":1,\"state\":\"unreachable\",\"since\":1990}],\
        \"links\":[{\"l\":0,\"suspect\":true}],\"figures\":[[0,55,1990,55,0]]}\n";
    assert_eq!(second, expected);
    let third = line(view(3000, &[], &[]));
    let expected = "{\"at\":3000,\"cut_off\":true,\"nodes\":[{\"n\":1,\"gone\":true}],\
        \"links\":[{\"l\":0,\"gone\":true}],\"rejected\":{\"over_limit\":1}}\n";
    assert_eq!(third, expected);
}

#[test]
fn the_view_of_another_node_begins_with_a_keyframe_and_numbers_stay() {
    let mut chronicle = Chronicle::new(ROOMY);
    chronicle.record(&view(0, &[up(2), up(3)], &[(1, 2, 9), (2, 3, 9)]));
    let mut other = (*view(1000, &[up(3), up(4)], &[(1, 3, 9), (3, 4, 9)])).clone();
    other.me = 1;
    chronicle.record(&Arc::new(other.clone()));
    let frames: Vec<_> = chronicle.since(1).unwrap().collect();
    let [(1, Entry::Frame(key))] = &frames[..] else {
        panic!("{frames:?}");
    };
    // Nodes 1 and 3 had the numbers 0 and 2; node 4 is new.
    let numbers: Vec<u32> = key.nodes.iter().map(|node| node.n).collect();
    assert_eq!((key.whole, numbers), (Some(2), vec![0, 2, 3]));
    assert_eq!(chronicle.at(1000).unwrap().0.snapshot().unwrap(), other);
    assert_eq!(chronicle.at(999).unwrap().0.me(), Some(0));
}
