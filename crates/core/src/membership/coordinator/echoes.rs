//! Echoes: what comes is answered or passed on, and pings begin and end.

use rand::RngExt as _;

use super::Core;
use crate::membership::Time;
use crate::membership::echo::{Pinged, Scene, Step};
use crate::membership::interface::{Action, ConnId, Event};
use crate::membership::links::Link;
use crate::wire::{Echo, NodeId};

/// What echoes are decided from. It borrows no other owner.
macro_rules! scene {
    ($core:expr, $now:expr) => {
        Scene {
            now: $now,
            view: &$core.view,
            links: &$core.links,
        }
    };
}

impl Core {
    /// Somebody wants to know how long a path takes.
    pub(super) fn ping(&mut self, now: Time, number: u64, path: &[NodeId]) {
        let (scene, rng) = (scene!(self, now), &mut self.rng);
        match self.echoes.ping(&scene, number, path, || rng.random()) {
            Ok((first, echoes)) => {
                for echo in echoes {
                    self.send_echo(&first, echo);
                }
            }
            Err(end) => self.tell_pinged(end),
        }
    }

    /// A neighbour brought an echo, or an answer.
    pub(super) fn handle_echo(&mut self, now: Time, conn: ConnId, echo: Echo) {
        let Some(from) = self.links.peer(conn) else {
            return;
        };
        let scene = scene!(self, now);
        match self.echoes.handle(&scene, &from, echo) {
            Step::Nothing => {}
            Step::Pass(to, echo) => self.send_echo(&to, echo),
            Step::Refused(why) => self.out.reject("echo_refused", from, why.to_owned()),
        }
    }

    /// Tells the pings that have come to their end.
    pub(super) fn end_pings(&mut self, now: Time) {
        for end in self.echoes.ended(now) {
            self.tell_pinged(end);
        }
    }

    fn tell_pinged(&mut self, (number, rtts_us): Pinged) {
        self.out.tell(Event::Pinged { number, rtts_us });
    }

    fn send_echo(&mut self, to: &NodeId, echo: Echo) {
        if let Some(conn) = self.links.get(to).map(Link::conn) {
            self.out.act(Action::Echo(conn, echo));
        }
    }
}
