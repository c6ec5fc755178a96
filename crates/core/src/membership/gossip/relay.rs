//! Records come from neighbours, are taken where they are news, and are passed on.

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::Gossip;
use super::backlog::Slot;
use super::waiting::Route;
use crate::certificate::Unfit;
use crate::membership::Time;
use crate::membership::interface::ConnId;
use crate::membership::links::Links;
use crate::membership::members::Members;
use crate::membership::pace::end_of_batch;
use crate::membership::tuning::gossip::Tuning;
use crate::membership::view::{Before, Change, Index, Outcome, View, weight};
use crate::record::Record;
use crate::wire::{Message, NodeId};

/// The neighbour that brought a record.
#[derive(Debug)]
pub(in crate::membership) struct Bringer {
    pub(in crate::membership) peer: NodeId,
    conn: ConnId,
    slot: Slot,
    /// It is on this very machine.
    over_loopback: bool,
    /// The records that it brought: new ones, and those that another neighbour had brought.
    news: u32,
    repeats: u32,
}

/// What to do with records that came from a neighbour.
#[derive(Debug, Default)]
pub(in crate::membership) struct Received {
    /// These can be taken at once.
    pub(in crate::membership) known: Vec<Arc<Record>>,
    /// Others are news that is not verified: they wait until the inputs that are there already have been handled.
    pub(in crate::membership) deferred: bool,
    /// So many were turned away unread.
    pub(in crate::membership) turned_away: u64,
}

/// What a record that came means to others.
#[derive(Debug)]
pub(in crate::membership) enum Heard {
    /// Nothing: it is known, or older than what is known.
    Nothing,
    /// It was taken, in the place of another one if there was one.
    News {
        index: Index,
        change: Change,
        before: Option<Before>,
    },
    /// It is a record of this very node, newer than its own.
    Own(Arc<Record>),
    /// Its signature is wrong; why.
    Forged(String),
    /// Its node is no member.
    Unfit(Unfit),
    /// There is no room for one more node.
    Full,
}

