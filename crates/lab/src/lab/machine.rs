//! Chooses the machine for a scenario and starts the worker there.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Context, Result};

use crate::lab::run::Job;
use crate::lab::scenario::{Scenario, Topology};
use crate::shared::place::{Machine, Place, Worker};

/// The kind of machine that the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// This kernel if it can play the scenario, else User-Mode Linux.
    Any,
    /// Only this kernel.
    Kernel,
    /// User-Mode Linux for every scenario.
    Uml,
    /// An interface of this machine for loopback scenarios. Other scenarios are played as with `Any`.
    Interface,
}

/// The place to play the scenario, or the reason why no place can.
pub(crate) fn place(machine: &Machine, scenario: &Scenario, wish: Wish) -> Result<Place, String> {
    if wish == Wish::Uml {
        return machine.uml();
    }
    if scenario.needs_own_clock() {
        return match wish {
            Wish::Kernel => Err("this kernel's clock is not the lab's to set".into()),
            Wish::Any | Wish::Interface | Wish::Uml => machine.uml(),
        };
    }
    if wish == Wish::Interface && scenario.topology == Topology::Loopback {
        return Ok(Place::Here);
    }
    let able = machine.has_namespaces() && (machine.has_netem() || !scenario.needs_netem());
    match (able, wish) {
        (true, _) => Ok(Place::Kernel),
        (false, Wish::Kernel) => Err("this kernel has no sch_netem, or gives no namespaces".into()),
        (false, Wish::Any | Wish::Interface | Wish::Uml) => machine.uml(),
    }
}

/// Starts a worker for the job at that place.
pub(crate) fn start(machine: &Machine, place: Place, job: &Job, lab: &Path) -> Result<Child> {
    let file = job.out.join("job.json");
    let text = serde_json::to_string(job).context("a job is JSON")?;
    fs::write(&file, text).with_context(|| format!("can't write {}", file.display()))?;
    let command: [OsString; 4] = [lab.into(), "lab".into(), "--worker".into(), file.into()];
    machine.start(
        place,
        &Worker {
            command: &command,
            out: &job.out,
            reads: &[&job.binary, &job.file],
        },
    )
}

/// The folder's canonical path.
pub(crate) fn canonical(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("there is no {}", path.display()))
}
