//! Questions to real nodes by the real command line: answers, exit statuses, and how long they take.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use crate::processes::{Desk, PATIENCE, Process, ports, until_exact};

const LABELS: [&str; 3] = ["alice", "bob", "carol"];

fn command(desk: &Desk, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_area-net"));
    command
        .current_dir(desk.path(""))
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .args(line.split(' ').map(|word| word.replace('_', " ")));
    command
}

fn output(desk: &Desk, line: &str) -> Output {
    command(desk, line).output().unwrap()
}

/// The exit status, stdout and stderr.
fn ask(desk: &Desk, line: &str) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = output(desk, line);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// Starts three nodes that know each other. Bob's label is not his profile.
async fn three(desk: &Desk) -> Vec<Process> {
    let addrs = ports(3);
    let targets = desk.targets("all", &addrs[..1]);
    let nodes: Vec<Process> = LABELS
        .iter()
        .zip(&addrs)
        .map(|(label, addr)| {
            let mut command = desk.command(label, *addr, &[&targets]);
            desk.start_by(label, *addr, command.env_remove("XDG_RUNTIME_DIR"))
        })
        .collect();
    until_exact(&nodes.iter().collect::<Vec<_>>(), &LABELS).await;
    nodes
}

#[tokio::test]
async fn every_question_has_an_answer_from_a_running_node() {
    let desk = Desk::new();
    let nodes = three(&desk).await;
    let (status, _, error) = ask(
        &desk,
        "wait -p bob --nodes 3 --rtt-max 5s --agree --timeout 30s",
    );
    assert_eq!((status, &*error), (0, ""));
    let port = format!("node :{} -p bob", nodes[0].addr.port());
    for (line, part) in [
        ("status -p bob", "3 up"),
        ("nodes -p bob", "carol  up"),
        ("links -p bob", "DIALER"),
        ("node alice -p bob", "state      up for"),
        (&port, "node       alice"),
        ("link alice carol -p bob", "dialed"),
        ("path carol -p bob", "carol"),
        ("path alice carol -p bob", "SUM"),
        ("ping carol -p bob", ", now)"),
        ("ping carol -n 2 -p bob", "2 of 2"),
        ("explain -p bob", "links that nodes depend on: none"),
        ("events -p bob", "node started"),
        ("events -p bob --name node_up", "node up"),
        ("graph -p bob", "\"network\""),
        ("graph -p bob --format d2", "classes: {"),
        ("graph -p bob --format dot", "digraph"),
        ("graph -p bob --format graphml", "<graphml"),
        ("graph -p bob --format gexf", "<gexf"),
        ("graph -p bob --format netjson", "NetworkGraph"),
        ("graph -p bob --format mermaid", "flowchart"),
        ("graph -p bob --format stream", "area-net-recording"),
        ("nodes --labels -p bob", "alice\nbob\ncarol\n"),
    ] {
        let (status, text, error) = ask(&desk, line);
        assert_eq!((status, &*error), (0, ""), "{line}");
        assert!(text.contains(part), "{line}:\n{text}");
        assert!(!text.contains('\u{1b}'), "{line} has colours in a pipe");
    }
    let whole = [
        "status",
        "nodes",
        "links",
        "node alice",
        "link alice bob",
        "path bob alice",
        "explain",
        "events",
    ];
    for question in whole {
        let (status, text, _) = ask(&desk, &format!("{question} --json -p carol"));
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &document["format"]), (0, &1.into()), "{question}");
    }
}

#[tokio::test]
async fn each_failure_has_its_exit_status() {
    let desk = Desk::new();
    let (status, _, error) = ask(&desk, "status");
    assert_eq!(status, 3, "{error}");
    assert!(
        error.starts_with("area-net: error: no node is running"),
        "{error}"
    );
    let mut nodes = three(&desk).await;
    for (line, status, part) in [
        ("status", 2, "several nodes are running: alice, bob, carol"),
        ("status -p dave", 3, "profile dave"),
        ("node zed -p bob", 4, "known: alice, bob, carol"),
        ("path zed -p bob", 4, "no node is called"),
        ("node ::1 -p bob", 2, "3 nodes match"),
        ("nodes --at -1h -p bob", 1, "before the history"),
        (
            "wait -p bob --nodes 4 --timeout 300ms",
            5,
            "3 of 4 nodes up",
        ),
        (
            "events --name nothing --about zed -p bob",
            4,
            "no node is called",
        ),
    ] {
        let (found, text, error) = ask(&desk, line);
        assert_eq!((found, &*text), (status, ""), "{line}: {error}");
        assert!(error.contains(part), "{line}: {error}");
    }
    // A node that is stopped is given up after a bounded time.
    nodes[1].signal(Signal::STOP);
    let (status, _, error) = ask(&desk, "ping bob -p alice");
    assert_eq!(status, 5, "{error}");
    let begun = Instant::now();
    let (status, _, error) = ask(&desk, "status -p bob");
    assert_eq!(status, 1, "{error}");
    assert!(error.contains("did not answer within 5 s"), "{error}");
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    nodes[1].signal(Signal::CONT);
    // What a killed node leaves is no running node, and an unreachable one is not reachable by a path.
    nodes.pop();
    let waited = ask(&desk, "wait -p carol --nodes 1 --timeout 300ms");
    assert_eq!(waited.0, 3, "{}", waited.2);
    let (mut status, mut error) = (0, String::new());
    let begun = Instant::now();
    while status != 5 && begun.elapsed() < PATIENCE {
        (status, _, error) = ask(&desk, "path carol -p alice");
    }
    assert_eq!(status, 5, "{error}");
    assert!(
        error.contains("no path leads from alice to carol"),
        "{error}"
    );
}

/// A child that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn what_is_watched_and_followed_ends_with_its_reader() {
    let desk = Desk::new();
    let mut nodes = three(&desk).await;
    for line in [
        "nodes --watch -p bob",
        "events --follow -p bob",
        "links --watch --json -p bob",
    ] {
        let mut child = Running(
            command(&desk, line)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let mut first = String::new();
        let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
        stdout.read_line(&mut first).unwrap();
        assert!(!first.is_empty(), "{line}");
        drop(stdout);
        assert_eq!(child.0.wait().unwrap().code(), Some(0), "{line}");
        let mut error = String::new();
        child
            .0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut error)
            .unwrap();
        assert_eq!(error, "", "{line}");
    }
    // The end of a node is an event of the others.
    let mut child = Running(
        command(&desk, "events --follow --about carol -p bob")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    nodes.pop();
    assert!(lines.any(|line| line.unwrap().contains("node unreachable")));
}

#[tokio::test]
async fn a_question_takes_less_than_a_tenth_of_a_second() {
    let desk = Desk::new();
    let _nodes = three(&desk).await;
    for line in [
        "status",
        "nodes",
        "links",
        "node alice",
        "link alice bob",
        "path alice",
        "explain",
        "events",
        "graph",
    ] {
        let line = format!("{line} -p bob");
        // The machine may be busy with other tests, but a delay that is in the program doesn't go away.
        let begun = Instant::now();
        let mut best = Duration::MAX;
        while best >= Duration::from_millis(100) && begun.elapsed() < PATIENCE {
            let asked = Instant::now();
            assert_eq!(ask(&desk, &line).0, 0, "{line}");
            best = best.min(asked.elapsed());
        }
        assert!(best < Duration::from_millis(100), "{line}: {best:?}");
    }
}
