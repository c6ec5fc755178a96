//! The figures of this process.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What the system says of this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// The core time that all its threads have used.
    pub cpu: Duration,
    /// The memory that it occupies; `None` if the system doesn't say.
    pub resident_bytes: Option<u64>,
    /// Its open files and sockets; `None` if the system doesn't say.
    pub open_files: Option<u64>,
}

impl Process {
    /// Reads the figures.
    #[must_use]
    pub fn read() -> Self {
        let cpu = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime));
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let files = fs::read_dir("/proc/self/fd").ok();
        Self {
            cpu: cpu.unwrap_or_default(),
            resident_bytes: kib(&status, "VmRSS:").map(|kib| kib * 1024),
            // The folder that is listed here is one of them.
            open_files: files.map(|files| files.count().saturating_sub(1) as u64),
        }
    }
}

/// A field of `/proc/self/status` that is in KiB.
fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_time_and_memory() {
        let process = Process::read();
        assert!(process.cpu > Duration::ZERO);
        if cfg!(target_os = "linux") {
            let bytes = process.resident_bytes.unwrap();
            assert!((1 << 20..1 << 40).contains(&bytes), "{bytes}");
            // Standard input, output and errors.
            assert!(process.open_files.unwrap() >= 3);
        }
    }

    #[test]
    fn memory_is_read_from_its_line() {
        let status = "Name:\tVmRSS: 7 kB\nVmRSS:\t    5120 kB\n";
        assert_eq!(kib(status, "VmRSS:"), Some(5120));
        assert_eq!(kib("VmRSS:\tmuch\n", "VmRSS:"), None);
        assert_eq!(kib("", "VmRSS:"), None);
    }
}
