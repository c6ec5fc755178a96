//! Plays scenarios in worker processes, some of them in parallel, and prints the table of their promises.
//!
//! A worker is the lab's own program in namespaces of its own. It gets its job in a file, and writes what it found to another.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use area_net::atomic_file::{self, Care};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::kernel::now_ns;
use super::place::{Machine, Place, Worker, end};
use super::table::{self, Row, Verdict};
use super::{interrupted, scratch};

/// Time allowed beyond a scenario's own length. It covers booting, building its places, and judging on a busy machine.
const MARGIN: Duration = Duration::from_secs(120);

/// The time between two looks at the workers.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The time between two lines that say that workers still run.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The last lines of a worker's output that are shown if it has no result.
const LAST_WORDS: usize = 5;

/// A scenario that waits to be played.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// The scenario's name.
    pub(crate) name: String,
    /// Its length.
    pub(crate) lasts_s: f64,
    /// Its file.
    pub(crate) file: PathBuf,
    /// Where it is played, or why that is impossible here.
    pub(crate) place: Result<Place, String>,
}

/// The parts from which a job is made.
pub(crate) struct Order {
    /// The scenario's file: a copy.
    pub(crate) file: PathBuf,
    /// The binary that the nodes run: a copy.
    pub(crate) binary: PathBuf,
    /// The folder for results.
    pub(crate) out: PathBuf,
    /// Where the worker runs.
    pub(crate) place: Place,
}

/// The result of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    /// One verdict per promise.
    pub(crate) verdicts: Vec<Verdict>,
    /// The reason why the scenario did not run to its end, if it didn't.
    pub(crate) failure: Option<String>,
}

/// A scenario that is being played.
struct Running {
    task: Task,
    place: Place,
    worker: Child,
    out: PathBuf,
    began: Instant,
}

/// See the module's documentation.
pub(crate) struct Crew {
    /// The lab's subcommand, which is that of the workers as well.
    command: &'static str,
    machine: Machine,
    lab: PathBuf,
    /// The path of the binary, as the user named it or as cargo built it.
    named: PathBuf,
    binary: PathBuf,
    out: PathBuf,
    interrupted: Arc<AtomicBool>,
    /// How often each scenario is played.
    repeat: usize,
    rows: Vec<Row>,
    count: usize,
}

impl Crew {
    /// Results go to the folder `keep`, or to a new one. Each scenario is played `repeat` times, with
    /// the binary that is `named`.
    pub(crate) fn new(
        command: &'static str,
        machine: Machine,
        (keep, repeat): (Option<&Path>, usize),
        named: PathBuf,
    ) -> Result<Self> {
        let interrupted = interrupted()?;
        let out = match keep {
            Some(folder) => folder.to_owned(),
            None => scratch()?.join(format!("{command}-{}", now_ns() / 1_000_000_000)),
        };
        fs::create_dir_all(&out).with_context(|| format!("can't make {}", out.display()))?;
        let out = out
            .canonicalize()
            .with_context(|| format!("there is no {}", out.display()))?;
        let mut there = fs::read_dir(&out).context("can't look into it")?;
        if there.next().is_some() {
            bail!(
                "{} is not empty: an earlier run's results are kept there",
                out.display()
            );
        }
        // Workers run copies, so that a build during the run doesn't change the programs under test.
        let copy = |from: &Path, name: &str| -> Result<PathBuf> {
            let to = out.join(name);
            fs::copy(from, &to).with_context(|| format!("can't copy {}", from.display()))?;
            Ok(to)
        };
        let own = std::env::current_exe().context("where the lab's own program is")?;
        Ok(Self {
            command,
            machine,
            lab: copy(&own, "lab")?,
            binary: copy(&named, "area-net")?,
            named,
            out,
            interrupted,
            repeat,
            rows: Vec::new(),
            count: 0,
        })
    }

    /// Prints what comes before the table: a title, facts about this machine, and the table's header.
    pub(crate) fn begin(&self, title: &str, facts: &[String]) {
        println!("# {title}: {}\n", self.named.display());
        for fact in facts {
            println!("- {fact}");
        }
        println!("- everything is kept in {}", self.out.display());
        if cfg!(debug_assertions) {
            println!("- **a debug build**: no figure means anything");
        }
        println!("\n{}", table::HEAD.trim_end());
    }

    /// Plays these scenarios, at most `jobs` in parallel. `job` makes what the worker reads.
    pub(crate) fn play<J: Serialize>(
        &mut self,
        tasks: &[Task],
        jobs: usize,
        job: impl Fn(Order) -> J,
    ) -> Result<()> {
        let rounds = std::iter::repeat_n(tasks, self.repeat);
        let mut waiting: VecDeque<Task> = rounds.flatten().cloned().collect();
        let mut running: Vec<Running> = Vec::new();
        let mut said = Instant::now();
        while !self.is_interrupted() {
            if waiting.is_empty() && running.is_empty() {
                break;
            }
            while running.len() < jobs
                && let Some(task) = waiting.pop_front()
            {
                match task.place.clone() {
                    Ok(place) => running.push(self.start(task, place, &job)?),
                    Err(why) => self.done(&task.name, "nowhere", Vec::new(), Some(why)),
                }
            }
            std::thread::sleep(LOOK_EVERY);
            let mut still = Vec::new();
            for mut one in running {
                match works(&mut one)? {
                    true => still.push(one),
                    false => self.collect(&one)?,
                }
            }
            running = still;
            if said.elapsed() > SAY_EVERY {
                said = Instant::now();
                for Running { task, began, .. } in &running {
                    eprintln!(
                        "{}: {} s of {:.0}; {} more wait",
                        task.name,
                        began.elapsed().as_secs(),
                        task.lasts_s,
                        waiting.len()
                    );
                }
            }
        }
        for one in &mut running {
            end(&mut one.worker)?;
        }
        Ok(())
    }

