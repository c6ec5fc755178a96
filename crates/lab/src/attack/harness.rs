//! One run of an attack: honest nodes start and agree, a base period is measured, the attack begins, an honest node is killed and another
//! one starts, the attack ends, and one more honest node starts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Attack;
use super::attacker::Deeds;
use super::bars::name;
use super::stage::Running;
use super::views::Views;
use crate::shared::cluster::{Cluster, Plan};
use crate::shared::kernel::{Cpu, Memory, now_ns, seconds_between};

/// A phase that takes longer counts as that long, and is marked.
pub(crate) const PHASE_LIMIT: Duration = Duration::from_secs(20);

/// The nodes agree, and their start is over, before anything is measured.
const SETTLING: Duration = Duration::from_secs(3);

/// The period before the attack whose CPU time is the base.
const BASE: Duration = Duration::from_secs(4);

/// How often memory is read.
const SAMPLE: Duration = Duration::from_millis(100);

/// The attack goes on for this long after the last newcomer, so that its late effects are seen.
const LATE: Duration = Duration::from_secs(1);

/// The place of the honest node that is killed: not the victim, and not a newcomer's target.
pub(crate) const KILLED: usize = 2;

/// The newcomers' places follow those of the honest nodes: the last one starts after the attack.
const AFTER: usize = 1;

/// The first port of a chain of nodes, see [`Cluster`].
const FIRST_PORT: usize = 20_000;

/// What was measured in one run.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcome {
    /// The random seed.
    pub(crate) seed: u64,
    /// Figures by name.
    pub(crate) figures: BTreeMap<String, f64>,
    /// What honest nodes counted as rejected, of the node that counted most.
    pub(crate) rejected: BTreeMap<String, u64>,
    /// The names of events in the logs during the attack, with their number over all nodes.
    pub(crate) events: BTreeMap<String, u64>,
    /// What the attacker did and met.
    pub(crate) deeds: BTreeMap<String, f64>,
    /// Honest nodes that ended by themselves, with the panic in their log.
    pub(crate) ended: BTreeMap<String, String>,
    /// Why the run could not be made.
    pub(crate) failure: Option<String>,
}

/// The conditions of a run.
pub(crate) struct Conditions<'a> {
    /// The area-net binary.
    pub(crate) binary: &'a Path,
    /// The folder for scratch folders.
    pub(crate) scratch: &'a Path,
    /// The number of honest nodes.
    pub(crate) nodes: usize,
    /// Settings of every node.
    pub(crate) settings: &'a [String],
    /// Set when the user interrupts.
    pub(crate) interrupted: Arc<AtomicBool>,
    /// Whether scratch folders are kept.
    pub(crate) keep: bool,
}

/// The honest nodes of a run.
struct Harness<'a> {
    conditions: &'a Conditions<'a>,
    attack: &'static Attack,
    cluster: Cluster,
    views: Views,
    running: BTreeSet<usize>,
    pids: BTreeMap<usize, u32>,
    /// The links between honest nodes that each view has shown, and what was lost of them.
    shown: BTreeMap<usize, BTreeSet<(usize, usize)>>,
    lost: BTreeSet<(usize, usize)>,
    false_down: BTreeSet<(usize, usize)>,
    /// Honest nodes that ended by themselves, with what they said last.
    ended: BTreeMap<String, String>,
    /// Judged from the beginning of the attack on.
    judges: bool,
    worst: BTreeMap<&'static str, f64>,
    sampled: Instant,
    deeds: Arc<Deeds>,
}

/// Plays an attack once.
pub(crate) fn play(attack: &'static Attack, conditions: &Conditions<'_>, seed: u64) -> Outcome {
    let mut outcome = Outcome {
        seed,
        ..Outcome::default()
    };
    let end = Harness::new(attack, conditions).and_then(|mut harness| {
        let end = harness.play(seed, &mut outcome);
        if conditions.keep || end.is_err() {
            let kept = harness.cluster.keep();
            let kept = kept.map(|kept| kept.display().to_string());
            eprintln!("kept: {}", kept.unwrap_or_default());
        }
        end
    });
    if let Err(error) = end {
        outcome.failure = Some(format!("{error:#}"));
    }
    outcome
}

