//! The tables of nodes and links: their columns, order and cells.

use std::cmp::Ordering;

use crate::chronicle::{EventLine, Value};
use crate::snapshot::NodeState;

use super::past::Sparks;
use super::text;
use super::view::{LinkRow, NodeRow, View, word};

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// 0: it shares what the others leave.
    pub(super) width: u16,
    pub(super) right: bool,
    /// Columns with a higher number are left out first if the screen is narrow.
    pub(super) rank: u8,
}

const fn column(title: &'static str, width: u16, right: bool, rank: u8) -> Column {
    Column {
        title,
        width,
        right,
        rank,
    }
}

pub(super) const NODE_COLUMNS: [Column; 7] = [
    column("NODE", 0, false, 0),
    column("STATE", 11, false, 0),
    column("RTT", 11, true, 0),
    column("HOPS", 5, true, 1),
    column("LINKS", 6, true, 2),
    column("SINCE", 7, true, 3),
    column("ADDRESS", 24, false, 4),
];
/// The column that nodes are sorted by at first.
pub(super) const NODE_RTT: usize = 2;

pub(super) const LINK_COLUMNS: [Column; 8] = [
    column("DIALER", 0, false, 0),
    column("→ LISTENER", 0, false, 0),
    column("RTT", 11, true, 0),
    column("LOSS", 7, true, 1),
    column("AGE", 7, true, 3),
    column("STATE", 8, false, 0),
    column("SINCE", 7, true, 4),
    column("RECENT RTTS", 16, false, 2),
];
/// The column that links are sorted by at first.
pub(super) const LINK_RTT: usize = 2;

/// A table: its order, and the selected row.
#[derive(Debug, Clone)]
pub(super) struct List {
    pub(super) column: usize,
    pub(super) reverse: bool,
    /// The number of the selected node or link in the stream.
    pub(super) selected: Option<u32>,
    /// Indices in the view, in the order shown.
    pub(super) rows: Vec<usize>,
}

impl List {
    pub(super) fn new(column: usize, reverse: bool) -> Self {
        Self {
            column,
            reverse,
            selected: None,
            rows: Vec::new(),
        }
    }
}

/// The text of a node's cell.
pub(super) fn node_cell(view: &View, row: &NodeRow, column: usize) -> String {
    let is_me = row.n == view.nodes[view.me].n;
    match column {
        0 if is_me => format!("{} (me)", row.label),
        0 => row.label.clone(),
        1 => word(row.state).to_owned(),
        2 if is_me => "-".to_owned(),
        2 => row.rtt_us.map_or_else(|| "?".to_owned(), text::rtt),
        3 => row
            .hops
            .map_or_else(|| "-".to_owned(), |hops| hops.to_string()),
        4 => row.links.to_string(),
        5 => text::lasting(view.at_ms - row.since_ms),
        _ => row.addrs.first().cloned().unwrap_or_default(),
    }
}

/// The text of a link's cell.
pub(super) fn link_cell(view: &View, sparks: &Sparks, row: &LinkRow, column: usize) -> String {
    match column {
        0 => view.nodes[row.dialer].label.clone(),
        1 => format!("→ {}", view.nodes[row.listener].label),
        2 => row
            .rtt_us
            .map_or_else(|| "?".to_owned(), |rtt| text::rtt(rtt.into())),
        3 => text::loss(row.loss_permille),
        4 => text::lasting(row.age_ms),
        5 => link_word(row).to_owned(),
        6 => text::lasting(view.at_ms - row.since_ms),
        _ => sparks.line(row.l),
    }
}

pub(super) fn link_word(row: &LinkRow) -> &'static str {
    match (row.suspect, row.disputed_ms, row.stale) {
        (true, ..) => "suspect",
        (false, Some(_), _) => "disputed",
        (false, None, true) => "stale",
        (false, None, false) => "ok",
    }
}

