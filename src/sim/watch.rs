//! Invariants. Each run checks them at every change of a view. Those that only the passing of time violates are checked whenever views are
//! judged. A violation stops the run.
//!
//! - No view shows a node for longer than the bound after its end, and none shows it again. There are two exceptions. If a node dies after a
//!   neighbour whose death it had not detected yet, the bound counts from the last death of that chain. If a neighbour or the viewer was
//!   paused then, the bound counts from its continuation.
//! - No view stays wrong for longer than its bound after the last disturbance. Under churn views can't converge,
//!   so only the other rules apply.
//! - Two nodes have one connection, except during a collision.
//! - No record lists more links than the cap. Each record is newer than the one before it, and its signature is valid.
//! - No table exceeds its limit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::scenario::Bounds;
use super::views::{Standing, Views, counts};
use super::world::{NETWORK, News, Node, Told, World};
use crate::membership::{Event, MAX_DIAL_QUEUE, MAX_NODES, MAX_REMEMBERED, Time};
use crate::record::{MAX_LINKS, Record};

/// How long two nodes may have two connections; a collision is resolved long before.
const CONTEST: Duration = Duration::from_secs(10);
/// The number of signatures that are verified in one batch, which halves the cost.
const BATCH: usize = 64;

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When, in virtual time.
    pub at: Time,
    /// Which rule.
    pub rule: Rule,
    /// A description.
    pub what: String,
}

/// The rules by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A view still shows a node that is gone.
    StillShown,
    /// A view shows a node again that is gone.
    Ghost,
    /// A view stays wrong.
    WrongView,
    /// Two nodes have two connections.
    TwoConnections,
    /// A record lists more links than the cap.
    Degree,
    /// A record is not newer than the one before, or its signature is invalid.
    BadRecord,
    /// A table exceeds its limit.
    Limit,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StillShown => "still_shown",
            Self::Ghost => "ghost",
            Self::WrongView => "wrong_view",
            Self::TwoConnections => "two_connections",
            Self::Degree => "degree",
            Self::BadRecord => "bad_record",
            Self::Limit => "limit",
        })
    }
}

/// See the module's documentation.
pub struct Watch {
    bounds: Bounds,
    /// The time of the last disturbance, and of the last one other than a death or a start: a changed link, a paused or
    /// a Byzantine node.
    disturbed: Time,
    hindered: Time,
    /// Since when each view is wrong.
    wrong_since: Vec<Option<Time>>,
    /// Which nodes run. Kept here because it is read at every change of a view.
    runs: Vec<bool>,
    /// Nodes that are gone, and since when, while a view may still show them.
    gone: BTreeMap<usize, Time>,
    /// The last records of each place: the very last one may have reached no other node.
    last_words: Vec<[Option<Arc<Record>>; 2]>,
    /// Pairs with two connections, and since when.
    doubled: BTreeMap<(usize, usize), Time>,
    unverified: Vec<Arc<Record>>,
    rng: ChaCha8Rng,
}

impl Watch {
    /// Watches this many places.
    #[must_use]
    pub fn new(places: usize, bounds: Bounds) -> Self {
        Self {
            bounds,
            disturbed: Duration::ZERO,
            hindered: Duration::ZERO,
            wrong_since: vec![None; places],
            runs: vec![false; places],
            gone: BTreeMap::new(),
            last_words: vec![[None, None]; places],
            doubled: BTreeMap::new(),
            unverified: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(0),
        }
    }

    /// The network was disturbed: views need time to follow.
    pub fn disturbed(&mut self, at: Time) {
        self.disturbed = at;
    }

    /// It was disturbed by something other than a death or a start: detectors need time as well.
    pub fn hindered(&mut self, at: Time) {
        self.hindered = at;
    }

