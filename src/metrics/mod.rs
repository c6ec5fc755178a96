//! What a node measures, for Prometheus: text in the format of [OpenMetrics], or in the older one of Prometheus.
//!
//! [`render`] is a pure function from a snapshot, so that a peer that is gone leaves no series behind, and a node that nobody asks
//! counts nothing. The number of series is bounded: some 40 a node, and five for each of its own links, at most [`MAX_OWN_LINKS`] of
//! them. The links of others are one histogram; each by itself they would be n² series over all nodes of a network. Whoever asks for
//! the worst links gets at most [`MAX_WORST_LINKS`].
//!
//! Labels are any text, perhaps hostile. Control characters and those that change the direction of text become U+FFFD, a line break
//! is `\n`, and the format's own escapes do the rest.
//!
//! The writer is our own: the format is a page long, and `prometheus-client` keeps registries and atomics for values that here stand
//! in the snapshot, and would add eight packages.
//!
//! [OpenMetrics]: https://prometheus.io/docs/specs/om/open_metrics_spec/

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::export::text;
use crate::snapshot::{LinkView, NodeState, Snapshot};
use crate::wire::NodeId;

use exposition::Writer;
use families::{self as family, Family};

mod exposition;
mod families;
mod process;

pub use exposition::Exposition;
pub use process::Process;

/// The most own links that have series. Nodes have eight links, or 16 in a full mesh. At half, a hub with some more lacks series; at
/// double, a node that many dial makes hundreds of series.
pub const MAX_OWN_LINKS: usize = 64;

/// The most links of the whole network that whoever asks for the worst ones gets. At half, a network of 50 can't be shown whole; at
/// double, one answer has thousands of series.
pub const MAX_WORST_LINKS: usize = 500;

/// The upper bounds of the histogram of round-trip times: in µs, and as the format writes them. From one rack to a satellite; with
/// half as many, a quantile is off by more than its double; each one more is a series a node.
const RTT_BOUNDS: [(u32, &str); 8] = [
    (200, "0.0002"),
    (1000, "0.001"),
    (5000, "0.005"),
    (20_000, "0.02"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (200_000, "0.2"),
    (500_000, "0.5"),
];

/// The least loss of a link that counts as lossy, in 1/1000, as in the pictures.
const LOSSY_PERMILLE: u16 = 10;

/// What a node may reject, so that each counter begins at zero and not with its first increase, which rates would miss.
const REJECTED: [&str; 31] = [
    "bad_credentials",
    "bad_hello",
    "claims_over_limit",
    "database_full",
    "dial_rests",
    "epoch_ahead",
    "expired_certificate",
    "figures_turned_away",
    "forged_record",
    "forged_revocations",
    "handshake_failed",
    "handshake_yielded",
    "handshakes_over_limit",
    "hello_missing",
    "hello_timeout",
    "joins_over_limit",
    "kept_out",
    "network_key_not_proven",
    "no_certificate",
    "not_allowed",
    "not_quic",
    "other_network",
    "over_limit",
    "protocol_violation",
    "records_turned_away",
    "revoked",
    "stalled",
    "two_bodies",
    "uncertified_record",
    "wrong_certificate",
    "wrong_label",
];

/// What is shown beside the snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// The figures of the process.
    pub process: Process,
    /// When the link to each peer came up, in ms since this node's start, as far as it is known.
    pub links_since_ms: BTreeMap<NodeId, i64>,
}

/// Renders the metrics; with `worst`, those of that many of the network's worst links too. Equal arguments give equal text.
#[must_use]
pub fn render(
    snapshot: &Snapshot,
    figures: &Figures,
    exposition: Exposition,
    worst: Option<usize>,
) -> String {
    let mut out = Writer::new(exposition);
    put_node(&mut out, snapshot, &figures.process);
    put_network(&mut out, snapshot);
    put_own_links(&mut out, snapshot, &figures.links_since_ms);
    if let Some(limit) = worst {
        put_worst_links(&mut out, snapshot, limit.min(MAX_WORST_LINKS));
    }
    out.finish()
}

