//! Follows the views of honest nodes while they are attacked.
//!
//! A view may hold ten thousands of invented nodes and take 13 MB. So the file is not parsed as JSON: each node and each link is one line
//! of it, and only the lines about honest nodes are looked at closely.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::shared::picture;
use crate::shared::watcher::Watcher;

/// The file in which a node writes its view.
const FILE: &str = "network.json";

/// The length of an id in hex digits.
const ID: usize = 64;

/// What a line says between the id and the rest of the label, of the attacker that signs two records under one version.
const FACE: &[u8] = b"\",\"label\":\"face-";

/// The newest version of one node's view.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// When it was written, in Unix ns.
    pub(crate) written_ns: u64,
    /// The honest nodes that it shows as up, by place.
    pub(crate) up: BTreeSet<usize>,
    /// When that set was first written, in Unix ns.
    pub(crate) up_since_ns: u64,
    /// All other nodes that it shows as up.
    pub(crate) strangers: usize,
    /// The labels of those that begin like this one, for the attack with two records under one version.
    pub(crate) faces: BTreeSet<String>,
    /// The links between honest nodes, each with the lower place first.
    pub(crate) links: BTreeSet<(usize, usize)>,
    /// The largest round-trip time of those links, in µs.
    pub(crate) rtt_us: u32,
    /// The addresses of each honest node.
    pub(crate) addresses: BTreeMap<usize, Vec<String>>,
    /// What the node has rejected.
    pub(crate) rejected: BTreeMap<String, u64>,
    /// The size of the file in bytes.
    pub(crate) bytes: usize,
}

/// Follows the views of all honest nodes, by place.
pub(crate) struct Views {
    watcher: Watcher,
    files: Vec<PathBuf>,
    ids: HashMap<[u8; ID], usize>,
    views: Vec<Option<View>>,
    text: Vec<u8>,
}

#[derive(Deserialize)]
struct NodeLine {
    state: String,
    addresses: Vec<String>,
}

#[derive(Deserialize)]
struct LinkLine {
    rtt_us: Option<u32>,
}

impl Views {
    /// Watches the folders of all nodes, those that start later too.
    pub(crate) fn new(folders: &[PathBuf]) -> Result<Self> {
        Ok(Self {
            watcher: Watcher::new(folders, FILE)?,
            files: folders.iter().map(|folder| folder.join(FILE)).collect(),
            ids: HashMap::new(),
            views: folders.iter().map(|_| None).collect(),
            text: Vec::new(),
        })
    }

    /// Waits until a view was written, or for that time.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<()> {
        self.watcher.wait(timeout)
    }

    /// Reads what was written since. Returns the places of the views that are new.
    pub(crate) fn read(&mut self) -> Result<BTreeSet<usize>> {
        let mut new: BTreeSet<usize> = self.watcher.written()?.into_keys().collect();
        let known = self.ids.len();
        for &place in &new {
            self.read_one(place)?;
        }
        if self.ids.len() > known {
            // The views that were read before took this node for a stranger.
            new = (0..self.files.len())
                .filter(|place| self.views[*place].is_some())
                .collect();
            for &place in &new {
                self.read_one(place)?;
            }
        }
        Ok(new)
    }

    /// The newest view of the node at `place`.
    pub(crate) fn of(&self, place: usize) -> Option<&View> {
        self.views[place].as_ref()
    }

    fn read_one(&mut self, place: usize) -> Result<()> {
        let mut text = std::mem::take(&mut self.text);
        let version = picture::read(&self.files[place], true, &mut text)?;
        if let Some(id) = own_id(&text) {
            self.ids.insert(id, place);
        }
        let mut view = self.look(&text)?;
        view.written_ns = version.written_ns;
        let before = self.views[place].as_ref();
        let before = before.filter(|before| before.up == view.up);
        view.up_since_ns = before.map_or(version.written_ns, |before| before.up_since_ns);
        self.views[place] = Some(view);
        self.text = text;
        Ok(())
    }

    fn look(&self, text: &[u8]) -> Result<View> {
        let mut view = View {
            bytes: text.len(),
            ..View::default()
        };
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b",").unwrap_or(line);
            if let Some(rest) = line.strip_prefix(b"{\"id\":\"") {
                match self.place(rest) {
                    Some(place) => {
                        let node: NodeLine =
                            serde_json::from_slice(line).context("a node that is no JSON")?;
                        if node.state == "up" {
                            view.up.insert(place);
                        }
                        view.addresses.insert(place, node.addresses);
                    }
                    None => {
                        view.strangers += usize::from(is_up(line));
                        let label = rest.get(ID..).unwrap_or_default();
                        if let Some(face) = label.strip_prefix(FACE) {
                            let end = face.iter().position(|byte| *byte == b'"');
                            let face = &face[..end.unwrap_or(0)];
                            view.faces
                                .insert(String::from_utf8_lossy(face).into_owned());
                        }
                    }
                }
            } else if let Some(rest) = line.strip_prefix(b"{\"dialer\":\"") {
                let other = rest.get(ID..).unwrap_or_default();
                let other = other.strip_prefix(b"\",\"listener\":\"");
                let ends = self
                    .place(rest)
                    .zip(other.and_then(|rest| self.place(rest)));
                if let Some((a, b)) = ends {
                    let link: LinkLine =
                        serde_json::from_slice(line).context("a link that is no JSON")?;
                    view.links.insert((a.min(b), a.max(b)));
                    view.rtt_us = view.rtt_us.max(link.rtt_us.unwrap_or(0));
                }
            } else if let Some(rest) = line.strip_prefix(b"\"rejected\":") {
                let rest = rest.strip_suffix(b"}").unwrap_or(rest);
                view.rejected = serde_json::from_slice(rest).context("counts that are no JSON")?;
            }
        }
        Ok(view)
    }

    /// The place of the node whose id begins this text.
    fn place(&self, text: &[u8]) -> Option<usize> {
        let id: &[u8; ID] = text.first_chunk()?;
        self.ids.get(id).copied()
    }
}

