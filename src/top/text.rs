//! Figures and times as the screen shows them. They are short, and labels are what [`ask`](crate::ask) makes of them.

pub(super) use crate::ask::text::{clean, count, cut, label, rtt, width};

/// A round-trip time in ms, in at most four columns.
pub(super) fn short_rtt(us: u64) -> String {
    match us {
        0..9_995 => {
            let hundredths = (us + 5) / 10;
            format!("{}.{:02}", hundredths / 100, hundredths % 100)
        }
        9_995..100_000 => format!("{}.{}", us / 1000, us % 1000 / 100),
        100_000..10_000_000 => (us / 1000).to_string(),
        _ => ">10s".to_owned(),
    }
}

/// A loss in 1/1000.
pub(super) fn loss(permille: u16) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

/// A duration in at most seven columns.
pub(super) fn lasting(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86_400, s / 3600 % 24),
    }
}

/// The time of day in UTC, as in the log, of a time in Unix ms.
pub(super) fn clock(unix_ms: i64) -> String {
    let s = unix_ms.div_euclid(1000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}
