//! Where news came from: the links that records added and withdrew lately.

use std::collections::VecDeque;

use super::frame::Told;
use crate::membership::LinkNews;
use crate::snapshot::{NodeState, NodeView, Snapshot};
use crate::wire::NodeId;

/// How long a change is remembered, in ms. A node is unreachable once all its neighbours have withdrawn their links, the slowest of
/// them after half a minute of silence. At half of this, the first of them may be forgotten by then; twice of it costs memory only.
const REMEMBERED_MS: i64 = 60_000;

/// The most changes that are remembered. It bounds memory to some 200 kB while a network of thousands comes into view; the changes
/// that are forgotten then have no origin. Half of it would do for a few hundred nodes.
const MAX_REMEMBERED: usize = 1024;

/// The changes that explain others, oldest first.
#[derive(Debug, Default)]
pub struct News {
    heard: VecDeque<(i64, LinkNews)>,
}

/// The origin of a change, by ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The node whose record was the first to say so.
    pub by: NodeId,
    /// The neighbour that brought that record. `None`: it is this node's own.
    pub via: Option<NodeId>,
}

impl Origin {
    /// The same by the numbers of the snapshot's nodes; `None` if the node is not among them.
    pub(super) fn numbered(
        self,
        snapshot: &Snapshot,
        numbers: &[(u32, Option<Told>)],
    ) -> Option<Told> {
        let number = |id: &NodeId| {
            let place = snapshot.nodes.binary_search_by_key(id, |node| node.id);
            place.ok().map(|place| numbers[place].0)
        };
        Some(Told {
            by: number(&self.by)?,
            via: self.via.and_then(|via| number(&via)),
        })
    }
}

impl News {
    /// Remembers a change.
    pub fn hear(&mut self, at_ms: i64, news: LinkNews) {
        while let Some((first, _)) = self.heard.front()
            && (self.heard.len() >= MAX_REMEMBERED || at_ms - first > REMEMBERED_MS)
        {
            self.heard.pop_front();
        }
        self.heard.push_back((at_ms, news));
    }

    /// Why a node has the state that it has.
    pub(super) fn of_node(&self, node: &NodeView) -> Option<Origin> {
        self.of_flip(&node.id, node.state == NodeState::Up)
    }

    /// Why a node went up or down: the first change that named it.
    #[must_use]
    pub fn of_flip(&self, id: &NodeId, is_up: bool) -> Option<Origin> {
        let short = id.abbreviated();
        let explains = |news: &LinkNews| {
            let peers = if is_up { &news.added } else { &news.withdrawn };
            peers.contains(&short) || news.by == *id && !peers.is_empty()
        };
        // A change from before the node was last up explains nothing of what happened to it since.
        let mut first = None;
        for (_, news) in self.heard.iter().rev() {
            if explains(news) {
                first = Some(news);
            } else if first.is_some() && opposes(news, is_up, id) {
                break;
            }
        }
        // A node whose only way led through others goes with them: the last withdrawal was one too many.
        let last = self.heard.iter().rev().map(|(_, news)| news);
        let last = last
            .filter(|_| !is_up)
            .find(|news| !news.withdrawn.is_empty());
        first.or(last).map(origin)
    }

    /// Why a link is gone: the first change that withdrew it.
    pub(super) fn of_link(&self, dialer: &NodeId, listener: &NodeId) -> Option<Origin> {
        let ends = [(dialer, listener), (listener, dialer)];
        let withdraws = |news: &LinkNews| {
            ends.iter()
                .any(|(by, peer)| news.by == **by && news.withdrawn.contains(&peer.abbreviated()))
        };
        let adds = |news: &LinkNews| {
            ends.iter()
                .any(|(by, peer)| news.by == **by && news.added.contains(&peer.abbreviated()))
        };
        let mut first = None;
        for (_, news) in self.heard.iter().rev() {
            if withdraws(news) {
                first = Some(news);
            } else if first.is_some() && adds(news) {
                break;
            }
        }
        first.map(origin)
    }
}

/// Whether a change tells the opposite of what is to be explained.
fn opposes(news: &LinkNews, is_up: bool, id: &NodeId) -> bool {
    let peers = if is_up { &news.withdrawn } else { &news.added };
    peers.contains(&id.abbreviated())
}

fn origin(news: &LinkNews) -> Origin {
    Origin {
        by: news.by,
        via: news.via,
    }
}
