//! Executes the attack of a Byzantine node, and counts what costs an honest one something.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Body, Node, What};
use crate::membership::{ConnId, DialId, Input};
use crate::record::Record;
use crate::sim::attack::{Deed, Moment};
use crate::sim::path::{Caller, End, EndRef, Packet, Wanted};
use crate::sim::window::Scene;
use crate::wire::{CloseCode, Hello, Message, NodeId, Probe};

/// Dials of the attack are numbered from here on; those of the core never get so far.
const FIRST_DIAL: u64 = 1 << 63;
/// Identities of the attack dial from this port on.
const FIRST_PORT: u16 = 49_152;

/// The port from which an identity of the attacker at a place dials: no place has it, and identities of other attackers seldom do.
fn guise_port(place: u32, number: usize) -> u16 {
    let ports = usize::from(u16::MAX - FIRST_PORT);
    let number = (number + place as usize * 997) % ports;
    u16::try_from(number).map_or(FIRST_PORT, |number| FIRST_PORT + number)
}

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
        let open = self.open_ends().filter(|end| !attack.is_guise(*end));
        let open: Vec<EndRef> = open.collect();
        let deeds = match (&self.own, &self.body) {
            (Some(own), Some(Body::Core(core))) => attack.strike(&Moment {
                now: self.now,
                unix_ms: self.unix_ms(),
                own,
                key: &self.key,
                core,
                open: &open,
            }),
            (_, _) => Vec::new(),
        };
        self.attack = Some(attack);
        self.execute(scene, deeds);
        self.plan_strike();
    }

    fn execute(&mut self, scene: &Scene<'_>, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Say(end, message) => {
                    if self.is_open(end) {
                        self.stream(scene, end, message);
                    }
                }
                Deed::Probe(end, probe) => self.probe(scene, end.id(), probe),
                Deed::Dial(number, addr) => self.dial_as(scene, number, addr),
                Deed::Drop(end) => self.hang_up(scene, end.id(), CloseCode::Leaving, Vec::new()),
            }
        }
    }

    /// Whether both Hellos were sent. A core that looks into an earlier run of a peer first answers its Hello later.
    fn is_open(&mut self, end: EndRef) -> bool {
        let live = self.live_mut(end);
        live.is_some_and(|live| live.known.is_some() && live.sent > 0)
    }

    /// The connections over which the stream takes more.
    fn open_ends(&self) -> impl Iterator<Item = EndRef> + '_ {
        self.ends.iter().filter_map(|(end, state)| match state {
            End::Live(live) => {
                let is_greeted = live.known.is_some() && live.sent > 0;
                let takes = is_greeted && live.unacked <= live.window.room();
                takes.then_some(*end)
            }
            End::Over(_) => None,
        })
    }

    /// Dials under an identity of the attack.
    fn dial_as(&mut self, scene: &Scene<'_>, number: usize, addr: SocketAddr) {
        let end = self.next_dial();
        let Some(attack) = &mut self.attack else {
            return;
        };
        let caller = Caller {
            id: attack.begin_guise(end, number, addr),
            // A host can dial from any port.
            addr: SocketAddr::new(self.start.published[0].ip(), guise_port(self.place, number)),
        };
        let wanted = Wanted {
            dial: DialId(FIRST_DIAL + u64::from(end.number)),
            addr,
            expect: None,
            replaces: false,
            eager: false,
        };
        let peer = self.begin_dial(scene, end, wanted);
        self.launch_if(scene, end.other(), peer, Packet::Initial(Box::new(caller)));
    }

    /// The Hello of a connection of the attack.
    pub(super) fn guise_hello(&self, end: EndRef) -> Option<Hello> {
        let attack = self.attack.as_ref().filter(|it| it.is_guise(end))?;
        let digest = self.core()?.digest();
        attack.hello(end, self.unix_ms(), digest)
    }

    /// What the core is given of an input; `None` if it is about a connection of the attack.
    pub(super) fn censored(&mut self, scene: &Scene<'_>, input: Input) -> Option<Input> {
        let (id, now, unix_ms) = (self.id, self.now, self.unix_ms());
        let Some(attack) = &mut self.attack else {
            return Some(input);
        };
        match input {
            Input::Connected(new) if attack.is_guise(EndRef::of(new.conn)) => {
                let end = EndRef::of(new.conn);
                let deeds = attack.joined(end, now, unix_ms, &new.hello);
                self.execute(scene, deeds);
                None
            }
            Input::Closed(conn, _) if attack.is_guise(EndRef::of(conn)) => {
                attack.parted(EndRef::of(conn));
                None
            }
            Input::DialFailed(dial, _) if dial.0 >= FIRST_DIAL => {
                let number = u32::try_from(dial.0 - FIRST_DIAL).expect("ends have such numbers");
                attack.parted(EndRef::of_dialer(self.place, number));
                None
            }
            Input::Message(conn, _) | Input::Probe(conn, _) | Input::Answer(conn, ..)
                if attack.is_guise(EndRef::of(conn)) =>
            {
                None
            }
            Input::Message(conn, message) => {
                Some(Input::Message(conn, attack.incoming(now, id, message)))
            }
            Input::Probe(conn, probe) => {
                attack.hear_digest(EndRef::of(conn), probe.digest);
                Some(Input::Probe(conn, probe))
            }
            other => Some(other),
        }
    }

    /// The message that the attack sends in place of one of the core; `None` if nothing is sent.
    pub(super) fn disguised(&mut self, end: EndRef, message: Message) -> Option<Message> {
        let now = self.now;
        match (&mut self.attack, &self.own) {
            (Some(attack), Some(own)) => attack.outgoing(now, (own, &self.key), end, message),
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

/// Counts in a world with attacks.
impl Node {
    /// The records of a message that are newer than the core's: each has a signature to verify.
    pub(super) fn count_fresh(&mut self, message: &Message) {
        let Message::Records(records) = message else {
            return;
        };
        let Some(core) = self.bare() else { return };
        let is_fresh = |record: &&Arc<Record>| {
            let have = core.record(&record.id());
            have.is_none_or(|have| have.compare(record).is_lt())
        };
        let fresh = records.iter().filter(is_fresh).count();
        self.traffic.fresh_in += fresh as u64;
    }
}
