//! `peers.d2`: a diagram of the network in the language of [d2](https://d2lang.com).
//!
//! Each node shows its label and its port, or its whole address if that is not on loopback. Each link is an arrow from the dialer
//! to the listener with the dialer's round-trip time: `312 µs`, `312 µs ?` if the measurement is stale, `…` before the first one.
//! The loss is shown from 1 % up. A node that is not up shows its state and is grey. This node is dark, with a bold label. Of a
//! large network a part is drawn, and a note above it says what is missing.
//!
//! A label is any text, perhaps hostile. It enters the file only through [`quoted`], whose result d2 shows as plain text. Ids in
//! the file consist of hexadecimal digits alone.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::settings::Shows;
use crate::snapshot::{LinkView, NodeState, NodeView, Snapshot};

use choice::{Choice, Rule};

mod choice;

/// The least loss that is shown, in 1/1000. Less is noise.
const SHOWN_LOSS_PERMILLE: u16 = 10;

/// The longest label that is shown, in characters. Longer ones are cut, since one very wide node makes a diagram unreadable.
const MAX_SHOWN_LABEL: usize = 256;

/// The longest impairment rules that are shown, in characters. Longer ones are cut, for the same reason.
const MAX_SHOWN_RULES: usize = 48;

/// The placeholder for `peers.d2` before the first snapshot. `d2 --watch` needs a file to start, and draws nothing from an empty
/// one.
pub const NOTHING_YET: &str = "note: \"area-net has not drawn this network yet\" {shape: text}\n";

/// Renders `peers.d2`. Equal snapshots give equal bytes.
#[must_use]
pub fn picture(snapshot: &Snapshot, shows: Shows) -> Vec<u8> {
    let choice = Choice::of(snapshot, shows);
    let mut out = String::with_capacity(2048 + 96 * (choice.nodes.len() + choice.links.len()));
    put_head(&mut out, snapshot, &choice);
    let mut names = vec![String::new(); snapshot.nodes.len()];
    for &index in &choice.nodes {
        let me = index == snapshot.me;
        let impaired = snapshot.impaired.as_deref().filter(|_| me);
        names[index] = name(&snapshot.nodes, index);
        put_node(
            &mut out,
            &names[index],
            &snapshot.nodes[index],
            me,
            impaired,
        );
    }
    for drawn in &choice.links {
        let link = &snapshot.links[drawn.link];
        let [dialer, listener] = [link.dialer, link.listener].map(|end| &names[end]);
        put_link(&mut out, dialer, listener, link, drawn.leftward);
    }
    out.into_bytes()
}

/// Font sizes and line widths that keep a diagram legible as a whole. In the layout of a large network most space goes to the
/// arrows, and text of the default size would be too small beside it.
struct Sizes {
    node_font: u32,
    link_font: u32,
    line: u32,
}

impl Sizes {
    fn of(choice: &Choice) -> Self {
        let (node_font, link_font, line) = match choice.nodes.len() {
            0..=12 => (22, 18, 2),
            13..=40 => (36, 26, 3),
            // The links of a tree are short, and don't cross.
            _ if choice.rule == Rule::Tree => (72, 48, 5),
            _ => (72, 34, 5),
        };
        Self {
            node_font,
            link_font,
            line,
        }
    }
}

/// Writes the layout, the styles and the notes. Fill and font colours are set together, so that no theme can make them unreadable.
/// The colours of links are legible on light and dark backgrounds.
fn put_head(out: &mut String, snapshot: &Snapshot, choice: &Choice) {
    let Sizes {
        node_font,
        link_font,
        line,
    } = Sizes::of(choice);
    let (thin, thick) = (line.div_ceil(2), line * 2);
    let note = node_font + 6;
    let arrangement = arrangement(choice);
    write!(
        out,
        r##"# Written by area-net whenever the network changes; do not edit.
{arrangement}
classes: {{
  up: {{
    style: {{fill: "#eef4ff"; stroke: "#2f5fb3"; stroke-width: {line}; border-radius: 8; font-size: {node_font}; font-color: "#0a1a33"; bold: false}}
  }}
  unreachable: {{
    style: {{fill: "#f3f3f3"; stroke: "#8a8a8a"; stroke-width: {line}; stroke-dash: 5; border-radius: 8; font-size: {node_font}; font-color: "#707070"; bold: false; italic: true}}
  }}
  left: {{
    style: {{fill: "#fafafa"; stroke: "#b5b5b5"; stroke-width: {thin}; border-radius: 8; font-size: {node_font}; font-color: "#8a8a8a"; bold: false; italic: true}}
  }}
  me: {{
    style: {{fill: "#2f5fb3"; stroke: "#16386f"; stroke-width: {thick}; font-color: "#ffffff"; bold: true}}
  }}
  link: {{
    style: {{stroke: "#5677a8"; stroke-width: {line}; font-size: {link_font}; italic: false}}
  }}
  suspect: {{
    style: {{stroke: "#d9480f"; stroke-width: {line}; stroke-dash: 5; font-size: {link_font}; font-color: "#d9480f"; italic: false}}
  }}
  note: {{
    shape: text
    style: {{font-size: {note}; font-color: "#d9480f"; bold: true}}
  }}
}}
"##
    )
    .expect("a write to a String can't fail");
    put_note(out, snapshot, choice);
}

