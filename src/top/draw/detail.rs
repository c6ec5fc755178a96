//! The details of the selected node or link.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::look::Look;
use super::write::{put, row};
use crate::top::app::{App, Tab};
use crate::top::rows;
use crate::top::text;
use crate::top::view::{LinkRow, NodeRow, View, word};

/// The most events about a node: its last ones. Half of it may miss why a node went down; double pushes the links off a small screen.
const EVENTS: usize = 6;
/// Where values begin: behind the longest name.
const VALUES: u16 = 12;

/// A line: a name, and a value.
struct Detail {
    name: &'static str,
    value: String,
    style: Style,
}

fn detail(name: &'static str, value: String) -> Detail {
    styled(name, value, Style::new())
}

fn styled(name: &'static str, value: String, style: Style) -> Detail {
    Detail { name, value, style }
}

pub(super) fn draw(app: &App, view: &View, buffer: &mut Buffer, area: Rect, look: Look) {
    let lines = if app.tab == Tab::Links {
        let mut links = view.links.iter();
        let link = links.find(|link| Some(link.l) == app.links.selected);
        link.map(|link| of_link(app, view, link, look))
    } else {
        let mut nodes = view.nodes.iter();
        let at = nodes.position(|node| Some(node.n) == app.nodes.selected);
        at.map(|at| of_node(app, view, at, look))
    };
    let (title, lines) = lines.unwrap_or_else(|| ("nothing is selected".to_owned(), Vec::new()));
    put(buffer, row(area, 0), 0, &title, look.bold());
    for (y, line) in (1..area.height).zip(&lines) {
        let at = row(area, y);
        put(buffer, at, 0, line.name, look.dim());
        put(buffer, at, VALUES, &line.value, line.style);
    }
}

fn of_node(app: &App, view: &View, at: usize, look: Look) -> (String, Vec<Detail>) {
    let node = &view.nodes[at];
    let mut lines = vec![
        styled("state", word(node.state).to_owned(), look.state(node.state)),
        detail("since", since(view, node.since_ms)),
        detail("noticed by", told(view, node)),
    ];
    for (index, addr) in node.addrs.iter().enumerate() {
        let name = if index == 0 { "addresses" } else { "" };
        lines.push(detail(name, addr.clone()));
    }
    lines.push(detail("id", node.id.clone()));
    if at != view.me {
        lines.extend(path(view, at));
    }
    let of_it = |link: &&LinkRow| link.dialer == at || link.listener == at;
    let mut links: Vec<&LinkRow> = view.links.iter().filter(of_it).collect();
    links.sort_by_key(|link| link.rtt_us.unwrap_or(u32::MAX));
    // Events come first if the links would push them off the screen.
    let short = node.id.get(..10).unwrap_or_default();
    let lines_of = app
        .events
        .iter()
        .rev()
        .map(|event| (event.at_ms, rows::event(event).1));
    let about = lines_of
        .filter(|(_, line)| line.contains(short))
        .take(EVENTS);
    for (index, (at_ms, line)) in about.enumerate() {
        let name = if index == 0 { "events" } else { "" };
        lines.push(detail(name, format!("{} {line}", view.clock(at_ms))));
    }
    for (index, link) in links.into_iter().enumerate() {
        let (arrow, peer) = if link.dialer == at {
            ("→", link.listener)
        } else {
            ("←", link.dialer)
        };
        let rtt = rtt(link.rtt_us.map(u64::from));
        let mut line = format!("{rtt:>11} {arrow} {}", view.nodes[peer].label);
        if rows::link_word(link) != "ok" {
            line.push_str(&format!("  ({})", rows::link_word(link)));
        }
        lines.push(detail(if index == 0 { "links" } else { "" }, line));
    }
    (node.label.clone(), lines)
}

/// The path from this node, with each hop's round-trip time.
fn path(view: &View, to: usize) -> Vec<Detail> {
    let Some(route) = view.route(to) else {
        return vec![detail("path", "none".to_owned())];
    };
    let hops = text::count(route.hops.len().saturating_sub(1), "hop");
    let all = rtt((!route.assumed).then_some(route.rtt_us));
    let mut lines = vec![detail("path", format!("{all:>11} from here, {hops}"))];
    if route.hops.len() > 2 {
        for hop in route.hops.iter().skip(1) {
            let rtt = rtt((!hop.assumed).then_some(hop.rtt_us.into()));
            let label = &view.nodes[hop.node].label;
            lines.push(detail("", format!("{rtt:>11} to {label}")));
        }
    }
    lines
}

fn of_link(app: &App, view: &View, link: &LinkRow, look: Look) -> (String, Vec<Detail>) {
    let [dialer, listener] = [link.dialer, link.listener].map(|at| &view.nodes[at]);
    let end = |node: &NodeRow| {
        let address = node.addrs.first().map_or("no address", String::as_str);
        format!("{}  {address}", node.label)
    };
    let rtt_us = link.rtt_us.map(u64::from);
    let style = rtt_us.map_or(look.dim(), |rtt| look.heat(rtt));
    let state = match (link.suspect, link.disputed_ms, link.stale) {
        (true, ..) => "suspect: one end gets no answers",
        (false, Some(_), _) => "disputed: the ends disagree, so each figure is one end's claim",
        (false, None, true) => "stale: the measurement is older than it should be",
        (false, None, false) => "ok",
    };
    let [own, told] = if link.by_listener {
        [listener, dialer]
    } else {
        [dialer, listener]
    };
    let told = match link.other {
        None => format!("{} told nothing", told.label),
        Some(end) => {
            let ago = text::lasting(view.at_ms.saturating_sub(end.rtt_at_ms));
            let (rtt, loss) = (text::rtt(end.rtt_us.into()), text::loss(end.loss_permille));
            format!("{} told {rtt}, {ago} ago, loss {loss}", told.label)
        }
    };
    let lines = vec![
        detail("dialer", end(dialer)),
        detail("listener", end(listener)),
        detail("state", state.to_owned()),
        detail("since", since(view, link.since_ms)),
        styled("RTT", rtt(rtt_us), style),
        styled("recent", app.sparks.line(link.l), style),
        detail("measured", format!("{} ago", text::lasting(link.age_ms))),
        detail("loss", text::loss(link.loss_permille)),
        detail("told by", own.label.clone()),
        detail("other end", told),
    ];
    (format!("{} → {}", dialer.label, listener.label), lines)
}

fn rtt(us: Option<u64>) -> String {
    us.map_or_else(|| "?".to_owned(), text::rtt)
}

fn since(view: &View, at_ms: i64) -> String {
    let lasting = text::lasting(view.at_ms - at_ms);
    format!("{} UTC, for {lasting}", view.clock(at_ms))
}

fn told(view: &View, node: &NodeRow) -> String {
    let label = |n: u32| view.label_of(n).unwrap_or("a forgotten node").to_owned();
    let Some(told) = node.told else {
        return "not known".to_owned();
    };
    match told.via {
        None => label(told.by),
        Some(via) if via == told.by => format!("{}, a neighbour", label(told.by)),
        Some(via) => format!("{}; the neighbour {} told it", label(told.by), label(via)),
    }
}
