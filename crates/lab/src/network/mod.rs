//! Times the real binary: the five shipped profiles, and chains of 5, 25, 50 and 100 processes on IPv6 loopback.
//!
//! `cargo run -p area-net-lab --release -- network -h` explains the options. Without options, it takes about half an hour.
//!
//! A run starts its processes one after another in a new scratch folder with new keys. The folder is in memory if there is
//! `/dev/shm`. The run waits until all views have converged, kills a random node at a random time, restarts it, and asks another
//! node to stop. Some runs have an idle window of a minute before the kill; the kernel's counters then give the network's idle
//! cost. Once the views have converged, every view must show every running node as up without a gap. A single version that shows
//! one as down fails the run.
//!
//! A timing begins just before the process is started, killed or asked to stop, by the system's clock. It ends when the file was
//! written that made the last view right. That file's modification time comes from the same clock, but may be up to one kernel
//! tick early.

mod figures;
mod graph;
mod observer;
mod options;
mod report;
mod run;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::json;

pub(crate) use crate::network::figures::median;
use crate::network::observer::Observer;
pub(crate) use crate::network::options::Options;
use crate::network::report::{Outcome, Scenario};
use crate::network::run::{Idle, Run};
use crate::shared::cluster::{Cluster, Plan, shipped_missing};
use crate::shared::{interrupted, isolate, kernel};

/// The kernel's magic number of tmpfs, a file system in memory.
const TMPFS: i64 = 0x0102_1994;

