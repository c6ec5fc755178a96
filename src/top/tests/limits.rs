//! Hostile labels, large networks, and long histories.

use std::sync::Arc;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::{event, keyframe, link, node, screen};
use crate::chronicle::{Entry, Frame};
use crate::snapshot::NodeState;
use crate::top::app::{App, Tab};
use crate::top::draw::draw;
use crate::top::past::History;

#[test]
fn hostile_labels_stay_in_their_cells() {
    let labels = [
        "\u{1b}[2J\u{1b}]0;owned\u{7}",
        "a\r\nb\tc\u{9b}31m",
        "\u{202e}evil\u{2066}\u{200b}",
        "日本語の名前がとても長いノード",
        "👩\u{200d}🚀e\u{301}",
        "",
        " \u{2003} ",
    ];
    let long = "W".repeat(128);
    let labels = labels.iter().copied().chain([long.as_str()]);
    let labels = labels.collect::<Vec<_>>();
    let mut app = App::new("\u{1b}[31mbob", true);
    app.begin(&Arc::from("\u{1b}[2Jnet\u{202e}"));
    let nodes = (0..).zip(&labels);
    let nodes = nodes.map(|(n, label)| node(n, label, NodeState::Up));
    let links = (1..labels.len() as u32).map(|n| link(n, 0, n, 1000 * n));
    app.take(keyframe(1000, nodes.collect(), links.collect()))
        .unwrap();
    for label in &labels {
        app.take(event(1000, "node up", label)).unwrap();
    }
    app.lose("\u{1b}[5m");
    for tab in Tab::ALL {
        for detail in [false, true] {
            for (width, height) in [(40, 10), (80, 24), (200, 60)] {
                (app.tab, app.detail) = (tab, detail);
                let shown = screen(&mut app, width, height);
                let harmful = |letter: char| {
                    letter != '\n'
                        && (letter.is_control()
                            || matches!(letter, '\u{200b}'..='\u{200c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
                };
                assert!(!shown.contains(harmful), "{tab:?}\n{shown}");
                for line in shown.lines() {
                    assert!(crate::ask::text::width(line) <= width.into(), "{line}");
                }
            }
        }
    }
    app.tab = Tab::Nodes;
    app.detail = false;
    let shown = screen(&mut app, 80, 24);
    assert!(shown.contains("\u{fffd}[2J\u{fffd}]0;"), "{shown}");
    // A label that shows nothing is replaced by the id.
    assert!(shown.contains("0000000500"), "{shown}");
}

/// A network in which each node has about eight links, with a history.
pub(super) fn large(count: u32) -> App {
    let mut app = App::new("bob", true);
    app.begin(&Arc::from("demo"));
    let nodes = (0..count).map(|n| node(n, &format!("node {n}"), NodeState::Up));
    let ends = (0..count).flat_map(|n| [1, 7, 29, 101].map(|step| (n, (n + step) % count)));
    let links = (0..).zip(ends).filter(|(_, (one, other))| one != other);
    let links = links.map(|(l, (one, other))| link(l, one, other, 1000 + l * 37 % 90_000));
    app.take(keyframe(1000, nodes.collect(), links.collect()))
        .unwrap();
    app
}

/// The processor time that this thread has used. Other tests and other programs don't count.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

#[test]
fn a_thousand_nodes_are_drawn_in_no_time_to_speak_of() {
    let mut app = large(1000);
    let mut terminal = Terminal::new(TestBackend::new(200, 60)).unwrap();
    for tab in Tab::ALL {
        app.tab = tab;
        app.refresh().unwrap();
        let begun = cpu_time();
        for _ in 0..5 {
            terminal.draw(|frame| draw(&app, frame)).unwrap();
        }
        let used = (cpu_time() - begun) / 5;
        // An optimised build takes a fraction of it.
        assert!(used < Duration::from_millis(100), "{tab:?}: {used:?}");
    }
}

#[test]
fn the_history_is_bounded_and_gives_each_view_back() {
    let mut history = History::new(Arc::from("demo"));
    let mut end = 0;
    let nodes = (0..50).map(|n| node(n, "x", NodeState::Up)).collect();
    let links = (1..50).map(|n| link(n, 0, n, 1000)).collect();
    history.take(keyframe(0, nodes, links)).unwrap();
    let mut shown = Vec::new();
    for at_ms in (1..60_000).map(|step| step * 100) {
        let mut frame = Frame {
            at_ms,
            ..Frame::default()
        };
        for l in 1..50 {
            let rtt_us = u32::try_from(at_ms).unwrap() + l;
            frame.figures.push((l, link(l, 0, l, rtt_us).figures));
        }
        history.take(Entry::Frame(Box::new(frame))).unwrap();
        if at_ms % 500_000 == 0 {
            shown.push(history.live().unwrap().snapshot().unwrap());
        }
        end = at_ms;
    }
    assert!(
        history.bytes() <= 8 * 1024 * 1024 + 256 * 1024,
        "{}",
        history.bytes()
    );
    assert!(history.begins_ms() > 0, "it was filled");
    for past in shown
        .iter()
        .filter(|past| past.at_ms >= history.begins_ms())
    {
        let (picture, _) = history.at(past.at_ms + 50).unwrap();
        assert_eq!(picture.snapshot().unwrap(), *past);
    }
    assert_eq!(history.at(end).unwrap().0.at_ms(), end);
    assert_eq!(history.at(0).unwrap().0.at_ms(), history.begins_ms());
}
