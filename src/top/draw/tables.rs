//! The tables: nodes, links, events.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::look::Look;
use super::write::{cell, first_row, put, put_right, row};
use crate::snapshot::NodeState;
use crate::top::app::App;
use crate::top::rows::{self, Column, LINK_COLUMNS, List, NODE_COLUMNS};
use crate::top::text;
use crate::top::view::View;

/// The least width of a column that shares what the others leave.
const LEAST: u16 = 12;
/// The greatest: a long label. With twice of it, the eye loses the row on a wide screen.
const MOST: u16 = 40;
/// The space between columns.
const GAP: u16 = 2;

pub(super) fn nodes(app: &App, view: &View, buffer: &mut Buffer, area: Rect, look: Look) {
    let style = |at: usize, column: usize| {
        let node = &view.nodes[at];
        match column {
            0 if at == view.me => look.bold(),
            0 if node.state != NodeState::Up => look.dim(),
            1 => look.state(node.state),
            2 => node.rtt_us.map_or(look.dim(), |rtt| look.heat(rtt)),
            _ => Style::new(),
        }
    };
    let table = Table {
        columns: &NODE_COLUMNS,
        list: &app.nodes,
        number: &|at| view.nodes[at].n,
        cell: &|at, column| rows::node_cell(view, &view.nodes[at], column),
        style: &style,
    };
    table.draw(buffer, area, look);
}

pub(super) fn links(app: &App, view: &View, buffer: &mut Buffer, area: Rect, look: Look) {
    let style = |at: usize, column: usize| {
        let link = &view.links[at];
        match column {
            2 if link.stale => look.dim(),
            2 | 7 => link.rtt_us.map_or(look.dim(), |rtt| look.heat(rtt.into())),
            3 if link.loss_permille >= 10 => look.warning(),
            5 if link.suspect => look.warning(),
            _ => Style::new(),
        }
    };
    let table = Table {
        columns: &LINK_COLUMNS,
        list: &app.links,
        number: &|at| view.links[at].l,
        cell: &|at, column| rows::link_cell(view, &app.sparks, &view.links[at], column),
        style: &style,
    };
    table.draw(buffer, area, look);
}

struct Table<'a> {
    columns: &'a [Column],
    list: &'a List,
    number: &'a dyn Fn(usize) -> u32,
    cell: &'a dyn Fn(usize, usize) -> String,
    style: &'a dyn Fn(usize, usize) -> Style,
}

impl Table<'_> {
    fn draw(&self, buffer: &mut Buffer, area: Rect, look: Look) {
        let columns = widths(self.columns, area.width);
        let mut x = 0;
        for &(column, width) in &columns {
            let it = &self.columns[column];
            let sorted = column == self.list.column;
            let mark = match (sorted, self.list.reverse) {
                (false, _) => "",
                (true, false) => "▲",
                (true, true) => "▼",
            };
            let style = if sorted { look.bold() } else { look.dim() };
            let title = format!("{}{mark}", it.title);
            write(buffer, cell(area, x, 0, width), &title, it.right, style);
            x += width + GAP;
        }
        let height = usize::from(area.height.saturating_sub(1));
        let rows = &self.list.rows;
        let selected = |at: &usize| Some((self.number)(*at)) == self.list.selected;
        let from = first_row(rows.iter().position(selected), rows.len(), height);
        for (y, at) in (1..).zip(rows.iter().skip(from).take(height)) {
            let mut x = 0;
            for &(column, width) in &columns {
                let right = self.columns[column].right;
                let value = (self.cell)(*at, column);
                let style = (self.style)(*at, column);
                write(buffer, cell(area, x, y, width), &value, right, style);
                x += width + GAP;
            }
            if selected(at) {
                buffer.set_style(row(area, y), look.selected());
            }
        }
        if rows.is_empty() {
            put(buffer, row(area, 1), 0, "nothing to show", look.dim());
        }
    }
}

fn write(buffer: &mut Buffer, area: Rect, value: &str, right: bool, style: Style) {
    if right {
        put_right(buffer, area, value, style);
    } else {
        put(buffer, area, 0, value, style);
    }
}

/// The columns that there is room for, with their widths.
fn widths(columns: &[Column], room: u16) -> Vec<(usize, u16)> {
    let least = |it: &Column| if it.width == 0 { LEAST } else { it.width };
    let needs = |rank: u8| -> u16 {
        let shown = columns.iter().filter(|it| it.rank <= rank);
        shown.map(|it| least(it) + GAP).sum::<u16>() - GAP
    };
    let last = columns.iter().map(|it| it.rank).max().unwrap_or_default();
    let mut ranks = (0..=last).rev();
    let rank = ranks.find(|rank| needs(*rank) <= room).unwrap_or_default();
    let shared = columns.iter().filter(|it| it.width == 0).count();
    let shared = u16::try_from(shared).unwrap_or(1).max(1);
    let more = room.saturating_sub(needs(rank)) / shared;
    // A screen that is too narrow even for the most important columns cuts the shared ones.
    let less = needs(rank).saturating_sub(room).div_ceil(shared);
    let width = |it: &Column| match it.width {
        0 => (LEAST + more).saturating_sub(less).clamp(3, MOST),
        width => width,
    };
    let shown = columns.iter().enumerate();
    let shown = shown.filter(|(_, it)| it.rank <= rank);
    shown.map(|(at, it)| (at, width(it))).collect()
}

/// The events, the newest at the bottom.
pub(super) fn events(app: &App, view: &View, buffer: &mut Buffer, area: Rect, look: Look) {
    let height = usize::from(area.height);
    let up = app.events_up.min(app.events.len().saturating_sub(height));
    let end = app.events.len() - up;
    let shown = &app.events[end.saturating_sub(height)..end];
    for (y, event) in (0..).zip(shown) {
        let line = row(area, y);
        let (level, what) = rows::event(event);
        let x = put(buffer, line, 0, &view.clock(event.at_ms), look.dim());
        let level_area = cell(line, x + 1, 0, 5);
        put(
            buffer,
            level_area,
            0,
            &text::clean(level),
            look.level(level),
        );
        put(buffer, line, x + 7, &what, Style::new());
    }
    if app.events.is_empty() {
        put(buffer, area, 0, "nothing to show", look.dim());
    }
}
