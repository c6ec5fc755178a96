//! Parses words into an [`Impairment`], or into the first fault and its place.
//!
//! The documentation of [`crate::impair`] contains the grammar. The parser makes one pass. As in `tc`, a word that begins with a
//! digit is a value, so the optional values of a keyword end at the next keyword.

use std::str::FromStr;

use super::error::{Fault, ParseError};
use super::value::{Bits, Decimal, Time};
use super::{Chance, Delay, Distribution, Impairment, Loss, Rate, Reorder, Share};
use crate::nearest::probable;

/// The longest delay in µs. `tc` accepts no more, since it stores times in units of 64 ns in 32 bits.
const MAX_DELAY_US: u32 = 274_877_906;
/// The largest jitter in µs. The kernel truncates jitter to 31 bits of ns.
const MAX_JITTER_US: u32 = 2_147_483;
/// The largest limit in packets. A longer queue would exhaust memory before it is full.
const MAX_LIMIT: u64 = 100_000;
/// The largest gap in packets.
const MAX_GAP: u64 = 1_000_000;
/// The highest rate in bytes a second, 1000 tbit. The time of a packet is below 1 ns long before.
const MAX_BYTES_PER_S: u64 = 125_000_000_000_000;
/// The largest overhead of a packet or cell, either sign, and the largest cell, in bytes: the largest UDP packet.
const MAX_BYTES: i64 = 65_535;

/// A word and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'a> {
    /// In characters of the whole text, counted from 1.
    pub(super) column: usize,
    pub(super) text: &'a str,
}

impl Word<'_> {
    pub(super) fn refuse(self, fault: Fault) -> ParseError {
        // The word is cut to keep the message short.
        let word = self.text.chars().take(64).collect();
        ParseError {
            word,
            column: self.column,
            fault,
        }
    }

    fn is_value(self) -> bool {
        self.text.starts_with(|first: char| first.is_ascii_digit())
    }
}

/// The keywords, each of which begins one option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keyword {
    Limit,
    Delay,
    Distribution,
    Loss,
    Corrupt,
    Duplicate,
    Reorder,
    Gap,
    Rate,
}

/// Each keyword, its names (the canonical one first), and an example.
const KEYWORDS: [(Keyword, &str, &str); 11] = [
    (Keyword::Limit, "limit", "limit 1000"),
    (Keyword::Delay, "delay", "delay 40ms"),
    (Keyword::Delay, "latency", "latency 40ms"),
    (
        Keyword::Distribution,
        "distribution",
        "delay 40ms 10ms distribution normal",
    ),
    (Keyword::Loss, "loss", "loss 5%"),
    (Keyword::Loss, "drop", "drop 5%"),
    (Keyword::Corrupt, "corrupt", "corrupt 1%"),
    (Keyword::Duplicate, "duplicate", "duplicate 1%"),
    (Keyword::Reorder, "reorder", "delay 10ms reorder 25%"),
    (Keyword::Gap, "gap", "delay 10ms reorder 25% gap 5"),
    (Keyword::Rate, "rate", "rate 10mbit"),
];

/// netem's options that are not supported, and why.
const UNSUPPORTED: [(&str, &str); 3] = [
    ("ecn", "packets are lost, not marked"),
    ("slot", "packets leave one by one"),
    ("seed", "each run draws its own"),
];

const UNITS: [&str; 9] = ["%", "s", "ms", "us", "bit", "kbit", "mbit", "gbit", "bps"];

impl FromStr for Impairment {
    type Err = ParseError;

    /// Parses the impairment of one link. A text without words impairs nothing.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Parser::read(&words(text))
    }
}

/// Splits a text into words. A semicolon is a word of its own.
pub(super) fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut began: Option<(usize, usize)> = None;
    for (index, (at, letter)) in text.char_indices().enumerate() {
        let column = index + 1;
        if letter.is_whitespace() || letter == ';' {
            if let Some((column, from)) = began.take() {
                let text = &text[from..at];
                words.push(Word { column, text });
            }
            if letter == ';' {
                let text = &text[at..=at];
                words.push(Word { column, text });
            }
        } else if began.is_none() {
            began = Some((column, at));
        }
    }
    if let Some((column, from)) = began {
        let text = &text[from..];
        words.push(Word { column, text });
    }
    words
}

