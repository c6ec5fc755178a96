//! Makes the documents from a snapshot.

use super::FORMAT;
use super::types::{
    Agreement, Counts, Differing, End, EndKind, Event, Failure, FailureKind, History, Link,
    LinkLine, Links, Node, NodeLine, Nodes, Path, PathHop, Status, Told, Who,
};
use crate::graph::{Graph, Hop, Paths};
use crate::snapshot::{LinkView, NodeState, NodeView, Snapshot};
use crate::wire::NodeId;

/// What a status contains besides the snapshot.
#[derive(Debug, Clone, Default)]
pub struct StatusExtras {
    /// The extent of the history.
    pub history: Option<History>,
    /// How many readers follow the stream.
    pub readers: usize,
    /// Whether the neighbours see the same.
    pub agreement: Option<Agreement>,
    /// What the user of the node must know.
    pub notices: Vec<String>,
}

/// What the history knows of a node.
#[derive(Debug, Clone, Default)]
pub struct NodeExtras {
    /// Why its state is what it is.
    pub told: Option<Told>,
    /// The last events about it, oldest first.
    pub events: Vec<Event>,
}

/// What the history knows of a link.
#[derive(Debug, Clone, Default)]
pub struct LinkExtras {
    /// When it was first seen.
    pub since_ms: Option<u64>,
    /// Its figures; see [`Link::series`].
    pub series: Vec<(u64, Option<u32>, u16)>,
    /// See [`Link::other_series`].
    pub other_series: Vec<(u64, Option<u32>, u16)>,
}

/// The answer to `GET /v1/status`.
#[must_use]
pub fn status(snapshot: &Snapshot, extras: StatusExtras) -> Status {
    let me = snapshot.me;
    let own = &snapshot.nodes[me];
    let count = |state| {
        let nodes = snapshot.nodes.iter();
        nodes.filter(|node| node.state == state).count()
    };
    let is_own = |link: &&LinkView| link.dialer == me || link.listener == me;
    let rejected = snapshot.rejected.0.iter();
    Status {
        format: FORMAT,
        network: (*snapshot.network).to_owned(),
        node: own.id.to_string(),
        label: (*own.label).to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_ms: snapshot.unix_ms(0),
        now_ms: snapshot.unix_ms(snapshot.at_ms),
        nodes: Counts {
            up: count(NodeState::Up),
            unreachable: count(NodeState::Unreachable),
            left: count(NodeState::Left),
        },
        links: snapshot.links.len(),
        own_links: snapshot.links.iter().filter(is_own).count(),
        cut_off: snapshot.cut_off,
        impaired: snapshot.impaired.as_deref().map(str::to_owned),
        history: extras.history,
        readers: extras.readers,
        agreement: extras.agreement,
        notices: extras.notices,
        rejected: rejected
            .map(|(kind, count)| (kind.to_string(), *count))
            .collect(),
    }
}

/// Which neighbours see the same network.
#[must_use]
pub fn agreement(snapshot: &Snapshot) -> Agreement {
    let is_own = |link: &&LinkView| [link.dialer, link.listener].contains(&snapshot.me);
    let neighbours = snapshot.links.iter().filter(is_own).count();
    let differing = snapshot.differing.iter();
    Agreement {
        same: neighbours.saturating_sub(snapshot.differing.len()),
        neighbours,
        differing: differing
            .map(|(node, since)| Differing {
                node: who(snapshot, *node),
                since_ms: snapshot.unix_ms(*since),
            })
            .collect(),
    }
}

/// The answer to `GET /v1/nodes`.
#[must_use]
pub fn nodes(snapshot: &Snapshot) -> Nodes {
    let graph = Graph::of(snapshot);
    let paths = Paths::of(&graph, snapshot.me);
    let line = |(index, node): (usize, &NodeView)| NodeLine {
        id: node.id.to_string(),
        label: (*node.label).to_owned(),
        addresses: addresses(node),
        state: node.state,
        changed_ms: snapshot.unix_ms(node.since_ms),
        me: index == snapshot.me,
        links: graph.degree(index),
        rtt_us: paths.rtt_us(index),
        assumed: paths.is_assumed(index),
        hops: paths.hops(index),
    };
    Nodes {
        format: FORMAT,
        at_ms: snapshot.unix_ms(snapshot.at_ms),
        nodes: snapshot.nodes.iter().enumerate().map(line).collect(),
    }
}

/// The answer to `GET /v1/links`.
#[must_use]
pub fn links(snapshot: &Snapshot) -> Links {
    let links = snapshot.links.iter();
    Links {
        format: FORMAT,
        at_ms: snapshot.unix_ms(snapshot.at_ms),
        links: links.map(|link| line(snapshot, link)).collect(),
    }
}

