//! A view that was put together from frames.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::frame::{Figures, Frame, Link, Node, Told};
use crate::snapshot::{EndFigures, LinkView, NodeView, Rejected, Snapshot};
use crate::wire::NodeId;

/// Why a frame can't be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// A history begins with a keyframe.
    #[error("the first frame is not a keyframe")]
    NoKeyframe,
    /// It names a node that is not there.
    #[error("there is no node of the number {0}")]
    NoNode(u32),
    /// It names a link that is not there.
    #[error("there is no link of the number {0}")]
    NoLink(u32),
    /// A link has one end.
    #[error("the link of the number {0} leads from a node to itself")]
    OneEnd(u32),
    /// Time runs backwards.
    #[error("its time is before that of the frame before it")]
    Backwards,
    /// Two nodes have one id.
    #[error("two nodes have the id {0}")]
    OneId(NodeId),
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Picture {
    network: Arc<str>,
    at_ms: i64,
    origin_ms: i64,
    me: Option<u32>,
    cut_off: bool,
    impaired: Option<Arc<str>>,
    nodes: BTreeMap<u32, Node>,
    /// The links, with the time of the frame that their measurements came in.
    links: BTreeMap<u32, (Link, i64)>,
    differing: Vec<(u32, i64)>,
    rejected: BTreeMap<Cow<'static, str>, u64>,
}

impl Picture {
    /// The view of a node of that network, before the first frame.
    #[must_use]
    pub fn new(network: Arc<str>) -> Self {
        Self {
            network,
            at_ms: 0,
            origin_ms: 0,
            me: None,
            cut_off: false,
            impaired: None,
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            differing: Vec::new(),
            rejected: BTreeMap::new(),
        }
    }

    /// The time of the last frame, in ms since the start of the node.
    #[must_use]
    pub fn at_ms(&self) -> i64 {
        self.at_ms
    }

    /// The number of the node whose view this is.
    #[must_use]
    pub fn me(&self) -> Option<u32> {
        self.me
    }

    /// The nodes, by number.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The node of that number.
    #[must_use]
    pub fn node(&self, n: u32) -> Option<&Node> {
        self.nodes.get(&n)
    }

    /// The node with that id.
    #[must_use]
    pub fn find(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.values().find(|node| node.id == *id)
    }

    /// The links, by number, each with the time of its measurement in ms since the start of the node whose view this is.
    pub fn links(&self) -> impl Iterator<Item = (&Link, i64)> {
        self.links.values().map(|(link, frame_ms)| {
            let measured_ms = frame_ms.saturating_sub(link.figures.age_ms);
            (link, measured_ms)
        })
    }

    /// The link between these two nodes, whoever dialed.
    #[must_use]
    pub fn link(&self, one: u32, other: u32) -> Option<&Link> {
        let mut links = self.links.values().map(|(link, _)| link);
        links.find(|link| {
            (link.dialer, link.listener) == (one, other)
                || (link.dialer, link.listener) == (other, one)
        })
    }

    /// When each link of the node whose view this is was first seen, by peer, in ms since the start of that node.
    #[must_use]
    pub fn own_links_since(&self) -> BTreeMap<NodeId, i64> {
        let own = self.links.values().filter_map(|(link, _)| {
            let peer = match self.me? {
                me if me == link.dialer => link.listener,
                me if me == link.listener => link.dialer,
                _ => return None,
            };
            Some((self.node(peer)?.id, link.since_ms))
        });
        own.collect()
    }

    /// Applies a frame.
    ///
    /// # Errors
    /// When the frame doesn't follow from the ones before. The view is useless then.
    pub fn apply(&mut self, frame: Frame) -> Result<(), BadFrame> {
        if let Some(me) = frame.whole {
            *self = Self {
                me: Some(me),
                origin_ms: self.origin_ms,
                ..Self::new(self.network.clone())
            };
        }
        let me = self.me.ok_or(BadFrame::NoKeyframe)?;
        self.at_ms = frame.at_ms;
        self.origin_ms = frame.origin_ms.unwrap_or(self.origin_ms);
        self.cut_off = frame.cut_off.unwrap_or(self.cut_off);
        if let Some(impaired) = frame.impaired {
            self.impaired = impaired;
        }
        for n in frame.forgotten {
            self.nodes.remove(&n).ok_or(BadFrame::NoNode(n))?;
        }
        for node in frame.nodes {
            self.nodes.insert(node.n, node);
        }
        for change in frame.changed {
            let n = change.n;
            let node = self.nodes.get_mut(&n).ok_or(BadFrame::NoNode(n))?;
            if let Some(label) = change.label {
                node.label = label;
            }
            if let Some(addrs) = change.addrs {
                node.addrs = addrs;
            }
            if let Some((state, since_ms, told)) = change.state {
                (node.state, node.since_ms, node.told) = (state, since_ms, told);
            }
        }
        self.apply_links(frame.at_ms, &frame.links, &frame.suspect, &frame.figures)?;
        self.apply_ends(&frame.others, &frame.disputed)?;
        for gone in frame.gone {
            self.links.remove(&gone.l).ok_or(BadFrame::NoLink(gone.l))?;
        }
        if let Some(differing) = frame.differing {
            self.differing = differing;
        }
        self.rejected.extend(frame.rejected);
        self.nodes
            .contains_key(&me)
            .then_some(())
            .ok_or(BadFrame::NoNode(me))
    }

