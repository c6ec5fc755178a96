//! What several subcommands need: the project's folder, processes in a scratch folder, places to run them in, and their files.

pub(crate) mod cluster;
pub(crate) mod isolate;
pub(crate) mod kernel;
pub(crate) mod picture;
pub(crate) mod place;
pub(crate) mod watcher;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The checkout that the harness was built from: its settings and its scenarios are what is played.
pub(crate) fn project() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors()
        .nth(2)
        .expect("crates/lab is two folders below the project's")
}

/// The user asked for something that can't be done; nothing was begun.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadInput(pub(crate) String);

/// A folder for results and scratch files, in the target folder that the harness itself was built in.
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

/// A flag that SIGINT, SIGTERM and SIGHUP set.
pub(crate) fn interrupted() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .context("can't watch for signals")?;
    }
    Ok(interrupted)
}
