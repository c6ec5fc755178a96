use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use clap::Parser as _;

use super::fake::Fake;
use super::*;
use crate::answers;
use crate::answers::{ExplainExtras, LinkExtras, NodeExtras, StatusExtras};
use crate::cli::{Cli, Command};
use crate::graph::example::snapshot;
use crate::snapshot::Snapshot;

/// A folder with fake nodes.
struct Room {
    dir: tempfile::TempDir,
    fakes: BTreeMap<&'static str, Fake>,
    /// Long, but for tests of nodes that stall: the machine may be busy.
    patience: Duration,
}

/// What a command left behind.
#[derive(Debug)]
struct Left {
    status: u8,
    out: String,
    error: String,
}

type Answers = BTreeMap<&'static str, (u16, String)>;

impl Room {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            fakes: BTreeMap::new(),
            patience: Duration::from_secs(60),
        }
    }

    fn with(profile: &'static str, answers: Answers) -> Self {
        let mut room = Self::new();
        room.add(profile, answers);
        room
    }

    fn socket(&self, profile: &str) -> std::path::PathBuf {
        let folder = self.dir.path().join("profiles").join(profile);
        fs::create_dir_all(&folder).unwrap();
        folder.join("node.sock")
    }

    fn add(&mut self, profile: &'static str, answers: Answers) {
        let socket = self.socket(profile);
        self.fakes.insert(profile, Fake::answers(&socket, answers));
    }

    fn asked(&self, profile: &str) -> Vec<String> {
        self.fakes[profile].asked.lock().unwrap().clone()
    }

    fn run(&self, line: &str) -> Left {
        self.run_with(line, |_, _| Err(AskError::Closed))
    }

    /// Runs a command; words are separated by spaces. `wait` sees what was written so far.
    fn run_with(
        &self,
        line: &str,
        mut wait: impl FnMut(Duration, &str) -> Result<(), AskError> + 'static,
    ) -> Left {
        let words = line.split(' ').map(|word| word.replace('_', " "));
        let cli = Cli::try_parse_from(["area-net".to_owned()].into_iter().chain(words));
        let Some(Command::Ask(question)) = cli.unwrap().command else {
            panic!("{line} is no question");
        };
        let out = Written::default();
        let so_far = out.clone();
        let mut desk = Desk {
            places: Places::new(None, &self.dir.path().join("profiles")),
            patience: self.patience,
            screen: Screen::default(),
            height: None,
            out: Box::new(out.clone()),
            wait: Box::new(move |time| wait(time, &so_far.text())),
            now_ms: 1_796_000_523_456,
        };
        let result = desk.answer(&question);
        Left {
            status: result.as_ref().map_or_else(AskError::status, |()| 0),
            out: out.text(),
            error: result.map_or_else(|error| error.to_string(), |()| String::new()),
        }
    }
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// n0 – n1 – n2, and n3 apart.
fn view() -> Snapshot {
    let mut view = snapshot(4, &[(0, 1, 52), (2, 1, 81_000)]);
    view.nodes[3].state = crate::snapshot::NodeState::Unreachable;
    view.at_ms = 60_000;
    view
}

fn json(document: &impl serde::Serialize) -> (u16, String) {
    (200, serde_json::to_string(document).unwrap())
}

