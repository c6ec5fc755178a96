//! The honest nodes of a run: their processes, their views, and what must not happen to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Attack;
use super::bars::name;
use super::conditions::{Conditions, KILLED, PHASE_LIMIT};
use super::outcome::Outcome;
use super::traces::{event_of, field, panic_of, peak_mib};
use super::views::{View, Views};
use crate::shared::cluster::{Cluster, Plan};
use crate::shared::kernel::{Cpu, Memory, now_ns, seconds_between};

/// How often memory is read.
pub(crate) const SAMPLE: Duration = Duration::from_millis(100);

/// A newcomer starts after the attack, besides those that start during it.
const AFTER: usize = 1;

/// The first port of a chain of nodes, see [`Cluster`].
const FIRST_PORT: usize = 20_000;

/// The honest nodes of a run.
pub(crate) struct Honest<'a> {
    conditions: &'a Conditions<'a>,
    pub(crate) cluster: Cluster,
    pub(crate) views: Views,
    pub(crate) running: BTreeSet<usize>,
    pids: BTreeMap<usize, u32>,
    /// The links between honest nodes that each view has shown, and what was lost of them.
    pub(crate) shown: BTreeMap<usize, BTreeSet<(usize, usize)>>,
    pub(crate) lost: BTreeSet<(usize, usize)>,
    pub(crate) false_down: BTreeSet<(usize, usize)>,
    /// Honest nodes that ended by themselves, with what they said last.
    pub(crate) ended: BTreeMap<String, String>,
    /// Since when views differ about an attacker with two faces.
    two_faces: Option<Instant>,
    /// Judged from the beginning of the attack on.
    pub(crate) judges: bool,
    pub(crate) worst: BTreeMap<&'static str, f64>,
    sampled: Instant,
}

impl<'a> Honest<'a> {
    /// Prepares the honest nodes, without starting one.
    pub(crate) fn new(attack: &'static Attack, conditions: &'a Conditions<'a>) -> Result<Self> {
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
            cluster,
            views,
            running: BTreeSet::new(),
            pids: BTreeMap::new(),
            shown: BTreeMap::new(),
            lost: BTreeSet::new(),
            false_down: BTreeSet::new(),
            ended: BTreeMap::new(),
            two_faces: None,
            judges: false,
            worst: BTreeMap::new(),
            sampled: Instant::now(),
        })
    }

    /// Starts a node. Returns the time just before, in Unix ns.
    pub(crate) fn start(&mut self, place: usize) -> Result<u64> {
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

    /// The memory of a node now, in MiB.
    pub(crate) fn resident_mib(&self, place: usize) -> Result<f64> {
        Ok(Memory::of(self.pids[&place])?.resident_mib)
    }

    /// Kills a node. Returns the time just before, in Unix ns.
    pub(crate) fn kill(&mut self, place: usize) -> Result<u64> {
        self.running.remove(&place);
        self.cluster.kill(place)
    }

    /// The CPU time of each running node so far.
    pub(crate) fn cpu(&self) -> Result<BTreeMap<usize, Cpu>> {
        let pids = self
            .pids
            .iter()
            .filter(|(place, _)| self.running.contains(place));
        pids.map(|(place, pid)| Ok((*place, Cpu::of(*pid)?)))
            .collect()
    }

    /// The share of a core that each running node used since.
    pub(crate) fn shares(
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

    /// What the honest nodes believe at the end of the attack: the addresses and epochs of honest nodes, and one face of two.
    pub(crate) fn lies(&self, outcome: &mut Outcome) {
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

    /// Waits until a condition holds; it returns since when, in Unix ns. Returns the seconds since `from`, and whether it took too long.
    pub(crate) fn since(
        &mut self,
        from: u64,
        holds: impl Fn(&Self) -> Option<u64>,
    ) -> Result<(f64, bool)> {
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

    /// Follows the views for that time.
    pub(crate) fn follow(&mut self, time: Duration) -> Result<()> {
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
        self.note_faces();
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

    /// Notes how long views differ about an attacker that signed two records under one version.
    fn note_faces(&mut self) {
        let views = self
            .running
            .iter()
            .filter_map(|place| self.views.of(*place));
        let faces: BTreeSet<&String> = views.flat_map(|view| &view.faces).collect();
        if faces.len() < 2 {
            self.two_faces = None;
            return;
        }
        let since = *self.two_faces.get_or_insert_with(Instant::now);
        self.raise(name::FACES_S, since.elapsed().as_secs_f64());
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

    /// Since when all running nodes show each other.
    pub(crate) fn all_know_all(&self) -> Option<u64> {
        self.all_views(|view| self.running.is_subset(&view.up))
    }

    /// Since when all running nodes' views are like that.
    pub(crate) fn all_views(&self, holds: impl Fn(&View) -> bool) -> Option<u64> {
        self.running.iter().try_fold(0, |latest, place| {
            let view = self.views.of(*place)?;
            holds(view).then(|| latest.max(view.up_since_ns))
        })
    }

    fn log(&self, place: usize) -> std::path::PathBuf {
        let name = self.cluster.name(place);
        self.cluster.path().join(format!("logs/{name}.log"))
    }

    /// How long each log is.
    pub(crate) fn log_lengths(&self) -> BTreeMap<usize, usize> {
        let length = |place: &usize| fs::metadata(self.log(*place)).map_or(0, |about| about.len());
        let lengths = self.pids.keys().map(|place| {
            let length = usize::try_from(length(place)).unwrap_or(usize::MAX);
            (*place, length)
        });
        lengths.collect()
    }

    /// What the honest nodes' logs say of the time of the attack.
    pub(crate) fn read_logs(&mut self, from: &BTreeMap<usize, usize>, outcome: &mut Outcome) {
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

/// The address of an honest node.
pub(crate) fn address(attack: &Attack, place: usize) -> SocketAddr {
    let port = u16::try_from(FIRST_PORT + place).expect("fewer nodes than ports");
    SocketAddr::new(attack.nodes(), port)
}
