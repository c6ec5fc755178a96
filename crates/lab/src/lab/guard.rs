//! Puts an interface of this machine back to what it was, however the lab ends.
//!
//! A small shell waits for the end of a pipe that only the worker holds. The kernel closes it when the worker ends, be it by a
//! signal that can't be caught; then the shell removes the qdisc and sets the MTU as it was.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// It outlives whatever ends the worker.
const SCRIPT: &str = "trap '' INT TERM HUP; cat >/dev/null; \
    tc qdisc del dev \"$0\" root 2>/dev/null; ip link set dev \"$0\" mtu \"$1\"";

/// Holds an interface.
pub(crate) struct Guard {
    shell: Child,
}

impl Guard {
    /// From now on the interface is put back. One with a qdisc that somebody gave it is refused, as it could not be.
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
        // What can't be waited for isn't there any more.
        let _ended = self.shell.wait();
    }
}

/// The kernel's own qdiscs have the handle 0.
fn is_default(line: &str) -> bool {
    line.split_whitespace()
        .nth(2)
        .is_none_or(|handle| handle == "0:")
}