fn all() -> Answers {
    let view = view();
    let none = answers::select(&view, "zed")
        .unwrap_err()
        .failure(&view, "zed");
    let several = answers::select(&view, "::1")
        .unwrap_err()
        .failure(&view, "::1");
    let no_link = answers::link(&view, [0, 2], LinkExtras::default()).unwrap_err();
    let refused = |status, failure: &Failure| (status, serde_json::to_string(failure).unwrap());
    let old = Failure::new(
        FailureKind::BeforeHistory,
        "the history begins later".into(),
        String::new(),
    );
    let link = answers::link(&view, [0, 1], LinkExtras::default()).unwrap();
    let event = Event {
        at_ms: 1_796_000_523_456,
        name: "link down".into(),
        level: "warn".into(),
        fields: serde_json::Map::new(),
    };
    let events = Events {
        format: 1,
        events: vec![event],
    };
    BTreeMap::from([
        (
            "/v1/status",
            json(&answers::status(&view, StatusExtras::default())),
        ),
        ("/v1/nodes", json(&answers::nodes(&view))),
        ("/v1/nodes?at=1796000223456", refused(410, &old)),
        ("/v1/links", json(&answers::links(&view))),
        (
            "/v1/node/n1",
            json(&answers::node(&view, 1, NodeExtras::default())),
        ),
        ("/v1/node/zed", refused(404, &none)),
        ("/v1/node/%3A%3A1", refused(409, &several)),
        ("/v1/link/n0/n1", json(&link)),
        ("/v1/link/n0/n2", refused(404, &no_link)),
        ("/v1/path?to=n2", json(&answers::path(&view, 0, 2))),
        ("/v1/path?from=n2&to=n3", json(&answers::path(&view, 2, 3))),
        (
            "/v1/explain",
            json(&answers::explain(&view, &ExplainExtras::default())),
        ),
        (
            "/v1/ping/n2",
            json(&answers::ping(&view, 2, &[Some(40), Some(80_540)])),
        ),
        ("/v1/ping/n1", json(&answers::ping(&view, 1, &[None]))),
        ("/v1/ping/n3", json(&answers::ping(&view, 3, &[]))),
        ("/v1/events", json(&events)),
        ("/v1/graph?format=dot", (200, "digraph {}\n".to_owned())),
        ("/v1/graph?format=json", (200, network(&view))),
    ])
}

fn network(view: &Snapshot) -> String {
    String::from_utf8(crate::export::json::network(view)).unwrap()
}

#[test]
fn every_question_is_answered_by_the_only_running_node() {
    let room = Room::with("bob", all());
    for (line, part) in [
        ("status", "nodes      3 up, 1 unreachable\n"),
        ("nodes", "n3    unreachable"),
        ("links", "n2      n1        81.000 ms"),
        ("node n1", "path       n0 -0.052ms-> n1 (0.052 ms)"),
        ("link n0 n1", "link       n0 dialed n1"),
        ("path n2", "n2    81.000 ms  81.052 ms"),
        ("explain", "links that nodes depend on: 2"),
        ("events", "2026-11-30 01:02:03.456  link down\n"),
        ("graph --format dot", "digraph {}\n"),
        ("nodes --labels", "n0\nn1\nn2\nn3\n"),
        ("status -p bob", "3 up"),
        (
            "ping n2",
            "n2  80.540 ms: n1 (0.040 ms, now) -> n2 (80.500 ms, now)\n",
        ),
        ("wait --nodes 3 --rtt-max 81ms", ""),
    ] {
        let left = room.run(line);
        assert_eq!((left.status, &*left.error), (0, ""), "{line}");
        assert!(left.out.contains(part), "{line}:\n{}", left.out);
    }
}

#[test]
fn each_kind_of_failure_has_its_exit_status_and_one_clear_error() {
    let mut room = Room::with("bob", all());
    for (line, status, part) in [
        ("node zed", 4, "no node is called \"zed\"; known: n"),
        ("node ::1", 2, "4 nodes match \"::1\"; write more digits"),
        ("link n0 n2", 5, "n0 and n2 have no link"),
        ("path n2 n3", 5, "no path leads from n2 to n3"),
        ("ping n3", 5, "no path leads to n3"),
        (
            "ping n1",
            5,
            "n1, the first node on the path to n1, did not answer",
        ),
        ("nodes --at -5m", 1, "the history begins later"),
        ("nodes --at noon", 2, "--at noon: not a time"),
        (
            "wait --agree --timeout soon",
            2,
            "--timeout soon: not a duration",
        ),
        (
            "status -p alice",
            3,
            "no node of the profile alice is running",
        ),
        ("status -p ../bob", 2, "no slash"),
        (
            "wait --nodes 4 --timeout 0s",
            5,
            "not so within 0s: 3 of 4 nodes up",
        ),
        (
            "wait --rtt-max 80ms --timeout 0s",
            5,
            "the slowest link, n2 -> n1, takes 81.000 ms",
        ),
    ] {
        let left = room.run(line);
        assert_eq!(left.status, status, "{line}: {}", left.error);
        assert!(left.error.contains(part), "{line}: {}", left.error);
        assert_eq!(left.out, "", "{line}");
    }
    let several = room.run("node ::1").error;
    assert!(several.contains("\n  9e3779b97f4a7c15"), "{several}");
    room.add("zoe", all());
    let left = room.run("status");
    assert_eq!(
        (left.status, &*left.error),
        (
            2,
            "several nodes are running: bob, zoe; choose one with -p PROFILE"
        )
    );
    assert_eq!(Room::new().run("status").status, 3);
}

