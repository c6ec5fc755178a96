//! Compares the memory that a run will need with the memory that is available.

use std::fs;
use std::path::Path;

use super::Scenario;
use super::scenario::Fidelity;

/// Bytes for each ordered pair of nodes, as measured, and for each node in addition: for cores, and for whole
/// nodes. The worst case is a large network of which one half remembers the other half.
const BYTES_OF_CORES: [u64; 2] = [165, 45_000];
const BYTES_OF_WHOLE_NODES: [u64; 2] = [1000, 600_000];
/// The same for each identity of an attacker, which all nodes may hold: in each node's tables, and once for all.
const BYTES_OF_INVENTED: [u64; 2] = [60, 3000];
/// Reserve for everything else.
const BYTES_BESIDE: u64 = 64 << 20;

/// Estimates the memory that a run needs, in bytes. The estimate errs on the high side.
pub(super) fn needed(scenario: &Scenario) -> u64 {
    let nodes = scenario.places() as u64;
    let [a_pair, a_node] = match scenario.fidelity {
        Fidelity::Core => BYTES_OF_CORES,
        Fidelity::Whole => BYTES_OF_WHOLE_NODES,
    };
    let ids = scenario.byzantine.iter().map(|plan| plan.nodes * plan.ids);
    let ids = ids.sum::<usize>() as u64;
    let invented = ids * (nodes * BYTES_OF_INVENTED[0] + BYTES_OF_INVENTED[1]);
    nodes * nodes * a_pair + nodes * a_node + invented + BYTES_BESIDE
}

/// The available memory in bytes, if the system tells it: the least of the machine's, the control group's and
/// the process's own limit.
pub(super) fn available() -> Option<u64> {
    let limits = [machine(), control_group(), process()];
    limits.into_iter().flatten().min()
}

fn machine() -> Option<u64> {
    kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// For cgroup version 2, where a process is in one group, and the limits of all its parents apply as well.
fn control_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let own = root.join(path);
    let number = |file: &Path| -> Option<u64> {
        let text = fs::read_to_string(file).ok()?;
        text.trim().parse().ok()
    };
    let groups = own.ancestors().take_while(|group| group.starts_with(root));
    let left = groups.filter_map(|group| {
        let limit = number(&group.join("memory.max"))?;
        let used = number(&group.join("memory.current"))?;
        // The kernel reclaims the page cache if memory is needed.
        let parts = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let parts = parts.lines().filter_map(|line| line.split_once(' '));
        let goes = ["inactive_file", "active_file", "slab_reclaimable"];
        let cached = parts.filter(|(name, _)| goes.contains(name));
        let cached: u64 = cached
            .filter_map(|(_, bytes)| bytes.parse::<u64>().ok())
            .sum();
        Some(limit.saturating_sub(used.saturating_sub(cached)))
    });
    left.min()
}

/// `ulimit -v`.
fn process() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
    let used = kib(&fs::read_to_string("/proc/self/status").ok()?, "VmSize:")?;
    Some(limit.saturating_sub(used))
}

/// The KiB value after a name, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}
