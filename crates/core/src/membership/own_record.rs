//! Our own record: when it is signed anew, and under which version.
//!
//! - Lost links are published at once. None is held for more than 100 ms.
//! - Gained links wait for more of them: 10 to 100 ms, by the size of the network and the time of a dial over our links. While they keep
//!   coming, each wait is two to four times as long as the one before, up to 1 s. So a start makes few versions; each version costs
//!   every node a signature to verify. In a network that starts, no node knows another yet. There the first links wait up to
//!   400 ms for those that were dialed at the same time.
//! - Links that change only the shape of the network wait until no more of them come. These are links to nodes that are in view already (in
//!   a network of more than 32), and links given up because neither end needs them. Links that replace lost ones wait two seconds at most.
//! - A change of measurements alone is published when a round-trip time moved by half and 1 ms, or a loss by a fifth of all; when nothing was
//!   published for ten seconds, by 1 % and 50 µs, or by 1.6 points; and after a minute in any case. It comes out of a token bucket that
//!   keeps the idle traffic of the whole network within a budget. Half of the bucket is kept for large moves, so that a link whose times
//!   never rest can't use up the records for a new path. At the start a node may publish one such move, however large the network.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Time;
use super::interface::{Config, Event};
use super::links::{Link, Links};
use super::tuning::Tuning;
use super::tuning::own_record::Tuning as OwnTuning;
use crate::bucket::{Bucket, Rate};
use crate::record::{Body, MAX_ADDRS, MAX_LINKS, Record, Signer};
use crate::wire::dialable;

/// The waits must fit each other.
const _: () = {
    let tuning = Tuning::DEFAULT.own_record;
    let gain = tuning.longest_gain_hold.as_nanos();
    assert!(
        gain < tuning.quiet.as_nanos(),
        "gains that keep coming are not taken for first ones"
    );
    assert!(
        Tuning::DEFAULT.pace.first_gain.as_nanos() <= gain,
        "the wait for gains grows"
    );
    let after_loss = tuning.longest_after_loss.as_nanos();
    assert!(
        tuning.shape_hold.as_nanos() <= after_loss
            && after_loss <= tuning.longest_shape_hold.as_nanos(),
        "a change of the shape waits for one more, less long after a loss"
    );
    assert!(
        tuning.fine_us <= tuning.gross_us
            && tuning.fine_part >= tuning.gross_part
            && tuning.fine_loss_250 <= tuning.gross_loss_250,
        "a gross move is a fine one as well"
    );
    assert!(
        tuning.fine_spacing.as_nanos() <= tuning.refresh.as_nanos(),
        "fine moves are told between two refreshes"
    );
    assert!(
        tuning.first_jump.as_nanos() <= tuning.longest_jump.as_nanos(),
        "the pause between jumps grows"
    );
};

/// A threshold for publishing measurements. A round-trip time must move by more than so many µs and more than that part of it, or
/// the loss by more than so many 250ths. `for_certain` also excludes random variation.
#[derive(Debug, Clone, Copy)]
struct Worth {
    us: u32,
    part: u32,
    loss_250: u32,
    for_certain: bool,
}

impl OwnTuning {
    /// The threshold that applies as soon as the budget holds a record.
    fn gross(&self) -> Worth {
        Worth {
            us: self.gross_us,
            part: self.gross_part,
            loss_250: self.gross_loss_250,
            for_certain: true,
        }
    }

    /// The threshold that applies now and then, while the budget is at least half full. So links that are never at rest leave
    /// enough for a link whose path changes.
    fn fine(&self) -> Worth {
        Worth {
            us: self.fine_us,
            part: self.fine_part,
            loss_250: self.fine_loss_250,
            for_certain: false,
        }
    }
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
    /// When the pending changes of the shape alone began to wait, and until when they wait.
    shape: Option<(Time, Time)>,
    last: Time,
    last_loss: Option<Time>,
    /// Since when a round-trip time differs from our record.
    moved: Option<Time>,
    gain_hold: Duration,
    /// The budget for measurements, in records. `None` until it is first counted.
    budget: Option<Bucket>,
    /// The budget for records that tell of lost links, in bytes. `None` until it is first counted.
    losses: Option<Bucket>,
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
            losses: None,
            leaving: false,
            silenced: false,
            jump_hold: config.tuning.own_record.first_jump,
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

