//! Two neighbours compare their views, and give each other what one of them lacks.
//!
//! Every probe carries eight bytes that stand for the view of its sender. Where they keep differing while ours stands still, one neighbour
//! after another has one and the same other view, or something that neighbours told of was asked for in vain, sums over ranges of ids are
//! compared, then the versions in those that differ, then records are sent. So what spreading missed is found, at a cost that does not grow with the network while nothing is missing.
//!
//! The same happens on a link to a node that was not in view, when it is new and when it comes back. Where two parts of a split network
//! meet, what each remembers of the other is as old as the split, and whoever died or left since would be shown once more: the survivors'
//! old records list the dead. So as in OSPF (RFC 2328, section 10.3, states Exchange and Loading) such a link is listed, and who is up is
//! derived over it, only when that *first exchange* is through, or took too long. Who has lost nobody has nothing to wait for.
//!
//! And where all old neighbours of a node die together, with others elsewhere: what passed between their death and the first new link came
//! over none, and while news keeps coming, views don't stand still. So whoever is left with new links alone goes through a first
//! exchange on one of them, which waits for nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::RngExt as _;

use super::database::Index;
use super::links::{Link, LinkPhase};
use super::{Core, Time};
use crate::record::Version;
use crate::wire::{MAX_SYNC_ENTRIES, Message, NodeId, ShortId, ViewDigest};

/// A node that knows no more than this is sent everything at once.
const FEW: u32 = 8;
/// Two views must differ for this long, unchanged on our side, before they are compared.
const DIFFERS_FOR: Duration = Duration::from_millis(1200);
/// Two neighbours with one view that is not ours, which has not changed for so long: most often it is we who lack something, and their next
/// probes need not be waited for.
const OUTVOTED_FOR: Duration = Duration::from_millis(800);
/// Views that differ for this long are compared whatever ours does.
const DIFFERS_LONG: Duration = Duration::from_secs(10);
/// The pause after an exchange that found something: there may be more than fits into one.
const NEXT: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A link that waits for its first exchange waits no longer than this for the next step: a neighbour that never answers is a neighbour after
/// all.
const FIRST_STEP: Duration = Duration::from_secs(2);
/// Nor longer than this in all.
const FIRST_MOST: Duration = Duration::from_secs(20);
/// A first exchange compares the views so often, as one message holds no more than the versions of a thousand nodes. Where news keeps coming,
/// each time would find some, as fast as messages go to and fro; and a neighbour allows for a burst of 64 comparisons (`spread`), others
/// among them.
const FIRST_ROUNDS: u32 = 24;
/// Most links that are judged down were silent for less than this.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);
/// Of the thousands of records that a first exchange waits for, no more than so many are looked for in vain whenever records come: a
/// neighbour that never sends them must not make others' records dear.
const MOST_LACKING: u32 = 64;

/// How a neighbour's view compares with ours.
#[derive(Debug)]
pub(super) struct Exchange {
    /// The digests differ: ours, since when it has been this one, since when they differ at all.
    differs: Option<(ViewDigest, Time, Time)>,
    pause: Duration,
    next: Time,
    /// The one on a new link, and what the link waits for before it is listed.
    first: Option<First>,
    /// There was one: whatever came since is told over this link.
    compared: bool,
    /// Where our last answer to the neighbour's sums ended: it asks again while there is more than fits into one.
    answered: Option<(u8, u16)>,
}

/// Whether neighbours agree on a view that is not ours.
#[derive(Debug, Default)]
pub(super) struct Outvoted {
    /// Our view, as it was when one was last heard, and since when it has been that one.
    ours: Option<ViewDigest>,
    since: Time,
    /// What one of them has in its place, heard since, with none in between that has ours.
    theirs: Option<(ViewDigest, NodeId)>,
}

impl Outvoted {
    /// Hears what a neighbour has while we have ours; tells whether another one had the same, and ours has been as it is for long enough.
    fn hear(&mut self, now: Time, ours: ViewDigest, peer: NodeId, theirs: ViewDigest) -> bool {
        if self.ours != Some(ours) {
            (self.ours, self.since, self.theirs) = (Some(ours), now, None);
        }
        let other = (theirs != ours).then_some((theirs, peer));
        let before = std::mem::replace(&mut self.theirs, other);
        let agreed = before.is_some_and(|(view, from)| view == theirs && from != peer);
        agreed && theirs != ours && now.saturating_sub(self.since) >= OUTVOTED_FOR
    }
}

