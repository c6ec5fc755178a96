//! The network in the two formats that are XML: GraphML 1.0 and GEXF 1.3.
//!
//! Both have one table of attributes, with the names of `network.json`. XML can't express a list or null here: addresses are one
//! string with spaces between them, and a link without a measurement lacks `rtt_us` and `rtt_measured_ms`.

use std::fmt::{self, Arguments, Display, Write as _};

use super::super::text;
use crate::snapshot::{LinkView, NodeState, NodeView, Snapshot};
use crate::wire::NodeId;

/// The attributes of the graph, of a node and of a link: name and type. GraphML and GEXF give these types the same names.
const GRAPH: [(&str, &str); 4] = [
    ("network", "string"),
    ("node", "string"),
    ("cut_off", "boolean"),
    ("impaired", "string"),
];
const NODE: [(&str, &str); 3] = [
    ("addresses", "string"),
    ("state", "string"),
    ("changed_ms", "long"),
];
const LINK: [(&str, &str); 6] = [
    ("rtt_us", "long"),
    ("rtt_measured_ms", "long"),
    ("rtt_stale", "boolean"),
    ("loss_percent", "double"),
    ("suspect", "boolean"),
    ("disputed", "boolean"),
];

/// Bytes of a node or a link, to size the buffer in advance.
const BYTES_AN_ELEMENT: usize = 640;

/// Renders GraphML.
pub(super) fn graphml(snapshot: &Snapshot) -> Vec<u8> {
    let mut out = start(snapshot);
    out.push_str("<graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n");
    put_keys(&mut out, "graph", &GRAPH);
    put_keys(&mut out, "node", &[("label", "string")]);
    put_keys(&mut out, "node", &NODE);
    put_keys(&mut out, "edge", &LINK);
    out.push_str("  <graph edgedefault=\"directed\">\n");
    let me = &snapshot.nodes[snapshot.me].id;
    let mut data = |name: &str, value: &dyn Display| put_data(&mut out, "graph", name, value);
    data("network", &Escaped(&snapshot.network));
    data("node", me);
    data("cut_off", &snapshot.cut_off);
    if let Some(rules) = &snapshot.impaired {
        data("impaired", &Escaped(rules));
    }
    for node in &snapshot.nodes {
        put(&mut out, format_args!("    <node id=\"{}\">\n", node.id));
        put_data(&mut out, "node", "label", &Escaped(&node.label));
        node_values(snapshot, node, |name, value| {
            put_data(&mut out, "node", name, value)
        });
        out.push_str("    </node>\n");
    }
    for link in &snapshot.links {
        let [dialer, listener] = ends(snapshot, link);
        put(
            &mut out,
            format_args!("    <edge source=\"{dialer}\" target=\"{listener}\">\n"),
        );
        link_values(snapshot, link, |name, value| {
            put_data(&mut out, "edge", name, value)
        });
        out.push_str("    </edge>\n");
    }
    out.push_str("  </graph>\n</graphml>\n");
    out.into_bytes()
}

/// Declares attributes, whose ids in the file are kind and name.
fn put_keys(out: &mut String, kind: &str, attributes: &[(&str, &str)]) {
    for (name, of_type) in attributes {
        put(
            out,
            format_args!(
                "  <key id=\"{kind}_{name}\" for=\"{kind}\" attr.name=\"{name}\" attr.type=\"{of_type}\"/>\n"
            ),
        );
    }
}

fn put_data(out: &mut String, kind: &str, name: &str, value: &dyn Display) {
    put(
        out,
        format_args!("      <data key=\"{kind}_{name}\">{value}</data>\n"),
    );
}

