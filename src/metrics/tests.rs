//! Tests of the text. promtool, Prometheus and a strict parser of OpenMetrics read it in `tests/parsers`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::families::{ALL, Kind};
use super::*;
use crate::export::example;

fn figures() -> Figures {
    Figures {
        process: Process {
            cpu: Duration::from_millis(1500),
            resident_bytes: Some(5 << 20),
            open_files: Some(12),
        },
        links_since_ms: BTreeMap::from([(NodeId([0x11; 32]), 1250)]),
    }
}

/// Node 0 sees a network in which it has that many links, and each other node one more.
fn network(own_links: usize) -> Snapshot {
    let mut snapshot = example::alone();
    snapshot.me = 0;
    let node = |index: usize| {
        let mut node = example::node(0, "x", 8000);
        let index = u32::try_from(index).unwrap();
        node.id.0[..4].copy_from_slice(&index.to_be_bytes());
        node
    };
    snapshot.nodes = (0..=own_links).map(node).collect();
    let own = (1..=own_links).map(|peer| example::link(0, peer, 312));
    let others = (1..own_links).map(|peer| example::link(peer, peer + 1, 312));
    snapshot.links = own.chain(others).collect();
    snapshot
}

fn samples(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

#[test]
fn open_metrics_of_three_nodes() {
    let mut snapshot = example::three();
    snapshot.origin_ms = 1_764_460_000_000;
    snapshot.links[0].loss_permille = 25;
    let text = render(&snapshot, &figures(), Exposition::OpenMetrics, None);
    for expected in [
        "# HELP areanet_nodes The nodes in this node's view, with itself\n# TYPE areanet_nodes gauge\n\
         areanet_nodes{state=\"up\"} 2\nareanet_nodes{state=\"unreachable\"} 1\nareanet_nodes{state=\"left\"} 0\n",
        "# TYPE areanet_node info\nareanet_node_info{id=\"2222222222\",label=\"bob\",network=\"area\"} 1\n",
        "# TYPE areanet_rejected counter\nareanet_rejected_total{kind=\"bad_credentials\"} 0\n\
         areanet_rejected_total{kind=\"bad_hello\"} 0\n\
         areanet_rejected_total{kind=\"bad_signature\"} 2\n",
        "# UNIT process_start_time_seconds seconds\nprocess_start_time_seconds 1764460000.000\n",
        "process_cpu_seconds_total 1.500000\n",
        "process_resident_memory_bytes 5242880\n",
        "# TYPE areanet_network_link_rtt_seconds gaugehistogram\n# UNIT areanet_network_link_rtt_seconds seconds\n\
         areanet_network_link_rtt_seconds_bucket{le=\"0.0002\"} 0\n\
         areanet_network_link_rtt_seconds_bucket{le=\"0.001\"} 1\n",
        "areanet_network_link_rtt_seconds_bucket{le=\"+Inf\"} 1\nareanet_network_link_rtt_seconds_gcount 1\n\
         areanet_network_link_rtt_seconds_gsum 0.000312\n",
        "\nareanet_links_lossy 1\n",
        "areanet_link_rtt_seconds{peer=\"alice\",id=\"1111111111\",direction=\"out\"} 0.000312\n",
        "areanet_link_rtt_timestamp_seconds{peer=\"alice\",id=\"1111111111\",direction=\"out\"} 1764460002.000\n",
        "areanet_link_loss_ratio{peer=\"alice\",id=\"1111111111\",direction=\"out\"} 0.025\n",
        "areanet_link_since_timestamp_seconds{peer=\"alice\",id=\"1111111111\",direction=\"out\"} 1764460001.250\n",
    ] {
        assert!(text.contains(expected), "{expected}\nis missing in\n{text}");
    }
    assert!(text.ends_with("\n# EOF\n"), "{text}");
}

#[test]
fn the_older_format_has_the_same_series() {
    let [new, old] = [Exposition::OpenMetrics, Exposition::Text]
        .map(|exposition| render(&example::three(), &figures(), exposition, Some(50)));
    assert!(!old.contains("# EOF") && !old.contains("# UNIT"), "{old}");
    assert!(
        old.contains("# TYPE areanet_rejected_total counter\n"),
        "{old}"
    );
    assert!(old.contains("# TYPE areanet_node_info gauge\n"), "{old}");
    let renamed = new.replace("_gcount", "_count").replace("_gsum", "_sum");
    assert!(samples(&renamed).eq(samples(&old)), "{new}\n{old}");
}

#[test]
fn the_accept_header_chooses_the_format() {
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    assert_eq!(
        Exposition::accepted(Some(prometheus)),
        Exposition::OpenMetrics
    );
    assert_eq!(Exposition::accepted(Some("text/html")), Exposition::Text);
    assert_eq!(Exposition::accepted(None), Exposition::Text);
}

#[test]
fn every_metric_is_in_the_table_in_its_order_and_the_reverse() {
    let text = render(
        &example::three(),
        &figures(),
        Exposition::OpenMetrics,
        Some(50),
    );
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let found: Vec<_> = types.map(|line| line.split_once(' ').unwrap()).collect();
    let declared: Vec<_> = ALL
        .iter()
        .map(|family| (family.name, family.kind.name()))
        .collect();
    assert_eq!(found, declared);
    for line in samples(&text) {
        let name = line.split(['{', ' ']).next().unwrap();
        let of = |family: &&Family| name.starts_with(family.name);
        let family = ALL
            .iter()
            .filter(of)
            .max_by_key(|family| family.name.len())
            .unwrap();
        let labels = line
            .split_once('{')
            .map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
        let labels: Vec<_> = labels
            .split(',')
            .filter_map(|label| label.split('=').next())
            .collect();
        let labels: Vec<_> = labels
            .into_iter()
            .filter(|label| !matches!(*label, "" | "le"))
            .collect();
        assert_eq!(labels, family.labels, "{line}");
    }
}

#[test]
fn names_follow_the_conventions() {
    for family in ALL {
        let Family {
            name,
            kind,
            unit,
            labels,
            help,
        } = family;
        assert!(
            unit.is_empty() || name.ends_with(&format!("_{unit}")),
            "{name}"
        );
        assert!(["", "seconds", "bytes", "ratio"].contains(unit), "{name}");
        assert!(
            !["_total", "_info", "_count", "_sum", "_bucket"]
                .iter()
                .any(|end| name.ends_with(end)),
            "{name}"
        );
        assert!(*kind != Kind::Info || unit.is_empty(), "{name}");
        assert!(
            !help.ends_with('.') && !help.contains(['\\', '\n', '"']),
            "{name}"
        );
        let plain = |text: &str| {
            text.chars()
                .all(|letter| letter.is_ascii_lowercase() || letter == '_')
        };
        assert!(
            plain(name) && labels.iter().all(|label| plain(label)),
            "{name}"
        );
    }
}

#[test]
fn the_number_of_series_is_bounded() {
    let series = |own_links: usize, worst| {
        let snapshot = network(own_links);
        let text = render(&snapshot, &figures(), Exposition::OpenMetrics, worst);
        samples(&text).count()
    };
    let alone = series(0, None);
    assert!(alone <= 28 + REJECTED.len(), "{alone}");
    // Without the time since when a link is up, which nobody told here.
    assert_eq!(series(8, None) - series(7, None), 4);
    assert_eq!(series(1000, None), series(MAX_OWN_LINKS, None));
    let worst = series(1000, Some(usize::MAX)) - series(1000, None);
    assert_eq!(worst, 3 * MAX_WORST_LINKS);
    assert_eq!(series(1000, Some(50)) - series(1000, None), 3 * 50);
}

#[test]
fn own_links_beyond_the_limit_are_counted() {
    let text = render(&network(100), &figures(), Exposition::Text, None);
    assert!(text.contains("\nareanet_own_links 100\n"), "{text}");
    assert!(
        text.contains("{peer=\"x\",id=\"0000004000\",direction=\"out\"}"),
        "{text}"
    );
    assert!(!text.contains("id=\"0000004100\""), "{text}");
}

#[test]
fn the_worst_links_come_first() {
    let mut snapshot = network(4);
    for (link, rtt_us) in snapshot.links.iter_mut().zip([100, 500, 300, 200, 1, 2, 3]) {
        link.rtt_us = Some(rtt_us);
    }
    snapshot.links[0].loss_permille = 20;
    snapshot.links[4].suspect = true;
    snapshot.links[1].rtt_us = None;
    let text = render(&snapshot, &figures(), Exposition::Text, Some(3));
    let worst: Vec<_> = samples(&text)
        .filter_map(|line| line.strip_prefix("areanet_worst_link_rtt_seconds{"))
        .filter_map(|line| line.rsplit_once("} "))
        .collect();
    let link = |dialer, listener| {
        format!(
            "dialer=\"x\",dialer_id=\"{dialer:08x}00\",listener=\"x\",listener_id=\"{listener:08x}00\""
        )
    };
    let expected = [
        (link(1, 2), "0.000001"),
        (link(0, 1), "0.000100"),
        (link(0, 3), "0.000300"),
    ];
    assert_eq!(
        worst,
        expected
            .each_ref()
            .map(|(labels, value)| (labels.as_str(), *value))
    );
    let suspect = format!("areanet_worst_link_suspect{{{}}} 1\n", expected[0].0);
    assert!(text.contains(&suspect), "{text}");
}

#[test]
fn peers_whose_ids_begin_alike_have_series_of_their_own() {
    let mut snapshot = network(2);
    for (index, node) in snapshot.nodes.iter_mut().enumerate() {
        node.id = NodeId([0x77; 32]);
        node.id.0[31] = u8::try_from(index).unwrap();
    }
    let text = render(&snapshot, &figures(), Exposition::Text, None);
    let names: Vec<_> = samples(&text)
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect();
    let unique: BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "{text}");
}

