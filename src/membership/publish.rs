//! Our own record: when it is signed anew, and under which version.
//!
//! - Losses are told at once, and never held for more than 100 ms.
//! - Gains wait for company, 10 to 100 ms by the size of the network and by how long a dial takes on our links, then two to four times as
//!   long each time, to 1 s, while they keep coming: a start makes few versions, and each costs everybody a signature to verify. Where
//!   nobody knows anybody yet, a network starts, and the first links wait for those whose dials began with theirs, up to 400 ms.
//! - Links that change only the shape of a network, to nodes in view anyway (where there are more than 32) or given up as nobody needed
//!   them, wait until no more of them come; those that stand in for lost ones, two seconds at most.
//! - News of measurements alone goes out when a round-trip time moved by half and 1 ms, or a loss by a fifth of all; when nothing was said
//!   for ten seconds, by 1 % and 50 µs, or by 1.6 points; and after a minute in any case. It comes out of a token bucket that keeps the
//!   idle traffic of the whole network within a budget. Half of the bucket is kept for
//!   the large moves: a link that is never at rest can't use up what tells of a new path. For one such move a node has a record from the
//!   beginning, however large the network.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::change::compare;
use super::links::Link;
use super::neighbors::AFTER_LOSS;
use super::{Config, Core, Event, Time};
use crate::record::{Body, Direction, LinkState, MAX_ADDRS, MAX_LINKS, Record, ShortRun, Signer};
use crate::wire::dialable;

const LOSS_SPACING: Duration = Duration::from_millis(100);
/// The first gain after a quiet time waits a millisecond for every node that will have to read it, and as long as a dial over our longest
/// link takes, two round trips, as dials that begin together end together. Within these bounds.
const FIRST_GAIN: Duration = Duration::from_millis(10);
const LONGEST_FIRST_GAIN: Duration = Duration::from_millis(100);
const DIAL_ROUND_TRIPS: u32 = 2;
/// The same where a network starts: other nodes' links may take longer than the longest of ours, and are dialed from both sides. With four
/// round trips a start makes 1.6 versions of a record, with eight 1.3, and all know all as soon.
const LONGEST_START_GAIN: Duration = Duration::from_millis(400);
const START_ROUND_TRIPS: u32 = 8;
/// A network of which we heard so few nodes, and have no link listed in, may be one that starts.
const FEW_HEARD: usize = 8;
const GAIN_HOLD: Duration = Duration::from_millis(50);
const LONGEST_GAIN_HOLD: Duration = Duration::from_secs(1);
/// A network that grew no more for this long has made most of its links: so long after it began to, and no sooner than that.
const SHAPED_AFTER: Duration = Duration::from_millis(700);
const SHAPED: Duration = Duration::from_millis(1500);
/// A change of the shape alone waits so long for the next one, and no longer than that in all, but where a network starts.
const SHAPE_HOLD: Duration = Duration::from_secs(1);
const LONGEST_SHAPE_HOLD: Duration = Duration::from_secs(4);
/// The same where we lost links lately: nothing is tidied up then, and what comes stands in for what went.
const LONGEST_AFTER_LOSS: Duration = Duration::from_secs(2);
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
/// The bucket holds so many records: what a sudden change may cost, more among a handful of nodes.
const BUCKET_RECORDS: f64 = 4.0;
const BUCKET_RECORDS_FEW: f64 = 8.0;
/// So many nodes start with a full bucket; more start with one record.
const FEW: usize = 8;
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
    /// In records; `None` until they are first counted.
    tokens: Option<f64>,
    tokens_at: Time,
    leaving: bool,
    silenced: bool,
    jump_hold: Duration,
    jumped: Option<Time>,
    foreign: u32,
}

