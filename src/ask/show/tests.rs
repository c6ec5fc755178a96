use super::link::{SPARKS, sparks};
use super::*;
use crate::answers::{
    self, ExplainExtras, LinkExtras, NodeExtras, StatusExtras, explain, who, who_by_id,
};
use crate::graph::example::snapshot;
use crate::snapshot::{EndFigures, Snapshot};
use crate::wire::NodeId;

/// Five nodes. Carol is unreachable; the label of the last one is hostile, and long.
fn view() -> Snapshot {
    let mut view = snapshot(5, &[(0, 1, 52), (1, 2, 80_312), (0, 2, 120_000), (4, 2, 0)]);
    let labels = [
        "bob",
        "日本のノード",
        "dave",
        "carol",
        "\u{1b}[2J\u{202e}a label that goes on and on and on and on and on and on and on\r\n",
    ];
    for (node, label) in view.nodes.iter_mut().zip(labels) {
        node.label = label.into();
    }
    view.nodes[3].state = NodeState::Unreachable;
    view.links[1].rtt_stale = true;
    view.links[1].loss_permille = 21;
    view.links[2].suspect = true;
    view.at_ms = 3_723_000;
    view.rejected.0.push(("bad_signature".into(), 2));
    view
}

fn event(view: &Snapshot) -> Event {
    let fields = serde_json::json!({"node": "a b", "nodes": 4, "cause": "\u{1b}]0;x\u{7}"});
    Event {
        at_ms: view.unix_ms(7_000),
        name: "node unreachable".to_owned(),
        level: "warn".to_owned(),
        fields: fields.as_object().unwrap().clone(),
    }
}

/// Every answer, by its name.
fn all(screen: Screen) -> Vec<(&'static str, String)> {
    let view = view();
    let extras = NodeExtras {
        told: Some(Told {
            by: who(&view, 1),
            via: Some(who_by_id(&view, &NodeId([9; 32]))),
            at_ms: 7,
        }),
        events: vec![event(&view)],
    };
    let series = (0..600).map(|at| (at * 1000 + 1_764_460_000_000, Some(52 + at as u32), 0));
    let link_extras = LinkExtras {
        since_ms: Some(1_764_460_000_000),
        series: series.collect(),
        other_series: vec![
            (1_764_460_000_000, Some(90), 0),
            (1_764_460_060_000, Some(99), 0),
        ],
    };
    let usual = |_| Some(10);
    let explain_extras = ExplainExtras {
        usual_us: Some(&usual),
        predicted_us: None,
    };
    let status = StatusExtras {
        history: Some(answers::types::History {
            from_ms: 1_764_460_000_000,
            to_ms: 1_764_463_600_000,
            frames: 9,
            bytes: 1_300_000,
            limit_bytes: 8 << 20,
        }),
        agreement: Some(answers::types::Agreement {
            same: 1,
            neighbours: 2,
            differing: vec![answers::types::Differing {
                node: who(&view, 4),
                since_ms: view.unix_ms(3_720_000),
            }],
        }),
        ..StatusExtras::default()
    };
    vec![
        ("status", screen.status(&answers::status(&view, status))),
        ("nodes", screen.nodes(&answers::nodes(&view))),
        ("links", screen.links(&answers::links(&view))),
        ("node", screen.node(&answers::node(&view, 2, extras))),
        (
            "link",
            screen.link(&answers::link(&view, [0, 1], link_extras).unwrap()),
        ),
        ("path", screen.path(&answers::path(&view, 0, 4))),
        ("explain", screen.explain(&explain(&view, &explain_extras))),
    ]
}

#[test]
fn tables_fit_the_terminal_and_say_more_on_a_wider_one() {
    let mut shown: Vec<usize> = Vec::new();
    for columns in [40, 80, 200] {
        let screen = Screen {
            width: Some(columns),
            colours: false,
        };
        let all = all(screen);
        shown.push(all.iter().map(|(_, text)| text.len()).sum());
        for (name, text) in all {
            // Events are one line each, for grep; ids and file names stay whole, to be copied.
            let lines = text.lines().filter(|line| {
                !line.contains("node unreachable")
                    && line.split(' ').all(|word| width(word) < 40 - KEY)
            });
            for line in lines {
                assert!(width(line) <= columns, "{name} at {columns}:\n{text}");
            }
        }
    }
    assert!(shown.is_sorted(), "{shown:?}");
}

