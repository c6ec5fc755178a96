//! What pictures say of nodes and links, as plain text.
//!
//! A label is any text, perhaps hostile. [`plain`] takes away what could imitate something else on a screen; what a format's own
//! syntax gives a meaning, the format escapes.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::choice::{Choice, Rule};
use crate::snapshot::{LinkView, NodeState, NodeView, Snapshot};

/// The least loss that is shown, in 1/1000. Less is noise.
const SHOWN_LOSS_PERMILLE: u16 = 10;

/// The longest label that is shown, in characters. Longer ones are cut, since one very wide node makes a diagram unreadable.
pub(super) const MAX_SHOWN_LABEL: usize = 256;

/// The longest impairment rules that are shown, in characters. Longer ones are cut, for the same reason.
const MAX_SHOWN_RULES: usize = 48;

/// The text of a node of the snapshot: its label, at most `max_label` characters of it, its address, its state unless it is up,
/// and how this node impairs itself. One line each.
pub(super) fn node(snapshot: &Snapshot, index: usize, max_label: usize) -> String {
    let node = &snapshot.nodes[index];
    let mut text = if is_blank(&node.label) {
        node.id.short()
    } else {
        cut(&node.label, max_label)
    };
    text.push('\n');
    text.push_str(&place(node.addrs.first()));
    if node.state != NodeState::Up {
        text.push('\n');
        text.push_str(state(node.state));
    }
    if index == snapshot.me
        && let Some(rules) = &snapshot.impaired
    {
        text.push_str("\nimpaired: ");
        text.push_str(&cut(rules, MAX_SHOWN_RULES));
    }
    text
}

/// The name of a state.
pub(crate) fn state(state: NodeState) -> &'static str {
    match state {
        NodeState::Up => "up",
        NodeState::Unreachable => "unreachable",
        NodeState::Left => "left",
    }
}

/// The text of a link: its round-trip time, what it loses, whether it is suspect, and whether the other end disagrees. It contains neither quotes nor brackets.
pub(super) fn link(link: &LinkView) -> String {
    let mut text = match link.rtt_us {
        None => "…".to_owned(),
        Some(rtt_us) if link.rtt_stale => format!("{rtt_us} µs ?"),
        Some(rtt_us) => format!("{rtt_us} µs"),
    };
    if link.loss_permille >= SHOWN_LOSS_PERMILLE {
        let (percent, tenth) = (link.loss_permille / 10, link.loss_permille % 10);
        write!(text, ", {percent}.{tenth} % lost").expect("a write to a String can't fail");
    }
    if link.suspect {
        text.push_str(", suspect");
    }
    if link.disputed_ms.is_some() {
        text.push_str(", disputed");
    }
    text
}

/// The lines of the note above a picture: what a reader must know of it. None: nothing.
pub(super) fn note(snapshot: &Snapshot, choice: &Choice) -> Vec<String> {
    let mut lines = Vec::new();
    if snapshot.cut_off {
        lines.push("cut off: this node has lost all its links".to_owned());
        lines.push("the rest of this picture may be out of date".to_owned());
    }
    let (nodes, links) = (snapshot.nodes.len(), snapshot.links.len());
    let (shown_nodes, shown_links) = (choice.nodes.len(), choice.links.len());
    if (shown_nodes, shown_links) != (nodes, links) {
        let rule = match choice.rule {
            Rule::Nearest => "the nodes nearest to this one",
            Rule::Neighbours => "this node, its neighbours and the links between them",
            Rule::Tree if shown_nodes == nodes => "the shortest path to each node",
            Rule::Tree => "the nodes nearest to this one, and the shortest path to each",
        };
        lines.push(format!(
            "{shown_nodes} of {nodes} nodes and {shown_links} of {links} links are shown: {rule}"
        ));
        lines.push("network.json lists all".to_owned());
    }
    lines
}

/// A node's name in a picture: `n` and ten hexadecimal digits, or the whole id if another node shares those digits. The nodes are
/// sorted by id, so nodes that share digits are adjacent.
pub(crate) fn name(nodes: &[NodeView], index: usize) -> String {
    // Ten digits are five bytes.
    let own = &nodes[index].id;
    let before = index.checked_sub(1).and_then(|before| nodes.get(before));
    let mut adjacent = before.into_iter().chain(nodes.get(index + 1));
    if adjacent.any(|node| node.id.0[..5] == own.0[..5]) {
        format!("n{own}")
    } else {
        format!("n{}", own.short())
    }
}

/// The characters of a text as a picture shows them.
///
/// Every kind of line break becomes `\n`, and a tab becomes a space. Other control characters, bidirectional controls and
/// noncharacters (which XML forbids) become U+FFFD, so that a label can't imitate something else.
pub(crate) fn plain(text: &str) -> impl Iterator<Item = char> {
    let mut characters = text.chars().peekable();
    std::iter::from_fn(move || {
        let character = match characters.next()? {
            '\r' => {
                characters.next_if_eq(&'\n');
                '\n'
            }
            '\n' | '\u{2028}' | '\u{2029}' => '\n',
            '\t' => ' ',
            deceptive if is_deceptive(deceptive) => '\u{fffd}',
            other => other,
        };
        Some(character)
    })
}

/// Cuts a text to `most` characters.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A node's address as shown: on loopback the port identifies it; elsewhere most ports are equal.
fn place(address: Option<&SocketAddr>) -> String {
    match address {
        None => "no address".to_owned(),
        Some(address) if address.ip().to_canonical().is_loopback() => {
            format!(":{}", address.port())
        }
        Some(address) => address.to_string(),
    }
}

/// Whether a character is a control character, a bidirectional control or a noncharacter.
pub(super) fn is_deceptive(character: char) -> bool {
    let code = u32::from(character);
    character.is_control()
        || matches!(code, 0x061c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x206f | 0xfdd0..=0xfdef)
        || code & 0xfffe == 0xfffe
}

/// Whether a label shows nothing: it is empty, or consists of white space and zero-width characters.
pub(super) fn is_blank(label: &str) -> bool {
    label.chars().all(|character| {
        character.is_whitespace()
            || matches!(u32::from(character),
                0x00ad | 0x034f | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200d
                | 0x2060..=0x2064 | 0x2800 | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff9..=0xfffb
                | 0xe0000..=0xe0fff)
    })
}
