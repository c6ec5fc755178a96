//! What a node leaves behind: lines of its log, and the kernel's memory of it.

use std::fs;
use std::path::Path;

/// The most memory that a process ever had resident, in MiB; `None` once it has ended.
pub(crate) fn peak_mib(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// What a node said of its panic, or its last line.
pub(crate) fn panic_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains(" panicked at "));
    let Some(at) = at else {
        return lines.last().copied().unwrap_or_default().to_owned();
    };
    let place = lines[at].rsplit(" panicked at ").next();
    let why = lines.get(at + 1).copied();
    [place.unwrap_or_default(), why.unwrap_or_default()].join(" ")
}

/// The event in a line of the log.
pub(crate) fn event_of(line: &str) -> Option<&'static str> {
    let names = area_net::events::EventName::ALL.iter();
    let mut names = names.map(|name| name.as_str());
    let head = line.get(..120).unwrap_or(line);
    names.find(|name| head.contains(&format!(" {name} ")))
}

/// A field's value in a line of the log.
pub(crate) fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}="))?;
    rest.split([' ', '(']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_its_event_and_its_fields() {
        let line = "04:29:41.585  WARN link down peer=n003 id=d6afdcbacd cause=\"4 misses\"";
        assert_eq!(event_of(line), Some("link down"));
        assert_eq!(field(line, "peer"), Some("n003"));
        assert_eq!(field(line, "node"), None);
        assert_eq!(event_of("some text"), None);
    }

    #[test]
    fn a_panic_is_found_in_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::write(
            &log,
            "a\nthread 'main' (1) panicked at x.rs:1:1:\nno room\nb\n",
        )
        .unwrap();
        assert_eq!(panic_of(&log), "x.rs:1:1: no room");
        fs::write(&log, "a\nb\n").unwrap();
        assert_eq!(panic_of(&log), "b");
    }
}