#[test]
fn what_may_be_rejected_is_documented() {
    let files =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/files.md")).unwrap();
    let (_, section) = files.split_once("### Rejected input\n").unwrap();
    let (section, _) = section.split_once("\n#").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut kinds: Vec<_> = rows.map(|row| row.split_once('`').unwrap().0).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, REJECTED);
}

proptest! {
    #[test]
    fn a_label_stays_in_its_quotes(label in any::<String>(), name in any::<String>()) {
        let mut snapshot = example::three();
        let lines = |snapshot: &Snapshot| render(snapshot, &figures(), Exposition::OpenMetrics, Some(9));
        let before = lines(&snapshot).lines().count();
        snapshot.nodes[0].label = Arc::from(label.as_str());
        snapshot.network = Arc::from(name.as_str());
        let text = lines(&snapshot);
        // Not `lines`, which would take a lone \r for text.
        prop_assert_eq!(text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count(), before + 1);
        let start = "areanet_link_loss_ratio{peer=\"";
        let line = text.lines().find_map(|line| line.strip_prefix(start)).expect("the link");
        let escaped = line.strip_suffix("\",id=\"1111111111\",direction=\"out\"} 0.000").expect("the rest");
        let mut shown = String::new();
        let mut characters = escaped.chars();
        while let Some(character) = characters.next() {
            prop_assert!(character != '"');
            shown.push(match character {
                '\\' => match characters.next().expect("something escaped") {
                    'n' => '\n',
                    escaped => escaped,
                },
                other => other,
            });
        }
        prop_assert_eq!(shown, text::plain(&label).collect::<String>());
    }
}

