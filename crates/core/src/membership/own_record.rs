//! Our own record: when it is signed anew, and under which version.
//!
//! - Losses are told at once, and never held for more than 100 ms.
//! - Gains wait for company: 10 to 100 ms by the size of the network and by how long a dial takes on our links, then two to four times
//!   as long each time, up to 1 s, while they keep coming. A start so makes few versions, and each version costs every node a signature to verify. Where
//!   nobody knows anybody yet, a network starts, and the first links wait for those whose dials began with theirs, up to 400 ms.
//! - Links that change only the shape of a network wait until no more of them come: links to nodes that are in view anyway (where there are
//!   more than 32), and links given up as nobody needed them. Links that stand in for lost ones wait two seconds at most.
//! - A change of measurements alone is published when a round-trip time moved by half and 1 ms, or a loss by a fifth of all; when nothing was
//!   published for ten seconds, by 1 % and 50 µs, or by 1.6 points; and after a minute in any case. It comes out of a token bucket that
//!   keeps the idle traffic of the whole network within a budget. Half of the bucket is kept for the large moves: a link that is never at
//!   rest can't use up what tells of a new path. A node has a record for one such move from the beginning, however large the network.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Time;
use super::interface::{Config, Event};
use super::links::{Link, Links};
use super::tuning::Tuning;
use crate::bucket::{Bucket, Rate};
use crate::record::{Body, MAX_ADDRS, MAX_LINKS, Record, Signer};
use crate::wire::dialable;

/// A change that is neither a gain nor a loss waits so long for company.
const CHANGE_HOLD: Duration = Duration::from_millis(50);
/// The longest wait for gains that keep coming.
const LONGEST_GAIN_HOLD: Duration = Duration::from_secs(1);
/// A change of the shape alone waits so long for the next one, and no longer than that in all, but where a network starts.
const SHAPE_HOLD: Duration = Duration::from_secs(1);
const LONGEST_SHAPE_HOLD: Duration = Duration::from_secs(4);
/// The same where we lost links lately: nothing is tidied up then, and what comes stands in for what went.
const LONGEST_AFTER_LOSS: Duration = Duration::from_secs(2);
/// A node whose record lists this many links is reached by them: one more can wait.
const PLACED: usize = 2;
/// A quiet time after which gains are first ones again.
const QUIET: Duration = Duration::from_secs(2);
/// What is worth telling as soon as the bucket holds a record, and what is while it is at least half full, now and then: links that
/// are never at rest leave enough for one that becomes another one.
const GROSS: Worth = Worth {
    us: 1000,
    part: 2,
    loss_250: 50,
    for_certain: true,
};
const FINE: Worth = Worth {
    us: 50,
    part: 100,
    loss_250: 4,
    for_certain: false,
};
/// The last record in the bucket waits until all links were probed: what changed the path of one may have changed others'. The slowest pace
/// is half the configured one.
const PROBE_ROUNDS: u32 = 2;
/// So long after our last record, smaller moves may be told.
const FINE_SPACING: Duration = Duration::from_secs(10);
/// A record whose measurements are older than this is told anew when the bucket is full.
const REFRESH: Duration = Duration::from_secs(60);
/// How many copies of a record a node receives, for the reckoning of the budget.
const COPIES: f64 = 2.0;
/// The bounds of the pause between two jumps above a record of our own that we did not write in this run.
const FIRST_JUMP: Duration = Duration::from_secs(1);
const LONGEST_JUMP: Duration = Duration::from_secs(64);
/// So many foreign records of ours, each above what we had jumped to, and there is a second node with our key.
const TWIN_AFTER: u32 = 3;

/// A change of figures that is worth telling: of a round-trip time more than so many µs and more than that part of it, or of the
/// loss more than so many 250ths, `for_certain` if chance would not have it.
#[derive(Debug, Clone, Copy)]
struct Worth {
    us: u32,
    part: u32,
    loss_250: u8,
    for_certain: bool,
}

