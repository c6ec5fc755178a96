//! One run: a start, an optional idle window, a kill, a restart and a stop. Every view is followed throughout.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::network::figures::{self as figure, Figure, median};
use crate::network::observer::Observer;
use crate::shared::cluster::Cluster;
use crate::shared::kernel::{Cpu, Machine, Memory, Traffic, seconds_between};

/// A phase that takes longer fails the run.
const PHASE_LIMIT: Duration = Duration::from_secs(60);

/// A node that was asked to stop must exit within this time.
const EXIT_LIMIT: Duration = Duration::from_secs(1);

/// How long the views are followed after the last phase.
const LAST_LOOK: Duration = Duration::from_secs(3);

/// Links are followed from the start in networks of up to this many nodes. In larger ones they are followed only once all nodes
/// are up, because reading hundreds of links in every version takes CPU from the nodes that are being timed.
const FOLLOW_LINKS_FROM_START: usize = 25;

/// The idle window of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    /// The time before it.
    pub(crate) settling: Duration,
    /// Its length.
    pub(crate) window: Duration,
}

/// A network that is being measured.
pub(crate) struct Run {
    cluster: Cluster,
    observer: Observer,
    random: ChaCha8Rng,
    interrupted: Arc<AtomicBool>,
    nodes: usize,
    checked: Instant,
    /// The node that was asked to stop, and when (Unix ns), until its process has ended.
    leaving: Option<(usize, u64)>,
    figures: BTreeMap<Figure, f64>,
}

impl Run {
    /// Prepares a run without starting a process.
    pub(crate) fn new(
        cluster: Cluster,
        observer: Observer,
        random: ChaCha8Rng,
        interrupted: Arc<AtomicBool>,
    ) -> Self {
        let nodes = cluster.folders().len();
        Self {
            cluster,
            observer,
            random,
            interrupted,
            nodes,
            checked: Instant::now(),
            leaving: None,
            figures: BTreeMap::new(),
        }
    }

    /// Runs all phases; the kill, the restart and the stop only with `stops`. It fails if a phase did not finish. A broken rule
    /// is no error here: the observer keeps it.
    pub(crate) fn measure(&mut self, idle: Option<Idle>, stops: bool) -> Result<()> {
        self.start()?;
        if let Some(idle) = idle {
            self.idle(idle)?;
        }
        if stops {
            let killed = self.random.random_range(0..self.nodes);
            let stopped = (killed + self.random.random_range(1..self.nodes)) % self.nodes;
            self.kill(killed)?;
            self.restart(killed)?;
            self.stop(stopped)?;
        }
        self.last_look()
    }

    /// Returns the figures measured so far, including the observer's counts, and the broken rules.
    pub(crate) fn into_parts(mut self) -> (Cluster, BTreeMap<Figure, f64>, Vec<String>) {
        let counts = self.observer.counts();
        self.note(figure::VERSIONS_READ, counts.versions as f64);
        self.note(figure::VERSIONS_MISSED, counts.missed as f64);
        self.note(figure::EARLY_FLAPS, counts.early_flaps as f64);
        let mut problems = self.observer.problems().to_vec();
        let untold = counts.problems - problems.len() as u64;
        if untold > 0 {
            problems.push(format!("and {untold} more"));
        }
        (self.cluster, self.figures, problems)
    }

    fn start(&mut self) -> Result<()> {
        let machine = Machine::now()?;
        self.observer
            .follow_links(self.nodes <= FOLLOW_LINKS_FROM_START)?;
        let (mut first, mut last) = (None, 0);
        for place in 0..self.nodes {
            self.observer.started(place);
            last = self.cluster.start(place)?;
            first.get_or_insert(last);
        }
        self.note(
            figure::SPAWNING,
            seconds_between(first.unwrap_or(last), last),
        );
        self.timed(figure::KNOW_ALL, last, None, Observer::all_know_all)?;
        self.note_idle(figure::IDLE_START, &machine)?;
        self.note(
            figure::OBSERVER_START,
            Machine::now()?.own_seconds_since(&machine),
        );
        self.timed_exact(figure::EXACT_START, last)?;
        self.observer.settle();
        Ok(())
    }

