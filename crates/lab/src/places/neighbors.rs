//! Room in the kernel's tables of neighbours.
//!
//! All network namespaces share one table for ARP and one for NDP (`arp(7)`, `gc_thresh3`), with room for 1024 entries. A hundred
//! routers in one network look for each other's link-layer addresses: ten thousand entries. A full table drops packets without a
//! word, and they then seem to be lost by the NATs. So the lab makes room, and looks afterwards whether the tables were full.

use std::fs;
use std::path::PathBuf;

use crate::shared::BadInput;

/// Entries for 500 hosts that all look for each other, in both families. Halved: 350. Memory is used by entries alone.
const ROOM: u32 = 1 << 19;

/// The tables' files for parameters, and for statistics.
const TABLES: [(&str, &str); 2] = [("ipv4", "arp_cache"), ("ipv6", "ndisc_cache")];

/// The tables have room. Dropping this gives the parameters their old values.
#[derive(Debug)]
pub(super) struct Room {
    before: Vec<(PathBuf, String)>,
    full: u64,
}

impl Room {
    /// Makes room, as far as this machine allows.
    pub(super) fn make() -> Self {
        let mut before = Vec::new();
        // The highest one first: the kernel keeps them in order.
        for (family, _) in TABLES {
            for threshold in (1..=3).rev() {
                let name = format!("/proc/sys/net/{family}/neigh/default/gc_thresh{threshold}");
                let file = PathBuf::from(name);
                let Ok(old) = fs::read_to_string(&file) else {
                    continue;
                };
                let is_small = old.trim().parse::<u32>().is_ok_and(|old| old < ROOM);
                if is_small && fs::write(&file, ROOM.to_string()).is_ok() {
                    before.push((file, old));
                }
            }
        }
        let full = times_full();
        Self { before, full }
    }

    /// Checks that no table was full since.
    ///
    /// # Errors
    /// If one was, so that nothing follows for area-net from what was measured.
    pub(super) fn check(&self) -> Result<(), BadInput> {
        match times_full() - self.full {
            0 => Ok(()),
            times => Err(BadInput(format!(
                "the kernel's table of neighbours was full {times} times and dropped packets, so the results are worthless; set \
                 net.ipv4.neigh.default.gc_thresh3 and net.ipv6.neigh.default.gc_thresh3 to {ROOM}"
            ))),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for (file, old) in self.before.iter().rev() {
            // What can't be restored does no harm: it is an upper bound.
            fs::write(file, old).ok();
        }
    }
}

/// How often a table was full, since the machine started.
fn times_full() -> u64 {
    let of = |(_, name): (&str, &str)| {
        let text = fs::read_to_string(format!("/proc/net/stat/{name}")).unwrap_or_default();
        sum_of(&text, "table_fulls")
    };
    TABLES.map(of).iter().sum()
}

/// The sum of a column, which has a hexadecimal number for each processor.
fn sum_of(text: &str, column: &str) -> u64 {
    let mut lines = text.lines();
    let names = lines.next().unwrap_or_default();
    let Some(place) = names.split_whitespace().position(|name| name == column) else {
        return 0;
    };
    let number = |line: &str| u64::from_str_radix(line.split_whitespace().nth(place)?, 16).ok();
    lines.filter_map(number).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_summed_over_the_processors() {
        let text =
            "entries  allocs table_fulls\n00000001 0000058c 000070cd\n00000001 000005e4 00000003\n";
        assert_eq!(sum_of(text, "table_fulls"), 0x70d0);
        assert_eq!(sum_of(text, "unheard_of"), 0);
        assert_eq!(sum_of("", "table_fulls"), 0);
    }
}