#[derive(Debug)]
struct First {
    /// The link is not listed before.
    holds: bool,
    until: Time,
    latest: Time,
    rounds_left: u32,
    /// The ranges that the neighbour has told the versions of, so finely divided.
    told: (u8, BTreeSet<u16>),
    /// It has told all.
    all_told: bool,
    /// Records that were asked for and have not come.
    wanted: VecDeque<(ShortId, Version)>,
}

impl First {
    /// Takes note of an answer; tells whether there may be more to ask for.
    fn hear(&mut self, now: Time, log2: u8, buckets: &[u16]) -> bool {
        self.until = (now + FIRST_STEP).min(self.latest);
        if self.told.0 != log2 {
            self.told = (log2, BTreeSet::new());
        }
        let before = self.told.1.len();
        self.told.1.extend(buckets);
        let count = self.told.1.len();
        self.rounds_left = self.rounds_left.saturating_sub(1);
        self.all_told |= count == before || count == 1 << log2 || self.rounds_left == 0;
        !self.all_told
    }
}

impl Exchange {
    pub(super) fn new(now: Time) -> Self {
        Self {
            differs: None,
            pause: DIFFERS_FOR,
            next: now,
            first: None,
            compared: false,
            answered: None,
        }
    }

    /// Nothing keeps the link from being listed any more.
    pub(super) fn end_hold(&mut self) {
        self.first.take_if(|first| first.holds);
    }

    /// Until when the link waits for its first exchange, where it does.
    pub(super) fn holds_until(&self) -> Option<Time> {
        let first = self.first.as_ref().filter(|first| first.holds);
        first.map(|first| first.until)
    }
}

impl Core {
    /// Offers everybody that is up to one neighbour.
    pub(super) fn offer_all(&mut self, peer: NodeId) {
        let Some(link) = self.links.get(&peer) else {
            return;
        };
        for (index, entry) in self.database.nodes_up() {
            if entry.record.id() != peer {
                self.backlog.offer(link.slot, index);
            }
        }
    }

    /// The first exchange on a new link: everything to one that knows little, else a comparison of the views. With a node that was in view
    /// already, that can wait until views stand still: where news is under way, it comes by itself.
    pub(super) fn greet(
        &mut self,
        now: Time,
        peer: NodeId,
        was_up: bool,
        known: u32,
        digest: ViewDigest,
    ) {
        if known <= FEW {
            self.offer_all(peer);
        }
        self.offer_news_of_lost(peer);
        if digest == self.database.digest() {
            return;
        }
        if was_up {
            if self.hears_nobody_but(&peer) {
                // Nobody tells what passed us by since the others fell silent.
                self.begin_first_exchange(now, peer, false);
            }
            return;
        }
        // One that knows nobody else brings nobody else into view.
        let held = known > 1 && self.hold_for_exchange(now, peer);
        if known > FEW && !held {
            self.start_exchange(peer);
        }
    }

    /// Has a link wait for its first exchange, where we may remember what is no longer so. Tells whether it does.
    pub(super) fn hold_for_exchange(&mut self, now: Time, peer: NodeId) -> bool {
        self.has_lost(&peer) && self.begin_first_exchange(now, peer, true)
    }

    fn begin_first_exchange(&mut self, now: Time, peer: NodeId, holds: bool) -> bool {
        let begins = self.start_exchange(peer);
        if let Some(link) = self.links.get_mut(&peer) {
            link.exchange.compared |= begins;
            link.exchange.first = begins.then(|| First {
                holds,
                until: now + FIRST_STEP,
                latest: now + FIRST_MOST,
                rounds_left: FIRST_ROUNDS,
                told: (0, BTreeSet::new()),
                all_told: false,
                wanted: VecDeque::new(),
            });
        }
        begins
    }

