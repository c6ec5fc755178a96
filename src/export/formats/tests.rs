//! Well-formedness of every format, whatever the labels. The real parsers read them in `tests/formats`.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::export::example;
use crate::snapshot::NodeState;

/// As many nodes and links as asked for, all of which have that label.
fn network(nodes: usize, links: usize, label: &str) -> Snapshot {
    let mut snapshot = example::alone();
    snapshot.me = 0;
    snapshot.network = Arc::from(label);
    snapshot.nodes = (0..nodes)
        .map(|index| {
            let mut node = example::node(0, label, 8000);
            let index = u32::try_from(index).unwrap();
            node.id.0[..4].copy_from_slice(&index.to_be_bytes());
            node.addrs[0] = "[fedc:ba98:7654:3210:fedc:ba98:7654:3210]:65535"
                .parse()
                .unwrap();
            node.state = NodeState::Unreachable;
            node
        })
        .collect();
    snapshot.links = (0..links)
        .map(|index| {
            let (dialer, step) = (index % nodes, 1 + index / nodes);
            let mut link = example::link(dialer, (dialer + step) % nodes, u32::MAX);
            (link.rtt_stale, link.loss_permille, link.suspect) = (true, 999, true);
            link
        })
        .collect();
    snapshot
        .links
        .sort_by_key(|link| (link.dialer, link.listener));
    snapshot
}

fn text(format: Format, snapshot: &Snapshot) -> String {
    String::from_utf8(format.render(snapshot)).expect("UTF-8")
}

#[test]
fn every_format_is_found_by_its_name() {
    for format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(*format));
        assert_eq!(format.to_string().to_uppercase().parse(), Ok(*format));
    }
}

#[test]
fn an_unknown_format_is_told_with_the_known_ones_and_the_nearest() {
    let error = "graphlm".parse::<Format>().unwrap_err().to_string();
    assert_eq!(
        error,
        "no format is called \"graphlm\"; known: json, d2, dot, graphml, gexf, netjson, mermaid; did you mean `graphml`?"
    );
    let error = "\u{1b}[2J\n"
        .repeat(1_000_000)
        .parse::<Format>()
        .unwrap_err();
    let error = error.to_string();
    assert!(
        error.chars().count() < 400 && !error.contains(['\n', '\u{1b}']),
        "{error}"
    );
}

#[test]
fn json_and_d2_are_the_files() {
    let snapshot = example::three();
    assert_eq!(Format::Json.render(&snapshot), json::network(&snapshot));
    assert_eq!(
        Format::D2.render(&snapshot),
        d2::picture(&snapshot, Shows::Auto)
    );
}

#[test]
fn mermaid_shows_what_the_picture_shows() {
    let mut snapshot = example::three();
    snapshot.nodes[0].label = Arc::from("al\"ice\n<b>");
    snapshot.links[0].suspect = true;
    let chart = text(Format::Mermaid, &snapshot);
    let (_, body) = chart.split_once("classDef note").unwrap();
    let lines: Vec<&str> = body.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            r#"  n1111111111["al#34;ice<br>#60;b#62;<br>#58;8090"]:::up"#,
            r#"  n2222222222["bob<br>#58;8095"]:::me"#,
            r#"  n3333333333["carol<br>#58;8085<br>unreachable"]:::unreachable"#,
            r#"  n2222222222 -.->|"312 µs, suspect"| n1111111111"#,
            "  linkStyle 0 stroke:#d9480f,color:#d9480f",
        ]
    );
}

#[test]
fn mermaid_sees_neither_a_formula_nor_a_line_break_of_its_own() {
    let mut snapshot = example::three();
    snapshot.nodes[0].label = Arc::from(r"$$x$$ \n  y");
    let chart = text(Format::Mermaid, &snapshot);
    let label = "#36;\u{2060}#36;x#36;\u{2060}#36; #92;\u{2060}n #160;y<br>";
    assert!(chart.contains(label), "{chart}");
}

#[test]
fn mermaid_accepts_charts_of_large_networks_with_hostile_labels() {
    // Mermaid's defaults: maxTextSize and maxEdges, which a chart can't raise.
    for (nodes, links) in [(32, 160), (33, 0), (100, 400), (1000, 4000)] {
        let chart = text(Format::Mermaid, &network(nodes, links, &"}".repeat(128)));
        // The length of a string in JavaScript.
        let length = chart.encode_utf16().count();
        assert!(length < 50_000, "{nodes} nodes: {length}");
        assert!(chart.matches("-.->").count() <= 500, "{nodes} nodes");
    }
}

#[test]
fn mermaid_says_what_a_large_network_lacks() {
    let chart = text(Format::Mermaid, &network(1000, 4000, "x"));
    assert!(
        chart.contains("note[\"100 of 1000 nodes and 99 of 4000 links are shown#58; the nodes")
    );
}

