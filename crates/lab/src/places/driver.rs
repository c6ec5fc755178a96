//! Finds the scenarios, starts a worker for each in new namespaces, and prints the table. The worker's entry point is here too.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use area_net::atomic_file::{self, Care};
use area_net::nearest::did_you_mean;

use crate::lab::table::{self, Row};
use crate::lab::words::BadScenario;
use crate::places::parse;
use crate::places::run::{self, Found, Job};
use crate::places::scenario::Scenario;
use crate::places::{Options, plan, tools};
use crate::shared::kernel::now_ns;
use crate::shared::place::{Machine, Place, WORK, Worker, end};
use crate::shared::{BadInput, interrupted, project, scratch};

/// Time allowed beyond the scenario's own length: for building the places, and for judging.
const MARGIN: Duration = Duration::from_secs(120);

/// How often the driver looks at its workers.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Scenarios with up to this many nodes are played in parallel. Larger ones keep every processor busy while their nodes start.
pub(crate) const SMALL: usize = 8;

/// A scenario that waits: its number, its file, and its content.
type Waiting = (usize, PathBuf, Scenario);

/// The folder of the shipped scenarios.
pub(crate) fn folder() -> PathBuf {
    project().join("crates/lab/places")
}

/// The shipped scenarios' files, by name.
pub(crate) fn shipped() -> Result<Vec<PathBuf>, BadScenario> {
    crate::lab::parse::shipped(&folder())
}

