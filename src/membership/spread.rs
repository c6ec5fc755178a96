//! Records between neighbours.
//!
//! A newer record goes to every neighbour not known to have it: as a whole along a tree, as a word over the other links
//! ([`tree`](super::tree)); in a full mesh everybody hears everything from the node itself. What a neighbour may lack is a *set of nodes*, and the
//! newest record of each is encoded at the moment of sending: memory is bounded by the number of nodes, and a slow
//! link gets fewer, newer records. What these miss, a comparison of the views finds ([`exchange`](super::exchange)).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::backlog::{Slot, Way};
use super::change::Change;
use super::database::{Before, Index, Outcome};
use super::links::LinkPhase;
use super::{Action, ConnId, Core, Time};
use crate::record::Record;
use crate::wire::{BATCH_BYTES, CloseCode, Message, NodeId};

/// How long a gain waits for company before it is passed on, the first time and when its node keeps changing.
const FIRST_RELAY: Duration = Duration::from_millis(3);
const NEXT_RELAY: Duration = Duration::from_millis(50);
/// The same along a tree, where each record comes but once.
const NEXT_TREE_RELAY: Duration = Duration::from_millis(20);
/// How long a loss waits for company in a network of more than 32 nodes.
const LOSS_COMPANY: Duration = Duration::from_millis(5);
/// How much later the end with the higher id passes a gain on.
const SECOND_TURN: Duration = Duration::from_millis(20);
/// Along a tree, in a network of more nodes than this, records go in rounds, so much longer for every node.
const NO_ROUNDS: u32 = 32;
const ROUND_PER_NODE: Duration = Duration::from_micros(100);
const LONGEST_ROUND: Duration = Duration::from_millis(100);
/// How long a neighbour off the tree waits to be told: the tree should have brought the record by then.
const LAZY: Duration = Duration::from_millis(100);
const LAZY_ROUNDS: u32 = 1;
/// Measurements alone are in no hurry.
const FIGURES_RELAY: Duration = Duration::from_millis(50);
/// A node whose records keep coming is passed on no more often than this.
const RELAY_SPACING: Duration = Duration::from_millis(100);
/// New records that a neighbour may bring: the first fill of the largest network at once, then so many a second. A signature
/// takes 50 µs to verify, so that is a twentieth of a core.
const RECORDS_BURST: f64 = super::database::MAX_NODES as f64;
const RECORDS_PER_S: f64 = 1000.0;
/// Signatures that are verified together: more are no cheaper, and one that is forged makes all of them dear.
const BATCH_RECORDS: usize = 64;
/// Messages of the digest exchange that a neighbour may send: each costs a walk over the view.
const EXCHANGES_BURST: f64 = 64.0;
const EXCHANGES_PER_S: f64 = 8.0;
/// Messages that name records, or tell of the tree, that a neighbour may send: each costs a look at as many nodes as it names.
const TREE_BURST: f64 = 256.0;
const TREE_PER_S: f64 = 64.0;

/// What a neighbour may still send.
#[derive(Debug)]
pub(super) struct Allowances {
    records: Allowance,
    exchanges: Allowance,
    tree: Allowance,
}

/// The neighbour that brought a record.
#[derive(Debug)]
struct Bringer {
    peer: NodeId,
    conn: ConnId,
    slot: Slot,
    /// It is on this very machine.
    over_loopback: bool,
}

/// What a neighbour brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Brought {
    News,
    /// Another neighbour had brought it.
    Repeat,
    Nothing,
    /// It was signed by nobody, and the link is closed.
    Forged,
}

#[derive(Debug)]
struct Allowance {
    left: f64,
    at: Time,
}

impl Allowance {
    fn take(&mut self, now: Time, count: usize, per_s: f64, burst: f64) -> bool {
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + elapsed * per_s).min(burst) - count as f64;
        self.left >= 0.0
    }
}

impl Allowances {
    pub(super) fn new(now: Time) -> Self {
        Self {
            records: Allowance {
                left: RECORDS_BURST,
                at: now,
            },
            exchanges: Allowance {
                left: EXCHANGES_BURST,
                at: now,
            },
            tree: Allowance {
                left: TREE_BURST,
                at: now,
            },
        }
    }
}

