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

use super::choice::{Choice, Rule};
use super::text;
use crate::settings::Shows;
use crate::snapshot::{LinkView, Snapshot};

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
        names[index] = text::name(&snapshot.nodes, index);
        put_node(&mut out, &names[index], snapshot, index);
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
    let lines = text::note(snapshot, choice);
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

fn put_node(out: &mut String, name: &str, snapshot: &Snapshot, index: usize) {
    let text = quoted(&text::node(snapshot, index, text::MAX_SHOWN_LABEL));
    let class = text::state(snapshot.nodes[index].state);
    let class = if index == snapshot.me {
        format!("[{class}; me]")
    } else {
        class.to_owned()
    };
    writeln!(out, "{name}: {text} {{class: {class}}}").expect("a write to a String can't fail");
}

fn put_link(out: &mut String, dialer: &str, listener: &str, link: &LinkView, leftward: bool) {
    let text = text::link(link);
    let class = if link.suspect { "suspect" } else { "link" };
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

/// Quotes a text as a d2 string that contains no markup.
///
/// A label can't imitate something else either: control characters, bidirectional controls and noncharacters become U+FFFD.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    out.push('"');
    for character in text::plain(text) {
        match character {
            '\n' => out.push_str("\\n"),
            '\\' | '"' | '$' => {
                out.push('\\');
                out.push(character);
            }
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
