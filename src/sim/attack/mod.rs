//! Attacks of Byzantine nodes.
//!
//! A Byzantine node is a host whose core is honest, so it is a member like any other, and an [`Attack`] beside it. The attack sends messages
//! of its own to the node's neighbours, changes or drops what the core sends, and opens further connections under identities that it owns.
//! It can't do more than a real attacker: it signs with its own keys only, and what it sends takes the same lines and send windows.
//!
//! The attack decides ([`Deed`]), and [`host`](super::host) does what it says.

mod forge;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::key::Key;
use super::path::EndRef;
use crate::membership::Time;
use crate::record::{Record, Signer as _};
use crate::wire::{BATCH_BYTES, Message, NodeId, Probe, ViewDigest};
pub use plan::{Kind, Plan};
pub(super) use plan::KINDS;

/// How often an attack acts. Half of it costs twice as many events of a run; at twice as much, attacks of a few hundred messages a second come in bursts.
const TICK: Duration = Duration::from_millis(50);

/// What an attack makes its node do.
#[derive(Debug)]
pub(super) enum Deed {
    /// Send a message over a connection.
    Say(EndRef, Message),
}

/// The node at the time of an attack's action.
pub(super) struct Moment<'a> {
    pub(super) now: Time,
    /// What the node's wall clock says.
    pub(super) unix_ms: u64,
    /// The newest record of the node's core.
    pub(super) own: &'a Arc<Record>,
    pub(super) key: &'a Key,
    /// The open connections whose send window has room.
    pub(super) open: &'a [EndRef],
}

/// See the module's documentation.
pub(super) struct Attack {
    plan: Arc<Plan>,
    identities: Vec<Arc<Key>>,
    /// Records to send to each neighbour, in this order.
    records: Vec<Arc<Record>>,
    /// How many of them each neighbour was sent.
    sent: BTreeMap<EndRef, usize>,
    /// The forged record of the attacker's own node, the core's record that it was made from, and the neighbours that were sent it.
    own: Option<Forged>,
    generation: u32,
    /// The digest that each neighbour told last.
    digests: BTreeMap<EndRef, ViewDigest>,
    struck: Option<Time>,
    /// The part of the rate that no action used yet.
    allowance: f64,
}

struct Forged {
    from: Arc<Record>,
    record: Arc<Record>,
    told: Vec<EndRef>,
}

impl Attack {
    /// The attack of the node at a place.
    pub(super) fn new(plan: Arc<Plan>, seed: u64, place: usize) -> Self {
        let key = |at: usize| {
            let number = (1 << 63) | (seed & 0xffff) << 47 | (place as u64) << 32 | at as u64;
            Arc::new(Key::new(number))
        };
        Self {
            identities: (0..plan.ids).map(key).collect(),
            plan,
            records: Vec::new(),
            sent: BTreeMap::new(),
            own: None,
            generation: 0,
            digests: BTreeMap::new(),
            struck: None,
            allowance: 0.0,
        }
    }

