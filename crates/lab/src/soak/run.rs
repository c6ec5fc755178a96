//! A soak under way: phases of attack and of quiet, churn, samples, and one line of progress a minute.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::churn::{self, Deed};
use super::nodes::{Back, Nodes, address, log_bytes, panics};
use super::plan::{Phase, QUIET_LIMIT, Times};
use super::record::{Event, Line, Writer};
use crate::attack::{Attack, Deeds, Running};
use crate::shared::kernel::Machine;

/// The time between two looks at the views. It is the precision of all times. Halved: the lab takes more of the cores that it shares
/// with the nodes. Doubled: times are off by half a second.
const LOOK: Duration = Duration::from_millis(250);

/// The nodes must agree this long after their start, before anything is done to them.
const AGREE_LIMIT: f64 = 120.0;

/// The first attack begins this long after the nodes agreed, in s: in its first ten seconds a node believes what it is told, and ten thousand
/// invented nodes would stay in the elders' memory for ten minutes.
const SETTLING: f64 = 15.0;

/// The node that each attack is about, besides the victim, is killed this long after the attack began, in s, or after a quarter of it.
const LEAD: f64 = 5.0;

/// An attack begins once it is prepared, or this long after, in s. Signing 40,000 records takes seconds, and a minute on a busy machine.
const PREPARE_LIMIT: f64 = 60.0;

/// The time between two lines of progress, in s.
const PROGRESS: f64 = 60.0;

/// An attack that ends: its name, what was done, and the thread that waits for its end.
type Ending = (&'static str, Arc<Deeds>, JoinHandle<Result<()>>);

/// See the module's documentation.
pub(crate) struct Soak<'a> {
    pub(crate) nodes: Nodes,
    times: Times,
    attacks: &'a [&'static Attack],
    random: ChaCha8Rng,
    record: Writer,
    interrupted: Arc<AtomicBool>,
    attack: Option<(&'static str, Arc<Deeds>, Running)>,
    ending: Vec<Ending>,
    doomed: Option<(usize, f64)>,
    next_churn: f64,
    next_sample: f64,
    next_progress: f64,
    machine: Machine,
    /// For the line of progress.
    worst_false: f64,
    faults: usize,
    quiets: (usize, usize),
    /// What is wrong in the views now, and since when nothing is.
    wrong: Option<String>,
    exact_since: Option<f64>,
}

