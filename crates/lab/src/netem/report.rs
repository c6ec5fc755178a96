//! The tables, and the verdict whether the figures agree.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::netem::figures::{Expected, Figure, Figures};
use crate::netem::scenario::Scenario;
use crate::netem::words::Asked;

/// The largest accepted difference in standard deviations. Chance exceeds it once in 150,000 figures.
const SURE: f64 = 4.5;
/// How much the machine may add to the median delay with netem, in ms: the kernel's timer and the receiver's wake-up are late.
const KERNEL_LATE_MS: f64 = 0.6;
/// The same for the socket, in ms: tokio's timers tick in whole milliseconds, and its task must wake up as well.
const SOCKET_LATE_MS: f64 = 2.0;
/// How much more the machine may add to the 95th percentile, in ms.
const TAIL_LATE_MS: f64 = 1.0;
/// If a greater share of arrivals than this fell into stalls, the times of the run are not used.
pub(crate) const MOST_STALLED: f64 = 0.3;

/// All results.
#[derive(Default)]
pub(crate) struct Report {
    /// The model's figures, by netem's words.
    model: BTreeMap<&'static str, BTreeMap<Figure, Expected>>,
    netem: BTreeMap<String, Figures>,
    socket: BTreeMap<String, Figures>,
    asked: Vec<Asked>,
}

/// The totals of the comparison.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Figures and texts that were compared.
    pub(crate) compared: usize,
    pub(crate) apart: usize,
    /// Figures that the machine's stalls made unusable.
    pub(crate) spoilt: usize,
}

/// The content of a table cell.
enum Cell {
    Missing,
    Same(String),
    Apart(String),
    Spoilt,
}

impl Report {
    pub(crate) fn model(&mut self, words: &'static str, figures: BTreeMap<Figure, Expected>) {
        self.model.insert(words, figures);
    }

    pub(crate) fn netem(&mut self, words: String, figures: Figures) {
        self.netem.insert(words, figures);
    }

    pub(crate) fn socket(&mut self, words: String, figures: Figures) {
        self.socket.insert(words, figures);
    }

    pub(crate) fn asked(&mut self, asked: Asked) {
        self.asked.push(asked);
    }

    /// Returns the report's text and the verdict.
    pub(crate) fn text(&self, scenarios: &[&Scenario]) -> (String, Verdict) {
        let mut text = String::new();
        let mut verdict = Verdict::default();
        let put = "a String takes every write";
        writeln!(text, "| impairment | figure | netem | socket | model |").expect(put);
        writeln!(text, "| --- | --- | ---: | ---: | ---: |").expect(put);
        for scenario in scenarios {
            let mut title = format!("`{}`", scenario.title());
            for figure in scenario.figures {
                let Some(expected) = self.expected(scenario, *figure) else {
                    continue;
                };
                let late = [
                    (&self.netem, KERNEL_LATE_MS),
                    (&self.socket, SOCKET_LATE_MS),
                ];
                let [netem, socket] = late.map(|(column, late_ms)| {
                    let figures = column.get(scenario.words);
                    verdict.cell(cell(*figure, figures, expected, late_ms))
                });
                let (name, mean) = (figure.name(), figure.shown(expected.mean));
                let deviation = figure.shown(expected.deviation);
                writeln!(
                    text,
                    "| {title} | {name} | {netem} | {socket} | {mean} ± {deviation} |"
                )
                .expect(put);
                title.clear();
            }
        }
        let timed = scenarios.iter().filter(|scenario| scenario.is_timed());
        let stalled = timed
            .flat_map(|scenario| {
                [&self.netem, &self.socket].map(|column| column.get(scenario.words))
            })
            .flatten()
            .filter_map(|figures| figures.get(&Figure::Stalled).copied())
            .fold(0.0, f64::max);
        writeln!(
            text,
            "\nModel: the mean of 100 runs of the same length ± how much one run differs from the next. Delays of what arrived while \
             the machine stood still are left out: {} % of a run at most.",
            Figure::Stalled.shown(stalled)
        )
        .expect(put);
        self.words(&mut text, &mut verdict);
        (text, verdict)
    }

    fn words(&self, text: &mut String, verdict: &mut Verdict) {
        if self.asked.is_empty() {
            return;
        }
        let put = "a String takes every write";
        let differences: Vec<String> = self.asked.iter().filter_map(Asked::difference).collect();
        verdict.compared += self.asked.len();
        verdict.apart += differences.len();
        let (asked, differ) = (self.asked.len(), differences.len());
        writeln!(
            text,
            "Words: tc and the node's parser were given {asked} texts; {differ} surprises."
        )
        .expect(put);
        for difference in &differences {
            writeln!(text, "- **{difference}**").expect(put);
        }
    }

    fn expected(&self, scenario: &Scenario, figure: Figure) -> Option<Expected> {
        self.model.get(scenario.words)?.get(&figure).copied()
    }
}

impl Verdict {
    /// Counts the cell and returns its text.
    fn cell(&mut self, cell: Cell) -> String {
        match cell {
            Cell::Missing => "-".to_owned(),
            Cell::Same(shown) => {
                self.compared += 1;
                shown
            }
            Cell::Apart(shown) => {
                self.compared += 1;
                self.apart += 1;
                format!("**{shown} ≠**")
            }
            Cell::Spoilt => {
                self.spoilt += 1;
                "spoilt".to_owned()
            }
        }
    }
}

fn cell(figure: Figure, figures: Option<&Figures>, expected: Expected, late_ms: f64) -> Cell {
    let Some(figures) = figures else {
        return Cell::Missing;
    };
    let stalled = figures.get(&Figure::Stalled).copied();
    if figure.is_time() && stalled.is_none_or(|stalled| stalled > MOST_STALLED) {
        return Cell::Spoilt;
    }
    let Some(value) = figures.get(&figure).copied() else {
        return Cell::Apart("none".to_owned());
    };
    let shown = figure.shown(value);
    if agree(figure, value, expected, late_ms) {
        Cell::Same(shown)
    } else {
        Cell::Apart(shown)
    }
}

/// Returns whether a value is consistent with the model.
fn agree(figure: Figure, value: f64, expected: Expected, late_ms: f64) -> bool {
    let (early, late) = grace(figure, expected.mean, late_ms);
    let chance = SURE * expected.deviation;
    (expected.mean - chance - early..=expected.mean + chance + late).contains(&value)
}

/// Returns how far the machine may move a value down and up, beyond chance.
fn grace(figure: Figure, value: f64, late_ms: f64) -> (f64, f64) {
    match figure {
        // One flipped bit in a hundred does no damage, because it hits a header bit that no checksum covers.
        Figure::Damaged => (0.02 * value, 0.0005),
        Figure::Lost | Figure::Twice => (0.0005 + 0.01 * value, 0.0005 + 0.01 * value),
        Figure::Burst => (0.01, 0.01),
        // The figure is a whole number.
        Figure::LongBurst => (1.0, 1.0),
        Figure::Overtaken => (0.01, 0.01),
        // Noise of the machine lowers the correlation of delays; a short burst of it raises it.
        Figure::Likeness => (0.05, 0.05),
        Figure::Low | Figure::Median => (0.05, late_ms + 0.002 * value),
        Figure::High => (0.05, late_ms + TAIL_LATE_MS + 0.002 * value),
        Figure::Throughput => (0.01 * value, 0.01 * value),
        Figure::Stalled => (1.0, 1.0),
    }
}
