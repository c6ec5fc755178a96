//! Network namespaces: work inside of one, without a process for it.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::places::tools;

/// The folder in which `ip netns` keeps namespaces. The worker has a `/run` of its own.
pub(crate) const FOLDER: &str = "/run/netns";

/// The words that run a command in a namespace, in front of it.
pub(crate) fn prefix(name: &str) -> Vec<String> {
    vec![
        "nsenter".into(),
        format!("--net={FOLDER}/{name}"),
        "--".into(),
    ]
}

/// Runs `work` on a thread in the namespace. Sockets that it makes stay in that namespace.
pub(crate) fn inside<T: Send>(name: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let file = File::open(format!("{FOLDER}/{name}"))
        .with_context(|| format!("there is no namespace {name}"))?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .with_context(|| format!("can't enter the namespace {name}"))?;
            work()
        });
        thread
            .join()
            .map_err(|_| anyhow!("a thread in the namespace {name} panicked"))?
    })
}

/// Sets kernel parameters of a namespace: paths below `/proc/sys/net`, and values.
pub(crate) fn set(name: &str, values: &[(&str, String)]) -> Result<()> {
    inside(name, || {
        for (path, value) in values {
            fs::write(format!("/proc/sys/net/{path}"), value)
                .with_context(|| format!("can't set net/{path}"))?;
        }
        Ok(())
    })
}

/// Runs a command with this input, and fails with its words if it fails.
pub(crate) fn command(words: &[String], input: &str) -> Result<String> {
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .env("PATH", tools::path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("can't run {}", words[0]))?;
    let mut pipe = child.stdin.take().expect("stdin is a pipe");
    // A command that reads nothing closes the pipe; what it says of that is more useful than our error.
    let _written = pipe.write_all(input.as_bytes());
    drop(pipe);
    let output = child
        .wait_with_output()
        .context("can't wait for a command")?;
    if !output.status.success() {
        let says = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}", words.join(" "), says.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
