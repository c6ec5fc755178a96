//! Follows the views of all nodes: who is shown as up, at which addresses, with which links.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::shared::picture::{self, Version};
use crate::shared::watcher::Watcher;

/// The file to follow.
const FILE: &str = "network.json";

/// The fields that matter.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    node: Cow<'a, str>,
    #[serde(borrow)]
    nodes: Vec<Node<'a>>,
    #[serde(borrow, default)]
    links: Vec<Link<'a>>,
}

#[derive(Deserialize)]
struct Node<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    label: Cow<'a, str>,
    #[serde(borrow)]
    state: Cow<'a, str>,
    changed_ms: u64,
    addresses: Vec<String>,
}

#[derive(Deserialize)]
struct Link<'a> {
    #[serde(borrow)]
    dialer: Cow<'a, str>,
    #[serde(borrow)]
    listener: Cow<'a, str>,
}

/// What a view shows of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// It is up.
    pub(crate) up: bool,
    /// When that changed last, by the viewer's clock in Unix ms.
    pub(crate) changed_ms: u64,
    /// Its addresses.
    pub(crate) addresses: Vec<String>,
}

/// One version of a view. Nodes are numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct View {
    /// By node; `None`: it isn't shown.
    pub(crate) nodes: Vec<Option<Shown>>,
    /// Links by both ends, the lower number first.
    pub(crate) links: BTreeSet<(usize, usize)>,
    /// Labels of nodes that are none of ours.
    pub(crate) strangers: Vec<String>,
}

/// Follows files.
pub(crate) struct Views {
    watcher: Watcher,
    files: Vec<PathBuf>,
    labels: BTreeMap<String, usize>,
    versions: Vec<Option<Version>>,
    text: Vec<u8>,
    scratch: Vec<u8>,
    /// Whether links are read too.
    links: bool,
}

impl Views {
    /// Follows nodes with these labels, which write to these folders.
    pub(crate) fn new(folders: &[PathBuf], labels: &[String], links: bool) -> Result<Self> {
        Ok(Self {
            watcher: Watcher::new(folders, FILE)?,
            files: folders.iter().map(|folder| folder.join(FILE)).collect(),
            labels: labels.iter().cloned().zip(0..).collect(),
            versions: vec![None; folders.len()],
            text: Vec::new(),
            scratch: Vec::new(),
            links,
        })
    }

    /// Waits until a file was written, until `timeout` passed, or until a signal arrived.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<()> {
        self.watcher.wait(timeout)
    }

    /// The views that were written since the last call: node, time in Unix ns, view.
    pub(crate) fn written(&mut self) -> Result<Vec<(usize, u64, View)>> {
        let mut new = Vec::new();
        for place in self.watcher.written()?.into_keys() {
            let version = picture::read(&self.files[place], self.links, &mut self.text)?;
            if self.versions[place].replace(version) == Some(version) {
                continue;
            }
            self.scratch.clear();
            if self.links {
                self.scratch.extend_from_slice(&self.text);
            } else {
                let head = picture::head_len(&self.text);
                self.scratch
                    .extend_from_slice(self.text[..head].trim_ascii_end());
                if self.scratch.last() == Some(&b',') {
                    self.scratch.pop();
                    self.scratch.push(b'}');
                }
            }
            let head: Head<'_> = serde_json::from_slice(&self.scratch).with_context(|| {
                format!(
                    "{} is not a view as we know it",
                    self.files[place].display()
                )
            })?;
            new.push((place, version.written_ns, self.view(head)));
        }
        new.sort_by_key(|(_, written, _)| *written);
        Ok(new)
    }

    fn view(&self, head: Head<'_>) -> View {
        let mut view = View {
            nodes: vec![None; self.labels.len()],
            ..View::default()
        };
        let mut places = BTreeMap::new();
        for node in head.nodes {
            match self.labels.get(node.label.as_ref()) {
                Some(place) => {
                    places.insert(node.id.clone(), *place);
                    view.nodes[*place] = Some(Shown {
                        up: node.state == "up",
                        changed_ms: node.changed_ms,
                        addresses: node.addresses,
                    });
                }
                None if node.state == "up" => view.strangers.push(node.label.into_owned()),
                None => {}
            }
        }
        debug_assert!(!head.node.is_empty(), "a view has a viewer");
        for link in head.links {
            if let (Some(one), Some(other)) = (places.get(&link.dialer), places.get(&link.listener))
            {
                view.links.insert((*one.min(other), *one.max(other)));
            }
        }
        view
    }
}
