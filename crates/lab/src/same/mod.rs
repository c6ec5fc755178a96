//! Shows that a change keeps behaviour: the simulations of two builds of area-net must be equal to the byte.
//!
//! ```text
//! cargo run -p area-net-lab -- same                    the working tree beside the last commit
//! cargo run -p area-net-lab -- same --since main       … beside any revision
//! cargo run -p area-net-lab -- same --before OLD --after NEW     two binaries
//! ```
//!
//! A simulation has no clock and no entropy but its seed, so two runs of the same program are equal. The runs compared are:
//!
//! - `log`: sixty cores under loss, with a mass death, a partition and its end. The log holds everything that the cores do.
//!   Standard output and standard error must be equal.
//! - every scenario in `config/sim` of the working tree, with real cores (`hub`) and with whole nodes (`hub-whole`). The JSON
//!   report and the exit status must be equal. The report holds no figure from a real clock and no path, so nothing is left out.
//!
//! Runs of cores have 80 nodes and runs of whole nodes 30, because 80 whole nodes take five times as long. A scenario that needs
//! more nodes runs with its own number. If both builds refuse a scenario (Byzantine whole nodes), it is reported as refused.
//!
//! A revision is built in a temporary git worktree. Both builds use target folders in `target/same`, so the binary in
//! `target/release` stays unchanged. They use no link-time optimisation, which does not affect behaviour. The binary of a commit
//! is kept in `target/same` and not built again.

mod builds;
mod compare;
mod play;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use clap::Args;

use crate::shared::{BadInput, interrupted, project};
use play::{Outcome, Pair, Run};

/// Compares the simulations of two builds of area-net to the byte: by default the working tree and the last commit.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Execute only runs whose name contains one of these (`log`, `hub`, `hub-whole`, `whole`)
    #[arg(value_name = "RUN")]
    runs: Vec<String>,

    /// The git revision that the working tree is compared with
    #[arg(long, value_name = "REVISION", default_value = "HEAD")]
    since: String,

    /// Compare with this binary, in place of a revision
    #[arg(long, value_name = "PATH", conflicts_with = "since")]
    before: Option<PathBuf>,

    /// Compare this binary, in place of a build of the working tree
    #[arg(long, value_name = "PATH")]
    after: Option<PathBuf>,

    /// Number of nodes in scenarios in which only the cores are real
    #[arg(long, value_name = "COUNT", default_value_t = 80)]
    nodes: usize,

    /// Number of nodes in scenarios with whole nodes
    #[arg(long, value_name = "COUNT", default_value_t = 30)]
    whole_nodes: usize,

    /// Number of simulations that run at the same time [default: one per processor]
    #[arg(long, value_name = "COUNT")]
    jobs: Option<usize>,

    /// Folder for outputs that differ; it is emptied first [default: target/same/differ]
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,

    /// List the runs and exit
    #[arg(long)]
    list: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo run -p area-net-lab -- same
      did the uncommitted change alter anything?
  cargo run -p area-net-lab -- same --since HEAD~3
      and all since three commits ago?
  cargo run -p area-net-lab -- same log hub --since main
      only the run `log` and the two of the scenario `hub`

Exit status: 0 no difference; 1 a difference, or a failure; 2 bad input, nothing was run.";

/// Builds both binaries, runs the simulations and compares their outputs.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut runs = play::runs(project(), options.nodes, options.whole_nodes)?;
    let wanted = |run: &Run| options.runs.iter().any(|part| run.name.contains(part));
    if !options.runs.is_empty() {
        runs.retain(wanted);
    }
    if runs.is_empty() {
        let what = format!("no run is called {}", options.runs.join(" or "));
        return Err(BadInput(format!("{what}; --list shows their names")).into());
    }
    if options.list {
        for run in &runs {
            println!("{:22} {}", run.name, run.words());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let interrupted = interrupted()?;
    let folder = builds::target();
    let keep = match &options.keep {
        Some(keep) => keep.clone(),
        None => folder.join("differ"),
    };
    let pair = Pair {
        before: match &options.before {
            Some(binary) => builds::named(binary)?,
            None => builds::of_revision(&options.since)?,
        },
        after: match &options.after {
            Some(binary) => builds::named(binary)?,
            None => builds::of_working_tree()?,
        },
        project: project().to_owned(),
        keep: builds::emptied(&keep)?,
    };
    println!("before: {}", pair.before.display());
    println!("after:  {}\n", pair.after.display());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = options.jobs.unwrap_or(processors).clamp(1, runs.len());
    let outcomes = play_all(&runs, &pair, jobs, &interrupted)?;
    if interrupted.load(Ordering::Relaxed) {
        eprintln!("interrupted");
        return Ok(ExitCode::from(130));
    }
    Ok(conclude(&outcomes, &pair))
}

/// Executes all runs, `jobs` at a time, and prints the outcome of each as soon as it is known.
fn play_all(
    runs: &[Run],
    pair: &Pair,
    jobs: usize,
    interrupted: &AtomicBool,
) -> Result<Vec<Outcome>> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = run.play(pair).inspect_err(|_| {
                // This makes the other threads stop as well.
                next.store(runs.len(), Ordering::Relaxed);
            });
            let outcome = outcome.with_context(|| format!("the run {}", run.name))?;
            // Ctrl-C reaches the simulations too, and each reports what it has so far.
            if interrupted.load(Ordering::Relaxed) {
                return Ok(());
            }
            println!("{:22} {outcome}", run.name);
            outcomes
                .lock()
                .expect("no thread panics while it pushes")
                .push(outcome);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a worker returns its errors"))
    })?;
    Ok(outcomes.into_inner().expect("all threads have ended"))
}

fn conclude(outcomes: &[Outcome], pair: &Pair) -> ExitCode {
    let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
    let differ = count(|outcome| matches!(outcome, Outcome::Differs(_)));
    let refused = count(|outcome| matches!(outcome, Outcome::Refused));
    let equal = outcomes.len() - differ - refused;
    println!("\n{equal} runs are equal, {differ} differ, {refused} were refused by both");
    if differ == 0 {
        return ExitCode::SUCCESS;
    }
    println!(
        "the outputs that differ are kept in {}",
        pair.keep.display()
    );
    ExitCode::FAILURE
}
