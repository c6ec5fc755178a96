//! A soak: real processes for hours under churn, loss and attack at once.
//!
//! `cargo run -p area-net-lab --release -- soak -h` explains the options; `docs/lab.md` says what is done and what must hold.
//!
//! [`plan`] says when the network is attacked and when it rests, and [`churn`] who is killed, stopped or frozen. [`mod@run`] does it to the
//! [`nodes`], and writes each deed, each sample and each view that was false to the [`record`]. [`truth`] compares the views with who
//! runs. [`judge`] reads the record alone, so that a soak that still runs can be judged.

mod churn;
mod judge;
mod nodes;
mod options;
mod plan;
mod record;
mod report;
mod run;
mod truth;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use self::nodes::Nodes;
pub(crate) use self::options::Options;
use self::plan::Times;
use self::record::{Conditions, Event, Writer};
use self::run::Soak;
use crate::attack;
use crate::shared::{BadInput, interrupted, isolate, kernel, scratch};

/// The nodes keep a small history, which is full before memory is judged. With 8 MiB, the default, it would grow for hours.
const HISTORY: &str = "network.controller.history.mib=1";

/// Plays a soak, or judges one.
pub(crate) fn run(options: Options) -> Result<ExitCode> {
    if let Some(folder) = &options.judge {
        if !record::file(folder).is_file() {
            let path = record::file(folder);
            return Err(BadInput(format!("there is no {}", path.display())).into());
        }
        return report(folder, options.json);
    }
    let mut attacks = attack::select(&options.only, false)?;
    attacks.retain(|attack| attack.name() != "none" || !options.only.is_empty());
    // This comes before the new namespace, because cargo can't download from inside it.
    let binary = options.common.binary.locate()?;
    let mut more: Vec<OsString> = Vec::new();
    if !options.common.binary.is_named() {
        more = vec!["--binary".into(), binary.clone().into()];
    }
    if !isolate::enter(&more)? {
        let why = "a soak needs a network namespace of its own, and none can be made here";
        return Err(BadInput(why.to_owned()).into());
    }
    attack::add_addresses()?;
    let began_s = kernel::now_ns() / 1_000_000_000;
    let out = match &options.out {
        Some(out) => out.clone(),
        None => scratch()?.join(format!("soak-{began_s}")),
    };
    if record::file(&out).exists() {
        let why = format!(
            "{} has a record already: name another folder",
            out.display()
        );
        return Err(BadInput(why).into());
    }
    fs::create_dir_all(&out).with_context(|| format!("can't make {}", out.display()))?;
    let record = Writer::new(&out)?;
    eprintln!("the record: {}", record::file(&out).display());

    let count = usize::from(options.nodes);
    let seed = options.seed.unwrap_or(began_s);
    let times = Times::of(options.lasts);
    let mut settings = vec![
        format!("network.controller.listen.addr={}", attack::HERE),
        HISTORY.to_owned(),
    ];
    settings.extend(options.common.setting.iter().cloned());
    let base = attack::scratch(options.common.scratch.as_deref())?;
    let random = |which| ChaCha8Rng::seed_from_u64(seed.rotate_left(1) ^ which);
    let nodes = Nodes::new(count, &base, &binary, &settings, random(0))?;
    let interrupted = interrupted()?;
    let began = Event::Began(Conditions {
        began_unix_s: began_s,
        nodes: count,
        elders: churn::elders(count),
        for_s: times.lasts.as_secs_f64(),
        round_s: times.round(attacks.len()).as_secs_f64(),
        seed,
        binary,
        settings,
    });
    let mut soak = Soak::new(
        nodes,
        times,
        &attacks,
        random(1),
        record,
        interrupted.clone(),
    )?;
    let end = soak.play(began);
    let held = end.and_then(|()| report(&out, options.json));
    if options.common.keep || !matches!(held, Ok(code) if code == ExitCode::SUCCESS) {
        let kept = soak.nodes.cluster.keep();
        let kept = kept.map(|kept| kept.display().to_string());
        eprintln!("kept: {}", kept.unwrap_or_default());
    }
    if interrupted.load(Ordering::Relaxed) {
        eprintln!("interrupted");
        return Ok(ExitCode::from(130));
    }
    held
}

/// Judges the record in that folder, and prints what it says.
fn report(folder: &Path, json: bool) -> Result<ExitCode> {
    let judgement = judge::judge(&record::read(folder)?)?;
    let text = serde_json::to_string_pretty(&judgement).context("a judgement is JSON")?;
    if json {
        println!("{text}");
    } else {
        print!("{}", report::table(&judgement));
    }
    if judgement.ended {
        let path = folder.join("result.json");
        fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(if judgement.held() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