#[test]
fn nothing_hostile_reaches_the_terminal() {
    for width in [None, Some(40)] {
        for (name, text) in all(Screen {
            width,
            colours: false,
        }) {
            let hostile =
                |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
            assert!(!text.contains(hostile), "{name}: {text:?}");
        }
    }
    let [(_, status), (_, nodes), ..] = &all(Screen::default())[..] else {
        panic!("a status and nodes come first");
    };
    assert!(
        status.contains("1 of 2 neighbours see the same; \u{fffd}[2J"),
        "{status}"
    );
    assert!(status.contains(" differs for 3 s\n"), "{status}");
    assert!(nodes.contains("\u{fffd}[2J\u{fffd}a label that"), "{nodes}");
}

#[test]
fn a_list_of_nodes_begins_with_the_one_that_answers() {
    let nodes = Screen {
        width: Some(80),
        colours: false,
    }
    .nodes(&answers::nodes(&view()));
    let lines: Vec<_> = nodes.lines().collect();
    let heads: Vec<_> = lines[0].split_whitespace().collect();
    assert_eq!(
        heads,
        [
            "NODE", "STATE", "FOR", "DISTANCE", "HOPS", "LINKS", "ADDRESS"
        ]
    );
    assert!(lines[1].starts_with("bob "), "{nodes}");
    let carol = lines.iter().find(|line| line.starts_with("carol")).unwrap();
    assert!(carol.contains("unreachable  1 h 2 min "), "{nodes}");
    let japanese = lines.iter().find(|line| line.starts_with("日")).unwrap();
    assert!(japanese.contains("  0.052 ms "), "{nodes}");
}

#[test]
fn a_path_is_shown_hop_by_hop_with_its_sum() {
    let view = view();
    let path = Screen::default().path(&answers::path(&view, 0, 2));
    let figures: Vec<_> = path
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert!(
        figures[2].starts_with("日本のノード 0.052 ms 0.052 ms "),
        "{path}"
    );
    assert!(
        figures[3].starts_with("dave 80.312 ms 80.364 ms "),
        "{path}"
    );
    assert_eq!(
        figures[4],
        "the direct link takes 120.000 ms, 39.636 ms longer"
    );
    let unmeasured = Screen::default().path(&answers::path(&view, 2, 4));
    assert!(unmeasured.contains("? 120.000 ms"), "{unmeasured}");
    assert!(unmeasured.ends_with("?: not measured yet; counted as the slowest link, 120.000 ms\n"));
}

#[test]
fn a_figure_that_the_other_end_disagrees_with_is_one_ends_claim() {
    let mut view = view();
    view.links[0].other = Some(EndFigures {
        rtt_us: 9_100,
        rtt_at_ms: 3_600_000,
        loss_permille: 12,
    });
    view.links[0].disputed_ms = Some(3_000_000);
    let screen = Screen::default();
    let extras = LinkExtras {
        other_series: vec![(1, Some(90), 0), (2, Some(99), 0)],
        ..LinkExtras::default()
    };
    let link = screen.link(&answers::link(&view, [1, 0], extras).unwrap());
    for part in [
        "told by    bob\n",
        "other end  日本のノード: 9.100 ms, measured 2 min 3 s ago; loss 1.2 %\n",
        "disputed   the two ends disagree for 12 min 3 s; each figure is one end's claim\n",
        "other end  ▇█\n",
    ] {
        assert!(link.contains(part), "{part} is not in {link}");
    }
    let links = screen.links(&answers::links(&view));
    assert_eq!(links.matches("one end's claim").count(), 1, "{links}");
    let path = screen.path(&answers::path(&view, 0, 1));
    assert!(path.contains("! 0.052 ms"), "{path}");
    assert!(
        path.ends_with("!: one end's claim; the other end of the link disagrees\n"),
        "{path}"
    );
    // In the view of the listener, the figures are its own.
    view.me = 1;
    let link = screen.link(&answers::link(&view, [0, 1], LinkExtras::default()).unwrap());
    assert!(link.contains("told by    日本のノード\n"), "{link}");
}

#[test]
fn an_event_is_a_line_as_in_the_log() {
    let view = view();
    assert_eq!(
        Screen::default().event(&event(&view)),
        "2025-11-29 23:46:47.000  node unreachable node=\"a b\" cause=\u{fffd}]0;x\u{fffd} nodes=4\n"
    );
}

#[test]
fn a_sparkline_loses_no_peak() {
    let mut series = vec![Some(10); 600];
    series[311] = Some(700);
    series[0] = None;
    let line = sparks(&series);
    assert!(line.chars().count() <= SPARKS, "{line}");
    assert_eq!(line.matches('█').count(), 1, "{line}");
    assert_eq!(sparks(&[None, Some(0)]), " ▁");
}
