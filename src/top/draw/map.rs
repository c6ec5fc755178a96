//! The map: nodes and links on a canvas of braille dots, with labels that don't overlap.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::widgets::Widget as _;
use ratatui::widgets::canvas::{Canvas, Line};

use super::look::Look;
use super::write::put;
use crate::snapshot::NodeState;
use crate::top::app::App;
use crate::top::text;
use crate::top::view::View;

/// The longest label on the map.
const LABEL: u16 = 16;

/// Where a node is, in dots: two in a column, four in a line.
#[derive(Debug, Clone, Copy)]
struct Dot {
    x: f64,
    y: f64,
}

impl Dot {
    fn cell(self) -> (u16, u16) {
        ((self.x / 2.0) as u16, (self.y / 4.0) as u16)
    }
}

pub(super) fn draw(app: &App, view: &View, buffer: &mut Buffer, area: Rect, look: Look) {
    let dots = dots(&app.map.places, area);
    let dot = |at: usize| dots.get(at).copied().flatten();
    let height = f64::from(area.height) * 4.0;
    let canvas = Canvas::default()
        .marker(Marker::Braille)
        .x_bounds([0.0, f64::from(area.width) * 2.0 - 1.0])
        .y_bounds([0.0, height - 1.0])
        .paint(|context| {
            for link in &view.links {
                let (Some(one), Some(other)) = (dot(link.dialer), dot(link.listener)) else {
                    continue;
                };
                let heat = |rtt: u32| look.heat_colour(rtt.into());
                let color = link.rtt_us.map_or(Color::Reset, heat);
                // The canvas counts from the bottom.
                let [from, to] = [one.y, other.y].map(|y| height - 1.0 - y);
                context.draw(&Line::new(one.x, from, other.x, to, color));
            }
        });
    canvas.render(area, buffer);
    let shown: BTreeSet<usize> = app.nodes.rows.iter().copied().collect();
    let selected = |at: usize| Some(view.nodes[at].n) == app.nodes.selected;
    // Those that matter most get their labels first.
    let placed = (0..view.nodes.len()).filter_map(|at| Some((at, dot(at)?.cell())));
    let mut placed: Vec<(usize, (u16, u16))> = placed.collect();
    placed.sort_by_key(|(at, _)| {
        let links = view.nodes[*at].links;
        (!selected(*at), *at != view.me, Reverse(links))
    });
    let mut taken = BTreeSet::new();
    for (at, (x, y)) in placed.iter().rev() {
        let (mark, style) = if *at == view.me {
            ("◆", look.bold())
        } else if shown.contains(at) {
            ("●", look.state(NodeState::Up))
        } else {
            ("○", look.dim())
        };
        buffer.set_string(area.x + x, area.y + y, mark, style);
        taken.insert((*x, *y));
    }
    for (at, cell) in placed.iter().filter(|(at, _)| shown.contains(at)) {
        let label = text::cut(&view.nodes[*at].label, LABEL.into());
        let style = if selected(*at) {
            look.selected()
        } else if *at == view.me {
            look.bold()
        } else {
            Style::new()
        };
        name(buffer, area, *cell, &label, style, &mut taken);
    }
    if placed.is_empty() {
        put(buffer, area, 0, "no node is up", look.dim());
    }
}

/// Scales the places so that they fill the area with equal scales in both directions, and leaves room for labels.
fn dots(places: &[Option<(f64, f64)>], area: Rect) -> Vec<Option<Dot>> {
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        let values = || places.iter().flatten().map(of);
        let low = values().fold(f64::INFINITY, f64::min);
        (low, values().fold(f64::NEG_INFINITY, f64::max))
    };
    let ((left, right), (top, bottom)) = (bounds(|it| it.0), bounds(|it| it.1));
    let most = (
        f64::from(area.width) * 2.0 - 1.0,
        f64::from(area.height) * 4.0 - 1.0,
    );
    let margin = f64::from((area.width / 5).min(LABEL)) * 2.0;
    let room = ((most.0 - 2.0 * margin).max(1.0), (most.1 - 8.0).max(1.0));
    let scale = (room.0 / (right - left)).min(room.1 / (bottom - top));
    // A single node has no extent.
    let scale = if scale.is_finite() { scale } else { 0.0 };
    let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
    let dot = |&(x, y): &(f64, f64)| Dot {
        x: ((x - middle.0) * scale + most.0 / 2.0).clamp(0.0, most.0),
        y: ((y - middle.1) * scale + most.1 / 2.0).clamp(0.0, most.1),
    };
    let places = places.iter().map(Option::as_ref);
    places.map(|place| place.map(dot)).collect()
}

/// Writes a label right of, left of, above or below a node, wherever no other one is. Otherwise the node stays without one.
fn name(
    buffer: &mut Buffer,
    area: Rect,
    (x, y): (u16, u16),
    label: &str,
    style: Style,
    taken: &mut BTreeSet<(u16, u16)>,
) {
    let width = u16::try_from(text::width(label)).unwrap_or(u16::MAX);
    let centred = x.saturating_sub(width / 2);
    let places = [
        (Some(x + 2), Some(y)),
        (x.checked_sub(width + 1), Some(y)),
        (Some(centred), y.checked_sub(1)),
        (Some(centred), Some(y + 1)),
    ];
    for place in places {
        let (Some(x), Some(y)) = place else { continue };
        let is_inside = x + width <= area.width && y < area.height;
        if is_inside && (x..x + width).all(|x| !taken.contains(&(x, y))) {
            buffer.set_stringn(area.x + x, area.y + y, label, width.into(), style);
            // A column stays free between two labels.
            taken.extend((x.saturating_sub(1)..=x + width).map(|x| (x, y)));
            return;
        }
    }
}
