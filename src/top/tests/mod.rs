//! What is on the screen, and what keys do.

mod limits;

use std::net::SocketAddr;
use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_width::UnicodeWidthStr as _;

use super::app::{App, Tab, Wish};
use super::draw::draw;
use crate::chronicle::{
    Entry, EventLine, Figures, Frame, Link, LinkGone, Node, NodeChange, Told, Value,
};
use crate::snapshot::NodeState;
use crate::wire::NodeId;
use limits::large;

fn node(n: u32, label: &str, state: NodeState) -> Node {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&n.to_be_bytes());
    Node {
        n,
        id: NodeId(id),
        label: label.into(),
        addrs: vec![SocketAddr::from(([10, 0, 0, 1], 8000 + n as u16))],
        state,
        since_ms: 1000,
        told: Some(Told { by: 1, via: None }),
    }
}

fn link(l: u32, dialer: u32, listener: u32, rtt_us: u32) -> Link {
    Link {
        l,
        dialer,
        listener,
        since_ms: 2000,
        figures: Figures {
            rtt_us: Some(rtt_us),
            age_ms: 500,
            stale: false,
            loss_permille: 0,
        },
        suspect: false,
        other: None,
        disputed_ms: None,
    }
}

fn keyframe(at_ms: i64, nodes: Vec<Node>, links: Vec<Link>) -> Entry {
    Entry::Frame(Box::new(Frame {
        at_ms,
        whole: Some(0),
        // 2026-11-30 12:00:00 UTC.
        origin_ms: Some(1_796_040_000_000),
        cut_off: Some(false),
        impaired: Some(None),
        nodes,
        links,
        ..Frame::default()
    }))
}

fn event(at_ms: i64, name: &'static str, node: &str) -> Entry {
    Entry::Event(EventLine {
        at_ms,
        name: name.into(),
        level: "info".into(),
        fields: vec![("node".into(), Value::Text(node.to_owned()))],
    })
}

/// bob, whose view it is, dials alice; carol dials bob and alice; dave is unreachable.
fn small() -> App {
    let mut app = App::new("bob", false);
    app.begin(&Arc::from("demo"));
    let nodes = vec![
        node(0, "bob", NodeState::Up),
        node(1, "alice", NodeState::Up),
        node(2, "carol", NodeState::Up),
        node(3, "dave", NodeState::Unreachable),
    ];
    let links = vec![
        link(0, 0, 1, 12_345),
        link(1, 2, 0, 80_000),
        link(2, 2, 1, 7_000),
    ];
    app.take(keyframe(10_000, nodes, links)).unwrap();
    app.take(event(10_500, "node up", "carol")).unwrap();
    app
}

fn press(app: &mut App, keys: &[KeyCode]) -> Wish {
    let mut wish = Wish::Stay;
    for key in keys {
        wish = app.press(KeyEvent::new(*key, KeyModifiers::NONE));
        app.refresh().unwrap();
    }
    wish
}

fn type_keys(app: &mut App, keys: &str) -> Wish {
    let keys: Vec<KeyCode> = keys.chars().map(KeyCode::Char).collect();
    press(app, &keys)
}

