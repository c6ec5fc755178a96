//! What can be wrong with an impairment, so that the user sees at once which word it is.

use std::fmt;

use super::{MAX_RULES, MAX_TEXT};

/// Why a text is no impairment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The word at fault; empty where one is missing.
    pub word: String,
    /// Where it begins, in characters of the whole text, counted from 1.
    pub column: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.word.is_empty() {
            // Nothing in it can act on a terminal.
            write!(f, "`{}` at ", self.word.escape_debug())?;
        }
        write!(f, "column {}{}", self.column, self.fault)
    }
}

/// What is wrong with a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is no such word here.
    Unknown {
        /// The one that was probably meant.
        nearest: Option<&'static str>,
    },
    /// netem knows it, and we don't.
    Unsupported(&'static str),
    /// `to` in the midst of a rule.
    NeedsSemicolon,
    /// A unit that stands apart from its number.
    LooseUnit,
    /// The word wants a value behind it, as in the example.
    NoValue(&'static str),
    /// One value more than that word takes.
    OneTooMany(&'static str),
    /// It is not what is expected here.
    NotA(&'static str),
    /// It is what is expected, and too small or too large.
    OutOfRange {
        /// What it is.
        what: &'static str,
        /// What it may be.
        bounds: &'static str,
    },
    /// The keyword was there before.
    Twice,
    /// `reorder` without a delay.
    NeedsDelay,
    /// `distribution` without a delay and a jitter.
    NeedsJitter,
    /// `gap` without a share of packets that are reordered.
    NeedsReorder,
    /// A rule without a word.
    NoRule,
    /// `to` an address, and nothing to happen.
    NothingHappens,
    /// There is a rule for the same destination already.
    SameDestination,
    /// More rules than [`MAX_RULES`].
    TooManyRules,
    /// A text of more bytes than [`MAX_TEXT`].
    TooLong,
}

/// What is said after the place.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { nearest: None } => f.write_str(" is no word of netem"),
            Self::Unknown {
                nearest: Some(nearest),
            } => write!(f, " is no word of netem; did you mean `{nearest}`?"),
            Self::Unsupported(why) => write!(f, " is not supported: {why}"),
            Self::NeedsSemicolon => f.write_str(" begins a rule; put a `;` before it"),
            Self::LooseUnit => {
                f.write_str(" is a unit; write it right behind its number, such as 40ms or 5%")
            }
            Self::NoValue(example) => write!(f, " lacks a value; write it as in `{example}`"),
            Self::OneTooMany(keyword) => write!(f, " is one value too many for `{keyword}`"),
            Self::NotA(what) => write!(f, " is not {what}"),
            Self::OutOfRange { what, bounds } => write!(f, " is out of range: {what} is {bounds}"),
            Self::Twice => f.write_str(" is there a second time; keep one of them"),
            Self::NeedsDelay => {
                f.write_str(" needs a `delay`: it is the packets that aren't delayed that overtake")
            }
            Self::NeedsJitter => f.write_str(
                " needs a delay and a jitter to spread, as in `delay 40ms 10ms distribution normal`",
            ),
            Self::NeedsReorder => f.write_str(
                " needs a share of packets that are reordered, as in `delay 10ms reorder 25% gap 5`",
            ),
            Self::NoRule => f.write_str(": a rule is missing, such as `delay 40ms`"),
            Self::NothingHappens => {
                f.write_str(": nothing is said to happen there; `delay 0` leaves it alone")
            }
            Self::SameDestination => f.write_str(": there is a rule for the same destination already"),
            Self::TooManyRules => write!(f, " begins one more than {MAX_RULES} rules"),
            Self::TooLong => write!(f, ": the text has more than {MAX_TEXT} bytes"),
        }
    }
}
