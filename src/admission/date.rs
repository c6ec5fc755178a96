//! Dates in UTC, and spans of days.

/// The seconds of a day.
pub(crate) const DAY_S: u64 = 86_400;

/// The date of a Unix time in s, such as `2027-11-30`.
pub(crate) fn date(unix_s: u64) -> String {
    // Days are counted from 1 March of the year 0, so that the leap day ends a year (Howard Hinnant, chrono-compatible low-level date
    // algorithms).
    let days = unix_s / DAY_S + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!(
        "{:04}-{month:02}-{day_of_month:02}",
        era * 400 + year + carry
    )
}

/// A span in days, or in hours or minutes if it is shorter.
pub(crate) fn span(s: u64) -> String {
    let (number, unit) = match s {
        0..3600 => (s / 60, "minute"),
        3600..172_800 => (s / 3600, "hour"),
        _ => (s / DAY_S, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_spans_are_those_of_the_calendar() {
        for (unix_s, text) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_799, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_603_200, "2024-12-31"),
            (1_795_996_800, "2026-11-30"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(unix_s), text);
        }
        for (s, text) in [
            (59, "0 minutes"),
            (60, "1 minute"),
            (7200, "2 hours"),
            (172_800, "2 days"),
            (31_536_000, "365 days"),
        ] {
            assert_eq!(span(s), text);
        }
    }
}
