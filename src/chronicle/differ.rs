//! Compares snapshots.

use std::cmp::Ordering;
use std::sync::Arc;

use super::frame::{Figures, Frame, Link, LinkGone, Node, NodeChange, Told};
use super::news::News;
use crate::snapshot::{LinkView, NodeView, Snapshot};
use crate::wire::NodeId;

/// Compares each snapshot with the one before it, and numbers nodes and links.
#[derive(Debug, Default)]
pub struct Differ {
    last: Option<Arc<Snapshot>>,
    /// The number of each node of the last snapshot, and why its state is what it is.
    nodes: Vec<(u32, Option<Told>)>,
    /// The number of each link of the last snapshot, and when it was first seen.
    links: Vec<(u32, i64)>,
    next_node: u32,
    next_link: u32,
}

impl Differ {
    /// The snapshot that was compared last.
    #[must_use]
    pub fn last(&self) -> Option<&Arc<Snapshot>> {
        self.last.as_ref()
    }

    /// The nodes of the last snapshot, with their numbers.
    pub fn numbers(&self) -> impl Iterator<Item = (&NodeId, u32)> {
        let nodes = self.last.iter().flat_map(|last| &last.nodes);
        nodes.zip(&self.nodes).map(|(node, (n, _))| (&node.id, *n))
    }

    /// The difference of this snapshot from the last one; a keyframe for the first one, and for one of another node's view, in which
    /// nodes and links keep their numbers. `news` explains changes.
    pub fn next(&mut self, snapshot: &Arc<Snapshot>, news: &News) -> Frame {
        let Some(last) = self.last.take() else {
            self.take_all(snapshot);
            self.last = Some(Arc::clone(snapshot));
            return self.keyframe().expect("there is a snapshot");
        };
        let mut frame = Frame {
            at_ms: snapshot.at_ms,
            origin_ms: (snapshot.origin_ms != last.origin_ms).then_some(snapshot.origin_ms),
            cut_off: (snapshot.cut_off != last.cut_off).then_some(snapshot.cut_off),
            impaired: (snapshot.impaired != last.impaired).then(|| snapshot.impaired.clone()),
            ..Frame::default()
        };
        let before = self.differing(&last);
        self.compare_nodes(&last, snapshot, news, &mut frame);
        self.compare_links(&last, snapshot, news, &mut frame);
        if snapshot.rejected != last.rejected {
            let before = &last.rejected.0;
            let rejected = snapshot.rejected.0.iter();
            frame.rejected = rejected
                .filter(|counter| !before.contains(counter))
                .cloned()
                .collect();
        }
        let differing = self.differing(snapshot);
        if differing != before {
            frame.differing = Some(differing);
        }
        self.last = Some(Arc::clone(snapshot));
        if last.nodes[last.me].id != snapshot.nodes[snapshot.me].id {
            // What the other node was told explains nothing of what this one sees.
            for (_, told) in &mut self.nodes {
                *told = None;
            }
            return self.keyframe().expect("there is a snapshot");
        }
        frame
    }

    /// The neighbours whose view differs, by number.
    fn differing(&self, snapshot: &Snapshot) -> Vec<(u32, i64)> {
        let differing = snapshot.differing.iter();
        let numbered =
            differing.filter_map(|(place, since)| Some((self.nodes.get(*place)?.0, *since)));
        numbered.collect()
    }

    /// The last snapshot as the difference from nothing, with the numbers that were given. `None` before the first one.
    #[must_use]
    pub fn keyframe(&self) -> Option<Frame> {
        let last = self.last.as_deref()?;
        let nodes = last.nodes.iter().zip(&self.nodes);
        let links = last.links.iter().zip(&self.links);
        Some(Frame {
            at_ms: last.at_ms,
            whole: Some(self.nodes[last.me].0),
            origin_ms: Some(last.origin_ms),
            cut_off: Some(last.cut_off),
            impaired: Some(last.impaired.clone()),
            nodes: nodes
                .map(|(node, (n, told))| whole_node(node, *n, *told))
                .collect(),
            links: links
                .map(|(link, (l, since_ms))| {
                    let ends = (self.nodes[link.dialer].0, self.nodes[link.listener].0);
                    whole_link(last, link, ends, (*l, *since_ms))
                })
                .collect(),
            differing: Some(self.differing(last)),
            rejected: last.rejected.0.clone(),
            ..Frame::default()
        })
    }

    /// Numbers everything in the first snapshot.
    fn take_all(&mut self, snapshot: &Snapshot) {
        let links = snapshot.links.iter();
        self.nodes = snapshot
            .nodes
            .iter()
            .map(|_| (next(&mut self.next_node), None))
            .collect();
        self.links = links
            .map(|_| (next(&mut self.next_link), snapshot.at_ms))
            .collect();
    }

