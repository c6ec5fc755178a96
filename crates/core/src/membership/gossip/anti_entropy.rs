//! Anti-entropy: two neighbours compare their views, and give each other what one of them lacks (Demers et al., 1987).
//!
//! Every probe carries eight bytes that stand for the view of its sender. A *round* begins where they keep differing while ours stands
//! still, where one neighbour after another has one and the same other view, or where something that neighbours named was requested in
//! vain. Sums over ranges of ids are compared, then the versions in those that differ, then records are sent. So what spreading missed is
//! found, at a cost that does not grow with the network while nothing is missing.
//!
//! The same happens on a link to a node that was not in view, when the link is new and when it comes back. Where two parts of a split
//! network meet, what each remembers of the other is as old as the split, and nodes that died or left since would be shown once more: the
//! survivors' old records list the dead. So as in OSPF (RFC 2328, section 10.3, states Exchange and Loading) such a link is listed, and
//! who is up is derived over it, only when that *first round* is through or took too long. A node in whose view nobody is unreachable has nothing to
//! wait for.
//!
//! And where all old neighbours of a node die together, with others elsewhere: what passed between their death and the first new link came
//! over none, and while news keeps coming, views don't stand still. So a node that is left with new links alone goes through a first
//! round on one of them, for which nothing waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::{Gossip, Neighbor};
use crate::membership::Time;
use crate::membership::links::{Link, Links};
use crate::membership::tuning::gossip::Tuning;
use crate::membership::view::{Index, View};
use crate::record::Version;
use crate::wire::{Hello, MAX_SYNC_ENTRIES, Message, NodeId, ShortId, ViewDigest};

/// How long what a neighbour told of its view is news: three probes at their longest interval. At half, a lost probe makes a neighbour seem
/// to agree; at double, one that stopped to probe seems to differ for longer.
const TOLD_LATELY: Duration = Duration::from_secs(10);

/// How the view of a neighbour compares with ours.
#[derive(Debug)]
pub(super) struct AntiEntropy {
    /// The digests differ: ours, since when it has been this one, since when they differ at all.
    differs: Option<(ViewDigest, Time, Time)>,
    /// When the neighbour last told its digest: only the end of a link that probes tells it.
    told: Time,
    pause: Duration,
    next: Time,
    /// The first round on the link, while it is under way.
    first: Option<First>,
    /// There was one: whatever came since was told over this link.
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
    /// A neighbour tells its view; returns whether another one had the same, and ours has been another one for long enough.
    fn hear(
        &mut self,
        now: Time,
        ours: ViewDigest,
        (peer, theirs): (NodeId, ViewDigest),
        tuning: &Tuning,
    ) -> bool {
        if self.ours != Some(ours) {
            (self.ours, self.since, self.theirs) = (Some(ours), now, None);
        }
        let other = (theirs != ours).then_some((theirs, peer));
        let before = std::mem::replace(&mut self.theirs, other);
        let agreed = before.is_some_and(|(view, from)| view == theirs && from != peer);
        agreed && theirs != ours && now.saturating_sub(self.since) >= tuning.outvoted_for
    }
}

/// The first round on a link.
#[derive(Debug)]
struct First {
    /// The link is not listed before.
    holds: bool,
    until: Time,
    latest: Time,
    comparisons_left: u32,
    /// The ranges of which the neighbour has told the versions, and how finely they divide the ids.
    told: (u8, BTreeSet<u16>),
    /// It has told all.
    all_told: bool,
    /// Records that were requested and have not come.
    requested: VecDeque<(ShortId, Version)>,
}

impl First {
    fn new(now: Time, holds: bool, tuning: &Tuning) -> Self {
        Self {
            holds,
            until: now + tuning.first_step,
            latest: now + tuning.first_most,
            comparisons_left: tuning.first_comparisons,
            told: (0, BTreeSet::new()),
            all_told: false,
            requested: VecDeque::new(),
        }
    }

    /// Takes note of an answer; tells whether there may be more to compare.
    fn hear(&mut self, now: Time, log2: u8, buckets: &[u16], tuning: &Tuning) -> bool {
        self.until = (now + tuning.first_step).min(self.latest);
        if self.told.0 != log2 {
            self.told = (log2, BTreeSet::new());
        }
        let before = self.told.1.len();
        self.told.1.extend(buckets);
        let count = self.told.1.len();
        self.comparisons_left = self.comparisons_left.saturating_sub(1);
        self.all_told |= count == before || count == 1 << log2 || self.comparisons_left == 0;
        !self.all_told
    }

