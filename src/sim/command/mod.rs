//! `area-net sim`: reads the scenario, runs it, and writes the report.

mod outputs;
mod seeing;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use super::parse::{self, Flags, ScenarioError, words_time};
use super::{Play, Progress, Recorder, Report, Scenario, fuzz, report, room};
use crate::membership::Time;
use crate::recording::ShowError;
use outputs::{check_files, is_stdout, write_file};
pub use seeing::SeeingArgs;
use seeing::{Pace, Showing};

/// How often progress is shown on a terminal, where one line is rewritten, and elsewhere, where each is a line of its own.
const SHOW_EVERY: Duration = Duration::from_millis(500);
const SAY_EVERY: Duration = Duration::from_secs(60);
/// The command line of `area-net sim`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    about = "Simulates a network of real cores or whole nodes in virtual time",
    long_about = ABOUT,
    after_help = EXAMPLES,
)]
pub struct SimArgs {
    /// Scenario file (TOML); without it, the flags describe the scenario
    #[arg(value_name = "SCENARIO")]
    pub scenario: Option<PathBuf>,

    #[command(flatten, next_help_heading = "Scenario (flags override the file)")]
    #[allow(missing_docs, reason = "clap takes a comment for a help text")]
    pub flags: Flags,

    /// Write the report as JSON; "-" is standard output, instead of the summary
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub json: Option<PathBuf>,

    /// Write the report as one HTML page with charts
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,

    #[command(flatten, next_help_heading = "Output")]
    #[allow(missing_docs, reason = "clap takes a comment for a help text")]
    pub seeing: SeeingArgs,

    /// Write all actions and events of cores to standard error, from this virtual time on
    #[arg(long, value_name = "TIME", help_heading = "Output")]
    pub log_from: Option<String>,

    /// Run this many random scenarios, from --seed on, of up to --nodes nodes; print those that fail, minimised
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["scenario", "json", "html", "record", "viewer", "serve", "speed", "log_from"], help_heading = "Output")]
    pub fuzz: Option<u64>,

    /// Don't show progress
    #[arg(long, help_heading = "Output")]
    pub quiet: bool,
}

const ABOUT: &str = "\
Simulates a network in virtual time, in one process. Every node runs its real core; connections, links and clocks are \
simulated. With --fidelity whole, QUIC, TLS and the event loop are real too, which takes several times as long. \
The scenario comes from a file, from flags, or from both; flags override the file. The same scenario with the same seed gives \
the same report, byte for byte. Invariants are checked all the time; a violation stops the run.";

const EXAMPLES: &str = "\
WHO is a node (7), a range (0..10), all, a random share (30%), a random number (any 5), the node with the most links (hub), \
the nodes that are down (down), or a group of the scenario. TIME is a number with a unit: 1500ms, 60s, 10min or 1h.

Examples:
  area-net sim --nodes 1000 --introduction chain
      a thousand nodes, each told of the one before it, all started at once
  area-net sim --nodes 300 --loss 5% --delay 40ms --kill 30%@60s --html report.html
      30 % are killed at once, at 5 % loss in each direction; with charts
  area-net sim --nodes 100 --partition 50%@60s --heal 11min --json -
      two halves are apart for ten minutes; the report as JSON
  area-net sim config/sim/hub.toml --seed 7
      a scenario that ships, with another seed
  area-net sim --fidelity whole --nodes 30 --loss 5% --kill 30%@30s
      9 of 30 whole nodes are killed
  area-net sim config/sim/hub.toml --serve --speed 10
      the run on a page, ten times as fast as it would be
  area-net sim --nodes 50 --kill 30%@60s --record run.gz
      what node 0 sees; area-net replay run.gz shows it
  area-net sim --fuzz 100 --nodes 30
      a hundred random scenarios; one that fails is minimised and printed as a file

The second example as a file:
  nodes = 300
  links = \"delay 40ms loss 5%\"     # the words of tc netem
  lasts = \"2min\"
  [[step]]
  at = \"60s\"
  kill = \"30%\"

Exit status: 0 the run ended, or was interrupted; 1 an invariant was violated; 2 bad input, nothing was run.";

/// An error of `area-net sim`.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The scenario is invalid.
    #[error("the scenario is invalid")]
    Scenario(#[from] ScenarioError),
    /// A flag is invalid.
    #[error("{flag}: {what}")]
    Flag {
        /// The flag as given.
        flag: String,
        /// A description.
        what: String,
    },
    /// The run would not fit into memory.
    #[error(
        "{nodes} nodes need about {} MiB, but only {} MiB are available; run fewer",
        needed >> 20,
        available >> 20
    )]
    Memory {
        /// The number of nodes.
        nodes: usize,
        /// The estimate, in bytes.
        needed: u64,
        /// The available memory, in bytes.
        available: u64,
    },
    /// A file can't be written.
    #[error("can't write {}", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The run can't be shown.
    #[error("--serve")]
    Show(#[source] ShowError),
    /// An invariant was violated.
    #[error("{0}")]
    Violated(String),
}

