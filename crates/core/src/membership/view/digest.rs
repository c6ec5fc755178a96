//! Sums over ranges of ids, updated with each record, so that no anti-entropy round has to walk over a view; and the digest of
//! all.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::View;
use crate::record::Version;
use crate::wire::{MAX_BUCKETS_LOG2, MAX_SYNC_ENTRIES, NodeId, ShortId, ViewDigest};

impl View {
    /// The fingerprint of a node that is, or was, up changes to another one, or to none.
    pub(super) fn shift_sums(&mut self, id: &NodeId, old: u128, new: u128) {
        self.sum = self.sum.wrapping_sub(old).wrapping_add(new);
        let half = |fingerprint: u128| (fingerprint >> 64) as u64;
        let sum = &mut self.sums[bucket(&id.abbreviated(), MAX_BUCKETS_LOG2)];
        *sum = sum.wrapping_sub(half(old)).wrapping_add(half(new));
    }

    /// The digest that probes carry: of (node, version) for every node that is up.
    #[must_use]
    pub(crate) fn digest(&self) -> ViewDigest {
        if let Some((sum, digest)) = self.digest.get()
            && sum == self.sum
        {
            return digest;
        }
        // Hashed once more, so that nobody can exploit the linearity of the sum.
        let hash = Sha256::digest(self.sum.to_be_bytes());
        let made = ViewDigest(hash[..8].try_into().expect("SHA-256 has 32 bytes"));
        self.digest.set(Some((self.sum, made)));
        made
    }

    /// The number of buckets, as a power of two, with which to compare a view of this size.
    #[must_use]
    pub(crate) fn bucket_log2(&self) -> u8 {
        let buckets = (self.up_count / self.tuning.view.nodes_per_bucket).max(1);
        u8::try_from(buckets.ilog2())
            .expect("at most 31")
            .min(MAX_BUCKETS_LOG2)
    }

    /// The sums of the view's `2^log2` buckets.
    #[must_use]
    pub(crate) fn bucket_sums(&self, log2: u8) -> Vec<u64> {
        let finest = 1 << (MAX_BUCKETS_LOG2 - log2);
        let ranges = self.sums.chunks(finest);
        ranges
            .map(|range| range.iter().copied().fold(0, u64::wrapping_add))
            .collect()
    }

    /// The versions of all nodes that are up in the wanted buckets, as many as fit into a message, and the buckets for which the
    /// list is complete. The list begins with the wanted bucket at `start`.
    #[must_use]
    pub(crate) fn versions_in(
        &self,
        log2: u8,
        wanted: &[u16],
        start: usize,
    ) -> (Vec<u16>, Vec<(ShortId, Version)>) {
        let mut lists: BTreeMap<u16, Vec<(ShortId, Version)>> =
            wanted.iter().map(|&b| (b, Vec::new())).collect();
        for (place, index) in self.nodes_in(log2, wanted) {
            let record = self.record_at(index);
            let list = lists.get_mut(&place).expect("only those were looked for");
            list.push((record.id().abbreviated(), record.version()));
        }
        let (mut buckets, mut versions) = (Vec::new(), Vec::new());
        let count = lists.len();
        for (place, mut list) in lists.into_iter().cycle_from(start, count) {
            if versions.len() + list.len() <= MAX_SYNC_ENTRIES {
                list.sort_unstable_by_key(|(id, _)| *id);
                buckets.push(place);
                versions.extend(list);
            } else if !versions.is_empty() {
                break;
            }
        }
        (buckets, versions)
    }
}

/// The one of `2^log2` ranges of ids that contains this id.
#[must_use]
pub(crate) fn bucket(id: &ShortId, log2: u8) -> usize {
    let top = u16::from_be_bytes([id.0[0], id.0[1]]);
    usize::from(top) >> (16 - u32::from(log2))
}

/// Rotates a sequence so that it begins at another position.
trait CycleFrom: Iterator + Sized {
    fn cycle_from(self, start: usize, len: usize) -> impl Iterator<Item = Self::Item>;
}

impl<I: Iterator> CycleFrom for I {
    fn cycle_from(self, start: usize, len: usize) -> impl Iterator<Item = Self::Item> {
        let mut items: Vec<I::Item> = self.collect();
        if len > 0 {
            items.rotate_left(start % len);
        }
        items.into_iter()
    }
}
