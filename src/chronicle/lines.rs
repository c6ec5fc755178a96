//! A history as JSON lines: the live stream, a recording, a simulation. `docs/recording.md` describes the format.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::frame::{EventLine, Figures, Frame, Link, LinkGone, Node, NodeChange, Told, Value};
use super::store::Entry;
use crate::answers::Event;
use crate::snapshot::{EndFigures, NodeState};
use crate::wire::NodeId;
pub use read::{BadLine, Reader, read_header, read_line};

mod read;

/// The name of the format, in the header.
pub const FORMAT: &str = "area-net-recording";

/// The version of the format. A reader refuses a later one.
pub const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: Cow<'static, str>,
    /// [`VERSION`].
    pub version: u32,
    /// The program that wrote it, and its version.
    #[serde(default)]
    pub program: String,
    /// The network's name.
    pub network: Arc<str>,
    /// The id of the node whose view it is.
    pub node: String,
    /// The label of that node.
    #[serde(default)]
    pub label: Arc<str>,
}

impl Header {
    /// The header of a history of that node's view.
    #[must_use]
    pub fn new(network: Arc<str>, node: &NodeId, label: Arc<str>) -> Self {
        Self {
            format: FORMAT.into(),
            version: VERSION,
            program: concat!("area-net ", env!("CARGO_PKG_VERSION")).to_owned(),
            network,
            node: node.to_string(),
            label,
        }
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> String {
        to_line(self)
    }
}

/// Any line but the first.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Line {
    at: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    origin: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    view: Option<View>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    cut_off: Option<bool>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "even_null"
    )]
    impaired: Option<Option<Arc<str>>>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    nodes: Vec<NodeLine>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    links: Vec<LinkLine>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    figures: Vec<(u32, Option<u32>, i64, u16, u8)>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    others: Vec<(u32, Option<u32>, i64, u16)>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    disputed: Vec<(u32, Option<i64>)>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    differing: Option<Vec<(u32, i64)>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    rejected: BTreeMap<Cow<'static, str>, u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    event: Option<EventOf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct View {
    me: u32,
    cut_off: bool,
    #[serde(default)]
    impaired: Option<Arc<str>>,
    #[serde(default)]
    nodes: Vec<NodeLine>,
    #[serde(default)]
    links: Vec<LinkLine>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    differing: Vec<(u32, i64)>,
    #[serde(default)]
    rejected: BTreeMap<Cow<'static, str>, u64>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct NodeLine {
    n: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    label: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    addresses: Option<Vec<SocketAddr>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    state: Option<NodeState>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    since: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    told: Option<Told>,
    #[serde(skip_serializing_if = "is_false", default)]
    gone: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct LinkLine {
    l: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    dialer: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    listener: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    since: Option<i64>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "even_null"
    )]
    rtt_us: Option<Option<u32>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    measured: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    stale: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    loss: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    suspect: Option<bool>,
    /// The other end's round-trip time, when it was measured, and the loss.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    other: Option<(u32, i64, u16)>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    disputed: Option<i64>,
    #[serde(skip_serializing_if = "is_false", default)]
    gone: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    told: Option<Told>,
}

/// An event: its fields are an object, in the order of their names.
#[derive(Debug, Serialize, Deserialize)]
struct EventOf {
    name: String,
    level: String,
    fields: serde_json::Map<String, serde_json::Value>,
}

fn end_line(end: &EndFigures) -> (u32, i64, u16) {
    (end.rtt_us, end.rtt_at_ms, end.loss_permille)
}

fn end_of_line((rtt_us, rtt_at_ms, loss_permille): (u32, i64, u16)) -> EndFigures {
    EndFigures {
        rtt_us,
        rtt_at_ms,
        loss_permille,
    }
}

fn is_false(it: &bool) -> bool {
    !it
}

/// Tells a field that is null from one that is missing.
fn even_null<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