fn put_node(out: &mut Writer, snapshot: &Snapshot, process: &Process) {
    let me = &snapshot.nodes[snapshot.me];
    let version = env!("CARGO_PKG_VERSION");
    out.put(&family::BUILD, &[("version", version)], 1);
    let id = short_id(snapshot, snapshot.me);
    let labels = [
        ("id", id.as_str()),
        ("label", &me.label),
        ("network", &snapshot.network),
    ];
    out.put(&family::NODE, &labels, 1);
    out.put(&family::CUT_OFF, &[], u8::from(snapshot.cut_off));
    let impaired = u8::from(snapshot.impaired.is_some());
    out.put(&family::IMPAIRED, &[], impaired);
    let mut rejected: BTreeMap<&str, u64> = REJECTED.map(|kind| (kind, 0)).into();
    for (kind, count) in &snapshot.rejected.0 {
        rejected.insert(kind, *count);
    }
    for (kind, count) in rejected {
        out.put(&family::REJECTED, &[("kind", kind)], count);
    }
    out.put(&family::PROCESS_START, &[], at(snapshot, 0));
    out.put(&family::PROCESS_CPU, &[], seconds(process.cpu.as_micros()));
    if let Some(bytes) = process.resident_bytes {
        out.put(&family::PROCESS_RESIDENT, &[], bytes);
    }
    if let Some(files) = process.open_files {
        out.put(&family::PROCESS_FILES, &[], files);
    }
}

fn put_network(out: &mut Writer, snapshot: &Snapshot) {
    for state in [NodeState::Up, NodeState::Unreachable, NodeState::Left] {
        let nodes = snapshot.nodes.iter().filter(|node| node.state == state);
        let labels = [("state", text::state(state))];
        out.put(&family::NODES, &labels, nodes.count());
    }
    let links = &snapshot.links;
    let count = |which: fn(&LinkView) -> bool| links.iter().filter(|link| which(link)).count();
    out.put(&family::LINKS, &[], links.len());
    out.put(&family::STALE, &[], count(|link| link.rtt_stale));
    out.put(&family::SUSPECT, &[], count(|link| link.suspect));
    let lossy = count(|link| link.loss_permille >= LOSSY_PERMILLE);
    out.put(&family::LOSSY, &[], lossy);
    let mut counts = [0_u64; RTT_BOUNDS.len()];
    let (mut total, mut sum_us) = (0_u64, 0_u128);
    for rtt_us in links.iter().filter_map(|link| link.rtt_us) {
        for (count, _) in counts
            .iter_mut()
            .zip(RTT_BOUNDS)
            .filter(|(_, (bound, _))| rtt_us <= *bound)
        {
            *count += 1;
        }
        total += 1;
        sum_us += u128::from(rtt_us);
    }
    let buckets = RTT_BOUNDS
        .iter()
        .zip(counts)
        .map(|((_, bound), count)| (*bound, count));
    out.put_histogram(&family::NETWORK_RTT, buckets, total, seconds(sum_us));
    let measured = links.iter().filter(|link| link.rtt_us.is_some());
    if let Some(oldest) = measured.map(|link| link.rtt_at_ms).min() {
        out.put(&family::OLDEST, &[], at(snapshot, oldest));
    }
}

