//! Follows every node's view while the network runs.
//!
//! The kernel reports (inotify) that a `network.json` was renamed into place. The file's modification time says when it was
//! written, so a late reader changes no figure. The observer also checks every version against three rules:
//!
//! - Once a view shows a node as up, it must do so as long as that node's process runs.
//! - A dropped node must not come back.
//! - No unknown node may appear.
//!
//! A version that was replaced before it was read hides no flap: a node that was down in it has a later `changed_ms` afterwards.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::network::graph::{self, Graph};
use crate::shared::kernel::now_ns;
use crate::shared::picture::{self, Head, Version};
use crate::shared::watcher::Watcher;

/// The name of the followed file.
const FILE: &str = "network.json";

/// The most problems that are described; further ones are only counted.
const MAX_TOLD: usize = 12;

/// The state of one node in one view, as far as the rules need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// The view has not yet shown it as up.
    NotYet,
    /// Up since this `changed_ms` of the view.
    Up(u64),
    /// No longer up, and its process is not running.
    Gone,
}

/// The newest version of one node's view.
#[derive(Debug)]
struct View {
    version: Version,
    head: Vec<u8>,
    /// The nodes that are up, as sorted handles of ids.
    up: Vec<u32>,
    /// When the first version with the present `up` was written, in Unix ns.
    up_at: u64,
    cut_off: bool,
    /// Sorted pairs (dialer, listener), if links are followed.
    links: Option<Vec<(u32, u32)>>,
    /// When the first version that was read with the present `links` was written, in Unix ns.
    links_at: u64,
    /// The state of each node, by place.
    shown: Vec<Shown>,
}

/// The numbers of versions read and missed, and of broken rules.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Versions read.
    pub(crate) versions: u64,
    /// Versions that were replaced before they were read, counted since the network settled.
    pub(crate) missed: u64,
    /// Running nodes that vanished from a view before the network settled.
    pub(crate) early_flaps: u64,
    /// Broken rules.
    pub(crate) problems: u64,
}

/// Follows the views of all nodes. A node's *place* is its number in the order in which the nodes were started.
pub(crate) struct Observer {
    watcher: Watcher,
    names: Vec<String>,
    files: Vec<PathBuf>,
    labelled: bool,
    handles: HashMap<String, u32>,
    own: Vec<Option<u32>>,
    running: Vec<bool>,
    views: Vec<Option<View>>,
    text: Vec<u8>,
    scratch: Vec<u8>,
    settled: bool,
    follow_links: bool,
    began: u64,
    counts: Counts,
    /// Versions that the kernel reported.
    told_of: u64,
    told: Vec<String>,
}

impl Observer {
    /// Watches one folder for each name. The folders must exist. With `labelled`, a node's label must be its name.
    pub(crate) fn new(names: Vec<String>, folders: &[PathBuf], labelled: bool) -> Result<Self> {
        let count = names.len();
        Ok(Self {
            watcher: Watcher::new(folders, FILE)?,
            names,
            files: folders.iter().map(|folder| folder.join(FILE)).collect(),
            labelled,
            handles: HashMap::new(),
            own: vec![None; count],
            running: vec![false; count],
            views: (0..count).map(|_| None).collect(),
            text: Vec::new(),
            scratch: Vec::new(),
            settled: false,
            follow_links: false,
            began: now_ns(),
            counts: Counts::default(),
            told_of: 0,
            told: Vec::new(),
        })
    }

    /// Notes that the node at `place` is about to be started.
    pub(crate) fn started(&mut self, place: usize) {
        self.running[place] = true;
        self.views[place] = None;
        for view in self.views.iter_mut().flatten() {
            view.shown[place] = Shown::NotYet;
        }
    }

    /// Notes that the node at `place` is about to be stopped.
    pub(crate) fn stopped(&mut self, place: usize) {
        self.running[place] = false;
    }

    /// Makes the rules strict from now on: no running node may vanish from a view.
    pub(crate) fn settle(&mut self) {
        self.settled = true;
        // Versions that were replaced unread until now do not count as missed.
        self.told_of = self.counts.versions;
    }