impl Core {
    pub(super) fn handle_message(&mut self, now: Time, conn: ConnId, message: Message) {
        // A connection that lost to another may still deliver what was under way.
        let Some(&peer) = self.conns.get(&conn) else {
            return;
        };
        if self.links.get(&peer).is_some_and(|link| link.conn == conn) {
            self.confirm(now, peer);
        }
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let allowances = &mut link.allowances;
        let over = match &message {
            Message::Records(_) | Message::Hello(_) => None,
            Message::Digests { .. } | Message::Versions { .. } | Message::Superfluous(_) => {
                let within = allowances
                    .exchanges
                    .take(now, 1, EXCHANGES_PER_S, EXCHANGES_BURST);
                (!within).then_some("digest exchanges")
            }
            Message::Want(_) | Message::Have(_) | Message::Graft(_) | Message::Prune => {
                let within = allowances.tree.take(now, 1, TREE_PER_S, TREE_BURST);
                (!within).then_some("words about records")
            }
        };
        if let Some(what) = over {
            self.over_limit(now, peer, what);
            return;
        }
        match message {
            Message::Hello(_) => {
                self.reject("protocol_violation", peer, "a second Hello".to_owned());
                self.close(now, peer, conn, CloseCode::Protocol);
            }
            Message::Records(records) => self.handle_records(now, peer, records),
            Message::Digests { log2, sums } => self.handle_digests(peer, log2, &sums),
            Message::Versions {
                log2,
                buckets,
                entries,
            } => {
                self.handle_versions(now, peer, log2, &buckets, &entries);
            }
            Message::Want(ids) => self.handle_want(peer, &ids),
            Message::Superfluous(superfluous) => self.handle_superfluous(now, peer, superfluous),
            Message::Have(entries) => self.handle_have(now, peer, &entries),
            Message::Graft(ids) => self.handle_graft(peer, &ids),
            Message::Prune => self.handle_prune(peer),
        }
    }

    fn over_limit(&mut self, now: Time, peer: NodeId, what: &str) {
        self.reject(
            "over_limit",
            peer,
            format!("more {what} than a peer may send"),
        );
        if let Some(link) = self.links.get(&peer) {
            let conn = link.conn;
            self.close(now, peer, conn, CloseCode::Limit);
        }
    }

    fn handle_records(&mut self, now: Time, peer: NodeId, records: Vec<Arc<Record>>) {
        let is_news = |record| self.database.would_be_news(record);
        let is_news: Vec<bool> = records.iter().map(is_news).collect();
        let news = is_news.iter().filter(|is_news| **is_news).count();
        let within = self.links.get_mut(&peer).is_none_or(|link| {
            news == 0
                || link
                    .allowances
                    .records
                    .take(now, news, RECORDS_PER_S, RECORDS_BURST)
        });
        if !within {
            self.over_limit(now, peer, "new records");
            return;
        }
        let (mut taken, mut deferred) = (Vec::with_capacity(records.len()), false);
        for (record, is_news) in records.into_iter().zip(is_news) {
            if is_news && !record.is_verified() {
                self.unverified
                    .entry(record.id())
                    .or_default()
                    .push((record, peer));
                self.unverified_since.get_or_insert(now);
                deferred = true;
            } else {
                taken.push(record);
            }
        }
        self.take_records(now, peer, taken);
        if !deferred {
            self.prune_branch(peer);
            self.go_on_with_first_exchanges(now);
        }
    }

    /// Takes what came in since the last time, of each node the newest record first: the older ones then need no
    /// verification, which is what costs most. A busy node so skips versions instead of falling behind.
    pub(super) fn take_unverified(&mut self, now: Time) {
        if self.unverified_since.take().is_none() {
            return;
        }
        let mut unverified = std::mem::take(&mut self.unverified);
        for records in unverified.values_mut() {
            records.sort_by(|(a, _), (b, _)| b.compare(a));
        }
        let newest: Vec<&Record> = unverified
            .values()
            .filter_map(|records| records.first())
            .map(|(record, _)| &**record)
            .collect();
        for batch in newest.chunks(BATCH_RECORDS) {
            Record::verify_all(batch.iter().copied(), &self.config.network, &mut self.rng);
        }
        let mut bringers = BTreeSet::new();
        for records in unverified.into_values() {
            for (record, from) in records {
                // A link that brought a forged one is gone, and what else it brought goes with it.
                self.take_records(now, from, [record]);
                bringers.insert(from);
            }
        }
        for from in bringers {
            self.prune_branch(from);
        }
        self.go_on_with_first_exchanges(now);
    }

