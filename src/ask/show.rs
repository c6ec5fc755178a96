//! Answers as text for people.

mod link;

use std::fmt::Write as _;

use super::table::{Cell, Column, Style, Table, plain};
use super::text::{bytes, clean, count, label, name, rtt, short, width, wrap};
use super::times;
use crate::answers::types::{Event, LinkLine, Links, Node, NodeLine, Nodes, Path, Status, Told};
use crate::snapshot::NodeState;

/// Loss below this is not coloured: it may be chance. The diagrams show loss from here on too.
const LOSS_PERCENT: f64 = 1.0;
/// The width of the keys of [`Screen::facts`].
const KEY: usize = 11;
/// The most neighbours that are named.
const NAMED: usize = 5;
/// The remark on figures that the other end of the link disagrees with.
const CLAIM: &str = "one end's claim";
/// The fields of an event that come first.
const SUBJECTS: [&str; 5] = ["node", "peer", "id", "addr", "file"];
/// The fewest columns that text is wrapped to.
const NARROWEST: usize = 20;

/// How answers are shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Screen {
    /// The terminal's width; `None`: the output is no terminal.
    pub(super) width: Option<usize>,
    pub(super) colours: bool,
}

impl Screen {
    pub(super) fn status(self, status: &Status) -> String {
        let now = status.now_ms;
        let own = label(&status.label, &status.node);
        let mut facts = vec![
            (
                "network",
                format!(
                    "{}, as {own} ({}) sees it",
                    clean(&status.network),
                    short(&status.node)
                ),
            ),
            ("nodes", counts(status)),
            (
                "links",
                format!("{}, {} of this node", status.links, status.own_links),
            ),
            (
                "running",
                format!(
                    "{}, since {}; version {}",
                    times::ago(status.started_ms, now),
                    times::show(status.started_ms),
                    clean(&status.version)
                ),
            ),
        ];
        if let Some(history) = &status.history {
            let (used, limit) = (bytes(history.bytes), bytes(history.limit_bytes));
            let extent = times::ago(history.from_ms, history.to_ms);
            facts.push(("history", format!("the last {extent}; {used} of {limit}")));
        }
        if let Some(agreement) = &status.agreement {
            let (same, all) = (agreement.same, agreement.neighbours);
            let mut text = format!("{same} of {} see the same", count(all, "neighbour"));
            for differing in agreement.differing.iter().take(NAMED) {
                let for_how_long = times::ago(differing.since_ms, now);
                let _ = write!(
                    text,
                    "; {} differs for {for_how_long}",
                    name(&differing.node)
                );
            }
            facts.push(("agreement", text));
        }
        if status.readers > 0 {
            facts.push(("readers", status.readers.to_string()));
        }
        for notice in &status.notices {
            facts.push(("notice", clean(notice)));
        }
        if let Some(impaired) = &status.impaired {
            facts.push(("impaired", clean(impaired)));
        }
        if !status.rejected.is_empty() {
            let kinds = status.rejected.iter();
            let kinds: Vec<_> = kinds
                .map(|(kind, count)| format!("{} {count}", clean(kind)))
                .collect();
            facts.push(("rejected", kinds.join(", ")));
        }
        if status.cut_off {
            facts.push((
                "cut off",
                "this node has lost all its links; the rest may be out of date".into(),
            ));
        }
        self.facts(&facts)
    }

    pub(super) fn nodes(self, nodes: &Nodes) -> String {
        const COLUMNS: [Column; 8] = [
            Column::text("NODE", 0),
            Column::whole("STATE", 0),
            Column::figures("FOR", 2),
            Column::figures("DISTANCE", 0),
            Column::figures("HOPS", 4),
            Column::figures("LINKS", 1),
            Column::whole("ID", 5),
            Column::whole("ADDRESS", 3),
        ];
        let mut sorted: Vec<&NodeLine> = nodes.nodes.iter().collect();
        sorted.sort_by_cached_key(|node| (!node.me, node.label.to_lowercase(), node.id.clone()));
        let mut table = Table::new(&COLUMNS);
        for node in sorted {
            let text = label(&node.label, &node.id);
            let distance = match (node.me, node.rtt_us) {
                (true, _) | (_, None) => String::new(),
                (_, Some(us)) if node.assumed => format!("? {}", rtt(us)),
                (_, Some(us)) => rtt(us),
            };
            table.row(vec![
                if node.me {
                    (text, Style::Bold)
                } else {
                    plain(text)
                },
                state(node.state),
                plain(times::ago(node.changed_ms, nodes.at_ms)),
                plain(distance),
                plain(
                    node.hops
                        .filter(|_| !node.me)
                        .map_or_else(String::new, |hops| hops.to_string()),
                ),
                plain(node.links.to_string()),
                plain(short(&node.id)),
                plain(
                    node.addresses
                        .first()
                        .map_or_else(String::new, |address| clean(address)),
                ),
            ]);
        }
        table.render(self.width, self.colours)
    }

