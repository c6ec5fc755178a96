//! Our own record: when it is signed anew, and under which version.
//!
//! - Lost links are published at once. None is held for more than 100 ms.
//! - Gained links wait for more of them: 10 to 100 ms, by the size of the network and the time of a dial over our links. While they keep
//!   coming, each wait is two to four times as long as the one before, up to 1 s. So a start makes few versions; each version costs
//!   every node a signature to verify. In a network that starts, no node knows another yet. There the first links wait up to
//!   400 ms for those that were dialed at the same time.
//! - Links that change only the shape of the network wait until no more of them come. These are links to nodes that are in view already (in
//!   a network of more than 32), and links given up because neither end needs them. Links that replace lost ones wait two seconds at most.
//! - Measurements are told in messages of their own (`figures`). A record tells those of the moment when it is signed.

mod addrs;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Time;
use super::interface::{Config, Event};
use super::links::{Link, Links};
use super::tuning::Tuning;
use crate::bucket::{Bucket, Rate};
use crate::certificate::Certificate;
use crate::record::{Body, MAX_LINKS, PublishedAddr, Record, Signer};
use addrs::OwnAddrs;

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
        tuning.first_jump.as_nanos() <= tuning.longest_jump.as_nanos(),
        "the pause between jumps grows"
    );
};

/// See the module's documentation.
pub(super) struct OwnRecord {
    config: Arc<Config>,
    tuning: Arc<Tuning>,
    signer: Arc<dyn Signer>,
    record: Arc<Record>,
    epoch: u64,
    seq: u32,
    addrs: OwnAddrs,
    certificate: Option<Arc<Certificate>>,
    due: Option<Time>,
    /// When the pending changes of the shape alone began to wait, and until when they wait.
    shape: Option<(Time, Time)>,
    last: Time,
    last_loss: Option<Time>,
    gain_hold: Duration,
    /// The budget for records that tell of lost links, in bytes. `None` until it is first counted.
    losses: Option<Bucket>,
    leaving: bool,
    silenced: bool,
    jump_hold: Duration,
    jumped: Option<Time>,
    /// Another run that wrote a record of ours, and how many of its records came.
    foreign: Option<(u64, u32)>,
    /// When it was last told that somebody signed a record of ours with an epoch far ahead.
    too_new: Option<Time>,
    /// The budget for losses of brief links that are told at once.
    brief: Option<Bucket>,
}

/// Somebody signed a record of this node with an epoch that no clock can have shown yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooNew;

