//! What is made of a view for others to read, and recordings of views. A label is any text, which its node has chosen.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use area_net::answers::{
    self, ExplainExtras, LinkExtras, NodeExtras, StatusExtras, agreement, select,
};
use area_net::chronicle::{Chronicle, Entry, Limit, lines};
use area_net::decoders::shown;
use area_net::export::formats::Format;
use area_net::recording;
use area_net::snapshot::{EndFigures, LinkView, NodeState, NodeView, Rejected, Snapshot};
use area_net::wire::NodeId;

/// The most nodes of a view. With more, an input needs more bytes to say something of each.
const MOST_NODES: usize = 8;
/// The history of a view that is recorded twice takes far less.
const HISTORY: Limit = Limit {
    bytes: 1 << 20,
    age: Duration::MAX,
};

pub(crate) fn view(input: &[u8]) {
    let mut bytes = Unstructured::new(input);
    let Ok(first) = snapshot(&mut bytes) else {
        return;
    };
    exports(&first);
    documents(&first);
    for node in &first.nodes {
        let (text, width) = shown(&node.label, 20);
        assert!(
            width <= 20 && !text.chars().any(char::is_control),
            "{text:?}"
        );
    }
    // The next view of the same node.
    let second = snapshot(&mut bytes).ok().map(|second| Snapshot {
        at_ms: first.at_ms + 1000,
        ..second
    });
    history(first, second);
}

fn snapshot(bytes: &mut Unstructured<'_>) -> Result<Snapshot> {
    let count = bytes.int_in_range(1..=MOST_NODES)?;
    let mut nodes = BTreeMap::new();
    for _ in 0..count {
        // Ids often share their first digits, which stand for them in pictures.
        let tail: u8 = bytes.arbitrary()?;
        let mut id = [tail & 1; 32];
        id[31] = tail;
        let node = node(bytes, NodeId(id))?;
        nodes.insert(node.id, node);
    }
    let nodes: Vec<NodeView> = nodes.into_values().collect();
    let me = bytes.int_in_range(0..=nodes.len() - 1)?;
    let mut pairs = BTreeSet::new();
    let mut links = Vec::new();
    for _ in 0..bytes.int_in_range(0..=12_u8)? {
        let ends: u8 = bytes.arbitrary()?;
        let (one, other) = (
            usize::from(ends & 7) % nodes.len(),
            usize::from(ends >> 4) % nodes.len(),
        );
        if one != other && pairs.insert((one.min(other), one.max(other))) {
            links.push(link(bytes, one, other)?);
        }
    }
    links.sort_by_key(|link| (link.dialer, link.listener));
    let differing = bytes.int_in_range(0..=nodes.len() - 1)?;
    Ok(Snapshot {
        me,
        at_ms: 10_000,
        origin_ms: if bytes.arbitrary()? {
            1_700_000_000_000
        } else {
            0
        },
        network: text(bytes)?,
        cut_off: bytes.arbitrary()?,
        impaired: bytes
            .arbitrary::<bool>()?
            .then(|| text(bytes))
            .transpose()?,
        differing: vec![(differing, 5)],
        rejected: Rejected(vec![(
            "forged_record".into(),
            bytes.arbitrary::<u32>()?.into(),
        )]),
        nodes,
        links,
    })
}

fn text(bytes: &mut Unstructured<'_>) -> Result<Arc<str>> {
    let length = usize::from(bytes.arbitrary::<u8>()? & 31).min(bytes.len());
    Ok(String::from_utf8_lossy(bytes.bytes(length)?).into())
}