    pub(super) fn links(self, links: &Links) -> String {
        self.link_table(&links.links, links.at_ms)
    }

    fn link_table(self, links: &[LinkLine], at_ms: u64) -> String {
        const COLUMNS: [Column; 6] = [
            Column::text("DIALER", 0),
            Column::text("LISTENER", 0),
            Column::figures("RTT", 0),
            Column::figures("MEASURED", 2),
            Column::figures("LOSS", 1),
            Column::whole("", 3),
        ];
        let mut sorted: Vec<&LinkLine> = links.iter().collect();
        sorted.sort_by_cached_key(|link| {
            let end = |who: &crate::answers::Who| (who.label.to_lowercase(), who.id.clone());
            (end(&link.dialer), end(&link.listener))
        });
        let mut table = Table::new(&COLUMNS);
        for link in sorted {
            let stale = if link.stale { Style::Dim } else { Style::Plain };
            let measured = link
                .rtt_us
                .map(|_| times::ago(link.measured_ms, at_ms) + " ago");
            table.row(vec![
                plain(name(&link.dialer)),
                plain(name(&link.listener)),
                (
                    link.rtt_us
                        .map_or_else(|| "-".to_owned(), |us| rtt(us.into())),
                    stale,
                ),
                (measured.unwrap_or_default(), stale),
                loss(link.loss_percent),
                match (link.suspect, link.disputed_since_ms, link.stale) {
                    (true, ..) => ("suspect".to_owned(), Style::Warning),
                    (false, Some(_), _) => (CLAIM.to_owned(), Style::Warning),
                    (false, None, true) => ("stale".to_owned(), Style::Dim),
                    (false, None, false) => plain(""),
                },
            ]);
        }
        table.render(self.width, self.colours)
    }

    pub(super) fn node(self, node: &Node) -> String {
        let own = label(&node.label, &node.id);
        let own = if node.me {
            format!("{own}, the node that answers")
        } else {
            own
        };
        let (state, style) = state(node.state);
        let for_how_long = times::ago(node.changed_ms, node.at_ms);
        let since = times::show(node.changed_ms);
        let mut facts = vec![
            ("node", own),
            ("id", clean(&node.id)),
            (
                "addresses",
                clean(&if node.addresses.is_empty() {
                    "none known".to_owned()
                } else {
                    node.addresses.join(", ")
                }),
            ),
            (
                "state",
                format!(
                    "{} for {for_how_long}, since {since}",
                    style.paint(&state, self.colours)
                ),
            ),
        ];
        if let Some(told) = &node.told {
            facts.push(("noticed by", origin(told)));
        }
        if !node.me {
            facts.push(("path", one_line(&node.path)));
        }
        let mut out = self.facts(&facts);
        if !node.links.is_empty() {
            out.push('\n');
            out.push_str(&self.link_table(&node.links, node.at_ms));
        }
        if !node.events.is_empty() {
            out.push('\n');
            for event in &node.events {
                out.push_str(&self.event(event));
            }
        }
        out
    }

    pub(super) fn path(self, path: &Path) -> String {
        const COLUMNS: [Column; 4] = [
            Column::text("NODE", 0),
            Column::figures("RTT", 0),
            Column::figures("SUM", 1),
            Column::whole("ID", 2),
        ];
        let mut table = Table::new(&COLUMNS);
        let mut sum = 0;
        for (at, hop) in path.hops.iter().enumerate() {
            let cost = hop.rtt_us.or(path.assumed_us).unwrap_or_default();
            let mut cells = [String::new(), String::new()];
            if at > 0 {
                sum += u64::from(cost);
                let mark = match (hop.rtt_us, hop.disputed) {
                    (None, _) => "? ",
                    (Some(_), true) => "! ",
                    (Some(_), false) => "",
                };
                cells = [format!("{mark}{}", rtt(cost.into())), rtt(sum)];
            }
            let [own, sum] = cells.map(plain);
            table.row(vec![
                plain(label(&hop.label, &hop.id)),
                own,
                sum,
                plain(short(&hop.id)),
            ]);
        }
        let mut out = table.render(self.width, self.colours);
        let mut note = |text: String| {
            for line in self.wrapped(&text, 0) {
                out.push_str(&line);
                out.push('\n');
            }
        };
        if let Some(assumed) = path.assumed_us {
            let assumed = rtt(assumed.into());
            note(format!(
                "?: not measured yet; counted as the slowest link, {assumed}"
            ));
        }
        if path.hops.iter().any(|hop| hop.disputed) {
            note(format!("!: {CLAIM}; the other end of the link disagrees"));
        }
        if let (Some(direct), Some(sum)) = (path.direct_us, path.rtt_us)
            && path.hops.len() > 2
        {
            let saved = u64::from(direct).saturating_sub(sum);
            note(format!(
                "the direct link takes {}, {} longer",
                rtt(direct.into()),
                rtt(saved)
            ));
        }
        out
    }