    fn idle(&mut self, idle: Idle) -> Result<()> {
        self.follow_for(idle.settling)?;
        let pids = self.cluster.pids();
        let witness = *pids.first().context("nobody runs")?;
        let cpu = |pids: &[u32]| {
            pids.iter()
                .map(|pid| Cpu::of(*pid))
                .collect::<Result<Vec<_>>>()
        };
        let (machine, versions) = (Machine::now()?, self.observer.counts().versions);
        let (began, traffic, before) = (Instant::now(), Traffic::of(witness)?, cpu(&pids)?);
        self.follow_for(idle.window)?;
        let (after, sent, seconds) = (
            cpu(&pids)?,
            Traffic::of(witness)?,
            began.elapsed().as_secs_f64(),
        );
        let now = Machine::now()?;
        self.note_idle(figure::IDLE_IDLE, &machine)?;
        self.note(
            figure::OBSERVER_IDLE,
            now.own_seconds_since(&machine) * 60.0 / seconds,
        );
        let node_seconds = seconds * pids.len() as f64;
        let read = self.observer.counts().versions - versions;
        self.note(figure::WRITES, read as f64 / node_seconds);
        self.note(
            figure::BYTES,
            (sent.bytes - traffic.bytes) as f64 / node_seconds,
        );
        self.note(
            figure::DATAGRAMS,
            (sent.datagrams - traffic.datagrams) as f64 / node_seconds,
        );
        let busy: Vec<f64> = after
            .iter()
            .zip(&before)
            .map(|(after, before)| after.seconds_since(before) * 60.0 / seconds)
            .collect();
        self.note_spread(figure::CPU_MEDIAN, figure::CPU_WORST, &busy);
        let memory = pids
            .iter()
            .map(|pid| Memory::of(*pid))
            .collect::<Result<Vec<_>>>()?;
        let part = |of: fn(&Memory) -> f64| memory.iter().map(of).collect::<Vec<f64>>();
        self.note_spread(
            figure::RSS_MEDIAN,
            figure::RSS_WORST,
            &part(|memory| memory.resident_mib),
        );
        self.note_spread(
            figure::PSS_MEDIAN,
            figure::PSS_WORST,
            &part(|memory| memory.proportional_mib),
        );
        Ok(())
    }

    fn kill(&mut self, place: usize) -> Result<()> {
        self.follow_for_up_to_three_seconds()?;
        let machine = Machine::now()?;
        self.observer.drain()?;
        self.observer.stopped(place);
        let killed = self.cluster.kill(place)?;
        self.timed(figure::KILLED, killed, Some(place), |views| {
            views.nobody_lists(place)
        })?;
        self.note_idle(figure::IDLE_KILLED, &machine)?;
        self.timed_exact(figure::EXACT_KILLED, killed)
    }

    fn restart(&mut self, place: usize) -> Result<()> {
        let machine = Machine::now()?;
        self.observer.drain()?;
        self.observer.started(place);
        let started = self.cluster.start(place)?;
        self.timed(figure::RESTARTED, started, Some(place), |views| {
            views.everybody_lists(place)
        })?;
        self.timed(figure::RESTARTED_KNOWS, started, Some(place), |views| {
            views.knows_all(place)
        })?;
        self.note_idle(figure::IDLE_RESTARTED, &machine)?;
        self.timed_exact(figure::EXACT_RESTARTED, started)
    }

    fn stop(&mut self, place: usize) -> Result<()> {
        self.follow_for_up_to_three_seconds()?;
        let machine = Machine::now()?;
        self.observer.drain()?;
        self.observer.stopped(place);
        let asked = self.cluster.ask_to_stop(place)?;
        self.leaving = Some((place, asked));
        self.timed(figure::STOPPED, asked, Some(place), |views| {
            views.nobody_lists(place)
        })?;
        self.note_idle(figure::IDLE_STOPPED, &machine)?;
        let deadline = Instant::now() + EXIT_LIMIT;
        while self.leaving.is_some() && Instant::now() < deadline {
            self.follow_for(Duration::from_millis(20))?;
        }
        if self.leaving.is_some() {
            let name = self.cluster.name(place).to_owned();
            self.observer.tell(format!(
                "{name} was asked to stop and still runs after {EXIT_LIMIT:?}"
            ));
            self.leaving = None;
            self.cluster.kill(place)?;
        }
        self.timed_exact(figure::EXACT_STOPPED, asked)
    }

