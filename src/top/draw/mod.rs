//! Draws what the program shows. A screen follows from the [`App`] alone.

mod detail;
mod look;
mod map;
mod matrix;
mod tables;
mod write;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::app::{App, Tab};
use super::text;
use super::view::View;
use crate::layout::Kind;
use crate::snapshot::NodeState;
use look::Look;
use write::{put, put_right, row};

/// The smallest screen: two lines of header, a table's head and some rows, a footer; and a label with its state and RTT.
const SMALLEST: (u16, u16) = (40, 10);

/// From this width on, the header has room for more than the counts of nodes.
const ROOMY: u16 = 50;

/// From this width on, details are beside the list instead of over it.
const WIDE: u16 = 110;

/// The keys, in as many lines as the smallest screen has between its header and its footer.
const KEYS: [(&str, &str); 7] = [
    ("1-5, Tab", "choose a view"),
    ("↑ ↓ j k", "select; also PgUp, PgDn"),
    ("Enter, Esc", "open details; go back"),
    ("/", "filter by a text"),
    ("s S r", "sort by a column; reverse"),
    ("← → [ ]", "10 s, or to a change"),
    ("l, m, q", "live; other map; quit"),
];

/// Draws everything.
pub(super) fn draw(app: &App, frame: &mut Frame<'_>) {
    let area = frame.area();
    let look = Look::new(app.colours);
    let buffer = frame.buffer_mut();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let (width, height) = SMALLEST;
        let note = format!("too small: {width}×{height} needed");
        put(buffer, area, 0, &note, Style::new());
        return;
    }
    header(app, buffer, row(area, 0), look);
    tabs(app, buffer, row(area, 1), look);
    footer(app, buffer, row(area, area.height - 1), look);
    let mut body = Rect {
        y: area.y + 2,
        height: area.height - 3,
        ..area
    };
    if let Some(why) = &app.lost {
        let note = format!("node gone, waiting for its return: {why}");
        let line = row(body, 0);
        buffer.set_style(line, look.alarm());
        put(buffer, line, 0, &note, look.alarm());
        body.y += 1;
        body.height -= 1;
    }
    if app.help {
        return help(buffer, body, look);
    }
    let Some(view) = &app.view else {
        put(buffer, body, 0, "waiting for the first view", Style::new());
        return;
    };
    if !app.detail {
        return list(app, view, buffer, body, look);
    }
    if area.width >= WIDE {
        let left = body.width * 3 / 5;
        let area = Rect {
            width: left,
            ..body
        };
        list(app, view, buffer, area, look);
        for y in body.y..body.bottom() {
            buffer.set_string(body.x + left, y, "│", look.dim());
        }
        body.x += left + 2;
        body.width -= left + 2;
    }
    detail::draw(app, view, buffer, body, look);
}

fn list(app: &App, view: &View, buffer: &mut Buffer, area: Rect, look: Look) {
    match app.tab {
        Tab::Nodes => tables::nodes(app, view, buffer, area, look),
        Tab::Links => tables::links(app, view, buffer, area, look),
        Tab::Matrix => matrix::draw(app, view, buffer, area, look),
        Tab::Map => map::draw(app, view, buffer, area, look),
        Tab::Events => tables::events(app, view, buffer, area, look),
    }
}

/// This node and its network, the counts, and which time is shown.
fn header(app: &App, buffer: &mut Buffer, line: Rect, look: Look) {
    let (mode, style) = match (&app.view, app.past) {
        (Some(view), Some(_)) => {
            let clock = view.clock(view.at_ms);
            (format!(" PAST {clock} UTC "), look.past())
        }
        _ if app.lost.is_some() => (" NO NODE ".to_owned(), look.alarm()),
        _ => (" LIVE ".to_owned(), look.live()),
    };
    let mut line = from_right(buffer, line, &mode, style);
    let Some(view) = &app.view else {
        put(buffer, line, 0, &app.profile, look.bold());
        return;
    };
    if view.snapshot.cut_off {
        line = from_right(buffer, line, " CUT OFF ", look.alarm());
    }
    let me = &view.nodes[view.me].label;
    let counts = [
        (NodeState::Up, "up"),
        (NodeState::Unreachable, "unreachable"),
        (NodeState::Left, "left"),
    ];
    let mut told = Vec::new();
    for (state, word) in counts {
        let count = view.count(state);
        if count > 0 || state == NodeState::Up {
            told.push(format!("{count} {word}"));
        }
    }
    let mut names = me.clone();
    if line.width >= ROOMY {
        names.push_str(&format!(" in {}", app.network));
        told.push(text::count(view.links.len(), "link"));
    }
    let told = told.join(", ");
    // Counts matter more than names, so names are cut.
    let room = usize::from(line.width).saturating_sub(text::width(&told) + 2);
    let x = put(
        buffer,
        line,
        0,
        &text::cut(&names, room.max(6)),
        look.bold(),
    );
    put(buffer, line, x + 2, &told, Style::new());
}

