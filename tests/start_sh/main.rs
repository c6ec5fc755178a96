//! `start.sh` as its user has it: the real script and the real binary on a real terminal. However it ends, no process
//! is left and the terminal is as it was.
//!
//! Each test works in a scratch copy of the project's top level, on ports of its own, so that they can run side by
//! side. Nothing here sleeps: it waits for what the script prints, for a process to end, or for a file to be written,
//! and the bound on each wait only decides how a failure looks.
#![cfg(target_os = "linux")]
// Helpers of tests are tests, which clippy only knows of the functions marked so.
#![allow(clippy::unwrap_used)]

#[path = "../processes/ports.rs"]
mod ports;
mod scratch;
mod terminal;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use pty_process::blocking::Command as PtyCommand;
use rustix::process::{Pid, Signal, kill_process};

use scratch::{NAMES, Scratch, binary};
use terminal::{KillOnDrop, Output, ended, exit_status, process, until};

const ALL_UP: &str = "up: alice bob carol dave erin\r\n";

#[test]
fn q_ends_all_nodes_and_gives_the_terminal_back() {
    let scratch = Scratch::new();
    let mut terminal = scratch.start();
    terminal.expect(ALL_UP);
    scratch.expect_nodes(&NAMES);
    terminal.type_keys("q");
    assert_eq!(terminal.end(), 0);
    scratch.assert_nothing_is_left();
}

#[test]
fn a_key_crashes_its_node_and_starts_it_again() {
    let scratch = Scratch::new();
    let mut terminal = scratch.start();
    terminal.expect(ALL_UP);
    scratch.expect_nodes(&NAMES);
    let first = scratch.pid_of("alice");
    let first_process = process(first);

    terminal.type_keys("a");
    terminal.expect("alice crashed (kill -9)");
    terminal.expect("up: bob carol dave erin   down: alice\r\n");
    assert!(ended(&first_process), "alice outlived her crash");
    scratch.expect_nodes(&NAMES[1..]);

    terminal.type_keys("a");
    terminal.expect("alice started");
    terminal.expect(ALL_UP);
    scratch.expect_nodes(&NAMES);
    assert_ne!(scratch.pid_of("alice"), first);

    terminal.type_keys("?");
    terminal.expect("keys: a b c d e");
    terminal.expect(ALL_UP);
    terminal.type_keys("q");
    assert_eq!(terminal.end(), 0);
    scratch.assert_nothing_is_left();
}

#[test]
fn only_bob_draws_the_picture() {
    let scratch = Scratch::new();
    let mut terminal = scratch.start();
    terminal.expect("d2 --watch profiles/bob/peers.d2");
    terminal.expect(ALL_UP);
    until("bob draws the picture", || {
        scratch.file("bob/peers.d2").exists()
    });
    terminal.type_keys("q");
    assert_eq!(terminal.end(), 0);
    for name in ["alice", "carol", "dave", "erin"] {
        assert!(!scratch.file(&format!("{name}/peers.d2")).exists());
    }
    scratch.assert_nothing_is_left();
}

#[test]
fn o_opens_the_page_that_bob_serves() {
    let scratch = Scratch::new();
    let browser = scratch.root().join("browser");
    fs::write(&browser, "#!/bin/sh\necho \"$1\" >\"$0.opened\"\n").unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
    let script = PtyCommand::new("./start.sh").env("BROWSER", &browser);
    let mut terminal = scratch.start_as(script.current_dir(scratch.root()));
    terminal.expect(ALL_UP);
    let page = format!("http://[::1]:{}/", scratch.ports[1]);
    terminal.expect(&format!("page: {page}\r\n"));
    terminal.type_keys("o");
    terminal.expect(&format!("opening {page}\r\n"));
    let opened = scratch.root().join("browser.opened");
    until("the browser is told the address", || {
        fs::read_to_string(&opened).is_ok_and(|text| text == format!("{page}\n"))
    });
    let mut socket = TcpStream::connect(("::1", scratch.ports[1])).unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: [::1]:{}\r\nConnection: close\r\n\r\n",
        scratch.ports[1]
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    terminal.type_keys("q");
    assert_eq!(terminal.end(), 0);
    scratch.assert_nothing_is_left();
}

#[test]
fn arguments_go_to_every_node() {
    let scratch = Scratch::new();
    let setting = "network.controller.impair=delay 20ms 5ms loss 2%";
    let script = PtyCommand::new("./start.sh").args(["-s", setting]);
    let mut terminal = scratch.start_as(script.current_dir(scratch.root()));
    terminal.expect(ALL_UP);
    scratch.expect_nodes(&NAMES);
    for (_, arguments) in scratch.processes() {
        let is_node = arguments[0].ends_with("area-net");
        assert!(!is_node || arguments.ends_with(&["-s".to_owned(), setting.to_owned()]));
    }
    terminal.type_keys("q");
    assert_eq!(terminal.end(), 0);
    scratch.assert_nothing_is_left();
}

