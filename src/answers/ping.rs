//! `GET /v1/ping/X`: the round-trip time to a node along the shortest path, measured now.

use serde::{Deserialize, Serialize};

use super::{FORMAT, Who, who};
use crate::graph::{Graph, Hop, Paths};
use crate::snapshot::Snapshot;
use crate::wire::{MAX_ECHO_WAY, NodeId};

/// A node on the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingHop {
    /// Its id.
    pub id: String,
    /// Its label.
    pub label: String,
    /// The round-trip time of the link that leads to it; null before the first measurement.
    pub rtt_us: Option<u32>,
    /// When that was measured; null before the first measurement.
    pub measured_ms: Option<u64>,
    /// It was measured for this question, as the difference of the times to both ends of the link. Otherwise it is what the nodes at
    /// its ends told.
    pub now: bool,
    /// The round-trip time from here to this node along the path, measured for this question; null if no answer came in time.
    pub total_us: Option<u32>,
}

/// `GET /v1/ping/X`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ping {
    /// See [`FORMAT`].
    pub format: u32,
    /// The time of the answer.
    pub at_ms: u64,
    /// The node that was asked for.
    pub to: Who,
    /// Whether a path leads there.
    pub reachable: bool,
    /// Whether the node answered in time; where the path is longer than an echo goes, the last node that was asked.
    pub answered: bool,
    /// The round-trip time to the node, measured for this question. Where the path is longer than an echo goes, the times of the
    /// links behind the last node that was asked are added as they were told. Null without an answer, or a measurement of those links.
    pub rtt_us: Option<u64>,
    /// The number of nodes of the path that were asked: those at its beginning.
    pub asked: u32,
    /// The path without this node.
    pub hops: Vec<PingHop>,
}

/// The nodes to measure the times to: those on the shortest path, as far as an echo goes. Empty: no path leads there, or it is this
/// node itself.
#[must_use]
pub fn ping_path(snapshot: &Snapshot, to: usize) -> Vec<NodeId> {
    let hops = hops(snapshot, to).unwrap_or_default();
    let ids = hops.iter().map(|hop| snapshot.nodes[hop.node].id);
    ids.take(MAX_ECHO_WAY - 1).collect()
}

/// The answer, with the time to each node of [`ping_path`] in µs, as far as answers came.
#[must_use]
pub fn ping(snapshot: &Snapshot, to: usize, totals_us: &[Option<u32>]) -> Ping {
    let path = hops(snapshot, to);
    let at_ms = snapshot.unix_ms(snapshot.at_ms);
    let mut before = Some(0);
    let hops: Vec<PingHop> = path
        .iter()
        .flatten()
        .enumerate()
        .map(|(index, hop)| {
            let Who { id, label } = who(snapshot, hop.node);
            let total_us = totals_us.get(index).copied().flatten();
            let ends = before.zip(total_us);
            before = total_us;
            let link = hop.link.map(|link| &snapshot.links[link]);
            let told = link.and_then(|link| Some((link.rtt_us?, link.rtt_at_ms)));
            // Two echoes take different times on the links that they share: jitter can make the farther one the faster.
            let now = ends.map(|(near, far)| far.saturating_sub(near));
            PingHop {
                id,
                label,
                rtt_us: now.or(told.map(|(rtt_us, _)| rtt_us)),
                measured_ms: match now {
                    Some(_) => Some(at_ms),
                    None => told.map(|(_, told_ms)| snapshot.unix_ms(told_ms)),
                },
                now: now.is_some(),
                total_us,
            }
        })
        .collect();
    let is_self = to == snapshot.me;
    let asked = totals_us.len().min(hops.len());
    let measured = totals_us.last().copied().flatten().map(u64::from);
    let measured = if is_self { Some(0) } else { measured };
    let rest = hops[asked..].iter().map(|hop| hop.rtt_us.map(u64::from));
    let rest: Option<u64> = rest.sum();
    Ping {
        format: FORMAT,
        at_ms,
        to: who(snapshot, to),
        reachable: path.is_some(),
        answered: measured.is_some(),
        rtt_us: measured.zip(rest).map(|(measured, rest)| measured + rest),
        asked: u32::try_from(asked).expect("a few nodes"),
        hops,
    }
}

