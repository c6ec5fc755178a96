//! Messages, and the records in them.

use std::sync::Arc;

use super::Core;
use crate::figures::LinkFigures;
use crate::membership::Time;
use crate::membership::figures;
use crate::membership::gossip::Heard;
use crate::membership::interface::{ConnId, LinkNews};
use crate::membership::links::Link;
use crate::membership::own_record::TooNew;
use crate::membership::view::{Before, Change, Index};
use crate::record::Record;
use crate::wire::{CloseCode, Message, NodeId};

/// About the size of one node's figures, which is charged where they are not read: 100 bytes at twenty links.
const FIGURES_BYTES: usize = 128;

impl Core {
    pub(super) fn handle_message(&mut self, now: Time, conn: ConnId, message: Message) {
        // A connection that lost to another may still deliver what was under way.
        let Some(peer) = self.links.owner(conn) else {
            return;
        };
        let Some(link) = self.links.get(&peer) else {
            return;
        };
        if link.conn() == conn && !link.is_confirmed() {
            self.confirm(now, peer);
        }
        if let Err(what) = self.gossip.admit(now, &peer, &message) {
            self.drop_over_limit(now, peer, what);
            return;
        }
        match message {
            Message::Hello(_) => {
                let why = "a second Hello".to_owned();
                self.out.reject("protocol_violation", peer, why);
                self.close(now, peer, conn, CloseCode::Protocol);
            }
            Message::Records(records) => self.handle_records(now, peer, records),
            Message::Digests { log2, sums } => {
                self.gossip
                    .handle_digests(&peer, (log2, &sums), &self.view, &mut self.rng);
            }
            Message::Versions {
                log2,
                buckets,
                entries,
            } => {
                let told = (log2, buckets.as_slice());
                let ended = self
                    .gossip
                    .handle_versions(now, &peer, told, &entries, &self.view);
                self.end_first_rounds(ended);
            }
            Message::Request(ids) => self.gossip.handle_request(&peer, &ids, &self.view),
            Message::Superfluous(superfluous) => {
                if self.links.mark_by_peer(&peer, superfluous) {
                    self.overlay.plan_soon(now, self.view.up_count());
                }
            }
            Message::Have(entries) => self.gossip.handle_have(now, &peer, &entries, &self.view),
            Message::Graft(ids) => self.gossip.handle_graft(&peer, &ids, &self.view),
            Message::Prune => self.gossip.handle_prune(&peer),
            Message::Figures(entries) => self.handle_figures(now, peer, entries),
            Message::Revocations(revocations) => {
                self.hear_revocations(now, &revocations, Some(peer));
            }
            Message::Observed(addr) => self.handle_observed(now, peer, conn, addr),
            Message::Meet(meet) => self.handle_meet(now, peer, meet),
        }
    }

    fn drop_over_limit(&mut self, now: Time, peer: NodeId, what: &str) {
        let why = format!("more {what} than a peer may send");
        self.out.reject("over_limit", peer, why);
        if let Some(conn) = self.links.get(&peer).map(Link::conn) {
            self.close(now, peer, conn, CloseCode::Limit);
        }
    }

    fn handle_records(&mut self, now: Time, peer: NodeId, records: Vec<Arc<Record>>) {
        let received = match self.gossip.receive(now, &peer, records, &self.view) {
            Ok(received) => received,
            Err(what) => {
                self.drop_over_limit(now, peer, what);
                return;
            }
        };
        if received.turned_away > 0 {
            let why = "of nodes that have had too many versions, or count on a word that carries too much";
            self.out
                .reject_many("records_turned_away", received.turned_away, peer, why);
        }
        self.take_records(now, peer, received.known);
        if !received.deferred {
            self.gossip.prune_if_late(&peer, &self.links);
            self.go_on_with_first_rounds(now);
        }
    }

    /// Takes the news that waited to be verified.
    pub(super) fn open_inbox(&mut self, now: Time) {
        let Some(news) = self.gossip.open_inbox(&mut self.rng) else {
            return;
        };
        let mut bringers: Vec<NodeId> = Vec::new();
        for (record, from) in news {
            // A link that brought a forged one is gone, and what else it brought goes with it.
            self.take_records(now, from, [record]);
            if let Err(place) = bringers.binary_search(&from) {
                bringers.insert(place, from);
            }
        }
        for from in bringers {
            self.gossip.prune_if_late(&from, &self.links);
        }
        self.go_on_with_first_rounds(now);
    }

    fn go_on_with_first_rounds(&mut self, now: Time) {
        let ended = self.gossip.go_on_with_first_rounds(now, &self.view);
        self.end_first_rounds(ended);
    }

    /// Where a first round ended, its link may be listed: the next look at the links does that.
    fn end_first_rounds(&mut self, ended: bool) {
        if ended {
            self.links.touch();
        }
    }