    /// Records came in; tells whether these were the last to wait for, or the wait was too long.
    fn is_over(&mut self, now: Time, view: &View, tuning: &Tuning) -> bool {
        if !self.all_told && self.requested.is_empty() {
            return false;
        }
        let (before, mut lacking) = (self.requested.len(), 0);
        for _ in 0..before {
            if lacking == tuning.most_lacking {
                break;
            }
            let (id, version) = self.requested.pop_back().expect("one for each turn");
            if lacks(view, &id, version) {
                self.requested.push_front((id, version));
                lacking += 1;
            }
        }
        if self.requested.len() < before {
            self.until = (now + tuning.first_step).min(self.latest);
        }
        self.all_told && self.requested.is_empty() || self.until < now
    }
}

impl AntiEntropy {
    pub(super) fn new(now: Time, tuning: &Tuning) -> Self {
        Self {
            differs: None,
            told: now,
            pause: tuning.differs_for,
            next: now,
            first: None,
            compared: false,
            answered: None,
        }
    }

    /// A neighbour tells the digest of its view; returns whether a round is to begin. `hurry`: there is a reason not to wait until
    /// views stand still.
    fn hear(
        &mut self,
        now: Time,
        (ours, theirs): (ViewDigest, ViewDigest),
        hurry: bool,
        tuning: &Tuning,
    ) -> bool {
        self.told = now;
        if theirs == ours {
            self.differs = None;
            self.pause = tuning.differs_for;
            return false;
        }
        let (since, first) = match self.differs {
            Some((before, since, first)) if before == ours => (since, first),
            Some((_, _, first)) => (now, first),
            None => (now, now),
        };
        self.differs = Some((ours, since, first));
        let settled = now.saturating_sub(since) >= tuning.differs_for;
        // Where news never ceases, waiting for a still moment would be waiting for ever.
        let overdue = now.saturating_sub(first) >= tuning.differs_long;
        let begins = (settled || overdue || hurry) && self.next <= now;
        if begins {
            self.next = now + self.pause;
            self.pause = (self.pause * 2).min(tuning.longest_pause);
        }
        begins
    }

    /// Nothing keeps the link from being listed any more.
    fn end_hold(&mut self) {
        self.first.take_if(|first| first.holds);
    }

    /// Until when the link waits for its first round, where it does.
    fn holds_until(&self) -> Option<Time> {
        let first = self.first.as_ref().filter(|first| first.holds);
        first.map(|first| first.until)
    }
}

impl Gossip {
    /// Offers all nodes that are up to one neighbour.
    pub(in crate::membership) fn offer_all(&mut self, peer: &NodeId, view: &View) {
        let Some(neighbor) = self.neighbors.get(peer) else {
            return;
        };
        for (index, entry) in view.nodes_up() {
            if entry.record.id() != *peer {
                self.backlog.offer(neighbor.slot, index);
            }
        }
    }

    /// The first round on a new link: everything to a node that knows little, else a comparison of the views. With a node that was in view
    /// already, that can wait until views stand still: where news is under way, it comes by itself.
    pub(in crate::membership) fn greet(
        &mut self,
        now: Time,
        hello: &Hello,
        was_up: bool,
        view: &View,
        links: &Links,
    ) {
        let (peer, known) = (hello.record.id(), hello.known);
        let few = self.tuning.gossip.few;
        if known <= few {
            self.offer_all(&peer, view);
        }
        self.offer_news_of_unreachable(&peer, view);
        if hello.digest == view.digest() {
            return;
        }
        if was_up {
            if hears_nobody_but(&peer, links) {
                // No other neighbour sends what we missed since they fell silent.
                self.begin_first_round(now, &peer, false, view);
            }
            return;
        }
        // A node that knows nobody else brings nobody else into view.
        let held = known > 1 && self.hold_for_round(now, &peer, view);
        if known > few && !held {
            self.start_round(&peer, view);
        }
    }

    /// Has a link wait for its first round, where we may remember what is no longer so. Tells whether it does.
    pub(in crate::membership) fn hold_for_round(
        &mut self,
        now: Time,
        peer: &NodeId,
        view: &View,
    ) -> bool {
        has_unreachable(peer, view) && self.begin_first_round(now, peer, true, view)
    }

    /// Until when a link must not be listed, since its first round is under way.
    pub(in crate::membership) fn holds_until(&self, peer: &NodeId) -> Option<Time> {
        self.neighbors.get(peer)?.anti_entropy.holds_until()
    }

    /// The link is listed: it waits for nothing any more.
    pub(in crate::membership) fn end_hold(&mut self, peer: &NodeId) {
        if let Some(neighbor) = self.neighbors.get_mut(peer) {
            neighbor.anti_entropy.end_hold();
        }
    }