#[test]
fn several_pings_wait_in_between_and_are_summed_up() {
    let room = Room::with("bob", all());
    let waited = Arc::new(Mutex::new(Vec::new()));
    let waits = waited.clone();
    let left = room.run_with("ping n2 -n 3", move |time, _| {
        waits.lock().unwrap().push(time.as_secs());
        Ok(())
    });
    assert_eq!((left.status, &*left.error), (0, ""));
    assert_eq!(*waited.lock().unwrap(), [1, 1]);
    let lines: Vec<&str> = left.out.lines().collect();
    assert_eq!(lines.len(), 6, "{}", left.out);
    assert!(lines[2].starts_with("n2  80.540 ms: n1 (0.040 ms, now)"));
    assert!(lines[5].starts_with("n2      3 of 3   0 %"), "{}", lines[5]);
    // Each measurement that failed has its line, and the last one is the error.
    let left = room.run_with("ping n1 -n 2", |_, _| Ok(()));
    assert_eq!(left.status, 5);
    assert_eq!(left.out.matches("did not answer in time").count(), 1);
    assert!(left.out.contains("0 of 2  100 %"), "{}", left.out);
    assert!(left.error.contains("did not answer in time"));
    let left = room.run_with("ping n1 -n 2 --json", |_, _| Ok(()));
    assert_eq!((left.status, left.out.lines().count()), (5, 2));
}

#[test]
fn json_is_the_document_of_the_server_and_the_status_still_tells() {
    let room = Room::with("bob", all());
    let left = room.run("nodes --json");
    assert_eq!(left.out, all()["/v1/nodes"].1.clone() + "\n");
    let left = room.run("path n2 n3 --json");
    assert_eq!(left.status, 5);
    assert!(left.out.contains("\"reachable\":false"), "{}", left.out);
}

#[test]
fn what_was_asked_for_is_encoded() {
    let room = Room::with("bob", all());
    room.run("node a/b?c_ö%");
    room.run("node ..");
    room.run("link [::1]:8090 x&y");
    room.run("events --since -1s --name link_down --about n1");
    room.run("graph --at 2026-11-30 --format gexf");
    let expected = [
        "/v1/node/a%2Fb%3Fc%20%C3%B6%25",
        "/v1/node/%2E%2E",
        "/v1/link/%5B%3A%3A1%5D%3A8090/x%26y",
        "/v1/events?since=1796000522456&name=link%20down&about=n1",
        "/v1/graph?format=gexf&at=1795996800000",
    ];
    assert_eq!(room.asked("bob"), expected);
}

#[test]
fn answers_that_are_cut_off_stalled_later_or_nonsense_are_told_apart() {
    let good = all()["/v1/status"].1.clone();
    let half = &good[..good.len() / 2];
    let length = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let later = r#"{"format":2,"shape":"round"}"#;
    let refused = "HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\noops";
    for (said, stalls, part) in [
        (length(&good) + half, false, "was cut off"),
        (length(&good) + half, true, "did not answer within 0.1 s"),
        (String::new(), true, "did not answer within 0.1 s"),
        (
            length(later) + later,
            false,
            "has format 2, and this program knows format 1 only",
        ),
        (length("{}") + "{}", false, "can't be read: missing field"),
        (length(half) + half, false, "can't be read: EOF"),
        (refused.to_owned(), false, "answered with HTTP status 500"),
    ] {
        let mut room = Room::new();
        if stalls {
            room.patience = Duration::from_millis(100);
        }
        let fake_said = said.clone();
        let _fake = Fake::at(&room.socket("bob"), move |_| (fake_said.clone(), stalls));
        let left = room.run("status");
        assert_eq!(left.status, 1, "{said:?}: {}", left.error);
        assert!(left.error.contains(part), "{said:?}: {}", left.error);
    }
}

