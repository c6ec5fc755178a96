//! Runs a scenario: starts the nodes, executes the steps in time, and judges all views at short intervals.

mod steps;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::delays::Delays;
use super::measure::Measure;
use super::people::people;
use super::places::Who;
use super::recorder::{self, Recorder};
use super::scenario::{Fidelity, Scenario};
use super::toll::Toll;
use super::views::{Standing, Views};
use super::watch::{Violation, Watch};
use super::world::{News, Told, World};
use crate::membership::Time;

/// How often views are judged while they change and at rest. It is more rarely in a large network, where each time costs more.
const LOOK: Duration = Duration::from_millis(100);
const LARGE: usize = 2500;
const LOOK_AT_REST: Duration = Duration::from_secs(1);
/// How long views are expected to change after a step.
const UNREST: Duration = Duration::from_secs(5);
/// How many events happen between two calls of `go_on`.
const SPELL: u64 = 4096;

/// An entry of the run's agenda.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Look,
    Start(Vec<usize>),
    Step(usize),
    /// That attack begins.
    Attack(usize),
    ChurnKill,
    Record,
}

/// The progress of a run.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Virtual time.
    pub now: Time,
    /// The end of the run.
    pub lasts: Time,
    /// Events so far.
    pub happened: u64,
    /// The result of the last judging.
    pub standing: Standing,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It ran to its end.
    Done,
    /// `go_on` returned `false`.
    Interrupted,
    /// An invariant was violated.
    Violated(Violation),
}

/// A scenario that is being run.
pub struct Play<'a> {
    scenario: &'a Scenario,
    /// The world that it runs in.
    pub world: World,
    views: Views,
    watch: Watch,
    measure: Measure,
    delays: Delays,
    agenda: BinaryHeap<Reverse<(Time, u64, Deed)>>,
    deeds: u64,
    /// The number of events at which `go_on` is called next.
    spell_over: u64,
    rng: ChaCha8Rng,
    standing: Standing,
    disturbed: Time,
    recorder: Option<&'a mut Recorder>,
}

impl<'a> Play<'a> {
    /// Everything is set up, and nothing has happened.
    #[must_use]
    pub fn new(scenario: &'a Scenario) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(scenario.seed);
        // The random generators of the world and of the steps are independent.
        rng.set_stream(1);
        let mut world = match scenario.fidelity {
            Fidelity::Core => World::new(scenario.seed),
            Fidelity::Whole => World::of_whole_nodes(scenario.seed),
        };
        world.restarts = scenario.restarts();
        world.change_terrain(|terrain| *terrain = scenario.terrain.clone());
        people(scenario, &mut world, &mut rng);
        let mut play = Self {
            views: Views::new(&world),
            watch: Watch::new(scenario.places(), scenario.bounds),
            measure: Measure::new(scenario),
            delays: Delays::default(),
            agenda: BinaryHeap::new(),
            deeds: 0,
            spell_over: SPELL,
            rng,
            standing: Standing::default(),
            disturbed: Duration::ZERO,
            recorder: None,
            world,
            scenario,
        };
        play.measure.toll = Toll::new(scenario, &play.world);
        play.plan();
        play
    }

    /// Lets that recorder record the run.
    pub fn record(&mut self, recorder: &'a mut Recorder) {
        for node in &mut self.world.nodes {
            node.start.tells_links = true;
        }
        self.recorder = Some(recorder);
        self.at(Duration::ZERO, Deed::Record);
    }

    fn plan(&mut self) {
        let (nodes, over) = (self.scenario.places(), self.scenario.start_over);
        let absent = self.scenario.absent.as_ref();
        let comes = |place: &usize| {
            let is_honest = *place < self.scenario.nodes;
            !is_honest || absent.is_none_or(|absent| !absent.contains(*place))
        };
        let first: Vec<usize> = (0..nodes).filter(comes).collect();
        if over.is_zero() {
            self.at(Duration::ZERO, Deed::Start(first));
        } else {
            for place in first {
                let at = over.mul_f64(place as f64 / nodes as f64);
                self.at(at, Deed::Start(vec![place]));
            }
        }
        for (number, plan) in self.scenario.byzantine.iter().enumerate() {
            self.at(plan.from, Deed::Attack(number));
        }
        for (number, step) in self.scenario.steps.iter().enumerate() {
            self.at(step.at, Deed::Step(number));
        }
        if let Some(churn) = self.scenario.churn {
            self.at(churn.from, Deed::ChurnKill);
        }
        self.at(LOOK, Deed::Look);
    }

    fn at(&mut self, at: Time, deed: Deed) {
        self.deeds += 1;
        self.agenda.push(Reverse((at, self.deeds, deed)));
    }

    /// Runs to the end, or until `go_on` returns `false`; it is called now and then.
    pub fn run(mut self, mut go_on: impl FnMut(&Progress) -> bool) -> (Ended, Measure, World) {
        let ended = self.run_on(&mut go_on);
        let Self {
            world,
            mut measure,
            mut views,
            recorder,
            ..
        } = self;
        if let Some(recorder) = recorder {
            recorder.look_last(&world);
        }
        let standing = views.judge(&world);
        measure.finish(&world, &views, &standing);
        (ended, measure, world)
    }

