//! The exports and their real consumers: Graphviz, networkx, a validator of JSON schemas, Mermaid, Prometheus.
//!
//! `check.py`, `prometheus.py` and `mermaid.mjs` read what is exported and compare it with `network.json` of the same snapshot, so
//! these tests only make networks. The consumers come from the folder that `AREA_NET_PARSERS` names and `.ci/run` makes: a Python environment, with
//! `node_modules` beside its `bin`. Without it these tests say so and pass.
// Helpers of tests are tests, which clippy only knows of the functions marked so.
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use area_net::export::formats::Format;
use area_net::metrics::{self, Exposition, Figures, Process};
use area_net::snapshot::{LinkView, NodeState, Snapshot};

use labels::{link, nasty_labels, network, random_labels};

#[path = "../labels/mod.rs"]
mod labels;

/// Peers of the node in one network whose metrics are read: as many as have series.
const PEERS: usize = 60;

/// Nodes of one Mermaid chart: as many as it shows with all their links.
const CHART_NODES: usize = 32;

#[test]
fn networkx_reads_graphml() {
    check(Format::GraphMl, "networkx_reads_graphml", &[hostile()]);
}

#[test]
fn networkx_reads_gexf() {
    check(Format::Gexf, "networkx_reads_gexf", &[hostile()]);
}

#[test]
fn netjson_follows_its_schema() {
    check(Format::NetJson, "netjson_follows_its_schema", &[hostile()]);
}

#[test]
fn graphviz_draws_dot() {
    check(Format::Dot, "graphviz_draws_dot", &[hostile(), large()]);
}

#[test]
fn mermaid_reads_charts() {
    let labels = labels();
    let charts = labels.chunks(CHART_NODES).map(figures);
    let mut snapshots: Vec<Snapshot> = charts.collect();
    snapshots.push(large());
    check(Format::Mermaid, "mermaid_reads_charts", &snapshots);
}