impl SimError {
    /// Whether the input is invalid, and nothing was run.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Scenario(_) | Self::Flag { .. } | Self::Memory { .. } | Self::Show(_) => true,
            Self::Unwritable { .. } | Self::Violated(_) => false,
        }
    }
}

/// Executes the command line; `stop` ends the run early.
///
/// # Errors
/// If the input is invalid, a file can't be written, or an invariant was violated.
pub fn run(args: &SimArgs, stop: &Arc<AtomicBool>) -> Result<(), SimError> {
    if let Some(count) = args.fuzz {
        return search(args, count, stop);
    }
    let scenario = parse::read(args.scenario.as_deref(), &args.flags)?;
    let log_from = args.log_from.as_ref().map(|text| {
        words_time(text).map_err(|what| SimError::Flag {
            flag: format!("--log-from {text}"),
            what,
        })
    });
    let log_from = log_from.transpose()?;
    check_memory(&scenario)?;
    check_files(args, &scenario)?;
    let mut showing = Showing::begin(&args.seeing)?;
    let mut recorder = seeing::recorder(args, &scenario, showing.as_ref())?;
    let mut pace = Pace::new(&args.seeing)?;
    let mut play = Play::new(&scenario);
    if let Some(recorder) = &mut recorder {
        play.record(recorder);
    }
    if let Some(from) = log_from {
        play.world.tap = Some(Box::new(move |now, place, what| {
            log(from, now, place, what)
        }));
    }
    let mut show = Show::new(
        !args.quiet && log_from.is_none(),
        io::stderr().is_terminal(),
    );
    let report = super::report_of(&scenario, play, |progress| {
        show.show(progress);
        if let Some(showing) = &mut showing {
            showing.tell();
        }
        pace.wait(progress.now, stop);
        !stop.load(Ordering::Relaxed)
    });
    show.clear();
    let recording = recorder.map(Recorder::finish);
    let written = write(args, &report, recording.as_deref());
    if let Some(showing) = showing {
        showing.end(report.violation.as_ref(), stop);
    }
    let Some(violation) = &report.violation else {
        return written;
    };
    let mut what = format!(
        "invariant violated after {} of virtual time, seed {}: {} ({}); replay it with logs: {}",
        seconds(violation.at_ms),
        scenario.seed,
        violation.what,
        violation.rule,
        again(args, scenario.seed, violation.at_ms),
    );
    if let Err(error) = written {
        what = format!("{what}; and {error}");
    }
    Err(SimError::Violated(what))
}

/// Runs random scenarios, and prints those that fail.
fn search(args: &SimArgs, count: u64, stop: &Arc<AtomicBool>) -> Result<(), SimError> {
    let flags = Flags {
        nodes: args.flags.nodes.clone().or(Some("30".to_owned())),
        seed: args.flags.seed.clone(),
        fidelity: args.flags.fidelity.clone(),
        tuning: args.flags.tuning.clone(),
        ..Flags::default()
    };
    let said = Flags {
        nodes: args.flags.nodes.clone(),
        ..flags.clone()
    };
    let refuse = |what: &str| SimError::Flag {
        flag: format!("--fuzz {count}"),
        what: what.to_owned(),
    };
    if said != args.flags {
        return Err(refuse(
            "the scenarios are random; only --nodes, --seed, --fidelity and --tuning can be combined with it",
        ));
    }
    let scenario = parse::read(None, &flags)?;
    if scenario.nodes < fuzz::LEAST_NODES {
        return Err(refuse("random scenarios need at least five nodes"));
    }
    check_memory(&scenario)?;
    let Scenario {
        seed,
        nodes,
        fidelity,
        tuned,
        ..
    } = scenario;
    let go_on = || !stop.load(Ordering::Relaxed);
    let (mut tried, mut found) = (0, 0);
    for nth in 0..count {
        let seed = seed.wrapping_add(nth);
        let finding = fuzz::fuzz(seed, nodes, fidelity, &tuned, |_| go_on());
        // After an interrupt it may not be fully minimised.
        if let Some(finding) = &finding {
            found += 1;
            say(&format!("{}\n", finding.toml))?;
        }
        tried += u64::from(finding.is_some() || go_on());
        if !go_on() {
            break;
        }
        if !args.quiet {
            let _ = writeln!(
                io::stderr(),
                "seed {seed}: {tried} of {count} scenarios run, {found} failed"
            );
        }
    }
    if found == 0 {
        return say(&format!("{tried} scenarios run, none failed\n"));
    }
    let what = format!("{found} of {tried} scenarios failed; save one as a file to run it again");
    Err(SimError::Violated(what))
}