impl<'a> Harness<'a> {
    fn new(attack: &'static Attack, conditions: &'a Conditions<'a>) -> Result<Self> {
        let plan = Plan::Chain(conditions.nodes + attack.newcomers.len() + AFTER);
        let settings: Vec<String> = [conditions.settings, &attack.settings()].concat();
        let mut cluster = Cluster::new(plan, conditions.scratch, conditions.binary, &settings)?;
        let victim = address(attack, 0);
        for place in conditions.nodes..plan.nodes() {
            let name = cluster.name(place).to_owned();
            let path = cluster.path().join(format!("targets/{name}.json"));
            let targets = format!("[\"{victim}\"]\n");
            fs::write(&path, targets).with_context(|| format!("can't write {}", path.display()))?;
        }
        for place in 1..conditions.nodes {
            let name = cluster.name(place).to_owned();
            let path = cluster.path().join(format!("targets/{name}.json"));
            let targets = format!("[\"{}\"]\n", address(attack, place - 1));
            fs::write(&path, targets).with_context(|| format!("can't write {}", path.display()))?;
        }
        for (place, from) in (conditions.nodes..).zip(attack.newcomers) {
            cluster.set_own(
                place,
                vec![format!("network.controller.listen.addr={from}")],
            );
        }
        let views = Views::new(&cluster.folders())?;
        Ok(Self {
            conditions,
            attack,
            cluster,
            views,
            running: BTreeSet::new(),
            pids: BTreeMap::new(),
            shown: BTreeMap::new(),
            lost: BTreeSet::new(),
            false_down: BTreeSet::new(),
            ended: BTreeMap::new(),
            judges: false,
            worst: BTreeMap::new(),
            sampled: Instant::now(),
            deeds: Arc::default(),
        })
    }

    fn play(&mut self, seed: u64, outcome: &mut Outcome) -> Result<()> {
        let nodes = self.conditions.nodes;
        let addresses: Vec<SocketAddr> = (0..nodes)
            .map(|place| address(self.attack, place))
            .collect();
        let attack = self.attack;
        let (from, deeds) = (attack.attacker(), self.deeds.clone());
        let network = "area-net".to_owned();
        let running = Running::prepare(attack.play, network, addresses, from, seed, deeds)?;
        let mut last = 0;
        for place in 0..nodes {
            last = self.start(place)?;
        }
        if self.since(last, Self::all_know_all)?.1 {
            bail!("the honest nodes don't agree before the attack");
        }
        self.follow(SETTLING)?;
        let limit = Instant::now() + 3 * PHASE_LIMIT;
        while !running.is_ready() && Instant::now() < limit {
            self.follow(SAMPLE)?;
        }
        self.base(outcome)?;
        let logs = self.log_lengths();
        self.judges = true;
        let before = self.cpu()?;
        let began = Instant::now();
        running.begin();
        self.follow(attack.lead)?;
        self.note_cpu(&before, began, outcome)?;
        self.kill(outcome)?;
        self.newcomers(outcome)?;
        self.follow(LATE)?;
        let end = running.end();
        self.read_logs(&logs, outcome);
        self.lies(outcome);
        self.after(outcome)?;
        self.judges = false;
        self.sum_up(outcome);
        end.context("the attack could not be made")
    }

    fn start(&mut self, place: usize) -> Result<u64> {
        let at = self.cluster.start(place)?;
        self.running.insert(place);
        let pid = self.cluster.pids().into_iter().max();
        let known: BTreeSet<u32> = self.pids.values().copied().collect();
        let new = self
            .cluster
            .pids()
            .into_iter()
            .find(|pid| !known.contains(pid));
        self.pids
            .insert(place, new.or(pid).context("it doesn't run")?);
        Ok(at)
    }

    /// Measures the base period.
    fn base(&mut self, outcome: &mut Outcome) -> Result<()> {
        let before = self.cpu()?;
        let began = Instant::now();
        self.worst.clear();
        self.follow(BASE)?;
        let shares = self.shares(&before, began)?;
        outcome.set(name::CPU_BASE, shares.get(&0).copied().unwrap_or(0.0));
        let rss = Memory::of(self.pids[&0])?.resident_mib;
        outcome.set(name::RSS_BASE, rss);
        let rtt = self.worst.get(name::RTT).copied().unwrap_or(0.0);
        outcome.set(name::RTT_BASE, rtt);
        self.worst.clear();
        Ok(())
    }