/// The answer to `GET /v1/node/X`.
#[must_use]
pub fn node(snapshot: &Snapshot, index: usize, extras: NodeExtras) -> Node {
    let node = &snapshot.nodes[index];
    let links = snapshot.links.iter();
    let own = links.filter(|link| link.dialer == index || link.listener == index);
    Node {
        format: FORMAT,
        at_ms: snapshot.unix_ms(snapshot.at_ms),
        id: node.id.to_string(),
        label: (*node.label).to_owned(),
        me: index == snapshot.me,
        addresses: addresses(node),
        state: node.state,
        changed_ms: snapshot.unix_ms(node.since_ms),
        told: extras.told,
        links: own.map(|link| line(snapshot, link)).collect(),
        path: path(snapshot, snapshot.me, index),
        events: extras.events,
    }
}

/// The answer to `GET /v1/link/X/Y`, whoever of the two dialed.
///
/// # Errors
/// If the two nodes have no link.
pub fn link(
    snapshot: &Snapshot,
    [x, y]: [usize; 2],
    extras: LinkExtras,
) -> Result<Link, Box<Failure>> {
    let ends = [(x, y), (y, x)];
    let mut links = snapshot.links.iter();
    let Some(found) = links.find(|link| ends.contains(&(link.dialer, link.listener))) else {
        let [x, y] = [x, y].map(|index| &*snapshot.nodes[index].label);
        return Err(Box::new(Failure::new(
            FailureKind::NoLink,
            format!("{x} and {y} have no link"),
            format!("area-net path {x} {y} shows how they are connected"),
        )));
    };
    Ok(Link {
        format: FORMAT,
        at_ms: snapshot.unix_ms(snapshot.at_ms),
        line: line(snapshot, found),
        since_ms: extras.since_ms,
        series: extras.series,
        other_series: extras.other_series,
    })
}

/// The answer to `GET /v1/path`.
#[must_use]
pub fn path(snapshot: &Snapshot, from: usize, to: usize) -> Path {
    let graph = Graph::of(snapshot);
    let route = Paths::of(&graph, from).route(to);
    let direct = graph.edges(from).iter().filter(|edge| edge.to == to);
    let direct = direct.filter(|edge| edge.measured).map(|edge| edge.cost_us);
    let assumed = route.as_ref().is_some_and(|route| route.assumed);
    let hop = |hop: &Hop| {
        let Who { id, label } = who(snapshot, hop.node);
        PathHop {
            id,
            label,
            rtt_us: (hop.link.is_some() && !hop.assumed).then_some(hop.rtt_us),
            disputed: hop
                .link
                .is_some_and(|link| snapshot.links[link].disputed_ms.is_some()),
        }
    };
    Path {
        format: FORMAT,
        at_ms: snapshot.unix_ms(snapshot.at_ms),
        from: who(snapshot, from),
        to: who(snapshot, to),
        reachable: route.is_some(),
        rtt_us: route.as_ref().map(|route| route.rtt_us),
        assumed_us: assumed.then_some(graph.assumed_us()),
        direct_us: direct.min(),
        hops: route.map_or_else(Vec::new, |route| route.hops.iter().map(hop).collect()),
    }
}

/// A node by its index in the snapshot.
#[must_use]
pub fn who(snapshot: &Snapshot, index: usize) -> Who {
    let node = &snapshot.nodes[index];
    Who {
        id: node.id.to_string(),
        label: (*node.label).to_owned(),
    }
}

/// A node by its id; it need not be in the snapshot any more.
#[must_use]
pub fn who_by_id(snapshot: &Snapshot, id: &NodeId) -> Who {
    match snapshot.nodes.binary_search_by(|node| node.id.cmp(id)) {
        Ok(index) => who(snapshot, index),
        Err(_) => Who {
            id: id.to_string(),
            label: String::new(),
        },
    }
}

fn addresses(node: &NodeView) -> Vec<String> {
    node.addrs.iter().map(ToString::to_string).collect()
}