fn node(bytes: &mut Unstructured<'_>, id: NodeId) -> Result<NodeView> {
    let kind: u8 = bytes.arbitrary()?;
    let addrs: [SocketAddr; 4] = [
        ([127, 0, 0, 1], 8083).into(),
        ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 443).into(),
        ([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0207], 1).into(),
        ([0xfe80, 0, 0, 0, 0, 0, 0, 1], 8083).into(),
    ];
    Ok(NodeView {
        id,
        label: text(bytes)?,
        addrs: addrs.iter().copied().skip(usize::from(kind & 7)).collect(),
        state: [
            NodeState::Up,
            NodeState::Up,
            NodeState::Unreachable,
            NodeState::Left,
        ][usize::from(kind >> 4 & 3)],
        since_ms: i64::from(kind) * 40,
    })
}

fn link(bytes: &mut Unstructured<'_>, dialer: usize, listener: usize) -> Result<LinkView> {
    let flags: u8 = bytes.arbitrary()?;
    let rtt_us: u32 = bytes.arbitrary()?;
    Ok(LinkView {
        dialer,
        listener,
        rtt_us: (flags & 1 == 0).then_some(rtt_us),
        rtt_at_ms: i64::from(flags) * 40 - 1000,
        rtt_stale: flags & 2 != 0,
        loss_permille: u16::from(flags) * 4,
        suspect: flags & 4 != 0,
        other: (flags & 8 != 0).then_some(EndFigures {
            rtt_us: rtt_us.wrapping_add(1).max(1),
            rtt_at_ms: 0,
            loss_permille: 4,
        }),
        disputed_ms: (flags & 16 != 0).then_some(7),
    })
}

/// Every format is well-formed, and labels change nothing but the places where they stand.
fn exports(snapshot: &Snapshot) {
    let mut plain = snapshot.clone();
    plain.network = "x".into();
    plain.impaired = plain.impaired.map(|_| "x".into());
    for node in &mut plain.nodes {
        node.label = "x".into();
    }
    for format in Format::ALL {
        let text = String::from_utf8(format.render(snapshot)).expect("exports are UTF-8");
        let harmless = String::from_utf8(format.render(&plain)).expect("exports are UTF-8");
        let is_odd = |letter: char| letter.is_control() && letter != '\n';
        match format {
            Format::Json | Format::NetJson => {
                let read: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
                let labels = snapshot.nodes.iter().map(|node| &*node.label);
                let nodes = read["nodes"].as_array().expect("there are nodes");
                assert_eq!(nodes.len(), snapshot.nodes.len());
                for (node, label) in nodes.iter().zip(labels) {
                    assert_eq!(node["label"].as_str(), Some(label), "in {format}");
                }
            }
            Format::GraphMl | Format::Gexf => {
                let is_xml = |letter: char| {
                    !is_odd(letter) || letter == '\t' || letter == '\r' || letter > '\u{7e}'
                };
                assert!(text.chars().all(is_xml), "control characters in {format}");
                for mark in ["<node ", "<edge ", "</", "<", ">"] {
                    let counts = [&text, &harmless].map(|text| text.matches(mark).count());
                    // XML allows `>` in a text, so it is no mark of a structure.
                    assert!(
                        counts[0] == counts[1] || mark == ">",
                        "a label adds {mark:?} to {format}"
                    );
                }
            }
            Format::D2 | Format::Dot | Format::Mermaid => {
                assert!(!text.chars().any(is_odd), "control characters in {format}");
                let lines = [&text, &harmless].map(|text| text.lines().count());
                assert_eq!(lines[0], lines[1], "a label adds lines to {format}");
            }
        }
    }
}