/// Renders GEXF. It has no attributes of the graph: the description says what there is to say.
pub(super) fn gexf(snapshot: &Snapshot) -> Vec<u8> {
    let mut out = start(snapshot);
    out.push_str(
        "<gexf xmlns=\"http://gexf.net/1.3\" xmlns:viz=\"http://gexf.net/1.3/viz\" version=\"1.3\">\n",
    );
    let me = &snapshot.nodes[snapshot.me].id;
    let cut_off = if snapshot.cut_off { "; cut off" } else { "" };
    put(
        &mut out,
        format_args!(
            "  <meta>\n    <creator>area-net</creator>\n    \
         <description>network {} as node {me} sees it{cut_off}</description>\n  </meta>\n",
            Escaped(&snapshot.network)
        ),
    );
    out.push_str("  <graph defaultedgetype=\"directed\">\n");
    put_attributes(&mut out, "node", &NODE);
    put_attributes(&mut out, "edge", &LINK);
    out.push_str("    <nodes>\n");
    for (index, node) in snapshot.nodes.iter().enumerate() {
        let label = Escaped(&node.label);
        put(
            &mut out,
            format_args!(
                "      <node id=\"{}\" label=\"{label}\">\n        <attvalues>\n",
                node.id
            ),
        );
        node_values(snapshot, node, |name, value| {
            put_attvalue(&mut out, name, value)
        });
        let colour = match node.state {
            _ if index == snapshot.me => "r=\"47\" g=\"95\" b=\"179\"",
            NodeState::Up => "r=\"150\" g=\"180\" b=\"225\"",
            NodeState::Unreachable | NodeState::Left => "r=\"180\" g=\"180\" b=\"180\"",
        };
        put(
            &mut out,
            format_args!("        </attvalues>\n        <viz:color {colour}/>\n      </node>\n"),
        );
    }
    out.push_str("    </nodes>\n    <edges>\n");
    for (index, link) in snapshot.links.iter().enumerate() {
        let [dialer, listener] = ends(snapshot, link);
        put(
            &mut out,
            format_args!(
                "      <edge id=\"{index}\" source=\"{dialer}\" target=\"{listener}\">\n        <attvalues>\n"
            ),
        );
        link_values(snapshot, link, |name, value| {
            put_attvalue(&mut out, name, value)
        });
        out.push_str("        </attvalues>\n");
        if link.suspect {
            out.push_str("        <viz:color r=\"217\" g=\"72\" b=\"15\"/>\n");
        }
        out.push_str("      </edge>\n");
    }
    out.push_str("    </edges>\n  </graph>\n</gexf>\n");
    out.into_bytes()
}

/// Declares attributes, whose ids in the file are their names.
fn put_attributes(out: &mut String, class: &str, attributes: &[(&str, &str)]) {
    put(out, format_args!("    <attributes class=\"{class}\">\n"));
    for (name, of_type) in attributes {
        put(
            out,
            format_args!("      <attribute id=\"{name}\" title=\"{name}\" type=\"{of_type}\"/>\n"),
        );
    }
    out.push_str("    </attributes>\n");
}

fn put_attvalue(out: &mut String, name: &str, value: &dyn Display) {
    put(
        out,
        format_args!("          <attvalue for=\"{name}\" value=\"{value}\"/>\n"),
    );
}

/// Gives the values of [`NODE`].
fn node_values(snapshot: &Snapshot, node: &NodeView, mut put: impl FnMut(&str, &dyn Display)) {
    let addresses: Vec<String> = node.addrs.iter().map(ToString::to_string).collect();
    put("addresses", &addresses.join(" "));
    put("state", &text::state(node.state));
    put("changed_ms", &snapshot.unix_ms(node.since_ms));
}

/// Gives the values of [`LINK`].
fn link_values(snapshot: &Snapshot, link: &LinkView, mut put: impl FnMut(&str, &dyn Display)) {
    if let Some(rtt_us) = link.rtt_us {
        put("rtt_us", &rtt_us);
        put("rtt_measured_ms", &snapshot.unix_ms(link.rtt_at_ms));
    }
    put("rtt_stale", &link.rtt_stale);
    put("loss_percent", &(f64::from(link.loss_permille) / 10.0));
    put("suspect", &link.suspect);
    put("disputed", &link.disputed_ms.is_some());
}

fn ends<'a>(snapshot: &'a Snapshot, link: &LinkView) -> [&'a NodeId; 2] {
    [link.dialer, link.listener].map(|end| &snapshot.nodes[end].id)
}

fn start(snapshot: &Snapshot) -> String {
    let elements = 4 + snapshot.nodes.len() + snapshot.links.len();
    let mut out = String::with_capacity(elements * BYTES_AN_ELEMENT);
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    out
}

fn put(out: &mut String, text: Arguments<'_>) {
    out.write_fmt(text).expect("a write to a String can't fail");
}

/// A text as XML's character data or as the value of an attribute. Parsers replace white space other than spaces, so it becomes
/// references. What XML can't contain, not even as a reference, becomes U+FFFD.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                // XML 1.0 keeps the last two as they are, but a parser of XML 1.1 takes them for line breaks.
                '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' => {
                    write!(f, "&#{};", u32::from(character))?
                }
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                    f.write_char(char::REPLACEMENT_CHARACTER)?
                }
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}