/// The parser of one impairment.
pub(super) struct Parser<'a, 'b> {
    words: &'b [Word<'a>],
    at: usize,
    /// The keywords so far, each with its word.
    seen: Vec<(Keyword, Word<'a>)>,
    impairment: Impairment,
    /// The value of `gap`, which may precede `reorder`.
    gap: Option<u32>,
}

impl<'a, 'b> Parser<'a, 'b> {
    pub(super) fn read(words: &'b [Word<'a>]) -> Result<Impairment, ParseError> {
        let mut parser = Self {
            words,
            at: 0,
            seen: Vec::new(),
            impairment: Impairment::default(),
            gap: None,
        };
        while let Some(word) = parser.next() {
            parser.part(word)?;
        }
        parser.finish()
    }

    fn next(&mut self) -> Option<Word<'a>> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(*word)
    }

    /// Parses one keyword and its values.
    fn part(&mut self, word: Word<'a>) -> Result<(), ParseError> {
        let Some((keyword, _, example)) = KEYWORDS.iter().find(|(_, name, _)| *name == word.text)
        else {
            return Err(word.refuse(self.unknown(word)));
        };
        if self.place_of(*keyword).is_some() {
            return Err(word.refuse(Fault::Twice));
        }
        self.seen.push((*keyword, word));
        let first = self.next().ok_or(word.refuse(Fault::NoValue(example)))?;
        match keyword {
            Keyword::Limit => {
                let limit = count(first, "the limit", MAX_LIMIT, "1 to 100000 packets")?;
                self.impairment.limit = limit;
            }
            Keyword::Delay => self.delay(first)?,
            Keyword::Distribution => self.impairment.delay.distribution = distribution(first)?,
            Keyword::Loss => self.impairment.loss = self.loss(first)?,
            Keyword::Corrupt => self.impairment.corrupt = self.chance(first)?,
            Keyword::Duplicate => self.impairment.duplicate = self.chance(first)?,
            Keyword::Reorder => {
                let chance = self.chance(first)?;
                if chance.share != Share::NONE {
                    self.impairment.reorder = Some(Reorder { chance, gap: 1 });
                }
            }
            Keyword::Gap => {
                let gap = count(first, "the gap", MAX_GAP, "1 to 1000000 packets")?;
                self.gap = Some(gap);
            }
            Keyword::Rate => self.impairment.rate = Some(self.rate(first)?),
        }
        Ok(())
    }

    /// Why a word is no keyword.
    fn unknown(&self, word: Word<'_>) -> Fault {
        if let Some((_, why)) = UNSUPPORTED.iter().find(|(name, _)| *name == word.text) {
            return Fault::Unsupported(why);
        }
        if word.text == "to" {
            return Fault::NeedsSemicolon;
        }
        if UNITS.contains(&word.text) {
            return Fault::LooseUnit;
        }
        if let (true, Some((_, last))) = (word.is_value(), self.seen.last())
            && let Some((_, name, _)) = KEYWORDS.iter().find(|(_, name, _)| *name == last.text)
        {
            return Fault::OneTooMany(name);
        }
        let known = KEYWORDS.iter().map(|(_, name, _)| *name);
        Fault::Unknown {
            nearest: probable(word.text, known),
        }
    }

    /// Checks what depends on several options, whose order is free.
    fn finish(mut self) -> Result<Impairment, ParseError> {
        let delay = self.impairment.delay;
        if delay.us == 0
            && self.impairment.reorder.is_some()
            && let Some(word) = self.place_of(Keyword::Reorder)
        {
            return Err(word.refuse(Fault::NeedsDelay));
        }
        if (delay.us == 0 || delay.jitter_us == 0)
            && let Some(word) = self.place_of(Keyword::Distribution)
        {
            return Err(word.refuse(Fault::NeedsJitter));
        }
        match (&mut self.impairment.reorder, self.gap) {
            (Some(reorder), Some(gap)) => reorder.gap = gap,
            (Some(_) | None, None) => {}
            (None, Some(_)) => {
                let word = self
                    .place_of(Keyword::Gap)
                    .expect("the keyword has set the gap");
                return Err(word.refuse(Fault::NeedsReorder));
            }
        }
        Ok(self.impairment)
    }

    fn place_of(&self, keyword: Keyword) -> Option<Word<'a>> {
        let seen = self.seen.iter().find(|(seen, _)| *seen == keyword);
        seen.map(|(_, word)| *word)
    }

    /// The next word, if it is a value.
    fn value(&mut self) -> Option<Word<'a>> {
        let next = self.words.get(self.at)?;
        if !next.is_value() {
            return None;
        }
        self.next()
    }

    /// The next word, if it is a value that may have a sign.
    fn signed_value(&mut self) -> Option<Word<'a>> {
        let next = self.words.get(self.at)?;
        if !next.is_value() && !next.text.starts_with('-') {
            return None;
        }
        self.next()
    }

    /// The next word as a share, or nothing.
    fn share(&mut self, what: &'static str) -> Result<Option<Share>, ParseError> {
        self.value().map(|word| share(word, what)).transpose()
    }

    fn chance(&mut self, first: Word<'_>) -> Result<Chance, ParseError> {
        let chance = share(first, "the share of packets")?;
        let correlation = self.share(CORRELATION)?;
        Ok(Chance::new(chance, correlation.unwrap_or_default()))
    }

    fn delay(&mut self, first: Word<'_>) -> Result<(), ParseError> {
        let us = time(first, "the delay", MAX_DELAY_US, "0 to 274.877906s")?;
        let mut delay = Delay {
            us,
            distribution: self.impairment.delay.distribution,
            ..Delay::default()
        };
        if let Some(word) = self.value() {
            delay.jitter_us = time(word, "the jitter", MAX_JITTER_US, "0 to 2.147483s")?;
            let correlation = self.share(CORRELATION)?.unwrap_or_default();
            if delay.jitter_us > 0 {
                delay.correlation = correlation;
            }
        }
        self.impairment.delay = delay;
        Ok(())
    }

    fn loss(&mut self, first: Word<'a>) -> Result<Loss, ParseError> {
        let after =
            |parser: &mut Self, example| parser.next().ok_or(first.refuse(Fault::NoValue(example)));
        match first.text {
            "random" => {
                let word = after(self, "loss random 5%")?;
                self.chance(word).map(Loss::Random)
            }
            "state" => {
                let word = after(self, "loss state 1% 30%")?;
                let p13 = share(word, PROBABILITY)?;
                // The defaults of `tc` give independent losses.
                let mut others = [p13.rest(), Share::NONE, Share::ALL, Share::NONE];
                self.shares(&mut others)?;
                let [p31, p32, p23, p14] = others;
                Ok(Loss::State {
                    p13,
                    p31,
                    p32,
                    p23,
                    p14,
                })
            }
            "gemodel" => {
                let word = after(self, "loss gemodel 1% 10%")?;
                let p = share(word, PROBABILITY)?;
                let mut others = [p.rest(), Share::ALL, Share::NONE];
                self.shares(&mut others)?;
                let [r, bad, good] = others;
                Ok(Loss::Gemodel { p, r, bad, good })
            }
            _ if first.is_value() => self.chance(first).map(Loss::Random),
            other => {
                let models = ["random", "state", "gemodel"];
                Err(first.refuse(match probable(other, models) {
                    None => {
                        Fault::NotA("a share of packets such as 5%, nor random, state or gemodel")
                    }
                    nearest => Fault::Unknown { nearest },
                }))
            }
        }
    }

    /// Replaces the first defaults by the shares that follow.
    fn shares(&mut self, defaults: &mut [Share]) -> Result<(), ParseError> {
        for default in defaults {
            match self.share(PROBABILITY)? {
                Some(given) => *default = given,
                None => break,
            }
        }
        Ok(())
    }

    fn rate(&mut self, first: Word<'_>) -> Result<Rate, ParseError> {
        if first.text.ends_with('%') {
            return Err(first.refuse(Fault::Unsupported(
                "there is no device whose rate it could be a share of",
            )));
        }
        let bytes_per_s = Bits::read_bytes(first.text)
            .ok_or(first.refuse(Fault::NotA("a rate such as 10mbit, 100kbit or 1mbps")))?;
        if !(1..=MAX_BYTES_PER_S).contains(&bytes_per_s) {
            return Err(first.refuse(Fault::OutOfRange {
                what: "the rate",
                bounds: "8bit to 1000tbit",
            }));
        }
        let mut rate = Rate {
            bytes_per_s,
            packet_overhead: 0,
            cell_bytes: 0,
            cell_overhead: 0,
        };
        if let Some(word) = self.signed_value() {
            rate.packet_overhead = bytes(word, "the overhead of a packet")?;
        }
        if let Some(word) = self.value() {
            let size = bytes(word, "the size of a cell")?;
            rate.cell_bytes = u32::try_from(size).expect("`value` returns no sign");
            if let Some(word) = self.signed_value() {
                rate.cell_overhead = bytes(word, "the overhead of a cell")?;
            }
        }
        Ok(rate)
    }
}

