//! What a history says of links over time.

use std::collections::{BTreeMap, VecDeque};

use super::frame::{Figures, Frame};
use super::store::{Chronicle, Entry};
use crate::snapshot::EndFigures;
use crate::wire::NodeId;

/// The most measurements of a link from which its usual round-trip time is found: some minutes of a link that is measured every few
/// seconds. At half, a few slow minutes look usual; twice of it costs memory while an answer is made.
const USUAL: usize = 64;

/// A measurement of a link: when, the round-trip time in µs, the loss in 1/1000.
pub type Point = (i64, Option<u32>, u16);

/// The history of one link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Series {
    /// When the link that there is now was first seen, in ms since the start of the node. `None`: there is none now, or it was there
    /// before the history.
    pub since_ms: Option<i64>,
    /// Its measurements, oldest first; at most as many as were asked for, evenly chosen.
    pub points: Vec<Point>,
    /// What the other end told, in the same way, each at the time of its measurement.
    pub other: Vec<Point>,
}

impl Chronicle {
    /// The history of the link between two nodes, whoever dialed.
    #[must_use]
    pub fn series(&self, ends: [&NodeId; 2], most: usize) -> Series {
        let mut numbers: BTreeMap<u32, usize> = BTreeMap::new();
        let mut link = None;
        let mut series = Series::default();
        let first_ms = self.span().map_or(0, |span| span.from_ms);
        self.walk(|frame| {
            let nodes = frame.nodes.iter();
            numbers.extend(nodes.filter_map(|node| {
                let end = ends.iter().position(|id| node.id == **id)?;
                Some((node.n, end))
            }));
            for new in &frame.links {
                let end = |n| numbers.get(&n);
                let (Some(one), Some(other)) = (end(new.dialer), end(new.listener)) else {
                    continue;
                };
                if one != other {
                    link = Some(new.l);
                    series.since_ms = (new.since_ms > first_ms).then_some(new.since_ms);
                    push(&mut series.points, frame.at_ms, new.figures);
                    push_end(&mut series.other, new.other);
                }
            }
            for (l, figures) in &frame.figures {
                if link == Some(*l) {
                    push(&mut series.points, frame.at_ms, *figures);
                }
            }
            for (l, other) in &frame.others {
                if link == Some(*l) {
                    push_end(&mut series.other, *other);
                }
            }
            // In a keyframe of another node's view, the link may be missing.
            let is_whole = frame.whole.is_some();
            let is_gone = |l| match is_whole {
                true => frame.links.iter().all(|link| link.l != l),
                false => frame.gone.iter().any(|gone| gone.l == l),
            };
            if link.is_some_and(is_gone) {
                link = None;
                series.since_ms = None;
                // A gap, for whoever draws it.
                series.points.push((frame.at_ms, None, 1000));
            }
        });
        thin(&mut series.points, most);
        thin(&mut series.other, most);
        series
    }

    /// The usual round-trip time of each link: the median of its last measurements, by the ids of dialer and listener.
    #[must_use]
    pub fn usual(&self) -> BTreeMap<(NodeId, NodeId), u32> {
        let mut ids: BTreeMap<u32, NodeId> = BTreeMap::new();
        let mut links: BTreeMap<u32, ((NodeId, NodeId), VecDeque<u32>)> = BTreeMap::new();
        self.walk(|frame| {
            ids.extend(frame.nodes.iter().map(|node| (node.n, node.id)));
            for link in &frame.links {
                let ends = (ids.get(&link.dialer), ids.get(&link.listener));
                if let (Some(dialer), Some(listener)) = ends {
                    let fresh = ((*dialer, *listener), VecDeque::new());
                    let (_, values) = links.entry(link.l).or_insert(fresh);
                    values.extend(link.figures.rtt_us);
                }
            }
            for (l, figures) in &frame.figures {
                if let Some((_, values)) = links.get_mut(l) {
                    if values.len() == USUAL {
                        values.pop_front();
                    }
                    values.extend(figures.rtt_us);
                }
            }
        });
        let medians = links.into_values().filter_map(|(ends, values)| {
            let mut values: Vec<u32> = values.into();
            values.sort_unstable();
            Some((ends, *values.get(values.len() / 2)?))
        });
        medians.collect()
    }

    /// Shows each frame, the keyframe of the beginning first.
    fn walk(&self, mut look: impl FnMut(&Frame)) {
        let Some((key, next)) = self.span().and_then(|span| self.at(span.from_ms)) else {
            return;
        };
        look(&key.keyframe());
        for (_, entry) in self.since(next).into_iter().flatten() {
            if let Entry::Frame(frame) = entry {
                look(&frame);
            }
        }
    }
}

fn push(points: &mut Vec<Point>, at_ms: i64, figures: Figures) {
    // Of two measurements of one moment, the later one counts.
    if points.last().is_some_and(|(last, ..)| *last == at_ms) {
        points.pop();
    }
    points.push((at_ms, figures.rtt_us, figures.loss_permille));
}

/// A keyframe repeats what was told before it, and a newcomer hears what was measured before.
fn push_end(points: &mut Vec<Point>, end: Option<EndFigures>) {
    let Some(end) = end else { return };
    if points.last().is_none_or(|(last, ..)| *last < end.rtt_at_ms) {
        points.push((end.rtt_at_ms, Some(end.rtt_us), end.loss_permille));
    }
}

/// Leaves so many points at most, the last one among them: of each stretch of time the slowest one, since that is what people look for.
fn thin(points: &mut Vec<Point>, most: usize) {
    if points.len() <= most || most == 0 {
        return;
    }
    let stretch = points.len().div_ceil(most);
    let slowest = points.chunks(stretch).filter_map(|chunk| {
        let worst = |point: &&Point| (point.1.is_none(), point.1);
        chunk.iter().max_by_key(worst).copied()
    });
    *points = slowest.collect();
}
