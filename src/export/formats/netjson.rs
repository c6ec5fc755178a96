//! The network as a NetworkGraph of NetJSON.
//!
//! NetJSON has places for what routing protocols know; everything else is in `properties`, under the names of `network.json`. The
//! cost of a link is its round-trip time in µs.

use std::net::SocketAddr;

use serde::Serialize;

use super::super::text;
use crate::snapshot::{LinkView, NodeView, Snapshot};

/// The cost of a link that has no measurement yet. NetJSON requires a number, and JSON has no infinity. It is greater than every
/// measured one, so that paths avoid such links.
const UNMEASURED_COST: u32 = u32::MAX;

#[derive(Serialize)]
struct Graph<'a> {
    r#type: &'static str,
    protocol: &'static str,
    version: &'static str,
    metric: &'static str,
    router_id: &'a str,
    label: &'a str,
    cut_off: bool,
    nodes: Vec<Node<'a>>,
    links: Vec<Link<'a>>,
}

#[derive(Serialize)]
struct Node<'a> {
    id: &'a str,
    label: &'a str,
    local_addresses: &'a [SocketAddr],
    properties: NodeProperties,
}

#[derive(Serialize)]
struct NodeProperties {
    state: &'static str,
    changed_ms: u64,
}

#[derive(Serialize)]
struct Link<'a> {
    source: &'a str,
    target: &'a str,
    cost: u32,
    cost_text: String,
    properties: LinkProperties,
}

#[derive(Serialize)]
struct LinkProperties {
    rtt_us: Option<u32>,
    rtt_measured_ms: u64,
    rtt_stale: bool,
    loss_percent: f64,
    suspect: bool,
    disputed: bool,
}

/// Renders the snapshot.
pub(super) fn render(snapshot: &Snapshot) -> Vec<u8> {
    let ids: Vec<String> = snapshot
        .nodes
        .iter()
        .map(|node| node.id.to_string())
        .collect();
    let nodes = snapshot.nodes.iter().zip(&ids);
    let graph = Graph {
        r#type: "NetworkGraph",
        protocol: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        metric: "rtt_us",
        router_id: &ids[snapshot.me],
        label: &snapshot.network,
        cut_off: snapshot.cut_off,
        nodes: nodes
            .map(|(node, id)| Node::new(snapshot, node, id))
            .collect(),
        links: snapshot
            .links
            .iter()
            .map(|link| Link::new(snapshot, link, &ids))
            .collect(),
    };
    let mut out = Vec::with_capacity(512 * (ids.len() + snapshot.links.len()));
    serde_json::to_writer(&mut out, &graph)
        .expect("a write to a Vec can't fail, and our keys are strings");
    out.push(b'\n');
    out
}

impl<'a> Node<'a> {
    fn new(snapshot: &Snapshot, node: &'a NodeView, id: &'a str) -> Self {
        Self {
            id,
            label: &node.label,
            local_addresses: &node.addrs,
            properties: NodeProperties {
                state: text::state(node.state),
                changed_ms: snapshot.unix_ms(node.since_ms),
            },
        }
    }
}

impl<'a> Link<'a> {
    fn new(snapshot: &Snapshot, link: &LinkView, ids: &'a [String]) -> Self {
        Self {
            source: &ids[link.dialer],
            target: &ids[link.listener],
            cost: link.rtt_us.unwrap_or(UNMEASURED_COST),
            cost_text: text::link(link),
            properties: LinkProperties {
                rtt_us: link.rtt_us,
                rtt_measured_ms: snapshot.unix_ms(link.rtt_at_ms),
                rtt_stale: link.rtt_stale,
                loss_percent: f64::from(link.loss_permille) / 10.0,
                suspect: link.suspect,
                disputed: link.disputed_ms.is_some(),
            },
        }
    }
}
