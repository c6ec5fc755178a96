//! The script on its terminal, and waiting for it.

use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::Mutex;

use pty_process::blocking::{Command as PtyCommand, Pty, open};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use rustix::termios::{Termios, tcgetattr};

/// How long a single wait may take on a machine that is busy with other tests.
pub(crate) const PATIENCE_S: i64 = 60;

/// A pty's master is close-on-exec only an instant after it was opened: a process started just then by another test of
/// this program would inherit it, and closing it here would hang up nothing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub(crate) struct Terminal {
    pub(crate) child: Child,
    pty: Pty,
    before: Termios,
    output: Output,
}

impl Terminal {
    /// Runs the script on a new terminal.
    pub(crate) fn open(script: PtyCommand) -> Self {
        let _guard = ONE_AT_A_TIME.lock().unwrap();
        let (pty, pts) = open().unwrap();
        let before = tcgetattr(&pty).unwrap();
        let child = script.spawn(pts).unwrap();
        Self {
            child,
            pty,
            before,
            output: Output::default(),
        }
    }

    /// Waits for `wanted` and returns what was printed before it, since the last wait.
    pub(crate) fn expect(&mut self, wanted: &str) -> String {
        self.output.expect(&mut self.pty, wanted)
    }

    pub(crate) fn type_keys(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the script's end and compares the terminal's modes with those before it.
    pub(crate) fn end(mut self) -> i32 {
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

    pub(crate) fn hang_up(mut self) -> i32 {
        drop(self.pty);
        exit_status(&mut self.child)
    }
}

/// What was printed so far, and how much of it has been looked at.
#[derive(Default)]
pub(crate) struct Output {
    all: String,
    seen: usize,
}

impl Output {
    pub(crate) fn expect<R: std::io::Read + AsFd>(&mut self, from: &mut R, wanted: &str) -> String {
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

    pub(crate) fn drain<R: std::io::Read + AsFd>(&mut self, from: &mut R) {
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
    pub(crate) fn read<R: std::io::Read>(&mut self, from: &mut R) -> bool {
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
pub(crate) struct KillOnDrop(pub(crate) Child);

impl KillOnDrop {
    pub(crate) fn start(script: &mut Command) -> Self {
        let _guard = ONE_AT_A_TIME.lock().unwrap();
        Self(script.spawn().unwrap())
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

pub(crate) fn readable(fd: &impl AsFd, within_ms: i64) -> bool {
    let timeout = Timespec {
        tv_sec: within_ms / 1000,
        tv_nsec: within_ms % 1000 * 1_000_000,
    };
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    poll(&mut fds, Some(&timeout)).unwrap() > 0
}

/// A handle on a process that stays its own when the pid is used again.
pub(crate) fn process(pid: Pid) -> OwnedFd {
    pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

pub(crate) fn ended(process: &OwnedFd) -> bool {
    readable(process, PATIENCE_S * 1000)
}

/// For what nobody announces: looks every now and then.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
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

pub(crate) fn exit_status(child: &mut Child) -> i32 {
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
