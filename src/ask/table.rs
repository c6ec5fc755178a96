//! Tables that fit a terminal.

use std::fmt::Write as _;

use super::text::{cut, width};

/// The space between two columns.
const GAP: usize = 2;
/// Columns of text are not made narrower than this; a label of three letters says nothing. At double, the tables of a terminal of 40
/// columns lose their figures.
const NARROWEST: usize = 8;

/// How a cell is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Good,
    Warning,
    Bad,
}

impl Style {
    /// The text with the codes of its colour.
    pub(super) fn paint(self, text: &str, colours: bool) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            _ if !colours || text.is_empty() => return text.to_owned(),
            Self::Bold => 1,
            Self::Dim => 2,
            Self::Good => 32,
            Self::Warning => 33,
            Self::Bad => 31,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) head: &'static str,
    /// Figures are right-aligned.
    pub(super) figures: bool,
    /// Figures, ids and addresses are never cut: their beginning is wrong, or can't be copied.
    pub(super) whole: bool,
    /// Where not all columns fit, that with the highest number goes first. Those with 0 always stay.
    pub(super) spare: u8,
}

impl Column {
    pub(super) const fn text(head: &'static str, spare: u8) -> Self {
        Self {
            head,
            figures: false,
            whole: false,
            spare,
        }
    }

    pub(super) const fn whole(head: &'static str, spare: u8) -> Self {
        let whole = true;
        Self {
            whole,
            ..Self::text(head, spare)
        }
    }

    pub(super) const fn figures(head: &'static str, spare: u8) -> Self {
        let figures = true;
        Self {
            figures,
            ..Self::whole(head, spare)
        }
    }
}

/// A cell: its text, which is clean, and its style.
pub(super) type Cell = (String, Style);

/// A cell without a style.
pub(super) fn plain(text: impl Into<String>) -> Cell {
    (text.into(), Style::Plain)
}

/// A table. Every row has a cell for each column.
#[derive(Debug)]
pub(super) struct Table<'a> {
    columns: &'a [Column],
    rows: Vec<Vec<Cell>>,
}

impl<'a> Table<'a> {
    pub(super) fn new(columns: &'a [Column]) -> Self {
        let rows = Vec::new();
        Self { columns, rows }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// The table in at most `most` columns of the terminal. `None`: as wide as it is.
    pub(super) fn render(&self, most: Option<usize>, colours: bool) -> String {
        let widths = self.widths(most);
        let mut out = String::new();
        let heads: Vec<Cell> = self
            .columns
            .iter()
            .map(|column| (column.head.to_owned(), Style::Dim))
            .collect();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut space = 0;
            let cells = row.iter().zip(self.columns).zip(&widths);
            for (((text, style), column), width_of) in cells {
                let Some(most) = *width_of else { continue };
                let text = cut(text, most);
                let pad = most - width(&text);
                let before = if column.figures { pad } else { 0 };
                if !text.is_empty() {
                    write!(
                        out,
                        "{:1$}{2}",
                        "",
                        space + before,
                        style.paint(&text, colours)
                    )
                    .expect("a String takes every write");
                    space = 0;
                } else {
                    space += before;
                }
                space += pad - before + GAP;
            }
            out.push('\n');
        }
        out
    }

    /// The width of each column; `None` if it has to be left out.
    fn widths(&self, most: Option<usize>) -> Vec<Option<usize>> {
        let whole = |at: usize| {
            let cells = self.rows.iter().map(|row| width(&row[at].0));
            cells.max().unwrap_or(0).max(self.columns[at].head.len())
        };
        let mut widths: Vec<_> = (0..self.columns.len()).map(|at| Some(whole(at))).collect();
        let Some(most) = most else {
            return widths;
        };
        let least = |at: usize, width: usize| {
            if self.columns[at].whole {
                width
            } else {
                width.min(NARROWEST)
            }
        };
        let sum = |widths: &[Option<usize>], of: &dyn Fn(usize, usize) -> usize| {
            let kept = widths.iter().enumerate();
            let kept = kept.filter_map(|(at, width)| Some(of(at, (*width)?) + GAP));
            kept.sum::<usize>().saturating_sub(GAP)
        };
        while sum(&widths, &least) > most {
            let kept = (0..widths.len()).filter(|&at| widths[at].is_some());
            let Some(spare) = kept.max_by_key(|&at| self.columns[at].spare) else {
                break;
            };
            if self.columns[spare].spare == 0 {
                break;
            }
            widths[spare] = None;
        }
        // The widest text gives first.
        while sum(&widths, &|_, width| width) > most {
            let texts = (0..widths.len()).filter(|&at| !self.columns[at].whole);
            let widest = texts.filter_map(|at| Some((widths[at]?, at))).max();
            let Some((width, at)) = widest.filter(|(width, _)| *width > 1) else {
                break;
            };
            widths[at] = Some(width - 1);
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::text("LABEL", 0),
        Column::figures("RTT", 0),
        Column::text("ID", 2),
        Column::whole("ADDRESS", 3),
    ];

    fn table(label: &str) -> Table<'static> {
        let mut table = Table::new(&COLUMNS);
        table.row(vec![
            plain(label),
            plain("0.052 ms"),
            plain("0123456789"),
            plain("[::1]:8090"),
        ]);
        table.row(vec![
            plain("日本"),
            plain("112.200 ms"),
            plain(""),
            plain(""),
        ]);
        table
    }

    #[test]
    fn a_table_is_as_wide_as_it_needs_if_nobody_bounds_it() {
        let expected = "\
LABEL         RTT  ID          ADDRESS
alice    0.052 ms  0123456789  [::1]:8090
日本   112.200 ms
";
        assert_eq!(table("alice").render(None, false), expected);
        assert_eq!(table("alice").render(Some(80), false), expected);
    }

    #[test]
    fn a_narrow_terminal_loses_spare_columns_first_and_then_letters() {
        let expected = "\
LABEL         RTT  ID
alice    0.052 ms  01234567…
日本   112.200 ms
";
        assert_eq!(table("alice").render(Some(28), false), expected);
        let expected = "\
LABEL                 RTT
a long label…    0.052 ms
日本           112.200 ms
";
        assert_eq!(
            table("a long label of a node").render(Some(25), false),
            expected
        );
    }

    #[test]
    fn colours_take_no_space() {
        let mut table = Table::new(&COLUMNS[..2]);
        table.row(vec![("up".to_owned(), Style::Good), plain("1")]);
        let painted = table.render(None, true);
        assert_eq!(
            painted,
            "\u{1b}[2mLABEL\u{1b}[0m  \u{1b}[2mRTT\u{1b}[0m\n\u{1b}[32mup\u{1b}[0m       1\n"
        );
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(label in any::<String>(), most in 22_usize..100) {
            let label = crate::ask::text::clean(&label);
            for line in table(&label).render(Some(most), false).lines() {
                prop_assert!(width(line) <= most, "{} > {}: {:?}", width(line), most, line);
            }
        }
    }
}