/// See the module's documentation.
pub(super) struct OwnRecord {
    config: Arc<Config>,
    tuning: Arc<Tuning>,
    signer: Arc<dyn Signer>,
    record: Arc<Record>,
    epoch: u64,
    seq: u32,
    addrs: Vec<SocketAddr>,
    due: Option<Time>,
    /// Changes of the shape alone wait since then, and until then.
    shape: Option<(Time, Time)>,
    last: Time,
    last_loss: Option<Time>,
    /// A round-trip time is not what our record says any more, since then.
    moved: Option<Time>,
    gain_hold: Duration,
    /// What may be spent on measurements, in records; `None` until it is first counted.
    budget: Option<Bucket>,
    leaving: bool,
    silenced: bool,
    jump_hold: Duration,
    jumped: Option<Time>,
    foreign: u32,
}

/// The network around this node, as far as it decides when a record is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    /// How many nodes are up.
    pub(super) up: usize,
    /// How many nodes will read our record.
    pub(super) readers: usize,
    /// When the network will have made most of its links.
    pub(super) shaped: Time,
}

impl OwnRecord {
    pub(super) fn new(config: Arc<Config>, signer: Arc<dyn Signer>) -> Self {
        let mut addrs = config.addrs.clone();
        addrs.truncate(MAX_ADDRS);
        let body = Body {
            id: signer.node_id(),
            label: config.label.clone(),
            run_id: config.run_id,
            epoch: config.epoch,
            seq: 1,
            addrs: addrs.clone(),
            links: Vec::new(),
            leaving: false,
        };
        Self {
            record: Record::sign(body, &config.network, &*signer),
            epoch: config.epoch,
            seq: 1,
            addrs,
            due: None,
            shape: None,
            last: Time::ZERO,
            last_loss: None,
            moved: None,
            gain_hold: config.tuning.pace.first_gain,
            budget: None,
            leaving: false,
            silenced: false,
            jump_hold: FIRST_JUMP,
            jumped: None,
            foreign: 0,
            tuning: config.tuning.clone(),
            config,
            signer,
        }
    }

