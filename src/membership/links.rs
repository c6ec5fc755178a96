//! The link to a peer, while it stands: probes and answers, verdicts, and the phases that follow from them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::backlog::{Backlog, Slot};
use super::detector::{Detector, Verdict};
use super::{Action, Closed, ConnId, Core, Event, Time};
use crate::record::Direction;
use crate::wire::{Answer, CloseCode, Message, NodeId, Probe, ViewDigest};
use rand::RngExt as _;

/// How long a connection judged down is kept and probed: an answer restores it without a handshake.
const PARKED: Duration = Duration::from_secs(10);
/// A peer that takes nothing from the control stream for this long has stopped reading.
const STALLED: Duration = Duration::from_secs(10);
/// Up to so many links are probed at the configured pace, up to twice as many a little slower.
const AT_FULL_PACE: u32 = 6;
/// A link is published as suspect at most once in this time.
const SUSPECT_EVERY: Duration = Duration::from_secs(60);
/// Nor is it where another neighbour of that peer was so, or lost its link, this long ago: whoever has one to it has heard that.
const HINT_LASTS: Duration = Duration::from_secs(2);

/// How a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkPhase {
    /// In use. Listed from `listed_from` on: a link that flaps has to hold first.
    Live { listed_from: Time },
    /// Judged down; its connection is kept until then.
    Parked { until: Time },
    /// Its connection lost to another one, which must come before then.
    Orphaned { until: Time },
}

/// The link to a peer: at most one.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: NodeId,
    pub(super) conn: ConnId,
    pub(super) direction: Direction,
    pub(super) remote: SocketAddr,
    pub(super) run_id: u64,
    /// The dialer's counter: orders connections in one direction.
    pub(super) counter: u64,
    pub(super) phase: LinkPhase,
    /// The peer has shown that the link stands at its end as well.
    pub(super) confirmed: bool,
    pub(super) listed: bool,
    pub(super) since: Time,
    /// When its connection took its place.
    pub(super) adopted: Time,
    /// Where the peer sees us.
    pub(super) observed: SocketAddr,
    pub(super) detector: Detector,
    /// Its place in the backlog, where it stands which records this neighbour may lack.
    pub(super) slot: Slot,
    /// The last message is not with the transport yet, since then.
    pub(super) in_flight: Option<Time>,
    pub(super) outbox: VecDeque<Message>,
    pub(super) superfluous: bool,
    /// The peer was told once that this end could do without the link: it may take the word, even if it was taken back since.
    pub(super) offered: bool,
    /// The peer has not been told of that yet.
    pub(super) tell_superfluous: bool,
    pub(super) superfluous_to_peer: bool,
    pub(super) branch: super::tree::Branch,
    pub(super) suspect: bool,
    pub(super) last_suspected: Option<Time>,
    /// Another neighbour of the peer suspects or lost its link, since then.
    pub(super) hinted: Option<Time>,
    pub(super) allowances: super::spread::Allowances,
    pub(super) exchange: super::exchange::Exchange,
}

impl Link {
    pub(super) fn is_listed(&self) -> bool {
        self.listed
    }

    pub(super) fn deadline(&self, backlog: &Backlog) -> Time {
        let phase = match self.phase {
            LinkPhase::Live { .. } => self.listing_due(),
            LinkPhase::Parked { until } | LinkPhase::Orphaned { until } => Some(until),
        };
        let probe =
            (!matches!(self.phase, LinkPhase::Orphaned { .. })).then(|| self.detector.deadline());
        [phase, probe, self.send_deadline(backlog)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Time::MAX)
    }

    /// When the link may be listed, where it stands and is not.
    pub(super) fn listing_due(&self) -> Option<Time> {
        match self.phase {
            LinkPhase::Live { listed_from } if self.confirmed && !self.listed => {
                Some(listed_from.max(self.exchange.holds_until().unwrap_or_default()))
            }
            LinkPhase::Live { .. } | LinkPhase::Parked { .. } | LinkPhase::Orphaned { .. } => None,
        }
    }

    /// When there is something to send, or what was sent must have left.
    pub(super) fn send_deadline(&self, backlog: &Backlog) -> Option<Time> {
        match (self.in_flight, self.phase) {
            (Some(since), _) => Some(since + STALLED),
            (None, LinkPhase::Live { .. }) => backlog.told_due(self.slot),
            // What is kept waits for the link to come back.
            (None, LinkPhase::Parked { .. } | LinkPhase::Orphaned { .. }) => None,
        }
    }
}

