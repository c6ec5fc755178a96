//! A real attacker against real processes: what one hostile member can do to honest nodes, and what it must not be able to do.
//!
//! `cargo run -p area-net-lab --release -- attack -h` explains the options; `docs/attacks.md` has the table.
//!
//! Each run starts honest nodes with new keys in a new folder, on loopback in a network namespace of its own. The attacker is in this
//! process. It has joined as anybody can, and speaks the protocol through the library's own types ([`attacker`], [`forge`]). An attack
//! is a function that goes on until it is stopped; [`harness`] lets it begin, kills an honest node, starts newcomers, and measures.
//! [`bars`] says what must hold.

mod attacker;
mod bars;
mod conditions;
mod doors;
mod floods;
mod forge;
mod harness;
mod honest;
mod invented;
mod liars;
mod list;
mod options;
mod outcome;
mod report;
mod send;
mod sinks;
mod stage;
mod traces;
mod views;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result};

pub(crate) use self::attacker::Deeds;
use self::bars::{Bar, EVER};
use self::conditions::{Conditions, Times};
use self::harness::LOOPBACK;
pub(crate) use self::list::HERE;
use self::list::{ATTACKS, HOSTS};
pub(crate) use self::options::Options;
use self::outcome::Outcome;
pub(crate) use self::stage::Running;
use self::stage::{Deed, Stage};
pub(crate) use self::traces::panic_of;
pub(crate) use self::views::{View, Views};
use crate::shared::{BadInput, interrupted, isolate, kernel};

/// The network's name, unless a setting says otherwise.
const NETWORK: &str = "area-net";

/// An attack: what is done, where, and what must hold.
pub(crate) struct Attack {
    /// Its name on the command line.
    name: &'static str,
    /// What the attacker does.
    title: &'static str,
    /// Whether it is part of the short set.
    short: bool,
    /// The attack itself. It goes on until it is stopped.
    play: fn(Arc<Stage>) -> Deed,
    /// The addresses at which newcomers listen during the attack, one after another.
    newcomers: &'static [IpAddr],
    /// Whether their addresses matter.
    tells_newcomers_apart: bool,
    /// Where the attacker and the honest nodes are, if not at `::1`.
    at: Option<(IpAddr, IpAddr)>,
    /// What must hold besides what always must.
    bars: &'static [Bar],
}

impl Attack {
    const fn new(name: &'static str, title: &'static str, play: fn(Arc<Stage>) -> Deed) -> Self {
        Self {
            name,
            title,
            short: false,
            play,
            newcomers: &[LOOPBACK],
            tells_newcomers_apart: false,
            at: None,
            bars: &[],
        }
    }

    /// It is part of the short set.
    const fn short(mut self) -> Self {
        self.short = true;
        self
    }

    const fn bars(mut self, bars: &'static [Bar]) -> Self {
        self.bars = bars;
        self
    }

    /// The addresses of the newcomers during the attack.
    const fn newcomers(mut self, newcomers: &'static [IpAddr]) -> Self {
        self.newcomers = newcomers;
        self.tells_newcomers_apart = newcomers.len() == 2;
        self
    }

    /// Where the attacker and the honest nodes are.
    const fn at(mut self, attacker: IpAddr, nodes: IpAddr) -> Self {
        self.at = Some((attacker, nodes));
        self
    }

    /// Its name on the command line.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Prepares the attack on nodes at [`HERE`], the victim first and the one that will be killed third. It is made from their own host,
    /// unless it is one that comes from another.
    pub(crate) fn prepare(
        &self,
        nodes: Vec<SocketAddr>,
        seed: u64,
        deeds: Arc<Deeds>,
    ) -> Result<Running> {
        let from = self.at.map_or(HERE, |at| at.0);
        Running::prepare(self.play, NETWORK.to_owned(), nodes, from, seed, deeds)
    }

    fn attacker(&self) -> IpAddr {
        self.at.map_or(LOOPBACK, |at| at.0)
    }

    fn nodes(&self) -> IpAddr {
        self.at.map_or(LOOPBACK, |at| at.1)
    }

    /// Settings of every node.
    fn settings(&self) -> Vec<String> {
        vec![format!("network.controller.listen.addr={}", self.nodes())]
    }

    /// All bars: of the figures with two, the attack's own counts.
    fn all_bars(&self) -> Vec<Bar> {
        let own = |figure| self.bars.iter().any(|bar| bar.figure == figure);
        let ever = EVER.iter().filter(|bar| !own(bar.figure));
        ever.chain(self.bars).copied().collect()
    }
}

