//! The difference between a node's newer record and its older one. It decides how quickly the record is passed on, and what is
//! derived anew.

use std::sync::Arc;

use crate::record::Record;

/// The kind of change that a record brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The node is new here, or lists a new link.
    Gain,
    /// A withdrawn link, or a leave message.
    Withdrawal,
    /// A link misses answers and is not lost yet.
    Suspicion,
    /// Measurements, label or addresses.
    Figures,
}

/// Whether a record is newer than another one of the same node. In a simulator, both are usually the same object.
pub(super) fn is_newer(record: &Arc<Record>, before: &Arc<Record>) -> bool {
    !Arc::ptr_eq(before, record) && before.compare(record).is_lt()
}

/// Compares a node's newer record with its older one.
pub(super) fn compare(old: &Record, new: &Record) -> Change {
    Difference::between(old, new).change(new)
}

/// How the links of two records of a node differ.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Difference {
    pub(super) withdrawn: bool,
    pub(super) gained: bool,
    /// A link is to another run of its peer, or all links are of another run of the node: they count as new links.
    pub(super) renewed: bool,
    suspects: bool,
}

impl Difference {
    /// One walk along both lists, which are in the same order.
    pub(super) fn between(old: &Record, new: &Record) -> Self {
        let mut difference = Self {
            renewed: old.body().run_id != new.body().run_id,
            ..Self::default()
        };
        let mut before = old.body().links.iter().peekable();
        for link in &new.body().links {
            while before.next_if(|old| old.peer < link.peer).is_some() {
                difference.withdrawn = true;
            }
            let same = before.next_if(|old| old.peer == link.peer);
            difference.gained |= same.is_none();
            difference.renewed |= same.is_some_and(|same| same.run != link.run);
            difference.suspects |= link.suspect && same.is_none_or(|same| !same.suspect);
        }
        difference.withdrawn |= before.next().is_some();
        difference
    }

    pub(super) fn change(self, new: &Record) -> Change {
        if new.body().leaving || self.withdrawn {
            Change::Withdrawal
        } else if self.suspects {
            Change::Suspicion
        } else if self.gained || self.renewed {
            Change::Gain
        } else {
            Change::Figures
        }
    }
}
