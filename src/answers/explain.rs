//! `GET /v1/explain`: what only a view of the whole graph can tell.

use super::types::{
    ArticulationPoint, Bridge, Detour, Diameter, Explain, Quantiles, Slow, SuspectKind, Who,
};
use super::{FORMAT, who};
use crate::graph::{self, Cuts, Figures, Graph, Paths, Suspect};
use crate::snapshot::Snapshot;

/// The most bridges, and the most articulation points, in an answer. At 10,000 nodes in a chain there are as many; the first ones are
/// those that most nodes depend on. At double, an answer takes more than a megabyte; at half, a person may miss the second-worst site.
const MOST_CUTS: usize = 100;
/// The most nodes that are named of those that a bridge or an articulation point holds. The number is always told.
const MOST_NAMED: usize = 20;
/// The most detours in an answer: two screens.
const MOST_DETOURS: usize = 50;
/// The most causes of slow links in an answer: a screen.
const MOST_CAUSES: usize = 20;

/// What an explanation needs besides the snapshot. Without it, the answer contains less.
#[derive(Default)]
pub struct ExplainExtras<'a> {
    /// The usual round-trip time of a link by its index in the snapshot, such as the median over the history.
    pub usual_us: Option<&'a dyn Fn(usize) -> Option<u32>>,
    /// The round-trip time that two nodes without a link would probably have, by their indices.
    pub predicted_us: Option<&'a dyn Fn(usize, usize) -> Option<u32>>,
}

/// The answer to `GET /v1/explain`.
#[must_use]
pub fn explain(snapshot: &Snapshot, extras: &ExplainExtras<'_>) -> Explain {
    let graph = Graph::of(snapshot);
    let paths = Paths::of(&graph, snapshot.me);
    let figures = Figures::of(snapshot, &graph, &paths);
    let cuts = Cuts::of(&graph, snapshot.me);
    let predicted = |from, to| {
        extras
            .predicted_us
            .and_then(|predicted| predicted(from, to))
    };
    let detours = graph::detours(&graph, predicted, MOST_DETOURS);
    let who = |index| who(snapshot, index);
    Explain {
        format: FORMAT,
        at_ms: snapshot.unix_ms(snapshot.at_ms),
        rtt_us: figures.rtt_us.map(quantiles),
        unmeasured: figures.unmeasured,
        degree: figures.degree.map(quantiles),
        diameter: figures.diameter.map(|diameter| Diameter {
            from: who(diameter.from),
            to: who(diameter.to),
            rtt_us: diameter.rtt_us,
            exact: diameter.exact,
        }),
        bridges_total: cuts.bridges().len(),
        bridges: bridges(snapshot, &cuts),
        articulation_points_total: cuts.articulations().len(),
        articulation_points: articulation_points(snapshot, &cuts),
        detours: detours
            .iter()
            .map(|detour| Detour {
                from: who(detour.from),
                to: who(detour.to),
                via: who(detour.via),
                direct_us: detour.direct_us,
                detour_us: detour.detour_us,
                linked: detour.linked,
            })
            .collect(),
        slow: extras.usual_us.map(|usual| slow(snapshot, &graph, usual)),
    }
}

fn quantiles(of: graph::Quantiles) -> Quantiles {
    Quantiles {
        min: of.least,
        p50: of.half,
        p90: of.nine_tenths,
        p99: of.most_but_one_percent,
        max: of.greatest,
    }
}

fn named(snapshot: &Snapshot, lost: impl Iterator<Item = usize>) -> Vec<Who> {
    lost.take(MOST_NAMED)
        .map(|index| who(snapshot, index))
        .collect()
}

fn bridges(snapshot: &Snapshot, cuts: &Cuts) -> Vec<Bridge> {
    let bridges = cuts.bridges().iter().take(MOST_CUTS);
    let bridge = |bridge: &graph::Bridge| {
        let link = &snapshot.links[bridge.link];
        Bridge {
            dialer: who(snapshot, link.dialer),
            listener: who(snapshot, link.listener),
            lost: bridge.count(),
            nodes: named(snapshot, cuts.lost_with_bridge(bridge)),
        }
    };
    bridges.map(bridge).collect()
}

