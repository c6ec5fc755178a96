//! Executes the attack of a Byzantine node.

use super::{Node, What};
use crate::membership::{ConnId, Input};
use crate::sim::attack::{Deed, Moment};
use crate::sim::path::{End, EndRef};
use crate::sim::window::Scene;
use crate::wire::{Message, NodeId, Probe};

impl Node {
    /// Queues the next action of the attack.
    pub(super) fn plan_strike(&mut self) {
        let now = self.now;
        let next = self.attack.as_ref().and_then(|attack| attack.next(now));
        if let Some(at) = next {
            self.at(at - now, What::Strike);
        }
    }

    /// The attack acts.
    pub(super) fn strike(&mut self, scene: &Scene<'_>) {
        let Some(mut attack) = self.attack.take() else {
            return;
        };
        let open: Vec<EndRef> = self.open_ends().collect();
        let deeds = self.own.as_ref().map(|own| {
            attack.strike(&Moment {
                now: self.now,
                unix_ms: self.unix_ms(),
                own,
                key: &self.key,
                open: &open,
            })
        });
        self.attack = Some(attack);
        for deed in deeds.into_iter().flatten() {
            match deed {
                Deed::Say(end, message) => self.say(scene, end, message),
            }
        }
        self.plan_strike();
    }

    /// The connections that the core has, and over which the stream takes more.
    fn open_ends(&self) -> impl Iterator<Item = EndRef> + '_ {
        self.ends.iter().filter_map(|(end, state)| match state {
            End::Live(live) => {
                let takes = live.known.is_some() && live.unacked <= live.window.room();
                takes.then_some(*end)
            }
            End::Over(_) => None,
        })
    }

    /// Sends a message past the core.
    fn say(&mut self, scene: &Scene<'_>, end: EndRef, message: Message) {
        if self.live_mut(end).is_some_and(|live| live.known.is_some()) {
            self.stream(scene, end, message);
        }
    }

    /// What the core is given of an input.
    pub(super) fn censored(&mut self, input: Input) -> Input {
        let id = self.id;
        let Some(attack) = &mut self.attack else {
            return input;
        };
        match input {
            Input::Message(conn, message) => Input::Message(conn, attack.incoming(id, message)),
            Input::Probe(conn, probe) => {
                attack.hear_digest(EndRef::of(conn), probe.digest);
                Input::Probe(conn, probe)
            }
            other => other,
        }
    }

    /// The message that the attack sends in place of one of the core; `None` if nothing is sent.
    pub(super) fn disguised(&mut self, message: Message) -> Option<Message> {
        let now = self.now;
        match (&mut self.attack, &self.own) {
            (Some(attack), Some(own)) => attack.outgoing(now, (own, &self.key), message),
            (_, _) => Some(message),
        }
    }

    /// The same for a probe.
    pub(super) fn disguised_probe(&self, conn: ConnId, probe: Probe) -> Probe {
        match &self.attack {
            Some(attack) => attack.probe(self.now, EndRef::of(conn), probe),
            None => probe,
        }
    }

    /// The identities that its attack owns beside its own.
    pub(in crate::sim) fn identities(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.attack.iter().flat_map(|attack| attack.ids())
    }

    /// Whether it is Byzantine for the whole run, and no honest node.
    #[must_use]
    pub fn is_hostile(&self) -> bool {
        self.attack.is_some()
    }
}

/// Counts what costs an honest node something, in a world with attacks.
impl Node {
    /// The records of a message that are newer than the core's: each has a signature to verify.
    pub(super) fn count_fresh(&mut self, message: &Message) {
        let Message::Records(records) = message else {
            return;
        };
        let Some(core) = self.bare() else { return };
        let is_fresh = |record: &&std::sync::Arc<crate::record::Record>| {
            let have = core.record(&record.id());
            have.is_none_or(|have| have.compare(record).is_lt())
        };
        let fresh = records.iter().filter(is_fresh).count();
        self.traffic.fresh_in += fresh as u64;
    }
}