impl OwnRecord {
    pub(super) fn new(config: &Config, signer: &dyn Signer) -> Self {
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
            record: Record::sign(body, &config.network, signer),
            epoch: config.epoch,
            seq: 1,
            addrs,
            due: None,
            shape: None,
            last: Time::ZERO,
            last_loss: None,
            moved: None,
            gain_hold: FIRST_GAIN,
            tokens: None,
            tokens_at: Time::ZERO,
            leaving: false,
            silenced: false,
            jump_hold: FIRST_JUMP,
            jumped: None,
            foreign: 0,
        }
    }

    pub(super) fn record(&self) -> Arc<Record> {
        self.record.clone()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// When it told of a lost link last, or will.
    pub(super) fn last_loss(&self) -> Option<Time> {
        self.last_loss
    }

    /// Whether links that come now may stand in for lost ones.
    pub(super) fn lost_lately(&self, now: Time) -> bool {
        let lately = |at: Time| now.saturating_sub(at) < AFTER_LOSS;
        self.last_loss.is_some_and(lately)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let shape = self.shape.map(|(_, due)| due);
        self.due.into_iter().chain(shape).min()
    }

    fn due_by(&mut self, at: Time) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// A link came or went that others need not know of soon. Most often it is one of several.
    fn shape_changed(&mut self, now: Time) {
        let due = now + SHAPE_HOLD;
        let (since, _) = self.shape.unwrap_or((now, due));
        let longest = self.longest_shape_hold(now, Duration::ZERO);
        self.shape = Some((since, due.min(since + longest)));
    }

    /// Longer in a network that grows, for so long: all its news comes before its shape is made, and views are exact for a moment.
    fn longest_shape_hold(&self, now: Time, growing: Duration) -> Duration {
        if self.lost_lately(now) {
            LONGEST_AFTER_LOSS
        } else {
            LONGEST_SHAPE_HOLD + growing
        }
    }

    /// Fills the bucket and tells how many records of ours it holds. One record of each of `up` nodes costs every node its copies, so a node's
    /// own share of the budget shrinks with the network.
    fn fill(&mut self, now: Time, budget: u32, up: usize) -> f64 {
        let bytes_per_s = f64::from(budget) / COPIES / up as f64;
        let per_s = bytes_per_s / self.record.encoded_len() as f64;
        let depth = bucket_records(up);
        let elapsed = now.saturating_sub(self.tokens_at).as_secs_f64();
        self.tokens_at = now;
        // A handful of nodes tells the first measurements at once. In a crowd that would be a storm, and the one record is for a
        // path that becomes another one.
        let tokens = self.tokens.unwrap_or(if up <= FEW { depth } else { 1.0 });
        let tokens = (tokens + per_s * elapsed).min(depth);
        self.tokens = Some(tokens);
        tokens
    }
}

impl Core {
    /// A link came, came back, or has a new connection.
    pub(super) fn own_links_changed(&mut self, now: Time, gain: bool) {
        let first = self.first_gain();
        let own = &mut self.own;
        if now.saturating_sub(own.last) > QUIET {
            own.gain_hold = first;
        }
        let due = if gain {
            (own.last + own.gain_hold).max(now + first)
        } else {
            now + GAIN_HOLD
        };
        own.due_by(due);
        self.derive_soon(now, false);
        self.plan_soon(now);
    }

    /// A link came to a node that was in view already, by way of others: in a large network that can wait, and go with the
    /// next ones. Our own first two links can't, as they are what we are reached by.
    pub(super) fn own_link_added(&mut self, now: Time, was_up: bool) {
        let placed = self.own.record.body().links.len() >= 2;
        if was_up && placed && self.database.up_count() > 32 {
            self.own.shape_changed(now);
            self.derive_soon(now, false);
            self.plan_soon(now);
        } else {
            self.own_links_changed(now, true);
        }
    }

    /// When the network will have made most of its links, if it grows no more.
    fn shaped(&self) -> Time {
        self.grown((self.growing() + SHAPED_AFTER).max(SHAPED))
    }

    fn first_gain(&self) -> Duration {
        // A newcomer has heard how many there are before it knows them.
        let readers = self.database.up_count().max(self.heard_of / 2);
        let rtts = self.links.values().filter_map(|link| link.detector.rtt());
        let longest = rtts.map(|rtt| rtt.smoothed_us).max().unwrap_or_default();
        let starts = self.own.record.body().links.is_empty() && readers <= FEW_HEARD;
        let (round_trips, bound) = if starts {
            (START_ROUND_TRIPS, LONGEST_START_GAIN)
        } else {
            (DIAL_ROUND_TRIPS, LONGEST_FIRST_GAIN)
        };
        let dial = (Duration::from_micros(longest.into()) * round_trips).min(bound);
        let readers = u64::try_from(readers).expect("MAX_NODES fits");
        let read = Duration::from_millis(readers).min(LONGEST_FIRST_GAIN);
        dial.max(read).max(FIRST_GAIN)
    }

