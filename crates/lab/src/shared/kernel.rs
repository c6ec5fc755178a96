//! The kernel's counters: datagrams and bytes of a network namespace, a process's CPU time and memory, and the machine's idle
//! time. It also reads the one wall clock that can be compared with modification times of files.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// Returns the Unix time in ns, by the clock from which the kernel also stamps files.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    u64::try_from(since.as_nanos()).expect("Unix ns fit 64 bits until 2554")
}

/// Returns the seconds from `from` to `to`, both Unix ns. It is never negative, because a file's time may be a kernel tick early.
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
    /// Returns the counters of the namespace of process `pid`.
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

/// The CPU time of a process so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    /// The run time of its present threads in ns, or `None` if the kernel doesn't keep it.
    threads_ns: Option<u64>,
    /// The time in ns for which its main thread could have run and waited for a processor, or `None` likewise.
    waited_ns: Option<u64>,
    /// The user and system time of the whole process, in ticks of 10 ms.
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
            waited_ns: waited_ns(pid),
            ticks,
        })
    }

    /// Returns the CPU seconds since `earlier`, of the same process. The exact figure misses threads that ended in between, so
    /// the coarse figure is used if it is clearly higher.
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

    /// Returns the seconds since `earlier` in which the main thread of the same process waited for a processor.
    pub(crate) fn waited_since(&self, earlier: &Self) -> Option<f64> {
        let (now, then) = self.waited_ns.zip(earlier.waited_ns)?;
        Some(seconds_between(then, now))
    }
}

/// The second figure of `schedstat` (Linux, Documentation/scheduler/sched-stats.rst).
fn waited_ns(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}

/// Returns the run time of all threads of a process.
fn threads_ns(pid: u32) -> Option<u64> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        total += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    (total > 0).then_some(total)
}

/// The resident memory of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// VmRSS, in MiB.
    pub(crate) resident_mib: f64,
    /// PSS, in MiB: each shared page is divided by the number of processes that share it.
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

/// The CPU times so far of the whole machine and of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    idle: u64,
    total: u64,
    own: Cpu,
}

impl Machine {
    /// Reads the present times.
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
        // The fields are: user nice system idle iowait irq softirq steal.
        let idle = ticks.iter().skip(3).take(2).sum();
        Ok(Self {
            idle,
            total: ticks.iter().sum(),
            own: Cpu::of(std::process::id())?,
        })
    }

    /// Returns the idle share since `earlier` in percent, or `None` if no kernel tick passed.
    pub(crate) fn idle_percent_since(&self, earlier: &Self) -> Option<f64> {
        let total = self.total.saturating_sub(earlier.total);
        (total > 0).then(|| 100.0 * self.idle.saturating_sub(earlier.idle) as f64 / total as f64)
    }

    /// Returns the CPU seconds that this process used since `earlier`.
    pub(crate) fn own_seconds_since(&self, earlier: &Self) -> f64 {
        self.own.seconds_since(&earlier.own)
    }
}