    fn cpu(&self) -> Result<BTreeMap<usize, Cpu>> {
        let pids = self
            .pids
            .iter()
            .filter(|(place, _)| self.running.contains(place));
        pids.map(|(place, pid)| Ok((*place, Cpu::of(*pid)?)))
            .collect()
    }

    fn shares(
        &self,
        before: &BTreeMap<usize, Cpu>,
        began: Instant,
    ) -> Result<BTreeMap<usize, f64>> {
        let now = self.cpu()?;
        let seconds = began.elapsed().as_secs_f64();
        let shares = now.iter().filter_map(|(place, cpu)| {
            let before = before.get(place)?;
            Some((*place, cpu.seconds_since(before) / seconds))
        });
        Ok(shares.collect())
    }

    fn note_cpu(
        &self,
        before: &BTreeMap<usize, Cpu>,
        began: Instant,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let shares = self.shares(before, began)?;
        // A victim that has ended uses nothing, which is no merit.
        outcome.set(
            name::CPU_VICTIM,
            shares.get(&0).copied().unwrap_or(f64::NAN),
        );
        let others = shares.iter().filter(|(place, _)| **place != 0);
        let most = others.map(|(_, share)| *share).fold(0.0, f64::max);
        outcome.set(name::CPU_OTHERS, most);
        Ok(())
    }

    /// Kills an honest node, and waits until all others show it as not up.
    fn kill(&mut self, outcome: &mut Outcome) -> Result<()> {
        self.running.remove(&KILLED);
        let at = self.cluster.kill(KILLED)?;
        let (seconds, _) = self.since(at, |harness| {
            harness.all_views(|view| !view.up.contains(&KILLED))
        })?;
        outcome.set(name::DEATH, seconds);
        Ok(())
    }

    /// Starts the newcomers one after another, and waits for each until all show it and it shows all.
    fn newcomers(&mut self, outcome: &mut Outcome) -> Result<()> {
        let mut times = Vec::new();
        for (which, from) in self.attack.newcomers.iter().enumerate() {
            let seconds = self.newcomer(self.conditions.nodes + which)?;
            times.push(seconds);
            if self.attack.tells_newcomers_apart {
                outcome.set(&format!("newcomer at {from}, s"), seconds);
            }
        }
        outcome.set(name::NEWCOMER, crate::network::median(&times));
        let worst = times.iter().copied().fold(0.0, f64::max);
        outcome.set(name::NEWCOMER_WORST, worst);
        Ok(())
    }

    fn newcomer(&mut self, place: usize) -> Result<f64> {
        let at = self.start(place)?;
        let (seconds, _) = self.since(at, |harness| {
            let shown = harness.all_views(|view| view.up.contains(&place))?;
            let own = harness.views.of(place)?;
            let knows = harness.running.is_subset(&own.up);
            knows.then_some(shown.max(own.up_since_ns))
        })?;
        Ok(seconds)
    }

    /// After the attack: one more newcomer, and what is left of the attacker in the views.
    fn after(&mut self, outcome: &mut Outcome) -> Result<()> {
        let place = self.conditions.nodes + self.attack.newcomers.len();
        let seconds = self.newcomer(place)?;
        outcome.set(name::NEWCOMER_AFTER, seconds);
        self.follow(LATE)?;
        let places = self.running.iter();
        let left = places.filter_map(|place| Some(self.views.of(*place)?.strangers));
        outcome.set(name::STRANGERS_AFTER, left.max().unwrap_or(0) as f64);
        Ok(())
    }

    /// What the honest nodes believe at the end of the attack: the addresses and epochs of honest nodes, and one face of two.
    fn lies(&self, outcome: &mut Outcome) {
        let lie = super::liars::LIE.to_string();
        let mut deceived = BTreeSet::new();
        let mut faces = BTreeSet::new();
        for view in self
            .running
            .iter()
            .filter_map(|place| self.views.of(*place))
        {
            for (place, addresses) in &view.addresses {
                if addresses.contains(&lie) {
                    deceived.insert(*place);
                }
            }
            faces.extend(view.faces.iter().cloned());
        }
        outcome.set(name::DECEIVED, deceived.len() as f64);
        outcome.set(name::FACES, faces.len() as f64);
        let ahead = self.running.iter().filter_map(|place| self.epoch(*place));
        let day_ms = 86_400_000.0;
        let now_ms = now_ns() as f64 / 1e6;
        let ahead = ahead
            .map(|epoch| (epoch - now_ms) / day_ms)
            .fold(0.0, f64::max);
        outcome.set(name::EPOCH, ahead);
    }

