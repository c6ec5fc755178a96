//! Compares how tc and our parser read a text.

use area_net::impair::Impairment;
use serde::{Deserialize, Serialize};

/// The answer of tc to a text.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) text: String,
    /// The impairment as tc prints it, or `None` if tc refuses the text.
    pub(crate) printed: Option<String>,
}

/// Which of the two accept a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Both,
    Neither,
    /// We refuse texts that hide a mistake or can't be applied at a socket.
    ByTcAlone,
    /// We accept it because the man page has it.
    ByUsAlone,
    /// Both accept it, but tc drops a part of it.
    ForgottenByTc,
}

#[rustfmt::skip]
const TEXTS: &[(Taken, &[&str])] = &[
    (Taken::Both, &[
        "delay 40ms", "latency 4ms", "delay 1.5ms", "delay 1s", "delay 0", "delay 10msec", "delay 10MS", "delay 274s",
        "delay 10ms 5ms", "delay 10ms 5ms 25", "delay 10ms 5ms 25%", "delay 10ms 20ms",
        "delay 10ms 5ms distribution normal", "delay 10ms 5ms loss 1% distribution pareto",
        "delay 10ms 5ms 0% distribution paretonormal",
        "loss 5", "loss 5%", "loss 5% 25%", "loss random 5% 25%", "loss 33.333%", "drop 5%", "loss 100%",
        "loss state 5%", "loss state 5% 10%", "loss state 1% 30% 20% 50% 1%",
        "loss gemodel 1%", "loss gemodel 1% 10%", "loss gemodel 1% 10% 70% 0.1%",
        "corrupt 5%", "corrupt 5% 10%", "duplicate 5%", "loss 1% 2% duplicate 5% 10%", "reorder 0%",
        "delay 10ms reorder 25%", "delay 10ms reorder 25% 50%", "delay 10ms reorder 25% 50% gap 5",
        "gap 5 delay 10ms reorder 100%",
        "rate 1mbit", "rate 1Mbit", "rate 100bps", "rate 1kbps", "rate 1MBps", "rate 1kibit", "rate 1.5mbit", "rate 8000",
        "rate 1mbit 20", "rate 1mbit -14", "rate 1mbit -14 48 5", "rate 1mbit 20 100 -5",
        "limit 10", "limit 1000",
        "delay 1ms 2ms loss gemodel 1% 10% duplicate 1% corrupt 0.5% reorder 5% rate 10mbit limit 50",
    ]),
    (Taken::Neither, &[
        "delay", "delay 275s", "delay 10ns", "delay 10m", "delay -5ms", "delay 40 ms", "delay 10ms 5ms 125%",
        "delay 10ms 5ms 25% 3", "delay 10ms distribution normal", "distribution normal",
        "loss", "loss .5%", "loss 100.1%", "loss -1%", "loss 5% loss 4%", "loss bogus 1%", "loss 5 %",
        "loss state", "loss state 1% 30% 20% 50% 1% 7%", "loss gemodel 1% 10% 70% 0.1% 4",
        "reorder 5%", "reorder 5% rate 1mbit", "delay 10ms gap 5", "gap 5",
        "rate", "rate 1xbit", "rate 1mbit 20 100 5 6", "limit", "limit -1", "limit 4294967296",
        // A share of the interface's speed; the interface has no speed of its own.
        "rate 5%",
        "ecn", "wobble 5%",
    ]),
    (Taken::ByTcAlone, &[
        // Abbreviations, and texts that silently mean something else or nothing.
        "dup 5%", "del 5ms", "delay 10ms delay 20ms", "limit 5 limit 6", "loss 0% loss 4%", "limit 0", "limit 1k", "rate 0",
        "delay 1e3", "delay .5ms", "loss random .5%", "delay 10ms 5s", "rate 1001tbit", "delay 10ms reorder 25% gap 0",
        // Features that a socket can't provide, or that we do not.
        "loss 5% ecn", "slot 10ms", "delay 10ms 5ms distribution experimental",
    ]),
    (Taken::ByUsAlone, &["delay 10ms 5ms distribution uniform"]),
    // tc passes the correlation of duplicates to the kernel only if delays or losses have one as well; we always apply it.
    (Taken::ForgottenByTc, &["duplicate 5% 10%", "duplicate 40% 60% reorder 0%"]),
];

/// Returns all texts that tc is asked about.
pub(crate) fn texts() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().flat_map(|(_, texts)| texts.iter().copied())
}

impl Asked {
    /// Returns the answer for a text that tc refuses.
    pub(crate) fn refused(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            printed: None,
        }
    }

    /// Returns the answer for a text that tc accepts. `shown` is the whole qdisc as tc prints it.
    pub(crate) fn taken(text: &str, shown: &str) -> Self {
        let words = shown
            .split_once(" refcnt ")
            .and_then(|(_, rest)| rest.split_once(' '))
            .map_or("", |(_, words)| words.trim());
        Self {
            text: text.to_owned(),
            printed: Some(words.to_owned()),
        }
    }

    /// Describes an unintended difference between us and tc, if there is one.
    pub(crate) fn difference(&self) -> Option<String> {
        let text = &self.text;
        let (expected, _) = TEXTS
            .iter()
            .find(|(_, texts)| texts.contains(&text.as_str()))?;
        let ours = text.parse::<Impairment>();
        let taken = match (ours.is_ok(), self.printed.is_some()) {
            (true, true) if *expected == Taken::ForgottenByTc => Taken::ForgottenByTc,
            (true, true) => Taken::Both,
            (false, false) => Taken::Neither,
            (false, true) => Taken::ByTcAlone,
            (true, false) => Taken::ByUsAlone,
        };
        if taken != *expected {
            return Some(format!(
                "`{text}` should be taken by {expected:?}, and is by {taken:?}: {ours:?}"
            ));
        }
        let (Ok(ours), Some(printed)) = (ours, &self.printed) else {
            return None;
        };
        // tc prints names of values that it does not accept as input, and it prints no distribution.
        let unlabelled: Vec<&str> = printed
            .split_whitespace()
            .filter(|word| !LABELS.contains(word))
            .collect();
        let (shown, _) = text.split_once(" distribution").unwrap_or((text, ""));
        let ours = if shown == text {
            ours
        } else {
            shown.parse().ok()?
        };
        let theirs = unlabelled.join(" ").parse::<Impairment>();
        let same = theirs.as_ref() == Ok(&ours);
        if same == (taken == Taken::Both) {
            return None;
        }
        Some(format!(
            "`{text}` is `{ours}` to us, and `{printed}` to tc: {theirs:?}"
        ))
    }
}

const LABELS: [&str; 12] = [
    "p13",
    "p31",
    "p32",
    "p23",
    "p14",
    "p",
    "r",
    "1-h",
    "1-k",
    "packetoverhead",
    "cellsize",
    "celloverhead",
];
