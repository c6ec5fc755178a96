//! The network as a flowchart of Mermaid, with the text of `peers.d2`.
//!
//! Mermaid refuses texts of more than 50,000 characters and charts of more than 500 links, and the chart can't raise these limits.
//! So a large network shows the part of it that `peers.d2` shows by default: at most 100 nodes, and a note says so.

use std::fmt::Write as _;

use super::super::choice::Choice;
use super::super::text;
use crate::settings::Shows;
use crate::snapshot::{NodeState, Snapshot};

/// The longest label of a node in a chart of up to 32 nodes, in characters, and in a larger one. A character may take eight in the
/// chart. At double, a chart of hostile labels exceeds what Mermaid accepts; at half, usual labels are cut.
const MAX_LABEL: usize = 64;
const MAX_LABEL_OF_MANY: usize = 32;

/// Beyond this number of nodes, a chart has many.
const FEW_NODES: usize = 32;

/// A character that takes no room, and at which no line breaks.
const WORD_JOINER: char = '\u{2060}';

/// Renders the snapshot.
pub(super) fn render(snapshot: &Snapshot) -> Vec<u8> {
    let choice = Choice::of(snapshot, Shows::Auto);
    let max_label = if choice.nodes.len() <= FEW_NODES {
        MAX_LABEL
    } else {
        MAX_LABEL_OF_MANY
    };
    let mut out = String::with_capacity(2048 + 256 * (choice.nodes.len() + choice.links.len()));
    out.push_str(HEAD);
    let note = text::note(snapshot, &choice);
    if !note.is_empty() {
        writeln!(out, "  note[\"{}\"]:::note", escaped(&note.join("\n")))
            .expect("a write to a String can't fail");
    }
    let mut names = vec![String::new(); snapshot.nodes.len()];
    for &index in &choice.nodes {
        names[index] = text::name(&snapshot.nodes, index);
        let class = match snapshot.nodes[index].state {
            _ if index == snapshot.me => "me",
            NodeState::Up => "up",
            NodeState::Unreachable => "unreachable",
            NodeState::Left => "left",
        };
        let label = escaped(&text::node(snapshot, index, max_label));
        writeln!(out, "  {}[\"{label}\"]:::{class}", names[index])
            .expect("a write to a String can't fail");
    }
    let mut suspects = Vec::new();
    for (place, drawn) in choice.links.iter().enumerate() {
        let link = &snapshot.links[drawn.link];
        let arrow = if link.suspect {
            suspects.push(place.to_string());
            "-.->"
        } else {
            "-->"
        };
        let [dialer, listener] = [link.dialer, link.listener].map(|end| &names[end]);
        writeln!(
            out,
            "  {dialer} {arrow}|\"{}\"| {listener}",
            text::link(link)
        )
        .expect("a write to a String can't fail");
    }
    if !suspects.is_empty() {
        writeln!(
            out,
            "  linkStyle {} stroke:#d9480f,color:#d9480f",
            suspects.join(",")
        )
        .expect("a write to a String can't fail");
    }
    out.into_bytes()
}

/// Fill and font colours are set together, so that no theme can make them unreadable.
const HEAD: &str = "flowchart LR
  classDef up fill:#eef4ff,stroke:#2f5fb3,color:#0a1a33
  classDef unreachable fill:#f3f3f3,stroke:#8a8a8a,color:#707070,stroke-dasharray:5
  classDef left fill:#fafafa,stroke:#b5b5b5,color:#8a8a8a
  classDef me fill:#2f5fb3,stroke:#16386f,color:#ffffff,stroke-width:4px
  classDef note fill:#ffffff,stroke:#d9480f,color:#d9480f
";

/// Escapes a text for a string of Mermaid's, without markup of Mermaid's, Markdown's, HTML's or TeX's.
///
/// Mermaid replaces `\n` and draws `$$…$$` as a formula even if they were written as references, so an invisible character comes
/// between the two signs.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(2 * text.len());
    // At the start of a line, spaces would mean something to Markdown; elsewhere HTML would join several.
    let mut before = '\n';
    for character in text::plain(text) {
        if matches!((before, character), ('\\', 'n') | ('$', '$')) {
            out.push(WORD_JOINER);
        }
        match character {
            '\n' => out.push_str("<br>"),
            ' ' if matches!(before, ' ' | '\n') => out.push_str("#160;"),
            ' ' => out.push(' '),
            _ if character.is_ascii_alphanumeric() => out.push(character),
            _ if has_meaning(character) => {
                write!(out, "#{};", u32::from(character)).expect("a write to a String can't fail");
            }
            _ => out.push(character),
        }
        before = character;
    }
    out
}

/// Whether a character may mean something to Mermaid, Markdown or HTML, and so becomes a character reference: all of ASCII but what
/// [`escaped`] lets pass, white space, which Mermaid trims, and the four characters of which Mermaid makes references while it
/// draws.
fn has_meaning(character: char) -> bool {
    character.is_ascii()
        || character.is_whitespace()
        || matches!(character, '\u{feff}' | '\u{fb02}' | '°' | '¶' | 'ß')
}