    /// A link was given up by both ends, as neither needs it.
    pub(super) fn own_link_given_up(&mut self, now: Time) {
        self.own.shape_changed(now);
        self.derive_soon(now, false);
    }

    /// A link went, or is suspect.
    pub(super) fn own_links_lost(&mut self, now: Time) {
        let at = match self.own.last_loss {
            // There is nobody left whom versions would cost anything, and whoever we meet next should hear of no links that are gone.
            Some(_) if !self.links.values().any(Link::is_listed) => now,
            // One is planned already, and this loss goes with it.
            Some(at) if at > now => at,
            Some(at) => (at + LOSS_SPACING).max(now),
            None => now,
        };
        self.own.due_by(at);
        self.own.last_loss = Some(at);
        self.derive_soon(now, true);
    }

    /// Peers see us at addresses. If we listen on all of ours, that is how we learn which work: those that two
    /// neighbours agree on, or that our only neighbours name, so that one liar can't move us.
    pub(super) fn learn_own_addrs(&mut self, now: Time) {
        if !self.config.addrs.is_empty() {
            return;
        }
        let mut votes: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        for link in self
            .links
            .values()
            .filter(|link| dialable(&link.observed, true))
        {
            *votes.entry(link.observed).or_default() += 1;
        }
        let needed = if self.links.len() > 2 { 2 } else { 1 };
        let mut addrs: Vec<(usize, SocketAddr)> = votes
            .into_iter()
            .filter(|(_, count)| *count >= needed)
            .map(|(addr, count)| (count, addr))
            .collect();
        addrs.sort_unstable_by(|a, b| b.cmp(a));
        let addrs: Vec<SocketAddr> = addrs
            .into_iter()
            .take(MAX_ADDRS)
            .map(|(_, addr)| addr)
            .collect();
        if !addrs.is_empty() && addrs != self.own.addrs {
            self.own.addrs = addrs;
            self.own.due_by(now + GAIN_HOLD);
        }
    }

    pub(super) fn leave(&mut self, now: Time) {
        self.leaving = true;
        self.own.leaving = true;
        // A silenced twin goes without a word: the other one stays, and the word would be taken for its own.
        self.publish(now);
    }

    pub(super) fn advance_own_record(&mut self, now: Time) {
        if let Some((since, due)) = self.own.shape
            && due <= now
        {
            // While a network starts up, links come all the time, and each version costs every node a verification.
            let longest = self.own.longest_shape_hold(now, self.growing());
            let calm = self.shaped().min(since + longest);
            if calm > now {
                self.own.shape = Some((since, calm));
            } else {
                self.own.due_by(now);
            }
        }
        if self.own.due.is_some_and(|due| due <= now) {
            let own = &mut self.own;
            let factor = if self.database.up_count() <= 32 { 2 } else { 4 };
            own.gain_hold = (own.gain_hold * factor).min(LONGEST_GAIN_HOLD);
            self.publish(now);
        }
    }

    /// New measurements came in: tells them, where they are news and the budget allows.
    pub(super) fn consider_figures(&mut self, now: Time) {
        // While a network starts up, records change anyway.
        if self.own.due.is_some() || self.leaving || now < self.shaped() {
            return;
        }
        let up = self.database.up_count();
        let tokens = self.own.fill(now, self.config.refresh_bytes_per_s, up);
        if tokens < 1.0 {
            return;
        }
        let age = now.saturating_sub(self.own.last);
        let fine = tokens >= bucket_records(up) / 2.0 && age >= FINE_SPACING;
        if fine && (age >= REFRESH || self.figures_moved(FINE)) {
            self.tell_figures(now, tokens - 1.0);
            return;
        }
        if !self.figures_moved(GROSS) {
            self.own.moved = None;
            return;
        }
        let moved = *self.own.moved.get_or_insert(now);
        let round = self.config.probe_interval * PROBE_ROUNDS;
        if tokens >= 2.0 || now >= moved + round {
            self.tell_figures(now, tokens - 1.0);
        }
    }

    fn tell_figures(&mut self, now: Time, tokens: f64) {
        self.own.tokens = Some(tokens);
        self.own.due_by(now);
    }

