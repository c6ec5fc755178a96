//! Paths that somebody wants measured now.

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot};

use crate::snapshot::{PingRequest, Pinged, Pings};
use crate::wire::NodeId;

/// The most that wait for one measurement. It bounds memory; each asks at most once at a time.
const MAX_WAITING: usize = 64;

/// A measurement under way.
struct Ping {
    path: Vec<NodeId>,
    waiting: Vec<oneshot::Sender<Pinged>>,
}

/// Those who wait for answers.
pub(super) struct Waiting {
    requests: mpsc::Receiver<PingRequest>,
    /// For readers.
    asker: Pings,
    /// By the number of the measurement. The core has a limit.
    pings: BTreeMap<u64, Ping>,
    last: u64,
}

impl Waiting {
    pub(super) fn new() -> Self {
        let (asker, requests) = mpsc::channel(16);
        Self {
            requests,
            asker,
            pings: BTreeMap::new(),
            last: 0,
        }
    }

    pub(super) fn asker(&self) -> Pings {
        self.asker.clone()
    }

    /// The next path to measure, with the measurement's number. Whoever asks for a path that is being measured gets that answer.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<(u64, Vec<NodeId>)> {
        while let Poll::Ready(Some((path, answer))) = self.requests.poll_recv(cx) {
            let under_way = self.pings.values_mut().find(|ping| ping.path == path);
            let Some(ping) = under_way else {
                self.last += 1;
                let waiting = vec![answer];
                let path_of = path.clone();
                self.pings.insert(self.last, Ping { path, waiting });
                return Some((self.last, path_of));
            };
            // Those who gave up wait no longer.
            ping.waiting.retain(|answer| !answer.is_closed());
            if ping.waiting.len() < MAX_WAITING {
                ping.waiting.push(answer);
            }
        }
        None
    }

    /// A measurement has ended.
    pub(super) fn ended(&mut self, number: u64, rtts_us: &Pinged) {
        let ping = self.pings.remove(&number);
        for answer in ping.into_iter().flat_map(|ping| ping.waiting) {
            // It may have given up.
            answer.send(rtts_us.clone()).ok();
        }
    }
}
