//! Graphs for tests.

use std::sync::Arc;

use proptest::prelude::*;

use crate::snapshot::{LinkView, NodeState, NodeView, Rejected, Snapshot};
use crate::wire::NodeId;

/// A snapshot of `nodes` nodes, called `n0`, `n1`, and so on. Each link is (dialer, listener, round-trip time in µs; 0: none yet).
pub(crate) fn snapshot(nodes: usize, links: &[(usize, usize, u32)]) -> Snapshot {
    let node = |index: usize| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(
            &(index as u64 + 1)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .to_be_bytes(),
        );
        id[8..16].copy_from_slice(&(index as u64).to_be_bytes());
        let port = 8000 + u16::try_from(index % 50_000).unwrap();
        NodeView {
            id: NodeId(id),
            label: Arc::from(format!("n{index}")),
            addrs: vec![format!("[::1]:{port}").parse().unwrap()],
            state: NodeState::Up,
            since_ms: 1000,
        }
    };
    let link = |&(dialer, listener, rtt_us): &(usize, usize, u32)| LinkView {
        dialer,
        listener,
        rtt_us: (rtt_us > 0).then_some(rtt_us),
        rtt_at_ms: 2000,
        rtt_stale: false,
        loss_permille: 0,
        suspect: false,
        other: None,
        disputed_ms: None,
    };
    Snapshot {
        me: 0,
        at_ms: 0,
        origin_ms: 1_764_460_000_000,
        network: Arc::from("area"),
        cut_off: false,
        impaired: None,
        nodes: (0..nodes).map(node).collect(),
        links: links.iter().map(link).collect(),
        differing: Vec::new(),
        rejected: Rejected::default(),
    }
}

/// A ring of `nodes` nodes in which each has about `links` more links; round-trip times are 1 to 100 ms.
pub(crate) fn ring(nodes: usize, links: usize) -> Snapshot {
    let mut chance = 1_u64;
    let mut draw = |below: usize| {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(chance >> 33).unwrap() % below
    };
    let mut list = Vec::new();
    for node in 0..nodes {
        list.push((
            node,
            (node + 1) % nodes,
            1000 + u32::try_from(draw(99_000)).unwrap(),
        ));
        for _ in 0..links / 2 {
            let other = draw(nodes);
            if other != node {
                list.push((node, other, 1000 + u32::try_from(draw(99_000)).unwrap()));
            }
        }
    }
    snapshot(nodes, &list)
}

/// Random graphs of up to nine nodes, with double links and links of a node with itself, and with unmeasured links.
pub(crate) fn any_graph() -> impl Strategy<Value = Snapshot> {
    (1_usize..10).prop_flat_map(|nodes| {
        let link = (
            0..nodes,
            0..nodes,
            prop_oneof![1 => Just(0_u32), 8 => 1_u32..20],
        );
        // Scaled, so that differences exceed what counts as noise.
        proptest::collection::vec(link.prop_map(|(a, b, rtt)| (a, b, rtt * 10_000)), 0..18)
            .prop_map(move |links| snapshot(nodes, &links))
    })
}

/// The processor time that this thread has used. Other tests and other programs don't count.
pub(crate) fn cpu_time() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::try_from(time).unwrap()
}

/// Which nodes a path leads to from `from`, without the node `without` and the link `cut`. By the definition, in n² steps.
pub(crate) fn reached(
    snapshot: &Snapshot,
    from: usize,
    without: Option<usize>,
    cut: Option<usize>,
) -> Vec<bool> {
    let mut reached = vec![false; snapshot.nodes.len()];
    reached[from] = Some(from) != without;
    for _ in 0..snapshot.nodes.len() {
        for (index, link) in snapshot.links.iter().enumerate() {
            let (a, b) = (link.dialer, link.listener);
            if Some(index) == cut || Some(a) == without || Some(b) == without {
                continue;
            }
            let any = reached[a] || reached[b];
            (reached[a], reached[b]) = (any, any);
        }
    }
    reached
}