/// The id of the node that wrote the view.
fn own_id(text: &[u8]) -> Option<[u8; ID]> {
    let mut lines = text.split(|byte| *byte == b'\n').take(8);
    let rest = lines.find_map(|line| line.strip_prefix(b"\"node\":\""))?;
    rest.first_chunk().copied()
}

/// Whether a node's line says `up`. The state follows label and addresses, which are the node's own words, so it is looked for from
/// the end.
fn is_up(line: &[u8]) -> bool {
    const STATE: &[u8] = b"\"state\":\"";
    let at = line.windows(STATE.len()).rposition(|part| part == STATE);
    at.is_some_and(|at| line[at + STATE.len()..].starts_with(b"up\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_read_line_by_line() {
        let [a, b, stranger] = ["a", "b", "c"].map(|digit| digit.repeat(ID));
        let text = format!(
            r#"{{"format":1,
"node":"{a}",
"nodes":[
{{"id":"{a}","label":"","addresses":["[::1]:1"],"state":"up","changed_ms":1}},
{{"id":"{b}","label":"","addresses":[],"state":"unreachable","changed_ms":1}},
{{"id":"{stranger}","label":"\"state\":\"up\"","addresses":[],"state":"up","changed_ms":1}}
],
"links":[
{{"dialer":"{b}","listener":"{a}","rtt_us":312,"rtt_measured_ms":2000}},
{{"dialer":"{stranger}","listener":"{a}","rtt_us":99999,"rtt_measured_ms":2000}}
],
"rejected":{{"over_limit":2}}}}
"#
        );
        let mut views = Views::new(&[]).unwrap();
        assert_eq!(own_id(text.as_bytes()).unwrap(), *a.as_bytes());
        for (place, id) in [a, b].iter().enumerate() {
            views.ids.insert(id.as_bytes().try_into().unwrap(), place);
        }
        let view = views.look(text.as_bytes()).unwrap();
        assert_eq!(view.up, BTreeSet::from([0]));
        assert_eq!(view.strangers, 1);
        assert_eq!(view.links, BTreeSet::from([(0, 1)]));
        assert_eq!(view.rtt_us, 312);
        assert_eq!(view.rejected["over_limit"], 2);
        assert_eq!(view.addresses[&0], ["[::1]:1"]);
    }

    #[test]
    fn a_label_can_not_forge_the_state() {
        assert!(is_up(br#"{"label":"","state":"up","changed_ms":1}"#));
        assert!(!is_up(
            br#"{"label":"\"state\":\"up\"","state":"left","changed_ms":1}"#
        ));
    }
}