/// Makes the attacks that the options select.
pub(crate) fn run(options: Options) -> Result<ExitCode> {
    let attacks = select(&options.only, options.short)?;
    if options.list {
        for attack in attacks {
            println!("{:<12} {}", attack.name, attack.title);
        }
        return Ok(ExitCode::SUCCESS);
    }
    // This comes before the new namespace, because cargo can't download from inside it.
    let binary = options.common.binary.locate()?;
    let mut more = Vec::new();
    if !options.common.binary.is_named() {
        more = vec!["--binary".into(), binary.clone().into()];
    }
    let isolated = !options.no_isolation && isolate::enter(&more)?;
    if isolated {
        add_addresses()?;
    }
    let scratch = scratch(options.common.scratch.as_deref())?;
    let interrupted = interrupted()?;
    let conditions = Conditions {
        binary: &binary,
        scratch: &scratch,
        nodes: usize::from(options.nodes),
        settings: &options.common.setting,
        times: if options.short {
            Times::SHORT
        } else {
            Times::FULL
        },
        interrupted: interrupted.clone(),
        keep: options.common.keep,
    };
    let seed = options
        .seed
        .unwrap_or_else(|| kernel::now_ns() / 1_000_000_000);
    let mut results: Vec<(&'static Attack, Vec<Outcome>)> = Vec::new();
    for attack in attacks {
        let mut outcomes = Vec::new();
        for run in 0..u64::from(options.runs.max(1)) {
            eprintln!(
                "{}, run {} of {}",
                attack.name,
                run + 1,
                options.runs.max(1)
            );
            let outcome = harness::play(attack, &conditions, seed.wrapping_add(run));
            if let Some(failure) = &outcome.failure {
                eprintln!("  FAILED (seed {}): {failure}", outcome.seed);
            }
            outcomes.push(outcome);
            if interrupted.load(Ordering::Relaxed) {
                eprintln!("interrupted");
                return Ok(ExitCode::from(130));
            }
        }
        results.push((attack, outcomes));
    }
    if options.json {
        println!("{}", report::json(&results)?);
    } else {
        print!("{}", report::tables(&results, options.short)?);
    }
    let good = report::is_good(&results, options.short);
    // Without `--short`, missed bars are figures to read, and no failure.
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The attacks whose names begin like one of `only`, or all; of the short set alone if it is `short`.
pub(crate) fn select(only: &[String], short: bool) -> Result<Vec<&'static Attack>> {
    let unknown = only.iter().find(|name| {
        let begins = |attack: &&Attack| attack.name.starts_with(name.as_str());
        !ATTACKS.iter().any(|attack| begins(&attack))
    });
    if let Some(name) = unknown {
        let names: Vec<&str> = ATTACKS.iter().map(|attack| attack.name).collect();
        let why = format!(
            "there is no attack {name:?}; there are {}",
            names.join(", ")
        );
        return Err(BadInput(why).into());
    }
    let selected = ATTACKS.iter().filter(|attack| {
        let named = only
            .iter()
            .any(|name| attack.name.starts_with(name.as_str()));
        (only.is_empty() || named) && (!short || attack.short)
    });
    Ok(selected.collect())
}

/// Gives the loopback interface of this namespace the addresses of other hosts.
pub(crate) fn add_addresses() -> Result<()> {
    let sinks = sinks::SINKS.iter().map(|(_, addr)| addr.ip());
    let hosts = HOSTS.into_iter().chain(sinks);
    let hosts: std::collections::BTreeSet<IpAddr> = hosts.filter(|ip| !ip.is_loopback()).collect();
    for host in hosts {
        let script = format!("PATH=$PATH:/usr/sbin:/sbin; ip addr add {host}/32 dev lo");
        let added = std::process::Command::new("sh")
            .args(["-c", &script])
            .status();
        if !added.is_ok_and(|status| status.success()) {
            anyhow::bail!("can't give {host} to the loopback interface");
        }
    }
    Ok(())
}

/// The folder for scratch folders: the named one, or one in memory if there is any.
pub(crate) fn scratch(named: Option<&Path>) -> Result<PathBuf> {
    let memory = Path::new("/dev/shm");
    let scratch = match named {
        Some(scratch) => scratch.to_owned(),
        None if tempfile::tempdir_in(memory).is_ok() => memory.to_owned(),
        None => std::env::temp_dir(),
    };
    let there = scratch.canonicalize();
    there.with_context(|| format!("there is no {}", scratch.display()))
}
