//! SVG charts: scales with round numbers, axes, curves, bars.

use std::fmt::Write as _;

/// The size of a chart, in units of its view box.
const WIDTH: f64 = 960.0;
/// The margins for the numbers of the axes.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 34.0;

/// A chart that is being drawn.
pub(super) struct Chart {
    text: String,
    height: f64,
    x: (f64, f64),
    y: (f64, f64),
}

impl Chart {
    /// A chart with these ranges of both axes; `label` describes it for screen readers.
    pub(super) fn new(label: &str, height: f64, x: (f64, f64), y: (f64, f64)) -> Self {
        let wide = |(from, to): (f64, f64)| (from, if to > from { to } else { from + 1.0 });
        let text = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
            escaped(label)
        );
        Self {
            text,
            height,
            x: wide(x),
            y: wide(y),
        }
    }

    pub(super) fn x(&self, value: f64) -> f64 {
        let part = (value - self.x.0) / (self.x.1 - self.x.0);
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        let part = (value - self.y.0) / (self.y.1 - self.y.0);
        self.height - BOTTOM - part * (self.height - TOP - BOTTOM)
    }

    pub(super) fn push(&mut self, element: &str) {
        self.text.push_str(element);
        self.text.push('\n');
    }

    /// Horizontal grid lines with their numbers.
    pub(super) fn y_axis(&mut self, shown: impl Fn(f64) -> String) {
        for value in ticks(self.y, 5) {
            let y = self.y(value);
            let line = format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                escaped(&shown(value))
            );
            self.push(&line);
        }
    }

    /// Numbers along the bottom.
    pub(super) fn x_axis(&mut self, at: &[f64], shown: impl Fn(f64) -> String) {
        for value in at {
            let x = self.x(*value);
            let line = format!(
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                self.height - BOTTOM + 20.0,
                escaped(&shown(*value))
            );
            self.push(&line);
        }
    }

    /// A curve through points; `filled` also fills the area below it.
    pub(super) fn curve(&mut self, class: &str, points: &[(f64, f64)], filled: bool) {
        let mut path = String::new();
        for (at, (x, y)) in points.iter().enumerate() {
            let word = if at == 0 { 'M' } else { 'L' };
            write!(path, "{word}{:.1} {:.1}", self.x(*x), self.y(*y)).expect("a String takes all");
        }
        if let (true, Some(first), Some(last)) = (filled, points.first(), points.last()) {
            let base = self.y(self.y.0);
            let (from, to) = (self.x(first.0), self.x(last.0));
            let area = format!(
                "<path class=\"{class} area\" d=\"{path}L{to:.1} {base:.1}L{from:.1} {base:.1}Z\"/>"
            );
            self.push(&area);
        }
        self.push(&format!("<path class=\"{class} curve\" d=\"{path}\"/>"));
    }

    /// A bar from the bottom, with a tooltip.
    pub(super) fn bar(&mut self, class: &str, x: (f64, f64), y: f64, word: &str) {
        let (from, to) = (self.x(x.0), self.x(x.1));
        let (top, base) = (self.y(y), self.y(self.y.0));
        let bar = format!(
            "<rect class=\"{class} bar\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\">\
             <title>{}</title></rect>",
            (to - from).max(1.0),
            (base - top).max(0.0),
            escaped(word)
        );
        self.push(&bar);
    }

    /// A vertical line with a number at its top.
    pub(super) fn mark(&mut self, x: f64, number: &str, word: &str) {
        let x = self.x(x);
        let base = self.y(self.y.0);
        let mark = format!(
            "<g class=\"mark\"><title>{}</title><line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{base:.1}\"/>{}</g>",
            escaped(word),
            if number.is_empty() {
                String::new()
            } else {
                format!(
                    "<circle cx=\"{x:.1}\" cy=\"13\" r=\"10\"/><text x=\"{x:.1}\" y=\"17\" text-anchor=\"middle\">{number}</text>"
                )
            }
        );
        self.push(&mark);
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

/// About `count` round numbers in a range.
pub(super) fn ticks((from, to): (f64, f64), about: u32) -> Vec<f64> {
    let raw = (to - from) / f64::from(about);
    let power = 10_f64.powf(raw.log10().floor());
    let round = [1.0, 2.0, 2.5, 5.0, 10.0].map(|digit| digit * power);
    let step = *round.iter().find(|step| **step >= raw).unwrap_or(&raw);
    let first = (from / step).ceil() as i64;
    let last = ((to + step * 1e-9) / step).floor() as i64;
    (first..=last).map(|at| at as f64 * step).collect()
}

/// Round times in ms in a range.
pub(super) fn time_ticks((from, to): (f64, f64), about: u32) -> Vec<f64> {
    const STEPS_S: [f64; 16] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
        21_600.0, 86_400.0,
    ];
    let raw = (to - from) / f64::from(about);
    match STEPS_S.iter().find(|step| **step * 1000.0 >= raw) {
        Some(step) if raw >= 500.0 => {
            let step = step * 1000.0;
            let last = (to / step + 1e-9).floor() as i64;
            ((from / step).ceil() as i64..=last)
                .map(|at| at as f64 * step)
                .collect()
        }
        Some(_) | None => ticks((from, to), about),
    }
}

/// Escapes a text for HTML and SVG.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(
            ticks((0.0, 1.0), 5),
            [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
        );
        assert_eq!(ticks((0.0, 730.0), 5), [0.0, 200.0, 400.0, 600.0]);
        assert_eq!(
            time_ticks((0.0, 60_000.0), 6),
            [0.0, 10e3, 20e3, 30e3, 40e3, 50e3, 60e3]
        );
        assert_eq!(time_ticks((0.0, 660_000.0), 8).len(), 6);
    }

    #[test]
    fn no_text_breaks_out() {
        assert_eq!(
            escaped("<a href=\"x\">&\u{1b}"),
            "&lt;a href=&quot;x&quot;&gt;&amp;\u{fffd}"
        );
    }
}
