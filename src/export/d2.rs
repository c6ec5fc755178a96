//! `peers.d2`: a diagram of the network in the language of [d2](https://d2lang.com).
//!
//! Each node shows its label and its port, or its whole address if that is not on loopback. Each link is an arrow from the dialer
//! to the listener with the dialer's round-trip time: `312 µs`, `312 µs ?` if the measurement is stale, `…` before the first one.
//! The loss is shown from 1 % up. A node that is not up shows its state and is grey. This node is dark, with a bold label.
//!
//! A label is any text, perhaps hostile. It enters the file only through [`quoted`], whose result d2 shows as plain text. Ids in
//! the file consist of hexadecimal digits alone.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::snapshot::{LinkView, NodeState, NodeView, Snapshot};

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
pub fn picture(snapshot: &Snapshot) -> Vec<u8> {
    let names = names(&snapshot.nodes);
    let mut out = String::with_capacity(2048 + 96 * (snapshot.nodes.len() + snapshot.links.len()));
    put_head(&mut out, snapshot);
    for (index, node) in snapshot.nodes.iter().enumerate() {
        let me = index == snapshot.me;
        let impaired = snapshot.impaired.as_deref().filter(|_| me);
        put_node(&mut out, &names[index], node, me, impaired);
    }
    for link in &snapshot.links {
        put_link(&mut out, &names[link.dialer], &names[link.listener], link);
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
    fn of(nodes: usize) -> Self {
        let (node_font, link_font, line) = match nodes {
            0..=12 => (22, 18, 2),
            13..=40 => (36, 26, 3),
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
fn put_head(out: &mut String, snapshot: &Snapshot) {
    let Sizes {
        node_font,
        link_font,
        line,
    } = Sizes::of(snapshot.nodes.len());
    let (thin, thick) = (line.div_ceil(2), line * 2);
    let note = node_font + 6;
    let arrangement = arrangement(snapshot);
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
    if snapshot.cut_off {
        out.push_str(
            "note: \"cut off: this node has lost all its links\\nthe rest of this picture may be out of date\" \
             {class: note; near: top-center}\n",
        );
    }
}

/// The direction of the layout. Screens are wide, so arrows point to the right. Without links that would put all nodes into one
/// column, so they form a grid with twice as many columns as rows instead.
fn arrangement(snapshot: &Snapshot) -> String {
    let nodes = snapshot.nodes.len();
    if nodes == 1 || !snapshot.links.is_empty() {
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

fn put_link(out: &mut String, dialer: &str, listener: &str, link: &LinkView) {
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
    writeln!(out, "{dialer} -> {listener}: \"{text}\" {{class: {class}}}")
        .expect("a write to a String can't fail");
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

/// The nodes' names in the file: `n` and ten hexadecimal digits, or the whole id if two nodes share those digits. The nodes are
/// sorted by id, so nodes that share digits are adjacent.
fn names(nodes: &[NodeView]) -> Vec<String> {
    let shorts: Vec<String> = nodes.iter().map(|node| node.id.short()).collect();
    let same = |a: usize, b: Option<usize>| b.and_then(|b| shorts.get(b)) == shorts.get(a);
    nodes
        .iter()
        .enumerate()
        .map(|(index, node)| {
            if same(index, index.checked_sub(1)) || same(index, index.checked_add(1)) {
                format!("n{}", node.id)
            } else {
                format!("n{}", shorts[index])
            }
        })
        .collect()
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
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::export::example;
    use crate::wire::NodeId;

    fn lines(snapshot: &Snapshot) -> Vec<String> {
        let text = String::from_utf8(picture(snapshot)).expect("UTF-8");
        let (_, body) = text.split_once("\n}\n").expect("the end of the classes");
        body.lines().map(str::to_owned).collect()
    }

    /// The text that d2 shows for a quoted string.
    fn unquoted(quoted: &str) -> String {
        let inner = quoted
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .expect("quotes");
        let mut out = String::new();
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            assert!(character != '"' && character != '$', "unescaped");
            match character {
                '\\' => match characters.next().expect("something escaped") {
                    'n' => out.push('\n'),
                    escaped @ ('\\' | '"' | '$') => out.push(escaped),
                    other => panic!("a needless escape of {other:?}"),
                },
                _ => out.push(character),
            }
        }
        out
    }

    #[test]
    fn three_nodes() {
        let picture = lines(&example::three());
        assert_eq!(
            picture,
            [
                r#"n1111111111: "alice\n:8090" {class: up}"#,
                r#"n2222222222: "bob\n:8095" {class: [up; me]}"#,
                r#"n3333333333: "carol\n:8085\nunreachable" {class: unreachable}"#,
                r#"n2222222222 -> n1111111111: "312 µs" {class: link}"#,
            ]
        );
    }

    #[test]
    fn a_link_shows_rtt_age_loss_and_suspicion() {
        let mut snapshot = example::three();
        let mut label = |change: fn(&mut LinkView)| {
            snapshot.links[0] = example::link(1, 0, 312);
            change(&mut snapshot.links[0]);
            let line = lines(&snapshot).pop().expect("a link");
            line.split_once(": ").expect("a label").1.to_owned()
        };
        assert_eq!(label(|link| link.rtt_us = None), r#""…" {class: link}"#);
        assert_eq!(
            label(|link| link.rtt_stale = true),
            r#""312 µs ?" {class: link}"#
        );
        assert_eq!(
            label(|link| link.loss_permille = 9),
            r#""312 µs" {class: link}"#
        );
        assert_eq!(
            label(|link| link.loss_permille = 125),
            r#""312 µs, 12.5 % lost" {class: link}"#
        );
        assert_eq!(
            label(|link| link.suspect = true),
            r#""312 µs, suspect" {class: suspect}"#
        );
    }

    #[test]
    fn nodes_off_loopback_show_their_whole_address() {
        let mut snapshot = example::alone();
        let mut shown = |addrs: &[&str]| {
            snapshot.nodes[0].addrs = addrs
                .iter()
                .map(|text| text.parse().expect("an address"))
                .collect();
            lines(&snapshot).remove(0)
        };
        assert!(shown(&["127.0.0.1:9000"]).contains(r#""alice\n:9000""#));
        assert!(shown(&["192.0.2.7:9000", "[::1]:1"]).contains(r#""alice\n192.0.2.7:9000""#));
        assert!(shown(&["[2001:db8::1]:9000"]).contains(r#""alice\n[2001:db8::1]:9000""#));
        assert!(shown(&[]).contains(r#""alice\nno address""#));
    }

    #[test]
    fn a_cut_off_node_notes_that_its_view_may_be_out_of_date() {
        let mut snapshot = example::three();
        snapshot.cut_off = true;
        assert!(lines(&snapshot)[0].starts_with("note: \"cut off"));
    }

    #[test]
    fn an_impairment_is_shown_at_its_own_node_alone() {
        let mut snapshot = example::three();
        snapshot.impaired = Some(Arc::from("delay 40ms loss 5%"));
        let picture = lines(&snapshot);
        assert!(picture[1].contains(r#""bob\n:8095\nimpaired: delay 40ms loss 5%""#));
        assert!(picture[0].contains(r#""alice\n:8090""#));
        snapshot.impaired = Some(Arc::from("to [::1]:8090 loss 100%; ".repeat(9)));
        let shown = lines(&snapshot)[1]
            .split_once("impaired: ")
            .map(|(_, rest)| rest.to_owned());
        assert!(
            shown
                .expect("a note")
                .starts_with("to [::1]:8090 loss 100%; to [::1]:8090 loss 100%…\"")
        );
    }

    #[test]
    fn nodes_without_links_stand_in_a_grid() {
        let mut snapshot = example::three();
        snapshot.links.clear();
        assert_eq!(arrangement(&snapshot), "grid-rows: 1\ngrid-columns: 3");
        snapshot.nodes = (1..=100).map(|byte| example::node(byte, "x", 1)).collect();
        assert_eq!(arrangement(&snapshot), "grid-rows: 7\ngrid-columns: 15");
        assert_eq!(arrangement(&example::alone()), "direction: right");
    }

    #[test]
    fn nodes_that_share_ten_digits_get_their_whole_ids() {
        let mut snapshot = example::three();
        let mut twin = snapshot.nodes[0].clone();
        twin.id.0[31] = 0x12;
        snapshot.nodes.insert(1, twin);
        let names = names(&snapshot.nodes);
        assert_eq!(names[0].len(), 65);
        assert_eq!(names[1].len(), 65);
        assert_ne!(names[0], names[1]);
        assert_eq!(names[2], "n2222222222");
    }

    #[test]
    fn a_label_that_shows_nothing_is_replaced_by_the_short_id() {
        for blank in ["", " \t\n", "\u{200b}\u{feff}", "\u{2800}\u{3164}"] {
            let mut snapshot = example::alone();
            snapshot.nodes[0].label = Arc::from(blank);
            assert!(lines(&snapshot)[0].contains(r#""1111111111\n:8090""#));
        }
    }

    #[test]
    fn a_long_label_is_cut() {
        let mut snapshot = example::alone();
        snapshot.nodes[0].label = Arc::from("ä".repeat(100_000));
        assert!(lines(&snapshot)[0].contains(&format!("\"{}…\\n", "ä".repeat(MAX_SHOWN_LABEL))));
    }

    #[test]
    fn deceptive_characters_become_replacement_characters() {
        assert_eq!(
            quoted("a\u{202e}b\u{0}c\u{7f}"),
            "\"a\u{fffd}b\u{fffd}c\u{fffd}\""
        );
        assert_eq!(quoted("a\r\nb\rc\u{2028}d\te"), r#""a\nb\nc\nd e""#);
        assert_eq!(quoted(r#"\"${x}"#), r#""\\\"\${x}""#);
        // Emoji sequences keep their joiners.
        assert_eq!(quoted("👩\u{200d}🚀"), "\"👩\u{200d}🚀\"");
    }

    proptest! {
        #[test]
        fn any_label_stays_within_its_line_and_is_unchanged(label in any::<String>()) {
            let mut snapshot = example::alone();
            snapshot.nodes[0].label = Arc::from(label.as_str());
            let picture = lines(&snapshot);
            prop_assert_eq!(picture.len(), 1);
            let line = &picture[0];
            let text = line
                .strip_prefix("n1111111111: ")
                .and_then(|rest| rest.strip_suffix(" {class: [up; me]}"))
                .expect("name, label, class");
            let shown = unquoted(text);
            let shown = shown.strip_suffix("\n:8090").expect("the port");
            if is_blank(&label) {
                prop_assert_eq!(shown, "1111111111");
            } else if !label.contains(['\r', '\n', '\t', '\u{2028}', '\u{2029}']) {
                prop_assert_eq!(shown.chars().count(), label.chars().count());
                for (shown, given) in shown.chars().zip(label.chars()) {
                    let replaced = shown == char::REPLACEMENT_CHARACTER && is_deceptive(given);
                    prop_assert!(shown == given || replaced);
                }
            }
        }

        #[test]
        fn names_are_unique(ids in proptest::collection::btree_set(
            (0_u8..3, 0_u8..3).prop_map(|(first, last)| {
                let mut id = [0xab; 32];
                (id[4], id[31]) = (first, last);
                id
            }), 1..9)
        ) {
            let nodes: Vec<NodeView> = ids
                .iter()
                .map(|id| NodeView { id: NodeId(*id), ..example::node(0, "x", 1) })
                .collect();
            let names: std::collections::BTreeSet<String> = names(&nodes).into_iter().collect();
            prop_assert_eq!(names.len(), nodes.len());
        }
    }
}
