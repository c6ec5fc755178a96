//! Recordings of runs: that they repeat and change nothing, what is refused, and that a run is shown while it runs.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use area_net::recording;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A network of which a third dies, the viewer among them.
const RUN: &str = "--nodes 12 --lasts 30s --seed 5 --kill 0..4@10s --start down@20s --quiet";

fn sim(folder: &Path, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_area-net"));
    command.current_dir(folder).stdin(Stdio::null()).arg("sim");
    command.args(args.split_whitespace());
    command
}

fn output(folder: &Path, args: &str) -> Output {
    sim(folder, args).output().expect("it starts")
}

fn done(folder: &Path, args: &str) {
    let output = output(folder, args);
    assert!(output.status.success(), "{args}: {output:?}");
}

#[test]
fn a_recording_repeats_to_the_byte_and_changes_nothing_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    done(folder.path(), &format!("{RUN} --json plain.json"));
    for (nth, packed) in [("1", ".gz"), ("2", ".gz"), ("3", "")] {
        let files = format!("--json {nth}.json --record {nth}.jsonl{packed}");
        done(folder.path(), &format!("{RUN} {files}"));
        assert_eq!(read("plain.json"), read(&format!("{nth}.json")));
    }
    assert_eq!(read("1.jsonl.gz"), read("2.jsonl.gz"));
    let load = |name: &str| recording::load(File::open(folder.path().join(name)).unwrap()).unwrap();
    let (packed, plain) = (load("1.jsonl.gz"), load("3.jsonl"));
    assert!(packed.warnings.is_empty() && plain.warnings.is_empty());
    assert_eq!(packed.chronicle.last(), plain.chronicle.last());
    let last = plain.chronicle.last().unwrap();
    assert!((29_000..=30_000).contains(&last.at_ms), "{}", last.at_ms);
    assert_eq!(last.nodes.len(), 12);
    assert_eq!(
        (&*plain.header.label, &*last.nodes[last.me].label),
        ("node 0", "node 4")
    );
    let text = String::from_utf8(read("3.jsonl")).unwrap();
    for step in ["kill 0..4", "start down"] {
        let event = format!(
            "\"event\":{{\"name\":\"scenario step\",\"level\":\"info\",\"fields\":{{\"step\":\"{step}\"}}"
        );
        assert!(text.contains(&event), "{step}");
    }
    assert!(text.contains("\"kind\":\"latency\"") && text.contains("\"told\":{\"by\""));
}

#[test]
fn the_report_contains_the_run() {
    let folder = tempfile::tempdir().unwrap();
    done(folder.path(), &format!("{RUN} --html report.html"));
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert_eq!(page.matches("<iframe").count(), 1);
    // The page in the page is text.
    let (_, inner) = page
        .split_once("<textarea id=\"run\" hidden readonly>")
        .unwrap();
    let (inner, _) = inner.split_once("</textarea>").unwrap();
    assert!(!inner.contains('<') && inner.to_lowercase().starts_with("&lt;!doctype html>"));
    assert!(!page.contains("No playback"));
}

#[test]
fn flags_that_contradict_each_other_are_refused_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, said) in [
        (
            "--record -",
            "--record -: only --json can write to standard output",
        ),
        (
            "--record a.gz --html a.gz",
            "--record a.gz: --html writes the same file",
        ),
        ("--record no/a.gz", "--record no/a.gz: can't be written"),
        (
            "--record a.gz --viewer 12",
            "--viewer 12: the nodes are 0 to 11",
        ),
        ("--viewer 3", "--viewer 3: nothing is recorded"),
        ("--speed 3", "--serve"),
        ("--serve --speed 0", "--speed 0: write a number"),
        ("--serve=192.0.2.1:80", "can be reached from other machines"),
        ("--fuzz 1 --record a.gz", "--record"),
    ] {
        let output = output(folder.path(), &format!("{RUN} {flags}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags}: {stderr}");
        assert!(stderr.contains(said), "{flags}: {stderr}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// What the page's server answers.
fn get(addr: &str, path: &str) -> Value {
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{head}");
    serde_json::from_str(body).unwrap()
}

#[test]
fn a_run_is_shown_while_it_runs_and_after_it_until_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = sim(
        folder.path(),
        &format!("{RUN} --serve --speed 10 --json report.json"),
    );
    let mut run = command
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stderr.take().unwrap()).lines();
    let mut said = || lines.next().unwrap().unwrap();
    let first = said();
    let addr = first
        .split_once("http://")
        .unwrap()
        .1
        .trim_end_matches('/')
        .to_owned();
    // Three seconds for thirty: the stream begins while it runs, and goes on to its end.
    let mut stream = TcpStream::connect(&addr).unwrap();
    write!(
        stream,
        "GET /v1/stream?from=begin HTTP/1.0\r\nHost: localhost\r\n\r\n"
    )
    .unwrap();
    let mut seen_ms = Vec::new();
    for line in BufReader::new(stream).lines() {
        let Ok(line) = serde_json::from_str::<Value>(&line.unwrap()) else {
            continue;
        };
        seen_ms.extend(line["at"].as_i64());
        if line["at"].as_i64().is_some_and(|at| at >= 29_000) {
            break;
        }
    }
    assert!(seen_ms.len() > 30 && seen_ms.is_sorted(), "{seen_ms:?}");
    assert!(said().contains("the run is over"));
    let status = get(&addr, "/v1/status");
    assert_eq!(status["nodes"]["up"], 12);
    let then = status["history"]["from_ms"].as_i64().unwrap() + 19_500;
    let then = get(&addr, &format!("/v1/status?at={then}"));
    assert_eq!(then["nodes"]["up"], 8);
    kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
    assert!(run.wait().unwrap().success());
    assert!(folder.path().join("report.json").exists());
}
