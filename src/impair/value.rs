//! Numbers with units, in the syntax of `tc`. They are exact: parsing a printed value gives the same value.

use std::fmt;

/// A decimal number in 10⁻⁹ of its unit. Further digits are truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal(u128);

const ONE: u128 = 1_000_000_000;
/// The most digits before the point that are parsed. Every value within our bounds has fewer, and no product of so many overflows.
const MOST_DIGITS: usize = 16;

impl Decimal {
    /// Parses the number at the start of a word, and returns the rest too. It must begin with a digit, by which `tc` distinguishes
    /// values from keywords.
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
        // A longer number exceeds every bound, so its exact value does not matter.
        let whole: u128 = match whole.trim_start_matches('0') {
            "" => 0,
            long if long.len() > MOST_DIGITS => 10_u128.pow(16),
            short => short.parse().ok()?,
        };
        let fraction = &fraction[..fraction.len().min(9)];
        let parts = format!("{fraction:0<9}").parse::<u128>().ok()?;
        Some((Self(whole * ONE + parts), rest))
    }

    /// Converts to a unit that is `scale` times smaller, truncated to a whole number.
    fn times(self, scale: u128) -> u128 {
        self.0 * scale / ONE
    }
}

/// A probability in units of 1 / (2³² - 1): the kernel's unit, which it compares with its random numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Never.
    pub const NONE: Self = Self(0);
    /// Always.
    pub const ALL: Self = Self(u32::MAX);

    /// Converts from percent; `None` above 100.
    pub(super) fn from_percent(percent: Decimal) -> Option<Self> {
        let hundred = 100 * ONE;
        if percent.0 > hundred {
            return None;
        }
        let rounded = (percent.0 * u128::from(u32::MAX) + hundred / 2) / hundred;
        u32::try_from(rounded).ok().map(Self)
    }

    /// The number of units of 1 / (2³² - 1).
    #[must_use]
    pub fn parts(self) -> u32 {
        self.0
    }

    /// As a fraction of 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(u32::MAX)
    }

    /// The complement: 100 % minus this.
    #[must_use]
    pub fn rest(self) -> Self {
        Self(u32::MAX - self.0)
    }

    #[cfg(test)]
    pub(super) fn of_parts(parts: u32) -> Self {
        Self(parts)
    }
}

/// Prints the shortest percentage that parses as the same share.
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
        unreachable!(
            "a unit is more than 10⁻⁸ percent, so nine decimals distinguish any two shares"
        )
    }
}

/// A time in microseconds, printed in the largest unit that it contains at least once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time(pub(super) u32);

impl Time {
    /// Parses a time into microseconds; `None` if the word is not a time. Saturates at 32 bits.
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

/// A rate in bits a second, printed in the largest unit that divides it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits(pub(super) u64);

/// The prefixes of rate units. The ending distinguishes bits (`bit`) from bytes (`bps`).
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
    /// Parses a rate into whole bytes a second; `None` if the word is not a rate.
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

/// A number of units of 10^-places, printed without trailing zeros.
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
    fn times_parse_as_in_tc() {
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
    fn rates_parse_as_in_tc() {
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
    fn values_print_in_the_shortest_form() {
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
        fn a_printed_value_parses_as_the_same_value(parts: u32, us: u32, bytes in 0..=125_000_000_000_000_u64) {
            let shown = Share::of_parts(parts).to_string();
            prop_assert_eq!(percent(shown.trim_end_matches('%')), Some(Share::of_parts(parts)));
            prop_assert_eq!(Time::read(&Time(us).to_string()), Some(us));
            prop_assert_eq!(Bits::read_bytes(&Bits(bytes * 8).to_string()), Some(bytes));
        }

        #[test]
        fn any_word_parses_or_is_rejected(word: String) {
            Time::read(&word);
            Bits::read_bytes(&word);
            Decimal::leading(&word);
        }
    }
}