    /// Checks one report of a node, after the views processed it.
    ///
    /// # Errors
    /// If it violates an invariant.
    pub fn hear(&mut self, world: &World, views: &Views, news: &News) -> Result<(), Violation> {
        let (at, place) = (news.at, news.place);
        match &news.what {
            Told::Started => {
                self.runs[place] = true;
                self.gone.remove(&place);
                self.wrong_since[place] = None;
            }
            Told::Stopped => {
                self.runs[place] = false;
                self.gone.insert(place, at);
            }
            Told::Event(Event::Up(id)) => {
                // Looking at the node itself at each of ten thousand views' changes would be slow.
                let there = views.place(id).filter(|other| !self.runs[*other]);
                if let Some(other) = there
                    && let node = &world.nodes[other]
                    && !node.is_running()
                    && let since = node.stopped()
                    && at > since + self.bounds.gone
                    && !self.is_lately(world.nodes[place].went_on(), at)
                    && !self.may_be_shown(world, views, other, at)
                {
                    let what =
                        format!("node {place} shows node {other}, which is gone since {since:?}");
                    return violation(at, Rule::Ghost, what);
                }
            }
            Told::Published(own, before) => {
                self.last_words[place].swap(0, 1);
                self.last_words[place][0] = Some(own.clone());
                self.published(world, news, own, before.as_deref())?;
            }
            Told::Event(_) | Told::Dialed(_) | Told::Closed(_) => {}
        }
        Ok(())
    }

    /// Whether something happened within the last `bound`.
    fn is_lately(&self, then: Time, at: Time) -> bool {
        then > Duration::ZERO && at <= then + self.bounds.gone
    }

    /// Whether a view may still show a node that has been gone for longer than the bound. It may if the node is reached over records of the dead,
    /// the last of which has been gone for less than the bound, so that its neighbours may not have missed it yet. It also may if the path
    /// leads over a node that was paused and has had as little time since to miss its own neighbours.
    fn may_be_shown(&self, world: &World, views: &Views, gone: usize, at: Time) -> bool {
        let slept = |node: &Node| node.is_paused() || self.is_lately(node.went_on(), at);
        let places = 0..world.nodes.len();
        let sleepers: Vec<usize> = places.filter(|&one| slept(&world.nodes[one])).collect();
        let lists = |one: usize, other: usize| {
            let short = world.nodes[other].id().abbreviated();
            let mut records = self.last_words[one].iter().flatten();
            records.any(|record| record.link_to(&short).is_some())
        };
        let mut chain = vec![gone];
        let mut seen = BTreeSet::from([gone]);
        while let Some(place) = chain.pop() {
            // The viewer may remember the dead node's record from before that node missed the paused one.
            if sleepers.iter().any(|&sleeper| lists(sleeper, place)) {
                return true;
            }
            let records = self.last_words[place].iter().flatten();
            let peers = records.flat_map(|record| &record.body().links);
            for peer in peers.filter_map(|link| views.place_of(&link.peer)) {
                let node = &world.nodes[peer];
                if slept(node) || self.is_lately(node.stopped(), at) {
                    return true;
                }
                if !node.is_running() && seen.insert(peer) {
                    chain.push(peer);
                }
            }
        }
        false
    }

    fn published(
        &mut self,
        world: &World,
        news: &News,
        own: &Arc<Record>,
        before: Option<&Record>,
    ) -> Result<(), Violation> {
        let (at, place) = (news.at, news.place);
        let (links, cap) = (
            own.body().links.len(),
            world.nodes[place].settings.degree_cap + world.nodes[place].settings.guests,
        );
        if links > cap.min(MAX_LINKS) {
            let what = format!("node {place} lists {links} links, and may have {cap}");
            return violation(at, Rule::Degree, what);
        }
        if before.is_some_and(|before| before.version() >= own.version()) {
            let what = format!("node {place} signs a record that is not newer than the one before");
            return violation(at, Rule::BadRecord, what);
        }
        self.unverified.push(own.clone());
        if self.unverified.len() >= BATCH {
            self.verify(at)?;
        }
        Ok(())
    }

    /// Verifies signatures, of the encoded bytes and not of the signer's memory.
    fn verify(&mut self, at: Time) -> Result<(), Violation> {
        let read = |record: Arc<Record>| -> Option<Record> {
            let bytes = postcard::to_stdvec(&*record).ok()?;
            postcard::from_bytes(&bytes).ok()
        };
        let all: Option<Vec<Record>> = self.unverified.drain(..).map(read).collect();
        let Some(all) = all else {
            return violation(at, Rule::BadRecord, "a record doesn't decode".to_owned());
        };
        Record::verify_all(&all, NETWORK, &mut self.rng);
        match all.iter().find(|record| record.verify(NETWORK).is_err()) {
            None => Ok(()),
            Some(bad) => {
                let what = format!("a record of {:?} has a bad signature", bad.id());
                violation(at, Rule::BadRecord, what)
            }
        }
    }

