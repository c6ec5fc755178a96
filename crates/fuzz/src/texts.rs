//! Text and files: settings, scenarios, what a node keeps, HTTP. Whoever wrote them is told the fault, on lines that stay lines.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use area_net::chronicle::{Archive, Chronicle, Limit};
use area_net::decoders;
use area_net::impair::{Impairment, Rules};
use area_net::log::plain;
use area_net::memory::{Memory, Moment};
use area_net::settings::{CoreStart, HostPort, Layer, MAX_TARGETS, Settings};
use area_net::sim::parse;
use area_net::snapshot::{LinkView, NodeState, NodeView, Rejected, Snapshot};
use area_net::web::Site;
use area_net::wire::NodeId;
use tokio::runtime::Runtime;

/// The key that names a file, which a run must not read.
const TARGET_PATH: &str = "network.controller.target.path";

/// The first byte of an input says what the rest is; most of them are text.
fn parts(input: &[u8]) -> Option<(u8, &[u8], &str)> {
    let (kind, bytes) = input.split_first()?;
    Some((*kind, bytes, std::str::from_utf8(bytes).unwrap_or_default()))
}

/// An error is shown on a terminal and in the log, as lines that stay lines.
pub(crate) fn harmless(error: &impl Display) {
    let said = error.to_string();
    let shown = plain::message(&said);
    let is_odd = |letter: char| letter.is_control() && letter != '\n';
    assert!(!shown.is_empty() && !shown.chars().any(is_odd), "{shown:?}");
}

pub(crate) fn settings(input: &[u8]) {
    let Some((kind, bytes, text)) = parts(input) else {
        return;
    };
    match kind % 4 {
        0 => checked(
            decoders::settings_file(text)
                .map_err(|error| harmless(&error))
                .ok(),
        ),
        1 => {
            // Several -s, a line each.
            let layers = text.lines().map(Layer::from_argument);
            let layers = layers.map(|layer| layer.map_err(|error| harmless(&error)));
            checked(
                layers
                    .collect::<Result<Vec<_>, _>>()
                    .ok()
                    .into_iter()
                    .flatten(),
            );
        }
        2 => match decoders::target_file(bytes) {
            Ok((addrs, names)) => {
                assert!(addrs.len() + names.len() <= MAX_TARGETS);
                assert!(
                    addrs
                        .iter()
                        .all(|addr| addr.port() > 0 && !addr.ip().is_unspecified())
                );
            }
            Err(error) => harmless(&error),
        },
        _ => match text.parse::<HostPort>() {
            Ok(at) => assert!(at.port() > 0),
            Err(error) => harmless(&error),
        },
    }
}

/// Settings that pass the check of each key and agree with each other are those that a core can start with.
fn checked(layers: impl IntoIterator<Item = Layer>) {
    let layers: Vec<Layer> = layers.into_iter().collect();
    let names_file = |layer: &Layer| layer.keys().any(|key| key.name == TARGET_PATH);
    if layers.iter().any(names_file) {
        return;
    }
    match Settings::of_layers(layers) {
        Err(error) => harmless(&error),
        Ok(settings) => {
            let config = settings.core(CoreStart::default());
            assert!(config.degree_target <= config.degree_cap);
            assert!(config.dials_at_once > 0 && config.probe_interval > Duration::ZERO);
        }
    }
}

pub(crate) fn files(input: &[u8]) {
    let Some((kind, bytes, text)) = parts(input) else {
        return;
    };
    match kind % 4 {
        0 => memory(bytes),
        1 => {
            let _members = decoders::ledger(text);
        }
        2 => {
            if let Ok(written) = decoders::authority_file(text) {
                assert_eq!(
                    decoders::authority_file(&written),
                    Ok(written),
                    "it does not come back"
                );
            }
        }
        _ => match decoders::network_keys(bytes) {
            Ok(count) => assert!((1..=4).contains(&count)),
            Err(error) => harmless(&error),
        },
    }
}

fn memory(bytes: &[u8]) {
    let keep = Duration::from_secs(30 * 24 * 3600);
    let Ok(memory) = Memory::decode(bytes, keep) else {
        return;
    };
    let nodes: BTreeMap<_, _> = memory.nodes.iter().cloned().collect();
    let moment = Moment {
        time: Duration::from_secs(1),
        origin_ms: 1_700_000_000_000,
    };
    let written = Memory::encode(memory.epoch, &nodes, &memory.stamps, moment);
    let back = Memory::decode(&written, Duration::MAX).expect("what a node writes is read");
    let known = nodes.iter().filter(|(_, node)| !node.addrs.is_empty());
    let known: Vec<&NodeId> = known.map(|(id, _)| id).collect();
    assert_eq!(
        back.nodes.iter().map(|(id, _)| id).collect::<Vec<_>>(),
        known
    );
    assert_eq!(back.epoch, memory.epoch);
}

