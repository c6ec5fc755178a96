//! Code that several subcommands share: the project's folder, processes in a scratch folder, places to run them, their files,
//! and the workers that play scenarios and are judged by promises.

pub(crate) mod binary;
pub(crate) mod cluster;
pub(crate) mod crew;
pub(crate) mod isolate;
pub(crate) mod kernel;
pub(crate) mod options;
pub(crate) mod picture;
pub(crate) mod place;
pub(crate) mod scenarios;
pub(crate) mod table;
pub(crate) mod watcher;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Returns the checkout from which the harness was built. The harness uses its settings and scenarios.
pub(crate) fn project() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors()
        .nth(2)
        .expect("crates/lab is two folders below the project's")
}

/// The user's request can't be fulfilled. Nothing was started.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadInput(pub(crate) String);

/// Returns a folder for results and scratch files, in the target folder in which the harness itself was built.
pub(crate) fn scratch() -> Result<PathBuf> {
    let own = std::env::current_exe().context("where the lab's own program is")?;
    let target = own
        .ancestors()
        .nth(2)
        .with_context(|| format!("{} is in no target folder", own.display()))?;
    let scratch = target.join("tmp");
    std::fs::create_dir_all(&scratch)
        .with_context(|| format!("can't make {}", scratch.display()))?;
    Ok(scratch)
}

/// Returns a flag that SIGINT, SIGTERM and SIGHUP set.
pub(crate) fn interrupted() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .context("can't watch for signals")?;
    }
    Ok(interrupted)
}
