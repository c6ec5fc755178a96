//! Round-trip times that somebody wants to know now.

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot};

use crate::snapshot::{PingRequest, Pings};
use crate::wire::NodeId;

/// The most that wait for one peer. It bounds memory; each asks at most once at a time.
const MAX_WAITING: usize = 64;

/// Those who wait for answers.
pub(super) struct Waiting {
    requests: mpsc::Receiver<PingRequest>,
    /// For readers.
    asker: Pings,
    peers: BTreeMap<NodeId, Vec<oneshot::Sender<Option<u32>>>>,
}

impl Waiting {
    pub(super) fn new() -> Self {
        let (asker, requests) = mpsc::channel(16);
        Self {
            requests,
            asker,
            peers: BTreeMap::new(),
        }
    }

    pub(super) fn asker(&self) -> Pings {
        self.asker.clone()
    }

    /// The next peer to probe.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<NodeId> {
        let Poll::Ready(Some((peer, answer))) = self.requests.poll_recv(cx) else {
            return None;
        };
        let waiting = self.peers.entry(peer).or_default();
        // Those who gave up wait no longer.
        waiting.retain(|answer| !answer.is_closed());
        if waiting.len() < MAX_WAITING {
            waiting.push(answer);
        }
        Some(peer)
    }

    /// A peer has answered.
    pub(super) fn answered(&mut self, peer: &NodeId, rtt_us: Option<u32>) {
        for answer in self.peers.remove(peer).into_iter().flatten() {
            // It may have given up.
            answer.send(rtt_us).ok();
        }
    }
}