    /// Takes records from a neighbour, as long as there is a link to it.
    pub(super) fn take_records(
        &mut self,
        now: Time,
        peer: NodeId,
        records: impl IntoIterator<Item = Arc<Record>>,
    ) {
        let Some(link) = self.links.get(&peer) else {
            return;
        };
        let bringer = Bringer {
            peer,
            conn: link.conn,
            slot: link.slot,
            over_loopback: link.remote.ip().is_loopback(),
        };
        let (mut news, mut repeats) = (0, 0);
        for record in records {
            match self.take_record(now, record, &bringer) {
                Brought::News => news += 1,
                Brought::Repeat => repeats += 1,
                Brought::Nothing => {}
                Brought::Forged => return,
            }
        }
        if let Some(link) = self.links.get_mut(&peer) {
            link.branch.news += news;
            link.branch.repeats += repeats;
        }
    }

    /// Takes a record from a neighbour: verified if it is news, kept if it is newer, passed on to the others.
    fn take_record(&mut self, now: Time, record: Arc<Record>, from: &Bringer) -> Brought {
        let id = record.id();
        if id == self.me {
            if record.version() > self.own.record().version()
                && record.verify(&self.config.network).is_ok()
            {
                self.heard_own(now, &record);
            } else if record.version() < self.own.record().version() {
                self.needs(from, self.database.me());
            }
            return Brought::Nothing;
        }
        if !record.is_verified()
            && self.database.would_be_news(&record)
            && !self.is_genuine(now, &record, &from.peer)
        {
            return Brought::Forged;
        }
        let (short, version) = (id.abbreviated(), record.version());
        let leaving = record.body().leaving;
        match self
            .database
            .accept(record, now, Some(from.peer), from.over_loopback)
        {
            Outcome::Newer(index, change, before) => {
                self.has_come(now, &short, version, from.conn);
                if matches!(change, Change::Loss | Change::Suspicion) {
                    self.hear_hints(now, index, before.as_ref());
                }
                let two_bodies = before.as_ref().is_some_and(|before| {
                    same_version(&before.record, self.database.record_at(index))
                });
                if two_bodies {
                    self.reject(
                        "two_bodies",
                        id,
                        "signed two records under one version".to_owned(),
                    );
                }
                self.remember(now, index, before);
                self.relay(now, index, change, from.slot);
                Brought::News
            }
            Outcome::Same(index) => {
                self.backlog.settle(from.slot, index);
                // What floods comes by many ways, farewell among it.
                if leaving || self.flood.is_under_way(now, index) {
                    Brought::Nothing
                } else {
                    Brought::Repeat
                }
            }
            Outcome::Older(index) => {
                self.needs(from, index);
                Brought::Nothing
            }
            Outcome::Full => {
                self.reject("database_full", id, "no room for more nodes".to_owned());
                Brought::Nothing
            }
        }
    }

    fn is_genuine(&mut self, now: Time, record: &Record, from: &NodeId) -> bool {
        let Err(error) = record.verify(&self.config.network) else {
            return true;
        };
        self.reject("forged_record", *from, error.to_string());
        if let Some(link) = self.links.get(from) {
            let conn = link.conn;
            self.close(now, *from, conn, CloseCode::Protocol);
        }
        false
    }