/// Writes at the right end, and returns what is left of the line.
fn from_right(buffer: &mut Buffer, line: Rect, text: &str, style: Style) -> Rect {
    put_right(buffer, line, text, style);
    let used = u16::try_from(text::width(text)).unwrap_or(u16::MAX);
    Rect {
        width: line.width.saturating_sub(used.saturating_add(1)),
        ..line
    }
}

fn tabs(app: &App, buffer: &mut Buffer, line: Rect, look: Look) {
    let mut x = 0;
    for (number, tab) in (1..).zip(Tab::ALL) {
        let is_shown = tab == app.tab;
        let style = if is_shown {
            look.selected()
        } else {
            look.dim()
        };
        // On a narrow screen, the other views are numbers only.
        let title = if line.width < 60 && !is_shown {
            format!(" {number} ")
        } else {
            format!(" {number} {} ", tab.title())
        };
        x = put(buffer, line, x, &title, style);
    }
    let note = match app.tab {
        _ if !app.filter.is_empty() && !app.typing => format!("/{}", text::clean(&app.filter)),
        Tab::Map if app.map.kind == Kind::Latency => "by round-trip times".to_owned(),
        Tab::Map => "by links".to_owned(),
        Tab::Matrix => "RTT in ms".to_owned(),
        _ => app.view.as_ref().and_then(impaired).unwrap_or_default(),
    };
    let room = line.width.saturating_sub(x + 2);
    let note = text::cut(&note, room.into());
    put_right(buffer, line, &note, look.accent());
}

fn impaired(view: &View) -> Option<String> {
    let impaired = view.snapshot.impaired.as_ref()?;
    Some(format!("impaired: {}", text::clean(impaired)))
}

/// The keys that matter here, the most important ones first, as many as there is room for.
fn footer(app: &App, buffer: &mut Buffer, line: Rect, look: Look) {
    if app.typing {
        let typed = format!("/{}▏", text::clean(&app.filter));
        put(buffer, line, 0, &typed, look.bold());
        return;
    }
    let mut keys = vec![("q", "quit"), ("?", "help")];
    if app.past.is_some() {
        keys.extend([("l", "live"), ("←→", "10 s"), ("[]", "change")]);
    }
    match app.tab {
        _ if app.detail => keys.extend([("Esc", "back"), ("↑↓", "select")]),
        Tab::Events => keys.extend([("↑↓", "scroll"), ("/", "filter")]),
        Tab::Map => keys.extend([("m", "other map"), ("↑↓", "select"), ("⏎", "open")]),
        Tab::Matrix => keys.extend([("↑↓", "select"), ("⏎", "open"), ("s", "sort")]),
        Tab::Nodes | Tab::Links => {
            keys.extend([
                ("⏎", "open"),
                ("/", "filter"),
                ("s", "sort"),
                ("r", "reverse"),
            ]);
        }
    }
    if app.past.is_none() {
        keys.push(("[", "past"));
    }
    let mut x = 0;
    for (key, what) in keys {
        let needed = text::width(key) + 1 + text::width(what);
        if usize::from(x) + needed > usize::from(line.width) {
            break;
        }
        x = put(buffer, line, x, key, look.bold());
        x = put(buffer, line, x + 1, what, look.dim()) + 2;
    }
}

fn help(buffer: &mut Buffer, area: Rect, look: Look) {
    // A small screen has no room for the empty line at the top.
    let top = u16::from(usize::from(area.height) > KEYS.len());
    for (y, (keys, what)) in (top..area.height).zip(KEYS) {
        let line = row(area, y);
        put(buffer, line, 1, keys, look.bold());
        put(buffer, line, 13, what, Style::new());
    }
}
