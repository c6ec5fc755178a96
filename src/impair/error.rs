//! Errors of the parser, each with the word at fault and its column.

use std::fmt;

use super::{MAX_RULES, MAX_TEXT};

/// Why a text could not be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The word at fault; empty if one is missing.
    pub word: String,
    /// The column of its first character in the whole text, counted from 1.
    pub column: usize,
    /// The fault.
    pub fault: Fault,
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.word.is_empty() {
            // Escaped: control characters must not reach a terminal.
            write!(f, "`{}` at ", self.word.escape_debug())?;
        }
        write!(f, "column {}{}", self.column, self.fault)
    }
}

/// What is wrong with a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The word is not known in this place.
    Unknown {
        /// The most similar known word.
        nearest: Option<&'static str>,
    },
    /// netem has this option and area-net does not; with the reason.
    Unsupported(&'static str),
    /// `to` inside a rule.
    NeedsSemicolon,
    /// A unit that is separated from its number.
    LooseUnit,
    /// The word lacks a value; with an example.
    NoValue(&'static str),
    /// The named option has a value too many.
    OneTooMany(&'static str),
    /// The word is not of the kind that is expected here.
    NotA(&'static str),
    /// The value is too small or too large.
    OutOfRange {
        /// The quantity.
        what: &'static str,
        /// Its range.
        bounds: &'static str,
    },
    /// The option appeared before.
    Twice,
    /// `reorder` without a delay.
    NeedsDelay,
    /// `distribution` without a delay and a jitter.
    NeedsJitter,
    /// `gap` without a share of reordered packets.
    NeedsReorder,
    /// A rule without any word.
    NoRule,
    /// `to` and an address without an impairment.
    NothingHappens,
    /// An earlier rule has the same destination.
    SameDestination,
    /// More rules than [`MAX_RULES`].
    TooManyRules,
    /// A text of more bytes than [`MAX_TEXT`].
    TooLong,
}

/// Prints the part of the message that follows the place.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { nearest: None } => f.write_str(" is not an option of netem"),
            Self::Unknown {
                nearest: Some(nearest),
            } => write!(f, " is not an option of netem; did you mean `{nearest}`?"),
            Self::Unsupported(why) => write!(f, " is not supported: {why}"),
            Self::NeedsSemicolon => f.write_str(" begins a rule; put a `;` before it"),
            Self::LooseUnit => {
                f.write_str(" is a unit; write it without a space after its number, as in 40ms or 5%")
            }
            Self::NoValue(example) => write!(f, " lacks a value; write it as in `{example}`"),
            Self::OneTooMany(keyword) => write!(f, " is one value too many for `{keyword}`"),
            Self::NotA(what) => write!(f, " is not {what}"),
            Self::OutOfRange { what, bounds } => write!(f, " is out of range: {what} is {bounds}"),
            Self::Twice => f.write_str(" is repeated; keep one of the two"),
            Self::NeedsDelay => f.write_str(
                " needs a `delay`, which the reordered packets skip, as in `delay 10ms reorder 25%`",
            ),
            Self::NeedsJitter => f.write_str(
                " needs a delay and a jitter, as in `delay 40ms 10ms distribution normal`",
            ),
            Self::NeedsReorder => f.write_str(
                " needs a share of reordered packets, as in `delay 10ms reorder 25% gap 5`",
            ),
            Self::NoRule => f.write_str(": a rule is missing; write one such as `delay 40ms`"),
            Self::NothingHappens => f.write_str(
                ": the rule has no impairment; add one, or write `delay 0` for none",
            ),
            Self::SameDestination => f.write_str(
                ": an earlier rule has the same destination; merge the two",
            ),
            Self::TooManyRules => write!(f, " begins rule {}; at most {MAX_RULES} are allowed", MAX_RULES + 1),
            Self::TooLong => write!(f, ": the text is longer than {MAX_TEXT} bytes"),
        }
    }
}