fn to_line<T: Serialize>(value: &T) -> String {
    let mut line = serde_json::to_string(value).expect("nothing in it can't be JSON");
    line.push('\n');
    line
}

/// Renders an entry as a line. An empty frame gives a heartbeat.
#[must_use]
pub fn line(entry: &Entry) -> String {
    match entry {
        Entry::Frame(frame) => frame_line(frame),
        Entry::Event(event) => to_line(&Line {
            at: event.at_ms,
            event: Some(EventOf::new(event)),
            ..Line::default()
        }),
    }
}

fn frame_line(frame: &Frame) -> String {
    let at = frame.at_ms;
    let nodes = frame.nodes.iter().map(NodeLine::whole);
    let links = frame.links.iter().map(|link| LinkLine::whole(at, link));
    let rejected = frame.rejected.iter().cloned().collect();
    let mut line = Line {
        at,
        origin: frame.origin_ms,
        ..Line::default()
    };
    if let Some(me) = frame.whole {
        line.view = Some(View {
            me,
            cut_off: frame.cut_off.unwrap_or_default(),
            impaired: frame.impaired.clone().flatten(),
            nodes: nodes.collect(),
            links: links.collect(),
            differing: frame.differing.clone().unwrap_or_default(),
            rejected,
        });
        return to_line(&line);
    }
    line.cut_off = frame.cut_off;
    line.impaired.clone_from(&frame.impaired);
    let changed = frame.changed.iter().map(NodeLine::changed);
    let forgotten = frame.forgotten.iter().map(|n| NodeLine::gone(*n));
    line.nodes = nodes.chain(changed).chain(forgotten).collect();
    let suspect = frame.suspect.iter();
    let suspect = suspect.map(|(l, suspect)| LinkLine::suspect(*l, *suspect));
    let gone = frame.gone.iter().map(LinkLine::gone);
    line.links = links.chain(suspect).chain(gone).collect();
    let figures = frame.figures.iter();
    line.figures = figures
        .map(|(l, it)| {
            let measured = at.saturating_sub(it.age_ms);
            (*l, it.rtt_us, measured, it.loss_permille, it.stale.into())
        })
        .collect();
    let others = frame.others.iter();
    line.others = others
        .map(|(l, other)| match other.as_ref().map(end_line) {
            Some((rtt_us, measured, loss)) => (*l, Some(rtt_us), measured, loss),
            None => (*l, None, at, 0),
        })
        .collect();
    line.disputed.clone_from(&frame.disputed);
    line.differing.clone_from(&frame.differing);
    line.rejected = rejected;
    to_line(&line)
}

impl NodeLine {
    fn whole(node: &Node) -> Self {
        Self {
            n: node.n,
            id: Some(node.id.to_string()),
            label: Some(node.label.clone()),
            addresses: Some(node.addrs.clone()),
            state: Some(node.state),
            since: Some(node.since_ms),
            told: node.told,
            gone: false,
        }
    }

    fn changed(change: &NodeChange) -> Self {
        let state = change.state;
        Self {
            n: change.n,
            label: change.label.clone(),
            addresses: change.addrs.clone(),
            state: state.map(|(state, ..)| state),
            since: state.map(|(_, since, _)| since),
            told: state.and_then(|(.., told)| told),
            ..Self::default()
        }
    }

    fn gone(n: u32) -> Self {
        Self {
            n,
            gone: true,
            ..Self::default()
        }
    }

    /// Adds it to a frame.
    fn put(self, frame: &mut Frame) -> Result<(), &'static str> {
        if self.gone {
            frame.forgotten.push(self.n);
            return Ok(());
        }
        let Some(id) = self.id else {
            let since = self.since;
            let state = self.state;
            frame.changed.push(NodeChange {
                n: self.n,
                label: self.label,
                addrs: self.addresses,
                state: state
                    .zip(since)
                    .map(|(state, since)| (state, since, self.told)),
            });
            return Ok(());
        };
        frame.nodes.push(Node {
            n: self.n,
            id: NodeId::from_hex(&id).map_err(|_| "a node id is 64 hexadecimal digits")?,
            label: self.label.ok_or("a new node has no label")?,
            addrs: self.addresses.unwrap_or_default(),
            state: self.state.ok_or("a new node has no state")?,
            since_ms: self.since.ok_or("a new node has no time")?,
            told: self.told,
        });
        Ok(())
    }
}