#[test]
fn a_link_without_a_measurement_has_no_figure() {
    let mut snapshot = example::three();
    snapshot.links[0].rtt_us = None;
    for format in [Format::Dot, Format::GraphMl, Format::Gexf] {
        let text = text(format, &snapshot);
        let figures = text.matches("rtt_us").count() + text.matches("rtt_measured_ms").count();
        // Declared, but not given.
        let declared = match format {
            Format::GraphMl | Format::Gexf => 4,
            _ => 0,
        };
        assert_eq!(figures, declared, "{format}: {text}");
    }
    let graph: serde_json::Value = serde_json::from_str(&text(Format::NetJson, &snapshot)).unwrap();
    assert_eq!(graph["links"][0]["cost"], u32::MAX);
    assert_eq!(graph["links"][0]["cost_text"], "…");
}

#[test]
fn a_network_of_one_node_has_every_format() {
    for format in Format::ALL {
        assert!(text(*format, &example::alone()).ends_with('\n'), "{format}");
    }
}

#[test]
fn the_size_grows_with_the_network() {
    for format in [Format::Dot, Format::GraphMl, Format::Gexf, Format::NetJson] {
        let size = |nodes| format.render(&network(nodes, 4 * nodes, "node")).len();
        let (small, large) = (size(100), size(10_000));
        assert!(large < 101 * small, "{format}: {small}, {large}");
    }
}

/// The strings in quotes, by Graphviz's rules; everything outside of them.
fn strings(text: &str) -> (Vec<String>, String) {
    let (mut strings, mut outside) = (Vec::new(), String::new());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '"' {
            outside.push(character);
            continue;
        }
        let mut string = String::new();
        loop {
            match characters.next().expect("the string ends") {
                '"' => break,
                '\\' => match characters.next().expect("something escaped") {
                    'n' => string.push('\n'),
                    escaped @ ('\\' | '"') => string.push(escaped),
                    other => panic!("an escape of {other:?}"),
                },
                other => string.push(other),
            }
        }
        strings.push(string.replace("&amp;", "&"));
    }
    (strings, outside)
}

proptest! {
    #[test]
    fn a_label_is_one_string_in_dot(label in any::<String>(), name in any::<String>()) {
        let mut snapshot = example::three();
        let plain = strings(&text(Format::Dot, &snapshot)).1;
        snapshot.nodes[0].label = Arc::from(label.as_str());
        snapshot.network = Arc::from(name.as_str());
        let (strings, outside) = strings(&text(Format::Dot, &snapshot));
        prop_assert_eq!(outside, plain);
        let shown: String = crate::export::text::plain(&name).collect();
        prop_assert_eq!(&strings[0], &shown);
        let shown: String = crate::export::text::plain(&crate::export::text::node(&snapshot, 0, 256)).collect();
        prop_assert!(strings.contains(&shown), "{strings:?}");
    }

    #[test]
    fn a_label_is_text_in_xml(label in any::<String>(), name in any::<String>()) {
        let mut snapshot = example::three();
        let tags = |text: &str| text.matches(['<', '>', '"']).count();
        for format in [Format::GraphMl, Format::Gexf] {
            snapshot.nodes[0].label = Arc::from("");
            let plain = tags(&text(format, &snapshot));
            snapshot.nodes[0].label = Arc::from(label.as_str());
            snapshot.network = Arc::from(name.as_str());
            let xml = text(format, &snapshot);
            prop_assert_eq!(tags(&xml), plain);
            let allowed = |c: char| (c >= ' ' || c == '\n') && c < '\u{fffe}' || c > '\u{ffff}';
            prop_assert!(xml.chars().all(allowed));
            for reference in xml.split('&').skip(1) {
                let (name, _) = reference.split_once(';').expect("a reference ends");
                prop_assert!(["amp", "lt", "gt", "quot", "#9", "#10", "#13", "#133", "#8232"].contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn a_label_is_one_string_in_mermaid(label in any::<String>()) {
        let mut snapshot = example::three();
        let before = text(Format::Mermaid, &snapshot);
        snapshot.nodes[0].label = Arc::from(label.as_str());
        let chart = text(Format::Mermaid, &snapshot);
        prop_assert_eq!(chart.lines().count(), before.lines().count());
        let start = "  n1111111111[\"";
        let line = chart.lines().find_map(|line| line.strip_prefix(start)).expect("the node");
        let inner = line.strip_suffix("\"]:::up").expect("the end of the label");
        let inner = inner.replace("<br>", "");
        let plain = |c: char| c.is_ascii_alphanumeric() || " #;".contains(c) || !c.is_ascii();
        prop_assert!(inner.chars().all(plain), "{inner}");
    }

    #[test]
    fn a_label_is_unchanged_in_netjson(label in any::<String>(), name in any::<String>()) {
        let mut snapshot = example::three();
        snapshot.nodes[0].label = Arc::from(label.as_str());
        snapshot.network = Arc::from(name.as_str());
        let graph: serde_json::Value = serde_json::from_str(&text(Format::NetJson, &snapshot)).expect("JSON");
        prop_assert_eq!(graph["nodes"][0]["label"].as_str(), Some(label.as_str()));
        prop_assert_eq!(graph["label"].as_str(), Some(name.as_str()));
    }
}
