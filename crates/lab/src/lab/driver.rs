//! The driver finds the scenarios, starts a worker for each and prints the table. The worker's entry point is here too.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use area_net::atomic_file::{self, Care};

use crate::lab::judge;
use crate::lab::machine::{self, Wish, canonical};
use crate::lab::options::Options;
use crate::lab::parse;
use crate::lab::record::Event;
use crate::lab::run::{self, Found, Job};
use crate::lab::scenario::Scenario;
use crate::lab::table::{self, Row};
use crate::lab::verdict::Verdict;
use crate::lab::words::BadScenario;
use crate::shared::kernel::now_ns;
use crate::shared::place::{Machine, Place, WORK, end};
use crate::shared::{interrupted, project, scratch};

/// Time allowed beyond the scenario's own length. It covers booting, starting and judging on a busy machine.
const MARGIN: Duration = Duration::from_secs(90);

/// How often the driver checks on its workers.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often the driver prints that it is still running.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// A folder in memory that every user can write to, on most machines.
const MEMORY: &str = "/dev/shm";

/// A scenario that waits to be played.
struct Entry {
    file: PathBuf,
    scenario: Scenario,
    place: Result<Place, String>,
}

/// A scenario that is being played.
struct Running {
    entry: Entry,
    worker: Child,
    out: PathBuf,
    began: Instant,
}

/// The folder of the shipped scenarios.
pub(crate) fn scenarios() -> PathBuf {
    project().join("crates/lab/scenarios")
}

