//! Connections of an attacker under identities beside its own. They take part in nothing: they prove a key, list a link, and answer
//! probes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Deed, forge};
use crate::membership::Time;
use crate::record::{Direction, PublishedAddr};
use crate::sim::key::Key;
use crate::sim::path::EndRef;
use crate::wire::{Hello, Message, Probe, ViewDigest};

/// What a connection says of the next probe: an honest node's pause.
const NEXT_MS: u16 = 1500;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Guises(BTreeMap<EndRef, Guise>);

struct Guise {
    /// The number of the identity.
    number: usize,
    /// The address that it dialed.
    addr: SocketAddr,
    /// Since when the peer has it.
    since: Option<Time>,
}

impl Guises {
    pub(super) fn begin(&mut self, end: EndRef, number: usize, addr: SocketAddr) {
        let guise = Guise {
            number,
            addr,
            since: None,
        };
        self.0.insert(end, guise);
    }

    pub(super) fn contains(&self, end: EndRef) -> bool {
        self.0.contains_key(&end)
    }

    pub(super) fn end(&mut self, end: EndRef) {
        self.0.remove(&end);
    }

    /// Which of so many identities have a connection, or dial.
    pub(super) fn busy(&self, count: usize) -> Vec<bool> {
        let mut busy = vec![false; count];
        for guise in self.0.values() {
            busy[guise.number] = true;
        }
        busy
    }

    /// Drops the links that are older than that.
    pub(super) fn drop_older(&mut self, now: Time, age: Duration, deeds: &mut Vec<Deed>) {
        let is_old = |guise: &Guise| guise.since.is_some_and(|since| now >= since + age);
        let old = self.0.iter().filter(|(_, guise)| is_old(guise));
        let old: Vec<EndRef> = old.map(|(end, _)| *end).collect();
        for end in old {
            self.0.remove(&end);
            deeds.push(Deed::Drop(end));
        }
    }

    fn mold(&self, guise: &Guise, unix_ms: u64, seq: u32) -> forge::Mold {
        forge::Mold {
            epoch: unix_ms,
            seq,
            // Nobody listens there.
            addrs: vec![PublishedAddr::local(SocketAddr::new(guise.addr.ip(), 1))],
            junk: 0,
        }
    }

    /// The Hello of a node that knows nobody: it is taken beyond the cap.
    pub(super) fn hello(
        &self,
        end: EndRef,
        identities: &[Arc<Key>],
        unix_ms: u64,
        digest: ViewDigest,
    ) -> Option<Hello> {
        let guise = self.0.get(&end)?;
        let mold = self.mold(guise, unix_ms, 1);
        let key = &identities[guise.number];
        Some(Hello {
            run_id: forge::RUN,
            dial_counter: end.number.into(),
            replaces: false,
            observed: guise.addr,
            known: 1,
            digest,
            record: forge::sign(key, guise.number, &mold, Vec::new()),
            revocations: 0,
        })
    }

    /// The peer's Hello came: lists the link, and probes it once, so that the peer lists it too.
    pub(super) fn joined(
        &mut self,
        end: EndRef,
        identities: &[Arc<Key>],
        (now, unix_ms): (Time, u64),
        hello: &Hello,
    ) -> Vec<Deed> {
        let Some(guise) = self.0.get_mut(&end) else {
            return Vec::new();
        };
        guise.since = Some(now);
        let guise = &self.0[&end];
        let peer = forge::link_to(&hello.record.id(), hello.run_id, Direction::Dialer);
        let mold = self.mold(guise, unix_ms, 2);
        let key = &identities[guise.number];
        let record = forge::sign(key, guise.number, &mold, vec![peer]);
        let probe = Probe {
            seq: 1,
            heard: true,
            rtt_us: 20_000,
            loss: 0,
            next_ms: NEXT_MS,
            digest: hello.digest,
        };
        vec![
            Deed::Say(end, Message::Records(vec![record])),
            Deed::Probe(end, probe),
        ]
    }
}
