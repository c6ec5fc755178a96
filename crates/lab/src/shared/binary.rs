//! Locates the `area-net` binary that the harness runs.
//!
//! The harness is a package of its own, so cargo does not build the binary along with it. Without `--binary`, the harness runs
//! `cargo build --release --bin area-net` in the project's folder first. That builds the working tree with the harness's own
//! environment. So `CARGO_PROFILE_RELEASE_LTO=off` and the like apply to both, and cargo builds the library once for both.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::shared::project;

// Not a doc comment: clap would show that in place of the line of each command that has this option.
// The option that names the binary.
#[derive(Debug, Clone, Args)]
pub(crate) struct Binary {
    /// The area-net binary to run [default: build the working tree with `cargo build --release` and run that]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

impl Binary {
    /// The binary's absolute path. Builds the binary if the user named none.
    pub(crate) fn locate(&self) -> Result<PathBuf> {
        match &self.binary {
            Some(path) => path
                .canonicalize()
                .with_context(|| format!("there is no {}", path.display())),
            None => build(project(), None, &[]),
        }
    }

    /// Whether the user named a binary.
    pub(crate) fn is_named(&self) -> bool {
        self.binary.is_some()
    }
}

/// Builds the release binary of the checkout in `project`, in cargo's usual target folder or in `target`, and returns its path.
/// `environment` is added to the harness's own.
pub(crate) fn build(
    project: &Path,
    target: Option<&Path>,
    environment: &[(&str, OsString)],
) -> Result<PathBuf> {
    // `cargo run` sets `CARGO` to its own path.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .current_dir(project)
        .args(["build", "--release", "--locked", "--bin", "area-net"])
        .args(["--message-format", "json-render-diagnostics"])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    for (name, _) in std::env::vars_os() {
        if describes_package(&name) {
            command.env_remove(name);
        }
    }
    if let Some(target) = target {
        command.arg("--target-dir").arg(target);
    }
    let built = command
        .output()
        .context("can't run cargo; name a binary with --binary")?;
    if !built.status.success() {
        bail!("cargo could not build area-net in {}", project.display());
    }
    let messages = String::from_utf8_lossy(&built.stdout);
    messages
        .lines()
        .filter_map(executable)
        .next_back()
        .context("cargo built area-net, but did not say where; name it with --binary")
}

/// Whether `cargo run` sets this variable to describe the package of the program that it starts. The build script of ring
/// depends on these variables. With the harness's values, cargo would rebuild ring and its dependents, and would do so again at
/// the user's next own build.
fn describes_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let groups = ["CARGO_PKG_", "CARGO_MANIFEST_"];
    groups.iter().any(|group| name.starts_with(group))
        || [
            "CARGO_BIN_NAME",
            "CARGO_CRATE_NAME",
            "CARGO_PRIMARY_PACKAGE",
        ]
        .contains(&&*name)
}

/// The path of the program, if this cargo message reports that area-net was built.
fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let path = message.get("executable")?.as_str()?;
    (message.pointer("/target/name")?.as_str()? == "area-net").then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_keeps_the_environment_but_what_describes_the_harness() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO_CRATE_NAME"] {
            assert!(describes_package(OsStr::new(name)), "{name}");
        }
        for name in [
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "PATH",
        ] {
            assert!(!describes_package(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn cargo_says_where_the_binary_is() {
        let message = r#"{"reason":"compiler-artifact","target":{"name":"area-net"},"executable":"/t/release/area-net"}"#;
        assert_eq!(
            executable(message),
            Some(PathBuf::from("/t/release/area-net"))
        );
        for other in [
            r#"{"reason":"compiler-artifact","target":{"name":"area-net"},"executable":null}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"other"},"executable":"/t/other"}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "no JSON",
        ] {
            assert_eq!(executable(other), None, "{other}");
        }
    }
}