const CORRELATION: &str = "the correlation";
const PROBABILITY: &str = "the probability";

fn share(word: Word<'_>, what: &'static str) -> Result<Share, ParseError> {
    let percent = match Decimal::leading(word.text) {
        Some((percent, "" | "%")) => percent,
        Some(_) | None => {
            return Err(word.refuse(Fault::NotA("a share in percent such as 5%")));
        }
    };
    Share::from_percent(percent).ok_or(word.refuse(Fault::OutOfRange {
        what,
        bounds: "0% to 100%",
    }))
}

fn time(
    word: Word<'_>,
    what: &'static str,
    most: u32,
    bounds: &'static str,
) -> Result<u32, ParseError> {
    let us = Time::read(word.text)
        .ok_or(word.refuse(Fault::NotA("a time such as 40ms, 1.5s or 300us")))?;
    if us > most {
        return Err(word.refuse(Fault::OutOfRange { what, bounds }));
    }
    Ok(us)
}

fn count(
    word: Word<'_>,
    what: &'static str,
    most: u64,
    bounds: &'static str,
) -> Result<u32, ParseError> {
    if word.text.is_empty() || !word.text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(word.refuse(Fault::NotA("a whole number of packets")));
    }
    let count = word.text.parse().ok();
    count
        .filter(|count| (1..=most).contains(count))
        .and_then(|count: u64| u32::try_from(count).ok())
        .ok_or(word.refuse(Fault::OutOfRange { what, bounds }))
}