fn articulation_points(snapshot: &Snapshot, cuts: &Cuts) -> Vec<ArticulationPoint> {
    let points = cuts.articulations().iter().take(MOST_CUTS);
    let point = |point: &graph::Articulation| ArticulationPoint {
        node: who(snapshot, point.node),
        lost: point.count(),
        parts: point.parts(),
        nodes: named(snapshot, cuts.lost_with_node(point)),
    };
    points.map(point).collect()
}

fn slow(snapshot: &Snapshot, graph: &Graph, usual: &dyn Fn(usize) -> Option<u32>) -> Vec<Slow> {
    let culprits = graph::culprits(snapshot, graph, usual, MOST_CAUSES);
    let cause = |culprit: &graph::Culprit| {
        let (suspect, nodes, sizes) = match culprit.suspect {
            Suspect::Network => (SuspectKind::Network, Vec::new(), Vec::new()),
            Suspect::Node(node) => (SuspectKind::Node, vec![node], Vec::new()),
            Suspect::Sites(sites) => (
                SuspectKind::Sites,
                sites.iter().map(|site| site.0).collect(),
                sites.iter().map(|site| site.1).collect(),
            ),
            Suspect::Link => {
                let link = &snapshot.links[culprit.links[0]];
                let ends = vec![link.dialer, link.listener];
                (SuspectKind::Link, ends, Vec::new())
            }
        };
        Slow {
            suspect,
            me: suspect == SuspectKind::Node && nodes == [snapshot.me],
            nodes: nodes
                .into_iter()
                .map(|index| who(snapshot, index))
                .collect(),
            sizes,
            links: culprit.links.len(),
        }
    };
    culprits.iter().map(cause).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::{cpu_time, ring, snapshot};

    #[test]
    fn a_network_is_explained_as_far_as_the_extras_go() {
        let view = snapshot(
            5,
            &[
                (0, 1, 10_000),
                (1, 2, 10_000),
                (2, 0, 50_000),
                (2, 3, 1000),
                (4, 3, 0),
            ],
        );
        let plain = explain(&view, &ExplainExtras::default());
        assert_eq!(
            (plain.bridges_total, plain.articulation_points_total),
            (2, 2)
        );
        let worst = &plain.articulation_points[0];
        assert_eq!((&*worst.node.label, worst.lost, worst.parts), ("n2", 2, 1));
        let lost: Vec<_> = plain.bridges[0]
            .nodes
            .iter()
            .map(|node| &*node.label)
            .collect();
        assert_eq!(lost, ["n3", "n4"]);
        assert_eq!(
            (&*plain.detours[0].via.label, plain.detours[0].direct_us),
            ("n1", 50_000)
        );
        assert_eq!((plain.unmeasured, &plain.slow), (1, &None));
        assert_eq!(plain.rtt_us.as_ref().unwrap().max, 50_000);

        let usual = |link| Some(if link == 3 { 1000 } else { 5000 });
        let predicted = |_, _| Some(400_000);
        let extras = ExplainExtras {
            usual_us: Some(&usual),
            predicted_us: Some(&predicted),
        };
        let more = explain(&view, &extras);
        assert!(more.detours.iter().any(|detour| !detour.linked));
        let slow = more.slow.as_ref().unwrap();
        assert_eq!((slow[0].suspect, slow[0].links), (SuspectKind::Network, 3));
        let text = serde_json::to_string(&more).unwrap();
        assert_eq!(serde_json::from_str::<Explain>(&text).unwrap(), more);
    }

    #[test]
    fn an_answer_about_a_long_chain_is_bounded() {
        let links: Vec<_> = (1..10_000).map(|node| (node - 1, node, 1000)).collect();
        let answer = explain(&snapshot(10_000, &links), &ExplainExtras::default());
        assert_eq!(
            (answer.bridges_total, answer.bridges.len()),
            (9_999, MOST_CUTS)
        );
        assert_eq!(answer.bridges[0].nodes.len(), MOST_NAMED);
        let size = serde_json::to_string(&answer).unwrap().len();
        assert!(size < 1_000_000, "{size} bytes");
    }

    #[test]
    fn ten_thousand_nodes_take_no_time_to_speak_of() {
        let view = ring(10_000, 8);
        let begun = cpu_time();
        let predicted = |_, _| Some(1_000_000);
        let extras = ExplainExtras {
            usual_us: None,
            predicted_us: Some(&predicted),
        };
        assert_eq!(explain(&view, &extras).detours.len(), MOST_DETOURS);
        let used = cpu_time() - begun;
        assert!(used.as_secs() < 5, "{used:?}");
    }
}