impl Gossip {
    /// Records came from a neighbour.
    ///
    /// # Errors
    /// If the neighbour sent more than it may: of what.
    pub(in crate::membership) fn receive(
        &mut self,
        now: Time,
        peer: &NodeId,
        records: Vec<Arc<Record>>,
        view: &View,
    ) -> Result<Received, &'static str> {
        let mut received = Received::default();
        let (mut news, mut new, mut useless) = (Vec::new(), 0, 0);
        for record in records {
            let is_news = view.would_be_news(&record);
            // What is turned away here cost no look at its signature.
            let is_welcome = record.id() == self.me
                || if view.record(&record.id()).is_some() {
                    view.keeps_pace(now, &record)
                } else {
                    view.has_room_for(&record, peer)
                };
            if !is_news {
                useless += record.encoded_len();
                received.known.push(record);
            } else if is_welcome {
                // What a record costs to verify and to pass on grows with its size.
                new += weight(&record);
                news.push(record);
            } else {
                useless += record.encoded_len();
                received.turned_away += 1;
            }
        }
        let (tuning, size) = (&self.tuning.gossip, view.size());
        if let Some(neighbor) = self.neighbors.get_mut(peer) {
            let limits = &mut neighbor.limits;
            if !limits.admit_news(now, new, tuning, size) {
                // An honest neighbour passes on what hostile ones sign: too much news is not read, and no more.
                received.turned_away += u64::try_from(news.len()).unwrap_or(u64::MAX);
                useless += news
                    .drain(..)
                    .map(|record: Arc<Record>| record.encoded_len())
                    .sum::<usize>();
            }
            if !limits.admit_useless(now, useless, tuning, size) {
                return Err("records that are of no use");
            }
        }
        for record in news {
            if record.is_verified() {
                received.known.push(record);
            } else {
                self.inbox.put(now, record, *peer);
                received.deferred = true;
            }
        }
        Ok(received)
    }

    /// Since when news waits to be verified.
    pub(in crate::membership) fn inbox_since(&self) -> Option<Time> {
        self.inbox.since()
    }

    /// Takes out all news that waited to be verified, with the neighbours that brought it.
    pub(in crate::membership) fn open_inbox(
        &mut self,
        rng: &mut ChaCha8Rng,
    ) -> Option<Vec<(Arc<Record>, NodeId)>> {
        self.inbox
            .take(&self.network, self.tuning.gossip.verified_together, rng)
    }

    /// Whether a message is within the neighbour's limits; else what it sent too much of.
    pub(in crate::membership) fn admit(
        &mut self,
        now: Time,
        peer: &NodeId,
        message: &Message,
    ) -> Result<(), &'static str> {
        let tuning = &self.tuning.gossip;
        let neighbor = self.neighbors.get_mut(peer);
        neighbor.map_or(Ok(()), |one| one.limits.admit(now, message, tuning))
    }

    /// Whether so many new figures are within the neighbour's limit.
    pub(in crate::membership) fn admit_figures(
        &mut self,
        now: Time,
        peer: &NodeId,
        news: usize,
        view: &View,
    ) -> bool {
        let (tuning, size) = (&self.tuning.gossip, view.size());
        let neighbor = self.neighbors.get_mut(peer);
        neighbor.is_none_or(|one| one.limits.admit_news(now, news, tuning, size))
    }

    /// Whether so many bytes that are not read are within the neighbour's limit.
    pub(in crate::membership) fn admit_useless(
        &mut self,
        now: Time,
        peer: &NodeId,
        bytes: usize,
        view: &View,
    ) -> bool {
        let (tuning, size) = (&self.tuning.gossip, view.size());
        let neighbor = self.neighbors.get_mut(peer);
        neighbor.is_none_or(|one| one.limits.admit_useless(now, bytes, tuning, size))
    }

    /// A neighbour that brings records, as long as there is a link to it.
    pub(in crate::membership) fn bringer(&self, peer: &NodeId, links: &Links) -> Option<Bringer> {
        let neighbor = self.neighbors.get(peer)?;
        Some(Bringer {
            peer: *peer,
            conn: neighbor.conn,
            slot: neighbor.slot,
            over_loopback: links.get(peer)?.remote().ip().is_loopback(),
            news: 0,
            repeats: 0,
        })
    }

    /// A neighbour brought all that it had.
    pub(in crate::membership) fn note_brought(&mut self, bringer: &Bringer) {
        self.count(&bringer.peer, |push| {
            push.news += bringer.news;
            push.repeats += bringer.repeats;
        });
    }

    /// Takes a record from a neighbour: verified if it is news, kept if it is newer, and passed on.
    pub(in crate::membership) fn take(
        &mut self,
        now: Time,
        record: Arc<Record>,
        from: &mut Bringer,
        members: &mut Members,
        view: &mut View,
    ) -> Heard {
        if record.id() == self.me {
            return self.take_own(record, from, view);
        }
        if !record.is_verified()
            && view.would_be_news(&record)
            && let Err(error) = record.verify(&self.network)
        {
            return Heard::Forged(error.to_string());
        }
        if members.is_closed() && view.would_be_news(&record) {
            if let Err(unfit) = members.judge(now, &record, view.record(&record.id())) {
                return Heard::Unfit(unfit);
            }
            members.expect_end(now, &record);
        }
        let (short, version) = (record.id().abbreviated(), record.version());
        let leaving = record.body().leaving;
        match view.accept(record, now, Some(from.peer), from.over_loopback) {
            Outcome::Newer(index, change, before) => {
                self.has_come(now, &short, version, from.conn, view.up_count());
                from.news += 1;
                // A node that counts on a word that carries too much already is passed on once it is up, if ever.
                if view.is_worth_telling(index) {
                    self.relay(now, index, change, from.slot, view);
                } else {
                    self.backlog.renew(index);
                    self.backlog.settle(from.slot, index);
                }
                Heard::News {
                    index,
                    change,
                    before,
                }
            }
            Outcome::Same(index) => {
                self.backlog.settle(from.slot, index);
                // A flooded record comes over many links, and so does a leave message.
                if !leaving && !self.flood.is_under_way(now, index, &self.tuning.gossip) {
                    from.repeats += 1;
                }
                Heard::Nothing
            }
            Outcome::Older(index) => {
                self.send_back(from, index);
                Heard::Nothing
            }
            Outcome::Full => Heard::Full,
        }
    }

    fn take_own(&mut self, record: Arc<Record>, from: &Bringer, view: &View) -> Heard {
        let ours = view.record_at(view.me()).version();
        if record.version() > ours && record.verify(&self.network).is_ok() {
            return Heard::Own(record);
        }
        if record.version() < ours {
            self.send_back(from, view.me());
        }
        Heard::Nothing
    }

    /// The neighbour sent an older record than ours: sends ours back, unless the two crossed.
    fn send_back(&mut self, from: &Bringer, index: Index) {
        self.backlog.offer(from.slot, index);
        self.to_send = true;
    }

    /// Passes a newer record on that a neighbour brought.
    fn relay(&mut self, now: Time, index: Index, change: Change, from: Slot, view: &mut View) {
        let tuning = &self.tuning.gossip;
        // A withdrawn link is told at once, unless it is one of too many claims.
        let waits = change != Change::Withdrawal || view.is_contested(index);
        let paced = if view.is_claim(index) && waits {
            Some(view.schedule_claim(now, index))
        } else {
            let spacing = view.spacing(index);
            spacing.map(|spacing| view.schedule_relay(now, index, spacing))
        };
        if let Some(at) = paced {
            self.backlog.renew(index);
            self.backlog.settle(from, index);
            if let Some(at) = at {
                let wait = (at - now).max(tuning.first_relay);
                self.pass_on(now, index, change, wait, view);
            }
            return;
        }
        let recent = view.note_relay(index, now);
        let since = recent.map(|at| now.saturating_sub(at));
        let wait = match change {
            Change::Withdrawal | Change::Suspicion => {
                let spacing = since.map(|since| tuning.relay_spacing.saturating_sub(since));
                spacing
                    .unwrap_or_default()
                    .max(self.tuning.pace.loss_company(view.up_count()))
            }
            Change::Gain if since.is_none_or(|since| since > tuning.quiet) => tuning.first_relay,
            Change::Gain if self.has_tree => tuning.next_tree_relay,
            Change::Gain => tuning.next_relay,
            Change::Figures => tuning.figures_relay,
        };
        // Only the neighbour that brought it is known to have it.
        self.backlog.renew(index);
        self.backlog.settle(from, index);
        self.pass_on(now, index, change, wait, view);
    }

    /// This node has a new record of its own.
    pub(in crate::membership) fn publish(
        &mut self,
        now: Time,
        record: Arc<Record>,
        view: &mut View,
    ) {
        let me = view.me();
        let change = view.accept_own(now, record);
        self.backlog.renew(me);
        self.pass_on(now, me, change, Duration::ZERO, view);
    }

    /// A node came into view.
    pub(in crate::membership) fn came_up(&mut self, now: Time, index: Index, view: &View) {
        self.pass_on(
            now,
            index,
            Change::Figures,
            self.tuning.gossip.came_up,
            view,
        );
    }

    /// Has a record passed on after a wait. In a full mesh, gains and measurements go to those that won't hear them from the node
    /// itself.
    fn pass_on(&mut self, now: Time, index: Index, change: Change, wait: Duration, view: &View) {
        let (at, tuning) = (now + wait, &self.tuning.gossip);
        let brings_back = change == Change::Gain && view.brings_back(index);
        // A record that brings others back takes the route that news of those behind it took.
        let floods = self.flood.take(now, index, change, tuning) && !brings_back;
        let is_own = index == view.me();
        let body = view.record_at(index).body();
        let route = if body.leaving {
            // After a leave message there is no time for requests.
            Route::Everywhere
        } else if !is_own
            && body.links.is_empty()
            && matches!(change, Change::Gain | Change::Figures)
        {
            // No other node can reach a newcomer that lists no link yet; its next record will list one.
            return;
        } else if self.has_tree {
            match (floods, change) {
                (false, _) => Route::Tree,
                (true, Change::Gain) if !is_own => Route::Around,
                (true, Change::Gain | Change::Withdrawal | Change::Suspicion | Change::Figures) => {
                    Route::Everywhere
                }
            }
        } else if is_own || matches!(change, Change::Withdrawal | Change::Suspicion) {
            Route::Everywhere
        } else {
            Route::FirstTurn
        };
        let at = if route == Route::Tree && self.flood.is_batched(now, tuning) {
            end_of_batch(at, self.tuning.pace.batch(view.up_count()))
        } else {
            at
        };
        if brings_back {
            self.bridge = Some(self.bridge.map_or(at, |bridge| bridge.min(at)));
        }
        self.waiting.push(at, index, route);
        if route == Route::FirstTurn {
            self.waiting
                .push(at + tuning.second_turn, index, Route::SecondTurn);
        }
    }

    /// Passes on the records whose time has come, to every neighbour that does not have them by now.
    pub(in crate::membership) fn release(&mut self, now: Time, view: &View) {
        if let Some(at) = self.bridge.take() {
            // News of those behind that link, which may have died or left since they became unreachable, goes no later than the link.
            self.waiting.hasten(at, at + self.tuning.gossip.second_turn);
        }
        if self.waiting.next_due().is_none_or(|due| due > now) {
            return;
        }
        self.to_send = true;
        let Tuning {
            lazy, lazy_batches, ..
        } = self.tuning.gossip;
        let by = now + lazy + lazy_batches * self.tuning.pace.batch(view.up_count());
        let fan_out = self.fan_out(view);
        while let Some(together) = self.waiting.pop_due(now) {
            for (index, route) in together {
                // A claim may have been dropped while it waited.
                if view.has(index) && !view.is_void(index) {
                    fan_out.pass_on(&mut self.backlog, view, index, route, by);
                }
            }
        }
    }
}