    /// A link was lost. Where each that is left may be younger than its silence, what passed in between came over none of them, and
    /// nobody will tell of it. One comparison is enough, however many are lost: a neighbour allows for few.
    pub(super) fn fill_gap(&mut self, now: Time) {
        let listed = || self.links.values().filter(|link| link.is_listed());
        let tells_all = |link: &Link| {
            link.exchange.compared || now.saturating_sub(link.adopted) >= LONGEST_SILENCE
        };
        if listed().any(tells_all) {
            return;
        }
        let nearest =
            listed().min_by_key(|link| (link.detector.rtt().map(|rtt| rtt.smoothed_us), link.peer));
        if let Some(peer) = nearest.map(|link| link.peer) {
            self.begin_first_exchange(now, peer, false);
        }
    }

    /// Whether all other neighbours owe us answers, or there are none.
    fn hears_nobody_but(&self, peer: &NodeId) -> bool {
        let others = self.links.values().filter(|link| link.peer != *peer);
        let mut live = others.filter(|link| matches!(link.phase, LinkPhase::Live { .. }));
        live.all(|link| link.detector.is_missing())
    }

    /// Offers what came in about nodes that are not in view again, and may soon be, as another link waits: no comparison of views would tell.
    pub(super) fn offer_news_of_lost(&mut self, peer: NodeId) {
        let Some(link) = self.links.get(&peer) else {
            return;
        };
        for index in self.database.lost() {
            let entry = self.database.entry(index);
            if entry.received > entry.since && entry.record.id() != peer {
                self.backlog.offer(link.slot, index);
            }
        }
    }

    /// Compares a neighbour's view with ours; where they keep differing while ours stands still, or others have theirs too, starts the
    /// exchange.
    pub(super) fn compare_digest(&mut self, now: Time, peer: NodeId, theirs: ViewDigest) {
        let ours = self.database.digest();
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let outvoted = self.outvoted.hear(now, ours, peer, theirs);
        let exchange = &mut link.exchange;
        if theirs == ours {
            exchange.differs = None;
            exchange.pause = DIFFERS_FOR;
            return;
        }
        let (since, first) = match exchange.differs {
            Some((before, since, first)) if before == ours => (since, first),
            Some((_, _, first)) => (now, first),
            None => (now, now),
        };
        exchange.differs = Some((ours, since, first));
        let settled = now.saturating_sub(since) >= DIFFERS_FOR;
        // Where news never ceases, waiting for a still moment would be waiting for ever.
        let overdue = now.saturating_sub(first) >= DIFFERS_LONG;
        let lately = |at| now.saturating_sub(at) < DIFFERS_LONG;
        let due = settled || outvoted || overdue || self.asked_in_vain.is_some_and(lately);
        if due && exchange.next <= now {
            exchange.next = now + exchange.pause;
            exchange.pause = (exchange.pause * 2).min(LONGEST_PAUSE);
            if self.start_exchange(peer) {
                self.asked_in_vain = None;
            }
        }
    }

    fn start_exchange(&mut self, peer: NodeId) -> bool {
        let log2 = self.database.bucket_log2();
        let sums = self.database.bucket_sums(log2);
        self.post(peer, Message::Digests { log2, sums })
    }

    /// Answers with the versions of what may differ. Where nothing does, with none: the neighbour may wait for that.
    pub(super) fn handle_digests(&mut self, peer: NodeId, log2: u8, theirs: &[u64]) {
        let ours = self.database.bucket_sums(log2);
        // One that knows few divides coarsely, and what we know in one of its ranges may not fit into a message.
        let fine = self.database.bucket_log2().max(log2);
        let parts = 1 << (fine - log2);
        let differing: Vec<u16> = (0_u16..)
            .zip(ours.iter().zip(theirs))
            .filter(|(_, (ours, theirs))| ours != theirs)
            .flat_map(|(place, _)| place * parts..(place + 1) * parts)
            .collect();
        let answered = self
            .links
            .get(&peer)
            .and_then(|link| link.exchange.answered);
        let start = match answered {
            Some((log2, next)) if log2 == fine => differing.partition_point(|place| *place < next),
            Some(_) | None if differing.is_empty() => 0,
            Some(_) | None => self.rng.random_range(0..differing.len()),
        };
        let (buckets, entries) = self.database.versions_in(fine, &differing, start);
        if let Some((link, last)) = self.links.get_mut(&peer).zip(buckets.last()) {
            link.exchange.answered = Some((fine, last + 1));
        }
        self.post(
            peer,
            Message::Versions {
                log2: fine,
                buckets,
                entries,
            },
        );
    }