impl<'a> Soak<'a> {
    /// Prepares a soak whose nodes are prepared.
    pub(crate) fn new(
        nodes: Nodes,
        times: Times,
        attacks: &'a [&'static Attack],
        random: ChaCha8Rng,
        record: Writer,
        interrupted: Arc<AtomicBool>,
    ) -> Result<Self> {
        Ok(Self {
            nodes,
            times,
            attacks,
            random,
            record,
            interrupted,
            attack: None,
            ending: Vec::new(),
            doomed: None,
            next_churn: 0.0,
            next_sample: 0.0,
            next_progress: PROGRESS,
            machine: Machine::now()?,
            worst_false: 0.0,
            faults: 0,
            quiets: (0, 0),
            wrong: None,
            exact_since: None,
        })
    }

    /// Plays it to its end, or until it is interrupted.
    pub(crate) fn play(&mut self, began: Event) -> Result<()> {
        self.write(began)?;
        self.nodes.bring_back(Back::All)?;
        while self.exact_since.is_none() {
            if self.nodes.now() > AGREE_LIMIT {
                let wrong = self.wrong.take().unwrap_or_default();
                bail!("the nodes did not agree within {AGREE_LIMIT} s of their start: {wrong}");
            }
            self.step(Back::Due)?;
            if self.is_interrupted() {
                return self.finish();
            }
        }
        let agreed = self.nodes.now() + SETTLING;
        while self.nodes.now() < agreed && !self.is_interrupted() {
            self.step(Back::Due)?;
        }
        let mut last = None;
        while !self.is_interrupted() {
            let elapsed = Duration::from_secs_f64((self.nodes.now() - agreed).max(0.0));
            let Some((phase, time)) = self.times.next(last, elapsed) else {
                break;
            };
            let time = time.as_secs_f64();
            match phase {
                Phase::Attack(number) => self.attack(number, time)?,
                Phase::Quiet(number) => self.quiet(number, time)?,
            }
            last = Some(phase);
        }
        self.finish()
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn attack(&mut self, number: usize, time: f64) -> Result<()> {
        self.prepare(self.attacks[number % self.attacks.len()])?;
        let limit = self.nodes.now() + PREPARE_LIMIT;
        while self.nodes.now() < limit && !self.is_prepared() && !self.is_interrupted() {
            self.churn()?;
            self.step(Back::Due)?;
        }
        if let Some((_, _, running)) = &self.attack {
            running.begin();
        }
        let now = self.nodes.now();
        let until = now + time;
        if let Some((_, at)) = &mut self.doomed {
            *at = now + LEAD.min(time / 4.0);
        }
        while self.nodes.now() < until && !self.is_interrupted() {
            self.churn()?;
            self.step(Back::Due)?;
        }
        self.doomed = None;
        if let Some((name, deeds, running)) = self.attack.take() {
            // It may be signing thousands of records, and the views must be followed meanwhile.
            let end = std::thread::spawn(move || running.end());
            self.ending.push((name, deeds, end));
        }
        Ok(())
    }

    fn is_prepared(&self) -> bool {
        let attack = self.attack.as_ref();
        attack.is_none_or(|(_, _, running)| running.is_ready())
    }

    /// Prepares an attack: on the first node, with another one that will be killed soon after it began.
    fn prepare(&mut self, attack: &'static Attack) -> Result<()> {
        let others = self.others();
        let doomed = others.get(self.random.random_range(0..others.len().max(1)));
        let doomed = *doomed.context("too few nodes run for an attack")?;
        let first = [0, 1, doomed];
        let rest = self.nodes.truth.up().filter(|place| !first.contains(place));
        let at: Vec<SocketAddr> = first.into_iter().chain(rest).map(address).collect();
        let deeds: Arc<Deeds> = Arc::default();
        let running = attack.prepare(at, self.random.random(), deeds.clone())?;
        self.doomed = Some((doomed, f64::INFINITY));
        self.attack = Some((attack.name(), deeds, running));
        self.write(Event::Attack {
            name: attack.name().to_owned(),
        })
    }

    /// The nodes that run and may be restarted.
    fn others(&self) -> Vec<usize> {
        let elders = churn::elders(self.nodes.count());
        let up = self.nodes.truth.up();
        up.filter(|place| !elders.contains(place)).collect()
    }

    fn churn(&mut self) -> Result<()> {
        let now = self.nodes.now();
        if let Some((doomed, _)) = self.doomed.take_if(|(_, at)| *at <= now)
            && self.nodes.truth.is_up(doomed)
            && self.nodes.may_lose_one()
        {
            let away = Duration::from_secs_f64(2.0 * LEAD);
            return self.nodes.act(doomed, Deed::Kill(away));
        }
        if now < self.next_churn {
            return Ok(());
        }
        self.next_churn = now + churn::gap(&mut self.random).as_secs_f64();
        let others = self.others();
        if others.is_empty() || !self.nodes.may_lose_one() {
            return Ok(());
        }
        let place = others[self.random.random_range(0..others.len())];
        let deed = churn::deed(&mut self.random);
        self.nodes.act(place, deed)
    }

    /// Lets the network rest. In every second quiet time, those that are down stay away: a dead node must not be shown either.
    fn quiet(&mut self, number: usize, time: f64) -> Result<()> {
        let began = self.nodes.now();
        let until = began + time;
        let back = if number.is_multiple_of(2) {
            Back::All
        } else {
            Back::Frozen
        };
        let limit = until.max(began + QUIET_LIMIT.as_secs_f64());
        self.exact_since = None;
        loop {
            self.step(back)?;
            let now = self.nodes.now();
            if self.is_interrupted() && now < until {
                return Ok(());
            }
            if now >= limit || (now >= until && self.exact_since.is_some()) {
                break;
            }
        }
        let exact_after_s = self.exact_since.map(|since| since - began);
        self.quiets.0 += 1;
        self.quiets.1 += usize::from(exact_after_s.is_some());
        let wrong = self.wrong.clone();
        self.write(Event::Quiet {
            exact_after_s,
            wrong,
        })
    }

    /// A quarter of a second of the soak.
    fn step(&mut self, back: Back) -> Result<()> {
        self.nodes.wait(LOOK)?;
        let looked = self.nodes.now();
        self.nodes.reap()?;
        self.nodes.bring_back(back)?;
        self.wrong = self.nodes.look()?;
        let now = self.nodes.now();
        match self.wrong {
            None => {
                self.exact_since.get_or_insert(now);
            }
            Some(_) => self.exact_since = None,
        }
        for event in std::mem::take(&mut self.nodes.events) {
            self.write(event)?;
        }
        self.collect()?;
        if now >= self.next_sample {
            self.next_sample = now + self.times.sample.as_secs_f64();
            for sample in self.nodes.sample(self.times.grown.as_secs_f64()) {
                self.write(Event::Sample(sample))?;
            }
        }
        if now >= self.next_progress {
            self.next_progress = now + PROGRESS;
            self.progress()?;
        }
        // A written view ends the wait early; all views of a quarter of a second are read together.
        let rest = LOOK.saturating_sub(Duration::from_secs_f64(now - looked));
        std::thread::sleep(rest);
        Ok(())
    }

    /// Notes the attacks whose threads have ended.
    fn collect(&mut self) -> Result<()> {
        let is_over = |ending: &mut Ending| ending.2.is_finished();
        let over: Vec<Ending> = self.ending.extract_if(.., is_over).collect();
        for (name, deeds, end) in over {
            let end = end.join();
            let failure = match end {
                Ok(end) => end.err().map(|error| format!("{error:#}")),
                Err(_) => Some("the attacker panicked".to_owned()),
            };
            self.write(Event::AttackEnded {
                name: name.to_owned(),
                failure,
                did: deeds.all(),
            })?;
        }
        Ok(())
    }

    fn progress(&mut self) -> Result<()> {
        let now = self.nodes.now();
        let machine = Machine::now()?;
        let load = std::fs::read_to_string("/proc/loadavg").context("can't read /proc/loadavg")?;
        let load = load.split(' ').next().and_then(|load| load.parse().ok());
        let event = Event::Machine {
            load: load.unwrap_or(0.0),
            idle_percent: machine.idle_percent_since(&self.machine).unwrap_or(0.0),
            lab_cpu: machine.own_seconds_since(&self.machine) / PROGRESS,
        };
        self.machine = machine;
        self.write(event)?;
        let attack = self.attack.as_ref().map_or("quiet", |attack| attack.0);
        let elders = [0, 1].map(|place| self.nodes.resident_mib(place).unwrap_or(f64::NAN));
        eprintln!(
            "{:>4.0} min of {:.0}: {} of {} run, {attack}; elders {:.1} and {:.1} MiB; faults {}; longest false {:.1} s; quiet times \
             exact {} of {}; load {:.1}",
            now / 60.0,
            self.times.lasts.as_secs_f64() / 60.0,
            self.nodes.truth.up().count(),
            self.nodes.count(),
            elders[0],
            elders[1],
            self.faults,
            self.worst_false,
            self.quiets.1,
            self.quiets.0,
            load.unwrap_or(0.0),
        );
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.attack = None;
        for event in self.nodes.finish() {
            self.write(event)?;
        }
        let count = self.nodes.count();
        for (place, words) in panics(&self.nodes.cluster, count)? {
            self.write(Event::Fault { place, words })?;
        }
        self.write(Event::Finished {
            log_bytes: log_bytes(&self.nodes.cluster, count),
        })
    }

    fn write(&mut self, event: Event) -> Result<()> {
        match &event {
            Event::False { lasted_s, .. } => self.worst_false = self.worst_false.max(*lasted_s),
            Event::Fault { place, words } => {
                self.faults += 1;
                eprintln!("FAULT: node {place}: {words}");
            }
            Event::Quiet {
                exact_after_s: None,
                wrong,
            } => eprintln!("FALSE in a quiet time: {}", wrong.as_deref().unwrap_or("?")),
            _ => {}
        }
        let s = self.nodes.now();
        self.record.write(&Line { s, event })
    }
}
