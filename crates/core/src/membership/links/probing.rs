//! Is each link alive? Probes and answers, and the verdicts that follow from them.

use std::time::Duration;

use super::detector::Verdict;
use super::link::{Link, Phase};
use super::{LinkEvent, Links};
use crate::membership::Time;
use crate::membership::interface::Action;
use crate::membership::out::Out;
use crate::record::Record;
use crate::window::Window;
use crate::wire::{Answer, NodeId, Probe, ShortId, ViewDigest};

impl Links {
    /// Handles a probe.
    pub(in crate::membership) fn handle_probe(
        &mut self,
        now: Time,
        peer: &NodeId,
        probe: &Probe,
    ) -> Option<LinkEvent> {
        let mut link = self.edit(peer)?;
        let was = link.verdict();
        let Probe {
            heard,
            next_ms,
            rtt_us,
            loss,
            ..
        } = *probe;
        link.path.note_probe_of_peer(heard);
        let tuning = link.tuning;
        let changed = link
            .detector
            .handle_probe(tuning, now, heard, next_ms, rtt_us, loss);
        changed.then(|| revived(&mut link, was)).flatten()
    }

    /// Handles an answer, with the path's share of the time in µs, if it is known.
    pub(in crate::membership) fn handle_answer(
        &mut self,
        now: Time,
        peer: &NodeId,
        answer: &Answer,
        rtt_us: Option<u32>,
    ) -> Option<LinkEvent> {
        let mut link = self.edit(peer)?;
        let was = link.verdict();
        link.path.note_answer(answer.seq);
        let tuning = link.tuning;
        let changed = link.detector.handle_answer(tuning, now, answer.seq, rtt_us);
        changed.then(|| revived(&mut link, was)).flatten()
    }

    /// Handles an ICMP hint: nobody listens at the peer's address. The peer may be restarting now, or has just moved.
    pub(in crate::membership) fn handle_unreachable(
        &mut self,
        now: Time,
        peer: &NodeId,
    ) -> Option<LinkEvent> {
        let mut link = self.edit(peer)?;
        let tuning = link.tuning;
        let repeated = link.detector.handle_unreachable(tuning, now);
        (repeated && self.suspect(now, peer)).then_some(LinkEvent::Suspected)
    }

    /// The line to a peer has room for so many bytes.
    pub(in crate::membership) fn hear_room(&mut self, peer: &NodeId, room: usize) {
        let packet = Window::packet_time(room);
        let changed = self
            .get(peer)
            .is_some_and(|link| link.detector.packet_time() != packet);
        if let Some(mut link) = changed.then(|| self.edit(peer)).flatten() {
            link.detector.set_packet_time(packet);
        }
    }

    /// The pause between two probes on a healthy link.
    pub(super) fn pace(&self) -> Duration {
        let pace = &self.tuning.pace;
        pace.probe_interval(self.probe_interval, self.links.len())
    }

    /// If one probe is due, the probes that are due soon go with it: a wake-up of the processor costs more than a probe.
    pub(in crate::membership) fn align_probes(&mut self, now: Time) {
        let slack = self.pace() / self.tuning.links.align_part;
        if self.iter().any(|link| link.detector.is_due(now)) {
            for mut link in self.edit_all() {
                link.detector.join(now, slack);
            }
        }
    }

