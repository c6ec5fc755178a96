//! Flap damping (after RFC 2439): a link that was lost several times is held before it is listed again. So a flapping link costs
//! the network little. A hold bounds traffic, and must not hide the truth: it is short, and none is put on a link that is the only way to its peer.
//! A peer whose link is lost several times within seconds is held even so: it may have no other link because it wants to be heard of each time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::membership::Time;
use crate::membership::tuning::links::Tuning;
use crate::wire::NodeId;

/// The most peers whose losses are remembered. It bounds memory.
const MAX_PEERS: usize = 1024;
/// The most losses remembered of each peer. It bounds memory.
const MAX_LOSSES: usize = 16;

/// The remembered losses must be enough for the first hold and for the longest one.
const _: () = {
    let tuning = Tuning::DEFAULT;
    assert!(
        tuning.flaps_held <= MAX_LOSSES,
        "enough losses are remembered for a hold"
    );
    let most = tuning.first_hold.as_nanos() << (MAX_LOSSES - tuning.flaps_held);
    assert!(
        most >= tuning.longest_hold.as_nanos(),
        "the losses that are remembered come to the longest hold"
    );
    assert!(
        tuning.longest_hold.as_nanos() < tuning.flap_window.as_nanos(),
        "a link that is lost after each hold is held again"
    );
};

/// The recent losses of each link.
#[derive(Debug, Default)]
pub(super) struct Damping {
    peers: BTreeMap<NodeId, Losses>,
}

#[derive(Debug, Default)]
struct Losses {
    run_id: u64,
    at: VecDeque<Time>,
}

impl Damping {
    /// How long a link that comes up now must hold before it is listed.
    pub(super) fn hold(
        &mut self,
        tuning: &Tuning,
        now: Time,
        peer: NodeId,
        run_id: u64,
    ) -> Duration {
        let Some(losses) = self.peers.get_mut(&peer) else {
            return Duration::ZERO;
        };
        let last = losses.at.back().copied().unwrap_or_default();
        if losses.run_id != run_id && now.saturating_sub(last) > tuning.clean_slate {
            self.peers.remove(&peer);
            return Duration::ZERO;
        }
        losses
            .at
            .retain(|at| now.saturating_sub(*at) < tuning.flap_window);
        let Some(over) = losses.at.len().checked_sub(tuning.flaps_held) else {
            return Duration::ZERO;
        };
        let hold = tuning.first_hold.saturating_mul(1 << over.min(MAX_LOSSES));
        hold.min(tuning.longest_hold)
    }

    /// Whether the link was lost so often within seconds that it is held even if it is the only way to its peer.
    pub(super) fn storms(&self, tuning: &Tuning, now: Time, peer: &NodeId) -> bool {
        let losses = self
            .peers
            .get(peer)
            .into_iter()
            .flat_map(|losses| &losses.at);
        let lately = losses.filter(|at| now.saturating_sub(**at) < tuning.storm_window);
        lately.count() >= tuning.flaps_held
    }

    /// A listed link was lost.
    pub(super) fn note_loss(&mut self, now: Time, peer: NodeId, run_id: u64) {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer) {
            // Whoever makes links under ever new ids must not choose who is forgotten.
            let calmest = self.peers.iter().min_by_key(|(_, losses)| losses.at.back());
            calmest.map(|(id, _)| *id).map(|id| self.peers.remove(&id));
        }
        let losses = self.peers.entry(peer).or_default();
        losses.run_id = run_id;
        losses.at.push_back(now);
        if losses.at.len() > MAX_LOSSES {
            losses.at.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNING: &Tuning = &Tuning::DEFAULT;
    const PEER: NodeId = NodeId([7; 32]);

    fn at(s: u64) -> Time {
        Duration::from_secs(s)
    }

    #[test]
    fn the_third_loss_within_ten_minutes_holds_a_link_and_further_ones_for_five_seconds_at_most() {
        let mut damping = Damping::default();
        let mut holds = Vec::new();
        for loss in 0..9 {
            damping.note_loss(at(10 * loss), PEER, 1);
            holds.push(damping.hold(TUNING, at(10 * loss + 5), PEER, 1).as_secs());
        }
        assert_eq!(holds, [0, 0, 2, 4, 5, 5, 5, 5, 5]);
        assert_eq!(damping.hold(TUNING, at(700), PEER, 1), Duration::ZERO);
    }

    #[test]
    fn a_restarted_peer_starts_with_a_clean_slate() {
        let mut damping = Damping::default();
        for loss in 0..4 {
            damping.note_loss(at(loss), PEER, 1);
        }
        assert!(
            damping.hold(TUNING, at(4), PEER, 2) > Duration::ZERO,
            "too soon"
        );
        assert_eq!(damping.hold(TUNING, at(9), PEER, 2), Duration::ZERO);
    }

    #[test]
    fn losses_within_seconds_hold_even_the_only_way_to_a_peer() {
        let mut damping = Damping::default();
        let mut held = Vec::new();
        for loss in 0..6 {
            damping.note_loss(at(loss), PEER, 1);
            held.push(damping.storms(TUNING, at(loss), &PEER));
        }
        assert_eq!(held, [false, false, true, true, true, true]);
        assert!(!damping.storms(TUNING, at(14), &PEER), "it is over");
        for loss in 0..9 {
            damping.note_loss(at(100 + 6 * loss), NodeId([8; 32]), 1);
            let rarely = damping.storms(TUNING, at(100 + 6 * loss), &NodeId([8; 32]));
            assert!(!rarely, "a link that flaps every six seconds is shown");
        }
    }

    #[test]
    fn no_more_peers_are_remembered_than_the_bound() {
        let mut damping = Damping::default();
        for peer in 0..3000_u32 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&peer.to_be_bytes());
            damping.note_loss(at(1), NodeId(id), 1);
        }
        assert_eq!(damping.peers.len(), MAX_PEERS);
    }
}
