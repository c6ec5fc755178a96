//! One link: what is known of it, and when it has something to do.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::detector::{Detector, Verdict};
use super::rtt::Rtt;
use crate::membership::Time;
use crate::membership::interface::ConnId;
use crate::membership::tuning::links::Tuning;
use crate::record::{Direction, LinkState, ShortRun};
use crate::wire::NodeId;

/// The state of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// In use. Listed from `listed_from` on: a link that flaps must hold first.
    Live { listed_from: Time },
    /// It was judged down. Its connection is kept until then.
    Parked { until: Time },
    /// Its connection lost a collision. The winning connection must arrive before then.
    Orphaned { until: Time },
}

/// The link to a peer: at most one.
#[derive(Debug)]
pub(in crate::membership) struct Link {
    pub(super) peer: NodeId,
    pub(super) conn: ConnId,
    pub(super) direction: Direction,
    pub(super) remote: SocketAddr,
    /// Where the peer proved its key. `remote` follows whatever address its packets claim to come from.
    pub(super) proved_at: SocketAddr,
    pub(super) run_id: u64,
    /// The dialer's counter: orders connections in one direction.
    pub(super) counter: u64,
    pub(super) phase: Phase,
    /// The peer has shown that it also lists the link.
    pub(super) confirmed: bool,
    pub(super) listed: bool,
    pub(super) since: Time,
    /// When the link got its present connection.
    pub(super) adopted: Time,
    /// Our address as the peer sees it.
    pub(super) observed: SocketAddr,
    /// The connection left from another port than the one that this node listens on.
    pub(super) spare: bool,
    pub(super) detector: Detector,
    /// This end could do without the link.
    pub(super) superfluous: bool,
    /// The peer could also do without the link.
    pub(super) superfluous_to_peer: bool,
    pub(super) path: PathState,
    /// Published as suspect.
    pub(super) suspect: bool,
    pub(super) last_suspected: Option<Time>,
    /// When another neighbour of the peer last reported a suspicion or a loss.
    pub(super) last_reported: Option<Time>,
}

/// Whether packets can leave over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathState {
    /// Nothing is known against it.
    Open,
    /// This machine lost the address that the connection is bound to, or its packets can't leave. The path is back once something
    /// that was sent after the loss has arrived. An answer to anything else may have been on its way.
    Lost {
        /// The first probe that was sent after the loss.
        probed: Option<u32>,
        /// The peer has sent a probe after the loss, so its next one says whether our answer arrived.
        asked: bool,
    },
}

impl PathState {
    pub(super) const LOST: Self = Self::Lost {
        probed: None,
        asked: false,
    };

    /// A probe is sent.
    pub(super) fn note_probe(&mut self, seq: u32) {
        if let Self::Lost { probed, .. } = self {
            probed.get_or_insert(seq);
        }
    }

    /// The peer answered a probe.
    pub(super) fn note_answer(&mut self, seq: u32) {
        if let Self::Lost {
            probed: Some(first),
            ..
        } = *self
            && seq.wrapping_sub(first) <= u32::MAX / 2
        {
            *self = Self::Open;
        }
    }

    /// The peer sent a probe, and tells whether it heard the answer to the one before.
    pub(super) fn note_probe_of_peer(&mut self, heard: bool) {
        match self {
            Self::Lost { asked: true, .. } if heard => *self = Self::Open,
            Self::Lost { asked, .. } => *asked = true,
            Self::Open => {}
        }
    }
}

impl Link {
    pub(in crate::membership) fn peer(&self) -> NodeId {
        self.peer
    }

    pub(in crate::membership) fn conn(&self) -> ConnId {
        self.conn
    }

    pub(in crate::membership) fn direction(&self) -> Direction {
        self.direction
    }

    pub(in crate::membership) fn remote(&self) -> SocketAddr {
        self.remote
    }

    pub(in crate::membership) fn proved_at(&self) -> SocketAddr {
        self.proved_at
    }

    /// Our address as the peer sees it, where it sees one that leads to this node.
    pub(in crate::membership) fn observed(&self) -> Option<SocketAddr> {
        (!self.spare).then_some(self.observed)
    }

    /// The host at which the peer sees this node, whatever the port.
    pub(in crate::membership) fn observed_host(&self) -> IpAddr {
        self.observed.ip().to_canonical()
    }

    /// Since when the link has been up without an interruption.
    pub(in crate::membership) fn since(&self) -> Time {
        self.since
    }

    /// When the link got its present connection.
    pub(in crate::membership) fn adopted(&self) -> Time {
        self.adopted
    }

