//! The words of `tc … netem`, checked before anything starts, and what they mean.

use serde::{Deserialize, Serialize};

use crate::lab::words::nearest;

/// The options of tc-netem(8), and the words that may follow them.
const WORDS: [&str; 20] = [
    "limit",
    "delay",
    "distribution",
    "uniform",
    "normal",
    "pareto",
    "paretonormal",
    "loss",
    "random",
    "state",
    "gemodel",
    "ecn",
    "corrupt",
    "duplicate",
    "reorder",
    "gap",
    "rate",
    "slot",
    "packets",
    "bytes",
];

/// A qdisc's arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Netem {
    /// What `tc` is told, after the word `netem`.
    pub(crate) args: String,
    /// The mean delay, in ms.
    pub(crate) delay_ms: f64,
    /// The share of packets that are lost independently of each other, in percent; none where it isn't that simple.
    pub(crate) loss_percent: Option<f64>,
}

impl Netem {
    /// Reads the arguments, or says what is wrong with them.
    pub(crate) fn parse(args: &str) -> Result<Self, String> {
        let words: Vec<&str> = args.split_whitespace().collect();
        let starts_as_number =
            |word: &str| word.starts_with(|first: char| first.is_ascii_digit() || first == '.');
        for word in &words {
            if !starts_as_number(word) && !WORDS.contains(word) {
                return Err(format!("netem has no `{word}`{}", nearest(word, WORDS)));
            }
        }
        match words.first() {
            None => return Err("an empty netem does nothing; `none` removes the qdisc".into()),
            Some(first) if starts_as_number(first) => {
                return Err(format!(
                    "`{first}` is the value of what? write `delay {first}`, for example"
                ));
            }
            Some(_) => {}
        }
        let after = |word: &str| {
            let at = words.iter().position(|other| *other == word)?;
            Some(words.get(at + 1).copied().unwrap_or_default())
        };
        let delay_ms = after("delay").map_or(Ok(0.0), milliseconds)?;
        let loss_percent = match after("loss") {
            None => Some(0.0),
            Some("random") => Some(percent(after("random").unwrap_or_default())?),
            Some("gemodel" | "state") => None,
            Some(share) => Some(percent(share)?),
        };
        if loss_percent.is_some_and(|share| share >= 100.0) {
            return Err(
                "what loses everything is `link = \"down\"`: then the judge knows of it".into(),
            );
        }
        Ok(Self {
            args: words.join(" "),
            delay_ms,
            loss_percent,
        })
    }
}

/// A time in the words of `tc`.
fn milliseconds(text: &str) -> Result<f64, String> {
    let split = text
        .find(|letter: char| letter.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "s" | "sec" | "secs" => 1000.0,
        "ms" | "msec" | "msecs" => 1.0,
        "us" | "usec" | "usecs" => 0.001,
        _ => {
            return Err(format!(
                "`{text}` is no time; write s, ms or us after the number"
            ));
        }
    };
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is no time"))?;
    Ok(number * factor)
}

/// A share in the words of `tc`.
fn percent(text: &str) -> Result<f64, String> {
    text.strip_suffix('%')
        .and_then(|number| number.parse().ok())
        .filter(|share| (0.0..=100.0).contains(share))
        .ok_or_else(|| format!("`{text}` is no share; write 5%, for example"))
}

/// The commands (for `tc`) by which one qdisc takes another's place. A change keeps the packets that are on their way, but an option that isn't named
/// may keep its value: where one is to go, the whole qdisc goes first.
pub(crate) fn replace(interface: &str, before: Option<&str>, now: Option<&str>) -> Vec<String> {
    let add = |args| format!("qdisc add dev {interface} root netem {args}");
    let del = || format!("qdisc del dev {interface} root");
    match (before, now) {
        (None, None) => Vec::new(),
        (None, Some(args)) => vec![add(args)],
        (Some(_), None) => vec![del()],
        (Some(before), Some(args)) if before == args => Vec::new(),
        (Some(before), Some(args)) => {
            let is_option =
                |word: &&str| word.starts_with(|first: char| first.is_ascii_alphabetic());
            let mut options = before.split_whitespace().filter(is_option);
            if options.all(|option| args.split_whitespace().any(|word| word == option)) {
                vec![format!("qdisc change dev {interface} root netem {args}")]
            } else {
                vec![del(), add(args)]
            }
        }
    }
}
