//! What the kernel counts: datagrams and bytes of a network namespace, a process's CPU time and memory, the machine's
//! idle time. And the one wall clock that files' times can be compared with.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// Unix time in ns: the clock of which the kernel stamps files, too.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    u64::try_from(since.as_nanos()).expect("Unix ns fit 64 bits until 2554")
}

/// Seconds from `from` to `to`, both Unix ns; never negative, as a file's time may be a kernel tick too early.
pub(crate) fn seconds_between(from: u64, to: u64) -> f64 {
    Duration::from_nanos(to.saturating_sub(from)).as_secs_f64()
}

/// Counters of a network namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    /// Bytes sent, with their IPv6 and UDP headers.
    pub(crate) bytes: u64,
    /// UDP datagrams sent.
    pub(crate) datagrams: u64,
}

impl Traffic {
    /// The counters of the namespace that process `pid` lives in.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/net/snmp6");
        let text = fs::read_to_string(&path).with_context(|| format!("can't read {path}"))?;
        let counter = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once(char::is_whitespace))
                .find_map(|(key, value)| (key == name).then(|| value.trim().parse().ok())?)
                .with_context(|| format!("{path} has no counter {name}"))
        };
        Ok(Self {
            bytes: counter("Ip6OutOctets")?,
            datagrams: counter("Udp6OutDatagrams")?,
        })
    }
}

/// CPU time of a process so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    /// Run time of the threads it has now, to the ns; none where the kernel doesn't keep it.
    threads_ns: Option<u64>,
    /// User and system time of the whole process, in ticks of 10 ms.
    ticks: u64,
}

impl Cpu {
    /// Of process `pid`.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).with_context(|| format!("can't read {path}"))?;
        // The second field is the name in parentheses and may hold anything; after it come fields 3, 4, 5 …
        let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let tick = |field: usize| -> Option<u64> {
            fields.split_whitespace().nth(field - 3)?.parse().ok()
        };
        let ticks = tick(14)
            .zip(tick(15))
            .map(|(user, system)| user + system)
            .with_context(|| format!("{path} has no times"))?;
        Ok(Self {
            threads_ns: threads_ns(pid),
            ticks,
        })
    }

    /// Seconds since `earlier`, of the same process. Threads that ended in between are missing in the exact figure:
    /// where the coarse one says clearly more, it is taken.
    pub(crate) fn seconds_since(&self, earlier: &Self) -> f64 {
        let coarse = self.ticks.saturating_sub(earlier.ticks) as f64 / 100.0;
        match self.threads_ns.zip(earlier.threads_ns) {
            Some((now, then)) => {
                let exact = seconds_between(then, now);
                if coarse > exact + 0.02 { coarse } else { exact }
            }
            None => coarse,
        }
    }
}

/// Run time of all of a process's threads.
fn threads_ns(pid: u32) -> Option<u64> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        total += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    (total > 0).then_some(total)
}

/// Resident memory of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// VmRSS, in MiB.
    pub(crate) resident_mib: f64,
    /// The same with each shared page divided by those who share it, in MiB.
    pub(crate) proportional_mib: f64,
}

impl Memory {
    /// Of process `pid`.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let mib = |file: &str, key: &str| -> Result<f64> {
            let path = format!("/proc/{pid}/{file}");
            let text = fs::read_to_string(&path).with_context(|| format!("can't read {path}"))?;
            let kib: f64 = text
                .lines()
                .find_map(|line| {
                    line.strip_prefix(key)?
                        .split_whitespace()
                        .next()?
                        .parse()
                        .ok()
                })
                .with_context(|| format!("{path} has no {key}"))?;
            Ok(kib / 1024.0)
        };
        Ok(Self {
            resident_mib: mib("status", "VmRSS:")?,
            proportional_mib: mib("smaps_rollup", "Pss:")?,
        })
    }
}

/// The whole machine's time so far, and this process's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    idle: u64,
    total: u64,
    own: Cpu,
}

impl Machine {
    /// Now.
    pub(crate) fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("can't read /proc/stat")?;
        let ticks: Vec<u64> = text
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|field| field.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal
        let idle = ticks.iter().skip(3).take(2).sum();
        Ok(Self {
            idle,
            total: ticks.iter().sum(),
            own: Cpu::of(std::process::id())?,
        })
    }

    /// The idle share since `earlier`, in percent; none where no time passed by the kernel's tick.
    pub(crate) fn idle_percent_since(&self, earlier: &Self) -> Option<f64> {
        let total = self.total.saturating_sub(earlier.total);
        (total > 0).then(|| 100.0 * self.idle.saturating_sub(earlier.idle) as f64 / total as f64)
    }

    /// CPU seconds that this very process took since `earlier`.
    pub(crate) fn own_seconds_since(&self, earlier: &Self) -> f64 {
        self.own.seconds_since(&earlier.own)
    }
}