    /// Whether the link is in use: neither judged down nor waiting for another connection.
    pub(in crate::membership) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live { .. })
    }

    /// Whether the link was judged down, and its connection is kept for a while.
    pub(in crate::membership) fn is_parked(&self) -> bool {
        matches!(self.phase, Phase::Parked { .. })
    }

    /// Whether our record lists the link, or will with its next version.
    pub(in crate::membership) fn is_listed(&self) -> bool {
        self.listed
    }

    /// Whether the peer has shown that the link exists at its end as well.
    pub(in crate::membership) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Whether we dialed.
    pub(in crate::membership) fn is_dialed(&self) -> bool {
        self.direction == Direction::Dialer
    }

    /// Whether the peer said that it could do without the link.
    pub(in crate::membership) fn is_superfluous_to_peer(&self) -> bool {
        self.superfluous_to_peer
    }

    /// When a probe was last sent to the peer.
    pub(in crate::membership) fn asked_at(&self) -> Option<Time> {
        self.detector.asked_at()
    }

    /// When a probe last came from the peer.
    pub(in crate::membership) fn was_asked_at(&self) -> Option<Time> {
        self.detector.was_asked_at()
    }

    /// Whether a run of missed answers is in progress.
    pub(in crate::membership) fn is_missing(&self) -> bool {
        self.detector.is_missing()
    }

    pub(in crate::membership) fn rtt(&self) -> Option<Rtt> {
        self.detector.rtt()
    }

    /// The smoothed round-trip time in µs, if there is one.
    pub(in crate::membership) fn rtt_us(&self) -> Option<u32> {
        self.rtt().map(|rtt| rtt.smoothed_us)
    }

    /// The loss in 1/250, once enough exchanges have shown it.
    pub(in crate::membership) fn known_loss_250(&self, tuning: &Tuning) -> u8 {
        self.detector.known_loss_250(tuning)
    }

    /// Whether the loss differs from `told` by more than `by`, both in 1/250, beyond random variation.
    pub(in crate::membership) fn loss_moved(&self, tuning: &Tuning, told: u8, by: u32) -> bool {
        self.detector.loss_moved(tuning, told, by)
    }

    /// Whether an exchange was lost recently.
    pub(in crate::membership) fn has_lost(&self, tuning: &Tuning) -> bool {
        self.detector.loss_250(tuning) > 0
    }

    pub(in crate::membership) fn run_id(&self) -> u64 {
        self.run_id
    }

    /// The state of the link as our record lists it.
    pub(in crate::membership) fn state(&self, tuning: &Tuning, now: Time) -> LinkState {
        let rtt = self.rtt();
        LinkState {
            peer: self.peer.abbreviated(),
            run: ShortRun::of(self.run_id),
            direction: self.direction,
            rtt_us: rtt.map_or(0, |rtt| rtt.smoothed_us.max(1)),
            rtt_age_s: rtt.map_or(0, |rtt| saturating_s(now.saturating_sub(rtt.at))),
            loss: self.known_loss_250(tuning),
            suspect: self.suspect,
        }
    }

    /// When the link has something to do. `hold` tells until when it must not be listed; it is called only if that matters.
    pub(super) fn deadline(&self, hold: impl FnOnce() -> Option<Time>) -> Time {
        let phase = match self.phase {
            Phase::Live { .. } => self.listing_due(hold),
            Phase::Parked { until } | Phase::Orphaned { until } => Some(until),
        };
        let is_probed = !matches!(self.phase, Phase::Orphaned { .. });
        let probe = is_probed.then(|| self.detector.deadline());
        let first = phase.into_iter().chain(probe).min();
        first.unwrap_or(Time::MAX)
    }

    /// When the link may be listed, if it is live and not listed yet.
    pub(super) fn listing_due(&self, hold: impl FnOnce() -> Option<Time>) -> Option<Time> {
        match self.phase {
            Phase::Live { listed_from } if self.confirmed && !self.listed => {
                Some(listed_from.max(hold().unwrap_or_default()))
            }
            Phase::Live { .. } | Phase::Parked { .. } | Phase::Orphaned { .. } => None,
        }
    }

    /// Marks the link as suspect, unless it is already. Returns whether it did.
    pub(super) fn suspect(&mut self, tuning: &Tuning, now: Time) -> bool {
        let within = |at: Option<Time>, time| at.is_some_and(|at| now.saturating_sub(at) < time);
        let is_known = within(self.last_suspected, tuning.suspect_every)
            || within(self.last_reported, tuning.report_lasts);
        if is_known || !self.listed {
            return false;
        }
        self.last_suspected = Some(now);
        self.suspect = true;
        true
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.detector.verdict()
    }
}

fn saturating_s(age: Duration) -> u16 {
    u16::try_from(age.as_secs()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_back_once_a_probe_after_the_loss_is_answered() {
        let mut path = PathState::LOST;
        path.note_answer(4);
        path.note_probe(5);
        path.note_probe(6);
        path.note_answer(4);
        assert_ne!(path, PathState::Open);
        path.note_answer(6);
        assert_eq!(path, PathState::Open);
    }

    #[test]
    fn a_path_is_back_once_the_peer_heard_an_answer_after_the_loss() {
        let mut path = PathState::LOST;
        // It speaks of the answer before the loss.
        path.note_probe_of_peer(true);
        path.note_probe_of_peer(false);
        assert_ne!(path, PathState::Open);
        path.note_probe_of_peer(true);
        assert_eq!(path, PathState::Open);
    }
}
