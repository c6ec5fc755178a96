//! Rendezvous: whom to ask, and what to do for one.

use rand::RngExt as _;

use super::Core;
use crate::membership::Time;
use crate::membership::interface::Action;
use crate::membership::meet::{Deed, Scene, Step};
use crate::membership::overlay::Seen;
use crate::wire::{Meet, NodeId};

/// What a rendezvous is decided from. It borrows no other owner.
macro_rules! scene {
    ($core:expr, $now:expr) => {
        Scene {
            now: $now,
            view: &$core.view,
            links: &$core.links,
            own: $core.own.addrs(),
            strangers: $core.overlay.strangers(),
        }
    };
}

impl Core {
    /// A dial of a node that is up stays unanswered.
    pub(super) fn ask_to_meet(&mut self, now: Time, peer: NodeId) {
        let nonce = self.rng.random();
        let scene = scene!(self, now);
        if let Some((first, meet)) = self.meet.ask(&scene, peer, nonce) {
            self.gossip.carry_meet(&first, meet);
        }
    }

    /// A neighbour brought a request for a rendezvous, or an answer.
    pub(super) fn handle_meet(&mut self, now: Time, from: NodeId, meet: Meet) {
        let scene = scene!(self, now);
        match self.meet.handle(&scene, &from, meet) {
            Step::Nothing => {}
            Step::Pass(to, meet) => self.gossip.carry_meet(&to, meet),
            Step::Refused(why) => self.out.reject("meet_refused", from, why.to_owned()),
        }
    }

    /// Does what was arranged.
    pub(super) fn hold_meetings(&mut self, now: Time) {
        for deed in self.meet.due(now) {
            match deed {
                Deed::Dial(peer, addr) => {
                    let seen = seen!(self, now);
                    if !self.links.is_live(&peer) && self.overlay.has_slot_for(&peer, &seen) {
                        self.overlay.dial_met(peer, vec![addr]);
                    }
                }
                Deed::Open(addrs, nonce) => {
                    self.overlay.note_sent(now, &addrs);
                    self.out.act(Action::Open { addrs, nonce });
                }
            }
        }
    }
}