    /// Walks along both lists of nodes, which are sorted by id.
    fn compare_nodes(&mut self, last: &Snapshot, new: &Snapshot, news: &News, frame: &mut Frame) {
        let mut numbers = Vec::with_capacity(new.nodes.len());
        let mut before = last.nodes.iter().zip(&self.nodes).peekable();
        // Those that came or changed their state: why is found out once all have numbers.
        let mut asked = Vec::new();
        for node in &new.nodes {
            while let Some((_, (n, _))) = before.next_if(|(old, _)| old.id < node.id) {
                frame.forgotten.push(*n);
            }
            let Some((old, (n, told))) = before.next_if(|(old, _)| old.id == node.id) else {
                asked.push((numbers.len(), Ok(frame.nodes.len())));
                let n = next(&mut self.next_node);
                frame.nodes.push(whole_node(node, n, None));
                numbers.push((n, None));
                continue;
            };
            numbers.push((*n, *told));
            if old == node {
                continue;
            }
            let flips = (old.state, old.since_ms) != (node.state, node.since_ms);
            if flips {
                asked.push((numbers.len() - 1, Err(frame.changed.len())));
            }
            frame.changed.push(NodeChange {
                n: *n,
                label: (old.label != node.label).then(|| node.label.clone()),
                addrs: (old.addrs != node.addrs).then(|| node.addrs.clone()),
                state: flips.then_some((node.state, node.since_ms, None)),
            });
        }
        frame.forgotten.extend(before.map(|(_, (n, _))| *n));
        for (place, to) in asked {
            let told = news
                .of_node(&new.nodes[place])
                .and_then(|heard| heard.numbered(new, &numbers));
            numbers[place].1 = told;
            match to {
                Ok(at) => frame.nodes[at].told = told,
                Err(at) => {
                    if let Some((_, _, why)) = &mut frame.changed[at].state {
                        *why = told;
                    }
                }
            }
        }
        self.nodes = numbers;
    }

    /// Walks along both lists of links, which are sorted by the places of their ends. Places may have moved, and their order is
    /// that of the ids.
    fn compare_links(&mut self, last: &Snapshot, new: &Snapshot, news: &News, frame: &mut Frame) {
        let mut numbers = Vec::with_capacity(new.links.len());
        let mut before = last.links.iter().zip(&self.links).peekable();
        let ends = |snapshot: &Snapshot, link: &LinkView| {
            let id = |place: usize| snapshot.nodes[place].id;
            (id(link.dialer), id(link.listener))
        };
        let gone = |old: &LinkView, l: u32| {
            let (dialer, listener) = ends(last, old);
            let told = news
                .of_link(&dialer, &listener)
                .and_then(|heard| heard.numbered(new, &self.nodes));
            LinkGone { l, told }
        };
        for link in &new.links {
            let place = ends(new, link);
            let same = loop {
                match before.peek().map(|(old, _)| ends(last, old).cmp(&place)) {
                    Some(Ordering::Less) => {
                        let (old, (l, _)) = before.next().expect("it was there");
                        frame.gone.push(gone(old, *l));
                    }
                    Some(Ordering::Equal) => break before.next(),
                    Some(Ordering::Greater) | None => break None,
                }
            };
            let Some((old, (l, since_ms))) = same else {
                let number = (next(&mut self.next_link), new.at_ms);
                let ends = (self.nodes[link.dialer].0, self.nodes[link.listener].0);
                frame.links.push(whole_link(new, link, ends, number));
                numbers.push(number);
                continue;
            };
            numbers.push((*l, *since_ms));
            if old.suspect != link.suspect {
                frame.suspect.push((*l, link.suspect));
            }
            if old.other != link.other {
                frame.others.push((*l, link.other));
            }
            if old.disputed_ms != link.disputed_ms {
                frame.disputed.push((*l, link.disputed_ms));
            }
            let measured = |link: &LinkView| {
                let LinkView {
                    rtt_us,
                    rtt_at_ms,
                    rtt_stale,
                    loss_permille,
                    ..
                } = link;
                (*rtt_us, *rtt_at_ms, *rtt_stale, *loss_permille)
            };
            if measured(old) != measured(link) {
                frame.figures.push((*l, figures(new, link)));
            }
        }
        let rest: Vec<LinkGone> = before.map(|(old, (l, _))| gone(old, *l)).collect();
        frame.gone.extend(rest);
        self.links = numbers;
    }
}

fn next(counter: &mut u32) -> u32 {
    let number = *counter;
    *counter += 1;
    number
}

fn whole_node(node: &NodeView, n: u32, told: Option<Told>) -> Node {
    Node {
        n,
        id: node.id,
        label: node.label.clone(),
        addrs: node.addrs.clone(),
        state: node.state,
        since_ms: node.since_ms,
        told,
    }
}

fn whole_link(
    snapshot: &Snapshot,
    link: &LinkView,
    (dialer, listener): (u32, u32),
    (l, since_ms): (u32, i64),
) -> Link {
    Link {
        l,
        dialer,
        listener,
        since_ms,
        figures: figures(snapshot, link),
        suspect: link.suspect,
        other: link.other,
        disputed_ms: link.disputed_ms,
    }
}

fn figures(snapshot: &Snapshot, link: &LinkView) -> Figures {
    Figures {
        rtt_us: link.rtt_us,
        age_ms: snapshot.at_ms - link.rtt_at_ms,
        stale: link.rtt_stale,
        loss_permille: link.loss_permille,
    }
}