/// 2025-01-01: no clock that is right shows less.
const EARLIEST_EPOCH: u64 = 1_735_689_600_000;
/// 2100-01-01.
const END_OF_CENTURY: u64 = 4_102_444_800_000;

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
        let addrs = OwnAddrs::new(&config.addrs);
        let charter = config.charter.as_ref();
        let certificate = charter.and_then(|charter| charter.certificate.clone());
        let body = Body {
            id: signer.node_id(),
            label: config.label.clone(),
            run_id: config.run_id,
            epoch: config.epoch,
            seq: 1,
            uptime_s: 0,
            addrs: addrs.published().to_vec(),
            links: Vec::new(),
            leaving: false,
            certificate: certificate.clone(),
        };
        Self {
            certificate,
            record: Record::sign(body, &config.network, &*signer),
            epoch: config.epoch,
            seq: 1,
            addrs,
            due: None,
            shape: None,
            last: Time::ZERO,
            last_loss: None,
            gain_hold: config.tuning.pace.first_gain,
            losses: None,
            leaving: false,
            silenced: false,
            jump_hold: config.tuning.own_record.first_jump,
            jumped: None,
            foreign: None,
            too_new: None,
            brief: None,
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

    /// A link was lost, or is suspect. `brief`: it was lost soon after it had come. A neighbour that makes and drops links must not
    /// make all others verify ten records a second: after a few of them, the loss waits like a gain that keeps coming.
    pub(super) fn link_lost(&mut self, now: Time, brief: bool, links: &Links) {
        if brief && !self.may_tell_brief(now) {
            let due = self.last + self.tuning.own_record.longest_gain_hold;
            self.due_by(due.max(now));
            return;
        }
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

    fn may_tell_brief(&mut self, now: Time) -> bool {
        let tuning = &self.tuning.own_record;
        let rate = Rate {
            burst: tuning.brief_burst,
            per_s: tuning.brief_per_s,
        };
        let full = || Bucket::holding(now, rate.burst);
        self.brief.get_or_insert_with(full).take_one(now, rate)
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

    /// The settings or the interfaces have other addresses.
    pub(super) fn set_addrs(&mut self, now: Time, advertised: &[SocketAddr], local: &[SocketAddr]) {
        if self.addrs.set(advertised, local) {
            self.due_by(now + self.tuning.own_record.change_hold);
        }
    }

    /// This node has another certificate.
    pub(super) fn set_certificate(&mut self, now: Time, certificate: Option<Arc<Certificate>>) {
        if self.certificate != certificate {
            self.certificate = certificate;
            self.due_by(now + self.tuning.own_record.change_hold);
        }
    }

    /// Links came or went, or a peer sees us at another address. `is_target`: the settings name that address of a peer.
    pub(super) fn learn_addrs(
        &mut self,
        now: Time,
        links: &Links,
        is_target: impl Fn(&SocketAddr) -> bool,
    ) {
        if self.addrs.observe(links, is_target) {
            self.due_by(now + self.tuning.own_record.change_hold);
        }
    }

    /// A node to which nothing had been sent came in by this address.
    pub(super) fn prove_addr(&mut self, addr: SocketAddr) {
        self.addrs.prove(addr);
    }

    /// The addresses to publish, which the record may not contain yet.
    pub(super) fn addrs(&self) -> &[PublishedAddr] {
        self.addrs.published()
    }

    /// The next record is the last one.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Whether something is due.
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.deadline().is_some_and(|due| due <= now)
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
        if self.silenced {
            return None;
        }
        let mut states = links.states(now);
        // The cap keeps far below this limit, but a record that nobody could read must never be signed.
        states.truncate(MAX_LINKS);
        states.sort_by_key(|link| link.peer);
        (self.epoch, self.seq) = next_version(self.epoch, self.seq);
        self.last = now;
        let body = Body {
            id: self.signer.node_id(),
            label: self.config.label.clone(),
            run_id: self.config.run_id,
            epoch: self.epoch,
            seq: self.seq,
            uptime_s: uptime_s(now),
            addrs: self.addrs.published().to_vec(),
            links: states,
            leaving: self.leaving,
            certificate: self.certificate.clone(),
        };
        self.record = Record::sign(body, &self.config.network, &*self.signer);
        Some(self.record.clone())
    }

    /// Handles a record of our own, newer than ours, that this run did not write: jumps above its epoch. Returns the event to
    /// report. A record whose epoch is far ahead is not followed, and `Err` says so, at most once a minute.
    ///
    /// A record of a former run comes once, and nobody answers the jump. A second one of the same run, above what we had jumped to, was signed in
    /// answer to us: two nodes run with one key. Then the one that started first goes on, and the other one falls silent.
    pub(super) fn heard_own(
        &mut self,
        now: Time,
        record: &Record,
    ) -> Result<Option<Event>, TooNew> {
        let body = record.body();
        if body.epoch > self.latest_epoch(now) {
            let every = self.tuning.own_record.longest_jump;
            let is_told = self
                .too_new
                .is_some_and(|at| now.saturating_sub(at) < every);
            if is_told {
                return Ok(None);
            }
            self.too_new = Some(now);
            return Err(TooNew);
        }
        // A peer can't forge our signature, so this epoch was ours once.
        self.epoch = self.epoch.max(body.epoch.saturating_add(1));
        if self.silenced && !body.leaving {
            return Ok(None);
        }
        if std::mem::take(&mut self.silenced) {
            // The other node with our identity has gone: we publish again.
            self.foreign = None;
        }
        let tuning = &self.tuning.own_record;
        if self
            .jumped
            .is_some_and(|at| now.saturating_sub(at) > tuning.longest_jump * 2)
        {
            self.jumped = None;
            self.jump_hold = tuning.first_jump;
            self.foreign = None;
        }
        let twin = self.note_foreign(now, body);
        if !self.silenced {
            self.jump(now);
        }
        Ok(twin)
    }

    /// The highest epoch that another run with this key may have begun with by now. Epochs are Unix times in ms, and count from the
    /// start of a run. Where the clock of this machine was wrong at the start, as without a battery, any time of the century will do:
    /// far below the last epoch, from which no way leads on.
    fn latest_epoch(&self, now: Time) -> u64 {
        let here = self.config.epoch.saturating_add(millis(now));
        if here < EARLIEST_EPOCH {
            return END_OF_CENTURY;
        }
        here.saturating_add(millis(self.tuning.own_record.epoch_ahead))
    }

    /// Notes a record of our own that another run wrote. Returns the event to report if that run is alive.
    fn note_foreign(&mut self, now: Time, body: &Body) -> Option<Event> {
        if body.run_id == self.config.run_id || body.leaving {
            return None;
        }
        let before = self.foreign.filter(|(run_id, _)| *run_id == body.run_id);
        let count = before.map_or(0, |(_, count)| count).saturating_add(1);
        self.foreign = Some((body.run_id, count));
        let tuning = &self.tuning.own_record;
        let is_settled = if count == tuning.twin_after {
            let difference = i64::from(uptime_s(now)) - i64::from(body.uptime_s);
            // What is heard was signed a moment ago, so a small difference says nothing, and both ends must come to the same answer.
            (difference.unsigned_abs() > tuning.twin_tolerance.as_secs()).then_some(difference < 0)
        } else if count == tuning.twin_after * tuning.twin_stalemate {
            // Each end expects the other one to fall silent, so the run ids decide.
            None
        } else {
            return None;
        };
        let yields = is_settled.unwrap_or(self.config.run_id < body.run_id);
        self.silenced = yields && !self.leaving;
        Some(Event::Twin {
            run_id: body.run_id,
            remote: None,
            silenced: self.silenced,
        })
    }

    /// The next record is signed at once, or after the pause between two jumps, which grows.
    fn jump(&mut self, now: Time) {
        let due = match self.jumped {
            Some(at) if now <= at && self.due.is_some() => return,
            Some(at) => {
                let due = now.max(at + self.jump_hold);
                self.jump_hold = (self.jump_hold * 2).min(self.tuning.own_record.longest_jump);
                due
            }
            None => now,
        };
        self.jumped = Some(due);
        self.due_by(due);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The version after that one. A run that signs 4 billion records takes another epoch.
fn next_version(epoch: u64, seq: u32) -> (u64, u32) {
    match (seq.checked_add(1), epoch.checked_add(1)) {
        (Some(next), _) => (epoch, next),
        (None, Some(next)) => (next, 1),
        (None, None) => (epoch, seq),
    }
}

/// The age of this run in whole seconds.
fn uptime_s(now: Time) -> u32 {
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
