//! `peers.json` and `network.json`.
//!
//! `peers.json` is a JSON array of socket addresses, one a line. It has the format of a target file and can be used as one. It
//! contains the addresses of every node that is up, except this node's own.
//!
//! `network.json` is the whole snapshot for programs, one node and one link a line. Field names are stable. New fields may be
//! added; a change that breaks readers increments `format`:
//!
//! | field | meaning |
//! | --- | --- |
//! | `format` | 1 |
//! | `network` | the network's name |
//! | `node` | the id (64 hex digits) of the node whose view this is |
//! | `cut_off` | that node has lost all its links, so the rest may be out of date |
//! | `impaired` | the impairment of what that node sends, in netem's syntax, or null |
//! | `nodes[].id` | 64 hex digits |
//! | `nodes[].label` | the label that the node has given itself: any text |
//! | `nodes[].addresses[]` | the addresses to dial, such as `[::1]:8090`; if one has worked, it is the first |
//! | `nodes[].state` | `up`, `unreachable` or `left` |
//! | `nodes[].changed_ms` | when `state` last changed, in Unix ms |
//! | `links[].dialer`, `links[].listener` | the ids of the two ends |
//! | `links[].rtt_us` | the smoothed round-trip time in µs, or null before the first measurement; of the node's own links it is its own, of all others the dialer's |
//! | `links[].rtt_measured_ms` | when that was measured, in Unix ms |
//! | `links[].rtt_stale` | the measurement is older than measurements of this network should be |
//! | `links[].loss_percent` | the percentage of unanswered probes, 0.0 to 100.0; an underestimate before 32 probes |
//! | `links[].suspect` | one end gets no answers, and the verdict is still open |
//! | `links[].measured_by` | which end measured that: `dialer` or `listener` |
//! | `links[].other` | what the other end tells: `rtt_us`, `rtt_measured_ms` and `loss_percent`; null if it told nothing |
//! | `links[].disputed_since_ms` | since when the two ends disagree, in Unix ms, so that the figures are one end's claim; or null |
//! | `rejected` | what this node has rejected: a count for each kind |

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::snapshot::{LinkView, NodeState, NodeView, Rejected, Snapshot};

/// The version of `network.json`'s format.
pub const NETWORK_FORMAT: u32 = 1;

/// The approximate length of a line. It sizes the buffer in advance.
const BYTES_A_LINE: usize = 256;

/// Renders `peers.json`: the addresses of all nodes that are up, without this one, in the format of a target file.
///
/// The addresses are sorted and unique, so equal sets give equal bytes.
#[must_use]
pub fn peers(snapshot: &Snapshot) -> Vec<u8> {
    let addresses: BTreeSet<SocketAddr> = snapshot
        .nodes
        .iter()
        .enumerate()
        .filter(|(index, node)| *index != snapshot.me && node.state == NodeState::Up)
        .flat_map(|(_, node)| node.addrs.iter().copied())
        .collect();
    let mut out = Vec::with_capacity(addresses.len() * 32 + 4);
    put_list(&mut out, &addresses);
    out.push(b'\n');
    out
}

/// Renders `network.json`, the whole snapshot for programs. The module's documentation lists the fields.
#[must_use]
pub fn network(snapshot: &Snapshot) -> Vec<u8> {
    let ids: Vec<String> = snapshot
        .nodes
        .iter()
        .map(|node| node.id.to_string())
        .collect();
    let lines = snapshot.nodes.len() + snapshot.links.len() + 4;
    let mut out = Vec::with_capacity(lines * BYTES_A_LINE);
    out.extend_from_slice(b"{\"format\":");
    put(&mut out, &NETWORK_FORMAT);
    out.extend_from_slice(b",\n\"network\":");
    put(&mut out, &snapshot.network);
    out.extend_from_slice(b",\n\"node\":");
    put(&mut out, &ids[snapshot.me]);
    out.extend_from_slice(b",\n\"cut_off\":");
    put(&mut out, &snapshot.cut_off);
    out.extend_from_slice(b",\n\"impaired\":");
    put(&mut out, &snapshot.impaired);
    out.extend_from_slice(b",\n\"nodes\":");
    let nodes = snapshot.nodes.iter().zip(&ids);
    put_list(
        &mut out,
        nodes.map(|(node, id)| NodeLine::new(snapshot, node, id)),
    );
    out.extend_from_slice(b",\n\"links\":");
    let links = snapshot.links.iter();
    put_list(
        &mut out,
        links.map(|link| LinkLine::new(snapshot, link, &ids)),
    );
    out.extend_from_slice(b",\n\"rejected\":");
    put(&mut out, &Counts(&snapshot.rejected));
    out.extend_from_slice(b"}\n");
    out
}

