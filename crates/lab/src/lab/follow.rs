//! Reads every version of every node's `network.json`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::lab::record::{Link, Node, View};
use crate::shared::picture::{self, Version};
use crate::shared::watcher::Watcher;

/// The file to follow.
const FILE: &str = "network.json";

/// Ids are cut to this many digits, as in the logs. That is enough to tell nodes apart.
const DIGITS: usize = 10;

/// The fields of `network.json` that the lab uses.
#[derive(Debug, Deserialize)]
struct File {
    node: String,
    cut_off: bool,
    nodes: Vec<FileNode>,
    links: Vec<FileLink>,
}

#[derive(Debug, Deserialize)]
struct FileNode {
    id: String,
    state: String,
    changed_ms: u64,
    addresses: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct FileLink {
    dialer: String,
    listener: String,
    rtt_us: Option<u32>,
    loss_percent: f64,
    suspect: bool,
}

/// Follows the views of all nodes.
pub(crate) struct Follower {
    watcher: Watcher,
    files: Vec<PathBuf>,
    versions: Vec<Option<Version>>,
    views: Vec<Option<View>>,
    text: Vec<u8>,
}

impl Follower {
    /// Follows the nodes that write to these folders. The folders must exist.
    pub(crate) fn new(folders: &[PathBuf]) -> Result<Self> {
        Ok(Self {
            watcher: Watcher::new(folders, FILE)?,
            files: folders.iter().map(|folder| folder.join(FILE)).collect(),
            versions: vec![None; folders.len()],
            views: vec![None; folders.len()],
            text: Vec::new(),
        })
    }

    /// Waits until a file was written, until `timeout` passed, or until a signal arrived.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<()> {
        self.watcher.wait(timeout)
    }

    /// Forgets the node's last view, because the node was restarted.
    pub(crate) fn forget(&mut self, place: usize) {
        self.views[place] = None;
    }

    /// The views that were written since the last call and differ from the previous ones, each with its write time in Unix ns.
    pub(crate) fn written(&mut self) -> Result<Vec<(u64, View)>> {
        let mut new = Vec::new();
        for place in self.watcher.written()?.into_keys() {
            let version = picture::read(&self.files[place], true, &mut self.text)?;
            if self.versions[place].replace(version) == Some(version) {
                continue;
            }
            let file: File = serde_json::from_slice(&self.text).with_context(|| {
                format!(
                    "{} is not a view as we know it",
                    self.files[place].display()
                )
            })?;
            let view = view(place, file);
            if self.views[place].as_ref() != Some(&view) {
                self.views[place] = Some(view.clone());
                new.push((version.written_ns, view));
            }
        }
        new.sort_by_key(|(written, _)| *written);
        Ok(new)
    }
}

fn view(viewer: usize, file: File) -> View {
    let short = |mut id: String| {
        id.truncate(DIGITS);
        id
    };
    let nodes = file.nodes.into_iter().map(|node| Node {
        id: short(node.id),
        state: node.state,
        since_ms: node.changed_ms,
        addresses: node.addresses,
    });
    let links = file.links.into_iter().map(|link| Link {
        dialer: short(link.dialer),
        listener: short(link.listener),
        rtt_ms: link.rtt_us.map(|us| f64::from(us) / 1000.0),
        loss_percent: link.loss_percent,
        suspect: link.suspect,
    });
    View {
        viewer,
        id: short(file.node),
        cut_off: file.cut_off,
        nodes: nodes.collect(),
        links: links.collect(),
    }
}
