//! `start.sh` as its user has it: the real script and the real binary on a real terminal. However it ends, no process
//! is left and the terminal is as it was.
//!
//! Each test works in a scratch copy of the project's top level, on ports of its own, so that they can run side by
//! side. Nothing here sleeps: it waits for what the script prints, for a process to end, or for a file to be written,
//! and the bound on each wait only decides how a failure looks.
#![cfg(target_os = "linux")]
// Helpers of tests are tests, which clippy only knows of the functions marked so.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;

use pty_process::blocking::{Command as PtyCommand, Pty, open};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use rustix::termios::{Termios, tcgetattr};

const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
/// The ports that the five profiles ship with, in the order of their names.
const PORTS: [u16; 5] = [8090, 8095, 8085, 8100, 8105];
/// How long a single wait may take on a machine that is busy with other tests.
const PATIENCE_S: i64 = 60;
const ALL_UP: &str = "up: alice bob carol dave erin\r\n";

/// A pty's master is close-on-exec only an instant after it was opened: a process started just then by another test of
/// this program would inherit it, and closing it here would hang up nothing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

// --- The scenarios ---

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
    let mut script = {
        let _guard = ONE_AT_A_TIME.lock().unwrap();
        KillOnDrop(command.spawn().unwrap())
    };
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

// --- A scratch copy of the project's top level ---

struct Scratch {
    folder: tempfile::TempDir,
    ports: Vec<u16>,
}

impl Scratch {
    fn new() -> Self {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        let ports = free_ports();
        let root = folder.path();
        fs::create_dir_all(root.join("config/network")).unwrap();
        fs::create_dir(root.join("profiles")).unwrap();
        fs::copy(project.join("start.sh"), root.join("start.sh")).unwrap();
        symlink(binary(), root.join("area-net")).unwrap();
        let default = "config/network/default.toml";
        fs::copy(project.join(default), root.join(default)).unwrap();
        for (name, port) in NAMES.iter().zip(PORTS) {
            let config = format!("config/network/{name}.toml");
            let text = fs::read_to_string(project.join(&config)).unwrap();
            assert!(
                text.contains(&port.to_string()),
                "{config} has another port than {port}"
            );
            fs::write(root.join(&config), with_ports(&text, &ports)).unwrap();
            let targets = format!("profiles/{name}.json");
            // A profile without targets may have no file of them.
            if let Ok(text) = fs::read_to_string(project.join(&targets)) {
                fs::write(root.join(&targets), with_ports(&text, &ports)).unwrap();
            }
        }
        Self { folder, ports }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root().join("profiles").join(name)
    }

    fn start(&self) -> Terminal {
        // A shell that runs the tests in the background has them ignore Ctrl-C, and a script can't undo that.
        let script = PtyCommand::new("env").args(["--default-signal=INT,QUIT", "./start.sh"]);
        self.start_as(script.current_dir(self.root()))
    }

    fn start_as(&self, command: PtyCommand) -> Terminal {
        let _guard = ONE_AT_A_TIME.lock().unwrap();
        let (pty, pts) = open().unwrap();
        let before = tcgetattr(&pty).unwrap();
        let child = command
            .env("AREA_NET_BIN", self.root().join("area-net"))
            .spawn(pts)
            .unwrap();
        Terminal {
            child,
            pty,
            before,
            output: Output::default(),
        }
    }

    /// Every process whose working directory is this scratch folder, with its arguments.
    fn processes(&self) -> Vec<(Pid, Vec<String>)> {
        let root = self.root();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(raw) = entry.file_name().to_string_lossy().parse() else {
                continue;
            };
            if !fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == root) {
                continue;
            }
            let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&arguments);
            let arguments = arguments
                .split_terminator('\0')
                .map(str::to_owned)
                .collect();
            found.push((Pid::from_raw(raw).unwrap(), arguments));
        }
        found
    }

    /// The profiles that run as nodes, in order, and the pid of each.
    fn nodes(&self) -> Vec<(String, Pid)> {
        let mut found = Vec::new();
        for (pid, arguments) in self.processes() {
            let is_node = arguments
                .first()
                .is_some_and(|program| program.ends_with("area-net"));
            if let (true, Some(at)) = (
                is_node,
                arguments.iter().position(|argument| argument == "-p"),
            ) {
                found.push((arguments[at + 1].clone(), pid));
            }
        }
        found.sort_by(|(left, _), (right, _)| left.cmp(right));
        found
    }

    /// A node that was just launched may still be on its way through `setsid`.
    fn expect_nodes(&self, names: &[&str]) {
        until("exactly these nodes run", || {
            self.nodes().iter().map(|(name, _)| name).eq(names)
        });
    }

    fn pid_of(&self, name: &str) -> Pid {
        self.nodes()
            .into_iter()
            .find(|(node, _)| node == name)
            .expect("this node runs")
            .1
    }

    fn assert_nothing_is_left(&self) {
        assert_eq!(self.processes(), []);
    }
}

fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_area-net"))
}

fn free_ports() -> Vec<u16> {
    let sockets = NAMES.map(|_| UdpSocket::bind("[::1]:0").unwrap());
    sockets
        .iter()
        .map(|socket| socket.local_addr().unwrap().port())
        .collect()
}

/// The text with each shipped port replaced by the scratch port of the same profile.
fn with_ports(text: &str, ports: &[u16]) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let end = number
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(number.len());
        let (number, after) = number.split_at(end);
        result.push_str(before);
        match PORTS.iter().position(|port| port.to_string() == number) {
            Some(profile) => result.push_str(&ports[profile].to_string()),
            None => result.push_str(number),
        }
        rest = after;
    }
    result + rest
}

// --- The script on its terminal ---

struct Terminal {
    child: Child,
    pty: Pty,
    before: Termios,
    output: Output,
}

impl Terminal {
    /// Waits for `wanted` and returns what was printed before it, since the last wait.
    fn expect(&mut self, wanted: &str) -> String {
        self.output.expect(&mut self.pty, wanted)
    }

    fn type_keys(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the script's end and compares the terminal's modes with those before it.
    fn end(mut self) -> i32 {
        self.output.drain(&mut self.pty);
        let status = exit_status(&mut self.child);
        let (before, after) = (&self.before, tcgetattr(&self.pty).unwrap());
        assert_eq!(before.input_modes, after.input_modes);
        assert_eq!(before.output_modes, after.output_modes);
        assert_eq!(before.control_modes, after.control_modes);
        assert_eq!(before.local_modes, after.local_modes);
        assert_eq!(
            format!("{:?}", before.special_codes),
            format!("{:?}", after.special_codes)
        );
        status
    }

    fn hang_up(mut self) -> i32 {
        drop(self.pty);
        exit_status(&mut self.child)
    }
}

/// What was printed so far, and how much of it has been looked at.
#[derive(Default)]
struct Output {
    all: String,
    seen: usize,
}

impl Output {
    fn expect<R: std::io::Read + AsFd>(&mut self, from: &mut R, wanted: &str) -> String {
        loop {
            if let Some(at) = self.all[self.seen..].find(wanted) {
                let before = self.all[self.seen..self.seen + at].to_owned();
                self.seen += at + wanted.len();
                return before;
            }
            assert!(
                readable(from, PATIENCE_S * 1000),
                "waited for {wanted:?}, got {:?}",
                self.all
            );
            assert!(
                self.read(from),
                "it ended before {wanted:?}: {:?}",
                self.all
            );
        }
    }

    fn drain<R: std::io::Read + AsFd>(&mut self, from: &mut R) {
        loop {
            assert!(
                readable(from, PATIENCE_S * 1000),
                "it doesn't end: {:?}",
                self.all
            );
            if !self.read(from) {
                return;
            }
        }
    }

    /// False at the end: on a terminal's side an error says that nobody has it open any more.
    fn read<R: std::io::Read>(&mut self, from: &mut R) -> bool {
        let mut bytes = [0; 4096];
        match from.read(&mut bytes) {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.all.push_str(&String::from_utf8_lossy(&bytes[..count]));
                true
            }
        }
    }
}

/// A script without a terminal: no hang-up ends it when its test fails.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

// --- Waiting ---

fn readable(fd: &impl AsFd, within_ms: i64) -> bool {
    let timeout = Timespec {
        tv_sec: within_ms / 1000,
        tv_nsec: within_ms % 1000 * 1_000_000,
    };
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    poll(&mut fds, Some(&timeout)).unwrap() > 0
}

/// A handle on a process that stays its own when the pid is used again.
fn process(pid: Pid) -> OwnedFd {
    pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

fn ended(process: &OwnedFd) -> bool {
    readable(process, PATIENCE_S * 1000)
}

/// For what nobody announces: looks every now and then.
fn until(what: &str, condition: impl Fn() -> bool) {
    const TICK: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 20_000_000,
    };
    for _ in 0..PATIENCE_S * 50 {
        if condition() {
            return;
        }
        poll(&mut [], Some(&TICK)).unwrap();
    }
    panic!("not within {PATIENCE_S} s: {what}");
}

fn exit_status(child: &mut Child) -> i32 {
    assert!(
        ended(&process(Pid::from_child(child))),
        "the script doesn't end"
    );
    child
        .wait()
        .unwrap()
        .code()
        .expect("it exits, also after a signal")
}