fn line(snapshot: &Snapshot, link: &LinkView) -> LinkLine {
    LinkLine {
        dialer: who(snapshot, link.dialer),
        listener: who(snapshot, link.listener),
        rtt_us: link.rtt_us,
        measured_ms: snapshot.unix_ms(link.rtt_at_ms),
        stale: link.rtt_stale,
        loss_percent: f64::from(link.loss_permille) / 10.0,
        suspect: link.suspect,
        measured_by: match link.is_measured_by_listener(snapshot.me) {
            true => EndKind::Listener,
            false => EndKind::Dialer,
        },
        other: link.other.map(|end| End {
            rtt_us: end.rtt_us,
            measured_ms: snapshot.unix_ms(end.rtt_at_ms),
            loss_percent: f64::from(end.loss_permille) / 10.0,
        }),
        disputed_since_ms: link.disputed_ms.map(|since| snapshot.unix_ms(since)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::snapshot;

    fn view() -> Snapshot {
        let mut view = snapshot(4, &[(0, 1, 100), (2, 1, 200), (0, 2, 500)]);
        view.nodes[3].state = NodeState::Unreachable;
        view.at_ms = 5000;
        view
    }

    /// Every document survives JSON, and says its format.
    #[track_caller]
    fn read_back<T>(document: &T)
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let text = serde_json::to_string(document).unwrap();
        assert!(text.starts_with("{\"format\":1,"), "{text}");
        assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *document);
    }

    #[test]
    fn a_status_counts_nodes_and_links() {
        let status = status(&view(), StatusExtras::default());
        let Counts {
            up,
            unreachable,
            left,
        } = status.nodes;
        assert_eq!((up, unreachable, left), (3, 1, 0));
        assert_eq!((status.links, status.own_links), (3, 2));
        assert_eq!(status.now_ms - status.started_ms, 5000);
        read_back(&status);
    }

    #[test]
    fn neighbours_that_see_another_network_are_named() {
        let mut view = view();
        view.differing = vec![(2, 3000)];
        let agreement = agreement(&view);
        assert_eq!((agreement.same, agreement.neighbours), (1, 2));
        assert_eq!(agreement.differing[0].node.label, "n2");
        let since_ms = agreement.differing[0].since_ms;
        assert_eq!(since_ms, view.unix_ms(3000));
    }

    #[test]
    fn a_list_of_nodes_says_how_far_each_is_from_here() {
        let nodes = nodes(&view());
        let far = |index: usize| (nodes.nodes[index].rtt_us, nodes.nodes[index].hops);
        assert_eq!(far(0), (Some(0), Some(0)));
        assert_eq!(far(2), (Some(300), Some(2)));
        assert_eq!(far(3), (None, None));
        assert_eq!(nodes.nodes[2].links, 2);
        assert!(nodes.nodes[0].me && !nodes.nodes[1].me);
        read_back(&nodes);
        read_back(&links(&view()));
    }

    #[test]
    fn a_node_is_described_with_its_links_and_the_path_to_it() {
        let view = view();
        let told = Told {
            by: who(&view, 1),
            via: Some(who_by_id(&view, &NodeId([7; 32]))),
            at_ms: 9,
        };
        let extras = NodeExtras {
            told: Some(told),
            events: Vec::new(),
        };
        let node = node(&view, 2, extras);
        assert_eq!(node.links.len(), 2);
        let hops: Vec<_> = node
            .path
            .hops
            .iter()
            .map(|hop| (&*hop.label, hop.rtt_us))
            .collect();
        assert_eq!(hops, [("n0", None), ("n1", Some(100)), ("n2", Some(200))]);
        assert_eq!(
            (node.path.rtt_us, node.path.direct_us),
            (Some(300), Some(500))
        );
        assert_eq!(node.told.as_ref().unwrap().via.as_ref().unwrap().label, "");
        read_back(&node);
    }

    #[test]
    fn a_link_is_found_from_either_end() {
        let view = view();
        for ends in [[1, 2], [2, 1]] {
            let link = link(&view, ends, LinkExtras::default()).unwrap();
            assert_eq!(
                (&*link.line.dialer.label, link.line.rtt_us),
                ("n2", Some(200))
            );
            read_back(&link);
        }
        let none = link(&view, [0, 3], LinkExtras::default()).unwrap_err();
        assert_eq!(none.error.kind, FailureKind::NoLink);
        read_back(&*none);
    }

    #[test]
    fn no_path_is_an_answer_and_an_unmeasured_link_on_one_is_told() {
        let mut view = view();
        let none = path(&view, 0, 3);
        assert!(!none.reachable && none.hops.is_empty() && none.rtt_us.is_none());
        read_back(&none);
        view.links = vec![view.links[0].clone()];
        view.links[0].rtt_us = None;
        let path = path(&view, 0, 1);
        assert_eq!((path.assumed_us, path.hops[1].rtt_us), (Some(1), None));
    }

    #[test]
    fn an_error_of_a_later_version_is_still_read() {
        let later = r#"{"format":1,"error":{"kind":"on_fire","what":"it burns"}}"#;
        let failure: Failure = serde_json::from_str(later).unwrap();
        assert_eq!(failure.error.kind, FailureKind::Other);
    }
}
