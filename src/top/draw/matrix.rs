//! The matrix: the round-trip time from each node to each other one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::look::Look;
use super::write::{cell, first_row, put, put_right, row};
use crate::snapshot::NodeState;
use crate::top::app::App;
use crate::top::text;
use crate::top::view::View;

/// The width of a cell with the beginning of a label at its head, and a time in ms.
const NAMED: u16 = 8;
/// The width of a cell with a number at its head, and a time in ms.
const NUMBERED: u16 = 6;
/// The width of a cell with a level of one digit. From a hundred nodes on, its head needs one column more.
const LEVEL: u16 = 3;
/// The most columns of the rows' labels.
const LABELS: u16 = 16;

pub(super) fn draw(app: &App, view: &View, buffer: &mut Buffer, area: Rect, look: Look) {
    let is_up = |at: &usize| view.nodes[*at].state == NodeState::Up;
    let shown = app.nodes.rows.iter().copied();
    let nodes: Vec<usize> = shown.filter(is_up).collect();
    let selected = |at: usize| Some(view.nodes[at].n) == app.nodes.selected;
    let position = nodes.iter().position(|at| selected(*at));
    let number = u16::try_from(nodes.len().to_string().len()).unwrap_or(5);
    let longest = nodes.iter().map(|at| text::width(&view.nodes[*at].label));
    let longest = u16::try_from(longest.max().unwrap_or_default()).unwrap_or(LABELS);
    let labels = longest.min(LABELS).min(area.width / 3) + number + 2;
    let room = area.width.saturating_sub(labels);
    let fits = |width: &u16| nodes.len() <= usize::from(room / width);
    let width = [NAMED, NUMBERED].into_iter().find(fits);
    let width = width.unwrap_or(LEVEL.max(number + 1));
    let across = usize::from(room / width);
    let down = usize::from(area.height.saturating_sub(2));
    let (top, left) = (
        first_row(position, nodes.len(), down),
        first_row(position, nodes.len(), across),
    );
    for (x, (at, node)) in (0..).zip(nodes.iter().enumerate().skip(left).take(across)) {
        let head = if width == NAMED {
            text::cut(&view.nodes[*node].label, usize::from(width) - 1)
        } else {
            (at + 1).to_string()
        };
        let style = if selected(*node) {
            look.bold()
        } else {
            look.dim()
        };
        put_right(
            buffer,
            cell(area, labels + x * width, 0, width),
            &head,
            style,
        );
    }
    for (y, (at, from)) in (1..).zip(nodes.iter().enumerate().skip(top).take(down)) {
        let style = if selected(*from) {
            look.selected()
        } else {
            Style::new()
        };
        put_right(
            buffer,
            cell(area, 0, y, number),
            &(at + 1).to_string(),
            look.dim(),
        );
        let head = cell(area, number + 1, y, labels - number - 1);
        put(buffer, head, 0, &view.nodes[*from].label, style);
        // Paths are computed for the rows on the screen only.
        let paths = view.paths_of(*from);
        for (x, to) in (0..).zip(nodes.iter().skip(left).take(across)) {
            let link = view.link(*from, *to).and_then(|link| link.rtt_us);
            let link = link.map(u64::from);
            let style = link.map_or(look.dim(), |rtt| look.heat(rtt));
            let rtt = link.or(paths.rtt_us(*to));
            let value = match rtt {
                _ if from == to => "·".to_owned(),
                None => "?".to_owned(),
                Some(rtt) if width < NUMBERED => digit(rtt).to_string(),
                Some(rtt) if link.is_none() => format!("~{}", text::short_rtt(rtt)),
                Some(rtt) => text::short_rtt(rtt),
            };
            put_right(
                buffer,
                cell(area, labels + x * width, y, width),
                &value,
                style,
            );
        }
    }
    let legend = if width < NUMBERED {
        "0: under 0.2 ms, each step doubles, 9: from 51 ms; dim: no link, the shortest path"
    } else {
        "~ no link: the sum along the shortest path"
    };
    let y = u16::try_from(nodes.len().min(down)).unwrap_or_default() + 1;
    put(buffer, row(area, y), 0, legend, look.dim());
}

/// A level: each step is twice the round-trip time, from 0.2 ms on.
fn digit(rtt_us: u64) -> u32 {
    let doubled = (rtt_us / 200).checked_ilog2();
    doubled.map_or(0, |log| (log + 1).min(9))
}