    /// Probes a peer, if that is due, and judges its link. `jitter` is a random number that spreads the probes of a node's links.
    pub(in crate::membership) fn probe(
        &mut self,
        now: Time,
        peer: &NodeId,
        digest: ViewDigest,
        jitter: u32,
        out: &mut Out,
    ) -> Option<LinkEvent> {
        let interval = self.pace();
        let mut link = self.edit(peer)?;
        let tuning = link.tuning;
        if matches!(link.phase, Phase::Orphaned { .. }) {
            return None;
        }
        let was = link.verdict();
        link.detector.set_interval(interval);
        if let Some(due) = link.detector.poll(tuning, now, jitter) {
            link.path.note_probe(due.seq);
            let measured = link.rtt().filter(|rtt| !rtt.provisional);
            let probe = Probe {
                seq: due.seq,
                heard: due.heard,
                rtt_us: measured.map_or(0, |rtt| rtt.smoothed_us),
                loss: link.detector.loss_250(tuning),
                next_ms: due.next_ms,
                digest,
            };
            out.act(Action::Probe(link.conn, probe));
        }
        match (was, link.verdict()) {
            (Verdict::Alive, Verdict::Suspect) => {
                let tells = self.may_lose_little(peer) && self.suspect(now, peer);
                tells.then_some(LinkEvent::Suspected)
            }
            (Verdict::Alive | Verdict::Suspect, Verdict::Down) => {
                link.phase = Phase::Parked {
                    until: now + tuning.parked,
                };
                link.suspect = false;
                let was_listed = std::mem::replace(&mut link.listed, false);
                Some(LinkEvent::Lost { was_listed })
            }
            _ => None,
        }
    }

    /// Marks a link as suspect, unless that is known or means little. Returns whether it did.
    fn suspect(&mut self, now: Time, peer: &NodeId) -> bool {
        // If several links miss answers at once, the fault is more likely here than at each of the peers, and a starved node must
        // not make the others work even more. Verdicts don't depend on suspicions; they only come a little later.
        let missing = self.listed().filter(|link| link.is_missing()).count();
        if missing > 1 + self.links.len() / self.tuning.links.missing_part {
            return false;
        }
        let link = self.edit(peer);
        link.is_some_and(|mut link| {
            let tuning = link.tuning;
            link.suspect(tuning, now)
        })
    }

    /// Whether a link with next to no loss so far is likely to stay so. If it is young and two other links lose more, it will
    /// probably lose as much as they do. (A thousand nodes with 10 % loss published 337 suspicions from their eighth second to
    /// the eightieth without this rule, and 22 with it.)
    fn may_lose_little(&self, peer: &NodeId) -> bool {
        let tuning = &self.tuning.links;
        let is_old = |link: &Link| !link.detector.is_young(tuning);
        let lossy = self.iter().filter(|link| link.detector.is_lossy(tuning));
        self.get(peer).is_some_and(is_old) || lossy.count() < tuning.lossy_links
    }

    /// Handles a node's next record: a link to a peer is probed at once if the record shows that the node suspects or has lost
    /// that peer. `lists` tells whether the peer's own record lists the node.
    pub(in crate::membership) fn hear_of_links(
        &mut self,
        now: Time,
        before: &Record,
        after: &Record,
        lists: impl Fn(&NodeId) -> bool,
    ) {
        let id = after.id();
        let same_run = before.body().run_id == after.body().run_id;
        let others = self.links.ids().filter(|peer| **peer != id);
        let worse = others.filter(|peer| is_worse(before, after, &peer.abbreviated()));
        for peer in worse.copied().collect::<Vec<_>>() {
            let Some(mut link) = self.edit(&peer) else {
                continue;
            };
            link.last_reported = Some(now);
            let tuning = link.tuning;
            link.detector.probe_now(tuning, now);
            // The node can only have lost the peer if the peer listed it as well.
            let is_lost = after.link_to(&peer.abbreviated()).is_none();
            if is_lost && same_run && lists(&peer) {
                link.detector.handle_confirmation(id.abbreviated());
            }
        }
    }
}

/// The event for a link whose verdict is "alive" again.
fn revived(link: &mut Link, was: Verdict) -> Option<LinkEvent> {
    let was_published = std::mem::take(&mut link.suspect);
    match was {
        Verdict::Suspect => was_published.then_some(LinkEvent::Cleared),
        Verdict::Down => Some(LinkEvent::Revived),
        Verdict::Alive => None,
    }
}

/// Whether a node's next record shows its link to a peer as suspect or lost.
fn is_worse(before: &Record, after: &Record, peer: &ShortId) -> bool {
    let Some(was) = before.link_to(peer) else {
        return false;
    };
    match after.link_to(peer) {
        None => !after.body().leaving,
        Some(is) => is.suspect && !was.suspect,
    }
}