    /// Checks the end of a run: the views must stay converged, and the graph must be that of a network at rest.
    fn last_look(&mut self) -> Result<()> {
        self.follow_for(LAST_LOOK)?;
        self.observer.follow_links(true)?;
        self.timed(
            figure::AT_REST,
            crate::shared::kernel::now_ns(),
            None,
            Observer::at_rest,
        )?;
        if let Ok(graph) = self.observer.graph() {
            self.note(figure::LINKS, graph.links as f64);
            self.note(figure::MIN_DEGREE, graph.min_degree as f64);
            self.note(figure::MAX_DEGREE, graph.max_degree as f64);
        }
        Ok(())
    }

    /// Follows the views until they have converged on a sound graph. In large networks, links are followed only until then.
    fn timed_exact(&mut self, figure: Figure, from: u64) -> Result<()> {
        self.observer.follow_links(true)?;
        self.timed(figure, from, None, Observer::exact)?;
        self.observer
            .follow_links(self.nodes <= FOLLOW_LINKS_FROM_START)
    }

    /// Follows the views until `holds` returns a time, and notes how long after `from` (Unix ns) that is.
    fn timed(
        &mut self,
        figure: Figure,
        from: u64,
        about: Option<usize>,
        holds: impl Fn(&Observer) -> Option<u64>,
    ) -> Result<()> {
        match self.follow(PHASE_LIMIT, &holds)? {
            Some(at) => {
                self.note(figure, seconds_between(from, at));
                Ok(())
            }
            None => {
                // The figure gets the limit, because a run that never got there must not look better than a slow one.
                self.note(figure, PHASE_LIMIT.as_secs_f64());
                let lacks = self.observer.complain(about)?;
                bail!(
                    "{:?} not reached within {PHASE_LIMIT:?}:\n{lacks}",
                    figure.name
                )
            }
        }
    }

    /// Follows the views for a random time, so that the next event does not always fall on the same phase of the probe period.
    fn follow_for_up_to_three_seconds(&mut self) -> Result<()> {
        let pause = Duration::from_millis(self.random.random_range(0..=3000));
        self.follow_for(pause)
    }

    fn follow_for(&mut self, time: Duration) -> Result<()> {
        self.follow(time, &|_| None).map(|_| ())
    }

    /// Follows the views until `holds` returns a time, for at most `limit`.
    fn follow(
        &mut self,
        limit: Duration,
        holds: &dyn Fn(&Observer) -> Option<u64>,
    ) -> Result<Option<u64>> {
        let deadline = Instant::now() + limit;
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            self.observer.drain()?;
            if let Some(at) = holds(&self.observer) {
                return Ok(Some(at));
            }
            self.check_processes()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // No event reports that a process has exited, so it is polled.
            let patience = Duration::from_millis(if self.leaving.is_some() { 2 } else { 100 });
            self.observer.wait(left.min(patience))?;
        }
    }

    /// Notes the exit of the node that was asked to stop. The exit of any other node is a failure.
    fn check_processes(&mut self) -> Result<()> {
        if let Some((place, asked)) = self.leaving
            && let Some(status) = self.cluster.ended(place)?
        {
            self.leaving = None;
            let seconds = seconds_between(asked, crate::shared::kernel::now_ns());
            self.note(figure::EXIT, seconds);
            let name = self.cluster.name(place).to_owned();
            if !status.success() {
                self.observer
                    .tell(format!("{name} was asked to stop, and ended with {status}"));
            }
            if seconds > EXIT_LIMIT.as_secs_f64() {
                self.observer
                    .tell(format!("{name} was asked to stop, and took {seconds:.3} s"));
            }
        }
        if self.checked.elapsed() < Duration::from_millis(250) {
            return Ok(());
        }
        self.checked = Instant::now();
        let leaving = self.leaving.map(|(place, _)| place);
        for place in (0..self.nodes).filter(|place| Some(*place) != leaving) {
            if let Some(status) = self.cluster.ended(place)? {
                let (name, words) = (self.cluster.name(place), self.cluster.last_words(place));
                bail!("{name} ended by itself with {status}: {words}");
            }
        }
        Ok(())
    }

    fn note(&mut self, figure: Figure, value: f64) {
        self.figures.insert(figure, value);
    }

    fn note_spread(&mut self, middle: Figure, worst: Figure, values: &[f64]) {
        self.note(middle, median(values));
        self.note(worst, values.iter().copied().fold(0.0, f64::max));
    }

    fn note_idle(&mut self, figure: Figure, since: &Machine) -> Result<()> {
        if let Some(percent) = Machine::now()?.idle_percent_since(since) {
            self.note(figure, percent);
        }
        Ok(())
    }
}
