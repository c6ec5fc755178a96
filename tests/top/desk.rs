//! A folder with two profiles, and a terminal.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use pty_process::Size;
use pty_process::blocking::{Command as PtyCommand, Pty, open};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{Termios, tcgetattr};
use tempfile::TempDir;

use crate::PATIENCE;
use crate::ports::free_ports;

/// What a terminal is told when a program takes its whole screen.
pub(crate) fn enters() -> &'static str {
    "\u{1b}[?1049h"
}

/// And when the program gives it back, with its cursor.
pub(crate) fn leaves() -> &'static str {
    "\u{1b}[?1049l\u{1b}[?25h"
}

pub(crate) struct Desk {
    dir: TempDir,
    network: String,
    /// The ports of alice and bob.
    ports: [u16; 2],
}

/// A node that is killed when the test is over.
pub(crate) struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Desk {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("config/network");
        fs::create_dir_all(&folder).unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/network/default.toml");
        fs::copy(shipped, folder.join("default.toml")).unwrap();
        for profile in ["alice", "bob"] {
            fs::write(folder.join(format!("{profile}.toml")), "").unwrap();
        }
        let ports: [u16; 2] = free_ports(2).try_into().unwrap();
        let target = format!("[\"[::1]:{}\"]", ports[0]);
        fs::write(dir.path().join("targets.json"), target).unwrap();
        let network = format!("test-top-{}-{}", std::process::id(), ports[0]);
        Self {
            dir,
            network,
            ports,
        }
    }

    /// Starts a profile, and waits until it listens for questions.
    pub(crate) fn start(&self, profile: &str) -> Node {
        let port = self.ports[usize::from(profile == "bob")];
        let child = Command::new(env!("CARGO_BIN_EXE_area-net"))
            .current_dir(self.dir.path())
            .env_remove("XDG_RUNTIME_DIR")
            .args(["-c", "config", "-p", profile])
            .args(["-s", &format!("network.name={}", self.network)])
            .args(["-s", &format!("label={profile}")])
            .args(["-s", &format!("network.controller.listen.port={port}")])
            .args(["-s", "network.controller.listen.addr=::1"])
            .args(["-s", "network.controller.target.path=targets.json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let node = Node(child);
        let socket = self
            .dir
            .path()
            .join(format!("profiles/{profile}/node.sock"));
        let connects = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
        for _ in 0..PATIENCE.as_secs() * 50 {
            if connects() {
                return node;
            }
            wait(&mut [], 20);
        }
        panic!("{profile} does not listen");
    }

    pub(crate) fn top(&self, profile: Option<&str>) -> PtyCommand {
        let command = PtyCommand::new(env!("CARGO_BIN_EXE_area-net"))
            .current_dir(self.dir.path())
            .env_remove("XDG_RUNTIME_DIR")
            .env("TERM", "xterm-256color")
            .arg("top");
        match profile {
            Some(profile) => command.args(["-p", profile]),
            None => command,
        }
    }

    /// The same with pipes in place of a terminal.
    pub(crate) fn piped(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_area-net"));
        command.current_dir(self.dir.path()).arg("top");
        command.stdin(Stdio::null());
        command
    }
}

/// The program on a terminal of 24 lines and 80 columns.
pub(crate) struct Terminal {
    child: Child,
    pty: Pty,
    before: Termios,
    output: String,
    /// How much of the output was looked at.
    seen: usize,
}

impl Terminal {
    pub(crate) fn open(command: PtyCommand) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(24, 80)).unwrap();
        let before = tcgetattr(&pty).unwrap();
        let child = command.spawn(pts).unwrap();
        Self {
            child,
            pty,
            before,
            output: String::new(),
            seen: 0,
        }
    }

    /// Waits for a text, and returns what came before it.
    pub(crate) fn expect(&mut self, wanted: &str) -> String {
        loop {
            if let Some(at) = self.output[self.seen..].find(wanted) {
                let before = self.output[self.seen..self.seen + at].to_owned();
                self.seen += at + wanted.len();
                return before;
            }
            let output = &self.output[self.seen..];
            assert!(self.is_readable(), "waited for {wanted:?}, got {output:?}");
            assert!(self.read(), "it ended before {wanted:?}: {:?}", self.output);
        }
    }

    fn is_readable(&self) -> bool {
        wait(
            &mut [PollFd::new(&self.pty, PollFlags::IN)],
            PATIENCE.as_millis() as i64,
        )
    }

    /// False at the end: an error says that nobody has the terminal open any more.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.pty.read(&mut bytes) {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                // A character that is torn apart is none that a test waits for.
                self.output
                    .push_str(&String::from_utf8_lossy(&bytes[..count]));
                true
            }
        }
    }

    pub(crate) fn type_keys(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end, and compares the terminal's modes with those before it.
    pub(crate) fn end(mut self) -> i32 {
        while self.is_readable() && self.read() {}
        let status = self.child.wait().unwrap();
        let after = tcgetattr(&self.pty).unwrap();
        assert_eq!(self.before.input_modes, after.input_modes);
        assert_eq!(self.before.output_modes, after.output_modes);
        assert_eq!(self.before.local_modes, after.local_modes);
        status.code().expect("it exits, also after a signal")
    }
}

/// Whether one of them is ready within some ms.
fn wait(fds: &mut [PollFd<'_>], ms: i64) -> bool {
    let timeout = Timespec {
        tv_sec: ms / 1000,
        tv_nsec: ms % 1000 * 1_000_000,
    };
    poll(fds, Some(&timeout)).unwrap() > 0
}