const INTRO: &str = "\
# Metrics

This page is for people who watch nodes with [Prometheus](https://prometheus.io). It lists every metric of a node.

`GET /metrics` gives [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) to a reader that accepts it,
and the older text format of Prometheus to others. The two have the same series, but for the count and the sum of the
histogram: `_gcount` and `_gsum`, and `_count` and `_sum` in the older one. The histogram shows the links that exist now,
so its counts can fall. Use its buckets without `rate`:

```promql
histogram_quantile(0.9, areanet_network_link_rtt_seconds_bucket)
```

A node makes ";

const AFTER: &str = "
`peer`, `label`, `dialer` and `listener` are labels of nodes: any text, in which control characters and those that
change the direction of text are U+FFFD. `id` and what ends in `_id` is the beginning of the node's id, as in the log.
`direction` is `out` if this node dialed, else `in`. `kind` is one of [these names](files.md#rejected-input). `state` is
`up`, `unreachable` or `left`. Times are in Unix time by the clock of this node, so `time() - …` is an age.

[grafana.json](grafana.json) is a dashboard. Import it in Grafana under *Dashboards, New, Import*, and choose your
Prometheus.

---

This page is generated from `src/metrics`. Change it there, then run `UPDATE=1 cargo test --lib metrics`.
";

#[test]
fn metrics_md_is_what_the_table_says() {
    let mut text = INTRO.to_owned();
    write!(
        text,
        "some 40 series, and five for each of its own links, at most {MAX_OWN_LINKS} of them. The links of others are one\n\
         histogram. With `?links=worst&limit=50`, the worst 50 links of the network have series of their own, at most\n\
         {MAX_WORST_LINKS}: suspect ones first, then those that lose most, then the slowest. Ask only a few nodes for this, since\n\
         each of them exports the links of the whole network.\n\n\
         | Metric | Kind | Labels | Value |\n| --- | --- | --- | --- |\n"
    )
    .unwrap();
    for Family {
        name,
        kind,
        labels,
        help,
        ..
    } in ALL
    {
        let (suffix, kind) = match kind {
            Kind::Gauge => ("", "gauge"),
            Kind::Counter => ("_total", "counter"),
            Kind::Info => ("_info", "info"),
            Kind::Histogram => ("_bucket", "histogram"),
        };
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(
            text,
            "| `{name}{suffix}` | {kind} | {} | {help} |",
            labels.join(", ")
        )
        .unwrap();
    }
    text.push_str(AFTER);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let hint = "run UPDATE=1 cargo test --lib metrics";
    assert_eq!(fs::read_to_string(path).unwrap(), text, "{hint}");
}