    fn begin_first_round(&mut self, now: Time, peer: &NodeId, holds: bool, view: &View) -> bool {
        let begins = self.start_round(peer, view);
        let tuning = &self.tuning.gossip;
        if let Some(neighbor) = self.neighbors.get_mut(peer) {
            let anti_entropy = &mut neighbor.anti_entropy;
            anti_entropy.compared |= begins;
            anti_entropy.first = begins.then(|| First::new(now, holds, tuning));
        }
        begins
    }

    /// A link was lost. If each link that is left may be younger than its silence, the news of that time came over none of them, and no
    /// neighbour will send it. One round is enough, however many links are lost: a neighbour admits few.
    pub(in crate::membership) fn fill_gap(&mut self, now: Time, view: &View, links: &Links) {
        let silence = self.tuning.gossip.longest_silence;
        let listed = || self.paired(links).filter(|(_, link)| link.is_listed());
        let tells_all = |(one, link): (&Neighbor, &Link)| {
            one.anti_entropy.compared || now.saturating_sub(link.adopted()) >= silence
        };
        if listed().any(tells_all) {
            return;
        }
        let nearest = links
            .listed()
            .min_by_key(|link| (link.rtt_us(), link.peer()));
        if let Some(peer) = nearest.map(Link::peer) {
            self.begin_first_round(now, &peer, false, view);
        }
    }

    /// Offers the records that came in of unreachable nodes. These nodes may soon be up, as another link waits to be listed, and no
    /// comparison of views shows their records, since digests cover the nodes that are up.
    pub(in crate::membership) fn offer_news_of_unreachable(&mut self, peer: &NodeId, view: &View) {
        let Some(neighbor) = self.neighbors.get(peer) else {
            return;
        };
        for index in view.unreachable() {
            let entry = view.entry(index);
            if entry.received > entry.since && entry.record.id() != *peer {
                self.backlog.offer(neighbor.slot, index);
            }
        }
    }

    /// Compares the digest of a neighbour's view with ours. Where they keep differing while ours stands still, or others have theirs too, a
    /// round begins.
    pub(in crate::membership) fn hear_digest(
        &mut self,
        now: Time,
        peer: &NodeId,
        theirs: ViewDigest,
        view: &View,
    ) {
        let (ours, tuning) = (view.digest(), &self.tuning.gossip);
        let Some(neighbor) = self.neighbors.get_mut(peer) else {
            return;
        };
        let outvoted = self.outvoted.hear(now, ours, (*peer, theirs), tuning);
        let anti_entropy = &mut neighbor.anti_entropy;
        let hurry = outvoted || self.requests.were_in_vain(now, tuning);
        let begins = anti_entropy.hear(now, (ours, theirs), hurry, tuning);
        if begins && self.start_round(peer, view) {
            self.requests.round_begins();
        }
    }

