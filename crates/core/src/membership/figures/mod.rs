//! What is measured on links: the newest figures of every node, and when to tell this node's own.
//!
//! A node tells the figures of the links that it dialed in a message of their own ([`LinkFigures`]), in turn, so that none grows old, and at once
//! when a link's round-trip time moved beyond the link's own noise. Each node receives the figures of every other. So a budget in bytes a
//! second bounds the whole network's figures, not a node's: with more nodes, each one's turn comes less often. Every node counts what it
//! hears, and waits with its own while the budget is used up.
//!
//! This owner knows what others measured, and how old it is. What this node measures itself is read from its links.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::Time;
use super::interface::Config;
use super::links::{Link, Links};
use super::tuning::Tuning;
use super::tuning::figures::Tuning as FiguresTuning;
use super::view::{Index, View};
use crate::bucket::{Bucket, Rate};
use crate::figures::{FiguresBody, LinkFigures, code_of_us, dialed, us_of_code};
use crate::record::{Record, Signer};
use crate::wire::{NodeId, ShortId};

/// The figures of one node.
#[derive(Debug, Clone)]
struct Held {
    figures: Arc<LinkFigures>,
    /// When they came, in tenths of a second: 16 bytes for each node, of which ten thousand cores have ten thousand.
    received_ds: u32,
    /// How old they were then, in tenths of a second.
    age_ds: u16,
}

impl Held {
    fn age(&self, now: Time) -> Duration {
        let since = now.saturating_sub(ds(self.received_ds));
        since + ds(self.age_ds.into())
    }
}

/// So many tenths of a second.
fn ds(ds: u32) -> Duration {
    Duration::from_millis(100 * u64::from(ds))
}

/// What is measured on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Figure {
    /// In µs; 0 while unknown.
    pub(super) rtt_us: u32,
    /// In 1/250.
    pub(super) loss: u8,
    /// The time since it was measured.
    pub(super) age: Duration,
    /// It is older than figures of this network should be.
    pub(super) is_stale: bool,
}

/// What a neighbour's message with figures of a node means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// They are known, or older, or of no record that is known.
    Nothing,
    /// They were taken. `Some` if they are to be passed on; `true`: at once.
    Taken(Index, Option<bool>),
    /// Their signature is wrong; why.
    Forged(String),
}

/// What was last told of the links that this node dialed.
#[derive(Debug, Clone, Copy)]
struct Told {
    peer: ShortId,
    rtt_us: u32,
    loss: u8,
}

/// See the module's documentation.
pub(super) struct Figures {
    config: Arc<Config>,
    tuning: Arc<Tuning>,
    signer: Arc<dyn Signer>,
    /// By the place of the node.
    held: Vec<Option<Held>>,
    /// What this node last told of its links, by a record or by figures.
    told: Vec<Told>,
    told_at: Time,
    count: u32,
    /// When the next figures are due; `None` before the first record that lists a dialed link.
    due: Option<Time>,
    /// They are due because a link moved.
    moved: bool,
    /// No figures were told in this run.
    first: bool,
    /// What all nodes together may still send, in bytes.
    budget: Bucket,
    /// The neighbours along whose links figures spread, and the state of the graph for which they were found.
    tree: (u64, Vec<NodeId>),
}

impl Figures {
    pub(super) fn new(config: Arc<Config>, signer: Arc<dyn Signer>) -> Self {
        Self {
            tuning: config.tuning.clone(),
            config,
            signer,
            held: Vec::new(),
            told: Vec::new(),
            told_at: Time::ZERO,
            count: 0,
            due: None,
            moved: false,
            first: true,
            budget: Bucket::default(),
            tree: (0, Vec::new()),
        }
    }

    fn tuning(&self) -> &FiguresTuning {
        &self.tuning.figures
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.due
    }

    /// How the budget of all nodes together fills, in bytes.
    fn rate(&self) -> Rate {
        let budget = f64::from(self.config.refresh_bytes_per_s);
        Rate {
            burst: (budget * self.tuning().burst_s).max(1.0),
            per_s: budget * self.tuning().share,
        }
    }