impl LinkLine {
    fn whole(at: i64, link: &Link) -> Self {
        let figures = link.figures;
        Self {
            l: link.l,
            dialer: Some(link.dialer),
            listener: Some(link.listener),
            since: Some(link.since_ms),
            rtt_us: Some(figures.rtt_us),
            measured: Some(at.saturating_sub(figures.age_ms)),
            stale: Some(figures.stale),
            loss: Some(figures.loss_permille),
            suspect: Some(link.suspect),
            other: link.other.as_ref().map(end_line),
            disputed: link.disputed_ms,
            ..Self::default()
        }
    }

    fn suspect(l: u32, suspect: bool) -> Self {
        Self {
            l,
            suspect: Some(suspect),
            ..Self::default()
        }
    }

    fn gone(gone: &LinkGone) -> Self {
        Self {
            l: gone.l,
            gone: true,
            told: gone.told,
            ..Self::default()
        }
    }

    /// Adds it to a frame.
    fn put(self, frame: &mut Frame) -> Result<(), &'static str> {
        let l = self.l;
        if self.gone {
            let told = self.told;
            frame.gone.push(LinkGone { l, told });
            return Ok(());
        }
        let (Some(dialer), Some(listener)) = (self.dialer, self.listener) else {
            frame
                .suspect
                .extend(self.suspect.map(|suspect| (l, suspect)));
            return Ok(());
        };
        let measured = self.measured.unwrap_or(frame.at_ms);
        frame.links.push(Link {
            l,
            dialer,
            listener,
            since_ms: self.since.unwrap_or(frame.at_ms),
            figures: Figures {
                rtt_us: self.rtt_us.flatten(),
                age_ms: frame.at_ms.saturating_sub(measured),
                stale: self.stale.unwrap_or_default(),
                loss_permille: self.loss.unwrap_or_default(),
            },
            suspect: self.suspect.unwrap_or_default(),
            other: self.other.map(end_of_line),
            disputed_ms: self.disputed,
        });
        Ok(())
    }
}

impl EventOf {
    fn new(event: &EventLine) -> Self {
        let fields = event.fields.iter().map(|(name, value)| {
            let value: serde_json::Value = match value {
                Value::Text(text) => text.as_str().into(),
                Value::Number(number) => (*number).into(),
                Value::Bool(bool) => (*bool).into(),
            };
            (name.to_string(), value)
        });
        // A map of serde_json keeps the order in which it was filled if another crate asks for that.
        let fields: BTreeMap<_, _> = fields.collect();
        Self {
            name: event.name.to_string(),
            level: event.level.to_string(),
            fields: fields.into_iter().collect(),
        }
    }

    fn event(self, at_ms: i64) -> EventLine {
        let fields = self.fields.into_iter().map(|(name, value)| {
            let value = match value {
                serde_json::Value::Bool(bool) => Value::Bool(bool),
                serde_json::Value::String(text) => Value::Text(text),
                other => other
                    .as_i64()
                    .map_or_else(|| Value::Text(other.to_string()), Value::Number),
            };
            (name.into(), value)
        });
        EventLine {
            at_ms,
            name: self.name.into(),
            level: self.level.into(),
            fields: fields.collect(),
        }
    }
}

/// An event as the API shows it, at that time in Unix ms.
#[must_use]
pub fn event(at_ms: u64, event: EventLine) -> Event {
    let EventOf {
        name,
        level,
        fields,
    } = EventOf::new(&event);
    Event {
        at_ms,
        name,
        level,
        fields,
    }
}