/// Writes the figures of this node's links, of the lowest ids if there are too many: those of the worst ones would come and go.
fn put_own_links(out: &mut Writer, snapshot: &Snapshot, since_ms: &BTreeMap<NodeId, i64>) {
    let me = snapshot.me;
    let peer = |link: &LinkView| match (link.dialer == me, link.listener == me) {
        (true, _) => Some((link.listener, "out")),
        (_, true) => Some((link.dialer, "in")),
        (false, false) => None,
    };
    let links = snapshot.links.iter();
    let mut own: Vec<_> = links.filter_map(|link| Some((peer(link)?, link))).collect();
    own.sort_unstable_by_key(|((peer, _), _)| *peer);
    out.put(&family::OWN_LINKS, &[], own.len());
    own.truncate(MAX_OWN_LINKS);
    let own: Vec<_> = own
        .into_iter()
        .map(|((peer, direction), link)| (peer, short_id(snapshot, peer), direction, link))
        .collect();
    let mut put = |family: &Family, value: &dyn Fn(usize, &LinkView) -> Option<String>| {
        for (peer, id, direction, link) in &own {
            if let Some(value) = value(*peer, link) {
                let label = &*snapshot.nodes[*peer].label;
                let labels = [("peer", label), ("id", id), ("direction", direction)];
                out.put(family, &labels, value);
            }
        }
    };
    put(&family::LINK_RTT, &|_, link| rtt(link));
    put(&family::LINK_RTT_AT, &|_, link| {
        link.rtt_us.map(|_| at(snapshot, link.rtt_at_ms))
    });
    put(&family::LINK_LOSS, &|_, link| Some(loss(link)));
    put(&family::LINK_SUSPECT, &|_, link| {
        Some(u8::from(link.suspect).to_string())
    });
    put(&family::LINK_SINCE, &|peer, _| {
        let since_ms = since_ms.get(&snapshot.nodes[peer].id)?;
        Some(at(snapshot, *since_ms))
    });
}

/// Writes the figures of the worst links: suspect ones first, then those that lose most, then the slowest.
fn put_worst_links(out: &mut Writer, snapshot: &Snapshot, limit: usize) {
    let mut worst: Vec<&LinkView> = snapshot.links.iter().collect();
    let rank = |link: &&LinkView| {
        let badness = (link.suspect, link.loss_permille, link.rtt_us);
        (Reverse(badness), link.dialer, link.listener)
    };
    if worst.len() > limit {
        worst.select_nth_unstable_by_key(limit, rank);
        worst.truncate(limit);
    }
    worst.sort_unstable_by_key(rank);
    let mut put = |family: &Family, value: &dyn Fn(&LinkView) -> Option<String>| {
        for link in &worst {
            if let Some(value) = value(link) {
                let ends = [link.dialer, link.listener];
                let [dialer_id, listener_id] = ends.map(|end| short_id(snapshot, end));
                let [dialer, listener] = ends.map(|end| &*snapshot.nodes[end].label);
                let labels = [
                    ("dialer", dialer),
                    ("dialer_id", &dialer_id),
                    ("listener", listener),
                    ("listener_id", &listener_id),
                ];
                out.put(family, &labels, value);
            }
        }
    };
    put(&family::WORST_RTT, &rtt);
    put(&family::WORST_LOSS, &|link| Some(loss(link)));
    put(&family::WORST_SUSPECT, &|link| {
        Some(u8::from(link.suspect).to_string())
    });
}

/// The beginning of a node's id as in the log; all of it, if another node's begins in the same way, so that no two are equal.
fn short_id(snapshot: &Snapshot, index: usize) -> String {
    text::name(&snapshot.nodes, index).split_off(1)
}

fn rtt(link: &LinkView) -> Option<String> {
    link.rtt_us.map(|rtt_us| seconds(rtt_us.into()))
}

fn loss(link: &LinkView) -> String {
    let (whole, thousandths) = (link.loss_permille / 1000, link.loss_permille % 1000);
    format!("{whole}.{thousandths:03}")
}

/// A time in ms since this node's start, as Unix time in seconds.
fn at(snapshot: &Snapshot, ms: i64) -> String {
    let unix_ms = snapshot.unix_ms(ms);
    format!("{}.{:03}", unix_ms / 1000, unix_ms % 1000)
}

fn seconds(us: u128) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

#[cfg(test)]
mod tests;
