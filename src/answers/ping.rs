//! `GET /v1/ping/X`: the round-trip time to a node along the shortest path, whose first link is measured now.

use serde::{Deserialize, Serialize};

use super::{FORMAT, Who, who};
use crate::graph::{Graph, Paths};
use crate::snapshot::Snapshot;

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
    /// It was measured for this question. Otherwise it is what the nodes at its ends told.
    pub now: bool,
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
    /// Whether the first node on the path answered in time.
    pub answered: bool,
    /// The sum of the round-trip times; null without a path, an answer, or a measurement of each link.
    pub rtt_us: Option<u64>,
    /// The path without this node.
    pub hops: Vec<PingHop>,
}

/// The neighbour that is to be probed: the first node on the shortest path. `None`: no path leads there, or it is this node itself.
#[must_use]
pub fn first_hop(snapshot: &Snapshot, to: usize) -> Option<usize> {
    let graph = Graph::of(snapshot);
    let route = Paths::of(&graph, snapshot.me).route(to)?;
    route.hops.get(1).map(|hop| hop.node)
}

/// The answer, with the round-trip time of the first link as it was measured just now. `None`: no answer came.
#[must_use]
pub fn ping(snapshot: &Snapshot, to: usize, first_us: Option<u32>) -> Ping {
    let graph = Graph::of(snapshot);
    let route = Paths::of(&graph, snapshot.me).route(to);
    let at_ms = snapshot.unix_ms(snapshot.at_ms);
    let behind = route.iter().flat_map(|route| route.hops.iter().skip(1));
    let hops: Vec<PingHop> = behind
        .enumerate()
        .map(|(index, hop)| {
            let Who { id, label } = who(snapshot, hop.node);
            let link = hop.link.map(|link| &snapshot.links[link]);
            let told = link.filter(|link| link.rtt_us.is_some());
            let now = index == 0 && first_us.is_some();
            PingHop {
                id,
                label,
                rtt_us: if index == 0 {
                    first_us
                } else {
                    told.and_then(|link| link.rtt_us)
                },
                measured_ms: if now {
                    Some(at_ms)
                } else {
                    told.map(|link| snapshot.unix_ms(link.rtt_at_ms))
                },
                now,
            }
        })
        .collect();
    let is_self = to == snapshot.me;
    let sum = hops.iter().map(|hop| hop.rtt_us.map(u64::from)).sum();
    Ping {
        format: FORMAT,
        at_ms,
        to: who(snapshot, to),
        reachable: route.is_some(),
        answered: is_self || first_us.is_some(),
        rtt_us: route.and(sum),
        hops,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::snapshot;

    #[test]
    fn the_first_link_counts_as_measured_now_and_the_others_as_told() {
        let view = snapshot(4, &[(0, 1, 100), (2, 1, 200), (0, 2, 500)]);
        assert_eq!(first_hop(&view, 2), Some(1));
        let answer = ping(&view, 2, Some(90));
        let hops: Vec<_> = answer
            .hops
            .iter()
            .map(|hop| (&*hop.label, hop.rtt_us, hop.now))
            .collect();
        assert_eq!(hops, [("n1", Some(90), true), ("n2", Some(200), false)]);
        assert_eq!((answer.rtt_us, answer.answered), (Some(290), true));
        let silent = ping(&view, 2, None);
        assert_eq!(
            (silent.rtt_us, silent.answered, silent.reachable),
            (None, false, true)
        );
        let nowhere = ping(&view, 3, None);
        assert_eq!(
            (nowhere.reachable, nowhere.rtt_us, first_hop(&view, 3)),
            (false, None, None)
        );
        let own = ping(&view, 0, None);
        assert_eq!(
            (own.answered, own.rtt_us, own.hops.len()),
            (true, Some(0), 0)
        );
    }
}
