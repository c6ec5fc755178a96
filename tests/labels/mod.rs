//! Labels that are hard to show, and networks of nodes that have them.

use std::net::SocketAddr;
use std::sync::Arc;

use area_net::snapshot::{LinkView, NodeState, NodeView, Rejected, Snapshot};
use area_net::wire::NodeId;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

/// Everything that means something to d2, to XML or to a terminal, alone and in company.
#[rustfmt::skip]
pub(crate) fn nasty_labels() -> Vec<String> {
    let fragments = [
        "alice", "\"", "\\", "$", "${x}", "$$", "\\n", "\\\\n", "\\\"", "'", "''", "`", "|", "||", "|md", "|md # big |",
        "|`x`|", "```", "{", "}", "{}", "{class: me}", "[", "]", "[0]", "(", ")", "(a -> b)[0]", ";", ":", ": ", "a: b",
        ".", "a.b", "a.style.fill: red", "*", "**", "***", "&", "&shape: x", "!&", "#", "# comment", "\"\"\"",
        "\"\"\" x \"\"\"", "->", "<-", "--", "<->", "a -> b", "-", "_", "__", "@", "@import", "...@x", "...$x", "null",
        "true", "false", "1", "0x10", "1e9", "style", "classes", "class", "vars", "layers", "scenarios", "steps", "label",
        "shape", "direction", "near", "icon", "link", "tooltip", "width", "constraint", "source-arrowhead", "grid-rows",
        "d2-config", "shape: sql_table", "style.opacity: 0", "\"; x -> y; \"", "\" {class: me}\nevil: \"",
        "\"}\n}\nn1 -> n2", "\\\" -> b", "x\\", "x\\\\\"", "<b>bold</b>", "</text>", "<script>alert(1)</script>", "&lt;",
        "&amp;", "&#10;", "]]>", "<!-- -->", "<?xml?>", "a\nb", "\nlead", "a\r\nb", "a\rb", "a\u{2028}b", "a\u{2029}b",
        "a\tb", "a\u{0}b", "\u{7}bell", "\u{1b}[31mred", "a\u{85}b", "\u{7f}", "\u{202e}evil", "\u{2066}iso\u{2069}",
        "\u{200e}\u{200f}x", "\u{61c}x", "x\u{200b}y", "x\u{200c}y", "x\u{200d}y", "x\u{feff}y", "x\u{ad}y", "\u{fffe}x",
        "\u{ffff}x", "\u{fdd0}x", "\u{1fffe}x", "\u{fffd}", "\u{e000}", "😀", "👩\u{200d}🚀",
        "🏴\u{e0067}\u{e0062}\u{e007f}", "é", "e\u{301}", "中文", "العربية", "עברית", "ไทย", "Ωμέγα", "µs", "…",
        "“quoted”", "a  b", " lead", "trail ", "%s %d %n", "../../etc/passwd", "$(reboot)", "`reboot`", "{{.}}", "%22",
    ];
    let mut labels: Vec<String> = fragments.map(str::to_owned).to_vec();
    labels.extend(fragments.map(|fragment| format!("{fragment}{fragment}x")));
    for (fragment, count) in [("W", 128), ("\"", 128), ("\\", 127), ("$", 128), ("😀", 32)] {
        labels.push(fragment.repeat(count));
    }
    labels
}

/// Labels by chance, the same ones at every run, each with a letter or a digit.
pub(crate) fn random_labels(count: usize) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let labels = proptest::arbitrary::any::<String>();
    // A picture replaces what shows nothing by the id.
    let visible = |label: &String| label.chars().any(char::is_alphanumeric);
    std::iter::repeat_with(|| labels.new_tree(&mut runner).expect("a label").current())
        .filter(visible)
        .take(count)
        .collect()
}

/// Nodes with these labels, all of which are up, without links.
pub(crate) fn network(labels: &[String]) -> Snapshot {
    let nodes = labels.iter().enumerate().map(|(index, label)| {
        let index = u16::try_from(index).expect("few nodes");
        let mut id = [0xee; 32];
        id[..2].copy_from_slice(&index.to_be_bytes());
        NodeView {
            id: NodeId(id),
            label: Arc::from(label.as_str()),
            addrs: vec![SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 8000 + index))],
            state: NodeState::Up,
            since_ms: 0,
        }
    });
    Snapshot {
        me: 0,
        origin_ms: 0,
        at_ms: 0,
        network: Arc::from("area"),
        cut_off: false,
        impaired: None,
        nodes: nodes.collect(),
        links: Vec::new(),
        differing: Vec::new(),
        rejected: Rejected::default(),
    }
}

/// A link with that round-trip time.
pub(crate) fn link(dialer: usize, listener: usize, rtt_us: Option<u32>) -> LinkView {
    LinkView {
        dialer,
        listener,
        rtt_us,
        rtt_at_ms: 0,
        rtt_stale: false,
        loss_permille: 0,
        suspect: false,
        other: None,
        disputed_ms: None,
    }
}