    pub(super) fn handle_versions(
        &mut self,
        now: Time,
        peer: NodeId,
        log2: u8,
        buckets: &[u16],
        entries: &[(ShortId, Version)],
    ) {
        let theirs: BTreeMap<ShortId, Version> = entries.iter().copied().collect();
        let wanted: Vec<(ShortId, Version)> = theirs
            .iter()
            .filter(|(id, version)| self.lacks(id, **version))
            .map(|(id, version)| (*id, *version))
            .take(MAX_SYNC_ENTRIES)
            .collect();
        let within = self.database.nodes_in(log2, buckets).into_iter();
        // A node that it shows as up, and that left or died for us, has a newer record too.
        let down = theirs.keys().filter_map(|id| self.database.index(id));
        let down = down.filter(|&index| !self.database.is_up_at(index));
        let newer: Vec<Index> = within
            .map(|(_, index)| index)
            .chain(down)
            .filter(|&index| {
                let record = self.database.record_at(index);
                theirs
                    .get(&record.id().abbreviated())
                    .is_none_or(|version| *version < record.version())
            })
            .collect();
        let ids: Vec<ShortId> = wanted.iter().map(|(id, _)| *id).collect();
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        if !(newer.is_empty() && wanted.is_empty()) {
            link.exchange.pause = DIFFERS_FOR;
            link.exchange.next = now + NEXT;
        }
        for index in newer {
            self.backlog.require(link.slot, index);
        }
        let mut more = false;
        if let Some(first) = &mut link.exchange.first {
            more = first.hear(now, log2, buckets);
            first.wanted.extend(wanted);
        }
        if !ids.is_empty() {
            self.post(peer, Message::Want(ids));
        }
        if more {
            self.start_exchange(peer);
        }
        self.go_on_with_first_exchanges(now);
    }

    pub(super) fn handle_want(&mut self, peer: NodeId, ids: &[ShortId]) {
        let indices: Vec<Index> = ids
            .iter()
            .filter_map(|id| self.database.index(id))
            .collect();
        if let Some(link) = self.links.get(&peer) {
            for index in indices {
                self.backlog.require(link.slot, index);
            }
        }
    }

    /// Whether there is no record of that version here, nor a newer one.
    fn lacks(&self, id: &ShortId, version: Version) -> bool {
        let ours = self.database.index(id);
        ours.is_none_or(|index| self.database.record_at(index).version() < version)
    }

    /// Records came in: where these are the last that a first exchange asked for, it is over.
    pub(super) fn go_on_with_first_exchanges(&mut self, now: Time) {
        let waiting = self.links.values_mut().filter_map(|link| {
            let first = link.exchange.first.as_mut()?;
            let goes_on = first.all_told || !first.wanted.is_empty();
            goes_on.then(|| (link.peer, std::mem::take(&mut first.wanted)))
        });
        for (peer, mut wanted) in waiting.collect::<Vec<_>>() {
            let (before, mut lacking) = (wanted.len(), 0);
            for _ in 0..before {
                if lacking == MOST_LACKING {
                    break;
                }
                let (id, version) = wanted.pop_back().expect("one for each turn");
                if self.lacks(&id, version) {
                    wanted.push_front((id, version));
                    lacking += 1;
                }
            }
            let link = self.links.get_mut(&peer);
            let Some(first) = link.and_then(|link| link.exchange.first.as_mut()) else {
                continue;
            };
            if wanted.len() < before {
                first.until = (now + FIRST_STEP).min(first.latest);
            }
            let is_over = first.all_told && wanted.is_empty() || first.until < now;
            first.wanted = wanted;
            if is_over {
                self.end_first_exchange(peer);
            }
        }
    }

    /// The next look at the links lists that one.
    fn end_first_exchange(&mut self, peer: NodeId) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.exchange.first = None;
            self.stirred = true;
        }
    }

    /// Whether records are kept of nodes that were lost sight of, that one aside: records that may have grown old.
    fn has_lost(&self, peer: &NodeId) -> bool {
        let peer = self.database.index(&peer.abbreviated());
        self.database.lost().any(|index| Some(index) != peer)
    }
}
