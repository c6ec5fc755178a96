//! A door for benchmarks: operations of a node's view that [`Core`](super::Core) does not offer one by one.
//!
//! A core that is benchmarked for minutes needs somebody who answers its probes, and would measure the answers. Nothing but
//! `benches/` uses this module.

use std::sync::Arc;

use super::Time;
use super::view::{Index, Outcome, View};
use crate::record::Record;
use crate::wire::{NodeId, ViewDigest};

/// The view of a node, without the node.
#[derive(Debug)]
pub struct BenchView {
    view: View,
    links: Vec<Index>,
}

impl BenchView {
    /// The view of a node that knows itself alone.
    #[must_use]
    pub fn new(own: Arc<Record>) -> Self {
        Self {
            view: View::new(own),
            links: Vec::new(),
        }
    }

    /// Takes a verified record. Returns the older one in whose place it is, which the caller may drop outside of what it measures.
    pub fn accept(&mut self, record: Arc<Record>, now: Time) -> Option<Arc<Record>> {
        match self.view.accept(record, now, None, true) {
            Outcome::Newer(_, _, before) => before.map(|before| before.record),
            Outcome::Same(_) | Outcome::Older(_) | Outcome::Full => None,
        }
    }

    /// The node has links with these peers, where it knows them, and with no others.
    pub fn set_links(&mut self, peers: &[NodeId]) {
        let indices = peers
            .iter()
            .map(|peer| self.view.index(&peer.abbreviated()));
        self.links = indices.flatten().collect();
    }

    /// Derives which nodes are up. Returns how many came up or went down.
    pub fn derive_up(&mut self, now: Time) -> usize {
        self.view.derive_up(now, &self.links).len()
    }

    /// The number of nodes that are up, this one included.
    #[must_use]
    pub fn up_count(&self) -> usize {
        self.view.up_count()
    }

    /// The digest of the view.
    #[must_use]
    pub fn digest(&self) -> ViewDigest {
        self.view.digest()
    }

    /// The sums of all ranges, as in [`Message::Digests`](crate::wire::Message::Digests).
    #[must_use]
    pub fn range_sums(&self) -> Vec<u64> {
        self.view.bucket_sums(self.view.bucket_log2())
    }

    /// The number of versions in one range.
    #[must_use]
    pub fn versions_in(&self, range: u16) -> usize {
        let log2 = self.view.bucket_log2();
        self.view.versions_in(log2, &[range], 0).1.len()
    }
}