    pub(super) fn record(&self) -> &Arc<Record> {
        &self.record
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether this node said that it leaves.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// When it told of a lost link last, or will.
    pub(super) fn last_loss(&self) -> Option<Time> {
        self.last_loss
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let shape = self.shape.map(|(_, due)| due);
        self.due.into_iter().chain(shape).min()
    }

    fn due_by(&mut self, at: Time) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// A link came that others should soon know of: we, or nodes behind it, are reached by it.
    pub(super) fn link_gained(&mut self, now: Time, around: Around, links: &Links) {
        let first = self.begin_gain(now, around, links);
        self.due_by((self.last + self.gain_hold).max(now + first));
    }

    /// A link came to a node that was in view already, by way of others. In a large network that can wait, and go with the next ones;
    /// our own first two links can't, as we are reached by them. Tells whether it waits.
    pub(super) fn link_added(&mut self, now: Time, around: Around, links: &Links) -> bool {
        let is_placed = self.record.body().links.len() >= PLACED;
        let waits = is_placed && !self.tuning.pace.is_small(around.up);
        if waits {
            self.shape_changed(now);
        } else {
            self.link_gained(now, around, links);
        }
        waits
    }

    /// A link has another state or connection.
    pub(super) fn link_changed(&mut self, now: Time, around: Around, links: &Links) {
        self.begin_gain(now, around, links);
        self.due_by(now + CHANGE_HOLD);
    }

    /// After a quiet time, gains wait as long as first ones do; returns how long that is.
    fn begin_gain(&mut self, now: Time, around: Around, links: &Links) -> Duration {
        let longest = links.iter().filter_map(Link::rtt_us).max();
        let is_placed = !self.record.body().links.is_empty();
        let first =
            self.tuning
                .pace
                .first_gain(around.readers, longest.unwrap_or_default(), is_placed);
        if now.saturating_sub(self.last) > QUIET {
            self.gain_hold = first;
        }
        first
    }

    /// A link was given up by both ends, as neither needs it.
    pub(super) fn link_given_up(&mut self, now: Time) {
        self.shape_changed(now);
    }

    /// A link was lost, or is suspect.
    pub(super) fn link_lost(&mut self, now: Time, links: &Links) {
        let at = match self.last_loss {
            // No neighbours are left whom versions would cost anything, and the next one we meet should hear of no links that are gone.
            Some(_) if links.listed().next().is_none() => now,
            // One is planned already, and this loss goes with it.
            Some(at) if at > now => at,
            Some(at) => (at + self.tuning.own_record.loss_spacing).max(now),
            None => now,
        };
        self.due_by(at);
        self.last_loss = Some(at);
    }

    /// A link came or went that others need not know of soon. Most often it is one of several.
    fn shape_changed(&mut self, now: Time) {
        let due = now + SHAPE_HOLD;
        let (since, _) = self.shape.unwrap_or((now, due));
        let longest = self.longest_shape_hold(now, Duration::ZERO);
        self.shape = Some((since, due.min(since + longest)));
    }

    /// Longer in a network that grows, for so long: all its news comes before its shape is made, and views converge for a moment.
    fn longest_shape_hold(&self, now: Time, growing: Duration) -> Duration {
        if self.tuning.pace.is_after_loss(now, self.last_loss) {
            LONGEST_AFTER_LOSS
        } else {
            LONGEST_SHAPE_HOLD + growing
        }
    }

    /// Peers see us at addresses. If we listen on all of ours, that is how we learn which work: those that two neighbours agree on, or
    /// that our only neighbours name, so that one Byzantine node can't move us.
    pub(super) fn learn_addrs(&mut self, now: Time, links: &Links) {
        if !self.config.addrs.is_empty() {
            return;
        }
        let mut votes: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        let observed = links.iter().map(Link::observed);
        for addr in observed.filter(|addr| dialable(addr, true)) {
            *votes.entry(addr).or_default() += 1;
        }
        let needed = if links.len() > 2 { 2 } else { 1 };
        let enough = votes.into_iter().filter(|(_, count)| *count >= needed);
        let mut addrs: Vec<(usize, SocketAddr)> =
            enough.map(|(addr, count)| (count, addr)).collect();
        addrs.sort_unstable_by(|a, b| b.cmp(a));
        let addrs: Vec<SocketAddr> = addrs
            .into_iter()
            .take(MAX_ADDRS)
            .map(|(_, addr)| addr)
            .collect();
        if !addrs.is_empty() && addrs != self.addrs {
            self.addrs = addrs;
            self.due_by(now + CHANGE_HOLD);
        }
    }

    /// The next record is the last one.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Signs the record anew, if that is due.
    pub(super) fn publish_if_due(
        &mut self,
        now: Time,
        around: Around,
        links: &Links,
    ) -> Option<Arc<Record>> {
        if let Some((since, due)) = self.shape
            && due <= now
        {
            // While a network starts up, links come all the time, and each version costs every node a verification.
            let longest = self.longest_shape_hold(now, self.tuning.pace.growing(around.up));
            let calm = around.shaped.min(since + longest);
            if calm > now {
                self.shape = Some((since, calm));
            } else {
                self.due_by(now);
            }
        }
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        self.gain_hold =
            (self.gain_hold * self.tuning.pace.gain_factor(around.up)).min(LONGEST_GAIN_HOLD);
        self.publish(now, links)
    }

    /// Signs the record anew, as the links are now. A silenced twin says nothing: the other one stays, and its word would be taken for that
    /// of the other.
    pub(super) fn publish(&mut self, now: Time, links: &Links) -> Option<Arc<Record>> {
        self.due = None;
        self.shape = None;
        self.moved = None;
        if self.silenced {
            return None;
        }
        let mut states = links.states(now);
        // The cap keeps far below; but a record that nobody could read must never be signed.
        states.truncate(MAX_LINKS);
        states.sort_by_key(|link| link.peer);
        self.seq += 1;
        self.last = now;
        let body = Body {
            id: self.signer.node_id(),
            label: self.config.label.clone(),
            run_id: self.config.run_id,
            epoch: self.epoch,
            seq: self.seq,
            addrs: self.addrs.clone(),
            links: states,
            leaving: self.leaving,
        };
        self.record = Record::sign(body, &self.config.network, &*self.signer);
        Some(self.record.clone())
    }

    /// New measurements came in: publishes them, where they are news and the budget allows.
    pub(super) fn consider_figures(&mut self, now: Time, around: Around, links: &Links) {
        // While a network starts up, records change anyway.
        if self.due.is_some() || self.leaving || now < around.shaped {
            return;
        }
        let records = self.fill_budget(now, around.up);
        if records < 1.0 {
            return;
        }
        let age = now.saturating_sub(self.last);
        let is_calm =
            records >= self.tuning.pace.budget_records(around.up) / 2.0 && age >= FINE_SPACING;
        if is_calm && (age >= REFRESH || self.figures_moved(FINE, links)) {
            self.tell_figures(now);
            return;
        }
        if !self.figures_moved(GROSS, links) {
            self.moved = None;
            return;
        }
        let moved = *self.moved.get_or_insert(now);
        let round = self.config.probe_interval * PROBE_ROUNDS;
        if records >= 2.0 || now >= moved + round {
            self.tell_figures(now);
        }
    }

    /// Fills the budget and tells how many records of ours it holds. One record of each of `up` nodes costs every node its copies, so a node's
    /// own share of the budget shrinks with the network.
    fn fill_budget(&mut self, now: Time, up: usize) -> f64 {
        let bytes_per_s = f64::from(self.config.refresh_bytes_per_s) / COPIES / up as f64;
        let rate = Rate {
            burst: self.tuning.pace.budget_records(up),
            per_s: bytes_per_s / self.record.encoded_len() as f64,
        };
        let first = || Bucket::holding(Time::ZERO, self.tuning.pace.first_budget_records(up));
        self.budget.get_or_insert_with(first).fill(now, rate)
    }

    fn tell_figures(&mut self, now: Time) {
        if let Some(budget) = &mut self.budget {
            budget.spend(1.0);
        }
        self.due_by(now);
    }

    /// Whether a figure that is shown moved: the round-trip time and the loss of a link are those that its dialer measures.
    fn figures_moved(&self, worth: Worth, links: &Links) -> bool {
        let mut dialed = links.listed().filter(|link| link.is_dialed());
        dialed.any(|link| {
            let listed = self.record.link_to(&link.peer().abbreviated());
            let Some((listed, rtt)) = listed.zip(link.rtt()) else {
                return false;
            };
            if rtt.provisional {
                return false;
            }
            let moved = rtt.smoothed_us.abs_diff(listed.rtt_us);
            let loss_moved = if worth.for_certain {
                link.loss_moved(listed.loss, worth.loss_250)
            } else {
                link.known_loss_250().abs_diff(listed.loss) > worth.loss_250
            };
            moved > worth.us.max(listed.rtt_us / worth.part) || loss_moved
        })
    }

    /// In how many seconds the budget lets each of `up` nodes tell its measurements once.
    pub(super) fn refresh_round_s(&self, up: usize) -> f64 {
        let record = self.record.encoded_len() as f64;
        let budget = f64::from(self.config.refresh_bytes_per_s.max(1));
        record * COPIES * up as f64 / budget
    }

    /// A record of our own that we did not write in this run, and that is newer than ours: jumps above it. Returns what a person should know.
    pub(super) fn heard_own(&mut self, now: Time, record: &Record) -> Option<Event> {
        let body = record.body();
        // A peer can't forge our signature, so this epoch was ours once; the bound only keeps the addition honest.
        self.epoch = self.epoch.max(body.epoch.saturating_add(1));
        if self.silenced && body.leaving {
            // The other one has gone: the network is ours again.
            self.silenced = false;
            self.foreign = 0;
        }
        if let Some(at) = self.jumped {
            if now < at + self.jump_hold {
                self.due_by(at + self.jump_hold);
                return None;
            }
            let calm = now.saturating_sub(at) > LONGEST_JUMP * 2;
            self.foreign = if calm { 0 } else { self.foreign };
            self.jump_hold = if calm {
                FIRST_JUMP
            } else {
                (self.jump_hold * 2).min(LONGEST_JUMP)
            };
        }
        self.jumped = Some(now);
        self.due_by(now);
        if body.run_id == self.config.run_id {
            return None;
        }
        self.foreign += 1;
        (self.foreign == TWIN_AFTER).then(|| {
            self.silenced = self.config.run_id < body.run_id && !self.leaving;
            Event::Twin {
                run_id: body.run_id,
                remote: None,
                silenced: self.silenced,
            }
        })
    }
}