    pub(super) fn event(self, event: &Event) -> String {
        let style = match event.level.as_str() {
            "error" => Style::Bad,
            "warn" => Style::Warning,
            _ => Style::Plain,
        };
        let mut text = format!(
            "{}  {}",
            times::show_ms(event.at_ms),
            style.paint(&clean(&event.name), self.colours)
        );
        let mut fields: Vec<_> = event.fields.iter().collect();
        // As in the log: the subject, then the rest.
        fields.sort_by_key(|(key, _)| {
            SUBJECTS
                .iter()
                .position(|subject| key == subject)
                .unwrap_or(SUBJECTS.len())
        });
        for (key, value) in fields {
            let value = match value {
                serde_json::Value::String(text) => clean(text),
                other => clean(&other.to_string()),
            };
            let quoted = value.is_empty() || value.contains([' ', '"', '=']);
            let value = if quoted { format!("{value:?}") } else { value };
            text.push_str(&format!(" {}={value}", clean(key)));
        }
        // A line of the list is one event, so `grep` finds whole ones. A terminal wraps it.
        text.push('\n');
        text
    }

    /// Keys, and values that are wrapped beside them.
    pub(super) fn facts(self, facts: &[(&str, String)]) -> String {
        let mut out = String::new();
        for (key, value) in facts {
            for (nth, line) in self.wrapped(value, KEY).iter().enumerate() {
                let key = if nth == 0 { *key } else { "" };
                out.push_str(&Style::Dim.paint(key, self.colours));
                out.push_str(&" ".repeat(KEY - width(key)));
                out.push_str(line);
                out.push('\n');
            }
        }
        out
    }

    pub(super) fn wrapped(self, text: &str, indent: usize) -> Vec<String> {
        match self.width {
            Some(width) => wrap(text, width.saturating_sub(indent).max(NARROWEST)),
            None => vec![text.to_owned()],
        }
    }
}

fn counts(status: &Status) -> String {
    let nodes = &status.nodes;
    let mut text = format!("{} up", nodes.up);
    for (number, word) in [(nodes.unreachable, "unreachable"), (nodes.left, "left")] {
        if number > 0 {
            text.push_str(&format!(", {number} {word}"));
        }
    }
    text
}

fn state(state: NodeState) -> Cell {
    match state {
        NodeState::Up => ("up".to_owned(), Style::Good),
        NodeState::Unreachable => ("unreachable".to_owned(), Style::Bad),
        NodeState::Left => ("left".to_owned(), Style::Dim),
    }
}

fn loss(percent: f64) -> Cell {
    let style = match percent {
        percent if percent >= 10.0 * LOSS_PERCENT => Style::Bad,
        percent if percent >= LOSS_PERCENT => Style::Warning,
        _ => Style::Plain,
    };
    (format!("{percent:.1} %"), style)
}

fn origin(told: &Told) -> String {
    let when = times::show_ms(told.at_ms);
    match &told.via {
        Some(via) if via.id == told.by.id => format!("{}, a neighbour, at {when}", name(&told.by)),
        Some(via) => format!(
            "{}, at {when}; the news came through {}",
            name(&told.by),
            name(via)
        ),
        None => format!("this node itself, at {when}"),
    }
}

/// A path as one line.
fn one_line(path: &Path) -> String {
    let Some(sum) = path.rtt_us else {
        return "none".to_owned();
    };
    let mut text = String::new();
    for hop in &path.hops {
        match hop.rtt_us {
            Some(us) => text.push_str(&format!(" -{}-> ", rtt(us.into()).replace(' ', ""))),
            None if text.is_empty() => {}
            None => text.push_str(" -?-> "),
        }
        text.push_str(&label(&hop.label, &hop.id));
    }
    format!("{text} ({})", rtt(sum))
}

#[cfg(test)]
mod tests;