#[test]
fn a_watched_answer_is_shown_again_only_when_it_changed() {
    let room = Room::new();
    let second = snapshot(9, &[]);
    let looks = Arc::new(Mutex::new(0));
    let seen = looks.clone();
    let _fake = Fake::at(&room.socket("bob"), move |_| {
        let mut looks = seen.lock().unwrap();
        *looks += 1;
        let view = if *looks < 3 { view() } else { second.clone() };
        let (_, body) = json(&answers::status(&view, StatusExtras::default()));
        (format!("HTTP/1.1 200 OK\r\n\r\n{body}"), false)
    });
    let mut rounds = 0;
    let left = room.run_with("status --watch --json", move |time, _| {
        assert_eq!(time, WATCH_EVERY);
        rounds += 1;
        if rounds < 5 {
            Ok(())
        } else {
            Err(AskError::Closed)
        }
    });
    assert_eq!(left.status, 0);
    let counts: Vec<_> = left
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["nodes"]["up"].clone())
        .collect();
    assert_eq!(counts, [3, 9]);
    assert_eq!(*looks.lock().unwrap(), 5);
}

#[test]
fn events_are_followed_as_they_come_until_nobody_reads() {
    let room = Room::new();
    let _fake = Fake::at(&room.socket("bob"), |target| {
        assert_eq!(target, "/v1/events?follow=1");
        let line =
            r#"{"at_ms":1796000523456,"name":"node up","level":"info","fields":{"node":"zoë"}}"#;
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        let (one, two) = line.split_at(30);
        (
            format!(
                "{head}{}{}{}",
                chunk("\n{\"at\":5}\n"),
                chunk(one),
                chunk(&format!("{two}\n"))
            ),
            true,
        )
    });
    let until_read = |_, out: &str| {
        if out.is_empty() {
            Ok(())
        } else {
            Err(AskError::Closed)
        }
    };
    let left = room.run_with("events --follow", until_read);
    assert_eq!(left.out, "2026-11-30 01:02:03.456  node up node=zoë\n");
    assert_eq!(left.status, 0);
    let left = room.run_with("events --follow --json", until_read);
    assert!(left.out.starts_with("{\"at_ms\":1796000523456,") && left.out.ends_with("}\n"));
}

#[test]
fn a_wait_begins_before_the_node_does_and_ends_when_all_is_so() {
    let room = Room::new();
    let socket = room.socket("bob");
    let mut fake = None;
    let left = room.run_with("wait --nodes 3 --agree --timeout 1m", move |_, _| {
        fake.get_or_insert_with(|| Fake::answers(&socket, all()));
        Ok(())
    });
    assert_eq!((left.status, &*left.error), (0, ""));
    // Without a node at any time it is not the condition that is false.
    assert_eq!(Room::new().run("wait --nodes 1 --timeout 0s").status, 3);
}

#[test]
fn views_agree_if_all_nodes_of_the_network_that_run_here_see_the_same() {
    let mut room = Room::with("alice", all());
    let mut other = all();
    let mut differs = view();
    differs.links.pop();
    other.insert("/v1/graph?format=json", (200, network(&differs)));
    room.add("bob", other.clone());
    let line = "wait -p alice --agree --timeout 0s";
    let left = room.run(line);
    assert_eq!(left.status, 5);
    assert!(
        left.error.contains("bob and alice see different networks"),
        "{}",
        left.error
    );

    let mut foreign = Room::with("alice", all());
    differs.network = "another".into();
    other.insert("/v1/graph?format=json", (200, network(&differs)));
    foreign.add("bob", other);
    assert_eq!(foreign.run(line).status, 0);
}

#[test]
fn a_terminal_is_redrawn_without_more_lines_than_it_has() {
    let out = Written::default();
    let room = Room::new();
    let mut desk = Desk {
        places: Places::new(None, room.dir.path()),
        patience: PATIENCE,
        screen: Screen::default(),
        height: Some(4),
        out: Box::new(out.clone()),
        wait: Box::new(|_| Ok(())),
        now_ms: 0,
    };
    desk.redraw("1\n2\n3\n4\n5\n", false).unwrap();
    assert_eq!(
        out.text(),
        "\u{1b}[H1\u{1b}[K\n2\u{1b}[K\n… 3 more lines\u{1b}[K\n\u{1b}[J"
    );
}