impl Core {
    pub(super) fn handle_probe(&mut self, now: Time, conn: ConnId, probe: Probe) {
        let Some(peer) = self.link_of(conn).map(|link| link.peer) else {
            return;
        };
        self.confirm(now, peer);
        let Some(link) = self.link_of(conn) else {
            return;
        };
        let was = link.detector.verdict();
        let changed =
            link.detector
                .handle_probe(now, probe.heard, probe.next_ms, probe.rtt_us, probe.loss);
        self.consider_figures(now);
        if changed {
            self.revived(now, peer, was);
        }
        self.compare_digest(now, peer, probe.digest);
    }

    pub(super) fn handle_answer(
        &mut self,
        now: Time,
        conn: ConnId,
        answer: Answer,
        rtt_us: Option<u32>,
    ) {
        let Some(peer) = self.link_of(conn).map(|link| link.peer) else {
            return;
        };
        self.confirm(now, peer);
        let Some(link) = self.link_of(conn) else {
            return;
        };
        let was = link.detector.verdict();
        let changed = link.detector.handle_answer(now, answer.seq, rtt_us);
        if changed {
            self.revived(now, peer, was);
        }
        if let Some(contest) = self.contests.remove(&peer) {
            // The old connection lives: two nodes run under one id.
            let challenger = contest.challenger;
            self.events
                .push_back(Event::PeerTwin(peer, challenger.remote));
            self.actions.push_back(Action::Close(
                challenger.conn,
                CloseCode::IdentityInUse,
                Vec::new(),
            ));
        }
        self.consider_figures(now);
    }

    /// ICMP says that nobody listens where the peer was: a hint, as it may be restarting this very moment, or has just moved.
    pub(super) fn handle_unreachable(&mut self, now: Time, conn: ConnId) {
        let Some(link) = self.link_of(conn) else {
            return;
        };
        let peer = link.peer;
        if link.detector.handle_unreachable(now) {
            self.suspect(now, peer);
        }
    }

    /// The live link whose connection this is.
    pub(super) fn link_of(&mut self, conn: ConnId) -> Option<&mut Link> {
        let peer = self.conns.get(&conn)?;
        self.links.get_mut(peer).filter(|link| link.conn == conn)
    }

