//! Executes the steps of a scenario, and selects the nodes that they mean.

use std::cmp::Reverse;
use std::sync::Arc;

use rand::seq::SliceRandom as _;

use super::{Deed, Play};
use crate::impair::Impairment;
use crate::sim::delays::Delays;
use crate::sim::lines::Way;
use crate::sim::places::{Places, Who};
use crate::sim::scenario::Action;
use crate::sim::views::counts;
use crate::sim::watch::Violation;

impl Play<'_> {
    pub(super) fn step(&mut self, number: usize) -> Result<(), Violation> {
        let step = &self.scenario.steps[number];
        self.measure.mark(&self.world, &step.words);
        if let Some(recorder) = &mut self.recorder {
            recorder.tell(self.world.now(), &step.words);
        }
        self.delays = Delays::default();
        match &step.action {
            Action::Kill(who) => {
                self.kill(who)?;
            }
            Action::Restart(who, down) => {
                let killed = self.kill(who)?;
                let at = self.world.now() + *down;
                self.at(at, Deed::Start(killed));
            }
            Action::Start(who) => {
                let all = self.pick(who, |play, place| !play.world.is_running(place));
                return self.perform(Deed::Start(all));
            }
            Action::Leave(who) => {
                for place in self.pick(who, |play, place| counts(&play.world.nodes[place])) {
                    self.world.leave(place);
                    self.hear()?;
                }
            }
            Action::Stop(who) => {
                for place in self.pick(who, |play, place| counts(&play.world.nodes[place])) {
                    self.world.pause(place);
                }
            }
            Action::Continue(who) => {
                let paused = |play: &Self, place: usize| play.world.nodes[place].is_paused();
                for place in self.pick(who, paused) {
                    self.world.resume(place);
                    self.hear()?;
                }
            }
            Action::Lie(who) => {
                for place in self.pick(who, |play, place| counts(&play.world.nodes[place])) {
                    self.world.lie(place, true);
                }
            }
            Action::Honest(who) => {
                let lies = |play: &Self, place: usize| play.world.nodes[place].is_lying();
                for place in self.pick(who, lies) {
                    self.world.lie(place, false);
                }
            }
            Action::Partition(parts) => self.partition(parts),
            Action::Heal => self.world.change_terrain(|terrain| {
                terrain.parts.clear();
                terrain.cuts.clear();
            }),
            Action::Netem(ways, impairment) => self.netem(ways, impairment.as_ref()),
            Action::Link(ways, up) => self.world.change_terrain(|terrain| {
                for way in ways {
                    // An earlier entry for the same directions no longer applies.
                    terrain.cuts.retain(|(other, _)| other != way);
                    terrain.cuts.push((way.clone(), !up));
                }
                if terrain.cuts.iter().all(|(_, cut)| !cut) {
                    terrain.cuts.clear();
                }
            }),
        }
        if step.action.hinders() {
            self.hinder();
        } else {
            self.disturb();
        }
        Ok(())
    }

    fn kill(&mut self, who: &Who) -> Result<Vec<usize>, Violation> {
        let all = self.pick(who, |play, place| play.world.is_running(place));
        for &place in &all {
            self.world.kill(place);
        }
        self.hear()?;
        Ok(all)
    }

    fn netem(&mut self, ways: &[Way], impairment: Option<&Arc<Impairment>>) {
        let mut delays = Delays::of(&self.world, &self.views, ways);
        let first = &self.scenario.terrain;
        self.world.change_terrain(|terrain| match impairment {
            Some(impairment) => {
                for way in ways {
                    terrain.ways.retain(|(other, _)| other != way);
                    terrain.ways.push((way.clone(), impairment.clone()));
                }
            }
            None => {
                terrain.ways.retain(|(other, _)| !ways.contains(other));
                let mut back = first.ways.clone();
                back.retain(|(way, _)| ways.contains(way));
                terrain.ways.splice(0..0, back);
            }
        });
        delays.follow_changed(self.world.terrain());
        self.delays = delays;
    }

    fn partition(&mut self, parts: &[Who]) {
        let mut part_of = std::collections::BTreeMap::new();
        for (number, who) in parts.iter().enumerate() {
            let free = |_: &Self, place: usize| !part_of.contains_key(&place);
            let part = u32::try_from(number + 1).expect("there are fewer parts than nodes");
            let places = self.pick(who, free);
            part_of.extend(places.into_iter().map(|place| (place, part)));
        }
        self.world.change_terrain(|terrain| terrain.parts = part_of);
    }

    /// Selects the nodes that are meant, among those that the step can apply to, in the order of their places.
    pub(super) fn pick(&mut self, who: &Who, can: impl Fn(&Self, usize) -> bool) -> Vec<usize> {
        let all = 0..self.scenario.nodes;
        let able: Vec<usize> = all.filter(|&place| can(self, place)).collect();
        let by_lot = |play: &mut Self, mut able: Vec<usize>, count: usize| {
            able.shuffle(&mut play.rng);
            able.truncate(count);
            able.sort_unstable();
            able
        };
        match who {
            Who::Places(Places::All) => able,
            Who::Places(places) => able
                .into_iter()
                .filter(|place| places.contains(*place))
                .collect(),
            Who::Share(share) => {
                let count = (able.len() as f64 * share).round() as usize;
                by_lot(self, able, count)
            }
            Who::Some(count) => by_lot(self, able, *count),
            Who::Hub => {
                let degree = |place: &usize| (self.world.degree(*place), Reverse(*place));
                able.iter()
                    .copied()
                    .max_by_key(degree)
                    .into_iter()
                    .collect()
            }
            Who::Down => able
                .into_iter()
                .filter(|&place| !self.world.is_running(place))
                .collect(),
        }
    }
}
