//! What a neighbour may send: a peer over a limit is disconnected, with a code, and counted.

use crate::bucket::{Bucket, Rate};
use crate::membership::Time;
use crate::membership::tuning::gossip::Tuning;
use crate::membership::view::Size;
use crate::wire::Message;

/// What one neighbour may still send.
#[derive(Debug)]
pub(super) struct Limits {
    records: Bucket,
    useless: Bucket,
    rounds: Bucket,
    names: Bucket,
}

impl Limits {
    pub(super) fn new(now: Time, tuning: &Tuning) -> Self {
        let full = |rate: Rate| Bucket::holding(now, rate.burst);
        Self {
            // These have a burst that depends on the view, so they hold more than any until they are first filled.
            records: Bucket::holding(now, f64::MAX),
            useless: Bucket::holding(now, f64::MAX),
            rounds: full(tuning.rounds()),
            names: full(tuning.names()),
        }
    }

    /// Whether a message is within its limit; else the kind of which the neighbour sent too many. Records and figures are counted once it is
    /// known which are news.
    pub(super) fn admit(
        &mut self,
        now: Time,
        message: &Message,
        tuning: &Tuning,
    ) -> Result<(), &'static str> {
        match message {
            // A rendezvous has a limit of its own: what exceeds it is not passed on.
            Message::Records(_) | Message::Figures(_) | Message::Hello(_) | Message::Meet(_) => {
                Ok(())
            }
            Message::Digests { .. }
            | Message::Versions { .. }
            | Message::Superfluous(_)
            | Message::Revocations(_)
            | Message::Observed(_) => {
                let within = self.rounds.take(now, tuning.rounds(), 1);
                within
                    .then_some(())
                    .ok_or("messages of anti-entropy rounds")
            }
            Message::Request(_) | Message::Have(_) | Message::Graft(_) | Message::Prune => {
                let within = self.names.take(now, tuning.names(), 1);
                within.then_some(()).ok_or("messages that name records")
            }
        }
    }

    /// Whether so many new records or figures, each with a signature to verify, are within the limit.
    pub(super) fn admit_news(
        &mut self,
        now: Time,
        news: usize,
        tuning: &Tuning,
        size: Size,
    ) -> bool {
        news == 0 || self.records.take(now, tuning.new_records(size), news)
    }

    /// Whether so many bytes of records that are known already, or are not taken, are within the limit.
    pub(super) fn admit_useless(
        &mut self,
        now: Time,
        bytes: usize,
        tuning: &Tuning,
        size: Size,
    ) -> bool {
        bytes == 0 || self.useless.take(now, tuning.useless(size), bytes)
    }
}