    /// The neighbours whose view differs from ours, by what they told lately, and since when.
    pub(in crate::membership) fn differing(
        &self,
        now: Time,
    ) -> impl Iterator<Item = (NodeId, Time)> + '_ {
        let neighbors = self.neighbors.iter();
        neighbors.filter_map(move |(peer, neighbor)| {
            let is_news = now.saturating_sub(neighbor.anti_entropy.told) <= TOLD_LATELY;
            let (_, _, since) = neighbor.anti_entropy.differs.filter(|_| is_news)?;
            Some((*peer, since))
        })
    }

    fn start_round(&mut self, peer: &NodeId, view: &View) -> bool {
        let log2 = view.bucket_log2();
        let sums = view.bucket_sums(log2);
        self.post(peer, Message::Digests { log2, sums })
    }

    /// Answers with the versions of what may differ. Where nothing does, with none: the neighbour may wait for that.
    pub(in crate::membership) fn handle_digests(
        &mut self,
        peer: &NodeId,
        (log2, theirs): (u8, &[u64]),
        view: &View,
        rng: &mut ChaCha8Rng,
    ) {
        let ours = view.bucket_sums(log2);
        // A node that knows few divides coarsely, and what we know in one of its ranges may not fit into a message.
        let fine = view.bucket_log2().max(log2);
        let parts = 1 << (fine - log2);
        let differing: Vec<u16> = (0_u16..)
            .zip(ours.iter().zip(theirs))
            .filter(|(_, (ours, theirs))| ours != theirs)
            .flat_map(|(place, _)| place * parts..(place + 1) * parts)
            .collect();
        let neighbor = self.neighbors.get_mut(peer);
        let answered = neighbor.as_ref().and_then(|one| one.anti_entropy.answered);
        let start = match answered {
            Some((log2, next)) if log2 == fine => differing.partition_point(|place| *place < next),
            Some(_) | None if differing.is_empty() => 0,
            Some(_) | None => rng.random_range(0..differing.len()),
        };
        let (buckets, entries) = view.versions_in(fine, &differing, start);
        if let Some((neighbor, last)) = neighbor.zip(buckets.last()) {
            neighbor.anti_entropy.answered = Some((fine, last + 1));
        }
        let versions = Message::Versions {
            log2: fine,
            buckets,
            entries,
        };
        self.post(peer, versions);
    }

    /// The neighbour told the versions of what may differ: what we lack is requested, what it lacks is sent. Returns whether a link waits no
    /// longer to be listed.
    pub(in crate::membership) fn handle_versions(
        &mut self,
        now: Time,
        peer: &NodeId,
        (log2, buckets): (u8, &[u16]),
        entries: &[(ShortId, Version)],
        view: &View,
    ) -> bool {
        let theirs: BTreeMap<ShortId, Version> = entries.iter().copied().collect();
        let full = view.is_full_of(peer);
        let requested: Vec<(ShortId, Version)> = theirs
            .iter()
            .filter(|(id, version)| lacks(view, id, **version))
            .filter(|(id, _)| !full || view.index(id).is_some())
            .map(|(id, version)| (*id, *version))
            .take(MAX_SYNC_ENTRIES)
            .collect();
        let newer = newer_than_theirs(view, log2, buckets, &theirs);
        let ids: Vec<ShortId> = requested.iter().map(|(id, _)| *id).collect();
        let tuning = &self.tuning.gossip;
        let Some(neighbor) = self.neighbors.get_mut(peer) else {
            return false;
        };
        let anti_entropy = &mut neighbor.anti_entropy;
        if !(newer.is_empty() && requested.is_empty()) {
            anti_entropy.pause = tuning.differs_for;
            anti_entropy.next = now + tuning.next_round;
        }
        for index in newer {
            self.backlog.require(neighbor.slot, index);
        }
        let mut more = false;
        if let Some(first) = &mut anti_entropy.first {
            more = first.hear(now, log2, buckets, tuning);
            first.requested.extend(requested);
        }
        if !ids.is_empty() {
            self.post(peer, Message::Request(ids));
        }
        if more {
            self.start_round(peer, view);
        }
        self.go_on_with_first_rounds(now, view)
    }

    /// The neighbour requests those records.
    pub(in crate::membership) fn handle_request(
        &mut self,
        peer: &NodeId,
        ids: &[ShortId],
        view: &View,
    ) {
        if let Some(neighbor) = self.neighbors.get(peer) {
            for index in ids.iter().filter_map(|id| view.index(id)) {
                self.backlog.require(neighbor.slot, index);
            }
        }
    }

    /// Records came in: where these are the last that a first round requested, it is over. Returns whether one is.
    pub(in crate::membership) fn go_on_with_first_rounds(
        &mut self,
        now: Time,
        view: &View,
    ) -> bool {
        let (mut ended, tuning) = (false, &self.tuning.gossip);
        for neighbor in self.neighbors.values_mut() {
            let first = &mut neighbor.anti_entropy.first;
            let is_over = |first: &mut First| first.is_over(now, view, tuning);
            if first.as_mut().is_some_and(is_over) {
                *first = None;
                ended = true;
            }
        }
        ended
    }
}

/// Whether there is no record of that version here, nor a newer one.
fn lacks(view: &View, id: &ShortId, version: Version) -> bool {
    let ours = view.index(id);
    ours.is_none_or(|index| view.record_at(index).version() < version)
}

/// The nodes of which we have newer records than the neighbour told, in those buckets or not.
fn newer_than_theirs(
    view: &View,
    log2: u8,
    buckets: &[u16],
    theirs: &BTreeMap<ShortId, Version>,
) -> Vec<Index> {
    let within = view.nodes_in(log2, buckets).into_iter();
    // Of a node that it shows as up, and that left or died for us, we may have a newer record too.
    let down = theirs.keys().filter_map(|id| view.index(id));
    let down = down.filter(|&index| !view.is_up_at(index));
    let all = within.map(|(_, index)| index).chain(down);
    let newer = all.filter(|&index| {
        let record = view.record_at(index);
        let told = theirs.get(&record.id().abbreviated());
        told.is_none_or(|version| *version < record.version())
    });
    newer.collect()
}

/// Whether all other neighbours owe us answers, or there are none.
fn hears_nobody_but(peer: &NodeId, links: &Links) -> bool {
    let mut others = links
        .iter()
        .filter(|link| link.peer() != *peer && link.is_live());
    others.all(Link::is_missing)
}

/// Whether records are kept of unreachable nodes, other than that one: these records may be out of date.
fn has_unreachable(peer: &NodeId, view: &View) -> bool {
    let peer = view.index(&peer.abbreviated());
    view.unreachable().any(|index| Some(index) != peer)
}