/// The screen as text, without spaces at the ends of lines.
fn screen(app: &mut App, width: u16, height: u16) -> String {
    app.resize(height);
    app.refresh().unwrap();
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(app, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..height {
        let mut x = 0;
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            text.push_str(symbol);
            // The cell behind a wide character is hidden by it.
            x += u16::try_from(symbol.width()).unwrap().max(1);
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text.trim_end_matches('\n').to_owned()
}

#[track_caller]
fn assert_screen(app: &mut App, width: u16, height: u16, expected: &str) {
    let shown = screen(app, width, height);
    assert_eq!(shown.trim(), expected.trim(), "\n{shown}\n");
}

#[test]
fn nodes_are_shown_nearest_first() {
    assert_screen(
        &mut small(),
        80,
        10,
        r#"
bob in demo  3 up, 1 unreachable, 3 links                                  LIVE
 1 nodes  2 links  3 matrix  4 map  5 events
NODE                            STATE               RTT▲   HOPS   LINKS    SINCE
bob (me)                        up                     -      0       2       9s
alice                           up             12.345 ms      1       2       9s
carol                           up             19.345 ms      2       2       9s
dave                            unreachable            ?      -       0       9s


q quit  ? help  ⏎ open  / filter  s sort  r reverse  [ past
"#,
    );
}

#[test]
fn the_smallest_screen_shows_what_matters_most() {
    assert_screen(
        &mut small(),
        40,
        10,
        r#"
bob  3 up, 1 unreachable           LIVE
 1 nodes  2  3  4  5
NODE            STATE               RTT▲
bob (me)        up                     -
alice           up             12.345 ms
carol           up             19.345 ms
dave            unreachable            ?


q quit  ? help  ⏎ open  / filter  s sort
"#,
    );
    assert_eq!(screen(&mut small(), 39, 10), "too small: 40×10 needed");
    assert_eq!(screen(&mut small(), 12, 3), "too small: …");
}

#[test]
fn the_help_fits_the_smallest_screen() {
    let mut app = small();
    type_keys(&mut app, "?");
    let shown = screen(&mut app, 40, 10);
    assert!(
        shown.contains("choose a view") && shown.contains("other map; quit"),
        "{shown}"
    );
    assert!(!shown.contains('…'), "{shown}");
    assert_eq!(type_keys(&mut app, "?"), Wish::Stay);
    assert!(screen(&mut app, 40, 10).contains("NODE"));
}

#[test]
fn links_are_shown_slowest_first_and_by_any_column() {
    let mut app = small();
    type_keys(&mut app, "2");
    assert_screen(
        &mut app,
        80,
        10,
        r#"
bob in demo  3 up, 1 unreachable, 3 links                                  LIVE
 1 nodes  2 links  3 matrix  4 map  5 events
DIALER          → LISTENER             RTT▼     LOSS  STATE     RECENT RTTS
carol           → bob             80.000 ms    0.0 %  ok        ▁
bob             → alice           12.345 ms    0.0 %  ok        ▁
carol           → alice            7.000 ms    0.0 %  ok        ▁



q quit  ? help  ⏎ open  / filter  s sort  r reverse  [ past
"#,
    );
    let order = |app: &mut App| {
        let shown = screen(app, 200, 10);
        let lines = shown.lines().skip(3).take(3);
        let words = lines.map(|line| line.split_whitespace().take(3).collect::<String>());
        words.collect::<Vec<_>>()
    };
    assert_eq!(order(&mut app), ["carol→bob", "bob→alice", "carol→alice"]);
    type_keys(&mut app, "SS");
    assert_eq!(order(&mut app), ["bob→alice", "carol→bob", "carol→alice"]);
    type_keys(&mut app, "r");
    assert_eq!(order(&mut app)[2], "bob→alice");
}

#[test]
fn the_matrix_tells_links_from_paths() {
    let mut app = small();
    app.take(Entry::Frame(Box::new(Frame {
        at_ms: 11_000,
        gone: vec![LinkGone { l: 2, told: None }],
        ..Frame::default()
    })))
    .unwrap();
    type_keys(&mut app, "3");
    assert_screen(
        &mut app,
        80,
        10,
        r#"
bob in demo  3 up, 1 unreachable, 2 links                                  LIVE
 1 nodes  2 links  3 matrix  4 map  5 events                           RTT in ms
             bob   alice   carol
1 bob          ·    12.3    80.0
2 alice     12.3       ·   ~92.3
3 carol     80.0   ~92.3       ·
~ no link: the sum along the shortest path


q quit  ? help  ↑↓ select  ⏎ open  s sort  [ past
"#,
    );
}

#[test]
fn a_matrix_of_many_nodes_has_digits() {
    let mut app = large(60);
    type_keys(&mut app, "3");
    let shown = screen(&mut app, 200, 60);
    assert!(shown.contains("each step doubles"), "{shown}");
    assert!(shown.lines().nth(3).unwrap().contains("node 0"), "{shown}");
}

#[test]
fn the_map_names_every_node_of_a_small_network() {
    let mut app = small();
    type_keys(&mut app, "4");
    for (width, height) in [(40, 10), (80, 24), (200, 60)] {
        for _ in 0..2 {
            let shown = screen(&mut app, width, height);
            for wanted in ["alice", "carol", "◆", "●"] {
                assert!(
                    shown.contains(wanted),
                    "{wanted} at {width}×{height}\n{shown}"
                );
            }
            assert!(
                shown.chars().any(|dots| ('⠁'..='⣿').contains(&dots)),
                "{shown}"
            );
            assert!(!shown.contains("dave"), "it is not up\n{shown}");
            type_keys(&mut app, "m");
        }
    }
}

#[test]
fn details_say_who_noticed_and_how_far_a_node_is() {
    let mut app = small();
    press(&mut app, &[KeyCode::Down, KeyCode::Down, KeyCode::Enter]);
    assert_screen(
        &mut app,
        80,
        20,
        r#"
bob in demo  3 up, 1 unreachable, 3 links                                  LIVE
 1 nodes  2 links  3 matrix  4 map  5 events
alice
state       up
since       12:00:01 UTC, for 9s
noticed by  alice
addresses   10.0.0.1:8001
id          0000000100000000000000000000000000000000000000000000000000000000
path          12.345 ms from here, 1 hop
links          7.000 ms ← carol
              12.345 ms ← bob








q quit  ? help  Esc back  ↑↓ select  [ past
"#,
    );
    press(&mut app, &[KeyCode::Esc]);
    assert!(screen(&mut app, 80, 20).contains("STATE"));
}

#[test]
fn a_filter_shows_what_contains_it() {
    let mut app = small();
    type_keys(&mut app, "/CAR");
    let shown = screen(&mut app, 80, 10);
    assert!(
        shown.contains("/CAR▏") && shown.contains("carol"),
        "{shown}"
    );
    assert!(!shown.contains("alice"), "{shown}");
    // While a filter is typed, keys are its text.
    assert_eq!(type_keys(&mut app, "q"), Wish::Stay);
    assert!(screen(&mut app, 80, 10).contains("nothing to show"));
    press(&mut app, &[KeyCode::Backspace, KeyCode::Enter]);
    assert_eq!(type_keys(&mut app, "2"), Wish::Stay);
    let shown = screen(&mut app, 80, 10);
    assert!(
        shown.contains("→ bob") && shown.contains("→ alice"),
        "{shown}"
    );
    assert!(
        !shown.contains("\nbob "),
        "bob dials alice: neither is carol\n{shown}"
    );
    press(&mut app, &[KeyCode::Esc]);
    assert_eq!(app.filter, "");
    assert_eq!(type_keys(&mut app, "q"), Wish::Quit);
}

#[test]
fn the_past_is_what_it_was_and_live_returns() {
    let mut app = small();
    app.take(Entry::Frame(Box::new(Frame {
        at_ms: 60_000,
        changed: vec![NodeChange {
            n: 2,
            label: None,
            addrs: None,
            state: Some((NodeState::Left, 60_000, None)),
        }],
        gone: [1, 2].map(|l| LinkGone { l, told: None }).to_vec(),
        ..Frame::default()
    })))
    .unwrap();
    app.take(event(60_000, "node left", "carol")).unwrap();
    let live = screen(&mut app, 80, 10);
    assert!(
        live.contains("2 up, 1 unreachable, 1 left, 1 link"),
        "{live}"
    );
    assert!(live.contains("LIVE"), "{live}");
    type_keys(&mut app, "[");
    let past = screen(&mut app, 80, 10);
    assert!(past.contains("3 up, 1 unreachable, 3 links"), "{past}");
    assert!(past.contains("PAST 12:00:10 UTC"), "{past}");
    // What happened later has not happened yet.
    type_keys(&mut app, "5");
    assert!(!screen(&mut app, 80, 10).contains("node left"));
    // Before the beginning there is nothing.
    press(&mut app, &[KeyCode::Left, KeyCode::Left, KeyCode::Right]);
    assert_eq!(app.past, Some(20_000));
    type_keys(&mut app, "l");
    assert!(screen(&mut app, 80, 10).contains("node left"));
    type_keys(&mut app, "[]");
    assert_eq!(app.past, None);
}

#[test]
fn a_lost_node_is_told_and_its_return_too() {
    let mut app = small();
    app.lose("it has ended");
    let shown = screen(&mut app, 80, 10);
    assert!(shown.contains("NO NODE"), "{shown}");
    assert!(
        shown.contains("node gone, waiting for its return: it has ended"),
        "{shown}"
    );
    assert!(shown.contains("alice"), "the last view stays\n{shown}");
    app.begin(&Arc::from("demo"));
    app.take(keyframe(
        500,
        vec![node(0, "bob", NodeState::Up)],
        Vec::new(),
    ))
    .unwrap();
    let shown = screen(&mut app, 80, 10);
    assert!(
        !shown.contains("alice") && shown.contains("LIVE"),
        "{shown}"
    );
}

#[test]
fn states_are_told_apart_without_colours() {
    let mut app = small();
    let mut terminal = Terminal::new(TestBackend::new(120, 20)).unwrap();
    for tab in Tab::ALL {
        app.tab = tab;
        app.refresh().unwrap();
        terminal.draw(|frame| draw(&app, frame)).unwrap();
        let cells = terminal.backend().buffer().content();
        let plain = ratatui::style::Color::Reset;
        assert!(
            cells
                .iter()
                .all(|cell| cell.fg == plain && cell.bg == plain),
            "{tab:?}"
        );
    }
}
