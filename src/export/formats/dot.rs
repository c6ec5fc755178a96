//! The network in the language of Graphviz.
//!
//! Nodes are named by their whole ids. Beside what Graphviz draws, nodes and links have the attributes of `network.json`, which
//! Graphviz hands on (`dot -Tjson`).

use std::fmt::Write as _;

use super::super::text;
use crate::snapshot::{LinkView, NodeState, Snapshot};

/// The largest network that `dot` itself lays out, in links. It takes 0.4 s of a core for 160 links, and minutes for 4000; `sfdp`
/// takes seconds for these. At half, small meshes lose their layers; at double, a picture takes long.
const LAYERED_LINKS: usize = 160;

/// Renders the snapshot.
pub(super) fn render(snapshot: &Snapshot) -> Vec<u8> {
    let mut out = String::with_capacity(1024 + 384 * (snapshot.nodes.len() + snapshot.links.len()));
    let layout = if snapshot.links.len() <= LAYERED_LINKS {
        "layout=dot, rankdir=LR"
    } else {
        "layout=sfdp, overlap=prism, splines=false"
    };
    write!(
        out,
        "digraph {} {{\n  graph [{layout}, charset=\"UTF-8\"",
        quoted(&snapshot.network)
    )
    .expect("a write to a String can't fail");
    if snapshot.cut_off {
        out.push_str(
            ", labelloc=t, fontcolor=\"#d9480f\", \
             label=\"cut off: this node has lost all its links\\nthe rest of this picture may be out of date\"",
        );
    }
    out.push_str(
        "]\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"]\n  \
         edge [color=\"#5677a8\", fontname=\"sans-serif\", fontsize=10]\n",
    );
    let ids: Vec<String> = snapshot
        .nodes
        .iter()
        .map(|node| node.id.to_string())
        .collect();
    for index in 0..snapshot.nodes.len() {
        put_node(&mut out, snapshot, &ids, index);
    }
    for link in &snapshot.links {
        put_link(&mut out, snapshot, &ids, link);
    }
    out.push_str("}\n");
    out.into_bytes()
}

fn put_node(out: &mut String, snapshot: &Snapshot, ids: &[String], index: usize) {
    let node = &snapshot.nodes[index];
    // Fill and font are set together, so that no default of the reader's makes the text illegible.
    let colours = match node.state {
        _ if index == snapshot.me => {
            "color=\"#16386f\", fillcolor=\"#2f5fb3\", fontcolor=\"#ffffff\""
        }
        NodeState::Up => "color=\"#2f5fb3\", fillcolor=\"#eef4ff\", fontcolor=\"#0a1a33\"",
        NodeState::Unreachable => {
            "color=\"#8a8a8a\", fillcolor=\"#f3f3f3\", fontcolor=\"#707070\", style=\"rounded,filled,dashed\""
        }
        NodeState::Left => "color=\"#b5b5b5\", fillcolor=\"#fafafa\", fontcolor=\"#8a8a8a\"",
    };
    let addresses: Vec<String> = node.addrs.iter().map(ToString::to_string).collect();
    writeln!(
        out,
        "  \"{}\" [label={}, {colours}, state={}, addresses=\"{}\", changed_ms={}]",
        ids[index],
        quoted(&text::node(snapshot, index, text::MAX_SHOWN_LABEL)),
        text::state(node.state),
        addresses.join(" "),
        snapshot.unix_ms(node.since_ms),
    )
    .expect("a write to a String can't fail");
}

fn put_link(out: &mut String, snapshot: &Snapshot, ids: &[String], link: &LinkView) {
    let LinkView {
        dialer,
        listener,
        rtt_us,
        rtt_at_ms,
        rtt_stale,
        loss_permille,
        suspect,
        disputed_ms,
        ..
    } = link;
    let (dialer, listener) = (&ids[*dialer], &ids[*listener]);
    write!(
        out,
        "  \"{dialer}\" -> \"{listener}\" [label=\"{}\"",
        text::link(link)
    )
    .expect("a write to a String can't fail");
    if *suspect {
        out.push_str(", style=dashed, color=\"#d9480f\", fontcolor=\"#d9480f\"");
    }
    if let Some(rtt_us) = rtt_us {
        let measured_ms = snapshot.unix_ms(*rtt_at_ms);
        write!(out, ", rtt_us={rtt_us}, rtt_measured_ms={measured_ms}")
            .expect("a write to a String can't fail");
    }
    let (percent, tenth) = (loss_permille / 10, loss_permille % 10);
    writeln!(
        out,
        ", rtt_stale={rtt_stale}, loss_percent={percent}.{tenth}, suspect={suspect}, disputed={}]",
        disputed_ms.is_some()
    )
    .expect("a write to a String can't fail");
}

/// Quotes a text as a string of Graphviz's that has no markup: neither escapes such as `\N`, nor HTML's entities, which labels know.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    out.push('"');
    for character in text::plain(text) {
        match character {
            '\n' => out.push_str("\\n"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '&' => out.push_str("&amp;"),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}