    /// Whether a figure that is shown moved: the round-trip time and the loss of a link are those that its dialer measures.
    fn figures_moved(&self, worth: Worth) -> bool {
        let dialed = self
            .links
            .values()
            .filter(|link| link.listed && link.direction == Direction::Dialer);
        dialed.into_iter().any(|link| {
            let listed = self.own.record.link_to(&link.peer.abbreviated());
            let Some((listed, rtt)) = listed.zip(link.detector.rtt()) else {
                return false;
            };
            if rtt.provisional {
                return false;
            }
            let moved = rtt.smoothed_us.abs_diff(listed.rtt_us);
            let loss_moved = if worth.for_certain {
                link.detector.loss_moved(listed.loss, worth.loss_250)
            } else {
                link.detector.known_loss_250().abs_diff(listed.loss) > worth.loss_250
            };
            moved > worth.us.max(listed.rtt_us / worth.part) || loss_moved
        })
    }

    fn publish(&mut self, now: Time) {
        self.own.due = None;
        self.own.shape = None;
        self.own.moved = None;
        if self.own.silenced {
            return;
        }
        let links = self.link_states(now);
        let own = &mut self.own;
        own.seq += 1;
        own.last = now;
        let body = Body {
            id: self.me,
            label: self.config.label.clone(),
            run_id: self.config.run_id,
            epoch: own.epoch,
            seq: own.seq,
            addrs: own.addrs.clone(),
            links,
            leaving: own.leaving,
        };
        own.record = Record::sign(body, &self.config.network, &*self.signer);
        let (me, record) = (self.database.me(), own.record.clone());
        let change = compare(self.database.record_at(me), &record);
        self.database.accept(record, now, None, false);
        self.changes.shape += 1;
        self.backlog.renew(me);
        self.pass_on(now, me, change, Duration::ZERO);
        self.derive_soon(now, false);
    }

    fn link_states(&self, now: Time) -> Vec<LinkState> {
        let mut links: Vec<LinkState> = self
            .links
            .values()
            .filter(|link| link.listed)
            .map(|link| {
                let rtt = link.detector.rtt();
                LinkState {
                    peer: link.peer.abbreviated(),
                    run: ShortRun::of(link.run_id),
                    direction: link.direction,
                    rtt_us: rtt.map_or(0, |rtt| rtt.smoothed_us.max(1)),
                    rtt_age_s: rtt.map_or(0, |rtt| saturating_s(now.saturating_sub(rtt.at))),
                    loss: link.detector.known_loss_250(),
                    suspect: link.suspect,
                }
            })
            .collect();
        // The cap keeps far below; but a record that nobody could read must never be signed.
        links.truncate(MAX_LINKS);
        links.sort_by_key(|link| link.peer);
        links
    }

    /// A record of our own that we did not write in this run and that is newer than ours: jump above it.
    pub(super) fn heard_own(&mut self, now: Time, record: &Record) {
        let body = record.body();
        let own = &mut self.own;
        // A peer can't forge our signature, so this epoch was ours once; the bound only keeps the addition honest.
        own.epoch = own.epoch.max(body.epoch.saturating_add(1));
        if own.silenced && body.leaving {
            // The other one has gone: the network is ours again.
            own.silenced = false;
            own.foreign = 0;
        }
        if let Some(at) = own.jumped {
            if now < at + own.jump_hold {
                let next = at + own.jump_hold;
                own.due_by(next);
                return;
            }
            let calm = now.saturating_sub(at) > LONGEST_JUMP * 2;
            own.foreign = if calm { 0 } else { own.foreign };
            own.jump_hold = if calm {
                FIRST_JUMP
            } else {
                (own.jump_hold * 2).min(LONGEST_JUMP)
            };
        }
        own.jumped = Some(now);
        own.due_by(now);
        if body.run_id != self.config.run_id {
            own.foreign += 1;
            if own.foreign == TWIN_AFTER {
                own.silenced = self.config.run_id < body.run_id && !own.leaving;
                let silenced = own.silenced;
                self.events.push_back(Event::Twin {
                    run_id: body.run_id,
                    remote: None,
                    silenced,
                });
            }
        }
    }
}

fn bucket_records(up: usize) -> f64 {
    if up <= FEW {
        BUCKET_RECORDS_FEW
    } else {
        BUCKET_RECORDS
    }
}

fn saturating_s(age: Duration) -> u16 {
    u16::try_from(age.as_secs()).unwrap_or(u16::MAX)
}