#[test]
fn ctrl_c_ends_all_nodes() {
    let scratch = Scratch::new();
    let mut terminal = scratch.start();
    terminal.expect(ALL_UP);
    terminal.type_keys("\x03");
    assert_eq!(terminal.end(), 130);
    scratch.assert_nothing_is_left();
}

#[test]
fn ctrl_c_while_the_nodes_are_being_started_leaves_none() {
    let scratch = Scratch::new();
    let mut terminal = scratch.start();
    terminal.expect("bob started");
    terminal.type_keys("\x03");
    assert_eq!(terminal.end(), 130);
    scratch.assert_nothing_is_left();
}

#[test]
fn a_closed_terminal_ends_all_nodes() {
    let scratch = Scratch::new();
    let mut terminal = scratch.start();
    terminal.expect(ALL_UP);
    assert_eq!(terminal.hang_up(), 129);
    scratch.assert_nothing_is_left();
}

#[test]
fn term_ends_all_nodes() {
    let scratch = Scratch::new();
    let mut terminal = scratch.start();
    terminal.expect(ALL_UP);
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.end(), 143);
    scratch.assert_nothing_is_left();
}

#[test]
fn a_node_that_was_stopped_can_still_leave() {
    let scratch = Scratch::new();
    let mut terminal = scratch.start();
    terminal.expect(ALL_UP);
    scratch.expect_nodes(&NAMES);
    kill_process(scratch.pid_of("carol"), Signal::STOP).unwrap();
    terminal.type_keys("q");
    assert_eq!(terminal.end(), 0);
    scratch.assert_nothing_is_left();
}

#[test]
fn when_the_script_itself_is_killed_the_nodes_leave() {
    let scratch = Scratch::new();
    let mut terminal = scratch.start();
    terminal.expect(ALL_UP);
    scratch.expect_nodes(&NAMES);
    let nodes: Vec<OwnedFd> = NAMES
        .iter()
        .map(|name| process(scratch.pid_of(name)))
        .collect();
    terminal.signal(Signal::KILL);
    for (name, node) in NAMES.iter().zip(&nodes) {
        assert!(ended(node), "{name} outlived the script");
    }
    terminal.child.wait().unwrap();
    scratch.assert_nothing_is_left();
}

#[test]
fn a_node_that_ends_by_itself_is_reported_with_its_reason() {
    let scratch = Scratch::new();
    let taken = UdpSocket::bind(("::1", scratch.ports[4])).unwrap();
    let mut terminal = scratch.start();
    terminal.expect("erin ended by itself (exit status ");
    terminal.expect("profiles/erin/log:\r\n    ");
    let reason = terminal.expect("\r\n").to_lowercase();
    assert!(reason.contains("in use"), "{reason}");
    terminal.expect("up: alice bob carol dave   down: erin\r\n");

    drop(taken);
    terminal.type_keys("e");
    terminal.expect("erin started");
    terminal.expect(ALL_UP);
    terminal.type_keys("q");
    assert_eq!(terminal.end(), 0);
    scratch.assert_nothing_is_left();
}

#[test]
fn it_works_from_another_folder_and_through_sh() {
    let scratch = Scratch::new();
    let command = PtyCommand::new("sh").arg(scratch.root().join("start.sh"));
    let mut terminal = scratch.start_as(command.current_dir("/"));
    terminal.expect(ALL_UP);
    scratch.expect_nodes(&NAMES);
    terminal.type_keys("q");
    assert_eq!(terminal.end(), 0);
    scratch.assert_nothing_is_left();
}

#[test]
fn without_a_terminal_it_runs_until_a_signal_ends_it() {
    let scratch = Scratch::new();
    let mut command = std::process::Command::new("./start.sh");
    command
        .current_dir(scratch.root())
        .env("AREA_NET_BIN", binary());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut script = KillOnDrop::start(&mut command);
    let mut stdout = script.0.stdout.take().unwrap();
    let mut output = Output::default();
    output.expect(&mut stdout, "because standard input is not a terminal");
    output.expect(&mut stdout, "up: alice bob carol dave erin\n");
    scratch.expect_nodes(&NAMES);
    kill_process(Pid::from_child(&script.0), Signal::TERM).unwrap();
    assert_eq!(exit_status(&mut script.0), 143);
    scratch.assert_nothing_is_left();
}

#[test]
fn a_binary_that_is_not_there_is_one_clear_error() {
    let scratch = Scratch::new();
    fs::remove_file(scratch.root().join("area-net")).unwrap();
    let mut terminal = scratch.start();
    terminal.expect(
        "area-net is not a program that can be run; build area-net, or unset AREA_NET_BIN\r\n",
    );
    assert_eq!(terminal.end(), 1);
    scratch.assert_nothing_is_left();
}