    /// Checks everything that only the passing of time violates.
    ///
    /// # Errors
    /// If an invariant is violated.
    pub fn look(
        &mut self,
        world: &World,
        views: &Views,
        standing: &Standing,
    ) -> Result<(), Violation> {
        let now = world.now();
        self.look_for_gone(world, views)?;
        self.look_at_views(world, views, standing)?;
        self.look_at_connections(world, views)?;
        for place in world.running() {
            self.look_at_tables(world, place)?;
        }
        self.verify(now)
    }

    fn look_for_gone(&mut self, world: &World, views: &Views) -> Result<(), Violation> {
        let (now, bound) = (world.now(), self.bounds.gone);
        for (&place, &since) in &self.gone {
            if now <= since + bound || views.shown_by(place) == 0 {
                continue;
            }
            // A node that was paused could not know, nor can one that was just resumed.
            let shows =
                |viewer: &usize| counts(&world.nodes[*viewer]) && views.shows(*viewer, place);
            let early = now <= self.hindered + bound;
            if let Some(viewer) = world.running().find(shows)
                && !early
                && !self.may_be_shown(world, views, place, now)
            {
                let what = format!("node {viewer} still shows node {place}, gone since {since:?}");
                return violation(now, Rule::StillShown, what);
            }
        }
        self.gone
            .retain(|place, since| now <= *since + bound || views.shown_by(*place) > 0);
        Ok(())
    }

    fn look_at_views(
        &mut self,
        world: &World,
        views: &Views,
        standing: &Standing,
    ) -> Result<(), Violation> {
        let now = world.now();
        if standing.all_exact() {
            self.wrong_since.fill(None);
            return Ok(());
        }
        for place in world.running() {
            let reach = views.reach();
            // Where links come and go for ever, no list of links stays right.
            let is_right = if reach.is_unsteady(place) {
                views.has_right_nodes(place)
            } else {
                views.is_exact(place)
            };
            if !counts(&world.nodes[place]) || is_right {
                self.wrong_since[place] = None;
                continue;
            }
            let since = *self.wrong_since[place].get_or_insert(now);
            let bound = self.bounds.exact + reach.patience(place);
            if now > since.max(self.disturbed) + bound {
                let what = format!("the view of node {place} is wrong since {since:?}");
                return violation(now, Rule::WrongView, what);
            }
        }
        Ok(())
    }

    fn look_at_connections(&mut self, world: &World, views: &Views) -> Result<(), Violation> {
        let now = world.now();
        let mut held = world.linked_pairs(|id| views.place(id));
        held.retain(|(a, b), _| counts(&world.nodes[*a]) && counts(&world.nodes[*b]));
        let double = |pair: &(usize, usize)| held.get(pair).is_some_and(|count| *count > 1);
        self.doubled.retain(|pair, _| double(pair));
        for pair in held.keys().filter(|pair| double(pair)) {
            let since = *self.doubled.entry(*pair).or_insert(now);
            if now > since.max(self.hindered) + CONTEST {
                let what = format!(
                    "nodes {} and {} have two connections since {since:?}",
                    pair.0, pair.1
                );
                return violation(now, Rule::TwoConnections, what);
            }
        }
        Ok(())
    }

    fn look_at_tables(&self, world: &World, place: usize) -> Result<(), Violation> {
        let node = &world.nodes[place];
        // A whole node that is leaving shows nothing any more.
        let Some(tables) = node.core().map(|core| core.tables()) else {
            return Ok(());
        };
        for (name, count, limit) in [
            ("nodes", tables.nodes, MAX_NODES),
            ("remembered nodes", tables.remembered, MAX_REMEMBERED),
            ("dials", tables.dials, node.settings.dials_at_once),
            ("waiting dials", tables.dial_queue, MAX_DIAL_QUEUE),
        ] {
            if count > limit {
                let what = format!("node {place} has {count} {name}, and the limit is {limit}");
                return violation(world.now(), Rule::Limit, what);
            }
        }
        Ok(())
    }
}

fn violation(at: Time, rule: Rule, what: String) -> Result<(), Violation> {
    Err(Violation { at, rule, what })
}
