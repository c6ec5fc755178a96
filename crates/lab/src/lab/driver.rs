//! The driver finds the scenarios, and has workers play them. What a worker does is here too.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::lab::judge;
use crate::lab::machine::{self, Wish};
use crate::lab::options::Options;
use crate::lab::parse;
use crate::lab::record::Event;
use crate::lab::run::{self, Job};
use crate::lab::scenario::Scenario;
use crate::shared::crew::{self, Crew, Order, Task};
use crate::shared::place::{Machine, Place, WORK};
use crate::shared::table::{self, Row};
use crate::shared::{project, scenarios as files};

/// A folder in memory that every user can write to, on most machines.
const MEMORY: &str = "/dev/shm";

/// The folder of the shipped scenarios.
pub(crate) fn folder() -> PathBuf {
    project().join("crates/lab/scenarios")
}

/// Plays, lists or judges again, as the options ask.
pub(crate) fn drive(options: &Options) -> Result<ExitCode> {
    // Reads all scenarios before playing the first, so that a mistake shows at once.
    let mut scenarios = Vec::new();
    for file in files::named(&folder(), &options.scenarios)? {
        let scenario = parse::file(&file, options.short)?;
        let text = fs::read_to_string(&file).context("it was read a moment ago")?;
        if !options.short || parse::has_short(&text) || !options.scenarios.is_empty() {
            scenarios.push((file, scenario));
        }
    }
    if options.list {
        for (_, scenario) in &scenarios {
            println!(
                "{:20} {:5.0} s  {}",
                scenario.name, scenario.lasts_s, scenario.title
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(record) = &options.judge {
        return judge_again(&scenarios[0].1, record);
    }
    play(options, &scenarios)
}

fn judge_again(scenario: &Scenario, record: &Path) -> Result<ExitCode> {
    let file = File::open(record).with_context(|| format!("can't read {}", record.display()))?;
    let mut events: Vec<Event> = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.context("can't read a record")?;
        events.push(serde_json::from_str(&line).context("this is no record of a run")?);
    }
    events.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
    // The job file beside the record says where the scenario was played.
    let job = fs::read_to_string(record.with_file_name("job.json"))
        .context("no job.json beside the record")?;
    let job: Job = serde_json::from_str(&job).context("this is no job")?;
    let row = Row {
        name: scenario.name.clone(),
        place: "a record",
        verdicts: judge::judge(scenario, &events, job.guest),
        failure: None,
    };
    print!("{}{}", table::HEAD, table::lines(&row));
    Ok(if row.good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn play(options: &Options, scenarios: &[(PathBuf, Scenario)]) -> Result<ExitCode> {
    let wish = match options {
        Options { in_uml: true, .. } => Wish::Uml,
        Options {
            interface: Some(_), ..
        } => Wish::Interface,
        Options {
            in_kernel: true, ..
        } => Wish::Kernel,
        Options { .. } => Wish::Any,
    };
    let machine = Machine::look();
    let has = if machine.has_netem() { "has" } else { "has no" };
    let has_netem = format!("this kernel {has} sch_netem");
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for (file, scenario) in scenarios {
        let task = Task {
            name: scenario.name.clone(),
            lasts_s: scenario.lasts_s,
            file: file.clone(),
            place: machine::place(&machine, scenario, wish),
        };
        // Scenarios on an interface of this machine share it, so they can't run in parallel.
        if scenario.alone || task.place == Ok(Place::Here) {
            alone.push(task);
        } else {
            beside.push(task);
        }
    }
    // Longest first: a long scenario that starts last would delay the end.
    beside.sort_by(|one, other| other.lasts_s.total_cmp(&one.lasts_s));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = options.jobs.unwrap_or(processors).max(1);
    let mut crew = Crew::new(
        "lab",
        machine,
        (options.keep.as_deref(), options.repeat),
        options.binary.locate()?,
    )?;
    crew.begin("The lab", &[has_netem]);
    crew.play(&alone, 1, |order| job(options, order))?;
    crew.play(&beside, jobs, |order| job(options, order))?;
    crew.finish()
}

fn job(options: &Options, order: Order) -> Job {
    let interface = match order.place {
        Place::Here => options.interface.clone(),
        Place::Kernel | Place::Uml => None,
    };
    Job {
        file: order.file,
        short: options.short,
        binary: order.binary,
        work: match order.place {
            Place::Here if tempfile::tempdir_in(MEMORY).is_ok() => PathBuf::from(MEMORY),
            Place::Here => order.out.clone(),
            Place::Kernel | Place::Uml => PathBuf::from(WORK),
        },
        out: order.out,
        guest: order.place == Place::Uml,
        interface,
    }
}

/// The worker: plays one job and writes its result.
pub(crate) fn work(job: &Path) -> Result<ExitCode> {
    crew::work(job, run::play)
}
