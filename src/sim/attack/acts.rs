//! What an attack does by itself: at short intervals, so much as its rate allows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::guise::Guises;
use super::{Attack, Deed, Kind, Moment, Plan, TICK, forge};
use crate::record::{AddrKind, MAX_LINKS, PublishedAddr, Record};
use crate::sim::key::Key;
use crate::sim::path::EndRef;
use crate::sim::places::addr;
use crate::wire::{BATCH_BYTES, MAX_BUCKETS_LOG2, MAX_SYNC_ENTRIES, Message};

/// How many old records are kept for replay: the newest few of each of a thousand nodes.
const KEPT: usize = 4096;
/// How long an identity of `joins` holds its link.
const STAYS: Duration = Duration::from_secs(1);
/// How long one of `flap` holds it: long enough that the victim lists it.
const FLAPS: Duration = Duration::from_millis(100);
/// The stream of the random generator of an attack, so that its numbers are not those of its node.
const STREAM: u64 = 1 << 40;

impl Attack {
    /// The attack of the node at a place.
    pub(in crate::sim) fn new(plan: Arc<Plan>, seed: u64, place: usize) -> Self {
        let key = |at: usize| {
            let number = (1 << 63) | (seed & 0xffff) << 47 | (place as u64) << 32 | at as u64;
            Arc::new(Key::new(number))
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(STREAM + place as u64);
        Self {
            identities: (0..plan.ids).map(key).collect(),
            plan,
            rng,
            records: Vec::new(),
            sent: BTreeMap::new(),
            own: None,
            generation: 0,
            digests: BTreeMap::new(),
            haunted: Vec::new(),
            kept: Vec::new(),
            guises: Guises::default(),
            struck: None,
            allowance: 0.0,
        }
    }

    /// Acts.
    pub(in crate::sim) fn strike(&mut self, moment: &Moment<'_>) -> Vec<Deed> {
        let mut deeds = Vec::new();
        if !self.is_on(moment.now) {
            self.guises
                .drop_older(moment.now, Duration::ZERO, &mut deeds);
            return deeds;
        }
        let before = self.struck.replace(moment.now);
        let since = before.map_or(TICK, |before| moment.now - before);
        self.allowance += self.plan.rate * since.as_secs_f64();
        let count = self.allowance.floor();
        self.allowance -= count;
        let count = count as usize;
        match self.plan.kind {
            Kind::Sybil | Kind::Address => self.invent(moment, count, &mut deeds),
            Kind::Flood | Kind::Evict => {
                self.invent(moment, count, &mut deeds);
                self.renew(moment, count, &mut deeds);
            }
            Kind::Rounds => self.ask(moment, count, &mut deeds),
            Kind::Suspect | Kind::Haunt | Kind::Epoch | Kind::Twoface => {
                self.republish(moment, count, &mut deeds)
            }
            Kind::Figures => {
                self.republish(moment, count, &mut deeds);
                self.measure(moment, count, &mut deeds);
            }
            Kind::Observe if count > 0 => {
                let said = |end: &EndRef| Deed::Say(*end, Message::Observed(self.plan.addr));
                deeds.extend(moment.open.iter().map(said));
            }
            Kind::Mute if count > 0 => {
                let said = |end: &EndRef| Deed::Say(*end, Message::Prune);
                deeds.extend(moment.open.iter().map(said));
            }
            Kind::Observe | Kind::Mute => {}
            Kind::Replay => self.replay(moment, count, &mut deeds),
            Kind::Joins => {
                self.guises.drop_older(moment.now, STAYS, &mut deeds);
                self.dial_next(count, &mut deeds);
            }
            Kind::Flap => {
                self.guises.drop_older(moment.now, FLAPS, &mut deeds);
                self.dial_idle(count, &mut deeds);
            }
            Kind::Eclipse => self.dial_idle(count, &mut deeds),
        }
        deeds
    }

    /// Sends the records of invented nodes, so many to each neighbour.
    fn invent(&mut self, moment: &Moment<'_>, count: usize, deeds: &mut Vec<Deed>) {
        if self.records.is_empty() {
            let all = 0..self.identities.len();
            self.records = all.map(|at| self.invented(moment, at, 1)).collect();
        }
        self.tell_own(moment, deeds);
        for &end in moment.open {
            let sent = self.sent.entry(end).or_default();
            let last = (*sent + count).min(self.records.len());
            say_all(end, &self.records[*sent..last], deeds);
            *sent = last;
        }
    }

    /// The record of an invented node in one of its versions. Every other one lists one more link, which is news for all.
    fn invented(&self, moment: &Moment<'_>, at: usize, seq: u32) -> Arc<Record> {
        let spare = seq as usize % 2;
        let mold = forge::Mold {
            epoch: moment.unix_ms,
            seq,
            addrs: match self.plan.kind {
                Kind::Address => vec![PublishedAddr::new(AddrKind::Advertised, self.plan.addr)],
                _ => Vec::new(),
            },
            junk: match self.plan.kind {
                Kind::Flood => spare,
                Kind::Evict => MAX_LINKS - 2 * spare,
                _ => 0,
            },
        };
        forge::invented(&self.identities, at, moment.own, &mold)
    }

    /// Sends new records of invented nodes to the neighbours that have all of the first ones.
    fn renew(&mut self, moment: &Moment<'_>, count: usize, deeds: &mut Vec<Deed>) {
        let all = self.records.len();
        let ready = moment.open.iter();
        let ready: Vec<EndRef> = ready
            .filter(|end| self.sent.get(end) == Some(&all))
            .copied()
            .collect();
        if ready.is_empty() {
            return;
        }
        let mut fresh = Vec::new();
        for _ in 0..count {
            let turn = self.generation as usize;
            self.generation = self.generation.wrapping_add(1);
            let seq = 2 + u32::try_from(turn / all).unwrap_or(u32::MAX);
            let record = self.invented(moment, turn % all, seq);
            self.records[turn % all] = record.clone();
            fresh.push(record);
        }
        for end in ready {
            say_all(end, &fresh, deeds);
        }
    }

    /// Sends the forged own record to the neighbours that lack it.
    fn tell_own(&mut self, moment: &Moment<'_>, deeds: &mut Vec<Deed>) {
        for &end in moment.open {
            let record = self.forged(moment.own, moment.key, end);
            let Some(own) = &mut self.own else { return };
            if !own.told.contains(&end) {
                own.told.push(end);
                deeds.push(Deed::Say(end, Message::Records(vec![record])));
            }
        }
    }

    /// Signs the own record anew, and sends it to all.
    fn republish(&mut self, moment: &Moment<'_>, count: usize, deeds: &mut Vec<Deed>) {
        self.generation += u32::try_from(count).expect("a tick is short");
        self.tell_own(moment, deeds);
    }

    /// Sends false figures of its own links to all.
    fn measure(&mut self, moment: &Moment<'_>, count: usize, deeds: &mut Vec<Deed>) {
        if count == 0 {
            return;
        }
        for &end in moment.open {
            let record = self.forged(moment.own, moment.key, end);
            let figures = forge::figures(&record, moment.key, self.generation);
            deeds.push(Deed::Say(end, Message::Figures(vec![(0, figures)])));
        }
    }

    /// Begins a round with each neighbour that differs in all ranges, and requests all records that it knows of.
    fn ask(&mut self, moment: &Moment<'_>, count: usize, deeds: &mut Vec<Deed>) {
        let known = moment.core.records_up().take(MAX_SYNC_ENTRIES);
        let known: Vec<_> = known.map(|record| record.id().abbreviated()).collect();
        for _ in 0..count {
            for &end in moment.open {
                let sums = (0..1 << MAX_BUCKETS_LOG2).map(|_| self.rng.random());
                let digests = Message::Digests {
                    log2: MAX_BUCKETS_LOG2,
                    sums: sums.collect(),
                };
                deeds.push(Deed::Say(end, digests));
                deeds.push(Deed::Say(end, Message::Request(known.clone())));
            }
        }
    }

    /// Notes records of others.
    pub(super) fn keep(&mut self, records: &[Arc<Record>]) {
        for record in records {
            if self.kept.len() < KEPT {
                self.kept.push(record.clone());
            } else {
                let at = self.rng.random_range(0..KEPT);
                self.kept[at] = record.clone();
            }
        }
    }

    /// Sends records that were true once.
    fn replay(&mut self, moment: &Moment<'_>, count: usize, deeds: &mut Vec<Deed>) {
        if self.kept.is_empty() {
            return;
        }
        let old: Vec<Arc<Record>> = (0..count)
            .map(|_| self.kept[self.rng.random_range(0..self.kept.len())].clone())
            .collect();
        for &end in moment.open {
            say_all(end, &old, deeds);
        }
    }

    /// Dials the victim with so many identities that did not dial before.
    fn dial_next(&mut self, count: usize, deeds: &mut Vec<Deed>) {
        let victim = addr(self.plan.victim);
        let first = self.generation as usize;
        let last = (first + count).min(self.identities.len());
        self.generation = u32::try_from(last).expect("there are fewer identities");
        deeds.extend((first..last).map(|number| Deed::Dial(number, victim)));
    }

    /// Dials the victim with so many identities that have no connection.
    fn dial_idle(&mut self, count: usize, deeds: &mut Vec<Deed>) {
        let victim = addr(self.plan.victim);
        let busy = self.guises.busy(self.identities.len());
        let idle = (0..self.identities.len()).filter(|number| !busy[*number]);
        deeds.extend(idle.take(count).map(|number| Deed::Dial(number, victim)));
    }
}

/// Sends records in messages of the size that honest nodes send.
fn say_all(end: EndRef, records: &[Arc<Record>], deeds: &mut Vec<Deed>) {
    let mut rest = records;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|record| {
            let before = bytes;
            bytes += record.encoded_len();
            before < BATCH_BYTES
        });
        let (batch, others) = rest.split_at(fits.count());
        rest = others;
        deeds.push(Deed::Say(end, Message::Records(batch.to_vec())));
    }
}