#[test]
fn prometheus_reads_metrics() {
    let Some(parsers) = parsers("prometheus_reads_metrics") else {
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    for (index, labels) in labels().chunks(PEERS).enumerate() {
        put_metrics(temp.path(), index, &star(figures(labels)));
    }
    put_metrics(temp.path(), 99, &star(hostile()));
    run(Command::new(parsers.join("bin/python"))
        .arg(here("prometheus.py"))
        .arg("metrics")
        .arg(temp.path()));
}

#[test]
fn prometheus_answers_what_the_dashboard_asks() {
    let Some(parsers) = parsers("prometheus_answers_what_the_dashboard_asks") else {
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    put_metrics(temp.path(), 0, &star(figures(&nasty_labels()[..PEERS])));
    run(Command::new(parsers.join("bin/python"))
        .arg(here("prometheus.py"))
        .arg("dashboard")
        .arg(temp.path()));
}

/// Links the node whose view this is with its first [`PEERS`] peers.
fn star(mut snapshot: Snapshot) -> Snapshot {
    let peers = snapshot.nodes.len().min(PEERS + 1);
    snapshot.links.retain(|link| link.listener != 0);
    for peer in 1..peers {
        let (dialer, listener) = if peer % 2 == 0 { (0, peer) } else { (peer, 0) };
        snapshot.links.push(LinkView {
            suspect: peer % 7 == 0,
            loss_permille: u16::try_from(peer).unwrap(),
            ..link(dialer, listener, (peer % 9 != 0).then_some(312))
        });
    }
    snapshot
        .links
        .sort_by_key(|link| (link.dialer, link.listener));
    snapshot
}

/// Writes a network and its metrics in both formats.
fn put_metrics(folder: &Path, index: usize, snapshot: &Snapshot) {
    let figures = Figures {
        process: Process::read(),
        links_since_ms: snapshot.nodes.iter().map(|node| (node.id, 5)).collect(),
    };
    let text = |exposition| metrics::render(snapshot, &figures, exposition, Some(500)).into_bytes();
    for (end, bytes) in [
        ("json", Format::Json.render(snapshot)),
        ("openmetrics", text(Exposition::OpenMetrics)),
        ("text", text(Exposition::Text)),
    ] {
        fs::write(folder.join(format!("{index}.{end}")), bytes).unwrap();
    }
}

/// Every nasty label, and 1,000 by chance.
fn labels() -> Vec<String> {
    let mut labels = nasty_labels();
    labels.extend(
        [
            "",
            " ",
            "\n",
            "\u{200b}",
            "ﬂ°°60¶ß",
            "1. one",
            "- one",
            "    code",
        ]
        .map(str::to_owned),
    );
    labels.extend(random_labels(1000));
    labels
}

fn hostile() -> Snapshot {
    let mut snapshot = figures(&labels());
    snapshot.cut_off = true;
    snapshot.network = Arc::from("]]>\"\\\n<b>&amp;\u{0}");
    snapshot.impaired = Some(Arc::from("delay 40ms"));
    snapshot
}

/// Nodes with these labels in every state, and links with all kinds of figures.
fn figures(labels: &[String]) -> Snapshot {
    let mut snapshot = network(labels);
    for (index, node) in snapshot.nodes.iter_mut().enumerate() {
        node.state = [NodeState::Up, NodeState::Unreachable, NodeState::Left][index % 3];
        match index % 4 {
            0 => node.addrs.push("192.0.2.1:8083".parse().unwrap()),
            1 => node.addrs.clear(),
            2 => node.addrs = vec!["[fe80::1%3]:8083".parse().unwrap()],
            _ => {}
        }
    }
    for dialer in 1..labels.len() {
        let rtt_us = u32::try_from(dialer * 7919).unwrap();
        snapshot.links.push(LinkView {
            rtt_stale: dialer % 2 == 0,
            suspect: dialer % 3 == 0,
            disputed_ms: (dialer % 4 == 0).then_some(1000),
            loss_permille: u16::try_from(dialer % 1001).unwrap(),
            ..link(dialer, dialer - 1, (dialer % 5 != 0).then_some(rtt_us))
        });
    }
    snapshot
}

/// 1,000 nodes with 4,000 links.
fn large() -> Snapshot {
    let labels: Vec<String> = (0..1000).map(|node| format!("node {node}")).collect();
    let mut snapshot = network(&labels);
    for node in 0..labels.len() {
        let mut listeners = [1, 7, 31, 43].map(|step| (node + step) % labels.len());
        listeners.sort_unstable();
        let rtt_us = u32::try_from(1000 + node * 7919 % 40_000).unwrap();
        let links = listeners.map(|listener| link(node, listener, Some(rtt_us)));
        snapshot.links.extend(links);
    }
    snapshot
}

/// Lets the consumer of a format read these snapshots.
fn check(format: Format, test: &str, snapshots: &[Snapshot]) {
    let Some(parsers) = parsers(test) else {
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    for (index, snapshot) in snapshots.iter().enumerate() {
        let put = |format: Format| {
            let file = temp.path().join(format!("{index}.{format}"));
            fs::write(file, format.render(snapshot)).unwrap();
        };
        put(Format::Json);
        put(format);
    }
    let mut command = if format == Format::Mermaid {
        let mut node = Command::new("node");
        node.arg(here("mermaid.mjs")).arg(&parsers);
        node
    } else {
        let mut python = Command::new(parsers.join("bin/python"));
        python.arg(here("check.py")).arg(format.name());
        python
    };
    run(command.arg(temp.path()));
}

/// A program beside this file.
fn here(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parsers");
    folder.join(name)
}

/// Runs a consumer, which prints what is wrong.
fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{command:?}:\n{out}{err}");
}

/// The folder of the consumers; without one, says so on the real stderr (the test harness hides what a passing test prints).
fn parsers(test: &str) -> Option<PathBuf> {
    let folder =
        std::env::var_os("AREA_NET_PARSERS").filter(|folder: &OsString| !folder.is_empty());
    if folder.is_none() {
        let why = "AREA_NET_PARSERS is not set (.ci/run makes what it should name)";
        writeln!(std::io::stderr(), "SKIPPED {test}: {why}").ok();
    }
    folder.map(PathBuf::from)
}