    /// Whether this node has begun to leave.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// When our record last published a lost link, or will.
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

    /// A link was gained that others should soon know of: it makes this node, or nodes behind it, reachable.
    pub(super) fn link_gained(&mut self, now: Time, around: Around, links: &Links) {
        let first = self.begin_gain(now, around, links);
        self.due_by((self.last + self.gain_hold).max(now + first));
    }

    /// A link was gained to a node that was already in view through others. In a large network it can wait and go with the next
    /// ones. Our own first two links can't wait, as others reach us through them. Returns whether the link waits.
    pub(super) fn link_added(&mut self, now: Time, around: Around, links: &Links) -> bool {
        let is_placed = self.record.body().links.len() >= self.tuning.own_record.placed;
        let waits = is_placed && !self.tuning.pace.is_small(around.up);
        if waits {
            self.shape_changed(now);
        } else {
            self.link_gained(now, around, links);
        }
        waits
    }

    /// The state or the connection of a link changed.
    pub(super) fn link_changed(&mut self, now: Time, around: Around, links: &Links) {
        self.begin_gain(now, around, links);
        self.due_by(now + self.tuning.own_record.change_hold);
    }

    /// After a quiet time, a gain waits as long as a first one does. Returns that wait.
    fn begin_gain(&mut self, now: Time, around: Around, links: &Links) -> Duration {
        let longest = links.iter().filter_map(Link::rtt_us).max();
        let is_placed = !self.record.body().links.is_empty();
        let first =
            self.tuning
                .pace
                .first_gain(around.readers, longest.unwrap_or_default(), is_placed);
        if now.saturating_sub(self.last) > self.tuning.own_record.quiet {
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
            // No neighbours left: publish at once. The next neighbour should not hear of lost links.
            Some(_) if links.listed().next().is_none() => now,
            // A publication is planned already, and this loss goes with it.
            Some(at) if at > now => at,
            Some(at) => (at + self.loss_spacing(now)).max(now),
            None => now,
        };
        self.due_by(at);
        self.last_loss = Some(at);
    }

    /// The least time between two records that tell of lost links. The record of a node with hundreds of guests is large, and all
    /// nodes receive it: where guests come and go all the time, it is published less often.
    fn loss_spacing(&mut self, now: Time) -> Duration {
        let (tuning, bytes) = (&self.tuning.own_record, self.record.encoded_len());
        let rate = Rate {
            burst: tuning.loss_burst,
            per_s: tuning.loss_bytes_per_s,
        };
        let losses = self
            .losses
            .get_or_insert_with(|| Bucket::holding(now, rate.burst));
        if losses.take(now, rate, bytes) {
            tuning.loss_spacing
        } else {
            let pause = Duration::from_secs_f64(bytes as f64 / rate.per_s);
            pause.max(tuning.loss_spacing)
        }
    }

    /// A link was gained or given up, and other nodes need not know soon: several such changes often come together.
    fn shape_changed(&mut self, now: Time) {
        let due = now + self.tuning.own_record.shape_hold;
        let (since, _) = self.shape.unwrap_or((now, due));
        let longest = self.longest_shape_hold(now, Duration::ZERO);
        self.shape = Some((since, due.min(since + longest)));
    }

    /// The hold is longer while the network grows: then gains are published before its shape is made, and views converge for a
    /// moment.
    fn longest_shape_hold(&self, now: Time, growing: Duration) -> Duration {
        if self.tuning.pace.is_after_loss(now, self.last_loss) {
            self.tuning.own_record.longest_after_loss
        } else {
            self.tuning.own_record.longest_shape_hold + growing
        }
    }