pub(crate) fn scenario(input: &[u8]) {
    let Some((kind, _, text)) = parts(input) else {
        return;
    };
    match kind % 4 {
        // A scenario may name a file, which a run must not read.
        0 if text.contains("matrix") => {}
        0 => {
            if let Err(error) = parse::read_text("file.toml", text) {
                harmless(&error);
            }
        }
        1 => match text.parse::<Impairment>() {
            Ok(impairment) => {
                let written = impairment.to_string();
                assert_eq!(written.parse().as_ref(), Ok(&impairment), "{written:?}");
            }
            Err(error) => harmless(&error),
        },
        2 => match text.parse::<Rules>() {
            Ok(rules) => {
                let written = rules.to_string();
                assert_eq!(written.parse().as_ref(), Ok(&rules), "{written:?}");
            }
            Err(error) => harmless(&error),
        },
        _ => {
            let _times = (
                decoders::time(text, 1_796_000_523_456),
                decoders::time(text, 0),
            );
            if let Err(error) = parse::words_time(text) {
                harmless(&error);
            }
        }
    }
}

/// A scenario of the lab, and one of its places.
pub(crate) fn lab(input: &[u8]) {
    let Some((kind, _, text)) = parts(input) else {
        return;
    };
    let read = if kind & 1 == 0 {
        area_net_lab::decoders::lab_scenario(text).map(|lasts_s| {
            assert!(lasts_s.iter().all(|lasts| (1.0..=3600.0).contains(lasts)));
        })
    } else {
        area_net_lab::decoders::places_scenario(text).map(|count| assert!(count > 0))
    };
    if let Err(error) = read {
        let line = error.strip_prefix("file.toml, line ");
        let line = line.and_then(|rest| rest.split_once(": ")?.0.parse().ok());
        let lines = text.split('\n').count();
        assert!(
            line.is_some_and(|line| (1..=lines).contains(&line)),
            "no place: {error}"
        );
        harmless(&error);
    }
}

/// A node with a short history, and what runs its connections.
struct Server {
    site: Arc<Site>,
    runtime: Runtime,
}

thread_local! {
    static SERVER: Server = Server::new();
}

impl Server {
    fn new() -> Self {
        let node = |byte: u8, label: &str| NodeView {
            id: NodeId([byte; 32]),
            label: label.into(),
            addrs: vec![([127, 0, 0, 1], 8000 + u16::from(byte)).into()],
            state: NodeState::Up,
            since_ms: 10,
        };
        let link = |dialer, listener| LinkView {
            dialer,
            listener,
            rtt_us: Some(300),
            rtt_at_ms: 900,
            rtt_stale: false,
            loss_permille: 0,
            suspect: false,
            other: None,
            disputed_ms: None,
        };
        let snapshot = Snapshot {
            me: 0,
            at_ms: 1000,
            origin_ms: 1_700_000_000_000,
            network: "fuzz".into(),
            cut_off: false,
            impaired: None,
            nodes: vec![node(1, "alice"), node(2, "bob"), node(3, "zoë <b>\n")],
            links: vec![link(0, 1), link(1, 2)],
            differing: Vec::new(),
            rejected: Rejected::default(),
        };
        let mut chronicle = Chronicle::new(Limit {
            bytes: 1 << 20,
            age: Duration::MAX,
        });
        chronicle.record(&Arc::new(snapshot));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Self {
            site: Arc::new(Site::recorded(Arc::new(Archive::of(chronicle)))),
            runtime: runtime.expect("a runtime can be made"),
        }
    }
}

pub(crate) fn http(input: &[u8]) {
    let Some((kind, bytes, _)) = parts(input) else {
        return;
    };
    if kind & 1 == 1 {
        let _body = decoders::http_answer(bytes);
        return;
    }
    SERVER.with(|server| {
        let is_unix = kind & 2 == 2;
        let Server { site, runtime } = server;
        let Ok(answer) = decoders::http_request(runtime, site, bytes, is_unix) else {
            return;
        };
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1."),
            "no answer of HTTP"
        );
        // Every answer says that nobody may frame it; hyper answers by itself what is no request.
        let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        let status = head.get(9..12).unwrap_or_default();
        assert!(status != "500", "the node failed: {head}");
        if status == "200" {
            assert!(head.contains("\r\nx-frame-options: deny\r\n"), "{head}");
        }
    });
}