    /// The epoch that a node keeps for its next run.
    fn epoch(&self, place: usize) -> Option<f64> {
        let folder = self.cluster.folders().into_iter().nth(place)?;
        let text = fs::read(folder.join("state.json")).ok()?;
        let state: serde_json::Value = serde_json::from_slice(&text).ok()?;
        state.get("epoch")?.as_f64()
    }

    fn sum_up(&mut self, outcome: &mut Outcome) {
        for (name, value) in &self.worst {
            outcome.set(name, *value);
        }
        outcome.set(name::LINKS_LOST, self.lost.len() as f64);
        outcome.set(name::FALSE_DOWN, self.false_down.len() as f64);
        for name in [name::STRANGERS, name::FILE, name::RTT] {
            outcome.raise(name, 0.0);
        }
        for place in &self.running {
            let Some(view) = self.views.of(*place) else {
                continue;
            };
            for (counter, count) in &view.rejected {
                let most = outcome.rejected.entry(counter.clone()).or_default();
                *most = (*most).max(*count);
            }
        }
        outcome.set(name::ENDED, self.ended.len() as f64);
        outcome.ended = std::mem::take(&mut self.ended);
        outcome.deeds = self.deeds.all();
        let closed = outcome
            .deeds
            .iter()
            .filter(|(name, _)| name.starts_with("closed: ") && !name.ends_with("by the attacker"));
        let closed = closed.fold(0.0, |sum, (_, count)| sum + count);
        outcome.set(name::CLOSED, closed);
        let joined = outcome.deeds.get(name::JOINED).copied().unwrap_or(0.0);
        outcome.set(name::JOINED, joined);
        for (name, value) in outcome.deeds.clone() {
            // Figures of an attack's own have a unit.
            if name.contains(", ") {
                outcome.set(&name, value);
            }
        }
    }

    /// Waits until a condition holds; it returns since when, in Unix ns. Returns the seconds since `from`, and whether it took too long.
    fn since(&mut self, from: u64, holds: impl Fn(&Self) -> Option<u64>) -> Result<(f64, bool)> {
        let limit = Instant::now() + PHASE_LIMIT;
        loop {
            if let Some(since) = holds(self) {
                return Ok((seconds_between(from, since), false));
            }
            if Instant::now() >= limit {
                return Ok((PHASE_LIMIT.as_secs_f64(), true));
            }
            self.step()?;
        }
    }

    fn follow(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        if self.conditions.interrupted.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        self.views.wait(SAMPLE.min(Duration::from_millis(20)))?;
        for place in self.views.read()? {
            self.note_view(place);
        }
        if self.sampled.elapsed() >= SAMPLE {
            self.sampled = Instant::now();
            for place in self.running.clone() {
                if self.cluster.ended(place)?.is_some() {
                    self.running.remove(&place);
                    let name = self.cluster.name(place).to_owned();
                    self.ended.insert(name, panic_of(&self.log(place)));
                } else if let Some(peak) = peak_mib(self.pids[&place]) {
                    let name = if place == 0 {
                        name::RSS_VICTIM
                    } else {
                        name::RSS_OTHERS
                    };
                    self.raise(name, peak);
                }
            }
        }
        Ok(())
    }

    /// Compares a new version of a view with what must be.
    fn note_view(&mut self, place: usize) {
        let view = self.views.of(place).cloned();
        let Some(view) = view.filter(|_| self.running.contains(&place)) else {
            return;
        };
        let runs = |pair: &&(usize, usize)| {
            self.running.contains(&pair.0) && self.running.contains(&pair.1)
        };
        let links: BTreeSet<(usize, usize)> = view.links.iter().filter(runs).copied().collect();
        let known = self.shown.entry(place).or_default();
        if self.judges {
            let lost = known
                .iter()
                .filter(runs)
                .filter(|pair| !links.contains(pair));
            self.lost.extend(lost);
        }
        known.extend(&links);
        let worst = [
            (name::STRANGERS, view.strangers as f64),
            (name::FILE, view.bytes as f64 / 1e6),
            (name::RTT, f64::from(view.rtt_us) / 1e3),
        ];
        for (name, value) in worst {
            self.raise(name, value);
        }
        if self.judges {
            // A newcomer may be in view for some and not yet for others: only the first honest nodes are judged.
            let first = self
                .running
                .iter()
                .filter(|other| **other < self.conditions.nodes);
            let down = first.filter(|other| !view.up.contains(other));
            if place < self.conditions.nodes {
                self.false_down.extend(down.map(|other| (place, *other)));
            }
        }
    }

