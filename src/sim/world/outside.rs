//! Access to whole nodes for tests: their snapshots, tasks on their hosts, and their datagrams.

use std::net::SocketAddr;

use quinn::Runtime as _;

use super::World;
use crate::admission::Keys;
use crate::membership::Time;
use crate::node;
use crate::sim::host::Body;
use crate::sim::whole::{Running, lock};
use crate::snapshot::SnapshotReader;

/// A datagram that a whole node sends.
#[derive(Debug, Clone, Copy)]
pub struct SentDatagram<'a> {
    /// When it is sent.
    pub at: Time,
    /// The place of the sender.
    pub from: usize,
    /// The destination.
    pub to: SocketAddr,
    /// The payload of UDP.
    pub bytes: &'a [u8],
    /// It carries the mark of ECN.
    pub marked: bool,
}

/// Is shown datagrams as they are sent.
pub type Wiretap = Box<dyn FnMut(SentDatagram<'_>)>;

impl World {
    /// A reader of the whole node's snapshots. `None`: no whole node runs there, or it is leaving.
    #[must_use]
    pub fn reader(&self, place: usize) -> Option<SnapshotReader> {
        let running = self.running_whole(place)?;
        lock(&running.node).as_ref().map(node::Node::reader)
    }

    /// Gives a place its network keys, from its next start on.
    ///
    /// # Panics
    /// When the nodes are no whole nodes.
    pub fn set_keys(&mut self, place: usize, keys: Keys) {
        let whole = self.whole.as_mut().expect("whole nodes run here");
        whole.keys.insert(place, keys);
    }

    /// Runs a task on the host of a whole node. The task is paused with the node, and ends with the node at the latest.
    ///
    /// # Panics
    /// When no whole node runs there.
    pub fn run_beside(&self, place: usize, task: impl Future<Output = ()> + Send + 'static) {
        let running = self.running_whole(place);
        let running = running.expect("a whole node runs there");
        running.runtime.spawn(Box::pin(task));
    }

    fn running_whole(&self, place: usize) -> Option<&Running> {
        match self.nodes[place].body.as_ref()? {
            Body::Core(_) => None,
            Body::Whole(running) => Some(running),
        }
    }
}