    /// Takes records from a neighbour, as long as there is a link to it.
    pub(super) fn take_records(
        &mut self,
        now: Time,
        peer: NodeId,
        records: impl IntoIterator<Item = Arc<Record>>,
    ) {
        let Some(mut bringer) = self.gossip.bringer(&peer, &self.links) else {
            return;
        };
        let mut full = 0;
        for record in records {
            let id = record.id();
            let (members, view) = (&mut self.members, &mut self.view);
            match self.gossip.take(now, record, &mut bringer, members, view) {
                Heard::Nothing => {}
                Heard::News {
                    index,
                    change,
                    before,
                } => self.handle_news(now, (index, peer), change, before),
                Heard::Own(record) => match self.own.heard_own(now, &record) {
                    Ok(None) => {}
                    Ok(Some(event)) => self.out.tell(event),
                    Err(TooNew) => {
                        let why = "signed with this node's key, for a time far ahead".to_owned();
                        self.out.reject("epoch_ahead", record.id(), why);
                    }
                },
                Heard::Forged(why) => {
                    self.drop_forger(now, peer, why);
                    return;
                }
                Heard::Unfit(unfit) if unfit.depends_on_time() => {
                    // The record that is known of it, if there is one, is judged by itself.
                    self.out.reject(unfit.counter(), id, unfit.to_string());
                }
                Heard::Unfit(unfit) => {
                    let why = format!("it passed on a record of {id:?}, which shows {unfit}");
                    self.out.reject("uncertified_record", peer, why);
                    self.drop_faulty(now, peer);
                    return;
                }
                Heard::Full => full += 1,
            }
        }
        if full > 0 {
            let why = "no room for more nodes";
            self.out.reject_many("database_full", full, peer, why);
        }
        self.gossip.note_brought(&bringer);
    }

    /// Takes figures from a neighbour.
    fn handle_figures(&mut self, now: Time, peer: NodeId, entries: Vec<(u16, Arc<LinkFigures>)>) {
        let news = self.figures.news(&entries, &self.view);
        let within = self
            .gossip
            .admit_figures(now, &peer, news.len(), &self.view);
        if !within {
            // An honest neighbour passes on what hostile ones sign: too many are not read, and no more.
            let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
            let why = "figures: more than a peer may bring";
            self.out
                .reject_many("figures_turned_away", count, peer, why);
            let bytes = entries.len() * FIGURES_BYTES;
            if !self.gossip.admit_useless(now, &peer, bytes, &self.view) {
                self.drop_over_limit(now, peer, "figures that are of no use");
            }
            return;
        }
        for batch in news.chunks(self.config.tuning.gossip.verified_together) {
            LinkFigures::verify_all(batch, &self.config.network, &mut self.rng);
        }
        for (age_ds, figures) in entries {
            match self.figures.take(now, figures, age_ds, &self.view) {
                figures::Heard::Nothing => {}
                figures::Heard::Taken(index, pass) => {
                    self.out.figures_changed();
                    if let Some(urgent) = pass {
                        self.spread_figures((now, urgent), index, Some(peer));
                    }
                }
                figures::Heard::Forged(why) => {
                    self.drop_forger(now, peer, why);
                    return;
                }
            }
        }
    }

    fn drop_forger(&mut self, now: Time, peer: NodeId, why: String) {
        self.out.reject("forged_record", peer, why);
        self.drop_faulty(now, peer);
    }

    pub(super) fn drop_faulty(&mut self, now: Time, peer: NodeId) {
        if let Some(conn) = self.links.get(&peer).map(Link::conn) {
            self.close(now, peer, conn, CloseCode::Protocol);
        }
    }

    /// A node has a newer record.
    fn handle_news(
        &mut self,
        now: Time,
        (index, via): (Index, NodeId),
        change: Change,
        before: Option<Before>,
    ) {
        let after = self.view.record_at(index);
        if self.config.tells_links && change != Change::Figures {
            let before = before.as_ref().map(|before| before.record.body());
            let news = LinkNews::between(before, after.body(), Some(via));
            self.out.tell_links(news);
        }
        let id = after.id();
        if let Some(Before { record: before, .. }) = &before {
            if matches!(change, Change::Withdrawal | Change::Suspicion) {
                let short = id.abbreviated();
                let lists = |peer: &NodeId| {
                    let record = self.view.record(peer);
                    record.is_some_and(|record| record.link_to(&short).is_some())
                };
                self.links.hear_of_links(now, before, after, lists);
            }
            if is_same_version(before, after) {
                let why = "signed two records under one version".to_owned();
                self.out.reject("two_bodies", id, why);
            }
        }
        if change == Change::Withdrawal && self.is_disowned() {
            // Others may take this node for dead: its next record shows that it is not.
            self.own_link_changed(now, false);
        }
        self.overlay.remember(now, index, before, &self.view);
        match change {
            Change::Withdrawal | Change::Gain | Change::Suspicion => {
                if self.view.is_up_at(index) {
                    self.out.shape_changed();
                }
                self.view.derive_soon(now, change == Change::Withdrawal);
            }
            Change::Figures => self.out.figures_changed(),
        }
    }
}

/// Figures.
impl Core {
    /// Tells the figures of our own links, if that is due.
    pub(super) fn tell_figures(&mut self, now: Time) {
        let (record, place) = (self.own.record(), (self.view.me(), self.view.up_count()));
        let told = self
            .figures
            .tell_if_due(now, record, place, &self.links, &mut self.rng);
        if let Some(urgent) = told {
            self.spread_figures((now, urgent), self.view.me(), None);
        }
    }

    /// Passes on a node's newest figures, at once if they are urgent.
    fn spread_figures(&mut self, when: (Time, bool), index: Index, from: Option<NodeId>) {
        let tree = self.figures.tree(self.out.changes().shape, &self.view);
        self.gossip
            .spread_figures(when, (index, from), tree, &self.view);
    }
}

impl Core {
    /// Whether several neighbours with a link in use say that they have none: one may just have lost it.
    fn is_disowned(&self) -> bool {
        let me = self.own.record().id().abbreviated();
        let live = self.links.listed().filter(|link| link.is_live());
        let records = live.filter_map(|link| self.view.record(&link.peer()));
        records
            .filter(|record| record.link_to(&me).is_none())
            .count()
            >= 2
    }
}

/// Whether two records of a node were signed under one version: only their hashes tell them apart.
fn is_same_version(a: &Record, b: &Record) -> bool {
    (a.body().epoch, a.body().seq) == (b.body().epoch, b.body().seq)
}
