//! A network namespace of the benchmark's own: fixed ports can't collide, and nothing else counts on its loopback.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Set in the environment of the benchmark that already runs in its own namespace.
const MARK: &str = "AREA_NET_BENCH_ISOLATED";

/// Brings the new namespace's loopback up; `ip` is often not on a user's path.
const LOOPBACK_UP: &str = "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up";

/// The ways to a new network namespace: as root, else as root of a user namespace.
const WAYS: [&[&str]; 2] = [&["--net"], &["--map-root-user", "--net"]];

/// The arguments with which `unshare` makes a new network namespace and what `more` asks for; none where no way there is
/// open.
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

/// Replaces this process by itself in a new network namespace, with `more` after its arguments. Returns whether it is in one, which
/// is false only where no way there is open.
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

/// Whether `setpriv` is there and can tie a process's life to its parent's.
pub(crate) fn guard_works() -> bool {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
