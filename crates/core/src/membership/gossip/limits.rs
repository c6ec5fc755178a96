//! What a neighbour may send: a peer over a limit is disconnected, with a code, and counted.

use crate::bucket::{Bucket, Rate};
use crate::membership::Time;
use crate::membership::view::MAX_NODES;
use crate::wire::Message;

/// New records: the first fill of the largest network at once, then so many a second. A signature takes 50 µs to verify, so that is a
/// twentieth of a core.
const RECORDS: Rate = Rate {
    burst: MAX_NODES as f64,
    per_s: 1000.0,
};
/// Messages of anti-entropy rounds: each costs a walk over the view.
const ROUNDS: Rate = Rate {
    burst: 64.0,
    per_s: 8.0,
};
/// Messages that name records or change the tree: each costs a look at as many nodes as it names.
const NAMES: Rate = Rate {
    burst: 256.0,
    per_s: 64.0,
};

/// What one neighbour may still send.
#[derive(Debug)]
pub(super) struct Limits {
    records: Bucket,
    rounds: Bucket,
    names: Bucket,
}

impl Limits {
    pub(super) fn new(now: Time) -> Self {
        let full = |rate: Rate| Bucket::holding(now, rate.burst);
        Self {
            records: full(RECORDS),
            rounds: full(ROUNDS),
            names: full(NAMES),
        }
    }

    /// Whether a message is within its limit; else what the neighbour sent too much of. Records are counted once it is known which are
    /// news.
    pub(super) fn admit(&mut self, now: Time, message: &Message) -> Result<(), &'static str> {
        match message {
            Message::Records(_) | Message::Hello(_) => Ok(()),
            Message::Digests { .. } | Message::Versions { .. } | Message::Superfluous(_) => {
                let within = self.rounds.take(now, ROUNDS, 1);
                within.then_some(()).ok_or("digest exchanges")
            }
            Message::Want(_) | Message::Have(_) | Message::Graft(_) | Message::Prune => {
                let within = self.names.take(now, NAMES, 1);
                within.then_some(()).ok_or("words about records")
            }
        }
    }

    /// Whether so many new records are within the limit.
    pub(super) fn admit_news(&mut self, now: Time, news: usize) -> bool {
        news == 0 || self.records.take(now, RECORDS, news)
    }
}
