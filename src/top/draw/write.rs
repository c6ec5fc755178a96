//! Writes texts into areas of the screen. All of them are cut where their area ends.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::top::text;

/// One line of an area.
pub(super) fn row(area: Rect, y: u16) -> Rect {
    let is_inside = y < area.height;
    Rect {
        y: area.y + y,
        height: is_inside.into(),
        ..area
    }
}

/// A part of one line of an area.
pub(super) fn cell(area: Rect, x: u16, y: u16, width: u16) -> Rect {
    Rect {
        x: area.x + x,
        width: width.min(area.width.saturating_sub(x)),
        ..row(area, y)
    }
}

/// Writes a text into the first line of an area, from a column on, and returns the column behind it.
pub(super) fn put(buffer: &mut Buffer, area: Rect, x: u16, text: &str, style: Style) -> u16 {
    let room = area.width.saturating_sub(x);
    if room == 0 || area.height == 0 {
        return x;
    }
    let text = text::cut(text, room.into());
    let (end, _) = buffer.set_stringn(area.x + x, area.y, text, room.into(), style);
    end - area.x
}

/// Writes a text so that it ends with the area.
pub(super) fn put_right(buffer: &mut Buffer, area: Rect, text: &str, style: Style) {
    let text = text::cut(text, area.width.into());
    let width = u16::try_from(text::width(&text)).unwrap_or(u16::MAX);
    put(buffer, area, area.width.saturating_sub(width), &text, style);
}

/// The first row to show, so that the selected one is in the middle where that is possible.
pub(super) fn first_row(selected: Option<usize>, rows: usize, height: usize) -> usize {
    let middle = selected.unwrap_or_default().saturating_sub(height / 2);
    middle.min(rows.saturating_sub(height))
}
