//! One run of an attack: honest nodes start and agree, a base period is measured, the attack begins, an honest node is killed and another
//! one starts, the attack ends, and one more honest node starts.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Attack;
use super::attacker::Deeds;
use super::bars::name;
use super::conditions::{Conditions, KILLED, PHASE_LIMIT};
use super::honest::{Honest, SAMPLE, address};
use super::outcome::Outcome;
use super::stage::Running;
use crate::shared::kernel::Cpu;

/// The attack goes on for this long after the last newcomer, so that its late effects are seen.
const LATE: Duration = Duration::from_secs(1);

/// A run.
struct Harness<'a> {
    conditions: &'a Conditions<'a>,
    attack: &'static Attack,
    honest: Honest<'a>,
    deeds: Arc<Deeds>,
}

/// Plays an attack once.
pub(crate) fn play(attack: &'static Attack, conditions: &Conditions<'_>, seed: u64) -> Outcome {
    let mut outcome = Outcome {
        seed,
        ..Outcome::default()
    };
    let end = Honest::new(attack, conditions).and_then(|honest| {
        let deeds = Arc::default();
        let mut harness = Harness {
            conditions,
            attack,
            honest,
            deeds,
        };
        let end = harness.play(seed, &mut outcome);
        if conditions.keep || end.is_err() {
            let kept = harness.honest.cluster.keep();
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

impl Harness<'_> {
    fn play(&mut self, seed: u64, outcome: &mut Outcome) -> Result<()> {
        let nodes = self.conditions.nodes;
        let addresses: Vec<SocketAddr> = (0..nodes)
            .map(|place| address(self.attack, place))
            .collect();
        let attack = self.attack;
        let (from, deeds) = (attack.attacker(), self.deeds.clone());
        let network = super::NETWORK.to_owned();
        let running = Running::prepare(attack.play, network, addresses, from, seed, deeds)?;
        let mut last = 0;
        for place in 0..nodes {
            last = self.honest.start(place)?;
        }
        if self.honest.since(last, Honest::all_know_all)?.1 {
            bail!("the honest nodes don't agree before the attack");
        }
        self.honest.follow(self.conditions.times.settling)?;
        let limit = Instant::now() + 3 * PHASE_LIMIT;
        while !running.is_ready() && Instant::now() < limit {
            self.honest.follow(SAMPLE)?;
        }
        self.base(outcome)?;
        let logs = self.honest.log_lengths();
        self.honest.judges = true;
        let before = self.honest.cpu()?;
        let began = Instant::now();
        running.begin();
        self.honest.follow(self.conditions.times.lead)?;
        self.note_cpu(&before, began, outcome)?;
        self.kill(outcome)?;
        self.newcomers(outcome)?;
        self.honest.follow(LATE)?;
        let end = running.end();
        self.honest.read_logs(&logs, outcome);
        self.honest.lies(outcome);
        self.after(outcome)?;
        self.honest.judges = false;
        self.sum_up(outcome);
        end.context("the attack could not be made")
    }

    /// Measures the base period.
    fn base(&mut self, outcome: &mut Outcome) -> Result<()> {
        let before = self.honest.cpu()?;
        let began = Instant::now();
        self.honest.worst.clear();
        self.honest.follow(self.conditions.times.base)?;
        let shares = self.honest.shares(&before, began)?;
        outcome.set(name::CPU_BASE, shares.get(&0).copied().unwrap_or(0.0));
        let rss = self.honest.resident_mib(0)?;
        outcome.set(name::RSS_BASE, rss);
        let rtt = self.honest.worst.get(name::RTT).copied().unwrap_or(0.0);
        outcome.set(name::RTT_BASE, rtt);
        self.honest.worst.clear();
        Ok(())
    }

    fn note_cpu(
        &self,
        before: &BTreeMap<usize, Cpu>,
        began: Instant,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let shares = self.honest.shares(before, began)?;
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
        let at = self.honest.kill(KILLED)?;
        let (seconds, _) = self.honest.since(at, |honest| {
            honest.all_views(|view| !view.up.contains(&KILLED))
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
        let at = self.honest.start(place)?;
        let (seconds, never) = self.honest.since(at, |honest| {
            let shown = honest.all_views(|view| view.up.contains(&place))?;
            let own = honest.views.of(place)?;
            let knows = honest.running.is_subset(&own.up);
            knows.then_some(shown.max(own.up_since_ns))
        })?;
        if never && self.honest.running.contains(&place) {
            // The next newcomer is judged by those that are in.
            self.honest.kill(place)?;
        }
        Ok(seconds)
    }

    /// After the attack: one more newcomer, and what is left of the attacker in the views.
    fn after(&mut self, outcome: &mut Outcome) -> Result<()> {
        let place = self.conditions.nodes + self.attack.newcomers.len();
        let seconds = self.newcomer(place)?;
        outcome.set(name::NEWCOMER_AFTER, seconds);
        self.honest.follow(LATE)?;
        let places = self.honest.running.iter();
        let left = places.filter_map(|place| Some(self.honest.views.of(*place)?.strangers));
        outcome.set(name::STRANGERS_AFTER, left.max().unwrap_or(0) as f64);
        Ok(())
    }

    fn sum_up(&mut self, outcome: &mut Outcome) {
        for (name, value) in &self.honest.worst {
            outcome.set(name, *value);
        }
        outcome.set(name::LINKS_LOST, self.honest.lost.len() as f64);
        outcome.set(name::FALSE_DOWN, self.honest.false_down.len() as f64);
        for name in [name::STRANGERS, name::FILE, name::RTT] {
            outcome.raise(name, 0.0);
        }
        for place in &self.honest.running {
            let Some(view) = self.honest.views.of(*place) else {
                continue;
            };
            for (counter, count) in &view.rejected {
                let most = outcome.rejected.entry(counter.clone()).or_default();
                *most = (*most).max(*count);
            }
        }
        outcome.set(name::ENDED, self.honest.ended.len() as f64);
        outcome.ended = std::mem::take(&mut self.honest.ended);
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
}

/// Where an attacker or a node is, unless an attack says otherwise.
pub(crate) const LOOPBACK: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