/// Writes one note for everything there is to say, since d2 puts two notes above the picture on top of each other.
fn put_note(out: &mut String, snapshot: &Snapshot, choice: &Choice) {
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
    if lines.is_empty() {
        return;
    }
    let text = quoted(&lines.join("\n"));
    let calm = if snapshot.cut_off {
        ""
    } else {
        "; style.font-color: \"#5677a8\""
    };
    writeln!(out, "note: {text} {{class: note; near: top-center{calm}}}")
        .expect("a write to a String can't fail");
}

/// The direction of the layout. Screens are wide, so arrows point to the right. Without links that would put all nodes into one
/// column, so they form a grid with twice as many columns as rows instead.
fn arrangement(choice: &Choice) -> String {
    let nodes = choice.nodes.len();
    if nodes == 1 || !choice.links.is_empty() {
        return "direction: right".to_owned();
    }
    let columns = (1..nodes).find(|columns| columns * columns >= 2 * nodes);
    let columns = columns.unwrap_or(nodes);
    format!(
        "grid-rows: {}\ngrid-columns: {columns}",
        nodes.div_ceil(columns)
    )
}

fn put_node(out: &mut String, name: &str, node: &NodeView, me: bool, impaired: Option<&str>) {
    let mut text = if is_blank(&node.label) {
        node.id.short()
    } else {
        cut(&node.label, MAX_SHOWN_LABEL)
    };
    text.push('\n');
    text.push_str(&place(node.addrs.first()));
    let class = match node.state {
        NodeState::Up => "up",
        NodeState::Unreachable => "unreachable",
        NodeState::Left => "left",
    };
    if node.state != NodeState::Up {
        text.push('\n');
        text.push_str(class);
    }
    if let Some(rules) = impaired {
        text.push_str("\nimpaired: ");
        text.push_str(&cut(rules, MAX_SHOWN_RULES));
    }
    let text = quoted(&text);
    let class = if me {
        format!("[{class}; me]")
    } else {
        class.to_owned()
    };
    writeln!(out, "{name}: {text} {{class: {class}}}").expect("a write to a String can't fail");
}

/// Cuts a text to `most` characters.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn put_link(out: &mut String, dialer: &str, listener: &str, link: &LinkView, leftward: bool) {
    let mut text = match link.rtt_us {
        None => "…".to_owned(),
        Some(rtt_us) if link.rtt_stale => format!("{rtt_us} µs ?"),
        Some(rtt_us) => format!("{rtt_us} µs"),
    };
    if link.loss_permille >= SHOWN_LOSS_PERMILLE {
        let (percent, tenth) = (link.loss_permille / 10, link.loss_permille % 10);
        write!(text, ", {percent}.{tenth} % lost").expect("a write to a String can't fail");
    }
    let class = if link.suspect {
        text.push_str(", suspect");
        "suspect"
    } else {
        "link"
    };
    let written = if leftward {
        // d2 places the first end to the left, except for `<-`, which is the same as `->` with the ends swapped.
        writeln!(
            out,
            "{listener} <-> {dialer}: \"{text}\" {{class: {class}; target-arrowhead.shape: none}}"
        )
    } else {
        writeln!(out, "{dialer} -> {listener}: \"{text}\" {{class: {class}}}")
    };
    written.expect("a write to a String can't fail");
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

/// A node's name in the file: `n` and ten hexadecimal digits, or the whole id if another node shares those digits. The nodes are
/// sorted by id, so nodes that share digits are adjacent.
fn name(nodes: &[NodeView], index: usize) -> String {
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

/// Quotes a text as a d2 string that contains no markup.
///
/// Every kind of line break becomes `\n`, and a tab becomes a space. Other control characters, bidirectional controls and
/// noncharacters (which XML forbids) become U+FFFD, so that a label can't imitate something else.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    out.push('"');
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' | '\r' | '\u{2028}' | '\u{2029}' => out.push_str("\\n"),
            '\t' => out.push(' '),
            '\\' | '"' | '$' => {
                out.push('\\');
                out.push(character);
            }
            _ if is_deceptive(character) => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

/// Whether a character is a control character, a bidirectional control or a noncharacter.
fn is_deceptive(character: char) -> bool {
    let code = u32::from(character);
    character.is_control()
        || matches!(code, 0x061c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x206f | 0xfdd0..=0xfdef)
        || code & 0xfffe == 0xfffe
}

/// Whether a label shows nothing: it is empty, or consists of white space and zero-width characters.
fn is_blank(label: &str) -> bool {
    label.chars().all(|character| {
        character.is_whitespace()
            || matches!(u32::from(character),
                0x00ad | 0x034f | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200d
                | 0x2060..=0x2064 | 0x2800 | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff9..=0xfffb
                | 0xe0000..=0xe0fff)
    })
}

#[cfg(test)]
mod tests;