    fn raise(&mut self, name: &'static str, value: f64) {
        let most = self.worst.entry(name).or_default();
        *most = most.max(value);
    }

    fn all_know_all(&self) -> Option<u64> {
        self.all_views(|view| self.running.is_subset(&view.up))
    }

    /// Since when all running nodes' views are like that.
    fn all_views(&self, holds: impl Fn(&super::views::View) -> bool) -> Option<u64> {
        self.running.iter().try_fold(0, |latest, place| {
            let view = self.views.of(*place)?;
            holds(view).then(|| latest.max(view.up_since_ns))
        })
    }

    fn log(&self, place: usize) -> std::path::PathBuf {
        let name = self.cluster.name(place);
        self.cluster.path().join(format!("logs/{name}.log"))
    }

    fn log_lengths(&self) -> BTreeMap<usize, usize> {
        let length = |place: &usize| fs::metadata(self.log(*place)).map_or(0, |about| about.len());
        let lengths = self.pids.keys().map(|place| {
            let length = usize::try_from(length(place)).unwrap_or(usize::MAX);
            (*place, length)
        });
        lengths.collect()
    }

    /// What the honest nodes' logs say of the time of the attack.
    fn read_logs(&mut self, from: &BTreeMap<usize, usize>, outcome: &mut Outcome) {
        let names: BTreeMap<String, usize> = (0..self.conditions.nodes)
            .filter(|place| *place != KILLED)
            .map(|place| (self.cluster.name(place).to_owned(), place))
            .collect();
        for (place, from) in from {
            let text = fs::read(self.log(*place)).unwrap_or_default();
            let text = String::from_utf8_lossy(text.get(*from..).unwrap_or_default()).into_owned();
            outcome.raise(name::LOG, text.len() as f64 / 1e3);
            for line in text.lines() {
                let Some(event) = event_of(line) else {
                    continue;
                };
                *outcome.events.entry(event.to_owned()).or_default() += 1;
                let peer = field(line, "peer").and_then(|peer| names.get(peer));
                if let Some(peer) = peer.filter(|_| event == "link down" && *place != KILLED) {
                    self.lost.insert((*place.min(peer), *place.max(peer)));
                }
            }
        }
    }
}

impl Outcome {
    fn set(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), value);
    }

    fn raise(&mut self, name: &str, value: f64) {
        let most = self.figures.entry(name.to_owned()).or_insert(value);
        *most = most.max(value);
    }
}

/// The address of an honest node.
fn address(attack: &Attack, place: usize) -> SocketAddr {
    let port = u16::try_from(FIRST_PORT + place).expect("fewer nodes than ports");
    SocketAddr::new(attack.nodes(), port)
}

/// The most memory that a process ever had resident, in MiB; `None` once it has ended.
fn peak_mib(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// What a node said of its panic, or its last line.
fn panic_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains(" panicked at "));
    let said = at.map_or(lines.last().copied().unwrap_or_default().to_owned(), |at| {
        let place = lines[at].rsplit(" panicked at ").next();
        let why = lines.get(at + 1).copied();
        [place.unwrap_or_default(), why.unwrap_or_default()].join(" ")
    });
    said
}

/// The event in a line of the log.
fn event_of(line: &str) -> Option<&'static str> {
    let names = area_net::events::EventName::ALL.iter();
    let mut names = names.map(|name| name.as_str());
    let head = line.get(..120).unwrap_or(line);
    names.find(|name| head.contains(&format!(" {name} ")))
}

/// A field's value in a line of the log.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}="))?;
    rest.split([' ', '(']).next()
}

/// Where an attacker or a node is, unless an attack says otherwise.
pub(crate) const LOOPBACK: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
