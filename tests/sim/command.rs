//! The subcommand: its arguments, its files, its exit status, and what it says.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use area_net::sim::command::{SeeingArgs, SimArgs, SimError};

use crate::flags;

#[test]
fn a_run_that_does_not_fit_is_refused_before_it_starts() {
    let args = SimArgs {
        scenario: None,
        flags: flags(|it| it.nodes = Some("32768".into())),
        json: None,
        html: None,
        seeing: SeeingArgs::default(),
        log_from: None,
        fuzz: None,
        quiet: true,
    };
    let stop = Arc::new(AtomicBool::new(true));
    let error = area_net::sim::command::run(&args, &stop).unwrap_err();
    assert!(
        matches!(error, SimError::Memory { nodes: 32768, .. }),
        "{error}"
    );
    assert!(error.is_bad_input());
}

#[test]
fn files_are_written_where_they_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| -> PathBuf { folder.path().join(name) };
    assert_cmd::Command::cargo_bin("area-net")
        .unwrap()
        .args(["sim", "--nodes", "4", "--lasts", "10s", "--quiet", "--json"])
        .arg(file("report.json"))
        .arg("--html")
        .arg(file("report.html"))
        .timeout(Duration::from_secs(60))
        .assert()
        .success();
    assert!(
        std::fs::read(file("report.json"))
            .unwrap()
            .starts_with(b"{")
    );
    assert!(
        std::fs::read(file("report.html"))
            .unwrap()
            .starts_with(b"<!DOCTYPE")
    );
    let bad = assert_cmd::Command::cargo_bin("area-net")
        .unwrap()
        .args(["sim", "--nodes", "4", "--kill", "9@10s"])
        .timeout(Duration::from_secs(60))
        .assert()
        .code(2);
    let said = String::from_utf8_lossy(&bad.get_output().stderr).into_owned();
    assert!(said.contains("there is no node `9`"), "{said}");
}

fn sim(args: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_area-net"));
    command.arg("sim").args(args).stdin(Stdio::null());
    command
}

/// The exit status, and what was said to stderr.
fn said(args: &[&str]) -> (Option<i32>, String) {
    let output = sim(args).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn reports_are_kept_where_nobody_takes_the_summary() {
    let folder = tempfile::tempdir().unwrap();
    let (json, html) = (folder.path().join("a.json"), folder.path().join("a.html"));
    let files = [
        "--json",
        json.to_str().unwrap(),
        "--html",
        html.to_str().unwrap(),
    ];
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut run = sim(&["--nodes", "4", "--lasts", "1s"]);
    let ended = run
        .args(files)
        .stdout(full)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(ended.code(), Some(1));
    assert!(std::fs::read(&json).unwrap().starts_with(b"{"));
    assert!(std::fs::read(&html).unwrap().starts_with(b"<!DOCTYPE"));
}

#[test]
fn a_report_that_could_not_be_kept_is_refused_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (scenario, report, nowhere) = (path("a.toml"), path("b"), path("c/d"));
    let text = "nodes = 4\nlasts = \"1s\"\n";
    std::fs::write(&scenario, text).unwrap();
    for (args, what) in [
        (
            vec!["--json", &scenario],
            "the scenario was read from this file",
        ),
        (vec!["--html", &path("")], "this is a folder"),
        (vec!["--html", &nowhere], "can't be written"),
        (
            vec!["--html", "-"],
            "only --json can write to standard output",
        ),
        (
            vec!["--json", &report, "--html", &report],
            "--json writes the same file",
        ),
    ] {
        let args = [vec![scenario.as_str()], args].concat();
        let (code, said) = said(&args);
        assert_eq!(code, Some(2), "{args:?}: {said}");
        assert!(said.contains(what), "{args:?}: {said}");
    }
    assert_eq!(std::fs::read_to_string(&scenario).unwrap(), text);
}

#[test]
fn two_reports_in_one_file_are_refused_however_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("d")).unwrap();
    std::fs::write(path("there"), "before").unwrap();
    std::fs::hard_link(path("there"), path("hard")).unwrap();
    let links = [
        ("link", "there"),
        ("future", "not yet"),
        ("other", "d/../future"),
        ("dir", "d"),
    ];
    for (link, to) in links {
        std::os::unix::fs::symlink(to, path(link)).unwrap();
    }
    let run = |json: &str, html: &str| {
        let mut run = sim(&["--nodes", "4", "--lasts", "1s", "--quiet"]);
        run.current_dir(folder.path());
        run.args(["--json", json, "--html", html]).output().unwrap()
    };
    for (json, html) in [
        ("new", "./new"),
        ("new", "d/../new"),
        ("there", "link"),
        ("there", "hard"),
        ("not yet", "future"),
        ("future", "./not yet"),
        ("other", "future"),
        ("dir/new", "d/new"),
    ] {
        let output = run(json, html);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{json}, {html}: {said}");
        assert!(said.contains("--json writes the same file"), "{said}");
    }
    assert_eq!(std::fs::read_to_string(path("there")).unwrap(), "before");
    // Different files are written, also through a link to one that did not exist.
    assert!(run("future", "dir/new").status.success());
    assert!(std::fs::read(path("not yet")).unwrap().starts_with(b"{"));
    assert!(path("future").is_symlink());
    assert!(std::fs::read(path("d/new")).unwrap().starts_with(b"<"));
}

/// Ctrl-C and SIGTERM end a run with a report.
#[test]
fn a_run_that_a_signal_ends_writes_its_report() {
    use std::io::{BufRead as _, BufReader};

    use rustix::process::{Pid, Signal, kill_process};
    for signal in [Signal::INT, Signal::TERM] {
        let args = [
            "--nodes",
            "4",
            "--lasts",
            "10h",
            "--log-from",
            "0s",
            "--json",
            "-",
        ];
        let mut run = sim(&args);
        let mut run = run
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(run.stderr.take().unwrap()).lines();
        assert!(log.next().unwrap().is_ok(), "the run has begun");
        kill_process(Pid::from_child(&run), signal).unwrap();
        let reader = std::thread::spawn(move || log.count());
        let output = run.wait_with_output().unwrap();
        reader.join().unwrap();
        assert_eq!(output.status.code(), Some(0), "{signal:?}");
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["ended"], "interrupted", "{signal:?}");
    }
}

#[test]
fn random_scenarios_take_no_other_flags() {
    let (code, said) = said(&["--fuzz", "1", "--loss", "5%"]);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("only --nodes, --seed, --fidelity and --tuning can be combined with it"),
        "{said}"
    );
}

#[test]
fn a_violation_is_said_with_all_that_it_takes_to_see_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("it is.toml");
    let text = "nodes = 4\n[bounds]\ngone = \"100ms\"\n[[step]]\nat = \"20s\"\nkill = \"any 1\"\n";
    std::fs::write(&file, text).unwrap();
    let (code, said) = said(&[
        file.to_str().unwrap(),
        "--nodes",
        "7",
        "--seed",
        "3",
        "--delay",
        "80ms",
        "--tuning",
        "pace.small=64",
    ]);
    assert_eq!(code, Some(1), "{said}");
    let again = format!(
        "area-net sim '{}' --nodes 7 --seed 3 --delay 80ms --tuning pace.small=64 --log-from 10",
        file.display()
    );
    assert!(said.contains(&again), "{said}");
}

#[test]
fn nodes_that_hardly_ever_come_or_go_are_no_trouble() {
    let (code, said) = said(&["--nodes", "4", "--lasts", "31s", "--churn", "1e-25"]);
    assert_eq!(code, Some(0), "{said}");
}
