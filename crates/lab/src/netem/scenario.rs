//! The scenarios: the traffic, the impairment and the compared figures.

use crate::netem::figures::Figure::{
    self, Burst, Damaged, High, Likeness, LongBurst, Lost, Low, Median, Overtaken, Throughput,
    Twice,
};

/// One impairment under one kind of traffic.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// netem's words. The empty string is the unimpaired path.
    pub(crate) words: &'static str,
    pub(crate) packets: u32,
    /// The interval between two packets.
    pub(crate) spacing_us: u64,
    /// The size of a packet's payload.
    pub(crate) bytes: usize,
    /// The figures that are compared.
    pub(crate) figures: &'static [Figure],
}

impl Scenario {
    /// Returns a scenario that measures only which packets arrive.
    const fn counted(words: &'static str, figures: &'static [Figure]) -> Self {
        Self {
            words,
            packets: 10_000,
            spacing_us: 400,
            bytes: 200,
            figures,
        }
    }

    /// Returns a scenario that measures delays. Its packets are far apart so that User-Mode Linux, which needs a fraction of a
    /// millisecond for each wake-up, is not overloaded.
    const fn timed(words: &'static str, figures: &'static [Figure]) -> Self {
        Self {
            words,
            packets: 2500,
            spacing_us: 3000,
            bytes: 200,
            figures,
        }
    }

    /// Returns a scenario on a line of 256 kbit/s, on which such a packet takes 5.06 ms with its headers.
    const fn narrow(words: &'static str, spacing_us: u64, figures: &'static [Figure]) -> Self {
        Self {
            words,
            packets: 1000,
            spacing_us,
            bytes: 100,
            figures,
        }
    }

    /// Returns whether it measures delays.
    pub(crate) fn is_timed(&self) -> bool {
        self.figures.iter().any(|figure| figure.is_time())
    }

    /// Returns its title.
    pub(crate) fn title(&self) -> &'static str {
        if self.words.is_empty() {
            "(nothing)"
        } else {
            self.words
        }
    }
}

const DELAY: &[Figure] = &[Lost, Low, Median, High];
const JITTER: &[Figure] = &[Low, Median, High, Overtaken, Likeness];
const LOSSES: &[Figure] = &[Lost, Burst, LongBurst];
const LINE: &[Figure] = &[Lost, Throughput, Median, High];

pub(crate) static SCENARIOS: [Scenario; 25] = [
    Scenario::timed("", DELAY),
    Scenario::timed("delay 20ms", DELAY),
    Scenario::timed("delay 40ms 10ms", JITTER),
    Scenario::timed("delay 40ms 10ms 50%", JITTER),
    Scenario::timed("delay 5ms 10ms", JITTER),
    Scenario::timed("delay 40ms 10ms distribution normal", JITTER),
    Scenario::timed("delay 40ms 10ms 75% distribution normal", JITTER),
    Scenario::timed("delay 40ms 10ms distribution pareto", JITTER),
    Scenario::timed("delay 40ms 10ms distribution paretonormal", JITTER),
    Scenario::counted("loss 5%", LOSSES),
    Scenario::counted("loss 20% 50%", LOSSES),
    Scenario::counted("loss gemodel 2% 20%", LOSSES),
    Scenario::counted("loss gemodel 2% 10% 70% 0.5%", LOSSES),
    Scenario::counted("loss state 2% 30% 20% 50% 1%", LOSSES),
    Scenario::counted("duplicate 5%", &[Lost, Twice]),
    Scenario::counted("duplicate 20% loss 20%", &[Lost, Twice]),
    // tc drops a correlation of duplicates unless delays or losses have one as well.
    Scenario::counted("duplicate 40% 60% loss 1% 1%", &[Lost, Twice]),
    Scenario {
        bytes: 1000,
        ..Scenario::counted("corrupt 5%", &[Lost, Damaged])
    },
    Scenario::timed("delay 10ms reorder 25% 50%", &[Median, Overtaken, Likeness]),
    Scenario::timed("delay 10ms reorder 100% gap 5", &[Median, Overtaken]),
    // The queue never empties, so its length depends more on the sender's stalls than on the line.
    Scenario::narrow("rate 256kbit", 4500, &[Lost, Throughput]),
    Scenario::narrow("rate 256kbit limit 20", 4000, LINE),
    Scenario::narrow("delay 20ms rate 256kbit", 10_000, LINE),
    Scenario::narrow("delay 40ms 10ms rate 256kbit", 6000, JITTER),
    Scenario::timed(
        "delay 40ms 10ms 25% loss 5% duplicate 1% reorder 5% rate 10mbit",
        &[Lost, Twice, Overtaken, Median, High],
    ),
];
