//! Restores an interface of this machine, however the lab ends.
//!
//! A small shell waits for the end of a pipe that only the worker holds. The kernel closes the pipe when the worker ends, even by
//! SIGKILL. Then the shell removes the qdisc and restores the MTU.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// The script ignores the signals that may end the worker, so that it outlives the worker.
const SCRIPT: &str = "trap '' INT TERM HUP; cat >/dev/null; \
    tc qdisc del dev \"$0\" root 2>/dev/null; ip link set dev \"$0\" mtu \"$1\"";

/// Holds an interface, and restores it on drop.
pub(crate) struct Guard {
    shell: Child,
}

impl Guard {
    /// Guards the interface. Refuses an interface with a custom qdisc, because the guard could not restore that.
    pub(crate) fn new(interface: &str) -> Result<Self> {
        let path = format!("/sys/class/net/{interface}/mtu");
        let mtu = fs::read_to_string(path)
            .with_context(|| format!("there is no interface {interface}"))?;
        let shown = Command::new("tc")
            .args(["qdisc", "show", "dev", interface])
            .output()
            .context("can't run tc")?;
        let qdiscs = String::from_utf8_lossy(&shown.stdout).into_owned();
        if let Some(own) = qdiscs.lines().find(|line| !is_default(line)) {
            bail!(
                "{interface} has a qdisc of its own, `{}`; remove it first",
                own.trim()
            );
        }
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, interface, mtu.trim()])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("can't run sh")?;
        Ok(Self { shell })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // The wait fails only if the shell is already gone.
        let _ended = self.shell.wait();
    }
}

/// The kernel's default qdiscs have the handle 0.
fn is_default(line: &str) -> bool {
    line.split_whitespace()
        .nth(2)
        .is_none_or(|handle| handle == "0:")
}