    /// The identities that it owns beside its node's.
    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.identities.iter().map(|key| key.node_id())
    }

    /// When it acts next; `None` once it is over.
    pub(super) fn next(&self, now: Time) -> Option<Time> {
        let next = (now + TICK).max(self.plan.from);
        (next < self.plan.until).then_some(next)
    }

    fn is_on(&self, now: Time) -> bool {
        (self.plan.from..self.plan.until).contains(&now)
    }

    /// Acts.
    pub(super) fn strike(&mut self, moment: &Moment<'_>) -> Vec<Deed> {
        if !self.is_on(moment.now) {
            return Vec::new();
        }
        let before = self.struck.replace(moment.now);
        let since = before.map_or(TICK, |before| moment.now - before);
        self.allowance += self.plan.rate * since.as_secs_f64();
        let count = self.allowance.floor();
        self.allowance -= count;
        let count = count as usize;
        self.sent.retain(|end, _| moment.open.contains(end));
        let mut deeds = Vec::new();
        match self.plan.kind {
            Kind::Sybil => self.invent(moment, count, &mut deeds),
        }
        deeds
    }

    /// Sends the records of invented nodes, so many to each neighbour.
    fn invent(&mut self, moment: &Moment<'_>, count: usize, deeds: &mut Vec<Deed>) {
        if self.records.is_empty() {
            let mold = forge::Mold {
                epoch: moment.unix_ms,
                seq: 1,
                addrs: Vec::new(),
            };
            let all = 0..self.identities.len();
            self.records = all
                .map(|at| forge::invented(&self.identities, at, moment.own, &mold))
                .collect();
        }
        self.tell_own(moment, deeds);
        for &end in moment.open {
            let sent = self.sent.entry(end).or_default();
            let last = (*sent + count).min(self.records.len());
            let batches = batches(&self.records[*sent..last]);
            deeds.extend(batches.map(|batch| Deed::Say(end, Message::Records(batch))));
            *sent = last;
        }
    }

    /// Sends the forged own record to the neighbours that lack it.
    fn tell_own(&mut self, moment: &Moment<'_>, deeds: &mut Vec<Deed>) {
        let record = self.forged(moment.own, moment.key);
        let Some(own) = &mut self.own else { return };
        for &end in moment.open {
            if !own.told.contains(&end) {
                own.told.push(end);
                deeds.push(Deed::Say(end, Message::Records(vec![record.clone()])));
            }
        }
    }

    /// The record that takes the place of the core's own.
    fn forged(&mut self, own: &Arc<Record>, key: &Key) -> Arc<Record> {
        if let Some(forged) = self.own.as_ref().filter(|it| Arc::ptr_eq(&it.from, own)) {
            return forged.record.clone();
        }
        let more = forge::roots(&self.identities);
        let record = forge::own(own, key, self.generation, &more, |_| {});
        self.own = Some(Forged {
            from: own.clone(),
            record: record.clone(),
            told: Vec::new(),
        });
        record
    }

    /// The message that is sent in place of one of the core; `None` if nothing is sent.
    pub(super) fn outgoing(
        &mut self,
        now: Time,
        (own, key): (&Arc<Record>, &Key),
        mut message: Message,
    ) -> Option<Message> {
        if !self.is_on(now) {
            return Some(message);
        }
        let me = own.id();
        match &mut message {
            Message::Hello(hello) => hello.record = self.forged(own, key),
            Message::Records(records) => {
                for record in records.iter_mut().filter(|record| record.id() == me) {
                    *record = self.forged(own, key);
                }
            }
            Message::Have(entries) | Message::Versions { entries, .. } => {
                let short = me.abbreviated();
                for (_, version) in entries.iter_mut().filter(|(id, _)| *id == short) {
                    *version = self.forged(own, key).version();
                }
            }
            Message::Digests { .. }
            | Message::Request(_)
            | Message::Superfluous(_)
            | Message::Graft(_)
            | Message::Prune
            | Message::Figures(_)
            | Message::Observed(_)
            | Message::Meet(_) => {}
        }
        Some(message)
    }

    /// The probe that is sent in place of one of the core. It claims that the attacker's view is that of the neighbour, so nothing is
    /// compared.
    pub(super) fn probe(&self, now: Time, end: EndRef, mut probe: Probe) -> Probe {
        if self.is_on(now)
            && let Some(digest) = self.digests.get(&end)
        {
            probe.digest = *digest;
        }
        probe
    }

    /// A neighbour told the digest of its view.
    pub(super) fn hear_digest(&mut self, end: EndRef, digest: ViewDigest) {
        self.digests.insert(end, digest);
    }

    /// What the core is given of a message that arrived. It does not see the forged records of its own node, and goes on counting its own.
    pub(super) fn incoming(&mut self, me: NodeId, mut message: Message) -> Message {
        let short = me.abbreviated();
        match &mut message {
            Message::Records(records) => records.retain(|record| record.id() != me),
            Message::Have(entries) | Message::Versions { entries, .. } => {
                entries.retain(|(id, _)| *id != short);
            }
            Message::Hello(_)
            | Message::Digests { .. }
            | Message::Request(_)
            | Message::Superfluous(_)
            | Message::Graft(_)
            | Message::Prune
            | Message::Figures(_)
            | Message::Observed(_)
            | Message::Meet(_) => {}
        }
        message
    }
}

/// Records in messages of the size that honest nodes send.
fn batches(records: &[Arc<Record>]) -> impl Iterator<Item = Vec<Arc<Record>>> + '_ {
    let mut rest = records;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|record| {
            let before = bytes;
            bytes += record.encoded_len();
            before < BATCH_BYTES
        });
        let (batch, others) = rest.split_at(fits.count());
        rest = others;
        (!batch.is_empty()).then(|| batch.to_vec())
    })
}
