//! Attacks of Byzantine nodes.
//!
//! A Byzantine node is a host whose core is honest, so it is a member like any other, and an `Attack` beside it. The attack sends messages
//! of its own to the node's neighbours, changes or drops what the core sends, and opens further connections under identities that it owns.
//! It can't do more than a real attacker: it signs with its own keys only, and what it sends takes the same lines and send windows.
//!
//! The attack decides (`Deed`), and `host` does what it says. The parts: `plan` is what a scenario says, `acts` what is
//! done by itself, `guise` are the connections under other identities, and `forge` signs.

mod acts;
mod forge;
mod guise;
mod lot;
mod plan;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use self::guise::Guises;
use super::key::Key;
use super::path::EndRef;
use crate::membership::{Core, Time};
use crate::record::{LinkState, Record, Signer as _};
use crate::wire::{Hello, MAX_SYNC_ENTRIES, Message, NodeId, Probe, ViewDigest};
pub(super) use lot::by_lot;
pub(super) use plan::KINDS;
pub use plan::{Kind, Plan};

/// How often an attack acts. Half of it costs twice as many events of a run; at twice as much, attacks of a few hundred messages a second come in
/// bursts.
const TICK: Duration = Duration::from_millis(50);
/// What a liar says of its links in probes.
const RTT_US: u32 = 9_000_000;
const LOSS: u8 = 240;

/// What an attack makes its node do.
#[derive(Debug)]
pub(super) enum Deed {
    /// Send a message over a connection.
    Say(EndRef, Message),
    /// Send a probe over a connection.
    Probe(EndRef, Probe),
    /// Dial an address under an identity of the attack, by its number.
    Dial(usize, SocketAddr),
    /// Close a connection under such an identity.
    Drop(EndRef),
}

/// The node at the time of an attack's action.
pub(super) struct Moment<'a> {
    pub(super) now: Time,
    /// What the node's wall clock says.
    pub(super) unix_ms: u64,
    /// The newest record of the node's core.
    pub(super) own: &'a Arc<Record>,
    pub(super) key: &'a Key,
    pub(super) core: &'a Core,
    /// The open connections of the core whose send window has room.
    pub(super) open: &'a [EndRef],
}

/// See the module's documentation.
pub(super) struct Attack {
    plan: Arc<Plan>,
    identities: Vec<Arc<Key>>,
    rng: ChaCha8Rng,
    /// Records to send to each neighbour, in this order.
    records: Vec<Arc<Record>>,
    /// How many of them each neighbour was sent.
    sent: BTreeMap<EndRef, usize>,
    /// The forged record of the attacker's own node.
    own: Option<Forged>,
    /// Counts what the attack signs of one kind.
    generation: u32,
    /// The digest that each neighbour told last.
    digests: BTreeMap<EndRef, ViewDigest>,
    /// The links that it ever listed.
    haunted: Vec<LinkState>,
    /// Records of others, for replay.
    kept: Vec<Arc<Record>>,
    guises: Guises,
    struck: Option<Time>,
    /// The part of the rate that no action used yet.
    allowance: f64,
}

/// The record that is shown in place of the core's own.
struct Forged {
    from: Arc<Record>,
    generation: u32,
    faces: [Arc<Record>; 2],
    /// The neighbours that were sent it.
    told: Vec<EndRef>,
}

/// Which record of the attacker a neighbour is shown.
fn face(end: EndRef) -> usize {
    // A neighbour at which the attacker dialed, or one that dialed: the number tells either apart from others.
    (end.dialer ^ end.number) as usize % 2
}

impl Attack {
    /// When it acts next; `None` once it is over.
    pub(super) fn next(&self, now: Time) -> Option<Time> {
        let next = (now + TICK).max(self.plan.from);
        (now < self.plan.until).then_some(next.min(self.plan.until))
    }

