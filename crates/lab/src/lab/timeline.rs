//! Writes the record of a run to disk: `events.jsonl` for the judge, and `timeline` for people. `timeline` has a line for each
//! action of the lab and for each change in a view.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context, Result};

use crate::lab::action::NAMES;
use crate::lab::record::{Event, View, What};

/// Writes both files, and keeps the events in memory.
pub(crate) struct Timeline {
    nodes: usize,
    lines: File,
    record: BufWriter<File>,
    events: Vec<Event>,
    /// The node's index for each id, from the nodes' own views.
    names: BTreeMap<String, usize>,
    views: Vec<Option<View>>,
}

impl Timeline {
    /// Creates both files in that folder.
    pub(crate) fn new(folder: &Path, nodes: usize) -> Result<Self> {
        let create = |name: &str| {
            let path = folder.join(name);
            File::create(&path).with_context(|| format!("can't write {}", path.display()))
        };
        Ok(Self {
            nodes,
            lines: create("timeline")?,
            record: BufWriter::new(create("events.jsonl")?),
            events: Vec::new(),
            names: BTreeMap::new(),
            views: vec![None; nodes],
        })
    }

    /// Records an event.
    pub(crate) fn add(&mut self, event: Event) -> Result<()> {
        let lines = match &event.what {
            What::Does(action) => vec![format!("lab: {}", action.words(self.nodes))],
            What::Done => vec!["lab: done".into()],
            What::Ping { .. } => Vec::new(),
            What::Ended { node, how } => vec![format!("{}: ended by itself: {how}", NAMES[*node])],
            What::Shows(view) => self.changes(view),
        };
        for line in lines {
            writeln!(self.lines, "{:10.3} {line}", event.at_s)
                .context("can't write the timeline")?;
        }
        serde_json::to_writer(&mut self.record, &event).context("can't write the record")?;
        writeln!(self.record).context("can't write the record")?;
        self.events.push(event);
        Ok(())
    }

    /// All events, in time order.
    pub(crate) fn into_events(mut self) -> Result<Vec<Event>> {
        self.record.flush().context("can't write the record")?;
        self.events
            .sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
        Ok(self.events)
    }

    fn name(&self, id: &str) -> String {
        let known = self.names.get(id).map(|place| NAMES[*place].to_owned());
        known.unwrap_or_else(|| id.to_owned())
    }

    /// The changes between the previous view and this one, without measurements.
    fn changes(&mut self, view: &View) -> Vec<String> {
        self.names.insert(view.id.clone(), view.viewer);
        let before = self.views[view.viewer].replace(view.clone());
        let mut lines = Vec::new();
        let state = |view: &View, id: &str| {
            let node = view.nodes.iter().find(|node| node.id == id);
            node.map(|node| (node.state.clone(), node.addresses.clone()))
        };
        let who = NAMES[view.viewer];
        let before = before.as_ref();
        if before.is_some_and(|before| before.cut_off) != view.cut_off {
            let not = if view.cut_off { "" } else { "no longer " };
            lines.push(format!("{who}: {not}cut off"));
        }
        for node in &view.nodes {
            let was = before.and_then(|before| state(before, &node.id));
            if was.as_ref().map(|was| &was.0) != Some(&node.state) {
                lines.push(format!("{who}: {} is {}", self.name(&node.id), node.state));
            }
            if was.is_some_and(|was| was.1 != node.addresses) {
                let at = node.addresses.join(" ");
                lines.push(format!("{who}: {} is at {at}", self.name(&node.id)));
            }
        }
        let pairs = |view: &View| -> BTreeSet<(String, String, bool)> {
            let links = view.links.iter();
            links
                .map(|link| (link.dialer.clone(), link.listener.clone(), link.suspect))
                .collect()
        };
        let (had, has) = (before.map(pairs).unwrap_or_default(), pairs(view));
        for (sign, links) in [("-", had.difference(&has)), ("+", has.difference(&had))] {
            for (dialer, listener, suspect) in links {
                let word = if *suspect { " (suspect)" } else { "" };
                lines.push(format!(
                    "{who}: {sign} {} -> {}{word}",
                    self.name(dialer),
                    self.name(listener)
                ));
            }
        }
        lines
    }
}
