//! Finds the scenarios, and has workers play them. What a worker does is here too.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

use crate::places::neighbors::Room;
use crate::places::run::{self, Job};
use crate::places::{Options, parse, plan, tools};
use crate::shared::crew::{self, Crew, Order, Task};
use crate::shared::place::{Machine, Place, WORK};
use crate::shared::{BadInput, project, scenarios as files};

/// Scenarios with up to this many nodes are played in parallel. Larger ones keep every processor busy while their nodes start.
pub(crate) const SMALL: usize = 8;

/// The folder of the shipped scenarios.
pub(crate) fn folder() -> PathBuf {
    project().join("crates/lab/places")
}

/// Plays or lists, as the options ask.
pub(crate) fn drive(options: &Options) -> Result<ExitCode> {
    let (mut small, mut large) = (Vec::new(), Vec::new());
    // All are read before the first is played, so that a mistake shows at once.
    for file in files::named(&folder(), &options.scenarios)? {
        let scenario = parse::file(&file)?;
        if options.short && !scenario.short {
            continue;
        }
        let nodes = plan::Plan::new(&scenario).nodes.len();
        if options.list {
            println!(
                "{:22} {nodes:4} nodes {:5.0} s  {}",
                scenario.name, scenario.lasts_s, scenario.title
            );
        }
        let set = if nodes <= SMALL {
            &mut small
        } else {
            &mut large
        };
        set.push(Task {
            name: scenario.name,
            lasts_s: scenario.lasts_s,
            file,
            place: Ok(Place::Kernel),
        });
    }
    if options.list {
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(missing) = tools::missing() {
        return Err(BadInput(missing).into());
    }
    let machine = Machine::look();
    if !machine.has_namespaces() {
        let what = "this machine gives no network namespaces; run it as root";
        return Err(BadInput(what.into()).into());
    }
    let mut crew = Crew::new(
        "places",
        machine,
        (options.keep.as_deref(), options.repeat),
        options.binary.locate()?,
    )?;
    crew.begin("The lab's places", &[]);
    let room = Room::make();
    crew.play(&small, options.jobs.max(1), job)?;
    crew.play(&large, 1, job)?;
    let code = crew.finish()?;
    room.check()?;
    Ok(code)
}

fn job(order: Order) -> Job {
    Job {
        file: order.file,
        binary: order.binary,
        out: order.out,
        work: PathBuf::from(WORK),
    }
}

/// The worker: plays one job and writes its result.
pub(crate) fn work(job: &Path) -> Result<ExitCode> {
    crew::work(job, run::play)
}