    /// Learns our addresses as peers see them, if we listen on all of ours. Two neighbours must report the same address, so that
    /// one Byzantine node can't move us. With one or two neighbours, one report is enough.
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
            self.due_by(now + self.tuning.own_record.change_hold);
        }
    }

    /// The next record is the last one.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Whether something is due.
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.deadline().is_some_and(|due| due <= now)
    }

    /// Whether a change of measurements alone could be published: while another change waits, it goes with that.
    pub(super) fn may_tell_figures(&self) -> bool {
        self.due.is_none() && !self.leaving
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
        self.gain_hold = (self.gain_hold * self.tuning.pace.gain_factor(around.up))
            .min(self.tuning.own_record.longest_gain_hold);
        self.publish(now, links)
    }

    /// Signs the record anew, with the present links. A silenced twin publishes nothing: the other node keeps the identity, and
    /// other nodes would take our record for its own.
    pub(super) fn publish(&mut self, now: Time, links: &Links) -> Option<Arc<Record>> {
        self.due = None;
        self.shape = None;
        self.moved = None;
        if self.silenced {
            return None;
        }
        let mut states = links.states(now);
        // The cap keeps far below this limit, but a record that nobody could read must never be signed.
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

    /// New measurements came in: publishes them if they pass the threshold and the budget allows.
    pub(super) fn consider_figures(&mut self, now: Time, around: Around, links: &Links) {
        // While a network starts up, records change anyway.
        if !self.may_tell_figures() || now < around.shaped {
            return;
        }
        let records = self.fill_budget(now, around.up);
        if records < 1.0 {
            return;
        }
        let age = now.saturating_sub(self.last);
        let is_calm = records >= self.tuning.pace.budget_records(around.up) / 2.0
            && age >= self.tuning.own_record.fine_spacing;
        if is_calm
            && (age >= self.tuning.own_record.refresh
                || self.figures_moved(self.tuning.own_record.fine(), links))
        {
            self.tell_figures(now);
            return;
        }
        if !self.figures_moved(self.tuning.own_record.gross(), links) {
            self.moved = None;
            return;
        }
        let moved = *self.moved.get_or_insert(now);
        let round = self.config.probe_interval * self.tuning.own_record.probe_rounds;
        if records >= 2.0 || now >= moved + round {
            self.tell_figures(now);
        }
    }

    /// Fills the budget and tells how many records of ours it holds. One record of each of `up` nodes costs every node its copies, so a node's
    /// own share of the budget shrinks with the network.
    fn fill_budget(&mut self, now: Time, up: usize) -> f64 {
        let bytes_per_s =
            f64::from(self.config.refresh_bytes_per_s) / self.tuning.own_record.copies / up as f64;
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

    /// Whether a published figure moved. The round-trip time and the loss of a link are those that its dialer measures.
    fn figures_moved(&self, worth: Worth, links: &Links) -> bool {
        let tuning = &self.tuning.links;
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
                link.loss_moved(tuning, listed.loss, worth.loss_250)
            } else {
                let known = link.known_loss_250(tuning);
                u32::from(known.abs_diff(listed.loss)) > worth.loss_250
            };
            moved > worth.us.max(listed.rtt_us / worth.part) || loss_moved
        })
    }

    /// The seconds in which the budget lets each of `up` nodes publish its measurements once.
    pub(super) fn refresh_round_s(&self, up: usize) -> f64 {
        let record = self.record.encoded_len() as f64;
        let budget = f64::from(self.config.refresh_bytes_per_s.max(1));
        record * self.tuning.own_record.copies * up as f64 / budget
    }

    /// Handles a record of our own, newer than ours, that this run did not write: jumps above its epoch. Returns the event to
    /// report.
    pub(super) fn heard_own(&mut self, now: Time, record: &Record) -> Option<Event> {
        let body = record.body();
        // A peer can't forge our signature, so this epoch was ours once. The saturation only guards the addition.
        self.epoch = self.epoch.max(body.epoch.saturating_add(1));
        if self.silenced && body.leaving {
            // The other node with our identity has gone: we publish again.
            self.silenced = false;
            self.foreign = 0;
        }
        if let Some(at) = self.jumped {
            if now < at + self.jump_hold {
                self.due_by(at + self.jump_hold);
                return None;
            }
            let calm = now.saturating_sub(at) > self.tuning.own_record.longest_jump * 2;
            self.foreign = if calm { 0 } else { self.foreign };
            self.jump_hold = if calm {
                self.tuning.own_record.first_jump
            } else {
                (self.jump_hold * 2).min(self.tuning.own_record.longest_jump)
            };
        }
        self.jumped = Some(now);
        self.due_by(now);
        if body.run_id == self.config.run_id {
            return None;
        }
        self.foreign += 1;
        (self.foreign == self.tuning.own_record.twin_after).then(|| {
            self.silenced = self.config.run_id < body.run_id && !self.leaving;
            Event::Twin {
                run_id: body.run_id,
                remote: None,
                silenced: self.silenced,
            }
        })
    }
}

#[cfg(test)]
mod tests;