    /// Passes a newer record on, and looks at what it means for the view.
    fn relay(&mut self, now: Time, index: Index, change: Change, from: Slot) {
        let recent = self.database.note_relay(index, now);
        let since = recent.map(|at| now.saturating_sub(at));
        let wait = match change {
            Change::Loss | Change::Suspicion => {
                let spacing =
                    since.map_or(Duration::ZERO, |since| RELAY_SPACING.saturating_sub(since));
                // In a large network a death is told by many at once: a moment's wait makes one batch of them.
                let company = if self.database.up_count() > 32 {
                    LOSS_COMPANY
                } else {
                    Duration::ZERO
                };
                spacing.max(company)
            }
            Change::Gain if since.is_none_or(|since| since > Duration::from_secs(1)) => FIRST_RELAY,
            Change::Gain if self.has_tree() => NEXT_TREE_RELAY,
            Change::Gain => NEXT_RELAY,
            Change::Figures => FIGURES_RELAY,
        };
        // Nobody but whoever brought it is known to have it.
        self.backlog.renew(index);
        self.backlog.settle(from, index);
        self.pass_on(now, index, change, wait);
        match change {
            Change::Loss | Change::Gain | Change::Suspicion => {
                self.changes.shape += u64::from(self.database.is_up_at(index));
                self.derive_soon(now, change == Change::Loss);
            }
            Change::Figures => self.changes.figures += 1,
        }
    }

    /// Offers a record to the neighbours, after a wait. In a full mesh, gains and measurements go to those that won't hear them from the
    /// node itself, where of the two ends of a link the lower id goes first: mostly the other then has nothing left to say.
    pub(super) fn pass_on(&mut self, now: Time, index: Index, change: Change, wait: Duration) {
        let at = now + wait;
        let brings_back = change == Change::Gain && self.database.brings_back(index);
        // It goes the way that news of those behind it went.
        let floods = self.floods(now, index, change) && !brings_back;
        let is_own = index == self.database.me();
        let body = self.database.record_at(index).body();
        let way = if body.leaving {
            // After farewell there is no time to be asked.
            Way::Everywhere
        } else if !is_own
            && body.links.is_empty()
            && matches!(change, Change::Gain | Change::Figures)
        {
            // A newcomer that lists no link yet can be reached by nobody else; its next record is on its way.
            return;
        } else if self.has_tree() {
            match (floods, change) {
                (false, _) => Way::Tree,
                (true, Change::Gain) if !is_own => Way::Around,
                (true, Change::Gain | Change::Loss | Change::Suspicion | Change::Figures) => {
                    Way::Everywhere
                }
            }
        } else if is_own || matches!(change, Change::Loss | Change::Suspicion) {
            Way::Everywhere
        } else {
            Way::FirstTurn
        };
        let at = if way == Way::Tree && self.flood.goes_in_rounds(now) {
            end_of_round(at, self.round())
        } else {
            at
        };
        if brings_back {
            self.bridge = Some(self.bridge.map_or(at, |bridge| bridge.min(at)));
        }
        self.waiting.push(at, index, way);
        if way == Way::FirstTurn {
            self.waiting.push(at + SECOND_TURN, index, Way::SecondTurn);
        }
    }

    /// In a storm, the records of a large network go along the tree in rounds of this length, if it is not zero: at the start of ten thousand
    /// nodes each of them reads some forty thousand records, and one message for each would cost many times more than what it carries.
    pub(super) fn round(&self) -> Duration {
        let nodes = u32::try_from(self.database.up_count()).expect("MAX_NODES fits");
        if nodes <= NO_ROUNDS {
            Duration::ZERO
        } else {
            (ROUND_PER_NODE * nodes).min(LONGEST_ROUND)
        }
    }

    /// Gives every neighbour what waited for its time, unless it has it by now.
    pub(super) fn release(&mut self, now: Time) {
        if let Some(at) = self.bridge.take() {
            // What came about those behind that link, who may have died or left since they were lost sight of, goes no later than it.
            self.waiting.hasten(at, at + SECOND_TURN);
        }
        if self.waiting.next_due().is_none_or(|due| due > now) {
            return;
        }
        self.to_send = true;
        let by = now + LAZY + LAZY_ROUNDS * self.round();
        let ways = self.ways();
        while let Some(together) = self.waiting.pop_due(now) {
            for (index, way) in together {
                if self.database.has(index) {
                    ways.pass_on(&mut self.backlog, &self.database, index, way, by);
                }
            }
        }
    }

