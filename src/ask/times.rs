//! Times as people write and read them. All of them are in UTC, as in the log.

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Reads a time: a duration ago (`-5m`, `-1h30m`), a time of the last 24 hours (`12:34` or `12:34:56`), RFC 3339
/// (`2026-11-30T12:34:56Z`; a space for the T, no zone and no seconds are fine), or a Unix time in seconds or ms.
pub(crate) fn parse(text: &str, now_ms: u64) -> Option<u64> {
    if let Some(ago) = text.strip_prefix('-') {
        return now_ms.checked_sub(duration(ago)?);
    }
    if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
        let number: u64 = text.parse().ok()?;
        // Seconds have eleven digits until the year 5138; ms have had twelve since 1973.
        return Some(if text.len() < 12 {
            number * SECOND
        } else {
            number
        });
    }
    if let Some(of_day) = of_day(text) {
        let today = now_ms - now_ms % DAY + of_day;
        return if today <= now_ms {
            Some(today)
        } else {
            today.checked_sub(DAY)
        };
    }
    rfc3339(text)
}

/// Reads a duration: numbers with units (`10s`, `80ms`, `1h30m`).
pub(super) fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|letter: char| letter.is_ascii_digit());
        let (unit, after) = after.split_at(letters.unwrap_or(after.len()));
        let unit = match unit {
            "ms" => 1,
            "s" => SECOND,
            "m" | "min" => MINUTE,
            "h" => HOUR,
            "d" => DAY,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = after;
    }
    Some(total)
}

/// Reads `12:34`, `12:34:56` or `12:34:56.789`, as ms of the day.
fn of_day(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = whole.split(':').map(two_digits);
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let seconds = parts.next().unwrap_or(Some(0))?;
    let is_number = !fraction.is_empty() && fraction.bytes().all(|digit| digit.is_ascii_digit());
    // 60 is a leap second.
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 60 || !is_number {
        return None;
    }
    let ms: u64 = format!("{:0<3.3}", fraction).parse().ok()?;
    Some(hours * HOUR + minutes * MINUTE + seconds * SECOND + ms)
}

fn two_digits(text: &str) -> Option<u64> {
    let is_number = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

fn rfc3339(text: &str) -> Option<u64> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let mut parts = date.split('-');
    let year: i64 = parts.next().filter(|year| year.len() == 4)?.parse().ok()?;
    let (month, day) = (two_digits(parts.next()?)?, two_digits(parts.next()?)?);
    let days = days_of(year, month, day)?;
    // The calendar gives a valid date back unchanged.
    if parts.next().is_some() || date_of(days) != (year, month, day) {
        return None;
    }
    let midnight = u64::try_from(days).ok()? * DAY;
    if rest.is_empty() {
        return Some(midnight);
    }
    let time = rest.strip_prefix(['T', 't', ' '])?;
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some(midnight + of_day(time)?);
    }
    match time.rfind(['+', '-']) {
        None => Some(midnight + of_day(time)?),
        Some(at) => {
            let local = midnight + of_day(&time[..at])?;
            let zone = of_day(&time[at + 1..])?;
            if time[at..].starts_with('+') {
                local.checked_sub(zone)
            } else {
                Some(local + zone)
            }
        }
    }
}

/// The days since 1970 of a date of the Gregorian calendar (Hinnant's algorithm).
fn days_of(year: i64, month: u64, day: u64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March, so that the leap day is the last day of a year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let months = i64::try_from((month + 9) % 12).ok()?;
    let day_of_year = (153 * months + 2) / 5 + i64::try_from(day).ok()? - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// The inverse of [`days_of`].
fn date_of(days: i64) -> (i64, u64, u64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months + 2) / 5 + 1;
    let month = if months < 10 { months + 3 } else { months - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month.unsigned_abs(), day.unsigned_abs())
}