    /// What a message of figures costs each node, in bytes.
    fn cost(&self, figures: usize) -> f64 {
        (figures + self.tuning().overhead) as f64
    }

    /// The time between two regular messages of each of `up` nodes. `None`: the budget allows none.
    fn period(&self, up: usize) -> Option<Duration> {
        let per_s = f64::from(self.config.refresh_bytes_per_s) * self.tuning().round_share;
        if per_s <= 0.0 {
            return None;
        }
        // A message without figures has about a hundred bytes.
        let cost = self.cost(100 + self.told.len());
        let period = Duration::from_secs_f64((cost * up as f64 / per_s).min(1e6));
        let tuning = self.tuning();
        let nodes = u32::try_from(up).unwrap_or(u32::MAX);
        let least = tuning.least_period + tuning.node_period.saturating_mul(nodes);
        Some(period.max(least.min(tuning.middling_period)))
    }

    /// This node has a new record: it tells all figures as well. The next ones are due when the links had time to settle. `up`: so many nodes are
    /// up; `shaped`: when the network will have made most of its links.
    pub(super) fn published(
        &mut self,
        now: Time,
        record: &Record,
        (up, shaped): (usize, Time),
        rng: &mut ChaCha8Rng,
    ) {
        let body = record.body();
        self.told.clear();
        self.told.extend(dialed(body).map(|link| Told {
            peer: link.peer,
            rtt_us: link.rtt_us,
            loss: link.loss,
        }));
        self.told_at = now;
        self.moved = false;
        let period = self.period(up);
        let Some(period) = period.filter(|_| !self.told.is_empty() && !body.leaving) else {
            self.due = None;
            return;
        };
        let wait = if self.first {
            let settle = self.tuning().settle;
            settle + settle.mul_f64(rng.random::<f64>())
        } else {
            period.mul_f64(rng.random::<f64>().max(0.1))
        };
        let due = now.max(shaped.min(now + period)) + wait;
        self.due = Some(if self.first {
            due
        } else {
            self.due.map_or(due, |before| before.min(due))
        });
    }

    /// New measurements came in. A round-trip time that moved beyond the link's own noise is told as soon as the budget allows.
    pub(super) fn consider(&mut self, now: Time, links: &Links) {
        if self.moved || self.first || self.due.is_none() || !self.has_moved(links) {
            return;
        }
        self.moved = true;
        let at = now.max(self.told_at + self.tuning().move_spacing);
        self.due = self.due.map(|due| due.min(at));
    }

    fn has_moved(&self, links: &Links) -> bool {
        let tuning = self.tuning();
        let mut dialed = links.listed().filter(|link| link.is_dialed());
        dialed.any(|link| {
            let short = link.peer().abbreviated();
            let told = self.told.iter().find(|told| told.peer == short);
            let Some((told, rtt)) = told.zip(link.rtt()) else {
                return false;
            };
            let moved = rtt.smoothed_us.abs_diff(told.rtt_us);
            let noise = rtt
                .jitter_us
                .max(tuning.move_us)
                .max(told.rtt_us / tuning.move_part);
            let links = &self.tuning.links;
            !rtt.provisional
                && (moved > noise || link.loss_moved(links, told.loss, tuning.move_loss_250))
        })
    }

