//! Numbers with a unit, as `tc` reads and writes them: exact, so that what is printed reads back as the same.

use std::fmt;

/// A decimal number as it was written, in 10⁻⁹ of its unit; digits beyond that are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal(u128);

const ONE: u128 = 1_000_000_000;
/// More digits before the point than any value within our bounds has, and few enough that no product overflows.
const MOST_DIGITS: usize = 16;

impl Decimal {
    /// The number that a word begins with, and what stands behind it. It must begin with a digit, as `tc` tells a value from
    /// a keyword by that.
    pub(super) fn leading(word: &str) -> Option<(Self, &str)> {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, rest) = word.split_at(digits(word));
        if whole.is_empty() {
            return None;
        }
        let (fraction, rest) = match rest.strip_prefix('.') {
            None => ("", rest),
            Some(rest) => rest.split_at(digits(rest)),
        };
        // A number without end is beyond every bound, whichever it is.
        let whole: u128 = match whole.trim_start_matches('0') {
            "" => 0,
            long if long.len() > MOST_DIGITS => 10_u128.pow(16),
            short => short.parse().ok()?,
        };
        let fraction = &fraction[..fraction.len().min(9)];
        let parts = format!("{fraction:0<9}").parse::<u128>().ok()?;
        Some((Self(whole * ONE + parts), rest))
    }

    /// So many of a smaller unit, cut to a whole number.
    fn times(self, scale: u128) -> u128 {
        self.0 * scale / ONE
    }
}

/// A part of a whole, in 2³² - 1 parts: the kernel's own measure, and exactly what its random numbers are compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Never.
    pub const NONE: Self = Self(0);
    /// Always.
    pub const ALL: Self = Self(u32::MAX);

    /// The share of so many percent, if it is at most 100.
    pub(super) fn from_percent(percent: Decimal) -> Option<Self> {
        let hundred = 100 * ONE;
        if percent.0 > hundred {
            return None;
        }
        let rounded = (percent.0 * u128::from(u32::MAX) + hundred / 2) / hundred;
        u32::try_from(rounded).ok().map(Self)
    }

    /// In 2³² - 1 parts.
    #[must_use]
    pub fn parts(self) -> u32 {
        self.0
    }

    /// The rest of the whole.
    #[must_use]
    pub fn rest(self) -> Self {
        Self(u32::MAX - self.0)
    }

    #[cfg(test)]
    pub(super) fn of_parts(parts: u32) -> Self {
        Self(parts)
    }
}

/// The shortest percentage that reads back as the same share.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for places in 0..=9 {
            let unit = 10_u128.pow(places);
            let whole = u128::from(u32::MAX);
            let scaled = (u128::from(self.0) * 100 * unit + whole / 2) / whole;
            if Self::from_percent(Decimal(scaled * (ONE / unit))) == Some(*self) {
                return write!(f, "{}%", Scaled(scaled, places));
            }
        }
        unreachable!("a part is more than 10⁻⁸ percent, so nine places tell every two shares apart")
    }
}

/// Microseconds, shown in the largest unit of which there is at least one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time(pub(super) u32);