/// Plays, lists or judges again, as the options ask.
pub(crate) fn drive(options: &Options) -> Result<ExitCode> {
    let folder = scenarios();
    let files = if options.scenarios.is_empty() {
        parse::shipped(&folder)?
    } else {
        let find = |name: &String| parse::find(&folder, name);
        options
            .scenarios
            .iter()
            .map(find)
            .collect::<Result<_, BadScenario>>()?
    };
    // Reads all scenarios before playing the first, so that a mistake shows at once.
    let mut scenarios = Vec::new();
    for file in files {
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
    let mut driver = Driver::new(options)?;
    let again = scenarios.iter().cloned().cycle();
    for (file, scenario) in again.take(scenarios.len() * options.repeat) {
        driver.add(file, scenario);
    }
    driver.play_all()
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

/// Plays all selected scenarios.
struct Driver<'a> {
    options: &'a Options,
    machine: Machine,
    wish: Wish,
    lab: PathBuf,
    /// The path of the binary, as the user named it or as cargo built it.
    named: PathBuf,
    /// The copy of that binary that the nodes run.
    binary: PathBuf,
    out: PathBuf,
    interrupted: Arc<AtomicBool>,
    alone: VecDeque<Entry>,
    beside: VecDeque<Entry>,
    rows: Vec<Row>,
    count: usize,
}

impl<'a> Driver<'a> {
    fn new(options: &'a Options) -> Result<Self> {
        let interrupted = interrupted()?;
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
        let binary = options.binary.locate()?;
        let out = match &options.keep {
            Some(folder) => folder.clone(),
            None => scratch()?.join(format!("lab-{}", now_ns() / 1_000_000_000)),
        };
        fs::create_dir_all(&out).with_context(|| format!("can't make {}", out.display()))?;
        let out = canonical(&out)?;
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
        // Workers run copies, so that a rebuild during the run does not change the programs under test.
        let keep = |from: &Path, name: &str| -> Result<PathBuf> {
            let to = out.join(name);
            fs::copy(from, &to).with_context(|| format!("can't copy {}", from.display()))?;
            Ok(to)
        };
        let own = std::env::current_exe().context("where the lab's own program is")?;
        Ok(Self {
            options,
            machine: Machine::look(),
            wish,
            lab: keep(&own, "lab")?,
            named: binary.clone(),
            binary: keep(&binary, "area-net")?,
            out,
            interrupted,
            alone: VecDeque::new(),
            beside: VecDeque::new(),
            rows: Vec::new(),
            count: 0,
        })
    }

    fn add(&mut self, file: PathBuf, scenario: Scenario) {
        let place = machine::place(&self.machine, &scenario, self.wish);
        let entry = Entry {
            file,
            scenario,
            place,
        };
        // Scenarios on an interface of this machine share it, so they can't run in parallel.
        if entry.scenario.alone || entry.place == Ok(Place::Here) {
            self.alone.push_back(entry);
        } else {
            self.beside.push_back(entry);
        }
    }

    fn play_all(mut self) -> Result<ExitCode> {
        println!("# The lab: {}\n", self.named.display());
        let netem = if self.machine.has_netem() {
            "has"
        } else {
            "has no"
        };
        println!("- this kernel {netem} sch_netem");
        println!("- everything is kept in {}", self.out.display());
        if cfg!(debug_assertions) {
            println!("- **a debug build**: no figure means anything");
        }
        println!("\n{}", table::HEAD.trim_end());
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.options.jobs.unwrap_or(processors).max(1);
        // Longest first: a long scenario that starts last would delay the end.
        self.beside
            .make_contiguous()
            .sort_by(|one, other| other.scenario.lasts_s.total_cmp(&one.scenario.lasts_s));
        let (alone, beside) = (
            std::mem::take(&mut self.alone),
            std::mem::take(&mut self.beside),
        );
        self.play(alone, 1)?;
        self.play(beside, jobs)?;
        println!("\n{}", table::sum(&self.rows));
        println!("logs, timelines and commands: {}", self.out.display());
        for name in ["lab", "area-net"] {
            fs::remove_file(self.out.join(name)).context("can't remove a copy")?;
        }
        if self.interrupted() {
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

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Plays these scenarios, at most `jobs` in parallel.
    fn play(&mut self, mut waiting: VecDeque<Entry>, jobs: usize) -> Result<()> {
        let mut running: Vec<Running> = Vec::new();
        let mut said = Instant::now();
        while !self.interrupted() {
            if waiting.is_empty() && running.is_empty() {
                return Ok(());
            }
            while running.len() < jobs
                && let Some(entry) = waiting.pop_front()
            {
                match entry.place.clone() {
                    Ok(place) => running.push(self.start(entry, place)?),
                    Err(why) => self.done(&entry, "nowhere", Vec::new(), Some(why)),
                }
            }
            std::thread::sleep(LOOK_EVERY);
            let mut still = Vec::new();
            for mut one in running {
                match self.look(&mut one)? {
                    true => still.push(one),
                    false => self.collect(one)?,
                }
            }
            running = still;
            if said.elapsed() > SAY_EVERY {
                said = Instant::now();
                for one in &running {
                    let (name, at) = (&one.entry.scenario.name, one.began.elapsed().as_secs());
                    eprintln!(
                        "{name}: {at} s of {:.0}; {} more wait",
                        one.entry.scenario.lasts_s,
                        waiting.len()
                    );
                }
            }
        }
        for mut one in running {
            end(&mut one.worker)?;
        }
        Ok(())
    }

    fn start(&mut self, entry: Entry, place: Place) -> Result<Running> {
        self.count += 1;
        let out = self
            .out
            .join(format!("{:02}-{}", self.count, entry.scenario.name));
        fs::create_dir_all(&out).with_context(|| format!("can't make {}", out.display()))?;
        let file = out.join("scenario.toml");
        fs::copy(&entry.file, &file)
            .with_context(|| format!("can't copy {}", entry.file.display()))?;
        let interface = match place {
            Place::Here => self.options.interface.clone(),
            Place::Kernel | Place::Uml => None,
        };
        let job = Job {
            file,
            short: self.options.short,
            binary: self.binary.clone(),
            work: match place {
                Place::Here if tempfile::tempdir_in(MEMORY).is_ok() => PathBuf::from(MEMORY),
                Place::Here => out.clone(),
                Place::Kernel | Place::Uml => PathBuf::from(WORK),
            },
            out: out.clone(),
            guest: place == Place::Uml,
            interface,
        };
        eprintln!(
            "{}: {:.0} s, {}",
            entry.scenario.name,
            entry.scenario.lasts_s,
            place.words()
        );
        let worker = machine::start(&self.machine, place, &job, &self.lab)?;
        Ok(Running {
            entry,
            worker,
            out,
            began: Instant::now(),
        })
    }

    /// Whether the worker still runs. Ends a worker that exceeds its time limit.
    fn look(&self, one: &mut Running) -> Result<bool> {
        if one
            .worker
            .try_wait()
            .context("can't ask for a worker's end")?
            .is_some()
        {
            return Ok(false);
        }
        let limit = Duration::from_secs_f64(one.entry.scenario.lasts_s) + MARGIN;
        if one.began.elapsed() > limit {
            end(&mut one.worker)?;
            return Ok(false);
        }
        Ok(true)
    }

    fn collect(&mut self, one: Running) -> Result<()> {
        let place = one.entry.place.clone().map_or("nowhere", Place::words);
        match fs::read_to_string(one.out.join("result.json")) {
            Ok(text) => {
                let found: Found =
                    serde_json::from_str(&text).context("a worker's result is JSON")?;
                self.done(&one.entry, place, found.verdicts, found.failure);
            }
            Err(_) => {
                let console = fs::read_to_string(one.out.join("console")).unwrap_or_default();
                let lines: Vec<&str> = console.lines().rev().take(3).collect();
                let words = lines.into_iter().rev().collect::<Vec<_>>().join(" / ");
                let why = format!(
                    "no result after {} s: {words}",
                    one.began.elapsed().as_secs()
                );
                self.done(&one.entry, place, Vec::new(), Some(why));
            }
        }
        Ok(())
    }

    fn done(
        &mut self,
        entry: &Entry,
        place: &'static str,
        verdicts: Vec<Verdict>,
        failure: Option<String>,
    ) {
        let row = Row {
            name: entry.scenario.name.clone(),
            place,
            verdicts,
            failure,
        };
        print!("{}", table::lines(&row));
        self.rows.push(row);
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
    let path = job.out.join("result.json");
    // The rename is atomic, so the driver never reads half a result.
    atomic_file::write(&path, result.as_bytes(), Care::default())
        .with_context(|| format!("can't write {}", path.display()))?;
    if found.failure.is_some() {
        bail!("{}", found.failure.unwrap_or_default());
    }
    Ok(ExitCode::SUCCESS)
}
