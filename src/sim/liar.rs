//! A Byzantine node. Its core is honest; false statements about records are added to the messages that it sends.
//!
//! It makes no statement that nobody could refute: a node may list links and add nodes of its own under keys of its own, and no other node can tell. So
//! its lies are those that others can detect: about third parties, about itself under a version that it already used, and about which
//! records it has. Some of them cost it links, and the views of the others stay right.

use std::sync::Arc;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::key::Key;
use super::places::NETWORK;
use crate::record::{Body, Record, Version};
use crate::wire::{Message, ShortId};

/// One message in this many contains a lie.
const RARELY: u32 = 3;
/// The number of old records that are kept for replay.
const KEPT: usize = 64;

/// The behaviour of a Byzantine node, which it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// It forges leave messages of others, which it can't sign.
    Forges,
    /// It replays old records.
    Replays,
    /// It signs a second record under the version of its last one.
    SignsTwice,
    /// It announces versions that do not exist.
    Invents,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Liar {
    habit: Habit,
    kept: Vec<Arc<Record>>,
}

impl Liar {
    pub(super) fn by_lot(rng: &mut ChaCha8Rng) -> Self {
        let habits = [
            Habit::Forges,
            Habit::Replays,
            Habit::SignsTwice,
            Habit::Invents,
        ];
        Self {
            habit: habits[rng.random_range(0..habits.len())],
            kept: Vec::new(),
        }
    }

    /// The message that is sent in place of this one.
    pub(super) fn twist(
        &mut self,
        mut message: Message,
        own: &Record,
        key: &Key,
        rng: &mut ChaCha8Rng,
    ) -> Message {
        if let Message::Records(records) = &message {
            self.keep(records, rng);
        }
        if rng.random_ratio(1, RARELY) {
            match &mut message {
                Message::Records(records) => records.extend(self.lie(records, own, key, rng)),
                Message::Have(entries) | Message::Versions { entries, .. } => {
                    self.invent(entries, rng);
                }
                Message::Hello(_)
                | Message::Digests { .. }
                | Message::Request(_)
                | Message::Superfluous(_)
                | Message::Graft(_)
                | Message::Prune
                | Message::Figures(_)
                | Message::Revocations(_)
                | Message::Observed(_)
                | Message::Meet(_) => {}
            }
        }
        message
    }

    fn keep(&mut self, records: &[Arc<Record>], rng: &mut ChaCha8Rng) {
        for record in records {
            if self.kept.len() < KEPT {
                self.kept.push(record.clone());
            } else if rng.random_ratio(1, 8) {
                self.kept[rng.random_range(0..KEPT)] = record.clone();
            }
        }
    }

    fn lie(
        &self,
        records: &[Arc<Record>],
        own: &Record,
        key: &Key,
        rng: &mut ChaCha8Rng,
    ) -> Option<Arc<Record>> {
        match self.habit {
            Habit::Forges => {
                let victim = records.iter().find(|record| record.id() != own.id())?;
                let farewell = Body {
                    seq: victim.body().seq + 1,
                    links: Vec::new(),
                    leaving: true,
                    ..victim.body().clone()
                };
                let signed = postcard::to_stdvec(&farewell).expect("a body encodes");
                let record = Record::from_parts(signed, rng.random::<[u8; 64]>());
                Some(record.expect("it is shorter than the true one"))
            }
            Habit::Replays if self.kept.is_empty() => None,
            Habit::Replays => Some(self.kept[rng.random_range(0..self.kept.len())].clone()),
            Habit::SignsTwice => {
                let body = Body {
                    label: format!("one of {}", rng.random_range(0..1000)).into(),
                    ..own.body().clone()
                };
                Some(Record::sign(body, NETWORK, key))
            }
            Habit::Invents => None,
        }
    }

    fn invent(&self, entries: &mut [(ShortId, Version)], rng: &mut ChaCha8Rng) {
        if self.habit == Habit::Invents && !entries.is_empty() {
            let at = rng.random_range(0..entries.len());
            entries[at].1.seq += rng.random_range(1..1000);
        }
    }
}