    /// Sets whether links are read from now on.
    pub(crate) fn follow_links(&mut self, follow: bool) -> Result<()> {
        let begins = follow && !self.follow_links;
        self.follow_links = follow;
        if begins {
            for place in 0..self.names.len() {
                self.read_again(place)?;
            }
        }
        Ok(())
    }

    /// Returns the counts so far.
    pub(crate) fn counts(&self) -> Counts {
        // A version may be read before the kernel's event for it, so only the sums can be compared.
        let missed = self.told_of.saturating_sub(self.counts.versions);
        Counts {
            missed,
            ..self.counts
        }
    }

    /// Returns descriptions of the first few broken rules.
    pub(crate) fn problems(&self) -> &[String] {
        &self.told
    }

    /// Notes a broken rule.
    pub(crate) fn tell(&mut self, problem: String) {
        self.counts.problems += 1;
        if self.told.len() < MAX_TOLD {
            let at = crate::shared::kernel::seconds_between(self.began, now_ns());
            self.told.push(format!("after {at:.3} s: {problem}"));
        }
    }

    /// Waits until a file was written, or for `timeout`, or for a signal.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<()> {
        self.watcher.wait(timeout)
    }

    /// Reads every view that was written since the last call.
    pub(crate) fn drain(&mut self) -> Result<()> {
        for (place, count) in self.watcher.written()? {
            if self.running[place] {
                self.told_of += count;
                self.read_again(place)?;
            }
        }
        Ok(())
    }

    /// Reads the view of the node at `place`, and its links if they are followed.
    fn read_again(&mut self, place: usize) -> Result<()> {
        if !self.running[place] || !self.files[place].exists() {
            return Ok(());
        }
        let mut text = std::mem::take(&mut self.text);
        let version = picture::read(&self.files[place], self.follow_links, &mut text)?;
        let known = self.views[place].as_ref();
        if known.is_none_or(|view| view.version != version) {
            self.counts.versions += 1;
        }
        let head = &text[..picture::head_len(&text)];
        if known.is_none_or(|view| view.head != head) {
            self.take_head(place, version, head);
        }
        if let Some(view) = &mut self.views[place] {
            view.version = version;
        }
        if self.follow_links {
            self.take_links(place, version, &text);
        }
        self.text = text;
        Ok(())
    }

    fn take_head(&mut self, place: usize, version: Version, text: &[u8]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        match picture::parse_head(text, &mut scratch) {
            Ok(head) => self.apply(place, version, text, &head),
            Err(error) => self.tell(format!("{}: {error:#}", self.files[place].display())),
        }
        self.scratch = scratch;
    }

    /// Checks a new version against the rules and keeps it.
    fn apply(&mut self, place: usize, version: Version, text: &[u8], head: &Head<'_>) {
        let name = self.names[place].clone();
        let node = self.handle(&head.node);
        match self.own[place] {
            Some(own) if own != node => self.tell(format!("{name} came back with another id")),
            _ => self.own[place] = Some(node),
        }
        let mut up = Vec::with_capacity(head.nodes.len());
        let mut since = vec![None; self.names.len()];
        let places: HashMap<u32, usize> = self
            .own
            .iter()
            .enumerate()
            .filter_map(|(place, own)| Some(((*own)?, place)))
            .collect();
        for shown in &head.nodes {
            let handle = self.handle(&shown.id);
            let is_up = shown.state == "up";
            if is_up {
                up.push(handle);
            }
            match places.get(&handle) {
                Some(other) => {
                    since[*other] = is_up.then_some(shown.changed_ms);
                    if self.labelled && shown.label != self.names[*other].as_str() {
                        self.tell(format!(
                            "{name} calls {} {:?}",
                            self.names[*other], shown.label
                        ));
                    }
                }
                None if self.settled => {
                    self.tell(format!(
                        "{name} shows a ghost, {}: {}",
                        shown.state, shown.id
                    ));
                }
                None => {}
            }
        }
        up.sort_unstable();
        let before = self.views[place].take();
        let mut shown = before.as_ref().map_or_else(
            || vec![Shown::NotYet; self.names.len()],
            |view| view.shown.clone(),
        );
        for (other, since) in since.into_iter().enumerate() {
            shown[other] = self.next_shown(place, other, shown[other], since);
        }
        let was_linked = before.as_ref().is_some_and(|view| !view.cut_off);
        if self.settled && head.cut_off && was_linked {
            self.tell(format!("{name} says that it is cut off"));
        }
        let up_at = match &before {
            Some(view) if view.up == up => view.up_at,
            _ => version.written_ns,
        };
        let (links, links_at) = before.map_or((None, 0), |view| (view.links, view.links_at));
        let head_text = text.to_vec();
        self.views[place] = Some(View {
            version,
            head: head_text,
            up,
            up_at,
            cut_off: head.cut_off,
            links,
            links_at,
            shown,
        });
    }

    /// Returns the next state of `other` in the view at `place`. The new version shows it as up since `since`; `None` is not up.
    fn next_shown(
        &mut self,
        place: usize,
        other: usize,
        shown: Shown,
        since: Option<u64>,
    ) -> Shown {
        let runs = self.running[other];
        let pair = || format!("{} shows {}", self.names[place], self.names[other]);
        let (next, broken) = match (shown, since, runs) {
            (Shown::Up(before), Some(now), true) if before != now && place != other => (
                Shown::Up(now),
                Some(format!(
                    "{} as up, but not since the same time as before",
                    pair()
                )),
            ),
            (Shown::NotYet | Shown::Up(_), Some(now), _) => (Shown::Up(now), None),
            (Shown::Up(_), None, true) => (
                Shown::NotYet,
                Some(format!("{} as not up while it is up", pair())),
            ),
            (Shown::Up(_), None, false) => (Shown::Gone, None),
            (Shown::Gone, Some(now), _) => (
                Shown::Up(now),
                Some(format!("{} as up again after it was gone", pair())),
            ),
            (Shown::NotYet | Shown::Gone, None, _) => (shown, None),
        };
        match broken {
            Some(problem) if self.settled => self.tell(problem),
            Some(_) => self.counts.early_flaps += 1,
            None => {}
        }
        next
    }

    fn take_links(&mut self, place: usize, version: Version, text: &[u8]) {
        let mut links: Vec<(u32, u32)> = match picture::parse_links(text) {
            Ok(read) => read
                .links
                .iter()
                .map(|link| (self.handle(&link.dialer), self.handle(&link.listener)))
                .collect(),
            Err(error) => return self.tell(format!("{}: {error:#}", self.files[place].display())),
        };
        links.sort_unstable();
        if let Some(view) = &mut self.views[place]
            && view.links.as_ref() != Some(&links)
        {
            view.links = Some(links);
            view.links_at = version.written_ns;
        }
    }

    /// Returns the small number that stands for an id.
    fn handle(&mut self, id: &str) -> u32 {
        if let Some(handle) = self.handles.get(id) {
            return *handle;
        }
        let handle =
            u32::try_from(self.handles.len()).expect("fewer ids than would fill the memory");
        self.handles.insert(id.to_owned(), handle);
        handle
    }

    /// Returns the views of the running nodes, each with its place.
    fn running_views(&self) -> impl Iterator<Item = (usize, Option<&View>)> {
        (0..self.names.len())
            .filter(|place| self.running[*place])
            .map(|place| (place, self.views[place].as_ref()))
    }

    /// Returns the sorted handles of the running nodes, or `None` until each has written its own id.
    fn members(&self) -> Option<Vec<u32>> {
        let mut members: Vec<u32> = self
            .running_views()
            .map(|(place, _)| self.own[place])
            .collect::<Option<_>>()?;
        members.sort_unstable();
        Some(members)
    }

    /// Returns the latest of the times that `holds` returns for the running nodes' views, or `None` if it returns none for one of
    /// them.
    fn since(&self, holds: impl Fn(&View) -> Option<u64>) -> Option<u64> {
        self.running_views()
            .try_fold(0, |latest, (_, view)| Some(latest.max(holds(view?)?)))
    }

    /// Returns the time since which every running node lists exactly the running nodes as up.
    pub(crate) fn all_know_all(&self) -> Option<u64> {
        let members = self.members()?;
        self.since(|view| (view.up == members).then_some(view.up_at))
    }

    /// Returns the time since which no running node lists the one at `place` as up.
    pub(crate) fn nobody_lists(&self, place: usize) -> Option<u64> {
        let own = self.own[place]?;
        self.since(|view| view.up.binary_search(&own).is_err().then_some(view.up_at))
    }

    /// Returns the time since which every running node lists the one at `place` as up.
    pub(crate) fn everybody_lists(&self, place: usize) -> Option<u64> {
        let own = self.own[place]?;
        self.since(|view| view.up.binary_search(&own).is_ok().then_some(view.up_at))
    }

    /// Returns the time since which the node at `place` lists exactly the running nodes as up.
    pub(crate) fn knows_all(&self, place: usize) -> Option<u64> {
        let (members, view) = (self.members()?, self.views[place].as_ref()?);
        (view.up == members).then_some(view.up_at)
    }

    /// Returns the time since which all views have converged on a sound graph. Links must be followed.
    pub(crate) fn exact(&self) -> Option<u64> {
        let members = self.members()?;
        let (_, first) = self.running_views().next()?;
        let links = first?.links.as_ref()?;
        let since = self.since(|view| {
            let same = !view.cut_off && view.up == members && view.links.as_ref() == Some(links);
            same.then_some(view.up_at.max(view.links_at))
        })?;
        graph::check(links, &members).is_ok().then_some(since)
    }

    /// Returns the same time as `exact`, but only if no node has too few or too many links.
    pub(crate) fn at_rest(&self) -> Option<u64> {
        let since = self.exact()?;
        self.graph()
            .is_ok_and(|graph| graph.unrest().is_none())
            .then_some(since)
    }

    /// Returns the graph of the first running view, or why it is not sound.
    pub(crate) fn graph(&self) -> Result<Graph, String> {
        let members = self.members().ok_or("not every node has said its id")?;
        let first = self.running_views().next().and_then(|(_, view)| view);
        let links = first
            .and_then(|view| view.links.as_ref())
            .ok_or("no links were read")?;
        graph::check(links, &members)
    }

    /// Describes what is wrong in each view that is not as it should be. `place` is the awaited node, if there is one.
    pub(crate) fn complain(&self, place: Option<usize>) -> Result<String> {
        let mut text = String::new();
        let links = self
            .running_views()
            .find_map(|(_, view)| view?.links.as_ref());
        for (viewer, view) in self.running_views() {
            let name = &self.names[viewer];
            let Some(view) = view else {
                writeln!(text, "  {name}: no view at all")?;
                continue;
            };
            let lacks = self.places(|place| {
                self.running[place]
                    && self.own[place].is_none_or(|own| view.up.binary_search(&own).is_err())
            });
            let stale = self.places(|place| {
                !self.running[place]
                    && self.own[place].is_some_and(|own| view.up.binary_search(&own).is_ok())
            });
            let strangers = view
                .up
                .iter()
                .filter(|up| !self.own.contains(&Some(**up)))
                .count();
            if !lacks.is_empty() || !stale.is_empty() || strangers > 0 || view.cut_off {
                let cut_off = if view.cut_off { ", cut off" } else { "" };
                writeln!(
                    text,
                    "  {name}: lacks [{lacks}], still lists [{stale}], {strangers} strangers{cut_off}"
                )?;
            } else if self.follow_links && view.links.as_ref() != links {
                let count = |links: Option<&Vec<_>>| links.map_or(0, Vec::len);
                let (here, there) = (count(view.links.as_ref()), count(links));
                writeln!(
                    text,
                    "  {name}: {here} links, which aren't the {there} of the first view"
                )?;
            }
        }
        if let Some(place) = place {
            writeln!(text, "  it was about {}", self.names[place])?;
        }
        let unrest = self.graph().map(|graph| graph.unrest());
        if let Ok(Some(problem)) | Err(problem) = unrest {
            writeln!(text, "  the first view's graph: {problem}")?;
        }
        if text.is_empty() {
            writeln!(text, "  by now every view is as it should be")?;
        }
        Ok(text)
    }

    /// Returns the names of the first few places for which `is` is true.
    fn places(&self, is: impl Fn(usize) -> bool) -> String {
        let names: Vec<&str> = (0..self.names.len())
            .filter(|place| is(*place))
            .map(|place| self.names[place].as_str())
            .collect();
        match names.len() {
            ..=8 => names.join(" "),
            more => format!("{} … {more} in all", names[..8].join(" ")),
        }
    }
}