/// Every answer of the API can be made.
fn documents(snapshot: &Snapshot) {
    let json = |document: serde_json::Result<String>| {
        let text = document.expect("it can be JSON");
        assert!(!text.contains('\n'));
    };
    let extras = StatusExtras {
        history: None,
        readers: 0,
        agreement: Some(agreement(snapshot)),
        notices: Vec::new(),
    };
    json(serde_json::to_string(&answers::status(snapshot, extras)));
    json(serde_json::to_string(&answers::nodes(snapshot)));
    json(serde_json::to_string(&answers::links(snapshot)));
    json(serde_json::to_string(&answers::explain(
        snapshot,
        &ExplainExtras::default(),
    )));
    for (index, node) in snapshot.nodes.iter().enumerate() {
        json(serde_json::to_string(&answers::node(
            snapshot,
            index,
            NodeExtras::default(),
        )));
        json(serde_json::to_string(&answers::path(
            snapshot,
            snapshot.me,
            index,
        )));
        json(serde_json::to_string(&answers::ping(
            snapshot,
            index,
            &[Some(5), None],
        )));
        let link = answers::link(snapshot, [snapshot.me, index], LinkExtras::default());
        json(serde_json::to_string(
            &link.map_err(|failure| *failure).ok(),
        ));
        assert_eq!(select(snapshot, &node.id.to_string()).ok(), Some(index));
        if let Ok(found) = select(snapshot, &node.label) {
            assert!(found < snapshot.nodes.len());
        }
    }
}

/// A history gives its views back, exactly, also through its lines.
fn history(first: Snapshot, second: Option<Snapshot>) {
    let network = first.network.clone();
    let mut chronicle = Chronicle::new(HISTORY);
    let mut loaded = Chronicle::new(HISTORY);
    let mut next = None;
    for snapshot in [Some(first), second].into_iter().flatten() {
        // A history is of one network.
        let snapshot = Arc::new(Snapshot {
            network: network.clone(),
            ..snapshot
        });
        chronicle.record(&snapshot);
        let picture = chronicle.newest().expect("it was recorded");
        assert_eq!(
            picture.snapshot().as_ref(),
            Ok(&*snapshot),
            "the newest view"
        );
        // The first entry is a keyframe, which a reader gets by itself.
        let entries: Vec<Entry> = match next {
            None => vec![Entry::Frame(Box::new(picture.keyframe()))],
            Some(next) => {
                let entries = chronicle.since(next).expect("nothing is forgotten");
                entries.map(|(_, entry)| entry).collect()
            }
        };
        next = Some(chronicle.next());
        for entry in entries {
            load(&mut loaded, &network, &entry);
        }
        // The passing of time alone is not recorded.
        let again = loaded.newest().expect("it was loaded").snapshot();
        let again = again.map(|again| Snapshot {
            at_ms: snapshot.at_ms,
            ..again
        });
        assert_eq!(again.as_ref(), Ok(&*snapshot), "read from its lines");
    }
}

/// Loads an entry through its line.
fn load(chronicle: &mut Chronicle, network: &Arc<str>, entry: &Entry) {
    let line = lines::line(entry);
    let back = lines::read_line(line.trim_end()).expect("our own lines are read");
    if let Some(back) = back {
        assert_eq!(lines::line(&back), line, "the line does not come back");
        chronicle
            .load(network, back)
            .expect("our own frames follow");
    }
}

/// A recording: a file that another program may have written.
pub(crate) fn recording(input: &[u8]) {
    match recording::load(Cursor::new(input.to_vec())) {
        Err(why) => assert!(why.starts_with("line "), "no place: {why}"),
        Ok(loaded) => {
            let chronicle = &loaded.chronicle;
            let picture = chronicle.newest().expect("something can be shown");
            let snapshot = picture.snapshot().expect("it was checked");
            exports(&snapshot);
            documents(&snapshot);
            let mut again = Chronicle::new(HISTORY);
            let whole = Entry::Frame(Box::new(picture.keyframe()));
            load(&mut again, &loaded.header.network, &whole);
            let again = again.newest().map(|picture| picture.snapshot());
            assert_eq!(again, Some(Ok(snapshot)), "written and read again");
        }
    }
    // Line by line, without what the bounds of a history leave out.
    let text = String::from_utf8_lossy(input);
    for line in text.lines() {
        if let Ok(Some(entry)) = lines::read_line(line) {
            let written = lines::line(&entry);
            let back: Option<Entry> =
                lines::read_line(written.trim_end()).expect("our own lines are read");
            assert_eq!(back.map(|back| lines::line(&back)), Some(written));
        }
    }
}