/// Runs the scenarios that the options select.
pub(crate) fn run(options: Options) -> Result<ExitCode> {
    // This comes before the new namespace, because cargo can't download from inside it.
    let binary = options.common.binary.locate()?;
    let mut more: Vec<OsString> = Vec::new();
    if !options.common.binary.is_named() {
        more = vec!["--binary".into(), binary.clone().into()];
    }
    let isolated = !options.no_isolation && isolate::enter(&more)?;
    let bench = Bench::new(options, binary, isolated)?;
    bench.introduce();
    let mut scenarios = Vec::new();
    for (plan, title) in bench.plans() {
        let scenario = bench.scenario(plan, title)?;
        print!("{}", scenario.markdown()?);
        scenarios.push(scenario);
        bench.write_json(&scenarios)?;
        if bench.interrupted() {
            eprintln!("interrupted");
            return Ok(ExitCode::from(130));
        }
    }
    let failed: usize = scenarios.iter().map(Scenario::failed).sum();
    let bars: Vec<(usize, usize)> = scenarios.iter().map(Scenario::bars).collect();
    let held: usize = bars.iter().map(|bars| bars.0).sum();
    let missed: usize = bars.iter().map(|bars| bars.1).sum();
    println!("\n{held} bars held, {missed} missed, {failed} runs failed");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The state that all runs share.
struct Bench {
    options: Options,
    binary: PathBuf,
    isolated: bool,
    scratch: PathBuf,
    seed: u64,
    interrupted: Arc<AtomicBool>,
}

impl Bench {
    fn new(options: Options, binary: PathBuf, isolated: bool) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let scratch = match &options.common.scratch {
            Some(scratch) => scratch.clone(),
            None if tempfile::tempdir_in(memory).is_ok() => memory.to_owned(),
            None => std::env::temp_dir(),
        };
        let scratch = scratch
            .canonicalize()
            .with_context(|| format!("there is no {}", scratch.display()))?;
        let interrupted = interrupted()?;
        let seed = options
            .seed
            .unwrap_or_else(|| kernel::now_ns() / 1_000_000_000);
        Ok(Self {
            options,
            binary,
            isolated,
            scratch,
            seed,
            interrupted,
        })
    }

    /// Prints the conditions under which the figures are measured.
    fn introduce(&self) {
        let kind = match rustix::fs::statfs(&self.scratch) {
            Ok(about) if about.f_type == TMPFS => "in memory",
            _ => "not in memory",
        };
        println!("# area-net: {}\n", self.binary.display());
        println!(
            "- seed {}; run r of a scenario draws from the seed + r",
            self.seed
        );
        println!("- scratch folders in {}, {kind}", self.scratch.display());
        if self.isolated {
            println!("- in a network namespace of its own");
        } else {
            println!(
                "- **in a network namespace with others**: idle traffic counts theirs, and ports may collide"
            );
        }
        if cfg!(debug_assertions) {
            println!("- **a debug build**: no figure means anything");
        }
        println!(
            "- held: the median is within the bar, and the worst within its own where one is named"
        );
        println!("- worst: over the runs; a phase without an end counts as a minute");
    }

    fn plans(&self) -> Vec<(Plan, String)> {
        let mut plans = Vec::new();
        for &nodes in self.options.sizes() {
            if nodes == 5 && !self.options.no_shipped {
                match shipped_missing() {
                    None => plans.push((Plan::Shipped, "The five profiles".into())),
                    Some(missing) => println!("- the five profiles are left out: {missing}"),
                }
            }
            plans.push((Plan::Chain(nodes), format!("A chain of {nodes}")));
            if nodes == 5 && !self.options.no_missing {
                let title = "A chain of 5, one told of a node that is never there".into();
                plans.push((Plan::ChainWithMissing(nodes), title));
            }
        }
        plans
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn scenario(&self, plan: Plan, title: String) -> Result<Scenario> {
        let nodes = plan.nodes();
        let idle_runs = self.options.idle_runs_of(nodes);
        // An unreachable target affects only the idle traffic.
        let only_idle = matches!(plan, Plan::ChainWithMissing(_));
        let runs = if only_idle {
            idle_runs
        } else {
            self.options.runs_of(nodes)
        };
        let mut scenario = Scenario {
            title,
            plan,
            outcomes: Vec::new(),
        };
        for run in 0..runs {
            if self.interrupted() {
                break;
            }
            eprint!("{}, run {run} of {runs}: ", scenario.title);
            let outcome = self.run(plan, run, run < idle_runs, !only_idle)?;
            let brief: Vec<String> = outcome
                .figures
                .iter()
                .filter(|(figure, _)| figure.unit == "s")
                .map(|(figure, value)| format!("{} {value:.3}", figure.name))
                .collect();
            eprintln!("{}", brief.join(", "));
            for problem in &outcome.problems {
                eprintln!("  FAILED (seed {}): {problem}", outcome.seed);
            }
            scenario.outcomes.push(outcome);
        }
        Ok(scenario)
    }

    fn run(&self, plan: Plan, run: usize, idle: bool, stops: bool) -> Result<Outcome> {
        let seed = self.seed.wrapping_add(run as u64);
        let cluster = Cluster::new(
            plan,
            &self.scratch,
            &self.binary,
            &self.options.common.setting,
        )?;
        let observer = Observer::new(plan.names(), &cluster.folders(), plan != Plan::Shipped)?;
        let random = ChaCha8Rng::seed_from_u64(seed);
        let mut measured = Run::new(cluster, observer, random, Arc::clone(&self.interrupted));
        let idle = idle.then(|| Idle {
            settling: self.options.settling(),
            window: self.options.idle_window(),
        });
        let end = measured.measure(idle, stops);
        let (mut cluster, figures, mut problems) = measured.into_parts();
        if let Err(error) = end {
            problems.push(format!("{error:#}"));
        }
        if !self.interrupted() && (self.options.common.keep || !problems.is_empty()) {
            let kept = cluster.keep().context("a run's folder is kept once")?;
            match problems.last_mut() {
                Some(problem) => problem.push_str(&format!("\n  kept: {}", kept.display())),
                None => eprintln!("kept: {}", kept.display()),
            }
        }
        Ok(Outcome {
            run,
            seed,
            figures,
            problems,
        })
    }

    fn write_json(&self, scenarios: &[Scenario]) -> Result<()> {
        let Some(path) = &self.options.json else {
            return Ok(());
        };
        let all = json!({
            "seed": self.seed,
            "isolated": self.isolated,
            "idle_window_s": self.options.idle_window().as_secs(),
            "settings": self.options.common.setting,
            "scenarios": scenarios.iter().map(Scenario::json).collect::<Vec<_>>(),
        });
        let text = serde_json::to_string_pretty(&all).context("figures are JSON")?;
        std::fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
    }
}
