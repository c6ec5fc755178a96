//! Snapshots for tests.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::snapshot::{LinkView, NodeState, NodeView, Rejected, Snapshot};
use crate::wire::NodeId;

/// A node that is up, on loopback.
pub(crate) fn node(byte: u8, label: &str, port: u16) -> NodeView {
    NodeView {
        id: NodeId([byte; 32]),
        label: Arc::from(label),
        addrs: vec![SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port))],
        state: NodeState::Up,
        since_ms: 1000,
    }
}

/// A link with a fresh measurement.
pub(crate) fn link(dialer: usize, listener: usize, rtt_us: u32) -> LinkView {
    LinkView {
        dialer,
        listener,
        rtt_us: Some(rtt_us),
        rtt_at_ms: 2000,
        rtt_stale: false,
        loss_permille: 0,
        suspect: false,
        other: None,
        disputed_ms: None,
    }
}

/// Bob's view: alice is up and linked with him, carol can't be reached.
pub(crate) fn three() -> Snapshot {
    let mut carol = node(0x33, "carol", 8085);
    carol.state = NodeState::Unreachable;
    Snapshot {
        me: 1,
        at_ms: 0,
        origin_ms: 0,
        network: Arc::from("area"),
        cut_off: false,
        impaired: None,
        nodes: vec![node(0x11, "alice", 8090), node(0x22, "bob", 8095), carol],
        links: vec![link(1, 0, 312)],
        differing: Vec::new(),
        rejected: Rejected(vec![("bad_signature".into(), 2)]),
    }
}

/// The view of a node that knows no other node.
pub(crate) fn alone() -> Snapshot {
    Snapshot {
        me: 0,
        at_ms: 0,
        origin_ms: 0,
        network: Arc::from("area"),
        cut_off: false,
        impaired: None,
        nodes: vec![node(0x11, "alice", 8090)],
        links: Vec::new(),
        differing: Vec::new(),
        rejected: Rejected::default(),
    }
}