fn say(text: &str) -> Result<(), SimError> {
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|source| SimError::Unwritable {
        file: PathBuf::from("standard output"),
        source,
    })
}

fn seconds(ms: f64) -> String {
    format!("{:.3} s", ms / 1000.0)
}

/// The command line that repeats the run, with logs from shortly before the violation.
fn again(args: &SimArgs, seed: u64, at_ms: f64) -> String {
    let flags = Flags {
        seed: Some(seed.to_string()),
        ..args.flags.clone()
    };
    let from = (at_ms - 10_000.0).max(0.0).floor();
    let mut words = vec!["area-net".to_owned(), "sim".to_owned()];
    words.extend(
        args.scenario
            .as_ref()
            .map(|file| file.display().to_string()),
    );
    words.extend(flags.arguments());
    words.extend(["--log-from".to_owned(), format!("{from}ms")]);
    let words: Vec<String> = words.iter().map(|word| as_shell_word(word)).collect();
    words.join(" ")
}

fn as_shell_word(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(&byte);
    if word.bytes().all(plain) && !word.is_empty() {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn log(from: Time, now: Time, place: usize, what: &std::fmt::Arguments<'_>) {
    if now >= from {
        // If nobody reads it, the log may be lost.
        let _ = writeln!(
            io::stderr(),
            "{:>12.6} {place:>5} {what}",
            now.as_secs_f64()
        );
    }
}

/// Writes all outputs, even if one fails; returns the first error.
fn write(args: &SimArgs, report: &Report, recording: Option<&[u8]>) -> Result<(), SimError> {
    let json = args.json.as_deref();
    let to_stdout = json.is_some_and(is_stdout);
    let json = json.filter(|_| !to_stdout);
    let text = if to_stdout {
        report::json::render(report)
    } else {
        report::summary::render(report)
    };
    let run = recording.filter(|_| seeing::plays_back(report.nodes));
    let written = [
        json.map_or(Ok(()), |file| {
            write_file(file, report::json::render(report).as_bytes())
        }),
        args.html.as_deref().map_or(Ok(()), |file| {
            write_file(file, report::html::render_with(report, run).as_bytes())
        }),
        seeing::write(args, recording),
        say(&text),
    ];
    written.into_iter().collect()
}

fn check_memory(scenario: &Scenario) -> Result<(), SimError> {
    let needed = room::needed(scenario);
    match room::available() {
        Some(available) if needed > available => Err(SimError::Memory {
            nodes: scenario.nodes,
            needed,
            available,
        }),
        Some(_) | None => Ok(()),
    }
}

/// Shows progress: on a terminal in one line, elsewhere a line now and then.
struct Show {
    on: bool,
    terminal: bool,
    begun: Instant,
    shown: Instant,
    happened: u64,
}

impl Show {
    fn new(on: bool, terminal: bool) -> Self {
        let now = Instant::now();
        Self {
            on,
            terminal,
            begun: now,
            shown: now,
            happened: 0,
        }
    }

    fn show(&mut self, progress: &Progress) {
        let every = if self.terminal { SHOW_EVERY } else { SAY_EVERY };
        if !self.on || self.shown.elapsed() < every {
            return;
        }
        let (before, behind) = if self.terminal {
            ("\r\x1b[K", "")
        } else {
            ("", "\n")
        };
        let spell = self.shown.elapsed().as_secs_f64();
        let rate = (progress.happened - self.happened) as f64 / spell;
        self.shown = Instant::now();
        self.happened = progress.happened;
        let done = progress.now.as_secs_f64() / progress.lasts.as_secs_f64();
        let left = self.begun.elapsed().as_secs_f64() * (1.0 - done) / done.max(1e-6);
        let standing = &progress.standing;
        let exact = 100.0 * standing.exact as f64 / standing.up.max(1) as f64;
        let _ = write!(
            io::stderr(),
            "{before}{:.1} of {:.0} s, {} nodes up, {exact:.1} % of views exact, {:.0} k events/s, about {left:.0} s left{behind}",
            progress.now.as_secs_f64(),
            progress.lasts.as_secs_f64(),
            standing.up,
            rate / 1000.0,
        );
    }

    fn clear(&self) {
        if self.on && self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