    fn apply_links(
        &mut self,
        at_ms: i64,
        links: &[Link],
        suspect: &[(u32, bool)],
        figures: &[(u32, Figures)],
    ) -> Result<(), BadFrame> {
        for link in links {
            if link.dialer == link.listener {
                return Err(BadFrame::OneEnd(link.l));
            }
            for end in [link.dialer, link.listener] {
                self.node(end).ok_or(BadFrame::NoNode(end))?;
            }
            self.links.insert(link.l, (*link, at_ms));
        }
        for (l, suspect) in suspect {
            let (link, _) = self.links.get_mut(l).ok_or(BadFrame::NoLink(*l))?;
            link.suspect = *suspect;
        }
        for (l, figures) in figures {
            let (link, measured) = self.links.get_mut(l).ok_or(BadFrame::NoLink(*l))?;
            (link.figures, *measured) = (*figures, at_ms);
        }
        Ok(())
    }

    fn apply_ends(
        &mut self,
        others: &[(u32, Option<EndFigures>)],
        disputed: &[(u32, Option<i64>)],
    ) -> Result<(), BadFrame> {
        for (l, other) in others {
            let (link, _) = self.links.get_mut(l).ok_or(BadFrame::NoLink(*l))?;
            link.other = *other;
        }
        for (l, since_ms) in disputed {
            let (link, _) = self.links.get_mut(l).ok_or(BadFrame::NoLink(*l))?;
            link.disputed_ms = *since_ms;
        }
        Ok(())
    }

    /// The view as a snapshot: exactly the one that the last frame was made from.
    ///
    /// # Errors
    /// When the frames contradict each other: those of a recording that somebody has edited.
    pub fn snapshot(&self) -> Result<Snapshot, BadFrame> {
        let me = self.me.ok_or(BadFrame::NoKeyframe)?;
        let mut shown: Vec<&Node> = self.nodes.values().collect();
        shown.sort_unstable_by_key(|node| node.id);
        if let Some(twins) = shown.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(BadFrame::OneId(twins[0].id));
        }
        let places: BTreeMap<u32, usize> = shown
            .iter()
            .enumerate()
            .map(|(place, node)| (node.n, place))
            .collect();
        let place = |n: u32| places.get(&n).copied().ok_or(BadFrame::NoNode(n));
        let mut links = Vec::with_capacity(self.links.len());
        for (link, at_ms) in self.links.values() {
            links.push(LinkView {
                dialer: place(link.dialer)?,
                listener: place(link.listener)?,
                rtt_us: link.figures.rtt_us,
                rtt_at_ms: at_ms.saturating_sub(link.figures.age_ms),
                rtt_stale: link.figures.stale,
                loss_permille: link.figures.loss_permille,
                suspect: link.suspect,
                other: link.other,
                disputed_ms: link.disputed_ms,
            });
        }
        links.sort_by_key(|link| (link.dialer, link.listener));
        // A neighbour that is shown no longer differs in nothing.
        let differing = self.differing.iter();
        let differing = differing.filter_map(|(n, since)| Some((*places.get(n)?, *since)));
        let mut differing: Vec<_> = differing.collect();
        differing.sort_unstable();
        let rejected = self.rejected.iter();
        Ok(Snapshot {
            differing,
            me: place(me)?,
            at_ms: self.at_ms,
            origin_ms: self.origin_ms,
            network: self.network.clone(),
            cut_off: self.cut_off,
            impaired: self.impaired.clone(),
            nodes: shown.into_iter().map(node_view).collect(),
            links,
            rejected: Rejected(
                rejected
                    .map(|(name, count)| (name.clone(), *count))
                    .collect(),
            ),
        })
    }

    /// The view as the difference from nothing.
    ///
    /// # Panics
    /// Before the first frame.
    #[must_use]
    pub fn keyframe(&self) -> Frame {
        let at_ms = self.at_ms;
        let links = self.links.values().map(|(link, measured)| {
            let mut link = *link;
            link.figures.age_ms = link
                .figures
                .age_ms
                .saturating_add(at_ms.saturating_sub(*measured));
            link
        });
        let rejected = self.rejected.iter();
        Frame {
            at_ms,
            whole: Some(self.me.expect("there was a frame")),
            origin_ms: Some(self.origin_ms),
            cut_off: Some(self.cut_off),
            impaired: Some(self.impaired.clone()),
            nodes: self.nodes.values().cloned().collect(),
            links: links.collect(),
            differing: Some(self.differing.clone()),
            rejected: rejected
                .map(|(name, count)| (name.clone(), *count))
                .collect(),
            ..Frame::default()
        }
    }

    /// The ids of an origin: of the node that noticed, and of the neighbour that brought the news.
    #[must_use]
    pub fn origin(&self, told: Told) -> Option<(NodeId, Option<NodeId>)> {
        let by = self.node(told.by)?.id;
        let via = told.via.and_then(|via| self.node(via)).map(|via| via.id);
        Some((by, via))
    }
}

fn node_view(node: &Node) -> NodeView {
    NodeView {
        id: node.id,
        label: node.label.clone(),
        addrs: node.addrs.clone(),
        state: node.state,
        since_ms: node.since_ms,
    }
}
