//! News whose signatures are not verified yet.
//!
//! Records wait here until the inputs that are there already have been handled. Then the newest record of each node is verified first, many
//! at a time: the older ones need no verification, which is the most expensive part. So a busy node skips versions in place of falling
//! behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use crate::membership::Time;
use crate::record::{Record, Version};
use crate::wire::{NodeId, ShortId};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// With the neighbours that brought them.
    records: BTreeMap<NodeId, Vec<(Arc<Record>, NodeId)>>,
    since: Option<Time>,
}

impl Inbox {
    pub(super) fn put(&mut self, now: Time, record: Arc<Record>, from: NodeId) {
        let records = self.records.entry(record.id()).or_default();
        records.push((record, from));
        self.since.get_or_insert(now);
    }

    /// Since when something waits.
    pub(super) fn since(&self) -> Option<Time> {
        self.since
    }

    /// Takes out all that waits, verified, of each node the newest record first; those that turned out to be forged among them. So many
    /// signatures are verified `together`.
    pub(super) fn take(
        &mut self,
        network: &str,
        together: usize,
        rng: &mut ChaCha8Rng,
    ) -> Option<Vec<(Arc<Record>, NodeId)>> {
        self.since.take()?;
        let mut records = std::mem::take(&mut self.records);
        for records in records.values_mut() {
            records.sort_by(|(a, _), (b, _)| b.compare(a));
        }
        let newest = records.values().filter_map(|records| records.first());
        let newest: Vec<&Record> = newest.map(|(record, _)| &**record).collect();
        for batch in newest.chunks(together) {
            Record::verify_all(batch.iter().copied(), network, &mut *rng);
        }
        Some(records.into_values().flatten().collect())
    }

    /// Whether a record of that node waits that is no older than that version.
    pub(super) fn holds(&self, short: &ShortId, version: Version) -> bool {
        let mut least = NodeId([0; 32]);
        least.0[..16].copy_from_slice(&short.0);
        let first = self.records.range(least..).next();
        let records = first.filter(|(id, _)| id.abbreviated() == *short);
        records.is_some_and(|(_, records)| {
            records
                .iter()
                .any(|(record, _)| record.version() >= version)
        })
    }
}