/// Sorts and filters the nodes, and keeps the selection.
pub(super) fn arrange_nodes(list: &mut List, view: &View, filter: &str) {
    let fits = |row: &NodeRow| filter.is_empty() || row.label.to_lowercase().contains(filter);
    let nodes = &view.nodes;
    let mut rows: Vec<usize> = (0..nodes.len()).filter(|at| fits(&nodes[*at])).collect();
    let order = |one: &NodeRow, other: &NodeRow| match list.column {
        0 => lower(&one.label).cmp(&lower(&other.label)),
        1 => rank(one.state).cmp(&rank(other.state)),
        2 => known_first(one.rtt_us, other.rtt_us),
        3 => known_first(one.hops, other.hops),
        4 => one.links.cmp(&other.links),
        // The youngest change first.
        5 => other.since_ms.cmp(&one.since_ms),
        _ => one.addrs.first().cmp(&other.addrs.first()),
    };
    sort(&mut rows, list.reverse, |one, other| {
        order(&nodes[one], &nodes[other])
    });
    list.rows = rows;
    keep_selection(list, |at| nodes[at].n);
}

/// Sorts and filters the links, and keeps the selection. A link fits if one of its ends does.
pub(super) fn arrange_links(list: &mut List, view: &View, filter: &str) {
    let label = |at: usize| lower(&view.nodes[at].label);
    let fits = |row: &LinkRow| {
        filter.is_empty()
            || [row.dialer, row.listener]
                .iter()
                .any(|at| label(*at).contains(filter))
    };
    let links = &view.links;
    let mut rows: Vec<usize> = (0..links.len()).filter(|at| fits(&links[*at])).collect();
    let order = |one: &LinkRow, other: &LinkRow| match list.column {
        0 => label(one.dialer).cmp(&label(other.dialer)),
        1 => label(one.listener).cmp(&label(other.listener)),
        3 => one.loss_permille.cmp(&other.loss_permille),
        4 => one.age_ms.cmp(&other.age_ms),
        5 => (other.suspect, other.stale).cmp(&(one.suspect, one.stale)),
        6 => other.since_ms.cmp(&one.since_ms),
        _ => known_first(one.rtt_us, other.rtt_us),
    };
    sort(&mut rows, list.reverse, |one, other| {
        order(&links[one], &links[other])
    });
    list.rows = rows;
    keep_selection(list, |at| links[at].l);
}

fn sort(rows: &mut [usize], reverse: bool, order: impl Fn(usize, usize) -> Ordering) {
    rows.sort_by(|one, other| {
        let by_column = order(*one, *other);
        let by_column = if reverse {
            by_column.reverse()
        } else {
            by_column
        };
        by_column.then(one.cmp(other))
    });
}

fn keep_selection(list: &mut List, number: impl Fn(usize) -> u32) {
    let is_there = |selected| list.rows.iter().any(|row| number(*row) == selected);
    if !list.selected.is_some_and(is_there) {
        list.selected = list.rows.first().map(|row| number(*row));
    }
}

fn lower(label: &str) -> String {
    label.to_lowercase()
}

fn rank(state: NodeState) -> u8 {
    match state {
        NodeState::Unreachable => 0,
        NodeState::Left => 1,
        NodeState::Up => 2,
    }
}

fn known_first<T: Ord>(one: Option<T>, other: Option<T>) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => one.cmp(&other),
        (one, other) => other.is_some().cmp(&one.is_some()),
    }
}

/// The fields that say what an event is about. They come first, in this order; the stream sorts all of them by name.
const SUBJECTS: [&str; 4] = ["node", "peer", "label", "addr"];

/// An event's level and its text, harmless.
pub(super) fn event(event: &EventLine) -> (&str, String) {
    let mut line = text::clean(&event.name);
    let rank = |name: &str| SUBJECTS.iter().position(|subject| *subject == name);
    let mut fields: Vec<_> = event.fields.iter().collect();
    fields.sort_by_key(|(name, _)| rank(name).unwrap_or(SUBJECTS.len()));
    for (name, value) in fields {
        let value = match value {
            Value::Text(text) => text::clean(text),
            Value::Number(number) => number.to_string(),
            Value::Bool(bool) => bool.to_string(),
        };
        line.push_str(&format!("  {}={value}", text::clean(name)));
    }
    (&event.level, line)
}