    fn run_on(&mut self, go_on: &mut impl FnMut(&Progress) -> bool) -> Ended {
        while let Some(Reverse((at, _, deed))) = self.agenda.pop() {
            if at > self.scenario.lasts {
                break;
            }
            match self.run_until(at, go_on) {
                Ok(true) => {}
                Ok(false) => return Ended::Interrupted,
                Err(violation) => return Ended::Violated(violation),
            }
            let looks = matches!(deed, Deed::Look | Deed::Record);
            let done = self.perform(deed).and_then(|()| self.hear());
            if let Err(violation) = done {
                return Ended::Violated(violation);
            }
            // If all nodes are dead, there are few other events.
            if looks && !go_on(&self.progress()) {
                return Ended::Interrupted;
            }
        }
        match self.run_until(self.scenario.lasts, go_on) {
            Ok(true) => Ended::Done,
            Ok(false) => Ended::Interrupted,
            Err(violation) => Ended::Violated(violation),
        }
    }

    /// Advances the world; `false` if `go_on` stopped it.
    fn run_until(
        &mut self,
        at: Time,
        go_on: &mut impl FnMut(&Progress) -> bool,
    ) -> Result<bool, Violation> {
        while self.world.step(at) {
            self.hear()?;
            if self.world.steps() >= self.spell_over {
                self.spell_over = self.world.steps() + SPELL;
                if !go_on(&self.progress()) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn progress(&self) -> Progress {
        Progress {
            now: self.world.now(),
            lasts: self.scenario.lasts,
            happened: self.world.steps(),
            standing: self.standing,
        }
    }

    /// Processes all reports of nodes.
    fn hear(&mut self) -> Result<(), Violation> {
        while let Some(news) = self.world.poll_news() {
            let place = news.place;
            if place >= self.scenario.nodes {
                self.hear_byzantine(&news);
                continue;
            }
            if let Some(recorder) = &mut self.recorder {
                recorder.hear(&news);
            }
            if let Some(toll) = &mut self.measure.toll {
                toll.hear(&self.world, &self.views, &news);
            }
            let gone = match &news.what {
                Told::Started | Told::Stopped => {
                    self.views.nodes_changed();
                    self.views.clear(place)
                }
                Told::Event(event) => self.views.hear(place, event),
                Told::Published(..) | Told::Dialed(_) | Told::Closed(_) => Vec::new(),
            };
            if !gone.is_empty() {
                // Whether that is right depends on who can reach whom now.
                self.views.update_reach(&self.world);
            }
            self.measure.hear(&self.world, &self.views, &news, &gone);
            self.watch.hear(&self.world, &self.views, &news)?;
        }
        Ok(())
    }

    /// Processes a report of a node that is Byzantine for the whole run. Its view is nobody's business, but it may connect others.
    fn hear_byzantine(&mut self, news: &News) {
        if matches!(news.what, Told::Started | Told::Stopped) {
            self.views.nodes_changed();
        }
    }

    fn perform(&mut self, deed: Deed) -> Result<(), Violation> {
        match deed {
            Deed::Look => return self.look(),
            Deed::Start(places) => {
                for place in places {
                    if !self.world.is_running(place) {
                        self.world.start(place);
                        self.hear()?;
                    }
                }
                self.disturb();
            }
            Deed::Step(number) => {
                self.step(number)?;
                let standing = self.views.judge(&self.world);
                self.measure.after_mark(&standing);
            }
            Deed::ChurnKill => self.churn(),
            Deed::Attack(number) => {
                let words = self.scenario.byzantine[number].to_string().into();
                self.measure.mark(&self.world, &words);
                if let Some(recorder) = &mut self.recorder {
                    recorder.tell(self.world.now(), &words);
                }
            }
            Deed::Record => {
                if let Some(recorder) = &mut self.recorder {
                    recorder.look(&self.world);
                }
                self.at(self.world.now() + recorder::LOOK, Deed::Record);
            }
        }
        Ok(())
    }

    /// The network was disturbed other than by deaths and starts.
    fn hinder(&mut self) {
        self.views.terrain_changed();
        self.watch.hindered(self.world.now());
        self.disturb();
    }

    fn disturb(&mut self) {
        self.views.nodes_changed();
        self.disturbed = self.world.now();
        self.watch.disturbed(self.disturbed);
        self.measure.disturbed(self.disturbed);
    }

    fn look(&mut self) -> Result<(), Violation> {
        self.standing = self.views.judge(&self.world);
        self.measure.look(&self.world, &self.views, &self.standing);
        if let Some(toll) = &mut self.measure.toll {
            let Standing { pairs, known, .. } = self.standing;
            let known = known as f64 / pairs.max(1) as f64;
            toll.look(&self.world, &self.views, known);
        }
        if self.delays.are_shown(&self.world, &self.views) {
            self.measure.delays_shown(self.world.now());
            self.delays = Delays::default();
        }
        self.watch.look(&self.world, &self.views, &self.standing)?;
        let now = self.world.now();
        let restless = !self.standing.all_exact() || now < self.disturbed + UNREST;
        let look =
            LOOK * u32::try_from(self.scenario.nodes.div_ceil(LARGE)).expect("fewer than ports");
        let pause = if restless {
            look
        } else {
            LOOK_AT_REST.max(look)
        };
        self.at(now + pause, Deed::Look);
        Ok(())
    }

    fn churn(&mut self) {
        let Some(churn) = self.scenario.churn else {
            return;
        };
        let now = self.world.now();
        if now < churn.until {
            // The intervals of a Poisson process.
            let chance: f64 = self.rng.random();
            let pause = -(1.0 - chance).ln() * 60.0 / churn.per_min;
            // An interval that is no valid time is longer than any run.
            let pause = Duration::try_from_secs_f64(pause).unwrap_or(Duration::MAX);
            if let Some(next) = now.checked_add(pause) {
                self.at(next, Deed::ChurnKill);
            }
            let victims = self.pick(&Who::Some(1), |play, place| play.world.is_running(place));
            for &place in &victims {
                self.world.kill(place);
            }
            self.at(now + churn.down, Deed::Start(victims));
            self.disturb();
        }
    }
}