#[derive(serde::Serialize)]
struct NodeLine<'a> {
    id: &'a str,
    label: &'a str,
    addresses: &'a [SocketAddr],
    state: &'static str,
    changed_ms: u64,
}

impl<'a> NodeLine<'a> {
    fn new(snapshot: &Snapshot, node: &'a NodeView, id: &'a str) -> Self {
        Self {
            id,
            label: &node.label,
            addresses: &node.addrs,
            state: match node.state {
                NodeState::Up => "up",
                NodeState::Unreachable => "unreachable",
                NodeState::Left => "left",
            },
            changed_ms: snapshot.unix_ms(node.since_ms),
        }
    }
}

#[derive(serde::Serialize)]
struct LinkLine<'a> {
    dialer: &'a str,
    listener: &'a str,
    rtt_us: Option<u32>,
    rtt_measured_ms: u64,
    rtt_stale: bool,
    loss_percent: f64,
    suspect: bool,
    measured_by: &'static str,
    other: Option<OtherEnd>,
    disputed_since_ms: Option<u64>,
}

#[derive(serde::Serialize)]
struct OtherEnd {
    rtt_us: u32,
    rtt_measured_ms: u64,
    loss_percent: f64,
}

impl<'a> LinkLine<'a> {
    fn new(snapshot: &Snapshot, link: &LinkView, ids: &'a [String]) -> Self {
        Self {
            dialer: &ids[link.dialer],
            listener: &ids[link.listener],
            rtt_us: link.rtt_us,
            rtt_measured_ms: snapshot.unix_ms(link.rtt_at_ms),
            rtt_stale: link.rtt_stale,
            loss_percent: f64::from(link.loss_permille) / 10.0,
            suspect: link.suspect,
            measured_by: match link.is_measured_by_listener(snapshot.me) {
                true => "listener",
                false => "dialer",
            },
            other: link.other.map(|end| OtherEnd {
                rtt_us: end.rtt_us,
                rtt_measured_ms: snapshot.unix_ms(end.rtt_at_ms),
                loss_percent: f64::from(end.loss_permille) / 10.0,
            }),
            disputed_since_ms: link.disputed_ms.map(|since| snapshot.unix_ms(since)),
        }
    }
}

struct Counts<'a>(&'a Rejected);

impl Serialize for Counts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Rejected(counts) = self.0;
        let mut map = serializer.serialize_map(Some(counts.len()))?;
        for (name, count) in counts {
            map.serialize_entry(name, count)?;
        }
        map.end()
    }
}

/// Appends an array with one compact element a line.
fn put_list<T: Serialize>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>) {
    out.push(b'[');
    let mut separator: &[u8] = b"\n";
    let mut any = false;
    for item in items {
        out.extend_from_slice(separator);
        put(out, &item);
        separator = b",\n";
        any = true;
    }
    if any {
        out.push(b'\n');
    }
    out.push(b']');
}

fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value)
        .expect("a write to a Vec can't fail, and our keys are strings");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::export::example;
    use crate::snapshot::EndFigures;

    #[test]
    fn peers_lists_the_addresses_of_the_others_that_are_up() {
        let text = String::from_utf8(peers(&example::three())).expect("UTF-8");
        assert_eq!(text, "[\n\"[::1]:8090\"\n]\n");
        let read: Vec<SocketAddr> = serde_json::from_str(&text).expect("a target file");
        assert_eq!(read.len(), 1);
    }

    #[test]
    fn a_node_alone_lists_nobody() {
        assert_eq!(peers(&example::alone()), b"[]\n");
    }

    #[test]
    fn an_address_of_two_nodes_is_listed_once() {
        let mut snapshot = example::three();
        for node in &mut snapshot.nodes {
            node.state = NodeState::Up;
            node.addrs = vec!["[::1]:9".parse().expect("an address")];
        }
        assert_eq!(peers(&snapshot), b"[\n\"[::1]:9\"\n]\n");
    }

    #[test]
    fn network_lists_one_node_and_one_link_a_line() {
        let text = String::from_utf8(network(&example::three())).expect("UTF-8");
        let a = "11".repeat(32);
        let b = "22".repeat(32);
        let c = "33".repeat(32);
        let expected = format!(
            r#"{{"format":1,
"network":"area",
"node":"{b}",
"cut_off":false,
"impaired":null,
"nodes":[
{{"id":"{a}","label":"alice","addresses":["[::1]:8090"],"state":"up","changed_ms":1000}},
{{"id":"{b}","label":"bob","addresses":["[::1]:8095"],"state":"up","changed_ms":1000}},
{{"id":"{c}","label":"carol","addresses":["[::1]:8085"],"state":"unreachable","changed_ms":1000}}
],
"links":[
{{"dialer":"{b}","listener":"{a}","rtt_us":312,"rtt_measured_ms":2000,"rtt_stale":false,"loss_percent":0.0,"suspect":false,"measured_by":"dialer","other":null,"disputed_since_ms":null}}
],
"rejected":{{"bad_signature":2}}}}
"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn the_other_end_is_shown() {
        let mut snapshot = example::three();
        // Of a link that this node did not dial, the figures are its own.
        snapshot.me = snapshot.links[0].listener;
        snapshot.links[0].other = Some(EndFigures {
            rtt_us: 9000,
            rtt_at_ms: 1500,
            loss_permille: 13,
        });
        snapshot.links[0].disputed_ms = Some(1600);
        let text = String::from_utf8(network(&snapshot)).expect("UTF-8");
        let told = r#""measured_by":"listener","other":{"rtt_us":9000,"rtt_measured_ms":1500,"loss_percent":1.3},"disputed_since_ms":1600}"#;
        assert!(text.contains(told), "{text}");
    }

    #[test]
    fn an_impairment_is_shown() {
        let mut snapshot = example::three();
        snapshot.impaired = Some(Arc::from("delay 40ms"));
        let text = String::from_utf8(network(&snapshot)).expect("UTF-8");
        assert!(text.contains("\n\"impaired\":\"delay 40ms\",\n"), "{text}");
    }

    #[test]
    fn a_network_of_one_node_is_valid_json() {
        let value: serde_json::Value =
            serde_json::from_slice(&network(&example::alone())).expect("JSON");
        assert_eq!(value["links"], serde_json::json!([]));
        assert_eq!(value["rejected"], serde_json::json!({}));
    }

    proptest! {
        #[test]
        fn any_label_and_network_name_are_unchanged(label in any::<String>(), name in any::<String>(), loss in 0_u16..=1000) {
            let mut snapshot = example::three();
            snapshot.nodes[0].label = Arc::from(label.as_str());
            snapshot.network = Arc::from(name.as_str());
            snapshot.links[0].loss_permille = loss;
            let value: serde_json::Value = serde_json::from_slice(&network(&snapshot)).expect("JSON");
            prop_assert_eq!(value["nodes"][0]["label"].as_str(), Some(label.as_str()));
            prop_assert_eq!(value["network"].as_str(), Some(name.as_str()));
            let percent = value["links"][0]["loss_percent"].as_f64().expect("a number");
            prop_assert!((percent * 10.0 - f64::from(loss)).abs() < 1e-9);
        }
    }
}