    /// The neighbour had an older record. If ours was sent to it, that crossed with its own.
    fn needs(&mut self, from: &Bringer, index: Index) {
        self.backlog.offer(from.slot, index);
        self.to_send = true;
    }

    /// Puts a message that is not a batch of records into a neighbour's outbox. More than a few waiting mean a slow peer: the
    /// exchange will be repeated, so the message may be dropped. Returns whether it was not.
    pub(super) fn post(&mut self, peer: NodeId, message: Message) -> bool {
        const OUTBOX: usize = 8;
        let link = self.links.get_mut(&peer);
        let Some(link) = link.filter(|link| link.outbox.len() < OUTBOX) else {
            return false;
        };
        link.outbox.push_back(message);
        self.to_send = true;
        true
    }

    pub(super) fn handle_flushed(&mut self, conn: ConnId) {
        if let Some(link) = self.link_of(conn) {
            link.in_flight = None;
            self.to_send = true;
        }
    }

    /// Hands the transport the next message for every link that has one to send and nothing under way. Returns when to look again.
    pub(super) fn flush_links(&mut self, now: Time) -> Time {
        let mut due = Time::MAX;
        let Self {
            links,
            backlog,
            database,
            actions,
            ..
        } = self;
        for link in links.values_mut() {
            if link.in_flight.is_some() || !matches!(link.phase, LinkPhase::Live { .. }) {
                due = link.send_deadline(backlog).map_or(due, |at| due.min(at));
                continue;
            }
            let told = std::mem::take(&mut link.tell_superfluous)
                .then_some(Message::Superfluous(link.superfluous));
            link.offered |= link.superfluous;
            let message = told.or_else(|| link.outbox.pop_front()).or_else(|| {
                let mut bytes = 0;
                let mut batch = Vec::new();
                backlog.take_due(link.slot, |index| {
                    if bytes >= BATCH_BYTES {
                        return false;
                    }
                    let record = database.record_at(index);
                    bytes += record.encoded_len();
                    batch.push(record.clone());
                    true
                });
                (!batch.is_empty()).then_some(Message::Records(batch))
            });
            let message = message.or_else(|| link.tell(now, backlog, database));
            if let Some(message) = message {
                link.in_flight = Some(now);
                actions.push_back(Action::Send(link.conn, message));
            }
            due = link.send_deadline(backlog).map_or(due, |at| due.min(at));
        }
        due
    }

    /// Whoever hears that a neighbour of X suspects or lost its link to X looks at its own link to X at once.
    fn hear_hints(&mut self, now: Time, teller: Index, before: Option<&Before>) {
        let Some(Before { record: before, .. }) = before else {
            return;
        };
        let after = self.database.record_at(teller);
        let id = after.id();
        let same_run = before.body().run_id == after.body().run_id;
        for link in self.links.values_mut().filter(|link| link.peer != id) {
            let short = link.peer.abbreviated();
            let Some(was) = before.link_to(&short) else {
                continue;
            };
            let worse = match after.link_to(&short) {
                None => !after.body().leaving,
                Some(is) => is.suspect && !was.suspect,
            };
            if !worse {
                continue;
            }
            link.hinted = Some(now);
            link.detector.probe_now(now);
            self.stirred = true;
            // Only whom the peer listed as well has lost it.
            let record = self.database.record(&link.peer);
            let listed = record.is_some_and(|peer| peer.link_to(&id.abbreviated()).is_some());
            if after.link_to(&short).is_none() && same_run && listed {
                link.detector.handle_witness(teller);
            }
        }
    }
}

/// The end of a round.
pub(super) fn end_of_round(at: Time, round: Duration) -> Time {
    let over = at.as_nanos().checked_rem(round.as_nanos());
    let rest = over.map_or(0, |over| round.as_nanos() - over);
    at + Duration::from_nanos(u64::try_from(rest).expect("less than a round"))
}

fn same_version(a: &Record, b: &Record) -> bool {
    (a.body().epoch, a.body().seq) == (b.body().epoch, b.body().seq)
}