    /// Prints the sum. The exit status says whether every scenario ran to its end and kept every promise.
    pub(crate) fn finish(self) -> Result<ExitCode> {
        println!("\n{}", table::sum(&self.rows));
        println!("logs, timelines and commands: {}", self.out.display());
        for copy in [&self.lab, &self.binary] {
            fs::remove_file(copy).context("can't remove a copy")?;
        }
        if self.is_interrupted() {
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

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn start<J: Serialize>(
        &mut self,
        task: Task,
        place: Place,
        job: impl Fn(Order) -> J,
    ) -> Result<Running> {
        self.count += 1;
        let out = self.out.join(format!("{:02}-{}", self.count, task.name));
        fs::create_dir_all(&out).with_context(|| format!("can't make {}", out.display()))?;
        let file = out.join("scenario.toml");
        fs::copy(&task.file, &file)
            .with_context(|| format!("can't copy {}", task.file.display()))?;
        let job = job(Order {
            file: file.clone(),
            binary: self.binary.clone(),
            out: out.clone(),
            place,
        });
        let path = out.join("job.json");
        let text = serde_json::to_string(&job).context("a job is JSON")?;
        fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
        let lasts_s = task.lasts_s;
        eprintln!("{}: up to {lasts_s:.0} s, {}", task.name, place.words());
        let command: [OsString; 4] = [
            self.lab.clone().into(),
            self.command.into(),
            "--worker".into(),
            path.into(),
        ];
        let worker = Worker {
            command: &command,
            out: &out,
            reads: &[&self.binary, &file],
        };
        Ok(Running {
            worker: self.machine.start(place, &worker)?,
            task,
            place,
            out,
            began: Instant::now(),
        })
    }

    fn collect(&mut self, one: &Running) -> Result<()> {
        let found = match fs::read_to_string(result(&one.out)) {
            Ok(text) => serde_json::from_str(&text).context("a worker's result is JSON")?,
            Err(_) => {
                let console = fs::read_to_string(one.out.join("console")).unwrap_or_default();
                let lines: Vec<&str> = console.lines().rev().take(LAST_WORDS).collect();
                let words = lines.into_iter().rev().collect::<Vec<_>>().join(" / ");
                let after_s = one.began.elapsed().as_secs();
                Found {
                    verdicts: Vec::new(),
                    failure: Some(format!("no result after {after_s} s: {words}")),
                }
            }
        };
        let place = one.place.words();
        self.done(&one.task.name, place, found.verdicts, found.failure);
        Ok(())
    }

    fn done(
        &mut self,
        name: &str,
        place: &'static str,
        verdicts: Vec<Verdict>,
        failure: Option<String>,
    ) {
        let row = Row {
            name: name.to_owned(),
            place,
            verdicts,
            failure,
        };
        print!("{}", table::lines(&row));
        self.rows.push(row);
    }
}

/// Whether the worker still works. It is ended if it takes too long.
fn works(one: &mut Running) -> Result<bool> {
    let ended = one
        .worker
        .try_wait()
        .context("can't ask for a worker's end")?;
    if ended.is_some() {
        return Ok(false);
    }
    if one.began.elapsed() > Duration::from_secs_f64(one.task.lasts_s) + MARGIN {
        end(&mut one.worker)?;
        return Ok(false);
    }
    Ok(true)
}

fn result(out: &Path) -> PathBuf {
    out.join("result.json")
}

/// The worker: plays the job in the file and writes the result beside it.
pub(crate) fn work<J: DeserializeOwned>(
    file: &Path,
    play: impl FnOnce(&J) -> Result<Found>,
) -> Result<ExitCode> {
    let text =
        fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    let job: J = serde_json::from_str(&text).context("this is no job")?;
    let found = play(&job).unwrap_or_else(|error| Found {
        verdicts: Vec::new(),
        failure: Some(format!("{error:#}")),
    });
    let text = serde_json::to_string_pretty(&found).context("a result is JSON")?;
    let path = result(file.parent().context("a job is in a folder")?);
    // By a rename, so that nobody reads half of it.
    atomic_file::write(&path, text.as_bytes(), Care::default())
        .with_context(|| format!("can't write {}", path.display()))?;
    match found.failure {
        Some(failure) => bail!("{failure}"),
        None => Ok(ExitCode::SUCCESS),
    }
}