fn bytes(word: Word<'_>, what: &'static str) -> Result<i32, ParseError> {
    let digits = word.text.strip_prefix('-').unwrap_or(word.text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(word.refuse(Fault::NotA("a whole number of bytes")));
    }
    let bytes: Option<i64> = word.text.parse().ok();
    bytes
        .filter(|bytes| bytes.abs() <= MAX_BYTES)
        .and_then(|bytes| i32::try_from(bytes).ok())
        .ok_or(word.refuse(Fault::OutOfRange {
            what,
            bounds: "up to 65535 bytes",
        }))
}

fn distribution(word: Word<'_>) -> Result<Distribution, ParseError> {
    match word.text {
        "uniform" => Ok(Distribution::Uniform),
        "normal" => Ok(Distribution::Normal),
        "pareto" => Ok(Distribution::Pareto),
        "paretonormal" => Ok(Distribution::ParetoNormal),
        "experimental" => Err(word.refuse(Fault::Unsupported("it is measured, not calculated"))),
        other => {
            let known = ["uniform", "normal", "pareto", "paretonormal"];
            Err(word.refuse(match probable(other, known) {
                None => Fault::NotA("uniform, normal, pareto or paretonormal"),
                nearest => Fault::Unknown { nearest },
            }))
        }
    }
}