    /// The identities that it owns beside its node's.
    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.identities.iter().map(|key| key.node_id())
    }

    fn is_on(&self, now: Time) -> bool {
        (self.plan.from..self.plan.until).contains(&now)
    }

    /// The record that takes the place of the core's own.
    fn forged(&mut self, own: &Arc<Record>, key: &Key, end: EndRef) -> Arc<Record> {
        let is_current =
            |it: &&Forged| Arc::ptr_eq(&it.from, own) && it.generation == self.generation;
        if let Some(forged) = self.own.as_ref().filter(is_current) {
            return forged.faces[face(end)].clone();
        }
        let (kind, generation) = (self.plan.kind, self.generation);
        if kind == Kind::Haunt {
            let known = |link: &LinkState| self.haunted.iter().any(|it| it.peer == link.peer);
            let new = own.body().links.iter().filter(|link| !known(link));
            let new: Vec<LinkState> = new.copied().collect();
            self.haunted.extend(new);
        }
        let show = |face| forge::own((own, key), self.lie(), generation, face);
        let faces = match kind {
            Kind::Twoface => [show(0), show(1)],
            _ => {
                let one = show(0);
                [one.clone(), one]
            }
        };
        let shown = faces[face(end)].clone();
        self.own = Some(Forged {
            from: own.clone(),
            generation,
            faces,
            told: Vec::new(),
        });
        shown
    }

    /// What the attacker changes in its own record.
    fn lie(&self) -> forge::Lie<'_> {
        forge::Lie {
            kind: self.plan.kind,
            identities: &self.identities,
            haunted: &self.haunted,
        }
    }

    /// The message that is sent in place of one of the core; `None` if nothing is sent.
    pub(super) fn outgoing(
        &mut self,
        now: Time,
        (own, key): (&Arc<Record>, &Key),
        end: EndRef,
        mut message: Message,
    ) -> Option<Message> {
        let kind = self.plan.kind;
        if !self.is_on(now) {
            return Some(message);
        }
        if let Message::Hello(hello) = &mut message
            && kind == Kind::Observe
        {
            hello.observed = self.plan.addr;
        }
        match kind {
            Kind::Mute => return mute(own.id(), message),
            Kind::Figures => self.age(own, &mut message),
            kind if kind.forges_own() => {}
            _ => return Some(message),
        }
        let me = own.id();
        match &mut message {
            Message::Hello(hello) => hello.record = self.forged(own, key, end),
            Message::Records(records) => {
                for record in records.iter_mut().filter(|record| record.id() == me) {
                    *record = self.forged(own, key, end);
                }
            }
            Message::Have(entries) | Message::Versions { entries, .. } => {
                let short = me.abbreviated();
                for (_, version) in entries.iter_mut().filter(|(id, _)| *id == short) {
                    *version = self.forged(own, key, end).version();
                }
            }
            Message::Digests { .. }
            | Message::Request(_)
            | Message::Superfluous(_)
            | Message::Graft(_)
            | Message::Prune
            | Message::Figures(_)
            | Message::Observed(_)
            | Message::Meet(_)
            | Message::Revocations(_) => {}
        }
        Some(message)
    }

    /// Lies about the age of figures of others, and leaves out its own, which the attack sends itself.
    fn age(&self, own: &Record, message: &mut Message) {
        if let Message::Figures(entries) = message {
            let short = own.id().abbreviated();
            entries.retain(|(_, figures)| figures.body().id != short);
            for (age_ds, _) in entries {
                *age_ds = if self.generation.is_multiple_of(2) {
                    0
                } else {
                    u16::MAX
                };
            }
        }
    }

    /// The probe that is sent in place of one of the core.
    pub(super) fn probe(&self, now: Time, end: EndRef, mut probe: Probe) -> Probe {
        if !self.is_on(now) {
            return probe;
        }
        if self.plan.kind == Kind::Figures {
            (probe.rtt_us, probe.loss) = (RTT_US, LOSS);
        }
        if let Some(digest) = self.digests.get(&end).filter(|_| self.plan.kind.echoes()) {
            probe.digest = *digest;
        }
        probe
    }

    /// A neighbour told the digest of its view.
    pub(super) fn hear_digest(&mut self, end: EndRef, digest: ViewDigest) {
        self.digests.insert(end, digest);
    }

    /// What the core is given of a message that arrived. While the attack goes on, it does not see the forged records of its own node. Afterwards it hears
    /// of them, and signs a newer one.
    pub(super) fn incoming(&mut self, now: Time, me: NodeId, mut message: Message) -> Message {
        let short = me.abbreviated();
        let is_blind = self.plan.kind.forges_own() && self.is_on(now);
        match &mut message {
            Message::Records(records) => {
                if self.plan.kind == Kind::Replay {
                    self.keep(records);
                }
                if is_blind {
                    records.retain(|record| record.id() != me);
                }
            }
            Message::Have(entries) | Message::Versions { entries, .. } => {
                if is_blind {
                    entries.retain(|(id, _)| *id != short);
                }
            }
            Message::Hello(_)
            | Message::Digests { .. }
            | Message::Request(_)
            | Message::Superfluous(_)
            | Message::Graft(_)
            | Message::Prune
            | Message::Figures(_)
            | Message::Observed(_)
            | Message::Meet(_)
            | Message::Revocations(_) => {}
        }
        message
    }
}

/// What a node says that names what it has and never sends it.
fn mute(me: NodeId, message: Message) -> Option<Message> {
    match message {
        Message::Records(records) => {
            if let Some(own) = records.iter().find(|record| record.id() == me) {
                return Some(Message::Records(vec![own.clone()]));
            }
            let named = records.iter().take(MAX_SYNC_ENTRIES);
            let named = named.map(|record| (record.id().abbreviated(), record.version()));
            Some(Message::Have(named.collect()))
        }
        Message::Graft(_) => Some(Message::Prune),
        Message::Hello(_) | Message::Have(_) | Message::Prune | Message::Superfluous(_) => {
            Some(message)
        }
        Message::Digests { .. }
        | Message::Versions { .. }
        | Message::Request(_)
        | Message::Figures(_)
        | Message::Observed(_)
        | Message::Meet(_)
        | Message::Revocations(_) => None,
    }
}

/// Connections under other identities.
impl Attack {
    /// The identity that dials, and the Hello that it sends once the peer has shown its key.
    pub(super) fn begin_guise(&mut self, end: EndRef, number: usize, addr: SocketAddr) -> NodeId {
        self.guises.begin(end, number, addr);
        self.identities[number].node_id()
    }

    /// Whether a connection is one of the attack's, and not the core's.
    pub(super) fn is_guise(&self, end: EndRef) -> bool {
        self.guises.contains(end)
    }

    /// The Hello of such a connection.
    pub(super) fn hello(&self, end: EndRef, unix_ms: u64, digest: ViewDigest) -> Option<Hello> {
        self.guises.hello(end, &self.identities, unix_ms, digest)
    }

    /// The peer's Hello came.
    pub(super) fn joined(
        &mut self,
        end: EndRef,
        now: Time,
        unix_ms: u64,
        hello: &Hello,
    ) -> Vec<Deed> {
        if !self.is_on(now) {
            self.guises.end(end);
            return vec![Deed::Drop(end)];
        }
        self.guises
            .joined(end, &self.identities, (now, unix_ms), hello)
    }

    /// Such a connection ended, or came to nothing.
    pub(super) fn parted(&mut self, end: EndRef) {
        self.guises.end(end);
    }
}
