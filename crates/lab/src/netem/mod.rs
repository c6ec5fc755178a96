//! Compares the built-in impairment with the kernel's netem: the same words and the same packets should give the same figures.
//!
//! `cargo run -p area-net-lab --release -- netem -h` explains the options. Without options, it takes some minutes.
//!
//! Every scenario sends numbered packets over loopback, one every few milliseconds. Each figure is measured three times:
//!
//! - *netem*: over a plain socket, with `tc qdisc add dev lo root netem ...`;
//! - *socket*: without netem, over an [`ImpairedSocket`](area_net::impair::ImpairedSocket), in the same place;
//! - *model*: the [`LinkModel`](area_net::impair::LinkModel) alone, in virtual time, a hundred times.
//!
//! The model's hundred runs give the standard deviation between runs of that length, also for losses in bursts. A figure of the
//! other two agrees if it is within 4.5 standard deviations of the model's mean, plus an allowance for late timers and wake-ups.
//! The allowance is up to 0.6 ms with netem and up to 2 ms with the socket, and 1 ms more for the 95th percentile. The delays
//! leave out packets that arrived during a stall of the machine, which the sender detects by its own lateness.
//!
//! The comparison also gives many texts, valid and invalid, to `tc` and to our parser. Both must accept the same texts, and our
//! parser must read the output of `tc` as it read the text. `netem/words.rs` lists the intended differences beside the texts.
//!
//! It runs in new namespaces, so it affects nothing outside. It uses this kernel if that has `sch_netem`, else User-Mode Linux.
//! It writes only to a scratch folder in the target folder, and removes that at the end.
//!
//! # Known differences
//!
//! - The socket's delays are 0.5 to 2 ms longer, because tokio's timers tick in whole milliseconds and round up.
//! - `corrupt`: the kernel flips a bit anywhere in the frame, and the receiver's kernel drops the packet for its checksum. We
//!   flip a bit in the payload that the socket sends, so the packet arrives and QUIC drops it. Both count as damaged. About one
//!   in a hundred of the kernel's flips does no harm, because it hits a header bit that no checksum covers.
//! - `duplicate PERCENT CORRELATION`: tc passes that correlation to the kernel only if `delay` or `loss` has one as well, and
//!   drops it otherwise. The kernel supports it, and so do we.
//! - The correlation of delays has almost no effect in the kernel, and so in the model: the figure is near 0 for any value.

mod figures;
mod report;
mod scenario;
mod traffic;
mod words;
mod worker;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::netem::report::{Report, Verdict};
use crate::netem::scenario::{SCENARIOS, Scenario};
use crate::netem::worker::{Outcome, RESULTS};
use crate::shared::place::{Machine, Place, Worker};
use crate::shared::{interrupted, place, scratch};

/// The time limit for the whole comparison, which leaves room for a busy machine.
const LIMIT: Duration = Duration::from_secs(9 * 60 + 30);

/// The interval at which the driver polls for results.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Compares the built-in impairment with the kernel's netem.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run only scenarios whose words contain this, and no texts
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,

    /// Run in User-Mode Linux, even if this kernel has netem
    #[arg(long)]
    in_uml: bool,

    /// For the harness itself: runs everything and writes results to this folder
    #[arg(long, hide = true)]
    worker: Option<PathBuf>,
}

/// Runs the driver, or the worker if the hidden option asks for it.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    match &options.worker {
        Some(folder) => worker::work(folder, &options.scenarios(), options.only.is_none())
            .map(|()| ExitCode::SUCCESS),
        None => compare(options),
    }
}

impl Options {
    fn scenarios(&self) -> Vec<&'static Scenario> {
        let only = self.only.as_deref().unwrap_or_default();
        SCENARIOS
            .iter()
            .filter(|scenario| scenario.words.contains(only))
            .collect()
    }
}