impl Time {
    /// Reads a time in microseconds; `None` if it isn't one. What is beyond 32 bits comes out as the most that they hold.
    pub(super) fn read(word: &str) -> Option<u32> {
        let (number, unit) = Decimal::leading(word)?;
        let us = match unit.to_ascii_lowercase().as_str() {
            "" | "us" | "usec" | "usecs" => 1,
            "ms" | "msec" | "msecs" => 1000,
            "s" | "sec" | "secs" => 1_000_000,
            _ => return None,
        };
        Some(u32::try_from(number.times(us)).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = u128::from(self.0);
        match us {
            0..1000 => write!(f, "{us}us"),
            1000..1_000_000 => write!(f, "{}ms", Scaled(us, 3)),
            _ => write!(f, "{}s", Scaled(us, 6)),
        }
    }
}

/// Bits a second, shown in the largest unit of which there is a whole number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits(pub(super) u64);

/// Units of a rate in bits a second, but for the ending: a `b` before `ps` is a byte.
const PREFIXES: [(&str, u64); 9] = [
    ("", 1),
    ("k", 1000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
    ("t", 1_000_000_000_000),
    ("ki", 1 << 10),
    ("mi", 1 << 20),
    ("gi", 1 << 30),
    ("ti", 1 << 40),
];

impl Bits {
    /// Reads a rate, in whole bytes a second; `None` if it isn't one.
    pub(super) fn read_bytes(word: &str) -> Option<u64> {
        let (number, unit) = Decimal::leading(word)?;
        let unit = unit.to_ascii_lowercase();
        let (prefix, bits) = match (unit.strip_suffix("bit"), unit.strip_suffix("bps")) {
            (Some(prefix), _) => (prefix, 1),
            (None, Some(prefix)) => (prefix, 8),
            (None, None) if unit.is_empty() => ("", 1),
            (None, None) => return None,
        };
        let (_, scale) = PREFIXES.iter().find(|(name, _)| *name == prefix)?;
        let bits_per_s = number.times(u128::from(scale * bits));
        Some(u64::try_from(bits_per_s / 8).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, scale): &&(&str, u64)| self.0.is_multiple_of(*scale);
        let (prefix, scale) = PREFIXES[..5]
            .iter()
            .rev()
            .find(whole)
            .unwrap_or(&PREFIXES[0]);
        write!(f, "{}{prefix}bit", self.0 / scale)
    }
}

/// A whole number of 10^-places, without zeros at its end.
struct Scaled(u128, u32);

impl fmt::Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, places) = *self;
        let unit = 10_u128.pow(places);
        write!(f, "{}", value / unit)?;
        if value % unit == 0 {
            return Ok(());
        }
        let fraction = format!("{:0width$}", value % unit, width = places as usize);
        write!(f, ".{}", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn percent(word: &str) -> Option<Share> {
        let (number, rest) = Decimal::leading(word)?;
        rest.is_empty()
            .then_some(number)
            .and_then(Share::from_percent)
    }

    #[test]
    fn times_are_read_as_tc_reads_them() {
        for (word, us) in [
            ("40ms", 40_000),
            ("40", 40),
            ("1.5ms", 1500),
            ("1s", 1_000_000),
            ("10usecs", 10),
            ("10MS", 10_000),
            ("2sec", 2_000_000),
            ("0", 0),
            ("0.0015ms", 1),
            ("1.ms", 1000),
            ("007us", 7),
            ("99999999999999999999999999s", u32::MAX),
        ] {
            assert_eq!(Time::read(word), Some(us), "{word}");
        }
        for word in ["", "ms", ".5ms", "-5ms", "10ns", "10m", "1e3", "1.2.3ms"] {
            assert_eq!(Time::read(word), None, "{word}");
        }
    }

    #[test]
    fn rates_are_read_as_tc_reads_them() {
        for (word, bytes) in [
            ("1mbit", 125_000),
            ("1Mbit", 125_000),
            ("100", 12),
            ("100bps", 100),
            ("1kbps", 1000),
            ("1MBps", 1_000_000),
            ("1kibit", 128),
            ("1.5mbit", 187_500),
            ("1gibit", (1 << 30) / 8),
            ("0", 0),
            ("7bit", 0),
        ] {
            assert_eq!(Bits::read_bytes(word), Some(bytes), "{word}");
        }
        for word in ["", "bit", "1xbit", "5%", "1mb", "-1mbit"] {
            assert_eq!(Bits::read_bytes(word), None, "{word}");
        }
    }

    #[test]
    fn values_are_shown_in_the_shortest_words() {
        for (us, shown) in [
            (0, "0us"),
            (999, "999us"),
            (40_000, "40ms"),
            (1500, "1.5ms"),
            (1_000_000, "1s"),
            (1_500_001, "1.500001s"),
            (274_877_906, "274.877906s"),
        ] {
            assert_eq!(Time(us).to_string(), shown);
        }
        for (bits, shown) in [
            (8, "8bit"),
            (1000, "1kbit"),
            (10_000_000, "10mbit"),
            (1_500_000, "1500kbit"),
            (1024, "1024bit"),
            (12_000_000_000_000, "12tbit"),
        ] {
            assert_eq!(Bits(bits).to_string(), shown);
        }
        for word in ["0%", "5%", "0.1%", "33.333%", "99.99%", "100%", "0.000001%"] {
            let (bare, _) = word.split_at(word.len() - 1);
            assert_eq!(percent(bare).expect("a share").to_string(), word);
        }
        assert_eq!(percent("100.000000001"), None);
        assert_eq!(percent("5").map(Share::rest), percent("95"));
    }

    proptest! {
        #[test]
        fn a_value_that_is_shown_reads_back_as_the_same(parts: u32, us: u32, bytes in 0..=125_000_000_000_000_u64) {
            let shown = Share::of_parts(parts).to_string();
            prop_assert_eq!(percent(shown.trim_end_matches('%')), Some(Share::of_parts(parts)));
            prop_assert_eq!(Time::read(&Time(us).to_string()), Some(us));
            prop_assert_eq!(Bits::read_bytes(&Bits(bytes * 8).to_string()), Some(bytes));
        }

        #[test]
        fn any_word_is_a_value_or_none(word: String) {
            Time::read(&word);
            Bits::read_bytes(&word);
            Decimal::leading(&word);
        }
    }
}