fn find(name: &str) -> Result<PathBuf, BadScenario> {
    let files = shipped()?;
    let stem = |path: &PathBuf| {
        path.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    if let Some(path) = files.iter().find(|path| stem(path) == name) {
        return Ok(path.clone());
    }
    let path = PathBuf::from(name);
    if path.is_file() {
        return Ok(path);
    }
    let names: Vec<String> = files.iter().map(stem).collect();
    Err(BadScenario::Unknown {
        name: name.to_owned(),
        hint: did_you_mean(name, names.iter().map(String::as_str)),
    })
}

/// Plays or lists, as the options ask.
pub(crate) fn drive(options: &Options) -> Result<ExitCode> {
    let files = match options.scenarios.is_empty() {
        true => shipped()?,
        false => options
            .scenarios
            .iter()
            .map(|name| find(name))
            .collect::<Result<_, _>>()?,
    };
    // All are read before the first is played, so that a mistake shows at once.
    let mut scenarios = Vec::new();
    for file in files {
        let scenario = parse::file(&file)?;
        if scenario.short || !options.short {
            scenarios.push((file, scenario));
        }
    }
    if options.list {
        for (_, scenario) in &scenarios {
            let nodes = plan::Plan::new(scenario).nodes.len();
            println!(
                "{:22} {nodes:4} nodes {:5.0} s  {}",
                scenario.name, scenario.lasts_s, scenario.title
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(missing) = tools::missing() {
        return Err(BadInput(missing).into());
    }
    let machine = Machine::look();
    if !machine.has_namespaces() {
        return Err(
            BadInput("this machine gives no network namespaces; run it as root".into()).into(),
        );
    }
    Driver::new(options, machine)?.play_all(scenarios)
}

struct Driver<'a> {
    options: &'a Options,
    machine: Machine,
    lab: PathBuf,
    binary: PathBuf,
    named: PathBuf,
    out: PathBuf,
    interrupted: Arc<AtomicBool>,
    rows: Vec<Row>,
}

struct Running {
    name: String,
    lasts_s: f64,
    worker: Child,
    out: PathBuf,
    began: Instant,
}

impl<'a> Driver<'a> {
    fn new(options: &'a Options, machine: Machine) -> Result<Self> {
        let interrupted = interrupted()?;
        let named = options.binary.locate()?;
        let out = match &options.keep {
            Some(folder) => folder.clone(),
            None => scratch()?.join(format!("places-{}", now_ns() / 1_000_000_000)),
        };
        fs::create_dir_all(&out).with_context(|| format!("can't make {}", out.display()))?;
        let out = out
            .canonicalize()
            .with_context(|| format!("there is no {}", out.display()))?;
        if fs::read_dir(&out)
            .context("can't look into it")?
            .next()
            .is_some()
        {
            bail!(
                "{} is not empty: an earlier run's results are kept there",
                out.display()
            );
        }
        // Copies, so that a build during the run doesn't change the programs under test.
        let keep = |from: &Path, name: &str| -> Result<PathBuf> {
            let to = out.join(name);
            fs::copy(from, &to).with_context(|| format!("can't copy {}", from.display()))?;
            Ok(to)
        };
        let own = std::env::current_exe().context("where the lab's own program is")?;
        Ok(Self {
            options,
            machine,
            lab: keep(&own, "lab")?,
            binary: keep(&named, "area-net")?,
            named,
            out,
            interrupted,
            rows: Vec::new(),
        })
    }

    fn play_all(mut self, scenarios: Vec<(PathBuf, Scenario)>) -> Result<ExitCode> {
        println!("# The lab's places: {}\n", self.named.display());
        println!("- everything is kept in {}", self.out.display());
        if cfg!(debug_assertions) {
            println!("- **a debug build**: no figure means anything");
        }
        println!("\n{}", table::HEAD.trim_end());
        let count = scenarios.len();
        let all = scenarios
            .into_iter()
            .cycle()
            .take(count * self.options.repeat);
        let numbered = all
            .enumerate()
            .map(|(number, (file, scenario))| (number, file, scenario));
        let (small, large): (Vec<Waiting>, Vec<Waiting>) =
            numbered.partition(|(_, _, scenario)| plan::Plan::new(scenario).nodes.len() <= SMALL);
        self.play(small, self.options.jobs.max(1))?;
        self.play(large, 1)?;
        println!("\n{}", table::sum(&self.rows));
        println!("logs, timelines and commands: {}", self.out.display());
        for name in ["lab", "area-net"] {
            fs::remove_file(self.out.join(name)).context("can't remove a copy")?;
        }
        if self.interrupted.load(Ordering::Relaxed) {
            eprintln!("interrupted");
            return Ok(ExitCode::from(130));
        }
        let good = self.rows.iter().all(Row::good);
        Ok(if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// Plays these scenarios, so many in parallel.
    fn play(&mut self, waiting: Vec<Waiting>, jobs: usize) -> Result<()> {
        let mut waiting = waiting.into_iter();
        let mut running: Vec<Running> = Vec::new();
        while !self.interrupted.load(Ordering::Relaxed) {
            while running.len() < jobs
                && let Some((number, file, scenario)) = waiting.next()
            {
                running.push(self.start(number, &file, &scenario)?);
            }
            if running.is_empty() {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
            let mut still = Vec::new();
            for mut one in running {
                match Self::works(&mut one)? {
                    true => still.push(one),
                    false => self.collect(&one)?,
                }
            }
            running = still;
        }
        for one in &mut running {
            end(&mut one.worker)?;
        }
        Ok(())
    }

    fn start(&self, number: usize, file: &Path, scenario: &Scenario) -> Result<Running> {
        let out = self
            .out
            .join(format!("{:02}-{}", number + 1, scenario.name));
        fs::create_dir_all(&out).with_context(|| format!("can't make {}", out.display()))?;
        let copy = out.join("scenario.toml");
        fs::copy(file, &copy).with_context(|| format!("can't copy {}", file.display()))?;
        let job = Job {
            file: copy,
            binary: self.binary.clone(),
            out: out.clone(),
            work: PathBuf::from(WORK),
        };
        let path = out.join("job.json");
        let text = serde_json::to_string(&job).context("a job is JSON")?;
        fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
        eprintln!("{}: up to {:.0} s", scenario.name, scenario.lasts_s);
        let command: [OsString; 4] = [
            self.lab.clone().into(),
            "places".into(),
            "--worker".into(),
            path.into(),
        ];
        let worker = Worker {
            command: &command,
            out: &out,
            reads: &[&job.binary, &job.file],
        };
        Ok(Running {
            name: scenario.name.clone(),
            lasts_s: scenario.lasts_s,
            worker: self.machine.start(Place::Kernel, &worker)?,
            out,
            began: Instant::now(),
        })
    }

    /// Whether the worker still works. It is ended if it takes too long.
    fn works(one: &mut Running) -> Result<bool> {
        if one
            .worker
            .try_wait()
            .context("can't ask for a worker's end")?
            .is_some()
        {
            return Ok(false);
        }
        if one.began.elapsed() > Duration::from_secs_f64(one.lasts_s) + MARGIN {
            end(&mut one.worker)?;
            return Ok(false);
        }
        Ok(true)
    }

    fn collect(&mut self, one: &Running) -> Result<()> {
        let mut row = Row {
            name: one.name.clone(),
            place: "kernel",
            verdicts: Vec::new(),
            failure: None,
        };
        match fs::read_to_string(run::result(&one.out)) {
            Ok(text) => {
                let found: Found =
                    serde_json::from_str(&text).context("a worker's result is JSON")?;
                row.verdicts = found.verdicts;
                row.failure = found.failure;
            }
            Err(_) => {
                let console = fs::read_to_string(one.out.join("console")).unwrap_or_default();
                let lines: Vec<&str> = console.lines().rev().take(5).collect();
                let words = lines.into_iter().rev().collect::<Vec<_>>().join(" / ");
                row.failure = Some(format!(
                    "no result after {} s: {words}",
                    one.began.elapsed().as_secs()
                ));
            }
        }
        print!("{}", table::lines(&row));
        self.rows.push(row);
        Ok(())
    }
}

/// The worker: plays one job and writes its result.
pub(crate) fn work(job: &Path) -> Result<ExitCode> {
    let text = fs::read_to_string(job).with_context(|| format!("can't read {}", job.display()))?;
    let job: Job = serde_json::from_str(&text).context("this is no job")?;
    let found = run::play(&job).unwrap_or_else(|error| Found {
        verdicts: Vec::new(),
        failure: Some(format!("{error:#}")),
    });
    let result = serde_json::to_string_pretty(&found).context("a result is JSON")?;
    let path = run::result(&job.out);
    // By a rename, so that the driver never reads half of it.
    atomic_file::write(&path, result.as_bytes(), Care::default())
        .with_context(|| format!("can't write {}", path.display()))?;
    if let Some(failure) = found.failure {
        bail!("{failure}");
    }
    Ok(ExitCode::SUCCESS)
}