    fn revived(&mut self, now: Time, peer: NodeId, was: Verdict) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let was_published = std::mem::take(&mut link.suspect);
        let (conn, run_id) = (link.conn, link.run_id);
        match was {
            Verdict::Alive => {}
            Verdict::Suspect if was_published => self.own_links_changed(now, false),
            Verdict::Suspect => {}
            Verdict::Down if self.slots_taken(Some(&peer)) >= self.config.degree_cap => {
                // Others have taken its slot, or are being dialed for it.
                self.close(now, peer, conn, CloseCode::Full);
            }
            Verdict::Down => {
                let hold = self.flap_hold(now, peer, run_id);
                let link = self.links.get_mut(&peer).expect("still there");
                link.phase = LinkPhase::Live {
                    listed_from: now + hold,
                };
                link.since = now;
                self.events.push_back(Event::Restored(peer));
                if !self.database.is_up(&peer) {
                    self.hold_for_exchange(now, peer);
                }
                self.offer_all(peer);
                self.offer_news_of_lost(peer);
                if self.list_if_due(now, peer) {
                    self.own_links_changed(now, true);
                }
            }
        }
    }

    /// Probes, verdicts, and the ends of phases, for every link.
    pub(super) fn advance_links(&mut self, now: Time) {
        let digest = self.database.digest();
        self.align_probes(now);
        let peers: Vec<NodeId> = self
            .links
            .values()
            .filter(|link| link.deadline(&self.backlog) <= now)
            .map(|link| link.peer)
            .collect();
        for peer in peers {
            self.probe(now, peer, digest);
            self.advance_phase(now, peer);
        }
    }

    /// The pause between two probes on a healthy link. A node that has many links probes each of them less often: its own effort
    /// stays the same, and the more neighbours a node has, the sooner one of them finds out what became of it.
    pub(super) fn probe_interval(&self) -> Duration {
        let links = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        let stretched = self.config.probe_interval * links.min(2 * AT_FULL_PACE) / AT_FULL_PACE;
        stretched.max(self.config.probe_interval)
    }

    /// Where one probe is due, those that are due soon go with it: a wake-up of the processor costs more than a probe.
    fn align_probes(&mut self, now: Time) {
        let slack = self.probe_interval() / 8;
        if self.links.values().any(|link| link.detector.is_due(now)) {
            for link in self.links.values_mut() {
                link.detector.join(now, slack);
            }
        }
    }

    fn probe(&mut self, now: Time, peer: NodeId, digest: ViewDigest) {
        let jitter = self.rng.random();
        let interval = self.probe_interval();
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        if matches!(link.phase, LinkPhase::Orphaned { .. }) {
            return;
        }
        let was = link.detector.verdict();
        link.detector.set_interval(interval);
        if let Some(due) = link.detector.poll(now, jitter) {
            let rtt_us = link
                .detector
                .rtt()
                .filter(|rtt| !rtt.provisional)
                .map_or(0, |rtt| rtt.smoothed_us);
            let loss = link.detector.loss_250();
            let probe = Probe {
                seq: due.seq,
                heard: due.heard,
                rtt_us,
                loss,
                next_ms: due.next_ms,
                digest,
            };
            self.actions.push_back(Action::Probe(link.conn, probe));
        }
        match (was, link.detector.verdict()) {
            (Verdict::Alive, Verdict::Suspect) if self.may_lose_little(&peer) => {
                self.suspect(now, peer);
            }
            (Verdict::Alive | Verdict::Suspect, Verdict::Down) => self.park(now, peer),
            _ => {}
        }
    }

    fn suspect(&mut self, now: Time, peer: NodeId) {
        // Where several links miss answers at once, the fault is more likely here than at each of the peers, and a node that is
        // starved must not make the others work even more. Verdicts don't depend on suspicions; they only come a little later.
        let missing = self
            .links
            .values()
            .filter(|link| link.listed && link.detector.is_missing())
            .count();
        let many = missing > 1 + self.links.len() / 4;
        if many {
            return;
        }
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let within = |at: Option<Time>, time| at.is_some_and(|at| now.saturating_sub(at) < time);
        let is_known =
            within(link.last_suspected, SUSPECT_EVERY) || within(link.hinted, HINT_LASTS);
        if is_known || !link.listed {
            return;
        }
        link.last_suspected = Some(now);
        link.suspect = true;
        self.events.push_back(Event::Suspected(peer));
        self.own_links_lost(now);
    }

    /// Whether a link that has lost next to nothing so far will go on like that. Where it is young and two others lose more, it will be like
    /// those. (A thousand nodes that lose one exchange in ten told of 337 suspicions from their eighth second to the eightieth, and tell of
    /// 22.)
    fn may_lose_little(&self, peer: &NodeId) -> bool {
        let is_old = |link: &Link| !link.detector.is_young();
        let lossy = self.links.values().filter(|link| link.detector.is_lossy());
        self.links.get(peer).is_some_and(is_old) || lossy.count() < 2
    }

    fn park(&mut self, now: Time, peer: NodeId) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let was_branch = link.is_branch();
        link.phase = LinkPhase::Parked {
            until: now + PARKED,
        };
        link.suspect = false;
        let (was_listed, run_id) = (std::mem::replace(&mut link.listed, false), link.run_id);
        if was_branch {
            self.add_branch();
        }
        if was_listed {
            let why = "no answer to any probe".to_owned();
            self.events.push_back(Event::Unlinked {
                peer,
                why,
                calm: false,
            });
            self.note_flap(now, peer, run_id);
            self.own_links_lost(now);
            self.fill_gap(now);
        }
        self.keep(peer);
        self.pool.lost(peer, now);
        self.plan_soon(now);
    }

    fn advance_phase(&mut self, now: Time, peer: NodeId) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        if link.in_flight.is_some_and(|since| now >= since + STALLED) {
            let conn = link.conn;
            self.reject("stalled", peer, "it stopped reading".to_owned());
            self.close(now, peer, conn, CloseCode::Stalled);
            return;
        }
        match link.phase {
            LinkPhase::Live { .. } => {
                if self.list_if_due(now, peer) {
                    self.own_links_changed(now, true);
                }
            }
            LinkPhase::Parked { until } if until <= now => {
                let conn = link.conn;
                self.close(now, peer, conn, CloseCode::Down);
            }
            LinkPhase::Orphaned { until } if until <= now => {
                self.drop_link(now, peer, &Closed::ByPeer(Some(CloseCode::Duplicate)));
            }
            LinkPhase::Parked { .. } | LinkPhase::Orphaned { .. } => {}
        }
    }

    /// Lists a link that stands, unless it has something to wait for; tells whether it did.
    pub(super) fn list_if_due(&mut self, now: Time, peer: NodeId) -> bool {
        let is_due = |link: &&mut Link| link.listing_due().is_some_and(|due| due <= now);
        let Some(link) = self.links.get_mut(&peer).filter(is_due) else {
            return false;
        };
        link.listed = true;
        link.exchange.end_hold();
        true
    }
}
