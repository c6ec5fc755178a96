//! Gives the benchmark its own network namespace: fixed ports can't collide, and its loopback counts no foreign traffic.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// The environment variable that marks a benchmark that already runs in its own namespace.
const MARK: &str = "AREA_NET_BENCH_ISOLATED";

/// The command that brings the new namespace's loopback up. It extends the path, because `ip` is often not on a user's path.
const LOOPBACK_UP: &str = "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up";

/// The arguments of `unshare` for a new network namespace: as root, else as root of a user namespace.
const WAYS: [&[&str]; 2] = [&["--net"], &["--map-root-user", "--net"]];

/// Returns the arguments with which `unshare` makes a new network namespace and the namespaces in `more`. It is `None` if
/// neither variant works here.
pub(crate) fn way(more: &[&str]) -> Option<Vec<String>> {
    WAYS.iter().find_map(|way| {
        let args: Vec<String> = way
            .iter()
            .chain(more)
            .map(|arg| (*arg).to_owned())
            .collect();
        let open = Command::new("unshare")
            .args(&args)
            .args(["--", "sh", "-c", LOOPBACK_UP])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        open.then_some(args)
    })
}

/// Re-executes this process in a new network namespace, with `more` after its arguments. Returns whether it is in one, which is
/// false only if none can be made.
pub(crate) fn enter(more: &[OsString]) -> Result<bool> {
    if std::env::var_os(MARK).is_some() {
        return Ok(true);
    }
    let own = std::env::current_exe().context("where the benchmark's own program is")?;
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let Some(way) = way(&[]) else {
        return Ok(false);
    };
    let script = format!("{LOOPBACK_UP} && exec \"$0\" \"$@\"");
    Err(Command::new("unshare")
        .args(way)
        .args(["--", "sh", "-c", &script])
        .arg(own)
        .args(args)
        .args(more)
        .env(MARK, "1")
        .exec())
    .context("can't start again in a network namespace")
}

/// Returns whether `setpriv` is installed and can make a process die with its parent.
pub(crate) fn guard_works() -> bool {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