/// A time for people, as `2026-11-30 12:34:56`; `--at` takes it, in quotes.
pub(super) fn show(unix_ms: u64) -> String {
    let days = i64::try_from(unix_ms / DAY).unwrap_or(i64::MAX / 2);
    let (year, month, day) = date_of(days);
    let (hours, minutes, seconds) = (
        unix_ms % DAY / HOUR,
        unix_ms % HOUR / MINUTE,
        unix_ms % MINUTE / SECOND,
    );
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}")
}

/// The same with ms, for events.
pub(super) fn show_ms(unix_ms: u64) -> String {
    format!("{}.{:03}", show(unix_ms), unix_ms % SECOND)
}

/// How long ago something was, in the two largest units.
pub(super) fn ago(then_ms: u64, now_ms: u64) -> String {
    let ms = now_ms.saturating_sub(then_ms);
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| {
        let (many, few) = (ms / large, ms % large / small);
        if few == 0 {
            format!("{many} {large_unit}")
        } else {
            format!("{many} {large_unit} {few} {small_unit}")
        }
    };
    match ms {
        0..MINUTE => format!("{} s", ms / SECOND),
        MINUTE..HOUR => two(MINUTE, "min", SECOND, "s"),
        HOUR..DAY => two(HOUR, "h", MINUTE, "min"),
        _ => two(DAY, "d", HOUR, "h"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-30 01:02:03.456.
    const NOW: u64 = 1_796_000_523_456;

    #[test]
    fn a_time_is_shown_as_the_calendar_says() {
        assert_eq!(show(0), "1970-01-01 00:00:00");
        assert_eq!(show(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(show_ms(NOW), "2026-11-30 01:02:03.456");
        show(u64::MAX);
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, expected) in [
            ("-5m", NOW - 5 * MINUTE),
            ("-1h30m", NOW - 90 * MINUTE),
            ("-250ms", NOW - 250),
            ("01:02", NOW - 3_456),
            ("01:02:03", NOW - 456),
            ("01:02:04", NOW - 456 + SECOND - DAY),
            ("1796000523", NOW - 456),
            ("1796000523456", NOW),
            ("2026-11-30T01:02:03Z", NOW - 456),
            ("2026-11-30 01:02:03.456", NOW),
            ("2026-11-30t02:32:03+01:30", NOW - 456),
            ("2026-11-29T23:02:03.4567-02:00", NOW),
            ("2026-11-30", NOW - 456 - HOUR - 2 * MINUTE - 3 * SECOND),
        ] {
            assert_eq!(parse(text, NOW), Some(expected), "{text}");
        }
        for bad in [
            "",
            "-",
            "-5",
            "-5y",
            "-m",
            "5m",
            "now",
            "24:00",
            "1:2",
            "01:60",
            "01:02:03.",
            "2026-02-29",
            "2026-13-01",
            "2026-11-30T",
            "2026-11-30X01:02",
            "2026-11-30T01:02:03+1",
            "1969-01-01",
            "-99999999999999999999d",
            "01:02:03.4x",
            "日本語日本語",
            "-999999999999d",
        ] {
            assert_eq!(parse(bad, NOW), None, "{bad}");
        }
    }

    #[test]
    fn an_age_has_its_two_largest_units() {
        let ago = |ms| super::ago(NOW - ms, NOW);
        assert_eq!(ago(0), "0 s");
        assert_eq!(ago(59_999), "59 s");
        assert_eq!(ago(3 * MINUTE), "3 min");
        assert_eq!(ago(HOUR + 3 * MINUTE), "1 h 3 min");
        assert_eq!(ago(50 * HOUR), "2 d 2 h");
        assert_eq!(super::ago(NOW + 1, NOW), "0 s");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(at in 0_u64..253_402_300_800_000) {
            prop_assert_eq!(parse(&show_ms(at), NOW), Some(at));
        }

        #[test]
        fn no_text_panics(text in any::<String>(), number in "[-0-9:.TZ+smhd ]{0,24}") {
            parse(&text, NOW);
            parse(&number, NOW);
        }
    }
}