fn compare(options: &Options) -> Result<ExitCode> {
    let interrupted = interrupted()?;
    let machine = Machine::look();
    let place = if machine.has_netem() && !options.in_uml {
        Place::Kernel
    } else {
        machine
            .uml()
            .map_err(anyhow::Error::msg)
            .context("nothing was compared: there is no netem here")?
    };
    let scenarios = options.scenarios();
    if scenarios.is_empty() {
        bail!("no scenario has such words");
    }
    println!(
        "# The built-in impairment and the kernel's netem ({})\n",
        place.words()
    );
    let mut report = Report::default();
    for scenario in &scenarios {
        report.model(scenario.words, traffic::model(scenario)?);
    }
    let scratch = tempfile::Builder::new()
        .prefix("netem-")
        .tempdir_in(scratch()?)
        .context("no scratch folder")?;
    let folder = scratch.path().canonicalize().context("it is there")?;
    let mut command: Vec<OsString> = vec![
        std::env::current_exe()
            .context("where our own program is")?
            .into(),
        "netem".into(),
        "--worker".into(),
        folder.clone().into(),
    ];
    if let Some(only) = &options.only {
        command.extend(["--only".into(), only.into()]);
    }
    let mut worker = machine.start(
        place,
        &Worker {
            command: &command,
            out: &folder,
            reads: &[],
        },
    )?;
    let followed = follow(&mut worker, &folder, &interrupted, &mut report);
    // A worker that has exited already is only reaped.
    if worker.try_wait().ok().flatten().is_none() {
        place::end(&mut worker)?;
    }
    if !followed? {
        eprintln!("interrupted");
        return Ok(ExitCode::from(130));
    }
    let (text, verdict) = report.text(&scenarios);
    println!("{text}");
    Ok(judge(verdict))
}

fn judge(verdict: Verdict) -> ExitCode {
    let Verdict {
        compared,
        apart,
        spoilt,
    } = verdict;
    if spoilt > 0 {
        println!("{spoilt} figures were spoilt: the machine stood still too often.");
    }
    if apart > 0 {
        println!("**{apart} of {compared} comparisons DISAGREE.**");
        return ExitCode::FAILURE;
    }
    println!("**All {compared} comparisons agree.**");
    ExitCode::SUCCESS
}

/// Collects the worker's results until it is done. Returns false if we were interrupted.
fn follow(
    worker: &mut Child,
    folder: &Path,
    interrupted: &AtomicBool,
    report: &mut Report,
) -> Result<bool> {
    let until = traffic::now_ns() + u64::try_from(LIMIT.as_nanos()).expect("minutes");
    let mut taken = 0;
    let mut asked = 0;
    loop {
        if interrupted.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let ended = worker.try_wait().context("can't ask for its end")?;
        let lines = new_lines(&folder.join(RESULTS), &mut taken)?;
        for line in lines.lines() {
            match serde_json::from_str(line).context("a result is JSON")? {
                Outcome::Netem(words, figures) => report.netem(words, figures),
                Outcome::Socket(words, figures) => {
                    eprintln!(
                        "{}",
                        if words.is_empty() {
                            "(nothing)"
                        } else {
                            &words
                        }
                    );
                    report.socket(words, figures);
                }
                Outcome::Asked(text) => {
                    asked += 1;
                    report.asked(text);
                    if asked == words::texts().count() {
                        eprintln!("{asked} texts");
                    }
                }
                Outcome::Done => return Ok(true),
                Outcome::Failed(why) => bail!("{why}"),
            }
        }
        if ended.is_some() {
            let console = fs::read_to_string(folder.join("console")).unwrap_or_default();
            let lines: Vec<&str> = console.lines().rev().take(3).collect();
            let words = lines.into_iter().rev().collect::<Vec<_>>().join(" / ");
            bail!("it ended without a result: {words}");
        }
        if traffic::now_ns() > until {
            bail!("it took too long: ended after {} s", LIMIT.as_secs());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Returns the complete lines that were appended to a file since `taken`.
fn new_lines(path: &Path, taken: &mut u64) -> Result<String> {
    // The file does not exist before the first result.
    let Ok(mut file) = File::open(path) else {
        return Ok(String::new());
    };
    let mut text = String::new();
    file.seek(SeekFrom::Start(*taken))
        .and_then(|_| file.read_to_string(&mut text))
        .context("can't read results")?;
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    *taken += text.len() as u64;
    Ok(text)
}
