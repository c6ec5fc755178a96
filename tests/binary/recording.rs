//! `area-net record` and `area-net replay`: a recording of a real node answers as the node did.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use area_net::recording;
use area_net::snapshot::NodeState;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::processes::{Desk, ports, until};

fn area_net(desk: &Desk, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_area-net"));
    command
        .current_dir(desk.path(""))
        .env_remove("XDG_RUNTIME_DIR")
        .args(args.split_whitespace())
        .stdin(Stdio::null());
    command
}

/// The exit status, and what was said.
fn said(desk: &Desk, args: &str) -> (Option<i32>, String, String) {
    let output = area_net(desk, args).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// A program that runs; it is killed when this is dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn get(mut stream: impl std::io::Read + std::io::Write, path: &str) -> Vec<u8> {
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let status = String::from_utf8_lossy(&answer[..end]).into_owned();
    assert!(status.contains(" 200 "), "{path}: {status}");
    answer.split_off(end + 4)
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Whether a recording shows so many nodes that are up at its end.
fn ends_with(file: &Path, up: usize) -> bool {
    let Ok(file) = File::open(file) else {
        return false;
    };
    recording::load(file).is_ok_and(|loaded| {
        let last = loaded.chronicle.last().unwrap();
        let states = last.nodes.iter().map(|node| node.state);
        states.filter(|state| *state == NodeState::Up).count() == up
    })
}

/// Replays a recording, and asks again what the node was asked: paths and answers. At one of the times, about, the node's file had that
/// content.
fn replays(
    desk: &Desk,
    file: &str,
    answers: &[(String, Vec<u8>)],
    (times, linked): (&[u64], &Vec<u8>),
) {
    let mut command = area_net(desk, &format!("replay {file}"));
    let mut replay = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut lines = BufReader::new(replay.0.stdout.take().unwrap()).lines();
    let page = lines.next().unwrap().unwrap();
    let addr = page.strip_prefix("http://").unwrap().trim_end_matches('/');
    let ask = |path: &str| get(TcpStream::connect(addr).unwrap(), path);
    let end = json(&ask("/v1/history"))["to_ms"].as_u64().unwrap();
    let mut same = 0;
    for (path, answer) in answers {
        let at: u64 = path.rsplit_once("at=").unwrap().1.parse().unwrap();
        if at > end {
            continue;
        }
        let (mut then, mut now) = (json(answer), json(&ask(path)));
        // Who looks, and what the history takes, is not of the past. Nor is a recording a log.
        for value in [&mut then, &mut now] {
            if let Some(value) = value.as_object_mut() {
                value.remove("history");
                value.remove("readers");
            }
        }
        assert_eq!(then, now, "{file}: {path}");
        same += 1;
    }
    assert!(same > 50, "{file}: {same} answers");
    // Some view of the recording is what the file said while both were there.
    assert!(
        times
            .iter()
            .flat_map(|at| at.saturating_sub(25)..at + 25)
            .any(|at| { at >= times[0] && ask(&format!("/v1/graph?at={at}")) == *linked }),
        "{file}"
    );
    let stream = ask(&format!("/v1/stream?from=begin&to={end}"));
    let again = recording::load(std::io::Cursor::new(stream)).unwrap();
    assert!(again.warnings.is_empty());
    assert!(ask("/").starts_with(b"<!"));
    // Not SIGINT: a shell that starts the tests in the background has it ignored.
    replay.signal(Signal::TERM);
    assert!(replay.0.wait().unwrap().success());
    let mut stderr = String::new();
    replay
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(
        stderr.contains("the file is cut off here"),
        file.ends_with("gz"),
        "{stderr}"
    );
}

#[tokio::test]
async fn a_replayed_recording_answers_as_the_node_did() {
    let desk = Desk::new();
    let addrs = ports(2);
    let mut command = desk.command("alice", addrs[0], &[]);
    let mut alice = desk.start_by("alice", addrs[0], command.env_remove("XDG_RUNTIME_DIR"));
    let socket = desk.path("profiles/alice/node.sock");
    until("the socket is there", || socket.exists()).await;
    let record = |file: &str| area_net(&desk, &format!("record -p alice --from begin {file}"));
    let killed = Running::start(record("killed.jsonl.gz").stderr(Stdio::null()));
    let mut whole = Running::start(record("whole.jsonl").stderr(Stdio::null()));
    let targets = desk.targets("bob", &addrs[..1]);
    let mut command = desk.command("bob", addrs[1], &[&targets]);
    let bob = desk.start_by("bob", addrs[1], command.env_remove("XDG_RUNTIME_DIR"));
    until("both are linked", || {
        alice.picture().is_full_mesh_of(&["alice", "bob"])
    })
    .await;
    let both = desk.path("killed.jsonl.gz");
    until("both are recorded", || ends_with(&both, 2)).await;
    let linked = fs::read(desk.path("profiles/alice/network.json")).unwrap();
    drop(bob);
    until("bob's end is recorded", || ends_with(&both, 1)).await;
    // What is in the file survives the recorder.
    killed.signal(Signal::KILL);
    drop(killed);

    let live = |path: &str| get(UnixStream::connect(&socket).unwrap(), path);
    let history = json(&live("/v1/history"));
    let [from, to] = ["from_ms", "to_ms"].map(|name| history[name].as_u64().unwrap());
    let times: Vec<u64> = (from..to).step_by(50).chain([to]).collect();
    let paths = |at: &u64| {
        ["status", "graph", "nodes", "node/bob", "path?to=bob"].map(|what| {
            let sign = if what.contains('?') { '&' } else { '?' };
            format!("/v1/{what}{sign}at={at}")
        })
    };
    // Bob is known from some time on.
    let knows_bob = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("\"bob\"");
    let mut answers = Vec::new();
    for at in &times {
        let bob = knows_bob(&live(&format!("/v1/nodes?at={at}")));
        for path in paths(at)
            .into_iter()
            .filter(|path| bob || !path.contains("bob"))
        {
            answers.push((path.clone(), live(&path)));
        }
    }
    alice.signal(Signal::KILL);
    alice.ended().await;
    until("the recorder ends with the node", || {
        whole
            .0
            .try_wait()
            .unwrap()
            .is_some_and(|status| status.success())
    })
    .await;

    for file in ["whole.jsonl", "killed.jsonl.gz"] {
        replays(&desk, file, &answers, (&times, &linked));
    }
}

#[tokio::test]
async fn what_can_not_be_recorded_or_replayed_is_one_clear_error() {
    let desk = Desk::new();
    let (status, _, stderr) = said(&desk, "record out.jsonl");
    assert_eq!(status, Some(3), "{stderr}");
    assert!(!desk.path("out.jsonl").exists());
    fs::write(desk.path("empty"), "").unwrap();
    fs::write(desk.path("text"), "hello\n").unwrap();
    let later =
        "{\"format\":\"area-net-recording\",\"version\":2,\"network\":\"\",\"node\":\"\"}\n";
    fs::write(desk.path("later"), later).unwrap();
    for (args, words) in [
        ("replay none", "can't open none"),
        ("replay empty", "empty, line 1: the file is empty"),
        ("replay text", "text, line 1: this is not a recording"),
        ("replay later", "later, line 1: the recording has version 2"),
        ("replay config", "can't open config"),
    ] {
        let (status, stdout, stderr) = said(&desk, args);
        assert_eq!((status, &*stdout), (Some(2), ""), "{args}: {stderr}");
        assert!(
            stderr.contains(words) && stderr.matches('\n').count() == 1,
            "{stderr}"
        );
    }
    let addr = ports(1)[0];
    let mut command = desk.command("alice", addr, &[]);
    let _alice = desk.start_by("alice", addr, command.env_remove("XDG_RUNTIME_DIR"));
    let socket = desk.path("profiles/alice/node.sock");
    until("the socket is there", || socket.exists()).await;
    for (args, words) in [
        ("record text", "text exists already"),
        ("record --for soon out.jsonl", "--for soon: not a duration"),
        ("record --from later out.jsonl", "--from later: not a time"),
        ("record no/out.jsonl", "can't open no/out.jsonl"),
    ] {
        let (status, _, stderr) = said(&desk, args);
        assert_eq!(status, Some(2), "{args}: {stderr}");
        assert!(stderr.contains(words), "{stderr}");
    }
    // Only a short while, to standard output.
    let (status, stdout, stderr) = said(&desk, "record --for 100ms -");
    assert_eq!(status, Some(0), "{stderr}");
    let loaded = recording::load(std::io::Cursor::new(stdout.into_bytes())).unwrap();
    assert_eq!((&*loaded.header.label, loaded.warnings.len()), ("alice", 0));
}