/// The path without this node; `None` if there is none.
fn hops(snapshot: &Snapshot, to: usize) -> Option<Vec<Hop>> {
    let graph = Graph::of(snapshot);
    let mut route = Paths::of(&graph, snapshot.me).route(to)?;
    route.hops.remove(0);
    Some(route.hops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::snapshot;

    fn shown(answer: &Ping) -> Vec<(&str, Option<u32>, bool, Option<u32>)> {
        let hops = answer.hops.iter();
        hops.map(|hop| (&*hop.label, hop.rtt_us, hop.now, hop.total_us))
            .collect()
    }

    #[test]
    fn every_link_between_two_answers_counts_as_measured_now() {
        let view = snapshot(4, &[(0, 1, 100), (2, 1, 200), (0, 2, 500)]);
        let path = [view.nodes[1].id, view.nodes[2].id];
        assert_eq!(ping_path(&view, 2), path);
        let answer = ping(&view, 2, &[Some(90), Some(300)]);
        assert_eq!(
            shown(&answer),
            [
                ("n1", Some(90), true, Some(90)),
                ("n2", Some(210), true, Some(300))
            ]
        );
        assert_eq!((answer.rtt_us, answer.asked), (Some(300), 2));
        let jitter = ping(&view, 2, &[Some(310), Some(300)]);
        assert_eq!(jitter.hops[1].rtt_us, Some(0));
        assert_eq!(jitter.rtt_us, Some(300));
    }

    #[test]
    fn a_link_with_an_end_that_did_not_answer_has_its_told_time() {
        let view = snapshot(3, &[(0, 1, 100), (2, 1, 200)]);
        let lost_near = ping(&view, 2, &[None, Some(300)]);
        assert_eq!(
            shown(&lost_near),
            [
                ("n1", Some(100), false, None),
                ("n2", Some(200), false, Some(300))
            ]
        );
        assert_eq!((lost_near.answered, lost_near.rtt_us), (true, Some(300)));
        let lost_far = ping(&view, 2, &[Some(90), None]);
        assert_eq!(
            shown(&lost_far),
            [
                ("n1", Some(90), true, Some(90)),
                ("n2", Some(200), false, None)
            ]
        );
        assert_eq!((lost_far.answered, lost_far.rtt_us), (false, None));
        assert_eq!(
            lost_far.hops[1].measured_ms,
            Some(view.unix_ms(view.links[1].rtt_at_ms))
        );
    }

    #[test]
    fn no_path_and_the_node_itself_need_no_echo() {
        let view = snapshot(3, &[(0, 1, 100)]);
        let nowhere = ping(&view, 2, &[]);
        assert_eq!((nowhere.reachable, nowhere.rtt_us), (false, None));
        assert_eq!(ping_path(&view, 2), []);
        let own = ping(&view, 0, &[]);
        assert_eq!(
            (own.answered, own.rtt_us, own.hops.len()),
            (true, Some(0), 0)
        );
        let silent = ping(&view, 1, &[]);
        assert_eq!((silent.answered, silent.asked), (false, 0));
    }

    #[test]
    fn a_path_longer_than_an_echo_goes_ends_with_what_was_told() {
        let links: Vec<_> = (0..24).map(|at| (at, at + 1, 1000)).collect();
        let view = snapshot(25, &links);
        let path = ping_path(&view, 24);
        assert_eq!(path.len(), 15);
        let totals: Vec<_> = (1..=15).map(|at| Some(at * 1100)).collect();
        let answer = ping(&view, 24, &totals);
        assert_eq!(answer.hops.len(), 24);
        assert!(answer.hops[..15].iter().all(|hop| hop.now));
        assert!(answer.hops[15..].iter().all(|hop| !hop.now));
        assert_eq!(
            (answer.answered, answer.asked, answer.rtt_us),
            (true, 15, Some(15 * 1100 + 9 * 1000))
        );
    }
}
