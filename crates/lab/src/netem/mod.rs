//! The built-in impairment held against the kernel's netem: the same words, the same packets, the same figures?
//!
//! `cargo run -p area-net-lab --release -- netem -h` explains its options; without any it takes some minutes.
//!
//! Every scenario sends numbered packets over loopback, one every few milliseconds, and each figure is taken three times:
//!
//! - *netem*: over a plain socket, with `tc qdisc add dev lo root netem ...`;
//! - *socket*: without netem, over an [`ImpairedSocket`](area_net::impair::ImpairedSocket), in the same place;
//! - *model*: the [`LinkModel`](area_net::impair::LinkModel) alone, in virtual time, a hundred times.
//!
//! The model's hundred runs tell how much chance alone makes runs of that length differ, also where losses come in bursts. A figure
//! of the other two agrees where it is within four and a half such deviations of the model's mean, and a little for machines:
//! timers and wake-ups are late, by up to 0.6 ms with netem and by up to 2 ms with the socket (1 ms more for the latest twentieth).
//! What arrived while the machine stood still, as the sender could tell from its own lateness, is left out of the delays.
//!
//! And it gives many texts, good and bad, to `tc` and to our parser: both must take the same ones, and what `tc` then prints must
//! mean to us what the text did. Where we mean to differ is said beside those texts, in `netem/words.rs`.
//!
//! It is played in new namespaces, in this kernel where it has `sch_netem`, else in User-Mode Linux; so nothing outside notices. All
//! that is written is in a scratch folder in the target folder, which is removed at the end.
//!
//! # Where they differ, and why
//!
//! - The socket's delays are 0.5 to 2 ms longer: tokio's timers tick in whole milliseconds, and round up.
//! - `corrupt`: the kernel turns over a bit anywhere in the frame, and the checksums of the receiver's kernel then drop the packet; we
//!   turn it over in what the socket sends, so it arrives, and QUIC drops it. Damaged is damaged: both are counted as that. A bit
//!   in a header that no checksum covers does no harm; that is one in a hundred of the kernel's.
//! - `duplicate PERCENT CORRELATION`: tc hands that correlation to the kernel only if `delay` or `loss` have one as well, and forgets
//!   it otherwise. The kernel knows it, and so do we.
//! - The correlation of delays does next to nothing in the kernel, and so in the model: the figure is near 0 whatever it says.

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

/// What everything may take, on a busy machine.
const LIMIT: Duration = Duration::from_secs(9 * 60 + 30);

/// How often we look for results.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Holds the built-in impairment against the kernel's netem.
#[derive(Debug, Args)]
#[command(about, long_about = None)]
pub(crate) struct Options {
    /// Only scenarios whose words contain this, and no texts
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,

    /// In User-Mode Linux, even if this kernel has netem
    #[arg(long)]
    in_uml: bool,

    /// The harness's own: plays everything, and writes results to this folder
    #[arg(long, hide = true)]
    worker: Option<PathBuf>,
}

/// Compares, or is the worker that does.
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
    // One that has ended already is only reaped.
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

/// Takes in what the worker finds, until it has done all. Returns false where we were interrupted.
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

/// The whole lines that a file has grown by.
fn new_lines(path: &Path, taken: &mut u64) -> Result<String> {
    // It isn't there before the first result.
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