    /// Signs figures of the links that our record lists as dialed, if that is due and the budget allows. Then returns whether
    /// others should hear of them at once, since a link moved.
    pub(super) fn tell_if_due(
        &mut self,
        now: Time,
        record: &Arc<Record>,
        (me, up): (Index, usize),
        links: &Links,
        rng: &mut ChaCha8Rng,
    ) -> Option<bool> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let period = self.period(up)?;
        let rate = self.rate();
        let cost = self.cost(100 + self.told.len());
        let left = self.budget.fill(now, rate);
        if !self.first && left < cost.min(rate.burst) {
            let wait = (cost.min(rate.burst) - left) / rate.per_s;
            let spread = period.as_secs_f64() / f64::from(self.tuning().spread_part);
            let wait = wait + spread * rng.random::<f64>();
            self.due = Some(now + Duration::from_secs_f64(wait.min(1e6)));
            return None;
        }
        // All nodes tell their first ones at about the same time, and then in turn.
        let wait = if self.first {
            period.mul_f64(0.1 + 0.9 * rng.random::<f64>())
        } else {
            period
        };
        self.first = false;
        let urgent = std::mem::take(&mut self.moved);
        self.told_at = now;
        self.due = Some(now + wait);
        let figures = self.sign(record, period, links);
        self.spend(now, figures.encoded_len());
        self.hold(now, me, figures, 0);
        Some(urgent)
    }

    fn sign(&mut self, record: &Record, period: Duration, links: &Links) -> Arc<LinkFigures> {
        let tuning = self.tuning.clone();
        for told in &mut self.told {
            let link = links
                .listed()
                .find(|link| link.peer().abbreviated() == told.peer);
            let measured = link.and_then(Link::rtt).filter(|rtt| !rtt.provisional);
            told.rtt_us = measured.map_or(told.rtt_us, |rtt| rtt.smoothed_us.max(1));
            told.loss = link.map_or(told.loss, |link| link.known_loss_250(&tuning.links));
        }
        let loses = self.told.iter().any(|told| told.loss > 0);
        let losses = self.told.iter().filter(|_| loses).map(|told| told.loss);
        self.count += 1;
        let body = FiguresBody {
            id: record.id().abbreviated(),
            epoch: record.body().epoch,
            seq: record.body().seq,
            count: self.count,
            every_s: u16::try_from(period.as_secs() + 1).unwrap_or(u16::MAX),
            rtts: self
                .told
                .iter()
                .map(|told| code_of_us(told.rtt_us))
                .collect(),
            losses: losses.collect(),
        };
        LinkFigures::sign(body, &self.config.network, &*self.signer)
    }

    /// A message costs every node its bytes. The budget may owe some, as at a start, but no more than a burst.
    fn spend(&mut self, now: Time, bytes: usize) {
        let (rate, cost) = (self.rate(), bytes + self.tuning().overhead);
        self.budget.take(now, rate, cost);
    }

    /// The figures of a message that are newer than what is held, and of a record that is known; each with its node.
    pub(super) fn news<'a>(
        &self,
        entries: &'a [(u16, Arc<LinkFigures>)],
        view: &View,
    ) -> Vec<(&'a LinkFigures, NodeId)> {
        let news = entries.iter().filter_map(|(_, figures)| {
            let index = self.place_of_news(figures, view)?;
            Some((&**figures, view.record_at(index).id()))
        });
        news.collect()
    }

    fn place_of_news(&self, figures: &LinkFigures, view: &View) -> Option<Index> {
        let body = figures.body();
        let index = view.index(&body.id).filter(|index| *index != view.me())?;
        let is_news = body.belongs_to(view.record_at(index).body())
            && self
                .get(index)
                .is_none_or(|held| held.figures.body().order() < body.order());
        is_news.then_some(index)
    }

    /// Takes a neighbour's message of figures, `age_ds` tenths of a second old when it was sent.
    pub(super) fn take(
        &mut self,
        now: Time,
        figures: Arc<LinkFigures>,
        age_ds: u16,
        view: &View,
    ) -> Heard {
        let Some(index) = self.place_of_news(&figures, view) else {
            return Heard::Nothing;
        };
        let id = view.record_at(index).id();
        if let Err(error) = figures.verify(id, &self.config.network) {
            return Heard::Forged(error.to_string());
        }
        let is_fresh = ds(age_ds.into()) <= self.tuning().passed_on;
        if is_fresh {
            self.spend(now, figures.encoded_len());
        }
        let urgent = self.is_early(now, index, ds(age_ds.into()));
        self.hold(now, index, figures, age_ds);
        Heard::Taken(index, is_fresh.then_some(urgent))
    }

    /// Whether a node's figures of that age come well before the time that its last ones announced. Then a link of it moved.
    fn is_early(&self, now: Time, index: Index, age: Duration) -> bool {
        self.get(index).is_some_and(|before| {
            let period = Duration::from_secs(before.figures.body().every_s.into());
            before.age(now).saturating_sub(age) < period.mul_f64(self.tuning().early_part)
        })
    }

    fn hold(&mut self, now: Time, index: Index, figures: Arc<LinkFigures>, age_ds: u16) {
        let place = index.0 as usize;
        if self.held.len() <= place {
            self.held.resize(place + 1, None);
        }
        self.held[place] = Some(Held {
            figures,
            received_ds: u32::try_from(now.as_millis() / 100).unwrap_or(u32::MAX),
            age_ds,
        });
    }

    /// The neighbours to which figures go on: along a tree that all nodes compute alike. `shape` counts the changes of the graph.
    pub(super) fn tree(&mut self, shape: u64, view: &View) -> &[NodeId] {
        let (known, tree) = &mut self.tree;
        if *known != shape {
            let neighbors = view.tree_neighbors().into_iter();
            *tree = neighbors.map(|index| view.record_at(index).id()).collect();
            *known = shape;
        }
        tree
    }

    fn get(&self, index: Index) -> Option<&Held> {
        self.held.get(index.0 as usize)?.as_ref()
    }

    /// The newest figures of the links in that record, with their age in tenths of a second, to be sent to a neighbour.
    pub(super) fn of_record(
        &self,
        now: Time,
        index: Index,
        record: &Record,
    ) -> Option<(u16, Arc<LinkFigures>)> {
        let held = self.get(index)?;
        let age_ds = u16::try_from(held.age(now).as_millis() / 100).unwrap_or(u16::MAX);
        let is_of_record = held.figures.body().belongs_to(record.body());
        is_of_record.then(|| (age_ds, held.figures.clone()))
    }

    /// What a node measures on the link that it dialed to that peer: by its figures, else by its record, which came at `received`.
    pub(super) fn figure(
        &self,
        now: Time,
        (index, record, received): (Index, &Record, Time),
        peer: &ShortId,
        up: usize,
    ) -> Option<Figure> {
        let (at, listed) = dialed(record.body())
            .enumerate()
            .find(|(_, link)| link.peer == *peer)?;
        let held = self.get(index);
        let held = held.filter(|held| held.figures.body().belongs_to(record.body()));
        let told = held.and_then(|held| {
            let body = held.figures.body();
            let rtt_us = us_of_code(body.rtts[at]);
            let loss = body.losses.get(at).copied().unwrap_or(0);
            (rtt_us > 0).then(|| {
                (
                    rtt_us,
                    loss,
                    held.age(now),
                    Duration::from_secs(body.every_s.into()),
                )
            })
        });
        let (rtt_us, loss, age, period) = told.unwrap_or_else(|| {
            let age = now.saturating_sub(received) + Duration::from_secs(listed.rtt_age_s.into());
            let period = self.period(up).unwrap_or(Duration::MAX);
            (listed.rtt_us, listed.loss, age, period)
        });
        Some(Figure {
            rtt_us,
            loss,
            age,
            is_stale: age > self.stale_after(period, up),
        })
    }

    /// What this node measures on a link of its own. `None` before its first probe was answered.
    pub(super) fn live(&self, now: Time, link: &Link) -> Option<Figure> {
        let rtt = link.rtt()?;
        let age = now.saturating_sub(rtt.at);
        Some(Figure {
            rtt_us: rtt.smoothed_us.max(1),
            loss: link.known_loss_250(&self.tuning.links),
            age,
            is_stale: age > self.tuning().stale_least,
        })
    }

    /// After what time figures are stale whose node tells them once in a period.
    fn stale_after(&self, period: Duration, up: usize) -> Duration {
        let tuning = self.tuning();
        let after = Duration::try_from_secs_f64(period.as_secs_f64() * tuning.stale_periods);
        let most = if up < tuning.stale_small {
            tuning.stale_most
        } else {
            Duration::MAX
        };
        after
            .unwrap_or(Duration::MAX)
            .max(tuning.stale_least)
            .min(most)
    }

    /// Those nodes are forgotten.
    pub(super) fn forget(&mut self, gone: &BTreeSet<Index>) {
        for index in gone {
            if let Some(held) = self.held.get_mut(index.0 as usize) {
                *held = None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
