//! Which node a person means by a label, the beginning of an id, or an address.

use std::net::{IpAddr, SocketAddr};

use super::types::{Candidate, Failure, FailureKind};
use crate::nearest;
use crate::snapshot::{NodeState, NodeView, Snapshot};

/// The fewest digits of an id that select a node. With three, one of 4096 beginnings, a short hexadecimal word that is a mistyped
/// label (`ada`) soon hits some node of a large network; with eight, people copy more than they need.
const LEAST_DIGITS: usize = 4;
/// The most nodes that are offered where several may be meant; more than a screen of them helps nobody.
const MOST_CANDIDATES: usize = 20;
/// Up to this number of nodes an error lists all labels; in a larger network, it names the nearest.
const FEW: usize = 12;
/// The longest part of a question that an error repeats, in characters.
const LONGEST: usize = 100;

/// Why no node was selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectError {
    /// No node matches.
    None {
        /// Labels that may have been meant: all in their order, or the nearest first.
        nearest: Vec<String>,
        /// Whether these are all labels.
        all: bool,
    },
    /// Several nodes match.
    Several {
        /// The nodes, as indices in the snapshot.
        nodes: Vec<usize>,
    },
}

/// Finds the node that a text means. An exact label comes first. If several nodes have it, the only one that is up is meant. Then the
/// beginning of an id, of at least four digits, then an address: `[::1]:8090`, an IP alone, or `:8090`.
///
/// # Errors
/// If no node matches, or several do.
pub fn select(snapshot: &Snapshot, text: &str) -> Result<usize, SelectError> {
    let matching = |is: &dyn Fn(&NodeView) -> bool| -> Vec<usize> {
        let nodes = snapshot.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| is(node))
            .map(|(at, _)| at)
            .collect()
    };
    let called = matching(&|node| *node.label == *text);
    let up = |&index: &usize| snapshot.nodes[index].state == NodeState::Up;
    let mut up = called.iter().copied().filter(up);
    if let (Some(only), None) = (up.next(), up.next()) {
        return Ok(only);
    }
    let digits = text.to_ascii_lowercase();
    let is_id =
        digits.len() >= LEAST_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    for nodes in [
        called,
        if is_id {
            matching(&|node| node.id.to_string().starts_with(&digits))
        } else {
            Vec::new()
        },
        Address::parse(text).map_or_else(Vec::new, |address| {
            matching(&|node| node.addrs.iter().any(|addr| address.is(*addr)))
        }),
    ] {
        match nodes[..] {
            [] => {}
            [only] => return Ok(only),
            _ => return Err(SelectError::Several { nodes }),
        }
    }
    Err(none(snapshot, text))
}

fn none(snapshot: &Snapshot, text: &str) -> SelectError {
    let labels = snapshot.nodes.iter().map(|node| &*node.label);
    let mut labels: Vec<&str> = labels.collect();
    labels.sort_unstable();
    labels.dedup();
    let all = labels.len() <= FEW;
    if !all {
        labels.sort_by_cached_key(|label| nearest::edits(text, label));
        labels.truncate(3);
    }
    let nearest = labels.into_iter().map(str::to_owned).collect();
    SelectError::None { nearest, all }
}

/// An address as people write it.
enum Address {
    Whole(SocketAddr),
    Ip(IpAddr),
    Port(u16),
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        if let Some(port) = text.strip_prefix(':')
            && let Ok(port) = port.parse()
        {
            return Some(Self::Port(port));
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let whole = text.parse().map(Self::Whole);
        whole
            .or_else(|_| bare.unwrap_or(text).parse().map(Self::Ip))
            .ok()
    }

    fn is(&self, addr: SocketAddr) -> bool {
        match *self {
            Self::Whole(own) => own == addr,
            Self::Ip(own) => own == addr.ip(),
            Self::Port(own) => own == addr.port(),
        }
    }
}

impl SelectError {
    /// The API's answer to a question about `text`.
    #[must_use]
    pub fn failure(&self, snapshot: &Snapshot, text: &str) -> Failure {
        let text = cut(text);
        match self {
            Self::None { nearest, all } => {
                let list: Vec<String> = nearest.iter().map(|label| cut(label)).collect();
                let hint = match (&list[..], all) {
                    ([], _) => String::new(),
                    (_, true) => format!("known: {}", list.join(", ")),
                    (_, false) => format!("the nearest labels: {}", list.join(", ")),
                };
                let what = format!("no node is called \"{text}\"");
                Failure::new(FailureKind::NoNode, what, hint)
            }
            Self::Several { nodes } => {
                let what = format!("{} nodes match \"{text}\"", nodes.len());
                let hint = "write more digits of the id, or the whole address".to_owned();
                let candidates = nodes.iter().take(MOST_CANDIDATES).map(|&index| {
                    let node = &snapshot.nodes[index];
                    Candidate {
                        id: node.id.to_string(),
                        label: (*node.label).to_owned(),
                        address: node.addrs.first().map(ToString::to_string),
                    }
                });
                Failure {
                    candidates: candidates.collect(),
                    ..Failure::new(FailureKind::SeveralNodes, what, hint)
                }
            }
        }
    }
}

fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(LONGEST).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::graph::example::snapshot;
    use crate::wire::NodeId;

    fn named(labels: &[&str]) -> Snapshot {
        let mut view = snapshot(labels.len(), &[]);
        for (node, label) in view.nodes.iter_mut().zip(labels) {
            node.label = Arc::from(*label);
        }
        view
    }

    fn several(nodes: &[usize]) -> Result<usize, SelectError> {
        let nodes = nodes.to_vec();
        Err(SelectError::Several { nodes })
    }

    #[test]
    fn a_label_an_id_and_an_address_select_a_node() {
        let mut view = named(&["alice", "bob", "carol"]);
        view.nodes[2].addrs.push("192.0.2.7:9000".parse().unwrap());
        let id = view.nodes[1].id.to_string();
        for (text, node) in [
            ("alice", 0),
            ("bob", 1),
            (&id, 1),
            (&id[..4], 1),
            (&id[..10].to_uppercase(), 1),
            ("[::1]:8002", 2),
            (":8000", 0),
            ("192.0.2.7:9000", 2),
            ("192.0.2.7", 2),
            (":9000", 2),
        ] {
            assert_eq!(select(&view, text), Ok(node), "{text}");
        }
        assert_eq!(select(&view, "::1"), several(&[0, 1, 2]));
        assert_eq!(select(&view, "[::1]"), several(&[0, 1, 2]));
        for bad in [
            "",
            "Alice",
            &id[..3],
            "[::1]:9",
            ":",
            ":99999",
            "192.0.2.8",
            "alic",
        ] {
            assert!(
                matches!(select(&view, bad), Err(SelectError::None { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_label_comes_before_an_id_and_an_id_before_an_address() {
        let mut view = named(&["x", "y", "z"]);
        view.nodes[1].id = NodeId([0xab; 32]);
        view.nodes[2].label = Arc::from("abab");
        assert_eq!(select(&view, "abab"), Ok(2));
        assert_eq!(select(&view, "ababa"), Ok(1));
        view.nodes[0].label = Arc::from(":8001");
        assert_eq!(select(&view, ":8001"), Ok(0));
    }

    #[test]
    fn of_several_nodes_with_one_label_the_only_one_that_is_up_is_meant() {
        let mut view = named(&["bob", "bob", "bob"]);
        assert_eq!(select(&view, "bob"), several(&[0, 1, 2]));
        view.nodes[0].state = NodeState::Unreachable;
        view.nodes[2].state = NodeState::Left;
        assert_eq!(select(&view, "bob"), Ok(1));
        view.nodes[1].state = NodeState::Left;
        assert_eq!(select(&view, "bob"), several(&[0, 1, 2]));
    }

    #[test]
    fn an_error_lists_what_may_be_meant_and_is_bounded() {
        let view = named(&["alice", "bob", "carol"]);
        let error = select(&view, "alcie").unwrap_err();
        let failure = error.failure(&view, "alcie").error;
        assert_eq!(failure.what, "no node is called \"alcie\"");
        assert_eq!(failure.hint, "known: alice, bob, carol");

        let many = snapshot(1000, &[]);
        let long = "n99".to_owned() + &"9".repeat(10_000);
        let failure = select(&many, &long).unwrap_err().failure(&many, &long);
        assert!(failure.error.what.len() < 200, "{failure:?}");
        assert!(failure.error.hint.starts_with("the nearest labels: "));

        let all = select(&many, "::1").unwrap_err().failure(&many, "::1");
        assert_eq!(all.error.what, "1000 nodes match \"::1\"");
        assert_eq!(all.candidates.len(), MOST_CANDIDATES);
        assert_eq!(all.candidates[3].address.as_deref(), Some("[::1]:8003"));
    }

    #[test]
    fn a_node_alone_is_known() {
        let alone = snapshot(1, &[]);
        let failure = select(&alone, "x").unwrap_err().failure(&alone, "x");
        assert_eq!(failure.error.hint, "known: n0");
    }
}
